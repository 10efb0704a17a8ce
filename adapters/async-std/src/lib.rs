//! Bowline on async-std.
//!
//! **async-std is discontinued** ([RUSTSEC-2025-0052]): it gets no fixes any more. This package is
//! for programs that cannot leave it yet. It is empty unless its feature `async-std` is on, so that
//! nobody gets the dependency unasked. New programs take `bowline-tokio` or `bowline-smol`.
//!
//! [RUSTSEC-2025-0052]: https://rustsec.org/advisories/RUSTSEC-2025-0052.html

#[cfg(feature = "async-std")]
mod adapter;

#[cfg(feature = "async-std")]
pub use adapter::*;
