//! What was sent and is not acknowledged yet: round-trip time, loss, and when to probe (RFC 9002).

use alloc::collections::VecDeque;
use core::ops::Range;
use core::time::Duration;

use super::congestion::Congestion;
use crate::time::Instant;

/// So many later packets acknowledged: one is lost (RFC 9002 §6.1.1).
pub(super) const PACKET_THRESHOLD: u64 = 3;
/// The least that a clock tells apart (§6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);
/// The longest that an acknowledgement waits for others (RFC 9000 §18.2).
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// The round-trip time before one was measured (RFC 9002 §6.2.2).
pub(super) const INITIAL_RTT: Duration = Duration::from_millis(333);
/// Losses over so many probe timeouts are persistent congestion (§7.6.1).
const PERSISTENT: u32 = 3;
/// A probe timeout doubles so often at most.
const MAX_BACKOFF: u32 = 8;
/// A window with less than twice as much left is as good as full.
const NEARLY: u64 = super::mtu::BASE as u64;
/// At most so many packets are on the way.
pub(super) const MAX_SENT: usize = 16_384;

/// Round-trip times, smoothed (RFC 9002 §5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    pub(super) latest: Duration,
    /// Nothing before one was measured.
    smoothed: Option<Duration>,
    variation: Duration,
    pub(super) min: Duration,
}

impl Rtt {
    pub(super) const fn new() -> Self {
        let half = Duration::from_micros(166_500);
        Self { latest: INITIAL_RTT, smoothed: None, variation: half, min: INITIAL_RTT }
    }

    /// The smoothed one; the initial one before any was measured.
    pub(super) const fn smoothed(&self) -> Duration {
        match self.smoothed {
            Some(smoothed) => smoothed,
            None => INITIAL_RTT,
        }
    }

    pub(super) const fn is_measured(&self) -> bool {
        self.smoothed.is_some()
    }

    pub(super) fn update(&mut self, sample: Duration, ack_delay: Duration) {
        self.latest = sample;
        let Some(smoothed) = self.smoothed else {
            *self = Self { latest: sample, smoothed: Some(sample), variation: sample / 2, min: sample };
            return;
        };
        self.min = self.min.min(sample);
        let ack_delay = ack_delay.min(MAX_ACK_DELAY);
        let adjusted = if sample >= self.min + ack_delay { sample - ack_delay } else { sample };
        self.variation = (self.variation * 3 + smoothed.abs_diff(adjusted)) / 4;
        self.smoothed = Some((smoothed * 7 + adjusted) / 8);
    }

    /// How long the acknowledgement of a packet may take (§6.2.1), without backoff.
    pub(super) fn probe_timeout(&self) -> Duration {
        self.smoothed() + (self.variation * 4).max(GRANULARITY) + MAX_ACK_DELAY
    }

    /// How much later than a lost one a packet was sent whose acknowledgement says so (§6.1.2).
    fn loss_delay(&self) -> Duration {
        (self.latest.max(self.smoothed()) * 9 / 8).max(GRANULARITY)
    }
}

/// What was in a packet, as far as it has to come again, or means something once it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Pieces of the stream: where they begin, how long they are, whether the stream ends with them.
    pub(super) stream: [(u64, u32, bool); 2],
    /// The largest number that its ACK named.
    pub(super) acknowledged: Option<u64>,
    /// A window for the peer's stream.
    pub(super) window: bool,
    /// Connection ids that were issued: a bit for each place.
    pub(super) issued: u8,
    /// A connection id that was given back.
    pub(super) retired: Option<u64>,
    /// It finds out whether a path carries packets of its size.
    pub(super) probe: bool,
}

