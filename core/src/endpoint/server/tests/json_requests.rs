//! Typed JSON without WebSocket: a story for each rule of JSON.md §6.

use core::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use serde_json::{Value, json};

use super::json::{member, say, users, world};
use super::web::{Session, shorts};
use super::world::{Tongue, World};
use crate::buf::SharedSendBuf;
use crate::endpoint::server::{Anonymous, Carrier, Peer, ServerConfig, Users};

/// What a request was answered with.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.into()));
        Self { status, head: head.to_ascii_lowercase(), body }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn list(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        self.body.as_array().unwrap().clone()
    }

    fn cursor(&self) -> u64 {
        self.field("bowline-cursor").unwrap().parse().unwrap()
    }
}

impl World {
    fn http(&mut self) -> usize {
        let i = self.open(Peer::default(), Tongue::Http);
        self.lines[i].out = SharedSendBuf::new(1 << 20);
        i
    }

    /// Begins a request that may wait.
    fn begin(&mut self, i: usize, method: &str, target: &str, fields: &str, body: &str) {
        let length = if body.is_empty() && method != "POST" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{length}{fields}\r\n{body}");
        self.octets(i, text.as_bytes());
    }

    fn answered(&mut self, i: usize) -> Option<Answer> {
        let text = self.take(i).concat();
        (!text.is_empty()).then(|| Answer::parse(&text))
    }

    fn fetch(&mut self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        let i = self.http();
        self.begin(i, method, target, fields, body);
        let answer = self.answered(i).unwrap_or_else(|| panic!("{method} {target} waits"));
        self.cut(i);
        answer
    }

    fn session(&mut self) -> Session {
        let answer = self.fetch("POST", "/ws/session", "", "");
        assert_eq!(answer.status, 201, "{answer:?}");
        Session::of_payload(&answer.body)
    }

    /// Begins a poll.
    fn poll(&mut self, session: &Session, more: &str) -> usize {
        let i = self.http();
        self.begin(i, "GET", &format!("/ws/poll?session_id={}{more}", session.id), &secret(session), "");
        i
    }

    fn post(&mut self, session: &Session, message: &Value) -> Answer {
        let mut message = message.clone();
        message["session_id"] = session.id.clone().into();
        self.fetch("POST", "/ws/send", &secret(session), &message.to_string())
    }

    /// What a poll is answered at once.
    fn polled(&mut self, session: &Session, more: &str) -> (Vec<Value>, u64) {
        let i = self.poll(session, more);
        let answer = self.answered(i).expect("there is something");
        self.cut(i);
        (answer.list(), answer.cursor())
    }
}

fn secret(session: &Session) -> String {
    format!("Bowline-Secret: {}\r\n", session.secret)
}

fn join() -> Value {
    json!({"type": "$join", "id": "j", "room": "lobby"})
}

