//! One connection: whichever dialect it speaks.

use alloc::boxed::Box;

use super::auth::{Verification, Verified};
use super::{ConnectionKey, Peer, Server, bowline};
use crate::buf::{RecvBuf, SendBuf};
use crate::hub::SessionKey;
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::time::{Deadline, Instant};

/// What a call on one connection works with, while that connection is lent out: the rest of the
/// server, the time, and whose call it is.
pub(super) struct Turn<'s> {
    pub(super) server: &'s mut Server,
    pub(super) now: Instant,
    pub(super) key: ConnectionKey,
}

/// One connection. Each dialect has its own record, of its own size, and answers the same calls.
#[derive(Debug)]
pub(super) enum Connection {
    Bowline(Box<bowline::Connection>),
}

impl Connection {
    pub(super) fn new(now: Instant, server: &Server, peer: Peer) -> Self {
        Self::Bowline(Box::new(bowline::Connection::new(now, &server.config.session, peer)))
    }

    pub(super) fn peer(&self) -> &Peer {
        match self {
            Self::Bowline(c) => &c.peer,
        }
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        match self {
            Self::Bowline(c) => c.recv(turn, buf, out),
        }
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        match self {
            Self::Bowline(c) => c.poll_transmit(turn, out),
        }
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        match self {
            Self::Bowline(c) => c.verified(turn, verified, out),
        }
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        match self {
            Self::Bowline(c) => c.poll_verification(),
        }
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Bowline(c) => c.handle_eof(turn),
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        match self {
            Self::Bowline(c) => c.handle_written(now, written, waiting),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        match self {
            Self::Bowline(c) => c.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Bowline(c) => c.handle_timeout(turn),
        }
    }

    /// Its transport is gone.
    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Bowline(c) => c.disconnected(turn),
        }
    }

    /// Ends it by this side's decision.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        match self {
            Self::Bowline(c) => c.end(turn, code, reason),
        }
    }

    /// A slow subscriber holds this publisher, or lets it go.
    pub(super) fn hold(&mut self, hold: bool) {
        match self {
            Self::Bowline(c) => c.hold(hold),
        }
    }

    /// Its queue overflowed, and its policy is to be disconnected.
    pub(super) fn overflowed(&mut self) {
        match self {
            Self::Bowline(c) => c.overflowed(),
        }
    }

    /// How many reliable frames of its peer's it has received, in a dialect that counts them.
    pub(super) fn received(&self) -> Option<u64> {
        match self {
            Self::Bowline(c) => Some(c.received()),
        }
    }

    /// Its session goes on over another connection: it serves `hub` no longer.
    pub(super) fn taken_over(&mut self, now: Instant, hub: SessionKey) {
        match self {
            Self::Bowline(c) => c.taken_over(now, hub),
        }
    }
}
