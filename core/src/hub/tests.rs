//! Stories on virtual time: commands, and what each session is handed.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::status::Status;

mod behind;
mod by_messages;
mod delivery;
mod history;
mod inspect;
mod once;
mod plugins;
mod queues;
mod requests;
mod retained;
mod rooms;
mod rooms_world;
mod sessions;
mod sharing;
mod slow;
mod world;

/// A hub and the time.
pub(super) struct Story {
    pub(super) hub: Hub,
    pub(super) now: Instant,
}

/// What [`Story::take`] writes for a delivery.
fn line(delivery: &Delivery<'_>) -> String {
    let text = |m: &Message| format!("{}={}", m.topic(), String::from_utf8_lossy(m.payload()));
    match delivery {
        Delivery::Message { sid, message, quality, .. } => {
            format!("{sid}{} {}", ["", "!", "!!"][usize::from(quality.number())], text(message))
        }
        Delivery::Request { sid, timeout, message, .. } => {
            format!("{sid}? {} {}ms", text(message), timeout.as_millis())
        }
        Delivery::Response { id, status, more, message } => {
            let payload = String::from_utf8_lossy(message.payload()).into_owned();
            format!("{id}: {status:?}{} {payload}", if *more { "+" } else { "" }).trim().to_string()
        }
        Delivery::Joined { sid, joined, .. } => {
            let Joined { offset, recovered, count, .. } = joined;
            format!("{sid} joined at {offset}, {recovered}, {count}")
        }
        Delivery::Presence { sid, change } => {
            let user = |m: Member<'_>| format!("{}:{}", m.user, String::from_utf8_lossy(m.data));
            let list = |all: Vec<String>| all.join(" ");
            let (joined, changed) =
                (change.joined().map(user).collect(), change.changed().map(user).collect());
            let kind = if change.is_snapshot() { "=" } else { "+" };
            let left = change.left().count();
            format!("{sid} {kind}[{}] ~[{}] -{left} {}", list(joined), list(changed), change.count())
        }
        Delivery::Release { id } => format!("release {id}"),
        Delivery::Cancel { .. } => "cancel".to_string(),
    }
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with(HubOptions::default())
    }

    pub(super) fn with(options: HubOptions) -> Self {
        Self { hub: Hub::new(options, 7), now: Instant::from_millis(1000) }
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.hub.handle_timeout(self.now);
    }

    /// A session that outlives its connection by a minute.
    pub(super) fn session(&mut self) -> SessionKey {
        self.session_with(SessionOptions::default())
    }

    pub(super) fn session_with(&mut self, options: SessionOptions<'_>) -> SessionKey {
        let options = SessionOptions { expiry: Duration::from_secs(60), ..options };
        self.hub.attach(self.now, &options).unwrap()
    }

    pub(super) fn subscribe(&mut self, key: SessionKey, sid: u64, filter: &str) {
        self.subscribe_with(key, sid, filter, RELIABLE);
    }

    pub(super) fn subscribe_with(&mut self, key: SessionKey, sid: u64, filter: &str, o: SubscribeOptions) {
        self.hub.subscribe(self.now, key, sid, filter, o).unwrap();
    }

    pub(super) fn publish(&mut self, key: SessionKey, topic: &str, payload: &str) -> PublishOutcome {
        let message = Message::new(topic, payload.as_bytes()).unwrap();
        self.hub.publish(self.now, key, message, None).unwrap()
    }

    /// Publishes at least once.
    pub(super) fn publish_surely(&mut self, key: SessionKey, topic: &str, payload: &str) -> PublishOutcome {
        let message = Message::new(topic, payload.as_bytes()).unwrap().with_reliable(true);
        self.hub.publish(self.now, key, message, None).unwrap()
    }

    /// Hands out at most `most` deliveries, as lines.
    pub(super) fn take_some(&mut self, key: SessionKey, most: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let take = |d: &Delivery<'_>| {
            let room = lines.len() < most;
            if room {
                lines.push(line(d));
            }
            room
        };
        self.hub.drain(self.now, key, take).unwrap();
        self.hub.check_invariants().unwrap();
        lines
    }

    pub(super) fn take(&mut self, key: SessionKey) -> Vec<String> {
        self.take_some(key, usize::MAX)
    }

    pub(super) fn ready(&mut self) -> Vec<SessionKey> {
        core::iter::from_fn(|| self.hub.poll_ready()).collect()
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        core::iter::from_fn(|| self.hub.poll_notice()).collect()
    }
}

pub(super) const RELIABLE: SubscribeOptions = SubscribeOptions {
    quality: Quality::AtLeastOnce,
    credit: None,
    no_local: false,
    serve: false,
    retain_as_published: false,
    retained: RetainHandling::Send,
};
pub(super) const SERVE: SubscribeOptions = SubscribeOptions {
    quality: Quality::AtMostOnce,
    credit: None,
    no_local: false,
    serve: true,
    retain_as_published: false,
    retained: RetainHandling::Send,
};
