//! What can go wrong with a handshake.

use proptest::prelude::*;
use std::vec;

use super::super::*;
use super::{Two, next, read, write};
use crate::entropy::Seeded;

/// Points of low order, of both the curve and its twist, and numbers above the field's that mean them.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn low_order() -> impl Iterator<Item = [u8; 32]> {
    LOW_ORDER
        .iter()
        .map(|hex| core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()))
}

#[test]
fn each_pattern_ends_with_the_same_hash_and_the_keys_that_it_shows() {
    let two = Two::new(1);
    for pattern in Pattern::ALL {
        assert_eq!(Pattern::from_number(pattern.number()), Some(pattern));
        let (mut client, mut server) = two.begin(pattern, 10);
        for length in pattern.messages() {
            assert_eq!((client.next_message(), server.next_message()), (Some(*length), Some(*length)));
            assert_ne!(client.is_my_turn(), server.is_my_turn());
            assert_eq!(next(&mut client, &mut server).len(), *length, "{pattern}");
        }
        assert!(client.is_finished() && server.is_finished());
        assert!(!client.is_my_turn() && !server.is_my_turn());
        assert_eq!(client.hash(), server.hash());
        let shown = pattern != Pattern::NnPsk0;
        assert_eq!(server.remote_static(), shown.then(|| two.client.public()));
        assert_eq!(client.remote_static(), shown.then(|| two.server.public()));
        let (other, _) = two.done(pattern, 20);
        assert_ne!(client.hash(), other.hash(), "each handshake has its own");
    }
}

#[test]
fn a_public_key_of_low_order_is_refused_wherever_it_comes() {
    let two = Two::new(1);
    for weak in low_order() {
        for pattern in Pattern::ALL {
            // As the client's new key: known by the time when the server computes with it.
            let (_, mut server) = two.begin(pattern, 10);
            let mut message = vec![0; pattern.messages()[0]];
            message[..32].copy_from_slice(&weak);
            let refused = if pattern == Pattern::Xx {
                read(&mut server, &message).unwrap();
                server.write(&[], &mut [0; HANDSHAKE_OVERHEAD]).unwrap_err()
            } else {
                read(&mut server, &message).unwrap_err()
            };
            // Who has not the shared key cannot come so far.
            let want =
                if pattern == Pattern::NnPsk0 { SecureError::Inauthentic } else { SecureError::WeakKey };
            assert_eq!(refused, want, "{pattern}");
            // As the server's.
            let (mut client, _) = two.begin(pattern, 10);
            write(&mut client);
            let mut message = vec![0; pattern.messages()[1]];
            message[..32].copy_from_slice(&weak);
            assert_eq!(read(&mut client, &message), Err(SecureError::WeakKey), "{pattern}");
        }
        // As the server's static key.
        let keys = Keys::Ik { own: &two.client, remote: Some(PublicKey::from_octets(weak)) };
        let mut client = Handshake::new(Role::Initiator, b"test", &keys, &mut Seeded::new(1)).unwrap();
        let refused = client.write(&[], &mut [0; HANDSHAKE_OVERHEAD]);
        assert_eq!(refused, Err(SecureError::WeakKey));
    }
}

#[test]
fn wrong_keys_and_prologues_end_in_nothing() {
    let (two, other) = (Two::new(1), Two::new(2));
    for pattern in [Pattern::Ik, Pattern::NnPsk0] {
        // The server has another key, or another shared one, than the client knows.
        let (mut client, _) = two.begin(pattern, 10);
        let (_, mut server) = other.begin(pattern, 10);
        let message = write(&mut client);
        assert_eq!(read(&mut server, &message), Err(SecureError::Inauthentic), "{pattern}");
        // And one who pretends that it read the message cannot answer it.
        let forged = vec![9; pattern.messages()[1]];
        assert_eq!(read(&mut client, &forged), Err(SecureError::Inauthentic), "{pattern}");
    }
    for pattern in Pattern::ALL {
        let keys = two.keys(pattern, Role::Responder);
        let mut server = Handshake::new(Role::Responder, b"tesT", &keys, &mut Seeded::new(2)).unwrap();
        let (mut client, _) = two.begin(pattern, 10);
        let first = write(&mut client);
        let end = if pattern == Pattern::Xx {
            read(&mut server, &first).unwrap();
            let second = write(&mut server);
            read(&mut client, &second)
        } else {
            read(&mut server, &first)
        };
        assert_eq!(end, Err(SecureError::Inauthentic), "{pattern}");
    }
}

