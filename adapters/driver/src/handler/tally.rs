//! What is counted of handlers, and who is told of what they do not handle.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bowline_core::status::Status;

use super::{Content, Response};

/// A call that ended with a status other than OK. Requests are answered so; of messages nobody else hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failed<'a> {
    /// What it was about.
    pub topic: &'a str,
    /// Whether it is a request.
    pub is_request: bool,
    /// [`Status::Unsupported`] for a type of message that is not known, [`Status::Invalid`] for a payload that
    /// is not as expected, or what the handler says.
    pub status: Status,
    /// Why, for people: what the answer says where that is UTF-8.
    pub reason: &'a str,
}

/// What all handlers of a server have done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerCounters {
    /// Requests and messages that were handled, whatever came of it.
    pub calls: u64,
    /// Requests that ended with another status than OK.
    pub requests_failed: u64,
    /// Messages that ended with another status than OK.
    pub messages_failed: u64,
    /// Among both: types of messages that are not known, and whatever else is [`Status::Unsupported`].
    pub unsupported: u64,
    /// Among both: payloads that are not as expected, and whatever else is [`Status::Invalid`].
    pub invalid: u64,
    /// Among both: handlers that panicked.
    pub panicked: u64,
    /// Requests whose answer nobody waited for any more.
    pub cancelled: u64,
}

pub(crate) type OnFailed = Box<dyn Fn(&Failed<'_>) + Send + Sync>;

/// Counts, and tells.
#[derive(Default)]
pub(crate) struct Tally {
    calls: AtomicU64,
    requests_failed: AtomicU64,
    messages_failed: AtomicU64,
    unsupported: AtomicU64,
    invalid: AtomicU64,
    panicked: AtomicU64,
    cancelled: AtomicU64,
    on_failed: Option<OnFailed>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counters().fmt(f)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn new(on_failed: Option<OnFailed>) -> Self {
        Self { on_failed, ..Self::default() }
    }

    /// Whether somebody is told, so that what came must be kept until it is handled.
    pub(super) const fn tells(&self) -> bool {
        self.on_failed.is_some()
    }

    pub(super) fn called(&self) {
        count(&self.calls);
    }

    pub(super) fn panicked(&self) {
        count(&self.panicked);
    }

    pub(super) fn cancelled(&self) {
        count(&self.cancelled);
    }

    pub(super) fn done(&self, content: Option<&Content>, is_request: bool, response: &Response) {
        if response.status.is_ok() {
            return;
        }
        count(if is_request { &self.requests_failed } else { &self.messages_failed });
        match response.status {
            Status::Unsupported => count(&self.unsupported),
            Status::Invalid => count(&self.invalid),
            _ => {}
        }
        if let Some((tell, content)) = self.on_failed.as_ref().zip(content) {
            let reason = std::str::from_utf8(&response.payload).unwrap_or_default();
            tell(&Failed { topic: content.topic(), is_request, status: response.status, reason });
        }
    }

    pub(crate) fn counters(&self) -> HandlerCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HandlerCounters {
            calls: read(&self.calls),
            requests_failed: read(&self.requests_failed),
            messages_failed: read(&self.messages_failed),
            unsupported: read(&self.unsupported),
            invalid: read(&self.invalid),
            panicked: read(&self.panicked),
            cancelled: read(&self.cancelled),
        }
    }
}
