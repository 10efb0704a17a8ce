//! What peers have received, and what the store has committed.

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use crate::time::Instant;

impl Hub {
    /// The peer has received `count` deliveries at least once of this session in all.
    ///
    /// # Errors
    ///
    /// There is no such session, or [`Refusal::BadAck`].
    pub fn ack(&mut self, now: Instant, key: SessionKey, count: u64) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        self.sessions.check_ack(index, count)?;
        self.sessions.ack(index, count);
        self.settle_tasks(now);
        Ok(())
    }

    /// The peer is done with the delivery that has this id: at least once it has received it,
    /// exactly once it has settled it, or it has refused it. Says whether there is such a delivery.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn settle(&mut self, now: Instant, key: SessionKey, id: u16) -> Result<bool, Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        let known = self.sessions.settle(index, id, true);
        self.settle_tasks(now);
        Ok(known)
    }

    /// The peer has received the delivery exactly once that has this id: it is never handed out
    /// again, and waits to be [settled](Self::settle). Says whether there is such a delivery.
    ///
    /// The peer may be told to settle it once the store has committed all that was
    /// [issued](Self::issued) up to now, if the session is durable.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn received(&mut self, now: Instant, key: SessionKey, id: u16) -> Result<bool, Refusal> {
        self.tick(now);
        let index = self.sessions.find(key)?;
        Ok(self.sessions.received(index, id))
    }

    /// How many operations were issued in all, those included that
    /// [`poll_operation`](Self::poll_operation) has not given out yet.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.sessions.pool.log.issued()
    }

    /// How many operations the store has committed, as it said.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.sessions.pool.log.committed
    }

    /// What must be committed for all that was done for this session up to now; nothing if all is,
    /// or if nothing of it is stored. What its peer says a second time does nothing, and yet is to
    /// be answered no sooner than the first.
    #[must_use]
    pub fn uncommitted(&self, key: SessionKey) -> Option<u64> {
        let index = self.sessions.find(key).ok()?;
        let (commits, issued) = (self.commits(), self.issued());
        (self.sessions.all[index].stored != 0 && commits < issued).then_some(issued)
    }

    /// The store has committed the first `count` operations: what waited for that is
    /// [ready](Self::poll_ready).
    pub fn committed(&mut self, now: Instant, count: u64) {
        let now = self.tick(now);
        self.sessions.pool.log.commit(now, count);
        self.sessions.committed();
    }

    /// Whether the store has fallen so far behind ([`HubOptions::max_store_operations`],
    /// [`HubOptions::max_store_bytes`]) that no client's words are to be read until it has
    /// [taken](Self::poll_operation) some of what waits for it. Never of a store that
    /// [takes nothing](Self::set_store_available): then what would have to be stored is refused, and
    /// nobody has to be slowed down.
    ///
    /// [`HubOptions::max_store_operations`]: super::HubOptions::max_store_operations
    /// [`HubOptions::max_store_bytes`]: super::HubOptions::max_store_bytes
    #[must_use]
    #[inline]
    pub fn is_store_behind(&self) -> bool {
        let log = &self.sessions.pool.log;
        log.exceeds(self.options.max_store_operations, self.options.max_store_bytes) && !log.stalled
    }

    /// Whether the store takes anything at present. While it does not, messages that would have to
    /// be stored are refused ([`Refusal::Store`]), and all else goes on.
    pub fn set_store_available(&mut self, available: bool) {
        self.sessions.pool.log.stalled = !available;
    }
}
