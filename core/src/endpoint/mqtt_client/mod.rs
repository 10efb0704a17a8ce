//! An MQTT client over many connections: it connects again, goes on with its session, subscribes
//! again where the server has lost that, keeps what was not acknowledged, and tells its application
//! what happens.
//!
//! It is to [`mqtt::client`], which needs no allocator and drives one session over
//! one connection after another, what [`endpoint::client`](crate::endpoint::client) is to our own
//! protocol's session; and it is driven in the same way.
//!
//! # How to drive a [`Client`]
//!
//! **The transport's side**, called by an adapter. When [`poll_connect`](Client::poll_connect) gives a
//! [`Dial`], open a transport there, then say [`handle_connected`](Client::handle_connected) or
//! [`handle_connect_failed`](Client::handle_connect_failed). While it stands: give what was read to
//! [`recv`](Client::recv) (reading only while [`wants_read`](Client::wants_read)), write what
//! [`poll_transmit`](Client::poll_transmit) puts out, do what it says the transport owes, and say
//! [`handle_transport_gone`](Client::handle_transport_gone) when it is gone. Buffers begin empty with
//! each transport. At [`poll_timeout`](Client::poll_timeout): where its reason is
//! [`Why::Output`](crate::time::Why::Output), go round again; for all else call
//! [`handle_timeout`](Client::handle_timeout), and `poll_connect`.
//!
//! **The application's side.** Calls queue and never block; what comes of them, and all that arrives, is
//! taken with [`poll_event`](Client::poll_event). After any call, give the transport's side a turn.
//!
//! ```
//! use bowline_core::buf::SharedSendBuf;
//! use bowline_core::endpoint::mqtt_client::{Client, ClientConfig, ClientEvent, Publish};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::mqtt::Qos;
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let config = ClientConfig { client_id: "thermometer-7".into(), ..ClientConfig::default() };
//! let mut client = Client::new(now, config, Box::new(Seeded::new(1)));
//! // It waits for a connection.
//! client.publish(now, Publish { qos: Qos::AtLeastOnce, ..Publish::new("room/temperature", "21.5") })?;
//!
//! let dial = client.poll_connect(now).expect("the first attempt is at once");
//! assert_eq!(dial.endpoint, 0);
//! client.handle_connected(now);
//! let mut out = SharedSendBuf::new(4096);
//! let _ = client.poll_transmit(now, &mut out);
//! assert_eq!(out.slices().next().map(|octets| octets[0]), Some(0x10), "CONNECT");
//! assert!(matches!(client.poll_event(), Some(ClientEvent::Connecting { attempt: 1, .. })));
//! # Ok::<(), bowline_core::endpoint::mqtt_client::ClientError>(())
//! ```
//!
//! # Over a WebSocket
//!
//! Where [`handle_connected_over`](Client::handle_connected_over) says so instead, the client opens a
//! WebSocket (RFC 6455) on the transport, with the subprotocol `mqtt` ([MQTT-6.0.0-3]), and speaks in its
//! messages. Nothing else is different, but that a connection may end for
//! [one more reason](Reason::WebSocket).
//!
//! # What is promised
//!
//! - A message with QoS 1 or 2 that was taken in is sent until the server has it, or the application is
//!   told that it was dropped. Where the server has lost the session, what it had not acknowledged is
//!   published anew, and may arrive twice, QoS 2 as well: not to send it could lose it.
//! - Messages of one client go out in the order of the calls.
//! - Subscriptions are made again where the server does not know them any more.
//! - Memory is bounded by [`ClientConfig::outgoing`], [`ClientConfig::incoming`] and the number of
//!   subscriptions; while too many events wait, nothing is read.
//!
//! # What ends it
//!
//! What the next connection would end with as well: wrong credentials, a client identifier, will or
//! version that the server does not take, a session that another client has taken over, and a WebSocket that
//! the only endpoint refuses with a status that would be the same another time. All else is tried again, by
//! the backoff's rules.

mod calls;
mod config;
mod event;
mod link;
mod outbox;
mod recv;
mod session;
mod subscriptions;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashMap;

pub use super::carrier::{Carrier, FieldError, RequestFields, WebSocketError};
pub use super::client::{ClientError, Dial, DropReason, Outgoing, QueueLimits, WhenFull};
pub use calls::{AckHandle, Publish};
pub use config::{AuthMethod, ClientConfig, Will};
pub use event::{ClientEvent, Message, PublishId, Reason, SubscriptionId};
pub use subscriptions::{MAX_SUBSCRIPTIONS, Subscribe};

