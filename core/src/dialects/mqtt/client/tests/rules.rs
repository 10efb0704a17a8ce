//! The rules of a client, one by one, against octets.

use std::vec;
use std::vec::Vec;

use super::super::super::*;
use super::super::*;
use crate::buf::{GrowingRecvBuf, SharedSendBuf};
use crate::lifecycle::{By, Transport};
use crate::time::{Deadline, Why};

type Tested = Client<Arena<[u8; 256], [u16; 4]>, FixedAliases<2, 16>>;

struct World {
    now: Instant,
    client: Tested,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    aliases: AliasTable,
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn id(n: u16) -> PacketId {
    PacketId::new(n).unwrap()
}

fn octets(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = SharedSendBuf::new(1 << 20);
    packet.encode(version, &mut out).unwrap();
    out.slices().flatten().copied().collect()
}

impl World {
    fn new(version: Version) -> Self {
        let config = Config { version, topic_alias_maximum: 2, ..Config::default() };
        Self {
            now: at(0),
            client: Client::new(&config, Arena::new([0; 256], [0; 4]), FixedAliases::new()),
            input: GrowingRecvBuf::new(1 << 20),
            out: SharedSendBuf::new(1 << 20),
            aliases: AliasTable::new(),
        }
    }

    /// Connected, with these properties in CONNACK.
    fn open(version: Version, list: &[Property<'_>]) -> Self {
        let mut world = Self::new(version);
        world.connect(&Connect { keep_alive: 100, ..Connect::new(version, "me") });
        world.connack(false, list);
        world
    }

    fn connect(&mut self, connect: &Connect<'_>) {
        self.client.connect(self.now, &mut self.out, connect).expect("room");
        self.sent();
    }

    fn connack(&mut self, session_present: bool, list: &[Property<'_>]) {
        let ack =
            ConnAck { session_present, reason: ReasonCode::Success, properties: Properties::list(list) };
        assert!(matches!(self.packet(&Packet::ConnAck(ack)), Some(Event::Connected(_))));
    }

    fn recv(&mut self) -> Option<Event<'_>> {
        self.client.recv(self.now, &mut self.input, &mut self.aliases)
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Option<Event<'_>> {
        let bytes = octets(packet, self.client.version());
        self.feed(&bytes)
    }

    fn feed(&mut self, bytes: &[u8]) -> Option<Event<'_>> {
        self.input.push(bytes);
        self.recv()
    }

    fn sent(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.sent(bytes.len());
        bytes
    }

    fn transmit(&mut self) -> (Vec<u8>, Transport) {
        let transport = self.client.poll_transmit(self.now, &mut self.out);
        (self.sent(), transport)
    }

    fn publish(&mut self, message: &Message<'_>) -> Result<Option<PacketId>, SendError> {
        self.client.publish(self.now, &mut self.out, message)
    }

