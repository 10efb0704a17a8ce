//! Backoff: when to try to connect again, and where.

use core::time::Duration;

use crate::entropy::Entropy;
use crate::time::{Deadline, Instant, Why};

/// The longest "retry after" that is obeyed; a longer one counts as this. A server in error, or
/// an impostor, shall not park its clients for good.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What a "retry after" is spread by: a quarter of it on top, or the clients that were told the
/// same would all come back at the same instant.
const RETRY_SPREAD: u32 = 4;

/// How to back off.
///
/// ```
/// use bowline_core::backoff::Policy;
/// let policy = Policy { max_attempts: Some(10), ..Policy::default() };
/// assert_eq!(policy.cap.as_secs(), 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The largest delay of the first round; it doubles with each round. Default: 100 ms, which
    /// is soon enough for a glitch and long enough not to be a flood.
    pub base: Duration,
    /// The largest delay at all. Default: 30 s, so that a server that is back is soon found.
    pub cap: Duration,
    /// How many attempts in a row may fail; `None` (the default) for no limit.
    pub max_attempts: Option<u32>,
    /// How long a connection must have held for the next delay to start from `base` again.
    /// Default: 10 s. A server that accepts and drops at once is backed off from like one that
    /// refuses.
    pub stable_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            max_attempts: None,
            stable_after: Duration::from_secs(10),
        }
    }
}

/// One attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When to begin it.
    pub at: Instant,
    /// Where to: an index into the owner's list.
    pub endpoint: usize,
}

/// Exponential backoff with full jitter, over one or more endpoints.
///
/// The very first attempt is at once. Each later one waits for a time drawn evenly from nothing to
/// `min(cap, base × 2^round)`: clients that were cut off together come back apart. The endpoints
/// are tried in order, and a round ends when each of them was waited for.
///
/// After a connection that held for [`Policy::stable_after`], everything starts anew, from the
/// endpoint that worked.
///
/// ```
/// use bowline_core::backoff::{Backoff, Policy};
/// use bowline_core::entropy::Seeded;
/// use bowline_core::time::{Instant, Why};
/// let at = Instant::from_millis;
/// let mut entropy = Seeded::new(1);
/// let mut backoff = Backoff::new(Policy::default(), 2);
///
/// let first = backoff.next(at(0), &mut entropy).unwrap();
/// assert_eq!((first.at, first.endpoint), (at(0), 0));
/// assert_eq!(backoff.handle_timeout(at(0)), Some(first)); // begin it
///
/// // It failed: the next is due within 100 ms, elsewhere.
/// let second = backoff.next(at(7), &mut entropy).unwrap();
/// assert!(second.at <= at(107) && second.endpoint == 1);
/// assert_eq!(backoff.poll_timeout().map(|d| d.why), Some(Why::Backoff));
///
/// // It worked, and held for a minute before it was lost.
/// backoff.succeeded(second.at);
/// let third = backoff.next(at(60_000), &mut entropy).unwrap();
/// assert!(third.at <= at(60_100) && third.endpoint == 1);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: Policy,
    endpoints: usize,
    /// Attempts in a row.
    attempts: u32,
    /// How often all endpoints were waited for, and how many since.
    round: u32,
    waits: usize,
    /// The latest endpoint, or the first before any attempt.
    endpoint: usize,
    pending: Option<Attempt>,
    connected_at: Option<Instant>,
    /// What the server told: not before this, and spread by so much.
    not_before: Option<Instant>,
    spread: Duration,
    last: Instant,
}

impl Backoff {
    /// Nothing tried yet, over `endpoints` endpoints (with none there is never an attempt).
    #[must_use]
    pub const fn new(policy: Policy, endpoints: usize) -> Self {
        Self::starting_at(policy, endpoints, 0)
    }

    /// The same, starting at the endpoint `start` (modulo their number): to spread a fleet.
    #[must_use]
    pub const fn starting_at(policy: Policy, endpoints: usize, start: usize) -> Self {
        let start = if endpoints == 0 { 0 } else { start % endpoints };
        Self {
            policy,
            endpoints,
            attempts: 0,
            round: 0,
            waits: 0,
            endpoint: start,
            pending: None,
            connected_at: None,
            not_before: None,
            spread: Duration::ZERO,
            last: Instant::ZERO,
        }
    }

