//! What handlers can take.

use std::collections::HashMap;
use std::time::Duration;

use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;

use super::{Call, Failure, Hub};
use crate::clock;

/// An argument of a handler.
pub trait FromMessage<S>: Sized {
    /// Takes it out of what came.
    ///
    /// # Errors
    ///
    /// It is not there, or not what it should be; the caller is told.
    fn from_message(call: &Call<S>) -> Result<Self, Failure>;
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(pub String);

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Bytes);

/// What it says, as UTF-8; anything else is answered with [`Status::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// What it says, as JSON; anything else is answered with [`Status::Invalid`]. As a reply: JSON.
#[cfg(feature = "json")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// The application's state.
#[derive(Clone, Debug)]
pub struct State<S>(pub S);

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

#[cfg(feature = "json")]
impl<S, T: serde::de::DeserializeOwned> FromMessage<S> for Json<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        match serde_json::from_slice(call.payload()) {
            Ok(value) => Ok(Self(value)),
            Err(e) => Err(Failure::new(Status::Invalid, format_args!("the payload is not as expected: {e}"))),
        }
    }
}

impl<S: Clone> FromMessage<S> for State<S> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Ok(Self(call.state().clone()))
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
