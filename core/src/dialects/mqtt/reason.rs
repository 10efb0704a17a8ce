//! Reason codes (MQTT 5.0 §2.4), and what becomes of them in 3.1.1.

use super::{PacketType, Side};

/// In which packets a code is allowed, as bits; DISCONNECT and AUTH by who sends them.
mod place {
    pub(super) const CONNACK: u16 = 1;
    pub(super) const PUBACK: u16 = 1 << 1;
    pub(super) const PUBREC: u16 = 1 << 2;
    pub(super) const PUBREL: u16 = 1 << 3;
    pub(super) const PUBCOMP: u16 = 1 << 4;
    pub(super) const SUBACK: u16 = 1 << 5;
    pub(super) const UNSUBACK: u16 = 1 << 6;
    pub(super) const DISCONNECT_CLIENT: u16 = 1 << 7;
    pub(super) const DISCONNECT_SERVER: u16 = 1 << 8;
    pub(super) const AUTH_CLIENT: u16 = 1 << 9;
    pub(super) const AUTH_SERVER: u16 = 1 << 10;
    pub(super) const DISCONNECT: u16 = DISCONNECT_CLIENT | DISCONNECT_SERVER;
    pub(super) const AUTH: u16 = AUTH_CLIENT | AUTH_SERVER;
    /// PUBACK and PUBREC, which allow the same.
    pub(super) const PUB: u16 = PUBACK | PUBREC;
    /// SUBACK and UNSUBACK.
    pub(super) const SUB: u16 = SUBACK | UNSUBACK;
}

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $places:expr;)*) => {
        /// The outcome of an operation, or why a connection ends (§2.4).
        ///
        /// From 0x80 on it is a failure. Not every code is allowed in every packet:
        /// [`is_allowed`](ReasonCode::is_allowed).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ReasonCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[ReasonCode] = &[$(ReasonCode::$variant,)*];

            /// The code with this number, where there is one.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<ReasonCode> {
                match number {
                    $($number => Some(ReasonCode::$variant),)*
                    _ => None,
                }
            }

            /// Its name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $name,)*
                }
            }

            const fn places(self) -> u16 {
                match self {
                    $(ReasonCode::$variant => $places,)*
                }
            }
        }
    };
}

use place::{
    AUTH, AUTH_SERVER, CONNACK, DISCONNECT, DISCONNECT_CLIENT, DISCONNECT_SERVER, PUB, PUBCOMP, PUBREL, SUB,
    SUBACK, UNSUBACK,
};

