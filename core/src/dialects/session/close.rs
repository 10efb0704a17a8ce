//! Ending: by intent, by fault, by the peer, by the transport (SPEC §9).

use core::time::Duration;

use super::event::{By, Closed, Event};
use super::fault::Fault;
use super::{Code, Phase, Session};
use crate::time::Instant;

/// How long a side that said CLOSE waits for the other (END-3).
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The longest reason, in octets (END-5).
pub const REASON_MAX: usize = 512;

/// How a session ended, kept until it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    by: By,
    code: Option<Code>,
    reason: &'static str,
    clean: bool,
}

/// Cuts a reason to what the protocol allows, at a character.
pub(super) fn shorten(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_MAX);
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
        self.end(By::Local, Some(code), reason, false);
    }

    /// Ends the session because the peer broke a rule that only a layer above can see.
    pub fn close_with_fault(&mut self, now: Instant, fault: Fault) -> Option<Event<'static>> {
        self.tick(now);
        if self.ending.is_some() { None } else { Some(self.fail(fault)) }
    }

    /// The peer ended its direction of the stream, or the connection broke.
    ///
    /// Take the event that may follow with [`recv`](Session::recv) or [`poll_closed`](Session::poll_closed).
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        if self.ending.is_none() {
            self.end(By::Transport, None, "the connection ended without CLOSE", false);
        }
        if !self.close_owed {
            self.phase = Phase::Closed;
            self.deadline = None;
        }
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<Event<'static>> {
        let over = self.phase == Phase::Closed || self.eof;
        let ending = self.ending.filter(|_| over && !self.closed_told)?;
        self.closed_told = true;
        Some(Event::Closed(ending.told()))
    }

    /// Whether the session has ended; nothing but CLOSE leaves it any more.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ending.is_some()
    }

    /// Breaks off: the peer, or time, broke a rule.
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Event<'static> {
        self.end(By::Local, Some(fault.code()), fault.reason(), false);
        self.closed_told = true;
        let (code, reason) = (Some(fault.code()), fault.reason());
        Event::Closed(Closed { by: By::Local, code, reason, fault: Some(fault), clean: false })
    }

    pub(super) fn end(&mut self, by: By, code: Option<Code>, reason: &'static str, clean: bool) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(Ending { by, code, reason, clean });
        self.close_owed = code.is_some();
        self.pong_owed = false;
        self.ack_owed = false;
        self.deadline = Some(self.now + CLOSE_WAIT);
        self.phase = if self.eof && !self.close_owed { Phase::Closed } else { Phase::Closing };
    }

    /// The peer said CLOSE, with `code` and `reason`.
    pub(super) fn remote_close<'b>(&mut self, code: Code, reason: &'b str) -> Option<Event<'b>> {
        self.close_received = true;
        if let Some(ending) = &mut self.ending {
            // The answer to ours; what this side said stays the reason.
            ending.clean = true;
            let told = ending.told();
            return (!core::mem::replace(&mut self.closed_told, true)).then_some(Event::Closed(told));
        }
        self.end(By::Remote, Some(code), "", true);
        self.closed_told = true;
        Some(Event::Closed(Closed { by: By::Remote, code: Some(code), reason, fault: None, clean: true }))
    }

    /// What CLOSE says: the code, and for an answer to the peer's no reason (END-2).
    pub(super) fn farewell(&self) -> (Code, &'static str) {
        let ending = self.ending.as_ref();
        let code = ending.and_then(|e| e.code).unwrap_or(Code::Normal);
        (code, ending.map_or("", |e| e.reason))
    }
}

impl Ending {
    const fn told(&self) -> Closed<'static> {
        Closed { by: self.by, code: self.code, reason: self.reason, fault: None, clean: self.clean }
    }
}
