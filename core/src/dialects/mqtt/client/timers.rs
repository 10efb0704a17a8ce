//! What the client owes, and when it wants to be called.

use core::time::Duration;

use super::super::packet::Ping;
use super::super::wire;
use super::super::{Aliases, Fault, PacketType};
use super::close::Ending;
use super::{Client, Event, Kept, Losing, Phase, Store};
use crate::buf::SendBuf;
use crate::lifecycle::{By, State, Transport};
use crate::time::{Deadline, Instant, Why};

impl<S: Store, A: Aliases> Client<S, A> {
    /// Puts what the client owes into `out`: acknowledgements, what waits in the store, a ping, the last
    /// packet. What has no room stays owed. Then call [`recv`](Client::recv) again, which may have waited
    /// for this.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.is_open() {
            self.put_owed(out);
            self.pump(out);
            self.put_ping(out);
        }
        if let Some(reason) = self.farewell
            && self.put_farewell(out, reason)
        {
            self.farewell = None;
            self.over();
        }
        self.verdict()
    }

    fn verdict(&self) -> Transport {
        match self.life.state() {
            State::Closed if self.phase == Phase::Idle || self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            _ => Transport::Open,
        }
    }

    fn put_ping(&mut self, out: &mut impl SendBuf) {
        let due = self.ping_at().is_some_and(|at| self.now >= at);
        if due && wire::put_packet(&Ping(PacketType::PingReq), self.config.version, u32::MAX, out).is_ok() {
            self.last_sent = self.now;
            self.pinged_at = Some(self.now);
        }
    }

    /// When a ping is due ([MQTT-3.1.2-20]): after three quarters of the keep alive in which nothing was sent, so
    /// that it arrives in time, or nothing was received, to see whether the server is there.
    fn ping_at(&self) -> Option<Instant> {
        let due = self.keep_alive > 0 && self.pinged_at.is_none() && self.is_open();
        let silence = Duration::from_millis(u64::from(self.keep_alive) * 750);
        due.then(|| self.last_sent.min(self.last_received) + silence)
    }

    /// When the server has been silent for too long with a ping to answer.
    fn dead_at(&self) -> Option<Instant> {
        let pinged_at = self.pinged_at.filter(|_| self.is_open())?;
        Some(pinged_at.max(self.last_received) + self.config.ping_timeout)
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    ///
    /// A server that takes nothing for the configured time is given up.
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// The caller reads nothing at present, by its own choice: the server's silence means nothing.
    pub fn heard(&mut self, now: Instant) {
        self.tick(now);
        self.last_received = self.now;
    }

    /// Whether octets wait that the transport did not take.
    #[must_use]
    pub const fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Client::poll_transmit) (once the buffer has
    /// room again) and [`recv`](Client::recv); all else: call [`handle_timeout`](Client::handle_timeout)
    /// and both.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.untold().is_some() || (self.owes() && self.stalled_since.is_none()) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let write = match self.life.state() {
            State::Closed => None,
            _ => self.stalled_since.map(|t| Deadline::new(t + self.config.write_timeout, Why::Write)),
        };
        let ping = self.ping_at().map(|at| Deadline::new(at, Why::Keepalive));
        let ping = Deadline::earliest(ping, self.dead_at().map(|at| Deadline::new(at, Why::PeerSilent)));
        Deadline::earliest(Deadline::earliest(self.life.poll_timeout(), ping), write)
    }

    /// Whether something can be done now.
    fn owes(&self) -> bool {
        if self.farewell.is_some() || self.rejected.is_some() {
            return true;
        }
        if !self.is_open() {
            return false;
        }
        let waiting = self.sent < self.store.len();
        self.owed.first().is_some() || self.losing != Losing::Nothing || (waiting && self.may_go())
    }

    /// Whether what waits in the store can be sent before the server acknowledges something.
    fn may_go(&self) -> bool {
        let message =
            self.store.at(self.sent).is_some_and(|e| matches!(e.kept, Kept::AtLeastOnce | Kept::ExactlyOnce));
        !message || self.tx_in_flight < self.tx_maximum
    }

    /// Acts on deadlines that have passed. The end may follow: take it here, or with
    /// [`recv`](Client::recv) or [`poll_closed`](Client::poll_closed).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event<'static>> {
        self.tick(now);
        let now = self.now;
        if self.stalled_since.is_some_and(|t| now >= t + self.config.write_timeout) {
            let event = if self.is_ended() { None } else { Some(self.fail(Fault::WriteTimeout)) };
            self.abort();
            return event.or_else(|| self.poll_closed());
        }
        let fault = Fault::ConnectTimeout;
        let ending = Ending { by: By::Local, reason: Some(fault.reason_code()), text: fault.reason() };
        match self.life.handle_timeout(now, |_| ending) {
            Some(Why::Handshake) => {
                self.over();
                return Some(self.fail(fault));
            }
            Some(_) => self.abort(),
            None => {}
        }
        if self.dead_at().is_some_and(|at| now >= at) {
            return Some(self.fail(Fault::PingTimeout));
        }
        self.poll_closed()
    }

    fn abort(&mut self) {
        self.over();
        self.farewell = None;
        self.aborted = true;
        self.stalled_since = None;
    }
}