    /// The first attempt, or the next one after the last failed or its connection was lost.
    ///
    /// `None` once [`Policy::max_attempts`] are used up, or without endpoints. It replaces an
    /// attempt that is still pending.
    pub fn next(&mut self, now: Instant, entropy: &mut impl Entropy) -> Option<Attempt> {
        let now = self.clamp(now);
        self.pending = None;
        // After a loss even the first attempt of a series waits: many may have lost it at once.
        let at_once = self.attempts == 0;
        if let Some(since) = self.connected_at.take()
            && now.saturating_since(since) >= self.policy.stable_after
        {
            (self.attempts, self.round, self.waits) = (0, 0, 0);
        }
        if self.endpoints == 0 || self.policy.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        if self.attempts > 0 {
            self.endpoint = (self.endpoint + 1) % self.endpoints;
        }
        self.attempts = self.attempts.saturating_add(1);
        let window = if at_once { Duration::ZERO } else { self.window() };
        let attempt = Attempt { at: self.draw(now, window, entropy), endpoint: self.endpoint };
        self.pending = Some(attempt);
        Some(attempt)
    }

    /// The pending attempt, once it is due: begin it. It is given out once.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Attempt> {
        let now = self.clamp(now);
        let due = self.pending.filter(|attempt| now >= attempt.at)?;
        self.pending = None;
        Some(due)
    }

    /// The connection stands (its handshake is done). The next [`next`](Self::next) says that it
    /// was lost, and how long it held decides whether everything starts anew.
    pub fn succeeded(&mut self, now: Instant) {
        self.connected_at = Some(self.clamp(now));
        self.pending = None;
    }

    /// The server asked not to be tried before `after` has passed (see [`MAX_RETRY_AFTER`]). It
    /// holds for the next [`next`](Self::next) alone, whose delay is this and, for the spread, up
    /// to what it would have been, or up to a quarter of `after` if that is more.
    pub fn retry_after(&mut self, now: Instant, after: Duration) {
        let after = after.min(MAX_RETRY_AFTER);
        self.not_before = Some(self.clamp(now) + after);
        self.spread = after / RETRY_SPREAD;
    }

    /// How many attempts were made in a row, the pending one included.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the pending attempt is due ([`Why::Backoff`]).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.pending.map(|attempt| Deadline::new(attempt.at, Why::Backoff))
    }

    /// What the next delay is drawn from: it doubles once every endpoint was waited for.
    fn window(&mut self) -> Duration {
        if self.waits == self.endpoints {
            (self.waits, self.round) = (0, self.round.saturating_add(1));
        }
        self.waits += 1;
        let factor = 1_u32.checked_shl(self.round).unwrap_or(u32::MAX);
        self.policy.base.saturating_mul(factor).min(self.policy.cap)
    }

    fn draw(&mut self, now: Instant, window: Duration, entropy: &mut impl Entropy) -> Instant {
        let (from, window) = match self.not_before.take() {
            Some(told) => (told.max(now), window.max(self.spread)),
            None => (now, window),
        };
        from + Duration::from_nanos(entropy.wire_up_to(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn clamp(&mut self, now: Instant) -> Instant {
        self.last = self.last.max(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The most that can be drawn, always.
    struct Most;
    impl Entropy for Most {
        fn wire(&mut self, out: &mut [u8]) {
            out.fill(0xff);
        }
        fn secret(&mut self, out: &mut [u8]) {
            out.fill(0xff);
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn delays_double_by_rounds_up_to_the_cap() {
        let mut b = Backoff::new(Policy::default(), 2);
        let seen: Vec<_> = (0..24).map(|_| b.next(at(0), &mut Most).unwrap()).collect();
        assert_eq!(seen[0], Attempt { at: at(0), endpoint: 0 });
        for (i, attempt) in seen.iter().enumerate().skip(1) {
            assert_eq!(attempt.endpoint, i % 2);
            assert_eq!(attempt.at, at((100 << ((i - 1) / 2)).min(30_000)), "attempt {i}");
        }
        b.round = u32::MAX;
        b.waits = 2;
        assert_eq!(b.next(at(0), &mut Most).map(|a| a.at), Some(at(30_000)));
    }

    #[test]
    fn jitter_is_full() {
        let delays: Vec<_> = (0..1000)
            .map(|seed| {
                let mut b = Backoff::new(Policy::default(), 1);
                let mut entropy = Seeded::new(seed);
                b.next(at(0), &mut entropy);
                b.next(at(0), &mut entropy).unwrap().at.as_millis()
            })
            .collect();
        for eighth in 0..8 {
            let n = delays.iter().filter(|d| **d * 2 / 25 == eighth).count();
            assert!((80..170).contains(&n), "{n} of 1000 in the {eighth}. eighth of 100 ms");
        }
    }

    #[test]
    fn attempts_are_limited_and_a_stable_connection_renews_them() {
        let policy = Policy { max_attempts: Some(2), ..Policy::default() };
        let mut b = Backoff::new(policy, 3);
        assert!(b.next(at(0), &mut Most).is_some() && b.next(at(0), &mut Most).is_some());
        assert_eq!((b.next(at(0), &mut Most), b.poll_timeout(), b.attempts()), (None, None, 2));
        b.succeeded(at(0));
        assert_eq!(b.next(at(9_999), &mut Most), None, "it did not hold");
        b.succeeded(at(10_000));
        let next = Attempt { at: at(20_100), endpoint: 1 };
        assert_eq!(b.next(at(20_000), &mut Most), Some(next), "where it held");
    }

    #[test]
    fn a_flapping_server_is_backed_off_from() {
        let mut b = Backoff::new(Policy::default(), 1);
        let mut now = 0;
        for (i, delay) in [0, 100, 200, 400, 800].into_iter().enumerate() {
            let attempt = b.next(at(now), &mut Most).unwrap();
            assert_eq!(attempt.at, at(now + delay), "flap {i}");
            assert_eq!(b.handle_timeout(attempt.at), Some(attempt));
            b.succeeded(attempt.at);
            now = attempt.at.as_millis() + 50;
        }
    }

    #[test]
    fn what_the_server_told_bounds_the_next_delay_only() {
        let mut b = Backoff::new(Policy::default(), 1);
        b.next(at(0), &mut Most);
        b.retry_after(at(1000), Duration::from_secs(8));
        assert_eq!(b.clone().next(at(1000), &mut Seeded::new(1)).map(|a| a.at >= at(9000)), Some(true));
        assert_eq!(b.next(at(1000), &mut Most).map(|a| a.at), Some(at(11_000)));
        assert_eq!(b.next(at(12_000), &mut Most).map(|a| a.at), Some(at(12_200)));
        b.retry_after(at(12_000), Duration::MAX);
        assert_eq!(b.next(at(12_000), &mut Most).map(|a| a.at), Some(at(12_000 + 4_500_000)));
        b.retry_after(at(12_000), Duration::ZERO); // long past when asked
        assert_eq!(b.next(at(90_000), &mut Most).map(|a| a.at), Some(at(90_800)));
    }

    #[test]
    fn a_pending_attempt_is_given_out_once_and_when_due() {
        let mut b = Backoff::new(Policy::default(), 1);
        b.next(at(0), &mut Most);
        let attempt = b.next(at(0), &mut Most).unwrap();
        assert_eq!(b.poll_timeout(), Some(Deadline::new(at(100), Why::Backoff)));
        assert_eq!(b.handle_timeout(at(99)), None);
        assert_eq!(b.handle_timeout(at(100)), Some(attempt));
        assert_eq!((b.handle_timeout(at(100)), b.poll_timeout()), (None, None));
    }

    #[test]
    fn no_endpoint_no_attempt() {
        let mut b = Backoff::starting_at(Policy::default(), 0, 7);
        assert_eq!((b.next(at(0), &mut Most), b.attempts()), (None, 0));
    }

    proptest! {
        /// Every round visits every endpoint once, from the start on; no delay is above its bound;
        /// time going backwards never brings an attempt before one that was.
        #[test]
        fn rounds_are_fair_and_delays_bounded(
            endpoints in 1..8usize, start in any::<usize>(), base in 0..5000u64, cap in 0..60_000u64, seed in any::<u64>(),
            nows in proptest::collection::vec(0..100_000u64, 1..80),
        ) {
            let policy = Policy { base: Duration::from_millis(base), cap: Duration::from_millis(cap), ..Policy::default() };
            let mut b = Backoff::starting_at(policy, endpoints, start);
            let mut entropy = Seeded::new(seed);
            let mut latest = 0;
            for (i, now) in nows.into_iter().enumerate() {
                latest = latest.max(now);
                let attempt = b.next(at(now), &mut entropy).unwrap();
                prop_assert_eq!(attempt.endpoint, (start % endpoints + i) % endpoints);
                let round = i.saturating_sub(1) / endpoints;
                let bound = if i == 0 { 0 } else { base.saturating_mul(1 << round.min(30)).min(cap) };
                prop_assert!(attempt.at >= at(latest));
                prop_assert!(attempt.at <= at(latest + bound));
            }
        }
    }
}
