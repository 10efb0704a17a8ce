//! Bowline on tokio: a server and a client in twenty lines.
//!
//! ```
//! use std::time::Duration;
//! use bowline_tokio::handler::{Params, State};
//! use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions};
//!
//! async fn greet(State(word): State<&'static str>, Params(params): Params) -> String {
//!     format!("{word}, {}!", params["who"])
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder()
//!         .state("Hello")
//!         .listen("127.0.0.1:0") // a port of the system's choice; "unix:/path" works as well
//!         .serve("greet/{who}", greet)
//!         .start()
//!         .await?;
//!
//!     let client = Client::builder(&server.addresses()[0].to_string()).connect().await?;
//!     assert_eq!(client.request(Request::new("greet/world", "")).await?, "Hello, world!");
//!
//!     let mut doors = client.subscribe("home/+", SubscribeOptions::default()).await?;
//!     client.publish(Publish { reliable: true, ..Publish::new("home/door", "open") }).await?;
//!     assert_eq!(doors.next().await.expect("it comes").payload(), b"open");
//!
//!     server.drain(Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bowline_driver::core::time::Instant;
use bowline_driver::{Address, Listener, ListeningSocket, Runtime, Timer, Transport, abort_socket, clock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::Sleep;

pub use bowline_driver::DEFAULT_PORT;
pub use bowline_driver::client::{
    self, ClientConfig, JoinOptions, Presence, PresenceMode, Publish, Request, RoomEvent, SubscribeOptions,
};
pub use bowline_driver::handler;
pub use bowline_driver::server::{self, ServerConfig};
#[cfg(feature = "tls")]
pub use bowline_tls as tls;

/// A server on tokio. See [`bowline_driver::server::Server`].
pub type Server = server::Server<Tokio>;

/// A client on tokio. See [`bowline_driver::client::Client`].
pub type Client = client::Client<Tokio>;

/// The messages of one subscription.
pub type Subscription = client::Subscription<Tokio>;

/// A room that a client is in.
pub type Room = client::Room<Tokio>;

mod tunnel;
pub use tunnel::TunnelStream;

/// An MQTT client on tokio, of any broker.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use bowline_tokio::mqtt::{Client, Publish, Qos, SubscriptionOptions};
/// let client = Client::builder("broker.example").client_id("thermometer-7").connect().await?;
/// let mut doors = client.subscribe("home/+", SubscriptionOptions::default()).await?;
/// client.publish(Publish { qos: Qos::AtLeastOnce, ..Publish::new("home/door", "open") }).await?;
/// println!("{:?}", doors.next().await);
/// # Ok(())
/// # }
/// ```
pub mod mqtt {
    pub use bowline_driver::mqtt::*;

    /// A client on tokio. See [`bowline_driver::mqtt::Client`].
    pub type Client = bowline_driver::mqtt::Client<super::Tokio>;

    /// The messages of one subscription.
    pub type Subscription = bowline_driver::mqtt::Subscription<super::Tokio>;
}

/// Tokio, as Bowline's driver uses it. All must be called within a runtime with I/O and time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    type Stream = Stream;
    type Listener = Incoming;
    type Timer = SleepTimer;

    fn timer(&self) -> SleepTimer {
        SleepTimer(None)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        drop(tokio::task::spawn_blocking(work));
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
        match socket {
            ListeningSocket::Tcp(socket) => Ok(Incoming::Tcp(TcpListener::from_std(socket)?)),
            ListeningSocket::Unix(socket) => Ok(Incoming::Unix(UnixListener::from_std(socket)?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "udp")]
    fn datagram_socket(
        &self,
        at: SocketAddr,
    ) -> io::Result<Box<dyn bowline_driver::datagram::DatagramSocket>> {
        Ok(Box::new(udp::bind(at)?))
    }
}

/// A socket for datagrams, that tokio waits for.
#[cfg(feature = "udp")]
mod udp {
    use std::io;
    use std::net::SocketAddr;
    use std::task::{Context, Poll, ready};

    use bowline_driver::datagram::{Batch, DatagramSocket, Transmit};
    use bowline_udp::Socket;
    use tokio::io::Interest;
    use tokio::net::UdpSocket;

    pub(super) struct Datagrams {
        socket: Socket,
        /// The same, to wait for.
        ready: UdpSocket,
    }

    pub(super) fn bind(at: SocketAddr) -> io::Result<Datagrams> {
        let socket = Socket::bind(at)?;
        let ready = UdpSocket::from_std(socket.inner().try_clone()?)?;
        Ok(Datagrams { socket, ready })
    }

    impl DatagramSocket for Datagrams {
        fn poll_recv(&self, cx: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>> {
            loop {
                ready!(self.ready.poll_recv_ready(cx))?;
                match self.ready.try_io(Interest::READABLE, || self.socket.try_recv(to)) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            }
        }

        fn poll_send(
            &self,
            cx: &mut Context<'_>,
            transmit: &Transmit,
            octets: &[u8],
        ) -> Poll<io::Result<()>> {
            loop {
                ready!(self.ready.poll_send_ready(cx))?;
                match self.ready.try_io(Interest::WRITABLE, || self.socket.try_send(transmit, octets)) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            }
        }

        fn local_address(&self) -> io::Result<SocketAddr> {
            self.socket.inner().local_addr()
        }

        fn max_segments(&self) -> usize {
            self.socket.max_segments()
        }
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
        let mut buf = ReadBuf::new(to);
        ready!(match self {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, &mut buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, &mut buf),
        })?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, from) {
            // A plain write costs the system less than one of a vector.
            (Self::Tcp(s), [one]) => Pin::new(s).poll_write(cx, one),
            (Self::Tcp(s), _) => Pin::new(s).poll_write_vectored(cx, from),
            (Self::Unix(s), _) => Pin::new(s).poll_write_vectored(cx, from),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }

    fn abort(&mut self) {
        if let Self::Tcp(s) = self {
            abort_socket(&*s);
        }
    }
}

/// A listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket.
    Unix(UnixListener),
}

impl Listener for Incoming {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(l) => {
                let (stream, from) = ready!(l.poll_accept(cx))?;
                stream.set_nodelay(true)?;
                Poll::Ready(Ok((Stream::Tcp(stream), Some(from))))
            }
            Self::Unix(l) => {
                let (stream, _) = ready!(l.poll_accept(cx))?;
                Poll::Ready(Ok((Stream::Unix(stream), None)))
            }
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(l) => Ok(Address::Tcp(l.local_addr()?.to_string())),
            Self::Unix(l) => {
                let address = l.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(Address::Unix(path.into()))
            }
        }
    }
}

/// A timer; it takes memory once it was set.
#[derive(Debug)]
pub struct SleepTimer(Option<Pin<Box<Sleep>>>);

impl Timer for SleepTimer {
    fn reset(&mut self, at: Instant) {
        let at = clock::to_std(at).into();
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.0 = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}
