//! Whole endpoints: a server with its hub, a client that stays connected.

mod message;
pub mod server;