use super::carrier::Web;
use event::Inbox;
use outbox::Outbox;
use session::Session;
use subscriptions::{Asked, Subscriptions};

use crate::backoff::Backoff;
use crate::entropy::Entropy;
use crate::mqtt::{self, AliasTable, Delivery, PacketId, ReasonCode};
use crate::time::Instant;

/// What the transport is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none; the backoff says when to try.
    Waiting,
    /// One is being opened.
    Dialing,
    /// It stands.
    Attached,
    /// It stands for the last words of a connection that has ended.
    Leaving,
}

/// What the application wants the end to be like.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// When all is done, or at this instant.
    Drain(Instant),
    /// Now.
    Close,
}

/// Packets that are owed beside messages.
#[derive(Debug)]
enum Command {
    Subscribe(SubscriptionId),
    Unsubscribe(SubscriptionId, Vec<String>),
    Ack(Delivery, ReasonCode),
    Auth(Vec<u8>),
}

/// One logical MQTT client over many connections. See the [module](self) for how to drive it.
pub struct Client {
    config: ClientConfig,
    entropy: Box<dyn Entropy + Send>,
    now: Instant,
    state: State,
    /// Nothing comes any more.
    over: bool,
    ending: Option<Ending>,
    backoff: Backoff,
    redirect: Option<String>,

    /// Between the session and the transport that stands, where it is not carried as it is.
    web: Option<Box<Web>>,
    /// The connection ended here, because a rule was broken.
    broken: bool,
    /// The session, over all connections.
    inner: mqtt::Client<Session, AliasTable>,
    /// The topics of the aliases that the server has set on this connection.
    aliases: AliasTable,
    /// CONNECT was put on the transport that stands.
    greeted: bool,
    /// CONNACK has come, and the connection has not ended.
    opened: bool,
    /// What the server said before it ended the connection.
    dismissal: Option<Reason>,
    /// Counts connections, so that what is left of an old one is known as such.
    connection: u32,
    /// There may be something that can be sent.
    sendable: bool,
    /// Octets may wait unread in the receive buffer, because the inbox was full.
    unread: bool,
    /// There was a session before.
    had_session: bool,
    /// The server's turn, or ours, in an authentication.
    auth_due: bool,
    /// Whether the server takes subscription identifiers.
    identifiers: bool,

    inbox: Inbox,
    outbox: Outbox,
    /// What was handed to the session, by its packet identifier.
    sent: HashMap<PacketId, (PublishId, usize)>,
    subscriptions: Subscriptions,
    /// What was asked on this connection, and not answered.
    asked: HashMap<PacketId, Asked>,
    commands: VecDeque<Command>,
    next_publish: u64,
    next_subscription: u32,
}

impl Client {
    /// A client that wants to connect at once. `entropy` is for jitter.
    #[must_use]
    pub fn new(now: Instant, config: ClientConfig, entropy: Box<dyn Entropy + Send>) -> Client {
        // 3.1.1 tells servers no limit: there are no more identifiers than that.
        let v5 = config.version.is_v5();
        let session = Session::new(if v5 { config.receive_maximum.max(1) } else { u16::MAX });
        let mut client = Client {
            entropy,
            now,
            state: State::Waiting,
            over: false,
            ending: None,
            backoff: Backoff::new(config.backoff, config.endpoints),
            redirect: None,
            web: None,
            broken: false,
            inner: mqtt::Client::new(&config.machine(), session, AliasTable::new()),
            aliases: AliasTable::new(),
            greeted: false,
            opened: false,
            dismissal: None,
            connection: 0,
            sendable: false,
            unread: false,
            had_session: false,
            auth_due: false,
            identifiers: false,
            inbox: Inbox::new(config.incoming),
            outbox: Outbox::new(config.outgoing),
            sent: HashMap::new(),
            subscriptions: Subscriptions::new(),
            asked: HashMap::new(),
            commands: VecDeque::new(),
            next_publish: 1,
            next_subscription: 1,
            config,
        };
        client.try_again(Reason::Unreachable);
        client
    }

    /// Time only goes forward.
    #[inline]
    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.config.client_id)
            .field("state", &self.state)
            .field("over", &self.over)
            .field("outgoing", &self.outgoing())
            .finish_non_exhaustive()
    }
}
