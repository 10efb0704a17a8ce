//! Counts of values by size, in buckets whose bounds are fixed: what metrics show as a histogram.

use core::time::Duration;

/// Upper bounds of durations, in nanoseconds: from 100 µs to 10 s.
pub const TIMES: &[u64; 16] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds of sizes, in octets: from 64 to 1 MiB, each four times the one before.
pub const SIZES: &[u64; 8] = &[64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// How long things took: in nanoseconds, within [`TIMES`].
pub type Times = Histogram<16>;

/// How large things were: in octets, within [`SIZES`].
pub type Sizes = Histogram<8>;

/// How many values there were up to each of `N` bounds, and above. It allocates nothing, and no count
/// ever falls: one that cannot grow stays.
///
/// ```
/// use bowline_core::histogram::{SIZES, Sizes};
/// let mut sizes = Sizes::new(SIZES);
/// for octets in [10, 64, 65, 5_000_000] {
///     sizes.record(octets);
/// }
/// assert_eq!(sizes.up_to().take(2).collect::<Vec<_>>(), [(64, 2), (256, 3)]);
/// assert_eq!((sizes.count(), sizes.sum()), (4, 5_000_139));
/// assert_eq!(sizes.percentile(50), Some(64));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    /// Of each bucket alone.
    counts: [u64; N],
    above: u64,
    sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one; the bounds must ascend.
    #[must_use]
    pub const fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, counts: [0; N], above: 0, sum: 0 }
    }

    /// Counts a value. One that is a bound is not above it.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.record_times(value, 1);
    }

    /// Counts a value that there was so many times.
    #[inline]
    pub fn record_times(&mut self, value: u64, times: u64) {
        // They are few: without branches this is faster than a search.
        let at = self.bounds.iter().map(|bound| usize::from(value > *bound)).sum::<usize>();
        let count = self.counts.get_mut(at).unwrap_or(&mut self.above);
        *count = count.saturating_add(times);
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
    }

    /// Counts how long something took, in nanoseconds.
    pub fn record_duration(&mut self, took: Duration) {
        self.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Each bound, and how many values were not above it.
    pub fn up_to(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0u64, |all, (bound, count)| {
            *all = all.saturating_add(*count);
            Some((*bound, *all))
        })
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(self.above, |all, count| all.saturating_add(*count))
    }

    /// Below what so many of a hundred values are, as nearly as the buckets tell, whose values are taken to be
    /// spread evenly; the largest bound where they are above it, `None` without any.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let count = self.count();
        let rank = u128::from(count) * u128::from(percent.min(100)) / 100;
        let (mut from, mut below) = (0, 0);
        for (bound, up_to) in self.up_to() {
            if u128::from(up_to) >= rank && up_to > below {
                let part = u128::from(bound - from) * (rank - u128::from(below)) / u128::from(up_to - below);
                return Some(from + part as u64); // less than the bucket is wide
            }
            (from, below) = (bound, up_to);
        }
        (count > 0).then_some(from)
    }

    /// All of them together.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn bounds_ascend() {
        assert!(TIMES.is_sorted_by(|a, b| a < b) && SIZES.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn counts_do_not_overflow() {
        let mut times = Times::new(TIMES);
        times.record_duration(Duration::MAX);
        times.record(1);
        assert_eq!((times.count(), times.sum()), (2, u64::MAX));
        times.record_times(2, u64::MAX);
        times.record_times(u64::MAX, u64::MAX);
        assert_eq!((times.count(), times.up_to().next()), (u64::MAX, Some((100_000, u64::MAX))));
    }

    proptest! {
        /// Against a recount.
        #[test]
        fn each_bucket_has_what_is_not_above_its_bound(
            values in proptest::collection::vec((0..3_000_000u64, 1..4u64), 0..60),
        ) {
            let mut sizes = Sizes::new(SIZES);
            values.iter().for_each(|(value, times)| sizes.record_times(*value, *times));
            let count = |bound| values.iter().filter(|(v, _)| *v <= bound).map(|(_, times)| times).sum::<u64>();
            let want: Vec<_> = SIZES.iter().map(|bound| (*bound, count(*bound))).collect();
            prop_assert_eq!(sizes.up_to().collect::<Vec<_>>(), want);
            prop_assert_eq!(sizes.count(), count(u64::MAX));
            prop_assert_eq!(sizes.sum(), values.iter().map(|(value, times)| value * times).sum::<u64>());
        }
    }
}
