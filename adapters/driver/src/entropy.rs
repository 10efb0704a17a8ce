//! Randomness from the operating system.

use bowline_core::entropy::Entropy;

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    ///
    /// When the system gives none: nothing safe can be done without.
    fn wire(&mut self, out: &mut [u8]) {
        self.secret(out);
    }

    /// # Panics
    ///
    /// When the system gives none: nothing safe can be done without.
    fn secret(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system's randomness is there");
    }
}
