use core::time::Duration;

use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::client::{Request, RequestError, ResponseHead};
use super::server::{Config, End};
use super::*;
use crate::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
use crate::lifecycle::Transport;
use crate::time::{Instant, Why};

const MEMORY: usize = 64 << 10;

/// A line to a server that answers each request with what it asked for.
struct Line {
    now: Instant,
    server: Server,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Requests as they were understood.
    asked: Vec<String>,
    ends: Vec<End>,
    transport: Transport,
    /// Answers are given by hand.
    by_hand: bool,
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

impl Line {
    fn new() -> Self {
        Self::with(Config { max_body: 1000, ..Config::default() })
    }

    fn with(config: Config) -> Self {
        Line {
            now: at(0),
            server: Server::accept(at(0), &config),
            input: Vec::new(),
            out: Vec::new(),
            asked: Vec::new(),
            ends: Vec::new(),
            transport: Transport::Open,
            by_hand: false,
        }
    }

    fn send(&mut self, octets: &[u8]) -> &mut Self {
        self.input.extend_from_slice(octets);
        self.turn();
        self
    }

    /// Does something with the machine and a buffer to write to.
    fn call<T>(&mut self, f: impl FnOnce(&mut Server, Instant, &mut SliceSendBuf<'_>) -> T) -> T {
        let mut memory = vec![0; MEMORY];
        let mut out = SliceSendBuf::new(&mut memory);
        let done = f(&mut self.server, self.now, &mut out);
        self.out.extend_from_slice(out.pending());
        done
    }

    fn turn(&mut self) {
        let mut memory = vec![0; MEMORY];
        let mut buf = SliceRecvBuf::new(&mut memory);
        assert_eq!(buf.push(&self.input), self.input.len());
        loop {
            let mut whole = false;
            match self.server.recv(self.now, &mut buf) {
                Some(Event::Request(head)) => {
                    self.asked.push(format!("{} {} {:?} ", head.method, head.path, head.query));
                }
                Some(Event::Body(part)) => {
                    assert!(!part.is_empty());
                    self.asked.last_mut().unwrap().push_str(&String::from_utf8_lossy(part));
                }
                Some(Event::End) => {
                    self.asked.last_mut().unwrap().push('.');
                    whole = true;
                }
                Some(Event::Closed(end)) => self.ends.push(end),
                None => break,
            }
            if whole && !self.by_hand {
                let body = self.asked.last().unwrap().clone();
                let response = Response::new(StatusCode::OK, Body::Copied(body.as_bytes()));
                self.call(|server, now, out| server.respond(now, out, &response)).unwrap();
            }
        }
        self.input = buf.filled().to_vec();
        self.transport = self.call(|server, now, out| server.poll_transmit(now, out));
    }

    fn eof(&mut self) -> &mut Self {
        self.server.handle_eof(self.now);
        self.turn();
        self
    }

    /// The time becomes this; what is due happens.
    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = at(ms);
        if let Some(Event::Closed(end)) = self.server.handle_timeout(self.now) {
            self.ends.push(end);
        }
        self.turn();
        self
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.out).unwrap()
    }

    /// The status lines that were sent.
    fn statuses(&self) -> Vec<u16> {
        let lines = self.text().split("HTTP/1.1 ").skip(1);
        lines.filter_map(|line| line[..3].parse().ok()).collect()
    }
}

const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";

/// What one request is refused with.
fn refused(request: &str) -> (u16, Fault) {
    let mut line = Line::new();
    line.send(request.as_bytes());
    assert_eq!(line.transport, Transport::Shut, "{request:?}");
    let [End::Fault(fault)] = line.ends[..] else { panic!("{request:?}: {:?}", line.ends) };
    let text = line.text();
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert!(text.ends_with(&format!("{}: {fault}\n", fault.status())), "{text}");
    assert_eq!(line.statuses(), [fault.status().number()]);
    // What else comes is thrown away, so that no reset eats the answer.
    line.send(&[b'x'; 5000]);
    assert_eq!((line.input.len(), line.transport), (0, Transport::Shut));
    line.eof();
    assert_eq!(line.transport, Transport::Drop);
    (fault.status().number(), fault)
}

