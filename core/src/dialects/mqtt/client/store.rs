//! What a client's session keeps between two connections (§4.1), in memory that the caller lends.

use super::super::PacketId;

/// What is kept under a packet identifier of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// A PUBLISH with QoS 1, until PUBACK.
    AtLeastOnce,
    /// A PUBLISH with QoS 2, until PUBREC.
    ExactlyOnce,
    /// What is left of it then, until PUBCOMP.
    Release,
    /// A SUBSCRIBE, until SUBACK.
    Subscribe,
    /// An UNSUBSCRIBE, until UNSUBACK.
    Unsubscribe,
}

/// One thing that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'s> {
    /// Its packet identifier.
    pub id: PacketId,
    /// What it is.
    pub kept: Kept,
    /// The whole PUBLISH; of a SUBSCRIBE or UNSUBSCRIBE four octets, which say how many answers are due.
    pub packet: &'s [u8],
}

/// What a client keeps: entries in the order in which they were added, each identifier once; and the
/// identifiers of what was received with QoS 2 and not released yet.
///
/// Whoever implements it with durable memory has a session that outlives the process.
pub trait Store {
    /// Adds an entry behind all others, and returns the memory for its packet of `len` octets; `None` if
    /// there is no room.
    fn push(&mut self, id: PacketId, kept: Kept, len: usize) -> Option<&mut [u8]>;

    /// The place of an entry, from 0, and what it is.
    fn find(&self, id: PacketId) -> Option<(usize, Kept)>;

    /// The entry at a place.
    fn at(&self, place: usize) -> Option<Entry<'_>>;

    /// The packet of the entry at a place, to be changed.
    fn packet_mut(&mut self, place: usize) -> Option<&mut [u8]>;

    /// An entry becomes [`Kept::Release`], where it is; its packet is no longer needed.
    fn release(&mut self, id: PacketId);

    /// Forgets an entry.
    fn remove(&mut self, id: PacketId);

    /// How many entries there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes what was received with QoS 2; false if there is no room.
    fn receive(&mut self, id: PacketId) -> bool;

    /// Whether this was received, and not released yet.
    fn has_received(&self, id: PacketId) -> bool;

    /// Forgets what was received; false if it was not there.
    fn forget_received(&mut self, id: PacketId) -> bool;

    /// Forgets all that was received.
    fn clear_received(&mut self);

    /// How much can be noted with [`receive`](Store::receive) at once.
    fn receive_capacity(&self) -> u16;
}

/// The octets in front of each packet: identifier, kind, length.
const HEAD: usize = 2 + 1 + 4;

/// A [`Store`] in memory of a fixed size: arrays, slices that are lent, or vectors.
///
/// An entry takes 7 octets and its packet. What is acknowledged in order costs nothing to remove;
/// otherwise what lies behind it moves.
///
/// ```
/// use bowline_core::mqtt::client::{Arena, Store};
/// let store = Arena::new([0; 1024], [0; 8]); // eight unreleased messages with QoS 2
/// assert_eq!((store.len(), store.receive_capacity()), (0, 8));
/// ```
#[derive(Clone, Debug)]
pub struct Arena<M, R> {
    memory: M,
    start: usize,
    end: usize,
    entries: usize,
    /// Identifiers; 0: free.
    received: R,
}

impl<M: AsRef<[u8]> + AsMut<[u8]>, R: AsRef<[u16]> + AsMut<[u16]>> Arena<M, R> {
    /// An empty store, which keeps entries in `memory` and identifiers in `received`.
    #[must_use]
    pub fn new(memory: M, mut received: R) -> Self {
        received.as_mut().fill(0);
        Self { memory, start: 0, end: 0, entries: 0, received }
    }

    /// Entries from the first on: where each begins, and what it is.
    fn walk(&self) -> impl Iterator<Item = (usize, Entry<'_>)> {
        let memory = &self.memory.as_ref()[..self.end];
        let mut at = self.start;
        core::iter::from_fn(move || {
            let (head, rest) = memory.get(at..)?.split_first_chunk::<HEAD>()?;
            let [a, b, kind, len @ ..] = *head;
            let id = PacketId::new(u16::from_le_bytes([a, b]))?;
            let packet = rest.get(..u32::from_le_bytes(len) as usize)?;
            let kept = match kind {
                0 => Kept::AtLeastOnce,
                1 => Kept::ExactlyOnce,
                2 => Kept::Release,
                3 => Kept::Subscribe,
                _ => Kept::Unsubscribe,
            };
            let begin = at;
            at += HEAD + packet.len();
            Some((begin, Entry { id, kept, packet }))
        })
    }

    fn begin_of(&self, id: PacketId) -> Option<(usize, usize)> {
        self.walk().find(|(_, e)| e.id == id).map(|(at, e)| (at, HEAD + e.packet.len()))
    }

