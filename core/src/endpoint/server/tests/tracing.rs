//! Traces of messages: kept from dialect to dialect, made where one is missing, and told of.

use core::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::json;

use super::json::{member, world};
use super::world::{World, publish};
use crate::access::{Access, Action, Decision, Who};
use crate::endpoint::server::{
    Dialect, QueueLimits, ServerConfig, ServerEvent, Stage, TraceConfig, TraceCounters, Traced,
};
use crate::hub::Policy;
use crate::mqtt::{Packet, Properties, Property, Publish, Qos};
use crate::prx1;
use crate::session::{self, Subscribe};
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "rojo=00f067aa0ba902b7";

fn traced_world(make: u32, report: bool) -> World {
    World::new(ServerConfig { trace: TraceConfig { make, report }, ..ServerConfig::default() })
}

fn traces(w: &mut World) -> Vec<Traced> {
    let told = w.events().into_iter().filter_map(|event| match event {
        ServerEvent::Traced(traced) => Some(traced),
        _ => None,
    });
    told.collect()
}

fn counted(w: &World) -> (u64, u64, u64) {
    let TraceCounters { received, made, delivered } = w.server.counters().traces;
    (received, made, delivered)
}

/// One that listens in each dialect that can carry a trace: MQTT 5, our own, a page.
fn listeners(w: &mut World) -> [usize; 3] {
    let (five, own, (page, _)) = (w.v5("five"), w.bowline(), w.page());
    w.subscribe(five, "t", Qos::AtMostOnce);
    let s = Subscribe { id: 4, filter: "t", ..Subscribe::default() };
    w.call(own, |session, now, out| session.subscribe(now, out, &s).unwrap());
    w.ask(page, r#"{"type":"$subscribe","id":"s","payload":{"topic":"t"}}"#);
    w.take(own);
    w.events();
    [five, own, page]
}

/// What each of them got.
fn all_got(w: &mut World, [five, own, page]: [usize; 3], state: bool) {
    let told = w.take(five).join("\n");
    assert!(told.contains(&format!("User(\"traceparent\", \"{TRACE}\")")), "{told}");
    assert_eq!(told.contains(&format!("User(\"tracestate\", \"{STATE}\")")), state, "{told}");
    assert_eq!(w.take(own).len(), 1);
    let message = w.told(page).remove(0);
    assert_eq!(message[TRACEPARENT], TRACE, "{message}");
    assert_eq!(message[TRACESTATE], if state { json!(STATE) } else { json!(null) });
}

fn in_mqtt(w: &mut World, i: usize, topic: &str, list: &[Property<'_>]) {
    let properties = Properties::list(list);
    w.send(i, &Packet::Publish(Publish { properties, ..publish(topic, "x", Qos::AtMostOnce, 0) }));
}

const IN_MQTT: [Property<'static>; 2] =
    [Property::User(TRACEPARENT, TRACE), Property::User(TRACESTATE, STATE)];

/// BRI-3, JSN-33
#[test]
fn a_trace_goes_from_mqtt_to_all() {
    let mut w = traced_world(0, false);
    let all = listeners(&mut w);
    let sender = w.v5("sender");
    in_mqtt(&mut w, sender, "t", &IN_MQTT);
    all_got(&mut w, all, true);
    assert!(traces(&mut w).is_empty(), "nobody asked");
    assert_eq!(counted(&w), (0, 0, 0));
}

#[test]
fn a_trace_goes_from_our_own_protocol_to_all() {
    let mut w = traced_world(0, false);
    let all = listeners(&mut w);
    let sender = w.bowline();
    let context = TraceContext::parse(TRACE).unwrap();
    let list = [session::Property::Trace(context.as_bytes()), session::Property::User(TRACESTATE, STATE)];
    let mut memory = [0; 128];
    let properties = session::Properties::write(&list, &mut memory).unwrap();
    let message = session::Message { properties, ..session::Message::new("t", b"x") };
    w.call(sender, |session, now, out| session.publish(now, out, &message).unwrap());
    all_got(&mut w, all, true);
}

/// JSN-33
#[test]
fn a_trace_goes_from_a_page_to_all() {
    let mut w = traced_world(0, false);
    let all = listeners(&mut w);
    let (page, _) = w.page();
    let asked = |parent: &str, state: &str| {
        let payload = r#"{"topic":"t","text":"x"}"#;
        format!(
            r#"{{"type":"$publish","id":"1","traceparent":{parent},"tracestate":{state},"payload":{payload}}}"#
        )
    };
    w.ask(page, &asked(&json!(TRACE).to_string(), &json!(STATE).to_string()));
    all_got(&mut w, all, true);
    w.ask(page, &asked(&json!(TRACE).to_string(), "\"\u{e9}\""));
    all_got(&mut w, all, false);
    // What is no trace is nobody's fault, and goes no further.
    let zeros = TRACE.replace("b7ad6b7169203331", "0000000000000000");
    for parent in [json!("no"), json!(7), json!(zeros), json!(TRACE.to_uppercase())] {
        let told = w.ask(page, &asked(&parent.to_string(), "\"a=b\""));
        assert_eq!(told["type"], "$ok", "{parent}");
        assert_eq!(w.take(all[0]), ["t=x"]);
        let [_, _, listener] = all;
        assert_eq!(w.told(listener)[0].get(TRACEPARENT), None);
    }
}

/// JSN-33: live, in what is read back, and to who subscribed to the room's topic.
#[test]
fn a_trace_goes_along_in_a_room() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let watcher = w.v5("watcher");
    w.subscribe(watcher, "$room/#", Qos::AtMostOnce);
    let text = format!(
        r#"{{"type":"chat","room":"lobby","id":"1","traceparent":"{TRACE}","tracestate":"{STATE}","payload":{{}}}}"#
    );
    w.tell(a, &text);
    let live = w.told(a);
    let live = live.iter().find(|told| told["type"] == "chat").unwrap();
    assert_eq!((&live[TRACEPARENT], &live[TRACESTATE]), (&json!(TRACE), &json!(STATE)));
    assert!(w.take(watcher)[0].contains(TRACE));
    let history = w.ask(a, r#"{"type":"$history","id":"h","room":"lobby"}"#);
    assert_eq!(history["payload"]["messages"][0][TRACEPARENT], TRACE, "{history}");
}

/// TRC-1: PRX1 and MQTT 3.1.1 have no word for it, and lose nothing but it.
#[test]
fn a_trace_is_made_where_one_is_missing() {
    let mut w = traced_world(1_000_000, false);
    let [five, own, page] = listeners(&mut w);
    let (three, (prx1, _)) = (w.v3("three"), w.prx1(None, true));
    w.subscribe(three, "t", Qos::AtMostOnce);
    w.say(prx1, &prx1::Packet::Publish(prx1::Publish::new("t", b"x")));
    let told = w.take(five).remove(0);
    assert!(told.starts_with("t=x User(\"traceparent\", \"00-"), "{told}");
    assert_eq!(w.take(three), ["t=x"]);
    assert_eq!((w.take(own).len(), w.told(page).len()), (1, 1));
    assert_eq!(counted(&w), (1, 1, 4));
    // One that comes with a trace keeps it.
    in_mqtt(&mut w, five, "t", &IN_MQTT);
    assert!(w.take(five)[0].contains(TRACE));
    assert_eq!(counted(&w), (2, 1, 8));
    assert!(traces(&mut w).is_empty(), "they are not told of unless that is wanted");
}

#[test]
fn about_as_many_are_made_as_were_asked_for() {
    let mut w = traced_world(100_000, false);
    let five = w.v5("five");
    for _ in 0..2000 {
        in_mqtt(&mut w, five, "t", &[]);
    }
    let (_, made, _) = counted(&w);
    assert!((120..=280).contains(&made), "{made} of 200");
}

/// Each stage of a message is told, with who had to do with it; what has no trace is not.
#[test]
fn what_is_done_with_a_message_is_told() {
    let mut w = traced_world(0, true);
    let [five, ..] = listeners(&mut w);
    in_mqtt(&mut w, five, "t", &IN_MQTT);
    in_mqtt(&mut w, five, "t", &[]);
    let told = traces(&mut w);
    let stages: Vec<_> = told.iter().map(|t| (t.stage, t.dialect)).collect();
    let delivered = [Dialect::Mqtt5, Dialect::Bowline, Dialect::Json].map(|d| (Stage::Delivered, d));
    assert_eq!(stages[0], (Stage::Received, Dialect::Mqtt5));
    assert_eq!(stages.len(), 4);
    assert!(delivered.iter().all(|delivered| stages[1..].contains(delivered)), "{stages:?}");
    let first = &told[0];
    assert_eq!((&*first.topic, first.made, first.context.to_string()), ("t", false, TRACE.into()));
    assert_eq!((first.connection, first.size > 25), (w.lines[five].connection, true));
    assert_eq!(told[1].number, first.number, "it is its own subscriber");
    assert_eq!(counted(&w), (1, 0, 3));

    let long = "é".repeat(200);
    in_mqtt(&mut w, five, &long, &IN_MQTT);
    assert_eq!(traces(&mut w)[0].topic.len(), 256);
}

#[test]
fn a_request_and_its_answer_are_told_of() {
    let mut w = traced_world(1_000_000, true);
    let (asks, serves) = (w.bowline(), w.bowline());
    let s = Subscribe { id: 1, filter: "sum", serve: true, ..Subscribe::default() };
    w.call(serves, |session, now, out| session.subscribe(now, out, &s).unwrap());
    let request = session::Request {
        id: 1,
        subscription: 0,
        timeout: Duration::from_secs(5),
        many: false,
        topic: "sum",
        payload: b"1 2",
        properties: session::Properties::NONE,
    };
    w.call(asks, |session, now, out| session.request(now, out, &request).unwrap());
    let told = traces(&mut w);
    let [asked, served] = &told[..] else { panic!("{told:?}") };
    assert_eq!((asked.stage, asked.made, served.stage), (Stage::Received, true, Stage::Delivered));
    assert_eq!(asked.context, served.context);
}

/// Nobody may publish below `closed/`.
struct Closed;

impl Access for Closed {
    fn decide(&self, _: &Who<'_>, action: Action, subject: &str) -> Decision {
        if action == Action::Publish && subject.starts_with("closed/") {
            Decision::DENY
        } else {
            Decision::ALLOW
        }
    }
}

#[test]
fn a_denial_names_the_trace() {
    let mut w = traced_world(0, false);
    w.server.set_access(std::boxed::Box::new(Closed));
    let five = w.v5("five");
    in_mqtt(&mut w, five, "closed/door", &IN_MQTT);
    let events = w.events();
    let trace = events.iter().find_map(|event| match event {
        ServerEvent::Denied { trace, subject, .. } => Some((subject.clone(), trace.map(|t| t.to_string()))),
        _ => None,
    });
    assert_eq!(trace, Some(("closed/door".into(), Some(TRACE.into()))), "{events:?}");
}

/// Of what a full queue drops, by each policy that drops, the first is named.
#[test]
fn a_drop_names_the_trace() {
    for (policy, first) in [(Policy::DropOldest, 0), (Policy::DropNewest, 2)] {
        let queue = QueueLimits { max_messages: 2, policy, ..QueueLimits::default() };
        let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
        let (slow, sender) = (w.v5("slow"), w.v5("sender"));
        w.subscribe(slow, "t", Qos::AtMostOnce);
        w.events();
        w.lines[slow].stalled = true;
        // What the transport takes by itself.
        for _ in 0..100 {
            w.publish(sender, "t", &"x".repeat(1000), Qos::AtMostOnce, 0);
        }
        w.lines[slow].stalled = false;
        w.run();
        w.events();
        w.take(slow);
        w.lines[slow].stalled = true;
        w.lines[slow].widen(10);
        let text = |n: u32| TRACE.replace("0af7", &format!("{n:04}"));
        for n in 0..3 {
            in_mqtt(&mut w, sender, "t", &[Property::User(TRACEPARENT, &text(n))]);
        }
        let events = w.events();
        let traces: Vec<String> = events
            .iter()
            .filter_map(|event| match event {
                ServerEvent::Overflow { trace, .. } => trace.map(|trace| trace.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(traces, [text(first)], "{policy:?}: {events:?}");
    }
}

#[test]
fn round_trips_and_sizes_are_counted() {
    super::world::over_websocket(|| {
        let mut w = World::new(ServerConfig::default());
        let five = w.v5("five");
        w.publish(five, "t", &"x".repeat(500), Qos::AtMostOnce, 0);
        w.advance(Duration::from_secs(31));
        let counters = w.server.counters();
        let (pinger, times) = counters.round_trips[1];
        assert_eq!((pinger.label(), times.count()), ("websocket", 1), "{counters:?}");
        let sizes: Vec<_> = counters.message_sizes.up_to().take(3).collect();
        assert_eq!((sizes, counters.message_sizes.sum()), (Vec::from([(64, 0), (256, 0), (1024, 1)]), 502));
    });
}

/// From taking a message until the store has it.
#[test]
fn the_wait_for_the_store_is_counted() {
    let mut config = ServerConfig::default();
    config.hub.durable = true;
    let mut w = World::new(config);
    let five = w.v5("five");
    let retained = Publish { retain: true, ..publish("t", "x", Qos::AtLeastOnce, 1) };
    w.send(five, &Packet::Publish(retained));
    w.publish(five, "nobody", "x", Qos::AtLeastOnce, 2);
    w.advance(Duration::from_millis(7));
    assert_eq!(w.server.counters().acknowledgements.count(), 0);
    w.commit();
    let waited = w.server.counters().acknowledgements;
    assert_eq!((waited.count(), waited.sum()), (1, 7_000_000));
    w.server.record_store_failure();
    w.server.record_commit(Duration::from_millis(3));
    let counters = w.server.counters();
    assert_eq!((counters.store_failures, counters.store_commits.sum()), (1, 3_000_000));
}

#[test]
fn what_waits_for_members_of_rooms_is_counted() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let (b, _) = member(&mut w);
    w.run();
    w.lines[b].widen(4000);
    w.lines[b].stalled = true;
    let long = format!(r#"{{"type":"x","room":"lobby","payload":{{"text":"{}"}}}}"#, "x".repeat(1000));
    for _ in 0..50 {
        w.tell(a, &long);
        w.take(a);
    }
    let hub = w.server.counters().hub;
    assert!(hub.room_queued_bytes > 10_000 && hub.room_queued_bytes == hub.queued_bytes, "{hub:?}");
    w.lines[b].stalled = false;
    w.run();
    assert_eq!(w.server.counters().hub.room_queued_bytes, 0);
}
