//! The application's side: all calls queue, none blocks.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::time::Duration;

use bytes::Bytes;

use super::event::{ClientEvent, PublishId, Reason, SubscriptionId};
use super::outbox::Entry;
use super::subscriptions::{SubState, Subscription};
use super::transmit::AROUND;
use super::{
    Client, ClientError, Command, DropReason, Ending, MAX_SUBSCRIPTIONS, Outgoing, State, Subscribe, WhenFull,
};
use crate::mqtt::{Delivery, PropertyBlock, PropertyId, Qos, ReasonCode, Version};
use crate::time::Instant;
use crate::topic::{parse_filter, validate_topic};

/// What to publish.
///
/// ```
/// use bowline_core::endpoint::mqtt_client::Publish;
/// use bowline_core::mqtt::Qos;
/// let p = Publish { qos: Qos::ExactlyOnce, ..Publish::new("home/door", "open") };
/// assert_eq!(p.payload, "open");
/// ```
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    /// What it is about: a topic name.
    pub topic: &'a str,
    /// What it says.
    pub payload: Bytes,
    /// What it says beside (5.0). With a message expiry it is dropped if it waits for longer than that
    /// here, and told the server what is left of it.
    pub properties: PropertyBlock,
    /// How it is delivered.
    pub qos: Qos,
    /// Whether the server retains it; with an empty payload the topic keeps none.
    pub retain: bool,
    /// Send this number in place of the topic, once the server has seen both (5.0). Nothing happens
    /// where the server does not take it.
    pub alias: Option<NonZeroU16>,
}

impl<'a> Publish<'a> {
    /// With QoS 0, not retained, without properties.
    pub fn new(topic: &'a str, payload: impl Into<Bytes>) -> Self {
        let properties = PropertyBlock::new();
        Self { topic, payload: payload.into(), properties, qos: Qos::AtMostOnce, retain: false, alias: None }
    }
}

/// With this a message is acknowledged. It does not outlive its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckHandle {
    pub(super) delivery: Delivery,
    pub(super) connection: u32,
}

impl Client {
    /// Publishes. [`ClientEvent::Published`] or [`ClientEvent::Dropped`] tells what came of it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Full`], [`ClientError::Topic`], [`ClientError::TooLarge`], [`ClientError::Closed`],
    /// [`ClientError::NotConnected`] with QoS 0 where those do not wait, [`ClientError::Invalid`].
    pub fn publish(&mut self, now: Instant, publish: Publish<'_>) -> Result<PublishId, ClientError> {
        self.tick(now);
        self.check_open()?;
        validate_topic(publish.topic)?;
        if publish.qos == Qos::AtMostOnce && !self.config.keep_qos0 && !self.opened {
            return Err(ClientError::NotConnected);
        }
        let properties = publish.properties.get();
        if properties.contains(PropertyId::SubscriptionIdentifier) {
            // [MQTT-3.3.4-6]
            return Err(ClientError::Invalid("a subscription identifier comes from servers only"));
        }
        if properties.contains(PropertyId::TopicAlias) {
            return Err(ClientError::Invalid("a topic alias is given beside the properties"));
        }
        let octets = publish.topic.len() + publish.payload.len() + publish.properties.len();
        let (size, limit) = (octets + AROUND, self.config.max_packet as usize);
        if size > limit {
            return Err(ClientError::TooLarge { size, limit });
        }
        if self.inbox.is_full() {
            return Err(ClientError::EventsWaiting);
        }
        self.make_room(octets)?;
        let id = PublishId(self.next_publish);
        self.next_publish += 1;
        self.outbox.push(Entry::new(self.now, id, publish));
        self.sendable = true;
        Ok(id)
    }

    fn make_room(&mut self, octets: usize) -> Result<(), ClientError> {
        if self.outbox.fits(octets) {
            return Ok(());
        }
        if self.config.when_full == WhenFull::Refuse || !self.outbox.could_fit(octets) {
            return Err(ClientError::Full);
        }
        while !self.outbox.fits(octets) {
            let Some(oldest) = self.outbox.pop() else { return Err(ClientError::Full) };
            self.dropped(&oldest, DropReason::Full);
        }
        Ok(())
    }