reason_codes! {
    /// Success; normal disconnection; granted QoS 0.
    Success = 0x00, "Success", CONNACK | PUB | PUBREL | PUBCOMP | SUB | DISCONNECT | AUTH_SERVER;
    /// A subscription with at most QoS 1.
    GrantedQos1 = 0x01, "Granted QoS 1", SUBACK;
    /// A subscription with at most QoS 2.
    GrantedQos2 = 0x02, "Granted QoS 2", SUBACK;
    /// A client that wants its will published all the same.
    DisconnectWithWill = 0x04, "Disconnect with Will Message", DISCONNECT_CLIENT;
    /// Accepted, and nobody has subscribed to it.
    NoMatchingSubscribers = 0x10, "No matching subscribers", PUB;
    /// There was nothing to unsubscribe from.
    NoSubscriptionExisted = 0x11, "No subscription existed", UNSUBACK;
    /// The exchange of AUTH goes on.
    ContinueAuthentication = 0x18, "Continue authentication", AUTH;
    /// A client authenticates again.
    ReAuthenticate = 0x19, "Re-authenticate", place::AUTH_CLIENT;
    /// A failure that has no better name, or none that is told.
    UnspecifiedError = 0x80, "Unspecified error", CONNACK | PUB | SUB | DISCONNECT;
    /// A packet that cannot be parsed.
    MalformedPacket = 0x81, "Malformed Packet", CONNACK | DISCONNECT;
    /// A packet that may not come now, or says what it must not.
    ProtocolError = 0x82, "Protocol Error", CONNACK | DISCONNECT;
    /// Valid, and not accepted by this implementation.
    ImplementationSpecificError = 0x83, "Implementation specific error", CONNACK | PUB | SUB | DISCONNECT;
    /// The version that the client asked for is not spoken.
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", CONNACK;
    /// The client identifier is valid, and not allowed.
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", CONNACK;
    /// Wrong credentials.
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", CONNACK;
    /// Not allowed.
    NotAuthorized = 0x87, "Not authorized", CONNACK | PUB | SUB | DISCONNECT_SERVER;
    /// The server is not available.
    ServerUnavailable = 0x88, "Server unavailable", CONNACK;
    /// The server is busy.
    ServerBusy = 0x89, "Server busy", CONNACK | DISCONNECT_SERVER;
    /// The client is banned.
    Banned = 0x8A, "Banned", CONNACK;
    /// The server goes away.
    ServerShuttingDown = 0x8B, "Server shutting down", DISCONNECT_SERVER;
    /// The authentication method is not supported, or not the one in use.
    BadAuthenticationMethod = 0x8C, "Bad authentication method", CONNACK | DISCONNECT_SERVER;
    /// Nothing was heard for 1.5 times the keep alive.
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", DISCONNECT_SERVER;
    /// The session goes on over another connection.
    SessionTakenOver = 0x8E, "Session taken over", DISCONNECT_SERVER;
    /// The topic filter is not accepted.
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", SUB | DISCONNECT_SERVER;
    /// The topic name is not accepted.
    TopicNameInvalid = 0x90, "Topic Name invalid", CONNACK | PUB | DISCONNECT;
    /// The packet identifier is in use already.
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", PUB | SUB;
    /// The packet identifier is not known.
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", PUBREL | PUBCOMP;
    /// More unacknowledged publications than the receive maximum.
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", DISCONNECT;
    /// A topic alias of 0, above the maximum, or never set.
    TopicAliasInvalid = 0x94, "Topic Alias invalid", DISCONNECT;
    /// Larger than the maximum packet size.
    PacketTooLarge = 0x95, "Packet too large", CONNACK | DISCONNECT;
    /// Too much in too short a time.
    MessageRateTooHigh = 0x96, "Message rate too high", DISCONNECT;
    /// A limit is used up.
    QuotaExceeded = 0x97, "Quota exceeded", CONNACK | PUB | SUBACK | DISCONNECT;
    /// Closed by an administrator.
    AdministrativeAction = 0x98, "Administrative action", DISCONNECT;
    /// The payload is not what its format indicator says.
    PayloadFormatInvalid = 0x99, "Payload format invalid", CONNACK | PUB | DISCONNECT;
    /// Retained messages are not supported.
    RetainNotSupported = 0x9A, "Retain not supported", CONNACK | DISCONNECT_SERVER;
    /// A QoS above the server's maximum.
    QosNotSupported = 0x9B, "QoS not supported", CONNACK | DISCONNECT_SERVER;
    /// For the time being, another server is to be used.
    UseAnotherServer = 0x9C, "Use another server", CONNACK | DISCONNECT_SERVER;
    /// From now on, another server is to be used.
    ServerMoved = 0x9D, "Server moved", CONNACK | DISCONNECT_SERVER;
    /// Shared subscriptions are not supported.
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", SUBACK | DISCONNECT_SERVER;
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", CONNACK | DISCONNECT_SERVER;
    /// The time that a connection may last has passed.
    MaximumConnectTime = 0xA0, "Maximum connect time", DISCONNECT_SERVER;
    /// Subscription identifiers are not supported.
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported",
        SUBACK | DISCONNECT_SERVER;
    /// Wildcards in subscriptions are not supported.
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported",
        SUBACK | DISCONNECT_SERVER;
}

