//! The server machine and who is to be woken, behind one lock that is never held across I/O.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use bowline_core::endpoint::server::{
    ConnectionKey, HttpRequest, HttpResponse, LocalKey, Peer, Refused, Server as Machine, ServerCounters,
    ServerEvent, TunnelKey, TunnelWork, Verification, Verified,
};
use bowline_core::http::StatusCode;
use bowline_core::relay::Target;
use bowline_core::time::Instant;
use parking_lot::Mutex;

use super::answer::{HttpAnswer, Job};
use super::deadlines::Deadlines;
use super::plugins::Plugins;
use super::storing::Storing;
use super::tunnels::Egress;
use crate::clock;
use crate::datagram::Gauge;

/// Runs what takes long elsewhere.
pub(super) type Offload = Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;
/// Answers requests of HTTP.
pub(super) type OnRequest = Box<dyn Fn(&HttpRequest, &Overview<'_>) -> HttpAnswer + Send + Sync>;
/// Is told what is worth a line in a log.
pub(super) type OnEvent = Box<dyn Fn(&ServerEvent) + Send + Sync>;

/// A connection, beside the machine's own record of it.
#[derive(Debug)]
pub(super) struct Slot {
    key: ConnectionKey,
    waker: Waker,
    /// What few have.
    pub(super) beside: Option<Box<Beside>>,
}

/// What few connections have beside.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// What a password check found, until the connection's task takes it.
    pub(super) verified: Option<Verified>,
    /// An answer that is being made.
    pub(super) job: Option<Job>,
}

impl Slot {
    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// So many connections have their flags together: one of its own would be the least that the
/// allocator gives.
const TOGETHER: usize = 64;

/// The flags of neighbours. Each is set when its connection's task was woken, and cleared when that
/// takes its turn.
type Flags = [AtomicBool; TOGETHER];

/// The flag of one connection.
#[derive(Clone, Debug)]
pub(super) struct Woken(Arc<Flags>);

impl Woken {
    #[inline]
    pub(super) fn of(&self, key: ConnectionKey) -> &AtomicBool {
        &self.0[key.index() % TOGETHER]
    }
}

/// What the server's own tasks are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Nobody is let in any more.
    Draining,
    /// All is dropped.
    Stopped,
}

/// All that is behind the lock.
pub(super) struct Core {
    pub(super) machine: Machine,
    /// By [`ConnectionKey::index`].
    slots: Vec<Option<Slot>>,
    /// By the same, each for [`TOGETHER`] of them.
    woken: Vec<Woken>,
    pub(super) locals: HashMap<LocalKey, Waker>,
    /// Handlers' sessions that have not ended.
    pub(super) routes: usize,
    /// Of connections.
    pub(super) deadlines: Deadlines,
    /// When the timer's task wakes by itself, and how to wake it earlier.
    pub(super) armed: Option<Instant>,
    pub(super) timer: Option<Waker>,
    /// The server's own tasks, and who waits for the end; woken when the phase changes.
    pub(super) watchers: Vec<Waker>,
    pub(super) phase: Phase,
    /// Until its last operations are stored.
    pub(super) storing: Option<Storing>,
    /// Tunnels that have no task yet, and who begins those.
    pub(super) dials: VecDeque<(TunnelKey, Target)>,
    pub(super) dialer: Option<Waker>,
    /// How targets are reached.
    pub(super) egress: Egress,
    /// The tasks of tunnels.
    pub(super) tunnels: HashMap<TunnelKey, Waker>,
}

