//! No secret is in what the program prints: the log in its full length, what is wrong with a configuration, and
//! what tools say.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Ended, Server, run, start};

const PASSWORD: &str = "correct-horse-7781";
const TOKEN: &str = "token-of-ann-5529";
const WRONG: &str = "battery-staple-3301";
const HOOK: &str = "webhook-bearer-9917";

/// Files in a directory of the test's own.
struct Place(tempfile::TempDir);

impl Place {
    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a plain path").to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("there is room");
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Keys and certificates, and a server that has some of every kind.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("there is room"));
        for line in [&["ca"][..], &["server", "127.0.0.1"]] {
            run(&[&["cert", "--directory", &place.at("")], line].concat()).expect(0);
        }
        for key in ["server.key", "udp.key", "relay.key"] {
            run(&["key", "generate", &place.at(key)]).expect(0);
        }
        for key in ["psk", "udp.psk"] {
            run(&["key", "generate", "--psk", &place.at(key)]).expect(0);
        }
        let psk = fs::read_to_string(place.at("psk")).expect("it is there");
        place.write("psks", &format!("{} sensor\n", psk.trim()));
        place.write("bowline.toml", &place.config());
        place
    }

    fn config(&self) -> String {
        let at = |name: &str| self.at(name);
        format!(
            "listen = [{{ tcp = \"127.0.0.1:0\" }}, {{ udp = \"127.0.0.1:0\" }}]\n\
             [log]\nlevel = \"trace\"\n[store]\nmemory = true\n\
             [auth]\nanonymous = \"never\"\n\
             [[auth.users]]\nname = \"bob\"\nplain_password = \"{PASSWORD}\"\n\
             [[auth.tokens]]\nname = \"ann\"\nplain_token = \"{TOKEN}\"\n\
             [tls]\ncert = {:?}\nkey = {:?}\n\
             [noise]\nkey_file = {:?}\npsk_file = {:?}\n\
             [udp]\nkey = {:?}\nshared_key = {:?}\n\
             [relay]\nallow = [\"tls://127.0.0.1:1\", \"bowline+udp://127.0.0.1:1\"]\n\
             [relay.tls]\ncert = {:?}\nkey = {:?}\n[relay.udp]\nshared_key = {:?}\n\
             [webhook]\nurl = \"http://127.0.0.1:1/\"\n[webhook.headers]\nauthorization = \"Bearer {HOOK}\"\n",
            at("127.0.0.1.pem"),
            at("127.0.0.1.key"),
            at("server.key"),
            at("psks"),
            at("udp.key"),
            at("udp.psk"),
            at("127.0.0.1.pem"),
            at("127.0.0.1.key"),
            at("udp.psk"),
        )
    }

    /// All that must not be seen, and what it is called.
    fn secrets(&self) -> Vec<(String, String)> {
        let said = [PASSWORD, TOKEN, WRONG, HOOK].map(|secret| (secret.to_owned(), secret.to_owned()));
        let files = ["server.key", "udp.key", "relay.key", "psk", "udp.psk", "127.0.0.1.key", "ca.key"];
        let of_files = files.into_iter().flat_map(|name| {
            let text = fs::read_to_string(self.at(name)).expect("it is there");
            let lines = text.lines().filter(|line| !line.starts_with("-----"));
            let words = lines.filter_map(|line| line.split(' ').next_back()).map(str::to_owned);
            words.map(|word| (word, name.to_owned())).collect::<Vec<_>>()
        });
        // As HTTP has a name and password: `bob:` with each.
        let basic = ["Ym9iOmNvcnJlY3QtaG9yc2UtNzc4MQ==", "Ym9iOmJhdHRlcnktc3RhcGxlLTMzMDE="];
        let basic = basic.map(|text| (text.to_owned(), "a header of HTTP".to_owned()));
        said.into_iter().chain(of_files).chain(basic).collect()
    }
}

