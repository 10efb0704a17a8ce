//! Retained messages: the last value of each topic.
//!
//! A value is a message's index in the hub's [`Pool`], and one reference of it is owned here. No
//! topic is stored again: the text that tables and tree compare with is that of the messages.

mod tree;
mod walk;

#[cfg(test)]
mod tests;

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use ahash::RandomState;
use hashbrown::HashTable;

use super::message::Pool;
use super::slab::{NONE, Slab};
use crate::time::Instant;
use tree::{Key, Node, Tree};
pub(super) use walk::{Walk, Walked};

/// The last value of each topic, found by topic and by filter.
#[derive(Debug)]
pub(super) struct Retained {
    tree: Tree,
    topics: HashTable<Key>,
    hasher: RandomState,
    bytes: u64,
    /// How many values were ever set: each has its number.
    serial: u64,
    expiring: Expiring,
}

impl Retained {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            tree: Tree::new(hasher.clone()),
            topics: HashTable::new(),
            hasher,
            bytes: 0,
            serial: 0,
            expiring: Expiring::default(),
        }
    }

    /// How many topics have a value.
    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Octets of all their messages' bodies.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value of `topic`.
    pub(super) fn get(&self, pool: &Pool, topic: &[u8]) -> Option<u32> {
        self.find(pool, self.hash(topic), topic).map(|slot| self.tree.value(slot))
    }

    /// Makes the message `value` the last of its topic, and gives back the one before.
    ///
    /// The reference to `value` is the caller's to give, that to the one before the caller's to
    /// release.
    pub(super) fn set(&mut self, pool: &Pool, value: u32) -> Option<u32> {
        let message = pool.get(value);
        let topic = message.topic_octets();
        let hash = self.hash(topic);
        self.serial += 1;
        self.bytes += u64::from(message.size());
        let slot = self.find(pool, hash, topic);
        let (slot, old) = if let Some(slot) = slot {
            let old = self.tree.set(slot, value, self.serial);
            self.left(pool, old);
            (slot, Some(old))
        } else {
            let slot = self.tree.insert(pool, topic, value, self.serial);
            self.topics.insert_unique(Key::spread(hash), Key { hash, node: slot }, |k| Key::spread(k.hash));
            (slot, None)
        };
        if let Some(at) = message.expires() {
            self.expiring.push(at, self.serial, slot);
        }
        self.expiring.tidy(&self.tree);
        old
    }

    /// Takes the value of `topic` away and gives it back.
    pub(super) fn clear(&mut self, pool: &Pool, topic: &[u8]) -> Option<u32> {
        let slot = self.find(pool, self.hash(topic), topic)?;
        let value = self.remove(pool, slot);
        self.expiring.tidy(&self.tree);
        Some(value)
    }

    /// When the next value expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiring.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one value away that has expired at `now`, and gives it back.
    pub(super) fn pop_expired(&mut self, pool: &Pool, now: Instant) -> Option<u32> {
        if self.next_expiry()? > now {
            return None;
        }
        let Reverse((_, _, slot)) = self.expiring.heap.pop()?;
        let value = self.remove(pool, slot);
        self.expiring.tidy(&self.tree);
        Some(value)
    }

    /// What matches `filter` (without `$share/GROUP/`) and was set before now: to be handed out
    /// bit by bit. It costs no time until then, and never holds up the hub.
    pub(super) fn walk(&self, filter: &str) -> Walk {
        Walk::new(filter, self.serial)
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = u32> {
        self.topics.iter().map(|key| self.tree.value(key.node))
    }

    /// All places of the tree.
    pub(super) const fn nodes(&self) -> &Slab<Node> {
        self.tree.nodes()
    }

    /// The value at a place of the tree.
    pub(super) fn at(&self, node: u32) -> Option<u32> {
        Some(self.tree.value(node)).filter(|value| *value != NONE)
    }

    fn remove(&mut self, pool: &Pool, slot: u32) -> u32 {
        let value = self.tree.value(slot);
        let hash = self.hash(pool.get(value).topic_octets());
        if let Ok(entry) = self.topics.find_entry(Key::spread(hash), |k| k.node == slot) {
            entry.remove();
        }
        self.tree.remove(slot);
        self.left(pool, value);
        value
    }

    /// Counts a value out.
    fn left(&mut self, pool: &Pool, value: u32) {
        let message = pool.get(value);
        self.bytes -= u64::from(message.size());
        self.expiring.live -= usize::from(message.expires().is_some());
    }

    fn find(&self, pool: &Pool, hash: u32, topic: &[u8]) -> Option<u32> {
        let is = |k: &Key| k.hash == hash && pool.get(self.tree.value(k.node)).topic_octets() == topic;
        self.topics.find(Key::spread(hash), is).map(|key| key.node)
    }

    fn hash(&self, topic: &[u8]) -> u32 {
        self.hasher.hash_one(topic) as u32
    }

    /// Checks all against all, for the hub's invariants.
    pub(super) fn check(&self, pool: &Pool) -> Result<(), &'static str> {
        let all = || self.values().map(|value| pool.get(value));
        if self.bytes != all().map(|m| u64::from(m.size())).sum::<u64>() {
            return Err("retained: lost count of the octets");
        }
        if self.expiring.live != all().filter(|m| m.expires().is_some()).count() {
            return Err("retained: lost count of what expires");
        }
        if self.expiring.heap.len() > Expiring::TIDY_FROM.max(2 * self.expiring.live) {
            return Err("retained: too many that have expired are remembered");
        }
        if all().any(|m| self.get(pool, m.topic_octets()).is_none()) {
            return Err("retained: a topic is not found");
        }
        self.tree.check(pool, self.len())
    }
}

/// The values that expire, soonest first; what was replaced or cleared is passed over when it comes
/// up, or earlier where there is too much of it.
#[derive(Debug, Default)]
struct Expiring {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    /// How many of them are there still.
    live: usize,
}

impl Expiring {
    /// Below so many entries the heap is not worth tidying.
    const TIDY_FROM: usize = 64;

    fn push(&mut self, at: Instant, serial: u64, slot: u32) {
        self.live += 1;
        self.heap.push(Reverse((at, serial, slot)));
    }

    /// Forgets what is gone, so that the first is one that is there.
    fn tidy(&mut self, tree: &Tree) {
        if self.heap.len() > Self::TIDY_FROM.max(2 * self.live) {
            self.heap.retain(|Reverse((_, serial, slot))| tree.serial(*slot) == *serial);
        }
        while let Some(Reverse((_, serial, slot))) = self.heap.peek() {
            if tree.serial(*slot) == *serial {
                break;
            }
            self.heap.pop();
        }
    }
}
