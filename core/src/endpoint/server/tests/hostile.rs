//! Clients that ask for as much as they can: what one gets is limited, and the others are served.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::world::{World, id, publish};
use crate::access::{Access, Action, Decision, Who};
use crate::buf::SharedSendBuf;
use crate::endpoint::server::{QueueLimits, ServerConfig, ServerEvent};
use crate::hub::{HubOptions, Policy};
use crate::lifecycle::Transport;
use crate::mqtt::{
    Ack, AckKind, Connect, Delivery, Packet, Properties, Property, Publish, Qos, Subscribe, Subscription,
    Subscriptions, Version, Will,
};

const Q0: Qos = Qos::AtMostOnce;
const Q1: Qos = Qos::AtLeastOnce;
const Q2: Qos = Qos::ExactlyOnce;

fn octets(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = SharedSendBuf::new(1 << 24);
    packets.iter().for_each(|packet| packet.encode(Version::V5, &mut out).unwrap());
    out.slices().flatten().copied().collect()
}

/// Publications with QoS 2 under these identifiers.
fn exactly_once(ids: impl Iterator<Item = u16>) -> Vec<u8> {
    let all: Vec<Packet<'_>> = ids.map(|n| Packet::Publish(publish("t", "", Q2, n))).collect();
    octets(&all)
}

fn served(w: &mut World) {
    let (a, b) = (w.v5("served-a"), w.v5("served-b"));
    w.subscribe(b, "served", Q1);
    w.publish(a, "served", "yes", Q1, 1);
    assert_eq!(
        (w.take(a), w.take(b)),
        (["PUBACK 1"].map(String::from).into(), ["served=yes q1#1"].map(String::from).into())
    );
    w.cut(a);
    w.cut(b);
}

/// A million filters of one client: as many as it may have, 0x97 for all others (§3.9.3).
#[test]
fn a_million_filters_are_refused_beyond_the_limit() {
    const LIMIT: usize = 100;
    let hub = HubOptions { max_subscriptions_per_session: LIMIT, ..HubOptions::default() };
    let mut w = World::new(ServerConfig { hub, ..ServerConfig::default() });
    let a = w.v5("a");
    let (mut granted, mut refused) = (0, 0);
    for packet in 0..100 {
        let filters: Vec<String> = (0..10_000).map(|n| format!("{packet}/{n}")).collect();
        let list: Vec<Subscription<'_>> = filters.iter().map(|f| Subscription::new(f, Q0)).collect();
        let subscriptions = Subscriptions::list(&list);
        w.send(a, &Packet::Subscribe(Subscribe { id: id(9), properties: Properties::NONE, subscriptions }));
        let told = w.take(a).concat();
        granted += told.matches("Success").count();
        refused += told.matches("Quota exceeded").count();
    }
    assert_eq!((granted, refused), (LIMIT, 1_000_000 - LIMIT));
    assert_eq!(w.server.hub().counters().subscriptions, LIMIT as u64);
    served(&mut w);
}

/// The longest topic there is, with as many levels as are taken; then one with ten thousand.
#[test]
fn topics_as_long_as_they_can_be() {
    let mut w = World::new(ServerConfig::default());
    let (a, b, c) = (w.v5("a"), w.v5("b"), w.v5("c"));
    let wide = format!("{}{}", "x/".repeat(127), "y".repeat(65_535 - 254));
    assert_eq!(wide.len(), 65_535);
    for i in [b, c] {
        w.lines[i].widen(1 << 20);
    }
    w.subscribe(b, &wide, Q1);
    w.subscribe(c, "#", Q0);
    let message = Publish { retain: true, ..publish(&wide, "hi", Q1, 1) };
    w.send(a, &Packet::Publish(message));
    assert_eq!(w.take(a), ["PUBACK 1"]);
    // Not shown where it fails: it would fill the screen.
    assert!(w.take(b) == [format!("{wide}=hi q1#1")] && w.take(c) == [format!("{wide}=hi")]);
    // The codec itself writes no such topic or filter.
    let deep = "/".repeat(9_999);
    let (high, low) = ((deep.len() >> 8) as u8, deep.len() as u8);
    let head = |first: u8, len: usize| Vec::from([first, (len & 127) as u8 | 128, (len >> 7) as u8]);
    let publish =
        [head(0x30, 2 + deep.len() + 1), [high, low].into(), deep.clone().into(), [0].into()].concat();
    w.octets(a, &publish);
    assert_eq!(w.take(a), ["DISCONNECT Topic Name invalid"]);
    let body = [[0, 9, 0, high, low].into(), deep.clone().into_bytes(), [0].into()].concat();
    w.octets(b, &[head(0x82, body.len()), body].concat());
    assert_eq!(w.take(b), ["SUBACK 9: Topic Filter invalid"], "and the connection stays");
    served(&mut w);
}

