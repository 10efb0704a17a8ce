//! What can be set about rooms, and what joining one asks for.

use alloc::boxed::Box;
use alloc::format;
use core::time::Duration;

use super::super::history::HistoryOptions;
use super::super::session::Bound;

/// What rooms are like whose names match a filter.
///
/// ```
/// use bowline_core::hub::{HubOptions, RoomOptions, RoomPolicy, RoomRate};
/// let cursors = RoomOptions {
///     max_messages: 0,
///     policy: RoomPolicy::KeepLatest,
///     session_rate: Some(RoomRate { per_second: 30, burst: 60 }),
///     ..RoomOptions::new("cursors/#")
/// };
/// let options = HubOptions { rooms: vec![cursors, RoomOptions::new("#")], ..HubOptions::default() };
/// # assert_eq!(options.rooms[1].max_messages, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// The names that match this filter. Where several do, the first in the list counts; a room
    /// whose name none matches cannot be joined.
    pub filter: Box<str>,
    /// Messages at most that are kept of each room, in memory, for members who come back and for
    /// those who read what was said; 0: none. A room whose topic has a history by
    /// [`HubOptions::history`](super::super::HubOptions::history) keeps what that says instead, and
    /// a store keeps it too.
    pub max_messages: u32,
    /// Octets of their bodies at most. The newest message is kept whatever its size.
    pub max_bytes: u64,
    /// How long a message is kept; [`Duration::MAX`]: for good.
    pub max_age: Duration,
    /// Members at most.
    pub max_members: u32,
    /// What happens to members that take less than they are sent.
    pub policy: RoomPolicy,
    /// Messages of the room at most that wait for one member; for all policies but
    /// [`RoomPolicy::Session`].
    pub max_waiting: u32,
    /// How many messages a session may send to a room.
    pub session_rate: Option<RoomRate>,
    /// How many messages all may send to a room.
    pub room_rate: Option<RoomRate>,
}

impl RoomOptions {
    /// Rooms that keep a hundred messages, of 256 KiB at most, for a day.
    #[must_use]
    pub fn new(filter: &str) -> Self {
        Self {
            filter: filter.into(),
            max_messages: 100,
            max_bytes: 256 << 10,
            max_age: Duration::from_secs(24 * 3600),
            max_members: 100_000,
            policy: RoomPolicy::default(),
            max_waiting: 256,
            session_rate: None,
            room_rate: None,
        }
    }

    /// What bounds the queue that a member has for the room's messages, if it has one.
    pub(super) fn bound(&self) -> Option<Bound> {
        let Self { policy, max_waiting, .. } = *self;
        (policy != RoomPolicy::Session).then_some(Bound { policy, most: max_waiting.max(1) })
    }

    /// What is kept of the rooms' topics.
    pub(in crate::hub) fn history(&self) -> HistoryOptions {
        HistoryOptions {
            filter: format!("{}{}", super::PREFIX, self.filter).into(),
            max_messages: self.max_messages,
            max_bytes: self.max_bytes,
            max_age: self.max_age,
        }
    }
}

/// How many messages may be sent: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomRate {
    /// Messages a second in the long run.
    pub per_second: u32,
    /// Messages at once.
    pub burst: u32,
}

/// What happens to a member that takes less of a room than it is sent. With all but the first, the
/// room's messages have a queue of their own in the session, so that other rooms lose nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoomPolicy {
    /// What the session's own [`Policy`](super::super::Policy) says when its queue is full.
    #[default]
    Session,
    /// The oldest message of the room that waits makes room.
    DropOldest,
    /// Only the newest message of the room waits.
    KeepLatest,
    /// The member's connection is to be closed.
    Disconnect,
    /// Publishers are held while more than three quarters of
    /// [`max_waiting`](RoomOptions::max_waiting) wait for a member, until less than half do. What
    /// they may still send waits too, up to twice the bound; what is beyond is dropped.
    SlowPublisher,
}

/// What a member learns about the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresenceMode {
    /// Nothing.
    #[default]
    None,
    /// How many there are: at most once a second.
    Count,
    /// Who comes, changes and goes: at most each 200 ms.
    Full,
}

/// What is asked for when joining a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinOptions<'a> {
    /// The epoch, and the last offset that the member has: all after it come first.
    pub since: Option<(u64, u64)>,
    /// How many of the newest messages come first without `since`, or where not all after it are
    /// kept any more.
    pub history: u64,
    /// What it wants to know of the others.
    pub presence: PresenceMode,
    /// What others see of it, at most 4,096 octets.
    pub data: &'a [u8],
    /// A credit of its own for the room's messages, as
    /// [`SubscribeOptions::credit`](super::super::SubscribeOptions::credit).
    pub credit: Option<u64>,
}