impl ReasonCode {
    /// Its number on the wire.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether it reports a failure: 0x80 and above.
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.number() >= 0x80
    }

    /// Whether a `packet` from `side` may carry it. False for packets that carry none, and for
    /// sides that do not send the packet.
    #[must_use]
    pub const fn is_allowed(self, packet: PacketType, side: Side) -> bool {
        let place = match (packet, side) {
            (PacketType::ConnAck, Side::Server) => place::CONNACK,
            (PacketType::PubAck, _) => place::PUBACK,
            (PacketType::PubRec, _) => place::PUBREC,
            (PacketType::PubRel, _) => place::PUBREL,
            (PacketType::PubComp, _) => place::PUBCOMP,
            (PacketType::SubAck, Side::Server) => place::SUBACK,
            (PacketType::UnsubAck, Side::Server) => place::UNSUBACK,
            (PacketType::Disconnect, Side::Client) => place::DISCONNECT_CLIENT,
            (PacketType::Disconnect, Side::Server) => place::DISCONNECT_SERVER,
            (PacketType::Auth, Side::Client) => place::AUTH_CLIENT,
            (PacketType::Auth, Side::Server) => place::AUTH_SERVER,
            _ => 0,
        };
        self.places() & place != 0
    }

    /// The return code of a 3.1.1 CONNACK that says it best (3.1.1 §3.2.2.3): 0 to 5.
    #[must_use]
    pub const fn connect_return_code(self) -> u8 {
        use ReasonCode as R;
        match self {
            R::UnsupportedProtocolVersion => 1,
            R::ClientIdentifierNotValid => 2,
            R::BadUserNameOrPassword => 4,
            R::NotAuthorized | R::Banned | R::BadAuthenticationMethod => 5,
            reason if reason.is_error() => 3, // server unavailable
            _ => 0,
        }
    }

    /// The reason of a 3.1.1 CONNACK's return code; `None` for those that are reserved.
    #[must_use]
    pub const fn from_connect_return_code(code: u8) -> Option<ReasonCode> {
        Some(match code {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }

    /// The return code of a 3.1.1 SUBACK: what was granted, or 0x80 ([MQTT-3.9.3-2]).
    #[must_use]
    pub const fn subscribe_return_code(self) -> u8 {
        if self.is_error() { 0x80 } else { self.number() }
    }
}

impl core::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({:#04x})", self.name(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        assert_eq!(ReasonCode::ALL.len(), 43);
        assert!(ReasonCode::ALL.is_sorted());
        for number in 0..=255 {
            let code = ReasonCode::from_number(number);
            assert_eq!(code.is_some(), ReasonCode::ALL.iter().any(|c| c.number() == number));
            assert!(code.is_none_or(|c| c.number() == number && !c.name().is_empty()));
        }
    }

    /// §2.4, table 2-6, counted a packet at a time ([MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1],
    /// [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1], [MQTT-3.15.2-1]).
    #[test]
    fn each_packet_has_its_codes() {
        let count = |packet, side| ReasonCode::ALL.iter().filter(|c| c.is_allowed(packet, side)).count();
        for (packet, client, server) in [
            (PacketType::ConnAck, 0, 22),
            (PacketType::PubAck, 9, 9),
            (PacketType::PubRec, 9, 9),
            (PacketType::PubRel, 2, 2),
            (PacketType::PubComp, 2, 2),
            (PacketType::SubAck, 0, 12),
            (PacketType::UnsubAck, 0, 7),
            // 0x8C is in table 2-6, though not in §3.14.2.1: re-authentication may end with it.
            (PacketType::Disconnect, 14, 29),
            (PacketType::Auth, 2, 2),
            (PacketType::PingReq, 0, 0),
        ] {
            assert_eq!(count(packet, Side::Client), client, "{packet:?}");
            assert_eq!(count(packet, Side::Server), server, "{packet:?}");
        }
    }

    #[test]
    fn version_3_1_1_has_few() {
        for code in ReasonCode::ALL {
            let number = code.connect_return_code();
            assert_eq!(number > 0, code.is_error(), "{code}");
            let back = ReasonCode::from_connect_return_code(number).unwrap();
            assert_eq!(back.connect_return_code(), number);
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
        assert_eq!(ReasonCode::QuotaExceeded.subscribe_return_code(), 0x80);
        assert_eq!(ReasonCode::GrantedQos2.subscribe_return_code(), 2);
    }
}
