//! CONNECT: who it is, and which session it goes on with (§3.1).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::super::auth::{Decision, Verification};
use super::super::connection::Turn;
use super::super::event::{Dialect, ServerEvent};
use super::super::plugins::connack_of;
use super::super::registry::Sought;
use super::auth::METHOD;
use super::deliver::Answer;
use super::{Connection, Line, expiry_of};
use crate::access::Action;
use crate::buf::SendBuf;
use crate::endpoint::bridge::{self, Flags};
use crate::hub::{self, Quality};
use crate::mqtt::server::Welcome;
use crate::mqtt::{Connect, Properties, Property, PropertyId, ReasonCode, SendError, Version, Will};
use crate::scram::ScramServer;
use crate::session::Auth;
use crate::time::Instant;

/// Why a client is refused, for it and for people.
pub(super) type Refused = (ReasonCode, &'static str);

/// What a client is welcomed with.
#[derive(Debug)]
pub(super) struct ConnAck {
    session_present: bool,
    /// The client identifier, where the server chose it.
    assigned: Option<String>,
    session_expiry: Option<u32>,
    /// The last word of an authentication.
    auth: Box<[u8]>,
}

impl ConnAck {
    pub(super) fn put(&self, line: &mut Line, now: Instant, out: &mut impl SendBuf) -> Result<(), SendError> {
        let list = [Property::AuthMethod(METHOD), Property::AuthData(&self.auth)];
        let welcome = Welcome {
            session_present: self.session_present,
            assigned_client_id: self.assigned.as_deref(),
            session_expiry: self.session_expiry,
            properties: if self.auth.is_empty() { Properties::NONE } else { Properties::list(&list) },
        };
        line.connack(now, out, &welcome)
    }
}

/// A client that is proving who it is.
#[derive(Debug)]
pub(super) struct Proving {
    /// What CONNECT asked for; nothing where an established connection proves it again (§4.12.1).
    pub(super) wish: Option<Wish>,
    pub(super) verification: Option<Verification>,
    pub(super) scram: Option<Box<ScramServer>>,
}

/// What a client wants beside being let in.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) client_id: String,
    /// The server chose it.
    assigned: bool,
    pub(super) clean_start: bool,
    /// How long the session is to outlive the connection.
    pub(super) expiry: Duration,
    will: Option<hub::Will>,
}

impl Connection {
    pub(super) fn connect(&mut self, turn: &mut Turn<'_>, connect: &Connect<'_>, out: &mut impl SendBuf) {
        if turn.server.draining.is_some() {
            return self.redirect(turn, out);
        }
        let wish = match wish(turn, connect) {
            Ok(wish) => wish,
            Err(why) => return self.refuse(turn, why),
        };
        if let Some(Property::AuthMethod(method)) = connect.properties.get(PropertyId::AuthMethod) {
            if method != METHOD {
                // [MQTT-4.12.0-1]
                let why = "the only authentication method is SCRAM-SHA-256";
                return self.refuse(turn, (ReasonCode::BadAuthenticationMethod, why));
            }
            self.proving = Some(Box::new(Proving { wish: Some(wish), verification: None, scram: None }));
            return self.scram_first(turn, &connect.properties, out);
        }
        let auth = match (connect.user_name, connect.password) {
            (Some(user), password) => Auth::Password { user, password: password.unwrap_or_default() },
            (None, Some(token)) => Auth::Token(token),
            (None, None) => Auth::None,
        };
        match turn.decide(&self.peer, &auth) {
            Decision::Accept(identity) => self.establish(turn, &identity, wish, &[], out),
            Decision::Verify(work) => {
                let proving = Proving { wish: Some(wish), verification: Some(work), scram: None };
                self.proving = Some(Box::new(proving));
            }
            Decision::Scram | Decision::Method | Decision::Reject if auth == Auth::None => {
                self.refuse(turn, (ReasonCode::NotAuthorized, "anonymous clients are not welcome"));
            }
            Decision::Scram | Decision::Method | Decision::Reject => self.refuse(turn, WRONG),
        }
    }

