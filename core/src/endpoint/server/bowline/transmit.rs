//! What a connection has to send: what its session owes, then what the hub has for it.

use alloc::boxed::Box;

use super::super::connection::Turn;
use super::super::event::Dialect;
use super::super::inflating::Accepted;
use super::super::tracing;
use super::rooms::{batch_of, has_place, send_joined, send_message};
use super::{Connection, Later};
use crate::buf::SendBuf;
use crate::hub::{Delivery, NOTICE, SessionKey, Take};
use crate::session::{
    Code, Drain, Forward, Message, Properties, Request, Response, SendError, Session, Transport,
};
use crate::time::Instant;

impl Connection {
    /// Puts into `out` what is owed to this connection's peer, as far as there is room, and says
    /// what the transport owes.
    ///
    /// A connection that is not known (any more) is to be dropped.
    pub(in super::super) fn poll_transmit(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
    ) -> Transport {
        self.say_drain(turn, out);
        if core::mem::take(&mut self.slow) {
            self.end(turn, Code::SlowConsumer, "you take less than you are sent");
        }
        self.accept_committed(turn);
        let transport = self.session.poll_transmit(turn.now, out);
        if let Some(hub) = self.hub.filter(|_| self.session.is_open()) {
            // Messages go first, but not every time.
            let waited = self.later.as_ref().is_some_and(|later| later.tunnels_waited);
            if waited {
                self.transmit_tunnels(turn, out);
            }
            self.deliver(turn, hub, out);
            self.replay(turn, hub, out);
            if !waited {
                self.transmit_tunnels(turn, out);
            }
        }
        transport
    }

    fn deliver(&mut self, turn: &mut Turn<'_>, hub: SessionKey, out: &mut impl SendBuf) {
        let Self { session, later, .. } = self;
        let now = turn.now;
        if later.as_mut().is_some_and(|later| !later.presence.flush(now, session, out)) {
            return;
        }
        // Whether the last that was offered can never be sent to this peer (it is too large).
        let mut never = false;
        let lent = turn.server.lend(Accepted::by(session));
        let to = (turn.key, hub);
        let drained = tracing::drain(lent, now, to, Dialect::Bowline, |delivery| {
            // What follows comes behind it.
            if later.as_ref().is_some_and(|later| !later.presence.is_empty()) {
                return Take::Blocked;
            }
            let sent = send(now, session, delivery, later, out);
            never = sent.is_err_and(|e| !e.is_blocked());
            match sent {
                Ok(taken) => taken,
                Err(_) if never => Take::Never,
                Err(_) => Take::Blocked,
            }
        });
        debug_assert!(drained.is_ok(), "an attached session can be drained");
        turn.server.delivered(hub, Dialect::Bowline, drained.map_or(0, |d| d.taken));
        // What an earlier connection was handed has a number: there is no way around it.
        if never && drained.is_ok_and(|d| d.blocked) {
            self.end(turn, Code::FrameTooLarge, "a message for you is larger than you take");
        }
    }

    /// END-6: DRAIN, once, to a session that is open.
    fn say_drain(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) {
        if turn.server.draining.is_none() || self.session.is_draining() || !self.session.is_open() {
            return;
        }
        let retry_after = turn.server.draw_retry().unwrap_or_default();
        let Some(draining) = &turn.server.draining else { return };
        let deadline = draining.until.saturating_since(turn.now);
        let drain = Drain { deadline, retry_after, endpoint: &draining.endpoint };
        // Without room it is said the next time.
        let _ = self.session.drain(turn.now, out, &drain);
    }

    /// A client that takes no new work, and has acknowledged all, is let go (END-8).
    pub(super) fn finish_drained(&mut self, turn: &mut Turn<'_>) {
        if !self.session.is_peer_draining() || self.session.is_ended() {
            return;
        }
        let (acked, sent) = self.hub.and_then(|hub| turn.server.hub.reliable(hub)).unwrap_or_default();
        if sent == acked && !self.has_tunnels() {
            self.end(turn, Code::GoingAway, "drained");
        }
    }
}

fn send(
    now: Instant,
    session: &mut Session,
    delivery: &Delivery<'_>,
    later: &mut Option<Box<Later>>,
    out: &mut impl SendBuf,
) -> Result<Take, SendError> {
    let sent = match *delivery {
        Delivery::Message { sid, message, place: Some(place), .. } if has_place(session, message) => {
            return send_message(now, session, sid, message, place, out).map(Take::Sized);
        }
        // MSG-1: to this session itself.
        Delivery::Message { sid: NOTICE, message, .. } => {
            let (topic, payload) = (message.topic(), message.payload());
            let properties = Properties::of_body(message.props());
            let notice = Message { topic, payload, properties, reliable: false, retain: false };
            session.publish(now, out, &notice)
        }
        Delivery::Message { sid, message, quality, retain, .. } => {
            let forward = Forward {
                subscription: sid,
                reliable: quality.is_reliable(),
                retain,
                has_properties: message.has_props(),
                body: message.body(),
            };
            let beside = later.as_mut().and_then(|later| later.datagrams.as_mut());
            if let Some(datagrams) = beside.filter(|_| !forward.reliable && !retain) {
                let forward = Forward {
                    subscription: sid,
                    reliable: false,
                    retain,
                    has_properties: message.has_props(),
                    body: &message.body()[..],
                };
                if datagrams.send(session, &forward, message.topic()) {
                    return Ok(Take::Taken);
                }
            }
            session.forward_shared(now, out, &forward)
        }
        Delivery::Request { id, sid, timeout, message, .. } => {
            let request = Request {
                id,
                subscription: sid,
                timeout,
                many: false,
                topic: message.topic(),
                payload: message.payload(),
                properties: Properties::of_body(message.props()),
            };
            session.request(now, out, &request)
        }
        Delivery::Response { id, status, more, message } => {
            let properties = Properties::of_body(message.props());
            let response = Response { id, status, more, payload: message.payload(), properties };
            session.respond(now, out, &response)
        }
        Delivery::Cancel { id } => session.cancel(now, out, id),
        Delivery::Joined { sid, joined, members, presence: mode, .. } => {
            let mut batch = send_joined(now, session, sid, &joined, &members, mode, out)?;
            if !batch.flush(now, session, out) {
                later.get_or_insert_default().presence = batch;
            }
            Ok(())
        }
        Delivery::Presence { sid, change } => {
            let mut batch = batch_of(sid, &change);
            if !batch.flush(now, session, out) {
                later.get_or_insert_default().presence = batch;
            }
            Ok(())
        }
        // Only of sessions that settle by ids.
        Delivery::Release { .. } => Ok(()),
    };
    sent.map(|()| Take::Taken)
}
