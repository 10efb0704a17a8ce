//! Between MQTT and the hub: what a message of one protocol is in the other (SPEC §5.6).
//!
//! The hub keeps every message as our own protocol writes it, its properties in front of topic and
//! payload. So a publication of MQTT is written once in that form when it comes, and the same octets
//! serve all subscribers of our own protocol; for those of MQTT 5 the properties are turned back as
//! they are written, without memory of their own. A message without properties costs neither way.
//!
//! | own protocol | MQTT 5 |
//! |---|---|
//! | content type, user properties in their order, response topic, correlation data, payload format | the same |
//! | expiry, milliseconds from its sending | message expiry, what is left in whole seconds, rounded up |
//! | trace context | the first user property, `traceparent`, in the text form of W3C Trace Context |
//! | route hint, de-duplication id, those of later versions | – |
//!
//! MQTT's topic alias and subscription identifiers are of one connection, and stay there.
//!
//! # Requests
//!
//! A session of MQTT 5 asks and answers by messages ([`Hub::set_by_messages`](crate::hub::Hub::set_by_messages)).
//! What it asks, the hub itself hands on and publishes the answer. What it is asked comes as
//! [`Delivery::Request`](crate::hub::Delivery::Request), and goes out as a publication with a response
//! topic of this server's own ([`ToMqtt::request`]); what the client publishes there is not published
//! but the answer ([`ReplyTopics::parse`], [`answer_from_mqtt`]), which
//! [`Hub::respond`](crate::hub::Hub::respond) takes from whom it asked and from nobody else.

use core::time::Duration;

use bytes::Bytes;

use crate::hub::{Message, Quality};
use crate::mqtt;
use crate::session::{Block, Properties, Property};
use crate::time::Instant;
use crate::trace::{TEXT_LEN, TRACEPARENT, TraceContext};

/// What MQTT says of a message beside topic, payload and properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Its QoS.
    pub quality: Quality,
    /// Whether its topic is to keep it.
    pub retain: bool,
}

/// A publication of MQTT as the hub keeps it: one allocation. Of a will, the will delay is left out.
///
/// `topic` and `properties` are such as the codec has checked them; 3.1.1 has no properties. `None`
/// only for what no packet can hold (4 GiB).
///
/// ```
/// use bowline_core::endpoint::bridge::{self, Flags};
/// use bowline_core::hub::Quality;
/// use bowline_core::mqtt::{Properties, Property};
/// use bowline_core::time::Instant;
/// let list = [Property::ContentType("text/plain"), Property::MessageExpiry(60)];
/// let flags = Flags { quality: Quality::AtLeastOnce, retain: true };
/// let now = Instant::from_millis(5);
/// let m = bridge::from_mqtt(now, "a/b", b"hi", flags, Properties::list(&list)).unwrap();
/// assert_eq!((m.topic(), m.payload(), m.is_retain()), ("a/b", &b"hi"[..], true));
/// assert_eq!(m.expires(), Some(Instant::from_millis(60_005)));
/// ```
#[must_use]
pub fn from_mqtt(
    now: Instant,
    topic: &str,
    payload: &[u8],
    flags: Flags,
    properties: mqtt::Properties<'_>,
) -> Option<Message> {
    let message = if properties.is_empty() {
        Message::assemble(Block(core::iter::empty()), topic, payload)
    } else {
        let found = Found::of(properties);
        let trace = found.trace();
        let block = Block(found.own(trace.as_ref(), properties));
        let message = Message::assemble(block, topic, payload)?;
        Some(match found.expiry {
            Some(seconds) => message.with_expiry(now + Duration::from_secs(seconds.into())),
            None => message,
        })
    }?;
    Some(message.with_quality(flags.quality).with_retain(flags.retain))
}

/// What there is once among the properties of a publication.
#[derive(Clone, Copy, Default)]
struct Found<'p> {
    content_type: Option<&'p str>,
    expiry: Option<u32>,
    response_topic: Option<&'p str>,
    correlation: Option<&'p [u8]>,
    format: Option<bool>,
    /// The first user property.
    first: Option<(&'p str, &'p str)>,
}

impl<'p> Found<'p> {
    fn of(properties: mqtt::Properties<'p>) -> Self {
        let mut found = Self::default();
        for property in properties {
            match property {
                mqtt::Property::ContentType(text) => found.content_type = Some(text),
                mqtt::Property::MessageExpiry(seconds) => found.expiry = Some(seconds),
                mqtt::Property::ResponseTopic(topic) => found.response_topic = Some(topic),
                mqtt::Property::CorrelationData(data) => found.correlation = Some(data),
                mqtt::Property::PayloadFormat(text) => found.format = Some(text),
                mqtt::Property::User(name, value) if found.first.is_none() => {
                    found.first = Some((name, value));
                }
                _ => {}
            }
        }
        found
    }

