//! Certificates that change while a server runs.

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::core::stack::Alpn;
use bowline_tls::make::Made;
use bowline_tls::{Client, ClientCertificate, Server, Version};
use common::{Pki, Read, cx, line, open, pair, read_file, write};

/// The key of the certificate that the server shows now.
fn shown(client: &Client, server: &Server, name: &str) -> [u8; 32] {
    let (a, b) = line(usize::MAX, usize::MAX);
    let mut a = client.connect(a, name, Alpn::Bowline).unwrap();
    let mut b = server.accept(b, Peer::default()).unwrap();
    let (done, _) = open(&mut a, &mut b);
    done.unwrap().unwrap();
    a.peer_key().unwrap()
}

/// A client that remembers nothing of before.
fn fresh(pki: &Pki) -> Client {
    pki.client().build().unwrap()
}

#[test]
fn new_handshakes_get_the_new_certificate_and_connections_live_on() {
    let pki = Pki::new();
    let server = pki.server().build().unwrap();
    let before = shown(&fresh(&pki), &server, "localhost");
    let (mut a, mut b) = pair(&fresh(&pki), &server, line(usize::MAX, usize::MAX));
    open(&mut a, &mut b);
    assert!(server.reload_if_changed().is_none(), "nothing has changed");
    pki.server_files("localhost");
    server.reload_if_changed().expect("it has").unwrap();
    assert_ne!(shown(&fresh(&pki), &server, "localhost"), before);
    assert!(server.reload_if_changed().is_none());
    assert!(!write(&mut a, &mut &b"still here"[..]).unwrap());
    let mut at_b = Read::default();
    at_b.poll(&mut b);
    assert_eq!(at_b.octets, b"still here");
    assert_eq!((server.counters().reloads, server.counters().reload_failures), (1, 0));
}

/// Whatever a half-done renewal leaves behind, the old certificate is shown, and it is said once.
#[test]
fn half_written_files_change_nothing() {
    let pki = Pki::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let server = pki
        .server()
        .on_reload(move |done| heard.lock().unwrap().push(done.err().map(ToString::to_string)))
        .build()
        .unwrap();
    let before = shown(&fresh(&pki), &server, "localhost");
    let (chain, key) = (pki.path("localhost.pem"), pki.path("localhost.key"));
    let (old_chain, old_key) = (read_file(&chain), read_file(&key));
    let new = pki.authority.server(&["localhost"], 30).unwrap();
    let half = &new.key.as_bytes()[..new.key.len() / 2];
    for (chain_text, key_text, want) in [
        (old_chain.as_bytes(), half, "localhost.key: it ends in the middle; is somebody writing it?"),
        (old_chain.as_bytes(), &b""[..], "localhost.key: there is no private key in it"),
        (new.chain.as_bytes(), old_key.as_bytes(), "the key does not belong to the certificate"),
        (&new.chain.as_bytes()[..100], new.key.as_bytes(), "localhost.pem: it ends in the middle"),
    ] {
        fs::write(&chain, chain_text).unwrap();
        fs::write(&key, key_text).unwrap();
        let error = server.reload_if_changed().expect("it has changed").unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert!(server.reload_if_changed().is_none(), "it is said once");
        assert_eq!(shown(&fresh(&pki), &server, "localhost"), before, "{want}");
        let last = told.lock().unwrap().pop().unwrap();
        assert_eq!(last, Some(error));
    }
    fs::write(&chain, &new.chain).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(server.reload_if_changed().unwrap().unwrap_err().to_string().starts_with("cannot read "));
    // The rest of it.
    fs::write(&key, new.key.as_bytes()).unwrap();
    server.reload_if_changed().unwrap().unwrap();
    assert_ne!(shown(&fresh(&pki), &server, "localhost"), before);
    assert_eq!(told.lock().unwrap().pop(), Some(None));
    assert_eq!((server.counters().reloads, server.counters().reload_failures), (1, 5));
}

