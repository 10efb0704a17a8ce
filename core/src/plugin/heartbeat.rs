//! A heartbeat: a message at intervals that says that the server is alive, and how it does.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::verdict::Interest;
use super::{Context, Plugin};
use crate::hub::{Counters, Message};
use crate::time::Instant;
use crate::topic::{TopicError, validate_topic};

/// Publishes a JSON object at intervals, at most once and not retained:
///
/// `{"beat":1,"uptime_ms":5000,"sessions":2,"connected":1,"messages_in":7,"messages_out":9,"queued":0,"dropped":0}`
///
/// The first comes at once. Beats that a late call has missed are left out.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    topic: String,
    interval: Duration,
    began: Option<Instant>,
    due: Instant,
    beat: u64,
}

impl Heartbeat {
    /// On this topic, every `interval`, of at least a millisecond.
    ///
    /// # Errors
    ///
    /// It is no topic name.
    pub fn new(topic: &str, interval: Duration) -> Result<Self, TopicError> {
        validate_topic(topic)?;
        let interval = interval.max(Duration::from_millis(1));
        Ok(Self { topic: topic.into(), interval, began: None, due: Instant::ZERO, beat: 0 })
    }
}

impl Plugin for Heartbeat {
    fn interest(&self) -> Interest {
        Interest::TIMER
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        let now = cx.now();
        let next = self.began.map_or(now, |_| self.due) + self.interval;
        let began = *self.began.get_or_insert(now);
        self.beat += 1;
        self.due = if next > now { next } else { now + self.interval };
        let payload = format!(
            concat!(
                r#"{{"beat":{},"uptime_ms":{},"sessions":{},"connected":{},"#,
                r#""messages_in":{},"messages_out":{},"queued":{},"dropped":{}}}"#
            ),
            self.beat,
            now.saturating_since(began).as_millis(),
            counters.sessions,
            counters.attached,
            counters.messages_in,
            counters.messages_out,
            counters.queued,
            counters.dropped.total(),
        );
        if let Ok(message) = Message::new(&self.topic, payload.as_bytes()) {
            cx.publish(message);
        }
    }
}
