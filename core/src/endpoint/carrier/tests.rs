//! Clients over WebSockets: the server's side for their worlds, and servers that refuse or misbehave.

use core::cell::Cell;
use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::{Carrier, RequestFields, WebSocketError};
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::endpoint::{client, mqtt_client};
use crate::entropy::Seeded;
use crate::http::{self, RequestHead, StatusCode};
use crate::lifecycle::Transport;
use crate::time::{Instant, Why};
use crate::websocket::handshake::{AnswerFault, Offer};
use crate::websocket::{Carries, CloseCode, Config, Fault, OpenFault, Server, WebSocket};

std::thread_local! {
    /// Whether lines of this thread's worlds are over WebSockets.
    static OVER_WEBSOCKET: Cell<bool> = const { Cell::new(false) };
}

/// Tells a story again, with every line over a WebSocket.
pub(in crate::endpoint) fn over_websocket<T>(story: impl FnOnce() -> T) -> T {
    OVER_WEBSOCKET.set(true);
    let told = story();
    OVER_WEBSOCKET.set(false);
    told
}

/// What a line of this thread's worlds is.
pub(in crate::endpoint) fn carrier() -> Carrier {
    let web = Carrier::WebSocket { host: "hub.example:7790".into(), target: "/".into() };
    if OVER_WEBSOCKET.get() { web } else { Carrier::Transport }
}

/// The server's side of what carries our own protocol: a WebSocket, or the records of Noise.
pub(in crate::endpoint) struct Gate {
    layer: Option<WebSocket<Server>>,
    #[cfg(feature = "noise")]
    noise: Option<super::super::client::tests::over_noise::Side>,
    pub(in crate::endpoint) received: GrowingRecvBuf,
    pub(in crate::endpoint) to_send: SharedSendBuf,
}

impl Default for Gate {
    fn default() -> Self {
        let (received, to_send) = (GrowingRecvBuf::new(2 << 20), SharedSendBuf::new(1 << 20));
        Self {
            layer: None,
            #[cfg(feature = "noise")]
            noise: None,
            received,
            to_send,
        }
    }
}

impl Gate {
    /// Of the secure mode.
    #[cfg(feature = "noise")]
    pub(in crate::endpoint) fn secure() -> Self {
        Self { noise: Some(Default::default()), ..Self::default() }
    }

    /// What was received becomes the octets within.
    pub(in crate::endpoint) fn decode(&mut self, now: Instant, within: &mut GrowingRecvBuf) {
        #[cfg(feature = "noise")]
        if let Some(noise) = &mut self.noise {
            return noise.decode(&mut self.received, &mut self.to_send, within);
        }
        if self.layer.is_none() {
            self.open(now);
        }
        let Some(layer) = &mut self.layer else { return };
        while layer.recv(now, &mut self.received, &mut self.to_send).is_some() {}
        let mut decoded = layer.decoded(&mut self.received);
        let n = decoded.filled().len();
        assert_eq!(within.push(decoded.take(n)), n);
    }

    fn open(&mut self, now: Instant) {
        let Ok(Some(n)) = http::HeadScanner::new().find(self.received.filled()) else { return };
        let head = RequestHead::parse(self.received.take(n)).unwrap();
        let offer = Offer::read(&head).unwrap();
        assert_eq!(
            (head.host, head.path, offer.choose(&["bowline"])),
            ("hub.example:7790", "/", Some("bowline"))
        );
        let fields = offer.accept(Some("bowline"), None);
        let mut answer = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        fields.as_slice().iter().for_each(|(name, value)| answer += &format!("{name}: {value}\r\n"));
        self.to_send.put(format!("{answer}\r\n").as_bytes());
        self.layer = Some(WebSocket::new(now, Server, Carries::Stream, &Config::default()));
    }

