//! Our own protocol: one connection's session, from either side.
//!
//! The rules are in the specification (`conformance/SPEC.md`); a comment like "RES-7" names one.
//!
//! # How to drive a [`Session`]
//!
//! A session is a state machine of less than 256 bytes that owns no memory. Its methods are of four
//! sorts, and any may be called in any state, in any order:
//!
//! - **in**: [`recv`](Session::recv) consumes frames from a [`RecvBuf`](crate::buf::RecvBuf) and
//!   returns events that borrow it; [`handle_timeout`](Session::handle_timeout),
//!   [`handle_written`](Session::handle_written), [`handle_eof`](Session::handle_eof) say what the
//!   world did.
//! - **calls**: [`publish`](Session::publish), [`subscribe`](Session::subscribe) and the like put a
//!   whole frame into a [`SendBuf`](crate::buf::SendBuf), or say why not and change nothing.
//! - **out**: [`poll_transmit`](Session::poll_transmit) puts what the machine itself owes, and says
//!   what the transport owes; [`poll_timeout`](Session::poll_timeout) says when to call again.
//! - **getters**.
//!
//! After octets, time or a call: `recv` until it returns nothing, then `poll_transmit`, then write
//! what is in the buffer, then sleep until `poll_timeout`, readable or writable.
//!
//! Time never goes back: an earlier `now` than before counts as the same instant.
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::session::{Config, Connect, Event, Message, Session, Transport, Welcome};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let config = Config::default();
//! let (mut a, mut b) = ([0; 1024], [0; 1024]);
//! let (mut to_server, mut to_client) = (SliceSendBuf::new(&mut a), SliceSendBuf::new(&mut b));
//!
//! let mut client = Session::connect(now, &config, &Connect::default(), &mut to_server)?;
//! let mut server = Session::accept(now, &config);
//!
//! // What the client wrote reaches the server.
//! let mut memory = [0; 1024];
//! let mut received = SliceRecvBuf::new(&mut memory);
//! received.push(to_server.pending());
//! assert!(matches!(server.recv(now, &mut received), Some(Event::Hello(_))));
//! server.welcome(now, &mut to_client, &Welcome::default(), None)?;
//!
//! // And back.
//! let mut memory = [0; 1024];
//! let mut received = SliceRecvBuf::new(&mut memory);
//! received.push(to_client.pending());
//! assert!(matches!(client.recv(now, &mut received), Some(Event::Welcome(_))));
//! client.publish(now, &mut to_server, &Message::new("demo/hello", b"hi"))?;
//! assert_eq!(client.poll_transmit(now, &mut to_server), Transport::Open);
//! # Ok::<(), bowline_core::session::SendError>(())
//! ```

mod close;
mod code;
#[cfg(feature = "alloc")]
mod datagram;
mod event;
mod fault;
mod frame;
mod handshake;
mod hello;
mod props;
mod recv;
mod send;
mod timers;
mod tunnel;
#[cfg(feature = "alloc")]
mod tunnels;
mod wire;

#[cfg(test)]
mod tests;

use core::time::Duration;

pub use crate::lifecycle::{By, Transport};
pub use close::{CLOSE_WAIT, REASON_MAX};
pub use code::Code;
pub use event::{
    Closed, DatagramMode, Drain, Event, History, Join, Joined, Message, Offer, Outcome, Received, Request,
    ResetCode, Response, Subscribe, TunnelFrame,
};
pub use fault::Fault;
pub use frame::{Kind, PREFACE};
pub use hello::{
    Auth, Connect, Counts, Features, Hello, KEEPALIVE_CEILING, Limits, MAX_FRAME_CEILING, MAX_FRAME_FLOOR,
    NAME_MAX, Resume, ResumeKey, SessionId, VERSION, Welcome,
};
#[cfg(feature = "alloc")]
pub(crate) use props::Block;
pub use props::{DEDUPLICATION_MAX, InvalidProperties, Properties, Property, ROUTE_MAX, TEXT_MAX};
#[cfg(feature = "alloc")]
pub(crate) use send::Prepared;
pub use send::{Forward, SendError};
pub use tunnel::TARGET_MAX;
#[cfg(feature = "alloc")]
pub use tunnels::{Piece, TunnelState, Tunnels, TunnelsConfig};
pub use wire::VARINT_MAX;

use close::{Ending, shorten};

use crate::flow::credit::{CreditReceiver, CreditSender};
use crate::keepalive::Keepalive;
use crate::lifecycle::Lifecycle;
use crate::time::Instant;

/// The largest frame before the session is open, in octets (FRM-6): room for a token, and little
/// for a stranger to waste.
pub const HANDSHAKE_FRAME_MAX: u32 = 8192;

/// The most octets that a server takes from a client before the session is open (FRM-6).
pub const HANDSHAKE_MAX: usize = 65_536;

/// The settings of a session. The defaults are those of the specification.
///
/// ```
/// use bowline_core::session::Config;
/// use core::time::Duration;
/// let mut config = Config::default();
/// config.limits.max_frame = 4096; // no more than the receive buffer holds, less 10
/// config.limits.keepalive = Some(Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What this side announces that it takes.
    pub limits: Limits,
    /// What it can do beyond the base.
    pub features: Features,
    /// How long the handshake may take (HSK-10).
    pub handshake_deadline: Duration,
    /// For how long the peer may take no octet of what waits for it.
    pub write_timeout: Duration,
    /// Reliable frames are acknowledged when [`Session::accept_received`] says so, not by
    /// themselves (REL-6).
    pub manual_accept: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            features: Features::NONE,
            handshake_deadline: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            manual_accept: false,
        }
    }
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What an opening session waits for (SPEC §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A server has seen so many octets of the preface.
    Preface(u8),
    /// A server waits for HELLO.
    Hello,
    /// A server's application has to answer.
    Deciding,
    /// A server waits for AUTH.
    Auth,
    /// A client waits for WELCOME or AUTH.
    Welcome,
    /// Nothing more: the session is, or was, open.
    Done,
}