    /// BRI-3: only the first user property, because their order is kept ([MQTT-3.3.2-18]).
    fn trace(&self) -> Option<TraceContext> {
        self.first.filter(|(name, _)| *name == TRACEPARENT).and_then(|(_, value)| TraceContext::parse(value))
    }

    /// All in ascending order of our ids (PRP-1).
    fn own(
        self,
        trace: Option<&'p TraceContext>,
        properties: mqtt::Properties<'p>,
    ) -> impl Iterator<Item = Property<'p>> + Clone {
        let expiry = self.expiry.map(|seconds| Duration::from_secs(seconds.into()));
        let users = properties.user().skip(usize::from(trace.is_some()));
        let content_type = self.content_type.map(Property::ContentType).into_iter();
        content_type
            .chain(trace.map(|trace| Property::Trace(trace.as_bytes())))
            .chain(expiry.map(Property::Expiry))
            .chain(users.map(|(name, value)| Property::User(name, value)))
            .chain(self.response_topic.map(Property::ResponseTopic))
            .chain(self.correlation.map(Property::Correlation))
            .chain(self.format.map(Property::PayloadFormat))
    }
}

/// A message of the hub on its way to MQTT 5: its properties as MQTT has them.
///
/// ```
/// use bowline_core::endpoint::bridge::{self, Flags, ToMqtt};
/// use bowline_core::mqtt::{Properties, Property};
/// use bowline_core::time::Instant;
/// let list = [Property::User("a", "1"), Property::MessageExpiry(60)];
/// let now = Instant::from_millis(0);
/// let m = bridge::from_mqtt(now, "t", b"", Flags::default(), Properties::list(&list)).unwrap();
/// let later = ToMqtt::new(Instant::from_millis(900), &m);
/// assert_eq!(later.properties().user().collect::<Vec<_>>(), [("a", "1")]);
/// assert_eq!(later.expiry(), Some(60), "59.1 seconds are left");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ToMqtt<'m> {
    own: Properties<'m>,
    expiry: Option<u32>,
    /// The trace context in its text form, made when the message has one.
    traceparent: Option<[u8; TEXT_LEN]>,
    /// Of a request: where to answer it, instead of what its requester said.
    reply: Option<ReplyTo>,
}

impl<'m> ToMqtt<'m> {
    /// Of a message that is handed out at `now`.
    #[inline]
    #[must_use]
    pub fn new(now: Instant, message: &'m Message) -> Self {
        if !message.has_props() {
            return Self { own: Properties::NONE, expiry: None, traceparent: None, reply: None };
        }
        let own = Properties::of_body(message.props());
        let expiry = message.expires().map(|at| whole_seconds(at.saturating_since(now)));
        Self { own, expiry, traceparent: message.trace().map(|trace| trace.to_text()), reply: None }
    }

    /// Of a request that is handed out, with the id that the hub gave it and the time that is left for
    /// its answer, which is its expiry.
    #[must_use]
    pub fn request(
        now: Instant,
        message: &'m Message,
        topics: ReplyTopics,
        id: u64,
        timeout: Duration,
    ) -> Self {
        let (expiry, reply) = (Some(whole_seconds(timeout)), Some(topics.reply_to(id)));
        Self { expiry, reply, ..Self::new(now, message) }
    }

    /// What is left of the message's expiry in seconds, rounded up ([MQTT-3.3.2-6], BRI-2): for
    /// [`Outgoing::expiry`](mqtt::Outgoing::expiry).
    #[inline]
    #[must_use]
    pub const fn expiry(&self) -> Option<u32> {
        self.expiry
    }

    /// All but the expiry, made as they are written: for
    /// [`Outgoing::properties`](mqtt::Outgoing::properties).
    #[inline]
    #[must_use]
    pub fn properties(&self) -> mqtt::Properties<'_> {
        if self.own.is_empty() && self.reply.is_none() {
            return mqtt::Properties::NONE;
        }
        mqtt::Properties::from_source(self)
    }
}