    /// The octets within become what is to be sent; says what the transport owes.
    pub(in crate::endpoint) fn encode(
        &mut self,
        now: Instant,
        owed: Transport,
        within: &mut SharedSendBuf,
    ) -> Transport {
        #[cfg(feature = "noise")]
        if let Some(noise) = &mut self.noise {
            return noise.encode(now, owed, within, &mut self.to_send);
        }
        let Some(layer) = &mut self.layer else { return Transport::Open };
        let octets: Vec<u8> = within.slices().flatten().copied().collect();
        within.sent(octets.len());
        layer.framed(&mut self.to_send).put(&octets);
        if owed != Transport::Open {
            layer.close(now, CloseCode::NORMAL, "");
        }
        layer.poll_transmit(now, &mut self.to_send)
    }
}

/// One of the clients, as far as these tests see it.
trait Tried {
    fn new(now: Instant, endpoints: usize) -> Self;
    fn dial(&mut self, now: Instant) -> bool;
    fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf);
    fn transmit(&mut self, now: Instant, out: &mut SharedSendBuf) -> Transport;
    fn eof(&mut self, now: Instant);
    fn gone(&mut self, now: Instant);
    fn timeout(&mut self, now: Instant);
    fn due(&self) -> Option<crate::time::Deadline>;
    /// The reasons for which connections ended, and the client if it did, in words; and what is within.
    fn ends(&mut self) -> Vec<End>;
}

/// How a connection ended: whether for good, why in words, and what the layer says.
#[derive(Clone, Debug, PartialEq)]
struct End {
    last: bool,
    text: String,
    why: Option<WebSocketError>,
}

macro_rules! tried {
    ($($module:ident)*) => {
        $(impl Tried for $module::Client {
            fn new(now: Instant, endpoints: usize) -> Self {
                let request_fields = RequestFields::new().with("Authorization", "Bearer s3cret").unwrap();
                let config = $module::ClientConfig { request_fields, endpoints, ..$module::ClientConfig::default() };
                $module::Client::new(now, config, Box::new(Seeded::new(3)))
            }
            fn dial(&mut self, now: Instant) -> bool {
                let dialed = self.poll_connect(now).is_some();
                self.handle_connected_over(now, &Carrier::WebSocket { host: "h".into(), target: "/x?y".into() });
                dialed
            }
            fn recv(&mut self, now: Instant, buf: &mut GrowingRecvBuf) {
                self.recv(now, buf);
            }
            fn transmit(&mut self, now: Instant, out: &mut SharedSendBuf) -> Transport {
                self.poll_transmit(now, out)
            }
            fn eof(&mut self, now: Instant) {
                self.handle_eof(now);
            }
            fn gone(&mut self, now: Instant) {
                self.handle_transport_gone(now);
            }
            fn timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn due(&self) -> Option<crate::time::Deadline> {
                self.poll_timeout()
            }
            fn ends(&mut self) -> Vec<End> {
                let mut ends = Vec::new();
                while let Some(event) = self.poll_event() {
                    let (last, reason) = match event {
                        $module::ClientEvent::Disconnected { reason, .. } => (false, reason),
                        $module::ClientEvent::Closed { reason, .. } => (true, reason),
                        _ => continue,
                    };
                    let text = reason.to_string();
                    let why = if let $module::Reason::WebSocket(why) = reason { Some(why) } else { None };
                    ends.push(End { last, text, why });
                }
                ends
            }
        })*
    };
}

tried!(client mqtt_client);

/// A client whose request went out.
struct Asked<C> {
    now: Instant,
    client: C,
    request: String,
    buf: GrowingRecvBuf,
    out: SharedSendBuf,
}

impl<C: Tried> Asked<C> {
    fn new(endpoints: usize) -> Self {
        let now = Instant::from_millis(10);
        let mut client = C::new(now, endpoints);
        assert!(client.dial(now));
        assert_eq!(client.due().map(|d| d.why), Some(Why::Output));
        let mut out = SharedSendBuf::new(1 << 16);
        assert_eq!(client.transmit(now, &mut out), Transport::Open);
        let request = String::from_utf8(out.slices().collect::<Vec<_>>().concat()).unwrap();
        out.sent(usize::MAX);
        assert_eq!(client.due().map(|d| d.why), Some(Why::Handshake));
        Self { now, client, request, buf: GrowingRecvBuf::new(1 << 17), out }
    }

