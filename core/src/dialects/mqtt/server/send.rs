//! The application's packets.

use super::super::properties::Place;
use super::super::wire::{self, Body, Sink};
use super::super::{
    Ack, AckKind, Auth, ConnAck, Disconnect, Outgoing, PacketType, Properties, Property, PropertyId, Qos,
    ReasonCode, SendError, SubAck, UnsubAck, Version,
};
use super::close::Farewell;
use super::{Again, Phase, Server};
use crate::buf::SendBuf;
use crate::lifecycle::By;
use crate::time::Instant;

/// What is left out of an answer, one after another, until it is small enough for the client
/// ([MQTT-3.4.2-2], [MQTT-3.4.2-3] and their like).
const LEAVE_OUT: [&[PropertyId]; 3] =
    [&[], &[PropertyId::ReasonString], &[PropertyId::ReasonString, PropertyId::User]];

/// What CONNACK tells a client that is welcome. The limits of
/// [`Config`](super::Config) are announced without being asked, to 5.0 clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// Whether an older session goes on ([MQTT-3.2.2-2], [MQTT-3.2.2-3]).
    pub session_present: bool,
    /// The client identifier, where the client left the choice ([MQTT-3.1.3-7], [MQTT-3.2.2-16]).
    pub assigned_client_id: Option<&'a str>,
    /// The session's expiry in seconds, where it is not what the client asked for.
    pub session_expiry: Option<u32>,
    /// Anything else: user properties; response information, which goes only to who asked for it; the method of
    /// an authentication with its last data, where there was one ([MQTT-4.12.0-5]).
    pub properties: Properties<'a>,
}

/// CONNACK with this side's limits.
struct Announced<'a> {
    ack: ConnAck<'a>,
    limits: [Option<Property<'a>>; LIMITS],
}

const LIMITS: usize = 11;

/// What the machine announces itself.
const ANNOUNCED: &[PropertyId] = &[
    PropertyId::SessionExpiry,
    PropertyId::ReceiveMaximum,
    PropertyId::MaximumQos,
    PropertyId::RetainAvailable,
    PropertyId::MaximumPacketSize,
    PropertyId::AssignedClientId,
    PropertyId::TopicAliasMaximum,
    PropertyId::WildcardSubscriptionAvailable,
    PropertyId::SubscriptionIdentifiersAvailable,
    PropertyId::SharedSubscriptionAvailable,
    PropertyId::ServerKeepAlive,
];

impl Body for Announced<'_> {
    fn first(&self) -> u8 {
        self.ack.first()
    }

    fn write(&self, version: Version, to: &mut impl Sink) {
        if version == Version::V311 {
            return self.ack.write(version, to);
        }
        to.u8(u8::from(self.ack.session_present));
        to.u8(self.ack.reason.number());
        let limits = self.limits.iter().copied().flatten();
        self.ack.properties.write_with(Place::Packet(PacketType::ConnAck), to, limits);
    }
}

