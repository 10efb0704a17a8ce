//! What a client wants to be connected to.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// Where a tunnel is to lead, as its client names it: `host:port`, `address:port` (IPv6 in brackets)
/// or `unix:/path`.
///
/// ```
/// use bowline_core::relay::{Host, Target};
/// let target: Target = "DB.internal:5432".parse()?;
/// assert_eq!(target, Target::Tcp { host: Host::Name("db.internal".into()), port: 5432 });
/// assert_eq!("[::1]:22".parse::<Target>()?.to_string(), "[::1]:22");
/// assert!("db.internal".parse::<Target>().is_err(), "a port is needed");
/// # Ok::<(), bowline_core::relay::BadTarget>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A port of a host.
    Tcp {
        /// The host.
        host: Host,
        /// The port; never 0.
        port: u16,
    },
    /// A Unix socket: an absolute path without `.` and `..`.
    Unix(String),
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
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if is_plain_path(path) { Ok(Self::Unix(path.into())) } else { Err(BadTarget::Path) };
        }
        let (host, port) = split_port(text)?;
        let port = parse_port(port).ok_or(BadTarget::Port)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(address) => match address.parse() {
                Ok(IpAddr::V6(address)) => Host::Address(IpAddr::V6(address).to_canonical()),
                _ => return Err(BadTarget::Host),
            },
            None if host.contains(':') => return Err(BadTarget::Brackets),
            None => match host.parse() {
                Ok(address) => Host::Address(address),
                Err(_) => Host::Name(name(host).ok_or(BadTarget::Host)?),
            },
        };
        Ok(Self::Tcp { host, port })
    }
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

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Host::Name(name), port } => write!(f, "{name}:{port}"),
            Self::Tcp { host: Host::Address(address), port } => SocketAddr::new(*address, *port).fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
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
    }

    #[test]
    fn one_host_has_one_form() {
        let same = |a: &str, b: &str| assert_eq!(a.parse::<Target>(), b.parse::<Target>());
        same("Example.ORG.:80", "example.org:80");
        same("[::ffff:192.0.2.1]:80", "192.0.2.1:80");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "[a-z0-9.:/x\\[\\]-]{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
