//! What a store holds, as plain tables: what the operations mean, written down a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_core::hub::{Message, Operation, Quality, QueueOptions, SubscribeOptions};
use bowline_core::time::Instant;

/// The number of no message: that of a delivery that was released.
const NO_MESSAGE: u64 = 0;

#[derive(Clone, Debug)]
struct Delivery {
    number: u32,
    message: u64,
    sid: u64,
    others: Box<[u64]>,
    quality: Quality,
    retain: bool,
    released: bool,
}

#[derive(Clone, Debug, Default)]
struct Session {
    name: Box<str>,
    identity: Box<str>,
    expiry: Duration,
    ends: Option<Instant>,
    will: Option<(u64, Duration)>,
    subscriptions: BTreeMap<u64, (Box<str>, SubscribeOptions)>,
    /// In the order in which they were queued.
    deliveries: Vec<Delivery>,
    sent: Option<u32>,
    received: BTreeSet<u16>,
}

impl Session {
    fn delivery(&mut self, number: u32) -> Option<&mut Delivery> {
        self.deliveries.iter_mut().find(|d| d.number == number)
    }
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    messages: BTreeMap<u64, Message>,
    sessions: BTreeMap<u64, Session>,
    retained: BTreeMap<Box<str>, u64>,
    queues: BTreeMap<Box<str>, QueueOptions>,
    tasks: BTreeMap<(Box<str>, u64), (u64, u32)>,
    history: BTreeMap<(Box<str>, u64), (u64, u64)>,
    begins: BTreeMap<Box<str>, u64>,
    epochs: BTreeMap<Box<str>, u64>,
    /// An operation referred to a session that there is not.
    pub(crate) stray: Option<String>,
}

