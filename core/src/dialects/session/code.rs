//! Close codes (SPEC §9).

/// Why a connection is closed, as CLOSE carries it.
///
/// Unknown codes are kept as they came ([`Code::Other`]) and are taken like an internal error (END-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The session has ended, by intent.
    Normal,
    /// The side goes away; sessions may be resumed.
    GoingAway,
    /// The first octets are not the preface (PRE-2).
    BadPreface,
    /// A body cannot be read.
    Malformed,
    /// An essential kind that is not known (FRM-2).
    UnknownKind,
    /// Not from this side, or not in this state (FRM-5).
    UnexpectedFrame,
    /// Larger than announced as acceptable (FRM-3).
    FrameTooLarge,
    /// A flag that must be 0 (FRM-4).
    ReservedBits,
    /// No version in common (HSK-3).
    Version,
    /// A feature, parameter or property that the receiver does not have.
    Unsupported,
    /// The handshake took too long (HSK-10).
    HandshakeTimeout,
    /// Too many octets before the session was open (FRM-6).
    HandshakeTooLarge,
    /// An authentication method that is not offered (AUT-1).
    AuthMethod,
    /// Wrong credentials (AUT-4).
    AuthFailed,
    /// Somebody else's session (RES-4).
    SessionRefused,
    /// Impossible counts (RES-6).
    BadResume,
    /// The peer was silent for too long (KEE-2).
    KeepaliveTimeout,
    /// More than was granted (CRE-3).
    CreditExceeded,
    /// More unacknowledged frames than allowed (REL-5).
    InFlightExceeded,
    /// An impossible acknowledgement (REL-3).
    BadAck,
    /// A limit outside its range (HSK-6 to HSK-9).
    BadLimit,
    /// The session goes on over another connection (RES-9).
    TakenOver,
    /// The receiver's queue overflowed, and its policy says so.
    SlowConsumer,
    /// Too many connections or sessions.
    Quota,
    /// Not allowed to be here.
    NotAuthorized,
    /// The peer has read nothing for too long.
    WriteTimeout,
    /// The side has failed.
    Internal,
    /// A topic name that is none (TOP-1).
    InvalidTopic,
    /// A code that this version does not know.
    Other(u32),
}

/// Every code that has a name, at the index of its number, with the name the specification gives it.
const CODES: [(Code, &str); 28] = [
    (Code::Normal, "NORMAL"),
    (Code::GoingAway, "GOING_AWAY"),
    (Code::BadPreface, "BAD_PREFACE"),
    (Code::Malformed, "MALFORMED"),
    (Code::UnknownKind, "UNKNOWN_KIND"),
    (Code::UnexpectedFrame, "UNEXPECTED_FRAME"),
    (Code::FrameTooLarge, "FRAME_TOO_LARGE"),
    (Code::ReservedBits, "RESERVED_BITS"),
    (Code::Version, "VERSION"),
    (Code::Unsupported, "UNSUPPORTED"),
    (Code::HandshakeTimeout, "HANDSHAKE_TIMEOUT"),
    (Code::HandshakeTooLarge, "HANDSHAKE_TOO_LARGE"),
    (Code::AuthMethod, "AUTH_METHOD"),
    (Code::AuthFailed, "AUTH_FAILED"),
    (Code::SessionRefused, "SESSION_REFUSED"),
    (Code::BadResume, "BAD_RESUME"),
    (Code::KeepaliveTimeout, "KEEPALIVE_TIMEOUT"),
    (Code::CreditExceeded, "CREDIT_EXCEEDED"),
    (Code::InFlightExceeded, "IN_FLIGHT_EXCEEDED"),
    (Code::BadAck, "BAD_ACK"),
    (Code::BadLimit, "BAD_LIMIT"),
    (Code::TakenOver, "TAKEN_OVER"),
    (Code::SlowConsumer, "SLOW_CONSUMER"),
    (Code::Quota, "QUOTA"),
    (Code::NotAuthorized, "NOT_AUTHORIZED"),
    (Code::WriteTimeout, "WRITE_TIMEOUT"),
    (Code::Internal, "INTERNAL"),
    (Code::InvalidTopic, "INVALID_TOPIC"),
];

impl Code {
    /// The code with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Code {
        match usize::try_from(number).ok().and_then(|n| CODES.get(n)) {
            Some((code, _)) => *code,
            None => Code::Other(u32::try_from(number).unwrap_or(u32::MAX)),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Code::Other(n) => n,
            known => CODES.iter().position(|(c, _)| *c == known).unwrap_or_default() as u32,
        }
    }

    /// The name as the specification writes it; `OTHER` for codes it does not name.
    #[must_use]
    pub fn name(self) -> &'static str {
        CODES.iter().find(|(c, _)| *c == self).map_or("OTHER", |(_, name)| name)
    }

    /// The code with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Code> {
        CODES.iter().find(|(_, n)| *n == name).map(|(c, _)| *c)
    }

    /// Whether the session may be resumed after a CLOSE with this code (RES-11).
    #[must_use]
    pub fn may_resume(self) -> bool {
        self != Code::Normal
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Code::Other(n) => write!(f, "code {n}"),
            known => f.write_str(known.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_round_trip() {
        for n in 0..CODES.len() {
            let code = Code::from_number(n as u64);
            assert_eq!(code.number() as usize, n);
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::from_number(99), Code::Other(99));
        assert_eq!(Code::Other(99).number(), 99);
        assert_eq!(Code::from_number(u64::MAX), Code::Other(u32::MAX));
    }
}
