//! SUBSCRIBE (§3.8) and UNSUBSCRIBE (§3.10).

use super::super::fault::Fault;
use super::super::properties::Place;
use super::super::wire::{Body, Reader, Sink};
use super::super::{PacketId, PacketType, Properties, Property, PropertyId, Qos, Version};
use crate::retain::RetainHandling;
use crate::topic::{SHARE, TopicError, parse_filter};

const SUBSCRIBE: PacketType = PacketType::Subscribe;
const UNSUBSCRIBE: PacketType = PacketType::Unsubscribe;

/// What a subscription wants (§3.8.3.1). 3.1.1 knows only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The most QoS with which messages come.
    pub qos: Qos,
    /// Not what the same client publishes (5.0).
    pub no_local: bool,
    /// RETAIN stays as the publisher set it (5.0).
    pub retain_as_published: bool,
    /// When retained messages are sent (5.0).
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// [MQTT-3.8.3-5] (3.1.1: [MQTT-3-8.3-4]) and §3.8.3.1.
    fn read(octet: u8, version: Version, r: &Reader<'_>) -> Result<Self, Fault> {
        let reserved = if version.is_v5() { 0xc0 } else { 0xfc };
        if octet & reserved != 0 {
            return Err(r.malformed("reserved bits of the subscription options are set"));
        }
        let Some(qos) = Qos::from_number(octet & 3) else {
            return Err(match version {
                Version::V311 => r.malformed("a subscription with QoS 3"),
                Version::V5 => r.protocol("a subscription with QoS 3"),
            });
        };
        let Some(retain_handling) = RetainHandling::from_number(u64::from(octet >> 4 & 3)) else {
            return Err(r.protocol("retain handling 3"));
        };
        let (no_local, retain_as_published) = (octet & 1 << 2 != 0, octet & 1 << 3 != 0);
        Ok(Self { qos, no_local, retain_as_published, retain_handling })
    }

    const fn octet(self, version: Version) -> u8 {
        let rest = (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | self.retain_handling.number() << 4;
        self.qos.number() | if version.is_v5() { rest } else { 0 }
    }
}

/// One subscription of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'b> {
    /// The filter, of a shared one with `$share/GROUP/` in front. [`parse_filter`] takes it apart, and may
    /// refuse it: it may have more levels than [`MAX_LEVELS`](crate::topic::MAX_LEVELS), and in 3.1.1
    /// begin with `$share/` and not go on as it should. It is otherwise valid.
    pub filter: &'b str,
    /// What it wants.
    pub options: SubscriptionOptions,
}

impl<'b> Subscription<'b> {
    /// A subscription with this QoS.
    #[must_use]
    pub const fn new(filter: &'b str, qos: Qos) -> Self {
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        Self { filter, options }
    }

    fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let filter = read_filter(r, version)?;
        let options = SubscriptionOptions::read(r.u8()?, version, r)?;
        if options.no_local && filter.starts_with(SHARE) {
            return Err(r.protocol("a shared subscription with No Local")); // [MQTT-3.8.3-4]
        }
        Ok(Self { filter, options })
    }
}

/// A filter that is one ([MQTT-3.8.3-1], [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.3-1],
/// [MQTT-4.8.2-1], [MQTT-4.8.2-2]); one that only has too many levels for us may be refused by itself,
/// and so may one of a shared subscription in 3.1.1, which knows none.
fn read_filter<'b>(r: &mut Reader<'b>, version: Version) -> Result<&'b str, Fault> {
    let filter = r.string()?;
    match bad_filter(filter, version) {
        None => Ok(filter),
        Some(what) => Err(Fault::TopicFilter { packet: r.packet, what }),
    }
}

fn bad_filter(filter: &str, version: Version) -> Option<&'static str> {
    Some(match parse_filter(filter).err()? {
        TopicError::TooManyLevels { .. } => return None,
        TopicError::BadShare { .. } if version == Version::V311 => return None,
        TopicError::Empty => "a topic filter is empty",
        TopicError::WildcardNotAlone { .. } => "a wildcard is not alone in its level",
        TopicError::HashNotLast { .. } => "# is not in the last level",
        TopicError::BadShare { .. } => "a shared subscription is $share/GROUP/FILTER",
        _ => "not a valid topic filter",
    })
}

/// A client wants messages (§3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// The packet identifier, for [`SubAck`](super::SubAck).
    pub id: PacketId,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
    /// At least one subscription.
    pub subscriptions: Subscriptions<'b>,
}

impl<'b> Subscribe<'b> {
    /// The subscription identifier among its properties (§3.8.2.1.2).
    #[must_use]
    pub fn identifier(&self) -> Option<u32> {
        match self.properties.get(PropertyId::SubscriptionIdentifier) {
            Some(Property::SubscriptionIdentifier(id)) => Some(id),
            _ => None,
        }
    }

    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let id = r.packet_id()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(r, Place::Packet(SUBSCRIBE))?,
        };
        let octets = r.bytes;
        if octets.is_empty() {
            return Err(r.protocol("no subscription")); // [MQTT-3.8.3-2]; [MQTT-3.8.3-3] in 3.1.1
        }
        while !r.is_empty() {
            Subscription::read(r, version)?;
        }
        Ok(Self { id, properties, subscriptions: Subscriptions(Repr::Octets(octets, version)) })
    }
}

