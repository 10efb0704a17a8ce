//! `bowline pub|sub|req --mqtt`: with the flags of `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr`.
//!
//! They are command lines of their own: `-s`, `-c`, `-q` and others mean something else there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bowline_driver::mqtt::{Qos, Version};
use clap::Args;

use super::{Content, Endpoint, TlsArgs};
use crate::config::MQTT_PORT;
use crate::failure::Failure;
use crate::net::{MQTT_TLS_PORT, WEB_PORT, WEB_TLS_PORT};
use crate::text::parse_seconds;

const PUB_EXAMPLES: &str = "\
With quality 1 and 2 it waits until the server has acknowledged every message, over lost connections too.

Examples:
  bowline pub --mqtt -t demo/hello -m hi
  bowline pub --mqtt -h broker.example -u ann -P secret --insecure -t a -m b -q 2
  bowline pub --mqtt -L mqtt://ann:secret@localhost:1883/a -m b
  bowline pub --mqtt -t demo/door -r -m open           retained; -r -n clears it
  tail -f log | bowline pub --mqtt -t demo/log -l      each line a message
  bowline pub --mqtt ws://localhost:7790/mqtt -t a -m b   over a WebSocket
  bowline pub --mqtt -t a -m '{}' -D publish content-type application/json -D publish user-property k v";

const SUB_EXAMPLES: &str = "\
With -W it ends after that time with 27, as mosquitto_sub does.

-F: %t topic, %p payload, %x %X in hexadecimal digits, %l its length, %q quality, %r retained, %m packet id,
    %I time, %U seconds since 1970, %j JSON, %J JSON with the payload parsed, %C content type, %D correlation
    data, %E expiry, %F payload format, %P user properties, %R response topic, %S subscription identifiers,
    %A topic alias, %%; and \\\\ \\0 \\a \\e \\n \\r \\t \\v

Examples:
  bowline sub --mqtt -t 'demo/#' -v
  bowline sub --mqtt -L 'mqtt://localhost/demo/#'
  bowline sub --mqtt ws://localhost:7790/mqtt -t 'demo/#'   over a WebSocket
  bowline sub --mqtt -t 'demo/#' -C 1 -W 5 -F '%I %t %q %p'
  bowline sub --mqtt -c -i meter-log -q 1 -t 'meter/+'   what came meanwhile comes first
  bowline sub --mqtt -t 'old/#' --remove-retained --retained-only -W 2";

const REQ_EXAMPLES: &str = "\
Ends with 27 when no answer came in time, with 4 when the server says that nobody has subscribed.

Examples:
  bowline req --mqtt -t time -m ''
  bowline req --mqtt -t upper -e answers/me -m hello -W 2 -F '%t %p'";

/// What all three have.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct MqttArgs {
    /// The server's host
    #[arg(short = 'h', long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// The server's port
    #[arg(short, long, value_name = "PORT", default_value_t = MQTT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// The server's Unix socket
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port"])]
    pub(crate) unix: Option<PathBuf>,

    /// The server: ws://HOST:PORT/PATH for MQTT over a WebSocket, mqtt://HOST:PORT, unix:/PATH. It may also stand in
    /// the first place, without this flag
    #[arg(long, value_name = "URL", value_parser = server, conflicts_with_all = ["host", "port", "unix"])]
    pub(crate) server: Option<Endpoint>,

    /// User, password, host, port and topic in one: mqtt://USER:PASSWORD@HOST:PORT/TOPIC, all but host and topic
    /// if wanted; each is taken as it is written, without %-escapes. ws:// instead of mqtt:// is a WebSocket, at the
    /// path /mqtt
    #[arg(short = 'L', long, value_name = "URL", value_parser = MqttUrl::parse, conflicts_with_all = ["host", "port", "unix", "server", "username", "password"])]
    pub(crate) url: Option<MqttUrl>,

    /// Connect from this address of this machine
    #[arg(short = 'A', value_name = "ADDRESS", conflicts_with = "unix")]
    pub(crate) bind: Option<IpAddr>,

    /// Log in as this user [env: BOWLINE_USER]
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,

    /// The user's password; others can see it in the list of processes, so better use the variable
    /// [env: BOWLINE_PASSWORD]
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD")]
    pub(crate) password: Option<String>,

    /// Send the password or header readable over an unencrypted network
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Put this header field into the request for a WebSocket, `Origin: http://a.example` for one; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", allow_hyphen_values = true)]
    pub(crate) headers: Vec<String>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    /// The client identifier: the name of the session
    #[arg(short, long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Begin the client identifier so; the process's number follows
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub(crate) id_prefix: Option<String>,

    /// Seconds of silence after which a ping is due; 0: none
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keepalive: u16,

    /// The version: 5 or mqttv5, 311 or mqttv311
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5", value_parser = version)]
    pub(crate) protocol_version: Version,

    /// Go on with a session of this identifier, and leave it behind
    #[arg(short = 'c', long, requires = "id")]
    pub(crate) disable_clean_session: bool,

    /// Seconds that the session outlives the connection; -1: for ever
    #[arg(short = 'x', long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = expiry)]
    pub(crate) session_expiry_interval: Option<u32>,

    /// Add a property: COMMAND NAME VALUE, and for a user-property NAME and VALUE; COMMAND is connect,
    /// publish, subscribe or will
    #[arg(short = 'D', long = "property", value_name = "PROPERTY")]
    pub(crate) properties: Vec<String>,

    /// Where the server publishes a will when this client is lost
    #[arg(long, value_name = "TOPIC")]
    pub(crate) will_topic: Option<String>,

    /// What the will says
    #[arg(long, value_name = "PAYLOAD", requires = "will_topic", allow_hyphen_values = true)]
    pub(crate) will_payload: Option<String>,

    /// The will's quality
    #[arg(long, value_name = "QOS", requires = "will_topic", default_value = "0", value_parser = qos)]
    pub(crate) will_qos: Qos,

    /// Retain the will
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,

    /// Say on stderr what happens
    #[arg(short, long)]
    pub(crate) debug: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What `-L` says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MqttUrl {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) server: Endpoint,
    pub(crate) topic: String,
}

