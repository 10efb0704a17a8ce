//! The application's packets.

use core::num::NonZeroU16;

use super::super::wire::{self, Body, Sink};
use super::super::{
    Ack, AckKind, Aliases, Auth, Connect, Delivery, Disconnect, Filters, Outgoing, PacketId, Payload,
    Properties, Property, PropertyId, Qos, ReasonCode, SendError, Subscribe, Subscriptions, Unsubscribe,
    Version,
};
use super::{Client, Kept, Losing, Owed, Phase, Step, Store};
use crate::buf::{SendBuf, SliceSendBuf};
use crate::error::Blocked;
use crate::lifecycle::Lifecycle;
use crate::time::Instant;
use crate::topic::validate_topic;

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is about: a topic name, never empty.
    pub topic: &'a str,
    /// What it says.
    pub payload: &'a [u8],
    /// How it is delivered.
    pub qos: Qos,
    /// Whether the server retains it.
    pub retain: bool,
    /// What it says beside (5.0). An alias goes below.
    pub properties: Properties<'a>,
    /// Send this number in place of the topic, once the server has seen both (5.0). Nothing happens where
    /// the server does not take it, or the client's table of aliases cannot keep the topic.
    pub alias: Option<NonZeroU16>,
}

impl<'a> Message<'a> {
    /// A message with QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        let (qos, properties) = (Qos::AtMostOnce, Properties::NONE);
        Self { topic, payload, qos, retain: false, properties, alias: None }
    }

    /// The same message with this QoS.
    #[must_use]
    pub const fn with_qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }
}

/// CONNECT with this side's limits.
struct Announcing<'a> {
    connect: Connect<'a>,
    limits: [Option<Property<'a>>; 3],
}

const ANNOUNCED: &[PropertyId] =
    &[PropertyId::ReceiveMaximum, PropertyId::MaximumPacketSize, PropertyId::TopicAliasMaximum];

impl Body for Announcing<'_> {
    fn first(&self) -> u8 {
        self.connect.first()
    }

    fn write(&self, _: Version, to: &mut impl Sink) {
        self.connect.write_with(to, self.limits.iter().copied().flatten());
    }
}

