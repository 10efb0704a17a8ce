//! Messages from one dialect to the others.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::world::{World, publish};
use crate::endpoint::server::{Dialect, ServerConfig, ServerEvent};
use crate::mqtt::{AckKind, Packet, Publish, Qos, Version};
use crate::prx1::{self, Filter};
use crate::session::{Message, Subscribe};

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
fn messages_reach_all_dialects() {
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
fn retained_messages_reach_all_dialects() {
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
fn events_tell_the_dialects() {
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
    let _ = Version::V5;
}
