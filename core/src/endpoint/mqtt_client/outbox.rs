//! Publishes that wait to be handed to the session, and what all that goes out takes.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::num::NonZeroU16;

use bytes::Bytes;

use super::event::PublishId;
use super::{Outgoing, Publish, QueueLimits};
use crate::mqtt::{Property, PropertyBlock, PropertyId, Qos};
use crate::time::Instant;

/// One publish.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: PublishId,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) properties: PropertyBlock,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) alias: Option<NonZeroU16>,
    /// When it was queued, and until when it is of use.
    since: Instant,
    pub(super) expires: Option<Instant>,
}

impl Entry {
    pub(super) fn new(now: Instant, id: PublishId, publish: Publish<'_>) -> Self {
        let Publish { topic, payload, properties, qos, retain, alias } = publish;
        let expires = match properties.get().get(PropertyId::MessageExpiry) {
            Some(Property::MessageExpiry(seconds)) => {
                Some(now + core::time::Duration::from_secs(u64::from(seconds)))
            }
            _ => None,
        };
        Self { id, topic: topic.into(), payload, properties, qos, retain, alias, since: now, expires }
    }

    /// What it takes.
    pub(super) fn octets(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// What is left of the expiry, where it has waited for a second or more ([MQTT-3.3.2-6] has servers
    /// do so; who waited does not matter to the receiver).
    pub(super) fn rest(&self, now: Instant) -> Option<u32> {
        let waited = now.saturating_since(self.since).as_secs() > 0;
        let left = self.expires.filter(|_| waited)?.saturating_since(now);
        Some(u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1))
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Entry>,
    waiting_octets: usize,
    /// Of all that is neither done nor dropped: those that wait, and those that the session keeps.
    all: Outgoing,
    limits: QueueLimits,
}

impl Outbox {
    pub(super) const fn new(limits: QueueLimits) -> Self {
        let all = Outgoing { messages: 0, bytes: 0 };
        Self { waiting: VecDeque::new(), waiting_octets: 0, all, limits }
    }

    pub(super) const fn all(&self) -> Outgoing {
        self.all
    }

    /// Whether one more of `octets` fits. A single one always does, or it could never be sent.
    pub(super) fn fits(&self, octets: usize) -> bool {
        self.fits_without(0, 0, octets)
    }

    /// Whether it would fit if all that wait were dropped.
    pub(super) fn could_fit(&self, octets: usize) -> bool {
        self.fits_without(self.waiting.len(), self.waiting_octets, octets)
    }

    fn fits_without(&self, messages: usize, bytes: usize, octets: usize) -> bool {
        let messages = self.all.messages - messages;
        let taken = self.all.bytes - bytes;
        messages == 0
            || (messages < self.limits.max_messages && taken.saturating_add(octets) <= self.limits.max_bytes)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let octets = entry.octets();
        self.all.messages += 1;
        self.all.bytes += octets;
        self.waiting_octets += octets;
        self.waiting.push_back(entry);
    }

    /// One that the session has given back: it is older than all that wait. It counts already.
    pub(super) fn push_front(&mut self, entry: Entry) {
        self.waiting_octets += entry.octets();
        self.waiting.push_front(entry);
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.waiting.front()
    }

    /// Takes the first one out. It still counts, until [`done`](Self::done).
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.waiting.pop_front()?;
        self.waiting_octets -= entry.octets();
        Some(entry)
    }

    /// One that was taken out is done, or dropped.
    pub(super) fn done(&mut self, octets: usize) {
        self.all.messages -= 1;
        self.all.bytes -= octets;
    }

    /// Takes out those that do not wait for a connection.
    pub(super) fn take_qos0(&mut self) -> VecDeque<Entry> {
        let (gone, kept) =
            core::mem::take(&mut self.waiting).into_iter().partition(|e| e.qos == Qos::AtMostOnce);
        self.waiting = kept;
        self.waiting_octets = self.waiting.iter().map(Entry::octets).sum();
        gone
    }
}
