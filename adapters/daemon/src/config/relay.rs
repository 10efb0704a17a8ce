//! What the server relays.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use bowline_core::access::Network;
use bowline_core::endpoint::server::RelayConfig;
use bowline_core::relay::{Allowed, TargetPattern};
use bowline_core::session::TunnelsConfig;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use super::{Size, Span, TokenHash};

/// A value that is written as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

/// Tunnels to targets elsewhere.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Relay {
    /// Where to; without any, nothing is relayed.
    pub(crate) allow: Vec<Written<TargetPattern>>,
    /// Networks that are not public, into which names that are allowed may lead.
    pub(crate) names_reach: Vec<Written<Network>>,
    /// Tunnels at most, in all and of one session.
    pub(crate) tunnels: usize,
    pub(crate) per_session: u32,
    /// Octets that wait in a tunnel at most, each way.
    pub(crate) window: Size,
    /// How long connecting to a target may take.
    pub(crate) connect_timeout: Span,
    /// For how long nothing may go through a tunnel; zero: for any time.
    pub(crate) idle_timeout: Span,
    /// What a tunnel may carry, both ways together; without one anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_octets: Option<Size>,
    pub(crate) tls: RelayTls,
    pub(crate) udp: RelayUdp,
}

/// Whom to trust over TLS, and who the relay is there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RelayTls {
    /// The authorities; without a file, those that this machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// SHA-256 of the public keys that targets must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pins: Vec<TokenHash>,
    /// What is shown to targets that ask for a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

/// How sessions over UDP are secured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RelayUdp {
    /// The relay's own key, or one that it shares with the targets: files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_key: Option<PathBuf>,
    /// The public key that a target must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_key: Option<String>,
}

impl Default for Relay {
    fn default() -> Self {
        let core = RelayConfig::default();
        Self {
            allow: Vec::new(),
            names_reach: Vec::new(),
            tunnels: core.max_tunnels,
            per_session: core.session.max,
            window: Size(u64::from(core.session.window)),
            connect_timeout: Span(core.connect_timeout),
            idle_timeout: Span(core.idle_timeout),
            max_octets: None,
            tls: RelayTls::default(),
            udp: RelayUdp::default(),
        }
    }
}

impl Relay {
    /// As the core takes it.
    pub(crate) fn options(&self) -> RelayConfig {
        let allowed = Allowed::new(self.allow.iter().map(|pattern| pattern.0.clone()))
            .names_reach(self.names_reach.iter().map(|network| network.0));
        let session = TunnelsConfig {
            window: u32::try_from(self.window.0).unwrap_or(u32::MAX),
            max: self.per_session,
            max_octets: self.max_octets.map_or(u64::MAX, |size| size.0),
        };
        RelayConfig {
            allowed,
            max_tunnels: self.tunnels,
            session,
            connect_timeout: self.connect_timeout.0,
            idle_timeout: self.idle_timeout.0,
        }
    }
}
