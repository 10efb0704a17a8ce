//! Threads, as Bowline's driver uses them.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use bowline_driver::client::CONNECT_TIMEOUT;
use bowline_driver::{Address, Listener, ListeningSocket, Runtime, Transport, abort_socket};
use rustix::event::PollFlags;

use crate::thread::{Socket, ThreadTimer, attempt, block_on, wait_for};

/// A thread for each task.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

/// Where the system has no more threads, the work is dropped, and with it the connection that it
/// serves.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    drop(thread::Builder::new().name(name.into()).spawn(work));
}

impl Runtime for Threads {
    type Stream = Stream;
    type Listener = Incoming;
    type Timer = ThreadTimer;

    fn timer(&self) -> ThreadTimer {
        ThreadTimer::new()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn("bowline", move || block_on(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        spawn("bowline-work", work);
    }

    /// Blocks; five seconds at most for each address that the name has.
    async fn connect(&self, to: Address) -> io::Result<Stream> {
        match to {
            Address::Tcp(to) => {
                let mut failed = io::ErrorKind::AddrNotAvailable.into();
                for address in to.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                        Ok(stream) => return Stream::tcp(stream),
                        Err(e) => failed = e,
                    }
                }
                Err(failed)
            }
            Address::Unix(path) => Stream::unix(UnixStream::connect(path)?),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<Incoming> {
        match socket {
            ListeningSocket::Tcp(socket) => Ok(Incoming(Listening::Tcp(Arc::new(socket)))),
            ListeningSocket::Unix(socket) => Ok(Incoming(Listening::Unix(Arc::new(socket)))),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "udp")]
    fn datagram_socket(
        &self,
        at: SocketAddr,
    ) -> io::Result<Box<dyn bowline_driver::datagram::DatagramSocket>> {
        Ok(Box::new(crate::udp::bind(at)?))
    }
}

enum Kind {
    Tcp(Arc<TcpStream>),
    Unix(Arc<UnixStream>),
}

/// A connection.
pub struct Stream {
    kind: Kind,
    /// The same, to wait for.
    socket: Socket,
    /// The last read took all there was: the thread waits before it asks the system again.
    drained: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = Arc::new(stream);
        let socket: Socket = stream.clone();
        Ok(Self { kind: Kind::Tcp(stream), socket, drained: false })
    }

    fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = Arc::new(stream);
        let socket: Socket = stream.clone();
        Ok(Self { kind: Kind::Unix(stream), socket, drained: false })
    }
}

impl Transport for Stream {
    fn poll_read(&mut self, _cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.drained) {
            wait_for(Arc::clone(&self.socket), PollFlags::IN);
            return Poll::Pending;
        }
        let kind = &self.kind;
        let n = ready!(attempt(&self.socket, PollFlags::IN, || match kind {
            Kind::Tcp(s) => (&**s).read(to),
            Kind::Unix(s) => (&**s).read(to),
        }))?;
        self.drained = n > 0 && n < to.len();
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        &mut self,
        _cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        attempt(&self.socket, PollFlags::OUT, || match &self.kind {
            Kind::Tcp(s) => (&**s).write_vectored(from),
            Kind::Unix(s) => (&**s).write_vectored(from),
        })
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match &self.kind {
            Kind::Tcp(s) => s.shutdown(Shutdown::Write),
            Kind::Unix(s) => s.shutdown(Shutdown::Write),
        })
    }

    fn abort(&mut self) {
        if let Kind::Tcp(s) = &self.kind {
            abort_socket(&**s);
        }
    }
}

#[derive(Clone, Debug)]
enum Listening {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixListener>),
}

/// A listener.
#[derive(Debug)]
pub struct Incoming(Listening);

impl Listener for Incoming {
    type Stream = Stream;

    fn poll_accept(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        match &self.0 {
            Listening::Tcp(l) => {
                let socket: Socket = l.clone();
                let (stream, from) = ready!(attempt(&socket, PollFlags::IN, || l.accept()))?;
                Poll::Ready(Ok((Stream::tcp(stream)?, Some(from))))
            }
            Listening::Unix(l) => {
                let socket: Socket = l.clone();
                let (stream, _) = ready!(attempt(&socket, PollFlags::IN, || l.accept()))?;
                Poll::Ready(Ok((Stream::unix(stream)?, None)))
            }
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        match &self.0 {
            Listening::Tcp(l) => Ok(Address::Tcp(l.local_addr()?.to_string())),
            Listening::Unix(l) => {
                let address = l.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(Address::Unix(path.into()))
            }
        }
    }
}
