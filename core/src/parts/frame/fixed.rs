//! Frames of one size.

use super::{ConfigError, Decoding, EncodeError, Envelope, Fault, Found, FrameError, Framer};
use crate::buf::RecvBuf;

/// Every frame is the same number of bytes, with nothing around it.
///
/// ```
/// use bowline_core::buf::SliceRecvBuf;
/// use bowline_core::frame::{FixedFramer, Framer};
/// let mut framer = FixedFramer::new(3)?;
/// let mut memory = [0; 16];
/// let mut input = SliceRecvBuf::new(&mut memory);
/// input.push(b"abcdefg");
/// assert_eq!(framer.decode(&mut input)?, Some(&b"abc"[..]));
/// assert_eq!(framer.decode(&mut input)?, Some(&b"def"[..]));
/// assert_eq!(framer.decode(&mut input)?, None);
/// assert!(framer.finish(&input).is_err()); // "g" is a frame cut short
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedFramer {
    size: usize,
    decoding: Decoding,
}

impl FixedFramer {
    /// A framer for frames of `size` bytes.
    ///
    /// # Errors
    ///
    /// `size` is 0.
    pub fn new(size: usize) -> Result<Self, ConfigError> {
        if size == 0 {
            return Err(ConfigError::ZeroSize);
        }
        Ok(Self { size, decoding: Decoding::default() })
    }
}

impl Framer for FixedFramer {
    #[inline]
    fn decode<'b, R>(&mut self, input: &'b mut R) -> Result<Option<&'b [u8]>, FrameError>
    where
        R: RecvBuf + ?Sized,
    {
        let size = self.size;
        self.decoding.decode(input, |filled, limit| {
            if size > limit {
                return Err(Fault::BufferTooSmall { size, limit });
            }
            Ok((filled.len() >= size).then_some(Found { head: 0, payload: size, whole: size }))
        })
    }

    #[inline]
    fn envelope(&self, payload: &[u8]) -> Result<Envelope<'_>, EncodeError> {
        if payload.len() != self.size {
            return Err(EncodeError::WrongSize { size: payload.len(), expected: self.size });
        }
        Ok(Envelope::tail_only(&[]))
    }

    fn max_payload(&self) -> usize {
        self.size
    }

    fn max_frame(&self) -> usize {
        self.size
    }

    fn failed(&self) -> Option<FrameError> {
        self.decoding.failed
    }

    fn finish<R: RecvBuf + ?Sized>(&self, input: &R) -> Result<(), FrameError> {
        self.decoding.finish(input)
    }
}
