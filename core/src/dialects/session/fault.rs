//! What a peer, or time, did wrong; and the one total map from there to the code on the wire.

use super::code::Code;
use super::frame::Kind;

/// A broken rule. Each names what and where; [`Fault::code`] says what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// PRE-2.
    #[error("octet {at} of the preface is {found:#04x}: this is not our protocol")]
    BadPreface {
        /// Its place, from 0.
        at: u8,
        /// What stands there.
        found: u8,
    },
    /// FRM-2.
    #[error("kind {0} is not known, and not marked as optional")]
    UnknownKind(u8),
    /// FRM-4.
    #[error("{kind} has the flags {flags:#04b}, which must be 0")]
    ReservedBits {
        /// The frame.
        kind: Kind,
        /// The flags that must not be set.
        flags: u8,
    },
    /// FRM-5.
    #[error("{kind} is not allowed {context}")]
    UnexpectedFrame {
        /// The frame.
        kind: Kind,
        /// From whom, or when.
        context: &'static str,
    },
    /// FRM-3, FRM-6.
    #[error("a frame of {size} octets, more than the {limit} allowed")]
    FrameTooLarge {
        /// As announced.
        size: u64,
        /// What is allowed.
        limit: u32,
    },
    /// CMP-4.
    #[error("a payload that inflates to {length} octets, more than the {limit} allowed")]
    InflatesTooLarge {
        /// What it says that it was.
        length: u64,
        /// What is allowed.
        limit: u32,
    },
    /// CMP-5.
    #[error("{size} octets that inflate to {length}, more than a hundred times as many")]
    InflatesTooMuch {
        /// What they say that they were.
        length: u64,
        /// What came.
        size: u32,
    },
    /// TYP-1, TYP-2, in a frame's size.
    #[error("a frame's size is not a minimal number of at most 9 octets")]
    BadSize,
    /// A body that cannot be read.
    #[error("{kind}: {what}")]
    Malformed {
        /// The frame.
        kind: Kind,
        /// What is wrong with it.
        what: &'static str,
    },
    /// TOP-1.
    #[error("{kind}: {what}")]
    InvalidTopic {
        /// The frame.
        kind: Kind,
        /// What is wrong with the name.
        what: &'static str,
    },
    /// HSK-3.
    #[error("versions {lowest} to {highest}: only version 1 is spoken here")]
    Version {
        /// The peer's lowest.
        lowest: u8,
        /// The peer's highest.
        highest: u8,
    },
    /// A feature, parameter or property that is not there.
    #[error("{kind}: {what}")]
    Unsupported {
        /// The frame.
        kind: Kind,
        /// What is not supported.
        what: &'static str,
    },
    /// HSK-10.
    #[error("the handshake took longer than allowed")]
    HandshakeTimeout,
    /// FRM-6.
    #[error("more than 65,536 octets before the session was open")]
    HandshakeTooLarge,
    /// AUT-1.
    #[error("an authentication method that is not offered")]
    AuthMethod,
    /// AUT-3, AUT-4.
    #[error("authentication failed")]
    AuthFailed,
    /// RES-4.
    #[error("the session belongs to somebody else")]
    SessionRefused,
    /// RES-6.
    #[error(
        "the peer has received {received} reliable frames, but {acked} were acknowledged and {sent} sent"
    )]
    BadResume {
        /// What it says.
        received: u64,
        /// What it had acknowledged.
        acked: u64,
        /// What was sent.
        sent: u64,
    },
    /// KEE-2.
    #[error("nothing was heard from the peer for 1.5 times its keepalive")]
    KeepaliveTimeout,
    /// CRE-3.
    #[error("{kind} was sent without credit")]
    CreditExceeded {
        /// The frame.
        kind: Kind,
    },
    /// REL-5.
    #[error("more than {limit} reliable frames unacknowledged")]
    InFlightExceeded {
        /// What is allowed.
        limit: u16,
    },
    /// REL-3.
    #[error("ACK of {count}, but {acked} were acknowledged before and {sent} sent")]
    BadAck {
        /// What it says.
        count: u64,
        /// What was acknowledged before.
        acked: u64,
        /// What was sent.
        sent: u64,
    },
    /// HSK-6 to HSK-9.
    #[error("{kind}: {what}")]
    BadLimit {
        /// The frame.
        kind: Kind,
        /// Which limit.
        what: &'static str,
    },
    /// The transport took no octet for too long.
    #[error("the peer has read nothing for too long")]
    WriteTimeout,
}

