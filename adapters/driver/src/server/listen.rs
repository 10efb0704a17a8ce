//! Where a server listens, and what each of these places allows.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;

use bowline_core::access::Network;
use bowline_core::endpoint::server::{ListenerConfig, ListenerKey, Speaks};

use super::tasks;
use super::{Anonymous, Server, StartError};
use crate::datagram::{self, UdpListener};
use crate::layer::Acceptor;
use crate::runtime::{Listener, Runtime};
use crate::{Address, AddressError, ListeningSocket, SocketOptions, clock};

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
    /// Whether it takes nothing but TLS, wherever it is.
    pub(super) tls_only: bool,
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
    pub(super) fn contain(&self, address: Option<IpAddr>) -> bool {
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
            tls_only: false,
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
    pub fn anonymous(mut self, anonymous: Anonymous) -> Self {
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

    /// Takes nothing but TLS there, as at an address that says so (`bowlines://`): also on
    /// [sockets](Self::sockets) that listen already, whatever they are. Not for UDP, which is secured otherwise.
    pub fn tls_only(mut self) -> Self {
        self.tls_only = true;
        self
    }

    /// A server starts without it where somebody else listens there; as long as it listens anywhere.
    pub fn if_free(mut self) -> Self {
        self.if_free = true;
        self
    }
}

/// What secures connections, by the layer around them.
#[derive(Clone)]
pub(super) struct Secures {
    pub(super) tls: Option<Arc<dyn Acceptor>>,
    pub(super) datagrams: Option<datagram::Config>,
}

/// A place where it listens already, and nobody takes connections yet.
pub(super) struct Opened<L> {
    pub(super) address: Address,
    listeners: Vec<L>,
    udp: Option<UdpListener>,
    config: ListenerConfig,
    proxies: Proxies,
    tls: Option<(Arc<dyn Acceptor>, bool)>,
}

/// What happens to connections that come in at one place.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) key: ListenerKey,
    pub(super) proxies: Proxies,
    /// The layer around each; and whether it is to take nothing else.
    pub(super) tls: Option<(Arc<dyn Acceptor>, bool)>,
}

/// Listens everywhere, but where somebody else does and that is no error.
pub(super) fn open_all<R: Runtime>(
    runtime: &R,
    all: Vec<Listen>,
    secures: &Secures,
) -> Result<Vec<Opened<R::Listener>>, StartError> {
    let (mut opened, mut taken) = (Vec::new(), None);
    for listen in all {
        let if_free = listen.if_free;
        match open(runtime, listen, secures) {
            Err(StartError::Listen { error, address }) if if_free && error.kind() == ErrorKind::AddrInUse => {
                taken = Some(StartError::Listen { error, address });
            }
            one => opened.push(one?),
        }
    }
    taken.filter(|_| opened.is_empty()).map_or(Ok(opened), Err)
}

fn open<R: Runtime>(
    runtime: &R,
    listen: Listen,
    secures: &Secures,
) -> Result<Opened<R::Listener>, StartError> {
    let Listen { place, config, options, proxies, tls_only, .. } = listen;
    let tls = secures.tls.as_ref();
    let (address, sockets) = match place {
        Place::Address(Ok(Address::Udp(to))) => return open_udp(runtime, to, config, secures),
        Place::Address(address) => {
            let address = address?;
            let sockets = ListeningSocket::bind(&address, &options);
            (address, sockets)
        }
        Place::Sockets(sockets) => {
            let first = sockets.first().ok_or(StartError::NoSocket)?;
            let address = first.local_address().unwrap_or_else(|_| Address::Unix("".into()));
            let ready: io::Result<()> = sockets.iter().try_for_each(ListeningSocket::set_nonblocking);
            (address, ready.map(|()| sockets))
        }
    };
    let only = tls_only || address.is_secured();
    if only && tls.is_none() {
        return Err(StartError::NoTls(address));
    }
    let listening = sockets.and_then(|sockets| {
        let listeners: Vec<_> =
            sockets.into_iter().map(|socket| runtime.listen(socket)).collect::<io::Result<_>>()?;
        let local = listeners.first().map(Listener::local_address).transpose()?;
        Ok((listeners, local.unwrap_or(address.clone())))
    });
    let (listeners, local) = listening.map_err(|error| StartError::Listen { address, error })?;
    let address = if only { local.secured() } else { local };
    // A Unix socket does not leave the machine; there it is only where it was asked for.
    let tls = tls.filter(|_| only || !matches!(address, Address::Unix(_))).map(|tls| (Arc::clone(tls), only));
    Ok(Opened { address, listeners, udp: None, config, proxies, tls })
}

