//! A socket that waits by async-io.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};

use async_io::Async;
use bowline_driver::datagram::{Batch, DatagramSocket, Transmit};

use crate::Socket;

/// A socket that smol and async-std wait for.
pub struct AsyncIo {
    socket: Socket,
    ready: Async<UdpSocket>,
}

impl fmt::Debug for AsyncIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncIo").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncIo {
    /// A socket at `at`; port 0: the system chooses.
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's.
    pub fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = Socket::bind(at)?;
        let ready = Async::new_nonblocking(socket.inner().try_clone()?)?;
        Ok(Self { socket, ready })
    }
}

impl DatagramSocket for AsyncIo {
    fn poll_recv(&self, cx: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>> {
        loop {
            match self.socket.try_recv(to) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.ready.poll_readable(cx))?;
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit, octets: &[u8]) -> Poll<io::Result<()>> {
        loop {
            match self.socket.try_send(transmit, octets) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            ready!(self.ready.poll_writable(cx))?;
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.inner().local_addr()
    }

    fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }
}
