//! The bodies of the targets.

mod client;
mod framers;
mod pair;
mod session;
mod hub;
mod server;

pub use client::client;
pub use framers::framers;
pub use pair::session_pair;
pub use session::{session_client, session_server};
pub use hub::hub;
pub use server::server;
