//! Randomness comes in: seeded in tests, scripted in vectors, from the system in adapters.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A source of random bytes, in two streams.
///
/// What goes on the wire in clear and what is secret come from separate streams, so that nobody
/// who watches the first learns about the second.
pub trait Entropy {
    /// Fills `out` with bytes that a peer will see (nonces, ping tokens, jitter).
    fn wire(&mut self, out: &mut [u8]);

    /// Fills `out` with bytes that must stay secret or unguessable (session keys, masks, salts).
    fn secret(&mut self, out: &mut [u8]);

    /// Eight bytes of the wire stream, as a number.
    fn wire_u64(&mut self) -> u64 {
        let mut b = [0; 8];
        self.wire(&mut b);
        u64::from_le_bytes(b)
    }

    /// A number of the wire stream, even in `0..=max`.
    fn wire_up_to(&mut self, max: u64) -> u64 {
        // The high half of a 128-bit product; its bias is below 2^-64 × max and only spreads jitter.
        let product = u128::from(self.wire_u64()) * (u128::from(max) + 1);
        (product >> 64) as u64
    }
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn wire(&mut self, out: &mut [u8]) {
        (**self).wire(out);
    }
    fn secret(&mut self, out: &mut [u8]) {
        (**self).secret(out);
    }
}

/// Entropy from a seed: the same seed gives the same bytes, for tests and the simulator.
///
/// It is fast and well mixed, and **not** fit for secrets (SplitMix64).
///
/// ```
/// use bowline_core::entropy::{Entropy, Seeded};
/// let (mut a, mut b) = (Seeded::new(7), Seeded::new(7));
/// assert_eq!(a.wire_u64(), b.wire_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Seeded {
    wire: u64,
    secret: u64,
}

impl Seeded {
    /// A source whose every byte follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { wire: seed, secret: seed ^ 0x5ec2_e75e_c2e7_5ec2 }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fill(state: &mut u64, out: &mut [u8]) {
    for chunk in out.chunks_mut(8) {
        chunk.copy_from_slice(&split_mix(state).to_le_bytes()[..chunk.len()]);
    }
}

impl Entropy for Seeded {
    fn wire(&mut self, out: &mut [u8]) {
        fill(&mut self.wire, out);
    }
    fn secret(&mut self, out: &mut [u8]) {
        fill(&mut self.secret, out);
    }
}

/// Entropy that follows from a secret key of 32 bytes, for a part of a machine that needs a source of its
/// own: drawn once from another source, it costs that nothing more.
///
/// Whoever does not know the key cannot tell either stream from noise (SHA-256 of key, stream and counter).
///
/// ```
/// use bowline_core::entropy::{Derived, Entropy, Seeded};
/// let mut system = Seeded::new(7);
/// let (mut a, mut b) = (Derived::from(&mut system), Derived::from(&mut system));
/// assert_ne!(a.wire_u64(), b.wire_u64());
/// ```
#[derive(Clone)]
pub struct Derived {
    key: Zeroizing<[u8; 32]>,
    blocks: u64,
}

impl Derived {
    fn fill(&mut self, stream: u8, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(&self.key[..])
                .chain_update([stream])
                .chain_update(self.blocks.to_le_bytes());
            self.blocks += 1;
            chunk.copy_from_slice(&block.finalize()[..chunk.len()]);
        }
    }
}

impl<E: Entropy + ?Sized> From<&mut E> for Derived {
    /// Draws the key from the secret stream.
    fn from(source: &mut E) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        source.secret(&mut key[..]);
        Self { key, blocks: 0 }
    }
}

impl core::fmt::Debug for Derived {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Derived").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl Entropy for Derived {
    fn wire(&mut self, out: &mut [u8]) {
        self.fill(0, out);
    }
    fn secret(&mut self, out: &mut [u8]) {
        self.fill(1, out);
    }
}

/// Entropy read from two given byte strings, as conformance vectors prescribe it.
///
/// What is asked for beyond the script is zero, and [`Scripted::overdrawn`] says so.
#[derive(Clone, Debug)]
pub struct Scripted<'a> {
    wire: &'a [u8],
    secret: &'a [u8],
    overdrawn: bool,
}

impl<'a> Scripted<'a> {
    /// A source that gives out `wire` and `secret`, once, in order.
    #[must_use]
    pub const fn new(wire: &'a [u8], secret: &'a [u8]) -> Self {
        Self { wire, secret, overdrawn: false }
    }

    /// Whether more was asked for than the script holds.
    #[must_use]
    pub const fn overdrawn(&self) -> bool {
        self.overdrawn
    }
}

fn read_script(script: &mut &[u8], overdrawn: &mut bool, out: &mut [u8]) {
    let n = out.len().min(script.len());
    let (now, rest) = script.split_at(n);
    out[..n].copy_from_slice(now);
    out[n..].fill(0);
    *overdrawn |= n < out.len();
    *script = rest;
}

impl Entropy for Scripted<'_> {
    fn wire(&mut self, out: &mut [u8]) {
        read_script(&mut self.wire, &mut self.overdrawn, out);
    }
    fn secret(&mut self, out: &mut [u8]) {
        read_script(&mut self.secret, &mut self.overdrawn, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_and_its_streams_differ() {
        let (mut a, mut b) = (Seeded::new(1), Seeded::new(1));
        let (mut x, mut y, mut z) = ([0; 13], [0; 13], [0; 13]);
        a.wire(&mut x);
        a.secret(&mut z);
        b.wire(&mut y);
        assert_eq!(x, y);
        assert_ne!(x, z);
    }

    #[test]
    fn up_to_stays_in_range_and_reaches_its_ends() {
        let mut e = Seeded::new(3);
        let seen: [bool; 4] = core::array::from_fn(|i| (0..200).any(|_| e.wire_up_to(3) == i as u64));
        assert_eq!(seen, [true; 4]);
        assert!((0..1000).all(|_| e.wire_up_to(9) <= 9));
        assert_eq!(e.wire_up_to(0), 0);
        e.wire_up_to(u64::MAX);
    }

    #[test]
    fn what_is_derived_is_all_of_its_own() {
        let mut system = Seeded::new(1);
        let mut e = Derived::from(&mut system);
        let mut blocks = [[0; 32]; 6];
        let (wire, secret) = blocks.split_at_mut(3);
        e.wire(wire.as_flattened_mut());
        e.secret(secret.as_flattened_mut());
        let mut other = Derived::from(&mut system);
        let mut theirs = [0; 32];
        other.wire(&mut theirs);
        assert!(!blocks.contains(&theirs));
        assert!((1..6).all(|i| !blocks[..i].contains(&blocks[i])), "nothing comes twice");
        let mut again = Derived::from(&mut Seeded::new(1));
        let mut first = [0; 40];
        again.wire(&mut first);
        assert_eq!(first[..32], blocks[0], "the same key gives the same, however it is asked for");
        assert_eq!(first[32..], blocks[1][..8]);
        assert!(!std::format!("{e:?}").contains("key"));
    }

    #[test]
    fn a_script_ends_in_zeros_and_says_so() {
        let mut e = Scripted::new(&[1, 2, 3], &[9]);
        let mut out = [7; 2];
        e.wire(&mut out);
        assert_eq!((out, e.overdrawn()), ([1, 2], false));
        e.wire(&mut out);
        assert_eq!((out, e.overdrawn()), ([3, 0], true));
    }
}
