//! The hub: sessions come, go and do what they like, and a plain model of what each peer knows says
//! what may be handed out. The end takes everything apart and nothing may be left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::access::{Access, Action, Decision, Who};
use bowline_core::hub::{
    Delivery, HistoryQuery, Hub, HubOptions, JoinOptions, Message, Notice, Operation, Policy, PresenceMode,
    PublishKey, PublishOptions, Quality, Refusal, RequestOptions, RoomOptions, RoomPolicy, SessionKey,
    SessionOptions, StoredSession, SubscribeOptions, Take,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bowline_core::topic::{matches, parse_filter};
use bowline_core::varint::leb128;

const STEPS: usize = 400;
const SESSIONS: usize = 4;
const LEGS: usize = 8;
const REQUESTS_EACH: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(10);
const EXPIRY: Duration = Duration::from_secs(60);
const MANY: u64 = 1 << 40;

const FILTERS: [&str; 10] =
    ["a", "a/b", "+", "#", "a/#", "+/b", "$share/g/a", "$share/g/#", "$share/h/a/+", "a/#/b"];
/// One keeps a few messages, the other none and its members' latest.
const ROOMS: [&str; 2] = ["$room/few", "$room/none"];
const TOPICS: [&str; 5] = ["a", "a/b", "b", "a/c", "a/+"];

#[derive(Arbitrary, Debug)]
struct Plan {
    durable: bool,
    guarded: bool,
    steps: Vec<(u8, Step)>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Attach { policy: u8, messages: u8, bytes: u8, window: u8, expires: bool },
    Detach,
    Reattach { window: u8, received: Option<i8> },
    Remove,
    SetExpiry(bool),
    Subscribe { sid: u8, filter: u8, reliable: bool, credit: Option<u8>, no_local: bool, serve: bool },
    Unsubscribe(u8),
    Publish { topic: u8, size: u8, reliable: bool, dedup: Option<u8>, expiry: Option<u8>, own: bool },
    Drain { most: u8, never: u8 },
    Ack(i8),
    Credit { sid: u8, more: u8 },
    Request { id: u8, topic: u8, size: u8, many: bool, seconds: u8 },
    Respond { which: u8, more: bool, size: u8 },
    Cancel(u8),
    Pass(u16),
    Join { sid: u8, room: bool, since: Option<u8>, history: u8, presence: u8, credit: Option<u8> },
    Leave(bool),
    Say { room: bool, size: u8, key: Option<u8>, ephemeral: bool, echo: bool, data: bool },
}

/// A subscription as its subscriber knows it.
struct Sub {
    filter: &'static str,
    serve: bool,
    /// The first limit, the present one, and what was used.
    credit: Option<(u64, u64, u64)>,
    /// The last number that came.
    last: u32,
}

/// A session as its peer knows it.
struct Peer {
    key: SessionKey,
    alive: bool,
    attached: bool,
    policy: Policy,
    max_messages: u64,
    max_bytes: u64,
    window: u64,
    acked: u64,
    /// What was handed out at least once and not acknowledged: subscription and body.
    unacked: VecDeque<(u64, Vec<u8>)>,
    /// How many of those this connection has.
    again: usize,
    subs: BTreeMap<u64, Sub>,
    /// Requests that wait for their last answer; an id may be used again before it was taken.
    asked: BTreeMap<u64, u32>,
    /// What this connection was asked, and whether that was taken back.
    serving: BTreeMap<u64, bool>,
    ready: bool,
    held: bool,
    /// Those ids that are remembered at least: the last.
    dedup: VecDeque<u8>,
}

struct World {
    hub: Hub,
    now: Instant,
    peers: Vec<Peer>,
    number: u32,
    largest: u64,
    durable: bool,
    guarded: bool,
    stored: BTreeSet<StoredSession>,
}

/// Nobody may do anything with `b`.
struct Guard;

impl Access for Guard {
    fn decide(&self, _who: &Who<'_>, _action: Action, subject: &str) -> Decision {
        (subject != "b").into()
    }
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn hub(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let options = HubOptions {
        max_sessions: SESSIONS,
        max_subscriptions: 20,
        max_subscriptions_per_session: 8,
        max_lanes_per_session: 3,
        max_requests_per_session: REQUESTS_EACH,
        max_requests: 6,
        max_legs: LEGS,
        max_request_timeout: TIMEOUT,
        max_expiry: EXPIRY,
        dedup_window: 3,
        durable: plan.durable,
        rooms: vec![
            RoomOptions { max_messages: 4, max_age: Duration::MAX, ..RoomOptions::new("few") },
            RoomOptions { max_messages: 0, policy: RoomPolicy::KeepLatest, ..RoomOptions::new("none") },
        ],
        max_rooms_per_session: 2,
        ..HubOptions::default()
    };
    let mut hub = Hub::new(options, 1);
    if plan.guarded {
        hub.set_access(Box::new(Guard));
    }
    let mut world = World {
        hub,
        now: Instant::from_millis(1),
        peers: Vec::new(),
        number: 0,
        largest: 0,
        durable: plan.durable,
        guarded: plan.guarded,
        stored: BTreeSet::new(),
    };
    for (who, step) in plan.steps.iter().take(STEPS) {
        world.step((*who).into(), step);
        world.check();
    }
    world.end();
}

impl World {
    fn step(&mut self, who: usize, step: &Step) {
        if let Step::Attach { policy, messages, bytes, window, expires } = *step {
            return self.attach(policy, messages, bytes, window, expires);
        }
        if let Step::Pass(millis) = *step {
            return self.pass(Duration::from_millis(u64::from(millis) << 2));
        }
        if self.peers.is_empty() {
            return;
        }
        let who = who % self.peers.len();
        let (now, key) = (self.now, self.peers[who].key);
        match *step {
            Step::Attach { .. } | Step::Pass(_) => {}
            Step::Detach => {
                let done = self.hub.detach(now, key);
                let peer = self.expect(who, done, |p| p.disconnected());
                if let Some(peer) = peer
                    && self.hub.is_attached(peer).is_none()
                {
                    self.peers[who].gone();
                }
            }
            Step::Reattach { window, received } => self.reattach(who, window, received),
            Step::Remove => {
                let done = self.hub.remove(now, key);
                self.expect(who, done, |p| p.gone());
            }
            Step::SetExpiry(some) => {
                let done = self.hub.set_expiry(key, if some { EXPIRY * 2 } else { Duration::ZERO });
                self.expect(who, done, |_| {});
            }
            Step::Subscribe { .. } => self.subscribe(who, step),
            Step::Unsubscribe(sid) => {
                let done = self.hub.unsubscribe(now, key, u64::from(sid % 8));
                let known = self.peers[who].subs.remove(&u64::from(sid % 8)).is_some();
                match done {
                    Err(Refusal::NoSession) => assert!(!self.peers[who].alive),
                    done => assert_eq!(done.is_ok(), known),
                }
            }
            Step::Publish { .. } => self.publish(who, step),
            Step::Drain { most, never } => self.drain(who, usize::from(most % 16), never),
            Step::Ack(by) => {
                let peer = &self.peers[who];
                let count = (peer.acked + peer.again as u64).saturating_add_signed(by.min(2).into());
                let good = count >= peer.acked && count <= peer.acked + peer.unacked.len() as u64;
                let done = self.hub.ack(now, key, count);
                assert_eq!(done.is_ok(), good && peer.alive, "{done:?}");
                if done.is_ok() {
                    self.peers[who].acknowledge(count);
                }
            }
            Step::Credit { sid, more } => self.credit(who, u64::from(sid % 8), more),
            Step::Request { .. } | Step::Respond { .. } | Step::Cancel(_) => self.call(who, step),
            Step::Join { .. } => self.join(who, step),
            Step::Leave(room) => self.leave(who, ROOMS[usize::from(room)]),
            Step::Say { .. } => self.say(who, step),
        }
    }

    /// Checks that a command which only wants a session found it, and applies it to the model.
    fn expect(
        &mut self,
        who: usize,
        done: Result<(), Refusal>,
        apply: impl FnOnce(&mut Peer),
    ) -> Option<SessionKey> {
        let peer = &mut self.peers[who];
        assert_eq!(done, if peer.alive { Ok(()) } else { Err(Refusal::NoSession) });
        if peer.alive {
            apply(peer);
        }
        peer.alive.then_some(peer.key)
    }

    fn attach(&mut self, policy: u8, messages: u8, bytes: u8, window: u8, expires: bool) {
        let policies = [Policy::DropOldest, Policy::DropNewest, Policy::Disconnect, Policy::SlowPublisher];
        let options = SessionOptions {
            identity: "someone",
            expiry: if expires { EXPIRY } else { Duration::ZERO },
            max_messages: u32::from(messages % 8),
            max_bytes: bytes.into(),
            policy: policies[usize::from(policy) % policies.len()],
            in_flight: u32::from(window % 6),
            ..SessionOptions::default()
        };
        let room = self.peers.iter().filter(|p| p.alive).count() < SESSIONS;
        let attached = self.hub.attach(self.now, &options);
        assert_eq!(attached.is_ok(), room);
        let Ok(key) = attached else { return };
        assert!(self.peers.iter().all(|p| p.key != key), "a key is never used twice");
        // Some that are gone stay, so that their keys are tried.
        self.peers.retain(|p| p.alive || self.number.is_multiple_of(2));
        self.peers.push(Peer {
            key,
            alive: true,
            attached: true,
            policy: options.policy,
            max_messages: options.max_messages.max(1).into(),
            max_bytes: options.max_bytes,
            window: options.in_flight.max(1).into(),
            acked: 0,
            unacked: VecDeque::new(),
            again: 0,
            subs: BTreeMap::new(),
            asked: BTreeMap::new(),
            serving: BTreeMap::new(),
            ready: false,
            held: false,
            dedup: VecDeque::new(),
        });
    }

    fn reattach(&mut self, who: usize, window: u8, received: Option<i8>) {
        let peer = &self.peers[who];
        let sent = peer.acked + peer.unacked.len() as u64;
        let received = received.map(|by| sent.saturating_add_signed(by.min(1).into()));
        let good = received.is_none_or(|n| n >= peer.acked && n <= sent);
        let done = self.hub.reattach(self.now, peer.key, u32::from(window % 6), received);
        assert_eq!(done.is_ok(), good && peer.alive, "{done:?}");
        if done.is_err() {
            return;
        }
        let peer = &mut self.peers[who];
        peer.disconnected();
        peer.attached = true;
        peer.window = u64::from(window % 6).max(1);
        peer.again = 0;
        for (initial, limit, used) in peer.subs.values_mut().filter_map(|s| s.credit.as_mut()) {
            (*limit, *used) = (*initial, 0);
        }
        if let Some(count) = received {
            peer.acknowledge(count);
        }
    }

    fn subscribe(&mut self, who: usize, step: &Step) {
        let Step::Subscribe { sid, filter, reliable, credit, no_local, serve } = *step else { return };
        let (sid, filter) = (u64::from(sid % 8), FILTERS[usize::from(filter) % FILTERS.len()]);
        let options = SubscribeOptions {
            quality: if reliable { Quality::AtLeastOnce } else { Quality::AtMostOnce },
            credit: credit.map(u64::from),
            no_local,
            serve,
            ..SubscribeOptions::default()
        };
        let done = self.hub.subscribe(self.now, self.peers[who].key, sid, filter, options);
        let peer = &mut self.peers[who];
        let sound = parse_filter(filter).is_ok() && sid > 0 && credit != Some(0);
        let Ok(()) = done else { return };
        assert!(peer.alive && peer.attached && sound);
        let credit = options.credit.map(|c| (c, c, 0));
        let last = match peer.subs.get(&sid) {
            Some(old) if old.filter == filter && old.serve == serve => old.last,
            _ => 0,
        };
        peer.subs.insert(sid, Sub { filter, serve, credit, last });
        assert!(peer.subs.values().filter(|s| s.credit.is_some()).count() <= 3);
        assert!(peer.subs.len() <= 8);
    }

    fn publish(&mut self, who: usize, step: &Step) {
        let Step::Publish { topic, size, reliable, dedup, expiry, own } = *step else { return };
        let topic = TOPICS[usize::from(topic) % TOPICS.len()];
        let Some(mut message) = self.message(topic, size) else { return };
        message = message.with_reliable(reliable);
        if let Some(expiry) = expiry {
            message = message.with_expiry(self.now + Duration::from_millis(u64::from(expiry) << 4));
        }
        if own {
            let outcome = self.hub.publish_own(self.now, message).expect("it has a topic");
            assert!(outcome.queued <= outcome.matched && !outcome.duplicate);
            return;
        }
        let peer = &mut self.peers[who];
        let id = dedup.map(|id| [id]);
        let may = peer.alive && peer.attached && !(self.guarded && topic == "b");
        let outcome = self.hub.publish(self.now, peer.key, message, id.as_ref().map(|id| &id[..]));
        assert_eq!(outcome.is_ok(), may, "{outcome:?}");
        let Ok(outcome) = outcome else { return };
        if let Some(id) = dedup {
            assert_eq!(outcome.duplicate, peer.dedup.contains(&id));
            if !outcome.duplicate {
                peer.dedup.push_back(id);
            }
            if peer.dedup.len() > 3 {
                peer.dedup.pop_front();
            }
        }
        assert!(outcome.queued <= outcome.matched);
    }

    fn join(&mut self, who: usize, step: &Step) {
        let Step::Join { sid, room, since, history, presence, credit } = *step else { return };
        let (sid, filter) = (u64::from(sid % 8), ROOMS[usize::from(room)]);
        let key = self.peers[who].key;
        let query = HistoryQuery::default();
        let epoch = self.hub.history(key, filter, &query).map_or(7, |page| page.epoch());
        let options = JoinOptions {
            since: since.map(|offset| (epoch, offset.into())),
            history: history.into(),
            presence: [PresenceMode::None, PresenceMode::Count, PresenceMode::Full]
                [usize::from(presence % 3)],
            data: b"here",
            credit: credit.map(u64::from),
        };
        let joined = self.hub.join(self.now, key, sid, &filter[6..], &options);
        let peer = &mut self.peers[who];
        let Ok(joined) = joined else { return };
        assert!(peer.alive && peer.attached && sid > 0 && credit != Some(0) && joined.count > 0);
        peer.subs.retain(|_, sub| sub.filter != filter);
        let credit = options.credit.map(|c| (c, c, 0));
        peer.subs.insert(sid, Sub { filter, serve: false, credit, last: 0 });
        assert!(peer.subs.len() <= 8 && self.hub.is_member(key, &filter[6..]));
    }

    fn leave(&mut self, who: usize, filter: &'static str) {
        let peer = &mut self.peers[who];
        let left = self.hub.leave(self.now, peer.key, &filter[6..]);
        assert_eq!(left.is_ok(), peer.alive);
        let before = peer.subs.len();
        peer.subs.retain(|_, sub| sub.filter != filter);
        assert_eq!(left.unwrap_or(false), peer.subs.len() < before);
    }

    fn say(&mut self, who: usize, step: &Step) {
        let Step::Say { room, size, key, ephemeral, echo, data } = *step else { return };
        let topic = ROOMS[usize::from(room)];
        let Some(message) = self.message(topic, size) else { return };
        let id = key.map(|key| [key % 4]);
        let key =
            id.as_ref().map(|id| if id[0] > 1 { PublishKey::User(id) } else { PublishKey::Session(id) });
        let peer = &self.peers[who];
        if data {
            let _ = self.hub.set_member_data(self.now, peer.key, &topic[6..], &[size]);
        }
        let outcome = self.hub.publish_with(
            self.now,
            peer.key,
            message,
            &PublishOptions { key, echo, ephemeral, ..PublishOptions::default() },
        );
        assert_eq!(outcome.is_ok(), peer.alive && peer.attached, "{outcome:?}");
        if let Ok(outcome) = outcome {
            assert!(outcome.queued <= outcome.matched);
            assert!(!outcome.duplicate || key.is_some());
            assert!(outcome.place.is_none_or(|place| place.offset > 0 && (!ephemeral || outcome.duplicate)));
        }
    }

    /// A message that no other is like.
    fn message(&mut self, topic: &str, size: u8) -> Option<Message> {
        self.number += 1;
        let mut payload = self.number.to_be_bytes().to_vec();
        payload.resize(4 + usize::from(size), 0);
        let message = Message::new(topic, &payload);
        assert_eq!(message.is_ok(), topic != "a/+");
        let message = message.ok()?;
        self.largest = self.largest.max(message.body().len() as u64);
        Some(message)
    }

    fn credit(&mut self, who: usize, sid: u64, more: u8) {
        let peer = &mut self.peers[who];
        let credit = peer.subs.get_mut(&sid).and_then(|s| s.credit.as_mut());
        let to = credit.as_ref().map_or(0, |(_, limit, _)| limit + u64::from(more)).saturating_sub(1);
        let done = self.hub.credit(self.now, peer.key, sid, to);
        assert_eq!(done.is_ok(), peer.alive);
        if let Some((_, limit, _)) = credit {
            *limit = to.max(*limit);
        }
    }

    fn call(&mut self, who: usize, step: &Step) {
        let (now, key) = (self.now, self.peers[who].key);
        match *step {
            Step::Request { id, topic, size, many, seconds } => {
                let id = u64::from(id % 8);
                let Some(message) = self.message(TOPICS[usize::from(topic) % TOPICS.len()], size) else {
                    return;
                };
                let options = RequestOptions { many, timeout: Duration::from_secs(seconds.into()) };
                let done = self.hub.request(now, key, id, message, options);
                let peer = &mut self.peers[who];
                if done.is_ok() {
                    assert!(peer.alive && peer.attached && id > 0);
                    *peer.asked.entry(id).or_default() += 1;
                }
                assert!(peer.asked.values().sum::<u32>() as usize <= REQUESTS_EACH);
            }
            Step::Respond { which, more, size } => {
                let open: Vec<u64> = self.peers[who].serving.keys().copied().collect();
                // Sometimes another session's.
                let all: Vec<u64> = self.peers.iter().flat_map(|p| p.serving.keys().copied()).collect();
                let from = if which > 0xe0 { &all } else { &open };
                let Some(id) = from.get(usize::from(which) % from.len().max(1)) else { return };
                let answer = Message::response(vec![which; size.into()]);
                let done = self.hub.respond(now, key, *id, Status::Ok, more, answer);
                if !open.contains(id) {
                    let other = matches!(done, Err(Refusal::NotAuthorized | Refusal::NotFound));
                    assert!(other || done == Err(Refusal::NoSession), "{done:?}");
                }
            }
            Step::Cancel(id) => {
                let id = u64::from(id % 8);
                if self.hub.cancel(now, key, id).is_ok() {
                    let open = self.peers[who].asked.remove(&id);
                    assert!(open.is_some(), "a request was taken back that was not made");
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self, who: usize, most: usize, never: u8) {
        let peer = &mut self.peers[who];
        let (mut taken, mut refused, mut controls, mut offered) = (0, false, 0, 0);
        let now = self.now;
        let drained = self.hub.drain(now, peer.key, |delivery| {
            assert!(peer.ready, "something to hand out, and nobody was told");
            assert!(!refused, "nothing comes after a refusal");
            controls += usize::from(matches!(delivery, Delivery::Response { .. } | Delivery::Cancel { .. }));
            peer.may_come(delivery);
            offered += 1;
            if never > 0 && offered % usize::from(never) == 0 {
                let again = peer.again < peer.unacked.len();
                refused = again || matches!(delivery, Delivery::Response { .. } | Delivery::Cancel { .. });
                // The hub may drop what is never taken, where that has no number.
                if let Delivery::Response { .. } | Delivery::Cancel { .. } = delivery {
                    return Take::Blocked;
                }
                return Take::Never;
            }
            if taken == most {
                refused = true;
                return Take::Blocked;
            }
            taken += 1;
            peer.take(delivery);
            Take::Taken
        });
        assert_eq!(drained.is_ok(), peer.alive && peer.attached);
        let Ok(drained) = drained else { return };
        assert_eq!((drained.taken as usize, drained.blocked), (taken, refused));
        let bound = peer.max_messages as usize + 2 * REQUESTS_EACH + LEGS;
        assert!(controls <= bound, "{controls} answers waited");
        peer.ready &= drained.blocked;
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut rounds = 0;
        while self.hub.poll_timeout().is_some_and(|d| d.at <= self.now) {
            self.hub.handle_timeout(self.now);
            rounds += 1;
            assert!(rounds < 10, "timers stay due");
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        while let Some(notice) = self.hub.poll_notice() {
            self.notice(&notice);
        }
        while let Some(key) = self.hub.poll_ready() {
            let peer = self.peers.iter_mut().find(|p| p.key == key && p.alive).expect("a session");
            assert!(peer.attached && !peer.ready, "told twice, or to nobody");
            peer.ready = true;
        }
        while let Some(operation) = self.hub.poll_operation() {
            self.store(&operation);
        }
        self.hub.check_invariants().expect("invariants");
        let counters = self.hub.counters();
        let alive = || self.peers.iter().filter(|p| p.alive);
        assert_eq!(counters.sessions as usize, alive().count());
        assert_eq!(counters.attached as usize, alive().filter(|p| p.attached).count());
        assert_eq!(counters.subscriptions as usize, alive().map(|p| p.subs.len()).sum::<usize>());
        let times = |p: &Peer| if p.policy == Policy::SlowPublisher { 2 } else { 1 };
        assert!(counters.queued <= alive().map(|p| p.max_messages * times(p)).sum());
        let bytes = |p: &Peer| (p.max_bytes * times(p)).max(self.largest);
        assert!(counters.queued_bytes <= alive().map(bytes).sum());
        for peer in &self.peers {
            let sent = peer.acked + peer.unacked.len() as u64;
            assert_eq!(self.hub.reliable(peer.key), peer.alive.then_some((peer.acked, sent)));
            assert_eq!(self.hub.is_attached(peer.key), peer.alive.then_some(peer.attached));
        }
    }

    fn notice(&mut self, notice: &Notice) {
        fn find(key: &SessionKey) -> impl FnMut(&&mut Peer) -> bool + use<> {
            let key = *key;
            move |p| p.key == key
        }
        let mut peers = self.peers.iter_mut();
        match notice {
            Notice::Hold(key) => {
                let peer = peers.find(find(key)).filter(|p| p.alive && !p.held).expect("one to hold");
                peer.held = true;
            }
            Notice::Release(key) => {
                let peer = peers.find(find(key)).filter(|p| p.alive && p.held).expect("one that is held");
                peer.held = false;
            }
            Notice::Disconnect(key, _) => {
                let peer = peers.find(find(key)).expect("a session");
                assert!(peer.alive && peer.attached && peer.policy == Policy::Disconnect);
            }
            Notice::Expired(key) => {
                if let Some(peer) = peers.find(find(key)) {
                    assert!(peer.alive && !peer.attached);
                    peer.gone();
                }
            }
            _ => {}
        }
    }

    fn store(&mut self, operation: &Operation) {
        assert!(self.durable);
        match operation {
            Operation::SessionCreated { session, .. } => assert!(self.stored.insert(*session)),
            Operation::SessionRemoved { session } => assert!(self.stored.remove(session)),
            _ => {}
        }
    }

    /// Everything ends, and nothing is left.
    fn end(&mut self) {
        self.pass(TIMEOUT);
        self.check();
        for who in 0..self.peers.len() {
            if self.peers[who].attached {
                self.drain(who, usize::MAX, 0);
                assert!(self.peers[who].asked.is_empty(), "a request without an end");
            }
        }
        for who in 0..self.peers.len() {
            if self.peers[who].alive {
                self.reattach(who, 5, None);
            }
        }
        for round in 0.. {
            self.check();
            for who in 0..self.peers.len() {
                self.settle(who);
            }
            if self.hub.counters().queued == 0 {
                break;
            }
            assert!(round < 100, "not everything is handed out");
        }
        self.check();
        assert!(self.peers.iter().all(|p| !p.alive || !p.held), "held for ever");
        for who in 0..self.peers.len() {
            let key = self.peers[who].key;
            let done = self.hub.remove(self.now, key);
            self.expect(who, done, Peer::gone);
            self.check();
        }
        let counters = self.hub.counters();
        assert_eq!((counters.subscriptions, counters.queued, counters.queued_bytes), (0, 0, 0));
        assert_eq!(counters.requests_in_flight, 0);
        assert_eq!(self.hub.poll_timeout(), None);
    }

    /// Grants all, takes all, acknowledges all.
    fn settle(&mut self, who: usize) {
        if !self.peers[who].alive {
            return;
        }
        let (now, key) = (self.now, self.peers[who].key);
        for (sid, sub) in &mut self.peers[who].subs {
            if let Some((_, limit, _)) = &mut sub.credit {
                *limit = MANY;
                self.hub.credit(now, key, *sid, MANY).expect("alive");
            }
        }
        self.check();
        self.drain(who, usize::MAX, 0);
        let peer = &mut self.peers[who];
        let count = peer.acked + peer.again as u64;
        self.hub.ack(now, key, count).expect("sent");
        peer.acknowledge(count);
    }
}

impl Peer {
    fn disconnected(&mut self) {
        self.attached = false;
        self.ready = false;
        self.asked.clear();
        self.serving.clear();
    }

    fn gone(&mut self) {
        self.disconnected();
        self.alive = false;
        self.subs.clear();
    }

    fn acknowledge(&mut self, count: u64) {
        while self.acked < count {
            self.unacked.pop_front();
            self.acked += 1;
            self.again = self.again.saturating_sub(1);
        }
    }

    /// Whether this may be handed out now.
    fn may_come(&self, delivery: &Delivery<'_>) {
        let coming_again = self.again < self.unacked.len();
        match *delivery {
            Delivery::Message { sid, message, quality, .. } => {
                let reliable = quality.is_reliable();
                let sub = self.subs.get(&sid);
                if let Some((_, limit, used)) = sub.and_then(|s| s.credit) {
                    assert!(used < limit, "handed out without credit");
                }
                assert!(!reliable || (self.again as u64) < self.window, "too many in flight");
                if coming_again {
                    let (expected, body) = &self.unacked[self.again];
                    assert!(reliable && (sid, &message.body()[..]) == (*expected, body), "a gap");
                    return;
                }
                let sub = sub.expect("a message for a subscription");
                let parsed = parse_filter(sub.filter).expect("valid");
                assert!(matches(parsed.filter, message.topic()) && !sub.serve);
                let number = number(message);
                assert!(parsed.group.is_some() || number > sub.last, "out of order");
            }
            Delivery::Request { id, sid, message, timeout, .. } => {
                assert!(!coming_again && timeout <= TIMEOUT && !self.serving.contains_key(&id));
                let sub = self.subs.get(&sid).expect("a request for a subscription");
                let parsed = parse_filter(sub.filter).expect("valid");
                assert!(matches(parsed.filter, message.topic()) && sub.serve);
                assert!(sub.credit.is_none_or(|(_, limit, used)| used < limit));
            }
            Delivery::Response { id, .. } => {
                assert!(self.asked.contains_key(&id), "an answer to nothing");
            }
            Delivery::Cancel { id } => {
                assert_eq!(self.serving.get(&id), Some(&false), "nothing to take back");
            }
            _ => {}
        }
    }

    fn take(&mut self, delivery: &Delivery<'_>) {
        let varint = |n| leb128::encoded_len(n) as u64;
        match *delivery {
            Delivery::Message { sid, message, quality, .. } => {
                let reliable = quality.is_reliable();
                let size = message.body().len() as u64;
                let again = self.again < self.unacked.len();
                if let Some(sub) = self.subs.get_mut(&sid) {
                    if let Some((_, _, used)) = &mut sub.credit {
                        *used += varint(sid) + size;
                    }
                    if !again {
                        sub.last = number(message);
                    }
                }
                if reliable && !again {
                    self.unacked.push_back((sid, message.body().to_vec()));
                }
                self.again += usize::from(reliable);
            }
            Delivery::Request { id, sid, message, timeout, .. } => {
                self.serving.insert(id, false);
                if let Some((_, _, used)) = self.subs.get_mut(&sid).and_then(|s| s.credit.as_mut()) {
                    let millis = varint(timeout.as_millis() as u64);
                    *used += varint(id) + varint(sid) + millis + message.body().len() as u64;
                }
            }
            Delivery::Response { id, more, .. } => {
                if !more && let Some(count) = self.asked.get_mut(&id) {
                    *count -= 1;
                    if *count == 0 {
                        self.asked.remove(&id);
                    }
                }
            }
            Delivery::Cancel { id } => {
                self.serving.insert(id, true);
            }
            _ => {}
        }
    }
}

fn number(message: &Message) -> u32 {
    let payload = message.payload();
    u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])
}
