//! A server and its clients in memory, on virtual time.

use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::super::*;
use crate::access::{Access, Action, Decision, Who};
use crate::buf::{GrowingRecvBuf, SharedSendBuf};
use crate::entropy::Seeded;
use crate::hub::{HubOptions, SubscribeOptions};
use crate::scram::{Credential, ScramClient};
use crate::session::{
    Auth, Connect, Event, Features, Limits, Message, Outcome, Property, Request, Response, Resume, ResumeKey,
    SendError, Session, SessionId, Subscribe, Transport,
};

mod kept;
mod rooms;

/// One client: its session, what it wrote, what it received, what it was told.
struct Client {
    session: Session,
    connection: ConnectionKey,
    out: SharedSendBuf,
    received: GrowingRecvBuf,
    log: Vec<String>,
    /// What the server has for it, not delivered while `stalled`.
    line: SharedSendBuf,
    at_server: GrowingRecvBuf,
    stalled: bool,
    credentials: Option<(SessionId, ResumeKey)>,
    scram: Option<ScramClient>,
    ended: Option<Transport>,
}

struct World {
    now: Instant,
    server: Server,
    clients: Vec<Client>,
}

impl World {
    fn new(config: ServerConfig) -> World {
        let server = Server::new(config, Box::new(Seeded::new(7)));
        World { now: Instant::from_millis(1), server, clients: Vec::new() }
    }

    fn connect_with(&mut self, config: &Config, connect: &Connect<'_>) -> usize {
        self.connect_from(Peer::default(), config, connect)
    }

    fn connect_from(&mut self, peer: Peer, config: &Config, connect: &Connect<'_>) -> usize {
        let connection = self.server.accept(self.now, peer).unwrap();
        let mut out = SharedSendBuf::new(1 << 20);
        let session = Session::connect(self.now, config, connect, &mut out).unwrap();
        self.clients.push(Client {
            session,
            connection,
            out,
            received: GrowingRecvBuf::new(1 << 21),
            log: vec![],
            line: SharedSendBuf::new(64 << 10),
            at_server: GrowingRecvBuf::new(1 << 21),
            stalled: false,
            credentials: None,
            scram: None,
            ended: None,
        });
        self.run();
        self.clients.len() - 1
    }

    fn connect(&mut self) -> usize {
        let connect = Connect { expiry: Duration::from_secs(60), ..Connect::default() };
        let i = self.connect_with(&Config::default(), &connect);
        assert_eq!(self.take(i), ["welcome"]);
        i
    }

