//! Queues: each task goes to one consumer at a time until one has acknowledged it.
//!
//! A queue NAME is offered a task by publishing to `$queue/NAME`, and consumed by subscribing to
//! `$queue/NAME`: so every dialect can use it. Tasks wait in the order of their coming, with or
//! without consumers, and are given to consumers that have room, by turns, at least once. One that
//! its consumer gives back, or that its consumer is gone with, goes to the next; after
//! [`max_attempts`](super::QueueOptions::max_attempts) it goes to the queue `NAME/dead`, which is
//! like any other, but that nothing is given up in it.
//!
//! A store keeps tasks, not who has them: after a restart all of them wait.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashMap;

use super::Hub;
use super::delivery::{PublishOutcome, Refusal, SessionKey};
use super::message::Message;
use super::operation::{Operation, TaskNumber};
use super::options::{Quality, QueueOptions};
use super::outbox::{Offer, Sessions};
use super::session::Entry;
use super::slab::Slab;
use crate::access::Action;
use crate::time::Instant;
use crate::topic::{Filter, TopicError, parse_filter, validate_topic};

/// What topics of queues begin with.
const PREFIX: &str = "$queue/";
/// The name of the group that a queue's consumers are: no client can choose it, as it holds `/`.
pub(super) const CONSUMERS: &str = "/queue";
const DEAD: &str = "/dead";

/// A task, from when it was offered until it is done.
#[derive(Debug, Default)]
struct Task {
    queue: u32,
    number: TaskNumber,
    /// In the pool; a reference of it is owned here.
    message: u32,
    attempts: u32,
}

#[derive(Debug, Default)]
struct Queue {
    name: Box<str>,
    options: QueueOptions,
    /// It stays when it is empty.
    declared: bool,
    /// It was ended while consumers had tasks of it: those that come back are dropped.
    ended: bool,
    waiting: BTreeMap<TaskNumber, u32>,
    /// Tasks that consumers have.
    out: u32,
    bytes: u64,
    next: TaskNumber,
}

/// What became of a task that a session had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was acknowledged, or handed out to one that does not acknowledge.
    Done,
    /// It was not handed out.
    Unsent,
    /// It was handed out in vain.
    Tried,
}

/// All queues and their tasks.
#[derive(Debug)]
pub(super) struct Queues {
    queues: Slab<Queue>,
    names: HashMap<Box<str>, u32, RandomState>,
    tasks: Slab<Task>,
}

/// The name of the queue that a topic or filter is of.
pub(super) fn name_of(topic: &str) -> Option<&str> {
    topic.strip_prefix(PREFIX)
}

/// Whether a topic is a queue's.
#[inline]
pub(super) fn is_topic(topic: &[u8]) -> bool {
    topic.first() == Some(&b'$') && topic.starts_with(PREFIX.as_bytes())
}

/// A filter as the tables know it: consumers of a queue are a group.
pub(super) fn parse(filter: &str) -> Result<Filter<'_>, Refusal> {
    let mut parsed = parse_filter(filter)?;
    if name_of(parsed.filter).is_some() {
        if parsed.group.is_some() || !parsed.is_exact() {
            return Err(Refusal::Invalid(
                "a queue is subscribed to by its name, without wildcards or a group",
            ));
        }
        parsed.group = Some(CONSUMERS);
    }
    Ok(parsed)
}

impl Queues {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { queues: Slab::default(), names: HashMap::with_hasher(hasher), tasks: Slab::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Tasks there are, waiting or with consumers.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The messages that tasks refer to, for the invariants.
    pub(super) fn messages(&self) -> impl Iterator<Item = u32> {
        self.tasks.places().filter(|(_, task)| task.number != 0).map(|(_, task)| task.message)
    }

    /// The queue of this name; where there is none, one is made.
    fn named(&mut self, name: &str, options: QueueOptions, declared: bool) -> u32 {
        if let Some(queue) = self.names.get(name) {
            return *queue;
        }
        let queue = Queue { name: name.into(), options, declared, next: 1, ..Queue::default() };
        let queue = self.queues.insert(queue);
        self.names.insert(name.into(), queue);
        queue
    }

