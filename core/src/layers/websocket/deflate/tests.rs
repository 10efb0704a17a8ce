//! RFC 7692: its examples, both ends against each other, and streams that are wrong.

use std::vec::Vec;

use super::*;
use crate::buf::{GrowingRecvBuf, SharedSendBuf, SliceSendBuf};
use crate::entropy::Seeded;
use crate::websocket::{Carries, Client, CloseCode, Config, Event, Server};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;

fn options() -> Options {
    Options { threshold: 0, ..Options::default() }
}

fn compressed(payload: &[u8]) -> Message<'_> {
    Message { kind: Kind::Binary, compressed: true, payload }
}

/// What a fresh connection makes of these messages, one after another.
fn inflated(params: &Params, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, Fault>> {
    let mut pool = Pool::new(options());
    let mut deflate = Deflate::server(params, &mut pool);
    let mut into = Vec::new();
    let inflate =
        |m: &&[u8]| deflate.inflate(&mut pool, compressed(m), &mut into).map(|m| m.payload.to_vec());
    messages.iter().map(inflate).collect()
}

/// Sections 7.2.3.1 to 7.2.3.6.
#[test]
fn the_examples_of_section_7_2_3() {
    let params = Params::default();
    let once: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    let stored: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two: &[u8] = &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    let hello = Ok(b"Hello".to_vec());
    // In one go, so the context goes on behind a last block too.
    let all = inflated(&params, &[once, again, stored, last, again, two, &[0], again]);
    let mut want = std::vec![hello; 6];
    want.extend([Ok(Vec::new()), Ok(b"Hello".to_vec())]);
    assert_eq!(all, want);

    let mut pool = Pool::new(options());
    let mut deflate = Deflate::server(&params, &mut pool);
    let mut ws = WebSocket::new(NOW, Server, Carries::Messages, &Config::default());
    let mut out = SharedSendBuf::new(1 << 16);
    for text in ["Hello", "", "Hello", "HelloHelloHelloHelloHello"] {
        let text = text.as_bytes();
        ws.send_deflated(NOW, &mut out, &mut deflate, &mut pool, Kind::Text, text).unwrap();
    }
    // "Hello" alone does not get smaller, nor does nothing.
    let got = out.slices().collect::<Vec<_>>().concat();
    assert!(got.starts_with(b"\x81\x05Hello\x81\0\x81\x05Hello\xc1"));
}

/// Section 7.2.2: streams that end badly, or are none; the context is lost, nothing else.
#[test]
fn what_is_no_deflate_is_refused() {
    for bad in [
        &[0xff][..],
        &[0x07, 0xff],
        &[0xf2, 0x48, 0xcd],                   // ends within a block
        &[0x00, 0x06, 0x00, 0xf9, 0xff, 0x48], // stored, and too short
        &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48], // a length and no complement of it
        &[0xf2, 0x00, 0x11, 0x00, 0x00],       // refers to what nobody sent
        b"not compressed at all",
    ] {
        assert_eq!(inflated(&Params::default(), &[bad]), [Err(Fault::Deflate)], "{bad:x?}");
    }
}

/// Section 8.1 of RFC 6455: text is looked at when it is inflated.
#[test]
fn inflated_text_is_utf8() {
    let mut pool = Pool::new(options());
    let mut deflate = Deflate::server(&Params::default(), &mut pool);
    for (bad, at) in [(&b"ab\xff"[..], 2), (b"abc\xe2\x82", 3)] {
        let stored = [&[0, bad.len() as u8, 0, !bad.len() as u8, 0xff], bad, &[0]].concat();
        let message = Message { kind: Kind::Text, ..compressed(&stored) };
        assert_eq!(deflate.inflate(&mut pool, message, &mut Vec::new()), Err(Fault::Utf8 { at }));
    }
}

