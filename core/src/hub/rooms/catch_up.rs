//! Handing out what a member has missed, that it has joined, and who else is there.

use super::super::delivery::{Delivery, Take};
use super::super::history::Histories;
use super::super::message::{Place, varint_octets};
use super::super::options::Quality;
use super::super::outbox::Sessions;
use super::super::retained::Retained;
use super::membership::Joined;
use super::presence::Members;
use super::table::{Membership, Memberships, Rooms};
use crate::time::Instant;

/// How many messages of the past are handed out before others have their turn.
const PER_CALL: u32 = 64;

/// Where a member has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All is handed out.
    Done,
    /// The buffer takes no more.
    Blocked,
    /// Others have their turn.
    Later,
}

/// What a drain works with.
pub(in crate::hub) struct Tables<'a> {
    pub(in crate::hub) retained: &'a Retained,
    pub(in crate::hub) rooms: &'a Rooms,
    pub(in crate::hub) histories: &'a Histories,
}

impl Sessions {
    /// Hands out what there is of a session's rooms but for the messages in its queue; `false` when
    /// the buffer takes no more.
    #[cold]
    pub(in crate::hub) fn drain_rooms(
        &mut self,
        now: Instant,
        index: u32,
        tables: &Tables<'_>,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
        taken: &mut u32,
    ) -> bool {
        let Some(rare) = self.all[index].rare_if_any() else { return true };
        let Some(mut rooms) = rare.rooms.take() else { return true };
        let before = *taken;
        let mut last = Step::Done;
        while let Some(room) = rooms.due.front().copied() {
            if let Some(member) = rooms.of(room) {
                last = self.hand_out(now, index, tables, member, take, taken, before);
                if last != Step::Done {
                    break;
                }
                member.listed = false;
            }
            rooms.due.pop_front();
        }
        self.all[index].rare_mut().rooms = Some(rooms);
        last != Step::Blocked
    }

    #[expect(clippy::too_many_arguments)]
    fn hand_out(
        &mut self,
        now: Instant,
        index: u32,
        tables: &Tables<'_>,
        member: &mut Membership,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
        taken: &mut u32,
        before: u32,
    ) -> Step {
        let room = &tables.rooms.all[member.room];
        loop {
            let topic = tables.histories.at(room.topic);
            let kept = topic.kept();
            // What is not kept any more is lost: the offsets say so, and what is told of the joining.
            if member.next < kept.start {
                member.recovered &= member.next > member.until;
                member.next = kept.start;
            }
            if member.tell && (!member.catching || member.next > member.until) {
                let members = Members::new(room, &self.all);
                let Some(state) = room.members.get(&index) else { return Step::Done };
                let joined = Joined {
                    epoch: topic.epoch(),
                    offset: member.until,
                    recovered: member.recovered,
                    member: state.member,
                    count: members.count(),
                };
                let (sid, presence) = (member.sid, state.presence);
                let delivery = Delivery::Joined { sid, room: &room.name, joined, presence, members };
                if take(&delivery) == Take::Blocked {
                    return Step::Blocked;
                }
                *taken += 1;
                member.tell = false;
                (member.seen, member.counted, member.pending) = (room.changes.count, room.present, false);
                continue;
            }
            if !member.catching {
                break;
            }
            if member.next >= kept.end {
                member.catching = false;
                self.caught_up.push((index, member.sid));
                break;
            }
            if *taken - before >= PER_CALL {
                return Step::Later;
            }
            if !self.has_credit(index, member) {
                break;
            }
            let Some((stamp, value)) = topic.get(member.next) else { break };
            let place = Place { epoch: topic.epoch(), offset: member.next, stamp };
            match self.hand_out_past(now, index, member, value, place, take) {
                Take::Blocked => return Step::Blocked,
                Take::Taken | Take::Sized(_) => *taken += 1,
                Take::Never => {}
            }
            member.next += 1;
        }
        if !member.tell && member.pending {
            let Some(state) = room.members.get(&index) else { return Step::Done };
            let change = room.change_since(&self.all, member.seen, state.presence);
            if take(&Delivery::Presence { sid: member.sid, change }) == Take::Blocked {
                return Step::Blocked;
            }
            *taken += 1;
            member.pending = false;
            member.counted = room.present;
            // Who was not told who is there knows nothing of that.
            member.seen = if change.is_listed() { room.changes.count } else { 0 };
        }
        Step::Done
    }

    /// Hands out a message of the past.
    fn hand_out_past(
        &mut self,
        now: Instant,
        index: u32,
        member: &Membership,
        value: u32,
        place: Place,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
    ) -> Take {
        let message = self.pool.get(value);
        if message.expired(now) {
            return Take::Never;
        }
        let (size, sid) = (message.size(), member.sid);
        let result = take(&Delivery::Message {
            sid,
            others: &[],
            message,
            quality: Quality::AtMostOnce,
            id: 0,
            again: false,
            retain: false,
            place: Some(&place),
            historic: place.offset <= member.until,
        });
        match result {
            Take::Blocked => {}
            Take::Never => {
                self.counters.dropped.refused += 1;
                self.lost_of(index, 1);
            }
            Take::Taken | Take::Sized(_) => {
                let on_wire = if let Take::Sized(octets) = result { octets } else { size };
                self.counters.messages_out += 1;
                self.counters.bytes_out += u64::from(size);
                let s = &mut self.all[index];
                if let Some(lane) = s.lane_of(sid) {
                    lane.used += u64::from(varint_octets(sid) + on_wire);
                }
            }
        }
        result
    }

    /// Whether a member's own credit allows another message.
    fn has_credit(&mut self, index: u32, member: &mut Membership) -> bool {
        let lane = self.all[index].lane_of(member.sid);
        member.stalled = lane.is_some_and(|lane| lane.used >= lane.limit);
        !member.stalled
    }
}

impl Memberships {
    /// There is credit for this subscription again.
    pub(in crate::hub) fn go_on(&mut self, sid: u64) {
        let of = self.list.iter_mut().find(|m| m.sid == sid && m.stalled);
        if let Some(room) = of.map(|m| {
            m.stalled = false;
            m.room
        }) {
            self.list(room);
        }
    }
}
