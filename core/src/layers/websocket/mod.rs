//! WebSocket (RFC 6455): the opening handshake.

pub mod handshake;
