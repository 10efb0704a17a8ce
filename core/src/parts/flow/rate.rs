//! Rate: a token bucket, exact to the nanosecond.

use crate::time::{Deadline, Instant, Why};

/// One token, in the parts that a bucket counts. A bucket of `rate` tokens a second gains exactly
/// `rate` parts in each nanosecond, so nothing is ever rounded and nothing drifts.
const TOKEN: i64 = 1_000_000_000;

/// A token bucket: `rate` tokens a second, at most `burst` at once, in 32 bytes.
///
/// A token is whatever the owner limits: a message, an octet. More than `burst` tokens at once are
/// given when the bucket is full, as a debt that the rate works off first: so a large message is
/// late, never stuck, and the rate holds in the long run.
///
/// ```
/// use bowline_core::flow::rate::Rate;
/// use bowline_core::time::Instant;
/// let at = Instant::from_millis;
/// let mut rate = Rate::new(at(0), 100, 2);
/// assert_eq!(rate.try_take(at(0), 1), Ok(()));
/// assert_eq!(rate.try_take(at(0), 1), Ok(()));
/// assert_eq!(rate.try_take(at(0), 1), Err(at(10))); // try again then
/// assert_eq!(rate.poll_timeout().unwrap().at, at(10));
/// assert_eq!(rate.try_take(at(10), 1), Ok(()));
/// assert_eq!(rate.poll_timeout(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Rate {
    /// Parts in the bucket at `last`; below 0 is debt.
    level: i64,
    last: Instant,
    /// When what was refused last will be possible.
    refused_until: Option<Instant>,
    rate: u32,
    burst: u32,
}

impl Rate {
    /// A full bucket. A `rate` of 0 gives nothing beyond what is in it; a `burst` of 0 counts as 1,
    /// since nothing could ever be taken.
    #[must_use]
    pub const fn new(now: Instant, rate: u32, burst: u32) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        Self { level: parts(burst), last: now, refused_until: None, rate, burst }
    }

    /// Another rate and burst from `now` on. What is in the bucket stays, up to the new burst.
    pub fn set(&mut self, now: Instant, rate: u32, burst: u32) {
        self.refill(now);
        (self.rate, self.burst, self.refused_until) = (rate, burst.max(1), None);
        self.level = self.level.min(self.full());
    }

    /// Takes `n` tokens.
    ///
    /// # Errors
    /// When there are too few: the first instant at which the same call succeeds, if nobody takes
    /// any before ([`Instant::FAR_FUTURE`] with a rate of 0). Nothing is taken then.
    #[inline]
    pub fn try_take(&mut self, now: Instant, n: u32) -> Result<(), Instant> {
        self.refill(now);
        let missing = parts(n.min(self.burst)) - self.level;
        if missing <= 0 {
            self.level -= parts(n);
            self.refused_until = None;
            return Ok(());
        }
        let when = match u64::from(self.rate) {
            0 => Instant::FAR_FUTURE,
            rate => Instant::from_nanos(
                self.last.as_nanos().saturating_add(missing.unsigned_abs().div_ceil(rate)),
            ),
        };
        self.refused_until = Some(when);
        Err(when)
    }

    /// Takes `n` tokens whatever there is: what is missing is a debt, of 2^32 - 1 at most.
    ///
    /// # Errors
    /// When the debt is worked off ([`Instant::FAR_FUTURE`] with a rate of 0). It was taken all the same.
    ///
    /// ```
    /// use bowline_core::flow::rate::Rate;
    /// use bowline_core::time::Instant;
    /// let at = Instant::from_millis;
    /// let mut rate = Rate::new(at(0), 10, 1);
    /// assert_eq!(rate.overdraw(at(0), 1), Ok(()));
    /// assert_eq!(rate.overdraw(at(0), 2), Err(at(200)));
    /// assert_eq!(rate.overdraw(at(300), 1), Ok(()));
    /// ```
    pub fn overdraw(&mut self, now: Instant, n: u32) -> Result<(), Instant> {
        self.refill(now);
        self.level = (self.level - parts(n)).max(-parts(u32::MAX));
        if self.level >= 0 {
            return Ok(());
        }
        Err(match u64::from(self.rate) {
            0 => Instant::FAR_FUTURE,
            rate => {
                let nanos = self.level.unsigned_abs().div_ceil(rate);
                Instant::from_nanos(self.last.as_nanos().saturating_add(nanos))
            }
        })
    }

    /// Gives a token back that was taken in vain.
    pub fn give_back(&mut self) {
        self.level = (self.level + TOKEN).min(self.full());
    }

    /// Whole tokens that can be taken at `now`.
    #[must_use]
    pub fn available(&self, now: Instant) -> u32 {
        let mut then = self.clone();
        then.refill(now);
        (then.level.max(0) / TOKEN).min(self.burst.into()) as u32
    }

    /// Whether nothing is missing at `now`: a new bucket would give no more.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.available(now) == self.burst
    }

    /// Nobody waits any longer for what was refused: [`poll_timeout`](Self::poll_timeout) is `None`.
    pub fn give_up(&mut self) {
        self.refused_until = None;
    }

    /// When what was refused last will be possible ([`Why::Rate`]); `None` after a success.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.refused_until.map(|at| Deadline::new(at, Why::Rate))
    }

    /// The level at which the bucket is full: the burst and what a fraction of a nanosecond gives.
    /// Without the latter, whoever comes at the first whole nanosecond would lose that fraction
    /// each time.
    fn full(&self) -> i64 {
        parts(self.burst) + i64::from(self.rate.saturating_sub(1))
    }

    fn refill(&mut self, now: Instant) {
        let nanos = now.saturating_since(self.last).as_nanos();
        let gained = nanos.saturating_mul(self.rate.into());
        let room = self.full() - self.level; // fits: each is within ± 4.3 × 10^18
        self.level += i64::try_from(gained).unwrap_or(i64::MAX).min(room);
        self.last = self.last.max(now);
    }
}

