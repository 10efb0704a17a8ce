//! Our own protocol on the hub.

mod datagrams;
mod held;
mod history;
mod recv;
mod rooms;
mod sessions;
#[cfg(test)]
mod tests;
mod transmit;
mod tunnels;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

pub(super) use held::{Held, Progress, parse_hex};

use datagrams::Datagrams;
use history::Asked;
use rooms::Batch;
use sessions::Opening;

use super::connection::Turn;
use super::owed::Owed;
use super::{Peer, ServerConfig, Verification, Verified};
use crate::buf::SendBuf;
use crate::hub::SessionKey;
use crate::session::{Code, Config, Event, Session, SessionId, Tunnels};
use crate::time::{Deadline, Instant};

/// What is handed out as there is room.
#[derive(Debug, Default)]
struct Later {
    /// Parts of histories.
    asked: VecDeque<Asked>,
    /// Who is in a room.
    presence: Batch,
    /// Its tunnels, once it asked for one.
    tunnels: Option<Box<Tunnels>>,
    /// They had to wait for room the last time.
    tunnels_waited: bool,
    /// Where the transport has datagrams.
    datagrams: Option<Box<Datagrams>>,
}

/// One connection that speaks our own protocol.
#[derive(Debug)]
pub(super) struct Connection {
    session: Session,
    pub(super) peer: Peer,
    /// The session in the hub that it serves.
    hub: Option<SessionKey>,
    id: Option<SessionId>,
    opening: Option<Box<Opening>>,
    /// Reliable frames that are accepted once the store has what came with them.
    owed: Owed<()>,
    /// What is handed out as there is room: few have anything.
    later: Option<Box<Later>>,
    /// Its queue overflowed, and its policy is to be disconnected.
    slow: bool,
    /// The event of its end is out.
    told: bool,
}

impl Connection {
    /// The smoothed round trip, once a ping was answered.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.session.round_trip()
    }

    /// A connection that was accepted at `since`.
    pub(super) fn new(since: Instant, config: &ServerConfig, peer: Peer) -> Self {
        // What the store has to keep is acknowledged once it does.
        let manual_accept = config.hub.durable || config.session.manual_accept;
        let session = Session::accept(since, &Config { manual_accept, ..config.session });
        Self {
            session,
            peer,
            hub: None,
            id: None,
            opening: None,
            owed: Owed::default(),
            later: None,
            slow: false,
            told: false,
        }
    }

    /// Whether not one octet was read of it, and it has not ended.
    #[cfg(feature = "noise")]
    pub(super) fn is_untouched(&self) -> bool {
        self.session.is_untouched()
    }

    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        self.hub.is_none() && self.opening.is_none()
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        // One that was closed here says so only now, where its peer did not answer.
        self.handle_eof(turn);
        self.release(turn, false);
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.session.handle_eof(turn.now);
        if let Some(Event::Closed(closed)) = self.session.poll_closed() {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.session.handle_written(now, written, waiting);
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        self.session.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if let Some(Event::Closed(closed)) = self.session.handle_timeout(turn.now) {
            self.closed(turn, &closed);
        }
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.opening.as_mut()?.verification.take()
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        match verified.identity {
            Some(identity) => self.establish(turn, &identity, &[], out),
            None => self.refuse(turn, out, Code::AuthFailed, "authentication failed"),
        }
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.session.hold_credit(hold);
    }

    pub(super) fn overflowed(&mut self) {
        self.slow = true;
    }

    /// How far its client's reliable frames have come.
    pub(super) fn progress(&self) -> Progress {
        Progress { received: self.session.received(), commit: self.owed.last_commit() }
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        self.hub = None;
        self.session.close(turn.now, Code::TakenOver, "the session goes on over another connection");
    }

    pub(super) fn committed(&mut self) {
        self.owed.committed();
    }
}
