//! The world: one server, its clients, the lines between them, and what happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{Anonymous, ConnectionKey, Server, ServerConfig, ServerEvent, Users};
use bowline_core::entropy::Seeded;
use bowline_core::secure::SecretKey;
use bowline_core::session::{By, Code};
use bowline_core::time::Instant;

use crate::app::Player;
use crate::hostile::Hostile;
use crate::mutant::Mutant;
use crate::oracle::Oracle;
use crate::pipes::{End, Over, Pipes, Tls};
use crate::plan::{Plan, Scenario};
use crate::rng::Rng;
use crate::serve::{Fuse, Turn};
use crate::trace::{Trace, Words, say};

pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// What is told with a token.
pub(crate) const TOKEN: &[u8] = b"a token of the simulator";

/// The server's key in the secure mode.
pub(crate) const SERVER_KEY: [u8; 32] = [7; 32];

/// So many steps at one instant mean that somebody spins.
const SPIN: u32 = 200_000;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// The server's end of a line.
    Server(u32),
    /// A client's end.
    Client(u32),
    /// A client's application does something.
    App(u32),
    /// A client's connection attempt ends.
    Dial(u32),
    Hostile(u32),
    Hub,
    Trouble,
    /// A client's trouble ends.
    Relief(u32),
    /// The world is looked at.
    Tick,
}

/// One end of a line.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) recv: GrowingRecvBuf,
    pub(crate) out: SharedSendBuf,
    pub(crate) eof: bool,
    pub(crate) blocked: bool,
    pub(crate) ended: bool,
    pub(crate) wake: u64,
    pub(crate) spins: u32,
}

impl Side {
    pub(crate) fn new(recv: usize, out: usize) -> Side {
        Side {
            recv: GrowingRecvBuf::new(recv),
            out: SharedSendBuf::new(out),
            eof: false,
            blocked: false,
            ended: false,
            wake: u64::MAX,
            spins: 0,
        }
    }
}

/// Who is at the other end of a line from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Client(u32),
    Hostile(u32),
}

/// A line between a peer and the server.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: ConnectionKey,
    pub(crate) owner: Owner,
    pub(crate) pipes: Pipes,
    pub(crate) server: Option<Side>,
    pub(crate) client: Option<Side>,
    /// The server opened a session on it, and told its end.
    pub(crate) opened: bool,
    pub(crate) closed: bool,
    pub(crate) since: u64,
}