    /// The answer that opens, but for some of its lines.
    fn answer(&self, replace: &[(&str, &str)]) -> Vec<u8> {
        let head = RequestHead::parse(self.request.as_bytes()).unwrap();
        let offer = Offer::read(&head).unwrap();
        let protocol = offer.protocols().next();
        let mut answer = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in offer.accept(protocol, None).as_slice() {
            answer += &format!("{name}: {value}\r\n");
        }
        for (from, to) in replace {
            assert!(answer.contains(from), "{answer}");
            answer = answer.replace(from, to);
        }
        format!("{answer}\r\n").into_bytes()
    }

    /// The server's octets come, so many at once; says what the transport owes then.
    fn come(&mut self, octets: &[u8], at_once: usize) -> Transport {
        let mut owed = Transport::Open;
        for piece in octets.chunks(at_once) {
            assert_eq!(self.buf.push(piece), piece.len());
            self.client.recv(self.now, &mut self.buf);
            owed = self.client.transmit(self.now, &mut self.out);
        }
        owed
    }

    /// The transport breaks: how it all ended.
    fn end(mut self) -> End {
        self.client.gone(self.now);
        let mut ends = self.client.ends();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends.remove(0)
    }
}

/// A server that answers so, whole and octet by octet: how it ends.
fn answered<C: Tried>(answer: impl Fn(&Asked<C>) -> Vec<u8>) -> End {
    let end_of = |at_once| {
        let mut asked = Asked::<C>::new(1);
        let octets = answer(&asked);
        let owed = asked.come(&octets, at_once);
        assert_ne!(owed, Transport::Open, "{}", String::from_utf8_lossy(&octets));
        asked.end()
    };
    let whole = end_of(usize::MAX);
    assert_eq!(end_of(1), whole);
    whole
}

fn fault_of(end: &End) -> OpenFault {
    match &end.why {
        Some(WebSocketError::NotOpened { fault, .. }) => *fault,
        other => panic!("{other:?}"),
    }
}

fn both(test: fn(), again: fn()) {
    test();
    again();
}

/// WSK-1: RFC 6455 §4.1; [MQTT-6.0.0-3].
#[test]
fn a_request_says_all_that_it_has_to() {
    let own = Asked::<client::Client>::new(1).request;
    let mqtt = Asked::<mqtt_client::Client>::new(1).request;
    for (request, protocol) in [(own, "bowline"), (mqtt, "mqtt")] {
        let head = RequestHead::parse(request.as_bytes()).unwrap();
        assert_eq!((head.path, head.query, head.host), ("/x", Some("y"), "h"));
        assert_eq!(head.headers.text("authorization"), Some("Bearer s3cret"));
        assert_eq!(head.headers.text("sec-websocket-protocol"), Some(protocol));
        assert_eq!(head.headers.get("sec-websocket-extensions"), None, "WSO-10");
        assert!(Offer::read(&head).is_ok());
    }
}

/// WSK-4.
#[test]
fn a_refusal_is_told_with_its_status_and_what_to_do() {
    fn refusals<C: Tried>() {
        for (status, last, advice) in [
            ("400 Bad Request", true, "does the server speak this protocol"),
            ("401 Unauthorized", true, "Authorization"),
            ("403 Forbidden", true, "Origin"),
            ("404 Not Found", true, "at which is the WebSocket?"),
            ("426 Upgrade Required", true, "another version"),
            ("200 OK", false, "is the path right?"),
            ("500 Internal Server Error", false, "has failed"),
            ("503 Service Unavailable", false, "later"),
        ] {
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nbecause\n"
            );
            let end = answered::<C>(|_| text.clone().into_bytes());
            assert_eq!(end.last, last, "{end:?}");
            assert_eq!(fault_of(&end).status().map(|s| s.to_string()), Some(status.into()));
            for part in [status, "(because)", advice] {
                assert!(end.text.contains(part), "{part}: {end:?}");
            }
            assert_eq!(end.why.unwrap().status().map(StatusCode::number), status[..3].parse().ok());
        }
    }
    both(refusals::<client::Client>, refusals::<mqtt_client::Client>);
}

