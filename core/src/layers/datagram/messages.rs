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

/// Messages that wait, within limits. Memory only while some do, and until [`Queue::release`].
#[derive(Debug, Default)]
pub(super) struct Queue(Option<Box<Waiting>>);

/// One behind the other in one piece of memory, so that a message costs no allocation of its own.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Delivery, u32)>,
    /// Of all messages; what is before `taken` has gone.
    octets: Vec<u8>,
    taken: usize,
}

impl Waiting {
    const fn octets(&self) -> usize {
        self.octets.len() - self.taken
    }

    fn front(&self) -> Option<(Delivery, &[u8])> {
        let (delivery, len) = *self.messages.front()?;
        Some((delivery, &self.octets[self.taken..][..len as usize]))
    }

    fn pop(&mut self) -> bool {
        let Some((_, len)) = self.messages.pop_front() else { return false };
        self.taken += len as usize;
        if self.messages.is_empty() {
            self.octets.clear();
            self.taken = 0;
        }
        true
    }

    /// Takes out the first that goes as `delivery` says. Says whether there was one.
    fn remove(&mut self, delivery: Delivery) -> bool {
        let Some(at) = self.messages.iter().position(|(other, _)| *other == delivery) else { return false };
        let before: usize = self.messages.iter().take(at).map(|(_, len)| *len as usize).sum();
        if let Some((_, len)) = self.messages.remove(at) {
            let start = self.taken + before;
            self.octets.drain(start..start + len as usize);
        }
        true
    }

    fn append(&mut self, delivery: Delivery, message: &[u8]) {
        if self.taken > self.octets.len() / 2 {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
        // None is longer than a datagram.
        self.messages.push_back((delivery, message.len() as u32));
        self.octets.extend_from_slice(message);
    }
}

impl Queue {
    pub(super) fn octets(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.octets())
    }

    /// Adds a message. Returns how many were dropped for it: what it makes stale, and the oldest where there
    /// are too many.
    pub(super) fn push(&mut self, delivery: Delivery, message: &[u8], max: usize, max_octets: usize) -> u64 {
        let stale = matches!(delivery, Delivery::Sequenced { .. })
            && self.0.as_mut().is_some_and(|waiting| waiting.remove(delivery));
        u64::from(stale) + self.append(delivery, message, max, max_octets)
    }

    /// Adds a message that makes none stale. Returns how many were dropped for it: the oldest.
    pub(super) fn append(
        &mut self,
        delivery: Delivery,
        message: &[u8],
        max: usize,
        max_octets: usize,
    ) -> u64 {
        let waiting = self.0.get_or_insert_default();
        let mut dropped = 0;
        while waiting.messages.len() >= max.max(1) || waiting.octets() + message.len() > max_octets {
            if !waiting.pop() {
                break;
            }
            dropped += 1;
        }
        waiting.append(delivery, message);
        dropped
    }

    pub(super) fn front(&self) -> Option<(Delivery, &[u8])> {
        self.0.as_ref()?.front()
    }

    pub(super) fn pop(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.pop();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|waiting| waiting.messages.is_empty())
    }

    /// Gives back the memory of what went through, where nothing waits.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
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

    use proptest::prelude::*;

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
        let mut left = Vec::new();
        while let Some((_, message)) = queue.front() {
            left.push(message.to_vec());
            queue.pop();
        }
        assert_eq!((left, queue.octets()), ([b"a2".to_vec(), b"b".to_vec(), [0; 97].to_vec()].to_vec(), 0));
        queue.release();
        assert!(queue.0.is_none(), "nothing waits, nothing is kept");
    }

    proptest! {
        /// Whatever comes and goes, it holds what a queue of messages would, and forgets what has gone.
        #[test]
        fn it_is_a_queue(
            steps in prop::collection::vec((0..4u64, 0..40usize, any::<bool>()), 0..80),
            max in 1..9usize,
            max_octets in 1..120usize,
        ) {
            let (mut queue, mut model) = (Queue::default(), VecDeque::<(Delivery, Vec<u8>)>::new());
            for (n, (key, len, pop)) in steps.into_iter().enumerate() {
                if pop {
                    queue.pop();
                    model.pop_front();
                }
                let delivery = if key == 0 { Delivery::Unreliable } else { Delivery::Sequenced { key } };
                let message = std::vec![n as u8; len];
                let before = model.len();
                if let Some(at) = model.iter().position(|(d, _)| key > 0 && *d == delivery) {
                    model.remove(at);
                }
                while model.len() >= max || model.iter().map(|(_, m)| m.len()).sum::<usize>() + len > max_octets {
                    if model.pop_front().is_none() {
                        break;
                    }
                }
                let dropped = queue.push(delivery, &message, max, max_octets);
                prop_assert_eq!(dropped, (before - model.len()) as u64);
                model.push_back((delivery, message));
                prop_assert_eq!(queue.octets(), model.iter().map(|(_, m)| m.len()).sum::<usize>());
                prop_assert_eq!(queue.front(), model.front().map(|(d, m)| (*d, &m[..])));
                let kept = queue.0.as_ref().map_or(0, |waiting| waiting.octets.len());
                prop_assert!(kept <= 2 * queue.octets() + len, "{kept} octets for {}", queue.octets());
            }
        }
    }

    #[test]
    fn a_channel_never_goes_back() {
        let mut channels = Channels::default();
        assert!(channels.is_fresh(3, 0) && channels.is_fresh(3, 0), "two in one packet are in order");
        assert!(channels.is_fresh(3, 9) && !channels.is_fresh(3, 8) && channels.is_fresh(200, 8));
    }
}
