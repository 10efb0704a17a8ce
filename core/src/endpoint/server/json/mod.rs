//! Typed JSON on the hub (`conformance/JSON.md`).
//!
//! What is said with a client is the same whatever carries it: a WebSocket here, or requests of HTTP
//! (`requests`), between which a client is a `poller`. A client acknowledges nothing: what was handed to its transport counts as taken, and
//! what is lost with a connection is read back from the history of its rooms.

mod auth;
mod cache;
mod commands;
mod deliver;
mod poller;
mod requests;
mod rooms;
mod sink;
mod talk;

use alloc::string::String;
use core::time::Duration;

use zeroize::Zeroizing;

pub(super) use cache::Shared;
pub(super) use poller::Poller;
pub(super) use requests::{Check, Reply, Wait, Waited, body_auth, is_path, request, unauthorized};

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::counters::Pinger;
use super::event::{Dialect, ServerEvent};
use super::inspect::BY_ADMINISTRATOR;
use super::{Peer, REPLY_ROOM};
use crate::buf::{RecvBuf, SendBuf};
use crate::json::ErrorCode;
use crate::json::server::About;
use crate::lifecycle::{By, Transport};
use crate::session::Code;
use crate::time::{Deadline, Instant, Why};
use crate::websocket::{
    Carries, CloseCode, Closed, Config as LineConfig, Event, Server as Role, WebSocket as Layer,
};
use sink::Line;
use talk::{End, Talk};

/// The settings of typed JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonConfig {
    /// How long a session outlives its connection; a minute.
    pub expiry: Duration,
    /// How long a client may take to say who it is, where it has to; 30 s.
    pub auth_deadline: Duration,
    /// The longest that a request may wait for its answer; a minute.
    pub max_request: Duration,
    /// Whether messages of types of the application's own are taken that are for no room (JSN-5): they
    /// are published below `$type/`, as far as the access rules allow.
    pub types: bool,
    /// Deliveries at least once at most that are under way to a client; 1,024.
    pub in_flight: u32,
    /// Messages of one `POST /ws/send` at most; 64.
    pub batch: usize,
}

impl Default for JsonConfig {
    fn default() -> Self {
        Self {
            expiry: Duration::from_secs(60),
            auth_deadline: Duration::from_secs(30),
            max_request: Duration::from_secs(60),
            types: false,
            in_flight: 1024,
            batch: 64,
        }
    }
}

/// One connection that speaks typed JSON, over a WebSocket.
#[derive(Debug)]
pub(super) struct Connection {
    layer: Layer<Role>,
    talk: Talk,
    since: Instant,
    auth_deadline: Duration,
    /// The event of its end is out.
    told: bool,
}

impl Connection {
    /// A connection whose opening handshake ended at `since`, with what its request said of who it is.
    pub(super) fn new(
        since: Instant,
        line: &LineConfig,
        config: &JsonConfig,
        peer: Peer,
        authorization: Option<Zeroizing<String>>,
    ) -> Self {
        Self {
            layer: Layer::new(since, Role, Carries::Messages, line),
            talk: Talk::new(peer, authorization),
            since,
            auth_deadline: config.auth_deadline,
            told: false,
        }
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.talk.peer
    }

