//! An MQTT client with its session, against the server's side with the least of a session, over
//! connections that carry octets in pieces, stall and break: what is published with QoS 2 arrives exactly
//! once and in order, each way, QoS 1 at least once, and neither side ever finds that the other broke a rule
//! (receive maximum, aliases and identifiers are among them).

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::mqtt::client::{self, Arena, Client, Message, Store};
use bowline_core::mqtt::server::{self, Server, Welcome};
use bowline_core::mqtt::{
    Ack, AckKind, Closed, Connect, Delivery, Fault, FixedAliases, Outgoing, PacketId, Properties, Qos,
    ReasonCode, ReasonCodes, SendError, SubAck, Subscription, Subscriptions, Version,
};
use bowline_core::time::{Instant, Why};

/// The most messages of a side, so that a run is quick.
const MESSAGES: usize = 200;
const TOPICS: [&str; 3] = ["a", "home/kitchen", "a/b/c"];

#[derive(Arbitrary, Debug)]
struct Plan {
    v5: bool,
    /// Of the server and of the client.
    receive_maximum: [u8; 2],
    keep_alive: u8,
    small_buffers: [bool; 2],
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    /// One of the sides has something to say.
    Publish {
        server: bool,
        twice: bool,
        size: u8,
        alias: u8,
    },
    Unreliable {
        server: bool,
        size: u8,
        alias: u8,
    },
    Subscribe,
    /// So many octets of a side arrive.
    Carry {
        server: bool,
        octets: u8,
    },
    /// Both sides have a turn.
    Turn,
    Wait(u16),
    /// The connection breaks, with all that is on it.
    Cut,
}

/// A message: its QoS and its number.
type Said = (Qos, u16);

/// What a broker keeps of a session: the least that QoS 2 needs.
#[derive(Default)]
struct Broker {
    exists: bool,
    received: Vec<PacketId>,
    /// In the order of sending: identifier, message, size, whether PUBREC has come.
    outgoing: VecDeque<(PacketId, Said, u8, bool)>,
    /// How many of these were sent over this connection.
    sent: usize,
    next: u16,
}

/// What outlives a connection.
struct Kept {
    client: Client<Arena<[u8; 900], [u16; 4]>, FixedAliases<2, 16>>,
    broker: Broker,
    /// What was said and what was heard: by the client, by the broker.
    said: [Vec<Said>; 2],
    heard: [Vec<Said>; 2],
    acked: usize,
}

