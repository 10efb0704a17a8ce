//! Frames that begin with their length.

use super::{Decoding, EncodeError, Envelope, Fault, Found, FrameError, Framer, MAX_HEAD};
use crate::buf::RecvBuf;
use crate::varint::{leb128, quic};

/// How a length is written: its size, and `Be` for high bytes first or `Le` for low bytes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LengthField {
    /// One byte.
    U8,
    /// Two bytes, high first.
    U16Be,
    /// Two bytes, low first.
    U16Le,
    /// Three bytes, high first.
    U24Be,
    /// Three bytes, low first.
    U24Le,
    /// Four bytes, high first.
    U32Be,
    /// Four bytes, low first.
    U32Le,
    /// Eight bytes, high first.
    U64Be,
    /// Eight bytes, low first.
    U64Le,
    /// One, two, four or eight bytes, as in QUIC ([`quic`]).
    Quic,
    /// One to nine bytes ([`leb128`]).
    Leb128,
}

impl LengthField {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::U8,
        Self::U16Be,
        Self::U16Le,
        Self::U24Be,
        Self::U24Le,
        Self::U32Be,
        Self::U32Le,
        Self::U64Be,
        Self::U64Le,
        Self::Quic,
        Self::Leb128,
    ];

    /// The longest form of a length, in bytes.
    #[must_use]
    pub const fn max_len(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16Be | Self::U16Le => 2,
            Self::U24Be | Self::U24Le => 3,
            Self::U32Be | Self::U32Le => 4,
            Self::U64Be | Self::U64Le => 8,
            Self::Quic => quic::MAX_LEN,
            Self::Leb128 => leb128::MAX_LEN,
        }
    }

    /// The largest length that can be written.
    #[must_use]
    pub const fn max(self) -> u64 {
        match self {
            Self::Quic => quic::MAX,
            Self::Leb128 => leb128::MAX,
            _ => u64::MAX >> (64 - 8 * self.max_len()),
        }
    }

    /// How many bytes `length` takes.
    #[inline]
    const fn len_of(self, length: u64) -> usize {
        match self {
            Self::Quic => quic::encoded_len(length),
            Self::Leb128 => leb128::encoded_len(length),
            _ => self.max_len(),
        }
    }

    /// The length at the start of `bytes` and how many bytes it took; `None` if it needs more.
    #[inline]
    fn read(self, bytes: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
        Ok(match self {
            Self::U8 => bytes.first().map(|&b| (u64::from(b), 1)),
            Self::U16Be => bytes.first_chunk().map(|b| (u64::from(u16::from_be_bytes(*b)), 2)),
            Self::U16Le => bytes.first_chunk().map(|b| (u64::from(u16::from_le_bytes(*b)), 2)),
            Self::U24Be => bytes.first_chunk().map(|&[a, b, c]| (u32::from_be_bytes([0, a, b, c]).into(), 3)),
            Self::U24Le => bytes.first_chunk().map(|&[a, b, c]| (u32::from_le_bytes([a, b, c, 0]).into(), 3)),
            Self::U32Be => bytes.first_chunk().map(|b| (u64::from(u32::from_be_bytes(*b)), 4)),
            Self::U32Le => bytes.first_chunk().map(|b| (u64::from(u32::from_le_bytes(*b)), 4)),
            Self::U64Be => bytes.first_chunk().map(|b| (u64::from_be_bytes(*b), 8)),
            Self::U64Le => bytes.first_chunk().map(|b| (u64::from_le_bytes(*b), 8)),
            Self::Quic => quic::decode(bytes),
            Self::Leb128 => leb128::decode(bytes)?,
        })
    }

    /// Writes `length` to the front of `out`; returns how many bytes that were.
    #[inline]
    fn write(self, length: u64, out: &mut [u8; MAX_HEAD]) -> usize {
        let n = self.len_of(length);
        match self {
            Self::U8 | Self::U16Le | Self::U24Le | Self::U32Le | Self::U64Le => {
                out[..n].copy_from_slice(&length.to_le_bytes()[..n]);
            }
            Self::U16Be | Self::U24Be | Self::U32Be | Self::U64Be => {
                out[..n].copy_from_slice(&length.to_be_bytes()[8 - n..]);
            }
            Self::Quic => {
                let mut form = [0; quic::MAX_LEN];
                quic::encode(length, &mut form);
                out[..quic::MAX_LEN].copy_from_slice(&form);
            }
            Self::Leb128 => {
                leb128::encode(length, out);
            }
        }
        n
    }
}

