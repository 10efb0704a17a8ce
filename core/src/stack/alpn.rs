//! What a peer of TLS chose to speak, before it speaks.

use super::Dialect;

/// A protocol that ALPN (RFC 7301) can name. Where one was chosen, nothing is guessed by first octets:
/// whatever else comes is that protocol's fault to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alpn {
    /// Our own protocol, as `bowline`.
    Bowline,
    /// MQTT of any version, as `mqtt` (registered by OASIS).
    Mqtt,
    /// HTTP 1.1, with all that it can be upgraded to, as `http/1.1`.
    Http,
}

impl Alpn {
    /// All of them, in a server's order of preference.
    pub const ALL: [Self; 3] = [Self::Bowline, Self::Mqtt, Self::Http];

    /// As it stands in a handshake.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bowline => "bowline",
            Self::Mqtt => "mqtt",
            Self::Http => "http/1.1",
        }
    }

    /// The protocol of this name.
    ///
    /// ```
    /// use bowline_core::stack::Alpn;
    /// assert_eq!(Alpn::parse(b"http/1.1"), Some(Alpn::Http));
    /// assert_eq!(Alpn::parse(b"h2"), None);
    /// ```
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|alpn| alpn.name().as_bytes() == name)
    }

    /// What the connection begins with.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Bowline => Dialect::Bowline,
            Self::Mqtt => Dialect::Mqtt,
            Self::Http => Dialect::Http,
        }
    }
}
