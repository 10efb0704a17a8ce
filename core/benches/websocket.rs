//! How long it takes to decode a client's masked binary messages out of the same bytes in memory: our
//! `WebSocket`, and tungstenite, in turns in one run. Both copy the bytes into a buffer of their own first,
//! as a read from a socket would: tungstenite as much at once as it asks for by itself, 128 KiB, and ours the
//! 16 KiB that our driver reads. What the system's calls cost is not counted. What decoding alone takes of
//! ours, without that copy, which is the transport's, is told besides.
//!
//! `cargo bench -p bowline-core --bench websocket`

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::time;
use bowline_core::websocket::{Carries, Client, Config, Event, Server, WebSocket};

/// How much arrives at once.
const READ: usize = 16 << 10;
/// Octets of the wire, about, which is read over and over: they stay in the processor's cache, as those that
/// a kernel has just received.
const WIRE: usize = 256 << 10;
/// Octets of a pass, about: so few that, of many passes, some are not interrupted, whatever else the machine does.
const PASS: usize = 4 << 20;
const ROUNDS: usize = 200;
const NOW: time::Instant = time::Instant::ZERO;

/// What a client sends: messages of `size` octets.
fn wire(size: usize, messages: usize) -> Vec<u8> {
    let mut out = SharedSendBuf::new(usize::MAX);
    let mut client = WebSocket::new(NOW, Client::new(Seeded::new(1)), Carries::Messages, &Config::default());
    for i in 0..messages {
        client.send_binary(NOW, &mut out, &vec![b'a' + (i % 26) as u8; size]).expect("no limit");
    }
    out.slices().collect::<Vec<_>>().concat()
}

/// The wire, so many times, in reads.
fn reads(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..PASS / WIRE).flat_map(|_| wire.chunks(READ))
}

fn ours(wire: &[u8], size: usize, copying: &mut Duration) -> usize {
    let mut server = WebSocket::new(NOW, Server, Carries::Messages, &Config::default());
    let (mut input, mut out) = (GrowingRecvBuf::new(READ + (64 << 10) + 1024), SharedSendBuf::new(1 << 16));
    let mut messages = 0;
    for read in reads(wire) {
        let start = Instant::now();
        assert_eq!(input.push(read), read.len());
        *copying += start.elapsed();
        while let Some(event) = server.recv(NOW, &mut input, &mut out) {
            let Event::Message(message) = event else { panic!("{event:?}") };
            messages += usize::from(black_box(message.payload).len() == size);
        }
    }
    assert!(input.filled().is_empty());
    messages
}

/// The octets of a stream, by frames' borders put together as a dialect within sees them.
fn ours_stream(wire: &[u8], size: usize, copying: &mut Duration) -> usize {
    let mut server = WebSocket::new(NOW, Server, Carries::Stream, &Config::default());
    let (mut input, mut out) = (GrowingRecvBuf::new(READ + (64 << 10) + 1024), SharedSendBuf::new(1 << 16));
    let mut octets = 0;
    for read in reads(wire) {
        let start = Instant::now();
        assert_eq!(input.push(read), read.len());
        *copying += start.elapsed();
        assert!(server.recv(NOW, &mut input, &mut out).is_none());
        octets += black_box(server.decoded(&mut input).take(usize::MAX)).len();
    }
    octets / size
}

/// The wire as a stream for tungstenite: all of it, what is left of this time, how many times are left.
struct Wire<'a>(&'a [u8], &'a [u8], usize);

impl Read for Wire<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_empty() && self.2 > 0 {
            (self.1, self.2) = (self.0, self.2 - 1);
        }
        self.1.read(to)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        Ok(from.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn theirs(wire: &[u8], size: usize, _: &mut Duration) -> usize {
    let role = tungstenite::protocol::Role::Server;
    let mut server = tungstenite::WebSocket::from_raw_socket(Wire(wire, wire, PASS / WIRE - 1), role, None);
    let mut messages = 0;
    while let Ok(message) = server.read() {
        messages += usize::from(black_box(message).len() == size);
    }
    messages
}

/// Decodes the wire, messages of so many octets, and says how many there were, and adds what was spent on
/// copying, where that is known.
type Pass = fn(&[u8], usize, &mut Duration) -> usize;

fn main() {
    // `cargo test` runs this too: once over, to see that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    println!(
        "masked binary messages, {rounds} rounds in turns, the best of each: what else the machine does only adds"
    );
    for size in [20, 64, 1024, 16 << 10, 64 << 10] {
        let wire = wire(size, WIRE / (size + 8));
        let messages = WIRE / (size + 8) * (PASS / WIRE);
        let passes: [(&str, Pass); 3] =
            [("tungstenite", theirs), ("messages", ours), ("stream", ours_stream)];
        let mut best = [(f64::INFINITY, f64::INFINITY); 3];
        for _ in 0..rounds {
            for ((_, pass), best) in passes.iter().zip(&mut best) {
                let (start, mut copying) = (Instant::now(), Duration::ZERO);
                let decoded = black_box(pass(black_box(&wire), size, &mut copying));
                let took = start.elapsed();
                assert_eq!(decoded, messages);
                let each = |time: Duration| time.as_secs_f64() * 1e9 / messages as f64;
                *best = (best.0.min(each(took)), best.1.min(each(took.saturating_sub(copying))));
            }
        }
        let theirs = best[0].0;
        for ((name, _), (all, decoding)) in passes.iter().zip(best) {
            let (of_all, of_decoding) = (all / theirs, decoding / theirs);
            println!(
                "{size:>6} octets  {name:<12} {all:>8.1} ns/message {of_all:>5.2} of theirs   without the copy {decoding:>8.1} {of_decoding:>5.2}"
            );
        }
    }
}
