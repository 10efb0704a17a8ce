//! Tunnels through the server to targets elsewhere: who may, how many, for how long.
//!
//! What is decided is here: an adapter resolves names, connects, and moves octets, as the server says by
//! [`poll_tunnel`](Server::poll_tunnel). A server relays nothing unless its settings
//! [allow](RelayConfig::allowed) some target.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::event::ServerEvent;
use super::{ConnectionKey, Server};
use crate::access::Action;
use crate::histogram::{TIMES, Times};
use crate::hub::SessionKey;
use crate::relay::{Allowed, Target};
use crate::session::{Features, Piece, ResetCode, Tunnels, TunnelsConfig};
use crate::status::Status;
use crate::time::{Deadline, Instant, Why};

/// What a server relays: nothing, by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where to.
    pub allowed: Allowed,
    /// Tunnels at most, in all. Default: 1,024.
    pub max_tunnels: usize,
    /// Windows and limits of the tunnels of each session. By default 64 of 256 KiB each way.
    pub session: TunnelsConfig,
    /// How long connecting to a target may take. Default: 10 s.
    pub connect_timeout: Duration,
    /// A tunnel through which nothing goes for so long is broken off; zero: never. Default: 1 h.
    pub idle_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            allowed: Allowed::default(),
            max_tunnels: 1024,
            session: TunnelsConfig::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3600),
        }
    }
}

/// Names a tunnel of a server; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelKey {
    connection: ConnectionKey,
    id: u64,
}

impl TunnelKey {
    /// The connection that carries it.
    #[must_use]
    pub const fn connection(self) -> ConnectionKey {
        self.connection
    }

    /// Its number in that connection.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.id
    }
}

/// What an adapter is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelWork {
    /// Begin a task for a new tunnel, and connect there. A name is resolved, and what came of that given
    /// to [`Server::tunnel_resolved`]. Say [`Server::tunnel_connected`] or [`Server::tunnel_failed`], and
    /// when the task ends [`Server::close_tunnel`].
    Connect(TunnelKey, Target),
    /// Look at the tunnel by [`Server::with_tunnel`]: something has changed.
    Look(TunnelKey),
}

/// Why a target was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelFailure {
    /// The name has no address, or there is no such socket.
    NotFound,
    /// Nobody listens there.
    Refused,
    /// There is no way, or no answer.
    Unreachable,
    /// It was connected to, and what should secure it or carry octets did not come to be: its certificate is not
    /// trusted, it opens no WebSocket, or this relay was not told how.
    Handshake,
}

/// Why a tunnel was refused, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TunnelRefusal {
    /// The target is none.
    Invalid,
    /// The target, or what its name led to, is not allowed.
    Forbidden,
    /// The access rules deny it.
    Denied,
    /// There are too many.
    Quota,
    /// The server drains.
    Draining,
    /// The name has no address, or there is no such socket.
    NotFound,
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// Connecting took too long.
    Timeout,
    /// Its TLS, WebSocket or session over UDP did not open.
    Handshake,
}

impl TunnelRefusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Invalid,
        Self::Forbidden,
        Self::Denied,
        Self::Quota,
        Self::Draining,
        Self::NotFound,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Handshake,
    ];

    /// In short, as it stands in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::Denied => "denied",
            Self::Quota => "quota",
            Self::Draining => "draining",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Handshake => "handshake",
        }
    }

    /// What RESULT says (TUN-3).
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Invalid => Status::Invalid,
            Self::Forbidden | Self::Denied => Status::NotAuthorized,
            Self::Quota => Status::Quota,
            Self::Draining => Status::Draining,
            Self::NotFound => Status::NotFound,
            Self::Refused => Status::NoResponder,
            Self::Unreachable | Self::Handshake => Status::Unreachable,
            Self::Timeout => Status::Timeout,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "the target is none",
            Self::Forbidden => "the relay does not connect there",
            Self::Denied => "the access rules do not let you go there",
            Self::Quota => "too many tunnels; close some first",
            Self::Draining => "the relay is going away",
            Self::NotFound => "there is no such host or socket",
            Self::Refused => "nobody listens there",
            Self::Unreachable => "it cannot be reached",
            Self::Timeout => "connecting took too long",
            Self::Handshake => "it was reached, and the relay could not begin to speak with it",
        }
    }
}

