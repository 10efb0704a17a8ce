//! The opening handshake (RFC 6455 §4), both sides: what a client asks for, and what it is answered.
//!
//! A server reads what is asked by [`Offer::read`], and either refuses it, each [`Refusal`] with a
//! status that says why, or answers with the fields of [`Offer::accept`]. A client writes its
//! [`Opening`], and reads the answer by [`Opened::check`]. Which of the extensions are taken is not
//! decided here.
//!
//! ```
//! use bowline_core::http::RequestHead;
//! use bowline_core::websocket::handshake::Offer;
//!
//! let head = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
//! let request = RequestHead::parse(head)?;
//! let offer = Offer::read(&request)?;
//! assert_eq!(offer.choose(&["superchat", "chat"]), Some("superchat"), "in the server's order");
//! let fields = offer.accept(Some("superchat"), None);
//! assert!(fields.as_slice().contains(&("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::from_utf8;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::buf::SendBuf;
use crate::entropy::Entropy;
use crate::http::client::{Request, RequestError, ResponseHead};
use crate::http::{BodyLength, Headers, RequestHead, StatusCode, Version};

/// The version that is spoken, and no other.
pub const VERSION: &str = "13";

/// Octets of a key, and of its text.
const KEY: usize = 16;
const KEY_TEXT: usize = 24;

/// Octets of what a key is answered with, as text.
const ACCEPT_TEXT: usize = 28;

/// What nobody would append to a key who does not know this protocol (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request to open is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Only a GET opens (§4.1).
    #[error("a WebSocket is opened by GET (RFC 6455 §4.1)")]
    Method,
    /// HTTP/1.0 has no upgrade.
    #[error("a WebSocket is opened by HTTP/1.1 (RFC 6455 §4.1)")]
    Version,
    /// The request has a body.
    #[error("a request that opens a WebSocket has no body (RFC 6455 §4.1)")]
    Body,
    /// `Upgrade` does not name it.
    #[error("Upgrade does not name websocket (RFC 6455 §4.2.1)")]
    Upgrade,
    /// `Connection` does not name `Upgrade`.
    #[error("Connection does not name Upgrade (RFC 6455 §4.2.1)")]
    Connection,
    /// There is no key, or more than one.
    #[error("there is not exactly one Sec-WebSocket-Key (RFC 6455 §4.2.1)")]
    Keys,
    /// That is no key.
    #[error("Sec-WebSocket-Key is not 16 octets in base64 (RFC 6455 §4.2.1)")]
    Key,
    /// Another version of the protocol.
    #[error("the only WebSocket version spoken here is 13 (RFC 6455 §4.2.2)")]
    WebSocketVersion,
    /// More than one origin.
    #[error("there is more than one Origin (RFC 6454 §7.3)")]
    Origins,
}

impl Refusal {
    /// The status that answers it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Origins => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What goes with the status: what would be taken.
    #[must_use]
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::WebSocketVersion => {
                &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", VERSION)]
            }
            _ => &[],
        }
    }
}

/// Whether a request wants to open a WebSocket, well or badly.
#[must_use]
pub fn is_asked(head: &RequestHead<'_>) -> bool {
    head.headers.has_token("upgrade", "websocket") || head.headers.get("sec-websocket-key").is_some()
}

/// What a client asks for that wants to open a WebSocket, as far as all must be as it is; it borrows the
/// request's head.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'b> {
    headers: Headers<'b>,
    host: &'b str,
    accept: [u8; ACCEPT_TEXT],
}

impl<'b> Offer<'b> {
    /// Reads what is asked (§4.2.1).
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(head: &RequestHead<'b>) -> Result<Self, Refusal> {
        let headers = head.headers;
        let mut keys = headers.all("sec-websocket-key");
        let mut versions = headers.all("sec-websocket-version");
        let wrong = [
            (head.method != "GET", Refusal::Method),
            (head.version != Version::Http11, Refusal::Version),
            (head.body != BodyLength::None, Refusal::Body),
            (!headers.has_token("upgrade", "websocket"), Refusal::Upgrade),
            (!headers.has_token("connection", "upgrade"), Refusal::Connection),
            (versions.next() != Some(VERSION.as_bytes()), Refusal::WebSocketVersion),
            (versions.next().is_some(), Refusal::WebSocketVersion),
            (headers.all("origin").nth(1).is_some(), Refusal::Origins),
        ];
        if let Some((_, refusal)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
            return Err(refusal);
        }
        let (Some(key), None) = (keys.next(), keys.next()) else { return Err(Refusal::Keys) };
        let mut octets = [0; KEY + 2];
        if key.len() != KEY_TEXT || STANDARD.decode_slice(key, &mut octets) != Ok(KEY) {
            return Err(Refusal::Key);
        }
        Ok(Self { headers, host: head.host, accept: accept_of(key) })
    }

