//! The tables of rooms: a room's members, and a session's rooms.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashMap;

use super::super::names::Names;
use super::super::session::Session;
use super::super::slab::Slab;
use super::super::timers::Timer;
use super::options::PresenceMode;
use crate::flow::rate::Rate;
use crate::time::Instant;

/// A room that has members.
#[derive(Debug, Default)]
pub(in crate::hub) struct Room {
    pub(super) name: Box<str>,
    /// Tells it from another that was in its place.
    pub(super) serial: u64,
    /// Which of the options it follows.
    pub(super) rule: usize,
    /// Its topic's number in the histories.
    pub(super) topic: u32,
    /// By their sessions.
    pub(super) members: BTreeMap<u32, State>,
    /// How many of them are there, or were within the grace time.
    pub(super) present: u32,
    /// Octets that all of them show, their users included.
    pub(super) octets: usize,
    pub(super) rate: Option<Rate>,
    pub(super) changes: Changes,
}

/// What has changed about who is in a room, and who wants to know.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// How many there were, from 1 on.
    pub(super) count: u64,
    /// Up to which change members were last told, and when: of the number alone, and of all.
    pub(super) told: [(u64, Option<Instant>); 2],
    /// How many want to know the number alone, and all.
    pub(super) watchers: [u32; 2],
    /// When they are told next.
    pub(super) timer: Option<(Timer, Instant)>,
    /// Who left, oldest first.
    pub(super) left: VecDeque<Left>,
    /// What left up to this change is not known any more.
    pub(super) forgotten: u64,
}

/// A member that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// With which change.
    pub(super) at: u64,
    /// With which change it had come.
    pub(super) joined: u64,
    pub(super) member: u64,
}

/// A member, as its room knows it.
#[derive(Debug)]
pub(super) struct State {
    /// Its name.
    pub(super) member: u64,
    pub(super) data: Box<[u8]>,
    pub(super) presence: PresenceMode,
    /// It is there, or was within the grace time.
    pub(super) present: bool,
    /// With which changes it came, and changed last.
    pub(super) joined: u64,
    pub(super) changed: u64,
}

/// A member, as its session knows it.
#[derive(Debug)]
pub(in crate::hub) struct Membership {
    pub(super) room: u32,
    pub(in crate::hub) sid: u64,
    /// The next offset to hand out, while it catches up.
    pub(super) next: u64,
    /// The newest offset when it joined: what is up to it is of the past.
    pub(super) until: u64,
    /// Messages are not queued for it: it reads them from the history.
    pub(in crate::hub) catching: bool,
    /// Its credit is used up: it goes on when there is more.
    pub(super) stalled: bool,
    /// It is in the list of those that have something to be handed out.
    pub(super) listed: bool,
    /// That it has joined is to be handed out, behind what is of the past.
    pub(super) tell: bool,
    pub(super) recovered: bool,
    /// A change of presence is to be handed out.
    pub(super) pending: bool,
    /// The last change of presence that it knows; 0: none of all.
    pub(super) seen: u64,
    /// The number of members that it knows.
    pub(super) counted: u32,
    pub(super) rate: Option<Rate>,
}

/// The rooms of a session.
#[derive(Debug, Default)]
pub(in crate::hub) struct Memberships {
    /// In the order of the rooms' numbers.
    pub(in crate::hub) list: Vec<Membership>,
    /// Rooms of which there is something to hand out.
    pub(in crate::hub) due: VecDeque<u32>,
    /// The session is detached, and its members are there for a while.
    pub(in crate::hub) grace: Option<Timer>,
}

impl Memberships {
    pub(super) fn find(&self, room: u32) -> Result<usize, usize> {
        self.list.binary_search_by_key(&room, |m| m.room)
    }

    pub(in crate::hub) fn of(&mut self, room: u32) -> Option<&mut Membership> {
        self.find(room).ok().map(|at| &mut self.list[at])
    }

    /// The room that this subscription is of.
    pub(in crate::hub) fn room_of(&self, sid: u64) -> Option<u32> {
        self.list.iter().find(|m| m.sid == sid).map(|m| m.room)
    }

