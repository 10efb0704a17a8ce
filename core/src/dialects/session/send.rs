//! The application's frames.

use super::event::{
    DatagramMode, Drain, Join, Joined, Message, Offer, Outcome, Request, Response, Subscribe,
};
use super::frame::{self, Kind};
use super::hello::Features;
use super::props::Properties;
use super::wire::{Body, Sink, put_frame};
use super::{Session, VARINT_MAX};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::retain::RetainHandling;
use crate::time::Instant;
use crate::topic::{self, TopicError};
use crate::varint::leb128;

/// Why a frame was not sent. Nothing was written and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The output buffer has no room now.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// The peer's credit is used up: wait for [`Event::Credit`](super::Event::Credit).
    #[error("no credit is left; wait until the peer grants more")]
    Credit,
    /// Too many reliable frames are unacknowledged: wait for [`Event::Acked`](super::Event::Acked).
    #[error("the peer takes no more reliable frames before it has acknowledged some")]
    InFlight,
    /// The session is not open, not yet or no longer, or waits for something else.
    #[error("this cannot be sent in the session's present state")]
    State,
    /// The peer takes no new work: send it after reconnecting.
    #[error("the peer is going away and takes no new work; send it again after reconnecting")]
    Draining,
    /// The frame is larger than the peer takes.
    #[error("the frame has {size} octets, the peer takes at most {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The peer's limit.
        limit: u32,
    },
    /// Not a topic name.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// A value that the protocol cannot carry.
    #[error("{0}")]
    Invalid(&'static str),
    /// The feature was not negotiated.
    #[error("the peer does not offer this: its feature was not negotiated")]
    Unsupported,
}

/// A message to the peer whose octets are ready: [`Session::publish_prepared`].
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared<'a> {
    /// At least once.
    pub(crate) reliable: bool,
    /// To be kept as its topic's retained value.
    pub(crate) retain: bool,
    /// Whether the head begins with properties.
    pub(crate) has_properties: bool,
    /// The properties with their length (where there are any) and the topic with its length.
    pub(crate) head: &'a [u8],
    /// The payload.
    pub(crate) payload: &'a bytes::Bytes,
}

impl SendError {
    /// Whether the same call may succeed later on this connection.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        matches!(self, SendError::Blocked(_) | SendError::Credit | SendError::InFlight)
    }
}

/// A message whose octets go out as they came in: [`Received::body`](super::Received::body).
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a, B: ?Sized> {
    /// The subscription because of which it is handed on.
    pub subscription: u64,
    /// At least once.
    pub reliable: bool,
    /// It is a retained value.
    pub retain: bool,
    /// Whether the body begins with properties.
    pub has_properties: bool,
    /// The body.
    pub body: &'a B,
}

/// The first octets of a message's frame: kind, size, and at most two numbers.
struct Lead {
    octets: [u8; 1 + 3 * leb128::MAX_LEN],
    len: usize,
}

impl Lead {
    #[inline]
    const fn new(head: u8) -> Self {
        let mut octets = [0; 1 + 3 * leb128::MAX_LEN];
        octets[0] = head;
        Self { octets, len: 1 }
    }

    /// Octet by octet: nearly all have one or two.
    #[inline]
    const fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.octets[self.len] = n as u8 | 0x80;
            (n, self.len) = (n >> 7, self.len + 1);
        }
        self.octets[self.len] = n as u8;
        self.len += 1;
    }
}

impl Session {
    /// Sends a message to the peer (PUBLISH). A reliable one gets the next number, which
    /// [`counts`](Session::counts) tells; keep it until that number is acknowledged.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message was not sent then.
    pub fn publish(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        topic::validate_topic(message.topic)?;
        if self.drain_received {
            return Err(SendError::Draining);
        }
        self.put_message(now, out, self.publish_kind(message.retain)?, None, message)
    }

