//! What pages are spoken with: typed JSON, and the WebSockets that carry it.

use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// What is said on WebSockets beside the limits of what they carry.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebSocket {
    /// Whether clients of typed JSON that offer permessage-deflate get it.
    pub(crate) compression: bool,
    /// From how many octets on a message is compressed, and how hard.
    pub(crate) threshold: Size,
    pub(crate) level: u8,
    /// The largest window, as a power of 2, and whether clients may refer to what they sent before.
    pub(crate) window_bits: u8,
    pub(crate) context_takeover: bool,
    /// Octets for all compressors together.
    pub(crate) memory: Size,
}

/// What clients of typed JSON may do, beside the limits of all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Json {
    /// The largest message it takes; without one as large as `limits.frame`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<Size>,
    /// Messages with an answer that a client is sent ahead, and those of one `POST /ws/send`.
    pub(crate) in_flight: u32,
    pub(crate) batch: usize,
    /// Whether types of the application's own that are for no room are taken.
    pub(crate) types: bool,
    /// How long a client may take to say who it is.
    pub(crate) handshake: Span,
    /// How long its session outlives its connection.
    pub(crate) expiry: Span,
    /// The longest that a request waits for its answer.
    pub(crate) request: Span,
    /// How long a poll waits, and how long a client that polls is kept without one.
    pub(crate) poll_wait: Span,
    pub(crate) poll_idle: Span,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            compression: true,
            threshold: Size(512),
            level: 6,
            window_bits: 13,
            context_takeover: false,
            memory: Size(8 << 20),
        }
    }
}

impl Default for Json {
    fn default() -> Self {
        Self {
            message: None,
            in_flight: 1_024,
            batch: 64,
            types: false,
            handshake: Span::from_secs(30),
            expiry: Span::from_secs(60),
            request: Span::from_secs(60),
            poll_wait: Span::from_secs(25),
            poll_idle: Span::from_secs(60),
        }
    }
}
