//! What a connection has to send: answers that were owed, then what the hub has for it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::connection::Turn;
use super::super::inflating::Accepted;
use super::super::tracing;
use super::Connection;
use super::aliases::{SHORTEST, SentAliases};
use super::connect::ConnAck;
use crate::buf::{SendBuf, SharedSendBuf};
use crate::endpoint::bridge::ToMqtt;
use crate::hub;
use crate::hub::{Message, Quality, SessionKey, Take, identifier_of};
use crate::lifecycle::Transport;
use crate::mqtt::{
    Ack, AckKind, Delivery, Outgoing, PacketId, Payload, Properties, ReasonCode, ReasonCodes, SendError,
    Server as Line, SubAck, UnsubAck, Version,
};
use crate::session::Code;
use crate::time::Instant;

/// What a client's packet is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    ConnAck(Box<ConnAck>),
    Ack(AckKind, PacketId, ReasonCode),
    SubAck(PacketId, Box<[ReasonCode]>),
    UnsubAck(PacketId, Box<[ReasonCode]>),
}

impl Connection {
    pub(in super::super) fn poll_transmit(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
    ) -> Transport {
        if !self.owed.is_empty() {
            self.flush(turn, out);
        }
        if core::mem::take(&mut self.slow) {
            self.end(turn, Code::SlowConsumer, "you take less than you are sent");
        }
        let transport = self.line.poll_transmit(turn.now, out);
        match self.hub {
            Some(hub) if self.line.is_open() && self.subacks == 0 => {
                self.deliver(turn, hub, out);
                if turn.server.draining.is_some() && self.finish_drained(turn, hub, out) {
                    return self.line.poll_transmit(turn.now, out);
                }
                transport
            }
            _ => transport,
        }
    }

    /// Puts what is due of what was owed.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        let Self { owed, line, subacks, .. } = self;
        let wake = owed.flush(turn.server.hub.commits(), |answer| {
            let gone = put(line, turn.now, answer, out);
            *subacks -= u16::from(gone && matches!(answer, Answer::SubAck(..)));
            gone
        });
        if wake {
            turn.server.waiting.push(turn.key);
        }
    }

    /// Answers now, or in its turn.
    #[inline]
    pub(super) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        commit: Option<u64>,
        answer: Answer,
        out: &mut impl SendBuf,
    ) {
        turn.server.traffic.packets_sent += 1;
        if commit.is_none() && self.owed.is_empty() && put(&mut self.line, turn.now, &answer, out) {
            return;
        }
        self.subacks += u16::from(matches!(answer, Answer::SubAck(..)));
        self.owed.push(commit.unwrap_or(0), answer);
    }

    fn deliver(&mut self, turn: &mut Turn<'_>, hub: SessionKey, out: &mut impl SendBuf) {
        let dialect = self.dialect();
        let (line, now, replies) = (&mut self.line, turn.now, turn.server.replies);
        let most = line.topic_alias_maximum().min(turn.server.config.mqtt.topic_aliases);
        let mut to = Recipient { most, aliases: &mut self.sent_aliases, line, now };
        let lent = turn.server.lend(Accepted::NOTHING);
        let drained = tracing::drain(lent, now, (turn.key, hub), dialect, |delivery| match *delivery {
            hub::Delivery::Message { sid, others, message, quality, id, again, retain, .. } => {
                let delivery = match (quality, PacketId::new(id)) {
                    (Quality::AtLeastOnce, Some(id)) => Delivery::AtLeastOnce { id, dup: again },
                    (Quality::ExactlyOnce, Some(id)) => Delivery::ExactlyOnce { id, dup: again },
                    _ => Delivery::AtMostOnce,
                };
                let plain =
                    Outgoing { delivery, retain, ..Outgoing::new(message.topic_octets(), message.payload()) };
                taken(publish(&mut to, (sid, others), message, &plain, out))
            }
            // [MQTT-4.4.0-1]
            hub::Delivery::Release { id } => match PacketId::new(id) {
                Some(id) => taken(to.line.ack(now, out, &Ack::new(AckKind::PubRel, id))),
                None => Take::Never,
            },
            hub::Delivery::Request { id, sid, timeout, message, .. } => {
                let asked = ToMqtt::request(now, message, replies, id, timeout);
                let plain = Outgoing::new(message.topic_octets(), message.payload());
                taken(publish_specially(&mut to, (sid, &[]), message, &asked, &plain, out))
            }
            // Answers come as messages, and there is no word for the end of a request.
            _ => Take::Taken,
        });
        debug_assert!(drained.is_ok(), "an attached session can be drained");
        turn.server.delivered(hub, dialect, drained.map_or(0, |d| d.taken));
    }
}