#[test]
fn a_poll_waits_until_there_is_something() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    let sent = w.post(&session, &join());
    assert_eq!(
        (sent.status, &sent.body["status"], &sent.body["session_id"]),
        (202, &json!("queued"), &json!(session.id))
    );
    let (list, cursor) = w.polled(&session, "");
    assert_eq!((list[0]["type"].clone(), &list[0]["ref"], cursor), (json!("$joined"), &json!("j"), 1));
    let i = w.poll(&session, "&after=1");
    assert!(w.answered(i).is_none());
    w.advance(Duration::from_secs(20));
    assert!(w.answered(i).is_none());
    w.tell(page, &say("hi"));
    let answer = w.answered(i).expect("at once");
    assert_eq!(shorts(&answer.list()), [r#"chat.message room=lobby offset=1 {"text":"hi"}"#]);
    assert_eq!(
        (answer.cursor(), answer.field("content-type"), answer.field("cache-control")),
        (2, Some("application/json"), Some("no-store"))
    );
    // Nothing for 25 s. The connection is used again.
    w.begin(i, "GET", &format!("/ws/poll?session_id={}&after=2", session.id), &secret(&session), "");
    w.advance(Duration::from_secs(24));
    assert!(w.answered(i).is_none());
    w.advance(Duration::from_secs(1));
    let answer = w.answered(i).unwrap();
    assert_eq!((answer.list().len(), answer.cursor()), (0, 2));
}

#[test]
fn what_a_cursor_does_not_cover_comes_again() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    w.post(&session, &join());
    w.polled(&session, "&after=0");
    for n in 2..=5 {
        w.tell(page, &say(&n.to_string()));
    }
    let texts = |list: &[Value]| -> Vec<String> {
        list.iter().map(|m| m["payload"]["text"].as_str().unwrap_or("$").to_string()).collect()
    };
    let (list, cursor) = w.polled(&session, "&after=1&max=2");
    assert_eq!((texts(&list), cursor), (vec!["2".into(), "3".into()], 3));
    // The answer was lost.
    assert_eq!(texts(&w.polled(&session, "&after=1").0), ["2", "3", "4", "5"]);
    assert_eq!(texts(&w.polled(&session, "&after=4").0), ["5"]);
    // What was covered is gone.
    assert_eq!(texts(&w.polled(&session, "&after=0").0), ["5"]);
    // Who names no cursor has what it was handed before.
    w.tell(page, &say("6"));
    assert_eq!(texts(&w.polled(&session, "").0), ["6"]);
    for bad in ["&after=x", "&max=-1"] {
        let i = w.poll(&session, bad);
        assert_eq!(w.answered(i).unwrap().status, 400);
    }
    let i = w.poll(&session, "&after=99999");
    assert!(w.answered(i).is_none(), "it has all that there is");
}

