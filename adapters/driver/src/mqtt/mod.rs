//! An MQTT client, 3.1.1 or 5.0, of any broker: a handle that can be cloned, over a task that connects
//! and connects again.
//!
//! It is [`client`](crate::client) for another protocol. All methods queue what they are to do at once,
//! under a lock that is never held for long, and the async ones then wait for what comes of it. So each
//! is cancel-safe in the way it says: the state is in the client, none in the future.
//!
//! MQTT has no window for each subscription: where more than [`WAITING`] octets of messages wait here
//! untaken, nothing more is read of the connection, answers to other calls included. Take messages
//! while you wait for something else.

mod shared;
mod subscription;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_core::endpoint::mqtt_client::Client as Machine;
pub use bowline_core::endpoint::mqtt_client::{
    AckHandle, AuthMethod, ClientConfig, ClientError, ClientEvent, DropReason, FieldError, Message, Publish,
    QueueLimits, Reason, RequestFields, Subscribe, WebSocketError, WhenFull, Will,
};
pub use bowline_core::mqtt::{
    Property, PropertyBlock, Qos, ReasonCode, RetainHandling, Subscription as Filter, SubscriptionOptions,
    Version,
};
use bowline_core::session::MAX_FRAME_CEILING;
use bowline_core::stack::Alpn;
use bowline_core::time::Instant;
use futures_core::Stream;

pub use shared::WAITING;
pub use subscription::Subscription;

use crate::client::{CONNECT_TIMEOUT, LINGER};
use crate::layer::Connector;
use crate::link::{self, Endpoints, How, Slot};
use crate::runtime::Runtime;
use crate::{Address, AddressError, MQTT_PORT, OsEntropy, clock};
use shared::{Core, Shared, Subscriber};

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address makes no sense; all that do not are told.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Address(Vec<AddressError>),
    /// The call was refused here.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// The message was given up.
    #[error("not published: {0}")]
    Dropped(DropReason),
    /// The server's answer is no.
    #[error("{}{}", .code.name(), if .text.is_empty() { String::new() } else { format!(": {}", .text) })]
    Reason {
        /// Its reason code; of 3.1.1 "unspecified error".
        code: ReasonCode,
        /// Why, in the server's words.
        text: String,
    },
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

    /// Who this is: the name of its session.
    #[must_use]
    pub fn client_id(mut self, id: &str) -> Self {
        self.config.client_id = id.into();
        self
    }

    /// User and password, in clear: only over an encrypted transport or loopback.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: impl AsRef<[u8]>) -> Self {
        self.config.user = Some(user.into());
        self.config.password = Some(password.as_ref().to_vec().into());
        self
    }

    /// What the server publishes when this client is lost.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.config.will = Some(will);
        self
    }

    /// What requests for WebSockets have beside, where an address is one: `Authorization`, `Origin`, `Cookie`.
    #[must_use]
    pub fn request_fields(mut self, fields: RequestFields) -> Self {
        self.config.request_fields = fields;
        self
    }

    /// How long opening a transport may take. Default: [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether to go where a server says that another one is (5.0 §4.11), and not only to the addresses
    /// given here. Default: no.
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

    /// Begins to connect, and goes on for as long as the client lives. What is published until then
    /// waits, within limits.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn start(mut self) -> Result<Client<R>, Error> {
        let addresses = self.addresses.map_err(Error::Address)?;
        self.config.endpoints = addresses.len();
        // As much as an engine's buffer takes at once.
        self.config.max_packet = self.config.max_packet.min(MAX_FRAME_CEILING);
        let max_frame = self.config.max_packet;
        let machine = Machine::new(clock::now(), self.config, Box::new(OsEntropy));
        let shared = Arc::new(Shared::new(Core::new(machine)));
        let endpoints = Endpoints {
            addresses,
            connect_timeout: self.connect_timeout,
            follow: self.follow,
            port: MQTT_PORT,
            max_frame,
            alpn: Alpn::Mqtt,
            how: self.how,
        };
        self.runtime.spawn(link::run(self.runtime.clone(), Arc::clone(&shared), endpoints));
        Ok(Client(Arc::new(Handle { runtime: self.runtime, shared })))
    }

    /// Connects, and waits until the server has welcomed this client: for as long as the settings allow
    /// to try. Put a timeout of your own around it.
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

/// An MQTT client. Clones are handles of the same one; when the last is dropped, what waits is still
/// sent within [`LINGER`], and it disconnects.
pub struct Client<R: Runtime>(Arc<Handle<R>>);

#[derive(Debug)]
struct Handle<R: Runtime> {
    #[expect(dead_code, reason = "keeps a runtime alive that is owned")]
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
        f.debug_struct("mqtt::Client").finish_non_exhaustive()
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
                Err(ClientError::Full | ClientError::EventsWaiting) => {
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
    /// A client of the broker at one of `addresses`, a list with commas; see [`Address`]. The port of a
    /// host without one is 1883.
    #[must_use]
    pub fn builder(addresses: &str) -> Builder<R> {
        Self::builder_on(R::default(), addresses)
    }
}

impl<R: Runtime> Client<R> {
    /// The same on a runtime that has to be given.
    #[must_use]
    pub fn builder_on(runtime: R, addresses: &str) -> Builder<R> {
        let addresses = Address::list_with(addresses, MQTT_PORT);
        let (config, connect_timeout) = (ClientConfig::default(), CONNECT_TIMEOUT);
        Builder { runtime, addresses, config, connect_timeout, follow: false, how: How::default() }
    }

