//! What the commands need of the network, in their own words: all that knows `bowline-tokio` is here.

mod client;
mod diagnose;
mod egress;
pub(crate) mod http;
mod known;
mod listen;
mod outbound;
mod server;
mod tls;
pub(crate) mod udp;

use std::sync::Arc;
use std::time::Duration;

use bowline_core::status::Status;
use bytes::Bytes;
use parking_lot::Mutex;

pub(crate) use bowline_driver::datagram::Config as Datagrams;
pub(crate) use bowline_tokio::Room;
pub(crate) use client::{Client, Incoming, Receipt, Replies, Subscription};
pub(crate) use diagnose::diagnose;
pub(crate) use egress::egress;
pub(crate) use known::{KnownKeys, Secure};
pub(crate) use listen::Activated;
pub(crate) use outbound::{Outbound, is_ours};
pub(crate) use server::Server;
#[cfg(feature = "otlp")]
pub(crate) use server::short;

/// The client of `--mqtt`.
pub(crate) type MqttClient = bowline_driver::mqtt::Client<Outbound>;

/// Its subscriptions.
pub(crate) type MqttSubscription = bowline_driver::mqtt::Subscription<Outbound>;

pub(crate) use bowline_driver::client::{Compression, RequestFields};
pub(crate) use bowline_driver::{
    Address, AddressError, DEFAULT_PORT as PORT, MQTT_PORT, MQTT_TLS_PORT, TLS_PORT, WEB_PORT, WEB_TLS_PORT,
};

use crate::cli::Endpoint;
use crate::config::Secret;
use crate::failure::Failure;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Tried in turn; at least one.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) credentials: Credentials,
    pub(crate) name: String,
    pub(crate) keepalive: Option<Duration>,
    /// What a request for a WebSocket has beside.
    pub(crate) fields: RequestFields,
    /// The secure mode, where that is wanted.
    pub(crate) secure: Option<Secure>,
    /// How payloads are compressed, where the server agrees.
    pub(crate) compression: Option<Compression>,
    /// Whom to trust, where TLS is spoken.
    pub(crate) tls: Option<bowline_tls::Client>,
    /// How sessions over UDP are secured, where they go there.
    pub(crate) datagrams: Option<Datagrams>,
    /// What it came to.
    pub(crate) faults: Faults,
}

/// Why there was no TLS, or no session over UDP, the last time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<String>>>);

impl Faults {
    pub(crate) fn tell(&self, why: &str) {
        *self.0.lock() = Some(why.to_owned());
    }

    /// Why there is no connection to one of these; `what` there is none of.
    pub(crate) fn explain(&self, what: &str, endpoints: &[String]) -> Option<Failure> {
        let why = self.0.lock().take()?;
        Some(Failure::new(format!("no {what} with {}: {why}", endpoints.join(", "))))
    }
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    Password { user: String, password: Secret },
    Token(Secret),
    Scram { user: String, password: Secret },
}

impl Credentials {
    /// Whether someone who reads the connection learns the secret.
    pub(crate) fn is_readable(&self) -> bool {
        matches!(self, Self::Password { .. } | Self::Token(_))
    }
}

/// A message for a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) reliable: bool,
    /// Its topic's retained value.
    pub(crate) retain: bool,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    /// User properties, in their order.
    pub(crate) properties: Vec<(String, String)>,
}

/// One answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    /// Others follow.
    pub(crate) more: bool,
    pub(crate) payload: Bytes,
}

/// What happens to a client's connection after it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// There is a connection again; `resumed` when the server still had the session.
    Connected { resumed: bool },
    /// There is none at present; the next try comes after this time.
    Disconnected { reason: String, retry_in: Option<Duration> },
    /// The server goes away, and names where to go instead, or nothing.
    Draining { endpoint: String },
    /// There will be no connection any more.
    Closed { reason: String },
}
