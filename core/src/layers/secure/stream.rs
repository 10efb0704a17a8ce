//! Records: what a stream of octets is cut into.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use snow::TransportState;

use super::{SecureError, TAG};
use crate::time::Instant;

/// What a record is longer by than what it holds: its length and the tag, in octets.
pub const RECORD_OVERHEAD: usize = LENGTH + TAG;

/// The most that one record holds, in octets.
pub const RECORD_MAX: usize = 65_535 - TAG;

/// Octets of a record's length.
pub(super) const LENGTH: usize = 2;

/// The most octets of records that may come under one key (SEC-12).
const KEY_OCTETS_MAX: u64 = 1 << 30;

/// When a direction goes on to its next key. The other side sees it on the wire (SEC-11), so that sides may
/// differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey {
    /// After so many octets of records at the latest; more than 2^30 count as that.
    pub octets: u64,
    /// With the first record that is written when the key is so old. Nothing is sent for it alone.
    pub every: Duration,
}

impl Default for Rekey {
    /// 64 MiB, 120 s.
    fn default() -> Self {
        Self { octets: 64 << 20, every: Duration::from_secs(120) }
    }
}

/// Seals what goes to the other side of a stream and opens what comes from there, each record once and in
/// order.
pub struct StreamCipher {
    noise: Box<TransportState>,
    rekey: Rekey,
    /// Octets of records under the present keys, out and in.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Since when there is the present key for what goes out: since the first record.
    since: Option<Instant>,
}

impl fmt::Debug for StreamCipher {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCipher")
            .field("sent", &self.sent)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl StreamCipher {
    pub(super) fn new(noise: TransportState) -> Self {
        Self { noise: Box::new(noise), rekey: Rekey::default(), sent: 0, received: 0, since: None }
    }

    /// Sets when this side goes on to its next key.
    pub fn set_rekey(&mut self, rekey: Rekey) {
        self.rekey = rekey;
    }

    /// Whether a record of `length` octets that is sealed now is to be the first of the next key, so that
    /// [`seal`](Self::seal) puts the record that says so before it.
    #[must_use]
    pub fn is_rekey_due(&self, now: Instant, length: usize) -> bool {
        let octets = self.sent + (length + RECORD_OVERHEAD) as u64 + RECORD_OVERHEAD as u64;
        let worn = self.sent > 0 && octets > self.rekey.octets.min(KEY_OCTETS_MAX);
        worn || self.since.is_some_and(|since| now.saturating_since(since) >= self.rekey.every)
    }

    /// Writes one record with all of `plaintext` into `out`, which has to be longer by twice
    /// [`RECORD_OVERHEAD`]: where the key is to change, the record that says so comes before. Says how many
    /// octets were written.
    ///
    /// # Errors
    ///
    /// Nothing or more than [`RECORD_MAX`] octets, or `out` is too short. Nothing was changed.
    pub fn seal(&mut self, now: Instant, plaintext: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        let (length, needed) = (plaintext.len(), plaintext.len().saturating_add(2 * RECORD_OVERHEAD));
        if length == 0 || length > RECORD_MAX {
            return Err(SecureError::TooLong { length, limit: RECORD_MAX });
        }
        if out.len() < needed {
            return Err(SecureError::NoRoom { needed });
        }
        let mut at = 0;
        if self.is_rekey_due(now, length) {
            at = self.put(&[], out)?;
            self.noise.rekey_outgoing();
            (self.sent, self.since) = (0, None);
        }
        self.since.get_or_insert(now);
        Ok(at + self.put(plaintext, &mut out[at..])?)
    }

    fn put(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        let (length, record) = out.split_at_mut(LENGTH);
        let n = self.noise.write_message(plaintext, record)?;
        length.copy_from_slice(&(n as u16).to_be_bytes());
        self.sent += (LENGTH + n) as u64;
        Ok(LENGTH + n)
    }

    /// Opens the next record, given without its length, into `out`, which has to be as long. Says how many
    /// octets it held: none where the other side goes on to its next key.
    ///
    /// # Errors
    ///
    /// It is not the record that comes next, or the other side has used its key for too long: nothing more can
    /// be opened. Or `out` is too short.
    pub fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        if out.len() < record.len() {
            return Err(SecureError::NoRoom { needed: record.len() });
        }
        self.received += (LENGTH + record.len()) as u64;
        if self.received > KEY_OCTETS_MAX {
            return Err(SecureError::KeyWorn { limit: KEY_OCTETS_MAX });
        }
        let n = self.noise.read_message(record, out)?;
        if n == 0 {
            self.noise.rekey_incoming();
            self.received = 0;
        }
        Ok(n)
    }
}
