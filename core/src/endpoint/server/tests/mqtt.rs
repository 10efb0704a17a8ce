//! MQTT on the hub.

use core::time::Duration;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::world::{Tongue, World, id, publish};
use crate::endpoint::server::{Anonymous, Peer, QueueLimits, ServerConfig, Users};
use crate::entropy::Seeded;
use crate::hub::Policy;
use crate::mqtt;
use crate::mqtt::{
    AckKind, Connect, Disconnect, Filters, Packet, Properties, Property, Publish, Qos, ReasonCode,
    RetainHandling, Subscription, SubscriptionOptions, Unsubscribe, Version, Will,
};
use crate::scram::{Credential, MAX_MESSAGE, MIN_ITERATIONS, ScramClient};

const Q0: Qos = Qos::AtMostOnce;
const Q1: Qos = Qos::AtLeastOnce;
const Q2: Qos = Qos::ExactlyOnce;

fn world() -> World {
    World::new(ServerConfig::default())
}

/// [MQTT-3.3.1-9], [MQTT-4.3.1-1]: a message reaches who subscribed, of either version.
#[test]
pub(super) fn messages_reach_subscribers() {
    let mut w = world();
    let (a, b, c) = (w.v5("a"), w.v3("b"), w.v5("c"));
    w.subscribe(b, "home/+", Q0);
    w.subscribe(c, "home/#", Q2);
    w.publish(a, "home/door", "open", Q0, 0);
    assert_eq!(w.take(b), ["home/door=open"]);
    assert_eq!(w.take(c), ["home/door=open"]);
    assert_eq!(w.take(a), Vec::<String>::new());
}

/// [MQTT-3.8.4-8]: the lower of both; §4.3.2, §4.3.3.
#[test]
pub(super) fn each_quality_is_acknowledged_in_its_way() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    w.subscribe(b, "one", Q1);
    w.subscribe(b, "two", Q2);
    w.publish(a, "one", "x", Q2, 1);
    assert_eq!(w.take(a), ["PUBREC 1"]);
    assert_eq!(w.take(b), ["one=x q1#1"]);
    w.ack(b, AckKind::PubAck, 1);
    w.publish(a, "two", "y", Q2, 2);
    w.ack(a, AckKind::PubRel, 1);
    w.ack(a, AckKind::PubRel, 2);
    assert_eq!(w.take(a), ["PUBREC 2", "PUBCOMP 1", "PUBCOMP 2"]);
    assert_eq!(w.take(b), ["two=y q2#2"]);
    w.ack(b, AckKind::PubRec, 2);
    assert_eq!(w.take(b), ["PUBREL 2"]);
    w.ack(b, AckKind::PubComp, 2);
    w.publish(a, "two", "z", Q1, 7);
    assert_eq!((w.take(a), w.take(b)), (vec!["PUBACK 7".into()], vec!["two=z q1#3".into()]));
    assert_eq!(w.server.hub().counters().queued, 1);
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-11]: one that is known is acknowledged and not delivered again, over
/// another connection too; [MQTT-3.7.2-1] for what is not known, which is no error where a session goes on.
#[test]
pub(super) fn exactly_once_in_is_exactly_once() {
    let mut w = world();
    let (a, _) = w.stay(Version::V5, "a");
    let b = w.v5("b");
    w.subscribe(b, "t", Q0);
    w.publish(a, "t", "x", Q2, 5);
    assert_eq!(w.take(a), ["PUBREC 5"]);
    w.cut(a);
    let (a, resumed) = w.stay(Version::V5, "a");
    assert!(resumed);
    w.publish(a, "t", "x", Q2, 5);
    assert_eq!((w.take(a), w.take(b)), (vec!["PUBREC 5".into()], vec!["t=x".into()]));
    w.ack(a, AckKind::PubRel, 5);
    w.ack(a, AckKind::PubRel, 5);
    assert_eq!(w.take(a), ["PUBCOMP 5", "PUBCOMP 5"], "the answer may have been lost with a connection");
    w.ack(b, AckKind::PubRel, 5);
    assert_eq!(w.take(b), ["PUBCOMP 5 Packet Identifier not found"]);
    w.publish(a, "t", "y", Q2, 5);
    assert_eq!((w.take(a), w.take(b)), (vec!["PUBREC 5".into()], vec!["t=y".into()]));
}