/// RFC 9112 §3.2, §5, §6: whatever two readers could understand differently.
#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for (request, status, fault) in [
        (post("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400, Fault::LengthAndEncoding),
        (get("Content-Length: 1\r\nTransfer-Encoding: identity"), 400, Fault::LengthAndEncoding),
        (post("Content-Length: 1\r\nContent-Length: 2"), 400, Fault::LengthRepeated),
        (post("Content-Length: 1\r\ncontent-length: 1"), 400, Fault::LengthRepeated),
        (post("Content-Length: 1, 1"), 400, Fault::LengthRepeated),
        (post("Content-Length: +1"), 400, Fault::ContentLength),
        (post("Content-Length: -1"), 400, Fault::ContentLength),
        (post("Content-Length: 0x1"), 400, Fault::ContentLength),
        (post("Content-Length: 1 1"), 400, Fault::ContentLength),
        (post("Content-Length:"), 400, Fault::ContentLength),
        (post("Content-Length: 18446744073709551616"), 400, Fault::ContentLength),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400, Fault::TransferEncoding),
        (post("Transfer-Encoding: chunked, identity"), 400, Fault::TransferEncoding),
        (post("Transfer-Encoding: xchunked"), 400, Fault::TransferEncoding),
        (post("Transfer-Encoding: \u{b}chunked"), 400, Fault::Field),
        (post("Transfer-Encoding: gzip, chunked"), 501, Fault::Coding),
        (post("Transfer-Encoding : chunked"), 400, Fault::SpaceBeforeColon),
        (post("Content-Length\t: 1"), 400, Fault::SpaceBeforeColon),
        (get("A: b\r\n c"), 400, Fault::Folded),
        (get(" A: b"), 400, Fault::Folded),
        (get("A: b\nC: d"), 400, Fault::LineEnd),
        (get("A: b\rC: d"), 400, Fault::LineEnd),
        (get("A: b\r\r\nC: d"), 400, Fault::LineEnd),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), 400, Fault::LineEnd),
        (get("A\0: b"), 400, Fault::Field),
        (get("A: b\0"), 400, Fault::Field),
        (get("A b: c"), 400, Fault::Field),
        (get(": c"), 400, Fault::Field),
        (get("no colon"), 400, Fault::Field),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400, Fault::TransferEncoding),
    ] {
        assert_eq!(refused(&request), (status, fault), "{request:?}");
    }
}

#[test]
fn requests_that_make_no_sense_are_told_what_is_wrong() {
    let of = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    for (request, status, fault) in [
        (of("GET  / HTTP/1.1"), 400, Fault::RequestLine),
        (of("GET /"), 400, Fault::RequestLine),
        (of("GET / HTTP/1.1 "), 400, Fault::LineEnd),
        (of("GET / http/1.1"), 505, Fault::Version),
        (of("GET / HTTP/1.2"), 505, Fault::Version),
        (of("PRI * HTTP/2.0"), 505, Fault::Version),
        (of("G(T / HTTP/1.1"), 400, Fault::RequestLine),
        (of("BREW /pot HTTP/1.1"), 501, Fault::Method),
        (of("TRACE / HTTP/1.1"), 501, Fault::Method),
        (of("CONNECT a:1 HTTP/1.1"), 501, Fault::Method),
        (of("get / HTTP/1.1"), 501, Fault::Method),
        (of("GET a HTTP/1.1"), 400, Fault::Target),
        (of("GET * HTTP/1.1"), 400, Fault::Target),
        (of("GET /a#b HTTP/1.1"), 400, Fault::Target),
        (of("GET ftp://a/ HTTP/1.1"), 400, Fault::Target),
        (of("GET http:///a HTTP/1.1"), 400, Fault::Target),
        (of("GET http://u@a/ HTTP/1.1"), 400, Fault::Host),
        (of("POST / HTTP/1.1"), 411, Fault::LengthRequired),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400, Fault::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400, Fault::HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400, Fault::HostRepeated),
        ("GET http://a/ HTTP/1.1\r\n\r\n".into(), 400, Fault::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400, Fault::Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400, Fault::Host),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n".into(), 400, Fault::Host),
        ("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n".into(), 400, Fault::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n".into(), 417, Fault::Expectation),
    ] {
        assert_eq!(refused(&request), (status, fault), "{request:?}");
    }
}

#[test]
fn limits_hold_before_a_head_is_whole() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MAX_REQUEST_LINE));
    assert_eq!(refused(&long), (414, Fault::LineTooLong));
    assert_eq!(refused(&long[..MAX_REQUEST_LINE + 1]), (414, Fault::LineTooLong));
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nB: {}", "b".repeat(MAX_HEAD));
    assert_eq!(refused(&field), (431, Fault::HeadTooLong));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(MAX_FIELDS));
    assert_eq!(refused(&endless), (431, Fault::TooManyFields));
    // At the limits, all is well.
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_REQUEST_LINE - 16));
    let fields = format!("{}Host: a\r\n", "A: b\r\n".repeat(MAX_FIELDS - 1));
    let rest = MAX_HEAD - line.len() - fields.len() - "C: \r\n\r\n".len();
    let head = format!("{line}{}\r\n", fields.replacen("A: b", &format!("C: {}b", "c".repeat(rest)), 1));
    assert!(RequestHead::parse(head.as_bytes()).is_ok(), "{}", head.len());
}

