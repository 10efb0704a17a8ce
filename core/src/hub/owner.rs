//! Who a session belongs to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::options::SessionOptions;
use crate::access::{Security, Who};

/// Who a session belongs to, in one allocation at most: there may be a million of them.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// The user, then the client id; nothing where both are empty.
    text: Option<Box<str>>,
    /// Octets of the user.
    user: u32,
    /// Where its client's connection came in, by its place among the [`Listeners`].
    listener: u16,
    address: Option<IpAddr>,
    standing: Standing,
}

/// How it stands with the rules; in one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// None are asked.
    Trusted,
    /// A client, and what secures its connection.
    Client(Option<Security>),
}

impl Default for Standing {
    fn default() -> Self {
        Self::Client(None)
    }
}

/// The names of listeners, for sessions to have them by numbers. Those of listeners that are gone stay: they
/// are few, and no client makes one.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<Box<str>>);

impl Listeners {
    /// The number of a name: 0 of none, and of one too many.
    pub(super) fn number(&mut self, name: &str) -> u16 {
        if name.is_empty() {
            return 0;
        }
        let place = self.0.iter().position(|known| **known == *name).unwrap_or(self.0.len());
        let Ok(number) = u16::try_from(place + 1) else { return 0 };
        if place == self.0.len() {
            self.0.push(name.into());
        }
        number
    }

    fn name(&self, number: u16) -> &str {
        usize::from(number).checked_sub(1).and_then(|place| self.0.get(place)).map_or("", |name| &**name)
    }
}

/// The topic that a session was last allowed to publish to: most publishers go on with it, and the
/// rules need not be asked again. The topic itself, and no hash: nobody can make one that is taken
/// for another.
#[derive(Debug, Default)]
pub(super) struct Passed(Option<Box<Topic>>);

#[derive(Debug)]
struct Topic {
    length: u8,
    octets: [u8; LONGEST],
}

/// Longer topics are not remembered.
const LONGEST: usize = 119;

fn joined(user: &str, client_id: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(user.len() + client_id.len());
    text.push_str(user);
    text.push_str(client_id);
    (!text.is_empty()).then(|| text.into())
}

impl Owner {
    /// Nobody.
    pub(super) const NONE: Owner =
        Owner { text: None, user: 0, listener: 0, address: None, standing: Standing::Client(None) };

    pub(super) fn new(options: &SessionOptions<'_>) -> Self {
        let SessionOptions { identity, client_id, address, secured, trusted, .. } = *options;
        let (text, user) = (joined(identity, client_id), identity.len() as u32);
        let standing = if trusted { Standing::Trusted } else { Standing::Client(secured) };
        Self { text, user, listener: 0, address, standing }
    }

    /// Where its client's connection came in.
    pub(super) const fn set_listener(&mut self, number: u16) {
        self.listener = number;
    }

    /// No rules are asked.
    pub(super) fn is_trusted(&self) -> bool {
        self.standing == Standing::Trusted
    }

    /// Another connection of the same user, whatever `who` says of that.
    pub(super) fn set_client(&mut self, who: &Who<'_>, listeners: &mut Listeners) {
        if self.names().1 != who.client_id {
            self.text = joined(self.user(), who.client_id);
        }
        (self.address, self.listener) = (who.address, listeners.number(who.listener));
        if !self.is_trusted() {
            self.standing = Standing::Client(who.secured);
        }
    }

    /// The user, and the client id.
    fn names(&self) -> (&str, &str) {
        self.text.as_deref().unwrap_or_default().split_at(self.user as usize)
    }

    pub(super) fn user(&self) -> &str {
        self.names().0
    }

    pub(super) fn who<'a>(&'a self, listeners: &'a Listeners) -> Who<'a> {
        let (user, client_id) = self.names();
        let secured = match self.standing {
            Standing::Trusted => None,
            Standing::Client(secured) => secured,
        };
        Who { user, client_id, address: self.address, listener: listeners.name(self.listener), secured }
    }
}

impl Passed {
    /// Whether the rules have said yes to publishing to this topic.
    #[inline]
    pub(super) fn has(&self, topic: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|passed| passed.octets[..passed.length.into()] == *topic)
    }

    /// The rules have said yes to this topic.
    pub(super) fn set(&mut self, topic: &[u8]) {
        if topic.len() <= LONGEST {
            let passed = self.0.get_or_insert_with(|| Topic { length: 0, octets: [0; LONGEST] }.into());
            passed.length = topic.len() as u8;
            passed.octets[..topic.len()].copy_from_slice(topic);
        }
    }

    /// The rules have changed, or what they look at.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
