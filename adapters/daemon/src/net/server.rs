//! The server.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bowline_core::access::Decision;
use bowline_core::compression::Codec;
use bowline_core::endpoint::server::{
    Compression, ConnectionKey, ConnectionRate, HttpConfig, JsonConfig, MqttConfig, Origins, Peer,
    Prx1Config, QueueLimits, ServerConfig, ServerEvent, SessionName, TraceConfig, Traced, Users,
};
use bowline_core::hub::{HistoryOptions, HubOptions, Policy, RoomOptions, RoomPolicy, RoomRate};
use bowline_core::mqtt::{self, Qos};
use bowline_core::plugin::Report;
use bowline_core::prx1;
use bowline_core::session::{Code, Config as SessionConfig, Limits};
use bowline_core::trace::TraceContext;
use bowline_tokio::server::{Egress, StartError};
use parking_lot::Mutex;
use tracing::{Level, debug, info, warn};

use super::listen::{self, Activated};
use super::{Address, egress, tls};
use crate::auth;
use crate::cli::Endpoint;
use crate::config::{self, Config, Drain, History, Listen, Prx1Success, QueuePolicy, Relay, Room, Size, Tls};
use crate::failure::Failure;
use crate::http::{Listening, Site};
use crate::otlp::Exporter;
use crate::plugins::{self, AuditLog, Webhook};
use crate::store;

/// A running server; a handle.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    inner: bowline_tokio::Server,
    stores: String,
    spans: Option<Arc<Exporter>>,
    tls: Option<bowline_tokio::tls::Server>,
    /// What the configuration says of it now, and what looks whether certificates have changed.
    secured: Arc<Mutex<(Tls, Option<bowline_tokio::tls::Watch>)>>,
    audit: Arc<AuditLog>,
    /// The plugins of the configuration, as they are now.
    configured: Arc<Mutex<Vec<config::plugins::Plugin>>>,
    site: Arc<Site>,
    activated: Activated,
}

impl Server {
    /// Listens where the configuration says, and serves from then on. With `if_free`, addresses where
    /// another program listens are left out, as long as one is left.
    pub(crate) async fn bind(
        config: &Config,
        auth: auth::Loaded,
        if_free: bool,
        site: Site,
        activated: Activated,
    ) -> Result<Self, Failure> {
        let site = Arc::new(site);
        let answering = Arc::clone(&site);
        let spans = Exporter::start(&config.otlp, site.spans())?.map(Arc::new);
        let told = spans.clone();
        let audit = Arc::new(AuditLog::open(&config.plugin)?);
        let hook = Webhook::start(&config.webhook, site.alerts())?;
        let records = Arc::clone(&audit);
        let mut builder = bowline_tokio::Server::builder()
            .config(ServerConfig { noise: auth.noise, ..options(config, auth.users) })
            .http(move |request, server| answering.answer(request, server))
            .on_event(move |event| {
                if let (ServerEvent::Traced(traced), Some(spans)) = (event, &told) {
                    spans.offer(traced);
                }
                if let ServerEvent::Reported { plugin, report } = event {
                    reported(plugin, report, &records, hook.as_ref());
                } else {
                    log(event);
                }
            });
        if let Some(rules) = auth.rules {
            builder = builder.access(rules);
        }
        let tls = tls::load(&config.tls)?;
        let watch = tls.as_ref().map(|tls| tls.watch(config.tls.reload.0));
        if let Some(tls) = &tls {
            site.secures(tls.clone());
            builder = builder.tls(tls.clone());
        }
        for (name, plugin, placement) in made(&config.plugin)? {
            builder = builder.plugin_at(&name, plugin, placement);
        }
        let loaded = Arc::new(OnceLock::new());
        if !config.store.memory {
            let (held, site) = (Arc::clone(&loaded), Arc::clone(&site));
            let storage = store::open(&config.store)?;
            builder = builder.storage(storage).on_store_event(move |event| store::log(event, &held, &site));
        }
        if let Some(datagrams) = super::udp::config(&config.udp)? {
            builder = builder.datagrams(datagrams);
        }
        builder = builder.egress(egress(&config.relay)?);
        for given in &config.listen {
            let listen = listen::of(given, &activated, &config.tls)?;
            builder = builder.listen_on(if if_free { listen.if_free() } else { listen });
        }
        let inner = builder.start().await.map_err(|error| not_started(&error))?;
        let stores = store::announcement(&config.store, loaded.get());
        let configured = Arc::new(Mutex::new(config.plugin.clone()));
        let secured = Arc::new(Mutex::new((config.tls.clone(), watch)));
        let server = Self { inner, stores, spans, tls, secured, audit, configured, site, activated };
        server.site.listens(server.listeners(&config.listen));
        Ok(server)
    }

