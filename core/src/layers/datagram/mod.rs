//! Datagram sessions: our own protocol over UDP, many sessions on one socket.
//!
//! An [`Endpoint`] finds each datagram's session by its connection id, so that a session survives a change of
//! its address. Each session has one ordered, reliable stream each way, over which the ordinary session
//! protocol runs unchanged, and messages that are sent once: unreliable ones, and sequenced ones of which a later
//! makes an earlier stale ([`Delivery`]). What is on the wire is in `conformance/SPEC.md`, "Datagrams".
//!
//! | what | as in |
//! |---|---|
//! | loss detection, probes, pacing | RFC 9002 |
//! | congestion control | RFC 9438 (Cubic) or RFC 9002 §7 (New Reno): [`ControllerKind`] |
//! | congestion that routers tell | RFC 9000 §13.4, RFC 9002 §7.1: [`Ecn`] |
//! | packet sizes | RFC 8899, from 1,200 octets up to [`Config::max_datagram`] |
//! | change of address | RFC 9000 §9: challenge, and three times what came until it is answered |
//! | who has not shown where it is | a cookie, and nothing is kept |
//!
//! # How to drive an [`Endpoint`]
//!
//! Give it what the socket receives ([`Endpoint::handle_datagram`]), then send what it has
//! ([`Endpoint::poll_transmit`]) until it has no more, take its events ([`Endpoint::poll_event`]), and come back
//! at [`Endpoint::poll_timeout`] or when more comes. A datagram that is of no use is dropped and counted
//! ([`DropReason`]); none ends a session but one that its peer has sealed.
//!
//! ```
//! use bowline_core::datagram::{Config, Delivery, Ecn, Endpoint, Event, Security};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::time::Instant;
//!
//! let config = Config::new(Security::Insecure); // for this example: secure ones need keys
//! let (here, there) = ("[::1]:1".parse()?, "[::1]:2".parse()?);
//! let mut client = Endpoint::new(config.clone(), Seeded::new(1), false);
//! let mut server = Endpoint::new(config, Seeded::new(2), true);
//!
//! let now = Instant::from_millis(0);
//! let session = client.connect(now, there)?;
//! let mut datagrams = Vec::new();
//! let mut accepted = None;
//! for _ in 0..4 {
//!     while let Some(transmit) = client.poll_transmit(now, &mut datagrams, 10) {
//!         datagrams.chunks(transmit.segment).for_each(|d| server.handle_datagram(now, here, Ecn::NotEct, d));
//!     }
//!     while let Some(transmit) = server.poll_transmit(now, &mut datagrams, 10) {
//!         datagrams.chunks(transmit.segment).for_each(|d| client.handle_datagram(now, there, Ecn::NotEct, d));
//!     }
//!     while let Some(event) = server.poll_event() {
//!         if let Event::Accepted(session) = event {
//!             accepted = Some(session);
//!         }
//!     }
//!     if accepted.is_some() {
//!         client.send_message(session, Delivery::Sequenced { key: 7 }, b"x: 3, y: 4").ok();
//!     }
//! }
//! let mut message = Vec::new();
//! let delivery = server.recv_message(accepted.expect("it is open"), &mut message);
//! assert_eq!((delivery, &message[..]), (Some(Delivery::Sequenced { key: 7 }), &b"x: 3, y: 4"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cids;
mod cipher;
mod congestion;
mod connection;
mod cookie;
mod ecn;
mod endpoint;
mod frame;
mod messages;
mod mtu;
mod number;
mod packet;
mod path;
mod ranges;
mod received;
mod recovery;
mod stream;
#[cfg(test)]
mod tests;

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

pub use cipher::Security;
#[cfg(feature = "noise")]
pub use cipher::{NoiseKeys, Proved};
pub use ecn::Ecn;
pub use endpoint::{Endpoint, Event};
pub use messages::Delivery;
pub use packet::{ConnectionId, Refusal, VERSION};

/// The smallest size that a path must carry, in octets, without the headers of UDP and IP.
pub const BASE_DATAGRAM: u16 = mtu::BASE;

/// The largest that [`Config::max_datagram`] can be.
pub const MAX_DATAGRAM: u16 = 65_000;

/// A session at an [`Endpoint`]. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(u64);

impl SessionKey {
    /// As a number, for logs.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What decides how much may be on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControllerKind {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 9002 §7.
    NewReno,
}

/// The settings of an [`Endpoint`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What sessions are secured by.
    pub security: Security,
    /// A session of which nothing was heard for so long is over; the lower of both sides' counts. Default 30 s.
    pub idle: Duration,
    /// A client is heard from so often, which keeps the addresses on the way alive. Default 10 s; none: not
    /// at all. At most a third of the idle time.
    pub keep_alive: Option<Duration>,
    /// A handshake may take so long. Default 5 s.
    pub handshake: Duration,
    /// How many octets of the stream the peer may send before they are read. Default 1 MiB.
    pub window: u32,
    /// How many octets of the stream are kept until they have arrived. Default 1 MiB.
    pub send_buffer: usize,
    /// How many messages wait at most, each way. Default 1,024.
    pub messages: usize,
    /// And how many octets of them. Default 1 MiB.
    pub message_octets: usize,
    /// The largest datagram that is tried, in octets without the headers of UDP and IP: 1,200 to 65,000. Default
    /// 1,452, what Ethernet carries of IPv6.
    pub max_datagram: u16,
    /// How many sessions there may be. Default 10,000.
    pub sessions: usize,
    /// How many handshakes of clients may be under way. Default 1,000.
    pub handshakes: usize,
    /// What decides how much may be on the way.
    pub controller: ControllerKind,
    /// Packets say that they take part in ECN, where the path carries that. Default true.
    pub ecn: bool,
}