/// A frame is a length and then as many bytes of payload.
///
/// ```
/// use bowline_core::buf::SliceRecvBuf;
/// use bowline_core::frame::{Fault, Framer, LengthField, LengthFramer};
/// let mut framer = LengthFramer::new(LengthField::U32Be, 1 << 20).counting_itself();
/// assert_eq!(framer.envelope(b"abc")?.head(), [0, 0, 0, 7]); // four of its own, and three
///
/// let mut memory = [0; 16];
/// let mut input = SliceRecvBuf::new(&mut memory);
/// input.push(&[0x7f, 0xff, 0xff, 0xff]); // a peer announces 2 GiB: refused, not awaited
/// let error = framer.decode(&mut input).unwrap_err();
/// assert_eq!(error.fault, Fault::TooLarge { size: 0x7fff_fffb, max: 1 << 20 });
/// assert_eq!(framer.decode(&mut input), Err(error)); // and it stays refused
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LengthFramer {
    rules: Rules,
    decoding: Decoding,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    field: LengthField,
    counts_itself: bool,
    max: usize,
}

impl LengthFramer {
    /// A framer for payloads of up to `max` bytes, and no more than `field` can say.
    #[must_use]
    pub fn new(field: LengthField, max: usize) -> Self {
        let max = usize::try_from(field.max()).unwrap_or(usize::MAX).min(max);
        Self { rules: Rules { field, counts_itself: false, max }, decoding: Decoding::default() }
    }

    /// The same, but the length counts its own bytes along with the payload's.
    #[must_use]
    pub fn counting_itself(mut self) -> Self {
        let Rules { field, max, .. } = self.rules;
        let most = field.max() - field.max_len() as u64;
        let max = usize::try_from(most).unwrap_or(usize::MAX).min(max);
        self.rules = Rules { field, counts_itself: true, max };
        self
    }
}

impl Rules {
    /// What the length field says for a payload of `size` bytes.
    #[inline]
    fn length_of(&self, size: u64) -> u64 {
        if !self.counts_itself {
            return size;
        }
        // Counting a form may take the next longer one, but never the one after: forms lie further
        // apart than their own sizes.
        let header = self.field.len_of(size + self.field.len_of(size) as u64);
        size + header as u64
    }

    #[inline]
    fn measure(&self, filled: &[u8], limit: usize) -> Result<Option<Found>, Fault> {
        let Some((length, head)) = self.field.read(filled)? else {
            return Ok(None);
        };
        let own = if self.counts_itself { head as u64 } else { 0 };
        let Some(size) = length.checked_sub(own) else {
            return Err(Fault::LengthTooSmall { length, header: head });
        };
        if size > self.max as u64 {
            return Err(Fault::TooLarge { size, max: self.max });
        }
        // At most `max`, which is a `usize`.
        let payload = size as usize;
        let whole = payload.saturating_add(head);
        if whole > limit {
            return Err(Fault::BufferTooSmall { size: whole, limit });
        }
        Ok((filled.len() >= whole).then_some(Found { head, payload, whole }))
    }
}

impl Framer for LengthFramer {
    #[inline]
    fn decode<'b, R>(&mut self, input: &'b mut R) -> Result<Option<&'b [u8]>, FrameError>
    where
        R: RecvBuf + ?Sized,
    {
        let Self { rules, decoding } = self;
        decoding.decode(input, |filled, limit| rules.measure(filled, limit))
    }

    #[inline]
    fn envelope(&self, payload: &[u8]) -> Result<Envelope<'_>, EncodeError> {
        let (size, max) = (payload.len(), self.rules.max);
        if size > max {
            return Err(EncodeError::TooLarge { size, max });
        }
        let mut head = [0; MAX_HEAD];
        let head_len = self.rules.field.write(self.rules.length_of(size as u64), &mut head) as u8;
        Ok(Envelope { head, head_len, tail: &[] })
    }

    fn max_payload(&self) -> usize {
        self.rules.max
    }

    fn max_frame(&self) -> usize {
        self.rules.max.saturating_add(self.rules.field.max_len())
    }

    fn failed(&self) -> Option<FrameError> {
        self.decoding.failed
    }

    fn finish<R: RecvBuf + ?Sized>(&self, input: &R) -> Result<(), FrameError> {
        self.decoding.finish(input)
    }
}
