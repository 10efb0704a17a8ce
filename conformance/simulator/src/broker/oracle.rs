//! What must be true of messages, whatever the server does and however often it dies.
//!
//! It knows only what the applications called and were told, and in which order. What was promised
//! is what the protocol promised: SUBACK, PUBACK, PUBCOMP.

use std::collections::{BTreeMap, BTreeSet};

use bowline_core::mqtt::Qos;
use bowline_core::topic;

use super::plan::GROUP;

/// What became of a message, as its publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// The server has it.
    Accepted,
    /// The server refused it, or the publisher's session was lost: nothing is promised.
    Void,
}

#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) by: u32,
    pub(super) topic: String,
    pub(super) qos: Qos,
    /// It is empty: it takes a retained value away, and cannot be told from others.
    pub(super) clears: bool,
    pub(super) fate: Fate,
    pub(super) step: u64,
}

/// A filter of a session that outlives connections, which stays.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) client: u32,
    pub(super) filter: &'static str,
    pub(super) qos: Qos,
    /// Since which step it is acknowledged, of a session that is stored.
    pub(super) since: Option<u64>,
    /// The session has it, stored or not.
    pub(super) there: bool,
}

impl Standing {
    fn matches(&self, topic: &str) -> bool {
        topic::parse_filter(self.filter).is_ok_and(|filter| topic::matches(filter.filter, topic))
    }

    /// Whether it was there, and known to be, before the message was published.
    fn is_owed(&self, m: &Published) -> bool {
        self.since.is_some_and(|since| since < m.step) && self.matches(&m.topic)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Got {
    times: u32,
    once: u32,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) published: Vec<Published>,
    pub(super) standing: Vec<Standing>,
    /// What each client got of each message.
    got: Vec<BTreeMap<u32, Got>>,
    /// The latest message of each publisher that each client got.
    latest: BTreeMap<(u32, u32), u32>,
    /// Publishers of whose messages one may have been refused, by a word that was lost with the line:
    /// it is said again, and taken behind those that came after it.
    pub(super) unordered: BTreeSet<u32>,
    /// A member of the group has begun anew.
    group_broken: bool,
    pub(super) delivered: u64,
    pub(super) accepted: u64,
}

impl Oracle {
    pub(super) fn new(clients: usize) -> Self {
        Self { got: vec![BTreeMap::new(); clients], ..Self::default() }
    }

    /// The next message's number.
    pub(super) fn next(&self) -> u32 {
        self.published.len() as u32
    }

    pub(super) fn accepted(&mut self, message: u32) {
        self.published[message as usize].fate = Fate::Accepted;
        self.accepted += 1;
    }

    pub(super) fn void(&mut self, message: u32) {
        self.published[message as usize].fate = Fate::Void;
    }

    /// A client got a message.
    pub(super) fn deliver(&mut self, client: u32, message: u32, topic: &str, qos: Qos) -> Result<(), String> {
        self.delivered += 1;
        let Some(m) = self.published.get(message as usize) else {
            return Err(format!("client {client} got message {message} that nobody published"));
        };
        if m.topic != topic {
            return Err(format!("client {client} got message {message} of {} as one of {topic}", m.topic));
        }
        if qos == Qos::AtMostOnce {
            return Ok(());
        }
        let got = self.got[client as usize].entry(message).or_default();
        got.times += 1;
        if qos == Qos::ExactlyOnce {
            got.once += 1;
            if got.once > 1 {
                return Err(format!("duplicate: client {client} got message {message} exactly once again"));
            }
        }
        // One that was first taken before the subscription began may be said again after it.
        let owed = |s: &Standing| s.client == client && s.is_owed(m) && !s.filter.starts_with('$');
        if self.unordered.contains(&m.by) || got.times > 1 || !self.standing.iter().any(owed) {
            return Ok(());
        }
        let last = self.latest.entry((client, m.by)).or_insert(message);
        if *last > message {
            return Err(format!(
                "order: client {client} got message {message} after {last}, both of {}",
                m.by
            ));
        }
        *last = message;
        Ok(())
    }

