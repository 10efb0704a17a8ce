//! A whole server that MQTT is spoken to: honest clients, liars and noise on several connections,
//! of both versions, cut anywhere, stalled, timed out, taken over, with a store that is behind or
//! takes nothing. What it says must be packets that a client reads, and acknowledge nothing that was
//! not sent; everybody is told of the end of each connection once; nothing is left when all are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::endpoint::server::{ConnectionKey, Peer, QueueLimits, Server, ServerConfig, ServerEvent};
use bowline_core::entropy::Seeded;
use bowline_core::hub::{HubOptions, Policy};
use bowline_core::lifecycle::Transport;
use bowline_core::mqtt::{
    Ack, AckKind, Auth, Connect, Delivery, Disconnect, Filters, Head, Packet, PacketId, Properties, Property,
    Publish, Qos, ReasonCode, RetainHandling, Subscribe, Subscription, SubscriptionOptions, Subscriptions,
    Unsubscribe, Version, Will,
};
use bowline_core::session::Code;
use bowline_core::time::{Instant, Why};

const STEPS: usize = 300;
const CONNECTIONS: usize = 4;
const EXPIRY: Duration = Duration::from_secs(60);
const ROOM: usize = 1 << 20;
const LITTLE: usize = 4096;
/// After so many octets it is known what a CONNECT is of.
const OPENING: usize = 11;

