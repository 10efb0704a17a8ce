//! The payload of a room's message, as every dialect sees it (JSON.md §4).
//!
//! The hub keeps it as the server writes it for a member that sends by typed JSON:
//!
//! ```json
//! {"from":"89a1d7c02b3e4f56","user":"ann","key":"k1","type":"chat.message","payload":{"text":"hi"}}
//! ```
//!
//! Behind its first octet this is the end of the envelope that members get, so one message is written
//! once and copied behind the room, the offset and the rest. That is done only with what begins with
//! [`OWN_PREFIX`], which a server lets nobody else publish on a room's topic; all else is looked at
//! octet by octet, and only its type and its payload are taken over.

use alloc::borrow::Cow;
use alloc::string::String;

use super::object::{Source, as_json};
use super::write::{Object, put_text};
use super::{MAX_DEPTH, MAX_NAME};

/// What the payload of a room's message is, where its publisher says so.
pub const CONTENT_TYPE: &str = "application/vnd.bowline.event+json";

/// What the payload of a message begins with that a server wrote, for a member. From nobody else it is
/// accepted on a room's topic, so nobody speaks in another's name.
pub const OWN_PREFIX: &str = "{\"from\":\"";

/// What a member sends to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The name of the member that sent it.
    pub from: Option<u64>,
    /// Who that authenticated as.
    pub user: Option<&'a str>,
    /// What names the message for good.
    pub key: Option<&'a str>,
    /// Its type.
    pub name: Cow<'a, str>,
    /// Its payload: an object, as text.
    pub payload: &'a str,
}

impl<'a> Event<'a> {
    /// Appends it to `out`: the payload that the hub is given.
    pub fn write(&self, out: &mut String) {
        let mut object = Object::begin(out);
        if let Some(from) = self.from {
            object.hex("from", from);
        }
        object.maybe_text("user", self.user).maybe_text("key", self.key);
        object.text("type", &self.name).raw("payload", self.payload);
        object.end();
    }

    /// What somebody published who is no member: its type and payload, and nothing that only a server
    /// can know. `None` of what is no such object.
    fn foreign(payload: &'a str) -> Option<Self> {
        let source = Source(payload);
        source.check_depth(MAX_DEPTH).ok()?;
        let (mut name, mut inner) = (None, None);
        let members = |member: &str, value: &'a str| match member {
            "type" => name = Some(value),
            "payload" => inner = Some(value),
            _ => {}
        };
        source.members(payload, members).ok()?;
        let name = source.name("type", name?, MAX_NAME).ok()?;
        let is_own = name.is_empty() || name.starts_with('$');
        let inner = inner.map_or(Ok("{}"), |raw| source.object("payload", raw)).ok()?;
        (!is_own).then_some(Self { from: None, user: None, key: None, name, payload: inner })
    }
}

/// Appends what ends an envelope: the members that say what a room's message is, and `}`.
pub(super) fn put_tail(out: &mut String, payload: &[u8]) {
    let text = core::str::from_utf8(payload).ok();
    if let Some(text) = text.filter(|text| text.starts_with(OWN_PREFIX)) {
        return out.push_str(&text[1..]);
    }
    if let Some(event) = text.and_then(Event::foreign) {
        out.push_str("\"type\":");
        put_text(out, &event.name);
        out.push_str(",\"payload\":");
        out.push_str(event.payload);
        return out.push('}');
    }
    out.push_str("\"type\":\"message\",\"payload\":");
    let mut object = Object::begin(out);
    put_content(&mut object, payload);
    object.end();
    out.push('}');
}

/// What a payload of any dialect is, in one of three members: `data`, `text`, `base64`.
pub(super) fn put_content(object: &mut Object<'_>, payload: &[u8]) {
    if let Some(json) = as_json(payload) {
        object.raw("data", json);
    } else if let Ok(text) = core::str::from_utf8(payload) {
        object.text("text", text);
    } else {
        object.base64("base64", payload);
    }
}
