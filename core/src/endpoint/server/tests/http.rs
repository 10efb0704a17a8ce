//! Requests of HTTP, and WebSockets that are opened by them.

use core::time::Duration;

use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::world::{World, over_websocket};
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::endpoint::server::{
    Anonymous, ConnectionKey, Dialect, HttpConfig, HttpRequest, HttpResponse, Origins, Peer, Server,
    ServerConfig, ServerEvent, Users,
};
use crate::entropy::Seeded;
use crate::http::StatusCode;
use crate::lifecycle::Transport;
use crate::mqtt::Qos;
use crate::scram::{Credential, MIN_ITERATIONS};
use crate::session::Code;
use crate::time::{Instant, Why};

/// A line that is not read but looked at.
pub(super) struct Line {
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) key: ConnectionKey,
    pub(super) input: GrowingRecvBuf,
    pub(super) out: SharedSendBuf,
    /// All that was sent.
    pub(super) sent: Vec<u8>,
    pub(super) transport: Transport,
}

impl Line {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self::of(Peer::default(), config)
    }

    fn of(peer: Peer, config: ServerConfig) -> Self {
        let now = Instant::from_millis(1);
        let mut server = Server::new(config, Box::new(Seeded::new(7)));
        let key = server.accept(now, peer).unwrap();
        let (input, out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(4096));
        Line { now, server, key, input, out, sent: Vec::new(), transport: Transport::Open }
    }

    pub(super) fn send(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        let octets = octets.as_ref();
        assert_eq!(self.input.push(octets), octets.len());
        self.run()
    }

    pub(super) fn run(&mut self) -> &mut Self {
        for _ in 0..1000 {
            let waiting = self.input.filled().len();
            self.server.recv(self.now, self.key, &mut self.input, &mut self.out);
            if let Some(work) = self.server.poll_verification(self.key) {
                self.server.verified(self.now, self.key, work.run(), &mut self.out);
            }
            while self.server.poll_ready().is_some() {}
            self.transport = self.server.poll_transmit(self.now, self.key, &mut self.out);
            let before = self.sent.len();
            self.sent.extend(self.out.slices().flatten());
            self.out.sent(usize::MAX);
            if before == self.sent.len() && waiting == self.input.filled().len() {
                return self;
            }
        }
        panic!("it does not come to rest");
    }

    pub(super) fn take(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.sent)).unwrap()
    }

    pub(super) fn asked(&mut self) -> Option<HttpRequest> {
        self.server.poll_request(self.key)
    }

    pub(super) fn respond(&mut self, response: HttpResponse) -> &mut Self {
        self.server.respond(self.key, response);
        self.run()
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Instant::from_millis(ms);
        self.server.handle_timeout(self.now, self.key);
        self.run()
    }
}

pub(super) fn handled() -> ServerConfig {
    ServerConfig { http: HttpConfig { handled: true, ..HttpConfig::default() }, ..ServerConfig::default() }
}

pub(super) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost:7790\r\n{fields}\r\n")
}

/// A request that opens a WebSocket, with these fields beside.
fn opening(fields: &str) -> String {
    let fields = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{fields}"
    );
    get("/", &fields)
}

const MQTT: &str = "Sec-WebSocket-Protocol: x, mqttv3.1, mqtt\r\n";

