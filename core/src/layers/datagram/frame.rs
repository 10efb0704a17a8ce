//! What is inside a packet: frames, one behind the other.

use alloc::vec::Vec;
use core::ops::Range;

use super::ecn::Counts;
use super::ranges::Ranges;
use crate::varint::leb128;

pub(super) const PADDING: u8 = 0x00;
pub(super) const PING: u8 = 0x01;
pub(super) const ACK: u8 = 0x02;
pub(super) const WINDOW: u8 = 0x03;
pub(super) const CID: u8 = 0x04;
pub(super) const RETIRE: u8 = 0x05;
pub(super) const CHALLENGE: u8 = 0x06;
pub(super) const RESPONSE: u8 = 0x07;
/// With [`FIN`] and [`LEN`].
pub(super) const STREAM: u8 = 0x08;
pub(super) const UNRELIABLE: u8 = 0x0c;
pub(super) const SEQUENCED: u8 = 0x0d;
pub(super) const CLOSE: u8 = 0x0e;
/// ACK, with how many packets came marked.
pub(super) const ACK_ECN: u8 = 0x0f;

/// STREAM: the piece is the stream's last.
pub(super) const FIN: u8 = 1;
/// STREAM: the piece has a length; without it goes to the packet's end.
pub(super) const LEN: u8 = 2;

/// An ACK names so many ranges at most.
pub(super) const MAX_ACK_RANGES: usize = 32;
/// A reason has so many octets at most.
pub(super) const MAX_REASON: usize = 512;

/// One frame of a packet that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Padding,
    Ping,
    Ack { largest: u64, delay_us: u64, ranges: AckRanges<'a>, marked: Option<Counts> },
    Window { limit: u64 },
    Cid { sequence: u64, cid: [u8; 8] },
    Retire { sequence: u64 },
    Challenge([u8; 8]),
    Response([u8; 8]),
    Stream { offset: u64, fin: bool, data: &'a [u8] },
    Unreliable(&'a [u8]),
    Sequenced { channel: u8, data: &'a [u8] },
    Close { code: u64, reason: &'a [u8] },
}

impl Frame<'_> {
    /// Whether its receiver is to acknowledge it.
    pub(super) const fn is_eliciting(&self) -> bool {
        !matches!(self, Self::Padding | Self::Ack { .. } | Self::Close { .. })
    }

    /// Whether it may come on a path that its sender only tries (RFC 9000 §9.1).
    pub(super) const fn is_probing(&self) -> bool {
        matches!(self, Self::Padding | Self::Challenge(_) | Self::Response(_) | Self::Cid { .. })
    }
}

/// A packet's content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The frames of a packet, up to the first that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    pub(super) const fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        match leb128::decode(self.0) {
            Ok(Some((value, n))) => {
                self.0 = &self.0[n..];
                Ok(value)
            }
            _ => Err(Malformed),
        }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], Malformed> {
        let n = usize::try_from(n).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.varint()?;
        self.take(n)
    }

    fn ack(&mut self, kind: u8) -> Result<Frame<'a>, Malformed> {
        let (largest, delay_us, more) = (self.varint()?, self.varint()?, self.varint()?);
        let before = self.0;
        let mut low = largest.checked_sub(self.varint()?).ok_or(Malformed)?;
        for _ in 0..more {
            let gap = self.varint()?;
            let len = self.varint()?;
            low = low.checked_sub(gap).and_then(|n| n.checked_sub(2 + len)).ok_or(Malformed)?;
        }
        let rest = Self(&before[..before.len() - self.0.len()]);
        let marked = match kind {
            ACK_ECN => Some(Counts { ect0: self.varint()?, ce: self.varint()? }),
            _ => None,
        };
        Ok(Frame::Ack { largest, delay_us, ranges: AckRanges { rest, end: largest + 1 }, marked })
    }

    fn stream(&mut self, kind: u8) -> Result<Frame<'a>, Malformed> {
        let offset = self.varint()?;
        let data = if kind & LEN == 0 { core::mem::take(&mut self.0) } else { self.bytes()? };
        offset.checked_add(data.len() as u64).filter(|end| *end <= leb128::MAX).ok_or(Malformed)?;
        Ok(Frame::Stream { offset, fin: kind & FIN != 0, data })
    }

    fn frame(&mut self) -> Result<Frame<'a>, Malformed> {
        Ok(match self.octet()? {
            PADDING => {
                let zeros = self.0.iter().take_while(|octet| **octet == 0).count();
                self.0 = &self.0[zeros..];
                Frame::Padding
            }
            PING => Frame::Ping,
            kind @ (ACK | ACK_ECN) => self.ack(kind)?,
            WINDOW => Frame::Window { limit: self.varint()? },
            CID => Frame::Cid { sequence: self.varint()?, cid: self.eight()? },
            RETIRE => Frame::Retire { sequence: self.varint()? },
            CHALLENGE => Frame::Challenge(self.eight()?),
            RESPONSE => Frame::Response(self.eight()?),
            kind @ STREAM..UNRELIABLE => self.stream(kind)?,
            UNRELIABLE => Frame::Unreliable(self.bytes()?),
            SEQUENCED => Frame::Sequenced { channel: self.octet()?, data: self.bytes()? },
            CLOSE => {
                let (code, reason) = (self.varint()?, self.bytes()?);
                if reason.len() > MAX_REASON {
                    return Err(Malformed);
                }
                Frame::Close { code, reason }
            }
            _ => return Err(Malformed),
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let frame = self.frame();
        if frame.is_err() {
            self.0 = &[];
        }
        Some(frame)
    }
}

