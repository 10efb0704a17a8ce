//! Makes an authority, and certificates by it: for development, and for machines of one's own.
//!
//! ```
//! use bowline_tls::make::{Authority, DAYS};
//! let authority = Authority::new("Our own authority", DAYS)?;
//! let server = authority.server(&["hub.example", "192.0.2.7"], DAYS)?;
//! assert!(server.chain.starts_with("-----BEGIN CERTIFICATE-----"));
//! assert!(server.key.starts_with("-----BEGIN PRIVATE KEY-----"));
//! # Ok::<(), bowline_tls::make::MakeError>(())
//! ```

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// How long a certificate is valid where nobody says: as long as machines of Apple take it.
pub const DAYS: u32 = 397;

/// So much earlier it is valid already: clocks differ.
const SLACK: Duration = Duration::hours(1);

/// Why a certificate cannot be made: a name is none, or a key of an authority does not fit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MakeError(String);

impl From<rcgen::Error> for MakeError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

/// A certificate and its key, in PEM.
pub struct Made {
    /// The certificate, and those that vouch for it but for the last.
    pub chain: String,
    /// The key: for nobody else's eyes.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for Made {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Who vouches for others.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new one, for so many days.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn new(name: &str, days: u32) -> Result<Self, MakeError> {
        let mut params = params(name, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// One that was made before.
    ///
    /// # Errors
    ///
    /// It makes no sense.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, MakeError> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer, certificate: certificate.into() })
    }

    /// Its own certificate, which others are to trust, and its key.
    #[must_use]
    pub fn to_pem(&self) -> Made {
        let key = Zeroizing::new(self.issuer.key().serialize_pem());
        Made { chain: self.certificate.clone(), key }
    }

    /// A certificate of a server that goes by these names: DNS names, also with `*.` in front, and
    /// addresses.
    ///
    /// # Errors
    ///
    /// A name is none, or there is none.
    pub fn server(&self, names: &[&str], days: u32) -> Result<Made, MakeError> {
        let first = names.first().ok_or_else(|| MakeError("a server's certificate needs a name".into()))?;
        let mut params = params(first, days);
        params.subject_alt_names =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?
                .subject_alt_names;
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate of a client: its common name is this; a mail address and a URI are also what they are
    /// (subject alternative names).
    ///
    /// # Errors
    ///
    /// The name is empty.
    pub fn client(&self, name: &str, days: u32) -> Result<Made, MakeError> {
        if name.is_empty() {
            return Err(MakeError("a client's certificate needs a name".into()));
        }
        let mut params = params(name, days);
        if name.contains("://") {
            params.subject_alt_names.push(SanType::URI(name.try_into()?));
        } else if name.contains('@') {
            params.subject_alt_names.push(SanType::Rfc822Name(name.try_into()?));
        }
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<Made, MakeError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Made { chain, key: Zeroizing::new(key.serialize_pem()) })
    }
}

fn params(name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - SLACK;
    params.not_after = now + Duration::days(days.into());
    params
}
