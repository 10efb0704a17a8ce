//! Credit: the receiver says how much it takes, the sender stops there.
//!
//! Amounts are cumulative and absolute, as in QUIC's MAX_DATA: a grant that comes twice or late
//! does no harm. The unit is the owner's (octets in our own protocol).
//!
//! A message may *start* while anything is left, and is then counted whole. So a message larger
//! than the window is no special case, and no window, however small, deadlocks; the price is that
//! a receiver may get up to one message more than it granted.

/// No limit. It is the largest number a varint carries; what is above counts as this.
pub const UNLIMITED: u64 = u64::MAX >> 1;

/// A message started although the credit was used up: the peer broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a message started with {used} used of a credit of {limit}; a sender must wait for more credit")]
pub struct CreditExceeded {
    /// What had been used before the message.
    pub used: u64,
    /// What had been granted.
    pub limit: u64,
}

/// The sending side of one window, in 16 bytes.
///
/// ```
/// use bowline_core::flow::credit::CreditSender;
/// let mut credit = CreditSender::new(10);
/// assert!(credit.may_send());
/// credit.consume(25); // larger than what is left: allowed, since something was left
/// assert!(!credit.may_send());
/// credit.grant(20); // 5 still to be made good
/// assert!(!credit.may_send());
/// credit.grant(30);
/// assert_eq!((credit.may_send(), credit.left()), (true, 5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditSender {
    limit: u64,
    used: u64,
}

impl CreditSender {
    /// A window of which nothing is used yet.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit: clamp(limit), used: 0 }
    }

    /// The receiver set the limit, an absolute number. One that is not above the present limit
    /// is old, and ignored. Returns whether sending became possible by it.
    pub fn grant(&mut self, limit: u64) -> bool {
        let before = self.may_send();
        self.limit = self.limit.max(clamp(limit));
        !before && self.may_send()
    }

    /// Whether a message, of any size, may start.
    #[inline]
    #[must_use]
    pub const fn may_send(&self) -> bool {
        self.used < self.limit || self.limit == UNLIMITED
    }

    /// Counts a message of size `n` that the buffer took.
    #[inline]
    pub fn consume(&mut self, n: u64) {
        self.used = self.used.saturating_add(n);
    }

    /// What is left; 0 if it is used up or overdrawn.
    #[must_use]
    pub const fn left(&self) -> u64 {
        if self.limit == UNLIMITED { UNLIMITED } else { self.limit.saturating_sub(self.used) }
    }

    /// What has been used so far.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// What has been granted so far.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }
}

/// The receiving side of one window, in 24 bytes.
///
/// ```
/// use bowline_core::flow::credit::CreditReceiver;
/// let mut credit = CreditReceiver::new(10);
/// credit.consume(4)?;
/// assert_eq!(credit.poll_grant(), None);
/// credit.consume(1)?; // half the window is used
/// assert_eq!(credit.poll_grant(), Some(15));
/// credit.granted(15); // the buffer took the frame
/// assert_eq!(credit.poll_grant(), None);
/// credit.consume(99)?;
/// assert!(credit.consume(1).is_err());
/// # Ok::<(), bowline_core::flow::credit::CreditExceeded>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditReceiver {
    limit: u64,
    used: u64,
    /// The window, and in its highest bit whether grants are withheld.
    window: u64,
}

/// The highest bit of `window`, free because no window is above [`UNLIMITED`].
const HELD: u64 = !UNLIMITED;

impl CreditReceiver {
    /// A window of size `window`, already granted (the handshake says it). 0 counts as 1, since
    /// nothing could ever flow through it.
    #[must_use]
    pub const fn new(window: u64) -> Self {
        let window = if window == 0 { 1 } else { clamp(window) };
        Self { limit: window, used: 0, window }
    }

    /// Counts a message of size `n` as it starts.
    ///
    /// # Errors
    /// [`CreditExceeded`] if nothing was left: the peer broke the rules. Nothing is counted then.
    #[inline]
    pub fn consume(&mut self, n: u64) -> Result<(), CreditExceeded> {
        if self.used >= self.limit && self.limit != UNLIMITED {
            return Err(CreditExceeded { used: self.used, limit: self.limit });
        }
        self.used = self.used.saturating_add(n);
        Ok(())
    }

    /// The new absolute limit to send to the peer, once at least half the window is used and
    /// nothing holds it back. It is always above the last one. Say [`granted`](Self::granted)
    /// when the buffer took it.
    #[inline]
    #[must_use]
    pub fn poll_grant(&self) -> Option<u64> {
        let half = self.window() / 2;
        let due = self.limit != UNLIMITED && !self.is_held() && self.limit.saturating_sub(self.used) <= half;
        due.then(|| clamp(self.used.saturating_add(self.window())))
    }

    /// The buffer took a grant of `limit`. One that is not above the present limit is ignored.
    pub fn granted(&mut self, limit: u64) {
        self.limit = self.limit.max(clamp(limit));
    }