    /// Moves octets both ways until nothing moves.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for i in 0..self.clients.len() {
                moved |= self.carry_up(i);
                moved |= self.carry_down(i);
            }
            while self.server.poll_ready().is_some() {
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn carry_up(&mut self, i: usize) -> bool {
        let (now, c) = (self.now, &mut self.clients[i]);
        let _ = c.session.poll_transmit(now, &mut c.out);
        let bytes: Vec<u8> = c.out.slices().flatten().copied().collect();
        c.out.sent(bytes.len());
        c.at_server.push(&bytes);
        if let Some(work) = self.server.poll_verification(c.connection) {
            self.server.verified(now, c.connection, work.run(), &mut c.line);
        }
        self.server.recv(now, c.connection, &mut c.at_server, &mut c.line);
        !bytes.is_empty()
    }

    fn carry_down(&mut self, i: usize) -> bool {
        let (now, c) = (self.now, &mut self.clients[i]);
        let transport = self.server.poll_transmit(now, c.connection, &mut c.line);
        c.ended = (transport != Transport::Open).then_some(transport);
        if c.stalled {
            return false;
        }
        let bytes: Vec<u8> = c.line.slices().flatten().copied().collect();
        c.line.sent(bytes.len());
        c.received.push(&bytes);
        while let Some(event) = c.session.recv(now, &mut c.received) {
            if let Event::Welcome(w) = &event {
                c.credentials = w.session;
            }
            if let Event::Auth(data) = &event {
                let mut answer = [0; 1024];
                let scram = c.scram.as_mut().unwrap();
                let n = scram.handle_server_first(data, &mut answer).unwrap();
                c.session.authenticate(now, &mut c.out, &answer[..n]).unwrap();
                continue;
            }
            let line = describe(&event);
            c.log.push(line);
        }
        !bytes.is_empty()
    }

    fn call(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut Session, Instant, &mut SharedSendBuf) -> Result<(), SendError>,
    ) {
        let c = &mut self.clients[i];
        f(&mut c.session, self.now, &mut c.out).unwrap();
        self.run();
    }

    fn subscribe(&mut self, i: usize, id: u64, filter: &str, reliable: bool, serve: bool) {
        let s = Subscribe { id, filter, reliable, serve, ..Subscribe::default() };
        self.call(i, |session, now, out| session.subscribe(now, out, &s));
        // Messages may have come before, and retained ones behind it.
        let answer = format!("Subscribe {id} OK");
        let log = &mut self.clients[i].log;
        let at = log.iter().position(|line| *line == answer).unwrap_or_else(|| panic!("{log:?}"));
        log.remove(at);
    }

    fn publish(&mut self, i: usize, topic: &str, payload: &str, reliable: bool) {
        let message = Message { reliable, ..Message::new(topic, payload.as_bytes()) };
        self.call(i, |session, now, out| session.publish(now, out, &message));
    }

    fn take(&mut self, i: usize) -> Vec<String> {
        core::mem::take(&mut self.clients[i].log)
    }

    /// The connection breaks; what was on its way is lost.
    fn cut(&mut self, i: usize) -> Resume {
        let c = &mut self.clients[i];
        c.session.handle_eof(self.now);
        self.server.disconnect(self.now, c.connection);
        let (session, key) = c.credentials.unwrap();
        Resume { session, key, counts: c.session.counts() }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.server.handle_hub_timeout(self.now);
        for i in 0..self.clients.len() {
            let c = &mut self.clients[i];
            self.server.handle_timeout(self.now, c.connection);
            if let Some(event) = c.session.handle_timeout(self.now) {
                c.log.push(describe(&event));
            }
        }
        self.run();
    }

    fn events(&mut self) -> Vec<ServerEvent> {
        core::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

fn describe(event: &Event<'_>) -> String {
    let text = String::from_utf8_lossy;
    match event {
        Event::Welcome(w) if w.received.is_some() => "welcome back".into(),
        Event::Welcome(_) => "welcome".into(),
        Event::Message(id, m) => {
            let place = m.properties.iter().find_map(|p| match p {
                Property::Recorded(offset, at) => Some(format!(" #{offset}@{at}")),
                _ => None,
            });
            format!("{id} {}={}{}", m.topic, text(m.payload), place.unwrap_or_default())
        }
        Event::Result(Outcome { kind, id, status, .. }) => {
            format!(
                "{} {id} {}",
                kind.map_or("?", |k| if k == crate::session::Kind::Subscribe {
                    "Subscribe"
                } else {
                    k.name()
                }),
                name(*status)
            )
        }
        Event::Request(r) => format!("request {} {}={}", r.subscription, r.topic, text(r.payload)),
        Event::Response(r) => {
            format!(
                "response {} {}{} {}",
                r.id,
                name(r.status),
                if r.more { "+" } else { "" },
                text(r.payload)
            )
        }
        Event::Closed(c) => {
            format!("closed {:?} {}", c.by, c.code.map_or("-".to_string(), |c| c.to_string()))
        }
        Event::Joined(j) => format!("{} joined at {}, {}", j.id, j.offset, j.count),
        Event::Presence { id, data, gone, .. } => {
            format!("{id} {} {}", if *gone { "gone" } else { "there" }, text(data))
        }
        other => format!("{other:?}"),
    }
}

fn name(status: crate::status::Status) -> String {
    match status {
        crate::status::Status::Ok => "OK".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_message_reaches_its_subscribers_and_no_one_else() {
    let mut w = World::new(ServerConfig::default());
    let (a, b, c) = (w.connect(), w.connect(), w.connect());
    w.subscribe(b, 1, "home/+", false, false);
    w.subscribe(b, 2, "home/#", false, false);
    w.publish(a, "home/door", "open", false);
    let mut got = w.take(b);
    got.sort();
    assert_eq!(got, ["1 home/door=open", "2 home/door=open"], "MSG-2");
    assert!(w.take(c).is_empty());
    assert!(w.take(a).is_empty());
    w.call(b, |s, now, out| s.unsubscribe(now, out, 9));
    assert_eq!(w.take(b), ["UNSUBSCRIBE 9 NotFound"], "SUB-3");
}

#[test]
fn at_least_once_survives_a_cut_without_loss_or_duplicate() {
    let mut w = World::new(ServerConfig::default());
    let (a, b) = (w.connect(), w.connect());
    w.subscribe(b, 1, "t", true, false);
    w.publish(a, "t", "1", true);
    assert_eq!(w.take(b), ["1 t=1"]);
    assert_eq!(w.take(a), ["Acked(1)"]);
    // What is sent while the line is dead is lost on the wire, not in the session.
    w.clients[b].stalled = true;
    w.publish(a, "t", "2", true);
    let resume = w.cut(b);
    w.publish(a, "t", "3", true);
    let connect = Connect { resume: Some(resume), expiry: Duration::from_secs(60), ..Connect::default() };
    let b = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(b), ["welcome back", "1 t=2", "1 t=3"]);
    w.run();
    assert_eq!(w.server.hub().counters().queued, 0, "all was acknowledged");
}

#[test]
fn nobody_resumes_somebody_else_s_session() {
    let mut w = World::new(ServerConfig::default());
    let b = w.connect();
    let mut resume = w.cut(b);
    resume.key = ResumeKey([0; 16]);
    let connect = Connect { resume: Some(resume), ..Connect::default() };
    let thief = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(thief), ["closed Remote SESSION_REFUSED"], "RES-4");
    let (session, key) = w.clients[b].credentials.unwrap();
    let counts = w.clients[b].session.counts();
    let connect = Connect { resume: Some(Resume { session, key, counts }), ..Connect::default() };
    let back = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(back), ["welcome back"], "untouched");
}

