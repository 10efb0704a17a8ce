//! Tunnels: a task for each joins it to its target. What may be connected to, and for how long, the
//! machine decides.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bowline_core::endpoint::server::{TunnelFailure, TunnelKey};
use bowline_core::relay::{Allowed, Host, Over, Target, TargetPattern};
use bowline_core::session::{Piece, ResetCode};
use bowline_core::stack::Alpn;
use parking_lot::Mutex;

use super::shared::{Phase, Shared};
use crate::inbox::Inbox;
use crate::layer::{Connector, Layered};
use crate::link::Slot;
use crate::runtime::{Runtime, Transport};
use crate::splice::Splice;
use crate::web::Web;
use crate::{Address, clock, datagram};

/// How a relay reaches targets over TLS and UDP: whom it trusts there, and who it is. See
/// [`Builder::egress`](super::Builder::egress).
///
/// ```
/// # use bowline_driver::{Connector, datagram, server::Egress};
/// # fn with(tls: impl Connector, datagrams: datagram::Config) -> Egress {
/// Egress::new().tls(tls).datagrams(datagrams)
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Egress {
    tls: Option<Arc<dyn Connector>>,
    datagrams: Option<datagram::Config>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datagrams = self.datagrams.is_some();
        f.debug_struct("Egress").field("tls", &self.tls.is_some()).field("datagrams", &datagrams).finish()
    }
}

impl Egress {
    /// Nobody is trusted, and there are no keys: TCP, Unix sockets and WebSockets without TLS are reached.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reaches targets over TLS, and trusts whom this trusts.
    #[must_use]
    pub fn tls(mut self, tls: impl Connector) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// Reaches targets by sessions over UDP, which are secured so.
    #[must_use]
    pub fn datagrams(mut self, config: datagram::Config) -> Self {
        self.datagrams = Some(config);
        self
    }

    /// The first target of these that cannot be reached so.
    pub(super) fn lacks(&self, allowed: &Allowed) -> Option<TargetPattern> {
        let lacks = |pattern: &&TargetPattern| {
            (pattern.is_tls() && self.tls.is_none()) || (pattern.is_udp() && self.datagrams.is_none())
        };
        allowed.patterns().find(lacks).cloned()
    }
}

/// Begins a task for each tunnel, until the server is stopped.
pub(super) async fn relay<R: Runtime>(runtime: R, shared: Arc<Shared>) {
    while let Some((key, target)) = poll_fn(|cx| next(&shared, cx)).await {
        runtime.spawn(run(runtime.clone(), Port::new(Arc::clone(&shared), key), target));
    }
}

