//! Masking (RFC 6455, section 5.3): an octet of the payload, exclusive or the octet of the key whose turn
//! it is. Written so that compilers make vector instructions of it.

/// What one step masks: two registers of the smallest vectors there are.
const STEP: usize = 32;

/// From so many octets on it is worth a start that no step lies across two lines of the cache: what is large
/// takes a quarter less time then.
const LARGE: usize = 4096;

/// The key, as often as a step takes it.
#[inline]
fn wide(key: [u8; 4]) -> [u8; STEP] {
    let mut wide = [0; STEP];
    wide.as_chunks_mut().0.fill(key);
    wide
}

#[inline]
fn mix(step: &mut [u8; STEP], wide: [u8; STEP]) {
    for (octet, key) in step.iter_mut().zip(wide) {
        *octet ^= key;
    }
}

/// The key as it goes on behind `n` octets.
#[inline]
pub(super) const fn rotate(key: [u8; 4], n: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (n % 4) as u32).to_le_bytes()
}

/// How many octets lie before the first step that is in line.
#[inline]
fn lead(to: &[u8], n: usize) -> usize {
    to.as_ptr().align_offset(STEP).min(n)
}

/// Masks, or unmasks, in place.
#[inline]
pub(super) fn apply(data: &mut [u8], key: [u8; 4]) {
    if data.len() < LARGE {
        return steps(data, key);
    }
    let (lead, rest) = data.split_at_mut(lead(data, data.len()));
    steps(lead, key);
    steps(rest, rotate(key, lead.len()));
}

#[inline]
fn steps(data: &mut [u8], key: [u8; 4]) {
    let wide = wide(key);
    let (steps, rest) = data.as_chunks_mut::<STEP>();
    for step in steps {
        mix(step, wide);
    }
    let (fours, rest) = rest.as_chunks_mut::<4>();
    for four in fours {
        *four = (u32::from_ne_bytes(*four) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(key) {
        *octet ^= key;
    }
}

/// Moves the `n` octets from `from` on to `to`, which is before, and masks them on the way.
#[inline]
pub(super) fn move_left(data: &mut [u8], from: usize, to: usize, n: usize, key: [u8; 4]) {
    debug_assert!(to <= from && from + n <= data.len());
    if from == to {
        return apply(&mut data[from..from + n], key);
    }
    let data = &mut data[to..from + n];
    let by = from - to;
    if n < LARGE {
        return move_steps(data, by, key);
    }
    let lead = lead(data, n);
    move_steps(&mut data[..by + lead], by, key);
    move_steps(&mut data[lead..], by, rotate(key, lead));
}

/// Moves all but the first `by` octets to the front.
#[inline]
fn move_steps(data: &mut [u8], by: usize, key: [u8; 4]) {
    let n = data.len() - by;
    let wide = wide(key);
    let mut at = 0;
    // A step is read whole before its place is written, and what is written lies before all that is still
    // to be read.
    while let Some(step) = data.get(at + by..).and_then(<[u8]>::first_chunk::<STEP>) {
        let mut step = *step;
        mix(&mut step, wide);
        data[at..at + STEP].copy_from_slice(&step);
        at += STEP;
    }
    data.copy_within(at + by.., at);
    steps(&mut data[at..n], key);
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    /// As the section says it.
    fn naive(data: &[u8], key: [u8; 4]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]).collect()
    }

    proptest! {
        #[test]
        fn every_way_to_mask_is_that_of_section_5_3(
            mut data in proptest::collection::vec(any::<u8>(), 0..400),
            large: bool,
            key: [u8; 4],
            by in 0..20usize,
            before in 0..40usize,
            cut in 0..400usize,
        ) {
            data.resize(data.len() + if large { LARGE } else { 0 }, 9);
            let want = naive(&data, key);
            let mut masked = data.clone();
            apply(&mut masked, key);
            prop_assert_eq!(&masked, &want);

            let cut = cut.min(data.len());
            let mut parts = data.clone();
            apply(&mut parts[..cut], key);
            apply(&mut parts[cut..], rotate(key, cut));
            prop_assert_eq!(&parts, &want);

            let mut moved = std::vec![7; before + by];
            moved.extend_from_slice(&data);
            move_left(&mut moved, before + by, before, data.len(), key);
            prop_assert_eq!(&moved[before..before + data.len()], &want[..]);
            prop_assert!(moved[..before].iter().all(|octet| *octet == 7));
        }
    }
}
