//! sharing.
