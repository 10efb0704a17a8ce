//! Plugins and the registry of sessions, over real sockets: configured, switched, read again, asked from a shell.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{Program, run, start};
use serde_json::Value;

/// A server with this configuration, and its port.
fn server(directory: &Path, plugins: &str) -> (Program, String) {
    let file = directory.join("bowline.toml");
    let text = format!(
        "listen = [{{ name = \"front\", tcp = \"127.0.0.1:0\" }}]\n[store]\nmemory = true\n{plugins}"
    );
    std::fs::write(&file, text).unwrap();
    let program = start(&["serve", "-c", file.to_str().unwrap()]);
    let line = program.out_line("listens on");
    let port = line.trim().rsplit(':').next().unwrap().to_owned();
    (program, port)
}

fn json(args: &[&str]) -> Value {
    let ended = run(args).expect(0);
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

const LIMITS: &str = r#"
[[plugin]]
name = "tags"
[[plugin.tag]]
add = ["guest"]
only = { client_ids = ["guest-*"] }

[[plugin]]
name = "rules"
only = { tags = ["guest"] }
[[plugin.intercept]]
topics = ["secret/#"]
action = "refuse"
[[plugin.intercept]]
topics = ["old/#"]
action = "change"
prefix = { from = "old/", to = "new/" }
"#;

#[test]
fn plugins_are_configured_switched_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (program, port) = server(directory.path(), LIMITS);
    let at = ["-p", &port];
    let publish =
        |id: &str, topic: &str| run(&[&["pub"], &at[..], &["-q", "1", "-i", id, topic, "x"]].concat());
    let sub = start(&[&["sub", "--say-ready"], &at[..], &["-i", "reader", "-v", "#"]].concat());
    sub.err_line("subscribed to");
    publish("guest-1", "old/a").expect(0);
    sub.out_line("new/a x");
    let refused = publish("guest-1", "secret/a").expect(1);
    assert!(refused.err.contains("refused"), "{refused:?}");
    publish("staff", "secret/b").expect(0);
    sub.out_line("secret/b x");

    let list = json(&[&["plugins"], &at[..], &["list", "--json"]].concat());
    let rules = &list["plugins"][1];
    assert_eq!(
        (&rules["name"], &rules["refused"], &rules["changed"]),
        (&"rules".into(), &1.into(), &1.into())
    );
    run(&[&["plugins"], &at[..], &["disable", "rules"]].concat()).expect(0);
    publish("guest-1", "secret/c").expect(0);
    sub.out_line("secret/c x");
    let table = run(&[&["plugins"], &at[..], &["list"]].concat()).expect(0).out;
    assert!(table.starts_with("NAME") && table.contains("rules  false"), "{table}");
    let unknown = run(&[&["plugins"], &at[..], &["enable", "nothing"]].concat()).expect(1);
    assert!(unknown.err.contains("there is no plugin"), "{unknown:?}");

    // What is wrong changes nothing; what is right counts for who is connected.
    let file = directory.path().join("bowline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"refuse\"", "\"shout\"")).unwrap();
    program.signal("HUP");
    let line = program.err_line("nothing was reloaded");
    assert!(
        line.contains("plugin[1].intercept[0].action") && line.contains("`shout` is not allowed"),
        "{line}"
    );
    std::fs::write(&file, text.replace("\"new/\"", "\"newer/\"")).unwrap();
    program.signal("HUP");
    program.err_line("plugins reloaded");
    publish("guest-1", "old/d").expect(0);
    sub.out_line("newer/d x");
}

