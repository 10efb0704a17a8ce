//! The encodings, against the core's own session where there is one.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::session::{Config, Event as Core, Kind, Message, Outcome, Session, Welcome};
use bowline_core::status::Status;
use bowline_core::time::Instant;

use super::*;

const NOW: Instant = Instant::from_millis(1);

/// A server's session, and what it heard.
struct Server {
    session: Session,
    out: SharedSendBuf,
    heard: Vec<String>,
}

impl Server {
    fn new() -> Self {
        let mut config = Config::default();
        config.limits.credit = 5000;
        config.limits.in_flight = 77;
        Server { session: Session::accept(NOW, &config), out: SharedSendBuf::new(1 << 20), heard: Vec::new() }
    }

    /// Takes octets, and returns what it answers.
    fn take(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut received = GrowingRecvBuf::new(1 << 20);
        received.push(octets);
        while let Some(event) = self.session.recv(NOW, &mut received) {
            let hello = matches!(event, Core::Hello(_));
            self.heard.push(match event {
                Core::Hello(_) => "hello".into(),
                Core::Subscribe(s) => format!("subscribe {} {} {}", s.id, s.filter, s.reliable),
                Core::Publish(m) => format!("publish {} {} {}", m.topic, m.payload.len(), m.reliable),
                Core::Acked(n) => format!("acked {n}"),
                other => format!("{other:?}"),
            });
            if hello {
                self.session.welcome(NOW, &mut self.out, &Welcome::default(), None).unwrap();
            }
        }
        assert!(received.filled().is_empty(), "all was whole frames");
        self.flush()
    }

    fn flush(&mut self) -> Vec<u8> {
        let _ = self.session.poll_transmit(NOW, &mut self.out);
        let octets: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.sent(octets.len());
        octets
    }
}

/// The events in whole frames, for people.
fn events(wire: impl Wire, data: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    let taken = wire.parse(data, |e| events.push(format!("{e:?}"))).unwrap();
    assert_eq!(taken, data.len());
    events
}

/// Cut anywhere, no half frame is taken and no event comes twice.
fn same_in_pieces(wire: impl Wire, data: &[u8]) {
    let whole = events(wire, data);
    for cut in 0..data.len() {
        let mut pieces = Vec::new();
        let taken = wire.parse(&data[..cut], |e| pieces.push(format!("{e:?}"))).unwrap();
        let rest = wire.parse(&data[taken..], |e| pieces.push(format!("{e:?}"))).unwrap();
        assert_eq!((taken + rest, &pieces), (data.len(), &whole), "cut at {cut}");
    }
}

#[test]
fn bowline_opens_subscribes_and_publishes() {
    let mut server = Server::new();
    let mut out = Vec::new();
    Bowline.opening(&mut out);
    let answer = server.take(&out);
    let allowance = Allowance { credit: 5000, in_flight: 77 };
    assert_eq!(events(Bowline, &answer), [format!("{:?}", Event::Opened(allowance))]);
    assert_eq!(server.session.send_in_flight(), 65_535);

    out.clear();
    Bowline.subscribe(300, "bench/1", true, &mut out);
    Bowline.subscribe(1, "bench/2", false, &mut out);
    let template = Bowline.template("bench/1", &[b'x'; 200], true);
    assert_eq!(&template.bytes[template.payload_at..], [b'x'; 200]);
    out.extend_from_slice(&template.bytes);
    assert!(Bowline.ping(&mut out));
    let answer = server.take(&out);
    let heard =
        ["hello", "subscribe 300 bench/1 true", "subscribe 1 bench/2 false", "publish bench/1 200 true"];
    assert_eq!(server.heard, heard);
    let mut answer = events(Bowline, &answer);
    answer.sort();
    assert_eq!(answer, ["Acked(1)", "Pong"]);
}

/// A server whose session is open.
fn open() -> Server {
    let mut server = Server::new();
    let mut out = Vec::new();
    Bowline.opening(&mut out);
    server.take(&out);
    server.heard.clear();
    server
}

