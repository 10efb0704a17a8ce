//! The tables of subscriptions: which session wants what.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashTable;

use super::matcher::{At, Matcher};
use super::options::{Quality, SubscribeOptions};
use super::shared::Group;
use super::slab::{NONE, Slab};
use crate::topic;

const SESSION_BITS: u32 = 24;
/// Two bits.
const QUALITY: u32 = 24;
const NO_LOCAL: u32 = 1 << 26;
const LANE: u32 = 1 << 27;
const RETAIN: u32 = 1 << 28;
const BY_ID: u32 = 1 << 29;
const CATCHING: u32 = 1 << 30;

/// What a fan-out needs to know of a subscription: 16 octets, in a row with the others of its
/// filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) sid: u64,
    /// The session's number, and flags above it.
    session: u32,
    /// The subscription's number.
    pub(super) sub: u32,
}

impl Target {
    #[inline]
    pub(super) fn session(self) -> u32 {
        self.session & ((1 << SESSION_BITS) - 1)
    }
    #[inline]
    pub(super) const fn quality(self) -> Quality {
        Quality::from_number((self.session >> QUALITY & 3) as u8)
    }
    #[inline]
    pub(super) const fn reliable(self) -> bool {
        self.quality().is_reliable()
    }
    /// Whether deliveries say that a message was published to be retained.
    #[inline]
    pub(super) const fn retain_as_published(self) -> bool {
        self.session & RETAIN != 0
    }
    /// Whether its session gets one delivery for all its subscriptions that match.
    #[inline]
    pub(super) const fn by_id(self) -> bool {
        self.session & BY_ID != 0
    }
    #[inline]
    pub(super) fn no_local(self) -> bool {
        self.session & NO_LOCAL != 0
    }
    /// Whether it has a lane, or is that of a room's member that catches up.
    #[inline]
    pub(super) fn is_special(self) -> bool {
        self.session & (LANE | CATCHING) != 0
    }
    /// Whether its messages are read from the history by the member of a room.
    #[inline]
    pub(super) fn is_catching(self) -> bool {
        self.session & CATCHING != 0
    }
}

/// Whose a subscription is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) session: u32,
    pub(super) attached: bool,
    /// Gets one delivery for all its subscriptions that match.
    pub(super) by_id: bool,
}

impl Holder {
    fn flags(self, options: &SubscribeOptions, lane: u32) -> u32 {
        let mut flags = self.session | u32::from(options.quality.number()) << QUALITY;
        for (is, flag) in [
            (options.no_local, NO_LOCAL),
            (lane != NONE, LANE),
            (options.retain_as_published, RETAIN),
            (self.by_id, BY_ID),
        ] {
            flags |= if is { flag } else { 0 };
        }
        flags
    }
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Sub {
    pub(super) sid: u64,
    pub(super) session: u32,
    pub(super) filter: u32,
    /// Its lane in the session, where it has a credit of its own.
    pub(super) lane: u32,
    /// Its group, where it is shared.
    pub(super) group: u32,
    /// Where its target is in its list.
    position: u32,
    pub(super) serve: bool,
}

impl Default for Sub {
    fn default() -> Self {
        Self { sid: 0, session: NONE, filter: NONE, lane: NONE, group: NONE, position: 0, serve: false }
    }
}

/// Most filters have one subscriber: no memory of its own for that.
#[derive(Debug)]
enum Targets {
    One(Target),
    Many(Vec<Target>),
}

impl Default for Targets {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Targets {
    fn get_mut(&mut self, at: usize) -> Option<&mut Target> {
        match self {
            Self::One(target) => Some(target).filter(|_| at == 0),
            Self::Many(targets) => targets.get_mut(at),
        }
    }

    #[inline]
    fn as_slice(&self) -> &[Target] {
        match self {
            Self::One(target) => core::slice::from_ref(target),
            Self::Many(targets) => targets,
        }
    }

