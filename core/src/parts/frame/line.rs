//! Frames that are lines.

use memchr::memchr;

use super::{Decoding, EncodeError, Envelope, Fault, Found, FrameError, Framer};
use crate::buf::RecvBuf;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnd {
    /// A line feed. A carriage return before it belongs to the line.
    Lf,
    /// A carriage return and a line feed. A line feed alone is an error: two readers who disagree
    /// about it can be played off against each other.
    CrLf,
    /// Written as a line feed; read with or without one carriage return before it.
    Either,
}

impl LineEnd {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf | Self::Either => b"\n",
            Self::CrLf => b"\r\n",
        }
    }

    /// The longest end that is read.
    const fn max_len(self) -> usize {
        match self {
            Self::Lf => 1,
            Self::CrLf | Self::Either => 2,
        }
    }
}

/// A frame is a line, without its end.
///
/// It remembers how far it has looked: no byte is searched twice, however the bytes arrive.
///
/// ```
/// use bowline_core::buf::SliceRecvBuf;
/// use bowline_core::frame::{Framer, LineEnd, LineFramer};
/// let mut framer = LineFramer::new(LineEnd::Either, 100);
/// let mut memory = [0; 64];
/// let mut input = SliceRecvBuf::new(&mut memory);
/// input.push(b"GET key\r\nQUIT\n");
/// assert_eq!(framer.decode(&mut input)?, Some(&b"GET key"[..]));
/// assert_eq!(framer.decode(&mut input)?, Some(&b"QUIT"[..]));
/// assert!(framer.envelope(b"two\nlines").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LineFramer {
    end: LineEnd,
    max: usize,
    /// No line feed is in this many bytes at the front of what waits.
    searched: usize,
    decoding: Decoding,
}

impl LineFramer {
    /// A framer for lines of up to `max` bytes, not counting their end.
    #[must_use]
    pub fn new(end: LineEnd, max: usize) -> Self {
        Self { end, max, searched: 0, decoding: Decoding::default() }
    }

    #[inline]
    fn measure(
        end: LineEnd,
        max: usize,
        searched: &mut usize,
        filled: &[u8],
    ) -> Result<Option<Found>, Fault> {
        let longest = max.saturating_add(end.max_len());
        let window = &filled[..filled.len().min(longest)];
        let from = (*searched).min(window.len());
        let Some(found) = memchr(b'\n', &window[from..]) else {
            if window.len() == longest {
                return Err(Fault::Unended { max });
            }
            *searched = window.len();
            return Ok(None);
        };
        let feed = from + found;
        let after_return = feed > 0 && window[feed - 1] == b'\r';
        let payload = match end {
            LineEnd::Lf => feed,
            LineEnd::CrLf if !after_return => return Err(Fault::BareLineFeed { offset: feed }),
            LineEnd::CrLf => feed - 1,
            LineEnd::Either => feed - usize::from(after_return),
        };
        if payload > max {
            return Err(Fault::Unended { max });
        }
        *searched = 0;
        Ok(Some(Found { head: 0, payload, whole: feed + 1 }))
    }
}

impl Framer for LineFramer {
    #[inline]
    fn decode<'b, R>(&mut self, input: &'b mut R) -> Result<Option<&'b [u8]>, FrameError>
    where
        R: RecvBuf + ?Sized,
    {
        let Self { end, max, searched, decoding } = self;
        decoding.decode(input, |filled, _| Self::measure(*end, *max, searched, filled))
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope<'_>, EncodeError> {
        if payload.len() > self.max {
            return Err(EncodeError::TooLarge { size: payload.len(), max: self.max });
        }
        if let Some(at) = memchr(b'\n', payload) {
            return Err(EncodeError::Delimiter { at });
        }
        if self.end == LineEnd::Either && payload.ends_with(b"\r") {
            return Err(EncodeError::Delimiter { at: payload.len() - 1 });
        }
        Ok(Envelope::tail_only(self.end.bytes()))
    }

    fn max_payload(&self) -> usize {
        self.max
    }

    fn max_frame(&self) -> usize {
        self.max.saturating_add(self.end.max_len())
    }

    fn failed(&self) -> Option<FrameError> {
        self.decoding.failed
    }

    fn finish<R: RecvBuf + ?Sized>(&self, input: &R) -> Result<(), FrameError> {
        self.decoding.finish(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::SliceRecvBuf;

    #[test]
    fn no_byte_is_searched_twice() {
        let mut framer = LineFramer::new(LineEnd::CrLf, 100);
        let mut memory = [0; 64];
        let mut input = SliceRecvBuf::new(&mut memory);
        for have in 1..=20 {
            input.push(b"\r");
            assert_eq!(framer.decode(&mut input), Ok(None));
            assert_eq!(framer.searched, have);
        }
        input.push(b"\n");
        assert_eq!(framer.decode(&mut input).unwrap().map(<[u8]>::len), Some(19));
        assert_eq!(framer.searched, 0);
    }
}
