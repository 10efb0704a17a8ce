//! Ending: by intent, by fault, by the peer, by the transport (RFC 6455, section 7).

use super::{CONTROL_MAX, CloseCode, Closed, Event, Fault, Role, WebSocket};
use crate::lifecycle::{By, State};
use crate::time::Instant;

/// How a connection ended, kept until it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) by: By,
    pub(super) code: CloseCode,
}

/// A control frame that waits for room: one, for a newer pong takes an older one's place (section 5.5.3),
/// and Close takes any pong's.
#[derive(Debug)]
pub(super) enum Owed {
    Nothing,
    Pong(Kept),
    Close(Kept),
}

/// A payload that is kept: elsewhere where that can be, since hardly any connection ever has one.
#[cfg(feature = "alloc")]
type Kept = alloc::boxed::Box<Payload>;
#[cfg(not(feature = "alloc"))]
type Kept = Payload;

/// The payload of a control frame.
#[derive(Clone, Copy)]
pub(super) struct Payload {
    len: u8,
    octets: [u8; CONTROL_MAX],
}

impl Payload {
    /// As much of `octets` as a control frame takes.
    pub(super) fn new(octets: &[u8]) -> Self {
        let mut payload = Self { len: 0, octets: [0; CONTROL_MAX] };
        payload.extend(octets);
        payload
    }

    #[cfg_attr(not(feature = "alloc"), expect(clippy::useless_conversion, reason = "it is kept as it is"))]
    pub(super) fn keep(self) -> Kept {
        self.into()
    }

    fn extend(&mut self, octets: &[u8]) {
        let at = usize::from(self.len);
        let n = octets.len().min(CONTROL_MAX - at);
        self.octets[at..at + n].copy_from_slice(&octets[..n]);
        self.len = (at + n) as u8;
    }

    /// What a Close frame says: as much of the reason as it takes, no character cut.
    fn close(code: CloseCode, reason: &str) -> Self {
        if !code.is_sendable() {
            return Self::new(&[]);
        }
        let mut payload = Self::new(&code.0.to_be_bytes());
        let fits = (0..=reason.len().min(CONTROL_MAX - 2)).rev().find(|n| reason.is_char_boundary(*n));
        payload.extend(&reason.as_bytes()[..fits.unwrap_or(0)]);
        payload
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} octets", self.len)
    }
}

impl<R: Role> WebSocket<R> {
    /// Closes the connection: a Close frame with `code` and `reason` goes out, behind what was put before,
    /// and what still comes from the peer is dropped until its own (section 7.1.2).
    ///
    /// The reason is cut at 123 octets. A code that no frame may carry (see
    /// [`CloseCode::is_sendable`]) makes an empty Close frame. [`Event::Closed`] comes when the peer has
    /// answered, or has had its time. A connection that has ended already stays as it is.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str) {
        self.tick(now);
        let told = if code.is_sendable() { code } else { CloseCode::NO_STATUS };
        self.end(By::Local, told, code, reason);
    }

    /// Ends a [stream](super::Carries::Stream)'s own direction: as [`close`](Self::close) with 1000, but what the
    /// peer sends before its own Close frame is still handed out (section 1.4: it may finish what it sends).
    pub fn finish(&mut self, now: Instant) {
        self.hears |= self.is_open();
        self.close(now, CloseCode::NORMAL, "");
    }

    /// The peer ended its direction of the stream, or the connection broke. Call it once
    /// [`recv`](WebSocket::recv) has returned nothing: what was received before the end counts.
    ///
    /// Take the event that may follow with [`recv`](WebSocket::recv) or
    /// [`poll_closed`](WebSocket::poll_closed).
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        if !matches!(self.owed, Owed::Close(_)) {
            self.owed = Owed::Nothing; // nobody is left to be answered
            self.life.ended(Ending { by: By::Transport, code: CloseCode::ABNORMAL });
        }
    }

    /// Breaks the connection off because of something that only a layer above can see. The end follows,
    /// unless it was told before.
    pub fn close_with_fault(&mut self, now: Instant, fault: Fault) -> Option<Event<'static>> {
        self.tick(now);
        if self.is_ended() { None } else { self.fail(fault) }
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<Event<'static>> {
        let Ending { by, code } = self.untold()?;
        self.closed_told = true;
        let clean = self.close_received && self.is_close_sent();
        Some(Event::Closed(Closed { by, code, reason: "", clean, fault: None }))
    }

    /// Whether the connection has ended, or ends: nothing but its Close frame leaves it any more.
    #[inline]
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.life.reason().is_some()
    }

    /// The end, where there is nothing more to come and nobody was told.
    pub(super) fn untold(&self) -> Option<Ending> {
        let over = self.life.state() == State::Closed || self.eof || self.close_received || self.failed;
        self.life.reason().filter(|_| over && !self.closed_told)
    }

    const fn is_close_sent(&self) -> bool {
        self.is_ended() && !matches!(self.owed, Owed::Close(_))
    }

    /// Breaks off: the peer, or time, broke a rule (section 7.1.7).
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Option<Event<'static>> {
        self.failed = true;
        let (code, reason) = (fault.close_code(), fault.reason());
        if !self.end(By::Local, code, code, reason) {
            return self.poll_closed(); // it was ending already, for another reason
        }
        self.closed_told = true;
        Some(Event::Closed(Closed { by: By::Local, code, reason, clean: false, fault: Some(fault) }))
    }

    /// The peer's Close frame came: true if that ended the connection, which owes an answer then
    /// (section 5.5.1).
    pub(super) fn peer_closes(&mut self, code: CloseCode) -> bool {
        self.close_received = true;
        self.end(By::Remote, code, code, "")
    }

    /// Begins to close, unless something has before; `sent` goes to the peer.
    fn end(&mut self, by: By, code: CloseCode, sent: CloseCode, reason: &str) -> bool {
        let first = self.life.close(self.now, Ending { by, code });
        if first {
            self.owed = Owed::Close(Payload::close(sent, reason).keep());
            self.tx.open = false;
        }
        first
    }
}
