//! Finding where a head ends, and reading a request's.

use super::{Fault, Headers, MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE};

/// HTTP's version; no other is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 1.0: a connection for each request.
    Http10,
    /// 1.1.
    Http11,
}

/// How long a body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many octets.
    Octets(u64),
    /// As its chunks say.
    Chunked,
}

/// Looks for the end of a head in what has come so far, without looking at anything twice but the
/// line that is not whole.
///
/// ```
/// use bowline_core::http::HeadScanner;
/// let mut scanner = HeadScanner::new();
/// assert_eq!(scanner.find(b"GET / HTTP/1.1\r\nHo"), Ok(None));
/// assert_eq!(scanner.find(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore"), Ok(Some(27)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    /// Where the line begins that is not whole.
    line: u16,
    fields: u8,
}

// Both limits fit what they are counted with.
const _: () = assert!(MAX_HEAD <= u16::MAX as usize && MAX_FIELDS < u8::MAX as usize);

impl HeadScanner {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { line: 0, fields: 0 }
    }

    /// The head's size with its last empty line, once that has come. `octets`: all that has come of
    /// it, each time from its beginning.
    ///
    /// Works in the time that the octets take which it has not seen.
    ///
    /// # Errors
    ///
    /// A line's end, a fold or a limit; see [`Fault`]. It is seen as soon as it comes.
    pub fn find(&mut self, octets: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let at = usize::from(self.line);
            let rest = octets.get(at..).unwrap_or_default();
            let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
                return self.within(octets.len()).map(|()| None);
            };
            match rest.get(end..) {
                Some([b'\r', b'\n', ..]) => {}
                Some([b'\r']) => return self.within(octets.len()).map(|()| None),
                _ => return Err(Fault::LineEnd),
            }
            let next = at + end + 2;
            self.within(next)?;
            if end == 0 {
                return Ok(Some(next));
            }
            if at > 0 {
                self.fields += 1;
                if usize::from(self.fields) > MAX_FIELDS {
                    return Err(Fault::TooManyFields);
                }
                check_line(&rest[..end])?;
            }
            self.line = next as u16; // at most MAX_HEAD
        }
    }

    /// Whether so many octets are within the limits.
    fn within(self, len: usize) -> Result<(), Fault> {
        if self.line == 0 && len > MAX_REQUEST_LINE {
            return Err(Fault::LineTooLong);
        }
        if len > MAX_HEAD { Err(Fault::HeadTooLong) } else { Ok(()) }
    }
}

/// A field's line, as far as others do not look at it.
fn check_line(line: &[u8]) -> Result<(), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(Fault::Field)?;
    match line[..colon].last() {
        Some(b' ' | b'\t') => Err(Fault::SpaceBeforeColon),
        _ => Ok(()),
    }
}

/// The head of a request; it borrows the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// The method, one of those that are known: `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`,
    /// `OPTIONS`.
    pub method: &'b str,
    /// The path, beginning with `/`, with percent signs as they came; `*` of `OPTIONS`.
    pub path: &'b str,
    /// What stands behind the question mark.
    pub query: Option<&'b str>,
    /// The host, with the port if one was said; empty if none was (HTTP/1.0).
    pub host: &'b str,
    /// The version.
    pub version: Version,
    /// The fields.
    pub headers: Headers<'b>,
    /// How long the body is that follows.
    pub body: BodyLength,
}

impl<'b> RequestHead<'b> {
    /// Reads a whole head, its last empty line included.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Octets behind the head's end are none of its own: [`Fault::Field`].
    pub fn parse(head: &'b [u8]) -> Result<Self, Fault> {
        if HeadScanner::new().find(head)? != Some(head.len()) {
            return Err(Fault::Field);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(n)) if n == head.len() => {}
            Ok(_) => return Err(Fault::RequestLine),
            Err(error) => return Err(fault(error)),
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Fault::RequestLine);
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let line = memchr::memchr(b'\n', head).map_or(0, |end| end + 1);
        let headers = Headers::new(&head[line..head.len() - 2]);
        if !METHODS.contains(&method) {
            return Err(Fault::Method);
        }
        let Target { authority, path, query } = Target::parse(method, target)?;
        let host = host(version, headers)?;
        let host = authority.unwrap_or(host);
        if !is_host(host) {
            return Err(Fault::Host);
        }
        let body = body_length(method, version, headers)?;
        Ok(Self { method, path, query, host, version, headers, body })
    }

    /// Whether the connection ends with the answer: the client says so, or speaks HTTP/1.0.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.version == Version::Http10 || self.headers.has_token("connection", "close")
    }

    /// The value of a parameter of the query, as it was written; the first of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'b str> {
        let pairs = self.query?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

