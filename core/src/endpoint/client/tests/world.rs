//! The harness: a world of one client, one server and the line between them.

use core::time::Duration;
use std::boxed::Box;
use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;

use super::super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::endpoint::carrier::tests::{Gate, carrier};
use crate::entropy::Seeded;
use crate::scram::{Credential, Decoy, ScramServer};
use crate::session::{
    Auth, Code, Config, Counts, Drain, Event, Message as Wire, Outcome, Response, ResumeKey, SendError,
    SessionId, Transport, Welcome,
};
use crate::status::Status;
use crate::time::Deadline;

/// What the server keeps of a session from connection to connection.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) id: u8,
    pub(super) counts: Counts,
    /// Reliable messages that the client has not acknowledged: payload; the first `sent` went out.
    outbox: VecDeque<String>,
    sent: usize,
}

/// A server that does as it is told.
pub(super) struct Script {
    pub(super) config: Config,
    pub(super) session: Option<Session>,
    pub(super) kept: Option<Kept>,
    sessions: u8,
    /// Reliable messages that come because of the first subscription of each session.
    pub(super) feed: Vec<String>,
    /// Does not answer subscriptions.
    pub(super) mute: bool,
    pub(super) subscribe_status: Status,
    pub(super) expiry: Duration,
    /// Refuses the next HELLO so.
    pub(super) refuse: Option<Code>,
    pub(super) resume_only_fresh: bool,
    pub(super) scram: Option<ScramServer>,
    pub(super) forge: bool,
    /// All that was published, payloads in order.
    pub(super) received: Vec<String>,
    /// All else that happened.
    pub(super) log: Vec<String>,
    /// Requests that came.
    pub(super) asked: Vec<(u64, Duration, String)>,
    fed: bool,
}

impl Script {
    fn new() -> Self {
        Script {
            config: Config::default(),
            session: None,
            kept: None,
            sessions: 0,
            feed: Vec::new(),
            mute: false,
            subscribe_status: Status::Ok,
            expiry: Duration::from_secs(60),
            refuse: None,
            resume_only_fresh: false,
            scram: None,
            forge: false,
            received: Vec::new(),
            log: Vec::new(),
            asked: Vec::new(),
            fed: false,
        }
    }

