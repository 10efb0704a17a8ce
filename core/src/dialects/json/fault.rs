//! What is wrong with a client's message.

use alloc::string::String;
use core::fmt;

use super::{ErrorCode, MAX_DEPTH, MAX_NAME};

/// Why a message was not taken, and where: it is answered by `$error`, and the connection goes on
/// (JSN-2, JSN-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub(super) what: What,
    /// The member that it is about; empty: the message as a whole.
    pub(super) member: &'static str,
    /// Octets from the message's beginning.
    pub(super) at: usize,
    /// The message's `id`, where that could be read.
    pub(super) id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Syntax,
    Truncated,
    TooDeep,
    /// It must be this.
    MustBe(&'static str),
    Missing(&'static str),
    TooLong,
    NoType,
    UnknownType,
}

impl Fault {
    pub(super) const fn new(what: What, member: &'static str, at: usize) -> Self {
        Self { what, member, at, id: None }
    }

    /// What the `$error` says to programs.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self.what {
            What::NoType | What::UnknownType => ErrorCode::UnknownType,
            _ => ErrorCode::Malformed,
        }
    }

    /// Octets from the message's beginning to what is wrong.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The message's `id`, which the `$error` names, where it could be read.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether the message is no JSON at all.
    #[must_use]
    pub const fn is_no_json(&self) -> bool {
        matches!(self.what, What::Syntax | What::Truncated | What::TooDeep)
    }

    /// Whether the message is JSON, but no object.
    #[must_use]
    pub const fn is_no_object(&self) -> bool {
        matches!(self.what, What::MustBe(_)) && self.member.is_empty()
    }

    /// Whether the message has no type.
    #[must_use]
    pub const fn is_without_type(&self) -> bool {
        matches!(self.what, What::NoType)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, at, .. } = self;
        write!(f, "at octet {at}: ")?;
        let member = if member.is_empty() { "the message" } else { member };
        let quote = if self.member.is_empty() { "" } else { "'" };
        match self.what {
            What::Syntax => f.write_str("this is no JSON"),
            What::Truncated => f.write_str("the JSON ends here, in the middle of a value"),
            What::TooDeep => write!(f, "arrays and objects nest deeper than {MAX_DEPTH} levels"),
            What::MustBe(what) => write!(f, "{quote}{member}{quote} must be {what}"),
            What::Missing(what) => write!(f, "{quote}{member}{quote} is missing: {what}"),
            What::TooLong => {
                write!(f, "{quote}{member}{quote} is too long: at most {MAX_NAME} octets are allowed")
            }
            What::NoType => f.write_str("'type' is missing or empty"),
            What::UnknownType => f.write_str("there is no such type; those with '$' are the protocol's own"),
        }
    }
}

impl core::error::Error for Fault {}