#[test]
fn bowline_reads_what_a_server_sends() {
    let mut server = open();
    let reliable = Message { reliable: true, ..Message::new("bench/0", b"one") };
    server.session.message(NOW, &mut server.out, 9, &reliable).unwrap();
    server.session.publish(NOW, &mut server.out, &Message::new("t", b"two")).unwrap();
    let bad = Outcome { kind: Some(Kind::Subscribe), id: 4, status: Status::Quota, reason: "full" };
    server.session.result(NOW, &mut server.out, &bad).unwrap();
    let octets = server.flush();
    let seen = events(Bowline, &octets);
    assert_eq!(seen[0], format!("{:?}", Event::Message { payload: b"one", reliable: true }));
    assert_eq!(seen[1], format!("{:?}", Event::Message { payload: b"two", reliable: false }));
    assert!(seen[2].contains("status 3 (full)"), "{seen:?}");
    same_in_pieces(Bowline, &octets);

    let mut out = Vec::new();
    Bowline.ack(1, &mut out);
    server.take(&out);
    assert_eq!(server.heard, ["acked 1"]);
}

#[test]
fn bowline_credit_is_counted_as_the_core_counts_it() {
    let mut server = open();
    let template = Bowline.template("bench/0", &[0; 990], false);
    let sent = 3 * template.cost;
    let octets = server.take(&template.bytes.repeat(3));
    let granted = events(Bowline, &octets);
    assert_eq!(granted, [format!("Credit({})", 5000 + sent)], "half of the window was used");
}

#[test]
fn bowline_ends_with_the_code() {
    let mut server = open();
    let octets = server.take_some(&[0, 2, 1, 1]);
    let seen = events(Bowline, &octets);
    assert!(seen[0].starts_with("Trouble(\"CLOSE 5"), "a second HELLO is UNEXPECTED_FRAME: {seen:?}");
}

#[test]
fn bowline_attacks_are_what_they_say() {
    let mut server = Server::new();
    let mut received = GrowingRecvBuf::new(1 << 20);
    received.push(&Bowline.slow_opening());
    received.push(&[b'a'; 7000]);
    assert!(server.session.recv(NOW, &mut received).is_none(), "it waits for more");

    let mut server = Server::new();
    let Attack { opening, repeat } = Bowline.attack(FloodKind::Length);
    server.take(&opening);
    let answer = server.take_some(&repeat);
    assert!(events(Bowline, &answer)[0].starts_with("Trouble(\"CLOSE 6"), "FRAME_TOO_LARGE");
}

impl Server {
    /// Takes octets that need not be whole frames.
    fn take_some(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut received = GrowingRecvBuf::new(1 << 20);
        received.push(octets);
        while self.session.recv(NOW, &mut received).is_some() {}
        self.flush()
    }
}

#[test]
fn bowline_malformed_frames_are_errors() {
    for wrong in [
        &[44, 1, 0x80][..],
        &[4, 3, 1, 4, 9],
        &[20, 2, 0, 0],
        &[40, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    ] {
        assert!(Bowline.parse(wrong, |_| {}).is_err(), "{wrong:?}");
    }
}

#[test]
fn nats_lines_are_written_and_read() {
    let mut out = Vec::new();
    Nats.subscribe(3, "bench/7", false, &mut out);
    let template = Nats.template("bench/7", b"hello", false);
    assert_eq!(out, b"SUB bench.7 3\r\n");
    assert_eq!(template.bytes, b"PUB bench.7 5\r\nhello\r\n");
    assert_eq!(&template.bytes[template.payload_at..template.payload_at + 5], b"hello");

    let data =
        b"INFO {}\r\nPONG\r\nMSG bench.7 3 5\r\nhe\r\no\r\nMSG a 1 reply.to 0\r\n\r\nPING\r\n-ERR 'no'\r\n";
    let seen = events(Nats, data);
    assert_eq!(seen[0], "Pong");
    assert_eq!(seen[1], format!("{:?}", Event::Message { payload: b"he\r\no", reliable: false }));
    assert_eq!(seen[2], format!("{:?}", Event::Message { payload: b"", reliable: false }));
    assert_eq!(
        seen[3..],
        [format!("{:?}", Event::Ping([0; 8])), format!("{:?}", Event::Trouble("-ERR 'no'".into()))]
    );
    same_in_pieces(Nats, data);
    assert!(Nats.parse(b"MSG a b\r\n", |_| {}).is_err());
}

#[test]
fn raw_frames_are_written_and_read() {
    let template = Raw.template("", b"abc", false);
    assert_eq!(template.bytes, b"\0\0\0\x03abc");
    let data = template.bytes.repeat(3);
    assert_eq!(events(Raw, &data).len(), 3);
    same_in_pieces(Raw, &data);
    assert!(Raw.parse(&[0xFF; 4], |_| {}).is_err());
}
