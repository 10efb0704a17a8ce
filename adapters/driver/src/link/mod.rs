//! The task of a client, whatever it speaks: connects when its machine says so, and runs an engine over
//! what stands.

mod shared;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf};
use bowline_core::datagram::Delivery;
use bowline_core::endpoint::client::{self, Carrier, Dial};
use bowline_core::endpoint::mqtt_client;
use bowline_core::lifecycle::Transport;
use bowline_core::stack::Alpn;
use bowline_core::time::{Deadline, Instant};

pub(crate) use shared::{Core, Shared, Slot};

use crate::layer::{Connector, Layered};
use crate::machine::{Machine, Next, Output, Turn};
use crate::runtime::{Runtime, Timer, Transport as _};
use crate::{Address, Engine, clock, datagram};

/// A machine over one connection after another.
pub(crate) trait Dialing: Send + 'static {
    fn poll_connect(&mut self, now: Instant) -> Option<Dial>;
    fn handle_connected(&mut self, now: Instant, carrier: &Carrier);
    fn handle_connect_failed(&mut self, now: Instant);
    fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf);
    fn wants_read(&self) -> bool;
    fn poll_transmit(&mut self, now: Instant, out: &mut Output) -> Transport;
    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize);
    fn handle_eof(&mut self, now: Instant);
    fn handle_transport_gone(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Deadline>;
    fn handle_timeout(&mut self, now: Instant);
    fn is_closed(&self) -> bool;
    fn set_max_datagram(&mut self, max: usize) {
        let _ = max;
    }
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        let _ = (now, datagram);
    }
    fn poll_datagram(&mut self) -> Option<(Delivery, Vec<u8>)> {
        None
    }
    fn has_datagrams(&self) -> bool {
        false
    }
}

macro_rules! dialing {
    ($($machine:ty { $($more:item)* }),*) => {
        $(impl Dialing for $machine {
            fn poll_connect(&mut self, now: Instant) -> Option<Dial> {
                self.poll_connect(now)
            }
            fn handle_connected(&mut self, now: Instant, carrier: &Carrier) {
                self.handle_connected_over(now, carrier);
            }
            fn handle_connect_failed(&mut self, now: Instant) {
                self.handle_connect_failed(now);
            }
            fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf) {
                self.recv(now, buf);
            }
            fn wants_read(&self) -> bool {
                self.wants_read()
            }
            fn poll_transmit(&mut self, now: Instant, out: &mut Output) -> Transport {
                self.poll_transmit(now, out)
            }
            fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
                self.handle_written(now, written, waiting);
            }
            fn handle_eof(&mut self, now: Instant) {
                self.handle_eof(now);
            }
            fn handle_transport_gone(&mut self, now: Instant) {
                self.handle_transport_gone(now);
            }
            fn poll_timeout(&self) -> Option<Deadline> {
                self.poll_timeout()
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn is_closed(&self) -> bool {
                self.is_closed()
            }
            $($more)*
        })*
    };
}

dialing!(
    client::Client {
        fn set_max_datagram(&mut self, max: usize) {
            self.set_max_datagram(max);
        }
        fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
            self.handle_datagram(now, datagram);
        }
        fn poll_datagram(&mut self) -> Option<(Delivery, Vec<u8>)> {
            self.poll_datagram()
        }
        fn has_datagrams(&self) -> bool {
            self.has_datagrams()
        }
    },
    mqtt_client::Client {}
);

/// Is told of each attempt that failed: where, and why.
pub(crate) type OnFailure = Arc<dyn Fn(&Address, &io::Error) + Send + Sync>;

/// Where to connect, and for how long to try.
pub(crate) struct Endpoints {
    pub(crate) addresses: Vec<Address>,
    pub(crate) connect_timeout: Duration,
    /// Whether to go where a draining server says.
    pub(crate) follow: bool,
    /// The port of an address that names none.
    pub(crate) port: u16,
    pub(crate) max_frame: u32,
    /// What is spoken, where there is no WebSocket.
    pub(crate) alpn: Alpn,
    pub(crate) how: How,
}

/// What a client's builder says of how to connect.
#[derive(Clone, Default)]
pub(crate) struct How {
    pub(crate) tls: Option<Arc<dyn Connector>>,
    pub(crate) on_failure: Option<OnFailure>,
    /// How sessions over UDP are secured.
    pub(crate) datagrams: Option<datagram::Config>,
}

impl fmt::Debug for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("How").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Endpoints {
    fn resolve(&self, dial: &Dial) -> Option<Address> {
        let told =
            dial.address.as_deref().filter(|_| self.follow).and_then(|a| Address::parse(a, self.port).ok());
        // Whoever was given secured addresses alone is not led out of TLS.
        let all = self.addresses.iter().all(Address::is_secured);
        let told = told.map(|told| if all { told.secured() } else { told });
        told.or_else(|| self.addresses.get(dial.endpoint).cloned())
    }
}

/// Runs until the machine is closed.
pub(crate) async fn run<R: Runtime, C: Core>(runtime: R, shared: Arc<Shared<C>>, endpoints: Endpoints) {
    let mut idle = Idle { shared: Arc::clone(&shared), timer: runtime.timer() };
    loop {
        let Some(dial) = poll_fn(|cx| idle.poll_dial(cx)).await else { return };
        let address = endpoints.resolve(&dial);
        let carrier = address.as_ref().map(Address::carrier).unwrap_or_default();
        let stream = match &address {
            Some(address) => connect(&runtime, address, &endpoints, &mut idle).await,
            None => None,
        };
        let now = clock::now();
        let Some(stream) = stream else {
            shared.work(|held, wake| {
                held.core.machine().handle_connect_failed(now);
                held.core.route(wake);
            });
            continue;
        };
        shared.work(|held, _| held.core.machine().handle_connected(now, &carrier));
        let link = Link(Arc::clone(&shared));
        Engine::new(stream, link, runtime.timer(), endpoints.max_frame).await;
    }
}