/// The limit holds for what is inflated, while it is; and what expands too much is refused before.
#[test]
fn a_message_that_expands_too_much() {
    let mut pool = Pool::new(Options { max_message: 1 << 18, ..options() });
    let mut deflate = Deflate::server(&Params::default(), &mut pool);
    let mut zeros = |pool: &mut Pool, n: usize| {
        let mut big = Pool::new(options());
        let mut half = Half::new(None, true, big.lease());
        let message = big.deflate(&mut half, &std::vec![0; n]).unwrap().to_vec();
        let mut into = Vec::new();
        let result = deflate.inflate(pool, compressed(&message), &mut into).map(|m| m.payload.len());
        assert!(into.len() <= pool.options.max_message + 1);
        result
    };
    assert_eq!(zeros(&mut pool, 1 << 16), Ok(1 << 16));
    assert_eq!(zeros(&mut pool, 1 << 17), Err(Fault::DeflateRatio { limit: 100 }));
    let too_big = Err(Fault::TooBig { size: (1 << 18) + 1, limit: 1 << 18 });
    assert_eq!(zeros(&mut pool, 1 << 24), too_big);
    pool.options.max_ratio = 10_000;
    assert_eq!(zeros(&mut pool, 1 << 18), Ok(1 << 18));
    assert_eq!(zeros(&mut pool, (1 << 18) + 1), too_big);
    assert_eq!(Fault::DeflateRatio { limit: 1 }.close_code(), CloseCode::TOO_BIG);
}

