//! How messages and answers are printed.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::net::{Message, Reply};

/// A message as `sub` prints it. `received` is shown in JSON.
pub(super) fn message(format: Format, newline: bool, message: &Message, received: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.topic.len() + message.payload.len() + 2);
    match format {
        Format::Raw => out.extend_from_slice(&message.payload),
        Format::Text => {
            out.extend_from_slice(message.topic.as_bytes());
            out.push(b' ');
            out.extend_from_slice(&message.payload);
        }
        Format::Json => {
            let mut object = Map::new();
            object.insert("received".into(), json!(humantime::format_rfc3339_millis(received).to_string()));
            object.insert("topic".into(), json!(message.topic));
            object.insert("qos".into(), json!(u8::from(message.reliable)));
            object.insert("retain".into(), json!(u8::from(message.retain)));
            payload(&mut object, &message.payload);
            if let Some(topic) = &message.response_topic {
                object.insert("response_topic".into(), json!(topic));
            }
            if let Some(data) = &message.correlation {
                object.insert("correlation_base64".into(), json!(BASE64.encode(data)));
            }
            if let Some(content_type) = &message.content_type {
                object.insert("content_type".into(), json!(content_type));
            }
            if !message.properties.is_empty() {
                // A list of pairs: a name may come twice.
                object.insert("properties".into(), json!(message.properties));
            }
            out.extend_from_slice(Value::Object(object).to_string().as_bytes());
        }
    }
    // An object always has its line: without one nobody could tell where it ends.
    if newline || format == Format::Json {
        out.push(b'\n');
    }
    out
}

/// An answer as `req` prints it.
pub(super) fn reply(as_json: bool, newline: bool, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(reply.payload.len() + 1);
    if as_json {
        let mut object = Map::new();
        object.insert("status".into(), json!(reply.status.code()));
        payload(&mut object, &reply.payload);
        out.extend_from_slice(Value::Object(object).to_string().as_bytes());
    } else {
        out.extend_from_slice(&reply.payload);
    }
    if newline || as_json {
        out.push(b'\n');
    }
    out
}

/// Text as text, and anything else in base64 under a name that says so.
fn payload(object: &mut Map<String, Value>, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => object.insert("payload".into(), json!(text)),
        Err(_) => object.insert("payload_base64".into(), json!(BASE64.encode(payload))),
    };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bowline_core::status::Status;

    use super::*;

    fn hello(payload: &'static [u8]) -> Message {
        Message {
            topic: "demo/hello".into(),
            payload: payload.into(),
            reliable: true,
            retain: false,
            content_type: None,
            response_topic: None,
            correlation: None,
            properties: Vec::new(),
        }
    }

    fn printed(format: Format, newline: bool, message: &Message) -> String {
        let received = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        String::from_utf8_lossy(&super::message(format, newline, message, received)).into_owned()
    }

    #[test]
    fn raw_is_the_payload() {
        assert_eq!(printed(Format::Raw, true, &hello(b"hi")), "hi\n");
        assert_eq!(printed(Format::Raw, false, &hello(b"hi")), "hi");
        assert_eq!(printed(Format::Raw, true, &hello(b"")), "\n");
    }

    #[test]
    fn text_has_the_topic_in_front() {
        assert_eq!(printed(Format::Text, true, &hello(b"hi")), "demo/hello hi\n");
        assert_eq!(printed(Format::Text, false, &hello(b"hi")), "demo/hello hi");
    }

    #[test]
    fn json_is_one_line_whatever_the_payload() {
        let line = r#"{"payload":"a\nb","qos":1,"received":"2023-11-14T22:13:20.123Z","retain":0,"topic":"demo/hello"}"#;
        assert_eq!(printed(Format::Json, false, &hello(b"a\nb")), format!("{line}\n"));
    }

    #[test]
    fn json_has_what_is_no_text_in_base64() {
        let message = Message {
            retain: true,
            content_type: Some("image/png".into()),
            response_topic: Some("a/b".into()),
            correlation: Some(vec![0, 255]),
            properties: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..hello(b"\xff\x00")
        };
        let line = r#"{"content_type":"image/png","correlation_base64":"AP8=","payload_base64":"/wA=","properties":[["a","1"],["a","2"]],"qos":1,"received":"2023-11-14T22:13:20.123Z","response_topic":"a/b","retain":1,"topic":"demo/hello"}"#;
        assert_eq!(printed(Format::Json, true, &message), format!("{line}\n"));
    }

    #[test]
    fn answers_are_printed_likewise() {
        let answer = Reply { status: Status::Other(64), more: false, payload: "no".into() };
        assert_eq!(reply(false, true, &answer), b"no\n");
        assert_eq!(reply(false, false, &answer), b"no");
        assert_eq!(reply(true, false, &answer), b"{\"payload\":\"no\",\"status\":64}\n");
    }
}
