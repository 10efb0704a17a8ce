//! The history of topics: what was published, kept to be read again.
//!
//! Which topics have one is said by [`HistoryOptions`]; each message of theirs gets a number, its
//! *offset*, from 1 on. Old ones go when there are too many, too much of them, or when they are too
//! old. [`Hub::history`](super::Hub::history) reads what is left.
//!
//! Peers read it by HISTORY of our own protocol. MQTT and PRX1 have no packet for it: their messages
//! are kept like all others, and their clients get the last of a topic as its retained message.

mod access;
mod kept;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::ops::Range;
use core::time::Duration;

pub(super) use access::Calendar;
pub(super) use kept::{Histories, Topic};

use super::message::{Message, Pool};
use crate::time::Instant;

/// Which topics have a history, and how much of each is kept.
///
/// ```
/// use bowline_core::hub::{HistoryOptions, HubOptions};
/// use core::time::Duration;
/// let chat = HistoryOptions { max_messages: 500, ..HistoryOptions::new("chat/+") };
/// let sensors = HistoryOptions { max_age: Duration::from_secs(3600), ..HistoryOptions::new("sensors/#") };
/// let options = HubOptions { history: vec![chat, sensors], ..HubOptions::default() };
/// # assert_eq!(options.history.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// The topics that match this filter. Where several do, the first in the list counts.
    pub filter: Box<str>,
    /// Messages at most of each topic; 0: no history, whatever comes later in the list.
    pub max_messages: u32,
    /// Octets of their bodies at most of each topic. The newest message is kept whatever its size.
    pub max_bytes: u64,
    /// How long a message is kept; [`Duration::MAX`]: for good. Counted in milliseconds.
    pub max_age: Duration,
}

impl HistoryOptions {
    /// A thousand messages, 1 MiB at most, of each topic that matches `filter`.
    #[must_use]
    pub fn new(filter: &str) -> Self {
        Self { filter: filter.into(), max_messages: 1000, max_bytes: 1 << 20, max_age: Duration::MAX }
    }
}

/// A place in the history of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistoryMark {
    /// The message with this offset, or where it would be.
    Offset(u64),
    /// The first message that was published at this time or later: milliseconds of calendar time,
    /// as [`Hub::set_calendar`](super::Hub::set_calendar) tells it.
    Time(u64),
    /// The first message with this stamp or a later one: its [`Place::stamp`](super::Place::stamp).
    Stamp(u64),
}

/// Which part of a history is wanted.
///
/// ```
/// use bowline_core::hub::{HistoryMark, HistoryQuery};
/// // The ten newest; those from 5 on; the ten before offset 40; all of an hour.
/// let newest = HistoryQuery::last(10);
/// let seen = HistoryQuery::from(HistoryMark::Offset(5));
/// let page = HistoryQuery { before: Some(HistoryMark::Offset(40)), ..HistoryQuery::last(10) };
/// let hour = HistoryQuery {
///     before: Some(HistoryMark::Time(7_200_000)),
///     ..HistoryQuery::from(HistoryMark::Time(3_600_000))
/// };
/// # assert!(newest.newest && page.newest && !seen.newest && !hour.newest);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HistoryQuery {
    /// Where it begins; without: at the oldest that is kept.
    pub from: Option<HistoryMark>,
    /// Where it ends, which is not part of it; without: behind the newest.
    pub before: Option<HistoryMark>,
    /// So many at most; without: all.
    pub limit: Option<u64>,
    /// Where there are more than `limit`: whether the newest of them are wanted, not the oldest.
    pub newest: bool,
}

impl HistoryQuery {
    /// All from a place on.
    #[must_use]
    pub const fn from(mark: HistoryMark) -> Self {
        Self { from: Some(mark), before: None, limit: None, newest: false }
    }

    /// The newest `limit`.
    #[must_use]
    pub const fn last(limit: u64) -> Self {
        Self { from: None, before: None, limit: Some(limit), newest: true }
    }
}

/// A message of the past.
#[derive(Clone, Copy, Debug)]
pub struct HistoryRecord<'a> {
    /// Its place in the topic's history.
    pub offset: u64,
    /// When it was published, in milliseconds of calendar time.
    pub at: u64,
    /// Its stamp: the same time in microseconds, or a little later where another message has that.
    /// It is unique in the hub, and greater for what came later.
    pub stamp: u64,
    /// The message.
    pub message: &'a Message,
}

/// A part of a topic's history: an iterator over its messages, oldest first, newest first from
/// its other end. Messages that have expired by their own expiry are left out.
#[derive(Clone, Debug)]
pub struct HistoryPage<'a> {
    topic: &'a kept::Topic,
    pool: &'a Pool,
    now: Instant,
    range: Range<u64>,
}

impl<'a> HistoryPage<'a> {
    /// The offsets that are kept: from the oldest to behind the newest. Where the history is
    /// empty, both are the offset of the next message.
    ///
    /// One who has seen all up to an offset below the first has missed some.
    #[must_use]
    pub fn kept(&self) -> Range<u64> {
        self.topic.kept()
    }

    /// What tells these offsets from those of an earlier history of the topic, which began anew.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.topic.epoch()
    }

    /// The offsets that are still to come. Whoever cannot take them all now goes on from here by
    /// [`HistoryMark::Offset`].
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn record(&self, offset: u64) -> Option<HistoryRecord<'a>> {
        let (stamp, value) = self.topic.get(offset)?;
        let message = self.pool.get(value);
        let at = stamp / 1000;
        (!message.expired(self.now)).then_some(HistoryRecord { offset, at, stamp, message })
    }
}

impl<'a> Iterator for HistoryPage<'a> {
    type Item = HistoryRecord<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.range.next()?;
            if let Some(record) = self.record(offset) {
                return Some(record);
            }
        }
    }
}

impl DoubleEndedIterator for HistoryPage<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.range.next_back()?;
            if let Some(record) = self.record(offset) {
                return Some(record);
            }
        }
    }
}
