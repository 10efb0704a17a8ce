//! A whole server as one machine: the hub, and the session of every connection.
//!
//! An adapter accepts transports and moves octets and time; all else is here:
//!
//! - [`accept`](Server::accept) a connection, then [`recv`](Server::recv) what it brings and
//!   [`poll_transmit`](Server::poll_transmit) what it is owed. [`handle_eof`](Server::handle_eof),
//!   [`handle_written`](Server::handle_written), [`handle_timeout`](Server::handle_timeout) say what
//!   the world did to it; [`disconnect`](Server::disconnect) that its transport is gone.
//! - After any call, [`poll_ready`](Server::poll_ready) names the connections that have something
//!   to send now, [`poll_event`](Server::poll_event) what is worth a line in a log.
//! - The hub has a deadline of its own: [`poll_hub_timeout`](Server::poll_hub_timeout).
//! - Where it [relays](RelayConfig), [`poll_tunnel`](Server::poll_tunnel) says what is to be connected to.
//! - Tell it the time of day, [`set_calendar`](Server::set_calendar), where topics have a history.
//!
//! Nothing here blocks, and one slow connection delays no other.
//!
//! ```
//! use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf, SliceSendBuf};
//! use bowline_core::endpoint::server::{Peer, Server, ServerConfig, ServerEvent};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::session::{Config, Connect, Session};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(1);
//! let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
//! let connection = server.accept(now, Peer::default())?;
//!
//! // A client says hello.
//! let mut memory = [0; 256];
//! let mut line = SliceSendBuf::new(&mut memory);
//! Session::connect(now, &Config::default(), &Connect::default(), &mut line).unwrap();
//!
//! let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
//! received.push(line.pending());
//! server.recv(now, connection, &mut received, &mut out);
//! assert!(matches!(server.poll_event(), Some(ServerEvent::Opened { .. })));
//! assert!(!out.is_empty(), "the WELCOME");
//! # Ok::<(), bowline_core::endpoint::server::Refused>(())
//! ```

mod admission;
mod auth;
mod bowline;
mod compression;
mod connection;
mod connections;
mod counters;
mod event;
mod http;
mod inflating;
mod inspect;
mod json;
mod listeners;
mod local;
mod mqtt;
#[cfg(feature = "noise")]
mod noise;
mod owed;
mod plugins;
mod prx1;
mod registry;
mod relay;
mod secured;
mod spoken;
mod store;
mod sys;
#[cfg(test)]
mod tests;
mod tracing;
mod websocket;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;

pub use admission::{ConnectionRate, Refused};
pub use auth::{Anonymous, PasswordCheck, Peer, Users, Verification, Verified};
#[cfg(feature = "deflate")]
pub use compression::Compression;
pub use connections::ConnectionKey;
pub use counters::{DialectCounters, Pinger, ServerCounters};
pub use event::{Dialect, ServerEvent, SessionName};
pub use http::{Awaited, HttpConfig, HttpRequest, HttpResponse, Origins, PROTOCOLS, PartError};
pub use inflating::CompressionCounters;
pub use inspect::{Carrier, ClientInfo, ConnectionInfo};
pub use json::JsonConfig;
pub use listeners::{ListenerConfig, ListenerError, ListenerInfo, ListenerKey, Speaks, UnknownSpeech};
pub use local::{LocalEvent, LocalKey};
pub use mqtt::MqttConfig;
#[cfg(feature = "noise")]
pub use noise::NoiseConfig;
pub use prx1::Prx1Config;
pub use relay::{
    RelayConfig, TunnelCounters, TunnelFailure, TunnelKey, TunnelPort, TunnelRefusal, TunnelWork,
};
pub use secured::{Certificate, Identity, NameKind, Secured, Security};
pub use tracing::{Stage, TraceConfig, TraceCounters, Traced};

use admission::{Admission, GIVES_WAY, Limits as AdmissionLimits};
use connection::{Connection, Turn};
use connections::Connections;
use counters::Timings;
use inflating::Inflating;
use listeners::Listeners;
use plugins::Visitor;
use registry::Registry;
use sys::{Sys, Traffic};
use tracing::Tracing;

