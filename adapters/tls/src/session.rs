//! The one place that calls rustls' connections: its next version changes them.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, HandshakeKind, ProtocolVersion, ServerConfig,
    ServerConnection,
};

use crate::version::Version;

/// Label of RFC 9266.
const BINDING: &[u8] = b"EXPORTER-Channel-Binding";

/// One side of a connection of TLS, without what carries it.
pub(crate) struct Session(Connection);

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The version.
    pub version: Version,
    /// The protocol that was agreed upon.
    pub alpn: Option<Vec<u8>>,
    /// It goes on from an earlier connection's.
    pub resumed: bool,
}

impl Session {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self(ServerConnection::new(config)?.into()))
    }

    pub(crate) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self(ClientConnection::new(config, name)?.into()))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether there is something to [`transmit`](Self::transmit).
    pub(crate) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Reads once; zero octets are the end of the stream.
    pub(crate) fn receive(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        self.0.read_tls(from)
    }

    /// Works on what was received. After an error there may be an alert to transmit.
    pub(crate) fn process(&mut self) -> Result<(), Error> {
        self.0.process_new_packets().map(drop)
    }

    /// Takes octets that were received. None: the peer has ended its direction. `WouldBlock`: none are
    /// there yet. `UnexpectedEof`: the stream has ended, and the peer did not say so.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.reader().read(to)
    }

    /// Seals octets, as many as there is room for.
    pub(crate) fn put(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.writer().write_vectored(from)
    }

    /// Writes once.
    pub(crate) fn transmit(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.0.write_tls(to)
    }

    /// Says that no more comes from here.
    pub(crate) fn close(&mut self) {
        self.0.send_close_notify();
    }

    pub(crate) fn handshake(&self) -> Handshake {
        Handshake {
            version: self.version(),
            alpn: self.0.alpn_protocol().map(Into::into),
            resumed: self.0.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    fn version(&self) -> Version {
        match self.0.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            _ => Version::Tls12,
        }
    }

    /// The peer's certificate.
    pub(crate) fn peer(&self) -> Option<&CertificateDer<'static>> {
        self.0.peer_certificates()?.first()
    }

    /// What binds another protocol to this connection (RFC 9266): of TLS 1.3, where it is unique always.
    pub(crate) fn binding(&self) -> Option<[u8; 32]> {
        if self.version() != Version::Tls13 {
            return None;
        }
        self.0.export_keying_material([0; 32], BINDING, Some(&[])).ok()
    }
}
