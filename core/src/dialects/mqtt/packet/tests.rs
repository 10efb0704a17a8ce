//! Every packet there and back, and every malformed one with its reason code.

mod malformed;

use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::{PacketId, Properties, Property, PropertyId, Qos, ReasonCode, Side};
use super::*;
use crate::buf::SliceSendBuf;
use crate::retain::RetainHandling;

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn encode(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, SendError> {
    let mut memory = vec![0; 1 << 18];
    let mut out = SliceSendBuf::new(&mut memory);
    packet.encode(version, &mut out)?;
    assert_eq!(packet.encoded_len(version), Ok(out.pending().len()));
    Ok(out.pending().to_vec())
}

/// Properties as owned parts, of which [`Property`] borrows.
#[derive(Clone, Debug)]
struct Prop {
    id: PropertyId,
    text: String,
    other: String,
    number: u32,
}

impl Prop {
    fn borrow(&self) -> Property<'_> {
        use PropertyId as I;
        let (text, n) = (&self.text[..], self.number);
        let (short, flag, data) = ((n as u16).max(1), n & 1 == 1, self.text.as_bytes());
        match self.id {
            I::PayloadFormat => Property::PayloadFormat(flag),
            I::MessageExpiry => Property::MessageExpiry(n),
            I::ContentType => Property::ContentType(text),
            I::ResponseTopic => Property::ResponseTopic("answers/here"),
            I::CorrelationData => Property::CorrelationData(data),
            I::SubscriptionIdentifier => Property::SubscriptionIdentifier((n & 0x0fff_ffff).max(1)),
            I::SessionExpiry => Property::SessionExpiry(n),
            I::AssignedClientId => Property::AssignedClientId(text),
            I::ServerKeepAlive => Property::ServerKeepAlive(short),
            I::AuthMethod => Property::AuthMethod(text),
            I::AuthData => Property::AuthData(data),
            I::RequestProblemInformation => Property::RequestProblemInformation(flag),
            I::WillDelay => Property::WillDelay(n),
            I::RequestResponseInformation => Property::RequestResponseInformation(flag),
            I::ResponseInformation => Property::ResponseInformation(text),
            I::ServerReference => Property::ServerReference(text),
            I::ReasonString => Property::ReasonString(text),
            I::ReceiveMaximum => Property::ReceiveMaximum(short),
            I::TopicAliasMaximum => Property::TopicAliasMaximum(short),
            I::TopicAlias => Property::TopicAlias(short),
            I::MaximumQos => Property::MaximumQos(if flag { Qos::AtLeastOnce } else { Qos::AtMostOnce }),
            I::RetainAvailable => Property::RetainAvailable(flag),
            I::User => Property::User(text, &self.other),
            I::MaximumPacketSize => Property::MaximumPacketSize(n.max(1)),
            I::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag),
            I::SubscriptionIdentifiersAvailable => Property::SubscriptionIdentifiersAvailable(flag),
            I::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag),
        }
    }
}

/// Where each property may be, from the text of §3, not from the table of the code.
fn allowed(place: &str) -> &'static [PropertyId] {
    use PropertyId as I;
    match place {
        "CONNECT" => &[
            I::SessionExpiry,
            I::ReceiveMaximum,
            I::MaximumPacketSize,
            I::TopicAliasMaximum,
            I::RequestResponseInformation,
            I::RequestProblemInformation,
            I::User,
            I::AuthMethod,
            I::AuthData,
        ],
        "WILL" => &[
            I::WillDelay,
            I::PayloadFormat,
            I::MessageExpiry,
            I::ContentType,
            I::ResponseTopic,
            I::CorrelationData,
            I::User,
        ],
        "CONNACK" => &[
            I::SessionExpiry,
            I::ReceiveMaximum,
            I::MaximumQos,
            I::RetainAvailable,
            I::MaximumPacketSize,
            I::AssignedClientId,
            I::TopicAliasMaximum,
            I::ReasonString,
            I::User,
            I::WildcardSubscriptionAvailable,
            I::SubscriptionIdentifiersAvailable,
            I::SharedSubscriptionAvailable,
            I::ServerKeepAlive,
            I::ResponseInformation,
            I::ServerReference,
            I::AuthMethod,
            I::AuthData,
        ],
        "PUBLISH" => &[
            I::PayloadFormat,
            I::MessageExpiry,
            I::TopicAlias,
            I::ResponseTopic,
            I::CorrelationData,
            I::User,
            I::SubscriptionIdentifier,
            I::ContentType,
        ],
        "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" | "SUBACK" | "UNSUBACK" => &[I::ReasonString, I::User],
        "SUBSCRIBE" => &[I::SubscriptionIdentifier, I::User],
        "UNSUBSCRIBE" => &[I::User],
        "DISCONNECT" => &[I::SessionExpiry, I::ReasonString, I::User, I::ServerReference],
        "AUTH" => &[I::AuthMethod, I::AuthData, I::ReasonString, I::User],
        _ => &[],
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 +#/$]{0,12}", "[^\u{0}]{0,8}", Just("\u{feff}x".into())]
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9/$]{1,20}", "[^\u{0}+#]{1,8}"]
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,3}(/([a-z]{0,3}|\\+)){0,4}(/#)?",
        Just("#".into()),
        "\\$share/[a-z]{1,3}/([a-z]{1,3}|\\+)(/#)?"
    ]
    .prop_filter("one character at least", |f| !f.is_empty())
}