impl mqtt::Source for ToMqtt<'_> {
    fn next(&self, at: &mut usize) -> Option<mqtt::Property<'_>> {
        loop {
            let Some(property) = self.own.next_at(at) else { return self.next_of_request(at) };
            return Some(match property {
                Property::ContentType(text) => mqtt::Property::ContentType(text),
                Property::Trace(_) => match &self.traceparent {
                    Some(text) => mqtt::Property::User(TRACEPARENT, core::str::from_utf8(text).ok()?),
                    None => continue,
                },
                Property::User(name, value) => mqtt::Property::User(name, value),
                Property::ResponseTopic(_) | Property::Correlation(_) if self.reply.is_some() => continue,
                Property::ResponseTopic(topic) => mqtt::Property::ResponseTopic(topic),
                Property::Correlation(data) => mqtt::Property::CorrelationData(data),
                Property::PayloadFormat(text) => mqtt::Property::PayloadFormat(text),
                _ => continue,
            });
        }
    }
}

impl ToMqtt<'_> {
    /// What a request has behind its own properties.
    fn next_of_request(&self, at: &mut usize) -> Option<mqtt::Property<'_>> {
        let reply = self.reply.as_ref()?;
        let behind = at.checked_sub(self.own.as_bytes().len())?;
        *at += 1;
        match behind {
            0 => core::str::from_utf8(&reply.topic).ok().map(mqtt::Property::ResponseTopic),
            1 => Some(mqtt::Property::CorrelationData(&reply.correlation)),
            _ => None,
        }
    }
}

/// The topics where clients of MQTT answer: `$reply/` and two numbers, one of this run of the server
/// and one of the request, so that an answer to a question of an earlier run is none to a new one.
///
/// They are not topics of the hub: what is published there reaches no subscription, and no access
/// rule is asked.
///
/// ```
/// use bowline_core::endpoint::bridge::ReplyTopics;
/// let topics = ReplyTopics::new(7);
/// assert_eq!(topics.parse("$reply/0000000000000007/00000000000000ff"), Some(Some(255)));
/// assert_eq!(topics.parse("$reply/0000000000000006/00000000000000ff"), Some(None));
/// assert_eq!(topics.parse("a/b"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTopics {
    run: [u8; 16],
}

/// What the topics begin with.
const REPLY: &str = "$reply/";
const REPLY_LEN: usize = REPLY.len() + 16 + 1 + 16;

#[derive(Clone, Copy, Debug)]
struct ReplyTo {
    topic: [u8; REPLY_LEN],
    correlation: [u8; 8],
}

impl ReplyTopics {
    /// `run` is to be another for each run of the server: a random number.
    #[must_use]
    pub fn new(run: u64) -> Self {
        Self { run: hexadecimal(run) }
    }

    /// Which request is answered by a publication to `topic`: `None` if it is no such topic, and an inner
    /// `None` if it is none of this run's, so that the publication goes nowhere.
    #[must_use]
    pub fn parse(&self, topic: &str) -> Option<Option<u64>> {
        let rest = topic.strip_prefix(REPLY)?.as_bytes();
        let id = rest.strip_prefix(&self.run).and_then(|rest| rest.strip_prefix(b"/"));
        Some(id.and_then(number))
    }

    fn reply_to(self, id: u64) -> ReplyTo {
        let mut topic = [b'/'; REPLY_LEN];
        topic[..REPLY.len()].copy_from_slice(REPLY.as_bytes());
        topic[REPLY.len()..][..16].copy_from_slice(&self.run);
        topic[REPLY_LEN - 16..].copy_from_slice(&hexadecimal(id));
        ReplyTo { topic, correlation: id.to_be_bytes() }
    }
}

/// An answer that a client of MQTT published, for [`Hub::respond`](crate::hub::Hub::respond): its
/// properties and payload. `None` only for what no packet can hold.
#[must_use]
pub fn answer_from_mqtt(payload: &[u8], properties: mqtt::Properties<'_>) -> Option<Message> {
    if properties.is_empty() {
        return Some(Message::response(Bytes::copy_from_slice(payload)));
    }
    // To whom it answers, and by what, is known.
    let found = Found { response_topic: None, correlation: None, ..Found::of(properties) };
    let trace = found.trace();
    Message::assemble_response(Block(found.own(trace.as_ref(), properties)), payload)
}

fn hexadecimal(number: u64) -> [u8; 16] {
    core::array::from_fn(|at| DIGITS[(number >> (60 - 4 * at) & 15) as usize])
}

/// The number that [`hexadecimal`] writes so.
fn number(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        let value = DIGITS.iter().position(|d| d == digit)?;
        Some(number << 4 | value as u64)
    })
}

/// Rounded up: a message that is worth handing on is not told to be worth nothing.
fn whole_seconds(left: Duration) -> u32 {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests;
