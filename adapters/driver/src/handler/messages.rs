//! Messages by type: which one it is, and which handler is for it.
//!
//! # How a message says its type
//!
//! 1. By the user property `type`, where it has one. The payload is the value, in whatever its content type
//!    says.
//! 2. Else by the member `type` of the value itself, a JSON object or a map of CBOR. This is what every
//!    dialect can carry, MQTT 3.1.1 and pages included, and what serde writes of an enum with
//!    `#[serde(tag = "type")]`.
//!
//! The content type says how the payload is written: CBOR where it is `application/cbor` or ends in
//! `+cbor`, else JSON.
//!
//! A type that is not known is answered with [`Status::Unsupported`] and a reason that names it and those
//! that are known; a message that says none, and a value that is not as its type wants it, with
//! [`Status::Invalid`] and where that is. Messages to which nobody is to answer are counted instead, and
//! told of ([`Builder::on_failed`](crate::server::Builder::on_failed)).

use std::borrow::Cow;
use std::fmt;
use std::future::ready;

use bowline_core::status::Status;
use bytes::Bytes;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::codec::{Codec, cut};
use super::{BoxFuture, Call, Erased, Failure, FromMessage, Handler, IntoReply, Response, erase};

/// The user property, or member, that names a message's type.
pub const TYPE: &str = "type";

/// So many octets of a name that is not known are said again.
const SHOWN: usize = 64;

/// A value that is a message by itself: it has a name. Derive it: `#[derive(MessageType)]` with the feature
/// `macros`.
///
/// ```
/// use bowline_driver::handler::{MessageType, tagged_json};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Place { item: String }
/// impl MessageType for Place { const NAME: &'static str = "order.place"; }
///
/// let json = tagged_json(&Place { item: "rope".into() }).unwrap();
/// assert_eq!(json, r#"{"type":"order.place","item":"rope"}"#);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of message",
    note = "`#[derive(MessageType)]` names it; the feature `macros` has that"
)]
pub trait MessageType {
    /// Its name on the wire.
    const NAME: &'static str;
}

/// One of several types of messages: an enum. Derive it: `#[derive(Messages)]` with the feature `macros`.
/// Handlers take it as [`Typed<T>`], and its `match` is complete or does not compile.
///
/// ```
/// use bowline_driver::handler::{Encoded, Failure, Messages, Typed};
///
/// enum Light { On, Off, Dim(u8) }
///
/// // What the derive macro writes:
/// impl Messages for Light {
///     const NAMES: &'static [&'static str] = &["On", "Off", "Dim"];
///     fn decode(message: &Encoded<'_>) -> Result<Self, Failure> {
///         match message.name() {
///             "On" => Ok(Self::On),
///             "Off" => Ok(Self::Off),
///             "Dim" => message.read().map(Self::Dim),
///             _ => Err(message.unknown(Self::NAMES)),
///         }
///     }
///     fn name(&self) -> &'static str {
///         match self { Self::On => "On", Self::Off => "Off", Self::Dim(_) => "Dim" }
///     }
/// }
///
/// async fn switch(Typed(light): Typed<Light>) -> &'static str {
///     match light { Light::On => "bright", Light::Off => "dark", Light::Dim(_) => "dim" }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum of messages",
    note = "`#[derive(Messages)]` makes it one; the feature `macros` has that"
)]
pub trait Messages: Sized {
    /// The names of all types.
    const NAMES: &'static [&'static str];

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`Encoded::unknown`], and those of [`Encoded::read`].
    fn decode(message: &Encoded<'_>) -> Result<Self, Failure>;

    /// The name of this one's type.
    fn name(&self) -> &'static str;
}

/// One of the types of an enum of messages, as an argument of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<T>(pub T);

impl<S, T: Messages> FromMessage<S> for Typed<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        T::decode(&Encoded::of(call)?).map(Self)
    }
}

