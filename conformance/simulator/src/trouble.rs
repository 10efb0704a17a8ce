//! What goes wrong on the way, on purpose, and how it ends.

use std::time::Duration;

use crate::app::GRACE;
use crate::mutant::Mutant;
use crate::pipes::{End, Over};
use crate::trace::say;
use crate::world::{MILLI, Owner, Phase, SECOND, Wake, World};

impl World {
    /// Something goes wrong; and something will again.
    pub(crate) fn trouble(&mut self) {
        if self.phase != Phase::Work {
            return;
        }
        let t = self.plan.trouble;
        let c = self.rng.below(self.plan.clients as u64) as u32;
        if self.over == Over::Udp && self.rng.chance(300) {
            self.rebind(c);
        }
        let mut lot = self.rng.lot(t.total());
        let mut is = |weight| lot.is(weight);
        if is(t.cut) {
            self.cut(c);
        } else if is(t.half_open) {
            self.half_open(c);
        } else if is(t.stall) {
            self.stall(c);
        } else if is(t.slow_line) {
            self.slow_line(c);
        } else if is(t.lazy) {
            self.lazy(c);
        } else if is(t.jump) {
            self.jump();
        } else if is(t.restart) {
            self.restart();
        } else if is(t.drain) {
            self.drain_server();
        } else {
            self.leave(c, self.now & 1 == 0);
        }
        let every = self.plan.trouble_every.as_nanos() as u64;
        let next = self.now + every / 2 + self.rng.below(every);
        self.at(next, Wake::Trouble);
    }

    pub(crate) fn disturb_all(&mut self) {
        self.disturbed = self.now;
        self.players.iter_mut().for_each(|p| p.calm_since = u64::MAX);
    }

    /// The client is seen at another address from now on.
    fn rebind(&mut self, c: u32) {
        let until = self.now + 10 * SECOND;
        let player = &mut self.players[c as usize];
        let Some(link) = player.link.and_then(|l| self.links[l as usize].as_mut()) else { return };
        // Until it has said something from there, nothing reaches it.
        player.calm_since = u64::MAX;
        if link.pipes.rebind() {
            say!(self, "client {c} has another address");
            self.at(until, Wake::Relief(c));
        }
    }

    /// The line breaks: both ends learn it, and what is on its way is lost.
    fn cut(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        player.calm_since = u64::MAX;
        let Some(l) = player.link else { return };
        say!(self, "line {l} of client {c} is cut");
        let Some(mut link) = self.links[l as usize].take() else { return };
        if link.server.take().is_some() && !self.mutated(Mutant::ForgetDisconnect) {
            self.server.disconnect(self.instant(), link.key);
        }
        self.links[l as usize] = Some(link);
        self.after_server();
        if let Some(mut link) = self.links[l as usize].take() {
            self.tell_gone(Owner::Client(c), &mut link);
        }
    }

    /// The line breaks, and only one end learns it.
    fn half_open(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        player.calm_since = u64::MAX;
        let Some(l) = player.link else { return };
        let Some(mut link) = self.links[l as usize].take() else { return };
        link.pipes.kill_both();
        if self.rng.chance(600) {
            say!(self, "line {l} of client {c} is cut, and the server does not know");
            self.tell_gone(Owner::Client(c), &mut link);
            if link.server.is_some() {
                self.links[l as usize] = Some(link);
                self.wake_server(l, self.now);
            }
        } else {
            say!(self, "line {l} of client {c} is cut, and the client does not know");
            if link.server.take().is_some() {
                self.server.disconnect(self.instant(), link.key);
            }
            self.links[l as usize] = Some(link);
            self.after_server();
        }
    }

    /// Nothing comes through for a while.
    fn stall(&mut self, c: u32) {
        let until = self.now + self.rng.range(100, 20_000) * MILLI;
        let player = &mut self.players[c as usize];
        player.calm_since = u64::MAX;
        let Some(link) = player.link.and_then(|l| self.links[l as usize].as_mut()) else { return };
        let which = self.rng.below(3);
        if which != 0 {
            link.pipes.stall(End::Client, until);
        }
        if which != 1 {
            link.pipes.stall(End::Server, until);
        }
        say!(self, "client {c}'s line stalls until {} ms", until / MILLI);
        self.at(until, Wake::Relief(c));
    }

    fn slow_line(&mut self, c: u32) {
        let until = self.now + self.rng.range(1000, 20_000) * MILLI;
        let player = &mut self.players[c as usize];
        player.calm_since = u64::MAX;
        let Some(link) = player.link.and_then(|l| self.links[l as usize].as_mut()) else { return };
        link.pipes.slow(self.rng.range(10, 300) * 1000, 2000);
        say!(self, "client {c}'s line is slow until {} ms", until / MILLI);
        self.at(until, Wake::Relief(c));
    }

    /// The application stops taking events.
    fn lazy(&mut self, c: u32) {
        let until = self.now + self.rng.range(100, 20_000) * MILLI;
        let player = &mut self.players[c as usize];
        player.calm_since = u64::MAX;
        player.reading = false;
        say!(self, "client {c} takes no events until {} ms", until / MILLI);
        self.at(until, Wake::Relief(c));
    }

    /// Nobody runs for a while: a suspended machine.
    fn jump(&mut self) {
        let by = self.rng.range(1, 60) * SECOND;
        say!(self, "time jumps by {} ms", by / MILLI);
        self.now += by;
        self.disturb_all();
        self.disturbed = self.now;
        for p in &mut self.players {
            let link = p.link.and_then(|l| self.links[l as usize].as_ref());
            let works = link.is_some_and(|k| !k.pipes.is_dead() && !k.pipes.is_stalled(self.now));
            p.calm_since = if p.connected && works { self.now + GRACE + 60 * SECOND } else { u64::MAX };
        }
    }

    fn drain_server(&mut self) {
        if self.draining_until.is_some() {
            return;
        }
        let deadline = self.rng.millis(100, 5000);
        say!(self, "the server drains for {deadline:?}");
        self.disturb_all();
        self.server.drain(self.instant(), deadline, Duration::from_millis(200), "");
        // The deadline, the closing handshake, and the time of those that take nothing.
        self.draining_until = Some(self.now + deadline.as_nanos() as u64 + 25 * SECOND);
        self.after_server();
    }

    /// A client's trouble ends.
    pub(crate) fn relieve(&mut self, c: u32) {
        let (now, line) = (self.now, self.plan.line);
        let player = &mut self.players[c as usize];
        player.reading = true;
        let link = player.link.and_then(|l| self.links[l as usize].as_mut());
        // A dead line stays dead, whatever else has ended.
        if player.connected && link.as_ref().is_none_or(|link| !link.pipes.is_dead()) {
            player.calm_since = now + GRACE;
        }
        if let (Some(l), Some(link)) = (player.link, link) {
            link.pipes.heal(&line);
            self.wake_server(l, now);
        }
        self.pump_client(c);
    }

    /// A client goes for good.
    pub(crate) fn leave(&mut self, c: u32, at_once: bool) {
        let at = self.instant();
        let player = &mut self.players[c as usize];
        if std::mem::replace(&mut player.leaving, true) {
            return;
        }
        player.calm_since = u64::MAX;
        player.reading = true;
        match at_once {
            true => player.client.close(at),
            false => player.client.drain(at, Duration::from_secs(10)),
        }
        say!(self, "client {c} leaves, at once: {at_once}");
        self.oracle.gone(c);
        self.pump_client(c);
    }
}
