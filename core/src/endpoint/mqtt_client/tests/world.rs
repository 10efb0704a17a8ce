//! The harness: one server, clients, and the lines between them.

use core::time::Duration;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use super::super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::endpoint::carrier::tests::carrier;
use crate::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use crate::entropy::Seeded;
use crate::lifecycle::Transport;
use crate::mqtt::{Qos, Subscription as Filter};

const ROOM: usize = 1 << 20;

/// A client, and its line where it has one.
pub(super) struct Person {
    pub(super) client: Client,
    line: Option<Line>,
    /// Nothing can be opened.
    pub(super) cut_off: bool,
    /// All that happened, but messages.
    pub(super) events: Vec<ClientEvent>,
    /// Topic and payload, in order.
    pub(super) messages: Vec<(String, String)>,
    pub(super) raw: Vec<(Vec<SubscriptionId>, Message)>,
    /// Events are left where they are.
    pub(super) asleep: bool,
}

struct Line {
    key: ConnectionKey,
    up: SharedSendBuf,
    down: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) people: Vec<Person>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub(super) fn with(config: ServerConfig) -> Self {
        let server = Server::new(config, Box::new(Seeded::new(1)));
        Self { now: Instant::from_millis(1000), server, people: Vec::new() }
    }

    /// One more client; its place.
    pub(super) fn join(&mut self, config: ClientConfig) -> usize {
        let seed = self.people.len() as u64 + 7;
        let client = Client::new(self.now, config, Box::new(Seeded::new(seed)));
        self.people.push(Person {
            client,
            line: None,
            cut_off: false,
            events: Vec::new(),
            messages: Vec::new(),
            raw: Vec::new(),
            asleep: false,
        });
        self.people.len() - 1
    }

    pub(super) fn named(&mut self, id: &str) -> usize {
        let who = self.join(ClientConfig { client_id: id.into(), ..ClientConfig::default() });
        self.settle();
        who
    }

    /// Another server: it knows nothing of the old one.
    pub(super) fn replace_server(&mut self) {
        for who in 0..self.people.len() {
            self.cut(who);
        }
        self.server = Server::new(ServerConfig::default(), Box::new(Seeded::new(2)));
    }

    /// The line breaks, and both sides see it.
    pub(super) fn cut(&mut self, who: usize) {
        let person = &mut self.people[who];
        if let Some(line) = person.line.take() {
            person.client.handle_transport_gone(self.now);
            self.server.disconnect(self.now, line.key);
            person.take();
        }
    }

    /// Virtual time passes, and what is due in it happens.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let people = self.people.iter().filter_map(|p| p.client.poll_timeout());
            let lines = self.people.iter().filter_map(|p| self.server.poll_timeout(p.line.as_ref()?.key));
            let all = people.chain(lines).chain(self.server.poll_hub_timeout());
            let Some(at) = all.map(|d| d.at).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.server.handle_hub_timeout(self.now);
            for person in &mut self.people {
                person.client.handle_timeout(self.now);
                if let Some(line) = &person.line {
                    self.server.handle_timeout(self.now, line.key);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    /// Carries `n` octets each way, and lets everybody act.
    pub(super) fn step(&mut self, who: usize, n: usize) -> bool {
        let now = self.now;
        let person = &mut self.people[who];
        if person.line.is_none() {
            if person.cut_off {
                if person.client.poll_connect(now).is_some() {
                    person.client.handle_connect_failed(now);
                }
                person.take();
                return false;
            }
            if person.client.poll_connect(now).is_none() {
                person.take();
                return false;
            }
            let key = self.server.accept(now, Peer::default()).expect("there is room");
            person.line = Some(Line::new(key));
            person.client.handle_connected_over(now, &carrier());
        }
        let Some(line) = &mut person.line else { return false };
        let mut moved = carry(&mut line.up, &mut line.at_server, n);
        moved |= self.server.recv(now, line.key, &mut line.at_server, &mut line.down);
        let by_server = self.server.poll_transmit(now, line.key, &mut line.down);
        moved |= carry(&mut line.down, &mut line.at_client, n);
        if !line.at_client.filled().is_empty() {
            person.client.recv(now, &mut line.at_client);
        }
        person.take();
        let Some(line) = &mut person.line else { return false };
        let by_client = person.client.poll_transmit(now, &mut line.up);
        person.take();
        let gone = |owed| owed != Transport::Open;
        let Some(line) = &mut person.line else { return false };
        if (gone(by_client) && line.up.is_empty()) || (gone(by_server) && line.down.is_empty()) {
            carry(&mut line.up, &mut line.at_server, usize::MAX);
            self.server.recv(now, line.key, &mut line.at_server, &mut line.down);
            self.cut(who);
            return true;
        }
        moved || !line.up.is_empty() || !line.down.is_empty()
    }

    /// Until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for who in 0..self.people.len() {
                moved |= self.step(who, usize::MAX);
            }
            while self.server.poll_ready().is_some() {
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("it never settles");
    }

    pub(super) fn publish(&mut self, who: usize, topic: &str, payload: &str, qos: Qos) -> PublishId {
        let publish = Publish { qos, ..Publish::new(topic, payload.to_string()) };
        self.people[who].client.publish(self.now, publish).expect("there is room")
    }

    pub(super) fn subscribe(&mut self, who: usize, filter: &str, qos: Qos) -> SubscriptionId {
        let filters = [Filter::new(filter, qos)];
        self.people[who].client.subscribe(self.now, Subscribe::new(&filters)).expect("a good filter")
    }

    pub(super) fn payloads(&self, who: usize) -> Vec<&str> {
        self.people[who].messages.iter().map(|(_, payload)| payload.as_str()).collect()
    }
}

impl Person {
    fn take(&mut self) {
        while let Some(event) = (!self.asleep).then(|| self.client.poll_event()).flatten() {
            if let ClientEvent::Message { subscriptions, message } = event {
                let payload = String::from_utf8(message.payload().to_vec()).expect("text");
                self.messages.push((message.topic().into(), payload));
                self.raw.push((subscriptions, message));
            } else {
                self.events.push(event);
            }
        }
    }

    /// What became of a publish.
    pub(super) fn outcome(&self, id: PublishId) -> Option<ReasonCode> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::Published { publish, reason } if *publish == id => Some(*reason),
            _ => None,
        })
    }

    /// Whether sessions were present, connection by connection.
    pub(super) fn connections(&self) -> Vec<bool> {
        let connected = self.events.iter().filter_map(|event| match event {
            ClientEvent::Connected { session_present, .. } => Some(*session_present),
            _ => None,
        });
        connected.collect()
    }

    pub(super) fn closed(&self) -> Option<&Reason> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::Closed { reason, .. } => Some(reason),
            _ => None,
        })
    }
}

impl Line {
    fn new(key: ConnectionKey) -> Self {
        let (up, down) = (SharedSendBuf::new(ROOM), SharedSendBuf::new(ROOM));
        Self { key, up, down, at_server: GrowingRecvBuf::new(ROOM), at_client: GrowingRecvBuf::new(ROOM) }
    }
}

fn carry(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf, n: usize) -> bool {
    let octets: Vec<u8> = from.slices().flatten().copied().take(n).collect();
    from.sent(octets.len());
    assert_eq!(to.push(&octets), octets.len());
    !octets.is_empty()
}
