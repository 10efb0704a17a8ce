//! Subscriptions, kept over connections.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::calls::SubscribeOptions;
use crate::flow::credit::UNLIMITED;

/// The most subscriptions of one client; what a hub allows a session is usually far below.
pub const MAX_SUBSCRIPTIONS: usize = 65_536;

/// Where a subscription is, on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubState {
    /// To be sent.
    Waiting,
    /// Sent, and not answered.
    Asked,
    Active,
    /// Its end is to be sent.
    Ending,
    /// Its end was sent, and not answered.
    Left,
}

impl SubState {
    /// Whether the application still wants it.
    pub(super) const fn is_wanted(self) -> bool {
        !matches!(self, SubState::Ending | SubState::Left)
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Box<str>,
    pub(super) options: SubscribeOptions,
    /// It wants requests, not messages.
    pub(super) serve: bool,
    pub(super) state: SubState,
    /// The server may know it: it was sent in this session.
    pub(super) known: bool,
    pub(super) window: Option<Window>,
}

impl Subscription {
    /// The credit starts anew: on a new connection (RES-8), and when SUBSCRIBE is sent.
    pub(super) fn renew(&mut self) {
        // One that replaces another is not counted to the octet: what was on its way because of
        // the other counts here, and not there.
        let strict = !self.known || self.state == SubState::Active;
        self.window = self.options.credit.map(|c| Window::new(c, strict));
    }
}

pub(super) type Subscriptions = BTreeMap<u64, Subscription>;

/// A subscription's credit: what came counts when it comes, and is granted again when it is taken.
#[derive(Debug)]
pub(super) struct Window {
    window: u64,
    limit: u64,
    used: u64,
    taken: u64,
    /// Whether more than was granted breaks the rules.
    strict: bool,
    /// A grant is queued.
    pub(super) queued: bool,
}

impl Window {
    pub(super) fn new(window: u64, strict: bool) -> Self {
        let window = window.clamp(1, UNLIMITED);
        Self { window, limit: window, used: 0, taken: 0, strict, queued: false }
    }

    /// A frame of `size` came; false if there was no credit for it (CRE-3).
    pub(super) fn receive(&mut self, size: u64) -> bool {
        let allowed = !self.strict || self.used < self.limit || self.limit == UNLIMITED;
        self.used = self.used.saturating_add(size);
        allowed
    }

    /// So many octets were taken. Whether a grant is due that is not queued yet (CRE-6).
    pub(super) fn take(&mut self, size: u64) -> bool {
        self.taken = self.taken.saturating_add(size);
        let due = self.next_limit().saturating_sub(self.limit) >= (self.window / 2).max(1);
        let news = due && !self.queued;
        self.queued |= due;
        news
    }

    /// The limit to grant.
    pub(super) fn next_limit(&self) -> u64 {
        self.taken.saturating_add(self.window).min(UNLIMITED)
    }

    pub(super) fn granted(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
        self.queued = false;
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_window_grants_what_was_taken_from_half_on() {
        let mut w = Window::new(10, true);
        assert!(w.receive(25), "any message may start while credit is left");
        assert!(!w.receive(1));
        assert!(!w.take(4));
        assert!(w.take(1), "half is taken");
        assert!(!w.take(1), "queued already");
        assert_eq!(w.next_limit(), 16);
        w.granted(16);
        assert!(!w.receive(1), "26 are used");
    }
}
