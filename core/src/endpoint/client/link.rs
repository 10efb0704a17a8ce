//! Connections: made, lost, made again; and the time in between.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use core::time::Duration;

use super::event::{ClientEvent, DropReason, Reason, RequestFailure, RequestId};
#[cfg(feature = "noise")]
use super::noise;
use super::outbox::Entry;
use super::{Client, Command, Dial, Ending, State};
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::carrier::{Carrier, MayBeWeb, RequestFields, Spoken, Web, WebSocketError};
use crate::lifecycle::Transport;
use crate::session::{By, Closed, Code, Event};
use crate::time::{Deadline, Instant, Why};

impl Client {
    /// The connection to open now, if one is due: given out once. Say then
    /// [`handle_connected`](Self::handle_connected) or
    /// [`handle_connect_failed`](Self::handle_connect_failed).
    pub fn poll_connect(&mut self, now: Instant) -> Option<Dial> {
        self.tick(now);
        // With events that nobody takes, connections that fail would pile up more.
        if self.state != State::Waiting || self.over || self.inbox.is_full() {
            return None;
        }
        let attempt = self.backoff.handle_timeout(self.now)?;
        self.state = State::Dialing;
        #[cfg(feature = "noise")]
        {
            self.endpoint = attempt.endpoint;
        }
        let (endpoint, address) = (attempt.endpoint, self.redirect.take());
        self.inbox.push(ClientEvent::Connecting { attempt: self.backoff.attempts(), endpoint });
        Some(Dial { endpoint, address })
    }

    /// The transport stands. HELLO goes out with the next [`poll_transmit`](Self::poll_transmit).
    pub fn handle_connected(&mut self, now: Instant) {
        self.handle_connected_over(now, &Carrier::Transport);
    }

    /// The transport stands, and so is to be used. A WebSocket is asked for with the next
    /// [`poll_transmit`](Self::poll_transmit); for its opening there is as long as for the session's
    /// handshake, which follows.
    pub fn handle_connected_over(&mut self, now: Instant, carrier: &Carrier) {
        self.tick(now);
        if self.state == State::Dialing && !self.over {
            self.state = State::Attached;
            self.sendable = true;
            self.ended = Code::Normal;
            let timeout = self.config.session.handshake_deadline;
            self.web = Web::new(self.now, carrier, timeout, &mut *self.entropy);
            #[cfg(feature = "noise")]
            self.open_noise(timeout);
        }
    }

    /// No transport could be opened.
    pub fn handle_connect_failed(&mut self, now: Instant) {
        self.tick(now);
        if self.state == State::Dialing && !self.over {
            self.disconnected(Reason::Unreachable);
        }
    }

