//! Another dialect's buffers: it reads and writes octets as on any transport, and the layer's frames are
//! around them.

use super::frame::{FIN, HEADER_MAX, Opcode};
use super::recv::Rx;
use super::send::{Tx, put_payload};
use super::{HEADROOM, Role, WebSocket, mask};
use crate::buf::{RecvBuf, SendBuf};

/// What a [stream](super::Carries::Stream) carries, decoded at the front of the receive buffer.
#[derive(Debug)]
pub struct Decoded<'a, B> {
    rx: &'a mut Rx,
    buf: &'a mut B,
}

impl<B: RecvBuf> RecvBuf for Decoded<'_, B> {
    #[inline]
    fn filled(&self) -> &[u8] {
        let filled = self.buf.filled();
        &filled[..self.rx.stream().min(filled.len())]
    }

    #[inline]
    fn filled_mut(&mut self) -> &mut [u8] {
        let filled = self.buf.filled_mut();
        let n = self.rx.stream().min(filled.len());
        &mut filled[..n]
    }

    #[inline]
    fn truncate(&mut self, n: usize) {
        self.rx.truncate_stream(self.buf, n);
    }

    #[inline]
    fn take(&mut self, n: usize) -> &[u8] {
        let n = n.min(self.rx.stream());
        if n == 0 { &[] } else { self.rx.consume(self.buf, n) }
    }

    #[inline]
    fn limit(&self) -> usize {
        self.buf.limit().saturating_sub(HEADROOM)
    }
}

/// Where a dialect puts what a [stream](super::Carries::Stream) carries: each unit becomes a binary
/// message.
///
/// A unit is what [`SendBuf::begin`] announces, or else a single `put`. Once one of the sides has begun to
/// close, nothing follows the Close frame (section 5.5.1): whatever is put is dropped.
#[derive(Debug)]
pub struct Framed<'a, O, R> {
    tx: &'a mut Tx<R>,
    out: &'a mut O,
    /// What is to come of the frame's payload.
    left: usize,
    key: [u8; 4],
}

impl<O: SendBuf, R: Role> Framed<'_, O, R> {
    /// Counts `n` octets, in a frame of their own where none is under way.
    #[inline]
    fn enter(&mut self, n: usize) {
        if self.left == 0 {
            self.begin(n);
        }
        debug_assert!(n <= self.left, "a unit is longer than was announced");
        self.left = self.left.saturating_sub(n);
    }
}

impl<O: SendBuf, R: Role> SendBuf for Framed<'_, O, R> {
    #[inline]
    fn room(&self) -> usize {
        if !self.tx.open {
            usize::MAX >> 1
        } else if self.tx.within {
            0 // a message that is sent in fragments has to end before
        } else if self.left > 0 {
            self.out.room()
        } else {
            self.out.room().saturating_sub(HEADER_MAX)
        }
    }

    #[inline]
    fn begin(&mut self, length: usize) {
        if self.left == 0 && length > 0 && self.tx.open {
            self.left = length;
            self.key = self.tx.put_head(self.out, FIN | Opcode::Binary as u8, length);
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || !self.tx.open {
            return;
        }
        self.enter(bytes.len());
        put_payload::<R>(self.out, bytes, self.key);
        if R::MASKS {
            self.key = mask::rotate(self.key, bytes.len());
        }
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn put_shared(&mut self, bytes: &bytes::Bytes) {
        if R::MASKS || bytes.is_empty() || !self.tx.open {
            return self.put(bytes);
        }
        self.enter(bytes.len());
        self.out.put_shared(bytes);
    }
}

impl<R: Role> WebSocket<R> {
    /// What was received and decoded of a [stream](super::Carries::Stream), for the dialect within; nothing
    /// of anything else.
    #[inline]
    pub fn decoded<'a, B: RecvBuf>(&'a mut self, buf: &'a mut B) -> Decoded<'a, B> {
        Decoded { rx: &mut self.rx, buf }
    }

    /// Where the dialect within puts what it sends.
    #[inline]
    pub fn framed<'a, O: SendBuf>(&'a mut self, out: &'a mut O) -> Framed<'a, O, R> {
        Framed { tx: &mut self.tx, out, left: 0, key: [0; 4] }
    }

    /// Both at once, for a dialect that answers while it reads.
    #[inline]
    pub fn carry<'a, B: RecvBuf, O: SendBuf>(
        &'a mut self,
        buf: &'a mut B,
        out: &'a mut O,
    ) -> (Decoded<'a, B>, Framed<'a, O, R>) {
        (Decoded { rx: &mut self.rx, buf }, Framed { tx: &mut self.tx, out, left: 0, key: [0; 4] })
    }
}
