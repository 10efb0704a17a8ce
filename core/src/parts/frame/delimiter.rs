//! Frames that end in a delimiter.

use memchr::memmem::Finder;

use super::{ConfigError, Decoding, EncodeError, Envelope, Fault, Found, FrameError, Framer};
use crate::buf::RecvBuf;

/// A frame is what comes before the next delimiter, which may be any byte string.
///
/// It remembers how far it has looked, so that however the bytes arrive, none is searched again
/// but the last few where a delimiter may have begun: fewer than the delimiter has.
///
/// ```
/// use bowline_core::buf::SliceRecvBuf;
/// use bowline_core::frame::{DelimiterFramer, EncodeError, Framer};
/// let mut framer = DelimiterFramer::new(b"--", 100)?;
/// let mut memory = [0; 64];
/// let mut input = SliceRecvBuf::new(&mut memory);
/// input.push(b"one----th-ree--fo");
/// assert_eq!(framer.decode(&mut input)?, Some(&b"one"[..]));
/// assert_eq!(framer.decode(&mut input)?, Some(&b""[..]));
/// assert_eq!(framer.decode(&mut input)?, Some(&b"th-ree"[..]));
/// assert_eq!(framer.decode(&mut input)?, None);
/// assert_eq!(framer.envelope(b"a--b"), Err(EncodeError::Delimiter { at: 1 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DelimiterFramer<'d> {
    finder: Finder<'d>,
    max: usize,
    /// No delimiter begins in this many bytes at the front of what waits.
    searched: usize,
    decoding: Decoding,
}

impl<'d> DelimiterFramer<'d> {
    /// A framer for payloads of up to `max` bytes, each followed by `delimiter`.
    ///
    /// # Errors
    ///
    /// `delimiter` is empty.
    pub fn new<D>(delimiter: &'d D, max: usize) -> Result<Self, ConfigError>
    where
        D: AsRef<[u8]> + ?Sized,
    {
        let delimiter = delimiter.as_ref();
        if delimiter.is_empty() {
            return Err(ConfigError::EmptyDelimiter);
        }
        let finder = Finder::new(delimiter);
        Ok(Self { finder, max, searched: 0, decoding: Decoding::default() })
    }

    /// The same, with a delimiter of its own instead of a borrowed one.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn into_owned(self) -> DelimiterFramer<'static> {
        let Self { finder, max, searched, decoding } = self;
        DelimiterFramer { finder: finder.into_owned(), max, searched, decoding }
    }

    fn measure(
        finder: &Finder<'_>,
        max: usize,
        searched: &mut usize,
        filled: &[u8],
    ) -> Result<Option<Found>, Fault> {
        let delimiter = finder.needle().len();
        let longest = max.saturating_add(delimiter);
        let window = &filled[..filled.len().min(longest)];
        let from = (*searched).min(window.len());
        if let Some(found) = finder.find(&window[from..]) {
            *searched = 0;
            let payload = from + found;
            return Ok(Some(Found { head: 0, payload, whole: payload + delimiter }));
        }
        if window.len() == longest {
            return Err(Fault::Unended { max });
        }
        *searched = from.max((window.len() + 1).saturating_sub(delimiter));
        Ok(None)
    }

    /// Where the first delimiter begins in `payload` followed by the delimiter, if before its end.
    fn early_delimiter(&self, payload: &[u8]) -> Option<usize> {
        let delimiter = self.finder.needle();
        self.finder.find(payload).or_else(|| {
            // One that begins in the payload and ends in the real one: the payload's last `n` bytes
            // are its first, and it goes on like itself.
            (1..delimiter.len().min(payload.len() + 1))
                .rev()
                .find(|&n| payload.ends_with(&delimiter[..n]) && delimiter.starts_with(&delimiter[n..]))
                .map(|n| payload.len() - n)
        })
    }
}

impl Framer for DelimiterFramer<'_> {
    #[inline]
    fn decode<'b, R>(&mut self, input: &'b mut R) -> Result<Option<&'b [u8]>, FrameError>
    where
        R: RecvBuf + ?Sized,
    {
        let Self { finder, max, searched, decoding } = self;
        decoding.decode(input, |filled, _| Self::measure(finder, *max, searched, filled))
    }

    fn envelope(&self, payload: &[u8]) -> Result<Envelope<'_>, EncodeError> {
        if payload.len() > self.max {
            return Err(EncodeError::TooLarge { size: payload.len(), max: self.max });
        }
        match self.early_delimiter(payload) {
            Some(at) => Err(EncodeError::Delimiter { at }),
            None => Ok(Envelope::tail_only(self.finder.needle())),
        }
    }

    fn max_payload(&self) -> usize {
        self.max
    }

    fn max_frame(&self) -> usize {
        self.max.saturating_add(self.finder.needle().len())
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
    fn no_byte_is_searched_again_but_a_possible_beginning() {
        let mut framer = DelimiterFramer::new(b"---", 100).unwrap();
        let mut memory = [0; 64];
        let mut input = SliceRecvBuf::new(&mut memory);
        for have in 1..=20usize {
            input.push(b"-x"[have % 2..][..1].as_ref());
            assert_eq!(framer.decode(&mut input), Ok(None));
            assert_eq!(framer.searched, have.saturating_sub(2));
        }
        input.push(b"---");
        assert_eq!(framer.decode(&mut input).unwrap().map(<[u8]>::len), Some(19));
        assert_eq!((framer.searched, input.filled()), (0, &b"-"[..]));
    }
}
