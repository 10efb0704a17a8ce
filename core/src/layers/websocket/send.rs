//! The application's messages.

use super::frame::{FIN, Head, Kind, Opcode};
use super::{Role, WebSocket, mask};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::time::Instant;

/// How many octets are masked at once on their way out.
const MASKED_AT_ONCE: usize = 512;

/// Why something was not sent. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The output buffer has no room now.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// One of the sides has begun to close.
    #[error("the connection closes; nothing can be sent on it any more")]
    Closed,
    /// Another message, which is sent in fragments, has not ended.
    #[error("a message that is sent in fragments has not ended")]
    Fragmented,
}

impl SendError {
    /// Whether the same call may succeed later on this connection.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self, SendError::Blocked(_))
    }
}

/// A whole message in its frame, for any number of connections.
///
/// ```
/// use bowline_core::buf::SharedSendBuf;
/// use bowline_core::time::Instant;
/// use bowline_core::websocket::{Carries, Config, Frame, Kind, Server, WebSocket};
/// let now = Instant::from_millis(0);
/// let frame = Frame::new(Kind::Text, b"to all");
/// for _member in 0..3 {
///     let mut server = WebSocket::new(now, Server, Carries::Messages, &Config::default());
///     let mut out = SharedSendBuf::new(1 << 16);
///     server.send_frame(now, &mut out, &frame)?;
///     assert_eq!(out.slices().collect::<Vec<_>>().concat(), b"\x81\x06to all");
/// }
/// # Ok::<(), bowline_core::websocket::SendError>(())
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug)]
pub struct Frame {
    octets: bytes::Bytes,
    head: u8,
    /// The largest window that it refers back in, where it is compressed; else 0.
    #[cfg(feature = "deflate")]
    pub(super) window: u8,
}

#[cfg(feature = "alloc")]
impl Frame {
    /// `payload` in one frame; that of a text message has to be UTF-8.
    #[must_use]
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        debug_assert!(kind == Kind::Binary || core::str::from_utf8(payload).is_ok());
        Self::of(FIN | kind.opcode() as u8, payload)
    }

    /// `payload` behind a header that begins with the octet `first`.
    pub(super) fn of(first: u8, payload: &[u8]) -> Self {
        Self {
            octets: Self::encode(first, payload),
            head: Head::size(payload.len(), false) as u8,
            #[cfg(feature = "deflate")]
            window: 0,
        }
    }

    /// It is compressed, within a window of so many bits.
    #[cfg(feature = "deflate")]
    pub(super) const fn within(mut self, bits: u8) -> Self {
        self.window = bits;
        self
    }

    /// Whether it is compressed: then it is for connections that agreed to that.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.window > 0
    }

    /// Whether it is of a text message, or of a binary one.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.octets[0] & 0x0f == Opcode::Text as u8 { Kind::Text } else { Kind::Binary }
    }

    fn encode(first: u8, payload: &[u8]) -> bytes::Bytes {
        let head = Head::new(first, payload.len(), None);
        let mut octets = alloc::vec::Vec::with_capacity(head.as_slice().len() + payload.len());
        octets.extend_from_slice(head.as_slice());
        octets.extend_from_slice(payload);
        octets.into()
    }

    /// What it carries, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.octets[usize::from(self.head)..]
    }

    /// Octets of the whole frame, as a server sends it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.octets.len()
    }
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Tx<R> {
    pub(super) role: R,
    /// Neither side has begun to close.
    pub(super) open: bool,
    /// A message is sent in fragments and has not ended.
    pub(super) within: bool,
}

impl<R: Role> Tx<R> {
    pub(super) const fn new(role: R) -> Self {
        Self { role, open: true, within: false }
    }

    /// Puts the header of a frame, and returns its key.
    #[inline]
    pub(super) fn put_head(&mut self, out: &mut impl SendBuf, first: u8, payload: usize) -> [u8; 4] {
        let key = if R::MASKS { Some(self.role.key()) } else { None };
        out.put(Head::new(first, payload, key).as_slice());
        key.unwrap_or_default()
    }

