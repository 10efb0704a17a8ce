//! A thread that waits: for its sockets, its timers, and for whoever wakes it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bowline_driver::core::time::Instant;
use bowline_driver::{Timer, clock};
use rustix::event::{PollFd, PollFlags, Timespec};

/// The thread works, and was not woken since it began to.
const AWAKE: u8 = 0;
/// It waits.
const ASLEEP: u8 = 1;
/// It was woken.
const RUNG: u8 = 2;

/// Wakes a thread out of its `poll(2)`: by an octet in a pair of sockets, which only a thread that
/// waits needs.
struct Alarm {
    state: AtomicU8,
    bell: UnixStream,
    ear: UnixStream,
}

impl Alarm {
    /// # Panics
    ///
    /// When the system has no more descriptors: a thread that cannot be woken is of no use.
    fn new() -> Arc<Self> {
        let (bell, ear) = UnixStream::pair().expect("two descriptors for a thread to be woken by");
        for end in [&bell, &ear] {
            end.set_nonblocking(true).expect("a socket can be set so");
        }
        Arc::new(Self { state: AtomicU8::new(AWAKE), bell, ear })
    }

    /// Says that the thread is about to wait. False: it was woken meanwhile, and must not.
    fn lie_down(&self) -> bool {
        let quiet = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if quiet.is_err() {
            self.state.store(AWAKE, Ordering::Release);
        }
        quiet.is_ok()
    }

    /// Says that it waits no longer.
    fn get_up(&self) {
        if self.state.swap(AWAKE, Ordering::AcqRel) == RUNG {
            // One octet for each time that it was woken while it waited: one.
            let _ = (&self.ear).read(&mut [0; 8]);
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            // If it is full, it wakes as well.
            let _ = (&self.bell).write(&[1]);
        }
    }
}

/// A descriptor that can be shared with the thread that waits for it.
pub(crate) type Socket = Arc<dyn AsFd + Send + Sync>;

/// What the work of a thread waits for.
#[derive(Default)]
struct Interests {
    /// Since the last time it was polled.
    sockets: Vec<(Socket, PollFlags)>,
    /// By the timers' numbers; until they fire or are dropped.
    timers: Vec<(u64, Instant)>,
}

thread_local! {
    static INTERESTS: RefCell<Interests> = RefCell::default();
    /// This thread's alarm, while it is not in use.
    static ALARM: Cell<Option<Arc<Alarm>>> = const { Cell::new(None) };
}

/// Waits, the next time that this thread waits, until the socket is ready for this.
pub(crate) fn wait_for(socket: Socket, flags: PollFlags) {
    INTERESTS.with_borrow_mut(|interests| interests.sockets.push((socket, flags)));
}

/// Runs `work` to its end on this thread, which waits in `poll(2)` when there is nothing to do.
///
/// This is how the methods of this package block; with it, any other async method of the driver can
/// be called as well.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let alarm = ALARM.take().unwrap_or_else(Alarm::new);
    let waker = Waker::from(Arc::clone(&alarm));
    // A call within a call has interests of its own.
    let outer = INTERESTS.take();
    let result = loop {
        INTERESTS.with_borrow_mut(|interests| interests.sockets.clear());
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            break result;
        }
        if alarm.lie_down() {
            wait(&alarm);
            alarm.get_up();
        }
    };
    INTERESTS.set(outer);
    ALARM.set(Some(alarm));
    result
}

/// Until a socket is ready, a timer is due, or the alarm is rung.
fn wait(alarm: &Alarm) {
    let interests = INTERESTS.take();
    let mut fds = Vec::with_capacity(interests.sockets.len() + 1);
    fds.push(PollFd::new(&alarm.ear, PollFlags::IN));
    fds.extend(interests.sockets.iter().map(|(socket, flags)| PollFd::new(socket, *flags)));
    let timeout = interests.timers.iter().map(|(_, at)| *at).min().map(|at| {
        let left = at.saturating_since(clock::now());
        Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() }
    });
    // Interrupted or not: the caller looks again at all it waits for.
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
    drop(fds);
    let now = clock::now();
    let Interests { sockets, mut timers } = interests;
    timers.retain(|(_, at)| *at > now);
    INTERESTS.set(Interests { sockets, timers });
}

/// A timer of the thread that polls it.
#[derive(Debug)]
pub struct ThreadTimer {
    number: u64,
    at: Instant,
}

impl ThreadTimer {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), at: Instant::FAR_FUTURE }
    }

    fn forget(&self) {
        // The thread may be ending.
        let _ = INTERESTS.try_with(|interests| {
            interests.borrow_mut().timers.retain(|(number, _)| *number != self.number);
        });
    }
}

impl Timer for ThreadTimer {
    fn reset(&mut self, at: Instant) {
        self.forget();
        self.at = at;
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        if self.at <= clock::now() {
            return Poll::Ready(());
        }
        INTERESTS.with_borrow_mut(|interests| interests.timers.push((self.number, self.at)));
        Poll::Pending
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

/// An attempt that would block is `Pending`, and waited for.
pub(crate) fn attempt<T>(
    socket: &Socket,
    flags: PollFlags,
    mut io: impl FnMut() -> std::io::Result<T>,
) -> Poll<std::io::Result<T>> {
    loop {
        match io() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                wait_for(Arc::clone(socket), flags);
                return Poll::Pending;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