#[test]
fn jsn_28_pages_that_know_of_no_session() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let (i, k) = (w.http(), w.http());
    w.begin(i, "GET", "/ws/poll?session_id=room%3Alobby", "", "");
    w.begin(k, "GET", "/ws/poll?session_id=room:lobby&max=50", "", "");
    w.tell(page, &say("hi"));
    let answers = [i, k].map(|i| w.answered(i).unwrap());
    for answer in &answers {
        assert_eq!(
            shorts(&answer.list()),
            [r#"chat.message room=lobby offset=1 {"text":"hi"}"#],
            "each its own"
        );
    }
    let cookie = answers[0].field("set-cookie").unwrap();
    assert!(cookie.ends_with("; path=/ws; httponly; samesite=strict"));
    assert_ne!(answers[1].field("set-cookie").unwrap(), cookie);
    let cookie = format!("Cookie: a=b; {}\r\n", cookie.split(';').next().unwrap());
    // The same session goes on: what it sends comes from a member.
    let sent = w.fetch(
        "POST",
        "/ws/send",
        &cookie,
        r#"{"type":"chat.message","room":"lobby","payload":{"text":"me"}}"#,
    );
    assert_eq!((sent.status, &sent.body["session_id"]), (202, &json!("room:lobby")));
    let told = w.told(page);
    assert!(told.last().unwrap()["from"].is_string());
    w.begin(i, "GET", "/ws/poll?session_id=room:lobby", &cookie, "");
    assert_eq!(shorts(&w.answered(i).unwrap().list()), [r#"chat.message room=lobby offset=2 {"text":"me"}"#]);
    // Without one: a session that ends with the request.
    let sessions = w.server.hub().counters().sessions;
    let sent =
        w.fetch("POST", "/ws/send", "", r#"{"type":"chat.message","room":"lobby","payload":{"text":"?"}}"#);
    assert_eq!(sent.status, 202);
    let told = w.told(page);
    assert_eq!((&told[0]["payload"]["text"], &told[0]["from"]), (&json!("?"), &Value::Null));
    assert_eq!(w.server.hub().counters().sessions, sessions);
    let broadcast = w.http();
    w.begin(broadcast, "GET", "/ws/poll", "", "");
    let sent = w.fetch("POST", "/ws/send", "", r#"{"type":"x","room":"broadcast","session_id":"broadcast"}"#);
    assert_eq!(sent.body["session_id"], "broadcast");
    assert_eq!(shorts(&w.answered(broadcast).unwrap().list()), ["x room=broadcast offset=1 {}"]);
    assert_eq!(w.fetch("GET", "/ws/poll?session_id=room:a%2F%23", "", "").status, 400);
    assert_eq!(w.fetch("GET", "/ws/poll?session_id=room:", "", "").status, 400);
}

#[test]
fn jsn_29_bad_bodies() {
    let mut w = world();
    let before = w.server.connections();
    for (body, error) in [
        ("", "missing JSON body"),
        ("  \r\n", "missing JSON body"),
        ("{", "invalid JSON body"),
        ("\u{1}", "invalid JSON body"),
        ("[", "invalid JSON body"),
        ("7", "JSON body must be an object"),
        ("\"x\"", "JSON body must be an object"),
        ("[{\"type\":\"a\"},[]]", "JSON body must be an object"),
        ("{}", "missing 'type' field"),
        ("{\"type\":\"\"}", "missing 'type' field"),
        ("{\"type\":7}", "at octet 8: 'type' must be a string"),
        (&format!("{{\"type\":\"a\",\"payload\":{{\"x\":{}}}}}", "[".repeat(10_000)), "invalid JSON body"),
    ] {
        let answer = w.fetch("POST", "/ws/send", "", body);
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!(error)), "{body}");
    }
    let many = format!("[{}]", vec!["{\"type\":\"a\",\"room\":\"r\"}"; 65].join(","));
    assert_eq!(w.fetch("POST", "/ws/send", "", &many).status, 413);
    assert_eq!(w.fetch("POST", "/ws/session", "", "[]").status, 400);
    assert_eq!(w.fetch("POST", "/ws/session", "", "{\"user\":1}").status, 400);
    for (method, path) in [("GET", "/ws/send"), ("POST", "/ws/poll"), ("GET", "/ws/session")] {
        let answer = w.fetch(method, path, "", "");
        assert_eq!(answer.status, 405);
        assert!(answer.field("allow").is_some());
    }
    assert_eq!(w.server.connections(), before, "nothing is left behind");
}

#[test]
fn jsn_30_what_is_kept_and_for_how_long() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    w.post(&session, &join());
    w.polled(&session, "&after=0");
    for n in 0..400 {
        w.tell(page, &say(&format!("m{n}")));
    }
    w.told(page);
    // 256 here, the others in the hub; none is lost.
    let mut cursor = 1;
    let mut texts = Vec::new();
    while texts.len() < 400 {
        let (list, next) = w.polled(&session, &format!("&max=100&after={cursor}"));
        assert!(list.len() <= 100);
        texts.extend(list.iter().map(|m| m["payload"]["text"].as_str().unwrap().to_string()));
        cursor = next;
    }
    assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("m{n}")));
    // A second poll ends the first.
    let (a, b) =
        (w.poll(&session, &format!("&after={cursor}")), w.poll(&session, &format!("&after={cursor}")));
    assert_eq!(w.answered(a).unwrap().list().len(), 0);
    assert!(w.answered(b).is_none());
    w.cut(b);
    let connections = w.server.connections();
    for _ in 0..2 {
        w.advance(Duration::from_secs(29));
        w.ask(page, r#"{"type":"$ping","id":"p"}"#);
    }
    assert_eq!(w.server.connections(), connections);
    w.advance(Duration::from_secs(2));
    assert_eq!(w.server.connections(), connections - 1);
    let i = w.poll(&session, "");
    let answer = w.answered(i).unwrap();
    assert_eq!((answer.status, &answer.body["error"]), (404, &json!("no such session")));
    let members = w.ask(page, r#"{"type":"$members","id":"m","room":"lobby"}"#);
    assert_eq!(members["payload"]["count"], 1);
}

#[test]
fn jsn_31_everything_goes_by_send_and_sessions_move() {
    let mut w = world();
    let session = w.session();
    let batch = json!([
        {"type": "$join", "id": "1", "room": "lobby", "session_id": session.id},
        {"type": "chat.message", "id": "2", "room": "lobby", "key": "k", "echo": false},
        {"type": "$ping", "id": "3"},
        {"type": "$nothing", "id": "4"},
    ]);
    assert_eq!(w.fetch("POST", "/ws/send", &secret(&session), &batch.to_string()).status, 202);
    let (list, cursor) = w.polled(&session, "&after=0");
    let names: Vec<String> = list
        .iter()
        .map(|m| format!("{} {}", m["type"].as_str().unwrap(), m["ref"].as_str().unwrap()))
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, ["$ack 2", "$error 4", "$joined 1", "$pong 3"]);
    // To a WebSocket: the poll that waits sees it, the membership stays.
    let i = w.poll(&session, &format!("&after={cursor}"));
    let (page, _) = w.page();
    assert!(Session::of(&w.ask(page, &session.auth())).resumed);
    assert_eq!(w.answered(i).unwrap().list().len(), 0);
    let i = w.poll(&session, "");
    assert_eq!(w.answered(i).unwrap().status, 404);
    w.tell(page, &say("x"));
    assert_eq!(w.told(page).len(), 2);
    // And back.
    let body = json!({"session": session.id, "secret": session.secret}).to_string();
    let answer = w.fetch("POST", "/ws/session", "", &body);
    assert_eq!((answer.status, Session::of_payload(&answer.body).resumed), (201, true));
    assert_eq!(w.take(page), ["close 4409 the session goes on over another connection"]);
    w.post(&session, &json!({"type": "chat.message", "room": "lobby"}));
    let (list, _) = w.polled(&session, "");
    assert!(list[0]["from"].is_string());
    // `$bye`, and DELETE.
    w.post(&session, &json!({"type": "$bye"}));
    let i = w.poll(&session, "");
    assert_eq!(w.answered(i).unwrap().status, 404);
    let session = w.session();
    let target = format!("/ws/session?session_id={}", session.id);
    assert_eq!(w.fetch("DELETE", &target, &secret(&session), "").status, 204);
    assert_eq!(w.fetch("DELETE", &target, &secret(&session), "").status, 404);
}