    fn push(&mut self, target: Target) {
        match self {
            Self::Many(targets) if targets.capacity() == 0 => *self = Self::One(target),
            Self::Many(targets) => targets.push(target),
            Self::One(first) => *self = Self::Many(Vec::from([*first, target])),
        }
    }

    fn swap_remove(&mut self, at: usize) {
        match self {
            Self::One(_) => *self = Self::default(),
            Self::Many(targets) => {
                targets.swap_remove(at);
                if targets.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }
}

/// What few filters have.
#[derive(Debug, Default)]
struct Extra {
    responders: Vec<Target>,
    groups: Vec<u32>,
}

/// A filter and who wants it.
#[derive(Debug, Default)]
pub(super) struct FilterEntry {
    targets: Targets,
    extra: Option<Box<Extra>>,
    at: Option<At>,
}

impl FilterEntry {
    /// The subscriptions that each get every message.
    #[inline]
    pub(super) fn targets(&self) -> &[Target] {
        self.targets.as_slice()
    }

    /// The groups, for messages and for requests, of which one member each gets it.
    #[inline]
    pub(super) fn groups(&self) -> &[u32] {
        self.extra.as_ref().map_or(&[], |extra| &extra.groups)
    }

    /// The subscriptions that each may get a request.
    pub(super) fn responders(&self) -> &[Target] {
        self.extra.as_ref().map_or(&[], |extra| &extra.responders)
    }

    /// Where its text is; nothing in a freed place.
    pub(super) const fn at(&self) -> Option<At> {
        self.at
    }

    /// Whether it has no wildcard.
    pub(super) const fn is_exact(&self) -> bool {
        matches!(self.at, Some(At::Exact(_)))
    }

    fn is_unused(&self) -> bool {
        let extra = self.extra.as_ref();
        self.targets().is_empty() && extra.is_none_or(|e| e.responders.is_empty() && e.groups.is_empty())
    }
}

/// Everything about subscriptions that is not a queue.
#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) matcher: Matcher,
    pub(super) filters: Slab<FilterEntry>,
    pub(super) groups: Slab<Group>,
    pub(super) subs: Slab<Sub>,
    group_names: HashTable<u32>,
    hasher: RandomState,
}

impl Subscriptions {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            matcher: Matcher::new(hasher.clone()),
            filters: Slab::default(),
            groups: Slab::default(),
            subs: Slab::default(),
            group_names: HashTable::new(),
            hasher,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.subs.len()
    }

    #[inline]
    pub(super) fn get(&self, sub: u32) -> &Sub {
        &self.subs[sub]
    }

    /// The number of `filter`'s entry, made where it is new.
    fn filter(&mut self, filter: &topic::Filter<'_>) -> u32 {
        let (at, number) = self.matcher.place(filter);
        if number != NONE {
            return number;
        }
        let number = self.filters.insert(FilterEntry { at: Some(at), ..FilterEntry::default() });
        self.matcher.set(at, number);
        number
    }

    /// Adds a subscription of a session and returns its number.
    pub(super) fn add(
        &mut self,
        holder: Holder,
        sid: u64,
        filter: &topic::Filter<'_>,
        options: &SubscribeOptions,
        lane: u32,
    ) -> u32 {
        let session = holder.session;
        let number = self.filter(filter);
        let group = filter.group.map_or(NONE, |name| self.group(number, name, options.serve));
        let sub = Sub { sid, session, filter: number, lane, group, position: 0, serve: options.serve };
        let sub = self.subs.insert(sub);
        self.link(Target { sid, session: holder.flags(options, lane), sub }, holder.attached);
        sub
    }

    /// Gives a subscription other options, and another id; it keeps its filter and its group.
    pub(super) fn change(&mut self, sub: u32, holder: Holder, sid: u64, options: &SubscribeOptions) {
        self.unlink(sub);
        self.subs[sub].sid = sid;
        let lane = self.subs[sub].lane;
        self.link(Target { sid, session: holder.flags(options, lane), sub }, holder.attached);
    }