    fn breaks(&mut self, bytes: &[u8]) -> Fault {
        let fault = match self.feed(bytes) {
            Some(Event::Closed(Closed { by: By::Local, fault: Some(fault), .. })) => fault,
            other => panic!("{other:?} after {bytes:02x?}"),
        };
        let open = self.client.phase == Phase::Open;
        let (sent, transport) = self.transmit();
        assert_eq!(transport, Transport::Drop);
        // [MQTT-4.13.1-1]
        assert_eq!(sent.first() == Some(&0xe0), open && self.client.version().is_v5());
        assert!(self.recv().is_none() && self.feed(b"\xd0\0").is_none());
        fault
    }
}

#[test]
fn it_is_small() {
    let empty = size_of::<Client<Arena<[u8; 0], [u16; 0]>, NoAliases>>();
    assert!(empty <= 384, "{empty}");
}

#[test]
fn connect_announces_the_limits_of_this_side() {
    let mut world = World::new(Version::V5);
    let list = [Property::User("a", "b"), Property::ReceiveMaximum(9)];
    let will = Will {
        topic: "w",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::NONE,
    };
    let connect = Connect {
        will: Some(will),
        user_name: Some("user"),
        password: Some(b"secret"),
        properties: Properties::list(&list),
        ..Connect::new(Version::V5, "me")
    };
    world.client.connect(at(0), &mut world.out, &connect).unwrap();
    let sent = world.sent();
    let want = [
        Property::User("a", "b"),
        Property::ReceiveMaximum(4), // what the store can note
        Property::MaximumPacketSize(1 << 20),
        Property::TopicAliasMaximum(2),
    ];
    let want = Connect { properties: Properties::list(&want), ..connect };
    assert_eq!(Packet::decode(Version::V5, &sent), Ok(Packet::Connect(want)));
    let other = Connect::new(Version::V311, "me");
    assert!(matches!(world.client.connect(at(0), &mut world.out, &other), Err(SendError::Invalid(_))));
}

#[test]
fn the_first_packet_is_connack_and_there_is_one() {
    for version in [Version::V311, Version::V5] {
        // [MQTT-3.2.0-1]
        for first in [&b"\xd0\0"[..], b"\x30\x04\0\x01a\0", b"\xe0\0", b"\x20\x01"] {
            let mut world = World::new(version);
            world.connect(&Connect::new(version, "me"));
            if first == b"\x20\x01" {
                world.breaks(&[first, b"\0"].concat());
            } else {
                world.breaks(first);
            }
        }
        // [MQTT-3.2.0-2]
        let mut world = World::open(version, &[]);
        let ack =
            ConnAck { session_present: false, reason: ReasonCode::Success, properties: Properties::NONE };
        let again = octets(&Packet::ConnAck(ack), version);
        assert!(matches!(world.breaks(&again), Fault::Unexpected { packet: PacketType::ConnAck, .. }));
        // [MQTT-3.2.2-2]: a clean start has no session.
        let mut world = World::new(version);
        world.connect(&Connect::new(version, "me"));
        let present = octets(&Packet::ConnAck(ConnAck { session_present: true, ..ack }), version);
        assert_eq!(world.breaks(&present).reason_code(), ReasonCode::ProtocolError);
    }
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let mut world = World::new(Version::V5);
    world.connect(&Connect::new(Version::V5, "me"));
    let list = [Property::ServerReference("other")];
    let (reason, properties) = (ReasonCode::UseAnotherServer, Properties::list(&list));
    let ack = ConnAck { session_present: false, reason, properties };
    assert!(matches!(world.packet(&Packet::ConnAck(ack)), Some(Event::Refused(a)) if a == ack));
    assert!(matches!(world.recv(), Some(Event::Closed(Closed { by: By::Remote, .. }))));
    assert!(world.recv().is_none());
    assert_eq!(world.transmit(), (vec![], Transport::Drop));
    let mut world = World::new(Version::V311);
    world.connect(&Connect::new(Version::V311, "me"));
    let refused = world.feed(b"\x20\x02\0\x05");
    assert!(matches!(refused, Some(Event::Refused(ConnAck { reason: ReasonCode::NotAuthorized, .. }))));
}

#[test]
fn what_is_published_before_the_connection_is_sent_after_it() {
    let mut world = World::new(Version::V5);
    let first = world.publish(&Message::new("a", b"1").with_qos(Qos::AtLeastOnce)).unwrap();
    assert_eq!(world.publish(&Message::new("a", b"0")), Err(SendError::State));
    world.connect(&Connect::new(Version::V5, "me"));
    assert_eq!(first, Some(id(1)));
    world.connack(false, &[]);
    assert!(world.recv().is_none(), "never sent, so not lost");
    assert_eq!(world.transmit().0, b"\x32\x07\0\x01a\0\x01\x001");
    assert!(
        matches!(world.feed(b"\x40\x02\0\x01"), Some(Event::Acked(n, ReasonCode::Success)) if n == id(1))
    );
    assert!(world.client.store().is_empty());
}

#[test]
fn the_server_is_not_sent_more_than_its_receive_maximum() {
    // [MQTT-3.3.4-7]
    let mut world = World::open(Version::V5, &[Property::ReceiveMaximum(2)]);
    for _ in 0..4 {
        world.publish(&Message::new("a", b"").with_qos(Qos::AtLeastOnce)).unwrap();
    }
    assert_eq!(world.transmit().0.len(), 2 * 8);
    assert_ne!(world.client.poll_timeout().map(|d| d.why), Some(Why::Output), "the server's turn");
    // Subscriptions and QoS 0 do not wait for it.
    let list = [Subscription::new("x", Qos::AtMostOnce)];
    let asked = world.client.subscribe(at(0), &mut world.out, Subscriptions::list(&list), Properties::NONE);
    assert_eq!(asked, Ok(id(5)));
    world.publish(&Message::new("a", b"")).unwrap();
    world.sent();
    let suback = SubAck {
        id: id(5),
        properties: Properties::NONE,
        reasons: ReasonCodes::list(&[ReasonCode::Success]),
    };
    assert!(matches!(world.packet(&Packet::SubAck(suback)), Some(Event::SubAck(a)) if a == suback));
    for n in 1..=4 {
        assert!(matches!(world.feed(&[0x40, 2, 0, n]), Some(Event::Acked(..))));
        assert_eq!(world.transmit().0.len(), if n < 3 { 8 } else { 0 });
    }
    assert!(world.client.store().is_empty());
}

#[test]
fn a_full_store_says_so() {
    let mut world = World::open(Version::V5, &[]);
    let message = Message::new("a", &[1; 100]).with_qos(Qos::AtLeastOnce);
    assert!(world.publish(&message).is_ok() && world.publish(&message).is_ok());
    assert_eq!(world.publish(&message), Err(SendError::InFlight));
    assert!(SendError::InFlight.is_blocked());
    assert!(matches!(world.feed(b"\x40\x02\0\x01"), Some(Event::Acked(..))));
    assert_eq!(world.publish(&message), Ok(Some(id(3))));
}

/// An arena that counts how often an identifier is looked for.
struct Counting(Arena<Vec<u8>, Vec<u16>>, core::cell::Cell<usize>);

impl Store for Counting {
    fn push(&mut self, id: PacketId, kept: Kept, len: usize) -> Option<&mut [u8]> {
        self.0.push(id, kept, len)
    }
    fn find(&self, id: PacketId) -> Option<(usize, Kept)> {
        self.1.set(self.1.get() + 1);
        self.0.find(id)
    }
    fn at(&self, place: usize) -> Option<Entry<'_>> {
        self.0.at(place)
    }
    fn packet_mut(&mut self, place: usize) -> Option<&mut [u8]> {
        self.0.packet_mut(place)
    }
    fn release(&mut self, id: PacketId) {
        self.0.release(id);
    }
    fn remove(&mut self, id: PacketId) {
        self.0.remove(id);
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn receive(&mut self, id: PacketId) -> bool {
        self.0.receive(id)
    }
    fn has_received(&self, id: PacketId) -> bool {
        self.0.has_received(id)
    }
    fn forget_received(&mut self, id: PacketId) -> bool {
        self.0.forget_received(id)
    }
    fn clear_received(&mut self) {
        self.0.clear_received();
    }
    fn receive_capacity(&self) -> u16 {
        self.0.receive_capacity()
    }
}

/// Once it took as many looks as the session has messages, at each call, full or not.
#[test]
fn a_session_that_is_taken_up_again_finds_identifiers_at_once() {
    // The last identifiers before they begin anew, and the first.
    for first in [1, 100, 65_000] {
        let mut store = Counting(Arena::new(vec![0; 1000 * (7 + 2)], vec![0; 4]), core::cell::Cell::new(0));
        let mut next = first;
        while let Some(packet) = store.0.push(id(next), Kept::AtLeastOnce, 2) {
            packet.fill(0);
            next = next.checked_add(1).unwrap_or(1);
        }
        let mut client = Client::new(&Config::default(), store, FixedAliases::<2, 16>::new());
        let mut out = SharedSendBuf::new(1 << 20);
        let message = Message::new("a", b"").with_qos(Qos::AtLeastOnce);
        for _ in 0..100 {
            assert_eq!(client.publish(at(0), &mut out, &message), Err(SendError::InFlight));
        }
        assert_eq!(client.store().1.get(), 100, "one look for each");
    }
}

/// Those who are in the way of identifiers that began anew are passed once.
#[test]
fn identifiers_in_use_are_passed_once() {
    let mut store = Counting(Arena::new(vec![0; 1000 * (7 + 2)], vec![0; 4]), core::cell::Cell::new(0));
    // The oldest were never acknowledged, while all identifiers were used once; then it is full.
    for n in (1..900).chain([65_535]) {
        store.0.push(id(n), Kept::AtLeastOnce, 2).unwrap();
    }
    while store.0.push(id(40_000 + store.0.len() as u16), Kept::AtLeastOnce, 2).is_some() {}
    let last = store.0.len() - 1;
    let (mut config, mut out) = (Config::default(), SharedSendBuf::new(1 << 20));
    config.version = Version::V311;
    let mut client = Client::new(&config, store, FixedAliases::<2, 16>::new());
    client.latest_id = id(65_535);
    let message = Message::new("a", b"").with_qos(Qos::AtLeastOnce);
    for _ in 0..100 {
        assert_eq!(client.publish(at(0), &mut out, &message), Err(SendError::InFlight));
    }
    assert_eq!(client.store().1.get(), 900 + 99);
    assert_eq!(client.store().len(), last + 1, "nothing was kept of what was refused");
}

#[test]
fn limits_of_the_server_are_respected() {
    let limits = [
        Property::MaximumPacketSize(30),
        Property::MaximumQos(Qos::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::ServerKeepAlive(7),
    ];
    let mut world = World::new(Version::V5);
    let retained = Message { retain: true, ..Message::new("a", b"").with_qos(Qos::AtLeastOnce) };
    let kept = [
        world.publish(&Message::new("a", b"").with_qos(Qos::ExactlyOnce)),
        world.publish(&retained),
        world.publish(&Message::new("a", &[1; 40]).with_qos(Qos::AtLeastOnce)),
        world.publish(&Message::new("a", b"fine").with_qos(Qos::AtLeastOnce)),
    ];
    assert_eq!(kept, [1, 2, 3, 4].map(|n| Ok(Some(id(n)))));
    world.connect(&Connect::new(Version::V5, "me"));
    world.connack(false, &limits);
    // What was kept for a server that does not take it ([MQTT-3.2.2-11], [MQTT-3.2.2-14], [MQTT-3.2.2-15]).
    for (n, want) in [
        (1, ReasonCode::QosNotSupported),
        (2, ReasonCode::RetainNotSupported),
        (3, ReasonCode::PacketTooLarge),
    ] {
        assert!(world.transmit().0.is_empty());
        assert_eq!(world.client.poll_timeout(), Some(Deadline::new(at(0), Why::Output)));
        assert!(matches!(world.recv(), Some(Event::Acked(i, reason)) if i == id(n) && reason == want));
    }
    assert_eq!(world.transmit().0, b"\x32\x0a\0\x01a\0\x04\0fine");
    assert!(matches!(
        world.publish(&Message::new("a", &[1; 40])),
        Err(SendError::TooLarge { limit: 30, .. })
    ));
    assert!(matches!(world.publish(&retained), Err(SendError::Unsupported(_))));
    let twice = Message::new("a", b"").with_qos(Qos::ExactlyOnce);
    assert!(matches!(world.publish(&twice), Err(SendError::Unsupported(_))));
    assert_eq!(world.client.keep_alive(), 7); // [MQTT-3.1.2-21]
}

#[test]
fn a_message_with_qos_2_comes_once() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::open(version, &[]);
        let publish = |dup| {
            let delivery = Delivery::ExactlyOnce { id: id(9), dup };
            octets(&Packet::Publish(Publish { delivery, ..Publish::new("a", b"x") }), version)
        };
        assert!(matches!(world.feed(&publish(false)), Some(Event::Message(_))));
        assert_eq!(world.transmit().0, b"\x50\x02\0\x09");
        // The connection is lost, and PUBREC with it.
        world.client.handle_eof(at(0));
        assert!(matches!(world.recv(), Some(Event::Closed(_))));
        world.connect(&Connect { clean_start: false, ..Connect::new(version, "me") });
        world.connack(true, &[]);
        assert!(world.feed(&publish(true)).is_none()); // [MQTT-4.3.3-10]
        assert_eq!(world.transmit().0, b"\x50\x02\0\x09");
        assert!(world.feed(b"\x62\x02\0\x09").is_none());
        assert_eq!(world.transmit().0, b"\x70\x02\0\x09"); // [MQTT-4.3.3-11]
        // A PUBREL for what is not known is answered, too; 5.0 can say so.
        assert!(world.feed(b"\x62\x02\0\x09").is_none());
        let unknown: &[u8] = if version.is_v5() { b"\x70\x03\0\x09\x92" } else { b"\x70\x02\0\x09" };
        assert_eq!(world.transmit().0, unknown);
        assert!(
            matches!(world.feed(&publish(false)), Some(Event::Message(_))),
            "the identifier is free again"
        );
    }
}

