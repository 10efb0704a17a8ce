//! Sets of numbers as ranges, in order, of bounded number.

use alloc::collections::VecDeque;
use core::ops::Range;

/// Numbers as ranges that are in order, apart from each other, and at most so many.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// Ascending; between two there is always a gap.
    ranges: VecDeque<Range<u64>>,
}

impl Ranges {
    pub(super) const fn new() -> Self {
        Self { ranges: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// In ascending order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Range<u64>> + ExactSizeIterator {
        self.ranges.iter()
    }

    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.ranges.front()
    }

    /// One above the largest.
    pub(super) fn end(&self) -> Option<u64> {
        self.ranges.back().map(|range| range.end)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        // What is asked for is nearly always in the last range, or above it.
        match self.ranges.back() {
            Some(last) if number >= last.start => number < last.end,
            _ => self.ranges.get(self.position(number)).is_some_and(|range| range.contains(&number)),
        }
    }

    /// The first range that ends above `number`.
    fn position(&self, number: u64) -> usize {
        self.ranges.partition_point(|range| range.end <= number)
    }

    /// How many ranges there would be with `new` in it.
    pub(super) fn len_with(&self, new: &Range<u64>) -> usize {
        let (from, to) = self.touched(new);
        self.ranges.len() + 1 - (to - from)
    }

    /// The ranges that `new` touches or overlaps.
    fn touched(&self, new: &Range<u64>) -> (usize, usize) {
        let from = self.ranges.partition_point(|range| range.end < new.start);
        let to = self.ranges.partition_point(|range| range.start <= new.end);
        (from, to.max(from))
    }

    pub(super) fn insert(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        if let Some(last) = self.ranges.back_mut()
            && last.end == new.start
        {
            last.end = new.end;
            return;
        }
        let (from, to) = self.touched(&new);
        if from == to {
            self.ranges.insert(from, new);
            return;
        }
        let start = self.ranges[from].start.min(new.start);
        let end = self.ranges[to - 1].end.max(new.end);
        self.ranges[from] = start..end;
        self.ranges.drain(from + 1..to);
    }

    /// Takes `gone` out.
    pub(super) fn remove(&mut self, gone: Range<u64>) {
        if gone.is_empty() {
            return;
        }
        let mut at = self.position(gone.start);
        while let Some(range) = self.ranges.get(at).cloned() {
            if range.start >= gone.end {
                break;
            }
            match (range.start < gone.start, range.end > gone.end) {
                (true, true) => {
                    self.ranges[at].end = gone.start;
                    self.ranges.insert(at + 1, gone.end..range.end);
                    break;
                }
                (true, false) => self.ranges[at].end = gone.start,
                (false, true) => {
                    self.ranges[at].start = gone.end;
                    break;
                }
                (false, false) => {
                    self.ranges.remove(at);
                    continue;
                }
            }
            at += 1;
        }
    }

    /// Takes out all below `number`.
    pub(super) fn remove_below(&mut self, number: u64) {
        while let Some(first) = self.ranges.front_mut() {
            if first.start >= number {
                return;
            }
            if first.end > number {
                first.start = number;
                return;
            }
            self.ranges.pop_front();
        }
    }

    /// Takes out the lowest range.
    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        self.ranges.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is put in and taken out, it is the set that a set would be.
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0..3u8, 0..60u64, 0..12u64), 0..60)) {
            let (mut ranges, mut set) = (Ranges::new(), BTreeSet::new());
            for (what, start, len) in steps {
                match what {
                    0 => {
                        let with = ranges.len_with(&(start..start + len.max(1)));
                        ranges.insert(start..start + len);
                        set.extend(start..start + len);
                        prop_assert!(len == 0 || ranges.len() == with);
                    }
                    1 => {
                        ranges.remove(start..start + len);
                        set.retain(|n| !(start..start + len).contains(n));
                    }
                    _ => {
                        ranges.remove_below(start);
                        set.retain(|n| *n >= start);
                    }
                }
                let all: Vec<_> = ranges.iter().flat_map(Clone::clone).collect();
                prop_assert_eq!(&all, &set.iter().copied().collect::<Vec<_>>());
                let apart = ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| a.end < b.start);
                prop_assert!(apart && ranges.iter().all(|r| !r.is_empty()));
                prop_assert!((0..80).all(|n| ranges.contains(n) == set.contains(&n)));
                prop_assert_eq!(ranges.end(), set.last().map(|n| n + 1));
            }
        }
    }
}
