//! Whole endpoints: a server with its hub, a client that stays connected.

pub mod client;
mod message;
pub mod server;
