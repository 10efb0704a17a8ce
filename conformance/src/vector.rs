//! Vectors: what they hold, and how they are read.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dialect::Dialect;
use crate::pattern::Pattern;

/// The file that says which rules no vector covers, and why.
pub const UNCOVERED: &str = include_str!("../vectors/uncovered.json");
/// The rules of our own protocol.
pub const SPEC: &str = include_str!("../SPEC.md");
/// The rules of PRX1.
pub const PRX1: &str = include_str!("../PRX1.md");
/// The rules of typed JSON.
pub const JSON: &str = include_str!("../JSON.md");
/// The rules of HTTP and WebSocket.
pub const WEB: &str = include_str!("../WEB.md");

macro_rules! topics {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../vectors/", $name, ".json")))),*]
    };
}

/// The vectors' files, by topic.
pub const FILES: &[(&str, &str)] = topics![
    "authentication",
    "compression",
    "credit",
    "ending",
    "frames",
    "handshake",
    "http",
    "json",
    "keepalive",
    "messages",
    "mqtt3-access",
    "mqtt3-connect",
    "mqtt3-limits",
    "mqtt3-publish",
    "mqtt3-retain",
    "mqtt3-session",
    "mqtt3-subscribe",
    "mqtt3-topics",
    "mqtt3-will",
    "mqtt5-access",
    "mqtt5-auth",
    "mqtt5-connect",
    "mqtt5-flow",
    "mqtt5-limits",
    "mqtt5-properties",
    "mqtt5-publish",
    "mqtt5-retain",
    "mqtt5-session",
    "mqtt5-shared",
    "mqtt5-subscribe",
    "mqtt5-topics",
    "mqtt5-will",
    "parameters",
    "properties",
    "prx1-client",
    "prx1-connection",
    "prx1-messages",
    "prx1-queues",
    "queues-rooms",
    "reliable",
    "requests",
    "resume",
    "retained",
    "rooms",
    "secure",
    "service",
    "states",
    "status",
    "subscriptions",
    "timing",
    "topics",
    "tunnels",
    "types",
    "websocket",
];

/// A vector file, or a vector in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{file}: {error}")]
    Io {
        /// Which.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not as the schema wants it.
    #[error("{file}: {error}")]
    Json {
        /// Which.
        file: String,
        /// Where and why.
        error: serde_json::Error,
    },
    /// A vector's contents make no sense.
    #[error("{vector}: {what}")]
    Vector {
        /// Its name.
        vector: String,
        /// What is wrong.
        what: String,
    },
}

/// A story that an implementation must live through as told.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawVector")]
pub struct Vector {
    /// `topic/what-it-shows`, unique.
    pub name: String,
    /// What is spoken.
    pub dialect: Dialect,
    /// The rules of the dialect's specification that it checks.
    pub rules: Vec<String>,
    /// How binding what it checks is.
    pub level: Level,
    /// What the implementation under test is.
    pub role: Role,
    /// Whether it can be tried over a socket, on a server as it comes.
    pub socket: bool,
    /// How the implementation under test is set up; absent: as the specification says.
    pub config: Config,
    /// What the implementation draws as random octets.
    pub entropy: EntropyScript,
    /// What happens.
    pub steps: Vec<Step>,
    /// Why the vector exists.
    pub notes: String,
}

/// How binding a vector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Level {
    /// An implementation that fails is wrong.
    #[serde(rename = "MUST")]
    Must,
    /// An implementation that fails has a reason, or is not good.
    #[serde(rename = "SHOULD")]
    Should,
}

/// What the implementation under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A client's session machine and its scripted application.
    Client,
    /// A server's session machine and its scripted application.
    Server,
    /// A whole server with its hub.
    Service,
}

impl Role {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Server => "server",
            Role::Service => "service",
        }
    }
}