#[test]
fn without_an_adapter_nothing_is_there() {
    let mut line = Line::new(ServerConfig::default());
    let answer = line.send(get("/a", "")).take();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(answer.ends_with("404 Not Found: there is nothing of that name here\n"), "{answer}");
    assert_eq!((line.transport, line.asked().is_none()), (Transport::Open, true));
    // What has a body ends the connection, for nobody wants to read it.
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    let answer = line.send(post).take();
    assert!(answer.contains(" 404 ") && answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(line.transport, Transport::Shut);
}

#[test]
fn the_adapter_is_asked_and_its_answers_go_out_in_order() {
    let mut line = Line::new(handled());
    line.server.set_calendar(Instant::from_millis(1), 784_111_777_000);
    let first = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Y: z\r\nX-Bad: \u{e9}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    line.send([first.as_bytes(), get("/2", "Connection: close\r\n").as_bytes()].concat());
    let asked = line.asked().unwrap();
    assert_eq!((&*asked.method, &*asked.path, asked.query.as_deref()), ("POST", "/a", Some("b=c")));
    assert_eq!(
        (&asked.body[..], asked.header("x-y"), asked.identity.as_deref()),
        (&b"hi"[..], Some("z"), Some(""))
    );
    assert!(line.asked().is_none() && line.run().sent.is_empty(), "the second one waits");
    let answer = HttpResponse::new(StatusCode::OK, "text/plain", "one").with("x-q", "r");
    let answer = line.respond(answer).take();
    let want = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: text/plain\r\nx-q: r\r\ncontent-length: 3\r\n\r\none";
    assert_eq!(answer, want);
    assert_eq!(line.asked().unwrap().path, "/2");
    line.respond(HttpResponse::empty(StatusCode::NO_CONTENT));
    assert!(
        line.take()
            .ends_with("204 No Content\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\r\n")
    );
    assert_eq!(line.transport, Transport::Shut);
    // Nobody waits for another.
    assert!(line.respond(HttpResponse::empty(StatusCode::OK)).sent.is_empty());
}

#[test]
fn a_large_answer_goes_out_as_there_is_room() {
    let mut line = Line::new(handled());
    let body = Bytes::from((0..100_000u32).map(|i| b'a' + (i % 26) as u8).collect::<Vec<u8>>());
    line.send(get("/", "")).asked().unwrap();
    let answer = line.respond(HttpResponse::new(StatusCode::OK, "text/plain", body.clone())).take();
    assert!(answer.as_bytes().ends_with(&body) && answer.contains("content-length: 100000\r\n"));
    // To HEAD, all but the body.
    line.send(get("/", "").replace("GET", "HEAD")).asked().unwrap();
    let answer = line.respond(HttpResponse::new(StatusCode::OK, "text/plain", body)).take();
    assert!(answer.ends_with("content-length: 100000\r\n\r\n"));
    line.send(get("/", ""));
    assert!(line.asked().is_some());
    // An answer that cannot be written is one of its own.
    let bad = HttpResponse::empty(StatusCode::OK).with("a", "b\r\nc: d");
    assert!(line.respond(bad).take().starts_with("HTTP/1.1 500 "));
}

#[test]
fn who_asks_is_known_by_its_credentials() {
    let mut users = Users::new(Anonymous::Never);
    users.add_password("ann", Credential::derive("p:w", b"salt", MIN_ITERATIONS).unwrap());
    users.add_token(b"t0ken", "sensor");
    let mut line = Line::new(ServerConfig { users, ..handled() });
    let basic = |text: &str| {
        let mut octets = [0; 64];
        let n = STANDARD.encode_slice(text, &mut octets).unwrap();
        format!("Authorization: Basic {}\r\n", core::str::from_utf8(&octets[..n]).unwrap())
    };
    for (fields, identity) in [
        (basic("ann:p:w"), Some("ann")),
        ("authorization: bearer t0ken\r\n".into(), Some("sensor")),
        (String::new(), None),
    ] {
        let asked = line.send(get("/", &fields)).asked().unwrap();
        assert_eq!((asked.identity.as_deref(), asked.header("authorization")), (identity, None), "{fields}");
        line.respond(HttpResponse::empty(StatusCode::NO_CONTENT)).take();
    }
    for fields in [
        basic("ann:pw"),
        basic("bob:p:w"),
        basic("ann"),
        "Authorization: Basic ????\r\n".into(),
        "Authorization: Bearer x\r\n".into(),
        "Authorization: Digest x\r\n".into(),
        "Authorization: Basic\r\n".into(),
    ] {
        let answer = line.send(get("/", &fields)).take();
        assert!(
            answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nwww-authenticate: Basic"),
            "{fields} {answer}"
        );
        assert!(line.asked().is_none());
    }
    assert_eq!(line.transport, Transport::Open);
}

#[test]
fn what_is_wrong_is_answered_and_told() {
    let mut line = Line::new(handled());
    let answer = line.send("GET / HTTP/1.1\r\n\r\n").take();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Host"), "{answer}");
    assert_eq!(line.transport, Transport::Shut);
    let event = line.server.poll_event();
    let Some(ServerEvent::Closed { dialect, code, reason, .. }) = event else { panic!("{event:?}") };
    assert_eq!((dialect, code), (Some(Dialect::Http), Some(Code::Malformed)));
    assert!(reason.contains("Host"), "{reason}");
    // One that stalls.
    let mut line = Line::new(handled());
    line.send("GET / HT");
    assert_eq!(line.server.poll_timeout(line.key).unwrap().why, Why::Handshake);
    assert!(line.at(5001).take().starts_with("HTTP/1.1 408 "));
    line.server.disconnect(line.now, line.key);
    assert_eq!(line.server.connections(), 0);
}

#[test]
fn an_upgrade_that_is_wrong_is_told_why() {
    let mut line = Line::new(handled());
    let good = opening(MQTT);
    for (request, status, told) in [
        (good.replace("GET / HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: 0"), "405", "allow: GET"),
        (good.replace("Version: 13", "Version: 8"), "426", "sec-websocket-version: 13"),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), "400", "16 octets"),
        (
            format!("{}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", &good[..good.len() - 2]),
            "400",
            "exactly one",
        ),
        (good.replace("Connection: Upgrade", "Connection: keep-alive"), "400", "Connection"),
        (opening(""), "400", "mqtt, mqttv3.1, bowline, prx1"),
        (opening("Sec-WebSocket-Protocol: soap\r\n"), "400", "mqtt, mqttv3.1, bowline, prx1"),
        (opening(&format!("{MQTT}Origin: http://evil.example\r\n")), "403", "http://evil.example"),
        (opening(&format!("{MQTT}Origin: null\r\n")), "403", "null"),
        (get("/ws", ""), "426", "upgrade: websocket"),
        (get("/mqtt", ""), "426", "upgrade: websocket"),
    ] {
        let answer = line.send(&request).take();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(told),
            "{request} {answer}"
        );
        assert_eq!((line.transport, line.asked().is_none()), (Transport::Open, true), "{request}");
    }
    let old = good.replace("HTTP/1.1", "HTTP/1.0");
    let answer = line.send(old).take();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("HTTP/1.1 (RFC"), "{answer}");
    assert_eq!(line.transport, Transport::Shut);
}

