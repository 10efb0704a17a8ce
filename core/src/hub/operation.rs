//! What the hub asks a store to keep, and what it is told again after a restart.
//!
//! One language for both directions: [`Hub::poll_operation`](super::Hub::poll_operation) gives
//! operations out in the order in which things happened, a store carries them out in that order,
//! and what it holds is told to a new hub by [`Hub::restore`](super::Hub::restore) with the same
//! operations: the fewest that lead to the same state.
//!
//! All operations that are given out until there is none belong together: they are committed in
//! one transaction, with earlier ones where the store groups them, so that after a crash the store
//! holds a state that the hub was in between two commands. What waits for a commit is told by
//! numbers ([`Hub::committed`](super::Hub::committed)).

use alloc::boxed::Box;
use core::time::Duration;

use super::message::Message;
use super::options::{Quality, SubscribeOptions};
use crate::time::Instant;

/// The number of a durable session: never used twice, in this run or after a restart.
pub type StoredSession = u64;
/// The number of a stored message: never used twice.
pub type StoredMessage = u64;
/// The number of a task within its queue: in order of their coming.
pub type TaskNumber = u64;

/// Something for the store to do; given out in the order in which it happened, and to be done in
/// that order.
///
/// Instants are always ends that lie ahead (a message expires, a session ends), so that a store can
/// turn them into calendar time and back. Exhaustive on purpose: a store that does not know an
/// operation must not build, as it would lose what it was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A session that outlives its connections began; it is attached.
    SessionCreated {
        /// Which.
        session: StoredSession,
        /// What its dialect knows it by, as [`SessionOptions::name`](super::SessionOptions::name).
        name: Box<str>,
        /// Who it belongs to.
        identity: Box<str>,
        /// How long it outlives a connection.
        expiry: Duration,
    },
    /// How long it outlives a connection was changed, or it was attached (`ends`: `None`) or
    /// detached.
    SessionChanged {
        /// Which.
        session: StoredSession,
        /// How long it outlives a connection.
        expiry: Duration,
        /// When it ends unless it is attached before; `None` while it is attached, or if it never
        /// ends.
        ends: Option<Instant>,
    },
    /// It ended; so did all its subscriptions, deliveries and all else that is its own.
    SessionRemoved {
        /// Which.
        session: StoredSession,
    },
    /// Its will was set, or there is none any more.
    WillChanged {
        /// Whose.
        session: StoredSession,
        /// What is published, so long after the session's connection is gone.
        will: Option<(StoredMessage, Duration)>,
    },
    /// A subscription began, or replaced the one with the same id.
    SubscriptionAdded {
        /// Whose.
        session: StoredSession,
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
        session: StoredSession,
        /// Its id.
        sid: u64,
    },
    /// A message that others refer to: always told before they do.
    MessageAdded {
        /// Which.
        message: StoredMessage,
        /// The message, whole.
        content: Message,
    },
    /// Nothing refers to it any more.
    MessageRemoved {
        /// Which.
        message: StoredMessage,
    },
    /// A delivery at least or exactly once was queued, behind all others of the session.
    Queued {
        /// Whose.
        session: StoredSession,
        /// Its number in the session: from 0 to 2^32 - 2, then again from 0.
        number: u32,
        /// What.
        message: StoredMessage,
        /// Because of which subscription.
        sid: u64,
        /// The others of the session that match too, where it gets one delivery for all.
        others: Box<[u64]>,
        /// How surely.
        quality: Quality,
        /// Whether it says that the message is a retained one.
        retain: bool,
    },
    /// A delivery left the session: it was acknowledged, dropped or handed over.
    Dequeued {
        /// Whose.
        session: StoredSession,
        /// Its number.
        number: u32,
    },
    /// All deliveries up to this one were handed out to the session's peer: they come again as
    /// repetitions.
    Sent {
        /// Whose.
        session: StoredSession,
        /// The last one's number.
        number: u32,
    },
    /// The peer has received a delivery exactly once; only that this is settled remains.
    Released {
        /// Whose.
        session: StoredSession,
        /// Its number.
        number: u32,
    },
    /// A message exactly once with this id was taken from the session's peer: another with it is
    /// the same one.
    Received {
        /// Whose.
        session: StoredSession,
        /// The peer's id.
        id: u16,
    },
    /// The id is free again.
    Forgotten {
        /// Whose.
        session: StoredSession,
        /// The peer's id.
        id: u16,
    },
    /// The last value of a topic: in place of an earlier one.
    Retained {
        /// The message; its topic is the key.
        message: StoredMessage,
        /// Its topic.
        topic: Box<str>,
    },
    /// A topic has no last value any more.
    RetainedRemoved {
        /// The topic.
        topic: Box<str>,
    },
    /// A queue began, or its options were changed.
    QueueAdded {
        /// Its name.
        queue: Box<str>,
        /// Its options.
        options: super::QueueOptions,
    },
    /// A queue ended with all its tasks.
    QueueRemoved {
        /// Its name.
        queue: Box<str>,
    },
    /// A task waits in a queue.
    TaskAdded {
        /// In which queue.
        queue: Box<str>,
        /// Its number.
        task: TaskNumber,
        /// What.
        message: StoredMessage,
        /// How often it was handed out in vain.
        attempts: u32,
    },
    /// A task was handed out in vain once more, and waits again.
    TaskReturned {
        /// In which queue.
        queue: Box<str>,
        /// Its number.
        task: TaskNumber,
        /// How often now.
        attempts: u32,
    },
    /// A task is done, or was given up.
    TaskRemoved {
        /// In which queue.
        queue: Box<str>,
        /// Its number.
        task: TaskNumber,
    },
    /// A message of a topic whose history is kept.
    Recorded {
        /// The message; its topic is the key.
        message: StoredMessage,
        /// Its topic.
        topic: Box<str>,
        /// Its place in the topic's history, from 1 on.
        offset: u64,
        /// When it was published, in microseconds of calendar time as the server was told: unique,
        /// and greater for what came later.
        stamp: u64,
    },
    /// The history of a topic began, which is told before all else of it; or what comes next has numbers of
    /// another epoch, which go on where they were: so it is behind a restart.
    HistoryBegan {
        /// The topic.
        topic: Box<str>,
        /// What tells its offsets from those of an earlier history of the topic, and from those that a crash
        /// took back; at most 2^63 - 1.
        epoch: u64,
    },
    /// The history of a topic begins at this offset now.
    HistoryTrimmed {
        /// The topic.
        topic: Box<str>,
        /// The oldest that is still kept, or where nothing is, the next one. 0: the topic is
        /// forgotten, and begins anew at 1 if ever.
        first: u64,
    },
}

