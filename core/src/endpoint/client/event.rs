//! What a client tells its application.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::rooms::{RoomEvent, RoomId};
use crate::endpoint::carrier::WebSocketError;
use crate::session::{Code, Properties, Received, SessionId};
use crate::status::Status;
use crate::time::Instant;
use crate::varint::leb128;

/// Names a publish, from [`Client::publish`](super::Client::publish) to
/// [`ClientEvent::Accepted`] or [`ClientEvent::Dropped`]. They ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub(super) u64);

/// Names a subscription for the life of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(super) u64);

/// Names a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Names a request to us: with this it is answered. It does not outlive its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestHandle {
    pub(super) id: u64,
    pub(super) connection: u32,
}

impl PublishId {
    /// The number, for logs.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl SubscriptionId {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl RequestId {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Something happened; taken with [`Client::poll_event`](super::Client::poll_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A message of this subscription was compressed, and does not inflate to what it says: it goes no
    /// further. Who published it is to blame, not the connection.
    Malformed {
        /// The subscription.
        subscription: SubscriptionId,
        /// What it is about.
        topic: String,
    },
    /// A transport is wanted: [`Client::poll_connect`](super::Client::poll_connect) gave it out.
    Connecting {
        /// The attempt in a row, from 1 on.
        attempt: u32,
        /// Where to, by its place in the adapter's list.
        endpoint: usize,
    },
    /// The session is open.
    Connected {
        /// The old session goes on: nothing was lost.
        resumed: bool,
        /// Its public name, where the session outlives its connection.
        session: Option<SessionId>,
        /// What the server calls itself; may be empty.
        server: String,
    },
    /// The former session is gone (it expired, or does not outlive connections): a new one was
    /// opened just now. What was not acknowledged is sent again, so it may come twice; all
    /// subscriptions are made anew, and messages in between are missed.
    Lost,
    /// The connection was lost, or none could be made.
    Disconnected {
        /// Why.
        reason: Reason,
        /// When the next attempt is due.
        retry_at: Instant,
    },
    /// The server of this endpoint has proved to hold this key, and none was known of it: from now on no other
    /// is taken. Keep it, for the next time.
    #[cfg(feature = "noise")]
    ServerKey {
        /// The place in the adapter's list of endpoints.
        endpoint: usize,
        /// The key.
        key: crate::secure::PublicKey,
    },
    /// A message because of a subscription. A reliable one is acknowledged when it is taken here.
    Message {
        /// Which.
        subscription: SubscriptionId,
        /// The message.
        message: Message,
    },
    /// A message of the server to this session itself.
    Direct(Message),
    /// A subscription was answered. One that was refused exists no more. After a new session was
    /// opened, each is answered again.
    Subscribed {
        /// Which.
        subscription: SubscriptionId,
        /// How it went.
        status: Status,
        /// Why, for people; often empty.
        reason: String,
    },
    /// A subscription has ended, as was asked.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
        /// How it went.
        status: Status,
    },
    /// A publish is done: the server has accepted it if it is reliable; otherwise it was written.
    Accepted {
        /// Which.
        publish: PublishId,
    },
    /// A publish came to nothing.
    Dropped {
        /// Which.
        publish: PublishId,
        /// Why.
        why: DropReason,
    },
    /// The server took a publish and goes no further with it, by its rules or limits (MSG-6).
    Refused {
        /// Which; unknown for one that was at most once, which was told as accepted when it left.
        publish: Option<PublishId>,
        /// Why.
        status: Status,
        /// Why, for people.
        reason: String,
    },
    /// Something happened in a room that was [joined](super::Client::join).
    Room {
        /// Which.
        room: RoomId,
        /// What.
        event: RoomEvent,
    },
    /// Somebody asks; answer with [`Client::respond`](super::Client::respond).
    Request(IncomingRequest),
    /// The answer to this request is no longer wanted.
    RequestCancelled(RequestHandle),
    /// An answer to a request of ours.
    Response {
        /// To which.
        request: RequestId,
        /// How it went.
        status: Status,
        /// Others follow; the one without this ends the request.
        more: bool,
        /// The answer, or a reason in UTF-8.
        payload: Bytes,
        /// What it says beside.
        properties: PropertyBlock,
    },
    /// A request of ours ended without an answer, here.
    RequestFailed {
        /// Which.
        request: RequestId,
        /// Why.
        why: RequestFailure,
    },
    /// A ping was answered after this time.
    Pong(Duration),
    /// The server takes no new work. What is in flight is finished; then the client connects
    /// again, to the endpoint that is named or as usual.
    Draining {
        /// The server closes after this time at the latest.
        deadline: Duration,
        /// The client waits for so long.
        retry_after: Duration,
        /// Where to instead; may be empty.
        endpoint: String,
    },
    /// It is over: the last event. What was not answered before will never be.
    Closed {
        /// Why.
        reason: Reason,
        /// How many publishes were neither accepted nor dropped.
        undelivered: usize,
    },
}

/// Why a connection, or the client, came to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The application closed it, or its drain is done.
    #[error("closed by the application")]
    Requested,
    /// No transport could be opened.
    #[error("the endpoint could not be reached")]
    Unreachable,
    /// The transport ended without CLOSE.
    #[error("the connection was cut")]
    Cut,
    /// This side ended it: the server, or time, broke a rule.
    #[error("closed here with {code}{}", beside(text))]
    Local {
        /// The code.
        code: Code,
        /// What is wrong.
        text: String,
    },
    /// The secure mode could not be opened, or was broken.
    #[cfg(feature = "noise")]
    #[error("{0}")]
    Secure(crate::secure::Fault),
    /// The server ended it.
    #[error("closed by the server with {code}{}", beside(text))]
    Remote {
        /// The code.
        code: Code,
        /// Why, in the server's words.
        text: String,
    },
    /// The WebSocket beneath was not opened, or has ended.
    #[error("{0}")]
    WebSocket(WebSocketError),
    /// The credentials, with the name, do not fit into a handshake.
    #[error("name and credentials are too long for a handshake (8,192 octets; the name 256)")]
    Credentials,
}

