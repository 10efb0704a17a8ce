//! Requests by messages: MQTT 5 has no others. A message with a response topic is a request to who
//! serves its topic, and answered by a message there; and a request that nobody serves goes to such
//! subscribers, which answer likewise (SPEC §5.6).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use super::message::Message;
use super::options::{Quality, RequestOptions};
use super::publish::Way;
use super::request::PROBES;
use super::subscriptions::Target;
use crate::access::Action;
use crate::session::{Block, Properties, Property};
use crate::status::Status;
use crate::time::Instant;

/// Where the answer to a message goes.
#[derive(Debug)]
pub(super) struct Reply {
    topic: Box<str>,
    correlation: Option<Box<[u8]>>,
    quality: Quality,
}

/// Answers that are to be published: never within something else, because a publish may end requests.
pub(super) type Owed = VecDeque<(Box<Reply>, Status)>;

impl Reply {
    /// What the message asks for, if it does. Topics of the server's own are nobody's to name.
    fn of(message: &Message) -> Option<Box<Self>> {
        let properties = Properties::of_body(message.props());
        let topic = properties.response_topic().filter(|topic| !topic.starts_with('$'))?.into();
        let correlation = properties.correlation().map(Box::from);
        Some(Self { topic, correlation, quality: message.quality() }.into())
    }

    /// The answer as a message: its own properties, the request's correlation data, and in a user
    /// property how it went, if that is not well.
    fn message(&self, now: Instant, status: Status, answer: &Message) -> Option<Message> {
        let mut number = [0; 20];
        let own = Properties::of_body(answer.props());
        let mut list: Vec<_> = own.iter().filter(|p| !matches!(p, Property::Correlation(_))).collect();
        list.extend(self.correlation.as_deref().map(Property::Correlation));
        if !status.is_ok() {
            list.push(Property::User("status", name(status, &mut number)));
        }
        list.sort_by_key(Property::id);
        let block = Block(list.into_iter());
        let message = Message::assemble(block, &self.topic, answer.payload())?;
        let message = message.with_quality(self.quality);
        Some(match own.expiry() {
            Some(expiry) => message.with_expiry(now + expiry),
            None => message,
        })
    }
}