#[test]
fn sessions_are_listed_tagged_told_and_kicked() {
    let directory = tempfile::tempdir().unwrap();
    let (_program, port) = server(directory.path(), LIMITS);
    let at = ["-p", &port];
    let guest = start(&[&["sub", "--say-ready"], &at[..], &["-i", "guest-7", "a/#"]].concat());
    guest.err_line("subscribed to");
    let other = start(&[&["sub", "--mqtt"], &at[..], &["-i", "other", "-t", "$notice/#", "-v"]].concat());
    let list = |filter: &[&str]| {
        let list = json(&[&["sessions"], &at[..], &["list", "--json"], filter].concat());
        let ids = list["sessions"].as_array().unwrap().iter();
        ids.map(|row| (row["client_id"].as_str().unwrap().to_owned(), row["id"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let began = std::time::Instant::now();
    while list(&["--dialect", "mqtt"]).is_empty() && began.elapsed() < Duration::from_secs(60) {
        thread::yield_now();
    }
    let found = list(&["--tag", "guest"]);
    assert_eq!(found.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["guest-7"]);
    let id = &*found[0].1;
    assert_eq!(list(&["--dialect", "bowline"]).len(), 1);
    assert_eq!(list(&["--listener", "front"]).len(), list(&[]).len());
    assert_eq!(list(&["--user", "nobody"]).len(), 0);
    let one = json(&[&["sessions"], &at[..], &["inspect", id, "--json"]].concat());
    assert_eq!((&one["tags"][0], &one["filters"][0]["filter"]), (&"guest".into(), &"a/#".into()));

    let mqtt = &list(&["--dialect", "mqtt"])[0].1.clone();
    run(&[&["sessions"], &at[..], &["tag", mqtt, "night shift"]].concat()).expect(1);
    run(&[&["sessions"], &at[..], &["tag", mqtt, "night"]].concat()).expect(0);
    let told = run(&[&["sessions"], &at[..], &["tell", "--tag", "night", "go home"]].concat()).expect(0);
    assert_eq!(told.out, "told 1 of 1 sessions\n");
    other.out_line("$notice/night go home");
    run(&[&["sessions"], &at[..], &["tag", mqtt, "night", "--remove"]].concat()).expect(0);
    assert_eq!(list(&["--tag", "night"]).len(), 0);

    run(&[&["sessions"], &at[..], &["kick", id, "--forget"]].concat()).expect(0);
    guest.err_line("administrator");
    let gone = run(&[&["sessions"], &at[..], &["kick", id]].concat()).expect(1);
    assert!(gone.err.contains("404") && gone.err.contains("there is no session"), "{gone:?}");
}

/// Bodies of requests that come to a port; each is answered with the next of these statuses.
fn hook(statuses: &'static [u16]) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, bodies) = channel();
    thread::spawn(move || {
        for (status, stream) in statuses.iter().zip(listener.incoming()) {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).unwrap() > 2 {
                if let Some(n) = head.strip_prefix("content-length: ") {
                    length = n.trim().parse().unwrap();
                }
                head.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            write!(stream.get_mut(), "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").unwrap();
            to.send(String::from_utf8(body).unwrap()).unwrap();
        }
    });
    (format!("http://127.0.0.1:{port}/alerts"), bodies)
}

#[test]
fn alerts_are_posted_and_tried_again_and_audits_are_lines_of_json() {
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let (url, bodies) = hook(&[503, 200]);
    let plugins = format!(
        "[webhook]\nurl = \"{url}\"\n[[plugin]]\nname = \"alerts\"\n[[plugin.alert]]\nname = \"somebody\"\n\
         metric = \"connected\"\nabove = 0\nhold = \"0s\"\n[[plugin]]\nname = \"audit\"\n[plugin.audit]\n\
         file = {audit:?}\nsubscriptions = true\n"
    );
    let (program, port) = server(directory.path(), &plugins);
    let sub = start(&["sub", "--say-ready", "-p", &port, "-i", "ann", "a/#"]);
    sub.err_line("subscribed to");
    let first = bodies.recv_timeout(Duration::from_secs(60)).unwrap();
    let again = bodies.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(first, again);
    let alert: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&alert["alert"], &alert["state"], &alert["limit"]),
        (&"somebody".into(), &"raised".into(), &0.into())
    );
    program.err_line("alert handed on");
    drop(sub);
    program.signal("TERM");
    program.finish();
    let text = std::fs::read_to_string(&audit).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (&line["action"], &line["client_id"], &line["subject"])).collect();
    assert!(told.contains(&(&"open".into(), &"ann".into(), &Value::Null)), "{text}");
    assert!(told.contains(&(&"subscribe".into(), &"ann".into(), &"a/#".into())), "{text}");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["plugin"] == "audit"));
}
