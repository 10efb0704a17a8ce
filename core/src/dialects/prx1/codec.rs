//! How packets are read and written.

use super::fault::Fault;
use super::packet::{
    ConnAck, Connect, ConnectResult, Kind, PROTOCOL, Packet, PacketId, Publish, Queue, QueueAction,
    QueueOptions, QueueStatus, STRING_MAX, Subscribe,
};
use super::topic::{TopicError, validate_topic};
use super::wire::{Counter, Head, Into, Reader, Sink, head};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::topic;

/// Why a packet was not sent. Nothing was written and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The output buffer has no room now.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// Not in this state: not open, not yet or no longer, or nothing waits for this.
    #[error("this cannot be sent in the connection's present state")]
    State,
    /// As many messages are unacknowledged as were lent slots for.
    #[error("every slot holds an unacknowledged message; wait until one is acknowledged")]
    InFlight,
    /// What the last connection left unacknowledged goes first.
    #[error("messages of the last connection are still to be sent again, before any other")]
    ResendFirst,
    /// A string or message is longer than the protocol can say. It is never cut.
    #[error("the {field} has {octets} octets; this protocol carries at most 65535")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How long it is.
        octets: usize,
    },
    /// Not a topic.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// A QUEUE with neither options nor a message.
    #[error("a QUEUE needs options, or a message")]
    EmptyQueue,
}

impl SendError {
    /// Whether the same call may succeed later on this connection.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self, SendError::Blocked(_) | SendError::InFlight | SendError::ResendFirst)
    }
}

/// Option bits of the first octet.
mod opt {
    pub(super) const CLEAN: u8 = 8;
    pub(super) const HAS_SESSION: u8 = 8;
    pub(super) const HAS_SESSION_ID: u8 = 4;
    pub(super) const BEGAN_CLEAN: u8 = 2;
    pub(super) const DUP: u8 = 8;
    pub(super) const QOS: u8 = 6;
    pub(super) const QOS_1: u8 = 2;
    pub(super) const RETAIN: u8 = 1;
    pub(super) const HAS_OPTIONS: u8 = 8;
    pub(super) const QUEUE_DUP: u8 = 4;
    pub(super) const HAS_PAYLOAD: u8 = 2;
}

/// What the flags of CONNECT say is there.
mod flag {
    pub(super) const PASSWORD: u8 = 1;
    pub(super) const CLIENT_ID: u8 = 2;
    pub(super) const KEEPALIVE: u8 = 4;
    pub(super) const USER: u8 = 8;
}

/// What the options of QUEUE say is there, above their action.
mod queue {
    pub(super) const ID: u16 = 0x80;
    pub(super) const ADDRESS: u16 = 0x40;
    pub(super) const RETURN_PATH: u16 = 0x20;
    pub(super) const MARK: u16 = 0x10;
    pub(super) const ACTION: u16 = 0xf;
}

impl<'b> Packet<'b> {
    /// Reads the packet at the front of `bytes`, and how many octets it took; nothing where it is
    /// not whole yet. Option bits that its kind does not know are passed over.
    ///
    /// # Errors
    ///
    /// See [`Fault`]; a wrong header is told before the body is there.
    ///
    /// ```
    /// use bowline_core::prx1::{Packet, Publish};
    /// let octets = b"\xb0\x09\x00\x03a/b\x00\x02hi";
    /// let publish = Packet::Publish(Publish::new("a/b", b"hi"));
    /// assert_eq!(Packet::decode(octets), Ok(Some((publish, 11))));
    /// assert_eq!(Packet::decode(&octets[..10]), Ok(None));
    /// ```
    pub fn decode(bytes: &'b [u8]) -> Result<Option<(Packet<'b>, usize)>, Fault> {
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        match bytes.get(head.len..head.end()) {
            Some(body) => Ok(Some((Packet::read(&head, body)?, head.end()))),
            None => Ok(None),
        }
    }

