//! Octets in, events out.

use core::time::Duration;

use super::event::{
    DatagramMode, Drain, Event, History, Join, Joined, Message, Offer, Outcome, Received, Request, ResetCode,
    Response, Subscribe, TunnelFrame,
};
use super::fault::{Broken, Fault};
use super::frame::{self, FIRST_OPTIONAL, Head, Kind, PREFACE};
use super::hello::{Features, parameters};
use super::props::Properties;
use super::wire::{Reader, number};
use super::{HANDSHAKE_FRAME_MAX, HANDSHAKE_MAX, Phase, Role, Session, TARGET_MAX};
use crate::buf::RecvBuf;
use crate::compression::InflateError;
use crate::lifecycle::State;
use crate::retain::RetainHandling;
use crate::status::Status;
use crate::time::Instant;

const PUBLISH: u8 = Kind::Publish.number();
const MESSAGE: u8 = Kind::Message.number();
const RETAIN: u8 = Kind::Retain.number();
const RETAINED: u8 = Kind::Retained.number();

const FROM_CLIENTS: &str = "from a server";
const FROM_SERVERS: &str = "from a client";
const IN_OPEN: &str = "once the session is open";
const BEFORE_OPEN: &str = "before the session is open";
const NOT_FIRST: &str = "as the first frame";
const UNEXPECTED_AUTH: &str = "when no authentication waits for it";

/// What stands at the front of the receive buffer.
enum Next {
    /// Nothing whole, or nothing to be read yet.
    Nothing,
    /// So many octets to pass over.
    Skip(usize),
    /// A whole frame: its kind, its flags, where its body begins, where it ends.
    Frame(Kind, u8, usize, usize),
}

