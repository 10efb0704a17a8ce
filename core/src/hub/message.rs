//! A message as the hub keeps it: the bytes that a PUBLISH carried, shared, with offsets.

mod change;

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::log::Log;
use super::operation::{Operation, StoredMessage};
use super::options::Quality;
use super::rooms;
use super::slab::{NONE, Slab};
use crate::session::{Block, Properties, Property};
use crate::time::Instant;
use crate::topic::{TopicError, validate_topic};
use crate::trace::TraceContext;
use crate::varint::leb128;

/// Where the parts of a message body are, in octets from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The topic's octets, without the length in front; empty (at `payload_at`) in a response.
    pub topic: Range<u32>,
    /// Where the payload begins: right behind the topic.
    pub payload_at: u32,
    /// Whether the body begins with a properties block.
    pub has_props: bool,
}

/// A [`Layout`] that does not fit its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the layout does not fit the body: parts must be in order and within it, the payload right behind the topic"
)]
pub struct BadLayout;

/// A message: the body of a PUBLISH frame, verbatim and shared, so that handing it on to any number
/// of sessions encodes and copies nothing.
///
/// The body is `[properties] topic payload`, the topic with its length in front; a response has
/// no topic. At most 4 GiB − 1. Cloning costs one reference count.
///
/// ```
/// use bowline_core::hub::Message;
/// let m = Message::new("home/door", b"open").unwrap();
/// assert_eq!((m.topic(), m.payload()), ("home/door", &b"open"[..]));
/// assert_eq!(&m.body()[..], b"\x09home/dooropen");
/// assert!(size_of::<Message>() <= 56);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    body: Bytes,
    expires: Option<Instant>,
    topic_at: u32,
    payload_at: u32,
    has_props: bool,
    quality: Quality,
    retain: bool,
}

impl Message {
    /// A message at most once, without properties, made from its parts.
    ///
    /// # Errors
    ///
    /// The topic is not a valid name.
    pub fn new(topic: &str, payload: &[u8]) -> Result<Self, TopicError> {
        validate_topic(topic)?;
        let mut body = Vec::with_capacity(3 + topic.len() + payload.len());
        let mut memory = [0; leb128::MAX_LEN];
        body.extend_from_slice(leb128::encode(topic.len() as u64, &mut memory));
        let topic_at = body.len() as u32;
        body.extend_from_slice(topic.as_bytes());
        let payload_at = body.len() as u32;
        body.extend_from_slice(payload);
        Ok(Self::at(body.into(), topic_at, payload_at, false))
    }

