//! TLS, as the configuration wants it.

use bowline_core::endpoint::server::Peer;
use bowline_tokio::tls::{ClientCertificate, Error, Failure as TlsFailure, Server, ServerBuilder, Version};
use tracing::{debug, error, info, warn};

use crate::config::{Tls, TlsVersion};
use crate::failure::Failure;

/// Reads all files that the configuration names; nothing where it names none.
pub(super) fn load(tls: &Tls) -> Result<Option<Server>, Failure> {
    let Some(builder) = builder(tls) else { return Ok(None) };
    let built = builder.on_failure(failed).on_reload(reloaded).build();
    built.map(Some).map_err(|error| Failure::new(format!("tls: {error}")))
}

/// What the configuration says; nothing where it names no certificate.
pub(super) fn builder(tls: &Tls) -> Option<ServerBuilder> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return None };
    let mut builder = Server::builder().certificate(cert, key);
    for files in &tls.sni {
        builder = builder.certificate(&files.cert, &files.key);
    }
    if let Some(file) = &tls.client_ca {
        builder = builder.client_authority(file);
    }
    if tls.require_client_cert {
        builder = builder.client_certificate(ClientCertificate::Required);
    }
    builder = builder.min_version(match tls.min_version {
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    });
    for key in tls.sni.iter().map(|files| &files.key).chain([key]) {
        if is_open_to_all(key) {
            let shown = key.display();
            warn!("{shown} is open to every user of this machine; chmod o= {shown}");
        }
    }
    Some(builder)
}

/// Whether others than its owner and group can read a key.
fn is_open_to_all(path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|data| data.mode() & 0o007 != 0)
}

fn failed(peer: &Peer, failure: TlsFailure, why: &str) {
    let peer = peer.socket().map_or_else(|| "unknown".to_owned(), |socket| socket.to_string());
    // Whoever comes and goes, or asks in the clear, is everyday.
    match failure {
        TlsFailure::Unfinished | TlsFailure::Truncated | TlsFailure::Io => {
            debug!(peer, kind = failure.label(), reason = why, "TLS ended");
        }
        _ => info!(peer, kind = failure.label(), reason = why, "TLS failed"),
    }
}

fn reloaded(done: Result<(), &Error>) {
    match done {
        Ok(()) => info!("certificates reloaded; who is connected stays"),
        Err(reason) => error!(%reason, "certificates were not reloaded, and those before still count"),
    }
}
