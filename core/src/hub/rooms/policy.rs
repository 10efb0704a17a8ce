//! What becomes of messages that a member is too slow for.

use super::super::outbox::Sessions;
use super::options::RoomPolicy;

impl Sessions {
    /// Makes room in the queue of a room's member as the room says, or says no.
    pub(in crate::hub) fn make_room_in(&mut self, index: u32, lane: u32) -> bool {
        let s = &mut self.all[index];
        let bound = s.lanes.as_ref().and_then(|lanes| lanes.all[lane as usize].bound);
        let Some(bound) = bound else { return true };
        let waiting = s.queue(lane).len();
        let most = bound.most as usize;
        let left = match bound.policy {
            RoomPolicy::Session => return true,
            RoomPolicy::KeepLatest => 0,
            RoomPolicy::DropOldest => most - 1,
            RoomPolicy::SlowPublisher if waiting < most * 2 => return true,
            RoomPolicy::Disconnect if waiting < most => return true,
            RoomPolicy::SlowPublisher | RoomPolicy::Disconnect => {
                self.counters.dropped.newest += 1;
                self.lost_of(index, 1);
                if bound.policy == RoomPolicy::Disconnect && !self.all[index].disconnect {
                    self.all[index].disconnect = true;
                    self.notice(index);
                }
                return false;
            }
        };
        for _ in left..waiting {
            let Some(entry) = self.all[index].queue(lane).pop_front() else { break };
            self.drop_unsent(index, entry);
            self.counters.dropped.oldest += 1;
            self.lost_of(index, 1);
        }
        true
    }
}
