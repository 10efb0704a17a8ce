//! Parts that serve any protocol, each usable on its own.

pub mod flow;
pub mod keepalive;
pub mod status;
pub mod topic;
pub mod varint;
