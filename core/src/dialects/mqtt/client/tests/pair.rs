//! Client and server machines with a line between them that may break anywhere.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::super::server::{self, Server, Welcome};
use super::super::super::*;
use super::super::*;
use crate::buf::{GrowingRecvBuf, SharedSendBuf};

/// What a broker keeps of a session: the least that QoS 2 needs.
#[derive(Debug, Default)]
struct Broker {
    exists: bool,
    received: Vec<PacketId>,
    delivered: Vec<(Qos, u16)>,
    /// In the order of sending: identifier, QoS, payload, whether PUBREC has come.
    outgoing: VecDeque<(PacketId, Qos, u16, bool)>,
    sent: usize,
    in_flight: u16,
    next: u16,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) client: Client<Arena<Vec<u8>, Vec<u16>>, AliasTable>,
    pub(super) server: Server,
    broker: Broker,
    to_server: SharedSendBuf,
    to_client: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    aliases: [AliasTable; 2],
    got: Vec<(Qos, u16)>,
    acked: Vec<PacketId>,
}

const AT_ONCE: u16 = 3;

impl World {
    fn new(version: Version) -> Self {
        let config =
            Config { version, receive_maximum: AT_ONCE, topic_alias_maximum: 2, ..Config::default() };
        let arena = Arena::new(vec![0; 300], vec![0; 8]);
        let mut world = Self {
            now: Instant::from_millis(1),
            client: Client::new(&config, arena, AliasTable::new()),
            server: Server::accept(Instant::ZERO, &server::Config::default()),
            broker: Broker::default(),
            to_server: SharedSendBuf::new(1 << 16),
            to_client: SharedSendBuf::new(1 << 16),
            at_server: GrowingRecvBuf::new(1 << 16),
            at_client: GrowingRecvBuf::new(1 << 16),
            aliases: Default::default(),
            got: Vec::new(),
            acked: Vec::new(),
        };
        world.connect();
        world
    }

    /// A new line; what was on the old one is gone.
    fn connect(&mut self) {
        for buf in [&mut self.to_server, &mut self.to_client] {
            *buf = SharedSendBuf::new(1 << 16);
        }
        for buf in [&mut self.at_server, &mut self.at_client] {
            *buf = GrowingRecvBuf::new(1 << 16);
        }
        self.aliases = Default::default();
        let config =
            server::Config { receive_maximum: AT_ONCE, topic_alias_maximum: 2, ..server::Config::default() };
        self.server = Server::accept(self.now, &config);
        (self.broker.sent, self.broker.in_flight) = (0, 0);
        let list = [Property::SessionExpiry(1000)];
        let connect = Connect {
            clean_start: false,
            properties: Properties::list(&list),
            ..Connect::new(self.client.version(), "me")
        };
        self.client.connect(self.now, &mut self.to_server, &connect).expect("room");
    }

    /// The line breaks, and both sides see it.
    fn cut(&mut self) {
        self.client.handle_eof(self.now);
        self.server.handle_eof(self.now);
        self.client_turn();
        self.connect();
    }

    fn client_turn(&mut self) {
        loop {
            while let Some(event) = self.client.recv(self.now, &mut self.at_client, &mut self.aliases[0]) {
                match event {
                    Event::Message(m) => {
                        assert_eq!(m.topic, "to/client");
                        self.got.push((m.qos(), u16::from_be_bytes(m.payload.try_into().unwrap())));
                    }
                    Event::Acked(id, reason) => {
                        assert_eq!(reason, ReasonCode::Success);
                        self.acked.push(id);
                    }
                    Event::Connected(_) => {}
                    Event::Closed(closed) => assert_eq!(closed.fault, None),
                    other => panic!("{other:?}"),
                }
            }
            let _ = self.client.poll_transmit(self.now, &mut self.to_server);
            if self.client.poll_timeout().is_none_or(|d| d.why != crate::time::Why::Output) {
                break;
            }
        }
    }