/// Section 6: RSV1 in the first frame of a data message, and only where it was agreed to.
#[test]
fn rsv1_is_where_it_may_be() {
    let once: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let frame = |first: u8, payload: &[u8]| [&[first, payload.len() as u8], payload].concat();
    let parts = [frame(0x41, &once[..3]), frame(0x89, b""), frame(0x80, &once[3..]), frame(0x81, b"plain")];
    let wrong = Fault::ReservedBits { bits: 0b100 };
    for (allow, octets, fault) in [
        (true, parts.concat(), None),
        (false, parts.concat(), Some(wrong)),
        (true, [frame(0x41, &once[..3]), frame(0xc0, &once[3..])].concat(), Some(wrong)),
        (true, frame(0xc9, b""), Some(wrong)),
        (true, frame(0xc8, b""), Some(wrong)),
        (true, frame(0xe1, once), Some(Fault::ReservedBits { bits: 0b110 })),
    ] {
        let mut pool = Pool::new(options());
        let mut deflate = Deflate::client(&Params::default(), &mut pool);
        let mut ws = WebSocket::new(NOW, Client::new(Seeded::new(1)), Carries::Messages, &Config::default());
        if allow {
            ws.allow_compressed();
        }
        let (mut buf, mut out) = (GrowingRecvBuf::new(4096), SharedSendBuf::new(4096));
        let (mut texts, mut found) = (Vec::new(), None);
        for octet in octets {
            buf.push(&[octet]);
            while let Some(event) = ws.recv(NOW, &mut buf, &mut out) {
                match event {
                    Event::Message(m) => {
                        let compressed = m.compressed;
                        let mut into = Vec::new();
                        let message = deflate.inflate(&mut pool, m, &mut into).unwrap();
                        texts.push((compressed, std::string::String::from(message.text().unwrap())));
                    }
                    Event::Closed(c) => found = c.fault,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(found, fault);
        if fault.is_none() {
            assert_eq!(texts, [(true, "Hello".into()), (false, "plain".into())]);
        }
    }
    // A stream is not compressed.
    let mut ws = WebSocket::new(NOW, Server, Carries::Stream, &Config::default());
    ws.allow_compressed();
    let mut buf = GrowingRecvBuf::new(99);
    buf.push(&[0xc2]);
    let event = ws.recv(NOW, &mut buf, &mut SharedSendBuf::new(0));
    assert!(matches!(event, Some(Event::Closed(c)) if c.fault == Some(wrong)));
}

/// What is small, or would grow, goes as it is; what has no room changes nothing.
#[test]
fn compression_is_used_where_it_helps() {
    let mut pool = Pool::default();
    let mut deflate = Deflate::server(&Params::default(), &mut pool);
    let mut ws = WebSocket::new(NOW, Server, Carries::Messages, &Config::default());
    let mut noise = [0; 4000];
    crate::entropy::Entropy::wire(&mut Seeded::new(1), &mut noise);
    for (payload, first) in [(&[b'a'; 511][..], 0x82), (&noise, 0x82), (&[b'a'; 512], 0xc2), (&noise, 0x82)] {
        let mut out = SharedSendBuf::new(1 << 16);
        ws.send_deflated(NOW, &mut out, &mut deflate, &mut pool, Kind::Binary, payload).unwrap();
        assert_eq!(out.slices().next().unwrap()[0], first);
    }
    let memory = deflate.memory();
    let mut little = [0; 513];
    let mut out = SliceSendBuf::new(&mut little);
    let sent = ws.send_deflated(NOW, &mut out, &mut deflate, &mut pool, Kind::Binary, &[b'a'; 512]);
    assert!(sent.is_err_and(|error| error.is_blocked()));
    assert_eq!((deflate.memory(), out.pending().len()), (memory, 0));
}

/// One connection as it is used.
struct Link {
    client: (WebSocket<Client<Seeded>>, Deflate),
    server: (WebSocket<Server>, Deflate),
    buf: GrowingRecvBuf,
}

impl Link {
    fn new(params: &Params, pools: &mut (Pool, Pool)) -> Self {
        let config = Config::default();
        let mut link = Self {
            client: (
                WebSocket::new(NOW, Client::new(Seeded::new(1)), Carries::Messages, &config),
                Deflate::client(params, &mut pools.0),
            ),
            server: (
                WebSocket::new(NOW, Server, Carries::Messages, &config),
                Deflate::server(params, &mut pools.1),
            ),
            buf: GrowingRecvBuf::new(1 << 20),
        };
        link.client.0.allow_compressed();
        link.server.0.allow_compressed();
        link
    }

    /// A message to the server, and the same back, as a frame for many or by itself; its size on the wire.
    fn echo(&mut self, pools: &mut (Pool, Pool), kind: Kind, payload: &[u8], shared: bool) -> usize {
        let (mut there, mut back) = (SharedSendBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
        let (ws, deflate) = &mut self.client;
        ws.send_deflated(NOW, &mut there, deflate, &mut pools.0, kind, payload).unwrap();
        self.buf.push(&there.slices().collect::<Vec<_>>().concat());
        let (ws, deflate) = &mut self.server;
        let Some(Event::Message(m)) = ws.recv(NOW, &mut self.buf, &mut back) else { panic!() };
        let mut into = Vec::new();
        let m = deflate.inflate(&mut pools.1, m, &mut into).unwrap();
        assert!(m.kind == kind && m.payload == payload);
        if shared {
            let frame = Frame::deflated(&mut pools.1, MAX_WINDOW_BITS, kind, payload);
            assert_eq!(frame.kind(), kind);
            ws.send_frame_deflated(NOW, &mut back, deflate, &frame, payload).unwrap();
        } else {
            ws.send_deflated(NOW, &mut back, deflate, &mut pools.1, kind, payload).unwrap();
        }
        let wire = back.slices().collect::<Vec<_>>().concat();
        self.buf.push(&wire);
        let (ws, deflate) = &mut self.client;
        let Some(Event::Message(m)) = ws.recv(NOW, &mut self.buf, &mut there) else { panic!() };
        let m = deflate.inflate(&mut pools.0, m, &mut into).unwrap();
        assert!(m.kind == kind && m.payload == payload);
        assert!(deflate.memory() <= (deflate.tx.window() + deflate.rx.window()) * 5 / 4);
        wire.len()
    }
}

/// Section 7.1.1: what was sent before makes what follows smaller, whether the compressor is still there or
/// not; without takeover nothing is kept.
#[test]
fn contexts_are_taken_over() {
    let text = "{\"room\":\"lobby\",\"who\":\"ann\",\"says\":\"hello to all of you\"}".repeat(2);
    let no =
        Params { server_no_context_takeover: true, client_no_context_takeover: true, ..Params::default() };
    for contexts in [1, 2, 16] {
        let options = Options { contexts, ..options() };
        let mut pools = (Pool::new(options), Pool::new(options));
        let mut links: Vec<Link> =
            [Params::default(), Params::default(), no].iter().map(|p| Link::new(p, &mut pools)).collect();
        let mut sizes = [(); 3].map(|()| Vec::new());
        for _ in 0..4 {
            for (link, sizes) in links.iter_mut().zip(&mut sizes) {
                sizes.push(link.echo(&mut pools, Kind::Text, text.as_bytes(), false));
            }
        }
        let [first, second, alone] = &sizes;
        assert_eq!(first, second);
        assert!(first[1..].iter().all(|n| *n < 20 && *n < first[0] / 2), "{first:?}");
        assert!(alone.iter().all(|n| *n == first[0]), "{alone:?}");
        assert_eq!(links[2].server.1.memory(), 0);
        assert!(pools.1.compressors.len() <= contexts && pools.1.inflaters.len() <= contexts);
    }
}

/// A frame for many goes to members with other windows, and in the middle of a context.
#[test]
fn one_frame_for_all() {
    let mut pools = (Pool::new(options()), Pool::new(options()));
    let narrow = Params { server_max_window_bits: Some(9), ..Params::default() };
    let no = Params { server_no_context_takeover: true, ..Params::default() };
    let large = "abcdefgh".repeat(200);
    for params in [Params::default(), narrow, no] {
        let mut link = Link::new(&params, &mut pools);
        for (i, text) in ["small small small small", &large, "small small small small"].iter().enumerate() {
            for shared in [true, false, true] {
                let n = link.echo(&mut pools, Kind::Text, text.as_bytes(), shared);
                // The larger one refers further back than a window of 512 octets.
                let plain = shared && params == narrow && i == 1;
                assert_eq!(n < text.len(), !plain, "{n} {shared} {params:?}");
            }
        }
    }
    let frame = Frame::deflated(&mut pools.1, MAX_WINDOW_BITS, Kind::Binary, b"abc");
    assert!(!frame.is_compressed() && frame.payload() == b"abc");
    // Made for the narrow window it goes to all.
    let frame = Frame::deflated(&mut pools.1, 9, Kind::Text, large.as_bytes());
    for params in [Params::default(), narrow, no] {
        let mut link = Link::new(&params, &mut pools);
        let ((ws, deflate), mut out) = (&mut link.server, SharedSendBuf::new(1 << 20));
        ws.send_frame_deflated(NOW, &mut out, deflate, &frame, large.as_bytes()).unwrap();
        assert_eq!(out.len(), frame.size());
    }
}

fn any_params() -> impl Strategy<Value = Params> {
    let bits = || proptest::option::of(9..16u8);
    (any::<bool>(), any::<bool>(), bits(), bits()).prop_map(|(a, b, c, d)| Params {
        server_no_context_takeover: a,
        client_no_context_takeover: b,
        server_max_window_bits: c,
        client_max_window_bits: d,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Connections that agreed to anything share pools of any size, and hear what was said.
    #[test]
    fn whatever_was_agreed_to_messages_arrive(
        params in proptest::collection::vec(any_params(), 1..4),
        contexts in 1..4usize,
        messages in proptest::collection::vec(
            (any::<proptest::sample::Index>(), any::<bool>(), "[ab ]{0,30}|\\PC{0,60}", 1..400usize), 1..12),
    ) {
        let options = Options { contexts, max_ratio: 1000, ..options() };
        let mut pools = (Pool::new(options), Pool::new(options));
        let mut links: Vec<Link> = params.iter().map(|p| Link::new(p, &mut pools)).collect();
        for (link, shared, text, times) in messages {
            let text = text.repeat(times);
            links[link.index(params.len())].echo(&mut pools, Kind::Text, text.as_bytes(), shared);
        }
    }

    /// Any octets are refused or inflated within the limits.
    #[test]
    fn any_octets_may_come(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6)) {
        let mut pool = Pool::new(Options { max_message: 10_000, contexts: 1, ..options() });
        let mut deflate = Deflate::server(&Params::default(), &mut pool);
        let mut into = Vec::new();
        for message in &messages {
            if let Ok(m) = deflate.inflate(&mut pool, compressed(message), &mut into) {
                prop_assert!(m.payload.len() <= 10_000);
            }
        }
    }
}
