//! One connection of a client.

use super::Config;
use super::codec::SendError;
use super::event::{ClientEvent, End};
use super::fault::Fault;
use super::link::{Last, Link, Role};
use super::packet::{Connect, Kind, Packet, PacketId, Publish, Queue, QueueStatus, Subscribe};
use super::topic::{Filter, TopicError, validate_topic};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::Transport;
use crate::time::{Deadline, Instant};

/// A message to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is about.
    pub topic: &'a str,
    /// What it says, at most 65,535 octets.
    pub payload: &'a [u8],
    /// The server keeps it for those who subscribe later; an empty one takes the kept one away.
    pub retain: bool,
}

impl<'a> Message<'a> {
    /// A message that is not kept.
    #[must_use]
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, retain: false }
    }
}

/// Room for one message that waits for its PUBACK. It outlives the connection: whoever lends the same
/// slots to the next one sends again what they hold.
///
/// The message itself stays with the caller, who finds it by the key that it chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    id: Option<PacketId>,
    /// To be sent again on this connection.
    again: bool,
    key: u64,
    /// Grows from message to message.
    order: u64,
}

impl Slot {
    /// With nothing in it.
    pub const EMPTY: Slot = Slot { id: None, again: false, key: 0, order: 0 };

    /// The key of the message in it.
    #[must_use]
    pub const fn key(&self) -> Option<u64> {
        if self.id.is_some() { Some(self.key) } else { None }
    }
}

/// One connection of a client. See the [module](super) for how to drive it.
///
/// ```
/// use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
/// use bowline_core::prx1::{Client, ClientEvent, Config, Connect, Message, Slot};
/// use bowline_core::time::Instant;
///
/// let (now, config, connect) = (Instant::ZERO, Config::default(), Connect::default());
/// let (mut slots, mut a, mut b) = ([Slot::EMPTY; 8], [0; 256], [0; 256]);
/// let (mut out, mut received) = (SliceSendBuf::new(&mut a), SliceRecvBuf::new(&mut b));
/// let message = Message::new("a/b", b"hi");
///
/// let mut client = Client::connect(now, &config, &connect, &mut slots, &mut out)?;
/// received.push(b"\x20\x01\x00");
/// assert!(matches!(client.recv(now, &mut received), Some(ClientEvent::Connected(_))));
/// let id = client.publish_tracked(now, &mut out, &message, 7)?;
///
/// // The connection breaks before PUBACK; the next one is lent the same slots.
/// let mut client = Client::connect(now, &config, &connect, &mut slots, &mut out)?;
/// received.push(b"\x20\x01\x00");
/// assert!(matches!(client.recv(now, &mut received), Some(ClientEvent::Connected(_))));
/// assert_eq!(client.poll_resend(), Some((id, 7)));
/// client.resend(now, &mut out, &message)?; // with DUP, and the same id
/// received.push(b"\x60\x02\x00\x01");
/// assert_eq!(client.recv(now, &mut received), Some(ClientEvent::Acked(id, 7)));
/// # Ok::<(), bowline_core::prx1::SendError>(())
/// ```
#[derive(Debug)]
pub struct Client<'s> {
    link: Link,
    slots: &'s mut [Slot],
    next: PacketId,
    order: u64,
    keepalive: u16,
}

