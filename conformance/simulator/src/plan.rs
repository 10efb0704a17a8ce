//! What a world is like: drawn from its seed, within what its scenario says.

use std::time::Duration;

use bowline_core::hub::Policy;

use crate::pipe::Quality;
use crate::rng::Rng;

/// What a world is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scenario {
    /// Nothing goes wrong: every message must come soon.
    Calm,
    /// Connections are cut, stalled, half open; time jumps.
    Chaos,
    /// Queues are small and readers slow; any policy.
    Slow,
    /// Mostly requests, with responders that answer late, not at all, or vanish.
    Requests,
    /// Nothing goes wrong among many clients, but for hostile peers.
    Hostile,
    /// Up to two hundred clients.
    Crowd,
    /// Sessions expire soon, so that many are lost.
    Expiry,
    /// The server restarts with an empty memory, or drains.
    Restart,
    /// Windows of credit and of messages in flight are as small as can be.
    Narrow,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 9] = [
        Scenario::Calm,
        Scenario::Chaos,
        Scenario::Slow,
        Scenario::Requests,
        Scenario::Hostile,
        Scenario::Crowd,
        Scenario::Expiry,
        Scenario::Restart,
        Scenario::Narrow,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Calm => "calm",
            Scenario::Chaos => "chaos",
            Scenario::Slow => "slow",
            Scenario::Requests => "requests",
            Scenario::Hostile => "hostile",
            Scenario::Crowd => "crowd",
            Scenario::Expiry => "expiry",
            Scenario::Restart => "restart",
            Scenario::Narrow => "narrow",
        }
    }

    /// The scenario with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Scenario> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// Topics, each of one publisher or of many.
pub(crate) const TOPICS: [&str; 12] = [
    "home/door",
    "home/lamp",
    "home/lamp/state",
    "work/door",
    "work/lamp",
    "work/line/1",
    "work/line/2",
    "news",
    "news/world",
    "deep/a/b/c/d/e/f",
    "deep/a/b",
    "x",
];

/// Filters; those from [`SHARED`] on are shared groups.
pub(crate) const FILTERS: [&str; 15] = [
    "home/door",
    "home/#",
    "+/lamp",
    "work/line/+",
    "#",
    "news/#",
    "deep/+/b",
    "deep/a/#",
    "x",
    "+/+",
    "work/door",
    "$share/a/home/#",
    "$share/b/work/line/+",
    "$share/a/news/#",
    "$share/c/+",
];

/// The first shared filter.
pub(crate) const SHARED: usize = 11;

/// What is asked, and who serves it.
pub(crate) const SERVICES: [&str; 3] = ["ask/time", "ask/sum", "ask/slow"];

/// The filters of those who serve.
pub(crate) const SERVERS: [&str; 4] = ["ask/time", "ask/+", "$share/s/ask/sum", "ask/slow"];

/// What can go wrong, and how often compared to each other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) cut: u64,
    pub(crate) half_open: u64,
    pub(crate) stall: u64,
    pub(crate) slow_line: u64,
    pub(crate) lazy: u64,
    pub(crate) jump: u64,
    pub(crate) restart: u64,
    pub(crate) drain: u64,
    pub(crate) leave: u64,
}

impl Trouble {
    pub(crate) const fn total(&self) -> u64 {
        self.cut
            + self.half_open
            + self.stall
            + self.slow_line
            + self.lazy
            + self.jump
            + self.restart
            + self.drain
            + self.leave
    }
}