/// Valid properties for `place`, in any order.
fn props(place: &'static str) -> impl Strategy<Value = Vec<Prop>> {
    let one = (prop::sample::select(allowed(place)), text(), text(), any::<u32>())
        .prop_map(|(id, text, other, number)| Prop { id, text, other, number });
    prop::collection::vec(one, 0..6).prop_map(move |mut list| {
        let repeats =
            |id| id == PropertyId::User || place == "PUBLISH" && id == PropertyId::SubscriptionIdentifier;
        let mut seen = Vec::new();
        list.retain(|p: &Prop| {
            repeats(p.id)
                || !seen.contains(&p.id) && {
                    seen.push(p.id);
                    true
                }
        });
        if !list.iter().any(|p| p.id == PropertyId::AuthMethod) {
            list.retain(|p| p.id != PropertyId::AuthData);
        }
        list
    })
}

fn borrow(list: &[Prop]) -> Vec<Property<'_>> {
    list.iter().map(Prop::borrow).collect()
}

fn id() -> impl Strategy<Value = PacketId> {
    (1u16..).prop_map(|id| PacketId::new(id).unwrap())
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (0u8..3, id(), any::<bool>())
        .prop_map(|(qos, id, dup)| Delivery::new(Qos::from_number(qos).unwrap(), Some(id), dup).unwrap())
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes: Vec<_> = ReasonCode::ALL
        .iter()
        .copied()
        .filter(|c| c.is_allowed(packet, Side::Client) || c.is_allowed(packet, Side::Server))
        .collect();
    prop::sample::select(codes)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), (0usize..70_000).prop_map(|n| vec![7; n])]
}

