//! Packets that break one rule each, with the reason code that the specification names.

use std::string::ToString;
use std::vec::Vec;

use super::super::super::{Fault, Head, Packet, ReasonCode, Version};
use ReasonCode::{
    MalformedPacket as MALFORMED, ProtocolError as PROTOCOL, TopicAliasInvalid as ALIAS,
    TopicFilterInvalid as FILTER, TopicNameInvalid as TOPIC, UnsupportedProtocolVersion as VERSION,
};

const V3: &[Version] = &[Version::V311];
const V5: &[Version] = &[Version::V5];
const BOTH: &[Version] = &[Version::V311, Version::V5];

type Row = (&'static [Version], u8, &'static [u8], ReasonCode, &'static str);

/// The packet whose first octet is `first`, with the remaining length of `body`.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[first, body.len() as u8][..], body].concat()
}

/// Each row is refused with its code, for its reason.
fn refuse(rows: &[Row]) {
    for (versions, first, body, code, what) in rows {
        for version in *versions {
            let octets = packet(*first, body);
            let fault = Packet::decode(*version, &octets).expect_err(what);
            assert_eq!(fault.reason_code(), *code, "{fault}, for {what}");
            assert!(fault.to_string().contains(what), "{fault}, not {what}");
        }
    }
}

#[test]
fn fixed_headers() {
    // [MQTT-2.1.3-1]; [MQTT-2.2.2-2] of 3.1.1; [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1] among them
    for first in 0..=255u8 {
        let head = Head::read(&[first, 0]);
        let fine = match first >> 4 {
            0 => false,
            3 => true,
            6 | 8 | 10 => first & 0x0f == 2,
            _ => first & 0x0f == 0,
        };
        assert_eq!(head.is_ok(), fine, "{first:#04x}");
        assert!(head.is_ok_and(|h| h.is_some()) || Head::read(&[first]) == head, "told at once");
        assert!(fine || head.is_err_and(|fault| fault.reason_code() == MALFORMED));
    }
    // [MQTT-1.5.5-1], and the four octets of §2.1.4
    for bad in [&[0x30, 0x80, 0][..], &[0x30, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x81, 0x80, 0x80, 0]] {
        let fault = Head::read(bad).unwrap_err();
        assert!(matches!(fault, Fault::RemainingLength { .. }));
        assert_eq!(fault.reason_code(), MALFORMED);
    }
    for more in [&[][..], &[0x30], &[0x30, 0xff], &[0x30, 0xff, 0xff, 0xff]] {
        assert_eq!(Head::read(more), Ok(None));
    }
    assert_eq!(Packet::decode(Version::V311, b"\xf0\0"), Err(Fault::ReservedType(15)));
    assert!(Packet::decode(Version::V5, b"\xc0\0\0").is_err(), "more than one packet");
    assert!(Packet::decode(Version::V5, b"").is_err());
}

#[test]
fn strings_and_data() {
    refuse(&[
        // [MQTT-1.5.4-1]: surrogates, overlong forms, beyond U+10FFFF, cut characters
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x03\xed\xa0\x80", MALFORMED, "not UTF-8"),
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x02\xc0\x80", MALFORMED, "not UTF-8"),
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x04\xf4\x90\x80\x80", MALFORMED, "not UTF-8"),
        (BOTH, 0x30, b"\0\x01\xc3\0", MALFORMED, "not UTF-8"),
        // [MQTT-1.5.4-2]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01\0", MALFORMED, "U+0000"),
        (V5, 0x82, b"\0\x01\0\0\x01\0\0", MALFORMED, "U+0000"),
        (V3, 0x82, b"\0\x01\0\x01\0\0", MALFORMED, "U+0000"),
        // Fields that reach beyond the packet.
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x03ab", MALFORMED, "beyond"),
        (BOTH, 0x30, b"\0\x05abcd", MALFORMED, "beyond"),
        (BOTH, 0x40, b"\0", MALFORMED, "beyond"),
        (V5, 0x30, b"\0\x01a\x05\x01\0", MALFORMED, "beyond"),
        (V5, 0x30, b"\0\x01a", MALFORMED, "beyond"), // [MQTT-2.2.2-1]: a length of 0 must be there
    ]);
    // [MQTT-1.5.4-3]: U+FEFF is a character like any other.
    let packet = packet(0x30, "\0\x04\u{feff}a".as_bytes());
    assert!(
        matches!(Packet::decode(Version::V311, &packet), Ok(Packet::Publish(p)) if p.topic == "\u{feff}a")
    );
}

