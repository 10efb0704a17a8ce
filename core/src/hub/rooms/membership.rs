//! Joining and leaving rooms.

use alloc::format;
use alloc::vec::Vec;

use super::super::Hub;
use super::super::delivery::{Refusal, SessionKey};
use super::super::options::{MAX_ID, SubscribeOptions};
use super::super::slab::NONE;
use super::super::timers::Alarm;
use super::options::{JoinOptions, PresenceMode, RoomPolicy};
use super::presence::{GRACE, Members};
use super::table::{Membership, State};
use super::{MAX_MEMBER_DATA, MAX_ROOM_NAME, PREFIX};
use crate::access::Action;
use crate::flow::rate::Rate;
use crate::plugin::Ask;
use crate::retain::RetainHandling;
use crate::time::Instant;
use crate::topic::{self, parse_filter, validate_topic};

/// What a member learns when it has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What tells the room's offsets from those of an earlier room of this name.
    pub epoch: u64,
    /// The newest message's, when it joined; 0: there was none in this epoch.
    pub offset: u64,
    /// Whether all messages after the place that it had seen come: none is lost. Without such a
    /// place, `false`.
    pub recovered: bool,
    /// Its name in the room.
    pub member: u64,
    /// How many members there are, itself included.
    pub count: u32,
}

/// A room that has members, for who looks at all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// Members, those within the grace time included.
    pub members: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The newest message's offset; 0: there was none.
    pub offset: u64,
    /// Messages that are kept.
    pub kept: u64,
}

