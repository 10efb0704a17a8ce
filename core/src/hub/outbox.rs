//! All sessions and their queues: offering, handing out, acknowledging.

mod check;
mod overflow;
mod stored;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashSet;

use super::counters::Counters;
use super::delivery::{Delivery, DisconnectReason, Drained, Notice, Refusal, SessionKey, Take};
use super::log::Log;
use super::message::{EMPTY, Message, Place, Pool, varint_octets};
use super::operation::Operation;
use super::options::{Policy, Quality};
use super::queue::Outcome;
use super::request::Calls;
use super::rooms::Tables;
use super::session::{Control, Entry, Kind, Rare, Session, Turn, Wake, next_number};
use super::slab::{NONE, Slab};
use crate::histogram::{SIZES, Sizes};
use crate::time::Instant;
use crate::trace::TraceContext;

/// A queue that once was longer than this gives its memory back when it is empty.
const KEEP: usize = 256;
/// So many publishers at most are held by one session; further ones are bounded by its queue alone.
const HOLDS: usize = 1024;

/// What became of an offered delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Queued,
    /// Queued, and the publisher is to be held.
    High,
    Dropped,
}

/// What became of the first delivery of a queue.
enum Step {
    Taken(u32),
    Refused,
    /// It was dropped: look again.
    Skipped,
    /// It waits for an acknowledgement.
    Window,
    Empty,
}

enum Pending {
    State(SessionKey),
    Expired(SessionKey),
}

impl Control {
    fn message(&self) -> Option<u32> {
        match *self {
            Self::Response { message, .. } if message != NONE => Some(message),
            _ => None,
        }
    }

    fn size(&self, pool: &Pool) -> u64 {
        self.message().map_or(0, |message| u64::from(pool.get(message).size()))
    }

    fn release(&self, pool: &mut Pool) {
        if let Some(message) = self.message() {
            pool.release(message);
        }
    }
}

/// All sessions.
pub(super) struct Sessions {
    pub(super) all: Slab<Session>,
    pub(super) pool: Pool,
    pub(super) counters: Counters,
    /// Of published messages.
    pub(super) sizes: Sizes,
    ready: VecDeque<SessionKey>,
    notices: VecDeque<Pending>,
    /// The traces of what was dropped first of those of whom it is told.
    overflows: Vec<(SessionKey, TraceContext)>,
    /// Legs of requests whose entries were dropped from a queue: the requester is to learn it.
    pub(super) lost: Vec<u32>,
    /// Tasks that left sessions, which, and how.
    pub(super) tasks: Vec<(u32, u32, Outcome)>,
    /// The further subscriptions of deliveries that are for several.
    overlaps: Slab<Box<[u64]>>,
    /// Members of rooms that have caught up: messages are to be queued for them again.
    pub(super) caught_up: Vec<(u32, u64)>,
    /// Who holds whom, as in each session's `holding`.
    holds: HashSet<(SessionKey, SessionKey), RandomState>,
}

impl Sessions {
    pub(super) fn new(hasher: RandomState, log: Log) -> Self {
        Self {
            all: Slab::default(),
            pool: Pool::new(log),
            overlaps: Slab::default(),
            tasks: Vec::new(),
            counters: Counters::default(),
            sizes: Sizes::new(SIZES),
            ready: VecDeque::new(),
            notices: VecDeque::new(),
            overflows: Vec::new(),
            lost: Vec::new(),
            caught_up: Vec::new(),
            holds: HashSet::with_hasher(hasher),
        }
    }

    #[inline]
    pub(super) fn find(&self, key: SessionKey) -> Result<u32, Refusal> {
        match self.all.get(key.index) {
            Some(s) if s.generation == key.generation && s.live => Ok(key.index),
            _ => Err(Refusal::NoSession),
        }
    }

    pub(super) fn key(&self, index: u32) -> SessionKey {
        SessionKey { index, generation: self.all[index].generation }
    }

