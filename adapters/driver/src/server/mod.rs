//! A server: listeners, a hub for all who connect, and handlers inside the program.

mod answer;
mod connection;
mod deadlines;
mod listen;
mod local;
mod plugins;
mod proxied;
mod shared;
mod storing;
mod tasks;
mod tunnels;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub use answer::HttpAnswer;
pub use bowline_core::access::{Access, Action, Decision, Who};
pub use bowline_core::compression::Codec;
#[cfg(feature = "noise")]
pub use bowline_core::endpoint::server::NoiseConfig;
use bowline_core::endpoint::server::Server as Machine;
pub use bowline_core::endpoint::server::{
    Anonymous, Certificate, Dialect, Identity, NameKind, PasswordCheck, Peer, QueueLimits, Refused, Secured,
    Security, ServerConfig, ServerEvent, SessionName, Users,
};
pub use bowline_core::endpoint::server::{
    CompressionCounters, DialectCounters, HttpConfig, HttpRequest, HttpResponse, ListenerError, Origins,
    Pinger, RelayConfig, ServerCounters, Speaks, TunnelCounters, TunnelKey, TunnelRefusal,
};
pub use bowline_core::http::StatusCode;
pub use bowline_core::hub::{Policy, Refusal};
use bowline_core::plugin::{BadPlugin, Placement, Plugin};
pub use bowline_core::relay::{Allowed, TargetPattern};
use bowline_core::session::CLOSE_WAIT;
pub use listen::Listen;
use listen::Secures;
pub use plugins::Plugins;
pub use shared::{Handle, Overview};
pub use tunnels::Egress;

use crate::handler::{
    self, Failed, Handler, HandlerCounters, Hub, Layer, OnFailed, Pattern, PatternError, Router, Tally,
};
use crate::layer::Acceptor;
use crate::runtime::{Runtime, Timer, Transport};
use crate::store::{Storage, StorageError, StoreEvent};
use crate::{Address, AddressError, Engine, OsEntropy, clock, datagram};
use connection::Connection;
use deadlines::ConnectionTimer;
use local::{Route, Speaker, Voice};
use shared::{OnEvent, OnRequest, Phase, Shared};

use storing::OnStoreEvent;

/// Plugins, those that are shipped, and what one of your own is made of.
pub mod plugin {
    pub use bowline_core::access::{Network, Who};
    pub use bowline_core::hub::{Counters, Message, SessionKey};
    pub use bowline_core::plugin::*;
    pub use bowline_core::status::Status;
    pub use bowline_core::time::Instant;
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address makes no sense.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It cannot listen there.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        error: io::Error,
    },
    /// A handler's pattern makes no sense.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The hub does not take the server's own sessions.
    #[error("the server's own sessions are refused: {0}")]
    Refused(#[from] Refusal),
    /// A plugin cannot be added.
    #[error("plugin {name:?}: {error}")]
    Plugin {
        /// Its name.
        name: String,
        /// Why.
        error: BadPlugin,
    },
    /// Only TLS is to be taken there, and [`Builder::tls`] was not called.
    #[error("{0} is for TLS, and there is no certificate; say which with Builder::tls")]
    NoTls(Address),
    /// The relay is to reach targets over TLS or UDP, and was not told how.
    #[error("{0} is to be relayed to, and nothing says whom to trust there; say it with Builder::egress")]
    NoEgress(TargetPattern),
    /// Sockets that were to be handed over, and were not.
    #[error("no socket was handed over to listen on")]
    NoSocket,
    /// Another listener has its name.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// What is stored cannot be taken up.
    #[error("{0}")]
    Store(StorageError),
}

/// Handlers of one pattern run so many at once, where the builder does not say.
pub const CONCURRENCY: usize = 256;

/// What a server is to be. See [`Server::builder`].
pub struct Builder<R, S = ()> {
    runtime: R,
    state: S,
    config: ServerConfig,
    listen: Vec<Listen>,
    access: Option<Box<dyn Access + Send>>,
    on_event: Option<OnEvent>,
    on_request: Option<OnRequest>,
    router: Router<S>,
    on_failed: Option<OnFailed>,
    concurrency: usize,
    storage: Option<Box<dyn Storage>>,
    on_store_event: Option<OnStoreEvent>,
    plugins: Vec<(String, Box<dyn Plugin>, Placement)>,
    tls: Option<Arc<dyn Acceptor>>,
    datagrams: Option<datagram::Config>,
    egress: Egress,
}

