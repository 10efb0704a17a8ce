//! How a request, a subscription or another command ended.

/// The answer to a command: what RESULT and RESPONSE carry.
///
/// Numbers of 64 and more belong to the application; those between are not assigned yet. Both are
/// [`Status::Other`], which passes any number on unchanged, and both count as failures.
///
/// ```
/// use bowline_core::status::Status;
/// assert_eq!(Status::from_code(7), Status::Timeout);
/// assert_eq!(Status::from_code(100).code(), 100);
/// assert!(Status::Ok.is_ok() && !Status::from_code(63).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done.
    Ok,
    /// The rules do not allow it.
    NotAuthorized,
    /// It makes no sense as it stands (a bad filter, a bad parameter).
    Invalid,
    /// A limit is reached.
    Quota,
    /// The receiver does not offer it.
    Unsupported,
    /// There is no such thing.
    NotFound,
    /// Nobody serves requests on this topic.
    NoResponder,
    /// The answer did not come in time.
    Timeout,
    /// The requester took the request back.
    Cancelled,
    /// The responder's session or connection ended.
    ResponderGone,
    /// There is no room at present; later there may be.
    Busy,
    /// The receiver does not want it.
    Rejected,
    /// The receiver goes away and takes no new work.
    Draining,
    /// What was asked for cannot be reached.
    Unreachable,
    /// Any other number: 14 to 63 are not assigned, from 64 on they are the application's.
    Other(u64),
}

/// The assigned ones, by number.
const ASSIGNED: [Status; 14] = [
    Status::Ok,
    Status::NotAuthorized,
    Status::Invalid,
    Status::Quota,
    Status::Unsupported,
    Status::NotFound,
    Status::NoResponder,
    Status::Timeout,
    Status::Cancelled,
    Status::ResponderGone,
    Status::Busy,
    Status::Rejected,
    Status::Draining,
    Status::Unreachable,
];

impl Status {
    /// The first number that belongs to the application.
    pub const APPLICATION: u64 = 64;

    /// The status with this number; every number is one.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        if code < ASSIGNED.len() as u64 { ASSIGNED[code as usize] } else { Self::Other(code) }
    }

    /// The number of this status.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Ok => 0,
            Self::NotAuthorized => 1,
            Self::Invalid => 2,
            Self::Quota => 3,
            Self::Unsupported => 4,
            Self::NotFound => 5,
            Self::NoResponder => 6,
            Self::Timeout => 7,
            Self::Cancelled => 8,
            Self::ResponderGone => 9,
            Self::Busy => 10,
            Self::Rejected => 11,
            Self::Draining => 12,
            Self::Unreachable => 13,
            Self::Other(code) => code,
        }
    }

    /// Its name in the specification (SPEC §5.3), where it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Ok => "OK",
            Self::NotAuthorized => "NOT_AUTHORIZED",
            Self::Invalid => "INVALID",
            Self::Quota => "QUOTA",
            Self::Unsupported => "UNSUPPORTED",
            Self::NotFound => "NOT_FOUND",
            Self::NoResponder => "NO_RESPONDER",
            Self::Timeout => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
            Self::ResponderGone => "RESPONDER_GONE",
            Self::Busy => "BUSY",
            Self::Rejected => "REJECTED",
            Self::Draining => "DRAINING",
            Self::Unreachable => "UNREACHABLE",
            Self::Other(_) => return None,
        })
    }

    /// Whether this is [`Status::Ok`]; all else is a failure.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for code in (0..200).chain([u64::MAX]) {
            assert_eq!(Status::from_code(code).code(), code);
        }
        assert!((14..200).all(|code| matches!(Status::from_code(code), Status::Other(_))));
    }
}
