//! What is counted and timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// The longest time that is told apart, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// The digits that are kept: the percentiles are right to a thousandth.
const DIGITS: u8 = 3;

/// Counted by all tasks, for who watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Atomics>);

#[derive(Debug, Default)]
struct Atomics {
    connected: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The counters at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) connected: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Shared {
    pub(super) fn counters(&self) -> Self {
        self.clone()
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            connected: self.0.connected.load(Ordering::Relaxed),
            sent: self.0.sent.load(Ordering::Relaxed),
            received: self.0.received.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add_connected(&self) {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self) {
        self.0.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_received(&self) {
        self.0.received.fetch_add(1, Ordering::Relaxed);
    }
}

/// The outcome of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Messages or requests that were sent, and of them accepted or answered.
    pub(super) sent: u64,
    pub(super) accepted: u64,
    /// Messages that were to come, and that came.
    pub(super) expected: u64,
    pub(super) received: u64,
    /// Answers that were failures or did not come.
    pub(super) failed: u64,
    /// From the first sent to the last received.
    pub(super) elapsed: Duration,
    pub(super) latency: Latency,
    /// What went wrong first, where connections are what counts.
    pub(super) trouble: Option<String>,
}

impl Outcome {
    pub(super) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// A histogram of times.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    pub(super) fn new() -> Self {
        // Both bounds are constants that the crate allows; without them it grows as it needs.
        Self(
            Histogram::new_with_bounds(1, LONGEST, DIGITS)
                .unwrap_or_else(|_| unreachable!("the bounds are valid")),
        )
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST).max(1));
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that nothing falls out.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    pub(super) fn at(&self, percentile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percentile))
    }
}

/// The octets of [`Stamp`].
pub(super) const STAMP: usize = 16;

/// When a message was due, since the run began: the head of every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) due: Duration,
    pub(super) number: u64,
}

impl Stamp {
    /// Writes it into the head of a payload.
    pub(super) fn write(self, payload: &mut [u8]) {
        let nanos = u64::try_from(self.due.as_nanos()).unwrap_or(u64::MAX);
        payload[..8].copy_from_slice(&nanos.to_be_bytes());
        payload[8..STAMP].copy_from_slice(&self.number.to_be_bytes());
    }

    /// Reads it; nothing for a payload that is none of ours.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (due, rest) = payload.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            due: Duration::from_nanos(u64::from_be_bytes(*due)),
            number: u64::from_be_bytes(*number),
        })
    }

    /// How long it took until now.
    pub(super) fn age(self, began: Instant) -> Duration {
        began.elapsed().saturating_sub(self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { due: Duration::from_nanos(123_456_789), number: 42 };
        let mut payload = vec![0; 20];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..15]), None);
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::new();
        let mut other = Latency::new();
        (1..=500).for_each(|ms| latency.record(Duration::from_millis(ms)));
        (501..=1_000).for_each(|ms| other.record(Duration::from_millis(ms)));
        latency.add(&other);
        let near =
            |time: Duration, ms: u64| time.abs_diff(Duration::from_millis(ms)) <= Duration::from_millis(1);
        assert!(near(latency.at(50.0), 500) && near(latency.at(99.0), 990) && near(latency.max(), 1_000));
        latency.record(Duration::from_secs(3_600));
        assert!(latency.max() >= Duration::from_secs(60), "what is longer than the longest is kept as that");
    }
}