#[test]
fn targets_and_hosts_are_read_as_they_are_meant() {
    for (head, path, query, host) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", None, "a"),
        ("GET /a/b?c=d?e HTTP/1.1\r\nHost: a:80\r\n\r\n", "/a/b", Some("c=d?e"), "a:80"),
        ("GET HTTP://b:1/c HTTP/1.1\r\nHost: a\r\n\r\n", "/c", None, "b:1"),
        ("GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", "/", Some("c"), "b"),
        ("OPTIONS * HTTP/1.1\r\nHost: [::1]:7790\r\n\r\n", "*", None, "[::1]:7790"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "/", None, ""),
        ("GET / HTTP/1.0\r\n\r\n", "/", None, ""),
    ] {
        let read = RequestHead::parse(head.as_bytes()).unwrap_or_else(|e| panic!("{head:?}: {e}"));
        assert_eq!((read.path, read.query, read.host), (path, query, host));
    }
    let head = b"GET /p?max=5&a=b=c&max=6&d HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = RequestHead::parse(head).unwrap();
    assert_eq!(
        (head.parameter("max"), head.parameter("a"), head.parameter("d")),
        (Some("5"), Some("b=c"), None)
    );
}

#[test]
fn lists_go_over_fields() {
    let head =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a ,, b\r\nX: 1\r\nconnection: \xff, Upgrade\r\n\r\n";
    let headers = RequestHead::parse(head).unwrap().headers;
    assert_eq!(headers.list("Connection").collect::<Vec<_>>(), ["a", "b", "Upgrade"]);
    assert!(headers.has_token("connection", "UPGRADE") && !headers.has_token("x", "2"));
    assert_eq!(
        (headers.text("x"), headers.get("y"), headers.text("connection")),
        (Some("1"), None, Some("a ,, b"))
    );
    assert!(headers.as_bytes().starts_with(b"Host"));
}

#[test]
fn requests_in_one_segment_are_answered_in_their_order() {
    let mut line = Line::new();
    let requests = [
        GET,
        b"\r\nPOST /1 HTTP/1.1\r\nhost:x\r\ncontent-length: 3\r\n\r\nabc",
        b"PUT /2 HTTP/1.1\r\nHOST: x\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n001\r\nd\r\n0\r\nT: u\r\n\r\n",
        b"HEAD /3 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        GET,
    ];
    line.send(&requests.concat());
    let asked = [
        "GET /a Some(\"b=c\") .",
        "POST /1 None abc.",
        "PUT /2 None abcd.",
        "HEAD /3 None .",
        "GET /4 None .",
    ];
    assert_eq!(line.asked, asked);
    assert_eq!(
        (line.statuses(), &line.ends[..], line.transport),
        (vec![200; 5], &[End::Done][..], Transport::Shut)
    );
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nHTTP", asked[3].len());
    assert!(line.text().contains(&head), "no body to HEAD: {}", line.text());
    assert!(line.text().ends_with(&format!("connection: close\r\n\r\n{}", asked[4])));
}

#[test]
fn one_that_is_not_answered_holds_those_behind_it() {
    let mut line = Line::new();
    line.by_hand = true;
    line.send(&[GET, GET].concat());
    assert_eq!((line.asked.len(), &line.input[..]), (1, GET));
    assert!(line.server.is_busy() && line.server.poll_timeout().is_none(), "the answer may take its time");
    let response = Response::new(StatusCode::NO_CONTENT, Body::Copied(b"left out"));
    line.call(|server, now, out| server.respond(now, out, &response)).unwrap();
    line.call(|server, now, out| server.respond(now, out, &response)).unwrap_err();
    line.turn();
    assert_eq!((line.asked.len(), line.text()), (2, "HTTP/1.1 204 No Content\r\n\r\n"));
}

