//! What everything else stands on: time, randomness, buffers, and "not now".

pub mod buf;
pub mod entropy;
pub mod error;
pub mod time;
