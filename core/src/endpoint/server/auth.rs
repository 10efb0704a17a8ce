//! Who may connect: the decision about a HELLO.

use alloc::string::String;
use alloc::vec::Vec;

use core::net::IpAddr;

use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::scram::{Credential, MIN_ITERATIONS};
use crate::session::Auth;

/// Who connects, as far as the transport knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; nothing for a Unix socket or a line in memory.
    pub address: Option<IpAddr>,
}

impl Peer {
    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|a| a.to_canonical().is_loopback())
    }
}

/// Who may come without saying who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody.
    Never,
    /// Whoever is on this machine.
    #[default]
    Local,
    /// Everybody.
    Always,
}

/// The users of a server, and how they may prove who they are.
///
/// Passwords are kept as SCRAM credentials, tokens as SHA-256: neither can be read back.
///
/// ```
/// use bowline_core::endpoint::server::{Anonymous, Users};
/// let mut users = Users::new(Anonymous::Never);
/// users.add_token(b"s3cr3t-of-the-sensor", "sensor");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Users {
    anonymous: Anonymous,
    passwords: HashMap<String, Credential>,
    tokens: HashMap<[u8; 32], String>,
}

/// Slow work with a password: run it outside of any lock, and hand the result to
/// [`Server::verified`](super::Server::verified).
#[derive(Debug)]
pub struct Verification {
    user: String,
    credential: Option<Credential>,
    password: Zeroizing<Vec<u8>>,
}

/// What [`Verification::run`] found.
#[derive(Debug)]
pub struct Verified {
    pub(super) identity: Option<String>,
}

impl Verification {
    /// Checks the password. Takes a millisecond or so, for a user that does not exist as well.
    #[must_use]
    pub fn run(self) -> Verified {
        // An unknown user costs the same time (AUT-4).
        let (salt, iterations) = match &self.credential {
            Some(credential) => (credential.salt(), credential.iterations()),
            None => (&b"no such user"[..], MIN_ITERATIONS),
        };
        let password = core::str::from_utf8(&self.password).ok();
        let derived = password.and_then(|p| Credential::derive(p, salt, iterations).ok());
        let good = match (&derived, &self.credential) {
            (Some(derived), Some(credential)) => derived.stored_key().ct_eq(credential.stored_key()).into(),
            _ => false,
        };
        Verified { identity: good.then_some(self.user) }
    }
}

/// What is decided about a HELLO.
pub(super) enum Decision {
    /// Come in, as this identity.
    Accept(String),
    /// First the password has to be checked.
    Verify(Verification),
    /// SCRAM: the exchange goes on.
    Scram,
    /// Wrong, or not welcome.
    Reject,
    /// Not a method that is offered.
    Method,
}

/// The methods that are offered, as AUT-1 wants them named.
pub(super) const METHODS: &str =
    "the methods offered are none (0), password (1), token (2), SCRAM-SHA-256 (3)";

impl Users {
    /// Nobody yet, but for those that `anonymous` lets in.
    #[must_use]
    pub fn new(anonymous: Anonymous) -> Self {
        Self { anonymous, ..Self::default() }
    }

    /// Adds a user with a password, kept as a SCRAM credential.
    pub fn add_password(&mut self, user: &str, credential: Credential) {
        self.passwords.insert(user.into(), credential);
    }

    /// Adds a token, and who comes with it. Only its hash is kept.
    pub fn add_token(&mut self, token: &[u8], identity: &str) {
        self.add_token_hash(Sha256::digest(token).into(), identity);
    }

    /// Adds a token by its SHA-256, so that it need not stand in a configuration.
    pub fn add_token_hash(&mut self, sha256: [u8; 32], identity: &str) {
        self.tokens.insert(sha256, identity.into());
    }

    /// The credential of a user, for SCRAM.
    pub(super) fn credential(&self, user: &str) -> Option<Credential> {
        self.passwords.get(user).cloned()
    }

    pub(super) fn decide(&self, peer: &Peer, auth: &Auth<'_>) -> Decision {
        match *auth {
            Auth::None => {
                let welcome = match self.anonymous {
                    Anonymous::Never => false,
                    Anonymous::Local => peer.is_local(),
                    Anonymous::Always => true,
                };
                if welcome { Decision::Accept(String::new()) } else { Decision::Reject }
            }
            Auth::Password { user, password } => Decision::Verify(Verification {
                user: user.into(),
                credential: self.credential(user),
                password: Zeroizing::new(password.to_vec()),
            }),
            Auth::Token(token) => self.token(token),
            Auth::Scram(_) => Decision::Scram,
            Auth::Other(0..4, _) => Decision::Reject,
            Auth::Other(..) => Decision::Method,
        }
    }

    /// Tokens are looked up by their hash, so the time it takes says nothing about them.
    fn token(&self, token: &[u8]) -> Decision {
        let hash: [u8; 32] = Sha256::digest(token).into();
        match self.tokens.get_key_value(&hash) {
            Some((known, identity)) if known.ct_eq(&hash).into() => Decision::Accept(identity.clone()),
            _ => Decision::Reject,
        }
    }
}