    /// The subprotocols that are offered, in the client's order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        self.headers.list("sec-websocket-protocol")
    }

    /// The first of `known` that is offered: in the server's order of preference.
    #[must_use]
    pub fn choose<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        known.iter().copied().find(|known| self.protocols().any(|offered| offered == *known))
    }

    /// The values of the fields in which extensions are offered, in their order.
    pub fn extensions(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.headers.all("sec-websocket-extensions")
    }

    /// The page that asks; nothing where no browser does.
    #[must_use]
    pub fn origin(&self) -> Option<&'b [u8]> {
        self.headers.get("origin")
    }

    /// Whether the page that asks comes from the host that is asked, or no page asks.
    #[must_use]
    pub fn is_same_host(&self) -> bool {
        match self.origin() {
            None => true,
            Some(origin) => from_utf8(origin).is_ok_and(|origin| is_same_host(origin, self.host)),
        }
    }

    /// The fields of the answer that opens (§4.2.2).
    #[must_use]
    pub fn accept<'a>(&'a self, protocol: Option<&'a str>, extensions: Option<&'a str>) -> Fields<'a> {
        let mut fields = Fields::default();
        fields.push("upgrade", "websocket");
        fields.push("connection", "Upgrade");
        fields.push("sec-websocket-accept", text(&self.accept));
        if let Some(protocol) = protocol {
            fields.push("sec-websocket-protocol", protocol);
        }
        if let Some(extensions) = extensions {
            fields.push("sec-websocket-extensions", extensions);
        }
        fields
    }
}

/// How many fields a client may put beside its own.
pub const BESIDE: usize = 8;

/// Fields of a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    fields: [(&'a str, &'a str); 6 + BESIDE],
    len: usize,
}

impl<'a> Fields<'a> {
    fn push(&mut self, name: &'a str, value: &'a str) {
        self.fields[self.len] = (name, value);
        self.len += 1;
    }

    /// Names and values.
    #[must_use]
    pub fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.fields[..self.len]
    }
}

/// What is base64, which is ASCII.
fn text(octets: &[u8]) -> &str {
    from_utf8(octets).unwrap_or_default()
}

/// What a key is answered with (§4.2.2, 5.4).
fn accept_of(key: &[u8]) -> [u8; ACCEPT_TEXT] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; ACCEPT_TEXT];
    let written = STANDARD.encode_slice(digest, &mut text);
    debug_assert_eq!(written, Ok(ACCEPT_TEXT));
    text
}

/// Whether an origin as a browser says it is of that host: names in any case, and a port that is not
/// said is the scheme's own.
#[must_use]
pub fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => ":80",
        _ if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => return false,
    };
    let bare = |authority: &'_ str| authority.len() - if authority.ends_with(port) { port.len() } else { 0 };
    let (a, b) = (&authority[..bare(authority)], &host[..bare(host)]);
    !a.is_empty() && a.eq_ignore_ascii_case(b)
}

/// Whether nobody else can have this host's name lead to another machine: it is an address, or `localhost`, with a
/// port or without. What a page asks of such a host was meant for it (no DNS rebinding).
#[must_use]
pub fn is_address_or_localhost(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'a> {
    /// The host, with its port unless that is the scheme's own.
    pub host: &'a str,
    /// The path, and the query where there is one.
    pub target: &'a str,
    /// Subprotocols, with commas between, the one that is preferred first; empty: none.
    pub protocols: &'a str,
    /// Extensions, with their parameters; empty: none.
    pub extensions: &'a str,
    /// Fields beside these, [`BESIDE`] at most: `Origin`, `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What a client that has asked waits for.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    accept: [u8; ACCEPT_TEXT],
}

