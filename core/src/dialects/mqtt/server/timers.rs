//! What the machine owes, and when it wants to be called.

use core::time::Duration;

use super::super::{Fault, PacketType};
use super::close::{Ending, Farewell};
use super::{Event, Server};
use crate::buf::SendBuf;
use crate::lifecycle::{By, State, Transport};
use crate::time::{Deadline, Instant, Why};

/// The octets of a PINGRESP ([MQTT-3.12.4-1]).
const PINGRESP: [u8; 2] = [PacketType::PingResp.number() << 4, 0];

/// The most PINGRESPs of one call.
const PINGS_AT_ONCE: u32 = 32;

impl Server {
    /// Puts what the machine itself owes into `out`: answers to pings, the last packet. What has no
    /// room stays owed. At most 32 answers a call.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.pings > 0 {
            self.transmit_pings(out);
        }
        if self.farewell != Farewell::None && self.put_farewell(out) {
            self.farewell = Farewell::None;
        }
        self.verdict()
    }

    fn transmit_pings(&mut self, out: &mut impl SendBuf) {
        let room = u32::try_from(out.room() / PINGRESP.len()).unwrap_or(u32::MAX);
        let n = self.pings.min(PINGS_AT_ONCE).min(room);
        let mut octets = [0; PINGRESP.len() * PINGS_AT_ONCE as usize];
        for pair in octets.as_chunks_mut().0 {
            *pair = PINGRESP;
        }
        if n > 0 {
            out.put(&octets[..PINGRESP.len() * n as usize]);
            self.pings -= n;
        }
    }

    fn verdict(&self) -> Transport {
        match self.life.state() {
            State::Closed if self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            State::Closing if self.farewell != Farewell::None => Transport::Open,
            State::Closing if self.eof => Transport::Drop,
            // The client ends the stream: a reset would eat our last words.
            State::Closing => Transport::Shut,
            _ => Transport::Open,
        }
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    ///
    /// A client that takes nothing for the configured time is given up.
    #[inline]
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// Whether octets wait for a transport that takes none.
    #[must_use]
    pub const fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Server::poll_transmit) (once the buffer has
    /// room again) and [`recv`](Server::recv); all else: call [`handle_timeout`](Server::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        // What is owed behind octets that wait for the transport goes out with them: to say "now"
        // would hide the deadline by which the transport must have taken some.
        if self.untold().is_some() || (self.owes() && self.stalled_since.is_none()) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let keepalive = if self.is_open() { self.watch.poll_timeout() } else { None };
        let write = match self.life.state() {
            State::Closed if self.aborted => None,
            _ => self.stalled_since.map(|t| Deadline::new(t + self.write_timeout(), Why::Write)),
        };
        Deadline::earliest(Deadline::earliest(self.life.poll_timeout(), keepalive), write)
    }

    const fn owes(&self) -> bool {
        self.pings > 0 || !matches!(self.farewell, Farewell::None)
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.write_timeout_ms))
    }

    /// Acts on deadlines that have passed. The end may follow: take it here, or with
    /// [`recv`](Server::recv) or [`poll_closed`](Server::poll_closed).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event<'static>> {
        self.tick(now);
        let now = self.now;
        if self.stalled_since.is_some_and(|t| now >= t + self.write_timeout()) {
            let event = if self.is_ended() { None } else { Some(self.fail(Fault::WriteTimeout)) };
            self.abort();
            return event.or_else(|| self.poll_closed());
        }
        let fault = Fault::ConnectTimeout;
        let ending = Ending { by: By::Local, reason: Some(fault.reason_code()), text: fault.reason() };
        match self.life.handle_timeout(now, |_| ending) {
            Some(Why::Handshake) => {
                self.farewell = self.last_words(By::Local, ending.reason);
                return Some(self.fail(fault));
            }
            Some(_) => self.abort(),
            None => {}
        }
        if self.is_open() && self.watch.is_dead(now) {
            return Some(self.fail(Fault::KeepAliveTimeout)); // [MQTT-3.1.2-22]; 3.1.1 [MQTT-3.1.2-24]
        }
        self.poll_closed()
    }

    fn abort(&mut self) {
        let reason = Some(Fault::WriteTimeout.reason_code());
        self.life.ended(Ending { by: By::Local, reason, text: "" });
        self.farewell = Farewell::None;
        self.pings = 0;
        self.aborted = true;
        self.stalled_since = None;
    }
}
