//! One connection: whatever is spoken on it, and over whatever layer.

use alloc::boxed::Box;
use core::time::Duration;

use super::auth::{Decision, Verification, Verified};
use super::http::{self, Awaited, HttpRequest, HttpResponse, Switched};
use super::inspect::{BY_ADMINISTRATOR, Carrier};
use super::secured::Security;
use super::spoken::Spoken;
use super::websocket::WebSocket;
use super::{ConnectionKey, Peer, Server, ServerConfig, ServerEvent, bowline, json};
use alloc::vec::Vec;

use crate::buf::{RecvBuf, SendBuf};
use crate::datagram::Delivery;
use crate::lifecycle::Transport;
use crate::plugin::Tags;
use crate::session::{Auth, Code, Tunnels};
use crate::stack::{self, Alpn, Detection, Dialect};
use crate::time::{Deadline, Instant, Why};

/// Why a connection ends that began with what is not spoken where it came in.
pub(super) const NOT_SPOKEN: &str = "this is not spoken at this listener";

/// What a call on one connection works with, while that connection is lent out: the rest of the
/// server, the time, and whose call it is.
pub(super) struct Turn<'s> {
    pub(super) server: &'s mut Server,
    pub(super) now: Instant,
    pub(super) key: ConnectionKey,
    /// With which code what is spoken ended in this call, if it did.
    pub(super) ended: Option<Code>,
    /// What plugins have tagged a client with that they have just let in.
    pub(super) tags: Tags,
}

impl<'s> Turn<'s> {
    pub(super) const fn new(server: &'s mut Server, now: Instant, key: ConnectionKey) -> Self {
        Self { server, now, key, ended: None, tags: Tags::NONE }
    }

    /// Tells that what is spoken has ended, for logs and for the layer around it.
    pub(super) fn tell_closed(&mut self, code: Option<Code>, event: ServerEvent) {
        self.ended = Some(code.unwrap_or(Code::Normal));
        self.server.tell_plugins_closed(self.now, &event);
        self.server.events.push_back(event);
    }

    /// What is decided about what this connection's peer says of itself, and what the layer below has
    /// proved.
    pub(super) fn decide(&self, peer: &Peer, auth: &Auth<'_>) -> Decision {
        let anonymous = self.server.listeners.anonymous(peer);
        self.server.config.users.decide(peer, self.proved(), auth, anonymous)
    }

    /// The user that this connection's peer has proved to be to the layer below.
    fn proved(&self) -> Option<&str> {
        let identity = self.server.secured(self.key)?.identity.as_ref()?;
        self.server.config.users.identify(identity)
    }

    /// Whether there is one.
    pub(super) fn is_proved(&self) -> bool {
        self.proved().is_some()
    }
}

/// One connection. Each sort has its own record, of its own size, and answers the same calls.
#[derive(Debug)]
pub(super) enum Connection {
    /// It has said too little to be told from others.
    Detecting(Box<Detecting>),
    /// Requests of HTTP, until one of them asks for another protocol.
    Http(Box<http::Connection>),
    /// A dialect, on the transport itself.
    Spoken(Spoken),
    /// A dialect, in the frames of a WebSocket.
    WebSocket(Box<WebSocket>),
    /// No connection of its own: a client that polls by requests on others.
    Poller(Box<json::Poller>),
}

/// One that has said nothing, or hardly anything.
#[derive(Debug)]
pub(super) struct Detecting {
    since: Instant,
    peer: Peer,
}

/// The same call, whatever is spoken.
macro_rules! each {
    ($connection:expr, $c:ident => $do:expr, $detecting:pat => $otherwise:expr) => {
        match $connection {
            Connection::Detecting($detecting) => $otherwise,
            Connection::Http($c) => $do,
            Connection::Spoken($c) => $do,
            Connection::WebSocket($c) => $do,
            Connection::Poller($c) => $do,
        }
    };
}

impl Connection {
    pub(super) fn new(now: Instant, peer: Peer) -> Self {
        Self::Detecting(Box::new(Detecting { since: now, peer }))
    }

    fn speak(&mut self, dialect: Dialect, config: &ServerConfig) {
        let Self::Detecting(detecting) = self else { return };
        let Detecting { since, peer } = **detecting;
        *self = match dialect {
            Dialect::Http => Self::Http(Box::new(http::Connection::new(since, &config.http, peer))),
            _ => Self::Spoken(Spoken::new(dialect, since, config, peer)),
        };
    }

    /// The layer below is secured, and may have agreed upon what is spoken. Says whether that came in
    /// time: before anything else.
    pub(super) fn secured(&mut self, turn: &mut Turn<'_>, by: Security, alpn: Option<Alpn>) -> bool {
        let Self::Detecting(detecting) = self else { return false };
        detecting.peer.secured = Some(by);
        if let Some(alpn) = alpn {
            self.begin(turn, alpn.dialect());
        }
        true
    }

    /// Only our own protocol has messages in datagrams.
    const fn bowline(&mut self) -> Option<&mut bowline::Connection> {
        match self {
            Self::Spoken(Spoken::Bowline(c)) => Some(c),
            _ => None,
        }
    }

