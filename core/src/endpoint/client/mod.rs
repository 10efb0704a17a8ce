//! A client over many connections: it connects again, resumes its session, subscribes again, keeps
//! what was not acknowledged, and tells its application what happens.
//!
//! # How to drive a [`Client`]
//!
//! It is a state machine, as all here: time comes in, octets come in and go out through buffers
//! that the caller owns. There are two sides to it.
//!
//! **The transport's side**, called by an adapter. When [`poll_connect`](Client::poll_connect)
//! gives a [`Dial`], open a transport there, then say [`handle_connected`](Client::handle_connected)
//! or [`handle_connect_failed`](Client::handle_connect_failed). While it stands: give what was read
//! to [`recv`](Client::recv) (reading only while [`wants_read`](Client::wants_read)), write what
//! [`poll_transmit`](Client::poll_transmit) puts out, do what it says the transport owes, and say
//! [`handle_transport_gone`](Client::handle_transport_gone) when it is gone. Buffers begin empty
//! with each transport. At [`poll_timeout`](Client::poll_timeout): where its reason is
//! [`Why::Output`](crate::time::Why::Output), go round again; for all else call
//! [`handle_timeout`](Client::handle_timeout), and `poll_connect`.
//!
//! **The application's side.** Calls queue and never block; what comes of them, and all that
//! arrives, is taken with [`poll_event`](Client::poll_event). After any call, give the transport's
//! side a turn: `poll_timeout` may have changed.
//!
//! Time never goes back: an earlier `now` than before counts as the same instant.
//!
//! ```
//! use bowline_core::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
//! use bowline_core::endpoint::client::{Client, ClientConfig, ClientEvent, Publish};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::session::{Config, Event, Session, Transport, Welcome};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let entropy = Box::new(Seeded::new(1)); // an adapter passes the system's
//! let mut client = Client::new(now, ClientConfig::default(), entropy);
//! client.publish(now, Publish { reliable: true, ..Publish::new("demo/hello", "hi") })?;
//!
//! // The adapter connects...
//! let dial = client.poll_connect(now).expect("the first attempt is at once");
//! assert_eq!(dial.endpoint, 0);
//! client.handle_connected(now);
//! let mut server = Session::accept(now, &Config::default());
//!
//! // ... and carries octets both ways; here to a session in the same program.
//! let mut received = Vec::new();
//! loop {
//!     let (mut a, mut b) = ([0; 1024], [0; 1024]);
//!     let mut to_server = SliceSendBuf::new(&mut a);
//!     assert_eq!(client.poll_transmit(now, &mut to_server), Transport::Open);
//!     let mut memory = [0; 1024];
//!     let mut arrived = SliceRecvBuf::new(&mut memory);
//!     arrived.push(to_server.pending());
//!     let mut to_client = SliceSendBuf::new(&mut b);
//!     while let Some(event) = server.recv(now, &mut arrived) {
//!         match event {
//!             Event::Hello(_) => server.welcome(now, &mut to_client, &Welcome::default(), None).unwrap(),
//!             Event::Publish(message) => received.push(message.topic.to_string()),
//!             _ => {}
//!         }
//!     }
//!     let _ = server.poll_transmit(now, &mut to_client);
//!     let mut memory = [0; 1024];
//!     let mut arrived = SliceRecvBuf::new(&mut memory);
//!     arrived.push(to_client.pending());
//!     if arrived.filled().is_empty() {
//!         break;
//!     }
//!     client.recv(now, &mut arrived);
//! }
//! assert_eq!(received, ["demo/hello"]);
//!
//! // The application takes what happened.
//! assert!(matches!(client.poll_event(), Some(ClientEvent::Connecting { attempt: 1, .. })));
//! assert!(matches!(client.poll_event(), Some(ClientEvent::Connected { resumed: false, .. })));
//! assert!(matches!(client.poll_event(), Some(ClientEvent::Accepted { .. })));
//! # Ok::<(), bowline_core::endpoint::client::ClientError>(())
//! ```
//!
//! # Over a WebSocket
//!
//! Where [`handle_connected_over`](Client::handle_connected_over) says so instead, the client opens a
//! WebSocket (RFC 6455) on the transport, with the subprotocol `bowline`, and speaks in its messages.
//! Nothing else is different, but that a connection may end for [one more reason](Reason::WebSocket).
//!
//! # What is promised
//!
//! - A reliable message that was taken in is sent until the server has accepted it, or the
//!   application is told that it was dropped. While the session lives on, it arrives once; when
//!   the session was lost ([`ClientEvent::Lost`]) it may arrive twice.
//! - Messages of one client arrive in the order of the calls. Subscriptions and requests may
//!   overtake messages that wait.
//! - A room that was joined is joined again on each connection, from the last message that came: its
//!   messages come in order, each once; where some are lost, it says so.
//! - A reliable message from the server is acknowledged when the application takes it, and comes
//!   once while the session lives.
//! - Memory is bounded by [`ClientConfig::outgoing`], [`ClientConfig::incoming`], the session's
//!   credit, and the number of subscriptions, rooms and requests.
//!
//! # Tunnels
//!
//! [`open_tunnel`](Client::open_tunnel) asks a server that relays for a connection to a target of its own.
//! A tunnel is a stream of octets each way, with windows of its own; what has come is taken with
//! [`read_tunnel`](Client::read_tunnel), and is not among the events. Tunnels end with their connection.
//!
//! # What ends it
//!
//! Wrong credentials, an authentication method or version that the server does not have, not being
//! allowed, and being taken over by another client that resumed the same session: connecting again
//! would not help, or make it worse. So does a WebSocket that is refused by the only endpoint with a status
//! that would be the same another time. All else is tried again, by the backoff's rules.

