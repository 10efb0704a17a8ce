//! The task of a socket, and what it shares with its sessions.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bowline_core::datagram::{Config, Counters, Endpoint, Event, SessionKey, Transmit};
use bowline_core::time::Instant;
use parking_lot::Mutex;

use super::{Batch, DatagramSocket};
use crate::runtime::Timer;
use crate::{OsEntropy, clock};

/// So many rounds of receiving and sending, then others get their turn.
const ROUNDS: u32 = 16;
/// So many writes are taken from the machine at once.
const WRITES: usize = 8;

/// Who waits for what of a session.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) read: Option<Waker>,
    pub(super) write: Option<Waker>,
    /// It is open, or over.
    pub(super) settled: bool,
}

/// All that is behind the lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) waiting: HashMap<SessionKey, Waiting>,
    pub(super) accepted: VecDeque<SessionKey>,
    pub(super) acceptor: Option<Waker>,
    task: Option<Waker>,
    /// Listeners and streams.
    pub(super) holders: usize,
    /// The socket is of no use any more.
    pub(super) broken: bool,
}

/// What a socket's task shares with its sessions.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// The task will look at the machine by itself.
    woken: AtomicBool,
}

impl Shared {
    pub(super) fn new(config: Config, accepting: bool) -> Self {
        let inner = Inner {
            endpoint: Endpoint::new(config, OsEntropy, accepting),
            waiting: HashMap::new(),
            accepted: VecDeque::new(),
            acceptor: None,
            task: None,
            holders: 1,
            broken: false,
        };
        Self { inner: Mutex::new(inner), woken: AtomicBool::new(false) }
    }

    /// A session's call; the task is woken where it gave it something to do.
    pub(super) fn call<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut wake = Vec::new();
        let mut inner = self.inner.lock();
        let result = work(&mut inner);
        inner.dispatch(&mut wake);
        let busy = inner.endpoint.poll_timeout().is_some_and(|due| due.at <= clock::now());
        if (busy || inner.holders == 0) && !self.woken.swap(true, Ordering::AcqRel) {
            wake.extend(inner.task.clone());
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// What a session asks each turn and changes nothing.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Endpoint) -> T) -> T {
        at(&self.inner.lock().endpoint)
    }

    /// The task's work.
    fn work<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut wake = Vec::new();
        let mut inner = self.inner.lock();
        let result = work(&mut inner);
        inner.dispatch(&mut wake);
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        result
    }
}

impl Inner {
    /// Tells sessions what has happened.
    fn dispatch(&mut self, wake: &mut Vec<Waker>) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Accepted(key) => {
                    self.accepted.push_back(key);
                    self.waiting.insert(key, Waiting { settled: true, ..Waiting::default() });
                    wake.extend(self.acceptor.take());
                }
                Event::Connected(key) | Event::Ended(key) => {
                    if let Some(waiting) = self.waiting.get_mut(&key) {
                        waiting.settled = true;
                        wake.extend(waiting.read.take());
                        wake.extend(waiting.write.take());
                    }
                }
                Event::Readable(key) | Event::Message(key) => {
                    wake.extend(self.waiting.get_mut(&key).and_then(|waiting| waiting.read.take()));
                }
                Event::Writable(key) => {
                    wake.extend(self.waiting.get_mut(&key).and_then(|waiting| waiting.write.take()));
                }
                _ => {}
            }
        }
    }

    /// The socket is of no use any more: all sessions are over.
    fn fail(&mut self, wake: &mut Vec<Waker>) {
        self.broken = true;
        wake.extend(self.acceptor.take());
        for waiting in self.waiting.values_mut() {
            waiting.settled = true;
            wake.extend(waiting.read.take());
            wake.extend(waiting.write.take());
        }
    }
}

/// Moves datagrams between a socket and its sessions, until all of them are over.
pub(super) struct Task<T> {
    shared: Arc<Shared>,
    socket: Arc<dyn DatagramSocket>,
    timer: T,
    armed: Option<Instant>,
    batch: Batch,
    /// Writes that the socket has not taken yet.
    outbox: VecDeque<(Transmit, Vec<u8>)>,
    /// Memory for more.
    spare: Vec<Vec<u8>>,
}

