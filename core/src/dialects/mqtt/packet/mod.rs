//! The control packets (§2 and §3): each read from octets that were received whole, and written
//! whole or not at all.

mod ack;
mod connack;
mod connect;
mod ending;
mod publish;
mod suback;
mod subscribe;

#[cfg(test)]
mod tests;

pub use ack::{Ack, AckKind};
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use ending::{Auth, Disconnect};
pub use publish::{Delivery, Outgoing, Payload, Publish};
pub use suback::{ReasonCodes, SubAck, UnsubAck};
pub use subscribe::{
    FilterIter, Filters, Subscribe, Subscription, SubscriptionIter, SubscriptionOptions, Subscriptions,
    Unsubscribe,
};

pub(super) use ending::Ping;

use super::fault::Fault;
use super::wire::{self, Body, Reader, Sink};
use super::{SendError, Version};
use crate::buf::SendBuf;

/// A packet's type (§2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A client asks for a connection.
    Connect = 1,
    /// The server answers.
    ConnAck = 2,
    /// A message.
    Publish = 3,
    /// Answers a message with QoS 1.
    PubAck = 4,
    /// Answers a message with QoS 2.
    PubRec = 5,
    /// Answers PUBREC.
    PubRel = 6,
    /// Answers PUBREL.
    PubComp = 7,
    /// A client wants messages.
    Subscribe = 8,
    /// The server answers.
    SubAck = 9,
    /// A client no longer wants messages.
    Unsubscribe = 10,
    /// The server answers.
    UnsubAck = 11,
    /// Are you there?
    PingReq = 12,
    /// Yes.
    PingResp = 13,
    /// The end.
    Disconnect = 14,
    /// A step of an authentication (5.0).
    Auth = 15,
}

impl PacketType {
    /// Every type, in the order of their numbers.
    pub const ALL: [PacketType; 15] = {
        use PacketType as P;
        [
            P::Connect,
            P::ConnAck,
            P::Publish,
            P::PubAck,
            P::PubRec,
            P::PubRel,
            P::PubComp,
            P::Subscribe,
            P::SubAck,
            P::Unsubscribe,
            P::UnsubAck,
            P::PingReq,
            P::PingResp,
            P::Disconnect,
            P::Auth,
        ]
    };

    /// Its number on the wire.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type with this number, where there is one.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<PacketType> {
        if number == 0 || number > 15 { None } else { Some(Self::ALL[number as usize - 1]) }
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::ConnAck => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::PubAck => "PUBACK",
            PacketType::PubRec => "PUBREC",
            PacketType::PubRel => "PUBREL",
            PacketType::PubComp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::SubAck => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::UnsubAck => "UNSUBACK",
            PacketType::PingReq => "PINGREQ",
            PacketType::PingResp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }

    /// The flags that its fixed header must have (§2.1.3); PUBLISH has flags of its own.
    #[inline]
    #[must_use]
    pub const fn flags(self) -> u8 {
        match self {
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 2,
            _ => 0,
        }
    }
}

impl core::fmt::Display for PacketType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A packet's fixed header (§2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type.
    pub packet: PacketType,
    /// The four flags.
    pub flags: u8,
    /// How many octets the fixed header has: 2 to 5.
    pub len: usize,
    /// How many octets follow.
    pub remaining: u32,
}

impl Head {
    /// The fixed header at the front of `bytes`; `Ok(None)` if it needs more octets. What can be told from
    /// the first octet is told at once.
    ///
    /// # Errors
    ///
    /// The type is reserved, the flags are not those of the type ([MQTT-2.1.3-1]; [MQTT-2.2.2-2] in
    /// 3.1.1), or the remaining length has no end within 4 octets or is not minimal ([MQTT-1.5.5-1]).
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let Some(first) = bytes.first() else { return Ok(None) };
        let flags = first & 0x0f;
        let Some(packet) = PacketType::from_number(first >> 4) else { return Err(Fault::ReservedType(0)) };
        if packet != PacketType::Publish && flags != packet.flags() {
            return Err(Fault::ReservedFlags { packet, flags });
        }
        match wire::varint(&bytes[1..]) {
            Ok(Some((remaining, n))) => Ok(Some(Head { packet, flags, len: 1 + n, remaining })),
            Ok(None) => Ok(None),
            Err(()) => Err(Fault::RemainingLength { packet }),
        }
    }

    /// How many octets the whole packet has.
    #[inline]
    #[must_use]
    pub const fn total(&self) -> usize {
        self.len + self.remaining as usize
    }
}