#[test]
fn pages_of_listed_origins_may_connect() {
    let origins = Origins::Listed(vec!["https://chat.example".into()]);
    for (origins, origin, good) in [
        (Origins::SameHost, "http://LOCALHOST:7790", true),
        (Origins::SameHost, "http://localhost", false),
        (origins.clone(), "https://chat.example", true),
        (origins.clone(), "http://localhost:7790", true),
        (origins, "https://chat.example.evil", false),
        (Origins::Any, "null", true),
    ] {
        let config =
            ServerConfig { http: HttpConfig { origins, ..HttpConfig::default() }, ..ServerConfig::default() };
        let answer = Line::new(config).send(opening(&format!("{MQTT}Origin: {origin}\r\n"))).take();
        assert_eq!(answer.starts_with("HTTP/1.1 101 "), good, "{origin} {answer}");
    }
}

/// A page whose own name leads to this machine is of the host that it asks, and yet a stranger.
#[test]
fn names_of_others_for_this_machine_are_strangers() {
    let here = Peer { address: Some("127.0.0.1".parse().unwrap()), ..Peer::default() };
    let away = Peer { address: Some("192.0.2.1".parse().unwrap()), ..Peer::default() };
    let same = |peer: &Peer, host: &str| Origins::SameHost.allow(peer, Some(&format!("http://{host}")), host);
    for host in ["localhost:7790", "LOCALHOST", "127.0.0.1:7790", "[::1]:7790", "192.0.2.7"] {
        assert!(same(&here, host), "{host}");
    }
    assert!(!same(&here, "evil.example:7790") && !same(&here, "localhost.evil.example"));
    assert!(same(&away, "bowline.example") && same(&Peer::default(), "bowline.example"));
    let listed = Origins::Listed(vec!["https://bowline.example".into()]);
    assert!(listed.allow(&here, Some("https://bowline.example"), "bowline.example"));
    // What it asks for is asked by nobody.
    let mut line = Line::of(here, handled());
    let asked = line.send("GET / HTTP/1.1\r\nHost: evil.example:7790\r\n\r\n").asked().unwrap();
    assert_eq!((asked.identity, &*asked.host), (None, "evil.example:7790"));
    line.respond(HttpResponse::empty(StatusCode::NO_CONTENT));
    assert_eq!(line.send(get("/", "")).asked().unwrap().identity.as_deref(), Some(""));
}

