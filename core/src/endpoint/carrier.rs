//! What carries a client's octets: the transport itself, or a WebSocket on it.
//!
//! The dialect knows nothing of it, as on the server's side: it reads from
//! [`Decoded`](crate::websocket::Decoded) and writes to [`Framed`](crate::websocket::Framed). Where it would
//! end the transport, the layer has its closing handshake; where the layer ends, the dialect sees the end of
//! its stream, and the application why.

#[cfg(test)]
pub(super) mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::buf::{RecvBuf, SendBuf, SliceSendBuf};
use crate::entropy::{Derived, Entropy};
use crate::http::StatusCode;
use crate::lifecycle::{By, Transport};
use crate::session::Code;
use crate::time::{Deadline, Instant, Why};
use crate::websocket::handshake::{BESIDE, Opening};
use crate::websocket::{
    Carries, Client as Role, CloseCode, Closed, Config, Connect, Event, Fault, OpenFault, Refused, WebSocket,
};

/// What a client's octets go in, on the transport that was opened for it.
///
/// ```
/// use bowline_core::endpoint::client::Carrier;
/// let carrier = Carrier::WebSocket { host: "example.com:7790".into(), target: "/".into() };
/// assert_ne!(carrier, Carrier::Transport);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// Nothing: they go on the transport as they are.
    #[default]
    Transport,
    /// Binary messages of a WebSocket (RFC 6455), which the client opens.
    WebSocket {
        /// The host that is asked, with its port unless that is 80.
        host: String,
        /// The path, and the query where there is one; begins with `/`.
        target: String,
    },
}

/// Fields that a request for a WebSocket has beside those of its own: `Authorization`, `Origin`, `Cookie`.
///
/// Values are erased when dropped, and never printed.
///
/// ```
/// use bowline_core::endpoint::client::RequestFields;
/// let fields = RequestFields::new().with("Authorization", "Bearer s3cret").unwrap();
/// assert_eq!(format!("{fields:?}"), r#"["Authorization"]"#);
/// assert!(RequestFields::new().with("Upgrade", "h2c").is_err());
/// ```
#[derive(Clone, Default)]
pub struct RequestFields(Vec<(String, Zeroizing<String>)>);

/// A field cannot be put in a request for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header field {name:?}: {what}")]
pub struct FieldError {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl RequestFields {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These, and one more.
    ///
    /// # Errors
    ///
    /// The name is no token, the value has control characters, the field is one that the request has anyway, or
    /// there are eight already.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, FieldError> {
        let own = ["host", "upgrade", "connection", "content-length", "transfer-encoding"];
        let is_own = own.iter().any(|own| name.eq_ignore_ascii_case(own));
        let is_of_layer = name.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("sec-websocket-"));
        let what = if crate::http::check_field(name, value).is_err() {
            "its name is not a token, or its value has a control character"
        } else if is_own || is_of_layer {
            "it belongs to the opening handshake itself"
        } else if self.0.len() == BESIDE {
            "there are eight already"
        } else {
            self.0.push((name.into(), Zeroizing::new(value.into())));
            return Ok(self);
        };
        Err(FieldError { name: name.into(), what })
    }
}

impl fmt::Debug for RequestFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Why a client has no WebSocket, or has it no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The server did not open one.
    NotOpened {
        /// Why.
        fault: OpenFault,
        /// What the server says to people, or where it sends this client; may be empty.
        words: String,
    },
    /// The server, or time, broke a rule.
    Broken(Fault),
    /// The server closed it, without a word of what is spoken within.
    Closed {
        /// The code of its Close frame.
        code: CloseCode,
        /// Its reason; may be empty.
        reason: String,
    },
    /// The transport ended without a Close frame.
    Truncated,
}

impl WebSocketError {
    /// The HTTP status with which the server refused to open one.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::NotOpened { fault, .. } => fault.status(),
            _ => None,
        }
    }

    /// Whether it is of no use to ask again. `known`: this server has opened one before, so that what it has
    /// not at present, it may have again.
    pub(super) fn is_final(&self, known: bool) -> bool {
        let is_about_rights = self.status().is_some_and(|status| matches!(status.number(), 401 | 403));
        matches!(self, Self::NotOpened { fault, .. } if fault.is_lasting() && (!known || is_about_rights))
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside = |text: &str| if text.is_empty() { String::new() } else { alloc::format!(" ({text})") };
        match self {
            Self::NotOpened { fault, words } => {
                write!(f, "no WebSocket was opened: {fault}{}; {}", beside(words), fault.advice())
            }
            Self::Broken(fault) => write!(f, "the server broke a rule of WebSocket: {fault}"),
            Self::Closed { code, reason } => {
                write!(f, "the server closed the WebSocket with {code}{}", beside(reason))
            }
            Self::Truncated => {
                f.write_str("the connection ended without a Close frame: something may be missing")
            }
        }
    }
}

