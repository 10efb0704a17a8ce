//! Buffers that grow, and share large payloads: the `alloc` tier.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{RecvBuf, SendBuf};

/// A [`RecvBuf`] that grows with what was received, never with what a peer announced.
///
/// An empty one owns no memory until it is read into, and [`release`](Self::release) gives the
/// memory back, so an idle connection costs nothing here.
#[derive(Debug)]
pub struct GrowingRecvBuf {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
}

impl GrowingRecvBuf {
    /// An empty buffer that grows up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { memory: Vec::new(), start: 0, end: 0, limit }
    }

    /// Room behind what is filled, at least one byte and where the limit allows at least `min`.
    ///
    /// Grows by doubling, so the cost of a frame of n bytes is O(n) however it is cut. Empty only
    /// when [`limit`](RecvBuf::limit) bytes wait unconsumed.
    pub fn spare(&mut self, min: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.memory.len() - self.end < min && self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.memory.len() - self.end < min {
            let wanted = (self.end + min).max(self.memory.len() * 2).min(self.limit);
            if wanted > self.memory.len() {
                self.memory.resize(wanted, 0);
            }
        }
        &mut self.memory[self.end..]
    }

    /// Says that the first `n` bytes of [`spare`](Self::spare) have been filled.
    pub fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.memory.len());
    }

    /// Copies all of `bytes` in, as far as the limit allows, and returns how many that were.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare(bytes.len());
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.commit(n);
        n
    }

    /// Gives the memory back where nothing waits in it; the caller may lend it to the next reader.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        if self.start < self.end || self.memory.capacity() == 0 {
            return None;
        }
        (self.start, self.end) = (0, 0);
        Some(core::mem::take(&mut self.memory))
    }

    /// Lends `memory` to an empty buffer that owns none, its whole length to be read into; gives it
    /// back otherwise.
    pub fn lend(&mut self, memory: Vec<u8>) -> Option<Vec<u8>> {
        if self.memory.capacity() > 0 || memory.len() > self.limit {
            return Some(memory);
        }
        self.memory = memory;
        None
    }

    /// Bytes of memory this buffer owns now.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.capacity()
    }
}

impl RecvBuf for GrowingRecvBuf {
    #[inline]
    fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    #[inline]
    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    #[inline]
    fn truncate(&mut self, n: usize) {
        self.end = self.end.min(self.start.saturating_add(n));
    }

    #[inline]
    fn take(&mut self, n: usize) -> &[u8] {
        let at = self.start;
        self.start = at.saturating_add(n).min(self.end);
        &self.memory[at..self.start]
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

/// A [`SendBuf`] that copies small pieces together and keeps large ones by reference, for one
/// vectored write.
///
/// ```
/// use bowline_core::buf::{SendBuf, SharedSendBuf};
/// use bytes::Bytes;
/// let mut buf = SharedSendBuf::new(1 << 20);
/// buf.put(b"head");
/// buf.put_shared(&Bytes::from(vec![7; 100_000]));
/// assert_eq!((buf.len(), buf.slices().count()), (100_004, 2));
/// buf.sent(50_000); // the transport took that much
/// assert_eq!((buf.len(), buf.slices().count()), (50_004, 1));
/// ```
#[derive(Debug)]
pub struct SharedSendBuf {
    /// Copied bytes; `sent` of them are gone.
    copied: Vec<u8>,
    /// Large pieces, each behind the copied bytes up to an offset of `copied`.
    shared: VecDeque<(usize, Bytes)>,
    sent: usize,
    len: usize,
    limit: usize,
}

impl SharedSendBuf {
    /// From this many bytes on, a shared piece is kept by reference; below, a copy is cheaper than
    /// one more element in the write's vector.
    pub const SHARE_FROM: usize = 4096;

    /// An empty buffer that takes up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { copied: Vec::new(), shared: VecDeque::new(), sent: 0, len: 0, limit }
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What waits, in order, as the pieces of a vectored write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.sent;
        let middle = self.shared.iter().flat_map(move |(offset, bytes)| {
            let before = &self.copied[at..*offset];
            at = *offset;
            [before, &bytes[..]]
        });
        let tail = self.shared.back().map_or(self.sent, |(offset, _)| *offset);
        middle.chain(core::iter::once(&self.copied[tail..])).filter(|s| !s.is_empty())
    }

    /// Says that the transport took the first `n` waiting bytes.
    pub fn sent(&mut self, n: usize) {
        let mut n = n.min(self.len);
        self.len -= n;
        while let Some((offset, bytes)) = self.shared.front_mut() {
            let before = *offset - self.sent;
            if n < before {
                break;
            }
            (self.sent, n) = (*offset, n - before);
            if n < bytes.len() {
                let _ = bytes.split_to(n);
                n = 0;
                break;
            }
            n -= bytes.len();
            self.shared.pop_front();
        }
        self.sent += n;
        if self.len == 0 {
            self.copied.clear();
            self.sent = 0;
        }
    }

    /// Drops sent bytes once they outweigh what waits, so that a reader who is always a little
    /// behind does not make the buffer grow for ever; each byte moves O(1) times.
    #[inline]
    fn compact(&mut self) {
        if self.sent > Self::SHARE_FROM && self.sent > self.copied.len() / 2 {
            self.move_to_front();
        }
    }

    #[cold]
    fn move_to_front(&mut self) {
        self.copied.drain(..self.sent);
        for (offset, _) in &mut self.shared {
            *offset -= self.sent;
        }
        self.sent = 0;
    }

    /// Gives the memory back where nothing waits; the caller may lend it to the next writer.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        if self.len > 0 || self.copied.capacity() == 0 {
            return None;
        }
        self.shared = VecDeque::new();
        Some(core::mem::take(&mut self.copied))
    }

    /// Lends `memory` to an empty buffer that owns none; gives it back otherwise.
    pub fn lend(&mut self, mut memory: Vec<u8>) -> Option<Vec<u8>> {
        if self.copied.capacity() > 0 {
            return Some(memory);
        }
        memory.clear();
        self.copied = memory;
        None
    }

    /// Bytes of memory this buffer owns now, without shared pieces.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.copied.capacity() + self.shared.capacity() * size_of::<(usize, Bytes)>()
    }
}