/// [MQTT-3.3.4-7], [MQTT-3.3.4-8]: one more unacknowledged than the server has said it takes is 0x93.
#[test]
fn more_in_flight_than_the_receive_maximum_ends_the_connection() {
    let mut w = World::new(ServerConfig::default());
    let a = w.v5("a");
    let most = ServerConfig::default().mqtt.line.receive_maximum;
    w.octets(a, &exactly_once(1..=most));
    assert_eq!(w.take(a).len(), usize::from(most));
    w.octets(a, &exactly_once(most + 1..=u16::MAX));
    assert_eq!(w.take(a), ["DISCONNECT Receive Maximum exceeded"]);
    served(&mut w);
}

/// A client that sends as much as is allowed and never releases it: all identifiers there are.
#[test]
fn all_identifiers_in_flight_are_taken_and_no_more() {
    for version in [Version::V5, Version::V311] {
        let mut config = ServerConfig::default();
        config.mqtt.line.receive_maximum = u16::MAX;
        let mut w = World::new(config);
        let a = if version.is_v5() { w.v5("a") } else { w.v3("a") };
        for from in (1..=u16::MAX).step_by(5000) {
            let ids = from..=from.saturating_add(4999);
            let packets: Vec<Packet<'_>> =
                ids.clone().map(|n| Packet::Publish(publish("t", "", Q2, n))).collect();
            let mut out = SharedSendBuf::new(1 << 20);
            packets.iter().for_each(|packet| packet.encode(version, &mut out).unwrap());
            let bytes: Vec<u8> = out.slices().flatten().copied().collect();
            w.octets(a, &bytes);
            assert_eq!(w.take(a).len(), ids.count(), "a PUBREC for each");
        }
        // Each again: known, so that nothing grows; but one too many of 5.0.
        let twice =
            Publish { delivery: Delivery::ExactlyOnce { id: id(7), dup: true }, ..publish("t", "", Q2, 7) };
        if version.is_v5() {
            w.ack(a, AckKind::PubRel, 7);
            assert_eq!(w.take(a), ["PUBCOMP 7"]);
            w.publish(a, "t", "", Q2, 7);
            w.send(a, &Packet::Publish(twice));
            assert_eq!(w.take(a)[1..], ["DISCONNECT Receive Maximum exceeded"]);
        } else {
            w.send(a, &Packet::Publish(twice));
            assert_eq!(w.take(a), ["PUBREC 7"]);
        }
        assert_eq!((w.server.hub().counters().queued, w.server.hub().counters().messages), (0, 0));
        served(&mut w);
    }
}

/// What does not fit among the retained messages is refused whole, by number and by octets; what
/// replaces or clears one is taken.
#[test]
fn retained_messages_past_the_limit_are_refused() {
    let hub = HubOptions { max_retained: 3, max_retained_bytes: 4096, ..HubOptions::default() };
    let mut w = World::new(ServerConfig { hub, sys_interval: Duration::ZERO, ..ServerConfig::default() });
    let a = w.v5("a");
    let keep = |w: &mut World, topic: &str, payload: &str| {
        w.send(a, &Packet::Publish(Publish { retain: true, ..publish(topic, payload, Q1, 1) }));
        w.take(a).concat()
    };
    for n in 0..1000 {
        let told = keep(&mut w, &format!("t/{n}"), "x");
        let quota = told == "PUBACK 1 Quota exceeded";
        assert!(if n < 3 { told.starts_with("PUBACK 1 No matching") } else { quota }, "{n}: {told}");
    }
    assert!(keep(&mut w, "t/0", &"x".repeat(5000)).ends_with("Quota exceeded"), "by octets");
    assert!(keep(&mut w, "t/1", "y").ends_with("subscribers"), "in place of another");
    keep(&mut w, "t/2", "");
    assert!(keep(&mut w, "t/9", "z").ends_with("subscribers"), "there is room again");
    let counters = w.server.hub().counters();
    assert!(counters.retained == 3 && counters.retained_bytes <= 4096, "{counters:?}");
    served(&mut w);
}

/// Wills that bring about other wills: each is published once, and then there is an end.
#[test]
fn wills_that_trigger_wills_come_to_an_end() {
    const CLIENTS: usize = 40;
    let queue = QueueLimits { max_messages: 1, policy: Policy::Disconnect, ..QueueLimits::default() };
    let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
    let list = [Property::ReceiveMaximum(1)];
    let clients: Vec<usize> = (0..CLIENTS)
        .map(|n| {
            let client_id = format!("c{n}");
            let properties = Properties::NONE;
            let will = Will { topic: "w", payload: b"lost", qos: Q1, retain: false, properties };
            let connect = Connect {
                will: Some(will),
                properties: Properties::list(&list),
                ..Connect::new(Version::V5, &client_id)
            };
            let (i, _) = w.mqtt(&connect);
            w.subscribe(i, "w", Q1);
            i
        })
        .collect();
    // The first will fills every queue; the second overflows all of them, each of which has a will.
    w.cut(clients[0]);
    w.cut(clients[1]);
    let gone: Vec<usize> =
        clients.iter().copied().filter(|i| w.take(*i).concat().contains("Quota exceeded")).collect();
    assert_eq!(gone.len(), CLIENTS - 2);
    for i in gone {
        w.cut(i);
    }
    let counters = w.server.hub().counters();
    assert_eq!((counters.wills, counters.sessions, counters.queued), (CLIENTS as u64, 0, 0));
    served(&mut w);
}

