//! What comes: heads, bodies, and what is thrown away.

use super::super::{BodyLength, Chunk, Fault, RequestHead};
use super::{End, Event, Incoming, Phase, Server};
use crate::buf::RecvBuf;
use crate::lifecycle::State;
use crate::time::Instant;

/// What the octets at hand are.
enum Next {
    /// So many are a head.
    Head(usize),
    /// So many are of a body, behind so many of its framing.
    Body(usize, usize),
    /// So many are of the framing, which ends the body.
    End(usize),
    /// So many are of the framing; no more can be told.
    Nothing(usize),
    Wrong(Fault),
}

impl Server {
    /// Takes what is at hand; returns nothing when more has to come, or when the request that was
    /// handed out has to be answered first.
    pub fn recv<'b>(&mut self, now: Instant, buf: &'b mut impl RecvBuf) -> Option<Event<'b>> {
        self.tick(now);
        if self.is_ended() {
            return self.throw_away(buf);
        }
        match self.next(buf) {
            Next::Head(n) => {
                self.partial = false;
                match RequestHead::parse(buf.take(n)).and_then(|head| self.begin(&head).map(|()| head)) {
                    Ok(head) => return Some(Event::Request(head)),
                    Err(fault) => self.fail(fault),
                }
                // What is behind it is thrown away by the next call.
                return self.poll_closed();
            }
            Next::Body(skip, len) => {
                buf.take(skip);
                return Some(Event::Body(buf.take(len)));
            }
            Next::End(n) => {
                buf.take(n);
                self.phase = Phase::Answer;
                self.expects = false;
                return Some(Event::End);
            }
            Next::Nothing(n) => {
                buf.take(n);
            }
            Next::Wrong(fault) => {
                self.fail(fault);
                return self.throw_away(buf);
            }
        }
        None
    }

    /// Nobody reads it any more; that it is taken lets the peer come to the end of it.
    fn throw_away<'b>(&mut self, buf: &mut impl RecvBuf) -> Option<Event<'b>> {
        if !matches!(self.phase, Phase::Switched) {
            buf.take(usize::MAX);
        }
        self.poll_closed()
    }

    fn next(&mut self, buf: &mut impl RecvBuf) -> Next {
        match &mut self.phase {
            Phase::Head => {
                // RFC 9112 §2.2: empty lines may stand before a request. All of them go, since how
                // many there are must not depend on how they were cut.
                while !self.partial && buf.filled().starts_with(b"\r\n") {
                    buf.take(2);
                }
                let octets = buf.filled();
                if octets.is_empty() || octets == b"\r" {
                    return Next::Nothing(0);
                }
                if !core::mem::replace(&mut self.partial, true) {
                    (self.since, self.scanner) = (self.now, Default::default());
                }
                match self.scanner.find(octets) {
                    Ok(Some(n)) => Next::Head(n),
                    // A buffer that cannot hold more will never hold the rest.
                    Ok(None) if octets.len() >= buf.limit() => Next::Wrong(Fault::HeadTooLong),
                    Ok(None) => Next::Nothing(0),
                    Err(fault) => Next::Wrong(fault),
                }
            }
            Phase::Body(Incoming::Octets(0)) => Next::End(0),
            Phase::Body(Incoming::Octets(left)) => {
                let n = (*left).min(buf.filled().len() as u64);
                if n == 0 {
                    return Next::Nothing(0);
                }
                *left -= n;
                self.expects = false;
                Next::Body(0, n as usize)
            }
            Phase::Body(Incoming::Chunked(chunks, allowed)) => {
                self.expects &= buf.filled().is_empty();
                match chunks.next(buf.filled()) {
                    Ok(Chunk::NeedMore(n)) => Next::Nothing(n),
                    Ok(Chunk::End(n)) => Next::End(n),
                    Ok(Chunk::Data { len, .. }) if len as u64 > *allowed => {
                        Next::Wrong(Fault::BodyTooLong(self.config.max_body))
                    }
                    Ok(Chunk::Data { skip, len }) => {
                        *allowed -= len as u64;
                        Next::Body(skip, len)
                    }
                    Err(fault) => Next::Wrong(fault),
                }
            }
            Phase::Answer | Phase::Sending(_) | Phase::Switched => Next::Nothing(0),
        }
    }

    /// A head was read: what follows it, and how it is to be answered.
    fn begin(&mut self, head: &RequestHead<'_>) -> Result<(), Fault> {
        let mut expectations = head.headers.list("expect");
        let expects = expectations.next();
        if expects.is_some_and(|e| !e.eq_ignore_ascii_case("100-continue")) || expectations.next().is_some() {
            return Err(Fault::Expectation);
        }
        let incoming = match head.body {
            BodyLength::None => Incoming::Octets(0),
            BodyLength::Octets(n) if n > self.config.max_body => {
                return Err(Fault::BodyTooLong(self.config.max_body));
            }
            BodyLength::Octets(n) => Incoming::Octets(n),
            BodyLength::Chunked => Incoming::Chunked(Default::default(), self.config.max_body),
        };
        self.is_old = head.version == super::super::Version::Http10;
        self.is_head = head.method == "HEAD";
        self.last |= head.is_last();
        self.expects = expects.is_some() && !self.is_old && head.body != BodyLength::None;
        self.since = self.now;
        self.phase = Phase::Body(incoming);
        Ok(())
    }

    /// The peer ended its direction of the stream, or the connection broke. Call it once
    /// [`recv`](Server::recv) has returned nothing: what was received before the end counts, and is
    /// answered.
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        self.last = true;
        match self.phase {
            _ if self.life.state() == State::Closing => {}
            Phase::Head if self.partial => _ = self.life.ended(End::Truncated),
            Phase::Head => _ = self.life.ended(End::Done),
            Phase::Body(_) => _ = self.life.ended(End::Truncated),
            Phase::Answer | Phase::Sending(_) | Phase::Switched => {}
        }
    }

    /// The end, told once.
    pub fn poll_closed<'b>(&mut self) -> Option<Event<'b>> {
        let end = self.life.reason()?;
        if core::mem::replace(&mut self.closed_told, true) { None } else { Some(Event::Closed(end)) }
    }
}