/// The path of a WebSocket where none is said: most brokers have it there.
const WEB_PATH: &str = "/mqtt";

impl MqttUrl {
    /// Reads it as `mosquitto_pub` does.
    fn parse(text: &str) -> Result<Self, String> {
        let (web, secured, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, false, rest),
            Some(("mqtts", rest)) => (false, true, rest),
            Some(("ws" | "mqtt+ws", rest)) => (true, false, rest),
            Some(("wss" | "mqtt+wss", rest)) => (true, true, rest),
            _ => return Err("it must begin with mqtt://, mqtts://, ws:// or wss://".to_owned()),
        };
        let (server, topic) = rest.split_once('/').unwrap_or((rest, ""));
        if topic.is_empty() {
            return Err("the topic is missing: mqtt://HOST/TOPIC".to_owned());
        }
        // A password may have an @ in it, a host has none.
        let (login, host) =
            server.rsplit_once('@').map_or((None, server), |(login, host)| (Some(login), host));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, password)) => (some(user), some(password)),
        };
        let port = match (web, secured) {
            (false, false) => MQTT_PORT,
            (false, true) => MQTT_TLS_PORT,
            (true, false) => WEB_PORT,
            (true, true) => WEB_TLS_PORT,
        };
        let Ok(Endpoint::Tcp { host, port }) = Endpoint::parse_with(host, port) else {
            return Err("it has no host, or the port is not a number from 1 to 65535".to_owned());
        };
        let server = if web {
            Endpoint::WebSocket { host, port, target: WEB_PATH.to_owned() }
        } else {
            Endpoint::Tcp { host, port }
        };
        let server = if secured { server.secured() } else { server };
        Ok(Self { user, password, server, topic: topic.to_owned() })
    }
}

impl fmt::Debug for MqttUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.server, self.topic)
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// What is published.
#[derive(Args, Clone, Debug)]
pub(crate) struct MqttContent {
    /// The topic
    #[arg(short, long, value_name = "TOPIC", required_unless_present = "url", conflicts_with = "url")]
    topic: Option<String>,

    /// The payload
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true, group = "content")]
    message: Option<String>,

    /// The contents of a file as payload
    #[arg(short, long, value_name = "FILE", group = "content")]
    file: Option<PathBuf>,

    /// All of standard input as payload
    #[arg(short, long, group = "content")]
    stdin_file: bool,

    /// An empty payload
    #[arg(short, long, group = "content")]
    null_message: bool,

    /// Quality: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub(crate) qos: Qos,

    /// Let the server retain it
    #[arg(short, long)]
    pub(crate) retain: bool,
}

impl MqttContent {
    /// The topic, which may stand in the URL.
    pub(crate) fn topic<'a>(&'a self, connect: &'a MqttArgs) -> &'a str {
        let url = connect.url.as_ref().map(|url| &url.topic);
        self.topic.as_ref().or(url).map_or("", String::as_str)
    }

    fn content(&self) -> Option<Content> {
        if let Some(text) = &self.message {
            return Some(Content::Text(text.clone()));
        }
        if let Some(file) = &self.file {
            return Some(Content::File(file.clone()));
        }
        if self.stdin_file {
            return Some(Content::Stdin);
        }
        self.null_message.then(|| Content::Text(String::new()))
    }

    /// What to publish, of what is one message.
    pub(crate) fn one(&self) -> Result<Content, Failure> {
        self.content().ok_or_else(|| Failure::usage("say what to publish: -m, -f, -s or -n"))
    }
}

