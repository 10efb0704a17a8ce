//! The settings of a client.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::{QueueLimits, WhenFull};
use crate::backoff::Policy;
use crate::endpoint::carrier::RequestFields;
use crate::mqtt::{self, PropertyBlock, Qos, Version};

/// What the server publishes when this client is lost (§3.1.2.5).
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Where to: a topic name.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How.
    pub qos: Qos,
    /// Whether it is retained then.
    pub retain: bool,
    /// Beside all that, a delay for instance (5.0): made by [`PropertyBlock::of_will`].
    pub properties: PropertyBlock,
}

/// Enhanced authentication (5.0 §4.12). Its steps come as [`ClientEvent::Auth`](super::ClientEvent::Auth)
/// and are answered with [`Client::authenticate`](super::Client::authenticate).
#[derive(Clone)]
pub struct AuthMethod {
    /// The method that both sides know.
    pub name: String,
    /// What CONNECT carries of it.
    pub data: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for AuthMethod {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AuthMethod({:?}, ..)", self.name)
    }
}

/// The settings of a [`Client`](super::Client).
///
/// ```
/// use bowline_core::endpoint::mqtt_client::{ClientConfig, Will};
/// let config = ClientConfig {
///     client_id: "thermometer-7".into(),
///     will: Some(Will { topic: "room/state".into(), payload: "gone".into(), ..Will::default() }),
///     ..ClientConfig::default()
/// };
/// assert_eq!(config.keep_alive, 30);
/// ```
#[derive(Clone)]
pub struct ClientConfig {
    /// The version that is spoken. Default: 5.0.
    pub version: Version,
    /// Who this is. Empty: the server chooses, and the client keeps to that (5.0), or has a session for
    /// as long as each connection (3.1.1).
    pub client_id: String,
    /// The user.
    pub user: Option<String>,
    /// The password, in clear: only over an encrypted transport or loopback. Erased when dropped, and
    /// never printed.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// Enhanced authentication (5.0).
    pub auth: Option<AuthMethod>,
    /// How many seconds of silence end a connection, at least: half as many again. 0: none. Default: 30.
    pub keep_alive: u16,
    /// The first connection forgets what the server kept of this client. The following ones never do
    /// so. Default: yes.
    pub clean_start: bool,
    /// For how many seconds the session outlives a connection; `u32::MAX`: for ever. 3.1.1 knows only 0
    /// and more than that, and with 0 each connection begins with a clean session. Default: 3,600.
    pub session_expiry: u32,
    /// What CONNECT says beside (5.0): made by [`PropertyBlock::of_connect`]. What has a field of its own
    /// here is left out.
    pub properties: PropertyBlock,
    /// What is published when this client is lost.
    pub will: Option<Will>,
    /// Messages are acknowledged by [`Client::ack`](super::Client::ack), not by themselves when they
    /// have arrived here. Default: no.
    pub manual_ack: bool,
    /// The largest packet that is taken or sent, in octets: no more than the buffers hold. Default: 16 MiB.
    pub max_packet: u32,
    /// How many messages with QoS 1 and 2 the server may send unacknowledged; at least 1. Default: 256.
    pub receive_maximum: u16,
    /// The highest topic alias that the server may set (5.0). Default: 16.
    pub topic_alias_maximum: u16,
    /// How many messages with QoS 1 and 2 are sent unacknowledged, at most; less where the server says
    /// so. At least 1. Default: 1,024.
    pub in_flight: u16,
    /// How long it may take until the server has answered CONNECT. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long the answer to a ping may take. Default: 10 s.
    pub ping_timeout: Duration,
    /// For how long the server may take no octet of what waits for it. Default: 10 s.
    pub write_timeout: Duration,
    /// When to try again.
    pub backoff: Policy,
    /// How many endpoints there are to try in turn; the adapter keeps their addresses. Default: 1.
    pub endpoints: usize,
    /// How much may wait to be sent or to be acknowledged, connected or not; octets of topics, payloads
    /// and properties. Default: 1,024 messages, 4 MiB.
    pub outgoing: QueueLimits,
    /// What to do with a publish beyond that.
    pub when_full: WhenFull,
    /// Whether messages with QoS 0 wait while there is no connection. Otherwise they are refused then,
    /// and those that wait are dropped when the connection is lost. Default: yes.
    pub keep_qos0: bool,
    /// How many events, and octets in them, may wait for the application; then nothing more is read.
    /// Default: 65,536 events, 4 MiB.
    pub incoming: QueueLimits,
    /// Whether to connect again when a connection is lost or cannot be made. Default: yes.
    pub reconnect: bool,
    /// What a request for a WebSocket has beside, where one carries a connection. Default: nothing.
    pub request_fields: RequestFields,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            version: Version::V5,
            client_id: String::new(),
            user: None,
            password: None,
            auth: None,
            keep_alive: 30,
            clean_start: true,
            session_expiry: 3600,
            properties: PropertyBlock::new(),
            will: None,
            manual_ack: false,
            max_packet: 16 << 20,
            receive_maximum: 256,
            topic_alias_maximum: 16,
            in_flight: 1024,
            connect_timeout: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            backoff: Policy::default(),
            endpoints: 1,
            outgoing: QueueLimits { max_messages: 1024, max_bytes: 4 << 20 },
            when_full: WhenFull::Refuse,
            keep_qos0: true,
            incoming: QueueLimits { max_messages: 65_536, max_bytes: 4 << 20 },
            reconnect: true,
            request_fields: RequestFields::new(),
        }
    }
}

impl ClientConfig {
    /// Those of the session's machine.
    pub(super) fn machine(&self) -> mqtt::client::Config {
        mqtt::client::Config {
            version: self.version,
            max_packet: self.max_packet,
            receive_maximum: self.receive_maximum.max(1),
            topic_alias_maximum: self.topic_alias_maximum,
            manual_ack: self.manual_ack,
            connect_timeout: self.connect_timeout,
            ping_timeout: self.ping_timeout,
            write_timeout: self.write_timeout,
        }
    }
}

impl core::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
