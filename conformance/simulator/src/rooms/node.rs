//! The server, its ends of the lines and the members'; its death and its return.

use bowline_core::endpoint::server::{Peer as Address, Server, ServerConfig, ServerEvent};
use bowline_core::entropy::{Entropy, Seeded};
use bowline_core::hub::{HistoryOptions, HubOptions, RoomOptions};
use bowline_core::lifecycle::Transport;

use super::plan::ROOM;
use super::{Line, Peer, Rooms};
use crate::mutant::Mutant;
use crate::pipes::{End, Pipes};
use crate::serve::{Fuse, Turn};
use crate::trace::say;
use crate::world::{MILLI, Side, is_output};

/// The room's topic.
pub(super) const TOPIC: &str = "$room/lobby";

/// A fault on purpose: the first secret of a server, which its hub makes the names of epochs of, is that
/// of the server before it.
struct SameNames {
    entropy: Seeded,
    drawn: bool,
}

impl Entropy for SameNames {
    fn wire(&mut self, out: &mut [u8]) {
        self.entropy.wire(out);
    }

    fn secret(&mut self, out: &mut [u8]) {
        if std::mem::replace(&mut self.drawn, true) {
            self.entropy.secret(out);
        } else {
            out.fill(7);
        }
    }
}

impl Line {
    /// When the server is to look after its end.
    pub(super) fn server_wake(&self, server: &Server) -> u64 {
        let Some(side) = &self.server else { return u64::MAX };
        let read = if side.blocked || side.eof { u64::MAX } else { self.pipes.next_arrival(End::Server) };
        match server.poll_timeout(self.key) {
            Some(d) if is_output(&d) && !side.out.is_empty() => read,
            Some(d) => read.min(d.at.as_nanos()),
            None => read,
        }
    }
}

impl Rooms {
    /// A new server takes up what the disk holds.
    pub(super) fn boot(&mut self) {
        self.boot_at = u64::MAX;
        let kept =
            HistoryOptions { max_messages: self.plan.kept, max_bytes: 1 << 40, ..HistoryOptions::new(TOPIC) };
        let room = RoomOptions {
            policy: self.plan.policy,
            max_waiting: self.plan.max_waiting,
            ..RoomOptions::new(ROOM)
        };
        let hub =
            HubOptions { durable: true, history: vec![kept], rooms: vec![room], ..HubOptions::default() };
        let config = ServerConfig { hub, sys_interval: std::time::Duration::ZERO, ..ServerConfig::default() };
        let at = self.instant();
        let entropy = Seeded::new(self.rng.next());
        let mut server = Box::new(match self.mutant {
            Some(Mutant::ForgetEpoch) => Server::new(config, Box::new(SameNames { entropy, drawn: false })),
            _ => Server::new(config, Box::new(entropy)),
        });
        server.set_calendar(at, 1_700_000_000_000 + self.now / MILLI);
        for operation in self.disk.load() {
            if let Err(why) = server.restore(at, operation) {
                return self.fail(format!("restore: {why}"));
            }
        }
        server.restored(at);
        say!(self, "the server begins");
        self.server = Some(server);
        self.after_server();
    }

    /// The server is gone with all that its disk has not synced.
    pub(super) fn die(&mut self) {
        self.fuse = Fuse::default();
        if self.server.take().is_none() {
            return;
        }
        say!(self, "the server dies");
        self.tally.deaths += 1;
        self.disk.crash(&mut self.rng);
        self.disk_at = u64::MAX;
        self.orphans.clear();
        self.oracle.server_died();
        for m in &mut self.members {
            if let Some(line) = &mut m.line {
                line.server = None;
                line.pipes.kill(End::Client);
                // What it had written may still arrive.
                if self.rng.chance(400) {
                    line.pipes.abort(End::Server, self.now);
                } else {
                    line.pipes.finish(End::Server, self.now, &mut self.rng);
                }
            }
        }
        self.boot_at = self.now + self.rng.range(1, 2000) * MILLI;
    }

    /// Opens a line where a member wants one.
    pub(super) fn connect(&mut self, c: usize) {
        let (now, at) = (self.instant(), self.now);
        let m = &mut self.members[c];
        if m.line.is_some() {
            return;
        }
        let wants = match &mut m.peer {
            Peer::Own(own) => own.machine.poll_connect(now).is_some(),
            Peer::Page(_) => m.retry_at <= at,
        };
        if !wants {
            return;
        }
        let accepted = self.server.as_mut().and_then(|server| server.accept(now, Address::default()).ok());
        let mut quality = self.plan.line;
        quality.latency = quality.latency / 2 + self.rng.below(quality.latency);
        let Some(key) = accepted else {
            m.retry_at = at + 200 * MILLI;
            if let Peer::Own(own) = &mut m.peer {
                own.machine.handle_connect_failed(now);
            }
            return;
        };
        self.tally.connections += 1;
        let server = Some(Side::new(64 << 10, 64 << 10));
        let mut line = Line { key, pipes: Pipes::new(quality), server, client: Side::new(2 << 20, 1 << 20) };
        match &mut m.peer {
            Peer::Own(own) => own.machine.handle_connected(now),
            Peer::Page(page) => page.connected(&mut line.client.out),
        }
        m.line = Some(line);
    }

