//! A client: its machine, its end of its line, and what a driver does.

use std::collections::BTreeMap;

use bowline_core::buf::RecvBuf;
use bowline_core::lifecycle::Transport;
use bowline_core::mqtt::client::{Client, Config, Event};
use bowline_core::mqtt::{AliasTable, Connect, Properties, Property, Qos, Version, Will};

use super::session::Shelf;
use super::{Broker, Link, Wake};
use crate::mutant::Mutant;
use crate::pipes::End;
use crate::trace::say;
use crate::world::{MILLI, Side, is_output};

/// Every message begins with its number; a will has this instead.
pub(super) const WILL: u32 = u32::MAX;

/// Octets of its receive buffer.
const RECV: usize = 8192 + 64;

/// What was asked of the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// The standing subscription with this number.
    Standing(u32),
    /// Something in passing.
    Passing,
}

pub(super) struct Player {
    pub(super) machine: Client<Shelf, AliasTable>,
    config: Config,
    aliases: AliasTable,
    pub(super) name: String,
    /// Its session outlives connections and servers.
    pub(super) durable: bool,
    /// How long the session of one that is not may do so.
    expiry: u32,
    has_will: bool,
    /// It wants a new session the next time.
    pub(super) anew: bool,
    pub(super) link: Option<u32>,
    dialing: bool,
    /// It does not connect before.
    pub(super) away_until: u64,
    pub(super) reading: bool,
    pub(super) wake: u64,
    spins: u32,
    pub(super) open: bool,
    /// The server has told something that it can know only of a session that is stored.
    firm: bool,
    /// It was welcomed: its subscriptions are due.
    welcomed: bool,
    pub(super) standing: Vec<u32>,
    pub(super) asked: BTreeMap<u16, Asked>,
    pub(super) publishing: BTreeMap<u16, u32>,
}

/// What a client was told, without what it borrows.
enum Told {
    Connected(bool),
    Message(String, Qos, bool, Option<u32>),
    Done(u16, bool),
    SubAck(u16, bool),
    Lost(u16),
    Closed(String, bool),
    Other,
}

impl Player {
    pub(super) fn draw(world: &mut Broker, c: u32) -> Self {
        let rng = &mut world.rng;
        let version = if rng.chance(300) { Version::V311 } else { Version::V5 };
        let config = Config {
            version,
            max_packet: 8192,
            receive_maximum: rng.pick(&[1, 3, 30]),
            topic_alias_maximum: rng.pick(&[0, 4]),
            ..Config::default()
        };
        let forgetful = world.mutant == Some(Mutant::ForgetAsClient);
        // 3.1.1 has no word for how much it can note.
        let received = if version.is_v5() { 40 } else { 2000 };
        let shelf = Shelf::new(rng.pick(&[12 << 10, 64 << 10]), received, forgetful);
        let durable = rng.chance(world.plan.durable);
        Self {
            machine: Client::new(&config, shelf, AliasTable::new()),
            config,
            aliases: AliasTable::new(),
            name: format!("client-{c}"),
            durable,
            expiry: rng.pick(&[0, 1, 5]),
            has_will: rng.chance(300),
            anew: false,
            link: None,
            dialing: false,
            away_until: 0,
            reading: true,
            wake: u64::MAX,
            spins: 0,
            open: false,
            firm: false,
            welcomed: false,
            standing: Vec::new(),
            asked: BTreeMap::new(),
            publishing: BTreeMap::new(),
        }
    }

    /// One who comes in the end.
    pub(super) fn asker(world: &mut Broker, c: u32) -> Self {
        let mut player = Self::draw(world, c);
        (player.durable, player.expiry, player.has_will) = (false, 0, false);
        player
    }

    /// Whether nothing of it is under way.
    pub(super) fn at_rest(&self) -> bool {
        use bowline_core::mqtt::client::Store;
        self.open && self.machine.store().is_empty() && self.asked.is_empty() && self.publishing.is_empty()
    }

