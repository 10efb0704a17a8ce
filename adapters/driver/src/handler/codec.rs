//! JSON and CBOR, in and out, and where it is wrong.

use std::borrow::Cow;
use std::fmt::Display;

use bowline_core::status::Status;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Failure, FromMessage, IntoReply, Response};

/// What it says, as JSON; anything else is answered with [`Status::Invalid`] and where it is wrong: the path,
/// line and column. An `Option` of it is nothing where the payload is empty. As a reply: JSON.
///
/// ```
/// use std::collections::BTreeMap;
/// use bowline_driver::handler::Json;
///
/// async fn total(Json(prices): Json<BTreeMap<String, u64>>) -> Json<u64> {
///     Json(prices.values().sum())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What it says, as one value of CBOR (RFC 8949); anything else is answered with [`Status::Invalid`] and where
/// it is wrong: the path and, where it is known, the octet. An `Option` of it is nothing where the payload is
/// empty. As a reply: CBOR.
///
/// It is read by `ciborium`, which bounds how deeply values may be within others: an endless nest costs its
/// sender an answer, and this program no stack.
#[cfg(feature = "cbor")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cbor<T>(pub T);

/// What it says, as its content type says: CBOR where that is `application/cbor` or ends in `+cbor`, else JSON.
/// An `Option` of it is nothing where the payload is empty. Where it is wrong is told as by [`Json`] and
/// `Cbor`; CBOR without the feature `cbor` is answered with [`Status::Unsupported`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<T>(pub T);

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// JSON.
    Json,
    /// CBOR.
    Cbor,
}

impl Codec {
    /// What a content type says; JSON without one.
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let ends = |end: &str| {
            media.len() >= end.len()
                && media.is_char_boundary(media.len() - end.len())
                && media[media.len() - end.len()..].eq_ignore_ascii_case(end)
        };
        if media.eq_ignore_ascii_case("application/cbor") || ends("+cbor") { Self::Cbor } else { Self::Json }
    }

    /// Reads a value; says where it is wrong.
    pub(super) fn read<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Failure> {
        match self {
            Self::Json => read_json(payload),
            #[cfg(feature = "cbor")]
            Self::Cbor => read_cbor(payload),
            #[cfg(not(feature = "cbor"))]
            Self::Cbor => Err(Failure::new(Status::Unsupported, "CBOR is not spoken here")),
        }
    }
}

/// So much of a path, and of what is wrong there, is said: both may repeat what the sender chose.
const SAID: usize = 200;

/// `what` of the payload is wrong, at `path`; `.` is all of it.
fn wrong(path: &str, what: impl Display) -> Failure {
    let at = if path == "." { String::new() } else { format!(" at `{}`", cut(path, SAID)) };
    let what = what.to_string();
    Failure::new(Status::Invalid, format_args!("the payload is not as expected{at}: {}", cut(&what, SAID)))
}

/// The text, or the beginning and the end of a long one: lines and columns are behind.
pub(super) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let (head, tail) = (most / 2, text.len() - most / 2);
    let head = (0..=head).rev().find(boundary).unwrap_or(0);
    let tail = (tail..text.len()).find(boundary).unwrap_or(text.len());
    format!("{}…{}", &text[..head], &text[tail..]).into()
}

fn read_json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(payload).map_err(|plain| {
        // Only what is wrong is read a second time, to say where.
        let mut json = serde_json::Deserializer::from_slice(payload);
        match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Err(e) => wrong(&e.path().to_string(), e.inner()),
            // What is behind its end.
            Ok(_) => wrong(".", plain),
        }
    })
}

#[cfg(feature = "cbor")]
fn read_cbor<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let mut rest = payload;
    match ciborium::from_reader::<T, _>(&mut rest) {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => {
            let at = payload.len() - rest.len();
            Err(wrong(".", format_args!("there is more behind its end, octet {at}")))
        }
        Err(e) => Err(wrong(&cbor_path::<T>(payload), cbor_error(&e))),
    }
}

/// Where in the value it is wrong: read a second time.
#[cfg(feature = "cbor")]
fn cbor_path<T: DeserializeOwned>(payload: &[u8]) -> String {
    use ciborium::de::Error;
    use serde::de::{Deserialize, Deserializer, Error as _};

    struct Tracked<T>(std::marker::PhantomData<T>);

    impl<'de, T: DeserializeOwned> Deserialize<'de> for Tracked<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let read = serde_path_to_error::deserialize::<_, T>(deserializer);
            read.map(|_| Self(std::marker::PhantomData)).map_err(|e| D::Error::custom(e.path()))
        }
    }

    match ciborium::from_reader::<Tracked<T>, _>(payload) {
        Err(Error::Semantic(_, path)) => path,
        _ => ".".into(),
    }
}

/// What `ciborium` says, for people.
#[cfg(feature = "cbor")]
pub(super) fn cbor_error(e: &ciborium::de::Error<std::io::Error>) -> String {
    use ciborium::de::Error;
    match e {
        Error::Io(_) => "it ends too early".into(),
        Error::Syntax(at) => format!("no CBOR at octet {at}"),
        Error::Semantic(Some(at), what) => format!("{what} at octet {at}"),
        Error::Semantic(None, what) => what.clone(),
        Error::RecursionLimitExceeded => "values are too deep within others".into(),
    }
}

impl<S, T: DeserializeOwned> FromMessage<S> for Json<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        read_json(call.payload()).map(Self)
    }

    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        if call.payload().is_empty() { Ok(None) } else { Self::from_message(call).map(Some) }
    }
}

#[cfg(feature = "cbor")]
impl<S, T: DeserializeOwned> FromMessage<S> for Cbor<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        read_cbor(call.payload()).map(Self)
    }

    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        if call.payload().is_empty() { Ok(None) } else { Self::from_message(call).map(Some) }
    }
}

impl<S, T: DeserializeOwned> FromMessage<S> for Body<T> {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Codec::of(call.content_type()).read(call.payload()).map(Self)
    }

    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        if call.payload().is_empty() { Ok(None) } else { Self::from_message(call).map(Some) }
    }
}

impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => Response::ok(json),
            Err(e) => Failure::new(Status::Rejected, e).into_reply(),
        }
    }
}

#[cfg(feature = "cbor")]
impl<T: Serialize> IntoReply for Cbor<T> {
    fn into_reply(self) -> Response {
        let mut cbor = Vec::new();
        match ciborium::into_writer(&self.0, &mut cbor) {
            Ok(()) => Response::ok(Bytes::from(cbor)),
            Err(e) => Failure::new(Status::Rejected, e).into_reply(),
        }
    }
}