    /// Lists a room of which there is something to hand out.
    pub(super) fn list(&mut self, room: u32) {
        if let Ok(at) = self.find(room)
            && !core::mem::replace(&mut self.list[at].listed, true)
        {
            self.due.push_back(room);
        }
    }
}

/// All rooms that have members.
#[derive(Debug)]
pub(in crate::hub) struct Rooms {
    pub(super) all: Slab<Room>,
    pub(super) names: HashMap<Box<str>, u32, RandomState>,
    pub(super) member_names: Names,
    serial: u64,
    /// Members of all rooms.
    pub(in crate::hub) members: u64,
}

impl Rooms {
    pub(in crate::hub) fn new(hasher: RandomState, member_names: Names) -> Self {
        Self {
            all: Slab::default(),
            names: HashMap::with_hasher(hasher),
            member_names,
            serial: 0,
            members: 0,
        }
    }

    /// How many rooms have members.
    pub(in crate::hub) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// How many members are in a room, and which of the options it follows.
    pub(in crate::hub) fn present(&self, name: &str) -> Option<(u32, usize)> {
        let room = &self.all[self.find(name)?];
        Some((room.present, room.rule))
    }

    /// The members of a room by their sessions, each with the subscription that it has for it.
    pub(in crate::hub) fn subscriptions<'a>(
        &'a self,
        name: &str,
        sessions: &'a Slab<Session>,
    ) -> impl Iterator<Item = (u32, u64)> + use<'a> {
        let number = self.find(name);
        let members = number.into_iter().flat_map(|number| self.all[number].members.keys());
        members.filter_map(move |session| {
            let own = sessions[*session].rare().rooms.as_ref()?;
            let at = own.find(number?).ok()?;
            Some((*session, own.list[at].sid))
        })
    }

    /// A room's number, and a new one where nobody was in it.
    pub(super) fn add(&mut self, name: &str, rule: usize, topic: u32, rate: Option<Rate>) -> u32 {
        self.serial += 1;
        let room = Room { name: name.into(), serial: self.serial, rule, topic, rate, ..Room::default() };
        let number = self.all.insert(room);
        self.names.insert(name.into(), number);
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Room {
        let room = self.all.remove(number);
        self.names.remove(&room.name);
        room
    }

    /// How many timers run for rooms, for the invariants.
    pub(in crate::hub) fn timers(&self) -> usize {
        self.all.places().filter(|(_, room)| room.changes.timer.is_some()).count()
    }
}

impl Rooms {
    /// Checks the tables of rooms and those of sessions against each other, for the hub's invariants.
    pub(in crate::hub) fn check(&self, sessions: &Slab<Session>) -> Result<(), &'static str> {
        let mut members = 0;
        for (number, room) in self.all.places().filter(|(_, room)| !room.name.is_empty()) {
            let watch = |mode| room.members.values().filter(|state| state.presence == mode).count() as u32;
            if room.changes.watchers != [watch(PresenceMode::Count), watch(PresenceMode::Full)] {
                return Err("room: lost count of those who want to know");
            }
            if room.members.values().filter(|state| state.present).count() != room.present as usize {
                return Err("room: lost count of those who are there");
            }
            let user = |session: &u32| sessions[*session].aside.owner.user().len();
            let shows = room.members.iter().map(|(session, state)| user(session) + state.data.len());
            if shows.sum::<usize>() != room.octets {
                return Err("room: lost count of the octets that members show");
            }
            let knows = |session: &u32| {
                let own = sessions[*session].rare().rooms.as_ref();
                own.is_some_and(|own| own.find(number).is_ok())
            };
            if room.members.is_empty() || !room.members.keys().all(knows) {
                return Err("room: a member does not know of it");
            }
            members += room.members.len();
        }
        let rooms = || sessions.places().filter_map(|(_, s)| s.rare().rooms.as_ref());
        if members as u64 != self.members || rooms().map(|own| own.list.len()).sum::<usize>() != members {
            return Err("rooms: lost count of members");
        }
        let listed = |own: &Memberships| {
            own.due.len() == own.list.iter().filter(|m| m.listed).count()
                && own.list.is_sorted_by_key(|m| m.room)
        };
        if rooms().all(|own| listed(own)) { Ok(()) } else { Err("rooms: what is due is not listed") }
    }
}
