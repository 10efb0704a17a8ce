//! The clock of all drivers of a process.

use std::sync::OnceLock;
use std::time::Instant as StdInstant;

use bowline_core::time::Instant;

/// Instants count from here: the first time that anybody asked.
fn epoch() -> StdInstant {
    static EPOCH: OnceLock<StdInstant> = OnceLock::new();
    *EPOCH.get_or_init(StdInstant::now)
}

/// The time, as the machines know it. One epoch serves the whole process, so instants of
/// different clients and servers compare.
#[must_use]
pub fn now() -> Instant {
    let nanos = StdInstant::now().saturating_duration_since(epoch()).as_nanos();
    Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The same instant on the system's monotonic clock; an instant too far away to be represented is
/// a century from the epoch, so that a timer can be set to it.
#[must_use]
pub fn to_std(at: Instant) -> StdInstant {
    const CENTURY: u64 = 100 * 366 * 86_400 * 1_000_000_000;
    epoch() + std::time::Duration::from_nanos(at.as_nanos().min(CENTURY))
}
