//! Where connections come in, and what each of these places allows.
//!
//! A server has one listener from the beginning, [`ListenerKey::DEFAULT`], which allows everything: what
//! counts for all counts there. Others are added and removed while it runs.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Anonymous, Peer, Refused, Server};
use crate::access::Network;
use crate::session::Code;
use crate::stack::Dialect;
use crate::time::Instant;

/// Which listener a connection came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerKey(u16);

impl ListenerKey {
    /// The one that is always there, has no name and allows everything.
    pub const DEFAULT: Self = Self(0);

    /// Its number: small, and used again for a later listener once no connection is left of this one.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What may be spoken at a listener: any of these.
///
/// ```
/// use bowline_core::endpoint::server::Speaks;
/// let browsers = Speaks::WEBSOCKET | Speaks::JSON;
/// assert!(browsers.contains(Speaks::JSON) && !browsers.contains(Speaks::MQTT));
/// assert_eq!(browsers.to_string(), "json, websocket");
/// assert_eq!("mqtt".parse(), Ok(Speaks::MQTT));
/// assert_eq!(Speaks::default(), Speaks::ALL);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Speaks(u8);

impl Speaks {
    /// Our own protocol.
    pub const BOWLINE: Self = Self(1);
    /// MQTT 3.1.1 and 5.0.
    pub const MQTT: Self = Self(1 << 1);
    /// PRX1.
    pub const PRX1: Self = Self(1 << 2);
    /// Typed JSON, in WebSockets and by requests of HTTP.
    pub const JSON: Self = Self(1 << 3);
    /// Requests of HTTP that the program answers: a console, metrics.
    pub const HTTP: Self = Self(1 << 4);
    /// WebSockets that carry what else is allowed: our own protocol, MQTT, PRX1.
    pub const WEBSOCKET: Self = Self(1 << 5);
    /// All of them.
    pub const ALL: Self = Self((1 << Self::NAMES.len()) - 1);

    /// What each is called in a configuration, in the order of the bits.
    const NAMES: [&'static str; 6] = ["bowline", "mqtt", "prx1", "json", "http", "websocket"];

    /// Whether all of these are among them.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether what a connection begins with may be spoken. HTTP may where anything comes by it.
    const fn begins(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Http => self.0 & (Self::HTTP.0 | Self::WEBSOCKET.0 | Self::JSON.0) != 0,
            other => self.contains(Self::of(other)),
        }
    }

    const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Mqtt => Self::MQTT,
            Dialect::Prx1 => Self::PRX1,
            Dialect::Json => Self::JSON,
            Dialect::Http => Self::HTTP,
            // A layer below was to take TLS: nobody knows better what to say than our own protocol.
            Dialect::Bowline | Dialect::Tls => Self::BOWLINE,
        }
    }
}

impl Default for Speaks {
    fn default() -> Self {
        Self::ALL
    }
}

impl core::ops::BitOr for Speaks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Speaks> for Speaks {
    fn from_iter<I: IntoIterator<Item = Speaks>>(all: I) -> Self {
        all.into_iter().fold(Self(0), |some, one| some | one)
    }
}

/// A text names nothing that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write one of {}", Speaks::ALL)]
pub struct UnknownSpeech;

impl core::str::FromStr for Speaks {
    type Err = UnknownSpeech;

    fn from_str(text: &str) -> Result<Self, UnknownSpeech> {
        Self::NAMES.iter().position(|name| *name == text).map(|bit| Self(1 << bit)).ok_or(UnknownSpeech)
    }
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().enumerate().filter(|(bit, _)| self.0 & 1 << bit != 0);
        named.enumerate().try_for_each(|(i, (_, name))| write!(f, "{}{name}", if i > 0 { ", " } else { "" }))
    }
}

impl fmt::Debug for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speaks({self})")
    }
}

/// What a listener allows, beside what counts for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What it is called in logs, counters and rules; no two have the same.
    pub name: String,
    /// What may be spoken there.
    pub speaks: Speaks,
    /// Connections at most at a time.
    pub max_connections: usize,
    /// From where they may come; empty: from anywhere.
    pub networks: Vec<Network>,
    /// Who may come without saying who they are; nothing: as everywhere.
    pub anonymous: Option<Anonymous>,
}

impl ListenerConfig {
    /// One that allows everything.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            speaks: Speaks::ALL,
            max_connections: usize::MAX,
            networks: Vec::new(),
            anonymous: None,
        }
    }
}

