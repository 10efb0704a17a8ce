//! Records: what is sealed is opened, once and in order, and nothing else is.

use core::time::Duration;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::Two;
use crate::time::Instant;

fn pair(seed: u64) -> (StreamCipher, StreamCipher) {
    let (client, server) = Two::new(1).done(Pattern::Ik, seed);
    (client.into_stream().unwrap(), server.into_stream().unwrap())
}

fn seal(cipher: &mut StreamCipher, now: Instant, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + 2 * RECORD_OVERHEAD];
    let n = cipher.seal(now, plaintext, &mut out).unwrap();
    out[..n].to_vec()
}

/// Opens all records of `octets`; the empty ones as well.
fn open(cipher: &mut StreamCipher, mut octets: &[u8]) -> Result<Vec<Vec<u8>>, SecureError> {
    let mut all = Vec::new();
    while let Some((length, rest)) = octets.split_first_chunk::<2>() {
        let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        let mut out = vec![0; record.len()];
        let n = cipher.open(record, &mut out)?;
        out.truncate(n);
        all.push(out);
        octets = rest;
    }
    Ok(all)
}

#[test]
fn records_of_any_size_pass() {
    let (mut a, mut b) = pair(10);
    let now = Instant::ZERO;
    for n in [1, 2, 1000, RECORD_MAX] {
        let record = seal(&mut a, now, &vec![7; n]);
        assert_eq!(record.len(), n + RECORD_OVERHEAD);
        assert_eq!(open(&mut b, &record), Ok(vec![vec![7; n]]));
        let back = seal(&mut b, now, &vec![8; n]);
        assert_eq!(open(&mut a, &back), Ok(vec![vec![8; n]]));
    }
    let mut out = vec![0; RECORD_MAX + 100];
    let too_long = |length| Err(SecureError::TooLong { length, limit: RECORD_MAX });
    assert_eq!(a.seal(now, &vec![0; RECORD_MAX + 1], &mut out), too_long(RECORD_MAX + 1));
    assert_eq!(a.seal(now, &[], &mut out), too_long(0));
    assert_eq!(a.seal(now, &[1], &mut [0; 36]), Err(SecureError::NoRoom { needed: 37 }));
    assert_eq!(b.open(&[0; 17], &mut [0; 16]), Err(SecureError::NoRoom { needed: 17 }));
}

/// What an attacker can do with records that were captured.
#[test]
fn replayed_reflected_reordered_and_foreign_records_are_refused() {
    let now = Instant::ZERO;
    let records = |a: &mut StreamCipher| [seal(a, now, b"one"), seal(a, now, b"two")];
    let refused = Err(SecureError::Inauthentic);
    let (mut a, mut b) = pair(10);
    let [one, _] = records(&mut a);
    assert!(open(&mut b, &one).is_ok());
    assert_eq!(open(&mut b, &one), refused, "replayed");
    let (mut a, mut b) = pair(10);
    let [_, two] = records(&mut a);
    assert_eq!(open(&mut b, &two), refused, "reordered");
    let (mut a, _) = pair(10);
    let [one, _] = records(&mut a);
    assert_eq!(open(&mut a, &one), refused, "reflected");
    let (_, mut other) = pair(20);
    assert_eq!(open(&mut other, &one), refused, "of another session");
}

#[test]
fn a_record_that_was_changed_at_any_octet_or_cut_is_refused() {
    let (mut a, _) = pair(10);
    let record = seal(&mut a, Instant::ZERO, b"firmware 1.2");
    for at in 2..record.len() {
        let mut changed = record.clone();
        changed[at] ^= 0x40;
        assert_eq!(open(&mut pair(10).1, &changed), Err(SecureError::Inauthentic), "octet {at}");
        let cut = &record[2..at];
        assert_eq!(pair(10).1.open(cut, &mut [0; 64]), Err(SecureError::Inauthentic), "cut at {at}");
    }
    assert!(open(&mut pair(10).1, &record).is_ok());
}

#[test]
fn keys_change_by_octets_and_by_time_in_both_directions() {
    let (mut a, mut b) = pair(10);
    let ms = Instant::from_millis;
    a.set_rekey(Rekey { octets: 300, every: Duration::from_secs(10) });
    // 118 octets each: the third would go over 300 with the one that ends the key.
    let sizes: Vec<usize> = (0..5)
        .map(|_| {
            let octets = seal(&mut a, ms(1), &[1; 100]);
            let opened = open(&mut b, &octets).unwrap();
            assert_eq!(opened.last(), Some(&vec![1; 100]));
            opened.len()
        })
        .collect();
    assert_eq!(sizes, [1, 1, 2, 1, 2], "an empty record ends a key");
    // By time: counted from the first record under the key.
    assert!(!a.is_rekey_due(ms(10_000), 1) && a.is_rekey_due(ms(10_001), 1));
    let octets = seal(&mut a, ms(10_001), b"x");
    assert_eq!(open(&mut b, &octets), Ok(vec![vec![], b"x".to_vec()]));
    // The other direction has its own.
    let octets = seal(&mut b, ms(119_999), b"y");
    assert_eq!(open(&mut a, &octets).unwrap().len(), 1);
    let octets = seal(&mut b, ms(239_999), b"y");
    assert_eq!(open(&mut a, &octets), Ok(vec![vec![], b"y".to_vec()]));
}

#[test]
fn a_record_larger_than_the_limit_of_a_key_still_goes() {
    let (mut a, mut b) = pair(10);
    a.set_rekey(Rekey { octets: 1, every: Duration::from_secs(10) });
    for n in [50, 60, 70] {
        let octets = seal(&mut a, Instant::ZERO, &vec![3; n]);
        assert_eq!(open(&mut b, &octets).unwrap().last(), Some(&vec![3; n]));
    }
}

#[test]
fn a_key_that_is_never_changed_is_refused() {
    let (mut a, mut b) = pair(10);
    // As if so much had come already.
    b.received = (1 << 30) - 40;
    let one = seal(&mut a, Instant::ZERO, &[1; 22]);
    assert_eq!(one.len(), 40);
    assert!(open(&mut b, &one).is_ok());
    let two = seal(&mut a, Instant::ZERO, &[1]);
    assert_eq!(open(&mut b, &two), Err(SecureError::KeyWorn { limit: 1 << 30 }));
    // A sender goes on in time by itself, whatever it was set to.
    a.set_rekey(Rekey { octets: u64::MAX, every: Duration::MAX });
    a.sent = (1 << 30) - 19;
    assert!(a.is_rekey_due(Instant::ZERO, 1));
}

proptest! {
    /// Whatever is sealed, at whatever times and with whatever changes of keys, is what is opened.
    #[test]
    fn what_is_sealed_is_opened(
        records in prop::collection::vec((any::<bool>(), 1usize..2000, 0u64..100), 1..60),
        octets in 1u64..5000, every in 1u64..1000,
    ) {
        let (mut a, mut b) = pair(10);
        a.set_rekey(Rekey { octets, every: Duration::from_millis(every) });
        b.set_rekey(Rekey { octets: octets * 2, every: Duration::from_millis(every) });
        let mut now = 0;
        for (i, (of_a, n, later)) in records.into_iter().enumerate() {
            now += later;
            let (writer, reader) = if of_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let plaintext = vec![i as u8; n];
            let octets = seal(writer, Instant::from_millis(now), &plaintext);
            let mut opened = open(reader, &octets).unwrap();
            prop_assert_eq!(opened.pop(), Some(plaintext));
            prop_assert!(opened.is_empty() || opened == [Vec::<u8>::new()]);
        }
    }
}
