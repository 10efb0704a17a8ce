//! What a client tells of its rooms.

use alloc::string::String;

use bytes::Bytes;

use super::super::event::{Message, PublishId};
use crate::status::Status;

/// Names a room that was joined, for the life of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub(in super::super) u64);

impl RoomId {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A place in a room's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomPlace {
    /// What tells the room's offsets from those of an earlier room of its name, and from those that
    /// a crash of the server took back.
    pub epoch: u64,
    /// The message's number in the epoch, from 1 on; 0: before the first.
    pub offset: u64,
}

/// A message of a room.
#[derive(Clone, Debug)]
pub struct RoomMessage {
    /// The message; its topic is `$room/NAME`.
    pub message: Message,
    /// Its place. Offset 0: it is of use only at once and kept nowhere, so it has none.
    pub place: RoomPlace,
    /// When it was published, in milliseconds since 1970-01-01 UTC by the server's clock; 0 where it
    /// has no place.
    pub stamp: u64,
    /// So many messages just before this one cannot be had any more: they expired, were too large
    /// for this client, or the room's limits gave them up.
    pub missed: u64,
    /// Which publish of this client it is, where [`Client::send`](super::super::Client::send) made
    /// it.
    pub publish: Option<PublishId>,
}

/// Who is in a room. What one says holds until the next of the same member,
/// [`Presence::Anew`], or [`RoomEvent::Joined`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// What was told before holds no longer: all who are there follow.
    Anew,
    /// Somebody is there, or shows something else.
    Here {
        /// The name in the room: 16 hexadecimal digits.
        member: String,
        /// The user, where it is one; else empty.
        user: String,
        /// What is shown.
        data: Bytes,
    },
    /// Somebody is no longer there.
    Gone {
        /// The name in the room.
        member: String,
    },
    /// So many are there: where only that was asked for, or the room is too large to tell more.
    Count(u64),
}

/// Something happened in a room.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RoomEvent {
    /// The client is in the room: for the first time, or again on another connection. What was
    /// missed follows, then what is new; and who is there, if that was asked for: whatever was told
    /// of that before holds no longer.
    Joined {
        /// The epoch, and the newest message when it joined.
        place: RoomPlace,
        /// Whether all messages behind the one that the application had last follow; none is lost.
        /// `false` where it had none before.
        recovered: bool,
        /// How many members there are, this one included.
        members: u64,
        /// The client's own name in the room: 16 hexadecimal digits.
        member: String,
    },
    /// A message: in the order of their offsets, each once.
    Message(RoomMessage),
    /// What this client sent has its place, in the order of the messages; instead of the message,
    /// where [`JoinOptions::echo`](super::JoinOptions::echo) is off.
    Sent {
        /// Which.
        publish: PublishId,
        /// Its place.
        place: RoomPlace,
        /// When it was published, in milliseconds since 1970-01-01 UTC by the server's clock.
        stamp: u64,
        /// As [`RoomMessage::missed`].
        missed: u64,
    },
    /// Who is there.
    Presence(Presence),
    /// What others were to see of this client is refused; they see what they saw before.
    NotShown {
        /// Why.
        status: Status,
        /// Why, for people.
        reason: String,
    },
    /// The client is not in the room, or no longer: the last event of it.
    Ended {
        /// [`Status::Ok`]: as was asked. Else joining it, perhaps again, was refused.
        status: Status,
        /// Why, for people; often empty.
        reason: String,
    },
}

impl RoomEvent {
    /// Octets of memory it takes.
    pub(in super::super) fn len(&self) -> usize {
        match self {
            Self::Message(m) => m.message.len(),
            Self::Presence(Presence::Here { member, user, data }) => member.len() + user.len() + data.len(),
            Self::Presence(Presence::Gone { member }) => member.len(),
            _ => 0,
        }
    }
}
