//! The settings of a client.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::backoff::Policy;
use crate::compression::{Codec, THRESHOLD};
use crate::endpoint::carrier::RequestFields;
use crate::session;

/// How a client says who it is. Secrets are erased when dropped, and never printed.
///
/// ```
/// use bowline_core::endpoint::client::Credentials;
/// let c = Credentials::password("ann", "pencil");
/// assert_eq!(format!("{c:?}"), r#"Password { user: "ann", .. }"#);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// User and password, in clear: only over an encrypted transport or loopback.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<Vec<u8>>,
    },
    /// A token, in clear: only over an encrypted transport or loopback.
    Token(Zeroizing<Vec<u8>>),
    /// User and password by SCRAM-SHA-256: the password is not shown to who listens, and the
    /// server must know it too.
    Scram {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
}

impl Credentials {
    /// User and password, in clear.
    #[must_use]
    pub fn password(user: &str, password: impl AsRef<[u8]>) -> Self {
        Self::Password { user: user.into(), password: Zeroizing::new(password.as_ref().to_vec()) }
    }

    /// User and password by SCRAM-SHA-256. Connecting costs some tenths of a second of computing
    /// at most, as the server chooses.
    #[must_use]
    pub fn scram(user: &str, password: &str) -> Self {
        Self::Scram { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    /// A token, in clear.
    #[must_use]
    pub fn token(token: impl AsRef<[u8]>) -> Self {
        Self::Token(Zeroizing::new(token.as_ref().to_vec()))
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Scram { user, .. } => write!(f, "Scram {{ user: {user:?}, .. }}"),
        }
    }
}

/// How much a queue holds: the first of both that is reached counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Entries.
    pub max_messages: usize,
    /// Octets of topics, payloads and properties together.
    pub max_bytes: usize,
}

/// What a publish does when the queue of outgoing messages is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused with [`ClientError::Full`](super::ClientError::Full).
    #[default]
    Refuse,
    /// The oldest message that was never sent is dropped, and told by
    /// [`ClientEvent::Dropped`](super::ClientEvent::Dropped). Where none is left, it is refused.
    DropOldest,
}

/// How payloads are compressed (SPEC §5.8), where the server agrees.
///
/// Those of topics that begin with `$`, rooms among them, are not: the server looks at them. Nor are those that
/// say that they hold [secrets](super::Publish::secret).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// By which codecs, the one that is liked best first, of those that were built in (features `lz4` and
    /// `zstd`). Default: LZ4, then Zstandard.
    pub codecs: Vec<Codec>,
    /// From how many octets on a payload is compressed; [`THRESHOLD`], 512.
    pub threshold: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { codecs: Codec::ALL.to_vec(), threshold: THRESHOLD }
    }
}

/// The settings of a [`Client`](super::Client).
///
/// ```
/// use bowline_core::endpoint::client::{ClientConfig, Credentials};
/// let config = ClientConfig {
///     name: "thermometer-7".into(),
///     credentials: Credentials::token("s3cret"),
///     ..ClientConfig::default()
/// };
/// assert_eq!(config.outgoing.max_messages, 1024);
/// ```
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Limits, features and deadlines of each connection. `manual_accept` is always on here: a
    /// reliable message is acknowledged when the application takes it. Default: the
    /// specification's, with a keepalive of 30 s.
    pub session: session::Config,
    /// Who this is.
    pub credentials: Credentials,
    /// What it calls itself, for the server's logs; at most 256 octets, or empty.
    pub name: String,
    /// How long the session should outlive a connection. Default: 1 h. Zero: not at all.
    pub expiry: Duration,
    /// When to try again.
    pub backoff: Policy,
    /// How many endpoints there are to try in turn; the adapter keeps their addresses. Default: 1.
    pub endpoints: usize,
    /// How much may wait to be sent or, if reliable, to be acknowledged, connected or not.
    /// Requests and responses that wait count as well. Default: 1,024 messages, 4 MiB.
    pub outgoing: QueueLimits,
    /// What to do with a publish beyond that.
    pub when_full: WhenFull,
    /// Whether at most once messages wait while there is no connection. Otherwise they are refused
    /// then, and those that wait are dropped when the connection is lost. Default: yes.
    pub keep_unreliable: bool,
    /// How many events, and octets in them, may wait for the application. From half of either on
    /// the server gets no more credit; at the limit nothing more is read. The default, 65,536
    /// events and 4 MiB, is so much more than the session's credit that reading goes on, and pings
    /// are answered, while the application stalls.
    pub incoming: QueueLimits,
    /// For how long a request waits for its answer, where it does not say. Default: 30 s.
    pub request_timeout: Duration,
    /// How many requests may wait for an answer, each way. Default: 1,024.
    pub requests: usize,
    /// Whether to connect again when a connection is lost or cannot be made. Default: yes.
    pub reconnect: bool,
    /// What a request for a WebSocket has beside, where one carries a connection. Default: nothing.
    pub request_fields: RequestFields,
    /// Whether to compress payloads, and how. Default: not at all, because only the application knows which hold
    /// secrets, that their lengths would tell of ([`crate::compression`]).
    pub compression: Option<Compression>,
    /// How many tunnels there may be, and how many octets wait in each. Default: 1,024 of 256 KiB each
    /// way.
    pub tunnels: session::TunnelsConfig,
    /// The secure mode; with it nothing is ever said in clear. Default: none.
    #[cfg(feature = "noise")]
    pub noise: Option<super::NoiseConfig>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let mut session = session::Config::default();
        session.limits.keepalive = Some(Duration::from_secs(30));
        Self {
            session,
            credentials: Credentials::None,
            name: String::new(),
            expiry: Duration::from_secs(3600),
            backoff: Policy::default(),
            endpoints: 1,
            outgoing: QueueLimits { max_messages: 1024, max_bytes: 4 << 20 },
            when_full: WhenFull::Refuse,
            keep_unreliable: true,
            incoming: QueueLimits { max_messages: 65_536, max_bytes: 4 << 20 },
            request_timeout: Duration::from_secs(30),
            requests: 1024,
            reconnect: true,
            request_fields: RequestFields::new(),
            compression: None,
            tunnels: session::TunnelsConfig { max: 1024, ..session::TunnelsConfig::default() },
            #[cfg(feature = "noise")]
            noise: None,
        }
    }
}