/// What is counted about tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelCounters {
    /// Those there are.
    pub open: u64,
    /// Those that were connected.
    pub connected: u64,
    /// Those that were refused, by why.
    pub refused: [(TunnelRefusal, u64); TunnelRefusal::ALL.len()],
    /// Octets from clients to targets, of tunnels that have ended.
    pub octets_in: u64,
    /// Octets from targets to clients, of tunnels that have ended.
    pub octets_out: u64,
    /// How long connecting took, where it worked.
    pub connect_times: Times,
}

/// What the server knows of a tunnel beside its octets.
#[derive(Debug)]
struct Info {
    since: Instant,
    /// When it is looked at next.
    due: Instant,
    connected: bool,
    /// Octets at the last look.
    seen: (u64, u64),
    target: Target,
    identity: String,
    /// The adapter's task has not ended; the client's side has not.
    task: bool,
    there: bool,
}

/// The tunnels of all connections.
#[derive(Debug)]
pub(super) struct Relay {
    tunnels: BTreeMap<TunnelKey, Info>,
    deadlines: BTreeSet<(Instant, TunnelKey)>,
    work: VecDeque<TunnelWork>,
    counters: TunnelCounters,
}

impl Default for Relay {
    fn default() -> Self {
        let counters = TunnelCounters {
            open: 0,
            connected: 0,
            refused: TunnelRefusal::ALL.map(|why| (why, 0)),
            octets_in: 0,
            octets_out: 0,
            connect_times: Times::new(TIMES),
        };
        let (tunnels, deadlines, work) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Self { tunnels, deadlines, work, counters }
    }
}

impl Relay {
    fn of(&self, connection: ConnectionKey) -> impl Iterator<Item = TunnelKey> {
        let key = |id| TunnelKey { connection, id };
        self.tunnels.range(key(0)..=key(u64::MAX)).map(|(key, _)| *key)
    }

    pub(super) fn counters(&self) -> TunnelCounters {
        TunnelCounters { open: self.tunnels.len() as u64, ..self.counters }
    }

    fn look(&mut self, key: TunnelKey) {
        if self.tunnels.get(&key).is_some_and(|info| info.task) {
            self.work.push_back(TunnelWork::Look(key));
        }
    }

    fn set_due(&mut self, key: TunnelKey, at: Instant) {
        if let Some(info) = self.tunnels.get_mut(&key) {
            self.deadlines.remove(&(info.due, key));
            info.due = at;
            self.deadlines.insert((at, key));
        }
    }

    /// Forgets it where neither side is left.
    fn forget(&mut self, key: TunnelKey) {
        if self.tunnels.get(&key).is_some_and(|info| !info.task && !info.there)
            && let Some(info) = self.tunnels.remove(&key)
        {
            self.deadlines.remove(&(info.due, key));
        }
    }

    fn refused(&mut self, why: TunnelRefusal) {
        self.counters.refused[why as usize].1 += 1;
    }

    fn carried(&mut self, (from_client, to_client): (u64, u64)) {
        self.counters.octets_in += from_client;
        self.counters.octets_out += to_client;
    }
}

/// One tunnel, lent to the task that joins it to its target.
#[derive(Debug)]
pub struct TunnelPort<'t> {
    tunnels: &'t mut Tunnels,
    id: u64,
}

