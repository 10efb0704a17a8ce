//! Keys, and how people write them.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{KEY, primitives};
use crate::entropy::Entropy;

/// What a text of a key begins with: what it is of, and the form.
const SECRET: &str = "bowline-key-v1";
const PUBLIC: &str = "bowline-public-v1";
const SHARED: &str = "bowline-psk-v1";

/// A text is not a key of the kind that is wanted. It never holds any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It begins with another word.
    #[error("a key of this kind is written `{0} ` and 44 characters of base64")]
    Kind(&'static str),
    /// What follows is not 32 octets in base64.
    #[error("what follows `{0}` is not 32 octets in base64")]
    Octets(&'static str),
}

fn parse(text: &str, kind: &'static str) -> Result<Zeroizing<[u8; KEY]>, KeyError> {
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(kind) {
        return Err(KeyError::Kind(kind));
    }
    let (Some(base64), None) = (words.next(), words.next()) else { return Err(KeyError::Octets(kind)) };
    let mut octets = Zeroizing::new([0; KEY + 1]); // the decoder wants room for the padding
    match BASE64_STANDARD.decode_slice(base64, &mut octets[..]) {
        Ok(KEY) => {
            let mut key = Zeroizing::new([0; KEY]);
            key.copy_from_slice(&octets[..KEY]);
            Ok(key)
        }
        _ => Err(KeyError::Octets(kind)),
    }
}

fn write(kind: &str, octets: &[u8; KEY]) -> String {
    let mut text = String::with_capacity(kind.len() + 1 + 44);
    text.push_str(kind);
    text.push(' ');
    BASE64_STANDARD.encode_string(octets, &mut text);
    text
}

/// A private key of X25519: who has it is whom its [public key](Self::public) names. Erased when dropped, never
/// printed.
///
/// ```
/// use bowline_core::entropy::Seeded;
/// use bowline_core::secure::SecretKey;
/// let key = SecretKey::generate(&mut Seeded::new(1)); // never in earnest: it can be guessed
/// let again: SecretKey = key.to_text().parse()?;
/// assert_eq!(again.public(), key.public());
/// assert_eq!(format!("{key:?}"), "SecretKey(..)");
/// # Ok::<(), bowline_core::secure::KeyError>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(pub(super) Zeroizing<[u8; KEY]>);

impl SecretKey {
    /// A new one.
    #[must_use]
    pub fn generate<E: Entropy + ?Sized>(entropy: &mut E) -> Self {
        let mut key = Zeroizing::new([0; KEY]);
        entropy.secret(&mut key[..]);
        Self(key)
    }

    /// That of these octets: any are one.
    #[must_use]
    pub fn from_octets(mut octets: [u8; KEY]) -> Self {
        let key = Self(Zeroizing::new(octets));
        octets.zeroize();
        key
    }

    /// The key that others know it by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(primitives::public(&self.0))
    }

    /// As it is kept in a file: `bowline-key-v1 ` and base64.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(write(SECRET, &self.0))
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text, SECRET).map(Self)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A public key of X25519: whom a peer proves to be.
///
/// It is written `bowline-public-v1 ` and base64; the [fingerprint](Self::fingerprint) is for people to compare.
///
/// ```
/// use bowline_core::secure::PublicKey;
/// let key = PublicKey::from_octets([9; 32]);
/// assert_eq!(key.to_string(), "bowline-public-v1 CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=");
/// assert_eq!(key.to_string().parse(), Ok(key));
/// assert!(key.fingerprint().starts_with("SHA256:"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub(super) [u8; KEY]);

impl PublicKey {
    /// That of these octets.
    #[must_use]
    pub const fn from_octets(octets: [u8; KEY]) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_octets(&self) -> &[u8; KEY] {
        &self.0
    }

    /// SHA-256 of its octets, as ssh writes it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::from("SHA256:");
        BASE64_STANDARD_NO_PAD.encode_string(Sha256::digest(self.0), &mut text);
        text
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text, PUBLIC).map(|octets| Self(*octets))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(PUBLIC, &self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// A key that both sides have. Erased when dropped, never printed.
///
/// It has to be random: nothing stretches it, so a password will not do.
///
/// ```
/// use bowline_core::entropy::Seeded;
/// use bowline_core::secure::SharedKey;
/// let key = SharedKey::generate(&mut Seeded::new(1));
/// let again: SharedKey = key.to_text().parse()?;
/// assert_eq!(again.identity(), key.identity());
/// # Ok::<(), bowline_core::secure::KeyError>(())
/// ```
#[derive(Clone)]
pub struct SharedKey(pub(super) Zeroizing<[u8; KEY]>);

impl SharedKey {
    /// How many octets of its identity are said in clear, so that the other side knows which key is meant.
    pub const HINT: usize = 8;

    /// A new one.
    #[must_use]
    pub fn generate<E: Entropy + ?Sized>(entropy: &mut E) -> Self {
        let mut key = Zeroizing::new([0; KEY]);
        entropy.secret(&mut key[..]);
        Self(key)
    }

    /// That of these octets.
    #[must_use]
    pub fn from_octets(mut octets: [u8; KEY]) -> Self {
        let key = Self(Zeroizing::new(octets));
        octets.zeroize();
        key
    }

    /// What it is known by where it must not be shown: SHA-256 of `bowline psk identity` and its octets.
    #[must_use]
    pub fn identity(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"bowline psk identity").chain_update(&self.0[..]).finalize().into()
    }

    /// The first octets of its [identity](Self::identity).
    #[must_use]
    pub fn hint(&self) -> [u8; Self::HINT] {
        let identity = self.identity();
        core::array::from_fn(|i| identity[i])
    }

    /// As it is kept in a file: `bowline-psk-v1 ` and base64.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(write(SHARED, &self.0))
    }
}

impl FromStr for SharedKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text, SHARED).map(Self)
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;
    use std::format;
    use std::string::ToString;

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let secret = SecretKey::generate(&mut Seeded::new(1)).to_text();
        for text in ["", "bowline-key-v1", "bowline-key-v1 AAAA", "bowline-key-v1 !", "bowline-key-v2 AAAA"] {
            let error = text.parse::<SecretKey>().unwrap_err();
            assert!(error.to_string().contains("base64"), "{error}");
        }
        let error = secret.parse::<PublicKey>().unwrap_err();
        assert_eq!(error, KeyError::Kind("bowline-public-v1"));
        assert!(!format!("{error} {error:?}").contains(secret.split(' ').nth(1).unwrap()));
        let two = format!("{} {}", &*secret, &*secret);
        assert!(two.parse::<SecretKey>().is_err());
        assert!(format!(" {}\n", &*secret).parse::<SecretKey>().is_ok());
    }

    /// Keys, and the texts that they are read from and written to.
    #[test]
    fn secrets_are_wiped_when_they_are_dropped() {
        fn is_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        let (secret, shared) =
            (SecretKey::generate(&mut Seeded::new(1)), SharedKey::generate(&mut Seeded::new(2)));
        is_wiped(&secret.0);
        is_wiped(&shared.0);
        is_wiped(&secret.to_text());
        is_wiped(&shared.to_text());
    }

    #[test]
    fn secrets_are_not_printed() {
        let (secret, shared) = (SecretKey::from_octets([7; 32]), SharedKey::from_octets([7; 32]));
        assert_eq!(format!("{secret:?} {shared:?}"), "SecretKey(..) SharedKey(..)");
        assert_eq!(shared.identity()[..8], shared.hint());
    }
}
