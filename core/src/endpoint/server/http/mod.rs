//! Requests of HTTP: those that ask for another protocol, those that the server answers itself, and
//! those that it hands to its adapter.
//!
//! | request | answer |
//! |---|---|
//! | an upgrade to WebSocket, with a subprotocol of [`PROTOCOLS`] | 101, on any path |
//! | one from a page of another [origin](Origins) | 403 |
//! | one of another version, or any other request for [`WEBSOCKETS`] | 426 |
//! | one while the server drains | 503, with `Retry-After` |
//! | one of typed JSON without a WebSocket (JSON.md §6) | what is said there |
//! | anything else | what the adapter [answers](super::Server::respond), where it does; else 404 |
//!
//! Who asks may say who it is, by `Authorization` with `Basic` or `Bearer`: credentials that are wrong
//! are answered with 401. Whether somebody who says nothing is welcome is known to the adapter
//! ([`HttpRequest::identity`]), which decides what that means for what was asked.

mod message;
mod open;
mod parts;
mod request;
mod wait;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use zeroize::Zeroizing;

pub use message::{HttpRequest, HttpResponse};
pub use open::{Origins, PROTOCOLS};
pub use parts::{Awaited, PartError};
pub(super) use request::Credentials;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::event::{Dialect, ServerEvent};
use super::json;
use super::{Peer, REPLY_ROOM};
use crate::buf::{RecvBuf, SendBuf};
use crate::http::server::{Config as LineConfig, End};
use crate::http::{Body, Date, Event, Response, SendError, Server as Line, StatusCode};
use crate::lifecycle::{By, Transport};
use crate::session::Code;
use crate::stack;
use crate::time::{Deadline, Instant, Why};
use crate::websocket;
use crate::websocket::extensions::Params;

/// The settings of HTTP, and of what is carried over it.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// How messages of typed JSON are compressed; by default they are not.
    #[cfg(feature = "deflate")]
    pub compression: Option<super::Compression>,
    /// Of each connection.
    pub line: LineConfig,
    /// Of each WebSocket.
    pub websocket: websocket::Config,
    /// The pages that may open WebSockets.
    pub origins: Origins,
    /// Whether the adapter answers requests: it must take each of them
    /// ([`Server::poll_request`](super::Server::poll_request)). Else they are answered with 404.
    pub handled: bool,
}

/// One connection that speaks HTTP.
#[derive(Debug)]
pub(in super::super) struct Connection {
    line: Line,
    peer: Peer,
    /// The request that is received or answered.
    exchange: Exchange,
    /// What is spoken from here on.
    switched: Option<Box<Switched>>,
    /// The event of its end is out.
    told: bool,
}

/// What a request has asked for in place of HTTP.
#[derive(Debug)]
pub(in super::super) struct Switched {
    pub(in super::super) dialect: stack::Dialect,
    /// How its messages are compressed, where that was agreed to.
    pub(in super::super) compression: Option<Params>,
    /// What `Authorization` said of who asks, for a dialect that goes by that.
    pub(in super::super) authorization: Option<Zeroizing<String>>,
}

/// Where the one request that is handled at a time stands.
#[derive(Debug)]
enum Exchange {
    None,
    /// It comes in.
    Coming(Box<HttpRequest>),
    /// Its credentials are to be checked, or are being checked.
    Checked(Box<HttpRequest>, Option<Verification>),
    /// The adapter is to take it.
    Asked(Box<HttpRequest>),
    /// The adapter has it.
    Taken,
    /// The answer is to be written.
    Answer(Box<HttpResponse>),
    /// What is left of its body.
    Body(Bytes),
    /// The head of an answer in parts is to be written; and whether its first part is its last.
    Begun(Box<HttpResponse>, bool),
    /// What is left of the last part that the adapter gave; and whether there are no more.
    Parts(Bytes, bool),
    /// It waits for messages of typed JSON.
    Waiting(Box<json::Wait>),
    /// It gets them as they come; a part that has no room yet.
    Streaming(Box<json::Wait>, String),
    /// Messages of typed JSON that say who their client is, which is being checked.
    Proving(Box<json::Check>),
}

impl Connection {
    /// Whether its client asks for nothing, or has not said yet what for.
    pub(in super::super) const fn is_stranger(&self) -> bool {
        matches!(self.exchange, Exchange::None | Exchange::Coming(_))
    }

    /// A connection that was accepted at `since`.
    pub(in super::super) fn new(since: Instant, config: &HttpConfig, peer: Peer) -> Self {
        let line = Line::accept(since, &config.line);
        Self { line, peer, exchange: Exchange::None, switched: None, told: false }
    }

