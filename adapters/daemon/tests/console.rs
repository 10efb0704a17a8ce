//! The pages, and what the console asks for, over real sockets.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::Server;
use serde_json::Value;

/// What a request is answered with, to the end of the stream: the head, and the body.
fn ask(server: &Server, line: &str, fields: &str) -> (String, String) {
    let host = if fields.contains("Host: ") { "" } else { "Host: localhost\r\n" };
    let answer = server.ask(&format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("there is a head");
    (head.to_owned(), body.to_owned())
}

/// The first line of what a request is answered with, which may have no end.
fn ask_head(server: &Server, line: &str) -> String {
    let mut stream = server.dial();
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut head = String::new();
    BufReader::new(stream).read_line(&mut head).unwrap();
    head
}

fn status(server: &Server, line: &str, fields: &str) -> String {
    ask(server, line, fields).0["HTTP/1.1 ".len()..][..3].to_owned()
}

fn json(server: &Server, path: &str) -> Value {
    let (head, body) = ask(server, &format!("GET /api/{path}"), "");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: application/json"),
        "{head} {body}"
    );
    assert!(
        head.contains("cache-control: no-store") && head.contains("x-content-type-options: nosniff"),
        "{head}"
    );
    serde_json::from_str(&body).expect("it is JSON")
}

/// A client of MQTT 5 that has a session and a subscription, which it waits for.
fn mqtt(server: &Server, client_id: &str, filter: &str) -> TcpStream {
    let mut stream = server.dial();
    let n = |text: &str| u8::try_from(text.len()).unwrap();
    // Clean start, keep alive 60 s, session expiry 60 s.
    let mut packet =
        vec![0x10, 18 + n(client_id), 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 5, 0x11, 0, 0, 0, 60];
    packet.extend([0, n(client_id)]);
    packet.extend(client_id.as_bytes());
    packet.extend([0x82, 6 + n(filter), 0, 1, 0, 0, n(filter)]);
    packet.extend(filter.as_bytes());
    packet.push(1);
    stream.write_all(&packet).unwrap();
    // CONNACK, then SUBACK.
    for kind in [0x20, 0x90] {
        assert_eq!(packet_of(&mut stream)[0], kind);
    }
    stream
}

/// The next packet, which is short.
fn packet_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut packet = vec![0; usize::from(head[1])];
    stream.read_exact(&mut packet).unwrap();
    [&head[..], &packet].concat()
}

#[test]
fn the_console_is_announced_and_served() {
    let server = Server::start();
    let url = server.program.out_line("console at");
    assert_eq!(url.trim(), format!("console at http://127.0.0.1:{}/", server.port));
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/chat", "text/html; charset=utf-8"),
        ("/assets/client.js", "text/javascript; charset=utf-8"),
        ("/assets/console.js", "text/javascript; charset=utf-8"),
        ("/assets/chat.js", "text/javascript; charset=utf-8"),
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let (head, body) = ask(&server, &format!("GET {path}"), "");
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("content-type: {kind}\r\n")),
            "{head}"
        );
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
        let tag = head.split("etag: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        assert_eq!(status(&server, &format!("GET {path}"), &format!("If-None-Match: {tag}\r\n")), "304");
        let (again, nothing) = ask(&server, &format!("HEAD {path}"), "");
        assert!(again.contains(&format!("content-length: {}", body.len())) && nothing.is_empty(), "{again}");
        assert_eq!(status(&server, &format!("DELETE {path}"), ""), "405");
    }
    for path in ["/assets/", "/assets/../Cargo.toml", "/assets/nothing.js", "/api/nothing", "/api/"] {
        assert_eq!(status(&server, &format!("GET {path}"), ""), "404", "{path}");
    }
}

