//! What a server's side tells its application.

use super::super::{Ack, Auth, Closed, Connect, Disconnect, Publish, Subscribe, Unsubscribe};

/// Something happened. What it holds borrows the receive buffer, and a publication's topic the aliases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A client wants a connection. Answer with [`connack`](super::Server::connack),
    /// [`auth`](super::Server::auth) or [`refuse`](super::Server::refuse); until then nothing more comes.
    Connect(Connect<'b>),
    /// A message, whose topic is never empty: aliases are resolved. Of QoS 1, answer with PUBACK; of
    /// QoS 2 with PUBREC, and leave out what was received under the same identifier before.
    Publish(Publish<'b>),
    /// PUBACK, PUBREC or PUBCOMP: the client's answer to what was sent to it; or PUBREL, to be
    /// answered with PUBCOMP.
    Ack(Ack<'b>),
    /// The client wants messages: answer with [`suback`](super::Server::suback).
    Subscribe(Subscribe<'b>),
    /// The client no longer wants messages: answer with [`unsuback`](super::Server::unsuback).
    Unsubscribe(Unsubscribe<'b>),
    /// A step of an authentication (5.0), with the method of CONNECT. Answer with
    /// [`auth`](super::Server::auth), or, while the connection is not established, as to `Connect`.
    Auth(Auth<'b>),
    /// The client leaves by intent; [`Closed`](Event::Closed) follows. Its will is not published unless
    /// the reason is another than success ([MQTT-3.14.4-3]).
    Disconnect(Disconnect<'b>),
    /// The connection has ended, once and for all: the last event.
    Closed(Closed),
}
