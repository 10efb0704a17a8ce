//! Buffers, owned by the caller: the transport reads straight into a [`RecvBuf`] and writes
//! straight out of a [`SendBuf`]; the machines in between keep ranges, never references.
//!
//! | tier | received bytes | bytes to send |
//! |---|---|---|
//! | slices, no allocator | [`SliceRecvBuf`] | [`SliceSendBuf`] |
//! | growing and shared (`alloc`) | [`GrowingRecvBuf`] | [`SharedSendBuf`] |

#[cfg(feature = "alloc")]
mod growing;

#[cfg(feature = "alloc")]
pub use growing::{GrowingRecvBuf, SharedSendBuf};

/// Received bytes that wait for a machine.
pub trait RecvBuf {
    /// What has been received and not yet consumed.
    fn filled(&self) -> &[u8];

    /// The same bytes, for a layer that decodes them where they are.
    fn filled_mut(&mut self) -> &mut [u8];

    /// Keeps the first `n` bytes of [`filled`](RecvBuf::filled) and forgets those behind them, which a
    /// layer has consumed where they were; nothing where no more than `n` are filled.
    fn truncate(&mut self, n: usize);

    /// Consumes the first `n` bytes of [`filled`](RecvBuf::filled) and returns them.
    ///
    /// At most what is filled is consumed: a larger `n` takes all.
    fn take(&mut self, n: usize) -> &[u8];

    /// How many bytes this buffer could ever hold at once. A frame larger than this can never
    /// become whole, so a machine refuses it as soon as it is announced.
    fn limit(&self) -> usize;
}

/// Where a machine puts what is to be sent.
pub trait SendBuf {
    /// How many more bytes this buffer takes now.
    fn room(&self) -> usize;

    /// Appends `bytes`. The machines ask [`room`](SendBuf::room) before, for a whole frame at once;
    /// an implementation without room for all of `bytes` takes none of them.
    fn put(&mut self, bytes: &[u8]);

    /// Says that the next `length` bytes belong together, as one frame or packet, whatever number of
    /// [`put`](SendBuf::put)s brings them. A layer that frames what it carries makes one frame of them;
    /// within such a unit it means nothing.
    #[inline]
    fn begin(&mut self, length: usize) {
        let _ = length;
    }

    /// Appends `bytes` by reference where the implementation can, else copies them.
    #[cfg(feature = "alloc")]
    fn put_shared(&mut self, bytes: &bytes::Bytes) {
        self.put(bytes);
    }
}

/// A [`RecvBuf`] over a slice that the caller lends.
///
/// ```
/// use bowline_core::buf::{RecvBuf, SliceRecvBuf};
/// let mut memory = [0; 8];
/// let mut buf = SliceRecvBuf::new(&mut memory);
/// buf.spare()[..3].copy_from_slice(b"abc"); // a transport reads into `spare`
/// buf.commit(3);
/// assert_eq!(buf.take(2), b"ab");
/// assert_eq!(buf.filled(), b"c");
/// ```
#[derive(Debug)]
pub struct SliceRecvBuf<'a> {
    memory: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> SliceRecvBuf<'a> {
    /// An empty buffer in `memory`.
    #[must_use]
    pub fn new(memory: &'a mut [u8]) -> Self {
        Self { memory, start: 0, end: 0 }
    }

    /// The room behind what is filled, moved to the front first where that makes room.
    ///
    /// Empty only when the buffer is full of unconsumed bytes.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.end == self.memory.len() {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.memory[self.end..]
    }

    /// Says that the first `n` bytes of [`spare`](Self::spare) have been filled.
    pub fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.memory.len());
    }

    /// Copies as much of `bytes` as fits and returns how many that were.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.commit(n);
        n
    }
}

impl RecvBuf for SliceRecvBuf<'_> {
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
        self.memory.len()
    }
}

/// A [`SendBuf`] over a slice that the caller lends.
///
/// ```
/// use bowline_core::buf::{SendBuf, SliceSendBuf};
/// let mut memory = [0; 4];
/// let mut buf = SliceSendBuf::new(&mut memory);
/// buf.put(b"abc");
/// assert_eq!((buf.pending(), buf.room()), (&b"abc"[..], 1));
/// buf.sent(2); // the transport took two bytes
/// assert_eq!((buf.pending(), buf.room()), (&b"c"[..], 3));
/// ```
#[derive(Debug)]
pub struct SliceSendBuf<'a> {
    memory: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> SliceSendBuf<'a> {
    /// An empty buffer in `memory`.
    #[must_use]
    pub fn new(memory: &'a mut [u8]) -> Self {
        Self { memory, start: 0, end: 0 }
    }

    /// What waits to be sent.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Says that the transport took the first `n` pending bytes.
    pub fn sent(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

impl SendBuf for SliceSendBuf<'_> {
    #[inline]
    fn room(&self) -> usize {
        self.memory.len() - (self.end - self.start)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "a machine must ask for room first");
        if bytes.len() > self.room() {
            return;
        }
        if self.memory.len() - self.end < bytes.len() {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.memory[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive_wraps_to_the_front_only_when_it_must() {
        let mut memory = [0; 4];
        let mut buf = SliceRecvBuf::new(&mut memory);
        assert_eq!(buf.push(b"abcdef"), 4);
        assert_eq!(buf.take(3), b"abc");
        assert_eq!(buf.push(b"ef"), 2);
        assert_eq!(buf.filled(), b"def");
        assert_eq!(buf.take(99), b"def");
        assert_eq!(buf.spare().len(), 4);
    }

    #[test]
    fn what_was_received_is_changed_and_forgotten_where_it_is() {
        let mut memory = [0; 6];
        let mut buf = SliceRecvBuf::new(&mut memory);
        buf.push(b"abcdef");
        buf.take(1);
        buf.filled_mut()[0] = b'B';
        buf.truncate(9);
        assert_eq!(buf.filled(), b"Bcdef");
        buf.truncate(2);
        assert_eq!(buf.filled(), b"Bc");
        assert_eq!(buf.push(b"xyz"), 3);
        assert_eq!(buf.filled(), b"Bcxyz");
    }

    #[test]
    fn send_compacts_to_take_what_it_promised() {
        let mut memory = [0; 4];
        let mut buf = SliceSendBuf::new(&mut memory);
        buf.put(b"abc");
        buf.sent(2);
        assert_eq!(buf.room(), 3);
        buf.put(b"def");
        assert_eq!(buf.pending(), b"cdef");
        buf.sent(99);
        assert_eq!((buf.pending(), buf.room()), (&b""[..], 4));
    }
}