impl Core {
    pub(super) fn slot(&mut self, key: ConnectionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.index())?.as_mut().filter(|slot| slot.key == key)
    }

    pub(super) fn wake(&mut self, key: ConnectionKey, wake: &mut Vec<Waker>) {
        let slot = self.slots.get(key.index()).and_then(Option::as_ref).filter(|slot| slot.key == key);
        if let Some(slot) = slot
            && !self.woken[key.index() / TOGETHER].of(key).swap(true, Ordering::AcqRel)
        {
            wake.push(slot.waker.clone());
        }
    }

    /// Collects whom the machine made ready; says whether `own` is among them.
    pub(super) fn collect(&mut self, own: Option<ConnectionKey>, wake: &mut Vec<Waker>) -> bool {
        let mut own_ready = false;
        while let Some(key) = self.machine.poll_ready() {
            if Some(key) == own {
                own_ready = true;
            } else {
                self.wake(key, wake);
            }
        }
        while let Some(key) = self.machine.poll_local_ready() {
            wake.extend(self.locals.get(&key).cloned());
        }
        while let Some(work) = self.machine.poll_tunnel() {
            match work {
                TunnelWork::Connect(key, target) => {
                    self.dials.push_back((key, target));
                    wake.extend(self.dialer.take());
                }
                TunnelWork::Look(key) => wake.extend(self.tunnels.get(&key).cloned()),
            }
        }
        if let Some(deadline) = self.machine.poll_hub_timeout() {
            wake.extend(self.arm(deadline.at));
        }
        if let Some(storing) = &mut self.storing {
            storing.rouse(self.machine.hub().issued(), wake);
        }
        own_ready
    }

    /// Wakes `waker` when something happens in a tunnel, instead of who was to be woken before.
    pub(super) fn await_tunnel(&mut self, key: TunnelKey, waker: &Waker) {
        self.tunnels.entry(key).and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
    }

    /// Has the timer's task wake at `at`; gives whom to wake for that.
    fn arm(&mut self, at: Instant) -> Option<Waker> {
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        self.timer.take()
    }

    pub(super) fn set_phase(&mut self, phase: Phase, wake: &mut Vec<Waker>) {
        self.phase = self.phase.max(phase);
        wake.append(&mut self.watchers);
        wake.extend(self.timer.take());
        wake.extend(self.locals.values().cloned());
        wake.extend(self.storing.as_ref().map(Storing::waker));
        if self.phase == Phase::Stopped {
            self.wake_all(wake);
        }
    }

    /// Wakes the tasks of all connections.
    pub(super) fn wake_all(&mut self, wake: &mut Vec<Waker>) {
        for slot in self.slots.iter().flatten() {
            self.woken[slot.key.index() / TOGETHER].of(slot.key).store(true, Ordering::Release);
            wake.push(slot.waker.clone());
        }
    }

    /// Whether nothing is left to do: `late` if handlers were given up.
    pub(super) fn has_ended(&self, late: bool) -> bool {
        self.phase == Phase::Stopped && (self.routes == 0 || late) && self.storing.is_none()
    }

    /// Wakes `waker` at the next change of the phase, or when the last connection is gone.
    pub(super) fn watch(&mut self, waker: &Waker) {
        if !self.watchers.iter().any(|w| w.will_wake(waker)) {
            self.watchers.push(waker.clone());
        }
    }
}

/// So many passwords are checked at once: a flood of wrong ones costs no more processors than this,
/// and those that wait are dropped with their connections' handshakes.
const CHECKS: usize = 2;

/// Passwords to check.
#[derive(Default)]
struct Checks {
    running: usize,
    /// At most one for each connection.
    waiting: VecDeque<(ConnectionKey, Verification)>,
}

/// What all tasks of a server share.
pub(super) struct Shared {
    core: Mutex<Core>,
    checks: Mutex<Checks>,
    offload: Offload,
    on_event: Option<OnEvent>,
    on_request: Option<OnRequest>,
    /// Of the sockets for datagrams.
    pub(super) gauges: Mutex<Vec<Gauge>>,
}

/// The server as a handler of requests sees it.
#[derive(Debug)]
pub struct Overview<'a>(&'a Arc<Shared>);

