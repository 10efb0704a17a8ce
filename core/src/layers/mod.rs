//! What lies between a transport and a dialect.

#[cfg(feature = "alloc")]
pub mod datagram;
pub mod http;
pub mod proxy;
#[cfg(feature = "noise")]
pub mod secure;
pub mod serial;
pub mod websocket;