    fn server_turn(&mut self) {
        while let Some(event) = self.server.recv(self.now, &mut self.at_server, &mut self.aliases[1]) {
            let (now, out, broker) = (self.now, &mut self.to_client, &mut self.broker);
            match event {
                server::Event::Connect(_) => {
                    let welcome = Welcome { session_present: broker.exists, ..Welcome::default() };
                    broker.exists = true;
                    self.server.connack(now, out, &welcome).expect("room");
                }
                server::Event::Publish(p) => {
                    assert_eq!(p.topic, "to/server");
                    let number = u16::from_be_bytes(p.payload.try_into().unwrap());
                    let known = p.qos() == Qos::ExactlyOnce && broker.received.contains(&p.id().unwrap());
                    if !known {
                        broker.delivered.push((p.qos(), number));
                    }
                    let kind = match p.delivery {
                        Delivery::AtMostOnce => continue,
                        Delivery::AtLeastOnce { .. } => AckKind::PubAck,
                        Delivery::ExactlyOnce { .. } => AckKind::PubRec,
                    };
                    let id = p.id().unwrap();
                    if kind == AckKind::PubRec && !known {
                        broker.received.push(id);
                    }
                    self.server.ack(now, out, &Ack::new(kind, id)).expect("room");
                }
                server::Event::Ack(ack) => match ack.kind {
                    AckKind::PubRel => {
                        broker.received.retain(|id| *id != ack.id);
                        self.server.ack(now, out, &Ack::new(AckKind::PubComp, ack.id)).expect("room");
                    }
                    AckKind::PubRec => {
                        if let Some(entry) = broker.outgoing.iter_mut().find(|e| e.0 == ack.id) {
                            entry.3 = true;
                        }
                        self.server.ack(now, out, &Ack::new(AckKind::PubRel, ack.id)).expect("room");
                    }
                    AckKind::PubAck | AckKind::PubComp => {
                        let place = broker.outgoing.iter().position(|e| e.0 == ack.id);
                        if let Some(place) = place.filter(|place| *place < broker.sent) {
                            broker.outgoing.remove(place);
                            broker.sent -= 1;
                            broker.in_flight = broker.in_flight.saturating_sub(1);
                        }
                    }
                },
                server::Event::Closed(closed) => assert_eq!(closed.fault, None),
                other => panic!("{other:?}"),
            }
        }
        self.server_sends();
        let _ = self.server.poll_transmit(self.now, &mut self.to_client);
    }

    fn server_sends(&mut self) {
        let broker = &mut self.broker;
        while self.server.is_open() {
            let Some((id, qos, number, released)) = broker.outgoing.get(broker.sent).copied() else { break };
            if released {
                let ack = Ack::new(AckKind::PubRel, id);
                self.server.ack(self.now, &mut self.to_client, &ack).expect("room");
            } else {
                if broker.in_flight >= self.server.receive_maximum().min(AT_ONCE) {
                    break;
                }
                let delivery = Delivery::new(qos, Some(id), true).unwrap();
                let payload = number.to_be_bytes();
                let message = Outgoing { delivery, ..Outgoing::new(b"to/client", &payload) };
                self.server.publish(self.now, &mut self.to_client, &message).expect("room");
            }
            broker.in_flight += 1;
            broker.sent += 1;
        }
    }

    fn up(&mut self, n: usize) {
        carry(&mut self.to_server, &mut self.at_server, n);
        self.server_turn();
    }

    fn down(&mut self, n: usize) {
        carry(&mut self.to_client, &mut self.at_client, n);
        self.client_turn();
    }

    /// Until nothing moves.
    fn settle(&mut self) {
        for _ in 0..1000 {
            self.client_turn();
            self.up(usize::MAX);
            self.down(usize::MAX);
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
        }
        panic!("it never settles");
    }
}

