//! What a vector's connections speak, and what the runners have to know about it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::call::{Call, prx1};
use crate::mqtt::statements;
use crate::vector::{JSON, PRX1, SPEC, WEB};

/// What is spoken on a vector's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our own protocol.
    #[default]
    Bowline,
    /// MQTT 3.1.1.
    Mqtt3,
    /// MQTT 5.0.
    Mqtt5,
    /// PRX1.
    Prx1,
    /// HTTP/1.1.
    Http,
    /// WebSocket, with what opens it.
    Websocket,
    /// Typed JSON, in a WebSocket or by requests.
    Json,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 7] = [
        Dialect::Bowline,
        Dialect::Mqtt3,
        Dialect::Mqtt5,
        Dialect::Prx1,
        Dialect::Http,
        Dialect::Websocket,
        Dialect::Json,
    ];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Bowline => "bowline",
            Dialect::Mqtt3 => "mqtt3",
            Dialect::Mqtt5 => "mqtt5",
            Dialect::Prx1 => "prx1",
            Dialect::Http => "http",
            Dialect::Websocket => "websocket",
            Dialect::Json => "json",
        }
    }

    /// As people call it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Dialect::Bowline => "our own",
            Dialect::Mqtt3 => "MQTT 3.1.1",
            Dialect::Mqtt5 => "MQTT 5.0",
            Dialect::Prx1 => "PRX1",
            Dialect::Http => "HTTP",
            Dialect::Websocket => "WebSocket",
            Dialect::Json => "typed JSON",
        }
    }

    /// The rules that its specification numbers, in its order.
    #[must_use]
    pub fn rules(self) -> Vec<&'static str> {
        match self {
            Dialect::Bowline => numbered(SPEC),
            Dialect::Mqtt3 | Dialect::Mqtt5 => statements::of(self).iter().map(|s| s.id.as_str()).collect(),
            Dialect::Prx1 => numbered(PRX1),
            Dialect::Http => numbered(WEB).into_iter().filter(|rule| rule.starts_with("HTP")).collect(),
            Dialect::Websocket => numbered(WEB).into_iter().filter(|rule| rule.starts_with("WS")).collect(),
            Dialect::Json => numbered(JSON),
        }
    }

    /// The protocol level of MQTT's CONNECT, where MQTT is spoken.
    #[must_use]
    pub const fn mqtt_version(self) -> Option<u8> {
        match self {
            Dialect::Mqtt3 => Some(4),
            Dialect::Mqtt5 => Some(5),
            Dialect::Bowline | Dialect::Prx1 | Dialect::Http | Dialect::Websocket | Dialect::Json => None,
        }
    }

    /// The calls that a server as it comes makes by itself, so that a vector with them can be tried
    /// over a socket.
    pub(crate) const fn own_calls(self) -> &'static [&'static str] {
        match self {
            Dialect::Bowline => &["welcome"],
            Dialect::Mqtt3 | Dialect::Mqtt5 | Dialect::Http | Dialect::Websocket | Dialect::Json => &[],
            Dialect::Prx1 => &["connack", "puback", "suback", "unsuback", "queue_ack", "publish"],
        }
    }

    /// Whether a call has a name and arguments that this dialect knows.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_call(self, name: &str, arguments: &Map<String, Value>) -> Result<(), String> {
        match self {
            Dialect::Bowline => Call::read(name, arguments).map(drop),
            // Its operator wants the server to go.
            Dialect::Mqtt3 | Dialect::Mqtt5 if name == "drain" => match arguments.get("endpoint") {
                Some(Value::String(_)) if arguments.len() == 1 => Ok(()),
                _ => Err("drain says where clients are to go, `endpoint`, and nothing else".to_owned()),
            },
            Dialect::Mqtt3 | Dialect::Mqtt5 | Dialect::Http | Dialect::Websocket | Dialect::Json => {
                Err(format!("{} has no call {name}", self.name()))
            }
            Dialect::Prx1 => prx1::Call::read(name, arguments).map(drop),
        }
    }

    /// Whether octets are written as lines of text, and compared as responses and frames.
    pub(crate) const fn is_web(self) -> bool {
        matches!(self, Dialect::Http | Dialect::Websocket | Dialect::Json)
    }

    /// Whether a connection that is open carries frames of WebSocket.
    pub(crate) const fn is_framed(self) -> bool {
        matches!(self, Dialect::Websocket | Dialect::Json)
    }

    /// What a client asks an open connection at last, and the answer that shows that nothing else
    /// was sent.
    pub(crate) const fn sentinel(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Dialect::Bowline => (b"\x14\x08sentinel", b"\x18\x08sentinel"),
            Dialect::Mqtt3 | Dialect::Mqtt5 | Dialect::Prx1 => (b"\xc0\x00", b"\xd0\x00"),
            // Of HTTP no connection is open: each request has its answer.
            Dialect::Http | Dialect::Websocket | Dialect::Json => (b"\x89\x80\0\0\0\0", b"\x8a\x00"),
        }
    }
}

/// The rules that a specification numbers: what stands in bold first in an item of a list.
fn numbered(spec: &'static str) -> Vec<&'static str> {
    spec.lines().filter_map(|line| Some(line.strip_prefix("- **")?.split_once("**")?.0)).collect()
}
