//! What a client tells its application, and where that waits.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::calls::AckHandle;
use super::{DropReason, QueueLimits};
use crate::endpoint::carrier::WebSocketError;
use crate::mqtt::{self, Delivery, Properties, Qos, ReasonCode};
use crate::time::Instant;

/// Names a publish, from [`Client::publish`](super::Client::publish) to [`ClientEvent::Published`] or
/// [`ClientEvent::Dropped`]. They ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub(super) u64);

/// Names a subscription for the life of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(super) u32);

impl PublishId {
    /// The number, for logs.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl SubscriptionId {
    /// The number; in 5.0 its subscription identifier on the wire.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Something happened; taken with [`Client::poll_event`](super::Client::poll_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A transport is wanted: [`Client::poll_connect`](super::Client::poll_connect) gave it out.
    Connecting {
        /// The attempt in a row, from 1 on.
        attempt: u32,
        /// Where to, by its place in the adapter's list.
        endpoint: usize,
    },
    /// The server welcomes this client.
    Connected {
        /// The server still had the session: nothing was lost.
        session_present: bool,
        /// What response topics may be made of (5.0), where the server says so.
        response_information: Option<String>,
    },
    /// The session of the connections before is gone (it expired, or does not outlive connections).
    /// What was not acknowledged is published anew, so it may come twice; all subscriptions are made
    /// again, and messages in between are missed.
    Lost,
    /// The connection was lost, or none could be made.
    Disconnected {
        /// Why.
        reason: Reason,
        /// When the next attempt is due.
        retry_at: Instant,
    },
    /// A message.
    Message {
        /// Because of these subscriptions. None where it comes from one that this client does not know:
        /// of a session that it goes on with.
        subscriptions: Vec<SubscriptionId>,
        /// The message.
        message: Message,
    },
    /// A subscription was answered. One of which every filter was refused exists no more. Where the
    /// session was lost, each is answered again.
    Subscribed {
        /// Which.
        subscription: SubscriptionId,
        /// What became of each filter.
        reasons: Vec<ReasonCode>,
        /// Why, for people; often empty.
        text: String,
    },
    /// A subscription has ended, as was asked.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
        /// What became of each filter. None where the server knew nothing of it anyway.
        reasons: Vec<ReasonCode>,
    },
    /// A publish is done: written if it has QoS 0, else answered by the server, which may have refused
    /// it; or not sent, because the server has said that it takes no such message
    /// ([`PacketTooLarge`](ReasonCode::PacketTooLarge), `QosNotSupported`, `RetainNotSupported`).
    Published {
        /// Which.
        publish: PublishId,
        /// How it went.
        reason: ReasonCode,
    },
    /// A publish came to nothing.
    Dropped {
        /// Which.
        publish: PublishId,
        /// Why.
        why: DropReason,
    },
    /// A step of an enhanced authentication (5.0 §4.12).
    Auth {
        /// The server is satisfied; otherwise go on with
        /// [`Client::authenticate`](super::Client::authenticate).
        done: bool,
        /// What the server says.
        data: Vec<u8>,
    },
    /// It is over: the last event.
    Closed {
        /// Why.
        reason: Reason,
        /// How many publishes with QoS 1 and 2, and how many others that wait, came to nothing.
        undelivered: usize,
    },
}

/// Why a connection ended, or was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The application closed it, or its drain is done.
    #[error("closed by the application")]
    Requested,
    /// No transport could be opened.
    #[error("the endpoint could not be reached")]
    Unreachable,
    /// The transport ended without DISCONNECT.
    #[error("the connection was cut")]
    Cut,
    /// The server does not take this client.
    #[error("refused by the server: {}{}", code.name(), beside(text))]
    Refused {
        /// The reason code of CONNACK; of 3.1.1 the one that says the same.
        code: ReasonCode,
        /// Why, in the server's words.
        text: String,
    },
    /// The server ended it (5.0).
    #[error("closed by the server: {}{}", code.name(), beside(text))]
    Remote {
        /// The reason code of DISCONNECT.
        code: ReasonCode,
        /// Why, in the server's words.
        text: String,
    },
    /// This side ended it: the server, or time, broke a rule.
    #[error("closed here: {text}")]
    Local {
        /// The rule.
        text: &'static str,
    },
    /// The WebSocket beneath was not opened, or has ended.
    #[error("{0}")]
    WebSocket(WebSocketError),
    /// The settings make no CONNECT.
    #[error("no CONNECT can be made of the settings: {0}")]
    Settings(&'static str),
}

