//! Messages that are sent once: unreliable ones, and sequenced ones, of which a later makes an earlier stale.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How a message goes that is not of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It comes once or not at all, and in any order.
    Unreliable,
    /// The same, and never after a later one of its channel. One that waits to be sent is replaced by a
    /// later one with the same key.
    Sequenced {
        /// What it is about. Messages with the same key are of the same channel, which is the key's lowest octet.
        key: u64,
    },
}

impl Delivery {
    /// Sequenced by what it is about: messages about the same follow each other.
    #[must_use]
    pub fn about(what: &[u8]) -> Self {
        // FNV-1a: whoever chooses topics so that two meet harms nobody but these.
        let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        Self::Sequenced { key: what.iter().fold(0xcbf2_9ce4_8422_2325, step) }
    }

    /// The channel on the wire.
    pub(super) const fn channel(self) -> Option<u8> {
        match self {
            Self::Unreliable => None,
            Self::Sequenced { key } => Some(key as u8),
        }
    }
}

/// Messages that wait, within limits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Delivery, Box<[u8]>)>,
    octets: usize,
}

impl Queue {
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }

    /// Adds a message. Returns how many were dropped for it: what it makes stale, and the oldest where there
    /// are too many.
    pub(super) fn push(&mut self, delivery: Delivery, message: &[u8], max: usize, max_octets: usize) -> u64 {
        let mut dropped = 0;
        if matches!(delivery, Delivery::Sequenced { .. })
            && let Some(at) = self.waiting.iter().position(|(other, _)| *other == delivery)
            && let Some((_, stale)) = self.waiting.remove(at)
        {
            self.octets -= stale.len();
            dropped += 1;
        }
        dropped + self.append(delivery, message, max, max_octets)
    }

    /// Adds a message that makes none stale. Returns how many were dropped for it: the oldest.
    pub(super) fn append(
        &mut self,
        delivery: Delivery,
        message: &[u8],
        max: usize,
        max_octets: usize,
    ) -> u64 {
        let mut dropped = 0;
        while self.waiting.len() >= max.max(1) || self.octets + message.len() > max_octets {
            if self.pop().is_none() {
                break;
            }
            dropped += 1;
        }
        self.octets += message.len();
        self.waiting.push_back((delivery, message.into()));
        dropped
    }

    pub(super) fn front(&self) -> Option<(Delivery, &[u8])> {
        self.waiting.front().map(|(delivery, message)| (*delivery, &**message))
    }

    pub(super) fn pop(&mut self) -> Option<(Delivery, Box<[u8]>)> {
        let (delivery, message) = self.waiting.pop_front()?;
        self.octets -= message.len();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some((delivery, message))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// The number of the latest packet that brought something of a channel.
#[derive(Debug, Default)]
pub(super) struct Channels(Vec<u64>);

impl Channels {
    /// Whether what came in packet `number` is as late as all that came before on its channel.
    pub(super) fn is_fresh(&mut self, channel: u8, number: u64) -> bool {
        let at = usize::from(channel);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let fresh = number >= self.0[at];
        self.0[at] = self.0[at].max(number);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_later_one_replaces_what_waits_and_the_oldest_goes_first() {
        let mut queue = Queue::default();
        let about = |key| Delivery::Sequenced { key };
        assert_eq!(queue.push(about(1), b"a1", 3, 100), 0);
        assert_eq!(queue.push(Delivery::Unreliable, b"x", 3, 100), 0);
        assert_eq!(queue.push(Delivery::Unreliable, b"y", 3, 100), 0, "it makes nothing stale");
        assert_eq!(queue.push(about(1), b"a2", 3, 100), 1);
        assert_eq!(queue.push(about(257), b"b", 3, 100), 1, "x is the oldest; a key is more than a channel");
        assert_eq!(queue.push(Delivery::Unreliable, &[0; 97], 3, 100), 1, "too many octets");
        assert_eq!(queue.octets(), 100);
        let left: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|(_, m)| m.len()).collect();
        assert_eq!((left, queue.octets()), ([2, 1, 97].to_vec(), 0));
    }

    #[test]
    fn a_channel_never_goes_back() {
        let mut channels = Channels::default();
        assert!(channels.is_fresh(3, 0) && channels.is_fresh(3, 0), "two in one packet are in order");
        assert!(channels.is_fresh(3, 9) && !channels.is_fresh(3, 8) && channels.is_fresh(200, 8));
    }
}
