//! Compression of single messages (SPEC §5.8): LZ4 with the feature `lz4`, Zstandard with `zstd`.
//!
//! Each message is compressed by itself: none refers to one before, so that one is lost or handed on to
//! others without harm, and so that nothing of one message shows in the length of another. What shows all the
//! same is how well a message compresses: where somebody who sees lengths can put a text of his own beside a
//! secret in one message, he finds out the secret piece by piece (CRIME, BREACH). So what holds secrets is not to
//! be compressed, which only the application knows.
//!
//! What a message inflates to is said in front ([`Encoding::length`]), and checked before memory is taken:
//! against the receiver's limit, and against what came, of which it is at most [`MAX_RATIO`] times as much
//! beyond [`RATIO_FLOOR`]. Inflating stops there, whatever the octets say.
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use bowline_core::compression::{Codec, Codecs, Encoding};
//! let mut codecs = Codecs::default();
//! let text = b"over and over ".repeat(100);
//! if let Some(packed) = codecs.compress(Codec::Lz4, &text) {
//!     let encoding = Encoding { codec: Codec::Lz4, length: text.len() as u64 };
//!     assert!(packed.len() < 100);
//!     assert_eq!(codecs.inflate(encoding, &packed, 1 << 20).unwrap(), text);
//! }
//! # }
//! ```

#[cfg(feature = "alloc")]
mod codecs;

#[cfg(feature = "alloc")]
pub use codecs::Codecs;

/// What a message inflates to is at most so many times what it was compressed to.
pub const MAX_RATIO: u64 = 100;

/// Octets that it may always inflate to: far too few to do harm.
pub const RATIO_FLOOR: u64 = 64 << 10;

/// From how many octets on a payload is compressed, where nothing else is set: below, there is little to win.
pub const THRESHOLD: usize = 512;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A block of LZ4, without a frame: fast.
    Lz4,
    /// A frame of Zstandard (RFC 8878), without a dictionary: small.
    Zstd,
}

impl Codec {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Lz4, Self::Zstd];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// The codec with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Whether it was built in.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

/// That a payload is compressed, and how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// How.
    pub codec: Codec,
    /// Octets of the payload before.
    pub length: u64,
}

/// Why something is not inflated. Nothing was allocated for more than the limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It is larger than is taken.
    #[error("it would inflate to {length} octets, at most {limit} are taken")]
    TooLarge {
        /// What it says that it was.
        length: u64,
        /// What is taken.
        limit: u64,
    },
    /// It is too small for what it would inflate to.
    #[error("{size} octets would inflate to {length}, more than {MAX_RATIO} times as many")]
    Ratio {
        /// What it says that it was.
        length: u64,
        /// What came.
        size: usize,
    },
    /// It does not inflate to what it says.
    #[error("it does not inflate to {length} octets")]
    Malformed {
        /// What it says that it was.
        length: u64,
    },
    /// The codec was not built in.
    #[error("this codec was not built in")]
    Unavailable,
}

impl Encoding {
    /// Whether a payload of `size` octets may be inflated: looked at before anything is allocated.
    ///
    /// # Errors
    ///
    /// [`InflateError::TooLarge`], [`InflateError::Ratio`].
    pub const fn check(self, size: usize, limit: u64) -> Result<(), InflateError> {
        let length = self.length;
        if length > limit {
            return Err(InflateError::TooLarge { length, limit });
        }
        if length > RATIO_FLOOR && length > (size as u64).saturating_mul(MAX_RATIO) {
            return Err(InflateError::Ratio { length, size });
        }
        Ok(())
    }
}
