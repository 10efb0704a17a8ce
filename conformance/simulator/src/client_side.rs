//! A client's end of its line: what a driver does.

use bowline_core::endpoint::client::Carrier;

use crate::app::Player;
use crate::mutant::Mutant;
use crate::pipes::{End, Over};
use crate::trace::say;
use crate::world::{Link, Owner, Side, Wake, World, is_output};

impl World {
    /// Does for a client whatever is due: octets, time, and its application.
    pub(crate) fn pump_client(&mut self, c: u32) {
        for _ in 0..64 {
            self.client_io(c);
            if !self.take_events(c) {
                break;
            }
        }
        self.rearm_client(c);
    }

    fn client_io(&mut self, c: u32) {
        let at = self.instant();
        let player = &mut self.players[c as usize];
        if player.client.poll_timeout().is_some_and(|d| d.at <= at && !is_output(&d)) {
            player.client.handle_timeout(at);
        }
        let Some(l) = player.link else { return self.dial(c) };
        let Some(mut link) = self.links[l as usize].take() else { return };
        let gone = self.client_line(c, &mut link);
        if gone {
            link.client = None;
            let player = &mut self.players[c as usize];
            player.link = None;
            player.client.handle_transport_gone(at);
        }
        let both_gone = link.server.is_none() && link.client.is_none();
        self.links[l as usize] = if both_gone { None } else { Some(link) };
        if gone {
            self.dial(c);
        }
    }

    fn dial(&mut self, c: u32) {
        let at = self.instant();
        let player = &mut self.players[c as usize];
        if player.dialing {
            return;
        }
        if player.client.poll_connect(at).is_some() {
            player.dialing = true;
            let takes = self.rng.below(2 * self.plan.line.latency + 1);
            self.at(self.now + takes, Wake::Dial(c));
        }
    }

    /// A connection attempt ends.
    pub(crate) fn dialed(&mut self, c: u32) {
        let at = self.instant();
        self.players[c as usize].dialing = false;
        let side = Side::new(self.over.holds(self.players[c as usize].recv_limit), self.plan.out_limit);
        let failed =
            self.plan.trouble.total() > 0 && self.phase == crate::world::Phase::Work && self.rng.chance(100);
        let link = if failed { None } else { self.connect(Owner::Client(c), side) };
        let player = &mut self.players[c as usize];
        match link {
            Some(l) => {
                player.link = Some(l);
                let carrier = match self.over {
                    Over::WebSocket => Carrier::WebSocket { host: "simulated".into(), target: "/".into() },
                    _ => Carrier::Transport,
                };
                player.client.handle_connected_over(at, &carrier);
            }
            None => {
                self.tally.refused += 1;
                player.client.handle_connect_failed(at);
            }
        }
        say!(self, "client {c}: dialed, line {link:?}");
        self.pump_client(c);
    }

    /// Says whether the client drops the line.
    fn client_line(&mut self, c: u32, link: &mut Link) -> bool {
        let (now, at) = (self.now, self.instant());
        let mut flips = false;
        for _ in 0..64 {
            let Link { pipes, client: Some(side), .. } = link else { return false };
            let player = &mut self.players[c as usize];
            let room = if player.client.wants_read() { 16 << 10 } else { 0 };
            let read = pipes.read(End::Client, now, room, &mut side.recv);
            if read > 0 {
                self.trace.mix(8, u64::from(c), read as u64 ^ now << 20);
            }
            let freed = pipes.take_freed(End::Client);
            player.client.recv(at, &mut side.recv);
            if !side.eof && pipes.is_ended(End::Client, now) {
                side.eof = true;
                player.client.handle_eof(at);
            }
            let verdict = player.client.poll_transmit(at, &mut side.out);
            let had = !side.out.is_empty();
            let (written, mut told) = pipes.write(End::Client, now, &mut self.rng, &mut side.out);
            if had {
                player.client.handle_written(at, written, side.out.len());
            }
            if written > 0 {
                self.trace.mix(9, u64::from(c), written as u64 ^ now << 20);
                flips = true;
            }
            let drops = side.obey(verdict, End::Client, pipes, now, &mut self.rng, &mut told);
            let (arrival, latency) = (pipes.next_arrival(End::Server), pipes.quality.latency);
            if told {
                wake_server_of(self, link, arrival);
            }
            if freed {
                wake_server_of(self, link, now + latency);
            }
            if drops {
                return true;
            }
            if flips && self.mutated(Mutant::FlipBit) {
                let _ = link.pipes.corrupt(End::Client, &mut self.rng);
            }
            flips = false;
            if read == 0 && written == 0 {
                break;
            }
        }
        false
    }

    fn rearm_client(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        let mut wake = u64::MAX;
        let (mut can_write, mut down) = (false, u64::MAX);
        if let Some(link) = player.link.and_then(|l| self.links[l as usize].as_ref())
            && let Some(side) = &link.client
        {
            can_write = side.out.is_empty();
            if !side.eof {
                down = link.pipes.next_arrival(End::Client);
            }
            wake = link.pipes.next_turn();
        }
        if player.client.wants_read() {
            wake = wake.min(down);
        }
        match player.client.poll_timeout() {
            Some(d) if is_output(&d) => {
                if can_write && player.reading {
                    player.spins += 1;
                    if player.spins > 100 {
                        return self.fail(format!("client {c} owes output and gives none"));
                    }
                    wake = self.now;
                }
            }
            Some(d) => {
                player.spins = 0;
                wake = wake.min(d.at.as_nanos());
            }
            None => player.spins = 0,
        }
        if player.dialing && wake < u64::MAX {
            wake = wake.max(self.now + 1);
        }
        if wake < u64::MAX {
            self.wake_owner(Owner::Client(c), wake);
        }
    }
}

/// The server's end of a line is lent out at the moment, or not: either way it is woken.
pub(crate) fn wake_server_of(world: &mut World, link: &mut Link, at: u64) {
    let at = at.max(world.now);
    if at == u64::MAX {
        return;
    }
    let l = match link.owner {
        Owner::Client(c) => world.players[c as usize].link,
        Owner::Hostile(h) => world.hostiles[h as usize].link,
    };
    if let (Some(l), Some(side)) = (l, &mut link.server)
        && at < side.wake
    {
        side.wake = at;
        world.at(at, Wake::Server(l));
    }
}

impl Player {
    /// Whether nothing of its line was disturbed since `since`.
    pub(crate) fn calm(&self, since: u64) -> bool {
        self.calm_since <= since
    }
}
