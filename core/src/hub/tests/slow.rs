//! slow.
