//! Sessions that begin, go on over another connection, and end.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::super::auth::Verification;
use super::super::connection::Turn;
use super::super::event::{Dialect, ServerEvent, SessionName};
use super::super::plugins::code_of;
use super::super::registry::{Name, Sought};
use super::Connection;
use super::held::Held;
use crate::access::Who;
use crate::buf::SendBuf;
use crate::hub::SessionOptions;
use crate::scram::ScramServer;
use crate::session::{Closed, Code, Counts, Event, Fault, ResumeKey, SessionId, Welcome};

/// What HELLO asked for, until it is decided.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) resume: Option<(SessionId, ResumeKey, u64)>,
    pub(super) expiry: Duration,
    pub(super) name: String,
    pub(super) scram: Option<Box<ScramServer>>,
    pub(super) verification: Option<Verification>,
}

impl Connection {
    /// The peer has proved who it is: begins its session, or goes on with the one it has.
    pub(super) fn establish(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &str,
        auth: &[u8],
        out: &mut impl SendBuf,
    ) {
        // It may have run out of time while its password was checked.
        let Some(opening) = self.opening.take().filter(|_| !self.session.is_ended()) else { return };
        let listener = turn.server.listeners.shared_name(&self.peer);
        let who = self.peer.who(identity, &opening.name, &listener);
        let back = opening.resume.as_ref().and_then(|(id, secret, _)| {
            let hub = turn.server.registry.find(Sought::Bowline(*id))?;
            turn.server.registry.held(hub).filter(|held| held.opens_once(secret)).map(|_| hub)
        });
        if let Err(why) = turn.admit(&who, Dialect::Bowline, back) {
            return self.refuse(turn, out, code_of(why.status), why.reason);
        }
        let resumed = match opening.resume {
            Some((id, secret, received)) => match self.resume(turn, &who, id, &secret, received) {
                Ok(counts) => counts,
                Err((code, reason)) => return self.refuse(turn, out, code, reason),
            },
            None => None,
        };
        if let Some(hub) = self.hub {
            let _ = turn.server.hub.set_expiry(hub, opening.expiry);
        } else if !self.begin(turn, &who, opening.expiry) {
            return self.refuse(turn, out, Code::Quota, "too many sessions");
        }
        let expiry = self.hub.and_then(|hub| turn.server.hub.expiry(hub)).unwrap_or_default();
        let held = self.hub.and_then(|hub| turn.server.registry.held(hub));
        let session = held.map(|held| (held.id, held.key)).filter(|_| !expiry.is_zero());
        let welcome = Welcome { session, expiry, auth, name: &turn.server.config.name, ..Welcome::default() };
        if self.session.welcome(turn.now, out, &welcome, resumed).is_err() {
            // The client takes less than a WELCOME needs.
            self.end(turn, Code::Internal, "no room for WELCOME");
        }
        turn.server.traffic.packets_sent += 1;
        turn.server.traffic.opened(&turn.server.hub, turn.server.locals.len());
        let Some(hub) = self.hub else { return };
        let event = ServerEvent::Opened {
            connection: turn.key,
            peer: self.peer,
            dialect: Dialect::Bowline,
            session: self.id.map(SessionName::Bowline),
            resumed: resumed.is_some(),
            identity: identity.into(),
            name: opening.name,
        };
        turn.tell_opened(hub, event);
    }

    fn begin(&mut self, turn: &mut Turn<'_>, who: &Who<'_>, expiry: Duration) -> bool {
        let held = (!expiry.is_zero()).then(|| Held::draw(&mut *turn.server.entropy));
        let (id, name) = (held.as_ref().map(|h| h.id), held.map(|held| Name::Bowline(Box::new(held))));
        let server = &mut *turn.server;
        let text = server.stored_name(name.as_ref());
        let options = SessionOptions {
            identity: who.user,
            client_id: who.client_id,
            address: who.address,
            listener: who.listener,
            secured: who.secured,
            name: &text,
            expiry,
            in_flight: u32::from(self.session.send_in_flight()),
            ..server.session_options()
        };
        let Ok(hub) = server.hub.attach(turn.now, &options) else { return false };
        server.registry.serve(hub, turn.key);
        if let Some(name) = name {
            server.registry.name(hub, name);
        }
        (self.hub, self.id) = (Some(hub), id);
        true
    }

