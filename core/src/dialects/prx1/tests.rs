//! The codec and both ends, on virtual time.

mod codec;
mod machines;