impl SendBuf for SharedSendBuf {
    #[inline]
    fn room(&self) -> usize {
        self.limit - self.len.min(self.limit)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "a machine must ask for room first");
        if bytes.len() > self.room() {
            return;
        }
        self.compact();
        self.copied.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < Self::SHARE_FROM || bytes.len() > self.room() {
            return self.put(bytes);
        }
        self.shared.push_back((self.copied.len(), bytes.clone()));
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn receive_grows_to_its_limit_and_gives_back() {
        let mut buf = GrowingRecvBuf::new(10);
        assert_eq!((buf.memory(), buf.limit()), (0, 10));
        assert_eq!(buf.push(&[1; 7]), 7);
        assert!(buf.release().is_none(), "bytes wait");
        buf.take(6);
        assert_eq!(buf.push(&[2; 20]), 9);
        assert_eq!(buf.filled(), [&[1][..], &[2; 9]].concat());
        buf.take(10);
        let memory = buf.release().unwrap();
        assert_eq!(buf.memory(), 0);
        assert!(buf.lend(memory).is_none());
        assert_eq!(buf.spare(1).len(), 10);
    }

    proptest! {
        /// Whatever is put, shared or copied, and however it is taken, the bytes are the same.
        #[test]
        fn bytes_leave_in_order(
            puts in prop::collection::vec((any::<bool>(), 0usize..6000), 0..12),
            takes in prop::collection::vec(1usize..5000, 1..40),
        ) {
            let mut buf = SharedSendBuf::new(usize::MAX);
            let (mut want, mut got) = (Vec::new(), Vec::new());
            let mut takes = takes.iter().cycle();
            for (i, (shared, n)) in puts.iter().enumerate() {
                let piece: Vec<u8> = (0..*n).map(|j| (i * 31 + j) as u8).collect();
                want.extend_from_slice(&piece);
                if *shared { buf.put_shared(&Bytes::from(piece)) } else { buf.put(&piece) }
                take(&mut buf, *takes.next().unwrap(), &mut got);
            }
            while !buf.is_empty() {
                take(&mut buf, *takes.next().unwrap(), &mut got);
            }
            prop_assert_eq!(want, got);
        }
    }

    fn take(buf: &mut SharedSendBuf, n: usize, got: &mut Vec<u8>) {
        let all: Vec<u8> = buf.slices().flatten().copied().collect();
        assert_eq!(all.len(), buf.len());
        let n = n.min(all.len());
        got.extend_from_slice(&all[..n]);
        buf.sent(n);
    }

    #[test]
    fn a_reader_always_behind_does_not_grow_the_buffer() {
        let mut buf = SharedSendBuf::new(1 << 20);
        buf.put(&[1; 1000]);
        for _ in 0..10_000 {
            buf.put(&[2; 1000]);
            buf.sent(1000);
        }
        assert_eq!(buf.len(), 1000);
        assert!(buf.memory() < 64 << 10, "{}", buf.memory());
    }

    #[test]
    fn send_refuses_beyond_its_limit() {
        let mut buf = SharedSendBuf::new(4);
        buf.put(b"abc");
        assert_eq!(buf.room(), 1);
        assert_eq!(buf.slices().collect::<Vec<_>>(), vec![b"abc"]);
    }
}
