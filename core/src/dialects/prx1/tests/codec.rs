//! Every packet, read and written.

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::buf::{SendBuf, SliceSendBuf};
use crate::prx1::*;

fn encoded(packet: &Packet<'_>) -> Result<Vec<u8>, SendError> {
    let mut memory = std::vec![0; MAX_BODY as usize + 5];
    let mut out = SliceSendBuf::new(&mut memory);
    let result = packet.encode(&mut out).map(|()| out.pending().to_vec());
    assert!(result.is_ok() || out.pending().is_empty());
    result
}

fn unhex(text: &str) -> Vec<u8> {
    text.split(' ').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

fn id(n: u16) -> Option<PacketId> {
    Some(PacketId::new(n).unwrap())
}

fn subscribe(filter: &str, id: Option<PacketId>) -> Subscribe<'_> {
    Subscribe { filter: Filter::parse(filter).unwrap(), id, dup: false }
}

#[track_caller]
fn both_ways(hex: &str, packet: Packet<'_>) {
    let octets = unhex(hex);
    assert_eq!(Packet::decode(&octets), Ok(Some((packet, octets.len()))));
    assert_eq!(encoded(&packet), Ok(octets));
}

/// PRX-14, PRX-15: the known-good packets of a connection's beginning.
#[test]
fn connecting() {
    let connect = Connect {
        user: Some("test"),
        password: Some(b"pw"),
        client_id: Some(""),
        keepalive: Some(1),
        clean: false,
    };
    both_ways(
        "10 15 00 04 50 52 58 31 0f 00 02 70 77 00 00 00 01 00 04 74 65 73 74",
        Packet::Connect(connect),
    );
    let connect = Connect {
        user: Some("u"),
        password: Some(b"p"),
        client_id: Some("c"),
        keepalive: Some(60),
        clean: true,
    };
    both_ways("18 12 00 04 50 52 58 31 0f 00 01 70 00 01 63 00 3c 00 01 75", Packet::Connect(connect));
    let ok = ConnAck { result: ConnectResult::Ok, ..ConnAck::default() };
    both_ways("20 01 02", Packet::ConnAck(ok));
    both_ways("20 01 01", Packet::ConnAck(ConnAck { result: ConnectResult::Fail, ..ok }));
    both_ways(
        "2c 05 02 00 02 73 31",
        Packet::ConnAck(ConnAck { has_session: true, session: Some("s1"), ..ok }),
    );
    both_ways("22 01 02", Packet::ConnAck(ConnAck { clean: true, ..ok }));
    both_ways("20 01 00", Packet::ConnAck(ConnAck::default()));
}

/// The published example, whose password is a bcrypt string itself.
#[test]
fn the_published_connect() {
    both_ways(
        "10 4f 00 04 50 52 58 31 0f 00 3c 24 32 61 24 30 36 24 6c 4e 69 38 48 35 6b 63 35 5a 39 54 39 78 4a 41 \
         58 77 51 71 79 75 6e 6c 32 45 59 68 47 55 69 36 63 74 33 54 67 70 52 31 42 4e 62 31 76 70 7a 70 70 39 \
         70 7a 43 00 00 00 01 00 04 74 65 73 74",
        Packet::Connect(Connect {
            user: Some("test"),
            password: Some(b"$2a$06$lNi8H5kc5Z9T9xJAXwQqyunl2EYhGUi6ct3TgpR1BNb1vpzpp9pzC"),
            client_id: Some(""),
            keepalive: Some(1),
            clean: false,
        }),
    );
}

#[test]
fn messages_and_subscriptions() {
    let hi = Publish::new("a/b", b"hi");
    both_ways("b0 09 00 03 61 2f 62 00 02 68 69", Packet::Publish(hi));
    both_ways("b2 0b 00 01 00 03 61 2f 62 00 02 68 69", Packet::Publish(Publish { id: id(1), ..hi }));
    let again = Publish { id: id(0x1234), dup: true, retain: true, ..hi };
    both_ways("bb 0b 12 34 00 03 61 2f 62 00 02 68 69", Packet::Publish(again));
    both_ways("70 05 00 03 61 2f 2a", Packet::Subscribe(subscribe("a/*", None)));
    both_ways("72 07 00 02 00 03 61 2f 2a", Packet::Subscribe(subscribe("a/*", id(2))));
    both_ways("90 05 00 03 61 2f 2a", Packet::Unsubscribe(subscribe("a/*", None)));
    both_ways("92 07 00 03 00 03 61 2f 2a", Packet::Unsubscribe(subscribe("a/*", id(3))));
    both_ways("60 02 00 01", Packet::PubAck(id(1).unwrap()));
    both_ways("80 02 00 02", Packet::SubAck(id(2).unwrap()));
    both_ways("a0 02 00 03", Packet::UnsubAck(id(3).unwrap()));
    both_ways("c0 00", Packet::Ping);
    both_ways("d0 00", Packet::Pong);
    both_ways("e0 00", Packet::Disconnect);
}

