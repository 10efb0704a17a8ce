//! Sessions against each other in memory, on virtual time.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::buf::{SliceRecvBuf, SliceSendBuf};

const SERVER_SESSION: (SessionId, ResumeKey) = (SessionId([1; 16]), ResumeKey([2; 16]));

/// One side: its session, and the octets it wrote and has not been read yet.
struct Side {
    session: Session,
    out: Vec<u8>,
    log: Vec<String>,
}

impl Side {
    fn poll(&mut self, now: Instant) -> Transport {
        let mut memory = [0; 4096];
        let mut out = SliceSendBuf::new(&mut memory);
        let transport = self.session.poll_transmit(now, &mut out);
        self.out.extend_from_slice(out.pending());
        transport
    }

    fn call<T>(&mut self, f: impl FnOnce(&mut Session, &mut SliceSendBuf<'_>) -> T) -> T {
        let mut memory = [0; 4096];
        let mut out = SliceSendBuf::new(&mut memory);
        let result = f(&mut self.session, &mut out);
        self.out.extend_from_slice(out.pending());
        result
    }
}

struct Pair {
    now: Instant,
    client: Side,
    server: Side,
}

impl Pair {
    fn new(client: &Config, server: &Config, connect: &Connect<'_>) -> Pair {
        let now = Instant::from_millis(1000);
        let mut memory = [0; 4096];
        let mut out = SliceSendBuf::new(&mut memory);
        let session = Session::connect(now, client, connect, &mut out).unwrap();
        let client = Side { session, out: out.pending().to_vec(), log: Vec::new() };
        let server = Side { session: Session::accept(now, server), out: Vec::new(), log: Vec::new() };
        Pair { now, client, server }
    }

    fn open() -> Pair {
        let mut pair = Pair::new(&Config::default(), &Config::default(), &Connect::default());
        pair.run(usize::MAX);
        pair.client.log.clear();
        pair.server.log.clear();
        pair
    }

