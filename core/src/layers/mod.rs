//! What lies between a transport and a dialect.

pub mod http;
pub mod proxy;
#[cfg(feature = "noise")]
pub mod secure;
pub mod websocket;