#[test]
fn queues() {
    let initialize = QueueOptions {
        id: id(1),
        return_path: Some("q/r"),
        mark: Some(b"m"),
        ..QueueOptions::new(QueueAction::Initialize, "q/a")
    };
    both_ways(
        "4a 15 00 f0 00 01 00 03 71 2f 61 00 03 71 2f 72 00 01 6d 00 02 68 69",
        Packet::Queue(Queue { options: Some(initialize), payload: Some(b"hi"), dup: false }),
    );
    let drain = QueueOptions::new(QueueAction::Drain, "q/a");
    both_ways(
        "48 07 00 42 00 03 71 2f 61",
        Packet::Queue(Queue { options: Some(drain), payload: None, dup: false }),
    );
    both_ways("46 04 00 02 68 69", Packet::Queue(Queue { options: None, payload: Some(b"hi"), dup: true }));
    for (octet, status) in [("50", QueueStatus::None), ("51", QueueStatus::Ok), ("52", QueueStatus::Error)] {
        both_ways(&(String::from(octet) + " 00"), Packet::QueueAck(status));
    }
}

#[track_caller]
fn refused(hex: &str, fault: Fault) {
    assert_eq!(Packet::decode(&unhex(hex)), Err(fault), "{hex}");
}

#[test]
fn what_is_wrong_is_said() {
    use Kind::{ConnAck, Connect, PubAck, Publish, Queue, QueueAck, Subscribe};
    let truncated = |kind, field| Fault::Truncated { kind, field };
    refused("00", Fault::UnassignedCode(0));
    refused("3f", Fault::UnassignedCode(3));
    refused("f0 00", Fault::UnassignedCode(15));
    refused("b0 80 80 80 80", Fault::LengthTooLong(Publish));
    refused("c0 01", Fault::TooLarge { kind: Kind::Ping, size: 1, limit: 0 });
    refused("60 01 00", truncated(PubAck, "id"));
    refused("60 02 00 00", Fault::BadId { kind: PubAck, id: 0 });
    refused("60 02 ff ff", Fault::BadId { kind: PubAck, id: 65_535 });
    refused("b2 06 00 00 00 01 61 00", Fault::BadId { kind: Publish, id: 0 });
    refused("b4 08 00 01 00 01 61 00 01 62", Fault::BadValue { kind: Publish, field: "QoS", value: 2 });
    refused("76 05 00 01 00 01 61", Fault::BadValue { kind: Subscribe, field: "QoS", value: 3 });
    refused("b0 03 00 03 61", truncated(Publish, "topic"));
    refused("b0 06 00 01 61 00 02 68", truncated(Publish, "message"));
    refused("b0 03 00 01 61", truncated(Publish, "message"));
    refused("b0 06 00 01 61 00 00 00", Fault::LeftOver { kind: Publish, octets: 1 });
    refused("70 03 00 01 ff", Fault::NotUtf8 { kind: Subscribe, field: "topic" });
    let empty = TopicError::from(crate::topic::TopicError::Empty);
    refused("70 02 00 00", Fault::BadTopic { kind: Subscribe, field: "topic", error: empty });
    refused("b0 04 00 00 00 00", Fault::BadTopic { kind: Publish, field: "topic", error: empty });
    let hash = TopicError::ForeignWildcard { at: 0 };
    refused("70 03 00 01 23", Fault::BadTopic { kind: Subscribe, field: "topic", error: hash });
    refused("b0 05 00 01 2b 00 00", Fault::BadTopic { kind: Publish, field: "topic", error: hash });
    refused("48 05 00 42 00 01 2b", Fault::BadTopic { kind: Queue, field: "address", error: hash });
    refused("48 02 00 03", Fault::BadValue { kind: Queue, field: "action", value: 3 });
    refused("48 04 00 80 00 00", Fault::BadId { kind: Queue, id: 0 });
    refused("48 00", truncated(Queue, "options"));
    refused("44 00", Fault::EmptyQueue);
    refused("53 00", Fault::BadValue { kind: QueueAck, field: "status", value: 3 });
    refused("20 01 05", Fault::BadValue { kind: ConnAck, field: "result", value: 5 });
    refused("20 00", truncated(ConnAck, "result"));
    refused("24 02 02 00", truncated(ConnAck, "session id"));
    refused("10 06 00 04 4d 51 54 54", Fault::BadProtocol);
    refused("10 06 00 04 50 52 58 31", truncated(Connect, "flags"));
    refused("10 07 00 04 50 52 58 31 04", truncated(Connect, "keepalive"));
    refused("10 09 00 04 50 52 58 31 08 00 01", truncated(Connect, "user name"));
}

