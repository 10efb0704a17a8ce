//! Requests of HTTP in place of a WebSocket (JSON.md §6).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::super::auth::{Verification, Verified};
use super::super::connection::Turn;
use super::super::http::{HttpRequest, HttpResponse};
use super::super::registry::Sought;
use super::super::{ConnectionKey, Refused};
use super::auth::hex;
use super::poller::{Nowhere, Poller, list};
use super::talk::Talk;
use crate::http::StatusCode;
use crate::hub::{JoinOptions, SessionKey};
use crate::json::{Auth, Batch, Credentials, Envelope, Fault, Object, Trace};
use crate::session::{ResumeKey, SessionId};
use crate::time::Instant;
use crate::trace::{TRACEPARENT, TRACESTATE};

/// How long a poll waits for something.
const WAIT: Duration = Duration::from_secs(25);

/// How often a stream says that it is there.
const COMMENT: Duration = Duration::from_secs(15);

/// Messages of one answer, where nothing else is said, and at most.
const MESSAGES: usize = 50;
const MAX_MESSAGES: usize = 256;

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

/// A request that waits.
#[derive(Debug)]
pub(in super::super) struct Wait {
    poller: ConnectionKey,
    pub(in super::super) streams: bool,
    max: usize,
    /// What came up to here the client has.
    cursor: u64,
    /// When it ends, or the stream says that it is there.
    pub(in super::super) until: Instant,
    /// Fields of the answer.
    fields: Fields,
}

/// Messages that are taken once a password is checked.
#[derive(Debug)]
pub(in super::super) struct Check {
    poller: ConnectionKey,
    work: Option<Verification>,
    answer: HttpResponse,
}

/// Fields of an answer that its request brought about.
#[derive(Debug, Default)]
struct Fields {
    cookie: Option<String>,
    /// A page of another origin, which is allowed to read it.
    origin: Option<String>,
}

impl Fields {
    fn put(&self, mut answer: HttpResponse) -> HttpResponse {
        if let Some(cookie) = &self.cookie {
            answer = answer.with("set-cookie", cookie.clone());
        }
        if let Some(origin) = &self.origin {
            answer = answer
                .with("access-control-allow-origin", origin.clone())
                .with("access-control-expose-headers", "Bowline-Cursor, Retry-After")
                .with("vary", "origin");
        }
        answer.with("cache-control", "no-store")
    }
}

/// Why a request is refused: a status, and the text of `error`.
struct Refusal {
    status: StatusCode,
    error: Cow<'static, str>,
    retry_after: Option<Duration>,
}

const fn refusal(status: StatusCode, error: &'static str) -> Refusal {
    Refusal { status, error: Cow::Borrowed(error), retry_after: None }
}

const UNAUTHORIZED: Refusal = refusal(StatusCode::UNAUTHORIZED, "wrong credentials, or none");
const NOT_YOURS: Refusal = refusal(StatusCode::FORBIDDEN, "not your session");
const NO_SESSION: Refusal = refusal(StatusCode::NOT_FOUND, "no such session");

impl Refusal {
    fn later(status: StatusCode, error: &'static str, wait: Duration) -> Self {
        Self { status, error: Cow::Borrowed(error), retry_after: Some(wait) }
    }

