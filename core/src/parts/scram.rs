//! SCRAM-SHA-256 (RFC 5802, RFC 7677): to prove that one knows a password without saying it, and
//! to see that the server knew it too.
//!
//! [`ScramClient`] and [`ScramServer`] are machines of their own. They take the other side's
//! message and write the next one into a slice; who carries these (our own protocol's AUTH,
//! MQTT 5's enhanced authentication) is not their business.
//!
//! ```
//! use bowline_core::entropy::Seeded;
//! use bowline_core::scram::{Credential, Decoy, ScramClient, ScramServer};
//! # fn main() -> Result<(), bowline_core::scram::ScramError> {
//! let mut entropy = Seeded::new(1); // never in earnest: it can be guessed
//! let stored = Credential::derive("pencil", b"sixteen octets!!", 4096)?;
//! let decoy = Decoy::new(&mut entropy, 4096)?;
//! let (mut a, mut b) = ([0; 1024], [0; 1024]);
//!
//! let mut client = ScramClient::new("ann", "pencil", &mut entropy)?;
//! let n = client.first(&mut a)?;
//! let (mut server, n) =
//!     ScramServer::first(&a[..n], |user| (user == "ann").then_some(stored), &decoy, &mut entropy, &mut b)?;
//! let n = client.handle_server_first(&b[..n], &mut a)?;
//! let n = server.handle_client_final(&a[..n], &mut b)?;
//! assert!(server.is_authenticated() && server.user() == "ann");
//! client.handle_server_final(&b[..n])?;
//! assert!(client.is_server_verified());
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//!
//! - **Channel binding**: a client that requires it (`p=`) is refused; one that could but believes
//!   that the server cannot (`y,,`) is served, since that is so. We send `n,,`.
//! - **SASLprep**: user names and passwords are used as they are. For ASCII that is what SASLprep
//!   gives. Anything else is expected in Unicode's form NFC, on both sides, or it will not match.
//! - **Speaking for somebody else** (`a=`), and mandatory extensions (`m=`), are refused; other
//!   extensions are ignored.
//!
//! # Cost
//!
//! [`ScramClient::handle_server_first`] and [`Credential::derive`] compute as many iterations as
//! are asked for, within [`MIN_ITERATIONS`] and [`MAX_ITERATIONS`], before they return: up to some
//! tenths of a second on a desktop, minutes on a small chip. All else is a few hashes.

mod client;
mod server;
mod text;

pub use client::ScramClient;
pub use server::{Decoy, ScramServer};

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest message taken. The longest that this module writes is below 1 KiB as well.
pub const MAX_MESSAGE: usize = 1024;
/// The longest user name, in octets: that of our protocol's names.
pub const MAX_USER: usize = 256;
/// The longest nonce that a peer may add, in characters: twice what any known peer sends.
pub const MAX_NONCE: usize = 128;
/// The longest salt, in octets. 16 are usual.
pub const MAX_SALT: usize = 64;
/// The fewest iterations: what RFC 7677 requires. A server that asks for fewer makes guessing
/// the password from the exchange cheap.
pub const MIN_ITERATIONS: u32 = 4096;
/// The most iterations: above what is recommended today (600,000), and still below a second or
/// so of work. Without a bound, a server could occupy its clients for hours.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// An output of SHA-256.
const HASH: usize = 32;
/// A block of SHA-256; a key for HMAC is never longer.
const BLOCK: usize = 64;
/// Random octets in each of our nonces: 144 bits, which base64 writes without padding.
const NONCE_OCTETS: usize = 18;
/// A base64 text of a hash.
const HASH_TEXT: usize = 44;

type HmacSha256 = Hmac<Sha256>;
type Key = Zeroizing<[u8; HASH]>;

/// Why an exchange came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// The output slice is too short. Nothing was changed: call again with a longer one.
    #[error("the output needs {needed} octets; nothing was written, call again with as many")]
    NoRoom {
        /// How many octets it needs.
        needed: usize,
    },
    /// Called out of order, or after the exchange had failed or ended.
    #[error("not the next step of this exchange; begin a new one")]
    OutOfOrder,
    /// A name, nonce, salt or message beyond its limit.
    #[error("the {what} is empty or too long; it may have 1 to {limit} octets")]
    Length {
        /// What.
        what: &'static str,
        /// The most it may have.
        limit: usize,
    },
    /// The peer's message does not have the form of RFC 5802.
    #[error("malformed SCRAM message: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The client requires channel binding.
    #[error("channel binding is not supported; use the mechanism without -PLUS")]
    ChannelBinding,
    /// The client wants to act as another user.
    #[error("an authorization identity is not supported; leave it out")]
    AuthorizationId,
    /// A mandatory extension.
    #[error("a mandatory SCRAM extension (m=) is not supported")]
    Extension,
    /// The peer's nonce is not, or does not begin with, the one it must.
    #[error("the nonce does not match: the message belongs to another exchange")]
    Nonce,
    /// The iterations are out of bounds.
    #[error("{given} iterations: at least {MIN_ITERATIONS} and at most {MAX_ITERATIONS} are accepted")]
    Iterations {
        /// How many were asked for.
        given: u32,
    },
    /// No such user, or a wrong password: which one is not said.
    #[error("authentication failed: wrong user or password")]
    BadProof,
    /// The server does not know the password: it is not the one it seems to be.
    #[error("the server's signature is wrong: it does not know the password; do not trust it")]
    BadSignature,
    /// The server refused (`e=`).
    #[error("the server refused the authentication")]
    Refused,
}