use crate::access::Access;
use crate::buf::{RecvBuf, SendBuf};
use crate::compression::Codec;
use crate::datagram::Delivery;
use crate::endpoint::bridge::ReplyTopics;
use crate::entropy::Entropy;
use crate::hub::{Denial, DisconnectReason, Hub, HubOptions, Notice, Policy, SessionKey};
use crate::lifecycle::Transport;
use crate::scram::{Decoy, MIN_ITERATIONS};
use crate::session::{Code, Config, Features};
use crate::time::{Deadline, Instant};

/// No frame is handled with less room for its answer: a RESULT with its longest reason, and what
/// else a frame can be answered with.
const REPLY_ROOM: usize = 2048;

/// Nothing more is read of a connection that is owed so many answers.
const MAX_OWED: usize = 1024;

/// How much may wait for a session, and what happens beyond.
///
/// By default 16,384 deliveries of 4 MiB together. Octets are what bounds the memory; the number only
/// bounds what small messages cost beside (some 16 octets each). It is above what many publishers
/// together have on their way to one subscriber: 50 with 64 messages each overran 1,024 before the
/// subscriber had its turn, and what had been accepted was dropped though nobody was slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Deliveries at most.
    pub max_messages: u32,
    /// Octets of message bodies at most.
    pub max_bytes: u64,
    /// What happens when one of them is reached.
    pub policy: Policy,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { max_messages: 16_384, max_bytes: 4 << 20, policy: Policy::default() }
    }
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What it calls itself in WELCOME.
    pub name: String,
    /// Of each session.
    pub session: Config,
    /// Of connections that speak MQTT.
    pub mqtt: MqttConfig,
    /// Of connections that speak our own protocol in its secure mode.
    #[cfg(feature = "noise")]
    pub noise: NoiseConfig,
    /// Of connections that speak PRX1.
    pub prx1: Prx1Config,
    /// Of connections that speak HTTP, and of WebSockets.
    pub http: HttpConfig,
    /// Of clients that speak typed JSON.
    pub json: JsonConfig,
    /// Of the hub.
    pub hub: HubOptions,
    /// Of each session's queue.
    pub queue: QueueLimits,
    /// Connections at most.
    pub max_connections: usize,
    /// Connections at most from one address that is not on this machine, or of IPv6 from one network of 64
    /// bits: so that one stranger does not take them all.
    pub max_per_address: usize,
    /// How fast they may come from there; nothing: as fast as they do.
    pub connection_rate: Option<ConnectionRate>,
    /// Connections at most that have not shown yet what they want: about so many; beyond, who came first
    /// and shows nothing gives way to who comes. So a flood of them keeps nobody out who is quick.
    pub max_strangers: usize,
    /// Who may connect.
    pub users: Users,
    /// How often `$SYS/` topics are published; zero: never. They say what brokers say of themselves,
    /// as the users of mosquitto know it: versions, clients, messages, octets, loads.
    pub sys_interval: Duration,
    /// When the server drains, each client is told to stay away for up to so much longer than it has to,
    /// drawn for each, so that they do not all come back at once.
    pub retry_spread: Duration,
    /// What is done about traces of messages.
    pub trace: TraceConfig,
    /// By which codecs clients of our own protocol may compress payloads (SPEC §5.8), of those that were built
    /// in (features `lz4`, `zstd`); both. What comes compressed is handed on as it is to those who agreed to
    /// the same, and inflated once for all others.
    pub compression: Vec<Codec>,
    /// What is relayed.
    pub relay: RelayConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let mut session = Config::default();
        session.limits.keepalive = Some(Duration::from_secs(30));
        Self {
            name: String::new(),
            session,
            mqtt: MqttConfig::default(),
            #[cfg(feature = "noise")]
            noise: NoiseConfig::default(),
            prx1: Prx1Config::default(),
            http: HttpConfig::default(),
            json: JsonConfig::default(),
            hub: HubOptions::default(),
            queue: QueueLimits::default(),
            max_connections: 10_000,
            max_per_address: 1000,
            connection_rate: Some(ConnectionRate::default()),
            max_strangers: 5000,
            users: Users::default(),
            sys_interval: Duration::from_secs(10),
            retry_spread: Duration::from_secs(5),
            trace: TraceConfig::default(),
            compression: Codec::ALL.to_vec(),
            relay: RelayConfig::default(),
        }
    }
}

