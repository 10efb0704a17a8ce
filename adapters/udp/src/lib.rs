//! A UDP socket that moves many datagrams at once (GSO, GRO, `recvmmsg`), by quinn-udp.
//!
//! It does not wait: each runtime does that in its own way around [`Socket::try_recv`] and [`Socket::try_send`].
//!
//! ```
//! use bowline_driver::datagram::{Batch, Ecn, Transmit};
//! use bowline_udp::Socket;
//!
//! let (a, b) = (Socket::bind("127.0.0.1:0".parse()?)?, Socket::bind("127.0.0.1:0".parse()?)?);
//! let to = b.inner().local_addr()?;
//! a.try_send(&Transmit { to, segment: 3, ecn: Ecn::Ect0 }, b"onetwo")?;
//! let mut batch = Batch::default();
//! while b.try_recv(&mut batch).is_err() {}
//! assert_eq!(batch.datagrams().next(), Some((a.inner().local_addr()?, Ecn::Ect0, &b"one"[..])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "async-io")]
mod waits;

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use bowline_driver::datagram::{BATCH, Batch, Ecn, Piece, Transmit};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
#[cfg(feature = "async-io")]
pub use waits::AsyncIo;

/// The system keeps so many octets each way until they are taken, where it lets.
const SYSTEM_BUFFER: usize = 4 << 20;

/// A socket that does not block.
pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Many datagrams in one call, each way.
    offload: bool,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Socket {
    /// A socket at `at`; port 0: the system chooses.
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's.
    pub fn bind(at: SocketAddr) -> io::Result<Self> {
        Self::new(UdpSocket::bind(at)?)
    }

    /// One that is bound already.
    ///
    /// # Errors
    ///
    /// The system does not take the settings.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system lets: less costs packets at high rates, and nothing else.
        let _ = state.set_send_buffer_size((&socket).into(), SYSTEM_BUFFER);
        let _ = state.set_recv_buffer_size((&socket).into(), SYSTEM_BUFFER);
        Ok(Self { socket, state, offload: true })
    }

    /// The same without sending many datagrams in one call, to measure what that is worth.
    #[must_use]
    pub fn without_offload(mut self) -> Self {
        self.offload = false;
        self
    }

    /// To wait for it.
    #[must_use]
    pub const fn inner(&self) -> &UdpSocket {
        &self.socket
    }

    /// How many datagrams one [`try_send`](Self::try_send) takes.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        if self.offload { self.state.max_gso_segments() } else { 1 }
    }

    /// Receives what there is.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: there is nothing.
    pub fn try_recv(&self, to: &mut Batch) -> io::Result<()> {
        to.pieces.clear();
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slices = to.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let n = self.state.recv((&self.socket).into(), &mut slices, &mut metas)?;
        to.pieces.extend(metas[..n].iter().map(|m| Piece {
            from: unmapped(m.addr),
            ecn: Ecn::from_bits(m.ecn.map_or(0, |ecn| ecn as u8)),
            len: m.len,
            stride: m.stride,
        }));
        Ok(())
    }

    /// Sends `octets` as datagrams of the segment's size.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: there is no room now. Another: they are lost, among these a probe of the path's packet size that
    /// finds out at once.
    pub fn try_send(&self, transmit: &Transmit, octets: &[u8]) -> io::Result<()> {
        self.state.try_send(
            (&self.socket).into(),
            &quinn_udp::Transmit {
                destination: transmit.to,
                ecn: EcnCodepoint::from_bits(transmit.ecn.bits()),
                contents: octets,
                segment_size: (transmit.segment < octets.len()).then_some(transmit.segment),
                src_ip: None,
            },
        )
    }
}

/// An IPv4 address that a socket of both families writes as IPv6.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
