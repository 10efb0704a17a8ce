//! TLS over a line in memory: cut anywhere, ended in every way.

mod common;

use std::io::ErrorKind;
use std::task::Poll;

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::{Identity, NameKind, Peer, Security};
use bowline_driver::core::stack::Alpn;
use bowline_tls::{Failure, Version};
use common::{End, Failures, Pki, Read, cx, line, open, pair, write};
use proptest::prelude::*;

fn text(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Says something in both directions at once, and ends both.
fn talk(a: &mut impl Transport, b: &mut impl Transport, sizes: (usize, usize)) -> (Read, Read) {
    let (up, down) = (text(sizes.0), text(sizes.1));
    let (mut up, mut down) = (&up[..], &down[..]);
    let (mut at_a, mut at_b) = (Read::default(), Read::default());
    let (mut shut_a, mut shut_b) = (false, false);
    for _ in 0..1_000_000 {
        if !write(a, &mut up).unwrap() && !shut_a {
            shut_a = a.poll_shutdown(&mut cx()).is_ready();
        }
        // A server says nothing first.
        if !at_b.octets.is_empty() && !write(b, &mut down).unwrap() && !shut_b {
            shut_b = b.poll_shutdown(&mut cx()).is_ready();
        }
        at_a.poll(a);
        at_b.poll(b);
        if at_a.end.is_some() && at_b.end.is_some() {
            return (at_a, at_b);
        }
    }
    panic!("it does not come to an end: {} {}", at_a.octets.len(), at_b.octets.len());
}

#[test]
fn what_goes_in_comes_out_and_both_ends_are_announced() {
    let pki = Pki::new();
    for least in [Version::Tls12, Version::Tls13] {
        let (client, server) =
            (pki.client().build().unwrap(), pki.server().min_version(least).build().unwrap());
        let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
        let (at_a, at_b) = talk(&mut a, &mut b, (100_000, 70_000));
        assert!(at_a.octets == text(70_000) && at_b.octets == text(100_000));
        assert!(at_a.end.unwrap().is_ok() && at_b.end.unwrap().is_ok(), "close_notify both ways");
        assert_eq!(a.handshake().unwrap().version, Version::Tls13);
        let secured = b.secured().unwrap();
        assert_eq!((secured.by, secured.alpn, secured.identity), (Security::Tls, Some(Alpn::Bowline), None));
        assert_eq!(secured.binding, a.secured().unwrap().binding, "both derive the same");
        assert!(secured.binding.is_some() && b.secured().is_none(), "it is given away");
    }
}

/// Every octet on its own, and every write in pieces, of which some would block.
#[test]
fn each_octet_may_come_alone() {
    let pki = Pki::new();
    let (client, server) = (pki.client().build().unwrap(), pki.server().build().unwrap());
    for (read, write) in [(1, usize::MAX), (1, 1), (3, 7), (usize::MAX, 1)] {
        let (mut a, mut b) = pair(&client, &server, line(read, write));
        let (at_a, at_b) = talk(&mut a, &mut b, (3000, 2000));
        assert!(at_a.octets == text(2000) && at_b.octets == text(3000), "{read} {write}");
        assert!(at_a.end.unwrap().is_ok() && at_b.end.unwrap().is_ok(), "{read} {write}");
    }
    assert_eq!(server.counters().handshakes, 4);
    assert_eq!(server.counters().failures, [0; 8]);
}

/// Whatever the line ends after, nobody takes it for the end of what was said.
#[test]
fn a_line_that_is_cut_at_any_octet_is_told_from_an_end() {
    let pki = Pki::new();
    let (client, (server, failures)) = (pki.client().build().unwrap(), Failures::of(pki.server()));
    // How much the client sends in all.
    let (a, b) = line(usize::MAX, usize::MAX);
    let up = a.to.clone();
    let (mut a, mut b) = pair(&client, &server, (a, b));
    talk(&mut a, &mut b, (500, 0));
    let total = up.lock().unwrap().log.len();
    let closing = 24; // An alert, sealed.
    for cut in (0..total).step_by(3) {
        let (a, b) = line(usize::MAX, usize::MAX);
        let up = a.to.clone();
        let (mut a, mut b) = pair(&client, &server, (a, b));
        let (octets, mut at_b, mut at_a) = (text(500), Read::default(), Read::default());
        let mut rest = &octets[..];
        for _ in 0..20 {
            if !write(&mut a, &mut rest).unwrap() {
                let _ = a.poll_shutdown(&mut cx());
            }
            let mut wire = up.lock().unwrap();
            if wire.log.len() >= cut {
                // Whatever is beyond is lost.
                let lost = (wire.log.len() - cut).min(wire.octets.len());
                let left = wire.octets.len() - lost;
                wire.octets.truncate(left);
                wire.ended = true;
            } else {
                wire.ended = false;
            }
            drop(wire);
            at_b.poll(&mut b);
            if at_b.end.is_some() {
                break;
            }
            at_a.poll(&mut a);
        }
        let error = at_b.end.expect("it ends").expect_err("it was cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut} of {total}: {error}");
        let told = failures.take();
        assert_eq!(told.len(), 1, "{cut}: {told:?}");
        let want = if at_b.octets.is_empty() && b.handshake().is_none() {
            Failure::Unfinished
        } else {
            Failure::Truncated
        };
        assert_eq!(told[0].0, want, "{cut} of {total}");
        assert!(at_b.octets.len() <= 500 && cut + closing >= at_b.octets.len());
    }
}

#[test]
fn many_small_pieces_are_few_large_records_in_one_write() {
    let pki = Pki::new();
    let (client, server) = (pki.client().build().unwrap(), pki.server().build().unwrap());
    let (a, b) = line(usize::MAX, usize::MAX);
    let up = a.to.clone();
    let (mut a, mut b) = pair(&client, &server, (a, b));
    let (done, _) = open(&mut a, &mut b);
    done.unwrap().unwrap();
    let before = up.lock().unwrap().log.len();
    let writes = up.lock().unwrap().writes;
    let piece = [7; 500];
    let pieces = [std::io::IoSlice::new(&piece); 64];
    let Poll::Ready(Ok(n)) = a.poll_write_vectored(&mut cx(), &pieces) else { panic!("there is room") };
    assert_eq!(n, 32_000);
    let wire = up.lock().unwrap();
    assert_eq!(wire.writes - writes, 1);
    // Two records, each with a head, a type and a tag.
    assert_eq!(wire.log.len() - before, 32_000 + 2 * (5 + 1 + 16));
}

#[test]
fn a_write_that_blocks_is_not_done_twice() {
    let pki = Pki::new();
    let (client, server) = (pki.client().build().unwrap(), pki.server().build().unwrap());
    let (mut a, mut b) = pair(&client, &server, line(usize::MAX, 10));
    open(&mut a, &mut b);
    let first = text(1000);
    let mut at_b = Read::default();
    let mut calls = 0;
    let n = loop {
        calls += 1;
        // More than before may be offered.
        let more = [first.clone(), text(calls)].concat();
        let pieces = [std::io::IoSlice::new(&more[..1000]), std::io::IoSlice::new(&more[1000..])];
        match a.poll_write_vectored(&mut cx(), &pieces) {
            Poll::Pending => at_b.poll(&mut b),
            Poll::Ready(done) => break done.unwrap(),
        }
    };
    at_b.poll(&mut b);
    assert!(calls > 50 && (1001..1010).contains(&n), "{calls} {n}: what was offered then is what was taken");
    assert!(at_b.octets[..1000] == first && at_b.octets.len() == n);
}

#[test]
fn after_one_side_has_ended_the_other_goes_on() {
    let pki = Pki::new();
    let (client, server) = (pki.client().build().unwrap(), pki.server().build().unwrap());
    let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
    open(&mut a, &mut b);
    assert!(a.poll_shutdown(&mut cx()).is_ready());
    let (mut at_a, mut at_b) = (Read::default(), Read::default());
    at_b.poll(&mut b);
    assert!(at_b.end.unwrap().is_ok());
    assert!(!write(&mut b, &mut &text(1000)[..]).unwrap());
    assert!(b.poll_shutdown(&mut cx()).is_ready());
    at_a.poll(&mut a);
    assert!(at_a.octets == text(1000) && at_a.end.unwrap().is_ok());
}

#[test]
fn a_client_goes_on_from_an_earlier_connection() {
    let pki = Pki::new();
    let (chain, key) = pki.client_files("ann");
    let client = pki.client().identity(chain, key).build().unwrap();
    let server = pki.server().client_authority(pki.ca()).build().unwrap();
    for round in 0..3 {
        let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
        let (at_a, at_b) = talk(&mut a, &mut b, (10, 10));
        assert!(at_a.end.unwrap().is_ok() && at_b.end.unwrap().is_ok());
        assert_eq!(b.handshake().unwrap().resumed, round > 0);
        let identity = b.secured().unwrap().identity.expect("it is known who it is, resumed or not");
        let Identity::Certificate(certificate) = identity else { panic!("a certificate") };
        assert_eq!(certificate.name(NameKind::CommonName), Some("ann"));
    }
    let counters = server.counters();
    assert_eq!((counters.handshakes, counters.resumed), (3, 2));
}

/// One port for all: what begins as TLS is TLS, and what does not is what it is.
#[test]
fn first_octets_tell_tls_from_all_else() {
    let pki = Pki::new();
    let (client, (server, failures)) = (pki.client().build().unwrap(), Failures::of(pki.server()));
    for read in [1, 2, usize::MAX] {
        let (a, b) = line(read, usize::MAX);
        let mut a = client.connect(a, "localhost", Alpn::Mqtt).unwrap();
        let mut b = server.accept_any(b, Peer::default(), read == 1);
        let (at_a, at_b) = talk(&mut a, &mut b, (1000, 1000));
        assert!(at_a.octets == text(1000) && at_b.octets == text(1000));
        assert_eq!(b.secured().unwrap().alpn, Some(Alpn::Mqtt));
        for plain in
            [&b"\x10\x0c\0\x04MQTT"[..], b"GET / HTTP/1.1\r\n", b"\xb0", b"\x16\x15\0\x04PRX1", b"\x16"]
        {
            let (mut a, b) = line(read, usize::MAX);
            let mut b = server.accept_any(b, Peer::default(), false);
            assert!(!write(&mut a, &mut &plain[..]).unwrap());
            a.to.lock().unwrap().ended = true;
            let mut at_b = Read::default();
            at_b.poll(&mut b);
            assert_eq!(at_b.octets, plain, "{read}");
            assert!(at_b.end.unwrap().is_ok() && b.secured().is_none());
            assert!(!write(&mut b, &mut &b"hello"[..]).unwrap());
            assert_eq!(a.from.lock().unwrap().log, b"hello");
        }
    }
    assert_eq!(failures.take(), []);
}

#[test]
fn where_only_tls_is_allowed_nothing_else_is_answered() {
    let pki = Pki::new();
    let (server, failures) = Failures::of(pki.server());
    let (mut a, b) = line(usize::MAX, usize::MAX);
    let mut b = server.accept_any(b, Peer::default(), true);
    assert!(write(&mut b, &mut &b"hello"[..]).is_err(), "nothing is said in the clear");
    assert!(!write(&mut a, &mut &b"\x10\x0c\0\x04MQTT"[..]).unwrap());
    let mut at_b = Read::default();
    at_b.poll(&mut b);
    assert_eq!(at_b.end.unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(at_b.octets.is_empty() && a.from.lock().unwrap().log.is_empty());
    assert_eq!(failures.take(), [(Failure::NotTls, "it does not begin as TLS does".into())]);
    // Whoever comes and goes is no failure.
    let (a, b) = line(usize::MAX, usize::MAX);
    let mut b = server.accept_any(b, Peer::default(), true);
    a.to.lock().unwrap().ended = true;
    assert!(matches!(b.poll_read(&mut cx(), &mut [0; 10]), Poll::Ready(Ok(0))));
    assert_eq!(failures.take(), []);
}

fn raw(octets: &[u8]) -> (End, End) {
    let (mut a, b) = line(usize::MAX, usize::MAX);
    assert!(!write(&mut a, &mut &octets[..]).unwrap());
    (a, b)
}

proptest! {
    /// Whatever comes, it is an error or waits for more, and no octet of it is taken for the peer's.
    #[test]
    fn arbitrary_octets_are_refused(octets in prop::collection::vec(any::<u8>(), 0..600), hello in any::<bool>()) {
        thread_local!(static PKI: (Pki, bowline_tls::Server) = {
            let pki = Pki::new();
            let server = pki.server().build().unwrap();
            (pki, server)
        });
        let octets = if hello { [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &octets].concat() } else { octets };
        PKI.with(|(_, server)| {
            let (a, b) = raw(&octets);
            a.to.lock().unwrap().ended = true;
            let mut b = server.accept(b, Peer::default()).unwrap();
            let mut at_b = Read::default();
            at_b.poll(&mut b);
            prop_assert!(at_b.octets.is_empty());
            prop_assert!(at_b.end.unwrap().is_err());
            Ok(())
        })?;
    }

    /// One octet that is changed on the way ends the connection, and nothing of it or behind it is read.
    #[test]
    fn a_changed_octet_is_found(at in 0usize..3000, flip in 1u8..) {
        thread_local!(static ENDS: (Pki, bowline_tls::Client, bowline_tls::Server) = {
            let pki = Pki::new();
            let (client, server) = (pki.client().build().unwrap(), pki.server().build().unwrap());
            (pki, client, server)
        });
        ENDS.with(|(_, client, server)| {
            let (a, b) = line(usize::MAX, usize::MAX);
            let up = a.to.clone();
            let (mut a, mut b) = pair(client, server, (a, b));
            let (done, opened) = open(&mut a, &mut b);
            prop_assert!(done.unwrap().is_ok() && opened.unwrap().is_ok());
            let octets = text(3000);
            prop_assert!(!write(&mut a, &mut &octets[..]).unwrap());
            up.lock().unwrap().octets[at] ^= flip;
            let mut at_b = Read::default();
            at_b.poll(&mut b);
            // Where a record's head says that more of it comes, it is waited for; its version says nothing.
            prop_assert!(at_b.octets.is_empty() || at < 5 && at_b.octets == octets);
            prop_assert!(at_b.end.is_some_and(|end| end.is_err()) || at < 5);
            Ok(())
        })?;
    }
}
