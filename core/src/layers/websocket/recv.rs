//! Octets in, events out.
//!
//! The receive buffer, while a message or a stream is under way:
//!
//! ```text
//! | inner: payloads, side by side | gap: headers, spent | raw: as received |
//! ```
//!
//! With nothing within, spent octets leave at the front, and the next payload is at the front without
//! having moved. Else the payload moves left over the gap while it is unmasked. What is left of `raw` once
//! all frames are decoded is shorter than a control frame; it moves left too, so that the gap is gone
//! before more is read.

use core::time::Duration;

use super::close::{Owed, Payload};
use super::frame::{Expect, FIN, Header, MASK, Opcode, RSV1};
use super::{
    Carries, CloseCode, Closed, Config, Event, Fault, HEADROOM, Kind, Message, Piece, Role, WebSocket,
};
use super::{mask, utf8};
use crate::buf::{RecvBuf, SendBuf};
use crate::lifecycle::{By, State};
use crate::time::Instant;

/// Where decoding stands.
#[derive(Debug)]
pub(super) struct Rx {
    /// Decoded octets at the front of the buffer.
    inner: usize,
    /// Spent octets behind them.
    gap: usize,
    /// Octets behind those that were there, undecoded, when the last call ended.
    seen: usize,
    /// What is to come of the frame's payload.
    remaining: u64,
    /// The size of the message under way, as far as it is known, its fragments' overhead included.
    size: u64,
    /// How much of it was handed out in pieces.
    told: u64,
    max_message: u64,
    fragment_cost: u32,
    /// As it goes on at the next octet of the payload.
    key: [u8; 4],
    /// Of the message under way.
    kind: Option<Kind>,
    carries: Carries,
    /// Octets at the end of the decoded ones that are the beginning of a character.
    tail: u8,
    /// The frame is its message's last.
    fin: bool,
    /// A piece of the message was handed out.
    begun: bool,
    /// The message is compressed.
    compressed: bool,
    /// Messages may be compressed.
    may_be_compressed: bool,
}

/// What decoding met.
enum Step {
    /// Go on.
    Again,
    /// More has to be received.
    Wait,
    /// A message is complete, or a piece of one is there.
    Message,
    /// A ping of ours was answered.
    RoundTrip(Duration),
    /// A Close frame, of so many octets, which are not consumed yet; its reason begins there.
    Close { size: usize, reason: usize },
}

impl Rx {
    pub(super) const fn new(carries: Carries, config: &Config) -> Self {
        Self {
            inner: 0,
            gap: 0,
            seen: 0,
            remaining: 0,
            size: 0,
            told: 0,
            max_message: config.max_message,
            fragment_cost: config.fragment_cost,
            key: [0; 4],
            kind: None,
            carries,
            tail: 0,
            fin: false,
            begun: false,
            compressed: false,
            may_be_compressed: false,
        }
    }

    /// How many octets of a stream are decoded.
    #[inline]
    pub(super) const fn stream(&self) -> usize {
        match self.carries {
            Carries::Stream => self.inner,
            _ => 0,
        }
    }

