//! Reading and writing the data types of §1.5, and whole packets.

use super::fault::Fault;
use super::{PacketId, PacketType, SendError, Version};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::topic::{TopicError, validate_topic};
use crate::varint::leb128;

/// The largest variable byte integer (§1.5.5), and so the largest remaining length.
pub const VARINT_MAX: u32 = 268_435_455;

/// The largest packet, in octets.
pub(super) const PACKET_MAX: u32 = 1 + VARINT_LEN as u32 + VARINT_MAX;

/// The longest variable byte integer, in octets.
const VARINT_LEN: usize = 4;

/// The longest string or binary data, in octets.
pub(super) const STRING_MAX: usize = 65_535;

/// The variable byte integer at the front of `bytes`; `Ok(None)` if it needs more octets.
///
/// [MQTT-1.5.5-1]: the shortest form is the only one.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, ()> {
    match leb128::decode(&bytes[..bytes.len().min(VARINT_LEN)]) {
        Ok(Some((value, n))) => Ok(Some((value as u32, n))), // four octets carry 28 bits
        Ok(None) if bytes.len() < VARINT_LEN => Ok(None),
        _ => Err(()),
    }
}

/// How many octets a variable byte integer takes.
#[inline]
pub(super) const fn varint_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Writes a variable byte integer to the front of `to`, octet by octet: nearly all have one or two. Returns
/// how many it took; at most [`VARINT_MAX`] can be written.
#[inline]
pub(super) const fn write_varint(mut value: u32, to: &mut [u8]) -> usize {
    let mut n = 0;
    while value >= 0x80 {
        to[n] = value as u8 | 0x80;
        (value, n) = (value >> 7, n + 1);
    }
    to[n] = value as u8;
    n + 1
}

/// A cursor over what follows a packet's fixed header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) packet: PacketType,
}

impl<'b> Reader<'b> {
    pub(super) const fn new(packet: PacketType, bytes: &'b [u8]) -> Self {
        Self { bytes, packet }
    }

    #[cold]
    pub(super) const fn malformed(&self, what: &'static str) -> Fault {
        Fault::Malformed { packet: self.packet, what }
    }

    #[cold]
    pub(super) const fn protocol(&self, what: &'static str) -> Fault {
        Fault::Protocol { packet: self.packet, what }
    }

    #[cold]
    const fn ends(&self) -> Fault {
        self.malformed("a field reaches beyond the packet")
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&'b [u8], Fault> {
        let Some((taken, rest)) = self.bytes.split_at_checked(n) else { return Err(self.ends()) };
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((taken, rest)) = self.bytes.split_first_chunk() else { return Err(self.ends()) };
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[octet]| octet)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u32, Fault> {
        match varint(self.bytes) {
            Ok(Some((value, n))) => {
                self.bytes = &self.bytes[n..];
                Ok(value)
            }
            Ok(None) => Err(self.ends()),
            Err(()) => {
                Err(self.malformed("a variable byte integer is not minimal, or has more than 4 octets"))
            }
        }
    }

    /// Binary data (§1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'b [u8], Fault> {
        let n = self.u16()?;
        self.take(n.into())
    }

    /// A string ([MQTT-1.5.4-1], [MQTT-1.5.4-2]; U+FEFF stays, [MQTT-1.5.4-3]).
    pub(super) fn string(&mut self) -> Result<&'b str, Fault> {
        let bytes = self.binary()?;
        let text = self.utf8(bytes)?;
        if memchr::memchr(0, bytes).is_some() {
            Err(self.malformed("a string holds U+0000"))
        } else {
            Ok(text)
        }
    }

    #[inline]
    fn utf8(&self, bytes: &'b [u8]) -> Result<&'b str, Fault> {
        // Nearly all are short and ASCII, where the first is several times as fast.
        if let Ok(ascii) = ascii::AsciiStr::from_ascii(bytes) {
            return Ok(ascii.as_str());
        }
        core::str::from_utf8(bytes).map_err(|_| self.malformed("a string is not UTF-8"))
    }

    /// A topic name ([MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-3.3.2-2]).
    #[inline]
    pub(super) fn topic(&mut self) -> Result<&'b str, Fault> {
        let bytes = self.binary()?;
        let name = self.utf8(bytes)?;
        match validate_topic(name) {
            Ok(()) => Ok(name),
            Err(error) => Err(self.bad_topic(error)),
        }
    }

    #[cold]
    fn bad_topic(&self, error: TopicError) -> Fault {
        let what = match error {
            TopicError::Nul { .. } => return self.malformed("a topic name holds U+0000"),
            TopicError::WildcardInName { .. } => "a topic name holds a wildcard",
            TopicError::Empty => "a topic name is empty",
            TopicError::TooManyLevels { .. } => "a topic name has more than 128 levels",
            _ => "not a valid topic name",
        };
        Fault::TopicName { packet: self.packet, what }
    }

    /// A packet identifier ([MQTT-2.2.1-3], [MQTT-2.3.1-1] in 3.1.1).
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, Fault> {
        let id = self.u16()?;
        PacketId::new(id).ok_or_else(|| self.protocol("the packet identifier is 0"))
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed("octets are left over")) }
    }
}