    /// Withholds grants: the peer may use up what it has, then stops. It slows a publisher.
    pub fn hold(&mut self) {
        self.window |= HELD;
    }

    /// Grants again; [`poll_grant`](Self::poll_grant) then says what is owed.
    pub fn resume(&mut self) {
        self.window &= !HELD;
    }

    /// Whether grants are withheld.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.window & HELD != 0
    }

    /// The size of the window.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window & UNLIMITED
    }

    /// What the peer has used so far.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// What the peer has been granted so far.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }
}

const fn clamp(limit: u64) -> u64 {
    if limit > UNLIMITED { UNLIMITED } else { limit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn they_are_small() {
        assert_eq!((size_of::<CreditSender>(), size_of::<CreditReceiver>()), (16, 24));
    }

    #[test]
    fn stale_grants_are_ignored() {
        let mut s = CreditSender::new(10);
        s.consume(10);
        assert!(!s.grant(10) && !s.grant(3));
        assert_eq!(s.limit(), 10);
        assert!(s.grant(11));
        assert!(!s.grant(12), "it was possible before");
        assert_eq!(s.left(), 2);
    }

    #[test]
    fn unlimited_never_ends_and_never_grants() {
        for limit in [UNLIMITED, u64::MAX] {
            let (mut s, mut r) = (CreditSender::new(limit), CreditReceiver::new(limit));
            for _ in 0..3 {
                s.consume(u64::MAX);
                assert_eq!(r.consume(u64::MAX), Ok(()));
                assert!(s.may_send());
                assert_eq!((r.poll_grant(), s.left()), (None, UNLIMITED));
            }
        }
    }

    #[test]
    fn a_window_of_nothing_is_one_of_one() {
        assert_eq!(CreditReceiver::new(0), CreditReceiver::new(1));
    }

    #[test]
    fn an_empty_message_uses_nothing_but_needs_credit() {
        let mut r = CreditReceiver::new(1);
        assert_eq!(r.consume(0), Ok(()));
        assert_eq!(r.consume(1), Ok(()));
        assert_eq!(r.consume(0), Err(CreditExceeded { used: 1, limit: 1 }));
        assert_eq!(r.used(), 1);
    }

    #[test]
    fn hold_withholds_and_resume_makes_good() {
        let mut r = CreditReceiver::new(4);
        r.hold();
        assert_eq!(r.consume(9), Ok(()));
        assert_eq!((r.poll_grant(), r.is_held(), r.window()), (None, true, 4));
        assert!(r.consume(1).is_err());
        r.resume();
        assert_eq!((r.poll_grant(), r.is_held()), (Some(13), false));
    }

    #[test]
    fn a_grant_that_the_buffer_did_not_take_stays_owed() {
        let mut r = CreditReceiver::new(4);
        r.consume(4).unwrap();
        assert_eq!(r.poll_grant(), Some(8));
        assert_eq!(r.poll_grant(), Some(8));
        r.granted(8);
        r.granted(5);
        assert_eq!((r.poll_grant(), r.limit()), (None, 8));
    }

    proptest! {
        /// Grants travel with any delay, some twice; still everything gets through, the receiver
        /// never sees a violation, and never gets more than it granted and one message.
        #[test]
        fn no_window_deadlocks_and_none_is_overrun(
            window in 1..300u64,
            sizes in proptest::collection::vec(0..1000u64, 1..200),
            delays in proptest::collection::vec(0..6usize, 1..20),
            holds in proptest::collection::vec(any::<bool>(), 1..20),
        ) {
            let (mut s, mut r) = (CreditSender::new(window), CreditReceiver::new(window));
            let mut on_the_way = std::collections::VecDeque::new();
            let (mut next, mut round) = (0, 0);
            while next < sizes.len() {
                let mut moved = false;
                while next < sizes.len() && s.may_send() {
                    let before = r.limit();
                    s.consume(sizes[next]);
                    prop_assert_eq!(r.consume(sizes[next]), Ok(()));
                    prop_assert!(r.used() < before + sizes[next].max(1));
                    (next, moved) = (next + 1, true);
                }
                if holds[round % holds.len()] { r.hold() } else { r.resume() }
                if let Some(limit) = r.poll_grant() {
                    prop_assert!(limit > r.limit() && limit == r.used() + window);
                    r.granted(limit);
                    on_the_way.push_back((round + delays[round % delays.len()], limit));
                }
                if let Some((due, limit)) = on_the_way.pop_front() {
                    if due <= round { s.grant(limit); s.grant(limit); } else { on_the_way.push_front((due, limit)); }
                }
                let stuck = !moved && !s.may_send() && on_the_way.is_empty() && !r.is_held();
                prop_assert!(!stuck || r.poll_grant().is_some(), "deadlock at {next} of {}", sizes.len());
                if holds.iter().all(|h| *h) && on_the_way.is_empty() && !s.may_send() { break; }
                round += 1;
            }
            prop_assert_eq!(s.used(), r.used());
        }
    }
}
