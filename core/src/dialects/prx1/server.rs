//! One connection of a server.

use super::codec::SendError;
use super::event::{End, ServerEvent};
use super::fault::Fault;
use super::link::{Link, Role};
use super::packet::{ConnAck, Connect, ConnectResult, Kind, Packet, PacketId, Publish, Queue, QueueStatus};
use super::topic::validate_topic;
use super::{Config, Success};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::time::{Deadline, Instant};

/// How a server answers CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The client is in.
    Accepted {
        /// The name of its session, where it has one that outlives the connection.
        session: Option<&'a str>,
    },
    /// Unknown user, or wrong password (1).
    Failed,
    /// Not here (3).
    Refused,
    /// Something is wrong with the server (4).
    Error,
}

/// One connection of a server. See the [module](super) for how to drive it.
///
/// An answer takes at most five octets: whoever reads ([`recv`](Server::recv)) only while there is
/// room for one never has to keep it.
#[derive(Debug)]
pub struct Server {
    link: Link,
    keepalive: u16,
    success: Success,
    clean: bool,
}

impl Server {
    /// A connection that was just accepted.
    #[must_use]
    pub fn accept(now: Instant, config: &Config) -> Server {
        let link = Link::new(now, config, Role::Server);
        Server { link, keepalive: 0, success: config.success, clean: false }
    }