#[test]
fn connect() {
    refuse(&[
        (BOTH, 0x10, b"\0\x04mqtt\x04\x02\0\0\0\0", VERSION, "name is not MQTT"), // [MQTT-3.1.2-1]
        (BOTH, 0x10, b"\0\x06MQIsdp\x03\x02\0\0\0\0", VERSION, "level 3"),
        (BOTH, 0x10, b"\0\x06MQIsdp\x05\x02\0\0\0\0", VERSION, "level 5"),
        (BOTH, 0x10, b"\0\x04MQTT\x06\x02\0\0\0\0", VERSION, "level 6"), // [MQTT-3.1.2-2]
        (BOTH, 0x10, b"\0\x04MQTT\x84\x02\0\0\0\0", VERSION, "level 132"),
        (BOTH, 0x10, b"\0\x04MQTT\x04\x03\0\0\0\0", MALFORMED, "reserved connect flag"), // [MQTT-3.1.2-3]
        (BOTH, 0x10, b"\0\x04MQTT\x05\x03\0\0\0\0\0", MALFORMED, "reserved connect flag"),
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13]; of 3.1.1 [MQTT-3.1.2-13], [MQTT-3.1.2-15]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x0a\0\0\0\0", MALFORMED, "there is no will"),
        (BOTH, 0x10, b"\0\x04MQTT\x05\x22\0\0\0\0\0", MALFORMED, "there is no will"),
        // [MQTT-3.1.2-12]; of 3.1.1 [MQTT-3.1.2-14]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x1e\0\0\0\0\0\x01w\0\0", MALFORMED, "QoS 3"),
        (BOTH, 0x10, b"\0\x04MQTT\x04\x42\0\0\0\0\0\x01p", MALFORMED, "without a user name"), // 3.1.1 [MQTT-3.1.2-22]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\0x", MALFORMED, "left over"), // [MQTT-3.1.3-1]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x82\0\0\0\0", MALFORMED, "beyond"),     // [MQTT-3.1.2-17]
        (BOTH, 0x10, b"\0\x04MQTT\x04\x06\0\0\0\0\0\x01+\0\0", TOPIC, "wildcard"),
        (BOTH, 0x10, b"\0\x04MQTT\x04\x06\0\0\0\0\0\0\0\0", TOPIC, "empty"), // [MQTT-4.7.3-1]
        // Properties of the will are its own (§3.1.3.2).
        (BOTH, 0x10, b"\0\x04MQTT\x05\x02\0\0\x05\x18\0\0\0\x01\0\0", MALFORMED, "Will Delay"),
        (
            BOTH,
            0x10,
            b"\0\x04MQTT\x05\x06\0\0\0\0\0\x05\x11\0\0\0\x01\0\x01w\0\0",
            MALFORMED,
            "Session Expiry",
        ),
    ]);
    // A password without a user name is fine in 5.0 (§3.1.2.9).
    assert!(Packet::decode(Version::V5, &packet(0x10, b"\0\x04MQTT\x05\x42\0\0\0\0\0\0\x01p")).is_ok());
}

#[test]
fn publish() {
    refuse(&[
        (BOTH, 0x36, b"\0\x01a\0\x01\0", MALFORMED, "QoS 3"), // [MQTT-3.3.1-4]
        (BOTH, 0x38, b"\0\x01a\0", MALFORMED, "DUP with QoS 0"), // [MQTT-3.3.1-2]
        (BOTH, 0x32, b"\0\x01a\0\0\0", PROTOCOL, "packet identifier is 0"), // [MQTT-2.2.1-3]
        (BOTH, 0x34, b"\0\x01a\0", MALFORMED, "beyond"),
        (BOTH, 0x30, b"\0\x03a/+\0", TOPIC, "wildcard"), // [MQTT-3.3.2-2]
        (BOTH, 0x30, b"\0\x01#\0", TOPIC, "wildcard"),
        (BOTH, 0x30, b"\0\x01\0\0", MALFORMED, "U+0000"), // [MQTT-4.7.3-2]
        (V3, 0x30, b"\0\0", TOPIC, "empty"),              // [MQTT-4.7.3-1]
        (V5, 0x30, b"\0\0\0", PROTOCOL, "neither a topic"), // §3.3.2.3.4
        (V5, 0x30, b"\0\x01a\x03\x23\0\0", ALIAS, "no topic alias"), // [MQTT-3.3.2-8]
        (V5, 0x30, b"\0\x01a\x02\x0b\0", PROTOCOL, "must not be 0"), // §3.3.2.3.8
        (V5, 0x30, b"\0\x01a\x02\x01\x02", PROTOCOL, "must be 0 or 1"), // §3.3.2.3.2
        (V5, 0x30, b"\0\x01a\x06\x08\0\x03a/+", PROTOCOL, "valid topic name"), // [MQTT-3.3.2-14]
    ]);
}

