//! A page: typed JSON in a WebSocket, or by requests of HTTP.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::Value;

use super::world::{Tongue, World};
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::endpoint::server::Peer;
use crate::entropy::Seeded;
use crate::time::Instant;
use crate::websocket::{Carries, Client, Config, Event, WebSocket};

pub(super) struct Page {
    pub(super) layer: WebSocket<Client<Seeded>>,
    open: bool,
    /// What was agreed to of compression.
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<super::compression::Squeezed>,
}

impl Page {
    fn new(now: Instant) -> Self {
        let config = Config { max_message: 1 << 21, ping_interval: None, ..Config::default() };
        Self {
            layer: WebSocket::new(now, Client::new(Seeded::new(3)), Carries::Messages, &config),
            open: false,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    pub(super) fn say(&mut self, now: Instant, out: &mut SharedSendBuf, text: &str) {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &mut self.deflate {
            return deflate.send(now, &mut self.layer, out, text);
        }
        self.layer.send_text(now, out, text).unwrap();
    }

    /// What the server wrote becomes lines of the log; what is answered to it goes back.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        received: &mut GrowingRecvBuf,
        back: &mut GrowingRecvBuf,
        log: &mut Vec<String>,
    ) {
        if !self.open {
            let text = String::from_utf8_lossy(received.filled()).into_owned();
            let Some(end) = text.find("\r\n\r\n") else { return };
            received.take(end + 4);
            self.open = text.starts_with("HTTP/1.1 101 ");
            if !self.open {
                return log.push(text);
            }
            #[cfg(feature = "deflate")]
            self.agree(&text[..end]);
        }
        let mut out = SharedSendBuf::new(1 << 20);
        while let Some(event) = self.layer.recv(now, received, &mut out) {
            match event {
                #[cfg(feature = "deflate")]
                Event::Message(message) if message.compressed => {
                    log.push(self.deflate.as_mut().unwrap().inflate(message));
                }
                Event::Message(message) => log.push(message.text().unwrap().into()),
                Event::Closed(closed) => log.push(format!("close {} {}", closed.code, closed.reason)),
                _ => {}
            }
        }
        let _ = self.layer.poll_transmit(now, &mut out);
        back.push(&out.slices().collect::<Vec<_>>().concat());
    }
}

impl World {
    /// A connection that asks for `/ws`, with these fields beside.
    pub(super) fn open_page(&mut self, peer: Peer, fields: &str) -> usize {
        let page = Box::new(Page::new(self.now));
        #[cfg(feature = "deflate")]
        let offered = super::compression::offered();
        #[cfg(not(feature = "deflate"))]
        let offered = "";
        let i = self.open(peer, Tongue::Web(page));
        self.lines[i].out = SharedSendBuf::new(1 << 20);
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offered}{fields}\r\n"
        );
        self.octets(i, head.as_bytes());
        i
    }

    /// A page that was welcomed.
    pub(super) fn page(&mut self) -> (usize, Session) {
        let i = self.open_page(Peer::default(), "Sec-WebSocket-Protocol: bowline.json.v1\r\n");
        let told = self.told(i);
        assert_eq!(told.len(), 1, "{told:?}");
        (i, Session::of(&told[0]))
    }

    /// A page says something.
    pub(super) fn tell(&mut self, i: usize, text: &str) {
        let mut out = SharedSendBuf::new(1 << 21);
        let now = self.now;
        let Tongue::Web(page) = &mut self.lines[i].tongue else { panic!("it speaks another tongue") };
        page.say(now, &mut out, text);
        let octets = out.slices().collect::<Vec<_>>().concat();
        self.octets(i, &octets);
    }

    /// A frame that is no text, or the closing handshake.
    pub(super) fn with_layer(
        &mut self,
        i: usize,
        f: impl FnOnce(&mut WebSocket<Client<Seeded>>, Instant, &mut SharedSendBuf),
    ) {
        let mut out = SharedSendBuf::new(1 << 21);
        let now = self.now;
        let Tongue::Web(page) = &mut self.lines[i].tongue else { panic!("it speaks another tongue") };
        f(&mut page.layer, now, &mut out);
        let _ = page.layer.poll_transmit(now, &mut out);
        let octets = out.slices().collect::<Vec<_>>().concat();
        self.octets(i, &octets);
    }

    /// What a page was told since the last time; what is no JSON as a text.
    pub(super) fn told(&mut self, i: usize) -> Vec<Value> {
        let all = self.take(i);
        all.into_iter().map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))).collect()
    }

    /// A page asks something that has one answer.
    pub(super) fn ask(&mut self, i: usize, text: &str) -> Value {
        self.tell(i, text);
        let mut told = self.told(i);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        told.remove(0)
    }
}

/// What resumes a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) resumed: bool,
}

impl Session {
    /// From `$welcome`.
    pub(super) fn of(welcome: &Value) -> Self {
        assert_eq!(welcome["type"], "$welcome", "{welcome}");
        Self::of_payload(&welcome["payload"])
    }

    pub(super) fn of_payload(payload: &Value) -> Self {
        let text = |name: &str| payload[name].as_str().unwrap().to_string();
        let resumed = payload["resumed"].as_bool().unwrap();
        Self { id: text("session"), secret: text("secret"), resumed }
    }

    pub(super) fn auth(&self) -> String {
        format!(
            r#"{{"type":"$auth","id":"auth","payload":{{"session":"{}","secret":"{}"}}}}"#,
            self.id, self.secret
        )
    }
}

/// An envelope in short words: type, what it is about, and the payload.
pub(super) fn short(value: &Value) -> String {
    let Some(name) = value["type"].as_str() else { return value.to_string() };
    let mut text = String::from(name);
    for member in ["ref", "room", "offset"] {
        match &value[member] {
            Value::Null => {}
            Value::String(s) => text += &format!(" {member}={s}"),
            other => text += &format!(" {member}={other}"),
        }
    }
    if !matches!(value["kind"].as_str(), Some("event" | "system" | "error")) {
        text += &format!(" {}", value["kind"].as_str().unwrap_or("?"));
    }
    let payload = match name {
        "$error" => value["payload"]["code"].to_string(),
        _ => value["payload"].to_string(),
    };
    format!("{text} {payload}")
}

pub(super) fn shorts(values: &[Value]) -> Vec<String> {
    values.iter().map(short).collect()
}