    /// Handles all whole messages in `buf`. Says whether it stopped early.
    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        self.with_line(out, |talk, line| {
            talk.start(turn, line);
            talk.flush(turn, line);
        });
        loop {
            if self.talk.is_deaf() || out.room() < REPLY_ROOM {
                return !buf.filled().is_empty();
            }
            let Some(event) = self.layer.recv(turn.now, buf, out) else { return false };
            match event {
                Event::Message(message) => match message.text() {
                    Some(text) => {
                        self.with_line(out, |talk, line| talk.hear(turn, text, None, line));
                        self.settle(turn);
                    }
                    // JSN-1
                    None => self.close(turn, CloseCode::UNSUPPORTED, "only text messages are spoken here"),
                },
                Event::Closed(closed) => self.closed(turn, &closed),
                Event::RoundTrip(took) => turn.server.timings.round_trip(Pinger::WebSocket, took),
                Event::Piece(_) => {}
            }
        }
    }

    fn with_line<O: SendBuf>(&mut self, out: &mut O, work: impl FnOnce(&mut Talk, &mut Line<'_, O>)) {
        work(&mut self.talk, &mut Line { layer: &mut self.layer, out });
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        if core::mem::take(&mut self.talk.slow) {
            self.talk.finish(Code::SlowConsumer, "you take less than you are sent", false);
        }
        self.settle(turn);
        self.leave_expelled(turn, out);
        if self.layer.is_open() {
            self.with_line(out, |talk, line| {
                talk.start(turn, line);
                talk.flush(turn, line);
                talk.deliver(turn, line);
                talk.finish_drained(turn, line);
            });
            self.settle(turn);
        }
        self.layer.poll_transmit(turn.now, out)
    }

    /// Closes where what was said wants that.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        let Some(End { code, why, for_good }) = self.talk.end else { return };
        if self.layer.is_open() {
            self.layer.close(turn.now, close_code(code), why);
            self.tell(turn, By::Local, Some(code), why);
        }
        self.talk.release(turn, for_good);
    }

    /// Closes with a code that is none of the hub's.
    fn close(&mut self, turn: &mut Turn<'_>, code: CloseCode, why: &'static str) {
        self.layer.close(turn.now, code, why);
        self.tell(turn, By::Local, Some(Code::Unsupported), why);
        self.talk.release(turn, false);
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.layer.handle_eof(turn.now);
        if let Some(Event::Closed(closed)) = self.layer.poll_closed() {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.layer.handle_written(now, written, waiting);
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        // Nothing is heard of one that is not read.
        let line = if self.talk.is_deaf() { None } else { self.layer.poll_timeout() };
        let known = self.talk.must_be_known(self.since, self.auth_deadline);
        let known = known.filter(|_| self.layer.is_open() && self.talk.end.is_none());
        Deadline::earliest(line, known.map(|at| Deadline::new(at, Why::Handshake)))
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        let late = self.talk.must_be_known(self.since, self.auth_deadline);
        if late.is_some_and(|at| at <= turn.now) {
            self.talk.finish(Code::HandshakeTimeout, "you did not say in time who you are", false);
            self.settle(turn);
        }
        if !self.talk.is_deaf()
            && let Some(Event::Closed(closed)) = self.layer.handle_timeout(turn.now)
        {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.handle_eof(turn);
        self.talk.release(turn, false);
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.talk.poll_verification()
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        self.with_line(out, |talk, line| talk.verified(turn, verified, line));
        self.settle(turn);
    }

    pub(super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, why: &'static str) {
        self.talk.finish(code, why, false);
        self.settle(turn);
    }

    /// An administrator has it go: it is told so with what is sent next, and why.
    pub(super) const fn expel(&mut self, forget: bool) {
        self.talk.expelled = Some(forget);
    }

    fn leave_expelled(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        let Some(forget) = self.talk.expelled.take().filter(|_| self.layer.is_open()) else { return };
        let about = About { reference: None, room: None };
        self.with_line(out, |talk, line| talk.refuse(turn, about, ErrorCode::Denied, BY_ADMINISTRATOR, line));
        self.layer.close(turn.now, CloseCode::POLICY, BY_ADMINISTRATOR);
        self.tell(turn, By::Local, Some(Code::Normal), BY_ADMINISTRATOR);
        self.talk.release(turn, forget);
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        // The session is not this connection's any more, to release or to end.
        let why = "the session goes on over another connection";
        self.layer.close(turn.now, close_code(Code::TakenOver), why);
        self.tell(turn, By::Local, Some(Code::TakenOver), why);
        self.talk.hub = None;
        self.talk.finish(Code::TakenOver, why, false);
    }

    pub(super) const fn hold(&mut self, hold: bool) {
        self.talk.held = hold;
    }

    pub(super) const fn overflowed(&mut self) {
        self.talk.slow = true;
    }

    pub(super) fn committed(&mut self) {
        self.talk.owed.committed();
    }

    /// The connection has ended. JSN-9: a page that leaves says so, and its session ends.
    fn closed(&mut self, turn: &mut Turn<'_>, closed: &Closed<'_>) {
        let for_good = closed.by == By::Remote && closed.code == CloseCode::NORMAL;
        let code = match closed.fault {
            Some(_) => Code::Malformed,
            None if closed.by == By::Transport => Code::GoingAway,
            None => Code::Normal,
        };
        let reason = closed.fault.map_or(closed.reason, |fault| fault.reason());
        self.tell(turn, closed.by, Some(code), reason);
        self.talk.release(turn, for_good);
    }

    /// Tells the end, once.
    fn tell(&mut self, turn: &mut Turn<'_>, by: By, code: Option<Code>, reason: &str) {
        if core::mem::replace(&mut self.told, true) {
            return;
        }
        let session = self.talk.hub.and_then(|hub| turn.server.registry.told(hub));
        let event = ServerEvent::Closed {
            connection: turn.key,
            peer: self.talk.peer,
            dialect: Some(Dialect::Json),
            session,
            by,
            code,
            reason: reason.into(),
        };
        turn.tell_closed(code, event);
    }
}

/// What the Close frame says (RFC 6455 §7.4, JSON.md §2).
const fn close_code(code: Code) -> CloseCode {
    match code {
        Code::Normal => CloseCode::NORMAL,
        Code::GoingAway => CloseCode::RESTART,
        Code::NotAuthorized | Code::AuthFailed | Code::AuthMethod | Code::HandshakeTimeout => CloseCode(4401),
        Code::TakenOver => CloseCode(4409),
        Code::Internal => CloseCode::INTERNAL,
        _ => CloseCode::POLICY,
    }
}