impl TunnelPort<'_> {
    /// Takes what came from the client.
    pub fn read(&mut self) -> Piece {
        self.tunnels.read(self.id)
    }

    /// So many octets were given to the target: the client may send as many more.
    pub fn consumed(&mut self, n: u64) {
        self.tunnels.consumed(self.id, n);
    }

    /// How many octets of the target are taken now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.tunnels.room(self.id)
    }

    /// Takes octets of the target, as many as there is room for; says how many.
    pub fn write(&mut self, octets: &[u8]) -> usize {
        self.tunnels.write(self.id, octets)
    }

    /// The target has ended its direction.
    pub fn finish(&mut self) {
        self.tunnels.finish(self.id);
    }

    /// The target has broken off.
    pub fn reset(&mut self, code: ResetCode) {
        self.tunnels.reset(self.id, code);
    }
}

impl Server {
    /// Sets what is relayed from now on. Tunnels that are there stay, sessions that are open keep to
    /// whether they may ask for any.
    pub fn set_relay(&mut self, relay: RelayConfig) -> RelayConfig {
        let old = core::mem::replace(&mut self.config.relay, relay);
        self.offer_relay();
        old
    }

    /// Offers the feature where something is allowed.
    pub(super) fn offer_relay(&mut self) {
        let features = &mut self.config.session.features;
        *features = if self.config.relay.allowed.is_empty() {
            features.without(Features::RELAY)
        } else {
            *features | Features::RELAY
        };
    }

    /// What an adapter is to do for tunnels, if anything: after every other call.
    pub fn poll_tunnel(&mut self) -> Option<TunnelWork> {
        self.relay.work.pop_front()
    }

    /// A client asks for a tunnel.
    ///
    /// # Errors
    ///
    /// It is refused, for the reason that is counted and told; that is to be answered.
    pub(super) fn ask_tunnel(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        hub: SessionKey,
        id: u64,
        text: &str,
    ) -> Result<(), (Status, String)> {
        let key = TunnelKey { connection, id };
        let target = match self.decide_tunnel(connection, hub, text) {
            Ok(target) => target,
            Err((why, reason)) => {
                let target = text.chars().take(256).collect();
                self.tell_refused(key, hub, target, why);
                return Err((why.status(), reason));
            }
        };
        let due = now + self.config.relay.connect_timeout;
        let info = Info {
            since: now,
            due,
            connected: false,
            seen: (0, 0),
            target: target.clone(),
            identity: self.hub.identity(hub).unwrap_or_default().into(),
            task: true,
            there: true,
        };
        self.relay.tunnels.insert(key, info);
        self.relay.deadlines.insert((due, key));
        self.relay.work.push_back(TunnelWork::Connect(key, target));
        Ok(())
    }

    fn decide_tunnel(
        &mut self,
        connection: ConnectionKey,
        hub: SessionKey,
        text: &str,
    ) -> Result<Target, (TunnelRefusal, String)> {
        let no = |why: TunnelRefusal| (why, why.reason().to_string());
        let relay = &self.config.relay;
        if self.draining.is_some() {
            return Err(no(TunnelRefusal::Draining));
        }
        let target: Target = text.parse().map_err(|bad| (TunnelRefusal::Invalid, alloc::format!("{bad}")))?;
        if !relay.allowed.permits(&target) {
            return Err(no(TunnelRefusal::Forbidden));
        }
        let (max, of_session) = (relay.max_tunnels, relay.session.max as usize);
        if self.hub.authorize(hub, Action::Relay, &target.to_string()).is_err() {
            return Err(no(TunnelRefusal::Denied));
        }
        if self.relay.tunnels.len() >= max || self.relay.of(connection).count() >= of_session {
            return Err(no(TunnelRefusal::Quota));
        }
        Ok(target)
    }

    fn tell_refused(&mut self, key: TunnelKey, hub: SessionKey, target: String, why: TunnelRefusal) {
        self.relay.refused(why);
        self.events.push_back(ServerEvent::TunnelRefused {
            tunnel: key,
            identity: self.hub.identity(hub).unwrap_or_default().into(),
            target,
            why,
            detail: String::new(),
        });
    }