    fn answer(self) -> HttpResponse {
        let mut body = String::new();
        let mut object = Object::begin(&mut body);
        object.text("error", &self.error);
        if let Some(wait) = self.retry_after {
            object.number("retry_after_ms", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        object.end();
        let answer = json(self.status, body);
        match self.retry_after {
            Some(wait) => answer.with("retry-after", wait.as_secs().max(1).to_string()),
            None => answer,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let wait = Duration::from_secs(5);
        match refused {
            Refused::Address(..) => {
                Self::later(StatusCode::TOO_MANY_REQUESTS, "too many sessions from your address", wait)
            }
            _ => Self::later(StatusCode::SERVICE_UNAVAILABLE, "too many sessions, or the server goes", wait),
        }
    }
}

fn json(status: StatusCode, body: String) -> HttpResponse {
    HttpResponse::new(status, "application/json", body)
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

/// The answer to a request whose credentials are wrong.
pub(in super::super) fn unauthorized() -> HttpResponse {
    UNAUTHORIZED.answer()
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
        ("POST", "/ws/session") => begin(turn, request).map(Reply::Answer),
        ("DELETE", "/ws/session") => end(turn, request).map(Reply::Answer),
        ("GET", "/ws/poll") => wait(turn, request, fields, false),
        ("GET", "/ws/events") => wait(turn, request, fields, true),
        ("POST", "/ws/send") => send(turn, request),
        _ => {
            let answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "another method is for this path").answer();
            Ok(Reply::Answer(answer.with("allow", allowed)))
        }
    }
}

/// `POST /ws/session`
fn begin(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let identity = request.identity.as_deref().ok_or(UNAUTHORIZED)?;
    let text = core::str::from_utf8(&request.body)
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, "invalid JSON body"))?;
    let auth = if text.trim().is_empty() { Auth::default() } else { Auth::parse(text).map_err(bad)? };
    if let Some(resume) = &auth.resume
        && let Err(refusal) = owned(turn, &resume.session, Some(&resume.secret))
        && refusal.status == StatusCode::FORBIDDEN
    {
        return Err(refusal);
    }
    let (now, peer) = (turn.now, request.peer);
    let key = turn.server.add_poller(now, peer)?;
    let welcome = turn.server.with_poller(now, key, |poller, turn| {
        let resumed = poller.talk.open_as(turn, identity, auth.resume.as_ref(), &mut poller.mail);
        resumed.map(|resumed| {
            let mut body = String::new();
            let mut object = Object::begin(&mut body);
            poller.talk.with_welcome(turn, identity, resumed, |welcome| welcome.write(&mut object));
            object.end();
            // The answer says it, and not the first poll too.
            poller.mail = super::poller::Mail::default();
            body
        })
    });
    match welcome.flatten() {
        Some(body) => Ok(json(StatusCode::CREATED, body)),
        None => {
            turn.server.disconnect(now, key);
            Err(UNAUTHORIZED)
        }
    }
}

/// `DELETE /ws/session`
fn end(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let id = query(request, "session_id").ok_or(NO_SESSION)?;
    let (hub, key) = find(turn, request, &id)?;
    match key {
        Some(key) => turn.server.disconnect(turn.now, key),
        None => {
            turn.server.take_over(turn.now, hub);
            turn.server.remove(turn.now, hub);
        }
    }
    Ok(HttpResponse::empty(StatusCode::NO_CONTENT))
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

/// `GET /ws/poll` and `GET /ws/events`
fn wait(
    turn: &mut Turn<'_>,
    request: &HttpRequest,
    fields: &mut Fields,
    streams: bool,
) -> Result<Reply, Refusal> {
    let session = query(request, "session_id").unwrap_or(Cow::Borrowed("broadcast"));
    let after = match streams {
        true => request.header("last-event-id").map(Cow::Borrowed),
        false => query(request, "after"),
    };
    let number = |text: Cow<'_, str>| text.parse::<u64>();
    let after = after.filter(|text| !text.is_empty()).map(number).transpose();
    let max = query(request, "max").map(number).transpose();
    let (Ok(after), Ok(max)) = (after, max) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "'after' and 'max' are numbers"));
    };
    let max = max.map_or(MESSAGES, |max| usize::try_from(max).unwrap_or(MAX_MESSAGES)).clamp(1, MAX_MESSAGES);
    let key = match room_of(&session) {
        Some(room) => stranger(turn, request, room, fields)?,
        None => find(turn, request, &session)?.1.ok_or(NO_SESSION)?,
    };
    let (now, own) = (turn.now, turn.key);
    let waited = turn.server.with_poller(now, key, |poller, turn| {
        turn.server.touch(now, key, poller);
        // Who names no cursor has what it was handed before.
        let cursor = after.unwrap_or(poller.mail.handed);
        poller.mail.taken(cursor);
        poller.mail.streams = streams;
        if let Some(other) = poller.waiter.replace(own).filter(|other| *other != own) {
            // JSN-30: it sees that it is not awaited any more.
            turn.server.ready.push_back(other);
        }
        cursor.min(poller.mail.last())
    });
    let cursor = waited.ok_or(NO_SESSION)?;
    let until = now + if streams { Duration::ZERO } else { WAIT };
    let fields = Fields::default();
    Ok(Reply::Wait(Box::new(Wait { poller: key, streams, max, cursor, until, fields })))
}

