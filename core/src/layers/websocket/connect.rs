//! A client's opening handshake over time: the request goes out, the answer comes in and is checked, or
//! does not come.

use core::str::from_utf8;
use core::time::Duration;

use super::handshake::{AnswerFault, Opened, Opening};
use crate::buf::{RecvBuf, SendBuf};
use crate::entropy::Entropy;
use crate::http::client::{RequestError, ResponseHead};
use crate::http::{self, BodyLength, HeadScanner, StatusCode};
use crate::time::{Deadline, Instant, Why};

/// So much of a refusal's text is waited for, in octets.
const WORDS: u64 = 512;

/// Why no WebSocket was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFault {
    /// The answer does not open.
    #[error(transparent)]
    Answer(#[from] AnswerFault),
    /// The answer is no response of HTTP.
    #[error("the answer is no HTTP: {0}")]
    Http(#[from] http::Fault),
    /// The server did not answer in time.
    #[error("no answer to the request for a WebSocket came in time")]
    Stalled,
    /// The request cannot be written.
    #[error("no request can be made of the settings: {0}")]
    Request(RequestError),
}

impl OpenFault {
    /// The status with which the server refuses.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answer(AnswerFault::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// What whoever reads of it may do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        let number = match self {
            Self::Request(_) => return "see the host, the path and the header fields of the address",
            Self::Stalled => return "is this the port of a WebSocket server?",
            Self::Answer(AnswerFault::Status(status)) => status.number(),
            Self::Answer(AnswerFault::Protocol | AnswerFault::NoProtocol) => {
                return "this server, or this path of it, speaks another protocol";
            }
            Self::Http(_) | Self::Answer(_) => {
                return "what answers there is no WebSocket server, or a proxy before it does not let it through";
            }
        };
        match number {
            200..=299 => "what is there is no WebSocket: is the path right?",
            300..=399 => "it is elsewhere: use the address that is named",
            401 | 407 => "say who you are: the Authorization field of the request",
            403 => "the server does not let this client, or its Origin, in",
            404 | 410 => "there is nothing at this path: at which is the WebSocket?",
            405 | 426 => "the server opens another version of WebSocket, or none",
            408 | 429 | 502..=504 => "try again later",
            500..=599 => "the server, or a proxy before it, has failed",
            _ => "does the server speak this protocol over WebSocket, at this path?",
        }
    }

    /// Whether the same request would be answered in the same way: trying again does not help.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self.status() {
            Some(status) => matches!(status.number(), 300..=407 | 409..=428 | 430..=499 | 501 | 505),
            None => matches!(self, Self::Request(_)),
        }
    }
}

/// What a server has answered that opens nothing; it borrows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'b> {
    /// What is wrong.
    pub fault: OpenFault,
    /// What the server says to people, one line, or where it sends this client; may be empty.
    pub words: &'b str,
    /// How long the server wants this client to wait before it asks again.
    pub retry_after: Option<Duration>,
}

impl Refused<'static> {
    /// Without anything beside.
    #[must_use]
    pub const fn new(fault: OpenFault) -> Self {
        Self { fault, words: "", retry_after: None }
    }
}

impl<'b> Refused<'b> {
    /// Of an answer whose head is well-formed.
    fn read(fault: OpenFault, head: &'b [u8], body: &'b [u8]) -> Self {
        let Ok(head) = ResponseHead::parse(head) else { return Refused::new(fault) };
        let after = head.headers.text("retry-after").and_then(|text| text.parse().ok());
        let words = one_line(head.headers.get("location").unwrap_or(body));
        Self { fault, words, retry_after: after.map(Duration::from_secs) }
    }
}

#[derive(Debug)]
enum Phase {
    /// The request waits for room.
    Asks,
    /// The answer is waited for.
    Waits(Opened, HeadScanner),
    /// It came, or nothing more is waited for.
    Done,
}

/// A client's opening handshake, from the transport's first octet to the answer's last: what follows in
/// the buffer is for a [`WebSocket`](super::WebSocket). Needs no allocator.
///
/// The same [`Opening`] goes to each call. Interim responses (RFC 9110 §15.2) are passed over.
///
/// ```
/// use bowline_core::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
/// use bowline_core::entropy::Scripted;
/// use bowline_core::time::Instant;
/// use bowline_core::websocket::{Connect, handshake::Opening};
/// let opening = Opening { host: "example.com", target: "/chat", ..Opening::default() };
/// let mut connect = Connect::new(Instant::from_millis(5000));
///
/// let mut memory = [0; 512];
/// let mut out = SliceSendBuf::new(&mut memory);
/// connect.poll_transmit(&opening, &mut Scripted::new(&[], b"the sample nonce"), &mut out).unwrap();
/// assert!(out.pending().starts_with(b"GET /chat HTTP/1.1\r\nhost: example.com\r\n"));
///
/// let mut memory = [0; 512];
/// let mut buf = SliceRecvBuf::new(&mut memory);
/// buf.push(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x89\x00");
/// assert_eq!(connect.recv(&opening, &mut buf), Some(Ok(())));
/// assert_eq!(buf.filled(), b"\x89\x00");
/// ```
#[derive(Debug)]
pub struct Connect {
    phase: Phase,
    until: Instant,
    /// What is wrong with an answer whose text is still to come.
    known: Option<OpenFault>,
}

