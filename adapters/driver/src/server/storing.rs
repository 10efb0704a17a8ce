//! The thread that has the server's store do what the hub asks, and tells the hub what was done.
//!
//! While it commits one batch, the next gathers in the hub: the busier the server and the slower the
//! disk, the larger the batches. The server's lock is never held meanwhile.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bowline_core::endpoint::server::Server as Machine;
use bowline_core::hub::Operation;
use parking_lot::{Condvar, Mutex};

use super::StartError;
use super::shared::{Core, Phase, Shared};
use crate::clock;
use crate::runtime::Runtime;
use crate::store::{Calendar, Storage, StorageError, StoreEvent};

/// Is told what is worth a line in a log.
pub(super) type OnStoreEvent = Box<dyn Fn(&StoreEvent) + Send>;

/// How long a store that failed is left alone: doubled each time.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long, when the server was stopped, connections have to say that they are gone, and a store that
/// fails is tried.
const FAREWELL: Duration = Duration::from_secs(5);

/// The store's thread, as the server's tasks know it.
#[derive(Debug)]
pub(super) struct Storing {
    signal: Arc<Signal>,
    /// The thread waits for operations.
    idle: bool,
    /// How many operations it has taken.
    taken: u64,
    /// Connections wait until it takes more.
    holding: bool,
}

impl Storing {
    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.signal).into()
    }

    /// So many operations were issued in all: wakes the thread if it waits for them.
    #[inline]
    pub(super) fn rouse(&mut self, issued: u64, wake: &mut Vec<Waker>) {
        if self.idle && issued > self.taken {
            self.idle = false;
            wake.push(self.waker());
        }
    }

    /// A connection is not read from, as the store is behind: it is woken when that has changed.
    #[inline]
    pub(super) fn hold(&mut self) {
        self.holding = true;
    }
}

/// The server is gone, and nobody else could tell the thread.
impl Drop for Storing {
    fn drop(&mut self) {
        self.signal.give();
    }
}

/// Wakes the thread; one that is given before it waits is not lost.
#[derive(Debug, Default)]
struct Signal {
    given: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn give(&self) {
        *self.given.lock() = true;
        self.changed.notify_one();
    }

    /// Waits for it, for a time at most.
    fn wait(&self, time: Option<Duration>) {
        let mut given = self.given.lock();
        if !*given {
            match time {
                Some(time) => drop(self.changed.wait_for(&mut given, time)),
                None => self.changed.wait(&mut given),
            }
        }
        *given = false;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.give();
    }
}

/// A store that has told what it holds.
pub(super) struct Store {
    storage: Box<dyn Storage>,
    tell: Option<OnStoreEvent>,
}

type Loaded = Result<(Machine, Store), StorageError>;

/// What was loaded, and who waits for it.
type Waiting = Mutex<(Option<Loaded>, Option<Waker>)>;

/// Has a machine take up what a store holds, where that delays nobody.
pub(super) async fn load<R: Runtime>(
    runtime: &R,
    store: Store,
    machine: Machine,
) -> Result<(Machine, Store), StartError> {
    let waiting = Arc::new(Waiting::default());
    let to = Arc::clone(&waiting);
    runtime.spawn_blocking(move || {
        let loaded = take_up(store, machine);
        let mut to = to.lock();
        to.0 = Some(loaded);
        let waker = to.1.take();
        drop(to);
        waker.into_iter().for_each(Waker::wake);
    });
    let loaded = poll_fn(|cx| {
        let mut waiting = waiting.lock();
        waiting.1 = Some(cx.waker().clone());
        waiting.0.take().map_or(Poll::Pending, Poll::Ready)
    });
    loaded.await.map_err(StartError::Store)
}

fn take_up(mut store: Store, mut machine: Machine) -> Loaded {
    let (began, calendar) = (Instant::now(), Calendar::now());
    let (mut sessions, mut messages, mut outcome) = (0, 0, Ok(()));
    store.storage.load(calendar, &mut |operation| {
        match operation {
            Operation::SessionCreated { .. } => sessions += 1,
            Operation::MessageAdded { .. } => messages += 1,
            _ => {}
        }
        if outcome.is_ok() {
            outcome = machine.restore(calendar.now, operation);
        }
    })?;
    outcome?;
    machine.restored(clock::now());
    store.tell(&StoreEvent::Loaded { sessions, messages, took: began.elapsed() });
    Ok((machine, store))
}

impl Store {
    pub(super) fn new(storage: Box<dyn Storage>, tell: Option<OnStoreEvent>) -> Self {
        Self { storage, tell }
    }

    fn tell(&self, event: &StoreEvent) {
        if let Some(tell) = &self.tell {
            tell(event);
        }
    }

    /// Carries out from now on what the hub asks, in a thread of its own, until the server has ended.
    pub(super) fn start(self, shared: &Arc<Shared>) -> Result<(), StartError> {
        let signal = Arc::new(Signal::default());
        let worker = Worker {
            shared: Arc::downgrade(shared),
            signal: Arc::clone(&signal),
            store: Some(self),
            stopped: None,
            batch: Vec::new(),
        };
        let storing = Storing { signal, idle: false, taken: 0, holding: false };
        shared.with(|core, _| core.storing = Some(storing));
        let spawned = thread::Builder::new().name("bowline-store".to_owned()).spawn(move || worker.run());
        spawned.map(drop).map_err(|error| StartError::Store(Box::new(error)))
    }
}

