//! What goes wrong on purpose, and how it ends.

use super::{Broker, Phase, Wake};
use crate::pipes::End;
use crate::trace::say;
use crate::world::MILLI;

impl Broker {
    /// Something goes wrong; and something will again.
    pub(super) fn trouble(&mut self) {
        if self.phase != Phase::Work {
            return;
        }
        let t = self.plan.trouble;
        let c = self.rng.below(self.plan.clients as u64) as u32;
        let mut lot = self.rng.lot(t.total());
        let mut is = |weight| lot.is(weight);
        if is(t.kill) {
            self.light();
        } else if is(t.cut) {
            self.cut(c);
        } else if is(t.half_open) {
            self.half_open(c);
        } else if is(t.stall) {
            self.stall(c);
        } else if is(t.slow) {
            self.lazy(c);
        } else if is(t.full) {
            self.fill_disk();
        } else if is(t.reborn) {
            self.reborn(c);
        } else {
            self.go_away(c);
        }
        let every = self.plan.trouble_every.as_nanos() as u64;
        let next = self.now + every / 2 + self.rng.below(every);
        self.at(next, Wake::Trouble);
    }

    /// The server dies soon, in the middle of something.
    pub(super) fn light(&mut self) {
        if self.server.is_some() && self.fuse.left == 0 {
            self.fuse.left = self.rng.range(1, 200);
        }
    }

    /// The line breaks: both ends learn it, and what is on its way is lost.
    fn cut(&mut self, c: u32) {
        say!(self, "the line of client {c} is cut");
        self.lose_line(c, true);
    }

    /// Its line is gone for the client, and for the server where that learns of it.
    fn lose_line(&mut self, c: u32, told: bool) {
        let at = self.instant();
        let Some(l) = self.players[c as usize].link else { return };
        let Some(mut link) = self.links[l as usize].take() else { return };
        self.drop_line(c, &mut link);
        link.pipes.kill(End::Client);
        if told
            && link.server.take().is_some()
            && let Some(server) = &mut self.server
        {
            server.disconnect(at, link.key);
        }
        let gone = link.server.is_none();
        self.links[l as usize] = if gone { None } else { Some(link) };
        self.players[c as usize].machine.handle_eof(at);
        let _ = self.players[c as usize].machine.poll_closed();
        self.back_off(c);
        self.after_server();
    }

    /// The line breaks, and only one end learns it.
    fn half_open(&mut self, c: u32) {
        if self.rng.chance(500) {
            say!(self, "the line of client {c} is cut, and the server does not know");
            return self.lose_line(c, false);
        }
        let at = self.instant();
        let Some(l) = self.players[c as usize].link else { return };
        let Some(link) = &mut self.links[l as usize] else { return };
        say!(self, "the line of client {c} is cut, and the client does not know");
        link.pipes.kill_both();
        if link.server.take().is_some()
            && let Some(server) = &mut self.server
        {
            server.disconnect(at, link.key);
        }
        self.after_server();
    }

    /// Nothing comes through for a while.
    fn stall(&mut self, c: u32) {
        let until = self.now + self.rng.range(10, 5_000) * MILLI;
        let which = self.rng.below(3);
        let Some(l) = self.players[c as usize].link else { return };
        let Some(link) = &mut self.links[l as usize] else { return };
        if which != 0 {
            link.pipes.stall(End::Client, until);
        }
        if which != 1 {
            link.pipes.stall(End::Server, until);
        }
        say!(self, "client {c}'s line stalls until {} ms", until / MILLI);
        self.at(until, Wake::Relief(c));
    }

    /// The application reads nothing for a while.
    fn lazy(&mut self, c: u32) {
        let until = self.now + self.rng.range(10, 5_000) * MILLI;
        self.players[c as usize].reading = false;
        say!(self, "client {c} reads nothing until {} ms", until / MILLI);
        self.at(until, Wake::Relief(c));
    }

    /// A client's process dies, and begins again with what it keeps.
    fn reborn(&mut self, c: u32) {
        say!(self, "client {c} dies and is reborn");
        let told = self.rng.chance(700);
        self.lose_line(c, told);
        self.players[c as usize].reborn();
    }

    /// A client leaves by intent, and comes back; maybe to begin anew.
    fn go_away(&mut self, c: u32) {
        let at = self.instant();
        let away = self.now + self.rng.range(10, 8_000) * MILLI;
        say!(self, "client {c} is away until {} ms", away / MILLI);
        let anew = self.rng.chance(200);
        let player = &mut self.players[c as usize];
        player.machine.disconnect(at);
        player.anew |= anew;
        player.away_until = player.away_until.max(away);
        self.pump_client(c);
    }

    /// A client's trouble ends.
    pub(super) fn relieve(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        player.reading = true;
        let l = player.link;
        if let Some(link) = l.and_then(|l| self.links[l as usize].as_mut()) {
            link.pipes.heal(&self.plan.line);
        }
        if let Some(l) = l {
            self.wake_server(l, self.now);
        }
        self.pump_client(c);
    }
}
