//! Many sessions over one socket: finds each datagram's connection, opens and refuses.

mod recv;
mod send;
mod timers;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use ahash::RandomState;
use hashbrown::HashMap;

use super::cids::Route;
use super::cipher::Handshake;
use super::connection::{Connection, Opening, Surroundings};
use super::cookie::Cookies;
use super::messages::Delivery;
use super::packet::ConnectionId;
use super::{Config, ConnectError, Counters, Ended, SendError, SessionKey, Stats};
use crate::entropy::Entropy;
use crate::time::Instant;

/// What an application is told of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A session is open; a client's own.
    Connected(SessionKey),
    /// A client has opened a session.
    Accepted(SessionKey),
    /// There is more of the stream to read, or its end.
    Readable(SessionKey),
    /// A write that did not take all can be tried again.
    Writable(SessionKey),
    /// Messages have come.
    Message(SessionKey),
    /// It is over; [`Endpoint::ended`] says why. What came before can still be read.
    Ended(SessionKey),
}

/// Answers that need no connection wait for the socket; more are not made.
const ANSWERS: usize = 64;

/// A connection and what the endpoint notes of it.
#[derive(Debug)]
struct Slot {
    connection: Connection,
    /// When it is in the timers.
    armed: Option<Instant>,
    /// It is in the queue of those that may have something to send.
    queued: bool,
    /// Its owner was told that it is there.
    told: bool,
    /// Where and by what name a client has begun it, and whether its handshake counts as under way.
    begun: Option<(SocketAddr, ConnectionId)>,
    opening: bool,
    /// Of the first message that began it.
    hello: u64,
    /// Of a client's: the id to which its packets go.
    server: Option<ConnectionId>,
}

/// One socket's sessions: those that this side opens and those that others do.
///
/// It owns no socket. [`handle_datagram`](Self::handle_datagram) takes in what came,
/// [`poll_transmit`](Self::poll_transmit) says what is to go out, [`poll_event`](Self::poll_event) what
/// happened, and [`handle_timeout`](Self::handle_timeout) is due at [`poll_timeout`](Self::poll_timeout).
///
/// Each call's work is bounded: by one datagram, by one write's packets, by the sessions that are due.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    entropy: Box<dyn Source>,
    slots: HashMap<u64, Box<Slot>, RandomState>,
    routes: HashMap<ConnectionId, u64, RandomState>,
    /// Sessions of this side as a client, by the id to which their packets go.
    servers: HashMap<ConnectionId, u64, RandomState>,
    /// Clients' sessions by the address and name that they began with: who says the same again is the same.
    begun: HashMap<(SocketAddr, ConnectionId), u64, RandomState>,
    /// How many of them are not open yet.
    handshakes: usize,
    next_key: u64,
    cookies: Cookies,
    timers: BTreeSet<(Instant, u64)>,
    queue: VecDeque<u64>,
    events: VecDeque<Event>,
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    counters: Counters,
    changed: Vec<Route>,
    scratch: Vec<u8>,
    accepting: bool,
    now: Instant,
}

/// Entropy that can be in an endpoint.
trait Source: Entropy + Send {}

impl<E: Entropy + Send> Source for E {}

impl core::fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy")
    }
}

fn hasher(entropy: &mut dyn Entropy) -> RandomState {
    let mut seeds = [0; 32];
    entropy.secret(&mut seeds);
    let (chunks, _) = seeds.as_chunks::<8>();
    let [a, b, c, d] = core::array::from_fn(|at| u64::from_le_bytes(chunks[at]));
    RandomState::with_seeds(a, b, c, d)
}

impl Endpoint {
    /// An endpoint without sessions. `accepting`: others may open some.
    pub fn new(config: Config, mut entropy: impl Entropy + Send + 'static, accepting: bool) -> Self {
        let hasher = hasher(&mut entropy);
        Self {
            config: config.bounded(),
            entropy: Box::new(entropy),
            slots: HashMap::with_hasher(hasher.clone()),
            routes: HashMap::with_hasher(hasher.clone()),
            servers: HashMap::with_hasher(hasher.clone()),
            begun: HashMap::with_hasher(hasher),
            handshakes: 0,
            next_key: 0,
            cookies: Cookies::new(),
            timers: BTreeSet::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            answers: VecDeque::new(),
            counters: Counters::default(),
            changed: Vec::new(),
            scratch: Vec::new(),
            accepting,
            now: Instant::ZERO,
        }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many sessions there are, those that open and end included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.slots.len()
    }

