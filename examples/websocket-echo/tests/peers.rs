//! Our client and our server against those of others.
//!
//! A server that our client is tried on sends back what it gets, but text that begins with one of these words:
//!
//! | text | what it does |
//! |---|---|
//! | `close 4002 bye` | closes with that code and reason |
//! | `ping x` | sends a ping of `x`, and `pong x` when that is answered |
//! | `fragments a b c` | sends `abc` in fragments of a word each |
//!
//! It chooses the subprotocol `echo` where that is offered; at `/other` it chooses `other`, whatever is offered;
//! `/missing` it refuses with 404. tungstenite's is in this file. Any other is tried by
//! `PEER=ws://127.0.0.1:PORT cargo test -p example-websocket-echo --test peers -- --ignored`, and has to compress
//! where that is offered: `conformance/clients` has some.

use std::net::{TcpListener, TcpStream};
use std::sync::{OnceLock, mpsc};
use std::thread;

use bowline_core::http::StatusCode;
use bowline_core::websocket::extensions::Offer;
use bowline_core::websocket::handshake::AnswerFault;
use bowline_core::websocket::{CloseCode, Kind};
use example_websocket_echo::client::{Client, Received, Wanted};
use example_websocket_echo::server;
use tungstenite::client::ClientRequestBuilder;
use tungstenite::error::{ProtocolError, SubProtocolError};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{self, HeaderValue};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode as TheirCode, Data, OpCode};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, Message, WebSocket};

/// Where lengths are written differently, and what no buffer takes at once.
const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000, 1 << 20];

/// Text of so many octets, of which no part is like another.
fn text(size: usize) -> String {
    let mut random = 1_u32;
    let mut letter = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (random >> 28) as u8)
    };
    (0..size).map(|_| letter()).collect()
}

/// Our client on somebody's server.
mod client_on {
    use super::*;

    fn connect(url: &str, deflate: bool) -> Client {
        let offer = Offer { client_max_window_bits: Some(None), ..Offer::default() };
        let wanted = Wanted { deflate: deflate.then_some(offer), ..Wanted::default() };
        Client::connect(url, &wanted).expect("a server is there")
    }

    fn message(client: &mut Client) -> (Kind, Vec<u8>) {
        match client.receive().expect("it is connected") {
            Some(Received::Message(kind, payload)) => (kind, payload),
            other => panic!("{other:?}"),
        }
    }

    fn closed(client: &mut Client, code: u16, said: &str) {
        let Some(Received::Closed { code: got, reason, clean }) = client.receive().expect("it is connected")
        else {
            panic!("something before the end")
        };
        assert_eq!((got.0, &reason[..], clean), (code, said, true));
        assert_eq!(client.receive().expect("a clean end"), None);
    }

    /// All sizes, as both kinds, sent whole and in fragments.
    fn echoes(url: &str, deflate: bool) {
        let mut client = connect(url, deflate);
        assert_eq!(client.is_compressed(), deflate);
        for size in SIZES {
            let text = text(size);
            for kind in [Kind::Text, Kind::Binary] {
                client.send(kind, text.as_bytes()).unwrap();
                assert!(message(&mut client) == (kind, text.clone().into()), "{size} octets");
                client.send_fragments(kind, text.as_bytes(), size / 7 + 1).unwrap();
                assert!(message(&mut client) == (kind, text.clone().into()), "{size} octets in fragments");
            }
        }
        client.close(CloseCode::NORMAL, "").unwrap();
        closed(&mut client, 1000, "");
    }

    pub(crate) fn messages_come_back(url: &str) {
        echoes(url, false);
    }

    pub(crate) fn compressed_messages_come_back(url: &str) {
        echoes(url, true);
    }

    /// More in one direction than a window, so that messages refer to others, forgotten and not.
    pub(crate) fn contexts_go_on(url: &str) {
        let mut client = connect(url, true);
        for i in 0..200 {
            let line = format!("{i} {} {i}", &text(3000)[i * 7..]);
            client.send(Kind::Text, line.as_bytes()).unwrap();
            assert_eq!(message(&mut client), (Kind::Text, line.into_bytes()));
        }
    }

    pub(crate) fn fragments_are_put_together(url: &str) {
        let mut client = connect(url, false);
        client.send(Kind::Text, b"fragments it was t\xc3\xa4 cut").unwrap();
        assert_eq!(message(&mut client), (Kind::Text, "itwastäcut".into()));
    }

    pub(crate) fn pings_are_answered_both_ways(url: &str) {
        let mut client = connect(url, false);
        client.ping().unwrap();
        assert!(matches!(client.receive().unwrap(), Some(Received::RoundTrip(_))));
        client.send(Kind::Text, b"ping hello").unwrap();
        assert_eq!(message(&mut client), (Kind::Text, b"pong hello".to_vec()));
    }

