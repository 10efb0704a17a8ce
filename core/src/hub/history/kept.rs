//! The messages of all topics that have a history.

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;
use core::time::Duration;

use ahash::RandomState;
use hashbrown::HashTable;

use super::super::message::{Place, Pool};
use super::super::names::Names;
use super::super::operation::Operation;
use super::super::options::HubOptions;
use super::super::rooms;
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
    /// What tells these offsets from those of an earlier history of this name.
    epoch: u64,
    /// Whether a store knows the epoch.
    told: bool,
    /// It came from a store: what was numbered behind what that has may be known to others.
    restored: bool,
    /// The epoch before this one, and the first of its offsets that mean other messages in this one.
    before: Option<(u64, u64)>,
    /// A room that has members: it stays, and counts on, even with nothing kept.
    pinned: bool,
}

#[derive(Debug)]
struct Record {
    /// In microseconds of calendar time; no other record has it.
    stamp: u64,
    value: u32,
}

impl Record {
    const fn millis(&self) -> u64 {
        self.stamp / 1000
    }
}

/// Of which topics so much is kept.
#[derive(Debug)]
struct Rule {
    options: HistoryOptions,
    /// A store is told of it.
    durable: bool,
}

impl Topic {
    /// The offsets that are kept, or twice the next one.
    pub(in crate::hub) fn kept(&self) -> Range<u64> {
        self.first..self.first + self.records.len() as u64
    }

    pub(in crate::hub) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether who has seen all of an epoch up to `offset` misses nothing that was before it here, and that
    /// this is where it is to go on.
    pub(in crate::hub) fn continues(&self, epoch: u64, offset: u64) -> bool {
        let kept = self.kept();
        let is_known =
            epoch == self.epoch || self.before.is_some_and(|(before, end)| before == epoch && offset < end);
        is_known && (kept.start..=kept.end).contains(&(offset + 1))
    }

    /// The topic itself; nothing in a freed place.
    pub(in crate::hub) fn name(&self) -> &str {
        &self.name
    }

    /// Octets of the messages' bodies.
    pub(in crate::hub) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The stamp of a message, and the message.
    pub(in crate::hub) fn get(&self, offset: u64) -> Option<(u64, u32)> {
        let at = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        self.records.get(at).map(|record| (record.stamp, record.value))
    }