/// What is said beside a code, where anything is.
fn beside(text: &str) -> String {
    if text.is_empty() { String::new() } else { alloc::format!(" ({text})") }
}

impl Reason {
    /// The reason code, where the server gave one.
    #[must_use]
    pub const fn code(&self) -> Option<ReasonCode> {
        match self {
            Reason::Refused { code, .. } | Reason::Remote { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A received message, in one piece of memory of its own.
#[derive(Clone)]
pub struct Message {
    /// Properties, topic, payload.
    octets: Bytes,
    topic_at: u32,
    payload_at: u32,
    delivery: Delivery,
    retain: bool,
    /// On which connection it came.
    connection: u32,
}

impl Message {
    /// Copies a message as it came; one allocation.
    pub(super) fn copy(publish: &mqtt::Publish<'_>, connection: u32) -> Self {
        let block = publish.properties.octets().unwrap_or_default();
        let parts = [block, publish.topic.as_bytes(), publish.payload];
        let octets = Bytes::from(parts.concat());
        let topic_at = block.len() as u32;
        let payload_at = topic_at + publish.topic.len() as u32;
        Self { octets, topic_at, payload_at, delivery: publish.delivery, retain: publish.retain, connection }
    }

    /// What it is about; aliases are resolved.
    #[must_use]
    pub fn topic(&self) -> &str {
        let topic = self.octets.get(self.topic_at as usize..self.payload_at as usize);
        topic.and_then(|octets| core::str::from_utf8(octets).ok()).unwrap_or_default()
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.octets.get(self.payload_at as usize..).unwrap_or_default()
    }

    /// What it says, without a copy.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.octets.slice(self.payload_at as usize..)
    }

    /// What it says beside (5.0).
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        let block = self.octets.get(..self.topic_at as usize).unwrap_or_default();
        Properties::of_message(block).unwrap_or_default()
    }

    /// How it was delivered.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.delivery.qos()
    }

    /// Its packet identifier; 0 with QoS 0. Of interest for logs alone.
    #[must_use]
    pub fn packet_id(&self) -> u16 {
        self.delivery.id().map_or(0, mqtt::PacketId::get)
    }

    /// Whether the server may have sent it before. With QoS 2 this client has not seen it, or has not
    /// acknowledged it.
    #[must_use]
    pub const fn is_duplicate(&self) -> bool {
        self.delivery.is_duplicate()
    }

    /// Whether it is its topic's retained message, with which a subscription began; with
    /// `retain_as_published` also whether it was published to become one.
    #[must_use]
    pub const fn is_retained(&self) -> bool {
        self.retain
    }

    /// With this it is acknowledged, where that is left to the application.
    #[must_use]
    pub const fn handle(&self) -> AckHandle {
        AckHandle { delivery: self.delivery, connection: self.connection }
    }

    /// Octets of memory it takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.octets.len()
    }
}

impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("payload", &self.payload().len())
            .field("delivery", &self.delivery)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

/// Events that wait for the application, within limits.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: VecDeque<ClientEvent>,
    octets: usize,
    limits: QueueLimits,
}

impl Inbox {
    pub(super) const fn new(limits: QueueLimits) -> Self {
        Self { queue: VecDeque::new(), octets: 0, limits }
    }

    pub(super) fn push(&mut self, event: ClientEvent) {
        self.octets += octets(&event);
        self.queue.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<ClientEvent> {
        let event = self.queue.pop_front()?;
        self.octets -= octets(&event);
        Some(event)
    }

    /// Nothing more is taken in.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.limits.max_messages || self.octets >= self.limits.max_bytes
    }
}

/// What counts against the limit of octets.
fn octets(event: &ClientEvent) -> usize {
    match event {
        ClientEvent::Message { message, .. } => message.size(),
        _ => 0,
    }
}
