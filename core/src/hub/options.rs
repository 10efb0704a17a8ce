//! What can be set, with its defaults, and the limits that bound the hub's memory.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::history::HistoryOptions;
use super::rooms::RoomOptions;
use crate::access::Security;
pub use crate::retain::RetainHandling;

/// The largest subscription or request id: what a varint of nine octets can say.
pub const MAX_ID: u64 = (1 << 63) - 1;

/// The hub's own options.
///
/// ```
/// use bowline_core::hub::HubOptions;
/// let options = HubOptions { max_sessions: 100, ..HubOptions::default() };
/// assert_eq!(options.max_requests_per_session, 1024);
/// ```
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Sessions at most, attached or not. Twice the default of connections, so that as many
    /// sessions can wait for their clients to come back. At most 2^24.
    pub max_sessions: usize,
    /// Subscriptions at most in all: at some 250 octets each, the default is about 250 MB.
    pub max_subscriptions: usize,
    /// Subscriptions at most of one session, so that one client does not take them all.
    pub max_subscriptions_per_session: usize,
    /// Subscriptions with a credit of their own at most of one session: each has a queue.
    pub max_lanes_per_session: usize,
    /// Requests in flight at most of one session.
    pub max_requests_per_session: usize,
    /// Requests in flight at most in all.
    pub max_requests: usize,
    /// Requests on their way to responders at most in all: one to many counts for each. At most 2^24.
    pub max_legs: usize,
    /// The longest time that a request may ask for; a longer one is cut to this.
    pub max_request_timeout: Duration,
    /// The longest time that a session may outlive its connection; a longer one is cut to this.
    pub max_expiry: Duration,
    /// Queues at most.
    pub max_queues: usize,
    /// What a queue is like that nobody declared.
    pub queue: QueueOptions,
    /// Retained messages at most.
    pub max_retained: usize,
    /// Octets of their bodies at most.
    pub max_retained_bytes: u64,
    /// How many de-duplication ids of a session are remembered.
    pub dedup_window: usize,
    /// Whether sessions that outlive connections, and their subscriptions, are also stored:
    /// [`Hub::poll_operation`](super::Hub::poll_operation) then gives out what to store.
    pub durable: bool,
    /// With more operations than this that the store has not taken yet, nothing more is to be read from
    /// clients until it has: [`Hub::is_store_behind`](super::Hub::is_store_behind). Some 160 octets of
    /// memory each, what they carry not counted.
    pub max_store_operations: u64,
    /// The same with more octets than this in what they carry: bodies of messages, topics, filters, names.
    pub max_store_bytes: u64,
    /// Which topics have a history; none by default.
    pub history: Vec<HistoryOptions>,
    /// Topics with a history at most in all. With more, one of which nothing is left makes room;
    /// where there is none, the new one has no history.
    pub max_history_topics: usize,
    /// Octets of message bodies at most in the histories of all topics. With more, the topic of a
    /// new message gives up its own oldest; where that is not enough, the new one is not kept.
    pub max_history_bytes: u64,
    /// What rooms are like. By default all names are allowed, and a hundred messages of each kept.
    pub rooms: Vec<RoomOptions>,
    /// Rooms that have members at most.
    pub max_rooms: usize,
    /// Rooms at most that one session is in.
    pub max_rooms_per_session: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            max_sessions: 20_000,
            max_subscriptions: 1_000_000,
            max_subscriptions_per_session: 4096,
            max_lanes_per_session: 256,
            max_requests_per_session: 1024,
            max_requests: 65_536,
            max_legs: 262_144,
            max_request_timeout: Duration::from_secs(3600),
            max_expiry: Duration::from_secs(7 * 24 * 3600),
            max_queues: 10_000,
            queue: QueueOptions::default(),
            max_retained: 1_000_000,
            max_retained_bytes: 1 << 30,
            dedup_window: 1024,
            durable: false,
            max_store_operations: 65_536,
            max_store_bytes: 64 << 20,
            history: Vec::new(),
            max_history_topics: 10_000,
            max_history_bytes: 256 << 20,
            rooms: alloc::vec![RoomOptions::new("#")],
            max_rooms: 10_000,
            max_rooms_per_session: 256,
        }
    }
}

impl HubOptions {
    /// Session numbers share a word with flags.
    pub(super) const SESSIONS: usize = 1 << 24;
}