/// What a server has answered; it borrows the response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'b> {
    /// The subprotocol that it chose, one of those that were offered.
    pub protocol: Option<&'b str>,
    /// The extensions that it chose; only where some were offered. Whether it is what was offered is for
    /// those to say who know them.
    pub extensions: Option<&'b [u8]>,
}

/// Why an answer does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// It is no 101: the server refuses, or is elsewhere.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// HTTP/1.0 has no upgrade.
    #[error("the answer is of HTTP/1.0, which has no upgrade (RFC 6455 §4.2.2)")]
    Version,
    /// `Upgrade` is not `websocket`.
    #[error("the answer's Upgrade does not name websocket (RFC 6455 §4.1)")]
    Upgrade,
    /// `Connection` does not name `Upgrade`.
    #[error("the answer's Connection does not name Upgrade (RFC 6455 §4.1)")]
    Connection,
    /// It does not answer the key that was sent.
    #[error("Sec-WebSocket-Accept does not answer the key (RFC 6455 §4.1)")]
    Accept,
    /// A subprotocol that was not offered, or several.
    #[error("the server chose a subprotocol that was not offered (RFC 6455 §4.1)")]
    Protocol,
    /// No subprotocol, where only those that were offered would do.
    #[error("the server chose none of the subprotocols that were offered")]
    NoProtocol,
    /// Extensions, and none was offered.
    #[error("the server chose an extension that was not offered (RFC 6455 §4.1)")]
    Extensions,
}

impl Opening<'_> {
    /// Writes the request, with a key of the secret stream (§4.1), and says what answers it.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`RequestError`].
    pub fn put(&self, entropy: &mut impl Entropy, out: &mut impl SendBuf) -> Result<Opened, RequestError> {
        let mut octets = [0; KEY];
        entropy.secret(&mut octets);
        let mut key = [0; KEY_TEXT];
        let written = STANDARD.encode_slice(octets, &mut key);
        debug_assert_eq!(written, Ok(KEY_TEXT));
        let mut fields = Fields::default();
        fields.push("upgrade", "websocket");
        fields.push("connection", "Upgrade");
        fields.push("sec-websocket-key", text(&key));
        fields.push("sec-websocket-version", VERSION);
        if !self.protocols.is_empty() {
            fields.push("sec-websocket-protocol", self.protocols);
        }
        if !self.extensions.is_empty() {
            fields.push("sec-websocket-extensions", self.extensions);
        }
        for (name, value) in self.headers.iter().take(BESIDE) {
            fields.push(name, value);
        }
        Request { host: self.host, target: self.target, headers: fields.as_slice() }.put(out)?;
        Ok(Opened { accept: accept_of(&key) })
    }
}