/// What there is to see of an answer.
enum Seen {
    /// Not all of it.
    Some,
    /// An interim response of so many octets.
    Interim(usize),
    /// The answer: octets of its head, and of that with what is read of its body.
    Answer(Result<(), OpenFault>, usize, usize),
}

impl Connect {
    /// A handshake that has until then.
    #[must_use]
    pub const fn new(until: Instant) -> Self {
        Self { phase: Phase::Asks, until, known: None }
    }

    /// Writes the request, once there is room for all of it.
    ///
    /// # Errors
    ///
    /// Nothing was written, and never will be; see [`OpenFault::Request`].
    pub fn poll_transmit(
        &mut self,
        opening: &Opening<'_>,
        entropy: &mut impl Entropy,
        out: &mut impl SendBuf,
    ) -> Result<(), OpenFault> {
        if !matches!(self.phase, Phase::Asks) {
            return Ok(());
        }
        match opening.put(entropy, out) {
            Ok(opened) => self.phase = Phase::Waits(opened, HeadScanner::new()),
            Err(RequestError::Blocked(_)) => {}
            Err(error) => {
                self.phase = Phase::Done;
                return Err(OpenFault::Request(error));
            }
        }
        Ok(())
    }

    /// Reads the answer, once it is whole: once. Where a subprotocol was offered, the server has to choose
    /// one ([MQTT-6.0.0-4]).
    ///
    /// # Errors
    ///
    /// The server does not open a WebSocket: see [`Refused`]. There is nothing more to read.
    pub fn recv<'b>(
        &mut self,
        opening: &Opening<'_>,
        buf: &'b mut impl RecvBuf,
    ) -> Option<Result<(), Refused<'b>>> {
        let (done, head, size) = loop {
            match self.look(opening, buf.filled(), buf.limit()) {
                Ok(Seen::Some) => return None,
                Ok(Seen::Interim(size)) => drop(buf.take(size)),
                Ok(Seen::Answer(done, head, size)) => break (done, head, size),
                Err(fault) => {
                    self.phase = Phase::Done;
                    return Some(Err(Refused::new(fault)));
                }
            }
        };
        self.phase = Phase::Done;
        let (head, body) = buf.take(size).split_at(head);
        Some(done.map_err(|fault| Refused::read(fault, head, body)))
    }

    fn look(&mut self, opening: &Opening<'_>, filled: &[u8], limit: usize) -> Result<Seen, OpenFault> {
        let Phase::Waits(opened, scanner) = &mut self.phase else { return Ok(Seen::Some) };
        let Some(size) = scanner.find(filled)? else {
            let full = filled.len() >= limit;
            return if full { Err(http::Fault::HeadTooLong.into()) } else { Ok(Seen::Some) };
        };
        let head = ResponseHead::parse(&filled[..size])?;
        if head.status.number() < 200 && head.status != StatusCode::SWITCHING_PROTOCOLS {
            *scanner = HeadScanner::new();
            return Ok(Seen::Interim(size));
        }
        let answer = match opened.check(opening, &head) {
            Ok(answer) if answer.protocol.is_some() || opening.protocols.is_empty() => {
                return Ok(Seen::Answer(Ok(()), size, size));
            }
            Ok(_) => AnswerFault::NoProtocol,
            Err(fault) => fault,
        };
        // Why, in the server's words, where it has some for people.
        let is_text = head.headers.text("content-type").is_some_and(|t| t.starts_with("text/plain"));
        let words = match head.body {
            Some(BodyLength::Octets(n)) if is_text => n.min(WORDS) as usize,
            _ => 0,
        };
        let end = (size + words).min(limit);
        if filled.len() < end {
            self.known = Some(answer.into());
            return Ok(Seen::Some);
        }
        Ok(Seen::Answer(Err(answer.into()), size, end))
    }

    /// What is known to be wrong with the answer, though not all of it has come: what counts where nothing
    /// more does.
    #[must_use]
    pub const fn known(&self) -> Option<OpenFault> {
        self.known
    }

    /// Whether the request still waits for room.
    #[must_use]
    pub const fn owes(&self) -> bool {
        matches!(self.phase, Phase::Asks)
    }

    /// By when the answer has to be there; nothing once it is.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Deadline> {
        match self.phase {
            Phase::Done => None,
            _ => Some(Deadline::new(self.until, Why::Handshake)),
        }
    }
}

/// The first line of a text, where it has nothing in it that is not for people.
fn one_line(octets: &[u8]) -> &str {
    let valid = from_utf8(octets).or_else(|e| from_utf8(&octets[..e.valid_up_to()])).unwrap_or_default();
    let line = valid.trim().lines().next().unwrap_or_default();
    if line.chars().any(char::is_control) { "" } else { line }
}