#[test]
fn acknowledgements_are_owed_in_order_and_bounded() {
    let mut world = World::open(Version::V311, &[]);
    let mut all = Vec::new();
    for n in 1..=40 {
        let publish =
            Publish { delivery: Delivery::AtLeastOnce { id: id(n), dup: false }, ..Publish::new("a", b"") };
        all.extend(octets(&Packet::Publish(publish), Version::V311));
    }
    world.input.push(&all);
    let (mut events, mut acks) = (0, Vec::new());
    loop {
        let before = events;
        while let Some(event) = world.recv() {
            assert!(matches!(event, Event::Message(_)));
            events += 1;
        }
        assert!(events - before <= OWED);
        if world.client.poll_timeout().is_none_or(|d| d.why != Why::Output) {
            break;
        }
        acks.extend(world.transmit().0);
    }
    assert_eq!(events, 40);
    let want: Vec<u8> = (1..=40).flat_map(|n| [0x40, 2, 0, n]).collect();
    assert_eq!(acks, want); // [MQTT-4.6.0-2]
}

#[test]
fn steps_of_qos_2_keep_their_order() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::open(version, &[]);
        let numbers = [3, 1, 2];
        let all: Vec<u8> = numbers
            .iter()
            .flat_map(|n| {
                let delivery = Delivery::ExactlyOnce { id: id(*n), dup: false };
                octets(&Packet::Publish(Publish { delivery, ..Publish::new("a", b"") }), version)
            })
            .collect();
        world.input.push(&all);
        for _ in numbers {
            assert!(matches!(world.recv(), Some(Event::Message(_))));
        }
        assert_eq!(world.transmit().0, b"\x50\x02\0\x03\x50\x02\0\x01\x50\x02\0\x02"); // [MQTT-4.6.0-3]
        for _ in numbers {
            world.publish(&Message::new("a", b"").with_qos(Qos::ExactlyOnce)).unwrap();
        }
        world.transmit().0.clear();
        world.input.push(b"\x50\x02\0\x02\x50\x02\0\x03\x50\x02\0\x01");
        assert!(world.recv().is_none());
        assert_eq!(world.transmit().0, b"\x62\x02\0\x02\x62\x02\0\x03\x62\x02\0\x01"); // [MQTT-4.6.0-4]
    }
}

