//! What the hub asks a store to keep.

use alloc::boxed::Box;
use core::time::Duration;

use super::delivery::SessionKey;
use super::options::SubscribeOptions;

/// Something for the store to do; given out in the order in which it happened, and to be done in
/// that order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// A session that outlives its connections began.
    SessionCreated {
        /// Which.
        key: SessionKey,
        /// Who it belongs to.
        identity: Box<str>,
        /// How long it outlives a connection.
        expiry: Duration,
    },
    /// It ended; so did all its subscriptions.
    SessionRemoved {
        /// Which.
        key: SessionKey,
    },
    /// A subscription began, or replaced the one with the same id.
    SubscriptionAdded {
        /// Whose.
        key: SessionKey,
        /// Its id.
        sid: u64,
        /// Its filter, `$share/GROUP/` included.
        filter: Box<str>,
        /// Its options.
        options: SubscribeOptions,
    },
    /// A subscription ended.
    SubscriptionRemoved {
        /// Whose.
        key: SessionKey,
        /// Its id.
        sid: u64,
    },
}
