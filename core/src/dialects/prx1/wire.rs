//! Fixed headers, and the fields of bodies.

use super::fault::Fault;
use super::packet::{Kind, PacketId};
use super::topic::{Filter, TopicError, validate_name, validate_topic};
use crate::buf::SendBuf;

/// The longest fixed header, in octets.
pub(super) const HEAD_MAX: usize = 5;

/// A fixed header, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The lower half of the first octet.
    pub(super) opts: u8,
    /// Octets of the header itself.
    pub(super) len: usize,
    /// Octets of the body.
    pub(super) size: u32,
}

impl Head {
    /// Reads the header at the front of `bytes`; nothing where it is not whole yet. What is wrong
    /// is told by the first octet that shows it.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let (code, opts) = (first >> 4, first & 0xf);
        let kind = Kind::from_code(code).ok_or(Fault::UnassignedCode(code))?;
        let mut size = 0;
        for (i, octet) in rest.iter().take(HEAD_MAX - 1).enumerate() {
            size |= u32::from(octet & 0x7f) << (7 * i);
            if octet & 0x80 == 0 {
                let limit = kind.max_body();
                if size > limit {
                    return Err(Fault::TooLarge { kind, size, limit });
                }
                return Ok(Some(Head { kind, opts, len: 2 + i, size }));
            }
        }
        if rest.len() < HEAD_MAX - 1 { Ok(None) } else { Err(Fault::LengthTooLong(kind)) }
    }

    /// Where the packet ends.
    pub(super) const fn end(&self) -> usize {
        self.len + self.size as usize
    }
}

/// A fixed header to be written: its octets, and how many they are. No packet has a `size` that takes
/// more than four.
pub(super) fn head(first: u8, mut size: u32) -> ([u8; HEAD_MAX], usize) {
    let mut octets = [first, 0, 0, 0, 0];
    let mut n = 1;
    while size >= 0x80 {
        octets[n] = size as u8 | 0x80;
        (size, n) = (size >> 7, n + 1);
    }
    octets[n] = size as u8;
    (octets, n + 1)
}

/// A cursor over the body of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b> {
    pub(super) kind: Kind,
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) const fn new(kind: Kind, body: &'b [u8]) -> Self {
        Self { kind, rest: body }
    }

    fn take(&mut self, n: usize, field: &'static str) -> Result<&'b [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(Fault::Truncated { kind: self.kind, field });
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Fault> {
        Ok(self.take(1, field)?[0])
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Fault> {
        let octets = self.take(2, field)?;
        Ok(u16::from_be_bytes([octets[0], octets[1]]))
    }

    pub(super) fn id(&mut self) -> Result<PacketId, Fault> {
        let id = self.u16("id")?;
        PacketId::new(id).ok_or(Fault::BadId { kind: self.kind, id })
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'b [u8], Fault> {
        let n = self.u16(field)?;
        self.take(usize::from(n), field)
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<&'b str, Fault> {
        let kind = self.kind;
        core::str::from_utf8(self.bytes(field)?).map_err(|_| Fault::NotUtf8 { kind, field })
    }

    /// The topic of a message, from either side.
    pub(super) fn name(&mut self, field: &'static str) -> Result<&'b str, Fault> {
        let name = self.string(field)?;
        validate_name(name).map_err(|error| self.bad_topic(field, error))?;
        Ok(name)
    }

    /// What a client names: a queue, or a topic to publish to.
    pub(super) fn topic(&mut self, field: &'static str) -> Result<&'b str, Fault> {
        let name = self.string(field)?;
        validate_topic(name).map_err(|error| self.bad_topic(field, error))?;
        Ok(name)
    }

    pub(super) fn filter(&mut self) -> Result<Filter<'b>, Fault> {
        Filter::parse(self.string("topic")?).map_err(|error| self.bad_topic("topic", error))
    }

    const fn bad_topic(&self, field: &'static str, error: TopicError) -> Fault {
        Fault::BadTopic { kind: self.kind, field, error }
    }

    pub(super) const fn bad_value(&self, field: &'static str, value: u16) -> Fault {
        Fault::BadValue { kind: self.kind, field, value }
    }

    pub(super) const fn end(self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Fault::LeftOver { kind: self.kind, octets: self.rest.len() as u32 })
    }
}

/// Where a body is written: once to count its octets, once into the buffer.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// `bytes` has at most 65,535 octets, which [`Packet::encode`](super::Packet::encode) checks.
    fn bytes(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16);
        self.put(bytes);
    }
}

/// Counts octets.
pub(super) struct Counter(pub(super) usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes octets, for which there is room.
pub(super) struct Into<'o, B>(pub(super) &'o mut B);

impl<B: SendBuf> Sink for Into<'_, B> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_refused_at_the_octet_that_shows_it() {
        for code in [0, 3, 15] {
            assert_eq!(Head::read(&[code << 4]).unwrap_err(), Fault::UnassignedCode(code));
        }
        assert_eq!(Head::read(&[0xb0, 0xff, 0xff, 0xff]).unwrap().map(|h| h.size), None);
        let fault = Head::read(&[0xb0, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
        assert_eq!(fault, Fault::LengthTooLong(Kind::Publish));
        let fault = Head::read(&[0x60, 3]).unwrap_err();
        assert_eq!(fault, Fault::TooLarge { kind: Kind::PubAck, size: 3, limit: 2 });
        let fault = Head::read(&[0xb0, 0xff, 0xff, 0xff, 0x7f]).unwrap_err();
        assert!(matches!(fault, Fault::TooLarge { size: 0xfff_ffff, .. }));
        // A length in more octets than it needs is a length.
        assert_eq!(Head::read(&[0xb0, 0x89, 0x80, 0]).unwrap().map(|h| (h.len, h.size)), Some((4, 9)));
    }

    proptest! {
        #[test]
        fn headers_read_as_they_are_written(size in 0..=Kind::Queue.max_body(), opts in 0..16u8) {
            let (octets, n) = head(Kind::Queue.code() << 4 | opts, size);
            let read = Head::read(&octets[..n]).unwrap().unwrap();
            prop_assert_eq!((read.kind, read.opts, read.len, read.size), (Kind::Queue, opts, n, size));
            prop_assert!(Head::read(&octets[..n - 1]).unwrap().is_none());
        }
    }
}
