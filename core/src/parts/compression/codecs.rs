//! The codecs themselves.

use alloc::vec::Vec;

use super::{Codec, Encoding, InflateError};

/// Compresses and inflates, one message after the other. It takes no memory before it is used.
#[derive(Default)]
pub struct Codecs {
    #[cfg(feature = "zstd")]
    compressor: Option<zstd::bulk::Compressor<'static>>,
    #[cfg(feature = "zstd")]
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl core::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Codecs")
    }
}

/// How hard Zstandard compresses.
#[cfg(feature = "zstd")]
const LEVEL: i32 = 3;

#[allow(
    clippy::unused_self,
    clippy::needless_pass_by_ref_mut,
    unused_variables,
    reason = "not without features"
)]
impl Codecs {
    /// Compresses a payload. Nothing where it would not get smaller, where nobody would take it (it shrinks more
    /// than [`Encoding::check`] allows), or where the codec was not built in: then it goes as it is.
    #[must_use]
    pub fn compress(&mut self, codec: Codec, payload: &[u8]) -> Option<Vec<u8>> {
        let packed = match codec {
            Codec::Lz4 => self.compress_lz4(payload)?,
            Codec::Zstd => self.compress_zstd(payload)?,
        };
        let encoding = Encoding { codec, length: payload.len() as u64 };
        (packed.len() < payload.len() && encoding.check(packed.len(), u64::MAX).is_ok()).then_some(packed)
    }

    /// Inflates a payload to at most `limit` octets.
    ///
    /// # Errors
    ///
    /// See [`InflateError`].
    pub fn inflate(
        &mut self,
        encoding: Encoding,
        payload: &[u8],
        limit: u64,
    ) -> Result<Vec<u8>, InflateError> {
        if !encoding.codec.is_available() {
            return Err(InflateError::Unavailable);
        }
        encoding.check(payload.len(), limit)?;
        let malformed = InflateError::Malformed { length: encoding.length };
        let length = usize::try_from(encoding.length).map_err(|_| malformed)?;
        let inflated = match encoding.codec {
            Codec::Lz4 => self.inflate_lz4(payload, length),
            Codec::Zstd => self.inflate_zstd(payload, length),
        };
        inflated.filter(|inflated| inflated.len() == length).ok_or(malformed)
    }

    #[cfg(feature = "lz4")]
    fn compress_lz4(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut packed = alloc::vec![0; lz4_flex::block::get_maximum_output_size(payload.len())];
        let size = lz4_flex::block::compress_into(payload, &mut packed).ok()?;
        packed.truncate(size);
        Some(packed)
    }

    #[cfg(feature = "lz4")]
    fn inflate_lz4(&mut self, payload: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut inflated = alloc::vec![0; length];
        let size = lz4_flex::block::decompress_into(payload, &mut inflated).ok()?;
        inflated.truncate(size);
        Some(inflated)
    }

    #[cfg(feature = "zstd")]
    fn compress_zstd(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.compressor.is_none() {
            self.compressor = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        self.compressor.as_mut()?.compress(payload).ok()
    }

    /// In one go into memory of the length that was said: no window is allocated, whatever the frame asks for.
    #[cfg(feature = "zstd")]
    fn inflate_zstd(&mut self, payload: &[u8], length: usize) -> Option<Vec<u8>> {
        if self.decompressor.is_none() {
            self.decompressor = zstd::bulk::Decompressor::new().ok();
        }
        let mut inflated = alloc::vec![0; length];
        let size = self.decompressor.as_mut()?.decompress_to_buffer(payload, &mut inflated[..]).ok()?;
        inflated.truncate(size);
        Some(inflated)
    }

    #[cfg(not(feature = "lz4"))]
    fn compress_lz4(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        None
    }

    #[cfg(not(feature = "lz4"))]
    fn inflate_lz4(&mut self, payload: &[u8], length: usize) -> Option<Vec<u8>> {
        None
    }

    #[cfg(not(feature = "zstd"))]
    fn compress_zstd(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        None
    }

    #[cfg(not(feature = "zstd"))]
    fn inflate_zstd(&mut self, payload: &[u8], length: usize) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(all(test, any(feature = "lz4", feature = "zstd")))]
mod tests {
    use super::super::RATIO_FLOOR;
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    const LIMIT: u64 = 16 << 20;

