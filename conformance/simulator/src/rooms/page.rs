//! A member as a page is one: typed JSON over WebSocket, joined again from the last message, what was
//! not acknowledged sent again under its key.

use std::collections::VecDeque;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::http::client::ResponseHead;
use bowline_core::lifecycle::Transport;
use bowline_core::time::Instant;
use bowline_core::websocket::handshake::{Opened, Opening};
use bowline_core::websocket::{Carries, Client, Config, Event, WebSocket};
use serde_json::{Value, json};

use super::oracle::Told;
use super::own::number_of;
use super::plan::ROOM;
use crate::mutant::Mutant;

const OPENING: Opening<'_> =
    Opening { host: "h", target: "/ws", protocols: "bowline.json.v1", extensions: "", headers: &[] };

/// So many messages may wait to be acknowledged: fewer than a hub knows the keys of.
const OPEN: usize = 50;

pub(super) struct Page {
    seed: u64,
    opened: Option<Opened>,
    layer: Option<WebSocket<Client<Seeded>>>,
    /// Who resumes the session.
    session: Option<(String, String)>,
    wants: bool,
    /// It was welcomed on this connection, as who it is.
    ready: bool,
    /// Which `$join` counts.
    joins: u64,
    /// `$join` was answered on this connection.
    joined: bool,
    epoch: String,
    offset: Option<u64>,
    /// What came before `$joined`.
    held: Vec<(u64, u64)>,
    /// What is not acknowledged: number, envelope.
    open: VecDeque<(u64, Value)>,
    told: Vec<Told>,
    pub(super) over: bool,
    tries: u64,
    pub(super) mutant: Option<Mutant>,
}

