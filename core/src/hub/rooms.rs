//! Rooms: who is in them, what was said, who learns of whom.
//!
//! The messages of a room NAME are those of the topic `$room/NAME`, so that every dialect can send
//! and receive them. A *member* is a session that has [joined](super::Hub::join): it has a
//! subscription to that topic, is seen by others, and may ask for what it has missed.
//!
//! # No gap, nothing twice
//!
//! Every message of a room has a [`Place`](super::Place): its *offset* counts from 1 within the
//! room's *epoch*. Whoever joins with the last place that it has seen is handed what came after it,
//! then [`Delivery::Joined`](super::Delivery::Joined), then what is new. Nothing is queued for that:
//! a member that *catches up* is a cursor into the room's history, and what is published meanwhile
//! is read from there as well. A member whose connection is gone is nothing but such a cursor.
//! Where the history no longer has what comes next, the cursor goes on with the oldest that it has:
//! the offset of a delivery that does not follow that of the one before says that the messages
//! between are lost.
//!
//! # Who is there
//!
//! Changes are counted per room. What a member is told of is everything between the count that it
//! knows and the present one, made from the room's tables when it is handed out: nothing is queued
//! for that either, and all who know the same are told the same ([`PresenceChange::key`]).

mod catch_up;
mod membership;
mod options;
mod policy;
mod presence;
mod send;
mod table;

pub(super) use catch_up::Tables;
pub use membership::{Joined, RoomInfo};
pub use options::{JoinOptions, PresenceMode, RoomOptions, RoomPolicy, RoomRate};
pub use presence::{Member, Members, PresenceChange, PresenceKey};
pub(super) use send::{Keys, Recent};
pub use send::{PublishKey, PublishOptions};
pub(super) use table::{Memberships, Rooms};

/// What topics of rooms begin with.
pub(super) const PREFIX: &str = "$room/";

/// The name of a room has at most so many octets.
pub const MAX_ROOM_NAME: usize = 128;

/// What others see of a member has at most so many octets.
pub const MAX_MEMBER_DATA: usize = 4096;

/// Whether a topic is a room's.
#[inline]
pub(super) fn is_topic(topic: &[u8]) -> bool {
    topic.first() == Some(&b'$') && topic.starts_with(PREFIX.as_bytes())
}
