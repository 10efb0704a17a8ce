//! The deadlines of all connections of a server, in one queue behind one timer: a runtime's own
//! timer costs more than a hundred octets, and an idle connection has hardly anything else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_core::endpoint::server::ConnectionKey;
use bowline_core::time::Instant;

use super::shared::Shared;
use crate::clock;
use crate::runtime::Timer;

/// When which connection is to be woken. One that is gone, or that was set again, leaves its entry
/// behind until that is due: few, as a connection sets it again only to an earlier time.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Instant, ConnectionKey)>>);

impl Deadlines {
    pub(super) fn push(&mut self, at: Instant, key: ConnectionKey) {
        self.0.push(Reverse((at, key)));
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// The connection whose deadline is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ConnectionKey> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop().map(|Reverse((_, key))| key)
    }
}

/// The timer of one connection.
#[derive(Debug)]
pub(super) struct ConnectionTimer {
    shared: Arc<Shared>,
    key: ConnectionKey,
    at: Instant,
}

impl ConnectionTimer {
    pub(super) fn new(shared: Arc<Shared>, key: ConnectionKey) -> Self {
        Self { shared, key, at: Instant::ZERO }
    }
}

impl Timer for ConnectionTimer {
    fn reset(&mut self, at: Instant) {
        self.at = at;
        self.shared.set_deadline(at, self.key);
    }

    /// The connection is woken as for all else that happens to it.
    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= clock::now() { Poll::Ready(()) } else { Poll::Pending }
    }
}
