//! A look at who is connected, for consoles, and the end of a session by an administrator.

use core::time::Duration;

use super::connection::Connection;
use super::event::{Dialect, SessionName};
use super::{ConnectionKey, Peer, Server};
use crate::hub::SessionInfo;
use crate::time::Instant;

/// What a client is told that an administrator disconnects.
pub(super) const BY_ADMINISTRATOR: &str = "disconnected by an administrator";

/// What carries the octets of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Carrier {
    /// The transport itself.
    Transport,
    /// A WebSocket.
    WebSocket,
    /// Requests of HTTP that send, and one whose answer is a stream of events.
    Events,
    /// Requests of HTTP that send, and those that wait.
    Poll,
}

/// What a connection has had to do, and since when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Which.
    pub key: ConnectionKey,
    /// Whose.
    pub peer: Peer,
    /// What carries it.
    pub carrier: Carrier,
    /// Since when it is there, in whole seconds.
    pub since: Instant,
    /// Messages that its client published, and that were handed out to it; they wrap around at 2^32.
    pub messages: (u32, u32),
    /// Octets taken from its transport, and given to it.
    pub octets: (u64, u64),
    /// The smoothed round trip, where this side asks for one and was answered: in our own protocol and
    /// over WebSockets.
    pub round_trip: Option<Duration>,
}

/// A session that a connection began.
#[derive(Clone, Debug)]
pub struct ClientInfo<'a> {
    /// The session in the hub.
    pub session: SessionInfo<'a>,
    /// What is spoken, or was spoken last: of MQTT without a connection the version is not known.
    pub dialect: Option<Dialect>,
    /// What it is called, where it outlives connections.
    pub name: Option<SessionName>,
    /// The connection that serves it.
    pub connection: Option<ConnectionInfo>,
}

impl Server {
    /// Shows sessions that clients have, from the place `from` on, at most `most` places, until `each` says
    /// that it has enough. Says from where to go on, unless that was all; the first look is from 0.
    pub fn inspect_clients<'a>(
        &'a self,
        from: u64,
        most: usize,
        mut each: impl FnMut(&ClientInfo<'a>) -> bool,
    ) -> Option<u64> {
        self.hub
            .inspect_sessions(from, most, |session| self.client(*session).is_none_or(|client| each(&client)))
    }

    /// The client whose session has this [number](crate::hub::SessionKey::number).
    #[must_use]
    pub fn inspect_client(&self, number: u64) -> Option<ClientInfo<'_>> {
        self.client(self.hub.inspect_session(number)?)
    }

    /// Nothing: it is the program's own.
    fn client<'a>(&'a self, session: SessionInfo<'a>) -> Option<ClientInfo<'a>> {
        if !self.registry.knows(session.key) {
            return None;
        }
        let name = self.registry.told(session.key);
        let connection = self.registry.connection(session.key);
        let connection = connection.and_then(|key| self.connections.info(key).zip(self.connections.get(key)));
        let dialect = match (&connection, &name) {
            (Some((_, connection)), _) => connection.dialect().map(|(dialect, _)| dialect),
            (None, Some(SessionName::Bowline(_))) => Some(Dialect::Bowline),
            (None, Some(SessionName::Json(_))) => Some(Dialect::Json),
            (None, Some(SessionName::Mqtt(_))) => Some(Dialect::Mqtt5),
            (None, Some(SessionName::Prx1(_))) => Some(Dialect::Prx1),
            (None, None) => None,
        };
        Some(ClientInfo { session, dialect, name, connection: connection.map(|(info, _)| info) })
    }

    /// Disconnects the client whose session has this number, by an administrator's decision and in the
    /// words of what it speaks: MQTT 5.0 reason 0x98, typed JSON `$error` and code 1008. With `forget`, its
    /// session ends too; else the client may come back to it. Says whether there is such a session.
    pub fn expel(&mut self, now: Instant, number: u64, forget: bool) -> bool {
        let Some(session) = self.inspect_client(number).map(|client| client.session.key) else {
            return false;
        };
        if let Some(key) = self.registry.connection(session)
            && self.on(now, key, |c, turn| Connection::expel(c, turn, forget)).is_some()
        {
            self.ready.push_back(key);
        }
        if forget && self.hub.is_attached(session).is_some() {
            self.remove(now, session);
            self.after_commands();
        }
        true
    }
}