#[test]
fn a_lost_session_is_told_entry_by_entry() {
    let mut world = World::open(Version::V5, &[]);
    world.publish(&Message::new("a", b"").with_qos(Qos::AtLeastOnce)).unwrap();
    world.publish(&Message::new("b", b"").with_qos(Qos::ExactlyOnce)).unwrap();
    assert!(world.feed(b"\x50\x02\0\x02").is_none());
    let list = [Subscription::new("x", Qos::AtMostOnce)];
    world.client.subscribe(at(0), &mut world.out, Subscriptions::list(&list), Properties::NONE).unwrap();
    world.client.unsubscribe(at(0), &mut world.out, Filters::list(&["x"]), Properties::NONE).unwrap();
    world.transmit().0.clear();
    world.client.handle_eof(at(0));
    assert!(matches!(world.recv(), Some(Event::Closed(_))));
    // The session goes on: only the requests are lost, the rest is sent again ([MQTT-4.4.0-1]).
    world.connect(&Connect { clean_start: false, ..Connect::new(Version::V5, "me") });
    world.connack(true, &[]);
    for n in [3, 4] {
        assert!(world.transmit().0.is_empty(), "first the losses");
        assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(n)));
    }
    assert!(world.recv().is_none());
    assert_eq!(world.transmit().0, b"\x3a\x06\0\x01a\0\x01\0\x62\x02\0\x02"); // [MQTT-3.3.1-1]
    world.client.handle_eof(at(0));
    assert!(matches!(world.recv(), Some(Event::Closed(_))));
    // The server has forgotten it ([MQTT-3.2.2-5]).
    world.connect(&Connect { clean_start: false, ..Connect::new(Version::V5, "me") });
    world.connack(false, &[]);
    for n in [1, 2] {
        assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(n)));
    }
    assert!(world.recv().is_none() && world.client.store().is_empty());
    assert!(world.transmit().0.is_empty());
}