#[test]
fn a_new_connection_takes_the_session_over() {
    let mut w = World::new(ServerConfig::default());
    let b = w.connect();
    w.subscribe(b, 1, "t", true, false);
    let (session, key) = w.clients[b].credentials.unwrap();
    let resume = Resume { session, key, counts: w.clients[b].session.counts() };
    let connect = Connect { resume: Some(resume), expiry: Duration::from_secs(60), ..Connect::default() };
    let again = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(b), ["closed Remote TAKEN_OVER"], "RES-9");
    assert_eq!(w.take(again), ["welcome back"]);
    w.publish(again, "t", "x", true);
    assert_eq!(w.take(again), ["Acked(1)", "1 t=x"]);
}

#[test]
fn a_resumed_session_lives_as_long_as_was_asked_last() {
    let mut w = World::new(ServerConfig::default());
    let b = w.connect();
    let resume = w.cut(b);
    let connect = Connect { resume: Some(resume), expiry: Duration::ZERO, ..Connect::default() };
    let b = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(b), ["welcome back"]);
    w.server.disconnect(w.now, w.clients[b].connection);
    assert_eq!(w.server.hub().counters().sessions, 0, "it ended with its connection");
}

#[test]
fn who_runs_out_of_time_while_the_password_is_checked_leaves_nothing_behind() {
    let mut users = Users::new(Anonymous::Never);
    users.add_password("ann", Credential::derive("pencil", b"0123456789abcdef", 4096).unwrap());
    let mut server = Server::new(ServerConfig { users, ..ServerConfig::default() }, Box::new(Seeded::new(1)));
    let now = Instant::from_millis(1);
    let c = server.accept(now, Peer::default()).unwrap();
    let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    let auth = Auth::Password { user: "ann", password: b"pencil" };
    let connect = Connect { auth, expiry: Duration::from_secs(60), ..Connect::default() };
    Session::connect(now, &Config::default(), &connect, &mut out).unwrap();
    received.push(&out.slices().flatten().copied().collect::<Vec<_>>());
    let mut out = SharedSendBuf::new(1 << 20);
    server.recv(now, c, &mut received, &mut out);
    let work = server.poll_verification(c).unwrap();
    let late = now + Duration::from_secs(5);
    server.handle_timeout(late, c);
    server.verified(late, c, work.run(), &mut out);
    assert_eq!(server.hub().counters().sessions, 0);
}

