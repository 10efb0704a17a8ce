//! Between a server and its store: what to keep, what was kept, and what was before a restart.

use super::Server;
use crate::hub::{BadOperation, Operation, SessionOptions};
use crate::time::Instant;

impl Server {
    /// The next thing for a store to do, if [`HubOptions::durable`](crate::hub::HubOptions::durable) is
    /// set. All that are given out until there is none belong into one transaction.
    pub fn poll_operation(&mut self) -> Option<Operation> {
        self.hub.poll_operation()
    }

    /// How many operations were issued in all, whether they were given out or not.
    #[must_use]
    pub fn operations_issued(&self) -> u64 {
        self.hub.issued()
    }

    /// The store has committed the first `count` operations of this run: tells those who waited for it.
    pub fn committed(&mut self, now: Instant, count: u64) {
        self.hub.committed(now, count);
        self.after_commands();
    }

    /// Whether the store takes anything at present. While it does not, what would have to be stored is
    /// refused, and all else goes on.
    pub fn set_store_available(&mut self, available: bool) {
        self.hub.set_store_available(available);
    }

    /// Takes up what a store has kept, before the first connection; then call
    /// [`restored`](Self::restored).
    ///
    /// # Errors
    ///
    /// It refers to something that was not told: the store is damaged. Nothing was changed.
    pub fn restore(&mut self, now: Instant, operation: Operation) -> Result<(), BadOperation> {
        let queue = &self.config.queue;
        let options = SessionOptions {
            max_messages: queue.max_messages,
            max_bytes: queue.max_bytes,
            policy: queue.policy,
            ..SessionOptions::default()
        };
        self.hub.restore(now, operation, &options)
    }

    /// All that a store has kept was told.
    pub fn restored(&mut self, now: Instant) {
        self.hub.restored(now);
        self.after_commands();
    }
}
