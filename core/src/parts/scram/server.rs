//! The server's side.

use core::fmt;

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::Choice;
use zeroize::Zeroizing;

use super::text::{self, Attributes, Nonce, Out, User};
use super::{Credential, HASH, HASH_TEXT, HmacSha256, Key, ScramError};
use crate::entropy::Entropy;

/// The salt that an unknown user seems to have, in octets: what is usual.
const DECOY_SALT: usize = 16;

/// What makes unknown users look like known ones.
///
/// An unknown user gets a salt that follows from its name and this secret, so that it is the same
/// each time and nobody without the secret can tell it from a real one; at the end its proof is
/// wrong. For this to work, real credentials must have salts of 16 octets and as many iterations
/// as the decoy, and the secret must stay the same across restarts: keep it, and use
/// [`from_secret`](Self::from_secret). A server that cannot keep it still hides its users as long
/// as it runs.
#[derive(Clone)]
pub struct Decoy {
    secret: Key,
    iterations: u32,
}

impl Decoy {
    /// A decoy with a new secret, of `entropy`'s secret stream.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] if these are out of bounds.
    pub fn new(entropy: &mut impl Entropy, iterations: u32) -> Result<Self, ScramError> {
        let mut secret = Zeroizing::new([0; HASH]);
        entropy.secret(&mut *secret);
        Self::from_secret(&secret, iterations)
    }

    /// A decoy with a secret that was kept.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] if these are out of bounds.
    pub fn from_secret(secret: &[u8; 32], iterations: u32) -> Result<Self, ScramError> {
        super::check_iterations(iterations)?;
        Ok(Self { secret: Zeroizing::new(*secret), iterations })
    }

    pub(super) fn credential(&self, user: &str) -> Result<Credential, ScramError> {
        let part = |purpose: &[u8]| super::hmac(&self.secret, &[purpose, user.as_bytes()]);
        let salt = &part(b"salt:")[..DECOY_SALT];
        Credential::from_parts(salt, self.iterations, *part(b"stored:"), *part(b"server:"))
    }
}

impl fmt::Debug for Decoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoy").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A server that checks one client's proof, once.
///
/// In order: [`first`](Self::first), [`handle_client_final`](Self::handle_client_final). For an
/// example see [the module](super).
pub struct ScramServer {
    user: User,
    /// Both parts, as client-final must repeat them.
    nonce: Nonce,
    /// What client-final must repeat of the header.
    header: Header,
    stored_key: Key,
    /// Over client-first-bare and server-first, keyed for either signature.
    client_mac: HmacSha256,
    server_mac: HmacSha256,
    /// Whether the user exists.
    pub(super) known: Choice,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Challenged,
    Authenticated,
    Failed,
}

/// The client's word on channel binding.
#[derive(Clone, Copy)]
enum Header {
    /// `n,,`: it does not do that.
    No,
    /// `y,,`: it would, but thinks that we would not.
    Yes,
}

impl Header {
    fn split(text: &str) -> Result<(Self, &str), ScramError> {
        let (flag, rest) = text.split_once(',').ok_or(text::malformed("client-first has no header"))?;
        let (authzid, bare) = rest.split_once(',').ok_or(text::malformed("client-first has no header"))?;
        let header = match flag {
            "n" => Self::No,
            "y" => Self::Yes,
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(text::malformed("the header begins with other than n, y or p=")),
        };
        match authzid {
            "" => Ok((header, bare)),
            _ if authzid.starts_with("a=") => Err(ScramError::AuthorizationId),
            _ => Err(text::malformed("the header holds other than an authorization identity")),
        }
    }

    /// Base64 of the header, as client-final repeats it.
    const fn repeated(self) -> &'static str {
        match self {
            Self::No => "biws",
            Self::Yes => "eSws",
        }
    }
}

impl ScramServer {
    /// Takes client-first-message, writes server-first-message, and says how long that is.
    ///
    /// `lookup` finds the credential of a user; `None` goes on with the `decoy`, to the same
    /// refusal at the end as a wrong password. The nonce is drawn from `entropy`'s wire stream.
    ///
    /// # Errors
    /// Any but [`ScramError::BadProof`], [`ScramError::BadSignature`] and [`ScramError::Refused`].
    pub fn first(
        client_first: &[u8],
        lookup: impl FnOnce(&str) -> Option<Credential>,
        decoy: &Decoy,
        entropy: &mut impl Entropy,
        out: &mut [u8],
    ) -> Result<(Self, usize), ScramError> {
        Self::with_nonce(client_first, lookup, decoy, text::draw_nonce(entropy).as_str(), out)
    }

