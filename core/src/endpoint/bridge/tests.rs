//! There and back, of everything that both protocols can carry.

use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::buf::SliceSendBuf;
use crate::endpoint::message;
use crate::mqtt::{Outgoing, Packet, Version};

const NOW: Instant = Instant::from_millis(1_000);
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Properties of MQTT as owned parts, in any order.
#[derive(Clone, Debug)]
enum Prop {
    Format(bool),
    Expiry(u32),
    ContentType(String),
    ResponseTopic(String),
    Correlation(Vec<u8>),
    User(String, String),
    Alias(u16),
    Subscription(u32),
}

impl Prop {
    fn borrow(&self) -> mqtt::Property<'_> {
        match self {
            Prop::Format(text) => mqtt::Property::PayloadFormat(*text),
            Prop::Expiry(seconds) => mqtt::Property::MessageExpiry(*seconds),
            Prop::ContentType(text) => mqtt::Property::ContentType(text),
            Prop::ResponseTopic(topic) => mqtt::Property::ResponseTopic(topic),
            Prop::Correlation(data) => mqtt::Property::CorrelationData(data),
            Prop::User(name, value) => mqtt::Property::User(name, value),
            Prop::Alias(alias) => mqtt::Property::TopicAlias(*alias),
            Prop::Subscription(id) => mqtt::Property::SubscriptionIdentifier(*id),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé✓ ]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => text(), 1 => Just(String::from(TRACEPARENT))]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text(),
        2 => Just(String::from(TRACE)),
        1 => Just(TRACE.to_uppercase()),
        1 => Just(TRACE.replacen("00-", "01-", 1)),
        1 => "00-[0-9a-g]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    ]
}

/// At most one of each but user properties, shuffled.
fn mqtt_properties() -> impl Strategy<Value = Vec<Prop>> {
    let once = (
        proptest::option::of(any::<bool>().prop_map(Prop::Format)),
        proptest::option::of(any::<u32>().prop_map(Prop::Expiry)),
        proptest::option::of(text().prop_map(Prop::ContentType)),
        proptest::option::of("[a-z]{1,5}(/[a-z]{0,3}){0,3}".prop_map(Prop::ResponseTopic)),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(Prop::Correlation)),
        proptest::option::of((1..9_u16).prop_map(Prop::Alias)),
        proptest::option::of((1..9_u32).prop_map(Prop::Subscription)),
    );
    let users = proptest::collection::vec((name(), value()).prop_map(|(n, v)| Prop::User(n, v)), 0..5);
    (once, users)
        .prop_map(|((a, b, c, d, e, f, g), users)| {
            let mut all: Vec<Prop> = [a, b, c, d, e, f, g].into_iter().flatten().collect();
            all.extend(users);
            all
        })
        .prop_shuffle()
}

/// What a subscriber is to get of these: by identifier, user properties in their order, without what
/// is of the publisher's connection, and the expiry as it is told apart.
fn carried<'p>(all: impl Iterator<Item = mqtt::Property<'p>>) -> Vec<mqtt::Property<'p>> {
    use mqtt::PropertyId as Id;
    let left_out = [Id::TopicAlias, Id::SubscriptionIdentifier, Id::MessageExpiry];
    let mut all: Vec<_> = all.filter(|p| !left_out.contains(&p.id())).collect();
    all.sort_by_key(mqtt::Property::id);
    all
}

/// The packet that an MQTT 5 subscriber gets.
fn packet(now: Instant, message: &Message) -> Vec<u8> {
    let to = ToMqtt::new(now, message);
    let mut memory = vec![0; 1 << 16];
    let mut out = SliceSendBuf::new(&mut memory);
    let outgoing = Outgoing {
        properties: to.properties(),
        expiry: to.expiry(),
        retain: message.is_retain(),
        ..Outgoing::new(message.topic().as_bytes(), message.payload())
    };
    outgoing.encode(Version::V5, &mut out).unwrap();
    out.pending().to_vec()
}

fn publication(octets: &[u8]) -> mqtt::Publish<'_> {
    match Packet::decode(Version::V5, octets) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

fn again(now: Instant, octets: &[u8]) -> Message {
    let publish = publication(octets);
    let flags = Flags { quality: Quality::AtMostOnce, retain: publish.retain };
    from_mqtt(now, publish.topic, publish.payload, flags, publish.properties).unwrap()
}

