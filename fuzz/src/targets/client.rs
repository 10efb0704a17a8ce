//! A client: calls of all kinds, a transport that does as it likes, and on its other end a server's
//! session, a spoiled one, or noise. Queues stay bounded, deadlines do not stay due, and the end is
//! told once and last.
//!
//! `client_websocket` is the same over a WebSocket. Noise is then its frames and the answer that opens it,
//! and whatever comes, what the client says keeps to RFC 6455.

mod line;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::endpoint::client::{
    Carrier, Client, ClientError, ClientEvent, JoinOptions, PresenceMode, Publish, PublishId, QueueLimits,
    Reply, Request, RequestHandle, RequestId, RoomEvent, RoomId, RoomPlace, RoomPublish, SubscribeOptions,
    SubscriptionId,
};
use bowline_core::entropy::Seeded;
use bowline_core::session::{
    self, Code, Config, Counts, Features, Properties, ResumeKey, Session, SessionId, Transport, Welcome,
};
use bowline_core::time::{Instant, Why};
use bowline_core::varint::leb128;
use bowline_core::websocket::HEADROOM;

use line::{Gate, Line};
use plan::{Plan, Step, config, limits, pick};

const STEPS: usize = 300;
const ROOM: usize = 1 << 20;
/// Where a buffer is small, it is so large: the longest HELLO fits.
const LITTLE: usize = 8300;
const EXPIRY: Duration = Duration::from_secs(60);
const REQUESTS: usize = 4;
/// One event may be told for each of these beyond what the inbox takes.
const BEYOND: usize = 400;

const FILTERS: [&str; 4] = ["a", "a/+", "$share/g/#", "a/#/b"];
const TOPICS: [&str; 3] = ["a", "a/b", "+"];

struct World {
    web: bool,
    client: Client,
    now: Instant,
    plan: (QueueLimits, QueueLimits),
    little: bool,
    /// The settings of the server's sessions.
    theirs: Config,
    line: Option<Line>,
    /// The state of the session that a server remembers.
    remembered: Counts,
    /// Publishes without an outcome.
    publishes: BTreeSet<PublishId>,
    requests: BTreeSet<RequestId>,
    subscriptions: Vec<SubscriptionId>,
    handles: Vec<RequestHandle>,
    rooms: Vec<RoomId>,
    /// The offset that came last of each room.
    offsets: BTreeMap<RoomId, u64>,
    closed: bool,
    /// Whether it was told to end.
    ending: bool,
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn client(data: &[u8]) {
    run(data, false);
}

/// Runs it over a WebSocket.
pub fn client_websocket(data: &[u8]) {
    run(data, true);
}

fn run(data: &[u8], web: bool) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let now = Instant::from_millis(1);
    let config = config(&plan);
    let mut world = World {
        web,
        plan: (config.outgoing, config.incoming),
        client: Client::new(now, config, Box::new(Seeded::new(3))),
        now,
        little: plan.little,
        theirs: Config {
            limits: limits(plan.theirs.0, plan.theirs.1, plan.keepalive),
            features: Features::ROOMS | Features::PRESENCE,
            ..Config::default()
        },
        line: None,
        remembered: Counts::default(),
        publishes: BTreeSet::new(),
        requests: BTreeSet::new(),
        subscriptions: Vec::new(),
        handles: Vec::new(),
        rooms: Vec::new(),
        offsets: BTreeMap::new(),
        closed: false,
        ending: false,
    };
    for step in plan.steps.iter().take(STEPS) {
        world.step(step);
        world.check();
    }
    world.end();
}
impl World {
    fn step(&mut self, step: &Step<'_>) {
        let now = self.now;
        match *step {
            Step::Ping => drop(self.client.ping(now)),
            Step::Drain(seconds) => {
                self.ending = true;
                self.client.drain(now, Duration::from_secs(seconds.into()));
            }
            Step::Close => {
                self.ending = true;
                self.client.close(now);
            }
            Step::Take(most) => (0..most).for_each(|_| self.take()),
            Step::Dial { works } => self.dial(works),
            Step::Up(n) => {
                self.up(n.into());
            }
            Step::Down(n) => {
                self.down(n.into());
            }
            Step::Run => self.run(),
            Step::Eof => self.client.handle_eof(now),
            Step::Gone => self.gone(),
            Step::Pass(millis) => self.pass(Duration::from_millis(millis.into())),
            Step::Welcome { .. } | Step::Refuse(_) => self.decide(step),
            Step::Server(ref say) => {
                if let Some(line) = &mut self.line {
                    line.say(now, say);
                }
            }
            Step::Raw(_) | Step::Frame { .. } | Step::Corrupt { .. } => self.spoil(step),
            _ => self.call(step),
        }
    }