/// `bowline pub --mqtt`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "bowline pub --mqtt [OPTIONS] --topic <TOPIC>", after_help = PUB_EXAMPLES)]
pub(crate) struct MqttPubArgs {
    #[command(flatten)]
    pub(crate) content: MqttContent,

    /// Publish each line of standard input as a message
    #[arg(short = 'l', long, group = "content")]
    stdin_line: bool,

    /// How often to publish it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,

    /// How long to wait between; a number alone means seconds
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, default_value = "0s")]
    pub(crate) repeat_delay: Duration,

    #[command(flatten)]
    pub(crate) connect: MqttArgs,
}

impl MqttPubArgs {
    /// What to publish.
    pub(crate) fn content(&self) -> Result<Content, Failure> {
        if self.stdin_line {
            return Ok(Content::Lines);
        }
        let none =
            || Failure::usage("say what to publish: -m, -f, -l (lines), -s (standard input) or -n (nothing)");
        self.content.content().ok_or_else(none)
    }
}

/// How messages are printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct MqttOutput {
    /// Print as this format says
    #[arg(short = 'F', value_name = "FORMAT", conflicts_with_all = ["verbose", "json"])]
    pub(crate) format: Option<String>,

    /// Print the topic as well
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) verbose: bool,

    /// Print a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Print no newline behind a payload
    #[arg(short = 'N')]
    pub(crate) no_newline: bool,
}

/// `bowline sub --mqtt`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "bowline sub --mqtt [OPTIONS] --topic <FILTER>", after_help = SUB_EXAMPLES)]
pub(crate) struct MqttSubArgs {
    /// A topic filter; may be repeated
    #[arg(short, long = "topic", value_name = "FILTER", required_unless_present_any = ["unsubscribe", "url"])]
    pub(crate) topics: Vec<String>,

    /// Leave out topics that match; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER")]
    pub(crate) filter_out: Vec<String>,

    /// Unsubscribe from this filter, which the session has from before; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER")]
    pub(crate) unsubscribe: Vec<String>,

    /// The highest quality: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub(crate) qos: Qos,

    /// End after so many messages
    #[arg(short = 'C', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after this long; a number alone means seconds
    #[arg(short = 'W', value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,

    /// End once the server has answered the subscription
    #[arg(short = 'E')]
    pub(crate) exit_after_subscribe: bool,

    /// Print no retained messages
    #[arg(short = 'R', conflicts_with = "retained_only")]
    pub(crate) no_retained: bool,

    /// Print retained messages alone, and end at the first that is not
    #[arg(long)]
    pub(crate) retained_only: bool,

    /// Clear each retained message that comes
    #[arg(long)]
    pub(crate) remove_retained: bool,

    /// Let also later messages say that they were published to be retained
    #[arg(long)]
    pub(crate) retain_as_published: bool,

    #[command(flatten)]
    pub(crate) output: MqttOutput,

    #[command(flatten)]
    pub(crate) connect: MqttArgs,
}

/// `bowline req --mqtt`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "bowline req --mqtt [OPTIONS] --topic <TOPIC>", after_help = REQ_EXAMPLES)]
pub(crate) struct MqttReqArgs {
    #[command(flatten)]
    pub(crate) content: MqttContent,

    /// Where the answer is to be published [default: a topic of this client's own]
    #[arg(short = 'e', long, value_name = "TOPIC")]
    pub(crate) response_topic: Option<String>,

    /// How long to wait for it; a number alone means seconds
    #[arg(short = 'W', value_name = "TIME", value_parser = parse_seconds, default_value = "5s")]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) output: MqttOutput,

    #[command(flatten)]
    pub(crate) connect: MqttArgs,
}

/// The server's address; a WebSocket without a path is at the usual one.
fn server(text: &str) -> Result<Endpoint, String> {
    let bare = text.split_once("://").is_none_or(|(_, rest)| !rest.contains(['/', '?', '#']));
    Ok(match Endpoint::parse_with(text, MQTT_PORT)? {
        Endpoint::WebSocket { host, port, .. } if bare => {
            Endpoint::WebSocket { host, port, target: WEB_PATH.to_owned() }
        }
        Endpoint::TlsWebSocket { host, port, .. } if bare => {
            Endpoint::TlsWebSocket { host, port, target: WEB_PATH.to_owned() }
        }
        Endpoint::Udp { .. } => return Err("MQTT does not go over UDP; mqtt:// or ws:// does it".to_owned()),
        other => other,
    })
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "5" | "mqttv5" => Ok(Version::V5),
        "311" | "mqttv311" => Ok(Version::V311),
        _ => Err("it must be 5, mqttv5, 311 or mqttv311".to_owned()),
    }
}

fn qos(text: &str) -> Result<Qos, String> {
    text.parse().ok().and_then(Qos::from_number).ok_or_else(|| "it must be 0, 1 or 2".to_owned())
}

fn expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "it must be a number of seconds, or -1".to_owned()),
    }
}
