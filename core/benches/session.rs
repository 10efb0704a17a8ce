//! How long it takes a session to decode and handle 64-byte messages in memory, to send them, and to
//! hand them on; beside tokio-util's `LengthDelimitedCodec`, which merely cuts frames of the same
//! size. All in turns in one run. Both copy the bytes into a buffer of their own first, as a read
//! from a socket would.
//!
//! `cargo bench -p bowline-core --bench session`

use std::hint::black_box;
use std::time::Instant as Clock;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::flow::credit::UNLIMITED;
use bowline_core::session::{Config, Connect, Event, Forward, Limits, Message, Session, Welcome};
use bowline_core::time::Instant;
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// The payload of each message, in bytes.
const PAYLOAD: usize = 64;
const TOPIC: &str = "home/kitchen";
const MESSAGES: usize = 100_000;
/// How many arrive at once, as in one read of some 32 KiB; the same octets each time, so that the
/// processor's caches hold them and memory is not what is measured.
const BATCH: usize = 400;
/// More than a batch takes.
const READ: usize = 64 * 1024;
const ROUNDS: usize = 25;

const NOW: Instant = Instant::from_millis(1);

/// A client and a server in an open session, without limits that would stop them.
fn open() -> (Session, Session) {
    let limits = Limits { credit: UNLIMITED, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let (mut a, mut b) = (SharedSendBuf::new(4096), SharedSendBuf::new(4096));
    let mut client = Session::connect(NOW, &config, &Connect::default(), &mut a).expect("room");
    let mut server = Session::accept(NOW, &config);
    let mut buf = GrowingRecvBuf::new(4096);
    buf.push(a.slices().next().expect("HELLO"));
    assert!(matches!(server.recv(NOW, &mut buf), Some(Event::Hello(_))));
    server.welcome(NOW, &mut b, &Welcome::default(), None).expect("room");
    let mut buf = GrowingRecvBuf::new(4096);
    buf.push(b.slices().next().expect("WELCOME"));
    assert!(matches!(client.recv(NOW, &mut buf), Some(Event::Welcome(_))));
    (client, server)
}

/// What a client sends: a batch.
fn wire() -> Vec<u8> {
    let (mut client, _) = open();
    let mut out = SharedSendBuf::new(usize::MAX);
    for i in 0..BATCH {
        let payload = [b'a' + (i % 26) as u8; PAYLOAD];
        client.publish(NOW, &mut out, &Message::new(TOPIC, &payload)).expect("no limit");
    }
    out.slices().collect::<Vec<_>>().concat()
}

/// Frames for the other codec, each of the size of ours.
fn tokio_wire(ours: &[u8]) -> Vec<u8> {
    let (mut codec, mut out) = (LengthDelimitedCodec::new(), BytesMut::new());
    let body = ours.len() / BATCH - 4;
    for i in 0..BATCH {
        codec.encode(Bytes::from(vec![b'a' + (i % 26) as u8; body]), &mut out).expect("small enough");
    }
    assert_eq!(out.len(), ours.len());
    out.to_vec()
}

/// Nanoseconds per message of one pass.
fn per_message(pass: impl FnOnce() -> usize) -> f64 {
    let start = Clock::now();
    let messages = black_box(pass());
    let took = start.elapsed();
    assert_eq!(messages, MESSAGES);
    took.as_secs_f64() * 1e9 / MESSAGES as f64
}

/// Handles all that waits, and counts the messages.
fn handle(session: &mut Session, input: &mut impl RecvBuf) -> usize {
    let mut messages = 0;
    while let Some(event) = session.recv(NOW, input) {
        match event {
            Event::Publish(m) => messages += usize::from(black_box((m.topic, m.payload)).1.len() == PAYLOAD),
            other => panic!("{other:?}"),
        }
    }
    messages
}

fn decode_growing(wire: &[u8]) -> f64 {
    let ((_, mut server), mut input) = (open(), GrowingRecvBuf::new(2 * READ));
    per_message(|| {
        let mut messages = 0;
        for _ in 0..MESSAGES / BATCH {
            assert_eq!(input.push(wire), wire.len());
            messages += handle(&mut server, &mut input);
        }
        messages
    })
}

fn decode_slice(wire: &[u8]) -> f64 {
    let ((_, mut server), mut memory) = (open(), vec![0; 2 * READ]);
    let mut input = SliceRecvBuf::new(&mut memory);
    per_message(|| {
        let mut messages = 0;
        for _ in 0..MESSAGES / BATCH {
            assert_eq!(input.push(wire), wire.len());
            messages += handle(&mut server, &mut input);
        }
        messages
    })
}

fn decode_tokio(wire: &[u8]) -> f64 {
    let (mut codec, mut input) = (LengthDelimitedCodec::new(), BytesMut::with_capacity(2 * READ));
    per_message(|| {
        let mut frames = 0;
        for _ in 0..MESSAGES / BATCH {
            input.extend_from_slice(wire);
            while let Some(frame) = codec.decode(&mut input).expect("well formed") {
                frames += usize::from(black_box(frame).len() > PAYLOAD);
            }
        }
        frames
    })
}

/// Sends to a peer that takes everything, in turns of some size.
fn send_shared(mut send: impl FnMut(&mut Session, &mut SharedSendBuf)) -> f64 {
    let ((mut client, _), mut out) = (open(), SharedSendBuf::new(usize::MAX));
    per_message(|| {
        for i in 0..MESSAGES {
            send(&mut client, &mut out);
            if i % BATCH == 0 {
                out.sent(out.len());
            }
        }
        MESSAGES
    })
}

fn publish_shared() -> f64 {
    let payload = black_box([7; PAYLOAD]);
    send_shared(|client, out| client.publish(NOW, out, &Message::new(TOPIC, &payload)).expect("no limit"))
}

fn publish_slice() -> f64 {
    let ((mut client, _), mut memory) = (open(), vec![0; READ]);
    let (mut out, payload) = (SliceSendBuf::new(&mut memory), black_box([7; PAYLOAD]));
    per_message(|| {
        for i in 0..MESSAGES {
            client.publish(NOW, &mut out, &Message::new(TOPIC, &payload)).expect("no limit");
            if i % BATCH == 0 {
                out.sent(usize::MAX);
            }
        }
        MESSAGES
    })
}

fn forward(wire: &[u8]) -> f64 {
    let body = Bytes::copy_from_slice(black_box(&wire[2..wire.len() / BATCH]));
    let message =
        Forward { subscription: 7, reliable: false, retain: false, has_properties: false, body: &body };
    send_shared(|client, out| client.forward_shared(NOW, out, &message).expect("no limit"))
}

fn encode_tokio(size: usize) -> f64 {
    let (mut codec, mut out) = (LengthDelimitedCodec::new(), BytesMut::new());
    let body = Bytes::from(black_box(vec![7; size]));
    per_message(|| {
        for i in 0..MESSAGES {
            codec.encode(body.clone(), &mut out).expect("small enough");
            if i % BATCH == 0 {
                out.clear();
            }
        }
        MESSAGES
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    // `cargo test` runs this too: once over, to see that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let ours = wire();
    let theirs = tokio_wire(&ours);
    let size = theirs.len() / BATCH - 4;

    type Pass<'a> = (&'a str, Box<dyn Fn() -> f64 + 'a>);
    let groups: [Vec<Pass<'_>>; 2] = [
        vec![
            ("cut frames, LengthDelimitedCodec", Box::new(|| decode_tokio(&theirs))),
            ("decode and handle, growing buffer", Box::new(|| decode_growing(&ours))),
            ("decode and handle, slices", Box::new(|| decode_slice(&ours))),
        ],
        vec![
            ("encode, LengthDelimitedCodec", Box::new(|| encode_tokio(size))),
            ("publish, shared buffer", Box::new(publish_shared)),
            ("publish, slices", Box::new(publish_slice)),
            ("forward, shared buffer", Box::new(|| forward(&ours))),
        ],
    ];
    println!("{MESSAGES} messages of {PAYLOAD} bytes, {rounds} rounds in turns, medians");
    for group in &groups {
        let mut times = vec![Vec::new(); group.len()];
        for _ in 0..rounds {
            for ((_, pass), times) in group.iter().zip(&mut times) {
                times.push(pass());
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for ((name, _), &ns) in group.iter().zip(&medians) {
            println!("{name:<36} {ns:>7.2} ns/message   {:>6.2} x as fast", medians[0] / ns);
        }
    }
}
