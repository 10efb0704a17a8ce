//! What the access rules deny, and who is told.

use alloc::string::String;

use super::publish::NOTICES;
use super::{Hub, Message, Refusal, SessionKey, rooms};
use crate::access::Action;
use crate::json;
use crate::trace::TraceContext;

/// As much of a subject is told, in octets: it is the peer's own text, for a line in a log.
const SUBJECT_MAX: usize = 256;

/// A session was not allowed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whose.
    pub session: SessionKey,
    /// What it wanted.
    pub action: Action,
    /// The topic, filter or queue; of a long one its first 256 octets.
    pub subject: String,
    /// The trace of the message that it wanted to publish, if that has one.
    pub trace: Option<TraceContext>,
}

impl Hub {
    /// What a session was denied: the first time for each action since its connection began.
    /// [`Counters`](super::Counters) say how often in all.
    pub fn poll_denial(&mut self) -> Option<Denial> {
        self.denials.pop_front()
    }

    /// Whether a session may publish, which is asked about with every message. What the server says of
    /// itself nobody else says.
    ///
    /// `event`: it is a room's event as the server itself writes it, which says who sent it. Nobody
    /// else may say that.
    #[inline]
    pub(super) fn allow_publish(
        &mut self,
        index: u32,
        message: &Message,
        event: bool,
    ) -> Result<(), Refusal> {
        let topic = message.topic_octets();
        let is_own = topic.starts_with(b"$SYS/")
            || topic.starts_with(NOTICES)
            || (!event
                && rooms::is_topic(topic)
                && message.payload().starts_with(json::OWN_PREFIX.as_bytes()));
        if is_own && !self.sessions.all[index].aside.owner.is_trusted() {
            return Err(self.deny(index, Action::Publish, message.topic(), message.trace()));
        }
        if self.access.is_some() && !self.sessions.all[index].passed.has(topic) {
            if !self.permits(index, Action::Publish, || message.topic()) {
                return Err(self.deny(index, Action::Publish, message.topic(), message.trace()));
            }
            self.sessions.all[index].passed.set(topic);
        }
        Ok(())
    }

    /// Asks the access rules for a session, about what is not the hub's own; a denial is counted and told.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`], or there is no such session.
    pub fn authorize(&mut self, session: SessionKey, action: Action, subject: &str) -> Result<(), Refusal> {
        let index = self.sessions.find(session)?;
        self.allow(index, action, || subject)
    }

    pub(super) fn allow<'a>(
        &mut self,
        index: u32,
        action: Action,
        subject: impl Fn() -> &'a str,
    ) -> Result<(), Refusal> {
        if self.permits(index, action, &subject) {
            Ok(())
        } else {
            Err(self.deny(index, action, subject(), None))
        }
    }

    /// As [`allow`](Self::allow), where a no is no denial, or nobody is to know of it.
    pub(super) fn permits<'a>(&self, index: u32, action: Action, subject: impl Fn() -> &'a str) -> bool {
        let Some(access) = &self.access else { return true };
        let owner = &self.sessions.all[index].aside.owner;
        owner.is_trusted() || access.decide(&owner.who(&self.listeners), action, subject()).allowed
    }

    #[cold]
    fn deny(&mut self, index: u32, action: Action, subject: &str, trace: Option<TraceContext>) -> Refusal {
        self.sessions.counters.denied += 1;
        let s = &mut self.sessions.all[index];
        let bit = 1 << action as u8;
        if s.aside.denied & bit == 0 {
            s.aside.denied |= bit;
            let session = SessionKey { index, generation: s.generation };
            let end = (0..=SUBJECT_MAX.min(subject.len())).rfind(|at| subject.is_char_boundary(*at));
            let told = subject[..end.unwrap_or(0)].into();
            self.denials.push_back(Denial { session, action, subject: told, trace });
        }
        self.tell_denied_by_rules(index, action, subject);
        Refusal::NotAuthorized
    }
}