    /// The subscription of a session to messages of this filter, among those that `own` lists: the
    /// shorter way to it is gone.
    pub(super) fn of_session(
        &mut self,
        session: u32,
        own: &[(u64, u32)],
        filter: &topic::Filter<'_>,
    ) -> Option<u32> {
        let (at, number) = self.matcher.place(filter);
        if number == NONE {
            self.matcher.remove(at);
            return None;
        }
        let subs = &self.subs;
        let group_of = |sub: &Sub| (sub.group != NONE).then(|| &*self.groups[sub.group].name);
        let is = |sub: &u32| {
            let sub = &subs[*sub];
            sub.filter == number && sub.session == session && !sub.serve && group_of(sub) == filter.group
        };
        let targets = self.filters[number].targets();
        if filter.group.is_none() && targets.len() < own.len() {
            return targets.iter().map(|t| t.sub).find(is);
        }
        own.iter().map(|(_, sub)| *sub).find(is)
    }

    /// Removes a subscription and, with the last one, its group and filter.
    pub(super) fn remove(&mut self, sub: u32) -> Sub {
        self.unlink(sub);
        let sub = self.subs.remove(sub);
        if sub.group != NONE && self.groups[sub.group].members.is_empty() {
            self.remove_group(sub.group);
        }
        if self.filters[sub.filter].is_unused()
            && let Some(at) = self.filters.remove(sub.filter).at
        {
            self.matcher.remove(at);
        }
        sub
    }

    /// Whether subscribing to `filter` as `serve` would go to the list that `sub` is in.
    pub(super) fn is_same(&mut self, sub: u32, filter: &topic::Filter<'_>, serve: bool) -> bool {
        let (at, number) = self.matcher.place(filter);
        if number == NONE {
            self.matcher.remove(at);
            return false;
        }
        let sub = &self.subs[sub];
        let group = (sub.group != NONE).then(|| &*self.groups[sub.group].name);
        sub.filter == number && sub.serve == serve && group == filter.group
    }

    /// A session was attached or detached: its shared subscriptions move within their groups.
    pub(super) fn set_attached(&mut self, sub: u32, attached: bool) {
        let Sub { group, position, .. } = self.subs[sub];
        if group == NONE {
            return;
        }
        let target = self.groups[group].members[position as usize];
        if ((position as usize) < self.groups[group].attached) != attached {
            self.unlink(sub);
            self.link(target, attached);
        }
    }

    /// Whether messages for this subscription of a room's member are queued, or read from the
    /// history.
    pub(super) fn set_catching(&mut self, sub: u32, catching: bool) {
        let Sub { filter, position, .. } = self.subs[sub];
        if let Some(target) = self.filters[filter].targets.get_mut(position as usize) {
            target.session = target.session & !CATCHING | if catching { CATCHING } else { 0 };
        }
    }

    fn link(&mut self, target: Target, attached: bool) {
        let Self { filters, groups, subs, .. } = self;
        let Sub { filter, group, serve, .. } = subs[target.sub];
        let position = if group != NONE {
            let group = &mut groups[group];
            group.members.push(target);
            let mut at = group.members.len() - 1;
            if attached {
                group.members.swap(at, group.attached);
                subs[group.members[at].sub].position = at as u32;
                at = group.attached;
                group.attached += 1;
            }
            at
        } else if serve {
            let responders = &mut filters[filter].extra.get_or_insert_default().responders;
            responders.push(target);
            responders.len() - 1
        } else {
            filters[filter].targets.push(target);
            filters[filter].targets().len() - 1
        };
        subs[target.sub].position = position as u32;
    }

