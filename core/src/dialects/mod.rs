//! What is spoken on a connection.

pub mod mqtt;
pub mod prx1;
pub mod session;
