//! A session's state: who it is, what it subscribed to, what waits for it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use ahash::RandomState;
use hashbrown::HashSet;

use super::delivery::SessionKey;
use super::keep::Backlog;
use super::options::{Policy, Quality, SessionOptions};
use super::owner::{Owner, Passed};
use super::rooms::{Memberships, Recent, RoomPolicy};
use super::slab::NONE;
use super::timers::Timer;
use crate::status::Status;

/// Numbers of deliveries go from 0 to this, exclusively: a multiple of the packet identifiers that
/// there are, so that what follows the last also follows it as an identifier.
const NUMBERS: u32 = u32::MAX;
/// So many packet identifiers there are.
const IDS: u32 = 65_535;

const KIND: u32 = 29;

const RETAIN: u8 = 1;
const HELD: u8 = 2;
const SENT: u8 = 4;

/// A delivery in a queue, in 24 octets: the message itself is in the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The subscription's id.
    pub(super) sid: u64,
    /// In the pool; `NONE` once the peer has received it.
    pub(super) message: u32,
    /// The kind in three bits, and the number of what it is of.
    tag: u32,
    /// The number in the session of a delivery that is not at most once.
    pub(super) number: u32,
    pub(super) quality: Quality,
    flags: u8,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Another member of this group could have it instead.
    Group(u32),
    /// This leg of a request.
    Request(u32),
    /// Several subscriptions of the session match: the others are listed there.
    Overlap(u32),
    /// This task of a queue.
    Task(u32),
}

impl Entry {
    #[inline]
    pub(super) const fn new(sid: u64, message: u32, quality: Quality) -> Self {
        Self { sid, message, tag: 0, number: NONE, quality, flags: 0 }
    }

    pub(super) const fn of_group(self, group: u32) -> Self {
        Self { tag: 1 << KIND | group, ..self }
    }

    pub(super) const fn of_request(self, leg: u32) -> Self {
        Self { tag: 2 << KIND | leg, ..self }
    }

    pub(super) const fn of_overlap(self, list: u32) -> Self {
        Self { tag: 3 << KIND | list, ..self }
    }

    pub(super) const fn of_task(self, task: u32) -> Self {
        Self { tag: 4 << KIND | task, ..self }
    }

    pub(super) const fn is_task(self) -> bool {
        self.tag >> KIND == 4
    }

    /// The peer was handed it.
    pub(super) const fn sent(self) -> Self {
        Self { flags: self.flags | SENT, ..self }
    }

    pub(super) const fn is_sent(self) -> bool {
        self.flags & SENT != 0
    }

    pub(super) const fn plain(self) -> Self {
        Self { tag: 0, ..self }
    }

    #[inline]
    pub(super) const fn with_retain(mut self, retain: bool) -> Self {
        self.flags |= if retain { RETAIN } else { 0 };
        self
    }

    /// Must not be handed out before the store has it; or be released, before the store has that.
    pub(super) const fn with_held(mut self, held: bool) -> Self {
        self.flags = if held { self.flags | HELD } else { self.flags & !HELD };
        self
    }

    #[inline]
    pub(super) const fn reliable(self) -> bool {
        self.quality.is_reliable()
    }

    #[inline]
    pub(super) const fn retain(self) -> bool {
        self.flags & RETAIN != 0
    }

    #[inline]
    pub(super) const fn held(self) -> bool {
        self.flags & HELD != 0
    }

    /// MQTT's packet identifier of a delivery that is not at most once: what follows from its
    /// number, so that it is the same over another connection and after a restart.
    #[inline]
    pub(super) const fn id(self) -> u16 {
        if self.reliable() { (self.number % IDS) as u16 + 1 } else { 0 }
    }

    #[inline]
    pub(super) const fn kind(self) -> Kind {
        let number = self.tag & ((1 << KIND) - 1);
        match self.tag >> KIND {
            0 => Kind::Plain,
            1 => Kind::Group(number),
            2 => Kind::Request(number),
            3 => Kind::Overlap(number),
            _ => Kind::Task(number),
        }
    }
}

