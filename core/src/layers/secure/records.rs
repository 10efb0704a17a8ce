//! A stream in records: what is opened waits for the dialect within, and what that puts is sealed.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::stream::LENGTH;
use super::{Fault, Opened, RECORD_MAX, RECORD_OVERHEAD, Rekey, StreamCipher, TAG};
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::time::Instant;

/// Records are opened until so many octets wait; beyond, one at a time, and only as the dialect within wants
/// more.
const OPENED_MAX: usize = 65_536;

/// How much this side puts in one record: so that who has little memory can read it (SEC-10), and nobody waits
/// long for what can be opened.
const SEALED_MAX: usize = 16_384;

/// What a record may cost beside what it holds: the one that ends a key may stand before it.
const COST: usize = 2 * RECORD_OVERHEAD;

/// The two directions of an open connection in records.
#[derive(Debug)]
pub struct Records {
    cipher: StreamCipher,
    /// Opened, and not read yet. Owns memory only as long as something waits.
    opened: GrowingRecvBuf,
    /// What is left of the handshake, and goes before all records.
    owed: Vec<u8>,
}

impl Records {
    /// Those that follow a handshake: this side's go on to the next key as `rekey` says.
    #[must_use]
    pub fn new(opened: Opened, rekey: Rekey) -> Self {
        let Opened { mut cipher, owed, .. } = opened;
        cipher.set_rekey(rekey);
        Self { cipher, opened: GrowingRecvBuf::new(0), owed }
    }

    /// Whether something of the handshake is to be sent before any record.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    fn sealing<'a, O: SendBuf>(
        &'a mut self,
        now: Instant,
        out: &'a mut O,
    ) -> (&'a mut GrowingRecvBuf, Sealing<'a, O>) {
        put_owed(&mut self.owed, out);
        let Self { cipher, opened, owed } = self;
        let closed = !owed.is_empty();
        (opened, Sealing { cipher, now, out, waiting: Vec::new(), closed })
    }

    /// Opens whole records of `buf`: at least one, if there is one, and more as long as little waits. Says
    /// whether there was one.
    ///
    /// # Errors
    ///
    /// A record is not authentic, or cannot be: nothing more can be opened.
    pub fn recv(&mut self, buf: &mut impl RecvBuf) -> Result<bool, Fault> {
        if self.opened.limit() == 0 {
            // A frame that goes into the one goes into the other.
            self.opened = GrowingRecvBuf::new(buf.limit().saturating_add(RECORD_MAX));
        }
        let mut any = false;
        while let Some(length) = whole(buf.filled())? {
            if any && self.opened.filled().len() + length > OPENED_MAX {
                break;
            }
            let record = &buf.filled()[LENGTH..LENGTH + length];
            let space = self.opened.spare(length);
            if space.len() < length {
                break; // the dialect within refuses what never becomes whole
            }
            let n = self.cipher.open(record, space).map_err(Fault::Record)?;
            self.opened.commit(n);
            buf.take(LENGTH + length);
            any = true;
        }
        Ok(any)
    }

    /// What was opened, for the dialect within.
    pub fn opened(&mut self) -> &mut GrowingRecvBuf {
        &mut self.opened
    }

    /// Gives back memory that is not needed: nothing waits.
    pub fn rest(&mut self) {
        drop(self.opened.release());
    }

    /// Lets `work` put what is to be sent, and seals it into `out`, in as few records as it takes.
    pub fn seal<O: SendBuf, T>(
        &mut self,
        now: Instant,
        out: &mut O,
        work: impl FnOnce(&mut Sealing<'_, O>) -> T,
    ) -> T {
        let (_, mut sealing) = self.sealing(now, out);
        let done = work(&mut sealing);
        sealing.flush();
        done
    }

    /// As [`seal`](Self::seal), for a dialect that answers while it reads what was [opened](Self::opened).
    pub fn carry<O: SendBuf, T>(
        &mut self,
        now: Instant,
        out: &mut O,
        work: impl FnOnce(&mut GrowingRecvBuf, &mut Sealing<'_, O>) -> T,
    ) -> T {
        let (opened, mut sealing) = self.sealing(now, out);
        let done = work(opened, &mut sealing);
        sealing.flush();
        done
    }
}

/// Puts what goes in one piece, where there is room for it.
pub(super) fn put_owed(owed: &mut Vec<u8>, out: &mut impl SendBuf) {
    if !owed.is_empty() && out.room() >= owed.len() {
        out.begin(owed.len());
        out.put(owed);
        *owed = Vec::new();
    }
}

/// The length of the next record, if it is whole.
fn whole(filled: &[u8]) -> Result<Option<usize>, Fault> {
    let Some((length, rest)) = filled.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < TAG {
        return Err(Fault::RecordLength(length));
    }
    Ok((rest.len() >= length).then_some(length))
}

/// Where a dialect puts what goes out in records.
pub struct Sealing<'a, O> {
    cipher: &'a mut StreamCipher,
    now: Instant,
    out: &'a mut O,
    /// Put, and not sealed yet: less than a full record.
    waiting: Vec<u8>,
    /// The handshake's last message has to go before.
    closed: bool,
}

impl<O: SendBuf> Sealing<'_, O> {
    fn flush(&mut self) {
        let waiting = core::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.record(&waiting);
        }
    }

    fn record(&mut self, plaintext: &[u8]) {
        let mut record = vec![0; plaintext.len() + COST];
        let sealed = self.cipher.seal(self.now, plaintext, &mut record);
        debug_assert!(sealed.is_ok(), "a record that fits is sealed, until 2^64 have been");
        let Ok(n) = sealed else { return };
        record.truncate(n);
        self.out.begin(n);
        if n < SharedSendBuf::SHARE_FROM {
            self.out.put(&record);
        } else {
            self.out.put_shared(&Bytes::from(record));
        }
    }
}

impl<O: SendBuf> SendBuf for Sealing<'_, O> {
    fn room(&self) -> usize {
        let room = if self.closed { 0 } else { self.out.room() };
        let records = room / SEALED_MAX + 1;
        room.saturating_sub(records * COST).saturating_sub(self.waiting.len())
    }

    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "a machine must ask for room first");
        if bytes.len() > self.room() {
            return;
        }
        let mut bytes = bytes;
        while self.waiting.len() + bytes.len() >= SEALED_MAX {
            let (now, later) = bytes.split_at(SEALED_MAX - self.waiting.len());
            self.waiting.extend_from_slice(now);
            self.flush();
            bytes = later;
        }
        self.waiting.extend_from_slice(bytes);
    }
}

impl<O> fmt::Debug for Sealing<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
