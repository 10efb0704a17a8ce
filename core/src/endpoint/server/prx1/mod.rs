//! PRX1 on the hub.
//!
//! The dialect has hardly any words for "no". What a client may not publish is acknowledged and
//! dropped, else it would be sent again for ever; what the store cannot take now is not
//! acknowledged, and comes again. A subscription that is refused gets no SUBACK.
//!
//! A session belongs to a user, and outlives its connections; anonymous clients have none.

mod connect;
mod deliver;
mod queue;
mod recv;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::event::{Dialect, ServerEvent};
use super::owed::Owed;
use super::{MAX_OWED, Peer};
use crate::buf::{SendBuf, SliceRecvBuf};
use crate::hub::SessionKey;
use crate::prx1::{Answer, Config, End, PacketId, QueueStatus, Server as Line, ServerEvent as Event};
use crate::session::{By, Code};
use crate::time::{Deadline, Instant};
use queue::Queues;

/// The settings of PRX1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prx1Config {
    /// Of each connection.
    pub line: Config,
    /// How long a user's session outlives its connection; an hour.
    pub expiry: Duration,
    /// Messages with QoS 1 at most that a client has not acknowledged; 1,024.
    pub in_flight: u16,
}

impl Default for Prx1Config {
    fn default() -> Self {
        Self { line: Config::default(), expiry: Duration::from_secs(3600), in_flight: 1024 }
    }
}

/// One connection that speaks PRX1.
#[derive(Debug)]
pub(super) struct Connection {
    line: Line,
    pub(super) peer: Peer,
    /// The session in the hub that it serves.
    hub: Option<SessionKey>,
    opening: Option<Box<Opening>>,
    owed: Owed<Acknowledgement>,
    queues: Option<Box<Queues>>,
    /// A slow subscriber holds this publisher: nothing more is read.
    held: bool,
    /// Its queue overflowed, and its policy is to be disconnected.
    slow: bool,
    /// What was received was not read to its end.
    blocked: bool,
    /// The event of its end is out.
    told: bool,
}

/// What CONNECT asked for, until a password is checked.
#[derive(Debug)]
struct Opening {
    client_id: String,
    clean: bool,
    verification: Option<Verification>,
}

/// What a client's packet is answered with.
#[derive(Clone, Copy, Debug)]
enum Acknowledgement {
    Publish(PacketId),
    Subscribe(PacketId),
    Unsubscribe(PacketId),
    Queue(QueueStatus),
}

impl Connection {
    /// A connection that was accepted at `since`.
    pub(super) fn new(since: Instant, config: &Prx1Config, peer: Peer) -> Self {
        Self {
            line: Line::accept(since, &config.line),
            peer,
            hub: None,
            opening: None,
            owed: Owed::default(),
            queues: None,
            held: false,
            slow: false,
            blocked: false,
            told: false,
        }
    }

    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        self.hub.is_none() && self.opening.is_none()
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.blocked = false;
        self.handle_eof(turn);
        self.release(turn);
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.line.handle_eof(turn.now);
        // What was received before still counts.
        if !self.blocked
            && let Some(Event::Closed(end)) = self.line.recv(turn.now, &mut SliceRecvBuf::new(&mut []))
        {
            self.closed(turn, end);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.line.handle_written(now, written, waiting);
    }

    /// Nothing is heard of one that is not read. One that has ended is heard out, or it would never be over.
    fn is_deaf(&self) -> bool {
        !self.line.is_ended() && (self.held || self.owed.len() >= MAX_OWED)
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        if self.is_deaf() { None } else { self.line.poll_timeout() }
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if !self.is_deaf()
            && let Some(Event::Closed(end)) = self.line.handle_timeout(turn.now)
        {
            self.closed(turn, end);
        }
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.opening.as_mut()?.verification.take()
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        let Some(opening) = self.opening.take() else { return };
        match verified.identity {
            Some(identity) => self.establish(turn, &identity, &opening.client_id, opening.clean, out),
            None => self.refuse(turn, out, Answer::Failed),
        }
    }

    pub(super) fn hold(&mut self, hold: bool) {
        self.held = hold;
    }

    pub(super) fn overflowed(&mut self) {
        self.slow = true;
    }

    pub(super) fn committed(&mut self) {
        self.owed.committed();
    }

    /// Ends the connection by this side's decision.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, reason: &str) {
        self.line.close(turn.now);
        self.tell(turn, By::Local, Some(code), reason);
        self.release(turn);
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        self.line.close(turn.now);
        self.tell(turn, By::Local, Some(Code::TakenOver), "the user has connected again");
        self.hub = None;
    }

    /// The connection serves its session no longer: that waits for the next one, or ends.
    fn release(&mut self, turn: &mut Turn<'_>) {
        if let Some(hub) = self.hub.take() {
            self.end_drains(turn, hub);
            turn.server.release(turn.now, hub);
        }
    }

    fn closed(&mut self, turn: &mut Turn<'_>, end: End) {
        let (by, code, reason) = match end {
            End::Disconnected => (By::Remote, Some(Code::Normal), String::new()),
            End::Closed => (By::Local, Some(Code::GoingAway), String::new()),
            End::Refused(_) => (By::Local, Some(Code::AuthFailed), "authentication failed".into()),
            End::Fault(fault) => (By::Local, Some(Code::Malformed), fault.to_string()),
            End::Lost => (By::Transport, None, "the connection ended without DISCONNECT".into()),
        };
        self.tell(turn, by, code, &reason);
        self.release(turn);
    }

    /// Tells the end, once.
    fn tell(&mut self, turn: &mut Turn<'_>, by: By, code: Option<Code>, reason: &str) {
        if core::mem::replace(&mut self.told, true) {
            return;
        }
        let session = self.hub.and_then(|hub| turn.server.registry.told(hub));
        let event = ServerEvent::Closed {
            connection: turn.key,
            peer: self.peer,
            dialect: Some(Dialect::Prx1),
            session,
            by,
            code,
            reason: reason.into(),
        };
        turn.tell_closed(code, event);
    }
}
