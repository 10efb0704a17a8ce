//! From what a session received to what a hub keeps.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::hub::{Layout, Message, Quality};
use crate::session::{Properties, Received};
use crate::time::Instant;
use crate::varint::leb128;

/// A received message, its body copied once and shared from there on.
pub(super) fn verbatim(now: Instant, m: &Received<'_>) -> Option<Message> {
    let payload_at = (m.body.len() - m.payload.len()) as u32;
    let topic = payload_at - m.topic.len() as u32..payload_at;
    let layout = Layout { topic, payload_at, has_props: !m.properties.is_empty() };
    let message = Message::from_body(Bytes::copy_from_slice(m.body), &layout).ok()?;
    let message = finish(now, message, m.properties).with_retain(m.retain);
    Some(message.with_quality(quality(m)))
}

/// What a PUBLISH asks for (BRI-6).
fn quality(m: &Received<'_>) -> Quality {
    match m.reliable {
        false => Quality::AtMostOnce,
        true if !m.properties.is_empty() && m.properties.deduplication().is_some() => Quality::ExactlyOnce,
        true => Quality::AtLeastOnce,
    }
}

/// A message from its parts, which the session has checked.
pub(super) fn compose(
    now: Instant,
    properties: Properties<'_>,
    topic: &str,
    payload: &[u8],
) -> Option<Message> {
    let mut body = Vec::with_capacity(properties.as_bytes().len() + topic.len() + payload.len() + 8);
    put_properties(properties, &mut body);
    put_length(topic.len(), &mut body);
    body.extend_from_slice(topic.as_bytes());
    let payload_at = body.len() as u32;
    body.extend_from_slice(payload);
    let topic = payload_at - topic.len() as u32..payload_at;
    let layout = Layout { topic, payload_at, has_props: !properties.is_empty() };
    Some(finish(now, Message::from_body(body.into(), &layout).ok()?, properties))
}

/// An answer: properties and payload.
pub(super) fn response(properties: Properties<'_>, payload: &[u8]) -> Message {
    if properties.is_empty() {
        return Message::response(Bytes::copy_from_slice(payload));
    }
    let mut body = Vec::with_capacity(properties.as_bytes().len() + payload.len() + 4);
    put_properties(properties, &mut body);
    let payload_at = body.len() as u32;
    body.extend_from_slice(payload);
    let layout = Layout { topic: payload_at..payload_at, payload_at, has_props: true };
    Message::from_body(body.into(), &layout).unwrap_or_else(|_| Message::response(Bytes::new()))
}

fn finish(now: Instant, message: Message, properties: Properties<'_>) -> Message {
    if properties.is_empty() {
        return message;
    }
    match properties.expiry() {
        Some(expiry) => message.with_expiry(now + expiry),
        None => message,
    }
}

fn put_properties(properties: Properties<'_>, body: &mut Vec<u8>) {
    if !properties.is_empty() {
        put_length(properties.as_bytes().len(), body);
        body.extend_from_slice(properties.as_bytes());
    }
}

fn put_length(n: usize, body: &mut Vec<u8>) {
    let mut memory = [0; leb128::MAX_LEN];
    body.extend_from_slice(leb128::encode(n as u64, &mut memory));
}
