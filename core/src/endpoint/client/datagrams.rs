//! Messages that go and come in datagrams beside the stream.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::calls::{ClientError, Publish};
use super::event::{ClientEvent, SubscriptionId};
use super::{Client, Message};
use crate::datagram::Delivery;
use crate::session::{self, DatagramMode, Event, SendError};
use crate::time::Instant;

/// So many wait at most for whoever drives the client; the oldest goes first.
const WAITING: usize = 256;

/// What is to go out in datagrams.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// The largest message that one takes; 0: there are none.
    max: usize,
    waiting: VecDeque<(Delivery, Vec<u8>)>,
}

impl Client {
    /// Says how large a message may be that goes in a datagram beside the stream, in octets; 0, as before the
    /// first call: there are none on this transport.
    pub const fn set_max_datagram(&mut self, max: usize) {
        self.datagrams.max = max;
    }

    /// Publishes at most once, in a datagram where the transport has them and it fits: it is not sent again,
    /// and waits for nothing. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn publish_datagram(
        &mut self,
        now: Instant,
        publish: Publish<'_>,
        mode: DatagramMode,
    ) -> Result<(), ClientError> {
        self.tick(now);
        self.check_call()?;
        let publish = Publish { reliable: false, retain: false, ..publish };
        let message = session::Message {
            topic: publish.topic,
            payload: &publish.payload,
            properties: publish.properties,
            reliable: false,
            retain: false,
        };
        let mut frame = Vec::new();
        let open = self.opened && mode != DatagramMode::Stream;
        let written = match &self.session {
            Some(session) if open => session.publish_datagram(&mut frame, &message),
            _ => Err(SendError::State),
        };
        if written.is_err() || frame.len() > self.datagrams.max {
            return self.publish(now, publish).map(drop);
        }
        let delivery = match mode {
            DatagramMode::Sequenced => Delivery::about(publish.topic.as_bytes()),
            _ => Delivery::Unreliable,
        };
        if self.datagrams.waiting.len() >= WAITING {
            self.datagrams.waiting.pop_front();
        }
        self.datagrams.waiting.push_back((delivery, frame));
        Ok(())
    }

    /// Whether [`poll_datagram`](Self::poll_datagram) has something.
    #[must_use]
    pub fn has_datagrams(&self) -> bool {
        !self.datagrams.waiting.is_empty()
    }

    /// The next message to send in a datagram.
    pub fn poll_datagram(&mut self) -> Option<(Delivery, Vec<u8>)> {
        self.datagrams.waiting.pop_front()
    }

    /// Takes in a message that came in a datagram beside the stream. One that is not understood, belongs to no
    /// subscription, or is one too many is as if it had been lost.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.tick(now);
        if self.inbox.is_half_full() || !self.opened {
            return;
        }
        let Some(session) = &mut self.session else { return };
        match session.recv_datagram(self.now, datagram) {
            Some(Event::Message(id, received)) => {
                let wanted = self.subscriptions.get(&id).is_some_and(|s| s.state.is_wanted() && !s.serve);
                if wanted {
                    // No credit was used for it, and none is given back.
                    let message = Message::copy(&received, 0, self.connection);
                    self.inbox.push(ClientEvent::Message { subscription: SubscriptionId(id), message });
                }
            }
            Some(Event::Publish(received)) => {
                let message = Message::copy(&received, 0, self.connection);
                self.inbox.push(ClientEvent::Direct(message));
            }
            _ => {}
        }
    }
}