/// One side of one connection of our own protocol. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Session {
    now: Instant,
    life: Lifecycle<Ending>,
    /// Since when the transport takes nothing of what waits.
    stalled_since: Option<Instant>,
    keepalive: Keepalive,
    tx_credit: CreditSender,
    rx_credit: CreditReceiver,
    /// Reliable frames sent, and acknowledged by the peer.
    sent: u64,
    acked: u64,
    /// Reliable frames received; of those, not acknowledged yet, and not accepted yet.
    received: u64,
    unacknowledged: u32,
    unaccepted: u32,
    /// The token of the latest ping.
    pong: u64,
    rx_max_frame: u32,
    tx_max_frame: u32,
    rx_in_flight: u16,
    tx_in_flight: u16,
    speak_every: u32,
    hear_every: u32,
    write_timeout_ms: u32,
    handshake_octets: u32,
    /// Octets at the front of the receive buffer that were already seen, as part of a frame.
    partial: u32,
    pings: u32,
    features: Features,
    role: Role,
    phase: Phase,
    manual: bool,
    pong_owed: bool,
    ack_owed: bool,
    close_owed: bool,
    close_sent: bool,
    close_received: bool,
    /// The application was told of the end.
    closed_told: bool,
    drain_sent: bool,
    drain_received: bool,
    /// The peer ended its stream.
    eof: bool,
    aborted: bool,
    /// What comes can no longer be cut into frames.
    deaf: bool,
    /// A client whose method may have further steps, and one that owes such a step.
    auth_waits: bool,
    auth_owed: bool,
    resuming: bool,
}

impl Session {
    fn new(now: Instant, config: &Config, role: Role, phase: Phase) -> Session {
        let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        let limits = &config.limits;
        let max_frame = limits.max_frame.clamp(MAX_FRAME_FLOOR, MAX_FRAME_CEILING);
        Session {
            now,
            life: Lifecycle::new(now, config.handshake_deadline, CLOSE_WAIT),
            stalled_since: None,
            keepalive: Keepalive::new(now, None, None),
            tx_credit: CreditSender::new(0),
            rx_credit: CreditReceiver::new(limits.credit),
            sent: 0,
            acked: 0,
            received: 0,
            unacknowledged: 0,
            unaccepted: 0,
            pong: 0,
            rx_max_frame: max_frame,
            tx_max_frame: HANDSHAKE_FRAME_MAX,
            rx_in_flight: limits.in_flight.max(1),
            tx_in_flight: 0,
            speak_every: 0,
            hear_every: limits.keepalive.map_or(0, millis).min(KEEPALIVE_CEILING),
            write_timeout_ms: millis(config.write_timeout),
            handshake_octets: 0,
            partial: 0,
            pings: 0,
            features: config.features,
            role,
            phase,
            manual: config.manual_accept,
            pong_owed: false,
            ack_owed: false,
            close_owed: false,
            close_sent: false,
            close_received: false,
            closed_told: false,
            drain_sent: false,
            drain_received: false,
            eof: false,
            aborted: false,
            deaf: false,
            auth_waits: false,
            auth_owed: false,
            resuming: false,
        }
    }

    /// Time only goes forward.
    #[inline]
    fn tick(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
        }
    }

    /// What this side announces.
    fn limits(&self) -> Limits {
        Limits {
            max_frame: self.rx_max_frame,
            in_flight: self.rx_in_flight,
            credit: self.rx_credit.window(),
            keepalive: (self.hear_every > 0).then(|| Duration::from_millis(u64::from(self.hear_every))),
        }
    }

    /// How many reliable frames went each way so far; what a session keeps when its connection ends.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts { sent: self.sent, acked: self.acked, received: self.received - self.unaccepted as u64 }
    }

    /// How many reliable frames were received, accepted or not.
    #[cfg(feature = "alloc")]
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether a server has read nothing yet, and has not ended.
    #[cfg(feature = "noise")]
    pub(crate) fn is_untouched(&self) -> bool {
        self.phase == Phase::Preface(0) && !self.is_ended()
    }

    /// Whether messages can be sent and come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.life.is_established()
    }

    /// Whether this side has said that it takes no new work.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.drain_sent
    }

    /// Whether the peer has said that it takes no new work.
    #[must_use]
    pub const fn is_peer_draining(&self) -> bool {
        self.drain_received
    }

    /// The largest frame that the peer takes, in octets of body.
    #[must_use]
    pub const fn max_send_frame(&self) -> u32 {
        self.tx_max_frame
    }

    /// How many reliable frames the peer takes unacknowledged.
    #[must_use]
    pub const fn send_in_flight(&self) -> u16 {
        self.tx_in_flight
    }

    /// The smoothed round-trip time, once a ping was answered.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.keepalive.smoothed_rtt()
    }
}

impl<'b> Message<'b> {
    /// A message without properties, at most once.
    #[must_use]
    pub const fn new(topic: &'b str, payload: &'b [u8]) -> Self {
        Self { topic, payload, properties: Properties::NONE, reliable: false, retain: false }
    }
}
