//! Message properties (SPEC §3.2): read lazily, checked once, passed on as they came.

use core::time::Duration;

use super::fault::Broken;
#[cfg(feature = "alloc")]
use super::wire::Body;
use super::wire::{Reader, Sink, number, string};
use crate::compression::{Codec, Encoding};
use crate::topic::validate_topic;
use crate::varint::leb128;

const CONTENT_TYPE: u64 = 1;
const TRACE: u64 = 2;
const ROUTE: u64 = 3;
const EXPIRY: u64 = 4;
const DEDUPLICATION: u64 = 5;
const USER: u64 = 6;
const ENCODING: u64 = 7;
/// From here on, what is not known is passed on (PRP-3).
const FIRST_OPTIONAL: u64 = 64;
const RESPONSE_TOPIC: u64 = 65;
const CORRELATION: u64 = 66;
const PAYLOAD_FORMAT: u64 = 67;
const RECORDED: u64 = 68;

/// The longest route hint, in octets.
pub const ROUTE_MAX: usize = 256;
/// The longest de-duplication id, in octets.
pub const DEDUPLICATION_MAX: usize = 64;
/// The longest content type, correlation data, and name and value of a user property, in octets.
pub const TEXT_MAX: usize = 65_535;

/// One property of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property<'b> {
    /// What the payload is, for instance `application/json`; at most [`TEXT_MAX`] octets.
    ContentType(&'b str),
    /// W3C trace context: trace id (16), parent id (8), flags (1).
    Trace(&'b [u8; 25]),
    /// A hint for routing, at most [`ROUTE_MAX`] octets.
    Route(&'b [u8]),
    /// For how long after it was sent the message is worth handing on.
    Expiry(Duration),
    /// Two publishes of a session with the same id are one message; 1 to [`DEDUPLICATION_MAX`] octets.
    Deduplication(&'b [u8]),
    /// Whatever two applications agree on: name and value, each at most [`TEXT_MAX`] octets.
    User(&'b str, &'b str),
    /// The payload is compressed. Only between peers that agreed on its codec, and set by the endpoints, not
    /// by applications.
    Encoding(Encoding),
    /// Where an answer is to be published: a topic name.
    ResponseTopic(&'b str),
    /// What the answer is to carry again, so that it is known for one: at most [`TEXT_MAX`] octets.
    Correlation(&'b [u8]),
    /// Whether the payload is UTF-8 text; if not, nothing is said about it.
    PayloadFormat(bool),
    /// Where a message of the past is in its topic's history, and when it was published: offset, and
    /// milliseconds since 1970-01-01 UTC. It says so only in an answer to HISTORY (HIS-3).
    Recorded(u64, u64),
    /// A property of a later version: id (64 and above) and value.
    Unknown(u64, &'b [u8]),
}

impl<'b> Property<'b> {
    fn read(id: u64, value: &'b [u8]) -> Result<Self, Broken> {
        Ok(match id {
            CONTENT_TYPE => Property::ContentType(text(value)?),
            TRACE => Property::Trace(value.try_into().map_err(|_| Broken::Malformed(TRACE_LENGTH))?),
            ROUTE if value.len() <= ROUTE_MAX => Property::Route(value),
            ROUTE => return Err(Broken::Malformed("a route hint has more than 256 octets")),
            EXPIRY => Property::Expiry(Duration::from_millis(number(value)?)),
            DEDUPLICATION if (1..=DEDUPLICATION_MAX).contains(&value.len()) => Property::Deduplication(value),
            DEDUPLICATION => return Err(Broken::Malformed("a de-duplication id has 1 to 64 octets")),
            USER => {
                let mut r = Reader(value);
                Property::User(text(r.bytes()?)?, text(r.rest())?)
            }
            ENCODING => {
                let mut r = Reader(value);
                let codec = Codec::from_number(r.u8()?).ok_or(Broken::Malformed("an unknown codec"))?;
                Property::Encoding(Encoding { codec, length: number(r.rest())? })
            }
            RESPONSE_TOPIC => match string(value)? {
                topic if validate_topic(topic).is_ok() => Property::ResponseTopic(topic),
                _ => return Err(Broken::Malformed("a response topic is no valid topic name")),
            },
            CORRELATION if value.len() <= TEXT_MAX => Property::Correlation(value),
            CORRELATION => return Err(Broken::Malformed("correlation data has more than 65,535 octets")),
            PAYLOAD_FORMAT => match value {
                [format @ (0 | 1)] => Property::PayloadFormat(*format == 1),
                _ => return Err(Broken::Malformed("a payload format is one octet, 0 or 1")),
            },
            RECORDED => {
                let mut r = Reader(value);
                Property::Recorded(r.varint()?, number(r.rest())?)
            }
            FIRST_OPTIONAL.. => Property::Unknown(id, value),
            _ => return Err(Broken::Unsupported("an unknown property")),
        })
    }

    /// Its number on the wire, by which they are ordered.
    pub(crate) const fn id(&self) -> u64 {
        match self {
            Property::ContentType(_) => CONTENT_TYPE,
            Property::Trace(_) => TRACE,
            Property::Route(_) => ROUTE,
            Property::Expiry(_) => EXPIRY,
            Property::Deduplication(_) => DEDUPLICATION,
            Property::User(..) => USER,
            Property::Encoding(_) => ENCODING,
            Property::ResponseTopic(_) => RESPONSE_TOPIC,
            Property::Correlation(_) => CORRELATION,
            Property::PayloadFormat(_) => PAYLOAD_FORMAT,
            Property::Recorded(..) => RECORDED,
            Property::Unknown(id, _) => *id,
        }
    }

    /// Writes this property in its wire form.
    fn write(&self, to: &mut dyn Sink) {
        to.varint(self.id());
        match *self {
            Property::ContentType(s) | Property::ResponseTopic(s) => to.bytes(s.as_bytes()),
            Property::Trace(t) => to.bytes(t),
            Property::Route(b)
            | Property::Deduplication(b)
            | Property::Correlation(b)
            | Property::Unknown(_, b) => to.bytes(b),
            Property::PayloadFormat(text) => to.bytes(&[u8::from(text)]),
            Property::Expiry(d) => {
                let millis = u64::try_from(d.as_millis()).unwrap_or(u64::MAX).min(super::VARINT_MAX);
                to.varint(leb128::encoded_len(millis) as u64);
                to.varint(millis);
            }
            Property::Encoding(Encoding { codec, length }) => {
                let length = length.min(super::VARINT_MAX);
                to.varint(1 + leb128::encoded_len(length) as u64);
                to.put(&[codec.number()]);
                to.varint(length);
            }
            Property::Recorded(offset, at) => {
                let numbers = [offset, at].map(|n| n.min(super::VARINT_MAX));
                to.varint(numbers.iter().map(|n| leb128::encoded_len(*n) as u64).sum());
                numbers.iter().for_each(|n| to.varint(*n));
            }
            Property::User(name, value) => {
                let n = name.len();
                to.varint((leb128::encoded_len(n as u64) + n + value.len()) as u64);
                to.bytes(name.as_bytes());
                to.put(value.as_bytes());
            }
        }
    }
}

/// A string that MQTT, too, can carry (PRP-8).
fn text(value: &[u8]) -> Result<&str, Broken> {
    if value.len() > TEXT_MAX {
        return Err(Broken::Malformed(
            "a content type or a user property's text has more than 65,535 octets",
        ));
    }
    string(value)
}

const TRACE_LENGTH: &str = "a trace context has 25 octets";

/// The properties of a message: a checked block of octets, read when asked.
///
/// ```
/// use bowline_core::session::{Properties, Property};
/// use core::time::Duration;
/// let mut memory = [0; 64];
/// let list = [Property::ContentType("text/plain"), Property::Expiry(Duration::from_secs(5))];
/// let props = Properties::write(&list, &mut memory).unwrap();
/// assert_eq!(props.expiry(), Some(Duration::from_secs(5)));
/// assert_eq!(props.iter().collect::<Vec<_>>(), list);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'b>(&'b [u8]);

impl<'b> Properties<'b> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties(&[]);

    /// Checks a block as it came from the wire (PRP-1 to PRP-3).
    pub(super) fn read(block: &'b [u8]) -> Result<Self, Broken> {
        let mut r = Reader(block);
        let mut lowest = 0;
        while !r.is_empty() {
            let id = r.varint()?;
            if id < lowest {
                return Err(Broken::Malformed("properties are not in ascending order"));
            }
            lowest = if id == USER { id } else { id + 1 };
            Property::read(id, r.bytes()?)?;
        }
        Ok(Self(block))
    }

    /// A block that was checked before.
    #[cfg(feature = "alloc")]
    pub(crate) const fn from_checked(block: &'b [u8]) -> Self {
        Self(block)
    }

    /// A block with its length in front, as a body begins with it, that was checked when it came in.
    #[cfg(feature = "alloc")]
    pub(crate) fn of_body(start: &'b [u8]) -> Self {
        Reader(start).bytes().map_or(Self::NONE, Self)
    }

    /// Writes `list` to the front of `memory`. The list must be in ascending order of the
    /// variants above, with only user properties repeated.
    ///
    /// # Errors
    ///
    /// What is wrong with the list, or that `memory` is too small.
    pub fn write(list: &[Property<'_>], memory: &'b mut [u8]) -> Result<Self, InvalidProperties> {
        struct Slice<'m>(&'m mut [u8], usize);
        impl Sink for Slice<'_> {
            fn put(&mut self, bytes: &[u8]) {
                let end = self.1.saturating_add(bytes.len());
                if let Some(to) = self.0.get_mut(self.1..end) {
                    to.copy_from_slice(bytes);
                }
                self.1 = end;
            }
        }
        let mut to = Slice(memory, 0);
        for property in list {
            property.write(&mut to);
        }
        let needed = to.1;
        match memory.get(..needed) {
            Some(block) => Self::read(block).map_err(|b| match b {
                Broken::Malformed(what)
                | Broken::Unsupported(what)
                | Broken::InvalidTopic(what)
                | Broken::BadLimit(what) => InvalidProperties::Invalid(what),
            }),
            None => Err(InvalidProperties::TooLong { needed }),
        }
    }

    /// The block as it stands on the wire, without its length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The property at `at`, which is moved behind it; `None` behind the last.
    #[cfg(feature = "alloc")]
    pub(crate) fn next_at(&self, at: &mut usize) -> Option<Property<'b>> {
        let mut r = Reader(self.0.get(*at..)?);
        let id = r.varint().ok()?;
        let property = Property::read(id, r.bytes().ok()?).ok();
        *at = self.0.len() - r.0.len();
        property
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'b>> + Clone + use<'b> {
        let mut r = Reader(self.0);
        core::iter::from_fn(move || {
            let id = r.varint().ok()?;
            Property::read(id, r.bytes().ok()?).ok()
        })
    }

    /// For how long the message is worth handing on.
    #[must_use]
    pub fn expiry(&self) -> Option<Duration> {
        self.iter().find_map(|p| if let Property::Expiry(d) = p { Some(d) } else { None })
    }

    /// Where an answer is to be published.
    #[must_use]
    pub fn response_topic(&self) -> Option<&'b str> {
        self.iter().find_map(|p| if let Property::ResponseTopic(topic) = p { Some(topic) } else { None })
    }

    /// What the answer is to carry again.
    #[must_use]
    pub fn correlation(&self) -> Option<&'b [u8]> {
        self.iter().find_map(|p| if let Property::Correlation(data) = p { Some(data) } else { None })
    }

    /// How the payload is compressed, if it is.
    #[must_use]
    pub fn encoding(&self) -> Option<Encoding> {
        // They are in order, so nothing behind it is looked at.
        let mut up_to = self.iter().take_while(|p| p.id() <= ENCODING);
        up_to.find_map(|p| if let Property::Encoding(encoding) = p { Some(encoding) } else { None })
    }

    /// The de-duplication id.
    #[must_use]
    pub fn deduplication(&self) -> Option<&'b [u8]> {
        self.iter().find_map(|p| if let Property::Deduplication(id) = p { Some(id) } else { None })
    }
}

impl core::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Properties to be put in front of a body, in ascending order (PRP-1), each of a valid form.
#[cfg(feature = "alloc")]
pub(crate) struct Block<I>(pub(crate) I);

#[cfg(feature = "alloc")]
impl<'p, I: Iterator<Item = Property<'p>> + Clone> Block<I> {
    /// How many octets they take, without their length.
    pub(crate) fn size(&self) -> usize {
        let write = |to: &mut dyn Sink| self.0.clone().for_each(|p| p.write(to));
        Body::size(&write)
    }

    /// Puts them behind what is there, without their length.
    pub(crate) fn put(self, to: &mut alloc::vec::Vec<u8>) {
        self.0.for_each(|p| p.write(to));
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Why a list of properties cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProperties {
    /// The memory lent for them is too small.
    #[error("the properties take {needed} octets, more than the memory lent for them")]
    TooLong {
        /// What they take.
        needed: usize,
    },
    /// The list breaks a rule of the specification.
    #[error("{0}")]
    Invalid(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_property_round_trips() {
        let list = [
            Property::ContentType("text/plain"),
            Property::Trace(&[7; 25]),
            Property::Route(b"eu-1"),
            Property::Expiry(Duration::from_millis(300)),
            Property::Deduplication(b"42"),
            Property::User("a", "1"),
            Property::User("a", ""),
            Property::Encoding(Encoding { codec: Codec::Lz4, length: 1000 }),
            Property::ResponseTopic("a/b"),
            Property::Correlation(b"\x00\xff"),
            Property::PayloadFormat(true),
            Property::Recorded(300, 1_700_000_000_000),
            Property::Unknown(99, b"later"),
        ];
        let mut memory = [0; 128];
        let props = Properties::write(&list, &mut memory).unwrap();
        assert_eq!(props.iter().collect::<Vec<_>>(), list);
        assert_eq!(props.expiry(), Some(Duration::from_millis(300)));
        assert_eq!(props.deduplication(), Some(&b"42"[..]));
        assert_eq!(props.response_topic(), Some("a/b"));
        assert_eq!(props.correlation(), Some(&b"\x00\xff"[..]));
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let bad: [(&[u8], Broken); 15] = [
            (b"\x44\x01\x01", Broken::Malformed("a field reaches beyond the frame")),
            (b"\x44\x03\x01\x01\x01", Broken::Malformed("octets are left over")),
            (b"\x04\x01\x05\x01\x01a", Broken::Malformed("properties are not in ascending order")),
            (b"\x01\x01a\x01\x01b", Broken::Malformed("properties are not in ascending order")),
            (b"\x02\x01a", Broken::Malformed(TRACE_LENGTH)),
            (b"\x04\x02\x05\x05", Broken::Malformed("octets are left over")),
            (b"\x05\x00", Broken::Malformed("a de-duplication id has 1 to 64 octets")),
            (b"\x07\x00", Broken::Malformed("a field reaches beyond the frame")),
            (b"\x07\x02\x03\x05", Broken::Malformed("an unknown codec")),
            (b"\x07\x03\x01\x05\x05", Broken::Malformed("octets are left over")),
            (b"\x08\x00", Broken::Unsupported("an unknown property")),
            (b"\x41\x02a+", Broken::Malformed("a response topic is no valid topic name")),
            (b"\x43\x01\x02", Broken::Malformed("a payload format is one octet, 0 or 1")),
            (b"\x43\x00", Broken::Malformed("a payload format is one octet, 0 or 1")),
            (b"\x01\x05a", Broken::Malformed("a field reaches beyond the frame")),
        ];
        for (block, why) in bad {
            assert_eq!(Properties::read(block), Err(why), "{block:?}");
        }
        let mut small = [0; 3];
        let list = [Property::ContentType("text")];
        assert_eq!(Properties::write(&list, &mut small), Err(InvalidProperties::TooLong { needed: 6 }));
    }
}
