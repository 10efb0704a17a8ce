//! Time as the machines know it: instants that the caller hands in, and deadlines they ask for.

use core::num::NonZeroU64;
use core::time::Duration;

/// A point in time, in nanoseconds since an epoch that the caller chooses.
///
/// There is deliberately no way to read a clock here: whoever drives a machine passes the time in,
/// so a test, a simulator and a firmware are all equally its clock. `Option<Instant>` is 8 bytes.
///
/// ```
/// use bowline_core::time::Instant;
/// use core::time::Duration;
/// let t = Instant::from_millis(5) + Duration::from_millis(2);
/// assert_eq!(t, Instant::from_millis(7));
/// assert_eq!(t.saturating_since(Instant::from_millis(4)), Duration::from_millis(3));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The caller's epoch itself.
    pub const ZERO: Instant = Instant::from_nanos(0);
    /// The last representable instant, some 584 years after the epoch; sums saturate here.
    pub const FAR_FUTURE: Instant = Instant(NonZeroU64::MAX);

    /// The instant `nanos` nanoseconds after the epoch, saturating at [`Instant::FAR_FUTURE`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        match NonZeroU64::new(nanos.saturating_add(1)) {
            Some(n) => Self(n),
            None => Self(NonZeroU64::MAX), // not reached: a saturating sum with 1 is never 0
        }
    }

    /// The instant `millis` milliseconds after the epoch, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl core::fmt::Debug for Instant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let n = self.as_nanos();
        write!(f, "{}.{:06}ms", n / 1_000_000, n % 1_000_000)
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        let nanos = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(self.as_nanos().saturating_add(nanos))
    }
}

/// The next instant at which a machine wants to be called, and why.
///
/// Of two deadlines the earlier one orders first, so `min` picks what is due next:
///
/// ```
/// use bowline_core::time::{Deadline, Instant, Why};
/// let a = Deadline::new(Instant::from_millis(9), Why::Keepalive);
/// let b = Deadline::new(Instant::from_millis(3), Why::Handshake);
/// assert_eq!(a.min(b), b);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Why.
    pub why: Why,
}

impl Deadline {
    /// A deadline at `at` because of `why`.
    #[must_use]
    pub const fn new(at: Instant, why: Why) -> Self {
        Self { at, why }
    }

    /// The earlier of two optional deadlines.
    #[must_use]
    pub fn earliest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Why a machine wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Output or events wait to be taken: the deadline is "now".
    Output,
    /// The handshake must have ended.
    Handshake,
    /// We have been silent for as long as the peer allows: time to speak.
    Keepalive,
    /// The peer has been silent for too long: it is dead.
    PeerSilent,
    /// The transport has taken no byte for too long.
    Write,
    /// The peer has had its time to finish what is in flight.
    Drain,
    /// The closing handshake has had its time.
    Close,
    /// The next connection attempt is due.
    Backoff,
    /// A request must have been answered.
    Request,
    /// A session that no connection serves ends.
    Expiry,
    /// A rate allows the next message.
    Rate,
    /// What is told at intervals is to be told again.
    Report,
    /// An acknowledgement has waited for others long enough.
    Acknowledge,
    /// What was sent should have been acknowledged: it is lost, or the peer is asked.
    Retransmit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_is_free() {
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant::ZERO.as_nanos(), 0);
        assert_eq!(Instant::from_nanos(u64::MAX), Instant::FAR_FUTURE);
        assert_eq!(Instant::FAR_FUTURE + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO.saturating_since(Instant::from_millis(1)), Duration::ZERO);
        assert_eq!(Instant::from_millis(u64::MAX), Instant::FAR_FUTURE);
    }
}
