//! Requests of HTTP in place of a WebSocket (JSON.md §6).

mod answer;
mod send;
mod session;
mod wait;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

pub(in super::super) use answer::unauthorized;
pub(in super::super) use send::Check;
pub(in super::super) use wait::{Wait, Waited};

use super::super::ConnectionKey;
use super::super::connection::Turn;
use super::super::http::{HttpRequest, HttpResponse};
use super::super::registry::Sought;
use super::auth::hex;
use crate::http::StatusCode;
use crate::hub::SessionKey;
use crate::json::{Auth, Credentials};
use crate::session::{ResumeKey, SessionId};
use answer::{Fields, NO_SESSION, NOT_YOURS, Refusal, refusal};

/// What keeps the session of a page that knows of none.
const COOKIE: &str = "bowline_poll";

const METHODS: [(&str, &str); 4] = [
    ("/ws/session", "POST, DELETE, OPTIONS"),
    ("/ws/poll", "GET, OPTIONS"),
    ("/ws/events", "GET, OPTIONS"),
    ("/ws/send", "POST, OPTIONS"),
];

/// Whether a path is one of those that are for pages without a WebSocket.
pub(in super::super) fn is_path(path: &str) -> bool {
    METHODS.iter().any(|(known, _)| *known == path)
}

/// What becomes of a request.
pub(in super::super) enum Reply {
    /// It is answered.
    Answer(HttpResponse),
    /// It waits for messages.
    Wait(Box<Wait>),
    /// It waits for a password to be checked, which its messages brought.
    Check(Box<Check>),
}

/// What the body of a request says of who asks, for `POST /ws/session`.
pub(in super::super) fn body_auth(request: &HttpRequest) -> Option<Auth<'_>> {
    if request.path != "/ws/session" || request.method != "POST" {
        return None;
    }
    let text = core::str::from_utf8(&request.body).ok()?;
    Auth::parse(text).ok().filter(|auth| auth.credentials.is_some())
}

impl Auth<'_> {
    /// What the credentials are in the words of all dialects.
    pub(in super::super) fn proof(&self) -> crate::session::Auth<'_> {
        match &self.credentials {
            None => crate::session::Auth::None,
            Some(Credentials::Token(token)) => crate::session::Auth::Token(token.as_bytes()),
            Some(Credentials::Password(user, password)) => {
                crate::session::Auth::Password { user, password: password.as_bytes() }
            }
        }
    }
}

/// A request that is whole; it is known who asks, or that nobody in particular does who is not welcome
/// as such.
pub(in super::super) fn request(turn: &mut Turn<'_>, request: &HttpRequest) -> Reply {
    let mut fields = Fields::default();
    match serve(turn, request, &mut fields) {
        Ok(Reply::Answer(answer)) => Reply::Answer(fields.put(answer)),
        Ok(Reply::Wait(mut wait)) => {
            wait.fields = fields;
            Reply::Wait(wait)
        }
        Ok(Reply::Check(mut check)) => {
            check.answer = fields.put(check.answer);
            Reply::Check(check)
        }
        Err(refusal) => Reply::Answer(fields.put(refusal.answer())),
    }
}

fn serve(turn: &mut Turn<'_>, request: &HttpRequest, fields: &mut Fields) -> Result<Reply, Refusal> {
    let host = request.header("host").unwrap_or_default();
    let origin = request.header("origin");
    if !turn.server.config.http.origins.allow(&request.peer, origin, host) {
        return Err(refusal(StatusCode::FORBIDDEN, "pages of this origin may not ask here"));
    }
    fields.origin = origin.map(String::from);
    let allowed = METHODS.iter().find(|(path, _)| *path == request.path).map_or("", |(_, methods)| *methods);
    if request.method == "OPTIONS" {
        let answer = HttpResponse::empty(StatusCode::NO_CONTENT)
            .with("access-control-allow-methods", allowed)
            .with(
                "access-control-allow-headers",
                "Authorization, Bowline-Secret, Content-Type, Last-Event-ID, Traceparent, Tracestate",
            )
            .with("access-control-max-age", "600");
        return Ok(Reply::Answer(answer));
    }
    if request.method != "DELETE"
        && let Some(wait) = turn.server.draw_retry()
    {
        return Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, "the server is going away", wait));
    }
    match (&*request.method, &*request.path) {
        ("POST", "/ws/session") => session::begin(turn, request).map(Reply::Answer),
        ("DELETE", "/ws/session") => session::end(turn, request).map(Reply::Answer),
        ("GET", "/ws/poll") => wait::wait(turn, request, fields, false),
        ("GET", "/ws/events") => wait::wait(turn, request, fields, true),
        ("POST", "/ws/send") => send::send(turn, request),
        _ => {
            let answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "another method is for this path").answer();
            Ok(Reply::Answer(answer.with("allow", allowed)))
        }
    }
}

/// The session with this id, if the request has its secret, and who polls with it.
fn find(
    turn: &mut Turn<'_>,
    request: &HttpRequest,
    id: &str,
) -> Result<(SessionKey, Option<ConnectionKey>), Refusal> {
    let secret = request.header("bowline-secret");
    let hub = owned(turn, id, secret)?;
    let user = turn.server.hub.identity(hub).unwrap_or_default();
    // Who says who he is must be whose session it is.
    if request.identity.as_deref().is_some_and(|asks| !asks.is_empty() && asks != user) {
        return Err(NOT_YOURS);
    }
    Ok((hub, turn.server.poller_of(hub)))
}

fn owned(turn: &mut Turn<'_>, id: &str, secret: Option<&str>) -> Result<SessionKey, Refusal> {
    let id = SessionId(hex(id).ok_or(NO_SESSION)?);
    let hub = turn.server.registry.find(Sought::Json(id)).ok_or(NO_SESSION)?;
    let secret = secret.and_then(hex).map(ResumeKey).ok_or(NOT_YOURS)?;
    let is_his = turn.server.registry.held(hub).is_some_and(|held| held.opens(&secret));
    if is_his { Ok(hub) } else { Err(NOT_YOURS) }
}

/// The session that the cookie keeps, with who polls with it.
fn kept(turn: &mut Turn<'_>, request: &HttpRequest) -> Option<ConnectionKey> {
    let cookies = request.header("cookie")?;
    let value = cookies.split(';').find_map(|c| c.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    let (id, secret) = value.split_once('.')?;
    let hub = owned(turn, id, Some(secret)).ok()?;
    turn.server.poller_of(hub)
}

/// The room that is meant by what is no session's id (JSN-28).
fn room_of(session: &str) -> Option<&str> {
    match session {
        "broadcast" => Some(session),
        _ => session.strip_prefix("room:"),
    }
}

/// The value of a parameter of the query, which must not be empty.
fn query<'a>(request: &'a HttpRequest, name: &str) -> Option<Cow<'a, str>> {
    let pairs = request.query.as_deref()?.split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name)?.1;
    percent_decoded(value).filter(|value| !value.is_empty())
}

/// Text whose octets may be written `%XX`, and a space `+`.
fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let (mut octets, mut rest) = (alloc::vec::Vec::with_capacity(text.len()), text.bytes());
    while let Some(b) = rest.next() {
        octets.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            b => b,
        });
    }
    String::from_utf8(octets).ok().map(Cow::Owned)
}
