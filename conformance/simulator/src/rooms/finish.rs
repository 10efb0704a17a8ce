//! Looking at the world now and then, bringing it to rest, and the last judgement.

use std::time::Duration;

use super::node::TOPIC;
use super::own::number_of;
use super::{Phase, Rooms};
use crate::trace::say;
use crate::world::SECOND;

/// Everything must have come to rest this long after all troubles end: keepalive, grace, and sessions
/// that expire.
const SETTLE: Duration = Duration::from_secs(150);

/// Work ends after this time, whatever was done.
const WORK: Duration = Duration::from_secs(120);

/// A session of typed JSON outlives its connection by so much; then it is gone for the others.
const GRACE: Duration = Duration::from_secs(75);

impl Rooms {
    /// The world is looked at.
    pub(super) fn tick(&mut self) {
        self.tick_at = self.now + SECOND / 2;
        if let Some(Err(why)) = self.server.as_ref().map(|server| server.hub().check_invariants()) {
            self.fail(format!("hub: {why}"));
        }
        match self.phase {
            Phase::Work if self.messages() >= self.plan.messages || self.in_phase() > WORK => self.settle(),
            Phase::Settle if self.is_settled() && std::mem::take(&mut self.last_death) => {
                self.phase_since = self.now;
                self.die();
            }
            Phase::Settle if self.is_settled() => self.judge(),
            Phase::Settle if self.in_phase() > SETTLE => self.not_settled(),
            _ => {}
        }
    }

    fn in_phase(&self) -> Duration {
        Duration::from_nanos(self.now - self.phase_since)
    }

    /// All troubles end.
    fn settle(&mut self) {
        say!(self, "the world is to come to rest");
        (self.phase, self.phase_since) = (Phase::Settle, self.now);
        (self.fuse.left, self.trouble_at) = (0, u64::MAX);
        self.disk.heal();
        for m in &mut self.members {
            (m.lazy_until, m.away_until) = (0, 0);
            if let Some(line) = &mut m.line {
                line.pipes.heal(&self.plan.line);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let Some(server) = &self.server else { return false };
        self.in_phase() > GRACE
            && self.members.iter().all(super::Member::is_in)
            && self.oracle.is_settled()
            && self.disk.is_idle()
            && server.hub().commits() == server.hub().issued()
    }

    fn not_settled(&mut self) {
        let who: Vec<bool> = self.members.iter().map(super::Member::is_in).collect();
        let open = self.oracle.open();
        let disk = self.disk.words();
        let server = self.server.is_some();
        self.fail(format!("the world does not come to rest: in the room: {who:?}; {open} messages are not answered; the server is there: {server}; the disk: {disk}"));
    }

    /// All that was to be delivered was: is it right?
    fn judge(&mut self) {
        let first = self.disk.tables.first_of(TOPIC);
        let kept = self.disk.tables.history(TOPIC).map(|kept| {
            let number = |m: &&bowline_core::hub::Message| number_of(&String::from_utf8_lossy(m.payload()));
            kept.iter().map(number).collect::<Vec<_>>()
        });
        let judged = kept.and_then(|kept| self.oracle.judge(first, &kept));
        self.must(judged);
        self.phase = Phase::Done;
    }
}
