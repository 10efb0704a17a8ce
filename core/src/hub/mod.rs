//! The hub: sends messages from sessions to sessions.
//!
//! A state machine like all others here: commands come in with the time, deliveries are pulled
//! out, nothing is done by itself. One thread at a time works on a hub; the same commands at the
//! same times give the same deliveries.
//!
//! # How to run one
//!
//! - [`attach`](Hub::attach) a session for each connection, and hand it what its peer says:
//!   [`subscribe`](Hub::subscribe), [`publish`](Hub::publish), [`request`](Hub::request),
//!   [`ack`](Hub::ack), [`credit`](Hub::credit).
//! - [`poll_ready`](Hub::poll_ready) names the sessions that have something to hand out.
//!   [`drain`](Hub::drain) hands it out as far as the connection's buffer takes it; a delivery that
//!   the buffer did not take stays where it is.
//! - [`poll_notice`](Hub::poll_notice) says what else adapters have to do, and
//!   [`poll_operation`](Hub::poll_operation) what a store has to. Call all three after commands,
//!   until they give nothing: what they give is bounded by what was commanded.
//! - [`poll_timeout`](Hub::poll_timeout) says when to call [`handle_timeout`](Hub::handle_timeout).
//!
//! ```
//! use bowline_core::hub::{Delivery, Hub, HubOptions, Message, SessionOptions, SubscribeOptions};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(1);
//! let mut hub = Hub::new(HubOptions::default(), 42);
//! let alice = hub.attach(now, &SessionOptions::default()).unwrap();
//! let bob = hub.attach(now, &SessionOptions::default()).unwrap();
//! hub.subscribe(now, bob, 1, "home/+", SubscribeOptions::default()).unwrap();
//! hub.publish(now, alice, Message::new("home/door", b"open").unwrap(), None).unwrap();
//!
//! assert_eq!(hub.poll_ready(), Some(bob));
//! hub.drain(now, bob, |delivery| {
//!     assert!(matches!(delivery, Delivery::Message { sid: 1, message, .. } if message.payload() == b"open"));
//!     true // the buffer took it
//! })
//! .unwrap();
//! ```
//!
//! # Order, and what is kept
//!
//! Messages of one publisher on one topic reach a subscription in order. A delivery at least once
//! is kept from when it is handed out until it is acknowledged; its number is its place in the
//! order of all such deliveries of the session. Queues are bounded ([`SessionOptions`]) and what
//! then happens is the session's [`Policy`]. A subscription with a credit of its own has a queue
//! of its own: without credit it holds up itself and nothing else, and is the first to lose
//! deliveries when there is no room.

mod acknowledge;
mod counters;
mod delivery;
mod denial;
mod history;
mod inspect;
mod keep;
mod log;
mod matcher;
mod message;
mod names;
mod operation;
mod options;
mod outbox;
mod owner;
mod plugins;
mod publish;
mod queue;
mod reply;
mod request;
mod restore;
mod retained;
mod rooms;
mod session;
mod shared;
mod slab;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod trie;
mod will;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use ahash::RandomState;

pub use counters::{Counters, Drops};
pub use delivery::{Delivery, DisconnectReason, Drained, Notice, PublishOutcome, Refusal, SessionKey, Take};
pub use denial::Denial;
pub use history::{HistoryMark, HistoryOptions, HistoryPage, HistoryQuery, HistoryRecord};
pub use inspect::{RoomState, SessionInfo, SubscriptionInfo, TopicInfo};
pub use message::{BadLayout, Layout, Message, Place};
pub use operation::{Operation, StoredMessage, StoredSession, TaskNumber};
pub use options::{
    HubOptions, MAX_ID, Policy, Quality, QueueOptions, RequestOptions, RetainHandling, SessionOptions,
    SubscribeOptions,
};

