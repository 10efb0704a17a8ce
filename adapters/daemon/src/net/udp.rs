//! How sessions over UDP are secured, at the server and in the tools.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bowline_core::secure::{PublicKey, SecretKey, SharedKey};
use bowline_driver::OsEntropy;
use bowline_driver::datagram::{Config, NoiseKeys, Security};

use crate::auth::read_key;
use crate::config::Udp;
use crate::failure::Failure;

/// The settings, with the keys that are in files. Nothing where no UDP is configured.
pub(super) fn config(udp: &Udp) -> Result<Option<Config>, Failure> {
    let security = if udp.insecure {
        Security::Insecure
    } else if udp.key.is_some() || udp.shared_key.is_some() {
        Security::Noise(Arc::new(keys(udp)?))
    } else {
        return Ok(None);
    };
    let mut config = Config::new(security);
    config.idle = udp.idle.0;
    config.max_datagram = udp.max_datagram;
    config.sessions = udp.sessions;
    Ok(Some(config))
}

fn keys(udp: &Udp) -> Result<NoiseKeys, Failure> {
    let mut keys = NoiseKeys::new();
    if let Some(path) = &udp.key {
        keys = keys.own(read_key(path)?);
    }
    if let Some(path) = &udp.shared_key {
        keys = keys.shared(read_key(path)?);
    }
    if !udp.trusted.is_empty() {
        // What is wrong with one was said when the configuration was read.
        keys = keys.trusted(udp.trusted.iter().filter_map(|text| text.parse().ok()).collect());
    }
    Ok(keys)
}

/// A tool's, with a server whose key is known. Without a key of its own it is nobody's.
pub(crate) fn known(own: Option<SecretKey>, server: PublicKey) -> Config {
    let own = own.unwrap_or_else(|| SecretKey::generate(&mut OsEntropy));
    tool(Security::Noise(Arc::new(NoiseKeys::new().own(own).server(server))))
}

/// A tool's, with a server that has the same key.
pub(crate) fn shared(key: SharedKey) -> Config {
    tool(Security::Noise(Arc::new(NoiseKeys::new().shared(key))))
}

/// A tool's, that was told to have nothing secured.
pub(crate) fn insecure() -> Config {
    tool(Security::Insecure)
}

fn tool(security: Security) -> Config {
    let mut config = Config::new(security);
    // Before the tool itself gives up: what failed says more.
    config.handshake = Duration::from_secs(3);
    config
}

/// Why a session did not open, and what to do: a server says nothing to who has not its keys.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => "nobody there has opened a session with these keys; does a server listen there \
                                ([[listen]] udp), is --server-key the key of its [udp], does its udp.trusted have \
                                this client's (--noise-key), and does a firewall let UDP through?"
            .to_owned(),
        _ => error.to_string(),
    }
}
