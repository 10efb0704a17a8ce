//! A whole server that is asked over HTTP: good requests, bad ones and noise, cut anywhere, answered late
//! or never, timed out, and opened to WebSockets with MQTT in them. What it says must be whole responses,
//! one for each request at most, then frames that a client reads, none of them behind a Close frame; and
//! nothing is left when all are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{
    ConnectionKey, HttpConfig, HttpResponse, Peer, Server, ServerConfig, ServerEvent,
};
use bowline_core::entropy::Seeded;
use bowline_core::http::client::ResponseHead;
use bowline_core::http::{BodyLength, HeadScanner, StatusCode};
use bowline_core::lifecycle::Transport;
use bowline_core::time::{Instant, Why};

const STEPS: usize = 200;
const CONNECTIONS: usize = 3;

/// Lines that requests are put together from.
const LINES: [&str; 32] = [
    "GET / HTTP/1.1\r\n",
    "HEAD /a?b HTTP/1.1\r\n",
    "POST /p HTTP/1.1\r\n",
    "PUT /p HTTP/1.0\r\n",
    "GET /ws HTTP/1.1\r\n",
    "GET http://b/c HTTP/1.1\r\n",
    "BREW / HTTP/1.1\r\n",
    "GET / HTTP/2.0\r\n",
    "Host: a\r\n",
    "Host: b:80\r\n",
    "Connection: close\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 50000\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Expect: 100-continue\r\n",
    "Authorization: Basic YTpi\r\n",
    "Authorization: Bearer x\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Version: 8\r\n",
    "Sec-WebSocket-Protocol: mqtt\r\n",
    "Sec-WebSocket-Protocol: x, bowline\r\n",
    "Origin: http://a\r\n",
    "Origin: http://evil\r\n",
    " folded\r\n",
    "Name : value\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
];