    /// Takes `len` octets out from `at` on.
    fn cut(&mut self, at: usize, len: usize) {
        if at == self.start {
            self.start += len;
        } else {
            self.memory.as_mut().copy_within(at + len..self.end, at);
            self.end -= len;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

impl<M: AsRef<[u8]> + AsMut<[u8]>, R: AsRef<[u16]> + AsMut<[u16]>> Store for Arena<M, R> {
    fn push(&mut self, id: PacketId, kept: Kept, len: usize) -> Option<&mut [u8]> {
        let size = u32::try_from(len).ok()?;
        let total = HEAD.checked_add(len)?;
        let memory = self.memory.as_mut();
        if memory.len() - (self.end - self.start) < total {
            return None;
        }
        if memory.len() - self.end < total {
            memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let (head, packet) = memory[self.end..self.end + total].split_at_mut(HEAD);
        head[..2].copy_from_slice(&id.get().to_le_bytes());
        head[2] = kept as u8;
        head[3..].copy_from_slice(&size.to_le_bytes());
        self.end += total;
        self.entries += 1;
        Some(packet)
    }

    fn find(&self, id: PacketId) -> Option<(usize, Kept)> {
        self.walk().enumerate().find(|(_, (_, e))| e.id == id).map(|(place, (_, e))| (place, e.kept))
    }

    fn at(&self, place: usize) -> Option<Entry<'_>> {
        self.walk().nth(place).map(|(_, entry)| entry)
    }

    fn packet_mut(&mut self, place: usize) -> Option<&mut [u8]> {
        let (at, len) = self.walk().nth(place).map(|(at, e)| (at, e.packet.len()))?;
        Some(&mut self.memory.as_mut()[at + HEAD..at + HEAD + len])
    }

    fn release(&mut self, id: PacketId) {
        let Some((at, len)) = self.begin_of(id) else { return };
        let shorter = len - HEAD;
        let head = &mut self.memory.as_mut()[at..at + HEAD];
        head[2] = Kept::Release as u8;
        head[3..].fill(0);
        if at == self.start {
            // The head moves, so that nothing behind it has to.
            self.memory.as_mut().copy_within(at..at + HEAD, at + shorter);
            self.start += shorter;
        } else {
            self.cut(at + HEAD, shorter);
        }
    }

    fn remove(&mut self, id: PacketId) {
        if let Some((at, len)) = self.begin_of(id) {
            self.cut(at, len);
            self.entries -= 1;
        }
    }

    fn len(&self) -> usize {
        self.entries
    }

    fn receive(&mut self, id: PacketId) -> bool {
        if self.has_received(id) {
            return true;
        }
        let free = self.received.as_mut().iter_mut().find(|slot| **slot == 0);
        free.map(|slot| *slot = id.get()).is_some()
    }

    fn has_received(&self, id: PacketId) -> bool {
        self.received.as_ref().contains(&id.get())
    }

    fn forget_received(&mut self, id: PacketId) -> bool {
        let slot = self.received.as_mut().iter_mut().find(|slot| **slot == id.get());
        slot.map(|slot| *slot = 0).is_some()
    }

    fn clear_received(&mut self) {
        self.received.as_mut().fill(0);
    }

    fn receive_capacity(&self) -> u16 {
        u16::try_from(self.received.as_ref().len()).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn id(n: u16) -> PacketId {
        PacketId::new(n).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u16, usize),
        Release(u16),
        Remove(u16),
        Receive(u16),
        Forget(u16),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (1u16..30, 0usize..20).prop_map(|(n, len)| Op::Push(n, len)),
            1 => (1u16..30).prop_map(Op::Release),
            2 => (1u16..30).prop_map(Op::Remove),
            1 => (1u16..30).prop_map(Op::Receive),
            1 => (1u16..30).prop_map(Op::Forget),
        ]
    }

    proptest! {
        /// Against a plain list.
        #[test]
        fn an_arena_is_a_list(ops in prop::collection::vec(op(), 0..200)) {
            let mut memory = [0; 150];
            let mut arena = Arena::new(&mut memory[..], [0; 4]);
            let mut list: Vec<(u16, Kept, Vec<u8>)> = Vec::new();
            let mut received: Vec<u16> = Vec::new();
            for op in ops {
                match op {
                    Op::Push(n, len) => {
                        if list.iter().any(|e| e.0 == n) {
                            continue;
                        }
                        let used: usize = list.iter().map(|e| HEAD + e.2.len()).sum();
                        let room = used + HEAD + len <= 150;
                        match arena.push(id(n), Kept::ExactlyOnce, len) {
                            Some(packet) => packet.fill(n as u8),
                            None => prop_assert!(!room),
                        }
                        if room {
                            list.push((n, Kept::ExactlyOnce, [n as u8].repeat(len)));
                        }
                    }
                    Op::Release(n) => {
                        arena.release(id(n));
                        list.iter_mut().filter(|e| e.0 == n).for_each(|e| *e = (n, Kept::Release, Vec::new()));
                    }
                    Op::Remove(n) => {
                        arena.remove(id(n));
                        list.retain(|e| e.0 != n);
                    }
                    Op::Receive(n) => {
                        let room = received.contains(&n) || received.len() < 4;
                        prop_assert_eq!(arena.receive(id(n)), room);
                        if room && !received.contains(&n) { received.push(n); }
                    }
                    Op::Forget(n) => {
                        prop_assert_eq!(arena.forget_received(id(n)), received.contains(&n));
                        received.retain(|r| *r != n);
                    }
                }
                prop_assert_eq!(arena.len(), list.len());
                for (place, (n, kept, packet)) in list.iter().enumerate() {
                    prop_assert_eq!(arena.at(place), Some(Entry { id: id(*n), kept: *kept, packet }));
                    prop_assert_eq!(arena.find(id(*n)), Some((place, *kept)));
                    prop_assert_eq!(arena.packet_mut(place).unwrap().len(), packet.len());
                }
                prop_assert_eq!(arena.at(list.len()), None);
                for n in 1..30 {
                    prop_assert_eq!(arena.has_received(id(n)), received.contains(&n));
                }
            }
        }
    }
}
