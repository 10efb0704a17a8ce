//! How packets are protected: by Noise, or not at all where that was asked for by its name.

#[cfg(feature = "noise")]
mod noise;

#[cfg(feature = "noise")]
use alloc::boxed::Box;
#[cfg(feature = "noise")]
use alloc::sync::Arc;
use alloc::vec::Vec;

#[cfg(feature = "noise")]
pub use noise::{NoiseKeys, Proved};

use super::packet::{ConnectionId, checksum};
use crate::entropy::Entropy;

/// What a session is secured by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// By nothing: anyone on the way can read, change and end a session. For tests, loopback, and a network that
    /// is secured below. Packets have a check against accidents.
    Insecure,
    /// By Noise, with these keys.
    #[cfg(feature = "noise")]
    Noise(Arc<NoiseKeys>),
}

/// A handshake's messages, in turns: the client's first.
#[derive(Debug)]
pub(super) enum Handshake {
    Plain {
        client: bool,
        written: bool,
        read: bool,
    },
    #[cfg(feature = "noise")]
    Noise(Box<noise::Shake>),
}

/// A handshake's message is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// The first octet of a client's first message where nothing is secured; a pattern's number otherwise.
const PLAIN: u8 = 0;

impl Handshake {
    /// A client's, which calls itself `name`.
    pub(super) fn client(
        security: &Security,
        name: ConnectionId,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let _ = (name, &entropy);
        match security {
            Security::Insecure => Ok(Self::Plain { client: true, written: false, read: false }),
            #[cfg(feature = "noise")]
            Security::Noise(keys) => Ok(Self::Noise(Box::new(noise::Shake::client(keys, name, entropy)?))),
        }
    }

    /// A server's, for the client of that `name` whose first message begins so.
    pub(super) fn server(
        security: &Security,
        name: ConnectionId,
        message: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let _ = (name, &entropy);
        match security {
            Security::Insecure if message.first() == Some(&PLAIN) => {
                Ok(Self::Plain { client: false, written: false, read: false })
            }
            Security::Insecure => Err(Refused),
            #[cfg(feature = "noise")]
            Security::Noise(keys) => {
                Ok(Self::Noise(Box::new(noise::Shake::server(keys, name, message, entropy)?)))
            }
        }
    }

    /// Writes this side's next message with `payload` in it.
    pub(super) fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain { written, client, .. } => {
                if *client {
                    out.push(PLAIN);
                }
                *written = true;
                out.extend_from_slice(payload);
                Ok(())
            }
            #[cfg(feature = "noise")]
            Self::Noise(shake) => shake.write(payload, out),
        }
    }

    /// Reads the peer's next message, and its payload to `out`. After a refusal the right one can still come.
    pub(super) fn read(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain { read, client, .. } => {
                let payload = if *client { message } else { message.get(1..).ok_or(Refused)? };
                *read = true;
                out.extend_from_slice(payload);
                Ok(())
            }
            #[cfg(feature = "noise")]
            Self::Noise(shake) => shake.read(message, out),
        }
    }

    /// Whether all messages have passed.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Plain { written, read, .. } => *written && *read,
            #[cfg(feature = "noise")]
            Self::Noise(shake) => shake.is_finished(),
        }
    }

    /// The protection of what follows. `names`: what the client and the server called themselves.
    pub(super) fn into_cipher(self, names: [ConnectionId; 2]) -> Result<Cipher, Refused> {
        match self {
            Self::Plain { client, .. } => {
                let [a, b] = names.map(|name| u64::from_le_bytes(name.0));
                let key = checksum(a, &b.to_le_bytes());
                Ok(Cipher::Plain(Check { key, client }))
            }
            #[cfg(feature = "noise")]
            Self::Noise(shake) => Ok(Cipher::Noise(Box::new(shake.into_cipher()?))),
        }
    }
}

/// Protects an open connection's packets.
#[derive(Debug)]
pub(super) enum Cipher {
    Plain(Check),
    #[cfg(feature = "noise")]
    Noise(Box<noise::Noise>),
}

impl Cipher {
    /// A packet's content is longer by so many octets once it is sealed.
    pub(super) const fn overhead(&self) -> usize {
        match self {
            Self::Plain(_) => Check::LEN,
            #[cfg(feature = "noise")]
            Self::Noise(_) => crate::secure::DATAGRAM_OVERHEAD,
        }
    }

    /// Appends `content`, sealed, to `out`, in which from `head` on is what goes before it in clear: that
    /// cannot be changed either.
    pub(super) fn seal(
        &mut self,
        number: u64,
        head: usize,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match self {
            Self::Plain(check) => {
                let sum = check.of(number, check.client, content);
                let _ = head;
                out.extend_from_slice(content);
                out.extend_from_slice(&sum.to_le_bytes());
                Ok(())
            }
            #[cfg(feature = "noise")]
            Self::Noise(noise) => noise.seal(number, head, content, out),
        }
    }

    /// Puts the content of a sealed packet to `out`, which is empty. `head` is what came before it.
    pub(super) fn open(
        &mut self,
        number: u64,
        head: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match self {
            Self::Plain(check) => {
                let (content, sum) = sealed.split_last_chunk().ok_or(Refused)?;
                let _ = head;
                if check.of(number, !check.client, content) != u64::from_le_bytes(*sum) {
                    return Err(Refused);
                }
                out.extend_from_slice(content);
                Ok(())
            }
            #[cfg(feature = "noise")]
            Self::Noise(noise) => noise.open(number, head, sealed, out),
        }
    }

    /// What the handshake has proved.
    #[cfg(feature = "noise")]
    pub(super) const fn proved(&self) -> Option<&Proved> {
        match self {
            Self::Plain(_) => None,
            Self::Noise(noise) => Some(&noise.proved),
        }
    }
}

/// Finds accidents, and nothing that was meant: a keyed sum of the content and its number.
#[derive(Debug)]
pub(super) struct Check {
    key: u64,
    client: bool,
}

impl Check {
    const LEN: usize = 8;

    fn of(&self, number: u64, client: bool, content: &[u8]) -> u64 {
        checksum((self.key ^ number) << 1 | u64::from(client), content)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn accidents_are_found() {
        let cipher = |client| {
            let handshake = Handshake::Plain { client, written: true, read: true };
            handshake.into_cipher([ConnectionId([1; 8]), ConnectionId([2; 8])]).unwrap()
        };
        let (mut client, mut server) = (cipher(true), cipher(false));
        for len in [0, 1, 7, 8, 9, 40] {
            let content: Vec<u8> = (0..len).collect();
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            client.seal(5, 0, &content, &mut sealed).unwrap();
            server.open(5, &[], &sealed, &mut opened).unwrap();
            assert_eq!(opened, content);
            assert_eq!(server.open(6, &[], &sealed, &mut opened), Err(Refused), "another number");
            assert_eq!(client.open(5, &[], &sealed, &mut opened), Err(Refused), "reflected");
            for bit in 0..sealed.len() * 8 {
                let mut wrong = sealed.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(server.open(5, &[], &wrong, &mut opened), Err(Refused), "bit {bit}");
                assert_eq!(server.open(5, &[], &sealed[..bit / 8], &mut opened), Err(Refused));
            }
        }
    }
}