#[test]
fn what_is_lost_stays_lost() {
    let mut world = World::open(Version::V5, &[]);
    for _ in 0..2 {
        world.publish(&Message::new("a", b"").with_qos(Qos::ExactlyOnce)).unwrap();
    }
    world.publish(&Message::new("a", b"").with_qos(Qos::AtLeastOnce)).unwrap();
    let again = Connect { clean_start: false, ..Connect::new(Version::V5, "me") };
    world.client.handle_eof(at(0));
    assert!(matches!(world.recv(), Some(Event::Closed(_))));
    // A new session, whose connection is lost before the application has heard of all that is gone.
    world.connect(&again);
    world.connack(false, &[]);
    assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(1)));
    // What is asked meanwhile is not among it.
    world.client.unsubscribe(at(0), &mut world.out, Filters::list(&["x"]), Properties::NONE).unwrap();
    assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(2)));
    world.client.handle_eof(at(0));
    world.connect(&again);
    assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(3)));
    world.connack(true, &[]);
    assert!(matches!(world.recv(), Some(Event::Lost(i)) if i == id(4)), "the connection was lost");
    assert!(world.recv().is_none());
    world.client.unsubscribe(at(0), &mut world.out, Filters::list(&["x"]), Properties::NONE).unwrap();
    let unsuback = UnsubAck {
        id: id(5),
        properties: Properties::NONE,
        reasons: ReasonCodes::list(&[ReasonCode::Success]),
    };
    assert!(matches!(world.packet(&Packet::UnsubAck(unsuback)), Some(Event::UnsubAck(_))));
    assert!(world.client.store().is_empty());
}

