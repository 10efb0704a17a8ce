//! What both ends of a connection have in common: time, its life, what is owed.

use core::time::Duration;

use super::codec::SendError;
use super::event::End;
use super::fault::Fault;
use super::packet::{ConnAck, ConnectResult, Kind, Packet};
use super::wire::Head;
use super::{Config, HANDSHAKE_MAX, MAX_BODY};
use crate::buf::{RecvBuf, SendBuf};
use crate::keepalive::Keepalive;
use crate::lifecycle::{Lifecycle, State, Transport};
use crate::time::{Deadline, Instant, Why};

/// How long a side that has said its last waits for the other to end the stream.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The last packet of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    ConnAck(ConnectResult),
    Disconnect,
}

impl Last {
    const fn packet(self) -> Packet<'static> {
        match self {
            Last::ConnAck(result) => {
                Packet::ConnAck(ConnAck { result, has_session: false, session: None, clean: false })
            }
            Last::Disconnect => Packet::Disconnect,
        }
    }
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

impl Role {
    /// What the other end says first.
    const fn wanted(self) -> Kind {
        match self {
            Role::Client => Kind::ConnAck,
            Role::Server => Kind::Connect,
        }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    now: Instant,
    life: Lifecycle<End>,
    keepalive: Keepalive,
    /// Since when the transport takes nothing of what waits.
    stalled_since: Option<Instant>,
    write_timeout_ms: u32,
    max_packet: u32,
    role: Role,
    /// The first packet has come.
    greeted: bool,
    last_owed: Option<Last>,
    /// The application has to answer before anything else is read.
    pub(super) deciding: bool,
    pub(super) pong_owed: bool,
    told: bool,
    /// The peer ended its stream.
    eof: bool,
    aborted: bool,
}

impl Link {
    pub(super) fn new(now: Instant, config: &Config, role: Role) -> Link {
        Link {
            now,
            life: Lifecycle::new(now, config.handshake_deadline, CLOSE_WAIT),
            keepalive: Keepalive::new(now, None, None),
            stalled_since: None,
            write_timeout_ms: u32::try_from(config.write_timeout.as_millis()).unwrap_or(u32::MAX),
            max_packet: config.max_packet.min(MAX_BODY),
            role,
            greeted: false,
            last_owed: None,
            deciding: false,
            pong_owed: false,
            told: false,
            eof: false,
            aborted: false,
        }
    }

    /// Time only goes forward.
    pub(super) fn tick(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
        }
    }

    /// The first packet has come: from here on the peer is waited for no longer.
    pub(super) fn opened(&mut self) {
        self.greeted = true;
        self.life.opened();
    }

    pub(super) fn is_open(&self) -> bool {
        self.life.is_established() && !self.deciding
    }

    pub(super) const fn is_ended(&self) -> bool {
        self.life.reason().is_some()
    }

    /// Counts from now on: to hear from the peer so often, and as a client to ping it.
    pub(super) fn set_keepalive(&mut self, seconds: u16, ping: bool) {
        let every = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        self.keepalive.set_hear_every(self.now, every);
        if ping {
            self.keepalive.set_speak_every(self.now, every);
        }
    }

    pub(super) fn request_ping(&mut self) {
        self.keepalive.request_ping();
    }

    pub(super) fn on_pong(&mut self) -> Option<Duration> {
        self.keepalive.on_pong(self.now, 0)
    }

    /// The whole packet at the front of `buf`, which stays there; nothing where none is, or none is
    /// to be read now. All that can be known of a packet before it is whole is checked before.
    pub(super) fn scan(&mut self, buf: &mut impl RecvBuf) -> Result<Option<Head>, Fault> {
        if self.is_ended() {
            buf.take(usize::MAX);
            return Ok(None);
        }
        if self.deciding {
            return Ok(None);
        }
        let head = self.head(buf.filled(), buf.limit())?;
        match head {
            Some(_) => self.keepalive.on_received(self.now),
            None if self.eof => self.end(End::Lost),
            None => {}
        }
        Ok(head)
    }

    fn head(&self, bytes: &[u8], buffer_limit: usize) -> Result<Option<Head>, Fault> {
        let Some(first) = bytes.first() else { return Ok(None) };
        let kind = Kind::from_code(first >> 4).ok_or(Fault::UnassignedCode(first >> 4))?;
        self.check_allowed(kind)?;
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        let buffer = u32::try_from(buffer_limit.saturating_sub(head.len)).unwrap_or(u32::MAX);
        let stranger = if self.greeted { u32::MAX } else { HANDSHAKE_MAX };
        let limit = self.max_packet.min(stranger).min(buffer);
        if head.size > limit {
            return Err(Fault::TooLarge { kind, size: head.size, limit });
        }
        Ok((bytes.len() >= head.end()).then_some(head))
    }

