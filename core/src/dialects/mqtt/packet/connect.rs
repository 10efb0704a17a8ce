//! CONNECT (§3.1).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketType, Properties, Property, Qos, Version};
use crate::topic::validate_topic;

const CONNECT: PacketType = PacketType::Connect;

/// The protocol's name, with its length.
const NAME: &[u8] = b"MQTT";
/// The name that version 3.1 had.
const OLD_NAME: &[u8] = b"MQIsdp";

const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// A client asks for a connection (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The version of everything on this connection.
    pub version: Version,
    /// Forget an older session (3.1.1: and this one when the connection ends).
    pub clean_start: bool,
    /// The most seconds between two packets of the client; 0 for no limit.
    pub keep_alive: u16,
    /// Who it is; empty where the server is to choose.
    pub client_id: &'b str,
    /// What to publish when the connection is lost.
    pub will: Option<Will<'b>>,
    /// The user.
    pub user_name: Option<&'b str>,
    /// The password, or whatever else proves who it is.
    pub password: Option<&'b [u8]>,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
}

/// A message that is published when its client is lost (§3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'b> {
    /// Where to.
    pub topic: &'b str,
    /// What.
    pub payload: &'b [u8],
    /// How.
    pub qos: Qos,
    /// Whether it is retained then.
    pub retain: bool,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
}

impl<'b> Connect<'b> {
    /// A clean connection without keep alive, will or credentials.
    #[must_use]
    pub const fn new(version: Version, client_id: &'b str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::NONE,
        }
    }

    pub(super) fn read(r: &mut Reader<'b>) -> Result<Self, Fault> {
        let version = read_version(r)?;
        let flags = r.u8()?;
        check_flags(flags, version, r)?;
        let keep_alive = r.u16()?;
        let properties = read_properties(r, version, Place::Packet(CONNECT))?;
        let client_id = r.string()?;
        let will = if flags & WILL != 0 { Some(Will::read(r, version, flags)?) } else { None };
        let user_name = if flags & USER_NAME != 0 { Some(r.string()?) } else { None };
        let password = if flags & PASSWORD != 0 { Some(r.binary()?) } else { None };
        r.end()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self { version, clean_start, keep_alive, client_id, will, user_name, password, properties })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        let mut set = |bit, on| flags |= if on { bit } else { 0 };
        set(CLEAN_START, self.clean_start);
        set(USER_NAME, self.user_name.is_some());
        set(PASSWORD, self.password.is_some());
        if let Some(will) = &self.will {
            set(WILL, true);
            set(will.qos.number() << 3, true);
            set(WILL_RETAIN, will.retain);
        }
        flags
    }
}

impl<'b> Will<'b> {
    fn read(r: &mut Reader<'b>, version: Version, flags: u8) -> Result<Self, Fault> {
        let properties = read_properties(r, version, Place::Will)?;
        let topic = r.topic()?;
        let payload = r.binary()?;
        let Some(qos) = Qos::from_number(flags >> 3 & 3) else { return Err(will_qos(r)) };
        Ok(Self { topic, payload, qos, retain: flags & WILL_RETAIN != 0, properties })
    }
}

/// [MQTT-3.1.2-12]; [MQTT-3.1.2-14] in 3.1.1.
const fn will_qos(r: &Reader<'_>) -> Fault {
    r.malformed("the will has QoS 3")
}

fn read_properties<'b>(r: &mut Reader<'b>, version: Version, place: Place) -> Result<Properties<'b>, Fault> {
    if version.is_v5() { Properties::read(r, place) } else { Ok(Properties::NONE) }
}

/// Name and level ([MQTT-3.1.2-1], [MQTT-3.1.2-2]).
fn read_version(r: &mut Reader<'_>) -> Result<Version, Fault> {
    let name = r.binary()?;
    if name != NAME && name != OLD_NAME {
        return Err(Fault::ProtocolName);
    }
    let level = r.u8()?;
    match Version::from_level(level) {
        Some(version) if name == NAME => Ok(version),
        _ => Err(Fault::ProtocolLevel(level)),
    }
}

fn check_flags(flags: u8, version: Version, r: &Reader<'_>) -> Result<(), Fault> {
    if flags & 1 != 0 {
        return Err(r.malformed("the reserved connect flag is set")); // [MQTT-3.1.2-3]
    }
    if flags & WILL == 0 && flags & (WILL_RETAIN | 3 << 3) != 0 {
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13]; in 3.1.1 [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        return Err(r.malformed("the will's QoS or retain is set, and there is no will"));
    }
    if flags >> 3 & 3 == 3 {
        return Err(will_qos(r));
    }
    if version == Version::V311 && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(r.malformed("a password without a user name")); // [MQTT-3.1.2-22] of 3.1.1
    }
    Ok(())
}

impl Body for Connect<'_> {
    fn first(&self) -> u8 {
        CONNECT.number() << 4
    }

    fn write(&self, _: Version, to: &mut impl Sink) {
        self.write_with(to, core::iter::empty());
    }
}

impl Connect<'_> {
    /// Writes what follows the fixed header, with `more` properties.
    pub(in super::super) fn write_with<'m>(
        &self,
        to: &mut impl Sink,
        more: impl Iterator<Item = Property<'m>> + Clone,
    ) {
        let v5 = self.version.is_v5();
        if !v5 && self.password.is_some() && self.user_name.is_none() {
            to.refuse("a password without a user name");
        }
        to.binary(NAME);
        to.u8(self.version.level());
        to.u8(self.flags());
        to.u16(self.keep_alive);
        if v5 {
            self.properties.write_with(Place::Packet(CONNECT), to, more);
        }
        to.string(self.client_id);
        if let Some(will) = &self.will {
            if v5 {
                will.properties.write(Place::Will, to);
            }
            if validate_topic(will.topic).is_err() {
                to.refuse("the will's topic is not a valid name");
            }
            to.string(will.topic);
            to.binary(will.payload);
        }
        if let Some(name) = self.user_name {
            to.string(name);
        }
        if let Some(password) = self.password {
            to.binary(password);
        }
    }
}
