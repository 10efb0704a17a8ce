//! Parts that serve any protocol, each usable on its own.

pub mod frame;
pub mod varint;
