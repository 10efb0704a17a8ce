//! Where to listen, and where to connect to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use bowline_core::endpoint::client::Carrier;

/// The port of `bowline://host` and of `host` alone; the IANA has assigned it to nobody.
pub const DEFAULT_PORT: u16 = 7790;

/// The port of `mqtt://host`.
pub const MQTT_PORT: u16 = 1883;

/// The port of `ws://host`, as RFC 6455 §3 has it.
pub const WEB_PORT: u16 = 80;

/// The port of `bowlines://host`; the IANA has assigned it to nobody.
pub const TLS_PORT: u16 = 7791;

/// The port of `mqtts://host`.
pub const MQTT_TLS_PORT: u16 = 8883;

/// The port of `wss://host`, as RFC 6455 §3 has it.
pub const WEB_TLS_PORT: u16 = 443;

/// Where to listen, or to connect to.
///
/// Written `bowline://host:port`, `host:port`, `host` (port 7790), `mqtt://host` (port 1883),
/// `ws://host:port/path` (port 80, path `/`), `bowline+udp://host:port` (port 7790) or `unix:/path`; an IPv6
/// address in brackets. Over TLS:
/// `bowlines://host` (port 7791), `mqtts://host` (port 8883), `wss://host:port/path` (port 443). What is
/// spoken there is not part of it: `mqtt+ws` and `bowline+ws` are other names of `ws`, and so on.
///
/// ```
/// use bowline_driver::Address;
/// let a: Address = "bowline://[::1]:7000".parse()?;
/// assert_eq!(a, Address::Tcp("[::1]:7000".into()));
/// assert_eq!("ws://h/mqtt".parse(), Ok(Address::WebSocket { to: "h:80".into(), target: "/mqtt".into() }));
/// assert_eq!("unix:/run/hub.sock".parse(), Ok(Address::Unix("/run/hub.sock".into())));
/// assert_eq!("example.org".parse::<Address>()?.to_string(), "bowline://example.org:7790");
/// # Ok::<(), bowline_driver::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// TCP: `host:port`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
    /// Datagram sessions over UDP: `host:port`.
    Udp(String),
    /// A WebSocket on TCP, to connect to. A server listens on TCP, and knows both from their first octets.
    WebSocket {
        /// `host:port`.
        to: String,
        /// The path, and the query where there is one; begins with `/`.
        target: String,
    },
    /// TLS on TCP: `host:port`. A server that listens there takes nothing else.
    Tls(String),
    /// A WebSocket in TLS, to connect to.
    TlsWebSocket {
        /// `host:port`.
        to: String,
        /// The path, and the query where there is one; begins with `/`.
        target: String,
    },
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "address {entry:?}: {what}; write bowline://host:port, host:port, ws://host:port/path, bowline+udp://host:port or unix:/path; with TLS bowlines, mqtts or wss"
)]
pub struct AddressError {
    /// The text.
    pub entry: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, DEFAULT_PORT)
    }
}

impl Address {
    /// Reads an address; `port` is that of a host without one, and without `mqtt://`.
    ///
    /// # Errors
    ///
    /// It makes no sense.
    pub fn parse(text: &str, port: u16) -> Result<Self, AddressError> {
        let entry = text.trim();
        let wrong = |what| AddressError { entry: entry.into(), what };
        if let Some(path) = entry.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(wrong("the path is empty"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (scheme, rest) = entry.split_once("://").unwrap_or(("bowline", entry));
        let host = |default| host_and_port(entry, rest.strip_suffix('/').unwrap_or(rest), default);
        match scheme {
            "bowline" | "tcp" => host(port).map(Self::Tcp),
            "mqtt" => host(MQTT_PORT).map(Self::Tcp),
            "bowline+udp" => host(DEFAULT_PORT).map(Self::Udp),
            "bowlines" => host(TLS_PORT).map(Self::Tls),
            "mqtts" => host(MQTT_TLS_PORT).map(Self::Tls),
            "ws" | "mqtt+ws" | "bowline+ws" => {
                web(entry, rest, WEB_PORT).map(|(to, target)| Self::WebSocket { to, target })
            }
            "wss" | "mqtt+wss" | "bowline+wss" => {
                web(entry, rest, WEB_TLS_PORT).map(|(to, target)| Self::TlsWebSocket { to, target })
            }
            _ => Err(wrong("the scheme is not known here")),
        }
    }

    /// Whether TLS is spoken there.
    ///
    /// ```
    /// use bowline_driver::Address;
    /// assert!("mqtts://h".parse::<Address>()?.is_secured() && !"mqtt://h".parse::<Address>()?.is_secured());
    /// # Ok::<(), bowline_driver::AddressError>(())
    /// ```
    #[must_use]
    pub const fn is_secured(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::TlsWebSocket { .. })
    }

    /// The same place over TLS, where it can be. A Unix socket does not leave the machine.
    pub(crate) fn secured(self) -> Self {
        match self {
            Self::Tcp(to) => Self::Tls(to),
            Self::WebSocket { to, target } => Self::TlsWebSocket { to, target },
            other => other,
        }
    }

    /// The host without its port and brackets: what a certificate must name.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tcp(to)
            | Self::Tls(to)
            | Self::Udp(to)
            | Self::WebSocket { to, .. }
            | Self::TlsWebSocket { to, .. } => {
                let host = to.rsplit_once(':').map_or(to.as_str(), |(host, _)| host);
                host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
            }
        }
    }

    /// Reads where a server is to listen.
    pub(crate) fn to_listen(text: &str) -> Result<Self, AddressError> {
        let address: Self = text.parse()?;
        if let Self::WebSocket { .. } | Self::TlsWebSocket { .. } = address {
            let what =
                "a server listens on TCP, where it takes WebSockets as well: leave out the scheme and path";
            return Err(AddressError { entry: text.into(), what });
        }
        Ok(address)
    }

    /// What a runtime connects to: the transport beneath.
    #[must_use]
    pub fn transport(self) -> Self {
        match self {
            Self::WebSocket { to, .. } | Self::Tls(to) | Self::TlsWebSocket { to, .. } => Self::Tcp(to),
            other => other,
        }
    }

    /// What a client's octets go in on that transport.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        match self {
            Self::WebSocket { to, target } => {
                let host = to.strip_suffix(":80").unwrap_or(to).into();
                Carrier::WebSocket { host, target: target.clone() }
            }
            Self::TlsWebSocket { to, target } => {
                let host = to.strip_suffix(":443").unwrap_or(to).into();
                Carrier::WebSocket { host, target: target.clone() }
            }
            Self::Tcp(_) | Self::Tls(_) | Self::Udp(_) | Self::Unix(_) => Carrier::Transport,
        }
    }
}

