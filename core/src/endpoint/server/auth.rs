//! Who may connect: the decision about what a client says of itself first.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::listeners::ListenerKey;
use super::secured::{Identities, Security};
use crate::access::Who;
use crate::scram::{Credential, MIN_ITERATIONS};
use crate::session::Auth;

/// Who connects, as far as the transport knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; nothing for a Unix socket or a line in memory.
    pub address: Option<IpAddr>,
    /// Its port; 0 where there is none, or nobody knows it.
    pub port: u16,
    /// Where it came in.
    pub listener: ListenerKey,
    /// What secures the connection; nothing until that is known, and where nothing does.
    pub secured: Option<Security>,
}

impl From<SocketAddr> for Peer {
    fn from(socket: SocketAddr) -> Self {
        Self { port: socket.port(), ..socket.ip().into() }
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }
}

impl Peer {
    /// Its address and port, as people write them: of IPv4 also where IPv6 carries it.
    ///
    /// ```
    /// use bowline_core::endpoint::server::Peer;
    /// let peer = Peer { address: Some("::ffff:192.0.2.1".parse()?), port: 5000, ..Peer::default() };
    /// assert_eq!(peer.socket().map(|s| s.to_string()).as_deref(), Some("192.0.2.1:5000"));
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        self.address.map(|address| SocketAddr::new(address.to_canonical(), self.port))
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|a| a.to_canonical().is_loopback())
    }

    /// Who it is for access rules, as this user, at the listener of this name.
    pub(super) const fn who<'a>(&self, user: &'a str, client_id: &'a str, listener: &'a str) -> Who<'a> {
        Who { user, client_id, address: self.address, listener, secured: self.secured }
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

/// Checks passwords against hashes that are none of the core's business: argon2, bcrypt and others.
///
/// The core holds such a hash as the text that it is, and asks where a password came.
pub trait PasswordCheck: Send + Sync {
    /// Whether `hash` was made of `password`. Takes as long as the hash demands, whatever the
    /// password is.
    fn check(&self, hash: &str, password: &[u8]) -> bool;

    /// The front part of `hash` that says how long a check takes: how it was made, without salt and
    /// outcome.
    fn cost<'a>(&self, hash: &'a str) -> &'a str;
}

/// The users of a server, and how they may prove who they are.
///
/// Passwords are kept as SCRAM credentials or as hashes that somebody else knows how to check,
/// tokens as SHA-256: none can be read back. A user with a SCRAM credential can prove the password
/// by SCRAM or say it; one with a hash can only say it.
///
/// ```
/// use bowline_core::endpoint::server::{Anonymous, Users};
/// let mut users = Users::new(Anonymous::Never);
/// users.add_token(b"s3cr3t-of-the-sensor", "sensor");
/// assert!(users.is_empty(), "a token is no user");
/// ```
#[derive(Clone, Default)]
pub struct Users {
    anonymous: Anonymous,
    passwords: HashMap<String, Password>,
    tokens: HashMap<[u8; 32], String>,
    check: Option<Arc<dyn PasswordCheck>>,
    /// How many passwords were added for each cost of a check.
    costs: HashMap<String, usize>,
    /// One of those of which there are most: what an unknown user's password is checked against.
    typical: Option<(Password, usize)>,
    pub(super) identities: Identities,
}

/// What is known of a password.
#[derive(Clone)]
enum Password {
    Scram(Credential),
    Hash(Arc<str>),
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("anonymous", &self.anonymous)
            .field("passwords", &self.passwords.len())
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

/// Slow work with a password: run it outside of any lock, and hand the result to
/// [`Server::verified`](super::Server::verified).
pub struct Verification {
    user: String,
    /// Of the user, or of one like most others.
    stored: Option<Password>,
    is_known: bool,
    password: Zeroizing<Vec<u8>>,
    check: Option<Arc<dyn PasswordCheck>>,
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What [`Verification::run`] found.
#[derive(Debug)]
pub struct Verified {
    pub(super) identity: Option<String>,
}

impl Verification {
    /// Checks the password. Takes as long as its hash demands, a millisecond to some tenths of a
    /// second.
    ///
    /// For a user that does not exist it does what it would do for most that do (AUT-4), so where
    /// all hashes are of one kind the time tells nobody who is a user.
    #[must_use]
    pub fn run(self) -> Verified {
        let good = match (&self.stored, &self.check) {
            (Some(Password::Hash(hash)), Some(check)) => check.check(hash, &self.password),
            (Some(Password::Scram(credential)), _) => self.matches(Some(credential)),
            _ => self.matches(None),
        };
        Verified { identity: (good && self.is_known).then_some(self.user) }
    }

    fn matches(&self, credential: Option<&Credential>) -> bool {
        let (salt, iterations) =
            credential.map_or((&b"no such user"[..], MIN_ITERATIONS), |c| (c.salt(), c.iterations()));
        let password = core::str::from_utf8(&self.password).ok();
        let derived = password.and_then(|p| Credential::derive(p, salt, iterations).ok());
        match (&derived, credential) {
            (Some(derived), Some(credential)) => derived.stored_key().ct_eq(credential.stored_key()).into(),
            _ => false,
        }
    }
}

/// What is decided about it.
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
        self.count(format!("SCRAM {}", credential.iterations()), &Password::Scram(credential.clone()));
        self.passwords.insert(user.into(), Password::Scram(credential));
    }

    /// Checks hashes with this from now on.
    pub fn set_check(&mut self, check: Arc<dyn PasswordCheck>) {
        self.check = Some(check);
    }

