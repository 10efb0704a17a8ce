//! What the machine owes, and when it wants to be called.

use core::time::Duration;

use super::event::By;
use super::fault::Fault;
use super::frame::Kind;
use super::wire::{Body, HeadBytes, Sink, put_frame};
use super::{Code, Phase, Role, Session};
use crate::buf::SendBuf;
use crate::time::{Deadline, Instant, Why};
use crate::varint::leb128;

/// What the transport owes once the output that waits has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the transport has to be shut or dropped when the session says so"]
pub enum Transport {
    /// Stay as it is.
    Open,
    /// End this side's direction of the stream, and go on reading.
    Shut,
    /// Drop the connection, after what waits was written.
    Drop,
    /// Drop the connection now; what waits will not be read.
    Abort,
}

impl Session {
    /// Puts what the machine itself owes into `out`: answers to pings, acknowledgements, credit,
    /// pings, CLOSE. What has no room stays owed. At most five small frames a call.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.pong_owed && self.put_small(out, Kind::Pong, &self.pong.to_be_bytes()) {
            self.pong_owed = false;
        }
        if self.phase == Phase::Open {
            self.transmit_open(out);
        }
        if self.close_owed {
            let (code, reason) = self.farewell();
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

    fn transmit_open(&mut self, out: &mut impl SendBuf) {
        let mut memory = [0; leb128::MAX_LEN];
        if self.ack_owed {
            let count = self.received - u64::from(self.unaccepted);
            if self.put_small(out, Kind::Ack, leb128::encode(count, &mut memory)) {
                self.ack_owed = false;
                self.unacknowledged = self.unaccepted;
            }
        }
        if let Some(limit) = self.rx_credit.poll_grant() {
            let mut body = [0; 1 + leb128::MAX_LEN];
            let number = leb128::encode(limit, &mut memory);
            body[1..=number.len()].copy_from_slice(number);
            if self.put_small(out, Kind::Credit, &body[..=number.len()]) {
                self.rx_credit.granted(limit);
            }
        }
        if self.keepalive.ping_owed(self.now) {
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
        out.put(head.as_slice());
        out.put(body);
        self.keepalive.on_sent(self.now);
        true
    }

    fn verdict(&self) -> Transport {
        match self.phase {
            Phase::Closed if self.aborted => Transport::Abort,
            Phase::Closed => Transport::Drop,
            Phase::Closing if self.close_owed => Transport::Open,
            Phase::Closing if self.eof => Transport::Drop,
            // A server waits for the client to end the stream: a reset would eat its last words.
            Phase::Closing if self.close_received && self.role == Role::Client => Transport::Drop,
            Phase::Closing => Transport::Shut,
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

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Session::poll_transmit) (once the buffer has
    /// room again) and [`recv`](Session::recv); all else: call [`handle_timeout`](Session::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.owes() {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let own = self.deadline.map(|at| Deadline::new(at, self.deadline_reason()));
        let keepalive = match self.phase {
            Phase::Open => self.keepalive.poll_timeout(),
            _ => None,
        };
        let write = match self.phase {
            Phase::Closed => None,
            _ => self.stalled_since.map(|t| Deadline::new(t + self.write_timeout(), Why::Write)),
        };
        Deadline::earliest(Deadline::earliest(own, keepalive), write)
    }

    fn owes(&self) -> bool {
        let told_of_end = self.closed_told || self.ending.is_none();
        let open = self.phase == Phase::Open;
        self.close_owed
            || self.pong_owed
            || (open && (self.ack_owed || self.rx_credit.poll_grant().is_some()))
            || (open && self.keepalive.ping_owed(self.now))
            || ((self.phase == Phase::Closed || self.eof) && !told_of_end)
    }

    const fn deadline_reason(&self) -> Why {
        match self.phase {
            Phase::Open => Why::Drain,
            Phase::Closing | Phase::Closed => Why::Close,
            _ => Why::Handshake,
        }
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.write_timeout_ms))
    }

    /// Time has passed: takes what is due. The end, where that is what was due, is told by
    /// [`recv`](Session::recv) or [`poll_closed`](Session::poll_closed).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<super::Event<'static>> {
        self.tick(now);
        let now = self.now;
        if self.phase != Phase::Closed && self.stalled_since.is_some_and(|t| now >= t + self.write_timeout())
        {
            let told = self.closed_told || self.ending.is_some();
            let event = (!told).then(|| self.fail(Fault::WriteTimeout));
            self.abort();
            return event.or_else(|| self.poll_closed());
        }
        if self.deadline.is_some_and(|at| now >= at) {
            self.deadline = None;
            match self.phase {
                Phase::Open => {
                    self.end(By::Local, Some(Code::GoingAway), "the drain deadline has passed", false)
                }
                Phase::Closing | Phase::Closed => self.abort(),
                _ => return Some(self.fail(Fault::HandshakeTimeout)),
            }
        }
        if self.phase == Phase::Open && self.keepalive.is_dead(now) {
            return Some(self.fail(Fault::KeepaliveTimeout));
        }
        self.poll_closed()
    }

    fn abort(&mut self) {
        self.phase = Phase::Closed;
        self.close_owed = false;
        self.aborted = true;
        self.deadline = None;
        self.stalled_since = None;
    }
}