    fn unlink(&mut self, sub: u32) {
        let Self { filters, groups, subs, .. } = self;
        let Sub { filter, group, serve, position, .. } = subs[sub];
        let mut at = position as usize;
        let moved = if group != NONE {
            let group = &mut groups[group];
            if at < group.attached {
                group.attached -= 1;
                group.members.swap(at, group.attached);
                subs[group.members[at].sub].position = at as u32;
                at = group.attached;
            }
            group.members.swap_remove(at);
            group.members.get(at)
        } else if serve {
            let responders = &mut filters[filter].extra.get_or_insert_default().responders;
            responders.swap_remove(at);
            responders.get(at)
        } else {
            filters[filter].targets.swap_remove(at);
            filters[filter].targets().get(at)
        };
        if let Some(moved) = moved {
            subs[moved.sub].position = at as u32;
        }
    }

    /// The group of this name on a filter without wildcards.
    pub(super) fn find_group(&self, filter: &str, name: &str) -> Option<u32> {
        let filter = self.matcher.exact(filter.as_bytes())?;
        let list = self.filters[filter].groups();
        list.iter().copied().find(|g| &*self.groups[*g].name == name)
    }

    /// What a subscription is in its list.
    pub(super) fn target(&self, sub: u32) -> Option<Target> {
        let Sub { filter, group, serve, position, .. } = self.subs[sub];
        let list = match (group, serve) {
            (NONE, false) => self.filters[filter].targets(),
            (NONE, true) => self.filters[filter].responders(),
            (group, _) => &self.groups[group].members[..],
        };
        list.get(position as usize).copied()
    }

    /// How many subscriptions have a filter.
    pub(super) fn subscribers(&self, filter: u32) -> usize {
        let filter = &self.filters[filter];
        let shared: usize = filter.groups().iter().map(|group| self.groups[*group].members.len()).sum();
        filter.targets().len() + filter.responders().len() + shared
    }

    /// The filter of a subscription that is in a group of this name, where it has no wildcards.
    pub(super) fn queue_of(&self, sub: u32, group: &str) -> Option<Box<str>> {
        let sub = &self.subs[sub];
        if sub.group == NONE || &*self.groups[sub.group].name != group {
            return None;
        }
        self.matcher.text(self.filters[sub.filter].at?).map(Into::into)
    }

    fn group(&mut self, filter: u32, name: &str, serve: bool) -> u32 {
        let Self { groups, group_names, hasher, filters, .. } = self;
        let hash = hasher.hash_one((filter, name, serve));
        let is =
            |g: &u32| groups[*g].filter == filter && &*groups[*g].name == name && groups[*g].serve == serve;
        if let Some(group) = group_names.find(hash, is) {
            return *group;
        }
        let list = &mut filters[filter].extra.get_or_insert_default().groups;
        let position = list.len();
        let group = groups.insert(Group::new(name, filter, serve, position));
        list.push(group);
        let rehash = |g: &u32| hasher.hash_one((groups[*g].filter, &*groups[*g].name, groups[*g].serve));
        group_names.insert_unique(hash, group, rehash);
        group
    }

    fn remove_group(&mut self, number: u32) {
        let group = self.groups.remove(number);
        let hash = self.hasher.hash_one((group.filter, &*group.name, group.serve));
        if let Ok(entry) = self.group_names.find_entry(hash, |g| *g == number) {
            entry.remove();
        }
        if let Some(extra) = &mut self.filters[group.filter].extra {
            extra.groups.swap_remove(group.position);
            if let Some(moved) = extra.groups.get(group.position) {
                self.groups[*moved].position = group.position;
            }
        }
    }

    /// Checks that every target and its subscription point at each other.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut seen = 0;
        for (number, sub) in self.subs.places().filter(|(_, sub)| sub.session != NONE) {
            let list = match (sub.group, sub.serve) {
                (NONE, false) => self.filters[sub.filter].targets(),
                (NONE, true) => self.filters[sub.filter].responders(),
                (group, _) => &self.groups[group].members[..],
            };
            let target = list.get(sub.position as usize).ok_or("subscription: its target is missing")?;
            if target.sub != number || target.sid != sub.sid || target.session() != sub.session {
                return Err("subscription: its target is another's");
            }
            seen += 1;
        }
        if seen != self.subs.len() {
            return Err("subscriptions: lost count");
        }
        self.matcher.check()
    }
}