    /// Its process ends and begins again: only what it keeps is left.
    pub(super) fn reborn(&mut self) {
        let shelf = self.machine.store().clone();
        self.machine = Client::new(&self.config, shelf, AliasTable::new());
        (self.reading, self.open) = (true, false);
    }

    /// Sends CONNECT.
    fn connect(&mut self, at: bowline_core::time::Instant, side: &mut Side) -> bool {
        let v5 = self.config.version.is_v5();
        let keeps = if self.durable { 100_000 } else { self.expiry };
        let list = [Property::SessionExpiry(keeps)];
        let payload = WILL.to_be_bytes();
        let will = Will {
            topic: "t/will",
            payload: &payload,
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Properties::NONE,
        };
        let connect = Connect {
            // In 3.1.1 a session that begins so also ends with its connection.
            clean_start: !self.durable && (!v5 || self.expiry == 0) || self.anew && v5,
            keep_alive: 20,
            will: self.has_will.then_some(will),
            properties: if v5 { Properties::list(&list) } else { Properties::NONE },
            ..Connect::new(self.config.version, &self.name)
        };
        self.aliases = AliasTable::new();
        self.machine.connect(at, &mut side.out, &connect).is_ok()
    }

    fn next_told(&mut self, at: bowline_core::time::Instant, side: &mut Side) -> Option<Told> {
        let event = self.machine.recv(at, &mut side.recv, &mut self.aliases)?;
        Some(told(&event))
    }
}

fn told(event: &Event<'_>) -> Told {
    match event {
        Event::Connected(ack) => Told::Connected(ack.session_present),
        Event::Message(m) => {
            let number = m.payload.first_chunk().map(|n| u32::from_be_bytes(*n));
            Told::Message(m.topic.into(), m.qos(), m.retain, number)
        }
        Event::Acked(id, reason) => Told::Done(id.get(), !reason.is_error()),
        Event::SubAck(ack) => Told::SubAck(ack.id.get(), ack.reasons.iter().all(|r| !r.is_error())),
        Event::UnsubAck(ack) => Told::SubAck(ack.id.get(), true),
        Event::Lost(id) => Told::Lost(id.get()),
        Event::Closed(closed) => {
            let fault = closed.fault.as_ref().map(ToString::to_string);
            let timed_out = closed.fault.as_ref().is_some_and(|fault| {
                use bowline_core::mqtt::Fault as F;
                matches!(fault, F::PingTimeout | F::WriteTimeout | F::ConnectTimeout)
            });
            Told::Closed(fault.clone().unwrap_or_default(), fault.is_some() && !timed_out)
        }
        _ => Told::Other,
    }
}

impl Broker {
    /// Does for a client whatever is due.
    pub(super) fn pump_client(&mut self, c: u32) {
        let at = self.instant();
        let Some(l) = self.players[c as usize].link else {
            self.dial(c);
            return self.rearm_client(c);
        };
        let Some(mut link) = self.links[l as usize].take() else { return };
        if self.client_io(c, &mut link) {
            self.drop_line(c, &mut link);
            // What is told then came with no octets.
            let player = &mut self.players[c as usize];
            player.machine.handle_eof(at);
            let mut side = Side::new(64, 64);
            while let Some(told) = self.players[c as usize].next_told(at, &mut side) {
                self.take(c, told);
            }
            self.back_off(c);
        }
        let gone = link.server.is_none() && link.client.is_none();
        self.links[l as usize] = if gone { None } else { Some(link) };
        if std::mem::take(&mut self.players[c as usize].welcomed) {
            self.subscribe_standing(c);
        }
        self.rearm_client(c);
    }

    /// The client has no line any more.
    pub(super) fn drop_line(&mut self, c: u32, link: &mut Link) {
        link.client = None;
        let player = &mut self.players[c as usize];
        (player.link, player.open) = (None, false);
    }

