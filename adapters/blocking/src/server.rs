//! A server whose calls block.

use std::time::Duration;

use bowline_driver::handler::{Call, IntoReply};
use bowline_driver::server::{self, Access, ServerConfig, ServerEvent, StartError};
use bowline_driver::{Acceptor, Address};

use crate::runtime::Threads;
use crate::thread::block_on;

/// What a server is to be; see [`bowline_driver::server::Builder`].
#[derive(Debug)]
pub struct Builder<S = ()>(server::Builder<Threads, S>);

impl Builder {
    /// With a state that handlers find in their [`Call`]. Call it before handlers are added.
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(self, state: S) -> Builder<S> {
        Builder(self.0.state(state))
    }
}

impl<S: Clone + Send + Sync + 'static> Builder<S> {
    /// Listens there as well. Port 0: the system chooses.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        Self(self.0.listen(address))
    }

    /// With these settings instead of the defaults.
    #[must_use]
    pub fn config(self, config: ServerConfig) -> Self {
        Self(self.0.config(config))
    }

    /// Offers the secure mode of our own protocol, with these keys.
    #[cfg(feature = "noise")]
    #[must_use]
    pub fn noise(self, noise: bowline_driver::server::NoiseConfig) -> Self {
        Self(self.0.noise(noise))
    }

    /// With these rules of who may do what.
    #[must_use]
    pub fn access(self, access: impl Access + Send + 'static) -> Self {
        Self(self.0.access(access))
    }

    /// Takes TLS on every port; see [`bowline_driver::server::Builder::tls`].
    #[must_use]
    pub fn tls(self, tls: impl Acceptor) -> Self {
        Self(self.0.tls(tls))
    }

    /// Calls `tell` with what is worth a line in a log.
    #[must_use]
    pub fn on_event(self, tell: impl Fn(&ServerEvent) + Send + Sync + 'static) -> Self {
        Self(self.0.on_event(tell))
    }

    /// Calls `handler` for each message whose topic matches `pattern`, one at a time.
    #[must_use]
    pub fn on(self, pattern: &str, handler: impl Fn(Call<S>) + Send + Sync + 'static) -> Self {
        Self(self.0.on(pattern, move |call: Call<S>| {
            handler(call);
            std::future::ready(())
        }))
    }

    /// Answers the requests whose topic matches `pattern` with what `handler` returns, each in a
    /// thread of its own.
    #[must_use]
    pub fn serve<T: IntoReply>(
        self,
        pattern: &str,
        handler: impl Fn(Call<S>) -> T + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.serve(pattern, move |call: Call<S>| std::future::ready(handler(call).into_reply())))
    }

    /// How many calls of one [`serve`](Self::serve) run at once, and so how many threads.
    #[must_use]
    pub fn concurrency(self, limit: usize) -> Self {
        Self(self.0.concurrency(limit))
    }

    /// Listens and serves, in threads of its own.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start(self) -> Result<Server, StartError> {
        block_on(self.0.start()).map(Server)
    }
}

/// A running server; see [`bowline_driver::server::Server`].
#[derive(Clone, Debug)]
pub struct Server(server::Server<Threads>);

impl Server {
    /// A server to be, that listens nowhere yet.
    #[must_use]
    pub fn builder() -> Builder {
        Builder(server::Server::builder())
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        self.0.addresses()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// Lets nobody in any more, and waits until all are gone, for little more than `deadline`.
    pub fn drain(&self, deadline: Duration) {
        block_on(self.0.drain(deadline));
    }

    /// Stops at once.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Waits until the server was stopped.
    pub fn wait(&self) {
        block_on(self.0.stopped());
    }

    /// The same server, for async methods under [`block_on`].
    #[must_use]
    pub const fn inner(&self) -> &server::Server<Threads> {
        &self.0
    }
}
