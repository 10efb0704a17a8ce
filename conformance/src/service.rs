//! The whole server of `bowline-core`, with its hub, as an [`Implementation`] on virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_core::access::{Access, Action, Decision, Who};
use bowline_core::buf::{GrowingRecvBuf, SendBuf, SharedSendBuf};
use bowline_core::endpoint::server::{
    Anonymous, Compression, ConnectionKey, HttpResponse, Peer, Server, ServerConfig, TunnelWork, Users,
};
use bowline_core::entropy::{Entropy, Seeded};
use bowline_core::http::StatusCode;
use bowline_core::hub::HistoryOptions;
use bowline_core::mqtt::Qos;
use bowline_core::relay::Allowed;
use bowline_core::scram::{Credential, MIN_ITERATIONS};
use bowline_core::session::{Piece, Transport};
use bowline_core::time::{Deadline, Instant, Why};

use crate::pattern::unhex;
use crate::runner::{Answer, Answers, ECHO, Implementation, Input, Trouble};
use crate::vector::{Config, EntropyScript, Fin, MqttConfig, Role, Vector};
use crate::whitebox;

/// What a connection may have waiting: more than any vector sends.
const BUFFER: usize = 4 << 20;

/// How long clients have to go once the operator wants the server to drain.
const DRAIN: Duration = Duration::from_secs(10);

/// More rounds than any vector needs: a server that always has something to do ends here, and fails.
const ROUNDS: usize = 10_000;

/// A whole server, and the connections that a vector names.
#[derive(Debug)]
pub struct Service {
    server: Server,
    now: Instant,
    lines: BTreeMap<String, Line>,
}

/// One connection, as its adapter sees it.
#[derive(Debug)]
struct Line {
    key: ConnectionKey,
    received: GrowingRecvBuf,
    waiting: Vec<u8>,
    out: SharedSendBuf,
    fin: Fin,
}

impl Default for Service {
    fn default() -> Self {
        let server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
        Self { server, now: Instant::ZERO, lines: BTreeMap::new() }
    }
}

impl Implementation for Service {
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble> {
        if vector.role != Role::Service {
            return Err(Trouble::Unsupported("this is a whole server, not one session".into()));
        }
        let mut config = ServerConfig { users: users(&vector.config)?, ..ServerConfig::default() };
        // What it says of itself every ten seconds is no part of any vector, and some wait for days.
        config.sys_interval = Duration::ZERO;
        // Nor is it said how long a client is to stay away.
        config.retry_spread = Duration::ZERO;
        if vector.config.relay {
            config.relay.allowed =
                Allowed::new([ECHO.parse().map_err(|e| Trouble::Broken(format!("{e}")))?]);
        }
        config.hub.history = vec![HistoryOptions { max_messages: 4, ..HistoryOptions::new("kept/+") }];
        let keepalive = config.session.limits.keepalive;
        config.http.handled = true;
        config.http.compression = Some(Compression::default());
        config.session = whitebox::config(vector);
        config.session.limits.keepalive = config.session.limits.keepalive.or(keepalive);
        mqtt(&vector.config.mqtt, &mut config)?;
        *self = Self { server: Server::new(config, entropy(&vector.entropy)?), ..Self::default() };
        if !vector.config.denied.is_empty() {
            self.server.set_access(Box::new(Denied(vector.config.denied.clone())));
        }
        Ok(())
    }

    fn input(&mut self, conn: &str, input: &Input<'_>) -> Result<Answers, Trouble> {
        self.open(conn)?;
        match input {
            Input::At(ms) => self.advance(Instant::from_millis(*ms)),
            Input::In { octets, more } => {
                if let Some(line) = self.lines.get_mut(conn).filter(|l| l.fin != Fin::Drop) {
                    line.waiting.extend_from_slice(octets);
                }
                self.receive();
                if *more {
                    return Ok(Answers::new());
                }
            }
            Input::Eof => {
                if let Some(line) = self.lines.get(conn) {
                    self.server.handle_eof(self.now, line.key);
                }
            }
            Input::Call { name: "drain", arguments } => {
                let endpoint =
                    arguments.get("endpoint").and_then(serde_json::Value::as_str).unwrap_or_default();
                self.server.drain(self.now, DRAIN, Duration::ZERO, endpoint);
            }
            Input::Call { .. } => {
                return Err(Trouble::Unsupported("a server has no application that calls".into()));
            }
        }
        self.settle();
        Ok(self.lines.iter_mut().map(|(name, line)| (name.clone(), line.answer())).collect())
    }
}