/// [MQTT-4.4.0-1]: what was not acknowledged comes again, with DUP, its identifier and in order; of
/// what was received only the release.
#[test]
pub(super) fn what_was_not_settled_comes_again() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.stay(Version::V5, "b").0);
    w.subscribe(b, "#", Q2);
    for (n, payload) in [(1, "x"), (2, "y"), (3, "z")] {
        w.publish(a, "t", payload, Q2, n);
    }
    assert_eq!(w.take(b), ["t=x q2#1", "t=y q2#2", "t=z q2#3"]);
    w.ack(b, AckKind::PubRec, 1);
    w.take(b);
    w.cut(b);
    w.publish(a, "t", "later", Q1, 4);
    w.publish(a, "t", "lost", Q0, 0);
    let (b, resumed) = w.stay(Version::V5, "b");
    assert!(resumed);
    assert_eq!(w.take(b), ["PUBREL 1", "t=y q2#2 dup", "t=z q2#3 dup", "t=later q1#4"]);
    // [MQTT-4.3.3-4]: an error settles as well.
    w.send(
        b,
        &Packet::Ack(crate::mqtt::Ack {
            reason: ReasonCode::QuotaExceeded,
            ..crate::mqtt::Ack::new(AckKind::PubRec, id(2))
        }),
    );
    w.ack(b, AckKind::PubComp, 1);
    w.ack(b, AckKind::PubRec, 77);
    assert_eq!(w.take(b), ["PUBREL 77 Packet Identifier not found"]);
    assert_eq!(w.server.hub().counters().queued, 2);
}

/// [MQTT-3.3.4-9]: no more than the client's receive maximum is in flight.
#[test]
pub(super) fn the_clients_receive_maximum_is_kept() {
    let mut w = world();
    let a = w.v5("a");
    let list = [Property::ReceiveMaximum(2)];
    let connect = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "b") };
    let (b, _) = w.mqtt(&connect);
    w.subscribe(b, "t", Q1);
    for n in 1..=4 {
        w.publish(a, "t", &std::format!("{n}"), Q1, n);
    }
    assert_eq!(w.take(b), ["t=1 q1#1", "t=2 q1#2"]);
    w.publish(a, "t", "plain", Q0, 0);
    w.ack(b, AckKind::PubAck, 2);
    assert_eq!(w.take(b), ["t=3 q1#3"]);
    w.ack(b, AckKind::PubAck, 1);
    w.ack(b, AckKind::PubAck, 3);
    assert_eq!(w.take(b), ["t=4 q1#4", "t=plain"], "order is kept");
}

/// [MQTT-3.3.4-7]: more than announced ends the connection.
#[test]
pub(super) fn the_servers_receive_maximum_is_enforced() {
    let mut config = ServerConfig::default();
    config.mqtt.line.receive_maximum = 2;
    let mut w = World::new(config);
    let a = w.v5("a");
    for n in 1..=3 {
        w.publish(a, "t", "x", Q2, n);
    }
    let none = "No matching subscribers";
    assert_eq!(
        w.take(a),
        [
            std::format!("PUBREC 1 {none}"),
            std::format!("PUBREC 2 {none}"),
            "DISCONNECT Receive Maximum exceeded".into()
        ]
    );
}

