//! Metrics against thresholds: an alert is raised when a value has been too high for a while, and ends when it
//! has been well for as long.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::context::{Alert, Report};
use super::verdict::Interest;
use super::{Context, Plugin};
use crate::hub::Counters;
use crate::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Sessions, connected or not.
    Sessions,
    /// Sessions that a connection serves.
    Connected,
    /// Subscriptions.
    Subscriptions,
    /// Deliveries that wait in all queues.
    Queued,
    /// Octets of them, counted for each.
    QueuedOctets,
    /// Octets of all messages that the hub keeps.
    MessageOctets,
    /// Messages published a second.
    MessagesIn,
    /// Messages handed out a second.
    MessagesOut,
    /// Deliveries dropped a second, for any reason.
    Dropped,
    /// What access rules denied a second.
    Denied,
    /// By how much the hub's turn is late, in milliseconds.
    Late,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Sessions,
        Self::Connected,
        Self::Subscriptions,
        Self::Queued,
        Self::QueuedOctets,
        Self::MessageOctets,
        Self::MessagesIn,
        Self::MessagesOut,
        Self::Dropped,
        Self::Denied,
        Self::Late,
    ];

    /// Its name in a configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Connected => "connected",
            Self::Subscriptions => "subscriptions",
            Self::Queued => "queued",
            Self::QueuedOctets => "queued-octets",
            Self::MessageOctets => "message-octets",
            Self::MessagesIn => "messages-in",
            Self::MessagesOut => "messages-out",
            Self::Dropped => "dropped",
            Self::Denied => "denied",
            Self::Late => "late",
        }
    }

    /// The metric of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.label() == name)
    }

    /// What a rate is of.
    const fn count(self, counters: &Counters) -> Option<u64> {
        match self {
            Self::MessagesIn => Some(counters.messages_in),
            Self::MessagesOut => Some(counters.messages_out),
            Self::Dropped => Some(counters.dropped.total()),
            Self::Denied => Some(counters.denied),
            _ => None,
        }
    }

    const fn level(self, counters: &Counters) -> u64 {
        match self {
            Self::Sessions => counters.sessions,
            Self::Connected => counters.attached,
            Self::Subscriptions => counters.subscriptions,
            Self::Queued => counters.queued,
            Self::QueuedOctets => counters.queued_bytes,
            Self::MessageOctets => counters.message_bytes,
            _ => 0,
        }
    }
}

/// When an alert is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The alert's name.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// Above this it is too much.
    pub above: u64,
    /// For so long it has to be, to be raised and to end.
    pub hold: Duration,
}

/// Watches thresholds.
///
/// ```
/// use bowline_core::plugin::{Metric, Monitor, Threshold};
/// use core::time::Duration;
/// let hold = Duration::from_secs(30);
/// let full = Threshold { name: "full".into(), metric: Metric::Queued, above: 100_000, hold };
/// let monitor = Monitor::new(vec![full], Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct Monitor {
    watched: Vec<Watched>,
    interval: Duration,
    due: Option<Instant>,
    last: Option<(Instant, Counters)>,
}

#[derive(Clone, Debug)]
struct Watched {
    threshold: Threshold,
    raised: bool,
    /// Since when the value is on the other side of what was told.
    turned: Option<Instant>,
}

impl Monitor {
    /// Looks every `interval`, of at least a millisecond.
    #[must_use]
    pub fn new(thresholds: Vec<Threshold>, interval: Duration) -> Self {
        let watched = |threshold| Watched { threshold, raised: false, turned: None };
        Self {
            watched: thresholds.into_iter().map(watched).collect(),
            interval: interval.max(Duration::from_millis(1)),
            due: None,
            last: None,
        }
    }
}

/// So many more, a second.
fn rate(more: u64, during: Duration) -> u64 {
    let nanos = during.as_nanos().max(1);
    u64::try_from(u128::from(more) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

impl Plugin for Monitor {
    fn interest(&self) -> Interest {
        if self.watched.is_empty() { Interest::NONE } else { Interest::TIMER }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due.unwrap_or(Instant::ZERO))
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        let now = cx.now();
        let late = self.due.map_or(Duration::ZERO, |due| now.saturating_since(due));
        self.due = Some(now + self.interval);
        let last = self.last.replace((now, *counters));
        for watched in &mut self.watched {
            let Threshold { name, metric, above, hold } = &watched.threshold;
            let value = match (metric, metric.count(counters), &last) {
                (Metric::Late, ..) => u64::try_from(late.as_millis()).unwrap_or(u64::MAX),
                (_, Some(count), Some((then, before))) => {
                    let before = metric.count(before).unwrap_or_default();
                    rate(count.saturating_sub(before), now.saturating_since(*then))
                }
                (_, Some(_), None) => continue,
                (_, None, _) => metric.level(counters),
            };
            if (value > *above) == watched.raised {
                watched.turned = None;
                continue;
            }
            let since = *watched.turned.get_or_insert(now);
            if now.saturating_since(since) >= *hold {
                (watched.raised, watched.turned) = (!watched.raised, None);
                let (name, raised, limit) = (name.clone(), watched.raised, *above);
                cx.report(Report::Alert(Alert { name, raised, value, limit, at: now, since }));
            }
        }
    }
}
