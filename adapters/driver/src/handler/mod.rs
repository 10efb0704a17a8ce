//! Handlers: async functions of typed arguments, for requests and messages.
//!
//! The same function serves in a server ([`Builder::serve`](crate::server::Builder::serve)) and in a client
//! ([`Client::serve`](crate::client::Client::serve)), on every runtime.
//!
//! ```
//! use bowline_driver::handler::{Failure, State, Status, Text};
//!
//! async fn add(State(limit): State<u64>, Text(numbers): Text) -> Result<String, Failure> {
//!     let numbers = numbers.split('+').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
//!     let sum = numbers.map_err(|e| Failure::new(Status::Invalid, e))?.iter().sum::<u64>();
//!     if sum > limit { Err(Failure::from("too much")) } else { Ok(sum.to_string()) }
//! }
//! ```
//!
//! # What a handler takes and gives
//!
//! An argument is anything that implements [`FromMessage`]; one that is not there, or wrong, is answered, and
//! the handler is not called.
//!
//! | argument | is | where it is not there or wrong |
//! |---|---|---|
//! | [`Topic`], [`Params`] | the topic, and its levels where the pattern has `{name}` | |
//! | [`Payload`], [`Text`] | the octets; as UTF-8 | `Invalid` |
//! | `Json<T>`, `Cbor<T>`, `Body<T>` | the value; written as the content type says | `Invalid`, and where |
//! | `Typed<T>` | one of an enum of messages | `Unsupported`, and what is known |
//! | [`Session`] | who asks: user, client id, address, dialect | `NotAuthorized`; `Cancelled` |
//! | [`State<T>`] | the application's state, or a part of it | |
//! | [`Headers`], [`ContentType`] | user properties; what the payload is | `Invalid` |
//! | [`Deadline`] | until when an answer is of use | |
//! | [`Hub`] | to publish, request and wait with | |
//! | [`Call<S>`](Call) | all of it | |
//! | `Option<A>` | nothing where `A` is not there | as for `A` where it is wrong |
//! | `Result<A, Failure>` | `A`, or what would be answered | |
//!
//! What it returns is anything that implements [`IntoReply`]: bytes, text, JSON, CBOR, or a `Result`, whose
//! error makes a [`Failure`]: a status and a reason. A panic is answered with `Rejected`, and harms nobody
//! else.
//!
//! # By type of message
//!
//! With the feature `json`, one topic may carry many types of messages: a `Dispatcher` has a handler for
//! each, and `Typed<T>` makes an enum of them, derived with the feature `macros`. Which type a message is
//! says its user property `type`, or else the member `type` of its value. What is of no known type is
//! answered, and what nobody answers is counted
//! ([`Server::handler_counters`](crate::server::Server::handler_counters)).
//!
//! # Put together
//!
//! A [`Router`] has handlers by topic, nests others under a prefix, and has [`Layer`]s around all of them:
//! [`guard`], [`timeout`], [`observe`], or any async function of a [`Call`] and what is [`Next`].
//! [`Direct`] calls them in tests.
//!
//! # What does not compile
//!
//! A handler that takes what no message has, or returns what is no answer, is explained where it is given to a
//! router:
//!
//! ```compile_fail,E0277
//! use bowline_driver::handler::Router;
//! // A handler cannot take `u8` out of a message.
//! Router::<()>::new().serve("a", async |_: u8| {});
//! ```
//!
//! ```compile_fail,E0277
//! use bowline_driver::handler::Router;
//! // A handler cannot answer with `f32`.
//! Router::<()>::new().serve("a", async || 1.5_f32);
//! ```
//!
//! ```compile_fail,E0277
//! use bowline_driver::handler::{Router, State};
//! // The router's state is a number, and no text comes of that.
//! Router::<u32>::new().serve("a", async |State(text): State<String>| text);
//! ```

#[cfg(feature = "json")]
mod codec;
mod direct;
mod extract;
mod hub;
mod layer;
#[cfg(feature = "json")]
mod messages;
mod pattern;
mod reply;
mod router;
mod session;
mod tally;
#[cfg(all(test, feature = "json"))]
mod tests;
mod work;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use bowline_core::endpoint::client;
use bowline_core::hub::Message as HubMessage;
use bowline_core::session::{Properties, Property};
pub use bowline_core::status::Status;
use bowline_core::time::Instant;
#[cfg(feature = "macros")]
pub use bowline_macros::{MessageType, Messages};
use bytes::Bytes;

#[cfg(feature = "cbor")]
pub use codec::Cbor;
#[cfg(feature = "json")]
pub use codec::{Body, Codec, Json};
pub use direct::Direct;
pub use extract::{
    ContentType, Deadline, FromMessage, FromRef, Headers, Params, Payload, State, Text, Topic,
};
pub use hub::Hub;
pub use layer::{Handled, Layer, Next, guard, observe, timeout};
#[cfg(feature = "cbor")]
pub use messages::tagged_cbor;
#[cfg(feature = "json")]
pub use messages::{ByType, Dispatcher, Encoded, MessageType, Messages, TYPE, Typed, tagged_json};
pub use pattern::PatternError;
pub use reply::{Failure, IntoReply, Response};
pub use router::Router;
pub use session::Session;
pub use tally::{Failed, HandlerCounters};

pub(crate) use hub::{Speak, sleep};
pub(crate) use pattern::Pattern;
pub(crate) use router::Route;
pub(crate) use tally::{OnFailed, Tally};
pub(crate) use work::{Source, serve};

#[cfg(feature = "macros")]
#[doc(hidden)]
pub use serde as __serde;

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler is called with: its arguments are taken out of this.
#[derive(Clone, Debug)]
pub struct Call<S> {
    pub(crate) content: Content,
    pub(crate) pattern: Arc<Pattern>,
    pub(crate) state: S,
    pub(crate) hub: Hub,
    /// Of a request.
    pub(crate) deadline: Option<Instant>,
    /// The session that asks, where this side knows of sessions.
    pub(crate) from: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Hub(HubMessage),
    Client(client::Message),
}

impl Content {
    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::Hub(m) => m.topic(),
            Self::Client(m) => m.topic(),
        }
    }
}

impl<S> Call<S> {
    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.content.topic()
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

    /// What it says beside: content type, trace, user properties and others.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        match &self.content {
            Content::Hub(m) => m.properties(),
            Content::Client(m) => m.properties(),
        }
    }

    /// What the payload is, if the sender says.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.properties()
            .iter()
            .find_map(|p| if let Property::ContentType(text) = p { Some(text) } else { None })
    }

    /// The first user property with this name.
    #[must_use]
    pub fn user_property(&self, name: &str) -> Option<&str> {
        let user = |p| if let Property::User(n, value) = p { (n == name).then_some(value) } else { None };
        self.properties().iter().find_map(user)
    }

    /// Whether it is a request, which is answered, and no message.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.deadline.is_some()
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
        let Self { content, pattern, hub, deadline, from, .. } = self;
        Call { content, pattern, state, hub, deadline, from }
    }
}

/// An async function of up to eight arguments that are [`FromMessage`], and whose output is
/// [`IntoReply`]. `A` is the tuple of the arguments. A `Dispatcher` is one, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not an async function of arguments that a message has, with a reply",
    note = "a handler is an async function of at most eight arguments, each of which implements `FromMessage<S>` for the router's state `S`, that returns what implements `IntoReply`; its future must be `Send`"
)]
pub trait Handler<A, S>: Send + Sync + 'static {
    /// Takes the arguments out of `call`, and runs. Where an argument is not there, that is the
    /// answer.
    fn call(&self, call: Call<S>) -> BoxFuture<Response>;
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
