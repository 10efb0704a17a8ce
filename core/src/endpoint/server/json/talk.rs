//! What is said with one client, over whatever carries it: who it is, its session, what it asks and
//! what it is answered.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;

use zeroize::Zeroizing;

use super::super::connection::Turn;
use super::super::owed::Owed;
use super::super::plugins::error_of;
use super::super::{MAX_OWED, Peer};
use super::auth::Opening;
use super::sink::Sink;
use crate::hub::{Refusal, SessionKey};
use crate::json::server::{self, About};
use crate::json::{Command, Envelope, ErrorCode, Fault, Trace};
use crate::session::Code;
use crate::time::Instant;

/// After so many messages in a row that are none, the connection closes (JSN-2).
const MAX_FAULTS: u8 = 16;

/// One client, as long as it is spoken with over the same transport, or polls.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) peer: Peer,
    /// The session in the hub that it has.
    pub(super) hub: Option<SessionKey>,
    pub(super) state: State,
    /// Credentials that came with the request that it began with.
    pub(super) authorization: Option<Zeroizing<String>>,
    /// What was not answered yet, because of the store or for want of room.
    pub(super) owed: Owed<Box<str>>,
    /// Rooms that are being joined, and what the answer names.
    pub(super) joins: Vec<(u64, Box<str>)>,
    /// Requests under way, and what the answer names.
    pub(super) asked: Vec<(u64, Box<str>)>,
    pub(super) next_request: u64,
    /// Messages in a row that were none.
    faults: u8,
    /// How often it was wrong about who it is.
    pub(super) failures: u8,
    /// It was told of the drain.
    drained: bool,
    /// A slow subscriber holds this publisher: nothing more is read.
    pub(super) held: bool,
    /// Its queue overflowed, and its policy is to be disconnected.
    pub(super) slow: bool,
    /// An administrator has it go; and whether its session ends with it.
    pub(super) expelled: Option<bool>,
    /// It is over, for this reason.
    pub(super) end: Option<End>,
}

/// How far it is known who the client is.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing was said yet.
    New,
    /// It has to say who it is.
    Unknown,
    /// Its password is being checked.
    Checked(Box<Opening>),
    /// It has a session.
    Open,
}

/// Why a client is spoken with no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: Code,
    pub(super) why: &'static str,
    /// Its session ends with it.
    pub(super) for_good: bool,
}

impl Talk {
    pub(super) fn new(peer: Peer, authorization: Option<Zeroizing<String>>) -> Self {
        Self {
            peer,
            hub: None,
            state: State::New,
            authorization,
            owed: Owed::default(),
            joins: Vec::new(),
            asked: Vec::new(),
            next_request: 0,
            faults: 0,
            failures: 0,
            drained: false,
            held: false,
            slow: false,
            expelled: None,
            end: None,
        }
    }

    /// Whether it has a session.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Nothing is heard of one that is not read.
    pub(super) fn is_deaf(&self) -> bool {
        self.held || self.owed.len() >= MAX_OWED || matches!(self.state, State::Checked(_))
    }

    /// It is over.
    pub(super) fn finish(&mut self, code: Code, why: &'static str, for_good: bool) {
        self.end.get_or_insert(End { code, why, for_good });
    }