/// The ranges of an ACK, which were checked to be numbers; from the largest down.
#[derive(Clone, Debug)]
pub(super) struct AckRanges<'a> {
    rest: Frames<'a>,
    /// One above the next range's numbers, before its gap.
    end: u64,
}

impl PartialEq for AckRanges<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl Eq for AckRanges<'_> {}

impl Iterator for AckRanges<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let len = self.rest.varint().ok()?;
        let range = self.end.checked_sub(len + 1)?..self.end;
        // What separates it from the next is read with it.
        let gap = self.rest.varint().unwrap_or(0);
        self.end = range.start.saturating_sub(gap + 1);
        Some(range)
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(leb128::encode(value, &mut [0; leb128::MAX_LEN]));
}

/// How many octets a varint takes.
pub(super) const fn varint_len(value: u64) -> usize {
    match value {
        0 => 1,
        n => (n.ilog2() / 7 + 1) as usize,
    }
}

/// Writes an ACK of the numbers in `received` within `room` octets, the largest first; with what came `marked`, if
/// anything did. Says whether it fit.
pub(super) fn put_ack(
    out: &mut Vec<u8>,
    received: &Ranges,
    marked: Counts,
    delay_us: u64,
    room: usize,
) -> bool {
    let Some(end) = received.end() else { return false };
    let mut ranges = [(0u64, 0u64); MAX_ACK_RANGES];
    let mut count = 0;
    let tail = if marked.any() { varint_len(marked.ect0) + varint_len(marked.ce) } else { 0 };
    let mut size = 1 + varint_len(end) + varint_len(delay_us) + 1 + tail;
    let mut low = end;
    for (at, range) in received.iter().rev().take(MAX_ACK_RANGES).enumerate() {
        let gap = if at == 0 { 0 } else { low - range.end - 1 };
        let len = range.end - range.start - 1;
        size += varint_len(len) + if at == 0 { 0 } else { varint_len(gap) };
        if size > room {
            break;
        }
        ranges[at] = (gap, len);
        (count, low) = (at + 1, range.start);
    }
    if count == 0 {
        return false;
    }
    out.push(if marked.any() { ACK_ECN } else { ACK });
    put_varint(out, end - 1);
    put_varint(out, delay_us);
    put_varint(out, count as u64 - 1);
    for (at, (gap, len)) in ranges[..count].iter().enumerate() {
        if at > 0 {
            put_varint(out, *gap);
        }
        put_varint(out, *len);
    }
    if marked.any() {
        put_varint(out, marked.ect0);
        put_varint(out, marked.ce);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nothing that is received can do harm, and an ACK that is read descends without overlap.
        #[test]
        fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            for frame in Frames::new(&octets) {
                if let Ok(Frame::Ack { largest, ranges, .. }) = frame {
                    let mut end = largest + 2;
                    for range in ranges {
                        prop_assert!(range.start < range.end && range.end < end);
                        end = range.start;
                    }
                }
            }
        }

        /// What an ACK says is what was received, the newest of it where there is no room for all.
        #[test]
        fn an_ack_says_what_was_received(
            numbers in prop::collection::vec(0..500u64, 1..120),
            room in 12..200usize,
            marked in prop::option::of((0..300u64, 1..300u64)),
        ) {
            let mut received = Ranges::new();
            for n in numbers {
                received.insert(n..n + 1);
            }
            let mut out = Vec::new();
            let marked = marked.map(|(ect0, ce)| Counts { ect0, ce });
            let fits = put_ack(&mut out, &received, marked.unwrap_or_default(), 77, room);
            prop_assert!(fits && out.len() <= room);
            let mut frames = Frames::new(&out);
            let Some(Ok(Frame::Ack { largest, delay_us, ranges, marked: told })) = frames.next() else {
                panic!("{out:?}");
            };
            prop_assert!(frames.next().is_none());
            prop_assert_eq!((largest + 1, delay_us, told), (received.end().unwrap(), 77, marked));
            let said: Vec<_> = ranges.collect();
            let newest: Vec<_> = received.iter().rev().take(said.len()).cloned().collect();
            prop_assert!(room < 150 || said.len() == received.len().min(MAX_ACK_RANGES));
            prop_assert_eq!(said, newest);
        }
    }
}
