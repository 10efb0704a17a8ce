//! What can be wrong with a request, and what answers it.

use super::{MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE, StatusCode};

/// The peer broke a rule of HTTP, or a limit. Each has one [status](Fault::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The first line is not a method, a target and a version, with one space between.
    #[error("the request line is not METHOD SP TARGET SP HTTP/1.1 (RFC 9112 §3)")]
    RequestLine,
    /// Of a client: the first line is not a version and a status.
    #[error("the status line is malformed (RFC 9112 §4)")]
    StatusLine,
    /// Another version than 1.0 and 1.1.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    Version,
    /// A target that no resource can have.
    #[error("the request target is malformed, or not of a form that its method has (RFC 9112 §3.2)")]
    Target,
    /// A method that nothing here has.
    #[error("this method is not implemented")]
    Method,
    /// A line ends in CR or LF alone.
    #[error("lines end in CRLF; there is a CR or LF alone (RFC 9112 §2.2)")]
    LineEnd,
    /// A field goes on in the next line.
    #[error("a header field is folded over lines (RFC 9112 §5.2)")]
    Folded,
    /// There is white space before a colon.
    #[error("there is white space before the colon of a header field (RFC 9112 §5.1)")]
    SpaceBeforeColon,
    /// A field's name or value has octets that it may not have.
    #[error("a header field is malformed (RFC 9112 §5)")]
    Field,
    /// The first line is too long.
    #[error("the request line is longer than {MAX_REQUEST_LINE} octets")]
    LineTooLong,
    /// The head is too long.
    #[error("the head is longer than {MAX_HEAD} octets")]
    HeadTooLong,
    /// There are too many fields.
    #[error("the head has more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// HTTP/1.1 wants to know the host.
    #[error("the Host field is missing (RFC 9112 §3.2)")]
    HostMissing,
    /// More than one host.
    #[error("there is more than one Host field (RFC 9112 §3.2)")]
    HostRepeated,
    /// That is no host.
    #[error("the host is not a name or an address with or without a port (RFC 9112 §3.2)")]
    Host,
    /// That is no length.
    #[error("Content-Length is not one decimal number (RFC 9112 §6.3)")]
    ContentLength,
    /// More than one length, equal or not.
    #[error("there is more than one Content-Length (RFC 9112 §6.3)")]
    LengthRepeated,
    /// A length and a coding: two readers would see different requests.
    #[error("Content-Length and Transfer-Encoding exclude each other (RFC 9112 §6.3)")]
    LengthAndEncoding,
    /// The codings do not say where the body ends, or the client cannot know them.
    #[error("Transfer-Encoding is not what ends a body: chunked, once and last (RFC 9112 §6.3)")]
    TransferEncoding,
    /// A coding that is not known here.
    #[error("the only transfer coding known here is chunked")]
    Coding,
    /// A request that has a body by its method does not say how long that is.
    #[error("say how long the body is: Content-Length, or Transfer-Encoding: chunked")]
    LengthRequired,
    /// The body is too long.
    #[error("the body is longer than {0} octets")]
    BodyTooLong(u64),
    /// The body's chunks are malformed.
    #[error("a chunk of the body is malformed (RFC 9112 §7.1)")]
    Chunk,
    /// Something else than 100-continue is expected.
    #[error("the only expectation that can be met is 100-continue")]
    Expectation,
    /// The request did not come to its end in time.
    #[error("the request did not come to its end in time")]
    Stalled,
}

impl Fault {
    /// The status that answers it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::RequestLine
            | Self::StatusLine
            | Self::Target
            | Self::LineEnd
            | Self::Folded
            | Self::SpaceBeforeColon
            | Self::Field
            | Self::HostMissing
            | Self::HostRepeated
            | Self::Host
            | Self::ContentLength
            | Self::LengthRepeated
            | Self::LengthAndEncoding
            | Self::TransferEncoding
            | Self::Chunk => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::Method | Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::LineTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::BodyTooLong(_) => StatusCode::CONTENT_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
        }
    }
}