/// A listener cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenerError {
    /// Another has this name.
    #[error("there is a listener {0:?} already; remove it before, or take another name")]
    Name(String),
    /// There are too many of them.
    #[error("there are 65535 listeners, the most that there can be")]
    TooMany,
}

/// What a listener has had to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo<'a> {
    /// Which.
    pub key: ListenerKey,
    /// What it allows.
    pub config: &'a ListenerConfig,
    /// Connections that came there and are still there.
    pub connections: usize,
    /// Connections that were taken in all, and that were refused.
    pub accepted: u64,
    /// Those that were refused.
    pub refused: u64,
    /// It was removed, and ends with its last connection.
    pub removed: bool,
}

#[derive(Debug)]
struct Listener {
    config: ListenerConfig,
    /// What it is called, for whoever keeps it.
    name: Arc<str>,
    connections: usize,
    accepted: u64,
    refused: u64,
    removed: bool,
}

impl Listener {
    fn new(config: ListenerConfig) -> Self {
        let name = config.name.as_str().into();
        Self { config, name, connections: 0, accepted: 0, refused: 0, removed: false }
    }
}

/// All listeners, by their numbers.
#[derive(Debug)]
pub(super) struct Listeners(Vec<Option<Listener>>);

impl Default for Listeners {
    fn default() -> Self {
        Self(alloc::vec![Some(Listener::new(ListenerConfig::new("")))])
    }
}

impl Listeners {
    fn get(&self, key: ListenerKey) -> Option<&Listener> {
        self.0.get(usize::from(key.0))?.as_ref()
    }

    fn get_mut(&mut self, key: ListenerKey) -> Option<&mut Listener> {
        self.0.get_mut(usize::from(key.0))?.as_mut()
    }

    fn iter(&self) -> impl Iterator<Item = (ListenerKey, &Listener)> {
        let numbered = (0..=u16::MAX).zip(&self.0);
        numbered.filter_map(|(number, listener)| Some((ListenerKey(number), listener.as_ref()?)))
    }

    /// Whether a connection may come in there.
    pub(super) fn check(&self, peer: &Peer) -> Result<(), Refused> {
        let listener = self.get(peer.listener).filter(|listener| !listener.removed);
        let Some(Listener { config, connections, .. }) = listener else { return Err(Refused::Listener) };
        if *connections >= config.max_connections {
            return Err(Refused::ListenerFull(*connections));
        }
        let from = |network: &Network| peer.address.is_some_and(|address| network.contains(address));
        if !config.networks.is_empty() && !config.networks.iter().any(from) {
            return Err(Refused::Network);
        }
        Ok(())
    }

    /// A connection came there, and was taken.
    pub(super) fn enter(&mut self, key: ListenerKey) {
        let Some(listener) = self.get_mut(key) else { return };
        listener.connections += 1;
        listener.accepted += 1;
    }

    /// A connection came there, and was not taken.
    pub(super) fn refuse(&mut self, key: ListenerKey) {
        if let Some(listener) = self.get_mut(key) {
            listener.refused += 1;
        }
    }

    /// One of its connections is gone.
    pub(super) fn leave(&mut self, key: ListenerKey) {
        let Some(listener) = self.get_mut(key) else { return };
        listener.connections -= 1;
        if listener.removed && listener.connections == 0 {
            self.0[usize::from(key.0)] = None;
        }
    }

    fn speaks(&self, peer: &Peer) -> Speaks {
        self.get(peer.listener).map_or(Speaks(0), |listener| listener.config.speaks)
    }

    /// Whether a connection there may begin with this.
    pub(super) fn begins(&self, peer: &Peer, dialect: Dialect) -> bool {
        self.speaks(peer).begins(dialect)
    }

    /// Whether a WebSocket there may carry this.
    pub(super) fn carries(&self, peer: &Peer, dialect: Dialect) -> bool {
        let carrier = if dialect == Dialect::Json { Speaks::JSON } else { Speaks::WEBSOCKET };
        self.speaks(peer).contains(Speaks::of(dialect) | carrier)
    }

    /// Whether requests there are answered that are for this: typed JSON, or the program itself.
    pub(super) fn answers(&self, peer: &Peer, dialect: Dialect) -> bool {
        self.speaks(peer).contains(Speaks::of(dialect))
    }

