//! A client: a handle that can be cloned, over a task that connects and connects again.
//!
//! All methods queue what they are to do at once, under a lock that is never held for long, and
//! the async ones then wait for what comes of it. So each is cancel-safe in the way it says: the
//! state is in the client, none in the future.

mod room;
mod serve;
mod shared;
mod subscription;
mod tunnel;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use bowline_core::compression::Codec;
use bowline_core::endpoint::client::Client as Machine;
pub use bowline_core::endpoint::client::{
    ClientConfig, ClientError, ClientEvent, Compression, Credentials, DropReason, FieldError, JoinOptions,
    Message, Presence, PresenceMode, Publish, PublishId, QueueLimits, Reason, Request, RequestFailure,
    RequestFields, RequestId, RoomEvent, RoomMessage, RoomPlace, RoomPublish, SubscribeOptions,
    TunnelsConfig, WebSocketError, WhenFull,
};
#[cfg(feature = "noise")]
pub use bowline_core::endpoint::client::{NoiseConfig, NoiseKeys, ServerTrust};
pub use bowline_core::retain::RetainHandling;
pub use bowline_core::session::{DatagramMode, Properties, Property};
use bowline_core::stack::Alpn;
use bowline_core::status::Status;
use bowline_core::time::Instant;
use futures_core::Stream;
use parking_lot::Mutex;

pub use crate::handler::Response;
pub use room::Room;
pub use subscription::Subscription;
pub use tunnel::{Through, Tunnel};

use crate::handler::{self, Handler, Pattern, PatternError, Router, Tally};
use crate::layer::Connector;
use crate::link::{self, Endpoints, How, Slot};
use crate::runtime::Runtime;
use crate::server::CONCURRENCY;
use crate::{Address, AddressError, DEFAULT_PORT, OsEntropy, clock, datagram};
use shared::{Core, NoAnswer, Shared};

/// How long opening a transport may take before the next endpoint is tried: as long as the
/// handshake over it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client whose last handle was dropped goes on to send what waits.
pub const LINGER: Duration = Duration::from_secs(5);

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address makes no sense; all that do not are told.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Address(Vec<AddressError>),
    /// A handler's pattern makes no sense.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The call was refused here.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// The message was given up.
    #[error("not published: {0}")]
    Dropped(DropReason),
    /// No answer came.
    #[error("no answer: {0}")]
    NoAnswer(RequestFailure),
    /// The answer is no.
    #[error("answered with {status:?}: {reason}")]
    Status {
        /// What it is instead of OK.
        status: Status,
        /// Why, for people.
        reason: String,
    },
    /// More answers came to one request than were taken; it was taken back.
    #[error("more answers came than were taken")]
    Overrun,
    /// There is no connection, or it was lost.
    #[error("there is no connection")]
    Disconnected,
    /// The client is closed.
    #[error("the client is closed: {0}")]
    Closed(Reason),
}

/// What a client is to be. See [`Client::builder`].
#[derive(Debug)]
pub struct Builder<R> {
    runtime: R,
    addresses: Result<Vec<Address>, Vec<AddressError>>,
    config: ClientConfig,
    connect_timeout: Duration,
    follow: bool,
    how: How,
}