/// How far the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Work,
    /// All troubles are over: everything must come to rest.
    Settle,
    /// Everyone leaves.
    Leave,
    Done,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) published: u64,
    pub(crate) requests: u64,
    pub(crate) responses: u64,
    pub(crate) dropped: u64,
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) step: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Wake)>>,
    sequence: u64,
    pub(crate) server: Server,
    pub(crate) draining_until: Option<u64>,
    hub_wake: u64,
    pub(crate) links: Vec<Option<Box<Link>>>,
    by_index: Vec<u32>,
    pub(crate) over: Over,
    tls: Tls,
    pub(crate) players: Vec<Player>,
    pub(crate) hostiles: Vec<Hostile>,
    pub(crate) oracle: Oracle,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    pub(crate) phase: Phase,
    pub(crate) phase_since: u64,
    pub(crate) wrong: Option<String>,
    pub(crate) mutant: Option<Mutant>,
    /// How often the mutant's occasion came.
    pub(crate) occasions: u64,
    pub(crate) ticks: u64,
    /// What waits in the hub and how much it handed out, and at which tick that last changed.
    pub(crate) moved: ((u64, u64), u64),
    /// When all were last disturbed at once; 0: never.
    pub(crate) disturbed: u64,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        scenario: Option<Scenario>,
        messages: u64,
        over: Over,
        words: Words,
    ) -> World {
        let mut rng = Rng::new(seed ^ 0x0b0a_711e_5eed);
        let mut plan = Plan::draw(&mut rng, scenario, messages);
        // What is lost on the way is said again, which takes its time.
        plan.prompt &= over != Over::Udp;
        let server = Self::make_server(&plan, rng.next());
        let mut world = World {
            rng,
            now: SECOND,
            step: 1,
            queue: BinaryHeap::new(),
            sequence: 0,
            server,
            draining_until: None,
            hub_wake: u64::MAX,
            links: Vec::new(),
            by_index: Vec::new(),
            over,
            tls: Tls::new(),
            players: Vec::new(),
            hostiles: Vec::new(),
            oracle: Oracle::new(),
            tally: Tally::default(),
            trace: Trace::new(words),
            phase: Phase::Work,
            phase_since: SECOND,
            wrong: None,
            mutant: None,
            occasions: 0,
            ticks: 0,
            moved: ((0, 0), 0),
            disturbed: 0,
            plan,
        };
        say!(world, "seed {seed}: {:?}", world.plan);
        world.populate();
        world
    }

    fn make_server(plan: &Plan, seed: u64) -> Server {
        let mut config = ServerConfig { name: "simulated".into(), ..ServerConfig::default() };
        config.session.limits.credit = plan.credit;
        config.session.limits.in_flight = plan.in_flight;
        config.session.limits.keepalive = Some(plan.keepalive);
        config.session.limits.max_frame = 8192;
        config.queue.max_messages = plan.queue_messages;
        config.queue.max_bytes = plan.queue_bytes;
        config.queue.policy = plan.policy;
        config.noise.keys.own = Some(SecretKey::from_octets(SERVER_KEY));
        config.noise.rekey.octets = 20_000;
        config.users = Users::new(Anonymous::Always);
        config.users.add_token(TOKEN, "somebody");
        Server::new(config, Box::new(Seeded::new(seed)))
    }

    fn populate(&mut self) {
        for i in 0..self.plan.clients as u32 {
            let player = Player::new(self, i);
            self.players.push(player);
            self.at(self.now, Wake::App(i));
        }
        for i in 0..self.plan.hostiles as u32 {
            let hostile = Hostile::new(&mut self.rng);
            self.hostiles.push(hostile);
            let at = self.now + self.rng.below(2 * SECOND);
            self.wake_owner(Owner::Hostile(i), at);
        }
        if self.plan.trouble.total() > 0 {
            self.at(self.now + SECOND, Wake::Trouble);
        }
        self.at(self.now + SECOND / 2, Wake::Tick);
    }

    pub(crate) fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    pub(crate) fn at(&mut self, at: u64, wake: Wake) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, wake)));
    }

    /// Wakes the server's end of a line at `at`, unless it is woken before anyway.
    pub(crate) fn wake_server(&mut self, l: u32, at: u64) {
        let at = at.max(self.now);
        let side = self.links[l as usize].as_mut().and_then(|link| link.server.as_mut());
        if let Some(side) = side.filter(|side| at < side.wake) {
            side.wake = at;
            self.at(at, Wake::Server(l));
        }
    }

    pub(crate) fn wake_owner(&mut self, owner: Owner, at: u64) {
        let at = at.max(self.now);
        match owner {
            Owner::Client(c) => {
                let player = &mut self.players[c as usize];
                if at < player.wake {
                    player.wake = at;
                    self.at(at, Wake::Client(c));
                }
            }
            Owner::Hostile(h) => {
                let hostile = &mut self.hostiles[h as usize];
                if at < hostile.wake {
                    hostile.wake = at;
                    self.at(at, Wake::Hostile(h));
                }
            }
        }
    }

    pub(crate) fn fail(&mut self, why: String) {
        if self.wrong.is_none() {
            say!(self, "WRONG: {why}");
            self.wrong = Some(why);
        }
    }

    /// Lets the world happen until all is done, or something is wrong.
    pub(crate) fn run(&mut self) {
        let (mut instant, mut spins) = (0, 0);
        while self.phase != Phase::Done && self.wrong.is_none() {
            let Some(Reverse((at, _, wake))) = self.queue.pop() else {
                return self.fail("stuck: nothing is due any more".into());
            };
            self.now = self.now.max(at);
            if self.now == instant {
                spins += 1;
                if spins > SPIN {
                    return self.fail(format!("time stands still: {wake:?} is due again and again"));
                }
            } else {
                (instant, spins) = (self.now, 0);
            }
            self.happen(at, wake);
        }
    }

    fn happen(&mut self, at: u64, wake: Wake) {
        match wake {
            Wake::Server(l) => {
                let side = self.links[l as usize].as_mut().and_then(|link| link.server.as_mut());
                if let Some(side) = side.filter(|side| side.wake == at) {
                    side.wake = u64::MAX;
                    self.pump_server(l);
                }
            }
            Wake::Client(c) => {
                if self.players[c as usize].wake == at {
                    self.players[c as usize].wake = u64::MAX;
                    self.pump_client(c);
                }
            }
            Wake::Hostile(h) => {
                if self.hostiles[h as usize].wake == at {
                    self.hostiles[h as usize].wake = u64::MAX;
                    self.pump_hostile(h);
                }
            }
            Wake::App(c) => self.act(c),
            Wake::Dial(c) => self.dialed(c),
            Wake::Hub => {
                if self.hub_wake == at {
                    self.hub_wake = u64::MAX;
                    if !self.mutated(Mutant::ForgetHubTimer) {
                        self.server.handle_hub_timeout(self.instant());
                        self.after_server();
                    }
                }
            }
            Wake::Trouble => self.trouble(),
            Wake::Relief(c) => self.relieve(c),
            Wake::Tick => self.tick(),
        }
    }

    /// Opens a line to the server; nothing where it refuses.
    pub(crate) fn connect(&mut self, owner: Owner, client: Side) -> Option<u32> {
        let key = self.server.accept(self.instant(), Default::default()).ok()?;
        let l = self.links.len() as u32;
        let index = key.index();
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, u32::MAX);
        }
        self.by_index[index] = l;
        let mut quality = self.plan.line;
        quality.latency = quality.latency / 2 + self.rng.below(quality.latency);
        let pipes = match self.over {
            Over::Plain | Over::WebSocket | Over::Noise => Pipes::new(quality),
            Over::Tls => Pipes::tls(quality, &self.tls),
            Over::Udp => Pipes::udp(quality, self.now, &mut self.rng),
        };
        let link = Link {
            key,
            owner,
            pipes,
            server: Some(Side::new(self.over.holds(8192 + 64), self.plan.out_limit)),
            client: Some(client),
            opened: false,
            closed: false,
            since: self.now,
        };
        self.links.push(Some(Box::new(link)));
        self.tally.connections += 1;
        self.trace.mix(1, u64::from(l), self.now);
        self.wake_server(l, self.now);
        self.after_server();
        Some(l)
    }

    /// The server's end of a line.
    fn pump_server(&mut self, l: u32) {
        let Some(mut link) = self.links[l as usize].take() else { return };
        let Link { key, owner, pipes, server: Some(side), .. } = &mut *link else {
            self.links[l as usize] = Some(link);
            return;
        };
        let (key, owner, latency) = (*key, *owner, pipes.quality.latency);
        let (server, rng, fuse) = (&mut self.server, &mut self.rng, &mut Fuse::default());
        let served = Turn { server, key, side, pipes, rng, fuse, room: 16 << 10 }.serve(self.now);
        let arrival = pipes.next_arrival(End::Client);
        if served.read > 0 || served.written > 0 {
            let octets = (served.read as u64) << 32 ^ served.written as u64 ^ self.now << 20;
            self.trace.mix(2, u64::from(l), octets);
        }
        if served.freed {
            self.wake_owner(owner, self.now + latency);
        }
        if served.sent {
            self.wake_owner(owner, arrival);
        }
        if served.dropped {
            link.server = None;
            self.server.disconnect(self.instant(), key);
        } else {
            self.rearm_server(l, &mut link);
        }
        let gone = link.server.is_none() && link.client.is_none();
        self.links[l as usize] = Some(link);
        self.after_server();
        if gone {
            self.links[l as usize] = None;
        }
    }

    fn rearm_server(&mut self, l: u32, link: &mut Link) {
        let Some(side) = &mut link.server else { return };
        let read = if side.blocked || side.eof { u64::MAX } else { link.pipes.next_arrival(End::Server) };
        let mut wake = read.min(link.pipes.next_turn());
        match self.server.poll_timeout(link.key) {
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

    /// What came of calling the server: events, connections to wake, its timer.
    pub(crate) fn after_server(&mut self) {
        while let Some(event) = self.server.poll_event() {
            self.on_server_event(event);
        }
        while let Some(key) = self.server.poll_ready() {
            let l = self.by_index.get(key.index()).copied().unwrap_or(u32::MAX);
            if l == u32::MAX || self.mutated(Mutant::ForgetWake) {
                continue;
            }
            self.wake_server(l, self.now);
        }
        if let Some(d) = self.server.poll_hub_timeout() {
            let at = d.at.as_nanos().max(self.now);
            if at < self.hub_wake {
                self.hub_wake = at;
                self.at(at, Wake::Hub);
            }
        }
    }

    fn on_server_event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Opened { connection, resumed, .. } => {
                say!(self, "server: connection {} is open, resumed: {resumed}", connection.number());
                let l = self.by_index[connection.index()];
                self.tally.resumed += u64::from(resumed);
                self.trace.mix(4, u64::from(l), u64::from(resumed));
                match self.links[l as usize].as_mut() {
                    Some(link) if link.opened => self.fail(format!("line {l} was opened twice")),
                    Some(link) => link.opened = true,
                    None => {}
                }
            }
            ServerEvent::Closed { connection, by, code, reason, .. } => {
                say!(
                    self,
                    "server: connection {} is closed by {by:?}: {code:?} {reason}",
                    connection.number()
                );
                let l = self.by_index[connection.index()];
                self.trace.mix(5, u64::from(l), code.map_or(99, |c| u64::from(c.number())));
                self.on_close(l, by, code, &reason);
            }
            ServerEvent::Expired { .. } => {
                say!(self, "server: a session expired");
                self.trace.mix(6, self.now, 0);
            }
            _ => {}
        }
    }

    /// The server says that a connection has ended: once, and with a reason.
    fn on_close(&mut self, l: u32, by: By, code: Option<Code>, reason: &str) {
        let Some(link) = self.links[l as usize].as_mut() else { return };
        if std::mem::replace(&mut link.closed, true) {
            return self.fail(format!("line {l}: its end was told twice, now with {code:?} {reason}"));
        }
        if code.is_none() && (by != By::Transport || reason.is_empty()) {
            return self.fail(format!("line {l}: ended without a code or a reason, by {by:?}"));
        }
        if let (Owner::Client(c), Some(code)) = (link.owner, code)
            && !may_end(code)
        {
            self.fail(format!(
                "client {c} keeps to the protocol, and ended with {code} ({reason}), by {by:?}"
            ));
        }
    }

    /// Says whether it is time for the fault that this world is to have.
    pub(crate) fn mutated(&mut self, mutant: Mutant) -> bool {
        // A hub must not forget sessions that nobody comes back to.
        if self.mutant != Some(mutant) || (self.phase > Phase::Settle && mutant != Mutant::ForgetHubTimer) {
            return false;
        }
        self.occasions += 1;
        mutant.strikes(self.occasions)
    }

    /// Forgets the server with all it knows, and begins with a new one.
    pub(crate) fn restart(&mut self) {
        say!(self, "the server restarts");
        self.trace.mix(7, self.now, 0);
        let dropped = self.server.hub().counters().dropped;
        self.tally.dropped += dropped.oldest + dropped.newest;
        for l in 0..self.links.len() {
            let Some(mut link) = self.links[l].take() else { continue };
            link.server = None;
            self.tell_gone(link.owner, &mut link);
        }
        let seed = self.rng.next();
        self.server = Self::make_server(&self.plan, seed);
        self.by_index.clear();
        self.draining_until = None;
        self.hub_wake = u64::MAX;
        self.oracle.forgive();
        self.disturb_all();
    }

    /// The peer's end of a line learns that it is gone.
    pub(crate) fn tell_gone(&mut self, owner: Owner, link: &mut Link) {
        link.client = None;
        let at = self.instant();
        match owner {
            Owner::Client(c) => {
                let player = &mut self.players[c as usize];
                player.link = None;
                player.client.handle_transport_gone(at);
            }
            Owner::Hostile(h) => self.hostiles[h as usize].link = None,
        }
        self.wake_owner(owner, self.now);
    }

    /// How long the world has been in this phase.
    pub(crate) fn in_phase(&self) -> Duration {
        Duration::from_nanos(self.now - self.phase_since)
    }
}

pub(crate) fn is_output(d: &bowline_core::time::Deadline) -> bool {
    d.why == bowline_core::time::Why::Output
}

/// The codes with which a connection between two who keep to the protocol may end.
pub(crate) const fn may_end(code: Code) -> bool {
    matches!(
        code,
        Code::Normal
            | Code::GoingAway
            | Code::HandshakeTimeout
            | Code::KeepaliveTimeout
            | Code::TakenOver
            | Code::SlowConsumer
            | Code::WriteTimeout
    )
}
