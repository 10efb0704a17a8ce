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

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use zeroize::Zeroizing;

pub(super) use cache::Shared;
pub(super) use poller::Poller;
pub(super) use requests::{Check, Reply, Wait, Waited, body_auth, is_path, request, unauthorized};

use super::auth::{Verification, Verified};
use super::compression::Agreed;
use super::connection::Turn;
use super::counters::Pinger;
use super::event::{Dialect, ServerEvent};
use super::inspect::BY_ADMINISTRATOR;
use super::websocket::code_of;
use super::{Peer, REPLY_ROOM};
use crate::buf::{RecvBuf, SendBuf};
use crate::json::ErrorCode;
use crate::json::server::About;
use crate::lifecycle::{By, Transport};
use crate::session::Code;
use crate::time::{Deadline, Instant, Why};
use crate::websocket::extensions::Params;
use crate::websocket::{Carries, CloseCode, Closed, Event, Message, Server as Role, WebSocket as Layer};
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
    /// How long a `GET /ws/poll` waits for a message; 25 s. Proxies on the way give up after a while: this is
    /// to be less.
    pub poll_wait: Duration,
    /// How long a client that polls is kept while it asks for nothing; a minute. Its session then waits for it
    /// as any without a connection. More than [`poll_wait`](Self::poll_wait).
    pub poll_idle: Duration,
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
            poll_wait: Duration::from_secs(25),
            poll_idle: Duration::from_secs(60),
        }
    }
}

/// One connection that speaks typed JSON, over a WebSocket.
#[derive(Debug)]
pub(super) struct Connection {
    layer: Layer<Role>,
    talk: Talk,
    /// How messages are compressed, where that was agreed to.
    agreed: Option<Box<Agreed>>,
    since: Instant,
    auth_deadline_ms: u32,
    /// The event of its end is out.
    told: bool,
}

impl Connection {
    /// A connection whose opening handshake ended now, with what was agreed to in it and what its request
    /// said of who it is.
    pub(super) fn new(
        turn: &mut Turn<'_>,
        peer: Peer,
        compression: Option<Params>,
        authorization: Option<Zeroizing<String>>,
    ) -> Self {
        let (since, config) = (turn.now, &turn.server.config);
        let mut layer = Layer::new(since, Role, Carries::Messages, &config.http.websocket);
        let compressors = turn.server.compressors.as_mut();
        let agreed = compressors.zip(compression).map(|(with, params)| with.agree(&params, &mut layer));
        Self {
            layer,
            talk: Talk::new(peer, authorization),
            agreed,
            since,
            auth_deadline_ms: u32::try_from(config.json.auth_deadline.as_millis()).unwrap_or(u32::MAX),
            told: false,
        }
    }

    /// The smoothed round trip, once a ping was answered.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.layer.smoothed_rtt()
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
        self.with_line(turn, out, |talk, turn, line| {
            talk.start(turn, line);
            talk.flush(turn, line);
        });
        loop {
            if self.is_deaf() || out.room() < REPLY_ROOM {
                return !buf.filled().is_empty();
            }
            let Some(event) = self.layer.recv(turn.now, buf, out) else { return false };
            match event {
                Event::Message(message) if message.compressed => self.inflate(turn, message, out),
                Event::Message(message) => self.hear(turn, message, out),
                Event::Closed(closed) => self.closed(turn, &closed),
                Event::RoundTrip(took) => turn.server.timings.round_trip(Pinger::WebSocket, took),
                Event::Piece(_) => {}
            }
            self.talk.held |= self.talk.hub.is_some_and(|hub| turn.server.hub.is_held(hub));
        }
    }

    fn hear(&mut self, turn: &mut Turn<'_>, message: Message<'_>, out: &mut impl SendBuf) {
        // JSN-1
        let Some(text) = message.text() else {
            return self.close(turn, CloseCode::UNSUPPORTED, "only text messages are spoken here");
        };
        self.with_line(turn, out, |talk, turn, line| talk.hear(turn, text, None, line));
        self.settle(turn);
    }

    /// A compressed message: its memory is lent by the server, which is at work besides.
    fn inflate(&mut self, turn: &mut Turn<'_>, message: Message<'_>, out: &mut impl SendBuf) {
        let (Some(agreed), Some(with)) = (&mut self.agreed, &mut turn.server.compressors) else { return };
        let mut memory = with.lend();
        match agreed.inflate(with, message, &mut memory) {
            Ok(message) => self.hear(turn, message, out),
            Err(fault) => {
                if let Some(Event::Closed(closed)) = self.layer.close_with_fault(turn.now, fault) {
                    self.closed(turn, &closed);
                }
            }
        }
        if let Some(with) = &mut turn.server.compressors {
            with.give_back(memory);
        }
    }

    /// Works on what is said, with where it is said: that has the server's compressors meanwhile.
    fn with_line<O: SendBuf>(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut O,
        work: impl FnOnce(&mut Talk, &mut Turn<'_>, &mut Line<'_, O>),
    ) {
        let agreed = self.agreed.as_deref_mut();
        let compression = agreed.and_then(|agreed| Some((agreed, turn.server.compressors.take()?)));
        let mut line = Line { layer: &mut self.layer, out, compression };
        work(&mut self.talk, turn, &mut line);
        if let Some((_, compressors)) = line.compression {
            turn.server.compressors = Some(compressors);
        }
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        if core::mem::take(&mut self.talk.slow) {
            self.talk.finish(Code::SlowConsumer, "you take less than you are sent", false);
        }
        self.settle(turn);
        self.leave_expelled(turn, out);
        if self.layer.is_open() {
            self.with_line(turn, out, |talk, turn, line| {
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

    /// Nothing is heard of one that is not read. One that has ended is heard out, or it would never be over.
    fn is_deaf(&self) -> bool {
        self.layer.is_open() && self.talk.is_deaf()
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let line = if self.is_deaf() { None } else { self.layer.poll_timeout() };
        let known = self.must_be_known();
        let known = known.filter(|_| self.layer.is_open() && self.talk.end.is_none());
        Deadline::earliest(line, known.map(|at| Deadline::new(at, Why::Handshake)))
    }

    /// When it must have said who it is.
    fn must_be_known(&self) -> Option<Instant> {
        self.talk.must_be_known(self.since, Duration::from_millis(self.auth_deadline_ms.into()))
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        let late = self.must_be_known();
        if late.is_some_and(|at| at <= turn.now) {
            self.talk.finish(Code::HandshakeTimeout, "you did not say in time who you are", false);
            self.settle(turn);
        }
        if !self.is_deaf()
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
        self.with_line(turn, out, |talk, turn, line| talk.verified(turn, verified, line));
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
        self.with_line(turn, out, |talk, turn, line| {
            talk.refuse(turn, about, ErrorCode::Denied, BY_ADMINISTRATOR, line);
        });
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
        let code = match &closed.fault {
            Some(fault) => code_of(fault),
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