    fn call(&mut self, step: &Step<'_>) {
        let now = self.now;
        match *step {
            Step::Publish { topic, size, reliable, expiry } => {
                let list =
                    expiry.map(|e| session::Property::Expiry(Duration::from_millis(u64::from(e) << 4)));
                let mut memory = [0; 32];
                let properties = Properties::write(list.as_slice(), &mut memory).expect("valid");
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                let payload = vec![1; usize::from(size & 0x1fff)];
                let publish = Publish { reliable, properties, ..Publish::new(topic, payload) };
                if let Ok(id) = self.client.publish(now, publish) {
                    assert!(self.publishes.insert(id) && !self.ending && topic != "+");
                }
            }
            Step::Subscribe { filter, reliable, credit, auto_grant, serve } => {
                let filter = FILTERS[usize::from(filter) % FILTERS.len()];
                let credit = credit.map(u64::from);
                let options =
                    SubscribeOptions { reliable, credit, auto_grant, ..SubscribeOptions::default() };
                let done = match serve {
                    true => self.client.serve(now, filter, options),
                    false => self.client.subscribe(now, filter, options),
                };
                self.subscriptions.extend(done.ok());
            }
            Step::Unsubscribe(which) => {
                if let Some(id) = pick(&self.subscriptions, which) {
                    let _ = self.client.unsubscribe(now, id);
                }
            }
            Step::Grant { which, octets } => {
                if let Some(id) = pick(&self.subscriptions, which) {
                    let _ = self.client.grant(now, id, octets.into());
                }
            }
            Step::Request { topic, size, seconds, many } => {
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                let timeout = Some(Duration::from_secs(seconds.into()));
                let request = Request { timeout, many, ..Request::new(topic, vec![2; size.into()]) };
                if let Ok(id) = self.client.request(now, request) {
                    assert!(self.requests.insert(id) && !self.ending);
                }
            }
            Step::Cancel(which) => {
                let open: Vec<_> = self.requests.iter().copied().collect();
                if let Some(id) = pick(&open, which)
                    && self.client.cancel(now, id)
                {
                    self.requests.remove(&id);
                }
            }
            Step::Respond { which, size, more } => {
                if let Some(handle) = pick(&self.handles, which) {
                    let reply = Reply { more, ..Reply::ok(vec![3; size.into()]) };
                    let done = self.client.respond(now, handle, reply);
                    if done == Err(ClientError::Gone) {
                        self.handles.retain(|h| *h != handle);
                    }
                }
            }
            _ => self.call_of_room(step),
        }
    }

    fn call_of_room(&mut self, step: &Step<'_>) {
        let now = self.now;
        match *step {
            Step::Join { room, credit, since, history, presence, echo, auto_grant } => {
                let options = JoinOptions {
                    since: since.map(|offset| RoomPlace { epoch: 1, offset: offset.into() }),
                    history: history.into(),
                    presence: [PresenceMode::None, PresenceMode::Count, PresenceMode::Full]
                        [usize::from(presence % 3)],
                    data: &[room],
                    echo,
                    credit: credit.map(u64::from),
                    auto_grant,
                };
                let name = TOPICS[usize::from(room) % TOPICS.len()];
                if let Ok(id) = self.client.join(now, name, &options) {
                    assert!(!self.ending && name != "+");
                    self.offsets.insert(id, since.unwrap_or(0).into());
                    self.rooms.push(id);
                }
            }
            Step::Leave(which) => {
                if let Some(id) = pick(&self.rooms, which) {
                    let _ = self.client.leave(now, id);
                }
            }
            Step::Send { which, size, key } => {
                let key = key.map(|key| [key]);
                if let Some(id) = pick(&self.rooms, which) {
                    let payload = vec![1; usize::from(size & 0x1fff)];
                    let publish =
                        RoomPublish { key: key.as_ref().map(|k| &k[..]), ..RoomPublish::new(payload) };
                    if let Ok(id) = self.client.send(now, id, publish) {
                        assert!(self.publishes.insert(id) && !self.ending);
                    }
                }
            }
            Step::Show { which, size } => {
                if let Some(id) = pick(&self.rooms, which) {
                    let _ = self.client.show(now, id, &vec![0; size.into()]);
                }
            }
            _ => {}
        }
    }