/// Any packet. What it holds borrows the octets that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'b> {
    /// CONNECT.
    Connect(Connect<'b>),
    /// CONNACK.
    ConnAck(ConnAck<'b>),
    /// PUBLISH.
    Publish(Publish<'b>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack<'b>),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'b>),
    /// SUBACK.
    SubAck(SubAck<'b>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'b>),
    /// UNSUBACK.
    UnsubAck(UnsubAck<'b>),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(Disconnect<'b>),
    /// AUTH.
    Auth(Auth<'b>),
}

impl<'b> Packet<'b> {
    /// Reads a packet from its octets, no more and no less than the whole packet. CONNECT says its
    /// own version.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Rules that depend on who sends it, or when, are not checked here.
    ///
    /// ```
    /// use bowline_core::mqtt::{Packet, Publish, Version};
    /// let packet = Packet::decode(Version::V311, b"\x30\x07\0\x03a/bhi")?;
    /// assert_eq!(packet, Packet::Publish(Publish::new("a/b", b"hi")));
    /// # Ok::<(), bowline_core::mqtt::Fault>(())
    /// ```
    pub fn decode(version: Version, bytes: &'b [u8]) -> Result<Packet<'b>, Fault> {
        let head = match Head::read(bytes)? {
            Some(head) if head.total() == bytes.len() => head,
            Some(Head { packet, .. }) => {
                return Err(Fault::Malformed { packet, what: "the remaining length is not what follows" });
            }
            None => {
                let packet = bytes.first().and_then(|b| PacketType::from_number(b >> 4));
                let packet = packet.unwrap_or(PacketType::Connect);
                return Err(Fault::Malformed { packet, what: "the packet ends in its fixed header" });
            }
        };
        Self::decode_body(version, head.packet, head.flags, &bytes[head.len..])
    }

    /// Reads what follows a fixed header with this type and these flags.
    #[inline]
    pub(super) fn decode_body(
        version: Version,
        packet: PacketType,
        flags: u8,
        body: &'b [u8],
    ) -> Result<Packet<'b>, Fault> {
        let mut reader = Reader::new(packet, body);
        let r = &mut reader;
        Ok(match packet {
            PacketType::Connect => Packet::Connect(Connect::read(r)?),
            PacketType::ConnAck => Packet::ConnAck(ConnAck::read(r, version)?),
            PacketType::Publish => Packet::Publish(Publish::read(r, flags, version)?),
            PacketType::PubAck => Packet::Ack(Ack::read(AckKind::PubAck, r, version)?),
            PacketType::PubRec => Packet::Ack(Ack::read(AckKind::PubRec, r, version)?),
            PacketType::PubRel => Packet::Ack(Ack::read(AckKind::PubRel, r, version)?),
            PacketType::PubComp => Packet::Ack(Ack::read(AckKind::PubComp, r, version)?),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::read(r, version)?),
            PacketType::SubAck => Packet::SubAck(SubAck::read(r, version)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(r, version)?),
            PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::read(r, version)?),
            PacketType::PingReq => {
                r.end()?;
                Packet::PingReq
            }
            PacketType::PingResp => {
                r.end()?;
                Packet::PingResp
            }
            PacketType::Disconnect => Packet::Disconnect(Disconnect::read(r, version)?),
            PacketType::Auth if version == Version::V311 => return Err(Fault::ReservedType(15)),
            PacketType::Auth => Packet::Auth(Auth::read(r)?),
        })
    }

    /// Its type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Ack(ack) => ack.kind.packet(),
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}

/// Hands the packet inside to `$do`, whatever it is.
macro_rules! inside {
    ($packet:expr, $body:ident => $do:expr) => {
        match $packet {
            Packet::Connect($body) => $do,
            Packet::ConnAck($body) => $do,
            Packet::Publish($body) => $do,
            Packet::Ack($body) => $do,
            Packet::Subscribe($body) => $do,
            Packet::SubAck($body) => $do,
            Packet::Unsubscribe($body) => $do,
            Packet::UnsubAck($body) => $do,
            Packet::PingReq => {
                let $body = &Ping(PacketType::PingReq);
                $do
            }
            Packet::PingResp => {
                let $body = &Ping(PacketType::PingResp);
                $do
            }
            Packet::Disconnect($body) => $do,
            Packet::Auth($body) => $do,
        }
    };
}

impl Body for Packet<'_> {
    fn first(&self) -> u8 {
        inside!(self, body => body.first())
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        inside!(self, body => body.write(version, to));
    }
}

macro_rules! encode {
    ($($name:ident)*) => {
        $(
            impl $name<'_> {
                /// Writes the packet whole, or not at all. What `version` does not have is left out.
                ///
                /// # Errors
                ///
                /// There is no room for it now, it is larger than any packet can be, or it says
                /// what it must not.
                #[inline]
                pub fn encode(&self, version: Version, out: &mut impl SendBuf) -> Result<(), SendError> {
                    wire::put_packet(self, version, u32::MAX, out)
                }

                /// Writes the packet whole if it has at most `limit` octets, or not at all.
                ///
                /// # Errors
                ///
                /// As [`encode`](Self::encode), or it is larger than `limit`.
                #[inline]
                pub fn encode_within(
                    &self,
                    version: Version,
                    limit: u32,
                    out: &mut impl SendBuf,
                ) -> Result<(), SendError> {
                    wire::put_packet(self, version, limit, out)
                }

                /// How many octets the whole packet has.
                ///
                /// # Errors
                ///
                /// It cannot be written.
                pub fn encoded_len(&self, version: Version) -> Result<usize, SendError> {
                    wire::packet_len(self, version)
                }
            }
        )*
    };
}

encode! { Packet Connect ConnAck Publish Ack Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth }
