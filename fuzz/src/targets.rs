//! The bodies of the targets.

mod framers;

pub use framers::framers;