    /// Moves octets in pieces of at most `piece` until nothing moves.
    fn run(&mut self, piece: usize) {
        loop {
            let _ = self.client.poll(self.now);
            let _ = self.server.poll(self.now);
            if self.client.out.is_empty() && self.server.out.is_empty() {
                return;
            }
            let to_server = core::mem::take(&mut self.client.out);
            deliver(self.now, &to_server, piece, &mut self.server, true);
            let to_client = core::mem::take(&mut self.server.out);
            deliver(self.now, &to_client, piece, &mut self.client, false);
        }
    }
}

fn deliver(now: Instant, bytes: &[u8], piece: usize, to: &mut Side, accept: bool) {
    let mut memory = [0; 20_000];
    let mut buf = SliceRecvBuf::new(&mut memory);
    for part in bytes.chunks(piece.min(bytes.len()).max(1)) {
        assert_eq!(buf.push(part), part.len());
        loop {
            let mut hello = false;
            match to.session.recv(now, &mut buf) {
                None => break,
                Some(Event::Hello(h)) => {
                    hello = true;
                    to.log.push(format!("hello {:?} {}", h.auth, h.name));
                }
                Some(event) => to.log.push(describe(&event)),
            }
            if hello && accept {
                let welcome = Welcome {
                    session: Some(SERVER_SESSION),
                    expiry: Duration::from_secs(60),
                    ..Welcome::default()
                };
                to.call(|s, out| s.welcome(now, out, &welcome, None)).unwrap();
            }
        }
    }
}

fn describe(event: &Event<'_>) -> String {
    match event {
        Event::Publish(m) => format!("publish {} {}", m.topic, String::from_utf8_lossy(m.payload)),
        Event::Message(id, m) => format!("message {id} {} {}", m.topic, String::from_utf8_lossy(m.payload)),
        Event::Welcome(w) => format!("welcome {:?} received {:?}", w.session.map(|s| s.0.0[0]), w.received),
        Event::Closed(c) => format!("closed {:?} {:?} {:?} clean {}", c.by, c.code, c.reason, c.clean),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 256, "{} octets", size_of::<Session>());
}

#[test]
fn opens_and_speaks_however_it_is_cut() {
    for piece in [1, 2, 3, 7, usize::MAX] {
        let connect = Connect { name: "tester", ..Connect::default() };
        let mut pair = Pair::new(&Config::default(), &Config::default(), &connect);
        pair.run(piece);
        assert_eq!(pair.server.log, ["hello None tester"]);
        assert_eq!(pair.client.log, ["welcome Some(1) received None"]);
        let now = pair.now;
        pair.client.call(|s, out| s.publish(now, out, &Message::new("a/b", b"hi"))).unwrap();
        let reliable = Message { reliable: true, ..Message::new("a", b"1") };
        pair.client.call(|s, out| s.publish(now, out, &reliable)).unwrap();
        pair.server.call(|s, out| s.message(now, out, 7, &reliable)).unwrap();
        pair.run(piece);
        assert_eq!(pair.server.log[1..], ["publish a/b hi", "publish a 1", "Acked(1)"]);
        assert_eq!(pair.client.log[1..], ["message 7 a 1", "Acked(1)"]);
    }
}

#[test]
fn closes_with_both_sides_knowing() {
    let mut pair = Pair::open();
    pair.client.session.close(pair.now, Code::Normal, "bye");
    pair.run(1);
    assert_eq!(pair.server.log, ["closed Remote Some(Normal) \"bye\" clean true"]);
    assert_eq!(pair.client.log, ["closed Local Some(Normal) \"bye\" clean true"]);
    assert_eq!(pair.client.poll(pair.now), Transport::Drop);
    assert_eq!(pair.server.poll(pair.now), Transport::Shut, "END-3: the client ends the stream first");
    pair.server.session.handle_eof(pair.now);
    assert_eq!(pair.server.poll(pair.now), Transport::Drop);
    assert_eq!(pair.server.session.poll_timeout(), None);
}

#[test]
fn a_fault_is_told_at_once_and_to_the_peer() {
    let mut pair = Pair::open();
    pair.client.out.extend_from_slice(&[24 << 2, 0]);
    pair.run(1);
    assert_eq!(pair.server.log, ["closed Local Some(UnknownKind) \"unknown kind\" clean false"]);
    assert_eq!(pair.client.log, ["closed Remote Some(UnknownKind) \"unknown kind\" clean true"]);
}

#[test]
fn a_truncation_is_no_close() {
    let mut pair = Pair::open();
    pair.client.session.handle_eof(pair.now);
    let closed = pair.client.session.poll_closed();
    assert!(matches!(closed, Some(Event::Closed(c)) if c.by == By::Transport && c.may_resume()));
    assert!(pair.client.session.poll_closed().is_none(), "told once");
    assert_eq!(pair.client.poll(pair.now), Transport::Drop);
    assert_eq!(pair.client.out, b"");
}

#[test]
fn resumption_counts_from_what_was_received() {
    let counts = Counts { sent: 9, acked: 4, received: 3 };
    assert_eq!(counts.resume(6), Ok(Counts { sent: 6, acked: 6, received: 3 }));
    assert!(matches!(counts.resume(3), Err(Fault::BadResume { .. })));
    assert!(matches!(counts.resume(10), Err(Fault::BadResume { .. })));
}

#[test]
fn handshake_and_keepalive_have_deadlines() {
    let config = Config {
        limits: Limits { keepalive: Some(Duration::from_secs(10)), ..Limits::default() },
        ..Config::default()
    };
    let mut pair = Pair::new(&config, &config, &Connect::default());
    let deadline = pair.server.session.poll_timeout().unwrap();
    assert_eq!((deadline.at.as_millis(), deadline.why), (6000, crate::time::Why::Handshake));
    pair.run(usize::MAX);
    let deadline = pair.client.session.poll_timeout().unwrap();
    assert_eq!((deadline.at.as_millis(), deadline.why), (11_000, crate::time::Why::Keepalive));
    pair.now = deadline.at;
    assert!(pair.client.session.handle_timeout(pair.now).is_none());
    pair.run(usize::MAX);
    assert_eq!(pair.client.log.last().unwrap(), "Pong(0ns)");
    // The server hears nothing more.
    pair.now = Instant::from_millis(11_000 + 15_000);
    let event = pair.server.session.handle_timeout(pair.now);
    assert!(matches!(event, Some(Event::Closed(c)) if c.code == Some(Code::KeepaliveTimeout)));
}
