//! What a world of rooms is like.

use std::time::Duration;

use bowline_core::hub::RoomPolicy;

use crate::pipe::Quality;
use crate::rng::Rng;

/// The room of all.
pub(super) const ROOM: &str = "lobby";

/// What can go wrong, and how often compared to each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    pub(super) kill: u64,
    pub(super) cut: u64,
    pub(super) half_open: u64,
    pub(super) stall: u64,
    pub(super) lazy: u64,
    pub(super) away: u64,
}

impl Trouble {
    pub(super) const fn total(&self) -> u64 {
        self.kill + self.cut + self.half_open + self.stall + self.lazy + self.away
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Members over our own protocol, and pages.
    pub(super) own: usize,
    pub(super) pages: usize,
    pub(super) messages: u64,
    pub(super) policy: RoomPolicy,
    /// So many messages of the room may wait for a member.
    pub(super) max_waiting: u32,
    /// So many are kept.
    pub(super) kept: u32,
    pub(super) pause: Duration,
    pub(super) burst: u64,
    pub(super) payload: u64,
    pub(super) trouble: Trouble,
    pub(super) trouble_every: Duration,
    pub(super) commit: Duration,
    pub(super) eager: bool,
    /// How long a session of our own protocol outlives its connection.
    pub(super) expiry: Duration,
    pub(super) credit: Option<u64>,
    pub(super) line: Quality,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng, messages: u64) -> Self {
        let some = |rng: &mut Rng, most: u64| if rng.chance(600) { rng.range(1, most) } else { 0 };
        let trouble = Trouble {
            kill: rng.range(1, 4),
            cut: rng.range(1, 4),
            half_open: some(rng, 2),
            stall: some(rng, 2),
            lazy: some(rng, 2),
            away: some(rng, 2),
        };
        Self {
            own: rng.range(1, 4) as usize,
            pages: rng.range(1, 3) as usize,
            messages,
            policy: rng.pick(&[
                RoomPolicy::Session,
                RoomPolicy::Session,
                RoomPolicy::Session,
                RoomPolicy::DropOldest,
                RoomPolicy::KeepLatest,
                RoomPolicy::Disconnect,
                RoomPolicy::SlowPublisher,
            ]),
            max_waiting: rng.pick(&[4, 30, 256]),
            kept: rng.pick(&[20, 1_000_000, 1_000_000]),
            pause: Duration::from_micros(rng.range(10_000, 100_000)),
            burst: rng.pick(&[1, 3, 20]),
            payload: rng.pick(&[0, 100, 3000]),
            trouble,
            trouble_every: rng.millis(100, 1500),
            commit: rng.pick(&[
                Duration::from_micros(200),
                Duration::from_millis(5),
                Duration::from_millis(60),
            ]),
            eager: rng.chance(500),
            expiry: rng.pick(&[Duration::from_secs(3600), Duration::from_secs(2), Duration::ZERO]),
            credit: rng.pick(&[None, Some(1), Some(4000)]),
            line: Quality {
                latency: rng.range(10_000, 15_000_000),
                jitter: rng.range(0, 5_000_000),
                per_octet: rng.pick(&[8, 100]),
                capacity: rng.pick(&[8 << 10, 64 << 10]),
                pieces: rng.pick(&[0, 50, 500]),
            },
        }
    }

    /// Whether nobody is ever given less than the room has.
    pub(super) const fn is_lossless(&self) -> bool {
        self.kept > 1000 && matches!(self.policy, RoomPolicy::Session | RoomPolicy::Disconnect)
    }
}
