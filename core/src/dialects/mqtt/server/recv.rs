//! Octets in, events out.

use core::time::Duration;

use super::super::both::{digest, method, resolve};
use super::super::{
    Aliases, Auth, Connect, Disconnect, Fault, Head, Packet, PacketType, Property, PropertyId, Publish, Qos,
    ReasonCode, Side, Version,
};
use super::event::Event;
use super::{Again, Phase, Server};
use crate::buf::RecvBuf;
use crate::lifecycle::By;
use crate::time::Instant;

impl Server {
    /// Consumes whole packets from `buf` up to the next event, which borrows the buffer and `aliases`:
    /// the same ones in each call, and new ones for a new connection ([MQTT-3.3.2-7]).
    ///
    /// Call it until it returns nothing, whenever octets came, after
    /// [`handle_timeout`](Server::handle_timeout), and when `Connect` or `Auth` was answered; then
    /// [`poll_transmit`](Server::poll_transmit). A call takes time in the length of what it consumes.
    #[inline]
    pub fn recv<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut impl RecvBuf,
        aliases: &'b mut impl Aliases,
    ) -> Option<Event<'b>> {
        self.tick(now);
        let head = loop {
            if self.is_ended() {
                buf.take(usize::MAX);
                return self.poll_closed();
            }
            match self.scan(buf.filled(), buf.limit()) {
                Ok(Some(Head { packet: PacketType::PingReq, remaining: 0, len, .. }))
                    if self.phase == Phase::Open =>
                {
                    buf.take(len);
                    self.pings = self.pings.saturating_add(1); // [MQTT-3.12.4-1]
                }
                Ok(Some(head)) => break head,
                Ok(None) => return None,
                Err(fault) => {
                    self.note_version(buf.filled());
                    buf.take(usize::MAX);
                    return Some(self.fail(fault));
                }
            }
        };
        let octets = buf.take(head.total());
        if self.phase == Phase::Connect {
            self.note_version(octets);
        }
        let body = &octets[head.len..];
        let event = if head.packet == PacketType::Publish && self.phase == Phase::Open {
            self.published(head.flags, body, aliases).map(Event::Publish)
        } else {
            self.event(head, body)
        };
        match event {
            Ok(event) => Some(event),
            Err(fault) => Some(self.fail(fault)),
        }
    }

    /// Looks at the front of what was received, and checks all that can be known from there before
    /// the rest of a packet is waited for.
    #[inline]
    fn scan(&mut self, bytes: &[u8], buffer_limit: usize) -> Result<Option<Head>, Fault> {
        if bytes.len() as u32 != self.partial {
            if !bytes.is_empty() {
                self.watch.on_received(self.now);
            }
            self.partial = bytes.len() as u32;
        }
        if bytes.is_empty() || self.phase == Phase::Deciding {
            return Ok(None);
        }
        if self.phase != Phase::Open {
            self.check_first(bytes[0])?;
        }
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        let most = if self.phase == Phase::Open { self.rx_max_packet } else { self.rx_max_connect };
        let limit = u32::try_from(buffer_limit).unwrap_or(u32::MAX).min(most);
        if head.total() > limit as usize {
            // [MQTT-3.2.2-15]
            return Err(Fault::PacketTooLarge { packet: head.packet, size: head.total() as u32, limit });
        }
        Ok((bytes.len() >= head.total()).then_some(head))
    }

    /// What may come before the connection is established.
    fn check_first(&self, octet: u8) -> Result<(), Fault> {
        let Some(packet) = PacketType::from_number(octet >> 4) else { return Err(Fault::ReservedType(0)) };
        match (self.phase, packet) {
            (Phase::Connect, PacketType::Connect) => Ok(()),
            // [MQTT-3.1.0-1]
            (Phase::Connect, _) => Err(Fault::Unexpected { packet, context: "before CONNECT" }),
            (_, PacketType::Auth | PacketType::Disconnect) => Ok(()),
            // [MQTT-3.1.0-2]; [MQTT-3.1.2-30]
            _ => Err(Fault::Unexpected { packet, context: "while an authentication is under way" }),
        }
    }

    /// The version of a CONNECT that may be malformed otherwise, so that its sender can be told.
    fn note_version(&mut self, octets: &[u8]) {
        if self.phase != Phase::Connect {
            return;
        }
        let Ok(Some(head)) = Head::read(octets) else { return };
        if octets[head.len..].starts_with(b"\0\x04MQTT\x05") {
            self.version = Version::V5;
        }
    }

    /// Any packet but a message.
    #[inline(never)]
    fn event<'b>(&mut self, head: Head, body: &'b [u8]) -> Result<Event<'b>, Fault> {
        let wrong = |context| Err(Fault::Unexpected { packet: head.packet, context });
        if self.phase == Phase::Open && head.packet == PacketType::Connect {
            return wrong("a second time"); // [MQTT-3.1.0-2]
        }
        match Packet::decode_body(self.version, head.packet, head.flags, body)? {
            Packet::Connect(connect) => self.connected(connect),
            Packet::Ack(ack) => Ok(Event::Ack(ack)),
            Packet::Subscribe(subscribe) => Ok(Event::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => Ok(Event::Unsubscribe(unsubscribe)),
            Packet::Disconnect(disconnect) => self.client_leaves(disconnect),
            Packet::Auth(auth) => self.client_authenticates(auth),
            // Neither comes here; both are answered before.
            Packet::Publish(_) | Packet::PingReq => wrong("before the connection is established"),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                wrong("from a client")
            }
        }
    }

    fn connected<'b>(&mut self, connect: Connect<'b>) -> Result<Event<'b>, Fault> {
        self.version = connect.version;
        self.phase = Phase::Deciding;
        self.keep_alive = connect.keep_alive;
        if connect.version == Version::V311 {
            self.rx_aliases = 0;
            // [MQTT-3.1.3-8] of 3.1.1
            if connect.client_id.is_empty() && !connect.clean_start {
                return Err(Fault::ClientId);
            }
            self.session_expiry = u32::MAX;
        }
        for property in connect.properties.iter() {
            match property {
                Property::SessionExpiry(seconds) => self.session_expiry = seconds,
                Property::ReceiveMaximum(maximum) => self.tx_maximum = maximum,
                Property::MaximumPacketSize(size) => self.tx_max_packet = size,
                Property::TopicAliasMaximum(maximum) => self.tx_aliases = maximum,
                Property::RequestProblemInformation(wanted) => self.explain = wanted,
                Property::RequestResponseInformation(wanted) => self.respond = wanted,
                Property::AuthMethod(method) => self.auth_method = digest(method),
                _ => {}
            }
        }
        if let Some(will) = &connect.will {
            // [MQTT-3.2.2-12], [MQTT-3.2.2-13]
            self.check_message(PacketType::Connect, will.qos, will.retain)?;
        }
        Ok(Event::Connect(connect))
    }

    /// [MQTT-3.2.2-11], [MQTT-3.2.2-14]
    #[inline]
    fn check_message(&self, packet: PacketType, qos: Qos, retain: bool) -> Result<(), Fault> {
        if qos > self.maximum_qos {
            return Err(Fault::QosNotSupported { packet, qos: qos.number(), max: self.maximum_qos.number() });
        }
        if retain && !self.retain_available {
            return Err(Fault::RetainNotSupported { packet });
        }
        Ok(())
    }

    #[inline]
    fn published<'b>(
        &mut self,
        flags: u8,
        body: &'b [u8],
        aliases: &'b mut impl Aliases,
    ) -> Result<Publish<'b>, Fault> {
        let packet = PacketType::Publish;
        let mut publish = Publish::read_body(flags, body, self.version)?;
        self.check_message(packet, publish.qos(), publish.retain)?;
        if self.version == Version::V5 {
            if publish.qos() != Qos::AtMostOnce {
                if self.rx_in_flight >= self.rx_maximum {
                    return Err(Fault::ReceiveMaximum { limit: self.rx_maximum }); // [MQTT-3.3.4-7]
                }
                self.rx_in_flight += 1;
            }
            if publish.properties.contains(PropertyId::SubscriptionIdentifier) {
                let property = PropertyId::SubscriptionIdentifier;
                let what = "comes from a server only"; // [MQTT-3.3.4-6]
                return Err(Fault::PropertyValue { packet, property, what });
            }
            if let Some(alias) = publish.topic_alias() {
                publish.topic = resolve(publish.topic, alias, self.rx_aliases, aliases)?;
            }
        }
        Ok(publish)
    }

    /// [MQTT-3.14.4-3], [MQTT-3.14.1-1]
    fn client_leaves<'b>(&mut self, disconnect: Disconnect<'b>) -> Result<Event<'b>, Fault> {
        let packet = PacketType::Disconnect;
        if !disconnect.reason.is_allowed(packet, Side::Client) {
            return Err(Fault::Protocol { packet, what: "a reason code that only servers give" });
        }
        if disconnect.properties.contains(PropertyId::ServerReference) {
            let property = PropertyId::ServerReference;
            return Err(Fault::PropertyValue { packet, property, what: "comes from a server only" });
        }
        let expiry = disconnect.properties.get(PropertyId::SessionExpiry);
        if self.session_expiry == 0 && matches!(expiry, Some(Property::SessionExpiry(1..))) {
            let property = PropertyId::SessionExpiry; // §3.14.2.2.2
            let what = "must not be raised from 0";
            return Err(Fault::PropertyValue { packet, property, what });
        }
        self.end(By::Remote, Some(disconnect.reason), "");
        self.disconnected = true;
        Ok(Event::Disconnect(disconnect))
    }

    fn client_authenticates<'b>(&mut self, auth: Auth<'b>) -> Result<Event<'b>, Fault> {
        let packet = PacketType::Auth;
        if self.auth_method == 0 {
            // [MQTT-4.12.0-6], [MQTT-4.12.0-7]
            return Err(Fault::Protocol { packet, what: "CONNECT named no authentication method" });
        }
        if method(&auth.properties) != self.auth_method {
            return Err(Fault::AuthMethod { packet }); // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
        }
        let next = match (self.phase, self.again, auth.reason) {
            (Phase::Auth, _, ReasonCode::ContinueAuthentication) => {
                self.phase = Phase::Deciding;
                return Ok(Event::Auth(auth));
            }
            (Phase::Open, Again::No, ReasonCode::ReAuthenticate)
            | (Phase::Open, Again::Auth, ReasonCode::ContinueAuthentication) => Again::Deciding,
            // [MQTT-4.12.0-3]
            _ => {
                return Err(Fault::Protocol {
                    packet,
                    what: "not the step of the authentication that is due",
                });
            }
        };
        self.again = next;
        Ok(Event::Auth(auth))
    }

    /// The keep alive in force begins.
    pub(super) fn begin_keep_alive(&mut self) {
        let seconds = u64::from(self.keep_alive());
        self.watch.set_every(self.now, Some(Duration::from_secs(seconds)));
    }
}
