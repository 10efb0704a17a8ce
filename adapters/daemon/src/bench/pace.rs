//! When the next message is due.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How late the runtime's timer may wake a task: not to be blamed on the server.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The pace of one sender.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Between two messages; zero for as fast as it goes.
    every: Duration,
    sent: u64,
    most: u64,
    end: Instant,
}

impl Pace {
    /// A share of `rate` messages a second for each of `senders`, until `duration` or `most` are over.
    pub(super) fn new(
        began: Instant,
        rate: Option<u64>,
        senders: u32,
        duration: Duration,
        most: Option<u64>,
    ) -> Self {
        let every =
            rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(f64::from(senders) / rate as f64));
        // A count alone ends the run when one is given.
        let end = if most.is_some() { began + Duration::from_secs(86_400) } else { began + duration };
        Self { began, every, sent: 0, most: most.unwrap_or(u64::MAX), end }
    }

    /// Waits until the next message is due, and says since when it is; nothing when the run is over.
    pub(super) async fn next(&mut self) -> Option<Duration> {
        if self.sent >= self.most {
            return None;
        }
        let due = self.began + self.every.mul_f64(self.sent as f64);
        if !self.every.is_zero() && Instant::now() < due {
            sleep_until(due.min(self.end)).await;
        }
        let now = Instant::now();
        if now >= self.end {
            return None;
        }
        self.sent += 1;
        Some(self.stamp(due, now).saturating_duration_since(self.began))
    }

    /// A message that waits for its turn counts from when it was due, or a slow server would look fast.
    fn stamp(&self, due: Instant, now: Instant) -> Instant {
        let late = now.saturating_duration_since(due);
        if self.every.is_zero() || late <= TIMER_SLACK { now } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_shared_and_kept() {
        let mut pace = Pace::new(Instant::now(), Some(100), 2, Duration::from_secs(1), None);
        let mut due = Vec::new();
        while let Some(at) = pace.next().await {
            due.push(at);
        }
        assert_eq!(due.len(), 50, "half of a hundred a second");
        assert_eq!((due[0], due[49]), (Duration::ZERO, Duration::from_millis(980)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_counts_from_when_it_was_due() {
        let mut pace = Pace::new(Instant::now(), Some(100), 1, Duration::from_secs(1), None);
        assert_eq!(pace.next().await, Some(Duration::ZERO));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(pace.next().await, Some(Duration::from_millis(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_ends_a_run_as_well() {
        let mut pace = Pace::new(Instant::now(), None, 1, Duration::ZERO, Some(3));
        let mut count = 0;
        while pace.next().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
