//! What cannot be done, or is not to be believed.

use super::Pattern;

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecureError {
    /// The caller has not given a key that the pattern needs.
    #[error("{0} needs the {1}, which was not given")]
    Missing(Pattern, &'static str),
    /// Not the next step of a handshake, or of one that has not ended yet.
    #[error("not the next step: {0}")]
    OutOfOrder(&'static str),
    /// The output slice is too short. Nothing was changed.
    #[error("the output needs {needed} octets; nothing was written, call again with as many")]
    NoRoom {
        /// How many octets it needs.
        needed: usize,
    },
    /// More than goes in one message, record or datagram.
    #[error("{length} octets, where at most {limit} go in one message")]
    TooLong {
        /// How long it is.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// What came is not what the peer sent: corrupted, cut, replayed, moved, of another connection or from
    /// somebody else; or keys, pre-shared keys or prologues differ.
    #[error("not authentic: corrupted, replayed, moved, or keys or prologue differ")]
    Inauthentic,
    /// The peer's key is of low order: the secret would be the same with everybody.
    #[error("the peer's key is of low order (all zeros, or another that makes no secret)")]
    WeakKey,
    /// A number for a datagram that was used, or passed, before: the cipher would be broken by it.
    #[error("datagram number {number} was used or passed before; the next is {next}")]
    NumberUsed {
        /// The number.
        number: u64,
        /// The lowest that can be used.
        next: u64,
    },
    /// A number too far away from those that came, so that its key is not there.
    #[error("datagram number {number} is too far from those that came")]
    NumberTooFar {
        /// The number.
        number: u64,
    },
    /// The peer has used one key for more than it may.
    #[error("more than {limit} octets came under one key; the peer should have gone on to the next")]
    KeyWorn {
        /// What may come under one key.
        limit: u64,
    },
    /// All numbers of this direction are used.
    #[error("all numbers of this direction are used")]
    Exhausted,
}

impl From<snow::Error> for SecureError {
    /// Whatever is not listed is prevented before snow is called; as a peer's doing it would be a message that
    /// cannot be read.
    fn from(error: snow::Error) -> Self {
        use snow::error::{Error, StateProblem};
        match error {
            Error::Dh => Self::WeakKey,
            Error::State(StateProblem::Exhausted) => Self::Exhausted,
            Error::State(_) | Error::Rng => Self::OutOfOrder("see the pattern's messages"),
            _ => Self::Inauthentic,
        }
    }
}
