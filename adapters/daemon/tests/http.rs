//! Requests of HTTP on the port where all else is spoken.

mod common;

use std::io::{Read, Write};

use common::Server;

fn get(server: &Server, path: &str, fields: &str) -> String {
    server.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start();
    server.run_client(&["pub", "a/b", "hello"]).expect(0);
    let answer = get(&server, "/metrics", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ndate: "), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    for line in [
        "bowline_messages_in_total{dialect=\"bowline\"} 1",
        "bowline_connections_active{dialect=\"http\",layer=\"none\"} 1",
        "bowline_connections_total 2",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line}: {answer}");
    }
}

/// As Prometheus asks.
/// What one client compresses is handed on to who likes the same, and inflated for who does not.
#[test]
fn compressed_payloads_are_counted() {
    let server = Server::start();
    let payload = "over and over ".repeat(200);
    for (like, outcome) in [(&["--compression", "zstd,lz4"][..], "passed"), (&[], "inflated")] {
        let line = [&["sub", "--say-ready", "-C", "1", "packed"], like].concat();
        let sub = server.start_client(&line);
        sub.err_line("subscribed to");
        server.run_client(&["pub", "packed", &payload, "--compression", "zstd"]).expect(0);
        assert_eq!(sub.finish().expect(0).out, format!("{payload}\n"));
        let metrics = get(&server, "/metrics", "");
        let count = format!("bowline_compressed_payloads_total{{outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&count), "{metrics}");
    }
    let metrics = get(&server, "/metrics", "");
    assert!(metrics.contains("bowline_inflated_bytes_total{form=\"inflated\"} 2800\n"), "{metrics}");
}

#[test]
fn metrics_are_written_as_they_are_asked_for() {
    let server = Server::start();
    let accept =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let answer = get(&server, "/metrics", accept);
    let sort = "\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(answer.contains(sort) && answer.contains("\r\nvary: accept\r\n"), "{answer}");
    assert!(answer.contains("\n# TYPE bowline_messages_in counter\n"), "{answer}");
    assert!(answer.ends_with("\n# EOF\n"), "{answer}");
    let began = answer.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
    assert!(began.unwrap().parse::<f64>().unwrap() > 1_700_000_000.0);
}

/// At the level `debug`.
#[test]
fn the_log_names_traces() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server = Server::start_with(&[("BOWLINE_LOG__LEVEL", "info,bowline=debug")]);
    let send = |server: &Server| {
        let body = r#"{"type":"hello","room":"lobby"}"#;
        let fields = format!("Content-Length: {}\r\ntraceparent: {TRACE}\r\n", body.len());
        let head = "POST /ws/send HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let answer = server.ask(&format!("{head}{fields}\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    };
    send(&server);
    let line = server.program.err_line("trace_id=\"0af7651916cd43dd8448eb211c80319c\"");
    assert!(line.contains("stage=Received") && line.contains("topic=\"$room/lobby\""), "{line}");
    let metrics = get(&server, "/metrics", "");
    assert!(metrics.contains("bowline_traced_messages_total{stage=\"received\"} 1\n"), "{metrics}");
}

#[test]
fn files_are_known_by_their_tags() {
    let server = Server::start();
    let answer = get(&server, "/", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("<!doctype html>"), "{answer}");
    for field in ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'"] {
        assert!(answer.contains(field), "{field}: {answer}");
    }
    let tag = answer.split("etag: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let again = get(&server, "/", &format!("If-None-Match: \"x\", W/{tag}\r\n"));
    assert!(again.starts_with("HTTP/1.1 304 Not Modified\r\n") && again.ends_with("\r\n\r\n"), "{again}");
    let other = get(&server, "/", "If-None-Match: \"x\"\r\n");
    assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::start();
    assert!(get(&server, "/healthz", "").ends_with("\r\n\r\nok\n"));
    assert!(get(&server, "/readyz", "").ends_with("\r\n\r\nready\n"));
    assert!(get(&server, "/nowhere", "").starts_with("HTTP/1.1 404 "));
    let post = "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = server.ask(post);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let head = server.ask("HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.contains("content-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn metrics_are_for_who_says_who_it_is() {
    let users = "[{name = \"ann\", plain_password = \"pencil\"}]";
    let settings = [("BOWLINE_AUTH__USERS", users), ("BOWLINE_AUTH__ANONYMOUS", "never")];
    let server = Server::start_with(&settings);
    let answer = get(&server, "/metrics", "");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Basic"), "{answer}");
    let good = get(&server, "/metrics", "Authorization: Basic YW5uOnBlbmNpbA==\r\n");
    assert!(good.starts_with("HTTP/1.1 200 "), "{good}");
    let bad = get(&server, "/metrics", "Authorization: Basic YW5uOnBlbg==\r\n");
    assert!(bad.starts_with("HTTP/1.1 401 "), "{bad}");
    assert!(get(&server, "/healthz", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn pages_of_listed_origins_may_connect() {
    let server = Server::start_with(&[("BOWLINE_HTTP__ORIGINS", "[\"https://chat.example\"]")]);
    let open = |origin: &str| {
        let fields = format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nOrigin: {origin}\r\n"
        );
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let mut stream = server.dial();
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    };
    assert_eq!(open("https://chat.example"), "HTTP/1.1 101");
    assert_eq!(open("http://localhost"), "HTTP/1.1 101");
    assert_eq!(open("https://evil.example"), "HTTP/1.1 403");
}