/// What a server keeps of a password: enough to check it, too little to be the client.
///
/// Its secrets are erased when it is dropped, and not shown by `Debug`. It is 136 bytes.
///
/// ```
/// use bowline_core::scram::Credential;
/// let c = Credential::derive("pencil", b"sixteen octets!!", 4096)?;
/// let stored = (c.salt(), c.iterations(), c.stored_key(), c.server_key()); // into a database
/// let again = Credential::from_parts(stored.0, stored.1, *stored.2, *stored.3)?;
/// assert_eq!(again.stored_key(), c.stored_key());
/// # Ok::<(), bowline_core::scram::ScramError>(())
/// ```
#[derive(Clone)]
pub struct Credential {
    salt: [u8; MAX_SALT],
    salt_len: u8,
    iterations: u32,
    stored_key: Key,
    server_key: Key,
}

impl Credential {
    /// Derives what to keep of `password`. Choose a random `salt` for each (16 octets), and as
    /// many `iterations` as clients bear.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] and [`ScramError::Length`] for what is out of bounds.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Self, ScramError> {
        check_iterations(iterations)?;
        check_length("salt", salt.len(), MAX_SALT)?;
        let keys = Keys::derive(&password_key(password), salt, iterations);
        Self::from_parts(salt, iterations, *keys.stored, *keys.server)
    }

    /// A credential as it was kept.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] and [`ScramError::Length`] for what is out of bounds.
    pub fn from_parts(
        salt: &[u8],
        iterations: u32,
        stored_key: [u8; 32],
        server_key: [u8; 32],
    ) -> Result<Self, ScramError> {
        check_iterations(iterations)?;
        check_length("salt", salt.len(), MAX_SALT)?;
        let mut padded = [0; MAX_SALT];
        padded[..salt.len()].copy_from_slice(salt);
        Ok(Self {
            salt: padded,
            salt_len: salt.len() as u8, // checked above
            iterations,
            stored_key: Zeroizing::new(stored_key),
            server_key: Zeroizing::new(server_key),
        })
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt[..self.salt_len.into()]
    }

    /// The iterations.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What a client's proof is checked with.
    #[must_use]
    pub fn stored_key(&self) -> &[u8; 32] {
        &self.stored_key
    }

    /// What the server proves itself with. A secret: whoever has it can pose as the server.
    #[must_use]
    pub fn server_key(&self) -> &[u8; 32] {
        &self.server_key
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// All that follows from a password, a salt and a number of iterations.
struct Keys {
    client: Key,
    stored: Key,
    server: Key,
}

impl Keys {
    fn derive(password: &[u8; BLOCK], salt: &[u8], iterations: u32) -> Self {
        let mut salted = Key::default();
        pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut *salted);
        let client = hmac(&salted, &[b"Client Key"]);
        let stored = Zeroizing::new(Sha256::digest(*client).into());
        Self { stored, server: hmac(&salted, &[b"Server Key"]), client }
    }
}

/// The password as a key of HMAC, which pads it with zeros to a block, or hashes it first if it
/// is longer: so a password of any length is kept in 64 octets, and gives the same.
fn password_key(password: &str) -> Zeroizing<[u8; BLOCK]> {
    let mut key = Zeroizing::new([0; BLOCK]);
    if password.len() > BLOCK {
        let hash: Key = Zeroizing::new(Sha256::digest(password).into());
        key[..HASH].copy_from_slice(&*hash);
    } else {
        key[..password.len()].copy_from_slice(password.as_bytes());
    }
    key
}

/// HMAC-SHA-256 keyed with an output of the same, or of SHA-256.
fn keyed(key: &[u8; HASH]) -> HmacSha256 {
    let mut block = Zeroizing::new([0; BLOCK]);
    block[..HASH].copy_from_slice(key);
    HmacSha256::new((&*block).into())
}

fn hmac(key: &[u8; HASH], parts: &[&[u8]]) -> Key {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    finish(mac)
}

fn finish(mac: HmacSha256) -> Key {
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn xor(a: &[u8; HASH], b: &[u8; HASH]) -> Key {
    Zeroizing::new(core::array::from_fn(|i| a[i] ^ b[i]))
}

fn same(a: &[u8; HASH], b: &[u8; HASH]) -> subtle::Choice {
    a.ct_eq(b)
}

fn check_iterations(given: u32) -> Result<(), ScramError> {
    let ok = (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&given);
    if ok { Ok(()) } else { Err(ScramError::Iterations { given }) }
}

fn check_length(what: &'static str, length: usize, limit: usize) -> Result<(), ScramError> {
    if (1..=limit).contains(&length) { Ok(()) } else { Err(ScramError::Length { what, limit }) }
}

#[cfg(test)]
mod tests;