    pub(crate) fn either_side_closes(url: &str) {
        let mut client = connect(url, false);
        client.send(Kind::Text, b"close 4002 bye").unwrap();
        closed(&mut client, 4002, "bye");
        assert!(client.send(Kind::Text, b"more").is_err());
        for (code, told) in [(1000, 1000), (3001, 3001), (1005, 1005)] {
            let mut client = connect(url, false);
            client.close(CloseCode(code), "done").unwrap();
            closed(&mut client, told, "");
        }
    }

    pub(crate) fn subprotocols_are_checked(url: &str) {
        let connect = |target: &str, protocols| {
            Client::connect(&format!("{url}{target}"), &Wanted { protocols, ..Wanted::default() })
        };
        let fault = |target: &str, protocols| {
            let error = connect(target, protocols).expect_err("it cannot be opened");
            *error.downcast::<AnswerFault>().expect("it was answered")
        };
        assert_eq!(connect("/", "soap, echo").unwrap().protocol(), Some("echo"));
        assert_eq!(connect("/", "").unwrap().protocol(), None);
        assert_eq!(fault("/other", "echo"), AnswerFault::Protocol);
        assert_eq!(fault("/other", ""), AnswerFault::Protocol);
        assert_eq!(fault("/missing", ""), AnswerFault::Status(StatusCode::NOT_FOUND));
    }
}

/// Tests of our client on a server, with these attributes.
macro_rules! our_client_on {
    ($server:ident, $url:expr, $attributes:tt, [$($test:ident),*]) => {
        mod $server {
            $(our_client_on!(@ $url, $attributes, $test);)*
        }
    };
    (@ $url:expr, [$($attribute:meta),*], $test:ident) => {
        #[test]
        $(#[$attribute])*
        fn $test() {
            super::client_on::$test($url);
        }
    };
}

our_client_on!(
    our_client_on_tungstenite,
    super::tungstenite_server(),
    [],
    [
        messages_come_back,
        fragments_are_put_together,
        pings_are_answered_both_ways,
        either_side_closes,
        subprotocols_are_checked
    ]
);

our_client_on!(
    our_client_on_a_peer,
    &std::env::var("PEER").expect("PEER is ws://127.0.0.1:PORT"),
    [ignore = "needs a server, whose address is PEER"],
    [
        messages_come_back,
        compressed_messages_come_back,
        contexts_go_on,
        fragments_are_put_together,
        pings_are_answered_both_ways,
        either_side_closes,
        subprotocols_are_checked
    ]
);

/// Where tungstenite's server listens.
fn tungstenite_server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || serve(stream.unwrap()));
            }
        });
        format!("ws://{address}")
    })
}

#[expect(clippy::result_large_err, reason = "the type that is asked for")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let path = request.uri().path();
    if path == "/missing" {
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = http::StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    let offered = request.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
    let chosen = match path {
        "/other" => Some("other"),
        _ => offered.is_some_and(|offered| offered.contains("echo")).then_some("echo"),
    };
    if let Some(chosen) = chosen {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(chosen));
    }
    Ok(response)
}

/// tungstenite's server, as above; until the connection ends.
fn serve(stream: TcpStream) {
    let Ok(mut peer) = tungstenite::accept_hdr(stream, choose) else { return };
    while let Ok(message) = peer.read() {
        let sent = match &message {
            Message::Text(text) => match text.split_once(' ') {
                Some(("close", rest)) => {
                    let (code, reason) = rest.split_once(' ').unwrap();
                    let code = code.parse::<u16>().unwrap().into();
                    peer.close(Some(CloseFrame { code, reason: reason.into() }))
                }
                Some(("ping", octets)) => peer.send(Message::Ping(octets.to_owned().into())),
                Some(("fragments", words)) => fragments(&mut peer, &words.split(' ').collect::<Vec<_>>()),
                _ => peer.send(message),
            },
            Message::Binary(_) => peer.send(message),
            Message::Pong(octets) => {
                peer.send(Message::text(format!("pong {}", String::from_utf8_lossy(octets))))
            }
            _ => Ok(()),
        };
        if sent.is_err() && peer.can_write() {
            return;
        }
    }
}

/// Sends a text message in these fragments.
fn fragments<S: std::io::Read + std::io::Write>(
    peer: &mut WebSocket<S>,
    words: &[&str],
) -> tungstenite::Result<()> {
    for (i, word) in words.iter().enumerate() {
        let opcode = OpCode::Data(if i == 0 { Data::Text } else { Data::Continue });
        let last = i + 1 == words.len();
        let frame = Frame::message(word.as_bytes().to_vec(), opcode, last);
        peer.send(Message::Frame(frame))?;
    }
    Ok(())
}

