//! PUBLISH and what settles it, from a client (§3.3 to §3.7, §4.3).

use super::super::connection::Turn;
use super::super::plugins::reason_of;
use super::Connection;
use super::deliver::Answer;
use crate::buf::SendBuf;
use crate::endpoint::bridge::{self, Flags};
use crate::hub::{PublishOutcome, Quality, Refusal, SessionKey};
use crate::mqtt::{Ack, AckKind, PacketId, Publish, Qos, ReasonCode};
use crate::status::Status;

impl Connection {
    #[inline]
    pub(super) fn published(&mut self, turn: &mut Turn<'_>, publish: &Publish<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        turn.server.traffic.published(self.dialect());
        let done = self.offer(turn, hub, publish);
        let Some(id) = publish.id() else { return };
        let kind = if publish.qos() == Qos::ExactlyOnce { AckKind::PubRec } else { AckKind::PubAck };
        let (reason, commit) = match done {
            Ok(outcome) => {
                // Of one that is known under its identifier, who subscribed is not looked at again.
                let nobody = outcome.matched == 0 && !outcome.duplicate;
                let reason = if nobody { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
                (reason, outcome.commit)
            }
            Err(reason) if self.line.version().is_v5() => (reason, None),
            Err(ReasonCode::QuotaExceeded) => {
                return self.end_with(turn, ReasonCode::ServerBusy, "the store takes nothing at present");
            }
            Err(_) => (ReasonCode::Success, None),
        };
        self.answer(turn, commit, Answer::Ack(kind, id, reason), out);
    }

    #[inline]
    fn offer(
        &self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        publish: &Publish<'_>,
    ) -> Result<PublishOutcome, ReasonCode> {
        let now = turn.now;
        if turn.server.config.mqtt.check_payload_format && !publish.payload_is_as_told() {
            return Err(ReasonCode::PayloadFormatInvalid);
        }
        if publish.topic.starts_with('$')
            && let Some(request) = turn.server.replies.parse(publish.topic)
        {
            return Ok(reply(turn, hub, request, publish));
        }
        let flags = Flags { quality: Quality::from_number(publish.qos().number()), retain: publish.retain };
        let message = bridge::from_mqtt(now, publish.topic, publish.payload, flags, publish.properties);
        let message = message.ok_or(ReasonCode::ImplementationSpecificError)?;
        let message = turn.entering(hub, self.dialect(), message);
        let server = &mut *turn.server;
        let done = match publish.id().filter(|_| publish.qos() == Qos::ExactlyOnce) {
            Some(id) => server.hub.publish_once(now, hub, id.get(), message),
            None => server.hub.publish(now, hub, message, None),
        };
        done.map_err(|refusal| match refusal {
            Refusal::NotAuthorized => ReasonCode::NotAuthorized,
            Refusal::Plugin(why) if self.line.version().is_v5() => reason_of(why.status),
            Refusal::Topic(_) => ReasonCode::TopicNameInvalid,
            Refusal::Store | Refusal::Quota(_) => ReasonCode::QuotaExceeded,
            _ => ReasonCode::ImplementationSpecificError,
        })
    }

    /// What the client says about what was sent to it; or PUBREL, about what it sent.
    #[inline]
    pub(super) fn acknowledged(&mut self, turn: &mut Turn<'_>, ack: &Ack<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        let (id, now) = (ack.id.get(), turn.now);
        match ack.kind {
            // [MQTT-4.3.3-4]: refused, so there is nothing to release; a task is given back.
            AckKind::PubAck | AckKind::PubRec if ack.reason.is_error() => {
                let _ = turn.server.hub.reject(now, hub, id);
            }
            // One that is not known was settled before.
            AckKind::PubAck | AckKind::PubComp => {
                let _ = turn.server.hub.settle(now, hub, id);
            }
            AckKind::PubRec => {
                let known = turn.server.hub.received(now, hub, id).unwrap_or_default();
                self.step(turn, hub, (AckKind::PubRel, ack.id, known), out);
            }
            AckKind::PubRel => {
                let known = turn.server.hub.forget_received(now, hub, id).unwrap_or_default();
                self.step(turn, hub, (AckKind::PubComp, ack.id, known), out);
            }
        }
    }

    /// PUBREL or PUBCOMP, for an identifier that may not be known.
    fn step(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        (kind, id, known): (AckKind, PacketId, bool),
        out: &mut impl SendBuf,
    ) {
        // Where a session goes on, a message that is not known was released, and PUBCOMP lost with the
        // connection. That is no error (§3.7.2.1), and clients take the code for one.
        let settled = known || self.resumed && kind == AckKind::PubComp;
        let reason = if settled { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        // One that is said again is not known any more before the store knows it.
        let commit = turn.server.hub.uncommitted(hub);
        self.answer(turn, commit, Answer::Ack(kind, id, reason), out);
    }
}

/// An answer to a request that the client was handed, if it is one that waits.
fn reply(
    turn: &mut Turn<'_>,
    hub: SessionKey,
    request: Option<u64>,
    publish: &Publish<'_>,
) -> PublishOutcome {
    let answer = bridge::answer_from_mqtt(publish.payload, publish.properties);
    let taken = request.zip(answer).is_some_and(|(id, answer)| {
        turn.server.hub.respond(turn.now, hub, id, Status::Ok, false, answer).is_ok()
    });
    PublishOutcome { matched: u32::from(taken), ..PublishOutcome::default() }
}
