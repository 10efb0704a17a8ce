//! What goes out.

use alloc::string::String;
use alloc::vec::Vec;

use super::event::{ClientEvent, Reason, SubscriptionId};
use super::outbox::Entry;
use super::subscriptions::{Asked, SubState};
use super::{Client, Command, DropReason};
use crate::buf::SendBuf;
use crate::endpoint::carrier::MayBeWeb as _;
use crate::lifecycle::Transport;
use crate::mqtt::client::Message;
use crate::mqtt::{
    self, Auth, Connect, Filters, Properties, Property, PropertyId, Qos, ReasonCode, SendError, Subscriptions,
};
use crate::time::Instant;

/// What a PUBLISH has beside topic, properties and payload, at most: fixed header, lengths, identifier,
/// and a topic alias.
pub(super) const AROUND: usize = 1 + 4 + 2 + 2 + 4 + 3;

/// What has a field of its own in the settings.
const OWN: &[PropertyId] = &[PropertyId::SessionExpiry, PropertyId::AuthMethod, PropertyId::AuthData];

impl Client {
    /// Puts into `out` what is to be written: CONNECT, what the session owes, and as much as there is room
    /// and leave for of what the application queued. Says what the transport owes once that is written;
    /// [`Transport::Drop`] also where there should be none.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        let now = self.now;
        match self.with_web(|web, client| web.poll_transmit(now, client, out)) {
            None => self.transmit_packets(out),
            Some(owed) => owed,
        }
    }

    /// The same of the session's own octets.
    pub(super) fn transmit_packets(&mut self, out: &mut impl SendBuf) -> Transport {
        if self.is_attached() && !self.greeted && !self.over {
            self.greet(out);
        }
        if !self.greeted {
            return if self.is_attached() && !self.over { Transport::Open } else { Transport::Drop };
        }
        // First what the session sends again: what is new goes behind that.
        let _ = self.inner.poll_transmit(self.now, out);
        if (self.opened && self.sendable) || self.auth_due {
            self.sendable = !self.transmit(out);
            self.check_drained();
        }
        let transport = self.inner.poll_transmit(self.now, out);
        self.take_end();
        transport
    }

    fn greet(&mut self, out: &mut impl SendBuf) {
        let config = &self.config;
        let will = config.will.as_ref().map(|will| mqtt::Will {
            topic: &will.topic,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.get(),
        });
        let mut list: Vec<Property<'_>> = config.properties.get().without(OWN).iter().collect();
        if config.session_expiry > 0 {
            list.push(Property::SessionExpiry(config.session_expiry));
        }
        if let Some(auth) = &config.auth {
            list.push(Property::AuthMethod(&auth.name));
            if !auth.data.is_empty() {
                list.push(Property::AuthData(&auth.data));
            }
        }
        let clean_start = if config.version.is_v5() {
            config.clean_start && !self.had_session
        } else {
            // In 3.1.1 a clean session is also one that ends with its connection, and only that may come
            // without an identifier ([MQTT-3.1.3-8]).
            config.session_expiry == 0 || config.client_id.is_empty()
        };
        let connect = Connect {
            version: config.version,
            clean_start,
            keep_alive: config.keep_alive,
            client_id: &config.client_id,
            will,
            user_name: config.user.as_deref(),
            password: config.password.as_ref().map(|password| &password[..]),
            properties: Properties::list(&list),
        };
        match self.inner.connect(self.now, out, &connect) {
            Ok(()) => self.greeted = true,
            Err(SendError::Blocked(_)) => {}
            Err(SendError::Invalid(what)) => self.disconnected(Reason::Settings(what)),
            Err(_) => self.disconnected(Reason::Settings("it is larger than a packet can be")),
        }
    }

    /// Sends what can be sent; false where only room is missing.
    fn transmit(&mut self, out: &mut impl SendBuf) -> bool {
        while let Some(command) = self.commands.pop_front() {
            if let Err(SendError::Blocked(_) | SendError::InFlight) = self.send_command(&command, out) {
                self.commands.push_front(command);
                return false;
            }
        }
        !self.opened || self.send_messages(out)
    }

    fn send_command(&mut self, command: &Command, out: &mut impl SendBuf) -> Result<(), SendError> {
        match command {
            Command::Subscribe(id) => self.send_subscribe(*id, out),
            Command::Unsubscribe(id, filters) => self.send_unsubscribe(*id, filters, out),
            Command::Ack(delivery, reason) => self.inner.ack(self.now, out, *delivery, *reason),
            Command::Auth(data) => self.send_auth(data, out),
        }
    }

    fn send_subscribe(&mut self, id: SubscriptionId, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return Ok(()) };
        if subscription.state != SubState::Waiting {
            return Ok(());
        }
        let list = subscription.list();
        let mut properties: Vec<Property<'_>> = subscription.properties.get().iter().collect();
        if self.identifiers {
            properties.push(Property::SubscriptionIdentifier(id.0));
        }
        let (filters, properties) = (Subscriptions::list(&list), Properties::list(&properties));
        let sent = self.inner.subscribe(self.now, out, filters, properties);
        let reasons = list.len();
        match sent {
            Ok(packet) => {
                subscription.state = SubState::Asked;
                self.asked.insert(packet, Asked::Subscribe(id));
                Ok(())
            }
            Err(SendError::TooLarge { .. } | SendError::Invalid(_) | SendError::Unsupported(_)) => {
                self.subscriptions.remove(id);
                let text = String::from("the SUBSCRIBE is larger than the server takes");
                let reasons = alloc::vec![ReasonCode::PacketTooLarge; reasons];
                self.inbox.push(ClientEvent::Subscribed { subscription: id, reasons, text });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The server has answered a SUBSCRIBE; false where that was given up meanwhile.
    pub(super) fn settle(&mut self, id: SubscriptionId, refused: bool) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return false };
        subscription.state = SubState::Agreed;
        if refused {
            self.subscriptions.remove(id);
        }
        true
    }

    fn send_unsubscribe(
        &mut self,
        id: SubscriptionId,
        filters: &[String],
        out: &mut impl SendBuf,
    ) -> Result<(), SendError> {
        let list: Vec<&str> = filters.iter().map(String::as_str).collect();
        match self.inner.unsubscribe(self.now, out, Filters::list(&list), Properties::NONE) {
            Ok(packet) => {
                self.asked.insert(packet, Asked::Unsubscribe(id));
                Ok(())
            }
            Err(error) if error.is_blocked() => Err(error),
            Err(_) => {
                self.inbox.push(ClientEvent::Unsubscribed { subscription: id, reasons: Vec::new() });
                Ok(())
            }
        }
    }

    fn send_auth(&mut self, data: &[u8], out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(method) = &self.config.auth else { return Ok(()) };
        let list = [Property::AuthMethod(&method.name), Property::AuthData(data)];
        let reason =
            if self.auth_due { ReasonCode::ContinueAuthentication } else { ReasonCode::ReAuthenticate };
        let auth = Auth { reason, properties: Properties::list(&list) };
        self.inner.auth(self.now, out, &auth)?;
        self.auth_due = false;
        Ok(())
    }

    /// Hands messages to the session as long as it can send them at once: false where only room is
    /// missing. So all that the session keeps was sent, and the order of the calls is that of the wire.
    fn send_messages(&mut self, out: &mut impl SendBuf) -> bool {
        let window = self.inner.receive_maximum().min(self.config.in_flight).max(1);
        while let Some(entry) = self.outbox.first() {
            if entry.expires.is_some_and(|at| at <= self.now) {
                let Some(entry) = self.outbox.pop() else { break };
                self.dropped(&entry, DropReason::Expired);
                continue;
            }
            if entry.qos > Qos::AtMostOnce && self.sent.len() >= usize::from(window) {
                return true;
            }
            if entry.octets() + AROUND > out.room() {
                return false;
            }
            let Some(entry) = self.outbox.pop() else { break };
            match self.hand_over(&entry, out) {
                Err(SendError::Blocked(_)) => {
                    self.outbox.push_front(entry);
                    return false;
                }
                Err(SendError::InFlight | SendError::State) => {
                    self.outbox.push_front(entry);
                    return true;
                }
                done => self.handed_over(&entry, done),
            }
        }
        true
    }

    fn hand_over(
        &mut self,
        entry: &Entry,
        out: &mut impl SendBuf,
    ) -> Result<Option<mqtt::PacketId>, SendError> {
        let mut aged = Vec::new();
        let properties = match entry.rest(self.now) {
            Some(rest) => {
                aged.extend(entry.properties.get().iter().map(|property| match property {
                    Property::MessageExpiry(_) => Property::MessageExpiry(rest),
                    other => other,
                }));
                Properties::list(&aged)
            }
            None => entry.properties.get(),
        };
        let message = Message {
            topic: &entry.topic,
            payload: &entry.payload,
            qos: entry.qos,
            retain: entry.retain,
            properties,
            alias: entry.alias,
        };
        self.inner.publish(self.now, out, &message)
    }

    fn handed_over(&mut self, entry: &Entry, sent: Result<Option<mqtt::PacketId>, SendError>) {
        let reason = match sent {
            Ok(Some(packet)) => {
                self.sent.insert(packet, (entry.id, entry.octets()));
                return;
            }
            Ok(None) => ReasonCode::Success,
            Err(SendError::TooLarge { .. }) => ReasonCode::PacketTooLarge,
            Err(SendError::Unsupported(_)) if entry.qos > self.inner.maximum_qos() => {
                ReasonCode::QosNotSupported
            }
            Err(SendError::Unsupported(_)) => ReasonCode::RetainNotSupported,
            Err(_) => ReasonCode::ImplementationSpecificError,
        };
        self.outbox.done(entry.octets());
        self.inbox.push(ClientEvent::Published { publish: entry.id, reason });
    }
}