impl Fault {
    /// The code on the wire. Total: there is no other way from a fault to a code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Fault::BadPreface { .. } => Code::BadPreface,
            Fault::UnknownKind(_) => Code::UnknownKind,
            Fault::ReservedBits { .. } => Code::ReservedBits,
            Fault::UnexpectedFrame { .. } => Code::UnexpectedFrame,
            Fault::FrameTooLarge { .. } | Fault::InflatesTooLarge { .. } => Code::FrameTooLarge,
            Fault::BadSize | Fault::Malformed { .. } | Fault::InflatesTooMuch { .. } => Code::Malformed,
            Fault::InvalidTopic { .. } => Code::InvalidTopic,
            Fault::Version { .. } => Code::Version,
            Fault::Unsupported { .. } => Code::Unsupported,
            Fault::HandshakeTimeout => Code::HandshakeTimeout,
            Fault::HandshakeTooLarge => Code::HandshakeTooLarge,
            Fault::AuthMethod => Code::AuthMethod,
            Fault::AuthFailed => Code::AuthFailed,
            Fault::SessionRefused => Code::SessionRefused,
            Fault::BadResume { .. } => Code::BadResume,
            Fault::KeepaliveTimeout => Code::KeepaliveTimeout,
            Fault::CreditExceeded { .. } => Code::CreditExceeded,
            Fault::InFlightExceeded { .. } => Code::InFlightExceeded,
            Fault::BadAck { .. } => Code::BadAck,
            Fault::BadLimit { .. } => Code::BadLimit,
            Fault::WriteTimeout => Code::WriteTimeout,
        }
    }

    /// What CLOSE says beside the code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Fault::BadPreface { .. } => "not our preface",
            Fault::UnknownKind(_) => "unknown kind",
            Fault::ReservedBits { .. } => "reserved flags are set",
            Fault::UnexpectedFrame { context, .. } => context,
            Fault::FrameTooLarge { .. } => "frame too large",
            Fault::InflatesTooLarge { .. } => "it inflates to more than is taken",
            Fault::InflatesTooMuch { .. } => "it inflates to more than a hundred times its octets",
            Fault::BadSize => "the frame's size is not minimal, or too long",
            Fault::Malformed { what, .. }
            | Fault::InvalidTopic { what, .. }
            | Fault::Unsupported { what, .. }
            | Fault::BadLimit { what, .. } => what,
            Fault::Version { .. } => "only version 1 is spoken here",
            Fault::HandshakeTimeout => "the handshake took too long",
            Fault::HandshakeTooLarge => "too many octets before the session was open",
            Fault::AuthMethod => "authentication method not offered",
            Fault::AuthFailed => "authentication failed",
            Fault::SessionRefused => "not your session",
            Fault::BadResume { .. } => "impossible count of received frames",
            Fault::KeepaliveTimeout => "nothing heard from you for too long",
            Fault::CreditExceeded { .. } => "sent without credit",
            Fault::InFlightExceeded { .. } => "too many unacknowledged frames",
            Fault::BadAck { .. } => "impossible acknowledgement",
            Fault::WriteTimeout => "you have read nothing for too long",
        }
    }
}

/// A body that breaks a rule, before it is known in which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Malformed(&'static str),
    InvalidTopic(&'static str),
    Unsupported(&'static str),
    BadLimit(&'static str),
}

impl Broken {
    pub(super) const fn at(self, kind: Kind) -> Fault {
        match self {
            Broken::Malformed(what) => Fault::Malformed { kind, what },
            Broken::InvalidTopic(what) => Fault::InvalidTopic { kind, what },
            Broken::Unsupported(what) => Fault::Unsupported { kind, what },
            Broken::BadLimit(what) => Fault::BadLimit { kind, what },
        }
    }
}
