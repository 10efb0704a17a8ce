//! What is read from files, as a whole: all of it is good, or none of it is taken.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bowline_driver::core::stack::Alpn;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::{CertificateInfo, ClientCertificate, Settings};
use crate::files::{self, Error};
use crate::names;
use crate::version;

/// Sessions of TLS 1.2 that are remembered, for clients that take no tickets.
const SESSIONS: usize = 1024;

/// What handshakes are made with from now on.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Vec<CertificateInfo>,
    /// Those who may vouch for clients, and whether somebody must.
    authorities: Vec<CertificateDer<'static>>,
    clients: ClientCertificate,
}

impl Loaded {
    /// Reads all that the settings name. What was agreed upon with clients `before` still holds, unless
    /// others may vouch for them now, or somebody has to.
    pub(super) fn read(settings: &Settings, before: Option<&Self>) -> Result<Self, Error> {
        let provider = version::provider();
        let (resolver, certificates) = resolver(settings)?;
        let (clients, authorities) = clients(settings, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(version::from(settings.least))
            .map_err(|error| Error::settings(&error))?;
        let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(resolver);
        let alpn = settings.alpn.as_deref().unwrap_or(&Alpn::ALL);
        config.alpn_protocols = alpn.iter().map(|alpn| alpn.name().into()).collect();
        (config.ticketer, config.session_storage) = match before {
            Some(before) if before.authorities == authorities && before.clients == settings.clients => {
                (Arc::clone(&before.config.ticketer), Arc::clone(&before.config.session_storage))
            }
            _ => memory()?,
        };
        Ok(Self { config: Arc::new(config), certificates, authorities, clients: settings.clients })
    }
}

type Memory = (Arc<dyn ProducesTickets>, Arc<dyn StoresServerSessions>);

/// By what clients go on from earlier connections.
fn memory() -> Result<Memory, Error> {
    let ticketer = Ticketer::new().map_err(|error| Error::settings(&error))?;
    Ok((ticketer, ServerSessionMemoryCache::new(SESSIONS)))
}

fn resolver(settings: &Settings) -> Result<(Arc<dyn ResolvesServerCert>, Vec<CertificateInfo>), Error> {
    if let Some(resolver) = &settings.resolver {
        return Ok((Arc::clone(resolver), Vec::new()));
    }
    let (mut by_name, mut infos) = (ByName::default(), Vec::new());
    for super::Files { chain, key } in &settings.certificates {
        let certified = Arc::new(files::certified(chain, key)?);
        let read = certified.end_entity_cert().ok().and_then(names::server);
        let (names, not_after) = read.ok_or_else(|| Error::File {
            file: chain.name().into(),
            what: "the first certificate makes no sense".into(),
        })?;
        by_name.add(&names, certified);
        infos.push(CertificateInfo { file: chain.name().into(), names, not_after });
    }
    if by_name.first.is_none() {
        return Err(Error::NoCertificate);
    }
    Ok((Arc::new(by_name), infos))
}

type Clients = (Arc<dyn ClientCertVerifier>, Vec<CertificateDer<'static>>);

fn clients(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Clients, Error> {
    if settings.authorities.is_empty() {
        if settings.clients == ClientCertificate::Required {
            let what = "clients are to show certificates, and no authority for them is named";
            return Err(Error::Settings(what.into()));
        }
        return Ok((WebPkiClientVerifier::no_client_auth(), Vec::new()));
    }
    let mut authorities = Vec::new();
    let mut roots = RootCertStore::empty();
    for file in &settings.authorities {
        for der in files::certificates(file)? {
            authorities.push(der.clone());
            roots.add(der).map_err(|error| Error::File {
                file: file.name().into(),
                what: format!("a certificate in it is of no use: {error}"),
            })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match settings.clients {
        ClientCertificate::Optional => builder.allow_unauthenticated(),
        ClientCertificate::Required => builder,
    };
    Ok((builder.build().map_err(|error| Error::settings(&error))?, authorities))
}

/// Certificates by the names that they are for.
#[derive(Default)]
struct ByName {
    first: Option<Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wild: HashMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

impl ByName {
    /// Of two for one name, the one that was named first counts.
    fn add(&mut self, names: &[String], key: Arc<CertifiedKey>) {
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(rest) => (&mut self.wild, rest),
                None => (&mut self.exact, name.as_str()),
            };
            map.entry(name.into()).or_insert_with(|| Arc::clone(&key));
        }
        self.first.get_or_insert(key);
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // A wildcard is for one label (RFC 6125 §6.4.3).
        let wild = || self.wild.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wild)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has it in lower case.
        let found = hello.server_name().and_then(|name| self.find(name));
        found.or(self.first.as_ref()).cloned()
    }
}
