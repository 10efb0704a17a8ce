//! A client on the blocking sockets of the standard library.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::http::HeadScanner;
use bowline_core::http::client::ResponseHead;
use bowline_core::lifecycle::Transport;
use bowline_core::time::Instant;
use bowline_core::websocket::deflate::{Deflate, Options, Pool};
use bowline_core::websocket::extensions::{Offer, Params};
use bowline_core::websocket::handshake::{Opened, Opening};
use bowline_core::websocket::{
    self, Carries, CloseCode, Closed, Config, Event, HEADROOM, Kind, Message, SendError, WebSocket,
};
use bowline_driver::{OsEntropy, clock};

use crate::MAX_MESSAGE;

/// Octets that are read at once.
const READ: usize = 16 << 10;
/// How long a server may take to answer the request, between two reads.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message; text is UTF-8.
    Message(Kind, Vec<u8>),
    /// A ping was answered after so long.
    RoundTrip(Duration),
    /// The connection has ended; nothing follows.
    Closed {
        /// The code of the side that ended it.
        code: CloseCode,
        /// What the server said, or was told.
        reason: String,
        /// Whether both sides had said so.
        clean: bool,
    },
}

impl Received {
    fn closed(closed: &Closed<'_>) -> Self {
        Self::Closed { code: closed.code, reason: closed.reason.to_owned(), clean: closed.clean }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Subprotocols, with commas between.
    pub protocols: &'a str,
    /// What is offered of permessage-deflate; nothing: no compression.
    pub deflate: Option<Offer>,
}

/// An open connection. Sends and receives by turns: who sends a lot to a server that answers all of it reads
/// in between, or both wait for each other.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    layer: WebSocket<websocket::Client<OsEntropy>>,
    deflate: Option<(Deflate, Pool)>,
    input: GrowingRecvBuf,
    output: SharedSendBuf,
    protocol: Option<String>,
    transport: Transport,
}

impl Client {
    /// Connects to `ws://HOST:PORT/TARGET`.
    ///
    /// # Errors
    ///
    /// The address is none, nobody is there, or what answers is no WebSocket or chose what was not wanted.
    pub fn connect(url: &str, wanted: &Wanted<'_>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let rest = url.strip_prefix("ws://").ok_or("the address begins with ws://")?;
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let extensions = wanted.deflate.map(|offer| offer.to_string()).unwrap_or_default();
        let opening = Opening {
            host,
            target: if target.is_empty() { "/" } else { target },
            protocols: wanted.protocols,
            extensions: &extensions,
            headers: &[],
        };
        let mut stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut output = SharedSendBuf::new(MAX_MESSAGE + HEADROOM);
        let mut input = GrowingRecvBuf::new(MAX_MESSAGE + HEADROOM);
        let opened = opening.put(&mut OsEntropy, &mut output)?;
        write(&mut stream, &mut output)?;
        let (protocol, params) = answered(&mut stream, &mut input, &opening, opened, wanted)?;

        let now = clock::now();
        let config = Config { max_message: MAX_MESSAGE as u64, ..Config::default() };
        let mut layer = WebSocket::new(now, websocket::Client::new(OsEntropy), Carries::Messages, &config);
        let deflate = params.map(|params| {
            layer.allow_compressed();
            let mut pool = Pool::new(Options { max_message: MAX_MESSAGE, ..Options::default() });
            (Deflate::client(&params, &mut pool), pool)
        });
        Ok(Self { stream, layer, deflate, input, output, protocol, transport: Transport::Open })
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Whether messages are compressed.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Sends a message; the payload of a text message has to be UTF-8.
    ///
    /// # Errors
    ///
    /// The connection ends, or the message is larger than is sent.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let (now, out) = (clock::now(), &mut self.output);
        let sent = match &mut self.deflate {
            Some((deflate, pool)) => self.layer.send_deflated(now, out, deflate, pool, kind, payload),
            None => self.layer.send_fragment(now, out, kind, true, payload),
        };
        sent.map_err(refused)?;
        self.flush(now)
    }

