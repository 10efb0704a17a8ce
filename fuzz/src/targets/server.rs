//! A whole server: honest clients, liars and noise on several connections, cut anywhere, stalled,
//! timed out, taken over. What it says must be frames that a client reads; everybody is told of the
//! end of each connection once; nothing is left when all are gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::endpoint::server::{
    Anonymous, ConnectionKey, LocalKey, Peer, QueueLimits, Server, ServerConfig, ServerEvent, Users,
};
use bowline_core::entropy::Seeded;
use bowline_core::hub::{self, HubOptions, Policy, Quality};
use bowline_core::retain::RetainHandling;
use bowline_core::session::{
    Auth, Code, Config, Connect, Counts, Drain, Event, Kind, Limits, Message, PREFACE, Properties, Property,
    Request, Response, Resume, ResumeKey, SendError, Session, SessionId, Subscribe, Transport,
};
use bowline_core::status::Status;
use bowline_core::time::{Instant, Why};
use bowline_core::varint::leb128;

const STEPS: usize = 300;
const CONNECTIONS: usize = 4;
const EXPIRY: Duration = Duration::from_secs(60);
/// With so much room the server can say all that one connection is owed at once.
const ROOM: usize = 1 << 20;
/// Where a buffer is small, it is so large.
const LITTLE: usize = 4096;

