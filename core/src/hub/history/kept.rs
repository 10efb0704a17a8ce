//! The messages of all topics that have a history.

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;
use core::time::Duration;

use ahash::RandomState;
use hashbrown::HashTable;

use super::super::message::Pool;
use super::super::operation::Operation;
use super::super::options::HubOptions;
use super::super::slab::Slab;
use super::{HistoryMark, HistoryOptions, HistoryQuery};
use crate::topic;

/// No topic comes near it; what a damaged store says beyond is left out.
const LAST_OFFSET: u64 = 1 << 62;

/// What is kept of a topic.
#[derive(Debug, Default)]
pub(in crate::hub) struct Topic {
    name: Box<str>,
    /// Which of the options it follows.
    rule: usize,
    /// The offset of the oldest that is kept, or of the next one.
    first: u64,
    records: VecDeque<Record>,
    bytes: u64,
    /// Whether it is in the queue of what gets too old.
    ages: bool,
    /// Whether it is in the queue of what is empty.
    idle: bool,
}

#[derive(Debug)]
struct Record {
    at: u64,
    value: u32,
}

impl Topic {
    pub(super) fn kept(&self) -> Range<u64> {
        self.first..self.first + self.records.len() as u64
    }

    /// When a message was published, and the message.
    pub(super) fn get(&self, offset: u64) -> Option<(u64, u32)> {
        let at = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        self.records.get(at).map(|record| (record.at, record.value))
    }

    /// The offsets that a query asks for.
    pub(super) fn select(&self, query: &HistoryQuery) -> Range<u64> {
        let kept = self.kept();
        let offset = |mark| match mark {
            HistoryMark::Offset(offset) => offset.clamp(kept.start, kept.end),
            HistoryMark::Time(time) => {
                self.first + self.records.partition_point(|record| record.at < time) as u64
            }
        };
        let end = query.before.map_or(kept.end, offset);
        let start = query.from.map_or(kept.start, offset).min(end);
        let count = query.limit.unwrap_or(u64::MAX).min(end - start);
        if query.newest { end - count..end } else { start..start + count }
    }
}

/// A topic's place, and the hash that it is found by.
#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u64,
    slot: u32,
}

/// All that is kept. It owns a reference to each message in the pool, and tells the pool's log
/// what a store has to do.
#[derive(Debug)]
pub(in crate::hub) struct Histories {
    rules: Vec<HistoryOptions>,
    max_topics: usize,
    max_bytes: u64,
    topics: Slab<Topic>,
    names: HashTable<Key>,
    hasher: RandomState,
    messages: u64,
    bytes: u64,
    /// Topics whose messages get too old, and when the oldest is or was: each topic once.
    ages: BinaryHeap<Reverse<(u64, u32)>>,
    /// Topics of which nothing was left, each once: there may be messages again.
    idle: VecDeque<u32>,
    refused: u64,
    /// Topics that a store has and that are not kept any more, and their next offsets.
    left_out: Vec<(Box<str>, u64)>,
    /// What is dropped at the moment.
    gone: Vec<u32>,
}