    /// A message of the client, which belongs to the `given` trace where it names no other.
    pub(super) fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        text: &str,
        given: Option<&Trace<'_>>,
        out: &mut impl Sink,
    ) {
        turn.server.traffic.packets_received += 1;
        let envelope = match Envelope::decode(text) {
            Ok(envelope) => envelope,
            Err(fault) => return self.misheard(turn, &fault, out),
        };
        match Command::parse(&envelope) {
            Ok(command) => {
                self.faults = 0;
                let trace = envelope.trace.as_ref().or(given);
                self.command(turn, envelope.id.as_deref(), trace, &command, out);
            }
            Err(fault) => self.misheard(turn, &fault, out),
        }
    }

    fn misheard(&mut self, turn: &mut Turn<'_>, fault: &Fault, out: &mut impl Sink) {
        let about = About { reference: fault.id(), room: None };
        self.refuse(turn, about, fault.code(), fault, out);
        if fault.code() == ErrorCode::Malformed {
            self.faults += 1;
            if self.faults >= MAX_FAULTS {
                self.finish(Code::Malformed, "too many messages in a row that cannot be read", false);
            }
        } else {
            self.faults = 0;
        }
    }

    /// Answers now, or in its turn.
    pub(super) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        commit: Option<u64>,
        out: &mut impl Sink,
        write: impl FnOnce(&mut String),
    ) {
        let mut text = turn.server.json.lend();
        write(&mut text);
        self.say(turn, commit, out, &text);
        turn.server.json.give_back(text);
    }

    /// The same, of what is written.
    pub(super) fn say(&mut self, turn: &mut Turn<'_>, commit: Option<u64>, out: &mut impl Sink, text: &str) {
        turn.server.traffic.packets_sent += 1;
        if commit.is_some() || !self.owed.is_empty() || !out.put_text(turn.now, text) {
            self.owed.push(commit.unwrap_or(0), text.into());
        }
    }

    /// Answers what was done, where an answer was asked for.
    pub(super) fn done(
        &mut self,
        turn: &mut Turn<'_>,
        name: &str,
        about: About<'_>,
        commit: Option<u64>,
        out: &mut impl Sink,
    ) {
        if about.reference.is_some() {
            self.answer(turn, commit, out, |text| server::done(text, name, about));
        }
    }

    /// `$error`, whether an answer was asked for or not.
    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        about: About<'_>,
        code: ErrorCode,
        message: impl Display,
        out: &mut impl Sink,
    ) {
        self.answer(turn, None, out, |text| server::error(text, about, code, message, code.retry_after()));
    }

    /// The same for what the hub did not do.
    pub(super) fn refused(
        &mut self,
        turn: &mut Turn<'_>,
        about: About<'_>,
        refusal: Refusal,
        out: &mut impl Sink,
    ) {
        let (code, wait) = code_of(refusal);
        self.answer(turn, None, out, |text| server::error(text, about, code, refusal, wait));
    }

    /// Puts what is due of what was owed.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>, out: &mut impl Sink) {
        let now = turn.now;
        if !self.owed.is_empty() && self.owed.flush(turn.server.hub.commits(), |text| out.put_text(now, text))
        {
            turn.server.waiting.push(turn.key);
        }
    }

    /// JSN-11: a server that goes says when to come back.
    pub(super) fn finish_drained(&mut self, turn: &mut Turn<'_>, out: &mut impl Sink) {
        let Some(draining) = &turn.server.draining else { return };
        let until = draining.until;
        if !self.drained {
            let endpoint = draining.endpoint.clone();
            let wait = turn.server.draw_retry().unwrap_or_default();
            self.answer(turn, None, out, |text| server::drain(text, wait, &endpoint));
            self.drained = true;
        }
        if self.owed.is_empty() || turn.now >= until {
            self.finish(Code::GoingAway, "the server restarts", false);
        }
    }

    /// It is spoken with no longer: its session waits for it, or ends.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, for_good: bool) {
        if let Some(hub) = self.hub.take() {
            if for_good {
                turn.server.remove(turn.now, hub);
            } else {
                turn.server.release(turn.now, hub);
            }
        }
    }

    /// When it must have said who it is.
    pub(super) fn must_be_known(&self, since: Instant, within: Duration) -> Option<Instant> {
        (!self.is_open()).then(|| since + within)
    }
}

/// What a page is told of what the hub did not do.
pub(super) const fn code_of(refusal: Refusal) -> (ErrorCode, Option<Duration>) {
    let code = match refusal {
        Refusal::NotAuthorized => ErrorCode::Denied,
        Refusal::NotMember => ErrorCode::NotMember,
        Refusal::RateLimited { retry_after } => return (ErrorCode::RateLimited, Some(retry_after)),
        Refusal::Quota(_) => ErrorCode::Quota,
        Refusal::Plugin(why) => {
            let code = error_of(why);
            let own = if why.retry_after.is_some() { why.retry_after } else { code.retry_after() };
            return (code, own);
        }
        Refusal::Store => ErrorCode::Store,
        Refusal::NoSession | Refusal::Detached | Refusal::NotFound => ErrorCode::NotFound,
        _ => ErrorCode::Malformed,
    };
    (code, code.retry_after())
}