    /// Says how a write went: `written` octets were taken by the transport, `waiting` still wait.
    pub fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) {
        self.tick(now);
        if let Some(session) = &mut self.session {
            session.handle_written(self.now, written, waiting);
        }
        if let Some(web) = &mut self.web {
            web.handle_written(self.now, written, waiting);
        }
    }

    /// The server ended its direction of the stream; all that was read was given to
    /// [`recv`](Self::recv) before.
    pub fn handle_eof(&mut self, now: Instant) {
        self.tick(now);
        let now = self.now;
        if self.with_web(|web, client| web.handle_eof(now, client)).is_none() {
            self.end();
        }
    }

    /// The stream of the session's octets has ended.
    pub(super) fn end(&mut self) {
        match &mut self.session {
            Some(session) => {
                session.handle_eof(self.now);
                let event = session.poll_closed();
                self.take_end(event.as_ref());
            }
            None if self.state == State::Attached => self.disconnected(self.cut()),
            None => {}
        }
    }

    /// What the end of a transport is, that came before a session.
    const fn cut(&self) -> Reason {
        #[cfg(feature = "noise")]
        if self.noise.is_some() {
            return Reason::Secure(crate::secure::Fault::Cut);
        }
        Reason::Cut
    }

    /// The transport is gone: dropped, or broken.
    pub fn handle_transport_gone(&mut self, now: Instant) {
        self.handle_eof(now);
        if matches!(self.state, State::Attached | State::Dialing) && !self.over {
            // It never had a session, or what that had to say did not go out.
            self.disconnected(Reason::Cut);
        }
        (self.session, self.web) = (None, None);
        #[cfg(feature = "noise")]
        {
            self.noise = None;
        }
        self.unread = false;
        self.state = State::Waiting;
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Self::poll_transmit) (once the buffer has
    /// room again) and [`recv`](Self::recv). All else: call
    /// [`handle_timeout`](Self::handle_timeout), then [`poll_connect`](Self::poll_connect).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let own = match self.state {
            State::Waiting if self.over => return None,
            State::Waiting if self.inbox.is_full() => None,
            State::Waiting => self.backoff.poll_timeout(),
            State::Dialing => None,
            State::Attached | State::Leaving => match &self.web {
                None => self.due(),
                Some(web) => web.poll_timeout(self.now, self),
            },
        };
        if self.over {
            return own;
        }
        let request = self.requests.deadline().map(|at| Deadline::new(at, Why::Request));
        let drain = self.drain_deadline().map(|at| Deadline::new(at, Why::Drain));
        Deadline::earliest(own, Deadline::earliest(request, drain))
    }

    /// When the session wants a turn, or what waits for it.
    fn due(&self) -> Option<Deadline> {
        let now = Some(Deadline::new(self.now, Why::Output));
        #[cfg(feature = "noise")]
        if let Some(noise) = self.noise.as_ref().filter(|_| self.state == State::Attached)
            && let Some(due) = noise.due(self.now)
        {
            return Some(due);
        }
        match &self.session {
            _ if self.unread && !self.inbox.is_full() => now,
            // Behind octets that wait for the transport it goes out with them; the transport
            // has a deadline, and so have requests and drains.
            Some(s) if self.opened && self.sendable && !s.is_stalled() => now,
            Some(_) if self.auth_owed.is_some() => now,
            Some(session) => session.poll_timeout(),
            None => now,
        }
    }

    fn drain_deadline(&self) -> Option<Instant> {
        let own = match self.ending {
            Some(Ending::Drain(at)) => Some(at),
            _ => None,
        };
        let theirs = self.server_drain.as_ref().filter(|_| self.is_connected()).map(|d| d.deadline);
        own.into_iter().chain(theirs).min()
    }

    /// Time has passed: does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        if let Some(session) = &mut self.session {
            if self.inbox.is_full() {
                // Nobody listens here; that is not the server's silence.
                session.heard(self.now);
            }
            let event = session.handle_timeout(self.now);
            self.take_end(event.as_ref());
        }
        let now = self.now;
        let _ = self.with_web(|web, client| web.handle_timeout(now, client));
        #[cfg(feature = "noise")]
        self.expire_noise();
        if self.over {
            return;
        }
        while let Some(id) = self.requests.due(self.now) {
            let sent = self.requests.remove(id, &mut self.budget);
            if sent == Some(true) {
                self.command(Command::Cancel(id));
            }
            let (request, why) = (RequestId(id), RequestFailure::Timeout);
            self.inbox.push(ClientEvent::RequestFailed { request, why });
        }
        if self.drain_deadline().is_some_and(|at| at <= self.now) {
            if matches!(self.ending, Some(Ending::Drain(_))) {
                self.close(self.now);
            } else if let Some(session) = &mut self.session {
                session.close(self.now, Code::GoingAway, "the drain deadline has passed");
            }
        }
        self.check_drained();
    }

    /// Closes where all that was to be finished is.
    pub(super) fn check_drained(&mut self) {
        if matches!(self.ending, Some(Ending::Drain(_))) && self.is_idle() {
            self.close(self.now);
        } else if self.opened
            && self.server_drain.is_some()
            && self.outbox.in_flight() == 0
            && !self.requests.any_sent()
            && self.serving.is_idle()
            && !self.tunnels.any_asked()
            && let Some(session) = &mut self.session
        {
            session.close(self.now, Code::GoingAway, "");
        }
    }

    fn is_idle(&self) -> bool {
        self.outbox.len() == 0
            && self.requests.len() == 0
            && self.serving.is_idle()
            && self.tunnels.is_empty()
    }

    /// The session's end, where that is what `event` says.
    pub(super) fn take_end(&mut self, event: Option<&Event<'_>>) {
        if let Some(Event::Closed(closed)) = event {
            self.session_ended(closed);
        }
    }

    /// The session told that it has ended.
    pub(super) fn session_ended(&mut self, closed: &Closed<'_>) {
        let reason = match (closed.by, closed.code, closed.fault) {
            (By::Local, Some(Code::Normal), None) => Reason::Requested,
            (By::Local, Some(code), Some(fault)) => Reason::Local { code, text: fault.to_string() },
            (By::Local, Some(code), None) => Reason::Local { code, text: super::calls::own(closed.reason) },
            (By::Remote, Some(code), _) => Reason::Remote { code, text: super::calls::own(closed.reason) },
            _ => Reason::Cut,
        };
        self.disconnected(reason);
    }

    /// There is no session any more on this transport, or no transport.
    pub(super) fn disconnected(&mut self, reason: Reason) {
        if self.over || self.state == State::Leaving {
            return;
        }
        self.keep_counts();
        if let Reason::Local { code, .. } = reason {
            self.ended = code;
        }
        let attached = self.state == State::Attached;
        self.state = if attached { State::Leaving } else { State::Waiting };
        self.connection = self.connection.wrapping_add(1);
        self.opened = false;
        (self.scram, self.auth_owed) = (None, None);
        self.untaken = 0;
        self.held = false;
        self.sendable = false;
        self.commands.clear();
        self.refusals = 0;
        self.serving.disconnected(&mut self.budget);
        self.rooms.disconnected();
        self.tunnels.disconnected();
        self.outbox.disconnected();
        if let Some(drain) = self.server_drain.take() {
            self.backoff.retry_after(self.now, drain.retry_after);
            self.redirect = Some(drain.endpoint).filter(|e| !e.is_empty());
        }
        while let Some(id) = self.requests.pop_sent(&mut self.budget) {
            let (request, why) = (RequestId(id), RequestFailure::Disconnected);
            self.inbox.push(ClientEvent::RequestFailed { request, why });
        }
        if !self.config.keep_unreliable {
            let dropped: VecDeque<Entry> = self.outbox.take_unreliable();
            dropped.iter().for_each(|e| self.dropped(e, DropReason::Disconnected));
        }
        if self.is_final(&reason) {
            self.finish(reason);
        } else {
            self.try_again(reason);
        }
    }

    /// What both sides have, for the next connection to go on from. What the application has not
    /// taken stays in the inbox, so it is received.
    fn keep_counts(&mut self) {
        if self.opened
            && let (Some(session), Some(resume)) = (&self.session, &mut self.resume)
        {
            resume.counts = session.counts();
            resume.counts.received += u64::from(self.untaken);
        }
    }

    /// Whether it is of no use to connect again. Forgets the session where that is what helps.
    fn is_final(&mut self, reason: &Reason) -> bool {
        if matches!(self.ending, Some(Ending::Close)) || !self.config.reconnect {
            return true;
        }
        if matches!(self.ending, Some(Ending::Drain(_))) && self.is_idle() {
            return true;
        }
        match reason {
            Reason::Credentials => true,
            Reason::WebSocket(why) => why.is_final(self.had_session || self.config.endpoints > 1),
            #[cfg(feature = "noise")]
            Reason::Secure(fault) => {
                noise::is_final(fault) && !self.had_session && self.config.endpoints == 1
            }
            Reason::Local { code: Code::AuthFailed | Code::Version, .. } => true,
            Reason::Remote { code, .. } | Reason::Local { code, .. } => match code {
                Code::AuthFailed
                | Code::AuthMethod
                | Code::Version
                | Code::NotAuthorized
                | Code::TakenOver => matches!(reason, Reason::Remote { .. }),
                // Another try without the session may do; but only one.
                Code::SessionRefused | Code::BadResume => self.resume.take().is_none(),
                Code::Normal => {
                    self.resume = None;
                    false
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Plans the next attempt.
    pub(super) fn try_again(&mut self, reason: Reason) {
        let first = self.backoff.attempts() == 0;
        match self.backoff.next(self.now, &mut &mut *self.entropy) {
            Some(_) if first => {}
            Some(attempt) => self.inbox.push(ClientEvent::Disconnected { reason, retry_at: attempt.at }),
            None => self.finish(reason),
        }
    }

    /// It is over.
    pub(super) fn finish(&mut self, reason: Reason) {
        if self.over {
            return;
        }
        self.over = true;
        self.opened = false;
        self.resume = None;
        self.tunnels.close();
        if self.state == State::Attached {
            self.state = State::Leaving;
        }
        self.inbox.push(ClientEvent::Closed { reason, undelivered: self.outbox.len() });
    }

    /// Tells that a publish came to nothing.
    pub(super) fn dropped(&mut self, entry: &Entry, why: DropReason) {
        self.budget.remove(entry.octets());
        self.inbox.push(ClientEvent::Dropped { publish: entry.id, why });
    }
}

impl MayBeWeb for Client {
    fn web(&mut self) -> &mut Option<Box<Web>> {
        &mut self.web
    }
}

impl Spoken for Client {
    fn protocol(&self) -> &str {
        "bowline"
    }

    fn fields(&self) -> &RequestFields {
        &self.config.request_fields
    }

    fn wants_transport(&self) -> bool {
        self.state == State::Attached && !self.over
    }

    fn hear(&mut self, buf: &mut impl RecvBuf) {
        #[cfg(feature = "noise")]
        if self.with_noise(|noise, client| noise.recv(client, buf)).is_some() {
            return;
        }
        self.recv_frames(buf);
    }

    fn is_deaf(&self) -> bool {
        self.unread
    }

    fn say(&mut self, out: &mut impl SendBuf) -> Transport {
        #[cfg(feature = "noise")]
        if let Some(owed) = self.with_noise(|noise, client| noise.poll_transmit(client, out)) {
            return owed;
        }
        self.transmit_frames(out)
    }

    fn has_begun(&self) -> bool {
        self.session.is_some()
    }

    fn due(&self) -> Option<Deadline> {
        self.due()
    }

    fn ended(&self) -> Code {
        self.ended
    }

    fn end(&mut self) {
        self.end();
    }

    fn lost(&mut self, why: WebSocketError, retry_after: Option<Duration>) {
        if let Some(after) = retry_after {
            self.backoff.retry_after(self.now, after);
        }
        self.disconnected(Reason::WebSocket(why));
    }
}