    /// A message from its parts, in one allocation. The topic must be a valid name, and the properties
    /// in ascending order; `None` for what has 4 GiB and more.
    pub(crate) fn assemble<'p>(
        properties: Block<impl Iterator<Item = Property<'p>> + Clone>,
        topic: &str,
        payload: &[u8],
    ) -> Option<Self> {
        Self::put_together(properties, Some(topic), payload)
    }

    /// A response from its parts, in one allocation.
    pub(crate) fn assemble_response<'p>(
        properties: Block<impl Iterator<Item = Property<'p>> + Clone>,
        payload: &[u8],
    ) -> Option<Self> {
        Self::put_together(properties, None, payload)
    }

    fn put_together<'p>(
        properties: Block<impl Iterator<Item = Property<'p>> + Clone>,
        topic: Option<&str>,
        payload: &[u8],
    ) -> Option<Self> {
        let size = properties.size();
        let with_length = |n: usize| length_octets(n) + n;
        let block = if size > 0 { with_length(size) } else { 0 };
        let named = topic.map_or(0, |topic| with_length(topic.len()));
        // Exactly: only then is the shared buffer this very allocation.
        let mut body = Vec::with_capacity(block + named + payload.len());
        let put_length = |body: &mut Vec<u8>, n: usize| {
            body.extend_from_slice(leb128::encode(n as u64, &mut [0; leb128::MAX_LEN]));
        };
        if size > 0 {
            put_length(&mut body, size);
            properties.put(&mut body);
        }
        let topic = topic.inspect(|topic| put_length(&mut body, topic.len())).unwrap_or_default();
        let topic_at = u32::try_from(body.len()).ok()?;
        body.extend_from_slice(topic.as_bytes());
        let payload_at = u32::try_from(body.len()).ok()?;
        body.extend_from_slice(payload);
        u32::try_from(body.len()).ok()?;
        Some(Self::at(body.into(), topic_at, payload_at, size > 0))
    }

    /// The payload of a response, which has neither topic nor properties.
    #[must_use]
    pub fn response(payload: impl Into<Bytes>) -> Self {
        Self::at(payload.into(), 0, 0, false)
    }

    /// A message from a body that its protocol has validated, shared as it is.
    ///
    /// # Errors
    ///
    /// The layout does not fit the body. The topic's characters are not looked at again.
    pub fn from_body(body: Bytes, layout: &Layout) -> Result<Self, BadLayout> {
        let Layout { topic, payload_at, has_props } = layout;
        let ordered = topic.start <= topic.end && topic.end == *payload_at;
        let room_for_length = topic.is_empty() || topic.start as usize >= length_octets(topic.len());
        let fits = u32::try_from(body.len()).is_ok_and(|len| *payload_at <= len);
        if !(ordered && room_for_length && fits) {
            return Err(BadLayout);
        }
        Ok(Self::at(body, topic.start, *payload_at, *has_props))
    }

    const fn at(body: Bytes, topic_at: u32, payload_at: u32, has_props: bool) -> Self {
        let quality = Quality::AtMostOnce;
        Self { body, expires: None, topic_at, payload_at, has_props, quality, retain: false }
    }

    /// The same message, at least once if `reliable`, else at most once.
    #[must_use]
    pub fn with_reliable(self, reliable: bool) -> Self {
        self.with_quality(if reliable { Quality::AtLeastOnce } else { Quality::AtMostOnce })
    }

    /// The same message, to be delivered so surely at most.
    #[must_use]
    pub fn with_quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }

    /// The same message, to be kept as the last value of its topic if `retain`.
    #[must_use]
    pub fn with_retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// The same message, not to be handed on at `expires` or later.
    #[must_use]
    pub fn with_expiry(mut self, expires: Instant) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The same message, which does not expire.
    #[must_use]
    pub fn without_expiry(mut self) -> Self {
        self.expires = None;
        self
    }

    /// The whole body: `[properties] topic payload`, as a frame carries it.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The topic; empty in a response, or if the body that this was made from was not UTF-8 there.
    #[must_use]
    pub fn topic(&self) -> &str {
        core::str::from_utf8(self.topic_octets()).unwrap_or_default()
    }

    /// The topic, not looked at again.
    #[inline]
    pub(crate) fn topic_octets(&self) -> &[u8] {
        &self.body[self.topic_at as usize..self.payload_at as usize]
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.body[self.payload_at as usize..]
    }

    /// The raw properties block as the body begins with it, its length included; empty without one.
    #[must_use]
    pub fn props(&self) -> &[u8] {
        if !self.has_props {
            return &[];
        }
        let topic = self.topic_octets().len();
        let length = if topic == 0 { 0 } else { length_octets(topic) };
        &self.body[..self.topic_at as usize - length]
    }

    /// The trace that it belongs to, if it says so.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        if !self.has_props {
            return None;
        }
        let trace = Properties::of_body(self.props()).iter().find_map(|property| match property {
            Property::Trace(trace) => Some(*trace),
            _ => None,
        });
        trace.map(TraceContext::from_bytes)
    }

    /// The same message, in that trace: a copy of it. One that is too large for that stays as it is.
    #[must_use]
    pub fn with_trace(self, trace: &TraceContext) -> Self {
        let own = Properties::of_body(self.props());
        let trace = Property::Trace(trace.as_bytes());
        let before = own.iter().filter(|property| property.id() < trace.id());
        let behind = own.iter().filter(|property| property.id() > trace.id());
        let block = Block(before.chain(core::iter::once(trace)).chain(behind));
        let topic = Some(self.topic()).filter(|topic| !topic.is_empty());
        match Self::put_together(block, topic, self.payload()) {
            Some(traced) => {
                let Self { expires, quality, retain, .. } = self;
                Self { expires, quality, retain, ..traced }
            }
            None => self,
        }
    }

    /// Whether the body begins with a properties block.
    #[must_use]
    pub const fn has_props(&self) -> bool {
        self.has_props
    }

    /// Whether the message is to be delivered at least once.
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        self.quality.is_reliable()
    }

    /// How surely the message is to be delivered.
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }

    /// Whether it was published as the last value of its topic.
    #[must_use]
    pub const fn is_retain(&self) -> bool {
        self.retain
    }

    /// Where its parts are in the body, to make it again by [`from_body`](Self::from_body).
    #[must_use]
    pub const fn layout(&self) -> Layout {
        Layout {
            topic: self.topic_at..self.payload_at,
            payload_at: self.payload_at,
            has_props: self.has_props,
        }
    }

    /// When the message must no longer be handed on.
    #[must_use]
    pub const fn expires(&self) -> Option<Instant> {
        self.expires
    }

    #[inline]
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// What it counts for in queues: the octets of its body.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.body.len() as u32
    }
}