/// [MQTT-3.1.2-25]: what is too large for a client is not sent to it, and the rest comes.
#[test]
pub(super) fn what_a_client_cannot_take_is_left_out() {
    let mut w = world();
    let a = w.v5("a");
    let list = [Property::MaximumPacketSize(64)];
    let connect = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "b") };
    let (b, _) = w.mqtt(&connect);
    w.subscribe(b, "t", Q1);
    w.publish(a, "t", &"x".repeat(100), Q1, 1);
    w.publish(a, "t", "y", Q1, 2);
    assert_eq!(
        w.take(b),
        ["t=y q1#1"].map(|_| w.server.hub().counters().dropped.refused).map(|n| {
            assert_eq!(n, 1);
            String::from("t=y q1#2")
        })
    );
}

/// §3.4.2.1: nobody was there. [MQTT-3.10.4-4] and §3.11.3: nothing was there.
#[test]
pub(super) fn nobody_and_nothing_are_told() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v3("b"));
    w.publish(a, "t", "x", Q1, 1);
    w.publish(b, "t", "x", Q1, 1);
    assert_eq!(
        (w.take(a), w.take(b)),
        (vec!["PUBACK 1 No matching subscribers".into()], vec!["PUBACK 1".into()])
    );
    w.subscribe(a, "x/+", Q1);
    w.subscribe(b, "x/+", Q1);
    let list = ["x/+", "y"];
    let unsubscribe = Packet::Unsubscribe(Unsubscribe {
        id: id(3),
        properties: Properties::NONE,
        filters: Filters::list(&list),
    });
    w.send(a, &unsubscribe);
    w.send(b, &unsubscribe);
    assert_eq!(w.take(a), ["UNSUBACK 3: Success, No subscription existed"]);
    assert_eq!(w.take(b), ["UNSUBACK 3: "]);
    w.publish(a, "x/1", "x", Q1, 1);
    assert_eq!(w.take(b), Vec::<String>::new());
}

/// [MQTT-3.1.4-3]: who comes with the same client identifier takes over.
#[test]
pub(super) fn a_client_identifier_is_taken_over() {
    let mut w = world();
    for version in [Version::V311, Version::V5] {
        let (old, _) = w.stay(version, "me");
        w.subscribe(old, "t", Q1);
        let (new, resumed) = w.stay(version, "me");
        assert!(resumed);
        let told = w.take(old);
        assert_eq!(told, if version.is_v5() { vec!["DISCONNECT Session taken over"] } else { vec![] });
        assert_ne!(w.lines[old].transport, crate::lifecycle::Transport::Open);
        w.cut(old);
        let a = w.v5("other");
        w.publish(a, "t", "x", Q1, 1);
        assert_eq!(w.take(new), ["t=x q1#1"]);
        w.cut(new);
        // [MQTT-3.1.2-4]: a clean start forgets all.
        let (clean, told) = w.mqtt(&Connect::new(version, "me"));
        assert_eq!(told, ["CONNACK Success"]);
        w.cut(clean);
        w.cut(a);
        assert_eq!(w.server.hub().counters().sessions, 0);
    }
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]; 3.1.1: [MQTT-3.1.3-8], [MQTT-3.1.3-9].
#[test]
pub(super) fn who_has_no_identifier_gets_one_or_is_refused() {
    let mut w = world();
    let (_, told) = w.mqtt(&Connect::new(Version::V5, ""));
    let Some(given) = told[0].strip_prefix("CONNACK Success id=auto-") else { panic!("{told:?}") };
    assert_eq!(given.len(), 16);
    let (_, told) = w.mqtt(&Connect { clean_start: false, ..Connect::new(Version::V5, "") });
    assert!(told[0].starts_with("CONNACK Success id=auto-"));
    assert_eq!(w.mqtt(&Connect::new(Version::V311, "")).1, ["CONNACK Success"]);
    let keeps = Connect { clean_start: false, ..Connect::new(Version::V311, "") };
    assert_eq!(w.mqtt(&keeps).1, ["CONNACK Client Identifier not valid"]);
    let long = "x".repeat(1025);
    assert_eq!(w.mqtt(&Connect::new(Version::V5, &long)).1, ["CONNACK Client Identifier not valid"]);
    assert_eq!(w.mqtt(&Connect::new(Version::V5, &long[1..])).1, ["CONNACK Success"]);
}

