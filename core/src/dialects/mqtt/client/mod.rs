//! A client: its connection, and the session that outlives it. No allocator is needed.
//!
//! # How to drive a [`Client`]
//!
//! [`connect`](Client::connect) whenever a transport is connected. Then as every machine here:
//! [`recv`](Client::recv) until it returns nothing, then [`poll_transmit`](Client::poll_transmit), then
//! write what is in the buffer, then sleep until [`poll_timeout`](Client::poll_timeout), readable or
//! writable. Any method may be called in any state. Time never goes back.
//!
//! What is published with QoS 1 and 2 is kept in a [`Store`] until the server has it: also while there is
//! no connection, and beyond the server's receive maximum.
//!
//! ```
//! use bowline_core::buf::SliceSendBuf;
//! use bowline_core::mqtt::client::{Arena, Client, Config, Message};
//! use bowline_core::mqtt::{Connect, NoAliases, Qos, Version};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let mut memory = [0; 256];
//! let mut out = SliceSendBuf::new(&mut memory);
//! let mut client = Client::new(&Config::default(), Arena::new([0; 1024], [0; 8]), NoAliases);
//! client.connect(now, &mut out, &Connect { keep_alive: 30, ..Connect::new(Version::V5, "me") })?;
//! // Kept until there is a connection, and after it until PUBACK has come.
//! let id = client.publish(now, &mut out, &Message::new("a/b", b"hi").with_qos(Qos::AtLeastOnce))?;
//! assert!(id.is_some());
//! # Ok::<(), bowline_core::mqtt::SendError>(())
//! ```

mod close;
mod event;
mod recv;
mod send;
mod store;
mod timers;

#[cfg(test)]
mod tests;

pub use event::Event;
pub use send::Message;
pub use store::{Arena, Entry, Kept, Store};

use core::time::Duration;

use close::Ending;

use super::{Ack, AckKind, Aliases, CLOSE_WAIT, PacketId, Qos, ReasonCode, Version};
use crate::lifecycle::Lifecycle;
use crate::time::Instant;

/// The settings of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The version of the session, and so of all its connections.
    pub version: Version,
    /// The largest packet that is taken, in octets, fixed header and all: no more than the receive buffer
    /// holds. 5.0 servers are told.
    pub max_packet: u32,
    /// How many messages with QoS 1 and 2 the server may send unacknowledged; at least 1. 5.0 servers are
    /// told, and no more than the store can note. 3.1.1 has no words for it: a connection over which more
    /// come with QoS 2 than the store can note is broken off.
    pub receive_maximum: u16,
    /// The highest topic alias that is taken. [`NoAliases`](super::NoAliases) can keep none.
    pub topic_alias_maximum: u16,
    /// Messages are acknowledged when [`Client::ack`] says so, not by themselves.
    pub manual_ack: bool,
    /// How long it may take until the server has answered CONNECT.
    pub connect_timeout: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
    /// For how long the server may take no octet of what waits for it.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: Version::V5,
            max_packet: 1 << 20,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 0,
            manual_ack: false,
            connect_timeout: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Idle,
    /// CONNECT was sent.
    Connecting,
    /// CONNACK has come.
    Open,
}

/// Where an authentication stands (§4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// None is under way.
    None,
    /// The server's turn.
    Server,
    /// The application's turn.
    Ours,
}

/// How many acknowledgements may be owed: then [`Client::recv`] waits until they are written.
const OWED: usize = 16;

/// Acknowledgements in the order in which they are due ([MQTT-4.6.0-2] to [MQTT-4.6.0-4]).
#[derive(Clone, Copy, Debug)]
struct Owed {
    ring: [Option<(PacketId, AckKind, bool)>; OWED],
    first: u8,
    len: u8,
}

impl Owed {
    const NONE: Owed = Owed { ring: [None; OWED], first: 0, len: 0 };

    const fn is_full(&self) -> bool {
        self.len as usize == OWED
    }

    fn push(&mut self, kind: AckKind, id: PacketId, known: bool) {
        self.ring[(self.first as usize + self.len as usize) % OWED] = Some((id, kind, known));
        self.len += 1;
    }

    fn first(&self) -> Option<Ack<'static>> {
        if self.len == 0 {
            return None;
        }
        let (id, kind, known) = self.ring[self.first as usize]?;
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        Some(Ack { reason, ..Ack::new(kind, id) })
    }

    fn pop(&mut self) {
        self.first = (self.first + 1) % OWED as u8;
        self.len = self.len.saturating_sub(1);
    }
}

