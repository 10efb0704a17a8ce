//! How long it takes to cut 64-byte frames out of the same bytes in memory: our `LengthFramer`, and
//! tokio-util's `LengthDelimitedCodec`, in turns in one run. Both copy the bytes into a buffer of
//! their own first, as a read from a socket would. Theirs then hands out frames that own a share of
//! that buffer, ours lends them, which is most of the difference.
//!
//! `cargo bench -p bowline-core --bench framers`

use std::hint::black_box;
use std::time::Instant;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::frame::{DelimiterFramer, Framer, LengthField, LengthFramer, LineEnd, LineFramer};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// The payload of each frame, in bytes.
const PAYLOAD: usize = 64;
const FRAMES: usize = 100_000;
/// How much arrives at once, as in one read.
const READ: usize = 64 * 1024;
const ROUNDS: usize = 25;

fn wire<F: Framer>(framer: &F) -> Vec<u8> {
    let mut out = SharedSendBuf::new(usize::MAX);
    for i in 0..FRAMES {
        framer.encode(&[b'a' + (i % 26) as u8; PAYLOAD], &mut out).expect("no limit");
    }
    out.slices().collect::<Vec<_>>().concat()
}

/// Nanoseconds per frame of one pass.
fn per_frame(pass: impl FnOnce() -> usize) -> f64 {
    let start = Instant::now();
    let frames = black_box(pass());
    let took = start.elapsed();
    assert_eq!(frames, FRAMES);
    took.as_secs_f64() * 1e9 / FRAMES as f64
}

fn decode_ours<F: Framer + Clone>(framer: &F, wire: &[u8]) -> f64 {
    let (mut framer, mut input) = (framer.clone(), GrowingRecvBuf::new(2 * READ));
    per_frame(|| {
        let mut frames = 0;
        for read in wire.chunks(READ) {
            assert_eq!(input.push(read), read.len());
            while let Some(frame) = framer.decode(&mut input).expect("well formed") {
                frames += usize::from(black_box(frame).len() == PAYLOAD);
            }
        }
        assert!(input.filled().is_empty());
        frames
    })
}

fn decode_tokio(wire: &[u8]) -> f64 {
    let (mut codec, mut input) = (LengthDelimitedCodec::new(), BytesMut::with_capacity(2 * READ));
    per_frame(|| {
        let mut frames = 0;
        for read in wire.chunks(READ) {
            input.extend_from_slice(read);
            while let Some(frame) = codec.decode(&mut input).expect("well formed") {
                frames += usize::from(black_box(frame).len() == PAYLOAD);
            }
        }
        frames
    })
}

fn encode_ours<F: Framer>(framer: &F) -> f64 {
    let mut out = SharedSendBuf::new(usize::MAX);
    per_frame(|| {
        let payload = black_box([7; PAYLOAD]);
        for i in 0..FRAMES {
            framer.encode(&payload, &mut out).expect("no limit");
            if i % 1000 == 0 {
                out.sent(out.len());
            }
        }
        FRAMES
    })
}

fn encode_tokio() -> f64 {
    let (mut codec, mut out) = (LengthDelimitedCodec::new(), BytesMut::new());
    per_frame(|| {
        let payload = Bytes::from(black_box(vec![7; PAYLOAD]));
        for i in 0..FRAMES {
            codec.encode(payload.clone(), &mut out).expect("small enough");
            if i % 1000 == 0 {
                out.clear();
            }
        }
        FRAMES
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    // `cargo test` runs this too: once over, to see that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let length = LengthFramer::new(LengthField::U32Be, 1 << 20);
    let leb = LengthFramer::new(LengthField::Leb128, 1 << 20);
    let delimiter = DelimiterFramer::new("\r\n", 1 << 16).expect("not empty");
    let line = LineFramer::new(LineEnd::CrLf, 1 << 16);
    let (length_wire, leb_wire, line_wire) = (wire(&length), wire(&leb), wire(&line));

    type Pass<'a> = (&'a str, Box<dyn Fn() -> f64 + 'a>);
    let groups: [Vec<Pass<'_>>; 2] = [
        vec![
            ("decode, tokio-util LengthDelimitedCodec", Box::new(|| decode_tokio(&length_wire))),
            ("decode, LengthFramer U32Be", Box::new(|| decode_ours(&length, &length_wire))),
            ("decode, LengthFramer Leb128", Box::new(|| decode_ours(&leb, &leb_wire))),
            ("decode, DelimiterFramer CRLF", Box::new(|| decode_ours(&delimiter, &line_wire))),
            ("decode, LineFramer CrLf", Box::new(|| decode_ours(&line, &line_wire))),
        ],
        vec![
            ("encode, tokio-util LengthDelimitedCodec", Box::new(encode_tokio)),
            ("encode, LengthFramer U32Be", Box::new(|| encode_ours(&length))),
            ("encode, LengthFramer Leb128", Box::new(|| encode_ours(&leb))),
        ],
    ];
    println!("{FRAMES} frames of {PAYLOAD} bytes, {rounds} rounds in turns, medians");
    for group in &groups {
        let mut times = vec![Vec::new(); group.len()];
        for _ in 0..rounds {
            for ((_, pass), times) in group.iter().zip(&mut times) {
                times.push(pass());
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for ((name, _), &ns) in group.iter().zip(&medians) {
            println!("{name:<42} {ns:>7.2} ns/frame   {:>6.2} x as fast", medians[0] / ns);
        }
    }
}
