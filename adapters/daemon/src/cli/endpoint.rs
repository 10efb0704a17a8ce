//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::{MQTT_PORT, PORT};
use crate::net::{Address, AddressError, MQTT_TLS_PORT, TLS_PORT, WEB_PORT, WEB_TLS_PORT};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host, by name or number, and a port.
    Tcp { host: String, port: u16 },
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A WebSocket: the path begins with `/`.
    WebSocket { host: String, port: u16, target: String },
    /// A host and a port where TLS is spoken.
    Tls { host: String, port: u16 },
    /// A WebSocket in TLS.
    TlsWebSocket { host: String, port: u16, target: String },
    /// Sessions over UDP.
    Udp { host: String, port: u16 },
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[::1]:port`, `bowline://host:port`, `ws://host:port/path`,
    /// `bowline+udp://host:port`, `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, PORT)
    }

    /// The same, with another port for a host without one.
    pub(super) fn parse_with(text: &str, default: u16) -> Result<Self, String> {
        let complaint = |why: &str| {
            Err(format!(
                "`{text}` is not a server ({why}); write bowline://host:port, host:port, ws://host:port/path, \
                 bowline+udp://host:port, unix:/path, or with TLS bowlines, mqtts or wss"
            ))
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                complaint("the path is empty")
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (address, default) = match text.split_once("://") {
            Some(("bowline", rest)) => (rest, default),
            Some(("mqtt", rest)) => (rest, MQTT_PORT),
            Some((scheme, _)) if scheme.contains("ws") => return web(text),
            Some(("bowline+udp", rest)) => return over_udp(Self::parse_with(rest, PORT)?),
            Some(("bowlines", rest)) => return secured(Self::parse_with(rest, TLS_PORT)?),
            Some(("mqtts", rest)) => return secured(Self::parse_with(rest, MQTT_TLS_PORT)?),
            _ => (text, default),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains('/') {
            return complaint("its scheme is unknown");
        }
        let (host, port) = match (address.strip_prefix('['), address.matches(':').count()) {
            (Some(rest), _) => match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
                None => return complaint("a `]` is missing"),
            },
            (None, 0) => (address, None),
            (None, 1) => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
            // Several colons and no brackets: a bare IPv6 address.
            (None, _) => (address, None),
        };
        if host.is_empty() || (host.contains(':') && host.parse::<IpAddr>().is_err()) {
            return complaint("the host is missing or wrong");
        }
        let port = match port.map(str::parse) {
            None => default,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return complaint("the port is not a number from 1 to 65535"),
        };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }

    /// Reads a list with commas between.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(|part| Self::parse(part.trim())).collect()
    }

    /// The same place over TLS; a Unix socket does not leave the machine.
    pub(super) fn secured(self) -> Self {
        match self {
            Self::Tcp { host, port } => Self::Tls { host, port },
            Self::WebSocket { host, port, target } => Self::TlsWebSocket { host, port, target },
            other => other,
        }
    }

    /// Whether TLS is spoken there.
    pub(crate) const fn is_secured(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::TlsWebSocket { .. })
    }

    /// Whether sessions go over UDP there.
    pub(crate) const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// Whether nobody on a network can listen to what goes there.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. }
            | Self::Tls { host, .. }
            | Self::Udp { host, .. }
            | Self::WebSocket { host, .. }
            | Self::TlsWebSocket { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{}:{port}", bracketed(host)),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::WebSocket { host, port, target } => write!(f, "ws://{}:{port}{target}", bracketed(host)),
            Self::Tls { host, port } => write!(f, "bowlines://{}:{port}", bracketed(host)),
            Self::Udp { host, port } => write!(f, "bowline+udp://{}:{port}", bracketed(host)),
            Self::TlsWebSocket { host, port, target } => {
                write!(f, "wss://{}:{port}{target}", bracketed(host))
            }
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The same place over TLS.
fn secured(endpoint: Endpoint) -> Result<Endpoint, String> {
    match endpoint {
        Endpoint::Tcp { host, port } => Ok(Endpoint::Tls { host, port }),
        other => Err(format!("`{other}` is not a host and a port")),
    }
}

/// The same place over UDP.
fn over_udp(endpoint: Endpoint) -> Result<Endpoint, String> {
    match endpoint {
        Endpoint::Tcp { host, port } => Ok(Endpoint::Udp { host, port }),
        other => Err(format!("`{other}` is not a host and a port")),
    }
}

/// Reads the address of a WebSocket.
fn web(text: &str) -> Result<Endpoint, String> {
    let address: Address = text.parse().map_err(|error: AddressError| error.to_string())?;
    match address {
        Address::WebSocket { to, target } => match Endpoint::parse_with(&to, WEB_PORT)? {
            Endpoint::Tcp { host, port } => Ok(Endpoint::WebSocket { host, port, target }),
            other => Ok(other),
        },
        Address::TlsWebSocket { to, target } => match Endpoint::parse_with(&to, WEB_TLS_PORT)? {
            Endpoint::Tcp { host, port } => Ok(Endpoint::TlsWebSocket { host, port, target }),
            other => Ok(other),
        },
        other => Endpoint::parse(&other.to_string()),
    }
}