    /// Adds a user with the hash of a password. Nobody can come in by it without somebody who
    /// [checks](Self::set_check) it: set that first.
    pub fn add_hash(&mut self, user: &str, hash: &str) {
        let cost = self.check.as_ref().map_or(hash, |check| check.cost(hash));
        let password = Password::Hash(hash.into());
        self.count(cost.into(), &password);
        self.passwords.insert(user.into(), password);
    }

    /// How many users there are; tokens do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.passwords.len()
    }

    /// Whether there is no user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    fn count(&mut self, cost: String, password: &Password) {
        let count = self.costs.entry(cost).or_default();
        *count += 1;
        if self.typical.as_ref().is_none_or(|(_, most)| *count > *most) {
            self.typical = Some((password.clone(), *count));
        }
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
        match self.passwords.get(user) {
            Some(Password::Scram(credential)) => Some(credential.clone()),
            _ => None,
        }
    }

    /// The check of a password that was said, by whatever dialect.
    pub(super) fn verification(&self, user: &str, password: &[u8]) -> Verification {
        let known = self.passwords.get(user);
        Verification {
            user: user.into(),
            stored: known.or_else(|| self.typical.as_ref().map(|(password, _)| password)).cloned(),
            is_known: known.is_some(),
            password: Zeroizing::new(password.to_vec()),
            check: self.check.clone(),
        }
    }

    /// What is decided about a peer, of whom the layer below may have proved that it is this user. Then
    /// it needs to say nothing, or its name alone (AUT-8); what it says beyond decides.
    /// `anonymous` is that of its listener, where that has one of its own.
    pub(super) fn decide(
        &self,
        peer: &Peer,
        proved: Option<&str>,
        auth: &Auth<'_>,
        anonymous: Option<Anonymous>,
    ) -> Decision {
        match (proved, *auth) {
            (Some(user), Auth::None) => return Decision::Accept(user.into()),
            (Some(proved), Auth::Password { user, password: b"" }) if user == proved => {
                return Decision::Accept(user.into());
            }
            _ => {}
        }
        match *auth {
            Auth::None => {
                let welcome = match anonymous.unwrap_or(self.anonymous) {
                    Anonymous::Never => false,
                    Anonymous::Local => peer.is_local(),
                    Anonymous::Always => true,
                };
                if welcome { Decision::Accept(String::new()) } else { Decision::Reject }
            }
            Auth::Password { user, password } => Decision::Verify(self.verification(user, password)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// `KIND$PASSWORD`, and a list of what was checked.
    #[derive(Default)]
    struct Plain(Mutex<Vec<String>>);

    impl PasswordCheck for Plain {
        fn check(&self, hash: &str, password: &[u8]) -> bool {
            self.0.lock().unwrap().push(hash.into());
            hash.split_once('$').unwrap().1.as_bytes() == password
        }

        fn cost<'a>(&self, hash: &'a str) -> &'a str {
            hash.split_once('$').unwrap().0
        }
    }

    fn comes_in(users: &Users, user: &str, password: &[u8]) -> Option<String> {
        match users.decide(&Peer::default(), None, &Auth::Password { user, password }, None) {
            Decision::Verify(work) => work.run().identity,
            _ => unreachable!("a password is always checked"),
        }
    }

    #[test]
    fn a_hash_is_checked_by_who_knows_it() {
        let check = Arc::new(Plain::default());
        let mut users = Users::new(Anonymous::Never);
        users.set_check(check.clone());
        users.add_hash("ann", "slow$pencil");
        users.add_password("bob", Credential::derive("crayon", b"salt", MIN_ITERATIONS).unwrap());
        assert_eq!(comes_in(&users, "ann", b"pencil").as_deref(), Some("ann"));
        assert_eq!(comes_in(&users, "ann", b"crayon"), None);
        assert_eq!(comes_in(&users, "ann", b"slow$pencil"), None, "the hash is not the password");
        assert_eq!(comes_in(&users, "bob", b"crayon").as_deref(), Some("bob"));
        assert_eq!(comes_in(&users, "bob", b"\xff"), None);
        assert!(users.credential("ann").is_none() && users.credential("bob").is_some());
        assert_eq!((users.len(), users.is_empty()), (2, false));
        let shown = format!("{users:?}{:?}", users.verification("ann", b"pencil"));
        assert!(!shown.contains("pencil"), "{shown}");
    }

    /// AUT-4: for nobody is done what is done for most, and even the right password of that one
    /// lets nobody in.
    #[test]
    fn an_unknown_user_costs_what_most_users_cost() {
        let check = Arc::new(Plain::default());
        let mut users = Users::new(Anonymous::Never);
        assert_eq!(comes_in(&users, "nobody", b"x"), None);
        users.set_check(check.clone());
        users.add_hash("ann", "slow$1");
        users.add_hash("bob", "fast$2");
        users.add_hash("eve", "fast$3");
        for password in ["1", "2", "3"] {
            assert_eq!(comes_in(&users, "nobody", password.as_bytes()), None);
        }
        assert!(check.0.lock().unwrap().iter().all(|hash| hash.starts_with("fast")));
        assert_eq!(check.0.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_hash_that_nobody_knows_lets_nobody_in() {
        let mut users = Users::new(Anonymous::Never);
        users.add_hash("ann", "x$pencil");
        assert_eq!(comes_in(&users, "ann", b"pencil"), None);
    }
}
