//! What a runtime has to offer: some hundred lines for each.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bowline_core::datagram::Delivery;
use bowline_core::endpoint::server::Secured;
use bowline_core::time::Instant;

use crate::datagram::DatagramSocket;
use crate::{Address, ListeningSocket, SocketOptions};

/// A stream of bytes to a peer: a socket, or a layer over one.
///
/// All methods are as those of the runtimes' own traits: on `Pending` the task is woken when it is
/// worth calling again. Reading and writing do not disturb each other.
pub trait Transport: Send + Unpin {
    /// Ready once it can be read and written: a layer's handshake is done. Nobody has to ask; reading and
    /// writing do the same first.
    ///
    /// # Errors
    ///
    /// The connection is broken, or the handshake failed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Reads into `to`, which is not empty. Zero bytes: the peer has ended its direction.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `from`, in order, and says how much.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ends this side's direction, once all that was written is on its way.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Has the peer see, when this is dropped, that the stream was broken off and not ended; nothing is to
    /// be written or read any more. Default: nothing, for what cannot tell one from the other.
    fn abort(&mut self) {}

    /// What this layer has proved of the peer, once its handshake is done. Asked when the first octets
    /// come, and given away: a second call says nothing.
    fn secured(&mut self) -> Option<Secured> {
        None
    }

    /// The largest message that goes in a datagram beside the stream now, in octets; 0: none does.
    fn max_datagram(&self) -> usize {
        0
    }

    /// Sends a message once, in a datagram beside the stream. Says whether it was taken; it may be lost all
    /// the same.
    fn send_datagram(&mut self, delivery: Delivery, message: &[u8]) -> bool {
        let _ = (delivery, message);
        false
    }

    /// Puts the next message that came beside the stream to `to`.
    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<()> {
        let _ = (cx, to);
        Poll::Pending
    }
}

/// Where connections come in.
pub trait Listener: Send + Unpin + 'static {
    /// What a connection is.
    type Stream: Transport + 'static;

    /// The next connection, and its peer's address and port where it has them.
    ///
    /// # Errors
    ///
    /// None could be taken now.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Option<SocketAddr>)>>;

    /// Where it listens, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// The system does not say.
    fn local_address(&self) -> io::Result<Address>;
}

/// A timer that can be set again.
pub trait Timer: Send + Unpin {
    /// Fires at `at` and not before.
    fn reset(&mut self, at: Instant);

    /// Ready once it has fired. It is only polled after it was set.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A runtime: sockets, timers and tasks.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// An outgoing connection.
    type Stream: Transport + 'static;
    /// A listener.
    type Listener: Listener;
    /// A timer.
    type Timer: Timer + 'static;

    /// A timer that is not set yet.
    fn timer(&self) -> Self::Timer;

    /// Runs a task to its end, besides all others.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs what takes long or blocks where it delays nobody.
    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static);

    /// Connects, without delay of small writes.
    ///
    /// # Errors
    ///
    /// Nobody could be reached there.
    fn connect(&self, to: Address) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Takes connections from a socket that listens already, and does not block.
    ///
    /// # Errors
    ///
    /// The system does not let it.
    fn listen(&self, socket: ListeningSocket) -> io::Result<Self::Listener>;

    /// Listens, as [`ListeningSocket::bind`] does.
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's.
    fn bind(&self, to: &Address) -> io::Result<Self::Listener> {
        let mut sockets = ListeningSocket::bind(to, &SocketOptions::default())?;
        self.listen(sockets.pop().ok_or(io::ErrorKind::AddrNotAvailable)?)
    }

    /// A socket for datagrams at `at`; port 0: the system chooses. Default: there are none.
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's; or the runtime was built without them.
    fn datagram_socket(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        let _ = at;
        let what = "this runtime was built without UDP; build it with its feature `udp`";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }
}
