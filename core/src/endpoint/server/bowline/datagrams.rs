//! Messages that go and come in datagrams beside the stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::super::connection::Turn;
use super::Connection;
use crate::buf::SharedSendBuf;
use crate::datagram::Delivery;
use crate::session::{DatagramMode, Event, Forward, Session};

/// So many wait at most for whoever drives the server; the oldest goes first.
const WAITING: usize = 1024;
/// So many subscriptions of a connection come in datagrams at most; further ones come in the stream.
const SUBSCRIPTIONS: usize = 256;
/// A refusal of what came in a datagram is said where there is room for it at once.
const ANSWERS: usize = 4096;

/// Of a connection whose transport has datagrams.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// The largest message that one takes.
    max: usize,
    modes: Vec<(u64, DatagramMode)>,
    waiting: VecDeque<(Delivery, Vec<u8>)>,
}

impl Datagrams {
    /// Writes a message for a subscription whose messages come in datagrams. Says whether it is one.
    pub(super) fn send(&mut self, session: &Session, forward: &Forward<'_, [u8]>, topic: &str) -> bool {
        let id = forward.subscription;
        let Some((_, mode)) = self.modes.iter().find(|(of, _)| *of == id) else { return false };
        let mut frame = Vec::new();
        if session.forward_datagram(&mut frame, forward).is_err() || frame.len() > self.max {
            return false;
        }
        let delivery = match mode {
            DatagramMode::Sequenced => Delivery::about(topic.as_bytes()),
            _ => Delivery::Unreliable,
        };
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((delivery, frame));
        true
    }
}

impl Connection {
    /// The transport has datagrams that take messages of so many octets.
    pub(in super::super) fn set_max_datagram(&mut self, max: usize) {
        self.later.get_or_insert_default().datagrams.get_or_insert_default().max = max;
    }

    /// A subscription's messages come so from now on.
    pub(super) fn set_datagram_mode(&mut self, id: u64, mode: DatagramMode) {
        let Some(datagrams) = self.later.as_mut().and_then(|later| later.datagrams.as_mut()) else { return };
        datagrams.modes.retain(|(of, _)| *of != id);
        if mode != DatagramMode::Stream && datagrams.modes.len() < SUBSCRIPTIONS {
            datagrams.modes.push((id, mode));
        }
    }

    pub(in super::super) fn poll_datagram(&mut self) -> Option<(Delivery, Vec<u8>)> {
        self.later.as_mut()?.datagrams.as_mut()?.waiting.pop_front()
    }

    /// What came in a datagram. One that is not understood is as if it had been lost.
    pub(in super::super) fn handle_datagram(&mut self, turn: &mut Turn<'_>, datagram: &[u8]) {
        if let Some(Event::Publish(message)) = self.session.recv_datagram(turn.now, datagram) {
            turn.server.traffic.packets_received += 1;
            // A refusal is not said: whoever publishes in this way waits for no answer.
            self.published(turn, &message, &mut SharedSendBuf::new(ANSWERS));
        }
    }
}
