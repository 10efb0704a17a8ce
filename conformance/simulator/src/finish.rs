//! Looking at the world now and then, bringing it to rest, and the last judgement.

use std::time::Duration;

use crate::trace::say;
use crate::world::{MILLI, Phase, SECOND, Wake, World};

/// Everything must have come to rest this long after all troubles end: keepalive (45 s), backoff,
/// the longest request, and the time for closing.
const SETTLE: Duration = Duration::from_secs(150);

/// All sessions must have ended this long after everyone left: they wait for the expiry besides.
const LEAVE: Duration = Duration::from_secs(60);

/// So many ticks without a delivery, half a second each: longer than any backoff.
const STILL: u64 = 20;

/// Work ends after this time, whatever was done.
const WORK: Duration = Duration::from_secs(600);

impl World {
    /// Messages that went in or out so far.
    pub(crate) fn messages(&self) -> u64 {
        self.tally.published + self.oracle.delivered + self.tally.requests + self.tally.responses
    }

    /// The world is looked at.
    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        self.check_bounds();
        self.check_hostiles();
        if self.draining_until.is_some() {
            self.check_drain();
        }
        let c = self.server.hub().counters();
        if (c.queued, c.messages_out) != self.moved.0 {
            self.moved = ((c.queued, c.messages_out), self.ticks);
        }
        match self.phase {
            Phase::Work if self.messages() >= self.plan.messages || self.in_phase() > WORK => self.settle(),
            Phase::Settle if self.is_settled() => self.judge(),
            Phase::Settle if self.in_phase() > SETTLE => self.not_settled(),
            Phase::Leave if self.is_empty() => self.end(),
            Phase::Leave if self.in_phase() > LEAVE + self.plan.expiry => {
                let c = self.server.hub().counters();
                let n = self.server.connections();
                self.fail(format!("left over: {n} connections; {c:?}"));
            }
            _ => {}
        }
        // In the end only expiries are awaited.
        let pause = match self.phase {
            Phase::Leave if self.in_phase() > LEAVE => 60 * SECOND,
            _ => SECOND / 2,
        };
        self.at(self.now + pause, Wake::Tick);
    }

    fn enter(&mut self, phase: Phase) {
        say!(self, "the world begins to {phase:?}");
        (self.phase, self.phase_since) = (phase, self.now);
    }

    /// Memory is bounded, and the tables agree.
    fn check_bounds(&mut self) {
        // It costs as much as there is, so not every time.
        if self.ticks.is_multiple_of(8) || self.phase != Phase::Work {
            self.check_hub();
        }
        let c = self.server.hub().counters();
        let sessions = c.sessions;
        // Publishers that are slowed down may fill a queue twice; one message always fits.
        let messages = u64::from(self.plan.queue_messages) * 2 * sessions;
        let bytes = (self.plan.queue_bytes * 2 + 8192) * sessions;
        if c.queued > messages || c.queued_bytes > bytes {
            self.fail(format!(
                "memory: {} messages of {} octets wait for {sessions} sessions",
                c.queued, c.queued_bytes
            ));
        }
        for (i, link) in self.links.iter().enumerate() {
            let side = link.as_ref().and_then(|l| l.server.as_ref());
            if let Some(side) = side
                && (side.recv.memory() > 2 * (8192 + 64) || side.out.len() > self.plan.out_limit)
            {
                let (a, b) = (side.recv.memory(), side.out.len());
                return self.fail(format!("memory: line {i} holds {a} octets received and {b} to send"));
            }
        }
        for (i, p) in self.players.iter().enumerate() {
            let out = p.client.outgoing();
            if out.messages > 1024 || out.bytes > 4 << 20 {
                return self.fail(format!("memory: client {i} holds {out:?}"));
            }
        }
    }

    fn check_hub(&mut self) {
        if let Err(why) = self.server.hub().check_invariants() {
            self.fail(format!("hub: {why}"));
        }
    }

    fn check_drain(&mut self) {
        if self.server.is_drained() {
            self.restart();
        } else if self.draining_until.is_some_and(|at| at.max(self.disturbed + 25 * SECOND) < self.now) {
            let n = self.server.connections();
            self.fail(format!("a drain has not ended: {n} connections are left"));
        }
    }

    /// All troubles end.
    fn settle(&mut self) {
        self.enter(Phase::Settle);
        for h in 0..self.hostiles.len() as u32 {
            self.pump_hostile(h);
        }
        for c in 0..self.players.len() as u32 {
            self.relieve(c);
        }
    }

    /// Whether the server is at the other end of its line.
    fn has_line(&self, p: &crate::app::Player) -> bool {
        let link = p.link.and_then(|l| self.links[l as usize].as_ref());
        link.is_some_and(|link| link.server.is_some() && !link.pipes.is_dead())
    }

    fn is_settled(&self) -> bool {
        let c = self.server.hub().counters();
        let here = self.players.iter().filter(|p| !p.closed).count();
        // A session whose client has gone without a word keeps what waits until it expires; then
        // all has come to rest when nothing has moved for a while.
        let others = c.sessions > here as u64;
        self.draining_until.is_none()
            && (c.queued == 0 || (others && self.ticks > self.moved.1 + STILL))
            && self.players.iter().all(crate::app::Player::at_rest)
            && self.server.connections() == here
            && self.players.iter().all(|p| p.closed || self.has_line(p))
    }

    fn not_settled(&mut self) {
        let c = self.server.hub().counters();
        let who = self.players.iter().position(|p| !p.at_rest());
        let what = match who {
            Some(i) => {
                let p = &self.players[i];
                format!(
                    "client {i}: {:?}, connected {}, {} publishes and {} requests open, events wait: {}, subscriptions {:?} {:?}",
                    p.client,
                    p.connected,
                    p.open,
                    p.waiting,
                    p.client.has_events(),
                    p.subs,
                    p.serves
                )
            }
            None => {
                let left = self.links.iter().flatten().filter(|l| l.server.is_some());
                let words = left.map(|l| {
                    let deadline = self.server.poll_timeout(l.key);
                    let side = l.server.as_ref().map(|s| (s.blocked, s.eof, s.out.len(), s.wake / MILLI));
                    let (since, both) = (l.since / MILLI, l.client.is_some());
                    format!("{:?} since {since} ms, both ends: {both}, {deadline:?}, {side:?}", l.owner)
                });
                let left: Vec<_> = words.filter(|w| !w.starts_with("Client")).collect();
                format!("{} connections: {left:?}", self.server.connections())
            }
        };
        self.fail(format!("the world does not come to rest: {what}; {c:?}"));
    }

    /// All that was to be delivered was: is it right?
    fn judge(&mut self) {
        let dropped = self.server.hub().counters().dropped;
        let dropped = self.tally.dropped + dropped.oldest + dropped.newest;
        if let Err(why) = self.oracle.judge(self.plan.policy, dropped) {
            self.fail(why);
        }
        self.enter(Phase::Leave);
        for c in 0..self.players.len() as u32 {
            self.leave(c, c % 2 == 0);
        }
    }

    fn is_empty(&self) -> bool {
        let c = self.server.hub().counters();
        self.players.iter().all(|p| p.closed) && self.server.connections() == 0 && c.sessions == 0
    }

    /// Nothing may be left of anyone.
    fn end(&mut self) {
        let c = self.server.hub().counters();
        if (c.subscriptions, c.queued, c.queued_bytes, c.requests_in_flight, c.attached) != (0, 0, 0, 0, 0) {
            self.fail(format!("left over: {c:?}"));
        }
        self.check_hub();
        for (l, link) in self.links.iter().enumerate() {
            if let Some(link) = link
                && (link.server.is_some() || (link.opened && !link.closed))
            {
                return self
                    .fail(format!("line {l} is left over, {} ms old", (self.now - link.since) / MILLI));
            }
        }
        self.enter(Phase::Done);
    }
}