/// The thread.
struct Worker {
    shared: Weak<Shared>,
    signal: Arc<Signal>,
    /// Until the end.
    store: Option<Store>,
    /// When it saw that the server was stopped.
    stopped: Option<Instant>,
    batch: Vec<Operation>,
}

/// The storage is closed before anybody is told that the server has ended. A storage that panics has
/// failed for ever.
impl Drop for Worker {
    fn drop(&mut self) {
        self.store = None;
        let Some(shared) = self.shared.upgrade() else { return };
        shared.with(|core, wake| {
            core.machine.set_store_available(false);
            if core.storing.take().is_some_and(|storing| storing.holding) {
                core.wake_all(wake);
            }
            wake.append(&mut core.watchers);
        });
    }
}

/// What the thread does next.
enum Next {
    /// Commit the batch: then so many operations are committed.
    Commit(u64),
    Wait,
    End,
}

impl Worker {
    fn run(mut self) {
        let mut committed = None;
        while let Some(shared) = self.shared.upgrade() {
            let next = shared.with(|core, wake| self.next(core, committed.take(), wake));
            drop(shared);
            match next {
                Next::Wait => self.signal.wait(self.stopped.map(|_| FAREWELL)),
                Next::End => return,
                Next::Commit(count) => {
                    let Some(took) = self.commit() else { return };
                    committed = Some((count, took));
                    self.batch.clear();
                }
            }
        }
    }

    /// Tells what was committed, and takes all that has gathered.
    fn next(&mut self, core: &mut Core, committed: Option<(u64, Duration)>, wake: &mut Vec<Waker>) -> Next {
        if let Some((count, took)) = committed {
            core.machine.record_commit(took);
            core.machine.committed(clock::now(), count);
        }
        self.batch.extend(std::iter::from_fn(|| core.machine.poll_operation()));
        let issued = core.machine.hub().issued();
        let ended = core.phase == Phase::Stopped && self.ends(core.machine.connections());
        let Some(storing) = &mut core.storing else { return Next::End };
        storing.taken = issued;
        storing.idle = self.batch.is_empty();
        if std::mem::take(&mut storing.holding) {
            core.wake_all(wake);
        }
        match (self.batch.is_empty(), ended) {
            (false, _) => Next::Commit(issued),
            (true, true) => Next::End,
            (true, false) => Next::Wait,
        }
    }

    /// The server was stopped: whether no connection has anything to add any more.
    fn ends(&mut self, connections: usize) -> bool {
        let stopped = *self.stopped.get_or_insert_with(Instant::now);
        connections == 0 || stopped.elapsed() >= FAREWELL
    }

    /// Commits the batch, trying until it is done, and says how long the last try took; nothing if it gives
    /// up, as the server was stopped.
    fn commit(&mut self) -> Option<Duration> {
        let mut failed: Option<Instant> = None;
        let mut rest = REST.0;
        loop {
            let store = self.store.as_mut()?;
            let began = Instant::now();
            let outcome = store.storage.apply(Calendar::now(), &self.batch);
            let took = began.elapsed();
            let operations = self.batch.len() as u64;
            if outcome.is_err() {
                self.count_failure();
            }
            match (outcome, failed) {
                (Ok(()), None) => return Some(took),
                (Ok(()), Some(since)) => {
                    self.set_failing(false);
                    self.tell(&StoreEvent::Recovered { after: since.elapsed() });
                    return Some(took);
                }
                (Err(error), _) if self.gives_up() => {
                    self.tell(&StoreEvent::Lost { error, operations });
                    return None;
                }
                (Err(error), None) => {
                    failed = Some(Instant::now());
                    self.set_failing(true);
                    self.tell(&StoreEvent::Stalled { error, waiting: operations });
                }
                (Err(_), Some(_)) => {}
            }
            self.signal.wait(Some(rest));
            rest = (rest * 2).min(REST.1);
        }
    }

    fn tell(&self, event: &StoreEvent) {
        if let Some(store) = &self.store {
            store.tell(event);
        }
    }

    /// The server was stopped long ago, or is gone.
    fn gives_up(&mut self) -> bool {
        let Some(shared) = self.shared.upgrade() else { return true };
        let stopped = shared.with(|core, _| core.phase == Phase::Stopped);
        stopped && self.stopped.get_or_insert_with(Instant::now).elapsed() >= FAREWELL
    }

    fn count_failure(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|core, _| core.machine.record_store_failure());
        }
    }

    /// Says whether the store fails.
    fn set_failing(&self, failing: bool) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.with(|core, wake| {
            core.machine.set_store_available(!failing);
            if core.storing.as_mut().is_some_and(|storing| std::mem::take(&mut storing.holding)) {
                core.wake_all(wake);
            }
        });
    }
}
