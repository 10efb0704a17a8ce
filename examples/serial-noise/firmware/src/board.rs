//! What a firmware asks of its board.

use core::fmt;

use bowline_core::entropy::Entropy;
use bowline_core::time::Instant;

/// A board: a UART, a clock, and a true random number generator, which is its [`Entropy`].
pub trait Board: Entropy {
    /// The time since it was started.
    fn now(&mut self) -> Instant;
    /// Takes what the UART has received, without waiting. Says how many octets that were.
    fn read(&mut self, to: &mut [u8]) -> usize;
    /// Gives the UART octets to send, without waiting. Says how many it took.
    fn write(&mut self, octets: &[u8]) -> usize;
    /// Takes a measurement.
    fn measure(&mut self) -> u32;
    /// How much heap is in use.
    fn heap(&self) -> HeapUse;
    /// Tells whoever looks at the console; secrets are never told.
    fn tell(&mut self, what: fmt::Arguments<'_>);
}

/// How much heap is in use, in octets.
#[derive(Clone, Copy, Debug)]
pub struct HeapUse {
    /// Now.
    pub now: usize,
    /// At most, since the start.
    pub peak: usize,
}
