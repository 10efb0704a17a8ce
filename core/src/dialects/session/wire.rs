//! Reading bodies and writing frames: the types of SPEC §1.

use ascii::AsciiStr;

use super::fault::Broken;
use super::frame::{HEAD_MAX, Kind};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::topic;
use crate::varint::leb128;

/// The largest `varint` (TYP-2).
pub const VARINT_MAX: u64 = (1 << 63) - 1;

/// A cursor over a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Broken> {
        let [first, rest @ ..] = self.0 else { return Err(ENDS) };
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        match leb128::decode(self.0) {
            Ok(Some((value, n))) => {
                self.0 = &self.0[n..];
                Ok(value)
            }
            Ok(None) => Err(ENDS),
            Err(_) => Err(Broken::Malformed("a number is not minimal, or has more than 9 octets")),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&'b [u8], Broken> {
        if n > self.0.len() {
            return Err(ENDS);
        }
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    #[inline]
    /// All that is left, which is so many octets.
    pub(super) fn whole<const N: usize>(mut self) -> Result<[u8; N], Broken> {
        let octets = self.array()?;
        self.end()?;
        Ok(octets)
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Broken> {
        let n = self.varint()?;
        self.take(usize::try_from(n).map_err(|_| ENDS)?)
    }

    pub(super) fn string(&mut self) -> Result<&'b str, Broken> {
        string(self.bytes()?)
    }

    #[inline(always)]
    pub(super) fn topic(&mut self) -> Result<&'b str, Broken> {
        let bytes = self.bytes()?;
        // Nearly all are short and ASCII, where this is several times as fast.
        let name = match AsciiStr::from_ascii(bytes) {
            Ok(ascii) => ascii.as_str(),
            Err(_) => str_of(bytes)?,
        };
        match topic::validate_topic(name) {
            Ok(()) => Ok(name),
            Err(topic::TopicError::Nul { .. }) => Err(NUL),
            Err(_) => Err(Broken::InvalidTopic("not a valid topic name")),
        }
    }

    /// A reason (END-5).
    pub(super) fn reason(&mut self) -> Result<&'b str, Broken> {
        match self.string()? {
            long if long.len() > super::REASON_MAX => {
                Err(Broken::Malformed("a reason has more than 512 octets"))
            }
            reason => Ok(reason),
        }
    }

    #[inline]
    pub(super) fn rest(&mut self) -> &'b [u8] {
        core::mem::take(&mut self.0)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken::Malformed("octets are left over")) }
    }
}

const ENDS: Broken = Broken::Malformed("a field reaches beyond the frame");
const NUL: Broken = Broken::Malformed("a string holds U+0000");

#[inline]
fn str_of(bytes: &[u8]) -> Result<&str, Broken> {
    core::str::from_utf8(bytes).map_err(|_| Broken::Malformed("a string is not UTF-8"))
}

/// A `string` (TYP-3).
pub(super) fn string(bytes: &[u8]) -> Result<&str, Broken> {
    let s = str_of(bytes)?;
    if s.bytes().any(|b| b == 0) { Err(NUL) } else { Ok(s) }
}

/// A value that is one `varint` and nothing else (PAR-3).
pub(super) fn number(value: &[u8]) -> Result<u64, Broken> {
    let mut r = Reader(value);
    let n = r.varint()?;
    r.end()?;
    Ok(n)
}

/// Where a body is written: once to count its octets, once into the buffer.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn varint(&mut self, value: u64) {
        let mut memory = [0; 9];
        self.put(leb128::encode(value.min(VARINT_MAX), &mut memory));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.put(bytes);
    }

    /// A parameter whose value is a number.
    fn parameter(&mut self, id: u64, value: u64) {
        self.varint(id);
        self.varint(leb128::encoded_len(value.min(VARINT_MAX)) as u64);
        self.varint(value);
    }
}

#[derive(Default)]
struct Counter(usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

struct Into<'o, B>(&'o mut B);

impl<B: SendBuf> Sink for Into<'_, B> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }
}

/// A body that can be written.
pub(super) trait Body {
    fn write(&self, to: &mut dyn Sink);

    fn size(&self) -> usize {
        let mut count = Counter::default();
        self.write(&mut count);
        count.0
    }
}

impl<F: Fn(&mut dyn Sink)> Body for F {
    fn write(&self, to: &mut dyn Sink) {
        self(to);
    }
}

/// A head and size, in memory of their own.
pub(super) struct HeadBytes([u8; HEAD_MAX], usize);

impl HeadBytes {
    #[inline]
    pub(super) fn new(kind: Kind, flags: u8, size: usize) -> Self {
        let mut memory = [0; HEAD_MAX];
        memory[0] = kind.head(flags);
        let mut number = [0; 9];
        let size = leb128::encode(size as u64, &mut number);
        memory[1..=size.len()].copy_from_slice(size);
        Self(memory, 1 + size.len())
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// Puts a whole frame, or nothing.
pub(super) fn put_frame(
    out: &mut impl SendBuf,
    kind: Kind,
    flags: u8,
    size: usize,
    body: &(impl Body + ?Sized),
) -> Result<(), Blocked> {
    let head = HeadBytes::new(kind, flags, size);
    if out.room() < head.as_slice().len() + size {
        return Err(Blocked);
    }
    out.begin(head.as_slice().len() + size);
    out.put(head.as_slice());
    body.write(&mut Into(out));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::SliceSendBuf;

    #[test]
    fn a_frame_is_put_whole_or_not_at_all() {
        let body = |to: &mut dyn Sink| to.bytes(b"abc");
        let mut memory = [0; 6];
        for room in 0..6 {
            let mut out = SliceSendBuf::new(&mut memory[..room]);
            assert_eq!(put_frame(&mut out, Kind::Auth, 0, body.size(), &body), Err(Blocked));
            assert_eq!(out.pending(), b"");
        }
        let mut out = SliceSendBuf::new(&mut memory);
        put_frame(&mut out, Kind::Auth, 0, body.size(), &body).unwrap();
        assert_eq!(out.pending(), b"\x08\x04\x03abc");
    }

    #[test]
    fn reads_never_reach_beyond_the_body() {
        assert_eq!(Reader(&[5, 1, 2]).bytes(), Err(ENDS));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).bytes(), Err(ENDS));
        assert_eq!(Reader(&[]).u8(), Err(ENDS));
        assert!(matches!(Reader(&[0x80, 0]).varint(), Err(Broken::Malformed(_))));
        assert_eq!(Reader(&[2, b'a', 0]).string(), Err(NUL));
    }
}
