//! CONNACK (§3.2).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketType, Properties, ReasonCode, Side, Version};

const CONNACK: PacketType = PacketType::ConnAck;

/// The server's answer to [`Connect`](super::Connect) (§3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'b> {
    /// Whether the server goes on with an older session.
    pub session_present: bool,
    /// The outcome. 3.1.1 knows six; see [`ReasonCode::connect_return_code`].
    pub reason: ReasonCode,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
}

impl<'b> ConnAck<'b> {
    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let flags = r.u8()?;
        if flags > 1 {
            return Err(r.malformed("reserved acknowledge flags are set")); // [MQTT-3.2.2-1]
        }
        let number = r.u8()?;
        let reason = match version {
            Version::V311 => ReasonCode::from_connect_return_code(number),
            Version::V5 => {
                ReasonCode::from_number(number).filter(|code| code.is_allowed(CONNACK, Side::Server))
            }
        };
        let Some(reason) = reason else { return Err(r.protocol("a reason code that CONNACK does not have")) };
        let session_present = flags == 1;
        if session_present && reason.is_error() {
            // [MQTT-3.2.2-6]; [MQTT-3.2.2-4] in 3.1.1
            return Err(r.protocol("a refusal says that a session is present"));
        }
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(r, Place::Packet(CONNACK))?,
        };
        r.end()?;
        Ok(Self { session_present, reason, properties })
    }
}

impl Body for ConnAck<'_> {
    fn first(&self) -> u8 {
        CONNACK.number() << 4
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        if !self.reason.is_allowed(CONNACK, Side::Server) {
            to.refuse("a reason code that CONNACK does not have");
        }
        to.u8(u8::from(self.session_present && !self.reason.is_error()));
        match version {
            Version::V311 => to.u8(self.reason.connect_return_code()),
            Version::V5 => {
                to.u8(self.reason.number());
                self.properties.write(Place::Packet(CONNACK), to);
            }
        }
    }
}
