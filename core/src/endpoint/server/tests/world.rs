//! A server with lines to it. What a client is sent is told in short words.

use core::fmt::Write;
use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::web::Page;
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig, ServerEvent};
use crate::entropy::Seeded;
use crate::hub::Operation;
use crate::lifecycle::Transport;
use crate::mqtt::{
    Ack, AckKind, Auth, ConnAck, Connect, Delivery, Head, Packet, PacketId, Properties, Property, PropertyId,
    Publish, Qos, ReasonCode, Subscribe, Subscription, Subscriptions, Version,
};
use crate::prx1;
use crate::session::{Config, Connect as Hello, Event, ResumeKey, Session, SessionId};
use crate::time::Instant;
use crate::websocket::handshake::Opening;
use crate::websocket::{self, Carries, Client, Closed, WebSocket};

/// What a client speaks.
pub(super) enum Tongue {
    Mqtt(Version),
    Prx1,
    Bowline(Box<Session>),
    /// Typed JSON, in a WebSocket.
    Web(Box<Page>),
    /// Requests of HTTP; all that is answered is one text.
    Http,
}

pub(super) struct Line {
    pub(super) connection: ConnectionKey,
    pub(super) tongue: Tongue,
    /// What the server has not read yet.
    input: GrowingRecvBuf,
    /// What the server wrote.
    pub(super) out: SharedSendBuf,
    /// What the client has of that.
    received: GrowingRecvBuf,
    /// What is around it.
    layer: Option<Box<Layer>>,
    log: Vec<String>,
    /// What resumes a session of our own protocol.
    pub(super) credentials: Option<(SessionId, ResumeKey)>,
    /// The last step of an authentication.
    pub(super) auth_data: Vec<u8>,
    /// The client reads nothing.
    pub(super) stalled: bool,
    pub(super) transport: Transport,
}

impl Line {
    /// The server may write as much ahead.
    pub(super) fn widen(&mut self, octets: usize) {
        assert!(self.out.is_empty());
        self.out = SharedSendBuf::new(octets);
    }

    /// Octets that the server wrote and the client has not taken.
    pub(super) fn unread(&self) -> usize {
        self.out.slices().map(<[u8]>::len).sum()
    }
}

/// A WebSocket around a line.
struct Layer {
    machine: WebSocket<Client<Seeded>>,
    /// What came of it.
    raw: GrowingRecvBuf,
    /// The close code of the server.
    closed: Option<(u16, String)>,
}

std::thread_local! {
    /// Whether lines of this thread's worlds are over WebSockets.
    static OVER_WEBSOCKET: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Tells a story again, with every line over a WebSocket.
pub(super) fn over_websocket(story: impl FnOnce()) {
    OVER_WEBSOCKET.set(true);
    story();
    OVER_WEBSOCKET.set(false);
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) lines: Vec<Line>,
    /// What a store has.
    stored: Vec<Operation>,
    operations: u64,
}

impl World {
    #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "nothing is compressed"))]
    pub(super) fn new(mut config: ServerConfig) -> World {
        #[cfg(feature = "deflate")]
        super::compression::compress(&mut config);
        let server = Server::new(config, Box::new(Seeded::new(7)));
        World { now: Instant::from_millis(1), server, lines: Vec::new(), stored: Vec::new(), operations: 0 }
    }

    /// The store has all that it was asked to keep.
    pub(super) fn commit(&mut self) {
        while let Some(operation) = self.server.poll_operation() {
            self.operations += 1;
            if let Operation::Forgotten { session, id } = operation {
                let received = Operation::Received { session, id };
                self.stored.retain(|kept| *kept != received);
            }
            self.stored.push(operation);
        }
        self.server.committed(self.now, self.operations);
        self.run();
    }

    /// The server is killed, and another begins with what the store has.
    pub(super) fn restart(&mut self) {
        let config = self.server.config().clone();
        self.server = Server::new(config, Box::new(Seeded::new(8)));
        self.lines.clear();
        for operation in &self.stored {
            self.server.restore(self.now, operation.clone()).unwrap();
        }
        self.server.restored(self.now);
        self.server.hub().check_invariants().unwrap();
        self.operations = 0;
    }

    pub(super) fn open(&mut self, peer: Peer, tongue: Tongue) -> usize {
        let protocol = match &tongue {
            Tongue::Mqtt(_) => "mqtt",
            Tongue::Prx1 => "prx1",
            Tongue::Bowline(_) => "bowline",
            // They open what they need by themselves.
            Tongue::Web(_) | Tongue::Http => return self.accept(peer, tongue),
        };
        let i = self.accept(peer, tongue);
        if OVER_WEBSOCKET.get() {
            self.upgrade(i, protocol);
        }
        i
    }