/// How the implementation under test is set up. What is absent is as the specification says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The largest frame it takes (HSK-6).
    pub max_frame: Option<u32>,
    /// How many reliable frames it takes unacknowledged (HSK-7).
    pub in_flight: Option<u16>,
    /// Its first credit (HSK-8).
    pub credit: Option<u64>,
    /// The keepalive it asks for (HSK-9).
    pub keepalive_ms: Option<u64>,
    /// How long the handshake may take (HSK-10).
    pub handshake_ms: Option<u64>,
    /// The features it offers, or chooses from those offered: a bit set (§4.1).
    pub features: Option<u64>,
    /// Acknowledge by the call `accept`, not by itself (REL-6).
    pub manual_ack: Option<bool>,
    /// The window of each tunnel (§5.9).
    pub tunnel_window: Option<u32>,
    /// Whether a service relays to a target, known as `target`, that returns what it gets (§5.9).
    #[serde(default)]
    pub relay: bool,
    /// The keys of the secure mode, where that is spoken (§10).
    pub noise: Option<NoiseKeys>,
    /// PRX1: the result with which a server answers on success (PRX-13).
    pub success: Option<u8>,
    /// The users of a service and their passwords; with some, nobody else may come.
    #[serde(default)]
    pub users: std::collections::BTreeMap<String, String>,
    /// What a service lets nobody do: `publish` to these topics, `subscribe` with these filters,
    /// `connect` under these names.
    #[serde(default)]
    pub denied: std::collections::BTreeMap<String, Vec<String>>,
    /// What a service allows its MQTT clients.
    #[serde(default)]
    pub mqtt: MqttConfig,
}

/// Keys of the secure mode, each of 32 octets in hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseKeys {
    /// The own private key.
    pub key: Option<String>,
    /// Of a client: the server's public keys; with one the pattern is IK, with more it is XX.
    pub server: Vec<String>,
    /// What both sides share.
    pub shared: Option<String>,
    /// After how many octets the own key changes.
    pub rekey_octets: Option<u64>,
}

/// What a service allows its MQTT clients; what is absent is as the server comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// The receive maximum (5.0 §3.2.2.3.3).
    pub receive_max: Option<u16>,
    /// The maximum packet size (§3.2.2.3.6).
    pub max_packet: Option<u32>,
    /// The topic alias maximum (§3.2.2.3.8).
    pub alias_max: Option<u16>,
    /// The maximum `QoS` (§3.2.2.3.4).
    pub max_qos: Option<u8>,
    /// Whether messages can be retained (§3.2.2.3.5).
    pub retain: Option<bool>,
    /// Whether filters may have wildcards (§3.2.2.3.11).
    pub wildcards: Option<bool>,
    /// Whether subscriptions may have identifiers (§3.2.2.3.12).
    pub sub_ids: Option<bool>,
    /// Whether subscriptions may be shared (§3.2.2.3.13).
    pub shared: Option<bool>,
    /// The longest keep alive that clients may have, in seconds (§3.2.2.3.14).
    pub keepalive: Option<u16>,
    /// Whether payloads are what their format indicator says (§3.3.2.3.2).
    pub check_payload_format: Option<bool>,
    /// The longest session expiry interval, in seconds (§3.2.2.3.2); the largest number: any.
    pub session_expiry: Option<u32>,
    /// Subscriptions at most that a session may have (0x97).
    pub subscriptions: Option<usize>,
}

/// Random octets, in hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyScript {
    /// What a peer sees: nonces, tokens of PING.
    #[serde(default)]
    pub wire: String,
    /// What stays secret.
    #[serde(default)]
    pub secret: String,
}

/// One step of a story.
#[derive(Clone, Debug)]
pub struct Step {
    /// On which connection; the one there is, where empty.
    pub conn: String,
    /// What happens, or is expected.
    pub what: What,
}

