//! How large a packet may be on this path: found by probes, lost by silence (RFC 8899).

use core::time::Duration;

use crate::time::Instant;

/// What every path carries: no smaller one is used.
pub(super) const BASE: u16 = 1_200;
/// Sizes nearer than this are not told apart.
const NEAR: u16 = 20;
/// A size whose probes were lost so often is too large.
const PROBES: u8 = 3;
/// So often large packets were found lost, and none arrived between: the path does not carry them any more. Those
/// that are found lost at once count once: a full queue loses many in a row.
const BLACK_HOLE: u8 = 10;
/// When a search that has ended is begun again (RFC 8899 §5.1.1).
const RAISE: Duration = Duration::from_secs(600);
/// When a search is begun again behind a black hole.
const AGAIN: Duration = Duration::from_secs(10);

/// The search for the largest packet.
#[derive(Debug)]
pub(super) struct Mtu {
    /// What the path carries, as far as known.
    current: u16,
    /// The largest that is worth a probe: halved towards `current`.
    high: u16,
    max: u16,
    /// The size that the probe has which is on the way.
    probing: Option<u16>,
    lost: u8,
    /// Large packets lost since one arrived.
    large_lost: u8,
    /// When they were found lost last.
    lost_at: Option<Instant>,
    /// No probe before.
    next: Option<Instant>,
    searching: bool,
}

impl Mtu {
    /// `max`: the largest packet that is ever sent, in octets.
    pub(super) fn new(max: u16) -> Self {
        let max = max.max(BASE);
        Self {
            current: BASE,
            high: max,
            max,
            probing: None,
            lost: 0,
            large_lost: 0,
            lost_at: None,
            next: None,
            searching: max > BASE,
        }
    }

    pub(super) const fn current(&self) -> u16 {
        self.current
    }

    /// The peer takes no larger ones.
    pub(super) fn limit(&mut self, max: u16) {
        self.max = self.max.min(max.max(BASE));
        self.high = self.high.min(self.max);
        self.searching = self.high > self.current;
    }

    /// The size of the probe to send now, if one is.
    pub(super) fn probe(&self, now: Instant) -> Option<u16> {
        if !self.searching || self.probing.is_some() || self.next.is_some_and(|at| at > now) {
            return None;
        }
        // The largest first: most paths carry it or nothing above the base.
        let size = if self.high == self.max && self.lost == 0 || self.high - self.current <= NEAR {
            self.high
        } else {
            self.current + (self.high - self.current) / 2
        };
        Some(size)
    }

    pub(super) const fn on_probe_sent(&mut self, size: u16) {
        self.probing = Some(size);
    }

    /// A probe arrived.
    pub(super) fn on_probe_acked(&mut self, now: Instant, size: u16) {
        if self.probing != Some(size) {
            return;
        }
        (self.probing, self.lost, self.large_lost) = (None, 0, 0);
        self.current = self.current.max(size);
        if self.high <= self.current {
            self.rest(now, RAISE);
        }
    }

    pub(super) fn on_probe_lost(&mut self, now: Instant, size: u16) {
        if self.probing != Some(size) {
            return;
        }
        self.probing = None;
        self.lost += 1;
        let tries = if size == self.max { 2 } else { PROBES };
        if self.lost < tries {
            return;
        }
        self.lost = 0;
        self.high = (size - 1).max(self.current);
        if self.high - self.current < NEAR {
            self.rest(now, RAISE);
        }
    }

    fn rest(&mut self, now: Instant, time: Duration) {
        self.searching = false;
        self.next = (self.current < self.max).then_some(now + time);
    }

    /// When a search that rests begins again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.filter(|_| !self.searching)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            (self.next, self.searching, self.high, self.lost) = (None, true, self.max, 0);
        }
    }

    pub(super) const fn on_acked(&mut self, size: u16) {
        if size > BASE {
            self.large_lost = 0;
        }
    }

    /// A packet that was no probe is lost. Says whether packets are smaller from now on.
    pub(super) fn on_lost(&mut self, now: Instant, size: u16) -> bool {
        if size <= BASE || size > self.current || self.lost_at.replace(now) == Some(now) {
            return false;
        }
        self.large_lost += 1;
        self.large_lost >= BLACK_HOLE && self.fall(now)
    }

    /// The path carries large packets no more. Says whether packets are smaller from now on.
    pub(super) fn fall(&mut self, now: Instant) -> bool {
        let fell = self.current > BASE;
        (self.current, self.high, self.probing) = (BASE, self.max, None);
        (self.lost, self.large_lost) = (0, 0);
        self.rest(now, AGAIN);
        fell
    }
}