impl Session {
    /// Whether the peer's next frame says that it leaves.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_close_next(buf: &impl RecvBuf) -> bool {
        buf.filled().first().is_some_and(|octet| octet >> 2 == Kind::Close.number())
    }

    /// Consumes whole frames from `buf` up to the next event, which borrows the buffer.
    ///
    /// Call it until it returns nothing, whenever octets came and after
    /// [`handle_timeout`](Session::handle_timeout); then [`poll_transmit`](Session::poll_transmit).
    /// A call takes time in the length of what it consumes.
    pub fn recv<'b>(&mut self, now: Instant, buf: &'b mut impl RecvBuf) -> Option<Event<'b>> {
        self.tick(now);
        if let Some((kind, flags, start, end)) = self.scan_message(buf.filled()) {
            let body = &buf.take(end)[start..];
            return match self.read_message(kind, flags, body) {
                Ok((_, message)) if !kind.names_subscription() => Some(Event::Publish(message)),
                Ok((id, message)) => Some(Event::Message(id, message)),
                Err(fault) => Some(self.fail(fault)),
            };
        }
        self.recv_other(buf)
    }

    /// All of [`recv`](Session::recv) but its short cut for messages, which is faster without this.
    #[inline(never)]
    fn recv_other<'b>(&mut self, buf: &'b mut impl RecvBuf) -> Option<Event<'b>> {
        if let Some(closed) = self.poll_closed() {
            return Some(closed);
        }
        let (kind, flags, start, end) = loop {
            let next = match self.scan(buf.filled(), buf.limit()) {
                Ok(next) => next,
                Err(fault) => {
                    self.deaf = true;
                    buf.take(usize::MAX);
                    return Some(self.fail(fault));
                }
            };
            match next {
                Next::Nothing => return None,
                Next::Skip(n) => {
                    buf.take(n);
                }
                Next::Frame(kind, _, start, end) if kind.is_quiet() => {
                    match self.quiet(kind, &buf.take(end)[start..]) {
                        Ok(None) => {}
                        Ok(Some(event)) => return Some(event),
                        Err(fault) => return Some(self.fail(fault)),
                    }
                }
                Next::Frame(kind, flags, start, end) => break (kind, flags, start, end),
            }
        };
        if self.phase != Phase::Done {
            self.handshake_octets = self.handshake_octets.saturating_add(end as u32);
        }
        let body = &buf.take(end)[start..];
        match self.event(kind, flags, body) {
            Ok(event) => event,
            Err(_) if self.is_ended() => {
                self.deaf = true;
                None
            }
            Err(fault) => Some(self.fail(fault)),
        }
    }

    /// The whole message at the front of what was received by an open session, where there is one:
    /// the hot path of [`scan`](Session::scan), which finds out what is wrong with anything else.
    #[inline]
    fn scan_message(&mut self, bytes: &[u8]) -> Option<(Kind, u8, usize, usize)> {
        let kind = match *bytes.first()? >> 2 {
            PUBLISH => Kind::Publish,
            MESSAGE => Kind::Message,
            RETAIN if self.features.contains(Features::RETAINED) => Kind::Retain,
            RETAINED if self.features.contains(Features::RETAINED) => Kind::Retained,
            _ => return None,
        };
        let Ok(Some(head)) = Head::read(bytes) else { return None };
        let end = head.size.saturating_add(head.len as u64);
        let whole = head.size <= u64::from(self.rx_max_frame) && end <= bytes.len() as u64;
        if !whole || !self.life.is_established() {
            return None;
        }
        if bytes.len() as u32 != self.partial {
            self.note_octets(bytes.len() as u32);
        }
        Some((kind, head.flags(), head.len, end as usize))
    }

    /// Octets have come, and so many wait.
    #[inline]
    fn note_octets(&mut self, waiting: u32) {
        self.keepalive.on_received(self.now);
        self.partial = waiting;
    }

    /// Looks at the front of what was received, and checks all that can be known from there, in
    /// the order of FRM-7, before any body is waited for.
    #[inline]
    fn scan(&mut self, bytes: &[u8], buffer_limit: usize) -> Result<Next, Fault> {
        if bytes.is_empty() {
            self.partial = 0;
            return Ok(Next::Nothing);
        }
        if bytes.len() as u32 != self.partial {
            self.note_octets(bytes.len() as u32);
        }
        let limit = match self.phase {
            _ if self.is_ended() => return Ok(self.scan_closing(bytes, buffer_limit)),
            Phase::Done => self.rx_max_frame,
            Phase::Preface(seen) => return self.scan_preface(bytes, seen),
            Phase::Deciding if bytes[0] != Kind::Close.head(0) => return Ok(Next::Nothing),
            Phase::Hello | Phase::Deciding | Phase::Auth | Phase::Welcome => {
                self.rx_max_frame.min(HANDSHAKE_FRAME_MAX)
            }
        };
        let kind = self.check_head(bytes[0])?;
        let Some(head) = Head::read(bytes)? else { return Ok(Next::Nothing) };
        let limit = limit.min(u32::try_from(buffer_limit - head.len.min(buffer_limit)).unwrap_or(u32::MAX));
        if head.size > u64::from(limit) {
            return Err(Fault::FrameTooLarge { size: head.size, limit });
        }
        let end = head.len + head.size as usize;
        if self.phase != Phase::Done {
            self.check_handshake(end)?;
        }
        let Some(kind) = kind else {
            return Ok(if bytes.len() < end { Next::Nothing } else { Next::Skip(end) });
        };
        if bytes.len() < end {
            return if kind.costs_credit() { self.check_credit(kind) } else { Ok(Next::Nothing) };
        }
        Ok(Next::Frame(kind, head.flags(), head.len, end))
    }

    /// CRE-3, for a message that has begun and is not whole.
    fn check_credit(&self, kind: Kind) -> Result<Next, Fault> {
        match self.rx_credit.clone().consume(0) {
            Ok(()) => Ok(Next::Nothing),
            Err(_) => Err(Fault::CreditExceeded { kind }),
        }
    }

    /// Kind, flags, side and state; nothing for an optional kind to be skipped.
    #[inline]
    fn check_head(&self, octet: u8) -> Result<Option<Kind>, Fault> {
        let (number, flags) = (octet >> 2, octet & 3);
        let Some(kind) = Kind::from_number(number) else {
            return if number >= FIRST_OPTIONAL && self.phase == Phase::Done {
                Ok(None)
            } else {
                Err(Fault::UnknownKind(number))
            };
        };
        let reserved = flags & !kind.flags();
        if reserved != 0 {
            return Err(Fault::ReservedBits { kind, flags: reserved });
        }
        if self.phase == Phase::Done && matches!(kind, Kind::Publish | Kind::Message) {
            return Ok(Some(kind));
        }
        self.check_allowed(kind, flags).map(|()| Some(kind))
    }

    /// Side, state and feature (FRM-5, FEA-1).
    fn check_allowed(&self, kind: Kind, flags: u8) -> Result<(), Fault> {
        let wrong = |context| Err(Fault::UnexpectedFrame { kind, context });
        match (self.role, kind) {
            (_, Kind::Close) => return Ok(()),
            (Role::Server, Kind::Welcome | Kind::Joined) => return wrong(FROM_SERVERS),
            (
                Role::Client,
                Kind::Hello | Kind::Take | Kind::Join | Kind::Leave | Kind::History | Kind::Tunnel,
            ) => return wrong(FROM_CLIENTS),
            _ => {}
        }
        match (self.phase, kind) {
            (Phase::Done, Kind::Hello | Kind::Welcome) => return wrong(IN_OPEN),
            (Phase::Done, Kind::Auth) => return wrong(UNEXPECTED_AUTH),
            (Phase::Hello, Kind::Hello) | (Phase::Auth, Kind::Auth) => {}
            (Phase::Welcome, Kind::Welcome) => {}
            (Phase::Welcome, Kind::Auth) if self.auth_waits => {}
            (Phase::Hello, _) => return wrong(NOT_FIRST),
            (Phase::Auth | Phase::Welcome | Phase::Deciding, _) => return wrong(BEFORE_OPEN),
            _ => {}
        }
        let needs = match kind {
            Kind::Offer | Kind::Take | Kind::Settle => Features::QUEUES,
            Kind::Join if flags & frame::PRESENCE != 0 => Features::ROOMS | Features::PRESENCE,
            Kind::Join | Kind::Leave | Kind::Joined => Features::ROOMS,
            Kind::Presence => Features::PRESENCE,
            Kind::History => Features::HISTORY,
            Kind::Retain | Kind::Retained => Features::RETAINED,
            Kind::Tunnel | Kind::Data | Kind::Window | Kind::Reset => Features::RELAY,
            _ => Features::NONE,
        };
        if self.features.contains(needs) {
            Ok(())
        } else {
            Err(Fault::Unsupported { kind, what: "its feature was not negotiated" })
        }
    }

    /// PRE-1, PRE-2: octet by octet, so that a wrong one is refused at once.
    fn scan_preface(&mut self, bytes: &[u8], seen: u8) -> Result<Next, Fault> {
        let (mut at, mut n) = (seen, 0);
        while let (Some(found), Some(wanted)) = (bytes.get(n), PREFACE.get(usize::from(at))) {
            if found != wanted {
                return Err(Fault::BadPreface { at, found: *found });
            }
            (at, n) = (at + 1, n + 1);
        }
        self.phase = if usize::from(at) == PREFACE.len() { Phase::Hello } else { Phase::Preface(at) };
        self.handshake_octets += n as u32;
        Ok(Next::Skip(n))
    }

    /// FRM-6, when a frame that ends `end` octets further on is announced.
    fn check_handshake(&self, end: usize) -> Result<(), Fault> {
        if self.role == Role::Server && self.handshake_octets as usize + end > HANDSHAKE_MAX {
            return Err(Fault::HandshakeTooLarge);
        }
        Ok(())
    }

    /// END-3: all is dropped unread, but for CLOSE. What never fits the buffer ends the reading too.
    fn scan_closing(&mut self, bytes: &[u8], buffer_limit: usize) -> Next {
        if self.deaf || self.life.state() == State::Closed {
            return Next::Skip(bytes.len());
        }
        let largest = u64::from(self.rx_max_frame.max(HANDSHAKE_FRAME_MAX));
        match Head::read(bytes) {
            Ok(None) => Next::Nothing,
            Ok(Some(head)) if head.size <= largest.min(buffer_limit.saturating_sub(head.len) as u64) => {
                let end = head.len + head.size as usize;
                match Kind::from_number(head.number()) {
                    _ if bytes.len() < end => Next::Nothing,
                    Some(Kind::Close) => Next::Frame(Kind::Close, 0, head.len, end),
                    _ => Next::Skip(end),
                }
            }
            _ => {
                self.deaf = true;
                Next::Skip(bytes.len())
            }
        }
    }

    /// Frames that the machine itself handles; few of them are worth an event.
    fn quiet(&mut self, kind: Kind, body: &[u8]) -> Result<Option<Event<'static>>, Fault> {
        let mut r = Reader(body);
        let broken = |b: Broken| b.at(kind);
        match kind {
            Kind::Ping => {
                self.pong = u64::from_be_bytes(r.array().map_err(broken)?);
                r.end().map_err(broken)?;
                self.pong_owed = true;
                Ok(None)
            }
            Kind::Pong => {
                let token = u64::from_be_bytes(r.array().map_err(broken)?);
                r.end().map_err(broken)?;
                Ok(self.keepalive.on_pong(self.now, token).map(Event::Pong))
            }
            Kind::Ack => {
                let count = r.varint().map_err(broken)?;
                r.end().map_err(broken)?;
                if count < self.acked || count > self.sent {
                    return Err(Fault::BadAck { count, acked: self.acked, sent: self.sent });
                }
                let news = count > self.acked;
                self.acked = count;
                Ok(news.then_some(Event::Acked(count)))
            }
            _ => {
                let (id, limit) = (r.varint().map_err(broken)?, r.varint().map_err(broken)?);
                r.end().map_err(broken)?;
                if id == 0 && !self.tx_credit.grant(limit) {
                    return Ok(None);
                }
                Ok(Some(Event::Credit(id, limit)))
            }
        }
    }

    /// Every other frame.
    fn event<'b>(&mut self, kind: Kind, flags: u8, body: &'b [u8]) -> Result<Option<Event<'b>>, Fault> {
        if matches!(kind, Kind::Request | Kind::Response | Kind::Offer) {
            self.use_credit(kind, body)?;
        }
        let event = match kind {
            Kind::Publish | Kind::Retain => Event::Publish(self.read_message(kind, flags, body)?.1),
            Kind::Message | Kind::Retained => {
                let (id, message) = self.read_message(kind, flags, body)?;
                Event::Message(id, message)
            }
            Kind::Hello | Kind::Welcome | Kind::Auth | Kind::Close => {
                return self.handshake_event(kind, body);
            }
            Kind::Drain if self.drain_received => {
                return Err(Fault::UnexpectedFrame { kind, context: "a second time" });
            }
            Kind::Subscribe => Event::Subscribe(subscribe(body, self.features).map_err(|b| b.at(kind))?),
            _ => rare_event(kind, flags, Reader(body)).map_err(|b| b.at(kind))?,
        };
        match &event {
            Event::Request(r) => self.check_encoding(kind, r.properties, r.payload)?,
            Event::Response(r) => self.check_encoding(kind, r.properties, r.payload)?,
            Event::Offer(o) => self.check_encoding(kind, o.properties, o.payload)?,
            _ => {}
        }
        self.drain_received |= kind == Kind::Drain;
        Ok(Some(event))
    }

    /// CRE-3.
    #[inline]
    fn use_credit(&mut self, kind: Kind, body: &[u8]) -> Result<(), Fault> {
        self.rx_credit.consume(body.len() as u64).map_err(|_| Fault::CreditExceeded { kind })
    }

    /// A message, and the subscription because of which it came (0 for PUBLISH).
    #[inline(always)]
    fn read_message<'b>(
        &mut self,
        kind: Kind,
        flags: u8,
        mut body: &'b [u8],
    ) -> Result<(u64, Received<'b>), Fault> {
        self.use_credit(kind, body)?;
        let (at, mut r, mut id) = (|b: Broken| b.at(kind), Reader(body), 0);
        if kind.names_subscription() {
            id = r.varint().map_err(at)?;
            body = r.0;
        }
        let properties = properties(flags, &mut r).map_err(at)?;
        let topic = r.topic().map_err(at)?;
        if flags & frame::PROPS != 0 {
            self.check_encoding(kind, properties, r.0)?;
        }
        let reliable = flags & frame::RELIABLE != 0;
        if reliable {
            self.count_reliable()?;
        }
        let retain = matches!(kind, Kind::Retain | Kind::Retained);
        Ok((id, Received { message: Message { topic, payload: r.0, properties, reliable, retain }, body }))
    }

    /// CMP-2, CMP-4, CMP-5: what is compressed may be, and inflates to no more than it should.
    fn check_encoding(&self, kind: Kind, properties: Properties<'_>, payload: &[u8]) -> Result<(), Fault> {
        let Some(encoding) = properties.encoding() else { return Ok(()) };
        if !self.features.contains(Features::of_codec(encoding.codec)) {
            return Err(Broken::Unsupported("a codec that was not chosen").at(kind));
        }
        match encoding.check(payload.len(), self.rx_max_frame.into()) {
            Ok(()) => Ok(()),
            Err(InflateError::TooLarge { length, .. }) => {
                Err(Fault::InflatesTooLarge { length, limit: self.rx_max_frame })
            }
            Err(_) => Err(Fault::InflatesTooMuch { length: encoding.length, size: payload.len() as u32 }),
        }
    }

    /// The frame that a datagram beside the stream is: one whole PUBLISH or MESSAGE without RELIABLE, which
    /// costs no credit (DGM-20). Nothing where it is not, or the session is not open: it is as if it were lost.
    #[cfg(feature = "alloc")]
    pub fn recv_datagram<'b>(&mut self, now: Instant, datagram: &'b [u8]) -> Option<Event<'b>> {
        self.tick(now);
        let head = Head::read(datagram).ok()??;
        let (kind, flags) = (Kind::from_number(*datagram.first()? >> 2)?, head.flags());
        let body = datagram.get(head.len..)?;
        let plain = matches!(kind, Kind::Publish | Kind::Message) && flags & !frame::PROPS == 0;
        if !plain || head.size != body.len() as u64 || !self.life.is_established() {
            return None;
        }
        self.check_allowed(kind, flags).ok()?;
        let (mut r, mut id, mut rest) = (Reader(body), 0, body);
        if kind.names_subscription() {
            (id, rest) = (r.varint().ok()?, r.0);
        }
        let properties = properties(flags, &mut r).ok()?;
        let topic = r.topic().ok()?;
        let message = Message { topic, payload: r.0, properties, reliable: false, retain: false };
        let received = Received { message, body: rest };
        self.keepalive.on_received(self.now);
        Some(if kind.names_subscription() { Event::Message(id, received) } else { Event::Publish(received) })
    }

    /// REL-5, REL-2.
    fn count_reliable(&mut self) -> Result<(), Fault> {
        if self.unacknowledged >= u32::from(self.rx_in_flight) {
            return Err(Fault::InFlightExceeded { limit: self.rx_in_flight });
        }
        self.received += 1;
        self.unacknowledged += 1;
        if self.manual {
            self.unaccepted += 1;
        } else {
            self.ack_owed = true;
        }
        Ok(())
    }
}