/// Whoever can comes in, whoever cannot does not, each way that there is; gives back what tools said.
fn everybody(server: &Server, place: &Place) -> Vec<Ended> {
    let (psk, ca) = (place.at("psk"), place.at("ca.pem"));
    let good: [&[&str]; 4] = [
        &["ping", "-c", "1", "-u", "bob", "-P", PASSWORD],
        &["ping", "-c", "1", "--token", TOKEN],
        &["ping", "-c", "1", "--psk-file", &psk],
        &["ping", "-c", "1", "--cafile", &ca, "-u", "bob", "-P", PASSWORD],
    ];
    let bad: [&[&str]; 3] = [
        &["ping", "-c", "1", "-u", "bob", "-P", WRONG],
        &["ping", "-c", "1", "--token", WRONG],
        &["tunnel", "-u", "bob", "-P", PASSWORD, "tls://127.0.0.1:1"],
    ];
    let mut said: Vec<Ended> = good.iter().map(|line| server.run_client(line).expect(0)).collect();
    said.extend(bad.iter().map(|line| server.run_client(line).expect(1)));
    let port = &server.port;
    for (password, code) in [(PASSWORD, 0), (WRONG, 1)] {
        let line = ["pub", "--mqtt", "-p", port, "-u", "bob", "-P", password, "-t", "a", "-m", "b"];
        let ended = run(&line);
        assert_eq!(ended.code == Some(0), code == 0, "{ended:?}");
        said.push(ended);
    }
    for authorization in [
        "Basic Ym9iOmNvcnJlY3QtaG9yc2UtNzc4MQ==".to_owned(),
        "Basic Ym9iOmJhdHRlcnktc3RhcGxlLTMzMDE=".to_owned(),
        format!("Bearer {TOKEN}"),
        format!("Bearer {WRONG}"),
    ] {
        let fields = format!("Host: localhost\r\nConnection: close\r\nAuthorization: {authorization}\r\n");
        let _ = server.ask(&format!("GET /api/info HTTP/1.1\r\n{fields}\r\n"));
    }
    said
}

#[test]
fn secrets_are_in_nothing_that_is_printed() {
    let place = Place::new();
    let file = place.at("bowline.toml");
    let program = start(&["serve", "-c", &file]);
    let line = program.out_line("listens on");
    let port = line.split("127.0.0.1:").nth(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let port = port.flatten().expect("there is an address").to_owned();
    let server = Server { program, port };
    let mut seen = String::new();
    for ended in everybody(&server, &place) {
        seen += &ended.out;
        seen += &ended.err;
    }

    // What is wrong with a configuration is told by its place.
    let good = place.config();
    let wrongs = [
        good.replace("[webhook.headers]", "[webhook.heads]"),
        good.replace("plain_password = ", "plain_pass = "),
        good.replace(&format!("plain_token = \"{TOKEN}\""), &format!("plain_token = [\"{TOKEN}\"]")),
        good.replace("[noise]", "password_everywhere = \"correct-horse-7781\"\n[noise]"),
    ];
    for wrong in wrongs {
        assert_ne!(wrong, good);
        place.write("bowline.toml", &wrong);
        server.program.signal("HUP");
        seen += &server.program.err_line("nothing was reloaded");
        let checked = run(&["check", "-c", &file]).expect(1);
        seen += &(checked.out + &checked.err);
    }
    // A line of a file of keys that is none.
    place.write("bowline.toml", &good);
    let psk = fs::read_to_string(place.at("psk")).expect("it is there");
    place.write("psks", &format!("{}x sensor\n", psk.trim()));
    server.program.signal("HUP");
    seen += &server.program.err_line("nothing was reloaded");
    place.write("psks", &format!("{} sensor\n", psk.trim()));
    server.program.signal("HUP");
    seen += &server.program.err_line("reloaded");
    let shown = run(&["check", "-c", &file]).expect(0);
    seen += &(shown.out + &shown.err);
    server.program.signal("TERM");
    let ended = server.program.ended();
    seen += &ended.out;
    seen += &ended.err;

    for logged in ["TRACE", "bob", "ann", "sensor"] {
        assert!(seen.contains(logged), "the log is not whole: {logged} is missing");
    }
    for (secret, name) in place.secrets() {
        let at = seen.find(&secret);
        assert!(at.is_none(), "of {name} there is something printed: {}", line_at(&seen, at.unwrap_or(0)));
    }
}

fn line_at(text: &str, at: usize) -> &str {
    let from = text[..at].rfind('\n').map_or(0, |n| n + 1);
    text[from..].lines().next().unwrap_or_default()
}