mod calls;
mod compressing;
mod config;
mod datagrams;
mod event;
mod inbox;
mod link;
#[cfg(feature = "noise")]
mod noise;
mod outbox;
mod recv;
mod requests;
mod rooms;
mod subscriptions;
#[cfg(test)]
pub(in crate::endpoint) mod tests;
mod transmit;
mod tunnels;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

pub use super::carrier::{Carrier, FieldError, RequestFields, WebSocketError};
pub use crate::hub::PresenceMode;
pub use calls::{ClientError, Publish, Reply, Request, SubscribeOptions};
pub use config::{ClientConfig, Compression, Credentials, QueueLimits, WhenFull};
pub use event::{
    ClientEvent, DropReason, IncomingRequest, Message, PropertyBlock, PublishId, Reason, RequestFailure,
    RequestHandle, RequestId, SubscriptionId,
};
#[cfg(feature = "noise")]
pub use noise::{NoiseConfig, NoiseKeys, ServerTrust};
pub use outbox::Outgoing;
pub use rooms::{JoinOptions, Presence, RoomEvent, RoomId, RoomMessage, RoomPlace, RoomPublish};
pub use subscriptions::MAX_SUBSCRIPTIONS;
pub use tunnels::TunnelId;

pub use crate::session::{Piece, ResetCode, TunnelState, TunnelsConfig};

use super::carrier::Web;
use compressing::Compressing;
use datagrams::Datagrams;
use inbox::Inbox;
use outbox::{Budget, Outbox};
use requests::{Requests, Serving};
use rooms::Rooms;
use subscriptions::Subscriptions;

use crate::backoff::Backoff;
use crate::entropy::Entropy;
use crate::scram::ScramClient;
use crate::session::{Code, Features, Resume, Session, Tunnels};
use crate::time::Instant;

/// "Open a transport there, now."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The place in the adapter's list of endpoints.
    pub endpoint: usize,
    /// Where the server said to go instead, in its own words, when it drained. Credentials will be
    /// sent there: an adapter that does not trust, or understand, it takes `endpoint`.
    pub address: Option<String>,
}

/// What the transport is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none; the backoff says when to try.
    Waiting,
    /// One is being opened.
    Dialing,
    /// It stands.
    Attached,
    /// It stands for the last words of a session that has ended.
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

/// Frames that go before messages, since no credit holds them back.
#[derive(Clone, Copy, Debug)]
enum Command {
    Subscribe(u64),
    Unsubscribe(u64),
    Grant(u64),
    Cancel(u64),
    Join(u64),
    Leave(u64),
    /// What others in a room are to see.
    Show(u64),
    /// A command of the server's that a client does not serve: its kind, its id, the answer.
    Refuse(crate::session::Kind, u64, crate::status::Status),
}