#[test]
fn a_session_expires() {
    let mut w = World::new(ServerConfig::default());
    let b = w.connect();
    w.subscribe(b, 1, "t", true, false);
    let resume = w.cut(b);
    w.events();
    w.advance(Duration::from_secs(61));
    assert!(matches!(w.events()[..], [ServerEvent::Expired { .. }]));
    assert_eq!(w.server.hub().counters().subscriptions, 0);
    let connect = Connect { resume: Some(resume), ..Connect::default() };
    let b = w.connect_with(&Config::default(), &connect);
    assert_eq!(w.take(b), ["welcome"], "RES-3: a new session");
}

#[test]
fn requests_are_answered_or_say_why_not() {
    let mut w = World::new(ServerConfig::default());
    let (a, b) = (w.connect(), w.connect());
    let ask = |id, many| Request {
        id,
        subscription: 0,
        timeout: Duration::from_secs(1),
        many,
        topic: "sum",
        payload: b"1+1",
        properties: Default::default(),
    };
    w.call(a, |s, now, out| s.request(now, out, &ask(1, false)));
    assert_eq!(w.take(a), ["response 1 NoResponder "], "REQ-5");
    w.subscribe(b, 5, "sum", false, true);
    w.call(a, |s, now, out| s.request(now, out, &ask(2, false)));
    assert_eq!(w.take(b), ["request 5 sum=1+1"]);
    w.advance(Duration::from_millis(1001));
    assert_eq!(w.take(a), ["response 2 Timeout "], "REQ-5");
    w.take(b);
    w.call(a, |s, now, out| s.request(now, out, &ask(3, true)));
    w.take(b);
    w.cut(b);
    w.run();
    assert_eq!(w.take(a).last().unwrap(), "response 3 OK ", "REQ-4");
}

#[test]
fn a_responder_answers_by_the_hub_s_id() {
    let mut w = World::new(ServerConfig::default());
    let local = w.server.local(w.now).unwrap();
    let options = SubscribeOptions { serve: true, ..SubscribeOptions::default() };
    w.server.local_subscribe(w.now, local, 1, "sum", options).unwrap();
    let a = w.connect();
    let request = Request {
        id: 9,
        subscription: 0,
        timeout: Duration::ZERO,
        many: false,
        topic: "sum",
        payload: b"1+1",
        properties: Default::default(),
    };
    w.call(a, |s, now, out| s.request(now, out, &request));
    assert_eq!(w.server.poll_local_ready(), Some(local));
    let mut asked = None;
    w.server.poll_local(w.now, local, 10, |event| {
        if let LocalEvent::Request { id, message, .. } = event {
            asked = Some((id, message.payload().to_vec()));
        }
    });
    let (id, payload) = asked.unwrap();
    assert_eq!(payload, b"1+1");
    w.server.local_respond(w.now, local, id, crate::status::Status::Ok, false, &"2".into()).unwrap();
    w.run();
    assert_eq!(w.take(a), ["response 9 OK 2"]);
    // An answer that nobody waits for is ignored (REQ-6).
    let response = Response {
        id: 77,
        status: crate::status::Status::Ok,
        more: false,
        payload: b"",
        properties: Default::default(),
    };
    w.call(a, |s, now, out| s.respond(now, out, &response));
    assert!(w.take(a).is_empty());
}