/// A session belongs to who began it.
#[test]
pub(super) fn another_user_does_not_get_a_session() {
    let mut users = Users::new(Anonymous::Never);
    users.add_token(b"s3cr3t-of-a", "alice");
    users.add_token(b"s3cr3t-of-b", "bob");
    let mut w = World::new(ServerConfig { users, ..ServerConfig::default() });
    let with = |token: &'static [u8]| Connect { password: Some(token), ..Connect::new(Version::V5, "me") };
    let (a, told) = w.mqtt(&with(b"s3cr3t-of-a"));
    assert_eq!(told, ["CONNACK Success"]);
    assert_eq!(w.mqtt(&with(b"s3cr3t-of-b")).1, ["CONNACK Not authorized"]);
    assert_eq!(w.mqtt(&with(b"wrong")).1, ["CONNACK Bad User Name or Password"]);
    assert_eq!(w.mqtt(&Connect::new(Version::V5, "x")).1, ["CONNACK Not authorized"]);
    assert_eq!(w.mqtt(&Connect::new(Version::V311, "x")).1, ["CONNACK Not authorized"]);
    assert_eq!(w.take(a), Vec::<String>::new(), "and whoever has it keeps it");
}

fn will<'a>(payload: &'a str, properties: Properties<'a>) -> Option<Will<'a>> {
    Some(Will { topic: "will", payload: payload.as_bytes(), qos: Q1, retain: false, properties })
}

/// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3].
#[test]
pub(super) fn a_will_is_published_unless_its_client_leaves() {
    let mut w = world();
    let b = w.v5("b");
    w.subscribe(b, "will", Q1);
    let leave = |reason| Packet::Disconnect(Disconnect { reason, properties: Properties::NONE });
    for (version, how) in [(Version::V311, None), (Version::V5, None)] {
        let connect = Connect { will: will("gone", Properties::NONE), ..Connect::new(version, "a") };
        let (a, _) = w.mqtt(&connect);
        assert_eq!(w.take(b), Vec::<String>::new());
        w.cut(a);
        assert_eq!(w.take(b).len(), 1, "{how:?}", how = how.unwrap_or("cut"));
        let (a, _) = w.mqtt(&connect);
        w.send(a, &leave(ReasonCode::Success));
        assert_eq!(w.take(b), Vec::<String>::new(), "left");
        w.cut(a);
        assert_eq!(w.take(b), Vec::<String>::new(), "nothing is left of it");
    }
    let connect = Connect { will: will("gone", Properties::NONE), ..Connect::new(Version::V5, "a") };
    let (a, _) = w.mqtt(&connect);
    w.send(a, &leave(ReasonCode::DisconnectWithWill));
    assert_eq!(w.take(b).len(), 1);
    // A protocol error of the client's: a second CONNECT ([MQTT-3.1.0-2]).
    let (a, _) = w.mqtt(&connect);
    w.send(a, &Packet::Connect(connect));
    assert_eq!(w.take(a), ["DISCONNECT Protocol Error"]);
    assert_eq!(w.take(b).len(), 1);
}