impl<S: Store, A: Aliases> Client<S, A> {
    /// A transport was connected: sends CONNECT, with this side's limits among its properties. What is left
    /// of the connection before is forgotten, not the session, unless a clean start is asked for.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; nothing has changed then.
    pub fn connect(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        connect: &Connect<'_>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if connect.version != self.config.version {
            return Err(SendError::Invalid("not the version of this client's session"));
        }
        let rx_maximum = self.config.receive_maximum.min(self.store.receive_capacity()).max(1);
        let aliases = self.config.topic_alias_maximum;
        let limits = [
            (rx_maximum < u16::MAX).then_some(Property::ReceiveMaximum(rx_maximum)),
            Some(Property::MaximumPacketSize(self.config.max_packet.max(1))),
            (aliases > 0).then_some(Property::TopicAliasMaximum(aliases)),
        ];
        let connect = Connect { properties: connect.properties.without(ANNOUNCED), ..*connect };
        wire::put_packet(&Announcing { connect, limits }, connect.version, u32::MAX, out)?;
        self.begin(&connect, rx_maximum);
        Ok(())
    }

    /// Nothing is left of the connection before.
    fn begin(&mut self, connect: &Connect<'_>, rx_maximum: u16) {
        self.life = Lifecycle::new(self.now, self.config.connect_timeout, super::CLOSE_WAIT);
        (self.stalled_since, self.pinged_at) = (None, None);
        (self.last_sent, self.last_received) = (self.now, self.now);
        self.owed = Owed::NONE;
        (self.sent, self.partial) = (0, 0);
        (self.tx_max_packet, self.tx_maximum, self.tx_in_flight, self.tx_aliases) =
            (u32::MAX, u16::MAX, 0, 0);
        (self.rx_maximum, self.rx_in_flight) = (rx_maximum, 0);
        (self.maximum_qos, self.retain_available) = (Qos::ExactlyOnce, true);
        (self.clean_start, self.keep_alive) = (connect.clean_start, connect.keep_alive);
        (self.phase, self.farewell) = (Phase::Connecting, None);
        (self.closed_told, self.dismissed, self.eof, self.aborted) = (false, false, false, false);
        self.note_method(connect.properties.get(PropertyId::AuthMethod));
        self.aliases.clear();
    }

    /// Publishes. With QoS 1 and 2 the message is kept, and its identifier returned: it is sent now or as soon
    /// as it can be, and [`Event::Acked`](super::Event::Acked) tells when the server has it.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message is neither kept nor sent then. QoS 0 needs a connection, and room.
    pub fn publish(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
    ) -> Result<Option<PacketId>, SendError> {
        self.tick(now);
        self.check(message)?;
        if message.qos == Qos::AtMostOnce {
            if !self.is_open() {
                return Err(SendError::State);
            }
            self.put_message(out, message, Delivery::AtMostOnce)?;
            return Ok(None);
        }
        let id = self.free_id()?;
        let delivery = Delivery::new(message.qos, Some(id), false).unwrap_or_default();
        let (outgoing, kept) = (plain(message, delivery), self.kept(message.qos));
        let size = wire::packet_len(&outgoing, self.config.version)?;
        if size > self.tx_max_packet as usize {
            return Err(SendError::TooLarge { size, limit: self.tx_max_packet });
        }
        let memory = self.store.push(id, kept, size).ok_or(SendError::InFlight)?;
        outgoing.encode(self.config.version, &mut SliceSendBuf::new(memory))?;
        self.latest_id = id;
        // At once, where nothing is in front of it; else it waits in the store.
        let place = self.store.len() - 1;
        if self.may_send() && self.sent == place && self.put_message(out, message, delivery).is_ok() {
            self.note_sent(place);
        }
        Ok(Some(id))
    }

    const fn kept(&self, qos: Qos) -> Kept {
        match qos {
            Qos::ExactlyOnce => Kept::ExactlyOnce,
            _ => Kept::AtLeastOnce,
        }
    }

    fn check(&self, message: &Message<'_>) -> Result<(), SendError> {
        if validate_topic(message.topic).is_err() {
            return Err(SendError::Invalid("not a valid topic name"));
        }
        if message.properties.contains(PropertyId::SubscriptionIdentifier) {
            // [MQTT-3.3.4-6]
            return Err(SendError::Invalid("a subscription identifier comes from servers only"));
        }
        if message.qos > self.maximum_qos {
            return Err(SendError::Unsupported("the server does not support this QoS")); // [MQTT-3.2.2-11]
        }
        if message.retain && !self.retain_available {
            return Err(SendError::Unsupported("the server retains no messages")); // [MQTT-3.2.2-14]
        }
        Ok(())
    }

    /// Writes a message, under its alias where it has one.
    fn put_message(
        &mut self,
        out: &mut impl SendBuf,
        message: &Message<'_>,
        delivery: Delivery,
    ) -> Result<(), SendError> {
        let mut outgoing = plain(message, delivery);
        let alias =
            message.alias.filter(|alias| self.config.version.is_v5() && alias.get() <= self.tx_aliases);
        let known = alias.is_some_and(|alias| self.aliases.get(alias) == Some(message.topic));
        if known {
            outgoing.topic = b"";
        }
        let alias = alias.filter(|alias| known || self.aliases.fits(*alias, message.topic));
        outgoing.topic_alias = alias.map(NonZeroU16::get);
        let (version, limit) = (self.config.version, self.tx_max_packet);
        match wire::put_packet(&outgoing, version, limit, out) {
            // Setting an alias takes three octets more: too many here.
            Err(SendError::TooLarge { .. }) if alias.is_some() && !known => {
                wire::put_packet(&plain(message, delivery), version, limit, out)?;
            }
            result => {
                result?;
                if let Some(alias) = alias.filter(|_| !known) {
                    self.aliases.set(alias, message.topic);
                }
            }
        }
        self.last_sent = self.now;
        Ok(())
    }

    /// Whether a message with QoS 1 or 2 may be sent now ([MQTT-3.3.4-7]).
    pub(super) fn may_send(&self) -> bool {
        self.is_open() && self.losing == Losing::Nothing && self.tx_in_flight < self.tx_maximum
    }

    /// The message at this place was sent: from now on it is a duplicate ([MQTT-3.3.1-1]).
    fn note_sent(&mut self, place: usize) {
        if let Some([first, ..]) = self.store.packet_mut(place) {
            *first |= 1 << 3;
        }
        self.sent = place + 1;
        self.tx_in_flight += 1;
    }

    /// Sends what waits in the store, in its order ([MQTT-4.4.0-1], [MQTT-4.6.0-1]).
    pub(super) fn pump(&mut self, out: &mut impl SendBuf) {
        while self.is_open() && self.losing == Losing::Nothing && self.rejected.is_none() {
            let Some(entry) = self.store.at(self.sent) else { return };
            let (id, place) = (entry.id, self.sent);
            match entry.kept {
                Kept::Subscribe | Kept::Unsubscribe => self.sent += 1, // was sent when it was added
                Kept::Release => {
                    if Ack::new(AckKind::PubRel, id).encode(self.config.version, out).is_err() {
                        return;
                    }
                    self.last_sent = self.now;
                    self.sent += 1;
                    // Its PUBCOMP gives back what it takes: §4.9 would let too much be sent.
                    self.tx_in_flight += 1;
                }
                Kept::AtLeastOnce | Kept::ExactlyOnce => {
                    if let Some(reason) = self.unacceptable(entry.packet) {
                        self.store.remove(id);
                        self.rejected = Some((id, reason));
                        return;
                    }
                    if self.tx_in_flight >= self.tx_maximum || entry.packet.len() > out.room() {
                        return;
                    }
                    out.put(entry.packet);
                    self.last_sent = self.now;
                    self.note_sent(place);
                }
            }
        }
    }

    /// Why a message that was kept cannot go to this server.
    fn unacceptable(&self, packet: &[u8]) -> Option<ReasonCode> {
        let flags = packet.first().copied().unwrap_or(0);
        if packet.len() > self.tx_max_packet as usize {
            Some(ReasonCode::PacketTooLarge) // [MQTT-3.2.2-15]
        } else if flags >> 1 & 3 > self.maximum_qos.number() {
            Some(ReasonCode::QosNotSupported)
        } else if flags & 1 != 0 && !self.retain_available {
            Some(ReasonCode::RetainNotSupported)
        } else {
            None
        }
    }

    /// An identifier that is not in use ([MQTT-2.2.1-3], [MQTT-2.2.1-4]). Those that are in use are passed
    /// once, not at each call: a store that is full may be asked again and again.
    fn free_id(&mut self) -> Result<PacketId, SendError> {
        let mut before = self.latest_id;
        for _ in 0..=self.store.len().min(u16::MAX.into()) {
            let id = before.checked_add(1).unwrap_or(PacketId::MIN);
            if self.store.find(id).is_none() {
                self.latest_id = before;
                return Ok(id);
            }
            before = id;
        }
        Err(SendError::InFlight)
    }

    /// Subscribes; [`Event::SubAck`](super::Event::SubAck) answers. Of a subscription whose connection is
    /// lost before that, [`Event::Lost`](super::Event::Lost) tells after the next one is there.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn subscribe(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        subscriptions: Subscriptions<'_>,
        properties: Properties<'_>,
    ) -> Result<PacketId, SendError> {
        let count = subscriptions.iter().count();
        self.ask(now, Kept::Subscribe, count, |id, version, limit| {
            Subscribe { id, properties, subscriptions }.encode_within(version, limit, out)
        })
    }

    /// Unsubscribes; [`Event::UnsubAck`](super::Event::UnsubAck) answers, or
    /// [`Event::Lost`](super::Event::Lost) as above.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        filters: Filters<'_>,
        properties: Properties<'_>,
    ) -> Result<PacketId, SendError> {
        self.ask(now, Kept::Unsubscribe, filters.iter().count(), |id, version, limit| {
            Unsubscribe { id, properties, filters }.encode_within(version, limit, out)
        })
    }

    fn ask(
        &mut self,
        now: Instant,
        kept: Kept,
        count: usize,
        send: impl FnOnce(PacketId, Version, u32) -> Result<(), SendError>,
    ) -> Result<PacketId, SendError> {
        self.tick(now);
        if !self.is_open() {
            return Err(SendError::State);
        }
        let id = self.free_id()?;
        // So many answers are due.
        let count = u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        self.store.push(id, kept, count.len()).ok_or(SendError::InFlight)?.copy_from_slice(&count);
        if let Err(error) = send(id, self.config.version, self.tx_max_packet) {
            self.store.remove(id);
            return Err(error);
        }
        self.latest_id = id;
        if self.sent + 1 == self.store.len() {
            self.sent += 1;
        }
        self.last_sent = self.now;
        Ok(id)
    }

    /// Acknowledges a message that came with QoS 1 or 2, where the
    /// [configuration](super::Config::manual_ack) leaves that to the application. In the order in which they
    /// came ([MQTT-4.6.0-2], [MQTT-4.6.0-3]).
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn ack(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        delivery: Delivery,
        reason: ReasonCode,
    ) -> Result<(), SendError> {
        self.tick(now);
        let (kind, id) = match delivery {
            Delivery::AtMostOnce => return Ok(()),
            Delivery::AtLeastOnce { id, .. } => (AckKind::PubAck, id),
            Delivery::ExactlyOnce { id, .. } => (AckKind::PubRec, id),
        };
        if !self.is_open() {
            return Err(SendError::State);
        }
        let once = kind == AckKind::PubRec && !reason.is_error();
        if once && !self.store.receive(id) {
            return Err(SendError::InFlight);
        }
        Ack { reason, ..Ack::new(kind, id) }.encode_within(self.config.version, self.tx_max_packet, out)?;
        if !once {
            self.rx_in_flight = self.rx_in_flight.saturating_sub(1);
        }
        self.last_sent = self.now;
        Ok(())
    }

    /// Goes on with an authentication ([MQTT-4.12.0-3]): `ContinueAuthentication` after
    /// [`Event::Auth`](super::Event::Auth), or `ReAuthenticate` on an open connection. The properties
    /// name the method of CONNECT.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then. [`SendError::State`] where nothing waits for this.
    pub fn auth(&mut self, now: Instant, out: &mut impl SendBuf, auth: &Auth<'_>) -> Result<(), SendError> {
        self.tick(now);
        let due = match auth.reason {
            ReasonCode::ContinueAuthentication => self.step == Step::Ours,
            ReasonCode::ReAuthenticate => self.step == Step::None && self.is_open(),
            _ => false,
        };
        if self.is_ended() || self.auth_method == 0 || !due {
            return Err(SendError::State);
        }
        auth.encode_within(self.config.version, self.tx_max_packet, out)?;
        self.step = Step::Server;
        self.last_sent = self.now;
        Ok(())
    }

    /// Writes the acknowledgements that are owed, as far as there is room.
    pub(super) fn put_owed(&mut self, out: &mut impl SendBuf) {
        while let Some(ack) = self.owed.first() {
            let ack = if self.config.version.is_v5() { ack } else { Ack::new(ack.kind, ack.id) };
            let sent = ack.encode_within(self.config.version, self.tx_max_packet, out);
            if sent == Err(SendError::Blocked(Blocked)) {
                return;
            }
            self.owed.pop();
            if matches!(ack.kind, AckKind::PubAck | AckKind::PubComp) {
                self.rx_in_flight = self.rx_in_flight.saturating_sub(1); // §4.9
            }
            self.last_sent = self.now;
        }
    }

    /// Writes the last packet; true if it needs no more.
    pub(super) fn put_farewell(&mut self, out: &mut impl SendBuf, reason: ReasonCode) -> bool {
        let text = self.life.reason().map_or("", |ending| ending.text);
        let list = [Property::ReasonString(text)];
        let properties = if text.is_empty() { Properties::NONE } else { Properties::list(&list) };
        for properties in [properties, Properties::NONE] {
            let sent =
                Disconnect { reason, properties }.encode_within(self.config.version, self.tx_max_packet, out);
            match sent {
                Err(SendError::TooLarge { .. }) => {}
                sent => return !sent.is_err_and(|error| error.is_blocked()),
            }
        }
        true
    }
}

/// A message without an alias.
fn plain<'a>(message: &Message<'a>, delivery: Delivery) -> Outgoing<'a> {
    Outgoing {
        delivery,
        retain: message.retain,
        payload: Payload::Copied(message.payload),
        properties: message.properties,
        ..Outgoing::new(message.topic.as_bytes(), b"")
    }
}
