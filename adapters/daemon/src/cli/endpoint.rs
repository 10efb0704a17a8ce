//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::PORT;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host, by name or number, and a port.
    Tcp { host: String, port: u16 },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[::1]:port`, `bowline://host:port`, `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, PORT)
    }

    /// The same, with another port for a host without one.
    pub(super) fn parse_with(text: &str, default: u16) -> Result<Self, String> {
        let complaint = |why: &str| {
            Err(format!(
                "`{text}` is not a server ({why}); write bowline://host:port, host:port or unix:/path"
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
        let address = text.strip_prefix("bowline://").unwrap_or(text);
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
            Self::Tcp { host, .. } => {
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
        }
    }
}