/// [MQTT-3.1.3-9]: a will waits for its delay, but not longer than the session, and is forgotten
/// when the client comes back before.
#[test]
pub(super) fn a_will_waits() {
    let mut w = world();
    let b = w.v5("b");
    w.subscribe(b, "will", Q0);
    let (delay, expiry) = ([Property::WillDelay(10)], [Property::SessionExpiry(60)]);
    let connect = Connect {
        clean_start: false,
        properties: Properties::list(&expiry),
        will: will("gone", Properties::list(&delay)),
        ..Connect::new(Version::V5, "a")
    };
    let seconds = Duration::from_secs;
    let (a, _) = w.mqtt(&connect);
    w.cut(a);
    w.advance(seconds(9));
    let (a, told) = w.mqtt(&connect);
    assert_eq!(told, ["CONNACK Success present"]);
    w.advance(seconds(9));
    w.cut(a);
    w.advance(seconds(9));
    assert_eq!(w.take(b), Vec::<String>::new());
    w.advance(seconds(1));
    assert_eq!(w.take(b), ["will=gone"]);
    // Taken over: the session goes on, so the will of the old connection waits, and is dropped.
    let (_, _) = w.mqtt(&connect);
    let (a, _) = w.mqtt(&connect);
    w.advance(seconds(20));
    assert_eq!(w.take(b), Vec::<String>::new());
    // A clean start ends the session, and with it the will comes.
    let (c, _) = w.mqtt(&Connect::new(Version::V5, "a"));
    assert_eq!(w.take(b), ["will=gone"]);
    w.cut(a);
    w.cut(c);
    // The session ends first.
    let short = [Property::SessionExpiry(3)];
    let (a, _) = w.mqtt(&Connect { properties: Properties::list(&short), ..connect });
    w.cut(a);
    w.advance(seconds(3));
    assert_eq!(w.take(b), ["will=gone"]);
}

/// [MQTT-3.1.2-23], §3.14.2.2.2: how long a session stays, and DISCONNECT that changes it.
#[test]
pub(super) fn sessions_stay_as_long_as_they_are_to() {
    let mut config = ServerConfig::default();
    config.hub.max_expiry = Duration::from_secs(100);
    let mut w = World::new(config);
    let asks = |list: &'static [Property<'static>]| Connect {
        clean_start: false,
        properties: Properties::list(list),
        ..Connect::new(Version::V5, "a")
    };
    let (a, told) = w.mqtt(&asks(&[Property::SessionExpiry(1000)]));
    assert_eq!(told, ["CONNACK Success session=100"], "[MQTT-3.2.2-...] the server's own is told");
    w.cut(a);
    w.advance(Duration::from_secs(99));
    let (a, told) = w.mqtt(&asks(&[Property::SessionExpiry(50)]));
    assert_eq!(told, ["CONNACK Success present"]);
    let list = [Property::SessionExpiry(5)];
    let properties = Properties::list(&list);
    w.send(a, &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }));
    w.advance(Duration::from_secs(5));
    let (a, told) = w.mqtt(&asks(&[]));
    assert_eq!(told, ["CONNACK Success"]);
    w.send(a, &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }));
    assert_eq!(w.take(a), ["DISCONNECT Protocol Error"], "it cannot be raised from 0");
    assert_eq!(w.server.hub().counters().sessions, 0);
    // 3.1.1 keeps a session for as long as the server does, or not at all.
    let (a, _) = w.stay(Version::V311, "old");
    w.cut(a);
    w.advance(Duration::from_secs(99));
    assert!(w.stay(Version::V311, "old").1);
}

/// §3.8.3.1, [MQTT-3.8.4-4], §3.3.1.3: retained messages and the options that say what comes.
#[test]
pub(super) fn retained_messages_come_as_they_are_asked_for() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    let keep = |payload: &'static str| Publish { retain: true, ..publish("t/1", payload, Q1, 1) };
    w.send(a, &Packet::Publish(keep("kept")));
    let with = |handling, as_published| SubscriptionOptions {
        qos: Q1,
        retain_handling: handling,
        retain_as_published: as_published,
        no_local: false,
    };
    let granted = "SUBACK 9: Granted QoS 1";
    for (handling, told) in [
        (RetainHandling::Never, vec![granted]),
        (RetainHandling::SendIfNew, vec![granted]),
        (RetainHandling::Send, vec![granted, "t/1=kept q1#1 retain"]),
        (RetainHandling::Send, vec![granted, "t/1=kept q1#2 retain"]),
    ] {
        let options = with(handling, false);
        w.subscribe_as(b, Subscription { filter: "t/+", options }, Properties::NONE);
        assert_eq!(w.take(b), told, "{handling:?}");
    }
    w.send(a, &Packet::Publish(keep("new")));
    assert_eq!(w.take(b), ["t/1=new q1#3"]);
    w.subscribe_as(
        b,
        Subscription { filter: "t/+", options: with(RetainHandling::Never, true) },
        Properties::NONE,
    );
    w.send(a, &Packet::Publish(keep("")));
    assert_eq!(w.take(b), [granted, "t/1= q1#4 retain"], "an empty one is forwarded");
    let c = w.v3("c");
    w.subscribe(c, "#", Q1);
    assert_eq!(w.take(c), Vec::<String>::new(), "and clears");
}

