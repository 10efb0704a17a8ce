//! What handlers can take.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use bowline_core::session::Property;
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;

use super::{Call, Failure, Hub};
use crate::clock;

/// An argument of a handler. Implement it for what many handlers take alike.
///
/// ```
/// use bowline_driver::handler::{Call, Failure, FromMessage};
/// use bowline_driver::core::status::Status;
///
/// /// The tenant that a message names in a user property.
/// struct Tenant(String);
///
/// impl<S> FromMessage<S> for Tenant {
///     fn from_message(call: &Call<S>) -> Result<Self, Failure> {
///         let tenant = call.user_property("tenant").map(|tenant| Self(tenant.into()));
///         tenant.ok_or_else(|| Failure::new(Status::Invalid, "a user property `tenant` is missing"))
///     }
/// }
///
/// async fn report(Tenant(tenant): Tenant) -> String {
///     format!("all is well at {tenant}")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` out of a message",
    note = "a handler takes `Topic`, `Params`, `Payload`, `Text`, `Json<T>`, `Cbor<T>`, `Body<T>`, `Typed<T>`, `Session`, `State<S>`, `Headers`, `ContentType`, `Deadline`, `Hub`, `Call<S>`, or an `Option` of them",
    note = "implement `FromMessage` for a type of your own"
)]
pub trait FromMessage<S>: Sized {
    /// Takes it out of what came.
    ///
    /// # Errors
    ///
    /// It is not there, or not what it should be; the caller is told.
    fn from_message(call: &Call<S>) -> Result<Self, Failure>;

    /// The same for an `Option` of it, which is nothing where it is not there. Where it is there and wrong
    /// is a failure all the same: nobody should take a mistake for an absence. By default it is never
    /// absent.
    ///
    /// # Errors
    ///
    /// It is not what it should be.
    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        Self::from_message(call).map(Some)
    }
}

/// Nothing where it is not there; what is there and wrong is answered as without `Option`.
impl<S, T: FromMessage<S>> FromMessage<S> for Option<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        T::optional(call)
    }
}

/// What is missing or wrong is for the handler to answer.
impl<S, T: FromMessage<S>> FromMessage<S> for Result<T, Failure> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(T::from_message(call))
    }
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(pub String);

/// What it says: its octets, shared and not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Bytes);

/// What it says, as UTF-8; anything else is answered with [`Status::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// The application's state, or a part of it ([`FromRef`]).
#[derive(Clone, Debug)]
pub struct State<S>(pub S);

/// A part of a state that handlers may take by itself.
///
/// ```
/// use std::sync::Arc;
/// use bowline_driver::handler::{FromRef, State};
///
/// #[derive(Clone)]
/// struct App { greeting: Arc<str>, limit: u32 }
///
/// impl FromRef<App> for Arc<str> {
///     fn from_ref(app: &App) -> Self { Arc::clone(&app.greeting) }
/// }
///
/// async fn greet(State(greeting): State<Arc<str>>) -> String { format!("{greeting}!") }
/// ```
pub trait FromRef<S> {
    /// Takes it out of the state.
    fn from_ref(state: &S) -> Self;
}

impl<S: Clone> FromRef<S> for S {
    fn from_ref(state: &S) -> Self {
        state.clone()
    }
}

/// The levels of the topic that stand where the pattern has `{name}`, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params(pub HashMap<String, String>);

/// Until when an answer is of use; nothing for a message, which needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Option<Instant>);

impl Deadline {
    /// How much of it is left.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_since(clock::now()))
    }
}

/// The user properties, in the order in which they came: of our own protocol and MQTT 5; others carry
/// none. A name may be there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What the payload is, as the sender says: `application/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(pub String);

impl<S> FromMessage<S> for Topic {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(Self(call.topic().into()))
    }
}

impl<S> FromMessage<S> for Payload {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(Self(call.shared_payload()))
    }
}

impl<S> FromMessage<S> for Text {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        match std::str::from_utf8(call.payload()) {
            Ok(text) => Ok(Self(text.into())),
            Err(e) => Err(Failure::new(Status::Invalid, format_args!("the payload is not UTF-8: {e}"))),
        }
    }
}

impl<S, T: FromRef<S>> FromMessage<S> for State<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(Self(T::from_ref(call.state())))
    }
}

impl<S> FromMessage<S> for Params {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        let names = call.pattern.names();
        let pair = |name: &str| Some((name.into(), call.param(name)?.into()));
        Ok(Self(names.filter_map(pair).collect()))
    }
}

impl<S> FromMessage<S> for Deadline {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(Self(call.deadline()))
    }
}

impl<S> FromMessage<S> for Headers {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        let user = |property| match property {
            Property::User(name, value) => Some((name.into(), value.into())),
            _ => None,
        };
        Ok(Self(call.properties().iter().filter_map(user).collect()))
    }
}

/// It is absent where the sender does not say.
impl<S> FromMessage<S> for ContentType {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        let missing = || Failure::new(Status::Invalid, "the message does not say its content type");
        Self::optional(call)?.ok_or_else(missing)
    }

    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        Ok(call.content_type().map(|content_type| Self(content_type.into())))
    }
}

impl<S> FromMessage<S> for Hub {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(call.hub().clone())
    }
}

impl<S: Clone> FromMessage<S> for Call<S> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(call.clone())
    }
}

/// So that an error that never is can be returned.
impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