    fn built_in() -> impl Iterator<Item = Codec> {
        Codec::ALL.into_iter().filter(|codec| codec.is_available())
    }

    fn of(codec: Codec, length: usize) -> Encoding {
        Encoding { codec, length: length as u64 }
    }

    #[test]
    fn what_does_not_get_smaller_is_left_as_it_is() {
        for codec in built_in() {
            assert_eq!(Codecs::default().compress(codec, b""), None);
            assert_eq!(Codecs::default().compress(codec, b"abcdefgh"), None);
        }
    }

    /// Zeros shrink so much that nobody would take them for a message: beyond the floor they go as they are.
    #[test]
    fn what_shrinks_too_much_is_left_as_it_is() {
        for codec in built_in() {
            let mut codecs = Codecs::default();
            assert!(codecs.compress(codec, &vec![0; RATIO_FLOOR as usize]).is_some(), "{codec:?}");
            assert_eq!(codecs.compress(codec, &vec![0; 1 << 20]), None, "{codec:?}");
        }
    }

    #[test]
    fn bombs_are_refused_before_memory_is_taken() {
        for codec in built_in() {
            let mut codecs = Codecs::default();
            let too_large = codecs.inflate(of(codec, (LIMIT + 1) as usize), &[0; 1 << 20], LIMIT);
            assert_eq!(too_large, Err(InflateError::TooLarge { length: LIMIT + 1, limit: LIMIT }));
            let huge = Encoding { codec, length: u64::MAX >> 1 };
            assert!(matches!(codecs.inflate(huge, b"x", LIMIT), Err(InflateError::TooLarge { .. })));
            let length = 1_000_001;
            let ratio = codecs.inflate(of(codec, length), &[0; 10_000], LIMIT);
            assert_eq!(ratio, Err(InflateError::Ratio { length: length as u64, size: 10_000 }));
        }
    }

    /// One that says less than it is stops at what it said.
    #[test]
    fn what_lies_about_its_length_is_malformed() {
        for codec in built_in() {
            let mut codecs = Codecs::default();
            let packed = codecs.compress(codec, &vec![7; 60_000]).unwrap();
            for length in [0, 1, 59_999, 60_001, 65_536] {
                let malformed = InflateError::Malformed { length };
                let said = Encoding { codec, length };
                assert_eq!(codecs.inflate(said, &packed, LIMIT), Err(malformed), "{codec:?} {length}");
            }
            for end in 0..packed.len() {
                assert!(codecs.inflate(of(codec, 60_000), &packed[..end], LIMIT).is_err(), "{codec:?} {end}");
            }
            assert!(codecs.inflate(of(codec, 60_000), &packed, LIMIT).is_ok(), "it works on after errors");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_inflates_to_itself(
            piece in proptest::collection::vec(any::<u8>(), 1..200), times in 1..300_usize,
        ) {
            let payload = piece.repeat(times);
            for codec in built_in() {
                let mut codecs = Codecs::default();
                if let Some(packed) = codecs.compress(codec, &payload) {
                    prop_assert!(packed.len() < payload.len());
                    let encoding = of(codec, payload.len());
                    let inflated = codecs.inflate(encoding, &packed, LIMIT);
                    prop_assert_eq!(inflated.as_ref(), Ok(&payload));
                }
            }
        }

        #[test]
        fn no_octets_do_harm(
            octets in proptest::collection::vec(any::<u8>(), 0..2000), length in 0..200_000_u64,
        ) {
            for codec in built_in() {
                let inflated = Codecs::default().inflate(Encoding { codec, length }, &octets, 100_000);
                prop_assert!(inflated.is_err() || inflated.is_ok_and(|i| i.len() as u64 == length));
            }
        }
    }
}