    /// Has a WebSocket opened on a line.
    fn upgrade(&mut self, i: usize, protocols: &str) {
        let opening = Opening { host: "localhost", target: "/mqtt", protocols, ..Opening::default() };
        let mut request = SharedSendBuf::new(4096);
        opening.put(&mut Seeded::new(3), &mut request).unwrap();
        let request = request.slices().flatten().copied().collect::<Vec<u8>>();
        self.octets(i, &request);
        let (now, line) = (self.now, &mut self.lines[i]);
        let answer = line.received.take(usize::MAX);
        assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n"));
        let config = websocket::Config { max_message: 1 << 24, ..websocket::Config::default() };
        let machine = WebSocket::new(now, Client::new(Seeded::new(4)), Carries::Stream, &config);
        line.layer = Some(Box::new(Layer { machine, raw: GrowingRecvBuf::new(1 << 21), closed: None }));
    }

    fn accept(&mut self, peer: Peer, tongue: Tongue) -> usize {
        let connection = self.server.accept(self.now, peer).unwrap();
        self.lines.push(Line {
            connection,
            tongue,
            input: GrowingRecvBuf::new(1 << 21),
            out: SharedSendBuf::new(64 << 10),
            received: GrowingRecvBuf::new(1 << 21),
            layer: None,
            log: Vec::new(),
            credentials: None,
            auth_data: Vec::new(),
            stalled: false,
            transport: Transport::Open,
        });
        self.lines.len() - 1
    }

    /// A connection that speaks MQTT, with what its CONNECT was answered with.
    pub(super) fn mqtt(&mut self, connect: &Connect<'_>) -> (usize, Vec<String>) {
        let i = self.open(Peer::default(), Tongue::Mqtt(connect.version));
        self.send(i, &Packet::Connect(*connect));
        (i, self.take(i))
    }

    /// A clean connection.
    pub(super) fn v5(&mut self, client_id: &str) -> usize {
        self.clean(Version::V5, client_id)
    }

    pub(super) fn v3(&mut self, client_id: &str) -> usize {
        self.clean(Version::V311, client_id)
    }

    fn clean(&mut self, version: Version, client_id: &str) -> usize {
        let (i, told) = self.mqtt(&Connect::new(version, client_id));
        assert_eq!(told, ["CONNACK Success"]);
        i
    }

    /// A connection with a session that stays for an hour. Says whether there was one.
    pub(super) fn stay(&mut self, version: Version, client_id: &str) -> (usize, bool) {
        let list = [Property::SessionExpiry(3600)];
        let connect = Connect {
            clean_start: false,
            properties: if version.is_v5() { Properties::list(&list) } else { Properties::NONE },
            ..Connect::new(version, client_id)
        };
        let (i, told) = self.mqtt(&connect);
        let resumed = told.first().is_some_and(|t| t.starts_with("CONNACK Success present"));
        assert!(resumed || told == ["CONNACK Success"], "{told:?}");
        self.lines[i].log.extend(told.into_iter().skip(1));
        (i, resumed)
    }

    pub(super) fn prx1(&mut self, user: Option<&str>, clean: bool) -> (usize, Vec<String>) {
        let i = self.open(Peer::default(), Tongue::Prx1);
        let password = user.map(str::as_bytes);
        let connect = prx1::Connect { user, password, clean, ..prx1::Connect::default() };
        self.say(i, &prx1::Packet::Connect(connect));
        (i, self.take(i))
    }

    pub(super) fn bowline(&mut self) -> usize {
        self.bowline_as(&Hello::default())
    }

    pub(super) fn bowline_as(&mut self, hello: &Hello<'_>) -> usize {
        let i = self.open_bowline(hello);
        assert_eq!(self.lines[i].log.remove(0), "welcome");
        i
    }

    pub(super) fn open_bowline(&mut self, hello: &Hello<'_>) -> usize {
        let mut out = SharedSendBuf::new(1 << 20);
        let session = Session::connect(self.now, &Config::default(), hello, &mut out).unwrap();
        let i = self.open(Peer::default(), Tongue::Bowline(Box::new(session)));
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        self.octets(i, &bytes);
        i
    }