/// RFC 9110 §10.1.1.
#[test]
fn a_client_that_expects_100_gets_it_or_an_answer() {
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mut line = Line::new();
    line.send(head);
    assert_eq!(line.text(), "HTTP/1.1 100 Continue\r\n\r\n");
    line.send(b"ab");
    assert_eq!((line.asked.len(), line.statuses()), (1, vec![100, 200]));
    // It did not wait.
    let mut line = Line::new();
    line.send(&[&head[..], b"ab"].concat());
    assert_eq!(line.statuses(), [200]);
    // HTTP/1.0 knows nothing of it.
    let mut line = Line::new();
    line.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(line.text(), "");
    // Its body is too long, or not wanted: the answer comes instead.
    let mut line = Line::new();
    line.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(line.statuses(), [413]);
    let mut line = Line::new();
    let mut memory = [0; 100];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(head);
    assert!(matches!(line.server.recv(at(0), &mut buf), Some(Event::Request(_))));
    let response = Response::new(StatusCode::FORBIDDEN, Body::EMPTY);
    line.call(|server, now, out| server.respond(now, out, &response)).unwrap();
    line.turn();
    assert_eq!(
        (line.statuses(), line.transport, &line.ends[..]),
        (vec![403], Transport::Shut, &[End::Done][..])
    );
}

#[test]
fn bodies_have_a_limit() {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
    let long = Fault::BodyTooLong(1000);
    assert_eq!(refused(&post("Content-Length: 1001", "")), (413, long));
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    assert_eq!(refused(&post("Transfer-Encoding: chunked", &format!("{chunk}1\r\ny"))), (413, long));
    let mut line = Line::new();
    line.send(post("Transfer-Encoding: chunked", &format!("{chunk}0\r\n\r\n")).as_bytes());
    assert_eq!(line.asked[0].len(), "POST / None .".len() + 1000);
    for body in [
        "x\r\n",
        "\r\n",
        ";a\r\n",
        "1\nx",
        "1\r\nxy\r\n",
        "1 \r\nx",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\nA: b\n",
    ] {
        assert_eq!(refused(&post("Transfer-Encoding: chunked", body)).1, Fault::Chunk, "{body:?}");
    }
    let endless = format!("1;{}", "a".repeat(300));
    assert_eq!(refused(&post("Transfer-Encoding: chunked", &endless)).1, Fault::Chunk);
    let trailers = format!("0\r\n{}", "A: b\r\n".repeat(1000));
    assert_eq!(refused(&post("Transfer-Encoding: chunked", &trailers)).1, Fault::Chunk);
}

#[test]
fn one_that_stalls_is_told_so() {
    let mut line = Line::new();
    line.send(b"GET / HTTP/1.1\r\nHo");
    let due = line.server.poll_timeout().unwrap();
    assert_eq!((due.at, due.why), (at(5000), Why::Handshake));
    line.at(4999).send(b"st").at(5000);
    assert_eq!((line.statuses(), &line.ends[..]), (vec![408], &[End::Fault(Fault::Stalled)][..]));
    assert_eq!(line.server.poll_timeout().unwrap().why, Why::Close);
    line.at(7000);
    assert_eq!(line.transport, Transport::Drop);
    // In a body.
    let mut line = Line::new();
    line.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").at(29_999).send(b"d").at(30_000);
    assert_eq!(line.statuses(), [408]);
    // Between requests nobody waits for an answer.
    let mut line = Line::new();
    line.send(GET).at(59_999);
    assert_eq!(line.transport, Transport::Open);
    line.at(60_000);
    assert_eq!(
        (line.statuses(), &line.ends[..], line.transport),
        (vec![200], &[End::Idle][..], Transport::Shut)
    );
}

#[test]
fn one_that_takes_nothing_is_given_up() {
    let mut line = Line::new();
    line.send(GET);
    line.server.handle_written(at(1000), 0, 10);
    line.server.handle_written(at(3000), 5, 5);
    assert_eq!(line.server.poll_timeout().unwrap().at, at(13_000));
    line.at(13_000);
    assert_eq!((&line.ends[..], line.transport), (&[End::Stalled][..], Transport::Abort));
}

#[test]
fn the_end_of_the_stream_is_no_end_of_what_was_asked() {
    let mut line = Line::new();
    line.by_hand = true;
    line.send(GET).eof();
    assert_eq!(line.transport, Transport::Open);
    line.call(|server, now, out| server.respond(now, out, &Response::new(StatusCode::OK, Body::EMPTY)))
        .unwrap();
    line.turn();
    assert_eq!((&line.ends[..], line.transport), (&[End::Done][..], Transport::Drop));
    for (octets, end) in [
        (&b""[..], End::Done),
        (GET, End::Done),
        (&GET[..9], End::Truncated),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", End::Truncated),
    ] {
        let mut line = Line::new();
        line.send(octets).eof();
        assert_eq!((&line.ends[..], line.transport), (&[end][..], Transport::Drop));
    }
}

