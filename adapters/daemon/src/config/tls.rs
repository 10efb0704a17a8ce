//! TLS, and who comes by a certificate.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::verify::Check;
use super::{Config, Span, TokenHash};

/// TLS, on every TCP port beside all else. Without a certificate there is none.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// The chain of certificates, and the key to the first: files of PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Others, for clients that ask for their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sni: Vec<TlsFiles>,
    /// The authorities for certificates of clients, and whether they have to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) require_client_cert: bool,
    pub(crate) min_version: TlsVersion,
    /// How often it looks whether a file has changed.
    pub(crate) reload: Span,
    /// Whether TCP ports take what is not TLS as well.
    pub(crate) plain: bool,
}

/// A chain of certificates, and the key to the first.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// By which name of its certificate a client is a user.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateName {
    #[default]
    None,
    CommonName,
    Email,
    Uri,
    Dns,
}

/// The public key of a certificate, and whom it stands for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    pub(crate) name: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(crate) public_key: TokenHash,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            sni: Vec::new(),
            client_ca: None,
            require_client_cert: false,
            min_version: TlsVersion::Tls12,
            reload: Span::from_secs(10),
            plain: true,
        }
    }
}

impl Tls {
    /// Whether there is any.
    pub(crate) const fn is_on(&self) -> bool {
        self.cert.is_some()
    }
}

pub(super) fn verify(config: &Config, check: &mut Check<'_>) {
    let tls = &config.tls;
    check.within("tls.reload", &tls.reload, &(Span::from_millis(100)..=Span::from_secs(86_400)));
    match (&tls.cert, &tls.key) {
        (Some(_), None) => check.complain("tls.cert", "a certificate needs its key: tls.key"),
        (None, Some(_)) => check.complain("tls.key", "a key needs its certificate: tls.cert"),
        _ => {}
    }
    if !tls.is_on() {
        let needless = [
            ("tls.client_ca", tls.client_ca.is_some()),
            ("tls.sni", !tls.sni.is_empty()),
            ("tls.plain", !tls.plain),
        ];
        for (key, _) in needless.into_iter().filter(|(_, is_set)| *is_set) {
            check.complain(key, "there is no TLS without a certificate: tls.cert and tls.key");
        }
    }
    if tls.require_client_cert && tls.client_ca.is_none() {
        let why = "nobody can have one: tls.client_ca names the authorities";
        check.complain("tls.require_client_cert", why);
    }
    if config.auth.certificate_name != CertificateName::None && tls.client_ca.is_none() {
        let why = "nobody vouches for names: tls.client_ca names the authorities";
        check.complain("auth.certificate_name", why);
    }
    for (index, listen) in config.listen.iter().enumerate() {
        let key = format!("listen[{index}].tls");
        match listen.tls {
            Some(_) if listen.unix.is_some() || listen.udp.is_some() => {
                check.complain(&key, "TLS is for TCP")
            }
            Some(true) if !tls.is_on() => {
                check.complain(&key, "it needs a certificate: tls.cert and tls.key");
            }
            _ => {}
        }
    }
}
