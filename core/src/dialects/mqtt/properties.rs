//! Properties (MQTT 5.0 §2.2.2): checked once, read lazily, passed on as they came.

use super::fault::Fault;
use super::wire::{Count, Reader, Sink, VARINT_MAX};
use super::{PacketType, Qos};
use crate::topic::validate_topic;

/// Where a property may be, as bits.
mod place {
    use super::{PacketType, Place};

    pub(super) const fn bit(place: Place) -> u32 {
        match place {
            Place::Packet(packet) => 1 << packet.number(),
            Place::Will => 1,
        }
    }

    const fn packet(packet: PacketType) -> u32 {
        bit(Place::Packet(packet))
    }

    pub(super) const WILL: u32 = bit(Place::Will);
    pub(super) const CONNECT: u32 = packet(PacketType::Connect);
    pub(super) const CONNACK: u32 = packet(PacketType::ConnAck);
    pub(super) const PUBLISH: u32 = packet(PacketType::Publish);
    pub(super) const SUBSCRIBE: u32 = packet(PacketType::Subscribe);
    pub(super) const DISCONNECT: u32 = packet(PacketType::Disconnect);
    pub(super) const AUTH: u32 = packet(PacketType::Auth);
    /// A message, published or left as a will.
    pub(super) const MESSAGE: u32 = PUBLISH | WILL;
    /// What answers: each may carry a reason string.
    pub(super) const ANSWERS: u32 = CONNACK
        | packet(PacketType::PubAck)
        | packet(PacketType::PubRec)
        | packet(PacketType::PubRel)
        | packet(PacketType::PubComp)
        | packet(PacketType::SubAck)
        | packet(PacketType::UnsubAck)
        | DISCONNECT
        | AUTH;
    /// Everything that has properties.
    pub(super) const ALL: u32 = ANSWERS | CONNECT | MESSAGE | SUBSCRIBE | packet(PacketType::Unsubscribe);
}

/// What properties belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Packet(PacketType),
    /// The will within CONNECT (§3.1.3.2).
    Will,
}

impl Place {
    /// The packet that carries them.
    const fn packet(self) -> PacketType {
        match self {
            Place::Packet(packet) => packet,
            Place::Will => PacketType::Connect,
        }
    }
}

macro_rules! property_ids {
    ($($variant:ident = $number:literal, $name:literal, $places:expr;)*) => {
        /// The identifier of a property (§2.2.2.2, table 2-4).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $(
                #[doc = concat!($name, ": see [`Property::", stringify!($variant), "`].")]
                $variant = $number,
            )*
        }

        impl PropertyId {
            /// Every identifier, in the order of their numbers.
            pub const ALL: &[PropertyId] = &[$(PropertyId::$variant,)*];

            /// The identifier with this number, where there is one.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<PropertyId> {
                match number {
                    $($number => Some(PropertyId::$variant),)*
                    _ => None,
                }
            }

            /// Its name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(PropertyId::$variant => $name,)*
                }
            }

            /// Where it may be.
            const fn places(self) -> u32 {
                match self {
                    $(PropertyId::$variant => $places,)*
                }
            }
        }
    };
}

use place::{ALL, ANSWERS, AUTH, CONNACK, CONNECT, DISCONNECT, MESSAGE, PUBLISH, SUBSCRIBE, WILL};

