//! What a store has to do, and what waits until it has.

use alloc::string::String;

use super::registry::Name;
use super::{Server, Turn};
use crate::hub::{BadOperation, Operation, SessionKey, SessionOptions};
use crate::time::Instant;

impl Server {
    /// The next thing for the store to do, in the order in which it is to be done; never anything
    /// unless [`HubOptions::durable`](crate::hub::HubOptions::durable).
    pub fn poll_operation(&mut self) -> Option<Operation> {
        self.hub.poll_operation()
    }

    /// How many operations were issued in all, whether they were given out or not.
    #[must_use]
    pub fn operations_issued(&self) -> u64 {
        self.hub.issued()
    }

    /// The store has committed the first `count` operations that
    /// [`poll_operation`](Self::poll_operation) gave: answers that waited for that go out.
    pub fn committed(&mut self, now: Instant, count: u64) {
        self.hub.committed(now, count);
        self.registry.committed(self.hub.commits());
        for key in core::mem::take(&mut self.waiting) {
            if let Some(c) = self.connections.get_mut(key) {
                c.committed();
                self.ready.push_back(key);
            }
        }
    }

    /// Whether the store takes anything at present. While it does not, what must be stored is
    /// refused, and all else goes on.
    pub fn set_store_available(&mut self, available: bool) {
        self.hub.set_store_available(available);
    }

    /// Does again what the store has kept, before any connection is accepted.
    ///
    /// Call [`restored`](Self::restored) after the last operation.
    ///
    /// # Errors
    ///
    /// It refers to something that was not told; nothing was changed.
    pub fn restore(&mut self, now: Instant, operation: Operation) -> Result<(), BadOperation> {
        let by_id = matches!(&operation, Operation::SessionCreated { name, .. } if Name::is_by_id(name));
        let options = SessionOptions { by_id, ..self.session_options() };
        self.hub.restore(now, operation, &options)
    }

    /// All was told: clients find their sessions again from now on.
    pub fn restored(&mut self, now: Instant) {
        self.hub.restored(now);
        for (session, name) in self.hub.stored_sessions() {
            if let Some(name) = Name::parse(name) {
                self.registry.name(session, name);
            }
        }
        self.after_commands();
    }

    /// What the hub has a store keep as the name of a session; nothing where nothing is stored.
    pub(super) fn stored_name(&self, name: Option<&Name>) -> String {
        name.filter(|_| self.config.hub.durable).map(Name::text).unwrap_or_default()
    }

    /// A session as the configuration has it.
    pub(super) fn session_options(&self) -> SessionOptions<'static> {
        let queue = &self.config.queue;
        SessionOptions {
            max_messages: queue.max_messages,
            max_bytes: queue.max_bytes,
            policy: queue.policy,
            ..SessionOptions::default()
        }
    }

    /// No connection serves the session any more: it waits for the next one, or ends.
    pub(super) fn release(&mut self, now: Instant, hub: SessionKey) {
        let issued = self.hub.issued();
        self.registry.leave(hub);
        let _ = self.hub.detach(now, hub);
        if self.hub.is_attached(hub).is_none() {
            self.registry.end(hub, self.hub.commit_since(issued));
        }
    }

    /// Ends a session.
    pub(super) fn remove(&mut self, now: Instant, hub: SessionKey) {
        let issued = self.hub.issued();
        let _ = self.hub.remove(now, hub);
        self.registry.end(hub, self.hub.commit_since(issued));
    }

    /// The session is to go on over another connection: the one that serves it is closed.
    pub(super) fn take_over(&mut self, now: Instant, hub: SessionKey) {
        let Some(key) = self.registry.connection(hub) else { return };
        let Some(mut old) = self.connections.take(key) else { return };
        old.taken_over(&mut Turn::new(self, now, key));
        self.connections.put(key, old, (0, 0));
        self.registry.leave(hub);
        self.ready.push_back(key);
    }
}