#[test]
fn answers_can_be_streams() {
    for (request, body, last) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "5\r\nhello\r\n0\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\n\r\n", "hello", true),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", false),
    ] {
        let mut line = Line::new();
        line.by_hand = true;
        line.send(request);
        let headers = [("content-type", "text/event-stream")];
        let response = Response { headers: &headers, ..Response::new(StatusCode::OK, Body::EMPTY) };
        line.call(|server, now, out| {
            server.begin_response(now, Some(Date::from_unix(0)), out, &response, None)?;
            server.data(now, out, Body::Copied(b"hello"))?;
            server.data(now, out, Body::EMPTY)?;
            assert!(server.is_busy());
            server.finish(now, out)
        })
        .unwrap();
        line.turn();
        let (head, sent) = line.text().split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{head}");
        assert_eq!((sent, head.contains("connection: close")), (body, last));
        assert_eq!(line.transport, if last { Transport::Shut } else { Transport::Open });
    }
}

#[test]
fn a_body_in_parts_has_the_length_that_was_said() {
    let mut line = Line::new();
    line.by_hand = true;
    line.send(GET);
    let response = Response::new(StatusCode::OK, Body::EMPTY);
    line.call(|server, now, out| {
        server.begin_response(now, None, out, &response, Some(5)).unwrap();
        server.data(now, out, Body::Copied(b"abc")).unwrap();
        assert_eq!(server.data(now, out, Body::Copied(b"def")), Err(SendError::TooLong));
        assert_eq!(server.finish(now, out), Err(SendError::NotAsked));
        server.data(now, out, Body::Copied(b"de")).unwrap();
        assert_eq!(server.data(now, out, Body::Copied(b"f")), Err(SendError::NotAsked));
    });
    assert!(line.text().ends_with("content-length: 5\r\n\r\nabcde") && !line.server.is_busy());
}

#[test]
fn nothing_is_written_without_room_or_with_lines_of_others() {
    let mut line = Line::new();
    line.by_hand = true;
    line.send(GET);
    let mut memory = [0; 50];
    let mut out = SliceSendBuf::new(&mut memory);
    let response = Response::new(StatusCode::OK, Body::Copied(&[b'x'; 50]));
    let blocked = line.server.respond(at(0), &mut out, &response).unwrap_err();
    assert!(blocked.is_blocked() && out.pending().is_empty());
    for header in [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "\0")] {
        let headers = [header];
        let response = Response { headers: &headers, ..Response::new(StatusCode::OK, Body::EMPTY) };
        let refused = line.call(|server, now, out| server.respond(now, out, &response));
        assert_eq!(refused, Err(SendError::BadField(BadField)));
    }
    assert!(line.text().is_empty() && line.server.is_busy());
    // Nor is what answers a fault.
    let mut line = Line::new();
    line.input = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    let mut buf = SliceRecvBuf::new(&mut line.input);
    buf.commit(18);
    assert!(matches!(line.server.recv(at(0), &mut buf), Some(Event::Closed(_))));
    assert_eq!(line.server.poll_transmit(at(0), &mut out), Transport::Open);
    assert_eq!(line.server.poll_timeout().unwrap().why, Why::Output);
    line.turn();
    assert_eq!((line.statuses(), line.transport), (vec![400], Transport::Shut));
}

#[test]
fn this_side_ends_after_its_answer() {
    let mut line = Line::new();
    line.server.close(at(0));
    line.turn();
    assert_eq!((&line.ends[..], line.transport), (&[End::Closed][..], Transport::Shut));
    let mut line = Line::new();
    line.by_hand = true;
    line.send(GET);
    line.server.close(at(0));
    line.turn();
    assert_eq!(line.transport, Transport::Open);
    line.call(|server, now, out| server.respond(now, out, &Response::new(StatusCode::OK, Body::EMPTY)))
        .unwrap();
    line.turn();
    assert!(line.text().contains("connection: close") && line.transport == Transport::Shut);
}

#[test]
fn another_protocol_gets_what_follows() {
    let mut line = Line::new();
    line.by_hand = true;
    line.send(&[GET, b"\x81\x80"].concat());
    line.call(|server, now, out| server.switch(now, out, &[("upgrade", "x")])).unwrap();
    line.turn();
    assert_eq!(line.text(), "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n");
    assert_eq!((&line.input[..], line.transport), (&b"\x81\x80"[..], Transport::Open));
}

