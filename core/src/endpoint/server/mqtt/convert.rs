//! Between MQTT's messages and the hub's.

use crate::endpoint::message;
use crate::hub::{Message, Quality};
use crate::mqtt::{Publish, Will};
use crate::session;
use crate::time::Instant;

/// What a client published, for the hub.
#[inline]
pub(super) fn from_mqtt(now: Instant, publish: &Publish<'_>) -> Option<Message> {
    let message = message::compose(now, session::Properties::NONE, publish.topic, publish.payload)?;
    Some(message.with_quality(Quality::from_number(publish.qos().number())).with_retain(publish.retain))
}

/// What is published when a client is lost.
pub(super) fn will(will: &Will<'_>) -> Option<Message> {
    let message = Message::new(will.topic, will.payload).ok()?;
    Some(message.with_quality(Quality::from_number(will.qos.number())).with_retain(will.retain))
}
