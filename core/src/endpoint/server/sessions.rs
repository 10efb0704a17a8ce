//! Sessions that begin, go on over another connection, and end.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::auth::Verification;
use super::{Connection, ConnectionKey, Server, ServerEvent};
use crate::access::{Action, Who};
use crate::buf::SendBuf;
use crate::hub::{SessionKey, SessionOptions};
use crate::scram::ScramServer;
use crate::session::{Closed, Code, Counts, Event, Fault, ResumeKey, SessionId, Welcome};
use crate::time::Instant;

/// A session that may outlive its connection.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: ResumeKey,
    pub(super) hub: SessionKey,
    /// The connection that serves it.
    connection: Option<ConnectionKey>,
    /// Reliable frames that were received from the client, up to when its last connection ended.
    received: u64,
}

/// What HELLO asked for, until it is decided.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) resume: Option<(SessionId, ResumeKey, u64)>,
    pub(super) expiry: Duration,
    pub(super) name: String,
    pub(super) scram: Option<Box<ScramServer>>,
    pub(super) verification: Option<Verification>,
}

impl Server {
    /// The peer has proved who it is: begins its session, or goes on with the one it has.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        identity: &str,
        auth: &[u8],
        out: &mut impl SendBuf,
    ) {
        // It may have run out of time while its password was checked.
        let Some(opening) = c.opening.take().filter(|_| !c.session.is_ended()) else { return };
        let who = Who { user: identity, client_id: &opening.name, address: c.peer.address };
        if !self.hub.decide(&who, Action::Connect, "").allowed {
            return self.refuse(now, key, c, out, Code::NotAuthorized, "the access rules do not let you in");
        }
        let resumed = match opening.resume.filter(|(id, ..)| self.held.contains_key(id)) {
            Some((id, secret, received)) => match self.resume(now, key, c, &who, id, &secret, received) {
                Ok(counts) => Some(counts),
                Err(fault) => return self.refuse(now, key, c, out, fault.code(), fault.reason()),
            },
            None => None,
        };
        if resumed.is_none() && !self.begin(now, key, c, &who, opening.expiry) {
            return self.refuse(now, key, c, out, Code::Quota, "too many sessions");
        }
        if let Some(hub) = c.hub.filter(|_| resumed.is_some()) {
            let _ = self.hub.set_expiry(hub, opening.expiry);
        }
        let expiry = c.hub.and_then(|hub| self.hub.expiry(hub)).unwrap_or_default();
        let session = c.id.and_then(|id| self.held.get(&id).map(|held| (id, held.key)));
        let session = session.filter(|_| !expiry.is_zero());
        let welcome = Welcome { session, expiry, auth, name: &self.config.name, ..Welcome::default() };
        if c.session.welcome(now, out, &welcome, resumed).is_err() {
            // The client takes less than a WELCOME needs.
            self.end(now, c, Code::Internal, "no room for WELCOME");
        }
        self.events.push_back(ServerEvent::Opened {
            connection: key,
            session: c.id,
            resumed: resumed.is_some(),
            identity: identity.into(),
            name: opening.name,
        });
    }

    fn begin(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        who: &Who<'_>,
        expiry: Duration,
    ) -> bool {
        let queue = &self.config.queue;
        let options = SessionOptions {
            identity: who.user,
            client_id: who.client_id,
            address: who.address,
            expiry,
            max_messages: queue.max_messages,
            max_bytes: queue.max_bytes,
            policy: queue.policy,
            in_flight: u32::from(c.session.send_in_flight()),
            ..SessionOptions::default()
        };
        let Ok(hub) = self.hub.attach(now, &options) else { return false };
        c.hub = Some(hub);
        self.by_hub.insert(hub, key);
        if !expiry.is_zero() {
            let (mut id, mut secret) = ([0; 16], [0; 16]);
            self.entropy.wire(&mut id);
            self.entropy.secret(&mut secret);
            let held = Held { key: ResumeKey(secret), hub, connection: Some(key), received: 0 };
            self.held.insert(SessionId(id), held);
            self.held_by_hub.insert(hub, SessionId(id));
            c.id = Some(SessionId(id));
        }
        true
    }

    /// RES-2 to RES-9.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the HELLO that is judged here")]
    fn resume(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        who: &Who<'_>,
        id: SessionId,
        secret: &ResumeKey,
        received: u64,
    ) -> Result<Counts, Fault> {
        let Some(held) = self.held.get_mut(&id) else { return Err(Fault::SessionRefused) };
        if held.key != *secret || self.hub.identity(held.hub) != Some(who.user) {
            return Err(Fault::SessionRefused);
        }
        let (hub, old) = (held.hub, held.connection);
        let old = old.and_then(|old| self.connections.get_mut(old));
        if let Some(old) = &old {
            held.received = old.session.counts().received;
        }
        let (acked, sent) = self.hub.reliable(hub).unwrap_or_default();
        let counts = Counts { sent, acked, received: held.received }.resume(received)?;
        if let Some(old) = old {
            old.hub = None;
            old.session.close(now, Code::TakenOver, "the session goes on over another connection");
        }
        if let Some(old) = held.connection.replace(key) {
            self.ready.push_back(old);
        }
        let in_flight = u32::from(c.session.send_in_flight());
        if self.hub.reattach(now, hub, in_flight, Some(received)).is_err() {
            return Err(Fault::BadResume { received, acked, sent });
        }
        let _ = self.hub.set_address(hub, who.address);
        c.hub = Some(hub);
        c.id = Some(id);
        self.by_hub.insert(hub, key);
        Ok(counts)
    }

    /// The connection serves its session no longer; the session waits for the next one, or ends.
    pub(super) fn release(&mut self, now: Instant, c: &mut Connection, for_good: bool) {
        let Some(hub) = c.hub.take() else { return };
        self.by_hub.remove(&hub);
        match c.id.and_then(|id| self.held.get_mut(&id)) {
            Some(held) if !for_good => {
                held.connection = None;
                held.received = c.session.counts().received;
                let _ = self.hub.detach(now, hub);
                if self.hub.is_attached(hub).is_none() {
                    self.forget(hub);
                }
            }
            _ => {
                let _ = self.hub.remove(now, hub);
                self.forget(hub);
            }
        }
    }

    /// The hub has ended the session.
    pub(super) fn forget(&mut self, hub: SessionKey) -> Option<SessionId> {
        let id = self.held_by_hub.remove(&hub)?;
        self.held.remove(&id);
        Some(id)
    }

    /// Closes a connection by this side's decision: its session in the hub is released at once, and
    /// the end is told when the closing handshake has ended.
    pub(super) fn end(&mut self, now: Instant, c: &mut Connection, code: Code, reason: &'static str) {
        c.session.close(now, code, reason);
        self.release(now, c, !code.may_resume());
    }

    /// Closes a connection because its peer broke a rule that its session does not see.
    pub(super) fn break_off(&mut self, now: Instant, key: ConnectionKey, c: &mut Connection, fault: Fault) {
        if let Some(Event::Closed(closed)) = c.session.close_with_fault(now, fault) {
            self.closed(now, key, c, &closed);
        }
    }

    /// The session is over for this connection, for the reason that is told: once, by who comes
    /// first, since a refusal is known here before the closing handshake has ended.
    pub(super) fn closed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        closed: &Closed<'_>,
    ) {
        self.release(now, c, !closed.may_resume());
        if core::mem::replace(&mut c.told, true) {
            return;
        }
        self.events.push_back(ServerEvent::Closed {
            connection: key,
            session: c.id,
            by: closed.by,
            code: closed.code,
            reason: closed.fault.map_or_else(|| String::from(closed.reason), |fault| format!("{fault}")),
        });
    }
}
