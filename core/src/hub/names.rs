//! Numbers that nobody can guess from others, nor learn anything from.

use sha2::{Digest, Sha256};

/// A source of numbers that peers see: names of members, epochs. What they were made from cannot be
/// had from them, unlike with the seeded generator of hash keys.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Names {
    secret: [u8; 16],
    count: u64,
}

impl Names {
    pub(in crate::hub) const fn new(secret: [u8; 16]) -> Self {
        Self { secret, count: 0 }
    }

    /// The next number.
    pub(in crate::hub) fn next(&mut self) -> u64 {
        self.count += 1;
        let digest =
            Sha256::new().chain_update(self.secret).chain_update(self.count.to_le_bytes()).finalize();
        let mut number = [0; 8];
        number.copy_from_slice(&digest[..8]);
        u64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gives_the_same_numbers_and_another_gives_others() {
        let (mut a, mut b, mut c) = (Names::new([1; 16]), Names::new([1; 16]), Names::new([2; 16]));
        let first = a.next();
        assert_eq!(first, b.next());
        assert_ne!(first, a.next());
        assert_ne!(first, c.next());
    }
}
