//! Bowline on smol: a server and a client in twenty lines.
//!
//! Tasks run on smol's global executor (`SMOL_THREADS` says how many threads it has).
//!
//! ```
//! use std::time::Duration;
//! use bowline_smol::handler::{Params, State};
//! use bowline_smol::{Client, Publish, Request, Server, SubscribeOptions};
//!
//! async fn greet(State(word): State<&'static str>, Params(params): Params) -> String {
//!     format!("{word}, {}!", params["who"])
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
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
//! })
//! # }
//! ```

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bowline_driver::core::time::Instant;
use bowline_driver::{Address, Listener, ListeningSocket, Runtime, Timer, Transport, abort_socket, clock};
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

pub use bowline_driver::client::{
    self, ClientConfig, JoinOptions, Presence, PresenceMode, Publish, Request, RoomEvent, SubscribeOptions,
};
pub use bowline_driver::handler;
pub use bowline_driver::server::{self, ServerConfig};
#[cfg(feature = "tls")]
pub use bowline_tls as tls;

/// A server on smol. See [`bowline_driver::server::Server`].
pub type Server = server::Server<Smol>;

/// A client on smol. See [`bowline_driver::client::Client`].
pub type Client = client::Client<Smol>;

/// The messages of one subscription.
pub type Subscription = client::Subscription<Smol>;

/// A room that a client is in.
pub type Room = client::Room<Smol>;

/// An MQTT client on smol, of any broker.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use bowline_smol::mqtt::{Client, Publish, Qos, SubscriptionOptions};
/// let client = Client::builder("broker.example").client_id("thermometer-7").connect().await?;
/// let mut doors = client.subscribe("home/+", SubscriptionOptions::default()).await?;
/// client.publish(Publish { qos: Qos::AtLeastOnce, ..Publish::new("home/door", "open") }).await?;
/// println!("{:?}", doors.next().await);
/// # Ok(())
/// # }
/// ```
pub mod mqtt {
    pub use bowline_driver::mqtt::*;

    /// A client on smol. See [`bowline_driver::mqtt::Client`].
    pub type Client = bowline_driver::mqtt::Client<super::Smol>;

    /// The messages of one subscription.
    pub type Subscription = bowline_driver::mqtt::Subscription<super::Smol>;
}

/// Smol, as Bowline's driver uses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Stream = Stream;
    type Listener = Incoming;
    type Timer = SmolTimer;

    fn timer(&self) -> SmolTimer {
        SmolTimer(smol::Timer::never())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        smol::unblock(work).detach();
    }

    async fn connect(&self, to: Address) -> io::Result<Stream> {
        match to {
            Address::Tcp(to) => {
                let mut failed = io::ErrorKind::AddrNotAvailable.into();
                for address in smol::net::resolve(to).await? {
                    match Async::<TcpStream>::connect(address).await {
                        Ok(stream) => {
                            stream.get_ref().set_nodelay(true)?;
                            return Ok(Stream::new(Socket::Tcp(stream)));
                        }
                        Err(e) => failed = e,
                    }
                }
                Err(failed)
            }
            Address::Unix(path) => Ok(Stream::new(Socket::Unix(Async::<UnixStream>::connect(path).await?))),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<Incoming> {
        match socket {
            ListeningSocket::Tcp(socket) => Ok(Incoming::Tcp(Async::new(socket)?)),
            ListeningSocket::Unix(socket) => Ok(Incoming::Unix(Async::new(socket)?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "udp")]
    fn datagram_socket(
        &self,
        at: SocketAddr,
    ) -> io::Result<Box<dyn bowline_driver::datagram::DatagramSocket>> {
        Ok(Box::new(bowline_udp::AsyncIo::bind(at)?))
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// The last read took all there was: the next one waits before it asks the system again.
    drained: bool,
}

impl Stream {
    const fn new(socket: Socket) -> Self {
        Self { socket, drained: false }
    }
}

impl Transport for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.drained {
            ready!(match &self.socket {
                Socket::Tcp(s) => s.poll_readable(cx),
                Socket::Unix(s) => s.poll_readable(cx),
            })?;
            self.drained = false;
        }
        let n = ready!(match &mut self.socket {
            Socket::Tcp(s) => Pin::new(s).poll_read(cx, to),
            Socket::Unix(s) => Pin::new(s).poll_read(cx, to),
        })?;
        self.drained = n < to.len();
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(s) => Pin::new(s).poll_write_vectored(cx, from),
            Socket::Unix(s) => Pin::new(s).poll_write_vectored(cx, from),
        }
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // To close an `Async` only flushes it: the peer would not learn that this direction has ended.
        Poll::Ready(match &self.socket {
            Socket::Tcp(s) => s.get_ref().shutdown(Shutdown::Write),
            Socket::Unix(s) => s.get_ref().shutdown(Shutdown::Write),
        })
    }

    fn abort(&mut self) {
        if let Socket::Tcp(s) = &self.socket {
            abort_socket(s.get_ref());
        }
    }
}

/// A listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// On TCP.
    Tcp(Async<TcpListener>),
    /// On a Unix socket.
    Unix(Async<UnixListener>),
}

impl Incoming {
    /// Nothing when nobody waits.
    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(l) => {
                let (stream, from) = l.get_ref().accept()?;
                stream.set_nodelay(true)?;
                Ok((Stream::new(Socket::Tcp(Async::new(stream)?)), Some(from)))
            }
            Self::Unix(l) => {
                let (stream, _) = l.get_ref().accept()?;
                Ok((Stream::new(Socket::Unix(Async::new(stream)?)), None))
            }
        }
    }
}

impl Listener for Incoming {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        loop {
            match self.accept() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(match self {
                Self::Tcp(l) => l.poll_readable(cx),
                Self::Unix(l) => l.poll_readable(cx),
            })?;
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(l) => Ok(Address::Tcp(l.get_ref().local_addr()?.to_string())),
            Self::Unix(l) => {
                let address = l.get_ref().local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(Address::Unix(path.into()))
            }
        }
    }
}

/// A timer.
#[derive(Debug)]
pub struct SmolTimer(smol::Timer);

impl Timer for SmolTimer {
    fn reset(&mut self, at: Instant) {
        self.0.set_at(clock::to_std(at));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