property_ids! {
    PayloadFormat = 0x01, "Payload Format Indicator", MESSAGE;
    MessageExpiry = 0x02, "Message Expiry Interval", MESSAGE;
    ContentType = 0x03, "Content Type", MESSAGE;
    ResponseTopic = 0x08, "Response Topic", MESSAGE;
    CorrelationData = 0x09, "Correlation Data", MESSAGE;
    SubscriptionIdentifier = 0x0B, "Subscription Identifier", PUBLISH | SUBSCRIBE;
    SessionExpiry = 0x11, "Session Expiry Interval", CONNECT | CONNACK | DISCONNECT;
    AssignedClientId = 0x12, "Assigned Client Identifier", CONNACK;
    ServerKeepAlive = 0x13, "Server Keep Alive", CONNACK;
    AuthMethod = 0x15, "Authentication Method", CONNECT | CONNACK | AUTH;
    AuthData = 0x16, "Authentication Data", CONNECT | CONNACK | AUTH;
    RequestProblemInformation = 0x17, "Request Problem Information", CONNECT;
    WillDelay = 0x18, "Will Delay Interval", WILL;
    RequestResponseInformation = 0x19, "Request Response Information", CONNECT;
    ResponseInformation = 0x1A, "Response Information", CONNACK;
    ServerReference = 0x1C, "Server Reference", CONNACK | DISCONNECT;
    ReasonString = 0x1F, "Reason String", ANSWERS;
    ReceiveMaximum = 0x21, "Receive Maximum", CONNECT | CONNACK;
    TopicAliasMaximum = 0x22, "Topic Alias Maximum", CONNECT | CONNACK;
    TopicAlias = 0x23, "Topic Alias", PUBLISH;
    MaximumQos = 0x24, "Maximum QoS", CONNACK;
    RetainAvailable = 0x25, "Retain Available", CONNACK;
    User = 0x26, "User Property", ALL;
    MaximumPacketSize = 0x27, "Maximum Packet Size", CONNECT | CONNACK;
    WildcardSubscriptionAvailable = 0x28, "Wildcard Subscription Available", CONNACK;
    SubscriptionIdentifiersAvailable = 0x29, "Subscription Identifiers Available", CONNACK;
    SharedSubscriptionAvailable = 0x2A, "Shared Subscription Available", CONNACK;
}

impl PropertyId {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    const fn bit(self) -> u64 {
        1 << self.number()
    }

    /// Whether it may be there more than once: user properties anywhere ([MQTT-3.1.2-29] and its
    /// like), subscription identifiers in a PUBLISH ([MQTT-3.3.4-4]).
    const fn may_repeat(self, place: Place) -> bool {
        match self {
            PropertyId::User => true,
            PropertyId::SubscriptionIdentifier => matches!(place, Place::Packet(PacketType::Publish)),
            _ => false,
        }
    }
}

