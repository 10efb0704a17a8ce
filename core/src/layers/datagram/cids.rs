//! Connection ids: those that this side answers to, and those that the peer does.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::packet::ConnectionId;
use crate::entropy::Entropy;

/// A side has so many ids at a time that the other may use.
pub(super) const PLACES: usize = 4;
/// So many ids that were given back wait for their acknowledgement at most.
const RETIRING: usize = 8;

/// A route that an endpoint is to add or remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Add(ConnectionId),
    Remove(ConnectionId),
}

/// The ids that this side answers to.
#[derive(Debug)]
pub(super) struct Local {
    places: [Option<(u64, ConnectionId)>; PLACES],
    next: u64,
    /// Places whose id the peer is to be told.
    pub(super) owed: u8,
}

impl Local {
    pub(super) const fn new(first: ConnectionId) -> Self {
        Self { places: [Some((0, first)), None, None, None], next: 1, owed: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnectionId> {
        self.places.iter().flatten().map(|(_, cid)| *cid)
    }

    /// Fills the free places.
    pub(super) fn issue(&mut self, entropy: &mut dyn Entropy, routes: &mut Vec<Route>) {
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.is_none() {
                let mut cid = ConnectionId::default();
                entropy.wire(&mut cid.0);
                *place = Some((self.next, cid));
                self.next += 1;
                self.owed |= 1 << at;
                routes.push(Route::Add(cid));
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<(u64, ConnectionId)> {
        self.places.get(place).copied().flatten()
    }

    /// The peer gives one back, which is not the one `used` by the packet that says so.
    pub(super) fn retire(&mut self, sequence: u64, used: ConnectionId, routes: &mut Vec<Route>) {
        for place in &mut self.places {
            if let Some((n, cid)) = *place
                && n == sequence
                && cid != used
            {
                *place = None;
                routes.push(Route::Remove(cid));
            }
        }
    }
}

/// The ids that the peer answers to.
#[derive(Debug)]
pub(super) struct Remote {
    active: (u64, ConnectionId),
    /// Not used yet.
    spare: VecDeque<(u64, ConnectionId)>,
    /// The largest that was ever told.
    largest: u64,
    /// Given back; whether it is to be said.
    retiring: Vec<(u64, bool)>,
}

impl Remote {
    pub(super) const fn new(first: ConnectionId) -> Self {
        Self { active: (0, first), spare: VecDeque::new(), largest: 0, retiring: Vec::new() }
    }

    pub(super) const fn active(&self) -> ConnectionId {
        self.active.1
    }

    /// The peer tells one. One that comes again, or is one too many, is ignored.
    pub(super) fn add(&mut self, sequence: u64, cid: ConnectionId) {
        let known = sequence == self.active.0
            || self.spare.iter().any(|(n, _)| *n == sequence)
            || self.retiring.iter().any(|(n, _)| *n == sequence);
        let old = sequence + 2 * (PLACES as u64) < self.largest;
        if !known && !old && self.spare.len() < PLACES {
            self.spare.push_back((sequence, cid));
            self.largest = self.largest.max(sequence);
        }
    }

    /// Another id from now on, so that nobody can tell that the same two speak. Says whether there is one.
    pub(super) fn change(&mut self) -> bool {
        if self.retiring.len() >= RETIRING {
            return false;
        }
        let Some(next) = self.spare.pop_front() else { return false };
        self.retiring.push((self.active.0, true));
        self.active = next;
        true
    }

    pub(super) fn retire_owed(&self) -> Option<u64> {
        self.retiring.iter().find(|(_, owed)| *owed).map(|(n, _)| *n)
    }

    /// It was said, or that was lost.
    pub(super) fn set_owed(&mut self, sequence: u64, owed: bool) {
        if let Some(entry) = self.retiring.iter_mut().find(|(n, _)| *n == sequence) {
            entry.1 = owed;
        }
    }

    pub(super) fn on_retired(&mut self, sequence: u64) {
        self.retiring.retain(|(n, _)| *n != sequence);
    }
}
