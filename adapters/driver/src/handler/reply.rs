//! What handlers give back.

use std::fmt::Display;

use bowline_core::status::Status;
use bytes::Bytes;

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// The answer; with a status other than OK a reason in UTF-8.
    pub payload: Bytes,
}

impl Response {
    /// An answer that is OK.
    pub fn ok(payload: impl Into<Bytes>) -> Self {
        Self { status: Status::Ok, payload: payload.into() }
    }
}

/// Why a handler has no answer; the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status:?}: {reason}")]
pub struct Failure {
    /// What sort of failure it is.
    pub status: Status,
    /// Why, for people.
    pub reason: String,
}

impl Failure {
    /// A failure of this sort, for this reason.
    pub fn new(status: Status, reason: impl Display) -> Self {
        Self { status, reason: reason.to_string() }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self { status, reason: String::new() }
    }
}

/// The receiver does not want it ([`Status::Rejected`]), for this reason.
impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::new(Status::Rejected, reason)
    }
}

/// The receiver does not want it ([`Status::Rejected`]), for this reason.
impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { status: Status::Rejected, reason }
    }
}

/// What a handler may return: bytes, text, nothing, a whole [`Response`], JSON, CBOR, or any of these or
/// a failure: a `Result` whose error makes a [`Failure`]. Only that can be an error, so that none is ever
/// answered as if all were well. Nobody is told what a handler of messages returns.
///
/// ```
/// use bowline_driver::core::status::Status;
/// use bowline_driver::handler::{Failure, Text};
///
/// enum Refused { Short, Taken }
///
/// impl From<Refused> for Failure {
///     fn from(refused: Refused) -> Self {
///         match refused {
///             Refused::Short => Failure::new(Status::Invalid, "at least three letters"),
///             // Numbers from 64 on are the application's.
///             Refused::Taken => Failure::new(Status::from_code(64), "somebody has that name"),
///         }
///     }
/// }
///
/// async fn register(Text(name): Text) -> Result<(), Refused> {
///     match &*name {
///         "root" => Err(Refused::Taken),
///         name if name.len() < 3 => Err(Refused::Short),
///         _ => Ok(()),
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot answer with `{Self}`",
    note = "return bytes, a `String`, `()`, `Json<T>`, `Cbor<T>`, a `Response`, or a `Result` of one of them whose error is `Into<Failure>`"
)]
pub trait IntoReply {
    /// The answer.
    fn into_reply(self) -> Response;
}

impl IntoReply for Response {
    fn into_reply(self) -> Response {
        self
    }
}

macro_rules! bytes {
    ($($t:ty)*) => {$(
        impl IntoReply for $t {
            fn into_reply(self) -> Response {
                Response::ok(self)
            }
        }
    )*};
}

bytes! { Bytes Vec<u8> String &'static str &'static [u8] }

impl IntoReply for () {
    fn into_reply(self) -> Response {
        Response::ok(Bytes::new())
    }
}

impl IntoReply for Failure {
    fn into_reply(self) -> Response {
        Response { status: self.status, payload: self.reason.into() }
    }
}

impl<T: IntoReply, E: Into<Failure>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Response {
        self.map_or_else(|e| e.into().into_reply(), IntoReply::into_reply)
    }
}
