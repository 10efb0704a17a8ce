//! Ending: by intent, by fault, by the client, by the transport (§4.13, §3.14).

use super::super::{Closed, Fault, PacketType, ReasonCode, Side, Version};
use super::event::Event;
use super::{Phase, Server};
use crate::lifecycle::{By, State};
use crate::time::Instant;

/// How a connection ended, kept until it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) by: By,
    pub(super) reason: Option<ReasonCode>,
    pub(super) text: &'static str,
}

/// The last packet, which is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// None, or it was sent.
    None,
    /// CONNACK, in the form of this version.
    ConnAck(Version, ReasonCode),
    /// DISCONNECT (5.0).
    Disconnect(ReasonCode),
}

impl Server {
    /// Ends the connection: a 5.0 client is told why ([MQTT-3.14.0-1]), a 3.1.1 client's stream just ends.
    /// Before the connection is established, this is [`refuse`](Server::refuse).
    ///
    /// [`Event::Closed`] comes when the client has ended its stream, or has had its time. A connection
    /// that has ended already stays as it is.
    pub fn disconnect(&mut self, now: Instant, reason: ReasonCode, text: &'static str) {
        self.tick(now);
        self.end(By::Local, Some(reason), text);
    }

    /// Refuses the client ([MQTT-3.2.2-5], [MQTT-3.2.2-7]; of 3.1.1 [MQTT-3.2.2-5]): a 3.1.1 client is told
    /// [the return code that says it best](ReasonCode::connect_return_code).
    pub fn refuse(&mut self, now: Instant, reason: ReasonCode, text: &'static str) {
        self.disconnect(now, reason, text);
    }

    /// Ends the connection because the client broke a rule that only a layer above can see.
    pub fn close_with_fault(&mut self, now: Instant, fault: Fault) -> Option<Event<'static>> {
        self.tick(now);
        if self.is_ended() { None } else { Some(self.fail(fault)) }
    }

    /// The client ended its direction of the stream, or the connection broke. Call it once
    /// [`recv`](Server::recv) has returned nothing: what was received before the end counts.
    ///
    /// Take the event that may follow with [`recv`](Server::recv) or [`poll_closed`](Server::poll_closed).
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        self.pings = 0; // nobody is left to be answered
        if self.farewell == Farewell::None {
            let text = "the connection ended without DISCONNECT";
            self.life.ended(Ending { by: By::Transport, reason: None, text });
        }
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<Event<'static>> {
        let ending = self.untold()?;
        self.closed_told = true;
        let Ending { by, reason, text } = ending;
        Some(Event::Closed(Closed { by, reason, text, fault: None }))
    }

    /// Whether the connection has ended; nothing but its last packet leaves it any more.
    #[inline]
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.life.reason().is_some()
    }

    /// The end, where there is nothing more to come and nobody was told.
    pub(super) fn untold(&self) -> Option<Ending> {
        let over = self.life.state() == State::Closed || self.eof || self.disconnected;
        self.life.reason().filter(|_| over && !self.closed_told)
    }

    /// Breaks off: the client, or time, broke a rule ([MQTT-4.13.1-1]).
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Event<'static> {
        let (reason, text) = (Some(fault.reason_code()), fault.reason());
        self.end(By::Local, reason, text);
        if self.phase == Phase::Connect {
            self.farewell = match fault {
                // [MQTT-3.1.2-2] of 3.1.1 wants its return code 0x01, whatever the level; 5.0 leaves it open.
                Fault::ProtocolLevel(_) => Farewell::ConnAck(Version::V311, fault.reason_code()),
                // Only who is known to speak 5.0 may be told more; others' streams just end.
                _ => match self.version {
                    Version::V5 => Farewell::ConnAck(Version::V5, fault.reason_code()),
                    Version::V311 => Farewell::None,
                },
            };
        } else if self.phase != Phase::Open && self.version == Version::V311 && fault != Fault::ClientId {
            self.farewell = Farewell::None;
        }
        self.closed_told = true;
        Event::Closed(Closed { by: By::Local, reason, text, fault: Some(fault) })
    }

    pub(super) fn end(&mut self, by: By, reason: Option<ReasonCode>, text: &'static str) {
        if self.life.close(self.now, Ending { by, reason, text }) {
            self.pings = 0;
            self.farewell = self.last_words(by, reason);
        }
    }

    /// What is owed to a client whose connection ends now, for `reason`.
    pub(super) fn last_words(&self, by: By, reason: Option<ReasonCode>) -> Farewell {
        let Some(reason) = reason.filter(|_| by == By::Local) else { return Farewell::None };
        match (self.phase, self.version) {
            (Phase::Connect, _) | (Phase::Open, Version::V311) => Farewell::None,
            (Phase::Open, Version::V5) => Farewell::Disconnect(allowed(reason, PacketType::Disconnect)),
            (Phase::Deciding | Phase::Auth, version) => {
                let reason = allowed(reason, PacketType::ConnAck);
                // [MQTT-3.2.2-7]: what is not a refusal cannot end a connection here.
                let reason = if reason.is_error() { reason } else { ReasonCode::UnspecifiedError };
                Farewell::ConnAck(version, reason)
            }
        }
    }
}

/// The code, or, where the packet does not have it, one that it has.
fn allowed(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    match reason {
        reason if reason.is_allowed(packet, Side::Server) => reason,
        ReasonCode::ServerShuttingDown => ReasonCode::ServerUnavailable,
        ReasonCode::ServerUnavailable => ReasonCode::ServerShuttingDown,
        _ => ReasonCode::UnspecifiedError,
    }
}
