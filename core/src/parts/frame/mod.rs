//! Framers: they cut a stream of bytes into frames, and put payloads into frames.
//!
//! | framer | a frame is |
//! |---|---|
//! | [`FixedFramer`] | always the same number of bytes |
//! | [`LengthFramer`] | a length, in one of eleven forms, and that many bytes |
//! | [`DelimiterFramer`] | bytes up to a byte string of your choice |
//! | [`LineFramer`] | bytes up to the end of a line |
//!
//! They serve any protocol of your own. All are [`Framer`]s, all have a maximum, and none copies or
//! holds payload: a frame is lent straight out of the receive buffer.
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::frame::{Framer, LengthField, LengthFramer};
//!
//! let mut framer = LengthFramer::new(LengthField::U16Be, 1000);
//! let (mut sending, mut receiving) = ([0; 64], [0; 64]);
//! let mut out = SliceSendBuf::new(&mut sending);
//! framer.encode(b"hello", &mut out)?;
//! assert_eq!(out.pending(), b"\x00\x05hello");
//!
//! let mut input = SliceRecvBuf::new(&mut receiving);
//! input.push(b"\x00\x05hel"); // as much as has arrived
//! assert_eq!(framer.decode(&mut input)?, None);
//! input.push(b"lo");
//! assert_eq!(framer.decode(&mut input)?, Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod delimiter;
mod fixed;
mod length;
mod line;

pub use delimiter::DelimiterFramer;
pub use fixed::FixedFramer;
pub use length::{LengthField, LengthFramer};
pub use line::{LineEnd, LineFramer};

use crate::buf::{RecvBuf, SendBuf};
use crate::error::Blocked;
use crate::varint::VarintError;

/// Cuts frames out of received bytes and puts payloads into frames.
///
/// The two directions are independent. Decoding keeps only how far it has looked, so one framer
/// decodes one stream; between its calls nothing but reading more may change the front of the
/// buffer, except right after a call that gave a frame.
pub trait Framer {
    /// The next whole frame's payload, consumed from `input`; `None` if it needs more bytes.
    ///
    /// Whatever the pieces in which the bytes arrive, the frames and the error are the same. After
    /// `None`, fewer than [`max_frame`](Framer::max_frame) bytes wait in `input` and it has room
    /// for at least one more. Call until it gives `None`.
    ///
    /// # Errors
    ///
    /// The stream breaks the framing, or announces more than the maximum or more than `input` could
    /// ever hold; a length that is too large is refused before any of its payload is awaited. From
    /// there on no frame can be found: nothing more is consumed, every further call gives the same
    /// error, and so does [`failed`](Framer::failed).
    fn decode<'b, R>(&mut self, input: &'b mut R) -> Result<Option<&'b [u8]>, FrameError>
    where
        R: RecvBuf + ?Sized;

    /// What goes before and behind `payload` on the wire, for those who write it on their own.
    ///
    /// # Errors
    ///
    /// The payload cannot be framed, so that it would not be read back as it is.
    fn envelope(&self, payload: &[u8]) -> Result<Envelope<'_>, EncodeError>;

    /// The largest payload in either direction, in bytes.
    fn max_payload(&self) -> usize;

    /// The largest frame, in bytes: a receive buffer with this limit holds every allowed one.
    fn max_frame(&self) -> usize;

    /// The error that ended decoding, if one did.
    fn failed(&self) -> Option<FrameError>;

    /// Whether the stream may end here. To be asked at its end, after decoding gave `None`.
    ///
    /// # Errors
    ///
    /// It failed before, or it ends in the middle of a frame.
    fn finish<R: RecvBuf + ?Sized>(&self, input: &R) -> Result<(), FrameError>;

    /// Puts `payload` into `out` as one frame, or takes nothing of it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Blocked`] if `out` has no room for the whole frame now; the others if the
    /// payload cannot be framed.
    #[inline]
    fn encode<S: SendBuf + ?Sized>(&self, payload: &[u8], out: &mut S) -> Result<(), EncodeError> {
        let envelope = self.envelope(payload)?;
        envelope.fits(payload.len(), out)?;
        put(envelope.head(), out);
        put(payload, out);
        put(envelope.tail(), out);
        Ok(())
    }

    /// Like [`encode`](Framer::encode), with a payload that `out` may keep by reference.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Framer::encode).
    #[cfg(feature = "alloc")]
    fn encode_shared<S>(&self, payload: &bytes::Bytes, out: &mut S) -> Result<(), EncodeError>
    where
        S: SendBuf + ?Sized,
    {
        let envelope = self.envelope(payload)?;
        envelope.fits(payload.len(), out)?;
        put(envelope.head(), out);
        out.put_shared(payload);
        put(envelope.tail(), out);
        Ok(())
    }
}

#[inline]
fn put<S: SendBuf + ?Sized>(bytes: &[u8], out: &mut S) {
    if !bytes.is_empty() {
        out.put(bytes);
    }
}

/// The longest head of a frame: a LEB128 length.
const MAX_HEAD: usize = crate::varint::leb128::MAX_LEN;

/// The bytes around a payload, from [`Framer::envelope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    head: [u8; MAX_HEAD],
    head_len: u8,
    tail: &'a [u8],
}

impl<'a> Envelope<'a> {
    const fn tail_only(tail: &'a [u8]) -> Self {
        Self { head: [0; MAX_HEAD], head_len: 0, tail }
    }