    /// Sends a message as it is, in fragments of so many octets.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_fragments(&mut self, kind: Kind, payload: &[u8], size: usize) -> io::Result<()> {
        let now = clock::now();
        let count = payload.len().div_ceil(size.max(1)).max(1);
        for i in 0..count {
            let from = i * size;
            let part = &payload[from..payload.len().min(from + size)];
            self.layer.send_fragment(now, &mut self.output, kind, i + 1 == count, part).map_err(refused)?;
        }
        self.flush(now)
    }

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn ping(&mut self) -> io::Result<()> {
        self.layer.ping();
        self.flush(clock::now())
    }

    /// Begins to close: [`Received::Closed`] comes once the server has answered, or has had its time.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        let now = clock::now();
        self.layer.close(now, code, reason);
        self.flush(now)
    }

    /// What comes next; nothing once the connection is gone.
    ///
    /// # Errors
    ///
    /// The connection broke before it had ended.
    pub fn receive(&mut self) -> io::Result<Option<Received>> {
        loop {
            let now = clock::now();
            if let Some(received) = self.decode(now) {
                self.flush(now)?;
                return Ok(Some(received));
            }
            self.flush(now)?;
            if matches!(self.transport, Transport::Drop | Transport::Abort) {
                return Ok(None);
            }
            if let Some(closed) = self.wait(now)? {
                return Ok(Some(closed));
            }
        }
    }

    fn decode(&mut self, now: Instant) -> Option<Received> {
        match self.layer.recv(now, &mut self.input, &mut self.output)? {
            Event::Message(Message { kind, compressed: false, payload }) => {
                Some(Received::Message(kind, payload.to_vec()))
            }
            Event::Message(message) => {
                let (deflate, pool) = self.deflate.as_mut()?; // else none is compressed
                let mut memory = Vec::new();
                match deflate.inflate(pool, message, &mut memory) {
                    Ok(Message { kind, payload, .. }) => {
                        let size = payload.len();
                        memory.truncate(size);
                        Some(Received::Message(kind, memory))
                    }
                    Err(fault) => match self.layer.close_with_fault(now, fault)? {
                        Event::Closed(closed) => Some(Received::closed(&closed)),
                        _ => None,
                    },
                }
            }
            Event::RoundTrip(time) => Some(Received::RoundTrip(time)),
            Event::Closed(closed) => Some(Received::closed(&closed)),
            Event::Piece(_) => None, // not asked for
        }
    }

    /// Writes what waits, with what the layer owes.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let before = self.transport;
        self.transport = self.layer.poll_transmit(now, &mut self.output);
        if self.transport != Transport::Abort {
            match write(&mut self.stream, &mut self.output) {
                // Who has said goodbye may go at once.
                Err(_) if self.layer.is_ended() => self.layer.handle_eof(now),
                other => other?,
            }
        }
        if self.transport == Transport::Shut && before == Transport::Open {
            let _ = self.stream.shutdown(Shutdown::Write); // it may be gone already
        }
        Ok(())
    }

    /// Waits for octets, or for the time at which the layer wants to be called.
    fn wait(&mut self, now: Instant) -> io::Result<Option<Received>> {
        let mut left = None;
        if let Some(deadline) = self.layer.poll_timeout() {
            let time = deadline.at.saturating_since(now);
            if time.is_zero() {
                return Ok(match self.layer.handle_timeout(now) {
                    Some(Event::Closed(closed)) => Some(Received::closed(&closed)),
                    _ => None,
                });
            }
            left = Some(time);
        }
        self.stream.set_read_timeout(left)?;
        match self.stream.read(self.input.spare(READ)) {
            Ok(0) => self.layer.handle_eof(clock::now()),
            Ok(n) => self.input.commit(n),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if self.layer.is_ended() => self.layer.handle_eof(clock::now()),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

fn refused(error: SendError) -> io::Error {
    let kind = if error.is_blocked() { ErrorKind::InvalidInput } else { ErrorKind::NotConnected };
    io::Error::new(kind, error)
}

/// Reads the answer to a request; what comes behind it stays in the buffer.
fn answered(
    stream: &mut TcpStream,
    input: &mut GrowingRecvBuf,
    asked: &Opening<'_>,
    opened: Opened,
    wanted: &Wanted<'_>,
) -> Result<(Option<String>, Option<Params>), Box<dyn Error + Send + Sync>> {
    let mut scanner = HeadScanner::new();
    let size = loop {
        if let Some(size) = scanner.find(input.filled())? {
            break size;
        }
        match stream.read(input.spare(READ)) {
            Ok(0) => return Err("the server went away instead of answering".into()),
            Ok(n) => input.commit(n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err("the server does not answer".into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    let head = ResponseHead::parse(input.take(size))?;
    let answer = opened.check(asked, &head)?;
    let params = match (answer.extensions, wanted.deflate) {
        (Some(value), Some(offer)) => offer.agreed([std::str::from_utf8(value)?])?,
        _ => None,
    };
    Ok((answer.protocol.map(str::to_owned), params))
}

/// Writes all that waits.
fn write(stream: &mut TcpStream, output: &mut SharedSendBuf) -> io::Result<()> {
    while !output.is_empty() {
        let written = match output.slices().next() {
            Some(slice) => stream.write(slice)?,
            None => 0,
        };
        output.sent(written);
    }
    Ok(())
}
