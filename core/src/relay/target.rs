//! What a client wants to be connected to.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// Where a tunnel is to lead, as its client names it.
///
/// | written | where to |
/// |---|---|
/// | `host:port` | a port, over TCP; `address:port` likewise, an IPv6 address in brackets |
/// | `unix:/path` | a Unix socket |
/// | `tls://host:port` | the same in TLS: the relay checks that the target is the one of that name |
/// | `ws://host:port/path`, `wss://host:port/path` | binary messages of a WebSocket, whose borders mean nothing; without a port 80 and 443 |
/// | `NAME+ws://…`, `NAME+wss://…` | the same; this subprotocol is asked for |
/// | `bowline+udp://host:port` | the stream of a session over UDP, with a server of ours |
///
/// ```
/// use bowline_core::relay::{Host, Over, Target};
/// let target: Target = "DB.internal:5432".parse()?;
/// assert_eq!(target, Target::Port { over: Over::Tcp, host: Host::Name("db.internal".into()), port: 5432 });
/// assert_eq!("[::1]:22".parse::<Target>()?.to_string(), "[::1]:22");
/// assert_eq!("bowline+wss://hub.example".parse::<Target>()?.to_string(), "bowline+wss://hub.example:443/");
/// assert!("db.internal".parse::<Target>().is_err(), "a port is needed");
/// # Ok::<(), bowline_core::relay::BadTarget>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A port of a host.
    Port {
        /// What octets go in.
        over: Over,
        /// The host.
        host: Host,
        /// The port; never 0.
        port: u16,
    },
    /// A Unix socket: an absolute path without `.` and `..`.
    Unix(String),
}

/// What a tunnel's octets go in, between the relay and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Over {
    /// TCP alone.
    Tcp,
    /// TLS on TCP.
    Tls,
    /// Binary messages of a WebSocket.
    WebSocket {
        /// In TLS.
        tls: bool,
        /// The subprotocol that is asked for; may be empty.
        protocol: String,
        /// The path, and the query where there is one; begins with `/`.
        path: String,
    },
    /// The stream of a session over UDP (SPEC §11).
    Udp,
}

impl Target {
    /// The name of its host, where it goes by one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Port { host: Host::Name(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Its host as certificates name it, and as a request for a WebSocket does: that with the port, unless it is
    /// the scheme's. A Unix socket has none.
    #[must_use]
    pub fn host(&self) -> Option<(String, String)> {
        let Self::Port { over, host, port } = self else { return None };
        let (host, mut field) = match host {
            Host::Name(name) => (name.clone(), name.clone()),
            Host::Address(address @ IpAddr::V4(_)) => {
                (alloc::format!("{address}"), alloc::format!("{address}"))
            }
            Host::Address(address) => (alloc::format!("{address}"), alloc::format!("[{address}]")),
        };
        if !matches!(over, Over::WebSocket { tls, .. } if web_port(*tls) == *port) {
            field += &alloc::format!(":{port}");
        }
        Some((host, field))
    }

    /// The same, at this address of its host.
    pub(super) fn at(&self, address: IpAddr) -> Self {
        match self {
            Self::Port { over, port, .. } => {
                Self::Port { over: over.clone(), host: Host::Address(address), port: *port }
            }
            Self::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case and without a dot at its end.
    Name(String),
    /// An address; of IPv4 also where it came as IPv6 (`::ffff:192.0.2.1`).
    Address(IpAddr),
}

/// Why a text is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// What stands before `://` is unknown.
    #[error("the scheme is not known; write host:port, unix:/path, tls://, ws://, wss:// or bowline+udp://")]
    Scheme,
    /// There is no port.
    #[error("the port is missing; write host:port, [IPv6 address]:port or unix:/path")]
    NoPort,
    /// The port is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// The host is no name.
    #[error("the host is neither an address nor a name of letters, digits, `-`, `_` and `.`")]
    Host,
    /// An IPv6 address stands without brackets.
    #[error("an IPv6 address belongs in brackets")]
    Brackets,
    /// The path is not absolute, or has `.` or `..` in it.
    #[error("the path of a Unix socket is absolute, and without `.`, `..` and empty parts")]
    Path,
    /// The path of a WebSocket has something in it that servers may read in two ways.
    #[error(
        "the path of a WebSocket is visible ASCII, without `.`, `..`, empty parts, `#`, `\\`, and none of them in %"
    )]
    WebPath,
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if is_plain_path(path) { Ok(Self::Unix(path.into())) } else { Err(BadTarget::Path) };
        }
        let Written { over, place } = Written::read(text)?;
        let (host, port) = match (split_port(place), &over) {
            (Ok((host, port)), _) => (host, parse_port(port).ok_or(BadTarget::Port)?),
            (Err(_), Over::WebSocket { tls, .. }) => (place, web_port(*tls)),
            (Err(bad), _) => return Err(bad),
        };
        Ok(Self::Port { over, host: host_of(host)?, port })
    }
}

