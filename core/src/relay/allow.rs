//! Which targets are allowed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use super::target::{is_plain_path, name, parse_port, split_port};
use super::{Host, Target, is_public};
use crate::access::{BadNetwork, Network};

/// One entry of a list of allowed targets.
///
/// | written | allows |
/// |---|---|
/// | `db.internal:5432` | this name, this port |
/// | `*.example.org:443` | every name below, at any depth |
/// | `192.0.2.7:22`, `[2001:db8::7]:22` | this address |
/// | `10.0.0.0/8:5432`, `[fd00::/8]:22` | every address of a network |
/// | `*:443` | every name and every [public](is_public) address |
/// | `HOST:*`, `HOST:8000-8100`, `HOST:80,443` | all ports, some of them |
/// | `unix:/run/app.sock`, `unix:/run/app/*` | a Unix socket, all that stand in a directory |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Tcp {
        hosts: Hosts,
        ports: Vec<(u16, u16)>,
    },
    Path(String),
    /// What stands in it, with `/` at its end.
    Directory(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    Name(String),
    /// With the dot in front.
    Below(String),
    Network(Network),
}

/// Why a text is no [`TargetPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPattern {
    /// There are no ports.
    #[error("the ports are missing; write HOST:PORT, or HOST:* for all")]
    NoPort,
    /// The ports are none.
    #[error("the ports are neither `*` nor numbers from 1 to 65535, such as 443, 80,443 or 8000-8100")]
    Ports,
    /// The host is none.
    #[error(
        "the host is no name, address or network; write one such as db.internal, *.example.org, 10.0.0.0/8, [fd00::/8] or *"
    )]
    Host,
    /// The network is none.
    #[error("{0}")]
    Network(BadNetwork),
    /// The path is not absolute, or has `.` or `..` in it.
    #[error("the path of a Unix socket is absolute and plain; `*` may stand for the last part alone")]
    Path,
}

impl FromStr for TargetPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_suffix("/*") {
                Some(directory) if is_plain_path(directory) => {
                    Ok(Self(Pattern::Directory(alloc::format!("{directory}/"))))
                }
                None if is_plain_path(path) && !path.contains('*') => Ok(Self(Pattern::Path(path.into()))),
                _ => Err(BadPattern::Path),
            };
        }
        let (host, port) = split_port(text).map_err(|_| BadPattern::NoPort)?;
        let ports = ports(port).ok_or(BadPattern::Ports)?;
        Ok(Self(Pattern::Tcp { hosts: hosts(host)?, ports }))
    }
}

fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    if text == "*" {
        return Some([(1, u16::MAX)].into());
    }
    let range = |part: &str| match part.split_once('-') {
        Some((from, to)) => Some((parse_port(from)?, parse_port(to)?)).filter(|(from, to)| from <= to),
        None => parse_port(part).map(|port| (port, port)),
    };
    text.split(',').map(range).collect()
}

fn hosts(text: &str) -> Result<Hosts, BadPattern> {
    if text == "*" {
        return Ok(Hosts::Any);
    }
    if let Some(below) = text.strip_prefix("*.") {
        return name(below).map(|name| Hosts::Below(alloc::format!(".{name}"))).ok_or(BadPattern::Host);
    }
    let network = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match network.parse() {
        Ok(network) => Ok(Hosts::Network(network)),
        Err(BadNetwork::Address) => name(text).map(Hosts::Name).ok_or(BadPattern::Host),
        Err(bad) => Err(BadPattern::Network(bad)),
    }
}

impl TargetPattern {
    fn allows(&self, target: &Target) -> bool {
        match (&self.0, target) {
            (Pattern::Tcp { hosts, ports }, Target::Tcp { host, port }) => {
                has(ports, *port)
                    && match (hosts, host) {
                        (Hosts::Any, Host::Name(_)) => true,
                        (Hosts::Any, Host::Address(address)) => is_public(*address),
                        (Hosts::Name(allowed), Host::Name(name)) => allowed == name,
                        (Hosts::Below(domain), Host::Name(name)) => name.ends_with(domain.as_str()),
                        (Hosts::Network(network), Host::Address(address)) => network.contains(*address),
                        _ => false,
                    }
            }
            (Pattern::Path(allowed), Target::Unix(path)) => allowed == path,
            (Pattern::Directory(directory), Target::Unix(path)) => {
                path.strip_prefix(directory.as_str()).is_some_and(|rest| !rest.contains('/'))
            }
            _ => false,
        }
    }