impl Service {
    fn open(&mut self, conn: &str) -> Result<(), Trouble> {
        if !self.lines.contains_key(conn) {
            let accepted = self.server.accept(self.now, Peer::default());
            let key = accepted.map_err(|e| Trouble::Broken(format!("connection {conn}: {e}")))?;
            let (received, out) = (GrowingRecvBuf::new(BUFFER), SharedSendBuf::new(BUFFER));
            let line = Line { key, received, waiting: Vec::new(), out, fin: Fin::Open };
            self.lines.insert(conn.to_owned(), line);
        }
        Ok(())
    }

    /// Hands over what has arrived.
    fn receive(&mut self) {
        for line in self.lines.values_mut() {
            let n = line.received.push(&line.waiting);
            line.waiting.drain(..n);
            self.server.recv(self.now, line.key, &mut line.received, &mut line.out);
            if let Some(verification) = self.server.poll_verification(line.key) {
                self.server.verified(self.now, line.key, verification.run(), &mut line.out);
            }
            // Nothing is there but what every server has.
            if self.server.poll_request(line.key).is_some() {
                let nothing = HttpResponse::text(StatusCode::NOT_FOUND, "nothing is there");
                self.server.respond(line.key, nothing);
            }
        }
    }

    /// Plays the target of tunnels, which returns what it gets. Says whether there was something to do.
    fn relay(&mut self) -> bool {
        let mut moved = false;
        while let Some(work) = self.server.poll_tunnel() {
            moved = true;
            let (TunnelWork::Connect(key, _) | TunnelWork::Look(key)) = work;
            if matches!(work, TunnelWork::Connect(..)) {
                self.server.tunnel_connected(self.now, key);
            }
            let is_over = self.server.with_tunnel(self.now, key, |tunnel| {
                loop {
                    match tunnel.read() {
                        Piece::Octets(octets) => {
                            tunnel.consumed(octets.len() as u64);
                            tunnel.write(&octets);
                        }
                        Piece::End => {
                            tunnel.finish();
                            break true;
                        }
                        Piece::Nothing => break false,
                    }
                }
            });
            if is_over != Some(false) {
                self.server.close_tunnel(self.now, key);
            }
        }
        moved
    }

    /// Works until no connection has anything to send or to read.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.receive();
            let mut moved = self.relay();
            for line in self.lines.values_mut().filter(|l| l.fin != Fin::Drop) {
                let before = line.out.room();
                line.fin = match self.server.poll_transmit(self.now, line.key, &mut line.out) {
                    Transport::Open => Fin::Open,
                    Transport::Shut => Fin::Shut,
                    Transport::Drop | Transport::Abort => Fin::Drop,
                };
                let owes = |d: Deadline| d.why == Why::Output;
                moved |= line.out.room() != before || self.server.poll_timeout(line.key).is_some_and(owes);
                if line.fin == Fin::Drop {
                    self.server.disconnect(self.now, line.key);
                    moved = true;
                }
            }
            while self.server.poll_ready().is_some() {
                moved = true;
            }
            if !moved {
                break;
            }
        }
        while self.server.poll_event().is_some() {}
    }

    /// Time goes on, from deadline to deadline.
    fn advance(&mut self, to: Instant) {
        let mut last = None;
        loop {
            let of_lines = self.lines.values().filter_map(|l| self.server.poll_timeout(l.key));
            let due =
                of_lines.chain(self.server.poll_hub_timeout()).filter(|d| d.at <= to && d.why != Why::Output);
            let Some(due) = due.min().filter(|d| Some(*d) != last) else { break };
            last = Some(due);
            self.now = self.now.max(due.at);
            self.handle_timeouts();
        }
        self.now = self.now.max(to);
        self.handle_timeouts();
    }

    fn handle_timeouts(&mut self) {
        let due = |d: Option<Deadline>, now| d.is_some_and(|d| d.at <= now);
        for line in self.lines.values() {
            if due(self.server.poll_timeout(line.key), self.now) {
                self.server.handle_timeout(self.now, line.key);
            }
        }
        if due(self.server.poll_hub_timeout(), self.now) {
            self.server.handle_hub_timeout(self.now);
        }
        self.settle();
    }
}

impl Line {
    fn answer(&mut self) -> Answer {
        let out: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.sent(out.len());
        Answer { out, events: Vec::new(), deadline: None, fin: self.fin }
    }
}

