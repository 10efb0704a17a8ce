//! What the machine owes, and when it wants to be called.

use core::time::Duration;

use super::super::Fault;
use super::{End, Event, Phase, Server};
use crate::buf::SendBuf;
use crate::lifecycle::{State, Transport};
use crate::time::{Deadline, Instant, Why};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Server {
    /// Puts what the machine itself owes into `out`: 100 to a client that waits for it, and what
    /// answers a fault. What has no room stays owed.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.expects && matches!(self.phase, Phase::Body(_)) && out.room() >= CONTINUE.len() {
            out.put(CONTINUE);
            self.expects = false;
        }
        let all = self.put_fault(out);
        match self.life.state() {
            State::Closed if self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            State::Closing if !all => Transport::Open,
            State::Closing if self.eof => Transport::Drop,
            // The client ends the stream: a reset would eat our last words.
            State::Closing => Transport::Shut,
            _ => Transport::Open,
        }
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.life.state() == State::Closed {
            let output = Deadline::new(self.now, Why::Output);
            return (!self.closed_told).then_some(output);
        }
        if self.fault.is_some() || (self.expects && matches!(self.phase, Phase::Body(_))) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        Deadline::earliest(self.life.poll_timeout(), Deadline::earliest(self.own(), self.write()))
    }

    /// The deadline of what is to come.
    fn own(&self) -> Option<Deadline> {
        let within = |within: Duration, why| Some(Deadline::new(self.since + within, why));
        match self.phase {
            _ if self.is_ended() => None,
            Phase::Head if self.partial => within(self.config.head_timeout, Why::Handshake),
            Phase::Head => within(self.config.idle_timeout, Why::PeerSilent),
            Phase::Body(_) => within(self.config.body_timeout, Why::PeerSilent),
            Phase::Answer | Phase::Sending(_) | Phase::Switched => None,
        }
    }

    fn write(&self) -> Option<Deadline> {
        let since = self.stalled_since?;
        Some(Deadline::new(since + self.config.write_timeout, Why::Write))
    }

    /// Acts on what is due. A request that came in part is answered with 408.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event<'static>> {
        self.tick(now);
        let due = |deadline: Option<Deadline>| deadline.is_some_and(|d| d.at <= now);
        if due(self.write()) {
            self.life.ended(End::Stalled);
            self.aborted = true;
        } else if due(self.own()) {
            match self.phase {
                Phase::Head if !self.partial => _ = self.life.close(self.now, End::Idle),
                _ => self.fail(Fault::Stalled),
            }
        }
        self.life.handle_timeout(self.now, |_| End::Closed);
        if self.is_ended() { self.poll_closed() } else { None }
    }
}
