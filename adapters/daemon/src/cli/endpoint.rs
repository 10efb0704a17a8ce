//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::{MQTT_PORT, PORT};
use crate::net::{Address, AddressError, WEB_PORT};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host, by name or number, and a port.
    Tcp { host: String, port: u16 },
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A WebSocket: the path begins with `/`.
    WebSocket { host: String, port: u16, target: String },
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[::1]:port`, `bowline://host:port`, `ws://host:port/path`, `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, PORT)
    }

    /// The same, with another port for a host without one.
    pub(super) fn parse_with(text: &str, default: u16) -> Result<Self, String> {
        let complaint = |why: &str| {
            Err(format!(
                "`{text}` is not a server ({why}); write bowline://host:port, host:port, ws://host:port/path \
                 or unix:/path"
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
            Some((scheme, _)) if scheme.contains("ws") || scheme == "mqtts" => return web(text),
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

    /// Whether nobody on a network can listen to what goes there.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } | Self::WebSocket { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::WebSocket { host, port, target } if host.contains(':') => {
                write!(f, "ws://[{host}]:{port}{target}")
            }
            Self::WebSocket { host, port, target } => write!(f, "ws://{host}:{port}{target}"),
        }
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
        address if address.is_secured() => {
            Err(format!("`{text}`: TLS is not there yet in these tools; take ws:// on a network you trust"))
        }
        other => Endpoint::parse(&other.to_string()),
    }
}