/// The number after this one.
pub(super) const fn next_number(number: u32) -> u32 {
    if number >= NUMBERS - 1 { 0 } else { number + 1 }
}

/// How far `to` is behind `from`, in the order of numbers.
const fn distance(from: u32, to: u32) -> u32 {
    if to >= from { to - from } else { NUMBERS - from + to }
}

/// Whether `number` is not after `last`, where both are of deliveries that are kept.
pub(super) const fn is_up_to(number: u32, last: u32) -> bool {
    distance(number, last) < NUMBERS / 2
}

/// What is owed about requests; no policy drops it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Response {
        id: u64,
        status: Status,
        more: bool,
        /// In the pool, or `NONE` for an empty one.
        message: u32,
    },
    Cancel {
        id: u64,
    },
}

/// Whether the adapter knows that there is something to hand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wake {
    /// There is nothing.
    #[default]
    Idle,
    /// It is in the list of ready sessions.
    Listed,
    /// The adapter took it from the list and has not drained it yet.
    Told,
}

/// Where a lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has nothing, or no credit.
    #[default]
    Out,
    /// It waits for its turn.
    Ring,
    /// Its next delivery waits until the peer has acknowledged others.
    Parked,
}

/// What bounds the queue of a room's member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) policy: RoomPolicy,
    /// Deliveries at most.
    pub(super) most: u32,
}

/// The queue of a subscription with a credit of its own, or of a room that says what a member may
/// leave waiting.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) live: bool,
    pub(super) sid: u64,
    pub(super) queue: VecDeque<Entry>,
    pub(super) used: u64,
    pub(super) limit: u64,
    pub(super) initial: u64,
    pub(super) turn: Turn,
    pub(super) bound: Option<Bound>,
}

impl Lane {
    /// Whether publishers are to be held: more than so many quarters of its bound wait.
    fn is_above(&self, quarters: u64) -> bool {
        let slows = self.bound.filter(|bound| bound.policy == RoomPolicy::SlowPublisher);
        slows.is_some_and(|bound| self.queue.len() as u64 * 4 > u64::from(bound.most) * quarters)
    }

    pub(super) fn may_send(&self) -> bool {
        !self.queue.is_empty() && self.used < self.limit
    }

    fn is_stalled(&self) -> bool {
        !self.queue.is_empty() && self.used >= self.limit
    }
}

/// All lanes of a session, by turns.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) all: Vec<Lane>,
    pub(super) ring: VecDeque<u32>,
    pub(super) parked: Vec<u32>,
}

impl Lanes {
    /// Puts a lane that may send into the ring.
    pub(super) fn enlist(&mut self, lane: u32) {
        let l = &mut self.all[lane as usize];
        if l.turn == Turn::Out && l.may_send() {
            l.turn = Turn::Ring;
            self.ring.push_back(lane);
        }
    }

    /// The peer acknowledged: parked lanes are in the ring again.
    pub(super) fn unpark(&mut self) {
        for lane in self.parked.drain(..) {
            self.all[lane as usize].turn = Turn::Ring;
            self.ring.push_back(lane);
        }
    }

    /// Takes a lane out of ring and parking place.
    pub(super) fn delist(&mut self, lane: u32) {
        match self.all[lane as usize].turn {
            Turn::Out => {}
            Turn::Ring => self.ring.retain(|l| *l != lane),
            Turn::Parked => self.parked.retain(|l| *l != lane),
        }
        self.all[lane as usize].turn = Turn::Out;
    }
}

/// De-duplication ids that are remembered: keyed hashes of 64 bits, so that one of 2^54 new ids
/// may be taken for a known one.
#[derive(Debug)]
pub(super) struct Dedup {
    order: VecDeque<u64>,
    known: HashSet<u64, RandomState>,
}

