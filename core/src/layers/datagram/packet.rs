//! What of a packet anyone can read: its first octet, connection ids, and its number.

use alloc::vec::Vec;
use core::fmt;

use super::number;

/// The version of this layer.
pub const VERSION: u8 = 1;

/// A connection id: eight octets that the side chose to which they are sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub [u8; 8]);

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// The first octet of a packet of an open connection, without the two bits that give its number's length.
const DATA: u8 = 0x40;
const HELLO: u8 = 0xc0;
const RETRY: u8 = 0xc1;
const HANDSHAKE: u8 = 0xc2;
const REFUSED: u8 = 0xc3;
const UNKNOWN: u8 = 0xc4;

/// In front of a data packet's number.
pub(super) const DATA_HEAD: usize = 1 + 8;

/// Why a server has no connection for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It has as many as it takes, or it ends.
    Full,
    /// It speaks another version of this layer.
    Version,
    /// A code that is not known here.
    Other(u8),
}

impl Refusal {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::Version => 2,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Full,
            2 => Self::Version,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the server takes no more sessions"),
            Self::Version => f.write_str("the server speaks another version of datagram sessions"),
            Self::Other(code) => write!(f, "the server refuses, code {code}"),
        }
    }
}

/// A datagram as anyone can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Hello {
        version: u8,
        from: ConnectionId,
        cookie: &'a [u8],
        message: &'a [u8],
    },
    Retry {
        to: ConnectionId,
        cookie: &'a [u8],
    },
    Handshake {
        to: ConnectionId,
        index: u8,
        message: &'a [u8],
    },
    Refused {
        to: ConnectionId,
        why: Refusal,
    },
    /// Data came with this id, which its receiver has not given to anybody that it knows of.
    Unknown {
        id: ConnectionId,
    },
    Data {
        to: ConnectionId,
        number_len: usize,
        truncated: u32,
        head: &'a [u8],
        sealed: &'a [u8],
    },
}

fn id(datagram: &[u8]) -> Option<(ConnectionId, &[u8])> {
    let (id, rest) = datagram.split_first_chunk()?;
    Some((ConnectionId(*id), rest))
}

fn short(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = datagram.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// A message of a handshake, with which `rest` of a datagram begins: its length, itself, a check of all up to
/// there against accidents (some patterns do not forgive a message that was changed by one). Behind it is what
/// fills up the datagram.
fn message<'a>(datagram: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    let before = datagram.len() - rest.len();
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (message, rest) = rest.split_at_checked(len)?;
    let check = u64::from_be_bytes(*rest.first_chunk()?);
    (check == checksum(0, datagram.get(..before + 2 + len)?)).then_some(message)
}

const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Finds accidents, and nothing that was meant: a keyed sum.
pub(super) fn checksum(key: u64, octets: &[u8]) -> u64 {
    let start = fold(key ^ 0x9e37_79b9_7f4a_7c15, 0x94d0_49bb_1331_11eb);
    let (chunks, rest) = octets.as_chunks::<8>();
    let mut sum = start ^ octets.len() as u64;
    for chunk in chunks {
        sum = fold(sum ^ u64::from_le_bytes(*chunk), 0xa076_1d64_78bd_642f);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(sum ^ u64::from_le_bytes(last), start | 1)
}

impl<'a> Packet<'a> {
    /// Reads a datagram; nothing where it is none of ours.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let (&first, rest) = datagram.split_first()?;
        match first {
            HELLO => {
                let (&version, rest) = rest.split_first()?;
                let (from, rest) = id(rest)?;
                if version != VERSION {
                    // What is behind belongs to that version.
                    return Some(Self::Hello { version, from, cookie: &[], message: &[] });
                }
                let (cookie, rest) = short(rest)?;
                Some(Self::Hello { version, from, cookie, message: message(datagram, rest)? })
            }
            RETRY => {
                let (to, rest) = id(rest)?;
                let (cookie, rest) = short(rest)?;
                rest.is_empty().then_some(Self::Retry { to, cookie })
            }
            HANDSHAKE => {
                let (to, rest) = id(rest)?;
                let (&index, rest) = rest.split_first()?;
                Some(Self::Handshake { to, index, message: message(datagram, rest)? })
            }
            REFUSED => {
                let (to, rest) = id(rest)?;
                let [code] = *rest else { return None };
                Some(Self::Refused { to, why: Refusal::from_code(code) })
            }
            UNKNOWN => {
                let (id, rest) = id(rest)?;
                rest.is_empty().then_some(Self::Unknown { id })
            }
            0x40..=0x43 => {
                let number_len = usize::from(first - DATA) + 1;
                let (to, rest) = id(rest)?;
                let (number, sealed) = rest.split_at_checked(number_len)?;
                let truncated = number.iter().fold(0, |n, octet| n << 8 | u32::from(*octet));
                let head = &datagram[..DATA_HEAD + number_len];
                Some(Self::Data { to, number_len, truncated, head, sealed })
            }
            _ => None,
        }
    }
}

