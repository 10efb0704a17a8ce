//! Messages from one dialect to the others.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::world::{World, publish};
use crate::endpoint::server::{Dialect, ServerConfig, ServerEvent};
use crate::mqtt::{AckKind, Connect, Packet, Properties, Property, Publish, Qos, Version, Will};
use crate::prx1::{self, Filter};
use crate::session::{Message, Request, Response, Subscribe};
use crate::status::Status;

fn world() -> (World, [usize; 4]) {
    let mut w = World::new(ServerConfig::default());
    let lines = [w.v5("five"), w.v3("three"), w.prx1(None, true).0, w.bowline()];
    (w, lines)
}

/// Everybody wants everything on `t/...` at least once.
fn listen(w: &mut World, [five, three, prx1, own]: [usize; 4]) {
    w.subscribe(five, "t/+", Qos::AtLeastOnce);
    w.subscribe(three, "t/#", Qos::AtLeastOnce);
    let filter = Filter::parse("t/*").unwrap();
    let subscribe = prx1::Subscribe { filter, id: prx1::PacketId::new(1), dup: false };
    w.say(prx1, &prx1::Packet::Subscribe(subscribe));
    let s = Subscribe { id: 4, filter: "t/+", reliable: true, ..Subscribe::default() };
    w.call(own, |session, now, out| session.subscribe(now, out, &s).unwrap());
    for i in [prx1, own] {
        assert_eq!(w.take(i).len(), 1);
    }
}

/// Any dialect to every dialect.
#[test]
pub(super) fn messages_reach_all_dialects() {
    let (mut w, lines) = world();
    let [five, three, prx1, own] = lines;
    listen(&mut w, lines);
    w.publish(five, "t/1", "a", Qos::ExactlyOnce, 1);
    w.publish(three, "t/2", "b", Qos::AtLeastOnce, 1);
    let id = prx1::PacketId::new(1);
    w.say(prx1, &prx1::Packet::Publish(prx1::Publish { id, ..prx1::Publish::new("t/3", b"c") }));
    let message = Message { reliable: true, ..Message::new("t/4", b"d") };
    w.call(own, |session, now, out| session.publish(now, out, &message).unwrap());
    let messages = |told: Vec<String>| -> Vec<String> {
        told.into_iter().filter(|line| line.contains("t/") && line.contains('=')).collect()
    };
    let all = |suffix: fn(usize) -> String, prefix: &str| -> Vec<String> {
        let topics = ["t/1=a", "t/2=b", "t/3=c", "t/4=d"];
        topics.iter().enumerate().map(|(i, m)| format!("{prefix}{m}{}", suffix(i + 1))).collect()
    };
    assert_eq!(messages(w.take(five)), all(|i| format!(" q1#{i}"), ""));
    assert_eq!(messages(w.take(three)), all(|i| format!(" q1#{i}"), ""));
    assert_eq!(messages(w.take(prx1)), all(|i| format!(" #{i}"), ""));
    assert_eq!(messages(w.take(own)), all(|_| String::new(), "4 "));
    for n in 1..=4 {
        w.ack(five, AckKind::PubAck, n);
    }
}

/// What one dialect has retained, the others get when they subscribe.
#[test]
pub(super) fn retained_messages_reach_all_dialects() {
    let (mut w, lines) = world();
    let [_, three, ..] = lines;
    w.send(three, &Packet::Publish(Publish { retain: true, ..publish("t/1", "kept", Qos::AtMostOnce, 0) }));
    for (i, told) in [(0, "t/1=kept retain"), (1, "t/1=kept retain")] {
        w.subscribe(lines[i], "t/1", Qos::AtMostOnce);
        assert_eq!(w.take(lines[i]), [told]);
    }
    let subscribe = prx1::Subscribe { filter: Filter::parse("t/1").unwrap(), id: None, dup: false };
    w.say(lines[2], &prx1::Packet::Subscribe(subscribe));
    assert_eq!(w.take(lines[2]), ["t/1=kept retain"]);
}

