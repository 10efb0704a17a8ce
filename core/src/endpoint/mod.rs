//! Whole endpoints: a server with its hub, and clients that stay connected.

pub mod bridge;
mod carrier;
pub mod client;
mod message;
pub mod mqtt_client;
pub mod server;
