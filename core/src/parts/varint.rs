//! Variable-length integers: small numbers take few bytes.
//!
//! | | sizes | largest | the same number in a longer form |
//! |---|---|---|---|
//! | [`leb128`] | 1 to 9 bytes, 7 bits each | 2^63 - 1 | refused |
//! | [`quic`] | 1, 2, 4 or 8 bytes | 2^62 - 1 | accepted, as RFC 9000 §16 says |
//!
//! ```
//! use bowline_core::varint::{leb128, quic};
//! let mut out = [0; leb128::MAX_LEN];
//! assert_eq!(leb128::encode(300, &mut out), [0xac, 0x02]);
//! assert_eq!(leb128::decode(&[0xac, 0x02, 0xff]), Ok(Some((300, 2)))); // value, bytes read
//! assert_eq!(leb128::decode(&[0xac]), Ok(None)); // needs more bytes
//!
//! let mut out = [0; quic::MAX_LEN];
//! assert_eq!(quic::encode(300, &mut out), [0x41, 0x2c]);
//! assert_eq!(quic::decode(&[0x41, 0x2c]), Some((300, 2)));
//! ```

/// Why bytes are not a LEB128 integer. More bytes cannot mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VarintError {
    /// All nine bytes say that another follows.
    #[error("the integer goes on after 9 bytes, the most that is allowed")]
    TooLong,
    /// The last byte is zero, so a shorter form of the same number exists.
    #[error("the integer ends in a zero byte; the shortest form is the only one allowed")]
    NotMinimal,
}

/// Unsigned LEB128: seven bits a byte, the low ones first, the top bit set on all but the last.
///
/// Each number has exactly one form, so equal messages are equal bytes.
pub mod leb128 {
    use super::VarintError;

    /// The longest form, in bytes. Nine bytes carry 63 bits: enough to count bytes for ever, and
    /// one less than the tenth byte that a full 64 bits would take to carry one bit.
    pub const MAX_LEN: usize = 9;

    /// The largest number: 2^63 - 1.
    pub const MAX: u64 = (1 << 63) - 1;

    /// The top bit of each of eight bytes.
    const MORE: u64 = 0x8080_8080_8080_8080;

    /// The integer at the start of `bytes` and how many bytes it took; `None` if it needs more.
    ///
    /// # Errors
    ///
    /// The integer is longer than [`MAX_LEN`] or not in its shortest form.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
        match *bytes {
            [a, ..] if a < 0x80 => Ok(Some((u64::from(a), 1))),
            [a, b, ..] if b < 0x80 && b > 0 => Ok(Some((u64::from(a & 0x7f) | u64::from(b) << 7, 2))),
            _ => decode_long(bytes),
        }
    }

    /// All of [`decode`] but its fast paths: eight bytes at once where there are that many.
    fn decode_long(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
        let word = match bytes.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                // What has not come yet reads as "more follows".
                let mut chunk = MORE.to_le_bytes();
                chunk[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(chunk)
            }
        };
        let ends = !word & MORE;
        if ends == 0 {
            return match bytes.get(8) {
                None => Ok(None),
                Some(0) => Err(VarintError::NotMinimal),
                Some(&last) if last < 0x80 => Ok(Some((gather(word & !MORE) | u64::from(last) << 56, 9))),
                Some(_) => Err(VarintError::TooLong),
            };
        }
        // All bits up to the first clear top bit: the integer and nothing behind it.
        let own = ends ^ (ends - 1);
        let n = (own.count_ones() / 8) as usize;
        if n > 1 && (word >> (8 * (n - 1))) & 0xff == 0 {
            return Err(VarintError::NotMinimal);
        }
        Ok(Some((gather(word & own & !MORE), n)))
    }

    /// Eight groups of seven bits, each in its own byte, moved together.
    const fn gather(x: u64) -> u64 {
        let x = (x & 0x007f_007f_007f_007f) | ((x & 0x7f00_7f00_7f00_7f00) >> 1);
        let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
        (x & 0x0000_0000_0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4)
    }

    /// The reverse of [`gather`], of the low 56 bits.
    const fn spread(x: u64) -> u64 {
        let x = (x & 0x0fff_ffff) | ((x << 4) & 0x0fff_ffff_0000_0000);
        let x = (x & 0x0000_3fff_0000_3fff) | ((x << 2) & 0x3fff_0000_3fff_0000);
        (x & 0x007f_007f_007f_007f) | ((x << 1) & 0x7f00_7f00_7f00_7f00)
    }

    /// Writes `value` to the front of `out` and returns what was written.
    ///
    /// A `value` above [`MAX`] has no form: the result is empty, as [`encoded_len`] says before.
    #[inline]
    pub fn encode(value: u64, out: &mut [u8; MAX_LEN]) -> &[u8] {
        if value < 0x80 {
            out[0] = value as u8;
            return &out[..1];
        }
        let n = encode_long(value, out);
        &out[..n]
    }

    /// All of [`encode`] but its fast path; returns the length.
    fn encode_long(value: u64, out: &mut [u8; MAX_LEN]) -> usize {
        let n = encoded_len(value);
        let groups = spread(value);
        match n {
            0 => {}
            9 => {
                out[..8].copy_from_slice(&(groups | MORE).to_le_bytes());
                out[8] = (value >> 56) as u8;
            }
            _ => {
                let more = MORE & ((1 << (8 * (n - 1))) - 1);
                out[..8].copy_from_slice(&(groups | more).to_le_bytes());
            }
        }
        n
    }

    /// How many bytes [`encode`] writes: 1 to 9, and 0 for a `value` above [`MAX`].
    #[inline]
    #[must_use]
    pub const fn encoded_len(value: u64) -> usize {
        if value > MAX {
            return 0;
        }
        let bits = 64 - (value | 1).leading_zeros() as usize;
        bits.div_ceil(7)
    }
}