impl Config {
    /// The defaults, secured so.
    #[must_use]
    pub const fn new(security: Security) -> Self {
        Self {
            security,
            idle: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(10)),
            handshake: Duration::from_secs(5),
            window: 1 << 20,
            send_buffer: 1 << 20,
            messages: 1024,
            message_octets: 1 << 20,
            max_datagram: 1_452,
            sessions: 10_000,
            handshakes: 1_000,
            controller: ControllerKind::Cubic,
            ecn: true,
        }
    }

    /// Each within its range.
    fn bounded(mut self) -> Self {
        self.max_datagram = self.max_datagram.clamp(BASE_DATAGRAM, MAX_DATAGRAM);
        self.idle = self.idle.max(Duration::from_millis(100));
        self.window = self.window.max(u32::from(MAX_DATAGRAM));
        self.send_buffer = self.send_buffer.max(usize::from(MAX_DATAGRAM));
        self
    }
}

/// What is to be sent: one write's datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Each datagram has so many octets, the last one so many or fewer.
    pub segment: usize,
    /// What their IP headers are to say.
    pub ecn: Ecn,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// This side has ended it.
    Local,
    /// The peer has.
    Peer {
        /// 0: as intended.
        code: u64,
        /// In words, maybe none.
        reason: String,
    },
    /// Nothing was heard of the peer for too long.
    Idle,
    /// The server does not know the session any more: it says so, and did not show otherwise when asked.
    Forgotten,
    /// The handshake has failed, or took too long.
    Handshake,
    /// The server has no connection for this client.
    Refused(Refusal),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this side has ended the session"),
            Self::Peer { code, reason } if reason.is_empty() => {
                write!(f, "the peer has ended the session, code {code}")
            }
            Self::Peer { code, reason } => write!(f, "the peer has ended the session, code {code}: {reason}"),
            Self::Idle => f.write_str("nothing was heard of the peer for too long"),
            Self::Forgotten => f.write_str("the server does not know the session any more"),
            Self::Handshake => f.write_str("the handshake has failed, or took too long"),
            Self::Refused(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for Ended {}

/// Why a session cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There are as many sessions as there may be.
    #[error("there are too many sessions")]
    Full,
    /// The keys are of no use.
    #[error("the session cannot be secured with these keys")]
    Security,
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It fits in no datagram.
    #[error("the message is larger than {max} octets, the most that fits in a datagram now")]
    TooLarge {
        /// What fits now, in octets.
        max: usize,
    },
    /// The session is not open.
    #[error("the session is not open")]
    Closed,
}

/// Why a datagram was as if it had not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It is none of ours, or its content cannot be read.
    Malformed,
    /// Its connection id is nobody's.
    Unknown,
    /// It belongs to another state, or another address.
    Unexpected,
    /// It has come before, or comes too late to tell.
    Replayed,
    /// It is not sealed as its sender would have.
    Forged,
    /// Its piece of the stream goes beyond the window, or against its end.
    Window,
    /// There are too many sessions or handshakes.
    Full,
    /// Its session has ended.
    Closed,
}

impl DropReason {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Unknown,
        Self::Unexpected,
        Self::Replayed,
        Self::Forged,
        Self::Window,
        Self::Full,
        Self::Closed,
    ];

    /// A word for it, as metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Unexpected => "unexpected",
            Self::Replayed => "replayed",
            Self::Forged => "forged",
            Self::Window => "window",
            Self::Full => "full",
            Self::Closed => "closed",
        }
    }
}

/// What an [`Endpoint`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Their octets.
    pub received_octets: u64,
    /// Datagrams that went out.
    pub sent: u64,
    /// Their octets.
    pub sent_octets: u64,
    /// Datagrams that were dropped, by [`DropReason`] in the order of [`DropReason::ALL`].
    pub dropped: [u64; 8],
    /// Packets that were to be acknowledged.
    pub eliciting: u64,
    /// Of these, how many were lost.
    pub lost: u64,
    /// How often nothing was heard of what was sent, so that it was said again.
    pub probes: u64,
    /// Sequenced messages that came later than a later one.
    pub stale: u64,
    /// Messages that were dropped because too many waited.
    pub overflowed: u64,
    /// Cookies that were given to who has shown none.
    pub cookies: u64,
    /// Clients that were refused.
    pub refused: u64,
    /// Sessions that were opened.
    pub opened: u64,
    /// Sessions that have ended.
    pub ended: u64,
    /// How often a peer was at another address.
    pub moved: u64,
    /// Packets with content that had to come again: they were lost, or nothing was heard of them.
    pub repeated: u64,
    /// How often a path carried large packets no more.
    pub black_holes: u64,
    /// Data packets with ids that are nobody's, which was said to their senders.
    pub forgotten: u64,
    /// Packets that came with a router's mark of congestion.
    pub congested_received: u64,
    /// How often a peer said that there were such among its own.
    pub congested_sent: u64,
    /// Paths that were found not to carry ECN's marks.
    pub ecn_failed: u64,
}

/// What is known of a session's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The smoothed round-trip time, once one was measured.
    pub rtt: Option<Duration>,
    /// How many octets may be on the way.
    pub window: u64,
    /// How many are.
    pub in_flight: u64,
    /// The largest datagram that the path carries, as far as known.
    pub datagram: u16,
    /// Packets that were lost.
    pub lost: u64,
    /// Octets that are kept to be sent, or sent again.
    pub kept: usize,
    /// The path carries ECN's marks.
    pub ecn: bool,
}
