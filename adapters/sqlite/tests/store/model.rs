//! What a store is measured against: the state as plain maps, and a hub's way of issuing operations.

#![allow(clippy::manual_is_multiple_of)] // Choices by remainder read alike.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_core::hub::{
    Layout, Message, Operation, Quality, QueueOptions, RetainHandling, SubscribeOptions,
};
use bowline_core::time::Instant;
use bowline_driver::store::Calendar;

/// The clocks of all tests.
pub(crate) const CALENDAR: Calendar =
    Calendar { now: Instant::from_millis(50_000), unix_ms: 1_700_000_000_000 };

/// Deliveries' numbers begin again at 0 after so many.
const NUMBERS: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq)]
struct Delivery {
    number: u32,
    message: u64,
    sid: u64,
    others: Box<[u64]>,
    quality: Quality,
    retain: bool,
    released: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    name: Box<str>,
    identity: Box<str>,
    expiry: Duration,
    ends: Option<Instant>,
    will: Option<(u64, Duration)>,
    subscriptions: BTreeMap<u64, (Box<str>, SubscribeOptions)>,
    deliveries: Vec<Delivery>,
    sent: Option<u32>,
    received: BTreeSet<u16>,
}

/// What operations lead to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    messages: BTreeMap<u64, Message>,
    sessions: BTreeMap<u64, Session>,
    retained: BTreeMap<Box<str>, u64>,
    queues: BTreeMap<Box<str>, QueueOptions>,
    tasks: BTreeMap<(Box<str>, u64), (u64, u32)>,
    history: BTreeMap<(Box<str>, u64), (u64, u64)>,
    begins: BTreeMap<Box<str>, u64>,
    epochs: BTreeMap<Box<str>, u64>,
}

