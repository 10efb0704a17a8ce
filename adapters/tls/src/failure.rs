//! How TLS can fail, for those who look: counted by kind, and told in words.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Why a connection has no TLS, or lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// It was given up before its handshake was done: the peer was too slow, or went away.
    Unfinished,
    /// The stream ended, and the peer did not say so: something may be missing.
    Truncated,
    /// It does not begin as TLS does.
    NotTls,
    /// There is no version or cipher suite that both know, or no protocol (ALPN).
    Incompatible,
    /// The peer's certificate is not good, or it has none.
    Certificate,
    /// The peer says that something is wrong: with the certificate, most often.
    Alert,
    /// The peer broke the protocol: records that are too large, renegotiation, keys that do not fit.
    Protocol,
    /// The connection beneath is broken.
    Io,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unfinished,
        Self::Truncated,
        Self::NotTls,
        Self::Incompatible,
        Self::Certificate,
        Self::Alert,
        Self::Protocol,
        Self::Io,
    ];

    /// In short, as it stands in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Truncated => "truncated",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::Certificate => "certificate",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Io => "io",
        }
    }

    /// Which it is, of an error of a [`Tls`](crate::Tls).
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|e| e.downcast_ref::<Fault>()) {
            Some(Fault::Tls(error)) => Self::of_tls(error),
            Some(Fault::NotTls) => Self::NotTls,
            Some(Fault::Unfinished) => Self::Unfinished,
            Some(Fault::Truncated) => Self::Truncated,
            None => Self::Io,
        }
    }

    const fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::Certificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::Alert,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What is inside an error of a [`Tls`](crate::Tls): in words that say what to do.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Tls(Error),
    NotTls,
    Unfinished,
    Truncated,
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Truncated | Fault::Unfinished => io::ErrorKind::UnexpectedEof,
            Fault::Tls(_) | Fault::NotTls => io::ErrorKind::InvalidData,
        };
        Self::new(kind, fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("it does not begin as TLS does"),
            Self::Unfinished => f.write_str("it ended before TLS's handshake was done"),
            Self::Truncated => f.write_str("it ended without close_notify: something may be missing"),
            Self::Tls(Error::InvalidCertificate(error)) => certificate(error, f),
            Self::Tls(Error::NoCertificatesPresented) => f.write_str("the peer has no certificate"),
            Self::Tls(Error::PeerIncompatible(
                PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon,
            )) => f.write_str("this side's certificate is of a kind that the peer does not take"),
            Self::Tls(Error::NoApplicationProtocol) => {
                f.write_str("no protocol is known to both sides (ALPN)")
            }
            Self::Tls(Error::AlertReceived(alert)) => received(*alert, f),
            Self::Tls(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                f.write_str("what the peer sends is no TLS")
            }
            Self::Tls(Error::PeerSentOversizedRecord) => {
                f.write_str("the peer sent a record that is too large")
            }
            Self::Tls(error) => fmt::Display::fmt(error, f),
        }
    }
}

fn certificate(error: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use CertificateError as E;
    f.write_str("the peer's certificate ")?;
    match error {
        E::Expired | E::ExpiredContext { .. } => f.write_str("has expired"),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            f.write_str("is not valid yet; is this machine's clock right?")
        }
        E::UnknownIssuer => {
            f.write_str("is by nobody who is trusted here (self-signed, or by another authority)")
        }
        E::BadSignature => f.write_str("is not signed by the authority that it names"),
        E::NotValidForName => f.write_str("is for another name"),
        E::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().map(|name| plain(name)).collect();
            write!(f, "is for {}, not for {}", presented.join(", "), expected.to_str())
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            f.write_str("is not for this purpose: a client's is none of a server, and the other way round")
        }
        E::ApplicationVerificationFailure => f.write_str("has a key that is not among the pinned ones"),
        error => write!(f, "is not good: {error}"),
    }
}

/// A name of a certificate, which rustls writes `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    within.unwrap_or(name).trim_matches('"')
}

fn received(alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use AlertDescription as A;
    let why = match alert {
        A::CertificateRequired => "it wants a certificate",
        A::UnknownCA => "it does not trust the authority of this side's certificate",
        A::CertificateExpired => "this side's certificate has expired",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate | A::CertificateRevoked => {
            "it does not take this side's certificate"
        }
        A::NoApplicationProtocol => "it speaks none of the protocols that were offered (ALPN)",
        A::ProtocolVersion => "it speaks none of the versions that were offered",
        A::HandshakeFailure => "nothing was agreed upon",
        A::UnrecognisedName => "it does not go by that name",
        alert => return write!(f, "the peer says: alert {alert:?}"),
    };
    write!(f, "the peer says: {why} ({alert:?})")
}
