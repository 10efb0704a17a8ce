//! What carries dialects over a transport.

pub mod http;
pub mod websocket;
