//! The handshake: messages in turns, each sent again until the next one comes.

use alloc::vec::Vec;
use core::time::Duration;

use super::super::cids::Route;
use super::super::cipher::{Handshake, Refused};
use super::super::ecn::Ecn;
use super::super::frame::put_varint;
use super::super::packet::{self, ConnectionId, Refusal};
use super::super::{Config, Ended, Transmit, mtu};
use super::{Connection, State, Surroundings};
use crate::time::Instant;
use crate::varint::leb128;

/// A message is sent again after this time at first, then after twice as long, up to four times.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// A client follows so many cookies.
const COOKIES: u8 = 3;
/// A server shows its last message again so often at most.
const REPEATS: u8 = 16;

/// What one side tells the other of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) window: u64,
    idle_ms: u64,
    max_datagram: u64,
}

impl Params {
    fn of(config: &Config) -> Self {
        Self {
            window: config.window.into(),
            idle_ms: config.idle.as_millis() as u64,
            max_datagram: config.max_datagram.into(),
        }
    }

    /// A name, then these numbers.
    fn put(self, name: ConnectionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&name.0);
        for n in [self.window, self.idle_ms, self.max_datagram] {
            put_varint(out, n.min(leb128::MAX));
        }
    }

    /// Reads what [`put`](Self::put) wrote. What is behind it is of a later version.
    fn read(payload: &[u8]) -> Option<(ConnectionId, Self)> {
        let (name, mut rest) = payload.split_first_chunk()?;
        let mut numbers = [0; 3];
        for n in &mut numbers {
            let (value, len) = leb128::decode(rest).ok()??;
            (*n, rest) = (value, &rest[len..]);
        }
        let [window, idle_ms, max_datagram] = numbers;
        let params = Self { window, idle_ms, max_datagram };
        (max_datagram >= u64::from(mtu::BASE)).then_some((ConnectionId(*name), params))
    }
}

/// A handshake's message on its way.
#[derive(Debug)]
pub(in super::super) struct Flight {
    index: u8,
    message: Vec<u8>,
    owed: bool,
    /// How often it was sent.
    sent: u8,
}

/// A connection that opens.
#[derive(Debug)]
pub(in super::super) struct Opening {
    handshake: Handshake,
    client: bool,
    /// The index of the next message of the peer.
    expects: u8,
    cookie: Vec<u8>,
    cookies: u8,
    refused: bool,
    flight: Option<Flight>,
    /// When a client sends its message again.
    pub(super) retry_at: Option<Instant>,
    pub(super) until: Instant,
}

impl Opening {
    /// A client's, whose first message is written.
    pub(in super::super) fn client(
        now: Instant,
        config: &Config,
        mut handshake: Handshake,
        name: ConnectionId,
    ) -> Result<Self, Refused> {
        let (mut payload, mut message) = (Vec::new(), Vec::new());
        Params::of(config).put(name, &mut payload);
        handshake.write(&payload, &mut message)?;
        let flight = Flight { index: 0, message, owed: true, sent: 0 };
        Ok(Self {
            handshake,
            client: true,
            expects: 1,
            cookie: Vec::new(),
            cookies: 0,
            refused: false,
            flight: Some(flight),
            retry_at: None,
            until: now + config.handshake,
        })
    }

    /// A server's, which has read nothing yet.
    pub(in super::super) fn server(now: Instant, config: &Config, handshake: Handshake) -> Self {
        Self {
            handshake,
            client: false,
            expects: 0,
            cookie: Vec::new(),
            cookies: 0,
            refused: false,
            flight: None,
            retry_at: None,
            until: now + config.handshake,
        }
    }

    pub(super) const fn is_client(&self) -> bool {
        self.client
    }
}

impl Connection {
    /// A server wants to see that the client is where it says.
    pub(in super::super) fn handle_retry(&mut self, from: core::net::SocketAddr, cookie: &[u8]) -> bool {
        let State::Opening(opening) = &mut self.state else { return false };
        let Some(flight) = opening.flight.as_mut().filter(|flight| flight.index == 0) else { return false };
        let fits = !cookie.is_empty() && opening.cookies < COOKIES && from == self.path.address;
        if fits && self.client {
            opening.cookie = cookie.into();
            opening.cookies += 1;
            flight.owed = true;
            opening.retry_at = None;
        }
        fits
    }

    /// A server has no connection for this client. Only who saw its first packet can know its name.
    pub(in super::super) fn handle_refused(
        &mut self,
        now: Instant,
        from: core::net::SocketAddr,
        why: Refusal,
    ) -> bool {
        let State::Opening(opening) = &mut self.state else { return false };
        let fits = self.client && from == self.path.address;
        if fits && (why != Refusal::Version || core::mem::replace(&mut opening.refused, true)) {
            // Of a version it is told twice: once can be a question that was changed on the way.
            self.end(now, Ended::Refused(why), true);
        }
        fits
    }

