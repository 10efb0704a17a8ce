//! Sessions against each other in memory, on virtual time.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::buf::{SliceRecvBuf, SliceSendBuf};
use crate::time::{Deadline, Why};

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
    pair.client.out.extend_from_slice(&[31 << 2, 0]);
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

#[test]
fn what_is_announced_is_what_is_meant() {
    let limits = Limits { max_frame: 1, in_flight: 0, credit: 0, keepalive: None };
    let config = Config { limits, ..Config::default() };
    let connect = Connect { auth: Auth::Other(u64::MAX, b"data"), ..Connect::default() };
    let mut pair = Pair::new(&config, &config, &connect);
    pair.run(usize::MAX);
    assert_eq!(pair.server.log, [format!("hello Other({VARINT_MAX}, ..) ")]);
    let client = &pair.client.session;
    assert!(client.is_open() && pair.server.session.is_open());
    assert_eq!((client.max_send_frame(), client.send_in_flight()), (MAX_FRAME_FLOOR, 1));
}

#[test]
fn names_without_meaning_are_refused() {
    let (mut memory, now, config) = ([0; 4096], Instant::ZERO, Config::default());
    let mut out = SliceSendBuf::new(&mut memory);
    let user = Auth::Password { user: "\0", password: b"" };
    for connect in
        [Connect { name: "a\0b", ..Connect::default() }, Connect { auth: user, ..Connect::default() }]
    {
        let refused = Session::connect(now, &config, &connect, &mut out);
        assert!(matches!(refused, Err(SendError::Invalid(_))), "{connect:?}");
    }
    assert_eq!(out.pending(), b"");
    let mut pair = Pair::open();
    let drain = Drain { deadline: CLOSE_WAIT, retry_after: CLOSE_WAIT, endpoint: "\0" };
    assert!(matches!(pair.client.call(|s, out| s.drain(now, out, &drain)), Err(SendError::Invalid(_))));
    assert!(!pair.client.session.is_draining());
    let mut server = Session::accept(now, &config);
    let mut hello = [0; 64];
    let mut hello = SliceRecvBuf::new(&mut hello);
    hello.push(&PREFACE);
    hello.push(&[0, 2, 1, 1]);
    assert!(matches!(server.recv(now, &mut hello), Some(Event::Hello(_))));
    let long = "n".repeat(NAME_MAX + 1);
    for name in [&long, "\0"] {
        let welcome = Welcome { name, ..Welcome::default() };
        assert!(matches!(server.welcome(now, &mut out, &welcome, None), Err(SendError::Invalid(_))));
    }
    assert_eq!(out.pending(), b"");
}

#[test]
fn a_reason_is_cut_to_what_fits() {
    const REASON: &str = concat!(
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    );
    let limits = Limits { max_frame: 256, ..Limits::default() };
    let small = Config { limits, ..Config::default() };
    for (reason, heard) in [(REASON, &REASON[..246]), ("end\0here", "end")] {
        let mut pair = Pair::new(&Config::default(), &small, &Connect::default());
        pair.run(usize::MAX);
        pair.client.session.close(pair.now, Code::Internal, reason);
        pair.run(usize::MAX);
        let told = format!("closed Remote Some(Internal) {heard:?} clean true");
        assert_eq!(pair.server.log.last(), Some(&told));
    }
    // Room for a code and little more.
    let mut pair = Pair::open();
    pair.client.session.close(pair.now, Code::Internal, REASON);
    let mut memory = [0; 20];
    let mut out = SliceSendBuf::new(&mut memory);
    assert_eq!(pair.client.session.poll_transmit(pair.now, &mut out), Transport::Shut);
    assert_eq!(out.pending(), b"\x0c\x0c\x1a\x0a0123456789");
}

#[test]
fn a_closing_side_is_not_stuck_on_a_frame_that_never_fits() {
    let mut pair = Pair::open();
    pair.client.session.close(pair.now, Code::Normal, "");
    let mut memory = [0; 32];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(&[10 << 2, 100]);
    buf.push(&[0; 30]);
    assert!(pair.client.session.recv(pair.now, &mut buf).is_none());
    assert_eq!(buf.spare().len(), 32, "the rest is passed over");
}

#[test]
fn nobody_is_left_to_be_answered_after_the_end() {
    let mut pair = Pair::open();
    let mut memory = [0; 32];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(&[5 << 2, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(pair.client.session.recv(pair.now, &mut buf).is_none());
    pair.client.session.handle_eof(pair.now);
    assert_eq!(pair.client.poll(pair.now), Transport::Drop);
    assert_eq!(pair.client.out, b"");
}

#[test]
fn every_octet_of_a_handshake_counts() {
    let (mut memory, now) = ([0; 64], Instant::ZERO);
    let mut server = Session::accept(now, &Config::default());
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(&PREFACE);
    buf.push(&[0, 2, 1, 1]);
    assert!(matches!(server.recv(now, &mut buf), Some(Event::Hello(_))));
    // Preface and HELLO were 8 octets; each AUTH is 2, and there is room for so many.
    for round in 0..=(HANDSHAKE_MAX - 8) / 2 {
        let mut out = [0; 8];
        server.challenge(now, &mut SliceSendBuf::new(&mut out), b"").unwrap();
        buf.push(&[2 << 2, 0]);
        match server.recv(now, &mut buf) {
            Some(Event::Auth(b"")) => assert!(round < (HANDSHAKE_MAX - 8) / 2),
            Some(Event::Closed(c)) => {
                assert_eq!((round, c.fault), ((HANDSHAKE_MAX - 8) / 2, Some(Fault::HandshakeTooLarge)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_owed_does_not_hide_that_the_transport_takes_nothing() {
    let mut pair = Pair::open();
    let at = |millis| pair.now + Duration::from_millis(millis);
    let (now, late) = (pair.now, at(10_000));
    let server = &mut pair.server.session;
    server.handle_written(now, 0, 10);
    let mut memory = [0; 64];
    let mut line = SliceRecvBuf::new(&mut memory);
    line.push(&[5 << 2, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(server.recv(now, &mut line).is_none());
    assert_eq!(server.poll_timeout(), Some(Deadline::new(late, Why::Write)), "a PONG is owed");
    server.handle_written(now, 10, 0);
    assert_eq!(server.poll_timeout().map(|d| d.why), Some(Why::Output));
}

#[test]
fn last_words_wait_for_a_transport_no_longer_than_others() {
    let mut pair = Pair::open();
    let (now, late) = (pair.now, pair.now + Duration::from_millis(10_000));
    let server = &mut pair.server.session;
    server.handle_written(now, 0, 10);
    server.handle_eof(now);
    assert!(server.poll_closed().is_some());
    assert_eq!(pair.server.poll(now), Transport::Drop, "once the ten octets are written");
    assert_eq!(pair.server.session.poll_timeout(), Some(Deadline::new(late, Why::Write)));
    assert!(pair.server.session.handle_timeout(late).is_none());
    assert_eq!(pair.server.poll(late), Transport::Abort);
    assert_eq!(pair.server.session.poll_timeout(), None);
}