    /// Adds a task that waits, with a reference to its message.
    fn add(
        &mut self,
        queue: u32,
        message: u32,
        size: u32,
        attempts: u32,
        number: Option<TaskNumber>,
    ) -> TaskNumber {
        let q = &mut self.queues[queue];
        let number = number.unwrap_or(q.next);
        q.next = q.next.max(number + 1);
        q.bytes += u64::from(size);
        q.waiting.insert(number, self.tasks.insert(Task { queue, number, message, attempts }));
        number
    }

    /// Forgets a queue that has nothing and that nobody declared.
    fn tidy(&mut self, queue: u32) {
        let q = &self.queues[queue];
        if !q.name.is_empty() && !q.declared && q.waiting.is_empty() && q.out == 0 {
            let q = self.queues.remove(queue);
            self.names.remove(&q.name);
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let waiting: usize = self.queues.places().map(|(_, q)| q.waiting.len()).sum();
        let out: u32 = self.queues.places().map(|(_, q)| q.out).sum();
        if waiting + out as usize != self.tasks.len() || self.names.len() != self.queues.len() {
            return Err("queues: lost count");
        }
        Ok(())
    }
}

impl Hub {
    /// Makes a queue that stays when it is empty, or gives one other options.
    ///
    /// # Errors
    ///
    /// There is no such session or it is detached, the name is not a topic, the rules refuse, or
    /// there are [`max_queues`](super::HubOptions::max_queues).
    pub fn declare_queue(
        &mut self,
        now: Instant,
        key: SessionKey,
        name: &str,
        options: QueueOptions,
    ) -> Result<(), Refusal> {
        self.tick(now);
        self.check_queue(key, name)?;
        if !self.queues.names.contains_key(name) && self.queues.len() >= self.options.max_queues {
            return Err(Refusal::Quota("queues"));
        }
        let queue = self.queues.named(name, options, true);
        let q = &mut self.queues.queues[queue];
        (q.options, q.declared, q.ended) = (options, true, false);
        self.sessions.pool.log.push(Operation::QueueAdded { queue: name.into(), options });
        Ok(())
    }

    /// Ends a queue with all tasks that wait in it, and says how many those were; `None` if there
    /// is no such queue. Tasks that consumers have are theirs.
    ///
    /// # Errors
    ///
    /// There is no such session or it is detached, or the rules refuse.
    pub fn delete_queue(
        &mut self,
        now: Instant,
        key: SessionKey,
        name: &str,
    ) -> Result<Option<usize>, Refusal> {
        self.tick(now);
        self.check_queue(key, name)?;
        let Some(queue) = self.queues.names.get(name).copied() else { return Ok(None) };
        let q = &mut self.queues.queues[queue];
        (q.declared, q.ended) = (false, true);
        let waiting = core::mem::take(&mut q.waiting);
        let count = waiting.len();
        for task in waiting.into_values() {
            self.forget_task(task);
        }
        self.sessions.pool.log.push(Operation::QueueRemoved { queue: name.into() });
        self.queues.tidy(queue);
        Ok(Some(count))
    }

    /// How many tasks wait in a queue, and how many consumers have; `None`: no such queue.
    #[must_use]
    pub fn queue_len(&self, name: &str) -> Option<(usize, usize)> {
        let q = &self.queues.queues[*self.queues.names.get(name)?];
        Some((q.waiting.len(), q.out as usize))
    }

    /// The session's peer gives the delivery with this id back: a task goes to another consumer, or
    /// comes again; anything else is settled. Says whether there is such a delivery.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn reject(&mut self, now: Instant, key: SessionKey, id: u16) -> Result<bool, Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        let known = self.sessions.settle(index, id, false);
        self.settle_tasks(now);
        Ok(known)
    }