    /// Consumes what came, and puts the answers.
    fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf, out: &mut SharedSendBuf) {
        while let Some(mut session) = self.session.take() {
            let event = session.recv(now, buf);
            let more = event.is_some();
            if let Some(event) = event {
                self.on_event(now, &mut session, &event, out);
            }
            self.session = Some(session);
            if !more {
                break;
            }
        }
        self.feed_client(now, out);
    }

    fn on_event(&mut self, now: Instant, s: &mut Session, event: &Event<'_>, out: &mut SharedSendBuf) {
        match event {
            Event::Hello(hello) => self.on_hello(now, s, hello, out),
            Event::Auth(data) => {
                let mut memory = [0; 1024];
                match self.scram.as_mut().unwrap().handle_client_final(data, &mut memory) {
                    Ok(n) => {
                        if self.forge {
                            memory[3] ^= 1;
                        }
                        self.welcome(now, s, None, &memory[..n], out);
                    }
                    Err(_) => s.refuse(now, out, Code::AuthFailed, "").unwrap(),
                }
            }
            Event::Publish(m) => {
                self.received.push(String::from_utf8_lossy(m.payload).into());
            }
            Event::Subscribe(sub) => {
                self.log.push(std::format!("subscribe {} {}", sub.id, sub.filter));
                if !self.mute {
                    let status = self.subscribe_status;
                    let kind = Some(crate::session::Kind::Subscribe);
                    s.result(now, out, &Outcome { kind, id: sub.id, status, reason: "because" }).unwrap();
                    if !core::mem::replace(&mut self.fed, true) {
                        self.kept.as_mut().unwrap().outbox.extend(self.feed.iter().cloned());
                    }
                }
            }
            Event::Unsubscribe(id) => {
                self.log.push(std::format!("unsubscribe {id}"));
                let kind = Some(crate::session::Kind::Unsubscribe);
                s.result(now, out, &Outcome { kind, id: *id, status: Status::Ok, reason: "" }).unwrap();
            }
            Event::Request(r) => self.asked.push((r.id, r.timeout, r.topic.to_string())),
            Event::Acked(_) => {
                let kept = self.kept.as_mut().unwrap();
                let counts = s.counts();
                while kept.sent as u64 > counts.sent - counts.acked {
                    kept.outbox.pop_front();
                    kept.sent -= 1;
                }
            }
            Event::Credit(0, _) => {}
            Event::Closed(c) => {
                self.log.push(std::format!("closed {:?} {:?}", c.by, c.code));
                self.keep(s);
            }
            Event::Response(r) => {
                let text = String::from_utf8_lossy(r.payload);
                self.log.push(std::format!("response {} {:?} {} {text}", r.id, r.status, r.more));
            }
            other => self.log.push(std::format!("{other:?}")),
        }
    }

    fn keep(&mut self, s: &Session) {
        if let Some(kept) = &mut self.kept
            && s.is_ended()
            && s.counts() != Counts::default()
        {
            kept.counts = s.counts();
        }
    }

    fn on_hello(
        &mut self,
        now: Instant,
        s: &mut Session,
        hello: &crate::session::Hello<'_>,
        out: &mut SharedSendBuf,
    ) {
        self.log.push(std::format!("hello {:?}", hello.auth));
        if let Some(code) = self.refuse.filter(|_| !self.resume_only_fresh || hello.resume.is_some()) {
            return s.refuse(now, out, code, "no").unwrap();
        }
        match hello.auth {
            Auth::Password { user: "ann", password: b"pencil" } | Auth::Token(b"t0ken") | Auth::None => {}
            Auth::Scram(first) => {
                let mut entropy = Seeded::new(3);
                let decoy = Decoy::new(&mut entropy, 4096).unwrap();
                let stored = Credential::derive("pencil", b"sixteen octets!!", 4096).unwrap();
                let mut memory = [0; 1024];
                let known = |user: &str| (user == "ann").then_some(stored);
                let (scram, n) = ScramServer::first(first, known, &decoy, &mut entropy, &mut memory).unwrap();
                self.scram = Some(scram);
                return s.challenge(now, out, &memory[..n]).unwrap();
            }
            _ => return s.refuse(now, out, Code::AuthFailed, "wrong").unwrap(),
        }
        self.welcome(now, s, hello.resume, b"", out);
    }

    fn welcome(
        &mut self,
        now: Instant,
        s: &mut Session,
        resume: Option<(SessionId, ResumeKey, u64)>,
        auth: &[u8],
        out: &mut SharedSendBuf,
    ) {
        let wanted = resume.map(|(id, key, received)| (id.0[0], key, received));
        let found = self
            .kept
            .as_mut()
            .filter(|k| wanted.is_some_and(|(id, key, _)| id == k.id && key == ResumeKey([id ^ 0xff; 16])));
        let resumed = match (found, wanted) {
            (Some(kept), Some((_, _, received))) => {
                let before = kept.counts;
                let counts = before.resume(received).expect("RES-6");
                // What it has not received is sent again.
                kept.outbox.drain(..(received - before.acked) as usize);
                kept.sent = 0;
                Some(counts)
            }
            _ => {
                self.sessions += 1;
                self.kept = Some(Kept { id: self.sessions, ..Kept::default() });
                self.fed = false;
                None
            }
        };
        let id = self.sessions;
        let session = (!self.expiry.is_zero()).then_some((SessionId([id; 16]), ResumeKey([id ^ 0xff; 16])));
        let welcome = Welcome { session, expiry: self.expiry, auth, name: "script", ..Welcome::default() };
        s.welcome(now, out, &welcome, resumed).unwrap();
    }

    /// Sends what the session has for its client, as far as it may.
    fn feed_client(&mut self, now: Instant, out: &mut SharedSendBuf) {
        let (Some(s), Some(kept)) = (&mut self.session, &mut self.kept) else { return };
        while let Some(payload) = kept.outbox.get(kept.sent) {
            let message = Wire { reliable: true, ..Wire::new("feed", payload.as_bytes()) };
            match s.message(now, out, 1, &message) {
                Ok(()) => kept.sent += 1,
                Err(SendError::State) => break,
                Err(e) => {
                    assert!(e.is_blocked(), "{e}");
                    break;
                }
            }
        }
    }
}

/// The line: what is on its way, and how much it lets through before it is cut.
pub(super) struct Line {
    /// Where all goes through a WebSocket: the server's side of it.
    gate: Option<Box<Gate>>,
    to_server: SharedSendBuf,
    to_client: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    client_shut: bool,
    server_shut: bool,
}