impl<R, S> fmt::Debug for Builder<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl<R: Runtime> Builder<R> {
    /// With a state that handlers can take ([`State`](crate::handler::State)): a clone for each
    /// call, so put an [`Arc`] around what is large. Call it before handlers are added.
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(self, state: S) -> Builder<R, S> {
        let Self { runtime, config, listen, access, on_event, concurrency, plugins, .. } = self;
        let (storage, on_store_event, on_request) = (self.storage, self.on_store_event, self.on_request);
        let (router, on_failed) = (self.router.with_state(()), self.on_failed);
        let (tls, datagrams, egress) = (self.tls, self.datagrams, self.egress);
        Builder {
            runtime,
            state,
            config,
            listen,
            access,
            on_event,
            on_request,
            router,
            on_failed,
            concurrency,
            storage,
            on_store_event,
            plugins,
            tls,
            datagrams,
            egress,
        }
    }
}

impl<R: Runtime, S: Clone + Send + Sync + 'static> Builder<R, S> {
    /// Listens there as well; see [`Address`]. Port 0: the system chooses.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        self.listen_on(Listen::on(address))
    }

    /// Listens there as well, with settings of its own.
    #[must_use]
    pub fn listen_on(mut self, listen: Listen) -> Self {
        self.listen.push(listen);
        self
    }

    /// With these settings instead of the defaults.
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Offers the secure mode of our own protocol, with these keys. Whose the keys of clients are is said by
    /// [`Users::add_noise_key`].
    #[cfg(feature = "noise")]
    #[must_use]
    pub fn noise(mut self, noise: NoiseConfig) -> Self {
        self.config.noise = noise;
        self
    }

    /// How sessions over UDP are secured, and their limits: needed to listen at `bowline+udp://`.
    #[must_use]
    pub fn datagrams(mut self, config: datagram::Config) -> Self {
        self.datagrams = Some(config);
        self
    }

    /// With these rules of who may do what. Default: who is let in may do everything.
    #[must_use]
    pub fn access(mut self, access: impl Access + Send + 'static) -> Self {
        self.access = Some(Box::new(access));
        self
    }

    /// Relays: clients get tunnels to the targets that `relay` allows, and that the
    /// [rules](Self::access) do not deny them. Default: nothing is relayed. Targets over TLS and UDP need
    /// [`egress`](Self::egress) as well.
    ///
    /// ```
    /// # use bowline_driver::{Runtime, server::{Allowed, Builder, RelayConfig}};
    /// # fn with<R: Runtime>(builder: Builder<R>) -> Result<Builder<R>, Box<dyn std::error::Error>> {
    /// let allowed = Allowed::new(["db.internal:5432".parse()?]).names_reach(["10.0.0.0/8".parse()?]);
    /// Ok(builder.relay(RelayConfig { allowed, ..RelayConfig::default() }))
    /// # }
    /// ```
    #[must_use]
    pub fn relay(mut self, relay: RelayConfig) -> Self {
        self.config.relay = relay;
        self
    }

    /// How the [relay](Self::relay) reaches targets over TLS, WebSockets in TLS and UDP. Default: not at all.
    #[must_use]
    pub fn egress(mut self, egress: Egress) -> Self {
        self.egress = egress;
        self
    }

    /// Takes TLS on every port: there too where something else is spoken, told apart by the first octets.
    /// On a port that is written `bowlines://` or `mqtts://`, nothing else. Unix sockets stay as they are.
    #[must_use]
    pub fn tls(mut self, tls: impl Acceptor) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// Calls `tell` with what is worth a line in a log. It should not take long.
    #[must_use]
    pub fn on_event(mut self, tell: impl Fn(&ServerEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Box::new(tell));
        self
    }

    /// Answers requests of HTTP with what `handler` returns, on the ports where all else is spoken.
    /// Default: they are answered with 404.
    ///
    /// It runs in the task of the connection, so it should not take long: what does, and what has no end,
    /// is answered [later or part by part](HttpAnswer). One that panics is answered with 500. Who asks is known ([`HttpRequest::identity`]); whether that one may have what it asks
    /// for is the handler's to decide.
    ///
    /// ```
    /// # use bowline_driver::{Runtime, server::{Builder, HttpResponse, StatusCode}};
    /// # fn with<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.http(|request, server| match &*request.path {
    ///     "/connections" => {
    ///         let count = server.counters().connections;
    ///         HttpResponse::new(StatusCode::OK, "text/plain", format!("{count}\n"))
    ///     }
    ///     _ => HttpResponse::text(StatusCode::NOT_FOUND, "there are only /connections"),
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn http<A: Into<HttpAnswer>>(
        mut self,
        handler: impl Fn(&HttpRequest, &Overview<'_>) -> A + Send + Sync + 'static,
    ) -> Self {
        self.on_request = Some(Box::new(move |request, server| handler(request, server).into()));
        self
    }

    /// Keeps in `storage` what is to outlive the server, and takes up what is in it at the start.
    /// Default: nothing is kept.
    #[must_use]
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Box::new(storage));
        self
    }

    /// Calls `tell` with what is worth a line in a log about the storage. The store waits meanwhile.
    #[must_use]
    pub fn on_store_event(mut self, tell: impl Fn(&StoreEvent) + Send + 'static) -> Self {
        self.on_store_event = Some(Box::new(tell));
        self
    }

    /// Adds a plugin behind those before, about everybody; see [`plugin`]. The name is what it is switched
    /// by ([`Server::plugins`]).
    #[must_use]
    pub fn plugin(self, name: &str, plugin: impl Plugin + 'static) -> Self {
        self.plugin_at(name, plugin, Placement::default())
    }

    /// The same, at its place and about some clients only. Listeners are called by
    /// their [names](Listen::named).
    #[must_use]
    pub fn plugin_at(mut self, name: &str, plugin: impl Plugin + 'static, placement: Placement) -> Self {
        self.plugins.push((name.into(), Box::new(plugin), placement));
        self
    }

    /// Calls `handler` for each message whose topic matches `pattern`; see [`Router::on`].
    #[must_use]
    pub fn on<A>(mut self, pattern: &str, handler: impl Handler<A, S>) -> Self {
        self.router = self.router.on(pattern, handler);
        self
    }

    /// Answers the requests whose topic matches `pattern` with what `handler` returns; see
    /// [`Router::serve`].
    #[must_use]
    pub fn serve<A>(mut self, pattern: &str, handler: impl Handler<A, S>) -> Self {
        self.router = self.router.serve(pattern, handler);
        self
    }

    /// With the handlers of a router.
    #[must_use]
    pub fn routes(mut self, router: Router<S>) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// With a layer around all handlers; see [`Layer`].
    #[must_use]
    pub fn layer(mut self, layer: impl Layer<S>) -> Self {
        self.router = self.router.layer(layer);
        self
    }

    /// Calls `tell` with each request and message that ended with another status than OK: of a type that is
    /// not known, not as expected, refused by its handler. Of messages nobody hears otherwise. It should not
    /// take long.
    #[must_use]
    pub fn on_failed(mut self, tell: impl Fn(&Failed<'_>) + Send + Sync + 'static) -> Self {
        self.on_failed = Some(Box::new(tell));
        self
    }

    /// How many calls of one [`serve`](Self::serve) run at once; at least 1. Default:
    /// [`CONCURRENCY`].
    #[must_use]
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.concurrency = limit.max(1);
        self
    }

    /// Listens and serves, in tasks of its own, until [`Server::drain`] or [`Server::stop`].
    ///
    /// Cancel safety: dropped before it is ready, nothing was started.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(mut self) -> Result<Server<R>, StartError> {
        if let Some(target) = self.egress.lacks(&self.config.relay.allowed) {
            return Err(StartError::NoEgress(target));
        }
        let secures = Secures { tls: self.tls, datagrams: self.datagrams };
        let opened = listen::open_all(&self.runtime, self.listen, &secures)?;
        let max_frame = self.config.session.limits.max_frame;
        self.config.hub.durable |= self.storage.is_some();
        self.config.http.handled = self.on_request.is_some();
        let mut machine = Machine::new(self.config, Box::new(OsEntropy));
        if let Some(access) = self.access {
            machine.set_access(access);
        }
        for (name, plugin, placement) in self.plugins {
            let added = machine.add_plugin(clock::now(), &name, plugin, placement);
            added.map_err(|error| StartError::Plugin { name, error })?;
        }
        let mut store = None;
        if let Some(storage) = self.storage {
            let held = storing::Store::new(storage, self.on_store_event);
            let (restored, held) = storing::load(&self.runtime, held, machine).await?;
            (machine, store) = (restored, Some(held));
        }
        let runtime = self.runtime;
        let offload_to = runtime.clone();
        let offload = Box::new(move |work: Box<dyn FnOnce() + Send>| offload_to.spawn_blocking(work));
        let shared = Arc::new(Shared::new(machine, offload, self.on_event, self.on_request));
        shared.with(|core, _| core.egress = self.egress);
        let voice = Voice::open(&shared)?;
        let hub = Hub::new(Speaker(runtime.clone(), Arc::clone(&voice)));
        let tally = Arc::new(Tally::new(self.on_failed));
        let mut routes = Vec::new();
        for handler::Route { pattern, serves, handler } in self.router.finish() {
            let pattern = Arc::new(Pattern::new(&pattern)?);
            let route = Route::open(&shared, pattern, serves, self.state.clone(), hub.clone())?;
            routes.push((route, handler, if serves { self.concurrency } else { 1 }));
        }
        if let Some(store) = store {
            store.start(&shared)?;
        }
        // From here on nothing fails but a listener that has another's name.
        for (route, handler, limit) in routes {
            let (route, tally) = (Arc::new(route), Arc::clone(&tally));
            runtime.spawn(handler::serve(runtime.clone(), route, handler, limit, tally));
        }
        runtime.spawn(Voice::listen(Arc::downgrade(&voice)));
        let addresses = opened.iter().map(|opened| opened.address.clone()).collect();
        let server = Server { runtime, shared, hub, tally, addresses, secures, max_frame };
        for opened in opened {
            server.enter(opened)?;
        }
        server.runtime.spawn(tunnels::relay(server.runtime.clone(), Arc::clone(&server.shared)));
        server.runtime.spawn(tasks::timer(Arc::clone(&server.shared), server.runtime.timer()));
        Ok(server)
    }
}

