//! What a connection takes while nothing is said.

mod common;

use bowline_driver::Transport;
use common::{Pki, Read, line, open, pair, write};

/// 24 KiB of each of 10,000 idle sessions, with a certificate of the client's: what rustls has of its own is
/// most of it. What the library of its arithmetic has outside of Rust's allocator is measured by the
/// benchmark.
#[test]
fn an_idle_session_is_small() {
    let pki = Pki::new();
    let (chain, key) = pki.client_files("ann");
    let client = pki.client().identity(chain, key).build().unwrap();
    let server = pki.server().client_authority(pki.ca()).build().unwrap();
    let sessions = |count: usize| {
        let mut kept = Vec::with_capacity(count);
        let info = allocation_counter::measure(|| {
            for _ in 0..count {
                let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
                let (done, opened) = open(&mut a, &mut b);
                assert!(done.unwrap().is_ok() && opened.unwrap().is_ok());
                for octets in [&[7; 1024][..], &[7; 60_000]] {
                    let (mut at_a, mut at_b) = (Read::default(), Read::default());
                    assert!(!write(&mut a, &mut &octets[..]).unwrap());
                    at_b.poll(&mut b);
                    assert!(!write(&mut b, &mut &octets[..]).unwrap());
                    at_a.poll(&mut a);
                    assert!(at_a.octets.len() == octets.len() && at_b.octets.len() == octets.len());
                }
                drop(b.secured());
                // The line's own memory is no session's.
                let end = a.transport().clone();
                for wire in [end.from, end.to] {
                    *wire.lock().unwrap() = common::Wire::default();
                }
                kept.push((a, b));
            }
        });
        info.bytes_current
    };
    sessions(1);
    let both = sessions(100) / 100;
    println!("{both} octets for both ends");
    // Each end on its own is less; the limit is for one.
    assert!(both <= 24 << 10, "{both}");
}
