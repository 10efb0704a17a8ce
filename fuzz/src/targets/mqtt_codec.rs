//! Our MQTT codec beside `mqtt-protocol-core`'s, a maintained one with other authors.
//!
//! Both read the same packet. Where both take it, what the other writes again must be the same packet
//! to us, and what we write must be one to it. Where only one of them refuses, the difference must
//! belong to a class below, with the reason for it: anything else is a bug of one of the two.

use bowline_core::buf::SharedSendBuf;
use bowline_core::mqtt::{Fault, Head, Packet, PacketType, PropertyId, ReasonCode, Version};
use mqtt_protocol_core::mqtt::common::Arc;
use mqtt_protocol_core::mqtt::packet::{v3_1_1 as v3, v5_0 as v5};

/// The first octet chooses the version, the second is the packet's first, the rest follows its
/// fixed header: the remaining length is made to fit, so that more than the header is tried.
pub fn mqtt_codec(data: &[u8]) {
    let [choice, first, body @ ..] = data else { return };
    let version = if choice & 1 == 0 { Version::V311 } else { Version::V5 };
    head_as_it_is(data);
    let packet = with_head(*first, body);
    let ours = Packet::decode(version, &packet);
    let theirs = theirs(version, *first, body);
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => {
            let spoken = match ours {
                Packet::Connect(connect) => connect.version,
                _ => version,
            };
            let again = Packet::decode(spoken, &theirs);
            assert_eq!(again, Ok(ours), "{theirs:02x?}");
            let written = write(&ours, spoken);
            let (first, rest) = behind_head(&written);
            assert!(self::theirs(spoken, first, rest).is_some(), "they refuse what we write: {written:02x?}");
        }
        (Ok(ours), None) => assert!(is_stricter_there(&ours), "only they refuse {ours:?}"),
        (Err(fault), Some(theirs)) => {
            assert!(
                is_stricter_here(fault),
                "only we refuse ({fault}): {packet:02x?}, to them {theirs:02x?}"
            );
        }
        (Err(_), None) => {}
    }
}

/// A fixed header that was not made to fit: nothing but that it can be read or not.
fn head_as_it_is(data: &[u8]) {
    match Head::read(data) {
        Ok(Some(head)) => {
            assert!(head.len <= data.len() && (2..=5).contains(&head.len));
            assert_eq!(head.total(), head.len + head.remaining as usize);
        }
        Ok(None) => assert!(data.len() < 5),
        Err(fault) => assert!(fault.reason_code().is_error()),
    }
    for version in [Version::V311, Version::V5] {
        let _ = Packet::decode(version, data);
    }
}

