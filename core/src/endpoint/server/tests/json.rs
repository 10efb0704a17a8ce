//! Typed JSON: a story for each rule of JSON.md about messages and sessions.

use core::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use serde_json::{Value, json};

use super::web::{Session, short, shorts};
use super::world::World;
use crate::endpoint::server::{Anonymous, Dialect, PasswordCheck, Peer, ServerConfig, ServerEvent, Users};
use crate::mqtt::Qos;
use crate::session::Code;
use crate::websocket::CloseCode;

pub(super) const JOIN: &str = r#"{"type":"$join","id":"j","room":"lobby"}"#;

pub(super) fn world() -> World {
    let mut w = World::new(ServerConfig { name: "bowline".into(), ..ServerConfig::default() });
    w.server.set_calendar(w.now, 1_795_000_061_500);
    w
}

/// A page in the room, with the members' name of it.
pub(super) fn member(w: &mut World) -> (usize, String) {
    let (i, _) = w.page();
    let joined = w.ask(i, JOIN);
    (i, joined["payload"]["member"].as_str().unwrap().into())
}

pub(super) fn say(text: &str) -> String {
    format!(r#"{{"type":"chat.message","room":"lobby","id":"{text}","payload":{{"text":"{text}"}}}}"#)
}

#[test]
pub(super) fn jsn_1_binary_is_refused() {
    let mut w = world();
    let (i, _) = w.page();
    w.with_layer(i, |layer, now, out| layer.send_binary(now, out, b"{}").unwrap());
    assert_eq!(w.take(i), ["close 1003 only text messages are spoken here"]);
}

#[test]
pub(super) fn jsn_1_what_is_too_large_is_refused() {
    let mut config = ServerConfig::default();
    config.http.websocket.max_message = 1000;
    let mut w = World::new(config);
    let (i, _) = w.page();
    let text = format!("{{\"type\":\"a\",\"payload\":{{\"x\":\"{}\"}}}}", "x".repeat(1000));
    w.tell(i, &text);
    assert!(w.take(i)[0].starts_with("close 1009 "));
}

#[test]
pub(super) fn jsn_2_a_fault_is_answered_and_sixteen_in_a_row_are_the_end() {
    let mut w = world();
    let (i, _) = w.page();
    let told = w.ask(i, "{\"id\":\"7\",\"type\":\"a\",\"room\":1}");
    assert_eq!(told["ref"], "7");
    assert_eq!(told["payload"]["message"], "at octet 28: 'room' must be a string");
    for _ in 0..14 {
        assert_eq!(short(&w.ask(i, "no")), "$error \"malformed\"");
    }
    assert_eq!(short(&w.ask(i, r#"{"type":"$ping","id":"p"}"#)), "$pong ref=p {}");
    for _ in 0..15 {
        w.tell(i, "[]");
    }
    assert_eq!(w.told(i).len(), 15);
    w.tell(i, "[]");
    let told = w.told(i);
    assert_eq!(short(&told[0]), "$error \"malformed\"");
    assert_eq!(told[1], "close 1008 too many messages in a row that cannot be read");
}

#[test]
pub(super) fn jsn_4_unknown_types_are_no_faults() {
    let mut w = world();
    let (i, _) = w.page();
    for _ in 0..20 {
        assert_eq!(short(&w.ask(i, r#"{"type":"$nothing","id":"1"}"#)), "$error ref=1 \"unknown_type\"");
        assert_eq!(short(&w.ask(i, r#"{"type":""}"#)), "$error \"unknown_type\"");
    }
}

#[test]
pub(super) fn jsn_5_types_without_a_room_go_to_the_application_where_that_is_allowed() {
    let mut w = world();
    let (i, _) = w.page();
    assert_eq!(short(&w.ask(i, r#"{"type":"score.add","id":"1"}"#)), "$error ref=1 \"denied\"");
    let mut config = ServerConfig::default();
    config.json.types = true;
    let mut w = World::new(config);
    let app = w.v5("app");
    w.subscribe(app, "$type/#", Qos::AtMostOnce);
    let (i, _) = w.page();
    let told = w.ask(i, r#"{"type":"score.add","id":"1","payload":{"n": 1.50}}"#);
    assert_eq!(short(&told), r#"$ack ref=1 {"duplicate":false}"#);
    assert_eq!(w.take(app), [r#"$type/score.add={"n": 1.50}"#]);
    assert_eq!(short(&w.ask(i, r#"{"type":"a/+","id":"2"}"#)), "$error ref=2 \"malformed\"");
}

#[test]
pub(super) fn jsn_6_the_server_speaks_first() {
    let mut w = world();
    let i = w.open_page(Peer::default(), "");
    let told = w.told(i);
    let p = &told[0]["payload"];
    assert_eq!((&told[0]["kind"], &told[0]["type"]), (&json!("system"), &json!("$welcome")));
    assert_eq!(p["resumed"], false);
    assert_eq!((&p["auth"], &p["server"], &p["ping_ms"]), (&json!(false), &json!("bowline"), &json!(30_000)));
    assert_eq!((&p["max_message"], &p["batch"]), (&json!(1 << 20), &json!(64)));
    let opened = w.events().into_iter().any(|e| {
        matches!(e, ServerEvent::Opened { dialect: Dialect::Json, resumed: false, session: Some(_), .. })
    });
    assert!(opened);
    // Where one has to say who he is.
    let mut w = World::new(ServerConfig { users: users(), ..ServerConfig::default() });
    let i = w.open_page(Peer::default(), "");
    let told = w.told(i);
    assert_eq!(shorts(&told), [r#"$challenge {"methods":["password","token"]}"#]);
}

/// A hash is the password.
struct Plain;

impl PasswordCheck for Plain {
    fn check(&self, hash: &str, password: &[u8]) -> bool {
        hash.as_bytes() == password
    }

    fn cost<'a>(&self, _hash: &'a str) -> &'a str {
        ""
    }
}

pub(super) fn users() -> Users {
    let mut users = Users::new(Anonymous::Never);
    users.set_check(Arc::new(Plain));
    users.add_hash("ann", "secret");
    users.add_hash("bob", "other");
    users.add_token(b"t0ken", "ann");
    users
}

const ANN: &str = r#"{"type":"$auth","id":"a","payload":{"user":"ann","password":"secret"}}"#;
const BOB: &str = r#"{"type":"$auth","id":"a","payload":{"user":"bob","password":"other"}}"#;
const TOKEN: &str = r#"{"type":"$auth","id":"a","payload":{"token":"t0ken"}}"#;

#[test]
pub(super) fn jsn_7_who_it_is() {
    let mut w = World::new(ServerConfig { users: users(), ..ServerConfig::default() });
    for said in [ANN, TOKEN] {
        let i = w.open_page(Peer::default(), "");
        w.told(i);
        let welcome = w.ask(i, said);
        assert_eq!((&welcome["ref"], &welcome["payload"]["user"]), (&json!("a"), &json!("ann")));
        assert_eq!(welcome["payload"]["auth"], true);
        // The same user again: nothing else changes. Another: no.
        assert_eq!(short(&w.ask(i, TOKEN)), "$ok ref=a {}");
        assert_eq!(short(&w.ask(i, BOB)), "$error ref=a \"denied\"");
        assert_eq!(short(&w.ask(i, r#"{"type":"$ping","id":"p"}"#)), "$pong ref=p {}");
    }
    // Credentials of the request.
    for fields in ["Authorization: Bearer t0ken\r\n", "Authorization: Basic YW5uOnNlY3JldA==\r\n"] {
        let i = w.open_page(Peer::default(), fields);
        let told = w.told(i);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["payload"]["user"], "ann");
    }
    let i = w.open_page(Peer::default(), "Authorization: Bearer wrong\r\n");
    let told = w.told(i);
    assert_eq!(shorts(&told)[0], "$error \"unauthorized\"");
    assert_eq!(told[1]["type"], "$challenge");
    assert_eq!(short(&w.ask(i, &ANN.replace("secret", "no"))), "$error ref=a \"unauthorized\"");
    w.tell(i, &TOKEN.replace("t0ken", "no"));
    let told = w.told(i);
    assert_eq!(short(&told[0]), "$error ref=a \"unauthorized\"");
    assert_eq!(told[1], "close 4401 too many wrong credentials");
}

#[test]
pub(super) fn jsn_7_a_session_goes_on_with_its_rooms_and_what_waits() {
    let mut w = world();
    let (a, session) = w.page();
    let member = w.ask(a, JOIN)["payload"]["member"].clone();
    w.ask(a, r#"{"type":"$subscribe","id":"s","payload":{"topic":"news/#"}}"#);
    w.cut(a);
    let (b, _) = self::member(&mut w);
    w.tell(b, &say("1"));
    let five = w.v5("five");
    w.publish(five, "news/x", "hello", Qos::AtLeastOnce, 1);
    w.told(b);
    // `$auth` crosses the welcome to a session that nobody wants.
    let i = w.open_page(Peer::default(), "");
    w.tell(i, &session.auth());
    let told = w.told(i);
    assert!(!Session::of(&told[0]).resumed);
    let again = Session::of(&told[1]);
    assert_eq!((&again.id, again.resumed, &told[1]["ref"]), (&session.id, true, &json!("auth")));
    let rest: Vec<Value> = told[2..].to_vec();
    let rest = shorts(&rest);
    assert!(rest.contains(&r#"chat.message room=lobby offset=1 {"text":"1"}"#.to_string()), "{rest:?}");
    assert!(rest.contains(&r#"$message {"text":"hello","topic":"news/x"}"#.to_string()), "{rest:?}");
    // The same member as before, and joining again keeps that (JSN-20).
    w.tell(i, r#"{"type":"$join","id":"j","room":"lobby","payload":{"history":9}}"#);
    let told = w.told(i);
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["kind"], &told[1]["payload"]["member"]), (&json!("history"), &member));
}

#[test]
pub(super) fn jsn_7_what_resumes_nothing() {
    let mut w = world();
    let (_, session) = w.page();
    // Not known: no error.
    let (i, own) = w.page();
    let unknown = Session { id: "0".repeat(32), ..session.clone() };
    let told = w.ask(i, &unknown.auth());
    assert_eq!((Session::of(&told).id, told["payload"]["resumed"].clone()), (own.id.clone(), json!(false)));
    for id in ["", "x", "é"] {
        let told = w.ask(i, &Session { id: id.into(), ..session.clone() }.auth());
        assert_eq!(Session::of(&told).id, own.id);
    }
    // Its own: it goes on.
    assert!(Session::of(&w.ask(i, &own.auth())).resumed);
    // Somebody's, with a wrong secret.
    let wrong = Session { secret: own.secret.clone(), ..session.clone() };
    for _ in 0..2 {
        assert_eq!(short(&w.ask(i, &wrong.auth())), "$error ref=auth \"unauthorized\"");
    }
    w.tell(i, &wrong.auth());
    assert_eq!(w.told(i)[1], "close 4401 too many wrong credentials");
    // Another user's, with the right one.
    let mut w = World::new(ServerConfig { users: users(), ..ServerConfig::default() });
    let ann = w.open_page(Peer::default(), "Authorization: Bearer t0ken\r\n");
    let session = Session::of(&w.told(ann)[0]);
    let bob = w.open_page(Peer::default(), "Authorization: Basic Ym9iOm90aGVy\r\n");
    w.told(bob);
    assert_eq!(short(&w.ask(bob, &session.auth())), "$error ref=auth \"unauthorized\"");
}

#[test]
pub(super) fn jsn_7_the_last_connection_counts() {
    let mut w = world();
    let (a, session) = w.page();
    let (b, _) = w.page();
    assert!(Session::of(&w.ask(b, &session.auth())).resumed);
    assert_eq!(w.take(a), ["close 4409 the session goes on over another connection"]);
    w.cut(a);
    assert_eq!(short(&w.ask(b, JOIN)).split(' ').next(), Some("$joined"));
}

#[test]
pub(super) fn jsn_8_nothing_before_it_is_known_and_not_for_ever() {
    let mut w = World::new(ServerConfig { users: users(), ..ServerConfig::default() });
    let i = w.open_page(Peer::default(), "");
    w.told(i);
    for text in [JOIN, r#"{"type":"$ping","id":"1"}"#, r#"{"type":"a","room":"r"}"#] {
        assert!(short(&w.ask(i, text)).ends_with("\"unauthorized\""), "{text}");
    }
    w.advance(Duration::from_secs(30));
    assert_eq!(w.take(i), ["close 4401 you did not say in time who you are"]);
}

#[test]
pub(super) fn jsn_9_how_long_a_session_stays() {
    let mut w = world();
    let resumes = |w: &mut World, session: &Session| {
        let (i, _) = w.page();
        Session::of(&w.ask(i, &session.auth())).resumed
    };
    let (a, session) = w.page();
    w.cut(a);
    w.advance(Duration::from_secs(59));
    assert!(resumes(&mut w, &session));
    let (a, session) = w.page();
    w.cut(a);
    w.advance(Duration::from_secs(60));
    assert!(!resumes(&mut w, &session));
    let (a, session) = w.page();
    w.tell(a, r#"{"type":"$bye"}"#);
    assert_eq!(w.take(a), ["close 1000 "]);
    assert!(!resumes(&mut w, &session));
    let (a, session) = w.page();
    w.with_layer(a, |layer, now, _| layer.close(now, CloseCode::NORMAL, ""));
    assert!(!resumes(&mut w, &session));
    let (a, session) = w.page();
    w.with_layer(a, |layer, now, _| layer.close(now, CloseCode::GOING_AWAY, ""));
    assert!(resumes(&mut w, &session));
}

#[test]
pub(super) fn jsn_10_the_servers_own_ping_keeps_a_page_alive() {
    let mut w = world();
    let (i, _) = w.page();
    for _ in 0..10 {
        w.advance(Duration::from_secs(30));
    }
    assert_eq!(short(&w.ask(i, r#"{"type":"$ping","id":"1"}"#)), "$pong ref=1 {}");
    w.lines[i].stalled = true;
    w.events();
    w.advance(Duration::from_secs(30));
    w.advance(Duration::from_secs(15));
    let is_silence =
        |e: &ServerEvent| matches!(e, ServerEvent::Closed { code: Some(Code::KeepaliveTimeout), .. });
    assert!(w.events().iter().any(is_silence), "silence is no malformed message");
    w.lines[i].stalled = false;
    w.run();
    assert!(w.take(i).last().unwrap().starts_with("close "));
}

#[test]
pub(super) fn jsn_11_a_drain_says_when_to_come_back() {
    let mut w = world();
    let pages: Vec<usize> = (0..8).map(|_| w.page().0).collect();
    w.server.drain(w.now, Duration::from_secs(10), Duration::from_secs(5), "wss://elsewhere/ws");
    w.run();
    let mut waits = Vec::new();
    for i in pages {
        let told = w.told(i);
        assert_eq!(told[0]["payload"]["endpoint"], "wss://elsewhere/ws");
        let wait = told[0]["payload"]["retry_after_ms"].as_u64().unwrap();
        assert!((5000..=10_000).contains(&wait));
        waits.push(wait);
        assert_eq!(told[1], "close 1012 the server restarts");
    }
    waits.dedup();
    assert!(waits.len() > 1, "not all at once");
}

#[test]
pub(super) fn jsn_12_errors_say_when_to_try_again() {
    let mut config = ServerConfig::default();
    config.hub.rooms[0].session_rate = Some(crate::hub::RoomRate { per_second: 1, burst: 1 });
    let mut w = World::new(config);
    let (i, _) = member(&mut w);
    w.tell(i, &say("1"));
    w.told(i);
    let told = w.ask(i, &say("2"));
    assert_eq!(short(&told), "$error ref=2 room=lobby \"rate_limited\"");
    assert!((1..=1000).contains(&told["payload"]["retry_after_ms"].as_u64().unwrap()));
    for (room, code) in
        [("", "bad_room"), ("a/+", "bad_room"), ("#", "bad_room"), (&"x".repeat(129), "bad_room")]
    {
        let text = format!(r#"{{"type":"$join","id":"j","room":"{room}"}}"#);
        assert_eq!(w.ask(i, &text)["payload"]["code"], code);
        let text = format!(r#"{{"type":"a","id":"j","room":"{room}"}}"#);
        assert_eq!(w.ask(i, &text)["payload"]["code"], code);
    }
}