impl Dedup {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { order: VecDeque::new(), known: HashSet::with_hasher(hasher) }
    }

    /// Whether `id` is remembered.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.known.contains(&id)
    }

    /// Remembers `id`, and says whether it is new.
    pub(super) fn is_new(&mut self, id: u64, window: usize) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > window.max(1)
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// What is published when the session's connection is gone.
#[derive(Debug)]
pub(super) struct Will {
    /// In the pool.
    pub(super) message: u32,
    pub(super) delay: Duration,
    /// Its delay runs.
    pub(super) timer: Option<Timer>,
}

/// A session. What a delivery touches comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Session {
    pub(super) live: bool,
    pub(super) attached: bool,
    pub(super) wake: Wake,
    pub(super) policy: Policy,
    pub(super) generation: u32,
    /// Deliveries not handed out or not acknowledged, lanes included.
    pub(super) queued: u32,
    pub(super) max_messages: u32,
    /// Octets of their bodies.
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    /// How many of `unacked` this connection has got.
    pub(super) again: u32,
    /// How many it may have got at most.
    pub(super) window: u32,
    /// What was not handed out, of subscriptions without a credit of their own.
    pub(super) main: VecDeque<Entry>,
    /// What was handed out at least once, in the order of its numbers from `acked` + 1 on.
    pub(super) unacked: VecDeque<Entry>,
    pub(super) lanes: Option<Box<Lanes>>,
    pub(super) acked: u64,
    /// Handing out again waits for a subscription's credit.
    pub(super) again_stalled: bool,
    /// The adapter is to close the connection.
    pub(super) disconnect: bool,
    /// Deliveries were dropped since the queue was last drained; and the adapter is to be told.
    pub(super) overflows: bool,
    pub(super) tell_overflow: bool,
    /// The adapter knows this publisher to be held.
    pub(super) told_held: bool,
    /// There is an entry for this session among the notices.
    pub(super) noticed: bool,
    /// Deliveries are acknowledged one by one, by their ids, and those for overlapping
    /// subscriptions are one.
    pub(super) by_id: bool,
    /// It asks and answers by messages.
    pub(super) by_messages: bool,
    /// How many sessions hold this publisher.
    pub(super) held_by: u32,
    /// The number of the next delivery that is not at most once.
    pub(super) next_number: u32,
    /// What the store knows it by, from its beginning to its end; 0: not at all.
    pub(super) stored: u64,
    /// Where it may publish to, as far as it was asked last.
    pub(super) passed: Passed,
    pub(super) aside: Aside,
    rare: Option<Box<Rare>>,
}

/// What every session has and no delivery touches, in a block of its own: so those of many sessions
/// are near each other.
#[derive(Debug, Default)]
pub(super) struct Aside(Option<Box<Standing>>);

/// Who a session is, what it subscribed to, and when it ends.
#[derive(Debug)]
pub(super) struct Standing {
    /// Subscriptions: id and number, ordered.
    pub(super) subs: Vec<(u64, u32)>,
    pub(super) owner: Owner,
    pub(super) expiry: Duration,
    /// How many subscriptions were made by their filter: their ids are never used twice.
    pub(super) next_sub: u32,
    /// Tasks of queues that it has, and how many queues it is a consumer of.
    pub(super) tasks: u32,
    pub(super) queues: u32,
    /// The actions of which a denial was told, one bit each.
    pub(super) denied: u8,
    pub(super) timer: Option<Timer>,
}

impl Standing {
    const fn of(owner: Owner, expiry: Duration) -> Self {
        Self { subs: Vec::new(), owner, expiry, next_sub: 0, tasks: 0, queues: 0, denied: 0, timer: None }
    }
}

/// Of a freed place.
static NOBODY: Standing = Standing::of(Owner::NONE, Duration::ZERO);

impl Deref for Aside {
    type Target = Standing;

