//! The server, its ends of the lines, its disk; its death and its return.

use bowline_core::endpoint::server::{Server, ServerConfig, ServerEvent};
use bowline_core::entropy::Seeded;
use bowline_core::hub::{HistoryOptions, HubOptions};

use super::plan::{LOGGED, TOPICS};
use super::{Broker, Link, Wake, plugins};
use crate::pipes::{End, Pipes};
use crate::serve::{Fuse, Turn};
use crate::trace::say;
use crate::world::{MILLI, Side, is_output, may_end};

/// The largest packet that anybody takes.
const MAX_PACKET: u32 = 8192;

impl Broker {
    /// A new server takes up what the disk holds.
    pub(super) fn boot(&mut self) {
        let hub = HubOptions {
            durable: true,
            history: vec![HistoryOptions { max_messages: 100_000, ..HistoryOptions::new(TOPICS[LOGGED]) }],
            ..HubOptions::default()
        };
        let mut config =
            ServerConfig { hub, sys_interval: std::time::Duration::ZERO, ..ServerConfig::default() };
        config.mqtt.in_flight = self.plan.in_flight;
        config.mqtt.line.receive_maximum = self.plan.receive_maximum;
        config.mqtt.line.max_packet = MAX_PACKET;
        let at = self.instant();
        let mut server = Box::new(Server::new(config, Box::new(Seeded::new(self.rng.next()))));
        server.set_calendar(at, self.now / MILLI);
        let operations = self.disk.load();
        say!(self, "the server begins with {} operations", operations.len());
        self.trace.mix(1, operations.len() as u64, self.now);
        for operation in operations {
            if let Err(why) = server.restore(at, operation) {
                return self.fail(format!("restore: {why}"));
            }
        }
        server.restored(at);
        if let Err(why) = plugins::add(&mut server, at, self.plan.plugins) {
            return self.fail(format!("plugins: {why}"));
        }
        self.server = Some(server);
        self.check_hub();
        self.after_server();
    }

    pub(super) fn check_hub(&mut self) {
        if let Some(server) = &self.server
            && let Err(why) = server.hub().check_invariants()
        {
            self.fail(format!("hub: {why}"));
        }
    }

    /// The server is gone with all that its disk has not synced.
    pub(super) fn die(&mut self) {
        self.fuse = Fuse::default();
        if self.server.take().is_none() {
            return;
        }
        say!(self, "the server dies");
        self.trace.mix(2, self.now, 0);
        self.tally.deaths += 1;
        self.disk.crash(&mut self.rng);
        let checked = self.disk.tables.check(false);
        self.must(checked);
        self.disk_wake += 1;
        self.hub_wake = u64::MAX;
        self.by_index.clear();
        // Its machine may stay and say so, or be gone too.
        let silent = self.rng.chance(200);
        for l in 0..self.links.len() {
            let Some(mut link) = self.links[l].take() else { continue };
            if link.server.take().is_some() {
                link.pipes.kill(End::Client);
                let late = self.rng.chance(600);
                if late {
                    link.pipes.finish(End::Server, self.now, &mut self.rng);
                } else if silent {
                    link.pipes.kill(End::Server);
                } else {
                    link.pipes.abort(End::Server, self.now);
                }
            }
            if link.client.is_some() {
                let (c, arrival) = (link.client_number, link.pipes.next_arrival(End::Client));
                self.links[l] = Some(link);
                if arrival < u64::MAX {
                    self.wake_client(c, arrival);
                }
            }
        }
        let gone_for = self.rng.range(1, 2000) * MILLI;
        self.at(self.now + gone_for, Wake::Boot);
    }