    /// Queues a delivery of `size` octets for a session, or drops it or another as the session's
    /// policy says. The pool's reference for it is taken here.
    #[inline]
    pub(super) fn offer(&mut self, index: u32, lane: u32, entry: Entry, size: u32) -> Offer {
        let s = &self.all[index];
        if !s.attached && !entry.reliable() {
            self.counters.dropped.detached += 1;
            return Offer::Dropped;
        }
        if lane != NONE && !self.make_room_in(index, lane) {
            return Offer::Dropped;
        }
        let s = &self.all[index];
        if s.is_full(size) && !self.make_room(index, lane, &entry, size) {
            return Offer::Dropped;
        }
        self.put(index, lane, entry, size)
    }

    #[inline]
    pub(super) fn put(&mut self, index: u32, lane: u32, mut entry: Entry, size: u32) -> Offer {
        self.pool.share(entry.message);
        let s = &mut self.all[index];
        if entry.reliable() {
            entry.number = s.next_number;
            s.next_number = next_number(entry.number);
            // A queue keeps its tasks itself.
            if s.stored != 0 && !entry.is_task() {
                entry = self.store(index, entry);
            }
        }
        let s = &mut self.all[index];
        s.queued += 1;
        s.bytes += u64::from(size);
        self.counters.queued += 1;
        self.counters.queued_bytes += u64::from(size);
        self.counters.room_queued_bytes += self.pool.room_octets(entry.message);
        s.queue(lane).push_back(entry);
        if lane != NONE
            && let Some(lanes) = &mut s.lanes
        {
            lanes.enlist(lane);
        }
        let mut high = s.policy == Policy::SlowPublisher && s.attached && s.is_high();
        if lane != NONE {
            high |= s.is_lane_high(lane);
        }
        if s.wake == Wake::Idle {
            self.wake(index);
        }
        if high { Offer::High } else { Offer::Queued }
    }

    /// Keeps the further subscriptions of a delivery.
    pub(super) fn list_overlap(&mut self, others: Box<[u64]>) -> u32 {
        self.overlaps.insert(others)
    }

    /// Forgets them: the delivery was dropped.
    pub(super) fn forget_overlap(&mut self, list: u32) {
        self.overlaps.remove(list);
    }

    /// Lists the session as ready if there is something to hand out.
    #[inline]
    pub(super) fn wake(&mut self, index: u32) {
        let s = &mut self.all[index];
        if s.wake == Wake::Idle && s.is_ready() {
            s.wake = Wake::Listed;
            self.ready.push_back(SessionKey { index, generation: s.generation });
        }
    }

    pub(super) fn poll_ready(&mut self) -> Option<SessionKey> {
        while let Some(key) = self.ready.pop_front() {
            if self.find(key).is_err() {
                continue;
            }
            let s = &mut self.all[key.index];
            s.wake = if s.is_ready() { Wake::Told } else { Wake::Idle };
            if s.wake == Wake::Told {
                return Some(key);
            }
        }
        None
    }

    /// So many deliveries for a session were dropped.
    #[cold]
    pub(super) fn lost_of(&mut self, index: u32, count: u64) {
        if count > 0 {
            self.all[index].rare_mut().dropped += count;
        }
    }

    /// Accounts for an entry that left a queue without being handed out.
    pub(super) fn drop_unsent(&mut self, index: u32, entry: Entry) {
        if let Kind::Request(leg) = entry.kind() {
            self.lost.push(leg);
        }
        self.forget(index, entry);
    }

    /// Accounts for an entry that left the session, its task undone if it is one.
    pub(super) fn forget(&mut self, index: u32, entry: Entry) {
        let outcome = if entry.is_sent() { Outcome::Tried } else { Outcome::Unsent };
        self.leave(index, entry, outcome);
    }

    /// Accounts for an entry that left the session.
    fn leave(&mut self, index: u32, entry: Entry, outcome: Outcome) {
        self.forget_message(index, entry);
        let s = &mut self.all[index];
        s.queued -= 1;
        self.counters.queued -= 1;
        match entry.kind() {
            Kind::Task(task) => {
                s.aside.tasks -= 1;
                return self.tasks.push((task, index, outcome));
            }
            Kind::Overlap(list) => _ = self.overlaps.remove(list),
            _ => {}
        }
        if entry.reliable() && s.stored != 0 {
            let (session, number) = (s.stored, entry.number);
            self.pool.log.push(Operation::Dequeued { session, number });
        }
    }

