//! What a client of MQTT keeps between its connections, and beyond the end of its process.

use bowline_core::mqtt::PacketId;
use bowline_core::mqtt::client::{Arena, Entry, Kept, Store};

/// An arena that may be made to forget what it received, on purpose.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    arena: Arena<Vec<u8>, Vec<u16>>,
    forgetful: bool,
}

impl Shelf {
    pub(super) fn new(octets: usize, received: usize, forgetful: bool) -> Self {
        Self { arena: Arena::new(vec![0; octets], vec![0; received]), forgetful }
    }
}

impl Store for Shelf {
    fn push(&mut self, id: PacketId, kept: Kept, len: usize) -> Option<&mut [u8]> {
        self.arena.push(id, kept, len)
    }

    fn find(&self, id: PacketId) -> Option<(usize, Kept)> {
        self.arena.find(id)
    }

    fn at(&self, place: usize) -> Option<Entry<'_>> {
        self.arena.at(place)
    }

    fn packet_mut(&mut self, place: usize) -> Option<&mut [u8]> {
        self.arena.packet_mut(place)
    }

    fn release(&mut self, id: PacketId) {
        self.arena.release(id);
    }

    fn remove(&mut self, id: PacketId) {
        self.arena.remove(id);
    }

    fn len(&self) -> usize {
        self.arena.len()
    }

    fn receive(&mut self, id: PacketId) -> bool {
        self.arena.receive(id)
    }

    fn has_received(&self, id: PacketId) -> bool {
        !self.forgetful && self.arena.has_received(id)
    }

    fn forget_received(&mut self, id: PacketId) -> bool {
        self.arena.forget_received(id)
    }

    fn clear_received(&mut self) {
        self.arena.clear_received();
    }

    fn receive_capacity(&self) -> u16 {
        self.arena.receive_capacity()
    }
}
