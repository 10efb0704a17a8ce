//! The application's side: all calls queue, none blocks.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use super::compressing::Tried;
use super::config::WhenFull;
use super::event::{
    ClientEvent, DropReason, Message, PropertyBlock, PublishId, Reason, RequestHandle, RequestId,
    SubscriptionId,
};
use super::inbox::Queued;
use super::outbox::head_len;
use super::requests::{Unanswered, Unsent};
use super::subscriptions::{MAX_SUBSCRIPTIONS, SubState, Subscription};
use super::{Client, Command, Ending, State};
use crate::retain::RetainHandling;
use crate::session::DatagramMode;
use crate::session::{Code, MAX_FRAME_CEILING, Properties, SessionId};
use crate::status::Status;
use crate::time::Instant;
use crate::topic::{self, TopicError};

/// Octets that a frame has beside topic, properties and payload, at most: two ids, a timeout or a
/// status, and two lengths.
const FRAME_EXTRA: usize = 9 + 9 + 9 + 5 + 5;

/// Why a call was refused. Nothing was queued and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The queue of outgoing messages is full.
    #[error("too much waits to be sent or acknowledged; try again after events were taken")]
    Full,
    /// Events are not taken.
    #[error("too many events wait; take them with poll_event first")]
    EventsWaiting,
    /// There is no connection, and this needs one.
    #[error("there is no connection; try again once the client is connected")]
    NotConnected,
    /// The client was closed, or is being drained.
    #[error("the client is closed, or finishes; make a new one")]
    Closed,
    /// There is no such subscription (any more).
    #[error("there is no such subscription; it was refused, or has ended")]
    UnknownSubscription,
    /// There is no such room (any more).
    #[error("there is no such room; joining it was refused, or it was left")]
    UnknownRoom,
    /// The client is in the room already, or about to be.
    #[error("the room was joined already; leave it first")]
    AlreadyJoined,
    /// The request is over: it was answered or cancelled, or its connection is gone.
    #[error("the request is over: it was answered or cancelled, or its connection is gone")]
    Gone,
    /// More than the server takes in one frame.
    #[error("the message has {size} octets; a frame carries at most {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a topic name, or not a filter.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// More requests than may wait at once.
    #[error("too many requests wait for an answer; try again after some have ended")]
    TooManyRequests,
    /// More subscriptions and rooms than one client may have.
    #[error("a client has at most 65,536 subscriptions and rooms; end some first")]
    TooManySubscriptions,
    /// A value that the protocol cannot carry.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What to publish.
///
/// ```
/// use bowline_core::endpoint::client::Publish;
/// let p = Publish { reliable: true, ..Publish::new("home/door", "open") };
/// assert_eq!(p.payload, "open");
/// ```
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    /// What it is about.
    pub topic: &'a str,
    /// What it says. A large payload is never copied.
    pub payload: Bytes,
    /// What it says beside. With an expiry, it is dropped if it waits for longer than that.
    pub properties: Properties<'a>,
    /// At least once: kept until the server has accepted it.
    pub reliable: bool,
    /// To be kept as its topic's retained value, in place of the one before; with an empty payload
    /// the topic keeps none. A server that keeps none leaves it
    /// [`Unsupported`](super::DropReason::Unsupported).
    pub retain: bool,
    /// It holds secrets: it is never compressed, because how well it compresses would tell of them
    /// ([`crate::compression`]).
    pub secret: bool,
}

impl<'a> Publish<'a> {
    /// At most once, without properties.
    pub fn new(topic: &'a str, payload: impl Into<Bytes>) -> Self {
        let (payload, properties) = (payload.into(), Properties::NONE);
        Self { topic, payload, properties, reliable: false, retain: false, secret: false }
    }
}

/// What a subscription is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// At least once where the message is reliable; else at most once.
    pub reliable: bool,
    /// Not what this session itself published.
    pub no_local: bool,
    /// With which retained values it begins: also over each connection on which the server has no
    /// session of this client any more.
    pub retained: RetainHandling,
    /// Whether [`Message::is_retained`] also says of other messages that they were published to be
    /// retained.
    pub retain_as_published: bool,
    /// A window of its own, in octets: so much may be on its way or wait untaken because of this
    /// subscription. The default is none, so only the session's counts.
    pub credit: Option<u64>,
    /// Whether taking an event grants its octets again (default); otherwise
    /// [`Client::grant`] does.
    pub auto_grant: bool,
    /// Whether messages at most once come in datagrams, over a transport that has them. Such a subscription
    /// has no window of its own, whatever `credit` says: what is not taken in time is dropped.
    pub datagrams: DatagramMode,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            reliable: false,
            no_local: false,
            retained: RetainHandling::default(),
            retain_as_published: false,
            credit: None,
            auto_grant: true,
            datagrams: DatagramMode::Stream,
        }
    }
}

