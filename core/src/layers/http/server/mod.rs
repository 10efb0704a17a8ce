//! A server's side of a connection.
//!
//! # How to drive a [`Server`]
//!
//! As every machine here: [`recv`](Server::recv) until it returns nothing, then
//! [`poll_transmit`](Server::poll_transmit), then write what is in the buffer, then sleep until
//! [`poll_timeout`](Server::poll_timeout), readable or writable. Any method may be called in any
//! state.
//!
//! One request at a time is handed out: its head, its body as it comes, its end. Those behind it wait
//! in the receive buffer until it is answered, so that answers are in order. A request that is wrong
//! is answered by the machine itself, and so is one that stalls; then the connection ends so that the
//! peer can still read the answer: this side ends its direction, and what comes is thrown away until
//! the peer ends its own or has had its time.
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::http::server::Config;
//! use bowline_core::http::{Body, Event, Response, Server, StatusCode};
//! use bowline_core::time::Instant;
//!
//! let now = Instant::from_millis(0);
//! let (mut a, mut b) = ([0; 128], [0; 128]);
//! let mut received = SliceRecvBuf::new(&mut a);
//! received.push(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
//!
//! let mut server = Server::accept(now, &Config::default());
//! let Some(Event::Request(head)) = server.recv(now, &mut received) else { panic!() };
//! assert_eq!(head.path, "/healthz");
//! assert!(matches!(server.recv(now, &mut received), Some(Event::End)));
//!
//! let mut out = SliceSendBuf::new(&mut b);
//! server.respond(now, &mut out, &Response::new(StatusCode::OK, Body::Copied(b"ok\n")))?;
//! assert_eq!(out.pending(), b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
//! # Ok::<(), bowline_core::http::SendError>(())
//! ```

mod recv;
mod send;
mod timers;

use core::time::Duration;

use super::{CLOSE_WAIT, Chunked, Fault, HeadScanner, RequestHead};
use crate::lifecycle::Lifecycle;
use crate::time::Instant;

/// The settings of a server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Octets of a body at most; 1 MiB.
    pub max_body: u64,
    /// How long a head may take from its first octet; 5 s.
    pub head_timeout: Duration,
    /// How long a body may take from its head; 30 s.
    pub body_timeout: Duration,
    /// How long a connection may be without a request; 60 s.
    pub idle_timeout: Duration,
    /// For how long the peer may take no octet of what waits for it; 10 s.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body: 1 << 20,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A request's head. Its body follows, then [`Event::End`]; it may be answered before.
    Request(RequestHead<'b>),
    /// A part of its body, never empty.
    Body(&'b [u8]),
    /// The request is whole, and must be answered.
    End,
    /// The connection has ended; nothing follows.
    Closed(End),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// All that was asked for was answered.
    Done,
    /// No request came for long.
    Idle,
    /// This side wanted it.
    Closed,
    /// A request was wrong, and was answered so.
    Fault(Fault),
    /// The stream ended within a request, or before its answer was sent.
    Truncated,
    /// The peer took nothing of its answer for too long.
    Stalled,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A head must come.
    Head,
    /// The body of a request comes.
    Body(Incoming),
    /// A request is whole, and is to be answered.
    Answer,
    /// A response's body is sent.
    Sending(Outgoing),
    /// Another protocol has the transport.
    Switched,
}

/// What is left of a request's body.
#[derive(Clone, Copy, Debug)]
enum Incoming {
    /// So many octets.
    Octets(u64),
    /// As its chunks say; so many octets are allowed.
    Chunked(Chunked, u64),
}

/// What is left of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Octets(u64),
    /// In chunks, until it is said to be whole.
    Chunked,
    /// As it is, until the stream ends: for HTTP/1.0.
    UntilEnd,
    /// A response to HEAD has none, whatever is said of it.
    Head,
}

/// A server's side of a connection. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Server {
    now: Instant,
    config: Config,
    life: Lifecycle<End>,
    phase: Phase,
    scanner: HeadScanner,
    /// Since when the present request comes, or none does.
    since: Instant,
    /// Since when the transport takes nothing of what waits.
    stalled_since: Option<Instant>,
    /// What is owed instead of an answer.
    fault: Option<Fault>,
    /// Something of a head has come.
    partial: bool,
    /// The client waits for 100 before it sends its body.
    expects: bool,
    /// The request is HEAD.
    is_head: bool,
    /// The request is of HTTP/1.0.
    is_old: bool,
    /// The connection ends with the present answer.
    last: bool,
    /// The peer ended its stream.
    eof: bool,
    aborted: bool,
    closed_told: bool,
}

impl Server {
    /// A transport was accepted at `now`.
    #[must_use]
    pub fn accept(now: Instant, config: &Config) -> Server {
        let mut life = Lifecycle::new(now, Duration::MAX, CLOSE_WAIT);
        life.opened();
        Server {
            now,
            config: *config,
            life,
            phase: Phase::Head,
            scanner: HeadScanner::new(),
            since: now,
            stalled_since: None,
            fault: None,
            partial: false,
            expects: false,
            is_head: false,
            is_old: false,
            last: false,
            eof: false,
            aborted: false,
            closed_told: false,
        }
    }

    /// Time only goes forward.
    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Whether a request was handed out that was not answered to its end.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Head) || self.fault.is_some()
    }

    /// Whether an answer was begun that has no body on the wire: none is sent to HEAD, nor with some
    /// statuses.
    #[must_use]
    pub const fn is_bodiless(&self) -> bool {
        matches!(self.phase, Phase::Sending(Outgoing::Head))
    }

    /// Whether nothing more is asked or answered: the connection ends, or has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        !self.life.is_established()
    }

    /// Ends the connection by this side's decision: after the answer that is due, at once if none is.
    pub fn close(&mut self, now: Instant) {
        self.tick(now);
        self.last = true;
        if matches!(self.phase, Phase::Head) && self.fault.is_none() {
            self.life.close(self.now, End::Closed);
        }
    }

    /// The peer broke a rule: that is answered, and nothing else any more.
    fn fail(&mut self, fault: Fault) {
        if self.life.close(self.now, End::Fault(fault)) {
            // What was begun to be answered cannot be answered otherwise.
            self.fault = Some(fault).filter(|_| !matches!(self.phase, Phase::Sending(_)));
        }
    }
}