/// A message that says its type, before its value is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded<'a> {
    name: Cow<'a, str>,
    codec: Codec,
    payload: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Finds out the type of what came.
    ///
    /// # Errors
    ///
    /// It says none.
    pub fn of<S>(call: &'a Call<S>) -> Result<Self, Failure> {
        let (codec, payload) = (Codec::of(call.content_type()), call.payload());
        let name = match call.user_property(TYPE) {
            Some(name) => Cow::Borrowed(name),
            None => match first_member(codec, payload) {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(member(codec, payload)?),
            },
        };
        Ok(Self { name, codec, payload })
    }

    /// The name of its type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its value is written.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Reads its value.
    ///
    /// # Errors
    ///
    /// It is not a `T`: [`Status::Invalid`], and where.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let read = self.codec.read(self.payload);
        read.map_err(|e| Failure { reason: format!("{}: {}", self.name.escape_debug(), e.reason), ..e })
    }

    /// That its type is none of these.
    #[must_use]
    pub fn unknown(&self, known: &[&str]) -> Failure {
        let name = cut(&self.name, SHOWN);
        let reason = format_args!("no type of message here is {name:?}; known are: {}", known.join(", "));
        Failure::new(Status::Unsupported, reason)
    }
}

/// The member `type` of a JSON object, where it is the first and written plainly: as whoever writes it
/// by [`tagged_json`] or serde does. Found out without a copy.
fn first_member(codec: Codec, payload: &[u8]) -> Option<&str> {
    let rest = payload.strip_prefix(b"{").filter(|_| codec == Codec::Json)?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"type\"")?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().position(|octet| matches!(octet, b'"' | b'\\' | 0..=0x1f))?;
    if rest[end] == b'"' { std::str::from_utf8(&rest[..end]).ok() } else { None }
}

/// The member `type` of a value. It reads no further than that.
fn member(codec: Codec, payload: &[u8]) -> Result<String, Failure> {
    let looked = match codec {
        Codec::Json => {
            let looked = Found::deserialize(&mut serde_json::Deserializer::from_slice(payload));
            looked.map_err(|e| e.to_string())
        }
        #[cfg(feature = "cbor")]
        Codec::Cbor => ciborium::from_reader(payload).map_err(|e| super::codec::cbor_error(&e)),
        #[cfg(not(feature = "cbor"))]
        Codec::Cbor => return codec.read::<String>(payload),
    };
    const RULE: &str = "the message does not say its type, by a user property `type` or a member `type`";
    match looked {
        Ok(Found(Some(name))) => Ok(name),
        Ok(Found(None)) => Err(Failure::new(Status::Invalid, RULE)),
        Err(why) => Err(Failure::new(Status::Invalid, format_args!("{RULE}: {}", cut(&why, 2 * SHOWN)))),
    }
}

/// The member `type`, if there is one.
struct Found(Option<String>);

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = None;
        match deserializer.deserialize_map(Member(&mut found)) {
            Err(why) if found.is_none() => Err(why),
            _ => Ok(Self(found)),
        }
    }
}

/// Looks for the member `type`, and gives up once it has it.
struct Member<'f>(&'f mut Option<String>);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(IsType(is_type)) = map.next_key()? {
            if is_type {
                *self.0 = Some(map.next_value()?);
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Whether a member's name is `type`; in CBOR it may be no text at all.
struct IsType(bool);

impl<'de> Deserialize<'de> for IsType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(false))
    }
}

impl Visitor<'_> for IsType {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self, E> {
        Ok(Self(name == TYPE))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
}

/// A value with the member `type` in front.
#[derive(Serialize)]
struct Tagged<'v, T> {
    #[serde(rename = "type")]
    name: &'static str,
    #[serde(flatten)]
    value: &'v T,
}

/// A message as JSON that says its type itself, as every dialect can carry it.
///
/// # Errors
///
/// Its value is no object.
pub fn tagged_json<T: MessageType + Serialize>(value: &T) -> Result<Bytes, Failure> {
    let json = serde_json::to_vec(&Tagged { name: T::NAME, value });
    json.map(Bytes::from).map_err(|e| Failure::new(Status::Invalid, e))
}