/// Clients that read nothing: what waits for each is bounded by its queue and its buffer, its neighbours get
/// everything, and in time it is given up.
#[test]
fn slow_and_dead_readers_cost_what_is_configured() {
    const QUEUE: u64 = 64 << 10;
    const READERS: usize = 8;
    for policy in [Policy::DropOldest, Policy::DropNewest, Policy::Disconnect] {
        let queue = QueueLimits { max_messages: 10_000, max_bytes: QUEUE, policy };
        let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
        let (a, fast) = (w.v5("a"), w.v5("fast"));
        w.subscribe(fast, "t", Q1);
        let stalled: Vec<usize> = (0..READERS)
            .map(|n| {
                let i = w.v5(&format!("slow-{n}"));
                w.subscribe(i, "t", [Q0, Q1, Q2][n % 3]);
                w.lines[i].stalled = true;
                i
            })
            .collect();
        let payload = "x".repeat(1000);
        for n in 1..=1000 {
            w.publish(a, "t", &payload, Q1, n);
            assert_eq!(w.take(a), [format!("PUBACK {n}")]);
            w.ack(fast, AckKind::PubAck, n);
            // It was acknowledged as it came.
            assert_eq!(w.take(fast).len(), 1);
        }
        let counters = w.server.hub().counters();
        let most = READERS as u64 * (QUEUE + 2000);
        assert!(counters.queued_bytes <= most && counters.message_bytes <= most, "{policy:?}: {counters:?}");
        for i in &stalled {
            assert!(w.lines[*i].unread() <= 64 << 10, "{policy:?}: more than its buffer holds");
        }
        let overflows = w.events().iter().filter(|e| matches!(e, ServerEvent::Overflow { .. })).count();
        assert_eq!(overflows, if policy == Policy::Disconnect { 0 } else { READERS });
        // Dead: nothing of what waits is taken for as long as the write timeout.
        for i in &stalled {
            let line = &w.lines[*i];
            w.server.handle_written(w.now, line.connection, 0, line.unread());
        }
        w.advance(Duration::from_secs(11));
        w.run();
        assert!(stalled.iter().all(|i| w.lines[*i].transport != Transport::Open), "{policy:?}");
        for i in stalled {
            w.cut(i);
        }
        assert_eq!(w.server.hub().counters().queued_bytes, 0);
        served(&mut w);
    }
}

/// Allows what is not below `secret/`.
struct Open;

impl Access for Open {
    fn decide(&self, _: &Who<'_>, _: Action, subject: &str) -> Decision {
        (!subject.starts_with("secret/")).into()
    }
}

/// A client that tries what it may not, again and again: counted each time, told once for each action of a
/// connection, with no more of its text than a line holds.
#[test]
fn denials_are_counted_and_told_once() {
    let mut w = World::new(ServerConfig::default());
    w.server.set_access(std::boxed::Box::new(Open));
    let (a, _) = w.stay(Version::V5, "a");
    let b = w.v3("b");
    w.events();
    let long = format!("secret/{}", "é".repeat(500));
    for n in 1..=100 {
        w.publish(a, &long, "x", Q1, n);
        w.publish(b, "secret/b", "x", Q0, 0);
    }
    assert_eq!(w.take(a)[99], "PUBACK 100 Not authorized");
    w.subscribe_as(a, Subscription::new("secret/#", Q0), Properties::NONE);
    assert_eq!(w.take(a), ["SUBACK 9: Not authorized"]);
    w.publish(a, "$SYS/broker/version", "mine", Q1, 1);
    assert_eq!(w.server.hub().counters().denied, 202);
    let told = |w: &mut World| -> Vec<(Action, usize)> {
        let denied = |event| match event {
            ServerEvent::Denied { connection: Some(_), action, subject, .. } => Some((action, subject.len())),
            _ => None,
        };
        w.events().into_iter().filter_map(denied).collect()
    };
    assert_eq!(told(&mut w), [(Action::Publish, 255), (Action::Publish, 8), (Action::Subscribe, 8)]);
    // Another connection of the session is another try.
    w.cut(a);
    let (a, resumed) = w.stay(Version::V5, "a");
    assert!(resumed);
    w.send(a, &Packet::Ack(Ack::new(AckKind::PubAck, id(1))));
    w.publish(a, "secret/a", "x", Q1, 1);
    assert_eq!(told(&mut w), [(Action::Publish, 8)]);
}