    /// Opens a line to the server; nothing where there is none.
    pub(super) fn open_line(&mut self, c: u32, client: Side) -> Option<u32> {
        let at = self.instant();
        let key = self.server.as_mut()?.accept(at, Default::default()).ok()?;
        let l = self.links.len() as u32;
        let index = key.index();
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, u32::MAX);
        }
        self.by_index[index] = l;
        let mut quality = self.plan.line;
        quality.latency = quality.latency / 2 + self.rng.below(quality.latency);
        let server = Some(Side::new(MAX_PACKET as usize + 64, self.plan.out_limit));
        let link = Link { key, client_number: c, pipes: Pipes::new(quality), server, client: Some(client) };
        self.links.push(Some(Box::new(link)));
        self.tally.connections += 1;
        self.wake_server(l, self.now);
        self.after_server();
        Some(l)
    }

    /// The server's end of a line.
    pub(super) fn pump_server(&mut self, l: u32) {
        let Some(mut server) = self.server.take() else { return };
        let Some(mut link) = self.links[l as usize].take() else {
            self.server = Some(server);
            return;
        };
        if let Link { key, client_number: c, pipes, server: Some(side), .. } = &mut *link {
            let (key, c, latency) = (*key, *c, pipes.quality.latency);
            let (rng, fuse) = (&mut self.rng, &mut self.fuse);
            let turn = Turn { server: &mut server, key, side, pipes, rng, fuse, room: 4 << 10 };
            let served = turn.serve(self.now);
            let arrival = pipes.next_arrival(End::Client);
            let octets = (served.read as u64) << 32 ^ served.written as u64 ^ self.now << 20;
            self.trace.mix(3, u64::from(l), octets);
            if served.freed {
                self.wake_client(c, self.now + latency);
            }
            if served.sent {
                self.wake_client(c, arrival);
            }
            if served.dropped && !self.fuse.dying {
                link.server = None;
                server.disconnect(self.instant(), key);
            } else if !self.fuse.dying {
                self.rearm_server(l, &mut link, &server);
            }
        }
        let gone = link.server.is_none() && link.client.is_none();
        self.links[l as usize] = if gone { None } else { Some(link) };
        self.server = Some(server);
        self.after_server();
    }

    fn rearm_server(&mut self, l: u32, link: &mut Link, server: &Server) {
        let Some(side) = &mut link.server else { return };
        let mut wake = if side.blocked || side.eof { u64::MAX } else { link.pipes.next_arrival(End::Server) };
        match server.poll_timeout(link.key) {
            Some(d) if is_output(&d) => {
                if side.out.is_empty() {
                    side.spins += 1;
                    if side.spins > 100 {
                        return self.fail(format!("line {l}: the server owes output and gives none"));
                    }
                    wake = self.now;
                }
            }
            Some(d) => {
                side.spins = 0;
                wake = wake.min(d.at.as_nanos());
            }
            None => side.spins = 0,
        }
        let wake = wake.max(self.now);
        if wake < side.wake {
            side.wake = wake;
            self.at(wake, Wake::Server(l));
        }
    }

    /// What came of calling the server: work for the disk, connections to wake, its timer.
    pub(super) fn after_server(&mut self) {
        if self.fuse.burns() {
            return;
        }
        let Some(mut server) = self.server.take() else { return };
        while let Some(event) = server.poll_event() {
            self.on_event(&event);
        }
        while let Some(key) = server.poll_ready() {
            if let Some(l) = self.by_index.get(key.index()).copied().filter(|l| *l != u32::MAX) {
                self.wake_server(l, self.now);
            }
        }
        if let Some(d) = server.poll_hub_timeout() {
            let at = d.at.as_nanos().max(self.now);
            if at < self.hub_wake {
                self.hub_wake = at;
                self.at(at, Wake::Hub);
            }
        }
        let wake = self.disk.rouse(&mut server, self.now, &mut self.rng);
        self.wake_disk(wake);
        self.server = Some(server);
        if cfg!(debug_assertions) {
            self.check_hub();
        }
        self.fuse.burns();
    }

    fn on_event(&mut self, event: &ServerEvent) {
        match event {
            ServerEvent::Opened { resumed, name, .. } => {
                say!(self, "server: {name} is here, resumed: {resumed}");
                self.tally.resumed += u64::from(*resumed);
            }
            ServerEvent::Closed { code, reason, .. } => {
                say!(self, "server: a connection is closed: {code:?} {reason}");
                if let Some(code) = code.filter(|code| !may_end(*code)) {
                    self.fail(format!("one who keeps to the protocol ended with {code}: {reason}"));
                }
            }
            ServerEvent::Overflow { .. } => self.fail("a queue overflowed".into()),
            _ => {}
        }
    }

    pub(super) fn hub_due(&mut self, at: u64) {
        if self.hub_wake != at {
            return;
        }
        self.hub_wake = u64::MAX;
        let now = self.instant();
        if let Some(server) = &mut self.server {
            server.handle_hub_timeout(now);
            self.after_server();
        }
    }

    pub(super) fn disk_due(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let looked = self.disk.look(&mut server, self.now, &mut self.rng);
        self.server = Some(server);
        self.wake_disk(looked.wake);
        self.trace.mix(4, self.disk.commits, self.now);
        if self.disk.failures > 0 {
            // Those of 3.1.1 are not refused a message, but their connection.
            let v5 = self.players.iter().enumerate().filter(|(_, p)| p.machine.version().is_v5());
            self.oracle.unordered = v5.map(|(c, _)| c as u32).collect();
        }
        let checked = if cfg!(debug_assertions) { self.disk.tables.check(false) } else { Ok(()) };
        self.must(checked);
        if looked.told {
            self.after_server();
        }
    }

    /// The disk takes nothing for a while.
    pub(super) fn fill_disk(&mut self) {
        let until = self.now + self.rng.range(10, 20_000) * MILLI;
        say!(self, "the disk is full until {} ms", until / MILLI);
        self.disk.fill(until);
    }
}
