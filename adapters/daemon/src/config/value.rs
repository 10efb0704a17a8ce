//! Values that are more than a number or a text.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bowline_core::scram::Credential;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::text;

/// What stands in place of a secret wherever one would be shown.
const HIDDEN: &str = "(hidden)";

/// A duration, written as `30s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::format_duration(self.0))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"500ms\", \"30s\", \"5m\" or \"1h\"")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Span, E> {
                text::parse_duration(v).map(Span).map_err(E::custom)
            }
        }
        from.deserialize_any(Text)
    }
}

/// A number of octets, written as `1MiB` or `4096`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::format_size(self.0))
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Octets;
        impl Visitor<'_> for Octets {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, such as 4096, \"64KiB\" or \"1MiB\"")
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Size, E> {
                u64::try_from(v)
                    .map(Size)
                    .map_err(|_| E::custom(format!("{v} is not a size: it is negative")))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Size, E> {
                text::parse_size(v).map(Size).map_err(E::custom)
            }
        }
        from.deserialize_any(Octets)
    }
}

/// A password or token in the clear. Never shown; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself, for the one place that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let secret = Self::new(String::deserialize(from)?);
        if secret.0.is_empty() {
            return Err(D::Error::custom("an empty secret lets everybody in"));
        }
        Ok(secret)
    }
}

/// What a server knows of a password, written `salt:iterations:stored:server`.
#[derive(Clone)]
pub(crate) struct Scram(pub(crate) Credential);

impl Scram {
    /// How often a password is hashed, where nobody says: what is recommended for PBKDF2 today.
    pub(crate) const ITERATIONS: u32 = 600_000;

    /// Makes one of a password.
    pub(crate) fn make(password: &str, iterations: u32) -> Result<Self, String> {
        // As many octets as RFC 7677's example has.
        let salt: [u8; 16] = rand::random();
        Credential::derive(password, &salt, iterations)
            .map(Self)
            .map_err(|error| format!("the password cannot be hashed: {error}"))
    }

    /// Reads the four parts.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "it is not salt:iterations:stored:server, with base64 for all but the number; \
                            make one with `bowline credentials NAME`";
        let mut parts = text.split(':');
        let (Some(salt), Some(iterations), Some(stored), Some(server), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FORM.to_owned());
        };
        let key = |part: &str| BASE64.decode(part).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
        let salt = BASE64.decode(salt).map_err(|_| FORM)?;
        let iterations = iterations.parse().map_err(|_| FORM)?;
        let (stored, server) = (key(stored).ok_or(FORM)?, key(server).ok_or(FORM)?);
        let credential = Credential::from_parts(&salt, iterations, stored, server);
        credential.map(Self).map_err(|error| format!("it is no credential: {error}"))
    }
}

impl fmt::Display for Scram {
    /// The four parts, as they stand in a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [self.0.salt(), self.0.stored_key(), self.0.server_key()].map(|part| BASE64.encode(part));
        write!(f, "{salt}:{}:{stored}:{server}", self.0.iterations())
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Scram {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Scram {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&Zeroizing::new(String::deserialize(from)?)).map_err(D::Error::custom)
    }
}

/// The SHA-256 of a token, written as 64 hexadecimal digits. A token is random and long, so that
/// nothing slower than a plain hash is needed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (octet, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *octet = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).ok_or_else(|| {
            D::Error::custom(
                "it is no SHA-256, which has 64 hexadecimal digits; `bowline credentials --token NAME` makes a token's",
            )
        })
    }
}