fn open_udp<R: Runtime>(
    runtime: &R,
    to: String,
    config: ListenerConfig,
    secures: &Secures,
) -> Result<Opened<R::Listener>, StartError> {
    let bound = secures.datagrams.clone().ok_or_else(datagram::unsaid);
    let bound = bound.and_then(|config| datagram::bind(runtime, &to, config));
    let listening = bound.and_then(|udp| Ok((udp.local_address()?, udp)));
    let (address, udp) =
        listening.map_err(|error| StartError::Listen { address: Address::Udp(to), error })?;
    let (listeners, proxies) = (Vec::new(), Proxies::default());
    Ok(Opened { address, listeners, udp: Some(udp), config, proxies, tls: None })
}

/// # Listeners
impl<R: Runtime> Server<R> {
    /// Listens there as well from now on. Says where that is, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::start`](super::Builder::start) that are about listening.
    pub fn listen(&self, listen: Listen) -> Result<Address, StartError> {
        let opened = open(&self.runtime, listen, &self.secures)?;
        let address = opened.address.clone();
        self.enter(opened)?;
        Ok(address)
    }

    /// What the listeners are called that take connections now.
    #[must_use]
    pub fn listener_names(&self) -> Vec<String> {
        self.shared.with(|core, _| {
            let all = core.machine.listeners().filter(|l| !l.removed && l.key != ListenerKey::DEFAULT);
            all.map(|l| l.config.name.clone()).collect()
        })
    }

    /// Listens at this place no longer; it is called by its [name](Listen::named). Its connections stay, or
    /// with `close` are told to come back elsewhere. Says whether there was such a listener.
    pub fn close_listener(&self, name: &str, close: bool) -> bool {
        self.shared.with(|core, wake| {
            let named = core.machine.find_listener(name);
            let removed = named.is_some_and(|key| core.machine.remove_listener(clock::now(), key, close));
            // Who accepts there sees that it is over.
            wake.append(&mut core.watchers);
            removed
        })
    }

    /// What is [spoken](Listen::speaks) at the listener of this name from now on, how many
    /// [connections](Listen::max_connections) it takes, from [where](Listen::networks), and from
    /// [whom](Listen::anonymous): as `listen` says; its address and sockets stay as they are. Who is connected
    /// stays. Says whether there is such a listener.
    pub fn set_listener(&self, name: &str, listen: Listen) -> bool {
        let config = ListenerConfig { name: name.into(), ..listen.config };
        self.shared.with(|core, _| {
            let named = core.machine.find_listener(name);
            // Its name stays, so no other has it.
            named.is_some_and(|key| core.machine.set_listener(key, config).unwrap_or_default())
        })
    }

    /// Takes connections from there from now on.
    pub(super) fn enter(&self, opened: Opened<R::Listener>) -> Result<(), StartError> {
        let Opened { address, listeners, udp, mut config, proxies, tls } = opened;
        if config.name.is_empty() {
            config.name = address.to_string();
        }
        let key = self.shared.with(|core, _| core.machine.add_listener(config))?;
        let entrance = Entrance { key, proxies, tls };
        for listener in listeners {
            self.runtime.spawn(tasks::accept(self.clone(), listener, entrance.clone()));
        }
        if let Some(udp) = udp {
            self.shared.gauges.lock().push(udp.gauge());
            self.runtime.spawn(tasks::accept(self.clone(), udp, entrance));
        }
        Ok(())
    }
}