    /// Who may come there without saying who they are, where that is another than everywhere.
    pub(super) fn anonymous(&self, peer: &Peer) -> Option<Anonymous> {
        self.get(peer.listener)?.config.anonymous
    }

    /// What the listener of a connection is called.
    pub(super) fn shared_name(&self, peer: &Peer) -> Arc<str> {
        self.get(peer.listener).map_or_else(|| Arc::from(""), |listener| Arc::clone(&listener.name))
    }

    /// What it is called.
    pub(super) fn name(&self, key: ListenerKey) -> &str {
        self.get(key).map_or("", |listener| &listener.config.name)
    }
}

/// # Listeners
impl Server {
    /// Adds a listener. Connections that come there say so by [`Peer::listener`].
    ///
    /// # Errors
    ///
    /// Its name is taken, or there are too many.
    ///
    /// ```
    /// # use bowline_core::endpoint::server::{ListenerConfig, Peer, Server, ServerConfig, Speaks};
    /// # use bowline_core::entropy::Seeded;
    /// # use bowline_core::time::Instant;
    /// let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    /// let devices = ListenerConfig { speaks: Speaks::MQTT, ..ListenerConfig::new("devices") };
    /// let listener = server.add_listener(devices)?;
    /// let connection = server.accept(Instant::from_millis(1), Peer { listener, ..Peer::default() }).unwrap();
    /// assert!(server.add_listener(ListenerConfig::new("devices")).is_err());
    /// # Ok::<(), bowline_core::endpoint::server::ListenerError>(())
    /// ```
    pub fn add_listener(&mut self, config: ListenerConfig) -> Result<ListenerKey, ListenerError> {
        if self.find_listener(&config.name).is_some() {
            return Err(ListenerError::Name(config.name));
        }
        let slots = &mut self.listeners.0;
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        let key = u16::try_from(free).map(ListenerKey).map_err(|_| ListenerError::TooMany)?;
        if free == slots.len() {
            slots.push(None);
        }
        slots[free] = Some(Listener::new(config));
        Ok(key)
    }

    /// Other settings of a listener from now on; its connections stay as they are. Says whether there is
    /// such a listener.
    ///
    /// # Errors
    ///
    /// Another has that name.
    pub fn set_listener(&mut self, key: ListenerKey, config: ListenerConfig) -> Result<bool, ListenerError> {
        if self.find_listener(&config.name).is_some_and(|other| other != key) {
            return Err(ListenerError::Name(config.name));
        }
        let listener = self.listeners.get_mut(key).filter(|listener| !listener.removed);
        let set = |listener: &mut Listener| {
            listener.name = config.name.as_str().into();
            listener.config = config;
        };
        Ok(listener.map(set).is_some())
    }

    /// Removes a listener: nobody comes in there any more. Its connections stay, or are closed and told to
    /// come back elsewhere. The one that is always there cannot be removed. Says whether it was there.
    pub fn remove_listener(&mut self, now: Instant, key: ListenerKey, close: bool) -> bool {
        let listener = self.listeners.get_mut(key).filter(|listener| !listener.removed);
        let Some(listener) = listener.filter(|_| key != ListenerKey::DEFAULT) else { return false };
        listener.removed = true;
        if listener.connections == 0 {
            self.listeners.0[usize::from(key.0)] = None;
            return true;
        }
        if close {
            let of_it = self.connections.keys().filter(|&connection| {
                self.connections.get(connection).is_some_and(|c| c.peer().listener == key)
            });
            for connection in of_it.collect::<Vec<_>>() {
                self.on(now, connection, |c, turn| c.close(turn, Code::GoingAway, REMOVED));
                self.ready.push_back(connection);
            }
        }
        true
    }

    /// All listeners, in the order of their numbers.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerInfo<'_>> {
        self.listeners.iter().map(|(key, l)| ListenerInfo {
            key,
            config: &l.config,
            connections: l.connections,
            accepted: l.accepted,
            refused: l.refused,
            removed: l.removed,
        })
    }

    /// The listener of this name, unless it was removed.
    #[must_use]
    pub fn find_listener(&self, name: &str) -> Option<ListenerKey> {
        let mut there = self.listeners.iter().filter(|(_, l)| !l.removed);
        there.find(|(_, l)| l.config.name == name).map(|(key, _)| key)
    }

    /// Whether connections may come in there.
    #[must_use]
    pub fn is_listening(&self, key: ListenerKey) -> bool {
        self.listeners.get(key).is_some_and(|listener| !listener.removed)
    }

    /// What a listener is called; empty: it has no name, or is gone.
    #[must_use]
    pub fn listener_name(&self, key: ListenerKey) -> &str {
        self.listeners.name(key)
    }
}