/// What a Close frame says where what is carried ended with this code (RFC 6455 §7.4).
pub(super) const fn farewell(code: Code) -> (CloseCode, &'static str) {
    match code {
        Code::Normal => (CloseCode::NORMAL, ""),
        Code::GoingAway => (CloseCode::GOING_AWAY, ""),
        Code::TakenOver => (CloseCode::POLICY, "the session goes on over another connection"),
        Code::FrameTooLarge => (CloseCode::TOO_BIG, "a frame within is too large"),
        Code::NotAuthorized | Code::AuthFailed | Code::AuthMethod => (CloseCode::POLICY, "not authorized"),
        Code::Quota | Code::SlowConsumer => (CloseCode::POLICY, "you take less than you are sent"),
        Code::KeepaliveTimeout | Code::HandshakeTimeout => {
            (CloseCode::POLICY, "you were silent for too long")
        }
        Code::Internal => (CloseCode::INTERNAL, "internal error"),
        _ => (CloseCode::PROTOCOL, "the protocol within was broken"),
    }
}

/// A client's dialect, as the WebSocket beneath it works on it.
pub(super) trait Spoken {
    /// The subprotocol that it goes by; may be empty.
    fn protocol(&self) -> &str;
    /// What the request has beside.
    fn fields(&self) -> &RequestFields;
    /// Whether a transport is of use to it: it has not ended.
    fn wants_transport(&self) -> bool;
    /// Consumes what was received.
    fn hear(&mut self, buf: &mut impl RecvBuf);
    /// Whether it leaves octets unread.
    fn is_deaf(&self) -> bool;
    /// Puts what is to be said.
    fn say(&mut self, out: &mut impl SendBuf) -> Transport;
    /// Whether it has said its first word on this connection.
    fn has_begun(&self) -> bool;
    /// When it wants a turn.
    fn due(&self) -> Option<Deadline>;
    /// With which code it has ended.
    fn ended(&self) -> Code;
    /// Whether it still hears the other side when it has ended its own direction.
    fn hears_on(&self) -> bool {
        false
    }
    /// The stream has ended.
    fn end(&mut self);
    /// The connection ends for this reason, unless it has ended before.
    fn lost(&mut self, why: WebSocketError, retry_after: Option<Duration>);
}

/// A dialect that may have a WebSocket beneath it.
pub(super) trait MayBeWeb: Spoken {
    /// What it goes in, where that is not the transport alone.
    fn web(&mut self) -> &mut Option<Box<Web>>;

    /// Lets the WebSocket work on it; nothing where there is none.
    fn with_web<T>(&mut self, work: impl FnOnce(&mut Web, &mut Self) -> T) -> Option<T> {
        let mut web = self.web().take()?;
        let done = work(&mut web, self);
        *self.web() = Some(web);
        Some(done)
    }
}

/// The WebSocket of one connection, from the transport's first octet on.
#[derive(Debug)]
pub(super) struct Web {
    host: String,
    target: String,
    connect: Connect,
    /// Until the layer has it.
    entropy: Option<Derived>,
    /// Once it is open.
    layer: Option<WebSocket<Role<Derived>>>,
    /// It has ended: the dialect is told once it has read what came before.
    ended: bool,
    /// Why, where the dialect's own end does not say it.
    why: Option<WebSocketError>,
}

/// Memory for the fields beside, as [`Opening`] wants them.
type Fields<'a> = [(&'a str, &'a str); BESIDE];

impl Web {
    /// What there is between a client and a transport that opened just now.
    pub(super) fn new(
        now: Instant,
        carrier: &Carrier,
        timeout: Duration,
        entropy: &mut dyn Entropy,
    ) -> Option<Box<Self>> {
        let Carrier::WebSocket { host, target } = carrier else { return None };
        Some(Box::new(Self::asking(now, (host.clone(), target.clone()), timeout, entropy)))
    }

    /// One that asks this host for this target.
    pub(super) fn asking(
        now: Instant,
        (host, target): (String, String),
        timeout: Duration,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let (connect, entropy) = (Connect::new(now + timeout), Some(Derived::from(entropy)));
        Self { host, target, connect, entropy, layer: None, ended: false, why: None }
    }

    /// Whether the server has opened it.
    pub(super) const fn is_open(&self) -> bool {
        self.layer.is_some()
    }

    pub(super) fn recv<S: Spoken>(&mut self, now: Instant, spoken: &mut S, buf: &mut impl RecvBuf) {
        if self.layer.is_none() {
            self.answered(now, spoken, buf);
        }
        let Some(layer) = &mut self.layer else { return };
        // A pong goes out with all else that is owed.
        let mut later = SliceSendBuf::new(&mut []);
        while let Some(event) = layer.recv(now, buf, &mut later) {
            if let Event::Closed(closed) = event {
                (self.ended, self.why) = (true, why(&closed));
            }
        }
        spoken.hear(&mut layer.decoded(buf));
        self.tell_end(spoken);
    }