impl<R: Runtime> Builder<R> {
    /// With these settings instead of the defaults.
    #[must_use]
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// Says who this is.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.config.credentials = credentials;
        self
    }

    /// What it calls itself, for the server's logs.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.config.name = name.into();
        self
    }

    /// What requests for WebSockets have beside, where an address is one: `Authorization`, `Origin`, `Cookie`.
    #[must_use]
    pub fn request_fields(mut self, fields: RequestFields) -> Self {
        self.config.request_fields = fields;
        self
    }

    /// Compresses payloads, where the server agrees to one of the codecs that were built in (features `lz4` and
    /// `zstd`). Default: none is. What holds secrets says so ([`Publish::secret`]).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.compression = Some(compression);
        self
    }

    /// In the secure mode of our own protocol, with these keys: nothing is ever said in clear, over whatever
    /// carries it.
    #[cfg(feature = "noise")]
    #[must_use]
    pub fn noise(mut self, keys: NoiseKeys) -> Self {
        self.config.noise = Some(NoiseConfig::new(keys));
        self
    }

    /// How long opening a transport may take. Default: [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether to go where a draining server says, and not only to the addresses given here.
    /// Default: no.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Whom to trust where an address is for TLS, and who this is.
    #[must_use]
    pub fn tls(mut self, tls: impl Connector) -> Self {
        self.how.tls = Some(Arc::new(tls));
        self
    }

    /// Calls `tell` with each attempt to connect that failed: where, and why. It should not take long.
    #[must_use]
    pub fn on_connect_failed(mut self, tell: impl Fn(&Address, &io::Error) + Send + Sync + 'static) -> Self {
        self.how.on_failure = Some(Arc::new(tell));
        self
    }

    /// How sessions over UDP are secured, and their limits: needed where an address is `bowline+udp://`.
    #[must_use]
    pub fn datagrams(mut self, config: datagram::Config) -> Self {
        self.how.datagrams = Some(config);
        self
    }

    /// Begins to connect, and goes on for as long as the client lives. What is published until
    /// then waits, within limits.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn start(mut self) -> Result<Client<R>, Error> {
        let addresses = self.addresses.map_err(Error::Address)?;
        let unsaid = self.how.datagrams.is_none();
        if let Some(udp) = addresses.iter().find(|address| unsaid && matches!(address, Address::Udp(_))) {
            let what = "nothing says how UDP is secured there: give the builder `datagrams` with keys";
            return Err(Error::Address(vec![AddressError { entry: udp.to_string(), what }]));
        }
        self.config.endpoints = addresses.len();
        let max_frame = self.config.session.limits.max_frame;
        let machine = Machine::new(clock::now(), self.config, Box::new(OsEntropy));
        let shared = Arc::new(Shared::new(Core::new(machine)));
        let endpoints = Endpoints {
            addresses,
            connect_timeout: self.connect_timeout,
            follow: self.follow,
            port: DEFAULT_PORT,
            max_frame,
            alpn: Alpn::Bowline,
            how: self.how,
        };
        self.runtime.spawn(link::run(self.runtime.clone(), Arc::clone(&shared), endpoints));
        Ok(Client(Arc::new(Handle { runtime: self.runtime, shared })))
    }

    /// Connects, and waits until the session is open for the first time: for as long as the
    /// settings allow to try. Put a timeout of your own around it.
    ///
    /// Cancel safety: dropped before it is ready, the client is closed.
    ///
    /// # Errors
    ///
    /// [`Error::Address`]; [`Error::Closed`] where trying again would not help.
    pub async fn connect(self) -> Result<Client<R>, Error> {
        let client = self.start()?;
        let mut events = client.events();
        while !client.is_connected() {
            if events.next().await.is_none() {
                return Err(client.0.closed());
            }
        }
        Ok(client)
    }
}

/// A client. Clones are handles of the same one; when the last is dropped, what waits is still sent
/// within [`LINGER`], and it closes.
pub struct Client<R: Runtime>(Arc<Handle<R>>);

#[derive(Debug)]
struct Handle<R: Runtime> {
    runtime: R,
    shared: Arc<Shared>,
}

impl<R: Runtime> Drop for Handle<R> {
    fn drop(&mut self) {
        self.shared.call(|core| core.machine.drain(clock::now(), LINGER));
    }
}

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl<R: Runtime> Handle<R> {
    fn closed(&self) -> Error {
        Error::Closed(self.shared.call(|core| core.closed.clone()).unwrap_or(Reason::Requested))
    }

    /// Makes a call that may have to wait for room.
    async fn room<T>(
        &self,
        mut call: impl FnMut(&mut Core, Instant) -> Result<T, ClientError>,
    ) -> Result<T, Error> {
        poll_fn(|cx| {
            self.shared.call(|core| match call(core, clock::now()) {
                // Nothing that waits would make room for it.
                Err(ClientError::Full) if core.machine.outgoing().messages == 0 => {
                    Poll::Ready(Err(ClientError::Full.into()))
                }
                Err(ClientError::Full | ClientError::TooManyRequests | ClientError::EventsWaiting) => {
                    core.crowd.push(cx.waker().clone());
                    Poll::Pending
                }
                done => Poll::Ready(done.map_err(Error::from)),
            })
        })
        .await
    }
}

impl<R: Runtime + Default> Client<R> {
    /// A client of the server at one of `addresses`, a list with commas; see [`Address`].
    #[must_use]
    pub fn builder(addresses: &str) -> Builder<R> {
        Self::builder_on(R::default(), addresses)
    }
}

