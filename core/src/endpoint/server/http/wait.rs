//! Requests that wait for messages of typed JSON.

use alloc::string::String;

use super::super::connection::Turn;
use super::super::json::Waited;
use super::{Connection, Exchange};
use crate::buf::SendBuf;
use crate::http::{Body, Date, Response, SendError};

impl Connection {
    /// Answers a request that waits, where there is something for it or it has waited long enough.
    pub(super) fn wait(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        match core::mem::replace(&mut self.exchange, Exchange::None) {
            Exchange::Waiting(wait) if wait.streams => {
                let head = wait.head();
                let headers: alloc::vec::Vec<(&str, &str)> =
                    head.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
                let response = Response { status: head.status, headers: &headers, body: Body::EMPTY };
                let date = turn.server.unix_seconds(turn.now).map(Date::from_unix);
                match self.line.begin_response(turn.now, date, out, &response, None) {
                    Ok(()) => {
                        turn.server.traffic.packets_sent += 1;
                        self.exchange = Exchange::Streaming(wait, String::new());
                        self.wait(turn, out);
                    }
                    Err(SendError::Blocked(_)) => self.exchange = Exchange::Waiting(wait),
                    Err(_) => wait.leave(turn),
                }
            }
            Exchange::Waiting(mut wait) => match wait.poll(turn) {
                Waited::Answer(answer) => self.answer(answer),
                Waited::Nothing | Waited::Part(_) | Waited::End => self.exchange = Exchange::Waiting(wait),
            },
            Exchange::Streaming(mut wait, mut part) => loop {
                if !part.is_empty() {
                    match self.line.data(turn.now, out, Body::Copied(part.as_bytes())) {
                        Ok(()) => {}
                        Err(SendError::Blocked(_)) => {
                            self.exchange = Exchange::Streaming(wait, part);
                            return;
                        }
                        Err(_) => return wait.leave(turn),
                    }
                }
                match wait.poll(turn) {
                    Waited::Part(next) => part = next,
                    Waited::End => {
                        // Without room for its last words the connection ends in a moment anyway.
                        let _ = self.line.finish(turn.now, out);
                        return;
                    }
                    Waited::Nothing | Waited::Answer(_) => {
                        self.exchange = Exchange::Streaming(wait, String::new());
                        return;
                    }
                }
            },
            other => self.exchange = other,
        }
    }

    /// Nobody waits any more.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>) {
        match &self.exchange {
            Exchange::Waiting(wait) | Exchange::Streaming(wait, _) => wait.leave(turn),
            Exchange::Begun(..) | Exchange::Parts(..) => {}
            _ => return,
        }
        self.exchange = Exchange::None;
    }
}