    /// Where it listens, and where it was to listen and another program does; by the listeners' names.
    fn listeners(&self, given: &[Listen]) -> Vec<Listening> {
        let mut addresses = self.inner.addresses().iter();
        let names = self.inner.listener_names();
        let listening = given.iter().map(|listen| {
            let name = listen.called();
            if !names.contains(&name) {
                return Listening {
                    name,
                    address: listen.address(),
                    error: Some("another program listens there"),
                };
            }
            let address = addresses.next().map_or_else(|| listen.address(), shown);
            Listening { name, address, error: None }
        });
        listening.collect()
    }

    /// Listens where that was not so before, and no longer where it is not any more; what is allowed there
    /// counts from now on. Who is connected stays. Says what has changed, and what cannot be as it should.
    pub(crate) fn listen_anew(
        &self,
        before: &mut Vec<Listen>,
        now: Vec<Listen>,
    ) -> (Vec<String>, Vec<String>) {
        let (mut changes, mut failures) = (Vec::new(), Vec::new());
        let mut kept = Vec::new();
        for old in before.drain(..) {
            if now.iter().any(|new| new.called() == old.called()) {
                kept.push(old);
            } else if self.inner.close_listener(&old.called(), false) {
                changes.push(format!("no longer listening on {}", old.called()));
                remove_socket(old.unix.as_deref());
                self.site.listens_no_longer(&old.called());
            }
        }
        for new in now {
            match self.listen_as(&new, &mut kept) {
                Ok(change) => changes.extend(change),
                Err(failure) => failures.push(failure),
            }
        }
        *before = kept;
        (changes, failures)
    }

    /// Listens there, or changes what is allowed there; `listeners` are those that there are.
    fn listen_as(&self, new: &Listen, listeners: &mut Vec<Listen>) -> Result<Option<String>, String> {
        let name = new.called();
        let failed = |failure: &Failure| failure.message().unwrap_or_default().to_owned();
        let listen = listen::of(new, &self.activated, &self.secured.lock().0);
        let listen = listen.map_err(|failure| failed(&failure))?;
        let Some(old) = listeners.iter_mut().find(|old| old.called() == name) else {
            let address = self.inner.listen(listen).map_err(|error| failed(&not_started(&error)))?;
            let address = shown(&address);
            let change = format!("listening on {address}");
            self.site.listens_too(Listening { name, address, error: None });
            listeners.push(new.clone());
            return Ok(Some(change));
        };
        if old == new {
            return Ok(None);
        }
        if old.sockets() != new.sockets() {
            let how = "its address, sockets and proxies count when it is removed and added again, under another name \
                       or at the next start";
            return Err(format!("listener {name} stays as it is: {how}"));
        }
        self.inner.set_listener(&name, listen);
        *old = new.clone();
        Ok(Some(format!("listener {name} has other settings")))
    }

    /// Returns once the server has given an answer: whoever holds its lock has let it go.
    pub(crate) fn answer(&self) {
        let _ = self.inner.listener_names();
    }

    /// Where it keeps what outlives it, for people.
    pub(crate) fn stores(&self) -> &str {
        &self.stores
    }

