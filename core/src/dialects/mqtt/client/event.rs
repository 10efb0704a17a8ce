//! What a client tells its application.

use super::super::{Auth, Closed, ConnAck, Disconnect, PacketId, Publish, ReasonCode, SubAck, UnsubAck};

/// Something happened. What it holds borrows the receive buffer, and a message's topic the aliases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'b> {
    /// The server welcomes this client. What is in flight is sent again where `session_present` says that
    /// the session goes on; otherwise [`Lost`](Event::Lost) tells of each that is not.
    Connected(ConnAck<'b>),
    /// The server refuses this client, maybe with a reference to another server; `Closed` follows.
    Refused(ConnAck<'b>),
    /// A message, whose topic is never empty: aliases are resolved. With QoS 2 it comes once. It is
    /// acknowledged by itself, or by [`ack`](super::Client::ack) where the
    /// [configuration](super::Config::manual_ack) says so.
    Message(Publish<'b>),
    /// What was published under this identifier is done: the server has it, or says why it does not take
    /// it. [`ReasonCode::PacketTooLarge`], `QosNotSupported` and `RetainNotSupported` also say that it
    /// was not sent, because the server had announced that it would not take it.
    Acked(PacketId, ReasonCode),
    /// The answer to a SUBSCRIBE.
    SubAck(SubAck<'b>),
    /// The answer to an UNSUBSCRIBE.
    UnsubAck(UnsubAck<'b>),
    /// What was sent under this identifier has got no answer and will get none: a subscription, because
    /// the connection was lost; a message, because the session was. It may have been carried out or not.
    Lost(PacketId),
    /// A step of an authentication (5.0): go on with [`auth`](super::Client::auth), unless it says success.
    Auth(Auth<'b>),
    /// The server ends the connection and says why (5.0), maybe with a reference to another server;
    /// `Closed` follows.
    Disconnect(Disconnect<'b>),
    /// The connection has ended: its last event, but for what is [`Lost`](Event::Lost). The session goes on with the next
    /// [`connect`](super::Client::connect).
    Closed(Closed),
}
