//! What is dropped where more is queued for a session than it may have, and who learns of it.

use super::*;

impl Sessions {
    /// Makes room for a delivery in a full queue, or says no.
    #[cold]
    pub(super) fn make_room(&mut self, index: u32, lane: u32, entry: &Entry, size: u32) -> bool {
        let before = self.counters.dropped.total();
        let s = &self.all[index];
        // One that is disconnected for it is told by that.
        let told = s.overflows || s.policy == Policy::Disconnect;
        let mut first = told.then_some(None);
        let room = self.make_room_by_policy(index, lane, size, &mut first);
        let dropped = self.counters.dropped.total() - before;
        self.lost_of(index, dropped);
        if dropped > 0 && !told {
            let s = &mut self.all[index];
            (s.overflows, s.tell_overflow) = (true, true);
            // Where none of those that waited was dropped, it is the new one.
            let trace = first.unwrap_or_else(|| self.trace_of(entry));
            self.overflows.extend(trace.map(|trace| (self.key(index), trace)));
            self.notice(index);
        }
        room
    }

    fn trace_of(&self, entry: &Entry) -> Option<TraceContext> {
        if entry.message == NONE { None } else { self.pool.get(entry.message).trace() }
    }

    /// Keeps the trace of the first that is dropped of those that wait.
    fn make_room_by_policy(
        &mut self,
        index: u32,
        lane: u32,
        size: u32,
        first: &mut Option<Option<TraceContext>>,
    ) -> bool {
        let s = &mut self.all[index];
        match s.policy {
            Policy::SlowPublisher if s.attached && !s.exceeds(size, 2) => return true,
            Policy::DropOldest => {
                while self.all[index].is_full(size) {
                    let s = &mut self.all[index];
                    let Some(entry) = s.victim(lane).and_then(|lane| s.queue(lane).pop_front()) else {
                        break;
                    };
                    first.get_or_insert_with(|| self.trace_of(&entry));
                    self.drop_unsent(index, entry);
                    self.counters.dropped.oldest += 1;
                }
            }
            Policy::Disconnect if s.attached => {
                if !s.disconnect {
                    s.disconnect = true;
                    self.notice(index);
                }
            }
            Policy::DropNewest | Policy::SlowPublisher | Policy::Disconnect => {
                while self.all[index].is_full(size) {
                    let s = &mut self.all[index];
                    let Some(victim) = s.victim(lane).filter(|v| *v != NONE && *v != lane) else { break };
                    let Some(entry) = s.queue(victim).pop_back() else { break };
                    first.get_or_insert_with(|| self.trace_of(&entry));
                    self.drop_unsent(index, entry);
                    self.counters.dropped.newest += 1;
                }
            }
        }
        let room = !self.all[index].is_full(size);
        if !room {
            self.counters.dropped.newest += 1;
        }
        room
    }
}
