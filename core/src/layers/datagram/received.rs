//! Which packets have come: none is taken twice, all are acknowledged in time.

use super::ecn::{Counts, Ecn};
use super::frame;
use super::ranges::Ranges;
use super::recovery::MAX_ACK_DELAY;
use crate::time::Instant;

use alloc::vec::Vec;

/// Ranges that are remembered; what is below them counts as seen.
const MAX_RANGES: usize = 64;
/// So many packets are acknowledged at once at the latest (RFC 9000 §13.2.2).
const TOGETHER: u32 = 2;

/// Packets that were received.
#[derive(Debug, Default)]
pub(super) struct Received {
    ranges: Ranges,
    /// What is below is seen, or too late.
    floor: u64,
    /// One above the largest.
    end: u64,
    largest_at: Option<Instant>,
    /// How many came marked.
    marked: Counts,
    /// Since the last ACK.
    eliciting: u32,
    /// When an ACK is due.
    pub(super) ack_at: Option<Instant>,
    /// Something came that the last ACK did not say.
    news: bool,
}

impl Received {
    /// The number to expect next.
    pub(super) const fn expected(&self) -> u64 {
        self.end
    }

    /// Whether a packet of this number has come, or is too late.
    pub(super) fn is_seen(&self, number: u64) -> bool {
        number < self.floor || self.ranges.contains(number)
    }

    /// Takes note of a packet. Says whether its number is the largest so far.
    pub(super) fn on_packet(&mut self, now: Instant, number: u64, eliciting: bool, ecn: Ecn) -> bool {
        self.marked.on_packet(ecn);
        let in_order = number == self.end;
        let largest = number >= self.end;
        if largest {
            self.end = number + 1;
            self.largest_at = Some(now);
        }
        self.ranges.insert(number..number + 1);
        if self.ranges.len() > MAX_RANGES
            && let Some(first) = self.ranges.pop_first()
        {
            self.floor = self.floor.max(first.end);
        }
        self.news = true;
        if eliciting {
            self.eliciting += 1;
            // Congestion is told at once, as a gap is (RFC 9000 §13.2.1).
            let waits = in_order && self.eliciting < TOGETHER && ecn != Ecn::Ce;
            let at = if waits { now + MAX_ACK_DELAY } else { now };
            self.ack_at = Some(self.ack_at.map_or(at, |other| other.min(at)));
        }
        largest
    }

    /// Whether an ACK could go with something else.
    pub(super) const fn has_news(&self) -> bool {
        self.news && self.eliciting > 0
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.ack_at.is_some_and(|at| at <= now)
    }

    /// Writes an ACK within `room` octets. Returns the largest number in it.
    pub(super) fn put(&mut self, now: Instant, out: &mut Vec<u8>, room: usize) -> Option<u64> {
        let delay = self.largest_at.map_or(0, |at| now.saturating_since(at).as_micros() as u64);
        if !frame::put_ack(out, &self.ranges, self.marked, delay, room) {
            return None;
        }
        (self.eliciting, self.ack_at, self.news) = (0, None, false);
        self.ranges.end().map(|end| end - 1)
    }

    /// The peer knows what an ACK said that had `largest` as its largest: it need not be said again.
    pub(super) fn on_ack_acked(&mut self, largest: u64) {
        // One range stays, so that there is always something to say.
        let keep = largest.min(self.end.saturating_sub(1));
        self.floor = self.floor.max(keep);
        self.ranges.remove_below(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_twice_and_memory_is_bounded() {
        let (mut received, now) = (Received::default(), Instant::ZERO);
        for n in (0..1000).step_by(2) {
            assert!(!received.is_seen(n));
            received.on_packet(now, n, true, Ecn::NotEct);
            assert!(received.is_seen(n));
        }
        assert!(received.ranges.len() <= MAX_RANGES);
        assert!(received.is_seen(1), "too late is as seen");
        assert!(!received.is_seen(997));
        received.on_ack_acked(998);
        assert!((0..=998).all(|n| received.is_seen(n)) && !received.is_seen(999));
    }

    #[test]
    fn every_second_and_what_is_out_of_order_is_acknowledged_at_once() {
        let (mut received, now) = (Received::default(), Instant::ZERO);
        received.on_packet(now, 0, true, Ecn::NotEct);
        assert_eq!(received.ack_at, Some(now + MAX_ACK_DELAY));
        received.on_packet(now, 1, true, Ecn::NotEct);
        assert!(received.is_due(now));
        assert_eq!(received.put(now, &mut Vec::new(), 100), Some(1));
        assert!(!received.has_news());
        received.on_packet(now, 2, false, Ecn::NotEct);
        assert_eq!(received.ack_at, None, "an ACK is not acknowledged");
        received.on_packet(now, 4, true, Ecn::NotEct);
        assert!(received.is_due(now), "a gap");
        received.put(now, &mut Vec::new(), 100);
        received.on_packet(now, 5, true, Ecn::Ce);
        assert!(received.is_due(now), "congestion");
    }
}