const FILTERS: [&str; 6] = ["a", "a/+", "#", "$share/g/#", "$share/g/a", "a/#/b"];
const TOPICS: [&str; 4] = ["a", "a/b", "b", "+"];

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    policy: u8,
    messages: u8,
    bytes: u16,
    anonymous: u8,
    keepalive: Option<u8>,
    credit: u8,
    in_flight: u8,
    steps: Vec<(u8, Step<'a>)>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Accept {
        address: u8,
        little: bool,
    },
    Hello {
        max_frame: u8,
        in_flight: u8,
        credit: u8,
        keepalive: Option<u8>,
        auth: u8,
        expires: bool,
    },
    /// Goes on with the session of another line; `lie` spoils key, count or both.
    Resume {
        which: u8,
        lie: u8,
    },
    Call(Call<'a>),
    Raw(&'a [u8]),
    Frame {
        octet: u8,
        body: &'a [u8],
    },
    Corrupt {
        from_end: u8,
        byte: u8,
    },
    /// So many octets reach the server.
    Up(u8),
    /// So many octets reach the client.
    Down(u8),
    /// All that moves, moves.
    Run,
    Pass(u16),
    Eof,
    Disconnect,
    Close(u8),
    Drain(u8),
    Local(Local),
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    Publish { topic: u8, size: u16, reliable: bool, expiry: Option<u8>, dedup: Option<&'a [u8]> },
    Subscribe { id: u8, filter: u8, reliable: bool, credit: Option<u8>, serve: bool, no_local: bool },
    Unsubscribe(u8),
    Request { id: u8, topic: u8, millis: u16, many: bool },
    Respond { which: u8, more: bool, size: u8 },
    Cancel(u8),
    Grant { id: u8, limit: u16 },
    Drain(u8),
    Ping,
    Close(u8),
}

#[derive(Arbitrary, Debug)]
enum Local {
    Begin,
    End,
    Subscribe { filter: u8, serve: bool },
    Publish { topic: u8, reliable: bool },
    Request { id: u8, many: bool },
    Take(u8),
}

/// A connection, from both ends.
struct Line {
    key: ConnectionKey,
    /// The client, once it has said HELLO.
    client: Option<Session>,
    /// Everything it said is what its session wrote.
    honest: bool,
    /// Some of it has reached the server.
    told: bool,
    /// It began like another dialect, and may be answered in that.
    other: bool,
    up: SharedSendBuf,
    /// What is under way to the server.
    wire: Vec<u8>,
    at_server: GrowingRecvBuf,
    down: SharedSendBuf,
    at_client: GrowingRecvBuf,
    /// What the server said and is no whole frame yet.
    rest: Vec<u8>,
    max_frame: usize,
    ticket: Option<(SessionId, ResumeKey)>,
    asked: Vec<u64>,
    eof: bool,
    opened: u32,
    closed: u32,
    gone: bool,
}

struct World {
    server: Server,
    now: Instant,
    lines: Vec<Line>,
    by_key: BTreeMap<ConnectionKey, usize>,
    local: Option<LocalKey>,
    verifications: u32,
    draining: bool,
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn server(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut world = World {
        server: Server::new(config(&plan), Box::new(Seeded::new(5))),
        now: Instant::from_millis(1),
        lines: Vec::new(),
        by_key: BTreeMap::new(),
        local: None,
        verifications: 0,
        draining: false,
    };
    for (who, step) in plan.steps.iter().take(STEPS) {
        world.step((*who).into(), step);
        world.check();
    }
    world.end();
}

fn config(plan: &Plan<'_>) -> ServerConfig {
    let policies = [Policy::DropOldest, Policy::DropNewest, Policy::Disconnect, Policy::SlowPublisher];
    let anonymous = [Anonymous::Local, Anonymous::Always, Anonymous::Never];
    let mut users = Users::new(anonymous[usize::from(plan.anonymous) % 3]);
    users.add_token(b"good", "someone");
    let limits = Limits {
        max_frame: 1 << 12,
        in_flight: u16::from(plan.in_flight).max(1),
        credit: u64::from(plan.credit).max(1) << 4,
        keepalive: plan.keepalive.map(|k| Duration::from_millis(u64::from(k) << 6)),
    };
    ServerConfig {
        name: "server".into(),
        session: Config { limits, ..Config::default() },
        hub: HubOptions {
            max_sessions: 5,
            max_subscriptions: 16,
            max_subscriptions_per_session: 6,
            max_lanes_per_session: 2,
            max_requests_per_session: 3,
            max_requests: 6,
            max_legs: 8,
            max_expiry: EXPIRY,
            ..HubOptions::default()
        },
        queue: QueueLimits {
            max_messages: u32::from(plan.messages % 16),
            max_bytes: plan.bytes.into(),
            policy: policies[usize::from(plan.policy) % policies.len()],
        },
        max_connections: CONNECTIONS,
        max_per_address: 2,
        users,
        ..ServerConfig::default()
    }
}

impl World {
    fn step(&mut self, who: usize, step: &Step<'_>) {
        match *step {
            Step::Accept { address, little } => return self.accept(address, little),
            Step::Pass(millis) => return self.pass(Duration::from_millis(millis.into())),
            Step::Run => return self.run(),
            Step::Drain(seconds) => {
                let deadline = Duration::from_secs(u64::from(seconds >> 4));
                self.draining = true;
                return self.server.drain(self.now, deadline, Duration::from_secs(1), "elsewhere");
            }
            Step::Local(ref local) => return self.local(local),
            _ => {}
        }
        if self.lines.is_empty() {
            return;
        }
        let who = who % self.lines.len();
        let (now, key) = (self.now, self.lines[who].key);
        match *step {
            Step::Hello { .. } => self.hello(who, step),
            Step::Resume { which, lie } => self.resume(who, which.into(), lie),
            Step::Call(ref call) => self.lines[who].call(now, call),
            Step::Raw(bytes) => self.lines[who].lie(now, bytes),
            Step::Frame { octet, body } => {
                let mut memory = [0; leb128::MAX_LEN];
                let size = leb128::encode(body.len() as u64, &mut memory);
                self.lines[who].lie(now, &[&[octet], size, body].concat());
            }
            Step::Corrupt { from_end, byte } => {
                let line = &mut self.lines[who];
                line.lie(now, &[]);
                if let Some(b) = line.wire.iter_mut().rev().nth(from_end.into()) {
                    *b = byte;
                }
                line.lie(now, &[]);
            }
            Step::Up(n) => {
                self.up(who, usize::from(n) + 1);
            }
            Step::Down(n) => {
                self.down(who, usize::from(n) + 1);
            }
            Step::Eof => {
                self.lines[who].eof = true;
                self.server.handle_eof(now, key);
            }
            Step::Disconnect => self.disconnect(who),
            Step::Close(code) => self.server.close(now, key, Code::from_number(code.into()), "closed"),
            _ => {}
        }
    }

    fn accept(&mut self, address: u8, little: bool) {
        let addresses = [None, Some(Ipv4Addr::LOCALHOST), Some(Ipv4Addr::new(10, 0, 0, 1))];
        let address = addresses[usize::from(address) % 3].map(IpAddr::from);
        let open = self.lines.iter().filter(|l| !l.gone).count();
        let accepted = self.server.accept(self.now, Peer { address, ..Peer::default() });
        assert!(accepted.is_err() || (open < CONNECTIONS && !self.draining));
        let Ok(key) = accepted else { return };
        // Some that are gone stay, so that their keys are tried.
        if self.lines.len() > 2 * CONNECTIONS {
            self.lines.retain(|l| !l.gone);
        }
        self.lines.push(Line {
            key,
            client: None,
            honest: true,
            told: false,
            other: false,
            up: SharedSendBuf::new(ROOM),
            wire: Vec::new(),
            at_server: GrowingRecvBuf::new(2 * LITTLE + 16),
            down: SharedSendBuf::new(if little { LITTLE } else { ROOM }),
            at_client: GrowingRecvBuf::new(2 * ROOM),
            rest: Vec::new(),
            max_frame: 1 << 20,
            ticket: None,
            asked: Vec::new(),
            eof: false,
            opened: 0,
            closed: 0,
            gone: false,
        });
        self.by_key = self.lines.iter().enumerate().map(|(i, l)| (l.key, i)).collect();
    }

    fn hello(&mut self, who: usize, step: &Step<'_>) {
        let Step::Hello { max_frame, in_flight, credit, keepalive, auth, expires } = *step else { return };
        let auths = [
            Auth::None,
            Auth::Token(b"good"),
            Auth::Token(b"bad"),
            Auth::Scram(b"n,,n=user,r=abcdef"),
            Auth::Password { user: "user", password: b"word" },
            Auth::Other(9, b"?"),
        ];
        // Most come in.
        let auth = auths[usize::from(auth >> 4).saturating_sub(15 - auths.len() + 1)];
        let limits = Limits {
            max_frame: (u32::from(max_frame) << 4).clamp(256, 4096),
            in_flight: u16::from(in_flight).max(1),
            credit: u64::from(credit).max(1) << 4,
            keepalive: keepalive.map(|k| Duration::from_millis(u64::from(k) << 6)),
        };
        let expiry = if expires { EXPIRY } else { Duration::ZERO };
        self.connect(
            who,
            &Config { limits, ..Config::default() },
            &Connect { auth, expiry, ..Connect::default() },
        );
    }

    fn resume(&mut self, who: usize, which: usize, lie: u8) {
        let other = &self.lines[which % self.lines.len()];
        let Some((session, mut key)) = other.ticket else { return };
        let mut counts = other.client.as_ref().map_or(Counts::default(), Session::counts);
        // One that was not honest has other counts than the server.
        let liar = lie > 0xc0 || !other.honest;
        if lie > 0xc0 {
            key.0[3] ^= lie & 1;
            counts.received = counts.received.saturating_add_signed(i64::from(lie & 6) - 2);
        }
        let resume = Some(Resume { session, key, counts });
        let expiry = if lie & 1 == 0 { EXPIRY } else { Duration::ZERO };
        self.connect(who, &Config::default(), &Connect { resume, expiry, ..Connect::default() });
        self.lines[who].honest &= !liar;
    }

    fn connect(&mut self, who: usize, config: &Config, connect: &Connect<'_>) {
        let line = &mut self.lines[who];
        if line.client.is_none() {
            line.max_frame = config.limits.max_frame as usize;
            line.client = Session::connect(self.now, config, connect, &mut line.up).ok();
            assert!(line.client.is_some(), "there is room for HELLO");
        }
    }

    /// At most `n` octets reach the server; says whether anything did.
    fn up(&mut self, who: usize, n: usize) -> bool {
        let (now, line) = (self.now, &mut self.lines[who]);
        line.flush(now);
        let n = n.min(line.wire.len());
        let pushed = line.at_server.push(&line.wire[..n]);
        line.wire.drain(..pushed);
        line.told |= pushed > 0;
        if let Some(work) = self.server.poll_verification(line.key)
            && self.verifications == 0
        {
            self.verifications += 1;
            self.server.verified(now, line.key, work.run(), &mut line.down);
        }
        let before = line.at_server.filled().len();
        let blocked = self.server.recv(now, line.key, &mut line.at_server, &mut line.down);
        let taken = before - line.at_server.filled().len();
        assert!(!blocked || line.down.room() < ROOM / 2);
        pushed > 0 || taken > 0
    }

    /// At most `n` octets reach the client; says whether anything did.
    fn down(&mut self, who: usize, n: usize) -> bool {
        let verdict = self.transmit(who);
        let (now, line) = (self.now, &mut self.lines[who]);
        let all: Vec<u8> = line.down.slices().flatten().copied().collect();
        assert_eq!(all.len(), line.down.len());
        let n = n.min(all.len());
        line.down.sent(n);
        self.server.handle_written(now, line.key, n, line.down.len());
        line.read(now, &all[..n]);
        let over = matches!(verdict, Transport::Drop | Transport::Abort) && !line.gone;
        if over && (line.down.is_empty() || verdict == Transport::Abort) {
            self.disconnect(who);
        }
        n > 0
    }

    fn transmit(&mut self, who: usize) -> Transport {
        let line = &mut self.lines[who];
        let verdict = self.server.poll_transmit(self.now, line.key, &mut line.down);
        assert!(!line.gone || verdict == Transport::Abort);
        verdict
    }

    fn disconnect(&mut self, who: usize) {
        self.server.disconnect(self.now, self.lines[who].key);
        self.lines[who].gone = true;
    }

    /// Moves octets both ways until nothing moves.
    fn run(&mut self) {
        for round in 0.. {
            let mut moved = false;
            for who in 0..self.lines.len() {
                if !self.lines[who].gone {
                    moved |= self.up(who, usize::MAX);
                    moved |= self.down(who, usize::MAX);
                }
            }
            self.check();
            if !moved {
                break;
            }
            assert!(round < 2000, "it does not come to rest");
        }
        for line in self.lines.iter().filter(|l| !l.gone) {
            let due = self.server.poll_timeout(line.key).filter(|d| d.why == Why::Output);
            assert!(due.is_none() || line.down.room() < ROOM / 2, "it owes something, and had room");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut rounds = 0;
        while self.server.poll_hub_timeout().is_some_and(|d| d.at <= self.now) {
            self.server.handle_hub_timeout(self.now);
            rounds += 1;
            assert!(rounds < 10, "timers of the hub stay due");
        }
        for who in 0..self.lines.len() {
            let key = self.lines[who].key;
            for round in 0.. {
                let due = self.server.poll_timeout(key).filter(|d| d.at <= self.now);
                let Some(due) = due else { break };
                if due.why == Why::Output {
                    let _ = self.transmit(who);
                }
                self.server.handle_timeout(self.now, key);
                // A deadline may lead to output, for which there may be no room.
                if due.why == Why::Output && self.lines[who].down.room() < ROOM / 2 {
                    break;
                }
                assert!(round < 10, "a deadline stays due: {due:?}");
            }
        }
    }

    fn local(&mut self, local: &Local) {
        let now = self.now;
        match (local, self.local) {
            (Local::Begin, None) => self.local = self.server.local(now).ok(),
            (Local::End, Some(key)) => {
                self.server.end_local(now, key);
                self.local = None;
            }
            (Local::Subscribe { filter, serve }, Some(key)) => {
                let filter_name = FILTERS[usize::from(*filter) % FILTERS.len()];
                let quality = Quality::AtLeastOnce;
                let options = hub::SubscribeOptions { serve: *serve, quality, ..Default::default() };
                let _ = self.server.local_subscribe(now, key, u64::from(*filter), filter_name, options);
            }
            (Local::Publish { topic, reliable }, Some(key)) => {
                if let Ok(message) = hub::Message::new(TOPICS[usize::from(*topic) % TOPICS.len()], b"local") {
                    let message = message.with_reliable(*reliable);
                    self.server.local_publish(now, key, message).expect("it may");
                }
            }
            (Local::Request { id, many }, Some(key)) => {
                let message = hub::Message::new("a", b"?").expect("valid");
                let options = hub::RequestOptions { many: *many, timeout: Duration::from_secs(1) };
                let _ = self.server.local_request(now, key, u64::from(*id), message, options);
            }
            (Local::Take(most), Some(key)) => {
                let mut taken = 0;
                self.server.poll_local(now, key, usize::from(*most), |_| taken += 1);
                assert!(taken <= usize::from(*most));
            }
            _ => {}
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "connections are ready for ever");
            let Some(key) = self.server.poll_ready() else { break };
            if let Some(who) = self.by_key.get(&key) {
                let _ = self.transmit(*who);
            }
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                ServerEvent::Opened { connection, .. } => {
                    let line = &mut self.lines[self.by_key[&connection]];
                    line.opened += 1;
                    assert_eq!((line.opened, line.closed), (1, 0));
                }
                ServerEvent::Closed { connection, .. } => {
                    let line = &mut self.lines[self.by_key[&connection]];
                    line.closed += 1;
                    assert_eq!(line.closed, 1, "closed twice");
                }
                _ => {}
            }
        }
        while self.server.poll_local_ready().is_some() {}
        for line in self.lines.iter().filter(|l| l.gone) {
            assert_eq!(line.closed, 1, "a connection ended, and nobody was told");
        }
        self.server.hub().check_invariants().expect("invariants");
        assert_eq!(self.server.connections(), self.lines.iter().filter(|l| !l.gone).count());
    }

    /// All go, all sessions expire, and nothing is left.
    fn end(&mut self) {
        self.run();
        for who in 0..self.lines.len() {
            self.disconnect(who);
            self.check();
        }
        if let Some(key) = self.local.take() {
            self.server.end_local(self.now, key);
        }
        self.pass(EXPIRY);
        self.check();
        assert_eq!(self.server.is_drained(), self.draining);
        let hub = self.server.hub();
        let c = hub.counters();
        assert_eq!((c.sessions, c.attached, c.subscriptions, c.queued), (0, 0, 0, 0));
        assert_eq!((c.queued_bytes, c.requests_in_flight, hub.poll_timeout()), (0, 0, None));
    }
}

impl Line {
    /// What the client's session wrote goes under way.
    fn flush(&mut self, now: Instant) {
        if let Some(client) = &mut self.client {
            let _ = client.poll_transmit(now, &mut self.up);
        }
        self.wire.extend(self.up.slices().flatten());
        self.up.sent(usize::MAX);
        self.other |= !self.told && self.wire.first().is_some_and(|octet| *octet != PREFACE[0]);
    }

    fn lie(&mut self, now: Instant, bytes: &[u8]) {
        self.flush(now);
        self.honest = false;
        self.wire.extend_from_slice(bytes);
        self.other |= !self.told && self.wire.first().is_some_and(|octet| *octet != PREFACE[0]);
    }

    /// The client gets octets: they must be frames, and an honest client must agree with them.
    fn read(&mut self, now: Instant, bytes: &[u8]) {
        if self.other {
            return;
        }
        self.rest.extend_from_slice(bytes);
        while let [octet, after @ ..] = &self.rest[..] {
            let kind = Kind::from_number(octet >> 2).expect("a kind");
            let Some((size, n)) = leb128::decode(after).expect("a size") else { break };
            let most = if kind == Kind::Close { 1024 } else { self.max_frame };
            assert!(!self.honest || size as usize <= most, "{kind} of {size}");
            let end = 1 + n + size as usize;
            if self.rest.len() < end {
                break;
            }
            self.rest.drain(..end);
        }
        assert_eq!(self.at_client.push(bytes), bytes.len());
        let Some(client) = &mut self.client else { return };
        while let Some(event) = client.recv(now, &mut self.at_client) {
            match event {
                Event::Welcome(w) => self.ticket = w.session.or(self.ticket),
                Event::Request(r) => self.asked.push(r.id),
                Event::Closed(closed) => {
                    assert!(!self.honest || closed.fault.is_none(), "{:?}", closed.fault);
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, now: Instant, call: &Call<'_>) {
        let Some(client) = &mut self.client else { return };
        let out = &mut self.up;
        let done = match *call {
            Call::Publish { topic, size, reliable, expiry, dedup } => {
                let expiry = expiry.map(|e| Property::Expiry(Duration::from_millis(u64::from(e) << 4)));
                let dedup = dedup.map(Property::Deduplication);
                let list: Vec<_> = expiry.into_iter().chain(dedup).collect();
                let mut memory = [0; 512];
                let properties = Properties::write(&list, &mut memory).unwrap_or(Properties::NONE);
                let payload = vec![1; usize::from(size & 0x0fff)];
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                client.publish(
                    now,
                    out,
                    &Message { topic, payload: &payload, properties, reliable, retain: size & 0x1000 > 0 },
                )
            }
            Call::Subscribe { id, filter, reliable, credit, serve, no_local } => {
                let filter = FILTERS[usize::from(filter) % FILTERS.len()];
                let (id, credit) = (u64::from(id % 8), credit.map(u64::from));
                let retained = RetainHandling::from_number(id % 3).unwrap_or_default();
                let s = Subscribe {
                    id,
                    filter,
                    reliable,
                    credit,
                    serve,
                    no_local,
                    retained,
                    retain_as_published: reliable,
                    ..Subscribe::default()
                };
                client.subscribe(now, out, &s)
            }
            Call::Unsubscribe(id) => client.unsubscribe(now, out, u64::from(id % 8)),
            Call::Request { id, topic, millis, many } => {
                let request = Request {
                    id: u64::from(id % 8),
                    subscription: 0,
                    timeout: Duration::from_millis(millis.into()),
                    many,
                    topic: TOPICS[usize::from(topic) % TOPICS.len()],
                    payload: b"?",
                    properties: Properties::NONE,
                };
                client.request(now, out, &request)
            }
            Call::Respond { which, more, size } => {
                let Some(id) = self.asked.get(usize::from(which) % self.asked.len().max(1)) else { return };
                let (payload, properties) = (vec![2; size.into()], Properties::NONE);
                let response = Response { id: *id, status: Status::Ok, more, payload: &payload, properties };
                client.respond(now, out, &response)
            }
            Call::Cancel(id) => client.cancel(now, out, u64::from(id % 8)),
            Call::Grant { id, limit } => client.grant(now, out, u64::from(id % 8), limit.into()),
            Call::Drain(seconds) => {
                let deadline = Duration::from_secs(seconds.into());
                client.drain(now, out, &Drain { deadline, retry_after: Duration::ZERO, endpoint: "" })
            }
            Call::Ping => {
                client.ping(now);
                Ok(())
            }
            Call::Close(code) => {
                client.close(now, Code::from_number(code.into()), "enough");
                Ok(())
            }
        };
        assert!(!matches!(done, Err(SendError::Blocked(_))) || self.up.room() < ROOM / 2);
    }
}
