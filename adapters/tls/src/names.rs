//! What a certificate says of its holder.

use bowline_driver::core::endpoint::server::{Certificate, NameKind};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// SHA-256 of the public key (RFC 7469 §2.4).
pub(crate) fn key(der: &CertificateDer<'_>) -> Option<[u8; 32]> {
    Some(Sha256::digest(parse(der)?.public_key().raw).into())
}

/// Who it is, by a certificate that was verified. Nothing where it makes no sense, which no verifier lets
/// pass.
pub(crate) fn certificate(der: &CertificateDer<'_>) -> Option<Box<Certificate>> {
    let parsed = parse(der)?;
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let mut names: Vec<_> = common.map(|name| (NameKind::CommonName, name.to_owned())).collect();
    names.extend(alternatives(&parsed));
    Some(Box::new(Certificate { names, spki: Sha256::digest(parsed.public_key().raw).into() }))
}

fn alternatives(parsed: &X509Certificate<'_>) -> Vec<(NameKind, String)> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match *name {
        GeneralName::RFC822Name(name) => Some((NameKind::Email, name.to_owned())),
        GeneralName::URI(name) => Some((NameKind::Uri, name.to_owned())),
        GeneralName::DNSName(name) => Some((NameKind::Dns, name.to_owned())),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// The names of a server's certificate, in lower case, and until when it is valid: seconds since
/// 1970-01-01 UTC.
pub(crate) fn server(der: &CertificateDer<'_>) -> Option<(Vec<String>, i64)> {
    let parsed = parse(der)?;
    let names = alternatives(&parsed).into_iter().filter(|(kind, _)| *kind == NameKind::Dns);
    let names = names.map(|(_, name)| name.to_ascii_lowercase()).collect();
    Some((names, parsed.validity().not_after.timestamp()))
}
