//! Handshakes and ciphers against each other, against published vectors, and against who would break them.

mod datagram;
mod handshake;
mod published;
mod stream;

use std::vec::Vec;

use super::*;
use crate::entropy::Seeded;

/// Keys of two sides, and a shared one.
pub(super) struct Two {
    pub(super) client: SecretKey,
    pub(super) server: SecretKey,
    pub(super) shared: SharedKey,
}

impl Two {
    pub(super) fn new(seed: u64) -> Self {
        let mut e = Seeded::new(seed);
        Self {
            client: SecretKey::generate(&mut e),
            server: SecretKey::generate(&mut e),
            shared: SharedKey::generate(&mut e),
        }
    }

    fn keys(&self, pattern: Pattern, role: Role) -> Keys<'_> {
        let own = if role == Role::Initiator { &self.client } else { &self.server };
        match pattern {
            Pattern::Xx => Keys::Xx { own },
            Pattern::Ik => Keys::Ik { own, remote: (role == Role::Initiator).then(|| self.server.public()) },
            Pattern::NnPsk0 => Keys::NnPsk0 { shared: &self.shared },
        }
    }

    /// Both ends of a handshake that has not begun.
    fn begin(&self, pattern: Pattern, seed: u64) -> (Handshake, Handshake) {
        let side = |role, seed| {
            Handshake::new(role, b"test", &self.keys(pattern, role), &mut Seeded::new(seed)).unwrap()
        };
        (side(Role::Initiator, seed), side(Role::Responder, seed + 1))
    }

    /// Both ends of one that has ended.
    fn done(&self, pattern: Pattern, seed: u64) -> (Handshake, Handshake) {
        let (mut client, mut server) = self.begin(pattern, seed);
        while !client.is_finished() {
            next(&mut client, &mut server);
        }
        (client, server)
    }
}

/// Carries the next message from who writes it to who reads it, and returns it.
fn next(a: &mut Handshake, b: &mut Handshake) -> Vec<u8> {
    let (writer, reader) = if a.is_my_turn() { (a, b) } else { (b, a) };
    let message = write(writer);
    read(reader, &message).unwrap();
    message
}

fn write(h: &mut Handshake) -> Vec<u8> {
    let mut out = [0; HANDSHAKE_OVERHEAD];
    let n = h.write(&[], &mut out).unwrap();
    out[..n].to_vec()
}

fn read(h: &mut Handshake, message: &[u8]) -> Result<usize, SecureError> {
    h.read(message, &mut [0; 65_535])
}
