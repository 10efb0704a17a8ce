//! What a type cannot say: ranges, and settings that do not go together.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use bowline_core::secure::PublicKey;
use bowline_core::session::{MAX_FRAME_CEILING, MAX_FRAME_FLOOR};
use bowline_core::topic::parse_filter;
use bowline_core::websocket::extensions::{MAX_WINDOW_BITS, MIN_WINDOW_BITS};

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::complaint::Complaint;
use super::listen;
use super::origin::Origins;
use super::{Config, Json, Limits, Mqtt, Otlp, Relay, Size, Span, Store, WebSocket};

/// No keepalive or drain is longer.
const DAY: Span = Span::from_secs(86_400);

/// Complains about everything that is out of its range or contradicts another setting.
pub(super) fn verify(config: &Config, origins: &Origins, complaints: &mut Vec<Complaint>) {
    let mut check = Check { origins, complaints };
    listen::verify(&config.listen, &mut check);
    udp(config, &mut check);
    limits(&config.limits, &mut check);
    let session = &config.session;
    check.within("session.keepalive", &session.keepalive, &(Span::from_millis(100)..=DAY));
    check.within("session.expiry", &session.expiry, &(Span::from_secs(0)..=Span::from_secs(30 * 86_400)));
    check.within("session.handshake", &session.handshake, &(Span::from_millis(100)..=Span::from_secs(300)));
    check.within(
        "session.write_timeout",
        &session.write_timeout,
        &(Span::from_millis(100)..=Span::from_secs(3_600)),
    );
    mqtt(&config.mqtt, &config.limits, &mut check);
    check.within("prx1.in_flight", &config.prx1.in_flight, &(1..=u16::MAX));
    let handshakes = Span::from_millis(100)..=Span::from_secs(300);
    check.within("prx1.handshake", &config.prx1.handshake, &handshakes);
    check.within("prx1.expiry", &config.prx1.expiry, &(Span::from_secs(0)..=Span::from_secs(30 * 86_400)));
    origins_of_pages(&config.http.origins, &mut check);
    hosts(&config.http.hosts, &mut check);
    websocket(&config.websocket, &mut check);
    json(&config.json, &config.limits, &mut check);
    check.within("sys.interval", &config.sys.interval, &(Span::from_secs(0)..=DAY));
    store(&config.store, &mut check);
    history(config, &mut check);
    rooms(config, &mut check);
    relay(&config.relay, &mut check);
    check.within("drain.deadline", &config.drain.deadline, &(Span::from_secs(0)..=DAY));
    check.within("drain.retry_after", &config.drain.retry_after, &(Span::from_secs(0)..=DAY));
    check.within("drain.retry_spread", &config.drain.retry_spread, &(Span::from_secs(0)..=DAY));
    if !is_level_list(&config.log.level) {
        let allowed = "use error, warn, info, debug, trace, off, or levels by part: info,bowline=debug";
        check.complain("log.level", format!("`{}` is not a level; {allowed}", config.log.level));
    }
    check.within("trace.sample", &config.trace.sample, &(0.0..=1.0));
    otlp(&config.otlp, &mut check);
    plugins(config, &mut check);
    users(config, &mut check);
    tokens(config, &mut check);
    super::tls::verify(config, &mut check);
}

/// Origins as browsers send them (RFC 6454 §6.1): a scheme, a host, and no path.
fn origins_of_pages(origins: &[String], check: &mut Check<'_>) {
    for origin in origins.iter().filter(|origin| *origin != "*") {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', ' '])) {
            let how = "write it as browsers do: https://chat.example, or * for all";
            check.complain("http.origins", format!("`{origin}` is no origin; {how}"));
        }
    }
}

/// Names, without a scheme or a port.
fn hosts(hosts: &[String], check: &mut Check<'_>) {
    for host in hosts {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(is_name) {
            check.complain(
                "http.hosts",
                format!("`{host}` is no name of a host; write it so: bowline.example"),
            );
        }
    }
}

