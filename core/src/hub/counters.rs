//! What the hub counts, for metrics.

/// Counts since the hub began, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages published, duplicates included.
    pub messages_in: u64,
    /// Octets of their bodies.
    pub bytes_in: u64,
    /// Messages handed out, again ones included.
    pub messages_out: u64,
    /// Octets of their bodies.
    pub bytes_out: u64,
    /// Publishes that were known by their de-duplication id.
    pub duplicates: u64,
    /// Wills published.
    pub wills: u64,
    /// Deliveries dropped.
    pub dropped: Drops,
    /// What the access rules denied: publishes, subscriptions, requests, queues.
    pub denied: u64,
    /// Requests made.
    pub requests: u64,
    /// Responses handed out, those of the hub included.
    pub responses: u64,
    /// Sessions there are.
    pub sessions: u64,
    /// Sessions that a connection serves.
    pub attached: u64,
    /// Subscriptions there are.
    pub subscriptions: u64,
    /// Deliveries that wait in queues or for acknowledgement.
    pub queued: u64,
    /// Octets of their bodies, counted for each delivery.
    pub queued_bytes: u64,
    /// Those among them of messages of rooms.
    pub room_queued_bytes: u64,
    /// Requests in flight.
    pub requests_in_flight: u64,
    /// Queues there are.
    pub queues: u64,
    /// Tasks in them, those included that consumers have.
    pub tasks: u64,
    /// Tasks that were given up and went to a queue of dead letters.
    pub dead_letters: u64,
    /// Retained messages there are.
    pub retained: u64,
    /// Octets of their bodies.
    pub retained_bytes: u64,
    /// Messages in the histories of topics.
    pub history: u64,
    /// Octets of their bodies.
    pub history_bytes: u64,
    /// Messages that a history did not take: too many topics or octets in all.
    pub history_refused: u64,
    /// Rooms that have members.
    pub rooms: u64,
    /// Members of all rooms.
    pub members: u64,
    /// Messages there are for any purpose, each once.
    pub messages: u64,
    /// Octets of their bodies.
    pub message_bytes: u64,
}

/// Deliveries dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The queue was full: the oldest made room.
    pub oldest: u64,
    /// The queue was full: the new one was dropped.
    pub newest: u64,
    /// They expired in the queue.
    pub expired: u64,
    /// At most once, and no connection served the session.
    pub detached: u64,
    /// The subscription ended before they were handed out.
    pub unsubscribed: u64,
    /// The session ended before they were handed out or acknowledged.
    pub ended: u64,
    /// The peer can never take them: they are larger than it allows; or a plugin kept them from it.
    pub refused: u64,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.oldest
            + self.newest
            + self.expired
            + self.detached
            + self.unsubscribed
            + self.ended
            + self.refused
    }
}
