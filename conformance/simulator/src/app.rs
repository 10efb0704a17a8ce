//! What the applications of the honest clients do, and what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_core::endpoint::client::{
    Client, ClientConfig, ClientEvent, Credentials, DropReason, IncomingRequest, Message, NoiseConfig,
    NoiseKeys, Publish, Reason, Reply, Request, RequestFailure, RequestHandle, ServerTrust, SubscribeOptions,
    SubscriptionId,
};
use bowline_core::entropy::Seeded;
use bowline_core::secure::SecretKey;
use bowline_core::session::{Properties, Property, SessionId};
use bowline_core::status::Status;
use bytes::Bytes;

use crate::mutant::Mutant;
use crate::oracle::Published;
use crate::pipes::Over;
use crate::plan::{FILTERS, Plan, SERVERS, SERVICES, SHARED, TOPICS};
use crate::trace::say;
use crate::world::{Owner, Phase, SECOND, SERVER_KEY, TOKEN, Wake, World, may_end};

/// How long after a trouble a client counts as undisturbed again.
pub(crate) const GRACE: u64 = 15 * SECOND;

/// A request of an application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: u64,
    pub(crate) deadline: u64,
    pub(crate) many: bool,
    pub(crate) ended: bool,
    /// When one who serves has answered for good, and who.
    pub(crate) answered: Option<(u64, u32)>,
}

/// An answer that an application gives later.
#[derive(Debug)]
struct Later {
    at: u64,
    handle: RequestHandle,
    asker: u32,
    number: u32,
    many: bool,
}

/// A client and its application.
pub(crate) struct Player {
    pub(crate) client: Client,
    pub(crate) link: Option<u32>,
    pub(crate) dialing: bool,
    pub(crate) wake: u64,
    pub(crate) spins: u32,
    pub(crate) recv_limit: usize,
    /// The application takes its events.
    pub(crate) reading: bool,
    /// Since when nothing disturbs its line; never, while something does.
    pub(crate) calm_since: u64,
    pub(crate) connected: bool,
    pub(crate) session: Option<SessionId>,
    /// It is leaving, or has left.
    pub(crate) leaving: bool,
    pub(crate) closed: bool,
    /// The application's subscriptions: the client's number, and the oracle's.
    pub(crate) subs: BTreeMap<SubscriptionId, (u32, bool)>,
    /// Those that serve.
    pub(crate) serves: BTreeMap<SubscriptionId, bool>,
    /// The messages that were published, by the client's numbers.
    ids: Vec<u32>,
    /// Of these the first that may not be done.
    first_open: usize,
    pub(crate) open: usize,
    pub(crate) asked: Vec<Asked>,
    pub(crate) waiting: usize,
    later: Vec<Later>,
    /// How readily it answers, in thousandths.
    answers: u64,
    /// A delivery that the mutant keeps back.
    kept: Option<(u32, u32, u32)>,
}

impl Player {
    pub(crate) fn new(world: &mut World, number: u32) -> Player {
        let plan = &world.plan;
        let config = config(plan, world.over, number, &mut world.rng);
        let recv_limit = config.session.limits.max_frame as usize + 64;
        let entropy = Box::new(Seeded::new(world.rng.next()));
        let client = Client::new(world.instant(), config, entropy);
        Player {
            client,
            link: None,
            dialing: false,
            wake: u64::MAX,
            spins: 0,
            recv_limit,
            reading: true,
            calm_since: u64::MAX,
            connected: false,
            session: None,
            leaving: false,
            closed: false,
            subs: BTreeMap::new(),
            serves: BTreeMap::new(),
            ids: Vec::new(),
            first_open: 0,
            open: 0,
            asked: Vec::new(),
            waiting: 0,
            later: Vec::new(),
            answers: world.rng.pick(&[1000, 950, 700]),
            kept: None,
        }
    }

    /// Whether it has nothing left to do or to be told.
    pub(crate) fn at_rest(&self) -> bool {
        self.closed
            || (self.connected
                && self.client.is_connected()
                && !self.client.has_events()
                && self.client.outgoing().messages == 0
                && self.open == 0
                && self.waiting == 0
                && self
                    .subs
                    .values()
                    .chain(self.serves.values().map(|s| (0u32, *s)).collect::<Vec<_>>().iter())
                    .all(|s| s.1))
    }
}

