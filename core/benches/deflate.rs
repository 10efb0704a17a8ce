//! What permessage-deflate costs an echo of 1 KiB of JSON: inflate it, and compress it again, by the library
//! alone, and by ours, which keeps what both sides remember besides, finds the compressor, and checks the
//! text. In turns in one run.
//!
//! `cargo bench -p bowline-core --features deflate --bench deflate`

use std::hint::black_box;
use std::time::Instant;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::time;
use bowline_core::websocket::deflate::{Deflate, Options, Pool};
use bowline_core::websocket::extensions::Params;
use bowline_core::websocket::{Carries, Client, Config, Event, Kind, Server, WebSocket};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

const MESSAGES: usize = 2000;
const ROUNDS: usize = 15;
const NOW: time::Instant = time::Instant::ZERO;

/// Messages of about 1 KiB that resemble each other as those of one application do.
fn messages() -> Vec<String> {
    let entry = |i: usize, j: usize| {
        let (user, value) = (i * 7 % 113, i * 31 + j * 17);
        format!(
            "{{\"id\":{},\"user\":\"user-{user}\",\"room\":\"lobby\",\"value\":{value},\"at\":{}}}",
            i * 100 + j,
            1_700_000_000 + i
        )
    };
    let message = |i| format!("[{}]", (0..13).map(|j| entry(i, j)).collect::<Vec<_>>().join(","));
    (0..MESSAGES).map(message).collect()
}

/// What a client sends.
fn wire(params: &Params, messages: &[String]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut pool = Pool::default();
    let mut deflate = Deflate::client(params, &mut pool);
    let mut ws = WebSocket::new(NOW, Client::new(Seeded::new(1)), Carries::Messages, &Config::default());
    let mut server = WebSocket::new(NOW, Server, Carries::Messages, &Config::default());
    server.allow_compressed();
    let (mut frames, mut payloads) = (Vec::new(), Vec::new());
    let mut buf = GrowingRecvBuf::new(1 << 20);
    for message in messages {
        let mut out = SharedSendBuf::new(1 << 20);
        ws.send_deflated(NOW, &mut out, &mut deflate, &mut pool, Kind::Text, message.as_bytes())
            .expect("room");
        let frame = out.slices().collect::<Vec<_>>().concat();
        buf.push(&frame);
        let event = server.recv(NOW, &mut buf, &mut out);
        let Some(Event::Message(m)) = event else { panic!("{event:?}") };
        assert!(m.compressed);
        payloads.push(m.payload.to_vec());
        frames.push(frame);
    }
    (frames, payloads)
}

fn ours(params: &Params, frames: &[Vec<u8>]) -> usize {
    let mut pool = Pool::new(Options::default());
    let mut deflate = Deflate::server(params, &mut pool);
    let mut ws = WebSocket::new(NOW, Server, Carries::Messages, &Config::default());
    ws.allow_compressed();
    let (mut buf, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    let (mut sent, mut inflated) = (0, Vec::new());
    for frame in frames {
        buf.push(frame);
        while let Some(Event::Message(m)) = ws.recv(NOW, &mut buf, &mut out) {
            let m = deflate.inflate(&mut pool, m, &mut inflated).expect("right");
            ws.send_deflated(NOW, &mut out, &mut deflate, &mut pool, m.kind, m.payload).expect("room");
        }
        sent += out.len();
        out.sent(out.len());
    }
    sent
}

fn library(params: &Params, payloads: &[Vec<u8>]) -> usize {
    let bits = params.server_max_window_bits.unwrap_or(15);
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, bits);
    let mut decompress = Decompress::new(false);
    let (mut text, mut out) = (vec![0; 4096], vec![0; 4096]);
    let mut sent = 0;
    for payload in payloads {
        if params.client_no_context_takeover {
            decompress.reset(false);
        }
        if params.server_no_context_takeover {
            compress.reset();
        }
        let before = decompress.total_out();
        decompress.decompress(payload, &mut text, FlushDecompress::Sync).expect("right");
        let n = (decompress.total_out() - before) as usize;
        decompress.decompress(&[0, 0, 0xff, 0xff], &mut text[n..], FlushDecompress::Sync).expect("right");
        let n = (decompress.total_out() - before) as usize;
        let before = compress.total_out();
        compress.compress(&text[..n], &mut out, FlushCompress::Sync).expect("room");
        sent += (compress.total_out() - before) as usize;
        black_box(&out);
    }
    sent
}

fn main() {
    // `cargo test` runs this too: once over, to see that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    println!("echo of 1 KiB of JSON, {rounds} rounds in turns, the best of each");
    let alone =
        Params { server_no_context_takeover: true, client_no_context_takeover: true, ..Params::default() };
    let narrow =
        Params { server_max_window_bits: Some(13), client_max_window_bits: Some(13), ..Params::default() };
    for (name, params) in [("takeover", Params::default()), ("8 KiB window", narrow), ("no takeover", alone)]
    {
        let messages = messages();
        let (frames, payloads) = wire(&params, &messages);
        let (mut theirs, mut best, mut octets) = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..rounds {
            let start = Instant::now();
            black_box(library(&params, &payloads));
            theirs = theirs.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            octets = black_box(ours(&params, &frames));
            best = best.min(start.elapsed().as_secs_f64());
        }
        let [theirs, ours] = [theirs, best].map(|s| s * 1e6 / MESSAGES as f64);
        println!(
            "{name:<13} library {theirs:>6.2} us   ours {ours:>6.2} us   {:>5.2} of its time   {} octets each",
            ours / theirs,
            octets / MESSAGES
        );
    }
}
