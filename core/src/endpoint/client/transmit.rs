//! What goes out.

use alloc::boxed::Box;

use super::event::{ClientEvent, DropReason, PropertyBlock, RequestFailure, RequestId, SubscriptionId};
use super::subscriptions::SubState;
use super::{Client, Command, Reason, State};
use crate::buf::SendBuf;
use crate::endpoint::carrier::{MayBeWeb as _, Spoken as _};
use crate::retain::RetainHandling;
use crate::scram::{self, ScramClient};
use crate::session::{
    Auth, Connect, Features, Outcome, Request, Response, SendError, Session, Subscribe, Transport,
};
use crate::status::Status;

use super::config::Credentials;

/// Why a message will never go out on this connection, or that it may do so later.
fn never(error: SendError) -> Result<DropReason, SendError> {
    match error {
        SendError::TooLarge { .. } => Ok(DropReason::TooLarge),
        SendError::Unsupported => Ok(DropReason::Unsupported),
        later => Err(later),
    }
}

impl Client {
    /// Puts into `out` what is to be written: HELLO, what the session owes, and as much as there
    /// is room, credit and leave for of what the application queued. Says what the transport owes
    /// once that is written; [`Transport::Drop`] also where there should be none.
    pub fn poll_transmit(&mut self, now: crate::time::Instant, out: &mut impl SendBuf) -> Transport {
        self.tick(now);
        let now = self.now;
        match self.with_web(|web, client| web.poll_transmit(now, client, out)) {
            None => self.say(out),
            Some(owed) => owed,
        }
    }

    /// The same of the session's own octets.
    pub(super) fn transmit_frames(&mut self, out: &mut impl SendBuf) -> Transport {
        if self.state == State::Attached && self.session.is_none() && !self.over {
            self.hello(out);
        }
        let Some(session) = &mut self.session else {
            let open = self.state == State::Attached && !self.over;
            return if open { Transport::Open } else { Transport::Drop };
        };
        let transport = session.poll_transmit(self.now, out);
        if !self.opened {
            self.authenticate(out);
            return transport;
        }
        if self.sendable {
            self.sendable = !self.transmit(out);
            self.check_drained();
        }
        // The drain may have closed the session just now.
        match &mut self.session {
            Some(session) if session.is_ended() => session.poll_transmit(self.now, out),
            _ => transport,
        }
    }

    fn hello(&mut self, out: &mut impl SendBuf) {
        let mut memory = [0; scram::MAX_MESSAGE];
        let auth = match &self.config.credentials {
            Credentials::None => Auth::None,
            Credentials::Password { user, password } => Auth::Password { user, password },
            Credentials::Token(token) => Auth::Token(token),
            Credentials::Scram { user, password } => {
                let begun = ScramClient::new(user, password, &mut &mut *self.entropy)
                    .and_then(|mut scram| Ok((scram.first(&mut memory)?, scram)));
                let Ok((n, scram)) = begun else { return self.disconnected(Reason::Credentials) };
                self.scram = Some(Box::new(scram));
                Auth::Scram(&memory[..n])
            }
        };
        let (expiry, name) = (self.config.expiry, self.config.name.as_str());
        let connect = Connect { auth, resume: self.resume, expiry, name };
        match Session::connect(self.now, &self.config.session, &connect, out) {
            Ok(session) => self.session = Some(session),
            Err(e) if e.is_blocked() => {}
            Err(_) => self.disconnected(Reason::Credentials),
        }
    }

    /// The next step of the authentication.
    fn authenticate(&mut self, out: &mut impl SendBuf) {
        if let (Some(session), Some(data)) = (&mut self.session, &self.auth_owed)
            && !matches!(session.authenticate(self.now, out, data), Err(SendError::Blocked(_)))
        {
            self.auth_owed = None;
        }
    }