/// Who polls a room without a session gets one.
fn stranger(
    turn: &mut Turn<'_>,
    request: &HttpRequest,
    room: &str,
    fields: &mut Fields,
) -> Result<ConnectionKey, Refusal> {
    let now = turn.now;
    let bad_room = || refusal(StatusCode::BAD_REQUEST, "no room can be called so, or you may not join it");
    super::rooms::check_name(room).map_err(|_| bad_room())?;
    let known = kept(turn, request);
    let key = match known {
        Some(key) => key,
        None => {
            let identity = request.identity.as_deref().ok_or(UNAUTHORIZED)?;
            let key = turn.server.add_poller(now, request.peer)?;
            let cookie = turn.server.with_poller(now, key, |poller, turn| {
                poller.talk.open_as(turn, identity, None, &mut poller.mail)?;
                poller.mail = super::poller::Mail::default();
                let held = turn.server.registry.held(poller.talk.hub?)?;
                Some(format!("{COOKIE}={}.{}; Path=/ws; HttpOnly; SameSite=Strict", held.id, held.key_text()))
            });
            fields.cookie = cookie.flatten();
            if fields.cookie.is_none() {
                turn.server.disconnect(now, key);
                return Err(UNAUTHORIZED);
            }
            key
        }
    };
    let joined = turn.server.with_poller(now, key, |poller, turn| {
        let hub = poller.talk.hub?;
        if turn.server.hub.is_member(hub, room) {
            return Some(());
        }
        poller.talk.enter(turn, hub, None, room, &JoinOptions::default()).ok()
    });
    if joined.flatten().is_none() {
        if known.is_none() {
            turn.server.disconnect(now, key);
        }
        return Err(bad_room());
    }
    Ok(key)
}

/// `POST /ws/send`
fn send(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<Reply, Refusal> {
    let bad_request = |error| refusal(StatusCode::BAD_REQUEST, error);
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Err(bad_request("missing JSON body"));
    }
    let text = core::str::from_utf8(&request.body).map_err(|_| bad_request("invalid JSON body"))?;
    let batch = Batch::parse(text).map_err(bad)?;
    if batch.messages().len() > turn.server.config.json.batch {
        return Err(refusal(StatusCode::CONTENT_TOO_LARGE, "too many messages at once: see 'batch'"));
    }
    let (mut session, mut room) = (None, None);
    for message in batch.messages() {
        // Nothing is taken of what is wrong somewhere (JSN-29).
        let envelope = Envelope::decode(message).map_err(bad)?;
        session = session.or_else(|| envelope.session.map(Cow::into_owned));
        room = room.or_else(|| envelope.room.map(Cow::into_owned));
    }
    let named = session.as_deref().filter(|session| room_of(session).is_none());
    let key = match named {
        Some(id) => Some(find(turn, request, id)?.1.ok_or(NO_SESSION)?),
        None => kept(turn, request),
    };
    let told = session.clone().or_else(|| room.map(|room| format!("room:{room}")));
    let mut body = String::new();
    let mut object = Object::begin(&mut body);
    object.text("session_id", told.as_deref().unwrap_or("broadcast")).text("status", "queued");
    object.end();
    let answer = json(StatusCode::ACCEPTED, body);
    let now = turn.now;
    let state = request.header(TRACESTATE).map(Cow::Borrowed);
    let trace = request.header(TRACEPARENT).and_then(|parent| Trace::parse(parent, state));
    let trace = trace.as_ref();
    let Some(key) = key else {
        return send_once(turn, request, &batch, trace).map(|()| Reply::Answer(answer));
    };
    let heard = turn.server.with_poller(now, key, |poller, turn| {
        turn.server.touch(now, key, poller);
        hear(turn, poller, &batch, trace)
    });
    match heard {
        None => Err(NO_SESSION),
        Some(Err(busy)) => Err(busy),
        Some(Ok(Some(work))) => Ok(Reply::Check(Box::new(Check { poller: key, work: Some(work), answer }))),
        Some(Ok(None)) => {
            turn.server.wake_poller(now, key);
            Ok(Reply::Answer(answer))
        }
    }
}

fn hear(
    turn: &mut Turn<'_>,
    poller: &mut Poller,
    batch: &Batch<'_>,
    trace: Option<&Trace<'_>>,
) -> Result<Option<Verification>, Refusal> {
    let Poller { talk, mail, .. } = poller;
    if talk.is_deaf() {
        let wait = Duration::from_secs(1);
        return Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, "what you sent before waits", wait));
    }
    for message in batch.messages() {
        talk.hear(turn, message, trace, mail);
    }
    Ok(poller.poll_verification())
}

