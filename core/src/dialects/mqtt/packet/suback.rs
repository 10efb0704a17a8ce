//! SUBACK (§3.9) and UNSUBACK (§3.11).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketId, PacketType, Properties, ReasonCode, Side, Version};

const SUBACK: PacketType = PacketType::SubAck;
const UNSUBACK: PacketType = PacketType::UnsubAck;

/// Reason codes, one for each filter: checked octets that came in, or a list that goes out.
#[derive(Clone, Copy)]
pub struct ReasonCodes<'b>(Repr<'b>);

#[derive(Clone, Copy)]
enum Repr<'b> {
    Octets(&'b [u8]),
    List(&'b [ReasonCode]),
}

impl<'b> ReasonCodes<'b> {
    /// None: what a 3.1.1 UNSUBACK carries.
    pub const NONE: ReasonCodes<'static> = ReasonCodes(Repr::List(&[]));

    /// What is to be sent, in the order of the filters. It is checked when the packet is written.
    #[must_use]
    pub const fn list(list: &'b [ReasonCode]) -> Self {
        Self(Repr::List(list))
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Octets(octets) => octets.len(),
            Repr::List(list) => list.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One after another, in the order of the filters.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + Clone + use<'b> {
        let (octets, list): (&[u8], &[ReasonCode]) = match self.0 {
            Repr::Octets(octets) => (octets, &[]),
            Repr::List(list) => (&[], list),
        };
        octets.iter().filter_map(|octet| ReasonCode::from_number(*octet)).chain(list.iter().copied())
    }

    /// [MQTT-3.9.3-2], [MQTT-3.11.3-2]; in 3.1.1 [MQTT-3.9.3-2].
    fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let octets = core::mem::take(&mut r.bytes);
        if octets.is_empty() {
            return Err(r.protocol("no reason code"));
        }
        let known = |octet: &u8| match version {
            Version::V311 => matches!(octet, 0..=2 | 0x80),
            Version::V5 => {
                ReasonCode::from_number(*octet).is_some_and(|code| code.is_allowed(r.packet, Side::Server))
            }
        };
        if octets.iter().all(known) {
            Ok(Self(Repr::Octets(octets)))
        } else {
            Err(r.protocol("a reason code that this packet does not have"))
        }
    }

    fn write(&self, packet: PacketType, version: Version, to: &mut impl Sink) {
        if self.is_empty() {
            to.refuse("an acknowledgement without a reason code");
        }
        for code in self.iter() {
            if !code.is_allowed(packet, Side::Server) {
                to.refuse("a reason code that this acknowledgement does not have");
            }
            to.u8(if version.is_v5() { code.number() } else { code.subscribe_return_code() });
        }
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}

impl core::fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The server's answer to SUBSCRIBE (§3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'b> {
    /// The packet identifier of the SUBSCRIBE ([MQTT-3.8.4-2]).
    pub id: PacketId,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
    /// What was granted, for each subscription ([MQTT-3.8.4-6]).
    pub reasons: ReasonCodes<'b>,
}

impl<'b> SubAck<'b> {
    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let id = r.packet_id()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(r, Place::Packet(SUBACK))?,
        };
        Ok(Self { id, properties, reasons: ReasonCodes::read(r, version)? })
    }
}

impl Body for SubAck<'_> {
    fn first(&self) -> u8 {
        SUBACK.number() << 4
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        to.u16(self.id.get());
        if version.is_v5() {
            self.properties.write(Place::Packet(SUBACK), to);
        }
        self.reasons.write(SUBACK, version, to);
    }
}

/// The server's answer to UNSUBSCRIBE (§3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'b> {
    /// The packet identifier of the UNSUBSCRIBE ([MQTT-3.10.4-4]).
    pub id: PacketId,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
    /// The outcome for each filter ([MQTT-3.11.3-1], 5.0); none in 3.1.1.
    pub reasons: ReasonCodes<'b>,
}

impl<'b> UnsubAck<'b> {
    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let id = r.packet_id()?;
        if version == Version::V311 {
            r.end()?;
            return Ok(Self { id, properties: Properties::NONE, reasons: ReasonCodes::NONE });
        }
        let properties = Properties::read(r, Place::Packet(UNSUBACK))?;
        Ok(Self { id, properties, reasons: ReasonCodes::read(r, version)? })
    }
}

impl Body for UnsubAck<'_> {
    fn first(&self) -> u8 {
        UNSUBACK.number() << 4
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        to.u16(self.id.get());
        if version.is_v5() {
            self.properties.write(Place::Packet(UNSUBACK), to);
            self.reasons.write(UNSUBACK, version, to);
        }
    }
}
