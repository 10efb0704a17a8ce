//! A world with a room: members over our own protocol, by the client that everybody uses, and over
//! typed JSON in a WebSocket; a server whose store outlives it, and dies between any two steps.
//!
//! What must be true: what was acknowledged is in the room; a key makes one of two; no member misses
//! anything that it is not told of, or gets anything twice; one place is one message, also behind a
//! death that took numbers back; and when all troubles are over, all know who is there.

mod finish;
mod node;
mod oracle;
mod own;
mod page;
mod plan;
mod trouble;

use bowline_core::endpoint::server::{ConnectionKey, Server};
use bowline_core::time::Instant;

use crate::broker::disk::Disk;
use crate::mutant::Mutant;
use crate::pipes::{End, Pipes};
use crate::rng::Rng;
use crate::serve::Fuse;
use crate::trace::{Trace, Words, say};
use crate::world::{MILLI, SECOND, Side};
use oracle::{Oracle, Told};
use own::Own;
use page::Page;
use plan::Plan;

/// So many steps at one instant mean that somebody spins.
const SPIN: u32 = 20_000;

/// Who a member is.
enum Peer {
    Own(Box<Own>),
    Page(Box<Page>),
}

/// A line between a member and the server.
struct Line {
    key: ConnectionKey,
    pipes: Pipes,
    server: Option<Side>,
    /// The member's end; it is gone first where the member drops the line.
    client: Side,
}

struct Member {
    peer: Peer,
    line: Option<Line>,
    /// Reads nothing before.
    lazy_until: u64,
    /// Stays out of the room before.
    away_until: u64,
    /// When a page tries to connect again, and when an application does something.
    retry_at: u64,
    act_at: u64,
}

/// How far the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Work,
    /// All troubles are over: everything must come to rest.
    Settle,
    Done,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) recovered: u64,
    pub(crate) lost: u64,
    pub(crate) deaths: u64,
}

pub(crate) struct Rooms {
    plan: Plan,
    rng: Rng,
    pub(crate) now: u64,
    server: Option<Box<Server>>,
    /// So many more things happen in the server until it dies; 0: it lives.
    fuse: Fuse,
    boot_at: u64,
    disk: Disk,
    disk_at: u64,
    members: Vec<Member>,
    /// Lines whose member is gone, and whose server does not know.
    orphans: Vec<Line>,
    oracle: Oracle,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    phase: Phase,
    phase_since: u64,
    trouble_at: u64,
    tick_at: u64,
    /// The server dies once more when all is at rest: nobody must see a difference.
    last_death: bool,
    pub(crate) wrong: Option<String>,
    mutant: Option<Mutant>,
}

impl Rooms {
    pub(crate) fn new(seed: u64, messages: u64, mutant: Option<Mutant>, words: Words) -> Self {
        let mut rng = Rng::new(seed ^ 0x0400_00d5);
        let plan = Plan::draw(&mut rng, messages);
        let mut world = Self {
            now: SECOND,
            server: None,
            fuse: Fuse::default(),
            boot_at: u64::MAX,
            disk: Disk::new(plan.commit, plan.eager, mutant),
            disk_at: u64::MAX,
            members: Vec::new(),
            orphans: Vec::new(),
            oracle: Oracle::new(plan.own + plan.pages, plan.is_lossless()),
            tally: Tally::default(),
            trace: Trace::new(words),
            phase: Phase::Work,
            phase_since: SECOND,
            trouble_at: SECOND * 3 / 2,
            tick_at: SECOND * 3 / 2,
            last_death: rng.chance(500),
            wrong: None,
            mutant,
            rng,
            plan,
        };
        say!(world, "seed {seed}: {:?}", world.plan);
        world.boot();
        world.populate();
        world
    }

