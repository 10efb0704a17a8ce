//! Events that wait for the application, within limits.

use alloc::collections::VecDeque;

use super::config::QueueLimits;
use super::event::ClientEvent;

/// What waits.
#[derive(Debug)]
pub(super) enum Queued {
    Event(ClientEvent),
    /// A reliable message that was dropped on arrival: it is accepted in its turn, since
    /// acknowledgements only count.
    Skip {
        connection: u32,
    },
}

#[derive(Debug)]
pub(super) struct Inbox {
    queue: VecDeque<Queued>,
    bytes: usize,
    limits: QueueLimits,
}

impl Inbox {
    pub(super) const fn new(limits: QueueLimits) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, limits }
    }

    #[inline]
    pub(super) fn push(&mut self, event: ClientEvent) {
        self.bytes += octets(&event);
        self.queue.push_back(Queued::Event(event));
    }

    pub(super) fn push_skip(&mut self, connection: u32) {
        self.queue.push_back(Queued::Skip { connection });
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        if let Queued::Event(event) = &queued {
            self.bytes -= octets(event);
        }
        if self.queue.is_empty() && self.queue.capacity() > KEEP {
            self.queue = VecDeque::new();
        }
        Some(queued)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Nothing more is taken in.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.limits.max_messages || self.bytes >= self.limits.max_bytes
    }

    /// The server is to slow down.
    #[inline]
    pub(super) fn is_half_full(&self) -> bool {
        self.queue.len() >= self.limits.max_messages / 2 || self.bytes >= self.limits.max_bytes / 2
    }
}

/// Memory for so many events is kept when none waits; a burst's memory is given back.
const KEEP: usize = 4096;

/// What counts against the limit of octets.
#[inline]
fn octets(event: &ClientEvent) -> usize {
    match event {
        ClientEvent::Message { message, .. } | ClientEvent::Direct(message) => message.len(),
        ClientEvent::Request(request) => request.message.len(),
        ClientEvent::Room { event, .. } => event.len(),
        ClientEvent::Response { payload, properties, .. } => {
            payload.len() + properties.get().as_bytes().len()
        }
        _ => 0,
    }
}