/// A running server; a handle that can be cloned. Dropping handles does not stop it.
pub struct Server<R> {
    runtime: R,
    shared: Arc<Shared>,
    hub: Hub,
    tally: Arc<Tally>,
    addresses: Arc<[Address]>,
    secures: Secures,
    max_frame: u32,
}

impl<R: Clone> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            shared: Arc::clone(&self.shared),
            hub: self.hub.clone(),
            tally: Arc::clone(&self.tally),
            addresses: Arc::clone(&self.addresses),
            secures: self.secures.clone(),
            max_frame: self.max_frame,
        }
    }
}

impl<R> fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl<R: Runtime + Default> Server<R> {
    /// A server to be, that listens nowhere yet.
    #[must_use]
    pub fn builder() -> Builder<R> {
        Self::builder_on(R::default())
    }
}

impl<R: Runtime> Server<R> {
    /// The same on a runtime that has to be given.
    #[must_use]
    pub fn builder_on(runtime: R) -> Builder<R> {
        Builder {
            runtime,
            state: (),
            config: ServerConfig::default(),
            listen: Vec::new(),
            access: None,
            on_event: None,
            on_request: None,
            router: Router::default(),
            on_failed: None,
            concurrency: CONCURRENCY,
            storage: None,
            on_store_event: None,
            plugins: Vec::new(),
            tls: None,
            datagrams: None,
            egress: Egress::default(),
        }
    }