impl Opened {
    /// Checks the answer (§4.1) to what was asked.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check<'b>(&self, asked: &Opening<'_>, head: &ResponseHead<'b>) -> Result<Answer<'b>, AnswerFault> {
        let headers = head.headers;
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(AnswerFault::Status(head.status));
        }
        if head.version != Version::Http11 {
            return Err(AnswerFault::Version);
        }
        if !headers.text("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket")) {
            return Err(AnswerFault::Upgrade);
        }
        if !headers.has_token("connection", "upgrade") {
            return Err(AnswerFault::Connection);
        }
        let mut accepts = headers.all("sec-websocket-accept");
        if accepts.next() != Some(&self.accept[..]) || accepts.next().is_some() {
            return Err(AnswerFault::Accept);
        }
        let protocol = match headers.get("sec-websocket-protocol") {
            None => None,
            Some(_) => Some(headers.text("sec-websocket-protocol").ok_or(AnswerFault::Protocol)?),
        };
        let offered = |protocol: &str| asked.protocols.split(',').any(|offered| offered.trim() == protocol);
        if protocol.is_some_and(|chosen| !offered(chosen))
            || headers.all("sec-websocket-protocol").nth(1).is_some()
        {
            return Err(AnswerFault::Protocol);
        }
        let extensions = headers.get("sec-websocket-extensions");
        if extensions.is_some() && asked.extensions.is_empty()
            || headers.all("sec-websocket-extensions").nth(1).is_some()
        {
            return Err(AnswerFault::Extensions);
        }
        Ok(Answer { protocol, extensions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::SliceSendBuf;
    use crate::entropy::Scripted;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// The request of RFC 6455 §1.3, without lines that begin with `without`, and with others.
    fn asked(without: &str, with: &str) -> String {
        let lines = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: WebSocket\r\n\
            Connection: keep-alive, upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
            Sec-WebSocket-Version: 13\r\n";
        let kept =
            lines.split_inclusive("\r\n").filter(|line| without.is_empty() || !line.starts_with(without));
        format!("{}{with}\r\n", kept.collect::<String>())
    }

    fn refused(without: &str, with: &str) -> Option<Refusal> {
        let head = asked(without, with);
        Offer::read(&RequestHead::parse(head.as_bytes()).unwrap()).err()
    }

    #[test]
    fn the_example_of_the_rfc_opens() {
        let head = asked("", "");
        let head = RequestHead::parse(head.as_bytes()).unwrap();
        assert!(is_asked(&head));
        let offer = Offer::read(&head).unwrap();
        assert_eq!(offer.protocols().collect::<Vec<_>>(), ["chat", "superchat"]);
        assert_eq!(
            (offer.choose(&["x", "superchat", "chat"]), offer.choose(&["Chat"])),
            (Some("superchat"), None)
        );
        assert!(!offer.is_same_host() && offer.origin().is_some());
        let fields = offer.accept(Some("chat"), Some("x"));
        let want = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "x"),
        ];
        assert_eq!(fields.as_slice(), want);
        assert_eq!(offer.accept(None, None).as_slice(), &want[..3]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let key = "Sec-WebSocket-Key";
        for (without, with, refusal) in [
            ("GET", "", None),
            ("Upgrade", "", Some(Refusal::Upgrade)),
            ("Upgrade", "Upgrade: h2c\r\n", Some(Refusal::Upgrade)),
            ("Upgrade", "Upgrade: h2c\r\nUpgrade: websocket\r\n", None),
            ("Connection", "", Some(Refusal::Connection)),
            ("Connection", "Connection: upgrades\r\n", Some(Refusal::Connection)),
            ("Sec-WebSocket-Version", "", Some(Refusal::WebSocketVersion)),
            ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n", Some(Refusal::WebSocketVersion)),
            ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013\r\n", Some(Refusal::WebSocketVersion)),
            ("", "Sec-WebSocket-Version: 13\r\n", Some(Refusal::WebSocketVersion)),
            (key, "", Some(Refusal::Keys)),
            ("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", Some(Refusal::Keys)),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", Some(Refusal::Key)),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n", Some(Refusal::Key)),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", Some(Refusal::Key)),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n", Some(Refusal::Key)),
            (key, "Sec-WebSocket-Key:\r\n", Some(Refusal::Key)),
            ("", "Origin: http://example.com\r\n", Some(Refusal::Origins)),
            ("", "Content-Length: 1\r\n", Some(Refusal::Body)),
        ] {
            let (without, with) = if without == "GET" { ("", "") } else { (without, with) };
            assert_eq!(refused(without, with), refusal, "{without} {with}");
        }
        let post = asked("", "Content-Length: 0\r\n").replace("GET", "POST");
        let old = asked("", "").replace("HTTP/1.1", "HTTP/1.0");
        for (head, refusal) in [(post, Refusal::Method), (old, Refusal::Version)] {
            let read = Offer::read(&RequestHead::parse(head.as_bytes()).unwrap());
            assert_eq!(read.unwrap_err(), refusal);
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_taken() {
        assert_eq!(Refusal::WebSocketVersion.status(), StatusCode::UPGRADE_REQUIRED);
        assert!(Refusal::WebSocketVersion.fields().contains(&("sec-websocket-version", "13")));
        assert_eq!(
            (Refusal::Method.status().number(), Refusal::Method.fields()),
            (405, &[("allow", "GET")][..])
        );
        assert_eq!((Refusal::Key.status().number(), Refusal::Key.fields().len()), (400, 0));
        assert!(Refusal::Origins.to_string().contains("Origin"));
    }

    #[test]
    fn origins_are_compared_with_hosts() {
        for (origin, host, same) in [
            ("http://a.example", "a.example", true),
            ("http://A.example", "a.EXAMPLE", true),
            ("http://a:7790", "a:7790", true),
            ("http://a", "a:80", true),
            ("https://a:443", "a", true),
            ("http://[::1]:7790", "[::1]:7790", true),
            ("https://a", "a:80", false),
            ("http://a", "a:7790", false),
            ("http://a.example.evil", "a.example", false),
            ("http://evil/a", "a", false),
            ("null", "null", false),
            ("file://", "", false),
            ("http://", "", false),
            ("http://:80", ":80", false),
        ] {
            assert_eq!(is_same_host(origin, host), same, "{origin} {host}");
        }
    }

    #[test]
    fn names_that_others_can_point_elsewhere() {
        for own in ["127.0.0.1", "127.0.0.1:7790", "[::1]:7790", "[::1]", "localhost", "LOCALHOST:1"] {
            assert!(is_address_or_localhost(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
            "[127.0.0.1]",
            "::1",
            "2130706433",
            "[::1",
        ] {
            assert!(!is_address_or_localhost(other), "{other}");
        }
    }

    const OPENING: Opening<'_> = Opening {
        host: "server.example.com",
        target: "/chat",
        protocols: "chat, superchat",
        extensions: "",
        headers: &[("origin", "http://example.com")],
    };

    fn opened(opening: &Opening<'_>) -> (Opened, String) {
        let mut memory = [0; 512];
        let mut out = SliceSendBuf::new(&mut memory);
        let opened = opening.put(&mut Scripted::new(&[], b"the sample nonce"), &mut out).unwrap();
        (opened, String::from_utf8(out.pending().to_vec()).unwrap())
    }

    #[test]
    fn a_client_asks_what_a_server_takes() {
        let (_, text) = opened(&OPENING);
        let head = RequestHead::parse(text.as_bytes()).unwrap();
        assert_eq!(head.headers.text("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        let offer = Offer::read(&head).unwrap();
        assert_eq!(offer.choose(&["superchat"]), Some("superchat"));
        assert_eq!((head.host, offer.extensions().count()), ("server.example.com", 0));
        let mut out = SliceSendBuf::new(&mut []);
        assert!(OPENING.put(&mut Scripted::new(&[], &[]), &mut out).is_err());
    }

    #[test]
    fn an_answer_is_checked() {
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let check = |opening: &Opening<'_>, text: &str| {
            let text = format!("{text}\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap();
            let answer = opened(opening).0.check(opening, &head);
            answer.map(|a| (a.protocol.map(String::from), a.extensions.map(<[u8]>::to_vec)))
        };
        assert_eq!(check(&OPENING, good), Ok((None, None)));
        let chosen = format!("{good}Sec-WebSocket-Protocol: superchat\r\n");
        assert_eq!(check(&OPENING, &chosen), Ok((Some("superchat".into()), None)));
        let extended = format!("{good}Sec-WebSocket-Extensions: x\r\n");
        let offering = Opening { extensions: "x, y", ..OPENING };
        assert_eq!(check(&offering, &extended), Ok((None, Some(b"x".to_vec()))));
        for (answer, fault) in [
            ("HTTP/1.1 403 Forbidden\r\n".into(), AnswerFault::Status(StatusCode::FORBIDDEN)),
            (good.replace("HTTP/1.1", "HTTP/1.0"), AnswerFault::Version),
            (good.replace("Upgrade: WebSocket", "Upgrade: websockets"), AnswerFault::Upgrade),
            (good.replace("Connection: upgrade", "Connection: close"), AnswerFault::Connection),
            (good.replace("s3p", "S3p"), AnswerFault::Accept),
            (format!("{good}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), AnswerFault::Accept),
            (format!("{good}Sec-WebSocket-Protocol: Chat\r\n"), AnswerFault::Protocol),
            (format!("{chosen}Sec-WebSocket-Protocol: chat\r\n"), AnswerFault::Protocol),
            (extended.clone(), AnswerFault::Extensions),
        ] {
            assert_eq!(check(&OPENING, &answer), Err(fault), "{answer}");
        }
        let twice = format!("{extended}Sec-WebSocket-Extensions: y\r\n");
        assert_eq!(check(&offering, &twice), Err(AnswerFault::Extensions));
    }
}
