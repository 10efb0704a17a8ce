//! Sessions over UDP: one task for each socket, between it and the core's machine for many sessions.
//!
//! A runtime gives the socket ([`Runtime::datagram_socket`](crate::Runtime::datagram_socket)); all else is the
//! same on each. Nothing is sent or received while the lock is held that the task shares with its sessions.

mod endpoint;
mod listener;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

pub use bowline_core::datagram::{
    Config, ControllerKind, Counters, Delivery, DropReason, Ecn, Ended, Refusal, Security, Stats, Transmit,
};
#[cfg(feature = "noise")]
pub use bowline_core::datagram::{NoiseKeys, Proved};
pub use endpoint::Gauge;
pub use listener::{UdpListener, bind, connect};
pub use stream::UdpStream;

/// Nobody said how sessions are secured.
pub(crate) fn unsaid() -> io::Error {
    let what = "nothing says how sessions over UDP are secured: give the builder `datagrams` with keys";
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// So many buffers are filled by one call of the system.
pub const BATCH: usize = 8;

/// Octets of each: as many as the system may put together of one peer's datagrams. In a smaller one it would
/// cut them off without a word.
pub const BUFFER: usize = 1 << 16;

/// Datagrams of one peer that the system has put together in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Who sent them.
    pub from: SocketAddr,
    /// What their IP headers say; `NotEct` where the system does not tell.
    pub ecn: Ecn,
    /// How many octets of the buffer are theirs.
    pub len: usize,
    /// Each has so many, the last one so many or fewer.
    pub stride: usize,
}

/// What one call of the system has received.
#[derive(Debug)]
pub struct Batch {
    /// To receive into; each of [`BUFFER`] octets.
    pub buffers: Box<[Box<[u8]>; BATCH]>,
    /// What the first of them were filled with.
    pub pieces: Vec<Piece>,
}

impl Default for Batch {
    fn default() -> Self {
        let buffers = Box::new(std::array::from_fn(|_| vec![0; BUFFER].into()));
        Self { buffers, pieces: Vec::with_capacity(BATCH) }
    }
}

impl Batch {
    /// The datagrams, each with who sent it and what its IP header says.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Ecn, &[u8])> {
        self.pieces.iter().zip(self.buffers.iter()).flat_map(|(piece, buffer)| {
            let octets = &buffer[..piece.len.min(buffer.len())];
            octets.chunks(piece.stride.max(1)).map(|datagram| (piece.from, piece.ecn, datagram))
        })
    }
}

/// A socket for datagrams, that a runtime waits for.
pub trait DatagramSocket: Send + Sync + 'static {
    /// Receives what there is into `to`, as much as one call of the system brings.
    ///
    /// # Errors
    ///
    /// The socket is of no use any more; or a peer was not reachable (`ConnectionRefused`, `ConnectionReset`),
    /// which is no harm to the others.
    fn poll_recv(&self, cx: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>>;

    /// Sends `octets` as datagrams of [`Transmit::segment`] octets each, in one call of the system where it can.
    ///
    /// # Errors
    ///
    /// They were not sent, and it is no use to try again: as if they were lost.
    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit, octets: &[u8]) -> Poll<io::Result<()>>;

    /// Where it is.
    ///
    /// # Errors
    ///
    /// The system does not say.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// How many datagrams one [`poll_send`](Self::poll_send) takes.
    fn max_segments(&self) -> usize;
}