    fn deref(&self) -> &Standing {
        self.0.as_deref().unwrap_or(&NOBODY)
    }
}

impl DerefMut for Aside {
    fn deref_mut(&mut self) -> &mut Standing {
        self.0.get_or_insert_with(|| Box::new(Standing::of(Owner::NONE, Duration::ZERO)))
    }
}

/// What few sessions have, so that the many that are idle do not pay for it.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What is owed about requests.
    pub(super) control: VecDeque<Control>,
    /// Octets of the answers in it.
    pub(super) owed: u64,
    /// Deliveries for it that were dropped.
    pub(super) dropped: u64,
    /// Requests of this session in flight.
    pub(super) asked: Vec<u32>,
    /// Legs of requests that this session is to answer.
    pub(super) serving: Vec<u32>,
    /// Retained messages that subscriptions begin with and that are not queued yet.
    pub(super) backlogs: VecDeque<Backlog>,
    /// The publishers that this session holds.
    pub(super) holding: Vec<SessionKey>,
    /// The peer's ids of messages exactly once that are not settled, ordered.
    pub(super) received: Vec<u16>,
    pub(super) will: Option<Will>,
    /// What its dialect knows it by, where the store said so.
    pub(super) name: Option<Box<str>>,
    pub(super) dedup: Option<Dedup>,
    /// The rooms that it is in.
    pub(super) rooms: Option<Box<Memberships>>,
    /// What became of messages that it sent with keys.
    pub(super) recent: Option<Box<Recent>>,
}

static NOTHING: Rare = Rare {
    control: VecDeque::new(),
    owed: 0,
    dropped: 0,
    asked: Vec::new(),
    serving: Vec::new(),
    backlogs: VecDeque::new(),
    holding: Vec::new(),
    received: Vec::new(),
    will: None,
    name: None,
    dedup: None,
    rooms: None,
    recent: None,
};

impl Session {
    /// What few sessions have.
    #[inline]
    pub(super) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// The same, to change what there is.
    #[inline]
    pub(super) fn rare_if_any(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// The same, to add to it.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn new(options: &SessionOptions<'_>, generation: u32, expiry: Duration) -> Self {
        Self {
            live: true,
            attached: true,
            policy: options.policy,
            generation,
            max_messages: options.max_messages.max(1),
            max_bytes: options.max_bytes,
            window: options.in_flight.max(1),
            by_id: options.by_id,
            aside: Aside(Some(Box::new(Standing::of(Owner::new(options), expiry)))),
            ..Self::default()
        }
    }

    /// Whether a delivery of `size` octets exceeds the bounds.
    #[inline]
    pub(super) fn is_full(&self, size: u32) -> bool {
        self.exceeds(size, 1)
    }

    #[inline]
    pub(super) fn exceeds(&self, size: u32, times: u32) -> bool {
        self.queued >= self.max_messages.saturating_mul(times)
            || (self.bytes + u64::from(size) > self.max_bytes.saturating_mul(u64::from(times))
                && self.queued > 0)
    }

    /// Whether half of its bounds is used: what nobody needs late is dropped.
    #[inline]
    pub(super) fn is_half_full(&self) -> bool {
        self.queued > self.max_messages / 2 || self.bytes > self.max_bytes / 2
    }

    /// Whether an answer of `size` octets exceeds the bounds, which count for answers once more.
    pub(super) fn owes_too_much(&self, size: u32) -> bool {
        let Rare { control, owed, .. } = self.rare();
        control.len() >= self.max_messages as usize || (owed + u64::from(size) > self.max_bytes && *owed > 0)
    }

    /// Whether the queue is above three quarters of its bounds.
    pub(super) fn is_high(&self) -> bool {
        u64::from(self.queued) * 4 > u64::from(self.max_messages) * 3 || self.bytes > self.max_bytes / 4 * 3
    }

