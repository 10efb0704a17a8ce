//! Looking at the world now and then, bringing it to rest, and the last judgement.

use std::time::Duration;

use super::app::VALUES;
use super::client::Player;
use super::plan::{LOGGED, TOPICS};
use super::{Broker, Phase, Wake};
use crate::trace::say;
use crate::world::SECOND;

/// Everything must have come to rest this long after all troubles end: keep alive, and the longest
/// rest of a store that failed.
const SETTLE: Duration = Duration::from_secs(150);

/// Work ends after this time, whatever was done.
const WORK: Duration = Duration::from_secs(300);

impl Broker {
    /// The world is looked at.
    pub(super) fn tick(&mut self) {
        self.check_hub();
        self.check_bounds();
        if self.phase == Phase::Settle {
            for c in
                (0..self.plan.clients as u32).filter(|c| self.players[*c as usize].open).collect::<Vec<_>>()
            {
                self.subscribe_standing(c);
            }
        }
        match self.phase {
            Phase::Work if self.messages() >= self.plan.messages || self.in_phase() > WORK => self.settle(),
            Phase::Settle if self.is_settled() && std::mem::take(&mut self.last_death) => {
                // All is stored: nobody must see a difference.
                self.die();
            }
            Phase::Settle if self.is_settled() => self.judge(),
            Phase::Ask if self.is_settled() => self.end(),
            Phase::Settle | Phase::Ask if self.in_phase() > SETTLE => self.not_settled(),
            _ => {}
        }
        self.at(self.now + SECOND / 2, Wake::Tick);
    }

    fn in_phase(&self) -> Duration {
        Duration::from_nanos(self.now - self.phase_since)
    }

    fn enter(&mut self, phase: Phase) {
        say!(self, "the world begins to {phase:?}");
        (self.phase, self.phase_since) = (phase, self.now);
    }

    /// Memory is bounded.
    fn check_bounds(&mut self) {
        let limit = self.plan.out_limit;
        for (l, link) in self.links.iter().enumerate() {
            let side = link.as_ref().and_then(|l| l.server.as_ref());
            if let Some(side) = side
                && (side.recv.memory() > 2 * (8192 + 64) || side.out.len() > limit)
            {
                let (a, b) = (side.recv.memory(), side.out.len());
                return self.fail(format!("memory: line {l} holds {a} octets received and {b} to send"));
            }
        }
    }

    /// All troubles end.
    fn settle(&mut self) {
        self.enter(Phase::Settle);
        self.fuse.left = 0;
        self.disk.heal();
        for c in 0..self.players.len() as u32 {
            self.players[c as usize].away_until = self.now;
            self.relieve(c);
        }
    }

    fn is_settled(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let c = server.hub().counters();
        self.players.iter().all(Player::at_rest)
            && self.oracle.standing.iter().all(|s| s.there)
            && (c.queued, c.tasks) == (0, 0)
            && self.disk.is_idle()
            && server.connections() == self.players.len()
            && server.hub().commits() == server.hub().issued()
    }

    fn not_settled(&mut self) {
        use bowline_core::mqtt::client::Store;
        let who = self.players.iter().enumerate().filter(|(_, p)| !p.at_rest());
        let words = who.map(|(c, p)| {
            let (kept, open) = (p.machine.store().len(), p.open);
            format!(
                "client {c}: open {open}, keeps {kept}, asked {:?}, publishes {:?}",
                p.asked, p.publishing
            )
        });
        let who: Vec<_> = words.collect();
        let hub = self.server.as_ref().map(|s| (s.connections(), s.hub().counters()));
        self.fail(format!(
            "the world does not come to rest: {who:?}; {hub:?}; the disk: {}",
            self.disk.words()
        ));
    }

    /// All that was to be delivered was: is it right?
    fn judge(&mut self) {
        let judged = self.oracle.judge().and_then(|()| self.disk.tables.check(true));
        self.must(judged);
        let kept = self.disk.tables.history(TOPICS[LOGGED]).map(|kept| {
            let number =
                |m: &&bowline_core::hub::Message| m.payload().first_chunk().map(|n| u32::from_be_bytes(*n));
            kept.iter().filter_map(number).collect::<Vec<_>>()
        });
        let judged = kept.and_then(|kept| self.oracle.check_history(TOPICS[LOGGED], &kept));
        self.must(judged);
        self.enter(Phase::Ask);
        let c = self.players.len() as u32;
        let asker = Player::asker(self, c);
        self.players.push(asker);
        self.wake_client(c, self.now);
    }

    /// Who was never there has asked for what is retained: is it right?
    fn end(&mut self) {
        for c in 0..self.plan.clients {
            for (name, _) in VALUES {
                let topic = format!("r/{c}/{name}");
                let mut values = self.retained.iter().filter(|(of, _)| *of == topic);
                let value = values.next().map(|(_, number)| *number);
                if values.next().is_some() {
                    return self.fail(format!("retained: {topic} came twice"));
                }
                let judged = self.oracle.may_retain(&topic, value);
                self.must(judged);
            }
        }
        self.enter(Phase::Done);
    }
}
