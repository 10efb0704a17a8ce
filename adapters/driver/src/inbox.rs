//! What was taken from a machine at once, and is read bit by bit.

use bytes::{Buf, Bytes};

/// Octets that were taken from a machine, and how many of them were read since it was last told.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    octets: Bytes,
    read: u64,
}

impl Inbox {
    /// Whether it has to be filled before anything can be read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// What comes next; nothing was left.
    pub(crate) fn fill(&mut self, octets: Bytes) {
        self.octets = octets;
    }

    /// Reads as much as there is and fits. The memory is given back with the last octet.
    pub(crate) fn read(&mut self, to: &mut [u8]) -> usize {
        let n = self.octets.len().min(to.len());
        self.octets.copy_to_slice(&mut to[..n]);
        self.read += n as u64;
        if self.octets.is_empty() {
            self.octets = Bytes::new();
        }
        n
    }

    /// How much was read since this was last asked.
    pub(crate) const fn take_read(&mut self) -> u64 {
        std::mem::replace(&mut self.read, 0)
    }
}