    /// As [`publish`](Session::publish), of a message that was checked and prepared before; a large
    /// payload goes by reference.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn publish_prepared(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Prepared<'_>,
    ) -> Result<(), SendError> {
        if self.drain_received {
            return Err(SendError::Draining);
        }
        let flags = if message.has_properties { frame::PROPS } else { 0 };
        let size = message.head.len() + message.payload.len();
        self.start_message(
            now,
            out,
            self.publish_kind(message.retain)?,
            flags | u8::from(message.reliable),
            size,
            &[],
        )?;
        out.put(message.head);
        out.put_shared(message.payload);
        Ok(())
    }

    /// PUBLISH or RETAIN; the latter needs its feature (FEA-1).
    fn publish_kind(&self, retain: bool) -> Result<Kind, SendError> {
        if !retain {
            return Ok(Kind::Publish);
        }
        self.needs(Features::RETAINED).map(|()| Kind::Retain)
    }

    /// MESSAGE or RETAINED; without the feature a retained value is a message like any (RET-3).
    #[inline]
    const fn message_kind(&self, retain: bool) -> Kind {
        if retain && self.features.contains(Features::RETAINED) { Kind::Retained } else { Kind::Message }
    }

    /// Hands on a message because of a subscription: MESSAGE, or RETAINED to a peer that chose its
    /// feature.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message was not sent then.
    pub fn message(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        subscription: u64,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        topic::validate_topic(message.topic)?;
        let kind = self.message_kind(message.retain);
        self.put_message(now, out, kind, Some(subscription.min(VARINT_MAX)), message)
    }

    fn put_message(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        kind: Kind,
        id: Option<u64>,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let (topic, payload) = (message.topic.as_bytes(), message.payload);
        let block = message.properties.as_bytes();
        let reliable = u8::from(message.reliable);
        let topic_len = topic.len() as u64;
        let numbers = [id.unwrap_or_default(), topic_len];
        let numbers = if id.is_some() { &numbers[..] } else { &numbers[1..] };
        let length = |n: &u64| leb128::encoded_len(*n);
        let size = numbers.iter().map(length).sum::<usize>() + topic.len() + payload.len();
        if block.is_empty() {
            self.start_message(now, out, kind, reliable, size, numbers)?;
        } else {
            self.may_encode(message.properties)?;
            let size = size + length(&(block.len() as u64)) + block.len();
            let numbers = [id.unwrap_or_default(), block.len() as u64];
            let numbers = if id.is_some() { &numbers[..] } else { &numbers[1..] };
            self.start_message(now, out, kind, reliable | frame::PROPS, size, numbers)?;
            out.put(block);
            out.put(leb128::encode(topic_len, &mut [0; leb128::MAX_LEN]));
        }
        out.put(topic);
        out.put(payload);
        Ok(())
    }

    /// Hands on a message as it came in, without looking into it.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message was not sent then.
    #[inline]
    pub fn forward(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Forward<'_, [u8]>,
    ) -> Result<(), SendError> {
        let id = message.subscription.min(VARINT_MAX);
        let flags = if message.has_properties { frame::PROPS } else { 0 } | u8::from(message.reliable);
        let size = leb128::encoded_len(id) + message.body.len();
        self.start_message(now, out, self.message_kind(message.retain), flags, size, &[id])?;
        out.put(message.body);
        Ok(())
    }

    /// Hands on a message as it came in, a large one by reference.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; the message was not sent then.
    #[cfg(feature = "alloc")]
    #[inline]
    pub fn forward_shared(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        message: &Forward<'_, bytes::Bytes>,
    ) -> Result<(), SendError> {
        let id = message.subscription.min(VARINT_MAX);
        let flags = if message.has_properties { frame::PROPS } else { 0 } | u8::from(message.reliable);
        let size = leb128::encoded_len(id) + message.body.len();
        self.start_message(now, out, self.message_kind(message.retain), flags, size, &[id])?;
        out.put_shared(message.body);
        Ok(())
    }

    /// Checks that a message of `size` octets may go, puts its head and the `numbers` that it begins
    /// with in one piece, and counts it.
    #[inline]
    fn start_message(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        kind: Kind,
        flags: u8,
        size: usize,
        numbers: &[u64],
    ) -> Result<(), SendError> {
        self.tick(now);
        self.may_send(size)?;
        if !self.tx_credit.may_send() {
            return Err(SendError::Credit);
        }
        let reliable = flags & frame::RELIABLE != 0;
        if reliable && self.sent - self.acked >= u64::from(self.tx_in_flight) {
            return Err(SendError::InFlight);
        }
        let mut lead = Lead::new(kind.head(flags));
        lead.varint(size as u64);
        if out.room() < lead.len + size {
            return Err(SendError::Blocked(Blocked));
        }
        out.begin(lead.len + size);
        numbers.iter().for_each(|n| lead.varint(*n));
        self.tx_credit.consume(size as u64);
        self.sent += u64::from(reliable);
        self.keepalive.on_sent(self.now);
        out.put(&lead.octets[..lead.len]);
        Ok(())
    }

    /// CMP-2.
    #[inline]
    fn may_encode(&self, properties: Properties<'_>) -> Result<(), SendError> {
        match properties.encoding() {
            Some(encoding) => self.needs(Features::of_codec(encoding.codec)),
            None => Ok(()),
        }
    }

    #[inline]
    pub(super) fn may_send(&self, size: usize) -> Result<(), SendError> {
        if !self.life.is_established() {
            return Err(SendError::State);
        }
        if size > self.tx_max_frame as usize {
            return Err(SendError::TooLarge { size, limit: self.tx_max_frame });
        }
        Ok(())
    }

    /// Puts a frame that is not on the hot path.
    pub(super) fn put(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        kind: Kind,
        flags: u8,
        body: &impl Body,
    ) -> Result<(), SendError> {
        self.tick(now);
        let size = body.size();
        self.may_send(size)?;
        if self.drain_received && kind.is_new_work() {
            return Err(SendError::Draining);
        }
        if kind.costs_credit() && !self.tx_credit.may_send() {
            return Err(SendError::Credit);
        }
        put_frame(out, kind, flags, size, body)?;
        if kind.costs_credit() {
            self.tx_credit.consume(size as u64);
        }
        self.keepalive.on_sent(self.now);
        Ok(())
    }

    /// Asks for messages, or with `serve` for requests.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        s: &Subscribe<'_>,
    ) -> Result<(), SendError> {
        if s.id == 0 || s.credit == Some(0) {
            return Err(SendError::Invalid("subscription ids and their credit begin at 1"));
        }
        topic::validate_filter(s.filter)?;
        if s.retain_as_published || s.retained != RetainHandling::default() {
            self.needs(Features::RETAINED)?;
        }
        self.put(now, out, Kind::Subscribe, 0, &|to: &mut dyn Sink| {
            to.varint(s.id);
            to.bytes(s.filter.as_bytes());
            if s.reliable {
                to.parameter(1, 1);
            }
            if let Some(credit) = s.credit {
                to.parameter(2, credit);
            }
            for (id, set) in [(3, s.serve), (4, s.no_local)] {
                if set {
                    to.varint(id);
                    to.bytes(&[]);
                }
            }
            if s.retained != RetainHandling::default() {
                to.parameter(5, u64::from(s.retained.number()));
            }
            if s.retain_as_published {
                to.varint(6);
                to.bytes(&[]);
            }
            if s.datagrams != DatagramMode::Stream {
                to.parameter(64, s.datagrams.number());
            }
        })
    }

    /// Ends a subscription.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn unsubscribe(&mut self, now: Instant, out: &mut impl SendBuf, id: u64) -> Result<(), SendError> {
        self.put(now, out, Kind::Unsubscribe, 0, &|to: &mut dyn Sink| to.varint(id))
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn request(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        r: &Request<'_>,
    ) -> Result<(), SendError> {
        topic::validate_topic(r.topic)?;
        self.may_encode(r.properties)?;
        let flags = u8::from(r.many) | props_flag(r.properties);
        self.put(now, out, Kind::Request, flags, &|to: &mut dyn Sink| {
            to.varint(r.id);
            to.varint(r.subscription);
            to.varint(u64::try_from(r.timeout.as_millis()).unwrap_or(u64::MAX));
            put_properties(r.properties, to);
            to.bytes(r.topic.as_bytes());
            to.put(r.payload);
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn respond(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        r: &Response<'_>,
    ) -> Result<(), SendError> {
        self.may_encode(r.properties)?;
        let flags = if r.more { frame::MORE } else { 0 } | props_flag(r.properties);
        self.put(now, out, Kind::Response, flags, &|to: &mut dyn Sink| {
            to.varint(r.id);
            to.varint(r.status.code());
            put_properties(r.properties, to);
            to.put(r.payload);
        })
    }

    /// No longer wants the answer to a request, or will not give it.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn cancel(&mut self, now: Instant, out: &mut impl SendBuf, id: u64) -> Result<(), SendError> {
        self.put(now, out, Kind::Cancel, 0, &|to: &mut dyn Sink| to.varint(id))
    }

    /// Answers a frame that has an id. An outcome without a kind cannot be sent.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn result(&mut self, now: Instant, out: &mut impl SendBuf, o: &Outcome<'_>) -> Result<(), SendError> {
        let kind = o.kind.ok_or(SendError::Invalid("a result names the kind of the frame it answers"))?;
        self.put(now, out, Kind::Result, 0, &|to: &mut dyn Sink| {
            to.put(&[kind.number()]);
            to.varint(o.id);
            to.varint(o.status.code());
            to.bytes(super::shorten(o.reason).as_bytes());
        })
    }

    /// Lets the peer send up to `limit` octets in all because of the subscription `id`.
    ///
    /// The session's own credit is granted by the machine itself.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn grant(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        limit: u64,
    ) -> Result<(), SendError> {
        if id == 0 {
            return Err(SendError::Invalid("the session's credit is granted by the machine itself"));
        }
        self.put(now, out, Kind::Credit, 0, &|to: &mut dyn Sink| {
            to.varint(id);
            to.varint(limit);
        })
    }

    /// Says that this side takes no new work, and closes after `deadline` at the latest (END-6).
    ///
    /// # Errors
    ///
    /// [`SendError::State`] if it was said before; else see [`SendError`].
    pub fn drain(&mut self, now: Instant, out: &mut impl SendBuf, d: &Drain<'_>) -> Result<(), SendError> {
        if self.drain_sent {
            return Err(SendError::State);
        }
        check_string(d.endpoint)?;
        let millis = |d: core::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.put(now, out, Kind::Drain, 0, &|to: &mut dyn Sink| {
            to.varint(millis(d.deadline));
            to.varint(millis(d.retry_after));
            to.bytes(d.endpoint.as_bytes());
        })?;
        self.drain_sent = true;
        self.life.drain(self.now, d.deadline);
        Ok(())
    }

    /// Puts a task into a queue, or hands one to who asked.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn offer(&mut self, now: Instant, out: &mut impl SendBuf, o: &Offer<'_>) -> Result<(), SendError> {
        self.needs(Features::QUEUES)?;
        topic::validate_topic(o.queue)?;
        self.put(now, out, Kind::Offer, props_flag(o.properties), &|to: &mut dyn Sink| {
            to.varint(o.id);
            put_properties(o.properties, to);
            to.bytes(o.queue.as_bytes());
            to.put(o.payload);
        })
    }

    /// Asks a queue for up to `count` more tasks.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn take(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        queue: &str,
        count: u64,
    ) -> Result<(), SendError> {
        self.needs(Features::QUEUES)?;
        topic::validate_topic(queue)?;
        self.put(now, out, Kind::Take, 0, &|to: &mut dyn Sink| {
            to.varint(id);
            to.bytes(queue.as_bytes());
            to.varint(count);
        })
    }

    /// Finishes a task, or gives it back.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn settle(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        reject: bool,
    ) -> Result<(), SendError> {
        self.needs(Features::QUEUES)?;
        let flags = if reject { frame::REJECT } else { 0 };
        self.put(now, out, Kind::Settle, flags, &|to: &mut dyn Sink| to.varint(id))
    }

    /// Enters a room.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn join(&mut self, now: Instant, out: &mut impl SendBuf, join: &Join<'_>) -> Result<(), SendError> {
        let Join { id, room, credit, since, history, data, presence, count_only } = *join;
        self.needs(if presence { Features::ROOMS | Features::PRESENCE } else { Features::ROOMS })?;
        topic::validate_topic(room)?;
        if id == 0 || credit == Some(0) {
            return Err(SendError::Invalid("subscription ids and their credit begin at 1"));
        }
        if count_only && !presence {
            return Err(SendError::Invalid("how many are there is told only with presence"));
        }
        let flags = if presence { frame::PRESENCE } else { 0 };
        self.put(now, out, Kind::Join, flags, &|to: &mut dyn Sink| {
            to.varint(id);
            to.bytes(room.as_bytes());
            if let Some(credit) = credit {
                to.parameter(2, credit);
            }
            if let Some((epoch, offset)) = since {
                to.varint(3);
                to.bytes(&epoch.to_be_bytes());
                to.parameter(4, offset);
            }
            if history > 0 {
                to.parameter(5, history);
            }
            if !data.is_empty() {
                to.varint(6);
                to.bytes(data);
            }
            if count_only {
                to.varint(7);
                to.bytes(&[]);
            }
        })
    }

    /// Says that the peer has entered a room.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn joined(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        joined: &Joined<'_>,
    ) -> Result<(), SendError> {
        self.needs(Features::ROOMS)?;
        check_string(joined.member)?;
        let flags = if joined.recovered { frame::RECOVERED } else { 0 };
        self.put(now, out, Kind::Joined, flags, &|to: &mut dyn Sink| {
            to.varint(joined.id);
            to.put(&joined.epoch.to_be_bytes());
            to.varint(joined.offset);
            to.varint(joined.count);
            to.bytes(joined.member.as_bytes());
        })
    }

    /// Leaves the room that was joined with this id.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn leave(&mut self, now: Instant, out: &mut impl SendBuf, id: u64) -> Result<(), SendError> {
        self.needs(Features::ROOMS)?;
        self.put(now, out, Kind::Leave, 0, &|to: &mut dyn Sink| to.varint(id))
    }

    /// Says who is in a room, or (as a client, with an empty member) what others see of oneself.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn presence(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        id: u64,
        member: &str,
        data: &[u8],
        gone: bool,
    ) -> Result<(), SendError> {
        self.needs(Features::PRESENCE)?;
        check_string(member)?;
        let flags = if gone { frame::GONE } else { 0 };
        self.put(now, out, Kind::Presence, flags, &|to: &mut dyn Sink| {
            to.varint(id);
            to.bytes(member.as_bytes());
            to.put(data);
        })
    }

    /// Asks for messages of the past.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn history(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        h: &super::event::History<'_>,
    ) -> Result<(), SendError> {
        self.needs(Features::HISTORY)?;
        topic::validate_topic(h.room)?;
        self.put(now, out, Kind::History, 0, &|to: &mut dyn Sink| {
            to.varint(h.id);
            to.bytes(h.room.as_bytes());
            for (id, value) in [(1, h.from), (2, h.before), (3, h.limit)] {
                if let Some(value) = value {
                    to.parameter(id, value);
                }
            }
        })
    }

    /// Wants a ping sent now, to measure the round trip: [`Event::Pong`](super::Event::Pong) follows.
    pub fn ping(&mut self, now: Instant) {
        self.tick(now);
        self.keepalive.request_ping();
    }

    /// Accepts the next `count` reliable frames, in the order in which they came: they are
    /// acknowledged. Only with [`Config::manual_accept`](super::Config::manual_accept).
    pub fn accept_received(&mut self, now: Instant, count: u32) {
        self.tick(now);
        let count = count.min(self.unaccepted);
        self.unaccepted -= count;
        self.ack_owed |= count > 0 && !self.close_sent;
    }

    /// The peer is not silent: this side does not listen at present, or knows it alive otherwise.
    #[cfg(feature = "alloc")]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.tick(now);
        self.keepalive.on_received(self.now);
    }

    /// Stops (or starts again) granting the peer more credit, to slow it down: it can go on for
    /// what was granted, and everything that needs no credit still comes.
    pub fn hold_credit(&mut self, hold: bool) {
        if hold {
            self.rx_credit.hold();
        } else {
            self.rx_credit.resume();
        }
    }

    pub(super) fn needs(&self, features: Features) -> Result<(), SendError> {
        if self.is_open() && !self.features.contains(features) {
            return Err(SendError::Unsupported);
        }
        Ok(())
    }
}

/// A string of the protocol holds no U+0000 (TYP-3).
pub(super) fn check_string(s: &str) -> Result<(), SendError> {
    if s.contains('\0') {
        Err(SendError::Invalid("a string must not hold U+0000; remove it"))
    } else {
        Ok(())
    }
}

impl Kind {
    /// What is not to be sent to a peer that drains (END-7).
    const fn is_new_work(self) -> bool {
        matches!(
            self,
            Kind::Subscribe
                | Kind::Request
                | Kind::Offer
                | Kind::Take
                | Kind::Join
                | Kind::History
                | Kind::Tunnel
        )
    }
}

fn props_flag(properties: Properties<'_>) -> u8 {
    if properties.is_empty() { 0 } else { frame::PROPS }
}

fn put_properties(properties: Properties<'_>, to: &mut dyn Sink) {
    if !properties.is_empty() {
        to.bytes(properties.as_bytes());
    }
}
