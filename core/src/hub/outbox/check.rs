//! The sessions' counts and lists, held against a recount.

use super::*;

impl Sessions {
    /// Checks counts and lists against what there is.
    pub(in crate::hub) fn check(&self, kept: impl Iterator<Item = u32>) -> Result<(), &'static str> {
        let (mut queued, mut bytes, mut of_rooms) = (0, 0, 0);
        for (index, s) in self.all.places().filter(|(_, s)| s.live) {
            let all = || s.unsent().chain(&s.unacked);
            let sizes = all().filter(|e| e.message != NONE);
            let sum: u64 = sizes.map(|e| u64::from(self.pool.get(e.message).size())).sum();
            if all().count() as u64 != u64::from(s.queued) || sum != s.bytes {
                return Err("session: cached counts differ from a recount");
            }
            of_rooms +=
                all().filter(|e| e.message != NONE).map(|e| self.pool.room_octets(e.message)).sum::<u64>();
            if s.rare().owed != s.rare().control.iter().map(|c| c.size(&self.pool)).sum::<u64>() {
                return Err("session: octets of answers differ from a recount");
            }
            let key = SessionKey { index, generation: s.generation };
            let listed = self.ready.iter().filter(|k| **k == key).count();
            if listed != usize::from(s.wake == Wake::Listed) || (s.wake == Wake::Idle && s.is_ready()) {
                return Err("session: the list of ready sessions is wrong");
            }
            if let Some(lanes) = &s.lanes {
                for (i, lane) in lanes.all.iter().enumerate() {
                    let in_ring = lanes.ring.contains(&(i as u32));
                    if in_ring != (lane.turn == Turn::Ring) || (lane.turn == Turn::Out && lane.may_send()) {
                        return Err("session: a lane that may send has no turn");
                    }
                }
            }
            queued += u64::from(s.queued);
            bytes += s.bytes;
        }
        if (queued, bytes) != (self.counters.queued, self.counters.queued_bytes) {
            return Err("counters: queued differs from a recount");
        }
        if of_rooms != self.counters.room_queued_bytes {
            return Err("counters: what is queued of rooms differs from a recount");
        }
        self.check_references(kept)
    }

    fn check_references(&self, kept: impl Iterator<Item = u32>) -> Result<(), &'static str> {
        let mut references = alloc::collections::BTreeMap::new();
        kept.for_each(|message| *references.entry(message).or_insert(0u32) += 1);
        for (_, s) in self.all.places() {
            let control = s.rare().control.iter().filter_map(Control::message);
            let will = s.rare().will.as_ref().map(|will| will.message);
            let queued = s.unsent().chain(&s.unacked).map(|e| e.message).filter(|m| *m != NONE);
            for message in queued.chain(control).chain(will) {
                *references.entry(message).or_insert(0u32) += 1;
            }
        }
        if references.len() != self.pool.len() {
            return Err("pool: a message is kept that nobody waits for");
        }
        let wrong = |(message, n): (u32, u32)| references.get(&message).copied().unwrap_or(0) != n;
        if self.pool.references().any(wrong) { Err("pool: references miscounted") } else { Ok(()) }
    }
}
