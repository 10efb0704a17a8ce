//! What the session keeps, in growing memory. How much that is, the client bounds: it hands over no
//! more than may be in flight.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};

use crate::mqtt::PacketId;
use crate::mqtt::client::{Entry, Kept, Store};

#[derive(Debug)]
struct Slot {
    /// Counts entries: finds them in the queue, of which it is the order.
    number: u64,
    id: PacketId,
    kept: Kept,
    packet: Vec<u8>,
}

/// Entries in their order, and where each is. What is acknowledged in order costs nothing to remove.
#[derive(Debug)]
pub(super) struct Session {
    entries: VecDeque<Slot>,
    numbers: HashMap<PacketId, u64>,
    next: u64,
    received: HashSet<PacketId>,
    /// How many may be received at once.
    capacity: u16,
}

impl Session {
    pub(super) fn new(capacity: u16) -> Self {
        Self {
            entries: VecDeque::new(),
            numbers: HashMap::new(),
            next: 0,
            received: HashSet::new(),
            capacity,
        }
    }

    fn place(&self, id: PacketId) -> Option<usize> {
        let number = self.numbers.get(&id)?;
        self.entries.binary_search_by_key(number, |slot| slot.number).ok()
    }
}

impl Store for Session {
    fn push(&mut self, id: PacketId, kept: Kept, len: usize) -> Option<&mut [u8]> {
        self.numbers.insert(id, self.next);
        self.entries.push_back(Slot { number: self.next, id, kept, packet: vec![0; len] });
        self.next += 1;
        self.entries.back_mut().map(|slot| &mut slot.packet[..])
    }

    fn find(&self, id: PacketId) -> Option<(usize, Kept)> {
        let place = self.place(id)?;
        Some((place, self.entries[place].kept))
    }

    fn at(&self, place: usize) -> Option<Entry<'_>> {
        let slot = self.entries.get(place)?;
        Some(Entry { id: slot.id, kept: slot.kept, packet: &slot.packet })
    }

    fn packet_mut(&mut self, place: usize) -> Option<&mut [u8]> {
        self.entries.get_mut(place).map(|slot| &mut slot.packet[..])
    }

    fn release(&mut self, id: PacketId) {
        if let Some(place) = self.place(id) {
            let slot = &mut self.entries[place];
            (slot.kept, slot.packet) = (Kept::Release, Vec::new());
        }
    }

    fn remove(&mut self, id: PacketId) {
        if let Some(place) = self.place(id) {
            self.entries.remove(place);
            self.numbers.remove(&id);
        }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn receive(&mut self, id: PacketId) -> bool {
        self.received.contains(&id)
            || (self.received.len() < usize::from(self.capacity) && self.received.insert(id))
    }

    fn has_received(&self, id: PacketId) -> bool {
        self.received.contains(&id)
    }

    fn forget_received(&mut self, id: PacketId) -> bool {
        self.received.remove(&id)
    }

    fn clear_received(&mut self) {
        self.received.clear();
    }

    fn receive_capacity(&self) -> u16 {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_wherever_others_were_removed() {
        let id = |n| PacketId::new(n).unwrap();
        let mut session = Session::new(2);
        for n in 1..=9 {
            session.push(id(n), Kept::ExactlyOnce, usize::from(n)).unwrap().fill(7);
        }
        for n in [1, 5, 9] {
            session.remove(id(n));
        }
        session.release(id(6));
        let all: Vec<_> = (0..session.len()).map(|at| session.at(at).unwrap()).collect();
        assert_eq!(all.iter().map(|e| e.id.get()).collect::<Vec<_>>(), [2, 3, 4, 6, 7, 8]);
        assert_eq!(session.find(id(6)), Some((3, Kept::Release)));
        assert_eq!((session.find(id(5)), session.at(3).unwrap().packet.len()), (None, 0));
        assert!(session.receive(id(1)) && session.receive(id(1)) && session.receive(id(2)));
        assert!(!session.receive(id(3)), "no more than announced");
    }
}
