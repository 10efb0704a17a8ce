//! Handlers: async functions of typed arguments, for requests and messages.
//!
//! An argument is anything that implements [`FromMessage`]; what a handler returns is anything that
//! implements [`IntoReply`]. The same function serves in a server
//! ([`server::Builder::serve`](crate::server::Builder::serve)) and in a client
//! ([`Client::serve`](crate::client::Client::serve)).
//!
//! ```
//! use bowline_driver::handler::{Failure, State, Text};
//! use bowline_driver::core::status::Status;
//!
//! async fn add(State(limit): State<u64>, Text(numbers): Text) -> Result<String, Failure> {
//!     let numbers = numbers.split('+').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
//!     let sum = numbers.map_err(|e| Failure::new(Status::Invalid, e))?.iter().sum::<u64>();
//!     if sum > limit { Err(Failure::from("too much")) } else { Ok(sum.to_string()) }
//! }
//! ```

mod extract;
mod pattern;
mod reply;
mod work;

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bowline_core::endpoint::client;
use bowline_core::hub;
use bowline_core::time::Instant;
use bytes::Bytes;

#[cfg(feature = "json")]
pub use extract::Json;
pub use extract::{Deadline, FromMessage, Params, Payload, State, Text, Topic};
pub use pattern::PatternError;
pub use reply::{Failure, IntoReply, Response};

pub(crate) use pattern::Pattern;
pub(crate) use work::{Source, serve};

/// A boxed future.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler is called with: its arguments are taken out of this.
#[derive(Clone, Debug)]
pub struct Call<S> {
    content: Content,
    pattern: Arc<Pattern>,
    state: S,
    hub: Hub,
    deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Hub(hub::Message),
    Client(client::Message),
}

impl<S> Call<S> {
    pub(crate) fn new(
        content: Content,
        pattern: Arc<Pattern>,
        state: S,
        hub: Hub,
        deadline: Option<Instant>,
    ) -> Self {
        Self { content, pattern, state, hub, deadline }
    }

    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.content {
            Content::Hub(m) => m.topic(),
            Content::Client(m) => m.topic(),
        }
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.content {
            Content::Hub(m) => m.payload(),
            Content::Client(m) => m.payload(),
        }
    }

    /// What it says, shared and not copied.
    #[must_use]
    pub fn shared_payload(&self) -> Bytes {
        match &self.content {
            Content::Hub(m) => m.body().slice(m.body().len() - m.payload().len()..),
            Content::Client(m) => m.clone().into_payload(),
        }
    }

    /// The level of the topic that stands where the pattern has `{name}`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.topic().split('/').nth(self.pattern.level(name)?)
    }

    /// The application's state.
    #[must_use]
    pub const fn state(&self) -> &S {
        &self.state
    }

    /// To publish and request with.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Until when an answer is of use; nothing for a message, which needs none.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn with_state<T>(self, state: T) -> Call<T> {
        let Self { content, pattern, hub, deadline, .. } = self;
        Call { content, pattern, state, hub, deadline }
    }
}

/// An async function of up to eight arguments that are [`FromMessage`], and whose output is
/// [`IntoReply`]. `A` is the tuple of the arguments.
pub trait Handler<A, S>: Send + Sync + 'static {
    /// Takes the arguments out of `call`, and runs. Where an argument is not there, that is the
    /// answer.
    fn call(&self, call: Call<S>) -> Pin<Box<dyn Future<Output = Response> + Send>>;
}

macro_rules! handlers {
    ($(($($arg:ident),*))*) => {$(
        impl<F, Fut, S, $($arg,)*> Handler<($($arg,)*), S> for F
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoReply> + Send + 'static,
            $($arg: FromMessage<S>,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "a type's name serves as its value's; none may be there")]
            fn call(&self, call: Call<S>) -> BoxFuture<Response> {
                $(let $arg = match $arg::from_message(&call) {
                    Ok(arg) => arg,
                    Err(failure) => return Box::pin(ready(failure.into_reply())),
                };)*
                let running = self($($arg),*);
                Box::pin(async move { running.await.into_reply() })
            }
        }
    )*};
}

handlers! {
    ()
    (A1)
    (A1, A2)
    (A1, A2, A3)
    (A1, A2, A3, A4)
    (A1, A2, A3, A4, A5)
    (A1, A2, A3, A4, A5, A6)
    (A1, A2, A3, A4, A5, A6, A7)
    (A1, A2, A3, A4, A5, A6, A7, A8)
}

/// A handler whose arguments' types are forgotten.
pub(crate) type Erased<S> = Arc<dyn Fn(Call<S>) -> BoxFuture<Response> + Send + Sync>;

pub(crate) fn erase<A, S>(handler: impl Handler<A, S>) -> Erased<S> {
    Arc::new(move |call| handler.call(call))
}

/// What a [`Hub`] is made of.
pub(crate) trait Speak: Send + Sync {
    fn publish(&self, topic: &str, payload: Bytes, reliable: bool) -> Result<(), Failure>;
    fn request(
        &self,
        topic: &str,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Response, Failure>>;
}

/// A way to publish and to request, for handlers: of the server they run in, or over the client
/// they are attached to. Clones are cheap.
#[derive(Clone)]
pub struct Hub(Arc<dyn Speak>);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub(..)")
    }
}

impl Hub {
    pub(crate) fn new(speak: impl Speak + 'static) -> Self {
        Self(Arc::new(speak))
    }

    /// Publishes at most once.
    ///
    /// # Errors
    ///
    /// The topic is not one, or a limit is reached.
    pub fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Failure> {
        self.0.publish(topic, payload.into(), false)
    }

    /// Publishes at least once.
    ///
    /// # Errors
    ///
    /// The topic is not one, or a limit is reached.
    pub fn publish_reliable(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Failure> {
        self.0.publish(topic, payload.into(), true)
    }

    /// Asks one of those who serve `topic`; an answer with a status other than OK is a failure with
    /// that status. `timeout`: nothing for the default of 30 s.
    ///
    /// Cancel safety: dropped before it is ready, the answer is not waited for any more.
    ///
    /// # Errors
    ///
    /// Nobody serves it, the answer is no, or none came.
    pub async fn request(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<Bytes, Failure> {
        let response = self.0.request(topic, payload.into(), timeout).await?;
        if response.status.is_ok() {
            return Ok(response.payload);
        }
        Err(Failure::new(response.status, String::from_utf8_lossy(&response.payload)))
    }
}