    /// A name was resolved: gives the addresses to connect to, in this order. Where none of them is
    /// allowed the client is told so; nothing then, as for a tunnel that is no longer wanted.
    pub fn tunnel_resolved(
        &mut self,
        now: Instant,
        key: TunnelKey,
        addresses: &[IpAddr],
    ) -> Option<Vec<SocketAddr>> {
        let info = self.relay.tunnels.get(&key).filter(|info| info.there && !info.connected)?;
        info.target.name()?;
        let chosen = self.config.relay.allowed.choose(&info.target, addresses);
        if chosen.is_empty() {
            let why = if addresses.is_empty() { TunnelRefusal::NotFound } else { TunnelRefusal::Forbidden };
            self.refuse_tunnel(now, key, why, "");
            return None;
        }
        Some(chosen)
    }

    /// The target was reached.
    pub fn tunnel_connected(&mut self, now: Instant, key: TunnelKey) {
        let idle = self.config.relay.idle_timeout;
        let Some(info) = self.relay.tunnels.get_mut(&key).filter(|info| info.there && !info.connected) else {
            return;
        };
        info.connected = true;
        let took = now.saturating_since(info.since);
        let (identity, target) = (info.identity.clone(), info.target.to_string());
        self.relay.counters.connected += 1;
        self.relay.counters.connect_times.record_duration(took);
        let never = Instant::FAR_FUTURE;
        self.relay.set_due(key, if idle.is_zero() { never } else { now + idle });
        self.events.push_back(ServerEvent::TunnelOpened { tunnel: key, identity, target, took });
        self.on_tunnels(now, key.connection, |tunnels| tunnels.accept(key.id));
    }

    /// The target was not reached. `detail`, which may be empty, is told to the client too; of long ones the
    /// beginning.
    pub fn tunnel_failed(&mut self, now: Instant, key: TunnelKey, why: TunnelFailure, detail: &str) {
        let why = match why {
            TunnelFailure::NotFound => TunnelRefusal::NotFound,
            TunnelFailure::Refused => TunnelRefusal::Refused,
            TunnelFailure::Unreachable => TunnelRefusal::Unreachable,
            TunnelFailure::Handshake => TunnelRefusal::Handshake,
        };
        self.refuse_tunnel(now, key, why, detail);
    }

    fn refuse_tunnel(&mut self, now: Instant, key: TunnelKey, why: TunnelRefusal, detail: &str) {
        let Some(info) = self.relay.tunnels.get(&key).filter(|info| info.there && !info.connected) else {
            return;
        };
        let (identity, target) = (info.identity.clone(), info.target.to_string());
        let detail: String = detail.chars().take(256).collect();
        let mut reason = why.reason().to_string();
        if !detail.is_empty() {
            reason = alloc::format!("{reason}: {detail}");
        }
        self.relay.refused(why);
        self.events.push_back(ServerEvent::TunnelRefused { tunnel: key, identity, target, why, detail });
        self.on_tunnels(now, key.connection, |tunnels| tunnels.refuse(key.id, why.status(), &reason));
    }

