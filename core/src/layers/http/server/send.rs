//! Answers.

use core::fmt::Write;

use super::super::response::{Counter, Put, check_field};
use super::super::{Body, Date, Response, SendError, StatusCode};
use super::{End, Incoming, Outgoing, Phase, Server};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::time::Instant;

/// Digits of a chunk's size, and its ends, at most.
const CHUNK_FRAME: usize = 8 + 4;

/// The head of a response, as far as it is not the caller's.
#[derive(Clone, Copy)]
struct Head<'a> {
    status: StatusCode,
    fields: &'a [(&'a str, &'a str)],
    length: Option<u64>,
    chunked: bool,
    last: bool,
    date: Option<Date>,
}

impl Head<'_> {
    fn write(&self, to: &mut impl Write) -> core::fmt::Result {
        write!(to, "HTTP/1.1 {} {}\r\n", self.status.number(), self.status.reason())?;
        if let Some(date) = self.date {
            write!(to, "date: {date}\r\n")?;
        }
        for (name, value) in self.fields {
            write!(to, "{name}: {value}\r\n")?;
        }
        if let Some(length) = self.length {
            write!(to, "content-length: {length}\r\n")?;
        }
        if self.chunked {
            to.write_str("transfer-encoding: chunked\r\n")?;
        }
        if self.last {
            to.write_str("connection: close\r\n")?;
        }
        to.write_str("\r\n")
    }

    fn put(&self, out: &mut impl SendBuf, more: usize) -> Result<(), SendError> {
        for (name, value) in self.fields {
            check_field(name, value)?;
        }
        let mut counter = Counter::default();
        let _ = self.write(&mut counter); // counting does not fail
        if counter.0.saturating_add(more) > out.room() {
            return Err(Blocked.into());
        }
        let _ = self.write(&mut Put(out)); // there is room
        Ok(())
    }
}

impl Server {
    /// Answers the request that was handed out, all at once. It may be answered before its end has
    /// come: then the connection ends with the answer.
    ///
    /// # Errors
    ///
    /// Nothing was written: there is no room for all of it ([`begin_response`](Self::begin_response) needs room for the
    /// head only), or see [`SendError`].
    pub fn respond(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        response: &Response<'_>,
    ) -> Result<(), SendError> {
        self.respond_at(now, None, out, response)
    }

    /// The same with the time of day, which a server with a clock says (RFC 9110 §6.6.1).
    ///
    /// # Errors
    ///
    /// Those of [`respond`](Self::respond).
    pub fn respond_at(
        &mut self,
        now: Instant,
        date: Option<Date>,
        out: &mut impl SendBuf,
        response: &Response<'_>,
    ) -> Result<(), SendError> {
        let length = response.body.len();
        let with = if self.has_body(response.status) { length } else { 0 };
        self.put_head(now, date, out, response, Some(length as u64), with)?;
        if with > 0 {
            response.body.put(out);
            self.sent(with as u64);
        }
        Ok(())
    }

    /// Begins an answer whose body follows by [`data`](Self::data): of `length` octets, or of nobody
    /// knows how many, until [`finish`](Self::finish). The body of `response` is left out.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`SendError`].
    pub fn begin_response(
        &mut self,
        now: Instant,
        date: Option<Date>,
        out: &mut impl SendBuf,
        response: &Response<'_>,
        length: Option<u64>,
    ) -> Result<(), SendError> {
        self.put_head(now, date, out, response, length, 0)
    }

    /// Whether the present answer, with that status, has a body on the wire.
    const fn has_body(&self, status: StatusCode) -> bool {
        !self.is_head && !status.is_bodiless()
    }

    fn put_head(
        &mut self,
        now: Instant,
        date: Option<Date>,
        out: &mut impl SendBuf,
        response: &Response<'_>,
        length: Option<u64>,
        with: usize,
    ) -> Result<(), SendError> {
        self.tick(now);
        let early = match self.phase {
            _ if self.is_ended() => return Err(SendError::NotAsked),
            Phase::Answer => false,
            Phase::Body(Incoming::Octets(0)) => false,
            Phase::Body(_) => true,
            _ => return Err(SendError::NotAsked),
        };
        let has_body = self.has_body(response.status);
        let chunked = length.is_none() && !self.is_old;
        let head = Head {
            status: response.status,
            fields: response.headers,
            length: length.filter(|_| !response.status.is_bodiless()),
            chunked: chunked && has_body,
            last: self.last || early || (length.is_none() && self.is_old),
            date,
        };
        head.put(out, with)?;
        self.last = head.last;
        self.expects = false;
        self.phase = Phase::Sending(match length {
            _ if !has_body => Outgoing::Head,
            Some(length) => Outgoing::Octets(length),
            None if chunked => Outgoing::Chunked,
            None => Outgoing::UntilEnd,
        });
        // What has no body, or none on the wire, is whole; of a stream that is said later.
        if length.is_some() || response.status.is_bodiless() {
            self.sent(0);
        }
        Ok(())
    }

