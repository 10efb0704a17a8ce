//! Who is in a room, and who is told.

use core::time::Duration;

use super::super::Hub;
use super::super::session::Session;
use super::super::slab::Slab;
use super::super::timers::Alarm;
use super::options::PresenceMode;
use super::table::{Left, Room};
use crate::hub::SessionKey;
use crate::time::Instant;

/// Rooms with more members, or whose members show more octets, tell the number alone.
const LISTED: u32 = 1000;
const LISTED_OCTETS: usize = 256 << 10;
/// How often members are told at most: the number alone, and all.
const EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(200)];
/// How long a member stays whose connection is gone.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// So many who left are remembered at most; who missed more is told of all who are there.
const LEFT: usize = 1024;

/// A member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name in the room: at random, and of no use but to tell it from others.
    pub member: u64,
    /// Whose session it is: the authenticated user, or empty.
    pub user: &'a str,
    /// What it wants others to see.
    pub data: &'a [u8],
    /// Its session.
    pub session: SessionKey,
}

/// Those who are in a room, in no particular order.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    room: &'a Room,
    sessions: &'a Slab<Session>,
}

impl<'a> Members<'a> {
    pub(super) const fn new(room: &'a Room, sessions: &'a Slab<Session>) -> Self {
        Self { room, sessions }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.room.present
    }

    /// Whether they are listed: not where there are more than 1,000, or where they show more than 256 KiB.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.room.is_listed()
    }

    /// All of them, whether [listed](Self::is_listed) or not.
    pub fn iter(&self) -> impl Iterator<Item = Member<'a>> + Clone + use<'a> {
        PresenceChange { room: self.room, sessions: self.sessions, from: 0, listed: true }.joined()
    }
}

/// What has changed about who is in a room since a member was last told: what came and went between
/// is left out.
#[derive(Clone, Copy, Debug)]
pub struct PresenceChange<'a> {
    room: &'a Room,
    sessions: &'a Slab<Session>,
    /// The last change that is known; 0: none.
    from: u64,
    listed: bool,
}

/// What tells one [`PresenceChange`] from all others of a hub: those with the same key are the same,
/// so that what one is written as can be sent to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresenceKey {
    room: u64,
    from: u64,
    to: u64,
    listed: bool,
}

impl<'a> PresenceChange<'a> {
    /// The room's name.
    #[must_use]
    pub fn room(&self) -> &'a str {
        &self.room.name
    }

    /// What tells it from others.
    #[must_use]
    pub const fn key(&self) -> PresenceKey {
        let Self { room, from, listed, .. } = *self;
        PresenceKey { room: room.serial, from, to: room.changes.count, listed }
    }

    /// How many there are now.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.room.present
    }

    /// Whether it says who, and not only how many: not where that is all that was asked for, or
    /// where there are
    /// [too many](Members::is_listed).
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Whether it is no change but all who are there, as [`joined`](Self::joined): in place of what
    /// was told before, some of which was missed.
    #[must_use]
    pub const fn is_snapshot(&self) -> bool {
        self.listed && self.from == 0
    }

    /// Those who have come.
    pub fn joined(&self) -> impl Iterator<Item = Member<'a>> + Clone + use<'a> {
        let Self { from, .. } = *self;
        self.members(move |joined, _| joined > from)
    }

    /// Those who were there, and show others something else now.
    pub fn changed(&self) -> impl Iterator<Item = Member<'a>> + Clone + use<'a> {
        let Self { from, .. } = *self;
        self.members(move |joined, changed| joined <= from && changed > from)
    }

    /// The names of those who are gone.
    pub fn left(&self) -> impl Iterator<Item = u64> + Clone + use<'a> {
        let Self { room, from, listed, .. } = *self;
        let all = room.changes.left.iter().filter(move |_| listed);
        all.filter(move |left| left.at > from && left.joined <= from).map(|left| left.member)
    }

    fn members<F>(&self, which: F) -> impl Iterator<Item = Member<'a>> + Clone + use<'a, F>
    where
        F: Fn(u64, u64) -> bool + Clone + 'a,
    {
        let Self { room, sessions, listed, .. } = *self;
        let there = room.members.iter().filter(move |(_, state)| listed && state.present);
        there.filter(move |(_, state)| which(state.joined, state.changed)).map(move |(index, state)| {
            let session = &sessions[*index];
            let key = SessionKey { index: *index, generation: session.generation };
            Member { member: state.member, user: session.aside.owner.user(), data: &state.data, session: key }
        })
    }
}

