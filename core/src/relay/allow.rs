//! Which targets are allowed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use super::target::{
    is_plain_path, is_plain_web_path, name, parse_port, split_port, web_port, web_scheme, web_text,
};
use super::{Host, Over, Target, is_public};
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
/// | `tls://HOST:PORTS`, `bowline+udp://HOST:PORTS` | the same hosts and ports over these, and not over TCP alone |
/// | `ws://HOST:PORTS`, `wss://HOST:PORTS` | WebSockets at any path, of any subprotocol; without ports 80 and 443 |
/// | `ws://HOST:PORTS/a`, `ws://HOST:PORTS/a/*` | at this path, all below |
/// | `NAME+ws://…`, `NAME+wss://…` | of this subprotocol |
///
/// A network stands in brackets where a scheme is before it: `tls://[10.0.0.0/8]:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Port {
        over: Overs,
        hosts: Hosts,
        ports: Vec<(u16, u16)>,
    },
    Path(String),
    /// What stands in it, with `/` at its end.
    Directory(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Overs {
    Tcp,
    Tls,
    Udp,
    WebSocket { tls: bool, protocol: Option<String>, paths: Paths },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    Any,
    One(String),
    /// With `/` at its end.
    Below(String),
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
    /// What stands before `://` is unknown.
    #[error("the scheme is not known; write HOST:PORT, unix:/path, tls://, ws://, wss:// or bowline+udp://")]
    Scheme,
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
    /// The path of a WebSocket has something in it that servers may read in two ways, or a network stands there.
    #[error(
        "the path of a WebSocket is plain; `/*` may stand at its end. A network belongs in brackets: ws://[10.0.0.0/8]:80"
    )]
    WebPath,
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
        let (over, place) = match text.split_once("://") {
            None => (Overs::Tcp, text),
            Some((scheme, rest)) => Overs::read(scheme, rest)?,
        };
        let (host, ports) = match (split_port(place), &over) {
            (Ok((host, port)), _) => (host, ports(port).ok_or(BadPattern::Ports)?),
            (Err(_), Overs::WebSocket { tls, .. }) => (place, [(web_port(*tls), web_port(*tls))].into()),
            (Err(_), _) => return Err(BadPattern::NoPort),
        };
        Ok(Self(Pattern::Port { over, hosts: hosts(host)?, ports }))
    }
}

impl Overs {
    /// What stands before `://`, and behind: gives back what is left to be read.
    fn read<'t>(scheme: &str, rest: &'t str) -> Result<(Self, &'t str), BadPattern> {
        Ok(match scheme {
            "tcp" => (Self::Tcp, rest),
            "tls" => (Self::Tls, rest),
            "bowline+udp" => (Self::Udp, rest),
            _ => {
                let (protocol, tls) = web_scheme(scheme).ok_or(BadPattern::Scheme)?;
                // The slash of a network is none of the path.
                let host = if rest.starts_with('[') { rest.find(']').unwrap_or(0) } else { 0 };
                let at = rest[host..].find('/').map_or(rest.len(), |at| host + at);
                let (place, path) = rest.split_at(at);
                let paths = Paths::read(place, path).ok_or(BadPattern::WebPath)?;
                (Self::WebSocket { tls, protocol: Some(protocol).filter(|p| !p.is_empty()), paths }, place)
            }
        })
    }

    fn allow(&self, over: &Over) -> bool {
        match (self, over) {
            (Self::Tcp, Over::Tcp) | (Self::Tls, Over::Tls) | (Self::Udp, Over::Udp) => true,
            (
                Self::WebSocket { tls, protocol, paths },
                Over::WebSocket { tls: asked, protocol: wanted, path },
            ) => {
                tls == asked
                    && protocol.as_ref().is_none_or(|protocol| protocol == wanted)
                    && paths.allow(path)
            }
            _ => false,
        }
    }
}

impl Paths {
    fn read(place: &str, path: &str) -> Option<Self> {
        // `10.0.0.0/8:80`: what follows the slash is no path.
        let is_network = place.parse::<IpAddr>().is_ok()
            && path.strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        match path.strip_suffix("/*") {
            _ if is_network => None,
            _ if path.is_empty() => Some(Self::Any),
            Some("") => Some(Self::Any),
            Some(above) if is_plain_web_path(above) && !above.contains(['*', '?']) => {
                Some(Self::Below(alloc::format!("{above}/")))
            }
            None if is_plain_web_path(path) && !path.contains('*') => Some(Self::One(path.into())),
            _ => None,
        }
    }