/// A server. See the [module](self) for how to drive it.
pub struct Server {
    config: ServerConfig,
    hub: Hub,
    entropy: Box<dyn Entropy + Send>,
    /// Makes up the same credential for the same unknown user each time (AUT-4).
    decoy: Decoy,
    connections: Connections,
    admission: Admission,
    listeners: Listeners,
    registry: Registry,
    /// Where clients of MQTT answer.
    replies: ReplyTopics,
    locals: local::Locals,
    ready: VecDeque<ConnectionKey>,
    events: VecDeque<ServerEvent>,
    /// Connections with answers that wait for the store's next commit.
    waiting: Vec<ConnectionKey>,
    draining: Option<Draining>,
    sys: Sys,
    traffic: Traffic,
    timings: Timings,
    tracing: Option<Box<Tracing>>,
    inflating: Inflating,
    /// What many clients of typed JSON are told alike.
    json: json::Shared,
    /// What their messages are compressed with, where they are.
    compressors: Option<Box<compression::Compressors>>,
    /// Clients that poll, by when they are given up.
    pollers: BTreeSet<(Instant, ConnectionKey)>,
    /// Who is on which connection, where plugins want to know when that ends.
    visitors: BTreeMap<ConnectionKey, Visitor>,
    relay: relay::Relay,
    /// What the layers below connections have proved, where there are such.
    secured: HashMap<ConnectionKey, Box<Secured>>,
}

