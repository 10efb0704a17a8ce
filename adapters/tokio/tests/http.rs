//! HTTP and WebSocket through the engine: what one read brings is answered by one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_driver::Transport;
use bowline_tokio::Server;
use bowline_tokio::server::{HttpResponse, Peer, StatusCode};

/// A transport that is read from a list, and keeps each write.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    reads: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    /// The pieces of each write.
    writes: Vec<Vec<Vec<u8>>>,
}

impl Transport for Line {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock().unwrap();
        let Some(octets) = script.reads.pop_front() else {
            script.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        to[..octets.len()].copy_from_slice(&octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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
    let large = bytes::Bytes::from(vec![b'x'; 100_000]);
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
