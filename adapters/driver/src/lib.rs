//! Runs Bowline's state machines on any runtime.
//!
//! - [`Engine`] moves bytes between one [`Transport`] and one [`Machine`].
//! - [`server`]: a hub for many connections, and handlers inside the program.
//! - [`client`]: a client that stays connected.
//! - [`mqtt`]: the same for MQTT.
//! - [`datagram`]: sessions over UDP.
//! - [`session`]: a session of your own, without a hub.
//! - [`store`]: where a server keeps what outlives it.
//! - [`Splice`]: two transports joined, as a relay joins them.
//! - [`Runtime`]: what a runtime has to offer. Each runtime's own crate (`bowline-tokio`,
//!   `bowline-smol`, `bowline-async-std`, `bowline-blocking`) is an implementation of it and names
//!   for the types here; use those.
//!
//! No decision of a protocol is made here: all of them are in `bowline-core`.

mod address;
pub mod client;
pub mod clock;
pub mod datagram;
mod engine;
mod entropy;
pub mod handler;
mod inbox;
mod layer;
mod link;
mod machine;
pub mod mqtt;
mod pool;
mod runtime;
pub mod server;
pub mod session;
mod socket;
mod splice;
pub mod store;
mod web;

#[cfg(unix)]
pub use address::abort_socket;
pub use address::{
    Address, AddressError, DEFAULT_PORT, MQTT_PORT, MQTT_TLS_PORT, TLS_PORT, WEB_PORT, WEB_TLS_PORT,
};
pub use bowline_core as core;
pub use engine::Engine;
pub use entropy::OsEntropy;
pub use layer::{Acceptor, Connector};
pub use machine::{Machine, Next, Output, Turn};
pub use runtime::{Listener, Runtime, Timer, Transport};
pub use socket::{ListeningSocket, SocketOptions};
pub use splice::Splice;