#[test]
fn pages_of_others_are_refused() {
    let server = Server::start_with(&[("BOWLINE_HTTP__HOSTS", "[\"bowline.example\"]")]);
    for path in ["/", "/api/info"] {
        let line = format!("GET {path}");
        for host in ["127.0.0.1:7790", "[::1]", "localhost:1"] {
            assert_eq!(status(&server, &line, &format!("Host: {host}\r\n")), "200", "{host}");
        }
        // By a name that others know, anybody may ask through this machine: who it is counts, not from where.
        assert_eq!(status(&server, &line, "Host: Bowline.Example\r\n"), "401");
        // A name that somebody else has point to this machine.
        assert_eq!(status(&server, &line, "Host: evil.example\r\n"), "403");
        assert_eq!(status(&server, &line, "Origin: http://evil.example\r\n"), "403");
        assert_eq!(status(&server, &line, "Origin: null\r\n"), "403");
        assert_eq!(status(&server, &line, "Origin: http://localhost\r\n"), "200");
        // Through a proxy nobody is on this machine.
        assert_eq!(status(&server, &line, "X-Forwarded-For: 192.0.2.1\r\n"), "401");
    }
    let (_, body) = ask(&server, "GET /api/info", "Host: evil.example\r\n");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert!(error["error"].as_str().unwrap().contains("http.hosts"), "{error}");
}

#[test]
fn who_is_not_known_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let access = directory.path().join("access.toml");
    std::fs::write(
        &access,
        "default = \"allow\"\n[[rule]]\nuser = \"bob\"\ndeny = \"subscribe\"\ntopic = \"$SYS/#\"\n",
    )
    .unwrap();
    let users =
        "[{name = \"ann\", plain_password = \"pencil\"}, {name = \"bob\", plain_password = \"pencil\"}]";
    let server = Server::start_with(&[
        ("BOWLINE_HTTP__CONSOLE", "authenticated"),
        ("BOWLINE_AUTH__USERS", users),
        ("BOWLINE_AUTH__TOKENS", "[{name = \"tom\", plain_token = \"s3cr3t-t0k3n-0f-t0m\"}]"),
        ("BOWLINE_AUTH__ACCESS_FILE", access.to_str().unwrap()),
    ]);
    for path in ["/", "/assets/console.js", "/api/info", "/api/sessions/0"] {
        let line = format!("GET {path}");
        let (head, _) = ask(&server, &line, "");
        assert!(
            head.starts_with("HTTP/1.1 401 ") && head.contains("www-authenticate: Basic realm=\"bowline\"")
        );
        // ann:pen is wrong, bob may not see what the server says of itself.
        assert_eq!(status(&server, &line, "Authorization: Basic YW5uOnBlbg==\r\n"), "401");
        assert_eq!(status(&server, &line, "Authorization: Basic Ym9iOnBlbmNpbA==\r\n"), "401");
    }
    for good in ["Basic YW5uOnBlbmNpbA==", "Bearer s3cr3t-t0k3n-0f-t0m"] {
        assert_eq!(status(&server, "GET /api/info", &format!("Authorization: {good}\r\n")), "200");
    }
    assert_eq!(status(&server, "GET /chat", ""), "200", "the chat is for all");
}

#[test]
fn what_is_off_is_not_there() {
    let server = Server::start_with(&[("BOWLINE_HTTP__CONSOLE", "off"), ("BOWLINE_HTTP__CHAT", "false")]);
    for path in ["/", "/chat", "/assets/client.js", "/assets/chat.js", "/assets/console.js", "/api/info"] {
        assert_eq!(status(&server, &format!("GET {path}"), ""), "404", "{path}");
    }
    let chat = Server::start_with(&[("BOWLINE_HTTP__CONSOLE", "off")]);
    for (path, code) in [("/", "404"), ("/chat", "200"), ("/assets/client.js", "200"), ("/api/info", "404")] {
        assert_eq!(status(&chat, &format!("GET {path}"), ""), code, "{path}");
    }
}