/// A client, with its session in `S` and the topics of its own aliases in `A`.
/// See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Client<S, A> {
    store: S,
    /// The topics of the aliases that this side has set.
    aliases: A,
    config: Config,
    now: Instant,
    life: Lifecycle<Ending>,
    stalled_since: Option<Instant>,
    last_sent: Instant,
    last_received: Instant,
    /// When the ping was sent that waits for its answer.
    pinged_at: Option<Instant>,
    /// A digest of the authentication method of CONNECT; 0: none.
    auth_method: u64,
    owed: Owed,
    /// How many entries of the store, from the first on, were sent over this connection.
    sent: usize,
    /// What the server has announced that it would not take.
    rejected: Option<(PacketId, ReasonCode)>,
    partial: u32,
    tx_max_packet: u32,
    tx_maximum: u16,
    tx_in_flight: u16,
    tx_aliases: u16,
    /// As announced; and what waits for our acknowledgement.
    rx_maximum: u16,
    rx_in_flight: u16,
    /// In seconds.
    keep_alive: u16,
    /// Identifiers are looked for behind this one.
    latest_id: PacketId,
    phase: Phase,
    step: Step,
    maximum_qos: Qos,
    retain_available: bool,
    clean_start: bool,
    /// The session is new, and what was sent before is told as lost, entry by entry.
    losing: Losing,
    /// How many entries the store had when this connection was welcomed.
    old: usize,
    farewell: Option<ReasonCode>,
    closed_told: bool,
    /// The server said DISCONNECT, or refused.
    dismissed: bool,
    eof: bool,
    aborted: bool,
}

/// What is told as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Losing {
    Nothing,
    /// Subscriptions, from the connection before.
    Requests,
    /// Those, and messages that the server may have seen.
    Session,
}

impl<S: Store, A: Aliases> Client<S, A> {
    /// A client without a connection. What `store` holds already is its session.
    #[must_use]
    pub fn new(config: &Config, store: S, aliases: A) -> Self {
        let latest = store.len().checked_sub(1).and_then(|place| store.at(place));
        Client {
            // A session goes on behind what it has, not through all of it.
            latest_id: latest.map_or(PacketId::MAX, |entry| entry.id),
            store,
            aliases,
            config: *config,
            now: Instant::ZERO,
            life: Self::no_life(),
            stalled_since: None,
            last_sent: Instant::ZERO,
            last_received: Instant::ZERO,
            pinged_at: None,
            auth_method: 0,
            owed: Owed::NONE,
            sent: 0,
            rejected: None,
            partial: 0,
            tx_max_packet: u32::MAX,
            tx_maximum: u16::MAX,
            tx_in_flight: 0,
            tx_aliases: 0,
            rx_maximum: u16::MAX,
            rx_in_flight: 0,
            keep_alive: 0,
            phase: Phase::Idle,
            step: Step::None,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            clean_start: false,
            losing: Losing::Nothing,
            old: 0,
            farewell: None,
            closed_told: true,
            dismissed: false,
            eof: false,
            aborted: false,
        }
    }

    /// That of a connection which is over.
    fn no_life() -> Lifecycle<Ending> {
        let mut life = Lifecycle::new(Instant::ZERO, Duration::ZERO, CLOSE_WAIT);
        life.ended(Ending::NONE);
        life
    }

    #[inline]
    fn tick(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
        }
    }

    /// The version of the session.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.config.version
    }

    /// Whether CONNACK has come, and nothing has ended the connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.life.is_established()
    }

    /// What the session keeps.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The keep alive in force, in seconds; 0: none.
    #[must_use]
    pub const fn keep_alive(&self) -> u16 {
        self.keep_alive
    }

    /// The highest topic alias that the server takes; 0: none.
    #[must_use]
    pub const fn topic_alias_maximum(&self) -> u16 {
        self.tx_aliases
    }

    /// The largest packet that the server takes, in octets; `u32::MAX` where it sets no limit.
    #[must_use]
    pub const fn maximum_packet_size(&self) -> u32 {
        self.tx_max_packet
    }

    /// The highest QoS that the server takes.
    #[must_use]
    pub const fn maximum_qos(&self) -> Qos {
        self.maximum_qos
    }

    /// How many messages with QoS 1 and 2 the server takes unacknowledged.
    #[must_use]
    pub const fn receive_maximum(&self) -> u16 {
        self.tx_maximum
    }
}