    /// Reads what the server answers, as far as it has come.
    fn answered<S: Spoken>(&mut self, now: Instant, spoken: &mut S, buf: &mut impl RecvBuf) {
        let mut fields = Fields::default();
        let opening = opening(&self.host, &self.target, spoken, &mut fields);
        match (self.connect.recv(&opening, buf), &mut self.entropy) {
            (Some(Ok(())), entropy @ Some(_)) => {
                // What is spoken has its own keepalive.
                let config = Config { ping_interval: None, ..Config::default() };
                let role = entropy.take().map(Role::new);
                self.layer = role.map(|role| WebSocket::new(now, role, Carries::Stream, &config));
            }
            (Some(Err(refused)), _) => refuse(spoken, &refused),
            _ => {}
        }
    }

    pub(super) fn poll_transmit<S: Spoken>(
        &mut self,
        now: Instant,
        spoken: &mut S,
        out: &mut impl SendBuf,
    ) -> Transport {
        let Some(layer) = &mut self.layer else {
            if spoken.wants_transport() {
                self.ask(spoken, out);
            }
            return if spoken.wants_transport() { Transport::Open } else { Transport::Drop };
        };
        match spoken.say(&mut layer.framed(out)) {
            Transport::Open => {}
            Transport::Abort if layer.is_open() => return Transport::Abort,
            Transport::Shut if spoken.hears_on() => layer.finish(now),
            Transport::Shut | Transport::Drop | Transport::Abort => {
                let (code, reason) = farewell(spoken.ended());
                layer.close(now, code, reason);
            }
        }
        layer.poll_transmit(now, out)
    }

    fn ask<S: Spoken>(&mut self, spoken: &mut S, out: &mut impl SendBuf) {
        let Some(entropy) = &mut self.entropy else { return };
        let mut fields = Fields::default();
        let opening = opening(&self.host, &self.target, spoken, &mut fields);
        if let Err(fault) = self.connect.poll_transmit(&opening, entropy, out) {
            refuse(spoken, &Refused::new(fault));
        }
    }

    /// Tells the dialect that nothing more comes, where that is so and it has read all else.
    fn tell_end<S: Spoken>(&mut self, spoken: &mut S) {
        if self.ended && !spoken.is_deaf() {
            self.end(spoken);
        }
    }

    fn end<S: Spoken>(&mut self, spoken: &mut S) {
        self.ended = false;
        if let Some(why) = self.why.take() {
            spoken.lost(why, None);
        }
        spoken.end();
    }

    pub(super) fn handle_eof<S: Spoken>(&mut self, now: Instant, spoken: &mut S) {
        match (&mut self.layer, self.connect.known()) {
            (Some(layer), _) => {
                layer.handle_eof(now);
                let _ = layer.poll_closed(); // the dialect tells of the end
            }
            (None, Some(fault)) => refuse(spoken, &Refused::new(fault)),
            (None, None) => {}
        }
        self.end(spoken);
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        if let Some(layer) = &mut self.layer {
            layer.handle_written(now, written, waiting);
        }
    }

    pub(super) fn poll_timeout<S: Spoken>(&self, now: Instant, spoken: &S) -> Option<Deadline> {
        match &self.layer {
            // Nobody is left whom the first word could reach.
            Some(layer) if layer.is_ended() && !spoken.has_begun() => layer.poll_timeout(),
            Some(layer) => Deadline::earliest(spoken.due(), layer.poll_timeout()),
            None if self.connect.owes() || !spoken.wants_transport() => Some(Deadline::new(now, Why::Output)),
            None => self.connect.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout<S: Spoken>(&mut self, now: Instant, spoken: &mut S) {
        if let Some(layer) = &mut self.layer {
            if let Some(Event::Closed(closed)) = layer.handle_timeout(now) {
                (self.ended, self.why) = (true, why(&closed));
                self.tell_end(spoken);
            }
        } else if self.connect.poll_timeout().is_some_and(|d| d.at <= now) {
            refuse(spoken, &Refused::new(self.connect.known().unwrap_or(OpenFault::Stalled)));
        }
    }
}

fn opening<'a>(
    host: &'a str,
    target: &'a str,
    spoken: &'a impl Spoken,
    memory: &'a mut Fields<'a>,
) -> Opening<'a> {
    let fields = spoken.fields();
    let n = fields.0.len().min(BESIDE);
    for (to, (name, value)) in memory.iter_mut().zip(&fields.0) {
        *to = (name, value);
    }
    Opening { host, target, protocols: spoken.protocol(), extensions: "", headers: &memory[..n] }
}

fn refuse<S: Spoken>(spoken: &mut S, refused: &Refused<'_>) {
    let why = WebSocketError::NotOpened { fault: refused.fault, words: refused.words.into() };
    spoken.lost(why, refused.retry_after);
}

/// What the layer's end is to the application; nothing where the transport's end, or ours, says all.
fn why(closed: &Closed<'_>) -> Option<WebSocketError> {
    match (closed.fault, closed.by) {
        (Some(fault), _) => Some(WebSocketError::Broken(fault)),
        (None, By::Remote) => {
            Some(WebSocketError::Closed { code: closed.code, reason: closed.reason.into() })
        }
        (None, _) => None,
    }
}