/// A drain that is under way.
#[derive(Debug)]
struct Draining {
    until: Instant,
    retry_after: Duration,
    endpoint: String,
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Server {
    /// A server without connections. `entropy` must be unpredictable where strangers connect: the
    /// secrets of sessions come from it.
    #[must_use]
    pub fn new(mut config: ServerConfig, mut entropy: Box<dyn Entropy + Send>) -> Server {
        // What this hub can do; queues, rooms and presence are not among it.
        let history = if config.hub.history.is_empty() { Features::NONE } else { Features::HISTORY };
        let rooms =
            if config.hub.rooms.is_empty() { Features::NONE } else { Features::ROOMS | Features::PRESENCE };
        let codecs = config.compression.iter().filter(|codec| codec.is_available());
        let codecs = codecs.fold(Features::NONE, |all, codec| all | Features::of_codec(*codec));
        config.session.features = Features::RETAINED | history | rooms | codecs;
        let mut seed = [0; 8];
        entropy.secret(&mut seed);
        let seed = u64::from_le_bytes(seed);
        let replies = ReplyTopics::new(entropy.wire_u64());
        let decoy =
            Decoy::new(&mut &mut *entropy, MIN_ITERATIONS).expect("the fewest iterations are allowed");
        let compressors = compression::Compressors::new(&config.http);
        let mut server = Server {
            hub: Hub::new(config.hub.clone(), seed),
            sys: Sys::new(config.sys_interval),
            tracing: Tracing::new(config.trace),
            inflating: Inflating::default(),
            config,
            entropy,
            decoy,
            connections: Connections::default(),
            admission: Admission::default(),
            listeners: Listeners::default(),
            registry: Registry::new(!seed),
            replies,
            locals: local::Locals::default(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            waiting: Vec::new(),
            draining: None,
            traffic: Traffic::default(),
            timings: Timings::default(),
            json: json::Shared::default(),
            compressors,
            pollers: BTreeSet::new(),
            visitors: BTreeMap::new(),
            relay: relay::Relay::default(),
            secured: HashMap::new(),
        };
        server.offer_relay();
        server
    }

    /// Sets the access rules from now on; see [`Hub::set_access`].
    pub fn set_access(&mut self, access: Box<dyn Access + Send>) -> Option<Box<dyn Access + Send>> {
        self.hub.set_access(access)
    }

    /// Sets who may connect from now on, and gives back who might: it may take a while to drop. Who
    /// is connected stays, and sessions go on.
    pub fn set_users(&mut self, users: Users) -> Users {
        core::mem::replace(&mut self.config.users, users)
    }

    /// Sets the keys of the secure mode, and who has to speak in it, from now on; gives back what was. Connections
    /// that are open stay.
    #[cfg(feature = "noise")]
    pub fn set_noise(&mut self, noise: NoiseConfig) -> NoiseConfig {
        core::mem::replace(&mut self.config.noise, noise)
    }

    /// Says what time it is in the world: milliseconds since 1970-01-01 UTC, by which histories go
    /// ([`Hub::set_calendar`]). Tell it at first, and again now and then.
    pub fn set_calendar(&mut self, now: Instant, unix_millis: u64) {
        self.hub.set_calendar(now, unix_millis);
    }

    /// What time it is in the world, in seconds since 1970-01-01 UTC, if it was said.
    fn unix_seconds(&self, now: Instant) -> Option<u64> {
        Some(self.hub.unix_millis(now)? / 1000)
    }

    /// Takes a connection that was just made.
    ///
    /// # Errors
    ///
    /// It is one too many, or the server drains: drop the transport.
    pub fn accept(&mut self, now: Instant, peer: Peer) -> Result<ConnectionKey, Refused> {
        if let Err(reason) = self.admit(now, &peer) {
            self.refuse(peer, reason);
            return Err(reason);
        }
        self.listeners.enter(peer.listener);
        self.traffic.sockets += 1;
        let connection = Connection::new(now, peer);
        let key = self.connections.insert(connection, now);
        let connections = &self.connections;
        let shows = |key| connections.get(key).is_none_or(|c| !c.is_stranger());
        if let Some(late) = self.admission.await_word(key, self.config.max_strangers, shows) {
            self.on(now, late, |c, turn| c.close(turn, Code::Quota, GIVES_WAY));
            self.ready.push_back(late);
        }
        Ok(key)
    }

    /// Tells that the adapter does not even ask for a connection from there to be taken.
    pub fn refuse(&mut self, peer: Peer, reason: Refused) {
        self.listeners.refuse(peer.listener);
        self.events.push_back(ServerEvent::Refused { peer, reason });
    }

    /// Says what the layer below this connection has proved, once its handshake is done and before any of
    /// its octets is given to [`recv`](Self::recv): later it changes nothing.
    ///
    /// Who the peer is by [`Users::identify`] needs no password from then on, in any dialect; rules can
    /// ask whether it is [secured](crate::access::Who::secured). Where a protocol was agreed upon, nothing
    /// else is detected.
    pub fn handle_secured(&mut self, now: Instant, key: ConnectionKey, secured: Secured) {
        let (by, alpn) = (secured.by, secured.alpn);
        if self.on(now, key, |c, turn| c.secured(turn, by, alpn)).unwrap_or_default() {
            self.secured.insert(key, Box::new(secured));
        }
    }

    /// What the layer below this connection has proved.
    #[must_use]
    pub fn secured(&self, key: ConnectionKey) -> Option<&Secured> {
        self.secured.get(&key).map(|secured| &**secured)
    }

    /// Whether there is room for a connection from there; it is counted where there is.
    fn admit(&mut self, now: Instant, peer: &Peer) -> Result<(), Refused> {
        if self.draining.is_some() {
            return Err(Refused::Draining);
        }
        if self.connections.len() >= self.config.max_connections {
            return Err(Refused::Connections(self.connections.len()));
        }
        self.plugins_accept(now, peer).map_err(Refused::Plugin)?;
        self.listeners.check(peer)?;
        let ServerConfig { max_per_address: per_network, connection_rate: rate, .. } = self.config;
        self.admission.admit(now, peer, AdmissionLimits { per_network, rate })
    }

    /// Lends one connection out to work on it beside the rest of the server, then carries out what
    /// that brought about elsewhere.
    #[inline]
    fn on<T>(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        work: impl FnOnce(&mut Connection, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut connection = self.connections.take(key)?;
        let before = self.hub.exchanged();
        let done = work(&mut connection, &mut Turn::new(self, now, key));
        let after = self.hub.exchanged();
        self.connections.put(key, connection, (after.0 - before.0, after.1 - before.1));
        self.after_commands();
        Some(done)
    }

    /// Handles all that is whole in `buf`; what it is answered with goes into `out`.
    ///
    /// Returns whether it stopped early because `out` had no room: call it again, with the same
    /// octets, once the transport took something.
    pub fn recv(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        let (before, room) = (buf.filled().len(), out.room());
        let blocked = self.on(now, key, |c, turn| c.recv(turn, buf, out)).unwrap_or_default();
        let taken = (before - buf.filled().len()) as u64;
        self.traffic.octets_received += taken;
        self.count(key, taken, room.saturating_sub(out.room()));
        blocked
    }

    /// Says how large a message may be that goes in a datagram beside this connection's stream, in octets.
    /// Where it is never said there are none.
    pub fn set_max_datagram(&mut self, now: Instant, key: ConnectionKey, max: usize) {
        self.on(now, key, |c, _| c.set_max_datagram(max));
    }

    /// Takes in a message that came in a datagram beside the stream; one that is not understood is as if it had
    /// been lost.
    pub fn handle_datagram(&mut self, now: Instant, key: ConnectionKey, datagram: &[u8]) {
        self.on(now, key, |c, turn| c.handle_datagram(turn, datagram));
        self.count(key, datagram.len() as u64, 0);
    }

    /// The next message to send in a datagram: there may be some behind each
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn poll_datagram(&mut self, now: Instant, key: ConnectionKey) -> Option<(Delivery, Vec<u8>)> {
        let datagram = self.on(now, key, |c, _| c.poll_datagram())?;
        self.count(key, 0, datagram.as_ref().map_or(0, |(_, octets)| octets.len()));
        datagram
    }

    /// Puts into `out` what is owed to this connection's peer, as far as there is room, and says
    /// what the transport owes.
    ///
    /// A connection that is not known (any more) is to be dropped.
    pub fn poll_transmit(&mut self, now: Instant, key: ConnectionKey, out: &mut impl SendBuf) -> Transport {
        let room = out.room();
        let transport = self.on(now, key, |c, turn| c.poll_transmit(turn, out)).unwrap_or(Transport::Abort);
        self.count(key, 0, room.saturating_sub(out.room()));
        transport
    }

    /// Counts what a connection took, and what was put for it: an adapter says what was written only where
    /// something waits.
    #[inline]
    fn count(&mut self, key: ConnectionKey, taken: u64, put: usize) {
        self.traffic.octets_sent += put as u64;
        self.connections.count(key, taken, put as u64);
    }

    /// The transport is gone, or the adapter gives it up: forgets the connection. Its session waits
    /// for the next one where it may.
    pub fn disconnect(&mut self, now: Instant, key: ConnectionKey) {
        let Some(mut c) = self.connections.remove(key) else { return };
        c.disconnected(&mut Turn::new(self, now, key));
        self.visitors.remove(&key);
        self.secured.remove(&key);
        if !c.is_poller() {
            self.listeners.leave(c.peer().listener);
        }
        self.admission.leave(c.peer());
        self.after_commands();
    }

    /// The peer ended its direction of the stream.
    pub fn handle_eof(&mut self, now: Instant, key: ConnectionKey) {
        self.on(now, key, Connection::handle_eof);
    }

    /// Says how a write went: so much was written, and so much waits.
    pub fn handle_written(&mut self, now: Instant, key: ConnectionKey, written: usize, waiting: usize) {
        if let Some(c) = self.connections.get_mut(key) {
            c.handle_written(now, written, waiting);
        }
    }

    /// When this connection wants to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self, key: ConnectionKey) -> Option<Deadline> {
        self.connections.get(key)?.poll_timeout(&self.config)
    }

    /// Takes what is due for this connection.
    pub fn handle_timeout(&mut self, now: Instant, key: ConnectionKey) {
        self.on(now, key, Connection::handle_timeout);
    }

    /// When the hub wants to be called: a request is not answered, a session expires, a drain ends,
    /// `$SYS/` topics have new values.
    #[must_use]
    pub fn poll_hub_timeout(&self) -> Option<Deadline> {
        let own = Deadline::earliest(self.sys.poll_timeout(), self.poll_pollers_timeout());
        let own = Deadline::earliest(own, self.poll_tunnels_timeout());
        Deadline::earliest(self.hub.poll_timeout(), own)
    }

    /// Takes what is due in the hub.
    pub fn handle_hub_timeout(&mut self, now: Instant) {
        self.hub.handle_timeout(now);
        self.expire_pollers(now);
        self.expire_tunnels(now);
        if self.sys.is_due(now) {
            let figures = self.traffic.figures(&self.hub, self.locals.len());
            for message in self.sys.handle_timeout(now, &figures) {
                // These topics are valid.
                let _ = self.hub.publish_own(now, message);
            }
        }
        self.after_commands();
    }

    /// The next connection that has something to send now and had not before: call
    /// [`poll_transmit`](Server::poll_transmit).
    pub fn poll_ready(&mut self) -> Option<ConnectionKey> {
        loop {
            let key = match self.ready.pop_front() {
                Some(key) => key,
                None => {
                    let hub = self.hub.poll_ready()?;
                    match self.registry.connection(hub) {
                        Some(key) => key,
                        None => {
                            self.locals.wake(hub);
                            continue;
                        }
                    }
                }
            };
            if !self.connections.get(key).is_some_and(Connection::is_poller) {
                return Some(key);
            }
            self.wake_poller(self.hub.now(), key);
            self.after_commands();
        }
    }

    /// The next thing worth a line in a log.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// What a password check waits for, if one does: run it outside of any lock, then call
    /// [`verified`](Server::verified).
    pub fn poll_verification(&mut self, key: ConnectionKey) -> Option<Verification> {
        self.connections.get_mut(key)?.poll_verification()
    }

    /// A password was checked.
    pub fn verified(&mut self, now: Instant, key: ConnectionKey, verified: Verified, out: &mut impl SendBuf) {
        let room = out.room();
        self.on(now, key, |c, turn| c.verified(turn, verified, out));
        self.count(key, 0, room.saturating_sub(out.room()));
    }

    /// A request of HTTP that the adapter is to answer, if one waits on this connection: by
    /// [`respond`](Server::respond), now or later. Never any unless [`HttpConfig::handled`].
    pub fn poll_request(&mut self, key: ConnectionKey) -> Option<HttpRequest> {
        self.connections.get_mut(key)?.poll_request()
    }

    /// The answer to the request that a connection gave out last. Where nobody waits for it any more,
    /// it is dropped.
    pub fn respond(&mut self, key: ConnectionKey, response: HttpResponse) {
        if self.connections.get_mut(key).is_some_and(|c| c.respond(response)) {
            self.ready.push_back(key);
        }
    }

    /// Begins the answer to the request that a connection gave out last, with the body of `head`: more
    /// of it follows by [`push_part`](Server::push_part), and its end by
    /// [`finish_parts`](Server::finish_parts), or when the server drains. Where nobody waits for it any
    /// more, it is dropped.
    ///
    /// ```
    /// use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
    /// use bowline_core::endpoint::server::{Awaited, HttpConfig, HttpResponse, Peer, Server, ServerConfig};
    /// use bowline_core::{entropy::Seeded, http::StatusCode, time::Instant};
    ///
    /// let now = Instant::from_millis(1);
    /// let http = HttpConfig { handled: true, ..HttpConfig::default() };
    /// let mut server =
    ///     Server::new(ServerConfig { http, ..ServerConfig::default() }, Box::new(Seeded::new(1)));
    /// let connection = server.accept(now, Peer::default())?;
    /// let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    /// received.push(b"GET /ticks HTTP/1.1\r\nHost: localhost\r\n\r\n");
    /// server.recv(now, connection, &mut received, &mut out);
    /// assert_eq!(server.poll_request(connection).map(|request| request.path), Some("/ticks".into()));
    ///
    /// server.begin_parts(connection, HttpResponse::new(StatusCode::OK, "text/plain", "tick\n"));
    /// server.poll_transmit(now, connection, &mut out);
    /// assert_eq!(server.awaited(connection), Awaited::Part);
    /// server.push_part(connection, "tock\n".into()).unwrap();
    /// server.finish_parts(connection);
    /// server.poll_transmit(now, connection, &mut out);
    /// let sent = String::from_utf8(out.slices().flatten().copied().collect()).unwrap();
    /// assert!(sent.ends_with("5\r\ntick\n\r\n5\r\ntock\n\r\n0\r\n\r\n"), "{sent}");
    /// # Ok::<(), bowline_core::endpoint::server::Refused>(())
    /// ```
    pub fn begin_parts(&mut self, key: ConnectionKey, head: HttpResponse) {
        if self.connections.get_mut(key).and_then(Connection::http).is_some_and(|c| c.begin_parts(head)) {
            self.ready.push_back(key);
        }
    }

    /// Gives the next part of such an answer: one at a time, when it is [`awaited`](Server::awaited).
    ///
    /// # Errors
    ///
    /// See [`PartError`]; the part was dropped.
    pub fn push_part(&mut self, key: ConnectionKey, part: Bytes) -> Result<(), PartError> {
        let http = self.connections.get_mut(key).and_then(Connection::http);
        http.ok_or(PartError::Gone)?.push_part(part)?;
        self.ready.push_back(key);
        Ok(())
    }

    /// Ends such an answer: it is whole with the parts that were given.
    pub fn finish_parts(&mut self, key: ConnectionKey) {
        if self
            .connections
            .get_mut(key)
            .and_then(Connection::http)
            .is_some_and(http::Connection::finish_parts)
        {
            self.ready.push_back(key);
        }
    }

    /// What a connection waits for from the adapter, now.
    #[must_use]
    pub fn awaited(&self, key: ConnectionKey) -> Awaited {
        self.connections.get(key).map_or(Awaited::Nothing, Connection::awaited)
    }

    /// Takes no new work: tells every client so, and closes those that have not gone by themselves
    /// after `deadline`. They are told to wait `retry_after` before they connect again, and up to
    /// [`retry_spread`](ServerConfig::retry_spread) longer, and where (empty: here).
    pub fn drain(&mut self, now: Instant, deadline: Duration, retry_after: Duration, endpoint: &str) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(Draining { until: now + deadline, retry_after, endpoint: endpoint.into() });
        self.ready.extend(self.connections.keys());
    }

    /// How long the next client that is told of the drain is to stay away: drawn for each.
    fn draw_retry(&mut self) -> Option<Duration> {
        let least = self.draining.as_ref()?.retry_after;
        let spread = u64::try_from(self.config.retry_spread.as_millis()).unwrap_or(u64::MAX);
        Some(least.saturating_add(Duration::from_millis(self.entropy.wire_up_to(spread))))
    }

    /// Whether a drain has ended: no connection is left.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining.is_some() && self.connections.len() == 0
    }

