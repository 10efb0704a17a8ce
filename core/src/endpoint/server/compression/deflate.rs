//! What is agreed to, and what it is done with.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::buf::SendBuf;
use crate::endpoint::server::HttpConfig;
use crate::time::Instant;
use crate::websocket::deflate::{Deflate, Options, Pool};
use crate::websocket::extensions::{self, Params, Wanted};
use crate::websocket::handshake::Offer;
use crate::websocket::{Fault, Frame, Kind, Message, SendError, Server as Role, WebSocket as Layer};

/// How messages of typed JSON are compressed, for clients that offer permessage-deflate.
///
/// The server's own messages are each compressed by themselves (RFC 7692 §7.1.1.1), whatever is set here:
/// so one to many is compressed once for all whose window is the same. What a message inflates to is limited
/// as any message is ([`max_message`](crate::websocket::Config::max_message)), while it is inflated, and to a
/// hundred times what came beyond 64 KiB.
///
/// ```
/// use bowline_core::endpoint::server::{Compression, ServerConfig};
/// let mut config = ServerConfig::default();
/// config.http.compression = Some(Compression { context_takeover: true, ..Compression::default() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The largest window, both ways, as a power of 2: 9 to 15; 13, which is 8 KiB. A client's offer can
    /// only make it smaller.
    pub window_bits: u8,
    /// Whether clients may refer to what they sent before; false. Each that does costs a window of memory
    /// and a quarter; one whose window cannot be bounded by [`window_bits`](Self::window_bits) may not.
    pub context_takeover: bool,
    /// From how many octets on a message is compressed; 512. Below that there is little to win.
    pub threshold: usize,
    /// How hard to compress, 1 (fast) to 9 (small); 6.
    pub level: u8,
    /// Octets of memory for all compressors and inflaters of the server; 8 MiB. Each pair of them takes
    /// [`Pool::CONTEXT`], and there is always one.
    pub memory: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { window_bits: 13, context_takeover: false, threshold: 512, level: 6, memory: 8 << 20 }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(in super::super) struct Compressors {
    wanted: Wanted,
    pool: Pool,
    inflated: Vec<u8>,
}

impl Compressors {
    /// Nothing where nothing is to be compressed. They take no memory before they are used.
    pub(in super::super) fn new(config: &HttpConfig) -> Option<Box<Self>> {
        let Compression { window_bits, context_takeover, threshold, level, memory } = config.compression?;
        let wanted = Wanted {
            server_context_takeover: false,
            client_context_takeover: context_takeover,
            server_max_window_bits: window_bits,
            client_max_window_bits: window_bits,
        };
        let options = Options {
            contexts: (memory / Pool::CONTEXT).max(1),
            level,
            threshold,
            max_message: usize::try_from(config.websocket.max_message).unwrap_or(usize::MAX - 1),
            ..Options::default()
        };
        Some(Box::new(Self { wanted, pool: Pool::new(options), inflated: Vec::new() }))
    }

    /// What is agreed to of what a client offers, if anything.
    pub(in super::super) fn accept(&self, offer: &Offer<'_>) -> Option<Params> {
        let values = offer.extensions().filter_map(|value| core::str::from_utf8(value).ok());
        extensions::accept(values, &self.wanted)
    }

    /// One more connection, whose client was told so.
    pub(in super::super) fn agree(&mut self, params: &Params, layer: &mut Layer<Role>) -> Box<Agreed> {
        layer.allow_compressed();
        Box::new(Agreed(Deflate::server(params, &mut self.pool)))
    }

    /// Memory to inflate in. [Give it back](Self::give_back).
    pub(in super::super) fn lend(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.inflated)
    }

    pub(in super::super) fn give_back(&mut self, memory: Vec<u8>) {
        self.inflated = memory;
    }
}

/// One connection's side of it.
#[derive(Debug)]
pub(in super::super) struct Agreed(Deflate);

impl Agreed {
    /// The window of what is sent, as a power of 2.
    pub(in super::super) const fn window_bits(&self) -> u8 {
        self.0.window_bits()
    }

    /// A message for all whose window is the same.
    pub(in super::super) fn encode(&self, with: &mut Compressors, text: &str) -> Frame {
        Frame::deflated(&mut with.pool, self.window_bits(), Kind::Text, text.as_bytes())
    }

    /// Sends a message to this client alone.
    pub(in super::super) fn send(
        &mut self,
        with: &mut Compressors,
        now: Instant,
        layer: &mut Layer<Role>,
        out: &mut impl SendBuf,
        text: &str,
    ) -> Result<(), SendError> {
        layer.send_deflated(now, out, &mut self.0, &mut with.pool, Kind::Text, text.as_bytes())
    }

    /// What came, as it was before it was compressed, in this memory.
    pub(in super::super) fn inflate<'a>(
        &mut self,
        with: &mut Compressors,
        message: Message<'a>,
        into: &'a mut Vec<u8>,
    ) -> Result<Message<'a>, Fault> {
        self.0.inflate(&mut with.pool, message, into)
    }
}