/// What came of a round.
enum Round {
    Again,
    Rest(Option<Instant>),
    Over,
}

impl<T: Timer> Task<T> {
    pub(super) fn new(shared: Arc<Shared>, socket: Arc<dyn DatagramSocket>, timer: T) -> Self {
        let (outbox, spare) = (VecDeque::new(), Vec::new());
        Self { shared, socket, timer, armed: None, batch: Batch::default(), outbox, spare }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Round {
        self.shared.woken.store(false, Ordering::Release);
        let received = match self.socket.poll_recv(cx, &mut self.batch) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(e)) if is_harmless(&e) => return Round::Again,
            Poll::Ready(Err(_)) => {
                self.shared.work(|inner| inner.broken = true);
                return Round::Over;
            }
            Poll::Pending => false,
        };
        let blocked = !self.send_waiting(cx);
        let now = clock::now();
        let Self { shared, batch, outbox, spare, .. } = self;
        // The system may have found out that it cannot do many at once.
        let segments = self.socket.max_segments().max(1);
        let next = shared.work(|inner| {
            let endpoint = &mut inner.endpoint;
            if received {
                for (from, ecn, datagram) in batch.datagrams() {
                    endpoint.handle_datagram(now, from, ecn, datagram);
                }
            }
            if endpoint.poll_timeout().is_some_and(|due| due.at <= now) {
                endpoint.handle_timeout(now);
            }
            while !blocked && outbox.len() < WRITES {
                let mut octets = spare.pop().unwrap_or_default();
                let Some(transmit) = endpoint.poll_transmit(now, &mut octets, segments) else {
                    spare.push(octets);
                    break;
                };
                outbox.push_back((transmit, octets));
            }
            if inner.holders == 0 && inner.endpoint.sessions() == 0 {
                return None;
            }
            Some(inner.endpoint.poll_timeout().map(|due| due.at))
        });
        let more = !blocked && !self.outbox.is_empty();
        let blocked = !self.send_waiting(cx);
        match next {
            None if !blocked => Round::Over,
            None => Round::Rest(None),
            Some(_) if received || (more && !blocked) => Round::Again,
            // Without room to send, what wants to be sent waits for it.
            Some(at) => Round::Rest(at.filter(|at| !blocked || *at > now)),
        }
    }

    /// Sends what waits. Says whether all went.
    fn send_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some((transmit, octets)) = self.outbox.pop_front() {
            if self.socket.poll_send(cx, &transmit, &octets).is_pending() {
                self.outbox.push_front((transmit, octets));
                return false;
            }
            // One that could not be sent is as one that was lost.
            self.spare.push(octets);
        }
        true
    }

    fn arm(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        if self.armed != Some(at) {
            self.timer.reset(at);
            self.armed = Some(at);
        }
        let fired = self.timer.poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }
}

/// What a peer that cannot be reached does to a socket.
fn is_harmless(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::Interrupted
    )
}

impl<T: Timer> Future for Task<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.work(|inner| match &mut inner.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        });
        for _ in 0..ROUNDS {
            match this.round(cx) {
                Round::Again => {}
                Round::Over => return Poll::Ready(()),
                Round::Rest(at) => {
                    if !at.is_some_and(|at| this.arm(cx, at)) && !this.shared.woken.load(Ordering::Acquire) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T> Drop for Task<T> {
    /// A task that has ended, or was dropped by its runtime, leaves no session.
    fn drop(&mut self) {
        let mut wake = Vec::new();
        self.shared.inner.lock().fail(&mut wake);
        wake.into_iter().for_each(Waker::wake);
    }
}

/// What a socket's sessions have counted, for metrics.
#[derive(Clone, Debug)]
pub struct Gauge(pub(super) Arc<Shared>);

impl Gauge {
    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.look(|endpoint| *endpoint.counters())
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.look(Endpoint::sessions)
    }
}

/// Nobody listens on a port of the other family.
pub(super) const fn any_port_like(to: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}