impl Line {
    /// How much waits at the server's end, both ways.
    fn at_server(&self) -> [usize; 4] {
        let (received, to_send) =
            self.gate.as_ref().map_or((0, 0), |gate| (gate.received.filled().len(), gate.to_send.len()));
        [self.to_client.len(), self.at_server.filled().len(), received, to_send]
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) client: Client,
    pub(super) server: Script,
    pub(super) line: Option<Line>,
    /// Whether connections can be made.
    pub(super) reachable: bool,
    /// How many octets pass in all, to the server and to the client, before the line is cut, once.
    pub(super) cut: [Option<usize>; 2],
    /// How many octets pass at once.
    pub(super) piece: usize,
    /// How much room the client's send buffer has.
    pub(super) room: usize,
    /// Whether the application takes its events.
    pub(super) takes: bool,
    pub(super) events: Vec<ClientEvent>,
    pub(super) dials: Vec<Dial>,
    pub(super) passed: [usize; 2],
}

pub(super) fn config() -> ClientConfig {
    ClientConfig::default()
}

impl World {
    pub(super) fn new(config: ClientConfig) -> World {
        #[cfg(feature = "noise")]
        let config = super::over_noise::secure(config);
        let now = Instant::from_millis(1000);
        World {
            now,
            client: Client::new(now, config, Box::new(Seeded::new(5))),
            server: Script::new(),
            line: None,
            reachable: true,
            cut: [None; 2],
            piece: usize::MAX,
            room: 64 << 10,
            takes: true,
            events: Vec::new(),
            dials: Vec::new(),
            passed: [0; 2],
        }
    }

    /// A world in which the client is connected, and its events so far are forgotten.
    pub(super) fn connected(config: ClientConfig) -> World {
        let mut world = World::new(config);
        world.run();
        assert!(world.client.is_connected(), "{:?}", world.events);
        world.events.clear();
        world
    }