/// Logs say who speaks what, and who was refused.
#[test]
pub(super) fn events_tell_the_dialects() {
    let (mut w, _) = world();
    let opened = w.events().into_iter().filter_map(|event| match event {
        ServerEvent::Opened { dialect, .. } => Some(dialect),
        _ => None,
    });
    let dialects = [Dialect::Mqtt5, Dialect::Mqtt311, Dialect::Prx1, Dialect::Bowline];
    assert_eq!(opened.collect::<Vec<_>>(), dialects);
    assert_eq!(format!("{}, {}", dialects[0], dialects[1]), "MQTT 5.0, MQTT 3.1.1");
    w.cut(0);
    let events = w.events();
    let [ServerEvent::Closed { dialect, session, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*dialect, Some(Dialect::Mqtt5));
    assert_eq!(session.as_ref().map(|name| format!("{name}")), Some("five".into()));
}

/// What MQTT 5 says beside a message goes along, in its order; expiry is counted down.
#[test]
pub(super) fn properties_go_along() {
    let (mut w, [five, three, ..]) = world();
    let b = w.v5("b");
    w.subscribe(b, "t", Qos::AtLeastOnce);
    w.subscribe(three, "t", Qos::AtMostOnce);
    w.lines[b].stalled = true;
    let list = [
        Property::User("b", "2"),
        Property::User("a", "1"),
        Property::User("b", "3"),
        Property::MessageExpiry(10),
        Property::PayloadFormat(true),
        Property::ContentType("text/plain"),
    ];
    let said = |qos, n, list| {
        Packet::Publish(Publish { properties: Properties::list(list), ..publish("t", "x", qos, n) })
    };
    w.send(five, &said(Qos::AtMostOnce, 0, &list));
    w.lines[b].stalled = false;
    w.run();
    assert_eq!(
        w.take(b),
        [
            "t=x ContentType(\"text/plain\") User(\"b\", \"2\") User(\"a\", \"1\") User(\"b\", \"3\") PayloadFormat(true) expiry=10"
        ]
    );
    assert_eq!(w.take(three), ["t=x"]);
    // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    let (gone, _) = w.stay(Version::V5, "gone");
    w.subscribe(gone, "t", Qos::AtLeastOnce);
    w.cut(gone);
    w.send(five, &said(Qos::AtLeastOnce, 1, &list[3..4]));
    w.send(five, &said(Qos::AtLeastOnce, 2, &[Property::MessageExpiry(2)]));
    w.advance(Duration::from_millis(3500));
    let (gone, resumed) = w.stay(Version::V5, "gone");
    assert!(resumed);
    assert_eq!(w.take(gone), ["t=x q1#1 expiry=7"]);
}

/// A client of our own protocol asks, one of MQTT 5 answers; and the other way round.
#[test]
pub(super) fn requests_cross_dialects() {
    let (mut w, [five, .., own]) = world();
    w.subscribe(five, "calc/add", Qos::AtMostOnce);
    let request = Request { id: 1, topic: "calc/add", payload: b"1+2", ..request() };
    w.call(own, |session, now, out| session.request(now, out, &request).unwrap());
    let told = w.take(five);
    let [asked] = &told[..] else { panic!("{told:?}") };
    let (asked, rest) = asked.split_once(" ResponseTopic(\"").unwrap();
    assert!(asked.starts_with("calc/add=1+2"), "{asked}");
    let topic = rest.split('"').next().unwrap();
    w.publish(five, topic, "3", Qos::AtLeastOnce, 1);
    w.publish(five, topic, "4", Qos::AtLeastOnce, 2);
    assert_eq!(w.take(five), ["PUBACK 1", "PUBACK 2 No matching subscribers"], "one is enough");
    assert_eq!(w.take(own), ["response 1 Ok 3"]);
    // Nobody else may answer, nor publish there.
    let request = Request { id: 2, ..request };
    w.call(own, |session, now, out| session.request(now, out, &request).unwrap());
    let told = w.take(five);
    let topic = told[0].split_once(" ResponseTopic(\"").unwrap().1.split('"').next().unwrap();
    let other = w.v5("other");
    w.publish(other, topic, "wrong", Qos::AtLeastOnce, 1);
    assert_eq!((w.take(other).len(), w.take(own).len()), (1, 0));

    let s = Subscribe { id: 4, filter: "time", serve: true, ..Subscribe::default() };
    w.call(own, |session, now, out| session.subscribe(now, out, &s).unwrap());
    w.subscribe(five, "answers/me", Qos::AtLeastOnce);
    let list = [Property::ResponseTopic("answers/me"), Property::CorrelationData(b"77")];
    let properties = Properties::list(&list);
    w.send(five, &Packet::Publish(Publish { properties, ..publish("time", "now?", Qos::AtLeastOnce, 3) }));
    let told = w.take(own);
    let asked = told.iter().find_map(|line| line.strip_prefix("request ")).unwrap();
    let (id, text) = asked.split_once(' ').unwrap();
    assert_eq!(text, "time=now?");
    let response = Response {
        id: id.parse().unwrap(),
        status: Status::Ok,
        more: false,
        payload: b"noon",
        properties: crate::session::Properties::NONE,
    };
    w.call(own, |session, now, out| session.respond(now, out, &response).unwrap());
    let told = w.take(five);
    assert_eq!(told, ["PUBACK 3", "answers/me=noon q1#1 CorrelationData([55, 55])"]);
}

fn request() -> Request<'static> {
    Request {
        id: 0,
        subscription: 0,
        timeout: Duration::from_secs(5),
        many: false,
        topic: "",
        payload: b"",
        properties: crate::session::Properties::NONE,
    }
}

/// §3.1.3.2.4: the expiry of a will counts from when it is published.
#[test]
pub(super) fn a_will_expires_from_its_publication_on() {
    let (mut w, [_, _, _, own]) = world();
    let list = [Property::WillDelay(60), Property::MessageExpiry(10), Property::User("a", "b")];
    let will = Will {
        topic: "will",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::list(&list),
    };
    let stays = [Property::SessionExpiry(100)];
    let properties = Properties::list(&stays);
    let (a, _) = w.mqtt(&Connect { will: Some(will), properties, ..Connect::new(Version::V5, "a") });
    w.cut(a);
    w.advance(Duration::from_secs(60));
    let b = w.v5("b");
    w.subscribe(b, "will", Qos::AtMostOnce);
    assert_eq!(w.take(b), ["will=gone retain User(\"a\", \"b\") expiry=10"]);
    w.advance(Duration::from_secs(10));
    let b = w.v5("b");
    w.subscribe(b, "will", Qos::AtMostOnce);
    assert_eq!(w.take(b), Vec::<String>::new());
    drop(w.take(own));
}
