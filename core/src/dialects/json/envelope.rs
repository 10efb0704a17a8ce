//! The envelope, as a client sends it (JSON.md §1).

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::fault::{Fault, What};
use super::object::Source;
use super::{MAX_DEPTH, MAX_NAME, Trace};
use crate::trace::{TRACEPARENT, TRACESTATE};

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What happened.
    #[default]
    Event,
    /// What is of no use later: not kept, and dropped first (JSN-18).
    Ephemeral,
    /// What happened before.
    History,
    /// The protocol's own.
    System,
    /// What a client asked for was not done.
    Error,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Ephemeral => "ephemeral",
            Self::History => "history",
            Self::System => "system",
            Self::Error => "error",
        }
    }
}

/// A message of a client, taken apart. What is not escaped is borrowed from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub(super) source: &'a str,
    /// What it is: never empty, at most 128 octets.
    pub name: Cow<'a, str>,
    /// An object, as it came; `{}` where there is none.
    pub payload: &'a str,
    /// Asks for an answer that names it; at most 128 octets.
    pub id: Option<Cow<'a, str>>,
    /// The room that is meant.
    pub room: Option<Cow<'a, str>>,
    /// Names the message for good (JSN-15); at most 128 octets.
    pub key: Option<Cow<'a, str>>,
    /// [`Kind::Event`] or [`Kind::Ephemeral`].
    pub kind: Kind,
    /// Whether it is to come back to who sent it (JSN-16).
    pub echo: bool,
    /// `session_id`, which only HTTP has (§6).
    pub session: Option<Cow<'a, str>>,
    /// The trace that it belongs to (JSN-33).
    pub trace: Option<Trace<'a>>,
}

/// The members as they came; of one that is repeated, the last (JSN-3).
#[derive(Default)]
struct Members<'a> {
    name: Option<&'a str>,
    payload: Option<&'a str>,
    id: Option<&'a str>,
    room: Option<&'a str>,
    key: Option<&'a str>,
    kind: Option<&'a str>,
    echo: Option<&'a str>,
    session: Option<&'a str>,
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Takes a message apart. It costs one look at each octet, whatever the message is.
    ///
    /// # Errors
    ///
    /// What is wrong, and where (JSN-2, JSN-4): it is no JSON object, nests deeper than
    /// [`MAX_DEPTH`], has a member that is not of its type, or no type.
    pub fn decode(text: &'a str) -> Result<Self, Fault> {
        let source = Source(text);
        source.check_depth(MAX_DEPTH)?;
        let first = text.trim_start_matches([' ', '\t', '\r', '\n']);
        if !first.starts_with('{') {
            return Err(not_an_object(source, first));
        }
        let mut members = Members::default();
        source.members(text, |name, value| {
            let member = match name {
                "type" => &mut members.name,
                "payload" => &mut members.payload,
                "id" => &mut members.id,
                "room" => &mut members.room,
                "key" => &mut members.key,
                "kind" => &mut members.kind,
                "echo" => &mut members.echo,
                "session_id" => &mut members.session,
                TRACEPARENT => &mut members.traceparent,
                TRACESTATE => &mut members.tracestate,
                _ => return,
            };
            *member = Some(value);
        })?;
        let id = members.id.map(|raw| source.name("id", raw, MAX_NAME)).transpose()?;
        match Self::check(source, &members, id.clone()) {
            Ok(envelope) => Ok(envelope),
            Err(fault) => Err(Fault { id: id.map(Cow::into_owned), ..fault }),
        }
    }

    fn check(source: Source<'a>, members: &Members<'a>, id: Option<Cow<'a, str>>) -> Result<Self, Fault> {
        let name = match members.name {
            None => return Err(Fault::new(What::NoType, "type", 0)),
            Some(raw) => source.name("type", raw, MAX_NAME)?,
        };
        if name.is_empty() {
            return Err(source.fault(What::NoType, "type", members.name.unwrap_or_default()));
        }
        let payload = members.payload.map_or(Ok("{}"), |raw| source.object("payload", raw))?;
        let kind = match members.kind {
            None => Kind::Event,
            Some(raw) => match &*source.text("kind", raw)? {
                "event" => Kind::Event,
                "ephemeral" => Kind::Ephemeral,
                _ => return Err(source.fault(What::MustBe("'event' or 'ephemeral'"), "kind", raw)),
            },
        };
        Ok(Self {
            source: source.0,
            name,
            payload,
            id,
            room: members.room.map(|raw| source.text("room", raw)).transpose()?,
            key: members.key.map(|raw| source.name("key", raw, MAX_NAME)).transpose()?,
            kind,
            echo: members.echo.map_or(Ok(true), |raw| source.boolean("echo", raw))?,
            session: members.session.and_then(|raw| source.text("session_id", raw).ok()),
            trace: members.traceparent.and_then(|parent| {
                // What is none is nobody's fault here (W3C Trace Context, section 3.2).
                let text = |name, raw| source.text(name, raw).ok();
                let state = members.tracestate.and_then(|raw| text(TRACESTATE, raw));
                Trace::parse(&text(TRACEPARENT, parent)?, state)
            }),
        })
    }
}

fn not_an_object(source: Source<'_>, first: &str) -> Fault {
    // Whether it is JSON at all is of interest to who gets the error.
    match source.members(source.0, |_, _| {}) {
        Err(fault) if super::object::as_json(source.0.as_bytes()).is_none() => fault,
        _ => source.fault(What::MustBe("a JSON object"), "", first),
    }
}

/// What a POST brings: one message, or several (§6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a>(Vec<&'a str>);

impl<'a> Batch<'a> {
    /// The messages of a body, as they came: of an array its elements, else the body itself.
    ///
    /// # Errors
    ///
    /// It is no JSON, or nests deeper than [`MAX_DEPTH`] below the array.
    pub fn parse(body: &'a str) -> Result<Self, Fault> {
        let first = body.trim_start_matches([' ', '\t', '\r', '\n']);
        if !first.starts_with('[') {
            return Ok(Self(Vec::from([body])));
        }
        let source = Source(body);
        source.check_depth(MAX_DEPTH + 1)?;
        let mut all = Vec::new();
        source.elements(body, |element| all.push(element))?;
        Ok(Self(all))
    }

    /// The messages, in order.
    #[must_use]
    pub fn messages(&self) -> &[&'a str] {
        &self.0
    }
}

const _: () = assert!(MAX_DEPTH < 128, "what serde_json follows down");