#[test]
fn sessions_are_listed_shown_and_disconnected() {
    let server = Server::start();
    let mut sensor = mqtt(&server, "sensor-7", "home/+/door");
    mqtt(&server, "other", "a");
    let found = json(&server, "sessions?search=SENSOR");
    assert_eq!((&found["total"], &found["next"]), (&1.into(), &Value::Null));
    let row = &found["sessions"][0];
    for (name, value) in
        [("client_id", "sensor-7"), ("dialect", "mqtt"), ("version", "5.0"), ("carrier", "tcp")]
    {
        assert_eq!(row[name], value, "{row}");
    }
    assert_eq!((&row["connected"], &row["subscriptions"]), (&true.into(), &1.into()));
    let id = row["id"].as_str().unwrap();
    let one = json(&server, &format!("sessions/{id}"));
    assert_eq!(one["filters"], serde_json::json!([{"filter": "home/+/door", "qos": 1, "serves": false}]));
    assert_eq!((&one["expiry_s"], &one["queue_policy"]), (&60.into(), &"drop-oldest".into()));

    let delete = format!("DELETE /api/sessions/{id}");
    assert_eq!(status(&server, &delete, ""), "403", "a form of another page could ask for that");
    assert_eq!(status(&server, &format!("POST /api/sessions/{id}"), "Content-Length: 0\r\n"), "405");
    assert_eq!(status(&server, &delete, "Bowline-Admin: 1\r\n"), "204");
    let told = packet_of(&mut sensor);
    assert_eq!((told[0], told[2]), (0xe0, 0x98), "DISCONNECT, administrative action");
    assert_eq!(json(&server, &format!("sessions/{id}"))["connected"], false);
    assert_eq!(status(&server, &format!("{delete}?forget=true"), "Bowline-Admin: 1\r\n"), "204");
    assert_eq!(status(&server, &delete, "Bowline-Admin: 1\r\n"), "404");
    for other in ["nobody", "0", "-000000000000001", "%00"] {
        assert_eq!(status(&server, &format!("GET /api/sessions/{other}"), ""), "404", "{other}");
    }
}

#[test]
fn lists_come_in_pages() {
    let server = Server::start();
    let clients: Vec<_> =
        (0..7).map(|n| mqtt(&server, &format!("client-{n}"), &format!("topic/{n}"))).collect();
    for list in ["sessions", "topics"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = json(&server, &format!("{list}?search=c&limit=3{after}"));
            let rows = page[list].as_array().unwrap();
            assert!(rows.len() <= 3);
            seen.extend(
                rows.iter().map(|row| row[if list == "topics" { "topic" } else { "client_id" }].clone()),
            );
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let name = if list == "topics" { "topic/" } else { "client-" };
        assert_eq!(seen, (0..7).map(|n| Value::from(format!("{name}{n}"))).collect::<Vec<_>>());
    }
    drop(clients);
    for wrong in ["sessions?limit=abc", "rooms?limit=501", "topics?after=%zz", "sessions?after=-1"] {
        let (head, body) = ask(&server, &format!("GET /api/{wrong}"), "");
        assert!(
            head.starts_with("HTTP/1.1 400 ") && body.starts_with("{\"error\":"),
            "{wrong}: {head} {body}"
        );
    }
}

#[test]
fn the_server_tells_of_itself() {
    let server = Server::start();
    server.run_client(&["pub", "--retain", "home/door", "open"]).expect(0);
    let info = json(&server, "info");
    assert_eq!((&info["name"], &info["draining"]), (&"bowline".into(), &false.into()));
    assert_eq!(info["counters"]["messages_in"], 1);
    assert!(info["counters"]["bytes_out"].as_u64() > Some(20), "what was sent is counted: {info}");
    assert_eq!(info["sessions"], 0, "its own are none of clients");
    let listeners = json(&server, "listeners");
    assert_eq!(listeners["listeners"][0]["address"], format!("127.0.0.1:{}", server.port));
    let topics = json(&server, "topics");
    assert_eq!(topics["topics"][0]["topic"], "home/door");
    assert_eq!(json(&server, "store")["kind"], "none");
    assert_eq!(json(&server, "rooms")["rooms"], serde_json::json!([]));
}

