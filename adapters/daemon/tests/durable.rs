//! What a server that is killed had said that it has, the next one has.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use common::{Server, run, start_with};

/// An MQTT 3.1.1 connection, packet by packet.
struct Mqtt(TcpStream);

impl Mqtt {
    /// Connects; says whether there was a session.
    fn connect(server: &Server, client: &str, clean: bool) -> (Self, bool) {
        let port = server.port.parse().expect("a port");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut mqtt = Self(stream);
        let flags = if clean { 2 } else { 0 };
        mqtt.send(0x10, &[&[0, 4], &b"MQTT"[..], &[4, flags, 0, 60], &text(client)].concat());
        let (first, body) = mqtt.next();
        assert_eq!((first, body[1]), (0x20, 0), "CONNACK: {body:?}");
        (mqtt, body[0] == 1)
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        let length = u8::try_from(body.len()).ok().filter(|n| *n < 128).expect("a short packet");
        self.0.write_all(&[&[first, length], body].concat()).expect("it is read");
    }

    /// The next packet.
    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a packet");
        let mut body = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut body).expect("all of it");
        (head[0], body)
    }

    fn subscribe(&mut self, filter: &str) {
        self.send(0x82, &[&[0, 1], &text(filter)[..], &[2]].concat());
        assert_eq!(self.next(), (0x90, vec![0, 1, 2]), "SUBACK");
    }

    /// Publishes with `id`, and returns when that was accepted; at QoS 2 it is not released.
    fn publish(&mut self, flags: u8, topic: &str, id: u8, payload: &str) {
        self.send(0x30 | flags, &[&text(topic)[..], &[0, id], payload.as_bytes()].concat());
        let accepted = if flags & 4 == 0 { 0x40 } else { 0x50 };
        assert_eq!(self.next(), (accepted, vec![0, id]), "PUBACK or PUBREC");
    }

    /// The next message: its first octet, topic, id and payload.
    fn message(&mut self) -> (u8, String, u8, String) {
        let (first, body) = self.next();
        assert_eq!(first & 0xf0, 0x30, "a PUBLISH: {first:#x} {body:?}");
        let topic = usize::from(body[1]);
        let (name, rest) = body[2..].split_at(topic);
        let (id, payload) = if first & 6 == 0 { (0, rest) } else { (rest[1], &rest[2..]) };
        let string = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text");
        (first, string(name), id, string(payload))
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
}

fn start(data: &Path) -> Server {
    let data = data.to_str().expect("a plain path");
    Server::start_with(&[("BOWLINE_STORE__MEMORY", "false"), ("BOWLINE_STORE__PATH", data)])
}

fn kill(server: Server) {
    server.program.signal("KILL");
    // Its lock goes with it, so it must be gone.
    assert_eq!(server.program.ended().code, None);
}

