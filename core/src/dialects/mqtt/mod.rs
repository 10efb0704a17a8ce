//! MQTT 3.1.1 and 5.0.
//!
//! Sections and statements like [MQTT-3.1.2-24] are those of the OASIS standards; of 5.0 where
//! nothing else is said.
//!
//! [`Packet`] reads and writes every packet of both versions without an allocator. What is read
//! borrows the octets; lists within a packet are checked when it is read, and read again when asked.
//! [`server`] is a broker's side of a connection, [`client`] a client with its session.

mod alias;
#[cfg(feature = "alloc")]
mod block;
mod both;
pub mod client;
mod fault;
mod packet;
mod properties;
mod reason;
pub mod server;
mod version;
mod wire;

#[cfg(test)]
mod tests;

pub use crate::retain::RetainHandling;
#[cfg(feature = "alloc")]
pub use alias::AliasTable;
pub use alias::{Aliases, FixedAliases, NoAliases};
#[cfg(feature = "alloc")]
pub use block::PropertyBlock;
pub use client::Client;
pub use fault::Fault;
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Delivery, Disconnect, FilterIter, Filters, Head, Outgoing, Packet,
    PacketType, Payload, Publish, ReasonCodes, SubAck, Subscribe, Subscription, SubscriptionIter,
    SubscriptionOptions, Subscriptions, UnsubAck, Unsubscribe, Will,
};
pub use properties::{Properties, Property, PropertyId, PropertyIter, Source};
pub use reason::ReasonCode;
pub use server::Server;
pub use version::Version;
pub use wire::VARINT_MAX;

use core::time::Duration;

use crate::error::Blocked;
use crate::lifecycle::By;

/// How long a side that has said its last waits for the other to end the stream.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A packet identifier (§2.2.1): 1 to 65,535.
pub type PacketId = core::num::NonZeroU16;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that sends CONNECT.
    Client,
    /// The one that answers.
    Server,
}

/// How often a message is delivered (§4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: at most once.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once.
    AtLeastOnce = 1,
    /// QoS 2: exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// Its number on the wire.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The QoS with this number; 3 must not be used.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Qos> {
        match number {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

/// Why a packet was not sent. Nothing was written and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The output buffer has no room now.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// The packet is larger than the peer takes, or than any packet can be.
    #[error("the packet has {size} octets; at most {limit} are taken")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: u32,
    },
    /// Nothing more can be kept until the peer has acknowledged some of what was sent.
    #[error("too much is unacknowledged; wait until the peer has acknowledged some of it")]
    InFlight,
    /// The peer has said that it does not support this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The connection is not open, not yet or no longer, or waits for something else.
    #[error("this cannot be sent in the connection's present state")]
    State,
    /// A value that the protocol cannot carry.
    #[error("{0}")]
    Invalid(&'static str),
}

impl SendError {
    /// Whether the same call may succeed later on this connection.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self, SendError::Blocked(_) | SendError::InFlight)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Who ended it.
    pub by: By,
    /// The reason, where somebody gave one.
    pub reason: Option<ReasonCode>,
    /// What this side says beside.
    pub text: &'static str,
    /// The rule that was broken.
    pub fault: Option<Fault>,
}