/// What happens to a delivery for which a session's queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The oldest delivery that was not handed out makes room.
    #[default]
    DropOldest,
    /// The new delivery is dropped.
    DropNewest,
    /// The new delivery is dropped and the session's connection is to be closed
    /// ([`Notice::Disconnect`](super::Notice::Disconnect)).
    Disconnect,
    /// Publishers that deliver while the queue is above three quarters of its bounds are held
    /// ([`Notice::Hold`](super::Notice::Hold)) until it is below half. What they are still
    /// allowed to send is queued up to twice the bounds; beyond, or while the session is
    /// detached, new deliveries are dropped.
    SlowPublisher,
}

/// What a session is like.
///
/// ```
/// use bowline_core::hub::{Policy, SessionOptions};
/// use core::time::Duration;
/// let options = SessionOptions {
///     identity: "alice",
///     expiry: Duration::from_secs(3600),
///     policy: Policy::SlowPublisher,
///     ..SessionOptions::default()
/// };
/// assert_eq!((options.max_messages, options.max_bytes), (16_384, 4 << 20));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions<'a> {
    /// Who it belongs to: the authenticated user, or empty.
    pub identity: &'a str,
    /// What its dialect knows it by, for after a restart: kept with a durable session.
    pub name: &'a str,
    /// What its client calls itself, or empty; for access rules.
    pub client_id: &'a str,
    /// Where its client connects from; for access rules.
    pub address: Option<IpAddr>,
    /// The listener that its client's connection came in at, by its name, or empty; for access rules.
    pub listener: &'a str,
    /// What secures its client's connection; for access rules.
    pub secured: Option<Security>,
    /// It belongs to the program itself: no access rules are asked.
    pub trusted: bool,
    /// How long it outlives its connection; zero: not at all.
    pub expiry: Duration,
    /// Deliveries in its queue at most: those not handed out, and those not acknowledged.
    pub max_messages: u32,
    /// Octets of message bodies in its queue at most. One message is taken whatever its size.
    pub max_bytes: u64,
    /// What happens when the queue is full.
    pub policy: Policy,
    /// Deliveries at least once at most that are handed out and not acknowledged.
    pub in_flight: u32,
    /// Whether deliveries are acknowledged one by one, by their ids ([`Hub::settle`](super::Hub::settle)),
    /// instead of by their count ([`Hub::ack`](super::Hub::ack)); a message for which several
    /// subscriptions of the session match is then one delivery.
    pub by_id: bool,
}

impl Default for SessionOptions<'_> {
    fn default() -> Self {
        Self {
            identity: "",
            name: "",
            client_id: "",
            address: None,
            listener: "",
            secured: None,
            trusted: false,
            expiry: Duration::ZERO,
            max_messages: 16_384,
            max_bytes: 4 << 20,
            policy: Policy::default(),
            in_flight: 1024,
            by_id: false,
        }
    }
}

/// How surely a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// At most once: lost with the connection.
    #[default]
    AtMostOnce,
    /// At least once: kept until acknowledged.
    AtLeastOnce,
    /// Exactly once: kept until received, and known until that is settled, so that it is handed
    /// out again only to a peer that cannot have taken it.
    ExactlyOnce,
}

impl Quality {
    /// Whether deliveries are kept until acknowledged.
    #[must_use]
    #[inline]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::AtMostOnce)
    }

    /// The number of the quality of service in MQTT's terms: 0, 1, 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The quality with this number; the highest for all above.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::AtMostOnce,
            1 => Self::AtLeastOnce,
            _ => Self::ExactlyOnce,
        }
    }
}

/// What a queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueOptions {
    /// Tasks that wait at most.
    pub max_tasks: u32,
    /// Octets of their bodies at most.
    pub max_bytes: u64,
    /// How often a task is handed out; one that came back so often goes to the queue of dead letters.
    pub max_attempts: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { max_tasks: 100_000, max_bytes: 256 << 20, max_attempts: 10 }
    }
}

/// What a subscription is like.
///
/// ```
/// use bowline_core::hub::{Quality, SubscribeOptions};
/// let options = SubscribeOptions { quality: Quality::AtLeastOnce, ..SubscribeOptions::default() };
/// assert_eq!((options.credit, options.serve), (None, false));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The best quality that it asks for; a message is delivered at the lower of its own and this.
    pub quality: Quality,
    /// Its own credit at first, in octets; without one only the session's credit counts.
    pub credit: Option<u64>,
    /// Not what this session itself published.
    pub no_local: bool,
    /// Requests, not messages.
    pub serve: bool,
    /// Whether deliveries say that a message was published to be retained; else only those say so
    /// that the subscription begins with.
    pub retain_as_published: bool,
    /// Which retained messages it begins with.
    pub retained: RetainHandling,
}

/// What a request is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// All responders, not one.
    pub many: bool,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self { many: false, timeout: Duration::from_secs(30) }
    }
}
