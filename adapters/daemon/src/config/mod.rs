//! The server's configuration: a TOML file, and over it the environment.
//!
//! Every complaint names where the value stands, its key, and what is allowed there.

mod complaint;
mod listen;
mod load;
mod origin;
pub(crate) mod plugins;
mod relay;
pub(crate) mod report;
mod tls;
mod value;
mod verify;
mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bowline_core::compression::Codec;
use bowline_core::hub::HubOptions;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use complaint::Complaint;
pub(crate) use listen::{LOCAL, Listen};
pub(crate) use load::{Loaded, load, load_with_flags, read_toml};
pub(crate) use origin::{Origin, Origins};
pub(crate) use relay::{Relay, RelayTls, RelayUdp, Written};
pub(crate) use tls::{Certificate, CertificateName, Tls, TlsVersion};
pub(crate) use value::{Scram, Secret, Size, Span, TokenHash};
pub(crate) use web::{Json, WebSocket};

/// The port of Bowline.
pub(crate) const PORT: u16 = crate::net::PORT;

/// The port of MQTT, where every client of it looks first.
pub(crate) const MQTT_PORT: u16 = crate::net::MQTT_PORT;

/// All settings of the server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where it listens.
    pub(crate) listen: Vec<Listen>,
    pub(crate) udp: Udp,
    pub(crate) limits: Limits,
    pub(crate) session: Session,
    pub(crate) mqtt: Mqtt,
    pub(crate) noise: Noise,
    pub(crate) prx1: Prx1,
    pub(crate) http: Http,
    pub(crate) websocket: WebSocket,
    pub(crate) json: Json,
    pub(crate) sys: Sys,
    pub(crate) store: Store,
    /// Topics whose messages are kept to be read back; the first whose filter matches counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<History>,
    /// What rooms are like; the first whose filter matches counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rooms: Vec<Room>,
    pub(crate) relay: Relay,
    pub(crate) auth: Auth,
    pub(crate) tls: Tls,
    pub(crate) drain: Drain,
    pub(crate) log: Log,
    pub(crate) compression: Compression,
    pub(crate) trace: Trace,
    pub(crate) otlp: Otlp,
    /// What is asked about clients and messages, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) plugin: Vec<plugins::Plugin>,
    pub(crate) webhook: plugins::Webhook,
}

/// Sessions over UDP.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Udp {
    /// The file with the server's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// The file with a key that clients have as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_key: Option<PathBuf>,
    /// Public keys of the clients that may connect; without a list whoever knows how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted: Vec<String>,
    /// Nothing is secured: for tests and networks that are secured below.
    pub(crate) insecure: bool,
    /// A session of which nothing was heard for so long is over.
    pub(crate) idle: Span,
    /// The largest datagram that is tried.
    pub(crate) max_datagram: u16,
    /// Sessions at a time on one port.
    pub(crate) sessions: usize,
}

/// What the server takes before it says no.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Connections at a time, and those from one address that is not this machine's.
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    /// Connections a second from one such address in the long run, and at once; 0: as many as come.
    pub(crate) connection_rate: u32,
    pub(crate) connection_burst: u32,
    /// Connections that have not shown yet what they want.
    pub(crate) strangers: usize,
    /// The largest frame it takes, in octets.
    pub(crate) frame: Size,
    /// Reliable frames it takes before it has acknowledged them.
    pub(crate) in_flight: u16,
    /// Octets it takes before it grants more.
    pub(crate) credit: Size,
    /// What waits for one session, and what happens beyond that.
    pub(crate) queue_messages: usize,
    pub(crate) queue_bytes: Size,
    pub(crate) queue_policy: QueuePolicy,
    /// Of one session.
    pub(crate) subscriptions: usize,
    pub(crate) requests: usize,
}

/// What happens when a session's queue is full.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueuePolicy {
    DropOldest,
    DropNewest,
    Disconnect,
    SlowPublisher,
}

/// How sessions live.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Session {
    /// How often a client must be heard from.
    pub(crate) keepalive: Span,
    /// The longest that a session outlives its connection.
    pub(crate) expiry: Span,
    /// From accepting a connection to an open session.
    pub(crate) handshake: Span,
    /// How long a client may take nothing of what waits for it.
    pub(crate) write_timeout: Span,
}

/// What clients of MQTT may do, beside the limits of all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mqtt {
    /// The largest packet it takes; without one as large as `limits.frame`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packet: Option<Size>,
    /// Messages with QoS 1 and 2 that a client may send ahead, and those that it is sent.
    pub(crate) receive_max: u16,
    pub(crate) in_flight: u16,
    /// Topic aliases that a client may set, and those that it is sent.
    pub(crate) topic_aliases: u16,
    pub(crate) sent_topic_aliases: u16,
    /// The longest keep alive; without one any, and none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keepalive_max: Option<Span>,
    /// The longest client identifier, in octets.
    pub(crate) client_id: usize,
    pub(crate) max_qos: u8,
    pub(crate) retain: bool,
    pub(crate) wildcards: bool,
    pub(crate) shared: bool,
    /// Whether payloads have to be of the format that they say.
    pub(crate) check_payload: bool,
}