/// WSK-4.
#[test]
fn a_refusal_is_not_the_end_where_there_is_another_endpoint() {
    let refused = |endpoints| {
        let mut asked = Asked::<client::Client>::new(endpoints);
        let _ = asked.come(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", usize::MAX);
        asked.end().last
    };
    assert_eq!((refused(1), refused(2)), (true, false));
}

/// WSK-4.
#[test]
fn a_server_may_say_where_it_is_and_for_how_long_not() {
    let end = answered::<client::Client>(|_| {
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: ws://b/c\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    assert!(end.last && end.text.contains("(ws://b/c)"), "{end:?}");

    let mut asked = Asked::<client::Client>::new(1);
    let _ = asked.come(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n",
        usize::MAX,
    );
    asked.client.gone(asked.now);
    let due = asked.client.due().unwrap();
    let wait = due.at.saturating_since(asked.now);
    assert_eq!(due.why, Why::Backoff);
    assert!(wait >= Duration::from_secs(40) && wait <= Duration::from_secs(51), "{wait:?}");
}

/// WSK-2; [MQTT-6.0.0-4].
#[test]
fn an_answer_that_breaks_a_rule_is_named() {
    fn answers<C: Tried>() {
        for (replace, fault) in [
            (("HTTP/1.1", "HTTP/1.0"), AnswerFault::Version),
            (("upgrade: websocket", "upgrade: h2c"), AnswerFault::Upgrade),
            (("connection: Upgrade", "connection: close"), AnswerFault::Connection),
            (("sec-websocket-accept: ", "sec-websocket-accept: x"), AnswerFault::Accept),
            (("sec-websocket-protocol: ", "sec-websocket-protocol: prx1"), AnswerFault::Protocol),
            (("sec-websocket-protocol: ", "x: "), AnswerFault::NoProtocol),
            (
                ("connection: ", "sec-websocket-extensions: permessage-deflate\r\nconnection: "),
                AnswerFault::Extensions,
            ),
        ] {
            let end = answered::<C>(|asked| asked.answer(&[replace]));
            assert_eq!((fault_of(&end), end.last), (OpenFault::Answer(fault), false), "{replace:?}");
            assert!(end.text.contains(&fault.to_string()));
        }
    }
    both(answers::<client::Client>, answers::<mqtt_client::Client>);
}

/// WSK-3.
#[test]
fn what_is_no_answer_is_named() {
    fn answers<C: Tried>() {
        for (octets, fault) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], http::Fault::Version),
            (b"HTTP/1.1 1x1 y\r\n\r\n", http::Fault::StatusLine),
            (b"HTTP/2 101\r\n\r\n", http::Fault::Version),
            (b"HTTP/1.1 101 x\nUpgrade: websocket\n\n", http::Fault::LineEnd),
            (b"HTTP/1.1 101 x\r\n folded\r\n\r\n", http::Fault::Folded),
        ] {
            let end = answered::<C>(|_| octets.to_vec());
            assert_eq!((fault_of(&end), end.last), (OpenFault::Http(fault), false));
        }
        // Heads without an end: a line, and lines.
        let line = [&b"HTTP/1.1 101 "[..], &[b'x'; http::MAX_REQUEST_LINE]].concat();
        let lines = [&b"HTTP/1.1 101 x\r\n"[..], &b"x: y\r\n".repeat(101)].concat();
        let long = [&b"HTTP/1.1 101 x\r\nx: "[..], &[b'y'; http::MAX_HEAD]].concat();
        for (octets, fault) in [
            (line, http::Fault::LineTooLong),
            (lines, http::Fault::TooManyFields),
            (long, http::Fault::HeadTooLong),
        ] {
            let mut asked = Asked::<C>::new(1);
            assert_eq!(asked.come(&octets, usize::MAX), Transport::Drop);
            assert_eq!(fault_of(&asked.end()), OpenFault::Http(fault));
        }
        // A buffer that takes less than a head may have.
        let mut asked = Asked::<C>::new(1);
        asked.buf = GrowingRecvBuf::new(100);
        let head = [&b"HTTP/1.1 101 x\r\nx: "[..], &[b'y'; 81]].concat();
        assert_eq!(asked.come(&head, usize::MAX), Transport::Drop);
        assert_eq!(fault_of(&asked.end()), OpenFault::Http(http::Fault::HeadTooLong));
    }
    both(answers::<client::Client>, answers::<mqtt_client::Client>);
}