/// [MQTT-3.3.4-2] to [MQTT-3.3.4-5]: one message, with all identifiers; no local.
#[test]
pub(super) fn overlapping_subscriptions_get_one_message() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    for (filter, qos, list) in [
        ("t/#", Q0, &[Property::SubscriptionIdentifier(5)][..]),
        ("t/+", Q2, &[Property::SubscriptionIdentifier(268_435_455)]),
        ("t/1", Q1, &[]),
    ] {
        w.subscribe_as(b, Subscription::new(filter, qos), Properties::list(list));
    }
    w.take(b);
    w.publish(a, "t/1", "x", Q2, 1);
    let told = w.take(b);
    assert!(told[0].starts_with("t/1=x q2#1") && told.len() == 1, "{told:?}");
    assert!(told[0].contains("sid=5") && told[0].contains("sid=268435455"), "{told:?}");
    w.publish(a, "t/2/3", "x", Q2, 2);
    assert_eq!(w.take(b), ["t/2/3=x sid=5"]);
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    w.subscribe_as(a, Subscription { filter: "own", options }, Properties::NONE);
    w.take(a);
    w.publish(a, "own", "x", Q0, 0);
    assert_eq!(w.take(a), Vec::<String>::new());
    w.publish(b, "own", "y", Q0, 0);
    assert_eq!(w.take(a), ["own=y"]);
}

/// §4.8.2: each message of a shared subscription goes to one of its members.
#[test]
pub(super) fn shared_subscriptions_are_balanced() {
    let mut w = world();
    let (a, b, c) = (w.v5("a"), w.v5("b"), w.v3("c"));
    w.subscribe(b, "$share/g/t", Q0);
    w.subscribe(c, "$share/g/t", Q0);
    for _ in 0..10 {
        w.publish(a, "t", "x", Q0, 0);
    }
    let (b, c) = (w.take(b).len(), w.take(c).len());
    assert_eq!((b + c, b > 0 && c > 0), (10, true));
}

/// [MQTT-4.7.2-1], [MQTT-3.3.2-2] and filters that are none.
#[test]
pub(super) fn topics_and_filters_are_checked() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    w.subscribe(b, "#", Q0);
    w.publish(a, "$private/x", "x", Q0, 0);
    assert_eq!(w.take(b), Vec::<String>::new());
    // PUBLISH with a wildcard; it cannot be put together by a client's codec.
    w.octets(a, b"\x30\x06\0\x03a/#\0");
    assert_eq!(w.take(a), ["DISCONNECT Topic Name invalid"]);
    let deep = std::format!("{}x", "a/".repeat(300));
    w.subscribe_as(b, Subscription::new(&deep, Q0), Properties::NONE);
    assert_eq!(w.take(b), ["SUBACK 9: Topic Filter invalid"]);
}

/// [MQTT-3.1.2-22]; [MQTT-3.1.2-21].
#[test]
pub(super) fn silence_ends_a_connection() {
    let mut config = ServerConfig::default();
    config.mqtt.line.max_keep_alive = Some(20);
    let mut w = World::new(config);
    let (a, told) = w.mqtt(&Connect { keep_alive: 60, ..Connect::new(Version::V5, "a") });
    assert_eq!(told, ["CONNACK Success keepalive=20"]);
    w.advance(Duration::from_secs(25));
    w.send(a, &Packet::PingReq);
    assert_eq!(w.take(a), ["PINGRESP"]);
    w.advance(Duration::from_secs(29));
    assert_eq!(w.take(a), Vec::<String>::new());
    w.advance(Duration::from_secs(1));
    assert_eq!(w.take(a), ["DISCONNECT Keep Alive timeout"]);
}