    /// Reads a body.
    pub(super) fn read(head: &Head, body: &'b [u8]) -> Result<Packet<'b>, Fault> {
        let (mut r, opts) = (Reader::new(head.kind, body), head.opts);
        let packet = match head.kind {
            Kind::Connect => Packet::Connect(Connect::read(opts, &mut r)?),
            Kind::ConnAck => Packet::ConnAck(ConnAck::read(opts, &mut r)?),
            Kind::Queue => Packet::Queue(Queue::read(opts, &mut r)?),
            Kind::QueueAck => Packet::QueueAck(match opts {
                0 => QueueStatus::None,
                1 => QueueStatus::Ok,
                2 => QueueStatus::Error,
                other => return Err(r.bad_value("status", u16::from(other))),
            }),
            Kind::PubAck => Packet::PubAck(r.id()?),
            Kind::SubAck => Packet::SubAck(r.id()?),
            Kind::UnsubAck => Packet::UnsubAck(r.id()?),
            Kind::Subscribe => Packet::Subscribe(Subscribe::read(opts, &mut r)?),
            Kind::Unsubscribe => Packet::Unsubscribe(Subscribe::read(opts, &mut r)?),
            Kind::Publish => Packet::Publish(Publish::read(opts, &mut r)?),
            Kind::Ping => Packet::Ping,
            Kind::Pong => Packet::Pong,
            Kind::Disconnect => Packet::Disconnect,
        };
        r.end()?;
        Ok(packet)
    }

    /// Puts the packet into `out`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`], [`SendError::Topic`] and [`SendError::EmptyQueue`] for what the
    /// protocol cannot say, [`SendError::Blocked`] where `out` has no room. Nothing was written then.
    pub fn encode(&self, out: &mut impl SendBuf) -> Result<(), SendError> {
        self.check()?;
        let mut count = Counter(0);
        self.write(&mut count);
        let (head, n) = head(self.kind().code() << 4 | self.opts(), count.0 as u32);
        if out.room() < n + count.0 {
            return Err(Blocked.into());
        }
        out.begin(n + count.0);
        out.put(&head[..n]);
        self.write(&mut Into(out));
        Ok(())
    }

    /// Whether the protocol can say it.
    fn check(&self) -> Result<(), SendError> {
        let fits = |field: &'static str, octets: usize| {
            if octets > STRING_MAX { Err(SendError::TooLong { field, octets }) } else { Ok(()) }
        };
        let length = |text: Option<&str>| text.map_or(0, str::len);
        match self {
            Packet::Connect(c) => {
                fits("password", c.password.map_or(0, <[u8]>::len))?;
                fits("client id", length(c.client_id))?;
                fits("user name", length(c.user))
            }
            Packet::ConnAck(c) => fits("session id", length(c.session)),
            Packet::Publish(p) => {
                topic::validate_topic(p.topic).map_err(TopicError::from)?;
                fits("message", p.payload.len())
            }
            Packet::Queue(q) => {
                if q.options.is_none() && q.payload.is_none() {
                    return Err(SendError::EmptyQueue);
                }
                if let Some(o) = &q.options {
                    o.address.map_or(Ok(()), validate_topic)?;
                    o.return_path.map_or(Ok(()), validate_topic)?;
                    fits("mark", o.mark.map_or(0, <[u8]>::len))?;
                }
                fits("message", q.payload.map_or(0, <[u8]>::len))
            }
            // A filter is no longer than the hub takes.
            _ => Ok(()),
        }
    }

    /// The lower half of the first octet.
    fn opts(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        match self {
            Packet::Connect(c) => bit(c.clean, opt::CLEAN),
            Packet::ConnAck(c) => {
                bit(c.has_session, opt::HAS_SESSION)
                    | bit(c.session.is_some(), opt::HAS_SESSION_ID)
                    | bit(c.clean, opt::BEGAN_CLEAN)
            }
            Packet::Queue(q) => {
                bit(q.options.is_some(), opt::HAS_OPTIONS)
                    | bit(q.dup, opt::QUEUE_DUP)
                    | bit(q.payload.is_some(), opt::HAS_PAYLOAD)
            }
            Packet::QueueAck(status) => *status as u8,
            Packet::Subscribe(s) | Packet::Unsubscribe(s) => {
                bit(s.dup, opt::DUP) | bit(s.id.is_some(), opt::QOS_1)
            }
            Packet::Publish(p) => publish_opts(p),
            _ => 0,
        }
    }

