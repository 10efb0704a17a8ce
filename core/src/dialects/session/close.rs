//! Ending: by intent, by fault, by the peer, by the transport (SPEC §9).

use core::time::Duration;

use super::event::{Closed, Event};
use super::fault::Fault;
use super::{Code, Session};
use crate::lifecycle::{By, State};
use crate::time::Instant;

/// How long a side that said CLOSE waits for the other (END-3).
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The longest reason, in octets (END-5).
pub const REASON_MAX: usize = 512;

/// The most octets of a CLOSE frame beside its reason: head, size (2), code (5), the reason's length.
const CLOSE_OVERHEAD: usize = 1 + 2 + 5 + 2;

/// How a session ended, kept until it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    by: By,
    code: Option<Code>,
    reason: &'static str,
}

/// Cuts a reason to what the protocol allows.
pub(super) fn shorten(reason: &str) -> &str {
    shorten_to(reason, REASON_MAX)
}

/// Cuts a reason to at most `max` octets, at a character and before U+0000 (TYP-3).
fn shorten_to(reason: &str, max: usize) -> &str {
    let mut end = reason.find('\0').unwrap_or(reason.len()).min(max);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

impl Session {
    /// Ends the session with `code` and `reason`: CLOSE is owed, and [`Event::Closed`] comes when
    /// the peer has answered, or has had its time. A session that has ended already stays as it is.
    pub fn close(&mut self, now: Instant, code: Code, reason: &'static str) {
        self.tick(now);
        self.end(By::Local, Some(code), reason);
    }

    /// Ends the session because the peer broke a rule that only a layer above can see.
    pub fn close_with_fault(&mut self, now: Instant, fault: Fault) -> Option<Event<'static>> {
        self.tick(now);
        if self.is_ended() { None } else { Some(self.fail(fault)) }
    }

    /// The peer ended its direction of the stream, or the connection broke. Call it once
    /// [`recv`](Session::recv) has returned nothing: what was received before the end counts.
    ///
    /// Take the event that may follow with [`recv`](Session::recv) or [`poll_closed`](Session::poll_closed).
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        self.pong_owed = false; // nobody is left to be answered
        if !self.close_owed {
            self.ack_owed = false;
            let reason = "the connection ended without CLOSE";
            self.life.ended(Ending { by: By::Transport, code: None, reason });
        }
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<Event<'static>> {
        let ending = self.untold()?;
        self.closed_told = true;
        Some(Event::Closed(ending.told(self.close_received)))
    }

    /// Whether the session has ended; nothing but CLOSE leaves it any more.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.life.reason().is_some()
    }

    /// The end, where there is nothing more to come and nobody was told.
    pub(super) fn untold(&self) -> Option<Ending> {
        let over = self.life.state() == State::Closed || self.eof;
        self.life.reason().filter(|_| over && !self.closed_told)
    }

    /// Breaks off: the peer, or time, broke a rule.
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Event<'static> {
        self.end(By::Local, Some(fault.code()), fault.reason());
        self.closed_told = true;
        let (code, reason) = (Some(fault.code()), fault.reason());
        Event::Closed(Closed { by: By::Local, code, reason, fault: Some(fault), clean: false })
    }

    pub(super) fn end(&mut self, by: By, code: Option<Code>, reason: &'static str) {
        if self.life.close(self.now, Ending { by, code, reason }) {
            self.ended();
        }
    }

    /// The life of the session has just begun to close: CLOSE is owed, and before it only what REL-2
    /// and KEE-3 owe (END-2).
    pub(super) fn ended(&mut self) {
        self.close_owed = true;
    }

    /// The peer said CLOSE, with `code` and `reason`.
    pub(super) fn remote_close<'b>(&mut self, code: Code, reason: &'b str) -> Option<Event<'b>> {
        self.close_received = true;
        if let Some(ending) = self.life.reason() {
            // The answer to ours; what this side said stays the reason.
            let told = core::mem::replace(&mut self.closed_told, true);
            return (!told).then(|| Event::Closed(ending.told(true)));
        }
        self.end(By::Remote, Some(code), "");
        self.closed_told = true;
        Some(Event::Closed(Closed { by: By::Remote, code: Some(code), reason, fault: None, clean: true }))
    }

    /// As much of a reason as the peer takes in CLOSE, and as has room: the code matters most.
    pub(super) fn cut_reason<'r>(&self, reason: &'r str, room: usize) -> &'r str {
        let most = (self.tx_max_frame as usize).min(room).saturating_sub(CLOSE_OVERHEAD);
        shorten_to(reason, most.min(REASON_MAX))
    }

    /// What CLOSE says: the code, and for an answer to the peer's no reason (END-2).
    pub(super) fn farewell(&self) -> (Code, &'static str) {
        let ending = self.life.reason();
        let code = ending.and_then(|e| e.code).unwrap_or(Code::Normal);
        (code, ending.map_or("", |e| shorten(e.reason)))
    }
}

impl Ending {
    pub(super) const fn new(by: By, code: Code, reason: &'static str) -> Ending {
        Ending { by, code: Some(code), reason }
    }

    /// As the application is told it; `clean` when both sides said CLOSE.
    const fn told(&self, clean: bool) -> Closed<'static> {
        Closed { by: self.by, code: self.code, reason: self.reason, fault: None, clean }
    }
}