/// The message of a response that carries nothing.
pub(super) static EMPTY: Message = Message::at(Bytes::new(), 0, 0, false);

/// How many octets a varint of this value has.
const fn length_octets(n: usize) -> usize {
    varint_octets(n as u64) as usize
}

/// How many octets a varint of this value has; one that is too large is written as the largest.
#[inline]
pub(super) const fn varint_octets(n: u64) -> u32 {
    leb128::encoded_len(if n > leb128::MAX { leb128::MAX } else { n }) as u32
}

/// The place of a message that was kept in the history of its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// What tells the offsets of this history from those of an earlier one of the topic, which was
    /// forgotten or lost: at random, from 1 to 2^63 - 1.
    pub epoch: u64,
    /// Its number in the history: from 1 on, without a gap.
    pub offset: u64,
    /// When it was published, in microseconds of calendar time, or a little later where another
    /// message has that: it is unique in the hub, and greater for what came later.
    pub stamp: u64,
}

/// A message in the pool, and how many queue entries refer to it.
#[derive(Debug)]
struct Pooled {
    message: Message,
    references: u32,
    /// Its place in a history, in the list of places; `NONE`: it has none.
    place: u32,
    /// What the store knows it by; 0: not at all.
    stored: StoredMessage,
    /// It is a room's.
    of_room: bool,
}

impl Default for Pooled {
    fn default() -> Self {
        Self {
            message: Message::at(Bytes::new(), 0, 0, false),
            references: 0,
            place: NONE,
            stored: 0,
            of_room: false,
        }
    }
}

/// Every message that waits somewhere in the hub, once: queues hold 32-bit references that are
/// counted without atomics, because one thread at a time works on a hub.
#[derive(Debug)]
pub(super) struct Pool {
    messages: Slab<Pooled>,
    places: Slab<Place>,
    /// Octets of their bodies.
    bytes: u64,
    /// Told of messages that something durable refers to.
    pub(super) log: Log,
}

impl Pool {
    pub(super) fn new(log: Log) -> Self {
        Self { messages: Slab::default(), places: Slab::default(), bytes: 0, log }
    }

    /// Stores a message with one reference, which the caller owns.
    pub(super) fn insert(&mut self, message: Message) -> u32 {
        self.insert_stored(message, 0)
    }

    /// What the store knows this message by: it is told of it now, if it was not.
    pub(super) fn stored(&mut self, index: u32) -> StoredMessage {
        let pooled = &mut self.messages[index];
        if pooled.stored == 0 {
            pooled.stored = self.log.next_message();
            let content = pooled.message.clone();
            self.log.push(Operation::MessageAdded { message: pooled.stored, content });
        }
        self.messages[index].stored
    }

