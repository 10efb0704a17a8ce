//! What is spoken on a connection: one of the dialects, over the transport or over a layer.

use alloc::boxed::Box;
use core::time::Duration;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::{Peer, ServerConfig, bowline, json, mqtt, prx1};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::stack::Dialect;
use crate::time::{Deadline, Instant};

/// A dialect's record of its connection. It reads from and writes to whatever buffers it is given.
#[derive(Debug)]
pub(super) enum Spoken {
    Bowline(Box<bowline::Connection>),
    /// Its messages are those of the WebSocket, which is its own.
    Json(Box<json::Connection>),
    Mqtt(Box<mqtt::Connection>),
    Prx1(Box<prx1::Connection>),
}

/// The same call, whatever is spoken.
macro_rules! each {
    ($spoken:expr, $c:ident => $do:expr) => {
        match $spoken {
            Spoken::Bowline($c) => $do,
            Spoken::Json($c) => $do,
            Spoken::Mqtt($c) => $do,
            Spoken::Prx1($c) => $do,
        }
    };
}

impl Spoken {
    /// Nobody knows the rest better than our own protocol: it says what is wrong.
    pub(super) fn new(dialect: Dialect, since: Instant, config: &ServerConfig, peer: Peer) -> Self {
        match dialect {
            Dialect::Mqtt => Self::Mqtt(Box::new(mqtt::Connection::new(since, &config.mqtt, peer))),
            Dialect::Prx1 => Self::Prx1(Box::new(prx1::Connection::new(since, &config.prx1, peer))),
            _ => Self::Bowline(Box::new(bowline::Connection::new(since, config, peer))),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        match self {
            Self::Json(c) => c.peer(),
            Self::Bowline(c) => &c.peer,
            Self::Mqtt(c) => &c.peer,
            Self::Prx1(c) => &c.peer,
        }
    }

    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        match self {
            Self::Bowline(c) => c.is_stranger(),
            Self::Mqtt(c) => c.is_stranger(),
            Self::Prx1(c) => c.is_stranger(),
            // Who got as far has a session.
            Self::Json(_) => false,
        }
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        each!(self, c => c.recv(turn, buf, out))
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        each!(self, c => c.poll_transmit(turn, out))
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        each!(self, c => c.verified(turn, verified, out));
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        each!(self, c => c.poll_verification())
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        each!(self, c => c.handle_eof(turn));
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        each!(self, c => c.handle_written(now, written, waiting));
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        each!(self, c => c.poll_timeout())
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        each!(self, c => c.handle_timeout(turn));
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        each!(self, c => c.disconnected(turn));
    }

    pub(super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        each!(self, c => c.end(turn, code, reason));
    }

    pub(super) fn hold(&mut self, hold: bool) {
        each!(self, c => c.hold(hold));
    }

    pub(super) fn overflowed(&mut self) {
        each!(self, c => c.overflowed());
    }

    pub(super) fn committed(&mut self) {
        each!(self, c => c.committed());
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        each!(self, c => c.taken_over(turn));
    }

    pub(super) fn dialect(&self) -> super::Dialect {
        match self {
            Self::Bowline(_) => super::Dialect::Bowline,
            Self::Mqtt(c) => c.dialect(),
            Self::Prx1(_) => super::Dialect::Prx1,
            Self::Json(_) => super::Dialect::Json,
        }
    }

    /// The smoothed round trip, where it is measured: a server of MQTT or PRX1 asks nothing of its client.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Bowline(c) => c.round_trip(),
            Self::Json(c) => c.round_trip(),
            Self::Mqtt(_) | Self::Prx1(_) => None,
        }
    }

    pub(super) fn progress(&self) -> Option<bowline::Progress> {
        match self {
            Self::Bowline(c) => Some(c.progress()),
            Self::Json(_) | Self::Mqtt(_) | Self::Prx1(_) => None,
        }
    }
}