impl Model {
    /// The state after these.
    pub(crate) fn of<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut model = Self::default();
        model.apply_all(operations);
        model
    }

    pub(crate) fn apply_all<'a>(&mut self, operations: impl IntoIterator<Item = &'a Operation>) {
        operations.into_iter().for_each(|operation| self.apply(operation));
    }

    /// What can be seen of it: where something is left of a history, that says where it begins.
    pub(crate) fn seen(mut self) -> Self {
        let Self { history, begins, epochs, .. } = &mut self;
        epochs.retain(|topic, _| begins.get(topic).is_some_and(|first| *first > 0));
        begins.retain(|topic, _| !history.keys().any(|(of, _)| of == topic));
        self.messages.remove(&0);
        self
    }

    /// How much there is of all.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
            + self.sessions.len()
            + self.retained.len()
            + self.tasks.len()
            + self.history.len()
    }

    fn session(&mut self, session: u64) -> &mut Session {
        self.sessions.get_mut(&session).expect("a session that there is")
    }

    fn delivery(&mut self, session: u64, number: u32) -> Option<&mut Delivery> {
        self.session(session).deliveries.iter_mut().find(|delivery| delivery.number == number)
    }

    /// Does what an operation says; what is done a second time changes nothing.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::SessionCreated { session, name, identity, expiry } => {
                self.sessions.insert(session, Session { name, identity, expiry, ..Session::default() });
            }
            Operation::SessionRemoved { session } => drop(self.sessions.remove(&session)),
            Operation::MessageAdded { message, content } => drop(self.messages.insert(message, content)),
            Operation::MessageRemoved { message } => drop(self.messages.remove(&message)),
            Operation::Retained { message, topic } => drop(self.retained.insert(topic, message)),
            Operation::RetainedRemoved { topic } => drop(self.retained.remove(&topic)),
            Operation::QueueAdded { queue, options } => drop(self.queues.insert(queue, options)),
            Operation::QueueRemoved { queue } => {
                self.tasks.retain(|(of, _), _| *of != queue);
                self.queues.remove(&queue);
            }
            Operation::TaskAdded { queue, task, message, attempts } => {
                self.tasks.insert((queue, task), (message, attempts));
            }
            Operation::TaskReturned { queue, task, attempts } => {
                if let Some(kept) = self.tasks.get_mut(&(queue, task)) {
                    kept.1 = attempts;
                }
            }
            Operation::TaskRemoved { queue, task } => drop(self.tasks.remove(&(queue, task))),
            Operation::Recorded { message, topic, offset, stamp } => {
                self.history.insert((topic, offset), (message, stamp));
            }
            Operation::HistoryBegan { topic, epoch } => {
                let first = self.begins.entry(topic.clone()).or_insert(1);
                *first = (*first).max(1);
                self.epochs.insert(topic, epoch);
            }
            Operation::HistoryTrimmed { topic, first } => {
                self.history.retain(|(of, offset), _| *of != topic || *offset >= first);
                self.begins.insert(topic, first);
            }
            other => self.apply_session(other),
        }
    }

    fn apply_session(&mut self, operation: Operation) {
        match operation {
            Operation::SessionChanged { session, expiry, ends } => {
                (self.session(session).expiry, self.session(session).ends) = (expiry, ends);
            }
            Operation::WillChanged { session, will } => self.session(session).will = will,
            Operation::SubscriptionAdded { session, sid, filter, options } => {
                self.session(session).subscriptions.insert(sid, (filter, options));
            }
            Operation::SubscriptionRemoved { session, sid } => {
                self.session(session).subscriptions.remove(&sid);
            }
            Operation::Queued { session, number, message, sid, others, quality, retain } => {
                let new = Delivery { number, message, sid, others, quality, retain, released: false };
                match self.delivery(session, number) {
                    Some(old) => *old = new,
                    None => self.session(session).deliveries.push(new),
                }
            }
            Operation::Dequeued { session, number } => {
                self.session(session).deliveries.retain(|delivery| delivery.number != number);
            }
            Operation::Sent { session, number } => self.session(session).sent = Some(number),
            Operation::Released { session, number } => {
                if let Some(delivery) = self.delivery(session, number) {
                    (delivery.released, delivery.message) = (true, 0);
                }
            }
            Operation::Received { session, id } => drop(self.session(session).received.insert(id)),
            Operation::Forgotten { session, id } => drop(self.session(session).received.remove(&id)),
            other => panic!("not of a session: {other:?}"),
        }
    }

    fn referred(&self) -> BTreeSet<u64> {
        let sessions = self.sessions.values();
        let deliveries =
            sessions.flat_map(|s| s.deliveries.iter().map(|d| d.message).chain(s.will.map(|w| w.0)));
        let retained = self.retained.values().copied();
        let tasks = self.tasks.values().map(|(message, _)| *message);
        let history = self.history.values().map(|(message, _)| *message);
        deliveries.chain(retained).chain(tasks).chain(history).collect()
    }
}

/// Issues operations as a hub does.
#[derive(Debug, Default)]
pub(crate) struct Issuer {
    pub(crate) model: Model,
    pub(crate) issued: Vec<Operation>,
    sessions: u64,
    messages: u64,
    tasks: u64,
    offsets: BTreeMap<Box<str>, u64>,
    numbers: BTreeMap<u64, u32>,
}

/// One choice: what, and two numbers that say which.
pub(crate) type Step = (u8, u32, u32);

/// How many kinds of steps there are.
pub(crate) const STEPS: u8 = 21;

impl Issuer {
    fn issue(&mut self, operation: Operation) {
        self.model.apply(&operation);
        self.issued.push(operation);
    }

    fn some_session(&self, which: u32) -> Option<u64> {
        let count = self.model.sessions.len();
        self.model.sessions.keys().nth(which as usize % count.max(1)).copied()
    }

    fn some_delivery(&self, session: u64, which: u32) -> Option<&Delivery> {
        let deliveries = &self.model.sessions[&session].deliveries;
        deliveries.get(which as usize % deliveries.len().max(1))
    }