impl Tables {
    /// Does what an operation says; what is done a second time changes nothing.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::SessionCreated { session, name, identity, expiry } => {
                self.sessions.insert(session, Session { name, identity, expiry, ..Session::default() });
            }
            Operation::SessionRemoved { session } => drop(self.sessions.remove(&session)),
            Operation::MessageAdded { message, content } => drop(self.messages.insert(message, content)),
            Operation::MessageRemoved { message } => drop(self.messages.remove(&message)),
            Operation::Retained { message, topic } => _ = self.retained.insert(topic, message),
            Operation::RetainedRemoved { topic } => _ = self.retained.remove(&topic),
            Operation::QueueAdded { queue, options } => _ = self.queues.insert(queue, options),
            Operation::QueueRemoved { queue } => {
                self.tasks.retain(|(of, _), _| *of != queue);
                self.queues.remove(&queue);
            }
            Operation::TaskAdded { queue, task, message, attempts } => {
                self.tasks.insert((queue, task), (message, attempts));
            }
            Operation::TaskReturned { queue, task, attempts } => {
                if let Some(row) = self.tasks.get_mut(&(queue, task)) {
                    row.1 = attempts;
                }
            }
            Operation::TaskRemoved { queue, task } => _ = self.tasks.remove(&(queue, task)),
            Operation::Recorded { message, topic, offset, stamp } => {
                self.history.insert((topic, offset), (message, stamp));
            }
            Operation::HistoryBegan { topic, epoch } => _ = self.epochs.insert(topic, epoch),
            Operation::HistoryTrimmed { topic, first: 0 } => {
                self.epochs.remove(&topic);
                self.history.retain(|(of, _), _| *of != topic);
                self.begins.remove(&topic);
            }
            Operation::HistoryTrimmed { topic, first } => {
                self.history.retain(|(of, offset), _| *of != topic || *offset >= first);
                self.begins.insert(topic, first);
            }
            other => self.apply_to_session(other),
        }
    }

    fn apply_to_session(&mut self, operation: Operation) {
        let number = match &operation {
            Operation::SessionChanged { session, .. }
            | Operation::WillChanged { session, .. }
            | Operation::SubscriptionAdded { session, .. }
            | Operation::SubscriptionRemoved { session, .. }
            | Operation::Queued { session, .. }
            | Operation::Dequeued { session, .. }
            | Operation::Sent { session, .. }
            | Operation::Released { session, .. }
            | Operation::Received { session, .. }
            | Operation::Forgotten { session, .. } => *session,
            _ => return,
        };
        let Some(s) = self.sessions.get_mut(&number) else {
            self.stray = Some(format!("{operation:?} is of no session"));
            return;
        };
        match operation {
            Operation::SessionChanged { expiry, ends, .. } => (s.expiry, s.ends) = (expiry, ends),
            Operation::WillChanged { will, .. } => s.will = will,
            Operation::SubscriptionAdded { sid, filter, options, .. } => {
                s.subscriptions.insert(sid, (filter, options));
            }
            Operation::SubscriptionRemoved { sid, .. } => _ = s.subscriptions.remove(&sid),
            Operation::Queued { number, message, sid, others, quality, retain, .. } => {
                let new = Delivery { number, message, sid, others, quality, retain, released: false };
                match s.delivery(number) {
                    Some(old) => *old = new,
                    None => s.deliveries.push(new),
                }
            }
            Operation::Dequeued { number, .. } => s.deliveries.retain(|d| d.number != number),
            Operation::Sent { number, .. } => s.sent = Some(number),
            Operation::Released { number, .. } => {
                if let Some(d) = s.delivery(number) {
                    (d.released, d.message) = (true, NO_MESSAGE);
                }
            }
            Operation::Received { id, .. } => _ = s.received.insert(id),
            Operation::Forgotten { id, .. } => _ = s.received.remove(&id),
            _ => {}
        }
    }

    /// The fewest operations that lead to what is here: messages before what refers to them, sessions
    /// before what is theirs.
    pub(crate) fn load(&self) -> Vec<Operation> {
        let mut out = Vec::new();
        let released = |s: &Session| s.deliveries.iter().any(|d| d.released);
        if self.sessions.values().any(released) {
            out.push(Operation::MessageAdded { message: NO_MESSAGE, content: Message::response("") });
        }
        let added = |(message, content): (&u64, &Message)| Operation::MessageAdded {
            message: *message,
            content: content.clone(),
        };
        out.extend(self.messages.iter().map(added));
        self.load_sessions(&mut out);
        for (queue, options) in &self.queues {
            out.push(Operation::QueueAdded { queue: queue.clone(), options: *options });
        }
        for ((queue, task), (message, attempts)) in &self.tasks {
            let (queue, task, message, attempts) = (queue.clone(), *task, *message, *attempts);
            out.push(Operation::TaskAdded { queue, task, message, attempts });
        }
        self.load_deliveries(&mut out);
        for (topic, message) in &self.retained {
            out.push(Operation::Retained { message: *message, topic: topic.clone() });
        }
        for (topic, epoch) in &self.epochs {
            out.push(Operation::HistoryBegan { topic: topic.clone(), epoch: *epoch });
        }
        for ((topic, offset), (message, stamp)) in &self.history {
            let (topic, offset, message, stamp) = (topic.clone(), *offset, *message, *stamp);
            out.push(Operation::Recorded { message, topic, offset, stamp });
        }
        for (topic, first) in &self.begins {
            if !self.history.keys().any(|(of, _)| of == topic) {
                out.push(Operation::HistoryTrimmed { topic: topic.clone(), first: *first });
            }
        }
        out
    }

    fn load_sessions(&self, out: &mut Vec<Operation>) {
        for (session, s) in &self.sessions {
            let (session, expiry) = (*session, s.expiry);
            let (name, identity) = (s.name.clone(), s.identity.clone());
            out.push(Operation::SessionCreated { session, name, identity, expiry });
            if s.ends.is_some() {
                out.push(Operation::SessionChanged { session, expiry, ends: s.ends });
            }
            if s.will.is_some() {
                out.push(Operation::WillChanged { session, will: s.will });
            }
            for (sid, (filter, options)) in &s.subscriptions {
                let (sid, filter, options) = (*sid, filter.clone(), *options);
                out.push(Operation::SubscriptionAdded { session, sid, filter, options });
            }
            out.extend(s.received.iter().map(|id| Operation::Received { session, id: *id }));
        }
    }

    fn load_deliveries(&self, out: &mut Vec<Operation>) {
        for (session, s) in &self.sessions {
            let session = *session;
            out.extend(s.deliveries.iter().cloned().map(|d| Operation::Queued {
                session,
                number: d.number,
                message: d.message,
                sid: d.sid,
                others: d.others,
                quality: d.quality,
                retain: d.retain,
            }));
            out.extend(s.sent.map(|number| Operation::Sent { session, number }));
            let released = s.deliveries.iter().filter(|d| d.released);
            out.extend(released.map(|d| Operation::Released { session, number: d.number }));
        }
    }

    /// The offset of the oldest message in the history of a topic; 1 where there is none.
    pub(crate) fn first_of(&self, topic: &str) -> u64 {
        self.history.keys().find(|(of, _)| **of == *topic).map_or(1, |(_, offset)| *offset)
    }

    /// The messages in the history of a topic, oldest first; their offsets follow each other.
    pub(crate) fn history(&self, topic: &str) -> Result<Vec<&Message>, String> {
        let rows = self.history.iter().filter(|((of, _), _)| &**of == topic);
        let mut next = None;
        let mut messages = Vec::new();
        for ((_, offset), (message, _)) in rows {
            if next.is_some_and(|next| next != *offset) {
                return Err(format!("history: offset {offset} of {topic} does not follow the one before"));
            }
            next = Some(offset + 1);
            messages.push(self.messages.get(message).ok_or("history: a message is missing")?);
        }
        Ok(messages)
    }

    /// Whether all references lead somewhere. In a store at rest, also whether nothing is left over.
    pub(crate) fn check(&self, at_rest: bool) -> Result<(), String> {
        if let Some(stray) = &self.stray {
            return Err(format!("store: {stray}"));
        }
        let deliveries = self.sessions.values().flat_map(|s| &s.deliveries).filter(|d| !d.released);
        let wills = self.sessions.values().filter_map(|s| s.will);
        let referred: BTreeSet<u64> = deliveries
            .map(|d| d.message)
            .chain(wills.map(|w| w.0))
            .chain(self.retained.values().copied())
            .chain(self.tasks.values().map(|t| t.0))
            .chain(self.history.values().map(|h| h.0))
            .collect();
        if let Some(missing) = referred.iter().find(|m| !self.messages.contains_key(m)) {
            return Err(format!("store: message {missing} is referred to and not there"));
        }
        // One that is only on its way to a session that is not stored may be there until then.
        if at_rest && let Some(left) = self.messages.keys().find(|m| !referred.contains(m)) {
            return Err(format!("store: message {left} is kept for nothing"));
        }
        let left = |s: &&Session| !s.deliveries.is_empty() || !s.received.is_empty();
        if at_rest && let Some(s) = self.sessions.values().find(left) {
            return Err(format!("store: left over in the session {}: {s:?}", s.name));
        }
        if at_rest && !self.tasks.is_empty() {
            return Err(format!("store: {} tasks are left over", self.tasks.len()));
        }
        Ok(())
    }
}