/// Nothing if it failed, took too long, or the client was closed meanwhile.
async fn connect<R: Runtime, C: Core>(
    runtime: &R,
    address: &Address,
    endpoints: &Endpoints,
    idle: &mut Idle<C, R::Timer>,
) -> Option<Layered<R::Stream>> {
    let mut connecting = pin!(open(runtime, address, endpoints));
    let mut limit = runtime.timer();
    limit.reset(clock::now() + endpoints.connect_timeout);
    let tell = |error: &io::Error| {
        if let Some(tell) = &endpoints.how.on_failure {
            tell(address, error);
        }
    };
    poll_fn(|cx| {
        if let Poll::Ready(done) = connecting.as_mut().poll(cx) {
            return Poll::Ready(done.inspect_err(tell).ok());
        }
        if limit.poll(cx).is_ready() {
            tell(&io::ErrorKind::TimedOut.into());
            return Poll::Ready(None);
        }
        if idle.poll_over(cx) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// A connection, and what secures it.
async fn open<R: Runtime>(
    runtime: &R,
    address: &Address,
    endpoints: &Endpoints,
) -> io::Result<Layered<R::Stream>> {
    if let Address::Udp(to) = address {
        let config = endpoints.how.datagrams.clone().ok_or_else(datagram::unsaid)?;
        return Ok(Layered::Secured(Box::new(datagram::connect(runtime, to, config).await?)));
    }
    let tls = match &endpoints.how.tls {
        _ if !address.is_secured() => None,
        None => return Err(io::Error::new(io::ErrorKind::Unsupported, NO_TLS)),
        tls => tls.as_ref(),
    };
    let stream = runtime.connect(address.clone().transport()).await?;
    let Some(tls) = tls else { return Ok(Layered::Plain(stream)) };
    let alpn = match address.carrier() {
        Carrier::WebSocket { .. } => Alpn::Http,
        _ => endpoints.alpn,
    };
    let mut stream = tls.connect(Box::new(stream), address.host(), Some(alpn))?;
    poll_fn(|cx| stream.poll_open(cx)).await?;
    Ok(Layered::Secured(stream))
}

const NO_TLS: &str = "the address is for TLS, and nothing says whom to trust; say it with Builder::tls";

/// Gives the machine its time while no connection does.
struct Idle<C, T> {
    shared: Arc<Shared<C>>,
    timer: T,
}

impl<C: Core, T: Timer> Idle<C, T> {
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
        self.shared.work(|held, wake| {
            self.shared.woken.store(false, Ordering::Release);
            held.link = Some(waker.clone());
            let now = clock::now();
            if held.core.machine().poll_timeout().is_some_and(|d| d.at <= now) {
                held.core.machine().handle_timeout(now);
            }
            held.core.route(wake);
            let dial = if dial { held.core.machine().poll_connect(now) } else { None };
            held.core.route(wake);
            let deadline = held.core.machine().poll_timeout();
            held.armed = deadline.map(|d| d.at);
            (held.core.machine().is_closed(), dial, deadline)
        })
    }
}

/// The client's side of one connection.
#[derive(Debug)]
struct Link<C>(Arc<Shared<C>>);

impl<C: Core> Machine for Link<C> {
    fn register(&mut self, waker: &Waker) {
        self.0.work(|held, _| held.link = Some(waker.clone()));
    }

    fn is_woken(&self) -> bool {
        self.0.woken.load(Ordering::Acquire)
    }

    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next {
        let Turn { due, eof, input, output } = turn;
        self.0.work(|held, wake| {
            self.0.woken.store(false, Ordering::Release);
            if due {
                held.core.machine().handle_timeout(now);
            }
            if due || !input.filled().is_empty() {
                held.core.machine().recv(now, input);
                held.core.route(wake);
            }
            if eof {
                held.core.machine().handle_eof(now);
            }
            held.core.route(wake);
            let transport = held.core.machine().poll_transmit(now, output);
            held.core.route(wake);
            let deadline = held.core.machine().poll_timeout();
            held.armed = deadline.map(|d| d.at);
            let reads = held.core.machine().wants_read();
            Next { transport, deadline, blocked: false, reads, yields: !wake.is_empty() }
        })
    }

    fn set_max_datagram(&mut self, _: Instant, max: usize) {
        self.0.work(|held, _| held.core.machine().set_max_datagram(max));
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.0.work(|held, wake| {
            held.core.machine().handle_datagram(now, datagram);
            held.core.route(wake);
        });
    }

    fn poll_datagram(&mut self, _: Instant) -> Option<(Delivery, Vec<u8>)> {
        self.0.work(|held, _| held.core.machine().poll_datagram())
    }

    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        self.0.work(|held, _| {
            held.core.machine().handle_written(now, written, waiting);
            held.core.machine().poll_timeout()
        })
    }

    fn gone(&mut self, now: Instant) {
        self.0.work(|held, wake| {
            held.core.machine().set_max_datagram(0);
            held.core.machine().handle_transport_gone(now);
            held.core.route(wake);
        });
    }
}