/// WSK-3.
#[test]
fn an_answer_that_does_not_come_is_waited_for_in_vain() {
    fn waits<C: Tried>() {
        let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nbec";
        for (octets, fault) in [
            (&b""[..], OpenFault::Stalled),
            (b"HTTP/1.1 101 Switch", OpenFault::Stalled),
            // Its text does not come, which is no reason not to say what is known.
            (refusal, OpenFault::Answer(AnswerFault::Status(StatusCode::FORBIDDEN))),
        ] {
            let mut asked = Asked::<C>::new(1);
            assert_eq!(asked.come(octets, usize::MAX), Transport::Open);
            let due = asked.client.due().unwrap();
            assert_eq!(
                (due.why, due.at.saturating_since(asked.now)),
                (Why::Handshake, Duration::from_secs(5))
            );
            asked.now = due.at;
            asked.client.timeout(asked.now);
            assert_eq!(asked.client.due().map(|d| d.why), Some(Why::Output));
            assert_eq!(asked.client.transmit(asked.now, &mut asked.out), Transport::Drop);
            assert_eq!(fault_of(&asked.end()), fault);
        }
        let mut asked = Asked::<C>::new(1);
        let _ = asked.come(refusal, usize::MAX);
        asked.client.eof(asked.now);
        assert_eq!(fault_of(&asked.end()).status(), Some(StatusCode::FORBIDDEN));
        let mut asked = Asked::<C>::new(1);
        asked.client.eof(asked.now);
        assert_eq!(asked.end(), End { last: false, text: "the connection was cut".into(), why: None });
    }
    both(waits::<client::Client>, waits::<mqtt_client::Client>);
}

/// WSK-2; RFC 9110 §15.2.
#[test]
fn interim_answers_are_passed_over() {
    let mut asked = Asked::<client::Client>::new(1);
    let octets = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3), asked.answer(&[])].concat();
    assert_eq!(asked.come(&octets, 7), Transport::Open);
    assert!(!asked.out.is_empty(), "HELLO");
}

#[test]
fn a_request_that_cannot_be_made_ends_it() {
    let now = Instant::from_millis(0);
    let mut client = client::Client::new(now, client::ClientConfig::default(), Box::new(Seeded::new(1)));
    assert!(client.poll_connect(now).is_some());
    client.handle_connected_over(now, &Carrier::WebSocket { host: "h".into(), target: "no path".into() });
    assert_eq!(client.poll_transmit(now, &mut SharedSendBuf::new(1000)), Transport::Drop);
    let ends = client.ends();
    assert!(ends.len() == 1 && ends[0].last && ends[0].text.contains("begins with /"), "{ends:?}");
}

/// An open connection, and the server's frames by hand.
fn open<C: Tried>() -> Asked<C> {
    let mut asked = Asked::<C>::new(1);
    let answer = asked.answer(&[]);
    assert_eq!(asked.come(&answer, usize::MAX), Transport::Open);
    let greeting: Vec<u8> = asked.out.slices().flatten().copied().collect();
    asked.out.sent(usize::MAX);
    assert_eq!((greeting[0], greeting[1] & 0x80), (0x82, 0x80), "a masked binary message");
    asked
}

/// WSK-7: RFC 6455 §5.1, §7.1.7; [MQTT-6.0.0-1].
#[test]
fn a_server_that_breaks_a_rule_is_told_and_left() {
    fn faults<C: Tried>() {
        for (frame, fault, code) in [
            (&b"\x82\x81\x01\x02\x03\x04x"[..], Fault::Masked(crate::websocket::Opcode::Binary), 1002u16),
            (b"\x81\x02hi", Fault::TextInStream, 1003),
            (b"\x83\x00", Fault::ReservedOpcode(3), 1002),
            (b"\xc2\x01x", Fault::ReservedBits { bits: 0b100 }, 1002),
        ] {
            let mut asked = open::<C>();
            assert_eq!(asked.come(frame, usize::MAX), Transport::Shut);
            let said: Vec<u8> = asked.out.slices().flatten().copied().collect();
            assert_eq!((said[0], said[1] & 0x80), (0x88, 0x80), "a masked Close frame, and nothing else");
            let code_sent = [said[6] ^ said[2], said[7] ^ said[3]];
            assert_eq!(u16::from_be_bytes(code_sent), code);
            let end = asked.end();
            assert_eq!((&end.why, end.last), (&Some(WebSocketError::Broken(fault)), false));
            assert!(end.text.contains("broke a rule"));
        }
    }
    both(faults::<client::Client>, faults::<mqtt_client::Client>);
}