const OPENING: &str = "GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01#\x00";
const PUBLISH: &[u8] = b"\x30\x04\x00\x01tx";

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// Another connection.
    Accept,
    /// These lines, by their numbers.
    Lines(&'a [u8]),
    Open,
    /// A frame of a client, masked.
    Frame {
        first: u8,
        payload: &'a [u8],
    },
    Packet(u8),
    Raw(&'a [u8]),
    /// So many octets reach the server.
    Up(u8),
    Run,
    Respond {
        status: u8,
        size: u16,
    },
    Stall,
    Pass(u16),
    Eof,
    Disconnect,
    Drain,
}

struct Line {
    key: ConnectionKey,
    wire: Vec<u8>,
    fed: usize,
    at_server: GrowingRecvBuf,
    down: SharedSendBuf,
    /// What the server said and was not read yet.
    rest: Vec<u8>,
    /// Responses that came, and whether the last one opened a WebSocket, and whether that was closed.
    responses: usize,
    opened: bool,
    closed: bool,
    /// The adapter has a request.
    taken: bool,
    stalled: bool,
    gone: bool,
}

struct World {
    server: Server,
    now: Instant,
    lines: Vec<Line>,
    draining: bool,
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn http(data: &[u8]) {
    let Ok(steps) = Vec::<(u8, Step<'_>)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let http = HttpConfig { handled: true, ..HttpConfig::default() };
    let config = ServerConfig { http, sys_interval: Duration::ZERO, ..ServerConfig::default() };
    let server = Server::new(config, Box::new(Seeded::new(5)));
    let mut world = World { server, now: Instant::from_millis(1), lines: Vec::new(), draining: false };
    world.accept();
    for (line, step) in steps.into_iter().take(STEPS) {
        let at = usize::from(line) % world.lines.len();
        world.step(at, &step);
    }
    world.finish();
}

impl World {
    fn accept(&mut self) {
        let Ok(key) = self.server.accept(self.now, Peer::default()) else {
            return assert!(self.draining, "a server that takes on refuses");
        };
        self.lines.push(Line {
            key,
            wire: Vec::new(),
            fed: 0,
            at_server: GrowingRecvBuf::new(1 << 20),
            down: SharedSendBuf::new(8192),
            rest: Vec::new(),
            responses: 0,
            opened: false,
            closed: false,
            taken: false,
            stalled: false,
            gone: false,
        });
    }

    fn step(&mut self, at: usize, step: &Step<'_>) {
        let more = self.lines.len() < CONNECTIONS;
        let line = &mut self.lines[at];
        match step {
            Step::Accept if more => self.accept(),
            Step::Accept => {}
            Step::Lines(numbers) => {
                let lines = numbers.iter().map(|n| LINES[usize::from(*n) % LINES.len()].as_bytes());
                lines.for_each(|text| line.wire.extend_from_slice(text));
            }
            Step::Open => line.wire.extend_from_slice(OPENING.as_bytes()),
            Step::Frame { first, payload } => line.frame(*first, payload),
            Step::Packet(n) => line.frame(0x82, [CONNECT, SUBSCRIBE, PUBLISH][usize::from(*n) % 3]),
            Step::Raw(octets) => line.wire.extend_from_slice(octets),
            Step::Up(n) => {
                let to = (line.fed + usize::from(*n)).min(line.wire.len());
                line.feed(to);
                self.run();
            }
            Step::Run => {
                self.lines.iter_mut().for_each(|line| line.feed(line.wire.len()));
                self.run();
            }
            Step::Respond { status, size } => {
                let status = StatusCode::new(200 + u16::from(*status)).unwrap_or(StatusCode::OK);
                let body = vec![b'x'; usize::from(*size)];
                line.taken = false;
                self.server.respond(line.key, HttpResponse::new(status, "text/plain", body));
                self.run();
            }
            Step::Stall => line.stalled = !line.stalled,
            Step::Pass(ms) => self.pass(*ms),
            Step::Eof => {
                self.server.handle_eof(self.now, line.key);
                self.run();
            }
            Step::Disconnect => {
                line.gone = true;
                self.server.disconnect(self.now, line.key);
                self.run();
            }
            Step::Drain => {
                self.draining = true;
                self.server.drain(self.now, Duration::from_secs(5), Duration::from_secs(1), "");
                self.run();
            }
        }
    }

    fn pass(&mut self, ms: u16) {
        self.now = self.now + Duration::from_millis(u64::from(ms));
        for line in self.lines.iter().filter(|line| !line.gone) {
            if self.server.poll_timeout(line.key).is_some_and(|due| due.at <= self.now) {
                self.server.handle_timeout(self.now, line.key);
            }
        }
        if self.server.poll_hub_timeout().is_some_and(|due| due.at <= self.now) {
            self.server.handle_hub_timeout(self.now);
        }
        self.run();
    }

    /// Works until nothing moves.
    fn run(&mut self) {
        for _ in 0..1000 {
            let mut moved = false;
            for at in 0..self.lines.len() {
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
        let line = &mut self.lines[at];
        if line.gone {
            return false;
        }
        let before = line.at_server.filled().len();
        self.server.recv(self.now, line.key, &mut line.at_server, &mut line.down);
        if let Some(work) = self.server.poll_verification(line.key) {
            self.server.verified(self.now, line.key, work.run(), &mut line.down);
        }
        if let Some(request) = self.server.poll_request(line.key) {
            assert!(!line.taken, "one request at a time");
            assert!(request.path.starts_with('/') || request.path == "*", "{request:?}");
            assert!(request.body.len() <= 1 << 20);
            line.taken = true;
        }
        let transport = self.server.poll_transmit(self.now, line.key, &mut line.down);
        let mut moved = before != line.at_server.filled().len();
        if !line.stalled {
            let octets: Vec<u8> = line.down.slices().flatten().copied().collect();
            moved |= !octets.is_empty();
            line.down.sent(octets.len());
            line.rest.extend(octets);
            line.read();
        }
        let (written, waiting) = (usize::from(moved), line.down.len());
        self.server.handle_written(self.now, line.key, written, waiting);
        let drops = matches!(transport, Transport::Drop) && line.down.is_empty();
        if drops || transport == Transport::Abort {
            line.gone = true;
            self.server.disconnect(self.now, line.key);
            return true;
        }
        moved
    }

    /// Whoever obeys the deadlines comes to the end.
    fn finish(&mut self) {
        self.lines.iter_mut().for_each(|line| line.stalled = false);
        self.run();
        for at in 0..self.lines.len() {
            let line = &mut self.lines[at];
            // A request that nobody answers may wait for ever.
            if line.taken {
                line.taken = false;
                self.server.respond(line.key, HttpResponse::empty(StatusCode::NO_CONTENT));
            }
            self.server.handle_eof(self.now, line.key);
        }
        for _ in 0..100 {
            self.run();
            for line in self.lines.iter_mut().filter(|line| line.taken) {
                line.taken = false;
                self.server.respond(line.key, HttpResponse::empty(StatusCode::NO_CONTENT));
            }
            let live = self.lines.iter().filter(|line| !line.gone);
            let due = live.filter_map(|line| self.server.poll_timeout(line.key));
            match due.filter(|due| due.why != Why::Output).map(|due| due.at).min() {
                Some(at) => {
                    let ms = at.saturating_since(self.now).as_millis() + 1;
                    self.pass(u16::try_from(ms).unwrap_or(u16::MAX));
                }
                None => self.pass(0),
            }
        }
        self.run();
        assert_eq!(self.server.connections(), 0, "somebody is left");
        let mut told = BTreeMap::new();
        while let Some(event) = self.server.poll_event() {
            if let ServerEvent::Closed { connection, .. } = event {
                *told.entry(connection).or_insert(0) += 1;
            }
        }
        assert!(told.values().all(|times| *times == 1), "an end that is told twice");
    }
}

impl Line {
    fn feed(&mut self, to: usize) {
        self.fed += self.at_server.push(&self.wire[self.fed..to]);
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let key = [1, 2, 3, 4];
        let payload = &payload[..payload.len().min(125)];
        self.wire.extend([first, 0x80 | payload.len() as u8]);
        self.wire.extend(key);
        self.wire.extend(payload.iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]));
    }

    /// Reads what the server has said: whole responses, then frames.
    fn read(&mut self) {
        while !self.opened {
            // What speaks another protocol from its first octet is not read.
            if self.rest.first().is_some_and(|octet| *octet != b'H') {
                return self.rest.clear();
            }
            let Ok(Some(n)) = HeadScanner::new().find(&self.rest) else { return };
            let head = ResponseHead::parse(&self.rest[..n]).expect("a response");
            let length = match head.body {
                // To HEAD nothing follows whatever is said: what comes then is the next response.
                Some(BodyLength::Octets(length)) => length as usize,
                Some(BodyLength::None) => 0,
                other => panic!("{other:?} of a body that is whole"),
            };
            self.opened = head.status == StatusCode::SWITCHING_PROTOCOLS;
            let behind = &self.rest[n..];
            let bodiless = behind.is_empty() || behind.starts_with(b"HTTP/1.1 ");
            let n = if bodiless { n } else { n + length };
            if self.rest.len() < n {
                return;
            }
            self.rest.drain(..n);
            self.responses += 1;
            let asked = self.wire[..self.fed].windows(2).filter(|w| *w == b"\r\n").count();
            assert!(self.responses <= 2 * asked + 2, "more answers than questions");
        }
        while let [first, second, rest @ ..] = &self.rest[..] {
            assert!(!self.closed, "something behind a Close frame");
            assert!(
                matches!(first, 0x82 | 0x88 | 0x89 | 0x8a) && second & 0x80 == 0,
                "{first:02x} {second:02x}"
            );
            let (head, size) = match (second, rest) {
                (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                (126 | 127, _) => return,
                (size, _) => (2, usize::from(*size)),
            };
            assert!(head == 2 || size > 125, "a length that is not minimal");
            if self.rest.len() < head + size {
                return;
            }
            self.closed = *first == 0x88;
            self.rest.drain(..head + size);
        }
    }
}
