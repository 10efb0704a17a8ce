//! Whole endpoints: what adapters drive and applications talk to.

pub mod client;
