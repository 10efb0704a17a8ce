//! Whole endpoints: a server with its hub, a client that stays connected.

pub mod bridge;
pub mod client;
mod message;
pub mod server;
