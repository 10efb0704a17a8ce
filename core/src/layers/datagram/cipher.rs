//! How packets are protected: by Noise, or not at all where that was asked for by its name.

use alloc::vec::Vec;

use super::packet::ConnectionId;

/// What a session is secured by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// By nothing: anyone on the way can read, change and end a session. For tests, loopback, and a network that
    /// is secured below. Packets have a check against accidents.
    Insecure,
}

/// A handshake's messages, in turns: the client's first.
#[derive(Debug)]
pub(super) enum Handshake {
    Plain { client: bool, written: bool, read: bool },
}

/// A handshake's message is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Handshake {
    pub(super) fn new(security: &Security, client: bool, _name: ConnectionId) -> Result<Self, Refused> {
        match security {
            Security::Insecure => Ok(Self::Plain { client, written: false, read: false }),
        }
    }

    /// Writes this side's next message with `payload` in it.
    pub(super) fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain { written, .. } => {
                *written = true;
                out.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    /// Reads the peer's next message, and its payload to `out`. After a refusal the right one can still come.
    pub(super) fn read(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain { read, .. } => {
                *read = true;
                out.extend_from_slice(message);
                Ok(())
            }
        }
    }

    /// Whether all messages have passed.
    pub(super) const fn is_finished(&self) -> bool {
        match self {
            Self::Plain { written, read, .. } => *written && *read,
        }
    }

    /// The protection of what follows. `names`: what the client and the server called themselves.
    pub(super) fn into_cipher(self, names: [ConnectionId; 2]) -> Result<Cipher, Refused> {
        match self {
            Self::Plain { client, .. } => {
                let [a, b] = names.map(|name| u64::from_le_bytes(name.0));
                let key = fold(a ^ 0x9e37_79b9_7f4a_7c15, b ^ 0xbf58_476d_1ce4_e5b9);
                Ok(Cipher::Plain(Check { key, client }))
            }
        }
    }
}

/// Protects an open connection's packets.
#[derive(Debug)]
pub(super) enum Cipher {
    Plain(Check),
}

impl Cipher {
    /// A packet's content is longer by so many octets once it is sealed.
    pub(super) const fn overhead(&self) -> usize {
        match self {
            Self::Plain(_) => Check::LEN,
        }
    }

    /// Appends `content`, sealed, to `out`.
    pub(super) fn seal(&mut self, number: u64, content: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain(check) => {
                out.extend_from_slice(content);
                out.extend_from_slice(&check.of(number, check.client, content).to_le_bytes());
                Ok(())
            }
        }
    }

    /// Puts the content of a sealed packet to `out`, which is empty.
    pub(super) fn open(&mut self, number: u64, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Plain(check) => {
                let (content, sum) = sealed.split_last_chunk().ok_or(Refused)?;
                if check.of(number, !check.client, content) != u64::from_le_bytes(*sum) {
                    return Err(Refused);
                }
                out.extend_from_slice(content);
                Ok(())
            }
        }
    }
}

/// Finds accidents, and nothing that was meant: a keyed sum of the content and its number.
#[derive(Debug)]
pub(super) struct Check {
    key: u64,
    client: bool,
}

const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Check {
    const LEN: usize = 8;

    fn of(&self, number: u64, client: bool, content: &[u8]) -> u64 {
        let start = fold(self.key ^ number, 0x94d0_49bb_1331_11eb ^ u64::from(client));
        let (chunks, rest) = content.as_chunks::<8>();
        let mut sum = start ^ content.len() as u64;
        for chunk in chunks {
            sum = fold(sum ^ u64::from_le_bytes(*chunk), 0xa076_1d64_78bd_642f);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(sum ^ u64::from_le_bytes(last), start | 1)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn accidents_are_found() {
        let cipher = |client| {
            let handshake = Handshake::new(&Security::Insecure, client, ConnectionId::default()).unwrap();
            handshake.into_cipher([ConnectionId([1; 8]), ConnectionId([2; 8])]).unwrap()
        };
        let (mut client, mut server) = (cipher(true), cipher(false));
        for len in [0, 1, 7, 8, 9, 40] {
            let content: Vec<u8> = (0..len).collect();
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            client.seal(5, &content, &mut sealed).unwrap();
            server.open(5, &sealed, &mut opened).unwrap();
            assert_eq!(opened, content);
            assert_eq!(server.open(6, &sealed, &mut opened), Err(Refused), "another number");
            assert_eq!(client.open(5, &sealed, &mut opened), Err(Refused), "reflected");
            for bit in 0..sealed.len() * 8 {
                let mut wrong = sealed.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(server.open(5, &wrong, &mut opened), Err(Refused), "bit {bit}");
                assert_eq!(server.open(5, &sealed[..bit / 8], &mut opened), Err(Refused));
            }
        }
    }
}
