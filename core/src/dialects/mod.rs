//! What is spoken on a connection.

pub mod mqtt;
pub mod session;