    /// Moves whatever moves at this instant.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("it never comes to rest; due: {:?}", self.client.poll_timeout());
    }

    fn turn(&mut self) -> bool {
        let mut moved = self.take_events();
        if let Some(dial) = self.client.poll_connect(self.now) {
            moved = true;
            self.dials.push(dial);
            if self.reachable {
                self.connect();
            } else {
                self.client.handle_connect_failed(self.now);
            }
        }
        moved | self.turn_client() | self.turn_server() | self.pass(0) | self.pass(1)
    }

    fn connect(&mut self) {
        let carrier = carrier();
        self.client.handle_connected_over(self.now, &carrier);
        self.server.session = Some(Session::accept(self.now, &self.server.config));
        let gate = (carrier != Carrier::Transport).then(Box::default);
        #[cfg(feature = "noise")]
        let gate = gate.or_else(|| super::over_noise::is_told().then(|| Box::new(Gate::secure())));
        self.line = Some(Line {
            gate,
            to_server: SharedSendBuf::new(self.room),
            to_client: SharedSendBuf::new(64 << 10),
            at_server: GrowingRecvBuf::new(2 << 20),
            at_client: GrowingRecvBuf::new(2 << 20),
            client_shut: false,
            server_shut: false,
        });
    }

    pub(super) fn take_events(&mut self) -> bool {
        let before = self.events.len();
        while self.takes {
            match self.client.poll_event() {
                Some(event) => self.events.push(event),
                None => break,
            }
        }
        self.events.len() > before
    }

    fn turn_client(&mut self) -> bool {
        let Some(line) = &mut self.line else { return false };
        let before = (line.to_server.len(), line.at_client.filled().len());
        if self.client.wants_read() {
            self.client.recv(self.now, &mut line.at_client);
        }
        let verdict = self.client.poll_transmit(self.now, &mut line.to_server);
        let moved = before != (line.to_server.len(), line.at_client.filled().len());
        match verdict {
            Transport::Open => moved,
            Transport::Shut => moved | !core::mem::replace(&mut line.client_shut, true),
            Transport::Drop if !line.to_server.is_empty() => moved,
            Transport::Drop | Transport::Abort => {
                self.cut_line();
                true
            }
        }
    }

    fn turn_server(&mut self) -> bool {
        let Some(line) = &mut self.line else { return false };
        let before = line.at_server();
        if let Some(gate) = &mut line.gate {
            gate.decode(self.now, &mut line.at_server);
        }
        self.server.recv(self.now, &mut line.at_server, &mut line.to_client);
        let Some(session) = &mut self.server.session else { return false };
        let mut verdict = session.poll_transmit(self.now, &mut line.to_client);
        if let Some(gate) = &mut line.gate {
            verdict = gate.encode(self.now, verdict, &mut line.to_client);
        }
        if !matches!(verdict, Transport::Open) {
            line.server_shut = true;
        }
        before != line.at_server()
    }

    /// Moves octets in one direction, and tells its end.
    fn pass(&mut self, way: usize) -> bool {
        let Some(line) = &mut self.line else { return false };
        let (from, to, shut) = match (way, &mut line.gate) {
            (0, None) => (&mut line.to_server, &mut line.at_server, line.client_shut),
            (0, Some(gate)) => (&mut line.to_server, &mut gate.received, line.client_shut),
            (_, None) => (&mut line.to_client, &mut line.at_client, line.server_shut),
            (_, Some(gate)) => (&mut gate.to_send, &mut line.at_client, line.server_shut),
        };
        let left = self.cut[way].unwrap_or(usize::MAX);
        let octets: Vec<u8> = from.slices().flatten().copied().take(self.piece.min(left)).collect();
        to.push(&octets);
        from.sent(octets.len());
        self.passed[way] += octets.len();
        if let Some(left) = &mut self.cut[way] {
            *left -= octets.len();
            if *left == 0 {
                self.cut[way] = None;
                // What arrived before the cut is read before it is noticed.
                self.turn_client();
                self.turn_server();
                self.cut_line();
                return true;
            }
        }
        if octets.is_empty() && shut && way == 1 && self.client.wants_read() {
            line.server_shut = false;
            self.client.handle_eof(self.now);
            return true;
        }
        !octets.is_empty()
    }

    /// The transport breaks, for both sides.
    pub(super) fn cut_line(&mut self) {
        if self.line.take().is_none() {
            return;
        }
        self.client.handle_transport_gone(self.now);
        if let Some(mut session) = self.server.session.take() {
            session.handle_eof(self.now);
            if let Some(event) = session.poll_closed() {
                let mut out = SharedSendBuf::new(0);
                self.server.on_event(self.now, &mut session, &event, &mut out);
            }
        }
    }

    /// Lets time pass, stopping at every deadline.
    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        let mut idle = 0;
        loop {
            let server = self.server.session.as_ref().and_then(Session::poll_timeout);
            let Some(Deadline { at, .. }) = Deadline::earliest(self.client.poll_timeout(), server) else {
                break;
            };
            if at > end {
                break;
            }
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 100, "a deadline that nothing satisfies: {:?}", self.client.poll_timeout());
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            if let Some(mut session) = self.server.session.take() {
                if let Some(event) = session.handle_timeout(self.now) {
                    let mut out = SharedSendBuf::new(0);
                    self.server.on_event(self.now, &mut session, &event, &mut out);
                }
                self.server.session = Some(session);
            }
            self.run();
        }
        self.now = end;
        self.client.handle_timeout(self.now);
        self.run();
    }

    /// Calls the server's session.
    pub(super) fn serve<T>(
        &mut self,
        call: impl FnOnce(&mut Session, Instant, &mut SharedSendBuf) -> T,
    ) -> T {
        let line = self.line.as_mut().expect("a connection");
        call(self.server.session.as_mut().unwrap(), self.now, &mut line.to_client)
    }

    pub(super) fn answer(&mut self, id: u64, status: Status, more: bool, payload: &[u8]) {
        let properties = crate::session::Properties::NONE;
        let response = Response { id, status, more, payload, properties };
        self.serve(|s, now, out| s.respond(now, out, &response)).unwrap();
        self.run();
    }

    pub(super) fn drain(&mut self, retry_after: u64, endpoint: &str) {
        let drain = Drain {
            deadline: Duration::from_secs(5),
            retry_after: Duration::from_secs(retry_after),
            endpoint,
        };
        self.serve(|s, now, out| s.drain(now, out, &drain)).unwrap();
        self.run();
    }

    /// Publishes reliably.
    #[expect(clippy::needless_pass_by_value, reason = "so that tests read well")]
    pub(super) fn publish(&mut self, payload: impl ToString) -> PublishId {
        let payload = payload.to_string().into_bytes();
        self.client.publish(self.now, Publish { reliable: true, ..Publish::new("t", payload) }).unwrap()
    }

    /// Payloads of the messages that the application took.
    pub(super) fn messages(&self) -> Vec<String> {
        let payload = |e: &ClientEvent| match e {
            ClientEvent::Message { message, .. } => {
                Some(String::from_utf8_lossy(message.payload()).into_owned())
            }
            _ => None,
        };
        self.events.iter().filter_map(payload).collect()
    }

    /// How many events are such.
    pub(super) fn count(&self, such: impl Fn(&ClientEvent) -> bool) -> usize {
        self.events.iter().filter(|e| such(e)).count()
    }

    pub(super) fn closed(&self) -> Option<&Reason> {
        match self.events.last() {
            Some(ClientEvent::Closed { reason, .. }) => Some(reason),
            _ => None,
        }
    }
}

pub(super) fn numbers(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}