impl<'s> Client<'s> {
    /// Puts CONNECT into `out`. `slots` are as many messages as can wait for their PUBACK; what they
    /// hold of an earlier connection is to be sent again. Calls take time in their number: lend few.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] for a name or password of more than 65,535 octets,
    /// [`SendError::Blocked`] where `out` has no room. Nothing was written then.
    pub fn connect(
        now: Instant,
        config: &Config,
        connect: &Connect<'_>,
        slots: &'s mut [Slot],
        out: &mut impl SendBuf,
    ) -> Result<Client<'s>, SendError> {
        Packet::Connect(*connect).encode(out)?;
        let (mut next, mut order) = (PacketId::FIRST, 0);
        for slot in slots.iter_mut() {
            if let Some(id) = slot.id {
                slot.again = true;
                if slot.order >= order {
                    (next, order) = (id.next(), slot.order + 1);
                }
            }
        }
        let link = Link::new(now, config, Role::Client);
        Ok(Client { link, slots, next, order, keepalive: connect.keepalive.unwrap_or(0) })
    }

    /// Consumes whole packets from `buf` up to the next event, which borrows the buffer.
    ///
    /// Call it until it returns nothing, whenever octets came and after
    /// [`handle_eof`](Client::handle_eof) and [`handle_timeout`](Client::handle_timeout); then
    /// [`poll_transmit`](Client::poll_transmit). A call takes time in the length of what it consumes.
    pub fn recv<'b>(&mut self, now: Instant, buf: &'b mut impl RecvBuf) -> Option<ClientEvent<'b>> {
        self.link.tick(now);
        let head = loop {
            match self.link.scan(buf) {
                Ok(None) => return self.poll_closed(),
                Ok(Some(head)) => {
                    let packet = match head.kind {
                        Kind::Ping | Kind::Pong | Kind::PubAck => {
                            Packet::read(&head, &buf.take(head.end())[head.len..])
                        }
                        _ => break head,
                    };
                    match packet.map(|packet| self.quiet(&packet)) {
                        Ok(None) => {}
                        Ok(event) => return event,
                        Err(fault) => return self.fail(fault),
                    }
                }
                Err(fault) => {
                    buf.take(usize::MAX);
                    return self.fail(fault);
                }
            }
        };
        let octets = buf.take(head.end());
        match Packet::read(&head, &octets[head.len..]) {
            Ok(packet) => self.event(packet).or_else(|| self.poll_closed()),
            Err(fault) => self.fail(fault),
        }
    }

    /// Packets of which few are worth an event.
    fn quiet(&mut self, packet: &Packet<'_>) -> Option<ClientEvent<'static>> {
        match packet {
            Packet::Ping => {
                self.link.pong_owed = true;
                None
            }
            Packet::Pong => self.link.on_pong().map(ClientEvent::Pong),
            Packet::PubAck(id) => {
                // One that nothing waits for is the second answer to what was sent twice.
                let slot = self.slots.iter_mut().find(|slot| slot.id == Some(*id))?;
                let key = slot.key;
                *slot = Slot::EMPTY;
                Some(ClientEvent::Acked(*id, key))
            }
            _ => None,
        }
    }

    fn event<'b>(&mut self, packet: Packet<'b>) -> Option<ClientEvent<'b>> {
        Some(match packet {
            Packet::ConnAck(answer) if answer.result.is_success() => {
                self.link.opened();
                self.link.set_keepalive(self.keepalive, true);
                ClientEvent::Connected(answer)
            }
            Packet::ConnAck(answer) => {
                self.link.end(End::Refused(answer.result));
                return None;
            }
            Packet::Publish(publish) => ClientEvent::Publish(publish),
            Packet::SubAck(id) => ClientEvent::SubAck(id),
            Packet::UnsubAck(id) => ClientEvent::UnsubAck(id),
            Packet::Queue(queue) => ClientEvent::Queue(queue),
            Packet::QueueAck(status) => ClientEvent::QueueAck(status),
            Packet::Disconnect => {
                self.link.end(End::Disconnected);
                return None;
            }
            // Taken before, or refused by their headers.
            Packet::Ping
            | Packet::Pong
            | Packet::PubAck(_)
            | Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_) => return None,
        })
    }

    /// Sends a message, at most once (QoS 0).
    ///
    /// # Errors
    ///
    /// [`SendError::State`] where the connection is not open, [`SendError::Topic`] for what is no
    /// topic, [`SendError::TooLong`] for a message of more than 65,535 octets,
    /// [`SendError::Blocked`] where `out` has no room. Nothing was written then.
    pub fn publish(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        self.put_message(now, out, message, None, false)
    }

    /// Sends a message, at least once (QoS 1): keep it, under a `key` of your choice, until
    /// [`ClientEvent::Acked`] says that the server has it.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Client::publish); [`SendError::InFlight`] where no slot is free,
    /// [`SendError::ResendFirst`] before all that [`poll_resend`](Client::poll_resend) names was
    /// sent again.
    pub fn publish_tracked(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
        key: u64,
    ) -> Result<PacketId, SendError> {
        self.link.check_open(now)?;
        if self.poll_resend().is_some() {
            return Err(SendError::ResendFirst);
        }
        let free = self.slots.iter().position(|slot| slot.id.is_none()).ok_or(SendError::InFlight)?;
        let id = self.fresh_id().ok_or(SendError::InFlight)?;
        self.put_message(now, out, message, Some(id), false)?;
        self.slots[free] = Slot { id: Some(id), again: false, key, order: self.order };
        (self.order, self.next) = (self.order + 1, id.next());
        Ok(id)
    }

    /// The earliest message that the last connection left unacknowledged, by its id and key.
    #[must_use]
    pub fn poll_resend(&self) -> Option<(PacketId, u64)> {
        let waiting = self.slots.iter().filter(|slot| slot.again);
        let slot = waiting.min_by_key(|slot| slot.order)?;
        slot.id.map(|id| (id, slot.key))
    }

    /// Sends `message`, which [`poll_resend`](Client::poll_resend) named, again, marked as such.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Client::publish); [`SendError::State`] also where nothing is to be sent
    /// again.
    pub fn resend(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let (id, _) = self.poll_resend().ok_or(SendError::State)?;
        self.put_message(now, out, message, Some(id), true)?;
        self.slots.iter_mut().filter(|slot| slot.id == Some(id)).for_each(|slot| slot.again = false);
        Ok(())
    }

    /// Gives a message up, whether or not the server has it. Returns its key; nothing where no
    /// message has this id.
    pub fn forget(&mut self, id: PacketId) -> Option<u64> {
        let slot = self.slots.iter_mut().find(|slot| slot.id == Some(id))?;
        core::mem::take(slot).key()
    }

    fn put_message(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
        id: Option<PacketId>,
        dup: bool,
    ) -> Result<(), SendError> {
        validate_topic(message.topic)?;
        let Message { topic, payload, retain } = *message;
        self.link.send(now, out, &Packet::Publish(Publish { topic, payload, id, retain, dup }))
    }

    /// The next id that no message has. Ids come round after 65,534, so one is found soon.
    fn fresh_id(&self) -> Option<PacketId> {
        let mut id = self.next;
        for _ in 0..=self.slots.len() {
            if !self.slots.iter().any(|slot| slot.id == Some(id)) {
                return Some(id);
            }
            id = id.next();
        }
        None
    }

    /// Asks for the messages of a PRX1 filter. A `reliable` subscription is answered by
    /// [`ClientEvent::SubAck`] with the id that this returns, and its messages wait for
    /// [`puback`](Client::puback); another is not answered at all.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Client::publish).
    pub fn subscribe(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        filter: &str,
        reliable: bool,
    ) -> Result<Option<PacketId>, SendError> {
        self.put_subscribe(now, out, filter, reliable, Packet::Subscribe)
    }

    /// Ends a subscription; with `reliable`, [`ClientEvent::UnsubAck`] answers.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Client::publish).
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        filter: &str,
        reliable: bool,
    ) -> Result<Option<PacketId>, SendError> {
        self.put_subscribe(now, out, filter, reliable, Packet::Unsubscribe)
    }

    fn put_subscribe<'f>(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        filter: &'f str,
        reliable: bool,
        packet: impl FnOnce(Subscribe<'f>) -> Packet<'f>,
    ) -> Result<Option<PacketId>, SendError> {
        let filter = Filter::parse(filter).map_err(|e: TopicError| SendError::Topic(e))?;
        let id = if reliable { Some(self.fresh_id().ok_or(SendError::InFlight)?) } else { None };
        self.link.send(now, out, &packet(Subscribe { filter, id, dup: false }))?;
        if let Some(id) = id {
            self.next = id.next();
        }
        Ok(id)
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

    /// Orders something of a queue, or has a message for it. [`ClientEvent::QueueAck`] answers, in the
    /// order of the orders.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Client::publish); [`SendError::EmptyQueue`] for one that says nothing.
    pub fn queue(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        queue: &Queue<'_>,
    ) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::Queue(*queue))
    }

    /// Answers a QUEUE of the server's.
    ///
    /// # Errors
    ///
    /// As for [`puback`](Client::puback).
    pub fn queue_ack(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        status: QueueStatus,
    ) -> Result<(), SendError> {
        self.link.send(now, out, &Packet::QueueAck(status))
    }

    /// Asks for a PING at once; [`ClientEvent::Pong`] says how long the answer took.
    pub fn ping(&mut self, now: Instant) {
        self.link.tick(now);
        self.link.request_ping();
    }

    /// Ends the connection: DISCONNECT is owed. One that has ended already stays as it is.
    pub fn disconnect(&mut self, now: Instant) {
        self.link.tick(now);
        self.link.close(End::Closed, Some(Last::Disconnect));
    }

    /// The peer ended its direction of the stream, or the connection broke. What was received before
    /// still counts: call [`recv`](Client::recv) until it returns nothing.
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
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ClientEvent<'static>> {
        self.link.handle_timeout(now);
        self.poll_closed()
    }

    /// Puts what the machine itself owes into `out`: PING, as often as the keepalive promised, PONG,
    /// DISCONNECT. What has no room stays owed.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.link.poll_transmit(now, out)
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`](crate::time::Why::Output) means now: call [`recv`](Client::recv) and
    /// [`poll_transmit`](Client::poll_transmit) (once the buffer has room again); all else: call
    /// [`handle_timeout`](Client::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.link.poll_timeout()
    }

    /// The event that no octets brought: the end, once.
    pub fn poll_closed(&mut self) -> Option<ClientEvent<'static>> {
        self.link.poll_closed().map(ClientEvent::Closed)
    }

    fn fail(&mut self, fault: Fault) -> Option<ClientEvent<'static>> {
        self.link.fail(fault);
        self.poll_closed()
    }

    /// Gives the slots back, for the next connection.
    #[must_use]
    pub fn into_slots(self) -> &'s mut [Slot] {
        self.slots
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
}