    /// Whether the queue is below half of its bounds.
    pub(super) fn is_low(&self) -> bool {
        self.queued <= self.max_messages / 2
            && self.bytes <= self.max_bytes / 2
            && self.lanes.as_ref().is_none_or(|lanes| !lanes.all.iter().any(|lane| lane.is_above(2)))
    }

    /// Whether a shared group should choose this member.
    pub(super) fn has_room(&self, size: u32) -> bool {
        self.attached && !self.is_full(size) && !(self.policy == Policy::SlowPublisher && self.is_high())
    }

    /// Whether so much waits in a lane that publishers are to be held.
    pub(super) fn is_lane_high(&self, lane: u32) -> bool {
        self.lanes.as_ref().is_some_and(|lanes| lanes.all[lane as usize].is_above(3))
    }

    #[inline]
    pub(super) fn window_open(&self) -> bool {
        self.again < self.window
    }

    /// Whether this delivery, the first of a queue, may be handed out now.
    #[inline]
    pub(super) fn may_send(&self, entry: Entry) -> bool {
        !entry.reliable() || (self.window_open() && !entry.held() && self.has_id(entry))
    }

    /// Whether this delivery, which an earlier connection was handed, may be handed out now.
    #[inline]
    pub(super) fn may_repeat(&self, entry: Entry) -> bool {
        self.window_open() && !entry.held()
    }

    /// Whether the delivery's id is not that of an older one.
    #[inline]
    fn has_id(&self, entry: Entry) -> bool {
        !self.by_id || self.unacked.front().is_none_or(|first| distance(first.number, entry.number) < IDS)
    }

    /// The delivery with this number among those that are not acknowledged.
    pub(super) fn unacked_mut(&mut self, number: u32) -> Option<&mut Entry> {
        let first = self.unacked.front()?.number;
        let before = |e: &Entry| distance(first, e.number) < distance(first, number);
        let at = self.unacked.partition_point(before);
        self.unacked.get_mut(at).filter(|e| e.number == number)
    }

    /// Where the delivery with this id is among those that are not acknowledged.
    pub(super) fn find_unacked(&self, id: u16) -> Option<usize> {
        let first = self.unacked.front()?;
        let offset = (u32::from(id) + IDS - u32::from(first.id())) % IDS;
        let at = self.unacked.partition_point(|e| distance(first.number, e.number) < offset);
        self.unacked.get(at).filter(|e| e.id() == id).map(|_| at)
    }