    /// The offsets that a query asks for.
    pub(super) fn select(&self, query: &HistoryQuery) -> Range<u64> {
        let kept = self.kept();
        let offset = |mark| match mark {
            HistoryMark::Offset(offset) => offset.clamp(kept.start, kept.end),
            HistoryMark::Time(time) => {
                self.first + self.records.partition_point(|record| record.millis() < time) as u64
            }
            HistoryMark::Stamp(stamp) => {
                self.first + self.records.partition_point(|record| record.stamp < stamp) as u64
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
    /// Those of topics, then those of rooms.
    rules: Vec<Rule>,
    /// How many of them are of topics.
    of_topics: usize,
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
    /// The last stamp that was given.
    stamp: u64,
    epochs: Names,
}

impl Histories {
    pub(in crate::hub) fn new(options: &HubOptions, hasher: RandomState, epochs: Names) -> Self {
        let of_topics = options.history.iter().map(|o| Rule { options: o.clone(), durable: true });
        let of_rooms = options.rooms.iter().map(|o| Rule { options: o.history(), durable: false });
        Self {
            rules: of_topics.chain(of_rooms).collect(),
            of_topics: options.history.len(),
            stamp: 0,
            epochs,
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
        (self.of_topics > 0 || rooms::is_topic(topic))
            && (self.find(topic).is_some() || self.rule(topic).is_some())
    }

    /// Whether a store is told of messages of `topic`.
    pub(in crate::hub) fn stores(&self, topic: &[u8]) -> bool {
        let rule = self.find(topic).map(|slot| self.topics[slot].rule).or_else(|| self.rule(topic));
        self.of_topics > 0 && rule.is_some_and(|rule| self.rules[rule].durable)
    }

    /// Has a room's topic stay while it has members, and says its number; `None` when there are
    /// too many topics.
    pub(in crate::hub) fn pin(&mut self, pool: &mut Pool, topic: &str) -> Option<u32> {
        let slot = match self.find(topic.as_bytes()) {
            Some(slot) => slot,
            None => self.begin(pool, topic.into(), self.rule(topic.as_bytes())?, 1)?,
        };
        self.topics[slot].pinned = true;
        self.renew_epoch(pool, slot);
        Some(slot)
    }

    /// The room has no members any more: where nothing is kept it is forgotten.
    pub(in crate::hub) fn unpin(&mut self, pool: &mut Pool, slot: u32) {
        self.topics[slot].pinned = false;
        if self.topics[slot].records.is_empty() {
            self.rest(slot);
            if !self.rules[self.topics[slot].rule].durable {
                self.forget_idle(pool, slot);
            }
        }
    }

    /// What is kept of the topic at this place.
    pub(in crate::hub) fn at(&self, slot: u32) -> &Topic {
        &self.topics[slot]
    }

    /// All places of topics.
    pub(in crate::hub) const fn topics(&self) -> &Slab<Topic> {
        &self.topics
    }

    /// A stamp for now: later than all before.
    fn next_stamp(&mut self, micros: u64) -> u64 {
        self.stamp = micros.max(self.stamp + 1);
        self.stamp
    }

    /// What is kept of `topic`.
    pub(in crate::hub) fn topic(&self, topic: &[u8]) -> Option<&Topic> {
        self.find(topic).map(|slot| &self.topics[slot])
    }

    /// Keeps a message that is published now, at `micros` of calendar time, where its topic has a
    /// history, and says its place, which the message has from now on.
    ///
    /// Stamps do not go back, even if the time does: each is later than all before.
    pub(in crate::hub) fn append(&mut self, pool: &mut Pool, value: u32, micros: u64) -> Option<Place> {
        if self.rules.is_empty() {
            return None;
        }
        let message = pool.get(value);
        let (size, topic) = (u64::from(message.size()), message.topic_octets());
        let found = self.find(topic);
        let rule = found.map_or_else(|| self.rule(topic), |slot| Some(self.topics[slot].rule))?;
        let max_messages = self.rules[rule].options.max_messages as usize;
        let others = self.bytes - found.map_or(0, |slot| self.topics[slot].bytes);
        let is_too_much = others + size > self.max_bytes;
        self.refused += u64::from(is_too_much);
        if is_too_much || max_messages == 0 {
            // Members of a room count on it that none is missing between two that have numbers.
            let slot = found.filter(|slot| self.topics[*slot].pinned)?;
            return Some(self.pass_by(pool, slot, value, micros));
        }
        let slot = match found {
            Some(slot) => slot,
            None => self.begin(pool, pool.get(value).topic().into(), rule, 1)?,
        };
        self.renew_epoch(pool, slot);
        let most = self.rules[rule].options.max_bytes.min(self.max_bytes - others);
        self.trim(pool, slot, |t| t.records.len() >= max_messages || t.bytes + size > most);
        pool.share(value);
        let stamp = self.next_stamp(micros);
        let offset = self.push(slot, value, size, stamp);
        if self.rules[rule].durable && pool.log.is_on() {
            let (message, topic) = (pool.stored(value), self.topics[slot].name.clone());
            pool.log.push(Operation::Recorded { message, topic, offset, stamp });
        }
        let place = Place { epoch: self.topics[slot].epoch, offset, stamp };
        pool.set_place(value, place);
        Some(place)
    }

    /// Gives a message a number without keeping it, nor what was before it.
    fn pass_by(&mut self, pool: &mut Pool, slot: u32, value: u32, micros: u64) -> Place {
        self.renew_epoch(pool, slot);
        self.trim(pool, slot, |_| true);
        let stamp = self.next_stamp(micros);
        let t = &mut self.topics[slot];
        let (epoch, offset) = (t.epoch, t.first);
        t.first += 1;
        self.tell_first(pool, slot);
        let place = Place { epoch, offset, stamp };
        pool.set_place(value, place);
        place
    }

    /// Has the store know where the history of a topic begins.
    fn tell_first(&self, pool: &mut Pool, slot: u32) {
        let t = &self.topics[slot];
        if self.rules[t.rule].durable && pool.log.is_on() {
            pool.log.push(Operation::HistoryTrimmed { topic: t.name.clone(), first: t.first });
        }
    }

    /// A message that a store has kept. Each topic's are told in order; what the options or limits
    /// do not allow any more is not kept, which [`restored`](Self::restored) has the store know.
    pub(in crate::hub) fn restore(&mut self, pool: &mut Pool, value: u32, offset: u64, stamp: u64) {
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
        let last = self.topics[slot].records.back().map_or(0, |last| last.stamp);
        let stamp = stamp.max(last + 1);
        self.stamp = self.stamp.max(stamp);
        self.push(slot, value, u64::from(message.size()), stamp);
        pool.set_place(value, Place { epoch: self.topics[slot].epoch, offset, stamp });
    }

    /// What a store says of a topic's epoch: told before all else of the topic.
    pub(in crate::hub) fn restore_epoch(&mut self, pool: &mut Pool, topic: &str, epoch: u64) {
        if let Some(slot) = self.restore_topic(pool, topic, 1) {
            let t = &mut self.topics[slot];
            (t.epoch, t.told) = (epoch, true);
            if t.records.is_empty() {
                self.rest(slot);
            }
        }
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
        let mut all: Vec<u32> = self.names.iter().map(|key| key.slot).collect();
        all.sort_unstable();
        for slot in all {
            self.topics[slot].restored = true;
            self.tell_epoch(pool, slot);
            let rule = &self.rules[self.topics[slot].rule].options;
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
                let old =
                    t.records.front().is_some_and(|r| r.millis().saturating_add(age) <= now) && left > 0;
                left -= usize::from(old);
                old
            });
            let t = &self.topics[slot];
            if t.records.is_empty() && !t.pinned && !self.rules[t.rule].durable {
                self.forget_idle(pool, slot);
            } else {
                self.watch(slot);
            }
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
            if self.topics[slot].records.is_empty() && !self.topics[slot].pinned {
                self.forget(pool, slot);
            }
        }
        let hash = self.hasher.hash_one(name.as_bytes());
        let epoch = self.new_epoch();
        let slot = self.topics.insert(Topic { name, rule, first, epoch, ..Topic::default() });
        self.names.insert_unique(hash, Key { hash, slot }, |key| key.hash);
        self.tell_epoch(pool, slot);
        Some(slot)
    }

    /// A name for an epoch, as a varint has room for.
    fn new_epoch(&mut self) -> u64 {
        (self.epochs.next() >> 1).max(1)
    }

    /// Behind a restart, numbers can mean other messages than those that a crash had no time to store and
    /// others have seen: from the first member or message on they are of a new epoch.
    fn renew_epoch(&mut self, pool: &mut Pool, slot: u32) {
        if !self.topics[slot].restored {
            return;
        }
        let epoch = self.new_epoch();
        let t = &mut self.topics[slot];
        t.before = Some((t.epoch, t.kept().end));
        (t.epoch, t.told, t.restored) = (epoch, false, false);
        self.tell_epoch(pool, slot);
    }

    /// Has the store know a topic's epoch, if it is on and does not.
    fn tell_epoch(&mut self, pool: &mut Pool, slot: u32) {
        let t = &mut self.topics[slot];
        if !t.told && self.rules[t.rule].durable && pool.log.is_on() {
            t.told = true;
            pool.log.push(Operation::HistoryBegan { topic: t.name.clone(), epoch: t.epoch });
        }
    }

    /// Forgets a topic that is in the queue of what is empty.
    fn forget_idle(&mut self, pool: &mut Pool, slot: u32) {
        self.idle.retain(|s| *s != slot);
        self.forget(pool, slot);
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
        let Topic { name: topic, rule, .. } = self.topics.remove(slot);
        if self.rules[rule].durable {
            pool.log.push(Operation::HistoryTrimmed { topic, first: 0 });
        }
    }

    fn push(&mut self, slot: u32, value: u32, size: u64, stamp: u64) -> u64 {
        let t = &mut self.topics[slot];
        let offset = t.kept().end;
        t.records.push_back(Record { stamp, value });
        t.bytes += size;
        self.bytes += size;
        self.messages += 1;
        self.watch(slot);
        offset
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
        self.tell_first(pool, slot);
        self.gone.drain(..).for_each(|value| pool.release(value));
        if self.topics[slot].records.is_empty() {
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
            self.ages.push(Reverse((oldest.millis().saturating_add(age), slot)));
        }
    }

    /// How old messages of a topic may get, in milliseconds.
    fn age(&self, slot: u32) -> u64 {
        let age = self.rules[self.topics[slot].rule].options.max_age;
        if age == Duration::MAX { u64::MAX } else { u64::try_from(age.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The options that a topic follows, if it has a history.
    fn rule(&self, topic: &[u8]) -> Option<usize> {
        let is_room = rooms::is_topic(topic);
        let rules = if is_room { &self.rules[..] } else { &self.rules[..self.of_topics] };
        let rule = rules.iter().position(|rule| topic::is_match(rule.options.filter.as_bytes(), topic))?;
        // Those of a room are counted even where none is kept.
        (is_room || self.rules[rule].options.max_messages > 0).then_some(rule)
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
            if !t.records.iter().is_sorted_by(|a, b| a.stamp < b.stamp) {
                return Err("history: time goes back");
            }
            if self.find(t.name.as_bytes()) != Some(slot) {
                return Err("history: a topic is not found");
            }
            if t.records.is_empty() && !t.idle && !t.pinned
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
