//! A dialect in the frames of a WebSocket.
//!
//! The dialect knows nothing of it: it reads from [`Decoded`](crate::websocket::Decoded) and writes to
//! [`Framed`](crate::websocket::Framed). Where it would end the transport, the layer has its closing
//! handshake; where the layer ends, the dialect sees the end of its stream.

use core::time::Duration;

use super::auth::{Verification, Verified};
use super::connection::Turn;
use super::counters::Pinger;
use super::http::HttpConfig;
use super::spoken::Spoken;
use super::{Peer, bowline};
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::carrier;
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::time::{Deadline, Instant};
use crate::websocket::{Carries, CloseCode, Event, Fault, Server as Role, WebSocket as Layer};

/// One connection of a WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    layer: Layer<Role>,
    spoken: Spoken,
    /// With which code the dialect ended.
    ended: Option<Code>,
    /// The layer has ended: the dialect is told once it has read what came before.
    eof: bool,
    /// The dialect leaves octets unread, so nothing more is read of the peer.
    blocked: bool,
}

impl WebSocket {
    /// A connection whose opening handshake ended at `now`.
    pub(super) fn new(now: Instant, config: &HttpConfig, spoken: Spoken) -> Self {
        let layer = Layer::new(now, Role, Carries::Stream, &config.websocket);
        Self { layer, spoken, ended: None, eof: false, blocked: false }
    }

    pub(super) fn peer(&self) -> &Peer {
        self.spoken.peer()
    }

    /// The smoothed round trip, once a ping was answered: of the layer, or of what is spoken in it.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.layer.smoothed_rtt().or_else(|| self.spoken.round_trip())
    }

    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        self.spoken.is_stranger()
    }

    pub(super) fn spoken(&mut self) -> &mut Spoken {
        &mut self.spoken
    }

    /// Works on the dialect, and keeps with which code it ends.
    fn on<T>(&mut self, turn: &mut Turn<'_>, work: impl FnOnce(&mut Self, &mut Turn<'_>) -> T) -> T {
        turn.ended = None;
        let done = work(self, turn);
        self.ended = self.ended.or(turn.ended.take());
        done
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        let mut fault = None;
        while let Some(event) = self.layer.recv(turn.now, buf, out) {
            match event {
                Event::Closed(closed) => (self.eof, fault) = (true, closed.fault),
                Event::RoundTrip(took) => turn.server.timings.round_trip(Pinger::WebSocket, took),
                Event::Message(_) | Event::Piece(_) => {}
            }
        }
        let blocked = self.on(turn, |c, turn| {
            let (mut decoded, mut framed) = c.layer.carry(buf, out);
            c.spoken.recv(turn, &mut decoded, &mut framed)
        });
        if core::mem::replace(&mut self.blocked, blocked) {
            self.layer.excuse_silence(turn.now);
        }
        self.broken(turn, fault);
        if !blocked {
            self.end_stream(turn);
        }
        blocked
    }

    /// The peer broke a rule of the layer: that is what ends the dialect, where nothing else has.
    fn broken(&mut self, turn: &mut Turn<'_>, fault: Option<Fault>) {
        let Some(fault) = fault else { return };
        self.on(turn, |c, turn| c.spoken.end(turn, code_of(&fault), fault.reason()));
    }

    /// Nothing is heard of one that is not read, and its silence means nothing.
    fn is_deaf(&self) -> bool {
        self.blocked && self.layer.is_open()
    }

    /// Tells the dialect that nothing more comes, where that is so.
    fn end_stream(&mut self, turn: &mut Turn<'_>) {
        if core::mem::take(&mut self.eof) {
            self.on(turn, |c, turn| c.spoken.handle_eof(turn));
        }
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        let spoken = self.on(turn, |c, turn| {
            let mut framed = c.layer.framed(out);
            c.spoken.poll_transmit(turn, &mut framed)
        });
        match spoken {
            Transport::Open => {}
            Transport::Abort if self.layer.is_open() => return Transport::Abort,
            Transport::Shut | Transport::Drop | Transport::Abort => {
                let (code, reason) = farewell(self.ended, turn);
                self.layer.close(turn.now, code, reason);
            }
        }
        self.layer.poll_transmit(turn.now, out)
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        self.on(turn, |c, turn| {
            let mut framed = c.layer.framed(out);
            c.spoken.verified(turn, verified, &mut framed);
        });
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        self.spoken.poll_verification()
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.layer.handle_eof(turn.now);
        let _ = self.layer.poll_closed(); // the dialect tells of the end
        self.eof = true;
        self.end_stream(turn);
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.layer.handle_written(now, written, waiting);
        self.spoken.handle_written(now, written, waiting);
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let layer = if self.is_deaf() { None } else { self.layer.poll_timeout() };
        Deadline::earliest(self.spoken.poll_timeout(), layer)
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        self.on(turn, |c, turn| c.spoken.handle_timeout(turn));
        if !self.is_deaf()
            && let Some(Event::Closed(closed)) = self.layer.handle_timeout(turn.now)
        {
            self.eof = true;
            self.broken(turn, closed.fault);
            self.end_stream(turn);
        }
    }

    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.spoken.disconnected(turn);
    }

    pub(super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        self.on(turn, |c, turn| c.spoken.end(turn, code, reason));
        self.ended = self.ended.or(Some(code));
    }

    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        self.on(turn, |c, turn| c.spoken.taken_over(turn));
        self.ended = self.ended.or(Some(Code::TakenOver));
    }

    pub(super) fn dialect(&self) -> super::Dialect {
        self.spoken.dialect()
    }

    pub(super) fn progress(&self) -> Option<bowline::Progress> {
        self.spoken.progress()
    }
}

/// What the Close frame says for what the dialect ended with (RFC 6455 §7.4).
fn farewell(ended: Option<Code>, turn: &Turn<'_>) -> (CloseCode, &'static str) {
    let draining = turn.server.draining.as_ref();
    match ended.unwrap_or(if draining.is_some() { Code::GoingAway } else { Code::Normal }) {
        // Who is told when to come back is told of a restart.
        Code::GoingAway if draining.is_some_and(|d| !d.retry_after.is_zero()) => {
            (CloseCode::RESTART, "the server restarts")
        }
        Code::GoingAway => (CloseCode::GOING_AWAY, "the server is going away"),
        code => carrier::farewell(code),
    }
}

/// What comes closest in our own words.
pub(super) const fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::PeerSilent | Fault::WriteTimeout => Code::KeepaliveTimeout,
        _ => Code::Malformed,
    }
}