    fn check_queue(&mut self, key: SessionKey, name: &str) -> Result<(), Refusal> {
        let index = self.attached(key)?;
        validate_topic(name)?;
        self.allow(index, Action::Queue, || name)
    }

    /// Whether a task may be offered to a queue.
    pub(super) fn check_offer(&mut self, index: u32, message: &Message, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        self.allow(index, Action::Queue, || name)?;
        let Some(queue) = self.queues.names.get(name) else {
            let room = self.queues.len() < self.options.max_queues;
            return if room { Ok(()) } else { Err(Refusal::Quota("queues")) };
        };
        let q = &self.queues.queues[*queue];
        let room = q.waiting.len() + (q.out as usize) < q.options.max_tasks as usize
            && q.bytes + u64::from(message.size()) <= q.options.max_bytes;
        if room { Ok(()) } else { Err(Refusal::Quota("tasks of the queue")) }
    }

    /// Puts a message of the pool into the queue that its topic names.
    pub(super) fn offer_task(&mut self, now: Instant, message: u32) -> PublishOutcome {
        let m = self.sessions.pool.get(message);
        let (size, topic) = (m.size(), m.topic());
        let name = name_of(topic).unwrap_or_default();
        let queue = self.queues.named(name, self.options.queue, false);
        self.queues.queues[queue].ended = false;
        self.add_task(queue, message, size, 0);
        self.pump(now, queue, None);
        self.queues.tidy(queue);
        PublishOutcome { matched: 1, queued: 1, ..PublishOutcome::default() }
    }

    fn add_task(&mut self, queue: u32, message: u32, size: u32, attempts: u32) {
        let pool = &mut self.sessions.pool;
        pool.share(message);
        let task = self.queues.add(queue, message, size, attempts, None);
        if pool.log.is_on() {
            let message = pool.stored(message);
            let queue = self.queues.queues[queue].name.clone();
            pool.log.push(Operation::TaskAdded { queue, task, message, attempts });
        }
    }

    /// Takes a task that waited, and its message, out of everything.
    fn forget_task(&mut self, task: u32) {
        let Task { queue, number, message, .. } = self.queues.tasks.remove(task);
        let pool = &mut self.sessions.pool;
        let q = &mut self.queues.queues[queue];
        q.bytes -= u64::from(pool.get(message).size());
        pool.log.push(Operation::TaskRemoved { queue: q.name.clone(), task: number });
        pool.release(message);
    }

    /// Deals with the tasks that left sessions, then gives out what waits.
    pub(super) fn settle_tasks(&mut self, now: Instant) {
        while !self.sessions.tasks.is_empty() {
            let mut queues = Vec::new();
            for (task, session, outcome) in core::mem::take(&mut self.sessions.tasks) {
                queues.push((self.settle_task(task, outcome), session));
            }
            queues.sort_unstable();
            queues.dedup();
            for (queue, session) in queues {
                self.pump(now, queue, None);
                self.queues.tidy(queue);
                // It may have room for tasks of others now.
                if self.sessions.all[session].aside.queues > 1 {
                    self.pump_all(now, session);
                }
            }
        }
    }

    /// Deals with a task that left a session, and says which queue may have to give something out.
    fn settle_task(&mut self, task: u32, outcome: Outcome) -> u32 {
        let Task { queue, number, message, attempts } = self.queues.tasks[task];
        let q = &mut self.queues.queues[queue];
        q.out -= 1;
        let attempts = attempts + u32::from(outcome == Outcome::Tried);
        let hopeless = attempts >= q.options.max_attempts.max(1) && !q.name.ends_with(DEAD);
        if outcome == Outcome::Done || q.ended {
            self.forget_task(task);
        } else if hopeless {
            let dead = format!("{}{DEAD}", q.name);
            let size = self.sessions.pool.get(message).size();
            let to = self.queues.named(&dead, self.options.queue, false);
            self.add_task(to, message, size, 0);
            self.forget_task(task);
            self.sessions.counters.dead_letters += 1;
            self.queues.tidy(queue);
            return to;
        } else {
            q.waiting.insert(number, task);
            if outcome == Outcome::Tried {
                self.queues.tasks[task].attempts = attempts;
                let queue = q.name.clone();
                self.sessions.pool.log.push(Operation::TaskReturned { queue, task: number, attempts });
            }
        }
        queue
    }

