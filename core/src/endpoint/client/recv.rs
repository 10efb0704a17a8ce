//! What comes in.

use alloc::string::String;

use super::event::{
    ClientEvent, IncomingRequest, Message, PropertyBlock, RequestHandle, RequestId, SubscriptionId,
};
use super::requests::Unanswered;
use super::rooms::RoomEvent;
use super::subscriptions::SubState;
use super::{Client, Command, ServerDrain, State};
use crate::buf::RecvBuf;
use crate::compression::Encoding;
use crate::endpoint::carrier::{MayBeWeb as _, Spoken as _};
use crate::scram;
use crate::session::{
    Code, Counts, DatagramMode, Drain, Event, Fault, Kind, Outcome, Properties, Received, Request, Response,
    Resume, Welcome,
};
use crate::status::Status;
use crate::time::Instant;
use crate::varint::leb128;

/// How many answers that nobody but the server's own frames ask for may wait. A server that sends
/// such frames faster than it reads the answers is cut off.
const OWED_ANSWERS: usize = 1024;

/// For how long a request is of use where it does not say (REQ-1).
const REQUEST_DEFAULT: core::time::Duration = core::time::Duration::from_secs(30);

impl Client {
    /// Consumes the frames in `buf`: all whole ones, unless the application has too many events to
    /// take. Then [`poll_transmit`](Self::poll_transmit): there may be something to answer.
    pub fn recv(&mut self, now: Instant, buf: &mut impl RecvBuf) {
        self.tick(now);
        let now = self.now;
        if self.with_web(|web, client| web.recv(now, client, buf)).is_none() {
            self.hear(buf);
        }
    }

    /// The same of the session's own octets.
    pub(super) fn recv_frames(&mut self, buf: &mut impl RecvBuf) {
        self.unread = false;
        loop {
            let Some(session) = &mut self.session else { return };
            if self.inbox.is_full() && !session.is_ended() {
                self.unread = true;
                session.heard(self.now);
                break;
            }
            let Some(event) = session.recv(self.now, buf) else { break };
            self.on_event(event);
        }
        if self.opened {
            self.check_drained();
        }
    }

