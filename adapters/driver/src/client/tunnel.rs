//! Tunnels through a server that relays.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_core::endpoint::client::{Piece, ResetCode, TunnelId, TunnelState};

use super::{Client, Error};
use crate::inbox::Inbox;
use crate::runtime::{Runtime, Transport};
use crate::{Address, ListeningSocket, clock};

/// A connection to a target, through the server; see [`Client::tunnel`].
///
/// It is a [`Transport`], so whatever runs over one runs over it: another client of ours, or TLS, of which
/// the relay then sees nothing but octets. Runtimes have their own traits for it (`bowline-tokio`'s
/// `TunnelStream`, `bowline-blocking`'s `Tunnel`).
///
/// Dropped, what was written is still sent, and then the end; what comes is broken off.
pub struct Tunnel<R: Runtime> {
    client: Client<R>,
    id: TunnelId,
    inbox: Inbox,
}

impl<R: Runtime> fmt::Debug for Tunnel<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("id", &self.id.get()).finish_non_exhaustive()
    }
}

/// Asks for a tunnel, and waits for the answer.
pub(super) async fn open<R: Runtime>(client: &Client<R>, target: &str) -> Result<Tunnel<R>, Error> {
    let id = client.0.shared.call(|core| {
        let id = core.machine.open_tunnel(clock::now(), target)?;
        core.tunnels.insert(id, Vec::new());
        Ok::<_, Error>(id)
    })?;
    let tunnel = Tunnel { client: client.clone(), id, inbox: Inbox::default() };
    poll_fn(|cx| {
        tunnel.client.0.shared.call(|core| match core.machine.tunnel(id) {
            Some(TunnelState::Waiting | TunnelState::Opening) => {
                core.await_tunnel(id, cx.waker());
                Poll::Pending
            }
            Some(TunnelState::Open) => Poll::Ready(Ok(())),
            Some(TunnelState::Refused(status, reason)) => {
                Poll::Ready(Err(Error::Status { status: *status, reason: reason.clone() }))
            }
            _ => Poll::Ready(Err(core.closed.clone().map_or(Error::Disconnected, Error::Closed))),
        })
    })
    .await?;
    Ok(tunnel)
}

/// Why nothing goes through a tunnel any more.
fn ended(state: Option<&TunnelState>) -> io::Error {
    match state {
        Some(TunnelState::Reset(code)) => {
            io::Error::new(ErrorKind::ConnectionReset, format!("the tunnel was broken off: {code}"))
        }
        Some(TunnelState::Lost) => {
            io::Error::new(ErrorKind::ConnectionAborted, "the connection to the relay was lost")
        }
        _ => ErrorKind::BrokenPipe.into(),
    }
}

impl<R: Runtime> Transport for Tunnel<R> {
    /// Cancel safety: what was read is in `to`, and nothing else is taken.
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.inbox.is_empty() {
            let (id, taken) = (self.id, self.inbox.take_read());
            let piece = self.client.0.shared.call(|core| {
                core.machine.tunnel_consumed(clock::now(), id, taken);
                match core.machine.read_tunnel(id) {
                    Piece::Nothing if core.machine.tunnel(id) == Some(&TunnelState::Open) => {
                        core.await_tunnel(id, cx.waker());
                        Ok(Piece::Nothing)
                    }
                    Piece::Nothing => Err(ended(core.machine.tunnel(id))),
                    piece => Ok(piece),
                }
            });
            match piece? {
                Piece::Octets(octets) => self.inbox.fill(octets),
                Piece::End => return Poll::Ready(Ok(0)),
                Piece::Nothing => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(self.inbox.read(to)))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let id = self.id;
        self.client.0.shared.call(|core| {
            let now = clock::now();
            let written: usize = from.iter().map(|piece| core.machine.write_tunnel(now, id, piece)).sum();
            match core.machine.tunnel(id) {
                Some(TunnelState::Open) if written == 0 => {
                    core.await_tunnel(id, cx.waker());
                    Poll::Pending
                }
                Some(TunnelState::Open) => Poll::Ready(Ok(written)),
                state => Poll::Ready(Err(ended(state))),
            }
        })
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.id;
        self.client.0.shared.call(|core| core.machine.finish_tunnel(clock::now(), id));
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        let id = self.id;
        self.client.0.shared.call(|core| {
            core.machine.reset_tunnel(clock::now(), id, ResetCode::Broken);
        });
    }
}

impl<R: Runtime> Drop for Tunnel<R> {
    fn drop(&mut self) {
        let (id, read) = (self.id, self.inbox.take_read());
        self.client.0.shared.call(|core| {
            core.machine.tunnel_consumed(clock::now(), id, read);
            core.machine.release_tunnel(clock::now(), id);
            core.tunnels.remove(&id);
        });
    }
}

/// A runtime whose outgoing connections go through a relay: a client on it speaks to a server that the
/// relay reaches, which sees of it what the network would see. Tunnels lead through any number of relays.
///
/// ```
/// # use bowline_driver::{Runtime, client::{Client, Error, Through}};
/// # async fn example<R: Runtime>(runtime: R) -> Result<(), Error> {
/// let relay = Client::builder_on(runtime, "relay.example").connect().await?;
/// let inside = Client::builder_on(Through::new(relay.clone()), "hub.internal:7790").connect().await?;
/// // In TLS between the relay and the hub:
/// let through = Through::new(relay).target("tls://hub.internal:7791");
/// let inside = Client::builder_on(through, "hub.internal").connect().await?;
/// # Ok(())
/// # }
/// ```
pub struct Through<R: Runtime> {
    relay: Client<R>,
    target: Option<Arc<str>>,
}

impl<R: Runtime> Through<R> {
    /// Connects through the server of this client.
    #[must_use]
    pub const fn new(relay: Client<R>) -> Self {
        Self { relay, target: None }
    }

    /// Connects to this target, whatever the client is given: in words of the relay, which has more of them
    /// (`tls://`, `wss://`, `bowline+udp://`). What the relay speaks with it is not spoken by the client.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.into());
        self
    }
}

impl<R: Runtime> Clone for Through<R> {
    fn clone(&self) -> Self {
        Self { relay: self.relay.clone(), target: self.target.clone() }
    }
}

impl<R: Runtime> fmt::Debug for Through<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through").field("relay", &self.relay).field("target", &self.target).finish()
    }
}

impl<R: Runtime> Runtime for Through<R> {
    type Stream = Tunnel<R>;
    type Listener = R::Listener;
    type Timer = R::Timer;

    fn timer(&self) -> R::Timer {
        self.relay.0.runtime.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.relay.0.runtime.spawn(task);
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.relay.0.runtime.spawn_blocking(work);
    }

    async fn connect(&self, to: Address) -> io::Result<Tunnel<R>> {
        let target = match (&self.target, to) {
            (Some(target), _) => target.to_string(),
            (None, Address::Tcp(to)) => to,
            (None, Address::Unix(path)) => format!("unix:{}", path.display()),
            _ => return Err(ErrorKind::Unsupported.into()),
        };
        self.relay.tunnel(&target).await.map_err(io::Error::other)
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<R::Listener> {
        self.relay.0.runtime.listen(socket)
    }
}
