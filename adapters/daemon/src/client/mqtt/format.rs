//! How messages are printed: the payload, with the topic, as JSON, or as `-F` says.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bowline_driver::mqtt::{Message, Property};
use serde_json::{Map, Value, json};

use crate::cli::MqttOutput;
use crate::failure::Failure;

/// A way to print.
#[derive(Debug)]
pub(super) enum Format {
    Payload { topic: bool, newline: bool },
    Json,
    Custom { text: String, newline: bool },
}

impl Format {
    pub(super) fn new(output: &MqttOutput) -> Result<Self, Failure> {
        let newline = !output.no_newline;
        if output.json {
            return Ok(Self::Json);
        }
        let Some(text) = &output.format else { return Ok(Self::Payload { topic: output.verbose, newline }) };
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let known = match c {
                '%' => "%ACDEFIJPRSUXjlmpqrtx",
                '\\' => "\\0aenrtv",
                '@' => "@",
                _ => continue,
            };
            match rest.next() {
                Some(next) if known.contains(next) => {}
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(Failure::usage(format!(
                        "-F: {c}{next} is not known; see bowline sub --mqtt --help"
                    )));
                }
            }
        }
        Ok(Self::Custom { text: text.clone(), newline })
    }

    pub(super) fn print(&self, message: &Message, now: SystemTime) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.topic().len() + message.payload().len() + 2);
        let newline = match self {
            Self::Payload { topic, newline } => {
                if *topic {
                    out.extend_from_slice(message.topic().as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(message.payload());
                *newline
            }
            Self::Json => {
                out.extend_from_slice(own_json(message, now).to_string().as_bytes());
                true
            }
            Self::Custom { text, newline } => {
                custom(text, message, now, &mut out);
                *newline
            }
        };
        if newline {
            out.push(b'\n');
        }
        out
    }
}

fn custom(text: &str, message: &Message, now: SystemTime, out: &mut Vec<u8>) {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let next = if matches!(c, '%' | '\\' | '@') { rest.next() } else { None };
        match (c, next) {
            ('%', Some('p')) => out.extend_from_slice(message.payload()),
            ('%', Some(next)) => out.extend_from_slice(&field(next, message, now)),
            ('\\', Some(next)) => out.push(match next {
                '0' => 0,
                'a' => 7,
                'e' => 27,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                _ => b'\\',
            }),
            (other, _) => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// What stands for `%` and a letter.
fn field(letter: char, message: &Message, now: SystemTime) -> Vec<u8> {
    let hex = |upper: bool| {
        let digits = message.payload().iter();
        digits.map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect::<String>()
    };
    let text = match letter {
        '%' => "%".to_owned(),
        't' => message.topic().to_owned(),
        'x' => hex(false),
        'X' => hex(true),
        'l' => message.payload().len().to_string(),
        'q' => message.qos().number().to_string(),
        'r' => u8::from(message.is_retained()).to_string(),
        'm' => message.packet_id().to_string(),
        'I' => humantime::format_rfc3339_seconds(now).to_string(),
        'U' => {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
        }
        'j' => their_json(message, now, false).to_string(),
        'J' => their_json(message, now, true).to_string(),
        'P' => {
            let all = message.properties();
            all.user().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(" ")
        }
        'S' => {
            let all = message.properties();
            let ids = all.iter().filter_map(|property| match property {
                Property::SubscriptionIdentifier(id) => Some(id.to_string()),
                _ => None,
            });
            ids.collect::<Vec<_>>().join(",")
        }
        other => return property(other, message),
    };
    text.into_bytes()
}

/// The property that a letter names; nothing where there is none.
fn property(letter: char, message: &Message) -> Vec<u8> {
    let all = message.properties();
    let found = all.iter().find_map(|property| match (letter, property) {
        ('C', Property::ContentType(text)) | ('R', Property::ResponseTopic(text)) => Some(text.into()),
        ('D', Property::CorrelationData(data)) => Some(data.to_vec()),
        ('E', Property::MessageExpiry(seconds)) => Some(seconds.to_string().into_bytes()),
        ('F', Property::PayloadFormat(text)) => Some(u8::from(text).to_string().into_bytes()),
        ('A', Property::TopicAlias(alias)) => Some(alias.to_string().into_bytes()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// As `sub --json` of our own protocol has it.
fn own_json(message: &Message, now: SystemTime) -> Value {
    let mut object = Map::new();
    object.insert("received".into(), json!(humantime::format_rfc3339_millis(now).to_string()));
    object.insert("topic".into(), json!(message.topic()));
    object.insert("qos".into(), json!(message.qos().number()));
    object.insert("retain".into(), json!(u8::from(message.is_retained())));
    match std::str::from_utf8(message.payload()) {
        Ok(text) => object.insert("payload".into(), json!(text)),
        Err(_) => object.insert("payload_base64".into(), json!(BASE64.encode(message.payload()))),
    };
    let all = message.properties();
    for property in all.iter() {
        match property {
            Property::ContentType(text) => object.insert("content_type".into(), json!(text)),
            Property::ResponseTopic(topic) => object.insert("response_topic".into(), json!(topic)),
            Property::CorrelationData(data) => {
                object.insert("correlation_base64".into(), json!(BASE64.encode(data)))
            }
            _ => None,
        };
    }
    let user: Vec<_> = all.user().collect();
    if !user.is_empty() {
        object.insert("properties".into(), json!(user));
    }
    Value::Object(object)
}

/// As `mosquitto_sub -F %j` has it; parsed, as `%J`.
fn their_json(message: &Message, now: SystemTime, parsed: bool) -> Value {
    let text = String::from_utf8_lossy(message.payload());
    let payload = if parsed { serde_json::from_str(&text).unwrap_or(Value::Null) } else { json!(text) };
    let mut object = Map::new();
    object.insert("tst".into(), json!(humantime::format_rfc3339_micros(now).to_string()));
    object.insert("topic".into(), json!(message.topic()));
    object.insert("qos".into(), json!(message.qos().number()));
    object.insert("retain".into(), json!(u8::from(message.is_retained())));
    object.insert("payloadlen".into(), json!(message.payload().len()));
    if message.packet_id() > 0 {
        object.insert("mid".into(), json!(message.packet_id()));
    }
    object.insert("payload".into(), payload);
    Value::Object(object)
}