/// [MQTT-3.3.2-7], §3.3.2.3.4: the aliases of a client, which its next connection does not have.
#[test]
pub(super) fn topic_aliases_are_resolved() {
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    w.subscribe(b, "#", Q0);
    let list = [Property::TopicAlias(3)];
    let aliased =
        |topic| Packet::Publish(Publish { properties: Properties::list(&list), ..Publish::new(topic, b"x") });
    w.send(a, &aliased("long/topic"));
    w.send(a, &aliased(""));
    assert_eq!(w.take(b), ["long/topic=x", "long/topic=x"], "the alias itself is not handed on");
    let a = w.v5("a");
    w.send(a, &aliased(""));
    assert_eq!(w.take(a), ["DISCONNECT Protocol Error"]);
    let a = w.v5("a");
    let list = [Property::TopicAlias(11)];
    w.send(a, &Packet::Publish(Publish { properties: Properties::list(&list), ..Publish::new("t", b"x") }));
    assert_eq!(w.take(a), ["DISCONNECT Topic Alias invalid"]);
}

/// [MQTT-4.11.0-1], §4.13: a server that goes tells where to; what is in flight is finished before.
#[test]
pub(super) fn a_draining_server_redirects() {
    let mut w = world();
    let (a, b, c) = (w.v5("a"), w.v5("b"), w.v3("c"));
    w.subscribe(b, "t", Q1);
    w.publish(a, "t", "x", Q1, 1);
    w.take(a);
    w.take(b);
    let late = w.open(Peer::default(), Tongue::Mqtt(Version::V5));
    let too_late = w.open(Peer::default(), Tongue::Mqtt(Version::V5));
    w.server.drain(w.now, Duration::from_secs(10), Duration::ZERO, "mqtt.example");
    w.run();
    assert_eq!(w.take(a), ["DISCONNECT Use another server to=mqtt.example"]);
    assert_eq!(w.take(b), Vec::<String>::new(), "it has not acknowledged yet");
    assert_ne!(w.lines[c].transport, crate::lifecycle::Transport::Open);
    w.send(late, &Packet::Connect(Connect::new(Version::V5, "late")));
    assert_eq!(w.take(late), ["CONNACK Use another server to=mqtt.example"]);
    w.lines[too_late].stalled = false;
    w.ack(b, AckKind::PubAck, 1);
    assert_eq!(w.take(b), ["DISCONNECT Use another server to=mqtt.example"]);
    let mut w = world();
    let (a, b) = (w.v5("a"), w.v5("b"));
    w.subscribe(b, "t", Q1);
    w.publish(a, "t", "x", Q1, 1);
    w.take(b);
    w.server.drain(w.now, Duration::from_secs(10), Duration::ZERO, "");
    w.run();
    w.advance(Duration::from_secs(10));
    assert_eq!(w.take(b), ["DISCONNECT Server shutting down"], "it has had its time");
}

/// Closed by an administrator; and by its own slowness.
#[test]
pub(super) fn the_server_says_why_it_ends() {
    let mut w = world();
    let a = w.v5("a");
    w.server.close(w.now, w.lines[a].connection, crate::session::Code::Normal, "by the administrator");
    w.run();
    assert_eq!(w.take(a), ["DISCONNECT Administrative action"]);
}

