//! The server's side: which certificate, who may come, and what changes while it runs.

mod load;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::core::stack::Alpn;
use bowline_driver::{Acceptor, Transport};
use parking_lot::{Mutex, RwLock};
use rustls::server::ResolvesServerCert;

pub use watch::Watch;

use crate::accept::Incoming;
use crate::failure::{Failure, Fault};
use crate::files::{Error, Source, Stamp};
use crate::session::{Handshake, Session};
use crate::stream::Tls;
use crate::version::Version;
use load::Loaded;

/// Whether clients have to have a certificate, where authorities for them are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// One that is shown must be good; who shows none may come in otherwise.
    #[default]
    Optional,
    /// Whoever shows none is not let in.
    Required,
}

/// A chain of certificates, and the key to the first, in PEM.
#[derive(Clone, Debug)]
struct Files {
    chain: Source,
    key: Source,
}

type OnFailure = Box<dyn Fn(&Peer, Failure, &str) + Send + Sync>;
type OnReload = Box<dyn Fn(Result<(), &Error>) + Send + Sync>;

/// What a server's TLS is to be. See [`Server::builder`].
#[must_use]
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    on_failure: Option<OnFailure>,
    on_reload: Option<OnReload>,
}

/// What is read, and what is agreed to.
#[derive(Default)]
struct Settings {
    certificates: Vec<Files>,
    resolver: Option<Arc<dyn ResolvesServerCert>>,
    authorities: Vec<Source>,
    clients: ClientCertificate,
    least: Version,
    alpn: Option<Vec<Alpn>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("certificates", &self.settings.certificates).finish_non_exhaustive()
    }
}

impl Builder {
    /// Adds a certificate: a file with its chain, and one with its key, both in PEM. Of several, a client is
    /// shown the one that is for the name that it asks for (SNI), exactly or by a wildcard, and the first
    /// where none is.
    pub fn certificate(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let [chain, key] = [chain.as_ref(), key.as_ref()].map(|file| Source::File(file.into()));
        self.settings.certificates.push(Files { chain, key });
        self
    }

    /// The same, with the text instead of files.
    pub fn certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.settings.certificates.push(Files { chain: Source::given(chain), key: Source::given(key) });
        self
    }

    /// Lets this choose the certificate for each handshake, instead of files.
    pub fn resolver(mut self, resolver: Arc<dyn ResolvesServerCert>) -> Self {
        self.settings.resolver = Some(resolver);
        self
    }

    /// Asks clients for a certificate, by an authority in this file. Who a client is by it is decided by
    /// [`Users`](bowline_driver::server::Users).
    pub fn client_authority(mut self, file: impl AsRef<Path>) -> Self {
        self.settings.authorities.push(Source::File(file.as_ref().into()));
        self
    }

    /// The same, with the text instead of a file.
    pub fn client_authority_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.settings.authorities.push(Source::given(pem));
        self
    }

    /// Whether clients have to have one.
    pub fn client_certificate(mut self, clients: ClientCertificate) -> Self {
        self.settings.clients = clients;
        self
    }

    /// The oldest version that is spoken. Default: 1.2.
    pub fn min_version(mut self, least: Version) -> Self {
        self.settings.least = least;
        self
    }

    /// Which protocols are agreed to where a client offers any (ALPN). Default: all. Who offers none may
    /// speak whatever is spoken on the port.
    pub fn alpn(mut self, alpn: &[Alpn]) -> Self {
        self.settings.alpn = Some(alpn.to_vec());
        self
    }

    /// Calls `tell` with each connection that has no TLS or lost it: whose, of which kind, and why in words. It
    /// should not take long.
    pub fn on_failure(mut self, tell: impl Fn(&Peer, Failure, &str) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(tell));
        self
    }

    /// Calls `tell` whenever files were read anew because they changed, or could not be taken over: then the
    /// old ones stay.
    pub fn on_reload(mut self, tell: impl Fn(Result<(), &Error>) + Send + Sync + 'static) -> Self {
        self.on_reload = Some(Box::new(tell));
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which file, and what is wrong with it.
    pub fn build(self) -> Result<Server, Error> {
        let Self { settings, on_failure, on_reload } = self;
        let seen = settings.stamps();
        let loaded = Loaded::read(&settings, None)?;
        let inner = Inner {
            loaded: RwLock::new(Arc::new(loaded)),
            read: Mutex::new(Read { settings, seen }),
            counters: Tally::default(),
            on_failure,
            on_reload,
        };
        Ok(Server(Arc::new(inner)))
    }
}

impl Settings {
    fn stamps(&self) -> Vec<Stamp> {
        let certificates = self.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
        certificates.chain(&self.authorities).filter_map(Source::stamp).collect()
    }
}

/// A server's TLS, for [`Builder::tls`](bowline_driver::server::Builder::tls); clones are the same one.
///
/// ```no_run
/// let tls = bowline_tls::Server::builder().certificate("chain.pem", "key.pem").build()?;
/// // New certificates are taken over as they come: who is connected stays.
/// let _watch = tls.watch(std::time::Duration::from_secs(10));
/// # Ok::<(), bowline_tls::Error>(())
/// ```
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    loaded: RwLock<Arc<Loaded>>,
    read: Mutex<Read>,
    counters: Tally,
    on_failure: Option<OnFailure>,
    on_reload: Option<OnReload>,
}

