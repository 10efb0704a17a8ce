//! `bowline relay` and `bowline tunnel`, with targets of the test's own.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::{Program, run, start};

/// A relay, and the port that it listens on.
fn relay(allow: &[&str]) -> (Program, String) {
    let flags = allow.iter().flat_map(|target| ["--allow", target]);
    let line: Vec<&str> = ["relay", "--listen", "127.0.0.1:0"].into_iter().chain(flags).collect();
    let program = start(&line);
    let port = port_of(&program.out_line("listens on"));
    (program, port)
}

/// The last number of a line.
fn port_of(line: &str) -> String {
    line.trim().rsplit(':').next().expect("there is an address").to_owned()
}

/// A target that answers one connection: what it was sent, in capitals, once that has ended.
fn target() -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    (address, serving)
}

#[test]
fn standard_input_and_output_are_connected() {
    let (address, serving) = target();
    let (relay, port) = relay(&[&address]);
    let mut tunnel = start(&["tunnel", "-p", &port, &address]);
    tunnel.write(b"through and back\n");
    assert_eq!(tunnel.finish().expect(0).out, "THROUGH AND BACK\n");
    serving.join().unwrap();
    let opened = relay.err_line("tunnel open");
    assert!(opened.contains(&format!("target=\"{address}\"")) && opened.contains("connect_ms="), "{opened}");
    let closed = relay.err_line("tunnel closed");
    assert!(closed.contains("sent=17 received=17"), "{closed}");
}

#[test]
fn a_local_port_leads_to_the_target() {
    let (address, serving) = target();
    let (_relay, port) = relay(&[&address]);
    let tunnel = start(&["tunnel", "-p", &port, "-L", "0", &address, "--json"]);
    let line = tunnel.out_line("listening");
    assert!(line.contains(&format!("\"target\":\"{address}\"")), "{line}");
    let local = line.split('"').find(|part| part.starts_with("127.0.0.1:")).expect("where it listens");
    let mut stream = TcpStream::connect(local).unwrap();
    stream.write_all(b"by a port").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "BY A PORT");
    serving.join().unwrap();
    let closed = tunnel.out_line("closed");
    assert!(closed.contains("\"received\":9") && closed.contains("\"sent\":9"), "{closed}");
}

#[test]
fn what_is_not_allowed_is_refused_by_name() {
    let (relay, port) = relay(&["127.0.0.1:1"]);
    let refused = run(&["tunnel", "-p", &port, "127.0.0.1:2"]).expect(1);
    assert!(
        refused.err.contains("no tunnel to 127.0.0.1:2: the relay does not connect there"),
        "{}",
        refused.err
    );
    let line = relay.err_line("tunnel refused");
    assert!(line.contains("target=\"127.0.0.1:2\" reason=\"forbidden\""), "{line}");
    let closed = run(&["tunnel", "-p", &port, "127.0.0.1:1"]).expect(1);
    assert!(closed.err.contains("nobody listens there"), "{}", closed.err);
    let wrong = run(&["tunnel", "-p", &port, "-L", "ws://x/", "127.0.0.1:1"]).expect(2);
    assert!(wrong.err.contains("-L ws://x/"), "{}", wrong.err);
}

/// Nobody gets an open relay by leaving something out.
#[test]
fn a_relay_wants_to_know_what_is_allowed() {
    let refused = run(&["relay"]).expect(2);
    assert!(refused.err.contains("--allow HOST:PORT"), "{}", refused.err);
    let wrong = run(&["relay", "--allow", "db"]).expect(2);
    assert!(wrong.err.contains("the ports are missing"), "{}", wrong.err);
    let server = common::Server::start();
    let none = server.run_client(&["tunnel", "127.0.0.1:1"]).expect(1);
    assert!(none.err.contains("the server relays nothing"), "{}", none.err);
}

#[test]
fn the_configuration_is_explained_and_reloaded() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("bowline.toml");
    let at = file.to_str().unwrap();
    fs::write(&file, "[relay]\nallow = [\"127.0.0.1:1\",\n  \"nowhere\"]\n").unwrap();
    let wrong = run(&["check", "-c", at]).expect(1);
    assert!(
        wrong.err.contains("relay.allow") && wrong.err.contains("`nowhere`: the ports are missing"),
        "{}",
        wrong.err
    );
    fs::write(&file, "[relay]\nallow = [\"127.0.0.1:1\"]\nwindow = \"1KiB\"\n").unwrap();
    let wrong = run(&["check", "-c", at]).expect(1);
    assert!(wrong.err.contains("relay.window"), "{}", wrong.err);

    fs::write(&file, "[relay]\nallow = [\"127.0.0.1:1\"]\n").unwrap();
    let program = start(&["relay", "-c", at, "--listen", "127.0.0.1:0"]);
    let port = port_of(&program.out_line("listens on"));
    let (address, serving) = target();
    assert!(run(&["tunnel", "-p", &port, &address]).expect(1).err.contains("does not connect there"));
    fs::write(&file, format!("[relay]\nallow = [\"{address}\"]\n")).unwrap();
    program.signal("HUP");
    let line = program.err_line("reloaded");
    assert!(line.contains("what is relayed"), "{line}");
    let mut tunnel = start(&["tunnel", "-p", &port, &address]);
    tunnel.write(b"now\n");
    assert_eq!(tunnel.finish().expect(0).out, "NOW\n");
    serving.join().unwrap();
}