    /// Subscribes, over all connections to come. [`ClientEvent::Subscribed`] tells the server's answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Topic`], [`ClientError::Invalid`], [`ClientError::TooManySubscriptions`],
    /// [`ClientError::Closed`], [`ClientError::EventsWaiting`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscribe: Subscribe<'_>,
    ) -> Result<SubscriptionId, ClientError> {
        self.tick(now);
        self.check_open()?;
        if subscribe.filters.is_empty() {
            return Err(ClientError::Invalid("a subscription has at least one filter")); // [MQTT-3.8.3-2]
        }
        for wanted in subscribe.filters {
            let filter = parse_filter(wanted.filter)?;
            if filter.group.is_some() && wanted.options.no_local {
                return Err(ClientError::Invalid("a shared subscription with No Local")); // [MQTT-3.8.3-4]
            }
        }
        if subscribe.properties.get().contains(PropertyId::SubscriptionIdentifier) {
            return Err(ClientError::Invalid("this client gives the subscription identifiers itself"));
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(ClientError::TooManySubscriptions);
        }
        if self.inbox.is_full() {
            return Err(ClientError::EventsWaiting);
        }
        let id = self.next_subscription_id();
        let filters = subscribe.filters.iter().map(|s| (s.filter.to_string(), s.options)).collect();
        let properties = subscribe.properties;
        self.subscriptions.insert(id, Subscription { filters, properties, state: SubState::Waiting });
        if self.opened {
            self.command(Command::Subscribe(id));
        }
        Ok(id)
    }

    /// Ends a subscription: no message comes for it any more. [`ClientEvent::Unsubscribed`] follows.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownSubscription`], [`ClientError::EventsWaiting`].
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) -> Result<(), ClientError> {
        self.tick(now);
        if self.inbox.is_full() && self.subscriptions.get_mut(id).is_some() {
            return Err(ClientError::EventsWaiting);
        }
        let (gone, filters) = self.subscriptions.remove(id).ok_or(ClientError::UnknownSubscription)?;
        let asked = gone.state != SubState::Waiting;
        if self.opened && asked && !filters.is_empty() {
            self.command(Command::Unsubscribe(id, filters));
        } else {
            self.inbox.push(ClientEvent::Unsubscribed { subscription: id, reasons: Vec::new() });
        }
        Ok(())
    }

    /// Unsubscribes from filters that the session has from before this client.
    /// [`ClientEvent::Unsubscribed`] follows, under the name that is returned.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotConnected`], [`ClientError::Topic`], [`ClientError::Closed`].
    pub fn unsubscribe_filters(
        &mut self,
        now: Instant,
        filters: &[&str],
    ) -> Result<SubscriptionId, ClientError> {
        self.tick(now);
        self.check_open()?;
        if !self.opened {
            return Err(ClientError::NotConnected);
        }
        if filters.is_empty() {
            return Err(ClientError::Invalid("there is no filter to unsubscribe from")); // [MQTT-3.10.3-2]
        }
        for filter in filters {
            parse_filter(filter)?;
        }
        let id = self.next_subscription_id();
        self.command(Command::Unsubscribe(id, filters.iter().map(|filter| (*filter).into()).collect()));
        Ok(id)
    }

    fn next_subscription_id(&mut self) -> SubscriptionId {
        let id = SubscriptionId(self.next_subscription);
        self.next_subscription = self.next_subscription % crate::mqtt::VARINT_MAX + 1;
        id
    }

    /// Acknowledges a message, where [`ClientConfig::manual_ack`](super::ClientConfig::manual_ack) leaves
    /// that to the application: in the order in which they came ([MQTT-4.6.0-2]), each once. One that is
    /// not acknowledged before its connection is lost comes again.
    ///
    /// # Errors
    ///
    /// [`ClientError::Gone`] where it came over a connection before; [`ClientError::Invalid`] where
    /// messages are acknowledged by themselves, or PUBACK cannot carry the reason.
    pub fn ack(&mut self, now: Instant, handle: AckHandle, reason: ReasonCode) -> Result<(), ClientError> {
        self.tick(now);
        if !self.config.manual_ack {
            return Err(ClientError::Invalid("messages are acknowledged by themselves here"));
        }
        use crate::mqtt::{PacketType, Side};
        if !reason.is_allowed(PacketType::PubAck, Side::Client) {
            return Err(ClientError::Invalid("a reason that PUBACK cannot carry"));
        }
        if handle.delivery.qos() == Qos::AtMostOnce {
            return Ok(());
        }
        if handle.connection != self.connection || !self.opened {
            return Err(ClientError::Gone);
        }
        self.command(Command::Ack(handle.delivery, reason));
        Ok(())
    }

    /// Goes on with an enhanced authentication after [`ClientEvent::Auth`], or authenticates again while
    /// the connection is open (5.0 §4.12).
    ///
    /// # Errors
    ///
    /// [`ClientError::NotConnected`] where neither can be; [`ClientError::Invalid`] without a method.
    pub fn authenticate(&mut self, now: Instant, data: &[u8]) -> Result<(), ClientError> {
        self.tick(now);
        if self.config.auth.is_none() {
            return Err(ClientError::Invalid("no authentication method was set"));
        }
        if !(self.auth_due || self.opened) {
            return Err(ClientError::NotConnected);
        }
        self.command(Command::Auth(data.to_vec()));
        Ok(())
    }

    /// Takes no new work, finishes what waits and is in flight, then closes; after `deadline` in any case.
    pub fn drain(&mut self, now: Instant, deadline: Duration) {
        self.tick(now);
        if self.ending.is_none() {
            self.ending = Some(Ending::Drain(self.now + deadline));
            self.check_drained();
        }
    }

    /// Says DISCONNECT and closes, at once; what waits is given up. The will is not published.
    pub fn close(&mut self, now: Instant) {
        self.tick(now);
        if matches!(self.ending, Some(Ending::Close)) {
            return;
        }
        self.ending = Some(Ending::Close);
        if self.opened {
            self.inner.disconnect(self.now);
        } else {
            self.finish(Reason::Requested);
        }
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        let full = self.inbox.is_full();
        let event = self.inbox.pop();
        // Reading goes on.
        self.unread |= full && !self.inbox.is_full() && self.greeted;
        event
    }

    /// Whether the server has welcomed this client, and the connection stands.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.opened
    }

    /// Whether it is over; events may still wait.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.over
    }

    /// What waits to be sent, or to be acknowledged.
    #[must_use]
    pub const fn outgoing(&self) -> Outgoing {
        self.outbox.all()
    }

    /// Who this is: as configured, or as the server has chosen.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.config.client_id
    }

    /// The version that is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.config.version
    }

    const fn check_open(&self) -> Result<(), ClientError> {
        if self.over || self.ending.is_some() { Err(ClientError::Closed) } else { Ok(()) }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
        self.sendable = true;
    }

    pub(super) fn is_attached(&self) -> bool {
        self.state == State::Attached
    }
}