/// What happens, or is expected, in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The time becomes this, in milliseconds; what is due happens.
    At(u64),
    /// The peer's octets arrive.
    In(Pattern),
    /// The peer ends its direction of the stream.
    Eof,
    /// The application calls: a name, and arguments.
    Call(String, Map<String, Value>),
    /// All octets that the input before has caused.
    Out(Pattern),
    /// The next event: a name, and the members that matter.
    Event(String, Map<String, Value>),
    /// When it next wants to be called, or never.
    Deadline(Option<DeadlineIs>),
    /// What becomes of the transport.
    Fin(Fin),
}

impl What {
    /// Whether it is something that happens, rather than something expected.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self, What::At(_) | What::In(_) | What::Eof | What::Call(..))
    }
}

/// A deadline as it is expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadlineIs {
    /// Exactly then, in milliseconds.
    pub at_ms: Option<u64>,
    /// Then or earlier.
    pub by_ms: Option<u64>,
    /// Why.
    pub why: Option<String>,
}

/// What an implementation wants of its transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fin {
    /// It stays.
    #[default]
    Open,
    /// The own direction ends once all is written.
    Shut,
    /// It goes, both ways.
    Drop,
    /// Expected only: `shut` or `drop`.
    Closed,
}

impl Fin {
    /// Whether `found` is what was expected.
    #[must_use]
    pub fn allows(self, found: Fin) -> bool {
        self == found || self == Fin::Closed && matches!(found, Fin::Shut | Fin::Drop)
    }

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Fin::Open => "open",
            Fin::Shut => "shut",
            Fin::Drop => "drop",
            Fin::Closed => "closed",
        }
    }
}

/// A step as it is written: `conn`, and exactly one of the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(default)]
    conn: String,
    at_ms: Option<u64>,
    r#in: Option<String>,
    eof: Option<bool>,
    call: Option<Map<String, Value>>,
    out: Option<String>,
    event: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "present")]
    deadline: Option<Option<DeadlineIs>>,
    fin: Option<Fin>,
}

/// Tells a member that is `null` from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<DeadlineIs>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A vector as it is written: what its steps mean follows from its dialect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVector {
    name: String,
    #[serde(default)]
    dialect: Dialect,
    rules: Vec<String>,
    level: Level,
    role: Role,
    #[serde(default)]
    socket: bool,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    entropy: EntropyScript,
    steps: Vec<RawStep>,
    notes: String,
}

impl TryFrom<RawVector> for Vector {
    type Error = String;

    fn try_from(raw: RawVector) -> Result<Self, String> {
        let RawVector { name, dialect, rules, level, role, socket, config, entropy, steps, notes } = raw;
        let step = |(at, step)| Step::read(dialect, step).map_err(|e| format!("{name}, step {at}: {e}"));
        let steps = steps.into_iter().enumerate().map(step).collect::<Result<_, _>>()?;
        Ok(Vector { name, dialect, rules, level, role, socket, config, entropy, steps, notes })
    }
}

impl Step {
    fn read(dialect: Dialect, raw: RawStep) -> Result<Self, String> {
        let mut all = Vec::new();
        all.extend(raw.at_ms.map(What::At));
        if let Some(text) = raw.r#in {
            all.push(What::In(Pattern::parse_in(dialect, &text)?));
        }
        match raw.eof {
            Some(true) => all.push(What::Eof),
            Some(false) => return Err("`eof` is true or absent".into()),
            None => {}
        }
        if let Some(call) = raw.call {
            let (name, arguments) = named(call)?;
            all.push(What::Call(name, arguments));
        }
        if let Some(text) = raw.out {
            all.push(What::Out(Pattern::parse_in(dialect, &text)?));
        }
        if let Some(event) = raw.event {
            let (name, members) = named(event)?;
            all.push(What::Event(name, members));
        }
        all.extend(raw.deadline.map(What::Deadline));
        all.extend(raw.fin.map(What::Fin));
        match <[What; 1]>::try_from(all) {
            Ok([what]) => Ok(Step { conn: raw.conn, what }),
            Err(_) => Err("a step is exactly one of at_ms, in, eof, call, out, event, deadline, fin".into()),
        }
    }
}

