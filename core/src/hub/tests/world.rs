//! Random worlds: whatever is done in whatever order, the tables agree, nothing at least once is
//! lost, and order is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::plugin::{Ask, Client, Context, Interest, Placement, Plugin, Tags, Verdict};
use crate::topic::matches;

#[derive(Clone, Debug)]
enum Step {
    Attach,
    Detach(usize),
    /// Reattach; the flag says whether the peer tells what it has.
    Reattach(usize, bool),
    Remove(usize),
    Subscribe(usize, usize, Option<u64>),
    Unsubscribe(usize, usize),
    Publish(usize, usize, bool),
    /// Take so many deliveries at most.
    Drain(usize, usize),
    Ack(usize),
    Credit(usize),
    Request(usize, bool),
    Respond(usize, bool),
    Cancel(usize),
    Pass(u64),
}

const FILTERS: [&str; 10] =
    ["a", "a/b", "+", "#", "a/#", "+/b", "$share/g/a", "$share/g/#", "$share/h/a/+", "a/+"];
const TOPICS: [&str; 4] = ["a", "a/b", "b", "a/c"];

fn step() -> impl Strategy<Value = Step> {
    let who = 0usize..6;
    prop_oneof![
        2 => Just(Step::Attach),
        1 => who.clone().prop_map(Step::Detach),
        2 => (who.clone(), any::<bool>()).prop_map(|(s, r)| Step::Reattach(s, r)),
        1 => who.clone().prop_map(Step::Remove),
        6 => (who.clone(), 0..FILTERS.len(), prop::option::weighted(0.3, 1u64..40))
            .prop_map(|(s, f, c)| Step::Subscribe(s, f, c)),
        1 => (who.clone(), any::<usize>()).prop_map(|(s, n)| Step::Unsubscribe(s, n)),
        12 => (who.clone(), 0..TOPICS.len(), prop::bool::weighted(0.7))
            .prop_map(|(s, t, r)| Step::Publish(s, t, r)),
        6 => (who.clone(), 0usize..8).prop_map(|(s, n)| Step::Drain(s, n)),
        4 => who.clone().prop_map(Step::Ack),
        2 => who.clone().prop_map(Step::Credit),
        3 => (who.clone(), any::<bool>()).prop_map(|(s, m)| Step::Request(s, m)),
        3 => (who.clone(), any::<bool>()).prop_map(|(s, m)| Step::Respond(s, m)),
        1 => who.prop_map(Step::Cancel),
        1 => (1u64..40_000).prop_map(Step::Pass),
    ]
}