/// What the server draws: as the vector scripts it, or as a seed makes it.
fn entropy(script: &EntropyScript) -> Result<Box<dyn Entropy + Send>, Trouble> {
    if *script == EntropyScript::default() {
        return Ok(Box::new(Seeded::new(1)));
    }
    let octets = |text| unhex(text).map_err(Trouble::Broken);
    Ok(Box::new(Script { wire: octets(&script.wire)?, secret: octets(&script.secret)? }))
}

/// Octets in their order, and zeros behind them.
struct Script {
    wire: Vec<u8>,
    secret: Vec<u8>,
}

impl Entropy for Script {
    fn wire(&mut self, out: &mut [u8]) {
        draw(&mut self.wire, out);
    }

    fn secret(&mut self, out: &mut [u8]) {
        draw(&mut self.secret, out);
    }
}

fn draw(from: &mut Vec<u8>, out: &mut [u8]) {
    out.fill(0);
    let n = out.len().min(from.len());
    out[..n].copy_from_slice(&from[..n]);
    from.drain(..n);
}

/// Sets up what a service allows its MQTT clients.
fn mqtt(given: &MqttConfig, config: &mut ServerConfig) -> Result<(), Trouble> {
    let line = &mut config.mqtt.line;
    line.receive_maximum = given.receive_max.unwrap_or(line.receive_maximum);
    line.max_packet = given.max_packet.unwrap_or(line.max_packet);
    line.topic_alias_maximum = given.alias_max.unwrap_or(line.topic_alias_maximum);
    line.retain_available = given.retain.unwrap_or(line.retain_available);
    line.wildcard_subscriptions = given.wildcards.unwrap_or(line.wildcard_subscriptions);
    line.subscription_identifiers = given.sub_ids.unwrap_or(line.subscription_identifiers);
    line.shared_subscriptions = given.shared.unwrap_or(line.shared_subscriptions);
    line.max_keep_alive = given.keepalive.or(line.max_keep_alive);
    if let Some(qos) = given.max_qos {
        let known = Qos::from_number(qos);
        line.maximum_qos = known.ok_or_else(|| Trouble::Broken(format!("there is no QoS {qos}")))?;
    }
    let check = &mut config.mqtt.check_payload_format;
    *check = given.check_payload_format.unwrap_or(*check);
    let hub = &mut config.hub;
    hub.max_subscriptions_per_session = given.subscriptions.unwrap_or(hub.max_subscriptions_per_session);
    hub.max_expiry = match given.session_expiry {
        None => hub.max_expiry,
        Some(u32::MAX) => Duration::MAX,
        Some(seconds) => Duration::from_secs(seconds.into()),
    };
    Ok(())
}

/// Access rules: what a vector lists, nobody may.
#[derive(Debug)]
struct Denied(BTreeMap<String, Vec<String>>);

impl Access for Denied {
    fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
        let (action, subject) = match action {
            Action::Connect => ("connect", who.client_id),
            Action::Publish => ("publish", subject),
            Action::Subscribe => ("subscribe", subject),
            _ => return Decision::ALLOW,
        };
        let denied = self.0.get(action).is_some_and(|all| all.iter().any(|s| s == subject));
        if denied { Decision::DENY } else { Decision::ALLOW }
    }
}

fn users(config: &Config) -> Result<Users, Trouble> {
    if config.users.is_empty() {
        return Ok(Users::default());
    }
    let mut users = Users::new(Anonymous::Never);
    for (user, password) in &config.users {
        let credential = Credential::derive(password, b"a vector's salt.", MIN_ITERATIONS);
        users.add_password(user, credential.map_err(|e| Trouble::Broken(e.to_string()))?);
    }
    Ok(users)
}

/// All of `bowline-core` in this process: its session machine for vectors of a client or a server,
/// its whole server for those of a service.
#[derive(Debug, Default)]
pub struct InProcess {
    session: whitebox::WhiteBox,
    service: Service,
    whole: bool,
}

impl InProcess {
    fn inner(&mut self) -> &mut dyn Implementation {
        if self.whole { &mut self.service } else { &mut self.session }
    }
}

impl Implementation for InProcess {
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble> {
        self.whole = vector.role == Role::Service;
        self.inner().start(vector)
    }

    fn input(&mut self, conn: &str, input: &Input<'_>) -> Result<Answers, Trouble> {
        self.inner().input(conn, input)
    }
}
