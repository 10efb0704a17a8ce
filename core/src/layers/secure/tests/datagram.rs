//! Datagrams: any order, none twice, none that is not genuine.

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::Two;
use crate::replay::ReplayWindow;

fn pair(seed: u64) -> (DatagramCipher, DatagramCipher) {
    let (client, server) = Two::new(1).done(Pattern::NnPsk0, seed);
    (client.into_datagram().unwrap(), server.into_datagram().unwrap())
}

fn seal(cipher: &mut DatagramCipher, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + DATAGRAM_OVERHEAD];
    assert_eq!(cipher.seal(number, payload, &mut out), Ok(out.len()));
    out
}

fn open(cipher: &mut DatagramCipher, number: u64, sealed: &[u8]) -> Result<Vec<u8>, SecureError> {
    let mut out = vec![0; sealed.len()];
    let n = cipher.open(number, sealed, &mut out)?;
    out.truncate(n);
    Ok(out)
}

#[test]
fn datagrams_are_opened_in_any_order_and_told_apart_by_numbers() {
    let (mut a, mut b) = pair(10);
    let sealed: Vec<_> = (0..5).map(|n| seal(&mut a, n, &[n as u8; 3])).collect();
    for n in [3u64, 0, 4, 1, 2] {
        assert_eq!(open(&mut b, n, &sealed[n as usize]), Ok(vec![n as u8; 3]));
    }
    assert_eq!(open(&mut b, 2, &sealed[1]), Err(SecureError::Inauthentic), "under another number");
    assert_eq!(open(&mut a, 1, &sealed[1]), Err(SecureError::Inauthentic), "reflected");
    assert_eq!(open(&mut pair(20).1, 1, &sealed[1]), Err(SecureError::Inauthentic), "of another session");
    assert_eq!(open(&mut b, 5, &seal(&mut a, 5, b"")), Ok(vec![]), "an empty one");
    // With something beside, in clear.
    let mut out = [0; 20];
    assert_eq!(a.seal_with(6, b"path 1", b"head", &mut out), Ok(20));
    assert_eq!(b.open_with(6, b"path 2", &out, &mut [0; 20]), Err(SecureError::Inauthentic));
    assert_eq!(b.open_with(6, b"path 1", &out, &mut [0; 20]), Ok(4));
}

#[test]
fn no_number_seals_twice() {
    let (mut a, _) = pair(10);
    seal(&mut a, 7, b"x");
    let used = |number, next| Err(SecureError::NumberUsed { number, next });
    assert_eq!(a.seal(7, b"y", &mut [0; 17]), used(7, 8));
    assert_eq!(a.seal(3, b"y", &mut [0; 17]), used(3, 8));
    assert_eq!(a.seal(8, b"y", &mut [0; 16]), Err(SecureError::NoRoom { needed: 17 }));
    seal(&mut a, 8, b"y");
    assert!(matches!(a.seal(9, &[0; 65_535], &mut []), Err(SecureError::TooLong { .. })));
    assert_eq!(a.seal(u64::MAX, b"y", &mut [0; 17]), Err(SecureError::Exhausted));
    let number = 2 * DATAGRAM_EPOCH;
    assert_eq!(a.seal(number, b"y", &mut [0; 17]), Err(SecureError::NumberTooFar { number }));
}

#[test]
fn a_datagram_that_was_changed_at_any_octet_or_cut_is_refused() {
    let (mut a, mut b) = pair(10);
    let sealed = seal(&mut a, 1, b"position");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open(&mut b, 1, &changed), Err(SecureError::Inauthentic), "octet {at}");
        assert_eq!(open(&mut b, 1, &sealed[..at]), Err(SecureError::Inauthentic), "cut at {at}");
    }
    assert_eq!(open(&mut b, u64::MAX, &sealed), Err(SecureError::Inauthentic));
    assert_eq!(open(&mut b, 1, &[0; 65_536]), Err(SecureError::Inauthentic));
    assert_eq!(b.open(1, &sealed, &mut [0; 23]), Err(SecureError::NoRoom { needed: 24 }));
    assert_eq!(open(&mut b, 1, &sealed), Ok(b"position".to_vec()));
}

#[test]
fn keys_change_with_the_numbers_and_late_datagrams_still_open() {
    let (mut a, mut b) = pair(10);
    let late = seal(&mut a, 5, b"late");
    assert_eq!(a.next_epoch(), DATAGRAM_EPOCH);
    let last = seal(&mut a, DATAGRAM_EPOCH - 1, b"last");
    let first = seal(&mut a, DATAGRAM_EPOCH, b"first");
    // What only pretends to be of the next key changes nothing.
    for number in [DATAGRAM_EPOCH, DATAGRAM_EPOCH + 9] {
        assert_eq!(open(&mut b, number, &last), Err(SecureError::Inauthentic));
    }
    let far = 2 * DATAGRAM_EPOCH;
    assert_eq!(open(&mut b, far, &first), Err(SecureError::NumberTooFar { number: far }));
    assert_eq!(open(&mut b, DATAGRAM_EPOCH, &first), Ok(b"first".to_vec()));
    assert_eq!(open(&mut b, DATAGRAM_EPOCH - 1, &last), Ok(b"last".to_vec()));
    assert_eq!(open(&mut b, 5, &late), Ok(b"late".to_vec()));
    // By time: the numbers between are passed over.
    let number = a.next_epoch();
    let next = seal(&mut a, number, b"next");
    assert_eq!(open(&mut b, number, &next), Ok(b"next".to_vec()));
    let too_late = Err(SecureError::NumberTooFar { number: 5 });
    assert_eq!(open(&mut b, 5, &late), too_late, "its key is forgotten");
    assert_eq!(open(&mut b, DATAGRAM_EPOCH, &first), Ok(b"first".to_vec()));
    // The other direction has its own.
    assert_eq!(open(&mut a, 0, &seal(&mut b, 0, b"back")), Ok(b"back".to_vec()));
}

proptest! {
    /// Datagrams that are lost, doubled, moved and changed: each genuine one that comes in time is taken once, and
    /// none that is not.
    #[test]
    fn each_comes_once_or_not_at_all(
        deliveries in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
        gaps in prop::collection::vec(prop_oneof![9 => 1u64..4, 1 => 1u64..DATAGRAM_EPOCH], 1..60),
    ) {
        let (mut a, mut b) = pair(10);
        let mut number = 0;
        let sent: Vec<_> = gaps.iter().map(|gap| {
            number += gap;
            (number, seal(&mut a, number, &number.to_be_bytes()))
        }).collect();
        let mut window: ReplayWindow = ReplayWindow::new();
        let mut taken = BTreeSet::new();
        for (which, changed) in deliveries {
            let (number, sealed) = &sent[which.index(sent.len())];
            let mut sealed = sealed.clone();
            if changed {
                let at = which.index(sealed.len());
                sealed[at] ^= 0x80;
            }
            if !window.is_new(*number) {
                continue;
            }
            if let Ok(payload) = open(&mut b, *number, &sealed) {
                prop_assert!(!changed && window.accept(*number));
                prop_assert_eq!(payload, number.to_be_bytes());
                prop_assert!(taken.insert(*number), "twice");
            } else {
                let newest = window.highest().unwrap_or_default();
                prop_assert!(changed || number.abs_diff(newest) >= DATAGRAM_EPOCH);
            }
        }
    }
}
