//! What a world with a broker is like.

use std::time::Duration;

use super::plugins::Chain;
use crate::pipe::Quality;
use crate::rng::Rng;

/// Topics of everyone.
pub(super) const TOPICS: [&str; 6] = ["t/0", "t/1", "t/2", "t/2/deep", "log/a", "s/0"];
/// The one whose history is kept.
pub(super) const LOGGED: usize = 4;
/// The one that a group shares.
pub(super) const QUEUES: [&str; 2] = ["$queue/q0", "$queue/q1"];

/// Filters of which each session keeps some for good.
pub(super) const FILTERS: [&str; 6] = ["t/#", "t/+", "t/2/#", "#", "log/a", "+/0"];
/// Filters that come and go; none matches what the group shares, which is a delivery of its own.
pub(super) const PASSING: [&str; 3] = ["t/1", "log/+", "t/+/deep"];
pub(super) const GROUP: &str = "$share/g/s/0";

/// What can go wrong, and how often compared to each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    pub(super) kill: u64,
    pub(super) cut: u64,
    pub(super) half_open: u64,
    pub(super) stall: u64,
    pub(super) slow: u64,
    pub(super) full: u64,
    pub(super) reborn: u64,
    pub(super) away: u64,
}

impl Trouble {
    pub(super) const fn total(&self) -> u64 {
        self.kill + self.cut + self.half_open + self.stall + self.slow + self.full + self.reborn + self.away
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) messages: u64,
    pub(super) pause: Duration,
    pub(super) burst: u64,
    pub(super) trouble: Trouble,
    pub(super) trouble_every: Duration,
    /// How long a commit takes at most.
    pub(super) commit: Duration,
    /// The store takes each command's operations by themselves.
    pub(super) eager: bool,
    pub(super) in_flight: u16,
    /// What the server takes unacknowledged.
    pub(super) receive_maximum: u16,
    pub(super) payload: u64,
    pub(super) line: Quality,
    pub(super) out_limit: usize,
    /// Of sessions, in thousandths, that are durable.
    pub(super) durable: u64,
    pub(super) plugins: Chain,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng, messages: u64) -> Self {
        let clients = rng.range(2, 8) as usize;
        let some = |rng: &mut Rng, most: u64| if rng.chance(600) { rng.range(1, most) } else { 0 };
        let mut trouble = Trouble {
            kill: rng.range(1, 6),
            cut: some(rng, 4),
            half_open: some(rng, 2),
            stall: some(rng, 2),
            slow: some(rng, 1),
            full: some(rng, 2),
            reborn: some(rng, 2),
            away: some(rng, 2),
        };
        if rng.chance(50) {
            trouble = Trouble::default();
        }
        Self {
            clients,
            messages,
            pause: Duration::from_micros(rng.range(5_000, 40_000) * clients as u64),
            burst: rng.pick(&[1, 3, 10]),
            trouble,
            trouble_every: rng.millis(50, 800),
            commit: rng.pick(&[
                Duration::from_micros(200),
                Duration::from_millis(5),
                Duration::from_millis(60),
            ]),
            eager: rng.chance(500),
            in_flight: rng.pick(&[1, 4, 20, 1024]),
            receive_maximum: rng.pick(&[1, 5, 100]),
            payload: rng.pick(&[0, 100, 3000]),
            line: Quality {
                latency: rng.range(10_000, 15_000_000),
                jitter: rng.range(0, 5_000_000),
                per_octet: rng.pick(&[8, 100]),
                capacity: rng.pick(&[8 << 10, 64 << 10]),
                pieces: rng.pick(&[0, 50, 500]),
            },
            out_limit: rng.pick(&[8 << 10, 64 << 10]),
            durable: rng.pick(&[700, 1000]),
            plugins: Chain::None,
        }
    }
}
