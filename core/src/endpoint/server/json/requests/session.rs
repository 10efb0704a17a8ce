//! `POST` and `DELETE /ws/session`: sessions of pages that poll, begun and ended.

use alloc::string::String;

use super::super::poller::Mail;
use super::answer::{NO_SESSION, Refusal, UNAUTHORIZED, bad, json, refusal};
use super::{find, owned, query};
use crate::endpoint::server::connection::Turn;
use crate::endpoint::server::http::{HttpRequest, HttpResponse};
use crate::http::StatusCode;
use crate::json::{Auth, Object};

/// `POST /ws/session`
pub(super) fn begin(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
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
            poller.mail = Mail::default();
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
pub(super) fn end(turn: &mut Turn<'_>, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
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