    pub(super) fn set_max_datagram(&mut self, max: usize) {
        if let Some(c) = self.bowline() {
            c.set_max_datagram(max);
        }
    }

    pub(super) fn poll_datagram(&mut self) -> Option<(Delivery, Vec<u8>)> {
        self.bowline()?.poll_datagram()
    }

    pub(super) fn handle_datagram(&mut self, turn: &mut Turn<'_>, datagram: &[u8]) {
        if let Some(c) = self.bowline() {
            c.handle_datagram(turn, datagram);
        }
    }

    /// It begins with this: may it, where it came in? Says so.
    fn begin(&mut self, turn: &mut Turn<'_>, dialect: Dialect) -> bool {
        let allowed = turn.server.listeners.begins(self.peer(), dialect);
        self.speak(dialect, &turn.server.config);
        if !allowed {
            self.close(turn, Code::Unsupported, NOT_SPOKEN);
        }
        allowed
    }

    pub(super) fn peer(&self) -> &Peer {
        each!(self, c => c.peer(), d => &d.peer)
    }

    /// Whether its client has not said yet what it wants.
    pub(super) const fn is_stranger(&self) -> bool {
        match self {
            Self::Detecting(_) => true,
            Self::Http(c) => c.is_stranger(),
            Self::Spoken(c) => c.is_stranger(),
            Self::WebSocket(c) => c.is_stranger(),
            Self::Poller(_) => false,
        }
    }

    pub(super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        if matches!(self, Self::Detecting(_)) {
            match stack::detect(buf.filled()) {
                Detection::NeedMore => return false,
                Detection::Known(dialect) if !self.begin(turn, dialect) => {
                    let all = buf.filled().len();
                    buf.take(all);
                    return false;
                }
                Detection::Known(_) => {}
                Detection::Unknown => self.speak(Dialect::Bowline, &turn.server.config),
            }
        }
        let blocked = each!(self, c => c.recv(turn, buf, out), _ => false);
        if self.switch(turn) {
            // What came with the request.
            return each!(self, c => c.recv(turn, buf, out), _ => false);
        }
        blocked
    }

    /// Goes on with the protocol that a request has asked for, if one has.
    fn switch(&mut self, turn: &mut Turn<'_>) -> bool {
        let Self::Http(c) = self else { return false };
        let Some(switched) = c.switched() else { return false };
        let Switched { dialect, compression, authorization } = *switched;
        let peer = *c.peer();
        if dialect == Dialect::Json {
            let c = json::Connection::new(turn, peer, compression, authorization);
            *self = Self::Spoken(Spoken::Json(Box::new(c)));
            return true;
        }
        let config = &turn.server.config;
        let spoken = Spoken::new(dialect, turn.now, config, peer);
        *self = Self::WebSocket(Box::new(WebSocket::new(turn.now, &config.http, spoken)));
        true
    }

    pub(super) fn poll_transmit(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf) -> Transport {
        each!(self, c => c.poll_transmit(turn, out), _ => Transport::Open)
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl SendBuf) {
        each!(self, c => c.verified(turn, verified, out), _ => {});
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        each!(self, c => c.poll_verification(), _ => None)
    }

    pub(super) fn handle_eof(&mut self, turn: &mut Turn<'_>) {
        self.speak(Dialect::Bowline, &turn.server.config);
        each!(self, c => c.handle_eof(turn), _ => {});
    }