    /// The server's end of a line.
    pub(super) fn serve(&mut self, line: &mut Line) {
        let Some(side) = &mut line.server else { return self.after_server() };
        let Some(mut server) = self.server.take() else { return };
        let (key, pipes, rng, fuse) = (line.key, &mut line.pipes, &mut self.rng, &mut self.fuse);
        let turn = Turn { server: &mut server, key, side, pipes, rng, fuse, room: 4 << 10 };
        let served = turn.serve(self.now);
        self.trace.mix(3, served.read as u64, served.written as u64 ^ self.now << 20);
        if served.dropped && !self.fuse.dying {
            line.server = None;
            server.disconnect(self.instant(), key);
        }
        self.server = Some(server);
        self.after_server();
    }

    /// A member's end of its line. Says whether it drops it.
    pub(super) fn pump_member(&mut self, c: usize, line: &mut Line) -> bool {
        let (now, at) = (self.now, self.instant());
        let Self { members, rng, .. } = self;
        let m = &mut members[c];
        for _ in 0..64 {
            let side = &mut line.client;
            let reads = m.lazy_until <= now;
            let read = if reads { line.pipes.read(End::Client, now, 16 << 10, &mut side.recv) } else { 0 };
            let verdict = match &mut m.peer {
                Peer::Own(own) => {
                    if own.machine.wants_read() {
                        own.machine.recv(at, &mut side.recv);
                    }
                    own.machine.poll_transmit(at, &mut side.out)
                }
                Peer::Page(page) => {
                    page.recv(at, &mut side.recv, &mut side.out);
                    page.transmit(at, &mut side.out)
                }
            };
            let mut written = 0;
            if !side.out.is_empty() {
                (written, _) = line.pipes.write(End::Client, now, rng, &mut side.out);
                if let Peer::Own(own) = &mut m.peer {
                    own.machine.handle_written(at, written, side.out.len());
                }
            }
            if verdict != Transport::Open && (side.out.is_empty() || verdict == Transport::Abort) {
                line.pipes.finish(End::Client, now, rng);
                return true;
            }
            if reads && line.pipes.is_ended(End::Client, now) {
                return true;
            }
            if read == 0 && written == 0 {
                return false;
            }
        }
        false
    }

    /// A line's member is gone; the server learns of it, or keeps it for what it takes to find out.
    pub(super) fn leave_line(&mut self, mut line: Line, told: bool) {
        if line.server.is_none() {
            return;
        }
        let now = self.instant();
        if !told {
            line.pipes.kill_both();
            return self.orphans.push(line);
        }
        // What was written still arrives, then the end.
        line.pipes.finish(End::Client, self.now, &mut self.rng);
        line.pipes.kill(End::Server);
        if self.rng.chance(500) {
            return self.orphans.push(line);
        }
        if let Some(server) = &mut self.server {
            server.disconnect(now, line.key);
        }
    }

    pub(super) fn turn_orphans(&mut self) {
        let orphans = std::mem::take(&mut self.orphans);
        for mut line in orphans {
            self.serve(&mut line);
            if line.server.is_some() && self.server.is_some() {
                self.orphans.push(line);
            }
        }
    }

    /// What came of calling the server.
    pub(super) fn after_server(&mut self) {
        if self.fuse.burns() {
            return;
        }
        let Some(mut server) = self.server.take() else { return };
        while let Some(event) = server.poll_event() {
            if let ServerEvent::Closed { code, reason, .. } = &event {
                say!(self, "server: a connection is closed: {code:?} {reason}");
                if let Some(code) = code.filter(|code| !crate::world::may_end(*code)) {
                    self.fail(format!("one who keeps to the protocol ended with {code}: {reason}"));
                }
            }
        }
        while server.poll_ready().is_some() {}
        if let Some(at) = self.disk.rouse(&mut server, self.now, &mut self.rng) {
            self.disk_at = at;
        }
        self.server = Some(server);
        self.fuse.burns();
    }

    pub(super) fn disk_due(&mut self) {
        self.disk_at = u64::MAX;
        let Some(mut server) = self.server.take() else { return };
        let looked = self.disk.look(&mut server, self.now, &mut self.rng);
        self.server = Some(server);
        self.disk_at = looked.wake.unwrap_or(u64::MAX);
    }
}
