//! What a peer, or time, did wrong below the session.

use super::{Pattern, PublicKey, SecureError};

/// A broken rule of the secure mode. [`Fault::refusal`] says what a client is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// SEC-2: a version that is not spoken here.
    #[error("version {0} of the secure mode is not spoken here; 1 is")]
    Version(u8),
    /// SEC-2: a pattern that nobody knows, or that this side has no keys for.
    #[error("pattern {0} is not offered here")]
    Pattern(u8),
    /// SEC-2: a hint at a shared key that is not known here.
    #[error("the pre-shared key is not known here")]
    UnknownSharedKey,
    /// SEC-4: a message of another length than it has.
    #[error("message {number} of the handshake in {pattern} has {length} octets instead of {wanted}")]
    MessageLength {
        /// The pattern.
        pattern: Pattern,
        /// Which message, from 1.
        number: usize,
        /// What it says of itself.
        length: usize,
        /// What it has.
        wanted: usize,
    },
    /// SEC-4, SEC-6: a message that nothing can be made of.
    #[error("the handshake failed: {0}")]
    Handshake(SecureError),
    /// SEC-5: the server refused; nobody vouches for that.
    #[error("the server refused the handshake: {0} (this could have come from anybody in between)")]
    Refused(Refusal),
    /// SEC-7: the server has proved to hold another key than one that is known.
    #[error("the server's key {} is not the one that is known: somebody is in between, or it was changed", .0.fingerprint())]
    ServerKey(PublicKey),
    /// SEC-10: a record too short for a tag.
    #[error("a record of {0} octets, where none has less than 16")]
    RecordLength(usize),
    /// SEC-12, SEC-13: a record that is not what comes next.
    #[error("a record cannot be opened: {0}")]
    Record(SecureError),
    /// HSK-10: the handshake took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// The stream ended within the handshake.
    #[error("the connection ended within the handshake")]
    Cut,
}

/// What a server says where it refuses a handshake (SEC-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not speak this version.
    #[error("it does not speak this version of the secure mode")]
    Version,
    /// It does not offer this pattern.
    #[error("it does not offer this pattern")]
    Pattern,
    /// It could make nothing of the message: other keys, or octets that were changed.
    #[error("it has another key, or another pre-shared key, than this client knows")]
    Handshake,
    /// A number that this version does not know.
    #[error("reason {0}")]
    Other(u8),
}

impl Refusal {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Pattern => 2,
            Self::Handshake => 3,
            Self::Other(number) => number,
        }
    }

    /// The reason of a number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Version,
            2 => Self::Pattern,
            3 => Self::Handshake,
            number => Self::Other(number),
        }
    }
}

impl Fault {
    /// What a client is told, where the handshake has not ended.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Version(_) => Refusal::Version,
            Self::Pattern(_) => Refusal::Pattern,
            _ => Refusal::Handshake,
        }
    }

    /// In short, for what is told to the peer or stands in a log beside a code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Version(_) => "secure mode: a version that is not spoken here",
            Self::Pattern(_) => "secure mode: a pattern that is not offered",
            Self::UnknownSharedKey => "secure mode: an unknown pre-shared key",
            Self::MessageLength { .. } => "secure mode: a handshake message of a wrong length",
            Self::Handshake(SecureError::WeakKey) => "secure mode: a key of low order",
            Self::Handshake(_) => "secure mode: a handshake message that is not authentic",
            Self::Refused(_) => "secure mode: refused",
            Self::ServerKey(_) => "secure mode: another server's key",
            Self::RecordLength(_) => "secure mode: a record too short",
            Self::Record(SecureError::KeyWorn { .. }) => "secure mode: a key was used for too long",
            Self::Record(_) => "secure mode: a record that is not authentic",
            Self::Timeout => "secure mode: the handshake took too long",
            Self::Cut => "secure mode: the connection ended within the handshake",
        }
    }
}
