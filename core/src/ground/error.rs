//! The one error that every floor shares.

/// "Not now": the output buffer or a window has no room.
///
/// Nothing was changed and nothing was written; call again once there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not now: no room; nothing was written, call again after the output was drained")]
pub struct Blocked;