impl Overview<'_> {
    /// What is counted, as it is now.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        self.0.with(|core, _| core.machine.counters())
    }

    /// Looks at the server as it is now: who is connected, what its hub has. Nothing else goes on meanwhile,
    /// so look at a bounded part at a time.
    pub fn look<T>(&self, at: impl FnOnce(&Machine) -> T) -> T {
        at(&self.0.core.lock().machine)
    }

    /// What its sockets for datagrams have counted, those that are closed included.
    #[must_use]
    pub fn datagrams(&self) -> Vec<Gauge> {
        self.0.gauges.lock().clone()
    }

    /// Something that looks at the server later, for what takes its time to answer.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::downgrade(self.0))
    }

    /// Disconnects the client whose session has this number; see
    /// [`expel`](bowline_core::endpoint::server::Server::expel).
    #[must_use]
    pub fn expel(&self, number: u64, forget: bool) -> bool {
        self.0.with(|core, _| core.machine.expel(clock::now(), number, forget))
    }

    /// Changes something by an administrator's decision, and wakes whom that concerns.
    pub fn change<T>(&self, work: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        self.0.with(|core, _| work(&mut core.machine, clock::now()))
    }

    /// The server's plugins.
    #[must_use]
    pub fn plugins(&self) -> Plugins<'_> {
        Plugins(self.0)
    }

    /// Whether the server takes new work: it is not draining.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.with(|core, _| core.phase == Phase::Running)
    }
}

/// A server that may be gone, to look at.
#[derive(Clone, Debug)]
pub struct Handle(Weak<Shared>);