/// A rule is broken right behind the answer, before the client has said a word: nothing turns in circles until the
/// stream ends.
#[test]
fn a_server_that_breaks_a_rule_at_once_is_waited_for() {
    fn at_once<C: Tried>() {
        for (frame, owed) in [(&b"\x83\x00"[..], Transport::Shut), (b"\x88\x00", Transport::Open)] {
            let mut asked = Asked::<C>::new(1);
            let octets = [&asked.answer(&[]), frame].concat();
            assert_eq!(asked.come(&octets, usize::MAX), owed);
            let said: Vec<u8> = asked.out.slices().flatten().copied().collect();
            assert_eq!((said[0], said.len() < 60), (0x88, true), "a Close frame alone");
            assert_eq!(asked.client.due().map(|d| d.why), Some(Why::Close));
            assert!(asked.end().why.is_some());
        }
    }
    both(at_once::<client::Client>, at_once::<mqtt_client::Client>);
}

/// WSK-8: RFC 6455 §5.5.1, §7.1.1: the server ends the stream first.
#[test]
fn a_server_may_close_and_the_client_waits_for_the_streams_end() {
    fn closes<C: Tried>() {
        let mut asked = open::<C>();
        assert_eq!(asked.come(b"\x88\x06\x03\xf4gone", usize::MAX), Transport::Open);
        let said: Vec<u8> = asked.out.slices().flatten().copied().collect();
        assert_eq!(said[0], 0x88);
        asked.client.eof(asked.now);
        assert_eq!(asked.client.transmit(asked.now, &mut asked.out), Transport::Drop);
        let (code, reason) = (CloseCode::RESTART, String::from("gone"));
        assert_eq!(asked.end().why, Some(WebSocketError::Closed { code, reason }));
        // One that does not end it is left in time.
        let mut asked = open::<C>();
        let _ = asked.come(b"\x88\x00", usize::MAX);
        asked.out.sent(usize::MAX);
        let due = asked.client.due().unwrap();
        assert_eq!((due.why, due.at.saturating_since(asked.now)), (Why::Close, Duration::from_secs(5)));
        asked.client.timeout(due.at);
        assert_eq!(asked.client.transmit(due.at, &mut asked.out), Transport::Drop);
    }
    both(closes::<client::Client>, closes::<mqtt_client::Client>);
}

/// WSK-6: RFC 6455 §5.5.2, §5.5.3: one answer is owed, to the newest.
#[test]
fn a_ping_is_answered_with_all_else() {
    fn pings<C: Tried>() {
        let mut asked = open::<C>();
        assert_eq!(asked.come(&b"\x89\x02ab\x89\x02cd".repeat(100), usize::MAX), Transport::Open);
        let said: Vec<u8> = asked.out.slices().flatten().copied().collect();
        assert_eq!((said.len(), said[0], said[1]), (8, 0x8a, 0x82));
        assert_eq!([said[6] ^ said[2], said[7] ^ said[3]], *b"cd");
    }
    both(pings::<client::Client>, pings::<mqtt_client::Client>);
}

