//! CONNECT: who it is, and which session it goes on with.

use alloc::boxed::Box;

use super::super::auth::Decision;
use super::super::connection::Turn;
use super::super::event::{Dialect, ServerEvent};
use super::super::registry::{Name, Sought};
use super::{Connection, Opening};
use crate::access::Who;
use crate::buf::SendBuf;
use crate::hub::SessionOptions;
use crate::prx1::{Answer, Connect, End, ServerEvent as Event};
use crate::session::Auth;
use crate::status::Status;

impl Connection {
    pub(super) fn connect(&mut self, turn: &mut Turn<'_>, connect: &Connect<'_>, out: &mut impl SendBuf) {
        if turn.server.draining.is_some() {
            return self.refuse(turn, out, Answer::Error);
        }
        let auth = match (connect.user, connect.password) {
            (Some(user), password) => Auth::Password { user, password: password.unwrap_or_default() },
            (None, Some(token)) => Auth::Token(token),
            (None, None) => Auth::None,
        };
        let client_id = connect.client_id.unwrap_or_default();
        match turn.decide(&self.peer, &auth) {
            Decision::Accept(identity) => self.establish(turn, &identity, client_id, connect.clean, out),
            Decision::Verify(work) => {
                let opening =
                    Opening { client_id: client_id.into(), clean: connect.clean, verification: Some(work) };
                self.opening = Some(Box::new(opening));
            }
            Decision::Scram | Decision::Reject | Decision::Method => self.refuse(turn, out, Answer::Failed),
        }
    }

    /// The peer has proved who it is: begins its session, or goes on with the one it has.
    pub(super) fn establish(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &str,
        client_id: &str,
        clean: bool,
        out: &mut impl SendBuf,
    ) {
        // It may have run out of time while its password was checked.
        if self.line.is_ended() {
            return;
        }
        let listener = turn.server.listeners.shared_name(&self.peer);
        let who = self.peer.who(identity, client_id, &listener);
        let named = Some(identity).filter(|user| !user.is_empty() && !clean);
        let back = named.and_then(|user| turn.server.registry.find(Sought::Prx1(user)));
        if let Err(why) = turn.admit(&who, Dialect::Prx1, back) {
            let is_for_good = why.status == Status::NotAuthorized;
            return self.refuse(turn, out, if is_for_good { Answer::Refused } else { Answer::Error });
        }
        let resumed = self.resume(turn, &who, clean);
        if !resumed && !self.begin(turn, &who) {
            return self.refuse(turn, out, Answer::Error);
        }
        let session = Some(identity).filter(|_| resumed);
        if self.line.connack(turn.now, out, Answer::Accepted { session }).is_err() {
            self.line.close(turn.now);
        }
        turn.server.traffic.packets_sent += 1;
        turn.server.traffic.opened(&turn.server.hub, turn.server.locals.len());
        let Some(hub) = self.hub else { return };
        let event = ServerEvent::Opened {
            connection: turn.key,
            peer: self.peer,
            dialect: Dialect::Prx1,
            session: turn.server.registry.told(hub),
            resumed,
            identity: identity.into(),
            name: client_id.into(),
        };
        turn.tell_opened(hub, event);
    }

    /// Goes on with the user's session, if there is one and it is wanted. Another connection that
    /// serves it is closed in any case.
    fn resume(&mut self, turn: &mut Turn<'_>, who: &Who<'_>, clean: bool) -> bool {
        let named = Some(who.user).filter(|user| !user.is_empty());
        let Some(hub) = named.and_then(|user| turn.server.registry.find(Sought::Prx1(user))) else {
            return false;
        };
        turn.server.take_over(turn.now, hub);
        if clean || turn.server.hub.identity(hub) != Some(who.user) {
            turn.server.remove(turn.now, hub);
            return false;
        }
        let in_flight = u32::from(turn.server.config.prx1.in_flight);
        if turn.server.hub.reattach(turn.now, hub, in_flight, None).is_err() {
            return false;
        }
        let _ = turn.server.hub.set_client(hub, who);
        turn.server.registry.serve(hub, turn.key);
        self.hub = Some(hub);
        true
    }

    fn begin(&mut self, turn: &mut Turn<'_>, who: &Who<'_>) -> bool {
        let name = Some(who.user).filter(|user| !user.is_empty()).map(|user| Name::Prx1(user.into()));
        let server = &mut *turn.server;
        let text = server.stored_name(name.as_ref());
        let options = SessionOptions {
            identity: who.user,
            client_id: who.client_id,
            address: who.address,
            listener: who.listener,
            secured: who.secured,
            name: &text,
            expiry: if name.is_some() { server.config.prx1.expiry } else { Default::default() },
            in_flight: u32::from(server.config.prx1.in_flight),
            by_id: true,
            ..server.session_options()
        };
        let Ok(hub) = server.hub.attach(turn.now, &options) else { return false };
        server.registry.serve(hub, turn.key);
        if let Some(name) = name {
            server.registry.name(hub, name);
        }
        self.hub = Some(hub);
        true
    }

    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, out: &mut impl SendBuf, answer: Answer<'_>) {
        if self.line.connack(turn.now, out, answer).is_err() {
            self.line.close(turn.now);
        }
        let end = match self.line.poll_closed() {
            Some(Event::Closed(end)) => end,
            _ => End::Closed,
        };
        self.closed(turn, end);
    }
}
