//! PINGREQ and PINGRESP (§3.12, §3.13), DISCONNECT (§3.14) and AUTH (§3.15).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketType, Properties, PropertyId, ReasonCode, Side, Version};
use super::ack::{read_tail, write_tail};

const DISCONNECT: PacketType = PacketType::Disconnect;
const AUTH: PacketType = PacketType::Auth;

/// PINGREQ and PINGRESP, which are their fixed header and nothing else.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Ping(pub(in super::super) PacketType);

impl Body for Ping {
    fn first(&self) -> u8 {
        self.0.number() << 4
    }

    fn write(&self, _: Version, _: &mut impl Sink) {}
}

/// The last packet of a connection (§3.14). In 3.1.1 only clients send it, and it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'b> {
    /// Why (5.0).
    pub reason: ReasonCode,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
}

impl<'b> Disconnect<'b> {
    /// A normal one.
    pub const NORMAL: Disconnect<'static> =
        Disconnect { reason: ReasonCode::Success, properties: Properties::NONE };

    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        if version == Version::V311 {
            r.end()?;
            return Ok(Disconnect::NORMAL);
        }
        let (reason, properties) = read_tail(r, Place::Packet(DISCONNECT), |code| {
            code.is_allowed(DISCONNECT, Side::Client) || code.is_allowed(DISCONNECT, Side::Server)
        })?;
        r.end()?;
        Ok(Self { reason, properties })
    }
}

impl Body for Disconnect<'_> {
    fn first(&self) -> u8 {
        DISCONNECT.number() << 4
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        let allowed = |side| self.reason.is_allowed(DISCONNECT, side);
        if !allowed(Side::Client) && !allowed(Side::Server) {
            to.refuse("a reason code that DISCONNECT does not have");
        }
        if version.is_v5() {
            write_tail(self.reason, &self.properties, Place::Packet(DISCONNECT), to);
        }
    }
}

/// A step of an enhanced authentication (§3.15, 5.0 only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'b> {
    /// Where it stands.
    pub reason: ReasonCode,
    /// The method, its data, and more.
    pub properties: Properties<'b>,
}

impl<'b> Auth<'b> {
    pub(super) fn read(r: &mut Reader<'b>) -> Result<Self, Fault> {
        let (reason, properties) = read_tail(r, Place::Packet(AUTH), |code| {
            code.is_allowed(AUTH, Side::Client) || code.is_allowed(AUTH, Side::Server)
        })?;
        r.end()?;
        let short = reason == ReasonCode::Success && properties.is_empty();
        if !short && !properties.contains(PropertyId::AuthMethod) {
            return Err(r.protocol("no authentication method")); // §3.15.2.2.2
        }
        Ok(Self { reason, properties })
    }
}

impl Body for Auth<'_> {
    fn first(&self) -> u8 {
        AUTH.number() << 4
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        if version != Version::V5 {
            to.refuse("3.1.1 has no AUTH");
        }
        let allowed = |side| self.reason.is_allowed(AUTH, side);
        if !allowed(Side::Client) && !allowed(Side::Server) {
            to.refuse("a reason code that AUTH does not have");
        }
        let short = self.reason == ReasonCode::Success && self.properties.is_empty();
        if !short && !self.properties.contains(PropertyId::AuthMethod) {
            to.refuse("AUTH without an authentication method");
        }
        write_tail(self.reason, &self.properties, Place::Packet(AUTH), to);
    }
}
