//! How the relay reaches targets over TLS and UDP.

use std::sync::Arc;

use bowline_driver::datagram::{Config, NoiseKeys, Security};
use bowline_driver::server::Egress;
use bowline_tls::{Client, Pin};

use crate::auth::read_key;
use crate::config::{Relay, RelayTls, RelayUdp};
use crate::failure::Failure;

/// With the keys and authorities that are in files; only of what some target needs.
pub(crate) fn egress(relay: &Relay) -> Result<Egress, Failure> {
    let mut egress = Egress::new();
    if relay.allow.iter().any(|pattern| pattern.0.is_tls()) {
        egress = egress.tls(tls(&relay.tls)?);
    }
    if relay.allow.iter().any(|pattern| pattern.0.is_udp()) {
        egress = egress.datagrams(datagrams(&relay.udp)?);
    }
    Ok(egress)
}

fn tls(given: &RelayTls) -> Result<Client, Failure> {
    let mut builder = Client::builder();
    if let Some(file) = &given.ca {
        builder = builder.authority(file);
    }
    for pin in &given.pins {
        builder = builder.pin(Pin::PublicKey(pin.0));
    }
    if let (Some(cert), Some(key)) = (&given.cert, &given.key) {
        builder = builder.identity(cert, key);
    }
    builder.build().map_err(|error| Failure::new(format!("relay.tls: {error}")))
}

fn datagrams(given: &RelayUdp) -> Result<Config, Failure> {
    let mut keys = NoiseKeys::new();
    if let Some(path) = &given.key {
        keys = keys.own(read_key(path)?);
    }
    if let Some(path) = &given.shared_key {
        keys = keys.shared(read_key(path)?);
    }
    // What is wrong with it was said when the configuration was read.
    if let Some(key) = given.server_key.as_ref().and_then(|text| text.parse().ok()) {
        keys = keys.server(key);
    }
    Ok(Config::new(Security::Noise(Arc::new(keys))))
}
