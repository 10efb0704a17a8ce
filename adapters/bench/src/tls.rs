//! TLS on the load's side, and certificates for servers that this program starts.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bowline_tls::make::Authority;
use bowline_tls::rustls::client::Resumption;
use bowline_tls::rustls::crypto::aws_lc_rs;
use bowline_tls::rustls::pki_types::pem::PemObject;
use bowline_tls::rustls::pki_types::{CertificateDer, ServerName};
use bowline_tls::rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// By which name servers are asked for.
const NAME: &str = "localhost";
/// What a server finds in its directory.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const AUTHORITY: &str = "ca.pem";

/// How clients trust. Each of their handshakes is a whole one: nothing is resumed.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// In the authorities of a file of PEM.
    pub(crate) fn in_file(path: &Path) -> io::Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        };
        let pem = fs::read(path).map_err(|error| wrong(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// In the authority of the certificate that was [made](make) in this directory.
    pub(crate) fn in_directory(directory: &Path) -> io::Result<Self> {
        Self::in_file(&directory.join(AUTHORITY))
    }

    /// A client's side of a connection.
    pub(crate) fn connect(&self) -> io::Result<Box<Line>> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        Ok(Box::new(Line { connection, ended: false }))
    }
}

/// Puts a certificate, its key and its authority to a directory, and says by which variables `bowline` takes
/// them.
pub(crate) fn make(directory: &Path) -> io::Result<[(&'static str, String); 2]> {
    let authority = Authority::new("bowline-bench", 1).map_err(io::Error::other)?;
    let made = authority.server(&[NAME, "127.0.0.1"], 1).map_err(io::Error::other)?;
    let path = |file: &str| directory.join(file);
    fs::write(path(AUTHORITY), authority.to_pem().chain)?;
    fs::write(path(CERTIFICATE), &made.chain)?;
    fs::write(path(KEY), made.key.as_bytes())?;
    let shown = |file: &str| path(file).to_string_lossy().into_owned();
    Ok([("BOWLINE_TLS__CERT", shown(CERTIFICATE)), ("BOWLINE_TLS__KEY", shown(KEY))])
}

/// A client's TLS over a socket that does not block.
#[derive(Debug)]
pub(crate) struct Line {
    connection: ClientConnection,
    ended: bool,
}

/// A socket, as rustls reads and writes it.
struct Socket<'a>(&'a OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, to)?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, from)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    /// Reads what is there, as a socket's `read` would; the handshake is made on the way. `AGAIN`: nothing
    /// more can be done now.
    pub(crate) fn read(&mut self, fd: &OwnedFd, to: &mut [u8]) -> io::Result<usize> {
        let mut held = 0;
        loop {
            while held < to.len() {
                match self.connection.reader().read(&mut to[held..]) {
                    Ok(0) => return Ok(held),
                    Ok(n) => held += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if held > 0 || self.ended {
                return Ok(held);
            }
            self.ended = self.connection.read_tls(&mut Socket(fd))? == 0;
            if let Err(error) = self.connection.process_new_packets() {
                // The server is told why, where that is possible at once.
                let _ = self.flush(fd);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            self.flush(fd)?;
        }
    }

    /// Whether it is not secured yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether something waits to be written that no caller knows of.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes some of `from`, and writes what can be written.
    pub(crate) fn write(&mut self, fd: &OwnedFd, from: &[u8]) -> io::Result<usize> {
        self.flush(fd)?;
        if self.is_handshaking() || self.wants_write() {
            return Err(Errno::AGAIN.into());
        }
        let taken = self.connection.writer().write(from)?;
        self.flush(fd)?;
        Ok(taken)
    }

    /// Writes what there is, as far as the socket takes it.
    pub(crate) fn flush(&mut self, fd: &OwnedFd) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket(fd)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