#[test]
fn a_stalled_subscriber_delays_nobody_and_is_bounded() {
    let queue = QueueLimits { max_messages: 10, ..QueueLimits::default() };
    let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
    let (a, b, c) = (w.connect(), w.connect(), w.connect());
    w.subscribe(b, 1, "t", false, false);
    w.subscribe(c, 1, "t", false, false);
    w.clients[b].stalled = true;
    let payload = "x".repeat(1000);
    for _ in 0..500 {
        w.publish(a, "t", &payload, false);
    }
    assert_eq!(w.take(c).len(), 500);
    let counters = w.server.hub().counters();
    assert!(counters.queued <= 10, "{}", counters.queued);
    assert!(counters.dropped.total() > 0);
    let overflows = |e: &ServerEvent| matches!(e, ServerEvent::Overflow { .. });
    assert_eq!(w.events().iter().filter(|e| overflows(e)).count(), 1, "the operator is told, once");
}

#[test]
fn a_slow_consumer_is_told_why_it_is_closed() {
    let queue = QueueLimits { max_messages: 10, policy: Policy::Disconnect, ..QueueLimits::default() };
    let mut w = World::new(ServerConfig { queue, ..ServerConfig::default() });
    let (a, b) = (w.connect(), w.connect());
    w.subscribe(b, 1, "t", false, false);
    w.clients[b].stalled = true;
    let payload = "x".repeat(1000);
    for _ in 0..200 {
        w.publish(a, "t", &payload, false);
    }
    w.clients[b].stalled = false;
    w.run();
    assert_eq!(w.take(b).last().unwrap(), "closed Remote SLOW_CONSUMER");
}

#[test]
fn authentication_by_password_token_and_scram() {
    let mut users = Users::new(Anonymous::Never);
    users.add_password("ann", Credential::derive("pencil", b"0123456789abcdef", 4096).unwrap());
    users.add_token(b"secret", "sensor");
    let mut w = World::new(ServerConfig { users, ..ServerConfig::default() });
    let mut tried = |auth: Auth<'_>| {
        let connect = Connect { auth, ..Connect::default() };
        let i = w.connect_with(&Config::default(), &connect);
        w.take(i).join(",")
    };
    assert_eq!(tried(Auth::None), "closed Remote AUTH_FAILED");
    assert_eq!(tried(Auth::Password { user: "ann", password: b"pencil" }), "welcome");
    assert_eq!(tried(Auth::Password { user: "ann", password: b"pen" }), "closed Remote AUTH_FAILED");
    assert_eq!(tried(Auth::Password { user: "bob", password: b"pencil" }), "closed Remote AUTH_FAILED");
    assert_eq!(tried(Auth::Token(b"secret")), "welcome");
    assert_eq!(tried(Auth::Token(b"secreT")), "closed Remote AUTH_FAILED");
    assert_eq!(tried(Auth::Other(70, b"")), "closed Remote AUTH_METHOD");
    for (password, outcome) in [("pencil", "welcome"), ("pen", "closed Remote AUTH_FAILED")] {
        let mut scram = ScramClient::new("ann", password, &mut Seeded::new(3)).unwrap();
        let mut first = [0; 256];
        let n = scram.first(&mut first).unwrap();
        let connect = Connect { auth: Auth::Scram(&first[..n]), ..Connect::default() };
        let i = w.clients.len();
        let connection = w.server.accept(w.now, Peer::default()).unwrap();
        let mut out = SharedSendBuf::new(1 << 20);
        let session = Session::connect(w.now, &Config::default(), &connect, &mut out).unwrap();
        let received = GrowingRecvBuf::new(1 << 20);
        let (line, at_server) = (SharedSendBuf::new(1 << 16), GrowingRecvBuf::new(1 << 20));
        w.clients.push(Client {
            session,
            connection,
            out,
            received,
            log: vec![],
            line,
            at_server,
            stalled: false,
            credentials: None,
            scram: Some(scram),
            ended: None,
        });
        w.run();
        assert_eq!(w.take(i), [outcome]);
    }
}