fn host_of(host: &str) -> Result<Host, BadTarget> {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => match address.parse() {
            Ok(IpAddr::V6(address)) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
            _ => Err(BadTarget::Host),
        },
        None if host.contains(':') => Err(BadTarget::Brackets),
        None => match host.parse() {
            Ok(address) => Ok(Host::Address(address)),
            Err(_) => name(host).map(Host::Name).ok_or(BadTarget::Host),
        },
    }
}

/// A text in its parts: what octets go in, and the host with its port.
pub(super) struct Written<'t> {
    pub(super) over: Over,
    pub(super) place: &'t str,
}

impl<'t> Written<'t> {
    fn read(text: &'t str) -> Result<Self, BadTarget> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self { over: Over::Tcp, place: text });
        };
        let over = match scheme {
            "tcp" => Over::Tcp,
            "tls" => Over::Tls,
            "bowline+udp" => Over::Udp,
            _ => {
                let (protocol, tls) = web_scheme(scheme).ok_or(BadTarget::Scheme)?;
                let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let path = if path.is_empty() { "/" } else { path };
                if !is_plain_web_path(path) {
                    return Err(BadTarget::WebPath);
                }
                return Ok(Self { over: Over::WebSocket { tls, protocol, path: path.into() }, place });
            }
        };
        Ok(Self { over, place: rest })
    }
}

/// The subprotocol that stands before `+`, if any, and whether it is in TLS.
pub(super) fn web_scheme(scheme: &str) -> Option<(String, bool)> {
    let (protocol, web) = scheme.rsplit_once('+').unwrap_or(("", scheme));
    let tls = match web {
        "ws" => false,
        "wss" => true,
        _ => return None,
    };
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let good = protocol.bytes().all(letters) && protocol.is_empty() == (web == scheme);
    good.then(|| (protocol.into(), tls))
}

pub(super) const fn web_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Whether every server reads this path, with its query, in the same way.
pub(super) fn is_plain_web_path(path: &str) -> bool {
    let visible = path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\'));
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let Some(parts) = path.strip_prefix('/') else { return false };
    let parts = parts.strip_suffix('/').unwrap_or(parts);
    let hidden = |part: &str| {
        let codes = part.match_indices('%').map(|(at, _)| part.get(at + 1..at + 3));
        codes.into_iter().any(|code| {
            code.is_none_or(|code| ["2e", "2f", "5c"].iter().any(|hidden| code.eq_ignore_ascii_case(hidden)))
        })
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !hidden(part);
    visible && (parts.is_empty() && path == "/" || parts.split('/').all(plain))
}

/// What is before the last `:`, and behind.
pub(super) fn split_port(text: &str) -> Result<(&str, &str), BadTarget> {
    match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => Ok((host, port)),
        _ => Err(BadTarget::NoPort),
    }
}

/// A port, in digits alone.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

/// A name of DNS as it is compared: each label of 1 to 63 octets, 253 together. One whose last label is
/// a number is none (it would be an IPv4 address in one of its old forms: `127.1`, `0x7f000001`).
pub(super) fn name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(letters) && !label.starts_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    let is_number = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X"));
    let good = text.len() <= 253 && text.split('.').all(label) && !is_number;
    good.then(|| text.to_ascii_lowercase())
}

