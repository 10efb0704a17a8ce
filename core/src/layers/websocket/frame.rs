//! A frame's header (RFC 6455, section 5.2).

use super::Fault;

/// The most octets of a header: two, a length of eight, a masking key of four.
pub const HEADER_MAX: usize = 14;

/// The most octets of a control frame's payload (section 5.5).
pub const CONTROL_MAX: usize = 125;

/// FIN: the last, or only, frame of a message.
pub(super) const FIN: u8 = 0x80;
/// RSV1: the message is compressed (RFC 7692, section 6).
pub(super) const RSV1: u8 = 0x40;
const RSV: u8 = 0x70;
/// The payload is masked.
pub(super) const MASK: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Closes.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping, or comes by itself.
    Pong = 10,
}

impl Opcode {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Close, Ping and Pong, which may come between the fragments of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

impl core::fmt::Display for Opcode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Opcode::Continuation => "continuation",
            Opcode::Text => "text",
            Opcode::Binary => "binary",
            Opcode::Close => "close",
            Opcode::Ping => "ping",
            Opcode::Pong => "pong",
        })
    }
}

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

impl Kind {
    /// The opcode of its first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// What the octets of a header depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expect {
    /// Whether the peer masks: it is a client.
    pub(super) masked: bool,
    /// Whether a message has begun and not ended.
    pub(super) within: bool,
    /// The reserved bits that the first frame of a message may have.
    pub(super) reserved: u8,
}

/// A header as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// Only in the first frame of a message, and where it is allowed.
    pub(super) rsv1: bool,
    /// Octets of the header.
    pub(super) len: usize,
    /// 0 where the peer does not mask, which changes nothing.
    pub(super) key: [u8; 4],
    /// Octets of the payload.
    pub(super) payload: u64,
}

impl Header {
    /// Reads the header at the front of `raw`; `None` where it is cut. What is wrong is refused as soon as
    /// the octet is there that says so.
    #[inline]
    pub(super) fn read(raw: &[u8], expect: Expect) -> Result<Option<Header>, Fault> {
        let Some(&first) = raw.first() else { return Ok(None) };
        let opcode = Self::first(first, expect)?;
        let Some(&second) = raw.get(1) else { return Ok(None) };
        if (second & MASK != 0) != expect.masked {
            return Err(if expect.masked { Fault::Unmasked(opcode) } else { Fault::Masked(opcode) });
        }
        let short = second & !MASK;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(Fault::ControlTooLong(opcode));
        }
        let Some((at, payload)) = Self::length(raw, short, opcode)? else { return Ok(None) };
        let mut header =
            Header { opcode, fin: first & FIN != 0, rsv1: first & RSV != 0, len: at, key: [0; 4], payload };
        if expect.masked {
            let Some(key) = raw.get(at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            (header.key, header.len) = (*key, at + 4);
        }
        Ok(Some(header))
    }

    #[inline]
    fn first(octet: u8, expect: Expect) -> Result<Opcode, Fault> {
        let number = octet & 0xf;
        let Some(opcode) = Opcode::from_number(number) else { return Err(Fault::ReservedOpcode(number)) };
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        let allowed = if begins { expect.reserved } else { 0 };
        if octet & RSV & !allowed != 0 {
            return Err(Fault::ReservedBits { bits: (octet & RSV) >> 4 });
        }
        if opcode.is_control() && octet & FIN == 0 {
            return Err(Fault::FragmentedControl(opcode));
        }
        match opcode {
            Opcode::Continuation if !expect.within => Err(Fault::NothingToContinue),
            Opcode::Text | Opcode::Binary if expect.within => Err(Fault::MessageWithinMessage(opcode)),
            _ => Ok(opcode),
        }
    }

    /// Where the length ends, and what it says.
    #[inline]
    fn length(raw: &[u8], short: u8, opcode: Opcode) -> Result<Option<(usize, u64)>, Fault> {
        let rest = raw.get(2..).unwrap_or_default();
        let (at, length, least) = match short {
            126 => {
                let Some(octets) = rest.first_chunk() else { return Ok(None) };
                (4, u64::from(u16::from_be_bytes(*octets)), 126)
            }
            127 => {
                if rest.first().is_some_and(|octet| octet & 0x80 != 0) {
                    return Err(Fault::LengthTooLong(opcode));
                }
                let Some(octets) = rest.first_chunk() else { return Ok(None) };
                (10, u64::from_be_bytes(*octets), 1 << 16)
            }
            _ => return Ok(Some((2, u64::from(short)))),
        };
        if length < least {
            return Err(Fault::LengthNotMinimal { opcode, length });
        }
        Ok(Some((at, length)))
    }
}

/// A header as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    octets: [u8; HEADER_MAX],
    len: u8,
}

impl Head {
    /// How many octets the header of a frame has.
    #[inline]
    pub(super) const fn size(payload: usize, masked: bool) -> usize {
        let length = match payload {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        if masked { length + 4 } else { length }
    }

    /// The header of a frame that begins with the octet `first`.
    #[inline]
    pub(super) fn new(first: u8, payload: usize, key: Option<[u8; 4]>) -> Self {
        let mut octets = [0; HEADER_MAX];
        octets[0] = first;
        let mut at = match payload {
            0..=125 => {
                octets[1] = payload as u8;
                2
            }
            126..=0xffff => {
                octets[1] = 126;
                octets[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                octets[1] = 127;
                octets[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        if let Some(key) = key {
            octets[1] |= MASK;
            octets[at..at + 4].copy_from_slice(&key);
            at += 4;
        }
        Self { octets, len: at as u8 }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5.2: what is written is read, whole and cut, with the fewest octets of length.
    #[test]
    fn headers_round_trip() {
        for payload in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, usize::MAX >> 1] {
            for key in [None, Some([1, 2, 3, 4])] {
                let head = Head::new(FIN | 2, payload, key);
                assert_eq!(head.as_slice().len(), Head::size(payload, key.is_some()));
                let expect = Expect { masked: key.is_some(), within: false, reserved: 0 };
                for cut in 0..head.as_slice().len() {
                    assert_eq!(Header::read(&head.as_slice()[..cut], expect), Ok(None));
                }
                let header = Header::read(head.as_slice(), expect).unwrap().unwrap();
                assert_eq!(header.len, head.as_slice().len());
                assert_eq!((header.payload, header.key), (payload as u64, key.unwrap_or_default()));
                assert_eq!((header.opcode, header.fin, header.rsv1), (Opcode::Binary, true, false));
            }
        }
    }
}
