//! Parts that serve any protocol, each usable on its own.

pub mod backoff;
pub(crate) mod calendar;
pub mod flow;
pub mod frame;
pub mod histogram;
pub mod keepalive;
pub mod lifecycle;
pub mod replay;
pub mod retain;
pub mod scram;
pub mod status;
pub mod topic;
pub mod trace;
pub mod varint;