/// What to ask.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What it is about.
    pub topic: &'a str,
    /// What is asked.
    pub payload: Bytes,
    /// What it says beside.
    pub properties: Properties<'a>,
    /// For how long to wait; nothing: as the configuration says.
    pub timeout: Option<Duration>,
    /// All who serve the topic are asked; each answer comes with `more`, and a last empty one ends it.
    pub many: bool,
    /// It holds secrets, and is never compressed, as in [`Publish::secret`].
    pub secret: bool,
}

impl<'a> Request<'a> {
    /// To one of those who serve `topic`, without properties.
    pub fn new(topic: &'a str, payload: impl Into<Bytes>) -> Self {
        let (payload, properties) = (payload.into(), Properties::NONE);
        Self { topic, payload, properties, timeout: None, many: false, secret: false }
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// How it went.
    pub status: Status,
    /// Other answers to the same request follow.
    pub more: bool,
    /// The answer, or with a status other than OK a reason in UTF-8.
    pub payload: Bytes,
    /// What it says beside.
    pub properties: Properties<'a>,
    /// It holds secrets, and is never compressed, as in [`Publish::secret`].
    pub secret: bool,
}

impl Reply<'_> {
    /// The whole answer.
    pub fn ok(payload: impl Into<Bytes>) -> Self {
        Self::new(Status::Ok, payload)
    }

    /// An answer with another status; the payload is a reason in UTF-8.
    pub fn new(status: Status, payload: impl Into<Bytes>) -> Self {
        let (payload, properties) = (payload.into(), Properties::NONE);
        Self { status, more: false, payload, properties, secret: false }
    }
}

impl Client {
    /// Hands a message to the server, for all who subscribed to its topic.
    ///
    /// It is sent when there is a connection and the server has room; messages keep their order.
    /// [`ClientEvent::Accepted`] or [`ClientEvent::Dropped`] follows, unless the client is closed
    /// before.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; the message was not queued then.
    pub fn publish(&mut self, now: Instant, publish: Publish<'_>) -> Result<PublishId, ClientError> {
        self.tick(now);
        self.check_call()?;
        topic::validate_topic(publish.topic)?;
        if !publish.reliable && !self.config.keep_unreliable && !self.is_connected() {
            return Err(ClientError::NotConnected);
        }
        let size = head_len(publish.topic, publish.properties) + publish.payload.len();
        self.check_size(size)?;
        self.make_room(size)?;
        let id = PublishId(self.next_publish);
        self.next_publish += 1;
        let expires = match publish.properties.is_empty() {
            true => None,
            false => publish.properties.expiry().map(|d| self.now + d),
        };
        self.budget.add(size);
        self.outbox.push(id, publish, expires);
        self.sendable = true;
        Ok(id)
    }

    /// Room for a publish of `size` octets, by the policy.
    fn make_room(&mut self, size: usize) -> Result<(), ClientError> {
        let possible = match self.config.when_full {
            WhenFull::Refuse => self.budget.fits(size),
            WhenFull::DropOldest => self.budget.fits_without(self.outbox.waiting(), size),
        };
        if !possible {
            return Err(ClientError::Full);
        }
        while !self.budget.fits(size) {
            let oldest = self.outbox.pop_waiting().ok_or(ClientError::Full)?;
            self.dropped(&oldest, DropReason::Full);
        }
        Ok(())
    }

