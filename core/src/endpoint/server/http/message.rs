//! Requests and answers as an adapter sees them.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::endpoint::server::Peer;
use crate::http::{RequestHead, StatusCode};

/// A request that is whole.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    pub method: String,
    /// The path, with percent signs as they came.
    pub path: String,
    /// What stands behind the question mark.
    pub query: Option<String>,
    /// The host that is asked, with the port if one was said; empty if none was.
    pub host: String,
    /// Names, as they came, and values of fields; those that are not UTF-8 are left out, and so are the
    /// credentials.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks.
    pub peer: Peer,
    /// As whom: by its credentials, or as whoever may come without any (empty). Nothing: it gave none,
    /// and such are not welcome; nor is who is on this machine, but asks for a host of another name: that
    /// may be a page in its browser (see [`Origins`](super::Origins)).
    pub identity: Option<String>,
    /// What was asked for by `Authorization`; used up when it is decided who asks.
    pub(super) authorization: Option<String>,
}

impl HttpRequest {
    pub(super) fn new(peer: Peer, head: &RequestHead<'_>) -> Self {
        let text = |value| core::str::from_utf8(value).ok().map(String::from);
        let mut authorization = None;
        let mut headers = Vec::new();
        for (name, value) in head.headers.iter() {
            let Some(value) = text(value) else { continue };
            if name.eq_ignore_ascii_case("authorization") {
                authorization = Some(value);
            } else {
                headers.push((name.into(), value));
            }
        }
        Self {
            method: head.method.into(),
            path: head.path.into(),
            query: head.query.map(String::from),
            host: head.host.into(),
            headers,
            body: Vec::new(),
            peer,
            identity: None,
            authorization,
        }
    }

    /// The value of the first field of that name, whatever its letters' case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// An answer. How long it is, and whether the connection goes on, is not said by it.
///
/// ```
/// use bowline_core::endpoint::server::HttpResponse;
/// use bowline_core::http::StatusCode;
/// let answer = HttpResponse::new(StatusCode::OK, "text/html; charset=utf-8", "<p>hello")
///     .with("cache-control", "no-store");
/// assert_eq!(answer.headers.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// Names and values of fields.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The body.
    pub body: Bytes,
}

impl HttpResponse {
    /// With a body of that type.
    #[must_use]
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = [("content-type".into(), content_type.into())].into();
        Self { status, headers, body: body.into() }
    }

    /// The status and a line for people that says why.
    #[must_use]
    pub fn text(status: StatusCode, why: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{status}: {why}\n"))
    }

    /// Without a body.
    #[must_use]
    pub const fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// With another field.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
