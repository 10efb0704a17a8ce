//! Octets in, events out.

use super::super::both::{digest, method, resolve};
use super::super::{
    Ack, AckKind, Aliases, Auth, ConnAck, Disconnect, Fault, Head, Packet, PacketId, PacketType, Property,
    PropertyId, Publish, Qos, ReasonCode, Side,
};
use super::event::Event;
use super::{Client, Kept, Losing, Phase, Step, Store};
use crate::buf::RecvBuf;
use crate::lifecycle::By;
use crate::time::Instant;

impl<S: Store, A: Aliases> Client<S, A> {
    /// Consumes whole packets from `buf` up to the next event, which borrows the buffer and `aliases`:
    /// those that the server sets, the same ones in each call, and new ones for a new connection
    /// ([MQTT-3.3.2-7]).
    ///
    /// Call it until it returns nothing, whenever octets came and after
    /// [`handle_timeout`](Client::handle_timeout) and [`poll_transmit`](Client::poll_transmit): it waits
    /// while 16 acknowledgements are owed. A call takes time in the length of what it consumes and of
    /// what the store holds.
    pub fn recv<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut impl RecvBuf,
        aliases: &'b mut impl Aliases,
    ) -> Option<Event<'b>> {
        self.tick(now);
        loop {
            if let Some(event) = self.poll_event() {
                return Some(event);
            }
            if self.is_ended() {
                buf.take(usize::MAX);
                return self.poll_closed();
            }
            let head = match self.scan(buf.filled(), buf.limit()) {
                Ok(Some(head)) => head,
                Ok(None) => return None,
                Err(fault) => {
                    buf.take(usize::MAX);
                    return Some(self.fail(fault));
                }
            };
            if self.is_quiet(&head, buf.filled()) {
                let octets = buf.take(head.total());
                if let Err(fault) = self.quiet(head, &octets[head.len..], aliases) {
                    return Some(self.fail(fault));
                }
                continue;
            }
            let body = &buf.take(head.total())[head.len..];
            let event = match head.packet {
                PacketType::Publish => self.published(head.flags, body, aliases).map(Event::Message),
                _ => self.event(head, body),
            };
            return Some(event.unwrap_or_else(|fault| self.fail(fault)));
        }
    }

    /// What is to be told and came with no octets.
    fn poll_event(&mut self) -> Option<Event<'static>> {
        if let Some((id, reason)) = self.rejected.take() {
            return Some(Event::Acked(id, reason));
        }
        let id = self.first_lost()?;
        self.store.remove(id);
        self.old -= 1;
        self.lose_no_more();
        Some(Event::Lost(id))
    }

    /// Once all that is lost was told.
    fn lose_no_more(&mut self) {
        if self.first_lost().is_none() {
            (self.losing, self.old) = (Losing::Nothing, 0);
        }
    }

    /// The first entry from before this connection that gets no answer any more.
    fn first_lost(&self) -> Option<PacketId> {
        if self.losing == Losing::Nothing {
            return None;
        }
        let old = (0..self.old).map_while(|place| self.store.at(place));
        let mut lost = old.filter(|entry| match entry.kept {
            Kept::Subscribe | Kept::Unsubscribe => true,
            _ if self.losing != Losing::Session => false,
            Kept::Release => true,
            Kept::AtLeastOnce | Kept::ExactlyOnce => is_dup(entry.packet),
        });
        lost.next().map(|entry| entry.id)
    }

    fn scan(&mut self, bytes: &[u8], buffer_limit: usize) -> Result<Option<Head>, Fault> {
        if bytes.len() as u32 != self.partial {
            if !bytes.is_empty() {
                self.last_received = self.now;
            }
            self.partial = bytes.len() as u32;
        }
        if bytes.is_empty() || self.owed.is_full() {
            return Ok(None);
        }
        if self.phase == Phase::Connecting {
            let Some(packet) = PacketType::from_number(bytes[0] >> 4) else {
                return Err(Fault::ReservedType(0));
            };
            let fine = matches!(packet, PacketType::ConnAck | PacketType::Auth);
            if !fine {
                return Err(Fault::Unexpected { packet, context: "before CONNACK" }); // [MQTT-3.2.0-1]
            }
        }
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        let limit = u32::try_from(buffer_limit).unwrap_or(u32::MAX).min(self.config.max_packet);
        if head.total() > limit as usize {
            return Err(Fault::PacketTooLarge { packet: head.packet, size: head.total() as u32, limit });
        }
        Ok((bytes.len() >= head.total()).then_some(head))
    }

    /// Whether the whole packet at the front of `bytes` tells the application nothing.
    fn is_quiet(&self, head: &Head, bytes: &[u8]) -> bool {
        let body = &bytes[head.len..head.total()];
        match head.packet {
            PacketType::PingResp | PacketType::PubRel => true,
            PacketType::PubRec if body.get(2).is_none_or(|reason| *reason < 0x80) => true,
            PacketType::PubAck | PacketType::PubRec | PacketType::PubComp => {
                let id = body.first_chunk().and_then(|id| PacketId::new(u16::from_be_bytes(*id)));
                id.is_none_or(|id| !self.completes(head.packet, id))
            }
            // A message that was received before.
            PacketType::Publish => self.is_repeated(head.flags, body),
            _ => false,
        }
    }

    /// Whether a PUBACK, PUBCOMP or PUBREC that refuses is the end of something that was sent.
    fn completes(&self, packet: PacketType, id: PacketId) -> bool {
        let due = match packet {
            PacketType::PubAck => Kept::AtLeastOnce,
            PacketType::PubRec => Kept::ExactlyOnce,
            _ => Kept::Release,
        };
        self.store.find(id).is_some_and(|(place, kept)| place < self.sent && kept == due)
    }

    fn is_repeated(&self, flags: u8, body: &[u8]) -> bool {
        if Qos::from_number(flags >> 1 & 3) != Some(Qos::ExactlyOnce) {
            return false;
        }
        let topic = body.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
        let id = body.get(2 + topic..).and_then(<[u8]>::first_chunk).map(|id| u16::from_be_bytes(*id));
        id.and_then(PacketId::new).is_some_and(|id| self.store.has_received(id))
    }

    /// A packet that tells the application nothing.
    fn quiet(&mut self, head: Head, body: &[u8], aliases: &mut impl Aliases) -> Result<(), Fault> {
        match Packet::decode_body(self.config.version, head.packet, head.flags, body)? {
            Packet::PingResp => self.pinged_at = None,
            Packet::Ack(ack) => match ack.kind {
                AckKind::PubRec if !ack.reason.is_error() => self.received(ack),
                AckKind::PubRel => {
                    // [MQTT-4.3.3-11]
                    let known = self.store.forget_received(ack.id);
                    self.owed.push(AckKind::PubComp, ack.id, known);
                }
                AckKind::PubAck | AckKind::PubRec | AckKind::PubComp => {} // of nothing that is in flight
            },
            Packet::Publish(publish) => {
                // [MQTT-4.3.3-10]
                if let Some(alias) = publish.topic_alias() {
                    resolve(publish.topic, alias, self.config.topic_alias_maximum, aliases)?;
                }
                if let Some(id) = publish.id() {
                    self.count_received()?;
                    self.owed.push(AckKind::PubRec, id, true);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// PUBREC ([MQTT-4.3.3-4], [MQTT-4.3.3-5]).
    fn received(&mut self, ack: Ack<'_>) {
        let known = match self.store.find(ack.id) {
            Some((place, Kept::ExactlyOnce)) if place < self.sent => {
                self.store.release(ack.id);
                true
            }
            Some((place, Kept::Release)) => place < self.sent,
            _ => false,
        };
        self.owed.push(AckKind::PubRel, ack.id, known);
    }

    fn event<'b>(&mut self, head: Head, body: &'b [u8]) -> Result<Event<'b>, Fault> {
        let packet = head.packet;
        match Packet::decode_body(self.config.version, packet, head.flags, body)? {
            Packet::ConnAck(_) if self.phase == Phase::Open => {
                Err(Fault::Unexpected { packet, context: "a second time" }) // [MQTT-3.2.0-2]
            }
            Packet::ConnAck(ack) => self.connected(ack),
            Packet::Ack(ack) => Ok(self.completed(ack)),
            Packet::SubAck(ack) => {
                self.answered(packet, ack.id, Kept::Subscribe, Some(ack.reasons.len()))?;
                Ok(Event::SubAck(ack))
            }
            Packet::UnsubAck(ack) => {
                let count = self.config.version.is_v5().then_some(ack.reasons.len());
                self.answered(packet, ack.id, Kept::Unsubscribe, count)?;
                Ok(Event::UnsubAck(ack))
            }
            Packet::Auth(auth) => self.server_authenticates(auth),
            Packet::Disconnect(disconnect) => self.dismissed(disconnect),
            _ => Err(Fault::Unexpected { packet, context: "from a server" }),
        }
    }

    /// PUBACK, PUBCOMP, or a PUBREC that refuses.
    fn completed(&mut self, ack: Ack<'_>) -> Event<'static> {
        if let Some((place, _)) = self.store.find(ack.id).filter(|(place, _)| *place < self.sent) {
            self.forget(ack.id, place);
        }
        self.tx_in_flight = self.tx_in_flight.saturating_sub(1); // §4.9
        Event::Acked(ack.id, ack.reason)
    }

    /// [MQTT-3.8.4-2], [MQTT-3.8.4-6], [MQTT-3.9.3-1]; [MQTT-3.10.4-4], [MQTT-3.11.3-1]
    fn answered(
        &mut self,
        packet: PacketType,
        id: PacketId,
        due: Kept,
        count: Option<usize>,
    ) -> Result<(), Fault> {
        let entry = self.store.find(id).filter(|(_, kept)| *kept == due);
        let Some((place, entry)) = entry.and_then(|(place, _)| Some((place, self.store.at(place)?))) else {
            return Err(Fault::Protocol { packet, what: "answers nothing that was asked" });
        };
        let asked = entry.packet.first_chunk().map(|count| u32::from_le_bytes(*count) as usize);
        if count.is_some_and(|count| asked != Some(count)) {
            return Err(Fault::Protocol { packet, what: "not one reason code for each filter" });
        }
        self.forget(id, place);
        Ok(())
    }

    fn forget(&mut self, id: PacketId, place: usize) {
        self.store.remove(id);
        if place < self.sent {
            self.sent -= 1;
        }
        if place < self.old {
            self.old -= 1;
        }
    }

    fn connected<'b>(&mut self, ack: ConnAck<'b>) -> Result<Event<'b>, Fault> {
        let packet = PacketType::ConnAck;
        if ack.reason.is_error() {
            self.end(By::Remote, Some(ack.reason), "");
            self.dismissed = true;
            return Ok(Event::Refused(ack));
        }
        if ack.session_present && self.clean_start {
            // [MQTT-3.2.2-2], [MQTT-3.2.2-4]
            return Err(Fault::Protocol {
                packet,
                what: "a session is present, though a new one was asked for",
            });
        }
        for property in ack.properties.iter() {
            match property {
                Property::ReceiveMaximum(maximum) => self.tx_maximum = maximum,
                Property::MaximumPacketSize(size) => self.tx_max_packet = size,
                Property::TopicAliasMaximum(maximum) => self.tx_aliases = maximum,
                Property::ServerKeepAlive(seconds) => self.keep_alive = seconds, // [MQTT-3.1.2-21]
                Property::MaximumQos(qos) => self.maximum_qos = qos,
                Property::RetainAvailable(available) => self.retain_available = available,
                _ => {}
            }
        }
        if method(&ack.properties) != 0 && method(&ack.properties) != self.auth_method {
            return Err(Fault::AuthMethod { packet }); // [MQTT-4.12.0-5]
        }
        if !ack.session_present {
            self.store.clear_received(); // [MQTT-3.2.2-5]
        }
        // What a connection before this one has lost was told before this packet was looked at.
        self.losing = if ack.session_present { Losing::Requests } else { Losing::Session };
        self.old = self.store.len();
        self.lose_no_more();
        self.phase = Phase::Open;
        self.step = Step::None;
        self.life.opened();
        Ok(Event::Connected(ack))
    }

    fn published<'b>(
        &mut self,
        flags: u8,
        body: &'b [u8],
        aliases: &'b mut impl Aliases,
    ) -> Result<Publish<'b>, Fault> {
        let mut publish = Publish::read_body(flags, body, self.config.version)?;
        if let Some(alias) = publish.topic_alias() {
            publish.topic = resolve(publish.topic, alias, self.config.topic_alias_maximum, aliases)?;
        }
        let Some(id) = publish.id() else { return Ok(publish) };
        self.count_received()?;
        let once = publish.qos() == Qos::ExactlyOnce;
        if self.config.manual_ack {
            return Ok(publish);
        }
        if once && !self.store.receive(id) {
            return Err(Fault::ReceiveMaximum { limit: self.store.receive_capacity() });
        }
        self.owed.push(if once { AckKind::PubRec } else { AckKind::PubAck }, id, true);
        Ok(publish)
    }

    /// [MQTT-3.3.4-9]; 3.1.1 has no such limit.
    fn count_received(&mut self) -> Result<(), Fault> {
        if self.config.version.is_v5() {
            if self.rx_in_flight >= self.rx_maximum {
                return Err(Fault::ReceiveMaximum { limit: self.rx_maximum });
            }
            self.rx_in_flight += 1;
        }
        Ok(())
    }

    fn server_authenticates<'b>(&mut self, auth: Auth<'b>) -> Result<Event<'b>, Fault> {
        let packet = PacketType::Auth;
        let due = match auth.reason {
            ReasonCode::ContinueAuthentication => true,
            ReasonCode::Success => self.phase == Phase::Open,
            _ => false,
        };
        if self.auth_method == 0 || self.step != Step::Server || !due {
            // [MQTT-4.12.0-1], [MQTT-4.12.0-6]
            return Err(Fault::Protocol { packet, what: "not the step of the authentication that is due" });
        }
        if auth.properties.contains(PropertyId::AuthMethod) && method(&auth.properties) != self.auth_method {
            return Err(Fault::AuthMethod { packet }); // [MQTT-4.12.0-5]
        }
        self.step = if auth.reason == ReasonCode::Success { Step::None } else { Step::Ours };
        Ok(Event::Auth(auth))
    }

    fn dismissed<'b>(&mut self, disconnect: Disconnect<'b>) -> Result<Event<'b>, Fault> {
        let packet = PacketType::Disconnect;
        if !self.config.version.is_v5() {
            return Err(Fault::Unexpected { packet, context: "from a server" });
        }
        if !disconnect.reason.is_allowed(packet, Side::Server) {
            return Err(Fault::Protocol { packet, what: "a reason code that only clients give" });
        }
        if disconnect.properties.contains(PropertyId::SessionExpiry) {
            let property = PropertyId::SessionExpiry; // [MQTT-3.14.2-2]
            return Err(Fault::PropertyValue { packet, property, what: "comes from a client only" });
        }
        self.end(By::Remote, Some(disconnect.reason), "");
        self.dismissed = true;
        Ok(Event::Disconnect(disconnect))
    }

    /// The method of CONNECT.
    pub(super) fn note_method(&mut self, property: Option<Property<'_>>) {
        self.auth_method = match property {
            Some(Property::AuthMethod(method)) => digest(method),
            _ => 0,
        };
        self.step = if self.auth_method == 0 { Step::None } else { Step::Server };
    }
}

/// Whether a PUBLISH says that it was sent before.
fn is_dup(packet: &[u8]) -> bool {
    matches!(packet, [first, ..] if *first & 1 << 3 != 0)
}