/// Whether a path is absolute, and means what it says.
pub(super) fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// The scheme of a WebSocket, with `://`.
pub(super) fn web_text(tls: bool, protocol: &str) -> String {
    let (plus, s) = (if protocol.is_empty() { "" } else { "+" }, if tls { "s" } else { "" });
    alloc::format!("{protocol}{plus}ws{s}://")
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Port { over, host, port } => {
                match over {
                    Over::Tcp => {}
                    Over::Tls => f.write_str("tls://")?,
                    Over::Udp => f.write_str("bowline+udp://")?,
                    Over::WebSocket { tls, protocol, .. } => f.write_str(&web_text(*tls, protocol))?,
                }
                match host {
                    Host::Name(name) => write!(f, "{name}:{port}")?,
                    Host::Address(address) => SocketAddr::new(*address, *port).fmt(f)?,
                }
                if let Over::WebSocket { path, .. } = over { f.write_str(path) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn what_is_no_target_is_named() {
        let bad = |text: &str| text.parse::<Target>().unwrap_err();
        assert_eq!(bad(""), BadTarget::NoPort);
        assert_eq!(bad("[::1]"), BadTarget::NoPort);
        for port in ["h:", "h:0", "h:65536", "h:+1", "h:http"] {
            assert_eq!(bad(port), BadTarget::Port, "{port}");
        }
        for host in [":1", "a b:1", "a..b:1", ".a:1", "-a:1", "[h]:1", "[127.0.0.1]:1", "a/b:1", "é:1", "*:1"]
        {
            assert_eq!(bad(host), BadTarget::Host, "{host}");
        }
        // Other ways of writing an address, which a resolver may understand.
        for old in ["127.1:1", "2130706433:1", "0x7f000001:1", "0177.0.0.1:1", "a.0x7f:1", "127.0.0.1.:1"] {
            assert_eq!(bad(old), BadTarget::Host, "{old}");
        }
        assert_eq!(bad("::1:1"), BadTarget::Brackets);
        for path in ["unix:", "unix:run", "unix:/", "unix:/a//b", "unix:/a/../b", "unix:/./b"] {
            assert_eq!(bad(path), BadTarget::Path, "{path}");
        }
        for scheme in
            ["http://h:1", "://h:1", "udp://h:1", "+ws://h", "a b+ws://h", "tls+wss", "bowline+tls://h:1"]
        {
            let want = if scheme.contains("://") { BadTarget::Scheme } else { BadTarget::NoPort };
            assert_eq!(bad(scheme), want, "{scheme}");
        }
        assert_eq!(bad("tls://h"), BadTarget::NoPort);
        assert_eq!(bad("tls://h:1/x"), BadTarget::Port);
        assert_eq!(bad("bowline+udp://h"), BadTarget::NoPort);
        assert_eq!(bad("ws://u:p@h/"), BadTarget::Port);
        assert_eq!(bad("ws:///x"), BadTarget::Host);
    }

    /// What one server takes for the same as another path, and another does not, is none.
    #[test]
    fn the_path_of_a_websocket_means_one_thing() {
        for path in [
            "/a/../b",
            "/.",
            "/..",
            "/a//b",
            "//",
            "/%2e%2E/b",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a#b",
            "/ä",
            "/a b",
            "/%",
            "/%2",
        ] {
            let text = std::format!("ws://h{path}");
            assert_eq!(text.parse::<Target>(), Err(BadTarget::WebPath), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/b", "/a?x=/../%2e", "/%41", "/.well-known/x", "/a..b"] {
            let text = std::format!("ws://h:80{path}");
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn one_host_has_one_form() {
        let same = |a: &str, b: &str| assert_eq!(a.parse::<Target>(), b.parse::<Target>());
        same("Example.ORG.:80", "example.org:80");
        same("[::ffff:192.0.2.1]:80", "192.0.2.1:80");
        same("tcp://h:80", "h:80");
        same("ws://H", "ws://h:80/");
        same("mqtt+wss://h", "mqtt+wss://h.:443/");
        same("tls://[::ffff:192.0.2.1]:80", "tls://192.0.2.1:80");
    }

    #[test]
    fn a_host_is_named_to_the_target() {
        let host = |text: &str| text.parse::<Target>().unwrap().host();
        let of = |name: &str, field: &str| Some((name.into(), field.into()));
        assert_eq!(host("wss://h.example/x"), of("h.example", "h.example"));
        assert_eq!(host("wss://h.example:80"), of("h.example", "h.example:80"));
        assert_eq!(host("ws://[::1]"), of("::1", "[::1]"));
        assert_eq!(host("tls://192.0.2.1:443"), of("192.0.2.1", "192.0.2.1:443"));
        assert_eq!(host("unix:/a"), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "((tcp|tls|ws|wss|mqtt\\+ws|bowline\\+udp)://)?[a-z0-9.:/x\\[\\]-]{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