proptest! {
    /// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18],
    /// [MQTT-3.3.2-20]: unaltered, and in the same order; BRI-1 to BRI-3.
    #[test]
    fn what_mqtt_carries_comes_out_as_it_went_in(
        props in mqtt_properties(),
        payload in proptest::collection::vec(any::<u8>(), 0..40),
        retain: bool,
        waited in 0..5_000_u64,
    ) {
        let list: Vec<_> = props.iter().map(Prop::borrow).collect();
        let flags = Flags { quality: Quality::ExactlyOnce, retain };
        let message = from_mqtt(NOW, "a/b", &payload, flags, mqtt::Properties::list(&list)).unwrap();
        prop_assert_eq!(message.quality(), Quality::ExactlyOnce);
        // What our own dialect reads is what our own rules allow.
        let own = Properties::of_body(message.props());
        let mut memory = vec![0; 4096];
        let written: Vec<_> = own.iter().collect();
        prop_assert_eq!(Properties::write(&written, &mut memory).unwrap().as_bytes(), own.as_bytes());

        let octets = packet(NOW + Duration::from_millis(waited), &message);
        let out = publication(&octets);
        prop_assert_eq!((out.topic, out.payload, out.retain), ("a/b", &payload[..], retain));
        let expected = carried(list.iter().copied());
        prop_assert_eq!(carried(out.properties.iter()), expected);
        let told = props.iter().find_map(|p| if let Prop::Expiry(s) = p { Some(*s) } else { None });
        let left = out.properties.get(mqtt::PropertyId::MessageExpiry);
        let wanted = told.map(|s| (u64::from(s) * 1000).saturating_sub(waited).div_ceil(1000) as u32);
        prop_assert_eq!(left, wanted.map(mqtt::Property::MessageExpiry));
    }

    /// What our own protocol says and MQTT can carry is the same after it went through MQTT.
    #[test]
    fn what_mqtt_can_carry_of_ours_comes_back(
        content_type in proptest::option::of(text()),
        trace in proptest::option::of(any::<[u8; 25]>()),
        route in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
        seconds in proptest::option::of(0..1_000_000_u64),
        dedup in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..9)),
        users in proptest::collection::vec((text(), text()), 0..4),
        answer in proptest::option::of("[a-z]{1,9}"),
        correlation in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
        format in proptest::option::of(any::<bool>()),
        unknown: bool,
    ) {
        let carried = |full: bool| {
            let mut list = Vec::new();
            list.extend(content_type.as_deref().map(Property::ContentType));
            list.extend(trace.as_ref().map(Property::Trace));
            list.extend(route.as_deref().filter(|_| full).map(Property::Route));
            list.extend(seconds.map(Duration::from_secs).map(Property::Expiry));
            list.extend(dedup.as_deref().filter(|_| full).map(Property::Deduplication));
            list.extend(users.iter().map(|(n, v)| Property::User(n, v)));
            list.extend((unknown && full).then_some(Property::Unknown(64, b"x")));
            list.extend(answer.as_deref().map(Property::ResponseTopic));
            list.extend(correlation.as_deref().map(Property::Correlation));
            list.extend(format.map(Property::PayloadFormat));
            list.extend((unknown && full).then_some(Property::Unknown(99, b"y")));
            list
        };
        let (mut memory, list) = (vec![0; 1024], carried(true));
        let properties = Properties::write(&list, &mut memory).unwrap();
        let message = message::compose(NOW, properties, "a/b", b"payload").unwrap();
        let back = again(NOW, &packet(NOW, &message));
        prop_assert_eq!((back.topic(), back.payload()), ("a/b", &b"payload"[..]));
        prop_assert_eq!(Properties::of_body(back.props()).iter().collect::<Vec<_>>(), carried(false));
        prop_assert_eq!(back.expires(), message.expires());
    }
}

#[test]
fn a_message_without_properties_has_none_either_way() {
    let alias = [mqtt::Property::TopicAlias(1)];
    for properties in [mqtt::Properties::NONE, mqtt::Properties::list(&alias)] {
        let message = from_mqtt(NOW, "a/b", b"hi", Flags::default(), properties).unwrap();
        assert_eq!((&message.body()[..], message.has_props()), (&b"\x03a/bhi"[..], false));
        let to = ToMqtt::new(NOW, &message);
        assert_eq!((to.properties().octets(), to.expiry()), (Some(&[][..]), None));
    }
    let message = Message::new("a/b", b"hi").unwrap();
    assert_eq!(packet(NOW, &message), b"\x30\x08\0\x03a/b\0hi");
}