impl core::fmt::Display for PropertyId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// One property of a packet. Strings and data have at most 65,535 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'b> {
    /// Whether the payload is UTF-8 text.
    PayloadFormat(bool),
    /// For how many seconds the message is worth delivering.
    MessageExpiry(u32),
    /// What the payload is, for instance `application/json`.
    ContentType(&'b str),
    /// Where an answer is to be published: a topic name.
    ResponseTopic(&'b str),
    /// What tells the requester which request an answer belongs to.
    CorrelationData(&'b [u8]),
    /// The identifier of a subscription, 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// For how many seconds the session outlives its connection; `u32::MAX`: for ever.
    SessionExpiry(u32),
    /// The client identifier that the server chose.
    AssignedClientId(&'b str),
    /// The keep alive, in seconds, in place of the client's own.
    ServerKeepAlive(u16),
    /// The method of enhanced authentication (§4.12).
    AuthMethod(&'b str),
    /// What the method needs to exchange.
    AuthData(&'b [u8]),
    /// Whether the client wants reason strings and user properties in answers.
    RequestProblemInformation(bool),
    /// By how many seconds a will is put off.
    WillDelay(u32),
    /// Whether the client wants response information.
    RequestResponseInformation(bool),
    /// What response topics may be made of.
    ResponseInformation(&'b str),
    /// Another server to use.
    ServerReference(&'b str),
    /// A reason for people to read.
    ReasonString(&'b str),
    /// How many unacknowledged publications with QoS 1 and 2 are taken: 1 and above.
    ReceiveMaximum(u16),
    /// The highest topic alias that is taken.
    TopicAliasMaximum(u16),
    /// A number in place of the topic: 1 and above.
    TopicAlias(u16),
    /// The highest QoS that is supported: 0 or 1 (2 is said by leaving this out).
    MaximumQos(Qos),
    /// Whether retained messages are supported.
    RetainAvailable(bool),
    /// Whatever two applications agree on: name and value.
    User(&'b str, &'b str),
    /// The largest packet that is taken, in octets: 1 and above.
    MaximumPacketSize(u32),
    /// Whether filters may have wildcards.
    WildcardSubscriptionAvailable(bool),
    /// Whether subscriptions may have identifiers.
    SubscriptionIdentifiersAvailable(bool),
    /// Whether subscriptions may be shared.
    SharedSubscriptionAvailable(bool),
}

impl<'b> Property<'b> {
    /// Its identifier.
    #[must_use]
    pub const fn id(&self) -> PropertyId {
        match self {
            Property::PayloadFormat(_) => PropertyId::PayloadFormat,
            Property::MessageExpiry(_) => PropertyId::MessageExpiry,
            Property::ContentType(_) => PropertyId::ContentType,
            Property::ResponseTopic(_) => PropertyId::ResponseTopic,
            Property::CorrelationData(_) => PropertyId::CorrelationData,
            Property::SubscriptionIdentifier(_) => PropertyId::SubscriptionIdentifier,
            Property::SessionExpiry(_) => PropertyId::SessionExpiry,
            Property::AssignedClientId(_) => PropertyId::AssignedClientId,
            Property::ServerKeepAlive(_) => PropertyId::ServerKeepAlive,
            Property::AuthMethod(_) => PropertyId::AuthMethod,
            Property::AuthData(_) => PropertyId::AuthData,
            Property::RequestProblemInformation(_) => PropertyId::RequestProblemInformation,
            Property::WillDelay(_) => PropertyId::WillDelay,
            Property::RequestResponseInformation(_) => PropertyId::RequestResponseInformation,
            Property::ResponseInformation(_) => PropertyId::ResponseInformation,
            Property::ServerReference(_) => PropertyId::ServerReference,
            Property::ReasonString(_) => PropertyId::ReasonString,
            Property::ReceiveMaximum(_) => PropertyId::ReceiveMaximum,
            Property::TopicAliasMaximum(_) => PropertyId::TopicAliasMaximum,
            Property::TopicAlias(_) => PropertyId::TopicAlias,
            Property::MaximumQos(_) => PropertyId::MaximumQos,
            Property::RetainAvailable(_) => PropertyId::RetainAvailable,
            Property::User(..) => PropertyId::User,
            Property::MaximumPacketSize(_) => PropertyId::MaximumPacketSize,
            Property::WildcardSubscriptionAvailable(_) => PropertyId::WildcardSubscriptionAvailable,
            Property::SubscriptionIdentifiersAvailable(_) => PropertyId::SubscriptionIdentifiersAvailable,
            Property::SharedSubscriptionAvailable(_) => PropertyId::SharedSubscriptionAvailable,
        }
    }

    /// The next property of a block.
    fn read(r: &mut Reader<'b>) -> Result<Self, Fault> {
        let number = r.varint()?;
        let Some(id) = PropertyId::from_number(number) else {
            return Err(r.malformed("a property with an identifier that is not known"));
        };
        Ok(match id {
            PropertyId::PayloadFormat => Property::PayloadFormat(flag(r, id)?),
            PropertyId::MessageExpiry => Property::MessageExpiry(r.u32()?),
            PropertyId::ContentType => Property::ContentType(r.string()?),
            PropertyId::ResponseTopic => Property::ResponseTopic(r.string()?),
            PropertyId::CorrelationData => Property::CorrelationData(r.binary()?),
            PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(r.varint()?),
            PropertyId::SessionExpiry => Property::SessionExpiry(r.u32()?),
            PropertyId::AssignedClientId => Property::AssignedClientId(r.string()?),
            PropertyId::ServerKeepAlive => Property::ServerKeepAlive(r.u16()?),
            PropertyId::AuthMethod => Property::AuthMethod(r.string()?),
            PropertyId::AuthData => Property::AuthData(r.binary()?),
            PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag(r, id)?),
            PropertyId::WillDelay => Property::WillDelay(r.u32()?),
            PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag(r, id)?),
            PropertyId::ResponseInformation => Property::ResponseInformation(r.string()?),
            PropertyId::ServerReference => Property::ServerReference(r.string()?),
            PropertyId::ReasonString => Property::ReasonString(r.string()?),
            PropertyId::ReceiveMaximum => Property::ReceiveMaximum(r.u16()?),
            PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(r.u16()?),
            PropertyId::TopicAlias => Property::TopicAlias(r.u16()?),
            PropertyId::MaximumQos => {
                Property::MaximumQos(if flag(r, id)? { Qos::AtLeastOnce } else { Qos::AtMostOnce })
            }
            PropertyId::RetainAvailable => Property::RetainAvailable(flag(r, id)?),
            PropertyId::User => Property::User(r.string()?, r.string()?),
            PropertyId::MaximumPacketSize => Property::MaximumPacketSize(r.u32()?),
            PropertyId::WildcardSubscriptionAvailable => {
                Property::WildcardSubscriptionAvailable(flag(r, id)?)
            }
            PropertyId::SubscriptionIdentifiersAvailable => {
                Property::SubscriptionIdentifiersAvailable(flag(r, id)?)
            }
            PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag(r, id)?),
        })
    }

    /// Writes this property in its wire form.
    fn write(&self, to: &mut impl Sink) {
        to.u8(self.id().number()); // each is below 0x80, so one octet
        match *self {
            Property::PayloadFormat(v)
            | Property::RequestProblemInformation(v)
            | Property::RequestResponseInformation(v)
            | Property::RetainAvailable(v)
            | Property::WildcardSubscriptionAvailable(v)
            | Property::SubscriptionIdentifiersAvailable(v)
            | Property::SharedSubscriptionAvailable(v) => to.u8(u8::from(v)),
            Property::MaximumQos(qos) => to.u8(qos.number()),
            Property::MessageExpiry(v)
            | Property::SessionExpiry(v)
            | Property::WillDelay(v)
            | Property::MaximumPacketSize(v) => to.u32(v),
            Property::ServerKeepAlive(v)
            | Property::ReceiveMaximum(v)
            | Property::TopicAliasMaximum(v)
            | Property::TopicAlias(v) => to.u16(v),
            Property::SubscriptionIdentifier(v) => to.varint(v),
            Property::ContentType(s)
            | Property::ResponseTopic(s)
            | Property::AssignedClientId(s)
            | Property::AuthMethod(s)
            | Property::ResponseInformation(s)
            | Property::ServerReference(s)
            | Property::ReasonString(s) => to.string(s),
            Property::CorrelationData(b) | Property::AuthData(b) => to.binary(b),
            Property::User(name, value) => {
                to.string(name);
                to.string(value);
            }
        }
    }

    /// What is wrong with the value, where the type alone does not tell.
    fn check(&self, packet: PacketType) -> Result<(), Fault> {
        let id = self.id();
        let wrong = |what| Err(Fault::PropertyValue { packet, property: id, what });
        match *self {
            // [MQTT-3.3.2-8]
            Property::TopicAlias(0) => Err(Fault::TopicAlias { alias: 0, what: "0 is no topic alias" }),
            // [MQTT-3.3.2-14], [MQTT-3.3.2-13], [MQTT-4.7.3-1]
            Property::ResponseTopic(topic) if validate_topic(topic).is_err() => {
                wrong("is not a valid topic name")
            }
            Property::SubscriptionIdentifier(0)
            | Property::ReceiveMaximum(0)
            | Property::MaximumPacketSize(0) => wrong("must not be 0"),
            Property::MaximumQos(Qos::ExactlyOnce) => wrong("must be 0 or 1"),
            _ => Ok(()),
        }
    }
}

/// An octet that is 0 or 1.
fn flag(r: &mut Reader<'_>, property: PropertyId) -> Result<bool, Fault> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::PropertyValue { packet: r.packet, property, what: "must be 0 or 1" }),
    }
}

/// The properties of a packet: a checked block of octets that came in, or a list that goes out.
///
/// ```
/// use bowline_core::mqtt::{Properties, Property};
/// let list = [Property::ContentType("text/plain"), Property::User("a", "b")];
/// let properties = Properties::list(&list);
/// assert!(properties.iter().eq(list));
/// assert_eq!(properties.user().collect::<Vec<_>>(), [("a", "b")]);
/// ```
#[derive(Clone, Copy)]
pub struct Properties<'b> {
    repr: Repr<'b>,
    /// A bit for each property that is left out.
    without: u64,
}

#[derive(Clone, Copy)]
enum Repr<'b> {
    /// A checked block, and a bit for each property in it.
    Block(&'b [u8], u64),
    /// What the caller wants to send; checked when it is written.
    List(&'b [Property<'b>]),
    /// What is made as it is written, and where in its source it goes on.
    Source(&'b dyn Source, usize),
}

/// Properties to send that are neither octets of MQTT's nor in memory as a list: they are made one by
/// one, from another protocol's for instance, and nothing is allocated.
///
/// ```
/// use bowline_core::mqtt::{Properties, Property, Source};
/// struct Numbered<'a>(&'a [(&'a str, &'a str)]);
/// impl Source for Numbered<'_> {
///     fn next(&self, at: &mut usize) -> Option<Property<'_>> {
///         let (name, value) = self.0.get(*at)?;
///         *at += 1;
///         Some(Property::User(name, value))
///     }
/// }
/// let source = Numbered(&[("a", "1"), ("b", "2")]);
/// assert_eq!(Properties::from_source(&source).user().count(), 2);
/// ```
pub trait Source {
    /// The property at `at`, which begins at 0 and is moved behind it; `None` behind the last. Each is
    /// to be one that the packet may carry, only user properties more than once: as in
    /// [`Outgoing`](super::Outgoing), nothing is checked again.
    fn next(&self, at: &mut usize) -> Option<Property<'_>>;
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Properties::NONE
    }
}

impl PartialEq for Properties<'_> {
    /// The same properties in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

impl core::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'b> Properties<'b> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties { repr: Repr::Block(&[], 0), without: 0 };

    /// Properties to send, in this order. They are checked when the packet is written.
    #[must_use]
    pub const fn list(list: &'b [Property<'b>]) -> Self {
        Properties { repr: Repr::List(list), without: 0 }
    }

    /// Properties to send, made as they are written.
    #[must_use]
    pub fn from_source(source: &'b dyn Source) -> Self {
        Properties { repr: Repr::Source(source, 0), without: 0 }
    }

    /// Reads the length of the properties and the properties ([MQTT-2.2.2-1]), and checks them.
    #[inline]
    pub(super) fn read(r: &mut Reader<'b>, place: Place) -> Result<Self, Fault> {
        match r.varint()? {
            0 => Ok(Self::NONE),
            n => Self::check_block(r.take(n as usize)?, place),
        }
    }

    fn check_block(block: &'b [u8], place: Place) -> Result<Self, Fault> {
        let mut r = Reader::new(place.packet(), block);
        let mut seen = 0;
        while !r.is_empty() {
            Property::read(&mut r)?.admit(place, &mut seen)?;
        }
        check_together(seen, place.packet())?;
        Ok(Properties { repr: Repr::Block(block, seen), without: 0 })
    }

    /// A block that was checked, and a bit for each property in it.
    #[cfg(feature = "alloc")]
    pub(super) const fn checked(block: &'b [u8], seen: u64) -> Self {
        Properties { repr: Repr::Block(block, seen), without: 0 }
    }

    /// Writes these to `to` without their length, if they may be in `place`; a bit for each of them.
    #[cfg(feature = "alloc")]
    pub(super) fn write_block(&self, place: Place, to: &mut impl Sink) -> Result<u64, &'static str> {
        let mut seen = 0;
        for property in self.iter() {
            property.admit(place, &mut seen).map_err(|fault| fault.reason())?;
            property.write(to);
        }
        check_together(seen, place.packet()).map_err(|fault| fault.reason())?;
        Ok(seen)
    }

    /// A block of octets of a message's properties, without its length in front, that was checked
    /// when it came in.
    ///
    /// # Errors
    ///
    /// It is not the properties of a message (PUBLISH) after all.
    pub fn of_message(block: &'b [u8]) -> Result<Self, Fault> {
        Self::check_block(block, Place::Packet(PacketType::Publish))
    }

    /// The same, but those with these identifiers.
    #[must_use]
    pub fn without(mut self, ids: &[PropertyId]) -> Self {
        self.without = ids.iter().fold(self.without, |bits, id| bits | id.bit());
        self
    }

    /// The octets of properties that came in, without their length in front; `None` of a list, and
    /// where some are left out.
    #[inline]
    #[must_use]
    pub const fn octets(&self) -> Option<&'b [u8]> {
        match self.repr {
            Repr::Block(block, seen) if seen & self.without == 0 => Some(block),
            _ => None,
        }
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.repr {
            Repr::Block(_, seen) => seen & !self.without == 0,
            Repr::List(list) => list.iter().all(|p| p.id().bit() & self.without != 0),
            Repr::Source(..) => self.iter().next().is_none(),
        }
    }

    /// Whether there is one with this identifier; at once for properties that came in.
    #[must_use]
    pub fn contains(&self, id: PropertyId) -> bool {
        let there = match self.repr {
            Repr::Block(_, seen) => seen & id.bit() != 0,
            Repr::List(list) => list.iter().any(|p| p.id() == id),
            Repr::Source(..) => return self.iter().any(|p| p.id() == id),
        };
        there && self.without & id.bit() == 0
    }

    /// The first one with this identifier.
    #[must_use]
    pub fn get(&self, id: PropertyId) -> Option<Property<'b>> {
        if !self.contains(id) {
            return None;
        }
        self.iter().find(|p| p.id() == id)
    }

    /// All, in the order in which they came.
    #[must_use]
    pub const fn iter(&self) -> PropertyIter<'b> {
        PropertyIter(*self)
    }

    /// The user properties, in the order in which they came ([MQTT-3.3.2-18]).
    pub fn user(&self) -> impl Iterator<Item = (&'b str, &'b str)> + Clone + use<'b> {
        self.iter().filter_map(|p| match p {
            Property::User(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Writes the length, the properties, and `more`.
    pub(super) fn write_with<'m>(
        &self,
        place: Place,
        to: &mut impl Sink,
        more: impl Iterator<Item = Property<'m>> + Clone,
    ) {
        if let Repr::List(list) = self.repr
            && let Err(what) = check_list(list, place)
        {
            to.refuse(what);
        }
        let mut size = Count::default();
        more.clone().for_each(|p| p.write(&mut size));
        if let Some(block) = self.octets() {
            to.varint((size.len + block.len()) as u32);
            to.bytes(block);
        } else {
            self.iter().for_each(|p| p.write(&mut size));
            to.varint(u32::try_from(size.len).unwrap_or(u32::MAX));
            self.iter().for_each(|p| p.write(to));
        }
        more.for_each(|p| p.write(to));
    }

    /// Writes the length and all properties.
    #[inline]
    pub(super) fn write(&self, place: Place, to: &mut impl Sink) {
        match self.octets() {
            Some([]) => to.u8(0),
            _ => self.write_with(place, to, core::iter::empty()),
        }
    }
}

impl<'b> IntoIterator for Properties<'b> {
    type Item = Property<'b>;
    type IntoIter = PropertyIter<'b>;
    fn into_iter(self) -> PropertyIter<'b> {
        self.iter()
    }
}

