//! The published vectors of Noise, for our patterns and suite: see `published.json` for where they come from.

use serde_json::Value;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::super::*;
use crate::entropy::Scripted;
use crate::time::Instant;

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn key(value: &Value) -> Option<[u8; 32]> {
    hex(value).try_into().ok()
}

/// One side, as a vector says it.
fn side(vector: &Value, role: Role) -> Handshake {
    let (own, prefix) = if role == Role::Initiator { ("init", "init") } else { ("resp", "resp") };
    let field = |name: &str| &vector[[prefix, name].concat()];
    let secret = key(field("_static")).map(SecretKey::from_octets);
    let shared = key(&field("_psks")[0]).map(SharedKey::from_octets);
    let keys = match (vector["protocol_name"].as_str().unwrap(), &secret, &shared) {
        ("Noise_XX_25519_ChaChaPoly_SHA256", Some(own), _) => Keys::Xx { own },
        ("Noise_IK_25519_ChaChaPoly_SHA256", Some(own), _) => {
            let remote = (role == Role::Initiator).then(|| key(field("_remote_static"))).flatten();
            Keys::Ik { own, remote: remote.map(PublicKey::from_octets) }
        }
        ("Noise_NNpsk0_25519_ChaChaPoly_SHA256", _, Some(shared)) => Keys::NnPsk0 { shared },
        (other, ..) => panic!("{other} of {own}"),
    };
    let ephemeral = hex(field("_ephemeral"));
    let mut entropy = Scripted::new(&[], &ephemeral);
    let handshake = Handshake::new(role, &hex(field("_prologue")), &keys, &mut entropy).unwrap();
    assert!(!entropy.overdrawn());
    handshake
}

/// Plays the messages of the handshake; gives back both sides and the messages that follow.
fn shake(vector: &Value) -> (Handshake, Handshake, &[Value]) {
    let (mut a, mut b) = (side(vector, Role::Initiator), side(vector, Role::Responder));
    let messages = vector["messages"].as_array().unwrap();
    let n = a.pattern().messages().len();
    for message in &messages[..n] {
        let (writer, reader) = if a.is_my_turn() { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let (payload, want) = (hex(&message["payload"]), hex(&message["ciphertext"]));
        assert_eq!(want.len(), writer.next_message().unwrap() + payload.len());
        let (mut out, mut read) = (vec![0; payload.len() + HANDSHAKE_OVERHEAD], vec![0; want.len()]);
        let n = writer.write(&payload, &mut out).unwrap();
        assert_eq!(out[..n], want);
        let n = reader.read(&want, &mut read).unwrap();
        assert_eq!(read[..n], payload);
    }
    assert!(a.is_finished() && b.is_finished());
    assert_eq!(a.hash(), b.hash());
    if let Some(hash) = key(&vector["handshake_hash"]) {
        assert_eq!(a.hash(), hash);
    }
    (a, b, &messages[n..])
}

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("published.json")).unwrap();
    all["vectors"].as_array().unwrap().clone()
}

#[test]
fn handshakes_and_records_are_those_of_the_published_vectors() {
    let mut patterns = Vec::new();
    for vector in vectors() {
        let (a, b, messages) = shake(&vector);
        patterns.push(a.pattern().to_string());
        // Who writes the next message: they take turns from the first on.
        let mut of_initiator = a.pattern().messages().len() % 2 == 0;
        let (mut a, mut b) = (a.into_stream().unwrap(), b.into_stream().unwrap());
        for message in messages {
            let (writer, reader) = if of_initiator { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let (payload, want) = (hex(&message["payload"]), hex(&message["ciphertext"]));
            let (mut out, mut read) = (vec![0; payload.len() + 2 * RECORD_OVERHEAD], vec![0; want.len()]);
            let n = writer.seal(Instant::ZERO, &payload, &mut out).unwrap();
            assert_eq!((&out[..2], &out[2..n]), (&(want.len() as u16).to_be_bytes()[..], &want[..]));
            let n = reader.open(&want, &mut read).unwrap();
            assert_eq!(read[..n], payload);
            of_initiator = !of_initiator;
        }
        assert!(!messages.is_empty());
    }
    patterns.sort_unstable();
    assert_eq!(patterns, ["IK", "IK", "NNpsk0", "XX", "XX"]);
}

/// A datagram's number is the nonce of a transport message.
#[test]
fn datagrams_are_those_of_the_published_vectors() {
    for vector in vectors() {
        let (a, b, messages) = shake(&vector);
        let first = a.pattern().messages().len() % 2;
        let (mut a, mut b) = (a.into_datagram().unwrap(), b.into_datagram().unwrap());
        // The first of each direction last: numbers are said.
        for (i, message) in messages.iter().enumerate() {
            let number = (i / 2) as u64;
            let (writer, reader) =
                if (i + first).is_multiple_of(2) { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let (payload, want) = (hex(&message["payload"]), hex(&message["ciphertext"]));
            let (mut out, mut read) = (vec![0; want.len()], vec![0; want.len()]);
            assert_eq!(writer.seal(number, &payload, &mut out), Ok(want.len()));
            assert_eq!(out, want);
            let n = reader.open(number, &want, &mut read).unwrap();
            assert_eq!(read[..n], payload);
        }
    }
}