    /// Other users and rules count from now on.
    pub(crate) fn reload(&self, auth: auth::Loaded, relay: &Relay, egress: Egress) {
        self.inner.set_egress(egress);
        self.inner.set_relay(relay.options());
        self.inner.set_users(auth.users);
        self.inner.set_noise(auth.noise);
        match auth.rules {
            Some(rules) => self.inner.set_access(rules),
            None => self.inner.set_access(Decision::ALLOW),
        }
    }

    /// Certificates are read anew, where there are any; what came of it is told.
    pub(crate) fn reload_certificates(&self) {
        if let Some(tls) = &self.tls {
            let _ = tls.reload();
        }
    }

    /// What is written of TLS now counts for handshakes from now on, and files are read anew: who is connected
    /// stays. What came of that is told. Where something is wrong, all stays as it was. Says whether something
    /// else is written than before; whether there is TLS at all is for the next start.
    pub(crate) fn reload_tls(&self, now: &Tls) -> Result<bool, ()> {
        let (Some(tls), Some(builder)) = (&self.tls, tls::builder(now)) else { return Ok(false) };
        let mut secured = self.secured.lock();
        let (before, watch) = &mut *secured;
        // Where connections are taken in the clear was decided when it began to listen.
        let now = Tls { plain: before.plain, ..now.clone() };
        if *before == now {
            return tls.reload().map(|()| false).map_err(drop);
        }
        tls.set(builder).map_err(drop)?;
        if before.reload != now.reload {
            *watch = Some(tls.watch(now.reload.0));
        }
        *before = now;
        Ok(true)
    }

    /// Other plugins count from now on. Where nothing of them has changed they stay as they are: what they
    /// have counted, and whether somebody has switched them off. Says whether that was so.
    pub(crate) fn reload_plugins(&self, plugins: &[config::plugins::Plugin]) -> Result<bool, Failure> {
        let mut configured = self.configured.lock();
        if *configured == plugins {
            return Ok(false);
        }
        let made = made(plugins)?;
        self.audit.reload(plugins)?;
        let old: Vec<String> = configured.iter().map(|plugin| plugin.name.clone()).collect();
        let done = self.inner.plugins().replace(|name| old.iter().any(|old| old == name), made);
        done.map_err(|error| Failure::new(format!("plugins: {error}")))?;
        *configured = plugins.to_vec();
        Ok(true)
    }

    /// Where it listens, with the ports that the system chose.
    pub(crate) fn addresses(&self) -> Vec<Endpoint> {
        let listening = self.inner.addresses().iter().map(ToString::to_string);
        listening.filter_map(|address| Endpoint::parse(&address).ok()).collect()
    }

    /// Ends when the server has stopped.
    pub(crate) async fn stopped(&self) {
        self.inner.stopped().await;
    }

    /// Tells all clients to go, and waits until they have gone, or the deadline has passed.
    pub(crate) async fn drain(&self, drain: &Drain) {
        self.inner.drain_to(drain.deadline.0, drain.retry_after.0, &drain.endpoint).await;
        for endpoint in self.addresses() {
            if let Endpoint::Unix(path) = endpoint {
                remove_socket(Some(&path));
            }
        }
        let audit = Arc::clone(&self.audit);
        // It only fails where it panics, which it tells itself.
        let _ = tokio::task::spawn_blocking(move || audit.finish()).await;
        if let Some(spans) = &self.spans {
            spans.finish().await;
        }
    }
}

/// The plugins that a configuration names, which was checked.
fn made(plugins: &[config::plugins::Plugin]) -> Result<Vec<plugins::Made>, Failure> {
    plugins::make(plugins).map_err(|wrong| {
        let lines: Vec<String> = wrong.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
        Failure::new(lines.join("; "))
    })
}

/// What a plugin tells goes where it belongs.
fn reported(plugin: &str, report: &Report, audit: &AuditLog, hook: Option<&Webhook>) {
    match report {
        Report::Audit(record) => audit.write(plugin, record),
        Report::Alert(alert) => {
            let (name, value, limit) = (&alert.name, alert.value, alert.limit);
            if alert.raised {
                warn!(plugin, alert = name, value, limit, "alert");
            } else {
                info!(plugin, alert = name, value, limit, "alert has ended");
            }
            if let Some(hook) = hook {
                hook.offer(plugin, alert);
            }
        }
        other => info!(plugin, report = ?other, "a plugin reports"),
    }
}

