//! What a request is answered by, and who asks.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::super::auth::Decision;
use super::super::connection::{NOT_SPOKEN, Turn};
use super::super::json;
use super::open::{WEBSOCKETS, is_own_name};
use super::{Connection, Exchange, HttpRequest, HttpResponse};
use crate::buf::SendBuf;
use crate::http::{RequestHead, StatusCode};
use crate::session::Auth;
use crate::stack::Dialect;
use crate::websocket::handshake;

/// What a request that is no upgrade is answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// There only WebSockets are.
    WebSocket,
    /// Typed JSON without one.
    Json,
    /// The adapter, where it answers requests.
    Adapter,
}

impl Route {
    fn of(path: &str) -> Self {
        if WEBSOCKETS.contains(&path) {
            Self::WebSocket
        } else if json::is_path(path) {
            Self::Json
        } else {
            Self::Adapter
        }
    }
}

impl Connection {
    /// The head of a request has come.
    pub(super) fn requested(&mut self, turn: &mut Turn<'_>, head: &RequestHead<'_>, out: &mut impl SendBuf) {
        if handshake::is_asked(head) {
            return self.open(turn, head, out);
        }
        let route = Route::of(head.path);
        let asks = if route == Route::Json { Dialect::Json } else { Dialect::Http };
        match route {
            Route::Json | Route::Adapter if !turn.server.listeners.answers(&self.peer, asks) => {
                self.answer(HttpResponse::text(StatusCode::FORBIDDEN, NOT_SPOKEN));
            }
            Route::WebSocket => {
                let why = "here only WebSockets are; ask with Upgrade: websocket";
                let answer = HttpResponse::text(StatusCode::UPGRADE_REQUIRED, why);
                self.answer(answer.with("upgrade", "websocket").with("connection", "upgrade"));
            }
            Route::Adapter if !turn.server.config.http.handled => {
                self.answer(HttpResponse::text(StatusCode::NOT_FOUND, "there is nothing of that name here"));
            }
            Route::Json | Route::Adapter => {
                self.exchange = Exchange::Coming(Box::new(HttpRequest::new(self.peer, head)));
            }
        }
    }

    /// The request is whole: who asks?
    pub(super) fn complete(&mut self, turn: &mut Turn<'_>) {
        // What needs no body was answered before.
        let Exchange::Coming(mut request) = core::mem::replace(&mut self.exchange, Exchange::None) else {
            return;
        };
        let authorization = request.authorization.take().map(Zeroizing::new);
        if let Some(auth) = json::body_auth(&request) {
            let decision = turn.decide(&self.peer, &auth.proof());
            return match decision {
                Decision::Accept(identity) => self.identified(turn, request, Some(identity)),
                Decision::Verify(work) => self.exchange = Exchange::Checked(request, Some(work)),
                _ => self.identified(turn, request, None),
            };
        }
        let Some(credentials) = Credentials::read(authorization.as_ref().map(|a| a.as_str())) else {
            return self.identified(turn, request, None);
        };
        let is_anonymous = matches!(credentials, Credentials::None);
        if is_anonymous && !self.is_meant(turn, &request) {
            return self.ask(turn, request);
        }
        match turn.decide(&self.peer, &credentials.auth()) {
            Decision::Accept(identity) => self.identified(turn, request, Some(identity)),
            Decision::Verify(work) => self.exchange = Exchange::Checked(request, Some(work)),
            // Whoever says nothing may still be told something.
            _ if is_anonymous => self.ask(turn, request),
            _ => self.identified(turn, request, None),
        }
    }

    /// Whether whoever asks without credentials means what the connection alone says of him: that he is on
    /// this machine, or has a certificate. A browser lends both to any page.
    fn is_meant(&self, turn: &Turn<'_>, request: &HttpRequest) -> bool {
        let (origins, origin) = (&turn.server.config.http.origins, request.header("origin"));
        is_own_name(&self.peer, &request.host)
            && (!turn.is_proved() || origins.allow(&self.peer, origin, &request.host))
    }

    /// It is known who asks; nothing: what it says of itself is wrong.
    pub(super) fn identified(
        &mut self,
        turn: &mut Turn<'_>,
        mut request: Box<HttpRequest>,
        identity: Option<String>,
    ) {
        if identity.is_none() && Route::of(&request.path) == Route::Json {
            return self.answer(json::unauthorized());
        }
        if identity.is_none() {
            let why = "the credentials are wrong, or of a kind that is not taken here (Basic, Bearer)";
            let answer = HttpResponse::text(StatusCode::UNAUTHORIZED, why);
            return self
                .answer(answer.with("www-authenticate", "Basic realm=\"bowline\", charset=\"UTF-8\""));
        }
        request.identity = identity;
        self.ask(turn, request);
    }

    /// Who answers it?
    fn ask(&mut self, turn: &mut Turn<'_>, request: Box<HttpRequest>) {
        if Route::of(&request.path) != Route::Json {
            self.exchange = Exchange::Asked(request);
            return;
        }
        match json::request(turn, &request) {
            json::Reply::Answer(answer) => self.answer(answer),
            json::Reply::Wait(wait) => self.exchange = Exchange::Waiting(wait),
            json::Reply::Check(check) => self.exchange = Exchange::Proving(check),
        }
    }
}

/// What `Authorization` says (RFC 7617, RFC 6750).
pub(in super::super) enum Credentials<'a> {
    None,
    Basic(Zeroizing<Vec<u8>>, usize),
    Bearer(&'a str),
}

impl<'a> Credentials<'a> {
    /// Nothing, where it says something that makes no sense.
    pub(in super::super) fn read(authorization: Option<&'a str>) -> Option<Self> {
        let Some(text) = authorization else { return Some(Self::None) };
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let mut octets = Zeroizing::new(alloc::vec![0; rest.len()]);
        let n = STANDARD.decode_slice(rest, &mut octets).ok()?;
        octets.truncate(n);
        let colon = octets.iter().position(|b| *b == b':')?;
        core::str::from_utf8(&octets[..colon]).ok()?;
        Some(Self::Basic(octets, colon))
    }

    pub(in super::super) fn auth(&self) -> Auth<'_> {
        match self {
            Self::None => Auth::None,
            Self::Bearer(token) => Auth::Token(token.as_bytes()),
            Self::Basic(octets, colon) => Auth::Password {
                // It was checked when it was read.
                user: core::str::from_utf8(&octets[..*colon]).unwrap_or_default(),
                password: &octets[colon + 1..],
            },
        }
    }
}
