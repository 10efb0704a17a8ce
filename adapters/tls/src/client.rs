//! The client's side: whom it trusts, and who it is.

mod verify;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use bowline_driver::core::stack::Alpn;
use bowline_driver::{Connector, Transport};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;

use crate::failure::{Failure, Fault};
use crate::files::{self, Error, Source};
use crate::session::{Handshake, Session};
use crate::stream::Tls;
use crate::version::{self, Version};
use verify::{Anyone, Pinned};

/// A server that is known by what its certificate is, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    /// SHA-256 of the whole certificate.
    Certificate([u8; 32]),
    /// SHA-256 of its public key (RFC 7469 §2.4), which outlives certificates.
    PublicKey([u8; 32]),
}

type OnFailure = Arc<dyn Fn(Failure, &str) + Send + Sync>;

/// What a client's TLS is to be. See [`Client::builder`].
#[must_use]
#[derive(Default)]
pub struct Builder {
    platform: bool,
    authorities: Vec<Source>,
    pins: Vec<Pin>,
    anyone: bool,
    identity: Option<(Source, Source)>,
    least: Version,
    alpn: Option<Vec<Vec<u8>>>,
    on_failure: Option<OnFailure>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("authorities", &self.authorities)
            .field("pins", &self.pins)
            .field("anyone", &self.anyone)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Trusts the authorities that this machine trusts. So it is where nothing else is said of trust.
    pub const fn platform_authorities(mut self) -> Self {
        self.platform = true;
        self
    }

    /// Trusts the authorities in a file of PEM, and no others unless that is said as well.
    pub fn authority(mut self, file: impl AsRef<Path>) -> Self {
        self.authorities.push(Source::File(file.as_ref().into()));
        self
    }

    /// The same, with the text instead of a file.
    pub fn authority_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.authorities.push(Source::given(pem));
        self
    }

    /// Trusts only servers that are one of these. Where no authority is named, no authority and no date
    /// counts: it is enough that the server is the one that is known, and goes by the name.
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pins.push(pin);
        self
    }

    /// Trusts whoever answers: whoever is in between can read and change all. For trying things out on one
    /// machine; a [pin](Self::pin) does as well, and is safe.
    pub const fn dangerous_trust_anyone(mut self) -> Self {
        self.anyone = true;
        self
    }

    /// Shows servers that ask for it who this is: files of PEM with a chain of certificates, and the key.
    pub fn identity(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((Source::File(chain.as_ref().into()), Source::File(key.as_ref().into())));
        self
    }

    /// The same, with the text instead of files.
    pub fn identity_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((Source::given(chain), Source::given(key)));
        self
    }

    /// The oldest version that is spoken. Default: 1.2.
    pub const fn min_version(mut self, least: Version) -> Self {
        self.least = least;
        self
    }

    /// Offers these protocols (ALPN), and none if the list is empty. Default: the one that is spoken.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: &[P]) -> Self {
        self.alpn = Some(protocols.iter().map(|protocol| protocol.as_ref().into()).collect());
        self
    }

    /// Calls `tell` with each connection that has no TLS or lost it: of which kind, and why in words. Where
    /// a server does not take this side's certificate, TLS 1.3 tells only here: it is known when the
    /// connection is already in use.
    pub fn on_failure(mut self, tell: impl Fn(Failure, &str) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Arc::new(tell));
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which file, and what is wrong with it; or this machine trusts nobody.
    pub fn build(self) -> Result<Client, Error> {
        let provider = version::provider();
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(version::from(self.least))
            .map_err(|error| Error::settings(&error))?
            .dangerous() // Rustls calls it so whatever the verifier does.
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certified = files::certified(chain, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        // They share what servers are remembered by.
        let with = |alpn: Option<Alpn>| {
            let mut config = config.clone();
            let spoken = || alpn.into_iter().map(|alpn| alpn.name().into()).collect();
            config.alpn_protocols = self.alpn.clone().unwrap_or_else(spoken);
            (alpn, Arc::new(config))
        };
        let configs = Alpn::ALL.map(Some).into_iter().chain([None]).map(with).collect();
        Ok(Client(Arc::new(Inner { configs, on_failure: self.on_failure })))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        if self.anyone {
            return Ok(Arc::new(Anyone::new(provider)));
        }
        let by_authority: Option<Arc<dyn ServerCertVerifier>> = if !self.authorities.is_empty() {
            let roots = files::roots(&self.authorities)?;
            let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
            Some(builder.build().map_err(|error| Error::settings(&error))?)
        } else if self.platform || self.pins.is_empty() {
            let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
            Some(Arc::new(verifier.map_err(|error| Error::settings(&error))?))
        } else {
            None
        };
        Ok(match by_authority {
            Some(verifier) if self.pins.is_empty() => verifier,
            verifier => Arc::new(Pinned::new(provider, &self.pins, verifier)),
        })
    }
}

/// A client's TLS, for [`Builder::tls`](bowline_driver::client::Builder::tls) of a client; clones are the
/// same one. The name of the server is checked always.
///
/// ```
/// use bowline_tls::{Client, Pin};
/// // The public key's SHA-256, as `openssl pkey -pubin -outform der | sha256sum` has it.
/// let tls = Client::builder().pin(Pin::PublicKey([7; 32])).build()?;
/// # Ok::<(), bowline_tls::Error>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    configs: HashMap<Option<Alpn>, Arc<ClientConfig>>,
    on_failure: Option<OnFailure>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client's TLS to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same, but nothing is remembered of a connection, and none goes on from an earlier one: each handshake
    /// is a whole one, as whoever comes for the first time makes it.
    #[must_use]
    pub fn without_memory(&self) -> Self {
        let forgetful = |(alpn, config): (&Alpn, &Arc<ClientConfig>)| {
            let mut config = ClientConfig::clone(config);
            config.resumption = Resumption::disabled();
            (*alpn, Arc::new(config))
        };
        let configs = self.0.configs.iter().map(forgetful).collect();
        Self(Arc::new(Inner { configs, on_failure: self.0.on_failure.clone() }))
    }

    /// TLS around a connection to `host`: a name, or an address. `alpn` is what is to be spoken, where that is
    /// known.
    ///
    /// # Errors
    ///
    /// No certificate can be for that name.
    pub fn connect<T: Transport>(
        &self,
        transport: T,
        host: &str,
        alpn: impl Into<Option<Alpn>>,
    ) -> io::Result<Tls<T>> {
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("no certificate can be for {host:?}"))
        })?;
        let Some(config) = self.0.configs.get(&alpn.into()) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let session = Session::client(Arc::clone(config), name).map_err(Fault::Tls)?;
        let observe = self.0.on_failure.clone().map(|tell| {
            let observe = move |done: Result<&Handshake, (Failure, &str)>| {
                if let Err((failure, why)) = done {
                    tell(failure, why);
                }
            };
            Box::new(observe) as crate::stream::Observe
        });
        Ok(Tls::new(transport, session, &[], observe))
    }
}

impl Connector for Client {
    fn connect(
        &self,
        transport: Box<dyn Transport>,
        host: &str,
        alpn: Option<Alpn>,
    ) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Self::connect(self, transport, host, alpn)?))
    }
}