/// The secure mode of our own protocol: offered where there is a key.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Noise {
    /// The server's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// A line with a public key and a user each: who proves to hold the key is that user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorized_keys: Option<PathBuf>,
    /// A line with a shared key and a user each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psk_file: Option<PathBuf>,
    /// Whether our own protocol is also spoken in clear.
    pub(crate) plain: bool,
    /// Whether keys that are nobody's are let in, to log in by other means.
    pub(crate) strangers: bool,
}

/// What clients of PRX1 may do, beside the limits of all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prx1 {
    /// Messages with QoS 1 that a client is sent ahead.
    pub(crate) in_flight: u16,
    /// How long CONNECT may take to come.
    pub(crate) handshake: Span,
    /// How long a user's session outlives its connection.
    pub(crate) expiry: Span,
    pub(crate) success: Prx1Success,
}

/// Which result of PRX1 says success.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Prx1Success {
    Documented,
    Published,
}

/// Requests of HTTP, and WebSockets.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Pages that may open WebSockets beside those of the same host; `*`: all.
    pub(crate) origins: Vec<String>,
    /// Who sees the console at `/`.
    pub(crate) console: Console,
    /// Whether there is a chat at `/chat`.
    pub(crate) chat: bool,
    /// Names under which the console is asked for, beside addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
}

/// Who sees the console.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Console {
    Loopback,
    Authenticated,
    Off,
}

/// What the server says of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sys {
    /// How often; zero: never.
    pub(crate) interval: Span,
}

/// Where it keeps what outlives it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// A directory.
    pub(crate) path: PathBuf,
    /// Nothing is kept.
    pub(crate) memory: bool,
    /// Whether it looks through all of it at the start.
    pub(crate) check: bool,
    /// How large the database may become; without one as large as its disk allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_size: Option<Size>,
    /// Operations at most that wait for it before clients are held back.
    pub(crate) backlog: u64,
    /// Octets at most in what they carry.
    pub(crate) backlog_bytes: Size,
}

/// What is kept of each topic that matches a filter.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    pub(crate) filter: String,
    /// At most; 0: nothing.
    #[serde(default = "History::messages")]
    pub(crate) messages: u32,
    #[serde(default = "History::bytes")]
    pub(crate) bytes: Size,
    /// Without one, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<Span>,
}

/// What rooms are like whose names match a filter.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) filter: String,
    /// Kept of each at most, in memory; 0: nothing.
    #[serde(default = "Room::messages")]
    pub(crate) messages: u32,
    #[serde(default = "Room::bytes")]
    pub(crate) bytes: Size,
    #[serde(default = "Room::age")]
    pub(crate) age: Span,
    #[serde(default = "Room::members")]
    pub(crate) members: u32,
    #[serde(default)]
    pub(crate) policy: RoomPolicy,
    /// Messages that wait for one member at most, by policies other than the session's.
    #[serde(default = "Room::waiting")]
    pub(crate) waiting: u32,
    /// Messages a second of one session, and of all; without them as many as come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room_rate: Option<u32>,
}

/// What happens to a member of a room that takes less than it is sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoomPolicy {
    #[default]
    Session,
    DropOldest,
    KeepLatest,
    Disconnect,
    SlowPublisher,
}

/// Who may connect.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) anonymous: Anonymous,
    /// A line `user:hash` for each user, beside those below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) users_file: Option<PathBuf>,
    /// Who may do what; without one, who is let in may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) access_file: Option<PathBuf>,
    pub(crate) users: Vec<User>,
    pub(crate) tokens: Vec<Token>,
    /// By which name of its certificate a client is a user.
    pub(crate) certificate_name: CertificateName,
    /// Certificates by their public keys, whatever their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificates: Vec<Certificate>,
}

/// From where one may connect without a name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Anonymous {
    Never,
    Loopback,
    Always,
}

/// A user, with exactly one kind of password.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plain_password: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scram: Option<Scram>,
}

/// A token, with exactly one way to know it, and whom it stands for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plain_token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<TokenHash>,
}

/// How the server goes away.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drain {
    /// How long clients have to finish.
    pub(crate) deadline: Span,
    /// How long they should wait before they connect again, and where (empty: here).
    pub(crate) retry_after: Span,
    /// Up to so much longer, drawn for each.
    pub(crate) retry_spread: Span,
    pub(crate) endpoint: String,
}

/// What the server writes on stderr.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// A level, or levels by part: `info,bowline=debug`.
    pub(crate) level: String,
}

/// The shape of a line in the log.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Payloads of our own protocol.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compression {
    /// By what clients may compress them.
    pub(crate) codecs: Vec<CodecName>,
}

