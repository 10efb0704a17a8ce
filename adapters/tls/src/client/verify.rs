//! Servers that are trusted for what they are, and not for who vouches for them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

use super::Pin;
use crate::names;

/// One of these, and good by the inner verifier where there is one.
#[derive(Debug)]
pub(super) struct Pinned {
    pins: Box<[Pin]>,
    inner: Option<Arc<dyn ServerCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(
        provider: &CryptoProvider,
        pins: &[Pin],
        inner: Option<Arc<dyn ServerCertVerifier>>,
    ) -> Self {
        Self { pins: pins.into(), inner, algorithms: provider.signature_verification_algorithms }
    }

    fn has(&self, der: &CertificateDer<'_>) -> bool {
        let (whole, key): ([u8; 32], _) = (Sha256::digest(der).into(), names::key(der));
        self.pins.iter().any(|pin| match pin {
            Pin::Certificate(pin) => *pin == whole,
            Pin::PublicKey(pin) => Some(*pin) == key,
        })
    }
}

/// Whoever answers; only that it holds the key to its certificate is checked.
#[derive(Debug)]
pub(super) struct Anyone(WebPkiSupportedAlgorithms);

impl Anyone {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

/// The same signatures as always.
macro_rules! signatures {
    ($self:ident => $algorithms:expr) => {
        fn verify_tls12_signature(
            &$self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &$algorithms)
        }

        fn verify_tls13_signature(
            &$self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &$algorithms)
        }

        fn supported_verify_schemes(&$self) -> Vec<SignatureScheme> {
            $algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
            }
            None => verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?,
        }
        if self.has(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    signatures!(self => self.algorithms);
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!(self => self.0);
}