fn config(plan: &Plan, over: Over, number: u32, rng: &mut crate::rng::Rng) -> ClientConfig {
    let mut config = ClientConfig {
        name: format!("client-{number}"),
        expiry: plan.expiry,
        request_timeout: Duration::from_secs(10),
        ..ClientConfig::default()
    };
    if over == Over::Noise {
        let server = ServerTrust::Keys(vec![SecretKey::from_octets(SERVER_KEY).public()]);
        let mut noise = NoiseConfig::new(NoiseKeys::Static { own: None, server });
        noise.rekey.octets = 10_000;
        config.noise = Some(noise);
    }
    config.session.limits.credit = plan.credit;
    config.session.limits.in_flight = plan.in_flight;
    config.session.limits.max_frame = 8192;
    config.session.limits.keepalive = Some(plan.client_keepalive);
    config.backoff.cap = Duration::from_secs(5);
    if rng.chance(300) {
        config.credentials = Credentials::token(TOKEN);
    }
    if rng.chance(200) {
        config.outgoing.max_messages = 32;
    }
    if rng.chance(200) {
        config.incoming.max_messages = 64;
    }
    config.keep_unreliable = rng.chance(700);
    config
}

impl World {
    /// An application does something, and will do something again.
    pub(crate) fn act(&mut self, c: u32) {
        if self.phase != Phase::Work || self.players[c as usize].leaving {
            self.give_late_answers(c);
            if !self.players[c as usize].later.is_empty() {
                self.at(self.now + SECOND / 10, Wake::App(c));
            }
            return self.pump_client(c);
        }
        self.step += 1;
        let player = &self.players[c as usize];
        let first = player.ids.is_empty() && player.asked.is_empty() && player.subs.is_empty();
        let dice = self.rng.below(1000);
        if first {
            for _ in 0..self.rng.range(1, 3) {
                self.subscribe(c);
            }
            if self.plan.asking > 0 && self.rng.chance(400) {
                self.serve(c);
            }
        } else if dice < self.plan.changing {
            self.change(c);
        } else if dice < self.plan.changing + self.plan.asking {
            self.ask(c);
        } else if self.players[c as usize].reading {
            self.publish(c);
        }
        self.give_late_answers(c);
        self.pump_client(c);
        let pause = self.plan.pause.as_nanos() as u64;
        let pause = pause / 2 + self.rng.below(pause + 1);
        self.at(self.now + pause, Wake::App(c));
    }

    fn subscribe(&mut self, c: u32) {
        let shared = self.rng.chance(200);
        let filter = match shared {
            true => self.rng.range(SHARED as u64, FILTERS.len() as u64 - 1) as usize,
            false => self.rng.below(SHARED as u64) as usize,
        };
        let reliable = shared || self.rng.chance(800);
        let no_local = !shared && self.rng.chance(200);
        let credit = match self.plan.scenario {
            crate::plan::Scenario::Narrow => self.rng.range(1, 3000),
            _ => self.rng.range(32 << 10, 64 << 10),
        };
        let credit = self.rng.chance(300).then_some(credit);
        let options = SubscribeOptions { reliable, no_local, credit, ..SubscribeOptions::default() };
        let at = self.instant();
        let player = &mut self.players[c as usize];
        if let Ok(id) = player.client.subscribe(at, FILTERS[filter], options) {
            let sub = self.oracle.subscribe(c, filter as u8, reliable, no_local);
            player.subs.insert(id, (sub, false));
            say!(
                self,
                "client {c}: subscribes to {} as {}, oracle's {sub}, {options:?}",
                FILTERS[filter],
                id.get()
            );
        }
    }

    fn serve(&mut self, c: u32) {
        let filter = self.rng.pick(&SERVERS);
        let at = self.instant();
        let player = &mut self.players[c as usize];
        if let Ok(id) = player.client.serve(at, filter, SubscribeOptions::default()) {
            player.serves.insert(id, false);
            say!(self, "client {c}: serves {filter} as {}", id.get());
        }
    }