/// An address as it is written in the configuration.
fn shown(address: &Address) -> String {
    let text = address.to_string();
    text.strip_prefix("bowline://").map(str::to_owned).unwrap_or(text)
}

/// Removes the file of a Unix socket. It may have been removed or replaced by somebody else; that is theirs
/// to decide.
fn remove_socket(path: Option<&Path>) {
    if let Some(path) = path {
        let _ = std::fs::remove_file(path);
    }
}

/// What went wrong, and what to do.
fn not_started(error: &StartError) -> Failure {
    let StartError::Listen { address, error } = error else {
        return Failure::new(format!("cannot start: {error}"));
    };
    let address = address.to_string();
    let address = address.split_once("://").map_or(&*address, |(_, address)| address);
    let advice = match error.kind() {
        ErrorKind::AddrInUse if address.starts_with("unix:") => {
            "something is there already; stop the server that uses it, or remove it".to_owned()
        }
        ErrorKind::AddrInUse => "another program listens there (is a server running already?); stop it, or \
             choose another port: --listen 127.0.0.1:7791"
            .to_owned(),
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; `ip address` lists those it has".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("{error}; choose a port from 1024 on, or a directory that this user may write to")
        }
        _ => error.to_string(),
    };
    Failure::new(format!("cannot listen on {address}: {advice}"))
}

/// The settings of HTTP and of WebSockets.
fn http_of(config: &Config) -> HttpConfig {
    let (limits, session) = (&config.limits, &config.session);
    let origins = match &config.http.origins[..] {
        [] => Origins::SameHost,
        list if list.iter().any(|origin| origin == "*") => Origins::Any,
        list => Origins::Listed(list.to_vec()),
    };
    let mut http = HttpConfig { origins, ..HttpConfig::default() };
    http.line.head_timeout = session.handshake.0;
    http.line.write_timeout = session.write_timeout.0;
    http.line.max_body = limits.frame.0;
    http.websocket.write_timeout = session.write_timeout.0;
    http.websocket.ping_interval = Some(session.keepalive.0);
    http.websocket.max_message = config.json.message.unwrap_or(limits.frame).0;
    let given = &config.websocket;
    let octets = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    http.compression = given.compression.then_some(Compression {
        window_bits: given.window_bits,
        context_takeover: given.context_takeover,
        threshold: octets(given.threshold),
        level: given.level,
        memory: octets(given.memory),
    });
    http
}

/// The settings of typed JSON.
const fn json(given: &config::Json) -> JsonConfig {
    JsonConfig {
        expiry: given.expiry.0,
        auth_deadline: given.handshake.0,
        max_request: given.request.0,
        types: given.types,
        in_flight: given.in_flight,
        batch: given.batch,
        poll_wait: given.poll_wait.0,
        poll_idle: given.poll_idle.0,
    }
}

