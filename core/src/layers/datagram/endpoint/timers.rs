//! What time brings, for the sessions that are due and no others.

use super::Endpoint;
use crate::time::{Deadline, Instant, Why};

impl Endpoint {
    /// When [`handle_timeout`](Self::handle_timeout) is due. "Now" where something waits to be sent or told.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.answers.is_empty() || !self.events.is_empty() || !self.queue.is_empty() {
            return Some(Deadline::new(self.now, Why::Output));
        }
        // Why is not kept in the timers: which session is due says it.
        let (at, key) = self.timers.first()?;
        let why = self.slots.get(key).and_then(|slot| slot.connection.poll_timeout()).map(|due| due.why);
        Some(Deadline::new(*at, why.unwrap_or(Why::Close)))
    }

    /// Does what is due. Call [`poll_transmit`](Self::poll_transmit) behind it.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        // Each session that is due, once.
        for _ in 0..self.timers.len() {
            let Some(&(at, key)) = self.timers.first().filter(|(at, _)| *at <= now) else { break };
            self.timers.remove(&(at, key));
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.armed = None;
            }
            self.with(key, |connection, around| connection.handle_timeout(now, around));
        }
    }

    /// Sets the session's place in the timers.
    pub(super) fn arm(&mut self, key: u64) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let at = slot.connection.poll_timeout().map(|deadline| deadline.at);
        if at == slot.armed {
            return;
        }
        if let Some(old) = slot.armed.take() {
            self.timers.remove(&(old, key));
        }
        if let Some(at) = at {
            self.timers.insert((at, key));
            slot.armed = Some(at);
        }
    }
}
