//! Where the server listens, and what each of these places allows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use bowline_core::access::Network;
use bowline_core::endpoint::server::Speaks;
use serde::{Deserialize, Serialize};

use super::verify::Check;
use super::{Anonymous, Size, Span};

/// One listener: exactly one of its first four fields is set.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Sessions over UDP, secured as `udp` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) udp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unix: Option<PathBuf>,
    /// Whether TCP takes nothing but TLS; without it, as `tls.plain` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<bool>,
    /// What a socket is called that systemd hands over (`FileDescriptorName=`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) systemd: Option<String>,
    /// What it is called in logs, counters and the console; without one as its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What may be spoken there; without a list everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speaks: Option<Vec<String>>,
    /// Connections at a time; without one as many as the server takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<usize>,
    /// From where they may come; without a list from anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) networks: Vec<String>,
    /// From where one may connect without a name; without one as `auth.anonymous` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) anonymous: Option<Anonymous>,
    /// Balancers, which say by the PROXY protocol whose a connection is: networks, or `unix`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) proxies: Vec<String>,
    /// Sockets that share the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<usize>,
    /// Connections that wait to be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backlog: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receive_buffer: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) send_buffer: Option<Size>,
    /// After so much silence the system looks whether the other end is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp_keepalive: Option<Span>,
    /// The mode of a Unix socket's file, in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
}

/// What stands for whoever comes over a Unix socket, among the proxies.
pub(crate) const LOCAL: &str = "unix";

impl Listen {
    /// One at an address.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self { tcp: Some(address), ..Self::default() }
    }

    /// One at the path of a Unix socket.
    pub(crate) fn unix(path: PathBuf) -> Self {
        Self { unix: Some(path), ..Self::default() }
    }

    /// Its address, for people.
    pub(crate) fn address(&self) -> String {
        if let Some(udp) = self.udp {
            return format!("bowline+udp://{udp}");
        }
        match (&self.tcp, &self.unix, &self.systemd) {
            (Some(tcp), _, _) => tcp.to_string(),
            (_, Some(path), _) => format!("unix:{}", path.display()),
            (_, _, name) => format!("systemd:{}", name.as_deref().unwrap_or_default()),
        }
    }

    /// What it is called.
    pub(crate) fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address())
    }

    /// What cannot change while it listens: its address, its sockets, who speaks for others there.
    pub(crate) fn sockets(&self) -> Self {
        Self {
            name: None,
            speaks: None,
            connections: None,
            networks: Vec::new(),
            anonymous: None,
            ..self.clone()
        }
    }

    /// The mode of its file, where that is one.
    pub(crate) fn file_mode(&self) -> Option<u32> {
        u32::from_str_radix(self.mode.as_deref()?, 8).ok().filter(|mode| *mode <= 0o777)
    }
}

/// Complains about what goes not together, or is nothing.
pub(super) fn verify(listeners: &[Listen], check: &mut Check<'_>) {
    if listeners.is_empty() {
        check.complain("listen", "there must be at least one listener");
    }
    let (mut addresses, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, listen) in listeners.iter().enumerate() {
        let key = format!("listen[{index}]");
        let places =
            [listen.tcp.is_some(), listen.udp.is_some(), listen.unix.is_some(), listen.systemd.is_some()];
        if places.into_iter().filter(|set| *set).count() != 1 {
            check.complain(
                &key,
                "it must have one of `tcp` and `udp` (an address with a port), `unix` (a path) and `systemd` (a socket's name)",
            );
            continue;
        }
        if listen.unix.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            check.complain(&format!("{key}.unix"), "the path is empty");
        }
        let any_port = listen.tcp.or(listen.udp).is_some_and(|address| address.port() == 0);
        let address = listen.address();
        if !addresses.insert(address.clone()) && !any_port {
            check.complain(&key, format!("{address} is listed twice"));
        }
        if let Some(name) = listen.name.as_ref().filter(|name| !names.insert((*name).clone())) {
            check.complain(&format!("{key}.name"), format!("another listener is called {name}"));
        }
        one(listen, &key, check);
    }
}

fn one(listen: &Listen, key: &str, check: &mut Check<'_>) {
    let at = |field: &str| format!("{key}.{field}");
    for word in listen.speaks.iter().flatten() {
        if let Err(error) = word.parse::<Speaks>() {
            check.complain(&at("speaks"), format!("`{word}` is not spoken here; {error}"));
        }
    }
    if listen.speaks.as_ref().is_some_and(Vec::is_empty) {
        check.complain(&at("speaks"), "nothing could be spoken there; leave it out for everything");
    }
    let networks = listen.networks.iter().map(|network| ("networks", network));
    let proxies = listen.proxies.iter().filter(|proxy| *proxy != LOCAL).map(|proxy| ("proxies", proxy));
    for (field, text) in networks.chain(proxies) {
        if let Err(error) = text.parse::<Network>() {
            check.complain(&at(field), format!("`{text}`: {error}"));
        }
    }
    let within = |field, value: Option<u64>, most: u64, check: &mut Check<'_>| {
        if let Some(value) = value {
            check.within(&at(field), &value, &(1..=most));
        }
    };
    within("connections", listen.connections.map(|n| n as u64), u64::from(u32::MAX), check);
    within("workers", listen.workers.map(|n| n as u64), 1024, check);
    within("backlog", listen.backlog.map(u64::from), 1 << 20, check);
    let buffers = [("receive_buffer", &listen.receive_buffer), ("send_buffer", &listen.send_buffer)];
    for (field, size) in buffers {
        if let Some(size) = size {
            check.within(&at(field), size, &(Size(2 << 10)..=Size(1 << 30)));
        }
    }
    if let Some(silence) = &listen.tcp_keepalive {
        check.within(&at("tcp_keepalive"), silence, &(Span::from_secs(1)..=Span::from_secs(32_767)));
    }
    if listen.mode.is_some() && listen.file_mode().is_none() {
        check.complain(&at("mode"), "it must be a mode in octal, such as \"660\"");
    }
    let only = [
        ("mode", listen.mode.is_some(), listen.unix.is_some(), "Unix sockets that are made here have"),
        ("workers", listen.workers.is_some(), listen.tcp.is_some(), "TCP ports have"),
        ("tcp_keepalive", listen.tcp_keepalive.is_some(), listen.tcp.is_some(), "TCP ports have"),
    ];
    for (field, _, _, whose) in only.into_iter().filter(|(_, set, fits, _)| *set && !fits) {
        check.complain(&at(field), format!("only {whose} one; leave it out"));
    }
}