impl<R: Runtime> Client<R> {
    /// The same on a runtime that has to be given.
    #[must_use]
    pub fn builder_on(runtime: R, addresses: &str) -> Builder<R> {
        let addresses = Address::list(addresses);
        let (config, connect_timeout) = (ClientConfig::default(), CONNECT_TIMEOUT);
        Builder { runtime, addresses, config, connect_timeout, follow: false, how: How::default() }
    }

    /// Publishes. At most once: ready when it is queued. At least once (`reliable`): ready when the
    /// server has accepted it. Where too much waits already, it first waits for room.
    ///
    /// Cancel safety: dropped while it waits for room, nothing was published; dropped afterwards,
    /// the message is sent all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Dropped`], [`Error::Closed`]; [`Error::Status`] where the server
    /// takes it and goes no further with it, which is told of reliable ones.
    pub async fn publish(&self, publish: Publish<'_>) -> Result<(), Error> {
        let id = self.0.room(|core, now| {
            let id = core.machine.publish(now, publish.clone())?;
            if publish.reliable {
                core.publishes.insert(id, Slot::default());
            }
            Ok(id)
        });
        let id = id.await?;
        if publish.reliable { self.accepted(id).await } else { Ok(()) }
    }

    /// Waits for what becomes of a publish that is told of.
    async fn accepted(&self, id: PublishId) -> Result<(), Error> {
        let shared = &self.0.shared;
        let _forget = OnDrop(|| shared.call(|core| drop(core.publishes.remove(&id))));
        let done = poll_fn(|cx| {
            let done =
                shared.call(|core| core.publishes.get_mut(&id).map_or(Some(None), |s| s.poll(cx.waker())));
            done.map_or(Poll::Pending, Poll::Ready)
        });
        done.await.ok_or_else(|| self.0.closed())?
    }