/// A world's settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) clients: usize,
    pub(crate) hostiles: usize,
    /// Messages after which the work ends.
    pub(crate) messages: u64,
    /// Between two things that a client does.
    pub(crate) pause: Duration,
    /// Publishes at once, at most.
    pub(crate) burst: u64,
    /// Of actions, in thousandths, that are requests.
    pub(crate) asking: u64,
    /// Of actions that subscribe or unsubscribe.
    pub(crate) changing: u64,
    /// Of publishes that are at least once.
    pub(crate) reliable: u64,
    pub(crate) payload: u64,
    pub(crate) trouble: Trouble,
    pub(crate) trouble_every: Duration,
    pub(crate) policy: Policy,
    pub(crate) queue_messages: u32,
    pub(crate) queue_bytes: u64,
    pub(crate) expiry: Duration,
    pub(crate) credit: u64,
    pub(crate) in_flight: u16,
    pub(crate) keepalive: Duration,
    pub(crate) client_keepalive: Duration,
    pub(crate) out_limit: usize,
    pub(crate) line: Quality,
    /// Whether a message to an undisturbed client must come within [`Plan::bound`].
    pub(crate) prompt: bool,
    pub(crate) bound: Duration,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, scenario: Option<Scenario>, messages: u64) -> Plan {
        let scenario = scenario.unwrap_or_else(|| rng.pick(&Scenario::ALL));
        let clients = match scenario {
            Scenario::Crowd => rng.range(40, 200),
            _ => rng.range(2, 12),
        } as usize;
        let mut plan = Plan {
            scenario,
            clients,
            hostiles: if rng.chance(300) { rng.range(1, 3) as usize } else { 0 },
            messages,
            // So many publishes a second in all that lines and windows are never what is short.
            pause: Duration::from_micros(rng.range(10_000, 50_000) * clients as u64),
            burst: rng.pick(&[1, 3, 10]),
            asking: rng.pick(&[0, 50, 200]),
            changing: rng.pick(&[0, 20, 100]),
            reliable: rng.pick(&[500, 900, 1000]),
            payload: rng.pick(&[16, 100, 400]),
            trouble: Trouble::default(),
            trouble_every: rng.millis(100, 1500),
            policy: rng.pick(&[Policy::DropOldest, Policy::DropNewest, Policy::SlowPublisher]),
            queue_messages: 100_000,
            queue_bytes: 64 << 20,
            expiry: Duration::from_secs(3600),
            credit: rng.pick(&[64 << 10, 1 << 20]),
            in_flight: rng.pick(&[64, 1024]),
            keepalive: rng.pick(&[5, 30]).seconds(),
            client_keepalive: rng.pick(&[5, 30]).seconds(),
            out_limit: rng.pick(&[16 << 10, 64 << 10]),
            line: Quality {
                latency: rng.range(10_000, 20_000_000),
                jitter: rng.range(0, 5_000_000),
                per_octet: rng.pick(&[8, 100]),
                capacity: rng.pick(&[32 << 10, 256 << 10]),
                pieces: rng.pick(&[0, 50, 500]),
            },
            prompt: true,
            bound: Duration::from_millis(250),
        };
        plan.fit(rng);
        plan
    }

    fn fit(&mut self, rng: &mut Rng) {
        let wild =
            Trouble { cut: 6, half_open: 2, stall: 2, slow_line: 1, lazy: 2, jump: 1, ..Trouble::default() };
        match self.scenario {
            Scenario::Calm => {}
            Scenario::Chaos => self.trouble = Trouble { leave: 1, ..wild },
            Scenario::Slow => {
                self.trouble = Trouble { lazy: 6, stall: 2, slow_line: 2, cut: 1, ..Trouble::default() };
                self.policy = rng.pick(&[
                    Policy::DropOldest,
                    Policy::DropNewest,
                    Policy::Disconnect,
                    Policy::SlowPublisher,
                ]);
                self.queue_messages = rng.range(8, 64) as u32;
                self.queue_bytes = rng.pick(&[4 << 10, 64 << 10]);
                // What is in the queue is also what waits to be acknowledged.
                self.prompt = false;
            }
            Scenario::Requests => {
                self.asking = 700;
                self.trouble = if rng.chance(500) { wild } else { Trouble::default() };
            }
            Scenario::Hostile => self.hostiles = rng.range(5, 25) as usize,
            Scenario::Crowd => {
                self.pause = Duration::from_micros(rng.range(5_000, 20_000) * self.clients as u64);
                if rng.chance(500) {
                    self.trouble = wild;
                    self.trouble_every = rng.millis(20, 200);
                }
            }
            Scenario::Expiry => {
                self.expiry = rng.pick(&[0, 1, 3]).seconds();
                self.trouble = Trouble { leave: 1, ..wild };
            }
            Scenario::Restart => {
                self.trouble = Trouble { cut: 2, restart: 1, drain: 1, lazy: 1, ..Trouble::default() };
                self.trouble_every = rng.millis(1000, 4000);
            }
            Scenario::Narrow => {
                self.credit = rng.range(1, 2000);
                self.in_flight = rng.range(1, 8) as u16;
                self.line.capacity = rng.range(100, 4000) as usize;
                self.prompt = false;
                self.trouble = if rng.chance(500) { wild } else { Trouble::default() };
            }
        }
        if self.policy == Policy::SlowPublisher {
            self.prompt = false;
        }
    }
}

trait Seconds {
    fn seconds(self) -> Duration;
}

impl Seconds for u64 {
    fn seconds(self) -> Duration {
        Duration::from_secs(self)
    }
}
