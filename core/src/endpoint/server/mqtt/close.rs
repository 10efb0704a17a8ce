//! Ending: by the client, by this side, by the transport; and what becomes of the session (§3.14,
//! §4.13).

use alloc::string::{String, ToString};

use super::super::connection::Turn;
use super::super::event::ServerEvent;
use super::connect::Refused;
use super::{Connection, expiry_of};
use crate::buf::SendBuf;
use crate::hub::SessionKey;
use crate::lifecycle::By;
use crate::mqtt::{Closed, Disconnect, Properties, Property, PropertyId, ReasonCode, SendError, Version};
use crate::session::Code;

impl Connection {
    /// CONNACK with a reason, instead of a session.
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, (reason, why): Refused) {
        self.proving = None;
        self.line.refuse(turn.now, reason, why);
        self.tell(turn, By::Local, Some(reason), why);
        self.release(turn);
    }

    /// A client that comes while the server goes.
    pub(super) fn redirect(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        let why = "the server is going away";
        let elsewhere = turn.server.draining.as_ref().map_or("", |draining| &draining.endpoint);
        if !elsewhere.is_empty() && self.line.version() == Version::V5 {
            // [MQTT-4.11.0-1]
            let list = [Property::ServerReference(elsewhere)];
            let (now, reason) = (turn.now, ReasonCode::UseAnotherServer);
            if self.line.refuse_with(now, out, reason, Properties::list(&list)).is_ok() {
                return self.tell(turn, By::Local, Some(reason), why);
            }
        }
        self.refuse(turn, (ReasonCode::ServerUnavailable, why));
    }

    /// DISCONNECT with a reason; of 3.1.1 the stream just ends.
    pub(super) fn end_with(&mut self, turn: &mut Turn<'_>, reason: ReasonCode, why: &'static str) {
        self.line.disconnect(turn.now, reason, why);
        self.tell(turn, By::Local, Some(reason), why);
        self.release(turn);
    }

    /// Ends the connection by this side's decision.
    pub(in super::super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, why: &'static str) {
        self.end_with(turn, reason_of(code), why);
    }

    /// [MQTT-3.1.4-3]: the session goes on over another connection.
    pub(in super::super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        let why = "the client identifier has connected again";
        self.line.disconnect(turn.now, ReasonCode::SessionTakenOver, why);
        self.tell(turn, By::Local, Some(ReasonCode::SessionTakenOver), why);
        self.hub = None;
    }

    /// A server that drains lets a client go that has acknowledged all, or has had its time. Says
    /// whether it goes.
    pub(super) fn finish_drained(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        out: &mut impl SendBuf,
    ) -> bool {
        let Some(draining) = &turn.server.draining else { return false };
        self.leaves = Some(draining.until);
        let (acked, sent) = turn.server.hub.reliable(hub).unwrap_or_default();
        let done = acked == sent && self.owed.is_empty() && self.line.receive_in_flight() == 0;
        if !done && turn.now < draining.until {
            return false;
        }
        let list = [Property::ServerReference(&draining.endpoint)];
        let (reason, properties) = if draining.endpoint.is_empty() {
            (ReasonCode::ServerShuttingDown, Properties::NONE)
        } else {
            (ReasonCode::UseAnotherServer, Properties::list(&list))
        };
        match self.line.disconnect_with(turn.now, out, &Disconnect { reason, properties }) {
            // Said the next time.
            Err(SendError::Blocked(_)) => return false,
            Err(_) => self.line.disconnect(turn.now, reason, ""),
            Ok(()) => {}
        }
        self.tell(turn, By::Local, Some(reason), "the server is going away");
        self.release(turn);
        true
    }

    /// The client leaves by intent.
    pub(super) fn disconnected_by_client(&mut self, turn: &mut Turn<'_>, disconnect: &Disconnect<'_>) {
        let Some(hub) = self.hub else { return };
        if disconnect.reason == ReasonCode::Success {
            let _ = turn.server.hub.set_will(turn.now, hub, None); // [MQTT-3.14.4-3]
        }
        if let Some(Property::SessionExpiry(seconds)) = disconnect.properties.get(PropertyId::SessionExpiry) {
            let _ = turn.server.hub.set_expiry(hub, expiry_of(seconds));
        }
    }

    /// The transport is gone.
    pub(in super::super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.handle_eof(turn);
        self.release(turn);
    }

    /// The connection has ended.
    pub(super) fn closed(&mut self, turn: &mut Turn<'_>, closed: &Closed) {
        let text = closed.fault.map_or_else(|| String::from(closed.text), |fault| fault.to_string());
        self.tell(turn, closed.by, closed.reason, &text);
        self.release(turn);
    }

    /// The connection serves its session no longer: that waits for the next one, or ends.
    fn release(&mut self, turn: &mut Turn<'_>) {
        if let Some(hub) = self.hub.take() {
            turn.server.release(turn.now, hub);
        }
    }

    /// Tells the end, once.
    fn tell(&mut self, turn: &mut Turn<'_>, by: By, reason: Option<ReasonCode>, text: &str) {
        if core::mem::replace(&mut self.told, true) {
            return;
        }
        let session = self.hub.and_then(|hub| turn.server.registry.told(hub));
        let code = reason.map(code_of);
        let event = ServerEvent::Closed {
            connection: turn.key,
            peer: self.peer,
            dialect: Some(self.dialect()),
            session,
            by,
            code,
            reason: text.into(),
        };
        turn.tell_closed(code, event);
    }
}