impl Operation {
    /// The octets that it carries beside its fixed fields.
    pub(super) fn octets(&self) -> u64 {
        let octets = match self {
            Self::MessageAdded { content, .. } => return content.size().into(),
            Self::SessionCreated { name, identity, .. } => name.len() + identity.len(),
            Self::SubscriptionAdded { filter, .. } => filter.len(),
            Self::Queued { others, .. } => size_of_val(&**others),
            Self::Retained { topic, .. }
            | Self::RetainedRemoved { topic }
            | Self::Recorded { topic, .. }
            | Self::HistoryBegan { topic, .. }
            | Self::HistoryTrimmed { topic, .. } => topic.len(),
            Self::QueueAdded { queue, .. }
            | Self::QueueRemoved { queue }
            | Self::TaskAdded { queue, .. }
            | Self::TaskReturned { queue, .. }
            | Self::TaskRemoved { queue, .. } => queue.len(),
            Self::SessionChanged { .. }
            | Self::SessionRemoved { .. }
            | Self::WillChanged { .. }
            | Self::SubscriptionRemoved { .. }
            | Self::MessageRemoved { .. }
            | Self::Dequeued { .. }
            | Self::Sent { .. }
            | Self::Released { .. }
            | Self::Received { .. }
            | Self::Forgotten { .. } => 0,
        };
        octets as u64
    }
}