pub use rooms::{
    JoinOptions, Joined, MAX_MEMBER_DATA, MAX_ROOM_NAME, Member, Members, PresenceChange, PresenceKey,
    PresenceMode, PublishKey, PublishOptions, RoomInfo, RoomOptions, RoomPolicy, RoomRate,
};
pub use will::Will;

pub(crate) use publish::NOTICE;
pub use restore::BadOperation;
pub use subscribe::identifier_of;

use crate::access::{Access, Action, Decision, Who};
use crate::histogram::{Sizes, Times};
use crate::plugin::{Chain, Rejection};
use crate::status::Status;
use crate::time::{Deadline, Instant, Why};
use history::{Calendar, Histories};
use log::Log;
use names::Names;
use outbox::Sessions;
use owner::Listeners;
use queue::Queues;
use request::Calls;
use retained::Retained;
use rooms::{Keys, Rooms, Tables};
use session::{Entry, Kind, Session, Wake};
use slab::NONE;
pub(crate) use slab::reserve;
use subscriptions::{Subscriptions, Target};
use timers::{Alarm, Timer, Timers};

/// How many timers one call of [`Hub::handle_timeout`] handles; the others stay due. Few, because
/// the end of a session costs as much as it has subscriptions and deliveries.
const TIMERS_PER_CALL: usize = 128;

/// The hub. See the [module](self) for how to run one.
pub struct Hub {
    options: HubOptions,
    now: Instant,
    calendar: Calendar,
    histories: Histories,
    hasher: RandomState,
    subs: Subscriptions,
    sessions: Sessions,
    calls: Calls,
    timers: Timers,
    /// The subscriptions of sessions of which several match, while a message is sent to them.
    overlap: Vec<Target>,
    retained: Retained,
    queues: Queues,
    rooms: Rooms,
    keys: Keys,
    listeners: Listeners,
    restoring: Option<Box<restore::Restoring>>,
    access: Option<Box<dyn Access + Send>>,
    denials: VecDeque<Denial>,
    plugins: Chain,
    /// Sessions from which plugins have nothing taken for a while.
    held: BTreeMap<u32, (Instant, Timer)>,
    /// Sessions whose connections plugins want closed.
    expelled: VecDeque<(SessionKey, Rejection)>,
}

impl core::fmt::Debug for Hub {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hub")
            .field("now", &self.now)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// An empty hub that allows everything.
    ///
    /// `seed` keys its hash tables: draw it from a secret source of randomness, so that nobody can
    /// choose topics that collide.
    #[must_use]
    pub fn new(options: HubOptions, seed: u64) -> Self {
        use crate::entropy::{Entropy, Seeded};
        let mut keys = Seeded::new(seed);
        let mut key = || keys.wire_u64();
        let hasher = RandomState::with_seeds(key(), key(), key(), key());
        let mut names = || {
            let mut secret = [0; 16];
            keys.secret(&mut secret);
            Names::new(secret)
        };
        let (epochs, members) = (names(), names());
        Self {
            now: Instant::ZERO,
            calendar: Calendar::EPOCH,
            histories: Histories::new(&options, hasher.clone(), epochs),
            rooms: Rooms::new(hasher.clone(), members),
            keys: Keys::new(hasher.clone()),
            listeners: Listeners::default(),
            subs: Subscriptions::new(hasher.clone()),
            sessions: Sessions::new(hasher.clone(), Log::new(options.durable)),
            denials: VecDeque::new(),
            retained: Retained::new(hasher.clone()),
            queues: Queues::new(hasher.clone()),
            options,
            calls: Calls::new(hasher.clone()),
            hasher,
            timers: Timers::default(),
            overlap: Vec::new(),
            restoring: None,
            access: None,
            plugins: Chain::default(),
            held: BTreeMap::new(),
            expelled: VecDeque::new(),
        }
    }

