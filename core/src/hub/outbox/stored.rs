//! Deliveries that a store keeps.

use super::*;

impl Sessions {
    /// Has the store keep a delivery. One exactly once then waits for that: its number must not be
    /// another's after a crash.
    #[cold]
    pub(super) fn store(&mut self, index: u32, entry: Entry) -> Entry {
        let message = self.pool.stored(entry.message);
        let s = &self.all[index];
        let Entry { sid, number, quality, .. } = entry;
        let others = match entry.kind() {
            Kind::Overlap(list) => self.overlaps[list].clone(),
            _ => Box::default(),
        };
        let (session, retain) = (s.stored, entry.retain());
        let held = s.by_id && quality == Quality::ExactlyOnce;
        let queued = Operation::Queued { session, number, message, sid, others, quality, retain };
        self.pool.log.push(queued);
        if held {
            self.pool.log.hold(self.key(index), number);
        }
        entry.with_held(held)
    }

    /// Queues a delivery that the store has, under its number there.
    pub(in crate::hub) fn put_stored(&mut self, index: u32, mut entry: Entry, number: u32) {
        entry.number = number;
        self.pool.share(entry.message);
        let size = u64::from(self.pool.get(entry.message).size());
        let s = &mut self.all[index];
        s.next_number = next_number(number);
        s.queued += 1;
        s.bytes += size;
        self.counters.queued += 1;
        self.counters.queued_bytes += size;
        self.counters.room_queued_bytes += self.pool.room_octets(entry.message);
        let lanes = s.lanes.as_ref().map_or(&[][..], |lanes| &lanes.all);
        let lane = lanes.iter().position(|lane| lane.live && lane.sid == entry.sid);
        s.queue(lane.map_or(NONE, |lane| lane as u32)).push_back(entry);
    }

    /// The store says that the peer has received this delivery.
    pub(in crate::hub) fn release_stored(&mut self, index: u32, number: u32) {
        let s = &self.all[index];
        if let Some(at) = s.unacked.iter().position(|e| e.number == number && e.message != NONE) {
            let entry = s.unacked[at];
            self.forget_message(index, entry);
            self.all[index].unacked[at].message = NONE;
        }
    }

    /// The store has committed: hands out what waited for that.
    pub(in crate::hub) fn committed(&mut self) {
        while let Some((key, number)) = self.pool.log.pop_held() {
            if self.find(key).is_err() {
                continue;
            }
            let s = &mut self.all[key.index];
            // Those that are held are the last of what waits, or were handed out.
            let entry = match s.main.iter().rposition(|e| e.held() && e.number == number) {
                Some(at) => s.main.get_mut(at),
                None => s.unacked_mut(number),
            };
            if let Some(entry) = entry {
                *entry = entry.with_held(false);
            }
            self.wake(key.index);
        }
    }
}