const fn parts(tokens: u32) -> i64 {
    tokens as i64 * TOKEN // 2^32 × 10^9 is below 2^62
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Rate>() <= 32);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let mut r = Rate::new(at(0), 3, 1);
        let (mut now, mut taken) = (Instant::ZERO, 0_u64);
        while now < at(1_000_000) {
            match r.try_take(now, 1) {
                Ok(()) => taken += 1,
                Err(when) => now = when,
            }
        }
        assert_eq!(taken, 1 + 3 * 1000 - 1); // the burst, then 3 a second up to but not at the end
        assert_eq!(now, at(1_000_000));
    }

    #[test]
    fn more_than_the_burst_waits_for_a_full_bucket_and_owes_the_rest() {
        let mut r = Rate::new(at(0), 10, 5);
        r.try_take(at(0), 1).unwrap();
        assert_eq!(r.try_take(at(0), 20), Err(at(100)));
        assert_eq!(r.try_take(at(100), 20), Ok(()));
        assert_eq!(r.available(at(1600)), 0);
        assert_eq!(r.try_take(at(100), 1), Err(at(1700)));
        assert_eq!(r.available(at(1700)), 1);
        assert_eq!(r.try_take(at(1700), 1), Ok(()));
    }

    #[test]
    fn extremes_saturate() {
        let mut r = Rate::new(at(0), u32::MAX, u32::MAX);
        assert_eq!(r.try_take(at(0), u32::MAX), Ok(()));
        assert_eq!(r.try_take(at(999), u32::MAX), Err(at(1000)));
        assert_eq!(r.try_take(Instant::FAR_FUTURE, u32::MAX), Ok(()));
        assert_eq!(r.try_take(Instant::FAR_FUTURE, u32::MAX), Err(Instant::FAR_FUTURE));
        let mut never = Rate::new(at(0), 0, 0);
        assert_eq!(never.try_take(at(0), 1), Ok(()));
        assert_eq!(never.try_take(Instant::FAR_FUTURE, 1), Err(Instant::FAR_FUTURE));
        assert_eq!(never.available(Instant::FAR_FUTURE), 0);
    }

    #[test]
    fn time_going_backwards_gives_nothing_and_giving_up_ends_the_wait() {
        let mut r = Rate::new(at(1000), 1, 1);
        r.try_take(at(1000), 1).unwrap();
        assert_eq!(r.try_take(at(0), 1), Err(at(2000)));
        assert_eq!(r.try_take(at(1999), 1), Err(at(2000)));
        assert_eq!(r.poll_timeout(), Some(Deadline::new(at(2000), Why::Rate)));
        r.give_up();
        assert_eq!(r.poll_timeout(), None);
        assert_eq!(r.try_take(at(2000), 1), Ok(()));
    }

    #[test]
    fn a_new_rate_keeps_what_was_earned() {
        let mut r = Rate::new(at(0), 1, 10);
        r.try_take(at(0), 10).unwrap();
        r.set(at(4000), 1000, 10);
        assert_eq!((r.available(at(4000)), r.available(at(4001))), (4, 5));
        assert!(!r.is_full(at(4001)));
        r.set(at(4001), 1, 2);
        assert!(r.is_full(at(4001)));
        assert_eq!((r.available(at(4001)), r.available(at(9000))), (2, 2));
    }

    proptest! {
        /// The instant that a refusal names is the first at which the same call succeeds.
        #[test]
        fn a_refusal_names_the_first_instant_that_will_do(
            rate in 1..u32::MAX, burst in 1..u32::MAX, takes in proptest::collection::vec((any::<u32>(), 0..1u64 << 40), 1..20),
        ) {
            let mut r = Rate::new(at(0), rate, burst);
            let mut now = Instant::ZERO;
            for (n, step) in takes {
                now = now + Duration::from_nanos(step);
                if let Err(when) = r.try_take(now, n) {
                    prop_assert!(when > now);
                    prop_assert_eq!(r.poll_timeout(), Some(Deadline::new(when, Why::Rate)));
                    let before = Instant::from_nanos(when.as_nanos() - 1);
                    prop_assert_eq!(r.clone().try_take(before, n), Err(when));
                    prop_assert_eq!(r.clone().try_take(when, n), Ok(()));
                }
            }
        }

        /// In any time, no more is given than the burst, what the rate gave (to the next whole
        /// nanosecond), and one debt.
        #[test]
        fn the_rate_holds_over_any_time(
            rate in 1..100_000u32, burst in 1..10_000u32, takes in proptest::collection::vec((0..20_000u32, 0..1_000_000_000u64), 1..60),
        ) {
            let mut r = Rate::new(at(0), rate, burst);
            let (mut now, mut taken) = (0_u64, 0_u128);
            for (n, step) in takes {
                now += step;
                if r.try_take(Instant::from_nanos(now), n).is_ok() {
                    let allowed = u128::from(burst) * 1_000_000_000 + u128::from(now + 1) * u128::from(rate);
                    prop_assert!(taken * 1_000_000_000 <= allowed, "{taken} taken before the last");
                    taken += u128::from(n);
                    let debt = u128::from(n.saturating_sub(burst)) * 1_000_000_000;
                    prop_assert!(taken * 1_000_000_000 <= allowed + debt);
                }
            }
        }
    }
}
