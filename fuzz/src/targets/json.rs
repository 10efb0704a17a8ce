//! Typed JSON. The decoder, against another parser of JSON: what it takes is JSON, and what members of
//! a room are told of any payload is JSON in which nothing is forged. And a whole server with pages over
//! WebSocket and by requests, honest ones and liars: what it says must be envelopes, a room's messages
//! come in order and none twice, compressed or not, and nothing is left when all are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{Compression, ConnectionKey, Peer, Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::json::server::{Place, room_message};
use bowline_core::json::{Auth, Batch, Command, Envelope, Kind, MAX_DEPTH, OWN_PREFIX};
use bowline_core::lifecycle::Transport;
use bowline_core::time::Instant;
use bowline_core::websocket::deflate::{Deflate, Options, Pool};
use bowline_core::websocket::extensions::Offer;
use bowline_core::websocket::{self, Carries, Client, Event, Kind as MessageKind, WebSocket};
use serde_json::Value;

/// Runs the target of the decoder.
pub fn json(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        decode(text);
    }
    if !data.starts_with(OWN_PREFIX.as_bytes()) {
        told(data);
    }
}

fn decode(text: &str) {
    let oracle = serde_json::from_str::<Value>(text);
    let _ = Auth::parse(text);
    if let Ok(batch) = Batch::parse(text) {
        for message in batch.messages() {
            let _ = Envelope::decode(message).map(|envelope| envelope.name.len());
        }
    }
    match Envelope::decode(text) {
        Ok(envelope) => {
            // Half of a surrogate pair, and a number beyond all others, are JSON too.
            if let Ok(value) = &oracle {
                assert_eq!(value["type"].as_str(), Some(&*envelope.name));
                assert_eq!(value.get("room").and_then(Value::as_str), envelope.room.as_deref());
                assert_eq!(value.get("id").and_then(Value::as_str), envelope.id.as_deref());
            }
            assert!(envelope.payload == "{}" || text.contains(envelope.payload));
            if let Err(fault) = Command::parse(&envelope) {
                assert!(fault.at() <= text.len() && fault.id() == envelope.id.as_deref());
                assert!(!fault.to_string().is_empty());
            }
        }
        Err(fault) => {
            assert!(fault.at() <= text.len());
            assert!(!fault.to_string().is_empty());
            if let Ok(value) = oracle {
                assert!(!fault.is_no_json() || depth(&value) > MAX_DEPTH, "{fault}: {text}");
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn told(payload: &[u8]) {
    let mut out = String::new();
    let place = Place { epoch: 5, offset: 6, stamp: 7 };
    room_message(&mut out, Kind::Event, "r", Some(place), None, payload);
    // What is half a pair in it stays so, and is no text to this parser.
    let Ok(value) = serde_json::from_str::<Value>(&out) else { return };
    let members = value.as_object().expect("an object");
    assert_eq!(members.len(), 8, "{out}");
    assert!(value["payload"].is_object() && value["type"].is_string());
    assert_eq!((&value["offset"], value["epoch"].as_str()), (&6.into(), Some("0000000000000005")));
    assert_eq!(value["kind"], "event");
}

const STEPS: usize = 200;
const LINES: usize = 4;
const ROOMS: [&str; 3] = ["lobby", "a/b", "x"];

#[derive(Debug)]
enum Step<'a> {
    /// Another page over WebSocket.
    Open,
    /// Another connection for requests.
    Http,
    Say(Say<'a>),
    /// Says as a request.
    Post(Say<'a>),
    Begin {
        resume: Option<u8>,
        lie: bool,
    },
    Poll {
        stream: bool,
        after: Option<u8>,
        room: Option<u8>,
    },
    Raw(&'a [u8]),
    /// So many octets reach the server.
    Up(u8),
    Run,
    Stall,
    Pass(u16),
    Eof,
    Disconnect,
    Drain,
}

#[derive(Debug)]
enum Say<'a> {
    Join { room: u8, since: Option<u8>, history: Option<u8>, presence: u8 },
    Leave(u8),
    LeaveAll,
    History { room: u8, before: bool, at: u8 },
    Members(u8),
    Presence { room: u8, n: u8 },
    Send { room: u8, ephemeral: bool, echo: bool, key: Option<u8>, size: u16 },
    Subscribe { filter: u8, on: bool },
    Publish { topic: u8, retain: bool, forged: bool },
    Request(u8),
    Auth { which: u8, lie: bool },
    Ping,
    Bye,
    Text(&'a str),
}

/// Of octets one after the other, so that any are a long story.
impl<'a> Step<'a> {
    fn read(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? {
            0..110 => Self::Say(Say::read(u)?),
            110..140 => Self::Post(Say::read(u)?),
            140..150 => Self::Begin { resume: option(u)?, lie: u.arbitrary()? },
            150..170 => Self::Poll { stream: u.ratio(1, 4)?, after: option(u)?, room: option(u)? },
            170 => Self::Raw(octets(u)?),
            171..174 => Self::Run,
            174..184 => Self::Up(u.arbitrary()?),
            184..220 => Self::Run,
            220..224 => Self::Stall,
            224..238 => Self::Pass(u.arbitrary()?),
            238..240 => Self::Eof,
            240..243 => Self::Disconnect,
            243 if u.ratio(1, 8)? => Self::Drain,
            243..250 => Self::Open,
            250.. => Self::Http,
        })
    }
}

impl<'a> Say<'a> {
    fn read(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 24 {
            0..4 => Self::Join {
                room: u.arbitrary()?,
                since: option(u)?,
                history: option(u)?,
                presence: u.arbitrary()?,
            },
            4 => Self::Leave(u.arbitrary()?),
            5 if u.ratio(1, 4)? => Self::LeaveAll,
            5 | 6 => Self::History { room: u.arbitrary()?, before: u.arbitrary()?, at: u.arbitrary()? },
            7 => Self::Members(u.arbitrary()?),
            8 => Self::Presence { room: u.arbitrary()?, n: u.arbitrary()? },
            9..17 => Self::Send {
                room: u.arbitrary()?,
                ephemeral: u.ratio(1, 4)?,
                echo: u.ratio(3, 4)?,
                key: option(u)?,
                size: u.arbitrary::<u16>()? >> (u.arbitrary::<u8>()? % 16),
            },
            17 => Self::Subscribe { filter: u.arbitrary()?, on: u.ratio(3, 4)? },
            18 => Self::Publish { topic: u.arbitrary()?, retain: u.arbitrary()?, forged: u.arbitrary()? },
            19 => Self::Request(u.arbitrary()?),
            20 => Self::Auth { which: u.arbitrary()?, lie: u.ratio(1, 4)? },
            21 => Self::Ping,
            22 if u.ratio(1, 8)? => Self::Bye,
            _ => Self::Text(core::str::from_utf8(octets(u)?).unwrap_or("{}")),
        })
    }
}

fn option(u: &mut Unstructured<'_>) -> Result<Option<u8>> {
    Ok(if u.ratio(1, 2)? { Some(u.arbitrary::<u8>()? % 16) } else { None })
}

fn octets<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let n = usize::from(u.arbitrary::<u8>()? % 24).min(u.len());
    u.bytes(n)
}

enum Line {
    Page(Box<Page>),
    Requests,
}

struct Page {
    layer: WebSocket<Client<Seeded>>,
    /// How messages are compressed, once that is agreed to.
    deflate: Option<(Deflate, Pool)>,
}

impl Page {
    /// Reads what the server agreed to.
    fn agree(&mut self, head: &str) {
        let answer = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        let offer = Offer { client_max_window_bits: Some(None), ..Offer::default() };
        let Some(params) = offer.agreed(answer).expect("what was offered") else { return };
        let mut pool =
            Pool::new(Options { threshold: 0, max_message: 1 << 21, max_ratio: 2000, ..Options::default() });
        self.deflate = Some((Deflate::client(&params, &mut pool), pool));
        self.layer.allow_compressed();
    }

    fn say(&mut self, now: Instant, out: &mut SharedSendBuf, text: &str) {
        let _ = match &mut self.deflate {
            Some((deflate, pool)) => {
                self.layer.send_deflated(now, out, deflate, pool, MessageKind::Text, text.as_bytes())
            }
            None => self.layer.send_text(now, out, text),
        };
    }
}

struct End {
    key: ConnectionKey,
    line: Line,
    opened: bool,
    wire: Vec<u8>,
    fed: usize,
    at_server: GrowingRecvBuf,
    down: SharedSendBuf,
    rest: GrowingRecvBuf,
    stalled: bool,
    gone: bool,
    /// The last offset of each room since it was joined, and the epoch.
    seen: BTreeMap<String, (String, u64)>,
}

struct World {
    server: Server,
    now: Instant,
    ends: Vec<End>,
    sessions: Vec<(String, String)>,
    said: u32,
    draining: bool,
    /// Pages offer compression.
    compressed: bool,
}

/// Runs the target of the whole server.
pub fn json_server(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut config = ServerConfig { sys_interval: Duration::ZERO, ..ServerConfig::default() };
    config.json.types = true;
    config.hub.rooms[0].max_messages = 8;
    // The last octet says it, so that it changes nothing of what the others say.
    let compressed = data.last().is_some_and(|octet| octet & 1 == 1);
    config.http.compression = compressed.then_some(Compression {
        context_takeover: true,
        threshold: 64,
        memory: 1,
        ..Compression::default()
    });
    let server = Server::new(config, Box::new(Seeded::new(5)));
    let mut world = World {
        server,
        now: Instant::from_millis(1),
        ends: Vec::new(),
        sessions: Vec::new(),
        said: 0,
        draining: false,
        compressed,
    };
    world.accept(true);
    world.accept(false);
    world.accept(true);
    for _ in 0..STEPS {
        let (Ok(at), Ok(step)) = (u.arbitrary::<u8>(), Step::read(&mut u)) else { break };
        if u.is_empty() {
            break;
        }
        let at = usize::from(at) % world.ends.len();
        if world.ends[at].gone && !world.draining {
            let page = matches!(world.ends[at].line, Line::Page(_));
            world.accept(page);
        }
        world.step(at, &step);
    }
    world.finish();
}

fn room(n: u8) -> &'static str {
    ROOMS[usize::from(n) % ROOMS.len()]
}

impl World {
    fn accept(&mut self, page: bool) {
        let gone = self.ends.iter().position(|end| end.gone);
        if gone.is_none() && self.ends.len() >= LINES {
            return;
        }
        let Ok(key) = self.server.accept(self.now, Peer::default()) else {
            return assert!(self.draining, "a server that takes on refuses");
        };
        let config =
            websocket::Config { max_message: 1 << 21, ping_interval: None, ..websocket::Config::default() };
        let layer = WebSocket::new(self.now, Client::new(Seeded::new(3)), Carries::Messages, &config);
        let mut wire = Vec::new();
        if page {
            wire.extend_from_slice(
                b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
            );
            if self.compressed {
                wire.extend_from_slice(
                    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
                );
            }
            wire.extend_from_slice(b"\r\n");
        }
        let end = End {
            key,
            line: if page { Line::Page(Box::new(Page { layer, deflate: None })) } else { Line::Requests },
            opened: false,
            wire,
            fed: 0,
            at_server: GrowingRecvBuf::new(1 << 21),
            down: SharedSendBuf::new(1 << 21),
            rest: GrowingRecvBuf::new(1 << 24),
            stalled: false,
            gone: false,
            seen: BTreeMap::new(),
        };
        match gone {
            Some(at) => self.ends[at] = end,
            None => self.ends.push(end),
        }
    }

    fn session(&self, n: u8, lie: bool) -> (String, String) {
        let Some((id, secret)) = self.sessions.get(usize::from(n) % self.sessions.len().max(1)) else {
            return ("0".repeat(32), "0".repeat(32));
        };
        (id.clone(), if lie { "0".repeat(32) } else { secret.clone() })
    }

    fn text(&mut self, at: usize, say: &Say<'_>) -> String {
        self.said += 1;
        let id = self.said;
        match *say {
            Say::Join { room: n, since, history, presence } => {
                let room = room(n);
                let (epoch, offset) = self.ends[at].seen.get(room).cloned().unwrap_or_default();
                let since = since.map(|back| {
                    let offset = offset.saturating_sub(u64::from(back));
                    format!(r#""since":{{"epoch":"{epoch}","offset":{offset}}},"#)
                });
                let history = history.map(|n| format!(r#""history":{n},"#)).unwrap_or_default();
                let presence = ["none", "count", "full"][usize::from(presence) % 3];
                let since = since.unwrap_or_default();
                format!(
                    r#"{{"type":"$join","id":"{id}","room":"{room}","payload":{{{since}{history}"presence":"{presence}"}}}}"#
                )
            }
            Say::Leave(n) => format!(r#"{{"type":"$leave","id":"{id}","room":"{}"}}"#, room(n)),
            Say::LeaveAll => format!(r#"{{"type":"$leave_all","id":"{id}"}}"#),
            Say::History { room: n, before, at } => {
                let way = if before { "before" } else { "after" };
                let room = room(n);
                format!(
                    r#"{{"type":"$history","id":"{id}","room":"{room}","payload":{{"limit":5,"{way}":"{at:020}"}}}}"#
                )
            }
            Say::Members(n) => format!(r#"{{"type":"$members","id":"{id}","room":"{}"}}"#, room(n)),
            Say::Presence { room: r, n } => {
                let room = room(r);
                format!(r#"{{"type":"$presence","id":"{id}","room":"{room}","payload":{{"data":{n}}}}}"#)
            }
            Say::Send { room: r, ephemeral, echo, key, size } => {
                let kind = if ephemeral { "ephemeral" } else { "event" };
                let key = key.map(|k| format!(r#""key":"{k}","#)).unwrap_or_default();
                let (room, text) = (room(r), "x".repeat(usize::from(size)));
                format!(
                    r#"{{"type":"m","id":"{id}","room":"{room}",{key}"kind":"{kind}","echo":{echo},"payload":{{"t":"{text}"}}}}"#
                )
            }
            Say::Subscribe { filter, on } => {
                let filter = ["t/#", "$room/#", "#", "a+"][usize::from(filter) % 4];
                let name = if on { "$subscribe" } else { "$unsubscribe" };
                format!(r#"{{"type":"{name}","id":"{id}","payload":{{"topic":"{filter}"}}}}"#)
            }
            Say::Publish { topic, retain, forged } => {
                let topic = ["t/a", "$room/lobby", "+"][usize::from(topic) % 3];
                let data = if forged {
                    r#"{"from":"0000000000000000","type":"x","payload":{}}"#
                } else {
                    r#"{"type":"x","epoch":7}"#
                };
                format!(
                    r#"{{"type":"$publish","id":"{id}","payload":{{"topic":"{topic}","data":{data},"retain":{retain}}}}}"#
                )
            }
            Say::Request(n) => format!(
                r#"{{"type":"$request","id":"{id}","payload":{{"topic":"t/{n}","text":"?","timeout_ms":50}}}}"#
            ),
            Say::Auth { which, lie } => {
                let (session, secret) = self.session(which, lie);
                format!(
                    r#"{{"type":"$auth","id":"{id}","payload":{{"session":"{session}","secret":"{secret}"}}}}"#
                )
            }
            Say::Ping => format!(r#"{{"type":"$ping","id":"{id}"}}"#),
            Say::Bye => r#"{"type":"$bye"}"#.into(),
            Say::Text(text) => text.into(),
        }
    }

    fn step(&mut self, at: usize, step: &Step<'_>) {
        match step {
            Step::Open => self.accept(true),
            Step::Http => self.accept(false),
            Step::Say(say) => {
                let text = self.text(at, say);
                let (now, end) = (self.now, &mut self.ends[at]);
                if let Line::Page(page) = &mut end.line {
                    let mut out = SharedSendBuf::new(1 << 21);
                    // One that closes says nothing more.
                    page.say(now, &mut out, &text);
                    end.wire.extend(out.slices().flatten());
                }
            }
            Step::Post(say) => {
                let text = self.text(at, say);
                self.request(at, "POST", "/ws/send", &text, true);
            }
            Step::Begin { resume, lie } => {
                let body = resume.map_or_else(String::new, |n| {
                    let (session, secret) = self.session(n, *lie);
                    format!(r#"{{"session":"{session}","secret":"{secret}"}}"#)
                });
                self.request(at, "POST", "/ws/session", &body, false);
            }
            Step::Poll { stream, after, room: of } => {
                let path = if *stream { "/ws/events" } else { "/ws/poll" };
                let after = after.map(|n| format!("&after={n}")).unwrap_or_default();
                let id = match of {
                    Some(n) => format!("room:{}", room(*n)),
                    None => self.session(at as u8, false).0,
                };
                self.request(at, "GET", &format!("{path}?session_id={id}{after}"), "", false);
            }
            Step::Raw(octets) => self.ends[at].wire.extend_from_slice(octets),
            Step::Up(n) => {
                let end = &mut self.ends[at];
                let to = (end.fed + usize::from(*n)).min(end.wire.len());
                end.feed(to);
                self.run();
            }
            Step::Run => {
                self.ends.iter_mut().for_each(|end| end.feed(end.wire.len()));
                self.run();
            }
            Step::Stall => self.ends[at].stalled = !self.ends[at].stalled,
            Step::Pass(ms) => self.pass(*ms),
            Step::Eof => {
                self.server.handle_eof(self.now, self.ends[at].key);
                self.run();
            }
            Step::Disconnect => {
                self.ends[at].gone = true;
                self.server.disconnect(self.now, self.ends[at].key);
                self.run();
            }
            Step::Drain => {
                self.draining = true;
                self.server.drain(self.now, Duration::from_secs(5), Duration::from_secs(1), "");
                self.run();
            }
        }
    }

    fn request(&mut self, at: usize, method: &str, target: &str, body: &str, with_session: bool) {
        let (id, secret) = self.session(at as u8, false);
        let body = match body.strip_prefix('{').filter(|_| with_session && !self.sessions.is_empty()) {
            Some(rest) => format!(r#"{{"session_id":"{id}",{rest}"#),
            None => body.into(),
        };
        let end = &mut self.ends[at];
        if matches!(end.line, Line::Requests) {
            let length = body.len();
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: h\r\nBowline-Secret: {secret}\r\nContent-Length: {length}\r\n\r\n"
            );
            end.wire.extend_from_slice(head.as_bytes());
            end.wire.extend_from_slice(body.as_bytes());
        }
    }

    fn pass(&mut self, ms: u16) {
        self.now = self.now + Duration::from_millis(u64::from(ms));
        for end in self.ends.iter().filter(|end| !end.gone) {
            if self.server.poll_timeout(end.key).is_some_and(|due| due.at <= self.now) {
                self.server.handle_timeout(self.now, end.key);
            }
        }
        while self.server.poll_hub_timeout().is_some_and(|due| due.at <= self.now) {
            self.server.handle_hub_timeout(self.now);
        }
        self.run();
    }

    /// Works until nothing moves.
    fn run(&mut self) {
        for _ in 0..2000 {
            let mut moved = false;
            for at in 0..self.ends.len() {
                moved |= self.turn(at);
            }
            while self.server.poll_ready().is_some() {
                moved = true;
            }
            if !moved {
                return self.server.hub().check_invariants().expect("the hub is as it should be");
            }
        }
        panic!("it does not come to rest");
    }

    fn turn(&mut self, at: usize) -> bool {
        let (now, end) = (self.now, &mut self.ends[at]);
        if end.gone {
            return false;
        }
        let before = end.at_server.filled().len();
        self.server.recv(now, end.key, &mut end.at_server, &mut end.down);
        let transport = self.server.poll_transmit(now, end.key, &mut end.down);
        let mut moved = before != end.at_server.filled().len();
        if !end.stalled {
            let octets: Vec<u8> = end.down.slices().flatten().copied().collect();
            moved |= !octets.is_empty();
            end.down.sent(octets.len());
            end.rest.push(&octets);
            end.read(now, &mut self.sessions);
        }
        self.server.handle_written(now, end.key, usize::from(moved), end.down.len());
        let over = matches!(transport, Transport::Drop) && end.down.is_empty();
        if over || matches!(transport, Transport::Abort) {
            end.gone = true;
            self.server.disconnect(now, end.key);
            return true;
        }
        moved
    }

    /// All go, and nothing of them stays.
    fn finish(mut self) {
        for end in &self.ends {
            if !end.gone {
                self.server.disconnect(self.now, end.key);
            }
        }
        self.ends.clear();
        for _ in 0..4 {
            self.pass(60_000);
        }
        while self.server.poll_event().is_some() {}
        assert_eq!(self.server.connections(), 0, "connections are left");
        let counters = self.server.hub().counters();
        assert_eq!((counters.sessions, counters.subscriptions), (0, 0), "sessions are left");
        assert_eq!(self.server.hub().rooms().count(), 0, "rooms are left");
    }
}

impl End {
    fn feed(&mut self, to: usize) {
        let taken = self.at_server.push(&self.wire[self.fed..to]);
        self.fed += taken;
    }

    /// What the server said must be what a page understands.
    fn read(&mut self, now: Instant, sessions: &mut Vec<(String, String)>) {
        let Line::Page(page) = &mut self.line else { return self.read_responses(sessions) };
        if !self.opened {
            let text = self.rest.filled();
            let Some(end) = text.windows(4).position(|w| w == b"\r\n\r\n") else { return };
            self.opened = text.starts_with(b"HTTP/1.1 101 ");
            if !self.opened {
                // Noise came before the request.
                assert!(text.starts_with(b"HTTP/1.1 "));
                self.rest.take(usize::MAX);
                return;
            }
            let head = self.rest.take(end + 4);
            page.agree(core::str::from_utf8(head).expect("a head is text"));
        }
        let Page { layer, deflate } = &mut **page;
        let mut out = SharedSendBuf::new(1 << 20);
        let mut all = Vec::new();
        while let Some(event) = layer.recv(now, &mut self.rest, &mut out) {
            match event {
                Event::Message(message) if message.compressed => {
                    let (deflate, pool) = deflate.as_mut().expect("it was agreed to");
                    let mut into = Vec::new();
                    let message = deflate.inflate(pool, message, &mut into).expect("well compressed");
                    all.push(message.text().expect("text").to_owned());
                }
                Event::Message(message) => all.push(message.text().expect("text").to_owned()),
                Event::Closed(closed) => assert!(closed.fault.is_none(), "{closed:?}"),
                _ => {}
            }
        }
        let _ = layer.poll_transmit(now, &mut out);
        self.wire.extend(out.slices().flatten());
        for text in all {
            self.told(&text, sessions);
        }
    }

    fn told(&mut self, text: &str, sessions: &mut Vec<(String, String)>) {
        // Half of a surrogate pair is handed on as it came.
        let Ok(value) = serde_json::from_str::<Value>(text) else { return };
        let kind = value["kind"].as_str().expect("a kind");
        assert!(
            value["payload"].is_object() && value["type"].as_str().is_some_and(|t| !t.is_empty()),
            "{text}"
        );
        match value["type"].as_str() {
            Some("$welcome") => {
                let of = |name: &str| value["payload"][name].as_str().expect("text").to_owned();
                sessions.push((of("session"), of("secret")));
                self.seen.clear();
            }
            Some("$error") => assert_eq!(kind, "error"),
            _ => {}
        }
        if let (Some(room), Some(offset)) = (value["room"].as_str(), value["offset"].as_u64()) {
            let epoch = value["epoch"].as_str().expect("an epoch").to_owned();
            let last = self.seen.insert(room.to_owned(), (epoch.clone(), offset));
            if let Some((before, last)) = last.filter(|_| kind == "event") {
                assert!(before != epoch || offset > last, "{offset} after {last} in {room}");
            }
            assert!(value["id"].as_str().is_some_and(|id| id.len() == 20));
            assert!(value["from"].as_str().is_none_or(|from| from != "0000000000000000"), "forged");
        }
    }

    fn read_responses(&mut self, sessions: &mut Vec<(String, String)>) {
        let text = String::from_utf8_lossy(self.rest.take(usize::MAX)).into_owned();
        for part in text.split("HTTP/1.1 ").skip(1) {
            let Some((_, body)) = part.split_once("\r\n\r\n") else { continue };
            let Ok(value) = serde_json::from_str::<Value>(body) else { continue };
            if let (Some(id), Some(secret)) = (value["session"].as_str(), value["secret"].as_str()) {
                sessions.push((id.to_owned(), secret.to_owned()));
            }
        }
    }
}