/// Each says what and where, and none but another protocol is answered.
#[test]
fn faults_have_words() {
    let octets = unhex("10 07 00 04 50 52 58 31 04");
    let fault = Packet::decode(&octets).unwrap_err();
    assert_eq!(fault.to_string(), "CONNECT: the body ends within the keepalive");
    assert_eq!(fault.answer(), None);
    assert_eq!(Fault::BadProtocol.answer(), Some(ConnectResult::Refused));
    let fault = Packet::decode(b"\xb0\x07\x00\x03a/#\x00\x00").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "PUBLISH: topic: octet 2 is `+` or `#`, a wildcard for others than PRX1; use another character"
    );
}

#[test]
fn what_cannot_be_carried_is_refused_and_never_cut() {
    let long = std::vec![b'x'; STRING_MAX + 1];
    let text = core::str::from_utf8(&long).unwrap();
    let too_long = |field| Err(SendError::TooLong { field, octets: STRING_MAX + 1 });
    assert_eq!(encoded(&Packet::Publish(Publish::new("a", &long))), too_long("message"));
    assert!(encoded(&Packet::Publish(Publish::new("a", &long[1..]))).is_ok());
    assert!(matches!(encoded(&Packet::Publish(Publish::new(text, b""))), Err(SendError::Topic(_))));
    assert!(matches!(encoded(&Packet::Publish(Publish::new("a/+", b""))), Err(SendError::Topic(_))));
    let none = Connect::default();
    assert_eq!(encoded(&Packet::Connect(Connect { user: Some(text), ..none })), too_long("user name"));
    assert_eq!(encoded(&Packet::Connect(Connect { client_id: Some(text), ..none })), too_long("client id"));
    assert_eq!(encoded(&Packet::Connect(Connect { password: Some(&long), ..none })), too_long("password"));
    let session = ConnAck { session: Some(text), ..ConnAck::default() };
    assert_eq!(encoded(&Packet::ConnAck(session)), too_long("session id"));
    let message = Queue { options: None, payload: Some(&long), dup: false };
    assert_eq!(encoded(&Packet::Queue(message)), too_long("message"));
    let mark = QueueOptions { mark: Some(&long), ..QueueOptions::new(QueueAction::Drain, "q") };
    assert_eq!(encoded(&Packet::Queue(Queue { options: Some(mark), ..message })), too_long("mark"));
    assert_eq!(encoded(&Packet::Queue(Queue { payload: None, ..message })), Err(SendError::EmptyQueue));
}

/// Option bits that a kind does not know, and bits of flags that nobody has named, mean nothing.
#[test]
fn unknown_bits_are_passed_over() {
    assert_eq!(Packet::decode(b"\xcf\x00"), Ok(Some((Packet::Ping, 2))));
    assert_eq!(Packet::decode(b"\x6a\x02\x00\x01"), Ok(Some((Packet::PubAck(PacketId::FIRST), 4))));
    let connect = Packet::Connect(Connect::default());
    assert_eq!(Packet::decode(b"\x17\x07\x00\x04PRX1\xf0"), Ok(Some((connect, 9))));
    let plain = Packet::Subscribe(subscribe("a", None));
    assert_eq!(Packet::decode(b"\x71\x03\x00\x01a"), Ok(Some((plain, 5))));
}

/// The debug form shows no password.
#[test]
fn passwords_are_not_shown() {
    let connect = Connect { password: Some(b"secret"), ..Connect::default() };
    assert!(!std::format!("{connect:?}").contains("secret") && !std::format!("{connect:?}").contains("115"));
}

#[test]
fn ids_go_round() {
    assert_eq!(size_of::<Option<PacketId>>(), 2);
    assert_eq!((PacketId::new(0), PacketId::new(65_535)), (None, None));
    assert_eq!(id(65_534).unwrap().next(), PacketId::FIRST);
    assert_eq!(PacketId::FIRST.next().get(), 2);
}

fn any_id() -> impl Strategy<Value = Option<PacketId>> {
    prop::option::of((1..=PacketId::LAST).prop_map(|n| PacketId::new(n).unwrap()))
}

