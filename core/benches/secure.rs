//! What records of Noise cost beside the cipher alone: `cargo bench -p bowline-core --features noise --bench secure`.
//! Prints MiB a second, of 1 KiB each unless it says otherwise, and which part of the cipher's own speed that is.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::secure::{
    DATAGRAM_OVERHEAD, Handshake, Keys, Opening, RECORD_OVERHEAD, Records, Rekey, Role, SecretKey,
    ServerKeys, SharedKey, Step, StreamCipher,
};
use bowline_core::time::Instant;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const SIZE: usize = 1024;
/// So many at a time, sealed and then opened.
const BATCH: usize = 64;
const ROUNDS: usize = 40;

/// Keys change as they do in earnest.
const NOW: Instant = Instant::ZERO;

fn shake(seed: u64) -> (Handshake, Handshake) {
    let shared = SharedKey::from_octets([7; 32]);
    let keys = Keys::NnPsk0 { shared: &shared };
    let side = |role, seed| Handshake::new(role, b"", &keys, &mut Seeded::new(seed)).expect("keys are there");
    let (mut a, mut b) = (side(Role::Initiator, seed), side(Role::Responder, seed + 1));
    let (mut one, mut two) = ([0; 256], [0; 256]);
    let n = a.write(&[], &mut one).expect("it is its turn");
    b.read(&one[..n], &mut two).expect("it is genuine");
    let n = b.write(&[], &mut one).expect("it is its turn");
    a.read(&one[..n], &mut two).expect("it is genuine");
    (a, b)
}

/// The best of many rounds: the least that others on this machine took of it. Nanoseconds for each of `BATCH`.
fn best(rounds: usize, mut work: impl FnMut() -> Duration) -> f64 {
    (0..rounds).map(|_| work().as_secs_f64() * 1e9 / BATCH as f64).fold(f64::MAX, f64::min)
}

fn tell(what: &str, nanos: f64, alone: f64) {
    let mib = SIZE as f64 / nanos * 1e9 / (1 << 20) as f64;
    println!("{what:<46} {nanos:>7.0} ns  {mib:>6.0} MiB/s  {:.2} × the cipher alone", alone / nanos);
}

/// Seals and opens in place with ring's cipher and nothing around it.
fn alone() -> (f64, f64) {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("a key of 32 octets"));
    let nonce = |n: usize| {
        let mut octets = [0; 12];
        octets[4..].copy_from_slice(&(n as u64).to_le_bytes());
        Nonce::assume_unique_for_key(octets)
    };
    let mut buffers = vec![vec![7u8; SIZE + 16]; BATCH];
    let (mut seal, mut open) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS * 5 {
        let sealed = best(1, || {
            let begin = Clock::now();
            for (n, buffer) in buffers.iter_mut().enumerate() {
                let (text, tag) = buffer.split_at_mut(SIZE);
                let made = key.seal_in_place_separate_tag(nonce(n), Aad::empty(), text).expect("it is short");
                tag.copy_from_slice(made.as_ref());
            }
            begin.elapsed()
        });
        let opened = best(1, || {
            let begin = Clock::now();
            for (n, buffer) in buffers.iter_mut().enumerate() {
                black_box(key.open_in_place(nonce(n), Aad::empty(), buffer).expect("it is genuine"));
            }
            begin.elapsed()
        });
        (seal, open) = (seal.min(sealed), open.min(opened));
    }
    (seal, open)
}