fn relay(relay: &Relay, check: &mut Check<'_>) {
    check.within("relay.tunnels", &relay.tunnels, &(1..=1_000_000));
    check.within("relay.per_session", &relay.per_session, &(1..=1_000_000));
    check.within("relay.window", &relay.window, &(Size(4 << 10)..=Size(16 << 20)));
    let connecting = Span::from_millis(100)..=Span::from_secs(300);
    check.within("relay.connect_timeout", &relay.connect_timeout, &connecting);
    let idle = Span::from_secs(0)..=Span::from_secs(30 * 86_400);
    check.within("relay.idle_timeout", &relay.idle_timeout, &idle);
    match (&relay.tls.cert, &relay.tls.key) {
        (Some(_), None) => check.complain("relay.tls.cert", "a certificate needs its key: relay.tls.key"),
        (None, Some(_)) => check.complain("relay.tls.key", "a key needs its certificate: relay.tls.cert"),
        _ => {}
    }
    let udp = &relay.udp;
    if let Some(Err(error)) = udp.server_key.as_ref().map(|text| text.parse::<PublicKey>()) {
        check.complain("relay.udp.server_key", error.to_string());
    }
    let known = udp.key.is_some() && udp.server_key.is_some();
    if !known && udp.shared_key.is_none() && relay.allow.iter().any(|pattern| pattern.0.is_udp()) {
        let what = "a target is reached over UDP, and nothing secures that; set relay.udp.shared_key, or relay.udp.key \
                    and relay.udp.server_key";
        check.complain("relay.allow", what);
    }
}

fn websocket(websocket: &WebSocket, check: &mut Check<'_>) {
    check.within("websocket.threshold", &websocket.threshold, &(Size(0)..=Size(1 << 30)));
    check.within("websocket.level", &websocket.level, &(1..=9));
    check.within("websocket.window_bits", &websocket.window_bits, &(MIN_WINDOW_BITS..=MAX_WINDOW_BITS));
    check.within("websocket.memory", &websocket.memory, &(Size(512 << 10)..=Size(1 << 40)));
}

fn json(json: &Json, limits: &Limits, check: &mut Check<'_>) {
    if let Some(message) = &json.message {
        check.within("json.message", message, &(Size(256)..=Size(u64::from(MAX_FRAME_CEILING))));
        if message > &limits.frame {
            let frame = limits.frame;
            check.complain("json.message", format!("{message} is more than limits.frame, which is {frame}"));
        }
    }
    check.within("json.in_flight", &json.in_flight, &(1..=1_000_000));
    check.within("json.batch", &json.batch, &(1..=10_000));
    let short = Span::from_millis(100)..=Span::from_secs(300);
    check.within("json.handshake", &json.handshake, &short);
    check.within("json.expiry", &json.expiry, &(Span::from_secs(0)..=Span::from_secs(30 * 86_400)));
    check.within("json.request", &json.request, &(Span::from_millis(100)..=Span::from_secs(3_600)));
    check.within("json.poll_wait", &json.poll_wait, &short);
    check.within("json.poll_idle", &json.poll_idle, &(Span::from_secs(1)..=DAY));
    if json.poll_idle <= json.poll_wait {
        let (idle, wait) = (json.poll_idle, json.poll_wait);
        check.complain("json.poll_idle", format!("{idle} is not more than json.poll_wait, which is {wait}"));
    }
}

/// A collector is spoken to in the clear: one elsewhere is behind an agent on this machine.
fn otlp(otlp: &Otlp, check: &mut Check<'_>) {
    check.within("otlp.sample", &otlp.sample, &(0.0..=1.0));
    if let Some(endpoint) = &otlp.endpoint
        && !endpoint.strip_prefix("http://").is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
    {
        let how =
            "write it so: http://127.0.0.1:4318; for https, have a collector on this machine hand them on";
        check.complain("otlp.endpoint", format!("`{endpoint}` is no address of a collector; {how}"));
    }
    for name in otlp.headers.keys() {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_name) {
            check.complain("otlp.headers", format!("`{name}` is no name of a field"));
        }
    }
}