fn with_head(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut n = body.len();
    loop {
        let more = n > 0x7f;
        packet.push((n & 0x7f) as u8 | if more { 0x80 } else { 0 });
        n >>= 7;
        if !more {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn behind_head(packet: &[u8]) -> (u8, &[u8]) {
    let head = Head::read(packet).expect("valid").expect("whole");
    (packet[0], &packet[head.len..])
}

fn write(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = SharedSendBuf::new(usize::MAX);
    packet.encode(version, &mut out).expect("what was read can be written");
    out.slices().collect::<Vec<_>>().concat()
}

/// What the other writes for what it has read; nothing if it refuses or leaves octets over.
fn theirs(version: Version, first: u8, body: &[u8]) -> Option<Vec<u8>> {
    macro_rules! read {
        ($packet:ty) => {{
            let (packet, n) = <$packet>::parse(body).ok()?;
            (n == body.len()).then(|| packet.to_continuous_buffer())
        }};
    }
    macro_rules! publish {
        ($packet:ty) => {{
            let (packet, n) = <$packet>::parse(first & 0x0f, Arc::from(body)).ok()?;
            (n == body.len()).then(|| packet.to_continuous_buffer())
        }};
    }
    use PacketType as P;
    let packet = PacketType::from_number(first >> 4)?;
    match (version, packet) {
        (_, P::Connect) => match body.get(6) {
            Some(5) => read!(v5::Connect),
            _ => read!(v3::Connect),
        },
        (Version::V311, P::ConnAck) => read!(v3::Connack),
        (Version::V311, P::Publish) => publish!(v3::Publish),
        (Version::V311, P::PubAck) => read!(v3::Puback),
        (Version::V311, P::PubRec) => read!(v3::Pubrec),
        (Version::V311, P::PubRel) => read!(v3::Pubrel),
        (Version::V311, P::PubComp) => read!(v3::Pubcomp),
        (Version::V311, P::Subscribe) => read!(v3::Subscribe),
        (Version::V311, P::SubAck) => read!(v3::Suback),
        (Version::V311, P::Unsubscribe) => read!(v3::Unsubscribe),
        (Version::V311, P::UnsubAck) => read!(v3::Unsuback),
        (Version::V311, P::PingReq) => read!(v3::Pingreq),
        (Version::V311, P::PingResp) => read!(v3::Pingresp),
        (Version::V311, P::Disconnect) => read!(v3::Disconnect),
        (Version::V311, P::Auth) => None,
        (Version::V5, P::ConnAck) => read!(v5::Connack),
        (Version::V5, P::Publish) => publish!(v5::Publish),
        (Version::V5, P::PubAck) => read!(v5::Puback),
        (Version::V5, P::PubRec) => read!(v5::Pubrec),
        (Version::V5, P::PubRel) => read!(v5::Pubrel),
        (Version::V5, P::PubComp) => read!(v5::Pubcomp),
        (Version::V5, P::Subscribe) => read!(v5::Subscribe),
        (Version::V5, P::SubAck) => read!(v5::Suback),
        (Version::V5, P::Unsubscribe) => read!(v5::Unsubscribe),
        (Version::V5, P::UnsubAck) => read!(v5::Unsuback),
        (Version::V5, P::PingReq) => read!(v5::Pingreq),
        (Version::V5, P::PingResp) => read!(v5::Pingresp),
        (Version::V5, P::Disconnect) => read!(v5::Disconnect),
        (Version::V5, P::Auth) => read!(v5::Auth),
    }
}

/// What they refuse and we take.
fn is_stricter_there(ours: &Packet<'_>) -> bool {
    // Table 2-6 has 0x8C for DISCONNECT, and §3.14.2.1 does not: who fails to authenticate again ends with it.
    matches!(ours, Packet::Disconnect(d) if d.reason == ReasonCode::BadAuthenticationMethod)
}

/// What we refuse and they take. Each has its statement in the specification; they leave it to their users,
/// or to the layer above their packets.
fn is_stricter_here(fault: Fault) -> bool {
    use PacketType as P;
    match fault {
        // Their packets are read without their first octet; PUBLISH alone gets its flags.
        Fault::ReservedFlags { .. } => true,
        // They do not look into names and filters ([MQTT-3.3.2-2], [MQTT-4.7.1-1] to [MQTT-4.7.3-1], [MQTT-4.8.2-1]),
        Fault::TopicName { .. } | Fault::TopicFilter { .. } => true,
        // nor into response topics ([MQTT-3.3.2-14]).
        Fault::PropertyValue { property: PropertyId::ResponseTopic, .. } => true,
        // §3.8.2.1.2
        Fault::PropertyRepeated { packet: P::Subscribe, property: PropertyId::SubscriptionIdentifier } => {
            true
        }
        Fault::Malformed { packet, what } => match what {
            // [MQTT-1.5.4-2], [MQTT-4.7.3-2]
            "a string holds U+0000" | "a topic name holds U+0000" => true,
            // [MQTT-3.1.2-3], [MQTT-3.1.2-11] to [MQTT-3.1.2-13]
            "the reserved connect flag is set"
            | "the will's QoS or retain is set, and there is no will"
            | "the will has QoS 3" => packet == P::Connect,
            // [MQTT-3.2.2-1]
            "reserved acknowledge flags are set" => packet == P::ConnAck,
            // [MQTT-3.3.1-2]
            "DUP with QoS 0" => packet == P::Publish,
            // They take a PUBLISH that ends where its properties' length must be (§3.3.2.3.1).
            "a field reaches beyond the packet" => packet == P::Publish,
            // [MQTT-1.5.5-1]
            "a variable byte integer is not minimal, or has more than 4 octets" => true,
            // Theirs reads a reason code from a 3.1.1 packet, too.
            "octets are left over" => matches!(packet, P::PubAck | P::PubRec | P::PubRel | P::PubComp),
            // [MQTT-3.8.3-5], of 3.1.1
            "reserved bits of the subscription options are set" => packet == P::Subscribe,
            _ => false,
        },
        Fault::Protocol { packet, what } => match what {
            // [MQTT-2.2.1-3]
            "the packet identifier is 0" => true,
            // [MQTT-3.2.2-6]
            "a refusal says that a session is present" => packet == P::ConnAck,
            // §3.3.2.3.4: theirs tells when it looks for the alias.
            "neither a topic nor a topic alias" => packet == P::Publish,
            // [MQTT-3.8.3-4]
            "a shared subscription with No Local" => packet == P::Subscribe,
            _ => false,
        },
        _ => false,
    }
}
