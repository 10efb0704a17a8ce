//! HTTP/1.1 (RFC 9110, RFC 9112): a server's side of a connection, and what a client needs to ask for
//! another protocol.
//!
//! # What is taken
//!
//! A head is read strictly, since what two readers of one request understand differently is how
//! requests are smuggled: lines end in CRLF and nothing else, no field is folded over lines, no white
//! space is before a colon, a request has one `Host`, one length, and never a length together with a
//! coding. What is wrong is a [`Fault`], each with the [`StatusCode`] that answers it.
//!
//! | limit | by default |
//! |---|---|
//! | a head | [`MAX_HEAD`] octets |
//! | its request line | [`MAX_REQUEST_LINE`] octets |
//! | its fields | [`MAX_FIELDS`] |
//! | a body | [`server::Config::max_body`] octets |
//!
//! [`RequestHead`], [`Headers`], [`Chunked`] and [`Server`] need no allocator.
//!
//! ```
//! use bowline_core::http::{BodyLength, RequestHead};
//! let head = b"POST /ws/send?room=a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\n";
//! let request = RequestHead::parse(head)?;
//! assert_eq!((request.method, request.path, request.query), ("POST", "/ws/send", Some("room=a")));
//! assert_eq!(request.body, BodyLength::Octets(2));
//! # Ok::<(), bowline_core::http::Fault>(())
//! ```

mod chunked;
pub mod client;
mod fault;
mod head;
mod headers;
mod response;
pub mod server;
mod status;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use chunked::{Chunk, Chunked};
pub use fault::Fault;
pub use head::{BodyLength, HeadScanner, RequestHead, Version};
pub use headers::Headers;
#[cfg(feature = "alloc")]
pub(crate) use response::check_field;
pub use response::{BadField, Body, Date, Response, SendError};
pub use server::{Event, Server};
pub use status::StatusCode;

/// Octets of a head at most, its last empty line included.
pub const MAX_HEAD: usize = 16 << 10;

/// Octets of a request line at most, its end included.
pub const MAX_REQUEST_LINE: usize = 8 << 10;

/// Fields of a head at most.
pub const MAX_FIELDS: usize = 100;

/// How long the peer has to end the stream after this side has.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);
