//! What a client says becomes commands to the hub.

use alloc::string::ToString;

use super::super::REPLY_ROOM;
use super::super::connection::Turn;
use super::super::event::Dialect;
use super::deliver::{STAND_IN, put};
use super::{Acknowledgement, Connection};
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::message;
use crate::hub::{Quality, Refusal, SubscribeOptions};
use crate::prx1::{PacketId, Publish, ServerEvent as Event, Subscribe};
use crate::session::Properties;

impl Connection {
    /// Handles all whole packets in `buf`. Says whether it stopped early.
    pub(in super::super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        // What is owed no longer makes room to read on.
        self.flush(turn, out);
        self.blocked = loop {
            if self.is_deaf() || out.room() < REPLY_ROOM {
                break !buf.filled().is_empty();
            }
            let Some(event) = self.line.recv(turn.now, buf) else { break false };
            turn.server.traffic.packets_received += 1;
            self.event(turn, &event, out);
            self.held |= self.hub.is_some_and(|hub| turn.server.hub.is_held(hub));
        };
        self.blocked
    }

    fn event(&mut self, turn: &mut Turn<'_>, event: &Event<'_>, out: &mut impl SendBuf) {
        match event {
            Event::Connect(connect) => self.connect(turn, connect, out),
            Event::Publish(publish) => self.published(turn, publish, out),
            Event::Subscribe(subscribe) => self.subscribed(turn, subscribe, out),
            Event::Unsubscribe(subscribe) => self.unsubscribed(turn, subscribe, out),
            Event::PubAck(id) => self.acknowledged(turn, *id),
            Event::Queue(queue) => self.queue(turn, queue, out),
            Event::QueueAck(_) => {}
            Event::Closed(end) => self.closed(turn, *end),
        }
    }

    fn published(&mut self, turn: &mut Turn<'_>, publish: &Publish<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        turn.server.traffic.published(Dialect::Prx1);
        let Some(message) = message::compose(turn.now, Properties::NONE, publish.topic, publish.payload)
        else {
            return;
        };
        let message = turn.entering(hub, Dialect::Prx1, message);
        let message = message.with_reliable(publish.id.is_some()).with_retain(publish.retain);
        let commit = match turn.server.hub.publish(turn.now, hub, message, None) {
            Ok(outcome) => outcome.commit,
            Err(Refusal::Store) => return,
            Err(_) => None,
        };
        if let Some(id) = publish.id {
            self.answer(turn, commit, Acknowledgement::Publish(id), out);
        }
    }

    fn subscribed(&mut self, turn: &mut Turn<'_>, subscribe: &Subscribe<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        let options = SubscribeOptions {
            quality: if subscribe.id.is_some() { Quality::AtLeastOnce } else { Quality::AtMostOnce },
            ..SubscribeOptions::default()
        };
        let filter = subscribe.filter.to_string();
        let issued = turn.server.hub.issued();
        let done = turn.server.hub.subscribe_filter(turn.now, hub, &filter, 0, options);
        if let (Ok(_), Some(id)) = (done, subscribe.id) {
            let commit = turn.server.hub.commit_since(issued);
            self.answer(turn, commit, Acknowledgement::Subscribe(id), out);
        }
    }

    fn unsubscribed(&mut self, turn: &mut Turn<'_>, subscribe: &Subscribe<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        let filter = subscribe.filter.to_string();
        let issued = turn.server.hub.issued();
        // One that does not exist has ended as well.
        let _ = turn.server.hub.unsubscribe_filter(turn.now, hub, &filter);
        if let Some(id) = subscribe.id {
            let commit = turn.server.hub.commit_since(issued);
            self.answer(turn, commit, Acknowledgement::Unsubscribe(id), out);
        }
    }

    fn acknowledged(&mut self, turn: &mut Turn<'_>, id: PacketId) {
        let Some(hub) = self.hub else { return };
        let known = turn.server.hub.settle(turn.now, hub, id.get());
        if id.get() == STAND_IN && known == Ok(false) {
            let _ = turn.server.hub.settle(turn.now, hub, u16::MAX);
        }
    }

    /// Answers now, or in its turn.
    pub(super) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        commit: Option<u64>,
        answer: Acknowledgement,
        out: &mut impl SendBuf,
    ) {
        turn.server.traffic.packets_sent += 1;
        if commit.is_some() || !self.owed.is_empty() || !self.put(turn, answer, out) {
            self.owed.push(commit.unwrap_or(0), answer);
        }
    }

    /// Whether an answer went out, or never will.
    fn put(&mut self, turn: &Turn<'_>, answer: Acknowledgement, out: &mut impl SendBuf) -> bool {
        put(&mut self.line, turn.now, answer, out)
    }
}
