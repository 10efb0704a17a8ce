//! Payloads that are compressed (SPEC §5.8): between clients that agree on a codec, and for those who do not.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use crate::buf::{GrowingRecvBuf, SharedSendBuf};
use crate::compression::{Codec, Codecs, Encoding};
use crate::endpoint::client::{
    Client, ClientConfig, ClientEvent, Compression, Publish, Reply, Request, SubscribeOptions, SubscriptionId,
};
use crate::endpoint::mqtt_client;
use crate::endpoint::server::{ConnectionKey, LocalEvent, Peer, Server, ServerConfig};
use crate::entropy::{Entropy as _, Seeded};
use crate::hub::RequestOptions;
use crate::mqtt::Qos;
use crate::session::{Code, Properties, Property};
use crate::status::Status;
use crate::time::Instant;

const NOW: Instant = Instant::from_millis(1);

fn text() -> String {
    "again and again ".repeat(200)
}

fn with(codecs: &[Codec]) -> ClientConfig {
    let compression = Some(Compression { codecs: codecs.to_vec(), ..Compression::default() });
    ClientConfig { compression, ..ClientConfig::default() }
}

enum Kind {
    Own(Box<Client>),
    Mqtt(Box<mqtt_client::Client>),
}

struct Line {
    key: ConnectionKey,
    kind: Kind,
    up: SharedSendBuf,
    down: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    /// Octets from the client, and to it.
    octets: (usize, usize),
    heard: Vec<String>,
}

struct World {
    server: Server,
    lines: Vec<Line>,
}

fn show(payload: &[u8]) -> String {
    format!("{} of {:?}", payload.len(), String::from_utf8_lossy(&payload[..payload.len().min(8)]))
}

impl World {
    fn new(config: ServerConfig) -> Self {
        Self { server: Server::new(config, Box::new(Seeded::new(1))), lines: Vec::new() }
    }

    fn line(&mut self, kind: Kind) -> usize {
        let key = self.server.accept(NOW, Peer::default()).unwrap();
        let out = || SharedSendBuf::new(32 << 20);
        let buf = || GrowingRecvBuf::new(32 << 20);
        let (up, down, at_server, at_client) = (out(), out(), buf(), buf());
        self.lines.push(Line {
            key,
            kind,
            up,
            down,
            at_server,
            at_client,
            octets: (0, 0),
            heard: Vec::new(),
        });
        self.run();
        self.lines.len() - 1
    }

    fn own(&mut self, config: ClientConfig) -> usize {
        let mut client = Client::new(NOW, config, Box::new(Seeded::new(7)));
        client.poll_connect(NOW).unwrap();
        client.handle_connected(NOW);
        self.line(Kind::Own(Box::new(client)))
    }

    fn mqtt(&mut self) -> usize {
        let config = mqtt_client::ClientConfig::default();
        let mut client = mqtt_client::Client::new(NOW, config, Box::new(Seeded::new(8)));
        client.poll_connect(NOW).unwrap();
        client.handle_connected(NOW);
        self.line(Kind::Mqtt(Box::new(client)))
    }

    fn client(&mut self, i: usize) -> &mut Client {
        match &mut self.lines[i].kind {
            Kind::Own(client) => client,
            Kind::Mqtt(_) => panic!("it speaks MQTT"),
        }
    }

    fn listen(&mut self, i: usize, filter: &str) -> SubscriptionId {
        let id = self.client(i).subscribe(NOW, filter, SubscribeOptions::default()).unwrap();
        self.run();
        self.take(i);
        id
    }

    fn publish(&mut self, i: usize, publish: Publish<'_>) {
        self.lines[i].octets = (0, 0);
        self.client(i).publish(NOW, publish).unwrap();
        self.run();
    }

    fn run(&mut self) {
        let Self { server, lines } = self;
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for line in lines.iter_mut() {
                match &mut line.kind {
                    Kind::Own(c) => _ = c.poll_transmit(NOW, &mut line.up),
                    Kind::Mqtt(c) => _ = c.poll_transmit(NOW, &mut line.up),
                }
                let moved = carry(&mut line.up, &mut line.at_server);
                line.octets.0 += moved;
                server.recv(NOW, line.key, &mut line.at_server, &mut line.down);
                let _ = server.poll_transmit(NOW, line.key, &mut line.down);
                let back = carry(&mut line.down, &mut line.at_client);
                line.octets.1 += back;
                match &mut line.kind {
                    Kind::Own(c) => c.recv(NOW, &mut line.at_client),
                    Kind::Mqtt(c) => c.recv(NOW, &mut line.at_client),
                }
                hear(line);
                quiet = if moved + back > 0 { 0 } else { quiet };
            }
        }
    }

    fn take(&mut self, i: usize) -> Vec<String> {
        core::mem::take(&mut self.lines[i].heard)
    }

    fn inflated(&self) -> (u64, u64, u64) {
        let c = self.server.counters().compression;
        (c.passed, c.inflated, c.malformed)
    }
}