    /// A message that the store has, as it says.
    pub(super) fn insert_stored(&mut self, message: Message, stored: StoredMessage) -> u32 {
        self.bytes += u64::from(message.size());
        let of_room = rooms::is_topic(message.topic_octets());
        self.messages.insert(Pooled { message, references: 1, place: NONE, stored, of_room })
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Message {
        &self.messages[index].message
    }

    /// So many of its octets wait in queues for members of a room.
    #[inline]
    pub(super) fn room_octets(&self, index: u32) -> u64 {
        let pooled = &self.messages[index];
        if pooled.of_room { u64::from(pooled.message.size()) } else { 0 }
    }

    /// The message is kept there in its topic's history.
    pub(super) fn set_place(&mut self, index: u32, place: Place) {
        match self.messages[index].place {
            NONE => self.messages[index].place = self.places.insert(place),
            at => self.places[at] = place,
        }
    }

    /// Where a message was kept in its topic's history, if it was.
    #[inline]
    pub(super) fn place(&self, index: u32) -> Option<&Place> {
        match self.messages[index].place {
            NONE => None,
            at => Some(&self.places[at]),
        }
    }

    /// One more reference.
    #[inline]
    pub(super) fn share(&mut self, index: u32) {
        self.messages[index].references += 1;
    }

    /// One reference less; the last one frees the message.
    #[inline]
    pub(super) fn release(&mut self, index: u32) {
        let pooled = &mut self.messages[index];
        pooled.references -= 1;
        if pooled.references == 0 {
            let Pooled { message, stored, place, .. } = self.messages.remove(index);
            if place != NONE {
                self.places.remove(place);
            }
            self.bytes -= u64::from(message.size());
            if stored != 0 {
                self.log.push(Operation::MessageRemoved { message: stored });
            }
        }
    }

    /// How many messages are stored.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Octets of their bodies.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The references of each stored message, for the invariants.
    pub(super) fn references(&self) -> impl Iterator<Item = (u32, u32)> {
        self.messages.places().map(|(i, pooled)| (i, pooled.references))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn parts_of_a_body() {
        let body = Bytes::from_static(b"\x03\x01\x01x\x02a/payload");
        let layout = Layout { topic: 5..7, payload_at: 7, has_props: true };
        let m = Message::from_body(body.clone(), &layout).unwrap();
        assert_eq!((m.topic(), m.payload(), m.props()), ("a/", &b"payload"[..], &b"\x03\x01\x01x"[..]));
        let response = Layout { topic: 4..4, payload_at: 4, has_props: true };
        let m = Message::from_body(body, &response).unwrap();
        assert_eq!((m.topic(), m.props(), m.payload().len()), ("", &b"\x03\x01\x01x"[..], 10));
    }

    #[test]
    fn a_trace_is_put_between_the_other_properties() {
        let properties = [Property::ContentType("a"), Property::User("b", "c")];
        let m = Message::assemble(Block(properties.into_iter()), "t", b"p").unwrap();
        assert_eq!(m.trace(), None);
        let [one, other] = [1, 2].map(|n| TraceContext::from_bytes([n; 25]));
        let kept = m.with_expiry(Instant::from_millis(3)).with_retain(true).with_reliable(true);
        let traced = kept.clone().with_trace(&one);
        assert_eq!((traced.trace(), traced.topic(), traced.payload()), (Some(one), "t", &b"p"[..]));
        let found: Vec<_> = Properties::of_body(traced.props()).iter().collect();
        assert_eq!(found, [properties[0], Property::Trace(&[1; 25]), properties[1]]);
        assert_eq!(
            (traced.expires(), traced.is_retain(), traced.quality()),
            (kept.expires(), true, Quality::AtLeastOnce)
        );
        assert_eq!(traced.with_trace(&other).trace(), Some(other), "in place of the one before");
        let plain = Message::new("t", b"").unwrap().with_trace(&one);
        assert_eq!((plain.trace(), plain.topic()), (Some(one), "t"));
        assert_eq!(Message::response(&b"r"[..]).with_trace(&one).payload(), b"r");
    }

    #[test]
    fn layouts_that_do_not_fit_are_refused() {
        let body = Bytes::from_static(b"\x01abc");
        for (start, end, payload_at) in [(1, 2, 3), (2, 1, 1), (1, 5, 5), (0, 1, 1), (3, 2, 2)] {
            let layout = Layout { topic: Range { start, end }, payload_at, has_props: false };
            assert!(Message::from_body(body.clone(), &layout).is_err(), "{layout:?}");
        }
    }

    #[test]
    fn long_topics_have_long_lengths() {
        let topic: String = "x".repeat(300);
        let m = Message::new(&topic, b"p").unwrap();
        assert_eq!(&m.body()[..2], &[0xac, 0x02]);
        assert_eq!((m.topic(), m.payload()), (&topic[..], &b"p"[..]));
        assert_eq!([0, 127, 128, 16_383, 16_384].map(varint_octets), [1, 1, 2, 2, 3]);
        assert_eq!(varint_octets((1 << 63) - 1), 9);
    }
}
