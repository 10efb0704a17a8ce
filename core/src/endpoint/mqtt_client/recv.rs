//! What comes in.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::event::{ClientEvent, Message, Reason};
use super::outbox::Entry;
use super::subscriptions::Asked;
use super::{Client, Command, Publish, State};
use crate::buf::RecvBuf;
use crate::endpoint::carrier::MayBeWeb as _;
use crate::mqtt::client::{Event, Kept, Store};
use crate::mqtt::{
    Auth, ConnAck, Packet, PacketId, Properties, Property, PropertyBlock, PropertyId, ReasonCode, ReasonCodes,
};
use crate::time::Instant;

impl Client {
    /// Consumes the packets in `buf`: all whole ones, unless the application has too many events to take.
    /// Then [`poll_transmit`](Self::poll_transmit): there may be something to answer.
    pub fn recv(&mut self, now: Instant, buf: &mut impl RecvBuf) {
        self.tick(now);
        let now = self.now;
        if self.with_web(|web, client| web.recv(now, client, buf)).is_none() {
            self.recv_packets(buf);
        }
    }

    /// The same of the session's own octets.
    pub(super) fn recv_packets(&mut self, buf: &mut impl RecvBuf) {
        self.unread = false;
        if !self.greeted {
            return;
        }
        let mut aliases = core::mem::take(&mut self.aliases);
        loop {
            if self.inbox.is_full() && !self.inner.is_ended() {
                self.unread = true;
                self.inner.heard(self.now);
                break;
            }
            let Some(event) = self.inner.recv(self.now, buf, &mut aliases) else { break };
            self.on_event(event);
        }
        self.aliases = aliases;
        // Acknowledgements may have made room in the window.
        self.sendable |= self.opened;
        self.check_drained();
    }

    /// Whether the transport should be read. Not while the application leaves too many events untaken:
    /// what the server sends then waits where it is.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.state {
            State::Attached => !self.inbox.is_full(),
            State::Leaving => true,
            State::Waiting | State::Dialing => false,
        }
    }

    #[allow(clippy::needless_pass_by_value)] // Events are taken.
    pub(super) fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::Message(publish) => {
                let subscriptions = self.subscriptions.route(&publish);
                let message = Message::copy(&publish, self.connection);
                self.inbox.push(ClientEvent::Message { subscriptions, message });
            }
            Event::Acked(id, reason) => self.published(id, reason),
            Event::Connected(ack) => self.connected(&ack),
            Event::Refused(ack) => {
                self.redirect = reference(ack.properties);
                self.dismissal = Some(Reason::Refused { code: ack.reason, text: text(ack.properties) });
            }
            Event::Disconnect(disconnect) => {
                let (code, properties) = (disconnect.reason, disconnect.properties);
                self.redirect = reference(properties);
                self.dismissal = Some(Reason::Remote { code, text: text(properties) });
            }
            Event::SubAck(ack) => self.answered(ack.id, ack.reasons, ack.properties),
            Event::UnsubAck(ack) => self.answered(ack.id, ack.reasons, ack.properties),
            Event::Auth(auth) => self.challenged(&auth),
            Event::Closed(closed) => self.connection_ended(&closed),
            // What was lost is asked for, or published, anew: see `connected`.
            Event::Lost(id) => drop(self.sent.remove(&id)),
        }
    }

    fn published(&mut self, id: PacketId, reason: ReasonCode) {
        // The answer to a PUBREL that was sent again, though the server had done with it: it has the message.
        let reason =
            if reason == ReasonCode::PacketIdentifierNotFound { ReasonCode::Success } else { reason };
        if let Some((publish, octets)) = self.sent.remove(&id) {
            self.outbox.done(octets);
            self.inbox.push(ClientEvent::Published { publish, reason });
        }
    }

    fn connected(&mut self, ack: &ConnAck<'_>) {
        (self.opened, self.sendable, self.auth_due) = (true, true, false);
        self.backoff.succeeded(self.now);
        let mut response_information = None;
        self.identifiers = self.config.version.is_v5();
        for property in ack.properties.iter() {
            match property {
                Property::AssignedClientId(id) => self.config.client_id = id.to_string(),
                Property::ResponseInformation(text) => response_information = Some(text.to_string()),
                Property::SubscriptionIdentifiersAvailable(false) => self.identifiers = false,
                _ => {}
            }
        }
        let session_present = ack.session_present;
        if !session_present {
            self.publish_anew();
            if self.had_session {
                self.inbox.push(ClientEvent::Lost);
            }
        }
        self.had_session = true;
        for id in self.subscriptions.renew(!session_present) {
            self.commands.push_back(Command::Subscribe(id));
        }
        self.inbox.push(ClientEvent::Connected { session_present, response_information });
    }

    /// The server has lost the session: takes back what it had not acknowledged. A message with QoS 2 of
    /// which PUBREC has come is the server's since then.
    fn publish_anew(&mut self) {
        let mut back = Vec::new();
        for place in 0..self.inner.store().len() {
            let Some(kept) = self.inner.store().at(place) else { break };
            let (id, kept) = (kept.id, (kept.kept, kept.packet));
            match kept {
                (Kept::Release, _) => self.published(id, ReasonCode::Success),
                (Kept::AtLeastOnce | Kept::ExactlyOnce, packet) => {
                    let Some((publish, _)) = self.sent.remove(&id) else { continue };
                    let Ok(Packet::Publish(p)) = Packet::decode(self.config.version, packet) else {
                        continue;
                    };
                    let properties = PropertyBlock::copy_of_message(p.properties).unwrap_or_default();
                    let (qos, retain) = (p.qos(), p.retain);
                    let payload = Bytes::copy_from_slice(p.payload);
                    let again = Publish { properties, qos, retain, ..Publish::new(p.topic, payload) };
                    back.push(Entry::new(self.now, publish, again));
                }
                _ => {}
            }
        }
        back.into_iter().rev().for_each(|entry| self.outbox.push_front(entry));
    }

    /// SUBACK or UNSUBACK.
    fn answered(&mut self, id: PacketId, reasons: ReasonCodes<'_>, properties: Properties<'_>) {
        let reasons: Vec<ReasonCode> = reasons.iter().collect();
        match self.asked.remove(&id) {
            Some(Asked::Subscribe(subscription)) => {
                let refused = reasons.iter().all(|reason| reason.is_error());
                if !self.settle(subscription, refused) {
                    return; // unsubscribed meanwhile
                }
                let text = text(properties);
                self.inbox.push(ClientEvent::Subscribed { subscription, reasons, text });
            }
            Some(Asked::Unsubscribe(subscription)) => {
                self.inbox.push(ClientEvent::Unsubscribed { subscription, reasons });
            }
            None => {}
        }
    }

    fn challenged(&mut self, auth: &Auth<'_>) {
        let done = auth.reason == ReasonCode::Success;
        self.auth_due = !done;
        let data = match auth.properties.get(PropertyId::AuthData) {
            Some(Property::AuthData(data)) => data.to_vec(),
            _ => Vec::new(),
        };
        self.inbox.push(ClientEvent::Auth { done, data });
    }
}

/// What a server says for people.
fn text(properties: Properties<'_>) -> String {
    match properties.get(PropertyId::ReasonString) {
        Some(Property::ReasonString(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// The first of the servers to which a server sends its client (§4.11).
fn reference(properties: Properties<'_>) -> Option<String> {
    match properties.get(PropertyId::ServerReference) {
        Some(Property::ServerReference(text)) => text.split_whitespace().next().map(ToString::to_string),
        _ => None,
    }
}