/// BRI-3: the order of user properties is kept, so only the first can be the trace context.
#[test]
fn a_trace_context_further_behind_stays_a_user_property() {
    let behind = [mqtt::Property::User("a", "1"), mqtt::Property::User(TRACEPARENT, TRACE)];
    let first = [behind[1], behind[0]];
    for (list, is_trace) in [(behind, false), (first, true)] {
        let message = from_mqtt(NOW, "t", b"", Flags::default(), mqtt::Properties::list(&list)).unwrap();
        let own = Properties::of_body(message.props());
        assert_eq!(own.iter().any(|p| matches!(p, Property::Trace(_))), is_trace);
        let octets = packet(NOW, &message);
        assert!(publication(&octets).properties.iter().eq(list));
    }
}

/// [MQTT-3.3.2-6], BRI-2.
#[test]
fn an_expiry_is_what_is_left_rounded_up() {
    let list = [mqtt::Property::MessageExpiry(10)];
    let message = from_mqtt(NOW, "t", b"", Flags::default(), mqtt::Properties::list(&list)).unwrap();
    let left = |millis| ToMqtt::new(NOW + Duration::from_millis(millis), &message).expiry();
    assert_eq!([0, 1, 1000, 9_001, 9_999, 10_000, 11_000].map(left), [10, 10, 9, 1, 1, 0, 0].map(Some));
    let mut memory = [0; 16];
    let forever = [Property::Expiry(Duration::from_millis(crate::session::VARINT_MAX))];
    let properties = Properties::write(&forever, &mut memory).unwrap();
    let message = message::compose(Instant::ZERO, properties, "t", b"").unwrap();
    assert_eq!(ToMqtt::new(Instant::ZERO, &message).expiry(), Some(u32::MAX));
}

/// What has no place in MQTT leaves no empty properties behind either.
#[test]
fn what_mqtt_has_no_place_for_is_left_out() {
    let mut memory = [0; 64];
    let list = [Property::Route(b"eu"), Property::Deduplication(b"1"), Property::Unknown(64, b"x")];
    let properties = Properties::write(&list, &mut memory).unwrap();
    let message = message::compose(NOW, properties, "a/b", b"hi").unwrap();
    assert_eq!(packet(NOW, &message), b"\x30\x08\0\x03a/b\0hi");
}

/// The longest that either side carries is carried whole (PRP-8).
#[test]
fn the_longest_texts_are_carried() {
    let (long, data) = ("x".repeat(65_535), vec![7; 65_535]);
    let list = [
        mqtt::Property::ContentType(&long),
        mqtt::Property::User(&long, &long),
        mqtt::Property::CorrelationData(&data),
        mqtt::Property::ResponseTopic(&long),
    ];
    let message = from_mqtt(NOW, &long, b"", Flags::default(), mqtt::Properties::list(&list)).unwrap();
    assert_eq!(message.topic().len(), 65_535);
    let to = ToMqtt::new(NOW, &message);
    assert_eq!(carried(to.properties().iter()), carried(list.into_iter()));
}

const TOPICS: ReplyTopics = ReplyTopics { run: *b"00000000deadbeef" };

/// BRI-7: the hub's own response topic and correlation data, in place of the requester's.
#[test]
fn a_request_says_where_to_answer() {
    let mut memory = [0; 128];
    let list = [
        Property::ContentType("text/plain"),
        Property::User("a", "1"),
        Property::ResponseTopic("elsewhere"),
        Property::Correlation(b"other"),
        Property::PayloadFormat(true),
    ];
    let properties = Properties::write(&list, &mut memory).unwrap();
    for properties in [Properties::NONE, properties] {
        let message = message::compose(NOW, properties, "add", b"1+2").unwrap();
        let to = ToMqtt::request(NOW, &message, TOPICS, 0x2a, Duration::from_millis(4_001));
        assert_eq!(to.expiry(), Some(5));
        let mut memory = [0; 256];
        let mut out = SliceSendBuf::new(&mut memory);
        let outgoing = Outgoing {
            properties: to.properties(),
            expiry: to.expiry(),
            ..Outgoing::new(message.topic().as_bytes(), message.payload())
        };
        outgoing.encode(Version::V5, &mut out).unwrap();
        let octets = out.pending().to_vec();
        let publish = publication(&octets);
        let Some(mqtt::Property::ResponseTopic(topic)) =
            publish.properties.get(mqtt::PropertyId::ResponseTopic)
        else {
            panic!("{publish:?}")
        };
        assert_eq!(
            (topic, TOPICS.parse(topic)),
            ("$reply/00000000deadbeef/000000000000002a", Some(Some(42)))
        );
        let correlation = publish.properties.get(mqtt::PropertyId::CorrelationData);
        assert_eq!(correlation, Some(mqtt::Property::CorrelationData(&42_u64.to_be_bytes())));
        let others = if properties.is_empty() { 3 } else { 6 };
        assert_eq!(publish.properties.iter().count(), others, "{publish:?}");
    }
}

