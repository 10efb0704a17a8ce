//! Reading histories, and the calendar that they go by.

use super::super::Hub;
use super::super::delivery::{Refusal, SessionKey};
use super::{HistoryPage, HistoryQuery};
use crate::access::Action;
use crate::time::Instant;
use crate::topic::validate_topic;

/// What time it is in the world, as the hub was told: milliseconds since 1970-01-01 UTC, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Calendar {
    at: Instant,
    millis: u64,
}

impl Calendar {
    /// Until it is told otherwise, the caller's epoch is the beginning of the calendar.
    pub(in crate::hub) const EPOCH: Self = Self { at: Instant::ZERO, millis: 0 };

    pub(in crate::hub) const fn new(at: Instant, millis: u64) -> Self {
        Self { at, millis }
    }

    /// The time in the world at an instant.
    pub(in crate::hub) fn millis(self, now: Instant) -> u64 {
        let back = self.at.saturating_since(now).as_millis() as u64;
        self.millis.saturating_sub(back).saturating_add(now.saturating_since(self.at).as_millis() as u64)
    }

    /// The same in microseconds.
    pub(in crate::hub) fn micros(self, now: Instant) -> u64 {
        let back = self.at.saturating_since(now).as_micros() as u64;
        let ahead = now.saturating_since(self.at).as_micros() as u64;
        self.millis.saturating_mul(1000).saturating_sub(back).saturating_add(ahead)
    }

    /// When it is this time in the world, not earlier.
    pub(in crate::hub) fn instant(self, millis: u64) -> Instant {
        let ahead = millis.saturating_sub(self.millis);
        self.at + core::time::Duration::from_millis(ahead)
    }
}

impl Hub {
    /// Says what time it is in the world: milliseconds since 1970-01-01 UTC. History goes by that.
    ///
    /// Tell it before the first message, and again now and then: the hub itself counts on from
    /// what it was told last. Within a topic's history time does not go back, even if this does.
    pub fn set_calendar(&mut self, now: Instant, unix_millis: u64) {
        let now = self.tick(now);
        self.calendar = Calendar::new(now, unix_millis);
    }

    /// What time it is in the world, in milliseconds since 1970-01-01 UTC, if it was said.
    pub(crate) fn unix_millis(&self, now: Instant) -> Option<u64> {
        (self.calendar != Calendar::EPOCH).then(|| self.calendar.millis(now))
    }

    /// Reads the history of a topic; whoever may subscribe to it may read it.
    ///
    /// It takes time for what is drawn from the page, and nothing is queued: hand out as much as
    /// there is room for, and ask again for what [remains](HistoryPage::range). What is too old by
    /// then is left out.
    ///
    /// # Errors
    ///
    /// There is no such session, the topic is not valid, the rules refuse, or
    /// [`Refusal::NotFound`]: nothing of the topic was ever kept.
    pub fn history(
        &self,
        key: SessionKey,
        topic: &str,
        query: &HistoryQuery,
    ) -> Result<HistoryPage<'_>, Refusal> {
        let index = self.sessions.find(key)?;
        validate_topic(topic)?;
        if !self.permits(index, Action::Subscribe, || topic) {
            return Err(Refusal::NotAuthorized);
        }
        let topic = self.histories.topic(topic.as_bytes()).ok_or(Refusal::NotFound)?;
        let range = topic.select(query);
        Ok(HistoryPage { topic, pool: &self.sessions.pool, now: self.now, range })
    }
}