impl Content {
    /// Whether it has to come again where the packet was lost.
    pub(super) fn comes_again(&self) -> bool {
        let piece = self.stream.iter().any(|(_, len, fin)| *len > 0 || *fin);
        piece || self.window || self.issued != 0 || self.retired.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Outstanding,
    Acknowledged,
    Lost,
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) size: u16,
    /// The peer is to acknowledge it, so it counts as in flight.
    pub(super) eliciting: bool,
    /// It said that it takes part in ECN.
    pub(super) marked: bool,
    fate: Fate,
    pub(super) content: Content,
}

impl Sent {
    pub(super) const fn new(at: Instant, size: u16, eliciting: bool, content: Content) -> Self {
        Self { at, size, eliciting, marked: false, fate: Fate::Outstanding, content }
    }
}

/// What fate a packet had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    Acknowledged(&'a Sent),
    Lost(&'a Sent),
}

/// What an acknowledgement names that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent;

/// Packets that are on the way, of one connection.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) rtt: Rtt,
    /// By number, from `base` on.
    sent: VecDeque<Sent>,
    base: u64,
    /// One above the largest number that was acknowledged.
    acked_end: u64,
    /// When a packet below it is lost if it was not acknowledged.
    loss_at: Option<Instant>,
    /// When the last packet was sent that the peer is to acknowledge.
    last_eliciting: Instant,
    outstanding: u32,
    pub(super) in_flight: u64,
    /// Nothing more was to be sent the last time that something could be.
    pub(super) idle: bool,
    /// Probe timeouts since something was acknowledged.
    pub(super) probes: u32,
    /// When the round-trip time was first measured: what was sent before does not tell of persistent congestion.
    measured_at: Option<Instant>,
}

/// Why [`Recovery::handle_timeout`] is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Loss,
    Probe,
}