fn carry(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf) -> usize {
    let all: Vec<u8> = from.slices().flatten().copied().collect();
    assert_eq!(to.push(&all), all.len());
    from.sent(usize::MAX);
    all.len()
}

fn hear(line: &mut Line) {
    match &mut line.kind {
        Kind::Own(client) => {
            while let Some(event) = client.poll_event() {
                line.heard.extend(match event {
                    ClientEvent::Message { message, .. } => {
                        assert_eq!(message.properties().encoding(), None);
                        Some(format!("{} {}", message.topic(), show(message.payload())))
                    }
                    ClientEvent::Request(r) => {
                        let reply = Reply::ok(r.message.payload().repeat(2));
                        let asked = show(r.message.payload());
                        client.respond(NOW, r.handle, reply).unwrap();
                        Some(format!("asked {asked}"))
                    }
                    ClientEvent::Response { status, payload, properties, .. } => {
                        assert_eq!(properties.get().encoding(), None);
                        Some(format!("answered {status:?} {}", show(&payload)))
                    }
                    ClientEvent::Malformed { topic, .. } => Some(format!("malformed {topic}")),
                    ClientEvent::Refused { status, reason, .. } => {
                        Some(format!("refused {status:?} {reason}"))
                    }
                    ClientEvent::Disconnected { reason, .. } => Some(format!("disconnected {reason}")),
                    _ => None,
                });
            }
        }
        Kind::Mqtt(client) => {
            while let Some(event) = client.poll_event() {
                if let mqtt_client::ClientEvent::Message { message, .. } = event {
                    line.heard.push(format!("{} {}", message.topic(), show(message.payload())));
                }
            }
        }
    }
}

/// CMP-1, CMP-3: a payload goes as it came to those who agreed, and is inflated once for all others.
#[test]
fn the_hub_hands_on_what_is_compressed() {
    for codec in Codec::ALL {
        let mut w = World::new(ServerConfig::default());
        let (from, same, plain, also) = (
            w.own(with(&[codec])),
            w.own(with(&[codec])),
            w.own(ClientConfig::default()),
            w.own(ClientConfig::default()),
        );
        let mqtt = w.mqtt();
        for i in [same, plain, also] {
            w.listen(i, "t/+");
        }
        let Kind::Mqtt(client) = &mut w.lines[mqtt].kind else { panic!() };
        let filters = [crate::mqtt::Subscription::new("t/+", Qos::AtMostOnce)];
        client.subscribe(NOW, mqtt_client::Subscribe::new(&filters)).unwrap();
        let local = w.server.local(NOW).unwrap();
        w.server.local_subscribe(NOW, local, 1, "t/+", Default::default()).unwrap();
        w.run();
        for line in &mut w.lines {
            line.octets = (0, 0);
        }
        let mut memory = [0; 64];
        let properties =
            Properties::write(&[Property::User("a", "b"), Property::ResponseTopic("r")], &mut memory)
                .unwrap();
        w.publish(from, Publish { reliable: true, properties, ..Publish::new("t/x", text()) });
        let expected = [format!("t/x {}", show(text().as_bytes()))];
        for i in [same, plain, also, mqtt] {
            assert_eq!(w.take(i), expected, "{codec:?} {i}");
        }
        let mut locally = Vec::new();
        w.server.poll_local(NOW, local, 9, |event| locally.push(event));
        let [LocalEvent::Message { message, .. }] = &locally[..] else { panic!("{locally:?}") };
        assert_eq!((message.payload(), message.encoding()), (text().as_bytes(), None));
        let list: Vec<_> = message.properties().iter().collect();
        assert_eq!(list, [Property::User("a", "b"), Property::ResponseTopic("r")]);
        assert!(w.lines[from].octets.0 < 200 && w.lines[same].octets.1 < 200, "{codec:?}");
        assert!(w.lines[plain].octets.1 > 3000);
        assert_eq!(w.inflated(), (1, 1, 0), "one was passed on, and one inflated for four");
    }
}