#[test]
fn users_and_rules_say_who_may() {
    let place = tempfile::tempdir().unwrap();
    let (address, serving) = target();
    let access = place.path().join("access.toml");
    let rules = format!("[[rule]]\nallow = \"relay\"\nuser = \"ann\"\ntopic = \"{address}\"\n");
    fs::write(&access, rules).unwrap();
    let file = place.path().join("bowline.toml");
    let text = format!(
        "[relay]\nallow = [\"127.0.0.1:*\"]\n[auth]\nanonymous = \"never\"\naccess_file = \"{}\"\n\
         [[auth.tokens]]\nname = \"ann\"\nplain_token = \"ann's\"\n\
         [[auth.tokens]]\nname = \"bob\"\nplain_token = \"bob's\"\n",
        access.display()
    );
    fs::write(&file, text).unwrap();
    let program = start(&["relay", "-c", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let port = port_of(&program.out_line("listens on"));
    let nobody = run(&["tunnel", "-p", &port, &address]).expect(1);
    assert!(!nobody.err.contains("no tunnel"), "it is not let in: {}", nobody.err);
    let bob = run(&["tunnel", "-p", &port, "--token", "bob's", &address]).expect(1);
    assert!(bob.err.contains("the access rules do not let you go there"), "{}", bob.err);
    let mut ann = start(&["tunnel", "-p", &port, "--token", "ann's", &address]);
    ann.write(b"mine\n");
    assert_eq!(ann.finish().expect(0).out, "MINE\n");
    serving.join().unwrap();
    let line = program.err_line("tunnel open");
    assert!(line.contains("user=\"ann\"") && !line.contains("ann's"), "{line}");
}

/// The client speaks in clear with its own end, the relay over TLS with the target, and checks who that is.
#[test]
fn a_target_over_tls_is_reached() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    for line in [&["ca"][..], &["server", "localhost"]] {
        run(&[&["cert", "--directory", &at("")], line].concat()).expect(0);
    }
    fs::create_dir(at("other")).unwrap();
    run(&["cert", "--directory", &at("other"), "ca"]).expect(0);
    let (cert, key) = (format!("{:?}", at("localhost.pem")), format!("{:?}", at("localhost.key")));
    let hub = common::Server::start_with(&[("BOWLINE_TLS__CERT", &cert), ("BOWLINE_TLS__KEY", &key)]);
    let target = format!("tls://localhost:{}", hub.port);

    let line = ["relay", "--listen", "127.0.0.1:0", "--allow", &target, "--target-ca", &at("ca.pem")];
    let relay = start(&line);
    let port = port_of(&relay.out_line("listens on"));
    let tunnel = start(&["tunnel", "-p", &port, "-L", "0", &target]);
    let local = tunnel.out_line("leads to");
    let local = local.split(' ').next().and_then(|address| address.rsplit(':').next()).unwrap();
    run(&["ping", "-C", "1", "-p", local]).expect(0);
    let clear = run(&["tunnel", "-p", &port, &format!("localhost:{}", hub.port)]).expect(1);
    assert!(clear.err.contains("does not connect there"), "{}", clear.err);

    let stranger =
        start(&["relay", "--listen", "127.0.0.1:0", "--allow", &target, "--target-ca", &at("other/ca.pem")]);
    let port = port_of(&stranger.out_line("listens on"));
    let refused = run(&["tunnel", "-p", &port, &target]).expect(1);
    let why = "could not begin to speak with it: the peer's certificate is not signed by the authority that it names";
    assert!(refused.err.contains(why), "{}", refused.err);
    let told = stranger.err_line("tunnel refused");
    assert!(told.contains("reason=\"handshake\"") && told.contains("the peer's certificate"), "{told}");
}

#[test]
fn keys_and_certificates_for_targets_are_checked() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("bowline.toml");
    let at = file.to_str().unwrap();
    for (text, key, why) in [
        ("allow = [\"bowline+udp://h:7790\"]", "relay.allow", "nothing secures that"),
        ("[relay.tls]\ncert = \"a.pem\"", "relay.tls.cert", "needs its key"),
        ("[relay.udp]\nserver_key = \"x\"", "relay.udp.server_key", "bowline-public-v1"),
        ("allow = [\"http://h:80\"]", "relay.allow", "the scheme is not known"),
    ] {
        fs::write(&file, format!("[relay]\n{text}\n")).unwrap();
        let wrong = run(&["check", "-c", at]).expect(1);
        assert!(wrong.err.contains(key) && wrong.err.contains(why), "{}", wrong.err);
    }
    let missing =
        format!("[relay]\nallow = [\"tls://h:1\"]\n[relay.tls]\nca = {:?}\n", place.path().join("no.pem"));
    fs::write(&file, missing).unwrap();
    let refused = run(&["relay", "-c", at, "--listen", "127.0.0.1:0"]).expect(1);
    assert!(refused.err.contains("relay.tls") && refused.err.contains("no.pem"), "{}", refused.err);
}