    /// Where it listened when it started, in the order of the builder's calls.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What its sockets for datagrams have counted, those that are closed included, in the order in which it
    /// listened there.
    #[must_use]
    pub fn datagrams(&self) -> Vec<datagram::Gauge> {
        self.shared.gauges.lock().clone()
    }

    /// To publish and request with, from within the program.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What its handlers have done.
    #[must_use]
    pub fn handler_counters(&self) -> HandlerCounters {
        self.tally.counters()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.with(|core, _| core.machine.connections())
    }

    /// Sets who may do what from now on, all at once and for those who are connected too. What they
    /// have subscribed to stays.
    pub fn set_access(&self, access: impl Access + Send + 'static) {
        let access: Box<dyn Access + Send> = Box::new(access);
        let old = self.shared.with(|core, _| core.machine.set_access(access));
        drop(old); // Without the lock: there may be much of it.
    }

    /// Sets who may connect from now on. Who is connected stays.
    pub fn set_users(&self, users: Users) {
        let old = self.shared.with(|core, _| core.machine.set_users(users));
        drop(old);
    }

    /// Sets the keys of the secure mode, and who has to speak in it, from now on. Connections that are open
    /// stay.
    #[cfg(feature = "noise")]
    pub fn set_noise(&self, noise: NoiseConfig) {
        let old = self.shared.with(|core, _| core.machine.set_noise(noise));
        drop(old);
    }

