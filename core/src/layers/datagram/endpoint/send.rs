//! Datagrams as they go out: each session in its turn.

use alloc::vec::Vec;

use super::super::connection::Surroundings;
use super::super::{Ecn, Transmit};
use super::Endpoint;
use crate::time::Instant;

impl Endpoint {
    /// The next datagrams to send, all to one address: `out` is emptied and filled with at most `segments`
    /// packets of [`Transmit::segment`] octets each, the last one as large or smaller.
    ///
    /// Call it until it returns nothing, or until the socket takes no more: what it returned counts as sent.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, segments: usize) -> Option<Transmit> {
        let now = self.tick(now);
        out.clear();
        if let Some((to, answer)) = self.answers.pop_front() {
            out.extend_from_slice(&answer);
            return Some(self.count(Transmit { to, segment: answer.len(), ecn: Ecn::NotEct }, out.len()));
        }
        while let Some(key) = self.queue.pop_front() {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.queued = false;
            let mut scratch = core::mem::take(&mut self.scratch);
            let mut around = Surroundings {
                config: &self.config,
                entropy: &mut *self.entropy,
                counters: &mut self.counters,
                routes: &mut self.changed,
            };
            let transmit = slot.connection.poll_transmit(now, out, segments, &mut scratch, &mut around);
            self.scratch = scratch;
            if let Some(transmit) = transmit {
                // There may be more; the others come first.
                slot.queued = true;
                self.queue.push_back(key);
                self.arm(key);
                return Some(self.count(transmit, out.len()));
            }
            self.arm(key);
        }
        None
    }

    const fn count(&mut self, transmit: Transmit, octets: usize) -> Transmit {
        self.counters.sent +=
            if transmit.segment == 0 { 0 } else { octets.div_ceil(transmit.segment) as u64 };
        self.counters.sent_octets += octets as u64;
        transmit
    }
}