    /// Sends what can be sent; false where only room is missing.
    fn transmit(&mut self, out: &mut impl SendBuf) -> bool {
        // RES-7: first what the server has not received. No credit holds back commands, so they go
        // on where that waits for some.
        let again = self.send_again(out);
        if !self.send_commands(out) {
            return false;
        }
        // Messages go first, but not every time.
        let waited = self.tunnels_waited;
        if waited {
            self.send_tunnels(out);
        }
        let all = again
            .and_then(|()| self.send_answers(out))
            .and_then(|()| self.send_requests(out))
            .and_then(|()| self.send_messages(out));
        if !waited {
            self.send_tunnels(out);
        }
        !self.tunnels_waited && !matches!(all, Err(SendError::Blocked(_)))
    }

    fn send_tunnels(&mut self, out: &mut impl SendBuf) {
        if let Some(session) = &mut self.session {
            self.tunnels_waited = self.tunnels.transmit(self.now, session, out);
        }
    }

    fn send_again(&mut self, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while let Some(entry) = self.outbox.again() {
            if let Some(compressing) = &mut self.compressing {
                entry.recode(compressing, compressing.codec(session), session.max_send_frame());
            }
            match session.publish_prepared(self.now, out, &entry.prepared()) {
                Ok(()) => self.outbox.sent_again(),
                Err(e) => {
                    let why = never(e)?;
                    let Some(entry) = self.outbox.drop_again() else { break };
                    self.budget.remove(entry.octets());
                    self.inbox.push(ClientEvent::Dropped { publish: entry.id, why });
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn send_messages(&mut self, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while let Some(entry) = self.outbox.next() {
            if let Some(compressing) = &mut self.compressing {
                entry.recode(compressing, compressing.codec(session), session.max_send_frame());
            }
            let sent = match entry.expires {
                Some(at) if at <= self.now => Err(DropReason::Expired),
                _ => match session.publish_prepared(self.now, out, &entry.prepared()) {
                    Ok(()) => Ok(()),
                    Err(e) => Err(never(e)?),
                },
            };
            let (done, event) = match sent {
                Ok(()) => {
                    let Some(entry) = self.outbox.sent_next() else { continue };
                    let event = ClientEvent::Accepted { publish: entry.id };
                    (entry, event)
                }
                Err(why) => {
                    let Some(entry) = self.outbox.pop_waiting() else { break };
                    let event = ClientEvent::Dropped { publish: entry.id, why };
                    (entry, event)
                }
            };
            self.budget.remove(done.octets());
            self.inbox.push(event);
        }
        Ok(())
    }

    fn send_answers(&mut self, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while let Some(a) = self.serving.answers.front_mut() {
            if let Some(compressing) = &mut self.compressing {
                let (codec, limit) = (compressing.codec(session), session.max_send_frame());
                let recoded = compressing.recode(&mut a.tried, codec, limit, &a.payload, a.properties.get());
                if let Some((payload, block)) = recoded {
                    (a.payload, a.properties) = (payload, PropertyBlock::of_block(block));
                }
            }
            let (payload, properties) = (&a.payload[..], a.properties.get());
            let response = Response { id: a.id, status: a.status, more: a.more, payload, properties };
            match session.respond(self.now, out, &response) {
                // Larger than the peer takes is refused when it is queued.
                Ok(()) | Err(SendError::TooLarge { .. }) => self.serving.pop_answer(&mut self.budget),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn send_requests(&mut self, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        loop {
            if let (Some(compressing), Some(unsent)) = (&mut self.compressing, self.requests.next_mut()) {
                let (codec, limit) = (compressing.codec(session), session.max_send_frame());
                let properties = unsent.properties.get();
                let recoded =
                    compressing.recode(&mut unsent.tried, codec, limit, &unsent.payload, properties);
                if let Some((payload, block)) = recoded {
                    (unsent.payload, unsent.properties) = (payload, PropertyBlock::of_block(block));
                }
            }
            let Some((id, deadline, unsent)) = self.requests.next() else { break };
            // Rounded up: zero would mean the default.
            let timeout = deadline.saturating_since(self.now).max(core::time::Duration::from_millis(1));
            let request = Request {
                id,
                subscription: 0,
                timeout,
                many: unsent.many,
                topic: &unsent.topic,
                payload: &unsent.payload,
                properties: unsent.properties.get(),
            };
            match session.request(self.now, out, &request) {
                Ok(()) => self.requests.sent(id, &mut self.budget),
                // Those wait for the next connection; messages have the same fate.
                Err(e @ (SendError::Draining | SendError::State)) => return Err(e),
                Err(e) if e.is_blocked() => return Err(e),
                Err(_) => {
                    self.requests.remove(id, &mut self.budget);
                    let (request, why) = (RequestId(id), RequestFailure::TooLarge);
                    self.inbox.push(ClientEvent::RequestFailed { request, why });
                }
            }
        }
        Ok(())
    }

    /// Sends commands; false where room is missing.
    fn send_commands(&mut self, out: &mut impl SendBuf) -> bool {
        while let Some(command) = self.commands.front().copied() {
            if let Err(SendError::Blocked(_)) = self.send_command(command, out) {
                return false;
            }
            self.commands.pop_front();
        }
        true
    }

    fn send_command(&mut self, command: Command, out: &mut impl SendBuf) -> Result<(), SendError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        match command {
            Command::Subscribe(id) => {
                let Some(s) = self.subscriptions.get_mut(&id) else { return Ok(()) };
                if s.state != SubState::Waiting {
                    return Ok(());
                }
                // A server without retained values has none to begin with, and need not be told.
                let keeps = session.features().contains(Features::RETAINED);
                let subscribe = Subscribe {
                    id,
                    filter: &s.filter,
                    reliable: s.options.reliable,
                    credit: s.options.credit,
                    serve: s.serve,
                    no_local: s.options.no_local,
                    retained: if keeps { s.options.retained } else { RetainHandling::default() },
                    retain_as_published: keeps && s.options.retain_as_published,
                    datagrams: s.options.datagrams,
                };
                match session.subscribe(self.now, out, &subscribe) {
                    Ok(()) => {}
                    Err(SendError::TooLarge { .. }) => return self.refuse_subscription(id),
                    Err(e) => return Err(e),
                }
                s.renew();
                s.state = SubState::Asked;
                s.known = true;
                Ok(())
            }
            Command::Unsubscribe(id) => {
                session.unsubscribe(self.now, out, id)?;
                if let Some(s) = self.subscriptions.get_mut(&id) {
                    s.state = SubState::Left;
                }
                Ok(())
            }
            Command::Grant(id) => {
                let Some(s) = self.subscriptions.get_mut(&id) else { return self.send_room_grant(id, out) };
                let Some(window) = &mut s.window else { return Ok(()) };
                let limit = window.next_limit();
                session.grant(self.now, out, id, limit)?;
                window.granted(limit);
                Ok(())
            }
            Command::Cancel(id) => session.cancel(self.now, out, id),
            Command::Join(id) => self.send_join(id, out),
            Command::Leave(id) => self.send_leave(id, out),
            Command::Show(id) => self.send_show(id, out),
            Command::Refuse(kind, id, status) => {
                session.result(self.now, out, &Outcome { kind: Some(kind), id, status, reason: "" })?;
                self.refusals -= 1;
                Ok(())
            }
        }
    }

    /// A filter that this server, with its smaller frames, cannot be sent.
    fn refuse_subscription(&mut self, id: u64) -> Result<(), SendError> {
        self.subscriptions.remove(&id);
        let reason = super::calls::own("the filter is larger than the server takes");
        let subscription = SubscriptionId(id);
        self.inbox.push(ClientEvent::Subscribed { subscription, status: Status::Invalid, reason });
        Ok(())
    }
}
