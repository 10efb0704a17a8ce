//! What is answered.

use core::fmt::{self, Write};

use super::StatusCode;
use crate::buf::SendBuf;
use crate::calendar::Second;
use crate::error::Blocked;

/// A body to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Octets that are copied.
    Copied(&'a [u8]),
    /// Octets that go by reference where they are many.
    #[cfg(feature = "alloc")]
    Shared(&'a bytes::Bytes),
}

impl Body<'_> {
    /// No octets.
    pub const EMPTY: Self = Body::Copied(&[]);

    /// How many octets it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Copied(octets) => octets.len(),
            #[cfg(feature = "alloc")]
            Self::Shared(octets) => octets.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn put(&self, out: &mut impl SendBuf) {
        match self {
            Self::Copied(octets) => out.put(octets),
            #[cfg(feature = "alloc")]
            Self::Shared(octets) => out.put_shared(octets),
        }
    }
}

/// A response. What frames it is not among its fields: `Content-Length`, `Transfer-Encoding`,
/// `Connection` and `Date` are written by the machine.
///
/// ```
/// use bowline_core::http::{Body, Response, StatusCode};
/// let headers = [("content-type", "text/plain; charset=utf-8")];
/// let response = Response { headers: &headers, ..Response::new(StatusCode::OK, Body::Copied(b"hi\n")) };
/// assert!(!response.status.is_error());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status.
    pub status: StatusCode,
    /// Names and values of fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Body<'a>,
}

impl<'a> Response<'a> {
    /// Without fields.
    #[must_use]
    pub const fn new(status: StatusCode, body: Body<'a>) -> Self {
        Self { status, headers: &[], body }
    }
}

/// A field's name or value has octets that it may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header field's name is not a token, or its value has a control character")]
pub struct BadField;

/// A response was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Not now.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// It cannot be written.
    #[error(transparent)]
    BadField(#[from] BadField),
    /// Nothing waits for a response, or for more of one.
    #[error("no request waits for that")]
    NotAsked,
    /// More octets of a body than its length says.
    #[error("the body is longer than was said")]
    TooLong,
}

impl SendError {
    /// Whether it may be taken later.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked(_))
    }
}

/// Whether a field may be written: nobody can put a line of his own into a head by it.
pub(crate) fn check_field(name: &str, value: &str) -> Result<(), BadField> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let in_value = |b: u8| b == b'\t' || b >= b' ' && b != 0x7f;
    if !name.is_empty() && name.bytes().all(token) && value.bytes().all(in_value) {
        Ok(())
    } else {
        Err(BadField)
    }
}

/// Counts what is written.
#[derive(Default)]
pub(super) struct Counter(pub(super) usize);

impl Write for Counter {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }
}

/// Writes into a buffer that has room for it all.
pub(super) struct Put<'a, S>(pub(super) &'a mut S);

impl<S: SendBuf> Write for Put<'_, S> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.put(s.as_bytes());
        Ok(())
    }
}

/// A time of the calendar as HTTP writes it (RFC 9110 §5.6.7), from seconds since
/// 1970-01-01 UTC.
///
/// ```
/// use bowline_core::http::Date;
/// assert_eq!(Date::from_unix(784_111_777).to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(Second);

impl Date {
    /// So many seconds since 1970-01-01 UTC; the end of the year 9999 is the latest.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        Self(Second::from_unix(seconds))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let ((year, month, day), (hour, minute, second)) = (self.0.date(), self.0.time());
        let (weekday, month) = (DAYS[(self.0.days() % 7) as usize], MONTHS[month as usize - 1]);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}
