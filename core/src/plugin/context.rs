//! What a plugin wants done beside its answer.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::client::{BadTag, Client, Tags};
use super::verdict::Rejection;
use crate::hub::{Message, SessionKey};
use crate::time::Instant;

/// Something to be done.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Publish(Message),
    Disconnect(SessionKey, Rejection),
    Hold(SessionKey, Instant),
    Tag(SessionKey, String),
    Untag(SessionKey, String),
    Report(Report),
}

/// What plugins have left to do, and whose it is.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) all: Vec<(u8, Effect)>,
    /// Some plugin wants to be asked other things.
    pub(super) changed: bool,
}

impl Effects {
    /// What was refused in the end was not sent elsewhere either: takes back what was published since there
    /// were so many.
    pub(super) fn withdraw(&mut self, since: usize) {
        let mut at = 0;
        self.all.retain(|(_, effect)| {
            at += 1;
            at <= since || !matches!(effect, Effect::Publish(_))
        });
    }
}

/// Something for who runs the server: the core only hands it on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A line for an audit log.
    Audit(Record),
    /// An alert was raised, or has ended.
    Alert(Alert),
}

/// A line of an audit log: who did what from where, and what came of it. No payload, password or token
/// ever gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What: `connect`, `open`, `close`, `publish`, `subscribe` and so on.
    pub action: &'static str,
    /// How it went: `ok`, `denied`, `ended`.
    pub outcome: &'static str,
    /// The session's [number](SessionKey::number), where there is one.
    pub session: Option<u64>,
    /// The user; empty: none.
    pub user: String,
    /// What the client calls itself.
    pub client_id: String,
    /// Where from.
    pub address: Option<IpAddr>,
    /// At which listener.
    pub listener: String,
    /// In which dialect.
    pub dialect: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The topic, filter or room; of a long one its first 256 octets.
    pub subject: String,
    /// Why, where that is known; of a long one its first 256 octets.
    pub reason: String,
}

/// As much of a text goes into a record, in octets: it may be the peer's own.
const TEXT_MAX: usize = 256;

impl Record {
    /// A record of something that a client did, or wanted to do.
    #[must_use]
    pub fn of(at: Instant, client: &Client<'_>, action: &'static str, outcome: &'static str) -> Self {
        Self {
            at,
            action,
            outcome,
            session: client.session.map(SessionKey::number),
            user: cut(client.who.user),
            client_id: cut(client.who.client_id),
            address: client.who.address,
            listener: client.listener.into(),
            dialect: client.dialect.into(),
            tags: client.tags.iter().map(String::from).collect(),
            subject: String::new(),
            reason: String::new(),
        }
    }

    /// The same, about this.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = cut(subject);
        self
    }

    /// The same, for this reason.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = cut(reason);
        self
    }
}

fn cut(text: &str) -> String {
    let end = (0..=TEXT_MAX.min(text.len())).rfind(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].into()
}

/// A value went over its limit and stayed there, or has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which.
    pub name: String,
    /// Raised; else it has ended.
    pub raised: bool,
    /// The value at that time.
    pub value: u64,
    /// The limit.
    pub limit: u64,
    /// When.
    pub at: Instant,
    /// Since when the value is on this side of the limit.
    pub since: Instant,
}

/// What a plugin is handed with each call: the time, and where to leave what is to be done. That is done
/// when the call of the hub in which the plugin was asked has done its own work, in order.
pub struct Context<'a> {
    now: Instant,
    by: u8,
    left: usize,
    pub(super) overran: u64,
    effects: &'a mut Effects,
}

impl core::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// What one call may leave at most.
    pub const MAX_EFFECTS: usize = 64;

    pub(super) const fn new(now: Instant, by: u8, effects: &'a mut Effects) -> Self {
        Self { now, by, left: Self::MAX_EFFECTS, overran: 0, effects }
    }

    /// What time it is.
    #[inline]
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    fn leave(&mut self, effect: Effect) {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.effects.all.push((self.by, effect));
            }
            None => self.overran += 1,
        }
    }

    /// Publishes a message from the server itself: no plugin is asked about it on the way in. One that is
    /// left while a message is judged goes out behind that one, and not at all if that is refused.
    pub fn publish(&mut self, message: Message) {
        self.leave(Effect::Publish(message));
    }

    /// Closes the connection that serves a session; its client is told why, where what it speaks has a word
    /// for it. The session may be come back to.
    pub fn disconnect(&mut self, session: SessionKey, why: Rejection) {
        self.leave(Effect::Disconnect(session, why));
    }

    /// Takes nothing more from a session until then: its connection is not read, or in our own protocol given
    /// no credit. The latest of several counts.
    pub fn hold(&mut self, session: SessionKey, until: Instant) {
        self.leave(Effect::Hold(session, until));
    }

    /// Adds a tag to a session.
    ///
    /// # Errors
    ///
    /// It is none. A session that has [as many as it can](Tags::MAX) stays as it is.
    pub fn tag(&mut self, session: SessionKey, tag: &str) -> Result<(), BadTag> {
        Tags::check(tag)?;
        self.leave(Effect::Tag(session, tag.into()));
        Ok(())
    }

    /// Takes a tag from a session.
    pub fn untag(&mut self, session: SessionKey, tag: &str) {
        self.leave(Effect::Untag(session, tag.into()));
    }

    /// Tells who runs the server.
    pub fn report(&mut self, report: Report) {
        self.leave(Effect::Report(report));
    }

    /// Has the chain ask [`interest`](super::Plugin::interest) again.
    pub const fn interest_changed(&mut self) {
        self.effects.changed = true;
    }
}