    /// Writes the body.
    fn write(&self, to: &mut impl Sink) {
        match self {
            Packet::Connect(c) => c.write(to),
            Packet::ConnAck(c) => {
                to.put(&[c.result as u8]);
                if let Some(session) = c.session {
                    to.bytes(session.as_bytes());
                }
            }
            Packet::Queue(q) => q.write(to),
            Packet::PubAck(id) | Packet::SubAck(id) | Packet::UnsubAck(id) => to.u16(id.get()),
            Packet::Subscribe(s) | Packet::Unsubscribe(s) => {
                if let Some(id) = s.id {
                    to.u16(id.get());
                }
                to.bytes(s.filter.as_str().as_bytes());
            }
            Packet::Publish(p) => {
                if let Some(id) = p.id {
                    to.u16(id.get());
                }
                to.bytes(p.topic.as_bytes());
                to.bytes(p.payload);
            }
            Packet::QueueAck(_) | Packet::Ping | Packet::Pong | Packet::Disconnect => {}
        }
    }
}

fn publish_opts(p: &Publish<'_>) -> u8 {
    (if p.dup { opt::DUP } else { 0 })
        | (if p.id.is_some() { opt::QOS_1 } else { 0 })
        | (if p.retain { opt::RETAIN } else { 0 })
}

/// Puts a PUBLISH whose payload, `message` in place of its own, goes by reference where the buffer can.
#[cfg(feature = "alloc")]
pub(super) fn encode_shared(
    publish: &Publish<'_>,
    message: &bytes::Bytes,
    out: &mut impl SendBuf,
) -> Result<(), SendError> {
    topic::validate_topic(publish.topic).map_err(TopicError::from)?;
    if message.len() > STRING_MAX {
        return Err(SendError::TooLong { field: "message", octets: message.len() });
    }
    let id = if publish.id.is_some() { 2 } else { 0 };
    let size = id + 2 + publish.topic.len() + 2 + message.len();
    let (head, n) = head(Kind::Publish.code() << 4 | publish_opts(publish), size as u32);
    if out.room() < n + size {
        return Err(Blocked.into());
    }
    out.begin(n + size);
    out.put(&head[..n]);
    let mut to = Into(&mut *out);
    if let Some(id) = publish.id {
        to.u16(id.get());
    }
    to.bytes(publish.topic.as_bytes());
    to.u16(message.len() as u16);
    out.put_shared(message);
    Ok(())
}

impl<'b> Connect<'b> {
    fn read(opts: u8, r: &mut Reader<'b>) -> Result<Self, Fault> {
        if r.bytes("protocol name")? != PROTOCOL.as_bytes() {
            return Err(Fault::BadProtocol);
        }
        let flags = r.u8("flags")?;
        let has = |flag: u8| flags & flag != 0;
        // The order on the wire is this one.
        let password = if has(flag::PASSWORD) { Some(r.bytes("password")?) } else { None };
        let client_id = if has(flag::CLIENT_ID) { Some(r.string("client id")?) } else { None };
        let keepalive = if has(flag::KEEPALIVE) { Some(r.u16("keepalive")?) } else { None };
        let user = if has(flag::USER) { Some(r.string("user name")?) } else { None };
        Ok(Connect { user, password, client_id, keepalive, clean: opts & opt::CLEAN != 0 })
    }

    fn write(&self, to: &mut impl Sink) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        to.bytes(PROTOCOL.as_bytes());
        to.put(&[bit(self.password.is_some(), flag::PASSWORD)
            | bit(self.client_id.is_some(), flag::CLIENT_ID)
            | bit(self.keepalive.is_some(), flag::KEEPALIVE)
            | bit(self.user.is_some(), flag::USER)]);
        if let Some(password) = self.password {
            to.bytes(password);
        }
        if let Some(client_id) = self.client_id {
            to.bytes(client_id.as_bytes());
        }
        if let Some(keepalive) = self.keepalive {
            to.u16(keepalive);
        }
        if let Some(user) = self.user {
            to.bytes(user.as_bytes());
        }
    }
}

