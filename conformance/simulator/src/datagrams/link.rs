//! A path that datagrams take: slow, narrow, lossy, and not careful with order and contents.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bowline_core::datagram::Ecn;

use crate::rng::Rng;

/// What a path does with datagrams that take part in ECN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marks {
    /// It leaves their marks as they are.
    #[default]
    Kept,
    /// It takes them off.
    Cleared,
    /// It loses them.
    Lost,
}

/// What one direction of a path does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Each takes at least so long.
    pub delay: Duration,
    /// And up to so much more, so that they overtake each other.
    pub jitter: Duration,
    /// So many of 10,000 are lost.
    pub loss: u64,
    /// So many of 10,000 come twice.
    pub duplication: u64,
    /// In so many of 10,000 a bit is wrong.
    pub corruption: u64,
    /// Octets a second that go through; 0: any number.
    pub rate: u64,
    /// Octets that wait for that; more are lost.
    pub queue: u64,
    /// Where more octets wait, those that take part in ECN are marked.
    pub mark_above: u64,
    /// What it does with such marks.
    pub marks: Marks,
    /// Larger ones are lost.
    pub mtu: usize,
}

impl Path {
    /// A path that only takes its time.
    #[must_use]
    pub const fn clean(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            corruption: 0,
            rate: 0,
            queue: u64::MAX,
            mark_above: u64::MAX,
            marks: Marks::Kept,
            mtu: 65_507,
        }
    }

    /// One that loses so many of 10,000 as well.
    #[must_use]
    pub const fn lossy(delay: Duration, loss: u64) -> Self {
        Self { loss, ..Self::clean(delay) }
    }
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flying {
    /// Whom it seems to be from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What its IP header says.
    pub ecn: Ecn,
    /// What is in it.
    pub octets: Vec<u8>,
}

/// One direction of a path, with what is on it.
#[derive(Debug)]
pub struct Link {
    /// What it does from now on.
    pub path: Path,
    rng: Rng,
    /// When what is in the queue has gone through, in nanoseconds.
    free_at: u64,
    flying: BTreeMap<(u64, u64), Flying>,
    order: u64,
}

impl Link {
    /// An empty one, whose dice follow from `seed`.
    #[must_use]
    pub const fn new(path: Path, seed: u64) -> Self {
        Self { path, rng: Rng::new(seed), free_at: 0, flying: BTreeMap::new(), order: 0 }
    }

    /// Puts a datagram on its way at `now`, in nanoseconds.
    pub fn send(&mut self, now: u64, mut datagram: Flying) {
        let size = datagram.octets.len();
        if size > self.path.mtu || self.rng.below(10_000) < self.path.loss {
            return;
        }
        let takes_part = datagram.ecn != Ecn::NotEct;
        match self.path.marks {
            Marks::Lost if takes_part => return,
            Marks::Cleared => datagram.ecn = Ecn::NotEct,
            Marks::Kept | Marks::Lost => {}
        }
        let mut at = now;
        if self.path.rate > 0 {
            let waiting = self.free_at.saturating_sub(now);
            let queued = u128::from(waiting) * u128::from(self.path.rate) / 1_000_000_000;
            if queued > u128::from(self.path.queue) {
                return;
            }
            if queued > u128::from(self.path.mark_above) && datagram.ecn != Ecn::NotEct {
                datagram.ecn = Ecn::Ce;
            }
            self.free_at = self.free_at.max(now) + size as u64 * 1_000_000_000 / self.path.rate;
            at = self.free_at;
        }
        at += self.path.delay.as_nanos() as u64;
        if self.rng.below(10_000) < self.path.corruption && size > 0 {
            let bit = self.rng.below(size as u64 * 8) as usize;
            datagram.octets[bit / 8] ^= 1 << (bit % 8);
        }
        if self.rng.below(10_000) < self.path.duplication {
            let later = at + self.jitter();
            self.put(later, datagram.clone());
        }
        let at = at + self.jitter();
        self.put(at, datagram);
    }

    fn jitter(&mut self) -> u64 {
        self.rng.below(self.path.jitter.as_nanos() as u64 + 1)
    }

    fn put(&mut self, at: u64, datagram: Flying) {
        self.order += 1;
        self.flying.insert((at, self.order), datagram);
    }

    /// When the next one arrives, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// One that has arrived by `now`.
    pub fn arrive(&mut self, now: u64) -> Option<Flying> {
        let first = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }
}
