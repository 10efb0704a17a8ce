//! A sensor that reports over a serial line, in the secure mode: what does not depend on the board.
//!
//! All that it does is in [`Firmware::turn`], which a main loop calls when octets came or time has passed. It
//! reports a reading now and then, at least once, and takes commands. However the line fails, it begins anew, and
//! its session goes on: readings that the hub has not acknowledged are sent again, and those alone.
//!
//! The session and its buffers are arrays. The handshake and the records need a heap, because `snow` boxes its
//! ciphers and the layer its buffers: [`HEAP`] octets are ample, as `README.md` measures.

#![no_std]
#![forbid(unsafe_code)]

mod board;
mod link;
mod readings;

pub use board::{Board, HeapUse};
pub use link::{Firmware, Flash, Memory};
pub use readings::{COMMANDS, KEPT, READINGS, STATE};

/// Octets of heap that are enough.
pub const HEAP: usize = 4 << 10;
