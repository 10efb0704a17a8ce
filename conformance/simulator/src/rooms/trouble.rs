//! What goes wrong on purpose.

use super::{Phase, Rooms};
use crate::pipes::End;
use crate::trace::say;
use crate::world::MILLI;

impl Rooms {
    /// Something goes wrong; and something will again.
    pub(super) fn trouble(&mut self) {
        self.trouble_at = u64::MAX;
        if self.phase != Phase::Work {
            return;
        }
        let t = self.plan.trouble;
        let c = self.rng.below(self.members.len() as u64) as usize;
        let mut lot = self.rng.lot(t.total());
        let mut is = |weight| lot.is(weight);
        if is(t.kill) {
            if self.server.is_some() && self.fuse.left == 0 {
                self.fuse.left = self.rng.range(1, 300);
            }
        } else if is(t.cut) {
            say!(self, "the line of member {c} is cut");
            self.lose_line(c, true);
        } else if is(t.half_open) {
            say!(self, "the line of member {c} is cut, and the server does not know");
            self.lose_line(c, false);
        } else if is(t.stall) {
            let until = self.now + self.rng.range(10, 4000) * MILLI;
            if let Some(line) = &mut self.members[c].line {
                line.pipes.stall(End::Client, until);
                line.pipes.stall(End::Server, until);
            }
        } else if is(t.lazy) {
            self.members[c].lazy_until = self.now + self.rng.range(10, 4000) * MILLI;
        } else {
            say!(self, "member {c} leaves");
            self.members[c].away_until = self.now + self.rng.range(10, 5000) * MILLI;
            self.oracle.sights[c].joined = false;
            let now = self.instant();
            self.members[c].want(now, false);
        }
        let every = self.plan.trouble_every.as_nanos() as u64;
        self.trouble_at = self.now + every / 2 + self.rng.below(every);
    }

    /// A line breaks: what is on its way is lost.
    fn lose_line(&mut self, c: usize, told: bool) {
        let Some(mut line) = self.members[c].line.take() else { return };
        self.members[c].gone(self.now);
        line.pipes.kill(End::Client);
        let now = self.instant();
        match (&mut self.server, told && line.server.is_some()) {
            (Some(server), true) => server.disconnect(now, line.key),
            _ => self.leave_line(line, false),
        }
    }
}