impl Room {
    /// Whether it is small enough to say who is there.
    const fn is_listed(&self) -> bool {
        self.present <= LISTED && self.octets <= LISTED_OCTETS
    }

    /// What a member is told that knows the changes up to `seen`.
    pub(super) fn change_since<'a>(
        &'a self,
        sessions: &'a Slab<Session>,
        seen: u64,
        presence: PresenceMode,
    ) -> PresenceChange<'a> {
        let listed = presence == PresenceMode::Full && self.is_listed();
        let from = if seen < self.changes.forgotten || !listed { 0 } else { seen };
        PresenceChange { room: self, sessions, from, listed }
    }

    /// A member is there, or is again.
    pub(super) fn arrive(&mut self, session: u32) {
        let Self { members, changes, present, .. } = self;
        if let Some(state) = members.get_mut(&session).filter(|state| !state.present) {
            changes.count += 1;
            *present += 1;
            (state.present, state.joined, state.changed) = (true, changes.count, changes.count);
        }
    }

    /// A member is not there any more.
    pub(super) fn depart(&mut self, session: u32) {
        let is_told = self.is_listed() && self.changes.watchers[1] > 0;
        let Self { members, changes, present, .. } = self;
        let Some(state) = members.get_mut(&session).filter(|state| state.present) else { return };
        (changes.count, state.present) = (changes.count + 1, false);
        *present -= 1;
        if !is_told {
            changes.left.clear();
            changes.forgotten = changes.count;
            return;
        }
        changes.left.push_back(Left { at: changes.count, joined: state.joined, member: state.member });
        if changes.left.len() > LEFT
            && let Some(oldest) = changes.left.pop_front()
        {
            changes.forgotten = oldest.at;
        }
    }

    /// When members are to be told next: at once, or some time after the last.
    fn next_tick(&self, now: Instant) -> Option<Instant> {
        let at = |of: usize| {
            let (told, last) = self.changes.told[of];
            let wanted = self.changes.watchers[of] > 0 && told < self.changes.count;
            wanted.then(|| last.map_or(now, |last| now.max(last + self.every(of))))
        };
        [at(0), at(1)].into_iter().flatten().min()
    }

    /// In a large room those who want to know all are told the number, as often as that.
    const fn every(&self, of: usize) -> Duration {
        if self.is_listed() { EVERY[of] } else { EVERY[0] }
    }
}

impl Hub {
    /// Somebody came, changed or went: has those told who want to know, if not now then soon.
    pub(super) fn touch(&mut self, now: Instant, number: u32) {
        let room = &mut self.rooms.all[number];
        let Some(at) = room.next_tick(now) else { return };
        match room.changes.timer {
            Some((_, set)) if set <= at => return,
            Some((timer, _)) => self.timers.cancel(timer),
            None => {}
        }
        room.changes.timer = Some((self.timers.set(at, Alarm::Presence(number)), at));
    }

    /// Has those told who want to know, where it is time.
    pub(in crate::hub) fn tell_presence(&mut self, now: Instant, number: u32) {
        let room = &mut self.rooms.all[number];
        room.changes.timer = None;
        let count = room.changes.count;
        let due = [0, 1].map(|of| {
            let (told, last) = room.changes.told[of];
            told < count && last.is_none_or(|last| last + room.every(of) <= now)
        });
        for of in [0, 1] {
            if due[of] {
                room.changes.told[of] = (count, Some(now));
            }
        }
        let mut known = count;
        let wants = |presence| match presence {
            PresenceMode::None => false,
            PresenceMode::Count => due[0],
            PresenceMode::Full => true,
        };
        let watchers = room.members.iter().filter(|(_, state)| wants(state.presence));
        for (session, state) in watchers {
            let Some(rare) = self.sessions.all[*session].rare_if_any() else { continue };
            let Some(memberships) = rare.rooms.as_mut() else { continue };
            let Some(m) = memberships.of(number) else { continue };
            let full = state.presence == PresenceMode::Full;
            let listed = full && room.is_listed();
            if full && m.seen > 0 {
                known = known.min(m.seen);
            }
            let is_new = if listed { m.seen < count } else { m.counted != room.present };
            if is_new && due[usize::from(full)] {
                m.pending = true;
                memberships.list(number);
                self.sessions.wake(*session);
            }
        }
        let changes = &mut room.changes;
        while let Some(oldest) = changes.left.front().copied().filter(|left| left.at <= known) {
            changes.forgotten = oldest.at;
            changes.left.pop_front();
        }
        self.touch(now, number);
    }
}
