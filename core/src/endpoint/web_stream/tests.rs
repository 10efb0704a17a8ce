//! A stream against a server's side that this test plays.

use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::WebStream;
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::endpoint::client::WebSocketError;
use crate::entropy::Seeded;
use crate::http::{self, RequestHead};
use crate::time::Instant;
use crate::websocket::handshake::{AnswerFault, Offer};
use crate::websocket::{Carries, CloseCode, Config, Event, OpenFault, Server, WebSocket};

/// Room for output: little, so that it is short of it all the time.
const ROOM: usize = 700;

struct World {
    now: Instant,
    stream: WebStream,
    input: GrowingRecvBuf,
    output: SharedSendBuf,
    server: Option<WebSocket<Server>>,
    at_server: GrowingRecvBuf,
    from_server: SharedSendBuf,
    /// What the server's side has heard, and the code of a Close frame.
    heard: Vec<u8>,
    closed: Option<CloseCode>,
    /// At most so many octets go over the line at once.
    cut: usize,
}

impl World {
    fn new(protocol: &str) -> Self {
        let now = Instant::from_millis(1);
        Self {
            now,
            stream: WebStream::new(now, "h.example", "/x?y", protocol, &mut Seeded::new(1)),
            input: GrowingRecvBuf::new(1 << 16),
            output: SharedSendBuf::new(ROOM),
            server: None,
            at_server: GrowingRecvBuf::new(1 << 20),
            from_server: SharedSendBuf::new(1 << 20),
            heard: Vec::new(),
            closed: None,
            cut: usize::MAX,
        }
    }

    fn open(protocol: &str) -> Self {
        let mut world = Self::new(protocol);
        world.settle();
        assert!(world.stream.is_open() && !world.stream.is_ended());
        world
    }

    /// Octets go over the line, as many as it takes at once.
    fn carry(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf, cut: usize) -> bool {
        let octets: Vec<u8> = from.slices().flatten().copied().take(cut).collect();
        to.push(&octets);
        from.sent(octets.len());
        !octets.is_empty()
    }

    fn serve(&mut self) {
        if self.server.is_none() {
            self.answer();
        }
        let Some(server) = &mut self.server else { return };
        loop {
            let event = server.recv(self.now, &mut self.at_server, &mut self.from_server);
            if let Some(Event::Closed(closed)) = &event {
                self.closed = Some(closed.code);
            }
            if event.is_none() {
                break;
            }
        }
        let mut decoded = server.decoded(&mut self.at_server);
        let n = decoded.filled().len();
        self.heard.extend_from_slice(decoded.take(n));
        let _ = server.poll_transmit(self.now, &mut self.from_server);
    }

    fn answer(&mut self) {
        let Ok(Some(n)) = http::HeadScanner::new().find(self.at_server.filled()) else { return };
        let head = RequestHead::parse(self.at_server.take(n)).unwrap();
        assert_eq!((head.host, head.path, head.query), ("h.example", "/x", Some("y")));
        let offer = Offer::read(&head).unwrap();
        let asked: Vec<_> = offer.protocols().collect();
        let fields = offer.accept(asked.first().copied().filter(|asked| *asked != "other"), None);
        let mut answer = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        fields.as_slice().iter().for_each(|(name, value)| answer += &format!("{name}: {value}\r\n"));
        self.from_server.put(format!("{answer}\r\n").as_bytes());
        self.server = Some(WebSocket::new(self.now, Server, Carries::Stream, &Config::default()));
    }

