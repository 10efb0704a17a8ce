//! The connections of a server, by keys that are never used twice.

use alloc::vec::Vec;

use super::connection::Connection;
use super::inspect::ConnectionInfo;
use crate::hub::reserve;
use crate::time::Instant;

/// A connection of a server: its place and a generation, so that the key of one that is gone never
/// means another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey {
    index: u32,
    generation: u32,
}

impl ConnectionKey {
    /// A number that names this connection in logs.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    #[cfg(test)]
    pub(super) const fn of_index(index: u32) -> Self {
        Self { index, generation: 0 }
    }

    /// Its place: small, and used again by later connections. For tables beside the server's own.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// Since when the connection is there, in seconds.
    since: u32,
    connection: Option<Connection>,
    messages: (u32, u32),
    octets: (u64, u64),
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, connection: Connection, now: Instant) -> ConnectionKey {
        let index = self.free.pop().unwrap_or_else(|| {
            reserve(&mut self.slots, 1);
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let since = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
        *slot = Slot {
            generation: slot.generation,
            since,
            connection: Some(connection),
            messages: (0, 0),
            octets: (0, 0),
        };
        ConnectionKey { index, generation: slot.generation }
    }

    /// Lends a connection out, so that the rest of the server can be used beside it.
    /// [`put`](Self::put) it back.
    pub(super) fn take(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.slot(key)?.connection.take()
    }

    /// So many messages went in and out meanwhile.
    #[inline]
    pub(super) fn put(&mut self, key: ConnectionKey, connection: Connection, messages: (u64, u64)) {
        if let Some(slot) = self.slot(key) {
            slot.connection = Some(connection);
            slot.messages.0 = slot.messages.0.wrapping_add(messages.0 as u32);
            slot.messages.1 = slot.messages.1.wrapping_add(messages.1 as u32);
        }
    }

    /// So many octets came in and went out.
    #[inline]
    pub(super) fn count(&mut self, key: ConnectionKey, received: u64, sent: u64) {
        if let Some(slot) = self.slot(key) {
            slot.octets.0 += received;
            slot.octets.1 += sent;
        }
    }

    /// What is known of a connection beside what is spoken.
    pub(super) fn info(&self, key: ConnectionKey) -> Option<ConnectionInfo> {
        let connection = self.get(key)?;
        let slot = &self.slots[key.index()];
        Some(ConnectionInfo {
            key,
            peer: *connection.peer(),
            carrier: connection.carrier(),
            since: Instant::from_nanos(u64::from(slot.since) * 1_000_000_000),
            messages: slot.messages,
            octets: slot.octets,
            round_trip: connection.round_trip(),
        })
    }

    pub(super) fn remove(&mut self, key: ConnectionKey) -> Option<Connection> {
        let slot = self.slot(key)?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(connection)
    }

    pub(super) fn get(&self, key: ConnectionKey) -> Option<&Connection> {
        let slot = self.slots.get(key.index as usize)?;
        slot.connection.as_ref().filter(|_| slot.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.slot(key)?.connection.as_mut()
    }

    /// All that are not lent out.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_ref())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ConnectionKey> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.connection.is_some());
        slots.map(|(i, slot)| ConnectionKey { index: i as u32, generation: slot.generation })
    }

    fn slot(&mut self, key: ConnectionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }
}