/// What comes back is what went, and every cut of it is refused.
fn there_and_back(packet: &Packet<'_>, version: Version) -> Result<(), TestCaseError> {
    let octets = encode(packet, version).expect("valid");
    prop_assert_eq!(&Packet::decode(version, &octets), &Ok(*packet));
    let head = Head::read(&octets).unwrap().unwrap();
    prop_assert_eq!((head.packet, head.total()), (packet.packet_type(), octets.len()));
    for cut in (0..octets.len()).take(300) {
        prop_assert!(Packet::decode(version, &octets[..cut]).is_err());
    }
    // Written whole or not at all.
    let mut memory = vec![0; octets.len() - 1];
    let mut out = SliceSendBuf::new(&mut memory);
    prop_assert!(packet.encode(version, &mut out).is_err_and(|e| e.is_blocked()));
    prop_assert!(out.pending().is_empty());
    let mut out = SliceSendBuf::new(&mut []);
    let limit = octets.len() as u32 - 1;
    let too_large = SendError::TooLarge { size: octets.len(), limit };
    prop_assert_eq!(packet.encode_within(version, limit, &mut out), Err(too_large));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn connect(
        version in prop::sample::select(&VERSIONS), clean_start: bool, keep_alive: u16, client_id in text(),
        will in prop::option::of((topic(), data(), 0u8..3, any::<bool>(), props("WILL"))),
        user in prop::option::of(text()), password in prop::option::of(data()), list in props("CONNECT"),
    ) {
        let list = borrow(&list);
        let v5 = version.is_v5();
        let of = |list| if v5 { Properties::list(list) } else { Properties::NONE };
        let will_list = will.as_ref().map(|w| borrow(&w.4)).unwrap_or_default();
        let will = will.as_ref().map(|(topic, payload, qos, retain, _)| Will {
            topic, payload: &payload[..payload.len().min(65_535)], qos: Qos::from_number(*qos).unwrap(),
            retain: *retain, properties: of(&will_list),
        });
        let password = password.as_ref().map(|p| &p[..p.len().min(65_535)]);
        let connect = Connect {
            version, clean_start, keep_alive, client_id: &client_id, will, user_name: user.as_deref(),
            password: password.filter(|_| v5 || user.is_some()), properties: of(&list),
        };
        there_and_back(&Packet::Connect(connect), version)?;
    }

    #[test]
    fn connack(session: bool, v3 in 0u8..6, v5 in reason(PacketType::ConnAck), list in props("CONNACK")) {
        let of = |reason: ReasonCode, properties| {
            Packet::ConnAck(ConnAck { session_present: session && !reason.is_error(), reason, properties })
        };
        let list = borrow(&list);
        there_and_back(&of(v5, Properties::list(&list)), Version::V5)?;
        let v3 = ReasonCode::from_connect_return_code(v3).unwrap();
        there_and_back(&of(v3, Properties::NONE), Version::V311)?;
    }

    #[test]
    fn publish(delivery in delivery(), retain: bool, topic in topic(), payload in data(), list in props("PUBLISH")) {
        let list = borrow(&list);
        let publish = Publish { delivery, retain, topic: &topic, payload: &payload, properties: Properties::NONE };
        there_and_back(&Packet::Publish(publish), Version::V311)?;
        let properties = Properties::list(&list);
        there_and_back(&Packet::Publish(Publish { properties, ..publish }), Version::V5)?;
        if publish.topic_alias().is_some() {
            there_and_back(&Packet::Publish(Publish { topic: "", properties, ..publish }), Version::V5)?;
        }
    }

    /// What the hot path writes is what the plain packet would be.
    #[test]
    fn outgoing(
        delivery in delivery(), retain: bool, topic in topic(), payload in data(), list in props("PUBLISH"),
        expiry: Option<u32>, alias in prop::option::of(1u16..), ids in prop::collection::vec(1u32..1 << 28, 0..4),
        shared: bool, came_in: bool,
    ) {
        let list = borrow(&list);
        let plain = Publish { delivery, retain, topic: &topic, payload: &payload, properties: Properties::list(&list) };
        let octets = encode(&Packet::Publish(plain), Version::V5).unwrap();
        let Ok(Packet::Publish(read)) = Packet::decode(Version::V5, &octets) else { panic!() };
        let bytes = bytes::Bytes::copy_from_slice(&payload);
        let outgoing = Outgoing {
            delivery, retain, topic: topic.as_bytes(),
            payload: if shared { Payload::Shared(&bytes) } else { Payload::Copied(&payload) },
            properties: if came_in { read.properties } else { plain.properties },
            expiry, topic_alias: alias, subscriptions: &ids,
        };
        let mut want: Vec<_> = list.iter().copied().filter(|p| match p.id() {
            PropertyId::TopicAlias | PropertyId::SubscriptionIdentifier => false,
            PropertyId::MessageExpiry => expiry.is_none(),
            _ => true,
        }).collect();
        want.extend(expiry.map(Property::MessageExpiry));
        want.extend(alias.map(Property::TopicAlias));
        want.extend(ids.iter().map(|id| Property::SubscriptionIdentifier(*id)));
        for (version, properties) in [(Version::V5, Properties::list(&want)), (Version::V311, Properties::NONE)] {
            let mut out = crate::buf::SharedSendBuf::new(1 << 20);
            outgoing.encode(version, &mut out).unwrap();
            let got: Vec<u8> = out.slices().flatten().copied().collect();
            let mut memory = vec![0; got.len() - 1];
            let mut small = SliceSendBuf::new(&mut memory);
            let blocked = outgoing.encode(version, &mut small);
            prop_assert!(blocked.is_err_and(|e| e.is_blocked()) && small.pending().is_empty());
            let limit = got.len() as u32 - 1;
            let refused = outgoing.encode_within(version, limit, &mut out);
            prop_assert_eq!(refused, Err(SendError::TooLarge { size: got.len(), limit }));
            let publish = Publish { properties, ..plain };
            prop_assert_eq!(Packet::decode(version, &got), Ok(Packet::Publish(publish)));
        }
    }

    #[test]
    fn acks(
        (kind, reason) in prop::sample::select(vec![AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp])
            .prop_flat_map(|kind| (Just(kind), reason(kind.packet()))),
        id in id(), list in props("PUBACK"),
    ) {
        let list = borrow(&list);
        there_and_back(&Packet::Ack(Ack::new(kind, id)), Version::V311)?;
        there_and_back(&Packet::Ack(Ack { reason, ..Ack::new(kind, id) }), Version::V5)?;
        there_and_back(&Packet::Ack(Ack { kind, id, reason, properties: Properties::list(&list) }), Version::V5)?;
    }

    #[test]
    fn subscribe(
        id in id(), list in props("SUBSCRIBE"), unlist in props("UNSUBSCRIBE"),
        filters in prop::collection::vec((filter(), 0u8..3, any::<bool>(), any::<bool>(), 0..3), 1..5),
    ) {
        let (list, unlist) = (borrow(&list), borrow(&unlist));
        let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Never];
        let subscriptions: Vec<_> = filters.iter().map(|(filter, qos, no_local, rap, h)| Subscription {
            filter,
            options: SubscriptionOptions {
                qos: Qos::from_number(*qos).unwrap(), no_local: *no_local && !filter.starts_with("$share/"),
                retain_as_published: *rap, retain_handling: handling[*h as usize],
            },
        }).collect();
        let properties = Properties::list(&list);
        let v5 = Subscribe { id, properties, subscriptions: Subscriptions::list(&subscriptions) };
        there_and_back(&Packet::Subscribe(v5), Version::V5)?;
        let plain: Vec<_> = subscriptions.iter().map(|s| Subscription::new(s.filter, s.options.qos)).collect();
        let v3 = Subscribe { id, properties: Properties::NONE, subscriptions: Subscriptions::list(&plain) };
        there_and_back(&Packet::Subscribe(v3), Version::V311)?;
        let names: Vec<&str> = subscriptions.iter().map(|s| s.filter).collect();
        let filters = Filters::list(&names);
        let v5 = Unsubscribe { id, properties: Properties::list(&unlist), filters };
        there_and_back(&Packet::Unsubscribe(v5), Version::V5)?;
        there_and_back(&Packet::Unsubscribe(Unsubscribe { properties: Properties::NONE, ..v5 }), Version::V311)?;
    }

    #[test]
    fn suback(
        id in id(), list in props("SUBACK"), codes in prop::collection::vec(reason(PacketType::SubAck), 1..5),
        uncodes in prop::collection::vec(reason(PacketType::UnsubAck), 1..5),
    ) {
        let list = borrow(&list);
        let properties = Properties::list(&list);
        let v5 = SubAck { id, properties, reasons: ReasonCodes::list(&codes) };
        there_and_back(&Packet::SubAck(v5), Version::V5)?;
        let codes: Vec<_> = codes.iter().map(|c| if c.is_error() { ReasonCode::UnspecifiedError } else { *c }).collect();
        let v3 = SubAck { id, properties: Properties::NONE, reasons: ReasonCodes::list(&codes) };
        there_and_back(&Packet::SubAck(v3), Version::V311)?;
        let v5 = UnsubAck { id, properties, reasons: ReasonCodes::list(&uncodes) };
        there_and_back(&Packet::UnsubAck(v5), Version::V5)?;
        let v3 = UnsubAck { id, properties: Properties::NONE, reasons: ReasonCodes::NONE };
        there_and_back(&Packet::UnsubAck(v3), Version::V311)?;
    }

    #[test]
    fn ending(
        reason in reason(PacketType::Disconnect), list in props("DISCONNECT"),
        auth in reason(PacketType::Auth), auth_list in props("AUTH"),
    ) {
        let list = borrow(&list);
        there_and_back(&Packet::Disconnect(Disconnect { reason, properties: Properties::NONE }), Version::V5)?;
        there_and_back(&Packet::Disconnect(Disconnect { reason, properties: Properties::list(&list) }), Version::V5)?;
        there_and_back(&Packet::Disconnect(Disconnect::NORMAL), Version::V311)?;
        let mut list = borrow(&auth_list);
        if !list.iter().any(|p| p.id() == PropertyId::AuthMethod) {
            list.push(Property::AuthMethod("SCRAM-SHA-256"));
        }
        there_and_back(&Packet::Auth(Auth { reason: auth, properties: Properties::list(&list) }), Version::V5)?;
        for version in VERSIONS {
            there_and_back(&Packet::PingReq, version)?;
            there_and_back(&Packet::PingResp, version)?;
        }
    }

    /// Whatever the octets, nothing panics; and what is read is written as an equal packet.
    #[test]
    fn anything(mut octets in prop::collection::vec(any::<u8>(), 2..60), first: u8) {
        octets[0] = first;
        octets[1] = octets.len() as u8 - 2;
        for version in VERSIONS {
            match Packet::decode(version, &octets) {
                Ok(packet) => {
                    let packet_version = match packet { Packet::Connect(c) => c.version, _ => version };
                    let again = encode(&packet, version).expect("what was read can be written");
                    prop_assert_eq!(Packet::decode(packet_version, &again), Ok(packet));
                }
                Err(fault) => prop_assert!(fault.reason_code().is_error() && !fault.reason().is_empty()),
            }
        }
    }
}