/// What they say is right where they can be made.
fn plugins(config: &Config, check: &mut Check<'_>) {
    for (key, why) in crate::plugins::make(&config.plugin).err().into_iter().flatten() {
        check.complain(&key, why);
    }
    if let Some(url) = &config.webhook.url
        && let Err(why) = crate::net::http::Url::parse(url)
    {
        check.complain("webhook.url", why);
    }
    check.within("webhook.attempts", &config.webhook.attempts, &(1..=100));
}

/// Collects complaints with their places.
pub(super) struct Check<'a> {
    origins: &'a Origins,
    complaints: &'a mut Vec<Complaint>,
}

impl Check<'_> {
    pub(super) fn complain(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origins.nearest(key);
        self.complaints.push(Complaint { origin, key: key.to_owned(), message: message.into() });
    }

    pub(super) fn within<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &T,
        range: &RangeInclusive<T>,
    ) {
        if !range.contains(value) {
            self.complain(key, format!("{value} is not allowed; use {} to {}", range.start(), range.end()));
        }
    }
}

/// Whether it is `info`, or `info,bowline=debug`. A word that is no level would else be taken for the
/// name of a part, and everything of it shown.
fn is_level_list(text: &str) -> bool {
    let mut parts = text.split(',').map(|part| part.split_once('=').map_or(part, |(_, level)| level));
    parts.all(|level| level.trim().parse::<LevelFilter>().is_ok()) && text.parse::<Targets>().is_ok()
}

fn udp(config: &Config, check: &mut Check<'_>) {
    let udp = &config.udp;
    let keys = udp.key.is_some() || udp.shared_key.is_some();
    if udp.insecure && keys {
        check.complain("udp.insecure", "there are keys as well; take them out, or this");
    } else if !udp.insecure && !keys && config.listen.iter().any(|listen| listen.udp.is_some()) {
        let what = "a listener is for UDP, and nothing secures it; set `key` to the file of the server's key, \
                    `shared_key`, or `insecure = true` where nobody else can reach it";
        check.complain("udp", what);
    }
    for text in &udp.trusted {
        if let Err(error) = text.parse::<PublicKey>() {
            check.complain("udp.trusted", error.to_string());
        }
    }
    check.within("udp.idle", &udp.idle, &(Span::from_secs(1)..=Span::from_secs(86_400)));
    check.within("udp.max_datagram", &udp.max_datagram, &(1_200..=9_000));
    check.within("udp.sessions", &udp.sessions, &(1..=1 << 24));
}

fn mqtt(mqtt: &Mqtt, limits: &Limits, check: &mut Check<'_>) {
    if let Some(packet) = &mqtt.packet {
        check.within("mqtt.packet", packet, &(Size(256)..=Size(u64::from(MAX_FRAME_CEILING))));
        if packet > &limits.frame {
            let frame = limits.frame;
            check.complain("mqtt.packet", format!("{packet} is more than limits.frame, which is {frame}"));
        }
    }
    check.within("mqtt.receive_max", &mqtt.receive_max, &(1..=u16::MAX));
    check.within("mqtt.in_flight", &mqtt.in_flight, &(1..=u16::MAX));
    if let Some(longest) = &mqtt.keepalive_max {
        let seconds = Span::from_secs(1)..=Span::from_secs(u64::from(u16::MAX));
        check.within("mqtt.keepalive_max", longest, &seconds);
        if longest.0.subsec_nanos() != 0 {
            check.complain("mqtt.keepalive_max", format!("{longest} is not allowed; use whole seconds"));
        }
    }
    // A server takes identifiers of 23 octets ([MQTT-3.1.3-5]).
    check.within("mqtt.client_id", &mqtt.client_id, &(23..=65_535));
    check.within("mqtt.max_qos", &mqtt.max_qos, &(0..=2));
}

fn store(store: &Store, check: &mut Check<'_>) {
    if let Some(size) = &store.max_size {
        check.within("store.max_size", size, &(Size(1 << 20)..=Size(1 << 44)));
    }
    check.within("store.backlog", &store.backlog, &(1..=1 << 30));
    check.within("store.backlog_bytes", &store.backlog_bytes, &(Size(1 << 16)..=Size(1 << 40)));
    if store.memory {
        return;
    }
    if store.path.as_os_str().is_empty() {
        check.complain("store.path", "the path is empty; name a directory, or set `memory = true`");
    } else if store.path.exists() && !store.path.is_dir() {
        check.complain("store.path", format!("{} is not a directory", store.path.display()));
    }
}