impl Hub {
    /// Has a session join a room: it is sent the room's messages from now on, at most once each,
    /// with this subscription's id, which is the joiner's to choose.
    ///
    /// What is asked for of the past is handed out first, then that it has joined
    /// ([`Delivery::Joined`](super::super::Delivery::Joined)), then what is new. A session that is
    /// in the room already stays the same member, and is handed out the same anew. A subscription of
    /// this session that has the id ends.
    ///
    /// # Errors
    ///
    /// There is no such session or it is detached, the name is no topic of at most 128 octets or no
    /// room may be called so, the id is 0 or too large, `credit` is 0, the data is too long, a limit
    /// is reached, or the rules do not allow to subscribe to the room's topic. All is as it was then.
    pub fn join(
        &mut self,
        now: Instant,
        key: SessionKey,
        sid: u64,
        room: &str,
        options: &JoinOptions<'_>,
    ) -> Result<Joined, Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        let rule = self.check_join(index, sid, room, options)?;
        let filter = format!("{PREFIX}{room}");
        let topic = self.histories.pin(&mut self.sessions.pool, &filter);
        let topic = topic.ok_or(Refusal::Quota("topics with a history"))?;
        if let Some(other) = self.room_of(index, sid).filter(|other| *self.rooms.all[*other].name != *room) {
            self.leave_number(now, index, other);
        }
        let known = self.rooms.find(room);
        let number = known.unwrap_or_else(|| {
            let rate = self.options.rooms[rule].room_rate;
            self.rooms.add(room, rule, topic, rate.map(|r| Rate::new(now, r.per_second, r.burst)))
        });
        self.subscribe_to_room(index, sid, number, &filter, options);
        self.begin(index, sid, number, options);
        let joined = self.enter(index, number, options);
        self.touch(now, number);
        self.sessions.wake(index);
        Ok(joined)
    }

    /// Which of the options the room follows.
    fn check_join(
        &mut self,
        index: u32,
        sid: u64,
        room: &str,
        options: &JoinOptions<'_>,
    ) -> Result<usize, Refusal> {
        validate_topic(room)?;
        if room.len() > MAX_ROOM_NAME {
            return Err(Refusal::Invalid("a room's name has at most 128 octets"));
        }
        let of_room = |rule: &super::RoomOptions| topic::is_match(rule.filter.as_bytes(), room.as_bytes());
        let rule = self.options.rooms.iter().position(of_room);
        let rule = rule.ok_or(Refusal::Invalid("there are no rooms of this name"))?;
        if sid == 0 || sid > MAX_ID {
            return Err(Refusal::Invalid("a room's id is from 1 to 2^63 - 1"));
        }
        if options.credit == Some(0) {
            return Err(Refusal::Invalid("a room's credit is at least 1; without one, leave it away"));
        }
        if options.data.len() > MAX_MEMBER_DATA {
            return Err(Refusal::Quota("octets of what others see of a member"));
        }
        let filter = format!("{PREFIX}{room}");
        validate_topic(&filter)?;
        self.allow(index, Action::Subscribe, || &filter)?;
        self.ask_plugins(index, &Ask::Join(room))?;
        let known = self.rooms.find(room);
        let of = |number: &u32| &self.rooms.all[*number];
        if known.as_ref().is_some_and(|number| of(number).members.contains_key(&index)) {
            return Ok(rule);
        }
        let s = &self.sessions.all[index];
        let joined = s.rare().rooms.as_ref().map_or(0, |rooms| rooms.list.len());
        if joined >= self.options.max_rooms_per_session {
            return Err(Refusal::Quota("rooms of a session"));
        }
        let is_new = usize::from(s.sub(sid).is_none());
        if s.aside.subs.len() + is_new > self.options.max_subscriptions_per_session {
            return Err(Refusal::Quota("subscriptions of a session"));
        }
        if self.subs.len() + is_new > self.options.max_subscriptions {
            return Err(Refusal::Quota("subscriptions"));
        }
        let has_lane = options.credit.is_some() || self.options.rooms[rule].policy != RoomPolicy::Session;
        if has_lane && s.lanes_in_use() >= self.options.max_lanes_per_session {
            return Err(Refusal::Quota("subscriptions with a queue of their own of a session"));
        }
        match known.as_ref().map(of) {
            Some(room) if room.members.len() >= self.options.rooms[rule].max_members as usize => {
                Err(Refusal::Quota("members of a room"))
            }
            None if self.rooms.len() >= self.options.max_rooms => Err(Refusal::Quota("rooms")),
            _ => Ok(rule),
        }
    }

    /// Makes the subscription of a member, in place of the one that it had and of another with this id.
    fn subscribe_to_room(
        &mut self,
        index: u32,
        sid: u64,
        number: u32,
        filter: &str,
        options: &JoinOptions<'_>,
    ) {
        let rooms = self.sessions.all[index].rare_mut().rooms.get_or_insert_default();
        let old = rooms.of(number).map(|m| m.sid);
        for old in old.into_iter().chain((old != Some(sid)).then_some(sid)) {
            self.unlink(index, old);
        }
        let rule = &self.options.rooms[self.rooms.all[number].rule];
        let bound = rule.bound();
        let lane = match options.credit {
            None if bound.is_none() => NONE,
            credit => self.sessions.all[index].add_bounded_lane(sid, credit.unwrap_or(u64::MAX), bound),
        };
        let subscription = SubscribeOptions {
            credit: options.credit,
            retained: RetainHandling::Never,
            ..SubscribeOptions::default()
        };
        if let Ok(filter) = parse_filter(filter) {
            self.link(index, sid, &filter, &subscription, lane);
        }
    }

    /// Says where a member begins to read.
    fn begin(&mut self, index: u32, sid: u64, number: u32, options: &JoinOptions<'_>) {
        let room = &self.rooms.all[number];
        let topic = self.histories.at(room.topic);
        let kept = topic.kept();
        let after = options.since.filter(|(epoch, offset)| topic.continues(*epoch, *offset));
        let next = match after {
            Some((_, offset)) => offset + 1,
            None => kept.start.max(kept.end.saturating_sub(options.history)),
        };
        let session_rate = self.options.rooms[room.rule].session_rate;
        let catching = next < kept.end;
        let rooms = self.sessions.all[index].rare_mut().rooms.get_or_insert_default();
        let at = rooms.find(number);
        let before = at.ok().map(|at| rooms.list.remove(at));
        let rate = before.as_ref().and_then(|m| m.rate.clone());
        let now = self.now;
        let member = Membership {
            room: number,
            sid,
            next,
            until: kept.end - 1,
            catching,
            stalled: false,
            listed: before.is_some_and(|m| m.listed),
            tell: true,
            recovered: after.is_some(),
            pending: false,
            seen: 0,
            counted: 0,
            rate: rate.or_else(|| session_rate.map(|r| Rate::new(now, r.per_second, r.burst))),
        };
        rooms.list.insert(at.unwrap_or_else(|at| at), member);
        rooms.list(number);
        self.set_catching(index, sid, catching);
    }

    /// Whether messages are queued for a member, or read by it from the history.
    pub(in crate::hub) fn set_catching(&mut self, index: u32, sid: u64, catching: bool) {
        if let Some(sub) = self.sessions.all[index].sub(sid) {
            self.subs.set_catching(sub, catching);
        }
    }

    /// Makes a session a member, or what it is as a member anew.
    fn enter(&mut self, index: u32, number: u32, options: &JoinOptions<'_>) -> Joined {
        let Self { rooms, sessions, histories, .. } = self;
        let super::Rooms { all, member_names, members, .. } = rooms;
        let room = &mut all[number];
        let octets = &mut room.octets;
        let user = sessions.all[index].aside.owner.user().len();
        let state = room.members.entry(index).or_insert_with(|| {
            *members += 1;
            *octets += user + options.data.len();
            State {
                member: member_names.next(),
                data: options.data.into(),
                presence: PresenceMode::None,
                present: false,
                joined: 0,
                changed: 0,
            }
        });
        let member = state.member;
        for (presence, change) in [(state.presence, -1), (options.presence, 1)] {
            if presence != PresenceMode::None {
                let watchers = &mut room.changes.watchers[usize::from(presence == PresenceMode::Full)];
                *watchers = watchers.wrapping_add_signed(change);
            }
        }
        state.presence = options.presence;
        if *state.data != *options.data {
            *octets = *octets + options.data.len() - state.data.len();
            state.data = options.data.into();
            room.changes.count += 1;
            state.changed = room.changes.count;
        }
        room.arrive(index);
        let topic = histories.at(room.topic);
        let m = sessions.all[index].rare_mut().rooms.as_mut().and_then(|rooms| rooms.of(number));
        Joined {
            epoch: topic.epoch(),
            offset: topic.kept().end - 1,
            recovered: m.is_some_and(|m| m.recovered),
            member,
            count: room.present,
        }
    }

    /// Has a session leave a room. What waits of it is dropped. Says whether it was in it.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn leave(&mut self, now: Instant, key: SessionKey, room: &str) -> Result<bool, Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        let number = self.rooms.find(room);
        let number = number.filter(|number| self.rooms.all[*number].members.contains_key(&index));
        if let Some(number) = number {
            self.leave_number(now, index, number);
            self.sessions.wake(index);
        }
        Ok(number.is_some())
    }

    /// Has a session leave all its rooms, and says how many there were.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn leave_all(&mut self, now: Instant, key: SessionKey) -> Result<usize, Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        let left = self.leave_rooms(now, index);
        self.sessions.wake(index);
        Ok(left)
    }

    /// Has a session leave all its rooms.
    pub(in crate::hub) fn leave_rooms(&mut self, now: Instant, index: u32) -> usize {
        let rooms = self.sessions.all[index].rare().rooms.as_ref();
        let numbers: Vec<u32> = rooms.into_iter().flat_map(|r| r.list.iter().map(|m| m.room)).collect();
        for number in &numbers {
            self.leave_number(now, index, *number);
        }
        numbers.len()
    }

    /// The room that a subscription of a session is of.
    pub(in crate::hub) fn room_of(&self, index: u32, sid: u64) -> Option<u32> {
        self.sessions.all[index].rare().rooms.as_ref()?.room_of(sid)
    }

    /// Takes a session out of a room that it is in.
    pub(in crate::hub) fn leave_number(&mut self, now: Instant, index: u32, number: u32) {
        let Some(rooms) = self.sessions.all[index].rare_mut().rooms.as_mut() else { return };
        let Ok(at) = rooms.find(number) else { return };
        let sid = rooms.list.remove(at).sid;
        rooms.due.retain(|due| *due != number);
        if rooms.list.is_empty() {
            let grace = rooms.grace.take();
            self.sessions.all[index].rare_mut().rooms = None;
            grace.into_iter().for_each(|timer| self.timers.cancel(timer));
        }
        self.unlink(index, sid);
        let room = &mut self.rooms.all[number];
        room.depart(index);
        let user = self.sessions.all[index].aside.owner.user().len();
        let state = room.members.remove(&index);
        room.octets -= state.as_ref().map_or(0, |state| user + state.data.len());
        if let Some(state) = state.filter(|state| state.presence != PresenceMode::None) {
            room.changes.watchers[usize::from(state.presence == PresenceMode::Full)] -= 1;
        }
        self.rooms.members -= 1;
        if self.rooms.all[number].members.is_empty() {
            let room = self.rooms.remove(number);
            room.changes.timer.into_iter().for_each(|(timer, _)| self.timers.cancel(timer));
            self.histories.unpin(&mut self.sessions.pool, room.topic);
        } else {
            self.touch(now, number);
        }
    }

    /// Sets what others see of a member.
    ///
    /// # Errors
    ///
    /// There is no such session, it is not in the room, or the data is too long.
    pub fn set_member_data(
        &mut self,
        now: Instant,
        key: SessionKey,
        room: &str,
        data: &[u8],
    ) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        if data.len() > MAX_MEMBER_DATA {
            return Err(Refusal::Quota("octets of what others see of a member"));
        }
        let number = self.rooms.find(room).ok_or(Refusal::NotMember)?;
        let room = &mut self.rooms.all[number];
        let state = room.members.get_mut(&index).ok_or(Refusal::NotMember)?;
        if *state.data != *data {
            room.octets = room.octets + data.len() - state.data.len();
            state.data = data.into();
            room.changes.count += 1;
            state.changed = room.changes.count;
            self.touch(now, number);
        }
        Ok(())
    }

    /// Whether a session is in a room.
    #[must_use]
    pub fn is_member(&self, key: SessionKey, room: &str) -> bool {
        self.member(key, room).is_some()
    }

    /// A session's name in a room that it is in.
    #[must_use]
    pub fn member(&self, key: SessionKey, room: &str) -> Option<u64> {
        let index = self.sessions.find(key).ok()?;
        let number = self.rooms.find(room)?;
        self.rooms.all[number].members.get(&index).map(|state| state.member)
    }

    /// The name of the room that a session has joined with this id.
    #[must_use]
    pub fn joined_as(&self, key: SessionKey, sid: u64) -> Option<&str> {
        let index = self.sessions.find(key).ok()?;
        self.room_of(index, sid).map(|number| &*self.rooms.all[number].name)
    }

    /// The rooms that a session is in, and the ids that it has joined them with.
    pub fn joined(&self, key: SessionKey) -> impl Iterator<Item = (&str, u64)> {
        let session = self.sessions.find(key).ok().map(|index| &self.sessions.all[index]);
        let rooms = session.and_then(|s| s.rare().rooms.as_ref()).into_iter();
        rooms.flat_map(|rooms| rooms.list.iter().map(|m| (&*self.rooms.all[m.room].name, m.sid)))
    }

    /// Who is in a room: for its members, and for those who may subscribe to its topic.
    ///
    /// # Errors
    ///
    /// There is no such session, the rules refuse, or nobody is in such a room
    /// ([`Refusal::NotFound`]).
    pub fn members(&self, key: SessionKey, room: &str) -> Result<Members<'_>, Refusal> {
        let index = self.sessions.find(key)?;
        let number = self.rooms.find(room);
        let is_member = number.is_some_and(|number| self.rooms.all[number].members.contains_key(&index));
        if !is_member {
            let topic = format!("{PREFIX}{room}");
            if !self.permits(index, Action::Subscribe, || &topic) {
                return Err(Refusal::NotAuthorized);
            }
        }
        let number = number.ok_or(Refusal::NotFound)?;
        Ok(Members::new(&self.rooms.all[number], &self.sessions.all))
    }

    /// All rooms that have members, in no particular order.
    pub fn rooms(&self) -> impl Iterator<Item = RoomInfo<'_>> {
        let rooms = self.rooms.all.places().map(|(_, room)| room).filter(|room| !room.name.is_empty());
        rooms.map(|room| {
            let topic = self.histories.at(room.topic);
            let kept = topic.kept();
            RoomInfo {
                name: &room.name,
                members: room.present,
                epoch: topic.epoch(),
                offset: kept.end - 1,
                kept: kept.end - kept.start,
            }
        })
    }

    /// A session's connection is gone: its members wait, and read on from where it was.
    pub(in crate::hub) fn detach_rooms(&mut self, index: u32) {
        let s = &self.sessions.all[index];
        let Some(rooms) = s.rare().rooms.as_ref() else { return };
        // The first that was queued for a member and not handed out is where it goes on.
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        for entry in s.unsent().filter(|e| rooms.room_of(e.sid).is_some()) {
            if let Some(place) = self.sessions.pool.place(entry.message)
                && !waiting.iter().any(|(sid, _)| *sid == entry.sid)
            {
                waiting.push((entry.sid, place.offset));
            }
        }
        let (rooms, histories) = (&self.rooms, &self.histories);
        let mut stop = Vec::new();
        if let Some(own) = self.sessions.all[index].rare_mut().rooms.as_mut() {
            own.due.clear();
            for m in &mut own.list {
                let first = waiting.iter().find(|(sid, _)| *sid == m.sid).map(|(_, offset)| *offset);
                if !m.catching {
                    m.next = first.unwrap_or_else(|| histories.at(rooms.all[m.room].topic).kept().end);
                    stop.push(m.sid);
                }
                // Whoever asked is gone; what it knew of the others too.
                (m.catching, m.listed, m.tell, m.pending) = (true, false, false, false);
                (m.stalled, m.seen, m.until) = (false, 0, 0);
            }
        }
        stop.into_iter().for_each(|sid| self.set_catching(index, sid, true));
    }

    /// Has a detached session's members go away after the grace time.
    pub(in crate::hub) fn begin_grace(&mut self, now: Instant, index: u32) {
        let timers = &mut self.timers;
        if let Some(rooms) = self.sessions.all[index].rare_if_any().and_then(|rare| rare.rooms.as_mut()) {
            rooms.grace.get_or_insert_with(|| timers.set(now + GRACE, Alarm::Grace(index)));
        }
    }

    /// The grace time of a detached session has passed.
    pub(in crate::hub) fn end_grace(&mut self, now: Instant, index: u32) {
        let Some(rooms) = self.sessions.all[index].rare_mut().rooms.as_mut() else { return };
        rooms.grace = None;
        let numbers: Vec<u32> = rooms.list.iter().map(|m| m.room).collect();
        for number in numbers {
            self.rooms.all[number].depart(index);
            self.touch(now, number);
        }
    }

    /// A session has a connection again: its members are there, and go on.
    pub(in crate::hub) fn reattach_rooms(&mut self, now: Instant, index: u32) {
        let Some(rooms) = self.sessions.all[index].rare_mut().rooms.as_mut() else { return };
        let grace = rooms.grace.take();
        let numbers: Vec<(u32, u64)> = rooms.list.iter().map(|m| (m.room, m.sid)).collect();
        grace.into_iter().for_each(|timer| self.timers.cancel(timer));
        for (number, sid) in numbers {
            let room = &mut self.rooms.all[number];
            room.arrive(index);
            let watches = room.members.get(&index).is_some_and(|state| state.presence != PresenceMode::None);
            let kept = self.histories.at(room.topic).kept();
            let mut is_behind = true;
            if let Some(own) = self.sessions.all[index].rare_mut().rooms.as_mut() {
                if let Some(m) = own.of(number) {
                    is_behind = m.next < kept.end;
                    (m.catching, m.pending) = (is_behind, watches);
                }
                own.list(number);
            }
            self.set_catching(index, sid, is_behind);
            self.touch(now, number);
        }
        self.sessions.wake(index);
    }
}
