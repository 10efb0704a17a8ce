//! Datagrams: each has a number of its own, and may come late or never.

use alloc::boxed::Box;
use core::fmt;

use snow::types::Cipher;
use zeroize::Zeroizing;

use super::{KEY, SecureError, TAG, primitives};

/// What a sealed datagram is longer by, in octets.
pub const DATAGRAM_OVERHEAD: usize = TAG;

/// The longest datagram that is opened or sealed, in octets.
const DATAGRAM_MAX: usize = 65_535;

/// How many numbers there are to a key: those from `k` × this on are under the `k`-th key that follows from the
/// first. So each side knows by the number alone when the other goes on to the next key.
pub const DATAGRAM_EPOCH: u64 = 1 << 20;

/// A key of one direction, with the number of its epoch.
struct Keyed {
    epoch: u64,
    cipher: Box<dyn Cipher>,
}

impl Keyed {
    fn new(epoch: u64, key: &[u8; KEY]) -> Result<Self, SecureError> {
        let mut cipher = primitives::cipher().ok_or(SecureError::OutOfOrder("no cipher"))?;
        cipher.set(key);
        Ok(Self { epoch, cipher })
    }

    /// The next: REKEY of Noise, section 4.2.
    fn next(&self) -> Result<Self, SecureError> {
        let mut sealed = Zeroizing::new([0; KEY + TAG]);
        self.cipher.encrypt(u64::MAX, &[], &[0; KEY], &mut sealed[..]);
        let mut key = Zeroizing::new([0; KEY]);
        key.copy_from_slice(&sealed[..KEY]);
        Self::new(self.epoch + 1, &key)
    }
}

/// Seals datagrams for the other side and opens what comes from there: by numbers that go with them.
///
/// Datagrams come in any order, and some never. [`open`](Self::open) does not remember numbers: whoever calls it
/// asks a [`ReplayWindow`](crate::replay::ReplayWindow) before, and tells it after.
///
/// After each [`DATAGRAM_EPOCH`] numbers a direction goes on to the next key, and the one before is forgotten at
/// the next change. To change keys by time, pass over the numbers up to
/// [`next_epoch`](Self::next_epoch).
pub struct DatagramCipher {
    tx: Keyed,
    /// The lowest number that can be used.
    next: u64,
    rx: Keyed,
    /// The key before that, for datagrams that are late.
    before: Option<Keyed>,
}

impl fmt::Debug for DatagramCipher {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramCipher")
            .field("next", &self.next)
            .field("epochs", &(self.tx.epoch, self.rx.epoch))
            .finish_non_exhaustive()
    }
}

impl DatagramCipher {
    pub(super) fn new(tx: &[u8; KEY], rx: &[u8; KEY]) -> Result<Self, SecureError> {
        Ok(Self { tx: Keyed::new(0, tx)?, next: 0, rx: Keyed::new(0, rx)?, before: None })
    }

    /// Seals `payload` as the datagram `number` into `out`, which has to be longer by [`DATAGRAM_OVERHEAD`].
    /// Says how long it is.
    ///
    /// # Errors
    ///
    /// The number is not above those before, or by more than [`DATAGRAM_EPOCH`]; `out` is too short, or the
    /// payload too long. Nothing was written.
    pub fn seal(&mut self, number: u64, payload: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        self.seal_with(number, &[], payload, out)
    }

    /// The same; the other side opens it only with the same `header`, which goes beside it in clear.
    ///
    /// # Errors
    ///
    /// As [`seal`](Self::seal).
    pub fn seal_with(
        &mut self,
        number: u64,
        header: &[u8],
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SecureError> {
        let needed = payload.len().saturating_add(TAG);
        if needed > DATAGRAM_MAX {
            return Err(SecureError::TooLong { length: payload.len(), limit: DATAGRAM_MAX - TAG });
        }
        if out.len() < needed {
            return Err(SecureError::NoRoom { needed });
        }
        if number < self.next {
            return Err(SecureError::NumberUsed { number, next: self.next });
        }
        match number / DATAGRAM_EPOCH - self.tx.epoch {
            _ if number == u64::MAX => return Err(SecureError::Exhausted), // REKEY's own
            0 => {}
            1 => self.tx = self.tx.next()?,
            _ => return Err(SecureError::NumberTooFar { number }),
        }
        self.next = number + 1;
        Ok(self.tx.cipher.encrypt(number, header, payload, out))
    }

    /// The first number of the next key: who seals by it, rather than by the one that would follow, changes
    /// keys.
    #[must_use]
    pub const fn next_epoch(&self) -> u64 {
        (self.tx.epoch + 1).saturating_mul(DATAGRAM_EPOCH)
    }

    /// Opens the datagram `number` into `out`, which has to be as long. Says how long the payload is.
    ///
    /// A number of the key after the present one is believed once a datagram is authentic under it; to be asked
    /// costs at most the making of one key.
    ///
    /// # Errors
    ///
    /// It is not authentic, or its number is too far away, or `out` is too short. Nothing was changed; what is
    /// in `out` is of no use.
    pub fn open(&mut self, number: u64, sealed: &[u8], out: &mut [u8]) -> Result<usize, SecureError> {
        self.open_with(number, &[], sealed, out)
    }

    /// The same of one that was sealed with this `header`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        &mut self,
        number: u64,
        header: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SecureError> {
        if sealed.len() < TAG || sealed.len() > DATAGRAM_MAX || number == u64::MAX {
            return Err(SecureError::Inauthentic);
        }
        if out.len() < sealed.len() {
            return Err(SecureError::NoRoom { needed: sealed.len() });
        }
        let epoch = number / DATAGRAM_EPOCH;
        if epoch == self.rx.epoch {
            return Ok(self.rx.cipher.decrypt(number, header, sealed, out)?);
        }
        match &self.before {
            Some(before) if epoch == before.epoch => {
                Ok(before.cipher.decrypt(number, header, sealed, out)?)
            }
            _ if epoch == self.rx.epoch + 1 => {
                let next = self.rx.next()?;
                let n = next.cipher.decrypt(number, header, sealed, out)?;
                self.before = Some(core::mem::replace(&mut self.rx, next));
                Ok(n)
            }
            _ => Err(SecureError::NumberTooFar { number }),
        }
    }
}
