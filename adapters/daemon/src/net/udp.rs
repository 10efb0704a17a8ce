//! How sessions over UDP are secured.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use bowline_core::secure::KeyError;
use bowline_driver::datagram::{Config, NoiseKeys, Security};
use zeroize::Zeroizing;

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
        keys = keys.own(read(path)?);
    }
    if let Some(path) = &udp.shared_key {
        keys = keys.shared(read(path)?);
    }
    if !udp.trusted.is_empty() {
        // What is wrong with one was said when the configuration was read.
        keys = keys.trusted(udp.trusted.iter().filter_map(|text| text.parse().ok()).collect());
    }
    Ok(keys)
}

/// Reads a key; its text is wiped.
pub(super) fn read<K: FromStr<Err = KeyError>>(path: &Path) -> Result<K, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::io(format_args!("cannot read the key {shown}"), &error))?;
    text.trim().parse().map_err(|error| Failure::new(format!("{shown} is no key: {error}")))
}