fn carry(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf, n: usize) {
    let bytes: Vec<u8> = from.slices().flatten().copied().take(n).collect();
    from.sent(bytes.len());
    assert_eq!(to.push(&bytes), bytes.len());
}

#[derive(Clone, Debug)]
enum Op {
    Publish(Qos, Option<u16>),
    ServerPublishes(Qos),
    Up(usize),
    Down(usize),
    Cut,
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![1 => Just(Qos::AtLeastOnce), 3 => Just(Qos::ExactlyOnce)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (qos(), prop::option::of(1u16..3)).prop_map(|(qos, alias)| Op::Publish(qos, alias)),
        4 => qos().prop_map(Op::ServerPublishes),
        6 => (1usize..40).prop_map(Op::Up),
        6 => (1usize..40).prop_map(Op::Down),
        2 => Just(Op::Cut),
    ]
}

fn run(version: Version, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut world = World::new(version);
    let (mut published, mut sent) = (Vec::new(), Vec::new());
    for (n, op) in ops.iter().enumerate() {
        let number = n as u16;
        match *op {
            Op::Publish(qos, alias) => {
                let payload = number.to_be_bytes();
                let alias = alias.and_then(PacketId::new);
                let message = Message { alias, ..Message::new("to/server", &payload).with_qos(qos) };
                match world.client.publish(world.now, &mut world.to_server, &message) {
                    Ok(id) => {
                        prop_assert!(id.is_some());
                        published.push((qos, number));
                    }
                    Err(error) => prop_assert_eq!(error, SendError::InFlight),
                }
            }
            Op::ServerPublishes(qos) => {
                world.broker.next += 1;
                let id = PacketId::new(world.broker.next).unwrap();
                world.broker.outgoing.push_back((id, qos, number, false));
                sent.push((qos, number));
                world.server_sends();
            }
            Op::Up(n) => world.up(n),
            Op::Down(n) => world.down(n),
            Op::Cut => world.cut(),
        }
    }
    world.settle();
    for (want, got) in [(&published, &world.broker.delivered), (&sent, &world.got)] {
        let only = |list: &[(Qos, u16)], qos| -> Vec<u16> {
            list.iter().filter(|m| m.0 == qos).map(|m| m.1).collect()
        };
        // Exactly once, in order ([MQTT-4.3.3-1], [MQTT-4.6.0-1]).
        prop_assert_eq!(only(want, Qos::ExactlyOnce), only(got, Qos::ExactlyOnce));
        // At least once, the first time in order.
        let mut first = Vec::new();
        for number in only(got, Qos::AtLeastOnce) {
            if !first.contains(&number) {
                first.push(number);
            }
        }
        prop_assert_eq!(only(want, Qos::AtLeastOnce), first);
    }
    prop_assert_eq!(world.acked.len(), published.len());
    prop_assert!(world.client.store().is_empty() && world.broker.received.is_empty());
    prop_assert!(world.broker.outgoing.is_empty());
    prop_assert_eq!(world.client.tx_in_flight, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is said, and wherever the line breaks, between any two octets.
    #[test]
    fn exactly_once_over_a_line_that_breaks(
        version in prop::sample::select(vec![Version::V311, Version::V5]),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        run(version, &ops)?;
    }
}

/// One message each way, with the line cut after each octet of the whole exchange.
#[test]
fn exactly_once_with_a_cut_after_each_octet() {
    for version in [Version::V311, Version::V5] {
        for cut in 0..120 {
            for back in [false, true] {
                let mut ops = vec![Op::Up(usize::MAX), Op::Down(usize::MAX)];
                ops.push(Op::Publish(Qos::ExactlyOnce, None));
                ops.push(Op::ServerPublishes(Qos::ExactlyOnce));
                // An octet at a time, this way and back, then the cut.
                ops.extend((0..cut).map(|n| if (n % 2 == 0) == back { Op::Up(1) } else { Op::Down(1) }));
                ops.push(Op::Cut);
                run(version, &ops).unwrap();
            }
        }
    }
}
