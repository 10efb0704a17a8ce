//! PUBLISH (§3.3).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{self, Body, Reader, STRING_MAX, Sink};
use super::super::{PacketId, PacketType, Properties, Property, PropertyId, Qos, SendError, Version};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::topic::validate_topic;

const PUBLISH: PacketType = PacketType::Publish;
const PLACE: Place = Place::Packet(PUBLISH);

/// How a message is delivered (§4.3): with QoS 1 and 2 under a packet identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1: answered by PUBACK.
    AtLeastOnce {
        /// The packet identifier.
        id: PacketId,
        /// Sent before (DUP).
        dup: bool,
    },
    /// QoS 2: answered by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce {
        /// The packet identifier.
        id: PacketId,
        /// Sent before (DUP).
        dup: bool,
    },
}

impl Delivery {
    /// With this QoS; `None` where it is above 0 and there is no identifier.
    #[must_use]
    pub const fn new(qos: Qos, id: Option<PacketId>, dup: bool) -> Option<Delivery> {
        match (qos, id) {
            (Qos::AtMostOnce, _) => Some(Delivery::AtMostOnce),
            (Qos::AtLeastOnce, Some(id)) => Some(Delivery::AtLeastOnce { id, dup }),
            (Qos::ExactlyOnce, Some(id)) => Some(Delivery::ExactlyOnce { id, dup }),
            (_, None) => None,
        }
    }

    /// The QoS.
    #[inline]
    #[must_use]
    pub const fn qos(self) -> Qos {
        match self {
            Delivery::AtMostOnce => Qos::AtMostOnce,
            Delivery::AtLeastOnce { .. } => Qos::AtLeastOnce,
            Delivery::ExactlyOnce { .. } => Qos::ExactlyOnce,
        }
    }

    /// The packet identifier, of QoS 1 and 2.
    #[inline]
    #[must_use]
    pub const fn id(self) -> Option<PacketId> {
        match self {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce { id, .. } | Delivery::ExactlyOnce { id, .. } => Some(id),
        }
    }

    /// Whether it says that it may have been sent before.
    #[inline]
    #[must_use]
    pub const fn is_duplicate(self) -> bool {
        match self {
            Delivery::AtMostOnce => false,
            Delivery::AtLeastOnce { dup, .. } | Delivery::ExactlyOnce { dup, .. } => dup,
        }
    }

    /// The same, as a first or a further attempt (DUP).
    #[must_use]
    pub const fn with_dup(self, dup: bool) -> Delivery {
        match self {
            Delivery::AtMostOnce => self,
            Delivery::AtLeastOnce { id, .. } => Delivery::AtLeastOnce { id, dup },
            Delivery::ExactlyOnce { id, .. } => Delivery::ExactlyOnce { id, dup },
        }
    }

    /// DUP and QoS in the fixed header.
    #[inline]
    const fn flags(self) -> u8 {
        (self.is_duplicate() as u8) << 3 | self.qos().number() << 1
    }
}

/// A message, from a client to the server or from the server to a client (§3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// How it is delivered.
    pub delivery: Delivery,
    /// To the server: retain it. From the server: it was retained.
    pub retain: bool,
    /// What it is about; empty where a topic alias says it (5.0).
    pub topic: &'b str,
    /// What it says.
    pub payload: &'b [u8],
    /// What it says beside (5.0).
    pub properties: Properties<'b>,
}

impl<'b> Publish<'b> {
    /// A message with QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: &'b str, payload: &'b [u8]) -> Self {
        Self { delivery: Delivery::AtMostOnce, retain: false, topic, payload, properties: Properties::NONE }
    }

    /// The QoS of its delivery.
    #[inline]
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.delivery.qos()
    }

    /// The packet identifier, of QoS 1 and 2.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> Option<PacketId> {
        self.delivery.id()
    }

    /// The topic alias among its properties.
    #[must_use]
    pub fn topic_alias(&self) -> Option<u16> {
        match self.properties.get(PropertyId::TopicAlias) {
            Some(Property::TopicAlias(alias)) => Some(alias),
            _ => None,
        }
    }

    /// Whether the payload is what its payload format indicator says it is (§3.3.2.3.2).
    #[must_use]
    pub fn payload_is_as_told(&self) -> bool {
        let text = self.properties.get(PropertyId::PayloadFormat) == Some(Property::PayloadFormat(true));
        !text || core::str::from_utf8(self.payload).is_ok()
    }

    /// Reads what follows the fixed header.
    #[inline]
    pub(in super::super) fn read_body(flags: u8, body: &'b [u8], version: Version) -> Result<Self, Fault> {
        Self::read(&mut Reader::new(PUBLISH, body), flags, version)
    }

    #[inline]
    pub(super) fn read(r: &mut Reader<'b>, flags: u8, version: Version) -> Result<Self, Fault> {
        let dup = flags & 1 << 3 != 0;
        let Some(qos) = Qos::from_number(flags >> 1 & 3) else {
            return Err(r.malformed("QoS 3")); // [MQTT-3.3.1-4]
        };
        if dup && qos == Qos::AtMostOnce {
            return Err(r.malformed("DUP with QoS 0")); // [MQTT-3.3.1-2]
        }
        let v5 = version.is_v5();
        // Only 5.0 has aliases, and with them topics may be empty.
        let topic = if v5 && r.bytes.starts_with(&[0, 0]) {
            r.u16()?;
            ""
        } else {
            r.topic()?
        };
        let id = if qos == Qos::AtMostOnce { None } else { Some(r.packet_id()?) };
        let properties = if v5 { Properties::read(r, PLACE)? } else { Properties::NONE };
        if topic.is_empty() && !properties.contains(PropertyId::TopicAlias) {
            return Err(r.protocol("neither a topic nor a topic alias")); // §3.3.2.3.4
        }
        let delivery = Delivery::new(qos, id, dup).unwrap_or_default();
        let payload = core::mem::take(&mut r.bytes);
        Ok(Self { delivery, retain: flags & 1 != 0, topic, payload, properties })
    }
}