#[test]
fn each_filter_has_its_answer() {
    let two = ReasonCodes::list(&[ReasonCode::Success, ReasonCode::Success]);
    let mut world = World::open(Version::V5, &[]);
    let list = [Subscription::new("x", Qos::AtMostOnce), Subscription::new("y", Qos::AtMostOnce)];
    world.client.subscribe(at(0), &mut world.out, Subscriptions::list(&list), Properties::NONE).unwrap();
    world.client.unsubscribe(at(0), &mut world.out, Filters::list(&["x"]), Properties::NONE).unwrap();
    world.sent();
    let suback = Packet::SubAck(SubAck { id: id(1), properties: Properties::NONE, reasons: two });
    assert!(matches!(world.packet(&suback), Some(Event::SubAck(a)) if a.reasons.len() == 2));
    // [MQTT-3.8.4-6], [MQTT-3.11.3-1]
    let unsuback = Packet::UnsubAck(UnsubAck { id: id(2), properties: Properties::NONE, reasons: two });
    assert!(matches!(world.breaks(&octets(&unsuback, Version::V5)), Fault::Protocol { .. }));
    // That of 3.1.1 has none.
    let mut world = World::open(Version::V311, &[]);
    world.client.unsubscribe(at(0), &mut world.out, Filters::list(&["x"]), Properties::NONE).unwrap();
    assert!(matches!(world.feed(b"\xb0\x02\0\x01"), Some(Event::UnsubAck(_))));
}

#[test]
fn answers_to_nothing_are_passed_over_or_refused() {
    let mut world = World::open(Version::V5, &[]);
    for bytes in [&b"\x40\x02\0\x07"[..], b"\x70\x02\0\x07", b"\x50\x03\0\x07\x97", b"\xd0\0"] {
        assert!(world.feed(bytes).is_none(), "{bytes:?}");
        assert!(world.transmit().0.is_empty());
    }
    assert!(world.feed(b"\x50\x02\0\x07").is_none());
    assert_eq!(world.transmit().0, b"\x62\x03\0\x07\x92", "PUBREC of what is not known");
    assert!(matches!(
        world.breaks(b"\x90\x04\0\x07\0\0"),
        Fault::Protocol { packet: PacketType::SubAck, .. }
    ));
    for bytes in [&b"\x82\x06\0\x01\0\0\x01a\0"[..], b"\xc0\0", b"\xa2\x06\0\x01\0\0\x01a"] {
        let mut world = World::open(Version::V5, &[]);
        world.breaks(bytes);
    }
}

#[test]
fn a_refused_publication_is_done() {
    let mut world = World::open(Version::V5, &[]);
    world.publish(&Message::new("a", b"").with_qos(Qos::ExactlyOnce)).unwrap();
    world.publish(&Message::new("a", b"").with_qos(Qos::AtLeastOnce)).unwrap();
    let refused = world.feed(b"\x50\x03\0\x01\x97");
    assert!(matches!(refused, Some(Event::Acked(i, ReasonCode::QuotaExceeded)) if i == id(1)));
    let taken = world.feed(b"\x40\x03\0\x02\x10");
    assert!(matches!(taken, Some(Event::Acked(i, ReasonCode::NoMatchingSubscribers)) if i == id(2)));
    assert!(world.client.store().is_empty() && world.client.tx_in_flight == 0);
}

#[test]
fn aliases_shorten_topics_in_both_directions() {
    let mut world = World::open(Version::V5, &[Property::TopicAliasMaximum(2)]);
    let say = |topic, alias| Message { alias: PacketId::new(alias), ..Message::new(topic, b"") };
    for (topic, alias, want) in [
        ("a/b", 1, &b"\x30\x09\0\x03a/b\x03\x23\0\x01"[..]),
        ("a/b", 1, b"\x30\x06\0\0\x03\x23\0\x01"),
        ("c", 1, b"\x30\x07\0\x01c\x03\x23\0\x01"),
        ("c", 3, b"\x30\x04\0\x01c\0"), // above the server's maximum ([MQTT-3.3.2-9])
        ("c", 0, b"\x30\x04\0\x01c\0"),
    ] {
        world.publish(&say(topic, alias)).unwrap();
        assert_eq!(world.sent(), want);
    }
    // A topic that the table cannot keep goes as it is.
    world.publish(&say("a/topic/of/more/than/sixteen", 2)).unwrap();
    assert!(!world.sent().contains(&0x23));
    // [MQTT-3.3.2-7]: the next connection knows none.
    world.client.handle_eof(at(0));
    assert!(matches!(world.recv(), Some(Event::Closed(_))));
    world.connect(&Connect { clean_start: false, ..Connect::new(Version::V5, "me") });
    world.connack(true, &[Property::TopicAliasMaximum(2)]);
    world.publish(&say("c", 1)).unwrap();
    assert_eq!(world.sent(), b"\x30\x07\0\x01c\x03\x23\0\x01");
    // The server's.
    assert!(
        matches!(world.feed(b"\x30\x07\0\x01s\x03\x23\0\x02"), Some(Event::Message(m)) if m.topic == "s")
    );
    assert!(matches!(world.feed(b"\x30\x06\0\0\x03\x23\0\x02"), Some(Event::Message(m)) if m.topic == "s"));
    assert!(matches!(world.breaks(b"\x30\x07\0\x01s\x03\x23\0\x03"), Fault::TopicAlias { alias: 3, .. }));
}

