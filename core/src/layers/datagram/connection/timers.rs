//! What time brings: loss, probes, silence, ends.

use alloc::vec::Vec;

use super::super::Ended;
use super::super::recovery::{Content, Due};
use super::recv::Fate;
use super::{Connection, State, Surroundings};
use crate::time::{Deadline, Instant, Why};

/// Behind so many probe timeouts packets are of the size that all paths carry.
const FALL: u32 = 3;
/// An ACK waits for so much of an unproved path's budget.
const ACK_ROOM: usize = 128;

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) or another transmission is due.
    pub(in super::super) fn poll_timeout(&self) -> Option<Deadline> {
        let of = |at: Option<Instant>, why| at.map(|at| Deadline::new(at, why));
        match &self.state {
            State::Gone => None,
            State::Draining { until } | State::Closing { until, .. } => of(Some(*until), Why::Close),
            State::Opening(opening) => {
                let retry = of(opening.retry_at, Why::Handshake);
                Deadline::earliest(of(Some(opening.until), Why::Handshake), retry)
            }
            State::Open => [
                of(Some(self.last_received + self.idle), Why::PeerSilent),
                of(
                    self.keep_alive.filter(|_| !self.owed.ping).map(|interval| self.last_sent + interval),
                    Why::Keepalive,
                ),
                of(self.recovery.deadline(), Why::Retransmit),
                of(self.received.ack_at.filter(|_| self.path.budget() > ACK_ROOM), Why::Acknowledge),
                of(self.paced_until, Why::Rate),
                of(self.path.until, Why::Retransmit),
                of(self.mtu.deadline(), Why::Report),
                of(self.detached, Why::Close),
                of(self.doubted, Why::PeerSilent),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// Does what is due.
    pub(in super::super) fn handle_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        match &self.state {
            State::Gone => return,
            State::Draining { until } | State::Closing { until, .. } => {
                if *until <= now {
                    self.state = State::Gone;
                }
                return;
            }
            State::Opening(opening) => {
                if opening.until <= now {
                    self.end(now, Ended::Handshake, true);
                }
                return;
            }
            State::Open => {}
        }
        if self.last_received + self.idle <= now {
            self.end(now, Ended::Idle, true);
            return;
        }
        if self.doubted.is_some_and(|until| until <= now) {
            self.end(now, Ended::Forgotten, true);
            return;
        }
        if self.keep_alive.is_some_and(|interval| self.last_sent + interval <= now) {
            self.owed.ping = true;
        }
        if self.path.until.is_some_and(|until| until <= now) {
            self.path_failed(now);
        }
        self.mtu.handle_timeout(now);
        self.outgoing.release();
        self.incoming.release();
        self.recovery_timeout(now, around);
        self.leave(now);
    }

    fn recovery_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        let mut told = Vec::new();
        let due = self.recovery.handle_timeout(now, &mut self.congestion, |fate| told.push(Fate::of(fate)));
        self.learn_all(now, &told, around);
        if due != Due::Probe {
            return;
        }
        around.counters.probes += 1;
        self.marking.on_probe();
        self.repeat_flight();
        if self.recovery.probes >= FALL && self.mtu.fall(now) {
            around.counters.black_holes += 1;
            self.resize();
        }
        // What waits longest is said again, in two packets (RFC 9002 §6.2.4).
        let oldest: Vec<Content> = self.recovery.oldest().take(2).map(|sent| sent.content.clone()).collect();
        for content in &oldest {
            around.counters.repeated += u64::from(content.comes_again());
            self.content_lost(content);
        }
        self.owed.ping = true;
        self.owed.probes = 2;
    }

    /// Nobody answers at the new address: back to the one that was proved.
    fn path_failed(&mut self, now: Instant) {
        match self.former.take() {
            Some(former) => {
                self.path = former;
                self.owed.ping = true;
            }
            None => {
                // Its budget is what it has; it is asked again as long as it sends.
                self.path.challenge_owed = true;
                self.path.until = Some(now + self.recovery.rtt.probe_timeout() * 3);
            }
        }
    }
}