fn records(a: &mut StreamCipher, b: &mut StreamCipher) -> (f64, f64) {
    let (text, mut out) = (vec![7u8; SIZE], vec![0u8; SIZE + 16]);
    let mut sealed = vec![vec![0u8; SIZE + 2 * RECORD_OVERHEAD]; BATCH];
    let (mut seal, mut open) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS * 5 {
        let mut lengths = [0; BATCH];
        let took = best(1, || {
            let begin = Clock::now();
            for (record, length) in sealed.iter_mut().zip(&mut lengths) {
                *length = a.seal(NOW, &text, record).expect("there is room");
            }
            begin.elapsed()
        });
        seal = seal.min(took);
        let took = best(1, || {
            let begin = Clock::now();
            for (record, length) in sealed.iter().zip(&lengths) {
                let mut rest = &record[..*length];
                while let Some((length, behind)) = rest.split_first_chunk::<2>() {
                    let (record, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
                    black_box(b.open(record, &mut out).expect("it is genuine"));
                    rest = behind;
                }
            }
            begin.elapsed()
        });
        open = open.min(took);
    }
    (seal, open)
}

fn datagrams() -> (f64, f64) {
    let (a, b) = shake(3);
    let (mut a, mut b) = (a.into_datagram().expect("done"), b.into_datagram().expect("done"));
    let (text, mut out) = (vec![7u8; SIZE], vec![0u8; SIZE + 16]);
    let mut sealed = vec![vec![0u8; SIZE + DATAGRAM_OVERHEAD]; BATCH];
    let (mut seal, mut open, mut number) = (f64::MAX, f64::MAX, 0u64);
    for _ in 0..ROUNDS * 5 {
        let first = number;
        let took = best(1, || {
            let begin = Clock::now();
            for datagram in &mut sealed {
                a.seal(number, &text, datagram).expect("there is room");
                number += 1;
            }
            begin.elapsed()
        });
        seal = seal.min(took);
        let took = best(1, || {
            let begin = Clock::now();
            for (n, datagram) in (first..).zip(&sealed) {
                black_box(b.open(n, datagram, &mut out).expect("it is genuine"));
            }
            begin.elapsed()
        });
        open = open.min(took);
    }
    (seal, open)
}

/// The layer as a session has it: messages of 1 KiB put one by one, sealed together, opened and read.
fn layer() -> (f64, f64) {
    let (mut a, mut b) = opened();
    let text = vec![7u8; SIZE];
    let (mut out, mut received) = (SharedSendBuf::new(1 << 20), GrowingRecvBuf::new(1 << 20));
    let (mut seal, mut open) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS * 5 {
        let took = best(1, || {
            let begin = Clock::now();
            a.seal(NOW, &mut out, |sealing| (0..BATCH).for_each(|_| sealing.put(&text)));
            begin.elapsed()
        });
        seal = seal.min(took);
        let octets: Vec<u8> = out.slices().flatten().copied().collect();
        out.sent(octets.len());
        received.push(&octets);
        let took = best(1, || {
            let begin = Clock::now();
            while b.recv(&mut received).expect("it is genuine") {
                let opened = b.opened();
                while !black_box(opened.take(SIZE)).is_empty() {}
            }
            b.rest();
            begin.elapsed()
        });
        open = open.min(took);
    }
    (seal, open)
}

fn opened() -> (Records, Records) {
    let own = SecretKey::from_octets([7; 32]);
    let keys = Keys::Ik { own: &own, remote: Some(own.public()) };
    let mut server_keys = ServerKeys::default();
    server_keys.own = Some(own.clone());
    let mut client = Opening::connect(&keys, &mut Seeded::new(1)).expect("keys are there");
    let (mut server, mut entropy) = (Opening::accept(), Seeded::new(2));
    let (mut line, mut received) = (SharedSendBuf::new(4096), GrowingRecvBuf::new(4096));
    client.poll_transmit(&mut line);
    received.push(&line.slices().flatten().copied().collect::<Vec<u8>>());
    line.sent(usize::MAX);
    let Ok(Step::Done(of_server)) = server.recv(&mut received, Some(&server_keys), &mut entropy) else {
        panic!("the first message is genuine")
    };
    let mut of_server = Records::new(of_server, Rekey::default());
    of_server.seal(NOW, &mut line, |_| ());
    received.push(&line.slices().flatten().copied().collect::<Vec<u8>>());
    let Ok(Step::Done(of_client)) = client.recv(&mut received, None, &mut entropy) else {
        panic!("the second message is genuine")
    };
    (Records::new(of_client, Rekey::default()), of_server)
}

fn main() {
    let (seal, open) = alone();
    tell("ring's cipher alone, in place: seal", seal, seal);
    tell("  open", open, open);
    let (a, b) = shake(1);
    let (mut a, mut b) = (a.into_stream().expect("done"), b.into_stream().expect("done"));
    let (sealed, opened) = records(&mut a, &mut b);
    tell("records: seal", sealed, seal);
    tell("  open", opened, open);
    let (sealed, opened) = datagrams();
    tell("datagrams: seal", sealed, seal);
    tell("  open", opened, open);
    let (sealed, opened) = layer();
    tell("messages through the layer: put and seal", sealed, seal);
    tell("  open and read", opened, open);
    let begin = Clock::now();
    (0..200).for_each(|seed| drop(black_box(shake(seed))));
    println!("a handshake in NNpsk0, both sides: {:.0} µs", begin.elapsed().as_secs_f64() * 1e6 / 200.0);
}