/// WSK-5: messages of one turn, the acknowledgement and the pong leave in one write, each frame with a key of its
/// own.
#[test]
fn all_that_is_owed_leaves_at_once() {
    use crate::endpoint::server::{Peer, Server as Hub, ServerConfig};
    let now = Instant::from_millis(10);
    let mut hub = Hub::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    let mut client = client::Client::new(now, client::ClientConfig::default(), Box::new(Seeded::new(2)));
    assert!(client.dial(now));
    let key = hub.accept(now, Peer::default()).unwrap();
    let (mut up, mut down) = (SharedSendBuf::new(1 << 16), SharedSendBuf::new(1 << 16));
    let (mut at_hub, mut at_client) = (GrowingRecvBuf::new(1 << 16), GrowingRecvBuf::new(1 << 16));
    for _ in 0..4 {
        let _ = client.poll_transmit(now, &mut up);
        at_hub.push(&up.slices().collect::<Vec<_>>().concat());
        up.sent(usize::MAX);
        hub.recv(now, key, &mut at_hub, &mut down);
        let _ = hub.poll_transmit(now, key, &mut down);
        at_client.push(&down.slices().collect::<Vec<_>>().concat());
        down.sent(usize::MAX);
        client.recv(now, &mut at_client);
    }
    assert!(client.is_connected());
    for n in 0..20 {
        client.publish(now, client::Publish::new("t", n.to_string())).unwrap();
    }
    at_client.push(b"\x89\x02ab");
    client.recv(now, &mut at_client);
    let _ = client.poll_transmit(now, &mut up);
    let mut octets = up.slices().collect::<Vec<_>>().concat();
    let (mut kinds, mut keys) = (Vec::new(), Vec::new());
    while let [first, len, a, b, c, d, ..] = octets[..] {
        assert_eq!(len & 0x80, 0x80, "masked");
        kinds.push(first);
        keys.push([a, b, c, d]);
        octets.drain(..6 + usize::from(len & 0x7f));
    }
    assert_eq!(kinds, [&[0x82; 20][..], &[0x8a]].concat());
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 21);
    let _ = client.poll_transmit(now, &mut up);
    assert_eq!(client.due().map(|d| d.why), Some(Why::Keepalive), "nothing is left");
}

/// WSK-4: what a server that was there has not at present, it may have again; but not who may not.
#[test]
fn a_client_that_had_a_session_is_more_patient() {
    let why = |status| WebSocketError::NotOpened {
        fault: OpenFault::Answer(AnswerFault::Status(StatusCode::new(status).unwrap())),
        words: String::new(),
    };
    for (status, ever, again) in [
        (404, true, false),
        (400, true, false),
        (401, true, true),
        (403, true, true),
        (503, false, false),
        (429, false, false),
    ] {
        assert_eq!((why(status).is_final(false), why(status).is_final(true)), (ever, again), "{status}");
    }
    let broken = WebSocketError::Broken(Fault::TextInStream);
    assert!(!broken.is_final(false) && broken.status().is_none());
}

/// WSK-1.
#[test]
fn fields_that_nobody_may_set_are_refused() {
    let long = (0..8).fold(RequestFields::new(), |fields, n| fields.with(&format!("x-{n}"), "v").unwrap());
    assert!(long.with("x-9", "v").unwrap_err().to_string().contains("eight"));
    for (name, value) in [
        ("Host", "h"),
        ("connection", "close"),
        ("Sec-WebSocket-Key", "x"),
        ("SEC-WEBSOCKET-PROTOCOL", "x"),
        ("no token", "x"),
        ("", "x"),
        ("x", "a\r\nb: c"),
    ] {
        let error = RequestFields::new().with(name, value).unwrap_err();
        assert_eq!(error.name, name, "{}", error.what);
    }
    let fields = RequestFields::new().with("Cookie", "s3cret").unwrap();
    assert!(!format!("{fields:?}").contains("s3cret"));
}

proptest! {
    /// Whatever a server sends, before the answer and after it, nothing panics and something is owed or due.
    #[test]
    fn noise_does_no_harm(
        opens in any::<bool>(),
        octets in prop::collection::vec(any::<u8>(), 0..300),
        at_once in 1usize..64,
    ) {
        let mut asked = if opens { open::<client::Client>() } else { Asked::new(1) };
        let _ = asked.come(&octets, at_once);
        let owed = asked.client.transmit(asked.now, &mut asked.out);
        prop_assert!(owed != Transport::Open || asked.client.due().is_some());
        asked.client.gone(asked.now);
        prop_assert!(!asked.client.ends().is_empty());
    }
}
