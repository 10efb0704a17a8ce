//! What the machine owes, and when it wants to be called.

use core::time::Duration;

use super::close::{Ending, Owed};
use super::frame::{FIN, Opcode};
use super::{CloseCode, Event, Fault, Role, WebSocket};
use crate::buf::SendBuf;
use crate::lifecycle::{By, State, Transport};
use crate::time::{Deadline, Instant, Why};

impl<R: Role> WebSocket<R> {
    /// Puts what the machine itself owes into `out`: a pong that had no room before, a ping, the Close
    /// frame. What has no room stays owed. At most two small frames a call.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        let sent = match &self.owed {
            Owed::Nothing => false,
            Owed::Pong(payload) => self.tx.put(out, FIN | Opcode::Pong as u8, payload.as_slice()),
            Owed::Close(payload) => self.tx.put(out, FIN | Opcode::Close as u8, payload.as_slice()),
        };
        if sent {
            self.owed = Owed::Nothing;
        }
        if self.is_open() && self.keepalive.poll_ping(self.now) {
            let token = u64::from(self.pings) + 1;
            if self.tx.put(out, FIN | Opcode::Ping as u8, &token.to_be_bytes()) {
                self.pings = self.pings.wrapping_add(1);
                self.keepalive.ping_sent(self.now, token);
            }
        }
        self.verdict()
    }

    fn verdict(&self) -> Transport {
        match self.life.state() {
            State::Closed if self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            State::Closing if matches!(self.owed, Owed::Close(_)) => Transport::Open,
            State::Closing if self.eof => Transport::Drop,
            // No more than the stream's end will come that can be understood; a reset would eat our Close frame.
            State::Closing if self.failed => Transport::Shut,
            // Section 7.1.1: the server is the first to close, and the client waits for that.
            State::Closing if self.close_received && !R::MASKS => Transport::Shut,
            _ => Transport::Open,
        }
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    ///
    /// A peer that takes nothing for the configured time is given up.
    #[inline]
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](WebSocket::poll_transmit) (once the buffer has
    /// room again) and [`recv`](WebSocket::recv); [`Why::Keepalive`] means `poll_transmit` too; all else:
    /// call [`handle_timeout`](WebSocket::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        // What is owed behind octets that wait for the transport goes out with them: to say "now"
        // would hide the deadline by which the transport must have taken some.
        let owes = !matches!(self.owed, Owed::Nothing);
        if self.untold().is_some() || (owes && self.stalled_since.is_none()) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let keepalive = if self.is_open() { self.keepalive.poll_timeout() } else { None };
        // A ping goes out behind what waits likewise.
        let keepalive = keepalive.filter(|d| d.why == Why::PeerSilent || self.stalled_since.is_none());
        let write = match self.life.state() {
            State::Closed => None,
            _ => self.stalled_since.map(|t| Deadline::new(t + self.write_timeout(), Why::Write)),
        };
        Deadline::earliest(Deadline::earliest(self.life.poll_timeout(), keepalive), write)
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.write_timeout_ms))
    }

    /// Acts on deadlines that have passed. The end may follow: take it here, or with
    /// [`recv`](WebSocket::recv) or [`poll_closed`](WebSocket::poll_closed).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event<'static>> {
        self.tick(now);
        let now = self.now;
        if self.stalled_since.is_some_and(|t| now >= t + self.write_timeout()) {
            let event = if self.is_ended() { None } else { self.fail(Fault::WriteTimeout) };
            self.give_up();
            return event.or_else(|| self.poll_closed());
        }
        let ending = Ending { by: By::Local, code: CloseCode::ABNORMAL };
        if self.life.handle_timeout(now, |_| ending).is_some() {
            self.give_up();
        }
        if self.is_open() && self.keepalive.is_dead(now) {
            return self.fail(Fault::PeerSilent);
        }
        self.poll_closed()
    }

    /// Takes the peer's silence so far for nothing: it was not read, so nobody knows whether it was silent.
    pub fn excuse_silence(&mut self, now: Instant) {
        self.tick(now);
        self.keepalive.on_received(self.now);
    }

    /// The peer has had its time.
    fn give_up(&mut self) {
        self.life.ended(Ending { by: By::Local, code: CloseCode::ABNORMAL });
        self.aborted = self.stalled_since.is_some() || !matches!(self.owed, Owed::Nothing);
        self.owed = Owed::Nothing;
        self.stalled_since = None;
    }
}