    /// Publishes at most once, in a datagram where the transport has them (UDP) and the message fits: it is not
    /// sent again, and waits for nothing; a sequenced one never comes behind a later one of its topic. Over any
    /// other transport it goes as [`try_publish`](Self::try_publish) does.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn publish_datagram(&self, publish: Publish<'_>, mode: DatagramMode) -> Result<(), ClientError> {
        self.0.shared.call(|core| core.machine.publish_datagram(clock::now(), publish, mode))
    }

    /// Publishes without waiting: it is queued, or refused. What comes of it is not told.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn try_publish(&self, publish: Publish<'_>) -> Result<(), ClientError> {
        self.0.shared.call(|core| core.machine.publish(clock::now(), publish)).map(drop)
    }

    /// Asks for the messages that match `filter`, over all connections to come. Ready when the
    /// server has agreed.
    ///
    /// Each subscription has a window of its own (the options' credit; by default
    /// [`subscription::WINDOW`](Subscription::WINDOW)): one that is not read holds up itself alone.
    /// Taking a message gives its octets back, whatever `auto_grant` says. Messages at least once
    /// are acknowledged when they have arrived here.
    ///
    /// Cancel safety: dropped before it is ready, the subscription ends.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] where the server says no; [`Error::Refused`], [`Error::Closed`].
    pub async fn subscribe(&self, filter: &str, options: SubscribeOptions) -> Result<Subscription<R>, Error> {
        let mut subscription = subscription::open(self, filter, options, false).await?;
        subscription.agreed().await?;
        Ok(subscription)
    }

    /// Enters the room `name`, and stays in it over all connections to come. Ready when the server
    /// has agreed.
    ///
    /// As a subscription, each room has a window of its own (the options' credit; by default
    /// [`Room::WINDOW`]).
    ///
    /// Cancel safety: dropped before it is ready, the room is left.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] where the server says no; [`Error::Refused`], [`Error::Closed`].
    pub async fn join(&self, name: &str, options: JoinOptions<'_>) -> Result<Room<R>, Error> {
        room::join(self, name, options).await
    }

    /// Connects to `target` through the server, which has to relay and to allow it: `host:port`,
    /// `address:port` or `unix:/path`, as the server sees it; or with what the server is to speak there, so that
    /// the tunnel carries what is within: `tls://`, `wss://`, `bowline+udp://`
    /// ([`Target`](bowline_core::relay::Target)). Ready when the target was reached.
    ///
    /// Without a connection it waits for one, for as long as the client tries. A tunnel ends with its
    /// connection: reading and writing fail then, and a new one is to be asked for.
    ///
    /// Cancel safety: dropped before it is ready, the tunnel is taken back.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] where the server says no: `NotAuthorized` for a target that is not allowed,
    /// `NoResponder` where nobody listens there, `NotFound`, `Unreachable`, `Timeout`, `Quota`,
    /// `Unsupported` from a server that relays nothing; [`Error::Disconnected`], [`Error::Refused`],
    /// [`Error::Closed`].
    pub async fn tunnel(&self, target: &str) -> Result<Tunnel<R>, Error> {
        tunnel::open(self, target).await
    }

    /// Asks one of those who serve the topic, and waits for the answer; an answer with a status
    /// other than OK is an error.
    ///
    /// Cancel safety: dropped before it is ready, the request is taken back.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::NoAnswer`], [`Error::Refused`], [`Error::Closed`].
    pub async fn request(&self, request: Request<'_>) -> Result<bytes::Bytes, Error> {
        let request = Request { many: false, ..request };
        let answer = self.ask(request).await?.next().await;
        let answer = answer.unwrap_or_else(|| Err(self.0.closed()))?;
        if answer.status.is_ok() {
            return Ok(answer.payload);
        }
        let reason = String::from_utf8_lossy(&answer.payload).into_owned();
        Err(Error::Status { status: answer.status, reason })
    }

    /// Asks all who serve the topic. Ready when the question is queued.
    ///
    /// Cancel safety: dropped before it is ready, nothing was asked.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn request_many(&self, request: Request<'_>) -> Result<Responses<R>, Error> {
        self.ask(Request { many: true, ..request }).await
    }

    async fn ask(&self, request: Request<'_>) -> Result<Responses<R>, Error> {
        let id = self.0.room(|core, now| {
            let id = core.machine.request(now, request.clone())?;
            core.requests.insert(id, Slot::default());
            Ok(id)
        });
        Ok(Responses { client: self.clone(), id: id.await? })
    }

    /// Answers the requests whose topic matches `pattern` with what `handler` returns, until the
    /// client is closed; see [`server::Builder::serve`](crate::server::Builder::serve). At most
    /// [`CONCURRENCY`] at once. Ready when the server has agreed.
    ///
    /// Cancel safety: dropped before it is ready, nothing is served.
    ///
    /// # Errors
    ///
    /// [`Error::Pattern`]; [`Error::Status`] where the server says no; [`Error::Refused`],
    /// [`Error::Closed`].
    pub async fn serve<A>(&self, pattern: &str, handler: impl Handler<A, ()>) -> Result<(), Error> {
        self.routes(Router::new().serve(pattern, handler)).await
    }

    /// Serves the requests, and listens to the messages, that the handlers of `router` are for, until the
    /// client is closed; see [`serve`](Self::serve) and [`Router::on`]. Messages come at least once. Ready
    /// when the server has agreed to all.
    ///
    /// Cancel safety: dropped before it is ready, some may be served already, and go on to be.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve); those before the one that failed are served.
    pub async fn routes(&self, router: Router) -> Result<(), Error> {
        let mut routes = Vec::new();
        for route in router.finish() {
            routes.push((Arc::new(Pattern::new(&route.pattern)?), route.serves, route.handler));
        }
        let (runtime, tally) = (&self.0.runtime, Arc::new(Tally::default()));
        for (pattern, serves, handler) in routes {
            let options = SubscribeOptions { reliable: !serves, ..SubscribeOptions::default() };
            let mut calls = subscription::open(self, pattern.filter(), options, serves).await?;
            calls.agreed().await?;
            let source = Arc::new(serve::Calls::new(self, calls, pattern));
            let limit = if serves { CONCURRENCY } else { 1 };
            runtime.spawn(handler::serve(runtime.clone(), source, handler, limit, Arc::clone(&tally)));
        }
        Ok(())
    }

    /// What happens to the connection, from now on: connected, disconnected, lost, draining,
    /// closed. The oldest are dropped where more than 256 wait.
    #[must_use]
    pub fn events(&self) -> Events<R> {
        let id = self.0.shared.call(|core| {
            core.next_listener += 1;
            let slot = Slot { over: core.closed.is_some(), ..Slot::default() };
            core.listeners.insert(core.next_listener, slot);
            core.next_listener
        });
        Events { client: self.clone(), id }
    }

    /// The next message that the server sends to this client itself, not because of a
    /// subscription; nothing once the client is closed. The oldest are dropped where more than
    /// 1,024 wait. One task at a time may wait here.
    ///
    /// Cancel safety: dropped before it is ready, no message is lost.
    pub async fn next_direct(&self) -> Option<Message> {
        let take = |cx: &mut Context<'_>| self.0.shared.call(|core| core.direct.poll(cx.waker()));
        poll_fn(|cx| take(cx).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Measures the time to the server and back.
    ///
    /// Cancel safety: it only waits, so dropping it loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        let slot = Arc::new(Mutex::new(Slot::default()));
        self.0.shared.call(|core| {
            core.machine.ping(clock::now()).map_err(|_| Error::Disconnected)?;
            core.pings.push(Arc::clone(&slot));
            Ok::<(), Error>(())
        })?;
        let time = poll_fn(|cx| slot.lock().poll(cx.waker()).map_or(Poll::Pending, Poll::Ready)).await;
        time.ok_or(Error::Disconnected)
    }

    /// Finishes what waits and is in flight, then closes; after `deadline` in any case. New calls
    /// are refused at once. Ready when it is closed, with the reason.
    ///
    /// Cancel safety: it only waits; dropped, the drain goes on.
    pub async fn drain(&self, deadline: Duration) -> Reason {
        self.0.shared.call(|core| core.machine.drain(clock::now(), deadline));
        self.closed().await
    }

    /// Closes; what waits is given up. Ready when it is closed, with the reason.
    ///
    /// Cancel safety: it only waits; dropped, the client closes all the same.
    pub async fn close(&self) -> Reason {
        self.0.shared.call(|core| core.machine.close(clock::now()));
        self.closed().await
    }

    /// Waits until the client is closed for good, and says why.
    ///
    /// Cancel safety: it only waits, so dropping it loses nothing.
    pub async fn closed(&self) -> Reason {
        poll_fn(|cx| {
            self.0.shared.call(|core| match &core.closed {
                Some(reason) => Poll::Ready(reason.clone()),
                None => {
                    core.crowd.push(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Whether the session is open.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.shared.call(|core| core.machine.is_connected())
    }
}

/// Runs when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The answers to one request. Dropping it takes the request back.
#[derive(Debug)]
pub struct Responses<R: Runtime> {
    client: Client<R>,
    id: RequestId,
}

impl<R: Runtime> Responses<R> {
    /// The next answer; nothing after the last.
    ///
    /// Cancel safety: dropped before it is ready, no answer is lost.
    pub async fn next(&mut self) -> Option<Result<Response, Error>> {
        poll_fn(|cx| self.poll_take(cx)).await
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Result<Response, Error>>> {
        let shared = &self.client.0.shared;
        let taken = shared.call(|core| core.requests.get_mut(&self.id)?.poll(cx.waker()));
        taken.map_or(Poll::Pending, |next| {
            Poll::Ready(next.map(|answer| match answer {
                Ok((response, _)) => Ok(response),
                Err(NoAnswer::Failed(why)) => Err(Error::NoAnswer(why)),
                Err(NoAnswer::Overrun) => Err(Error::Overrun),
                Err(NoAnswer::Closed) => Err(self.client.0.closed()),
            }))
        })
    }
}

impl<R: Runtime> Stream for Responses<R> {
    type Item = Result<Response, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_take(cx)
    }
}

impl<R: Runtime> Drop for Responses<R> {
    fn drop(&mut self) {
        self.client.0.shared.call(|core| {
            core.machine.cancel(clock::now(), self.id);
            core.requests.remove(&self.id);
        });
    }
}

/// What happens to the connection; see [`Client::events`].
#[derive(Debug)]
pub struct Events<R: Runtime> {
    client: Client<R>,
    id: u64,
}

impl<R: Runtime> Events<R> {
    /// The next event; nothing after [`ClientEvent::Closed`].
    ///
    /// Cancel safety: dropped before it is ready, no event is lost.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        poll_fn(|cx| self.poll_take(cx)).await
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<ClientEvent>> {
        let shared = &self.client.0.shared;
        let taken = shared.call(|core| core.listeners.get_mut(&self.id)?.poll(cx.waker()));
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R: Runtime> Stream for Events<R> {
    type Item = ClientEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.poll_take(cx)
    }
}

impl<R: Runtime> Drop for Events<R> {
    fn drop(&mut self) {
        self.client.0.shared.call(|core| core.listeners.remove(&self.id));
    }
}
