//! A server's side on virtual time, fed with octets.

use core::num::NonZeroU16;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::lifecycle::{By, Transport};
use crate::time::{Deadline, Why};

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn id(n: u16) -> PacketId {
    NonZeroU16::new(n).unwrap()
}

fn octets(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = SharedSendBuf::new(1 << 21);
    packet.encode(version, &mut out).unwrap();
    out.slices().flatten().copied().collect()
}

struct World {
    now: Instant,
    server: Server,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    aliases: AliasTable,
}

impl World {
    fn new(config: &Config) -> Self {
        Self {
            now: at(0),
            server: Server::accept(at(0), config),
            input: GrowingRecvBuf::new(1 << 21),
            out: SharedSendBuf::new(1 << 21),
            aliases: AliasTable::new(),
        }
    }

    /// With a connection of this version, on which nothing has been said but CONNECT and CONNACK.
    fn open(config: &Config, connect: Connect<'_>) -> Self {
        let mut world = Self::new(config);
        world.connect(connect);
        world.welcome();
        world.sent();
        world
    }

    fn connect(&mut self, connect: Connect<'_>) {
        self.input.push(&octets(&Packet::Connect(connect), connect.version));
        assert!(matches!(self.recv(), Some(Event::Connect(c)) if c.client_id == connect.client_id));
    }

    fn welcome(&mut self) {
        self.server.connack(self.now, &mut self.out, &Welcome::default()).expect("due");
    }

    fn recv(&mut self) -> Option<Event<'_>> {
        self.server.recv(self.now, &mut self.input, &mut self.aliases)
    }

    fn feed(&mut self, bytes: &[u8]) -> Option<Event<'_>> {
        self.input.push(bytes);
        self.recv()
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Option<Event<'_>> {
        let bytes = octets(packet, self.server.version());
        self.feed(&bytes)
    }

    /// What was written, also by the machine itself, and what the transport owes then.
    fn transmit(&mut self) -> (Vec<u8>, Transport) {
        let transport = self.server.poll_transmit(self.now, &mut self.out);
        (self.sent(), transport)
    }

    fn sent(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.sent(bytes.len());
        bytes
    }

    /// What is sent now is this one packet.
    fn sends(&mut self, packet: Packet<'_>) -> Transport {
        let (bytes, transport) = self.transmit();
        assert_eq!(Packet::decode(self.server.version(), &bytes), Ok(packet));
        transport
    }

    /// The connection has ended because of this fault, and a 5.0 client is told its code.
    fn breaks(&mut self, bytes: &[u8]) -> Fault {
        let established = self.server.is_open();
        let fault = match self.feed(bytes) {
            Some(Event::Closed(Closed { by: By::Local, fault: Some(fault), .. })) => fault,
            other => panic!("{other:?} after {bytes:02x?}"),
        };
        let (sent, transport) = self.transmit();
        assert_eq!(transport, Transport::Shut, "{fault}");
        match (self.server.version(), established) {
            (Version::V5, true) => assert_eq!(sent[2], fault.reason_code().number(), "{fault}"),
            (Version::V311, true) => assert!(sent.is_empty(), "{fault}"),
            _ => {}
        }
        assert!(self.recv().is_none() && self.feed(b"\xc0\0").is_none(), "one end, and nothing after it");
        fault
    }
}

fn v5<'a>(properties: &'a [Property<'a>]) -> Connect<'a> {
    Connect { properties: Properties::list(properties), ..Connect::new(Version::V5, "me") }
}

const V3: Connect<'static> = Connect::new(Version::V311, "me");
const V5: Connect<'static> = Connect::new(Version::V5, "me");

fn config() -> Config {
    Config { topic_alias_maximum: 3, ..Config::default() }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Server>() <= 144, "{}", size_of::<Server>());
}

#[test]
fn the_first_packet_is_connect_and_there_is_one() {
    for version in [Version::V311, Version::V5] {
        // [MQTT-3.1.0-1]
        for first in [&b"\xc0\0"[..], b"\x30\x03\0\x01a", b"\xe0\0", b"GET / HTTP/1.1"] {
            let mut world = World::new(&config());
            let fault = world.breaks(first);
            assert!(!matches!(fault, Fault::PacketTooLarge { .. }), "{fault}");
            assert!(world.sent().is_empty());
        }
        // [MQTT-3.1.0-2]
        let connect = Connect::new(version, "me");
        let mut world = World::open(&config(), connect);
        let fault = world.breaks(&octets(&Packet::Connect(connect), version));
        assert!(matches!(fault, Fault::Unexpected { packet: PacketType::Connect, .. }), "{fault}");
    }
}

