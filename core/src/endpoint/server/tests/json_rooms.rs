//! Typed JSON: a story for each rule of JSON.md about topics and rooms.

use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use serde_json::{Value, json};

use super::json::{JOIN, member, say, world};
use super::web::{Session, short, shorts};
use super::world::World;
use crate::access::{Access, Action, Decision, Who};
use crate::endpoint::server::ServerConfig;
use crate::mqtt::{Qos, Version};

#[test]
pub(super) fn jsn_13_topics_of_other_dialects() {
    let mut w = world();
    let (i, _) = w.page();
    let five = w.v5("five");
    for filter in ["a/#", "a/+"] {
        let text = format!(r#"{{"type":"$subscribe","id":"s","payload":{{"topic":"{filter}"}}}}"#);
        assert_eq!(short(&w.ask(i, &text)), "$ok ref=s {}");
    }
    for (payload, want) in [
        ("{\"x\": 1.0}", r#"{"data":{"x":1.0},"topic":"a/b"}"#),
        ("hello", r#"{"text":"hello","topic":"a/b"}"#),
    ] {
        w.publish(five, "a/b", payload, Qos::AtLeastOnce, 1);
        assert_eq!(shorts(&w.told(i)), [format!("$message {want}")], "once, though two filters match");
    }
    w.take(five);
    w.subscribe(five, "b/+", Qos::AtMostOnce);
    w.take(five);
    for (content, want) in [
        (r#""data": [1, 2.50]"#, "b/c=[1, 2.50]"),
        (r#""text": "h\u00e9"#, ""),
        (r#""base64": "aGk=""#, "b/c=hi"),
        (r#""text": "plain""#, "b/c=plain"),
    ] {
        w.tell(i, &format!(r#"{{"type":"$publish","id":"p","payload":{{"topic":"b/c",{content}}}}}"#));
        let told = w.told(i);
        if want.is_empty() {
            assert_eq!(short(&told[0]), "$error \"malformed\"");
            continue;
        }
        assert_eq!(shorts(&told), ["$ok ref=p {}"]);
        assert_eq!(w.take(five), [want]);
    }
    // Retained, and the end of a subscription.
    w.ask(i, r#"{"type":"$publish","id":"p","payload":{"topic":"kept","data":7,"retain":true}}"#);
    w.tell(i, r#"{"type":"$subscribe","id":"s","payload":{"topic":"kept"}}"#);
    assert_eq!(shorts(&w.told(i)), ["$ok ref=s {}", r#"$message {"data":7,"retain":true,"topic":"kept"}"#]);
    w.ask(i, r#"{"type":"$unsubscribe","id":"u","payload":{"topic":"kept"}}"#);
    w.publish(five, "kept", "8", Qos::AtMostOnce, 0);
    assert_eq!(w.told(i), Vec::<Value>::new());
}

#[test]
pub(super) fn jsn_14_pages_that_know_no_join() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let (b, _) = w.page();
    w.tell(b, r#"{"type":"chat.join","payload":{"user":"bob","room":"lobby"}}"#);
    let want = r#"chat.join room=lobby offset=1 {"room":"lobby","user":"bob"}"#;
    assert_eq!(shorts(&w.told(a)), [want]);
    assert_eq!(shorts(&w.told(b)), [want]);
    w.tell(b, r#"{"type":"chat.message","payload":{"user":"bob","room":"lobby","text":"hi"}}"#);
    w.tell(b, r#"{"type":"chat.leave","payload":{"user":"bob","room":"lobby"}}"#);
    w.tell(a, &say("later"));
    w.told(b);
    assert_eq!(w.told(a).len(), 4);
    w.tell(a, &say("2"));
    assert_eq!(w.told(b), Vec::<Value>::new());
}

/// Only members of the room say anything there.
struct Members;

impl Access for Members {
    fn decide(&self, _who: &Who<'_>, action: Action, subject: &str) -> Decision {
        let denied = action == Action::Publish && subject.starts_with("$room/");
        if denied || subject.ends_with("closed") { Decision::DENY } else { Decision::ALLOW }
    }
}

#[test]
pub(super) fn jsn_15_who_may_send_and_what_is_sent_once() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let first = w.ask_ack(a, &say("1"));
    let again = w.ask(a, &say("1"));
    assert_eq!(again["payload"]["duplicate"], true);
    assert_eq!(again["payload"]["id"], first["payload"]["id"]);
    assert_eq!((&first["payload"]["offset"], &again["payload"]["offset"]), (&json!(1), &json!(1)));
    let keyed = |id: &str| format!(r#"{{"type":"m","room":"lobby","id":"{id}","key":"k"}}"#);
    let first = w.ask_ack(a, &keyed("x"));
    assert_eq!(w.ask(a, &keyed("y"))["payload"]["id"], first["payload"]["id"]);
    // Whoever is no member speaks where the rules allow it, as nobody in particular.
    let (b, _) = w.page();
    w.told(a);
    assert_eq!(short(&w.ask(b, &say("9"))).split(' ').next(), Some("$ack"));
    let told = w.told(a);
    assert_eq!((&told[0]["from"], &told[0]["payload"]["text"]), (&Value::Null, &json!("9")));
    w.server.set_access(Box::new(Members));
    let (c, _) = w.page();
    assert_eq!(short(&w.ask(c, &say("9"))), "$error ref=9 room=lobby \"not_member\"");
    let join = JOIN.replace("lobby", "closed");
    assert_eq!(short(&w.ask(c, &join)), "$error ref=j room=closed \"denied\"");
    let history = r#"{"type":"$history","id":"h","room":"closed"}"#;
    assert_eq!(short(&w.ask(c, history)), "$error ref=h room=closed \"denied\"");
}

impl World {
    /// A page in a room sends there, and is told of its own message and that it was taken.
    fn ask_ack(&mut self, i: usize, text: &str) -> Value {
        self.tell(i, text);
        let told = self.told(i);
        let at = told.iter().position(|v| v["type"] == "$ack").unwrap_or_else(|| panic!("{told:?}"));
        told[at].clone()
    }
}

#[test]
pub(super) fn jsn_16_echo() {
    let mut w = world();
    let ((a, _), (b, _)) = (member(&mut w), member(&mut w));
    w.tell(a, r#"{"type":"m","room":"lobby"}"#);
    w.tell(a, r#"{"type":"n","room":"lobby","echo":false}"#);
    assert_eq!(shorts(&w.told(a)), ["m room=lobby offset=1 {}"]);
    assert_eq!(shorts(&w.told(b)), ["m room=lobby offset=1 {}", "n room=lobby offset=2 {}"]);
}

#[test]
pub(super) fn jsn_17_the_place_of_a_message() {
    let mut w = world();
    let ((a, from), (b, _)) = (member(&mut w), member(&mut w));
    let ack = w.ask_ack(a, r#"{"type":"m","room":"lobby","id":"1","key":"k","payload":{"n":0.10}}"#);
    let told = w.take(b);
    let id = "00001795000061500000";
    let epoch = ack["payload"]["epoch"].as_str().unwrap();
    assert_eq!(
        told,
        [format!(
            r#"{{"id":"{id}","kind":"event","ts":"2026-11-18T11:07:41Z","room":"lobby","offset":1,"epoch":"{epoch}","from":"{from}","key":"k","type":"m","payload":{{"n":0.10}}}}"#
        )]
    );
    assert_eq!((&ack["payload"]["id"], &ack["payload"]["offset"]), (&json!(id), &json!(1)));
    // In the same microsecond, and in another room.
    let ack = w.ask_ack(a, &say("2"));
    assert_eq!(ack["payload"]["id"], "00001795000061500001");
    let other = w.ask(a, r#"{"type":"m","room":"other","id":"3"}"#);
    assert_eq!(
        (&other["payload"]["id"], &other["payload"]["offset"]),
        (&json!("00001795000061500002"), &json!(1))
    );
}

#[test]
pub(super) fn jsn_18_what_is_ephemeral() {
    let mut w = world();
    let ((a, _), (b, _)) = (member(&mut w), member(&mut w));
    w.tell(a, r#"{"type":"cursor","kind":"ephemeral","room":"lobby","id":"1","payload":{"x":1}}"#);
    w.tell(a, r#"{"type":"chat.typing","room":"lobby","echo":false}"#);
    let told = w.told(b);
    assert_eq!(
        shorts(&told),
        [r#"cursor room=lobby ephemeral {"x":1}"#, "chat.typing room=lobby ephemeral {}"]
    );
    assert!(told.iter().all(|m| m["id"].is_null() && m["offset"].is_null() && m["ts"].is_null()));
    let history = w.ask(b, r#"{"type":"$history","id":"h","room":"lobby"}"#);
    assert_eq!(history["payload"]["messages"], json!([]));
}

#[test]
pub(super) fn jsn_19_joining_reads_back_without_a_gap() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let epoch = w.ask_ack(a, &say("1"))["payload"]["epoch"].clone();
    for n in 2..=5 {
        w.tell(a, &say(&n.to_string()));
    }
    let (b, _) = w.page();
    let join =
        |payload: Value| json!({"type": "$join", "id": "j", "room": "lobby", "payload": payload}).to_string();
    let offsets = |told: &[Value]| -> Vec<u64> { told.iter().filter_map(|m| m["offset"].as_u64()).collect() };
    w.tell(b, &join(json!({"history": 2})));
    let told = w.told(b);
    assert_eq!(offsets(&told), [4, 5]);
    assert_eq!((&told[0]["kind"], &told[2]["type"]), (&json!("history"), &json!("$joined")));
    assert_eq!((&told[2]["payload"]["offset"], &told[2]["payload"]["recovered"]), (&json!(5), &json!(false)));
    w.tell(a, &say("6"));
    assert_eq!(offsets(&w.told(b)), [6]);
    // A place that is known; one of another epoch; one that was never there.
    w.tell(b, &join(json!({"since": {"epoch": epoch, "offset": 3}})));
    let told = w.told(b);
    assert_eq!((offsets(&told), told[3]["payload"]["recovered"].clone()), (vec![4, 5, 6], json!(true)));
    for since in [
        json!({"epoch": "0".repeat(16), "offset": 3}),
        json!({"epoch": "?", "offset": 6}),
        json!({"epoch": epoch, "offset": 99}),
    ] {
        w.tell(b, &join(json!({"since": since})));
        let told = w.told(b);
        assert_eq!(offsets(&told), [1, 2, 3, 4, 5, 6]);
        assert_eq!(told[6]["payload"]["recovered"], false);
    }
    w.tell(b, &join(json!({"since": {"epoch": epoch, "offset": 6}})));
    let told = w.told(b);
    assert_eq!((told.len(), &told[0]["payload"]["recovered"]), (1, &json!(true)));
}

#[test]
pub(super) fn jsn_21_an_empty_room_is_forgotten() {
    let mut config = ServerConfig::default();
    config.hub.rooms[0].max_messages = 0;
    let mut w = World::new(config);
    let (a, _) = w.page();
    let epoch = w.ask(a, JOIN)["payload"]["epoch"].clone();
    w.ask(a, r#"{"type":"$leave","id":"l","room":"lobby"}"#);
    assert_eq!(w.server.hub().rooms().count(), 0);
    assert_ne!(w.ask(a, JOIN)["payload"]["epoch"], epoch);
    w.ask(a, &JOIN.replace("lobby", "b"));
    assert_eq!(short(&w.ask(a, r#"{"type":"$leave_all","id":"l"}"#)), "$ok ref=l {}");
    assert_eq!(w.server.hub().rooms().count(), 0);
}

#[test]
pub(super) fn jsn_22_history() {
    let mut config = ServerConfig::default();
    config.hub.rooms[0].max_bytes = 4 << 20;
    let mut w = World::new(config);
    let (a, _) = member(&mut w);
    let ids: Vec<Value> =
        (1..=5).map(|n| w.ask_ack(a, &say(&n.to_string()))["payload"]["id"].clone()).collect();
    let (b, _) = w.page();
    let mut ask = |payload: Value| {
        let text = json!({"type": "$history", "id": "h", "room": "lobby", "payload": payload}).to_string();
        let p = w.ask(b, &text)["payload"].clone();
        let texts = p["messages"].as_array().unwrap().iter().map(|m| m["payload"]["text"].as_str().unwrap());
        (texts.collect::<String>(), p["more"].as_bool().unwrap())
    };
    assert_eq!(ask(json!({})), ("54321".into(), false));
    assert_eq!(ask(json!({"limit": 2})), ("54".into(), true));
    assert_eq!(ask(json!({"limit": 2, "before": ids[3]})), ("32".into(), true));
    assert_eq!(ask(json!({"before": ids[1]})), ("1".into(), false));
    assert_eq!(ask(json!({"before": ids[0]})), (String::new(), false));
    assert_eq!(ask(json!({"limit": 2, "after": ids[1]})), ("34".into(), true));
    assert_eq!(ask(json!({"after": ids[3]})), ("5".into(), false));
    assert_eq!(ask(json!({"after": ids[4]})), (String::new(), false));
    assert_eq!(ask(json!({"limit": 0})), (String::new(), true));
    let none = w.ask(b, r#"{"type":"$history","id":"h","room":"nobody"}"#);
    assert_eq!(short(&none), r#"$history ref=h room=nobody {"messages":[],"more":false}"#);
    // Large ones come in parts, none is lost.
    let text = "x".repeat(60_000);
    for _ in 0..9 {
        w.tell(a, &say(&text).replace(&format!("\"id\":\"{text}\","), ""));
    }
    let page = w.ask(b, r#"{"type":"$history","id":"h","room":"lobby","payload":{"limit":1000}}"#);
    assert!(page["payload"]["messages"].as_array().unwrap().len() < 9);
    assert_eq!(page["payload"]["more"], true);
}

#[test]
pub(super) fn jsn_23_24_25_presence() {
    let mut w = world();
    let (a, session) = w.page();
    let join =
        r#"{"type":"$join","id":"j","room":"lobby","payload":{"presence":"full","data":{"name":"A"}}}"#;
    let joined = w.ask(a, join);
    let me = joined["payload"]["member"].as_str().unwrap().to_string();
    assert_ne!(me, session.id);
    assert_eq!(joined["payload"]["members"], json!([{"member": me, "data": {"name": "A"}}]));
    let (counter, _) = w.page();
    w.ask(counter, r#"{"type":"$join","id":"j","room":"lobby","payload":{"presence":"count"}}"#);
    w.advance(Duration::from_secs(1));
    w.told(a);
    w.told(counter);
    // Comes and goes between two tellings: not told.
    let (b, _) = member(&mut w);
    w.ask(b, r#"{"type":"$leave","id":"l","room":"lobby"}"#);
    let (c, c_member) = member(&mut w);
    w.ask(c, r#"{"type":"$presence","id":"p","room":"lobby","payload":{"data":[1, 2]}}"#);
    w.advance(Duration::from_millis(200));
    let told: Vec<Value> = w.told(a);
    let joined: Vec<&Value> = told.iter().flat_map(|m| m["payload"]["joined"].as_array().unwrap()).collect();
    assert!(joined.iter().any(|m| m["member"] == c_member.as_str()), "{told:?}");
    assert_eq!(told.last().unwrap()["payload"]["count"], 3);
    w.advance(Duration::from_secs(1));
    let told = w.told(counter);
    assert_eq!(short(told.last().unwrap()), r#"$presence room=lobby {"count":3}"#);
    // JSN-26: one that comes back within the grace time was never away; JSN-23: one that does not, leaves.
    w.told(a);
    w.cut(c);
    w.advance(Duration::from_secs(9));
    assert_eq!(w.told(a), Vec::<Value>::new());
    w.advance(Duration::from_secs(2));
    let told = w.told(a);
    assert_eq!(told.last().unwrap()["payload"]["left"], json!([c_member]));
    for _ in 0..3 {
        w.advance(Duration::from_secs(20));
    }
    let members = w.ask(a, r#"{"type":"$members","id":"m","room":"lobby"}"#);
    assert_eq!(members["payload"]["count"], 2);
    let none = w.ask(a, r#"{"type":"$members","id":"m","room":"nobody"}"#);
    assert_eq!(short(&none), r#"$members ref=m room=nobody {"count":0,"members":[]}"#);
}

#[test]
pub(super) fn requests_and_their_ends() {
    let mut w = world();
    let (a, _) = w.page();
    let ask = |topic: &str| {
        format!(
            r#"{{"type":"$request","id":"r","payload":{{"topic":"{topic}","data":{{"n":1}},"timeout_ms":500}}}}"#
        )
    };
    assert_eq!(short(&w.ask(a, &ask("nobody"))), "$error ref=r \"no_responder\"");
    let five = w.v5("five");
    w.subscribe(five, "calc", Qos::AtMostOnce);
    w.tell(a, &ask("calc"));
    let told = w.take(five);
    assert!(told[0].starts_with("calc={\"n\":1} ResponseTopic(\""), "{told:?}");
    let topic = told[0].split("ResponseTopic(\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    w.publish(five, &topic, "[2]", Qos::AtMostOnce, 0);
    assert_eq!(shorts(&w.told(a)), [r#"$response ref=r {"data":[2]}"#]);
    w.tell(a, &ask("calc"));
    w.advance(Duration::from_millis(500));
    assert_eq!(shorts(&w.told(a)), ["$error ref=r \"timeout\""]);
}

/// A subscriber of MQTT sees the room, and members see what it says there: as nobody's, whatever it
/// pretends.
#[test]
pub(super) fn a_room_in_other_dialects() {
    let mut w = world();
    let ((a, from), (b, _)) = (member(&mut w), member(&mut w));
    let (five, three) = (w.v5("five"), w.v3("three"));
    for i in [five, three] {
        w.subscribe(i, "$room/lobby", Qos::AtLeastOnce);
    }
    w.tell(a, &say("hi"));
    let event =
        format!(r#"$room/lobby={{"from":"{from}","type":"chat.message","payload":{{"text":"hi"}}}} q1#1"#);
    assert_eq!(w.take(three), core::slice::from_ref(&event));
    let content = "ContentType(\"application/vnd.bowline.event+json\")";
    assert_eq!(w.take(five), [format!("{event} {content}")]);
    let _ = [a, b].map(|i| w.told(i));
    for (payload, want) in [
        ("hello", r#"message room=lobby offset=2 {"text":"hello"}"#),
        (
            r#"{"type":"chat.message","payload":{"text":"me too"}}"#,
            r#"chat.message room=lobby offset=3 {"text":"me too"}"#,
        ),
        (
            "{\"type\":\"x\",\"payload\":{}},\"from\":\"y\"}",
            r#"message room=lobby offset=4 {"text":"{\"type\":\"x\",\"payload\":{}},\"from\":\"y\"}"}"#,
        ),
        (
            &format!(r#" {{"from":"{from}","type":"x","id":"1","epoch":"e","kind":"system"}}"#),
            "x room=lobby offset=5 {}",
        ),
    ] {
        w.publish(three, "$room/lobby", payload, Qos::AtMostOnce, 0);
        for i in [a, b] {
            let told = w.told(i);
            assert_eq!(shorts(&told), [want]);
            assert_eq!((&told[0]["from"], &told[0]["kind"]), (&Value::Null, &json!("event")));
        }
    }
    // As the server writes it, it is taken from nobody.
    w.take(five);
    let forged = format!(r#"{{"from":"{from}","type":"x","payload":{{}}}}"#);
    w.publish(five, "$room/lobby", &forged, Qos::AtLeastOnce, 7);
    assert_eq!(w.take(five), ["PUBACK 7 Not authorized"]);
    let text =
        format!(r#"{{"type":"$publish","id":"p","payload":{{"topic":"$room/lobby","data":{forged}}}}}"#);
    assert_eq!(short(&w.ask(b, &text)), "$error ref=p \"denied\"");
    assert_eq!(w.told(a), Vec::<Value>::new());
    let _ = Version::V311;
}

/// A member that subscribed to the room's topic too gets each message as both, and what is a member's in
/// order over a lost connection and a new join.
#[test]
pub(super) fn members_that_subscribe_too() {
    let mut w = world();
    let (a, _) = member(&mut w);
    let (b, session) = w.page();
    for text in [r#"{"type":"$subscribe","id":"s","payload":{"topic":"$room/#"}}"#, JOIN] {
        w.ask(b, text);
    }
    w.tell(a, &say("1"));
    let names = |told: &[Value]| -> Vec<String> { told.iter().map(|m| m["type"].to_string()).collect() };
    let mut both = names(&w.told(b));
    both.sort();
    assert_eq!(both, ["\"$message\"", "\"chat.message\""]);
    w.lines[b].stalled = true;
    for n in 2..=9 {
        w.tell(a, &say(&n.to_string()));
    }
    w.cut(b);
    w.tell(a, &say("10"));
    let (c, _) = w.page();
    w.tell(c, &session.auth());
    let offsets: Vec<u64> = w.told(c).iter().filter_map(|m| m["offset"].as_u64()).collect();
    assert!(offsets.windows(2).all(|w| w[0] < w[1]) && offsets.last() == Some(&10), "{offsets:?}");
    // What is queued when it joins again is read back, and comes once.
    w.lines[c].stalled = true;
    w.tell(a, &say("11"));
    w.tell(c, &JOIN.replace("\"id\"", "\"payload\":{\"history\":2},\"id\""));
    w.tell(a, &say("12"));
    w.lines[c].stalled = false;
    w.run();
    let offsets: Vec<u64> = w.told(c).iter().filter_map(|m| m["offset"].as_u64()).collect();
    assert_eq!(offsets[offsets.len() - 3..], [10, 11, 12], "{offsets:?}");
}

/// A message is encoded once, however many members there are.
#[test]
pub(super) fn many_members_cost_one_encoding() {
    let mut w = world();
    let pages: Vec<usize> = (0..50).map(|_| member(&mut w).0).collect();
    let before = w.server.encoded();
    for n in 0..10 {
        w.tell(pages[0], &format!(r#"{{"type":"m","room":"lobby","payload":{{"n":{n}}}}}"#));
    }
    for i in &pages {
        assert_eq!(w.told(*i).len(), 10);
    }
    assert_eq!(w.server.encoded() - before, 10);
}

/// A stalled page delays no other, and costs what its queue may hold.
#[test]
pub(super) fn a_page_that_takes_nothing() {
    let mut w = world();
    let ((a, _), (b, _)) = (member(&mut w), member(&mut w));
    w.lines[b].stalled = true;
    let text = "x".repeat(10_000);
    for n in 0..500 {
        w.tell(a, &format!(r#"{{"type":"m","room":"lobby","payload":{{"n":{n},"t":"{text}"}}}}"#));
        assert_eq!(w.told(a).len(), 1);
    }
    assert!(w.server.hub().counters().message_bytes < 6 << 20);
    w.lines[b].stalled = false;
    w.run();
    let told = w.told(b);
    let offsets: Vec<u64> = told.iter().filter_map(|m| m["offset"].as_u64()).collect();
    assert!(offsets.windows(2).all(|w| w[0] < w[1]) && offsets.last() == Some(&500), "{}", offsets.len());
}

/// What is acknowledged is kept first.
#[test]
pub(super) fn an_ack_waits_for_the_store() {
    let mut config = ServerConfig::default();
    config.hub.durable = true;
    config.hub.history = vec![crate::hub::HistoryOptions::new("$room/#")];
    let mut w = World::new(config);
    let (a, session) = w.page();
    w.ask(a, JOIN);
    w.commit();
    w.told(a);
    w.tell(a, &say("1"));
    assert_eq!(shorts(&w.told(a)), [r#"chat.message room=lobby offset=1 {"text":"1"}"#]);
    w.commit();
    let ack = w.told(a);
    assert_eq!(ack[0]["type"], "$ack");
    // After a restart the session is there, and what was said in the room.
    w.restart();
    let (b, _) = w.page();
    assert!(Session::of(&w.ask(b, &session.auth())).resumed);
    w.tell(
        b,
        &format!(
            r#"{{"type":"$join","id":"j","room":"lobby","payload":{{"since":{{"epoch":{},"offset":0}}}}}}"#,
            ack[0]["payload"]["epoch"]
        ),
    );
    let told = w.told(b);
    assert_eq!(
        (told.len(), &told[0]["payload"]["text"], &told[1]["payload"]["recovered"]),
        (2, &json!("1"), &json!(true))
    );
}