    /// Whether it names a network in which this address and port are.
    fn names(&self, socket: SocketAddr) -> bool {
        match &self.0 {
            Pattern::Tcp { hosts: Hosts::Network(network), ports } => {
                has(ports, socket.port()) && network.contains(socket.ip())
            }
            _ => false,
        }
    }
}

fn has(ports: &[(u16, u16)], port: u16) -> bool {
    ports.iter().any(|(from, to)| (*from..=*to).contains(&port))
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hosts, ports) = match &self.0 {
            Pattern::Path(path) => return write!(f, "unix:{path}"),
            Pattern::Directory(directory) => return write!(f, "unix:{directory}*"),
            Pattern::Tcp { hosts, ports } => (hosts, ports),
        };
        match hosts {
            Hosts::Any => f.write_str("*:")?,
            Hosts::Name(name) => write!(f, "{name}:")?,
            Hosts::Below(domain) => write!(f, "*{domain}:")?,
            Hosts::Network(network) => write!(f, "[{network}]:")?,
        }
        for (i, (from, to)) in ports.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match (*from, *to) {
                (1, u16::MAX) => write!(f, "{comma}*")?,
                (from, to) if from == to => write!(f, "{comma}{from}")?,
                (from, to) => write!(f, "{comma}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

/// The targets that a relay may connect to. None by default.
///
/// ```
/// use bowline_core::relay::Allowed;
/// let allowed = Allowed::new(["*.example.org:443".parse()?, "10.1.0.0/16:5432".parse()?]);
/// assert!(allowed.permits(&"www.example.org:443".parse().unwrap()));
/// assert!(!allowed.permits(&"example.com:443".parse().unwrap()));
///
/// // A name is allowed, and what it leads to is looked at again.
/// assert!(allowed.permits_resolved("www.example.org", "93.184.216.34:443".parse().unwrap()));
/// assert!(!allowed.permits_resolved("www.example.org", "169.254.169.254:443".parse().unwrap()));
/// # Ok::<(), bowline_core::relay::BadPattern>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    patterns: Vec<TargetPattern>,
    reach: Vec<Network>,
}

impl Allowed {
    /// These alone.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = TargetPattern>) -> Self {
        Self { patterns: patterns.into_iter().collect(), reach: Vec::new() }
    }

    /// Lets names that are allowed lead into these networks as well, though they are not public: for
    /// names that are one's own.
    #[must_use]
    pub fn names_reach(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.reach.extend(networks);
        self
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a client may be connected to a target; for a name, what it leads to is to be asked
    /// about as well.
    #[must_use]
    pub fn permits(&self, target: &Target) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows(target))
    }

    /// Whether a name that is allowed may lead to this address: one that is [public](is_public), or of a
    /// network that the list names with this port or that names may [reach](Self::names_reach).
    /// `localhost`, and names below it, lead to this machine and nowhere else (RFC 6761).
    #[must_use]
    pub fn permits_resolved(&self, name: &str, to: SocketAddr) -> bool {
        let address = to.ip().to_canonical();
        if name == "localhost" || name.ends_with(".localhost") {
            return address.is_loopback();
        }
        is_public(address)
            || self.reach.iter().any(|network| network.contains(address))
            || self.patterns.iter().any(|pattern| pattern.names(SocketAddr::new(address, to.port())))
    }

    /// Of the addresses that a name has, those to connect to, in their order.
    #[must_use]
    pub fn choose(&self, name: &str, port: u16, addresses: &[IpAddr]) -> Vec<SocketAddr> {
        let sockets = addresses.iter().map(|address| SocketAddr::new(*address, port));
        sockets.filter(|to| self.permits_resolved(name, *to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn allows(pattern: &str, target: &str) -> bool {
        Allowed::new([pattern.parse().unwrap()]).permits(&target.parse().unwrap())
    }

    #[test]
    fn nothing_is_allowed_that_was_not_named() {
        let none = Allowed::default();
        assert!(none.is_empty());
        for target in ["localhost:80", "1.1.1.1:443", "unix:/run/a.sock"] {
            assert!(!none.permits(&target.parse().unwrap()));
        }
    }

    #[test]
    fn patterns_allow_what_they_say_and_no_more() {
        for (pattern, good, bad) in [
            (
                "db:5432",
                &["db:5432", "DB.:5432"][..],
                &["db:5433", "xdb:5432", "db.a:5432", "10.0.0.1:5432"][..],
            ),
            ("*.a.org:443", &["x.a.org:443", "y.x.a.org:443"], &["a.org:443", "xa.org:443", "x.a.org:80"]),
            ("10.0.0.0/8:*", &["10.1.2.3:1", "[::ffff:10.1.2.3]:1"], &["11.0.0.1:1", "ten.org:1"]),
            ("[fd00::/8]:22", &["[fd00::1]:22"], &["[fe80::1]:22", "[fd00::1]:23"]),
            ("[2001:db8::7]:22", &["[2001:db8::7]:22"], &["[2001:db8::8]:22"]),
            ("192.0.2.7:80,443", &["192.0.2.7:80", "192.0.2.7:443"], &["192.0.2.7:81", "192.0.2.8:80"]),
            (
                "*:8000-8100",
                &["any.org:8000", "1.1.1.1:8100"],
                &["any.org:7999", "127.0.0.1:8000", "10.0.0.1:8000"],
            ),
            ("unix:/run/a.sock", &["unix:/run/a.sock"], &["unix:/run/b.sock", "unix:/run/a.sock/x"]),
            (
                "unix:/run/app/*",
                &["unix:/run/app/x"],
                &["unix:/run/app/x/y", "unix:/run/apps", "unix:/run/app"],
            ),
        ] {
            good.iter().for_each(|target| assert!(allows(pattern, target), "{pattern} {target}"));
            bad.iter().for_each(|target| assert!(!allows(pattern, target), "{pattern} {target}"));
            let parsed: TargetPattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        let bad = |text: &str| text.parse::<TargetPattern>().unwrap_err();
        assert_eq!(bad("db"), BadPattern::NoPort);
        for ports in ["db:", "db:0", "db:2-1", "db:1,", "db:a", "db:1-2-3"] {
            assert_eq!(bad(ports), BadPattern::Ports, "{ports}");
        }
        for host in [":1", "a*:1", "*.*:1", "*.:1", "a b:1", "*.127.1:1"] {
            assert_eq!(bad(host), BadPattern::Host, "{host}");
        }
        assert!(matches!(bad("10.0.0.1/8:1"), BadPattern::Network(BadNetwork::HostBits { .. })));
        assert!(matches!(bad("10.0.0.0/33:1"), BadPattern::Network(BadNetwork::Prefix { .. })));
        for path in ["unix:", "unix:a", "unix:/*", "unix:/a/*/b", "unix:/a*", "unix:/../*"] {
            assert_eq!(bad(path), BadPattern::Path, "{path}");
        }
    }

    /// DNS rebinding: a name that is allowed leads to the relay's own networks only where that was said.
    #[test]
    fn a_name_leads_nowhere_that_was_not_allowed() {
        let allowed = Allowed::new(["*:80".parse().unwrap(), "10.0.0.0/8:5432".parse().unwrap()]);
        let may =
            |allowed: &Allowed, name: &str, to: &str| allowed.permits_resolved(name, to.parse().unwrap());
        assert!(may(&allowed, "evil.org", "1.1.1.1:80"));
        for inside in
            ["127.0.0.1:80", "10.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "169.254.169.254:80"]
        {
            assert!(!may(&allowed, "evil.org", inside), "{inside}");
        }
        assert!(may(&allowed, "db.org", "10.0.0.1:5432"), "clients may have that by its address too");
        let own = allowed.clone().names_reach(["192.168.0.0/16".parse().unwrap()]);
        assert!(may(&own, "nas.lan", "192.168.0.9:80") && !may(&own, "nas.lan", "127.0.0.1:80"));
        assert!(may(&allowed, "localhost", "127.0.0.1:80") && may(&allowed, "a.localhost", "[::1]:80"));
        assert!(!may(&allowed, "localhost", "1.1.1.1:80"));
        let both = ["10.0.0.1".parse().unwrap(), "1.1.1.1".parse().unwrap()];
        assert_eq!(allowed.choose("evil.org", 80, &both), ["1.1.1.1:80".parse().unwrap()]);
    }
}
