//! `GET /ws/poll` and `GET /ws/events`: requests that wait for messages.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::super::poller::{Mail, Poller, list};
use super::super::rooms::{MAX_PAGE, check_name};
use super::answer::{Fields, NO_SESSION, Refusal, UNAUTHORIZED, json, refusal};
use super::{COOKIE, Reply, find, kept, query, room_of};
use crate::endpoint::server::ConnectionKey;
use crate::endpoint::server::connection::Turn;
use crate::endpoint::server::http::{HttpRequest, HttpResponse};
use crate::http::StatusCode;
use crate::hub::JoinOptions;
use crate::time::Instant;

/// How often a stream says that it is there.
const COMMENT: Duration = Duration::from_secs(15);

/// Messages of one answer, where nothing else is said, and at most.
const MESSAGES: usize = 50;
const MAX_MESSAGES: usize = 256;

/// A request that waits.
#[derive(Debug)]
pub(in crate::endpoint::server) struct Wait {
    poller: ConnectionKey,
    pub(in crate::endpoint::server) streams: bool,
    max: usize,
    /// What came up to here the client has.
    cursor: u64,
    /// When it ends, or the stream says that it is there.
    pub(in crate::endpoint::server) until: Instant,
    /// Fields of the answer.
    pub(super) fields: Fields,
}

/// `GET /ws/poll` and `GET /ws/events`
pub(super) fn wait(
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
    let until = now + if streams { Duration::ZERO } else { turn.server.config.json.poll_wait };
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
    check_name(room).map_err(|_| bad_room())?;
    let known = kept(turn, request);
    let key = match known {
        Some(key) => key,
        None => {
            let identity = request.identity.as_deref().ok_or(UNAUTHORIZED)?;
            let key = turn.server.add_poller(now, request.peer)?;
            let cookie = turn.server.with_poller(now, key, |poller, turn| {
                poller.talk.open_as(turn, identity, None, &mut poller.mail)?;
                poller.mail = Mail::default();
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

/// What a request that waits gets now.
pub(in crate::endpoint::server) enum Waited {
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
    pub(in crate::endpoint::server) fn head(&self) -> HttpResponse {
        let answer = HttpResponse::new(StatusCode::OK, "text/event-stream", "");
        self.fields.put(answer.with("x-accel-buffering", "no"))
    }

    /// What there is for it.
    pub(in crate::endpoint::server) fn poll(&mut self, turn: &mut Turn<'_>) -> Waited {
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
    pub(in crate::endpoint::server) fn leave(&self, turn: &mut Turn<'_>) {
        let (now, own, key) = (turn.now, turn.key, self.poller);
        turn.server.with_poller(now, key, |poller, turn| {
            if poller.waiter == Some(own) {
                poller.waiter = None;
                turn.server.touch(now, key, poller);
            }
        });
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
        if text.len() > MAX_PAGE {
            break;
        }
    }
    last
}