    /// So much of the answer's body was put out.
    fn sent(&mut self, n: u64) {
        let Phase::Sending(outgoing) = &mut self.phase else { return };
        match outgoing {
            Outgoing::Octets(left) => {
                *left -= n;
                if *left == 0 {
                    self.complete();
                }
            }
            Outgoing::Head => self.complete(),
            Outgoing::Chunked | Outgoing::UntilEnd => {}
        }
    }

    /// The answer is put out.
    fn complete(&mut self) {
        self.phase = Phase::Head;
        self.is_head = false;
        self.since = self.now;
        if self.last {
            self.life.close(self.now, End::Done);
        }
    }

    /// Puts a part of the answer's body: whole, or nothing of it. To a HEAD nothing is put.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`SendError`].
    pub fn data(&mut self, now: Instant, out: &mut impl SendBuf, part: Body<'_>) -> Result<(), SendError> {
        self.tick(now);
        let Phase::Sending(outgoing) = self.phase else { return Err(SendError::NotAsked) };
        if self.is_ended() {
            return Err(SendError::NotAsked);
        }
        let n = part.len();
        match outgoing {
            Outgoing::Octets(left) if n as u64 > left => return Err(SendError::TooLong),
            Outgoing::Chunked if n > 0 && out.room() < n.saturating_add(CHUNK_FRAME) => {
                return Err(Blocked.into());
            }
            Outgoing::Octets(_) | Outgoing::UntilEnd if out.room() < n => return Err(Blocked.into()),
            // An empty chunk would be the last.
            Outgoing::Chunked if n > 0 => {
                let _ = write!(Put(out), "{n:x}\r\n"); // there is room
                part.put(out);
                out.put(b"\r\n");
            }
            Outgoing::Octets(_) | Outgoing::UntilEnd => part.put(out),
            Outgoing::Chunked | Outgoing::Head => {}
        }
        if matches!(outgoing, Outgoing::Octets(_)) {
            self.sent(n as u64);
        }
        Ok(())
    }

    /// Ends an answer whose length was not said.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`SendError`].
    pub fn finish(&mut self, now: Instant, out: &mut impl SendBuf) -> Result<(), SendError> {
        const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
        self.tick(now);
        match self.phase {
            Phase::Sending(_) if self.is_ended() => return Err(SendError::NotAsked),
            Phase::Sending(Outgoing::Chunked) => {
                if out.room() < LAST_CHUNK.len() {
                    return Err(Blocked.into());
                }
                out.put(LAST_CHUNK);
            }
            Phase::Sending(Outgoing::UntilEnd | Outgoing::Head) => {}
            _ => return Err(SendError::NotAsked),
        }
        self.complete();
        Ok(())
    }

    /// Answers with 101 and these fields: from here on the octets are another protocol's. Only to a
    /// request that is whole, or has no body.
    ///
    /// # Errors
    ///
    /// Nothing was written; see [`SendError`].
    pub fn switch(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        fields: &[(&str, &str)],
    ) -> Result<(), SendError> {
        self.tick(now);
        if !matches!(self.phase, Phase::Answer | Phase::Body(Incoming::Octets(0))) || self.is_ended() {
            return Err(SendError::NotAsked);
        }
        let status = StatusCode::SWITCHING_PROTOCOLS;
        let head = Head { status, fields, length: None, chunked: false, last: false, date: None };
        head.put(out, 0)?;
        self.phase = Phase::Switched;
        Ok(())
    }

    /// Puts what answers a fault. Says whether there was room.
    pub(super) fn put_fault(&mut self, out: &mut impl SendBuf) -> bool {
        let Some(fault) = self.fault else { return true };
        let status = fault.status();
        let mut text = Counter::default();
        let _ = explain(status, &fault, &mut text); // counting does not fail
        let fields = [("content-type", "text/plain; charset=utf-8")];
        let length = Some(text.0 as u64);
        let head = Head { status, fields: &fields, length, chunked: false, last: true, date: None };
        let with = if self.is_head { 0 } else { text.0 };
        match head.put(out, with) {
            Err(SendError::Blocked(_)) => return false,
            Ok(()) if with > 0 => _ = explain(status, &fault, &mut Put(out)),
            _ => {}
        }
        self.fault = None;
        true
    }
}

/// What a client is told of what was wrong.
fn explain(status: StatusCode, fault: &dyn core::fmt::Display, to: &mut impl Write) -> core::fmt::Result {
    writeln!(to, "{status}: {fault}")
}
