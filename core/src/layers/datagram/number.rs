//! Packet numbers: only as many octets go on the wire as tell them from others near (RFC 9000 §17.1, A.2, A.3).

/// The longest form, in octets.
pub(super) const MAX_LEN: usize = 4;

/// How many octets `number` takes for a receiver who may know nothing above `acked`, exclusive.
///
/// Twice as many numbers as may be on the way must be told apart.
pub(super) const fn encoded_len(number: u64, acked: u64) -> usize {
    let span = (number - acked + 1) * 2;
    match span {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

/// The number that ends in `truncated`, of `len` octets, and is nearest to `expected`.
pub(super) const fn decode(truncated: u32, len: usize, expected: u64) -> u64 {
    let window = 1u64 << (8 * len);
    let half = window / 2;
    let candidate = (expected & !(window - 1)) | truncated as u64;
    if candidate + half <= expected {
        candidate + window
    } else if candidate > expected + half && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_rfc_9000_says() {
        // A.3's example: largest received 0xa82f30ea, 0x9b32 of two octets.
        assert_eq!(decode(0x9b32, 2, 0xa82f_30eb), 0xa82f_9b32);
        assert_eq!((encoded_len(0xac_5c02, 0xab_e8b3 + 1), encoded_len(0xac_e8fe, 0xab_e8b3 + 1)), (2, 3));
    }

    proptest! {
        /// What a sender truncates, a receiver reads: wherever it is between what was acknowledged and sent.
        #[test]
        fn what_is_truncated_is_found(
            acked in 0..1u64 << 40,
            on_the_way in 0..1u64 << 24,
            seen in 0.0..1.0f64,
        ) {
            let number = acked + on_the_way;
            let len = encoded_len(number, acked);
            let truncated = (number & ((1 << (8 * len)) - 1)) as u32;
            let expected = acked + (on_the_way as f64 * seen) as u64;
            prop_assert_eq!(decode(truncated, len, expected), number);
        }
    }
}