    fn change(&mut self, c: u32) {
        let at = self.instant();
        if self.rng.chance(300) {
            let _ = self.players[c as usize].client.ping(at);
        }
        let count = self.players[c as usize].subs.len() as u64;
        if count < 6 && self.rng.chance(600) {
            return self.subscribe(c);
        }
        let nth = self.rng.below(count.max(1)) as usize;
        let player = &mut self.players[c as usize];
        let Some((id, (sub, _))) = player.subs.iter().nth(nth).map(|(id, s)| (*id, *s)) else { return };
        if player.client.unsubscribe(at, id).is_ok() {
            player.subs.remove(&id);
            self.oracle.subs[sub as usize].ended = true;
            say!(self, "client {c}: unsubscribes {} (oracle's {sub})", id.get());
        }
    }

    fn publish(&mut self, c: u32) {
        let count = self.rng.range(1, self.plan.burst);
        for _ in 0..count {
            let n = self.oracle.published.len() as u32;
            let topic = self.rng.below(TOPICS.len() as u64) as u8;
            let reliable = self.rng.chance(self.plan.reliable);
            let expires = self.rng.chance(20);
            let named = reliable && !expires && self.rng.chance(50);
            let id = n.to_be_bytes();
            let expiry = [Property::Expiry(Duration::from_millis(200))];
            let name = [Property::Deduplication(&id)];
            let list: &[Property<'_>] = if expires {
                &expiry
            } else if named {
                &name
            } else {
                &[]
            };
            let mut memory = [0; 64];
            let Ok(properties) = Properties::write(list, &mut memory) else { return };
            if !self.publish_one(c, topic, reliable, expires, None, properties) {
                return;
            }
            if named && self.rng.chance(500) {
                self.publish_one(c, topic, reliable, false, Some(n), properties);
            }
        }
    }

    /// Says whether the client took it.
    fn publish_one(
        &mut self,
        c: u32,
        topic: u8,
        reliable: bool,
        expires: bool,
        same_as: Option<u32>,
        properties: Properties<'_>,
    ) -> bool {
        let n = self.oracle.published.len() as u32;
        let size = 8 + self.rng.below(self.plan.payload) as usize;
        let mut payload = vec![b'.'; size];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        payload[4..8].copy_from_slice(&c.to_be_bytes());
        let at = self.instant();
        let publish = Publish {
            topic: TOPICS[topic as usize],
            payload: Bytes::from(payload),
            properties,
            reliable,
            retain: false,
            secret: false,
        };
        let player = &mut self.players[c as usize];
        let Ok(id) = player.client.publish(at, publish) else { return false };
        player.ids.push(n);
        player.open += 1;
        if id.get() != player.ids.len() as u64 {
            self.fail(format!("client {c}: publish ids do not ascend by one: {}", id.get()));
            return false;
        }
        self.oracle.published.push(Published {
            by: c,
            topic,
            reliable,
            accepted: false,
            dropped: false,
            may_repeat: false,
            expires,
            forgiven: false,
            same_as,
            step: self.step,
            at: self.now,
        });
        self.tally.published += 1;
        self.trace.mix(10, u64::from(n), u64::from(c));
        say!(self, "client {c}: publishes {n} to {}, reliable: {reliable}", TOPICS[topic as usize]);
        true
    }

