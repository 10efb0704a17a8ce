//! A session as a transport: its stream, and its messages.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_core::datagram::{Delivery, Ended, SessionKey, Stats};
use bowline_core::endpoint::server::Secured;

use super::endpoint::Shared;
use crate::clock;
use crate::runtime::Transport;

/// A session over UDP. Its reliable, ordered part is read and written as any transport's; messages that are sent
/// once go beside it.
///
/// When it is dropped, what was written is still brought away, for at most five seconds.
pub struct UdpStream {
    shared: Arc<Shared>,
    key: SessionKey,
    proved: bool,
}

impl fmt::Debug for UdpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpStream").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The code of a session that ends otherwise than was intended.
const BROKEN_OFF: u64 = 1;

/// As what is said of other transports.
pub(super) fn failure(why: &Ended) -> io::Error {
    let kind = match why {
        Ended::Idle | Ended::Handshake => ErrorKind::TimedOut,
        Ended::Refused(_) => ErrorKind::ConnectionRefused,
        Ended::Peer { .. } | Ended::Forgotten => ErrorKind::ConnectionReset,
        _ => ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, why.to_string())
}

impl UdpStream {
    pub(super) const fn new(shared: Arc<Shared>, key: SessionKey) -> Self {
        Self { shared, key, proved: false }
    }

    /// Where the peer is now.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.look(|endpoint| endpoint.peer(self.key))
    }

    /// What is known of the path.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        self.shared.look(|endpoint| endpoint.stats(self.key))
    }

    /// What the handshake has proved of the peer.
    #[cfg(feature = "noise")]
    #[must_use]
    pub fn proved(&self) -> Option<bowline_core::datagram::Proved> {
        self.shared.look(|endpoint| endpoint.proved(self.key).cloned())
    }

    /// Ready once it is open.
    ///
    /// # Errors
    ///
    /// It does not open.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.call(|inner| {
            if inner.broken {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            if let Some(why) = inner.endpoint.ended(self.key) {
                return Poll::Ready(Err(failure(why)));
            }
            let waiting = inner.waiting.entry(self.key).or_default();
            if waiting.settled {
                return Poll::Ready(Ok(()));
            }
            waiting.read = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Transport for UdpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.shared.call(|inner| {
            match inner.endpoint.read(self.key, to) {
                Some(Ok(n)) => return Poll::Ready(Ok(n)),
                Some(Err(why)) => return Poll::Ready(Err(failure(&why))),
                None if inner.broken => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                None => {}
            }
            inner.waiting.entry(self.key).or_default().read = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.shared.call(|inner| {
            if inner.broken {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            let mut written = 0;
            for piece in from.iter().filter(|piece| !piece.is_empty()) {
                match inner.endpoint.write(self.key, piece) {
                    Ok(n) => written += n,
                    Err(why) => return Poll::Ready(Err(failure(&why))),
                }
                if inner.endpoint.is_blocked(self.key) {
                    break;
                }
            }
            if written > 0 {
                return Poll::Ready(Ok(written));
            }
            inner.waiting.entry(self.key).or_default().write = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.call(|inner| inner.endpoint.finish(self.key));
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.shared.call(|inner| inner.endpoint.close(clock::now(), self.key, BROKEN_OFF, "broken off"));
    }

    fn secured(&mut self) -> Option<Secured> {
        if std::mem::replace(&mut self.proved, true) {
            return None;
        }
        #[cfg(feature = "noise")]
        {
            use bowline_core::endpoint::server::{Identity, Security};
            let proved = self.proved()?;
            let mut secured = Secured::new(Security::Noise);
            secured.identity = Some(Identity::Key(proved.identity));
            secured.binding = Some(proved.binding);
            Some(secured)
        }
        #[cfg(not(feature = "noise"))]
        None
    }

    fn max_datagram(&self) -> usize {
        self.shared.look(|endpoint| endpoint.max_message(self.key))
    }

    fn send_datagram(&mut self, delivery: Delivery, message: &[u8]) -> bool {
        self.shared.call(|inner| inner.endpoint.send_message(self.key, delivery, message).is_ok())
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<()> {
        self.shared.call(|inner| {
            if inner.endpoint.recv_message(self.key, to).is_some() {
                return Poll::Ready(());
            }
            inner.waiting.entry(self.key).or_default().read = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for UdpStream {
    fn drop(&mut self) {
        self.shared.call(|inner| {
            inner.waiting.remove(&self.key);
            inner.holders -= 1;
            inner.endpoint.release(clock::now(), self.key);
        });
    }
}