/// CMP-6: below the threshold, where it holds a secret, where it does not get smaller, and on topics of the
/// server's own a payload goes as it is.
#[test]
fn what_is_not_compressed() {
    let mut w = World::new(ServerConfig::default());
    let (from, to) = (w.own(with(&[Codec::Lz4])), w.own(with(&[Codec::Lz4])));
    w.listen(to, "#");
    w.listen(to, "$room/+");
    let mut noise = vec![0; 2000];
    Seeded::new(3).secret(&mut noise);
    let long = Bytes::from(text());
    for (publish, compressed) in [
        (Publish::new("t", long.clone()), true),
        (Publish::new("t", long.slice(..511)), false),
        (Publish::new("t", long.slice(..512)), true),
        (Publish { secret: true, ..Publish::new("t", long.clone()) }, false),
        (Publish::new("t", noise), false),
        (Publish::new("$room/a", long.clone()), false),
    ] {
        let (topic, size) = (publish.topic, publish.payload.len());
        w.publish(from, publish);
        assert_eq!(w.take(to).len(), 1, "{topic} {size}");
        assert_eq!(w.lines[from].octets.0 < size, compressed, "{topic} {size}");
    }
}

/// Requests and answers are compressed like messages, each way for itself.
#[test]
fn requests_and_answers() {
    let mut w = World::new(ServerConfig::default());
    let (asks, serves, plain) =
        (w.own(with(&[Codec::Zstd])), w.own(with(&Codec::ALL)), w.own(ClientConfig::default()));
    w.client(serves).serve(NOW, "s", SubscribeOptions::default()).unwrap();
    w.run();
    w.take(serves);
    let mut asked = |i: usize| {
        w.take(i);
        w.client(i).request(NOW, Request::new("s", text())).unwrap();
        w.run();
        assert_eq!(w.take(serves), [format!("asked {}", show(text().as_bytes()))]);
        assert_eq!(w.take(i), [format!("answered Ok {}", show(text().repeat(2).as_bytes()))]);
        w.inflated()
    };
    // The answer is in LZ4, which the first does not take; the second takes nothing.
    assert_eq!(asked(asks), (1, 1, 0));
    assert_eq!(asked(plain), (1, 2, 0));
    let local = w.server.local(NOW).unwrap();
    let message = crate::hub::Message::new("s", text().as_bytes()).unwrap();
    w.server.local_request(NOW, local, 1, message, RequestOptions::default()).unwrap();
    w.run();
    let mut answered = Vec::new();
    w.server.poll_local(NOW, local, 9, |event| answered.push(event));
    let [LocalEvent::Response { message, .. }] = &answered[..] else { panic!("{answered:?}") };
    assert_eq!(message.payload(), text().repeat(2).as_bytes());
}

/// What is kept is kept as it came, and inflated when it is read by who needs it.
#[test]
fn what_is_kept_is_read_by_all() {
    let mut w = World::new(ServerConfig::default());
    let from = w.own(with(&[Codec::Lz4]));
    w.publish(from, Publish { retain: true, ..Publish::new("t/x", text()) });
    let expected = [format!("t/x {}", show(text().as_bytes()))];
    for config in [with(&[Codec::Lz4]), ClientConfig::default(), with(&[Codec::Zstd])] {
        let i = w.own(config);
        w.client(i).subscribe(NOW, "t/+", SubscribeOptions::default()).unwrap();
        w.run();
        assert_eq!(w.take(i), expected);
    }
    assert_eq!(w.inflated(), (1, 1, 0));
}

/// What was compressed for one connection goes as it was over the next, whose server agrees to nothing.
#[test]
fn a_server_that_changes_its_mind() {
    let mut w = World::new(ServerConfig::default());
    let from = w.own(with(&[Codec::Lz4]));
    w.client(from).publish(NOW, Publish { reliable: true, ..Publish::new("t", text()) }).unwrap();
    let mut lost = SharedSendBuf::new(1 << 20);
    let _ = w.client(from).poll_transmit(NOW, &mut lost);
    assert!(lost.slices().flatten().count() < 200, "it went out compressed, and got lost");
    let Kind::Own(mut client) = w.lines.remove(from).kind else { panic!() };
    client.handle_transport_gone(NOW);
    let later = client.poll_timeout().map_or(NOW, |deadline| deadline.at);
    while client.poll_event().is_some() {}
    let config = ServerConfig { compression: Vec::new(), ..ServerConfig::default() };
    let mut w = World { server: Server::new(config, Box::new(Seeded::new(2))), lines: Vec::new() };
    let to = w.own(with(&[Codec::Lz4]));
    w.listen(to, "t");
    client.handle_timeout(later);
    client.poll_connect(later).unwrap();
    client.handle_connected(later);
    w.line(Kind::Own(client));
    assert_eq!(w.take(to), [format!("t {}", show(text().as_bytes()))]);
}

