//! Who may do what.
//!
//! The hub asks an [`Access`] before it does anything for a session, and a server before it lets a
//! client in. [`Rules`] is one, a list that is compiled once and never changes: to change the rules,
//! set others ([`Hub::set_access`](crate::hub::Hub::set_access)), which takes effect as a whole.
//! Both need the feature `alloc`.
//!
//! # Rules
//!
//! The first [`Rule`] that matches decides, and the default where none does. A rule matches where
//! all holds that it says of the action, the user, the client id, the address, the listener, what
//! secures the connection, and the topic.
//!
//! Connecting has no topic, and is allowed where no rule decides: who asks has proved who it is, or
//! come in where nobody has to. To keep others out, end the list with a rule that denies it.
//!
//! # Topics
//!
//! A rule's topics are patterns: filters as in MQTT, so `+` is one level, `#` any number, and
//! neither, in front, is a topic that begins with `$`. A rule without topics is about all.
//!
//! **Publishing, requests, queues, tunnels** are about one topic (of a tunnel its target): a rule matches where a pattern of it does.
//!
//! **Subscribing and serving** are about all topics of a filter at once:
//!
//! - a rule that allows matches where one of its patterns *covers* the filter: every topic of the
//!   filter is one of the pattern;
//! - a rule that denies matches where one of its patterns *overlaps* with it: some topic of the
//!   filter is one of the pattern.
//!
//! So a filter is only allowed if each topic of it were allowed by itself, and nobody gets around a
//! rule that denies by a wider filter. The other way round it may be denied though every topic of it
//! were allowed, where it takes several patterns to cover it, or where a rule that denies comes
//! after one that allows some of it: then ask for less in each filter. What a filter is *shared* by
//! (`$share/GROUP/` in front) is no part of it.
//!
//! # The client's own names
//!
//! In a pattern `%u` is the user and `%c` the client id (and `%%` a `%`): `home/%u/#` is Ann's for
//! Ann and Bob's for Bob. A name that does not make a piece of exactly one level fits in no pattern:
//! an empty one, one with `/`, `+`, `#` or U+0000 in it, and in front of the topic one that begins
//! with `$`. A pattern with such a name in it matches nothing, so that nobody widens it by what he
//! calls himself. Client ids are chosen by clients: `%c` keeps honest clients apart, `%u` all.

mod network;
#[cfg(feature = "alloc")]
mod pattern;
#[cfg(feature = "alloc")]
mod rules;
#[cfg(test)]
mod tests;

use core::net::IpAddr;

pub use network::{BadNetwork, Network};
#[cfg(feature = "alloc")]
pub use pattern::BadPattern;
#[cfg(feature = "alloc")]
pub use rules::{Effect, Group, Problem, Rule, RuleError, Rules, Step, Verdict};

/// What keeps others from reading and changing what a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Security {
    /// TLS.
    Tls,
    /// Noise.
    Noise,
}

impl core::fmt::Display for Security {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::Noise => "Noise",
        })
    }
}

/// Who wants to do something: what rules can tell one client from another by.
///
/// ```
/// use bowline_core::access::Who;
/// let alice = Who { user: "alice", ..Who::default() };
/// assert!(!alice.is_anonymous() && Who::default().is_anonymous());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who<'a> {
    /// The user that it proved to be; empty: it said nothing of that.
    pub user: &'a str,
    /// What it calls itself, which proves nothing: MQTT's client id, our own protocol's name.
    pub client_id: &'a str,
    /// Where it connects from; nothing for a Unix socket or a line in memory.
    pub address: Option<IpAddr>,
    /// The listener that its connection came in at, by its name; empty: none is known, as of a session
    /// that waits for its client since the server was started, and in a hub without a server.
    pub listener: &'a str,
    /// What secures its connection; nothing: whoever is in between can read it.
    pub secured: Option<Security>,
}

impl Who<'_> {
    /// Whether it came in without saying who it is.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.user.is_empty()
    }
}

/// What access rules are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// Begin a session. There is no subject.
    Connect,
    /// Publish to a topic.
    Publish,
    /// Subscribe with a filter.
    Subscribe,
    /// Serve requests that match a filter.
    Serve,
    /// Request on a topic.
    Request,
    /// Make, empty or end a queue, or put something into it: the subject is its name, a topic.
    Queue,
    /// Open a tunnel: the subject is its target, as the client wrote it. Whether the relay connects there
    /// at all is decided before.
    Relay,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; Actions::COUNT] =
        [Self::Connect, Self::Publish, Self::Subscribe, Self::Serve, Self::Request, Self::Queue, Self::Relay];
}

/// A set of actions.
///
/// ```
/// use bowline_core::access::{Action, Actions};
/// let set = Actions::from_iter([Action::Publish, Action::Request]);
/// assert!(set.contains(Action::Request) && !set.contains(Action::Serve));
/// assert_eq!(Actions::default(), Actions::ALL);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// How many actions there are.
    pub(crate) const COUNT: usize = 7;
    /// Every action.
    pub const ALL: Self = Self((1 << Self::COUNT) - 1);

    /// Whether an action is among them.
    #[inline]
    #[must_use]
    pub const fn contains(self, action: Action) -> bool {
        self.0 & 1 << action as u8 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All but this one.
    #[must_use]
    pub const fn without(self, action: Action) -> Self {
        Self(self.0 & !(1 << action as u8))
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl Default for Actions {
    /// Every action.
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        Self(actions.into_iter().fold(0, |set, action| set | 1 << action as u8))
    }
}

/// What was decided, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// The number of the rule that decided, counted from 0; nothing where none did.
    pub rule: Option<u32>,
}

impl Decision {
    /// It may, because nothing speaks against it.
    pub const ALLOW: Self = Self { allowed: true, rule: None };
    /// It may not, because nothing speaks for it.
    pub const DENY: Self = Self { allowed: false, rule: None };
}

impl From<bool> for Decision {
    /// Allowed or not, by no rule that has a number.
    fn from(allowed: bool) -> Self {
        Self { allowed, rule: None }
    }
}

/// The access rules: asked before anything is done, so a refusal changes nothing.
///
/// Asked about most messages, so it should be quick. What it answers depends on nothing but the
/// question: the hub remembers for each session the last topic that it may publish to.
///
/// ```
/// use bowline_core::access::{Access, Action, Decision, Who};
/// struct ReadOnly;
/// impl Access for ReadOnly {
///     fn decide(&self, _who: &Who<'_>, action: Action, _subject: &str) -> Decision {
///         matches!(action, Action::Connect | Action::Subscribe).into()
///     }
/// }
/// ```
pub trait Access {
    /// Whether `who` may do `action` on `subject`: a topic, or a filter without `$share/GROUP/`, or
    /// nothing for [`Action::Connect`].
    fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision;
}

/// The same answer to every question: [`Decision::ALLOW`] are rules that allow everything.
impl Access for Decision {
    fn decide(&self, _who: &Who<'_>, _action: Action, _subject: &str) -> Decision {
        *self
    }
}