/// Those that have a meaning here. CONNECT and TRACE have none, on purpose.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) const fn fault(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::Version => Fault::Version,
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Fault::Field,
        httparse::Error::NewLine => Fault::LineEnd,
        httparse::Error::Status => Fault::StatusLine,
        httparse::Error::Token => Fault::RequestLine,
    }
}

/// What a request asks for (RFC 9112 §3.2).
struct Target<'b> {
    authority: Option<&'b str>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn parse(method: &str, target: &'b str) -> Result<Self, Fault> {
        if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(Fault::Target);
        }
        if target == "*" && method == "OPTIONS" {
            return Ok(Self { authority: None, path: target, query: None });
        }
        let (authority, rest) = match absolute(target) {
            // With an empty path, the root is meant.
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                if authority.is_empty() {
                    return Err(Fault::Target);
                }
                (Some(authority), rest)
            }
            None => (None, target),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        match (path, authority) {
            ("", Some(_)) => Ok(Self { authority, path: "/", query }),
            _ if path.starts_with('/') => Ok(Self { authority, path, query }),
            _ => Err(Fault::Target),
        }
    }
}

/// What follows the scheme of an absolute target.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// The one Host field. HTTP/1.0 has none, or one.
fn host<'b>(version: Version, headers: Headers<'b>) -> Result<&'b str, Fault> {
    let mut hosts = headers.all("host");
    let host = match hosts.next() {
        Some(host) => core::str::from_utf8(host).map_err(|_| Fault::Host)?,
        None if version == Version::Http10 => "",
        None => return Err(Fault::HostMissing),
    };
    if hosts.next().is_some() {
        return Err(Fault::HostRepeated);
    }
    if is_host(host) { Ok(host) } else { Err(Fault::Host) }
}

/// A name or an address, and a port (RFC 3986 §3.2.2, §3.2.3); without user information, which HTTP
/// does not have. Empty where a target has no authority.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<core::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("", port),
                None if rest.is_empty() => ("", ""),
                None => return false,
            }
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
    name.bytes().all(in_name) && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())
}

/// How long the body is, where nothing about that is in doubt (RFC 9112 §6.3).
fn body_length(method: &str, version: Version, headers: Headers<'_>) -> Result<BodyLength, Fault> {
    let mut lengths = headers.all("content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Fault::LengthRepeated);
    }
    let mut codings = headers.all("transfer-encoding");
    match (codings.next(), length) {
        (Some(_), Some(_)) => Err(Fault::LengthAndEncoding),
        (Some(coding), None) => {
            // HTTP/1.0 has no codings: whoever adds one did not make the request.
            if codings.next().is_some() || version == Version::Http10 {
                return Err(Fault::TransferEncoding);
            }
            encoded(coding)
        }
        (None, Some(length)) => content_length(length),
        (None, None) if matches!(method, "POST" | "PUT" | "PATCH") => Err(Fault::LengthRequired),
        (None, None) => Ok(BodyLength::None),
    }
}

fn encoded(coding: &[u8]) -> Result<BodyLength, Fault> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    let ends_in_chunked = |list: &[u8]| {
        let last = list.rsplit(|b| *b == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    };
    Err(if ends_in_chunked(coding) { Fault::Coding } else { Fault::TransferEncoding })
}

pub(super) fn content_length(value: &[u8]) -> Result<BodyLength, Fault> {
    // A list of equal ones, as a proxy may make it of two, is as suspicious as two.
    if value.contains(&b',') {
        return Err(Fault::LengthRepeated);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::ContentLength);
    }
    let digit = |n: u64, b: &u8| n.checked_mul(10)?.checked_add(u64::from(b - b'0'));
    let length = value.iter().try_fold(0, digit).ok_or(Fault::ContentLength)?;
    Ok(if length == 0 { BodyLength::None } else { BodyLength::Octets(length) })
}