    /// Closes a connection with a code and a reason.
    pub fn close(&mut self, now: Instant, key: ConnectionKey, code: Code, reason: &'static str) {
        if self.on(now, key, |c, turn| c.close(turn, code, reason)).is_some() {
            self.ready.push_back(key);
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The hub, to look at.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// How many messages were encoded for clients of typed JSON, for tests.
    #[cfg(test)]
    const fn encoded(&self) -> u64 {
        self.json.encoded()
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Carries out what commands to the hub brought about elsewhere.
    #[inline]
    fn after_commands(&mut self) {
        while let Some(notice) = self.hub.poll_notice() {
            self.notice(notice);
        }
        while let Some(Denial { session, action, subject, trace }) = self.hub.poll_denial() {
            self.events.push_back(ServerEvent::Denied {
                connection: self.registry.connection(session),
                identity: self.hub.identity(session).unwrap_or_default().into(),
                session: self.registry.told(session),
                action,
                subject,
                trace,
            });
        }
        while let Some((plugin, report)) = self.hub.poll_report() {
            self.events.push_back(ServerEvent::Reported { plugin: String::from(&*plugin), report });
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Hold(hub) => self.tell(hub, |c| c.hold(true)),
            Notice::Release(hub) => self.tell(hub, |c| c.hold(false)),
            Notice::Disconnect(hub, DisconnectReason::Plugin(why)) => self.expelled_by_plugin(hub, why),
            Notice::Disconnect(hub, DisconnectReason::SlowConsumer) => self.tell(hub, Connection::overflowed),
            Notice::Overflow(hub, trace) => self.events.push_back(ServerEvent::Overflow {
                connection: self.registry.connection(hub),
                session: self.registry.told(hub),
                trace,
            }),
            Notice::Expired(hub) => {
                self.traffic.expired += 1;
                let name = self.registry.told(hub);
                self.registry.end(hub, self.hub.commit_since(self.hub.commits()));
                self.events.extend(name.map(|session| ServerEvent::Expired { session }));
            }
        }
    }

    /// Tells the connection that serves a session, which then has something to send.
    fn tell(&mut self, hub: SessionKey, what: impl FnOnce(&mut Connection)) {
        if let Some(key) = self.registry.connection(hub)
            && let Some(c) = self.connections.get_mut(key)
        {
            what(c);
            self.ready.push_back(key);
        }
    }
}