/// The parts that a packet is made of, owned.
#[derive(Clone, Debug)]
struct Parts {
    text: Vec<Option<String>>,
    topics: Vec<String>,
    bytes: Vec<Option<Vec<u8>>>,
    id: Option<PacketId>,
    number: u16,
    flags: [bool; 3],
    kind: usize,
}

fn parts() -> impl Strategy<Value = Parts> {
    (
        prop::collection::vec(prop::option::of("\\PC{0,20}"), 2),
        prop::collection::vec("[a-zé*]{0,3}/[a-zé]{1,3}", 2),
        prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..200)), 2),
        any_id(),
        any::<u16>(),
        any::<[bool; 3]>(),
        0..13usize,
    )
        .prop_map(|(text, topics, bytes, id, number, flags, kind)| Parts {
            text,
            topics,
            bytes,
            id,
            number,
            flags,
            kind,
        })
}

impl Parts {
    fn packet(&self) -> Option<Packet<'_>> {
        let (id, [a, b, c]) = (self.id, self.flags);
        let text = |i: usize| self.text[i].as_deref();
        let bytes = |i: usize| self.bytes[i].as_deref();
        let some_id = id.unwrap_or(PacketId::FIRST);
        let topic = self.topics[0].as_str();
        let subscribe = || Some(Subscribe { filter: Filter::parse(topic).ok()?, id, dup: a });
        Some(match self.kind {
            0 => Packet::Connect(Connect {
                user: text(0),
                password: bytes(0),
                client_id: text(1),
                keepalive: b.then_some(self.number),
                clean: a,
            }),
            1 => Packet::ConnAck(ConnAck {
                result: ConnectResult::from_number((self.number % 5) as u8)?,
                has_session: a,
                session: text(0),
                clean: b,
            }),
            2 => Packet::Publish(Publish { topic, payload: bytes(0)?, id, retain: a, dup: b }),
            3 => Packet::PubAck(some_id),
            4 => Packet::Subscribe(subscribe()?),
            5 => Packet::SubAck(some_id),
            6 => Packet::Unsubscribe(subscribe()?),
            7 => Packet::UnsubAck(some_id),
            8 => Packet::Queue(Queue {
                options: a.then(|| QueueOptions {
                    action: [QueueAction::Initialize, QueueAction::Destroy, QueueAction::Drain]
                        [usize::from(self.number % 3)],
                    id,
                    address: b.then_some(topic),
                    return_path: c.then_some(&self.topics[1]),
                    mark: bytes(0),
                }),
                payload: bytes(1),
                dup: c,
            }),
            9 => Packet::QueueAck(
                [QueueStatus::None, QueueStatus::Ok, QueueStatus::Error][usize::from(self.number % 3)],
            ),
            10 => Packet::Ping,
            11 => Packet::Pong,
            _ => Packet::Disconnect,
        })
    }
}

proptest! {
    /// What is written is read as it was, and no part of it is taken for a whole; and it is only
    /// written where it fits.
    #[test]
    fn packets_read_as_they_are_written(parts in parts()) {
        let Some(packet) = parts.packet() else { return Ok(()) };
        let octets = match encoded(&packet) {
            Ok(octets) => octets,
            Err(SendError::EmptyQueue | SendError::Topic(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(Packet::decode(&octets), Ok(Some((packet, octets.len()))));
        for n in 0..octets.len() {
            prop_assert_eq!(Packet::decode(&octets[..n]), Ok(None), "{} octets", n);
        }
        let mut memory = std::vec![0; octets.len() - 1];
        let mut out = SliceSendBuf::new(&mut memory);
        prop_assert_eq!(packet.encode(&mut out), Err(SendError::Blocked(crate::error::Blocked)));
        prop_assert!(out.pending().is_empty() && out.room() == octets.len() - 1);
    }

    /// Whatever comes is read or refused; what was read says the same when it is written.
    #[test]
    fn nothing_panics(octets in prop::collection::vec(any::<u8>(), 0..64), first in any::<u8>()) {
        let mut octets = octets;
        octets.insert(0, (octets.len() % 128) as u8);
        octets.insert(0, first);
        match Packet::decode(&octets) {
            Ok(Some((packet, n))) => {
                prop_assert!(n <= octets.len());
                let again = encoded(&packet).unwrap();
                prop_assert_eq!(Packet::decode(&again), Ok(Some((packet, again.len()))));
            }
            Ok(None) => {}
            Err(fault) => prop_assert!(!fault.to_string().is_empty()),
        }
    }
}
