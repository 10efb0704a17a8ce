//! What is spoken on a connection.

#[cfg(feature = "alloc")]
pub mod json;
pub mod mqtt;
pub mod prx1;
pub mod session;