    /// The client has proved who it is: begins its session, or goes on with the one it has.
    pub(super) fn establish(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &str,
        wish: Wish,
        auth: &[u8],
        out: &mut impl SendBuf,
    ) {
        // It may have run out of time while its password was checked.
        if self.line.is_ended() {
            return;
        }
        let listener = turn.server.listeners.shared_name(&self.peer);
        let who = self.peer.who(identity, &wish.client_id, &listener);
        let back = turn.server.registry.find(Sought::Mqtt(&wish.client_id)).filter(|_| !wish.clean_start);
        if let Err(why) = turn.admit(&who, self.dialect(), back) {
            return self.refuse(turn, (connack_of(why.status), why.reason));
        }
        let permitted =
            |will: &hub::Will| turn.server.hub.decide(&who, Action::Publish, will.message.topic()).allowed;
        if !wish.will.as_ref().is_none_or(permitted) {
            return self.refuse(turn, UNWILLING);
        }
        let (hub, resumed, commit) = match self.attach(turn, &who, &wish) {
            Ok(attached) => attached,
            Err(why) => return self.refuse(turn, why),
        };
        // The will of an earlier connection was dropped when the session went on.
        if wish.will.is_some() && turn.server.hub.set_will(turn.now, hub, wish.will).is_err() {
            if !resumed {
                turn.server.remove(turn.now, hub);
                self.hub = None;
            }
            return self.refuse(turn, UNWILLING);
        }
        let granted = turn.server.hub.expiry(hub).unwrap_or_default();
        let session_expiry =
            (granted < wish.expiry).then(|| u32::try_from(granted.as_secs()).unwrap_or(u32::MAX));
        let welcome = ConnAck {
            session_present: resumed,
            assigned: wish.assigned.then(|| wish.client_id.clone()),
            session_expiry,
            auth: auth.into(),
        };
        if commit.is_some() {
            self.answer(turn, commit, Answer::ConnAck(Box::new(welcome)), out);
        } else {
            if welcome.put(&mut self.line, turn.now, out).is_err() {
                return self.refuse(turn, (ReasonCode::PacketTooLarge, "no room for CONNACK"));
            }
            turn.server.traffic.packets_sent += 1;
        }
        turn.server.traffic.opened(&turn.server.hub, turn.server.locals.len());
        let event = ServerEvent::Opened {
            connection: turn.key,
            peer: self.peer,
            dialect: self.dialect(),
            session: turn.server.registry.told(hub),
            resumed,
            identity: identity.into(),
            name: wish.client_id,
        };
        turn.tell_opened(hub, event);
    }

    pub(in super::super) fn dialect(&self) -> Dialect {
        match self.line.version() {
            Version::V311 => Dialect::Mqtt311,
            Version::V5 => Dialect::Mqtt5,
        }
    }
}

/// Whoever it is, and whatever is wrong.
pub(super) const WRONG: Refused = (ReasonCode::BadUserNameOrPassword, "wrong user name or password");

const UNWILLING: Refused = (ReasonCode::NotAuthorized, "you may not publish your will");

/// What CONNECT asks for, checked.
fn wish(turn: &mut Turn<'_>, connect: &Connect<'_>) -> Result<Wish, Refused> {
    let server = &mut *turn.server;
    if connect.client_id.len() > server.config.mqtt.max_client_id.max(23) {
        return Err((ReasonCode::ClientIdentifierNotValid, "the client identifier is too long"));
    }
    let expiry = match (connect.version, connect.properties.get(PropertyId::SessionExpiry)) {
        (Version::V5, Some(Property::SessionExpiry(seconds))) => expiry_of(seconds),
        // [MQTT-3.1.2-6] of 3.1.1: the session lasts as long as the connection, or for ever.
        (Version::V311, _) if !connect.clean_start => Duration::MAX,
        _ => Duration::ZERO,
    };
    let assigned = connect.client_id.is_empty();
    let client_id = if assigned {
        // [MQTT-3.1.3-6], [MQTT-3.1.3-7]; nobody is to guess another's.
        let mut octets = [0; 8];
        server.entropy.secret(&mut octets);
        format!("auto-{:016x}", u64::from_be_bytes(octets))
    } else {
        connect.client_id.into()
    };
    let will = match &connect.will {
        Some(w) => Some(will(w, server.config.mqtt.check_payload_format)?),
        None => None,
    };
    Ok(Wish { client_id, assigned, clean_start: connect.clean_start, expiry, will })
}

/// The message that is published when the client is lost, and how long after that (§3.1.3.2).
fn will(will: &Will<'_>, check: bool) -> Result<hub::Will, Refused> {
    let text = will.properties.get(PropertyId::PayloadFormat) == Some(Property::PayloadFormat(true));
    if check && text && core::str::from_utf8(will.payload).is_err() {
        return Err((ReasonCode::PayloadFormatInvalid, "the will is not UTF-8 as it says"));
    }
    let delay = match will.properties.get(PropertyId::WillDelay) {
        Some(Property::WillDelay(seconds)) => Duration::from_secs(u64::from(seconds)),
        _ => Duration::ZERO,
    };
    let flags = Flags { quality: Quality::from_number(will.qos.number()), retain: will.retain };
    let message = bridge::from_mqtt(Instant::ZERO, will.topic, will.payload, flags, will.properties);
    let message = message.ok_or((ReasonCode::PacketTooLarge, "the will is too large"))?;
    // Its expiry begins when it is published.
    Ok(hub::Will { message: message.without_expiry(), delay })
}