/// A stream of events that is read as it comes.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(server: &Server, fields: &str) -> Self {
        let mut stream = server.dial();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // To a client of HTTP/1.0 the events come as they are.
        let request = format!("GET /api/log?level=info HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(stream));
        let head: Vec<String> =
            std::iter::from_fn(|| Some(events.line()).filter(|line| !line.is_empty())).collect();
        assert!(head[0].starts_with("HTTP/1.1 200 "), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        assert_eq!([events.line(), events.line(), events.line()], ["retry: 1000", ":", ""], "at once");
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of the log, with its number.
    fn next(&mut self) -> (u64, Value) {
        let id = self.line().strip_prefix("id: ").expect("an id").parse().unwrap();
        let data = serde_json::from_str(self.line().strip_prefix("data: ").expect("its data")).unwrap();
        assert_eq!(self.line(), "");
        (id, data)
    }

    /// The number of the line that says this, which comes now or later.
    fn until(&mut self, message: &str) -> u64 {
        loop {
            let (id, line) = self.next();
            if line["message"] == message {
                return id;
            }
        }
    }
}

#[test]
fn the_log_is_told_as_it_grows_and_goes_on_from_where_it_was() {
    let server = Server::start();
    let mut events = Events::open(&server, "");
    let serving = events.until("serving");
    let _client = mqtt(&server, "sensor-7", "a");
    let (connected, line) = events.next();
    assert_eq!((&line["message"], &line["fields"]["name"]), (&"connected".into(), &"sensor-7".into()));
    assert!(connected > serving && line["level"] == "info", "{line}");
    // Who names the last that it knows gets what came since, at once and only that.
    let mut again = Events::open(&server, &format!("Last-Event-ID: {serving}\r\n"));
    assert_eq!(again.next().0, connected);
    let _client = mqtt(&server, "sensor-8", "a");
    assert_eq!((events.next().0, again.next().0), (connected + 1, connected + 1));
    // Numbers of an earlier start.
    Events::open(&server, "Last-Event-ID: 99999\r\n").until("serving");
}

#[test]
fn as_many_watch_the_log_as_may_and_no_more() {
    let server = Server::start();
    let mut all: Vec<Events> = (0..8).map(|_| Events::open(&server, "")).collect();
    let (head, body) = ask(&server, "GET /api/log", "");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("as many watch"), "{head} {body}");
    assert_eq!(status(&server, "HEAD /api/log", ""), "200", "that watches nothing");
    assert_eq!(status(&server, "POST /api/log", "Content-Length: 0\r\n"), "405");
    // Where one goes, there is room for another.
    all.pop();
    while ask_head(&server, "GET /api/log").starts_with("HTTP/1.1 503 ") {}
}

#[test]
fn lists_are_in_the_order_that_is_asked_for() {
    let server = Server::start();
    let clients: Vec<_> =
        [9, 10, 2, 1].map(|n| mqtt(&server, &format!("Client-{n}"), &format!("t/{}", n / 9))).into();
    let names = |path: &str, list: &str, name: &str| -> Vec<String> {
        let rows = json(&server, path)[list].as_array().unwrap().clone();
        rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
    };
    let sessions = |query: &str| names(&format!("sessions?{query}"), "sessions", "client_id");
    assert_eq!(sessions(""), ["Client-1", "Client-2", "Client-9", "Client-10"]);
    assert_eq!(sessions("prefix=client-1"), ["Client-1", "Client-10"]);
    assert_eq!(sessions("prefix=lient"), Vec::<String>::new());
    assert_eq!(names("topics?sort=members", "topics", "topic"), ["t/0", "t/1"]);
    // Who hears most is first: two of them have said or heard anything at all.
    for _ in 0..3 {
        server.run_client(&["pub", "t/1", "x"]).expect(0);
    }
    assert_eq!(sessions("sort=rate&prefix=c")[..2], ["Client-9", "Client-10"]);
    let page = json(&server, "sessions?sort=rate&limit=3");
    assert_eq!((page["total"].as_u64(), page["sessions"].as_array().unwrap().len()), (Some(4), 3));
    assert!(page["sessions"][0]["messages_per_s"].as_f64().unwrap() > 0.0, "{page}");
    let next = page["next"].as_str().unwrap();
    assert_eq!(sessions(&format!("sort=rate&after={next}")), ["Client-2"]);
    for wrong in ["topics?sort=rate", "topics?sort=queue", "sessions?sort=members", "rooms?sort=colour"] {
        assert_eq!(status(&server, &format!("GET /api/{wrong}"), ""), "400", "{wrong}");
    }
    drop(clients);
}

#[test]
fn a_session_is_shown_with_where_it_is() {
    let server = Server::start();
    let client = mqtt(&server, "sensor", "a");
    let found = json(&server, "sessions?search=sensor");
    let row = &found["sessions"][0];
    assert_eq!(row["address"], client.local_addr().unwrap().to_string());
    assert_eq!((&row["rtt_us"], row["messages_per_s"].as_f64()), (&Value::Null, Some(0.0)));
    let id = row["id"].as_str().unwrap();
    assert_eq!(json(&server, &format!("sessions/{id}"))["dropped"], 0);
    drop(client);
    while json(&server, &format!("sessions/{id}"))["connected"] == true {}
    assert_eq!(json(&server, &format!("sessions/{id}"))["address"], "127.0.0.1");
}