/// What clients are told whose listener is removed.
const REMOVED: &str = "nobody listens here any more";

#[cfg(test)]
mod tests {
    use super::super::connection::NOT_SPOKEN;
    use super::super::{ServerConfig, ServerEvent};
    use super::*;
    use crate::access::{Effect, Rule, Rules};
    use crate::buf::{GrowingRecvBuf, SharedSendBuf};
    use crate::entropy::Seeded;
    use crate::lifecycle::Transport;
    use std::boxed::Box;
    use std::string::ToString;

    const NOW: Instant = Instant::from_millis(1);

    const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
    const HELLO: &[u8] = b"\xb0\x57\x4c\x0a\x00\x02\x01\x01";

    fn server() -> Server {
        Server::new(ServerConfig::default(), Box::new(Seeded::new(1)))
    }

    /// What a connection is told that says this.
    fn told(server: &mut Server, peer: Peer, octets: &[u8]) -> (Vec<u8>, Transport) {
        let connection = server.accept(NOW, peer).unwrap();
        let (mut received, mut out) = (GrowingRecvBuf::new(1 << 16), SharedSendBuf::new(1 << 16));
        received.push(octets);
        server.recv(NOW, connection, &mut received, &mut out);
        let owed = server.poll_transmit(NOW, connection, &mut out);
        server.disconnect(NOW, connection);
        (out.slices().flat_map(<[u8]>::to_vec).collect(), owed)
    }

    fn at(listener: ListenerKey) -> Peer {
        Peer { listener, ..Peer::default() }
    }

    fn get(path: &str, upgrade: &str) -> Vec<u8> {
        let fields = match upgrade {
            "" => String::new(),
            protocol => std::format!(
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {protocol}\r\n"
            ),
        };
        std::format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").into_bytes()
    }

    fn speaking(server: &mut Server, speaks: Speaks) -> ListenerKey {
        let config = ListenerConfig { speaks, ..ListenerConfig::new(&speaks.to_string()) };
        server.add_listener(config).unwrap()
    }

    /// Why the last connection has ended.
    fn ended(server: &mut Server) -> Option<String> {
        let mut why = None;
        while let Some(event) = server.poll_event() {
            if let ServerEvent::Closed { reason, .. } = event {
                why = Some(reason);
            }
        }
        why
    }

    #[test]
    fn only_what_a_listener_speaks_is_spoken_there() {
        let mut server = server();
        let openings = [
            (Speaks::MQTT, CONNECT.to_vec()),
            (Speaks::BOWLINE, HELLO.to_vec()),
            (Speaks::HTTP, get("/", "")),
        ];
        for (speaks, _) in &openings {
            let here = at(speaking(&mut server, *speaks));
            for (other, octets) in &openings {
                let (told, owed) = told(&mut server, here, octets);
                let why = ended(&mut server);
                if other == speaks {
                    assert!(!told.is_empty() && owed == Transport::Open, "{speaks:?}");
                } else {
                    assert!(owed != Transport::Open, "{other:?} at {speaks:?}");
                    // Of requests that are not answered there is nothing in a log.
                    let said = (*other != Speaks::HTTP).then_some(NOT_SPOKEN);
                    assert_eq!(why.as_deref(), said, "{other:?} at {speaks:?}");
                }
            }
        }
    }

    #[test]
    fn what_comes_over_http_is_allowed_each_by_itself() {
        let mut server = server();
        let browsers = at(speaking(&mut server, Speaks::JSON | Speaks::MQTT | Speaks::WEBSOCKET));
        let pages = at(speaking(&mut server, Speaks::HTTP));
        let mut status = |peer, path: &str, upgrade: &str| {
            let (told, _) = told(&mut server, peer, &get(path, upgrade));
            String::from_utf8_lossy(&told[9..12]).into_owned()
        };
        assert_eq!(status(browsers, "/mqtt", "mqtt"), "101");
        assert_eq!(status(browsers, "/ws", ""), "426", "typed JSON is asked for in a WebSocket there");
        assert_eq!(status(browsers, "/mqtt", "bowline"), "403");
        assert_eq!(status(browsers, "/metrics", ""), "403");
        assert_eq!(status(pages, "/metrics", ""), "404", "it is answered, if by nobody here");
        assert_eq!(status(pages, "/mqtt", "mqtt"), "403");
        assert_eq!(status(pages, "/ws/poll", ""), "403");
    }