    /// Takes `n` decoded octets, and with the last of them the gap.
    #[inline]
    pub(super) fn consume<'b>(&mut self, buf: &'b mut impl RecvBuf, n: usize) -> &'b [u8] {
        let n = n.min(self.inner);
        self.inner -= n;
        if self.inner > 0 {
            return buf.take(n);
        }
        let gap = core::mem::take(&mut self.gap);
        let taken = buf.take(n + gap);
        &taken[..n.min(taken.len())]
    }

    /// Forgets a stream's decoded octets but the first `n`.
    pub(super) fn truncate_stream(&mut self, buf: &mut impl RecvBuf, n: usize) {
        let inner = self.stream();
        if n < inner {
            self.gap += inner - n;
            self.inner = n;
            self.skip(buf, 0);
        }
    }

    /// Spends `n` raw octets.
    #[inline]
    fn skip(&mut self, buf: &mut impl RecvBuf, n: usize) {
        self.gap += n;
        if self.inner == 0 {
            buf.take(core::mem::take(&mut self.gap));
        }
    }

    /// Closes the gap.
    fn settle(&mut self, buf: &mut impl RecvBuf) {
        if self.gap > 0 {
            let filled = buf.filled_mut();
            filled.copy_within(self.inner + self.gap.., self.inner);
            let len = filled.len() - self.gap;
            buf.truncate(len);
            self.gap = 0;
        }
        self.seen = buf.filled().len() - self.inner;
    }

    /// Drops all but a stream's decoded octets.
    fn discard(&mut self, buf: &mut impl RecvBuf) {
        self.inner = self.stream();
        self.gap = 0;
        buf.truncate(self.inner);
        self.settle(buf);
    }

    /// Messages may be compressed from here on.
    #[cfg(feature = "deflate")]
    pub(super) fn allow_compressed(&mut self) {
        self.may_be_compressed = self.carries == Carries::Messages;
    }

    /// The largest message that is taken.
    #[inline]
    fn most(&self, carries: Carries, buffer_limit: usize) -> u64 {
        match carries {
            Carries::Stream => u64::MAX,
            Carries::Messages => self.max_message.min(buffer_limit.saturating_sub(HEADROOM) as u64),
            Carries::Pieces => self.max_message,
        }
    }

    /// Begins a data frame: what can be refused of it is refused here, before any of it is waited for.
    #[inline]
    fn begin(&mut self, header: &Header, buffer_limit: usize) -> Result<(), Fault> {
        if self.carries == Carries::Stream && header.opcode == Opcode::Text {
            return Err(Fault::TextInStream);
        }
        let most = self.most(self.carries, buffer_limit);
        let before = match header.opcode {
            Opcode::Continuation => self.size.saturating_add(u64::from(self.fragment_cost)),
            _ => {
                let kind = if header.opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
                self.kind = Some(kind);
                self.compressed = header.rsv1;
                (self.told, self.begun) = (0, false);
                0
            }
        };
        self.size = before.saturating_add(header.payload);
        if self.size > most {
            return Err(Fault::TooBig { size: self.size, limit: most });
        }
        self.remaining = header.payload;
        self.key = header.key;
        self.fin = header.fin;
        Ok(())
    }

    /// Decodes what has come of a data frame's payload.
    #[inline]
    fn payload(&mut self, buf: &mut impl RecvBuf) -> Result<Step, Fault> {
        let from = self.inner + self.gap;
        let filled = buf.filled_mut();
        let n = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(filled.len() - from);
        if n == 0 && self.remaining > 0 {
            return Ok(Step::Wait);
        }
        mask::move_left(filled, from, self.inner, n, self.key);
        if self.kind == Some(Kind::Text) && n > 0 && !self.compressed {
            let at = self.inner - usize::from(self.tail);
            match utf8::check(&filled[at..self.inner + n]) {
                Ok(tail) => self.tail = tail as u8,
                Err(bad) => return Err(Fault::Utf8 { at: self.told + (at + bad) as u64 }),
            }
        }
        self.inner += n;
        self.remaining -= n as u64;
        if self.remaining > 0 {
            self.key = mask::rotate(self.key, n);
        }
        self.end_payload()
    }

    /// What the payload that came amounts to.
    #[inline]
    fn end_payload(&mut self) -> Result<Step, Fault> {
        let ends = self.remaining == 0 && self.fin;
        if ends && self.tail > 0 {
            let at = self.told + (self.inner - usize::from(self.tail)) as u64;
            return Err(Fault::Utf8 { at });
        }
        match self.carries {
            Carries::Messages if ends => return Ok(Step::Message),
            Carries::Pieces if ends || self.inner > usize::from(self.tail) => return Ok(Step::Message),
            Carries::Stream if ends => self.kind = None,
            _ => {}
        }
        Ok(Step::Again)
    }

    /// Drops what has come of a data frame's payload.
    fn drop_payload(&mut self, buf: &mut impl RecvBuf) -> Step {
        let raw = buf.filled().len() - self.inner - self.gap;
        let n = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(raw);
        if n == 0 && self.remaining > 0 {
            return Step::Wait;
        }
        self.skip(buf, n);
        self.remaining -= n as u64;
        if self.remaining == 0 && self.fin {
            self.kind = None;
        }
        Step::Again
    }

    /// Hands out the message, or the piece, that lies decoded at the front.
    #[inline]
    fn hand_out<'b>(&mut self, buf: &'b mut impl RecvBuf) -> Event<'b> {
        let kind = self.kind.unwrap_or(Kind::Binary);
        let last = self.remaining == 0 && self.fin;
        if last {
            self.kind = None;
        }
        let payload = self.consume(buf, self.inner - usize::from(self.tail));
        if self.carries == Carries::Messages {
            return Event::Message(Message { kind, compressed: self.compressed, payload });
        }
        let first = !core::mem::replace(&mut self.begun, true);
        self.told += payload.len() as u64;
        Event::Piece(Piece { kind, first, last, payload })
    }
}