/// What a peer knows.
struct Peer {
    key: SessionKey,
    attached: bool,
    /// Deliveries at least once that it has received in all: what it would acknowledge.
    received: u64,
    /// How many of those that come next it has already (they come again).
    again: u64,
    acked: u64,
    subs: BTreeMap<u64, (&'static str, Option<u64>)>,
    /// Numbers received, by subscription.
    log: BTreeMap<u64, Vec<u64>>,
    /// Numbers that must be received in the end, by subscription (shared ones aside).
    owed: BTreeMap<u64, Vec<u64>>,
    used: BTreeMap<u64, u64>,
    requests: BTreeSet<u64>,
    serving: Vec<u64>,
}

struct World {
    s: Story,
    peers: Vec<Peer>,
    options: SessionOptions<'static>,
    next: u64,
    ready: BTreeSet<SessionKey>,
    /// Deliveries at least once of shared groups: filter, number.
    shared: Vec<(&'static str, u64)>,
    shared_log: BTreeSet<(&'static str, u64)>,
    lossless: bool,
    /// All that was handed out and told, in order.
    log: Vec<String>,
    /// There is a [`Judge`].
    judged: bool,
}

impl World {
    fn new(options: SessionOptions<'static>, lossless: bool) -> Self {
        // Messages that are also kept: the tables must agree on those too.
        let history = vec![HistoryOptions { max_messages: 3, ..HistoryOptions::new("a/#") }];
        let hub =
            HubOptions { max_sessions: 6, max_requests_per_session: 4, history, ..HubOptions::default() };
        Self {
            s: Story::with(hub),
            peers: vec![],
            options,
            next: 1,
            ready: BTreeSet::new(),
            shared: vec![],
            shared_log: BTreeSet::new(),
            lossless,
            log: vec![],
            judged: false,
        }
    }

    fn add(&mut self, name: &str, plugin: impl Plugin + 'static) {
        self.s.hub.add_plugin(self.s.now, name, Box::new(plugin), Placement::default()).unwrap();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn apply(&mut self, step: &Step) {
        if let Step::Attach = step {
            if let Ok(key) = self.s.hub.attach(self.s.now, &self.options) {
                self.peers.push(Peer {
                    key,
                    attached: true,
                    received: 0,
                    again: 0,
                    acked: 0,
                    subs: BTreeMap::new(),
                    log: BTreeMap::new(),
                    owed: BTreeMap::new(),
                    used: BTreeMap::new(),
                    requests: BTreeSet::new(),
                    serving: vec![],
                });
            }
        } else if !self.peers.is_empty() {
            self.apply_to_peer(step);
        }
        self.ready.extend(self.s.ready());
        for notice in self.s.notices() {
            self.log.push(format!("{notice:?}"));
            match notice {
                Notice::Expired(key) => self.peers.retain(|p| p.key != key),
                Notice::Disconnect(key, _) => assert_eq!(self.s.hub.is_attached(key), Some(true)),
                _ => {}
            }
        }
        let mut shared = core::mem::take(&mut self.shared);
        shared.retain(|(filter, _)| self.has_member(filter));
        self.shared = shared;
        self.s.hub.check_invariants().unwrap();
        let counters = self.s.hub.counters();
        assert_eq!(counters.sessions, self.peers.len() as u64);
        assert_eq!(counters.attached, self.peers.iter().filter(|p| p.attached).count() as u64);
        let bound = u64::from(self.options.max_messages) * 2 * counters.sessions;
        assert!(counters.queued <= bound);
    }

    fn apply_to_peer(&mut self, step: &Step) {
        let count = self.peers.len();
        let now = self.s.now;
        match *step {
            Step::Attach => {}
            Step::Pass(millis) => self.s.pass(millis),
            Step::Detach(i) => self.detach(i % count),
            Step::Remove(i) => {
                let peer = self.peers.remove(i % count);
                self.s.hub.remove(now, peer.key).unwrap();
            }
            Step::Reattach(i, tell) => self.reattach(i % count, tell),
            Step::Subscribe(i, filter, credit) => self.subscribe(i % count, FILTERS[filter], credit),
            Step::Unsubscribe(i, n) => {
                let peer = &mut self.peers[i % count];
                let sids: Vec<_> = peer.subs.keys().copied().collect();
                if let Some(sid) = sids.get(n % sids.len().max(1)) {
                    self.s.hub.unsubscribe(now, peer.key, *sid).unwrap();
                    peer.subs.remove(sid);
                    peer.owed.remove(sid);
                }
            }
            Step::Publish(i, topic, reliable) => self.publish(i % count, TOPICS[topic], reliable),
            Step::Drain(i, most) => self.drain(i % count, most),
            Step::Ack(i) => {
                let peer = &mut self.peers[i % count];
                if peer.attached && peer.again == 0 {
                    peer.acked = peer.received;
                    self.s.hub.ack(now, peer.key, peer.received).unwrap();
                }
            }
            Step::Credit(i) => {
                let peer = &self.peers[i % count];
                for (sid, used) in &peer.used {
                    self.s.hub.credit(now, peer.key, *sid, used + 20).unwrap();
                }
            }
            _ => self.apply_request(step),
        }
    }

    fn apply_request(&mut self, step: &Step) {
        let count = self.peers.len();
        let now = self.s.now;
        match *step {
            Step::Request(i, many) => {
                let id = self.number();
                let peer = &mut self.peers[i % count];
                let message = Message::new("serve/x", b"").unwrap();
                let options = RequestOptions { many, timeout: Duration::from_secs(20) };
                if self.s.hub.request(now, peer.key, id, message, options).is_ok() {
                    peer.requests.insert(id);
                }
            }
            Step::Respond(i, more) => {
                let peer = &mut self.peers[i % count];
                if let Some(id) = peer.serving.pop() {
                    let _ = self.s.hub.respond(now, peer.key, id, Status::Ok, more, Message::response("r"));
                }
            }
            Step::Cancel(i) => {
                let peer = &mut self.peers[i % count];
                if let Some(id) = peer.requests.first().copied()
                    && self.s.hub.cancel(now, peer.key, id).is_ok()
                {
                    peer.requests.remove(&id);
                }
            }
            _ => {}
        }
    }

    fn detach(&mut self, i: usize) {
        let peer = &mut self.peers[i];
        self.s.hub.detach(self.s.now, peer.key).unwrap();
        peer.attached = false;
        peer.requests.clear();
        peer.serving.clear();
    }

    fn reattach(&mut self, i: usize, tell: bool) {
        let peer = &mut self.peers[i];
        self.s.hub.reattach(self.s.now, peer.key, 3, tell.then_some(peer.received)).unwrap();
        peer.attached = true;
        peer.requests.clear();
        peer.serving.clear();
        peer.used.values_mut().for_each(|used| *used = 0);
        if tell {
            peer.acked = peer.received;
        }
        peer.again = peer.received - peer.acked;
    }

    fn subscribe(&mut self, i: usize, filter: &'static str, credit: Option<u64>) {
        let sid = self.number();
        let peer = &mut self.peers[i];
        let options = SubscribeOptions { credit, ..RELIABLE };
        if self.s.hub.subscribe(self.s.now, peer.key, sid, filter, options).is_ok() {
            peer.subs.insert(sid, (filter, credit));
            if credit.is_some() {
                peer.used.insert(sid, 0);
            }
            peer.used.insert(1, 0);
            let serve = SubscribeOptions { credit, ..SERVE };
            self.s.hub.subscribe(self.s.now, peer.key, 1, "serve/+", serve).unwrap();
        }
    }

    fn publish(&mut self, i: usize, topic: &str, reliable: bool) {
        let number = self.number();
        let message = Message::new(topic, number.to_string().as_bytes()).unwrap().with_reliable(reliable);
        let peer = &self.peers[i];
        let dedup = number.to_le_bytes();
        let done = self.s.hub.publish(self.s.now, peer.key, message.clone(), Some(&dedup));
        let fate = Fate::of(number, self.judged);
        let Ok(outcome) = done else {
            assert!(!peer.attached || (fate == Fate::Refused && done == Err(Refusal::Plugin(NO))));
            return;
        };
        let again = self.s.hub.publish(self.s.now, peer.key, message, Some(&dedup)).unwrap();
        assert!(again.duplicate, "a dropped one too");
        if fate == Fate::Dropped {
            assert_eq!((outcome.matched, outcome.duplicate), (0, false));
            return;
        }
        let mut groups = BTreeSet::new();
        let mut matched = 0;
        for peer in &mut self.peers {
            for (sid, (filter, _)) in &peer.subs {
                let parsed = crate::topic::parse_filter(filter).unwrap();
                if !matches(parsed.filter, topic) {
                    continue;
                }
                if parsed.group.is_some() {
                    groups.insert(*filter);
                    continue;
                }
                matched += 1;
                if reliable && fate == Fate::Delivered {
                    peer.owed.entry(*sid).or_default().push(number);
                }
            }
        }
        assert_eq!(outcome.matched as usize, matched + groups.len());
        if reliable && fate == Fate::Delivered {
            self.shared.extend(groups.into_iter().map(|filter| (filter, number)));
        }
    }

    fn drain(&mut self, i: usize, most: usize) {
        let peer = &mut self.peers[i];
        if !peer.attached {
            return;
        }
        let (shared_log, log, key) = (&mut self.shared_log, &mut self.log, peer.key);
        let mut taken = 0;
        let take = |delivery: &Delivery<'_>| {
            if taken == most {
                return false;
            }
            taken += 1;
            log.push(line(delivery));
            peer.take(delivery, shared_log);
            true
        };
        let drained = self.s.hub.drain(self.s.now, key, take).unwrap();
        assert_eq!(drained.taken as usize, taken);
        if !drained.blocked {
            self.ready.remove(&peer.key);
        }
    }

    /// Everyone comes back, reads what they are told of, and grants what is needed.
    fn settle(&mut self) {
        for i in 0..self.peers.len() {
            if !self.peers[i].attached {
                self.apply(&Step::Reattach(i, true));
            }
        }
        self.apply(&Step::Pass(20_000));
        for _ in 0..500 {
            for i in 0..self.peers.len() {
                self.apply(&Step::Credit(i));
                if self.ready.contains(&self.peers[i].key) {
                    self.apply(&Step::Drain(i, usize::MAX));
                }
                self.apply(&Step::Ack(i));
            }
            if self.ready.is_empty() && self.s.hub.counters().queued == 0 {
                break;
            }
        }
        assert_eq!(self.s.hub.counters().queued, 0, "all were told of all there is");
        for peer in &self.peers {
            assert_eq!(peer.requests, BTreeSet::new(), "every request ends");
            for (sid, owed) in peer.owed.iter().filter(|_| self.lossless) {
                let log = peer.log.get(sid).map_or(&[][..], |log| log);
                let sure: Vec<u64> = log.iter().copied().filter(|n| owed.contains(n)).collect();
                assert_eq!(&sure, owed, "nothing is lost, doubled or out of order");
            }
        }
        for owed in self.shared.iter().filter(|_| self.lossless) {
            assert!(self.shared_log.contains(owed), "{owed:?} went to no member");
        }
    }

    /// Whether a group has a member; without one, its messages have nobody to go to.
    fn has_member(&self, filter: &str) -> bool {
        self.peers.iter().any(|p| p.subs.values().any(|s| s.0 == filter))
    }

    /// Ends all sessions; nothing must be left.
    fn end(&mut self) {
        while !self.peers.is_empty() {
            self.apply(&Step::Remove(0));
        }
        let counters = self.s.hub.counters();
        assert_eq!((counters.subscriptions, counters.requests_in_flight, counters.queued_bytes), (0, 0, 0));
        assert_eq!(self.s.hub.poll_timeout(), None);
    }
}

impl Peer {
    fn take(&mut self, delivery: &Delivery<'_>, shared_log: &mut BTreeSet<(&'static str, u64)>) {
        match delivery {
            Delivery::Message { sid, message, quality, .. } => {
                let reliable = &quality.is_reliable();
                if let Some((filter, credit)) = self.subs.get(sid) {
                    if credit.is_some() {
                        *self.used.get_mut(sid).unwrap() += message.body().len() as u64 + 1;
                    }
                    if *reliable && filter.starts_with("$share") {
                        let number: u64 = std::str::from_utf8(message.payload()).unwrap().parse().unwrap();
                        shared_log.insert((filter, number));
                    }
                }
                if *reliable && self.again > 0 {
                    self.again -= 1;
                    return;
                }
                self.received += u64::from(*reliable);
                let number: u64 = std::str::from_utf8(message.payload()).unwrap().parse().unwrap();
                let shared = self.subs.get(sid).is_some_and(|(f, _)| f.starts_with("$share"));
                let log = self.log.entry(*sid).or_default();
                assert!(shared || log.last().is_none_or(|last| *last < number), "order is kept");
                log.push(number);
            }
            Delivery::Request { id, sid, .. } => {
                assert_eq!(*sid, 1);
                *self.used.entry(1).or_default() += 40;
                self.serving.push(*id);
            }
            Delivery::Response { id, more, .. } => {
                assert!(self.requests.contains(id), "an answer to a request in flight");
                if !more {
                    self.requests.remove(id);
                }
            }
            Delivery::Release { .. } | Delivery::Joined { .. } | Delivery::Presence { .. } => {
                unreachable!("nothing is settled by ids here, nobody is in a room")
            }
            Delivery::Cancel { id } => self.serving.retain(|serving| serving != id),
        }
    }
}

/// Is asked everything, and lets everything pass.
struct Pass;

impl Plugin for Pass {
    fn interest(&self) -> Interest {
        Interest::ALL
    }
}

const NO: Rejection = Rejection::busy("not this one");

/// What becomes of a message, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Refused,
    Dropped,
    /// For each receiver.
    Withheld,
}

impl Fate {
    fn of(number: u64, judged: bool) -> Self {
        match number {
            _ if !judged => Self::Delivered,
            n if n % 5 == 1 => Self::Refused,
            n if n % 7 == 2 => Self::Dropped,
            n if n % 3 == 0 => Self::Withheld,
            _ => Self::Delivered,
        }
    }

