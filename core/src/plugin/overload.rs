//! Overload shedding: where there is too much to do, new clients before old ones, and what matters less before
//! what matters more.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::client::{Client, Tags};
use super::context::{Alert, Report};
use super::verdict::{Interest, Rejection, Verdict};
use super::{Context, Plugin};
use crate::hub::{Counters, Message};
use crate::time::Instant;
use crate::topic;

/// From where on there is too much of something, and below what it is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// From here on it is too much.
    pub high: u64,
    /// Up to here it is well again: below `high`, or the state would change to and fro.
    pub low: u64,
}

/// What is too much, and who is spared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverloadConfig {
    /// How often it looks.
    pub interval: Duration,
    /// Deliveries that wait in all queues.
    pub queued: Option<Limit>,
    /// Octets of all messages that the hub keeps for any purpose.
    pub octets: Option<Limit>,
    /// By how much the hub's turn is late, in milliseconds: how long all that waits for it waits.
    pub late: Option<Limit>,
    /// Clients with one of these tags are let in, and heard, whatever there is.
    pub spared: Vec<String>,
    /// What sessions with one of these tags send matters less.
    pub minor: Vec<String>,
    /// So do messages whose topic matches one of these filters.
    pub minor_topics: Vec<String>,
}

impl Default for OverloadConfig {
    /// It looks ten times a second, and nothing is too much.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            queued: None,
            octets: None,
            late: None,
            spared: Vec::new(),
            minor: Vec::new(),
            minor_topics: Vec::new(),
        }
    }
}

/// Sheds load in three stages, by the worst of what it looks at:
///
/// | stage | from | what is refused |
/// |---|---|---|
/// | 1 | `high` | new sessions: who comes back to its own is let in |
/// | 2 | 1.25 × `high` | and messages that matter less |
/// | 3 | 1.5 × `high` | and all messages, and every connection, but of who is spared |
///
/// A stage ends when the value is at the same part of `low`. Each change is reported as an [`Alert`] named
/// `overload`, with the stage as its value. What is refused is answered `Busy`, to be tried again in a second.
/// As long as all is well it costs nothing but a look now and then.
#[derive(Debug)]
pub struct Overload {
    config: OverloadConfig,
    stage: u8,
    since: Instant,
    due: Option<Instant>,
}

const BUSY: Rejection = Rejection::busy("the server has too much to do").retry_after(Duration::from_secs(1));

impl Overload {
    /// With these limits.
    ///
    /// # Errors
    ///
    /// One of the filters is none.
    pub fn new(config: OverloadConfig) -> Result<Self, topic::TopicError> {
        config.minor_topics.iter().try_for_each(|filter| topic::validate_filter(filter))?;
        Ok(Self { config, stage: 0, since: Instant::ZERO, due: None })
    }

    /// The stage that it is in, 0 to 3.
    #[must_use]
    pub const fn stage(&self) -> u8 {
        self.stage
    }

    fn is_spared(&self, tags: &Tags) -> bool {
        self.config.spared.iter().any(|tag| tags.contains(tag))
    }
}

/// The stage of a value, from the one before.
fn stage(value: u64, limit: Limit, before: u8) -> u8 {
    // Quarters: 4, 5, 6.
    let part = |of: u64, stage: u8| u128::from(of) * u128::from(stage + 3);
    let is_in = |stage: &u8| {
        let value = u128::from(value) * 4;
        value >= part(limit.high, *stage) || (before >= *stage && value > part(limit.low, *stage))
    };
    (1..=3).rev().find(is_in).unwrap_or(0)
}

impl Plugin for Overload {
    fn interest(&self) -> Interest {
        let OverloadConfig { queued, octets, late, spared, .. } = &self.config;
        if queued.is_none() && octets.is_none() && late.is_none() {
            return Interest::NONE;
        }
        match self.stage {
            0 => Interest::TIMER,
            // Who comes back, and who is spared, is known only once it has said who it is.
            1 => Interest::TIMER | Interest::CONNECT,
            2 => Interest::TIMER | Interest::CONNECT | Interest::MESSAGE_IN,
            _ if spared.is_empty() => Interest::TIMER | Interest::ACCEPT | Interest::MESSAGE_IN,
            _ => Interest::TIMER | Interest::CONNECT | Interest::MESSAGE_IN,
        }
    }

    fn accept(&mut self, _: &mut Context<'_>, _: &Client<'_>) -> Result<(), Rejection> {
        Err(BUSY)
    }

    fn connect(
        &mut self,
        _: &mut Context<'_>,
        client: &Client<'_>,
        tags: &mut Tags,
    ) -> Result<(), Rejection> {
        let is_old = client.session.is_some() && self.stage < 3;
        if is_old || self.is_spared(tags) { Ok(()) } else { Err(BUSY) }
    }

    fn message_in(&mut self, _: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        let OverloadConfig { minor, minor_topics, .. } = &self.config;
        let is_minor = || {
            minor.iter().any(|tag| client.tags.contains(tag))
                || minor_topics.iter().any(|filter| topic::matches(filter, message.topic()))
        };
        match self.is_spared(client.tags) {
            false if self.stage > 2 || is_minor() => Verdict::Refuse(BUSY),
            _ => Verdict::Pass,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due.unwrap_or(Instant::ZERO))
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        let now = cx.now();
        let late = self.due.map_or(Duration::ZERO, |due| now.saturating_since(due));
        self.due = Some(now + self.config.interval.max(Duration::from_millis(1)));
        let values = [
            (counters.queued, self.config.queued),
            (counters.message_bytes, self.config.octets),
            (u64::try_from(late.as_millis()).unwrap_or(u64::MAX), self.config.late),
        ];
        let worst =
            values.iter().filter_map(|(value, limit)| Some(stage(*value, (*limit)?, self.stage))).max();
        let worst = worst.unwrap_or(0);
        if worst == self.stage {
            return;
        }
        let raised = worst > 0;
        if self.stage == 0 || !raised {
            self.since = now;
        }
        self.stage = worst;
        let (name, value) = (String::from("overload"), u64::from(worst));
        cx.report(Report::Alert(Alert { name, raised, value, limit: 1, at: now, since: self.since }));
        cx.interest_changed();
    }
}