#[test]
fn more_than_our_receive_maximum_is_too_much() {
    // [MQTT-3.3.4-9]: this side announces 4, and acknowledges by itself only what it has told.
    let config = Config { manual_ack: true, ..Config::default() };
    let mut world = World::new(Version::V5);
    world.client = Client::new(&config, Arena::new([0; 256], [0; 4]), FixedAliases::new());
    world.connect(&Connect::new(Version::V5, "me"));
    world.connack(false, &[]);
    let publish = |n| [0x34, 6, 0, 1, b'a', 0, n, 0];
    for n in 1..=4 {
        assert!(matches!(world.feed(&publish(n)), Some(Event::Message(_))));
    }
    assert!(world.transmit().0.is_empty(), "the application acknowledges");
    let delivery = Delivery::ExactlyOnce { id: id(1), dup: false };
    world.client.ack(at(0), &mut world.out, delivery, ReasonCode::QuotaExceeded).unwrap();
    assert_eq!(world.sent(), b"\x50\x03\0\x01\x97");
    assert!(matches!(world.feed(&publish(5)), Some(Event::Message(_))));
    let delivery = Delivery::ExactlyOnce { id: id(2), dup: false };
    world.client.ack(at(0), &mut world.out, delivery, ReasonCode::Success).unwrap();
    world.sent();
    assert_eq!(world.breaks(&publish(6)), Fault::ReceiveMaximum { limit: 4 });
}

#[test]
fn pings_keep_the_connection_and_find_a_dead_server() {
    // [MQTT-3.1.2-20]
    let mut world = World::open(Version::V311, &[]);
    assert_eq!(world.client.poll_timeout(), Some(Deadline::new(at(75_000), Why::Keepalive)));
    world.now = at(60_000);
    world.publish(&Message::new("a", b"")).unwrap();
    world.sent();
    world.now = at(75_000);
    assert_eq!(world.transmit().0, b"\xc0\0", "nothing was received, though something was sent");
    assert_eq!(world.client.poll_timeout(), Some(Deadline::new(at(85_000), Why::PeerSilent)));
    world.now = at(80_000);
    assert!(world.feed(b"\xd0\0").is_none());
    assert_eq!(world.client.poll_timeout(), Some(Deadline::new(at(150_000), Why::Keepalive)));
    world.now = at(150_000);
    assert_eq!(world.transmit().0, b"\xc0\0");
    world.now = at(160_000);
    let end = world.client.handle_timeout(world.now);
    assert!(matches!(end, Some(Event::Closed(Closed { fault: Some(Fault::PingTimeout), .. }))));
    assert_eq!(world.transmit(), (vec![], Transport::Drop));
    // Keep alive 0: no pings.
    let mut world = World::new(Version::V311);
    world.connect(&Connect::new(Version::V311, "me"));
    world.connack(false, &[]);
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_server_that_does_not_answer_connect_is_given_up() {
    let mut world = World::new(Version::V5);
    world.connect(&Connect::new(Version::V5, "me"));
    assert_eq!(world.client.poll_timeout(), Some(Deadline::new(at(5_000), Why::Handshake)));
    world.now = at(5_000);
    let end = world.client.handle_timeout(world.now);
    assert!(matches!(end, Some(Event::Closed(Closed { fault: Some(Fault::ConnectTimeout), .. }))));
    assert_eq!(world.transmit(), (vec![], Transport::Drop));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn leaving_says_disconnect() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::open(version, &[]);
        world.client.disconnect(at(0));
        assert_eq!(world.transmit(), (b"\xe0\0".to_vec(), Transport::Drop)); // [MQTT-3.14.4-1]
        let end = world.recv();
        assert!(matches!(
            end,
            Some(Event::Closed(Closed { by: By::Local, reason: Some(ReasonCode::Success), .. }))
        ));
        assert!(world.recv().is_none());
        assert_eq!(world.publish(&Message::new("a", b"")), Err(SendError::State)); // [MQTT-3.14.4-2]
    }
    let mut world = World::open(Version::V5, &[]);
    let list = [Property::SessionExpiry(60)];
    let leave = Disconnect { reason: ReasonCode::DisconnectWithWill, properties: Properties::list(&list) };
    world.client.disconnect_with(at(0), &mut world.out, &leave).unwrap();
    assert_eq!(world.sent(), b"\xe0\x07\x04\x05\x11\0\0\0\x3c");
    assert_eq!(world.transmit(), (vec![], Transport::Drop));
    assert!(matches!(world.recv(), Some(Event::Closed(_))));
    // Not while there is no connection.
    let mut world = World::new(Version::V5);
    world.client.disconnect(at(0));
    assert!(world.recv().is_none());
}

