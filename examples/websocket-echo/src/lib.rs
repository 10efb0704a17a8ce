//! WebSockets of your own, on the layers alone: a server that sends every message back to who sent it, and
//! a client.
//!
//! The one idea: the layers of a connection are machines, and yours is what puts them together. The
//! [`server`] makes a WebSocket of a request of HTTP, on the engine that moves the octets of every server of
//! ours; the [`client`] needs no engine, but a socket that blocks and a loop.

pub mod client;
pub mod server;

/// The largest message that is taken.
const MAX_MESSAGE: usize = 16 << 20;