impl<R: Role> WebSocket<R> {
    /// Decodes frames up to the next event, which borrows the buffer. Pongs go to `out`; one that has no
    /// room stays owed, until a later ping takes its place.
    ///
    /// Call it until it returns nothing, whenever octets came, and after
    /// [`handle_timeout`](WebSocket::handle_timeout); then take from [`decoded`](WebSocket::decoded) what a
    /// stream carries, also when the event is [`Event::Closed`]: what came before the end counts. Then
    /// [`poll_transmit`](WebSocket::poll_transmit). A call takes time in the length of what was received.
    #[inline]
    pub fn recv<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> Option<Event<'b>> {
        self.tick(now);
        self.look(buf.filled().len());
        if let Some(header) = self.whole(buf) {
            return self.message(buf, header);
        }
        let step = loop {
            if self.failed || self.close_received || self.life.state() == State::Closed {
                self.rx.discard(buf);
                return self.poll_closed();
            }
            match self.step(buf, out) {
                Ok(Step::Again) => {}
                Ok(step) => break step,
                Err(fault) => {
                    self.rx.discard(buf);
                    return self.fail(fault);
                }
            }
        };
        match step {
            Step::Message => Some(self.rx.hand_out(buf)),
            Step::RoundTrip(rtt) => Some(Event::RoundTrip(rtt)),
            Step::Close { size, reason } => self.closed(buf, size, reason),
            Step::Again | Step::Wait => {
                self.rx.settle(buf);
                self.poll_closed()
            }
        }
    }

    /// The header of a message that lies whole, in one frame, at the front of the buffer, if all about it is as
    /// it should be: nearly every message is like that. Of any other this says nothing.
    #[inline]
    fn whole(&self, buf: &impl RecvBuf) -> Option<Header> {
        let rx = &self.rx;
        let idle = rx.inner == 0 && rx.gap == 0 && rx.remaining == 0 && rx.kind.is_none();
        if !idle || rx.carries != Carries::Messages || !self.is_open() {
            return None;
        }
        let filled = buf.filled();
        let [first @ (0x81 | 0x82), second, rest @ ..] = filled else { return None };
        if (*second & MASK != 0) == R::MASKS {
            return None;
        }
        let (mut len, payload) = match usize::from(second & !MASK) {
            short @ ..126 => (2, short),
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            _ => return None,
        };
        if len == 4 && payload < 126 {
            return None;
        }
        let mut key = [0; 4];
        if !R::MASKS {
            key = *filled.get(len..)?.first_chunk()?;
            len += 4;
        }
        let most = rx.most(Carries::Messages, buf.limit());
        let there = payload <= filled.len().saturating_sub(len) && payload as u64 <= most;
        let opcode = if *first == 0x81 { Opcode::Text } else { Opcode::Binary };
        there.then_some(Header { opcode, fin: true, rsv1: false, len, key, payload: payload as u64 })
    }

    /// Hands out the message that lies whole at the front.
    #[inline]
    fn message<'b>(&mut self, buf: &'b mut impl RecvBuf, header: Header) -> Option<Event<'b>> {
        let n = header.payload as usize; // it is there
        buf.take(header.len);
        let payload = &mut buf.filled_mut()[..n];
        mask::apply(payload, header.key);
        let kind = if header.opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
        if kind == Kind::Text
            && let Err(at) =
                utf8::check(payload).and_then(|tail| if tail == 0 { Ok(()) } else { Err(n - tail) })
        {
            self.rx.discard(buf);
            return self.fail(Fault::Utf8 { at: at as u64 });
        }
        self.rx.seen -= header.len + n;
        Some(Event::Message(Message { kind, compressed: false, payload: buf.take(n) }))
    }

    /// Sees whether something came, and holds what is known against what is there.
    #[inline]
    fn look(&mut self, filled: usize) {
        self.rx.inner = self.rx.inner.min(filled);
        self.rx.gap = self.rx.gap.min(filled - self.rx.inner);
        let raw = filled - self.rx.inner - self.rx.gap;
        if raw > self.rx.seen {
            self.keepalive.on_received(self.now);
            self.keepalive.on_sent(self.now); // who is heard need not be pinged
        }
        self.rx.seen = raw;
    }

    #[inline]
    fn step(&mut self, buf: &mut impl RecvBuf, out: &mut impl SendBuf) -> Result<Step, Fault> {
        let open = self.is_open() || self.hears;
        if self.rx.remaining > 0 {
            return if open { self.rx.payload(buf) } else { Ok(self.rx.drop_payload(buf)) };
        }
        if !open && self.rx.carries != Carries::Stream && self.rx.inner > 0 {
            self.rx.consume(buf, usize::MAX); // of a message that nobody will see whole
        }
        let reserved = if self.rx.may_be_compressed { RSV1 } else { 0 };
        let expect = Expect { masked: !R::MASKS, within: self.rx.kind.is_some(), reserved };
        let start = self.rx.inner + self.rx.gap;
        let Some(header) = Header::read(&buf.filled()[start..], expect)? else { return Ok(Step::Wait) };
        if header.opcode.is_control() {
            return self.control(&header, buf, out);
        }
        if open {
            self.rx.begin(&header, buf.limit())?;
            self.rx.skip(buf, header.len);
            return self.rx.payload(buf);
        }
        self.rx.kind.get_or_insert(Kind::Binary);
        (self.rx.remaining, self.rx.fin) = (header.payload, header.fin);
        self.rx.skip(buf, header.len);
        Ok(self.rx.drop_payload(buf))
    }

    /// A control frame, which is taken whole, wherever it comes (section 5.5).
    fn control(
        &mut self,
        header: &Header,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> Result<Step, Fault> {
        let from = self.rx.inner + self.rx.gap + header.len;
        let size = header.len + header.payload as usize; // at most 125
        let Some(payload) = buf.filled_mut().get_mut(from..from + header.payload as usize) else {
            return Ok(Step::Wait);
        };
        mask::apply(payload, header.key);
        let step = match header.opcode {
            Opcode::Close => return self.close_frame(payload, size),
            Opcode::Pong if self.is_open() => {
                let token = <[u8; 8]>::try_from(&*payload).ok().map(u64::from_be_bytes);
                let rtt = token.and_then(|token| self.keepalive.on_pong(self.now, token));
                rtt.map_or(Step::Again, Step::RoundTrip)
            }
            Opcode::Ping => {
                self.answer(payload, out);
                Step::Again
            }
            _ => Step::Again,
        };
        self.rx.skip(buf, size);
        Ok(step)
    }

    /// Section 5.5.2: a ping is answered with what it carries, unless a Close frame goes before.
    fn answer(&mut self, payload: &[u8], out: &mut impl SendBuf) {
        if self.is_open() {
            let sent = self.tx.put(out, FIN | Opcode::Pong as u8, payload);
            self.owed = if sent { Owed::Nothing } else { Owed::Pong(Payload::new(payload).keep()) };
        }
    }

    /// Section 5.5.1.
    fn close_frame(&self, payload: &[u8], size: usize) -> Result<Step, Fault> {
        match payload {
            [] => {}
            [_] => return Err(Fault::CloseLength),
            [a, b, reason @ ..] => {
                let code = u16::from_be_bytes([*a, *b]);
                if !CloseCode(code).is_sendable() {
                    return Err(Fault::CloseCode(code));
                }
                if utf8::check(reason) != Ok(0) {
                    return Err(Fault::CloseReason);
                }
            }
        }
        Ok(Step::Close { size, reason: size - payload.len() })
    }

    /// The peer closes.
    #[cold]
    fn closed<'b>(&mut self, buf: &'b mut impl RecvBuf, size: usize, payload: usize) -> Option<Event<'b>> {
        let at = self.rx.stream();
        if at == 0 {
            self.rx.consume(buf, usize::MAX);
        }
        // Behind a stream's octets it stays until they are taken: the next call drops it.
        let frame = match self.rx.inner {
            0 => buf.take(size),
            inner => &buf.filled()[inner + self.rx.gap..][..size],
        };
        let (code, reason) = match &frame[payload..] {
            [a, b, reason @ ..] => (CloseCode(u16::from_be_bytes([*a, *b])), reason),
            _ => (CloseCode::NO_STATUS, &[][..]),
        };
        if !self.peer_closes(code) {
            return self.poll_closed();
        }
        self.closed_told = true;
        let reason = core::str::from_utf8(reason).unwrap_or_default(); // it was checked
        Some(Event::Closed(Closed { by: By::Remote, code, reason, clean: true, fault: None }))
    }
}