#[test]
fn unknown_levels_are_answered_before_the_close() {
    // [MQTT-3.1.2-2] of 3.1.1, [MQTT-3.1.2-2] of 5.0
    for (connect, answer) in [
        (&b"\x10\x0e\0\x06MQIsdp\x03\x02\0\0\0\0"[..], &b"\x20\x02\0\x01"[..]),
        (b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0", b"\x20\x02\0\x01"),
        (b"\x10\x0c\0\x04MQTT\x06\x02\0\0\0\0", b"\x20\x02\0\x01"),
        (b"\x10\x0c\0\x04MQTX\x04\x02\0\0\0\0", b""), // [MQTT-3.1.2-1]
        (b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0", b""), // 3.1.1 tells nothing of a malformed packet
        (b"\x10\x0d\0\x04MQTT\x05\x03\0\0\0\0\0", b"\x20"), // [MQTT-3.1.2-3]
    ] {
        let mut world = World::new(&config());
        let Some(Event::Closed(closed)) = world.feed(connect) else { panic!() };
        assert!(closed.fault.is_some());
        let (sent, transport) = world.transmit();
        assert!(sent.starts_with(answer) && sent.is_empty() == answer.is_empty(), "{connect:?}: {sent:02x?}");
        assert_eq!(transport, Transport::Shut);
        world.server.handle_eof(world.now);
        assert_eq!(world.transmit().1, Transport::Drop);
    }
}

#[test]
fn an_empty_client_id_wants_a_clean_session() {
    let connect = Connect { clean_start: false, ..Connect::new(Version::V311, "") };
    let mut world = World::new(&config());
    world.input.push(&octets(&Packet::Connect(connect), Version::V311));
    assert!(matches!(world.recv(), Some(Event::Closed(Closed { fault: Some(Fault::ClientId), .. }))));
    assert_eq!(world.transmit(), (b"\x20\x02\0\x02".to_vec(), Transport::Shut)); // [MQTT-3.1.3-8]
    let mut world = World::new(&config());
    world.connect(Connect { clean_start: true, ..connect });
    let mut world = World::new(&config());
    world.connect(Connect { version: Version::V5, ..connect }); // [MQTT-3.1.3-6]
}

#[test]
fn connack_announces_what_differs_from_the_defaults() {
    let mut world = World::new(&Config {
        receive_maximum: 10,
        maximum_qos: Qos::AtLeastOnce,
        retain_available: false,
        wildcard_subscriptions: false,
        subscription_identifiers: false,
        shared_subscriptions: false,
        max_keep_alive: Some(60),
        max_packet: 1000,
        ..config()
    });
    world.connect(Connect { keep_alive: 600, ..V5 });
    let welcome = Welcome {
        session_present: true,
        assigned_client_id: Some("chosen"),
        session_expiry: Some(7),
        properties: Properties::list(&[Property::User("a", "b"), Property::ReceiveMaximum(3)]),
    };
    world.server.connack(world.now, &mut world.out, &welcome).unwrap();
    let list = [
        Property::User("a", "b"),
        Property::SessionExpiry(7),
        Property::AssignedClientId("chosen"),
        Property::ReceiveMaximum(10),
        Property::MaximumQos(Qos::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(1000),
        Property::TopicAliasMaximum(3),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifiersAvailable(false),
        Property::SharedSubscriptionAvailable(false),
        Property::ServerKeepAlive(60),
    ];
    let properties = Properties::list(&list);
    let reason = ReasonCode::Success;
    let _ = world.sends(Packet::ConnAck(ConnAck { session_present: true, reason, properties }));
    assert_eq!(world.server.keep_alive(), 60);
    // Once is enough.
    assert_eq!(world.server.connack(world.now, &mut world.out, &welcome), Err(SendError::State));
    // [MQTT-3.1.2-28]
    for (list, asked) in [(&[][..], false), (&[Property::RequestResponseInformation(true)], true)] {
        let mut world = World::new(&config());
        world.connect(v5(list));
        let properties = Properties::list(&[Property::ResponseInformation("answers/")]);
        let welcome = Welcome { properties, ..Welcome::default() };
        world.server.connack(world.now, &mut world.out, &welcome).unwrap();
        assert_eq!(world.sent().windows(8).any(|w| w == b"answers/"), asked);
    }
    // 3.1.1 has no words for that.
    let mut world = World::new(&config());
    world.connect(V3);
    world.welcome();
    assert_eq!(world.sent(), b"\x20\x02\0\0");
}

#[test]
fn refusals_have_a_return_code_in_both() {
    for (reason, code) in [
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::ServerUnavailable, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::NotAuthorized, 5),
        (ReasonCode::QuotaExceeded, 3),
        (ReasonCode::ServerShuttingDown, 3),
    ] {
        let mut world = World::new(&config());
        world.connect(V3);
        world.server.refuse(world.now, reason, "no");
        assert_eq!(world.transmit(), (vec![0x20, 2, 0, code], Transport::Shut)); // [MQTT-3.2.2-4]
        let mut world = World::new(&config());
        world.connect(V5);
        world.server.refuse(world.now, reason, "no");
        let (sent, _) = world.transmit();
        let sent = Packet::decode(Version::V5, &sent).unwrap();
        let want =
            if reason == ReasonCode::ServerShuttingDown { ReasonCode::ServerUnavailable } else { reason };
        let list = [Property::ReasonString("no")];
        let properties = Properties::list(&list);
        assert_eq!(sent, Packet::ConnAck(ConnAck { session_present: false, reason: want, properties }));
    }
    let mut world = World::new(&config());
    world.connect(V5);
    let list = [Property::ServerReference("other:1883")];
    let (reason, properties) = (ReasonCode::UseAnotherServer, Properties::list(&list));
    world.server.refuse_with(world.now, &mut world.out, reason, properties).unwrap();
    let _ = world.sends(Packet::ConnAck(ConnAck { session_present: false, reason, properties }));
    assert!(world.server.is_ended());
}

#[test]
fn packets_wait_until_connect_is_answered() {
    let mut world = World::new(&config());
    world.connect(V3);
    assert!(world.feed(b"\x30\x03\0\x01a\xc0\0").is_none()); // [MQTT-3.1.4-5]
    assert_eq!(world.input.filled().len(), 7);
    assert_eq!(world.server.publish(at(0), &mut world.out, &Outgoing::new(b"a", b"")), Err(SendError::State));
    world.welcome();
    assert!(matches!(world.recv(), Some(Event::Publish(p)) if p.topic == "a"));
    assert!(world.recv().is_none());
    assert_eq!(world.transmit().0, b"\x20\x02\0\0\xd0\0"); // [MQTT-3.2.0-1]: CONNACK first
}

#[test]
fn pings_are_counted_and_answered() {
    let mut world = World::open(&config(), V5);
    world.input.push(&[0xc0, 0].repeat(100));
    assert!(world.recv().is_none());
    assert_eq!(world.server.poll_timeout(), Some(Deadline::new(at(0), Why::Output)));
    let mut answers = 0;
    while world.server.poll_timeout().is_some_and(|d| d.why == Why::Output) {
        answers += world.transmit().0.len() / 2;
    }
    assert_eq!(answers, 100); // [MQTT-3.12.4-1]
}

#[test]
fn messages_of_every_quality_come_and_go() {
    for connect in [V3, V5] {
        let mut world = World::open(&config(), connect);
        for delivery in [
            Delivery::AtMostOnce,
            Delivery::AtLeastOnce { id: id(1), dup: true },
            Delivery::ExactlyOnce { id: id(2), dup: false },
        ] {
            let publish = Publish { delivery, retain: true, ..Publish::new("a/b", b"hello") };
            assert!(
                matches!(world.packet(&Packet::Publish(publish)), Some(Event::Publish(p)) if p == publish)
            );
            let outgoing = Outgoing { delivery, retain: true, ..Outgoing::new(b"a/b", b"hello") };
            world.server.publish(world.now, &mut world.out, &outgoing).unwrap();
            let _ = world.sends(Packet::Publish(publish));
        }
        for kind in [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp] {
            let ack = Ack::new(kind, id(9));
            assert!(matches!(world.packet(&Packet::Ack(ack)), Some(Event::Ack(a)) if a == ack));
            world.server.ack(world.now, &mut world.out, &ack).unwrap();
            assert_eq!(world.sent(), [kind.packet().number() << 4 | kind.packet().flags(), 2, 0, 9]);
        }
    }
}

#[test]
fn more_publications_than_the_receive_maximum_are_too_many() {
    // [MQTT-3.3.4-7]; what counts is in §4.9.
    let config = Config { receive_maximum: 2, ..config() };
    let mut world = World::open(&config, V5);
    let publish = |n, twice| {
        let delivery =
            Delivery::new(if twice { Qos::ExactlyOnce } else { Qos::AtLeastOnce }, Some(id(n)), false);
        octets(
            &Packet::Publish(Publish { delivery: delivery.unwrap(), ..Publish::new("a", b"") }),
            Version::V5,
        )
    };
    for n in 1..20 {
        assert!(matches!(world.feed(&publish(2 * n, false)), Some(Event::Publish(_))));
        assert!(matches!(world.feed(&publish(2 * n + 1, true)), Some(Event::Publish(_))));
        assert_eq!(world.server.receive_in_flight(), 2);
        assert!(matches!(world.feed(b"\x30\x04\0\x01a\0"), Some(Event::Publish(_))), "QoS 0 does not count");
        world.server.ack(world.now, &mut world.out, &Ack::new(AckKind::PubAck, id(2 * n))).unwrap();
        let failed = Ack { reason: ReasonCode::QuotaExceeded, ..Ack::new(AckKind::PubRec, id(2 * n + 1)) };
        let last = if n % 2 == 0 { failed } else { Ack::new(AckKind::PubComp, id(2 * n + 1)) };
        world.server.ack(world.now, &mut world.out, &Ack::new(AckKind::PubRec, id(2 * n + 1))).unwrap();
        assert_eq!(world.server.receive_in_flight(), 1, "PUBREC is not the end");
        world.server.ack(world.now, &mut world.out, &last).unwrap();
        world.sent();
    }
    for n in [1, 2] {
        assert!(matches!(world.feed(&publish(n, true)), Some(Event::Publish(_))));
    }
    assert_eq!(world.breaks(&publish(3, true)), Fault::ReceiveMaximum { limit: 2 });
    // 3.1.1 has no such limit.
    let mut world = World::open(&config, V3);
    for n in 1..9 {
        let publish =
            Publish { delivery: Delivery::AtLeastOnce { id: id(n), dup: false }, ..Publish::new("a", b"") };
        assert!(matches!(world.packet(&Packet::Publish(publish)), Some(Event::Publish(_))));
    }
}

#[test]
fn topic_aliases_are_resolved_and_their_misuse_named() {
    let mut world = World::open(&config(), V5);
    let set = |topic, alias| {
        let list = [Property::TopicAlias(alias)];
        let publish = Publish { properties: Properties::list(&list), ..Publish::new(topic, b"x") };
        octets(&Packet::Publish(publish), Version::V5)
    };
    for (topic, alias, want) in
        [("a", 1, "a"), ("b/c", 3, "b/c"), ("", 1, "a"), ("z", 1, "z"), ("", 1, "z"), ("", 3, "b/c")]
    {
        assert!(matches!(world.feed(&set(topic, alias)), Some(Event::Publish(p)) if p.topic == want));
    }
    let fault = world.breaks(&set("", 2));
    assert_eq!(fault.reason_code(), ReasonCode::ProtocolError, "never set (§3.3.2.3.4)");
    for (bytes, alias) in [
        (set("a", 4), 4),                             // [MQTT-3.3.2-9]
        (b"\x30\x07\0\x01a\x03\x23\0\0".to_vec(), 0), // [MQTT-3.3.2-8]
    ] {
        let mut world = World::open(&config(), V5);
        assert!(matches!(world.breaks(&bytes), Fault::TopicAlias { alias: a, .. } if a == alias));
    }
    // An empty topic without an alias, and any empty topic in 3.1.1 ([MQTT-4.7.3-1]).
    assert!(matches!(World::open(&config(), V5).breaks(b"\x30\x03\0\0\0"), Fault::Protocol { .. }));
    assert!(matches!(World::open(&config(), V3).breaks(b"\x30\x02\0\0"), Fault::TopicName { .. }));
}

#[test]
fn limits_of_the_server_are_enforced() {
    let config = Config {
        max_packet: 100,
        max_connect_packet: 50,
        maximum_qos: Qos::AtMostOnce,
        retain_available: false,
        ..config()
    };
    for connect in [V3, V5] {
        let open = || World::open(&config, connect);
        // Announced only: nothing of it has come ([MQTT-3.2.2-15]).
        let fault = open().breaks(b"\x30\x63");
        assert_eq!(fault, Fault::PacketTooLarge { packet: PacketType::Publish, size: 101, limit: 100 });
        let fault = open().breaks(b"\x30\xff\xff\xff\x7f");
        assert_eq!(fault.reason_code(), ReasonCode::PacketTooLarge);
        assert!(open().feed(b"\x30\x62").is_none(), "one of 100 octets may come");
        // [MQTT-3.2.2-11], [MQTT-3.2.2-14]
        let fault = open().breaks(b"\x32\x06\0\x01a\0\x01\0");
        assert_eq!(fault, Fault::QosNotSupported { packet: PacketType::Publish, qos: 1, max: 0 });
        assert_eq!(
            open().breaks(b"\x31\x04\0\x01a\0"),
            Fault::RetainNotSupported { packet: PacketType::Publish }
        );
    }
    let mut world = World::new(&config);
    assert!(matches!(world.breaks(b"\x10\x31"), Fault::PacketTooLarge { limit: 50, .. }));
    // [MQTT-3.2.2-12], [MQTT-3.2.2-13]
    for (qos, retain, code) in [
        (Qos::AtLeastOnce, false, ReasonCode::QosNotSupported),
        (Qos::AtMostOnce, true, ReasonCode::RetainNotSupported),
    ] {
        let will = Will { topic: "w", payload: b"", qos, retain, properties: Properties::NONE };
        let mut world = World::new(&config);
        world.breaks(&octets(&Packet::Connect(Connect { will: Some(will), ..V5 }), Version::V5));
        assert_eq!(world.server.version(), Version::V5);
        let mut world = World::new(&config);
        world.input.push(&octets(&Packet::Connect(Connect { will: Some(will), ..V5 }), Version::V5));
        assert!(matches!(world.recv(), Some(Event::Closed(_))));
        let (sent, _) = world.transmit();
        assert!(matches!(Packet::decode(Version::V5, &sent), Ok(Packet::ConnAck(a)) if a.reason == code));
    }
}

#[test]
fn what_only_servers_send_is_refused() {
    for connect in [V3, V5] {
        for packet in [
            Packet::ConnAck(ConnAck {
                session_present: false,
                reason: ReasonCode::Success,
                properties: Properties::NONE,
            }),
            Packet::SubAck(SubAck {
                id: id(1),
                properties: Properties::NONE,
                reasons: ReasonCodes::list(&[ReasonCode::Success]),
            }),
            Packet::UnsubAck(UnsubAck {
                id: id(1),
                properties: Properties::NONE,
                reasons: ReasonCodes::list(&[ReasonCode::Success]),
            }),
            Packet::PingResp,
        ] {
            let mut world = World::open(&config(), connect);
            let fault = world.breaks(&octets(&packet, connect.version));
            assert!(matches!(fault, Fault::Unexpected { context: "from a client", .. }));
        }
    }
    // [MQTT-3.3.4-6]
    let list = [Property::SubscriptionIdentifier(5)];
    let publish = Publish { properties: Properties::list(&list), ..Publish::new("a", b"") };
    let fault = World::open(&config(), V5).breaks(&octets(&Packet::Publish(publish), Version::V5));
    assert!(matches!(fault, Fault::PropertyValue { property: PropertyId::SubscriptionIdentifier, .. }));
    // §3.14.2.1, §3.14.2.2.5
    let list = [Property::ServerReference("x")];
    for (reason, properties) in
        [(ReasonCode::SessionTakenOver, Properties::NONE), (ReasonCode::Success, Properties::list(&list))]
    {
        let disconnect = Packet::Disconnect(Disconnect { reason, properties });
        let fault = World::open(&config(), V5).breaks(&octets(&disconnect, Version::V5));
        assert_eq!(fault.reason_code(), ReasonCode::ProtocolError);
    }
    assert_eq!(World::open(&config(), V3).breaks(b"\xf0\0"), Fault::ReservedType(15));
}

#[test]
fn a_client_that_leaves_is_told_of_once() {
    for (connect, bytes, reason) in [
        (V3, &b"\xe0\0"[..], ReasonCode::Success),
        (V5, b"\xe0\0", ReasonCode::Success),
        (V5, b"\xe0\x01\x04", ReasonCode::DisconnectWithWill),
    ] {
        let mut world = World::open(&config(), connect);
        world.input.push(bytes);
        world.input.push(b"\x30\x03\0\x01a"); // [MQTT-3.14.4-2]: not processed
        assert!(matches!(world.recv(), Some(Event::Disconnect(d)) if d.reason == reason));
        let end = world.recv();
        assert!(matches!(end, Some(Event::Closed(Closed { by: By::Remote, fault: None, .. }))), "{end:?}");
        assert!(world.recv().is_none());
        assert_eq!(world.transmit(), (vec![], Transport::Shut));
        world.server.handle_eof(world.now);
        assert!(world.recv().is_none());
        assert_eq!(world.transmit().1, Transport::Drop);
    }
}

#[test]
fn a_session_expiry_of_0_is_not_raised_at_the_end() {
    // §3.14.2.2.2
    let leave = b"\xe0\x07\0\x05\x11\0\0\0\x05";
    for (expiry, fine) in [(None, false), (Some(0), false), (Some(1), true)] {
        let list: Vec<_> = expiry.map(Property::SessionExpiry).into_iter().collect();
        let mut world = World::open(&config(), v5(&list));
        if fine {
            assert!(matches!(world.feed(leave), Some(Event::Disconnect(_))));
        } else {
            assert_eq!(world.breaks(leave).reason_code(), ReasonCode::ProtocolError);
        }
    }
    let mut world = World::open(&config(), V5);
    assert!(matches!(world.feed(b"\xe0\x07\0\x05\x11\0\0\0\0"), Some(Event::Disconnect(_))));
}

#[test]
fn a_silent_client_is_given_up_after_one_and_a_half_times_its_keep_alive() {
    // [MQTT-3.1.2-22]; 3.1.1 [MQTT-3.1.2-24]
    for connect in [V3, V5] {
        let mut world = World::open(&config(), Connect { keep_alive: 10, ..connect });
        assert_eq!(world.server.poll_timeout(), Some(Deadline::new(at(15_000), Why::PeerSilent)));
        world.now = at(14_999);
        assert!(world.server.handle_timeout(world.now).is_none());
        assert!(world.feed(b"\xc0\0").is_none());
        assert_eq!(world.transmit().0, b"\xd0\0");
        world.now = at(29_998);
        assert!(world.server.handle_timeout(world.now).is_none());
        world.now = at(29_999);
        let end = world.server.handle_timeout(world.now);
        assert!(matches!(end, Some(Event::Closed(Closed { fault: Some(Fault::KeepAliveTimeout), .. }))));
        let (sent, transport) = world.transmit();
        assert_eq!(transport, Transport::Shut);
        assert_eq!(sent.get(2).copied(), connect.version.is_v5().then_some(0x8d));
        // A client that does not end its stream is not waited for.
        assert_eq!(world.server.poll_timeout(), Some(Deadline::new(at(31_999), Why::Close)));
        world.now = at(31_999);
        assert!(world.server.handle_timeout(world.now).is_none());
        assert_eq!(world.transmit().1, Transport::Abort);
        assert_eq!(world.server.poll_timeout(), None);
    }
    // Keep alive 0 turns it off ([MQTT-3.1.2-20]'s other half).
    let world = World::open(&config(), V3);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn connecting_has_a_deadline() {
    let mut world = World::new(&config());
    assert_eq!(world.server.poll_timeout(), Some(Deadline::new(at(5_000), Why::Handshake)));
    assert!(world.feed(b"\x10").is_none());
    let end = world.server.handle_timeout(at(5_000));
    assert!(matches!(end, Some(Event::Closed(Closed { fault: Some(Fault::ConnectTimeout), .. }))));
    assert_eq!(world.transmit(), (vec![], Transport::Shut));
    // While the application decides, too.
    let mut world = World::new(&config());
    world.connect(V5);
    let end = world.server.handle_timeout(at(5_000));
    assert!(matches!(end, Some(Event::Closed(_))));
    let (sent, _) = world.transmit();
    assert_eq!((sent[0], sent[3]), (0x20, 0x80));
    assert_eq!(world.server.connack(at(5_000), &mut world.out, &Welcome::default()), Err(SendError::State));
}

#[test]
fn what_explains_an_answer_is_left_out_where_it_is_not_wanted() {
    let list = [Property::User("key", "value"), Property::ReasonString("because")];
    let properties = Properties::list(&list);
    let ack = Ack { reason: ReasonCode::NotAuthorized, properties, ..Ack::new(AckKind::PubAck, id(1)) };
    let suback = SubAck { id: id(1), properties, reasons: ReasonCodes::list(&[ReasonCode::Success]) };
    // [MQTT-3.1.2-29]
    let mut world = World::open(&config(), v5(&[Property::RequestProblemInformation(false)]));
    world.server.ack(world.now, &mut world.out, &ack).unwrap();
    assert_eq!(world.sent(), b"\x40\x03\0\x01\x87");
    world.server.suback(world.now, &mut world.out, &suback).unwrap();
    assert_eq!(world.sent(), b"\x90\x04\0\x01\0\0");
    // [MQTT-3.4.2-2], [MQTT-3.4.2-3]: the reason string first.
    let full = ack.encoded_len(Version::V5).unwrap() as u32;
    let without_reason = full - 10;
    for (limit, kept) in [(full, 2), (full - 1, 1), (without_reason, 1), (without_reason - 1, 0), (5, 0)] {
        let mut world = World::open(&Config::default(), V5);
        world.server.tx_max_packet = limit;
        world.server.ack(world.now, &mut world.out, &ack).unwrap();
        let sent = world.sent();
        let Ok(Packet::Ack(sent)) = Packet::decode(Version::V5, &sent) else { panic!() };
        assert_eq!(sent.properties.iter().count(), kept, "{limit}");
    }
}

#[test]
fn a_message_larger_than_the_client_takes_is_not_sent() {
    // [MQTT-3.1.2-24]
    let mut world =
        World::open(&config(), v5(&[Property::MaximumPacketSize(30), Property::ReceiveMaximum(5)]));
    assert_eq!((world.server.maximum_packet_size(), world.server.receive_maximum()), (30, 5));
    let fits = Outgoing::new(b"a", &[1; 24]);
    world.server.publish(world.now, &mut world.out, &fits).unwrap();
    assert_eq!(world.sent().len(), 30);
    let large = Outgoing::new(b"a", &[1; 25]);
    let refused = world.server.publish(world.now, &mut world.out, &large);
    assert_eq!(refused, Err(SendError::TooLarge { size: 31, limit: 30 }));
    assert!(world.server.is_open() && world.sent().is_empty());
}

#[test]
fn a_server_that_ends_the_connection_says_why_in_5_0() {
    let mut world = World::open(&config(), V5);
    world.server.disconnect(world.now, ReasonCode::ServerShuttingDown, "bye");
    let list = [Property::ReasonString("bye")];
    let properties = Properties::list(&list);
    let reason = ReasonCode::ServerShuttingDown;
    assert_eq!(world.sends(Packet::Disconnect(Disconnect { reason, properties })), Transport::Shut);
    assert!(world.feed(b"\x30\x04\0\x01a\0").is_none());
    world.server.handle_eof(world.now);
    let end = world.recv();
    assert!(matches!(end, Some(Event::Closed(Closed { by: By::Local, reason: Some(r), .. })) if r == reason));
    assert!(world.recv().is_none());
    // 3.1.1: nothing but the end of the stream.
    let mut world = World::open(&config(), V3);
    world.server.disconnect(world.now, ReasonCode::ServerShuttingDown, "bye");
    assert_eq!(world.transmit(), (vec![], Transport::Shut));
    // With a reference to another server.
    let mut world = World::open(&config(), V5);
    let list = [Property::ServerReference("other")];
    let moved = Disconnect { reason: ReasonCode::ServerMoved, properties: Properties::list(&list) };
    world.server.disconnect_with(world.now, &mut world.out, &moved).unwrap();
    assert_eq!(world.sends(Packet::Disconnect(moved)), Transport::Shut);
}

#[test]
fn a_connection_that_breaks_ends_without_disconnect() {
    let mut world = World::open(&config(), V3);
    assert!(world.feed(b"\x30\x09half").is_none());
    world.server.handle_eof(world.now);
    let end = world.recv();
    assert!(matches!(end, Some(Event::Closed(Closed { by: By::Transport, reason: None, .. }))), "{end:?}");
    assert_eq!(world.transmit().1, Transport::Drop);
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let mut world = World::open(&config(), V5);
    world.server.handle_written(at(0), 0, 100);
    assert_eq!(world.server.poll_timeout(), Some(Deadline::new(at(10_000), Why::Write)));
    world.server.handle_written(at(9_000), 1, 99);
    assert!(world.server.handle_timeout(at(10_000)).is_none());
    let end = world.server.handle_timeout(at(19_000));
    assert!(matches!(end, Some(Event::Closed(Closed { fault: Some(Fault::WriteTimeout), .. }))));
    assert_eq!(world.transmit().1, Transport::Abort);
}

const METHOD: Property<'static> = Property::AuthMethod("SCRAM-SHA-256");

fn auth(reason: ReasonCode, list: &[Property<'_>]) -> Vec<u8> {
    octets(&Packet::Auth(Auth { reason, properties: Properties::list(list) }), Version::V5)
}

#[test]
fn authentication_is_exchanged_before_and_after_connack() {
    let mut world = World::new(&config());
    world.connect(v5(&[METHOD]));
    let list = [METHOD, Property::AuthData(b"challenge")];
    let step = Auth { reason: ReasonCode::ContinueAuthentication, properties: Properties::list(&list) };
    world.server.auth(world.now, &mut world.out, &step).unwrap(); // [MQTT-4.12.0-2]
    let _ = world.sends(Packet::Auth(step));
    assert!(matches!(world.feed(&auth(step.reason, &[METHOD])), Some(Event::Auth(_))));
    assert!(world.feed(b"\xc0\0").is_none(), "nothing is read while the application decides");
    world.welcome();
    assert!(world.recv().is_none());
    assert!(world.transmit().0.ends_with(b"\xd0\0"));
    // Again, while the connection is open (§4.12.1).
    assert_eq!(world.server.auth(world.now, &mut world.out, &step), Err(SendError::State));
    assert!(matches!(world.feed(&auth(ReasonCode::ReAuthenticate, &[METHOD])), Some(Event::Auth(_))));
    assert!(matches!(world.feed(b"\x30\x04\0\x01a\0"), Some(Event::Publish(_))), "messages go on");
    world.server.auth(world.now, &mut world.out, &step).unwrap();
    assert!(matches!(world.feed(&auth(step.reason, &[METHOD])), Some(Event::Auth(_))));
    world.server.auth(world.now, &mut world.out, &Auth { reason: ReasonCode::Success, ..step }).unwrap();
    world.sent();
    world.breaks(&auth(step.reason, &[METHOD]));
}

#[test]
fn authentication_out_of_order_is_a_fault() {
    // [MQTT-4.12.0-6], [MQTT-4.12.0-7]: without a method in CONNECT
    let fault = World::open(&config(), V5).breaks(&auth(ReasonCode::ReAuthenticate, &[METHOD]));
    assert_eq!(fault.reason_code(), ReasonCode::ProtocolError);
    // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
    let mut world = World::open(&config(), v5(&[METHOD]));
    let fault = world.breaks(&auth(ReasonCode::ReAuthenticate, &[Property::AuthMethod("other")]));
    assert_eq!(fault, Fault::AuthMethod { packet: PacketType::Auth });
    // Nothing but AUTH and DISCONNECT before CONNACK ([MQTT-3.1.2-30]).
    let mut world = World::new(&config());
    world.connect(v5(&[METHOD]));
    let list = [METHOD];
    let step = Auth { reason: ReasonCode::ContinueAuthentication, properties: Properties::list(&list) };
    world.server.auth(world.now, &mut world.out, &step).unwrap();
    world.sent();
    assert!(matches!(world.breaks(b"\xc0\0"), Fault::Unexpected { packet: PacketType::PingReq, .. }));
    let mut world = World::open(&config(), v5(&[METHOD]));
    let fault = world.breaks(&auth(ReasonCode::ContinueAuthentication, &[METHOD]));
    assert_eq!(fault.reason_code(), ReasonCode::ProtocolError, "nothing was begun");
}