    /// It waits a while, then connects again.
    pub(super) fn back_off(&mut self, c: u32) {
        let until = self.now + self.rng.range(1, 300) * MILLI;
        let player = &mut self.players[c as usize];
        player.away_until = player.away_until.max(until);
        let until = player.away_until;
        self.wake_client(c, until);
    }

    fn dial(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        if player.dialing || player.away_until > self.now {
            return;
        }
        player.dialing = true;
        let takes = self.rng.below(2 * self.plan.line.latency + 1);
        self.at(self.now + takes, Wake::Dial(c));
    }

    /// A connection attempt ends.
    pub(super) fn dialed(&mut self, c: u32) {
        let at = self.instant();
        self.players[c as usize].dialing = false;
        if self.players[c as usize].away_until > self.now {
            return self.rearm_client(c);
        }
        let mut side = Side::new(RECV, self.plan.out_limit);
        if self.server.is_none() || !self.players[c as usize].connect(at, &mut side) {
            return self.back_off(c);
        }
        match self.open_line(c, side) {
            Some(l) => self.players[c as usize].link = Some(l),
            None => self.back_off(c),
        }
        self.pump_client(c);
    }

    /// Says whether the client drops the line.
    fn client_io(&mut self, c: u32, link: &mut Link) -> bool {
        let (now, at) = (self.now, self.instant());
        let machine = &mut self.players[c as usize].machine;
        if machine.poll_timeout().is_some_and(|d| d.at <= at && !is_output(&d))
            && let Some(event) = machine.handle_timeout(at)
        {
            let told = told(&event);
            self.take(c, told);
        }
        for _ in 0..64 {
            let Some(side) = &mut link.client else { return false };
            let reading = self.players[c as usize].reading;
            let room = if reading { 4 << 10 } else { 0 };
            let read = link.pipes.read(End::Client, now, room, &mut side.recv);
            if read > 0 && link.pipes.take_freed(End::Client) {
                self.wake_line(link, now + link.pipes.quality.latency);
            }
            let Some(side) = &mut link.client else { return false };
            while let Some(told) = self.players[c as usize].next_told(at, side) {
                self.take(c, told);
            }
            if reading && !side.eof && link.pipes.is_ended(End::Client, now) {
                side.eof = true;
                self.players[c as usize].machine.handle_eof(at);
            }
            let machine = &mut self.players[c as usize].machine;
            let verdict = machine.poll_transmit(at, &mut side.out);
            let had = !side.out.is_empty();
            let (written, _) = link.pipes.write(End::Client, now, &mut self.rng, &mut side.out);
            if had {
                machine.handle_written(at, written, side.out.len());
            }
            self.trace.mix(5, u64::from(c), (read as u64) << 32 ^ written as u64 ^ now << 20);
            // Nobody is there any more to take what is left.
            let empty = side.out.is_empty() || side.eof;
            if written > 0 {
                let arrival = link.pipes.next_arrival(End::Server);
                self.wake_line(link, arrival);
            }
            if verdict != Transport::Open && (empty || verdict == Transport::Abort) {
                match verdict {
                    Transport::Abort => link.pipes.abort(End::Client, now),
                    _ => link.pipes.finish(End::Client, now, &mut self.rng),
                }
                let arrival = link.pipes.next_arrival(End::Server);
                self.wake_line(link, arrival);
                return true;
            }
            if read == 0 && written == 0 {
                break;
            }
        }
        false
    }

    /// Wakes the server's end of a line that is in hand.
    fn wake_line(&mut self, link: &mut Link, at: u64) {
        let at = at.max(self.now);
        if let Some(side) = link.server.as_mut().filter(|side| at < side.wake)
            && let Some(l) = self.by_index.get(link.key.index())
        {
            side.wake = at;
            let l = *l;
            self.at(at, Wake::Server(l));
        }
    }

