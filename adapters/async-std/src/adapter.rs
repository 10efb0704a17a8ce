//! The adapter.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_std::io::{Read, Write};
use async_std::net::{TcpListener, TcpStream};
use async_std::os::unix::net::{UnixListener, UnixStream};
use bowline_driver::core::time::Instant;
use bowline_driver::{Address, Listener, ListeningSocket, Runtime, Timer, Transport, abort_socket, clock};

pub use bowline_driver::client::{
    self, ClientConfig, JoinOptions, Presence, PresenceMode, Publish, Request, RoomEvent, SubscribeOptions,
};
pub use bowline_driver::handler;
pub use bowline_driver::server::{self, ServerConfig};
#[cfg(feature = "tls")]
pub use bowline_tls as tls;

/// A server on async-std. See [`bowline_driver::server::Server`].
pub type Server = server::Server<AsyncStd>;

/// A client on async-std. See [`bowline_driver::client::Client`].
pub type Client = client::Client<AsyncStd>;

/// The messages of one subscription.
pub type Subscription = client::Subscription<AsyncStd>;

/// A room that a client is in.
pub type Room = client::Room<AsyncStd>;

/// An MQTT client on async-std, of any broker.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use bowline_async_std::mqtt::{Client, Publish, Qos, SubscriptionOptions};
/// let client = Client::builder("broker.example").client_id("thermometer-7").connect().await?;
/// let mut doors = client.subscribe("home/+", SubscriptionOptions::default()).await?;
/// client.publish(Publish { qos: Qos::AtLeastOnce, ..Publish::new("home/door", "open") }).await?;
/// println!("{:?}", doors.next().await);
/// # Ok(())
/// # }
/// ```
pub mod mqtt {
    pub use bowline_driver::mqtt::*;

    /// A client on async-std. See [`bowline_driver::mqtt::Client`].
    pub type Client = bowline_driver::mqtt::Client<super::AsyncStd>;

    /// The messages of one subscription.
    pub type Subscription = bowline_driver::mqtt::Subscription<super::AsyncStd>;
}

/// Async-std, as Bowline's driver uses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = Stream;
    type Listener = Incoming;
    type Timer = SleepTimer;

    fn timer(&self) -> SleepTimer {
        SleepTimer(None)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        drop(async_std::task::spawn_blocking(work));
    }

    async fn connect(&self, to: Address) -> io::Result<Stream> {
        match to {
            Address::Tcp(to) => {
                let stream = TcpStream::connect(to).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<Incoming> {
        let address = socket.local_address()?;
        let sockets = match socket {
            ListeningSocket::Tcp(socket) => Sockets::Tcp(socket.into()),
            ListeningSocket::Unix(socket) => Sockets::Unix(socket.into()),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Incoming::new(sockets, address))
    }

    #[cfg(feature = "udp")]
    fn datagram_socket(
        &self,
        at: SocketAddr,
    ) -> io::Result<Box<dyn bowline_driver::datagram::DatagramSocket>> {
        Ok(Box::new(bowline_udp::AsyncIo::bind(at)?))
    }
}

/// A connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Transport for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, to),
            Self::Unix(s) => Pin::new(s).poll_read(cx, to),
        }
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, from),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, from),
        }
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // To close a stream does not end its direction: the peer would not learn of it.
        Poll::Ready(match self {
            Self::Tcp(s) => s.shutdown(Shutdown::Write),
            Self::Unix(s) => s.shutdown(Shutdown::Write),
        })
    }

    fn abort(&mut self) {
        if let Self::Tcp(s) = self {
            abort_socket(&*s);
        }
    }
}

#[derive(Debug)]
enum Sockets {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Sockets {
    async fn accept(self: Arc<Self>) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &*self {
            Self::Tcp(l) => {
                let (stream, from) = l.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(from)))
            }
            Self::Unix(l) => Ok((Stream::Unix(l.accept().await?.0), None)),
        }
    }
}

type Accepting = Pin<Box<dyn Future<Output = io::Result<(Stream, Option<SocketAddr>)>> + Send>>;

/// A listener.
pub struct Incoming {
    sockets: Arc<Sockets>,
    address: Address,
    /// The accept that is under way: async-std has none to poll.
    accepting: Option<Accepting>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Incoming {
    fn new(sockets: Sockets, address: Address) -> Self {
        Self { sockets: Arc::new(sockets), address, accepting: None }
    }
}

impl Listener for Incoming {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        let sockets = &self.sockets;
        let accepting = self.accepting.get_or_insert_with(|| Box::pin(Arc::clone(sockets).accept()));
        let accepted = ready!(accepting.as_mut().poll(cx));
        self.accepting = None;
        Poll::Ready(accepted)
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }
}

/// A timer: a sleep that is made anew each time it is set.
pub struct SleepTimer(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl fmt::Debug for SleepTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SleepTimer(..)")
    }
}

impl Timer for SleepTimer {
    fn reset(&mut self, at: Instant) {
        let left = at.saturating_since(clock::now());
        self.0 = Some(Box::pin(async_std::task::sleep(left)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}