    fn dial(&mut self, works: bool) {
        if self.line.is_some() || self.client.poll_connect(self.now).is_none() {
            return;
        }
        assert!(!self.client.is_closed());
        if !works {
            return self.client.handle_connect_failed(self.now);
        }
        let web = Carrier::WebSocket { host: "h".into(), target: "/".into() };
        self.client.handle_connected_over(self.now, if self.web { &web } else { &Carrier::Transport });
        self.line = Some(Line {
            gate: self.web.then(|| Gate {
                layer: None,
                received: GrowingRecvBuf::new(2 * ROOM),
                to_send: SharedSendBuf::new(2 * ROOM),
            }),
            session: Session::accept(self.now, &self.theirs),
            honest: true,
            asked: None,
            requests: Vec::new(),
            down: SharedSendBuf::new(ROOM),
            wire: Vec::new(),
            at_client: GrowingRecvBuf::new(4096 + 16 + HEADROOM),
            up: SharedSendBuf::new(if self.little { LITTLE } else { ROOM }),
            at_server: GrowingRecvBuf::new(2 * ROOM),
        });
    }

    fn gone(&mut self) {
        if let Some(line) = self.line.take() {
            self.remembered = line.session.counts();
        }
        self.client.handle_transport_gone(self.now);
    }

    fn decide(&mut self, step: &Step<'_>) {
        let Some(line) = &mut self.line else { return };
        let Some(asked) = line.asked.take() else { return };
        let (now, out) = (self.now, &mut line.down);
        match *step {
            Step::Welcome { resume, named } => {
                let named = named.then_some((SessionId([1; 16]), ResumeKey([2; 16])));
                let counts = asked.filter(|_| resume).and_then(|(_, _, n)| self.remembered.resume(n).ok());
                let welcome =
                    Welcome { session: named, expiry: EXPIRY, name: "server", ..Welcome::default() };
                let _ = line.session.welcome(now, out, &welcome, counts);
            }
            Step::Refuse(code) => {
                let _ = line.session.refuse(now, out, Code::from_number(code.into()), "no");
            }
            _ => {}
        }
    }

    fn spoil(&mut self, step: &Step<'_>) {
        let Some(line) = &mut self.line else { return };
        line.flush(self.now);
        line.honest = false;
        match *step {
            Step::Raw(bytes) => line.wire.extend_from_slice(bytes),
            Step::Frame { octet, body } if line.gate.is_some() => {
                let body = &body[..body.len().min(125)];
                line.wire.extend([octet, body.len() as u8]);
                line.wire.extend_from_slice(body);
            }
            Step::Frame { octet, body } => {
                let mut memory = [0; leb128::MAX_LEN];
                line.wire.push(octet);
                line.wire.extend_from_slice(leb128::encode(body.len() as u64, &mut memory));
                line.wire.extend_from_slice(body);
            }
            Step::Corrupt { from_end, byte } => {
                if let Some(b) = line.wire.iter_mut().rev().nth(from_end.into()) {
                    *b = byte;
                }
            }
            _ => {}
        }
    }

    /// At most `n` octets reach the server; says whether any did.
    fn up(&mut self, n: usize) -> bool {
        let Some(line) = &mut self.line else { return false };
        let verdict = self.client.poll_transmit(self.now, &mut line.up);
        let all: Vec<u8> = line.up.slices().flatten().copied().collect();
        let n = n.min(all.len());
        line.up.sent(n);
        self.client.handle_written(self.now, n, line.up.len());
        line.hear(self.now, &all[..n]);
        let over = matches!(verdict, Transport::Drop | Transport::Abort);
        if over && (line.up.is_empty() || verdict == Transport::Abort) {
            self.gone();
        }
        n > 0
    }

