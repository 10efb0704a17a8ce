//! Publishes: those that wait to be sent, and those that wait to be acknowledged.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::calls::Publish;
use super::compressing::{Compressing, Tried};
use super::config::QueueLimits;
use super::event::PublishId;
use crate::compression::Codec;
use crate::session::{Prepared, Properties};
use crate::time::Instant;
use crate::varint::leb128;

/// One piece of memory holds the topics and properties of many publishes.
const ARENA: usize = 4096;

/// What waits to be sent or acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Entries.
    pub messages: usize,
    /// Octets of topics, payloads and properties together.
    pub bytes: usize,
}

/// What all that goes out takes, against its limits.
#[derive(Debug)]
pub(super) struct Budget {
    messages: usize,
    bytes: usize,
    limits: QueueLimits,
}

impl Budget {
    pub(super) const fn new(limits: QueueLimits) -> Self {
        Self { messages: 0, bytes: 0, limits }
    }

    /// Whether one more of `bytes` octets fits. A single one always does, however large, or it
    /// could never be sent.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.fits_without(Outgoing { messages: 0, bytes: 0 }, bytes)
    }

    /// Whether it would fit without `these`.
    pub(super) fn fits_without(&self, these: Outgoing, bytes: usize) -> bool {
        let messages = self.messages - these.messages;
        let taken = self.bytes - these.bytes;
        messages == 0
            || (messages < self.limits.max_messages && taken.saturating_add(bytes) <= self.limits.max_bytes)
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    pub(super) const fn used(&self) -> Outgoing {
        Outgoing { messages: self.messages, bytes: self.bytes }
    }
}

/// One publish, ready to go.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: PublishId,
    /// Properties and topic, as on the wire.
    head: Bytes,
    payload: Bytes,
    pub(super) expires: Option<Instant>,
    pub(super) reliable: bool,
    retain: bool,
    /// The server has said that it goes no further with it.
    pub(super) refused: bool,
    has_properties: bool,
    tried: Tried,
    /// Octets as it was taken in, for the budget.
    counted: usize,
}

impl Entry {
    pub(super) const fn octets(&self) -> usize {
        self.counted
    }

    /// Puts it into the form in which it is to be sent.
    pub(super) fn recode(&mut self, with: &mut Compressing, codec: Option<Codec>, max_frame: u32) {
        let properties = if self.has_properties { Properties::of_body(&self.head) } else { Properties::NONE };
        let limit = max_frame.saturating_sub(self.head.len() as u32);
        let Some((payload, block)) = with.recode(&mut self.tried, codec, limit, &self.payload, properties)
        else {
            return;
        };
        let old = properties.as_bytes().len();
        let topic = if self.has_properties { leb128::encoded_len(old as u64) + old } else { 0 };
        let mut head = BytesMut::with_capacity(block.len() + self.head.len() + leb128::MAX_LEN);
        if !block.is_empty() {
            head.extend_from_slice(leb128::encode(block.len() as u64, &mut [0; leb128::MAX_LEN]));
            head.extend_from_slice(&block);
        }
        head.extend_from_slice(&self.head[topic..]);
        (self.head, self.payload, self.has_properties) = (head.freeze(), payload, !block.is_empty());
    }

    pub(super) fn prepared(&self) -> Prepared<'_> {
        Prepared {
            reliable: self.reliable,
            retain: self.retain,
            has_properties: self.has_properties,
            head: &self.head,
            payload: &self.payload,
        }
    }
}

/// How many octets topic and properties take on the wire.
pub(super) fn head_len(topic: &str, properties: Properties<'_>) -> usize {
    let with_length = |n: usize| leb128::encoded_len(n as u64) + n;
    let block = properties.as_bytes().len();
    with_length(topic.len()) + if block == 0 { 0 } else { with_length(block) }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Never sent in this session.
    waiting: VecDeque<Entry>,
    /// Octets of those.
    waiting_bytes: usize,
    /// Reliable, and sent in this session; the first of them was not acknowledged.
    unacked: VecDeque<Entry>,
    /// How many of `unacked` went out on this connection; the others are to be sent again.
    sent: usize,
    arena: BytesMut,
}