impl Handle {
    /// Looks at the server as [`Overview::look`] does; nothing where it is gone.
    pub fn look<T>(&self, at: impl FnOnce(&Machine) -> T) -> Option<T> {
        let shared = self.0.upgrade()?;
        Some(Overview(&shared).look(at))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

thread_local! {
    /// Whom to wake after the lock is released; kept so that it is not allocated each time.
    static WAKE: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

impl Shared {
    pub(super) fn new(
        machine: Machine,
        offload: Offload,
        on_event: Option<OnEvent>,
        on_request: Option<OnRequest>,
    ) -> Self {
        let core = Core {
            machine,
            slots: Vec::new(),
            woken: Vec::new(),
            locals: HashMap::new(),
            routes: 0,
            deadlines: Deadlines::default(),
            armed: None,
            timer: None,
            watchers: Vec::new(),
            phase: Phase::Running,
            storing: None,
            dials: VecDeque::new(),
            dialer: None,
            egress: Egress::default(),
            tunnels: HashMap::new(),
        };
        let (core, gauges) = (Mutex::new(core), Mutex::default());
        Self { core, checks: Mutex::default(), offload, on_event, on_request, gauges }
    }

    /// Works under the lock; then, without it, wakes whom that made ready. `work` may add to them.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Core, &mut Vec<Waker>) -> T) -> T {
        // A task may be dropped by a thread that ends.
        let mut wake = WAKE.try_with(Cell::take).unwrap_or_default();
        let mut events = Vec::new();
        let mut core = self.core.lock();
        let result = work(&mut core, &mut wake);
        core.collect(None, &mut wake);
        while let Some(event) = core.machine.poll_event() {
            events.push(event);
        }
        drop(core);
        for waker in wake.drain(..) {
            waker.wake();
        }
        let _ = WAKE.try_with(|kept| kept.set(wake));
        if let Some(on_event) = &self.on_event {
            events.iter().for_each(on_event);
        }
        result
    }

    /// Takes a connection; gives its key and the flag that says that it was woken.
    pub(super) fn accept(&self, peer: Peer) -> Result<(ConnectionKey, Woken), Refused> {
        self.with(|core, _| {
            let key = core.machine.accept(clock::now(), peer)?;
            let slot = Slot { key, waker: Waker::noop().clone(), beside: None };
            if core.slots.len() <= key.index() {
                // A sixteenth more, not twice as many: there may be many, and slack is memory lost.
                let more = key.index() + 1 - core.slots.len();
                core.slots.reserve_exact(more.max(core.slots.len() / 16));
                core.slots.resize_with(key.index() + 1, || None);
            }
            core.slots[key.index()] = Some(slot);
            while core.woken.len() * TOGETHER <= key.index() {
                core.woken.push(Woken(Arc::new([const { AtomicBool::new(false) }; TOGETHER])));
            }
            let woken = core.woken[key.index() / TOGETHER].clone();
            // The last connection at this place may have been woken and have ended before its turn.
            woken.of(key).store(false, Ordering::Release);
            Ok((key, woken))
        })
    }

    /// Has a connection woken at `at`.
    pub(super) fn set_deadline(&self, at: Instant, key: ConnectionKey) {
        let timer = {
            let mut core = self.core.lock();
            core.deadlines.push(at, key);
            core.arm(at)
        };
        if let Some(timer) = timer {
            timer.wake();
        }
    }

    pub(super) fn register(&self, key: ConnectionKey, waker: &Waker) {
        if let Some(slot) = self.core.lock().slot(key) {
            slot.waker.clone_from(waker);
        }
    }

    pub(super) fn gone(&self, key: ConnectionKey) {
        let slot = self.with(|core, wake| {
            core.machine.disconnect(clock::now(), key);
            let slot = core.slot(key).is_some().then(|| core.slots[key.index()].take());
            if let Some(job) = slot.iter().flatten().find_map(|slot| slot.beside.as_ref()?.job.as_ref()) {
                job.close();
            }
            if core.machine.connections() == 0 {
                wake.append(&mut core.watchers);
                wake.extend(core.storing.as_ref().map(Storing::waker));
            }
            slot
        });
        drop(slot); // Without the lock: what was being made for it is not ours.
    }

    /// Answers a request of HTTP, without the lock.
    pub(super) fn answer(self: &Arc<Self>, key: ConnectionKey, request: &HttpRequest) {
        let Some(on_request) = &self.on_request else { return };
        let handled = catch_unwind(AssertUnwindSafe(|| on_request(request, &Overview(self))));
        let answer = handled.unwrap_or_else(|_| {
            let why = "the handler of this request panicked";
            HttpResponse::text(StatusCode::INTERNAL_SERVER_ERROR, why).into()
        });
        self.begin(key, answer);
    }

    /// Checks a password elsewhere; the connection's task is woken when it is done.
    pub(super) fn verify(self: &Arc<Self>, key: ConnectionKey, work: Verification) {
        {
            let mut checks = self.checks.lock();
            checks.waiting.push_back((key, work));
            if checks.running >= CHECKS {
                return;
            }
            checks.running += 1;
        }
        let shared = Arc::clone(self);
        (self.offload)(Box::new(move || shared.run_checks()));
    }

    /// Checks what waits, until nothing does.
    fn run_checks(&self) {
        loop {
            let next = {
                let mut checks = self.checks.lock();
                let next = checks.waiting.pop_front();
                checks.running -= usize::from(next.is_none());
                next
            };
            let Some((key, work)) = next else { return };
            if self.core.lock().slot(key).is_none() {
                continue; // It did not wait.
            }
            let verified = work.run();
            self.with(|core, wake| {
                if let Some(slot) = core.slot(key) {
                    slot.beside.get_or_insert_default().verified = Some(verified);
                    core.wake(key, wake);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::server::connection::Connection;
    use crate::server::deadlines::ConnectionTimer;

    /// A transport as large as tokio's.
    type Transport = [u64; 6];

    #[test]
    fn an_idle_connection_is_small() {
        assert_eq!(size_of::<Option<Slot>>(), 32);
        // With what tokio adds, it is a task of 256 octets; the next size is 384.
        let size = size_of::<Engine<Transport, Connection, ConnectionTimer>>();
        assert!(size <= 160, "{size}");
    }
}