    /// A call of a client of our own protocol.
    pub(super) fn call<T>(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut Session, Instant, &mut SharedSendBuf) -> T,
    ) {
        let mut out = SharedSendBuf::new(1 << 20);
        let Tongue::Bowline(session) = &mut self.lines[i].tongue else { panic!("it speaks another tongue") };
        f(session, self.now, &mut out);
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        self.octets(i, &bytes);
    }

    pub(super) fn send(&mut self, i: usize, packet: &Packet<'_>) {
        let mut out = SharedSendBuf::new(1 << 21);
        let version = match (&self.lines[i].tongue, packet) {
            (_, Packet::Connect(connect)) => connect.version,
            (Tongue::Mqtt(version), _) => *version,
            _ => panic!("it speaks another tongue"),
        };
        packet.encode(version, &mut out).unwrap();
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        self.octets(i, &bytes);
    }

    pub(super) fn say(&mut self, i: usize, packet: &prx1::Packet<'_>) {
        let mut out = SharedSendBuf::new(1 << 21);
        packet.encode(&mut out).unwrap();
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        self.octets(i, &bytes);
    }

    /// Octets of a client reach the server, and all that follows from that happens.
    pub(super) fn octets(&mut self, i: usize, octets: &[u8]) {
        let line = &mut self.lines[i];
        let octets = match &mut line.layer {
            None => octets.to_vec(),
            Some(layer) => {
                let mut out = SharedSendBuf::new(1 << 22);
                // Borders mean nothing: packets are cut, and several are in one.
                for part in octets.chunks(1 + octets.len() / 3) {
                    SendBuf::put(&mut layer.machine.framed(&mut out), part);
                }
                out.slices().flatten().copied().collect()
            }
        };
        assert_eq!(line.input.push(&octets), octets.len());
        self.run();
    }

    /// With which code and reason the server closed a WebSocket.
    pub(super) fn closed(&self, i: usize) -> Option<(u16, &str)> {
        self.lines[i].layer.as_ref()?.closed.as_ref().map(|(code, reason)| (*code, &**reason))
    }

    /// Moves octets both ways until nothing moves.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for i in 0..self.lines.len() {
                moved |= self.turn(i);
            }
            while self.server.poll_ready().is_some() {
                moved = true;
            }
            if !moved {
                return self.server.hub().check_invariants().unwrap();
            }
        }
        panic!("the world does not come to rest");
    }

    fn turn(&mut self, i: usize) -> bool {
        let (now, line) = (self.now, &mut self.lines[i]);
        let before = line.input.filled().len();
        if before > 0 {
            self.server.recv(now, line.connection, &mut line.input, &mut line.out);
        }
        if let Some(work) = self.server.poll_verification(line.connection) {
            self.server.verified(now, line.connection, work.run(), &mut line.out);
        }
        line.transport = self.server.poll_transmit(now, line.connection, &mut line.out);
        let moved = before != line.input.filled().len();
        moved | self.carry_down(i)
    }

    fn carry_down(&mut self, i: usize) -> bool {
        let (now, line) = (self.now, &mut self.lines[i]);
        if line.stalled {
            return false;
        }
        let bytes: Vec<u8> = line.out.slices().flatten().copied().collect();
        line.out.sent(bytes.len());
        match &mut line.layer {
            None => _ = line.received.push(&bytes),
            Some(layer) => layer.carry(now, &bytes, &mut line.received, &mut line.input),
        }
        match &mut line.tongue {
            // The answer to the request for a WebSocket.
            Tongue::Mqtt(_) | Tongue::Prx1 | Tongue::Bowline(_)
                if line.received.filled().starts_with(b"HTTP") => {}
            Tongue::Mqtt(version) => {
                while let Ok(Some(head)) = Head::read(line.received.filled()) {
                    if line.received.filled().len() < head.total() {
                        break;
                    }
                    let packet = Packet::decode(*version, line.received.take(head.total()));
                    if let Ok(
                        Packet::Auth(Auth { properties, .. }) | Packet::ConnAck(ConnAck { properties, .. }),
                    ) = packet
                        && let Some(Property::AuthData(data)) = properties.get(PropertyId::AuthData)
                    {
                        line.auth_data = data.to_vec();
                    }
                    line.log.push(packet.map_or_else(|fault| fault.to_string(), |p| describe(&p)));
                }
            }
            Tongue::Prx1 => {
                while let Some(packet) = take_prx1(&mut line.received) {
                    line.log.push(packet);
                }
            }
            Tongue::Web(page) => page.hear(now, &mut line.received, &mut line.input, &mut line.log),
            Tongue::Http => {
                let text = line.received.take(usize::MAX).to_vec();
                if !text.is_empty() {
                    line.log.push(String::from_utf8(text).unwrap());
                }
            }
            Tongue::Bowline(session) => {
                while let Some(event) = session.recv(now, &mut line.received) {
                    if let Event::Welcome(welcome) = &event {
                        line.credentials = welcome.session;
                    }
                    line.log.push(heard(&event));
                }
            }
        }
        !bytes.is_empty()
    }

    /// What the client was told since the last time.
    pub(super) fn take(&mut self, i: usize) -> Vec<String> {
        core::mem::take(&mut self.lines[i].log)
    }

    pub(super) fn subscribe(&mut self, i: usize, filter: &str, qos: Qos) {
        self.subscribe_as(i, Subscription::new(filter, qos), Properties::NONE);
        let granted = ["Success", "Granted QoS 1", "Granted QoS 2"][usize::from(qos.number())];
        let log = &mut self.lines[i].log;
        assert_eq!(log.remove(0), format!("SUBACK 9: {granted}"));
    }

    pub(super) fn subscribe_as(
        &mut self,
        i: usize,
        subscription: Subscription<'_>,
        properties: Properties<'_>,
    ) {
        let subscriptions = Subscriptions::list(core::slice::from_ref(&subscription));
        self.send(i, &Packet::Subscribe(Subscribe { id: id(9), properties, subscriptions }));
    }

    pub(super) fn publish(&mut self, i: usize, topic: &str, payload: &str, qos: Qos, number: u16) {
        self.send(i, &Packet::Publish(publish(topic, payload, qos, number)));
    }

    pub(super) fn ack(&mut self, i: usize, kind: AckKind, number: u16) {
        self.send(i, &Packet::Ack(Ack::new(kind, id(number))));
    }

    /// The connection breaks.
    pub(super) fn cut(&mut self, i: usize) {
        self.server.disconnect(self.now, self.lines[i].connection);
        self.run();
    }

    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        // A WebSocket's peer is pinged on the way.
        while let Some(at) = self.next_ping().filter(|at| *at < until) {
            self.advance_to(at);
        }
        self.advance_to(until);
    }

    /// When the next is due on a line over a WebSocket.
    fn next_ping(&self) -> Option<Instant> {
        let over = self.lines.iter().filter(|line| line.layer.is_some());
        let deadlines = over.filter_map(|line| self.server.poll_timeout(line.connection));
        deadlines.map(|deadline| deadline.at).filter(|at| *at > self.now).min()
    }

    fn advance_to(&mut self, at: Instant) {
        self.now = at;
        while self.server.poll_hub_timeout().is_some_and(|deadline| deadline.at <= self.now) {
            self.server.handle_hub_timeout(self.now);
        }
        for line in &self.lines {
            if self.server.poll_timeout(line.connection).is_some_and(|deadline| deadline.at <= self.now) {
                self.server.handle_timeout(self.now, line.connection);
            }
        }
        self.run();
    }

    pub(super) fn events(&mut self) -> Vec<ServerEvent> {
        core::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

impl Layer {
    /// What came of the server goes to what is within; what the layer itself answers goes back.
    fn carry(&mut self, now: Instant, octets: &[u8], within: &mut GrowingRecvBuf, back: &mut GrowingRecvBuf) {
        self.raw.push(octets);
        let mut out = SharedSendBuf::new(1 << 16);
        while let Some(event) = self.machine.recv(now, &mut self.raw, &mut out) {
            if let websocket::Event::Closed(Closed { code, reason, .. }) = event {
                self.closed = Some((code.0, reason.into()));
            }
        }
        within.push(self.machine.decoded(&mut self.raw).take(usize::MAX));
        let _ = self.machine.poll_transmit(now, &mut out);
        for piece in out.slices() {
            back.push(piece);
        }
    }
}

pub(super) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

pub(super) fn publish<'a>(topic: &'a str, payload: &'a str, qos: Qos, number: u16) -> Publish<'a> {
    let delivery = Delivery::new(qos, PacketId::new(number), false).unwrap();
    Publish { delivery, ..Publish::new(topic, payload.as_bytes()) }
}

/// A packet in short words.
fn describe(packet: &Packet<'_>) -> String {
    let mut s = String::new();
    match packet {
        Packet::ConnAck(ack) => {
            let _ = write!(s, "CONNACK {}", ack.reason.name());
            if ack.session_present {
                s.push_str(" present");
            }
            tell(&mut s, &ack.properties);
        }
        Packet::Publish(p) => {
            let _ = write!(s, "{}={}", p.topic, String::from_utf8_lossy(p.payload));
            if let Some(id) = p.id() {
                let _ = write!(s, " q{}#{id}", p.qos().number());
            }
            if p.delivery.is_duplicate() {
                s.push_str(" dup");
            }
            if p.retain {
                s.push_str(" retain");
            }
            tell(&mut s, &p.properties);
        }
        Packet::Ack(ack) => {
            let _ = write!(s, "{} {}", ack.kind.packet().name(), ack.id);
            if ack.reason.number() != 0 {
                let _ = write!(s, " {}", ack.reason.name());
            }
        }
        Packet::SubAck(ack) => {
            let codes: Vec<&str> = ack.reasons.iter().map(ReasonCode::name).collect();
            let _ = write!(s, "SUBACK {}: {}", ack.id, codes.join(", "));
        }
        Packet::UnsubAck(ack) => {
            let codes: Vec<&str> = ack.reasons.iter().map(ReasonCode::name).collect();
            let _ = write!(s, "UNSUBACK {}: {}", ack.id, codes.join(", "));
        }
        Packet::Disconnect(d) => {
            let _ = write!(s, "DISCONNECT {}", d.reason.name());
            tell(&mut s, &d.properties);
        }
        Packet::Auth(auth) => {
            let _ = write!(s, "AUTH {}", auth.reason.name());
            tell(&mut s, &auth.properties);
        }
        other => s.push_str(other.packet_type().name()),
    }
    s
}

/// What every CONNACK of a server with the usual limits says, and reasons for people, are left out.
const USUAL: [PropertyId; 4] = [
    PropertyId::ReceiveMaximum,
    PropertyId::MaximumPacketSize,
    PropertyId::TopicAliasMaximum,
    PropertyId::ReasonString,
];

fn tell(s: &mut String, properties: &Properties<'_>) {
    for property in properties.iter().filter(|p| !USUAL.contains(&p.id())) {
        let _ = match property {
            Property::SubscriptionIdentifier(id) => write!(s, " sid={id}"),
            Property::MessageExpiry(seconds) => write!(s, " expiry={seconds}"),
            Property::SessionExpiry(seconds) => write!(s, " session={seconds}"),
            Property::AssignedClientId(id) => write!(s, " id={id}"),
            Property::ServerReference(to) => write!(s, " to={to}"),
            Property::ServerKeepAlive(seconds) => write!(s, " keepalive={seconds}"),
            Property::AuthMethod(_) | Property::AuthData(_) => Ok(()),
            other => write!(s, " {other:?}"),
        };
    }
}

fn take_prx1(received: &mut GrowingRecvBuf) -> Option<String> {
    let (text, size) = match prx1::Packet::decode(received.filled()) {
        Ok(None) => return None,
        Ok(Some((packet, size))) => (describe_prx1(&packet), size),
        Err(fault) => (fault.to_string(), usize::MAX),
    };
    received.take(size);
    Some(text)
}

fn describe_prx1(packet: &prx1::Packet<'_>) -> String {
    match packet {
        prx1::Packet::Publish(p) => {
            let mut s = format!("{}={}", p.topic, String::from_utf8_lossy(p.payload));
            if let Some(id) = p.id {
                let _ = write!(s, " #{}", id.get());
            }
            s.push_str(if p.dup { " dup" } else { "" });
            s.push_str(if p.retain { " retain" } else { "" });
            s
        }
        prx1::Packet::ConnAck(ack) => {
            format!("CONNACK {:?}{}", ack.result, ack.session.map_or_else(String::new, |s| format!(" {s}")))
        }
        prx1::Packet::PubAck(id) => format!("PUBACK {}", id.get()),
        prx1::Packet::SubAck(id) => format!("SUBACK {}", id.get()),
        prx1::Packet::UnsubAck(id) => format!("UNSUBACK {}", id.get()),
        prx1::Packet::QueueAck(status) => format!("QUEUEACK {status:?}"),
        other => other.kind().name().into(),
    }
}

/// An event of our own protocol in short words.
fn heard(event: &Event<'_>) -> String {
    let text = String::from_utf8_lossy;
    match event {
        Event::Welcome(_) => "welcome".into(),
        Event::Message(id, m) => format!("{id} {}={}", m.topic, text(m.payload)),
        Event::Result(outcome) => format!("result {} {:?}", outcome.id, outcome.status),
        Event::Request(r) => format!("request {} {}={}", r.id, r.topic, text(r.payload)),
        Event::Response(r) => format!("response {} {:?} {}", r.id, r.status, text(r.payload)),
        Event::Acked(count) => format!("acked {count}"),
        Event::Closed(c) => format!("closed {:?}", c.code),
        other => format!("{other:?}"),
    }
}