/// What comes closest in our own words.
fn code_of(reason: ReasonCode) -> Code {
    use ReasonCode as R;
    match reason {
        R::Success | R::DisconnectWithWill | R::AdministrativeAction => Code::Normal,
        R::MalformedPacket | R::ProtocolError | R::TopicAliasInvalid | R::PayloadFormatInvalid => {
            Code::Malformed
        }
        R::UnsupportedProtocolVersion => Code::Version,
        R::ClientIdentifierNotValid => Code::SessionRefused,
        R::BadUserNameOrPassword => Code::AuthFailed,
        R::BadAuthenticationMethod => Code::AuthMethod,
        R::NotAuthorized | R::Banned => Code::NotAuthorized,
        R::ServerUnavailable
        | R::ServerBusy
        | R::ServerShuttingDown
        | R::UseAnotherServer
        | R::ServerMoved => Code::GoingAway,
        R::KeepAliveTimeout => Code::KeepaliveTimeout,
        R::SessionTakenOver => Code::TakenOver,
        R::ReceiveMaximumExceeded => Code::InFlightExceeded,
        R::PacketTooLarge => Code::FrameTooLarge,
        R::QuotaExceeded | R::MessageRateTooHigh | R::ConnectionRateExceeded => Code::Quota,
        R::TopicNameInvalid | R::TopicFilterInvalid => Code::InvalidTopic,
        R::RetainNotSupported | R::QosNotSupported => Code::Unsupported,
        reason => Code::Other(u32::from(reason.number())),
    }
}

/// What MQTT says for one of our own codes.
const fn reason_of(code: Code) -> ReasonCode {
    match code {
        Code::Normal => ReasonCode::AdministrativeAction,
        Code::GoingAway => ReasonCode::ServerShuttingDown,
        Code::TakenOver => ReasonCode::SessionTakenOver,
        Code::NotAuthorized | Code::AuthFailed => ReasonCode::NotAuthorized,
        Code::KeepaliveTimeout => ReasonCode::KeepAliveTimeout,
        Code::FrameTooLarge => ReasonCode::PacketTooLarge,
        Code::Quota | Code::SlowConsumer => ReasonCode::QuotaExceeded,
        Code::Malformed => ReasonCode::MalformedPacket,
        Code::Internal => ReasonCode::UnspecifiedError,
        _ => ReasonCode::ImplementationSpecificError,
    }
}
