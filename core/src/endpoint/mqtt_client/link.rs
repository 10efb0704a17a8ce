//! Connections: made, lost, made again; and the time in between.

use alloc::boxed::Box;
use core::time::Duration;

use super::event::{ClientEvent, Reason};
use super::outbox::Entry;
use super::{Client, Dial, DropReason, Ending, State};
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::carrier::{Carrier, MayBeWeb, RequestFields, Spoken, Web, WebSocketError};
use crate::lifecycle::{By, Transport};
use crate::mqtt::{AliasTable, Closed, ReasonCode};
use crate::session::Code;
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
        let (endpoint, address) = (attempt.endpoint, self.redirect.take());
        self.inbox.push(ClientEvent::Connecting { attempt: self.backoff.attempts(), endpoint });
        Some(Dial { endpoint, address })
    }

    /// The transport stands. CONNECT goes out with the next [`poll_transmit`](Self::poll_transmit).
    pub fn handle_connected(&mut self, now: Instant) {
        self.handle_connected_over(now, &Carrier::Transport);
    }

    /// The transport stands, and so is to be used. A WebSocket is asked for with the next
    /// [`poll_transmit`](Self::poll_transmit); for its opening there is as long as for the answer to
    /// CONNECT, which follows.
    pub fn handle_connected_over(&mut self, now: Instant, carrier: &Carrier) {
        self.tick(now);
        if self.state == State::Dialing && !self.over {
            self.state = State::Attached;
            self.aliases = AliasTable::new(); // [MQTT-3.3.2-7]
            self.greeted = false;
            self.broken = false;
            self.web = Web::new(self.now, carrier, self.config.connect_timeout, &mut *self.entropy);
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
        if self.greeted {
            self.inner.handle_written(self.now, written, waiting);
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
    fn end(&mut self) {
        if self.greeted {
            self.inner.handle_eof(self.now);
            self.take_end();
        } else if self.is_attached() {
            self.disconnected(Reason::Cut);
        }
    }

    /// The transport is gone: dropped, or broken.
    pub fn handle_transport_gone(&mut self, now: Instant) {
        self.handle_eof(now);
        if matches!(self.state, State::Attached | State::Dialing) && !self.over {
            self.disconnected(Reason::Cut);
        }
        self.greeted = false;
        self.web = None;
        self.unread = false;
        self.state = State::Waiting;
    }

    /// When this machine wants to be called next, and why. Pure, and cheap.
    ///
    /// [`Why::Output`] means now: call [`poll_transmit`](Self::poll_transmit) (once the buffer has room
    /// again) and [`recv`](Self::recv). All else: call [`handle_timeout`](Self::handle_timeout), then
    /// [`poll_connect`](Self::poll_connect).
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
        let drain = match self.ending {
            Some(Ending::Drain(at)) => Some(Deadline::new(at, Why::Drain)),
            _ => None,
        };
        Deadline::earliest(own, drain)
    }

    /// When the session wants a turn, or what waits for it.
    fn due(&self) -> Option<Deadline> {
        let now = Some(Deadline::new(self.now, Why::Output));
        if !self.greeted || self.unread && !self.inbox.is_full() {
            return now;
        }
        // Behind octets that wait for the transport it goes out with them.
        let due = self.opened && self.sendable || self.auth_due && !self.commands.is_empty();
        if due && !self.inner.is_stalled() { now } else { self.inner.poll_timeout() }
    }

    /// Time has passed: does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        if self.greeted {
            if self.inbox.is_full() {
                // Nobody listens here; that is not the server's silence.
                self.inner.heard(self.now);
            }
            if let Some(event) = self.inner.handle_timeout(self.now) {
                self.on_event(event);
            }
        }
        let now = self.now;
        let _ = self.with_web(|web, client| web.handle_timeout(now, client));
        if matches!(self.ending, Some(Ending::Drain(at)) if at <= self.now) && !self.over {
            self.close(self.now);
        }
    }

    /// Closes where all that was to be finished is.
    pub(super) fn check_drained(&mut self) {
        if matches!(self.ending, Some(Ending::Drain(_))) && self.outbox.all().messages == 0 {
            self.close(self.now);
        }
    }

    /// The end of the connection, once it is to be told.
    pub(super) fn take_end(&mut self) {
        if let Some(event) = self.inner.poll_closed() {
            self.on_event(event);
        }
    }

    /// The connection has ended.
    pub(super) fn connection_ended(&mut self, closed: &Closed) {
        let reason = match (self.dismissal.take(), closed) {
            (Some(reason), _) => reason,
            (None, Closed { fault: Some(fault), .. }) => Reason::Local { text: fault.reason() },
            (None, Closed { by: By::Local, reason: Some(ReasonCode::Success), .. }) => Reason::Requested,
            (None, Closed { by: By::Local, text, .. }) => Reason::Local { text },
            _ => Reason::Cut,
        };
        self.disconnected(reason);
    }

    /// There is no connection any more, or it has only last words.
    pub(super) fn disconnected(&mut self, reason: Reason) {
        if self.over || self.state == State::Leaving {
            return;
        }
        self.broken = matches!(reason, Reason::Local { .. });
        self.state = if self.is_attached() { State::Leaving } else { State::Waiting };
        self.connection = self.connection.wrapping_add(1);
        (self.opened, self.sendable, self.auth_due) = (false, false, false);
        self.commands.clear();
        for (_, asked) in self.asked.drain() {
            // Whether the server has heard it or not: this client does not know it any more.
            if let super::subscriptions::Asked::Unsubscribe(subscription) = asked {
                self.inbox.push(ClientEvent::Unsubscribed { subscription, reasons: alloc::vec::Vec::new() });
            }
        }
        if !self.config.keep_qos0 {
            for entry in self.outbox.take_qos0() {
                self.dropped(&entry, DropReason::Disconnected);
            }
        }
        if self.is_final(&reason) { self.finish(reason) } else { self.try_again(reason) }
    }

    /// Whether it is of no use to connect again.
    fn is_final(&self, reason: &Reason) -> bool {
        use ReasonCode as R;
        if matches!(self.ending, Some(Ending::Close)) || !self.config.reconnect {
            return true;
        }
        match reason {
            Reason::Settings(_) => true,
            Reason::WebSocket(why) => why.is_final(self.had_session || self.config.endpoints > 1),
            // What another try would end with as well; what passes is the server's load or absence.
            Reason::Refused { code, .. } => !matches!(
                code,
                R::UnspecifiedError
                    | R::ImplementationSpecificError
                    | R::ServerUnavailable
                    | R::ServerBusy
                    | R::QuotaExceeded
                    | R::UseAnotherServer
                    | R::ServerMoved
                    | R::ConnectionRateExceeded
            ),
            Reason::Remote { code, .. } => {
                matches!(code, R::SessionTakenOver | R::NotAuthorized | R::BadAuthenticationMethod)
            }
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
        if self.is_attached() {
            self.state = State::Leaving;
        }
        self.inbox.push(ClientEvent::Closed { reason, undelivered: self.outbox.all().messages });
    }

    /// Tells that a publish came to nothing.
    pub(super) fn dropped(&mut self, entry: &Entry, why: DropReason) {
        self.outbox.done(entry.octets());
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
        "mqtt"
    }

    fn fields(&self) -> &RequestFields {
        &self.config.request_fields
    }

    fn wants_transport(&self) -> bool {
        self.is_attached() && !self.over
    }

    fn hear(&mut self, buf: &mut impl RecvBuf) {
        self.recv_packets(buf);
    }

    fn is_deaf(&self) -> bool {
        self.unread
    }

    fn say(&mut self, out: &mut impl SendBuf) -> Transport {
        self.transmit_packets(out)
    }

    fn has_begun(&self) -> bool {
        self.greeted
    }

    fn due(&self) -> Option<Deadline> {
        self.due()
    }

    fn ended(&self) -> Code {
        if self.broken { Code::Malformed } else { Code::Normal }
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