/// The core's options, as the configuration says.
fn options(config: &Config, users: Users) -> ServerConfig {
    let limits = &config.limits;
    let session = SessionConfig {
        limits: Limits {
            max_frame: u32::try_from(limits.frame.0).unwrap_or(u32::MAX),
            in_flight: limits.in_flight,
            credit: limits.credit.0,
            keepalive: Some(config.session.keepalive.0),
        },
        handshake_deadline: config.session.handshake.0,
        write_timeout: config.session.write_timeout.0,
        ..SessionConfig::default()
    };
    let hub = HubOptions {
        // As many again may wait for their clients to come back.
        max_sessions: limits.connections.saturating_mul(2),
        max_subscriptions_per_session: limits.subscriptions,
        max_requests_per_session: limits.requests,
        max_expiry: config.session.expiry.0,
        history: config.history.iter().map(history).collect(),
        rooms: config.rooms.iter().map(room).chain([RoomOptions::new("#")]).collect(),
        max_store_operations: config.store.backlog,
        max_store_bytes: config.store.backlog_bytes.0,
        ..HubOptions::default()
    };
    let policy = match limits.queue_policy {
        QueuePolicy::DropOldest => Policy::DropOldest,
        QueuePolicy::DropNewest => Policy::DropNewest,
        QueuePolicy::Disconnect => Policy::Disconnect,
        QueuePolicy::SlowPublisher => Policy::SlowPublisher,
    };
    ServerConfig {
        name: format!("bowline {}", env!("CARGO_PKG_VERSION")),
        session,
        mqtt: mqtt(config),
        prx1: prx1(config),
        json: json(&config.json),
        http: http_of(config),
        sys_interval: config.sys.interval.0,
        retry_spread: config.drain.retry_spread.0,
        trace: trace(config),
        compression: config.compression.codecs.iter().copied().map(Codec::from).collect(),
        hub,
        queue: QueueLimits {
            max_messages: u32::try_from(limits.queue_messages).unwrap_or(u32::MAX),
            max_bytes: limits.queue_bytes.0,
            policy,
        },
        max_connections: limits.connections,
        max_per_address: limits.per_address,
        connection_rate: (limits.connection_rate > 0)
            .then_some(ConnectionRate { per_second: limits.connection_rate, burst: limits.connection_burst }),
        max_strangers: limits.strangers,
        users,
        relay: config.relay.options(),
        ..ServerConfig::default()
    }
}

fn mqtt(config: &Config) -> MqttConfig {
    let given = &config.mqtt;
    let longest = given.keepalive_max.map(|span| u16::try_from(span.0.as_secs()).unwrap_or(u16::MAX));
    // No more is announced than what the buffers take.
    let max_packet = u32::try_from(given.packet.unwrap_or(config.limits.frame).0).unwrap_or(u32::MAX);
    let line = mqtt::server::Config {
        max_packet,
        receive_maximum: given.receive_max,
        topic_alias_maximum: given.topic_aliases,
        maximum_qos: Qos::from_number(given.max_qos).unwrap_or(Qos::ExactlyOnce),
        retain_available: given.retain,
        wildcard_subscriptions: given.wildcards,
        shared_subscriptions: given.shared,
        max_keep_alive: longest,
        connect_timeout: config.session.handshake.0,
        write_timeout: config.session.write_timeout.0,
        ..mqtt::server::Config::default()
    };
    MqttConfig {
        line,
        max_client_id: given.client_id,
        in_flight: given.in_flight,
        topic_aliases: given.sent_topic_aliases,
        check_payload_format: given.check_payload,
    }
}

fn prx1(config: &Config) -> Prx1Config {
    let given = &config.prx1;
    let success = match given.success {
        Prx1Success::Documented => prx1::Success::Documented,
        Prx1Success::Published => prx1::Success::Published,
    };
    let line = prx1::Config {
        handshake_deadline: given.handshake.0,
        write_timeout: config.session.write_timeout.0,
        success,
        ..prx1::Config::default()
    };
    Prx1Config { line, expiry: given.expiry.0, in_flight: given.in_flight }
}

fn history(history: &History) -> HistoryOptions {
    HistoryOptions {
        filter: history.filter.as_str().into(),
        max_messages: history.messages,
        max_bytes: history.bytes.0,
        max_age: history.age.map_or(Duration::MAX, |age| age.0),
    }
}

fn room(room: &Room) -> RoomOptions {
    // Twice as many at once.
    let rate = |per_second: u32| RoomRate { per_second, burst: per_second.saturating_mul(2) };
    RoomOptions {
        max_messages: room.messages,
        max_bytes: room.bytes.0,
        max_age: room.age.0,
        max_members: room.members,
        policy: match room.policy {
            config::RoomPolicy::Session => RoomPolicy::Session,
            config::RoomPolicy::DropOldest => RoomPolicy::DropOldest,
            config::RoomPolicy::KeepLatest => RoomPolicy::KeepLatest,
            config::RoomPolicy::Disconnect => RoomPolicy::Disconnect,
            config::RoomPolicy::SlowPublisher => RoomPolicy::SlowPublisher,
        },
        max_waiting: room.waiting,
        session_rate: room.session_rate.map(rate),
        room_rate: room.room_rate.map(rate),
        ..RoomOptions::new(&room.filter)
    }
}

