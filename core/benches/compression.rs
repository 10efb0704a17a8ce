//! What compressing a payload costs, against the libraries alone:
//! `cargo bench -p bowline-core --features lz4,zstd --bench compression`.
//!
//! Prints the size that is left, and megabytes a second of what a payload was, each way.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use bowline_core::compression::{Codec, Codecs, Encoding};

/// Messages such as applications send: objects of JSON, so many octets together.
fn corpus(octets: usize) -> Vec<u8> {
    let mut text = String::from("[");
    let mut n = 0_u64;
    while text.len() < octets {
        n += 1;
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        text += &format!(
            "{{\"id\":{n},\"sensor\":\"room{}/temperature\",\"value\":{}.{},\"unit\":\"C\",\"at\":17{mixed:011}}},",
            n % 17,
            15 + mixed % 15,
            mixed % 100,
        );
    }
    text.truncate(octets - 1);
    text.push(']');
    text.into_bytes()
}

/// Megabytes a second, the best of some tries.
fn speed(octets: usize, mut work: impl FnMut()) -> f64 {
    let times = ((1 << 21) / octets).max(4) as u32;
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let begun = Clock::now();
        (0..times).for_each(|_| work());
        best = best.min(begun.elapsed() / times);
    }
    octets as f64 / best.as_secs_f64() / 1e6
}

fn main() {
    println!("codec    octets   left    ours in   alone   ratio   ours out   alone   ratio");
    for octets in [512, 1024, 4096, 16_384, 262_144] {
        let payload = corpus(octets);
        lz4(&payload);
        zstd(&payload);
    }
}

fn row(codec: Codec, payload: &[u8], packed: &[u8], alone: (f64, f64)) {
    let octets = payload.len();
    let mut codecs = Codecs::default();
    let encoding = Encoding { codec, length: octets as u64 };
    let into = speed(octets, || drop(black_box(codecs.compress(codec, black_box(payload)))));
    let out = speed(octets, || drop(black_box(codecs.inflate(encoding, black_box(packed), 1 << 20))));
    println!(
        "{:<6} {octets:>8} {:>5.1} %   {into:>6.0} {:>8.0} {:>7.2}   {out:>8.0} {:>7.0} {:>7.2}",
        format!("{codec:?}"),
        packed.len() as f64 * 100.0 / octets as f64,
        alone.0,
        into / alone.0,
        alone.1,
        out / alone.1,
    );
}

fn lz4(payload: &[u8]) {
    let packed = lz4_flex::block::compress(payload);
    let into = speed(payload.len(), || drop(black_box(lz4_flex::block::compress(black_box(payload)))));
    let inflate = || lz4_flex::block::decompress(black_box(&packed), payload.len()).expect("our own");
    let out = speed(payload.len(), || drop(black_box(inflate())));
    row(Codec::Lz4, payload, &packed, (into, out));
}

fn zstd(payload: &[u8]) {
    let mut compressor = zstd::bulk::Compressor::new(3).expect("memory");
    let mut decompressor = zstd::bulk::Decompressor::new().expect("memory");
    let packed = compressor.compress(payload).expect("memory");
    let into = speed(payload.len(), || drop(black_box(compressor.compress(black_box(payload)))));
    let mut inflate = || decompressor.decompress(black_box(&packed), payload.len());
    let out = speed(payload.len(), || drop(black_box(inflate().expect("our own"))));
    row(Codec::Zstd, payload, &packed, (into, out));
}