/// An object with one member: its name, and the object it holds.
pub(crate) fn named(object: Map<String, Value>) -> Result<(String, Map<String, Value>), String> {
    let mut members = object.into_iter();
    match (members.next(), members.next()) {
        (Some((name, Value::Object(inside))), None) => Ok((name, inside)),
        _ => Err("an object with one member that is an object was expected".into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorFile {
    #[serde(rename = "$schema", default)]
    _schema: String,
    vectors: Vec<Vector>,
}

/// Reads one file's text.
///
/// # Errors
/// [`LoadError`], naming `file` or the vector.
pub fn parse(file: &str, text: &str) -> Result<Vec<Vector>, LoadError> {
    let json = |error| LoadError::Json { file: file.to_owned(), error };
    let vectors = serde_json::from_str::<VectorFile>(text).map_err(json)?.vectors;
    vectors.iter().try_for_each(check)?;
    Ok(vectors)
}

/// The vectors that this crate carries.
///
/// # Errors
/// [`LoadError`]; a test makes sure that there is none.
pub fn builtin() -> Result<Vec<Vector>, LoadError> {
    let mut all = Vec::new();
    for (name, text) in FILES {
        all.extend(parse(name, text)?);
    }
    Ok(all)
}

/// The vectors of all files of a directory but `schema.json` and `uncovered.json`.
///
/// # Errors
/// [`LoadError`], naming the file.
pub fn from_directory(dir: &Path) -> Result<Vec<Vector>, LoadError> {
    let io = |file: &Path, error| LoadError::Io { file: file.display().to_string(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| io(dir, e))? {
        let path = entry.map_err(|e| io(dir, e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.ends_with(".json") && name != "schema.json" && name != "uncovered.json" {
            files.push((path, name));
        }
    }
    files.sort();
    let mut all = Vec::new();
    for (path, name) in files {
        all.extend(parse(&name, &std::fs::read_to_string(&path).map_err(|e| io(&path, e))?)?);
    }
    Ok(all)
}

/// What a schema cannot say.
fn check(vector: &Vector) -> Result<(), LoadError> {
    let wrong = |what: &str| Err(LoadError::Vector { vector: vector.name.clone(), what: what.to_owned() });
    if vector.rules.is_empty() {
        return wrong("it names no rule");
    }
    if !vector.steps.iter().any(|s| !s.what.is_input()) {
        return wrong("it expects nothing");
    }
    if vector.steps.first().is_some_and(|s| !s.what.is_input()) && vector.role != Role::Client {
        return wrong("its first step is not an input");
    }
    if vector.steps.iter().any(|s| s.conn.is_empty() == (vector.role == Role::Service)) {
        return wrong("the steps of a service name their connections, and no others do");
    }
    let mut time = 0;
    for step in &vector.steps {
        match &step.what {
            What::At(ms) if *ms < time => return wrong("time runs backwards"),
            What::At(ms) => time = *ms,
            What::Call(name, _) if vector.socket && !vector.dialect.own_calls().contains(&name.as_str()) => {
                return wrong("it calls what no socket can, but is marked as fit for one");
            }
            _ => {}
        }
    }
    let as_it_comes = Config { relay: vector.config.relay, ..Config::default() };
    if vector.socket && (vector.role == Role::Client || vector.config != as_it_comes) {
        return wrong("over a socket only a server as it comes, or one that relays, can be tried");
    }
    Ok(())
}

/// The rules that no vector covers, each with the reason.
///
/// # Errors
/// What is wrong with the file; a test makes sure that nothing is.
pub fn uncovered() -> Result<std::collections::BTreeMap<String, String>, serde_json::Error> {
    serde_json::from_str(UNCOVERED)
}
