//! Who a session belongs to.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::IpAddr;

use super::options::SessionOptions;
use crate::access::Who;

/// Who a session belongs to, in one allocation at most: there may be a million of them.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// The user, then the client id.
    text: Box<str>,
    /// Octets of the user.
    user: u32,
    pub(super) address: Option<IpAddr>,
    /// No rules are asked.
    pub(super) trusted: bool,
}

impl Owner {
    pub(super) fn new(options: &SessionOptions<'_>) -> Self {
        let SessionOptions { identity, client_id, address, trusted, .. } = *options;
        let mut text = String::with_capacity(identity.len() + client_id.len());
        text.push_str(identity);
        text.push_str(client_id);
        Self { text: text.into(), user: identity.len() as u32, address, trusted }
    }

    pub(super) fn user(&self) -> &str {
        &self.text[..self.user as usize]
    }

    pub(super) fn who(&self) -> Who<'_> {
        let (user, client_id) = self.text.split_at(self.user as usize);
        Who { user, client_id, address: self.address }
    }
}