    /// Consumes whole packets from `buf` up to the next event, which borrows the buffer.
    ///
    /// Call it until it returns nothing, whenever octets came, after
    /// [`connack`](Server::connack), [`handle_eof`](Server::handle_eof) and
    /// [`handle_timeout`](Server::handle_timeout); then [`poll_transmit`](Server::poll_transmit).
    /// A call takes time in the length of what it consumes.
    pub fn recv<'b>(&mut self, now: Instant, buf: &'b mut impl RecvBuf) -> Option<ServerEvent<'b>> {
        self.link.tick(now);
        let head = loop {
            match self.link.scan(buf) {
                Ok(None) => return self.poll_closed(),
                Ok(Some(head)) => match head.kind {
                    Kind::Ping => {
                        buf.take(head.end());
                        self.link.pong_owed = true;
                    }
                    Kind::Pong => drop(buf.take(head.end())),
                    _ => break head,
                },
                Err(fault) => {
                    buf.take(usize::MAX);
                    return self.fail(fault);
                }
            }
        };
        let octets = buf.take(head.end());
        match Packet::read(&head, &octets[head.len..]).and_then(|packet| self.event(packet)) {
            Ok(Some(event)) => Some(event),
            Ok(None) => self.poll_closed(),
            Err(fault) => self.fail(fault),
        }
    }

    fn event<'b>(&mut self, packet: Packet<'b>) -> Result<Option<ServerEvent<'b>>, Fault> {
        Ok(Some(match packet {
            Packet::Connect(connect) => self.connect(connect),
            Packet::Publish(publish) => {
                let (kind, field) = (Kind::Publish, "topic");
                validate_topic(publish.topic).map_err(|error| Fault::BadTopic { kind, field, error })?;
                ServerEvent::Publish(publish)
            }
            Packet::Subscribe(subscribe) => ServerEvent::Subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => ServerEvent::Unsubscribe(unsubscribe),
            Packet::PubAck(id) => ServerEvent::PubAck(id),
            Packet::Queue(queue) => ServerEvent::Queue(queue),
            Packet::QueueAck(status) => ServerEvent::QueueAck(status),
            Packet::Disconnect => {
                self.link.end(End::Disconnected);
                return Ok(None);
            }
            // Taken before, or refused by their headers.
            Packet::Ping | Packet::Pong | Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) => {
                return Ok(None);
            }
        }))
    }

    fn connect<'b>(&mut self, connect: Connect<'b>) -> ServerEvent<'b> {
        self.link.opened();
        self.link.deciding = true;
        (self.keepalive, self.clean) = (connect.keepalive.unwrap_or(0), connect.clean);
        ServerEvent::Connect(connect)
    }

    /// Answers CONNECT. How long that takes is up to the application: the peer is waiting, and
    /// nothing else of it is read. Accepted, its keepalive counts from here (PRX-25); else the
    /// connection closes behind the answer.
    ///
    /// # Errors
    ///
    /// [`SendError::State`] where no CONNECT waits for an answer, [`SendError::Blocked`] where `out`
    /// has no room, [`SendError::TooLong`] for a session of more than 65,535 octets. Nothing was
    /// written then.
    pub fn connack(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        answer: Answer<'_>,
    ) -> Result<(), SendError> {
        self.link.tick(now);
        if !self.link.deciding || self.link.is_ended() {
            return Err(SendError::State);
        }
        let (result, session) = match answer {
            Answer::Accepted { session } => (self.success.result(), session),
            Answer::Failed => (ConnectResult::Fail, None),
            Answer::Refused => (ConnectResult::Refused, None),
            Answer::Error => (ConnectResult::Error, None),
        };
        let clean = self.clean && result.is_success();
        Packet::ConnAck(ConnAck { result, has_session: session.is_some(), session, clean }).encode(out)?;
        self.link.deciding = false;
        if result.is_success() {
            self.link.set_keepalive(self.keepalive, false);
        } else {
            self.link.close(End::Refused(result), None);
        }
        Ok(())
    }

    /// Hands on a message. With an id it is the caller's until [`ServerEvent::PubAck`] comes with
    /// that id; on a later connection it is sent again with `dup`.
    ///
    /// # Errors
    ///
    /// [`SendError::State`] where the connection is not open, [`SendError::Blocked`] where `out` has
    /// no room, [`SendError::TooLong`] for a message of more than 65,535 octets: it cannot be told in
    /// this dialect. Nothing was written then.
    pub fn publish(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        publish: &Publish<'_>,
    ) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::Publish(*publish))
    }

    /// As [`publish`](Server::publish), with `message` in place of the payload; a large one goes by
    /// reference.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Server::publish).
    #[cfg(feature = "alloc")]
    pub fn publish_shared(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        publish: &Publish<'_>,
        message: &bytes::Bytes,
    ) -> Result<(), SendError> {
        self.link.check_open(now)?;
        super::codec::encode_shared(publish, message, out)
    }

    /// Says that the message with this id is accepted.
    ///
    /// # Errors
    ///
    /// [`SendError::State`] where the connection is not open, [`SendError::Blocked`] where `out` has
    /// no room. Nothing was written then.
    pub fn puback(&mut self, now: Instant, out: &mut impl SendBuf, id: PacketId) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::PubAck(id))
    }

    /// Says that the subscription with this id holds.
    ///
    /// # Errors
    ///
    /// As for [`puback`](Server::puback).
    pub fn suback(&mut self, now: Instant, out: &mut impl SendBuf, id: PacketId) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::SubAck(id))
    }

    /// Says that the subscription that UNSUBSCRIBE with this id named has ended.
    ///
    /// # Errors
    ///
    /// As for [`puback`](Server::puback).
    pub fn unsuback(&mut self, now: Instant, out: &mut impl SendBuf, id: PacketId) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::UnsubAck(id))
    }

    /// Answers the earliest QUEUE that has no answer yet.
    ///
    /// # Errors
    ///
    /// As for [`puback`](Server::puback).
    pub fn queue_ack(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        status: QueueStatus,
    ) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::QueueAck(status))
    }

    /// Sends a QUEUE of the server's.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Server::publish); [`SendError::Topic`] and [`SendError::EmptyQueue`] for
    /// what cannot be.
    pub fn queue(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        queue: &Queue<'_>,
    ) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::Queue(*queue))
    }

    /// Ends the connection, behind what waits in the output: the dialect has no word for it. One that
    /// has ended already stays as it is.
    pub fn close(&mut self, now: Instant) {
        self.link.tick(now);
        self.link.end(End::Closed);
    }

    /// The peer ended its direction of the stream, or the connection broke. What was received before
    /// still counts: call [`recv`](Server::recv) until it returns nothing.
    pub fn handle_eof(&mut self, now: Instant) {
        self.link.handle_eof(now);
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    ///
    /// A peer that takes nothing for the configured time is given up.
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.link.handle_written(now, written, waiting);
    }

    /// Time has passed: takes what is due, and tells the end where that was due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ServerEvent<'static>> {
        self.link.handle_timeout(now);
        self.poll_closed()
    }

    /// Puts what the machine itself owes into `out`: PONG, and CONNACK for another protocol. What has
    /// no room stays owed.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.link.poll_transmit(now, out)
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`](crate::time::Why::Output) means now: call [`recv`](Server::recv) and
    /// [`poll_transmit`](Server::poll_transmit) (once the buffer has room again); all else: call
    /// [`handle_timeout`](Server::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.link.poll_timeout()
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<ServerEvent<'static>> {
        self.link.poll_closed().map(ServerEvent::Closed)
    }

    fn fail(&mut self, fault: Fault) -> Option<ServerEvent<'static>> {
        self.link.fail(fault);
        self.poll_closed()
    }

    /// Whether messages can be sent and come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Whether the connection has ended, or is about to.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.link.is_ended()
    }

    /// The keepalive that the client promised, in seconds; 0: none.
    #[must_use]
    pub const fn keepalive(&self) -> u16 {
        self.keepalive
    }
}