    pub(super) fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        each!(self, c => c.handle_written(now, written, waiting), _ => {});
    }

    /// `config` says how long a connection may say nothing.
    pub(super) fn poll_timeout(&self, config: &ServerConfig) -> Option<Deadline> {
        let silent =
            |since: Instant| Deadline::new(since + config.session.handshake_deadline, Why::Handshake);
        each!(self, c => c.poll_timeout(), d => Some(silent(d.since)))
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if let Self::Detecting(detecting) = self
            && turn.now < detecting.since + turn.server.config.session.handshake_deadline
        {
            return;
        }
        self.speak(Dialect::Bowline, &turn.server.config);
        each!(self, c => c.handle_timeout(turn), _ => {});
    }

    /// Its transport is gone.
    pub(super) fn disconnected(&mut self, turn: &mut Turn<'_>) {
        self.speak(Dialect::Bowline, &turn.server.config);
        each!(self, c => c.disconnected(turn), _ => {});
    }

    /// Ends it by this side's decision.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        self.speak(Dialect::Bowline, &turn.server.config);
        each!(self, c => c.end(turn, code, reason), _ => {});
    }

    /// Ends it by an administrator's decision. Its client may come back to its session, unless that is to
    /// be forgotten.
    pub(super) fn expel(&mut self, turn: &mut Turn<'_>, forget: bool) {
        if let Self::Poller(c) = self {
            return c.expel(turn, forget);
        }
        if let Some(Spoken::Json(c)) = self.spoken() {
            return c.expel(forget);
        }
        // MQTT has a word for it; our own protocol ends the session where it says that all is well.
        let is_mqtt = matches!(self.spoken(), Some(Spoken::Mqtt(_)));
        let code = if is_mqtt || forget { Code::Normal } else { Code::GoingAway };
        self.close(turn, code, BY_ADMINISTRATOR);
    }

    /// The smoothed round trip to its client, where that is measured and was.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Spoken(c) => c.round_trip(),
            Self::WebSocket(c) => c.round_trip(),
            Self::Detecting(_) | Self::Http(_) | Self::Poller(_) => None,
        }
    }

    /// What carries its octets.
    pub(super) const fn carrier(&self) -> Carrier {
        match self {
            Self::WebSocket(_) | Self::Spoken(Spoken::Json(_)) => Carrier::WebSocket,
            Self::Poller(c) => c.carrier(),
            _ => Carrier::Transport,
        }
    }

    /// What is spoken, over whatever layer.
    fn spoken(&mut self) -> Option<&mut Spoken> {
        match self {
            Self::Spoken(c) => Some(c),
            Self::WebSocket(c) => Some(c.spoken()),
            Self::Detecting(_) | Self::Http(_) | Self::Poller(_) => None,
        }
    }

    /// Its tunnels, if it has any.
    pub(super) fn tunnels(&mut self) -> Option<&mut Tunnels> {
        match self.spoken()? {
            Spoken::Bowline(c) => c.tunnels(),
            #[cfg(feature = "noise")]
            Spoken::Noise(c) => c.tunnels(),
            Spoken::Json(_) | Spoken::Mqtt(_) | Spoken::Prx1(_) => None,
        }
    }

    /// Whether it is a client that polls, and has no transport.
    pub(super) const fn is_poller(&self) -> bool {
        matches!(self, Self::Poller(_))
    }

    /// A slow subscriber holds this publisher, or lets it go.
    pub(super) fn hold(&mut self, hold: bool) {
        if let Self::Poller(c) = self {
            c.hold(hold);
        }
        if let Some(c) = self.spoken() {
            c.hold(hold);
        }
    }

    /// Its queue overflowed, and its policy is to be disconnected.
    pub(super) fn overflowed(&mut self) {
        if let Self::Poller(c) = self {
            c.overflowed();
        }
        if let Some(c) = self.spoken() {
            c.overflowed();
        }
    }

    /// The store has committed more.
    pub(super) fn committed(&mut self) {
        if let Self::Poller(c) = self {
            c.committed();
        }
        if let Some(c) = self.spoken() {
            c.committed();
        }
    }

    /// Its session goes on over another connection.
    pub(super) fn taken_over(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Spoken(c) => c.taken_over(turn),
            Self::WebSocket(c) => c.taken_over(turn),
            Self::Poller(c) => {
                c.taken_over(turn);
                turn.server.ready.push_back(turn.key);
            }
            Self::Detecting(_) | Self::Http(_) => {}
        }
    }

    /// How far its client's reliable frames have come, in our own protocol.
    pub(super) fn progress(&self) -> Option<bowline::Progress> {
        match self {
            Self::Spoken(c) => c.progress(),
            Self::WebSocket(c) => c.progress(),
            Self::Detecting(_) | Self::Http(_) | Self::Poller(_) => None,
        }
    }

    /// What is spoken, and whether it is over a WebSocket; nothing as long as that is not known.
    pub(super) fn dialect(&self) -> Option<(super::Dialect, bool)> {
        match self {
            Self::Detecting(_) => None,
            Self::Http(_) => Some((super::Dialect::Http, false)),
            Self::Spoken(c) => Some((c.dialect(), matches!(c, Spoken::Json(_)))),
            Self::Poller(_) => Some((super::Dialect::Json, false)),
            Self::WebSocket(c) => Some((c.dialect(), true)),
        }
    }

    /// A request that the adapter is to answer.
    pub(super) fn poll_request(&mut self) -> Option<HttpRequest> {
        match self {
            Self::Http(c) => c.poll_request(),
            _ => None,
        }
    }

    /// The answer to it. Says whether one was waited for.
    pub(super) fn respond(&mut self, response: HttpResponse) -> bool {
        match self {
            Self::Http(c) => c.respond(response),
            _ => false,
        }
    }

    /// The connection as far as it speaks HTTP, for answers in parts.
    pub(super) fn http(&mut self) -> Option<&mut http::Connection> {
        match self {
            Self::Http(c) => Some(c),
            _ => None,
        }
    }

    /// What it waits for from the adapter.
    pub(super) const fn awaited(&self) -> Awaited {
        match self {
            Self::Http(c) => c.awaited(),
            _ => Awaited::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::server::{mqtt, prx1};

    #[test]
    fn an_idle_connection_is_small() {
        assert_eq!(size_of::<Connection>(), 16);
        let (mqtt, prx1) = (size_of::<mqtt::Connection>(), size_of::<prx1::Connection>());
        let (bowline, json) = (size_of::<bowline::Connection>(), size_of::<json::Connection>());
        assert!(json <= 528, "{json}");
        assert!(mqtt <= 232 && prx1 <= 224 && bowline <= 360, "{mqtt} {prx1} {bowline}");
    }
}
