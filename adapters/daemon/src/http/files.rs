//! Files that are part of the program: a table, by path.

use std::sync::OnceLock;

use bowline_tokio::server::{HttpRequest, HttpResponse, StatusCode};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What pages may load and do: only what comes from here, nothing within the page itself, and nobody may
/// frame them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Which page a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Chat,
    Console,
    Both,
}

/// A file.
pub(super) struct File {
    path: &'static str,
    pub(super) of: Of,
    content_type: &'static str,
    body: &'static [u8],
    /// What it is known by, worked out when it is first asked for.
    tag: OnceLock<String>,
}

impl File {
    const fn new(path: &'static str, of: Of, content_type: &'static str, body: &'static [u8]) -> Self {
        Self { path, of, content_type, body, tag: OnceLock::new() }
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

/// All of them. They are made by `npm run build` in `examples/web`.
static FILES: [File; 8] = [
    File::new("/", Of::Console, HTML, include_bytes!("assets/console.html")),
    File::new("/chat", Of::Chat, HTML, include_bytes!("assets/chat.html")),
    File::new("/assets/client.js", Of::Both, SCRIPT, include_bytes!("assets/client.js")),
    File::new("/assets/chat.js", Of::Chat, SCRIPT, include_bytes!("assets/chat.js")),
    File::new("/assets/console.js", Of::Console, SCRIPT, include_bytes!("assets/console.js")),
    File::new("/assets/style.css", Of::Both, STYLE, include_bytes!("assets/style.css")),
    File::new("/assets/icon.svg", Of::Both, IMAGE, include_bytes!("assets/icon.svg")),
    File::new("/favicon.ico", Of::Both, IMAGE, include_bytes!("assets/icon.svg")),
];

/// The file of that path.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}