    /// Whether the transport should be read. Not while the application leaves too many events
    /// untaken: what the server sends then waits where it is.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.state {
            State::Attached => !self.inbox.is_full(),
            State::Leaving => true,
            State::Waiting | State::Dialing => false,
        }
    }

    #[inline]
    fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::Message(id, received) => self.on_message(id, &received),
            Event::Acked(_) => self.on_acked(),
            Event::Publish(received) => {
                self.untaken += u32::from(received.reliable);
                let message = Message::copy(&received, received.body.len() as u32, self.connection);
                self.inbox.push(ClientEvent::Direct(message));
                self.slow_down();
            }
            other => self.on_rare_event(&other),
        }
    }

    fn on_rare_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Welcome(welcome) if self.is_proven(welcome.auth) => self.on_welcome(welcome),
            Event::Welcome(_) => self.break_off(Fault::AuthFailed),
            Event::Auth(data) => self.on_auth(data),
            Event::Credit(0, _) => self.sendable = true,
            Event::Result(outcome) => self.on_result(outcome),
            Event::Request(request) => match request.properties.encoding() {
                None => self.on_request(request, Self::request_size(request)),
                Some(encoding) => self.on_encoded_request(request, encoding),
            },
            Event::Response(response) => match response.properties.encoding() {
                None => self.on_response(response),
                Some(encoding) => self.on_encoded_response(response, encoding),
            },
            Event::Cancel(id) => self.on_cancel(*id),
            Event::Drain(drain) => self.on_drain(drain),
            Event::Joined(joined) => self.on_joined(joined),
            Event::Tunnel(frame) => self.on_tunnel(frame),
            Event::Presence { id, member, data, gone } => self.on_presence(*id, member, data, *gone),
            Event::Pong(round_trip) => self.inbox.push(ClientEvent::Pong(*round_trip)),
            Event::Subscribe(s) => self.refuse(Kind::Subscribe, s.id, Status::Unsupported),
            Event::Unsubscribe(id) => self.refuse(Kind::Unsubscribe, *id, Status::NotFound),
            Event::Closed(closed) => self.session_ended(closed),
            _ => {}
        }
    }

    fn on_cancel(&mut self, id: u64) {
        if self.serving.remove(id) {
            let handle = RequestHandle { id, connection: self.connection };
            self.inbox.push(ClientEvent::RequestCancelled(handle));
        }
    }

    fn on_auth(&mut self, data: &[u8]) {
        let mut memory = [0; scram::MAX_MESSAGE];
        let step = self.scram.as_mut().map(|s| s.handle_server_first(data, &mut memory));
        match step {
            Some(Ok(n)) => self.auth_owed = Some(memory[..n].to_vec()),
            _ => self.break_off(Fault::AuthFailed),
        }
    }

    /// AUT-3: whether the server has shown that it knows the password, where that is asked.
    fn is_proven(&mut self, data: &[u8]) -> bool {
        match self.scram.take() {
            Some(mut scram) => scram.handle_server_final(data).is_ok(),
            None => true,
        }
    }

    fn on_welcome(&mut self, welcome: &Welcome<'_>) {
        let resumed = welcome.received.is_some();
        let former = self.resume.take();
        self.opened = true;
        self.sendable = true;
        self.backoff.succeeded(self.now);
        let kept = former.filter(|_| resumed);
        self.resume = match (welcome.session, kept) {
            (Some((session, key)), kept) => {
                Some(Resume { session, key, counts: kept.map(|k| k.counts).unwrap_or_default() })
            }
            (None, kept) => kept,
        };
        if let (Some(kept), Some(received)) = (kept, welcome.received) {
            (kept.counts.acked..received).for_each(|_| self.accepted());
        }
        if !resumed && self.had_session {
            self.inbox.push(ClientEvent::Lost);
        }
        self.had_session = true;
        self.inbox.push(ClientEvent::Connected {
            resumed,
            session: welcome.session.map(|(id, _)| id),
            server: super::calls::own(welcome.name),
        });
        self.renew_subscriptions(resumed);
        self.renew_rooms(resumed);
    }

    /// After a resume only what was not answered is sent again; in a new session everything.
    fn renew_subscriptions(&mut self, resumed: bool) {
        let (inbox, commands) = (&mut self.inbox, &mut self.commands);
        self.subscriptions.retain(|id, s| {
            if !resumed {
                if !s.state.is_wanted() {
                    let subscription = SubscriptionId(*id);
                    inbox.push(ClientEvent::Unsubscribed { subscription, status: Status::Ok });
                    return false;
                }
                s.state = SubState::Waiting;
                s.known = false;
            }
            s.renew();
            match s.state {
                // Which come in datagrams is said on each connection (DGM-22).
                SubState::Active if s.options.datagrams == DatagramMode::Stream => {}
                SubState::Active | SubState::Waiting | SubState::Asked => {
                    s.state = SubState::Waiting;
                    commands.push_back(Command::Subscribe(*id));
                }
                SubState::Ending | SubState::Left => {
                    s.state = SubState::Ending;
                    commands.push_back(Command::Unsubscribe(*id));
                }
            }
            true
        });
    }

    /// ROO-8 holds for what the server was to send, not for what was on its way: each room is joined
    /// again from the last message that came.
    fn renew_rooms(&mut self, resumed: bool) {
        let inbox = &mut self.inbox;
        let commands = self.rooms.renew(resumed, |room| {
            let event = RoomEvent::Ended { status: Status::Ok, reason: String::new() };
            inbox.push(ClientEvent::Room { room, event });
        });
        self.commands.extend(commands);
    }

    /// The server has accepted the oldest publish in flight.
    fn accepted(&mut self) {
        if let Some(entry) = self.outbox.pop_acked() {
            self.budget.remove(entry.octets());
            if !entry.refused {
                self.inbox.push(ClientEvent::Accepted { publish: entry.id });
            }
        }
    }

    /// MSG-6: by its number, which is among those that were not acknowledged.
    fn on_refused(&mut self, outcome: &Outcome<'_>) {
        let acked = self.session.as_ref().map_or(0, |s| s.counts().acked);
        let place = outcome.id.checked_sub(acked + 1);
        let publish = place.and_then(|place| self.outbox.refuse(place));
        let reason = super::calls::own(outcome.reason);
        self.inbox.push(ClientEvent::Refused { publish, status: outcome.status, reason });
    }

    fn on_acked(&mut self) {
        let Some(session) = &self.session else { return };
        let Counts { sent, acked, .. } = session.counts();
        while self.outbox.in_flight() as u64 > sent - acked {
            self.accepted();
        }
        self.sendable = true;
    }

    #[inline]
    fn on_message(&mut self, id: u64, received: &Received<'_>) {
        self.untaken += u32::from(received.reliable);
        let size = (leb128::encoded_len(id) + received.body.len()) as u32;
        let subscription = self.subscriptions.get_mut(&id).filter(|s| s.state.is_wanted() && !s.serve);
        let Some(subscription) = subscription else {
            return self.on_room_message(id, received, size);
        };
        if subscription.window.as_mut().is_some_and(|w| !w.receive(u64::from(size))) {
            return self.break_off(Fault::CreditExceeded { kind: Kind::Message });
        }
        let Some(message) = self.message(received, size) else {
            return self.on_malformed(id, received, size);
        };
        self.inbox.push(ClientEvent::Message { subscription: SubscriptionId(id), message });
        self.slow_down();
    }

    /// The message as it was; nothing where its payload does not inflate to what it says.
    #[inline]
    fn message(&mut self, received: &Received<'_>, size: u32) -> Option<Message> {
        if received.properties.is_empty() {
            return Some(Message::copy(received, size, self.connection));
        }
        let Some(encoding) = received.properties.encoding() else {
            return Some(Message::copy(received, size, self.connection));
        };
        let (payload, block) =
            self.compressing.as_mut()?.inflate(encoding, received.payload, received.properties)?;
        let properties = Properties::from_checked(&block);
        let message = Message::assemble(received.topic, &payload, properties, size, self.connection);
        Some(message.marked(received.reliable, received.retain))
    }

    /// It is dropped, and what it cost is granted again.
    #[cold]
    fn on_malformed(&mut self, id: u64, received: &Received<'_>, size: u32) {
        let window = self.subscriptions.get_mut(&id).and_then(|s| s.window.as_mut());
        if window.is_some_and(|window| window.take(u64::from(size))) {
            self.command(Command::Grant(id));
        }
        let (subscription, topic) = (SubscriptionId(id), String::from(received.topic));
        self.inbox.push(ClientEvent::Malformed { subscription, topic });
        self.skip(received.reliable);
    }

    /// A message is dropped; if it is reliable it is accepted in its turn.
    pub(super) fn skip(&mut self, reliable: bool) {
        if !reliable {
            return;
        }
        if self.inbox.is_empty() {
            self.untaken -= 1;
            if let Some(session) = &mut self.session {
                session.accept_received(self.now, 1);
            }
        } else {
            self.inbox.push_skip(self.connection);
        }
    }

    /// Withholds credit where the application is behind.
    #[inline]
    pub(super) fn slow_down(&mut self) {
        if !self.held && self.inbox.is_half_full() {
            self.held = true;
            if let Some(session) = &mut self.session {
                session.hold_credit(true);
            }
        }
    }

    /// The server broke a rule that the session does not see.
    #[cold]
    pub(super) fn break_off(&mut self, fault: Fault) {
        if let Some(session) = &mut self.session {
            let event = session.close_with_fault(self.now, fault);
            self.take_end(event.as_ref());
        }
    }

    fn on_result(&mut self, outcome: &Outcome<'_>) {
        match outcome.kind {
            Some(Kind::Publish) => return self.on_refused(outcome),
            Some(Kind::Tunnel) => {
                self.tunnels.answered(outcome.id, outcome.status, outcome.reason);
                self.sendable |= self.tunnels.has_output();
                return;
            }
            Some(kind @ (Kind::Join | Kind::Leave | Kind::Presence)) => {
                return self.on_room_result(kind, outcome);
            }
            // REQ-7: it ends the request.
            Some(Kind::Request) => {
                let (id, status, payload) = (outcome.id, outcome.status, outcome.reason.as_bytes());
                return self.on_response(&Response {
                    id,
                    status,
                    more: false,
                    payload,
                    properties: Properties::NONE,
                });
            }
            _ => {}
        }
        let id = SubscriptionId(outcome.id);
        let Some(s) = self.subscriptions.get_mut(&outcome.id) else { return };
        let status = outcome.status;
        match (outcome.kind, s.state) {
            // The server goes away: the next one is asked.
            (Some(Kind::Subscribe), SubState::Asked) if status == Status::Draining => {
                s.state = SubState::Waiting;
            }
            (Some(Kind::Subscribe), SubState::Asked) => {
                s.state = SubState::Active;
                if !status.is_ok() {
                    self.subscriptions.remove(&outcome.id);
                }
                let reason = super::calls::own(outcome.reason);
                self.inbox.push(ClientEvent::Subscribed { subscription: id, status, reason });
            }
            (Some(Kind::Unsubscribe), SubState::Left) => {
                self.subscriptions.remove(&outcome.id);
                self.inbox.push(ClientEvent::Unsubscribed { subscription: id, status });
            }
            _ => {}
        }
    }

    /// A request without compression, or as it came with it.
    fn request_size(r: &Request<'_>) -> usize {
        let block = r.properties.as_bytes().len();
        let with_length = |n: usize| leb128::encoded_len(n as u64) + n;
        leb128::encoded_len(r.id)
            + leb128::encoded_len(r.subscription)
            + leb128::encoded_len(u64::try_from(r.timeout.as_millis()).unwrap_or(u64::MAX))
            + if block == 0 { 0 } else { with_length(block) }
            + with_length(r.topic.len())
            + r.payload.len()
    }

    /// `size`: what it cost of its subscription's credit.
    fn on_request(&mut self, r: &Request<'_>, size: usize) {
        if self.serving.contains(r.id) {
            let what = "the id of a request that is still open";
            return self.break_off(Fault::Malformed { kind: Kind::Request, what });
        }
        let subscription =
            self.subscriptions.get_mut(&r.subscription).filter(|s| s.state.is_wanted() && s.serve);
        let Some(subscription) = subscription else { return self.answer(r.id, Status::NoResponder) };
        if subscription.window.as_mut().is_some_and(|w| !w.receive(size as u64)) {
            return self.break_off(Fault::CreditExceeded { kind: Kind::Request });
        }
        let timeout = if r.timeout.is_zero() { REQUEST_DEFAULT } else { r.timeout };
        if !self.serving.insert(self.now, r.id, self.now + timeout, self.config.requests) {
            if let Some(window) = &mut subscription.window
                && window.take(size as u64)
            {
                self.command(Command::Grant(r.subscription));
            }
            return self.answer(r.id, Status::Quota);
        }
        self.inbox.push(ClientEvent::Request(IncomingRequest {
            handle: RequestHandle { id: r.id, connection: self.connection },
            subscription: SubscriptionId(r.subscription),
            timeout,
            many: r.many,
            message: Message::assemble(r.topic, r.payload, r.properties, size as u32, self.connection),
        }));
        self.slow_down();
    }

    fn on_encoded_request(&mut self, r: &Request<'_>, encoding: Encoding) {
        let inflated = self.compressing.as_mut().and_then(|c| c.inflate(encoding, r.payload, r.properties));
        match inflated {
            Some((payload, block)) => {
                let properties = Properties::from_checked(&block);
                self.on_request(&Request { payload: &payload, properties, ..*r }, Self::request_size(r));
            }
            None => {
                let size = Self::request_size(r) as u64;
                let subscription = self.subscriptions.get_mut(&r.subscription);
                let window = subscription.and_then(|s| s.window.as_mut());
                if window.is_some_and(|window| window.receive(size) && window.take(size)) {
                    self.command(Command::Grant(r.subscription));
                }
                self.answer(r.id, Status::Invalid);
            }
        }
    }

    fn on_encoded_response(&mut self, r: &Response<'_>, encoding: Encoding) {
        let inflated = self.compressing.as_mut().and_then(|c| c.inflate(encoding, r.payload, r.properties));
        match inflated {
            Some((payload, block)) => {
                let properties = Properties::from_checked(&block);
                self.on_response(&Response { payload: &payload, properties, ..*r });
            }
            None => {
                let payload = b"the answer does not inflate to what it says";
                let properties = Properties::NONE;
                self.on_response(&Response { status: Status::Rejected, payload, properties, ..*r });
            }
        }
    }

    /// Answers a request that the application does not get to see.
    fn answer(&mut self, id: u64, status: Status) {
        self.serving.answer(Unanswered::refusal(id, status), &mut self.budget);
        self.sendable = true;
        self.check_owed(self.serving.answers.len());
    }

    /// Answers a command that a client does not serve.
    fn refuse(&mut self, kind: Kind, id: u64, status: Status) {
        self.command(Command::Refuse(kind, id, status));
        self.refusals += 1;
        self.check_owed(self.refusals);
    }

    fn check_owed(&mut self, owed: usize) {
        if owed > OWED_ANSWERS + self.config.requests
            && let Some(session) = &mut self.session
        {
            session.close(self.now, Code::SlowConsumer, "you do not read the answers to what you send");
        }
    }

    fn on_response(&mut self, r: &Response<'_>) {
        if !self.requests.contains(r.id) {
            return; // REQ-6: they may have crossed
        }
        if !r.more {
            self.requests.remove(r.id, &mut self.budget);
        }
        self.inbox.push(ClientEvent::Response {
            request: RequestId(r.id),
            status: r.status,
            more: r.more,
            payload: bytes::Bytes::copy_from_slice(r.payload),
            properties: PropertyBlock::copy(r.properties),
        });
        self.slow_down();
    }

    fn on_drain(&mut self, drain: &Drain<'_>) {
        let Drain { deadline, retry_after, endpoint } = *drain;
        let endpoint = super::calls::own(endpoint);
        let event = ClientEvent::Draining { deadline, retry_after, endpoint: endpoint.clone() };
        self.inbox.push(event);
        self.server_drain = Some(ServerDrain { deadline: self.now + deadline, retry_after, endpoint });
    }
}
