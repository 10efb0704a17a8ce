//! The bodies of the targets.

mod client;
mod framers;
mod hub;
mod server;

pub use client::client;
pub use framers::framers;
pub use hub::hub;
pub use server::server;