    fn some_queue(&self, which: u32) -> Option<Box<str>> {
        self.model.queues.keys().nth(which as usize % self.model.queues.len().max(1)).cloned()
    }

    fn some_task(&self, which: u32) -> Option<(Box<str>, u64)> {
        self.model.tasks.keys().nth(which as usize % self.model.tasks.len().max(1)).cloned()
    }

    fn message(&mut self, kind: u32) -> u64 {
        if kind % 5 == 0
            && let Some(known) = self.model.messages.keys().next_back()
        {
            return *known;
        }
        self.messages += 1;
        let message = self.messages;
        self.issue(Operation::MessageAdded { message, content: content(kind) });
        message
    }

    /// Issues what one command to a hub might, and the removal of what it leaves behind.
    pub(crate) fn step(&mut self, (what, a, b): Step) {
        match what % STEPS {
            0 => self.begin_session(a, b),
            1..=5 | 10 | 11 => {
                if let Some(session) = self.some_session(a) {
                    self.of_session(what, session, b);
                }
            }
            6..=9 => {
                if let Some(session) = self.some_session(a) {
                    self.of_delivery(what, session, b);
                }
            }
            12 => {
                let message = self.message(b);
                self.issue(Operation::Retained { message, topic: topic(a) });
            }
            13 => self.issue(Operation::RetainedRemoved { topic: topic(a) }),
            14 => {
                let options = QueueOptions { max_tasks: b, max_bytes: u64::from(b) << 33, max_attempts: a };
                self.issue(Operation::QueueAdded { queue: topic(a), options });
            }
            19 | 20 => self.of_history(what, a, b),
            _ => self.of_queue(what % STEPS, a, b),
        }
        let referred = self.model.referred();
        let gone: Vec<u64> = self.model.messages.keys().filter(|m| !referred.contains(m)).copied().collect();
        gone.into_iter().for_each(|message| self.issue(Operation::MessageRemoved { message }));
    }

    fn begin_session(&mut self, a: u32, b: u32) {
        self.sessions += 1;
        let session = self.sessions;
        // Some are just before their numbers begin again.
        self.numbers.insert(session, if b % 2 == 0 { 0 } else { NUMBERS - 3 });
        let name = format!("client {a}").into();
        self.issue(Operation::SessionCreated { session, name, identity: topic(b), expiry: span(a) });
    }

    fn of_session(&mut self, what: u8, session: u64, b: u32) {
        match what {
            1 => {
                let ends = (b % 3 > 0).then(|| Instant::from_millis(u64::from(b)));
                self.issue(Operation::SessionChanged { session, expiry: span(b), ends });
            }
            2 => self.issue(Operation::SessionRemoved { session }),
            3 => {
                let will = (b % 3 > 0).then(|| (self.message(b), span(b)));
                self.issue(Operation::WillChanged { session, will });
            }
            4 => {
                let retained =
                    [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Never][b as usize % 3];
                let options = SubscribeOptions {
                    quality: Quality::from_number((b % 3) as u8),
                    credit: (b % 4 == 0).then_some(u64::MAX - u64::from(b)),
                    no_local: b % 5 == 0,
                    serve: b % 7 == 0,
                    retain_as_published: b % 2 == 0,
                    retained,
                };
                let filter = format!("$share/g/{b}/+/#").into();
                self.issue(Operation::SubscriptionAdded { session, sid: sid(b), filter, options });
            }
            5 => self.issue(Operation::SubscriptionRemoved { session, sid: sid(b) }),
            10 => {
                let id = (b % 4) as u16;
                if !self.model.sessions[&session].received.contains(&id) {
                    self.issue(Operation::Received { session, id });
                }
            }
            _ => {
                if let Some(id) = self.model.sessions[&session].received.first().copied() {
                    self.issue(Operation::Forgotten { session, id });
                }
            }
        }
    }

