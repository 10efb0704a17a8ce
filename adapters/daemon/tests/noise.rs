//! The secure mode, as an operator and a user have it.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Server, run};

/// Paths in a directory of the test's own.
struct Place(tempfile::TempDir);

impl Place {
    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a plain path").to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).expect("it is there")
    }

    /// A place with keys of a server and of ann, and one that is shared.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("there is room"));
        let server = run(&["key", "generate", &place.at("server.key")]).expect(0);
        fs::write(place.at("server.pub"), server.out).unwrap();
        let ann = run(&["key", "generate", &place.at("ann.key")]).expect(0).out;
        fs::write(place.at("keys"), format!("# who comes\n{} ann\n", ann.trim())).unwrap();
        run(&["key", "generate", "--psk", &place.at("psk")]).expect(0);
        fs::write(place.at("psks"), format!("{} sensor\n", place.read("psk").trim())).unwrap();
        fs::set_permissions(place.at("psks"), fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    /// All of it, on a server that takes nothing else and knows who may come.
    fn serve(&self) -> Server {
        let file = |name: &str| format!("{:?}", self.at(name));
        Server::start_with(&[
            ("BOWLINE_AUTH__ANONYMOUS", "never"),
            ("BOWLINE_NOISE__KEY_FILE", &file("server.key")),
            ("BOWLINE_NOISE__AUTHORIZED_KEYS", &file("keys")),
            ("BOWLINE_NOISE__PSK_FILE", &file("psks")),
            ("BOWLINE_NOISE__PLAIN", "false"),
            ("BOWLINE_LOG__LEVEL", "trace"),
        ])
    }
}

#[test]
fn a_key_is_made_once_and_for_its_owner() {
    let place = Place::new();
    let key = place.at("server.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.read("server.key").starts_with("bowline-key-v1 "));
    let public = run(&["key", "public", &key]).expect(0).out;
    assert_eq!(public, place.read("server.pub"));
    let fingerprint = run(&["key", "fingerprint", &key]).expect(0).out;
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");
    assert_eq!(run(&["key", "fingerprint", &place.at("server.pub")]).expect(0).out, fingerprint);
    let before = place.read("server.key");
    let refused = run(&["key", "generate", &key]).expect(1);
    assert!(refused.err.contains("exists, and is left as it is"), "{}", refused.err);
    assert_eq!(place.read("server.key"), before);
    let wrong = run(&["key", "public", &place.at("psk")]).expect(1);
    assert!(wrong.err.contains("psk:1:1: a key of this kind is written `bowline-key-v1 `"), "{}", wrong.err);
}

#[test]
fn who_has_a_key_comes_in_and_nobody_else() {
    let place = Place::new();
    let server = place.serve();
    let (ann, public, psk) = (place.at("ann.key"), place.at("server.pub"), place.at("psk"));
    server.run_client(&["pub", "--noise-key", &ann, "--server-key", &public, "t", "hi"]).expect(0);
    let text = place.read("server.pub");
    server.run_client(&["ping", "-c", "1", "--noise-key", &ann, "--server-key", text.trim()]).expect(0);
    server.run_client(&["ping", "-c", "1", "--psk-file", &psk]).expect(0);
    // In clear, with no key, with another server's key, with another shared one.
    let plain = server.run_client(&["ping", "-c", "1"]).expect(1);
    assert!(plain.err.contains("only the secure mode is spoken here"), "{}", plain.err);
    let nobody = server.run_client(&["ping", "-c", "1", "--server-key", &public]).expect(1);
    assert!(nobody.err.contains("authentication failed"), "{}", nobody.err);
    run(&["key", "generate", &place.at("other.key")]).expect(0);
    let other = run(&["key", "public", &place.at("other.key")]).expect(0).out;
    let wrong = server.run_client(&["ping", "-c", "1", "--noise-key", &ann, "--server-key", other.trim()]);
    let wrong = wrong.expect(1);
    assert!(wrong.err.contains("it has another key"), "{}", wrong.err);
    run(&["key", "generate", "--psk", &place.at("other.psk")]).expect(0);
    server.run_client(&["ping", "-c", "1", "--psk-file", &place.at("other.psk")]).expect(1);
    let blind = server.run_client(&["ping", "-c", "1", "--noise-key", &ann]).expect(2);
    assert!(blind.err.contains("--server-key KEY, or --known-keys FILE"), "{}", blind.err);
}

#[test]
fn a_servers_key_is_taken_at_first_use_and_no_other_afterwards() {
    let place = Place::new();
    let (ann, known) = (place.at("ann.key"), place.at("known"));
    let ping = |server: &Server| {
        server.run_client(&["ping", "-c", "1", "--noise-key", &ann, "--known-keys", &known])
    };
    let server = place.serve();
    let first = ping(&server).expect(0);
    assert!(first.err.contains("was not known; it is now"), "{}", first.err);
    let kept = place.read("known");
    assert!(kept.ends_with(&place.read("server.pub")) && kept.starts_with("127.0.0.1:"), "{kept}");
    let second = ping(&server).expect(0);
    assert!(!second.err.contains("was not known"), "{}", second.err);
    assert_eq!(place.read("known"), kept);
    // Another key stands where this one was known.
    run(&["key", "generate", &place.at("other.key")]).expect(0);
    let other = run(&["key", "public", &place.at("other.key")]).expect(0).out;
    let address = kept.split(' ').next().unwrap();
    fs::write(&known, format!("{address} {other}")).unwrap();
    let refused = ping(&server).expect(1);
    assert!(refused.err.contains("is not the one that is known"), "{}", refused.err);
}

#[test]
fn keys_are_read_again_and_no_secret_is_in_the_log() {
    let place = Place::new();
    let server = place.serve();
    let public = place.at("server.pub");
    run(&["key", "generate", &place.at("bob.key")]).expect(0);
    let bob = place.at("bob.key");
    let ping = || server.run_client(&["ping", "-c", "1", "--noise-key", &bob, "--server-key", &public]);
    ping().expect(1);
    let key = run(&["key", "public", &bob]).expect(0).out;
    fs::write(place.at("keys"), format!("{} bob\n", key.trim())).unwrap();
    server.program.signal("HUP");
    let told = server.program.err_line("reloaded");
    assert!(told.contains("1 key added, 1 key removed"), "{told}");
    ping().expect(0);
    // What is wrong changes nothing, and is told by its line.
    fs::write(place.at("keys"), format!("{}x bob\n", place.read("ann.key").trim())).unwrap();
    server.program.signal("HUP");
    let told = server.program.err_line("nothing was reloaded");
    assert!(told.contains("keys:1:1:"), "{told}");
    ping().expect(0);
    server.program.signal("TERM");
    let log = server.program.ended().err;
    for file in ["server.key", "ann.key", "bob.key", "psk"] {
        let text = place.read(file);
        let secret = text.trim().split(' ').nth(1).unwrap();
        assert!(!log.contains(secret) && !told.contains(secret), "{file} is in the log");
    }
    assert!(log.len() > 100, "there is a log");
}