    /// At most `n` octets reach the client; says whether any did.
    fn down(&mut self, n: usize) -> bool {
        let Some(line) = &mut self.line else { return false };
        line.flush(self.now);
        let before = line.at_client.filled().len();
        let mut pushed = 0;
        if self.client.wants_read() {
            pushed = line.at_client.push(&line.wire[..n.min(line.wire.len())]);
            line.wire.drain(..pushed);
        }
        self.client.recv(self.now, &mut line.at_client);
        pushed > 0 || line.at_client.filled().len() < before
    }

    /// Moves octets both ways, and takes all events, until nothing moves.
    fn run(&mut self) {
        for round in 0.. {
            let moved = self.up(usize::MAX) | self.down(usize::MAX);
            let waiting = self.client.has_events();
            while self.client.has_events() {
                self.take();
            }
            if !moved && !waiting {
                break;
            }
            assert!(round < 3000, "it does not come to rest");
        }
        let due = self.client.poll_timeout().filter(|d| d.why == Why::Output);
        assert!(due.is_none() || self.line.is_none(), "it owes something, and had room: {due:?}");
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for round in 0.. {
            let Some(due) = self.client.poll_timeout().filter(|d| d.at <= self.now) else { break };
            match due.why {
                // Only a transport helps.
                Why::Output if self.line.is_none() => break,
                Why::Output => {
                    let moved = self.up(usize::MAX) | self.down(usize::MAX);
                    let _ = moved;
                }
                Why::Backoff => self.dial(round % 2 == 0),
                _ => {}
            }
            self.client.handle_timeout(self.now);
            if due.why == Why::Backoff && self.line.is_some() {
                break;
            }
            assert!(round < 64, "a deadline stays due: {due:?}");
        }
    }

    fn take(&mut self) {
        let Some(event) = self.client.poll_event() else { return };
        assert!(!self.closed, "nothing comes after the end: {event:?}");
        match event {
            ClientEvent::Accepted { publish } | ClientEvent::Dropped { publish, .. } => {
                assert!(self.publishes.remove(&publish), "a second outcome");
            }
            ClientEvent::Request(request) => self.handles.push(request.handle),
            // One that was taken back may have been answered before.
            ClientEvent::Response { request, more: false, .. } => {
                self.requests.remove(&request);
            }
            ClientEvent::RequestFailed { request, .. } => {
                self.requests.remove(&request);
            }
            ClientEvent::Room { room, event } => self.take_of_room(room, &event),
            ClientEvent::Closed { .. } => {
                self.closed = true;
                assert!(self.client.is_closed());
            }
            _ => {}
        }
    }

    /// Whatever a server says, messages come in the order of their offsets, each once.
    fn take_of_room(&mut self, room: RoomId, event: &RoomEvent) {
        let last = self.offsets.get_mut(&room).expect("a room that was joined, and has not ended");
        match event {
            RoomEvent::Joined { recovered: false, .. } => *last = 0,
            RoomEvent::Message(m) if m.place.offset > 0 => {
                assert!(m.place.offset > *last);
                *last = m.place.offset;
            }
            RoomEvent::Message(m) => drop(self.client.grant_room(self.now, room, m)),
            RoomEvent::Sent { place, .. } if place.offset > 0 => {
                assert!(place.offset > *last);
                *last = place.offset;
            }
            RoomEvent::Ended { .. } => drop(self.offsets.remove(&room)),
            _ => {}
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        let (outgoing, _) = self.plan;
        let used = self.client.outgoing();
        assert!(used.messages <= outgoing.max_messages.max(1));
        assert!(used.bytes <= outgoing.max_bytes || used.messages <= 1);
        assert!(!self.closed || !self.client.has_events());
    }

    /// It is closed, whatever happened, and says so.
    fn end(&mut self) {
        self.client.close(self.now);
        self.ending = true;
        self.up(usize::MAX);
        self.pass(Duration::from_secs(30));
        self.gone();
        let mut events = 0;
        while self.client.has_events() {
            self.take();
            events += 1;
        }
        let (_, incoming) = self.plan;
        assert!(events <= incoming.max_messages + BEYOND, "{events} events waited");
        assert!(self.closed, "it ended, and nobody was told");
        assert_eq!(self.client.poll_timeout(), None);
        assert_eq!(self.client.poll_connect(self.now), None);
    }
}
