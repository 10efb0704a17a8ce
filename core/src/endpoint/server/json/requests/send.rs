//! `POST /ws/send`: messages of pages, with a session or without.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::super::poller::{Nowhere, Poller};
use super::super::talk::Talk;
use super::answer::{NO_SESSION, Refusal, UNAUTHORIZED, bad, json, refusal};
use super::{Reply, find, kept, room_of};
use crate::endpoint::server::ConnectionKey;
use crate::endpoint::server::auth::{Verification, Verified};
use crate::endpoint::server::connection::Turn;
use crate::endpoint::server::http::{HttpRequest, HttpResponse};
use crate::http::StatusCode;
use crate::json::{Batch, Envelope, Object, Trace};
use crate::trace::{TRACEPARENT, TRACESTATE};

/// Messages that are taken once a password is checked.
#[derive(Debug)]
pub(in crate::endpoint::server) struct Check {
    poller: ConnectionKey,
    work: Option<Verification>,
    pub(super) answer: HttpResponse,
}

/// `POST /ws/send`
pub(super) fn send(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<Reply, Refusal> {
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

impl Check {
    pub(in crate::endpoint::server) const fn poll_verification(&mut self) -> Option<Verification> {
        self.work.take()
    }

    pub(in crate::endpoint::server) fn verified(
        self,
        turn: &mut Turn<'_>,
        verified: Verified,
    ) -> HttpResponse {
        let (now, key) = (turn.now, self.poller);
        turn.server.with_poller(now, key, |poller, turn| {
            poller.talk.verified(turn, verified, &mut poller.mail);
        });
        turn.server.wake_poller(now, key);
        self.answer
    }
}