    fn populate(&mut self) {
        let now = self.instant();
        for c in 0..self.plan.own + self.plan.pages {
            let seed = self.rng.next();
            let peer = if c < self.plan.own {
                let options = own::options(self.rng.pick(&[0, 10]), self.plan.credit);
                let mut own = Box::new(Own::new(now, seed, self.plan.expiry, options));
                own.mutant = self.mutant;
                Peer::Own(own)
            } else {
                let mut page = Box::new(Page::new(seed));
                page.mutant = self.mutant;
                Peer::Page(page)
            };
            let act_at = self.now + self.rng.below(SECOND);
            let at = self.now;
            let member = Member { peer, line: None, lazy_until: 0, away_until: 0, retry_at: at, act_at };
            self.members.push(member);
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn fail(&mut self, why: String) {
        if self.wrong.is_none() {
            say!(self, "WRONG: {why}");
            self.wrong = Some(why);
        }
    }

    fn must(&mut self, result: Result<(), String>) {
        if let Err(why) = result {
            self.fail(why);
        }
    }

    /// Messages that went in or out so far.
    pub(crate) const fn messages(&self) -> u64 {
        self.oracle.count() + self.oracle.delivered
    }

    /// Lets the world happen until all is done, or something is wrong.
    pub(crate) fn run(&mut self) {
        let (mut instant, mut spins) = (0, 0);
        while self.phase != Phase::Done && self.wrong.is_none() {
            let at = self.next_wake();
            if at == u64::MAX {
                return self.fail("stuck: nothing is due any more".into());
            }
            self.now = self.now.max(at);
            spins = if self.now == instant { spins + 1 } else { 0 };
            instant = self.now;
            if spins > SPIN {
                return self.fail("time stands still: something is due again and again".into());
            }
            self.turn();
        }
        (self.tally.recovered, self.tally.lost) = (self.oracle.recovered, self.oracle.unrecovered);
    }

    /// When something is due.
    fn next_wake(&self) -> u64 {
        let mut at = self.boot_at.min(self.disk_at).min(self.trouble_at).min(self.tick_at);
        if let Some(server) = &self.server {
            at = at.min(server.poll_hub_timeout().map_or(u64::MAX, |d| d.at.as_nanos()));
            let lines = self.members.iter().filter_map(|m| m.line.as_ref()).chain(&self.orphans);
            for line in lines {
                at = at.min(line.server_wake(server));
            }
        }
        for m in &self.members {
            at = at.min(m.wake(self.now));
        }
        at
    }

    /// All that is due happens.
    fn turn(&mut self) {
        if self.boot_at <= self.now {
            self.boot();
        }
        if self.disk_at <= self.now {
            self.disk_due();
        }
        for c in 0..self.members.len() {
            self.turn_member(c);
        }
        self.turn_orphans();
        let now = self.instant();
        if let Some(server) = &mut self.server
            && server.poll_hub_timeout().is_some_and(|d| d.at <= now)
        {
            server.handle_hub_timeout(now);
        }
        self.after_server();
        if self.trouble_at <= self.now {
            self.trouble();
        }
        if self.tick_at <= self.now {
            self.tick();
        }
        if self.fuse.dying {
            self.die();
        }
    }

    fn turn_member(&mut self, c: usize) {
        self.connect(c);
        if let Some(mut line) = self.members[c].line.take() {
            self.serve(&mut line);
            if self.pump_member(c, &mut line) {
                self.members[c].gone(self.now);
                self.leave_line(line, true);
            } else {
                self.members[c].line = Some(line);
            }
        }
        let now = self.instant();
        self.members[c].handle_timeout(now);
        self.take_told(c);
        if self.members[c].act_at <= self.now {
            self.act(c);
        }
        if self.fuse.dying {
            self.die();
        }
    }

    /// What the application was told goes to the oracle.
    fn take_told(&mut self, c: usize) {
        let mut told = Vec::new();
        let reads_nothing = match &mut self.members[c].peer {
            Peer::Own(own) => {
                own.take(&mut told);
                own.options.history == 0
            }
            Peer::Page(page) => {
                page.take(&mut told);
                false
            }
        };
        for told in told {
            say!(self, "member {c}: {told:?}");
            let kind = u64::from(matches!(told, Told::Message { .. }));
            self.trace.mix(c as u64, kind, self.now);
            let judged = self.oracle.told(c, &told);
            if let Told::Joined { place, recovered: false, .. } = told
                && reads_nothing
                && self.plan.is_lossless()
            {
                self.oracle.at(c, place.1);
            }
            self.must(judged);
        }
    }

    /// A member's application does something, and will again.
    fn act(&mut self, c: usize) {
        let pause = self.plan.pause.as_nanos() as u64;
        self.members[c].act_at = self.now + pause / 2 + self.rng.below(pause);
        if self.members[c].away_until > self.now {
            return;
        }
        let now = self.instant();
        self.members[c].want(now, true);
        if self.phase != Phase::Work {
            return;
        }
        for _ in 0..self.rng.range(1, self.plan.burst) {
            let number = self.oracle.next();
            let pad = ".".repeat(self.rng.below(self.plan.payload + 1) as usize);
            let payload = format!("{{\"n\":{number},\"pad\":\"{pad}\"}}");
            if !self.members[c].send(now, number, payload) {
                break;
            }
            say!(self, "member {c} sends message {number}");
            self.oracle.sends(c);
        }
    }
}

impl Member {
    /// When it wants to be called.
    fn wake(&self, now: u64) -> u64 {
        let own = match &self.peer {
            Peer::Own(own) => own.machine.poll_timeout().map(|d| match d.why {
                // Only room in the transport helps.
                bowline_core::time::Why::Output
                    if self.line.as_ref().is_none_or(|l| !l.client.out.is_empty()) =>
                {
                    u64::MAX
                }
                _ => d.at.as_nanos(),
            }),
            Peer::Page(page) => page.wake(),
        };
        let mut at = own.unwrap_or(u64::MAX).min(self.act_at);
        match &self.line {
            None if matches!(self.peer, Peer::Page(_)) => at = at.min(self.retry_at),
            Some(line) => at = at.min(line.pipes.next_arrival(End::Client).max(self.lazy_until)),
            None => {}
        }
        at.max(now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.peer {
            Peer::Own(own) => own.machine.handle_timeout(now),
            Peer::Page(page) => {
                if let Some(layer) = page.layer() {
                    let _ = layer.handle_timeout(now);
                }
            }
        }
    }

    fn gone(&mut self, now: u64) {
        self.retry_at = now + 300 * MILLI;
        match &mut self.peer {
            Peer::Own(own) => own.machine.handle_transport_gone(Instant::from_nanos(now)),
            Peer::Page(page) => page.gone(),
        }
    }

    /// Is in the room from now on, or is not.
    fn want(&mut self, now: Instant, wants: bool) {
        let Self { peer, line, .. } = self;
        match peer {
            Peer::Own(own) if wants => own.join(now),
            Peer::Own(own) => own.leave(now),
            Peer::Page(page) => page.want(now, wants, line.as_mut().map(|line| &mut line.client.out)),
        }
    }

    fn send(&mut self, now: Instant, number: u64, payload: String) -> bool {
        let Self { peer, line, .. } = self;
        match peer {
            Peer::Own(own) => own.send(now, number, payload),
            Peer::Page(page) => {
                line.as_mut().is_some_and(|line| page.send(now, number, &payload, &mut line.client.out))
            }
        }
    }

    fn is_in(&self) -> bool {
        match &self.peer {
            Peer::Own(own) => own.is_in() && own.machine.is_connected(),
            Peer::Page(page) => page.is_in(),
        }
    }
}
