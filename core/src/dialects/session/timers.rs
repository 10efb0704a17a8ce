//! What the machine owes, and when it wants to be called.

use core::time::Duration;

use super::close::Ending;
use super::fault::Fault;
use super::frame::Kind;
use super::wire::{Body, HeadBytes, Sink, put_frame};
use super::{Code, Role, Session};
use crate::buf::SendBuf;
use crate::lifecycle::{By, State, Transport};
use crate::time::{Deadline, Instant, Why};
use crate::varint::leb128;

impl Session {
    /// Puts what the machine itself owes into `out`: answers to pings, acknowledgements, credit,
    /// pings, CLOSE. What has no room stays owed. At most five small frames a call.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.pong_owed && self.put_small(out, Kind::Pong, &self.pong.to_be_bytes()) {
            self.pong_owed = false;
        }
        self.transmit_ack(out);
        if self.is_open() {
            self.transmit_open(out);
        }
        if self.close_owed && !self.ack_owed && !self.pong_owed {
            let (code, reason) = self.farewell();
            let reason = self.cut_reason(reason, out.room());
            let body = |to: &mut dyn Sink| {
                to.varint(u64::from(code.number()));
                to.bytes(reason.as_bytes());
            };
            if put_frame(out, Kind::Close, 0, body.size(), &body).is_ok() {
                self.close_owed = false;
                self.close_sent = true;
            }
        }
        self.verdict()
    }

    fn transmit_ack(&mut self, out: &mut impl SendBuf) {
        if self.ack_owed {
            let mut memory = [0; leb128::MAX_LEN];
            let count = self.received - u64::from(self.unaccepted);
            if self.put_small(out, Kind::Ack, leb128::encode(count, &mut memory)) {
                self.ack_owed = false;
                self.unacknowledged = self.unaccepted;
            }
        }
    }

    fn transmit_open(&mut self, out: &mut impl SendBuf) {
        let mut memory = [0; leb128::MAX_LEN];
        if let Some(limit) = self.rx_credit.poll_grant() {
            let mut body = [0; 1 + leb128::MAX_LEN];
            let number = leb128::encode(limit, &mut memory);
            body[1..=number.len()].copy_from_slice(number);
            if self.put_small(out, Kind::Credit, &body[..=number.len()]) {
                self.rx_credit.granted(limit);
            }
        }
        if self.keepalive.poll_ping(self.now) {
            let token = u64::from(self.pings) + 1;
            if self.put_small(out, Kind::Ping, &token.to_be_bytes()) {
                self.pings += 1;
                self.keepalive.ping_sent(self.now, token);
            }
        }
    }

    fn put_small(&mut self, out: &mut impl SendBuf, kind: Kind, body: &[u8]) -> bool {
        let head = HeadBytes::new(kind, 0, body.len());
        if out.room() < head.as_slice().len() + body.len() {
            return false;
        }
        out.begin(head.as_slice().len() + body.len());
        out.put(head.as_slice());
        out.put(body);
        self.keepalive.on_sent(self.now);
        true
    }

    fn verdict(&self) -> Transport {
        match self.life.state() {
            State::Closed if self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            State::Closing if self.close_owed => Transport::Open,
            State::Closing if self.eof => Transport::Drop,
            // A server waits for the client to end the stream: a reset would eat its last words.
            State::Closing if self.close_received && self.role == Role::Client => Transport::Drop,
            State::Closing => Transport::Shut,
            _ => Transport::Open,
        }
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    ///
    /// A peer that takes nothing for the configured time is given up (`WRITE_TIMEOUT`).
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// Whether octets wait for a transport that takes none.
    #[cfg(feature = "alloc")]
    pub(crate) const fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Session::poll_transmit) (once the buffer has
    /// room again) and [`recv`](Session::recv); all else: call [`handle_timeout`](Session::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        // What is owed behind octets that wait for the transport goes out with them: to say "now"
        // would hide the deadline by which the transport must have taken some.
        if self.untold().is_some() || (self.owes() && self.stalled_since.is_none()) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let keepalive = if self.is_open() { self.keepalive.poll_timeout() } else { None };
        let write = match self.life.state() {
            // Also of one that is over: its last words are not waited for without end.
            State::Closed if self.aborted => None,
            _ => self.stalled_since.map(|t| Deadline::new(t + self.write_timeout(), Why::Write)),
        };
        Deadline::earliest(Deadline::earliest(self.life.poll_timeout(), keepalive), write)
    }

    fn owes(&self) -> bool {
        let open = self.is_open();
        self.close_owed
            || self.pong_owed
            || self.ack_owed
            || (open && self.rx_credit.poll_grant().is_some())
            || (open && self.keepalive.poll_ping(self.now))
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.write_timeout_ms))
    }

    /// Time has passed: takes what is due. The end, where that is what was due, is told by
    /// [`recv`](Session::recv) or [`poll_closed`](Session::poll_closed).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<super::Event<'static>> {
        self.tick(now);
        let now = self.now;
        if self.stalled_since.is_some_and(|t| now >= t + self.write_timeout()) {
            let event = if self.is_ended() { None } else { Some(self.fail(Fault::WriteTimeout)) };
            self.abort();
            return event.or_else(|| self.poll_closed());
        }
        let drained = || Ending::new(By::Local, Code::GoingAway, "the drain deadline has passed");
        let due = self.life.handle_timeout(now, |why| match why {
            Why::Handshake => {
                let fault = Fault::HandshakeTimeout;
                Ending::new(By::Local, fault.code(), fault.reason())
            }
            _ => drained(),
        });
        match due {
            Some(Why::Handshake) => {
                self.ended();
                return Some(self.fail(Fault::HandshakeTimeout));
            }
            Some(Why::Close) => self.abort(),
            Some(_) => self.ended(),
            None => {}
        }
        if self.is_open() && self.keepalive.is_dead(now) {
            return Some(self.fail(Fault::KeepaliveTimeout));
        }
        self.poll_closed()
    }

    fn abort(&mut self) {
        self.life.ended(Ending::new(By::Local, Code::WriteTimeout, ""));
        self.close_owed = false;
        self.ack_owed = false;
        self.pong_owed = false;
        self.aborted = true;
        self.stalled_since = None;
    }
}
