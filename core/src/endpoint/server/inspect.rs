//! A look at who is connected, for consoles, and the end of a session by an administrator.

use core::time::Duration;

use super::connection::Connection;
use super::event::{Dialect, SessionName};
use super::{ConnectionKey, Peer, Server};
use crate::hub::{Message, PublishOutcome, Refusal, SessionInfo};
use crate::plugin::Tags;
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
    /// The name of the listener that this came in at, if it has one.
    pub listener: Option<&'a str>,
    /// What it is tagged with.
    pub tags: &'a Tags,
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
        let connection = connection.map(|(info, _)| info);
        let listener = connection.map(|info| self.listener_name(info.peer.listener));
        let listener = listener.filter(|name| !name.is_empty());
        let tags = self.hub.tags(session.key);
        Some(ClientInfo { session, dialect, name, connection, listener, tags })
    }

    /// Tags the session with this number, or takes the tag from it, by an administrator's decision: until its
    /// client connects anew. Says whether that changed anything.
    ///
    /// # Errors
    ///
    /// There is no such session, it has too many tags, or this is none.
    pub fn tag_client(&mut self, number: u64, tag: &str, tagged: bool) -> Result<bool, Refusal> {
        let key = self.inspect_client(number).map(|client| client.session.key).ok_or(Refusal::NoSession)?;
        let had = self.hub.tags(key).contains(tag);
        if tagged {
            self.hub.tag(key, tag)?;
        } else {
            self.hub.untag(key, tag)?;
        }
        Ok(had != tagged)
    }

    /// Sends a message to the client whose session has this number, whatever it has subscribed to, at most
    /// once: as a message to the session itself in our own protocol (MSG-1), as a publication of QoS 0 in MQTT
    /// and PRX1, in typed JSON as a message of the topic. Says whether its queue took it.
    ///
    /// Choose a topic that begins with `$notice`: nobody else may publish there, so that clients know where
    /// it comes from.
    ///
    /// # Errors
    ///
    /// There is no such session, or no connection serves it.
    pub fn tell_client(&mut self, now: Instant, number: u64, message: Message) -> Result<bool, Refusal> {
        let key = self.inspect_client(number).map(|client| client.session.key).ok_or(Refusal::NoSession)?;
        let taken = self.hub.notify(now, key, message);
        self.after_commands();
        taken
    }

    /// The same to all that are connected and have this tag. Says how many there are, and how many queues took
    /// it.
    ///
    /// # Errors
    ///
    /// The message has no topic.
    pub fn tell_tagged(
        &mut self,
        now: Instant,
        tag: &str,
        message: Message,
    ) -> Result<PublishOutcome, Refusal> {
        let told = self.hub.notify_tagged(now, tag, message);
        self.after_commands();
        told
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