    /// RES-2 to RES-9. Nothing where there is no such session: the client begins a new one. Nothing
    /// too of a session that a store kept, without its counts: this is served from now on, with new
    /// ones, and a key that tells them from those before (RES-12).
    fn resume(
        &mut self,
        turn: &mut Turn<'_>,
        who: &Who<'_>,
        id: SessionId,
        secret: &ResumeKey,
        received: u64,
    ) -> Result<Option<Counts>, (Code, &'static str)> {
        let Turn { server, now, key, .. } = turn;
        let Some(hub) = server.registry.find(Sought::Bowline(id)) else { return Ok(None) };
        let progress =
            server.registry.connection(hub).and_then(|old| server.connections.get(old)?.progress());
        let commits = server.hub.commits();
        let Some(held) = server.registry.held(hub) else { return Ok(None) };
        if !held.opens_once(secret) || server.hub.identity(hub) != Some(who.user) {
            return Err(told(Fault::SessionRefused));
        }
        held.progress = progress.unwrap_or(held.progress);
        if held.progress.commit > commits {
            return Err((Code::GoingAway, "the store is behind; come again"));
        }
        let (acked, sent) = server.hub.reliable(hub).unwrap_or_default();
        let counts = Counts { sent, acked, received: held.progress.received };
        let counts = if held.counts_with(secret) {
            Some(counts.resume(received).map_err(told)?)
        } else {
            held.count_anew(secret);
            None
        };
        server.take_over(*now, hub);
        server.registry.serve(hub, *key);
        if counts.is_none() {
            server.hub.count_anew(hub);
        }
        let in_flight = u32::from(self.session.send_in_flight());
        if server.hub.reattach(*now, hub, in_flight, counts.map(|_| received)).is_err() {
            return Err(told(Fault::BadResume { received, acked, sent }));
        }
        let _ = server.hub.set_client(hub, who);
        self.hub = Some(hub);
        self.id = Some(id);
        Ok(counts)
    }

    /// The connection serves its session no longer; the session waits for the next one, or ends.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, for_good: bool) {
        self.end_tunnels(turn);
        let Some(hub) = self.hub.take() else { return };
        let server = &mut *turn.server;
        server.registry.leave(hub);
        match server.registry.held(hub) {
            Some(held) if !for_good => {
                held.progress = self.progress();
                let _ = server.hub.detach(turn.now, hub);
                if server.hub.is_attached(hub).is_none() {
                    server.registry.forget(hub);
                }
            }
            _ => {
                let _ = server.hub.remove(turn.now, hub);
                server.registry.forget(hub);
            }
        }
    }

    /// Closes a connection by this side's decision: its session in the hub is released at once, and
    /// the end is told when the closing handshake has ended.
    pub(in super::super) fn end(&mut self, turn: &mut Turn<'_>, code: Code, reason: &'static str) {
        self.session.close(turn.now, code, reason);
        self.release(turn, !code.may_resume());
    }

    /// Closes a connection because its peer broke a rule that its session does not see.
    pub(super) fn break_off(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        if let Some(Event::Closed(closed)) = self.session.close_with_fault(turn.now, fault) {
            self.closed(turn, &closed);
        }
    }

    /// The session is over for this connection, for the reason that is told: once, by who comes
    /// first, since a refusal is known here before the closing handshake has ended.
    pub(super) fn closed(&mut self, turn: &mut Turn<'_>, closed: &Closed<'_>) {
        self.release(turn, !closed.may_resume());
        if core::mem::replace(&mut self.told, true) {
            return;
        }
        if let Some(Fault::InflatesTooLarge { .. } | Fault::InflatesTooMuch { .. }) = closed.fault {
            turn.server.inflating.counters.refused += 1;
        }
        let code = closed.code;
        let event = ServerEvent::Closed {
            connection: turn.key,
            peer: self.peer,
            dialect: Some(Dialect::Bowline),
            session: self.id.map(SessionName::Bowline),
            by: closed.by,
            code,
            reason: closed.fault.map_or_else(|| String::from(closed.reason), |fault| format!("{fault}")),
        };
        turn.tell_closed(code, event);
    }
}

const fn told(fault: Fault) -> (Code, &'static str) {
    (fault.code(), fault.reason())
}