    pub(in super::super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Handles what has come. Says whether it stopped early.
    pub(in super::super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        loop {
            self.flush(turn, out);
            if self.switched.is_some() {
                return false;
            }
            if out.room() < REPLY_ROOM {
                return !buf.filled().is_empty();
            }
            match self.line.recv(turn.now, buf) {
                Some(Event::Request(head)) => {
                    turn.server.traffic.packets_received += 1;
                    self.requested(turn, &head, out);
                }
                Some(Event::Body(part)) => {
                    if let Exchange::Coming(request) = &mut self.exchange {
                        request.body.extend_from_slice(part);
                    }
                }
                Some(Event::End) => self.complete(turn),
                Some(Event::Closed(end)) => self.closed(turn, end),
                None => return false,
            }
        }
    }

    pub(in super::super) fn poll_transmit(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
    ) -> Transport {
        let busy = self.line.is_busy();
        if turn.server.draining.is_some() {
            self.finish_parts();
        }
        self.flush(turn, out);
        if turn.server.draining.is_some() {
            self.line.close(turn.now);
        }
        if busy && !self.line.is_busy() {
            // What came behind the request that is answered now.
            turn.server.ready.push_back(turn.key);
        }
        self.line.poll_transmit(turn.now, out)
    }

    /// Puts what there is room for of an answer.
    fn flush(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        if matches!(self.exchange, Exchange::Waiting(_) | Exchange::Streaming(..)) {
            self.wait(turn, out);
        }
        if let Exchange::Answer(answer) = &mut self.exchange {
            let date = turn.server.unix_seconds(turn.now).map(Date::from_unix);
            let headers: Vec<(&str, &str)> = answer.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
            let response = Response { status: answer.status, headers: &headers, body: Body::EMPTY };
            let length = Some(answer.body.len() as u64);
            match self.line.begin_response(turn.now, date, out, &response, length) {
                Ok(()) => {
                    turn.server.traffic.packets_sent += 1;
                    self.exchange = Exchange::Body(core::mem::take(&mut answer.body));
                }
                Err(SendError::Blocked(_)) => return,
                Err(SendError::BadField(_)) => {
                    let why = "a header field of the answer cannot be written";
                    **answer = HttpResponse::text(StatusCode::INTERNAL_SERVER_ERROR, why);
                    return self.flush(turn, out);
                }
                // Nobody waits for it any more.
                Err(_) => self.exchange = Exchange::None,
            }
        }
        if let Exchange::Body(body) = &mut self.exchange {
            while !body.is_empty() {
                let n = body.len().min(out.room());
                if n < body.len().min(REPLY_ROOM) {
                    return;
                }
                let part = body.split_to(n);
                // To HEAD there is none, and a connection that ended takes none.
                if self.line.data(turn.now, out, Body::Shared(&part)).is_err() {
                    break;
                }
            }
            self.exchange = Exchange::None;
        }
        if matches!(self.exchange, Exchange::Begun(..) | Exchange::Parts(..)) {
            self.flush_parts(turn, out);
        }
    }

    fn answer(&mut self, response: HttpResponse) {
        self.exchange = Exchange::Answer(Box::new(response));
    }

    /// What is spoken from here on, once the answer that says so is out.
    pub(in super::super) const fn switched(&mut self) -> Option<Box<Switched>> {
        self.switched.take()
    }

    pub(in super::super) fn poll_request(&mut self) -> Option<HttpRequest> {
        match core::mem::replace(&mut self.exchange, Exchange::Taken) {
            Exchange::Asked(request) => Some(*request),
            other => {
                self.exchange = other;
                None
            }
        }
    }

    pub(in super::super) fn respond(&mut self, response: HttpResponse) -> bool {
        let waits = matches!(self.exchange, Exchange::Asked(_) | Exchange::Taken);
        if waits {
            self.answer(response);
        }
        waits
    }

    pub(in super::super) fn poll_verification(&mut self) -> Option<Verification> {
        match &mut self.exchange {
            Exchange::Checked(_, work) => work.take(),
            Exchange::Proving(check) => check.poll_verification(),
            _ => None,
        }
    }

    pub(in super::super) fn verified(
        &mut self,
        turn: &mut Turn<'_>,
        verified: Verified,
        out: &mut impl SendBuf,
    ) {
        match core::mem::replace(&mut self.exchange, Exchange::None) {
            Exchange::Checked(request, None) => {
                self.identified(turn, request, verified.identity);
                self.flush(turn, out);
            }
            Exchange::Proving(check) => {
                let answer = check.verified(turn, verified);
                self.answer(answer);
                self.flush(turn, out);
            }
            other => self.exchange = other,
        }
    }

    pub(in super::super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.line.handle_eof(turn.now);
        if let Some(Event::Closed(end)) = self.line.poll_closed() {
            self.closed(turn, end);
        }
    }

    pub(in super::super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.line.handle_written(now, written, waiting);
    }

    pub(in super::super) fn poll_timeout(&self) -> Option<Deadline> {
        let until = match &self.exchange {
            Exchange::Waiting(wait) | Exchange::Streaming(wait, _) => Some(wait.until),
            _ => None,
        };
        let until = until.map(|at| Deadline::new(at, Why::Output));
        Deadline::earliest(self.line.poll_timeout(), until)
    }

    pub(in super::super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if let Some(Event::Closed(end)) = self.line.handle_timeout(turn.now) {
            self.closed(turn, end);
        }
    }

    pub(in super::super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.handle_eof(turn);
        self.leave(turn);
    }

    pub(in super::super) fn end(&mut self, turn: &mut Turn<'_>, _code: Code, _reason: &'static str) {
        self.line.close(turn.now);
    }

    /// What went wrong is told; that a client has what it wanted is nothing for a log.
    fn closed(&mut self, turn: &mut Turn<'_>, end: End) {
        self.leave(turn);
        let (code, reason) = match end {
            End::Fault(fault) => (Code::Malformed, fault.to_string()),
            End::Stalled => (Code::KeepaliveTimeout, String::from("it takes nothing of its answer")),
            _ => return,
        };
        if core::mem::replace(&mut self.told, true) {
            return;
        }
        let event = ServerEvent::Closed {
            connection: turn.key,
            peer: self.peer,
            dialect: Some(Dialect::Http),
            session: None,
            by: By::Local,
            code: Some(code),
            reason,
        };
        turn.tell_closed(Some(code), event);
    }
}
