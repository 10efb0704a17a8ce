//! PUBACK, PUBREC, PUBREL and PUBCOMP (§3.4 to §3.7), which have one form.

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketId, PacketType, Properties, ReasonCode, Side, Version};

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// Answers a PUBLISH with QoS 1.
    PubAck,
    /// Answers a PUBLISH with QoS 2.
    PubRec,
    /// Answers PUBREC.
    PubRel,
    /// Answers PUBREL.
    PubComp,
}

impl AckKind {
    /// The packet's type.
    #[inline]
    #[must_use]
    pub const fn packet(self) -> PacketType {
        match self {
            AckKind::PubAck => PacketType::PubAck,
            AckKind::PubRec => PacketType::PubRec,
            AckKind::PubRel => PacketType::PubRel,
            AckKind::PubComp => PacketType::PubComp,
        }
    }

    /// The kind with this packet type, where it is one of the four.
    #[must_use]
    pub const fn from_packet(packet: PacketType) -> Option<AckKind> {
        Some(match packet {
            PacketType::PubAck => AckKind::PubAck,
            PacketType::PubRec => AckKind::PubRec,
            PacketType::PubRel => AckKind::PubRel,
            PacketType::PubComp => AckKind::PubComp,
            _ => return None,
        })
    }
}

/// A step of the delivery of a message with QoS 1 or 2 (§3.4 to §3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'b> {
    /// Which step.
    pub kind: AckKind,
    /// The packet identifier of the message ([MQTT-2.2.1-5]).
    pub id: PacketId,
    /// The outcome (5.0); always success in 3.1.1.
    pub reason: ReasonCode,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
}

impl<'b> Ack<'b> {
    /// A step that went well.
    #[must_use]
    pub const fn new(kind: AckKind, id: PacketId) -> Self {
        Self { kind, id, reason: ReasonCode::Success, properties: Properties::NONE }
    }

    #[inline]
    pub(super) fn read(kind: AckKind, r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let id = r.packet_id()?;
        let mut ack = Ack::new(kind, id);
        if version.is_v5() {
            let place = Place::Packet(kind.packet());
            (ack.reason, ack.properties) = read_tail(r, place, |code| {
                // What either side may say, both may in these four.
                code.is_allowed(kind.packet(), Side::Client)
            })?;
        }
        r.end()?;
        Ok(ack)
    }
}

/// A reason code and properties that may be left out: success and none (§3.4.2.1, §3.14.2.1,
/// §3.15.2.1).
#[inline]
pub(super) fn read_tail<'b>(
    r: &mut Reader<'b>,
    place: Place,
    allowed: impl FnOnce(ReasonCode) -> bool,
) -> Result<(ReasonCode, Properties<'b>), Fault> {
    if r.is_empty() {
        return Ok((ReasonCode::Success, Properties::NONE));
    }
    let Some(reason) = ReasonCode::from_number(r.u8()?).filter(|code| allowed(*code)) else {
        return Err(r.protocol("a reason code that this packet does not have"));
    };
    let properties = if r.is_empty() { Properties::NONE } else { Properties::read(r, place)? };
    Ok((reason, properties))
}

/// The shortest form of [`read_tail`]'s.
#[inline]
pub(super) fn write_tail(reason: ReasonCode, properties: &Properties<'_>, place: Place, to: &mut impl Sink) {
    if properties.is_empty() {
        if reason != ReasonCode::Success {
            to.u8(reason.number());
        }
    } else {
        to.u8(reason.number());
        properties.write(place, to);
    }
}

impl Body for Ack<'_> {
    #[inline]
    fn first(&self) -> u8 {
        let packet = self.kind.packet();
        packet.number() << 4 | packet.flags()
    }

    #[inline]
    fn write(&self, version: Version, to: &mut impl Sink) {
        let packet = self.kind.packet();
        if !self.reason.is_allowed(packet, Side::Client) {
            to.refuse("a reason code that this acknowledgement does not have");
        }
        to.u16(self.id.get());
        if version.is_v5() {
            write_tail(self.reason, &self.properties, Place::Packet(packet), to);
        }
    }
}
