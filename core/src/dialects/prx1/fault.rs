//! What a peer, or time, did wrong; and what a server says before it closes.

use super::packet::{ConnectResult, Kind};
use super::topic::TopicError;

/// A broken rule. Each names what and where. The dialect has hardly any words for it: whatever
/// [`Fault::answer`] does not answer just closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The upper half of a first octet is 0, 3 or 15.
    #[error("packet code {0} is not assigned")]
    UnassignedCode(u8),
    /// The remaining length goes on.
    #[error("{0}: the remaining length goes on after four octets")]
    LengthTooLong(Kind),
    /// More than any packet of this kind has, or than this side takes.
    #[error("{kind} announces {size} octets, more than the {limit} allowed")]
    TooLarge {
        /// The packet.
        kind: Kind,
        /// As announced, without the fixed header.
        size: u32,
        /// What is allowed.
        limit: u32,
    },
    /// The body ends within a field, or before it.
    #[error("{kind}: the body ends within the {field}")]
    Truncated {
        /// The packet.
        kind: Kind,
        /// The field.
        field: &'static str,
    },
    /// The body goes on behind its last field.
    #[error("{kind}: {octets} octets are left over behind the last field")]
    LeftOver {
        /// The packet.
        kind: Kind,
        /// How many.
        octets: u32,
    },
    /// A string that is not UTF-8.
    #[error("{kind}: the {field} is not UTF-8")]
    NotUtf8 {
        /// The packet.
        kind: Kind,
        /// The field.
        field: &'static str,
    },
    /// A number that has no meaning in its place.
    #[error("{kind}: the {field} is {value}, which means nothing")]
    BadValue {
        /// The packet.
        kind: Kind,
        /// The field.
        field: &'static str,
        /// What it is.
        value: u16,
    },
    /// A packet id of 0 or 65,535.
    #[error("{kind}: the id is {id}; ids are 1 to 65534")]
    BadId {
        /// The packet.
        kind: Kind,
        /// What it is.
        id: u16,
    },
    /// A topic, filter, queue or return path that cannot be.
    #[error("{kind}: {field}: {error}")]
    BadTopic {
        /// The packet.
        kind: Kind,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: TopicError,
    },
    /// A QUEUE with neither options nor a message.
    #[error("QUEUE has neither options nor a message")]
    EmptyQueue,
    /// CONNECT for another protocol.
    #[error("CONNECT: the protocol name is not PRX1")]
    BadProtocol,
    /// Something else came first.
    #[error("{kind} came first, where {wanted} must")]
    NotFirst {
        /// What came.
        kind: Kind,
        /// What was due.
        wanted: Kind,
    },
    /// A packet that this side is never sent, or not again.
    #[error("{kind} is not allowed {context}")]
    Unexpected {
        /// The packet.
        kind: Kind,
        /// From whom, or when.
        context: &'static str,
    },
    /// CONNECT, or its answer, did not come in time.
    #[error("the handshake took longer than allowed")]
    HandshakeTimeout,
    /// No packet for 1.5 times the keepalive.
    #[error("no packet came for 1.5 times the keepalive")]
    KeepaliveTimeout,
    /// The transport took no octet for too long.
    #[error("the peer has read nothing for too long")]
    WriteTimeout,
}

impl Fault {
    /// The result with which a server answers before it closes. Total: there is no other way from
    /// a fault to the wire.
    #[must_use]
    pub const fn answer(&self) -> Option<ConnectResult> {
        match self {
            Fault::BadProtocol => Some(ConnectResult::Refused),
            Fault::UnassignedCode(_)
            | Fault::LengthTooLong(_)
            | Fault::TooLarge { .. }
            | Fault::Truncated { .. }
            | Fault::LeftOver { .. }
            | Fault::NotUtf8 { .. }
            | Fault::BadValue { .. }
            | Fault::BadId { .. }
            | Fault::BadTopic { .. }
            | Fault::EmptyQueue
            | Fault::NotFirst { .. }
            | Fault::Unexpected { .. }
            | Fault::HandshakeTimeout
            | Fault::KeepaliveTimeout
            | Fault::WriteTimeout => None,
        }
    }
}
