//! Sessions over UDP, as an operator and a user have them.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Ended, Program, run, start};

/// A server with one port for TCP and one for UDP, and files of its own.
struct Place {
    directory: tempfile::TempDir,
    server: Program,
    tcp: String,
    udp: String,
}

impl Place {
    /// `udp` is what is in `[udp]`, of the keys `server.key` and `psk`.
    fn new(udp: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        let at = |name: &str| directory.path().join(name).display().to_string();
        run(&["key", "generate", &at("server.key")]).expect(0);
        run(&["key", "generate", &at("ann.key")]).expect(0);
        run(&["key", "generate", "--psk", &at("psk")]).expect(0);
        let udp = udp.replace("DIRECTORY", &directory.path().display().to_string());
        let listen = "[[listen]]\ntcp = \"127.0.0.1:0\"\n[[listen]]\nudp = \"127.0.0.1:0\"\n";
        fs::write(at("bowline.toml"), format!("{listen}[udp]\n{udp}")).expect("there is room");
        let server = start(&["serve", "-c", &at("bowline.toml")]);
        let line = server.out_line("listens on");
        let address = |scheme: &str| {
            let found = line.split([' ', ',']).map(str::trim).find(|word| word.starts_with(scheme));
            found.expect("it says where").to_owned()
        };
        let (tcp, udp) = (address("127.0.0.1:"), address("bowline+udp://127.0.0.1:"));
        Self { directory, server, tcp, udp }
    }

    fn at(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn public(&self, name: &str) -> String {
        run(&["key", "public", &self.at(name)]).expect(0).out.trim().to_owned()
    }

    fn ping(&self, flags: &[&str]) -> Ended {
        run(&[&["ping", &self.udp, "-c", "1"], flags].concat())
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.tcp).expect("it listens");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            .expect("open");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.trim().parse().expect("a number")
    }
}

#[test]
fn tools_speak_over_udp_with_the_servers_key() {
    let place = Place::new("key = \"DIRECTORY/server.key\"\nshared_key = \"DIRECTORY/psk\"\n");
    let (udp, key) = (place.udp.as_str(), place.public("server.key"));
    let secured = ["--server-key", key.as_str()];
    let sub = start(&[&["sub", udp, "a/#", "-v", "-C", "2", "--say-ready"], &secured[..]].concat());
    sub.err_line("subscribed");
    run(&[&["pub", udp, "a/b", "by key"], &secured[..]].concat()).expect(0);
    run(&["pub", "-s", udp, "a/c", "by psk", "--psk-file", &place.at("psk")]).expect(0);
    let mut lines: Vec<String> = sub.ended().expect(0).out.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a/b by key", "a/c by psk"]);
    let reply = start(&[&["reply", udp, "echo", "--echo"], &secured[..]].concat());
    reply.err_line("serving echo");
    assert_eq!(run(&[&["req", udp, "echo", "hi"], &secured[..]].concat()).expect(0).out, "hi\n");
    drop(reply);
    // What is kept of a server's key counts as well, and none is taken at first sight.
    let known = place.at("known");
    let unknown = place.ping(&["--known-keys", &known]).expect(2);
    assert!(unknown.err.contains("over UDP none is taken at first sight"), "{}", unknown.err);
    fs::write(&known, format!("{udp} {key}\n")).unwrap();
    place.ping(&["--known-keys", &known, "--noise-key", &place.at("ann.key")]).expect(0);
    assert!(place.metric("bowline_udp_sessions_opened_total") >= 5);
    assert!(place.metric("bowline_udp_cookies_total") >= 5);
    assert!(place.metric("bowline_udp_datagrams_received_total") > 20);
    assert_eq!(place.metric("bowline_udp_black_holes_total"), 0);
    place.server.signal("TERM");
    let Place { server, .. } = place;
    server.ended().expect(0);
}

#[test]
fn what_is_not_secured_is_said_to_be_and_wrong_keys_say_what_to_do() {
    let place = Place::new("insecure = true\n");
    let blind = place.ping(&[]).expect(2);
    assert!(blind.err.contains("is secured by keys: --server-key KEY"), "{}", blind.err);
    place.ping(&["--insecure"]).expect(0);
    let key = place.public("ann.key");
    let wrong = place.ping(&["--server-key", &key]).expect(1);
    assert!(wrong.err.contains("no session over UDP with bowline+udp://"), "{}", wrong.err);
    assert!(wrong.err.contains("is --server-key the key of its [udp]"), "{}", wrong.err);
    let mixed = run(&["ping", "-s", &format!("{},{}", place.udp, place.tcp), "--insecure"]).expect(2);
    assert!(mixed.err.contains("cannot be in a list with"), "{}", mixed.err);
    let mqtt = run(&["pub", "--mqtt", "--server", &place.udp, "-t", "a", "-m", "b"]).expect(2);
    assert!(mqtt.err.contains("MQTT does not go over UDP"), "{}", mqtt.err);
    let nobody = start(&["ping", "bowline+udp://127.0.0.1:9", "-c", "1", "--server-key", &key]);
    assert!(nobody.finish().expect(1).err.contains("does a server listen there"));
}