    /// Whether there is something that may go out now.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        if !self.attached {
            return false;
        }
        if self.rare.as_deref().is_some_and(|rare| !rare.control.is_empty()) || self.has_rooms_due() {
            return true;
        }
        if (self.again as usize) < self.unacked.len() {
            return self.may_repeat(self.unacked[self.again as usize]) && !self.again_stalled;
        }
        self.wants_filling()
            || self.main.front().is_some_and(|e| self.may_send(*e))
            || self.lanes.as_ref().is_some_and(|lanes| !lanes.ring.is_empty())
    }

    /// Whether something of a room is to be handed out that is not in the queue.
    #[inline]
    pub(super) fn has_rooms_due(&self) -> bool {
        let rooms = self.rare.as_deref().and_then(|rare| rare.rooms.as_deref());
        rooms.is_some_and(|rooms| !rooms.due.is_empty())
    }

    /// The queue of a lane, or with `NONE` the main one.
    #[inline]
    pub(super) fn queue(&mut self, lane: u32) -> &mut VecDeque<Entry> {
        if lane == NONE {
            return &mut self.main;
        }
        match &mut self.lanes {
            Some(lanes) => &mut lanes.all[lane as usize].queue,
            None => &mut self.main,
        }
    }

    /// The queue from which to drop when there is no room for a delivery to `own`: the longest
    /// lane without credit, so that a stalled subscription costs the others nothing; else its own;
    /// else any.
    pub(super) fn victim(&self, own: u32) -> Option<u32> {
        let lanes = self.lanes.as_ref().map_or(&[][..], |lanes| &lanes.all);
        let longest = |stalled: bool| {
            let of = lanes.iter().enumerate().filter(|(_, l)| l.is_stalled() || !stalled);
            of.max_by_key(|(_, l)| l.queue.len()).filter(|(_, l)| !l.queue.is_empty()).map(|(i, _)| i as u32)
        };
        if let Some(lane) = longest(true) {
            return Some(lane);
        }
        if own != NONE && !lanes[own as usize].queue.is_empty() {
            return Some(own);
        }
        if self.main.is_empty() { longest(false) } else { Some(NONE) }
    }

    /// All that was not handed out.
    pub(super) fn unsent(&self) -> impl Iterator<Item = &Entry> {
        let lanes = self.lanes.iter().flat_map(|lanes| &lanes.all);
        self.main.iter().chain(lanes.flat_map(|lane| &lane.queue))
    }

    /// Takes out of all queues what was not handed out and `wanted` says yes to, in order.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let mut out = Vec::new();
        let mut pass = |queue: &mut VecDeque<Entry>| {
            queue.retain(|entry| {
                let take = wanted(entry);
                if take {
                    out.push(*entry);
                }
                !take
            });
        };
        pass(&mut self.main);
        if let Some(lanes) = &mut self.lanes {
            for lane in &mut lanes.all {
                pass(&mut lane.queue);
            }
            for i in 0..lanes.all.len() {
                if lanes.all[i].queue.is_empty() {
                    lanes.delist(i as u32);
                }
            }
        }
        out
    }

    /// Starts all credits and lanes anew, for a new connection.
    pub(super) fn restart(&mut self) {
        (self.again, self.again_stalled, self.aside.denied) = (0, false, 0);
        if let Some(lanes) = &mut self.lanes {
            lanes.ring.clear();
            lanes.parked.clear();
            for i in 0..lanes.all.len() {
                let lane = &mut lanes.all[i];
                (lane.used, lane.limit, lane.turn) = (0, lane.initial, Turn::Out);
                lanes.enlist(i as u32);
            }
        }
    }

    /// Makes a lane and returns its number.
    pub(super) fn add_lane(&mut self, sid: u64, credit: u64) -> u32 {
        self.add_bounded_lane(sid, credit, None)
    }

    /// Makes a lane with a bound of its own.
    pub(super) fn add_bounded_lane(&mut self, sid: u64, credit: u64, bound: Option<Bound>) -> u32 {
        let lanes = self.lanes.get_or_insert_default();
        let lane = Lane { live: true, sid, limit: credit, initial: credit, bound, ..Lane::default() };
        if let Some(free) = lanes.all.iter().position(|l| !l.live) {
            lanes.all[free] = lane;
            return free as u32;
        }
        lanes.all.push(lane);
        (lanes.all.len() - 1) as u32
    }

    /// Removes an empty lane.
    pub(super) fn remove_lane(&mut self, lane: u32) {
        if let Some(lanes) = &mut self.lanes {
            lanes.delist(lane);
            lanes.all[lane as usize] = Lane::default();
        }
    }

    /// The lane of a subscription, if it has one.
    pub(super) fn lane_of(&mut self, sid: u64) -> Option<&mut Lane> {
        self.lanes.as_mut()?.all.iter_mut().find(|lane| lane.live && lane.sid == sid)
    }

    pub(super) fn lanes_in_use(&self) -> usize {
        self.lanes.as_ref().map_or(0, |lanes| lanes.all.iter().filter(|l| l.live).count())
    }

    /// The number of the subscription `sid`.
    pub(super) fn sub(&self, sid: u64) -> Option<u32> {
        self.aside.subs.binary_search_by_key(&sid, |s| s.0).ok().map(|i| self.aside.subs[i].1)
    }
}