/// The name of a status in the specification (SPEC §5.3), or its number where it has none.
fn name(status: Status, number: &mut [u8; 20]) -> &str {
    if let Some(name) = status.name() {
        return name;
    }
    let (mut left, mut at) = (status.code(), number.len());
    loop {
        at -= 1;
        number[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    core::str::from_utf8(&number[at..]).unwrap_or_default()
}

impl Hub {
    /// Whether this session asks and answers by messages, as MQTT 5 does; a new session does not.
    ///
    /// A message of its own with a response topic is then also a request to one of those who serve
    /// the message's topic, within the time of [`RequestOptions`] and of the message's expiry: the
    /// answer is published to the response topic, with the correlation data, as surely as the
    /// message was. A status that is not `Ok` is its user property `status`: its name, in upper case,
    /// or number. Who serves must be allowed to publish there; a topic with a leading `$` is none.
    ///
    /// And requests reach it: a request of others that nobody serves goes to those of its
    /// subscriptions that match (to one of all sessions', those without wildcards before others; or to
    /// all, once each session), as [`Delivery::Request`](super::Delivery::Request), to be answered by
    /// [`respond`](Self::respond).
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn set_by_messages(&mut self, key: SessionKey, by_messages: bool) -> Result<(), Refusal> {
        let index = self.sessions.find(key)?;
        self.sessions.all[index].by_messages = by_messages;
        Ok(())
    }

    /// What a message of this session asks for, where somebody serves its topic.
    pub(super) fn asks(&mut self, publisher: u32, message: &Message) -> Option<Box<Reply>> {
        if !message.has_props() || !self.sessions.all[publisher].by_messages {
            return None;
        }
        let reply = Reply::of(message)?;
        let Self { subs, .. } = self;
        let served = |filter: &u32| {
            let filter = &subs.filters[*filter];
            !filter.responders().is_empty() || filter.groups().iter().any(|g| subs.groups[*g].serve)
        };
        let found = subs.matcher.find(message.topic_octets());
        found.iter().any(served).then_some(reply)
    }

    /// Asks one of those who serve the topic of a message. Says whether somebody was asked.
    pub(super) fn ask_by_message(
        &mut self,
        now: Instant,
        requester: u32,
        message: Message,
        reply: Box<Reply>,
    ) -> bool {
        if !self.permits(requester, Action::Request, || message.topic()) {
            return false; // it is a message all the same
        }
        if self.requests_full(requester).is_some() {
            self.calls.owed.push_back((reply, Status::Quota));
            return false;
        }
        let mut options = RequestOptions::default();
        if let Some(at) = message.expires() {
            options.timeout = options.timeout.min(at.saturating_since(now));
        }
        self.calls.by_message += 1;
        let id = 1 << 63 | self.calls.by_message; // above all that requesters choose
        let number = self.begin_request(now, requester, id, options, Some(reply));
        let found = self.subs.matcher.find(message.topic_octets()).to_vec();
        let size = message.size();
        let message = self.sessions.pool.insert(message);
        let busy = self.ask_one(number, &found, message, size);
        self.sessions.pool.release(message);
        if !self.calls.is_asked(number) {
            if busy {
                self.answer(number, Status::Busy);
            } else {
                self.end_request(number);
            }
            return busy;
        }
        true
    }

    /// Asks subscribers that answer by messages, where nobody serves: all, or the one whose turn it
    /// is. Says whether there was one without room.
    pub(super) fn ask_subscribers(
        &mut self,
        request: u32,
        found: &[u32],
        message: u32,
        size: u32,
        many: bool,
    ) -> bool {
        let mut targets = self.who_answers(found, size);
        if many {
            targets.sort_unstable_by_key(|(_, t)| (t.session(), t.sid));
            targets.dedup_by_key(|(_, t)| t.session());
            return targets.iter().fold(false, |busy, (_, target)| {
                busy | (self.ask(request, *target, message, size) == Some(false))
            });
        }
        // Who listens to everything is not likely to be who answers.
        if targets.iter().any(|(exact, _)| *exact) {
            targets.retain(|(exact, _)| *exact);
        }
        let turn = self.calls.turn;
        let mut busy = false;
        for i in 0..targets.len().min(PROBES) {
            let (_, target) = targets[turn.wrapping_add(i) % targets.len()];
            match self.ask(request, target, message, size) {
                Some(true) => {
                    self.calls.turn = turn.wrapping_add(i + 1);
                    return false;
                }
                Some(false) => busy = true,
                None => {}
            }
        }
        busy
    }

    /// The attached subscriptions that answer by messages, one of each group, and whether their filters
    /// have no wildcard.
    fn who_answers(&mut self, found: &[u32], size: u32) -> Vec<(bool, Target)> {
        let Self { subs, sessions, .. } = self;
        let all = &sessions.all;
        let answers = |t: &Target| all[t.session()].by_messages && all[t.session()].attached;
        let mut targets = Vec::new();
        for filter in found {
            let filter = &subs.filters[*filter];
            let exact = filter.is_exact();
            targets.extend(filter.targets().iter().filter(|t| answers(t)).map(|t| (exact, *t)));
            for group in filter.groups() {
                let group = &mut subs.groups[*group];
                if !group.serve
                    && let Some(target) = group.pick(answers, true, |s| all[s].has_room(size))
                {
                    targets.push((exact, target));
                }
            }
        }
        targets
    }

    /// Publishes an answer of `responder` to a request that came as a message.
    pub(super) fn respond_by_message(
        &mut self,
        now: Instant,
        responder: u32,
        reply: &Reply,
        status: Status,
        answer: &Message,
    ) -> Result<(), Refusal> {
        self.allow(responder, Action::Publish, || &reply.topic)?;
        if let Some(message) = reply.message(now, status, answer) {
            self.route(now, Way::of(responder), message);
        }
        Ok(())
    }

    /// Publishes the answers that the hub itself owes.
    pub(super) fn publish_owed(&mut self) {
        while let Some((reply, status)) = self.calls.owed.pop_front() {
            if let Some(message) = reply.message(self.now, status, &super::message::EMPTY) {
                self.route(self.now, Way::OWN, message);
            }
        }
    }
}
