//! The task of a client: connects when its machine says so, and runs an engine over what stands.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_core::buf::RecvBuf;
use bowline_core::endpoint::client::Dial;
use bowline_core::time::{Deadline, Instant};

use super::shared::Shared;
use crate::machine::{Machine, Next, Turn};
use crate::runtime::{Runtime, Timer};
use crate::{Address, Engine, clock};

/// Where to connect, and for how long to try.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) addresses: Vec<Address>,
    pub(super) connect_timeout: Duration,
    /// Whether to go where a draining server says.
    pub(super) follow: bool,
    pub(super) max_frame: u32,
}

impl Endpoints {
    fn resolve(&self, dial: &Dial) -> Option<Address> {
        let told = dial.address.as_deref().filter(|_| self.follow).and_then(|a| a.parse().ok());
        told.or_else(|| self.addresses.get(dial.endpoint).cloned())
    }
}

/// Runs until the machine is closed.
pub(super) async fn run<R: Runtime>(runtime: R, shared: Arc<Shared>, endpoints: Endpoints) {
    let mut idle = Idle { shared: Arc::clone(&shared), timer: runtime.timer() };
    loop {
        let Some(dial) = poll_fn(|cx| idle.poll_dial(cx)).await else { return };
        let stream = match endpoints.resolve(&dial) {
            Some(address) => connect(&runtime, address, endpoints.connect_timeout, &mut idle).await,
            None => None,
        };
        let now = clock::now();
        let Some(stream) = stream else {
            shared.work(|core, wake| {
                core.machine.handle_connect_failed(now);
                core.route(wake);
            });
            continue;
        };
        shared.work(|core, _| core.machine.handle_connected(now));
        let link = Link(Arc::clone(&shared));
        Engine::new(stream, link, runtime.timer(), endpoints.max_frame).await;
    }
}

/// Nothing if it failed, took too long, or the client was closed meanwhile.
async fn connect<R: Runtime>(
    runtime: &R,
    address: Address,
    patience: Duration,
    idle: &mut Idle<R::Timer>,
) -> Option<R::Stream> {
    let mut connecting = pin!(runtime.connect(address));
    let mut limit = runtime.timer();
    limit.reset(clock::now() + patience);
    poll_fn(|cx| {
        if let Poll::Ready(done) = connecting.as_mut().poll(cx) {
            return Poll::Ready(done.ok());
        }
        if limit.poll(cx).is_ready() || idle.poll_over(cx) {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Gives the machine its time while no connection does.
struct Idle<T> {
    shared: Arc<Shared>,
    timer: T,
}

impl<T: Timer> Idle<T> {
    /// The next connection to open; nothing when it is all over.
    fn poll_dial(&mut self, cx: &mut Context<'_>) -> Poll<Option<Dial>> {
        loop {
            let (over, dial, deadline) = self.tick(cx.waker(), true);
            if over {
                return Poll::Ready(None);
            }
            if dial.is_some() {
                return Poll::Ready(dial);
            }
            let Some(deadline) = deadline else { return Poll::Pending };
            self.timer.reset(deadline.at);
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether it is all over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> bool {
        let (over, _, deadline) = self.tick(cx.waker(), false);
        if let Some(deadline) = deadline.filter(|_| !over) {
            self.timer.reset(deadline.at);
            if self.timer.poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        over
    }

    fn tick(&self, waker: &Waker, dial: bool) -> (bool, Option<Dial>, Option<Deadline>) {
        self.shared.work(|core, wake| {
            self.shared.woken.store(false, Ordering::Release);
            core.link = Some(waker.clone());
            let now = clock::now();
            if core.machine.poll_timeout().is_some_and(|d| d.at <= now) {
                core.machine.handle_timeout(now);
            }
            core.route(wake);
            let dial = if dial { core.machine.poll_connect(now) } else { None };
            core.route(wake);
            let deadline = core.machine.poll_timeout();
            core.armed = deadline.map(|d| d.at);
            (core.machine.is_closed(), dial, deadline)
        })
    }
}

/// The client's side of one connection.
#[derive(Debug)]
struct Link(Arc<Shared>);

impl Machine for Link {
    fn register(&mut self, waker: &Waker) {
        self.0.work(|core, _| core.link = Some(waker.clone()));
    }

    fn is_woken(&self) -> bool {
        self.0.woken.load(Ordering::Acquire)
    }

    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next {
        let Turn { due, eof, input, output } = turn;
        self.0.work(|core, wake| {
            self.0.woken.store(false, Ordering::Release);
            if due {
                core.machine.handle_timeout(now);
            }
            if due || !input.filled().is_empty() {
                core.machine.recv(now, input);
                core.route(wake);
            }
            if eof {
                core.machine.handle_eof(now);
            }
            core.route(wake);
            let transport = core.machine.poll_transmit(now, output);
            core.route(wake);
            let deadline = core.machine.poll_timeout();
            core.armed = deadline.map(|d| d.at);
            let reads = core.machine.wants_read();
            Next { transport, deadline, blocked: false, reads, yields: !wake.is_empty() }
        })
    }

    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        self.0.work(|core, _| {
            core.machine.handle_written(now, written, waiting);
            core.machine.poll_timeout()
        })
    }

    fn gone(&mut self, now: Instant) {
        self.0.work(|core, wake| {
            core.machine.handle_transport_gone(now);
            core.route(wake);
        });
    }
}
