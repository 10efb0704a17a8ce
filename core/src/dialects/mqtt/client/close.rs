//! Ending: by intent, by fault, by the server, by the transport.

use super::super::{Aliases, Closed, Disconnect, Fault, PacketType, ReasonCode, SendError, Side};
use super::event::Event;
use super::{Client, Phase, Store};
use crate::buf::SendBuf;
use crate::lifecycle::{By, State};
use crate::time::Instant;

/// How a connection ended, kept until it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) by: By,
    pub(super) reason: Option<ReasonCode>,
    pub(super) text: &'static str,
}

impl Ending {
    pub(super) const NONE: Ending = Ending { by: By::Local, reason: None, text: "" };
}

impl<S: Store, A: Aliases> Client<S, A> {
    /// Leaves by intent: DISCONNECT is owed, and the will is not published ([MQTT-3.14.4-1] to
    /// [MQTT-3.14.4-3]). [`Event::Closed`] comes when it was written.
    pub fn disconnect(&mut self, now: Instant) {
        self.tick(now);
        self.end(By::Local, Some(ReasonCode::Success), "");
    }

    /// Leaves at once, for a reason and with properties (5.0), for instance another session expiry.
    /// [`ReasonCode::DisconnectWithWill`] has the will published.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing has changed then.
    pub fn disconnect_with(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        disconnect: &Disconnect<'_>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if !self.is_open() {
            return Err(SendError::State);
        }
        if !disconnect.reason.is_allowed(PacketType::Disconnect, Side::Client) {
            return Err(SendError::Invalid("a reason that only servers give"));
        }
        disconnect.encode_within(self.config.version, self.tx_max_packet, out)?;
        self.end(By::Local, Some(disconnect.reason), "");
        self.farewell = None;
        self.over();
        Ok(())
    }

    /// The server ended its direction of the stream, or the connection broke. Call it once
    /// [`recv`](Client::recv) has returned nothing: what was received before the end counts.
    ///
    /// Take the event that may follow with [`recv`](Client::recv) or [`poll_closed`](Client::poll_closed).
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        self.farewell = None; // nobody is left to be told
        let text = "the connection ended without DISCONNECT";
        self.life.ended(Ending { by: By::Transport, reason: None, text });
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<Event<'static>> {
        let Ending { by, reason, text } = self.untold()?;
        self.closed_told = true;
        Some(Event::Closed(Closed { by, reason, text, fault: None }))
    }

    /// Whether there is no connection, or its end has begun.
    #[inline]
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.life.reason().is_some()
    }

    pub(super) fn untold(&self) -> Option<Ending> {
        let over = self.life.state() == State::Closed || self.dismissed;
        self.life.reason().filter(|_| over && !self.closed_told)
    }

    /// Breaks off: the server, or time, broke a rule ([MQTT-4.13.1-1]).
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Event<'static> {
        let (reason, text) = (Some(fault.reason_code()), fault.reason());
        self.end(By::Local, reason, text);
        self.closed_told = true;
        Event::Closed(Closed { by: By::Local, reason, text, fault: Some(fault) })
    }

    pub(super) fn end(&mut self, by: By, reason: Option<ReasonCode>, text: &'static str) {
        if !self.life.close(self.now, Ending { by, reason, text }) {
            return;
        }
        let last_words = by == By::Local && self.phase == Phase::Open;
        self.farewell = reason.filter(|_| last_words).map(|reason| {
            let told = reason.is_allowed(PacketType::Disconnect, Side::Client);
            if told { reason } else { ReasonCode::UnspecifiedError }
        });
        // A 3.1.1 client says DISCONNECT only when it leaves by intent: otherwise its will counts.
        if !self.config.version.is_v5() && reason.is_some_and(ReasonCode::is_error) {
            self.farewell = None;
        }
        if self.farewell.is_none() {
            self.over();
        }
    }

    /// The last word was said: the client closes the connection ([MQTT-3.14.4-1]).
    pub(super) fn over(&mut self) {
        self.life.ended(Ending::NONE);
    }
}
