//! What a client needs to ask for another protocol: to write a request, and to read the head that
//! answers it.

use core::fmt::{self, Write};

use super::head::{content_length, fault};
use super::response::{BadField, Counter, Put, check_field};
use super::{BodyLength, Fault, HeadScanner, Headers, MAX_FIELDS, StatusCode, Version};
use crate::buf::SendBuf;
use crate::error::Blocked;

/// A request without a body.
///
/// ```
/// use bowline_core::buf::SliceSendBuf;
/// use bowline_core::http::client::Request;
/// let mut memory = [0; 64];
/// let mut out = SliceSendBuf::new(&mut memory);
/// Request { host: "example.com", target: "/a?b", headers: &[("upgrade", "x")] }.put(&mut out)?;
/// assert_eq!(out.pending(), b"GET /a?b HTTP/1.1\r\nhost: example.com\r\nupgrade: x\r\n\r\n");
/// # Ok::<(), bowline_core::http::client::RequestError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The host, with its port unless that is the scheme's own.
    pub host: &'a str,
    /// The path, and the query where there is one.
    pub target: &'a str,
    /// Names and values of fields beside the host.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A request was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not now.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// A field cannot be written.
    #[error(transparent)]
    BadField(#[from] BadField),
    /// The target does not begin with a slash, or has octets that it may not have.
    #[error("the target of a request begins with / and has visible ASCII characters, no # among them")]
    Target,
}

impl Request<'_> {
    /// Writes a GET.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`RequestError`].
    pub fn put(&self, out: &mut impl SendBuf) -> Result<(), RequestError> {
        if !self.target.starts_with('/') || !self.target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(RequestError::Target);
        }
        check_field("host", self.host)?;
        for (name, value) in self.headers {
            check_field(name, value)?;
        }
        let mut counter = Counter::default();
        let _ = self.write(&mut counter); // counting does not fail
        if counter.0 > out.room() {
            return Err(Blocked.into());
        }
        let _ = self.write(&mut Put(out)); // there is room
        Ok(())
    }

    fn write(&self, to: &mut impl Write) -> fmt::Result {
        write!(to, "GET {} HTTP/1.1\r\nhost: {}\r\n", self.target, self.host)?;
        for (name, value) in self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        to.write_str("\r\n")
    }
}

/// The head of a response; it borrows the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'b> {
    /// The status.
    pub status: StatusCode,
    /// The version.
    pub version: Version,
    /// The fields.
    pub headers: Headers<'b>,
    /// How long the body is; nothing: it goes on to the end of the stream.
    pub body: Option<BodyLength>,
}

impl<'b> ResponseHead<'b> {
    /// Reads a whole head, its last empty line included, as [`HeadScanner`] found it.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Octets behind the head's end are none of its own: [`Fault::Field`].
    pub fn parse(head: &'b [u8]) -> Result<Self, Fault> {
        if HeadScanner::new().find(head)? != Some(head.len()) {
            return Err(Fault::Field);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(n)) if n == head.len() => {}
            Ok(_) => return Err(Fault::StatusLine),
            Err(error) => return Err(fault(error)),
        }
        let status = parsed.code.and_then(StatusCode::new).ok_or(Fault::StatusLine)?;
        let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let line = memchr::memchr(b'\n', head).map_or(0, |end| end + 1);
        let headers = Headers::new(&head[line..head.len() - 2]);
        let body = body_length(status, headers)?;
        Ok(Self { status, version, headers, body })
    }
}

fn body_length(status: StatusCode, headers: Headers<'_>) -> Result<Option<BodyLength>, Fault> {
    if status.is_bodiless() {
        return Ok(Some(BodyLength::None));
    }
    let mut lengths = headers.all("content-length");
    let (length, second) = (lengths.next(), lengths.next());
    let mut codings = headers.all("transfer-encoding");
    match (codings.next(), length) {
        _ if second.is_some() => Err(Fault::LengthRepeated),
        (Some(_), Some(_)) => Err(Fault::LengthAndEncoding),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(Some(BodyLength::Chunked))
        }
        (Some(_), None) => Err(Fault::Coding),
        (None, Some(length)) => content_length(length).map(Some),
        (None, None) => Ok(None),
    }
}
