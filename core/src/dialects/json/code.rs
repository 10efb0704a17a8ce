//! What an `$error` says to programs.

use core::fmt;
use core::time::Duration;

use crate::status::Status;

/// The `code` of an `$error` (JSN-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// No envelope, or a member that is not what it must be.
    Malformed,
    /// No type, or one with `$` that this protocol does not have.
    UnknownType,
    /// The client has not said who it is, or what it said is wrong.
    Unauthorized,
    /// The access rules do not allow it.
    Denied,
    /// Only members may do this in the room.
    NotMember,
    /// No room can have this name.
    BadRoom,
    /// There is no such room, subscription or session.
    NotFound,
    /// It is larger than the server takes.
    TooLarge,
    /// It comes too often.
    RateLimited,
    /// A limit is reached that does not pass by itself.
    Quota,
    /// The store takes nothing at present.
    Store,
    /// Too much is under way.
    Busy,
    /// Nobody answers requests on the topic.
    NoResponder,
    /// Nobody answered in time.
    Timeout,
    /// The server goes down.
    Draining,
}

impl ErrorCode {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_type",
            Self::Unauthorized => "unauthorized",
            Self::Denied => "denied",
            Self::NotMember => "not_member",
            Self::BadRoom => "bad_room",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Store => "store",
            Self::Busy => "busy",
            Self::NoResponder => "no_responder",
            Self::Timeout => "timeout",
            Self::Draining => "draining",
        }
    }

    /// How long to wait before the same is asked again, where it may succeed then.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited | Self::Store | Self::Busy | Self::Draining => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The code for how a request ended that was not answered.
    #[must_use]
    pub const fn of_status(status: Status) -> Self {
        match status {
            Status::NoResponder | Status::ResponderGone => Self::NoResponder,
            Status::Draining => Self::Draining,
            Status::Timeout => Self::Timeout,
            Status::NotAuthorized => Self::Denied,
            Status::Quota => Self::Quota,
            Status::NotFound => Self::NotFound,
            Status::Invalid => Self::Malformed,
            _ => Self::Busy,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