/// What is sent without a session is sent by one that ends with the request.
fn send_once(
    turn: &mut Turn<'_>,
    request: &HttpRequest,
    batch: &Batch<'_>,
    trace: Option<&Trace<'_>>,
) -> Result<(), Refusal> {
    let identity = request.identity.as_deref().ok_or(UNAUTHORIZED)?;
    let mut talk = Talk::new(request.peer, None);
    talk.open_as(turn, identity, None, &mut Nowhere).ok_or(UNAUTHORIZED)?;
    for message in batch.messages() {
        talk.hear(turn, message, trace, &mut Nowhere);
    }
    talk.release(turn, true);
    Ok(())
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

/// JSN-29
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn bad(fault: Fault) -> Refusal {
    let error = if fault.is_no_json() {
        Cow::Borrowed("invalid JSON body")
    } else if fault.is_no_object() {
        Cow::Borrowed("JSON body must be an object")
    } else if fault.is_without_type() {
        Cow::Borrowed("missing 'type' field")
    } else {
        Cow::Owned(fault.to_string())
    };
    Refusal { status: StatusCode::BAD_REQUEST, error, retry_after: None }
}

/// What a request that waits gets now.
pub(in super::super) enum Waited {
    /// Nothing.
    Nothing,
    /// The answer.
    Answer(HttpResponse),
    /// The next part of a stream.
    Part(String),
    /// The stream's end.
    End,
}

impl Wait {
    /// The head of a stream.
    pub(in super::super) fn head(&self) -> HttpResponse {
        let answer = HttpResponse::new(StatusCode::OK, "text/event-stream", "");
        self.fields.put(answer.with("x-accel-buffering", "no"))
    }

    /// What there is for it.
    pub(in super::super) fn poll(&mut self, turn: &mut Turn<'_>) -> Waited {
        let (now, own) = (turn.now, turn.key);
        let due = now >= self.until;
        let (cursor, max, streams) = (self.cursor, self.max, self.streams);
        let found = turn.server.with_poller(now, self.poller, |poller, turn| {
            poller.collect(turn);
            if poller.waiter != Some(own) {
                return None;
            }
            let over = poller.talk.end.is_some();
            let mut text = String::new();
            let last = if !poller.mail.has_after(cursor) {
                cursor
            } else if streams {
                stream(poller, cursor, &mut text)
            } else {
                list(&poller.mail, cursor, max, &mut text)
            };
            poller.mail.handed = poller.mail.handed.max(last);
            if !streams && (last > cursor || due) {
                poller.waiter = None;
                turn.server.touch(now, turn.key, poller);
            }
            Some((text, last, over))
        });
        // Somebody else polls, or the session is another's by now.
        let Some(Some((text, last, over))) = found else {
            return if streams { Waited::End } else { Waited::Answer(self.answer(String::from("[]"))) };
        };
        self.cursor = last;
        if !streams {
            return match text.is_empty() {
                false => Waited::Answer(self.answer(text)),
                true if due || over => Waited::Answer(self.answer(String::from("[]"))),
                true => Waited::Nothing,
            };
        }
        if !text.is_empty() {
            self.until = now + COMMENT;
            return Waited::Part(text);
        }
        if over {
            return Waited::End;
        }
        if due {
            self.until = now + COMMENT;
            return Waited::Part(String::from(":\n\n"));
        }
        Waited::Nothing
    }

    fn answer(&self, body: String) -> HttpResponse {
        let answer = json(StatusCode::OK, body).with("bowline-cursor", self.cursor.to_string());
        self.fields.put(answer)
    }

    /// Nobody waits any more.
    pub(in super::super) fn leave(&self, turn: &mut Turn<'_>) {
        let (now, own, key) = (turn.now, turn.key, self.poller);
        turn.server.with_poller(now, key, |poller, turn| {
            if poller.waiter == Some(own) {
                poller.waiter = None;
                turn.server.touch(now, key, poller);
            }
        });
    }
}

impl Check {
    pub(in super::super) const fn poll_verification(&mut self) -> Option<Verification> {
        self.work.take()
    }

    pub(in super::super) fn verified(self, turn: &mut Turn<'_>, verified: Verified) -> HttpResponse {
        let (now, key) = (turn.now, self.poller);
        turn.server.with_poller(now, key, |poller, turn| {
            poller.talk.verified(turn, verified, &mut poller.mail);
        });
        turn.server.wake_poller(now, key);
        self.answer
    }
}

/// Messages as events of a stream: no line of one is longer than its message is.
fn stream(poller: &Poller, cursor: u64, text: &mut String) -> u64 {
    let mut last = cursor;
    for (at, frame) in poller.mail.after(cursor) {
        last = at;
        text.push_str("id: ");
        text.push_str(&at.to_string());
        // White space between JSON's tokens may be lines of its own.
        for line in core::str::from_utf8(frame.payload()).unwrap_or("{}").split(['\n', '\r']) {
            text.push_str("\ndata: ");
            text.push_str(line);
        }
        text.push_str("\n\n");
        if text.len() > super::rooms::MAX_PAGE {
            break;
        }
    }
    last
}