    /// The plugins: to list, switch, add and remove while the server runs.
    #[must_use]
    pub fn plugins(&self) -> Plugins<'_> {
        Plugins(&self.shared)
    }

    /// Sets what is relayed from now on. Tunnels that are there stay.
    pub fn set_relay(&self, relay: RelayConfig) {
        let old = self.shared.with(|core, _| core.machine.set_relay(relay));
        drop(old);
    }

    /// How targets are reached from now on. Tunnels that are there stay. A target over TLS or UDP for which this
    /// says nothing is refused, and its client told.
    pub fn set_egress(&self, egress: Egress) {
        let old = self.shared.with(|core, _| std::mem::replace(&mut core.egress, egress));
        drop(old);
    }

    /// Serves a connection that came another way: over TLS, over a line in memory. In a task of its
    /// own.
    ///
    /// # Errors
    ///
    /// There are too many connections, or the server drains; `transport` was dropped.
    pub fn attach<T: Transport + 'static>(&self, transport: T, peer: Peer) -> Result<(), Refused> {
        self.attach_with(peer, || transport)
    }

    /// The same; the transport is made where there is room for it.
    fn attach_with<T: Transport + 'static>(
        &self,
        peer: Peer,
        transport: impl FnOnce() -> T,
    ) -> Result<(), Refused> {
        let (key, woken) = self.shared.accept(peer)?;
        let connection = Connection::new(Arc::clone(&self.shared), key, woken);
        let timer = ConnectionTimer::new(Arc::clone(&self.shared), key);
        self.runtime.spawn(Engine::new(transport(), connection, timer, self.max_frame));
        Ok(())
    }

    /// Lets nobody in any more, tells every client to finish, waits until all are gone, and until
    /// handlers have handled what they were given. What is not done within `deadline` and two
    /// seconds is cut off. Then the server is stopped.
    ///
    /// Cancel safety: dropped before it is ready, the drain goes on; only the cutting off and the
    /// stop do not happen then. Call it again to wait again.
    pub fn drain(&self, deadline: Duration) -> impl Future<Output = ()> + Send + use<R> {
        self.drain_to(deadline, Duration::ZERO, "")
    }

    /// Like [`drain`](Self::drain); clients are told to wait `retry_after` before they connect
    /// again, and where: the address of another server, or nothing for this one.
    ///
    /// Cancel safety: that of `drain`.
    pub fn drain_to(
        &self,
        deadline: Duration,
        retry_after: Duration,
        endpoint: &str,
    ) -> impl Future<Output = ()> + Send + use<R> {
        self.shared.with(|core, wake| {
            core.machine.drain(clock::now(), deadline, retry_after, endpoint);
            core.set_phase(Phase::Draining, wake);
        });
        let until = clock::now() + (deadline + CLOSE_WAIT);
        let (shared, mut timer) = (Arc::clone(&self.shared), self.runtime.timer());
        timer.reset(until);
        let mut late = false;
        poll_fn(move |cx| {
            late = late || timer.poll(cx).is_ready();
            let done = shared.with(|core, wake| {
                if core.phase != Phase::Stopped && (core.machine.connections() == 0 || late) {
                    core.set_phase(Phase::Stopped, wake);
                }
                core.watch(cx.waker());
                core.has_ended(late)
            });
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// Stops at once: drops all connections and ends all tasks. What waits to be stored is stored
    /// before it is [`stopped`](Self::stopped).
    pub fn stop(&self) {
        self.shared.with(|core, wake| core.set_phase(Phase::Stopped, wake));
    }

    /// Waits until the server was stopped, by [`stop`](Self::stop) or at the end of a
    /// [`drain`](Self::drain).
    ///
    /// Cancel safety: it only waits, so dropping it loses nothing.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<R> {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |cx| {
            shared.with(|core, _| {
                core.watch(cx.waker());
                if core.has_ended(true) { Poll::Ready(()) } else { Poll::Pending }
            })
        })
    }
}
