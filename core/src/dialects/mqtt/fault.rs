//! What a peer, or time, did wrong; and the one total map from there to the reason code.

use super::{PacketType, PropertyId, ReasonCode};

/// A broken rule. Each names what and where; [`Fault::reason_code`] says what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A packet type that must not be used (§2.1.2): 0, or 15 in 3.1.1.
    #[error("packet type {0} is reserved")]
    ReservedType(u8),
    /// [MQTT-2.1.3-1] (5.0), [MQTT-2.2.2-1] (3.1.1).
    #[error("{packet} has the flags {flags:#06b} in its fixed header, which its type forbids")]
    ReservedFlags {
        /// The packet.
        packet: PacketType,
        /// Its flags.
        flags: u8,
    },
    /// [MQTT-1.5.5-1], of a fixed header.
    #[error("{packet}: the remaining length is not a minimal number of at most 4 octets")]
    RemainingLength {
        /// The packet.
        packet: PacketType,
    },
    /// [MQTT-3.1.2-24] and [MQTT-3.2.2-15].
    #[error("{packet} has {size} octets, more than the {limit} allowed")]
    PacketTooLarge {
        /// The packet.
        packet: PacketType,
        /// Its octets, fixed header and all.
        size: u32,
        /// What is allowed.
        limit: u32,
    },
    /// A packet that cannot be parsed.
    #[error("{packet}: {what}")]
    Malformed {
        /// The packet.
        packet: PacketType,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A packet that says what it must not, or comes when it must not.
    #[error("{packet}: {what}")]
    Protocol {
        /// The packet.
        packet: PacketType,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A property that does not belong where it is (§2.2.2.2).
    #[error("{packet}: the property {property} is not allowed there")]
    PropertyNotAllowed {
        /// The packet.
        packet: PacketType,
        /// The property.
        property: PropertyId,
    },
    /// A property that may be there once.
    #[error("{packet}: the property {property} is there twice")]
    PropertyRepeated {
        /// The packet.
        packet: PacketType,
        /// The property.
        property: PropertyId,
    },
    /// A property with a value that it must not have.
    #[error("{packet}: the property {property} {what}")]
    PropertyValue {
        /// The packet.
        packet: PacketType,
        /// The property.
        property: PropertyId,
        /// What is wrong with its value.
        what: &'static str,
    },
    /// [MQTT-3.3.2-2], [MQTT-4.7.1-1] and §4.7.3.
    #[error("{packet}: {what}")]
    TopicName {
        /// The packet.
        packet: PacketType,
        /// What is wrong with the name.
        what: &'static str,
    },
    /// [MQTT-4.7.1-1] to [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    #[error("{packet}: {what}")]
    TopicFilter {
        /// The packet.
        packet: PacketType,
        /// What is wrong with the filter.
        what: &'static str,
    },
    /// [MQTT-3.1.2-1].
    #[error("CONNECT: the protocol's name is not MQTT")]
    ProtocolName,
    /// [MQTT-3.1.2-2].
    #[error("CONNECT: protocol level {0} is not spoken here; 4 (3.1.1) and 5 (5.0) are")]
    ProtocolLevel(u8),
    /// [MQTT-3.1.3-8] of 3.1.1.
    #[error("CONNECT: without a client identifier no session can be kept; ask for a clean one")]
    ClientId,
    /// [MQTT-3.3.4-9] (to a client), [MQTT-3.3.4-7] (to a server).
    #[error("more than {limit} publications with QoS above 0 wait for their acknowledgement")]
    ReceiveMaximum {
        /// What is allowed.
        limit: u16,
    },
    /// [MQTT-3.3.2-8], [MQTT-3.3.2-9], [MQTT-3.3.2-10], [MQTT-3.3.2-11].
    #[error("topic alias {alias}: {what}")]
    TopicAlias {
        /// The alias.
        alias: u16,
        /// What is wrong with it.
        what: &'static str,
    },
    /// [MQTT-3.2.2-11].
    #[error("{packet}: QoS {qos} is above {max}, the most that is supported")]
    QosNotSupported {
        /// The packet.
        packet: PacketType,
        /// What it asks for.
        qos: u8,
        /// What is supported.
        max: u8,
    },
    /// [MQTT-3.2.2-13], [MQTT-3.2.2-14].
    #[error("{packet}: retained messages are not supported")]
    RetainNotSupported {
        /// The packet.
        packet: PacketType,
    },
    /// [MQTT-3.1.0-1] and [MQTT-3.1.0-2] on a server's side, [MQTT-3.2.0-1] on a client's.
    #[error("{packet} is not allowed {context}")]
    Unexpected {
        /// The packet.
        packet: PacketType,
        /// From whom, or when.
        context: &'static str,
    },
    /// §4.12: a method that is not the one that CONNECT named ([MQTT-4.12.0-5]).
    #[error("{packet}: not the authentication method that the connection began with")]
    AuthMethod {
        /// The packet.
        packet: PacketType,
    },
    /// §3.1.4: CONNECT, or its answer, did not come in time.
    #[error("the connection was not established in time")]
    ConnectTimeout,
    /// [MQTT-3.1.2-22] (5.0), [MQTT-3.1.2-24] (3.1.1).
    #[error("nothing was heard from the peer for 1.5 times the keep alive")]
    KeepAliveTimeout,
    /// [MQTT-3.1.2-22]'s other side: a server that answers no PINGREQ.
    #[error("no PINGRESP came in time")]
    PingTimeout,
    /// The transport took no octet for too long.
    #[error("the peer has read nothing for too long")]
    WriteTimeout,
}

impl Fault {
    /// The reason code on the wire. Total: there is no other way from a fault to a code.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Fault::ReservedType(_)
            | Fault::ReservedFlags { .. }
            | Fault::RemainingLength { .. }
            | Fault::Malformed { .. }
            | Fault::PropertyNotAllowed { .. } => ReasonCode::MalformedPacket,
            Fault::Protocol { .. }
            | Fault::PropertyRepeated { .. }
            | Fault::PropertyValue { .. }
            | Fault::Unexpected { .. } => ReasonCode::ProtocolError,
            Fault::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Fault::TopicName { .. } => ReasonCode::TopicNameInvalid,
            Fault::TopicFilter { .. } => ReasonCode::TopicFilterInvalid,
            Fault::ProtocolName | Fault::ProtocolLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            Fault::ClientId => ReasonCode::ClientIdentifierNotValid,
            Fault::ReceiveMaximum { .. } => ReasonCode::ReceiveMaximumExceeded,
            Fault::TopicAlias { .. } => ReasonCode::TopicAliasInvalid,
            Fault::QosNotSupported { .. } => ReasonCode::QosNotSupported,
            Fault::RetainNotSupported { .. } => ReasonCode::RetainNotSupported,
            Fault::AuthMethod { .. } => ReasonCode::BadAuthenticationMethod,
            Fault::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            Fault::ConnectTimeout | Fault::PingTimeout | Fault::WriteTimeout => ReasonCode::UnspecifiedError,
        }
    }

    /// What a reason string says beside the code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Fault::ReservedType(_) => "the packet type is reserved",
            Fault::ReservedFlags { .. } => "the fixed header's flags are not those of the packet type",
            Fault::RemainingLength { .. } => "the remaining length is not minimal, or too long",
            Fault::PacketTooLarge { .. } => "the packet is larger than announced as acceptable",
            Fault::PropertyNotAllowed { .. } => "a property does not belong there",
            Fault::PropertyRepeated { .. } => "a property is there twice",
            Fault::Malformed { what, .. }
            | Fault::Protocol { what, .. }
            | Fault::PropertyValue { what, .. }
            | Fault::TopicName { what, .. }
            | Fault::TopicFilter { what, .. }
            | Fault::TopicAlias { what, .. } => what,
            Fault::ProtocolName => "the protocol's name is not MQTT",
            Fault::ProtocolLevel(_) => "only protocol levels 4 and 5 are spoken here",
            Fault::ClientId => "without a client identifier no session can be kept",
            Fault::ReceiveMaximum { .. } => "more unacknowledged publications than announced as acceptable",
            Fault::QosNotSupported { .. } => "the QoS is above the maximum",
            Fault::RetainNotSupported { .. } => "retained messages are not supported",
            Fault::Unexpected { context, .. } => context,
            Fault::AuthMethod { .. } => "not the authentication method of this connection",
            Fault::ConnectTimeout => "the connection was not established in time",
            Fault::KeepAliveTimeout => "nothing heard from you for too long",
            Fault::PingTimeout => "no answer to a ping in time",
            Fault::WriteTimeout => "you have read nothing for too long",
        }
    }
}
