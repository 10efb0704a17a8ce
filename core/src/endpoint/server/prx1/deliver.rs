//! What a connection has to send: answers that were owed, then what the hub has for it.

use super::super::connection::Turn;
use super::super::event::Dialect;
use super::super::inflating::Accepted;
use super::super::tracing;
use super::queue::PREFIX;
use super::{Acknowledgement, Connection};
use crate::buf::SendBuf;
use crate::hub::{Delivery, SessionKey, Take};
use crate::lifecycle::Transport;
use crate::prx1::{PacketId, Publish, SendError, Server as Line};
use crate::session::Code;
use crate::time::Instant;

/// The hub's ids go up to 65,535, which is none in PRX1: this one stands in for it. They are given
/// in a circle, so both are in flight together only if half of all ids are.
pub(super) const STAND_IN: u16 = 1 << 15;

/// From this many octets on, a payload goes by reference.
const SHARE_FROM: usize = 4096;

impl Connection {
    pub(in super::super) fn poll_transmit(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
    ) -> Transport {
        if core::mem::take(&mut self.slow) {
            self.end(turn, Code::SlowConsumer, "it takes less than it is sent");
        }
        self.flush(turn, out);
        if let Some(hub) = self.hub.filter(|_| self.line.is_open()) {
            self.deliver(turn, hub, out);
            self.finish_drains(turn, hub);
            self.finish_drained(turn, hub);
        }
        self.line.poll_transmit(turn.now, out)
    }

    /// Puts what is due of what was owed.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        let Self { owed, line, .. } = self;
        if owed.flush(turn.server.hub.commits(), |answer| put(line, turn.now, *answer, out)) {
            turn.server.waiting.push(turn.key);
        }
    }

    fn deliver(&mut self, turn: &mut Turn<'_>, hub: SessionKey, out: &mut impl SendBuf) {
        let Self { line, queues, .. } = self;
        let now = turn.now;
        let lent = turn.server.lend(Accepted::NOTHING);
        let to = (turn.key, hub);
        let drained = tracing::drain(lent, now, to, Dialect::Prx1, |delivery| match *delivery {
            Delivery::Message { message, id, again, retain, .. } => {
                let id = PacketId::new(if id == u16::MAX { STAND_IN } else { id });
                let publish =
                    Publish { id, retain, dup: again, ..Publish::new(message.topic(), message.payload()) };
                let body = message.body();
                let task = publish.topic.strip_prefix(PREFIX);
                let publish = match (task, &queues) {
                    (Some(address), Some(queues)) => Publish { topic: queues.path(address), ..publish },
                    (Some(address), None) => Publish { topic: address, ..publish },
                    (None, _) => publish,
                };
                let sent = if publish.payload.len() < SHARE_FROM {
                    line.publish(now, out, &publish)
                } else {
                    let payload = body.slice(body.len() - publish.payload.len()..);
                    line.publish_shared(now, out, &publish, &payload)
                };
                if let (Ok(()), Some(address), Some(queues)) = (sent, task, &mut *queues) {
                    queues.handed_out(address);
                }
                match sent {
                    Ok(()) => Take::Taken,
                    Err(SendError::Blocked(_)) => Take::Blocked,
                    Err(_) => Take::Never,
                }
            }
            // PRX1 neither asks nor answers, and takes nothing exactly once.
            _ => Take::Never,
        });
        debug_assert!(drained.is_ok(), "an attached session can be drained");
        turn.server.delivered(hub, Dialect::Prx1, drained.map_or(0, |d| d.taken));
    }

    /// A server that drains lets a client go that has acknowledged all.
    fn finish_drained(&mut self, turn: &mut Turn<'_>, hub: SessionKey) {
        if turn.server.draining.is_none() || !self.owed.is_empty() {
            return;
        }
        let (acked, sent) = turn.server.hub.reliable(hub).unwrap_or_default();
        if acked == sent {
            self.end(turn, Code::GoingAway, "drained");
        }
    }
}

/// Whether an answer went out, or never will.
pub(super) fn put(line: &mut Line, now: Instant, answer: Acknowledgement, out: &mut impl SendBuf) -> bool {
    let done = match answer {
        Acknowledgement::Publish(id) => line.puback(now, out, id),
        Acknowledgement::Subscribe(id) => line.suback(now, out, id),
        Acknowledgement::Unsubscribe(id) => line.unsuback(now, out, id),
        Acknowledgement::Queue(status) => line.queue_ack(now, out, status),
    };
    !matches!(done, Err(SendError::Blocked(_)))
}