impl Outbox {
    pub(super) fn push(&mut self, id: PublishId, publish: Publish<'_>, expires: Option<Instant>) {
        let Publish { topic, payload, properties, reliable, retain, secret } = publish;
        let needed = head_len(topic, properties);
        if self.arena.capacity() < needed {
            self.arena.reserve(needed.max(ARENA));
        }
        let mut memory = [0; leb128::MAX_LEN];
        let block = properties.as_bytes();
        if !block.is_empty() {
            self.arena.extend_from_slice(leb128::encode(block.len() as u64, &mut memory));
            self.arena.extend_from_slice(block);
        }
        self.arena.extend_from_slice(leb128::encode(topic.len() as u64, &mut memory));
        self.arena.extend_from_slice(topic.as_bytes());
        let head = self.arena.split().freeze();
        let has_properties = !block.is_empty();
        let counted = head.len() + payload.len();
        self.waiting_bytes += counted;
        self.waiting.push_back(Entry {
            id,
            head,
            payload,
            expires,
            reliable,
            retain,
            refused: false,
            has_properties,
            tried: Tried::new(secret || topic.starts_with('$')),
            counted,
        });
    }

    /// What could be dropped.
    pub(super) fn waiting(&self) -> Outgoing {
        Outgoing { messages: self.waiting.len(), bytes: self.waiting_bytes }
    }

    /// How many are neither accepted nor dropped.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.unacked.len()
    }

    /// How many were sent on this connection and are not acknowledged.
    pub(super) const fn in_flight(&self) -> usize {
        self.sent
    }

    /// The next one that is to be sent again.
    pub(super) fn again(&mut self) -> Option<&mut Entry> {
        self.unacked.get_mut(self.sent)
    }

    pub(super) fn sent_again(&mut self) {
        self.sent += 1;
    }

    /// Gives up the one that was to be sent again.
    pub(super) fn drop_again(&mut self) -> Option<Entry> {
        self.unacked.remove(self.sent)
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<&mut Entry> {
        self.waiting.front_mut()
    }

    /// Takes the oldest that was never sent: to drop it.
    pub(super) fn pop_waiting(&mut self) -> Option<Entry> {
        let entry = self.waiting.pop_front()?;
        self.waiting_bytes -= entry.octets();
        Some(entry)
    }

    /// The oldest waiting one went out. One that is at most once is done, and returned.
    #[inline]
    pub(super) fn sent_next(&mut self) -> Option<Entry> {
        let entry = self.pop_waiting()?;
        if !entry.reliable {
            return Some(entry);
        }
        self.unacked.push_back(entry);
        self.sent += 1;
        None
    }

    /// Marks the one at this place of those in flight, from 0, as refused; says which it is.
    pub(super) fn refuse(&mut self, place: u64) -> Option<PublishId> {
        let place = usize::try_from(place).ok().filter(|place| *place < self.sent)?;
        let entry = self.unacked.get_mut(place)?;
        entry.refused = true;
        Some(entry.id)
    }

    /// The server has accepted the oldest one in flight.
    pub(super) fn pop_acked(&mut self) -> Option<Entry> {
        let entry = self.unacked.pop_front()?;
        self.sent = self.sent.saturating_sub(1);
        Some(entry)
    }

    /// The connection is gone: all that is unacknowledged is to be sent again.
    pub(super) fn disconnected(&mut self) {
        self.sent = 0;
    }

    /// Takes out what is at most once.
    pub(super) fn take_unreliable(&mut self) -> VecDeque<Entry> {
        let all = core::mem::take(&mut self.waiting);
        let (keep, out) = all.into_iter().partition(|e| e.reliable);
        self.waiting = keep;
        self.waiting_bytes = self.waiting.iter().map(Entry::octets).sum();
        out
    }
}