#[test]
fn what_is_published_to_no_reply_topic_of_this_run_is_no_answer() {
    for topic in ["$reply", "a/$reply/", "$reply2/x", "", "$SYS/reply"] {
        assert_eq!(TOPICS.parse(topic), None, "{topic}");
    }
    let own = "$reply/00000000deadbeef/";
    for topic in [
        "$reply/",
        "$reply/00000000deadbee0/000000000000002a",
        &[own, "2a"].concat(),
        &[own, "000000000000002A"].concat(),
        &[own, "000000000000002a/"].concat(),
        &[own, "+00000000000002a"].concat(),
    ] {
        assert_eq!(TOPICS.parse(topic), Some(None), "{topic}");
    }
}

proptest! {
    #[test]
    fn reply_topics_are_read_as_they_are_written(run: u64, id: u64, other: u64) {
        let topics = ReplyTopics::new(run);
        let reply = topics.reply_to(id);
        let topic = core::str::from_utf8(&reply.topic).unwrap();
        prop_assert_eq!(topics.parse(topic), Some(Some(id)));
        prop_assert_eq!(ReplyTopics::new(other).parse(topic), Some((run == other).then_some(id)));
        prop_assert!(crate::topic::validate_topic(topic).is_ok());
    }
}

#[test]
fn an_answer_keeps_what_it_carries_but_where_it_went() {
    let list = [
        mqtt::Property::CorrelationData(b"12345678"),
        mqtt::Property::User(TRACEPARENT, TRACE),
        mqtt::Property::User("a", "1"),
        mqtt::Property::ContentType("text/plain"),
    ];
    let answer = answer_from_mqtt(b"3", mqtt::Properties::list(&list)).unwrap();
    assert_eq!((answer.topic(), answer.payload()), ("", &b"3"[..]));
    let trace = TraceContext::parse(TRACE).unwrap();
    let own =
        [Property::ContentType("text/plain"), Property::Trace(trace.as_bytes()), Property::User("a", "1")];
    assert_eq!(Properties::of_body(answer.props()).iter().collect::<Vec<_>>(), own);
    for properties in [mqtt::Properties::NONE, mqtt::Properties::list(&list[..1])] {
        let answer = answer_from_mqtt(b"3", properties).unwrap();
        assert_eq!((&answer.body()[..], answer.has_props()), (&b"3"[..], false));
    }
}

/// The whole way of a question of our own protocol that a client of MQTT answers.
#[test]
fn a_client_of_mqtt_answers_a_request_of_ours() {
    use crate::hub::{Delivery, Hub, HubOptions, RequestOptions, SessionOptions, SubscribeOptions};
    use crate::status::Status;
    let mut hub = Hub::new(HubOptions::default(), 1);
    let asker = hub.attach(NOW, &SessionOptions::default()).unwrap();
    let client = hub.attach(NOW, &SessionOptions { by_id: true, ..SessionOptions::default() }).unwrap();
    hub.set_by_messages(client, true).unwrap();
    hub.subscribe_filter(NOW, client, "add", 3, SubscribeOptions::default()).unwrap();
    let question = Message::new("add", b"1+2").unwrap();
    hub.request(NOW, asker, 9, question, RequestOptions::default()).unwrap();

    let mut asked = String::new();
    let take = |delivery: &Delivery<'_>| {
        let Delivery::Request { id, sid, timeout, message, .. } = *delivery else { panic!("{delivery:?}") };
        assert_eq!(crate::hub::identifier_of(sid), 3);
        let to = ToMqtt::request(NOW, message, TOPICS, id, timeout);
        let Some(mqtt::Property::ResponseTopic(topic)) = to.properties().get(mqtt::PropertyId::ResponseTopic)
        else {
            panic!()
        };
        asked.push_str(topic);
        true
    };
    hub.drain(NOW, client, take).unwrap();
    let id = TOPICS.parse(&asked).flatten().unwrap();
    let answer = answer_from_mqtt(b"3", mqtt::Properties::NONE).unwrap();
    hub.respond(NOW, client, id, Status::Ok, false, answer).unwrap();
    let mut answers = Vec::new();
    let take = |delivery: &Delivery<'_>| {
        let Delivery::Response { id, status, more, message } = *delivery else { panic!("{delivery:?}") };
        answers.push((id, status, more, message.payload().to_vec()));
        true
    };
    hub.drain(NOW, asker, take).unwrap();
    assert_eq!(answers, [(9, Status::Ok, false, b"3".to_vec())]);
}