    /// A consumer came, or has room again.
    pub(super) fn pump_filter(&mut self, now: Instant, filter: &str, consumer: u32) {
        if let Some(queue) = name_of(filter).and_then(|name| self.queues.names.get(name)) {
            self.pump(now, *queue, Some(consumer));
        }
    }

    /// Gives tasks that wait to consumers that have room.
    fn pump(&mut self, now: Instant, queue: u32, first: Option<u32>) {
        let Self { queues, sessions, subs, .. } = self;
        let Queues { queues, tasks, .. } = queues;
        let q = &mut queues[queue];
        if q.waiting.is_empty() {
            return;
        }
        let mut expired = Vec::new();
        if let Some(group) = subs.find_group(&format!("{PREFIX}{}", q.name), CONSUMERS) {
            while let Some((number, task)) = q.waiting.first_key_value().map(|(n, t)| (*n, *t)) {
                let message = tasks[task].message;
                let m = sessions.pool.get(message);
                if m.expired(now) {
                    q.waiting.remove(&number);
                    expired.push(task);
                    continue;
                }
                let size = m.size();
                let free = |s: u32| sessions.takes_task(s, size);
                let Some(t) = subs.groups[group].pick_free(first, free) else { break };
                let lane = subs.subs[t.sub].lane;
                let quality = t.quality().min(Quality::AtLeastOnce);
                let entry = Entry::new(t.sid, message, quality).of_task(task);
                if sessions.offer(t.session(), lane, entry, size) == Offer::Dropped {
                    break;
                }
                sessions.all[t.session()].aside.tasks += 1;
                q.waiting.remove(&number);
                q.out += 1;
            }
        }
        for task in expired {
            self.sessions.counters.dropped.expired += 1;
            self.forget_task(task);
        }
    }

    /// A consumer goes on: gives it what waits.
    pub(super) fn pump_all(&mut self, now: Instant, index: u32) {
        let subs = &self.sessions.all[index].aside.subs;
        let names = |(_, sub): &(u64, u32)| self.subs.queue_of(*sub, CONSUMERS);
        let filters: Vec<Box<str>> = subs.iter().filter_map(names).collect();
        for filter in filters {
            self.pump_filter(now, &filter, index);
        }
    }

    /// A consumer's connection is gone: what it was not handed goes back, and what it has not
    /// acknowledged too, unless its numbers stand.
    pub(super) fn give_tasks_back(&mut self, index: u32) {
        let s = &mut self.sessions.all[index];
        if s.aside.tasks == 0 {
            return;
        }
        let mut back = s.extract(|e| e.is_task());
        if s.by_id {
            back.extend(s.unacked.iter().filter(|e| e.is_task()));
            s.unacked.retain(|e| !e.is_task());
        }
        for entry in back {
            self.sessions.forget(index, entry);
        }
    }

    /// The store has this task.
    pub(super) fn restore_task(&mut self, name: &str, number: TaskNumber, message: u32, attempts: u32) {
        let queue = self.queues.named(name, self.options.queue, false);
        self.sessions.pool.share(message);
        let size = self.sessions.pool.get(message).size();
        self.queues.add(queue, message, size, attempts, Some(number));
    }

    /// The store has this queue.
    pub(super) fn restore_queue(&mut self, name: &str, options: QueueOptions) {
        let queue = self.queues.named(name, options, true);
        let q = &mut self.queues.queues[queue];
        (q.options, q.declared) = (options, true);
    }
}

impl Sessions {
    /// Whether a consumer can be given another task: no more than it may have in flight, so that
    /// what it has not begun with is there for others.
    fn takes_task(&self, session: u32, size: u32) -> bool {
        let s = &self.all[session];
        s.has_room(size) && s.aside.tasks < s.window
    }
}
