//! What several dialects and the hub share.

pub mod status;
pub mod topic;