/// tungstenite's client on our server.
mod tungstenite_on_our_server {
    use super::*;

    fn url() -> &'static str {
        static URL: OnceLock<String> = OnceLock::new();
        URL.get_or_init(|| {
            let (ready, address) = mpsc::channel();
            thread::spawn(move || {
                server::run(&"127.0.0.1:0".parse().unwrap(), |at| ready.send(format!("ws://{at}")).unwrap())
            });
            address.recv().expect("it listens")
        })
    }

    fn connect() -> WebSocket<MaybeTlsStream<TcpStream>> {
        tungstenite::connect(url()).expect("a server is there").0
    }

    fn close_frame(code: u16, reason: &str) -> CloseFrame {
        CloseFrame { code: code.into(), reason: reason.into() }
    }

    /// The Close frame that comes next, and the end.
    fn closed(peer: &mut WebSocket<MaybeTlsStream<TcpStream>>) -> Option<CloseFrame> {
        let Message::Close(frame) = peer.read().expect("a Close frame") else { panic!("no Close frame") };
        assert!(matches!(peer.read(), Err(Error::ConnectionClosed)));
        frame
    }

    #[test]
    fn messages_come_back() {
        let mut peer = connect();
        for size in SIZES {
            for message in [Message::text(text(size)), Message::binary(text(size))] {
                peer.send(message.clone()).unwrap();
                assert!(peer.read().unwrap() == message, "{size} octets");
            }
        }
    }

    /// Many at once: their answers come in their order.
    #[test]
    fn messages_come_back_in_their_order() {
        let mut peer = connect();
        for i in 0..1000 {
            peer.write(Message::text(i.to_string())).unwrap();
        }
        peer.flush().unwrap();
        for i in 0..1000 {
            assert_eq!(peer.read().unwrap(), Message::text(i.to_string()));
        }
    }

    #[test]
    fn fragments_are_put_together_and_pings_answered_between() {
        let mut peer = connect();
        fragments(&mut peer, &["it ", "was "]).unwrap();
        assert_eq!(peer.read().unwrap(), Message::text("it was "));
        let part = |octets: &'static [u8], data, last| {
            Message::Frame(Frame::message(octets, OpCode::Data(data), last))
        };
        peer.send(part(b"t\xc3", Data::Text, false)).unwrap();
        peer.send(Message::Ping(vec![7; 125].into())).unwrap();
        peer.send(part(b"\xa4", Data::Continue, true)).unwrap();
        assert_eq!(peer.read().unwrap(), Message::Pong(vec![7; 125].into()));
        assert_eq!(peer.read().unwrap(), Message::text("tä"));
    }

    #[test]
    fn a_close_frame_is_answered_with_its_code() {
        for frame in [Some(close_frame(3001, "done")), Some(close_frame(1000, "")), None] {
            let mut peer = connect();
            peer.close(frame.clone()).unwrap();
            assert_eq!(closed(&mut peer).map(|f| f.code), frame.map(|f| f.code));
        }
    }

    /// Each with the code that says why, in a frame that can still be read.
    #[test]
    fn what_is_wrong_is_answered_with_why() {
        let data = |octets: Vec<u8>, data| Frame::message(octets, OpCode::Data(data), true);
        let mut reserved = data(b"x".to_vec(), Data::Text);
        reserved.header_mut().rsv2 = true;
        for (frame, code) in [
            (data(b"a\xff".to_vec(), Data::Text), TheirCode::Invalid),
            (data(b"x".to_vec(), Data::Continue), TheirCode::Protocol),
            (data(b"x".to_vec(), Data::Reserved(3)), TheirCode::Protocol),
            (reserved, TheirCode::Protocol),
            (Frame::ping(vec![0; 126]), TheirCode::Protocol),
            (data(vec![0; (16 << 20) + 1], Data::Binary), TheirCode::Size),
        ] {
            let mut peer = connect();
            // The server may refuse the frame by its header, while the rest is written.
            let _ = peer.send(Message::Frame(frame));
            let Message::Close(Some(frame)) = peer.read().expect("a Close frame") else { panic!("{code}") };
            assert_eq!(frame.code, code);
            assert!(!frame.reason.is_empty());
        }
    }

    #[test]
    fn a_subprotocol_is_chosen_where_it_is_known() {
        let asks = |protocol| ClientRequestBuilder::new(url().parse().unwrap()).with_sub_protocol(protocol);
        let (_, response) = tungstenite::connect(asks("echo")).unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "echo");
        let refused = tungstenite::connect(asks("soap")).expect_err("it is not known");
        let none = ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol);
        assert!(matches!(refused, Error::Protocol(error) if error == none));
    }
}