impl Body for Publish<'_> {
    fn first(&self) -> u8 {
        PUBLISH.number() << 4 | self.delivery.flags() | u8::from(self.retain)
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        let aliased =
            version.is_v5() && self.topic.is_empty() && self.properties.contains(PropertyId::TopicAlias);
        if !aliased && validate_topic(self.topic).is_err() {
            to.refuse("not a valid topic name");
        }
        to.binary(self.topic.as_bytes());
        if let Some(id) = self.id() {
            to.u16(id.get());
        }
        if version.is_v5() {
            self.properties.write(PLACE, to);
        }
        to.bytes(self.payload);
    }
}

/// A payload to send: copied, or by reference.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// These octets.
    Copied(&'a [u8]),
    /// These octets, by reference where the buffer can.
    #[cfg(feature = "alloc")]
    Shared(&'a bytes::Bytes),
}

impl Payload<'_> {
    /// How many octets it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Payload::Copied(bytes) => bytes.len(),
            #[cfg(feature = "alloc")]
            Payload::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn write(&self, to: &mut impl Sink) {
        match self {
            Payload::Copied(bytes) => to.bytes(bytes),
            #[cfg(feature = "alloc")]
            Payload::Shared(bytes) => to.shared(bytes),
        }
    }
}

/// A message on its way to a subscriber, put together from what was checked when it came in.
///
/// Nothing here is checked again: it is the hot path of a broker.
///
/// ```
/// use bowline_core::buf::SliceSendBuf;
/// use bowline_core::mqtt::{Outgoing, Version};
/// let mut memory = [0; 64];
/// let mut out = SliceSendBuf::new(&mut memory);
/// Outgoing::new(b"a/b", b"hi").encode(Version::V311, &mut out)?;
/// assert_eq!(out.pending(), b"\x30\x07\0\x03a/bhi");
/// # Ok::<(), bowline_core::mqtt::SendError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// How it is delivered.
    pub delivery: Delivery,
    /// Whether to say that it was retained.
    pub retain: bool,
    /// A valid topic name; empty where the alias says it.
    pub topic: &'a [u8],
    /// The payload.
    pub payload: Payload<'a>,
    /// The publisher's properties. Its topic alias and subscription identifiers stay behind, and so does
    /// its message expiry where [`expiry`](Self::expiry) says what is left of it.
    pub properties: Properties<'a>,
    /// What is left of the message expiry, in seconds ([MQTT-3.3.2-6]).
    pub expiry: Option<u32>,
    /// The receiver's alias for the topic: 1 to its maximum.
    pub topic_alias: Option<u16>,
    /// The identifiers of the subscriptions because of which it is sent ([MQTT-3.3.4-3] to
    /// [MQTT-3.3.4-5]), each 1 to 268,435,455.
    pub subscriptions: &'a [u32],
}

/// A topic of at most so many octets is short: with all that stands in front of a payload it fits into twice
/// that, and so does a short payload.
const SHORT_TOPIC: usize = 80;
const SHORT_PAYLOAD: usize = 64;

/// What does not go from a publisher to a subscriber as it is ([MQTT-3.3.4-6], [MQTT-3.3.2-9]).
const BETWEEN_TWO: &[PropertyId] = &[PropertyId::TopicAlias, PropertyId::SubscriptionIdentifier];
const BETWEEN_TWO_AND_EXPIRY: &[PropertyId] =
    &[PropertyId::TopicAlias, PropertyId::SubscriptionIdentifier, PropertyId::MessageExpiry];

