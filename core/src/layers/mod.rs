//! What lies between a transport and a dialect.

pub mod websocket;