impl<'b> ConnAck<'b> {
    fn read(opts: u8, r: &mut Reader<'b>) -> Result<Self, Fault> {
        let number = r.u8("result")?;
        let result = ConnectResult::from_number(number).ok_or(r.bad_value("result", number.into()))?;
        let session = if opts & opt::HAS_SESSION_ID != 0 { Some(r.string("session id")?) } else { None };
        let (has_session, clean) = (opts & opt::HAS_SESSION != 0, opts & opt::BEGAN_CLEAN != 0);
        Ok(ConnAck { result, has_session, session, clean })
    }
}

/// The id of a packet with QoS.
fn quality(opts: u8, r: &mut Reader<'_>) -> Result<Option<PacketId>, Fault> {
    match (opts & opt::QOS) >> 1 {
        0 => Ok(None),
        1 => r.id().map(Some),
        other => Err(r.bad_value("QoS", u16::from(other))),
    }
}

impl<'b> Publish<'b> {
    fn read(opts: u8, r: &mut Reader<'b>) -> Result<Self, Fault> {
        let id = quality(opts, r)?;
        let (topic, payload) = (r.name("topic")?, r.bytes("message")?);
        Ok(Publish { topic, payload, id, retain: opts & opt::RETAIN != 0, dup: opts & opt::DUP != 0 })
    }
}

impl<'b> Subscribe<'b> {
    fn read(opts: u8, r: &mut Reader<'b>) -> Result<Self, Fault> {
        Ok(Subscribe { id: quality(opts, r)?, filter: r.filter()?, dup: opts & opt::DUP != 0 })
    }
}

impl<'b> Queue<'b> {
    fn read(opts: u8, r: &mut Reader<'b>) -> Result<Self, Fault> {
        let options = if opts & opt::HAS_OPTIONS != 0 { Some(QueueOptions::read(r)?) } else { None };
        let payload = if opts & opt::HAS_PAYLOAD != 0 { Some(r.bytes("message")?) } else { None };
        if options.is_none() && payload.is_none() {
            return Err(Fault::EmptyQueue);
        }
        Ok(Queue { options, payload, dup: opts & opt::QUEUE_DUP != 0 })
    }

    fn write(&self, to: &mut impl Sink) {
        if let Some(o) = &self.options {
            let bit = |set: bool, bit: u16| if set { bit } else { 0 };
            to.u16(
                o.action as u16
                    | bit(o.id.is_some(), queue::ID)
                    | bit(o.address.is_some(), queue::ADDRESS)
                    | bit(o.return_path.is_some(), queue::RETURN_PATH)
                    | bit(o.mark.is_some(), queue::MARK),
            );
            if let Some(id) = o.id {
                to.u16(id.get());
            }
            for text in [o.address, o.return_path].into_iter().flatten() {
                to.bytes(text.as_bytes());
            }
            if let Some(mark) = o.mark {
                to.bytes(mark);
            }
        }
        if let Some(payload) = self.payload {
            to.bytes(payload);
        }
    }
}

impl<'b> QueueOptions<'b> {
    fn read(r: &mut Reader<'b>) -> Result<Self, Fault> {
        let options = r.u16("options")?;
        let has = |bit: u16| options & bit != 0;
        let action = match options & queue::ACTION {
            0 => QueueAction::Initialize,
            1 => QueueAction::Destroy,
            2 => QueueAction::Drain,
            other => return Err(r.bad_value("action", other)),
        };
        let id = if has(queue::ID) { Some(r.id()?) } else { None };
        let address = if has(queue::ADDRESS) { Some(r.topic("address")?) } else { None };
        let return_path = if has(queue::RETURN_PATH) { Some(r.topic("return path")?) } else { None };
        let mark = if has(queue::MARK) { Some(r.bytes("mark")?) } else { None };
        Ok(QueueOptions { action, id, address, return_path, mark })
    }
}