#[test]
fn a_drain_tells_everyone_and_ends() {
    let mut w = World::new(ServerConfig::default());
    let (a, b) = (w.connect(), w.connect());
    w.server.drain(w.now, Duration::from_secs(10), Duration::from_secs(1), "elsewhere:1");
    w.run();
    for i in [a, b] {
        let log = w.take(i);
        assert!(log[0].contains("elsewhere:1"), "{log:?}");
    }
    assert_eq!(w.server.accept(w.now, Peer::default()), Err(Refused::Draining));
    w.clients[a].session.close(w.now, Code::GoingAway, "");
    w.run();
    assert_eq!(w.take(a), ["closed Local GOING_AWAY"]);
    w.advance(Duration::from_secs(10));
    assert_eq!(w.take(b), ["closed Remote GOING_AWAY"], "END-8: at the deadline");
    for i in [a, b] {
        w.server.disconnect(w.now, w.clients[i].connection);
    }
    assert!(w.server.is_drained());
}

#[test]
fn every_connection_says_once_that_it_has_ended() {
    let users = Users::new(Anonymous::Never);
    let mut w = World::new(ServerConfig { users, ..ServerConfig::default() });
    let refused = w.connect_with(&Config::default(), &Connect::default());
    let closed = w.server.accept(w.now, Peer::default()).unwrap();
    let silent = w.server.accept(w.now, Peer::default()).unwrap();
    w.server.close(w.now, closed, Code::Normal, "not needed");
    for connection in [w.clients[refused].connection, closed, silent] {
        w.server.disconnect(w.now, connection);
        w.server.disconnect(w.now, connection);
    }
    let code = |e: &ServerEvent| match e {
        ServerEvent::Closed { code, .. } => *code,
        other => panic!("{other:?}"),
    };
    let codes: Vec<_> = w.events().iter().map(code).collect();
    assert_eq!(codes, [Some(Code::AuthFailed), Some(Code::Normal), None]);
}

#[test]
fn strangers_are_bounded() {
    let stranger = Peer { address: Some("192.0.2.1".parse().unwrap()), ..Peer::default() };
    let config = ServerConfig { max_connections: 3, max_per_address: 2, ..ServerConfig::default() };
    let mut server = Server::new(config, Box::new(Seeded::new(1)));
    let now = Instant::from_millis(1);
    let first = server.accept(now, stranger).unwrap();
    server.accept(now, stranger).unwrap();
    assert!(matches!(server.accept(now, stranger), Err(Refused::Address(..))));
    server.accept(now, Peer::default()).unwrap();
    assert!(matches!(server.accept(now, Peer::default()), Err(Refused::Connections(3))));
    server.disconnect(now, first);
    server.accept(now, stranger).unwrap();
    assert_eq!(server.connections(), 3);
}