#[test]
fn what_is_not_the_next_step_changes_nothing() {
    let two = Two::new(1);
    for pattern in Pattern::ALL {
        let (mut client, mut server) = two.begin(pattern, 10);
        let mut out = [0; HANDSHAKE_OVERHEAD];
        assert!(matches!(server.write(&[], &mut out), Err(SecureError::OutOfOrder(_))));
        assert!(matches!(read(&mut client, &[0; 96]), Err(SecureError::OutOfOrder(_))));
        let needed = HANDSHAKE_OVERHEAD;
        assert_eq!(client.write(&[], &mut out[1..]), Err(SecureError::NoRoom { needed }));
        assert!(matches!(client.write(&[0; 65_500], &mut []), Err(SecureError::TooLong { .. })));
        let first = write(&mut client);
        assert_eq!(server.read(&first, &mut []), Err(SecureError::NoRoom { needed: first.len() }));
        read(&mut server, &first).unwrap();
        while !client.is_finished() {
            next(&mut client, &mut server);
        }
        assert!(matches!(client.write(&[], &mut out), Err(SecureError::OutOfOrder(_))));
        assert!(matches!(read(&mut server, &first), Err(SecureError::OutOfOrder(_))));
        let (early, _) = two.begin(pattern, 10);
        assert!(matches!(early.into_stream(), Err(SecureError::OutOfOrder(_))));
        let (early, _) = two.begin(pattern, 10);
        assert!(matches!(early.into_datagram(), Err(SecureError::OutOfOrder(_))));
    }
    let keys = Keys::Ik { own: &two.client, remote: None };
    let missing = Handshake::new(Role::Initiator, b"", &keys, &mut Seeded::new(1)).unwrap_err();
    assert_eq!(std::format!("{missing}"), "IK needs the server's key, which was not given");
}

/// A captured first message opens nothing for who has not the key that it was made with.
#[test]
fn a_replayed_first_message_is_answered_and_leads_nowhere() {
    let two = Two::new(1);
    for pattern in Pattern::ALL {
        let (mut client, mut server) = two.begin(pattern, 10);
        let captured = write(&mut client);
        read(&mut server, &captured).unwrap();
        let (_, mut again) = two.begin(pattern, 20);
        read(&mut again, &captured).unwrap();
        let (first, second) = (write(&mut server), write(&mut again));
        assert_ne!(first, second, "the server's part is new each time");
        // The client that was captured takes its own server's answer, and no reflected message.
        assert_eq!(read(&mut client, &captured), Err(SecureError::Inauthentic), "{pattern} reflected");
        read(&mut client, &first).unwrap();
        if pattern == Pattern::Xx {
            let third = write(&mut client);
            assert_eq!(read(&mut again, &third), Err(SecureError::Inauthentic), "of another handshake");
            read(&mut server, &third).unwrap();
        }
        assert_eq!(client.hash(), server.hash());
        assert_ne!(client.hash(), again.hash());
    }
}

proptest! {
    /// A message that is changed at any octet, cut, or longer is refused, and where a handshake can be spoken over
    /// datagrams, the genuine one is read after it.
    #[test]
    fn a_message_that_was_changed_is_refused(
        pattern in 0usize..3, nth in 0usize..3, at in any::<prop::sample::Index>(), bit in 0u8..8, cut in 0u8..3,
    ) {
        let (two, pattern) = (Two::new(1), Pattern::ALL[pattern]);
        let nth = nth % pattern.messages().len();
        let (mut client, mut server) = two.begin(pattern, 10);
        for _ in 0..nth {
            next(&mut client, &mut server);
        }
        let (writer, reader) =
            if client.is_my_turn() { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let genuine = write(writer);
        let mut message = genuine.clone();
        match cut {
            0 => message[at.index(genuine.len())] ^= 1 << bit,
            1 => message.truncate(at.index(genuine.len())),
            _ => message.extend_from_slice(&vec![bit; 1 + at.index(100)]),
        }
        if pattern == Pattern::Xx && nth == 0 && message.len() >= 32 {
            // In clear: a change shows when the answer comes.
            read(reader, &message).unwrap();
            let answer = reader.write(&[], &mut [0; HANDSHAKE_OVERHEAD]);
            let shown = answer.is_err() || read(writer, &write_again(&two, &message)).is_err();
            prop_assert!(shown);
            return Ok(());
        }
        // The highest bit of a public key means nothing (RFC 7748 section 5), but it is part of the hash.
        prop_assert!(read(reader, &message).is_err());
        if (pattern, nth) != (Pattern::Xx, 2) {
            prop_assert!(read(reader, &genuine).is_ok());
            while !client.is_finished() {
                next(&mut client, &mut server);
            }
            prop_assert_eq!(client.hash(), server.hash());
        }
    }
}

/// The answer of a server that reads this first message.
fn write_again(two: &Two, message: &[u8]) -> std::vec::Vec<u8> {
    let (_, mut server) = two.begin(Pattern::Xx, 10);
    read(&mut server, message).unwrap();
    write(&mut server)
}
