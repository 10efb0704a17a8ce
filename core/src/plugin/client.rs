//! Who a plugin is asked about, and whom it is asked about at all.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::access::{Network, Who};
use crate::hub::SessionKey;

/// Who a plugin is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The session; nothing before it has begun. In [`connect`](super::Plugin::connect) that of a client which
    /// comes back to it, and has proved that it is its own; nothing of a new one.
    pub session: Option<SessionKey>,
    /// Who it is, what it calls itself, where it connects from.
    pub who: Who<'a>,
    /// The listener that its connection came in at: the address that was listened on, or the name that was
    /// given to it; empty where there is none, as in a hub without a server.
    pub listener: &'a str,
    /// What it speaks: `bowline`, `mqtt311`, `mqtt5`, `prx1`, `json`; empty as long as that is not known.
    pub dialect: &'a str,
    /// What it is tagged with.
    pub tags: &'a Tags,
}

/// Nothing that is a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTag {
    /// It is empty, too long, or has a character that cannot be in a level of a topic, or white space.
    #[error(
        "a tag has 1 to {} octets, without white space, control characters, '/', '+' and '#'",
        Tags::MAX_OCTETS
    )]
    Text,
    /// The session has as many as it can have.
    #[error("a session has at most {} tags", Tags::MAX)]
    Many,
}

/// The tags of a session: a few short words, in order. Without any, it has no memory.
///
/// ```
/// use bowline_core::plugin::Tags;
/// let mut tags = Tags::default();
/// tags.insert("staff").unwrap();
/// assert!(tags.contains("staff") && !tags.contains("guest"));
/// assert!(tags.insert("a/b").is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Box<str>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(Vec::new());
    /// A session's tags at most.
    pub const MAX: usize = 16;
    /// Octets of a tag at most.
    pub const MAX_OCTETS: usize = 64;

    /// Whether this can be a tag: one level of a topic, without white space.
    ///
    /// # Errors
    ///
    /// [`BadTag::Text`].
    pub fn check(tag: &str) -> Result<(), BadTag> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '+' | '#');
        if tag.is_empty() || tag.len() > Self::MAX_OCTETS || tag.contains(bad) {
            return Err(BadTag::Text);
        }
        Ok(())
    }

    /// Adds a tag; one that is there already stays.
    ///
    /// # Errors
    ///
    /// It is none, or one too many.
    pub fn insert(&mut self, tag: &str) -> Result<(), BadTag> {
        Self::check(tag)?;
        if let Err(at) = self.find(tag) {
            if self.0.len() >= Self::MAX {
                return Err(BadTag::Many);
            }
            self.0.insert(at, tag.into());
        }
        Ok(())
    }

    /// Takes a tag away. Says whether it was there.
    pub fn remove(&mut self, tag: &str) -> bool {
        self.find(tag).map(|at| self.0.remove(at)).is_ok()
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.find(tag).is_ok()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|tag| &**tag)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, tag: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|own| (**own).cmp(tag))
    }
}

/// Whom something is about: all that is said must hold; what is empty says nothing.
///
/// ```
/// use bowline_core::access::Who;
/// use bowline_core::plugin::{Client, Scope, Tags};
/// let staff = Scope { users: vec!["ann".into(), "bob".into()], ..Scope::default() };
/// let ann = Client {
///     session: None,
///     who: Who { user: "ann", ..Who::default() },
///     listener: "127.0.0.1:7790",
///     dialect: "mqtt5",
///     tags: &Tags::NONE,
/// };
/// assert!(staff.covers(&ann) && Scope::default().covers(&ann));
/// assert!(!Scope { dialects: vec!["json".into()], ..staff }.covers(&ann));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One of these listeners.
    pub listeners: Vec<String>,
    /// One of these dialects, as in [`Client::dialect`].
    pub dialects: Vec<String>,
    /// One of these users; `""` is who came without a name.
    pub users: Vec<String>,
    /// One of these client ids. A `*` at the end stands for anything.
    pub client_ids: Vec<String>,
    /// From one of these networks.
    pub networks: Vec<Network>,
    /// With one of these tags.
    pub tags: Vec<String>,
}

impl Scope {
    /// Whether it says nothing: it is about everybody.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        self.listeners.is_empty()
            && self.dialects.is_empty()
            && self.users.is_empty()
            && self.client_ids.is_empty()
            && self.networks.is_empty()
            && self.tags.is_empty()
    }

    /// Whether it is about this client.
    #[must_use]
    pub fn covers(&self, client: &Client<'_>) -> bool {
        let one_of = |list: &[String], own: &str| list.is_empty() || list.iter().any(|item| item == own);
        one_of(&self.listeners, client.listener)
            && one_of(&self.dialects, client.dialect)
            && one_of(&self.users, client.who.user)
            && (self.client_ids.is_empty() || self.client_ids.iter().any(|p| fits(p, client.who.client_id)))
            && (self.networks.is_empty()
                || client.who.address.is_some_and(|a| self.networks.iter().any(|n| n.contains(a))))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| client.tags.contains(tag)))
    }
}

/// Whether a text is the pattern, or begins with what stands before its `*`.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |front| text.starts_with(front))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn client<'a>(tags: &'a Tags, address: &str) -> Client<'a> {
        let who = Who { user: "ann", client_id: "meter-7", address: address.parse().ok(), ..Who::default() };
        Client { session: None, who, listener: "0.0.0.0:1883", dialect: "mqtt5", tags }
    }

    #[test]
    fn tags_are_few_and_short() {
        let mut tags = Tags::default();
        for bad in ["", "a b", "a/b", "+", "#", "a\n", &"x".repeat(65)] {
            assert_eq!(tags.insert(bad), Err(BadTag::Text), "{bad:?}");
        }
        for n in (0..Tags::MAX).rev() {
            tags.insert(&format!("t{n:02}")).unwrap();
        }
        assert_eq!((tags.insert("more"), tags.insert("t03")), (Err(BadTag::Many), Ok(())));
        assert!(tags.iter().is_sorted() && tags.len() == Tags::MAX);
        assert!(tags.remove("t03") && !tags.remove("t03") && tags.insert("more").is_ok());
    }

    #[test]
    fn all_that_a_scope_says_must_hold() {
        let mut tags = Tags::default();
        tags.insert("staff").unwrap();
        let ann = client(&tags, "192.0.2.7");
        let list = |item: &str| vec![item.into()];
        let yes = [
            Scope::default(),
            Scope { listeners: list("0.0.0.0:1883"), users: list("ann"), ..Scope::default() },
            Scope { client_ids: list("meter-*"), dialects: list("mqtt5"), ..Scope::default() },
            Scope {
                networks: vec!["192.0.2.0/24".parse().unwrap()],
                tags: list("staff"),
                ..Scope::default()
            },
        ];
        assert!(yes.iter().all(|scope| scope.covers(&ann)));
        let no = [
            Scope { listeners: list("127.0.0.1:1"), users: list("ann"), ..Scope::default() },
            Scope { client_ids: list("meter"), ..Scope::default() },
            Scope { networks: vec!["192.0.3.0/24".parse().unwrap()], ..Scope::default() },
            Scope { tags: list("guest"), ..Scope::default() },
            Scope { users: list(""), ..Scope::default() },
        ];
        assert!(!no.iter().any(|scope| scope.covers(&ann) || scope.is_everybody()));
        let nowhere = client(&tags, "");
        assert!(!yes[3].covers(&nowhere) && yes[2].covers(&nowhere));
    }
}
