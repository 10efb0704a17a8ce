//! One connection: whichever dialect it speaks.

use alloc::boxed::Box;

use super::auth::{Verification, Verified};
use super::{ConnectionKey, Peer, Server, ServerConfig, bowline, mqtt, prx1};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::stack::{self, Detection, Dialect};
use crate::time::{Deadline, Instant, Why};

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
    /// It has said too little to be told from others.
    Detecting(Box<Detecting>),
    Bowline(Box<bowline::Connection>),
    Mqtt(Box<mqtt::Connection>),
    Prx1(Box<prx1::Connection>),
}

/// One that has said nothing, or hardly anything.
#[derive(Debug)]
pub(super) struct Detecting {
    since: Instant,
    peer: Peer,
}

/// The same call, whatever is spoken.
macro_rules! spoken {
    ($connection:expr, $c:ident => $do:expr, $detecting:pat => $otherwise:expr) => {
        match $connection {
            Connection::Detecting($detecting) => $otherwise,
            Connection::Bowline($c) => $do,
            Connection::Mqtt($c) => $do,
            Connection::Prx1($c) => $do,
        }
    };
}

impl Connection {
    pub(super) fn new(now: Instant, peer: Peer) -> Self {
        Self::Detecting(Box::new(Detecting { since: now, peer }))
    }

    /// Nobody knows the rest better than our own protocol: it says what is wrong.
    fn speak(&mut self, dialect: Dialect, config: &ServerConfig) {
        let Self::Detecting(detecting) = self else { return };
        let Detecting { since, peer } = **detecting;
        *self = match dialect {
            Dialect::Mqtt => Self::Mqtt(Box::new(mqtt::Connection::new(since, &config.mqtt, peer))),
            Dialect::Prx1 => Self::Prx1(Box::new(prx1::Connection::new(since, &config.prx1, peer))),
            _ => Self::Bowline(Box::new(bowline::Connection::new(since, config, peer))),
        };
    }

    pub(super) fn peer(&self) -> &Peer {
        spoken!(self, c => &c.peer, d => &d.peer)
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        if matches!(self, Self::Detecting(_)) {
            match stack::detect(buf.filled()) {
                Detection::NeedMore => return false,
                Detection::Known(dialect) => self.speak(dialect, &turn.server.config),
                Detection::Unknown => self.speak(Dialect::Bowline, &turn.server.config),
            }
        }
        spoken!(self, c => c.recv(turn, buf, out), _ => false)
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        spoken!(self, c => c.poll_transmit(turn, out), _ => Transport::Open)
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        spoken!(self, c => c.verified(turn, verified, out), _ => {});
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        spoken!(self, c => c.poll_verification(), _ => None)
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.speak(Dialect::Bowline, &turn.server.config);
        spoken!(self, c => c.handle_eof(turn), _ => {});
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        spoken!(self, c => c.handle_written(now, written, waiting), _ => {});
    }

    /// `config` says how long a connection may say nothing.
    pub(super) fn poll_timeout(&self, config: &ServerConfig) -> Option<Deadline> {
        let silent =
            |since: Instant| Deadline::new(since + config.session.handshake_deadline, Why::Handshake);
        spoken!(self, c => c.poll_timeout(), d => Some(silent(d.since)))
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if let Self::Detecting(detecting) = self
            && turn.now < detecting.since + turn.server.config.session.handshake_deadline
        {
            return;
        }
        self.speak(Dialect::Bowline, &turn.server.config);
        spoken!(self, c => c.handle_timeout(turn), _ => {});
    }

    /// Its transport is gone.
    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.speak(Dialect::Bowline, &turn.server.config);
        spoken!(self, c => c.disconnected(turn), _ => {});
    }

    /// Ends it by this side's decision.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        self.speak(Dialect::Bowline, &turn.server.config);
        spoken!(self, c => c.end(turn, code, reason), _ => {});
    }

    /// A slow subscriber holds this publisher, or lets it go.
    pub(super) fn hold(&mut self, hold: bool) {
        spoken!(self, c => c.hold(hold), _ => {});
    }

    /// Its queue overflowed, and its policy is to be disconnected.
    pub(super) fn overflowed(&mut self) {
        spoken!(self, c => c.overflowed(), _ => {});
    }

    /// The store has committed more.
    pub(super) fn committed(&mut self) {
        spoken!(self, c => c.committed(), _ => {});
    }

    /// Its session goes on over another connection.
    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        spoken!(self, c => c.taken_over(turn), _ => {});
    }

    /// How far its client's reliable frames have come, in our own protocol.
    pub(super) fn progress(&self) -> Option<bowline::Progress> {
        match self {
            Self::Bowline(c) => Some(c.progress()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert_eq!(size_of::<Connection>(), 16);
        let (mqtt, prx1) = (size_of::<mqtt::Connection>(), size_of::<prx1::Connection>());
        let bowline = size_of::<bowline::Connection>();
        assert!(mqtt <= 240 && prx1 <= 224 && bowline <= 360, "{mqtt} {prx1} {bowline}");
    }
}
