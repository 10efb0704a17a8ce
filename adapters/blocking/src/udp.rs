//! A socket for datagrams, that a thread waits for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_driver::datagram::{Batch, DatagramSocket, Transmit};
use rustix::event::PollFlags;

use crate::thread::{Socket, attempt};

pub(crate) struct Datagrams {
    socket: bowline_udp::Socket,
    /// The same, to wait for.
    ready: Socket,
}

pub(crate) fn bind(at: SocketAddr) -> io::Result<Datagrams> {
    let socket = bowline_udp::Socket::bind(at)?;
    let ready: Arc<UdpSocket> = Arc::new(socket.inner().try_clone()?);
    Ok(Datagrams { socket, ready })
}

impl DatagramSocket for Datagrams {
    fn poll_recv(&self, _: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>> {
        attempt(&self.ready, PollFlags::IN, || self.socket.try_recv(to))
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit, octets: &[u8]) -> Poll<io::Result<()>> {
        attempt(&self.ready, PollFlags::OUT, || self.socket.try_send(transmit, octets))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.inner().local_addr()
    }

    fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }
}