const IDS: [&str; 4] = ["", "a", "b", "c"];
const FILTERS: [&str; 7] = ["a", "a/+", "#", "$share/g/#", "$share/g/a", "$queue/q", "$SYS/#"];
const TOPICS: [&str; 6] = ["a", "a/b", "b", "$queue/q", "$reply/0/1", "$SYS/x"];
const KINDS: [AckKind; 4] = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    policy: u8,
    messages: u8,
    receive_maximum: u8,
    durable: bool,
    steps: Vec<(u8, Step<'a>)>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Accept { little: bool },
    Connect { id: u8, flags: u8, receive_maximum: u8, largest: u8 },
    Publish { topic: u8, flags: u8, id: u8, size: u16, properties: u8 },
    Ack { kind: u8, id: u8, reason: u8 },
    Subscribe { filter: u8, options: u8, identifier: u8 },
    Unsubscribe { filter: u8 },
    Ping,
    Auth { again: bool, data: &'a [u8] },
    Leave { reason: u8, expiry: Option<u8> },
    Raw(&'a [u8]),
    Corrupt { from_end: u8, byte: u8 },
    Up(u8),
    Run,
    Stall,
    Pass(u16),
    Eof,
    Disconnect,
    Close(u8),
    Commit,
    Available(bool),
    Drain(u8),
}

/// A connection, from both ends.
struct Line {
    key: ConnectionKey,
    version: Option<Version>,
    /// All that it said was put together by the codec, and its first packet CONNECT.
    honest: bool,
    wire: Vec<u8>,
    /// Octets that have reached the server.
    fed: usize,
    at_server: GrowingRecvBuf,
    down: SharedSendBuf,
    /// What the server said and is no whole packet yet.
    rest: Vec<u8>,
    /// Identifiers of what the client sent and that is to be acknowledged, and whether it can be
    /// released: with QoS 2, once.
    sent: BTreeMap<u16, bool>,
    stalled: bool,
    opened: u32,
    closed: u32,
    gone: bool,
}

struct World {
    server: Server,
    now: Instant,
    lines: Vec<Line>,
    by_key: BTreeMap<ConnectionKey, usize>,
    operations: u64,
    draining: bool,
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn mqtt_server(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut world = World {
        server: Server::new(config(&plan), Box::new(Seeded::new(5))),
        now: Instant::from_millis(1),
        lines: Vec::new(),
        by_key: BTreeMap::new(),
        operations: 0,
        draining: false,
    };
    for (who, step) in plan.steps.iter().take(STEPS) {
        world.step((*who).into(), step);
        world.check();
    }
    world.end();
}

fn config(plan: &Plan<'_>) -> ServerConfig {
    let policies = [Policy::DropOldest, Policy::DropNewest, Policy::Disconnect, Policy::SlowPublisher];
    let mut config = ServerConfig {
        hub: HubOptions {
            max_sessions: 6,
            max_subscriptions: 16,
            max_subscriptions_per_session: 6,
            max_expiry: EXPIRY,
            durable: plan.durable,
            ..HubOptions::default()
        },
        queue: QueueLimits {
            max_messages: u32::from(plan.messages % 16) + 1,
            max_bytes: 1 << 16,
            policy: policies[usize::from(plan.policy) % policies.len()],
        },
        max_connections: CONNECTIONS,
        ..ServerConfig::default()
    };
    config.mqtt.line.max_packet = 4096;
    config.mqtt.line.max_connect_packet = 4096;
    config.mqtt.line.receive_maximum = u16::from(plan.receive_maximum).max(1);
    config.mqtt.check_payload_format = plan.policy & 4 != 0;
    config
}

fn pick<T: Copy>(from: &[T], which: u8) -> T {
    from[usize::from(which) % from.len()]
}

impl World {
    fn step(&mut self, who: usize, step: &Step<'_>) {
        match *step {
            Step::Accept { little } => return self.accept(little),
            Step::Pass(millis) => return self.pass(Duration::from_millis(millis.into())),
            Step::Run => return self.run(),
            Step::Commit => return self.commit(),
            Step::Available(available) => return self.server.set_store_available(available),
            Step::Drain(seconds) => {
                self.draining = true;
                let elsewhere = if seconds & 1 == 0 { "" } else { "elsewhere" };
                let deadline = Duration::from_secs(u64::from(seconds >> 4));
                return self.server.drain(self.now, deadline, Duration::ZERO, elsewhere);
            }
            _ => {}
        }
        if self.lines.is_empty() {
            return;
        }
        let who = who % self.lines.len();
        let (now, key) = (self.now, self.lines[who].key);
        let line = &mut self.lines[who];
        match *step {
            Step::Raw(bytes) => line.lie(bytes),
            Step::Corrupt { from_end, byte } => {
                line.lie(&[]);
                if let Some(b) = line.wire.iter_mut().rev().nth(from_end.into()) {
                    *b = byte;
                }
            }
            Step::Up(n) => drop(self.up(who, usize::from(n) + 1)),
            Step::Stall => line.stalled = !line.stalled,
            Step::Eof => {
                line.spoken_to();
                self.server.handle_eof(now, key);
            }
            Step::Disconnect => self.disconnect(who),
            Step::Close(code) => {
                line.spoken_to();
                self.server.close(now, key, Code::from_number(code.into()), "closed");
            }
            ref other => line.say(other),
        }
    }

    fn accept(&mut self, little: bool) {
        let open = self.lines.iter().filter(|l| !l.gone).count();
        let accepted = self.server.accept(self.now, Peer::default());
        assert!(accepted.is_err() || (open < CONNECTIONS && !self.draining));
        let Ok(key) = accepted else { return };
        if self.lines.len() > 2 * CONNECTIONS {
            self.lines.retain(|l| !l.gone);
        }
        self.lines.push(Line {
            key,
            version: None,
            honest: true,
            wire: Vec::new(),
            fed: 0,
            at_server: GrowingRecvBuf::new(2 * LITTLE + 16),
            down: SharedSendBuf::new(if little { LITTLE } else { ROOM }),
            rest: Vec::new(),
            sent: BTreeMap::new(),
            stalled: false,
            opened: 0,
            closed: 0,
            gone: false,
        });
        self.by_key = self.lines.iter().enumerate().map(|(i, l)| (l.key, i)).collect();
    }

    /// At most `n` octets reach the server; says whether anything did.
    fn up(&mut self, who: usize, n: usize) -> bool {
        let (now, line) = (self.now, &mut self.lines[who]);
        let n = n.min(line.wire.len());
        let pushed = line.at_server.push(&line.wire[..n]);
        line.wire.drain(..pushed);
        line.fed += pushed;
        let before = line.at_server.filled().len();
        self.server.recv(now, line.key, &mut line.at_server, &mut line.down);
        before != line.at_server.filled().len()
    }

    /// All that waits reaches the client; says whether anything did.
    fn down(&mut self, who: usize) -> bool {
        let verdict = self.transmit(who);
        let (now, line) = (self.now, &mut self.lines[who]);
        if line.stalled && verdict != Transport::Abort {
            return false;
        }
        let all: Vec<u8> = line.down.slices().flatten().copied().collect();
        line.down.sent(all.len());
        self.server.handle_written(now, line.key, all.len(), 0);
        line.read(&all);
        if matches!(verdict, Transport::Drop | Transport::Abort) && !line.gone {
            self.disconnect(who);
        }
        !all.is_empty()
    }

    fn transmit(&mut self, who: usize) -> Transport {
        let line = &mut self.lines[who];
        let verdict = self.server.poll_transmit(self.now, line.key, &mut line.down);
        assert!(!line.gone || verdict == Transport::Abort);
        verdict
    }

    fn disconnect(&mut self, who: usize) {
        self.server.disconnect(self.now, self.lines[who].key);
        self.lines[who].gone = true;
    }

    fn commit(&mut self) {
        while self.server.poll_operation().is_some() {
            self.operations += 1;
        }
        self.server.committed(self.now, self.operations);
    }

    /// Moves octets both ways until nothing moves.
    fn run(&mut self) {
        for round in 0.. {
            let mut moved = false;
            for who in 0..self.lines.len() {
                if !self.lines[who].gone {
                    moved |= self.up(who, usize::MAX);
                    moved |= self.down(who);
                }
            }
            self.check();
            if !moved {
                break;
            }
            assert!(round < 2000, "it does not come to rest");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut rounds = 0;
        while self.server.poll_hub_timeout().is_some_and(|d| d.at <= self.now) {
            self.server.handle_hub_timeout(self.now);
            rounds += 1;
            assert!(rounds < 10, "timers of the hub stay due");
        }
        for who in 0..self.lines.len() {
            let key = self.lines[who].key;
            self.lines[who].spoken_to();
            for round in 0.. {
                let Some(due) = self.server.poll_timeout(key).filter(|d| d.at <= self.now) else { break };
                self.server.handle_timeout(self.now, key);
                let _ = self.transmit(who);
                if self.lines[who].down.room() < ROOM / 2 {
                    break;
                }
                assert!(round < 10 || due.why == Why::Output, "a deadline stays due: {due:?}");
                assert!(round < 100, "it owes something for ever");
            }
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "connections are ready for ever");
            let Some(key) = self.server.poll_ready() else { break };
            if let Some(who) = self.by_key.get(&key) {
                let _ = self.transmit(*who);
            }
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                ServerEvent::Opened { connection, .. } => {
                    let line = &mut self.lines[self.by_key[&connection]];
                    line.opened += 1;
                    assert_eq!((line.opened, line.closed), (1, 0));
                }
                ServerEvent::Closed { connection, .. } => {
                    let line = &mut self.lines[self.by_key[&connection]];
                    line.closed += 1;
                    assert_eq!(line.closed, 1, "closed twice");
                }
                _ => {}
            }
        }
        for line in self.lines.iter().filter(|l| l.gone) {
            assert_eq!(line.closed, 1, "a connection ended, and nobody was told");
        }
        self.server.hub().check_invariants().expect("invariants");
        assert_eq!(self.server.connections(), self.lines.iter().filter(|l| !l.gone).count());
    }

    /// All go, all sessions expire, and nothing is left but what is retained or in queues.
    fn end(&mut self) {
        self.server.set_store_available(true);
        self.commit();
        for line in &mut self.lines {
            line.stalled = false;
        }
        self.run();
        for who in 0..self.lines.len() {
            self.disconnect(who);
            self.check();
        }
        self.pass(EXPIRY);
        self.check();
        let c = self.server.hub().counters();
        assert_eq!((c.sessions, c.attached, c.subscriptions, c.queued), (0, 0, 0, 0));
    }
}

impl Line {
    /// Who has not said yet what it speaks is spoken to in our own protocol.
    fn spoken_to(&mut self) {
        self.honest &= self.fed >= OPENING;
    }

    fn lie(&mut self, bytes: &[u8]) {
        self.honest = false;
        self.wire.extend_from_slice(bytes);
    }

    fn put(&mut self, packet: &Packet<'_>) {
        let version = self.version.unwrap_or(Version::V5);
        let mut out = SharedSendBuf::new(ROOM);
        if packet.encode(version, &mut out).is_ok() {
            self.wire.extend(out.slices().flatten());
        }
    }

    /// The server says something: packets of a server, which acknowledge what was sent.
    fn read(&mut self, bytes: &[u8]) {
        if !self.honest {
            return;
        }
        let Some(version) = self.version else { return };
        self.rest.extend_from_slice(bytes);
        while let Some(head) = Head::read(&self.rest).expect("a packet's head") {
            if self.rest.len() < head.total() {
                break;
            }
            let octets: Vec<u8> = self.rest.drain(..head.total()).collect();
            let packet = Packet::decode(version, &octets).expect("a packet");
            match packet {
                Packet::Ack(Ack { kind: AckKind::PubAck | AckKind::PubComp, id, .. }) => {
                    let sent = self.sent.remove(&id.get());
                    assert!(sent.is_some(), "{id} was not sent, or acknowledged before");
                }
                Packet::Ack(Ack { kind: AckKind::PubRec, id, reason, .. }) => {
                    assert!(self.sent.contains_key(&id.get()), "{id} was not sent");
                    if reason.is_error() {
                        self.sent.remove(&id.get());
                    }
                }
                Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                    panic!("a client's packet: {packet:?}");
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, step: &Step<'_>) {
        if self.version.is_none() && !matches!(step, Step::Connect { .. }) {
            self.honest = false;
        }
        match *step {
            Step::Connect { id, flags, receive_maximum, largest } => {
                self.connect(id, flags, receive_maximum, largest);
            }
            Step::Publish { topic, flags, id, size, properties } => {
                self.publish(topic, flags, id, size, properties);
            }
            Step::Ack { kind, id, reason } => self.acknowledge(kind, id, reason),
            Step::Subscribe { filter, options, identifier } => {
                let list = [Property::SubscriptionIdentifier(u32::from(identifier))];
                let properties = if identifier == 0 { Properties::NONE } else { Properties::list(&list) };
                let handlings = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Never];
                let options = SubscriptionOptions {
                    qos: Qos::from_number(options & 3).unwrap_or_default(),
                    no_local: options & 4 != 0,
                    retain_as_published: options & 8 != 0,
                    retain_handling: pick(&handlings, options >> 4),
                };
                let list = [Subscription { filter: pick(&FILTERS, filter), options }];
                let subscriptions = Subscriptions::list(&list);
                self.put(&Packet::Subscribe(Subscribe { id: PacketId::MIN, properties, subscriptions }));
            }
            Step::Unsubscribe { filter } => {
                let (list, properties) = ([pick(&FILTERS, filter)], Properties::NONE);
                let filters = Filters::list(&list);
                self.put(&Packet::Unsubscribe(Unsubscribe { id: PacketId::MIN, properties, filters }));
            }
            Step::Ping => self.put(&Packet::PingReq),
            Step::Auth { again, data } => {
                let list = [Property::AuthMethod("SCRAM-SHA-256"), Property::AuthData(data)];
                let reason =
                    if again { ReasonCode::ReAuthenticate } else { ReasonCode::ContinueAuthentication };
                self.put(&Packet::Auth(Auth { reason, properties: Properties::list(&list) }));
            }
            Step::Leave { reason, expiry } => {
                let list = expiry.map(|seconds| [Property::SessionExpiry(seconds.into())]);
                let properties = list.as_ref().map_or(Properties::NONE, |list| Properties::list(list));
                let reasons = [ReasonCode::Success, ReasonCode::DisconnectWithWill];
                self.put(&Packet::Disconnect(Disconnect { reason: pick(&reasons, reason), properties }));
            }
            _ => {}
        }
    }

    fn connect(&mut self, id: u8, flags: u8, receive_maximum: u8, largest: u8) {
        let version = if flags & 1 == 0 { Version::V311 } else { Version::V5 };
        let mut list = vec![
            Property::SessionExpiry(u32::from(flags & 2) * 20),
            Property::ReceiveMaximum(u16::from(receive_maximum).max(1)),
        ];
        if largest > 0x80 {
            list.push(Property::MaximumPacketSize(u32::from(largest)));
        }
        if flags & 4 != 0 {
            list.push(Property::AuthMethod("SCRAM-SHA-256"));
            list.push(Property::AuthData(b"n,,n=user,r=abcdef"));
        }
        let delay = [Property::WillDelay(u32::from(flags >> 4)), Property::MessageExpiry(5)];
        let properties = Properties::list(&delay);
        let topic = pick(&TOPICS, id);
        let will =
            Will { topic, payload: b"gone", qos: Qos::AtLeastOnce, retain: flags & 8 != 0, properties };
        let connect = Connect {
            clean_start: flags & 16 != 0,
            keep_alive: u16::from(flags >> 6),
            will: Some(will).filter(|_| flags & 32 != 0),
            properties: Properties::list(&list),
            ..Connect::new(version, pick(&IDS, id))
        };
        self.version.get_or_insert(version);
        self.put(&Packet::Connect(connect));
    }

    fn publish(&mut self, topic: u8, flags: u8, id: u8, size: u16, properties: u8) {
        let mut list = Vec::new();
        if properties & 1 != 0 {
            list.push(Property::TopicAlias(u16::from(properties >> 4)));
        }
        if properties & 2 != 0 {
            list.push(Property::MessageExpiry(u32::from(properties >> 4)));
        }
        if properties & 4 != 0 {
            list.push(Property::ResponseTopic("a"));
        }
        if properties & 8 != 0 {
            list.push(Property::PayloadFormat(true));
            list.push(Property::User("a", "b"));
        }
        let qos = Qos::from_number(flags & 3).unwrap_or_default();
        let Some(delivery) = Delivery::new(qos, PacketId::new(id.into()), flags & 4 != 0) else { return };
        let payload = vec![size as u8; usize::from(size & 0x0fff)];
        let aliased = properties & 1 != 0 && flags & 16 != 0 && self.version == Some(Version::V5);
        let topic = if aliased { "" } else { pick(&TOPICS, topic) };
        let properties = Properties::list(&list);
        let before = self.wire.len();
        let retain = flags & 8 != 0;
        self.put(&Packet::Publish(Publish { delivery, retain, topic, payload: &payload, properties }));
        if self.wire.len() > before
            && let Some(id) = delivery.id()
        {
            // Once more before it is acknowledged is what no honest client does.
            self.honest &= self.sent.insert(id.get(), qos == Qos::ExactlyOnce).is_none();
        }
    }

    fn acknowledge(&mut self, kind: u8, id: u8, reason: u8) {
        let Some(id) = PacketId::new(id.into()) else { return };
        let kind = pick(&KINDS, kind);
        // PUBREL for what was not sent so is answered by a PUBCOMP that nobody waits for.
        if kind == AckKind::PubRel {
            let due = self.sent.get_mut(&id.get()).is_some_and(core::mem::take);
            self.honest &= due;
        }
        let reasons = [ReasonCode::Success, ReasonCode::QuotaExceeded, ReasonCode::PacketIdentifierNotFound];
        self.put(&Packet::Ack(Ack { reason: pick(&reasons, reason), ..Ack::new(kind, id) }));
    }
}