    /// A message of the handshake. Says whether it was of use.
    pub(in super::super) fn handle_handshake(
        &mut self,
        now: Instant,
        address: core::net::SocketAddr,
        index: u8,
        message: &[u8],
        around: &mut Surroundings<'_>,
    ) -> bool {
        if let Some(flight) = self.last_flight.as_mut()
            && index.checked_add(1) == Some(flight.index)
            && flight.sent < REPEATS
        {
            // The peer has not got the answer.
            flight.owed = true;
            return true;
        }
        let State::Opening(opening) = &mut self.state else { return false };
        if self.client && address != self.path.address {
            return false;
        }
        if index.checked_add(2) == Some(opening.expects) {
            // What was answered before comes again: so the answer did not arrive.
            if let Some(flight) = opening.flight.as_mut().filter(|f| !self.client && f.sent < REPEATS) {
                flight.owed = true;
            }
            return true;
        }
        if index != opening.expects {
            return false;
        }
        self.read_message(now, index, message, around).is_ok()
    }

    fn read_message(
        &mut self,
        now: Instant,
        index: u8,
        message: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Result<(), Refused> {
        let State::Opening(opening) = &mut self.state else { return Err(Refused) };
        let mut payload = Vec::new();
        opening.handshake.read(message, &mut payload)?;
        if index < 2 {
            let known =
                Params::read(&payload).filter(|(name, _)| self.client || *name == self.remote.active());
            let Some((name, peer)) = known else {
                // Nobody but the peer can have written it, or else the handshake fails at its end.
                self.end(now, Ended::Handshake, true);
                return Err(Refused);
            };
            self.peer = peer;
            self.remote = super::Remote::new(name);
        }
        opening.expects = index + 2;
        (opening.flight, opening.retry_at) = (None, None);
        if !opening.handshake.is_finished() {
            let (mut payload, mut message) = (Vec::new(), Vec::new());
            if index == 0
                && let Some((_, name)) = self.local.get(0)
            {
                Params::of(around.config).put(name, &mut payload);
            }
            opening.handshake.write(&payload, &mut message)?;
            opening.flight = Some(Flight { index: index + 1, message, owed: true, sent: 0 });
        }
        if opening.handshake.is_finished() {
            self.open(now, around)?;
        }
        Ok(())
    }

    fn open(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Result<(), Refused> {
        let State::Opening(opening) = core::mem::replace(&mut self.state, State::Open) else {
            return Err(Refused);
        };
        let (mine, theirs) =
            (self.local.get(0).map(|(_, cid)| cid).unwrap_or_default(), self.remote.active());
        let names = if self.client { [mine, theirs] } else { [theirs, mine] };
        match opening.handshake.into_cipher(names) {
            Ok(cipher) => self.cipher = Some(cipher),
            Err(Refused) => {
                self.end(now, Ended::Handshake, true);
                return Err(Refused);
            }
        }
        self.last_flight = opening.flight.map(alloc::boxed::Box::new);
        self.send.set_limit(self.peer.window);
        self.mtu.limit(u16::try_from(self.peer.max_datagram).unwrap_or(u16::MAX));
        if self.peer.idle_ms > 0 {
            self.idle = self.idle.min(Duration::from_millis(self.peer.idle_ms));
        }
        self.keep_alive = self.keep_alive.map(|interval| interval.min(self.idle / 3));
        self.local.issue(around.entropy, around.routes);
        // The peer learns from it that the handshake's last message has arrived.
        self.owed.ping = true;
        (self.last_received, self.last_sent) = (now, now);
        self.news.open = true;
        if self.detached.is_some() {
            self.leave(now);
        }
        Ok(())
    }

    /// What the handshake has to say, in a datagram of its own.
    pub(super) fn transmit_handshake(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let to = self.remote.active();
        let name = self.local.get(0)?.1;
        let (flight, cookie): (&mut Flight, &[u8]) = match &mut self.state {
            State::Opening(opening) => {
                let due = opening.retry_at.is_some_and(|at| at <= now);
                let flight = opening.flight.as_mut().filter(|f| f.owed || (self.client && due))?;
                let tries = u32::from(flight.sent).min(2);
                opening.retry_at = self.client.then(|| now + FIRST_RETRY * (1 << tries));
                (flight, &opening.cookie)
            }
            _ => (self.last_flight.as_deref_mut().filter(|flight| flight.owed)?, &[]),
        };
        flight.owed = false;
        flight.sent = flight.sent.saturating_add(1);
        if flight.index == 0 {
            packet::put_hello(out, name, cookie, &flight.message);
            out.resize(out.len().max(usize::from(mtu::BASE)), 0);
        } else {
            packet::put_handshake(out, to, flight.index, &flight.message);
        }
        Some(Transmit { to: self.path.address, segment: out.len(), ecn: Ecn::NotEct })
    }

    /// The last message goes again with what else waits for an answer.
    pub(super) fn repeat_flight(&mut self) {
        if let Some(flight) = &mut self.last_flight
            && self.client
        {
            flight.owed = true;
        }
    }

    /// How the handshake's routes are left: a server's connection is no longer found by its client's name.
    pub(in super::super) fn routes_gone(&self, routes: &mut Vec<Route>) {
        routes.extend(self.local.iter().map(Route::Remove));
    }
}