    #[test]
    fn a_listener_has_its_own_cap_networks_and_strangers() {
        let mut server = server();
        let config = ListenerConfig {
            max_connections: 1,
            networks: alloc::vec!["192.0.2.0/24".parse().unwrap()],
            anonymous: Some(Anonymous::Always),
            ..ListenerConfig::new("office")
        };
        let listener = server.add_listener(config).unwrap();
        let from = |address: &str| Peer { listener, ..address.parse::<core::net::IpAddr>().unwrap().into() };
        assert_eq!(server.accept(NOW, from("192.0.3.1")), Err(Refused::Network));
        assert_eq!(server.accept(NOW, at(listener)), Err(Refused::Network));
        let one = server.accept(NOW, from("192.0.2.1")).unwrap();
        assert_eq!(server.accept(NOW, from("192.0.2.2")), Err(Refused::ListenerFull(1)));
        server.disconnect(NOW, one);
        // Elsewhere who comes from another machine has to say who he is.
        for (listener, answer) in [(listener, 0), (ListenerKey::DEFAULT, 5)] {
            let (told, _) = told(&mut server, Peer { listener, ..from("192.0.2.1") }, CONNECT);
            assert_eq!(told.get(3), Some(&answer), "{told:x?}");
        }
        let counts: Vec<_> = server.listeners().map(|l| (l.connections, l.accepted, l.refused)).collect();
        assert_eq!(counts, [(0, 1, 0), (0, 2, 3)]);
    }

    #[test]
    fn rules_judge_by_the_listener() {
        let mut server = server();
        let [inside, outside] =
            ["internal", "internet"].map(|name| server.add_listener(ListenerConfig::new(name)).unwrap());
        let only =
            Rule { effect: Effect::Deny, listeners: alloc::vec!["internet".into()], ..Rule::default() };
        let rules = Rules::new(Effect::Allow, &[], alloc::vec![only]).unwrap();
        server.set_access(Box::new(rules));
        let answer = |server: &mut Server, listener| told(server, at(listener), CONNECT).0[3];
        assert_eq!((answer(&mut server, inside), answer(&mut server, outside)), (0, 5));
        assert_eq!(answer(&mut server, ListenerKey::DEFAULT), 0, "it has no name");
        assert_eq!(server.set_listener(inside, ListenerConfig::new("intranet")), Ok(true));
        assert_eq!(server.set_listener(outside, ListenerConfig::new("internal")), Ok(true));
        assert_eq!(answer(&mut server, outside), 0, "it is called otherwise from now on");
    }

    #[test]
    fn a_removed_listener_ends_with_its_last_connection() {
        let mut server = server();
        let (stays, goes) = (speaking(&mut server, Speaks::BOWLINE), speaking(&mut server, Speaks::MQTT));
        let connection = server.accept(NOW, at(goes)).unwrap();
        assert!(server.remove_listener(NOW, goes, false) && !server.remove_listener(NOW, goes, false));
        assert_eq!(server.accept(NOW, at(goes)), Err(Refused::Listener));
        // Its name is free at once, its number is not.
        let again = speaking(&mut server, Speaks::MQTT);
        assert!(again != goes && again != stays);
        assert_eq!(server.poll_ready(), None, "its connection stays");
        server.disconnect(NOW, connection);
        assert_eq!(speaking(&mut server, Speaks::PRX1), goes);
        // Or its connections are told to go.
        let connection = server.accept(NOW, at(stays)).unwrap();
        assert!(server.remove_listener(NOW, stays, true));
        assert_eq!(server.poll_ready(), Some(connection));
        assert!(!server.remove_listener(NOW, ListenerKey::DEFAULT, true), "that one is always there");
        assert!(server.set_listener(again, ListenerConfig::new("prx1")).is_err(), "another's name");
        assert_eq!(server.set_listener(stays, ListenerConfig::new("x")), Ok(false));
        assert_eq!((server.listener_name(again), server.listener_name(ListenerKey::DEFAULT)), ("mqtt", ""));
    }
}
