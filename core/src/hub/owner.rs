//! Who a session belongs to.

use alloc::boxed::Box;
use alloc::string::String;
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
    address: Option<IpAddr>,
    secured: Option<Security>,
    /// No rules are asked.
    pub(super) trusted: bool,
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
        Owner { text: None, user: 0, address: None, secured: None, trusted: false };

    pub(super) fn new(options: &SessionOptions<'_>) -> Self {
        let SessionOptions { identity, client_id, address, secured, trusted, .. } = *options;
        let (text, user) = (joined(identity, client_id), identity.len() as u32);
        Self { text, user, address, secured, trusted }
    }

    /// Another connection of the same user, whatever `who` says of that.
    pub(super) fn set_client(&mut self, who: &Who<'_>) {
        if self.who().client_id != who.client_id {
            self.text = joined(self.user(), who.client_id);
        }
        (self.address, self.secured) = (who.address, who.secured);
    }

    pub(super) fn user(&self) -> &str {
        self.who().user
    }

    pub(super) fn who(&self) -> Who<'_> {
        let (user, client_id) = self.text.as_deref().unwrap_or_default().split_at(self.user as usize);
        Who { user, client_id, address: self.address, secured: self.secured }
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