    /// Works on a tunnel that is connected; nothing where it is no more: then break off the target.
    pub fn with_tunnel<T>(
        &mut self,
        now: Instant,
        key: TunnelKey,
        work: impl FnOnce(&mut TunnelPort<'_>) -> T,
    ) -> Option<T> {
        self.on_tunnels(now, key.connection, |tunnels| {
            let open = tunnels.state(key.id).is_some_and(|state| *state == crate::session::TunnelState::Open);
            open.then(|| work(&mut TunnelPort { tunnels, id: key.id }))
        })?
    }

    /// Whether a tunnel is still wanted, connected or not.
    #[must_use]
    pub fn is_tunnel_wanted(&self, key: TunnelKey) -> bool {
        self.relay.tunnels.get(&key).is_some_and(|info| info.there)
    }

    /// The task of a tunnel has ended. What it gave still goes to the client.
    pub fn close_tunnel(&mut self, now: Instant, key: TunnelKey) {
        self.on_tunnels(now, key.connection, |tunnels| tunnels.release(key.id));
        if let Some(info) = self.relay.tunnels.get_mut(&key) {
            info.task = false;
        }
        self.relay.forget(key);
    }

    /// Works on the tunnels of a connection that has some, then has it send what that brought.
    fn on_tunnels<T>(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        work: impl FnOnce(&mut Tunnels) -> T,
    ) -> Option<T> {
        let tunnels = self.connections.get_mut(connection)?.tunnels()?;
        let done = work(tunnels);
        let sends = tunnels.has_output();
        let mut gone = Vec::new();
        while let Some(id) = tunnels.poll_changed() {
            self.relay.look(TunnelKey { connection, id });
        }
        while let Some(ended) = tunnels.poll_gone() {
            gone.push(ended);
        }
        for (id, carried) in gone {
            self.tunnel_gone(now, TunnelKey { connection, id }, carried);
        }
        if sends {
            self.ready.push_back(connection);
        }
        Some(done)
    }

    /// What changed in the tunnels of a connection that is lent out.
    pub(super) fn tunnels_changed(&mut self, now: Instant, connection: ConnectionKey, tunnels: &mut Tunnels) {
        while let Some(id) = tunnels.poll_changed() {
            self.relay.look(TunnelKey { connection, id });
        }
        while let Some((id, carried)) = tunnels.poll_gone() {
            self.tunnel_gone(now, TunnelKey { connection, id }, carried);
        }
    }

    /// The client's side of a tunnel is over.
    fn tunnel_gone(&mut self, now: Instant, key: TunnelKey, carried: (u64, u64)) {
        let Some(info) = self.relay.tunnels.get_mut(&key).filter(|info| info.there) else { return };
        info.there = false;
        if info.connected {
            self.events.push_back(ServerEvent::TunnelClosed {
                tunnel: key,
                identity: info.identity.clone(),
                target: info.target.to_string(),
                octets: carried,
                lasted: now.saturating_since(info.since),
            });
        }
        self.relay.carried(carried);
        self.relay.look(key);
        self.relay.forget(key);
    }

    /// The connection carries no tunnels any more.
    pub(super) fn tunnels_ended(&mut self, now: Instant, connection: ConnectionKey, tunnels: &Tunnels) {
        let keys: Vec<_> = self.relay.of(connection).collect();
        for key in keys {
            let carried = tunnels.traffic(key.id).unwrap_or_default();
            self.tunnel_gone(now, key, carried);
        }
    }

    /// When the next tunnel is looked at.
    pub(super) fn poll_tunnels_timeout(&self) -> Option<Deadline> {
        let at = self.relay.deadlines.first().map(|(at, _)| *at);
        at.filter(|at| *at < Instant::FAR_FUTURE).map(|at| Deadline::new(at, Why::Expiry))
    }

    /// Gives up those that connect for too long, and breaks off those through which nothing goes.
    pub(super) fn expire_tunnels(&mut self, now: Instant) {
        let idle = self.config.relay.idle_timeout;
        for _ in 0..64 {
            let Some((_, key)) = self.relay.deadlines.first().copied().filter(|(at, _)| *at <= now) else {
                return;
            };
            let Some(info) = self.relay.tunnels.get(&key) else { return };
            if !info.connected {
                self.relay.set_due(key, Instant::FAR_FUTURE);
                self.refuse_tunnel(now, key, TunnelRefusal::Timeout, "");
                self.relay.look(key);
                continue;
            }
            let tunnels = self.connections.get_mut(key.connection).and_then(|c| c.tunnels());
            let traffic = tunnels.and_then(|tunnels| tunnels.traffic(key.id));
            if idle.is_zero() || traffic.is_none() || traffic == Some(info.seen) {
                self.relay.set_due(key, Instant::FAR_FUTURE);
                if !idle.is_zero() {
                    self.on_tunnels(now, key.connection, |tunnels| tunnels.reset(key.id, ResetCode::Idle));
                }
                continue;
            }
            if let (Some(info), Some(traffic)) = (self.relay.tunnels.get_mut(&key), traffic) {
                info.seen = traffic;
            }
            self.relay.set_due(key, now + idle);
        }
    }
}
