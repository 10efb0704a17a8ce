//! Answers whose body the adapter gives in parts, as it comes by them.
//!
//! One part at a time is held here: the next is taken when the one before is on its way to the
//! transport. So a peer that takes nothing holds up the adapter, costs the memory of one part, and is
//! cut off after [`write_timeout`](crate::http::server::Config::write_timeout) like any other.

use alloc::vec::Vec;

use bytes::Bytes;

use super::super::connection::Turn;
use super::{Connection, Exchange, HttpResponse, REPLY_ROOM};
use crate::buf::SendBuf;
use crate::http::{Body, Date, Response, SendError, StatusCode};

/// What a chunk's size and ends take at most.
const FRAME: usize = 16;

/// What a connection waits for from its adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// Nothing: no request was handed out, its answer is whole, or nobody waits for it any more.
    Nothing,
    /// The answer to the request that was handed out.
    Answer,
    /// The transport has to take what there is of an answer in parts, before another part is taken.
    Room,
    /// Another part of the answer, or its end.
    Part,
}

/// Why a part of an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The part before is still waiting for the transport.
    #[error("the part before is not on its way yet")]
    Full,
    /// No answer in parts is under way: it was ended, or its peer is gone.
    #[error("nobody waits for a part of an answer")]
    Gone,
}

impl Connection {
    pub(in super::super) fn begin_parts(&mut self, head: HttpResponse) -> bool {
        let waits = matches!(self.exchange, Exchange::Asked(_) | Exchange::Taken);
        if waits {
            self.exchange = Exchange::Begun(head.into(), false);
        }
        waits
    }

    pub(in super::super) fn push_part(&mut self, part: Bytes) -> Result<(), PartError> {
        match (self.awaited(), &mut self.exchange) {
            (Awaited::Part, Exchange::Parts(waiting, _)) => *waiting = part,
            (Awaited::Room, _) => return Err(PartError::Full),
            _ => return Err(PartError::Gone),
        }
        Ok(())
    }

    /// Nothing follows what was given up to now.
    pub(in super::super) const fn finish_parts(&mut self) -> bool {
        match &mut self.exchange {
            Exchange::Begun(_, over) | Exchange::Parts(_, over) => !core::mem::replace(over, true),
            _ => false,
        }
    }

    pub(in super::super) const fn awaited(&self) -> Awaited {
        match &self.exchange {
            Exchange::Taken => Awaited::Answer,
            Exchange::Parts(_, true) | Exchange::Begun(_, true) => Awaited::Nothing,
            Exchange::Parts(waiting, false) if waiting.is_empty() => Awaited::Part,
            Exchange::Parts(..) | Exchange::Begun(..) => Awaited::Room,
            _ => Awaited::Nothing,
        }
    }

    /// Puts what there is room for of an answer in parts.
    pub(super) fn flush_parts(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        if let Exchange::Begun(head, over) = &mut self.exchange {
            let date = turn.server.unix_seconds(turn.now).map(Date::from_unix);
            let headers: Vec<(&str, &str)> = head.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
            let response = Response { status: head.status, headers: &headers, body: Body::EMPTY };
            match self.line.begin_response(turn.now, date, out, &response, None) {
                Ok(()) => {
                    turn.server.traffic.packets_sent += 1;
                    let parts = Exchange::Parts(core::mem::take(&mut head.body), *over);
                    // Some statuses never have a body: then it is whole.
                    self.exchange = if self.line.is_busy() { parts } else { Exchange::None };
                }
                Err(SendError::Blocked(_)) => return,
                Err(SendError::BadField(_)) => {
                    let why = "a header field of the answer cannot be written";
                    self.answer(HttpResponse::text(StatusCode::INTERNAL_SERVER_ERROR, why));
                    return self.flush(turn, out);
                }
                // Nobody waits for it any more.
                Err(_) => self.exchange = Exchange::None,
            }
        }
        let Exchange::Parts(part, over) = &mut self.exchange else { return };
        // To HEAD no part is sent, so none is waited for.
        let ends = *over || self.line.is_bodiless();
        while !part.is_empty() && !self.line.is_bodiless() {
            let n = part.len().min(out.room().saturating_sub(FRAME));
            if n < part.len().min(REPLY_ROOM) {
                return;
            }
            if self.line.data(turn.now, out, Body::Shared(&part.split_to(n))).is_err() {
                self.exchange = Exchange::None;
                return;
            }
        }
        if ends && !matches!(self.line.finish(turn.now, out), Err(SendError::Blocked(_))) {
            self.exchange = Exchange::None;
        }
    }
}