    /// Side and state.
    fn check_allowed(&self, kind: Kind) -> Result<(), Fault> {
        let wanted = self.role.wanted();
        if !self.greeted {
            return if kind == wanted { Ok(()) } else { Err(Fault::NotFirst { kind, wanted }) };
        }
        let wrong = |context| Err(Fault::Unexpected { kind, context });
        match (self.role, kind) {
            _ if kind == wanted => wrong("a second time"),
            (Role::Server, Kind::ConnAck | Kind::SubAck | Kind::UnsubAck) => wrong("from a client"),
            (Role::Client, Kind::Connect | Kind::Subscribe | Kind::Unsubscribe) => wrong("from a server"),
            _ => Ok(()),
        }
    }

    /// Sends a packet of the application's.
    pub(super) fn send(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        packet: &Packet<'_>,
    ) -> Result<(), SendError> {
        self.check_open(now)?;
        packet.encode(out)
    }

    pub(super) fn check_open(&mut self, now: Instant) -> Result<(), SendError> {
        self.tick(now);
        if self.is_open() { Ok(()) } else { Err(SendError::State) }
    }

    /// Ends at once; what waits in the output is still written.
    pub(super) fn end(&mut self, end: End) {
        self.life.ended(end);
        self.pong_owed = false;
    }

    /// Ends with a last word, already written where `owed` is nothing, that the peer has a while to
    /// read: a stream that is reset might take it along.
    pub(super) fn close(&mut self, end: End, owed: Option<Last>) {
        if self.eof && owed.is_none() {
            return self.end(end);
        }
        if self.life.close(self.now, end) {
            self.last_owed = owed;
            self.pong_owed = false;
        }
    }

    /// Breaks off: the peer, or time, broke a rule.
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) {
        match fault.answer() {
            Some(result) => self.close(End::Fault(fault), Some(Last::ConnAck(result))),
            None => self.end(End::Fault(fault)),
        }
    }

    /// The end, once.
    pub(super) fn poll_closed(&mut self) -> Option<End> {
        let end = self.life.reason().filter(|_| !self.told)?;
        self.told = true;
        Some(end)
    }

    pub(super) fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        self.eof = true;
        // Before, what was received still counts.
        if self.is_ended() && self.last_owed.is_none() {
            self.life.ended(End::Lost);
        }
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if waiting == 0 {
            self.stalled_since = None;
        } else if written > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(self.now);
        }
    }

    /// At most three packets of at most three octets of body.
    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        if self.pong_owed && Packet::Pong.encode(out).is_ok() {
            self.pong_owed = false;
        }
        if self.is_open() && self.keepalive.poll_ping(self.now) && Packet::Ping.encode(out).is_ok() {
            self.keepalive.ping_sent(self.now, 0);
        }
        if let Some(last) = self.last_owed
            && last.packet().encode(out).is_ok()
        {
            self.last_owed = None;
            if self.eof {
                self.life.ended(End::Lost);
            }
        }
        match self.life.state() {
            State::Closed if self.aborted => Transport::Abort,
            State::Closed => Transport::Drop,
            State::Closing if self.last_owed.is_none() => Transport::Shut,
            _ => Transport::Open,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let ended = self.is_ended();
        let unread = self.eof && !ended && !self.deciding && self.stalled_since.is_none();
        // What is owed behind octets that wait for the transport goes out with them: to say "now"
        // would hide the deadline by which the transport must have taken some.
        if unread || (ended && !self.told) || (self.owes() && self.stalled_since.is_none()) {
            return Some(Deadline::new(self.now, Why::Output));
        }
        let keepalive = if self.is_open() { self.keepalive.poll_timeout() } else { None };
        let stalled = self.stalled_since.filter(|_| !self.aborted);
        let write = stalled.map(|since| Deadline::new(since + self.write_timeout(), Why::Write));
        Deadline::earliest(Deadline::earliest(self.life.poll_timeout(), keepalive), write)
    }

    fn owes(&self) -> bool {
        self.pong_owed || self.last_owed.is_some() || (self.is_open() && self.keepalive.poll_ping(self.now))
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms.into())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        let now = self.now;
        if self.stalled_since.is_some_and(|since| now >= since + self.write_timeout()) {
            self.fail(Fault::WriteTimeout);
            return self.abort();
        }
        match self.life.handle_timeout(now, |_| End::Fault(Fault::HandshakeTimeout)) {
            // The peer has said nothing, so there is nothing to answer.
            Some(Why::Handshake) => self.end(End::Fault(Fault::HandshakeTimeout)),
            Some(_) => self.abort(),
            None if self.is_open() && self.keepalive.is_dead(now) => self.fail(Fault::KeepaliveTimeout),
            None => {}
        }
    }

    fn abort(&mut self) {
        self.end(End::Lost);
        self.last_owed = None;
        self.stalled_since = None;
        self.aborted = true;
    }
}