/// What is done about traces: they are told of where somebody looks.
fn trace(config: &Config) -> TraceConfig {
    let part = if config.trace.make { config.trace.sample } else { 0.0 };
    let report = config.otlp.endpoint.is_some() || tracing::enabled!(Level::DEBUG);
    TraceConfig { make: (part * 1e6).round() as u32, report }
}

/// One line for each thing that happens. What peers say of themselves is a field, which is quoted,
/// so that a name cannot look like a line of its own.
fn log(event: &ServerEvent) {
    match event {
        ServerEvent::Refused { peer, reason } => warn!(from = from(peer), %reason, "connection refused"),
        ServerEvent::Opened { peer, dialect, session, resumed, identity, name, .. } => {
            let (name, user, session) = (some(name), some(identity), session.as_ref().map(short));
            info!(name, user, from = from(peer), %dialect, session, resumed, "connected");
        }
        ServerEvent::Closed { peer, dialect, session, by, code, reason, .. } => {
            let (session, reason, from) = (session.as_ref().map(short), some(reason), from(peer));
            let dialect = dialect.map(|dialect| dialect.to_string());
            match code {
                None | Some(Code::Normal | Code::GoingAway | Code::TakenOver) => {
                    let code = code.map(code_name);
                    info!(session, from, dialect, ?by, code, reason, "disconnected");
                }
                Some(code) => {
                    warn!(session, from, dialect, ?by, code = code_name(*code), reason, "disconnected");
                }
            }
        }
        ServerEvent::Overflow { connection, session, trace } => warn!(
            connection = connection.map(ConnectionKey::number),
            trace_id = trace.as_ref().map(trace_id),
            session = session.as_ref().map(short),
            "a client takes less than it is sent: messages for it are dropped; raise limits.queue_messages, \
             or choose another limits.queue_policy"
        ),
        ServerEvent::Denied { connection, session, identity, action, subject, trace } => warn!(
            connection = connection.map(ConnectionKey::number),
            trace_id = trace.as_ref().map(trace_id),
            session = session.as_ref().map(short),
            user = some(identity),
            ?action,
            subject,
            "denied by the access rules; more of this action on this connection is only counted"
        ),
        ServerEvent::TunnelOpened { tunnel, identity, target, took } => info!(
            connection = tunnel.connection().number(),
            tunnel = tunnel.number(),
            user = some(identity),
            target,
            connect_ms = took.as_millis() as u64,
            "tunnel open"
        ),
        ServerEvent::TunnelClosed { tunnel, identity, target, octets: (sent, received), lasted } => info!(
            connection = tunnel.connection().number(),
            tunnel = tunnel.number(),
            user = some(identity),
            target,
            sent,
            received,
            seconds = lasted.as_secs(),
            "tunnel closed"
        ),
        ServerEvent::TunnelRefused { tunnel, identity, target, why, detail } => warn!(
            connection = tunnel.connection().number(),
            tunnel = tunnel.number(),
            user = some(identity),
            target,
            reason = why.label(),
            detail = some(detail),
            "tunnel refused"
        ),
        ServerEvent::Expired { session } => info!(session = short(session), "session expired"),
        ServerEvent::Traced(Traced {
            stage,
            context,
            made,
            connection,
            session,
            dialect,
            topic,
            size,
            ..
        }) => {
            let (connection, session) = (connection.number(), session.as_ref().map(short));
            let (trace_id, topic) = (trace_id(context), some(topic));
            debug!(trace_id, ?stage, made, connection, session, %dialect, topic, size, "message");
        }
        other => info!(event = ?other, "event"),
    }
}

/// The address of who connects; nothing for a Unix socket.
fn from(peer: &Peer) -> Option<String> {
    peer.address.map(|address| address.to_canonical().to_string())
}