    /// Accounts for the message of an entry that is not needed any more.
    fn forget_message(&mut self, index: u32, entry: Entry) {
        if entry.message == NONE {
            return;
        }
        let size = u64::from(self.pool.get(entry.message).size());
        self.all[index].bytes -= size;
        self.counters.queued_bytes -= size;
        self.counters.room_queued_bytes -= self.pool.room_octets(entry.message);
        self.pool.release(entry.message);
    }

    /// The peer has received a delivery exactly once: its message is not needed any more. Says
    /// whether there is such a delivery.
    pub(super) fn received(&mut self, index: u32, id: u16) -> bool {
        let Some(at) = self.all[index].find_unacked(id) else { return false };
        let entry = self.all[index].unacked[at];
        if entry.quality != Quality::ExactlyOnce {
            return false;
        }
        if entry.message != NONE {
            self.forget_message(index, entry);
            let key = self.key(index);
            let s = &mut self.all[index];
            s.unacked[at].message = NONE;
            if s.stored != 0 {
                let (session, number) = (s.stored, entry.number);
                // Over another connection, too, the peer must not settle before that is known:
                // after a crash it would be handed the message again, and take it for a new one.
                s.unacked[at] = s.unacked[at].with_held(true);
                self.pool.log.push(Operation::Released { session, number });
                self.pool.log.hold(key, number);
            }
        }
        true
    }

    /// A delivery is settled, `done` or in vain: forgets it. Says whether there is such a delivery.
    pub(super) fn settle(&mut self, index: u32, id: u16, done: bool) -> bool {
        let s = &mut self.all[index];
        let Some(at) = s.find_unacked(id) else { return false };
        let Some(entry) = s.unacked.remove(at) else { return false };
        s.acked += 1;
        s.again -= u32::from((at as u32) < s.again);
        self.leave(index, entry, if done { Outcome::Done } else { Outcome::Tried });
        self.after_ack(index);
        true
    }

    pub(super) fn push_control(&mut self, index: u32, control: Control) {
        let rare = self.all[index].rare_mut();
        rare.owed += control.size(&self.pool);
        rare.control.push_back(control);
        self.wake(index);
    }

    /// Forgets what is owed about requests: they do not outlive a connection.
    pub(super) fn clear_control(&mut self, index: u32) {
        self.forget_control(index, |_| true);
    }

    /// Forgets the answers to a request that were not handed out.
    pub(super) fn forget_responses(&mut self, index: u32, request: u64) {
        self.forget_control(index, |c| matches!(c, Control::Response { id, .. } if *id == request));
    }

    fn forget_control(&mut self, index: u32, which: impl Fn(&Control) -> bool) {
        let Self { all, pool, .. } = self;
        let Some(Rare { control, owed, .. }) = all[index].rare_if_any() else { return };
        control.retain(|control| {
            if which(control) {
                *owed -= control.size(pool);
                control.release(pool);
            }
            !which(control)
        });
    }