/// A client that puts what it likes into a PUBLISH.
fn forged(w: &mut World, i: usize, topic: &str, encoding: Encoding, payload: &[u8]) -> Vec<String> {
    let mut block = Vec::new();
    crate::session::Block([Property::Encoding(encoding)].into_iter()).put(&mut block);
    let mut body = vec![block.len() as u8];
    body.extend_from_slice(&block);
    body.push(topic.len() as u8);
    body.extend_from_slice(topic.as_bytes());
    body.extend_from_slice(payload);
    let mut frame = vec![10 << 2 | 2];
    frame.extend_from_slice(crate::varint::leb128::encode(body.len() as u64, &mut [0; 9]));
    frame.extend_from_slice(&body);
    let Line { key, at_server, down, .. } = &mut w.lines[i];
    at_server.push(&frame);
    w.server.recv(NOW, *key, at_server, down);
    w.run();
    w.take(i)
}

fn fault(told: &[String], code: Code) {
    assert!(
        told.iter().any(|line| line.starts_with("disconnected") && line.contains(&code.to_string())),
        "{told:?} {code}"
    );
}

/// CMP-2, CMP-4, CMP-5: each with its outcome, and nothing inflated.
#[test]
fn bombs_close_the_connection() {
    let bomb = |length| Encoding { codec: Codec::Lz4, length };
    for (config, encoding, size, code, refused) in [
        (with(&[Codec::Lz4]), bomb(1 << 20 | 1), 100_000, Code::FrameTooLarge, 1),
        (with(&[Codec::Lz4]), bomb(u64::MAX >> 2), 10, Code::FrameTooLarge, 1),
        (with(&[Codec::Lz4]), bomb(100_001), 1000, Code::Malformed, 1),
        (with(&[Codec::Zstd]), bomb(1000), 500, Code::Unsupported, 0),
        (ClientConfig::default(), bomb(1000), 500, Code::Unsupported, 0),
    ] {
        let mut w = World::new(ServerConfig::default());
        let (from, to) = (w.own(config), w.own(with(&[Codec::Lz4])));
        w.listen(to, "t");
        let told = forged(&mut w, from, "t", encoding, &vec![0; size]);
        fault(&told, code);
        assert_eq!((w.take(to).len(), w.inflated()), (0, (0, 0, 0)));
        assert_eq!(w.server.counters().compression.refused, refused);
    }
}

/// CMP-7: what does not inflate to what it says goes no further, and harms nobody but itself.
#[test]
fn what_is_malformed_is_dropped() {
    let mut w = World::new(ServerConfig::default());
    let (from, same, plain) =
        (w.own(with(&[Codec::Lz4])), w.own(with(&[Codec::Lz4])), w.own(ClientConfig::default()));
    for i in [same, plain] {
        w.listen(i, "t");
    }
    let encoding = Encoding { codec: Codec::Lz4, length: 1000 };
    assert!(forged(&mut w, from, "t", encoding, &[0xff; 500]).is_empty());
    assert_eq!(w.take(same), ["malformed t"]);
    assert_eq!(w.take(plain), Vec::<String>::new());
    let told = forged(&mut w, from, "$room/a", encoding, &[0xff; 500]);
    assert_eq!(told, [format!("refused {:?} the payload does not inflate to what it says", Status::Invalid)]);
    w.publish(from, Publish::new("t", text()));
    for i in [same, plain] {
        assert_eq!(w.take(i).len(), 1, "all goes on");
    }
    assert_eq!(w.inflated(), (2, 1, 2));
    let packed = Codecs::default().compress(Codec::Lz4, text().as_bytes()).unwrap();
    let lies = Encoding { codec: Codec::Lz4, length: text().len() as u64 - 1 };
    forged(&mut w, from, "t", lies, &packed);
    assert_eq!((w.take(same), w.take(plain)), (vec!["malformed t".to_string()], vec![]));
}