/// What follows `ws://`: the host with its port, and the target.
fn web(entry: &str, rest: &str, port: u16) -> Result<(String, String), AddressError> {
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
    if target.contains('#') {
        let what = "a WebSocket has no fragment (RFC 6455 §3); write %23 for #";
        return Err(AddressError { entry: entry.into(), what });
    }
    if !target.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "the path has other than visible ASCII characters; write them with %";
        return Err(AddressError { entry: entry.into(), what });
    }
    Ok((host_and_port(entry, host, port)?, target))
}

/// Reads `host` or `host:port`, and writes it with a port.
fn host_and_port(entry: &str, text: &str, default: u16) -> Result<String, AddressError> {
    let wrong = |what| AddressError { entry: entry.into(), what };
    if text.contains(['/', '@', ' ', '?', '#']) {
        return Err(wrong("nothing but a host and a port is allowed"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.is_empty() {
        return Err(wrong("the host is missing"));
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err(wrong("an IPv6 address belongs in brackets"));
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong("the port is not a number up to 65535"))?,
        None => default,
    };
    Ok(format!("{host}:{port}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(to) => write!(f, "bowline://{to}"),
            Self::Udp(to) => write!(f, "bowline+udp://{to}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::WebSocket { to, target } => write!(f, "ws://{to}{target}"),
            Self::Tls(to) => write!(f, "bowlines://{to}"),
            Self::TlsWebSocket { to, target } => write!(f, "wss://{to}{target}"),
        }
    }
}

impl Address {
    /// Reads a list with commas between the entries.
    ///
    /// # Errors
    ///
    /// Those of each entry that is wrong; an empty list is an error as well.
    ///
    /// ```
    /// use bowline_driver::Address;
    /// assert_eq!(Address::list("a:1, b:2").unwrap().len(), 2);
    /// assert_eq!(Address::list("a:1,b:x,c:y").unwrap_err().len(), 2);
    /// ```
    pub fn list(text: &str) -> Result<Vec<Address>, Vec<AddressError>> {
        Self::list_with(text, DEFAULT_PORT)
    }

    /// The same; `port` is that of hosts without one.
    pub(crate) fn list_with(text: &str, port: u16) -> Result<Vec<Address>, Vec<AddressError>> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in text.split(',') {
            match Self::parse(entry, port) {
                Ok(address) => good.push(address),
                Err(e) => bad.push(e),
            }
        }
        if bad.is_empty() { Ok(good) } else { Err(bad) }
    }
}

/// Removes a Unix socket that nobody listens on any more, as a server leaves behind that was
/// killed. A runtime calls it before it listens there; whatever else is at `path` stays.
#[cfg(unix)]
pub(crate) fn remove_stale_socket(path: &std::path::Path) {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    let refused = |e: std::io::Error| e.kind() == std::io::ErrorKind::ConnectionRefused;
    if is_socket && std::os::unix::net::UnixStream::connect(path).err().is_some_and(refused) {
        // If it cannot be removed, listening there says why.
        let _ = std::fs::remove_file(path);
    }
}

/// Has a socket of TCP be reset when it is closed, so that its peer does not take what it got for all
/// there was: what a runtime does in [`Transport::abort`](crate::Transport::abort). A Unix socket has no
/// such thing; its peer sees an end.
#[cfg(unix)]
pub fn abort_socket(socket: impl std::os::fd::AsFd) {
    // Where it fails, the peer sees an end.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let what = |text: &str| text.parse::<Address>().unwrap_err().what;
        assert_eq!(what(""), "the host is missing");
        assert_eq!(what(":80"), "the host is missing");
        assert_eq!(what("h:70000"), "the port is not a number up to 65535");
        assert_eq!(what("http://h:1"), "the scheme is not known here");
        assert_eq!(what("::1"), "an IPv6 address belongs in brackets");
        assert_eq!(what("h:1/path"), "nothing but a host and a port is allowed");
        assert_eq!(what("unix:"), "the path is empty");
        assert_eq!(what("https://h"), "the scheme is not known here");
        assert_eq!(what("wss://"), "the host is missing");
        assert_eq!(what("mqtts://h/x"), "nothing but a host and a port is allowed");
        assert_eq!(what("ws://"), "the host is missing");
        assert_eq!(what("ws:///mqtt"), "the host is missing");
        assert_eq!(what("ws://u:p@h/"), "nothing but a host and a port is allowed");
        assert!(what("ws://h/a#b").contains("fragment"));
        assert!(what("ws://h/ä").contains("ASCII"));
    }

    #[cfg(unix)]
    #[test]
    fn only_stale_sockets_are_removed() {
        let at = |name| std::env::temp_dir().join(format!("bowline-{name}-{}", std::process::id()));
        let (file, socket) = (at("file"), at("socket"));
        std::fs::write(&file, "x").unwrap();
        remove_stale_socket(&file);
        std::fs::remove_file(&file).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        remove_stale_socket(&socket);
        assert!(socket.exists(), "somebody listens");
        drop(listener);
        remove_stale_socket(&socket);
        assert!(!socket.exists());
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["bowline://h:1", "bowline://[::1]:2", "unix:/a b/c", "ws://h:1/", "ws://[::1]:2/a/b?c=d"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]".parse(), Ok(Address::Tcp("[::1]:7790".into())));
        assert_eq!("mqtt://h/".parse(), Ok(Address::Tcp("h:1883".into())));
        assert_eq!(Address::parse("h", 1), Ok(Address::Tcp("h:1".into())));
        for (text, full) in [
            ("ws://h", "ws://h:80/"),
            ("ws://h?a", "ws://h:80/?a"),
            ("mqtt+ws://h:1/mqtt", "ws://h:1/mqtt"),
            ("bowline+ws://[::1]", "ws://[::1]:80/"),
            ("bowlines://h", "bowlines://h:7791"),
            ("mqtts://h/", "bowlines://h:8883"),
            ("mqtts://[::1]:1", "bowlines://[::1]:1"),
            ("wss://h", "wss://h:443/"),
            ("mqtt+wss://h:1/mqtt?a", "wss://h:1/mqtt?a"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_certificate_must_name_the_host() {
        for (text, host) in [
            ("mqtts://h.example", "h.example"),
            ("wss://[::1]:1/x", "::1"),
            ("bowlines://192.0.2.1:1", "192.0.2.1"),
            ("h", "h"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().host(), host);
        }
    }

    #[test]
    fn a_websocket_is_asked_for_on_tcp() {
        assert!(Address::to_listen("ws://h/").unwrap_err().what.contains("listens on TCP"));
        assert_eq!(Address::to_listen("h:1"), Ok(Address::Tcp("h:1".into())));
        let carried = |text: &str| {
            let address: Address = text.parse().unwrap();
            (address.carrier(), address.transport().to_string())
        };
        let web = |host: &str, target: &str| Carrier::WebSocket { host: host.into(), target: target.into() };
        assert!(Address::to_listen("wss://h/").unwrap_err().what.contains("listens on TCP"));
        assert_eq!(Address::to_listen("mqtts://h"), Ok(Address::Tls("h:8883".into())));
        assert_eq!(carried("wss://h/x"), (web("h", "/x"), "bowline://h:443".into()));
        assert_eq!(carried("wss://h:80/x"), (web("h:80", "/x"), "bowline://h:80".into()));
        assert_eq!(carried("mqtts://h"), (Carrier::Transport, "bowline://h:8883".into()));
        assert_eq!(carried("ws://h/x"), (web("h", "/x"), "bowline://h:80".into()));
        assert_eq!(carried("ws://h:8080"), (web("h:8080", "/"), "bowline://h:8080".into()));
        assert_eq!(carried("h:80"), (Carrier::Transport, "bowline://h:80".into()));
    }
}