#[test]
fn every_fault_has_a_status_and_words() {
    for fault in [Fault::StatusLine, Fault::Stalled, Fault::BodyTooLong(7), Fault::HostMissing] {
        assert!(fault.status().is_error() && !fault.to_string().is_empty());
    }
    assert_eq!(StatusCode::new(299).unwrap().to_string(), "299");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        assert_eq!(Date::from_unix(seconds).to_string(), text);
    }
}

#[test]
fn a_client_writes_and_reads() {
    let mut memory = [0; 64];
    let mut out = SliceSendBuf::new(&mut memory);
    let request = Request { host: "a", target: "/", headers: &[] };
    for (bad, error) in [
        (Request { target: "a", ..request }, RequestError::Target),
        (Request { target: "/ HTTP/1.1\r\n", ..request }, RequestError::Target),
        (Request { host: "a\r\nb: c", ..request }, RequestError::BadField(BadField)),
        (Request { headers: &[("a", "\n")], ..request }, RequestError::BadField(BadField)),
        (Request { host: &"a".repeat(99), ..request }, RequestError::Blocked(crate::error::Blocked)),
    ] {
        assert_eq!(bad.put(&mut out), Err(error));
    }
    assert!(out.pending().is_empty());
    let read = |text: &'static str| ResponseHead::parse(text.as_bytes());
    let head = read("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n").unwrap();
    assert_eq!(
        (head.status, head.headers.text("upgrade"), head.body),
        (StatusCode::SWITCHING_PROTOCOLS, Some("x"), Some(BodyLength::None))
    );
    for (text, body) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(None)),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", Ok(Some(BodyLength::Octets(3)))),
        ("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Some(BodyLength::Chunked))),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Err(Fault::Coding)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Err(Fault::LengthRepeated)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(Fault::LengthAndEncoding),
        ),
        ("HTTP/1.1 99 OK\r\n\r\n", Err(Fault::StatusLine)),
        ("HTTP/1.1 600 OK\r\n\r\n", Err(Fault::StatusLine)),
        ("HTTP/2 200 OK\r\n\r\n", Err(Fault::Version)),
        ("HTTP/1.1 200 OK\r\n\r\nmore", Err(Fault::Field)),
    ] {
        assert_eq!(read(text).map(|head| head.body), body, "{text:?}");
    }
}

/// Requests, whole, wrong and in pieces.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        5 => Just(GET.to_vec()),
        2 => Just(b"POST /1 HTTP/1.1\r\nhost:x\r\ncontent-length: 3\r\n\r\nabc".to_vec()),
        2 => Just(b"PUT /2 HTTP/1.1\r\nHOST: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => "[A-Z]{1,4} /[a-z]{0,3} HTTP/1\\.[012]\r\n(Host: a\r\n){0,2}\r\n".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// However octets are cut, the same requests are understood and the same answers given.
    #[test]
    fn cuts_change_nothing(octets in requests(), cuts in prop::collection::vec(1usize..40, 1..40)) {
        let mut whole = Line::new();
        whole.send(&octets);
        let (mut cut, mut rest, mut cuts) = (Line::new(), &octets[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            cut.send(now);
            rest = later;
        }
        prop_assert_eq!(&whole.asked, &cut.asked);
        prop_assert_eq!(&whole.ends, &cut.ends);
        prop_assert_eq!(whole.text(), cut.text());
    }

    /// Nothing that comes makes it panic or forget a deadline, and whoever obeys the deadlines comes
    /// to the end.
    #[test]
    fn it_ends(octets in prop::collection::vec(any::<u8>(), 0..300), heads in requests()) {
        let mut line = Line::new();
        line.by_hand = true;
        line.send(&heads).send(&octets);
        for _ in 0..8 {
            if line.server.is_busy() {
                let response = Response::new(StatusCode::OK, Body::EMPTY);
                let _ = line.call(|server, now, out| server.respond(now, out, &response));
                line.turn();
            }
            let Some(due) = line.server.poll_timeout() else { continue };
            line.at(due.at.as_millis().max(line.now.as_millis()));
        }
        prop_assert!(line.server.is_ended());
        prop_assert_eq!(line.ends.len(), 1);
    }
}

#[test]
fn its_size_is_known() {
    assert!(size_of::<Server>() <= 240, "{}", size_of::<Server>());
    assert!(Config::default().head_timeout < Duration::from_secs(30));
}