#[test]
fn jsn_32_who_may() {
    let mut w = World::new(ServerConfig { users: users(), ..ServerConfig::default() });
    assert_eq!(w.fetch("POST", "/ws/session", "", "").status, 401);
    let wrong = w.fetch("POST", "/ws/session", "", r#"{"user":"ann","password":"no"}"#);
    assert_eq!((wrong.status, &wrong.body["error"]), (401, &json!("wrong credentials, or none")));
    assert_eq!(w.fetch("POST", "/ws/session", "Authorization: Bearer no\r\n", "").status, 401);
    assert_eq!(w.fetch("GET", "/ws/poll?session_id=room:lobby", "", "").status, 401);
    assert_eq!(w.fetch("POST", "/ws/send", "", r#"{"type":"a","room":"r"}"#).status, 401);
    let answer = w.fetch("POST", "/ws/session", "", r#"{"user":"ann","password":"secret"}"#);
    let ann = Session::of_payload(&answer.body);
    assert_eq!(answer.body["user"], "ann");
    let answer = w.fetch("POST", "/ws/session", "Authorization: Basic Ym9iOm90aGVy\r\n", "");
    let bob = Session::of_payload(&answer.body);
    // Its own secret, and nobody else's; with somebody else's name neither.
    let asks = |w: &mut World, id: &str, fields: &str| {
        let i = w.http();
        w.begin(i, "GET", &format!("/ws/poll?session_id={id}"), fields, "");
        let answer = w.answered(i);
        w.cut(i);
        answer.map(|a| (a.status, a.body["error"].as_str().unwrap_or_default().to_string()))
    };
    assert_eq!(asks(&mut w, &ann.id, &secret(&ann)), None);
    let not_yours = Some((403, String::from("not your session")));
    assert_eq!(asks(&mut w, &ann.id, &secret(&bob)), not_yours);
    assert_eq!(asks(&mut w, &ann.id, ""), not_yours);
    let both = format!("{}Authorization: Basic Ym9iOm90aGVy\r\n", secret(&ann));
    assert_eq!(asks(&mut w, &ann.id, &both), not_yours);
    let unknown = Some((404, String::from("no such session")));
    assert_eq!(asks(&mut w, &"0".repeat(32), &secret(&ann)), unknown);
    assert_eq!(asks(&mut w, "x", &secret(&ann)), unknown);
    let stolen = json!({"session": ann.id, "secret": bob.secret, "user": "ann", "password": "secret"});
    assert_eq!(w.fetch("POST", "/ws/session", "", &stolen.to_string()).status, 403);
    let message = json!({"type": "$ping", "session_id": ann.id}).to_string();
    assert_eq!(w.fetch("POST", "/ws/send", &secret(&bob), &message).status, 403);
    // A token before it ends, and a password, by `$auth`.
    let auth = json!({"type": "$auth", "id": "a", "payload": {"user": "ann", "password": "secret"}});
    assert_eq!(w.post(&ann, &auth).status, 202);
    assert_eq!(shorts(&w.polled(&ann, "").0), ["$ok ref=a {}"]);
}

#[test]
fn jsn_32_other_origins() {
    let mut config = ServerConfig::default();
    config.http.origins = crate::endpoint::server::Origins::Listed(vec!["https://a.example".into()]);
    let mut w = World::new(config);
    let answer = w.fetch("POST", "/ws/session", "Origin: https://evil.example\r\n", "");
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (403, None));
    let answer = w.fetch("POST", "/ws/session", "Origin: https://a.example\r\n", "");
    assert_eq!(
        (answer.status, answer.field("access-control-allow-origin")),
        (201, Some("https://a.example"))
    );
    assert_eq!(answer.field("access-control-expose-headers"), Some("bowline-cursor, retry-after"));
    let preflight = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = w.fetch("OPTIONS", "/ws/send", preflight, "");
    assert_eq!(answer.status, 204);
    assert!(answer.field("access-control-allow-headers").unwrap().contains("bowline-secret"));
}

#[test]
fn jsn_32_a_drain_and_too_many() {
    let config = ServerConfig { max_connections: 4, ..ServerConfig::default() };
    let mut w = World::new(config);
    let session = w.session();
    let i = w.poll(&session, "");
    w.session();
    let answer = w.fetch("POST", "/ws/session", "", "");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("5")));
    w.server.drain(w.now, Duration::from_secs(10), Duration::from_secs(2), "");
    w.run();
    let answer = w.answered(i).unwrap();
    assert_eq!(answer.list()[0]["type"], "$drain");
    w.cut(i);
    w.run();
    assert!(w.server.is_drained(), "{}", w.server.connections());
    let mut config = ServerConfig { users: Users::new(Anonymous::Always), ..ServerConfig::default() };
    config.max_per_address = 2;
    let mut w = World::new(config);
    let peer = Peer { address: Some([192, 0, 2, 1].into()), ..Peer::default() };
    let i = w.open(peer, Tongue::Http);
    w.begin(i, "POST", "/ws/session", "", "");
    assert_eq!(w.answered(i).unwrap().status, 201);
    w.begin(i, "POST", "/ws/session", "", "");
    let answer = w.answered(i).unwrap();
    assert_eq!((answer.status, &answer.body["retry_after_ms"]), (429, &json!(5000)));
}

#[test]
fn events_stream() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    w.post(&session, &join());
    let i = w.http();
    let target = format!("/ws/events?session_id={}", session.id);
    w.begin(i, "GET", &target, &secret(&session), "");
    let text = w.take(i).concat();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"));
    assert!(body.contains("id: 1\ndata: {\"kind\":\"system\",\"type\":\"$joined\""), "{body}");
    w.tell(page, "{\"type\":\"m\",\"room\":\"lobby\",\"payload\":{\n\"a\":1,\r\n\"b\":2}}");
    let text = w.take(i).concat();
    assert!(text.contains("\"payload\":{\ndata: \"a\":1,\ndata: \ndata: \"b\":2}}\n\n"), "{text}");
    // It says that it is there.
    w.advance(Duration::from_secs(15));
    assert_eq!(w.take(i).concat(), "3\r\n:\n\n\r\n");
    for _ in 0..10 {
        w.advance(Duration::from_secs(15));
    }
    w.cut(i);
    // What was under way when the connection broke comes again.
    let i = w.http();
    w.begin(i, "GET", &target, &format!("{}Last-Event-ID: 1\r\n", secret(&session)), "");
    let text = w.take(i).concat();
    assert!(text.contains("id: 2\ndata: ") && !text.contains("id: 1\n"), "{text}");
    // A stream is not held up by what it has been handed.
    for n in 0..600 {
        w.tell(page, &say(&format!("m{n}")));
        assert_eq!(w.take(i).concat().matches("id: ").count(), 1);
    }
    // The session goes elsewhere: the stream ends.
    let (other, _) = w.page();
    w.ask(other, &session.auth());
    assert!(w.take(i).concat().ends_with("0\r\n\r\n"));
}