/// A message as CBOR that says its type itself. The content type has to say that it is CBOR.
///
/// # Errors
///
/// Its value is no map.
#[cfg(feature = "cbor")]
pub fn tagged_cbor<T: MessageType + Serialize>(value: &T) -> Result<Bytes, Failure> {
    let mut cbor = Vec::new();
    let written = ciborium::into_writer(&Tagged { name: T::NAME, value }, &mut cbor);
    written.map(|()| cbor.into()).map_err(|e| Failure::new(Status::Invalid, e))
}

/// One handler for each type of message that comes on a topic. It is a handler itself: give it to
/// [`Router::serve`](super::Router::serve) or [`on`](super::Router::on).
///
/// Which one is for a message is found out without reading its value; each takes what it wants, the value as
/// [`Body<T>`](super::Body), [`Json<T>`](super::Json) or [`Cbor`](super::Cbor). A value's own type need not
/// know the member `type`, unless it denies unknown fields.
///
/// ```
/// use bowline_driver::handler::{Body, Dispatcher, MessageType, Router};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Place { item: String }
/// impl MessageType for Place { const NAME: &'static str = "order.place"; }
///
/// #[derive(Deserialize)]
/// struct Cancel { number: u64 }
/// impl MessageType for Cancel { const NAME: &'static str = "order.cancel"; }
///
/// async fn place(Body(order): Body<Place>) -> String { format!("{} is on its way", order.item) }
/// async fn cancel(Body(order): Body<Cancel>) -> String { format!("{} is no more", order.number) }
///
/// let orders = Dispatcher::new().handle::<Place, _>(place).handle::<Cancel, _>(cancel);
/// let router: Router = Router::new().serve("orders", orders);
/// ```
pub struct Dispatcher<S = ()> {
    /// In the order in which they are told.
    handlers: Vec<(&'static str, Erased<S>)>,
    otherwise: Option<Erased<S>>,
}

impl<S> fmt::Debug for Dispatcher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl<S> Default for Dispatcher<S> {
    fn default() -> Self {
        Self { handlers: Vec::new(), otherwise: None }
    }
}

impl<S> Dispatcher<S> {
    /// Without handlers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages of the type `T` are for `handler`, instead of the one that was given for it before. `A` is
    /// found out: write `_`.
    #[must_use]
    pub fn handle<T: MessageType, A>(self, handler: impl Handler<A, S>) -> Self {
        self.handle_named(T::NAME, handler)
    }

    /// The same by the type's name.
    #[must_use]
    pub fn handle_named<A>(mut self, name: &'static str, handler: impl Handler<A, S>) -> Self {
        self.handlers.retain(|(n, _)| *n != name);
        self.handlers.push((name, erase(handler)));
        self
    }

    /// Messages of types that are not known are for `handler`, instead of being answered with
    /// [`Status::Unsupported`]. Those that say no type are not: they are answered with [`Status::Invalid`].
    #[must_use]
    pub fn otherwise<A>(mut self, handler: impl Handler<A, S>) -> Self {
        self.otherwise = Some(erase(handler));
        self
    }

    /// The names of the types that have handlers.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.handlers.iter().map(|(name, _)| *name).collect()
    }

    fn find(&self, call: &Call<S>) -> Result<&Erased<S>, Failure> {
        let message = Encoded::of(call)?;
        let found = self.handlers.iter().find(|(name, _)| *name == message.name());
        let handler = found.map(|(_, handler)| handler).or(self.otherwise.as_ref());
        handler.ok_or_else(|| message.unknown(&self.names()))
    }
}

/// Tells a [`Dispatcher`] from handlers that are functions.
#[derive(Debug)]
pub struct ByType(());

impl<S: 'static> Handler<ByType, S> for Dispatcher<S> {
    fn call(&self, call: Call<S>) -> BoxFuture<Response> {
        match self.find(&call) {
            Ok(handler) => handler(call),
            Err(failure) => Box::pin(ready(failure.into_reply())),
        }
    }
}
