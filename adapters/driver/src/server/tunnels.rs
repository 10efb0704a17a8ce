//! Tunnels: a task for each joins it to its target. What may be connected to, and for how long, the
//! machine decides.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bowline_core::endpoint::server::{TunnelFailure, TunnelKey};
use bowline_core::relay::{Host, Target};
use bowline_core::session::{Piece, ResetCode};
use parking_lot::Mutex;

use super::shared::{Phase, Shared};
use crate::inbox::Inbox;
use crate::link::Slot;
use crate::runtime::{Runtime, Transport};
use crate::splice::Splice;
use crate::{Address, clock};

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
            let _ = Splice::new(port, stream).await;
        }
        Some(Err(Some(why))) => {
            port.shared.with(|core, _| core.machine.tunnel_failed(clock::now(), port.key, why));
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

/// Connects to the target, at whichever of its addresses answers first in their order. Without a reason
/// where the machine has told the client.
async fn reach<R: Runtime>(
    runtime: &R,
    port: &Port,
    target: Target,
) -> Result<R::Stream, Option<TunnelFailure>> {
    let sockets = match target {
        Target::Unix(path) => {
            let connected = runtime.connect(Address::Unix(path.into())).await;
            return connected.map_err(|e| Some(failure(&e)));
        }
        Target::Tcp { host: Host::Address(address), port } => vec![SocketAddr::new(address, port)],
        Target::Tcp { host: Host::Name(name), port: number } => {
            let found = resolve(runtime, name, number).await;
            port.shared
                .with(|core, _| core.machine.tunnel_resolved(clock::now(), port.key, &found))
                .ok_or(None)?
        }
        _ => return Err(Some(TunnelFailure::Unreachable)),
    };
    let mut failed = TunnelFailure::Unreachable;
    for socket in sockets {
        match runtime.connect(Address::Tcp(socket.to_string())).await {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = failure(&e),
        }
    }
    Err(Some(failed))
}

fn failure(error: &io::Error) -> TunnelFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused => TunnelFailure::Refused,
        ErrorKind::NotFound => TunnelFailure::NotFound,
        _ => TunnelFailure::Unreachable,
    }
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