pub(super) fn put_hello(out: &mut Vec<u8>, from: ConnectionId, cookie: &[u8], message: &[u8]) {
    out.extend_from_slice(&[HELLO, VERSION]);
    out.extend_from_slice(&from.0);
    out.push(cookie.len() as u8);
    out.extend_from_slice(cookie);
    put_message(out, message);
}

/// `out` has what is before it in the datagram, and nothing else.
fn put_message(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
    let check = checksum(0, out);
    out.extend_from_slice(&check.to_be_bytes());
}

pub(super) fn put_retry(out: &mut Vec<u8>, to: ConnectionId, cookie: &[u8]) {
    out.push(RETRY);
    out.extend_from_slice(&to.0);
    out.push(cookie.len() as u8);
    out.extend_from_slice(cookie);
}

pub(super) fn put_refused(out: &mut Vec<u8>, to: ConnectionId, why: Refusal) {
    out.push(REFUSED);
    out.extend_from_slice(&to.0);
    out.push(why.code());
}

pub(super) fn put_unknown(out: &mut Vec<u8>, id: ConnectionId) {
    out.push(UNKNOWN);
    out.extend_from_slice(&id.0);
}

pub(super) fn put_handshake(out: &mut Vec<u8>, to: ConnectionId, index: u8, message: &[u8]) {
    out.push(HANDSHAKE);
    out.extend_from_slice(&to.0);
    out.push(index);
    put_message(out, message);
}

/// A data packet up to its sealed content. `acked`: no number from there on is known to have arrived.
pub(super) fn put_data_head(out: &mut Vec<u8>, to: ConnectionId, number: u64, acked: u64) {
    let len = number::encoded_len(number, acked);
    out.push(DATA + (len - 1) as u8);
    out.extend_from_slice(&to.0);
    out.extend_from_slice(&(number as u32).to_be_bytes()[number::MAX_LEN - len..]);
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (to, from) = (ConnectionId([1; 8]), ConnectionId([2; 8]));
        let mut out = vec![];
        put_hello(&mut out, from, b"cookie", b"message");
        out.resize(1200, 0);
        let hello = Packet::Hello { version: VERSION, from, cookie: b"cookie", message: b"message" };
        assert_eq!(Packet::read(&out), Some(hello));

        out.clear();
        put_retry(&mut out, to, b"cookie");
        assert_eq!(Packet::read(&out), Some(Packet::Retry { to, cookie: b"cookie" }));

        out.clear();
        put_handshake(&mut out, to, 1, b"message");
        assert_eq!(Packet::read(&out), Some(Packet::Handshake { to, index: 1, message: b"message" }));

        out.clear();
        put_refused(&mut out, to, Refusal::Full);
        assert_eq!(Packet::read(&out), Some(Packet::Refused { to, why: Refusal::Full }));

        out.clear();
        put_unknown(&mut out, to);
        assert_eq!(Packet::read(&out), Some(Packet::Unknown { id: to }));
        assert_eq!((Packet::read(&out[..8]), out.len()), (None, DATA_HEAD), "smaller than any data packet");

        out.clear();
        put_data_head(&mut out, to, 0x01_0203, 0x01_0100);
        out.extend_from_slice(b"sealed");
        let head = &out[..11];
        let data = Packet::Data { to, number_len: 2, truncated: 0x0203, head, sealed: b"sealed" };
        assert_eq!(Packet::read(&out), Some(data));
        for cut in 0..11 {
            assert_eq!(Packet::read(&out[..cut]), None, "cut at {cut}");
        }
    }
}
