//! What lies between a transport and a dialect.

pub mod http;
pub mod proxy;
pub mod websocket;
