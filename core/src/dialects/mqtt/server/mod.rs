//! A broker's side of one connection.
//!
//! # How to drive a [`Server`]
//!
//! As every machine here: [`recv`](Server::recv) until it returns nothing, then
//! [`poll_transmit`](Server::poll_transmit), then write what is in the buffer, then sleep until
//! [`poll_timeout`](Server::poll_timeout), readable or writable. Any method may be called in any
//! state. Time never goes back: an earlier `now` than before counts as the same instant.
//!
//! The machine knows the connection: versions, limits, aliases, flow control towards this side, keep
//! alive, the packets' order, and how to end. Sessions (packet identifiers, what is in flight, what
//! was received with QoS 2, subscriptions, wills) are the caller's.
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::mqtt::server::{Config, Event, Server, Welcome};
//! use bowline_core::mqtt::{Connect, NoAliases, Outgoing, Version};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let (mut a, mut b) = ([0; 128], [0; 128]);
//! let mut out = SliceSendBuf::new(&mut a);
//! Connect::new(Version::V311, "me").encode(Version::V311, &mut out)?;
//! let mut received = SliceRecvBuf::new(&mut b);
//! received.push(out.pending());
//!
//! let mut server = Server::accept(now, &Config::default());
//! let mut aliases = NoAliases;
//! let Some(Event::Connect(connect)) = server.recv(now, &mut received, &mut aliases) else { panic!() };
//! assert_eq!(connect.client_id, "me");
//! let mut memory = [0; 128];
//! let mut out = SliceSendBuf::new(&mut memory);
//! server.connack(now, &mut out, &Welcome::default())?;
//! server.publish(now, &mut out, &Outgoing::new(b"a/b", b"hi"))?;
//! assert_eq!(out.pending(), b"\x20\x02\0\0\x30\x07\0\x03a/bhi");
//! # Ok::<(), bowline_core::mqtt::SendError>(())
//! ```

mod close;
mod event;
mod recv;
mod send;
mod timers;

#[cfg(test)]
mod tests;

pub use event::Event;
pub use send::Welcome;

use core::time::Duration;

use close::{Ending, Farewell};

use super::{CLOSE_WAIT, Qos, Version};
use crate::keepalive::Watch;
use crate::lifecycle::Lifecycle;
use crate::time::Instant;

/// The settings of a server's side.
///
/// ```
/// use bowline_core::mqtt::server::Config;
/// let mut config = Config::default();
/// config.max_packet = 4096; // no more than the receive buffer holds
/// config.max_keep_alive = Some(300);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest packet that is taken, in octets, fixed header and all.
    pub max_packet: u32,
    /// The largest packet that is taken before the connection is established.
    pub max_connect_packet: u32,
    /// How many publications with QoS 1 and 2 a 5.0 client may have unacknowledged; at least 1.
    pub receive_maximum: u16,
    /// The highest topic alias that is taken. [`NoAliases`](super::NoAliases) can keep none.
    pub topic_alias_maximum: u16,
    /// The highest QoS with which clients may publish.
    pub maximum_qos: Qos,
    /// Whether clients may have messages retained.
    pub retain_available: bool,
    /// Whether to announce that filters may have wildcards. Refusing them is the caller's.
    pub wildcard_subscriptions: bool,
    /// Whether to announce that subscriptions may have identifiers. Refusing them is the caller's.
    pub subscription_identifiers: bool,
    /// Whether to announce that subscriptions may be shared. Refusing them is the caller's.
    pub shared_subscriptions: bool,
    /// The longest keep alive in seconds: a 5.0 client that asks for more, or for none, is told this one.
    pub max_keep_alive: Option<u16>,
    /// How long it may take until the connection is established.
    pub connect_timeout: Duration,
    /// For how long the peer may take no octet of what waits for it.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_packet: 1 << 20,
            max_connect_packet: 1 << 16,
            receive_maximum: 1024,
            topic_alias_maximum: 0,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            wildcard_subscriptions: true,
            subscription_identifiers: true,
            shared_subscriptions: true,
            max_keep_alive: None,
            connect_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT must come.
    Connect,
    /// The application has to answer CONNECT or AUTH.
    Deciding,
    /// The client has to go on with its authentication.
    Auth,
    /// The connection is, or was, established.
    Open,
}

/// Where an authentication of an established connection stands (§4.12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// None is under way.
    No,
    /// The application has to answer AUTH.
    Deciding,
    /// The client has to go on.
    Auth,
}