fn next(shared: &Shared, cx: &Context<'_>) -> Poll<Option<(TunnelKey, Target)>> {
    shared.with(|core, _| {
        if core.phase == Phase::Stopped {
            return Poll::Ready(None);
        }
        core.watch(cx.waker());
        match core.dials.pop_front() {
            Some(dial) => Poll::Ready(Some(dial)),
            None => {
                core.dialer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
}

async fn run<R: Runtime>(runtime: R, port: Port, target: Target) {
    let reached = while_wanted(&port, reach(&runtime, &port, target)).await;
    match reached {
        Some(Ok(stream)) => {
            port.shared.with(|core, _| core.machine.tunnel_connected(clock::now(), port.key));
            // How it ended is told by the machine.
            let _ = match stream {
                Layered::Plain(stream) => Splice::new(port, stream).await,
                Layered::Secured(stream) => Splice::new(port, stream).await,
            };
        }
        Some(Err(Some(Failed { why, detail }))) => {
            port.shared.with(|core, _| core.machine.tunnel_failed(clock::now(), port.key, why, &detail));
        }
        Some(Err(None)) | None => {}
    }
}

/// Nothing where the client has gone, or its time is up.
async fn while_wanted<T>(port: &Port, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let wanted = port.shared.with(|core, _| {
            core.tunnels.insert(port.key, cx.waker().clone());
            core.machine.is_tunnel_wanted(port.key)
        });
        if !wanted {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Why a target was not reached, and in which words.
struct Failed {
    why: TunnelFailure,
    detail: String,
}

impl Failed {
    /// Nobody was reached.
    fn unreached(error: &io::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::ConnectionRefused => TunnelFailure::Refused,
            ErrorKind::NotFound => TunnelFailure::NotFound,
            _ => TunnelFailure::Unreachable,
        };
        Self { why, detail: String::new() }
    }

    /// Who was reached does not do.
    fn handshake(error: &io::Error) -> Self {
        Self { why: TunnelFailure::Handshake, detail: error.to_string() }
    }

    /// Nothing says how to speak there.
    fn unsaid(what: &str) -> Self {
        Self { why: TunnelFailure::Handshake, detail: what.into() }
    }
}

/// Connects to the target, at whichever of its addresses answers first in their order, and has the layers
/// opened that it is to be spoken with in. Without a reason where the machine has told the client.
async fn reach<R: Runtime>(
    runtime: &R,
    port: &Port,
    target: Target,
) -> Result<Layered<R::Stream>, Option<Failed>> {
    let named = target.host();
    let (over, host, number) = match target {
        Target::Unix(path) => {
            let connected = runtime.connect(Address::Unix(path.into())).await;
            return connected.map(Layered::Plain).map_err(|e| Some(Failed::unreached(&e)));
        }
        Target::Port { over, host, port } => (over, host, port),
        _ => return Err(Some(Failed::unsaid("this relay does not know such targets"))),
    };
    let egress = port.shared.with(|core, _| core.egress.clone());
    let sockets = match host {
        Host::Address(address) => vec![SocketAddr::new(address, number)],
        Host::Name(name) => {
            let found = resolve(runtime, name, number).await;
            port.shared
                .with(|core, _| core.machine.tunnel_resolved(clock::now(), port.key, &found))
                .ok_or(None)?
        }
    };
    let mut failed = Failed { why: TunnelFailure::Unreachable, detail: String::new() };
    for socket in sockets {
        let connected = match &over {
            Over::Udp => connect_udp(runtime, socket, &egress).await,
            _ => match runtime.connect(Address::Tcp(socket.to_string())).await {
                // One that answers and does not do is not tried again elsewhere.
                Ok(stream) => return layers(stream, &over, named, &egress).await.map_err(Some),
                Err(e) => Err(Failed::unreached(&e)),
            },
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(why) => failed = why,
        }
    }
    Err(Some(failed))
}

/// A session over UDP with the server there.
async fn connect_udp<R: Runtime>(
    runtime: &R,
    to: SocketAddr,
    egress: &Egress,
) -> Result<Layered<R::Stream>, Failed> {
    let Some(config) = egress.datagrams.clone() else {
        return Err(Failed::unsaid("it was not told with which keys sessions over UDP are opened"));
    };
    match datagram::connect(runtime, &to.to_string(), config).await {
        Ok(stream) => Ok(Layered::Secured(Box::new(stream))),
        Err(e) if e.kind() == ErrorKind::TimedOut => Err(Failed::unreached(&e)),
        Err(e) => Err(Failed::handshake(&e)),
    }
}

/// What is between a connection and a tunnel's octets, opened.
async fn layers<T: Transport + 'static>(
    stream: T,
    over: &Over,
    named: Option<(String, String)>,
    egress: &Egress,
) -> Result<Layered<T>, Failed> {
    let (host, field) = named.unwrap_or_default();
    let (tls, web) = match over {
        Over::Tls => (true, None),
        Over::WebSocket { tls, protocol, path } => (*tls, Some((protocol, path))),
        _ => return Ok(Layered::Plain(stream)),
    };
    let mut layered: Box<dyn Transport> = Box::new(stream);
    if tls {
        let Some(connector) = &egress.tls else {
            return Err(Failed::unsaid("it was not told whom to trust over TLS"));
        };
        let alpn = web.is_some().then_some(Alpn::Http);
        layered = connector.connect(layered, &host, alpn).map_err(|e| Failed::handshake(&e))?;
        poll_fn(|cx| layered.poll_open(cx)).await.map_err(|e| Failed::handshake(&e))?;
    }
    if let Some((protocol, path)) = web {
        layered = Box::new(Web::new(layered, &field, path, protocol));
        poll_fn(|cx| layered.poll_open(cx)).await.map_err(|e| Failed::handshake(&e))?;
    }
    Ok(Layered::Secured(layered))
}

/// The addresses of a name, which the system finds out where that delays nobody.
async fn resolve<R: Runtime>(runtime: &R, name: String, port: u16) -> Vec<IpAddr> {
    let slot = Arc::new(Mutex::new(Slot::default()));
    let answer = Arc::clone(&slot);
    runtime.spawn_blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        let found: Vec<_> = found.into_iter().flatten().map(|socket| socket.ip()).collect();
        let mut wake = Vec::new();
        answer.lock().push(found, &mut wake);
        wake.into_iter().for_each(Waker::wake);
    });
    let found = poll_fn(|cx| slot.lock().poll(cx.waker()).map_or(Poll::Pending, Poll::Ready)).await;
    found.unwrap_or_default()
}

/// The client's end of a tunnel, as a transport.
#[derive(Debug)]
struct Port {
    shared: Arc<Shared>,
    key: TunnelKey,
    inbox: Inbox,
}

impl Port {
    fn new(shared: Arc<Shared>, key: TunnelKey) -> Self {
        Self { shared, key, inbox: Inbox::default() }
    }

    /// The next piece of what came; what was taken before is out of memory.
    fn refill(&mut self, waker: &Waker) -> Option<Piece> {
        let taken = self.inbox.take_read();
        self.shared.with(|core, _| {
            core.await_tunnel(self.key, waker);
            core.machine.with_tunnel(clock::now(), self.key, |tunnel| {
                tunnel.consumed(taken);
                tunnel.read()
            })
        })
    }
}

/// What is left of a tunnel that was broken off, by whomever.
fn broken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
}

impl Transport for Port {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.inbox.is_empty() {
            match self.refill(cx.waker()) {
                Some(Piece::Octets(octets)) => self.inbox.fill(octets),
                Some(Piece::End) => return Poll::Ready(Ok(0)),
                Some(Piece::Nothing) => return Poll::Pending,
                None => return broken(),
            }
        }
        Poll::Ready(Ok(self.inbox.read(to)))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.shared.with(|core, _| {
            core.await_tunnel(self.key, cx.waker());
            core.machine.with_tunnel(clock::now(), self.key, |tunnel| {
                from.iter().map(|piece| tunnel.write(piece)).sum::<usize>()
            })
        });
        match written {
            Some(0) => Poll::Pending,
            Some(n) => Poll::Ready(Ok(n)),
            None => broken(),
        }
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.shared.with(|core, _| {
            core.machine.with_tunnel(clock::now(), self.key, |tunnel| {
                tunnel.finish();
            })
        });
        if done.is_some() { Poll::Ready(Ok(())) } else { broken() }
    }

    fn abort(&mut self) {
        self.shared.with(|core, _| {
            core.machine.with_tunnel(clock::now(), self.key, |tunnel| tunnel.reset(ResetCode::Broken))
        });
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shared.with(|core, _| {
            core.tunnels.remove(&self.key);
            core.machine.close_tunnel(clock::now(), self.key);
        });
    }
}