impl Property<'_> {
    /// Checks place, repetition and value, and marks it as seen.
    fn admit(&self, place: Place, seen: &mut u64) -> Result<(), Fault> {
        let (packet, property) = (place.packet(), self.id());
        if property.places() & place::bit(place) == 0 {
            return Err(Fault::PropertyNotAllowed { packet, property });
        }
        if *seen & property.bit() != 0 && !property.may_repeat(place) {
            return Err(Fault::PropertyRepeated { packet, property });
        }
        *seen |= property.bit();
        self.check(packet)
    }
}

/// §3.1.2.11.10: no data without a method in CONNECT. AUTH always has one; of CONNACK nothing is said.
const fn check_together(seen: u64, packet: PacketType) -> Result<(), Fault> {
    let data = seen & PropertyId::AuthData.bit() != 0 && matches!(packet, PacketType::Connect);
    if data && seen & PropertyId::AuthMethod.bit() == 0 {
        return Err(Fault::Protocol { packet, what: "authentication data without a method" });
    }
    Ok(())
}

/// What is wrong with properties that are to be sent.
fn check_list(list: &[Property<'_>], place: Place) -> Result<(), &'static str> {
    let mut seen = 0;
    for property in list {
        property.admit(place, &mut seen).map_err(|fault| fault.reason())?;
        if matches!(property, Property::SubscriptionIdentifier(id) if *id > VARINT_MAX) {
            return Err("a subscription identifier is above 268,435,455");
        }
    }
    check_together(seen, place.packet()).map_err(|fault| fault.reason())
}

/// The properties of a packet, one after another: see [`Properties::iter`].
#[derive(Clone)]
pub struct PropertyIter<'b>(Properties<'b>);

impl core::fmt::Debug for PropertyIter<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'b> Iterator for PropertyIter<'b> {
    type Item = Property<'b>;

    fn next(&mut self) -> Option<Property<'b>> {
        loop {
            let property = match &mut self.0.repr {
                Repr::Block(block, _) => {
                    let mut r = Reader::new(PacketType::Publish, block);
                    let property = Property::read(&mut r).ok()?; // was checked: fails at the end only
                    *block = r.bytes;
                    property
                }
                Repr::List(list) => {
                    let (first, rest) = list.split_first()?;
                    *list = rest;
                    *first
                }
                Repr::Source(source, at) => source.next(at)?,
            };
            if property.id().bit() & self.0.without == 0 {
                return Some(property);
            }
        }
    }
}