impl Kind {
    /// A message that names the subscription because of which it comes.
    #[inline]
    const fn names_subscription(self) -> bool {
        matches!(self, Kind::Message | Kind::Retained)
    }

    /// Handled by the machine itself, in its stride.
    #[inline]
    const fn is_quiet(self) -> bool {
        matches!(self, Kind::Ping | Kind::Pong | Kind::Ack | Kind::Credit)
    }
}

#[inline]
fn properties<'b>(flags: u8, r: &mut Reader<'b>) -> Result<Properties<'b>, Broken> {
    if flags & frame::PROPS == 0 {
        return Ok(Properties::NONE);
    }
    match r.bytes()? {
        [] => Err(Broken::Malformed("PROPS is set, but there are no properties")),
        block => Properties::read(block),
    }
}

/// The frames that carry no message of the hot path.
fn rare_event(kind: Kind, flags: u8, mut r: Reader<'_>) -> Result<Event<'_>, Broken> {
    let event = match kind {
        Kind::Request => {
            let (id, subscription) = (r.varint()?, r.varint()?);
            let timeout = Duration::from_millis(r.varint()?);
            let (properties, topic) = (properties(flags, &mut r)?, r.topic()?);
            let (many, payload) = (flags & frame::MANY != 0, r.rest());
            Event::Request(Request { id, subscription, timeout, many, topic, payload, properties })
        }
        Kind::Response => {
            let (id, status) = (r.varint()?, Status::from_code(r.varint()?));
            let (properties, more) = (properties(flags, &mut r)?, flags & frame::MORE != 0);
            Event::Response(Response { id, status, more, payload: r.rest(), properties })
        }
        Kind::Result => {
            let (kind, id) = (Kind::from_number(r.u8()?), r.varint()?);
            Event::Result(Outcome { kind, id, status: Status::from_code(r.varint()?), reason: r.reason()? })
        }
        Kind::Drain => {
            let deadline = Duration::from_millis(r.varint()?);
            let retry_after = Duration::from_millis(r.varint()?);
            Event::Drain(Drain { deadline, retry_after, endpoint: r.string()? })
        }
        Kind::Offer => {
            let id = r.varint()?;
            let (properties, queue) = (properties(flags, &mut r)?, r.topic()?);
            Event::Offer(Offer { id, queue, payload: r.rest(), properties })
        }
        Kind::Take => Event::Take { id: r.varint()?, queue: r.topic()?, count: r.varint()? },
        Kind::Settle => Event::Settle { id: r.varint()?, reject: flags & frame::REJECT != 0 },
        Kind::Join => return join(flags, r).map(Event::Join),
        Kind::Joined => Event::Joined(Joined {
            id: r.varint()?,
            epoch: u64::from_be_bytes(r.array()?),
            offset: r.varint()?,
            count: r.varint()?,
            member: r.string()?,
            recovered: flags & frame::RECOVERED != 0,
        }),
        Kind::Presence => {
            let (id, member, data) = (r.varint()?, r.string()?, r.rest());
            Event::Presence { id, member, data, gone: flags & frame::GONE != 0 }
        }
        Kind::History => return history(r).map(Event::History),
        Kind::Tunnel | Kind::Data | Kind::Window | Kind::Reset => {
            return tunnel(kind, flags, r).map(Event::Tunnel);
        }
        Kind::Unsubscribe => Event::Unsubscribe(r.varint()?),
        Kind::Leave => Event::Leave(r.varint()?),
        _ => Event::Cancel(r.varint()?),
    };
    r.end()?;
    Ok(event)
}

/// SUB-1, SUB-6, SUB-7 and the parameters of SPEC §5.1.
fn subscribe(body: &[u8], features: Features) -> Result<Subscribe<'_>, Broken> {
    let mut r = Reader(body);
    let retained = features.contains(Features::RETAINED);
    let (id, filter) = (r.varint()?, r.string()?);
    if id == 0 {
        return Err(Broken::Malformed("subscription ids begin at 1"));
    }
    let mut s = Subscribe { id, filter, ..Subscribe::default() };
    parameters(r, |id, value| {
        match id {
            1 => s.reliable = quality(value)?,
            2 => s.credit = Some(first_credit(value)?),
            5 if retained => s.retained = retain_handling(value)?,
            6 if !retained => return Ok(false),
            3 | 4 | 6 if !value.is_empty() => return Err(Broken::Malformed("this parameter has no value")),
            3 => s.serve = true,
            4 => s.no_local = true,
            6 => s.retain_as_published = true,
            64 => s.datagrams = DatagramMode::from_number(number(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(s)
}

fn quality(value: &[u8]) -> Result<bool, Broken> {
    match number(value)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Broken::Malformed("quality is 0 or 1")),
    }
}

fn retain_handling(value: &[u8]) -> Result<RetainHandling, Broken> {
    RetainHandling::from_number(number(value)?).ok_or(Broken::Malformed("retained is 0, 1 or 2"))
}

fn first_credit(value: &[u8]) -> Result<u64, Broken> {
    match number(value)? {
        0 => Err(Broken::Malformed("a subscription's credit begins above 0")),
        n => Ok(n),
    }
}

/// ROO-1 to ROO-3 and the parameters of SPEC §5.4.
fn join(flags: u8, mut r: Reader<'_>) -> Result<Join<'_>, Broken> {
    let (id, room) = (r.varint()?, r.topic()?);
    if id == 0 {
        return Err(Broken::Malformed("subscription ids begin at 1"));
    }
    let mut join = Join { id, room, presence: flags & frame::PRESENCE != 0, ..Join::default() };
    let (mut epoch, mut offset) = (None, None);
    parameters(r, |id, value| {
        match id {
            2 => join.credit = Some(first_credit(value)?),
            3 => epoch = Some(u64::from_be_bytes(Reader(value).whole()?)),
            4 => offset = Some(number(value)?),
            5 => join.history = number(value)?,
            6 => join.data = value,
            7 if !value.is_empty() => return Err(Broken::Malformed("this parameter has no value")),
            7 if !join.presence => return Err(Broken::Malformed("count alone needs the flag of presence")),
            7 => join.count_only = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if epoch.is_some() != offset.is_some() {
        return Err(Broken::Malformed("an epoch needs an offset, and an offset an epoch"));
    }
    join.since = epoch.zip(offset);
    Ok(join)
}

/// TUN-1 and the bodies of SPEC §5.9.
fn tunnel(kind: Kind, flags: u8, mut r: Reader<'_>) -> Result<TunnelFrame<'_>, Broken> {
    let id = r.varint()?;
    if id == 0 {
        return Err(Broken::Malformed("tunnel ids begin at 1"));
    }
    let frame = match kind {
        Kind::Tunnel => match (r.varint()?, r.string()?) {
            (0, _) => return Err(Broken::Malformed("a tunnel's window begins above 0")),
            (_, "") => return Err(Broken::Malformed("the target is empty")),
            (_, long) if long.len() > TARGET_MAX => {
                return Err(Broken::Malformed("the target has more than 512 octets"));
            }
            (window, target) => {
                parameters(r, |_, _| Ok(false))?;
                return Ok(TunnelFrame::Open { id, window, target });
            }
        },
        Kind::Data => TunnelFrame::Data { id, end: flags & frame::END != 0, payload: r.rest() },
        Kind::Window => TunnelFrame::Window { id, limit: r.varint()? },
        _ => TunnelFrame::Reset { id, code: ResetCode::from_number(r.varint()?) },
    };
    r.end()?;
    Ok(frame)
}

fn history(mut r: Reader<'_>) -> Result<History<'_>, Broken> {
    let (id, room) = (r.varint()?, r.topic()?);
    if id == 0 {
        return Err(Broken::Malformed("subscription ids begin at 1"));
    }
    let mut h = History { id, room, from: None, before: None, limit: None };
    parameters(r, |id, value| {
        let to = match id {
            1 => &mut h.from,
            2 => &mut h.before,
            3 => &mut h.limit,
            _ => return Ok(false),
        };
        *to = Some(number(value)?);
        Ok(true)
    })?;
    Ok(h)
}