    /// Puts a whole frame, or nothing.
    #[inline]
    pub(super) fn put(&mut self, out: &mut impl SendBuf, first: u8, payload: &[u8]) -> bool {
        let fits = Head::size(payload.len(), R::MASKS).saturating_add(payload.len()) <= out.room();
        if fits {
            let key = self.put_head(out, first, payload.len());
            put_payload::<R>(out, payload, key);
        }
        fits
    }

    /// As [`put`](Self::put), by reference where nothing is masked.
    #[cfg(feature = "alloc")]
    fn put_shared(&mut self, out: &mut impl SendBuf, first: u8, payload: &bytes::Bytes) -> bool {
        if R::MASKS {
            return self.put(out, first, payload);
        }
        let fits = Head::size(payload.len(), false).saturating_add(payload.len()) <= out.room();
        if fits {
            self.put_head(out, first, payload.len());
            out.put_shared(payload);
        }
        fits
    }

    /// Puts a whole frame as a server encodes it, or nothing.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(super) fn put_encoded(&mut self, out: &mut impl SendBuf, octets: &bytes::Bytes) -> bool {
        if R::MASKS {
            let head = match octets[1] {
                ..126 => 2,
                126 => 4,
                _ => 10,
            };
            return self.put(out, octets[0], &octets[head..]);
        }
        let fits = octets.len() <= out.room();
        if fits {
            out.put_shared(octets);
        }
        fits
    }
}

/// Puts octets of a payload, masked where this side masks.
#[inline]
pub(super) fn put_payload<R: Role>(out: &mut impl SendBuf, payload: &[u8], key: [u8; 4]) {
    if !R::MASKS {
        if !payload.is_empty() {
            out.put(payload);
        }
        return;
    }
    let mut block = [0; MASKED_AT_ONCE]; // a multiple of the key
    for chunk in payload.chunks(MASKED_AT_ONCE) {
        let block = &mut block[..chunk.len()];
        block.copy_from_slice(chunk);
        mask::apply(block, key);
        out.put(block);
    }
}

impl<R: Role> WebSocket<R> {
    /// Sends a text message in one frame.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    #[inline]
    pub fn send_text(&mut self, now: Instant, out: &mut impl SendBuf, text: &str) -> Result<(), SendError> {
        self.send(now, |tx| tx.put(out, FIN | Opcode::Text as u8, text.as_bytes()))
    }

    /// Sends a binary message in one frame.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    #[inline]
    pub fn send_binary(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.send(now, |tx| tx.put(out, FIN | Opcode::Binary as u8, payload))
    }

    /// Sends a message in one frame, a large payload by reference where this side is a server. That of a
    /// text message has to be UTF-8.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn send_shared(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        kind: Kind,
        payload: &bytes::Bytes,
    ) -> Result<(), SendError> {
        debug_assert!(kind == Kind::Binary || core::str::from_utf8(payload).is_ok());
        self.send(now, |tx| tx.put_shared(out, FIN | kind.opcode() as u8, payload))
    }

    /// Sends a message that was encoded before, for many.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn send_frame(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        frame: &Frame,
    ) -> Result<(), SendError> {
        self.send(now, |tx| tx.put_encoded(out, &frame.octets))
    }

    /// Sends the next fragment of a message (section 5.4), the last one with `last`. All its fragments are of the same
    /// `kind`; those of a text message are UTF-8 together. Until the last one nothing else can be sent.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn send_fragment(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        kind: Kind,
        last: bool,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.tick(now);
        if !self.tx.open {
            return Err(SendError::Closed);
        }
        let opcode = if self.tx.within { Opcode::Continuation } else { kind.opcode() };
        let fin = if last { FIN } else { 0 };
        if !self.tx.put(out, fin | opcode as u8, payload) {
            return Err(Blocked.into());
        }
        self.tx.within = !last;
        Ok(())
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        now: Instant,
        put: impl FnOnce(&mut Tx<R>) -> bool,
    ) -> Result<(), SendError> {
        self.tick(now);
        if !self.tx.open {
            return Err(SendError::Closed);
        }
        if self.tx.within {
            return Err(SendError::Fragmented);
        }
        if put(&mut self.tx) { Ok(()) } else { Err(Blocked.into()) }
    }
}