    /// Until nothing moves any more; what is read of the stream meanwhile is dropped.
    fn settle(&mut self) {
        let mut nothing = [0; 0];
        for _ in 0..10_000 {
            assert_eq!(self.stream.write(self.now, &[], &mut self.output), 0);
            let mut moved = Self::carry(&mut self.output, &mut self.at_server, self.cut);
            self.serve();
            moved |= Self::carry(&mut self.from_server, &mut self.input, self.cut);
            let _ = self.stream.read(self.now, &mut self.input, &mut nothing);
            if !moved {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// All of it, in pieces as there is room for.
    fn write(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let n = self.stream.write(self.now, octets, &mut self.output);
            assert!(self.output.len() <= ROOM);
            octets = &octets[n..];
            self.settle();
        }
    }

    fn read(&mut self, most: usize) -> Result<Option<Vec<u8>>, WebSocketError> {
        let mut memory = vec![0; most];
        let read = self.stream.read(self.now, &mut self.input, &mut memory)?;
        Ok(read.map(|n| memory[..n].to_vec()))
    }

    fn say(&mut self, octets: &[u8]) {
        let (now, server) = (self.now, self.server.as_mut().unwrap());
        server.send_binary(now, &mut self.from_server, octets).unwrap();
        self.settle();
    }

    fn close(&mut self, code: u16) {
        self.server.as_mut().unwrap().close(self.now, CloseCode(code), "why");
        self.settle();
    }
}

#[test]
fn a_subprotocol_is_asked_for_and_chosen() {
    for protocol in ["", "bowline", "mqtt"] {
        World::open(protocol);
    }
    let mut world = World::new("other");
    world.settle();
    let fault = OpenFault::Answer(AnswerFault::NoProtocol);
    assert_eq!(world.read(9), Err(WebSocketError::NotOpened { fault, words: String::new() }));
    assert!(world.stream.is_ended());
}

#[test]
fn a_server_that_opens_none_says_why() {
    let mut world = World::new("");
    world
        .input
        .push(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nno such");
    world.stream.write(world.now, b"lost", &mut world.output);
    let error = world.read(9).unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("(no such)"), "{error}");
    assert_eq!(world.read(9), Err(error), "it stays so");
    assert_eq!(world.stream.write(world.now, b"lost", &mut world.output), 0);
}

/// RFC 6455 §1.4: after a Close frame of one side the other may finish what it sends.
#[test]
fn an_end_of_this_side_leaves_the_other() {
    let mut world = World::open("");
    world.write(b"a question");
    world.stream.finish();
    let (now, server) = (world.now, world.server.as_mut().unwrap());
    // It is answered before the end was heard.
    server.send_binary(now, &mut world.from_server, b"an answer").unwrap();
    server
        .send_fragment(now, &mut world.from_server, crate::websocket::Kind::Binary, true, b", all")
        .unwrap();
    world.settle();
    assert_eq!((&world.heard[..], world.closed), (&b"a question"[..], Some(CloseCode::NORMAL)));
    assert_eq!(world.read(4).unwrap().unwrap(), b"an a");
    assert_eq!(world.read(99).unwrap().unwrap(), b"nswer, all");
    assert_eq!(world.read(99).unwrap().unwrap(), b"");
    assert_eq!(world.stream.write(now, b"more", &mut world.output), 0);
    world.stream.handle_eof(now);
    assert_eq!(world.read(99).unwrap().unwrap(), b"", "the transport's end behind it is none of its own");
}

#[test]
fn only_a_close_frame_that_says_so_is_an_end() {
    for code in [CloseCode::NORMAL.0, CloseCode::NO_STATUS.0] {
        let mut world = World::open("");
        world.say(b"bye");
        world.close(code);
        assert_eq!(world.read(99).unwrap().unwrap(), b"bye");
        assert_eq!(world.read(99).unwrap().unwrap(), b"");
        assert!(world.stream.is_ended() && world.closed.is_some(), "its Close frame is answered");
    }
    for code in [1001, 1011, 4000] {
        let mut world = World::open("");
        world.say(b"bye");
        world.close(code);
        assert_eq!(world.read(99).unwrap().unwrap(), b"bye");
        let error = world.read(99).unwrap_err();
        assert!(error.to_string().contains(&format!("{code}")), "{error}");
    }
    let mut world = World::open("");
    world.say(b"bye");
    assert_eq!(world.read(99).unwrap().unwrap(), b"bye");
    world.stream.handle_eof(world.now);
    assert_eq!(world.read(99), Err(WebSocketError::Truncated));
    let mut world = World::open("");
    world.stream.finish();
    world.stream.write(world.now, &[], &mut world.output);
    world.stream.handle_eof(world.now);
    assert_eq!(world.read(99), Err(WebSocketError::Truncated), "it has not said that this was all");
}

#[test]
fn a_text_message_breaks_it() {
    let mut world = World::open("");
    let (now, server) = (world.now, world.server.as_mut().unwrap());
    server.send_text(now, &mut world.from_server, "text").unwrap();
    world.settle();
    assert!(matches!(world.read(99), Err(WebSocketError::Broken(_))));
    assert!(world.closed.is_some(), "the server is told");
}

#[test]
fn pings_are_answered() {
    let mut world = World::open("");
    world.server.as_mut().unwrap().ping();
    world.settle();
    assert!(world.server.as_ref().unwrap().smoothed_rtt().is_some());
}

proptest! {
    /// However a line cuts, and whatever room there is: all octets, in order.
    #[test]
    fn octets_come_as_they_were_written(
        there in prop::collection::vec(any::<u8>(), 0..5000),
        back in prop::collection::vec(any::<u8>(), 0..5000),
        cut in 1_usize..900,
        piece in 1_usize..900,
    ) {
        let mut world = World::open("bowline");
        world.cut = cut;
        world.write(&there);
        for piece in back.chunks(piece) {
            world.say(piece);
        }
        prop_assert_eq!(&world.heard, &there);
        world.stream.finish();
        world.settle();
        world.close(1000);
        let mut came = Vec::new();
        loop {
            match world.read(piece) {
                Ok(Some(octets)) if octets.is_empty() => break,
                Ok(Some(octets)) => came.extend(octets),
                other => prop_assert!(false, "{:?}", other),
            }
            world.settle();
        }
        prop_assert_eq!(came, back);
    }

    /// A server may send anything.
    #[test]
    fn nothing_a_server_sends_is_more_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..600), opened: bool) {
        let mut world = if opened { World::open("") } else { World::new("") };
        world.input.push(&garbage);
        for _ in 0..700 {
            match world.read(7) {
                Ok(Some(octets)) if octets.is_empty() => break,
                Ok(Some(_)) => {}
                Ok(None) => world.stream.handle_eof(world.now),
                Err(_) => break,
            }
            world.stream.write(world.now, b"x", &mut world.output);
        }
        prop_assert!(matches!(world.read(7), Ok(Some(_)) | Err(_)));
    }
}