/// Takes the octets of a packet behind its fixed header: counts them, or writes them.
pub(super) trait Sink {
    /// Takes `bytes` as they are.
    fn bytes(&mut self, bytes: &[u8]);

    /// Takes `bytes`, by reference where it can.
    #[cfg(feature = "alloc")]
    fn shared(&mut self, bytes: &bytes::Bytes) {
        self.bytes(bytes);
    }

    /// The packet cannot be written.
    fn refuse(&mut self, _what: &'static str) {}

    /// Takes a string, which must hold no U+0000.
    fn string(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }

    #[inline]
    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn varint(&mut self, value: u32) {
        self.bytes(leb128::encode(u64::from(value), &mut [0; leb128::MAX_LEN]));
    }

    #[inline]
    fn binary(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16); // the count refuses what is longer
        self.bytes(bytes);
    }
}

/// Counts, and finds what cannot be written.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) len: usize,
    refused: Option<&'static str>,
}

impl Count {
    /// How much it was, if all of it can be written.
    pub(super) fn finish(self) -> Result<usize, SendError> {
        match self.refused {
            Some(what) => Err(SendError::Invalid(what)),
            None if self.len > VARINT_MAX as usize => {
                Err(SendError::TooLarge { size: self.len, limit: VARINT_MAX })
            }
            None => Ok(self.len),
        }
    }
}

impl Sink for Count {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
    }

    #[cold]
    fn refuse(&mut self, what: &'static str) {
        self.refused.get_or_insert(what);
    }

    fn string(&mut self, text: &str) {
        if memchr::memchr(0, text.as_bytes()).is_some() {
            self.refuse("a string holds U+0000");
        }
        self.binary(text.as_bytes());
    }

    #[inline]
    fn binary(&mut self, bytes: &[u8]) {
        if bytes.len() > STRING_MAX {
            self.refuse("a string or binary field has more than 65,535 octets");
        }
        self.len = self.len.saturating_add(2 + bytes.len());
    }

    #[inline]
    fn varint(&mut self, value: u32) {
        self.len += varint_len(value);
    }
}

/// How many octets are gathered: most small messages, whole.
const GATHER: usize = 128;

/// Gathers small pieces, so that a small packet is one `put`.
struct Gather<'o, O> {
    out: &'o mut O,
    memory: [u8; GATHER],
    len: usize,
}

impl<O: SendBuf> Gather<'_, O> {
    #[inline]
    fn flush(&mut self) {
        if self.len > 0 {
            self.out.put(&self.memory[..self.len]);
            self.len = 0;
        }
    }
}

impl<O: SendBuf> Sink for Gather<'_, O> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHER - self.len {
            self.flush();
            if bytes.len() > GATHER {
                return self.out.put(bytes);
            }
        }
        self.memory[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn shared(&mut self, bytes: &bytes::Bytes) {
        if bytes.len() <= GATHER - self.len {
            return self.bytes(bytes);
        }
        self.flush();
        self.out.put_shared(bytes);
    }
}

/// A packet that can be written.
pub(super) trait Body {
    /// The first octet: type and flags.
    fn first(&self) -> u8;

    /// What follows the fixed header.
    fn write(&self, version: Version, to: &mut impl Sink);

    /// The remaining length.
    fn size(&self, version: Version) -> Result<usize, SendError> {
        let mut count = Count::default();
        self.write(version, &mut count);
        count.finish()
    }
}

/// Writes the whole packet, if it has at most `limit` octets in all; or says why not, and writes nothing.
#[inline]
pub(super) fn put_packet(
    body: &impl Body,
    version: Version,
    limit: u32,
    out: &mut impl SendBuf,
) -> Result<(), SendError> {
    let size = body.size(version)?;
    let total = 1 + varint_len(size as u32) + size;
    if total > limit as usize {
        return Err(SendError::TooLarge { size: total, limit });
    }
    if total > out.room() {
        return Err(SendError::Blocked(Blocked));
    }
    out.begin(total);
    let mut to = Gather { out, memory: [0; GATHER], len: 0 };
    to.u8(body.first());
    to.varint(size as u32);
    body.write(version, &mut to);
    to.flush();
    Ok(())
}

/// How many octets the whole packet has.
pub(super) fn packet_len(body: &impl Body, version: Version) -> Result<usize, SendError> {
    let size = body.size(version)?;
    Ok(1 + varint_len(size as u32) + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §1.5.5, table 1-1, and [MQTT-1.5.5-1].
    #[test]
    fn variable_byte_integers_have_at_most_four_octets() {
        for (value, octets) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 1]),
            (VARINT_MAX, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            assert_eq!(varint(octets), Ok(Some((value, octets.len()))));
            assert_eq!(varint_len(value), octets.len());
            for cut in 0..octets.len() {
                assert_eq!(varint(&octets[..cut]), Ok(None));
            }
        }
        for bad in [&[0x80, 0][..], &[0xff, 0xff, 0xff, 0xff], &[0x80, 0x80, 0x80, 0x80, 1], &[0x81, 0x80, 0]]
        {
            assert_eq!(varint(bad), Err(()), "{bad:?}");
        }
    }
}