#[test]
fn properties() {
    refuse(&[
        (V5, 0x30, b"\0\x01a\x02\x7f\0", MALFORMED, "not known"),
        (V5, 0x30, b"\0\x01a\x03\x80\x01\0", MALFORMED, "not known"), // two octets of identifier
        (V5, 0x30, b"\0\x01a\x03\x81\0\0", MALFORMED, "not minimal"), // [MQTT-1.5.5-1]
        (V5, 0x30, b"\0\x01a\x80\0", MALFORMED, "not minimal"),
        (V5, 0x30, b"\0\x01a\x03\x13\0\x05", MALFORMED, "Server Keep Alive is not allowed"), // §2.2.2.2
        (V5, 0x30, b"\0\x01a\x04\x01\0\x01\x01", PROTOCOL, "Payload Format Indicator is there twice"),
        (V5, 0x30, b"\0\x01a\x06\x23\0\x01\x23\0\x01", PROTOCOL, "Topic Alias is there twice"),
        (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\0", PROTOCOL, "Receive Maximum must not be 0"),
        (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\0", PROTOCOL, "Packet Size must not be 0"),
        (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\0", PROTOCOL, "must be 0 or 1"),
        (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x02\x19\x02\0\0", PROTOCOL, "must be 0 or 1"),
        // §3.1.2.11.10
        (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01d\0\0", PROTOCOL, "data without a method"),
        (V5, 0x20, b"\0\0\x02\x24\x02", PROTOCOL, "must be 0 or 1"), // [MQTT-3.2.2-9]'s range
        (V5, 0x20, b"\0\0\x02\x25\x02", PROTOCOL, "must be 0 or 1"),
        (V5, 0x20, b"\0\0\x02\x28\x02", PROTOCOL, "must be 0 or 1"),
        (V5, 0x20, b"\0\0\x02\x29\x02", PROTOCOL, "must be 0 or 1"),
        (V5, 0x20, b"\0\0\x02\x2a\x02", PROTOCOL, "must be 0 or 1"),
        (V5, 0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0", PROTOCOL, "there twice"), // §3.8.2.1.2
        (V5, 0x82, b"\0\x01\x02\x0b\0\0\x01a\0", PROTOCOL, "must not be 0"),
        (V5, 0x40, b"\0\x01\0\x05\x11\0\0\0\x01", MALFORMED, "Session Expiry Interval is not allowed"),
        (V5, 0xe0, b"\0\x03\x21\0\x01", MALFORMED, "Receive Maximum is not allowed"),
        (V5, 0xf0, b"\x18\0", PROTOCOL, "no authentication method"), // §3.15.2.2.2
        (V5, 0xf0, b"\x18", PROTOCOL, "no authentication method"),
        (V5, 0x40, b"\0\x01\0\x04\x1f\0\x01a\0", MALFORMED, "left over"),
    ]);
    // Of CONNACK the specification does not say so.
    let connack = packet(0x20, b"\0\0\x04\x16\0\x01d");
    assert!(matches!(Packet::decode(Version::V5, &connack), Ok(Packet::ConnAck(_))));
    // Identifiers of several subscriptions ([MQTT-3.3.4-4]) and user properties ([MQTT-3.3.2-18]) repeat.
    let many = packet(0x30, b"\0\x01a\x12\x0b\x01\x0b\x01\x26\0\x01k\0\x01v\x26\0\x01k\0\x01v");
    assert!(
        matches!(Packet::decode(Version::V5, &many), Ok(Packet::Publish(p)) if p.properties.iter().count() == 4)
    );
}

#[test]
fn subscriptions() {
    refuse(&[
        (V3, 0x82, b"\0\x01", PROTOCOL, "no subscription"), // [MQTT-3.8.3-3] of 3.1.1
        (V5, 0x82, b"\0\x01\0", PROTOCOL, "no subscription"), // [MQTT-3.8.3-2]
        (V3, 0xa2, b"\0\x01", PROTOCOL, "no topic filter"),
        (V5, 0xa2, b"\0\x01\0", PROTOCOL, "no topic filter"), // [MQTT-3.10.3-2]
        (V3, 0x82, b"\0\0\0\x01a\0", PROTOCOL, "packet identifier is 0"),
        (V5, 0xa2, b"\0\0\0\0\x01a", PROTOCOL, "packet identifier is 0"),
        (V3, 0x82, b"\0\x01\0\x01a", MALFORMED, "beyond"),
        (V3, 0x82, b"\0\x01\0\x01a\x03", MALFORMED, "QoS 3"), // [MQTT-3-8.3-4] of 3.1.1
        (V3, 0x82, b"\0\x01\0\x01a\x04", MALFORMED, "reserved bits"),
        (V5, 0x82, b"\0\x01\0\0\x01a\x03", PROTOCOL, "QoS 3"),
        (V5, 0x82, b"\0\x01\0\0\x01a\x40", MALFORMED, "reserved bits"), // [MQTT-3.8.3-5]
        (V5, 0x82, b"\0\x01\0\0\x01a\x80", MALFORMED, "reserved bits"),
        (V5, 0x82, b"\0\x01\0\0\x01a\x30", PROTOCOL, "retain handling 3"), // §3.8.3.1
        (V5, 0x82, b"\0\x01\0\0\x0a$share/g/a\x04", PROTOCOL, "No Local"), // [MQTT-3.8.3-4]
        (V3, 0x82, b"\0\x01\0\0\0", FILTER, "empty"),                      // [MQTT-4.7.3-1]
        (V3, 0x82, b"\0\x01\0\x03a/#\0\0\x03#/a\0", FILTER, "last level"), // [MQTT-4.7.1-1]
        (V3, 0x82, b"\0\x01\0\x02a+\0", FILTER, "alone in its level"),     // [MQTT-4.7.1-2]
        (V3, 0xa2, b"\0\x01\0\x02a#", FILTER, "alone in its level"),
        (V5, 0x82, b"\0\x01\0\0\x09$share//a\0", FILTER, "$share"), // [MQTT-4.8.2-1]
        (V5, 0x82, b"\0\x01\0\0\x08$share/g\0", FILTER, "$share"),  // [MQTT-4.8.2-2]
        (V5, 0xa2, b"\0\x01\0\0\x0a$share/+/a", FILTER, "$share"),
    ]);
    // 3.1.1 knows no shared subscriptions: whoever takes the filter apart refuses it by itself.
    assert!(Packet::decode(Version::V311, &packet(0x82, b"\0\x01\0\x08$share/g\0")).is_ok());
    // So with more levels than we take.
    let deep = "/".repeat(200);
    let mut long = std::vec![0x82, 0xcd, 1, 0, 1, 0, 200];
    long.extend(deep.as_bytes());
    long.push(0);
    let read = Packet::decode(Version::V311, &long);
    let Ok(Packet::Subscribe(read)) = read else { panic!("{read:?}") };
    assert!(read.subscriptions.iter().all(|s| s.filter == deep));
}

#[test]
fn answers() {
    refuse(&[
        (BOTH, 0x40, b"\0\0", PROTOCOL, "packet identifier is 0"),
        (V3, 0x40, b"\0\x01\0", MALFORMED, "left over"),
        (V5, 0x40, b"\0\x01\x01", PROTOCOL, "reason code"), // [MQTT-3.4.2-1]
        (V5, 0x50, b"\0\x01\x92", PROTOCOL, "reason code"), // [MQTT-3.5.2-1]
        (V5, 0x62, b"\0\x01\x10", PROTOCOL, "reason code"), // [MQTT-3.6.2-1]
        (V5, 0x70, b"\0\x01\xff", PROTOCOL, "reason code"), // [MQTT-3.7.2-1]
        (V3, 0x20, b"\x02\0", MALFORMED, "acknowledge flags"), // [MQTT-3.2.2-1]
        (V3, 0x20, b"\0\x06", PROTOCOL, "reason code"),
        (V3, 0x20, b"\x01\x05", PROTOCOL, "session is present"), // [MQTT-3.2.2-4] of 3.1.1
        (V5, 0x20, b"\x01\x87\0", PROTOCOL, "session is present"), // [MQTT-3.2.2-6]
        (V5, 0x20, b"\0\x8d\0", PROTOCOL, "reason code"),        // [MQTT-3.2.2-8]
        (V5, 0x20, b"\0\0", MALFORMED, "beyond"),
        (V3, 0x90, b"\0\x01\x03", PROTOCOL, "reason code"), // [MQTT-3.9.3-2]
        (V5, 0x90, b"\0\x01\0\x03", PROTOCOL, "reason code"),
        (V5, 0x90, b"\0\x01\0", PROTOCOL, "no reason code"),
        (V5, 0xb0, b"\0\x01\0\x01", PROTOCOL, "reason code"), // [MQTT-3.11.3-2]
        (V3, 0xb0, b"\0\x01\0", MALFORMED, "left over"),
        (BOTH, 0xc0, b"\0", MALFORMED, "left over"),
        (BOTH, 0xd0, b"\0", MALFORMED, "left over"),
        (V3, 0xe0, b"\0", MALFORMED, "left over"),
        (V5, 0xe0, b"\x86", PROTOCOL, "reason code"), // [MQTT-3.14.2-1]
        (V5, 0xf0, b"\x01", PROTOCOL, "reason code"), // [MQTT-3.15.2-1]
    ]);
}

/// Reason code and properties that were left out (§3.4.2.1, §3.14.2.1, §3.15.2.1).
#[test]
fn short_forms_are_read() {
    for (first, body, reason) in [
        (0x40, &b"\0\x01"[..], ReasonCode::Success),
        (0x40, b"\0\x01\x10", ReasonCode::NoMatchingSubscribers),
        (0x40, b"\0\x01\x10\0", ReasonCode::NoMatchingSubscribers),
        (0xe0, b"", ReasonCode::Success),
        (0xe0, b"\x04", ReasonCode::DisconnectWithWill),
        (0xe0, b"\x04\0", ReasonCode::DisconnectWithWill),
        (0xf0, b"", ReasonCode::Success),
    ] {
        let octets = packet(first, body);
        let found = match Packet::decode(Version::V5, &octets) {
            Ok(Packet::Ack(ack)) => ack.reason,
            Ok(Packet::Disconnect(disconnect)) => disconnect.reason,
            Ok(Packet::Auth(auth)) => auth.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, reason);
    }
}

/// What must not go out is refused before it is written.
#[test]
fn what_is_written_is_checked() {
    use super::super::super::*;
    let id = PacketId::MIN;
    let mut out = crate::buf::SharedSendBuf::new(1 << 20);
    let long = "x".repeat(65_536);
    let twice = [Property::ContentType("a"), Property::ContentType("b")];
    let elsewhere = [Property::ServerKeepAlive(1)];
    let zero = [Property::ReceiveMaximum(0)];
    let large = [Property::SubscriptionIdentifier(1 << 28)];
    let nul = [Property::User("a", "\0")];
    let connect = Connect::new(Version::V5, "me");
    let publish = Publish::new("a", b"");
    let with = |list| Packet::Publish(Publish { properties: Properties::list(list), ..publish });
    for packet in [
        with(&twice),
        with(&elsewhere),
        with(&large),
        with(&nul),
        Packet::Publish(Publish::new("a/#", b"")),
        Packet::Publish(Publish::new("", b"")),
        Packet::Publish(Publish::new(&long, b"")),
        Packet::Connect(Connect { properties: Properties::list(&zero), ..connect }),
        Packet::Connect(Connect { client_id: &long, ..connect }),
        Packet::Connect(Connect { client_id: "a\0", ..connect }),
        Packet::Connect(Connect { version: Version::V311, password: Some(b""), ..connect }),
        Packet::Subscribe(Subscribe {
            id,
            properties: Properties::NONE,
            subscriptions: Subscriptions::list(&[]),
        }),
        Packet::Unsubscribe(Unsubscribe {
            id,
            properties: Properties::NONE,
            filters: Filters::list(&["#/a"]),
        }),
        Packet::SubAck(SubAck { id, properties: Properties::NONE, reasons: ReasonCodes::NONE }),
        Packet::Ack(Ack { reason: ReasonCode::Banned, ..Ack::new(AckKind::PubAck, id) }),
        Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties: Properties::NONE }),
    ] {
        let refused = packet.encode(Version::V5, &mut out);
        assert!(matches!(refused, Err(SendError::Invalid(_))), "{packet:?}");
        assert!(out.is_empty());
    }
    let huge = std::vec![0; VARINT_MAX as usize];
    let refused = Packet::Publish(Publish::new("a", &huge)).encode(Version::V5, &mut out);
    assert!(matches!(refused, Err(SendError::TooLarge { .. })));
}
