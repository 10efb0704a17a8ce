//! A world with a broker: a server whose store outlives it, clients of MQTT with sessions of their
//! own, and a disk that loses what was not synced. The server may die between any two steps.
//!
//! What must be true, for all that was acknowledged: it is not lost, it comes in its publisher's
//! order, with QoS 2 exactly once; the last retained value stands; tasks are done; and when all
//! troubles are over, all comes to rest with nothing left over in the store.

mod app;
mod client;
pub(crate) mod disk;
mod finish;
mod node;
mod oracle;
mod plan;
mod plugins;
mod session;
pub(crate) mod tables;
mod trouble;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bowline_core::endpoint::server::Server;
use bowline_core::time::Instant;

use crate::mutant::Mutant;
use crate::pipes::Pipes;
use crate::rng::Rng;
use crate::serve::Fuse;
use crate::trace::{Trace, Words, say};
use crate::world::{SECOND, Side};
use client::Player;
use disk::Disk;
use oracle::Oracle;
use plan::Plan;
use plugins::Chain;

/// So many steps at one instant mean that somebody spins.
const SPIN: u32 = 100_000;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// The server's end of a line.
    Server(u32),
    Client(u32),
    App(u32),
    /// A connection attempt ends.
    Dial(u32),
    Hub,
    Disk(u64),
    /// A server that died is there again.
    Boot,
    Trouble,
    /// A client's trouble ends.
    Relief(u32),
    Tick,
}

/// A line between a client and the server.
#[derive(Debug)]
struct Link {
    key: bowline_core::endpoint::server::ConnectionKey,
    client_number: u32,
    pipes: Pipes,
    server: Option<Side>,
    client: Option<Side>,
}

/// How far the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Work,
    /// All troubles are over: everything must come to rest.
    Settle,
    /// One who was never there asks for what is retained.
    Ask,
    Done,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    pub(crate) deaths: u64,
}

pub(crate) struct Broker {
    plan: Plan,
    rng: Rng,
    pub(crate) now: u64,
    /// Counts what applications do and are told.
    step: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Wake)>>,
    sequence: u64,
    /// Nothing while it is dead.
    server: Option<Box<Server>>,
    /// When the server dies.
    fuse: Fuse,
    hub_wake: u64,
    disk: Disk,
    /// Which waking of the disk counts.
    disk_wake: u64,
    links: Vec<Option<Box<Link>>>,
    by_index: Vec<u32>,
    players: Vec<Player>,
    oracle: Oracle,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    phase: Phase,
    phase_since: u64,
    last_death: bool,
    pub(crate) wrong: Option<String>,
    mutant: Option<Mutant>,
    /// What each topic retains, as one saw who asked in the end.
    retained: Vec<(String, u32)>,
}

impl Broker {
    pub(crate) fn new(seed: u64, messages: u64, mutant: Option<Mutant>, words: Words) -> Self {
        let mut rng = Rng::new(seed ^ 0x0b20_4e2b_0b0e);
        let plan = Plan { plugins: Chain::of(seed, mutant), ..Plan::draw(&mut rng, messages) };
        let mut world = Self {
            now: SECOND,
            step: 1,
            queue: BinaryHeap::new(),
            sequence: 0,
            server: None,
            fuse: Fuse::default(),
            hub_wake: u64::MAX,
            disk: Disk::new(plan.commit, plan.eager, mutant),
            disk_wake: 0,
            links: Vec::new(),
            by_index: Vec::new(),
            players: Vec::new(),
            // One more, who asks in the end.
            oracle: Oracle::new(plan.clients + 1),
            tally: Tally::default(),
            trace: Trace::new(words),
            phase: Phase::Work,
            phase_since: SECOND,
            last_death: rng.chance(500),
            wrong: None,
            mutant,
            retained: Vec::new(),
            rng,
            plan,
        };
        say!(world, "seed {seed}: {:?}", world.plan);
        world.boot();
        world.populate();
        world
    }

    fn populate(&mut self) {
        for c in 0..self.plan.clients as u32 {
            let player = Player::draw(self, c);
            self.players.push(player);
            self.at(self.now, Wake::App(c));
            self.wake_client(c, self.now);
        }
        if self.plan.trouble.total() > 0 {
            self.at(self.now + SECOND / 2, Wake::Trouble);
        }
        self.at(self.now + SECOND / 2, Wake::Tick);
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn at(&mut self, at: u64, wake: Wake) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, wake)));
    }

    fn wake_server(&mut self, l: u32, at: u64) {
        let at = at.max(self.now);
        let side = self.links[l as usize].as_mut().and_then(|link| link.server.as_mut());
        if let Some(side) = side.filter(|side| at < side.wake) {
            side.wake = at;
            self.at(at, Wake::Server(l));
        }
    }

    fn wake_client(&mut self, c: u32, at: u64) {
        let at = at.max(self.now);
        let player = &mut self.players[c as usize];
        if at < player.wake {
            player.wake = at;
            self.at(at, Wake::Client(c));
        }
    }

    fn wake_disk(&mut self, at: Option<u64>) {
        if let Some(at) = at {
            self.disk_wake += 1;
            self.at(at, Wake::Disk(self.disk_wake));
        }
    }

    fn fail(&mut self, why: String) {
        if self.wrong.is_none() {
            say!(self, "WRONG: {why}");
            self.wrong = Some(why);
        }
    }

    /// Fails where something is wrong.
    fn must(&mut self, result: Result<(), String>) {
        if let Err(why) = result {
            self.fail(why);
        }
    }

    /// Messages that went in or out so far.
    pub(crate) fn messages(&self) -> u64 {
        self.oracle.published.len() as u64 + self.oracle.delivered
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
            if self.fuse.dying {
                self.die();
            }
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
            Wake::App(c) => self.act(c),
            Wake::Dial(c) => self.dialed(c),
            Wake::Hub => self.hub_due(at),
            Wake::Disk(number) if number == self.disk_wake => self.disk_due(),
            Wake::Disk(_) => {}
            Wake::Boot => self.boot(),
            Wake::Trouble => self.trouble(),
            Wake::Relief(c) => self.relieve(c),
            Wake::Tick => self.tick(),
        }
    }
}