impl Server {
    /// Welcomes the client ([MQTT-3.2.0-1], [MQTT-3.2.0-2]): the connection is established.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing has changed then. [`SendError::State`] where no `Connect` or `Auth`
    /// waits for an answer.
    pub fn connack(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        welcome: &Welcome<'_>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if self.phase != Phase::Deciding || self.is_ended() {
            return Err(SendError::State);
        }
        let limits = self.limits(welcome);
        let send = |properties: Properties<'_>| {
            let ack = ConnAck {
                session_present: welcome.session_present,
                reason: ReasonCode::Success,
                properties: properties.without(ANNOUNCED),
            };
            wire::put_packet(&Announced { ack, limits }, self.version, self.tx_max_packet, out)
        };
        // [MQTT-3.1.2-28]
        let unasked: &[_] = if self.respond { &[] } else { &[PropertyId::ResponseInformation] };
        put_trimmed(welcome.properties.without(unasked), true, send)?;
        if let Some(seconds) = welcome.session_expiry {
            self.session_expiry = seconds;
        }
        self.phase = Phase::Open;
        self.life.opened();
        self.begin_keep_alive();
        Ok(())
    }

    /// What differs from what a client takes for granted (§3.2.2.3).
    fn limits<'a>(&self, welcome: &Welcome<'a>) -> [Option<Property<'a>>; LIMITS] {
        let off = |available: bool, property: fn(bool) -> Property<'a>| (!available).then(|| property(false));
        let maximum_qos = self.maximum_qos;
        let keep_alive = self.keep_alive();
        [
            welcome.session_expiry.map(Property::SessionExpiry),
            welcome.assigned_client_id.map(Property::AssignedClientId),
            (self.rx_maximum < u16::MAX).then_some(Property::ReceiveMaximum(self.rx_maximum)),
            (maximum_qos < Qos::ExactlyOnce).then_some(Property::MaximumQos(maximum_qos)),
            off(self.retain_available, Property::RetainAvailable),
            Some(Property::MaximumPacketSize(self.rx_max_packet)),
            (self.rx_aliases > 0).then_some(Property::TopicAliasMaximum(self.rx_aliases)),
            off(self.wildcard_subscriptions, Property::WildcardSubscriptionAvailable),
            off(self.subscription_identifiers, Property::SubscriptionIdentifiersAvailable),
            off(self.shared_subscriptions, Property::SharedSubscriptionAvailable),
            // [MQTT-3.1.2-21]
            (keep_alive != self.keep_alive).then_some(Property::ServerKeepAlive(keep_alive)),
        ]
    }

    /// Refuses the client at once and with properties, for instance a server reference. See
    /// [`refuse`](Server::refuse) for a plain refusal.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing has changed then.
    pub fn refuse_with(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if !matches!(self.phase, Phase::Deciding) || self.is_ended() || !reason.is_error() {
            return Err(SendError::State);
        }
        let (version, limit) = (self.version, self.tx_max_packet);
        put_trimmed(properties, true, |properties| {
            ConnAck { session_present: false, reason, properties }.encode_within(version, limit, out)
        })?;
        self.end(By::Local, Some(reason), "");
        self.farewell = Farewell::None;
        Ok(())
    }

    /// Sends a message. One that is larger than the client takes is the caller's to drop, as if it had been
    /// sent ([MQTT-3.1.2-24], [MQTT-3.1.2-25]).
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message was not sent then.
    #[inline]
    pub fn publish(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Outgoing<'_>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if !self.is_open() {
            return Err(SendError::State);
        }
        message.encode_within(self.version, self.tx_max_packet, out)
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP. What explains it is left out where the client did not ask for
    /// it ([MQTT-3.1.2-29]) or takes no packet of that size.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    #[inline]
    pub fn ack(&mut self, now: Instant, out: &mut impl SendBuf, ack: &Ack<'_>) -> Result<(), SendError> {
        self.tick(now);
        if !self.is_open() {
            return Err(SendError::State);
        }
        let (version, limit) = (self.version, self.tx_max_packet);
        put_trimmed(ack.properties, self.explain, |properties| {
            Ack { properties, ..*ack }.encode_within(version, limit, out)
        })?;
        let last = match ack.kind {
            AckKind::PubAck | AckKind::PubComp => true,
            AckKind::PubRec => ack.reason.is_error(),
            AckKind::PubRel => false,
        };
        if last {
            self.rx_in_flight = self.rx_in_flight.saturating_sub(1); // §4.9
        }
        Ok(())
    }

    /// Answers SUBSCRIBE ([MQTT-3.8.4-1]).
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn suback(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        ack: &SubAck<'_>,
    ) -> Result<(), SendError> {
        self.answer(now, ack.properties, |properties, version, limit| {
            SubAck { properties, ..*ack }.encode_within(version, limit, out)
        })
    }

    /// Answers UNSUBSCRIBE ([MQTT-3.10.4-4]).
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn unsuback(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        ack: &UnsubAck<'_>,
    ) -> Result<(), SendError> {
        self.answer(now, ack.properties, |properties, version, limit| {
            UnsubAck { properties, ..*ack }.encode_within(version, limit, out)
        })
    }

    fn answer(
        &mut self,
        now: Instant,
        properties: Properties<'_>,
        mut send: impl FnMut(Properties<'_>, Version, u32) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if !self.is_open() {
            return Err(SendError::State);
        }
        let (version, limit) = (self.version, self.tx_max_packet);
        put_trimmed(properties, self.explain, |properties| send(properties, version, limit))
    }

    /// Goes on with an authentication ([MQTT-4.12.0-2], [MQTT-4.12.0-4]): `ContinueAuthentication`, or, of
    /// an established connection, `Success`. The properties name the method of CONNECT.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then. [`SendError::State`] where nothing waits for this.
    pub fn auth(&mut self, now: Instant, out: &mut impl SendBuf, auth: &Auth<'_>) -> Result<(), SendError> {
        self.tick(now);
        let open = self.phase == Phase::Open && self.again == Again::Deciding;
        let due = match auth.reason {
            ReasonCode::ContinueAuthentication => open || self.phase == Phase::Deciding,
            ReasonCode::Success => open,
            _ => false,
        };
        // [MQTT-4.12.0-1]
        if !due || self.is_ended() || self.auth_method == 0 {
            return Err(SendError::State);
        }
        let (version, limit) = (self.version, self.tx_max_packet);
        put_trimmed(auth.properties, self.explain, |properties| {
            Auth { properties, ..*auth }.encode_within(version, limit, out)
        })?;
        match (open, auth.reason) {
            (false, _) => self.phase = Phase::Auth,
            (true, ReasonCode::Success) => self.again = Again::No,
            (true, _) => self.again = Again::Auth,
        }
        Ok(())
    }

    /// Ends the connection at once and with properties, for instance a server reference. See
    /// [`disconnect`](Server::disconnect) for a plain end. 3.1.1 has no such packet: the stream ends.
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
        if self.version.is_v5() {
            // [MQTT-3.14.2-2]
            let properties = disconnect.properties.without(&[PropertyId::SessionExpiry]);
            let (version, limit) = (self.version, self.tx_max_packet);
            put_trimmed(properties, true, |properties| {
                Disconnect { properties, ..*disconnect }.encode_within(version, limit, out)
            })?;
        }
        self.end(By::Local, Some(disconnect.reason), "");
        self.farewell = Farewell::None;
        Ok(())
    }

    /// Puts the last packet, with as much of the reason as the client takes; true if it needs no more.
    pub(super) fn put_farewell(&mut self, out: &mut impl SendBuf) -> bool {
        let text = self.life.reason().map_or("", |ending| ending.text);
        let list = [Property::ReasonString(text)];
        let properties = if text.is_empty() { Properties::NONE } else { Properties::list(&list) };
        let limit = self.tx_max_packet;
        let sent = put_trimmed(properties, true, |properties| match self.farewell {
            Farewell::None => Ok(()),
            Farewell::ConnAck(version, reason) => {
                ConnAck { session_present: false, reason, properties }.encode_within(version, limit, out)
            }
            Farewell::Disconnect(reason) => {
                Disconnect { reason, properties }.encode_within(Version::V5, limit, out)
            }
        });
        // What cannot be written at all is not owed for ever.
        !sent.is_err_and(|error| error.is_blocked())
    }
}

/// Sends with as many of the properties as the client takes; without those that explain if it wants none.
#[inline]
fn put_trimmed(
    properties: Properties<'_>,
    explain: bool,
    mut send: impl FnMut(Properties<'_>) -> Result<(), SendError>,
) -> Result<(), SendError> {
    if properties.is_empty() {
        return send(Properties::NONE);
    }
    let mut result = Err(SendError::State);
    for ids in &LEAVE_OUT[if explain { 0 } else { 2 }..] {
        result = send(properties.without(ids));
        if !matches!(result, Err(SendError::TooLarge { .. })) {
            break;
        }
    }
    result
}
