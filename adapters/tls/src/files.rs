//! Certificates and keys in files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize, Zeroizing};

/// The largest file that is read: all the world's authorities take less.
const FILE_MAX: u64 = 4 << 20;

/// Why there is no TLS to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in a file makes no sense.
    #[error("{}: {what}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no certificate at all.
    #[error("there is no certificate; a server needs one")]
    NoCertificate,
    /// The settings do not go together, or this machine lacks something.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    fn file(file: &Path, what: impl Into<String>) -> Self {
        Self::File { file: file.into(), what: what.into() }
    }

    pub(crate) fn settings(error: &dyn std::fmt::Display) -> Self {
        Self::Settings(error.to_string())
    }
}

/// Where PEM comes from.
#[derive(Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Given(Zeroizing<Vec<u8>>),
}

impl Source {
    pub(crate) fn given(pem: impl AsRef<[u8]>) -> Self {
        Self::Given(Zeroizing::new(pem.as_ref().to_vec()))
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::Given(_) => Path::new("(given)"),
        }
    }

    /// By what a change is seen, where there can be one.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::File(file) => Some(Stamp::of(file)),
            Self::Given(_) => None,
        }
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        match self {
            Self::File(file) => read(file),
            Self::Given(pem) => Ok(pem.clone()),
        }
    }
}

impl std::fmt::Debug for Source {
    /// Without what was given, which may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name().fmt(f)
    }
}

/// The octets of a file, which are gone from memory when they are dropped.
fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error| Error::Read { file: file.into(), error };
    let open = File::open(file).map_err(failed)?;
    let size = open.metadata().map_err(failed)?.len();
    // All of it at once: a vector that grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(size.min(FILE_MAX)).unwrap_or(0) + 1));
    open.take(FILE_MAX + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > FILE_MAX {
        return Err(Error::file(file, format!("it has more than {FILE_MAX} octets")));
    }
    Ok(octets)
}

/// All certificates of a file, in PEM.
pub(crate) fn certificates(source: &Source) -> Result<Vec<CertificateDer<'static>>, Error> {
    let (file, octets) = (source.name(), source.read()?);
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    match list {
        Ok(list) if list.is_empty() => {
            Err(Error::file(file, "there is no certificate in it (-----BEGIN CERTIFICATE-----)"))
        }
        Ok(list) => Ok(list),
        Err(error) => Err(Error::file(file, broken(&error))),
    }
}

/// The first private key of a file, in PEM: PKCS #8, PKCS #1 or SEC1, not encrypted.
fn key(source: &Source) -> Result<PrivateKeyDer<'static>, Error> {
    let (file, octets) = (source.name(), source.read()?);
    PrivateKeyDer::from_pem_slice(&octets).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&octets, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            Error::file(file, "the key is encrypted; decrypt it with `openssl pkey`")
        }
        pem::Error::NoItemsFound => {
            Error::file(file, "there is no private key in it (-----BEGIN PRIVATE KEY-----)")
        }
        error => Error::file(file, broken(&error)),
    })
}

fn contains(octets: &[u8], text: &[u8]) -> bool {
    octets.windows(text.len()).any(|window| window == text)
}

fn broken(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle; is somebody writing it?".into(),
        error => format!("it is no PEM: {error}"),
    }
}

/// A chain of certificates, and the key to the first.
pub(crate) fn certified(chain: &Source, key_source: &Source) -> Result<CertifiedKey, Error> {
    let certificates = certificates(chain)?;
    let mut key = key(key_source)?;
    let (key_file, chain) = (key_source.name(), chain.name());
    let signing = any_supported_type(&key);
    zeroize_key(&mut key);
    let signing = signing.map_err(|error| Error::file(key_file, format!("the key is of no use: {error}")))?;
    let certified = CertifiedKey::new(certificates, signing);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Error::file(
            key_file,
            format!("the key does not belong to the certificate in {}", chain.display()),
        ),
        error => Error::file(chain, format!("the certificate is of no use: {error}")),
    })?;
    Ok(certified)
}

fn zeroize_key(key: &mut PrivateKeyDer<'static>) {
    match key {
        PrivateKeyDer::Pkcs1(der) => der.zeroize(),
        PrivateKeyDer::Sec1(der) => der.zeroize(),
        PrivateKeyDer::Pkcs8(der) => der.zeroize(),
        _ => {}
    }
}

/// Authorities to trust.
pub(crate) fn roots(files: &[Source]) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for der in certificates(file)? {
            roots
                .add(der)
                .map_err(|error| Error::file(file.name(), format!("a certificate is none: {error}")))?;
        }
    }
    Ok(Arc::new(roots))
}

/// By what a change of a file is seen; nothing while it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    pub(crate) fn of(file: &Path) -> Self {
        Self(fs::metadata(file).ok().and_then(|data| Some((data.modified().ok()?, data.len(), inode(&data)))))
    }
}

#[cfg(unix)]
fn inode(data: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