impl<'a> Outgoing<'a> {
    /// A message with QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: &'a [u8], payload: &'a [u8]) -> Self {
        Self {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic,
            payload: Payload::Copied(payload),
            properties: Properties::NONE,
            expiry: None,
            topic_alias: None,
            subscriptions: &[],
        }
    }

    /// Writes it whole, or not at all.
    ///
    /// # Errors
    ///
    /// There is no room for it, or it is larger than any packet can be.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut impl SendBuf) -> Result<(), SendError> {
        self.encode_within(version, u32::MAX, out)
    }

    /// Writes it whole if it has at most `limit` octets, or not at all.
    ///
    /// # Errors
    ///
    /// There is no room for it, or it is larger than `limit`.
    #[inline]
    pub fn encode_within(
        &self,
        version: Version,
        limit: u32,
        out: &mut impl SendBuf,
    ) -> Result<(), SendError> {
        if self.topic.len() <= SHORT_TOPIC && (self.is_bare() || !version.is_v5()) {
            return self.put_bare(version, limit, out);
        }
        wire::put_packet(self, version, limit, out)
    }

    /// Whether it has no properties but an alias perhaps.
    #[inline]
    fn is_bare(&self) -> bool {
        self.expiry.is_none() && self.properties.is_empty() && self.subscriptions.is_empty()
    }

    /// As [`wire::put_packet`], of a message without properties but an alias perhaps, and with a short
    /// topic: nearly all are.
    #[inline]
    fn put_bare(&self, version: Version, limit: u32, out: &mut impl SendBuf) -> Result<(), SendError> {
        let (id, v5) = (self.delivery.id(), version.is_v5());
        let alias = self.topic_alias.filter(|_| v5);
        let head = 2 + self.topic.len() + 2 * usize::from(id.is_some());
        let size = head + usize::from(v5) + 3 * usize::from(alias.is_some()) + self.payload.len();
        let most = limit.min(wire::PACKET_MAX);
        let total = 1 + wire::varint_len(u32::try_from(size).unwrap_or(u32::MAX)) + size;
        if total > most as usize {
            return Err(SendError::TooLarge { size: total, limit: most });
        }
        if total > out.room() {
            return Err(SendError::Blocked(Blocked));
        }
        out.begin(total);
        let mut memory = [0; 2 * SHORT_TOPIC];
        memory[0] = self.first();
        let mut at = 1 + wire::write_varint(size as u32, &mut memory[1..]);
        let mut copy = |bytes: &[u8]| {
            memory[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        copy(&(self.topic.len() as u16).to_be_bytes());
        copy(self.topic);
        if let Some(id) = id {
            copy(&id.get().to_be_bytes());
        }
        if let Some(alias) = alias {
            let [high, low] = alias.to_be_bytes();
            copy(&[3, PropertyId::TopicAlias.number(), high, low]);
        } else if v5 {
            copy(&[0]);
        }
        match self.payload {
            Payload::Copied(bytes) if bytes.len() <= SHORT_PAYLOAD => {
                copy(bytes);
                out.put(&memory[..at]);
            }
            #[cfg(feature = "alloc")]
            Payload::Shared(bytes) if bytes.len() <= SHORT_PAYLOAD => {
                copy(bytes);
                out.put(&memory[..at]);
            }
            Payload::Copied(bytes) => {
                out.put(&memory[..at]);
                out.put(bytes);
            }
            #[cfg(feature = "alloc")]
            Payload::Shared(bytes) => {
                out.put(&memory[..at]);
                out.put_shared(bytes);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn write_properties(&self, to: &mut impl Sink) {
        let without = if self.expiry.is_some() { BETWEEN_TWO_AND_EXPIRY } else { BETWEEN_TWO };
        let expiry = self.expiry.map(Property::MessageExpiry).into_iter();
        let alias = self.topic_alias.map(Property::TopicAlias);
        let ids = self.subscriptions.iter().map(|id| Property::SubscriptionIdentifier(*id));
        self.properties.without(without).write_with(PLACE, to, expiry.chain(alias).chain(ids));
    }
}

impl Body for Outgoing<'_> {
    #[inline]
    fn first(&self) -> u8 {
        PUBLISH.number() << 4 | self.delivery.flags() | u8::from(self.retain)
    }

    #[inline]
    fn write(&self, version: Version, to: &mut impl Sink) {
        debug_assert!(self.topic.len() <= STRING_MAX);
        to.binary(self.topic);
        if let Some(id) = self.delivery.id() {
            to.u16(id.get());
        }
        if version.is_v5() {
            if self.is_bare() && self.topic_alias.is_none() {
                to.u8(0);
            } else {
                self.write_properties(to);
            }
        }
        self.payload.write(to);
    }
}