/// Who says nothing gives way to who comes, is told why, and who has said something stays.
#[test]
fn a_flood_of_silence_keeps_nobody_out() {
    let mut w = World::new(ServerConfig { max_strangers: 4, ..ServerConfig::default() });
    w.connect();
    let silent: Vec<_> = (0..4).map(|_| w.server.accept(w.now, Peer::default()).unwrap()).collect();
    while w.server.poll_ready().is_some() {}
    w.events();
    w.server.accept(w.now, Peer::default()).unwrap();
    assert_eq!(w.server.poll_ready(), Some(silent[0]), "and not the client, who came before");
    let mut out = SharedSendBuf::new(1 << 20);
    assert_eq!(w.server.poll_transmit(w.now, silent[0], &mut out), Transport::Shut);
    assert!(!out.is_empty(), "CLOSE says why");
    w.server.disconnect(w.now, silent[0]);
    let told = w.events();
    let [ServerEvent::Closed { code: Some(Code::Quota), reason, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(reason, GIVES_WAY);
}

#[test]
fn garbage_and_silence_are_closed_with_a_reason() {
    let mut w = World::new(ServerConfig::default());
    let c = w.server.accept(w.now, Peer::default()).unwrap();
    let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    received.push(b"SSH-2.0-x\r\n");
    w.server.recv(w.now, c, &mut received, &mut out);
    assert!(matches!(&w.events()[..], [ServerEvent::Closed { code: Some(Code::BadPreface), .. }]));
    assert_eq!(w.server.poll_transmit(w.now, c, &mut out), Transport::Shut);
    assert!(!out.is_empty(), "CLOSE says why");
    let silent = w.server.accept(w.now, Peer::default()).unwrap();
    assert_eq!(w.server.poll_timeout(silent).unwrap().at, w.now + Duration::from_secs(5));
    w.now = w.now + Duration::from_secs(5);
    w.server.handle_timeout(w.now, silent);
    assert!(matches!(&w.events()[..], [ServerEvent::Closed { code: Some(Code::HandshakeTimeout), .. }]));
}

#[test]
fn a_refusal_is_told_once() {
    let mut w = World::new(ServerConfig::default());
    let connect = Connect { auth: Auth::Token(b"wrong"), ..Connect::default() };
    let a = w.connect_with(&Config::default(), &connect);
    let key = w.clients[a].connection;
    w.server.handle_eof(w.now, key);
    w.server.disconnect(w.now, key);
    let mut told = vec![];
    while let Some(event) = w.server.poll_event() {
        if let ServerEvent::Closed { code, reason, .. } = event {
            told.push((code, reason));
        }
    }
    assert_eq!(told, [(Some(Code::AuthFailed), String::from("authentication failed"))]);
}

#[test]
fn a_message_larger_than_a_subscriber_takes_is_dropped_and_the_rest_comes() {
    let mut w = World::new(ServerConfig { hub: HubOptions::default(), ..ServerConfig::default() });
    let a = w.connect();
    let small = Config { limits: Limits { max_frame: 256, ..Limits::default() }, ..Config::default() };
    let b = w.connect_with(&small, &Connect::default());
    w.take(b);
    w.subscribe(b, 1, "t", true, false);
    w.publish(a, "t", &"x".repeat(300), true);
    w.publish(a, "t", &"x".repeat(300), false);
    w.publish(a, "t", "y", true);
    assert_eq!(w.take(b), ["1 t=y"]);
    let counters = w.server.hub().counters();
    assert_eq!((counters.dropped.refused, counters.queued), (2, 0));
}

struct ReadOnly;

impl Access for ReadOnly {
    fn decide(&self, _: &Who<'_>, action: Action, _: &str) -> Decision {
        matches!(action, Action::Connect | Action::Subscribe).into()
    }
}

/// Nobody who calls itself `intruder`, and nobody from elsewhere.
struct Door;

impl Access for Door {
    fn decide(&self, who: &Who<'_>, action: Action, _: &str) -> Decision {
        (action != Action::Connect || (who.client_id != "intruder" && who.address.is_none())).into()
    }
}

#[test]
fn rules_decide_who_may_connect() {
    let mut w = World::new(ServerConfig::default());
    w.server.set_access(Box::new(Door));
    let a = w.connect_with(&Config::default(), &Connect { name: "friend", ..Connect::default() });
    assert_eq!(w.take(a), ["welcome"]);
    let b = w.connect_with(&Config::default(), &Connect { name: "intruder", ..Connect::default() });
    let told = w.take(b);
    assert_eq!(told, ["closed Remote NOT_AUTHORIZED"]);
    assert_eq!(w.server.hub().counters().sessions, 1);
}

/// A session that goes on from elsewhere is judged by where its client is now.
#[test]
fn a_resumed_session_has_its_new_address() {
    let users = Users::new(Anonymous::Always);
    let mut w = World::new(ServerConfig { users, ..ServerConfig::default() });
    let a = w.connect();
    let (id, key) = w.clients[a].credentials.unwrap();
    let resume = Resume { session: id, key, counts: w.clients[a].session.counts() };
    let connect = Connect { resume: Some(resume), expiry: Duration::from_secs(60), ..Connect::default() };
    let address = Some(core::net::IpAddr::from([192, 0, 2, 1]));
    w.server.set_access(Box::new(Door));
    let b = w.connect_from(Peer { address, ..Peer::default() }, &Config::default(), &connect);
    assert_eq!(w.take(b), ["closed Remote NOT_AUTHORIZED"]);
    w.server.set_access(Box::new(ReadOnly));
    let b = w.connect_from(Peer { address, ..Peer::default() }, &Config::default(), &connect);
    assert_eq!(w.take(b), ["welcome back"]);
    let hub = w.server.registry.find(super::super::registry::Sought::Bowline(id)).unwrap();
    assert_eq!(w.server.hub().who(hub).unwrap().address, address);
}

/// Other users count for who comes from then on; who is there stays.
#[test]
fn users_are_changed_while_they_are_connected() {
    let users = |name: &str, password: &str| {
        let mut users = Users::new(Anonymous::Never);
        users.add_password(name, Credential::derive(password, b"salt", 4096).unwrap());
        users
    };
    let mut w = World::new(ServerConfig { users: users("ann", "one"), ..ServerConfig::default() });
    let login = |w: &mut World, user, password: &'static [u8]| {
        let auth = Auth::Password { user, password };
        let i = w.connect_with(&Config::default(), &Connect { auth, ..Connect::default() });
        (i, w.take(i).remove(0))
    };
    let (ann, told) = login(&mut w, "ann", b"one");
    assert_eq!(told, "welcome");
    assert_eq!(w.server.set_users(users("bob", "two")).len(), 1);
    assert_eq!(login(&mut w, "ann", b"one").1, "closed Remote AUTH_FAILED");
    assert_eq!(login(&mut w, "bob", b"two").1, "welcome");
    w.subscribe(ann, 1, "t", false, false);
    w.publish(ann, "t", "x", false);
    assert_eq!(w.take(ann), ["1 t=x"]);
}

#[test]
fn a_denial_is_an_answer_with_a_reason() {
    let mut w = World::new(ServerConfig::default());
    w.server.set_access(Box::new(ReadOnly));
    let a = w.connect();
    w.subscribe(a, 1, "t", false, false);
    w.publish(a, "t", "x", false);
    assert_eq!(w.take(a), ["PUBLISH 0 NotAuthorized"], "MSG-6");
    w.publish(a, "t", "x", true);
    assert_eq!(w.take(a), ["PUBLISH 1 NotAuthorized", "Acked(1)"], "MSG-6: by its number");
    let request = Request {
        id: 3,
        subscription: 0,
        timeout: Duration::ZERO,
        many: false,
        topic: "t",
        payload: b"",
        properties: Default::default(),
    };
    w.call(a, |s, now, out| s.request(now, out, &request));
    assert_eq!(w.take(a), ["REQUEST 3 NotAuthorized"], "REQ-7");
}

/// The whole way: a client is told that its publish was refused, and not that it was accepted.
#[test]
fn a_client_is_told_what_was_refused() {
    use crate::endpoint::client::{Client as Machine, ClientConfig, ClientEvent, Publish};
    let now = Instant::from_millis(1);
    let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    server.set_access(Box::new(ReadOnly));
    let mut client = Machine::new(now, ClientConfig::default(), Box::new(Seeded::new(2)));
    let refused = client.publish(now, Publish { reliable: true, ..Publish::new("t", "x") }).unwrap();
    client.poll_connect(now).unwrap();
    client.handle_connected(now);
    let key = server.accept(now, Peer::default()).unwrap();
    let (mut at_server, mut at_client) = (GrowingRecvBuf::new(1 << 16), GrowingRecvBuf::new(1 << 16));
    for _ in 0..5 {
        let (mut up, mut down) = (SharedSendBuf::new(1 << 16), SharedSendBuf::new(1 << 16));
        let _ = client.poll_transmit(now, &mut up);
        at_server.push(&up.slices().flatten().copied().collect::<Vec<_>>());
        server.recv(now, key, &mut at_server, &mut down);
        let _ = server.poll_transmit(now, key, &mut down);
        at_client.push(&down.slices().flatten().copied().collect::<Vec<_>>());
        client.recv(now, &mut at_client);
    }
    let told: Vec<ClientEvent> = core::iter::from_fn(|| client.poll_event()).collect();
    let denied = crate::status::Status::NotAuthorized;
    assert!(told.iter().any(|e| matches!(e, ClientEvent::Refused { publish: Some(p), status, .. } if (*p, *status) == (refused, denied))));
    assert!(!told.iter().any(|e| matches!(e, ClientEvent::Accepted { .. })));
    assert_eq!(client.outgoing().messages, 0);
}