/// What is said beside a code, where anything is.
fn beside(text: &str) -> String {
    if text.is_empty() { String::new() } else { alloc::format!(": {text}") }
}

impl Reason {
    /// The code of CLOSE, where there was one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Reason::Local { code, .. } | Reason::Remote { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Why a publish came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// A newer one needed its place.
    #[error("the queue was full, and newer messages came")]
    Full,
    /// It waited longer than its expiry.
    #[error("it waited longer than its expiry")]
    Expired,
    /// The server takes only smaller ones.
    #[error("it is larger than the server takes")]
    TooLarge,
    /// It is at most once, and there is no connection.
    #[error("there is no connection, and at most once messages do not wait for one")]
    Disconnected,
    /// It was to be retained, and the server retains nothing.
    #[error("the server keeps no retained values; publish it without retain")]
    Unsupported,
}

/// Why a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// No answer came in time.
    #[error("no answer came in time")]
    Timeout,
    /// The connection was lost before the answer came. It may have been handled or not.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    /// The server takes only smaller ones.
    #[error("it is larger than the server takes")]
    TooLarge,
}

/// A place in a message's octets.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// A received message, in one piece of memory of its own.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    properties: Span,
    topic: Span,
    /// Where the payload begins.
    payload: u32,
    /// What it cost of its subscription's credit.
    size: u32,
    /// On which connection it came.
    pub(super) connection: u32,
    reliable: bool,
    retain: bool,
}

impl Message {
    /// Copies a message as it came; one allocation.
    pub(super) fn copy(received: &Received<'_>, size: u32, connection: u32) -> Self {
        let body = received.body;
        let payload = body.len() - received.payload.len();
        let topic = received.topic.len();
        let block = received.properties.as_bytes().len();
        let before = if block == 0 { 0 } else { leb128::encoded_len(block as u64) };
        Self {
            bytes: Bytes::copy_from_slice(body),
            properties: Span { start: before as u32, len: block as u32 },
            topic: Span { start: (payload - topic) as u32, len: topic as u32 },
            payload: payload as u32,
            size,
            connection,
            reliable: received.reliable,
            retain: received.retain,
        }
    }

    /// Puts a message together from its parts; one allocation.
    pub(super) fn assemble(
        topic: &str,
        payload: &[u8],
        properties: Properties<'_>,
        size: u32,
        connection: u32,
    ) -> Self {
        let block = properties.as_bytes();
        let mut bytes = Vec::with_capacity(block.len() + topic.len() + payload.len());
        bytes.extend_from_slice(block);
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(payload);
        Self {
            bytes: Bytes::from(bytes),
            properties: Span { start: 0, len: block.len() as u32 },
            topic: Span { start: block.len() as u32, len: topic.len() as u32 },
            payload: (block.len() + topic.len()) as u32,
            size,
            connection,
            reliable: false,
            retain: false,
        }
    }

    /// The same, as it was marked.
    pub(super) const fn marked(mut self, reliable: bool, retain: bool) -> Self {
        (self.reliable, self.retain) = (reliable, retain);
        self
    }

    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> &str {
        core::str::from_utf8(self.topic.of(&self.bytes)).unwrap_or_default()
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload as usize..).unwrap_or_default()
    }

    /// What it says, without a copy.
    #[must_use]
    pub fn into_payload(mut self) -> Bytes {
        self.bytes.advance(self.payload as usize);
        self.bytes
    }

    /// What it says beside.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        Properties::from_checked(self.properties.of(&self.bytes))
    }

    /// Whether it came at least once.
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        self.reliable
    }

    /// Whether it is its topic's retained value, with which a subscription began; with
    /// [`retain_as_published`](super::SubscribeOptions::retain_as_published) also whether it was
    /// published to become one.
    #[must_use]
    pub const fn is_retained(&self) -> bool {
        self.retain
    }

    /// What it cost of its subscription's credit, in octets; see
    /// [`Client::grant`](super::Client::grant).
    #[must_use]
    pub const fn credit(&self) -> u64 {
        self.size as u64
    }

    /// Octets of memory it takes.
    pub(in crate::endpoint::client) const fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("payload", &self.payload().len())
            .field("reliable", &self.reliable)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

/// Properties in memory of their own; none take none.
#[derive(Clone, Default)]
pub struct PropertyBlock(Bytes);

impl PropertyBlock {
    pub(super) fn copy(properties: Properties<'_>) -> Self {
        Self(if properties.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(properties.as_bytes()) })
    }

    /// Of a block that was put together here.
    pub(super) fn of_block(block: alloc::vec::Vec<u8>) -> Self {
        Self(block.into())
    }

    /// To read them.
    #[must_use]
    pub fn get(&self) -> Properties<'_> {
        Properties::from_checked(&self.0)
    }
}

impl core::fmt::Debug for PropertyBlock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.get().fmt(f)
    }
}

/// A request to us.
#[derive(Clone, Debug)]
pub struct IncomingRequest {
    /// Answer with this.
    pub handle: RequestHandle,
    /// Because of this subscription.
    pub subscription: SubscriptionId,
    /// For how long an answer is of use, from when the request arrived.
    pub timeout: Duration,
    /// Others were asked as well.
    pub many: bool,
    /// Topic, payload and properties.
    pub message: Message,
}
