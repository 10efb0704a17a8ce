//! Plugins: who comes and goes is introduced to them, and what they say is said in each dialect's words.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::connection::{Connection, Turn};
use super::event::{Dialect, ServerEvent};
use super::{ConnectionKey, Peer, Server};
use crate::access::{Action, Who};
use crate::hub::SessionKey;
use crate::json::ErrorCode;
use crate::mqtt::ReasonCode;
use crate::plugin::{BadPlugin, Client, Placement, Plugin, PluginInfo, Rejection, Tags, stranger};
use crate::session::Code;
use crate::status::Status;
use crate::time::Instant;

/// Who is on a connection, for when that ends: kept only where plugins are told of it.
#[derive(Debug)]
pub(super) struct Visitor {
    session: SessionKey,
    user: Box<str>,
    client_id: Box<str>,
    tags: Tags,
}

impl Server {
    /// Adds a plugin; see [`plugin`](crate::plugin). Sessions that are there are introduced to it without a
    /// call.
    ///
    /// # Errors
    ///
    /// As [`Hub::add_plugin`](crate::hub::Hub::add_plugin).
    pub fn add_plugin(
        &mut self,
        now: Instant,
        name: &str,
        plugin: Box<dyn Plugin>,
        placement: Placement,
    ) -> Result<(), BadPlugin> {
        let is_first = !self.hub.has_plugins();
        self.hub.add_plugin(now, name, plugin, placement)?;
        if is_first {
            for (session, connection) in self.registry.served() {
                let Some(c) = self.connections.get(connection) else { continue };
                let dialect = c.dialect().map_or("", |(dialect, _)| dialect.label());
                let via = (self.listeners.shared_name(c.peer()), dialect);
                self.hub.arrive(now, session, via, None, false);
            }
        }
        self.after_commands();
        Ok(())
    }

    /// Takes a plugin away, and gives it back.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn remove_plugin(&mut self, now: Instant, name: &str) -> Result<Box<dyn Plugin>, BadPlugin> {
        let plugin = self.hub.remove_plugin(now, name);
        self.after_commands();
        plugin
    }

    /// Switches a plugin on or off, and says what it was.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn enable_plugin(&mut self, now: Instant, name: &str, enabled: bool) -> Result<bool, BadPlugin> {
        let was = self.hub.enable_plugin(now, name, enabled);
        self.after_commands();
        was
    }

    /// The plugins, in order.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.hub.plugins().collect()
    }

    /// Whether plugins take a connection.
    pub(super) fn plugins_accept(&mut self, now: Instant, peer: &Peer) -> Result<(), Rejection> {
        let listener = self.listeners.shared_name(peer);
        self.hub.plugins_accept(now, &stranger(peer.who("", "", &listener), &listener, &Tags::NONE))
    }

    /// A session is open, over a connection: those who want to know are told, plugins before logs.
    fn introduce(
        &mut self,
        now: Instant,
        hub: SessionKey,
        (key, peer, dialect): (ConnectionKey, &Peer, Dialect),
        tags: Tags,
        resumed: bool,
    ) {
        if !self.hub.has_plugins() {
            return;
        }
        if self.hub.tells_closed() {
            let who = self.hub.who(hub).unwrap_or_default();
            let (user, client_id) = (who.user.into(), who.client_id.into());
            self.visitors.insert(key, Visitor { session: hub, user, client_id, tags: tags.clone() });
        }
        let via = (self.listeners.shared_name(peer), dialect.label());
        self.hub.arrive(now, hub, via, Some(tags), resumed);
    }

    /// What is spoken on a connection has ended.
    pub(super) fn tell_plugins_closed(&mut self, now: Instant, event: &ServerEvent) {
        let ServerEvent::Closed { connection, peer, dialect, reason, .. } = event else { return };
        let visitor = self.visitors.remove(connection);
        if !self.hub.tells_closed() {
            return;
        }
        let listener = self.listeners.shared_name(peer);
        let (who, session, tags) = match &visitor {
            Some(Visitor { session, user, client_id, tags }) => {
                (Who { user, client_id, ..peer.who("", "", &listener) }, Some(*session), tags)
            }
            None => (peer.who("", "", &listener), None, &Tags::NONE),
        };
        let dialect = dialect.map_or("", Dialect::label);
        let client = Client { session, who, listener: &listener, dialect, tags };
        self.hub.plugins_closed(now, &client, reason);
    }

    /// A plugin wants a session's connection closed.
    pub(super) fn expelled_by_plugin(&mut self, hub: SessionKey, why: Rejection) {
        let Some(key) = self.registry.connection(hub) else { return };
        let (now, code) = (self.hub.now(), code_of(why.status));
        if self.on(now, key, |c, turn| Connection::close(c, turn, code, why.reason)).is_some() {
            self.ready.push_back(key);
        }
    }
}

impl Turn<'_> {
    /// Whether a client that has proved who it is may come in: by the access rules, then by plugins. `back` is the
    /// session that it would go on with, if it is its own. The tags that plugins give are those of the session that
    /// is [opened](Self::tell_opened) in this call.
    pub(super) fn admit(
        &mut self,
        who: &Who<'_>,
        dialect: Dialect,
        back: Option<SessionKey>,
    ) -> Result<(), Rejection> {
        let server = &mut *self.server;
        if !server.hub.decide(who, Action::Connect, "").allowed {
            return Err(Rejection::forbidden("the access rules do not let you in"));
        }
        if server.hub.has_plugins() {
            let (dialect, tags) = (dialect.label(), &Tags::NONE);
            let session = back.filter(|hub| server.hub.identity(*hub) == Some(who.user));
            let client = Client { session, who: *who, listener: who.listener, dialect, tags };
            self.tags = server.hub.plugins_connect(self.now, &client)?;
        }
        Ok(())
    }

    /// Tells that a session is open.
    pub(super) fn tell_opened(&mut self, hub: SessionKey, event: ServerEvent) {
        if let ServerEvent::Opened { connection, peer, dialect, resumed, .. } = &event {
            let tags = core::mem::take(&mut self.tags);
            self.server.introduce(self.now, hub, (*connection, peer, *dialect), tags, *resumed);
        }
        self.server.events.push_back(event);
    }
}

/// What our own protocol closes with.
pub(super) const fn code_of(status: Status) -> Code {
    match status {
        Status::NotAuthorized => Code::NotAuthorized,
        _ => Code::Quota,
    }
}

/// What MQTT says to CONNECT.
pub(super) const fn connack_of(status: Status) -> ReasonCode {
    match status {
        Status::NotAuthorized => ReasonCode::NotAuthorized,
        Status::Quota => ReasonCode::QuotaExceeded,
        Status::Busy => ReasonCode::ServerBusy,
        _ => ReasonCode::UnspecifiedError,
    }
}

/// What MQTT says to PUBLISH and SUBSCRIBE.
pub(super) const fn reason_of(status: Status) -> ReasonCode {
    match status {
        Status::NotAuthorized => ReasonCode::NotAuthorized,
        Status::Quota | Status::Busy => ReasonCode::QuotaExceeded,
        Status::Invalid => ReasonCode::PayloadFormatInvalid,
        _ => ReasonCode::ImplementationSpecificError,
    }
}

/// What typed JSON says.
pub(super) const fn error_of(why: Rejection) -> ErrorCode {
    match why.status {
        Status::NotAuthorized => ErrorCode::Denied,
        Status::Busy if why.retry_after.is_some() => ErrorCode::RateLimited,
        Status::Busy => ErrorCode::Busy,
        Status::Quota => ErrorCode::Quota,
        _ => ErrorCode::Malformed,
    }
}
