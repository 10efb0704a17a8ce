//! What a server says: one function for each message, which appends it to a text.

use alloc::string::String;
use core::fmt::Display;
use core::time::Duration;

use super::event::{put_content, put_tail};
use super::write::put;
use super::{ErrorCode, Kind, Object, Timestamp, Trace};

/// The place of a room's message (JSN-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The room's epoch.
    pub epoch: u64,
    /// The message's number in it.
    pub offset: u64,
    /// When the hub took it, in microseconds since 1970-01-01 UTC: its id.
    pub stamp: u64,
}

/// A message of a room. `payload` is what the hub keeps: an [`Event`](super::Event), or what anybody
/// published.
///
/// ```
/// use bowline_core::json::server::{room_message, Place};
/// use bowline_core::json::Kind;
/// let mut out = String::new();
/// let place = Place { epoch: 255, offset: 7, stamp: 951_782_400_000_123 };
/// room_message(&mut out, Kind::Event, "lobby", Some(place), None, br#"{"type":"chat","id":"forged"}"#);
/// assert_eq!(
///     out,
///     concat!(
///         r#"{"id":"00000951782400000123","kind":"event","ts":"2000-02-29T00:00:00Z","room":"lobby","#,
///         r#""offset":7,"epoch":"00000000000000ff","type":"chat","payload":{}}"#
///     )
/// );
/// ```
pub fn room_message(
    out: &mut String,
    kind: Kind,
    room: &str,
    place: Option<Place>,
    trace: Option<Trace<'_>>,
    payload: &[u8],
) {
    out.reserve(payload.len() + room.len() + 192);
    let mut object = Object::begin(out);
    if let Some(place) = place {
        object.id("id", place.stamp);
    }
    object.text("kind", kind.as_str());
    if let Some(place) = place {
        object.plain("ts", Timestamp::of_millis(place.stamp / 1000));
    }
    object.text("room", room);
    if let Some(place) = place {
        object.number("offset", place.offset).hex("epoch", place.epoch);
    }
    if let Some(trace) = trace {
        trace.put(&mut object);
    }
    // The object goes on with what the message is, and ends there.
    let _ = object;
    out.push(',');
    put_tail(out, payload);
}

/// What is the same in every answer of the protocol's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// The `id` of what is answered.
    pub reference: Option<&'a str>,
    /// The room.
    pub room: Option<&'a str>,
}

/// A message of the protocol's own, with the payload that `write` writes.
pub fn system(out: &mut String, name: &str, about: About<'_>, write: impl FnOnce(&mut Object<'_>)) {
    own(out, Kind::System, name, about, write);
}

fn own(out: &mut String, kind: Kind, name: &str, about: About<'_>, write: impl FnOnce(&mut Object<'_>)) {
    let mut object = Object::begin(out);
    object.text("kind", kind.as_str()).text("type", name);
    object.maybe_text("ref", about.reference).maybe_text("room", about.room).object("payload", write);
    object.end();
}

/// `$ok`, `$pong` and what else says no more than that it was done.
pub fn done(out: &mut String, name: &str, about: About<'_>) {
    system(out, name, about, |_| {});
}

/// `$error` (JSN-12).
pub fn error(
    out: &mut String,
    about: About<'_>,
    code: ErrorCode,
    message: impl Display,
    retry_after: Option<Duration>,
) {
    own(out, Kind::Error, "$error", about, |payload| {
        let mut text = String::new();
        put(&mut text, format_args!("{message}"));
        payload.text("code", code.as_str()).text("message", &text);
        if let Some(wait) = retry_after {
            payload.number("retry_after_ms", millis(wait));
        }
    });
}

/// `$ack`: a message was taken (JSN-15).
pub fn ack(out: &mut String, about: About<'_>, place: Option<Place>, duplicate: bool) {
    system(out, "$ack", about, |payload| {
        if let Some(place) = place {
            payload.id("id", place.stamp).number("offset", place.offset).hex("epoch", place.epoch);
        }
        payload.boolean("duplicate", duplicate);
    });
}

/// What a client is welcomed with (JSN-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The session's id.
    pub session: &'a str,
    /// What resumes it.
    pub secret: &'a str,
    /// Whether it is an earlier one that goes on.
    pub resumed: bool,
    /// Whether the client has said who it is.
    pub auth: bool,
    /// Who it is; empty: nobody in particular.
    pub user: &'a str,
    /// What the server calls itself.
    pub server: &'a str,
    /// How often it looks whether the client is there.
    pub ping: Duration,
    /// Octets of a message at most.
    pub max_message: u64,
    /// Messages of one `POST /ws/send` at most.
    pub batch: u64,
}

impl Welcome<'_> {
    /// The payload of `$welcome`.
    pub fn write(&self, payload: &mut Object<'_>) {
        payload.text("session", self.session).text("secret", self.secret).boolean("resumed", self.resumed);
        payload.boolean("auth", self.auth);
        payload.maybe_text("user", Some(self.user).filter(|user| !user.is_empty()));
        payload.text("server", self.server).number("ping_ms", millis(self.ping));
        payload.number("max_message", self.max_message).number("batch", self.batch);
    }
}

/// `$challenge` (JSN-6).
pub fn challenge(out: &mut String) {
    system(out, "$challenge", About::default(), |payload| {
        payload.raw("methods", "[\"password\",\"token\"]");
    });
}

/// `$drain` (JSN-11).
pub fn drain(out: &mut String, retry_after: Duration, endpoint: &str) {
    system(out, "$drain", About::default(), |payload| {
        payload.number("retry_after_ms", millis(retry_after));
        payload.maybe_text("endpoint", Some(endpoint).filter(|endpoint| !endpoint.is_empty()));
    });
}

/// A message of a topic that was subscribed (JSN-13).
pub fn topic_message(out: &mut String, topic: &str, retain: bool, trace: Option<Trace<'_>>, payload: &[u8]) {
    let mut object = Object::begin(out);
    object.text("kind", Kind::Event.as_str()).text("type", "$message");
    if let Some(trace) = trace {
        trace.put(&mut object);
    }
    object.object("payload", |object| {
        object.text("topic", topic);
        if retain {
            object.boolean("retain", true);
        }
        put_content(object, payload);
    });
    object.end();
}

/// The answer to a `$request`.
pub fn response(out: &mut String, about: About<'_>, payload: &[u8]) {
    system(out, "$response", about, |object| put_content(object, payload));
}

/// A member of a room, as others see it (JSN-24).
pub fn member(object: &mut Object<'_>, member: u64, user: &str, data: &[u8]) {
    object.hex("member", member);
    object.maybe_text("user", Some(user).filter(|user| !user.is_empty()));
    if let Some(data) = super::object::as_json(data) {
        object.raw("data", data);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