    fn rearm_client(&mut self, c: u32) {
        let player = &mut self.players[c as usize];
        let mut wake = u64::MAX;
        let mut can_write = false;
        if let Some(link) = player.link.and_then(|l| self.links[l as usize].as_ref())
            && let Some(side) = &link.client
        {
            can_write = side.out.is_empty();
            // What has no room waits until there is some to send in.
            if !side.eof && player.reading && side.recv.filled().len() < RECV {
                wake = link.pipes.next_arrival(End::Client);
            }
        }
        match player.machine.poll_timeout() {
            _ if player.link.is_none() => {
                wake = if player.dialing { u64::MAX } else { player.away_until };
            }
            Some(d) if is_output(&d) => {
                if can_write {
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
        if wake < u64::MAX {
            self.wake_client(c, wake);
        }
    }

    /// A client takes what it is told.
    fn take(&mut self, c: u32, told: Told) {
        self.step += 1;
        match told {
            Told::Connected(resumed) => self.connected(c, resumed),
            Told::Message(topic, qos, retain, number) => self.got(c, &topic, qos, retain, number),
            Told::Done(id, fine) => {
                let Some(m) = self.players[c as usize].publishing.remove(&id) else { return };
                say!(self, "client {c}: message {m} (#{id}) is done, accepted: {fine}");
                self.trace.mix(6, u64::from(m), u64::from(fine));
                if fine {
                    let once = self.oracle.published[m as usize].qos == Qos::ExactlyOnce;
                    let player = &mut self.players[c as usize];
                    player.firm |= once && player.durable;
                    self.oracle.accepted(m);
                } else {
                    self.oracle.void(m);
                }
            }
            Told::SubAck(id, fine) => {
                if !fine {
                    return self.fail(format!("client {c}: a subscription was refused"));
                }
                let Some(asked) = self.players[c as usize].asked.remove(&id) else { return };
                self.players[c as usize].firm |= self.players[c as usize].durable;
                if let Asked::Standing(s) = asked {
                    let standing = &mut self.oracle.standing[s as usize];
                    say!(self, "client {c} has {}", standing.filter);
                    standing.there = true;
                    if self.players[c as usize].durable {
                        standing.since = standing.since.or(Some(self.step));
                    }
                }
            }
            Told::Lost(id) => {
                let player = &mut self.players[c as usize];
                if let Some(m) = player.publishing.remove(&id) {
                    say!(self, "client {c}: message {m} is lost");
                    self.oracle.void(m);
                } else {
                    player.asked.remove(&id);
                }
            }
            Told::Closed(fault, wrong) => {
                say!(self, "client {c}: closed, {fault}");
                self.players[c as usize].open = false;
                if wrong {
                    self.fail(format!("client {c} saw a fault of the server: {fault}"));
                }
            }
            Told::Other => {}
        }
    }

    fn connected(&mut self, c: u32, resumed: bool) {
        say!(self, "client {c} is connected, resumed: {resumed}");
        self.trace.mix(7, u64::from(c), u64::from(resumed));
        let player = &mut self.players[c as usize];
        player.open = true;
        player.firm &= !player.anew;
        player.anew = false;
        if !player.durable {
            self.oracle.subscribe_again(c);
        }
        if !resumed {
            if self.players[c as usize].firm {
                return self.fail(format!("lost: the session of client {c}, of which much was acknowledged"));
            }
            self.tally.lost += 1;
            self.oracle.begin_anew(c);
        }
        self.players[c as usize].welcomed = true;
    }

    fn got(&mut self, c: u32, topic: &str, qos: Qos, retain: bool, number: Option<u32>) {
        self.trace.mix(8, u64::from(c), u64::from(number.unwrap_or(0)));
        if number == Some(WILL) && topic == "t/will" {
            return;
        }
        let Some(number) = number else {
            // The end of a retained value.
            if !topic.starts_with("r/") {
                self.fail(format!("client {c} got an empty message of {topic}"));
            }
            return;
        };
        if retain {
            if c as usize == self.plan.clients {
                self.retained.push((topic.into(), number));
            }
            return;
        }
        say!(self, "client {c} got message {number} of {topic}, {qos:?}");
        let delivered = self.oracle.deliver(c, number, topic, qos);
        self.must(delivered);
    }
}
