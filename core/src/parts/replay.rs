//! Which numbers have come already: a sliding window, so that a datagram counts once.

/// The numbers that came, as far back as `WORDS` × 64 from the highest: a datagram with a number that was seen,
/// or that is too old to tell, is not to be taken.
///
/// Numbers may come in any order. As in RFC 6479 the window slides by whole words, so that a step of any size
/// costs no more than `WORDS` writes: all but the newest 64 numbers' worth of the memory is useful at any time.
/// Check before a datagram is opened, [`accept`](Self::accept) once it was found to be authentic: otherwise
/// who sends forged numbers would move the window.
///
/// ```
/// use bowline_core::replay::ReplayWindow;
/// let mut window: ReplayWindow = ReplayWindow::new();
/// assert!(window.accept(7));
/// assert!(!window.accept(7), "a second time");
/// assert!(window.accept(3), "late, and new");
/// assert!(window.accept(1_000_000));
/// assert!(!window.is_new(8), "too old to tell");
/// ```
#[derive(Clone, Debug)]
pub struct ReplayWindow<const WORDS: usize = 16> {
    /// Bit `n % 64` of word `(n / 64) % WORDS` says that `n` came.
    seen: [u64; WORDS],
    /// One above the highest number that came.
    next: u64,
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    /// How far behind the highest number another may come and still be told from one that came: at least.
    pub const REACH: u64 = {
        assert!(WORDS >= 2, "a window slides by words: it needs two of them");
        (WORDS as u64 - 1) * 64
    };

    /// A window that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        let _ = Self::REACH; // so that too few words do not compile
        Self { seen: [0; WORDS], next: 0 }
    }

    /// Whether this number has not come before, and is recent enough to be sure of it. `u64::MAX` never is.
    #[must_use]
    pub const fn is_new(&self, number: u64) -> bool {
        if number == u64::MAX {
            return false;
        }
        if number >= self.next {
            return true;
        }
        let (newest, word) = ((self.next - 1) / 64, number / 64);
        newest - word < WORDS as u64 && self.seen[(word % WORDS as u64) as usize] >> (number % 64) & 1 == 0
    }

    /// Takes a number that came in an authentic datagram. Says whether it [is new](Self::is_new); if not, nothing
    /// changes.
    pub fn accept(&mut self, number: u64) -> bool {
        if !self.is_new(number) {
            return false;
        }
        let word = number / 64;
        if number >= self.next {
            // Words that were never reached are empty from the start.
            let newest = self.next.saturating_sub(1) / 64;
            for step in 1..=(word - newest).min(WORDS as u64) {
                self.seen[((newest + step) % WORDS as u64) as usize] = 0;
            }
            self.next = number + 1;
        }
        self.seen[(word % WORDS as u64) as usize] |= 1 << (number % 64);
        true
    }

    /// The highest number that came.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
}

impl<const WORDS: usize> Default for ReplayWindow<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// The same, by remembering everything.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn accept(&mut self, number: u64, words: u64) -> bool {
            let oldest = self.0.last().map_or(0, |last| (last / 64 + 1).saturating_sub(words) * 64);
            number != u64::MAX && number >= oldest && self.0.insert(number)
        }
    }

    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let near = (0u64..600).boxed();
        let step = prop_oneof![8 => near, 2 => 0u64..5000, 1 => any::<u64>(), 1 => u64::MAX - 3..=u64::MAX];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        /// Whatever numbers come, and in whatever order: those that a memory without end would take, and that
        /// are not too old.
        #[test]
        fn a_window_is_a_memory_of_everything_recent(numbers in numbers(), from in prop_oneof![Just(0), any::<u64>()]) {
            let (mut window, mut model) = (ReplayWindow::<4>::new(), Model::default());
            for number in numbers {
                let number = from.wrapping_add(number);
                let is_new = window.is_new(number);
                prop_assert_eq!(window.accept(number), is_new);
                prop_assert_eq!(is_new, model.accept(number, 4), "{}", number);
                prop_assert_eq!(window.highest(), model.0.last().copied());
            }
        }
    }

    #[test]
    fn what_is_within_reach_is_told_from_what_came() {
        let mut window = ReplayWindow::<4>::new();
        assert_eq!((ReplayWindow::<4>::REACH, window.highest()), (192, None));
        assert!(window.accept(1000));
        assert!((1000 - 192..1000).all(|n| window.is_new(n)));
        assert!(!window.is_new(0) && !window.is_new(u64::MAX));
        assert!((1000 - 192..1000).rev().all(|n| window.accept(n) && !window.accept(n)));
        assert_eq!(window.highest(), Some(1000));
    }

    #[test]
    fn the_last_number_but_one_can_be_used() {
        let mut window: ReplayWindow = ReplayWindow::new();
        assert!(window.accept(u64::MAX - 1) && !window.accept(u64::MAX - 1) && !window.accept(u64::MAX));
        assert_eq!(window.highest(), Some(u64::MAX - 1));
        assert!(window.accept(u64::MAX - 2));
    }
}
