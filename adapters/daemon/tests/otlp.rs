//! Spans over OTLP, as a collector gets them.

#![cfg(feature = "otlp")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::Server;

/// What was posted: the head, and the body.
type Posted = (String, Vec<u8>);

/// A collector that takes all.
fn collector() -> (String, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (to, posts) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let to = to.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(posted) = read(&mut stream) {
                    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() || to.send(posted).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, posts)
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Posted> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line.to_ascii_lowercase());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A field of a message of protobuf: its number, and its octets or its number in eight.
fn fields(mut octets: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(octets: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = octets.split_first().expect("a whole number");
            *octets = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !octets.is_empty() {
        let key = varint(&mut octets);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut octets).to_be_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut octets) as usize,
            5 => 4,
            sort => panic!("wire type {sort}"),
        };
        let (value, rest) = octets.split_at(length);
        found.push((key >> 3, value.to_vec()));
        octets = rest;
    }
    found
}

fn all(octets: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(octets).into_iter().filter(|(n, _)| *n == number).map(|(_, value)| value).collect()
}

fn one(octets: &[u8], number: u64) -> Vec<u8> {
    all(octets, number).pop().unwrap_or_default()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A span as `name trace parent`, with its own id and its attributes that are texts (opentelemetry.proto.trace.v1).
#[derive(Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: Vec<(String, String)>,
}

fn spans(request: &[u8]) -> Vec<Span> {
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    let scopes = all(request, 1).into_iter().flat_map(|resource| all(&resource, 2));
    let spans = scopes.flat_map(|scope| all(&scope, 2));
    let attribute = |pair: Vec<u8>| (text(one(&pair, 1)), text(one(&one(&pair, 2), 1)));
    spans
        .map(|span| Span {
            name: text(one(&span, 5)),
            trace: hex(&one(&span, 1)),
            id: hex(&one(&span, 2)),
            parent: hex(&one(&span, 4)),
            attributes: all(&span, 9).into_iter().map(attribute).collect(),
        })
        .collect()
}

fn send(server: &Server, trace: &str) {
    let body = r#"{"type":"hello","room":"lobby"}"#;
    let length = body.len();
    let answer = server.ask(&format!(
        "POST /ws/send HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\ntraceparent: {trace}\r\n\r\n{body}"
    ));
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

fn metrics(server: &Server) -> String {
    server.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_collector_gets_the_spans_of_a_message() {
    let (endpoint, posts) = collector();
    let headers = "{authorization = \"Bearer pencil\"}";
    let settings = [("BOWLINE_OTLP__ENDPOINT", &*endpoint), ("BOWLINE_OTLP__HEADERS", headers)];
    let server = Server::start_with(&settings);
    let listener = server.start_client(&["sub", "$room/lobby", "-C", "1", "--say-ready"]);
    listener.err_line("subscribed");
    send(&server, &format!("00-{TRACE}-b7ad6b7169203331-01"));
    // Nobody wants these recorded.
    send(&server, &format!("00-{TRACE}-b7ad6b7169203331-00"));
    listener.finish().expect(0);
    let mut found = Vec::new();
    while found.len() < 2 {
        let (head, body) = posts.recv_timeout(Duration::from_secs(60)).expect("spans");
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
        assert!(head.contains("authorization: bearer pencil\r\n"), "{head}");
        found.extend(spans(&body));
    }
    assert_eq!(found.len(), 2, "{found:?}");
    let received = found.iter().find(|span| span.name == "receive").unwrap();
    let delivered = found.iter().find(|span| span.name == "deliver").unwrap();
    assert_eq!((&*received.trace, &*received.parent), (TRACE, "b7ad6b7169203331"));
    assert_eq!((&*delivered.trace, &delivered.parent), (TRACE, &received.id));
    let attribute = |span: &Span, wanted: &str| {
        let found = span.attributes.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(attribute(received, "messaging.destination.name"), "$room/lobby");
    assert_eq!(attribute(received, "network.protocol.name"), "json");
    assert_eq!(attribute(delivered, "network.protocol.name"), "bowline");
    // Counted once the collector's answer has come.
    let exported = |text: &str| text.contains("bowline_otlp_spans_total{outcome=\"exported\"} 2\n");
    let texts = std::iter::repeat_with(|| metrics(&server));
    let text = texts.take(10_000).find(|text| exported(text)).expect("two spans are exported");
    assert!(text.contains("bowline_otlp_spans_total{outcome=\"dropped\"} 0\n"), "{text}");
}

/// What waits when the server ends is handed over.
#[test]
fn the_last_spans_are_not_lost() {
    let (endpoint, posts) = collector();
    let mut settings = vec![("BOWLINE_OTLP__ENDPOINT", &*endpoint), ("BOWLINE_TRACE__MAKE", "true")];
    settings.push(("BOWLINE_DRAIN__RETRY_AFTER", "0s"));
    let server = Server::start_with(&settings);
    server.run_client(&["pub", "a/b", "hello"]).expect(0);
    server.program.signal("TERM");
    let (_, body) = posts.recv_timeout(Duration::from_secs(60)).expect("spans");
    let spans = spans(&body);
    assert_eq!((spans.len(), &*spans[0].name, &*spans[0].parent), (1, "receive", ""), "{spans:?}");
}

#[test]
fn a_collector_that_is_gone_costs_nobody_anything() {
    // Somebody's port that is free again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let settings = [("BOWLINE_OTLP__ENDPOINT", &*endpoint), ("BOWLINE_TRACE__MAKE", "true")];
    let server = Server::start_with(&settings);
    server.run_client(&["pub", "a/b", "hello"]).expect(0);
    server.program.err_line("the collector takes no spans");
    let text = metrics(&server);
    assert!(text.contains("bowline_otlp_spans_total{outcome=\"failed\"} 1\n"), "{text}");
    server.run_client(&["pub", "a/b", "hello"]).expect(0);
}