#[test]
fn each_name_has_its_certificate() {
    let pki = Pki::new();
    let files = |file: &str, names: &[&str]| pki.put(file, &pki.authority.server(names, 30).unwrap());
    let (first, second) = (files("1", &["localhost"]), files("2", &["a.example", "*.b.example"]));
    let third = files("3", &["x.b.example", "a.example"]);
    let server = Server::builder()
        .certificate(&first.0, &first.1)
        .certificate(&second.0, &second.1)
        .certificate(&third.0, &third.1)
        .build()
        .unwrap();
    let client = Client::builder().dangerous_trust_anyone().build().unwrap();
    let by = |name: &str| shown(&client, &server, name);
    let (one, two, three) = (by("localhost"), by("a.example"), by("x.b.example"));
    assert!(one != two && two != three && one != three);
    for (name, want) in [
        ("y.b.example", two),
        ("A.Example", two),
        ("z.y.b.example", one), // A wildcard is one label.
        ("b.example", one),
        ("elsewhere.example", one),
        ("127.0.0.1", one), // Addresses ask for no name.
    ] {
        assert_eq!(by(name), want, "{name}");
    }
    let infos = server.certificates();
    assert_eq!(infos.len(), 3);
    assert_eq!(infos[1].names, ["a.example", "*.b.example"]);
    let left = infos[0].not_after - i64::try_from(now()).unwrap();
    assert!((29 * 86_400..=30 * 86_400).contains(&left), "{left}");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Whom another authority vouched for does not go on from before.
#[test]
fn other_authorities_for_clients_forget_what_was() {
    let pki = Pki::new();
    let authorities = pki.path("clients.pem");
    fs::copy(pki.ca(), &authorities).unwrap();
    let (chain, key) = pki.client_files("ann");
    let client = pki.client().identity(chain, key).build().unwrap();
    let server = pki.server().client_authority(&authorities).build().unwrap();
    let resumed = || {
        let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
        let (_, done) = open(&mut a, &mut b);
        Read::default().poll(&mut a);
        done.unwrap().map(|()| b.handshake().unwrap().resumed).map_err(|error| error.to_string())
    };
    assert_eq!((resumed(), resumed()), (Ok(false), Ok(true)));
    pki.server_files("localhost");
    server.reload().unwrap();
    assert_eq!(resumed(), Ok(true), "a new certificate changes nothing of that");
    fs::write(&authorities, common::Pki::new().authority.to_pem().chain).unwrap();
    server.reload().unwrap();
    let why = resumed().unwrap_err();
    assert_eq!(why, "the peer's certificate is not signed by the authority that it names");
}

/// Other settings count as a whole, or not at all; who had not to have a certificate does not go on without
/// one where that is needed.
#[test]
fn other_settings_are_taken_over_as_a_whole() {
    let pki = Pki::new();
    let told = Arc::new(AtomicU32::new(0));
    let heard = told.clone();
    let tell = move |_: Result<(), &bowline_tls::Error>| drop(heard.fetch_add(1, Ordering::Relaxed));
    let server = pki.server().client_authority(pki.ca()).on_reload(tell).build().unwrap();
    let client = fresh(&pki);
    let resumed = |client: &Client| {
        let (mut a, mut b) = pair(client, &server, line(usize::MAX, usize::MAX));
        let (_, done) = open(&mut a, &mut b);
        Read::default().poll(&mut a);
        done.unwrap().map(|()| b.handshake().unwrap().resumed).map_err(|error| error.to_string())
    };
    assert_eq!((resumed(&client), resumed(&client)), (Ok(false), Ok(true)));
    assert_eq!(resumed(&client.without_memory()), Ok(false), "as if for the first time");
    server.set(pki.server().client_authority(pki.ca())).unwrap();
    assert_eq!(resumed(&client), Ok(true), "nothing is new");
    let required = || {
        let builder = pki.server().client_authority(pki.ca());
        builder.client_certificate(ClientCertificate::Required).min_version(Version::Tls13)
    };
    let nothing = pki.path("nothing");
    let error = server.set(required().certificate(&nothing, &nothing)).unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
    assert_eq!(resumed(&client), Ok(true), "and what was before still counts");
    server.set(required()).unwrap();
    assert_eq!(resumed(&client).unwrap_err(), "the peer has no certificate");
    let (chain, key) = pki.client_files("ann");
    assert_eq!(resumed(&pki.client().identity(chain, key).build().unwrap()), Ok(false));
    // Those files are looked at from now on.
    assert!(server.reload_if_changed().is_none());
    let before = server.certificates();
    pki.put("other", &pki.authority.server(&["localhost", "other"], 30).unwrap());
    server.set(Server::builder().certificate(pki.path("other.pem"), pki.path("other.key"))).unwrap();
    assert_ne!(server.certificates(), before);
    pki.server_files("localhost");
    assert!(server.reload_if_changed().is_none(), "a file that counts no more");
    pki.put("other", &pki.authority.server(&["localhost"], 30).unwrap());
    server.reload_if_changed().expect("it has changed").unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 5);
    assert_eq!((server.counters().reloads, server.counters().reload_failures), (4, 1));
}

/// Renewed as a tool does it: each file replaced by another, one after the other.
fn renew(pki: &Pki, made: &Made) {
    for (name, text) in [("localhost.pem", made.chain.as_bytes()), ("localhost.key", made.key.as_bytes())] {
        fs::write(pki.path("new"), text).unwrap();
        fs::rename(pki.path("new"), pki.path(name)).unwrap();
    }
}

/// 5,000 connections a minute are one each 12 ms; here they come as fast as they go, while certificates
/// change under them as fast as they can: no handshake fails, and no session that stands is dropped.
#[test]
fn certificates_change_under_load() {
    let pki = Pki::new();
    let server = pki.server().build().unwrap();
    let watch = server.watch(Duration::from_millis(10));
    let standing: Vec<_> = (0..20)
        .map(|_| {
            let (mut a, mut b) = pair(&fresh(&pki), &server, line(usize::MAX, usize::MAX));
            open(&mut a, &mut b);
            (a, b)
        })
        .collect();
    let (over, count) = (AtomicBool::new(false), AtomicU32::new(0));
    let began = Instant::now();
    let mut keys = std::collections::HashSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let more = || server.counters().reloads < 10 || count.load(Ordering::Relaxed) < 500;
            while more() && began.elapsed() < Duration::from_secs(60) {
                let before = server.counters().reloads;
                renew(&pki, &pki.authority.server(&["localhost"], 30).unwrap());
                while server.counters().reloads == before && began.elapsed() < Duration::from_secs(60) {
                    std::thread::yield_now();
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        let client = fresh(&pki);
        while !over.load(Ordering::Relaxed) {
            keys.insert(shown(&client, &server, "localhost"));
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    drop(watch);
    let (count, took) = (count.into_inner(), began.elapsed());
    assert!(server.counters().reloads >= 10, "{:?} in {took:?}", server.counters());
    assert!(count >= 500, "{count} in {took:?}");
    assert_eq!(server.counters().failures, [0; 8]);
    for (mut a, mut b) in standing {
        assert!(!write(&mut a, &mut &b"still here"[..]).unwrap());
        let mut at_b = Read::default();
        at_b.poll(&mut b);
        assert_eq!(at_b.octets, b"still here");
        assert!(a.poll_shutdown(&mut cx()).is_ready());
    }
    assert!(!keys.is_empty());
}
