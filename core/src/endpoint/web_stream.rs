//! A stream of octets over a WebSocket that this side opens: what a relay reaches its targets over.

use alloc::string::String;
use core::time::Duration;

use super::carrier::{RequestFields, Spoken, Web, WebSocketError};
use crate::buf::{RecvBuf, SendBuf};
use crate::entropy::Entropy;
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::time::{Deadline, Instant};
use crate::websocket::CloseCode;

/// Octets that go out in one message at most: whoever takes messages whole has limits.
const MESSAGE: usize = 16 << 10;

/// A client's WebSocket, from the transport's first octet on, as a stream of octets: each way binary messages
/// whose borders mean nothing.
///
/// An end is a Close frame with 1000, or one without a code; any other code, and a transport that ends without
/// a Close frame, is an error: something may be missing. When this side has ended its direction, what comes
/// before the other's Close frame is still read.
///
/// ```
/// use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
/// use bowline_core::endpoint::web_stream::WebStream;
/// use bowline_core::entropy::Seeded;
/// use bowline_core::time::Instant;
/// let now = Instant::from_millis(0);
/// let mut stream = WebStream::new(now, "hub.example", "/", "bowline", &mut Seeded::new(1));
/// let mut out = SharedSendBuf::new(1 << 16);
/// assert_eq!(stream.write(now, b"too early", &mut out), 0);
/// assert!(out.slices().next().unwrap().starts_with(b"GET / HTTP/1.1\r\nhost: hub.example\r\n"));
/// assert_eq!(stream.read(now, &mut GrowingRecvBuf::new(1 << 16), &mut [0; 64]), Ok(None));
/// ```
#[derive(Debug)]
pub struct WebStream {
    web: Web,
    ends: Ends,
}

/// What is known beside the layer.
#[derive(Debug)]
struct Ends {
    fields: RequestFields,
    protocol: String,
    /// This side has ended its direction.
    finished: bool,
    /// The transport has ended.
    eof: bool,
    /// The other side has ended, or all is over.
    end: Option<Result<(), WebSocketError>>,
}

/// How long the other side has to answer, which the caller's own limit makes shorter.
const PATIENCE: Duration = Duration::from_secs(3600);

impl WebStream {
    /// A stream that is asked for with the first [`write`](Self::write). `host` is with its port unless that is the
    /// scheme's, `target` begins with `/`; `protocol` is the subprotocol that the server must choose, or empty.
    #[must_use]
    pub fn new(now: Instant, host: &str, target: &str, protocol: &str, entropy: &mut dyn Entropy) -> Self {
        let ends = Ends {
            fields: RequestFields::new(),
            protocol: protocol.into(),
            finished: false,
            eof: false,
            end: None,
        };
        Self { web: Web::asking(now, (host.into(), target.into()), PATIENCE, entropy), ends }
    }

    /// Whether the server has opened it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.web.is_open()
    }

    /// Reads what was received. Nothing: more has to come. Zero octets: the other side has ended its direction.
    /// Then [`write`](Self::write), if nothing: it may owe something.
    ///
    /// # Errors
    ///
    /// It was not opened, or broke off.
    pub fn read(
        &mut self,
        now: Instant,
        buf: &mut impl RecvBuf,
        to: &mut [u8],
    ) -> Result<Option<usize>, WebSocketError> {
        let mut pipe = Pipe { to, ..Pipe::new(&mut self.ends) };
        if pipe.ends.end.is_none() {
            self.web.recv(now, &mut pipe, buf);
        }
        match (pipe.read, &pipe.ends.end) {
            (0, Some(Err(error))) => Err(error.clone()),
            (0, Some(Ok(()))) => Ok(Some(0)),
            (0, None) => Ok(None),
            (n, _) => Ok(Some(n)),
        }
    }

    /// Puts what it owes, and of `from` as much as there is room for; says how much that was. Nothing is taken
    /// before it is open, and after either side has ended this direction.
    pub fn write(&mut self, now: Instant, from: &[u8], out: &mut impl SendBuf) -> usize {
        let mut pipe = Pipe { from, ..Pipe::new(&mut self.ends) };
        // The server ends the transport (RFC 6455 §7.1.1), or its owner does, who sees the end.
        let _ = self.web.poll_transmit(now, &mut pipe, out);
        pipe.written
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ends.finished || self.ends.end.is_some()
    }

    /// Ends this side's direction; the next [`write`](Self::write) says so.
    pub fn finish(&mut self) {
        self.ends.finished = true;
    }

    /// The transport has ended, or broke. Call it when [`read`](Self::read) has nothing more.
    pub fn handle_eof(&mut self, now: Instant) {
        self.ends.eof = true;
        if self.ends.end.is_none() {
            self.web.handle_eof(now, &mut Pipe::new(&mut self.ends));
        }
        self.ends.end.get_or_insert(Err(WebSocketError::Truncated));
    }
}

/// The stream in one call: what is read into, and written from.
struct Pipe<'a> {
    ends: &'a mut Ends,
    to: &'a mut [u8],
    read: usize,
    deaf: bool,
    from: &'a [u8],
    written: usize,
}

impl<'a> Pipe<'a> {
    fn new(ends: &'a mut Ends) -> Self {
        Self { ends, to: &mut [], read: 0, deaf: false, from: &[], written: 0 }
    }
}

impl Spoken for Pipe<'_> {
    fn protocol(&self) -> &str {
        &self.ends.protocol
    }

    fn fields(&self) -> &RequestFields {
        &self.ends.fields
    }

    fn wants_transport(&self) -> bool {
        self.ends.end.is_none()
    }

    fn hear(&mut self, buf: &mut impl RecvBuf) {
        let n = buf.filled().len().min(self.to.len() - self.read);
        self.to[self.read..self.read + n].copy_from_slice(&buf.filled()[..n]);
        buf.take(n);
        self.read += n;
        self.deaf = !buf.filled().is_empty();
    }

    fn is_deaf(&self) -> bool {
        self.deaf
    }

    fn say(&mut self, out: &mut impl SendBuf) -> Transport {
        if self.ends.finished {
            return Transport::Shut;
        }
        while self.written < self.from.len() && self.ends.end.is_none() {
            let n = (self.from.len() - self.written).min(out.room()).min(MESSAGE);
            if n == 0 {
                break;
            }
            out.put(&self.from[self.written..self.written + n]);
            self.written += n;
        }
        Transport::Open
    }

    fn has_begun(&self) -> bool {
        true
    }

    fn due(&self) -> Option<Deadline> {
        None
    }

    fn ended(&self) -> Code {
        Code::Normal
    }

    fn hears_on(&self) -> bool {
        true
    }

    fn end(&mut self) {
        let end = if self.ends.eof { Err(WebSocketError::Truncated) } else { Ok(()) };
        self.ends.end.get_or_insert(end);
    }

    fn lost(&mut self, why: WebSocketError, _: Option<Duration>) {
        let is_end =
            matches!(why, WebSocketError::Closed { code: CloseCode::NORMAL | CloseCode::NO_STATUS, .. });
        self.ends.end.get_or_insert(if is_end { Ok(()) } else { Err(why) });
    }
}

#[cfg(test)]
mod tests;