    /// Hands out as much as `take` takes.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        index: u32,
        calls: &mut Calls,
        tables: &Tables<'_>,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
    ) -> Drained {
        let mut out = Drained::default();
        self.fill(now, index, tables.retained);
        let sent = self.all[index].unacked.back().map(|e| e.number);
        out.blocked = !self.drain_control(index, take, &mut out.taken)
            || !self.drain_again(index, take, &mut out.taken)
            || self.all[index].has_rooms_due() && !self.drain_rooms(now, index, tables, take, &mut out.taken)
            || !self.drain_queues(now, index, calls, take, &mut out.taken);
        let s = &mut self.all[index];
        let number = s.unacked.back().map(|e| e.number);
        if let Some(number) = number.filter(|_| s.stored != 0 && number != sent) {
            self.pool.log.push(Operation::Sent { session: s.stored, number });
        }
        s.overflows &= out.blocked;
        if out.blocked {
            if s.wake == Wake::Idle {
                s.wake = Wake::Told;
            }
        } else if s.wake == Wake::Told {
            s.wake = Wake::Idle;
        }
        let wants_more = s.wants_filling() || s.has_rooms_due();
        if s.main.is_empty() && s.main.capacity() > KEEP {
            s.main = VecDeque::new();
        }
        if wants_more && !out.blocked {
            // Others get their turn before the next part.
            self.wake(index);
        }
        out
    }

    fn drain_control(
        &mut self,
        index: u32,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
        taken: &mut u32,
    ) -> bool {
        let Self { all, pool, counters, .. } = self;
        let Some(rare) = all[index].rare_if_any() else { return true };
        while let Some(control) = rare.control.front() {
            let delivery = match *control {
                Control::Cancel { id } => Delivery::Cancel { id },
                Control::Response { id, status, more, message } => {
                    let message = if message == NONE { &EMPTY } else { pool.get(message) };
                    Delivery::Response { id, status, more, message }
                }
            };
            if take(&delivery) == Take::Blocked {
                return false;
            }
            counters.responses += u64::from(matches!(delivery, Delivery::Response { .. }));
            *taken += 1;
            rare.owed -= control.size(pool);
            control.release(pool);
            rare.control.pop_front();
        }
        true
    }

    /// What an earlier connection was handed and has not acknowledged: first, in order, and whole,
    /// whether it has expired or not, because its numbers stand.
    fn drain_again(
        &mut self,
        index: u32,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
        taken: &mut u32,
    ) -> bool {
        loop {
            match self.step_again(index, take) {
                Step::Taken(_) => *taken += 1,
                Step::Skipped => {}
                Step::Refused => return false,
                Step::Window | Step::Empty => return true,
            }
        }
    }

    fn step_again(&mut self, index: u32, take: &mut impl FnMut(&Delivery<'_>) -> Take) -> Step {
        let Self { all, pool, counters, overlaps, .. } = self;
        let s = &mut all[index];
        let Some(entry) = s.unacked.get(s.again as usize).copied() else { return Step::Empty };
        if !s.may_repeat(entry) {
            return Step::Window;
        }
        if entry.message == NONE {
            if take(&Delivery::Release { id: entry.id() }) == Take::Blocked {
                return Step::Refused;
            }
            s.again += 1;
            return Step::Taken(0);
        }
        let lane =
            s.lanes.as_mut().and_then(|lanes| lanes.all.iter_mut().find(|l| l.live && l.sid == entry.sid));
        s.again_stalled = lane.as_ref().is_some_and(|l| l.used >= l.limit);
        if s.again_stalled {
            return Step::Window;
        }
        let message = pool.get(entry.message);
        let mut on_wire = message.size();
        match take(&delivery(entry, message, pool.place(entry.message), overlaps, true)) {
            Take::Taken => {}
            Take::Sized(octets) => on_wire = octets,
            Take::Never if s.by_id => {
                s.unacked.remove(s.again as usize);
                s.acked += 1;
                counters.dropped.refused += 1;
                self.lost_of(index, 1);
                self.forget(index, entry);
                return Step::Skipped;
            }
            // Its number stands, so there is no way around it.
            _ => return Step::Refused,
        }
        let size = message.size();
        if let Some(lane) = lane {
            lane.used += u64::from(varint_octets(entry.sid) + on_wire);
        }
        s.again += 1;
        counters.messages_out += 1;
        counters.bytes_out += u64::from(size);
        Step::Taken(size)
    }

    fn drain_queues(
        &mut self,
        now: Instant,
        index: u32,
        calls: &mut Calls,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
        taken: &mut u32,
    ) -> bool {
        let s = &self.all[index];
        if (s.again as usize) < s.unacked.len() {
            return true;
        }
        loop {
            let main = loop {
                match self.step(now, index, NONE, calls, take) {
                    Step::Skipped => {}
                    other => break other,
                }
            };
            let lane = match main {
                Step::Refused => return false,
                _ if self.all[index].lanes.is_none() => Step::Empty,
                _ => self.step_lane(now, index, calls, take),
            };
            let count = u32::from(matches!(main, Step::Taken(_))) + u32::from(matches!(lane, Step::Taken(_)));
            *taken += count;
            match lane {
                Step::Refused => return false,
                _ if count == 0 => return true,
                _ => {}
            }
        }
    }

    /// Hands out one delivery of the lane whose turn it is.
    fn step_lane(
        &mut self,
        now: Instant,
        index: u32,
        calls: &mut Calls,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
    ) -> Step {
        loop {
            let Some(lane) = self.all[index].lanes.as_ref().and_then(|lanes| lanes.ring.front().copied())
            else {
                return Step::Empty;
            };
            // What came again on this connection may have used up its credit meanwhile.
            let may_send = self.all[index].lanes.as_ref().is_some_and(|l| l.all[lane as usize].may_send());
            let step = if may_send { self.step(now, index, lane, calls, take) } else { Step::Empty };
            let Some(lanes) = &mut self.all[index].lanes else { return Step::Empty };
            match step {
                Step::Refused => return Step::Refused,
                Step::Skipped => {}
                Step::Taken(size) => {
                    lanes.ring.pop_front();
                    let l = &mut lanes.all[lane as usize];
                    l.used += u64::from(size);
                    l.turn = Turn::Out;
                    lanes.enlist(lane);
                    return step;
                }
                Step::Window => {
                    lanes.ring.pop_front();
                    lanes.all[lane as usize].turn = Turn::Parked;
                    lanes.parked.push(lane);
                }
                Step::Empty => {
                    lanes.ring.pop_front();
                    lanes.all[lane as usize].turn = Turn::Out;
                }
            }
        }
    }

    /// Hands out the first delivery of a queue.
    #[inline]
    fn step(
        &mut self,
        now: Instant,
        index: u32,
        lane: u32,
        calls: &mut Calls,
        take: &mut impl FnMut(&Delivery<'_>) -> Take,
    ) -> Step {
        let Self { all, pool, counters, overlaps, .. } = self;
        let s = &mut all[index];
        let Some(entry) = s.queue(lane).front().copied() else { return Step::Empty };
        if !s.may_send(entry) {
            return Step::Window;
        }
        let sid = entry.sid;
        let message = pool.get(entry.message);
        let size = message.size();
        let on_wire = if let Kind::Request(leg) = entry.kind() {
            let Some((id, timeout, requester)) = calls.sending(leg, now) else {
                calls.free(leg);
                s.queue(lane).pop_front();
                self.forget(index, entry);
                return Step::Skipped;
            };
            let from = SessionKey { index: requester, generation: all[requester].generation };
            let mut size = size;
            match take(&Delivery::Request { id, sid, from, timeout, message }) {
                Take::Taken => {}
                Take::Sized(octets) => size = octets,
                Take::Blocked => return Step::Refused,
                Take::Never => {
                    self.lost.push(leg);
                    return self.drop_first(index, lane, entry);
                }
            }
            calls.sent(leg);
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            varint_octets(id) + varint_octets(sid) + varint_octets(millis) + size
        } else {
            if message.expired(now) {
                counters.dropped.expired += 1;
                s.queue(lane).pop_front();
                self.lost_of(index, 1);
                self.forget(index, entry);
                return Step::Skipped;
            }
            let mut on_wire = size;
            match take(&delivery(entry, message, pool.place(entry.message), overlaps, false)) {
                Take::Taken => {}
                Take::Sized(octets) => on_wire = octets,
                Take::Blocked => return Step::Refused,
                Take::Never => return self.drop_first(index, lane, entry),
            }
            counters.messages_out += 1;
            counters.bytes_out += u64::from(size);
            varint_octets(sid) + on_wire
        };
        let s = &mut all[index];
        s.queue(lane).pop_front();
        if entry.reliable() {
            s.unacked.push_back(entry.sent());
            s.again += 1;
        } else if entry.is_task() {
            self.leave(index, entry, Outcome::Done);
        } else {
            s.queued -= 1;
            s.bytes -= u64::from(size);
            counters.queued -= 1;
            counters.queued_bytes -= u64::from(size);
            counters.room_queued_bytes -= pool.room_octets(entry.message);
            pool.release(entry.message);
            if let Kind::Overlap(list) = entry.kind() {
                overlaps.remove(list);
            }
        }
        Step::Taken(on_wire)
    }

    /// The peer can never take the first of a queue: it goes without a number.
    #[cold]
    fn drop_first(&mut self, index: u32, lane: u32, entry: Entry) -> Step {
        self.counters.dropped.refused += 1;
        self.lost_of(index, 1);
        self.all[index].queue(lane).pop_front();
        self.leave(index, entry, Outcome::Tried);
        Step::Skipped
    }

    /// Whether `count` can be acknowledged.
    pub(super) fn check_ack(&self, index: u32, count: u64) -> Result<(), Refusal> {
        let s = &self.all[index];
        let (acknowledged, sent) = (s.acked, s.acked + s.unacked.len() as u64);
        if count < acknowledged || count > sent {
            return Err(Refusal::BadAck { count, acknowledged, sent });
        }
        Ok(())
    }

    /// Forgets what the peer has: all up to `count`, which [`check_ack`](Self::check_ack) took.
    pub(super) fn ack(&mut self, index: u32, count: u64) {
        while self.all[index].acked < count {
            let s = &mut self.all[index];
            let Some(entry) = s.unacked.pop_front() else { break };
            s.acked += 1;
            s.again = s.again.saturating_sub(1);
            self.leave(index, entry, Outcome::Done);
        }
        self.after_ack(index);
    }

    /// There is room in flight again.
    fn after_ack(&mut self, index: u32) {
        let s = &mut self.all[index];
        if s.unacked.is_empty() && s.unacked.capacity() > KEEP {
            s.unacked = VecDeque::new();
        }
        if s.window_open()
            && let Some(lanes) = &mut s.lanes
        {
            lanes.unpark();
        }
        self.wake(index);
        self.release_publishers(index, false);
    }

    /// Holds a publisher until the session's queue is low again.
    pub(super) fn hold(&mut self, consumer: u32, publisher: u32) {
        let (c, p) = (self.key(consumer), self.key(publisher));
        if self.all[consumer].rare().holding.len() >= HOLDS || !self.holds.insert((c, p)) {
            return;
        }
        self.all[consumer].rare_mut().holding.push(p);
        self.all[publisher].held_by += 1;
        self.notice(publisher);
    }

    /// Lets all publishers go that a session holds, if its queue is low or `anyway`.
    pub(super) fn release_publishers(&mut self, consumer: u32, anyway: bool) {
        if self.all[consumer].rare().holding.is_empty() || !(anyway || self.all[consumer].is_low()) {
            return;
        }
        let c = self.key(consumer);
        for p in core::mem::take(&mut self.all[consumer].rare_mut().holding) {
            self.holds.remove(&(c, p));
            if self.find(p).is_ok() {
                self.all[p.index].held_by -= 1;
                self.notice(p.index);
            }
        }
    }

    /// Says that the adapter of a session has to learn something.
    pub(super) fn notice(&mut self, index: u32) {
        let s = &mut self.all[index];
        if !s.noticed {
            s.noticed = true;
            self.notices.push_back(Pending::State(SessionKey { index, generation: s.generation }));
        }
    }

    pub(super) fn notice_expired(&mut self, key: SessionKey) {
        self.notices.push_back(Pending::Expired(key));
    }

    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        loop {
            let key = match self.notices.front()? {
                Pending::Expired(key) => {
                    let key = *key;
                    self.notices.pop_front();
                    return Some(Notice::Expired(key));
                }
                Pending::State(key) => *key,
            };
            if self.find(key).is_ok() {
                let s = &mut self.all[key.index];
                let held = s.held_by > 0;
                if core::mem::take(&mut s.tell_overflow) {
                    let at = self.overflows.iter().position(|(of, _)| *of == key);
                    let trace = at.map(|at| self.overflows.swap_remove(at).1);
                    return Some(Notice::Overflow(key, trace));
                }
                if s.disconnect {
                    s.disconnect = false;
                    return Some(Notice::Disconnect(key, DisconnectReason::SlowConsumer));
                }
                if held != s.told_held {
                    s.told_held = held;
                    return Some(if held { Notice::Hold(key) } else { Notice::Release(key) });
                }
                s.noticed = false;
            }
            self.notices.pop_front();
            if self.notices.is_empty() {
                // Of sessions that have ended meanwhile.
                self.overflows.clear();
            }
        }
    }
}

/// What the peer is told of an entry.
#[inline]
fn delivery<'a>(
    entry: Entry,
    message: &'a Message,
    place: Option<&'a Place>,
    overlaps: &'a Slab<Box<[u64]>>,
    again: bool,
) -> Delivery<'a> {
    let others = match entry.kind() {
        Kind::Overlap(list) => &*overlaps[list],
        _ => &[],
    };
    let (sid, quality, id, retain) = (entry.sid, entry.quality, entry.id(), entry.retain());
    Delivery::Message { sid, others, message, quality, id, again, retain, place, historic: false }
}