/// RFC 6455 §4.1: a client may send frames with its request.
#[test]
fn frames_in_the_segment_of_the_request_are_read() {
    let mut line = Line::new(handled());
    let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    let frame = [&[0x82, 0x80 | connect.len() as u8, 0, 0, 0, 0][..], connect].concat();
    line.send([opening(MQTT).as_bytes(), &frame].concat());
    let end = line.sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&line.sent[..end]).into_owned();
    assert!(
        head.contains(
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: mqtt\r\n"
        ),
        "{head}"
    );
    assert_eq!(line.sent[end..], *b"\x82\x04\x20\x02\0\0");
    // And each answer to what came is in what goes out at once, in frames of their own.
    line.sent.clear();
    line.send(b"\x82\x82\0\0\0\0\xc0\x00\x89\x80\0\0\0\0");
    let mut frames = line.sent.clone();
    frames.sort_unstable();
    let mut want = b"\x82\x02\xd0\x00\x8a\x00".to_vec();
    want.sort_unstable();
    assert_eq!(frames, want);
    // [MQTT-6.0.0-1]
    line.sent.clear();
    line.send(b"\x81\x81\0\0\0\0x");
    assert_eq!(line.sent[..4], [0x88, line.sent[1], 0x03, 0xeb]);
    let told = core::iter::from_fn(|| line.server.poll_event()).last();
    let Some(ServerEvent::Closed { dialect, code, reason, .. }) = told else { panic!("{told:?}") };
    assert_eq!((dialect, code), (Some(Dialect::Mqtt311), Some(Code::Malformed)));
    assert!(reason.contains("binary"), "{reason}");
    assert_eq!(line.transport, Transport::Shut);
}

#[test]
fn a_server_that_drains_opens_nothing_and_closes_what_is_idle() {
    let mut line = Line::new(handled());
    line.send(get("/", "")).asked().unwrap();
    line.server.drain(line.now, Duration::from_secs(5), Duration::from_secs(3), "");
    assert_eq!(line.run().transport, Transport::Open, "the answer is due");
    let answer = line.respond(HttpResponse::empty(StatusCode::NO_CONTENT)).take();
    assert!(answer.contains("connection: close") && line.transport == Transport::Shut, "{answer}");
    let mut line = Line::new(handled());
    line.send("GET ");
    line.server.drain(line.now, Duration::from_secs(5), Duration::from_secs(3), "");
    line.send(&opening(MQTT)[4..]);
    let answer = line.take();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 3\r\n"), "{answer}");
    let mut line = Line::new(handled());
    line.send(get("/ws", ""));
    line.server.drain(line.now, Duration::from_secs(5), Duration::ZERO, "");
    assert_eq!(line.run().transport, Transport::Shut, "nothing is asked");
}

#[test]
fn the_close_frame_says_how_it_ended() {
    over_websocket(|| {
        let mut w = World::new(ServerConfig::default());
        let (old, _) = w.stay(crate::mqtt::Version::V311, "same");
        let (_new, _) = w.stay(crate::mqtt::Version::V311, "same");
        assert_eq!(w.closed(old), Some((1008, "the session goes on over another connection")));
        assert_ne!(w.lines[old].transport, Transport::Open);
        // What MQTT calls malformed.
        let a = w.v3("a");
        w.octets(a, b"\x00\x00");
        assert_eq!(w.closed(a), Some((1002, "the protocol within was broken")));
        // DISCONNECT.
        let b = w.v3("b");
        w.octets(b, b"\xe0\x00");
        assert_eq!(w.closed(b), Some((1000, "")));
        let c = w.v3("c");
        w.subscribe(c, "t", Qos::AtMostOnce);
        let key = w.lines[c].connection;
        w.server.close(w.now, key, Code::Quota, "too much");
        w.run();
        assert_eq!(w.closed(c).unwrap().0, 1008);
    });
    for (retry, code) in [(0, 1001), (7, 1012)] {
        over_websocket(|| {
            let mut w = World::new(ServerConfig::default());
            let a = w.v3("a");
            let retry = Duration::from_secs(retry);
            w.server.drain(w.now, Duration::from_secs(1), retry, "");
            w.run();
            assert_eq!(w.closed(a).unwrap().0, code);
        });
    }
}

#[test]
fn a_connection_has_its_size() {
    use crate::endpoint::server::connection::Connection;
    assert_eq!(size_of::<Option<Connection>>(), 16, "as without layers");
    let websocket = size_of::<crate::endpoint::server::websocket::WebSocket>();
    let http = size_of::<crate::endpoint::server::http::Connection>();
    assert!(websocket <= 344 && http <= 440, "{websocket} {http}");
}