/// What is read.
struct Read {
    settings: Settings,
    /// The files, as they were when they were last read.
    seen: Vec<Stamp>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("certificates", &self.certificates()).finish_non_exhaustive()
    }
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The file that it is from.
    pub file: PathBuf,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// Until when it is valid: seconds since 1970-01-01 UTC.
    pub not_after: i64,
}

/// What a server's TLS has had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handshakes that were done.
    pub handshakes: u64,
    /// Of those, how many went on from an earlier connection.
    pub resumed: u64,
    /// Failures, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// How often files were read anew.
    pub reloads: u64,
    /// How often that failed, so that the old ones stay.
    pub reload_failures: u64,
}

#[derive(Default)]
struct Tally {
    handshakes: AtomicU64,
    resumed: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
    reloads: AtomicU64,
    reload_failures: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Server {
    /// A server's TLS to be; it needs a certificate.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Reads all files anew, for handshakes from now on; who is connected stays. Where anything is wrong,
    /// the old ones stay.
    ///
    /// # Errors
    ///
    /// Which file, and what is wrong with it.
    pub fn reload(&self) -> Result<(), Error> {
        // One at a time, or an older one could come last.
        let mut read = self.0.read.lock();
        read.seen = read.settings.stamps();
        let done = self.take_over(&read.settings);
        drop(read);
        self.tell(done)
    }

    /// Other settings, files and all, for handshakes from now on; who is connected stays. Where anything is
    /// wrong, all stays as it was. Whom the server itself [tells](Builder::on_reload) of what stays too.
    ///
    /// Who goes on from an earlier connection is let in by what counts now: what was agreed upon before is
    /// forgotten where other authorities may vouch for clients, or clients have to have a certificate that had
    /// not to have one.
    ///
    /// # Errors
    ///
    /// Which file, and what is wrong with it.
    pub fn set(&self, builder: Builder) -> Result<(), Error> {
        let settings = builder.settings;
        let mut read = self.0.read.lock();
        let seen = settings.stamps();
        let done = self.take_over(&settings);
        if done.is_ok() {
            *read = Read { settings, seen };
        }
        drop(read);
        self.tell(done)
    }

    fn take_over(&self, settings: &Settings) -> Result<(), Error> {
        let before = Arc::clone(&self.0.loaded.read());
        let loaded = Loaded::read(settings, Some(&before))?;
        *self.0.loaded.write() = Arc::new(loaded);
        Ok(())
    }

    /// Counts and tells what came of it.
    fn tell(&self, done: Result<(), Error>) -> Result<(), Error> {
        count(if done.is_ok() { &self.0.counters.reloads } else { &self.0.counters.reload_failures });
        if let Some(tell) = &self.0.on_reload {
            tell(done.as_ref().copied());
        }
        done
    }

    /// The same, where a file has changed since it was last read: another time, size or inode. Nothing: none
    /// has.
    pub fn reload_if_changed(&self) -> Option<Result<(), Error>> {
        let read = self.0.read.lock();
        let changed = read.seen != read.settings.stamps();
        drop(read);
        changed.then(|| self.reload())
    }

    /// The certificates that clients are shown; those of a [resolver](Builder::resolver) are not known.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.0.loaded.read().certificates.clone()
    }

    /// What it has had to do.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Tally { handshakes, resumed, failures, reloads, reload_failures } = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            handshakes: read(handshakes),
            resumed: read(resumed),
            failures: std::array::from_fn(|i| read(&failures[i])),
            reloads: read(reloads),
            reload_failures: read(reload_failures),
        }
    }

    /// TLS around a connection that was just made.
    ///
    /// # Errors
    ///
    /// The settings do not allow it; this machine has no randomness.
    pub fn accept<T: Transport>(&self, transport: T, peer: Peer) -> io::Result<Tls<T>> {
        self.handshake(transport, &[], peer)
    }

    /// The same, where TLS is only one of what may come: any that begins otherwise is passed through, or
    /// with `only` refused.
    pub fn accept_any<T: Transport>(&self, transport: T, peer: Peer, only: bool) -> Incoming<T> {
        Incoming::new(transport, self.clone(), peer, only)
    }

    pub(crate) fn handshake<T: Transport>(
        &self,
        transport: T,
        early: &[u8],
        peer: Peer,
    ) -> io::Result<Tls<T>> {
        let config = Arc::clone(&self.0.loaded.read().config);
        let session = Session::server(config).map_err(Fault::Tls)?;
        let server = self.clone();
        let observe = move |done: Result<&Handshake, (Failure, &str)>| match done {
            Ok(handshake) => server.done(handshake),
            Err((failure, why)) => server.failed(&peer, failure, why),
        };
        Ok(Tls::new(transport, session, early, Some(Box::new(observe))))
    }

    fn done(&self, handshake: &Handshake) {
        count(&self.0.counters.handshakes);
        if handshake.resumed {
            count(&self.0.counters.resumed);
        }
    }

    pub(crate) fn failed(&self, peer: &Peer, failure: Failure, why: &str) {
        count(&self.0.counters.failures[failure as usize]);
        if let Some(tell) = &self.0.on_failure {
            tell(peer, failure, why);
        }
    }
}

impl Acceptor for Server {
    fn accept(&self, transport: Box<dyn Transport>, peer: &Peer, only: bool) -> Box<dyn Transport> {
        Box::new(self.accept_any(transport, *peer, only))
    }
}