    fn allow(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(allowed) => allowed == path,
            Self::Below(above) => path.len() > above.len() && path.starts_with(above.as_str()),
        }
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
    /// Whether what it allows is reached by TLS: the relay has to know whom to trust.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        let Pattern::Port { over, .. } = &self.0 else { return false };
        matches!(over, Overs::Tls | Overs::WebSocket { tls: true, .. })
    }

    /// Whether what it allows is reached by sessions over UDP: the relay has to have keys.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        matches!(&self.0, Pattern::Port { over: Overs::Udp, .. })
    }

    fn allows(&self, target: &Target) -> bool {
        match (&self.0, target) {
            (Pattern::Port { over, hosts, ports }, Target::Port { over: wanted, host, port }) => {
                has(ports, *port)
                    && over.allow(wanted)
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
}

fn has(ports: &[(u16, u16)], port: u16) -> bool {
    ports.iter().any(|(from, to)| (*from..=*to).contains(&port))
}

/// The address of a network that is one address.
fn single(network: &Network) -> Option<IpAddr> {
    let text = alloc::format!("{network}");
    let (address, bits) = text.split_once('/').unwrap_or((&text, ""));
    let address: IpAddr = address.parse().ok()?;
    (matches!((bits, address), ("" | "32", IpAddr::V4(_)) | ("" | "128", IpAddr::V6(_)))).then_some(address)
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (over, hosts, ports) = match &self.0 {
            Pattern::Path(path) => return write!(f, "unix:{path}"),
            Pattern::Directory(directory) => return write!(f, "unix:{directory}*"),
            Pattern::Port { over, hosts, ports } => (over, hosts, ports),
        };
        match over {
            Overs::Tcp => {}
            Overs::Tls => f.write_str("tls://")?,
            Overs::Udp => f.write_str("bowline+udp://")?,
            Overs::WebSocket { tls, protocol, .. } => {
                f.write_str(&web_text(*tls, protocol.as_deref().unwrap_or_default()))?;
            }
        }
        match hosts {
            Hosts::Any => f.write_str("*:")?,
            Hosts::Name(name) => write!(f, "{name}:")?,
            Hosts::Below(domain) => write!(f, "*{domain}:")?,
            Hosts::Network(network) => match single(network) {
                Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
                Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
                None => write!(f, "[{network}]:")?,
            },
        }
        for (i, (from, to)) in ports.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match (*from, *to) {
                (1, u16::MAX) => write!(f, "{comma}*")?,
                (from, to) if from == to => write!(f, "{comma}{from}")?,
                (from, to) => write!(f, "{comma}{from}-{to}")?,
            }
        }
        match over {
            Overs::WebSocket { paths: Paths::One(path), .. } => f.write_str(path),
            Overs::WebSocket { paths: Paths::Below(above), .. } => write!(f, "{above}*"),
            _ => Ok(()),
        }
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
/// let target = "www.example.org:443".parse().unwrap();
/// assert!(allowed.permits_resolved(&target, "93.184.216.34".parse().unwrap()));
/// assert!(!allowed.permits_resolved(&target, "169.254.169.254".parse().unwrap()));
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

    /// The list.
    pub fn patterns(&self) -> impl Iterator<Item = &TargetPattern> {
        self.patterns.iter()
    }

    /// Whether a client may be connected to a target; for a name, what it leads to is to be asked
    /// about as well.
    #[must_use]
    pub fn permits(&self, target: &Target) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows(target))
    }

    /// Whether a target that is allowed and goes by a name may be connected to at this address: one that is
    /// [public](is_public), or where the list allows the same target by its address, or of a network that names
    /// may [reach](Self::names_reach). `localhost`, and names below it, lead to this machine and nowhere else
    /// (RFC 6761).
    #[must_use]
    pub fn permits_resolved(&self, target: &Target, address: IpAddr) -> bool {
        let Some(name) = target.name() else { return false };
        let address = address.to_canonical();
        if name == "localhost" || name.ends_with(".localhost") {
            return address.is_loopback();
        }
        is_public(address)
            || self.reach.iter().any(|network| network.contains(address))
            || self.permits(&target.at(address))
    }

    /// Of the addresses that the name of a target has, those to connect to, in their order.
    #[must_use]
    pub fn choose(&self, target: &Target, addresses: &[IpAddr]) -> Vec<SocketAddr> {
        let Target::Port { port, .. } = target else { return Vec::new() };
        let good = addresses.iter().filter(|address| self.permits_resolved(target, **address));
        good.map(|address| SocketAddr::new(*address, *port)).collect()
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
            ("tls://db:5432", &["tls://db:5432"], &["db:5432", "wss://db:5432", "tls://db:5433"]),
            ("db:5432", &["tcp://db:5432"], &["tls://db:5432", "bowline+udp://db:5432", "ws://db:5432"]),
            ("bowline+udp://*.a.org:7790", &["bowline+udp://x.a.org:7790"], &["x.a.org:7790"]),
            ("tls://[10.0.0.0/8]:*", &["tls://10.1.2.3:1"], &["10.1.2.3:1", "tls://11.0.0.1:1"]),
            (
                "ws://h",
                &["ws://h", "ws://h:80/a/b?c", "mqtt+ws://h/"],
                &["wss://h", "ws://h:81", "h:80", "ws://x.h"],
            ),
            ("wss://h:443/a", &["wss://h/a"], &["wss://h/", "wss://h/ab", "wss://h/a/b", "wss://h/a?b"]),
            (
                "ws://h/a/*",
                &["ws://h/a/b", "ws://h/a/b/c?d"],
                &["ws://h/a", "ws://h/a/", "ws://h/ab", "ws://h/b"],
            ),
            ("bowline+ws://h", &["bowline+ws://h"], &["ws://h", "mqtt+ws://h", "bowline+wss://h"]),
            ("ws://[10.0.0.0/8]:80/a", &["ws://10.0.0.1/a"], &["ws://10.0.0.1/b", "ws://11.0.0.1/a"]),
        ] {
            good.iter().for_each(|target| assert!(allows(pattern, target), "{pattern} {target}"));
            bad.iter().for_each(|target| assert!(!allows(pattern, target), "{pattern} {target}"));
            let parsed: TargetPattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{pattern}");
        }
        for same in
            ["192.0.2.7:22", "[2001:db8::7]:22", "tls://192.0.2.7:*", "wss://*.a.org:443/a/*", "ws://h:80"]
        {
            assert_eq!(same.parse::<TargetPattern>().unwrap().to_string(), same);
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
        for scheme in ["http://h:1", "udp://h:1", "+ws://h"] {
            assert_eq!(bad(scheme), BadPattern::Scheme, "{scheme}");
        }
        assert_eq!(bad("tls://h"), BadPattern::NoPort);
        for path in [
            "ws://h/a*",
            "ws://h/*/b",
            "ws://h/../*",
            "ws://h/a?b/*",
            "ws://10.0.0.0/8:80",
            "ws://10.0.0.0/8",
        ] {
            assert_eq!(bad(path), BadPattern::WebPath, "{path}");
        }
    }

    /// DNS rebinding: a name that is allowed leads to the relay's own networks only where that was said.
    #[test]
    fn a_name_leads_nowhere_that_was_not_allowed() {
        let allowed = Allowed::new(["*:80".parse().unwrap(), "10.0.0.0/8:5432".parse().unwrap()]);
        let may = |allowed: &Allowed, name: &str, to: &str| {
            let to: SocketAddr = to.parse().unwrap();
            let target = std::format!("{name}:{}", to.port()).parse().unwrap();
            allowed.permits_resolved(&target, to.ip())
        };
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
        let evil = "evil.org:80".parse().unwrap();
        assert_eq!(allowed.choose(&evil, &both), ["1.1.1.1:80".parse().unwrap()]);
    }

    /// What is allowed over one transport says nothing of another, of addresses as of names.
    #[test]
    fn a_name_leads_into_a_network_over_what_is_allowed_there() {
        let allowed =
            Allowed::new(["*:443", "tls://*:443", "tls://[10.0.0.0/8]:443"].map(|p| p.parse().unwrap()));
        let inside = ["10.0.0.1".parse().unwrap()];
        let chosen = |target: &str| allowed.choose(&target.parse().unwrap(), &inside).len();
        assert_eq!((chosen("tls://own.org:443"), chosen("own.org:443")), (1, 0));
        assert_eq!(chosen("unix:/run/a"), 0);
        assert!(allowed.permits(&"tls://10.0.0.1:443".parse().unwrap()));
        assert!(!allowed.permits(&"10.0.0.1:443".parse().unwrap()));
    }
}