    fn of_delivery(&mut self, what: u8, session: u64, b: u32) {
        let number = self.some_delivery(session, b).map(|delivery| delivery.number);
        match (what, number) {
            (6, _) => {
                let message = self.message(b);
                let at = self.numbers[&session];
                self.numbers.insert(session, if at == NUMBERS - 1 { 0 } else { at + 1 });
                self.issue(Operation::Queued {
                    session,
                    number: at,
                    message,
                    sid: sid(b),
                    others: (0..u64::from(b % 3)).map(|n| u64::MAX - n).collect(),
                    quality: Quality::from_number(1 + (b % 2) as u8),
                    retain: b % 4 == 0,
                });
            }
            (7, Some(number)) => self.issue(Operation::Dequeued { session, number }),
            (8, Some(number)) => self.issue(Operation::Sent { session, number }),
            (9, Some(number)) => self.issue(Operation::Released { session, number }),
            _ => {}
        }
    }

    fn of_queue(&mut self, what: u8, a: u32, b: u32) {
        match (what, self.some_queue(a), self.some_task(b)) {
            (15, Some(queue), _) => self.issue(Operation::QueueRemoved { queue }),
            (16, Some(queue), _) => {
                let message = self.message(b);
                self.tasks += 1;
                self.issue(Operation::TaskAdded { queue, task: self.tasks, message, attempts: b % 3 });
            }
            (17, _, Some((queue, task))) => self.issue(Operation::TaskReturned { queue, task, attempts: b }),
            (18, _, Some((queue, task))) => self.issue(Operation::TaskRemoved { queue, task }),
            _ => {}
        }
    }

    fn of_history(&mut self, what: u8, a: u32, b: u32) {
        let topic = topic(a);
        let last = *self.offsets.entry(topic.clone()).or_default();
        if what == 19 {
            if last == 0 {
                self.issue(Operation::HistoryBegan { topic: topic.clone(), epoch: u64::from(b) + 1 });
            }
            let message = self.message(b);
            self.offsets.insert(topic.clone(), last + 1);
            self.issue(Operation::Recorded { message, topic, offset: last + 1, stamp: u64::from(b) << 9 });
        } else {
            let first = self.model.begins.get(&topic).copied().unwrap_or(1);
            let first = first + u64::from(b) % (last + 2 - first);
            self.issue(Operation::HistoryTrimmed { topic, first });
        }
    }
}

fn topic(which: u32) -> Box<str> {
    ["a", "a/b", "\u{1f600}/c", "d d"][which as usize % 4].into()
}

fn sid(which: u32) -> u64 {
    [0, 1, 1 << 40, u64::MAX][which as usize % 4]
}

fn span(which: u32) -> Duration {
    if which % 5 == 0 { Duration::MAX } else { Duration::from_millis(u64::from(which)) }
}

/// A message: plain, with properties, as a response, or with a topic's length written long.
pub(crate) fn content(kind: u32) -> Message {
    let payload = kind.to_be_bytes();
    let message = match kind % 4 {
        0 => Message::response(payload.to_vec()),
        1 => {
            let body = [&b"\x02\x01x\x03a/b"[..], &payload].concat();
            let layout = Layout { topic: 4..7, payload_at: 7, has_props: true };
            Message::from_body(body.into(), &layout).expect("it fits")
        }
        2 => {
            let body = [&b"\x83\x00a/b"[..], &payload].concat();
            let layout = Layout { topic: 2..5, payload_at: 5, has_props: false };
            Message::from_body(body.into(), &layout).expect("it fits")
        }
        _ => Message::new(&format!("t/{kind}"), &payload).expect("a topic"),
    };
    let message = message.with_quality(Quality::from_number((kind % 3) as u8)).with_retain(kind % 7 == 0);
    if kind % 3 == 0 { message.with_expiry(Instant::from_millis(u64::from(kind))) } else { message }
}