impl Histories {
    pub(in crate::hub) fn new(options: &HubOptions, hasher: RandomState) -> Self {
        Self {
            rules: options.history.clone(),
            max_topics: options.max_history_topics,
            max_bytes: options.max_history_bytes,
            topics: Slab::default(),
            names: HashTable::new(),
            hasher,
            messages: 0,
            bytes: 0,
            ages: BinaryHeap::new(),
            idle: VecDeque::new(),
            refused: 0,
            left_out: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// How many messages are kept.
    pub(in crate::hub) const fn len(&self) -> u64 {
        self.messages
    }

    /// Octets of their bodies.
    pub(in crate::hub) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages were not kept because there were too many topics or octets in all.
    pub(in crate::hub) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether messages of `topic` are kept.
    #[inline]
    pub(in crate::hub) fn keeps(&self, topic: &[u8]) -> bool {
        !self.rules.is_empty() && (self.find(topic).is_some() || self.rule(topic).is_some())
    }

    /// What is kept of `topic`.
    pub(super) fn topic(&self, topic: &[u8]) -> Option<&Topic> {
        self.find(topic).map(|slot| &self.topics[slot])
    }

    /// Keeps a message that was published at `at`, where its topic has a history, and says its
    /// offset.
    ///
    /// Time does not go back within a topic: a message is at least as late as the one before.
    pub(in crate::hub) fn append(&mut self, pool: &mut Pool, value: u32, at: u64) -> Option<u64> {
        if self.rules.is_empty() {
            return None;
        }
        let message = pool.get(value);
        let (size, topic) = (u64::from(message.size()), message.topic_octets());
        let found = self.find(topic);
        let rule = found.map_or_else(|| self.rule(topic), |slot| Some(self.topics[slot].rule))?;
        let others = self.bytes - found.map_or(0, |slot| self.topics[slot].bytes);
        if others + size > self.max_bytes {
            self.refused += 1;
            return None;
        }
        let slot = match found {
            Some(slot) => slot,
            None => self.begin(pool, pool.get(value).topic().into(), rule, 1)?,
        };
        let max_messages = self.rules[rule].max_messages as usize;
        let most = self.rules[rule].max_bytes.min(self.max_bytes - others);
        self.trim(pool, slot, |t| t.records.len() >= max_messages || t.bytes + size > most);
        pool.share(value);
        let (offset, at) = self.push(slot, value, size, at);
        if pool.log.is_on() {
            let (message, topic) = (pool.stored(value), self.topics[slot].name.clone());
            pool.log.push(Operation::Recorded { message, topic, offset, at });
        }
        Some(offset)
    }

    /// A message that a store has kept. Each topic's are told in order; what the options or limits
    /// do not allow any more is not kept, which [`restored`](Self::restored) has the store know.
    pub(in crate::hub) fn restore(&mut self, pool: &mut Pool, value: u32, offset: u64, at: u64) {
        let message = pool.get(value).clone();
        if offset > LAST_OFFSET {
            return;
        }
        let Some(slot) = self.restore_topic(pool, message.topic(), offset) else {
            return match self.left_out.last_mut() {
                Some((topic, next)) if **topic == *message.topic() => *next = offset + 1,
                _ => self.left_out.push((message.topic().into(), offset + 1)),
            };
        };
        let next = self.topics[slot].kept().end;
        if offset < next {
            return;
        }
        if offset > next {
            // Some between are missing: what comes after them is what there is.
            self.trim(pool, slot, |_| true);
            self.topics[slot].first = offset;
        }
        pool.share(value);
        self.push(slot, value, u64::from(message.size()), at);
    }

    /// Where the history of a topic begins in the store: of one of which nothing is left, what its
    /// next message's offset is. 0: it was forgotten.
    pub(in crate::hub) fn restore_first(&mut self, pool: &mut Pool, topic: &str, first: u64) {
        let is_forgotten = first == 0 && self.find(topic.as_bytes()).is_none();
        let first = first.max(1);
        if is_forgotten || first > LAST_OFFSET {
            return;
        }
        let Some(slot) = self.restore_topic(pool, topic, first) else { return };
        self.trim(pool, slot, |t| t.first < first);
        if self.topics[slot].records.is_empty() {
            self.topics[slot].first = first;
            self.rest(slot);
        }
    }

    /// All was told: what is too much by now goes, with the log on.
    pub(in crate::hub) fn restored(&mut self, pool: &mut Pool) {
        for (topic, first) in core::mem::take(&mut self.left_out) {
            pool.log.push(Operation::HistoryTrimmed { topic, first });
        }
        let all: Vec<u32> = self.names.iter().map(|key| key.slot).collect();
        for slot in all {
            let rule = &self.rules[self.topics[slot].rule];
            let (max_messages, max_bytes) = (rule.max_messages as usize, rule.max_bytes);
            let over = self.bytes.saturating_sub(self.max_bytes);
            let most = max_bytes.min(self.topics[slot].bytes.saturating_sub(over));
            self.trim(pool, slot, |t| {
                t.records.len() > max_messages || (t.bytes > most && t.records.len() > 1)
            });
        }
    }

    /// When the oldest message of any topic is too old, or earlier.
    pub(in crate::hub) fn next_age(&self) -> Option<u64> {
        self.ages.peek().map(|Reverse((due, _))| *due)
    }

    /// Drops what is too old at `now`, at most `most` messages and as many topics.
    pub(in crate::hub) fn drop_old(&mut self, pool: &mut Pool, now: u64, most: usize) {
        let mut left = most;
        for _ in 0..most {
            let Some(Reverse((due, slot))) = self.ages.peek().copied() else { break };
            if due > now || left == 0 {
                break;
            }
            self.ages.pop();
            self.topics[slot].ages = false;
            let age = self.age(slot);
            self.trim(pool, slot, |t| {
                let old = t.records.front().is_some_and(|r| r.at.saturating_add(age) <= now) && left > 0;
                left -= usize::from(old);
                old
            });
            self.watch(slot);
        }
    }

    /// Begins the history of a topic; an empty one makes room where there are too many.
    fn begin(&mut self, pool: &mut Pool, name: Box<str>, rule: usize, first: u64) -> Option<u32> {
        while self.names.len() >= self.max_topics {
            let Some(slot) = self.idle.pop_front() else {
                self.refused += 1;
                return None;
            };
            self.topics[slot].idle = false;
            if self.topics[slot].records.is_empty() {
                self.forget(pool, slot);
            }
        }
        let hash = self.hasher.hash_one(name.as_bytes());
        let slot = self.topics.insert(Topic { name, rule, first, ..Topic::default() });
        self.names.insert_unique(hash, Key { hash, slot }, |key| key.hash);
        Some(slot)
    }

    fn restore_topic(&mut self, pool: &mut Pool, name: &str, first: u64) -> Option<u32> {
        if let Some(slot) = self.find(name.as_bytes()) {
            return Some(slot);
        }
        let rule = self.rule(name.as_bytes())?;
        self.begin(pool, name.into(), rule, first)
    }

    /// Forgets a topic of which nothing is left.
    fn forget(&mut self, pool: &mut Pool, slot: u32) {
        let hash = self.hasher.hash_one(self.topics[slot].name.as_bytes());
        if let Ok(entry) = self.names.find_entry(hash, |key| key.slot == slot) {
            entry.remove();
        }
        if self.topics[slot].ages {
            self.ages.retain(|Reverse((_, s))| *s != slot);
        }
        let topic = self.topics.remove(slot).name;
        pool.log.push(Operation::HistoryTrimmed { topic, first: 0 });
    }

    fn push(&mut self, slot: u32, value: u32, size: u64, at: u64) -> (u64, u64) {
        let t = &mut self.topics[slot];
        let at = t.records.back().map_or(at, |last| last.at.max(at));
        let offset = t.kept().end;
        t.records.push_back(Record { at, value });
        t.bytes += size;
        self.bytes += size;
        self.messages += 1;
        self.watch(slot);
        (offset, at)
    }

    /// Drops the oldest of a topic while `is_over` says so, and tells the store.
    fn trim(&mut self, pool: &mut Pool, slot: u32, mut is_over: impl FnMut(&Topic) -> bool) {
        let t = &mut self.topics[slot];
        let before = t.first;
        while !t.records.is_empty() && is_over(t) {
            let Some(Record { value, .. }) = t.records.pop_front() else { break };
            let size = u64::from(pool.get(value).size());
            t.first += 1;
            t.bytes -= size;
            self.bytes -= size;
            self.messages -= 1;
            self.gone.push(value);
        }
        if t.first == before {
            return;
        }
        if t.records.len() < t.records.capacity() / 4 {
            t.records.shrink_to(t.records.len() * 2);
        }
        // The store must not lose a message that it still has in a history.
        if pool.log.is_on() {
            pool.log.push(Operation::HistoryTrimmed { topic: t.name.clone(), first: t.first });
        }
        self.gone.drain(..).for_each(|value| pool.release(value));
        if t.records.is_empty() {
            self.rest(slot);
        }
    }

    /// Puts a topic of which nothing is left where room may be made.
    fn rest(&mut self, slot: u32) {
        if !core::mem::replace(&mut self.topics[slot].idle, true) {
            self.idle.push_back(slot);
        }
    }

    /// Has a topic looked at when its oldest message is too old.
    fn watch(&mut self, slot: u32) {
        let age = self.age(slot);
        let t = &mut self.topics[slot];
        if let Some(oldest) = t.records.front()
            && age < u64::MAX
            && !t.ages
        {
            t.ages = true;
            self.ages.push(Reverse((oldest.at.saturating_add(age), slot)));
        }
    }

    /// How old messages of a topic may get, in milliseconds.
    fn age(&self, slot: u32) -> u64 {
        let age = self.rules[self.topics[slot].rule].max_age;
        if age == Duration::MAX { u64::MAX } else { u64::try_from(age.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The options that a topic follows, if it has a history.
    fn rule(&self, topic: &[u8]) -> Option<usize> {
        let rule = self.rules.iter().position(|rule| topic::is_match(rule.filter.as_bytes(), topic))?;
        (self.rules[rule].max_messages > 0).then_some(rule)
    }

    fn find(&self, topic: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(topic);
        let is = |key: &Key| key.hash == hash && self.topics[key.slot].name.as_bytes() == topic;
        self.names.find(hash, is).map(|key| key.slot)
    }

    /// The references to messages that it holds, for the hub's invariants.
    pub(in crate::hub) fn values(&self) -> impl Iterator<Item = u32> {
        let topics = self.names.iter().map(|key| &self.topics[key.slot]);
        topics.flat_map(|topic| topic.records.iter().map(|record| record.value))
    }

    /// Checks all against all, for the hub's invariants.
    pub(in crate::hub) fn check(&self, pool: &Pool) -> Result<(), &'static str> {
        let (mut messages, mut bytes) = (0, 0);
        for (slot, t) in self.topics.places().filter(|(_, t)| !t.name.is_empty()) {
            let sizes = t.records.iter().map(|record| u64::from(pool.get(record.value).size()));
            if t.bytes != sizes.sum::<u64>() {
                return Err("history: lost count of a topic's octets");
            }
            if t.records.iter().any(|record| pool.get(record.value).topic() != &*t.name) {
                return Err("history: a message is not of its topic");
            }
            if !t.records.iter().is_sorted_by_key(|record| record.at) {
                return Err("history: time goes back");
            }
            if self.find(t.name.as_bytes()) != Some(slot) {
                return Err("history: a topic is not found");
            }
            if t.records.is_empty() && !t.idle
                || self.age(slot) < u64::MAX && !t.records.is_empty() && !t.ages
            {
                return Err("history: a topic is forgotten in a queue");
            }
            messages += t.records.len() as u64;
            bytes += t.bytes;
        }
        if (messages, bytes) != (self.messages, self.bytes) {
            return Err("history: lost count of messages or octets");
        }
        if self.names.len() != self.topics.len() || self.names.len() > self.max_topics {
            return Err("history: lost count of topics");
        }
        if self.ages.len() > self.topics.len() || self.idle.len() > self.topics.len() {
            return Err("history: a topic is twice in a queue");
        }
        Ok(())
    }
}