/// The subscriptions of a SUBSCRIBE: checked octets that came in, or a list that goes out.
#[derive(Clone, Copy)]
pub struct Subscriptions<'b>(Repr<'b, Subscription<'b>>);

/// The filters of an UNSUBSCRIBE: checked octets that came in, or a list that goes out.
#[derive(Clone, Copy)]
pub struct Filters<'b>(Repr<'b, &'b str>);

#[derive(Clone, Copy)]
enum Repr<'b, T> {
    Octets(&'b [u8], Version),
    List(&'b [T]),
}

impl<'b, T: Copy> Repr<'b, T> {
    #[inline]
    fn pop(&mut self, read: impl FnOnce(&mut Reader<'b>, Version) -> Result<T, Fault>) -> Option<T> {
        match self {
            Repr::Octets(octets, version) => {
                let mut r = Reader::new(SUBSCRIBE, octets);
                let item = read(&mut r, *version).ok()?; // was checked: fails at the end only
                *octets = r.bytes;
                Some(item)
            }
            Repr::List(list) => {
                let (first, rest) = list.split_first()?;
                *list = rest;
                Some(*first)
            }
        }
    }
}

macro_rules! sequence {
    ($name:ident, $iter:ident, $item:ty, $read:expr) => {
        impl<'b> $name<'b> {
            /// What is to be sent, in this order. It is checked when the packet is written.
            #[must_use]
            pub const fn list(list: &'b [$item]) -> Self {
                Self(Repr::List(list))
            }

            /// One after another, in the order in which they came.
            #[must_use]
            pub const fn iter(&self) -> $iter<'b> {
                $iter(self.0)
            }
        }

        impl PartialEq for $name<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.iter().eq(other.iter())
            }
        }

        impl Eq for $name<'_> {}

        impl core::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }

        impl<'b> IntoIterator for $name<'b> {
            type Item = $item;
            type IntoIter = $iter<'b>;
            fn into_iter(self) -> $iter<'b> {
                self.iter()
            }
        }

        #[doc = concat!("See [`", stringify!($name), "::iter`].")]
        #[derive(Clone)]
        pub struct $iter<'b>(Repr<'b, $item>);

        impl core::fmt::Debug for $iter<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_list().entries(self.clone()).finish()
            }
        }

        impl<'b> Iterator for $iter<'b> {
            type Item = $item;
            fn next(&mut self) -> Option<$item> {
                self.0.pop($read)
            }
        }
    };
}

sequence!(Subscriptions, SubscriptionIter, Subscription<'b>, Subscription::read);
sequence!(Filters, FilterIter, &'b str, read_filter);

impl Body for Subscribe<'_> {
    fn first(&self) -> u8 {
        SUBSCRIBE.number() << 4 | SUBSCRIBE.flags()
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        to.u16(self.id.get());
        if version.is_v5() {
            self.properties.write(Place::Packet(SUBSCRIBE), to);
        }
        if self.subscriptions.iter().next().is_none() {
            to.refuse("SUBSCRIBE without a subscription");
        }
        for subscription in self.subscriptions {
            let Subscription { filter, options } = subscription;
            if let Some(what) = bad_filter(filter, version) {
                to.refuse(what);
            }
            if version.is_v5() && options.no_local && filter.starts_with(SHARE) {
                to.refuse("a shared subscription with No Local");
            }
            to.string(filter);
            to.u8(options.octet(version));
        }
    }
}

/// A client no longer wants messages (§3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'b> {
    /// The packet identifier, for [`UnsubAck`](super::UnsubAck).
    pub id: PacketId,
    /// Beside all that (5.0).
    pub properties: Properties<'b>,
    /// At least one filter.
    pub filters: Filters<'b>,
}

impl<'b> Unsubscribe<'b> {
    pub(super) fn read(r: &mut Reader<'b>, version: Version) -> Result<Self, Fault> {
        let id = r.packet_id()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(r, Place::Packet(UNSUBSCRIBE))?,
        };
        let octets = r.bytes;
        if octets.is_empty() {
            return Err(r.protocol("no topic filter")); // [MQTT-3.10.3-2]
        }
        while !r.is_empty() {
            read_filter(r, version)?; // [MQTT-3.10.3-1]
        }
        Ok(Self { id, properties, filters: Filters(Repr::Octets(octets, version)) })
    }
}

impl Body for Unsubscribe<'_> {
    fn first(&self) -> u8 {
        UNSUBSCRIBE.number() << 4 | UNSUBSCRIBE.flags()
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        to.u16(self.id.get());
        if version.is_v5() {
            self.properties.write(Place::Packet(UNSUBSCRIBE), to);
        }
        if self.filters.iter().next().is_none() {
            to.refuse("UNSUBSCRIBE without a topic filter");
        }
        for filter in self.filters {
            if let Some(what) = bad_filter(filter, version) {
                to.refuse(what);
            }
            to.string(filter);
        }
    }
}
