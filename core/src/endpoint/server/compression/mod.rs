//! permessage-deflate (RFC 7692) for typed JSON, where the feature `deflate` is on.
//!
//! The server takes no context over, and says so (RFC 7692 §7.1.1.1). So a message to many is compressed once
//! for all whose window is the same; a connection costs nothing while nothing is sent; and what one client
//! says is never compressed beside what another must not know, whose length would tell of it. Clients may take
//! their context over where that is [allowed](Compression::context_takeover) and their window is bounded.
//!
//! Only typed JSON is compressed. What carries octets hands them on as they come, and to compress them they
//! would have to be collected; they are the application's, binary, and beside passwords.

#[cfg(feature = "deflate")]
mod deflate;
#[cfg(not(feature = "deflate"))]
mod none;

#[cfg(feature = "deflate")]
pub use deflate::Compression;
#[cfg(feature = "deflate")]
pub(super) use deflate::{Agreed, Compressors};
#[cfg(not(feature = "deflate"))]
pub(super) use none::{Agreed, Compressors};