/// An empty text says nothing, and is left out.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The id of a trace in hexadecimal, as tracing tools show it.
fn trace_id(context: &TraceContext) -> String {
    context.trace_id().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn code_name(code: Code) -> String {
    code.to_string()
}

/// Enough of a session's name to find its lines again: one that the server drew is long.
pub(crate) fn short(session: &SessionName) -> String {
    let mut name = session.to_string();
    if matches!(session, SessionName::Bowline(_) | SessionName::Json(_)) {
        name.truncate(8);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn all_settings_reach_the_core() {
        let mut config = Config::default();
        config.limits.frame = crate::config::Size(4_096);
        config.limits.connections = 7;
        config.limits.queue_policy = QueuePolicy::SlowPublisher;
        config.session.expiry = crate::config::Span::from_secs(60);
        let options = options(&config, Users::default());
        assert_eq!((options.session.limits.max_frame, options.max_connections), (4_096, 7));
        assert_eq!((options.queue.policy, options.queue.max_bytes), (Policy::SlowPublisher, 4 << 20));
        assert_eq!((options.hub.max_expiry.as_secs(), options.hub.max_sessions), (60, 14));
        assert_eq!(options.mqtt.line.max_packet, 4_096, "no more than a frame");
    }

    #[test]
    fn the_defaults_are_those_of_the_core() {
        let (ours, core) = (options(&Config::default(), Users::default()), ServerConfig::default());
        assert_eq!((ours.mqtt, ours.prx1, ours.sys_interval), (core.mqtt, core.prx1, core.sys_interval));
        assert_eq!(ours.queue, core.queue);
    }

    #[test]
    fn settings_of_mqtt_and_prx1_reach_the_core() {
        let text = "[mqtt]\npacket = \"64KiB\"\nreceive_max = 5\nin_flight = 6\ntopic_aliases = 7\n\
                    sent_topic_aliases = 8\nkeepalive_max = \"5m\"\nclient_id = 23\nmax_qos = 1\nretain = false\n\
                    wildcards = false\nshared = false\ncheck_payload = true\n[prx1]\nin_flight = 9\n\
                    handshake = \"2s\"\nexpiry = \"1m\"\nsuccess = \"published\"\n[sys]\ninterval = \"0s\"\n";
        let config: Config = toml::from_str(text).unwrap();
        let options = options(&config, Users::default());
        let (mqtt, prx1) = (options.mqtt, options.prx1);
        let line = mqtt.line;
        assert_eq!((line.max_packet, line.receive_maximum, line.topic_alias_maximum), (65_536, 5, 7));
        assert_eq!((line.max_keep_alive, line.maximum_qos), (Some(300), Qos::AtLeastOnce));
        let offered = [line.retain_available, line.wildcard_subscriptions, line.shared_subscriptions];
        assert_eq!((offered, mqtt.check_payload_format), ([false; 3], true));
        assert_eq!((mqtt.in_flight, mqtt.topic_aliases, mqtt.max_client_id), (6, 8, 23));
        assert_eq!((prx1.in_flight, prx1.expiry.as_secs()), (9, 60));
        assert_eq!(
            (prx1.line.handshake_deadline.as_secs(), prx1.line.success),
            (2, prx1::Success::Published)
        );
        assert_eq!(options.sys_interval, Duration::ZERO);
    }

    #[test]
    fn what_keeps_a_server_from_starting_says_what_to_do() {
        let failure = |kind: ErrorKind, address: &str| {
            let error =
                StartError::Listen { address: address.parse().unwrap(), error: io::Error::from(kind) };
            not_started(&error).message().unwrap_or_default().to_owned()
        };
        assert_eq!(
            failure(ErrorKind::AddrInUse, "127.0.0.1:7790"),
            "cannot listen on 127.0.0.1:7790: another program listens there (is a server running already?); stop it, \
             or choose another port: --listen 127.0.0.1:7791"
        );
        assert!(
            failure(ErrorKind::AddrInUse, "unix:/a")
                .starts_with("cannot listen on unix:/a: something is there")
        );
        assert!(failure(ErrorKind::PermissionDenied, "127.0.0.1:80").contains("choose a port from 1024 on"));
    }
}