    /// A client's session is new: what was exactly once is so for each session.
    pub(super) fn begin_anew(&mut self, client: u32) {
        self.got[client as usize].values_mut().for_each(|got| got.once = 0);
        for s in self.standing.iter_mut().filter(|s| s.client == client) {
            // What was sent to it exactly once goes to no other member ([MQTT-4.8.2-5]).
            self.group_broken |= s.filter == GROUP && s.since.is_some();
            (s.since, s.there) = (None, false);
        }
    }

    /// A client cannot know whether its session, which may have expired and begun again while it was
    /// away, has its subscriptions.
    pub(super) fn subscribe_again(&mut self, client: u32) {
        self.standing.iter_mut().filter(|s| s.client == client).for_each(|s| s.there = false);
    }

    fn times(&self, client: u32, message: u32) -> u32 {
        self.got[client as usize].get(&message).map_or(0, |got| got.times)
    }

    /// All has come to rest: was all delivered that was promised?
    pub(super) fn judge(&self) -> Result<(), String> {
        for (i, m) in self.published.iter().enumerate() {
            let i = i as u32;
            if m.fate != Fate::Accepted || m.qos == Qos::AtMostOnce || m.clears {
                continue;
            }
            if m.topic.starts_with('$') {
                let done = (0..self.got.len() as u32).any(|c| self.times(c, i) > 0);
                if !done {
                    return Err(format!("lost: task {i} of {} was done by nobody", m.topic));
                }
                continue;
            }
            self.judge_message(i, m)?;
        }
        Ok(())
    }

    fn judge_message(&self, i: u32, m: &Published) -> Result<(), String> {
        let (mut group, mut surely, mut shared) = (false, true, 0);
        let mut once = m.qos == Qos::ExactlyOnce;
        for s in self.standing.iter().filter(|s| s.matches(&m.topic)) {
            let (times, owed) = (self.times(s.client, i), s.is_owed(m));
            if s.filter == GROUP {
                // A member may have it before it knows that it is one.
                (group, shared) = (group || owed, shared + times);
                once &= s.qos == Qos::ExactlyOnce;
                surely &= !self.group_broken || s.qos == Qos::AtLeastOnce || m.qos == Qos::AtLeastOnce;
            } else if !owed {
                // It may have come too early.
            } else if times == 0 {
                return Err(format!(
                    "lost: message {i} to {} was acknowledged, and client {} with {} did not get it",
                    m.topic, s.client, s.filter
                ));
            }
        }
        if group && surely && shared == 0 {
            return Err(format!("lost: message {i} to {} reached nobody of its group", m.topic));
        }
        if once && shared > 1 {
            return Err(format!("duplicate: message {i} to {} reached its group {shared} times", m.topic));
        }
        Ok(())
    }

    /// What a topic may retain in the end: of its one publisher the last that was accepted, or a
    /// later one.
    pub(super) fn may_retain(&self, topic: &str, value: Option<u32>) -> Result<(), String> {
        let all = || self.published.iter().enumerate().filter(|(_, m)| m.topic == topic);
        let last = all().filter(|(_, m)| m.fate == Fate::Accepted).map(|(i, _)| i as u32).next_back();
        let fine = match value {
            Some(value) => {
                last.is_none_or(|last| value >= last) && all().any(|(i, m)| i as u32 == value && !m.clears)
            }
            None => {
                last.is_none_or(|last| self.published[last as usize].clears)
                    || all().any(|(i, m)| Some(i as u32) > last && m.clears)
            }
        };
        let words = || format!("retained: {topic} has {value:?}, and the last that was accepted is {last:?}");
        if fine { Ok(()) } else { Err(words()) }
    }

    /// Whether a history has all that was accepted, as often as it may.
    pub(super) fn check_history(&self, topic: &str, kept: &[u32]) -> Result<(), String> {
        let mut times: BTreeMap<u32, u32> = BTreeMap::new();
        kept.iter().for_each(|i| *times.entry(*i).or_default() += 1);
        for (i, m) in self.published.iter().enumerate().filter(|(_, m)| m.topic == topic) {
            let times = times.get(&(i as u32)).copied().unwrap_or(0);
            if times == 0 && m.fate == Fate::Accepted && m.qos != Qos::AtMostOnce {
                return Err(format!("history: message {i} of {topic} was accepted and is not there"));
            }
            if times > 1 && m.qos != Qos::AtLeastOnce {
                return Err(format!("history: message {i} of {topic} is there {times} times"));
            }
        }
        Ok(())
    }
}
