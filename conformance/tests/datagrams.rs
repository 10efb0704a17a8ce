//! Vectors of datagram sessions (SPEC §11), lived by the endpoint of the core on virtual time.
//!
//! `conformance/datagrams/vectors.json` is a list of stories. Each has scripted entropy, in hexadecimal: `wire` for
//! connection ids, `secret` for the rest. Steps are in order: `call` (`connect`, `write`, `message`, `close`), `in`, a
//! datagram that comes from the peer, `ecn`, what the IP headers of such say from there on, `at_ms`, time goes on to
//! there, and `out`, the next datagram that goes to the peer: `..` at its end stands for zeros to 1,200 octets, and
//! `marked` is what its IP header says. `event` is what the application is told, `dropped` why the last datagram was
//! as if it had not come. What goes out or is told otherwise fails.

use std::collections::VecDeque;

use bowline_core::datagram::{Config, Delivery, DropReason, Ecn, Endpoint, Event, Security, SessionKey};
use bowline_core::entropy::Scripted;
use bowline_core::time::Instant;
use serde_json::Value;

const VECTORS: &str = include_str!("../datagrams/vectors.json");
const PEER: &str = "192.0.2.1:7790";

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |d: u8| (d as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A datagram as vectors write it.
fn datagram(text: &str) -> Vec<u8> {
    let mut all = octets(text);
    if text.ends_with("..") {
        all.resize(1200, 0);
    }
    all
}

fn codepoint(name: &Value) -> Ecn {
    let all = [(Ecn::NotEct, "Not-ECT"), (Ecn::Ect1, "ECT(1)"), (Ecn::Ect0, "ECT(0)"), (Ecn::Ce, "CE")];
    all.into_iter().find(|(_, known)| name == known).expect("a codepoint").0
}

fn written(datagram: &[u8]) -> String {
    let end = if datagram.len() == 1200 {
        datagram.iter().rposition(|o| *o != 0).map_or(0, |at| at + 1)
    } else {
        datagram.len()
    };
    let hex: String = datagram[..end].iter().map(|octet| format!("{octet:02x}")).collect();
    if end < datagram.len() { hex + ".." } else { hex }
}

struct Story {
    endpoint: Endpoint,
    now: u64,
    session: Option<SessionKey>,
    out: VecDeque<(Ecn, Vec<u8>)>,
    /// What the IP header of the last that went out says.
    marked: Ecn,
    events: VecDeque<String>,
    /// What the IP headers of datagrams that come say.
    ecn: Ecn,
    dropped: [u64; 8],
}

impl Story {
    fn new(vector: &Value) -> Self {
        let script =
            |name: &str| -> &'static [u8] { octets(vector["entropy"][name].as_str().unwrap_or("")).leak() };
        // Before what a story says come the 32 octets that seed the endpoint's tables.
        let secret: &'static [u8] = [vec![0; 32], script("secret").to_vec()].concat().leak();
        let mut config = Config::new(Security::Insecure);
        config.max_datagram = 1200;
        let accepting = vector["role"] == "server";
        let endpoint = Endpoint::new(config, Scripted::new(script("wire"), secret), accepting);
        Self {
            endpoint,
            now: 0,
            session: None,
            out: VecDeque::new(),
            marked: Ecn::NotEct,
            events: VecDeque::new(),
            ecn: Ecn::NotEct,
            dropped: [0; 8],
        }
    }

    fn settle(&mut self) {
        let now = Instant::from_millis(self.now);
        if self.endpoint.poll_timeout().is_some_and(|due| due.at <= now) {
            self.endpoint.handle_timeout(now);
        }
        let mut buffer = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut buffer, 8) {
            self.out
                .extend(buffer.chunks(transmit.segment).map(|datagram| (transmit.ecn, datagram.to_vec())));
        }
        while let Some(event) = self.endpoint.poll_event() {
            let told = match event {
                Event::Connected(key) | Event::Accepted(key) => {
                    self.session = Some(key);
                    "open".into()
                }
                Event::Readable(key) => {
                    let mut to = [0; 1500];
                    match self.endpoint.read(key, &mut to) {
                        Some(Ok(0)) => "end of the stream".into(),
                        Some(Ok(n)) => format!("stream {}", String::from_utf8_lossy(&to[..n])),
                        other => format!("{other:?}"),
                    }
                }
                Event::Message(key) => {
                    let mut message = Vec::new();
                    let Some(delivery) = self.endpoint.recv_message(key, &mut message) else { continue };
                    let text = String::from_utf8_lossy(&message);
                    match delivery {
                        Delivery::Unreliable => format!("unreliable {text}"),
                        Delivery::Sequenced { key } => format!("sequenced {key} {text}"),
                    }
                }
                Event::Ended(key) => self.endpoint.ended(key).map(ToString::to_string).unwrap_or_default(),
                other => format!("{other:?}"),
            };
            self.events.push_back(told);
        }
    }

    fn call(&mut self, call: &Value) {
        let now = Instant::from_millis(self.now);
        let text = |value: &Value| value.as_str().expect("a text").as_bytes().to_vec();
        if call == "connect" {
            self.session = Some(self.endpoint.connect(now, PEER.parse().expect("an address")).expect("room"));
            return;
        }
        let key = self.session.expect("a session");
        if let Some(write) = call.get("write") {
            self.endpoint.write(key, &text(write)).expect("open");
        } else if let Some(message) = call.get("unreliable") {
            self.endpoint.send_message(key, Delivery::Unreliable, &text(message)).expect("open");
        } else if let Some([channel, message]) =
            call.get("sequenced").and_then(|v| v.as_array()?.first_chunk())
        {
            let key_of = channel.as_u64().expect("a channel");
            self.endpoint
                .send_message(key, Delivery::Sequenced { key: key_of }, &text(message))
                .expect("open");
        } else if let Some(code) = call.get("close") {
            self.endpoint.close(now, key, code.as_u64().expect("a code"), "");
        } else {
            panic!("no such call: {call}");
        }
    }

    fn step(&mut self, step: &Value) {
        let (what, value) = step.as_object().and_then(|o| o.iter().next()).expect("a step");
        match what.as_str() {
            "call" => self.call(value),
            "ecn" => self.ecn = codepoint(value),
            "at_ms" => self.now = value.as_u64().expect("a time"),
            "in" => {
                self.dropped = self.endpoint.counters().dropped;
                let now = Instant::from_millis(self.now);
                let octets = datagram(value.as_str().expect("octets"));
                self.endpoint.handle_datagram(now, PEER.parse().expect("an address"), self.ecn, &octets);
            }
            "out" => {
                let (ecn, out) = self.out.pop_front().expect("a datagram");
                self.marked = ecn;
                assert_eq!(written(&out), written(&datagram(value.as_str().expect("octets"))));
                return;
            }
            "marked" => return assert_eq!(self.marked, codepoint(value)),
            "event" => {
                assert_eq!(self.events.pop_front().as_deref(), value.as_str());
                return;
            }
            "dropped" => {
                let now = self.endpoint.counters().dropped;
                let why: Vec<&str> = DropReason::ALL
                    .into_iter()
                    .zip(now.iter().zip(&self.dropped))
                    .filter(|(_, (now, before))| now > before)
                    .map(|(why, _)| why.name())
                    .collect();
                assert_eq!(why, [value.as_str().expect("a reason")]);
                return;
            }
            other => panic!("no such step: {other}"),
        }
        self.settle();
    }
}

#[test]
fn the_endpoint_lives_the_stories() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let known = include_str!("../SPEC.md");
    let mut rules = std::collections::BTreeSet::new();
    for vector in vectors.as_array().expect("a list") {
        let name = vector["name"].as_str().expect("a name");
        for rule in vector["rules"].as_array().expect("rules") {
            let rule = rule.as_str().expect("a rule");
            assert!(known.contains(&format!("**{rule}**")), "{name}: {rule} is no rule");
            rules.insert(rule.to_owned());
        }
        let mut story = Story::new(vector);
        let steps = vector["steps"].as_array().expect("steps");
        for step in steps {
            story.step(step);
        }
        assert!(
            story.out.is_empty() && story.events.is_empty(),
            "{name}: {:?} {:?}",
            story.out.iter().map(|(_, o)| written(o)).collect::<Vec<_>>(),
            story.events
        );
    }
    assert!(rules.len() >= 12, "{rules:?}");
}