impl Page {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            opened: None,
            layer: None,
            session: None,
            wants: false,
            ready: false,
            joins: 0,
            joined: false,
            epoch: String::new(),
            offset: None,
            held: Vec::new(),
            open: VecDeque::new(),
            told: Vec::new(),
            over: false,
            tries: 0,
            mutant: None,
        }
    }

    /// The transport stands: asks for a WebSocket.
    pub(super) fn connected(&mut self, out: &mut SharedSendBuf) {
        self.tries += 1;
        let mut entropy = Seeded::new(self.seed ^ self.tries << 32);
        self.opened = OPENING.put(&mut entropy, out).ok();
        (self.ready, self.joined, self.over) = (false, false, false);
        self.held.clear();
    }

    pub(super) fn gone(&mut self) {
        (self.opened, self.layer, self.ready, self.joined) = (None, None, false, false);
        self.over = false;
    }

    pub(super) fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf, out: &mut SharedSendBuf) {
        if let Some(opened) = &self.opened {
            let Some(end) = buf.filled().windows(4).position(|w| w == b"\r\n\r\n") else { return };
            let head = ResponseHead::parse(&buf.filled()[..end + 4]);
            let answer = head.map(|head| opened.check(&OPENING, &head).is_ok());
            self.opened = None;
            if answer != Ok(true) {
                self.over = true;
                return;
            }
            buf.take(end + 4);
            let role = Client::new(Seeded::new(self.seed ^ self.tries));
            self.layer = Some(WebSocket::new(now, role, Carries::Messages, &Config::default()));
        }
        let Some(mut layer) = self.layer.take() else { return };
        while let Some(event) = layer.recv(now, buf, out) {
            let text = match event {
                Event::Message(message) => message.text().unwrap_or_default().to_owned(),
                Event::Closed(_) => break,
                _ => continue,
            };
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            for answer in self.on_envelope(&value) {
                let _ = layer.send_text(now, out, &answer.to_string());
            }
        }
        self.layer = Some(layer);
    }

    /// Takes an envelope; gives what it says to that.
    fn on_envelope(&mut self, e: &Value) -> Vec<Value> {
        let p = &e["payload"];
        match (e["type"].as_str().unwrap_or_default(), e["kind"].as_str().unwrap_or_default()) {
            ("$welcome", _) => self.welcomed(e),
            ("$joined", _) if e["ref"] == format!("j{}", self.joins) => self.on_joined(p),
            // What came of a joining that does not count any more comes again.
            ("$joined" | "$ok", _) => {
                self.held.clear();
                Vec::new()
            }
            ("$ack", _) => {
                let place = p["offset"].as_u64().map(|offset| (epoch_of(&p["epoch"]), offset));
                self.done(e).into_iter().for_each(|number| self.told.push(Told::Accepted { number, place }));
                Vec::new()
            }
            ("$error", _) => {
                self.done(e).into_iter().for_each(|number| self.told.push(Told::Refused { number }));
                Vec::new()
            }
            ("$presence", _) => {
                self.on_presence(p);
                Vec::new()
            }
            (_, "history" | "event") if e["room"] == ROOM => {
                let (offset, number) = (e["offset"].as_u64().unwrap_or(0), number_of(&p.to_string()));
                match (self.joined, e["kind"] == "history") {
                    (true, _) => self.message(&e["epoch"], offset, number),
                    (false, true) => self.held.push((offset, number)),
                    // It comes again with what is read back.
                    (false, false) => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn welcomed(&mut self, e: &Value) -> Vec<Value> {
        let p = &e["payload"];
        let own = |name: &str| p[name].as_str().unwrap_or_default().to_owned();
        let answers = e["ref"] == "auth";
        if let Some((session, secret)) = self.session.as_ref().filter(|_| !answers) {
            let payload = json!({ "session": session, "secret": secret });
            return vec![json!({ "type": "$auth", "id": "auth", "payload": payload })];
        }
        if self.session.is_some() && p["resumed"] != true {
            self.told.push(Told::Lost);
        }
        self.session = Some((own("session"), own("secret")));
        self.ready = true;
        self.wants.then(|| self.join()).into_iter().collect()
    }

    fn join(&mut self) -> Value {
        self.held.clear();
        self.joined = false;
        self.joins += 1;
        let mut payload = json!({ "history": 10, "presence": "full" });
        if let Some(offset) = self.offset {
            payload["since"] = json!({ "epoch": self.epoch, "offset": offset });
        }
        json!({ "type": "$join", "id": format!("j{}", self.joins), "room": ROOM, "payload": payload })
    }

    fn on_joined(&mut self, p: &Value) -> Vec<Value> {
        let recovered = p["recovered"] == true;
        let offset = p["offset"].as_u64().unwrap_or(0);
        self.joined = true;
        self.epoch = p["epoch"].as_str().unwrap_or_default().to_owned();
        if !recovered {
            self.offset = None;
        }
        let member = p["member"].as_str().unwrap_or_default().to_owned();
        self.told.push(Told::Joined { place: (epoch_of(&p["epoch"]), offset), recovered, member });
        let mut held = std::mem::take(&mut self.held);
        if self.mutant == Some(Mutant::LoseHistory) && recovered {
            held.pop();
        }
        for (offset, number) in held {
            self.message(&p["epoch"], offset, number);
        }
        self.offset = Some(self.offset.unwrap_or(0).max(offset));
        self.on_presence(p);
        // What is not acknowledged may not have come.
        let mut again: Vec<Value> = self.open.iter().map(|(_, envelope)| envelope.clone()).collect();
        if self.mutant == Some(Mutant::ForgetKey) {
            for (i, envelope) in again.iter_mut().enumerate() {
                envelope["key"] = json!(format!("another {} {i}", self.tries));
                envelope["id"] =
                    json!(format!("{}#{}", envelope["id"].as_str().unwrap_or_default(), self.tries));
            }
        }
        again
    }

    fn message(&mut self, epoch: &Value, offset: u64, number: u64) {
        let missed = self.offset.map_or(0, |last| offset.saturating_sub(last + 1));
        self.offset = Some(offset);
        self.told.push(Told::Message { place: (epoch_of(epoch), offset), number, missed });
    }

    fn on_presence(&mut self, p: &Value) {
        let name = |m: &Value| m["member"].as_str().unwrap_or_default().to_owned();
        let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
        if p["members"].is_array() {
            self.told.push(Told::Members(list(&p["members"]).iter().map(name).collect()));
            return;
        }
        for gone in list(&p["left"]) {
            self.told.push(Told::Went(gone.as_str().unwrap_or_default().to_owned()));
        }
        self.told.extend(list(&p["joined"]).iter().map(|m| Told::Came(name(m))));
    }

    /// The number that an answer is about.
    fn done(&mut self, e: &Value) -> Option<u64> {
        let number = e["ref"].as_str()?.split('#').next()?.parse().ok()?;
        let at = self.open.iter().position(|(of, _)| *of == number)?;
        self.open.remove(at);
        Some(number)
    }

    /// Sends something of its own accord, where it can.
    fn say(&mut self, now: Instant, out: &mut SharedSendBuf, value: &Value) {
        if let Some(layer) = &mut self.layer {
            let _ = layer.send_text(now, out, &value.to_string());
        }
    }

    pub(super) fn want(&mut self, now: Instant, wants: bool, out: Option<&mut SharedSendBuf>) {
        if self.wants == wants {
            return;
        }
        self.wants = wants;
        self.joined = false;
        if !self.ready {
            return;
        }
        let value = match wants {
            true => self.join(),
            false => json!({ "type": "$leave", "id": "leave", "room": ROOM }),
        };
        if let Some(out) = out {
            self.say(now, out, &value);
        }
    }

    pub(super) fn send(&mut self, now: Instant, number: u64, payload: &str, out: &mut SharedSendBuf) -> bool {
        if !self.joined || self.open.len() >= OPEN {
            return false;
        }
        let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
        let id = number.to_string();
        let envelope = json!({ "type": "m", "room": ROOM, "id": id, "key": format!("{}.{id}", self.seed), "payload": payload });
        self.say(now, out, &envelope);
        self.open.push_back((number, envelope));
        true
    }

    pub(super) const fn is_in(&self) -> bool {
        self.joined
    }

    pub(super) fn take(&mut self, told: &mut Vec<Told>) {
        told.append(&mut self.told);
    }

    pub(super) fn transmit(&mut self, now: Instant, out: &mut SharedSendBuf) -> Transport {
        match &mut self.layer {
            _ if self.over => Transport::Drop,
            Some(layer) => layer.poll_transmit(now, out),
            None => Transport::Open,
        }
    }

    pub(super) fn layer(&mut self) -> Option<&mut WebSocket<Client<Seeded>>> {
        self.layer.as_mut()
    }

    pub(super) fn wake(&self) -> Option<u64> {
        self.layer.as_ref()?.poll_timeout().map(|d| d.at.as_nanos())
    }
}

/// An epoch as a number.
fn epoch_of(value: &Value) -> u64 {
    value.as_str().and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0)
}
