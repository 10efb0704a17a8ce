//! Files that are part of the program: a table, by path.

use std::sync::OnceLock;

use bowline_tokio::server::{HttpRequest, HttpResponse, StatusCode};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What pages may load and do: only what comes from here, and nobody may frame them.
const POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'; \
                      script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// A file.
pub(super) struct File {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    /// What it is known by, worked out when it is first asked for.
    tag: OnceLock<String>,
}

impl File {
    const fn new(path: &'static str, content_type: &'static str, body: &'static [u8]) -> Self {
        Self { path, content_type, body, tag: OnceLock::new() }
    }

    fn tag(&self) -> &str {
        self.tag.get_or_init(|| {
            let digest = Sha256::digest(self.body);
            let digits: Vec<String> = digest[..12].iter().map(|octet| format!("{octet:02x}")).collect();
            format!("\"{}\"", digits.concat())
        })
    }

    /// The file, or that what the client has is still right (RFC 9110 §13.1.2).
    pub(super) fn answer(&'static self, request: &HttpRequest) -> HttpResponse {
        let tag = self.tag();
        let known = request.header("if-none-match").is_some_and(|known| {
            known.split(',').map(str::trim).any(|k| k == "*" || k.strip_prefix("W/").unwrap_or(k) == tag)
        });
        let response = if known {
            HttpResponse::empty(StatusCode::NOT_MODIFIED)
        } else {
            HttpResponse::new(StatusCode::OK, self.content_type, Bytes::from_static(self.body))
        };
        response
            .with("etag", tag.to_owned())
            .with("cache-control", "no-cache")
            .with("content-security-policy", POLICY)
            .with("referrer-policy", "no-referrer")
    }
}

/// All of them.
static FILES: [File; 1] = [File::new("/", "text/plain; charset=utf-8", include_bytes!("index.txt"))];

/// The file of that path.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}