impl Recovery {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            rtt: Rtt::new(),
            sent: VecDeque::new(),
            base: 0,
            acked_end: 0,
            loss_at: None,
            last_eliciting: now,
            outstanding: 0,
            in_flight: 0,
            idle: true,
            probes: 0,
            measured_at: None,
        }
    }

    /// The number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.base + self.sent.len() as u64
    }

    /// One above the largest that was acknowledged.
    pub(super) const fn acked_end(&self) -> u64 {
        self.acked_end
    }

    /// Whether no more can be on the way.
    pub(super) fn is_full(&self) -> bool {
        self.sent.len() >= MAX_SENT
    }

    pub(super) fn on_sent(&mut self, sent: Sent) {
        if self.outstanding == 0 {
            // What waits for nothing is forgotten.
            self.base = self.next();
            self.sent.clear();
        }
        if sent.eliciting {
            self.outstanding += 1;
            self.in_flight += u64::from(sent.size);
            self.last_eliciting = sent.at;
        }
        self.sent.push_back(sent);
    }

    /// Takes in an acknowledgement: `ranges` descend, and none is above `largest`. `tell` learns what came. Returns
    /// when the packet `largest` was sent, where this is the first to tell of it or of a later one.
    pub(super) fn on_ack<C: Congestion>(
        &mut self,
        now: Instant,
        largest: u64,
        delay: Duration,
        ranges: impl Iterator<Item = Range<u64>>,
        congestion: &mut C,
        mut tell: impl FnMut(Told<'_>),
    ) -> Result<Option<Instant>, NeverSent> {
        if largest >= self.next() {
            return Err(NeverSent);
        }
        let limited = !self.idle || self.in_flight + 2 * NEARLY >= congestion.window();
        let (mut any, mut sent_at) = (false, None);
        let first = largest >= self.acked_end;
        for range in ranges {
            if range.end <= self.base {
                break;
            }
            let from = (range.start.max(self.base) - self.base) as usize;
            let to = (range.end - self.base) as usize;
            for (at, sent) in self.sent.range_mut(from..to).enumerate().rev() {
                if sent.fate != Fate::Outstanding {
                    continue;
                }
                sent.fate = Fate::Acknowledged;
                if self.base + (from + at) as u64 == largest {
                    sent_at = Some(sent.at);
                }
                any |= sent.eliciting;
                if sent.eliciting {
                    self.outstanding -= 1;
                    self.in_flight -= u64::from(sent.size);
                    congestion.on_acked(now, sent.at, u64::from(sent.size), limited);
                }
                tell(Told::Acknowledged(sent));
            }
        }
        self.acked_end = self.acked_end.max(largest + 1);
        if let Some(sent_at) = sent_at.filter(|_| any) {
            self.rtt.update(now.saturating_since(sent_at), delay);
            self.measured_at.get_or_insert(now);
            congestion.on_rtt(self.rtt.latest, self.rtt.smoothed());
        }
        if any {
            self.probes = 0;
        }
        self.find_lost(now, congestion, &mut tell);
        Ok(sent_at.filter(|_| first))
    }

    /// Declares lost what is (RFC 9002 §6.1).
    fn find_lost<C: Congestion>(
        &mut self,
        now: Instant,
        congestion: &mut C,
        tell: &mut impl FnMut(Told<'_>),
    ) {
        self.loss_at = None;
        let delay = self.rtt.loss_delay();
        let (mut first, mut last, mut latest) = (None, None, None);
        let unacked = self.acked_end.saturating_sub(self.base) as usize;
        for (at, sent) in self.sent.iter_mut().take(unacked).enumerate() {
            if sent.fate == Fate::Acknowledged {
                if sent.eliciting {
                    (first, last) = (None, None);
                }
                continue;
            }
            if sent.fate == Fate::Lost {
                continue;
            }
            let number = self.base + at as u64;
            let due = sent.at + delay;
            if number + PACKET_THRESHOLD >= self.acked_end && due > now {
                self.loss_at = Some(self.loss_at.map_or(due, |other| other.min(due)));
                continue;
            }
            sent.fate = Fate::Lost;
            if sent.eliciting {
                self.outstanding -= 1;
                self.in_flight -= u64::from(sent.size);
                if !sent.content.probe {
                    latest = Some(sent.at);
                    first = first.or(Some(sent.at));
                    last = Some(sent.at);
                }
            }
            tell(Told::Lost(sent));
        }
        if let Some(sent_at) = latest {
            let span = self.rtt.probe_timeout() * PERSISTENT;
            let (from, to) = (first.unwrap_or(sent_at), last.unwrap_or(sent_at));
            let known = self.measured_at.is_some_and(|at| from >= at);
            congestion.on_lost(now, sent_at, known && to.saturating_since(from) >= span);
        }
        while self.sent.front().is_some_and(|sent| sent.fate != Fate::Outstanding || !sent.eliciting) {
            // What needs no acknowledgement is forgotten once something later was acknowledged.
            if self.base >= self.acked_end {
                break;
            }
            self.sent.pop_front();
            self.base += 1;
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due (§6.2.1).
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.loss_at.is_some() {
            return self.loss_at;
        }
        let timeout = self.rtt.probe_timeout() * (1 << self.probes.min(MAX_BACKOFF));
        (self.outstanding > 0).then(|| self.last_eliciting + timeout)
    }

    /// Declares lost what time says is, or asks for a probe.
    pub(super) fn handle_timeout<C: Congestion>(
        &mut self,
        now: Instant,
        congestion: &mut C,
        mut tell: impl FnMut(Told<'_>),
    ) -> Due {
        if self.deadline().is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        if self.loss_at.is_some() {
            self.find_lost(now, congestion, &mut tell);
            return Due::Loss;
        }
        self.probes += 1;
        // The next one is counted from here, sent or not.
        self.last_eliciting = now;
        Due::Probe
    }

    /// The packets that wait for an acknowledgement, oldest first: a probe says again what they said.
    pub(super) fn oldest(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.fate == Fate::Outstanding && sent.eliciting)
    }

    /// Another path: what is known of the round trip is not known of it (RFC 9000 §9.4).
    pub(super) const fn forget_path(&mut self) {
        self.rtt = Rtt::new();
        self.measured_at = None;
        self.probes = 0;
    }
}
