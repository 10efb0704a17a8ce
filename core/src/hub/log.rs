//! The operations that a store is to carry out, and what waits until it has.

use alloc::collections::VecDeque;

use super::delivery::SessionKey;
use super::operation::{Operation, StoredMessage, StoredSession};
use crate::histogram::{TIMES, Times};
use crate::time::Instant;

/// So many instants at most at which messages were taken are remembered; others are not measured.
const MEASURED: usize = 65_536;

/// Operations that were not taken yet, and how many there were and are committed.
#[derive(Debug)]
pub(super) struct Log {
    /// Whether anything is stored at all.
    on: bool,
    operations: VecDeque<Operation>,
    /// What they carry.
    octets: u64,
    issued: u64,
    pub(super) committed: u64,
    /// The store takes nothing at present: nothing new may need it.
    pub(super) stalled: bool,
    /// Deliveries that must not be handed out before so many operations are committed.
    held: VecDeque<(u64, SessionKey, u32)>,
    /// Messages that were taken and wait for their commit: after how many operations, since when, and how
    /// many of them.
    taken: VecDeque<(u64, Instant, u64)>,
    /// How long they waited.
    pub(super) waited: Times,
    /// The last numbers that were given away.
    pub(super) sessions: StoredSession,
    pub(super) messages: StoredMessage,
}

impl Log {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            operations: VecDeque::new(),
            octets: 0,
            issued: 0,
            committed: 0,
            stalled: false,
            held: VecDeque::new(),
            taken: VecDeque::new(),
            waited: Times::new(TIMES),
            sessions: 0,
            messages: 0,
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn push(&mut self, operation: Operation) {
        if self.on {
            self.octets += operation.octets();
            self.operations.push_back(operation);
            self.issued += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Operation> {
        let operation = self.operations.pop_front()?;
        self.octets -= operation.octets();
        Some(operation)
    }

    /// Whether more operations wait to be taken than this, or more octets in them.
    pub(super) fn exceeds(&self, operations: u64, octets: u64) -> bool {
        self.operations.len() as u64 > operations || self.octets > octets
    }

    pub(super) const fn issued(&self) -> u64 {
        self.issued
    }

    pub(super) fn next_session(&mut self) -> StoredSession {
        self.sessions += 1;
        self.sessions
    }

    pub(super) fn next_message(&mut self) -> StoredMessage {
        self.messages += 1;
        self.messages
    }

    /// Has a delivery wait for the commit of all that was issued up to now.
    pub(super) fn hold(&mut self, key: SessionKey, number: u32) {
        self.held.push_back((self.issued, key, number));
    }

    /// The next delivery that need not wait any more.
    pub(super) fn pop_held(&mut self) -> Option<(SessionKey, u32)> {
        let (at, key, number) = *self.held.front()?;
        if at > self.committed {
            return None;
        }
        self.held.pop_front();
        Some((key, number))
    }

    /// A message was taken now that can be acknowledged once so many operations are committed.
    pub(super) fn take(&mut self, now: Instant, commit: u64) {
        if let Some((until, at, count)) = self.taken.back_mut()
            && *at == now
        {
            (*until, *count) = (commit, *count + 1);
        } else if self.taken.len() < MEASURED {
            self.taken.push_back((commit, now, 1));
        }
    }

    /// So many operations are committed.
    pub(super) fn commit(&mut self, now: Instant, count: u64) {
        self.committed = self.committed.max(count.min(self.issued));
        while let Some((until, at, count)) = self.taken.front().copied()
            && until <= self.committed
        {
            self.taken.pop_front();
            let waited = now.saturating_since(at).as_nanos();
            self.waited.record_times(u64::try_from(waited).unwrap_or(u64::MAX), count);
        }
    }

    /// Turns the log off while what it would say is already in the store.
    pub(super) fn pause(&mut self) -> bool {
        core::mem::take(&mut self.on)
    }

    pub(super) fn resume(&mut self, on: bool) {
        self.on = on;
    }
}