fn history(config: &Config, check: &mut Check<'_>) {
    for (index, history) in config.history.iter().enumerate() {
        let key = format!("history[{index}]");
        if let Err(error) = parse_filter(&history.filter) {
            check
                .complain(&format!("{key}.filter"), format!("`{}` is not a filter: {error}", history.filter));
        }
        if let Some(age) = &history.age {
            check.within(&format!("{key}.age"), age, &(Span::from_secs(1)..=Span::from_secs(3650 * 86_400)));
        }
    }
}

fn rooms(config: &Config, check: &mut Check<'_>) {
    for (index, room) in config.rooms.iter().enumerate() {
        let key = |name: &str| format!("rooms[{index}].{name}");
        if let Err(error) = parse_filter(&room.filter) {
            check.complain(&key("filter"), format!("`{}` is not a filter: {error}", room.filter));
        }
        check.within(&key("age"), &room.age, &(Span::from_secs(1)..=Span::from_secs(3650 * 86_400)));
        check.within(&key("members"), &room.members, &(1..=10_000_000));
        check.within(&key("waiting"), &room.waiting, &(1..=1_000_000));
        for (name, rate) in [("session_rate", room.session_rate), ("room_rate", room.room_rate)] {
            if let Some(rate) = rate {
                check.within(&key(name), &rate, &(1..=10_000_000));
            }
        }
    }
}

fn limits(limits: &Limits, check: &mut Check<'_>) {
    check.within("limits.connections", &limits.connections, &(1..=1_000_000));
    check.within("limits.per_address", &limits.per_address, &(1..=1_000_000));
    check.within("limits.connection_rate", &limits.connection_rate, &(0..=1_000_000));
    check.within("limits.connection_burst", &limits.connection_burst, &(1..=1_000_000));
    check.within("limits.strangers", &limits.strangers, &(1..=1_000_000));
    let frames = Size(u64::from(MAX_FRAME_FLOOR))..=Size(u64::from(MAX_FRAME_CEILING));
    check.within("limits.frame", &limits.frame, &frames);
    check.within("limits.in_flight", &limits.in_flight, &(1..=u16::MAX));
    check.within("limits.credit", &limits.credit, &(Size(1)..=Size(1 << 40)));
    check.within("limits.queue_messages", &limits.queue_messages, &(1..=100_000_000));
    check.within("limits.queue_bytes", &limits.queue_bytes, &(Size(1)..=Size(1 << 40)));
    check.within("limits.subscriptions", &limits.subscriptions, &(1..=10_000_000));
    check.within("limits.requests", &limits.requests, &(1..=10_000_000));
}

fn users(config: &Config, check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    for (index, user) in config.auth.users.iter().enumerate() {
        let key = format!("auth.users[{index}]");
        name(&key, &user.name, &mut names, check);
        if user.plain_password.is_some() == user.scram.is_some() {
            check.complain(&key, "it must have either `scram` or `plain_password`");
        }
    }
}

fn tokens(config: &Config, check: &mut Check<'_>) {
    let mut names = BTreeSet::new();
    for (index, token) in config.auth.tokens.iter().enumerate() {
        let key = format!("auth.tokens[{index}]");
        name(&key, &token.name, &mut names, check);
        if token.plain_token.is_some() == token.sha256.is_some() {
            check.complain(&key, "it must have either `sha256` or `plain_token`");
        }
    }
}

fn name<'a>(key: &str, name: &'a str, names: &mut BTreeSet<&'a str>, check: &mut Check<'_>) {
    let key = format!("{key}.name");
    if name.is_empty() || name.contains('\0') {
        check.complain(&key, "a name has at least one character, and no NUL");
    } else if !names.insert(name) {
        check.complain(&key, format!("`{name}` is listed twice"));
    }
}