    fn ask(&mut self, c: u32) {
        let topic = self.rng.pick(&SERVICES);
        let many = self.rng.chance(300);
        let timeout = self.rng.millis(1000, 10_000);
        let at = self.instant();
        let player = &mut self.players[c as usize];
        let number = player.asked.len() as u32;
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&c.to_be_bytes());
        payload[4..].copy_from_slice(&number.to_be_bytes());
        let payload = Bytes::copy_from_slice(&payload);
        let request = Request { many, timeout: Some(timeout), ..Request::new(topic, payload) };
        let Ok(id) = player.client.request(at, request) else { return };
        let deadline = self.now + timeout.as_nanos() as u64;
        player.asked.push(Asked { at: self.now, deadline, many, ended: false, answered: None });
        player.waiting += 1;
        self.tally.requests += 1;
        say!(self, "client {c}: asks {topic} as {}, many: {many}, {timeout:?}", id.get());
        if self.rng.chance(30) {
            let player = &mut self.players[c as usize];
            if player.client.cancel(at, id) {
                player.waiting -= 1;
                player.asked[number as usize].ended = true;
                say!(self, "client {c}: cancels {}", id.get());
            }
        }
    }

    /// Takes the events of a client, where its application does. Says whether there were any.
    pub(crate) fn take_events(&mut self, c: u32) -> bool {
        let mut any = false;
        while self.players[c as usize].reading && self.wrong.is_none() {
            let Some(event) = self.players[c as usize].client.poll_event() else { break };
            any = true;
            self.on_event(c, event);
        }
        any
    }

    fn on_event(&mut self, c: u32, event: ClientEvent) {
        let player = &mut self.players[c as usize];
        if player.closed {
            return self.fail(format!("client {c}: an event after the last: {event:?}"));
        }
        match event {
            ClientEvent::Message { subscription, message } => self.on_message(c, subscription, &message),
            ClientEvent::Accepted { publish } => self.on_published(c, publish.get(), None),
            ClientEvent::Dropped { publish, why } => self.on_published(c, publish.get(), Some(why)),
            ClientEvent::Subscribed { subscription, status, reason } => {
                say!(
                    self,
                    "client {c}: subscription {} is answered: {status:?} {reason}",
                    subscription.get()
                );
                self.on_subscribed(c, subscription, status);
            }
            ClientEvent::Request(request) => self.on_request(c, &request),
            ClientEvent::Response { request, status, more, payload, .. } => {
                self.on_response(c, request.get(), status, more, &payload);
            }
            ClientEvent::RequestFailed { request, why } => {
                say!(self, "client {c}: request {} failed: {why}", request.get());
                self.end_request(c, request.get(), Some(why), None);
            }
            other => self.on_rare_event(c, other),
        }
    }

    fn on_rare_event(&mut self, c: u32, event: ClientEvent) {
        say!(self, "client {c}: {event:?}");
        let lately = self.disturbed > 0 && self.disturbed + GRACE > self.now;
        let grace = self.now + if lately { GRACE } else { 0 };
        let player = &mut self.players[c as usize];
        match event {
            ClientEvent::Connected { resumed, session, .. } => {
                if std::mem::replace(&mut player.connected, true) {
                    return self.fail(format!("client {c}: connected twice"));
                }
                player.session = session;
                // It may have been told late, when the line is in trouble already.
                let link = player.link.and_then(|l| self.links[l as usize].as_ref());
                let works = link.is_none_or(|k| !k.pipes.is_dead() && !k.pipes.is_stalled(self.now));
                player.calm_since = if works { grace } else { u64::MAX };
                self.trace.mix(11, u64::from(c), u64::from(resumed));
            }
            ClientEvent::Lost => {
                self.tally.lost += 1;
                self.trace.mix(12, u64::from(c), 0);
                self.lost(c);
            }
            ClientEvent::Disconnected { reason, .. } => self.on_disconnected(c, &reason),
            ClientEvent::Closed { reason, undelivered } => {
                self.trace.mix(13, u64::from(c), undelivered as u64);
                player.closed = true;
                player.connected = false;
                self.oracle.gone(c);
                if !self.players[c as usize].leaving {
                    self.fail(format!("client {c}: ended for good by itself: {reason}"));
                }
            }
            ClientEvent::Direct(_) => self.fail(format!("client {c}: a direct message that nobody sent")),
            _ => {}
        }
    }

    fn lost(&mut self, c: u32) {
        self.oracle.lost(c);
        let player = &mut self.players[c as usize];
        player.subs.values_mut().for_each(|s| s.1 = false);
        player.serves.values_mut().for_each(|s| *s = false);
        for n in &player.ids[player.first_open..] {
            let p = &mut self.oracle.published[*n as usize];
            if !p.accepted && !p.dropped {
                p.may_repeat = true;
            }
        }
    }

    fn on_disconnected(&mut self, c: u32, reason: &Reason) {
        let player = &mut self.players[c as usize];
        let was = std::mem::replace(&mut player.connected, false);
        let calm = was && player.calm_since <= self.now.saturating_sub(SECOND);
        player.calm_since = u64::MAX;
        if let Some(code) = reason.code()
            && !may_end(code)
        {
            return self.fail(format!("client {c} keeps to the protocol, and ended: {reason}"));
        }
        let policy = self.plan.policy == bowline_core::hub::Policy::Disconnect;
        if calm && self.phase < Phase::Leave && self.draining_until.is_none() && !policy {
            self.fail(format!("client {c} was disturbed by nothing, and lost its connection: {reason}"));
        }
    }

    fn on_subscribed(&mut self, c: u32, subscription: SubscriptionId, status: Status) {
        let player = &mut self.players[c as usize];
        if !status.is_ok() {
            return self.fail(format!("client {c}: a subscription was refused: {status:?}"));
        }
        if let Some((sub, confirmed)) = player.subs.get_mut(&subscription) {
            *confirmed = true;
            self.oracle.subs[*sub as usize].since = self.step;
        }
        if let Some(confirmed) = player.serves.get_mut(&subscription) {
            *confirmed = true;
        }
        self.step += 1;
    }

    fn on_message(&mut self, c: u32, subscription: SubscriptionId, message: &Message) {
        // What a hostile peer sends may look like a message to anything.
        if !self.hostiles.is_empty() && !TOPICS.contains(&message.topic()) {
            return;
        }
        let payload = message.payload();
        let number = payload.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let player = &self.players[c as usize];
        let (Some(n), Some((sub, _))) = (number, player.subs.get(&subscription).copied()) else {
            return self.fail(format!("client {c}: a message of nobody, or to no subscription"));
        };
        self.trace.mix(14, u64::from(sub), u64::from(n));
        say!(self, "client {c}: gets {n} for oracle's {sub}");
        let reliable = message.is_reliable();
        if reliable && self.mutated(Mutant::LoseDelivery) {
            return;
        }
        let by = self.oracle.published.get(n as usize).map_or(u32::MAX, |p| p.by);
        if self.players[c as usize].kept.is_none() && self.mutated(Mutant::SwapDeliveries) {
            self.players[c as usize].kept = Some((sub, by, n));
            return;
        }
        self.deliver(c, sub, n, message.topic(), reliable);
        if self.players[c as usize].kept.is_some_and(|k| (k.0, k.1) == (sub, by))
            && let Some((sub, _, n)) = self.players[c as usize].kept.take()
        {
            let topic = TOPICS[self.oracle.published[n as usize].topic as usize];
            self.deliver(c, sub, n, topic, reliable);
        }
        if self.mutated(Mutant::RepeatDelivery) {
            self.deliver(c, sub, n, message.topic(), reliable);
        }
    }

    fn deliver(&mut self, c: u32, sub: u32, n: u32, topic: &str, reliable: bool) {
        if let Err(why) = self.oracle.deliver(sub, n, topic, reliable) {
            return self.fail(format!("client {c}: {why}"));
        }
        let p = &self.oracle.published[n as usize];
        let took = self.now - p.at;
        // What a group's member could not take comes late to another.
        let own = (self.oracle.subs[sub as usize].filter as usize) < SHARED;
        if self.plan.prompt
            && own
            && took > self.plan.bound.as_nanos() as u64
            && self.players[c as usize].calm(p.at)
            && self.players[p.by as usize].calm(p.at)
        {
            let by = p.by;
            self.fail(format!(
                "late: message {n} of client {by} took {} ms to client {c}, both undisturbed",
                took / 1_000_000
            ));
        }
    }

    fn on_published(&mut self, c: u32, id: u64, why: Option<DropReason>) {
        let player = &mut self.players[c as usize];
        let Some(n) = player.ids.get(id as usize - 1) else {
            return self.fail(format!("client {c}: an answer to a publish that was not made: {id}"));
        };
        let p = &mut self.oracle.published[*n as usize];
        let n = *n;
        if p.accepted || p.dropped {
            return self.fail(format!("client {c}: publish {id} was answered twice"));
        }
        match why {
            None => p.accepted = true,
            Some(_) => p.dropped = true,
        }
        player.open -= 1;
        while let Some(first) = player.ids.get(player.first_open) {
            let p = &self.oracle.published[*first as usize];
            if !p.accepted && !p.dropped {
                break;
            }
            player.first_open += 1;
        }
        self.trace.mix(15, u64::from(c), id);
        say!(self, "client {c}: publish {n} is done, dropped: {why:?}");
    }

    fn on_request(&mut self, c: u32, request: &IncomingRequest) {
        let payload = request.message.payload();
        let word =
            |at: usize| payload.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let (Some(asker), Some(number)) = (word(0), word(4)) else {
            return self.fail(format!("client {c}: a request of nobody"));
        };
        self.trace.mix(16, u64::from(c), u64::from(asker) << 32 | u64::from(number));
        say!(self, "client {c}: is asked by {asker}, its {}", number + 1);
        let player = &self.players[c as usize];
        if !player.serves.contains_key(&request.subscription) {
            return self.fail(format!("client {c}: a request to no subscription that serves"));
        }
        let later = Later { at: self.now, handle: request.handle, asker, number, many: request.many };
        let (slow, answers) = (request.message.topic() == "ask/slow", player.answers);
        if !self.rng.chance(answers) {
            return;
        }
        if slow || self.rng.chance(200) {
            let at = self.now + self.rng.range(0, 6 * SECOND);
            self.players[c as usize].later.push(Later { at, ..later });
            if self.phase != Phase::Work {
                self.at(at, Wake::App(c));
            }
            return;
        }
        self.answer(c, &later);
    }

    fn give_late_answers(&mut self, c: u32) {
        let now = self.now;
        let all = std::mem::take(&mut self.players[c as usize].later);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|l| l.at <= now);
        self.players[c as usize].later = later;
        due.iter().for_each(|l| self.answer(c, l));
    }

    fn answer(&mut self, c: u32, l: &Later) {
        let at = self.instant();
        let mut payload = [0; 12];
        payload[..4].copy_from_slice(&l.asker.to_be_bytes());
        payload[4..8].copy_from_slice(&l.number.to_be_bytes());
        payload[8..].copy_from_slice(&c.to_be_bytes());
        let payload = Bytes::copy_from_slice(&payload);
        let parts = if self.rng.chance(200) { 2 } else { 0 };
        if self.mutated(Mutant::ForgetAnswer) {
            self.note_answer(c, l);
            return;
        }
        let player = &mut self.players[c as usize];
        for _ in 0..parts {
            let part = Reply { more: true, ..Reply::ok(payload.clone()) };
            let _ = player.client.respond(at, l.handle, part);
        }
        if player.client.respond(at, l.handle, Reply::ok(payload)).is_ok() {
            self.tally.responses += 1;
            say!(self, "client {c}: answers {}'s {}", l.asker, l.number + 1);
            self.note_answer(c, l);
            self.wake_owner(Owner::Client(c), self.now);
        }
    }

    /// Where one of those who were asked has answered, the asker must learn it.
    fn note_answer(&mut self, c: u32, l: &Later) {
        let now = self.now;
        if let Some(asked) = self.players[l.asker as usize].asked.get_mut(l.number as usize)
            && !l.many
        {
            asked.answered = Some((now, c));
        }
    }

    fn on_response(&mut self, c: u32, id: u64, status: Status, more: bool, payload: &[u8]) {
        self.trace.mix(17, u64::from(c), id ^ u64::from(more) << 60);
        say!(self, "client {c}: request {id} is answered with {status:?}, more: {more}");
        if status.is_ok() && !payload.is_empty() {
            let word =
                |at: usize| payload.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
            if (word(0), word(4)) != (Some(c), Some(id as u32 - 1)) {
                return self.fail(format!("client {c}: request {id} got the answer to another"));
            }
        }
        let asked = self.players[c as usize].asked.get(id as usize - 1).copied();
        if asked.is_none_or(|a| a.ended) {
            return self.fail(format!("client {c}: an answer to request {id} after its end"));
        }
        if !more && !self.mutated(Mutant::LoseResponse) {
            self.end_request(c, id, None, Some(status));
            if self.mutated(Mutant::RepeatResponse) {
                self.end_request(c, id, None, Some(status));
            }
        }
    }

    /// A request ends: once, and well where it was answered in time.
    fn end_request(&mut self, c: u32, id: u64, why: Option<RequestFailure>, status: Option<Status>) {
        let player = &mut self.players[c as usize];
        let Some(asked) = player.asked.get_mut(id as usize - 1) else {
            return self.fail(format!("client {c}: an end of a request that was not made: {id}"));
        };
        if std::mem::replace(&mut asked.ended, true) {
            return self.fail(format!("client {c}: request {id} ended twice"));
        }
        player.waiting -= 1;
        let asked = *asked;
        let bound = self.plan.bound.as_nanos() as u64;
        let failed = why.is_some() || matches!(status, Some(Status::Timeout | Status::ResponderGone));
        if failed
            && !asked.many
            && self.plan.prompt
            && let Some((at, by)) = asked.answered
            && at + bound < asked.deadline.min(self.now)
            && self.players[c as usize].calm(asked.at)
            && self.players[by as usize].calm(asked.at)
        {
            self.fail(format!(
                "client {c}: request {id} was answered by client {by} in time, and ended with {why:?} {status:?}"
            ));
        }
    }
}
