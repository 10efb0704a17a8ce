//! What a connection tells its application.

use core::time::Duration;

use super::fault::Fault;
use super::packet::{ConnAck, Connect, ConnectResult, PacketId, Publish, Queue, QueueStatus, Subscribe};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer said DISCONNECT.
    Disconnected,
    /// This side closed.
    Closed,
    /// The server did not take the client.
    Refused(ConnectResult),
    /// The peer, or time, broke a rule.
    Fault(Fault),
    /// The connection ended without a word.
    Lost,
}

impl End {
    /// Whether one side wanted it so, and said it.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        matches!(self, End::Disconnected | End::Closed)
    }
}

/// What a server's connection tells. Strings and messages borrow the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent<'b> {
    /// Answer with [`Server::connack`](super::Server::connack): nothing else is read before.
    Connect(Connect<'b>),
    /// A message. With an id, answer with [`Server::puback`](super::Server::puback) once it is
    /// accepted.
    Publish(Publish<'b>),
    /// A subscription. With an id, answer with [`Server::suback`](super::Server::suback).
    Subscribe(Subscribe<'b>),
    /// Its end. With an id, answer with [`Server::unsuback`](super::Server::unsuback).
    Unsubscribe(Subscribe<'b>),
    /// The client has the message with this id.
    PubAck(PacketId),
    /// Answer with [`Server::queue_ack`](super::Server::queue_ack).
    Queue(Queue<'b>),
    /// The answer to a QUEUE of the server's.
    QueueAck(QueueStatus),
    /// It is over. Comes once, and last.
    Closed(End),
}

/// What a client's connection tells. Strings and messages borrow the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent<'b> {
    /// The server has taken the client. Now send again what
    /// [`Client::poll_resend`](super::Client::poll_resend) names.
    Connected(ConnAck<'b>),
    /// A message. With an id, answer with [`Client::puback`](super::Client::puback) once it is
    /// accepted.
    Publish(Publish<'b>),
    /// The server has the message of this id and key; its slot is free.
    Acked(PacketId, u64),
    /// The subscription with this id holds.
    SubAck(PacketId),
    /// It has ended.
    UnsubAck(PacketId),
    /// A QUEUE of the server's. Answer with [`Client::queue_ack`](super::Client::queue_ack).
    Queue(Queue<'b>),
    /// The answer to the earliest QUEUE that has none yet.
    QueueAck(QueueStatus),
    /// The answer to a PING, and how long it took.
    Pong(Duration),
    /// It is over. Comes once, and last.
    Closed(End),
}
