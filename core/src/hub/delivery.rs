//! What the hub gives out, and what it answers.

use core::time::Duration;

use super::message::{Message, Place};
use super::options::Quality;
use super::rooms::{Joined, Members, PresenceChange, PresenceMode};
use crate::plugin::Rejection;
use crate::status::Status;
use crate::topic::TopicError;
use crate::trace::TraceContext;

/// A session of a hub: its place and a generation, so that the key of a session that has ended
/// never means another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SessionKey {
    /// Its place: small, and used again by later sessions. For tables beside the hub's own.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// A number that names this session, and never another of its hub; no secret.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }
}

/// Something to send to a session's peer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Delivery<'a> {
    /// A message, because of a subscription.
    Message {
        /// The subscription.
        sid: u64,
        /// The other subscriptions that it is for, where the session gets one delivery for all
        /// ([`SessionOptions::by_id`](super::SessionOptions::by_id)).
        others: &'a [u64],
        /// The message.
        message: &'a Message,
        /// How surely it is delivered: to be acknowledged unless at most once.
        quality: Quality,
        /// What it is acknowledged by in a session that does so by ids: 1 to 65,535, and 0 at most
        /// once.
        id: u16,
        /// Whether it may have been handed out before.
        again: bool,
        /// Whether to say that it is a retained message.
        retain: bool,
        /// Its place in its topic's history, if it has one. Where the offset is not the one after
        /// that of the delivery before for this member of a room, those between are lost.
        place: Option<&'a Place>,
        /// Whether a member of a room gets it because it asked for what was, or missed it.
        historic: bool,
    },
    /// A room was joined: what was asked for of the past has been handed out, what follows is new.
    Joined {
        /// The id that it was joined with.
        sid: u64,
        /// The room's name.
        room: &'a str,
        /// What its member learns.
        joined: Joined,
        /// What the member wants to know of the others.
        presence: PresenceMode,
        /// Who is there.
        members: Members<'a>,
    },
    /// What has changed about who is in a room.
    Presence {
        /// The id that it was joined with.
        sid: u64,
        /// What has changed.
        change: PresenceChange<'a>,
    },
    /// A delivery exactly once that the peer has received: only that this is settled is owed.
    Release {
        /// Its id.
        id: u16,
    },
    /// A request to answer, because of a subscription that serves.
    Request {
        /// The hub's id, to answer with.
        id: u64,
        /// The subscription.
        sid: u64,
        /// How long the answer may take from now.
        timeout: Duration,
        /// The request.
        message: &'a Message,
    },
    /// An answer to a request of this session.
    Response {
        /// The id that this session gave the request.
        id: u64,
        /// How it ended.
        status: Status,
        /// Whether other answers follow.
        more: bool,
        /// The answer's properties and payload; it has no topic.
        message: &'a Message,
    },
    /// A request that was handed out needs no answer any more.
    Cancel {
        /// The hub's id.
        id: u64,
    },
}

/// What became of a delivery that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The buffer took it.
    Taken,
    /// The buffer took a message as so many octets, instead of those of its own size:
    /// what a subscription's credit counts, but for its id.
    Sized(u32),
    /// There is no room for it now: it stays first.
    Blocked,
    /// This peer can never take it: it is dropped, and counted; a request is answered `Rejected`.
    /// One that an earlier connection was handed has a number, and is not dropped: it stays first.
    Never,
}

impl Take {
    /// Whether the buffer has it.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Taken | Self::Sized(_))
    }
}

impl From<bool> for Take {
    /// Taken, or not now.
    fn from(taken: bool) -> Take {
        if taken { Take::Taken } else { Take::Blocked }
    }
}

/// What a [`drain`](super::Hub::drain) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many deliveries were taken.
    pub taken: u32,
    /// Whether it ended because one was not taken: drain again when there is room. Otherwise
    /// nothing is left that may go out now, and the next thing that may makes the session ready.
    pub blocked: bool,
}

/// What a publish did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Subscriptions that matched; a shared group counts once.
    pub matched: u32,
    /// Deliveries that were queued: the others found a full queue or nobody attached.
    pub queued: u32,
    /// Whether its de-duplication id is remembered, so that it was taken and not delivered again.
    pub duplicate: bool,
    /// Where it is in its topic's history, if it has one: of a duplicate by its key, where the first
    /// is.
    pub place: Option<Place>,
    /// How many operations the store must have committed ([`Hub::commits`](super::Hub::commits))
    /// before the publisher may be told that the message was accepted; `None`: at once.
    pub commit: Option<u64>,
}

/// Something that the adapter of a session has to do or to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A slow subscriber holds this publisher: grant it no further credit.
    Hold(SessionKey),
    /// Nobody holds this publisher any more: grant again.
    Release(SessionKey),
    /// Close this session's connection, for this reason.
    Disconnect(SessionKey, DisconnectReason),
    /// Deliveries for this session are dropped because its queue is full, as its policy says: told
    /// once until the queue was drained, with the trace of the first of them, if that has one.
    /// [`Counters`](super::Counters) say how many.
    Overflow(SessionKey, Option<TraceContext>),
    /// This session has reached its expiry and is gone.
    Expired(SessionKey),
}

/// Why the hub wants a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It takes less than it gets, and its policy is [`Policy::Disconnect`](super::Policy).
    SlowConsumer,
    /// A plugin wants it.
    Plugin(Rejection),
}

/// Why the hub did not do what it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The session has ended, or never was.
    #[error("there is no such session; it has ended")]
    NoSession,
    /// No connection serves the session.
    #[error("the session is detached; reattach it first")]
    Detached,
    /// The access rules do not allow it.
    #[error("the access rules do not allow it")]
    NotAuthorized,
    /// The topic or filter is not valid.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// An id is 0 or too large, or options contradict each other.
    #[error("{0}")]
    Invalid(&'static str),
    /// A limit is reached; says which.
    #[error("limit reached: {0}")]
    Quota(&'static str),
    /// There is no subscription or request with this id.
    #[error("there is no such id; it may have ended")]
    NotFound,
    /// A request with this id is in flight.
    #[error("a request with this id is still in flight; choose another id")]
    InUse,
    /// The session is not in that room.
    #[error("the session is not a member of this room; join it first")]
    NotMember,
    /// The room takes no more messages for now.
    #[error("too many messages for this room; try again in {} ms", retry_after.as_millis())]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// A plugin does not let it through.
    #[error("{}", .0.reason)]
    Plugin(Rejection),
    /// The store takes nothing at present.
    #[error("what must be stored cannot be at present; try again later")]
    Store,
    /// An acknowledgement above what was sent, or below an earlier one.
    #[error("{count} acknowledged, but {acknowledged} were before and {sent} sent")]
    BadAck {
        /// What the peer said.
        count: u64,
        /// What it had said before.
        acknowledged: u64,
        /// What was sent.
        sent: u64,
    },
}

impl Refusal {
    /// What to answer the peer.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::NotAuthorized => Status::NotAuthorized,
            Self::Topic(_) | Self::Invalid(_) | Self::InUse | Self::BadAck { .. } => Status::Invalid,
            Self::Quota(_) => Status::Quota,
            Self::Plugin(why) => why.status,
            Self::Store | Self::RateLimited { .. } => Status::Busy,
            Self::NoSession | Self::Detached | Self::NotFound | Self::NotMember => Status::NotFound,
        }
    }
}
