//! Where a server listens, and what each of these places allows.

use std::fmt;

pub use bowline_core::endpoint::server::{ListenerConfig, Speaks};
use bowline_core::access::Network;

use crate::{Address, AddressError, ListeningSocket, SocketOptions};

/// Where a server listens, and what it allows there.
///
/// ```
/// use bowline_driver::server::{Listen, Speaks};
/// let devices = Listen::on("mqtt://0.0.0.0")
///     .named("devices")
///     .speaks(Speaks::MQTT)
///     .max_connections(5000)
///     .proxied_by(["10.0.0.0/8".parse().unwrap()]);
/// # let _ = devices;
/// ```
#[must_use = "a server is to be told of it"]
pub struct Listen {
    pub(super) place: Place,
    /// Without a name: it is called as its address.
    pub(super) config: ListenerConfig,
    pub(super) options: SocketOptions,
    pub(super) proxies: Proxies,
    /// Whether a server starts without where somebody else listens.
    pub(super) if_free: bool,
}

/// Where that is.
pub(super) enum Place {
    Address(Result<Address, AddressError>),
    /// Sockets that listen already.
    Sockets(Vec<ListeningSocket>),
}

/// Who passes on the connections of others, and has to say whose they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    networks: Vec<Network>,
    /// Whoever comes over a Unix socket.
    local: bool,
}

impl Proxies {
    /// Whether a connection from there begins with a PROXY header.
    pub(super) fn contain(&self, address: Option<std::net::IpAddr>) -> bool {
        match address {
            Some(address) => self.networks.iter().any(|network| network.contains(address)),
            None => self.local,
        }
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Listen {
    fn new(place: Place) -> Self {
        Self {
            place,
            config: ListenerConfig::new(""),
            options: SocketOptions::default(),
            proxies: Proxies::default(),
            if_free: false,
        }
    }

    /// At an [`Address`]. Port 0: the system chooses.
    pub fn on(address: &str) -> Self {
        Self::new(Place::Address(Address::to_listen(address)))
    }

    /// On sockets that listen already, as systemd hands them over. There is at least one.
    pub fn sockets(sockets: impl IntoIterator<Item = ListeningSocket>) -> Self {
        Self::new(Place::Sockets(sockets.into_iter().collect()))
    }

    /// What it is called in logs and counters, and where it is [closed](super::Server::close_listener). No
    /// two have the same. Default: its address.
    pub fn named(mut self, name: &str) -> Self {
        self.config.name = name.into();
        self
    }

    /// What is spoken there. Default: all that the server speaks.
    pub fn speaks(mut self, speaks: Speaks) -> Self {
        self.config.speaks = speaks;
        self
    }

    /// Connections at most at a time. Default: as many as the server takes.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.config.max_connections = most;
        self
    }

    /// Only from these networks. Default: from anywhere.
    pub fn networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.config.networks = networks.into_iter().collect();
        self
    }

    /// Who may come without saying who they are. Default: as the server's users say.
    pub fn anonymous(mut self, anonymous: super::Anonymous) -> Self {
        self.config.anonymous = Some(anonymous);
        self
    }

    /// How its sockets listen.
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Connections from these networks are passed on by a balancer: each begins with a header of the PROXY
    /// protocol, version 1 or 2, that says whose it is, and is let go where it does not. That address counts
    /// for limits, rules and logs. Connections from elsewhere say for themselves who they are: a header
    /// there is an error.
    pub fn proxied_by(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.proxies.networks = networks.into_iter().collect();
        self
    }

    /// The same for all who come over a Unix socket.
    pub fn proxied_locally(mut self) -> Self {
        self.proxies.local = true;
        self
    }

    /// A server starts without it where somebody else listens there; as long as it listens anywhere.
    pub fn if_free(mut self) -> Self {
        self.if_free = true;
        self
    }
}