    pub(super) fn with_nonce(
        client_first: &[u8],
        lookup: impl FnOnce(&str) -> Option<Credential>,
        decoy: &Decoy,
        own: &str,
        out: &mut [u8],
    ) -> Result<(Self, usize), ScramError> {
        let (header, bare) = Header::split(text::message(client_first)?)?;
        let mut attributes = Attributes::of(bare);
        let user = attributes.take('n', "client-first has no user (n=) where it belongs")?;
        let theirs = attributes.take('r', "client-first has no nonce (r=) where it belongs")?;
        attributes.end()?;
        let user = text::unescape(user)?;
        text::check_nonce(theirs)?;
        let mut nonce = Nonce::new();
        nonce.push("nonce", theirs)?;
        nonce.push("nonce", own)?;

        let fake = decoy.credential(user.as_str())?; // always, so that both cost the same
        let found = lookup(user.as_str());
        let known = Choice::from(u8::from(found.is_some()));
        let credential = found.unwrap_or(fake);

        let length = challenge(nonce.as_str(), &credential, &mut *out)?;
        let over = |key: &Key| {
            let mut mac = super::keyed(key);
            for part in [bare.as_bytes(), b",", &out[..length], b","] {
                mac.update(part);
            }
            mac
        };
        let (client_mac, server_mac) = (over(&credential.stored_key), over(&credential.server_key));
        let stored_key = credential.stored_key.clone();
        let state = State::Challenged;
        Ok((Self { user, nonce, header, stored_key, client_mac, server_mac, known, state }, length))
    }

    /// Takes client-final-message, checks the proof in constant time, writes server-final-message,
    /// and says how long that is (46 octets).
    ///
    /// # Errors
    /// [`ScramError::BadProof`] for a wrong password and for an unknown user alike. After any error
    /// but [`ScramError::NoRoom`] the exchange is over: one exchange, one guess.
    pub fn handle_client_final(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, ScramError> {
        if self.state != State::Challenged {
            return Err(ScramError::OutOfOrder);
        }
        let needed = b"v=".len() + HASH_TEXT;
        if out.len() < needed {
            return Err(ScramError::NoRoom { needed });
        }
        let result = self.check(data);
        self.state = if result.is_ok() { State::Authenticated } else { State::Failed };
        let signature = result?;
        let mut out = Out::new(out);
        out.put(b"v=");
        out.put_base64(&*signature);
        out.finish()
    }

    /// Whether the client has proved that it is [`user`](Self::user).
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.state == State::Authenticated
    }

    /// Whom the client says it is; to be believed once [`is_authenticated`](Self::is_authenticated).
    #[must_use]
    pub fn user(&self) -> &str {
        self.user.as_str()
    }

    /// The server's signature, if the proof is right.
    fn check(&self, data: &[u8]) -> Result<Key, ScramError> {
        let message = text::message(data)?;
        let (unproved, proof) =
            message.rsplit_once(",p=").ok_or(text::malformed("client-final does not end in a proof (p=)"))?;
        let mut attributes = Attributes::of(unproved);
        let header = attributes.take('c', "client-final has no channel binding (c=) where it belongs")?;
        let nonce = attributes.take('r', "client-final has no nonce (r=) where it belongs")?;
        attributes.end()?;
        if header != self.header.repeated() {
            return Err(text::malformed("client-final repeats another header than client-first had"));
        }
        if nonce != self.nonce.as_str() {
            return Err(ScramError::Nonce);
        }
        let proof = text::decode_hash(proof)?;

        let sign = |mac: &HmacSha256| {
            let mut mac = mac.clone();
            mac.update(unproved.as_bytes());
            super::finish(mac)
        };
        let client_key = super::xor(&proof, &sign(&self.client_mac));
        let stored_key: Key = Zeroizing::new(Sha256::digest(*client_key).into());
        let right = super::same(&stored_key, &self.stored_key) & self.known;
        if bool::from(right) { Ok(sign(&self.server_mac)) } else { Err(ScramError::BadProof) }
    }
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("user", &self.user.as_str()).finish_non_exhaustive()
    }
}

/// Writes server-first-message.
fn challenge(nonce: &str, credential: &Credential, out: &mut [u8]) -> Result<usize, ScramError> {
    let mut out = Out::new(out);
    out.put(b"r=");
    out.put(nonce.as_bytes());
    out.put(b",s=");
    out.put_base64(credential.salt());
    out.put(b",i=");
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = credential.iterations();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.put(&digits[at..]);
    out.finish()
}
