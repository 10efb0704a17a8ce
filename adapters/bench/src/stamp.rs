//! What is written into every payload, and how it is checked when it comes back.
//!
//! 8 octets send time, 4 octets publisher, 8 octets sequence, then a fixed pattern.

/// The smallest payload.
pub(crate) const LEN: usize = 20;

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was sent, in nanoseconds.
    pub(crate) sent: u64,
    /// By which publisher.
    pub(crate) publisher: u32,
    /// The how manieth of that publisher, from 0.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Writes itself to the front of `payload`, which has at least [`LEN`] octets.
    #[inline]
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.sent.to_le_bytes());
        payload[8..12].copy_from_slice(&self.publisher.to_le_bytes());
        payload[12..LEN].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// Reads it back; `None` if this is not `pattern` with a stamp in front.
    #[inline]
    pub(crate) fn read(payload: &[u8], pattern: &[u8]) -> Option<Stamp> {
        if payload.len() != pattern.len() || payload.get(LEN..)? != &pattern[LEN..] {
            return None;
        }
        let (sent, rest) = payload.split_first_chunk::<8>()?;
        let (publisher, rest) = rest.split_first_chunk::<4>()?;
        let sequence = rest.first_chunk::<8>()?;
        Some(Stamp {
            sent: u64::from_le_bytes(*sent),
            publisher: u32::from_le_bytes(*publisher),
            sequence: u64::from_le_bytes(*sequence),
        })
    }
}

/// A payload of `len` octets (at least [`LEN`]) without a stamp.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len.max(LEN)).map(|i| (i * 31 + 7) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_and_a_flipped_octet_is_seen() {
        let pattern = pattern(64);
        let mut payload = pattern.clone();
        let stamp = Stamp { sent: 1 << 40, publisher: 77, sequence: 1 << 33 };
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload, &pattern), Some(stamp));
        payload[40] ^= 1;
        assert_eq!(Stamp::read(&payload, &pattern), None);
        assert_eq!(Stamp::read(&payload[..30], &pattern), None);
    }
}