#[test]
fn a_server_that_does_not_take_the_last_packet_is_given_up() {
    let mut w = World::open(Version::V5, &[]);
    w.client.disconnect(w.now);
    assert_eq!(w.client.poll_transmit(w.now, &mut w.out), Transport::Drop, "once it is written");
    w.client.handle_written(w.now, 0, w.out.len());
    assert!(matches!(w.recv(), Some(Event::Closed(_))));
    let deadline = w.client.poll_timeout();
    assert_eq!(deadline, Some(Deadline::new(w.now + Config::default().write_timeout, Why::Write)));
    w.now = deadline.unwrap().at;
    assert!(w.client.handle_timeout(w.now).is_none(), "its end was told");
    assert_eq!(w.client.poll_transmit(w.now, &mut w.out), Transport::Abort);
    assert_eq!(w.client.poll_timeout(), None);
}

#[test]
fn a_server_that_ends_the_connection_is_heard() {
    let mut world = World::open(Version::V5, &[]);
    let list = [Property::ServerReference("other")];
    let moved = Disconnect { reason: ReasonCode::ServerMoved, properties: Properties::list(&list) };
    assert!(matches!(world.packet(&Packet::Disconnect(moved)), Some(Event::Disconnect(d)) if d == moved));
    assert!(matches!(world.recv(), Some(Event::Closed(Closed { by: By::Remote, .. }))));
    assert!(world.recv().is_none());
    assert_eq!(world.transmit(), (vec![], Transport::Drop));
    // [MQTT-3.14.2-2]; §3.14.2.1; 3.1.1 has no such packet
    World::open(Version::V5, &[]).breaks(b"\xe0\x07\0\x05\x11\0\0\0\x3c");
    World::open(Version::V5, &[]).breaks(b"\xe0\x01\x04");
    World::open(Version::V311, &[]).breaks(b"\xe0\0");
}

const METHOD: Property<'static> = Property::AuthMethod("SCRAM-SHA-256");

#[test]
fn authentication_takes_steps() {
    let mut world = World::new(Version::V5);
    let list = [METHOD];
    let connect = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "me") };
    world.connect(&connect);
    let step = Auth { reason: ReasonCode::ContinueAuthentication, properties: Properties::list(&list) };
    assert_eq!(world.client.auth(at(0), &mut world.out, &step), Err(SendError::State), "the server's turn");
    assert!(matches!(world.packet(&Packet::Auth(step)), Some(Event::Auth(a)) if a == step));
    world.client.auth(at(0), &mut world.out, &step).unwrap(); // [MQTT-4.12.0-3]
    assert_eq!(world.sent(), octets(&Packet::Auth(step), Version::V5));
    world.connack(false, &list);
    // Again (§4.12.1).
    let again = Auth { reason: ReasonCode::ReAuthenticate, ..step };
    world.client.auth(at(0), &mut world.out, &again).unwrap();
    assert_eq!(world.client.auth(at(0), &mut world.out, &again), Err(SendError::State));
    let done = Auth { reason: ReasonCode::Success, ..step };
    assert!(matches!(world.packet(&Packet::Auth(done)), Some(Event::Auth(a)) if a == done));
    world.client.auth(at(0), &mut world.out, &again).unwrap();
    // [MQTT-4.12.0-5]
    let other = [Property::AuthMethod("other")];
    let other = octets(&Packet::Auth(Auth { properties: Properties::list(&other), ..step }), Version::V5);
    world.sent();
    assert_eq!(world.breaks(&other), Fault::AuthMethod { packet: PacketType::Auth });
    // [MQTT-4.12.0-6]: nobody asked.
    World::open(Version::V5, &[]).breaks(&octets(&Packet::Auth(step), Version::V5));
}