struct Link<'m> {
    now: Instant,
    keep_alive: u16,
    server: Server,
    out: [SliceSendBuf<'m>; 2],
    input: [SliceRecvBuf<'m>; 2],
    aliases: [FixedAliases<2, 16>; 2],
    /// What the broker has to say and had no room for.
    owed: VecDeque<Answer>,
    over: bool,
}

enum Answer {
    Ack(Ack<'static>),
    SubAck(PacketId),
}

/// A client against a server. Bytes that make no plan are no fault.
pub fn mqtt_pair(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let config = client::Config {
        version: if plan.v5 { Version::V5 } else { Version::V311 },
        receive_maximum: u16::from(plan.receive_maximum[1] % 4) + 1,
        topic_alias_maximum: 2,
        max_packet: 320,
        ..client::Config::default()
    };
    let mut kept = Kept {
        client: Client::new(&config, Arena::new([0; 900], [0; 4]), FixedAliases::new()),
        broker: Broker::default(),
        said: Default::default(),
        heard: Default::default(),
        acked: 0,
    };
    let mut now = Instant::from_millis(1000);
    let mut ops = plan.ops.iter().take(300);
    // Each turn is a connection; the last one is left in peace until all has arrived.
    for _ in 0..40 {
        let mut memory = [[0; 1600]; 4];
        let mut link = Link::connect(&plan, &mut memory, now, &mut kept);
        let cut = ops.by_ref().any(|op| !link.step(op, &mut kept) || link.over);
        now = Instant::from_millis(link.now.as_millis() + 1);
        if !cut {
            link.settle(&mut kept);
            return;
        }
    }
}

impl<'m> Link<'m> {
    fn connect(plan: &Plan, memory: &'m mut [[u8; 1600]; 4], now: Instant, kept: &mut Kept) -> Self {
        let room = |side: usize| if plan.small_buffers[side] { 320 } else { 1600 };
        let [a, b, c, d] = memory;
        let config = server::Config {
            receive_maximum: u16::from(plan.receive_maximum[0] % 8) + 1,
            topic_alias_maximum: 2,
            max_packet: 320,
            ..server::Config::default()
        };
        let mut out = [SliceSendBuf::new(&mut a[..room(0)]), SliceSendBuf::new(&mut b[..room(1)])];
        let input = [SliceRecvBuf::new(&mut c[..room(0)]), SliceRecvBuf::new(&mut d[..room(1)])];
        let keep_alive = u16::from(plan.keep_alive);
        let connect = Connect { clean_start: false, keep_alive, ..Connect::new(kept.client.version(), "me") };
        kept.client.handle_eof(now);
        kept.client.connect(now, &mut out[0], &connect).expect("room");
        kept.broker.sent = 0;
        Self {
            now,
            keep_alive,
            server: Server::accept(now, &config),
            out,
            input,
            aliases: [FixedAliases::new(), FixedAliases::new()],
            owed: VecDeque::new(),
            over: false,
        }
    }

    /// Does what is to be done; false where the connection breaks.
    fn step(&mut self, op: &Op, kept: &mut Kept) -> bool {
        match *op {
            Op::Publish { server, twice, size, alias } => {
                let qos = if twice { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                self.publish(usize::from(server), qos, size, alias, kept);
            }
            Op::Unreliable { server, size, alias } => {
                self.publish(usize::from(server), Qos::AtMostOnce, size, alias, kept);
            }
            Op::Subscribe => {
                let list = [Subscription::new("a/#", Qos::ExactlyOnce)];
                let list = Subscriptions::list(&list);
                // Not now is an answer too.
                let _ = kept.client.subscribe(self.now, &mut self.out[0], list, Properties::NONE);
            }
            Op::Carry { server, octets } => self.carry(usize::from(server), usize::from(octets), kept),
            Op::Turn => {}
            Op::Wait(ms) => self.now = Instant::from_millis(self.now.as_millis() + u64::from(ms)),
            Op::Cut => return false,
        }
        self.client_turn(kept);
        self.server_turn(kept);
        true
    }

    fn publish(&mut self, at: usize, qos: Qos, size: u8, alias: u8, kept: &mut Kept) {
        let number = kept.said[at].len() as u16;
        if usize::from(number) >= MESSAGES {
            return;
        }
        let payload = payload(number, size);
        if at == 1 {
            self.server_publishes((qos, number), size, kept);
            return;
        }
        let alias = PacketId::new(u16::from(alias % 4));
        let topic = TOPICS[usize::from(size) % 3];
        let message = Message { alias, ..Message::new(topic, &payload).with_qos(qos) };
        match kept.client.publish(self.now, &mut self.out[0], &message) {
            Ok(id) => {
                assert_eq!(id.is_some(), qos != Qos::AtMostOnce);
                kept.said[0].push((qos, number));
            }
            Err(SendError::Blocked(_) | SendError::State) => assert_eq!(qos, Qos::AtMostOnce),
            Err(error) => assert_eq!(error, SendError::InFlight),
        }
    }

    fn server_publishes(&mut self, said: Said, size: u8, kept: &mut Kept) {
        if said.0 == Qos::AtMostOnce {
            let payload = payload(said.1, size);
            let topic = TOPICS[usize::from(size) % 3].as_bytes();
            if self.server.publish(self.now, &mut self.out[1], &Outgoing::new(topic, &payload)).is_ok() {
                kept.said[1].push(said);
            }
            return;
        }
        kept.said[1].push(said);
        kept.broker.next += 1;
        let id = PacketId::new(kept.broker.next).expect("few");
        kept.broker.outgoing.push_back((id, said, size, false));
    }

    /// Octets of one side reach the other.
    fn carry(&mut self, from: usize, octets: usize, kept: &mut Kept) {
        let waiting = self.out[from].pending();
        let n = self.input[1 - from].push(&waiting[..octets.min(waiting.len())]);
        self.out[from].sent(n);
        let left = self.out[from].pending().len();
        if from == 0 {
            kept.client.handle_written(self.now, n, left);
        } else {
            self.server.handle_written(self.now, n, left);
        }
    }

    fn client_turn(&mut self, kept: &mut Kept) {
        if kept.client.poll_timeout().is_some_and(|d| self.now >= d.at)
            && let Some(event) = kept.client.handle_timeout(self.now)
        {
            self.over |= client_ends(&event);
        }
        for _ in 0..200 {
            while let Some(event) = kept.client.recv(self.now, &mut self.input[0], &mut self.aliases[0]) {
                match event {
                    client::Event::Message(m) => kept.heard[0].push(check(m.topic, m.payload, m.qos())),
                    client::Event::Acked(_, reason) => {
                        assert_eq!(reason, ReasonCode::Success);
                        kept.acked += 1;
                    }
                    client::Event::Connected(_) | client::Event::SubAck(_) => {}
                    // Only subscriptions are lost: the broker forgets nothing.
                    client::Event::Lost(id) => assert_eq!(kept.client.store().find(id), None),
                    other => self.over |= client_ends(&other),
                }
            }
            let before = self.out[0].pending().len();
            let _ = kept.client.poll_transmit(self.now, &mut self.out[0]);
            let stuck = self.out[0].pending().len() == before;
            if stuck || kept.client.poll_timeout().is_none_or(|d| d.why != Why::Output) {
                return;
            }
        }
        panic!("the client is never done");
    }

    fn server_turn(&mut self, kept: &mut Kept) {
        if self.server.poll_timeout().is_some_and(|d| self.now >= d.at)
            && let Some(event) = self.server.handle_timeout(self.now)
        {
            self.over |= server_ends(&event);
        }
        while self.answer() {
            let Some(event) = self.server.recv(self.now, &mut self.input[1], &mut self.aliases[1]) else {
                break;
            };
            match event {
                server::Event::Connect(_) => {
                    let welcome = Welcome { session_present: kept.broker.exists, ..Welcome::default() };
                    kept.broker.exists = true;
                    self.server.connack(self.now, &mut self.out[1], &welcome).expect("room");
                }
                server::Event::Publish(p) => {
                    let said = check(p.topic, p.payload, p.qos());
                    let received = &mut kept.broker.received;
                    if p.qos() != Qos::ExactlyOnce || !p.id().is_some_and(|id| received.contains(&id)) {
                        kept.heard[1].push(said);
                    }
                    let kind = match p.delivery {
                        Delivery::AtMostOnce => continue,
                        Delivery::AtLeastOnce { .. } => AckKind::PubAck,
                        Delivery::ExactlyOnce { id, .. } => {
                            received.retain(|known| *known != id);
                            received.push(id);
                            AckKind::PubRec
                        }
                    };
                    self.owed.push_back(Answer::Ack(Ack::new(kind, p.id().expect("one"))));
                }
                server::Event::Ack(ack) => acknowledged(&mut kept.broker, &mut self.owed, ack),
                server::Event::Subscribe(s) => self.owed.push_back(Answer::SubAck(s.id)),
                other => self.over |= server_ends(&other),
            }
        }
        self.server_sends(kept);
        let _ = self.server.poll_transmit(self.now, &mut self.out[1]);
    }

    /// Says what the broker owes; false while there is no room.
    fn answer(&mut self) -> bool {
        while let Some(answer) = self.owed.front() {
            let (now, out) = (self.now, &mut self.out[1]);
            let sent = match answer {
                Answer::Ack(ack) => self.server.ack(now, out, ack),
                Answer::SubAck(id) => {
                    let reasons = ReasonCodes::list(&[ReasonCode::GrantedQos2]);
                    self.server.suback(now, out, &SubAck { id: *id, properties: Properties::NONE, reasons })
                }
            };
            match sent {
                Ok(()) => self.owed.pop_front(),
                Err(error) if error.is_blocked() => return false,
                // It has ended: nothing more is said.
                Err(error) => {
                    assert_eq!(error, SendError::State);
                    self.owed.pop_front()
                }
            };
        }
        true
    }

    /// What is in flight, in order, as far as the client takes it.
    fn server_sends(&mut self, kept: &mut Kept) {
        let broker = &mut kept.broker;
        while self.server.is_open() && self.owed.is_empty() {
            let Some((id, said, size, released)) = broker.outgoing.get(broker.sent).copied() else { return };
            let sent = if released {
                self.server.ack(self.now, &mut self.out[1], &Ack::new(AckKind::PubRel, id))
            } else {
                if broker.sent >= usize::from(self.server.receive_maximum().min(4)) {
                    return;
                }
                let payload = payload(said.1, size);
                let delivery = Delivery::new(said.0, Some(id), false).expect("an identifier");
                let topic = TOPICS[usize::from(size) % 3].as_bytes();
                let message = Outgoing { delivery, ..Outgoing::new(topic, &payload) };
                self.server.publish(self.now, &mut self.out[1], &message)
            };
            match sent {
                Ok(()) => broker.sent += 1,
                Err(error) => {
                    assert!(error.is_blocked(), "{error}");
                    return;
                }
            }
        }
    }

    /// Nothing disturbs any more, and everything arrives.
    fn settle(&mut self, kept: &mut Kept) {
        for _ in 0..3000 {
            for from in [0, 1] {
                self.carry(from, 1600, kept);
                self.client_turn(kept);
                self.server_turn(kept);
            }
            let quiet = self.out.iter().all(|out| out.pending().is_empty());
            if self.over || (quiet && kept.client.store().is_empty() && kept.broker.outgoing.is_empty()) {
                break;
            }
        }
        if self.over {
            return; // somebody had waited too long
        }
        let reliable = kept.said[0].iter().filter(|said| said.0 != Qos::AtMostOnce).count();
        assert_eq!(kept.acked, reliable, "keep alive {}", self.keep_alive);
        for (at, said) in kept.said.iter().enumerate() {
            let heard = &kept.heard[1 - at];
            let of = |list: &[Said], qos| -> Vec<u16> {
                list.iter().filter(|said| said.0 == qos).map(|said| said.1).collect()
            };
            assert_eq!(of(heard, Qos::ExactlyOnce), of(said, Qos::ExactlyOnce), "exactly once, from {at}");
            let mut first = Vec::new();
            for number in of(heard, Qos::AtLeastOnce) {
                if !first.contains(&number) {
                    first.push(number);
                }
            }
            assert_eq!(first, of(said, Qos::AtLeastOnce), "at least once, from {at}");
            let mut rest = of(said, Qos::AtMostOnce).into_iter();
            assert!(
                of(heard, Qos::AtMostOnce).iter().all(|n| rest.any(|m| m == *n)),
                "at most once, from {at}"
            );
        }
    }
}

/// PUBREL, or an answer to what was sent.
fn acknowledged(broker: &mut Broker, owed: &mut VecDeque<Answer>, ack: Ack<'_>) {
    match ack.kind {
        AckKind::PubRel => {
            broker.received.retain(|id| *id != ack.id);
            owed.push_back(Answer::Ack(Ack::new(AckKind::PubComp, ack.id)));
        }
        AckKind::PubRec => {
            if let Some(entry) = broker.outgoing.iter_mut().find(|entry| entry.0 == ack.id) {
                entry.3 = true;
            }
            owed.push_back(Answer::Ack(Ack::new(AckKind::PubRel, ack.id)));
        }
        AckKind::PubAck | AckKind::PubComp => {
            let place = broker.outgoing.iter().position(|entry| entry.0 == ack.id);
            if let Some(place) = place.filter(|place| *place < broker.sent) {
                broker.outgoing.remove(place);
                broker.sent -= 1;
            }
        }
    }
}

/// A message says which it is, and goes on as long as it is to be.
fn payload(number: u16, size: u8) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(2 + usize::from(size), size);
    payload
}

/// Which message this is; it has come whole, under its topic.
fn check(topic: &str, octets: &[u8], qos: Qos) -> Said {
    let number = u16::from_be_bytes([octets[0], octets[1]]);
    let size = (octets.len() - 2) as u8;
    assert_eq!((topic, octets), (TOPICS[usize::from(size) % 3], &payload(number, size)[..]));
    (qos, number)
}

fn client_ends(event: &client::Event<'_>) -> bool {
    match event {
        client::Event::Closed(closed) => ends(closed),
        client::Event::Disconnect(d) => told(d.reason),
        other => panic!("{other:?}"),
    }
}

fn server_ends(event: &server::Event<'_>) -> bool {
    match event {
        server::Event::Closed(closed) => ends(closed),
        server::Event::Disconnect(d) => told(d.reason),
        other => panic!("{other:?}"),
    }
}

/// A connection ends only because somebody waited for too long.
const SILENT: [Fault; 4] =
    [Fault::KeepAliveTimeout, Fault::ConnectTimeout, Fault::PingTimeout, Fault::WriteTimeout];

fn ends(closed: &Closed) -> bool {
    assert!(closed.fault.is_none_or(|fault| SILENT.contains(&fault)), "{closed:?}");
    true
}

fn told(reason: ReasonCode) -> bool {
    assert!(SILENT.iter().any(|fault| fault.reason_code() == reason), "{reason}");
    true
}
