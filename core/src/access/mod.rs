//! Who may do what.
//!
//! The hub asks an [`Access`] before it does anything for a session, and a server before it lets a
//! client in.

use core::net::IpAddr;

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

/// The access rules: asked before anything is done, so a refusal changes nothing. Asked for every
/// publish, so it should be quick; what it answers depends on nothing but the question.
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
