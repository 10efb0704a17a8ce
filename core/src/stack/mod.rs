//! What speaks on a connection: one port serves every dialect, told apart by their first octets.
//!
//! ```
//! use bowline_core::stack::{Detection, Dialect, detect};
//! assert_eq!(detect(b"\x10\x0c\x00\x04MQ"), Detection::Known(Dialect::Mqtt));
//! assert_eq!(detect(b"\x10\x15\x00\x04PR"), Detection::NeedMore);
//! assert_eq!(detect(b"GET / HTTP/1.1\r\n"), Detection::Known(Dialect::Http));
//! assert_eq!(detect(b"SSH-2.0-"), Detection::Unknown);
//! ```

mod alpn;
mod detect;

pub use alpn::Alpn;
pub use detect::{Detection, Dialect, OPENING_MAX, detect};