    /// What goes before the payload: at most nine bytes, perhaps none.
    #[inline]
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// What goes behind the payload, perhaps nothing.
    #[inline]
    #[must_use]
    pub const fn tail(&self) -> &'a [u8] {
        self.tail
    }

    #[inline]
    fn fits<S: SendBuf + ?Sized>(&self, payload: usize, out: &S) -> Result<(), Blocked> {
        let around = usize::from(self.head_len) + self.tail.len();
        // Subtracted, as a sum could overflow on a small machine.
        match out.room().checked_sub(around) {
            Some(room) if room >= payload => Ok(()),
            _ => Err(Blocked),
        }
    }
}

/// Decoding has ended: what was wrong, and where in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("frame at byte {at} of the stream: {fault}; decoding has ended, close the stream")]
pub struct FrameError {
    /// Where the bad frame begins, in bytes from the first one that the framer decoded.
    pub at: u64,
    /// What was wrong with it.
    pub fault: Fault,
}

/// What was wrong with a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The length says more than the maximum.
    #[error("its length announces a payload of {size} bytes, more than the maximum of {max}")]
    TooLarge {
        /// The announced payload, in bytes.
        size: u64,
        /// The framer's maximum.
        max: usize,
    },
    /// The frame has no end within the maximum.
    #[error("no end of frame after the largest payload, {max} bytes")]
    Unended {
        /// The framer's maximum.
        max: usize,
    },
    /// The frame is within the framer's maximum but can never become whole in the receive buffer.
    #[error("it takes at least {size} bytes, but the receive buffer holds only {limit}; enlarge it")]
    BufferTooSmall {
        /// What is known to be needed, in bytes with all framing.
        size: usize,
        /// The buffer's limit.
        limit: usize,
    },
    /// The length counts its own bytes and yet is smaller than they are.
    #[error("its length of {length} should count its own {header} bytes")]
    LengthTooSmall {
        /// What the length says.
        length: u64,
        /// How many bytes the length itself took.
        header: usize,
    },
    /// The length is not a LEB128 integer.
    #[error("its length is malformed: {0}")]
    Length(#[from] VarintError),
    /// A line feed without a carriage return before it, where [`LineEnd::CrLf`] is the rule.
    #[error("byte {offset} of the line is a line feed without a carriage return before it")]
    BareLineFeed {
        /// Where in the line.
        offset: usize,
    },
    /// The stream ended in the middle of the frame.
    #[error("the stream ended {have} bytes into it")]
    Truncated {
        /// How many of its bytes had come.
        have: usize,
    },
}

/// A payload was not encoded. Nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    /// No room now.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The payload is larger than the maximum.
    #[error("payload of {size} bytes: more than the maximum of {max}")]
    TooLarge {
        /// The payload, in bytes.
        size: usize,
        /// The framer's maximum.
        max: usize,
    },
    /// The payload is not of the one size that a [`FixedFramer`] takes.
    #[error("payload of {size} bytes: every frame has exactly {expected}")]
    WrongSize {
        /// The payload, in bytes.
        size: usize,
        /// The framer's size.
        expected: usize,
    },
    /// The payload contains the delimiter, or begins one that the real delimiter would complete.
    #[error("byte {at} of the payload begins a delimiter, so it would be cut there")]
    Delimiter {
        /// Where in the payload.
        at: usize,
    },
}

/// A framer cannot be made like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConfigError {
    /// Frames of no bytes would never end.
    #[error("the fixed frame size is 0; it must be at least 1 byte")]
    ZeroSize,
    /// A delimiter of no bytes is everywhere.
    #[error("the delimiter is empty; it must be at least 1 byte")]
    EmptyDelimiter,
}

/// A whole frame at the front of the received bytes: `head` bytes, `payload` bytes, and the rest up
/// to `whole`.
#[derive(Clone, Copy)]
struct Found {
    head: usize,
    payload: usize,
    whole: usize,
}

/// What all framers keep about the stream they decode.
#[derive(Clone, Copy, Debug, Default)]
struct Decoding {
    /// Bytes consumed.
    at: u64,
    failed: Option<FrameError>,
}

impl Decoding {
    /// Hands out what `measure` found at the front of `input`, or remembers why it never will.
    ///
    /// `measure` is given what has arrived and `input`'s limit.
    #[inline]
    fn decode<'b, R: RecvBuf + ?Sized>(
        &mut self,
        input: &'b mut R,
        measure: impl FnOnce(&[u8], usize) -> Result<Option<Found>, Fault>,
    ) -> Result<Option<&'b [u8]>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let limit = input.limit();
        let filled = input.filled();
        match measure(filled, limit) {
            Ok(Some(found)) => {
                self.at += found.whole as u64;
                Ok(Some(&input.take(found.whole)[found.head..found.head + found.payload]))
            }
            Ok(None) if filled.len() < limit => Ok(None),
            // A full buffer without a frame would wait for ever.
            Ok(None) => Err(self.fail(Fault::BufferTooSmall { size: filled.len().saturating_add(1), limit })),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> FrameError {
        let error = FrameError { at: self.at, fault };
        self.failed = Some(error);
        error
    }

    fn finish<R: RecvBuf + ?Sized>(&self, input: &R) -> Result<(), FrameError> {
        match (self.failed, input.filled().len()) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, have) => Err(FrameError { at: self.at, fault: Fault::Truncated { have } }),
        }
    }
}