    fn of_message(message: &Message) -> Self {
        let number = core::str::from_utf8(message.payload()).ok().and_then(|text| text.parse().ok());
        number.map_or(Self::Delivered, |number| Self::of(number, true))
    }
}

/// Does so.
struct Judge;

impl Plugin for Judge {
    fn interest(&self) -> Interest {
        Interest::MESSAGE_IN | Interest::MESSAGE_OUT | Interest::ASKED | Interest::CONNECT
    }

    fn connect(&mut self, _: &mut Context<'_>, _: &Client<'_>, _: &mut Tags) -> Result<(), Rejection> {
        unreachable!("there is no server")
    }

    fn asked(&mut self, _: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>) -> Result<(), Rejection> {
        assert!(client.session.is_some() && !ask.subject().is_empty());
        Ok(())
    }

    fn message_in(&mut self, _: &mut Context<'_>, _: &Client<'_>, message: &Message) -> Verdict {
        match Fate::of_message(message) {
            Fate::Refused => Verdict::Refuse(NO),
            Fate::Dropped => Verdict::Drop,
            Fate::Withheld | Fate::Delivered => Verdict::Pass,
        }
    }

    fn message_out(&self, _: Instant, _: &Client<'_>, message: &Message) -> Verdict {
        match Fate::of_message(message) {
            Fate::Withheld => Verdict::Drop,
            fate => {
                assert_eq!(fate, Fate::Delivered, "what was kept out is not in");
                Verdict::Pass
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// With room in the queues nothing at least once is lost, whatever happens to connections.
    #[test]
    fn nothing_sure_is_lost(steps in prop::collection::vec(step(), 1..120)) {
        let options = SessionOptions { in_flight: 3, expiry: Duration::from_secs(3600), ..SessionOptions::default() };
        let mut world = World::new(options, true);
        for step in &steps {
            world.apply(step);
        }
        world.settle();
        world.end();
    }

    /// A chain that lets everything pass changes nothing of what anybody is handed or told.
    #[test]
    fn who_lets_pass_changes_nothing(
        steps in prop::collection::vec(step(), 1..80),
        plugins in 1usize..7,
        switch in any::<usize>(),
    ) {
        let options = SessionOptions { in_flight: 3, expiry: Duration::from_secs(3600), ..SessionOptions::default() };
        let (mut plain, mut chained) = (World::new(options, true), World::new(options, true));
        for n in 0..plugins {
            chained.add(&format!("p{n}"), Pass);
        }
        for (at, step) in steps.iter().enumerate() {
            plain.apply(step);
            chained.apply(step);
            if at == switch % steps.len() {
                chained.s.hub.enable_plugin(chained.s.now, "p0", false).unwrap();
                chained.add("more", Pass);
            }
        }
        plain.settle();
        chained.settle();
        prop_assert_eq!(&plain.log, &chained.log);
        prop_assert_eq!(plain.s.hub.counters(), chained.s.hub.counters());
        chained.end();
    }

    /// Where some messages are refused, dropped, or kept from their receivers, all others arrive as ever.
    #[test]
    fn what_is_not_dropped_is_not_lost(steps in prop::collection::vec(step(), 1..120)) {
        let options = SessionOptions { in_flight: 3, expiry: Duration::from_secs(3600), ..SessionOptions::default() };
        let mut world = World::new(options, true);
        world.judged = true;
        world.add("judge", Judge);
        for step in &steps {
            world.apply(step);
        }
        world.settle();
        world.end();
    }

    /// With hardly any room the tables still agree, bounds hold and every request ends.
    #[test]
    fn little_room(
        steps in prop::collection::vec(step(), 1..120),
        max_messages in 1u32..6,
        policy in prop::sample::select(
            vec![Policy::DropOldest, Policy::DropNewest, Policy::Disconnect, Policy::SlowPublisher]
        ),
    ) {
        let expiry = Duration::from_secs(60);
        let options = SessionOptions { in_flight: 2, expiry, max_messages, policy, max_bytes: 60, ..SessionOptions::default() };
        let mut world = World::new(options, false);
        for step in &steps {
            world.apply(step);
        }
        world.settle();
        world.end();
    }
}