    /// Publishes. QoS 0: ready when it is queued. QoS 1 and 2: ready when the server has it (PUBACK,
    /// PUBCOMP), with its reason, for instance that nobody has subscribed. Where too much waits already,
    /// it first waits for room.
    ///
    /// Cancel safety: dropped while it waits for room, nothing was published; dropped afterwards, the
    /// message is sent all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Dropped`], [`Error::Closed`]; [`Error::Reason`] where the server does
    /// not take it.
    pub async fn publish(&self, publish: Publish<'_>) -> Result<ReasonCode, Error> {
        let qos = publish.qos;
        let id = self.0.room(|core, now| {
            let id = core.machine.publish(now, publish.clone())?;
            if qos > Qos::AtMostOnce {
                core.publishes.insert(id, Slot::default());
            }
            Ok(id)
        });
        let id = id.await?;
        if qos == Qos::AtMostOnce {
            return Ok(ReasonCode::Success);
        }
        let _forget = OnDrop(|| self.0.shared.call(|core| drop(core.publishes.remove(&id))));
        let done = poll_fn(|cx| {
            let done = self
                .0
                .shared
                .call(|core| core.publishes.get_mut(&id).map_or(Some(None), |slot| slot.poll(cx.waker())));
            done.map_or(Poll::Pending, Poll::Ready)
        });
        done.await.ok_or_else(|| self.0.closed())?
    }

    /// Publishes without waiting: it is queued, or refused. What comes of it is not told.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn try_publish(&self, publish: Publish<'_>) -> Result<(), ClientError> {
        self.0.shared.call(|core| core.machine.publish(clock::now(), publish)).map(drop)
    }

    /// Subscribes to one filter, over all connections to come. Ready when the server has agreed.
    ///
    /// Cancel safety: dropped before it is ready, the subscription ends.
    ///
    /// # Errors
    ///
    /// [`Error::Reason`] where the server says no; [`Error::Refused`], [`Error::Closed`].
    pub async fn subscribe(
        &self,
        filter: &str,
        options: SubscriptionOptions,
    ) -> Result<Subscription<R>, Error> {
        self.subscribe_all(Subscribe::new(&[Filter { filter, options }])).await
    }

    /// Subscribes to several filters at once: one stream of what comes for any of them. Ready when the
    /// server has agreed to one of them at least; see [`Subscription::reasons`].
    ///
    /// Cancel safety: dropped before it is ready, the subscription ends.
    ///
    /// # Errors
    ///
    /// [`Error::Reason`] where the server says no to all; [`Error::Refused`], [`Error::Closed`].
    pub async fn subscribe_all(&self, subscribe: Subscribe<'_>) -> Result<Subscription<R>, Error> {
        let id = self.0.room(|core, now| {
            let id = core.machine.subscribe(now, subscribe.clone())?;
            core.subscriptions.insert(id, Subscriber::default());
            Ok(id)
        });
        let mut subscription = Subscription::new(self.clone(), id.await?);
        subscription.agreed().await?;
        Ok(subscription)
    }

    /// Unsubscribes from filters that the session has from before this client. Ready when the server has
    /// answered, or the connection was lost.
    ///
    /// Cancel safety: it only waits; dropped, the server is asked all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn unsubscribe_filters(&self, filters: &[&str]) -> Result<(), Error> {
        let id = self.0.shared.call(|core| {
            let id = core.machine.unsubscribe_filters(clock::now(), filters)?;
            core.subscriptions.insert(id, Subscriber::default());
            Ok::<_, ClientError>(id)
        })?;
        let mut ending = Subscription::new(self.clone(), id);
        while ending.next().await.is_some() {}
        Ok(())
    }

    /// The next message because of a subscription that this client has not made itself: of a session
    /// that it goes on with. Nothing once the client is closed. The oldest are dropped where more than
    /// 1,024 wait. One task at a time may wait here.
    ///
    /// Cancel safety: dropped before it is ready, no message is lost.
    pub async fn next_unasked(&self) -> Option<Message> {
        let take = |cx: &mut Context<'_>| self.0.shared.call(|core| core.unasked.poll(cx.waker()));
        poll_fn(|cx| take(cx).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Acknowledges a message, where [`ClientConfig::manual_ack`] leaves that to the application.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn ack(&self, message: &Message) -> Result<(), ClientError> {
        let handle = message.handle();
        self.0.shared.call(|core| core.machine.ack(clock::now(), handle, ReasonCode::Success))
    }

    /// Goes on with an enhanced authentication after [`ClientEvent::Auth`] (see [`Client::events`]), or
    /// authenticates again.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn authenticate(&self, data: &[u8]) -> Result<(), ClientError> {
        self.0.shared.call(|core| core.machine.authenticate(clock::now(), data))
    }

    /// What happens to the connection, from now on: connected, disconnected, lost, a step of an
    /// authentication, closed. The oldest are dropped where more than 256 wait.
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

    /// Finishes what waits and is in flight, then disconnects; after `deadline` in any case. New calls
    /// are refused at once. Ready when it is closed, with the reason.
    ///
    /// Cancel safety: it only waits; dropped, the drain goes on.
    pub async fn drain(&self, deadline: Duration) -> Reason {
        self.0.shared.call(|core| core.machine.drain(clock::now(), deadline));
        self.closed().await
    }

    /// Disconnects; what waits is given up, and the will is not published. Ready when it is closed, with
    /// the reason.
    ///
    /// Cancel safety: it only waits; dropped, the client disconnects all the same.
    pub async fn disconnect(&self) -> Reason {
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

    /// Whether the server has welcomed this client, and the connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.shared.call(|core| core.machine.is_connected())
    }

    /// Who this is: as configured, or as the server has chosen.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.0.shared.call(|core| core.machine.client_id().to_owned())
    }
}

/// Runs when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
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
        let taken = self.client.0.shared.call(|core| core.listeners.get_mut(&self.id)?.poll(cx.waker()));
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