#[test]
fn what_was_accepted_outlives_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path());
    let (mut subscriber, _) = Mqtt::connect(&server, "sub", false);
    subscriber.subscribe("in/#");
    drop(subscriber);
    let (mut publisher, present) = Mqtt::connect(&server, "pub", false);
    assert!(!present);
    publisher.publish(0x3, "state/door", 1, "open"); // QoS 1, retained
    for n in 1..=20 {
        publisher.publish(0x2, "in/1", n, &format!("one {n}"));
    }
    publisher.publish(0x4, "in/2", 77, "two"); // QoS 2, not released
    kill(server);

    let server = start(directory.path());
    // The same message with the same id is the same one: it is not delivered again.
    let (mut publisher, present) = Mqtt::connect(&server, "pub", false);
    assert!(present);
    publisher.publish(0x4 | 0x8, "in/2", 77, "two");
    publisher.send(0x62, &[0, 77]);
    assert_eq!(publisher.next(), (0x70, vec![0, 77]), "PUBCOMP");

    let (mut subscriber, present) = Mqtt::connect(&server, "sub", false);
    assert!(present);
    let mut ids = Vec::new();
    for n in 1..=20 {
        let (_, topic, id, payload) = subscriber.message();
        assert_eq!((topic, payload), ("in/1".to_owned(), format!("one {n}")), "in order");
        ids.push(id);
    }
    let (_, _, two, payload) = subscriber.message();
    assert_eq!(payload, "two");
    // Ten are acknowledged, and the one with QoS 2 is received and not settled.
    ids[..10].iter().for_each(|id| subscriber.send(0x40, &[0, *id]));
    subscriber.send(0x50, &[0, two]);
    assert_eq!(subscriber.next(), (0x62, vec![0, two]), "PUBREL");
    kill(server);

    let server = start(directory.path());
    let (mut subscriber, present) = Mqtt::connect(&server, "sub", false);
    assert!(present);
    for n in 11..=20 {
        let (first, _, id, payload) = subscriber.message();
        assert_eq!((first, id, payload), (0x3a, ids[n - 1], format!("one {n}")), "again, with its id");
    }
    assert_eq!(subscriber.next(), (0x62, vec![0, two]), "received once is enough: PUBREL again");
    let (mut late, _) = Mqtt::connect(&server, "late", true);
    late.subscribe("state/#");
    let (first, topic, _, payload) = late.message();
    assert_eq!((first & 1, topic.as_str(), payload.as_str()), (1, "state/door", "open"));
    server.program.signal("TERM");
    drop((subscriber, publisher, late));
    assert_eq!(server.program.ended().code, Some(0));

    let data = directory.path().to_str().expect("a plain path");
    let whole = run(&["store", "check", "--data", data]).expect(0);
    assert!(whole.out.ends_with("bowline.db is whole\n"), "{}", whole.out);
}

#[test]
fn a_store_is_counted_exported_and_imported() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("first");
    let server = start(&data);
    let (mut publisher, _) = Mqtt::connect(&server, "pub", true);
    publisher.publish(0x3, "state/door", 1, "open");
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    // While the server runs.
    let stats = run(&["store", "stats", "--json", "--data", &path(&data)]).expect(0);
    let stats: serde_json::Value = serde_json::from_str(&stats.out).expect("JSON");
    assert_eq!((&stats["rows"]["retained"], &stats["payload_octets"]), (&1.into(), &4.into()));
    let file = path(&directory.path().join("export.jsonl"));
    run(&["store", "export", &file, "--data", &path(&data)]).expect(0);
    let again = run(&["store", "export", &file, "--data", &path(&data)]).expect(1);
    assert!(again.err.contains("File exists"), "nothing is overwritten: {}", again.err);
    let second = start_with(&["serve", "-l", "127.0.0.1:0", "--data", &path(&data)], &[]).finish().expect(1);
    assert!(second.err.contains("is in use by another bowline (process"), "{}", second.err);
    server.program.signal("TERM");
    drop(publisher);
    server.program.ended();

    let copy = path(&directory.path().join("second"));
    run(&["store", "import", &file, "--data", &copy]).expect(0);
    let twice = run(&["store", "import", &file, "--data", &copy]).expect(1);
    assert!(twice.err.contains("the store is not empty"), "{}", twice.err);
    let server = start(copy.as_ref());
    let (mut late, _) = Mqtt::connect(&server, "late", true);
    late.subscribe("state/#");
    assert_eq!(late.message().3, "open");
}

#[test]
fn a_store_that_cannot_be_opened_is_explained() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a plain path");
    let missing = run(&["store", "check", "--data", data]).expect(1);
    assert!(missing.err.contains("there is no store in"), "{}", missing.err);
    std::fs::write(directory.path().join("bowline.db"), "not a database, but text").expect("it is written");
    let refused = start_with(&["serve", "-l", "127.0.0.1:0", "--data", data], &[]).finish().expect(1);
    assert!(refused.err.contains("is not a store of bowline"), "{}", refused.err);
    let served = start_with(&["serve", "-l", "127.0.0.1:0", "--memory"], &[]);
    served.out_line("stores nothing");
}