    /// Takes no more sessions from others, or does again.
    pub const fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
    }

    /// Opens a session. [`Event::Connected`] or [`Event::Ended`] follows.
    ///
    /// # Errors
    ///
    /// There are too many, or the handshake's keys are of no use.
    pub fn connect(&mut self, now: Instant, to: SocketAddr) -> Result<SessionKey, ConnectError> {
        let now = self.tick(now);
        if self.slots.len() >= self.config.sessions {
            return Err(ConnectError::Full);
        }
        let mut name = ConnectionId::default();
        self.entropy.wire(&mut name.0);
        let refused = |_| ConnectError::Security;
        let handshake =
            Handshake::client(&self.config.security, name, &mut *self.entropy).map_err(refused)?;
        let opening = Opening::client(now, &self.config, handshake, name).map_err(refused)?;
        // Until the server says its id, the client's own stands for it: nothing is sent there before.
        let connection = Connection::new(now, &self.config, opening, [name, ConnectionId::default()], to);
        let key = self.insert(connection, None);
        self.routes.insert(name, key);
        self.settle(key);
        Ok(SessionKey(key))
    }

    fn insert(&mut self, connection: Connection, begun: Option<(SocketAddr, ConnectionId)>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        let opening = begun.is_some();
        self.handshakes += usize::from(opening);
        let slot = Slot {
            connection,
            armed: None,
            queued: false,
            told: false,
            begun,
            opening,
            hello: 0,
            server: None,
        };
        self.slots.insert(key, Box::new(slot));
        key
    }

    /// Time never goes back.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Calls `work` on a connection, then tells what came of it.
    fn with<T>(
        &mut self,
        key: u64,
        work: impl FnOnce(&mut Connection, &mut Surroundings<'_>) -> T,
    ) -> Option<T> {
        let slot = self.slots.get_mut(&key)?;
        let mut around = Surroundings {
            config: &self.config,
            entropy: &mut *self.entropy,
            counters: &mut self.counters,
            routes: &mut self.changed,
        };
        let result = work(&mut slot.connection, &mut around);
        self.settle(key);
        Some(result)
    }

    /// Notes what a call has changed: routes, events, its place among those with something to send.
    fn settle(&mut self, key: u64) {
        for route in self.changed.drain(..) {
            match route {
                Route::Add(cid) => {
                    self.routes.insert(cid, key);
                }
                Route::Remove(cid) => {
                    self.routes.remove(&cid);
                }
            }
        }
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let news = slot.connection.take_news();
        let name = SessionKey(key);
        if !slot.connection.is_detached() {
            if news.open {
                slot.told = true;
                let client = slot.connection.is_client();
                self.events.push_back(if client { Event::Connected(name) } else { Event::Accepted(name) });
            }
            let told = slot.told || slot.connection.is_client();
            if told {
                let all = [
                    (news.readable, Event::Readable(name)),
                    (news.message, Event::Message(name)),
                    (news.writable, Event::Writable(name)),
                    (news.ended, Event::Ended(name)),
                ];
                self.events.extend(all.into_iter().filter(|(any, _)| *any).map(|(_, event)| event));
            }
        }
        let server = slot.connection.server();
        if slot.server != server {
            if let Some(old) = core::mem::replace(&mut slot.server, server) {
                self.servers.remove(&old);
            }
            self.servers.extend(server.map(|id| (id, key)));
        }
        if slot.opening && !slot.connection.is_opening() {
            slot.opening = false;
            self.handshakes -= 1;
        }
        if news.open {
            self.counters.opened += 1;
        }
        if news.ended {
            self.counters.ended += 1;
        }
        if slot.connection.is_gone() {
            self.gone(key);
            return;
        }
        if !slot.queued {
            slot.queued = true;
            self.queue.push_back(key);
        }
        // It is armed when its turn to send has come.
    }

    /// Forgets a connection that nobody was told of.
    fn remove(&mut self, key: u64) {
        if let Some(slot) = self.slots.get(&key) {
            self.handshakes -= usize::from(slot.opening);
        }
        self.gone(key);
    }

    /// A connection that needs nothing more is removed once its owner has left it, or never knew it.
    fn gone(&mut self, key: u64) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        if let Some(at) = slot.armed.take() {
            self.timers.remove(&(at, key));
        }
        slot.connection.routes_gone(&mut self.changed);
        for route in self.changed.drain(..) {
            if let Route::Remove(cid) = route {
                self.routes.remove(&cid);
            }
        }
        if let Some(begun) = slot.begun.take() {
            self.begun.remove(&begun);
        }
        if let Some(server) = slot.server.take() {
            self.servers.remove(&server);
        }
        let owned = slot.told || slot.connection.is_client();
        if !owned || slot.connection.is_detached() {
            self.slots.remove(&key);
        }
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where the session's peer is.
    #[must_use]
    pub fn peer(&self, key: SessionKey) -> Option<SocketAddr> {
        self.slots.get(&key.0).map(|slot| slot.connection.address())
    }

    /// What is known of the session's path.
    #[must_use]
    pub fn stats(&self, key: SessionKey) -> Option<Stats> {
        self.slots.get(&key.0).map(|slot| slot.connection.stats())
    }

    /// Why it is over, where it is.
    #[must_use]
    pub fn ended(&self, key: SessionKey) -> Option<&Ended> {
        self.slots.get(&key.0)?.connection.ended()
    }

    /// What the session's handshake has proved of its peer; nothing where it is not open, or not secured.
    #[cfg(feature = "noise")]
    #[must_use]
    pub fn proved(&self, key: SessionKey) -> Option<&super::Proved> {
        self.slots.get(&key.0)?.connection.proved()
    }

    /// How many octets of the stream can be read now.
    #[must_use]
    pub fn readable(&self, key: SessionKey) -> usize {
        self.slots.get(&key.0).map_or(0, |slot| slot.connection.readable())
    }

    /// Reads of the session's stream. Nothing: there is nothing now; 0: the peer has ended its direction.
    ///
    /// # Errors
    ///
    /// It is over, and all that came before was read.
    pub fn read(&mut self, key: SessionKey, to: &mut [u8]) -> Option<Result<usize, Ended>> {
        match self.slots.get_mut(&key.0) {
            None => Some(Err(Ended::Local)),
            Some(slot) => {
                let read = slot.connection.read(to)?;
                self.settle(key.0);
                Some(read)
            }
        }
    }

    /// Takes octets for the session's stream, as many as there is room for; the rest when
    /// [`Event::Writable`] comes.
    ///
    /// # Errors
    ///
    /// It is over, or [finished](Self::finish).
    pub fn write(&mut self, key: SessionKey, octets: &[u8]) -> Result<usize, Ended> {
        let written = self.with(key.0, |connection, around| connection.write(octets, around.config));
        written.unwrap_or(Err(Ended::Local))
    }

    /// Whether the last [`write`](Self::write) did not take all, so that [`Event::Writable`] follows.
    #[must_use]
    pub fn is_blocked(&self, key: SessionKey) -> bool {
        self.slots.get(&key.0).is_some_and(|slot| slot.connection.is_blocked())
    }

    /// Ends this side's direction of the stream, behind all that was written.
    pub fn finish(&mut self, key: SessionKey) {
        self.with(key.0, |connection, _| connection.finish());
    }

    /// The largest message that fits in a datagram of this session now, in octets.
    #[must_use]
    pub fn max_message(&self, key: SessionKey) -> usize {
        self.slots.get(&key.0).map_or(0, |slot| slot.connection.max_message())
    }

    /// Sends a message once. Where too many wait, the oldest are dropped for it.
    ///
    /// # Errors
    ///
    /// It fits in no datagram, or the session is not open.
    pub fn send_message(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        message: &[u8],
    ) -> Result<(), SendError> {
        let max = self.max_message(key);
        let sent = self.with(key.0, |connection, around| {
            let config = around.config;
            let dropped = connection.is_open().then(|| connection.send_message(delivery, message, config));
            around.counters.overflowed += dropped.flatten().unwrap_or(0);
            dropped
        });
        match sent.flatten() {
            Some(Some(_)) => Ok(()),
            Some(None) => Err(SendError::TooLarge { max }),
            None => Err(SendError::Closed),
        }
    }

    /// The next message that has come, which replaces what is in `to`. Of a sequenced one the key is its
    /// channel.
    pub fn recv_message(&mut self, key: SessionKey, to: &mut Vec<u8>) -> Option<Delivery> {
        self.slots.get_mut(&key.0)?.connection.recv_message(to)
    }

    /// Ends a session now; what was written and has not arrived is lost.
    pub fn close(&mut self, now: Instant, key: SessionKey, code: u64, reason: &str) {
        let now = self.tick(now);
        self.with(key.0, |connection, _| connection.close(now, code, reason));
    }

    /// Leaves a session: what was written still arrives if it can within 5 seconds, then it ends. The key
    /// means nothing any more.
    pub fn release(&mut self, now: Instant, key: SessionKey) {
        let now = self.tick(now);
        self.with(key.0, |connection, _| connection.detach(now));
    }

    /// This side's address has changed: its sessions as a client go on from the new one, under other ids.
    pub fn handle_local_change(&mut self, now: Instant) {
        let now = self.tick(now);
        let mut clients: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| slot.connection.is_client()).map(|(key, _)| *key).collect();
        clients.sort_unstable();
        for key in clients {
            self.with(key, |connection, around| connection.change_local_address(now, around.config));
        }
    }
}