#[test]
fn who_does_not_read_loses_its_place_not_the_server_its_memory() {
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    w.post(&session, &join());
    let text = "x".repeat(100_000);
    for n in 0..200 {
        w.tell(page, &format!(r#"{{"type":"m","room":"lobby","payload":{{"n":{n},"t":"{text}"}}}}"#));
        w.told(page);
    }
    assert!(w.server.hub().counters().message_bytes < 10 << 20);
    let mut cursor = 0;
    let mut offsets = Vec::new();
    loop {
        let i = w.poll(&session, &format!("&after={cursor}"));
        let Some(answer) = w.answered(i) else { break };
        assert!(answer.body.to_string().len() < 1 << 20);
        offsets.extend(answer.list().iter().filter_map(|m| m["offset"].as_u64()));
        cursor = answer.cursor();
        w.cut(i);
    }
    assert!(offsets.windows(2).all(|w| w[0] < w[1]) && offsets.last() == Some(&200));
}

#[test]
fn an_administrator_disconnects_who_polls_too() {
    for forget in [false, true] {
        let mut w = world();
        let session = w.session();
        let waiting = w.poll(&session, "");
        assert!(w.answered(waiting).is_none(), "it waits");
        let mut shown = None;
        w.server.inspect_clients(0, 10, |client| {
            shown = Some((client.session.key.number(), client.connection.map(|c| c.carrier)));
            true
        });
        let (number, carrier) = shown.expect("it is shown");
        assert_eq!(carrier, Some(Carrier::Poll));
        assert!(w.server.expel(w.now, number, forget));
        w.run();
        let told = w.answered(waiting).expect("it is told").list();
        assert_eq!(shorts(&told), ["$error \"denied\""]);
        assert_eq!(w.server.inspect_client(number).is_none(), forget);
        let again = w.poll(&session, "");
        assert_eq!(w.answered(again).map(|answer| answer.status), Some(404), "it has to begin anew");
    }
}

/// Of a `POST`, the field of HTTP counts where a message names no trace itself (JSN-33).
#[test]
fn jsn_33_a_trace_comes_with_a_post() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut w = world();
    let (page, _) = member(&mut w);
    let session = w.session();
    w.post(&session, &join());
    w.told(page);
    let other = TRACE.replace("0af7", "1af7");
    let message = |more: Value| {
        let mut message = json!({"type": "x", "room": "lobby", "session_id": session.id});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let body = json!([message(json!({})), message(json!({"traceparent": other}))]).to_string();
    let fields = format!("{}traceparent: {TRACE}\r\nTraceState: a=b\r\n", secret(&session));
    assert_eq!(w.fetch("POST", "/ws/send", &fields, &body).status, 202);
    let traces = |list: &[Value]| -> Vec<(Value, Value)> {
        let of_type = list.iter().filter(|told| told["type"] == "x");
        of_type.map(|told| (told["traceparent"].clone(), told["tracestate"].clone())).collect()
    };
    let wanted = [(json!(TRACE), json!("a=b")), (json!(other), json!(null))];
    assert_eq!(traces(&w.told(page)), wanted);
    // Who polls is told in the same words.
    assert_eq!(traces(&w.polled(&session, "").0), wanted);
    // Without a session of its own likewise.
    let fields = format!("traceparent: {TRACE}\r\n");
    let body = r#"{"type": "x", "room": "lobby"}"#;
    assert_eq!(w.fetch("POST", "/ws/send", &fields, body).status, 202);
    assert_eq!(traces(&w.told(page)), [(json!(TRACE), json!(null))]);
}