/// A codec.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CodecName {
    /// Fast
    Lz4,
    /// Small
    Zstd,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::Lz4 => Self::Lz4,
            CodecName::Zstd => Self::Zstd,
        }
    }
}

/// Traces of messages.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Trace {
    /// Whether messages that come without one are given one, and which part of them.
    pub(crate) make: bool,
    pub(crate) sample: f64,
}

/// OpenTelemetry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Otlp {
    /// The collector that is sent spans; without one none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// Fields of the requests to it, such as `authorization`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Which part of all sampled traces it is sent.
    pub(crate) sample: f64,
}

impl Default for Config {
    fn default() -> Self {
        // Each of them takes every protocol.
        let loopback = |port| Listen::tcp(([127, 0, 0, 1], port).into());
        Self {
            listen: vec![loopback(PORT), loopback(MQTT_PORT)],
            udp: Udp::default(),
            limits: Limits::default(),
            session: Session::default(),
            mqtt: Mqtt::default(),
            noise: Noise::default(),
            prx1: Prx1::default(),
            http: Http::default(),
            websocket: WebSocket::default(),
            json: Json::default(),
            sys: Sys::default(),
            store: Store::default(),
            history: vec![History::of_rooms()],
            rooms: Vec::new(),
            relay: Relay::default(),
            auth: Auth::default(),
            tls: Tls::default(),
            drain: Drain::default(),
            log: Log::default(),
            compression: Compression::default(),
            trace: Trace::default(),
            otlp: Otlp::default(),
            plugin: Vec::new(),
            webhook: plugins::Webhook::default(),
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self { codecs: vec![CodecName::Lz4, CodecName::Zstd] }
    }
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            key: None,
            shared_key: None,
            trusted: Vec::new(),
            insecure: false,
            idle: Span::from_secs(30),
            max_datagram: 1_452,
            sessions: 10_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_address: 1_000,
            connection_rate: 50,
            connection_burst: 1_000,
            strangers: 5_000,
            frame: Size(1 << 20),
            in_flight: 1_024,
            credit: Size(1 << 20),
            queue_messages: 16_384,
            queue_bytes: Size(4 << 20),
            queue_policy: QueuePolicy::DropOldest,
            subscriptions: 4_096,
            requests: 1_024,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            keepalive: Span::from_secs(30),
            expiry: Span::from_secs(3_600),
            handshake: Span::from_secs(5),
            write_timeout: Span::from_secs(10),
        }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            packet: None,
            receive_max: 1_024,
            in_flight: 1_024,
            topic_aliases: 10,
            sent_topic_aliases: 16,
            keepalive_max: None,
            client_id: 1_024,
            max_qos: 2,
            retain: true,
            wildcards: true,
            shared: true,
            check_payload: false,
        }
    }
}

impl Default for Noise {
    fn default() -> Self {
        Self { key_file: None, authorized_keys: None, psk_file: None, plain: true, strangers: true }
    }
}

impl Default for Prx1 {
    fn default() -> Self {
        Self {
            in_flight: 1_024,
            handshake: Span::from_secs(1),
            expiry: Span::from_secs(3_600),
            success: Prx1Success::Documented,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { origins: Vec::new(), console: Console::Loopback, chat: true, hosts: Vec::new() }
    }
}

impl Default for Sys {
    fn default() -> Self {
        Self { interval: Span::from_secs(10) }
    }
}

impl Default for Store {
    fn default() -> Self {
        let hub = HubOptions::default();
        Self {
            path: "bowline-data".into(),
            memory: false,
            check: false,
            max_size: None,
            backlog: hub.max_store_operations,
            backlog_bytes: Size(hub.max_store_bytes),
        }
    }
}

impl History {
    /// Rooms are read back after a restart too, as long as nobody says otherwise.
    fn of_rooms() -> Self {
        let (filter, age) = ("$room/#".to_owned(), Some(Span::from_secs(86_400)));
        Self { filter, messages: 100, bytes: Size(256 << 10), age }
    }

    const fn messages() -> u32 {
        1000
    }

    const fn bytes() -> Size {
        Size(1 << 20)
    }
}

impl Room {
    const fn messages() -> u32 {
        100
    }

    const fn bytes() -> Size {
        Size(256 << 10)
    }

    const fn age() -> Span {
        Span::from_secs(24 * 3600)
    }

    const fn members() -> u32 {
        100_000
    }

    const fn waiting() -> u32 {
        256
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Loopback,
            users_file: None,
            access_file: None,
            users: Vec::new(),
            tokens: Vec::new(),
            certificate_name: CertificateName::None,
            certificates: Vec::new(),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            deadline: Span::from_secs(10),
            retry_after: Span::from_secs(1),
            retry_spread: Span::from_secs(5),
            endpoint: String::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self { make: false, sample: 1.0 }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), sample: 1.0 }
    }
}

#[cfg(test)]
mod tests;