    /// Asks for the messages that match `filter` (also `$share/GROUP/FILTER`), over all
    /// connections to come. [`ClientEvent::Subscribed`] says how it went.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, ClientError> {
        self.add_subscription(now, filter, options, false)
    }

    /// Offers to answer the requests that match `filter`: they come as [`ClientEvent::Request`].
    /// Of the options only the credit has a meaning.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn serve(
        &mut self,
        now: Instant,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, ClientError> {
        self.add_subscription(now, filter, options, true)
    }

    fn add_subscription(
        &mut self,
        now: Instant,
        filter: &str,
        mut options: SubscribeOptions,
        serve: bool,
    ) -> Result<SubscriptionId, ClientError> {
        self.tick(now);
        if options.datagrams != DatagramMode::Stream {
            options.credit = None;
        }
        self.check_call()?;
        topic::validate_filter(filter)?;
        self.check_size(filter.len())?;
        if options.credit == Some(0) {
            return Err(ClientError::Invalid("a subscription's credit begins at 1"));
        }
        // Those that ended before they were sent leave their command behind.
        let known = self.subscriptions.len() + self.rooms.len();
        if known.max(self.commands.len() / 4) >= MAX_SUBSCRIPTIONS {
            return Err(ClientError::TooManySubscriptions);
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        let filter: Box<str> = filter.into();
        let state = SubState::Waiting;
        let subscription = Subscription { filter, options, serve, state, known: false, window: None };
        self.subscriptions.insert(id, subscription);
        self.command(Command::Subscribe(id));
        Ok(SubscriptionId(id))
    }

    /// Ends a subscription: nothing more comes of it from here on, also of what waits.
    /// [`ClientEvent::Unsubscribed`] follows.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownSubscription`], also if it ends already.
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) -> Result<(), ClientError> {
        self.tick(now);
        self.check_call()?;
        let known = self.subscriptions.get_mut(&id.0).filter(|s| s.state.is_wanted());
        let subscription = known.ok_or(ClientError::UnknownSubscription)?;
        if subscription.known {
            subscription.state = SubState::Ending;
            self.command(Command::Unsubscribe(id.0));
        } else {
            self.subscriptions.remove(&id.0);
            self.inbox.push(ClientEvent::Unsubscribed { subscription: id, status: Status::Ok });
        }
        Ok(())
    }

    /// Lets the server send `octets` more because of a subscription without `auto_grant`: those of
    /// messages that were handled. Messages cost what [`Message::credit`] says.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownSubscription`], [`ClientError::Invalid`] if it has no credit of its own.
    pub fn grant(&mut self, now: Instant, id: SubscriptionId, octets: u64) -> Result<(), ClientError> {
        self.tick(now);
        let subscription = self.subscriptions.get_mut(&id.0).ok_or(ClientError::UnknownSubscription)?;
        if subscription.options.credit.is_none() {
            return Err(ClientError::Invalid("the subscription has no credit of its own"));
        }
        // Without a connection there is nothing to grant: the next begins with a whole window.
        if subscription.window.as_mut().is_some_and(|w| w.take(octets)) {
            self.command(Command::Grant(id.0));
        }
        Ok(())
    }

    /// Asks. [`ClientEvent::Response`] or [`ClientEvent::RequestFailed`] follows. It waits for a
    /// connection, and is never sent twice.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn request(&mut self, now: Instant, request: Request<'_>) -> Result<RequestId, ClientError> {
        self.tick(now);
        self.check_call()?;
        topic::validate_topic(request.topic)?;
        if self.requests.len() >= self.config.requests {
            return Err(ClientError::TooManyRequests);
        }
        let unsent = Unsent {
            topic: request.topic.into(),
            payload: request.payload,
            properties: PropertyBlock::copy(request.properties),
            many: request.many,
            tried: Tried::new(request.secret || request.topic.starts_with('$')),
            counted: 0,
        }
        .counted();
        self.check_size(unsent.octets() + FRAME_EXTRA)?;
        if !self.budget.fits(unsent.octets()) {
            return Err(ClientError::Full);
        }
        let id = self.next_request;
        self.next_request += 1;
        let deadline = self.now + request.timeout.unwrap_or(self.config.request_timeout);
        self.requests.insert(id, deadline, unsent, &mut self.budget);
        self.sendable = true;
        Ok(RequestId(id))
    }

    /// No longer wants the answer to a request. Nothing follows; says whether it was still open.
    pub fn cancel(&mut self, now: Instant, id: RequestId) -> bool {
        self.tick(now);
        let open = self.requests.remove(id.0, &mut self.budget);
        if open == Some(true) {
            self.command(Command::Cancel(id.0));
        }
        open.is_some()
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// [`ClientError::Gone`] where nobody waits for the answer any more; see [`ClientError`].
    pub fn respond(
        &mut self,
        now: Instant,
        handle: RequestHandle,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        self.tick(now);
        if handle.connection != self.connection || !self.serving.contains(handle.id) {
            return Err(ClientError::Gone);
        }
        let reply_octets = reply.payload.len() + reply.properties.as_bytes().len();
        let answer = Unanswered {
            id: handle.id,
            status: reply.status,
            more: reply.more,
            payload: reply.payload,
            properties: PropertyBlock::copy(reply.properties),
            tried: Tried::new(reply.secret),
            counted: Some(reply_octets),
        };
        self.check_size(answer.octets() + FRAME_EXTRA)?;
        if !self.budget.fits(answer.octets()) {
            return Err(ClientError::Full);
        }
        if !reply.more {
            self.serving.remove(handle.id);
        }
        self.serving.answer(answer, &mut self.budget);
        self.sendable = true;
        Ok(())
    }

    /// Wants a ping sent now: [`ClientEvent::Pong`] follows.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotConnected`].
    pub fn ping(&mut self, now: Instant) -> Result<(), ClientError> {
        self.tick(now);
        match &mut self.session {
            Some(session) if session.is_open() => session.ping(self.now),
            _ => return Err(ClientError::NotConnected),
        }
        Ok(())
    }

    /// Finishes what waits and is in flight, connecting again if it must, then ends the session and
    /// closes. After `deadline` it closes in any case. New calls are refused, but
    /// [`respond`](Self::respond) and [`cancel`](Self::cancel).
    pub fn drain(&mut self, now: Instant, deadline: Duration) {
        self.tick(now);
        if self.ending.is_none() {
            self.ending = Some(Ending::Drain(self.now + deadline));
            self.check_drained();
        }
    }

    /// Ends the session and closes, at once; what waits is given up.
    pub fn close(&mut self, now: Instant) {
        self.tick(now);
        if matches!(self.ending, Some(Ending::Close)) {
            return;
        }
        self.ending = Some(Ending::Close);
        match &mut self.session {
            Some(session) if !session.is_ended() => session.close(self.now, Code::Normal, ""),
            _ => self.finish(Reason::Requested),
        }
    }

    /// Takes the next event. A reliable message is acknowledged by this, so
    /// [`poll_transmit`](Self::poll_transmit) has something to send afterwards.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        loop {
            let event = match self.inbox.pop()? {
                Queued::Skip { connection } => {
                    self.accept(connection);
                    continue;
                }
                Queued::Event(event) => event,
            };
            self.relieve();
            match &event {
                ClientEvent::Message { subscription, message } => {
                    let wanted = self.take(*subscription, message);
                    if message.is_reliable() {
                        self.accept(message.connection);
                    }
                    if !wanted {
                        continue;
                    }
                }
                ClientEvent::Direct(message) if message.is_reliable() => self.accept(message.connection),
                ClientEvent::Room { room, event } if !self.take_of_room(*room, event) => continue,
                ClientEvent::Request(request) => {
                    let wanted = self.take(request.subscription, &request.message);
                    let handle = request.handle;
                    // Nobody waits for the answer to what was cancelled or cut off.
                    if !wanted || handle.connection != self.connection || !self.serving.contains(handle.id) {
                        continue;
                    }
                }
                _ => {}
            }
            return Some(event);
        }
    }

    /// Counts a message as taken; says whether its subscription is still wanted.
    fn take(&mut self, id: SubscriptionId, message: &Message) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id.0) else { return false };
        let wanted = subscription.state.is_wanted();
        // What was dropped was handled as well.
        let grant = subscription.options.auto_grant || !wanted;
        if grant
            && message.connection == self.connection
            && subscription.window.as_mut().is_some_and(|w| w.take(message.credit()))
        {
            self.command(Command::Grant(id.0));
        }
        wanted
    }

    /// The oldest reliable message was taken, or is dropped.
    fn accept(&mut self, connection: u32) {
        if connection == self.connection
            && let Some(session) = &mut self.session
        {
            self.untaken -= 1;
            session.accept_received(self.now, 1);
        }
    }

    /// Lets the server go on once there is room again.
    fn relieve(&mut self) {
        if self.held && !self.inbox.is_half_full() {
            self.held = false;
            if let Some(session) = &mut self.session {
                session.hold_credit(false);
            }
        }
    }

    /// Whether events wait to be taken.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether the session is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state == State::Attached && self.session.as_ref().is_some_and(crate::session::Session::is_open)
    }

    /// Whether it is over: nothing more is sent or connected.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.over
    }

    /// The session's public name, where it outlives its connection.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.resume.as_ref().map(|r| r.session)
    }

    /// The smoothed round-trip time, once a ping was answered on this connection.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.session.as_ref().and_then(crate::session::Session::round_trip)
    }

    /// How much waits to be sent or acknowledged.
    #[must_use]
    pub const fn outgoing(&self) -> super::Outgoing {
        self.budget.used()
    }

    pub(super) fn check_call(&self) -> Result<(), ClientError> {
        if self.ending.is_some() || self.over {
            return Err(ClientError::Closed);
        }
        if self.inbox.is_full() {
            return Err(ClientError::EventsWaiting);
        }
        Ok(())
    }

    fn check_size(&self, size: usize) -> Result<(), ClientError> {
        let limit = match &self.session {
            Some(session) if session.is_open() => session.max_send_frame(),
            _ => MAX_FRAME_CEILING,
        } as usize;
        if size > limit { Err(ClientError::TooLarge { size, limit }) } else { Ok(()) }
    }

    pub(super) fn command(&mut self, command: Command) {
        // Without a session the queue is made anew when one opens.
        if self.opened {
            self.commands.push_back(command);
            self.sendable = true;
        }
    }
}

/// Text of the server's, kept.
pub(super) fn own(text: &str) -> String {
    text.into()
}