    /// Sets the access rules from now on, all at once; existing subscriptions stay. Gives back those
    /// that were: they may take a while to drop, which can be done where it delays nobody.
    pub fn set_access(&mut self, access: Box<dyn Access + Send>) -> Option<Box<dyn Access + Send>> {
        for session in self.sessions.all.items() {
            session.passed.forget();
        }
        self.access.replace(access)
    }

    /// Asks the access rules, for what no session asks: whether a client may connect, or what a
    /// dialect has to know before it does anything.
    #[must_use]
    pub fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
        self.access.as_ref().map_or(Decision::ALLOW, |access| access.decide(who, action, subject))
    }

    /// Begins a session, attached to the connection that asks for it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Quota`] when there are [`max_sessions`](HubOptions::max_sessions).
    pub fn attach(&mut self, now: Instant, options: &SessionOptions<'_>) -> Result<SessionKey, Refusal> {
        self.tick(now);
        if self.sessions.all.len() >= self.options.max_sessions.min(HubOptions::SESSIONS) {
            return Err(Refusal::Quota("sessions"));
        }
        let expiry = self.limit_expiry(options.expiry);
        let index =
            self.sessions.all.insert_with(|old: &Session| Session::new(options, old.generation, expiry));
        let key = self.sessions.key(index);
        self.sessions.counters.sessions += 1;
        self.sessions.counters.attached += 1;
        if self.sessions.pool.log.is_on() && !expiry.is_zero() {
            let session = self.sessions.pool.log.next_session();
            self.sessions.all[index].stored = session;
            let (name, identity) = (options.name.into(), options.identity.into());
            self.sessions.pool.log.push(Operation::SessionCreated { session, name, identity, expiry });
        }
        let listener = self.listeners.number(options.listener);
        self.sessions.all[index].aside.owner.set_listener(listener);
        self.enroll(index);
        Ok(key)
    }

    /// The connection is gone. The session waits for its expiry; without one it ends.
    ///
    /// Deliveries at most once are dropped; those at least once wait, but for those of shared
    /// groups that were not handed out, which go to other members that are attached and have room. Its requests
    /// end, those that it was to answer fail with `ResponderGone`.
    ///
    /// # Errors
    ///
    /// There is no such session. Detaching a detached one does nothing.
    pub fn detach(&mut self, now: Instant, key: SessionKey) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        if !self.sessions.all[index].attached {
            return Ok(());
        }
        self.disconnect(index);
        self.wait(now, index);
        self.settle_tasks(now);
        Ok(())
    }

    /// A detached session waits for its next connection; without an expiry it ends.
    fn wait(&mut self, now: Instant, index: u32) {
        self.execute_will(now, index);
        let expiry = self.sessions.all[index].aside.expiry;
        if expiry.is_zero() {
            return self.end(now, index);
        }
        self.begin_grace(now, index);
        if expiry < Duration::MAX {
            let timer = self.timers.set(now + expiry, Alarm::Expiry(index));
            self.sessions.all[index].aside.timer = Some(timer);
        }
        self.tell_attached(index, (expiry < Duration::MAX).then(|| now + expiry));
    }

    /// Has the store know whether a session is attached, or when it ends if it is not.
    fn tell_attached(&mut self, index: u32, ends: Option<Instant>) {
        if let Some(session) = self.stored(index) {
            let expiry = self.sessions.all[index].aside.expiry;
            self.sessions.pool.log.push(Operation::SessionChanged { session, expiry, ends });
        }
    }

    /// A new connection serves the session; an old one that still does is detached first.
    ///
    /// `in_flight` is how many deliveries at least once it takes before it acknowledges. With
    /// `received`, how many of the session's it has, those are acknowledged; the others that were
    /// handed out come again, first and in order. All credit starts anew.
    ///
    /// # Errors
    ///
    /// There is no such session, or [`Refusal::BadAck`]; nothing was changed then.
    pub fn reattach(
        &mut self,
        now: Instant,
        key: SessionKey,
        in_flight: u32,
        received: Option<u64>,
    ) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        if let Some(count) = received {
            self.sessions.check_ack(index, count)?;
        }
        if self.sessions.all[index].attached {
            self.disconnect(index);
        }
        if let Some(timer) = self.sessions.all[index].aside.timer.take() {
            self.timers.cancel(timer);
            self.tell_attached(index, None);
        }
        self.drop_will(index);
        let s = &mut self.sessions.all[index];
        s.attached = true;
        s.window = in_flight.max(1);
        s.restart();
        if s.held_by > 0 {
            // This connection does not know it yet.
            s.told_held = false;
            self.sessions.notice(index);
        }
        self.sessions.counters.attached += 1;
        for i in 0..self.sessions.all[index].aside.subs.len() {
            self.subs.set_attached(self.sessions.all[index].aside.subs[i].1, true);
        }
        let acked = self.sessions.all[index].acked;
        self.sessions.ack(index, received.unwrap_or(acked));
        self.settle_tasks(now);
        self.reattach_rooms(now, index);
        self.pump_all(now, index);
        Ok(())
    }

    /// Ends a session, attached or not, with all that belongs to it.
    ///
    /// Deliveries at least once of shared groups that were not acknowledged go to other members.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn remove(&mut self, now: Instant, key: SessionKey) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        if self.sessions.all[index].attached {
            self.disconnect(index);
        }
        self.end(now, index);
        self.settle_tasks(now);
        Ok(())
    }

    /// Who the session belongs to: another must not resume it.
    #[must_use]
    pub fn identity(&self, key: SessionKey) -> Option<&str> {
        self.sessions.find(key).ok().map(|index| self.sessions.all[index].aside.owner.user())
    }

    /// Who the session is for access rules; `None` when it has ended.
    #[must_use]
    pub fn who(&self, key: SessionKey) -> Option<Who<'_>> {
        self.sessions.find(key).ok().map(|index| self.sessions.all[index].aside.owner.who(&self.listeners))
    }

    /// A connection goes on with the session whose client calls itself this, is there, and is secured so:
    /// access rules judge by that from now on. Its user stays, whatever `who` says.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn set_client(&mut self, key: SessionKey, who: &Who<'_>) -> Result<(), Refusal> {
        let index = self.sessions.find(key)?;
        let s = &mut self.sessions.all[index];
        s.aside.owner.set_client(who, &mut self.listeners);
        s.passed.forget();
        self.enroll(index);
        Ok(())
    }

    /// How long the session outlives its connection; `None` when it has ended.
    #[must_use]
    pub fn expiry(&self, key: SessionKey) -> Option<Duration> {
        self.sessions.find(key).ok().map(|index| self.sessions.all[index].aside.expiry)
    }

    /// Changes how long the session outlives its connection, from when that ends; at most
    /// [`max_expiry`](HubOptions::max_expiry). Whether a store knows of the session was decided when
    /// it began, and does not change.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn set_expiry(&mut self, key: SessionKey, expiry: Duration) -> Result<(), Refusal> {
        let index = self.sessions.find(key)?;
        self.sessions.all[index].aside.expiry = self.limit_expiry(expiry);
        if self.sessions.all[index].attached {
            self.tell_attached(index, None);
        }
        Ok(())
    }

    /// Whether a connection serves the session; `None` when it has ended.
    #[must_use]
    pub fn is_attached(&self, key: SessionKey) -> Option<bool> {
        self.sessions.find(key).ok().map(|index| self.sessions.all[index].attached)
    }

    /// How many deliveries at least once the session was handed out in all, and how many of those
    /// it has acknowledged: `(acknowledged, sent)`.
    #[must_use]
    pub fn reliable(&self, key: SessionKey) -> Option<(u64, u64)> {
        let s = &self.sessions.all[self.sessions.find(key).ok()?];
        Some((s.acked, s.acked + s.unacked.len() as u64))
    }

    /// Counts what a session was handed at least once from 0 again: as acknowledged counts nothing, as
    /// handed out what was not acknowledged. For a peer with counts of its own to begin with, before
    /// [`reattach`](Self::reattach).
    pub fn count_anew(&mut self, key: SessionKey) {
        if let Ok(index) = self.sessions.find(key) {
            self.sessions.all[index].acked = 0;
        }
    }

    /// Hands out what waits for a session: `take` writes each delivery to the connection's buffer,
    /// or says `false` where it has no room; that delivery then stays first.
    ///
    /// What may go out is bounded by the deliveries at least once in flight and by the credit of
    /// subscriptions that have one; a delivery counts for that with the size of its frame's body.
    /// The credit of the session as a whole is up to `take`.
    ///
    /// # Errors
    ///
    /// There is no such session, or it is detached.
    pub fn drain<T: Into<Take>>(
        &mut self,
        now: Instant,
        key: SessionKey,
        mut take: impl FnMut(&Delivery<'_>) -> T,
    ) -> Result<Drained, Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        let Self { retained, rooms, histories, plugins, .. } = self;
        let tables = Tables { retained, rooms, histories };
        let drained = match plugins.receiver(key) {
            None => self.sessions.drain(now, index, &mut self.calls, &tables, &mut |d| take(d).into()),
            Some(receiver) => {
                let mut take = |d: &Delivery<'_>| take(d).into();
                let take: &mut dyn FnMut(&Delivery<'_>) -> Take = &mut take;
                let mut judged = |d: &Delivery<'_>| receiver.judge(now, d, take);
                self.sessions.drain(now, index, &mut self.calls, &tables, &mut judged)
            }
        };
        while let Some((index, sid)) = self.sessions.caught_up.pop() {
            self.set_catching(index, sid, false);
        }
        self.settle_lost(Status::Rejected);
        self.settle_tasks(now);
        self.sessions.release_publishers(index, false);
        Ok(drained)
    }

    /// The next session that has something to hand out and had nothing before: wake its
    /// connection, which drains it. Each comes once, until it was drained to the end.
    pub fn poll_ready(&mut self) -> Option<SessionKey> {
        self.publish_owed();
        self.settle_plugins();
        self.sessions.poll_ready()
    }

    /// The next thing that an adapter has to do or to know.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.settle_plugins();
        self.sessions.poll_notice().or_else(|| self.poll_expelled())
    }

    /// The next thing for the store to do; never anything unless [`HubOptions::durable`].
    pub fn poll_operation(&mut self) -> Option<Operation> {
        self.sessions.pool.log.pop()
    }

    /// When the hub wants to be called, and why: a request is not answered, a session expires.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let retained = self.retained.next_expiry();
        let history = self.histories.next_age().map(|millis| self.calendar.instant(millis));
        let expires = retained.into_iter().chain(history).min();
        let expires = expires.map(|at| Deadline::new(at, Why::Expiry));
        [self.timers.next(), expires, self.plugins_timeout()]
            .into_iter()
            .flatten()
            .min_by_key(|deadline| deadline.at)
    }

    /// Does what is due, at most 128 things a call: while
    /// [`poll_timeout`](Self::poll_timeout) is due, call again.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.expire_retained(now);
        self.histories.drop_old(&mut self.sessions.pool, self.calendar.millis(now), TIMERS_PER_CALL);
        for _ in 0..TIMERS_PER_CALL {
            match self.timers.pop_due(now) {
                None => break,
                Some(Alarm::Request(request)) => self.time_out(request),
                Some(Alarm::Expiry(index)) => {
                    self.sessions.all[index].aside.timer = None;
                    let key = self.sessions.key(index);
                    self.end(now, index);
                    self.settle_tasks(now);
                    self.sessions.notice_expired(key);
                }
                Some(Alarm::Will(index)) => {
                    if let Some(will) = &mut self.sessions.all[index].rare_mut().will {
                        will.timer = None;
                    }
                    self.publish_will(now, index);
                }
                Some(Alarm::Grace(index)) => self.end_grace(now, index),
                Some(Alarm::Presence(room)) => self.tell_presence(now, room),
                Some(Alarm::Hold(index)) => self.let_go(index),
                Some(Alarm::Free) => {}
            }
        }
        self.expire_plugins(now);
    }

    /// What was counted up to now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            subscriptions: self.subs.len() as u64,
            requests_in_flight: self.calls.len() as u64,
            queues: self.queues.len() as u64,
            tasks: self.queues.tasks() as u64,
            retained: self.retained.len() as u64,
            retained_bytes: self.retained.bytes(),
            history: self.histories.len(),
            history_bytes: self.histories.bytes(),
            history_refused: self.histories.refused(),
            rooms: self.rooms.len() as u64,
            members: self.rooms.members,
            messages: self.sessions.pool.len() as u64,
            message_bytes: self.sessions.pool.bytes(),
            ..self.sessions.counters
        }
    }

    /// The sizes of the messages that were published, duplicates included: octets of their bodies.
    #[must_use]
    pub const fn message_sizes(&self) -> &Sizes {
        &self.sessions.sizes
    }

    /// How long messages waited that had to be stored, from being taken until they could be acknowledged.
    #[must_use]
    pub const fn acknowledgement_times(&self) -> &Times {
        &self.sessions.pool.log.waited
    }

    /// Checks all tables against each other, for tests and simulators: it costs as much as there
    /// is in the hub.
    ///
    /// # Errors
    ///
    /// What is wrong: a fault of the hub, whatever the commands were.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let kept = self.retained.values().chain(self.queues.messages()).chain(self.histories.values());
        self.sessions.check(kept)?;
        self.queues.check()?;
        self.retained.check(&self.sessions.pool)?;
        self.histories.check(&self.sessions.pool)?;
        self.rooms.check(&self.sessions.all)?;
        self.subs.check()?;
        self.check_calls()?;
        let sessions = || self.sessions.all.places().map(|(_, s)| s);
        let wills = sessions().filter(|s| s.rare().will.as_ref().is_some_and(|w| w.timer.is_some())).count();
        let of_rooms = |s: &&Session| s.rare().rooms.as_ref().is_some_and(|rooms| rooms.grace.is_some());
        let of_rooms = self.rooms.timers() + sessions().filter(of_rooms).count();
        let waiting = wills + sessions().filter(|s| s.aside.timer.is_some()).count() + of_rooms;
        if waiting + self.calls.len() + self.held.len() != self.timers.len() {
            return Err("timers: lost count");
        }
        Ok(())
    }

    fn limit_expiry(&self, expiry: Duration) -> Duration {
        expiry.min(self.options.max_expiry)
    }

    /// The last time that it was told.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// The time, which never goes back.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The number of a session that is attached.
    fn attached(&self, key: SessionKey) -> Result<u32, Refusal> {
        let index = self.sessions.find(key)?;
        if self.sessions.all[index].attached { Ok(index) } else { Err(Refusal::Detached) }
    }

    /// What the store knows this session by, if it does.
    fn stored(&self, index: u32) -> Option<StoredSession> {
        Some(self.sessions.all[index].stored).filter(|stored| *stored != 0)
    }

    /// Ends all that belongs to a connection.
    fn disconnect(&mut self, index: u32) {
        self.detach_rooms(index);
        let s = &mut self.sessions.all[index];
        s.attached = false;
        s.disconnect = false;
        if s.wake == Wake::Told {
            s.wake = Wake::Idle;
        }
        self.sessions.counters.attached -= 1;
        for i in 0..self.sessions.all[index].aside.subs.len() {
            self.subs.set_attached(self.sessions.all[index].aside.subs[i].1, false);
        }
        let lost = self.sessions.all[index].extract(|e| !e.reliable());
        for entry in lost {
            let is_request = matches!(entry.kind(), Kind::Request(_));
            self.sessions.counters.dropped.detached += u64::from(!is_request);
            self.sessions.drop_unsent(index, entry);
        }
        self.give_tasks_back(index);
        self.end_calls(index);
        self.sessions.clear_control(index);
        let groups = &self.subs.groups;
        let others = |e: &Entry| matches!(e.kind(), Kind::Group(g) if groups[g].attached > 0);
        let handed_over = self.sessions.all[index].extract(others);
        self.hand_over(index, handed_over, true, |t| t.session() != index);
        self.sessions.release_publishers(index, true);
    }

    /// Ends a detached session.
    fn end(&mut self, now: Instant, index: u32) {
        self.publish_will(now, index);
        self.leave_rooms(now, index);
        // The store forgets all that is the session's at once, and after what others took over.
        let stored = core::mem::take(&mut self.sessions.all[index].stored);
        let unacked = Vec::from(core::mem::take(&mut self.sessions.all[index].unacked));
        // What was sent exactly once may have arrived: no other member gets it ([MQTT-4.8.2-5]).
        let (once, mut left): (Vec<_>, Vec<_>) =
            unacked.into_iter().partition(|e| e.quality == Quality::ExactlyOnce);
        for entry in once {
            self.sessions.counters.dropped.ended += u64::from(entry.message != NONE && !entry.is_task());
            self.sessions.forget(index, entry);
        }
        left.extend(self.sessions.all[index].extract(|_| true));
        self.sessions.counters.dropped.ended += self.hand_over(index, left, false, |t| t.session() != index);
        if stored != 0 {
            self.sessions.pool.log.push(Operation::SessionRemoved { session: stored });
        }
        for (_, sub) in core::mem::take(&mut self.sessions.all[index].aside.subs) {
            self.subs.remove(sub);
        }
        self.dismiss(self.sessions.key(index));
        let old = self.sessions.all.remove(index);
        if let Some(timer) = old.aside.timer {
            self.timers.cancel(timer);
        }
        self.sessions.all[index].generation = old.generation.wrapping_add(1);
        self.sessions.counters.sessions -= 1;
    }

    /// Gives deliveries that left a session's queue to other members of their groups, and says
    /// how many nobody took. With `keep` only members with room get them, and what nobody takes
    /// stays the session's.
    fn hand_over(
        &mut self,
        from: u32,
        entries: Vec<Entry>,
        keep: bool,
        allowed: impl Fn(&Target) -> bool,
    ) -> u64 {
        let mut lost = 0;
        for entry in entries {
            if entry.message == NONE {
                self.sessions.forget(from, entry);
                continue;
            }
            let size = self.sessions.pool.get(entry.message).size();
            self.sessions.pool.share(entry.message);
            self.sessions.forget(from, entry);
            let mut passed_on = false;
            if let Kind::Group(group) = entry.kind() {
                let all = &self.sessions.all;
                let has_room = |s| all[s].has_room(size);
                let fits = |t: &Target| t.reliable() && allowed(t) && (!keep || has_room(t.session()));
                if let Some(t) = self.subs.groups[group].pick(fits, false, has_room) {
                    let lane = self.subs.get(t.sub).lane;
                    let quality = entry.quality.min(t.quality());
                    let entry = Entry::new(t.sid, entry.message, quality).of_group(group);
                    passed_on = self.sessions.offer(t.session(), lane, entry, size) != outbox::Offer::Dropped;
                }
            }
            if keep && !passed_on {
                let sub = self.sessions.all[from].sub(entry.sid);
                let lane = sub.map_or(NONE, |sub| self.subs.get(sub).lane);
                self.sessions.put(from, lane, entry, size);
            }
            lost += u64::from(!keep && !passed_on && !entry.is_task());
            self.sessions.pool.release(entry.message);
        }
        self.settle_lost(Status::Busy);
        lost
    }
}