/// [MQTT-3.1.2-2], [MQTT-3.1.0-1]; a stranger's octets harm nobody.
#[test]
pub(super) fn what_does_not_begin_well_ends() {
    let mut w = world();
    let a = w.open(Peer::default(), Tongue::Mqtt(Version::V311));
    w.octets(a, b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0");
    assert_eq!(w.take(a), ["CONNACK Unsupported Protocol Version"]);
    let a = w.open(Peer::default(), Tongue::Mqtt(Version::V311));
    w.octets(a, b"\x30\x05\0\x01ahi");
    assert_ne!(w.lines[a].transport, crate::lifecycle::Transport::Open);
    let events = w.events();
    assert_eq!(events.len(), 2, "{events:?}");
}

/// §4.12: SCRAM-SHA-256 in CONNECT and AUTH, and again while the connection is open; nobody becomes
/// somebody else by that ([MQTT-4.12.1-2]).
#[test]
pub(super) fn enhanced_authentication() {
    let mut users = Users::new(Anonymous::Never);
    for user in ["alice", "bob"] {
        users.add_password(user, Credential::derive("pw", b"0123456789abcdef", MIN_ITERATIONS).unwrap());
    }
    let mut w = World::new(ServerConfig { users, ..ServerConfig::default() });
    let (a, told) = scram(&mut w, None, "alice", "pw");
    assert_eq!(told, ["CONNACK Success"]);
    assert_eq!(scram(&mut w, Some(a), "alice", "pw").1, ["AUTH Success"]);
    w.send(a, &Packet::PingReq);
    assert_eq!(w.take(a), ["PINGRESP"]);
    assert_eq!(scram(&mut w, Some(a), "bob", "pw").1, ["DISCONNECT Not authorized"]);
    let (_, told) = scram(&mut w, None, "alice", "wrong");
    assert_eq!(told, ["CONNACK Not authorized"]);
    let list = [Property::AuthMethod("PLAIN"), Property::AuthData(b"x")];
    let connect = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "x") };
    assert_eq!(w.mqtt(&connect).1, ["CONNACK Bad authentication method"]);
}

/// The whole exchange, over a new connection or one that is open.
fn scram(w: &mut World, open: Option<usize>, user: &str, password: &str) -> (usize, Vec<String>) {
    let mut memory = [0; MAX_MESSAGE];
    let mut client = ScramClient::new(user, password, &mut Seeded::new(3)).unwrap();
    let n = client.first(&mut memory).unwrap();
    let list = [Property::AuthMethod("SCRAM-SHA-256"), Property::AuthData(&memory[..n])];
    let properties = Properties::list(&list);
    let i = match open {
        Some(i) => {
            w.send(i, &Packet::Auth(mqtt::Auth { reason: ReasonCode::ReAuthenticate, properties }));
            i
        }
        None => {
            let i = w.open(Peer::default(), Tongue::Mqtt(Version::V5));
            w.send(i, &Packet::Connect(Connect { properties, ..Connect::new(Version::V5, "scram") }));
            i
        }
    };
    assert_eq!(w.take(i), ["AUTH Continue authentication"]);
    let challenge = core::mem::take(&mut w.lines[i].auth_data);
    let mut answer = [0; MAX_MESSAGE];
    let n = client.handle_server_first(&challenge, &mut answer).unwrap();
    let list = [Property::AuthMethod("SCRAM-SHA-256"), Property::AuthData(&answer[..n])];
    let properties = Properties::list(&list);
    w.send(i, &Packet::Auth(mqtt::Auth { reason: ReasonCode::ContinueAuthentication, properties }));
    let last = core::mem::take(&mut w.lines[i].auth_data);
    let told = w.take(i);
    if told[0].contains("Success") {
        client.handle_server_final(&last).unwrap();
    }
    (i, told)
}

/// A queue that is full, where its policy is to be disconnected.
#[test]
pub(super) fn a_client_that_takes_too_little_is_told() {
    let queue = QueueLimits { max_messages: 2, policy: Policy::Disconnect, ..QueueLimits::default() };
    let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
    let a = w.v5("a");
    let list = [Property::ReceiveMaximum(1)];
    let connect = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "b") };
    let (b, _) = w.mqtt(&connect);
    w.subscribe(b, "t", Q1);
    for n in 1..=3 {
        w.publish(a, "t", "x", Q1, n);
    }
    assert_eq!(w.take(b), ["t=x q1#1", "DISCONNECT Quota exceeded"]);
}
