//! The client's side.

use core::fmt;

use hmac::Mac;
use zeroize::Zeroizing;

use super::text::{self, Attributes, Nonce, Out, User};
use super::{BLOCK, HASH_TEXT, Key, Keys, MAX_SALT, ScramError};
use crate::entropy::Entropy;

/// A client that proves its password to one server, once.
///
/// In order: [`first`](Self::first), [`handle_server_first`](Self::handle_server_first),
/// [`handle_server_final`](Self::handle_server_final). An error other than
/// [`ScramError::NoRoom`] and [`ScramError::OutOfOrder`] ends the exchange. The password is erased
/// when the client is dropped. For an example see [the module](super).
pub struct ScramClient {
    user: User,
    password: Zeroizing<[u8; BLOCK]>,
    nonce: Nonce,
    state: State,
}

enum State {
    /// `first` was or may be written.
    First,
    /// The proof was written; the server must answer with this.
    Final {
        signature: Key,
    },
    /// The server gave the right signature.
    Verified,
    Failed,
}

impl ScramClient {
    /// A client for `user` with `password`; the nonce is drawn from `entropy`'s wire stream.
    ///
    /// The password may have any length; it is kept as a key of 64 octets. For characters beyond
    /// ASCII see [the module](super).
    ///
    /// # Errors
    /// [`ScramError::Length`] or [`ScramError::Malformed`] for a user name that no message can carry.
    pub fn new(user: &str, password: &str, entropy: &mut impl Entropy) -> Result<Self, ScramError> {
        Self::with_nonce(user, password, text::draw_nonce(entropy).as_str())
    }

    pub(super) fn with_nonce(user: &str, password: &str, own: &str) -> Result<Self, ScramError> {
        let user = text::name(user)?;
        let mut nonce = Nonce::new();
        nonce.push("nonce", own)?;
        Ok(Self { user, password: super::password_key(password), nonce, state: State::First })
    }

    /// Writes client-first-message, and says how long it is. Again, it writes the same.
    ///
    /// # Errors
    /// [`ScramError::NoRoom`]; [`ScramError::OutOfOrder`] once the server has answered.
    pub fn first(&mut self, out: &mut [u8]) -> Result<usize, ScramError> {
        if !matches!(self.state, State::First) {
            return Err(ScramError::OutOfOrder);
        }
        let mut out = Out::new(out);
        out.put(b"n,,");
        self.bare(&mut |octets| out.put(octets));
        out.finish()
    }

    /// Takes server-first-message, writes client-final-message, and says how long that is.
    ///
    /// This computes the iterations that the server asks for, within bounds.
    ///
    /// # Errors
    /// Any but [`ScramError::BadProof`], [`ScramError::BadSignature`] and [`ScramError::Refused`].
    pub fn handle_server_first(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, ScramError> {
        if !matches!(self.state, State::First) {
            return Err(ScramError::OutOfOrder);
        }
        let result = self.prove(data, out);
        match result {
            Ok((length, signature)) => {
                self.state = State::Final { signature };
                Ok(length)
            }
            Err(error) => {
                if !matches!(error, ScramError::NoRoom { .. }) {
                    self.state = State::Failed;
                }
                Err(error)
            }
        }
    }

    /// Takes server-final-message, and checks in constant time that the server knows the password.
    ///
    /// # Errors
    /// [`ScramError::BadSignature`] if it does not, [`ScramError::Refused`] if it says no,
    /// [`ScramError::Malformed`], [`ScramError::Length`], [`ScramError::OutOfOrder`].
    pub fn handle_server_final(&mut self, data: &[u8]) -> Result<(), ScramError> {
        let State::Final { signature } = &self.state else { return Err(ScramError::OutOfOrder) };
        let result = verify(data, signature);
        self.state = if result.is_ok() { State::Verified } else { State::Failed };
        result
    }

    /// Whether the exchange ended well: the server knows the password too.
    #[must_use]
    pub const fn is_server_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    /// Hands client-first-message-bare to `put`, in pieces.
    fn bare(&self, put: &mut impl FnMut(&[u8])) {
        put(b"n=");
        text::escape(self.user.as_str(), put);
        put(b",r=");
        put(self.nonce.as_str().as_bytes());
    }

    fn prove(&self, data: &[u8], out: &mut [u8]) -> Result<(usize, Key), ScramError> {
        let mut attributes = Attributes::of(text::message(data)?);
        let nonce = attributes.take('r', "server-first has no nonce (r=) where it belongs")?;
        let salt = attributes.take('s', "server-first has no salt (s=) where it belongs")?;
        let iterations = attributes.take('i', "server-first has no iterations (i=) where they belong")?;
        attributes.end()?;

        text::check_nonce(nonce.strip_prefix(self.nonce.as_str()).ok_or(ScramError::Nonce)?)?;
        let mut octets = [0; MAX_SALT + 2]; // the decoder counts in threes
        let length = text::decode(salt, &mut octets)?;
        super::check_length("salt", length, MAX_SALT)?;
        let iterations = text::number(iterations)?;
        super::check_iterations(iterations)?;

        let unproved = [b"c=biws,r=".as_slice(), nonce.as_bytes()];
        let needed = unproved.iter().map(|part| part.len()).sum::<usize>() + b",p=".len() + HASH_TEXT;
        if out.len() < needed {
            return Err(ScramError::NoRoom { needed }); // before the work, not after
        }
        let keys = Keys::derive(&self.password, &octets[..length], iterations);
        let sign = |key: &Key| {
            let mut mac = super::keyed(key);
            self.bare(&mut |piece| mac.update(piece));
            mac.update(b",");
            mac.update(data);
            mac.update(b",");
            unproved.iter().for_each(|part| mac.update(part));
            super::finish(mac)
        };
        let proof = super::xor(&keys.client, &sign(&keys.stored));
        let mut out = Out::new(out);
        unproved.iter().for_each(|part| out.put(part));
        out.put(b",p=");
        out.put_base64(&*proof);
        Ok((out.finish()?, sign(&keys.server)))
    }
}

pub(super) fn verify(data: &[u8], signature: &Key) -> Result<(), ScramError> {
    let mut attributes = Attributes::of(text::message(data)?);
    if attributes.is_next("e=") {
        return Err(ScramError::Refused);
    }
    let given = attributes.take('v', "server-final has no signature (v=) where it belongs")?;
    attributes.end()?;
    let same = super::same(&text::decode_hash(given)?, signature);
    if bool::from(same) { Ok(()) } else { Err(ScramError::BadSignature) }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient").field("user", &self.user.as_str()).finish_non_exhaustive()
    }
}