/// A broker's side of one connection. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Server {
    now: Instant,
    life: Lifecycle<Ending>,
    /// Since when the transport takes nothing of what waits.
    stalled_since: Option<Instant>,
    /// A server is silent as long as it likes: only the client has to speak.
    watch: Watch,
    /// A digest of the authentication method of CONNECT; 0: none.
    auth_method: u64,
    /// PINGREQs that were not answered yet.
    pings: u32,
    /// Octets at the front of the receive buffer that were already seen, as part of a packet.
    partial: u32,
    rx_max_packet: u32,
    rx_max_connect: u32,
    tx_max_packet: u32,
    write_timeout_ms: u32,
    /// What is left of the session's expiry may not be raised from 0.
    session_expiry: u32,
    rx_maximum: u16,
    /// Publications with QoS 1 and 2 that wait for our acknowledgement.
    rx_in_flight: u16,
    tx_maximum: u16,
    rx_aliases: u16,
    tx_aliases: u16,
    /// As the client asked.
    keep_alive: u16,
    max_keep_alive: Option<u16>,
    version: Version,
    phase: Phase,
    again: Again,
    maximum_qos: Qos,
    retain_available: bool,
    wildcard_subscriptions: bool,
    subscription_identifiers: bool,
    shared_subscriptions: bool,
    /// Whether answers may have reason strings and user properties.
    explain: bool,
    /// Whether the client wants response information.
    respond: bool,
    farewell: Farewell,
    /// The application was told of the end.
    closed_told: bool,
    /// The client said DISCONNECT.
    disconnected: bool,
    /// The peer ended its stream.
    eof: bool,
    aborted: bool,
}

impl Server {
    /// A transport was accepted: CONNECT must come.
    #[must_use]
    pub fn accept(now: Instant, config: &Config) -> Server {
        Server {
            now,
            life: Lifecycle::new(now, config.connect_timeout, CLOSE_WAIT),
            stalled_since: None,
            watch: Watch::new(now, None),
            auth_method: 0,
            pings: 0,
            partial: 0,
            rx_max_packet: config.max_packet,
            rx_max_connect: config.max_connect_packet.min(config.max_packet),
            tx_max_packet: u32::MAX,
            write_timeout_ms: u32::try_from(config.write_timeout.as_millis()).unwrap_or(u32::MAX),
            session_expiry: 0,
            rx_maximum: config.receive_maximum.max(1),
            rx_in_flight: 0,
            tx_maximum: u16::MAX,
            rx_aliases: config.topic_alias_maximum,
            tx_aliases: 0,
            keep_alive: 0,
            max_keep_alive: config.max_keep_alive.filter(|max| *max > 0),
            version: Version::V311,
            phase: Phase::Connect,
            again: Again::No,
            maximum_qos: config.maximum_qos,
            retain_available: config.retain_available,
            wildcard_subscriptions: config.wildcard_subscriptions,
            subscription_identifiers: config.subscription_identifiers,
            shared_subscriptions: config.shared_subscriptions,
            explain: true,
            respond: false,
            farewell: Farewell::None,
            closed_told: false,
            disconnected: false,
            eof: false,
            aborted: false,
        }
    }

    /// Time only goes forward.
    #[inline]
    fn tick(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
        }
    }

    /// The client's version, once CONNECT has come.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the connection is established: CONNACK said so, and nothing has ended it.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.life.is_established()
    }

    /// How many publications with QoS 1 and 2 the client takes unacknowledged ([MQTT-3.3.4-9]): the
    /// caller, who knows what is in flight, sends no more. 65,535 in 3.1.1.
    #[inline]
    #[must_use]
    pub const fn receive_maximum(&self) -> u16 {
        self.tx_maximum
    }

    /// The highest topic alias that the client takes; 0: none.
    #[inline]
    #[must_use]
    pub const fn topic_alias_maximum(&self) -> u16 {
        self.tx_aliases
    }

    /// The largest packet that the client takes, in octets; `u32::MAX` where it sets no limit.
    #[inline]
    #[must_use]
    pub const fn maximum_packet_size(&self) -> u32 {
        self.tx_max_packet
    }

    /// The keep alive in force, in seconds; 0: none.
    #[must_use]
    pub const fn keep_alive(&self) -> u16 {
        match (self.version, self.max_keep_alive) {
            (Version::V5, Some(max)) if self.keep_alive == 0 || self.keep_alive > max => max,
            _ => self.keep_alive,
        }
    }

    /// How many publications with QoS 1 and 2 wait for this side's acknowledgement.
    #[must_use]
    pub const fn receive_in_flight(&self) -> u16 {
        self.rx_in_flight
    }
}