/// QUIC's integers (RFC 9000 §16): the top two bits of the first byte say how many bytes, the rest
/// is the number, high bytes first.
pub mod quic {
    /// The longest form, in bytes.
    pub const MAX_LEN: usize = 8;

    /// The largest number: 2^62 - 1.
    pub const MAX: u64 = (1 << 62) - 1;

    /// The integer at the start of `bytes` and how many bytes it took; `None` if it needs more.
    ///
    /// Longer forms than needed are accepted, as the RFC demands, so nothing here is an error.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
        let first = *bytes.first()?;
        match first >> 6 {
            0 => Some((u64::from(first), 1)),
            1 => Some((u64::from(u16::from_be_bytes(*bytes.first_chunk()?) & 0x3fff), 2)),
            2 => Some((u64::from(u32::from_be_bytes(*bytes.first_chunk()?) & 0x3fff_ffff), 4)),
            _ => Some((u64::from_be_bytes(*bytes.first_chunk()?) & MAX, 8)),
        }
    }

    /// Writes `value` to the front of `out` in its shortest form and returns what was written.
    ///
    /// A `value` above [`MAX`] has no form: the result is empty, as [`encoded_len`] says before.
    #[inline]
    pub fn encode(value: u64, out: &mut [u8; MAX_LEN]) -> &[u8] {
        let n = encoded_len(value);
        match n {
            0 => {}
            1 => out[0] = value as u8,
            2 => out[..2].copy_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
            4 => out[..4].copy_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
            _ => *out = (value | 0xc000_0000_0000_0000).to_be_bytes(),
        }
        &out[..n]
    }

    /// How many bytes [`encode`] writes: 1, 2, 4 or 8, and 0 for a `value` above [`MAX`].
    #[inline]
    #[must_use]
    pub const fn encoded_len(value: u64) -> usize {
        match value {
            0..=0x3f => 1,
            0x40..=0x3fff => 2,
            0x4000..=0x3fff_ffff => 4,
            0x4000_0000..=MAX => 8,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, a byte at a time.
    fn plain_decode(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
        let mut value = 0;
        for (i, &b) in bytes.iter().take(9).enumerate() {
            value |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                let minimal = i == 0 || b != 0;
                return if minimal { Ok(Some((value, i + 1))) } else { Err(VarintError::NotMinimal) };
            }
        }
        if bytes.len() >= 9 { Err(VarintError::TooLong) } else { Ok(None) }
    }

    /// A number of every size, each as likely.
    fn any_size() -> impl Strategy<Value = u64> {
        (0u32..64, any::<u64>()).prop_map(|(shift, x)| x >> shift)
    }

    /// Bytes that look like integers: the top bit mostly set.
    fn like_integers() -> impl Strategy<Value = std::vec::Vec<u8>> {
        let byte = prop_oneof![6 => 0x80u8.., 1 => Just(0x80u8), 1 => Just(0u8), 1 => ..0x80u8];
        proptest::collection::vec(byte, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn leb128_reads_what_it_wrote_and_waits_at_every_cut(value in any_size(), behind: [u8; 3]) {
            let mut out = [0; 9];
            let wire = leb128::encode(value, &mut out);
            prop_assert_eq!(wire.len(), leb128::encoded_len(value));
            prop_assert_eq!(wire.is_empty(), value > leb128::MAX);
            if !wire.is_empty() {
                for cut in 0..wire.len() {
                    prop_assert_eq!(leb128::decode(&wire[..cut]), Ok(None));
                }
                let mut long = wire.to_vec();
                prop_assert_eq!(leb128::decode(&long), Ok(Some((value, wire.len()))));
                long.extend(behind);
                long.extend([0xff; 8]);
                prop_assert_eq!(leb128::decode(&long), Ok(Some((value, wire.len()))));
            }
        }

        #[test]
        fn leb128_agrees_with_the_definition(bytes in like_integers()) {
            let found = leb128::decode(&bytes);
            prop_assert_eq!(found, plain_decode(&bytes));
            if let Ok(Some((value, n))) = found {
                let mut out = [0; 9];
                prop_assert_eq!(leb128::encode(value, &mut out), &bytes[..n]);
            }
        }

        #[test]
        fn quic_reads_what_it_wrote_and_waits_at_every_cut(value in any_size(), behind: [u8; 3]) {
            let mut out = [0; 8];
            let wire = quic::encode(value, &mut out);
            prop_assert_eq!(wire.len(), quic::encoded_len(value));
            prop_assert_eq!(wire.is_empty(), value > quic::MAX);
            if !wire.is_empty() {
                for cut in 0..wire.len() {
                    prop_assert_eq!(quic::decode(&wire[..cut]), None);
                }
                let long = [wire, &behind].concat();
                prop_assert_eq!(quic::decode(&long), Some((value, wire.len())));
            }
        }
    }

    #[test]
    fn leb128_at_its_edges() {
        let mut out = [0; 9];
        assert_eq!(leb128::encode(leb128::MAX, &mut out), [255, 255, 255, 255, 255, 255, 255, 255, 127]);
        for n in 1..=9u32 {
            let most = if n == 9 { leb128::MAX } else { (1 << (7 * n)) - 1 };
            assert_eq!(leb128::encoded_len(most), n as usize);
            assert_eq!(leb128::decode(leb128::encode(most, &mut out)), Ok(Some((most, n as usize))));
        }
        assert_eq!(leb128::decode(&[0x80, 0]), Err(VarintError::NotMinimal));
        assert_eq!(
            leb128::decode(&[255, 255, 255, 255, 255, 255, 255, 255, 0]),
            Err(VarintError::NotMinimal)
        );
        assert_eq!(leb128::decode(&[0xff; 9]), Err(VarintError::TooLong));
        assert_eq!(leb128::decode(&[0xff; 8]), Ok(None));
        assert!(leb128::encode(leb128::MAX + 1, &mut out).is_empty());
    }

    #[test]
    fn quic_gives_the_examples_of_the_rfc() {
        // RFC 9000, appendix A.1.
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(quic::decode(&long), Some((151_288_809_941_952_652, 8)));
        assert_eq!(quic::decode(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        assert_eq!(quic::decode(&[0x7b, 0xbd]), Some((15_293, 2)));
        assert_eq!(quic::decode(&[0x25]), Some((37, 1)));
        assert_eq!(quic::decode(&[0x40, 0x25]), Some((37, 2)));
        assert_eq!(quic::encode(151_288_809_941_952_652, &mut [0; 8]), long);
    }
}
