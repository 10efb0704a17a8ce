//! HTTP and WebSocket through the engine: what one read brings is answered by one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::Server as Machine;
use bowline_tokio::Server;
use bowline_tokio::server::{HttpAnswer, HttpResponse, Peer, StatusCode};
use bytes::Bytes;
use futures_core::Stream;

/// A transport that is read from a list, and keeps each write.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    reads: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    /// The pieces of each write.
    writes: Vec<Vec<Vec<u8>>>,
    /// Nothing is taken.
    full: bool,
    /// The peer is gone.
    gone: bool,
}

impl Transport for Line {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock().unwrap();
        let Some(octets) = script.reads.pop_front() else {
            if script.gone {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            script.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        to[..octets.len()].copy_from_slice(&octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.0.lock().unwrap().full {
            return Poll::Pending;
        }
        let pieces: Vec<Vec<u8>> = from.iter().map(|piece| piece.to_vec()).collect();
        let n = pieces.iter().map(Vec::len).sum();
        self.0.lock().unwrap().writes.push(pieces);
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Line {
    /// The octets arrive, in one read.
    fn send(&self, octets: Vec<u8>) {
        let mut script = self.0.lock().unwrap();
        script.reads.push_back(octets);
        if let Some(waker) = script.waker.take() {
            waker.wake();
        }
    }

    /// The peer is gone.
    fn cut(&self) {
        let mut script = self.0.lock().unwrap();
        script.gone = true;
        script.waker.take().into_iter().for_each(Waker::wake);
    }

    fn take(&self, octets: usize) -> Option<Vec<Vec<Vec<u8>>>> {
        let mut script = self.0.lock().unwrap();
        let written: usize = script.writes.iter().flatten().map(Vec::len).sum();
        (written >= octets).then(|| std::mem::take(&mut script.writes))
    }

    /// The writes, once so many octets were written.
    async fn writes(&self, octets: usize) -> Vec<Vec<Vec<u8>>> {
        let waited = async {
            loop {
                if let Some(writes) = self.take(octets) {
                    return writes;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.expect("an answer")
    }
}

/// A frame of a client, with a mask that changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

const OPENING: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: mqtt\r\n\r\n";

#[tokio::test]
async fn what_one_read_brings_over_a_websocket_leaves_in_one_write() {
    let server = Server::builder().start().await.unwrap();
    let line = Line::default();
    server.attach(line.clone(), Peer::default()).unwrap();
    line.send(
        [
            OPENING.to_vec(),
            frame(0x82, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"),
            frame(0x82, b"\x82\x06\x00\x01\x00\x01t\x01"),
            frame(0x89, b"hi"),
            frame(0x82, b"\x32\x06\x00\x01t\x00\x07x\x32\x06\x00\x01t\x00\x08y"),
        ]
        .concat(),
    );
    let writes = line.writes(160).await;
    assert_eq!(writes.len(), 1, "{writes:?}");
    let all = writes.concat().concat();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut frames = Vec::new();
    let mut rest = &all[end..];
    while let [first, size, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(usize::from(*size));
        frames.push((*first, payload));
        rest = behind;
    }
    for wanted in [
        (0x82, &b"\x20\x02\0\0"[..]),
        (0x82, b"\x90\x03\0\x01\x01"),
        (0x8a, b"hi"),
        (0x82, b"\x40\x02\0\x07"),
        (0x82, b"\x40\x02\0\x08"),
        (0x82, b"\x32\x06\x00\x01t\x00\x01x"),
        (0x82, b"\x32\x06\x00\x01t\x00\x02y"),
    ] {
        assert!(frames.contains(&wanted), "{wanted:02x?} {frames:02x?}");
    }
    assert_eq!(frames.len(), 7, "each packet is in a frame of its own: {frames:02x?}");
    server.stop();
}

#[tokio::test]
async fn a_handler_answers_in_order_and_a_large_body_goes_by_reference() {
    let large = Bytes::from(vec![b'x'; 100_000]);
    let body = large.clone();
    let builder = Server::builder().http(move |request, server| match &*request.path {
        "/large" => HttpResponse::new(StatusCode::OK, "text/plain", body.clone()),
        "/connections" => {
            let counters = server.counters();
            assert!(server.is_ready());
            HttpResponse::new(StatusCode::OK, "text/plain", counters.connections.to_string())
        }
        "/panics" => panic!("on purpose"),
        _ => HttpResponse::text(StatusCode::NOT_FOUND, "nothing"),
    });
    let server = builder.start().await.unwrap();
    let line = Line::default();
    server.attach(line.clone(), Peer::default()).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    line.send([get("/connections"), get("/large")].concat());
    let writes = line.writes(100_150).await;
    let all = writes.concat().concat();
    let text = String::from_utf8_lossy(&all);
    let first = text.find("\r\n\r\n1HTTP/1.1 200 OK\r\n").expect("in order");
    assert!(first < 200 && all.ends_with(&large), "{}", &text[..300]);
    let pieces: Vec<usize> = writes.iter().flatten().map(Vec::len).collect();
    assert!(pieces.contains(&large.len()), "not copied: {pieces:?}");
    // One that panics harms nobody else.
    line.send([get("/panics"), get("/nowhere")].concat());
    let text = String::from_utf8(line.writes(200).await.concat().concat()).unwrap();
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    server.stop();
}

/// What is to be sent, and how much of it was asked for; it tells when it is dropped.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<Feed>>);

#[derive(Default)]
struct Feed {
    parts: VecDeque<Bytes>,
    asked: usize,
    waker: Option<Waker>,
    ended: bool,
    dropped: bool,
}

impl Source {
    fn give(&self, part: impl Into<Bytes>) {
        let waker = {
            let mut feed = self.0.lock().unwrap();
            feed.parts.push_back(part.into());
            feed.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn end(&self) {
        self.0.lock().unwrap().ended = true;
        self.give("");
    }

    async fn is(&self, so: impl Fn(&Feed) -> bool) {
        let waited = async {
            while !so(&self.0.lock().unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.expect("it comes to that");
    }
}

struct Parts(Source);

impl Stream for Parts {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut feed = self.0.0.lock().unwrap();
        feed.asked += 1;
        match feed.parts.pop_front() {
            Some(part) if !part.is_empty() => Poll::Ready(Some(part)),
            _ if feed.ended => Poll::Ready(None),
            _ => {
                feed.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().dropped = true;
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn streaming() -> (Server, Line, Source) {
    let source = Source::default();
    let parts = source.clone();
    let builder = Server::builder().http(move |_, _| {
        HttpAnswer::parts(HttpResponse::new(StatusCode::OK, "text/plain", ""), Parts(parts.clone()))
    });
    let server = builder.start().await.unwrap();
    let line = Line::default();
    server.attach(line.clone(), Peer::default()).unwrap();
    line.send(GET.to_vec());
    (server, line, source)
}

fn text(writes: &[Vec<Vec<u8>>]) -> String {
    String::from_utf8(writes.concat().concat()).unwrap()
}

#[tokio::test]
async fn an_answer_comes_part_by_part() {
    let (server, line, source) = streaming().await;
    let head = "HTTP/1.1 200 OK\r\n";
    assert!(text(&line.writes(head.len()).await).starts_with(head));
    for part in ["one", "two"] {
        source.give(part);
        assert_eq!(text(&line.writes(8).await), format!("3\r\n{part}\r\n"));
    }
    source.end();
    assert_eq!(text(&line.writes(5).await), "0\r\n\r\n");
    source.is(|feed| feed.dropped).await;
    // And the next request is answered.
    line.send(GET.to_vec());
    assert!(text(&line.writes(head.len()).await).starts_with(head));
    server.stop();
}

#[tokio::test]
async fn who_takes_nothing_is_not_run_ahead_of() {
    let (server, line, source) = streaming().await;
    line.writes(17).await;
    line.0.lock().unwrap().full = true;
    for _ in 0..100 {
        source.give(vec![b'x'; 8 << 10]);
    }
    // What one write takes, and no more, is asked for.
    source.is(|feed| feed.asked >= 8).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let (asked, left) = {
        let feed = source.0.lock().unwrap();
        (feed.asked, feed.parts.len())
    };
    assert!(asked <= 12 && left >= 90, "{asked} asked for, {left} left");
    line.cut();
    source.is(|feed| feed.dropped).await;
    server.stop();
}

#[tokio::test]
async fn one_whose_peer_is_gone_or_whose_server_drains_is_dropped() {
    let (server, line, source) = streaming().await;
    line.writes(17).await;
    line.cut();
    source.is(|feed| feed.dropped).await;
    source.give("nobody hears it");
    server.stop();

    let (server, line, source) = streaming().await;
    line.writes(17).await;
    let draining = tokio::spawn(server.drain(Duration::from_secs(5)));
    assert_eq!(text(&line.writes(5).await), "0\r\n\r\n");
    source.is(|feed| feed.dropped).await;
    line.cut();
    draining.await.unwrap();
}

#[tokio::test]
async fn an_answer_may_take_its_time_and_see_the_server_meanwhile() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Mutex::new(Some(wait));
    let builder =
        Server::builder().http(move |request, server| match (&*request.path, wait.lock().unwrap().take()) {
            ("/", Some(wait)) => {
                let server = server.handle();
                HttpAnswer::later(async move {
                    wait.await.unwrap();
                    let count = server.look(Machine::connections).unwrap();
                    HttpResponse::new(StatusCode::OK, "text/plain", count.to_string())
                })
            }
            ("/panics", _) => HttpAnswer::later(async { panic!("on purpose") }),
            _ => HttpResponse::text(StatusCode::NOT_FOUND, "nothing").into(),
        });
    let server = builder.start().await.unwrap();
    let (line, other) = (Line::default(), Line::default());
    for line in [&line, &other] {
        server.attach(line.clone(), Peer::default()).unwrap();
        line.send(GET.to_vec());
        // In the order in which they come.
        while line.0.lock().unwrap().waker.is_none() {
            tokio::task::yield_now().await;
        }
    }
    assert!(text(&other.writes(17).await).starts_with("HTTP/1.1 404 "), "others do not wait");
    assert!(line.0.lock().unwrap().writes.is_empty());
    go.send(()).unwrap();
    assert!(text(&line.writes(17).await).ends_with("\r\n\r\n2"));
    line.send(b"GET /panics HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    assert!(text(&line.writes(17).await).starts_with("HTTP/1.1 500 "));
    server.stop();
}