/// The server takes no new work.
#[derive(Debug)]
struct ServerDrain {
    deadline: Instant,
    retry_after: Duration,
    endpoint: String,
}

/// One logical client over many connections. See the [module](self) for how to drive it.
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
    /// Between the session and what carries it, in the secure mode.
    #[cfg(feature = "noise")]
    noise: Option<Box<noise::Noise>>,
    /// Which endpoint the connection is to.
    #[cfg(feature = "noise")]
    endpoint: usize,
    /// With which code the last connection ended here.
    ended: Code,
    /// On the transport that stands, from when HELLO was put.
    session: Option<Session>,
    /// The SCRAM exchange of a connection that opens, and the step that is owed.
    scram: Option<Box<ScramClient>>,
    auth_owed: Option<Vec<u8>>,
    /// WELCOME has come, and the session has not ended.
    opened: bool,
    /// Counts connections, so that what is left of an old one is known as such.
    connection: u32,
    /// Reliable messages of this connection that the application has not taken.
    untaken: u32,
    /// The session grants no credit.
    held: bool,
    /// There may be something that can be sent.
    sendable: bool,
    /// Octets may wait unread in the receive buffer, because the inbox was full.
    unread: bool,
    server_drain: Option<ServerDrain>,
    /// Refusals among the commands.
    refusals: usize,

    /// The session that goes on.
    resume: Option<Resume>,
    /// There was a session before.
    had_session: bool,

    inbox: Inbox,
    outbox: Outbox,
    budget: Budget,
    subscriptions: Subscriptions,
    rooms: Rooms,
    requests: Requests,
    serving: Serving,
    compressing: Option<Box<Compressing>>,
    commands: VecDeque<Command>,
    tunnels: Tunnels,
    /// They had to wait for room the last time.
    tunnels_waited: bool,
    next_publish: u64,
    next_subscription: u64,
    next_request: u64,
    next_tunnel: u64,
    /// Messages for datagrams beside the stream, where the transport has them.
    datagrams: Datagrams,
}

impl Client {
    /// A client that wants to connect at once. `entropy` is for jitter and nonces.
    #[must_use]
    pub fn new(now: Instant, mut config: ClientConfig, entropy: Box<dyn Entropy + Send>) -> Client {
        config.session.manual_accept = true;
        // Queues and history are not offered by this machine.
        let codecs = config.compression.iter().flat_map(|c| &c.codecs).filter(|codec| codec.is_available());
        let codecs = codecs.fold(Features::NONE, |all, codec| all | Features::of_codec(*codec));
        let always = Features::ROOMS | Features::PRESENCE | Features::RETAINED | Features::RELAY;
        config.session.features = always | codecs;
        let mut client = Client {
            entropy,
            now,
            state: State::Waiting,
            over: false,
            ending: None,
            backoff: Backoff::new(config.backoff, config.endpoints),
            redirect: None,
            web: None,
            #[cfg(feature = "noise")]
            noise: None,
            #[cfg(feature = "noise")]
            endpoint: 0,
            ended: Code::Normal,
            session: None,
            scram: None,
            auth_owed: None,
            opened: false,
            connection: 0,
            untaken: 0,
            held: false,
            sendable: false,
            unread: false,
            server_drain: None,
            refusals: 0,
            resume: None,
            had_session: false,
            inbox: Inbox::new(config.incoming),
            outbox: Outbox::default(),
            budget: Budget::new(config.outgoing),
            subscriptions: Subscriptions::new(),
            rooms: Rooms::default(),
            requests: Requests::default(),
            serving: Serving::default(),
            compressing: config
                .compression
                .clone()
                .map(|compression| Box::new(Compressing::new(compression))),
            commands: VecDeque::new(),
            tunnels: Tunnels::new(config.tunnels),
            tunnels_waited: false,
            next_publish: 1,
            next_subscription: 1,
            next_request: 1,
            next_tunnel: 1,
            datagrams: Datagrams::default(),
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
            .field("name", &self.config.name)
            .field("state", &self.state)
            .field("over", &self.over)
            .field("session", &self.session_id())
            .field("outgoing", &self.outgoing())
            .finish_non_exhaustive()
    }
}