/// To whom messages go.
struct Recipient<'a> {
    line: &'a mut Line,
    now: Instant,
    /// Topic aliases at most; 0: none.
    most: u16,
    aliases: &'a mut Option<Box<SentAliases>>,
}

impl Recipient<'_> {
    #[inline]
    fn send(&mut self, message: &Outgoing<'_>, out: &mut impl SendBuf) -> Result<(), SendError> {
        if self.most == 0 || message.topic.len() < SHORTEST {
            return self.line.publish(self.now, out, message);
        }
        self.send_aliased(message, out)
    }

    #[inline(never)]
    fn send_aliased(&mut self, message: &Outgoing<'_>, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Self { line, now, most, aliases } = self;
        let aliases = aliases.get_or_insert_with(|| Box::new(SentAliases::new(*most)));
        aliases.send(message, |outgoing| line.publish(*now, out, outgoing))
    }
}

#[inline]
fn taken(sent: Result<(), SendError>) -> Take {
    match sent {
        Ok(()) => Take::Taken,
        Err(SendError::TooLarge { .. } | SendError::Invalid(_)) => Take::Never, // [MQTT-3.1.2-25]
        Err(_) => Take::Blocked,
    }
}

#[inline]
fn publish(
    to: &mut Recipient<'_>,
    (sid, others): (u64, &[u64]),
    message: &Message,
    plain: &Outgoing<'_>,
    out: &mut impl SendBuf,
) -> Result<(), SendError> {
    let identified = identifier_of(sid) != 0 || !others.is_empty();
    let special = identified || message.has_props();
    if plain.payload.len() < SharedSendBuf::SHARE_FROM && !(special && to.line.version() == Version::V5) {
        return to.send(plain, out);
    }
    publish_specially(to, (sid, others), message, &ToMqtt::new(to.now, message), plain, out)
}

/// A message with properties, or a large one.
#[inline(never)]
fn publish_specially(
    to: &mut Recipient<'_>,
    (sid, others): (u64, &[u64]),
    message: &Message,
    properties: &ToMqtt<'_>,
    plain: &Outgoing<'_>,
    out: &mut impl SendBuf,
) -> Result<(), SendError> {
    let length = message.payload().len();
    let body = message.body();
    let large = (length >= SharedSendBuf::SHARE_FROM).then(|| body.slice(body.len() - length..));
    // [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5]
    let identifiers: Vec<u32> =
        [sid].iter().chain(others).map(|sid| identifier_of(*sid)).filter(|id| *id != 0).collect();
    let outgoing = Outgoing {
        payload: large.as_ref().map_or(plain.payload, Payload::Shared),
        expiry: properties.expiry(),
        subscriptions: &identifiers,
        properties: properties.properties(),
        ..*plain
    };
    to.send(&outgoing, out)
}

/// Whether an answer went out, or never will.
fn put(line: &mut Line, now: Instant, answer: &Answer, out: &mut impl SendBuf) -> bool {
    let properties = Properties::NONE;
    let done = match answer {
        Answer::ConnAck(welcome) => welcome.put(line, now, out),
        Answer::Ack(kind, id, reason) => {
            line.ack(now, out, &Ack { kind: *kind, id: *id, reason: *reason, properties })
        }
        Answer::SubAck(id, reasons) => {
            let reasons = ReasonCodes::list(reasons);
            line.suback(now, out, &SubAck { id: *id, properties, reasons })
        }
        Answer::UnsubAck(id, reasons) => {
            let reasons = ReasonCodes::list(reasons);
            line.unsuback(now, out, &UnsubAck { id: *id, properties, reasons })
        }
    };
    !done.is_err_and(|error| error.is_blocked())
}
