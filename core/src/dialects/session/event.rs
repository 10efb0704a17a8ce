//! What a session tells its application.

use core::time::Duration;

use super::code::Code;
use super::fault::Fault;
use super::frame::Kind;
use super::hello::{Hello, Welcome};
use super::props::Properties;
use crate::lifecycle::By;
use crate::retain::RetainHandling;
use crate::status::Status;

/// Something happened. Payloads borrow the receive buffer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A client wants a session. A server answers with [`welcome`](super::Session::welcome),
    /// [`challenge`](super::Session::challenge) or [`refuse`](super::Session::refuse).
    Hello(Hello<'b>),
    /// The next step of an authentication. A client answers with
    /// [`authenticate`](super::Session::authenticate), a server as to `Hello`.
    Auth(&'b [u8]),
    /// The session is open (client only).
    ///
    /// Where `received` says that an old session goes on, send again every reliable message from
    /// the next number on: those the server has not received (RES-7).
    Welcome(Welcome<'b>),
    /// A message to this side.
    Publish(Received<'b>),
    /// A message because of the subscription with this id.
    Message(u64, Received<'b>),
    /// The peer subscribes.
    Subscribe(Subscribe<'b>),
    /// The peer no longer wants the subscription with this id.
    Unsubscribe(u64),
    /// The peer asks.
    Request(Request<'b>),
    /// The peer answers.
    Response(Response<'b>),
    /// The peer no longer wants an answer to the request with this id.
    Cancel(u64),
    /// The answer to a frame with an id.
    Result(Outcome<'b>),
    /// The peer has accepted all reliable frames up to this number.
    Acked(u64),
    /// More may be sent: to the session (id 0), or because of the subscription with this id, up
    /// to this limit in all.
    Credit(u64, u64),
    /// A ping was answered after this time.
    Pong(Duration),
    /// The peer takes no new work.
    Drain(Drain<'b>),
    /// A task: from a client for a queue, or from a queue for this client.
    Offer(Offer<'b>),
    /// The peer asks a queue for tasks.
    Take {
        /// Answer with this id.
        id: u64,
        /// The queue.
        queue: &'b str,
        /// At most so many more.
        count: u64,
    },
    /// The task with this id is done, or given back.
    Settle {
        /// The task.
        id: u64,
        /// Given back.
        reject: bool,
    },
    /// The peer enters a room.
    Join(Join<'b>),
    /// This side has entered a room.
    Joined(Joined<'b>),
    /// The peer leaves the room that it joined with this id.
    Leave(u64),
    /// Who is in a room.
    Presence {
        /// The id of the JOIN.
        id: u64,
        /// Who; empty from a client, which speaks of itself.
        member: &'b str,
        /// What it shows of itself.
        data: &'b [u8],
        /// No longer there.
        gone: bool,
    },
    /// The peer wants messages of the past.
    History(History<'b>),
    /// Something about a tunnel.
    Tunnel(TunnelFrame<'b>),
    /// The session has ended, once and for all: the last event.
    Closed(Closed<'b>),
}

/// What a peer says about a tunnel (SPEC §5.9). Windows and states are not yet checked: that is what
/// [`Tunnels`](super::Tunnels) is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelFrame<'b> {
    /// A client asks for a tunnel.
    Open {
        /// Chosen by the client, from 1 on, ascending.
        id: u64,
        /// So many octets it takes at first.
        window: u64,
        /// Where to.
        target: &'b str,
    },
    /// Octets.
    Data {
        /// Of which tunnel.
        id: u64,
        /// Nothing more comes this way.
        end: bool,
        /// The octets.
        payload: &'b [u8],
    },
    /// More octets may be sent.
    Window {
        /// Through which tunnel.
        id: u64,
        /// So many in all.
        limit: u64,
    },
    /// The tunnel is broken off, both ways.
    Reset {
        /// Which.
        id: u64,
        /// Why.
        code: ResetCode,
    },
}

/// Why a tunnel was broken off (SPEC §5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetCode {
    /// Whoever used it no longer wants it.
    Cancelled,
    /// The connection behind it was broken off.
    Broken,
    /// Nothing went through it for too long.
    Idle,
    /// It carried as much as it may.
    Quota,
    /// The side goes away.
    GoingAway,
    /// Any other number: 5 to 63 are not assigned, from 64 on they are the application's.
    Other(u64),
}

impl ResetCode {
    /// The code with this number; every number is one.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Cancelled,
            1 => Self::Broken,
            2 => Self::Idle,
            3 => Self::Quota,
            4 => Self::GoingAway,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Cancelled => 0,
            Self::Broken => 1,
            Self::Idle => 2,
            Self::Quota => 3,
            Self::GoingAway => 4,
            Self::Other(number) => number,
        }
    }
}

impl core::fmt::Display for ResetCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Broken => f.write_str("the connection behind it was broken off"),
            Self::Idle => f.write_str("nothing went through it for too long"),
            Self::Quota => f.write_str("it carried as much as it may"),
            Self::GoingAway => f.write_str("the relay goes away"),
            Self::Other(number) => write!(f, "code {number}"),
        }
    }
}

/// What is asked for when entering a room (SPEC §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join<'b> {
    /// Answer with this id; messages of the room carry it too.
    pub id: u64,
    /// The room.
    pub room: &'b str,
    /// The first credit of the room's messages.
    pub credit: Option<u64>,
    /// The epoch, and the last offset of it that this side has: what came after it is wanted.
    pub since: Option<(u64, u64)>,
    /// How many of the newest messages are wanted, where not all after `since` can be had.
    pub history: u64,
    /// What others see of this side.
    pub data: &'b [u8],
    /// Whether it wants to know who is there. It needs
    /// [`Features::PRESENCE`](super::Features::PRESENCE).
    pub presence: bool,
    /// Of those who are there, only how many.
    pub count_only: bool,
}

/// A room was entered: what was asked for of the past has come, what follows is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined<'b> {
    /// The id of the JOIN.
    pub id: u64,
    /// What tells the room's offsets from those of an earlier room of this name.
    pub epoch: u64,
    /// The newest message's, when this side entered; 0: there was none.
    pub offset: u64,
    /// How many are there.
    pub count: u64,
    /// The name of this side in the room.
    pub member: &'b str,
    /// Whether all messages after what was asked for came.
    pub recovered: bool,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// What it is about.
    pub topic: &'b str,
    /// What it says.
    pub payload: &'b [u8],
    /// What it says beside.
    pub properties: Properties<'b>,
    /// At least once, if the receiver asked for that too.
    pub reliable: bool,
    /// To be kept as its topic's retained value, or because of a subscription: it is one (SPEC §5.5).
    /// It needs [`Features::RETAINED`](super::Features::RETAINED).
    pub retain: bool,
}

/// A message as it was received: with the octets that carried it, to be handed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// The message.
    pub message: Message<'b>,
    /// The properties with their length (where there are any), the topic with its length, the
    /// payload: what [`Session::forward`](super::Session::forward) takes.
    pub body: &'b [u8],
}

impl<'b> core::ops::Deref for Received<'b> {
    type Target = Message<'b>;
    fn deref(&self) -> &Message<'b> {
        &self.message
    }
}

/// The peer subscribes (SPEC §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// Chosen by the subscriber, from 1 on.
    pub id: u64,
    /// What for. Not yet checked: answer [`Status::Invalid`] if it is no filter (TOP-2).
    pub filter: &'b str,
    /// At least once where the message is reliable; else at most once.
    pub reliable: bool,
    /// The subscription's own window at first, in octets.
    pub credit: Option<u64>,
    /// Requests, not messages.
    pub serve: bool,
    /// Not what the subscriber itself published.
    pub no_local: bool,
    /// With which retained values it begins; of use with
    /// [`Features::RETAINED`](super::Features::RETAINED) alone, as the next.
    pub retained: RetainHandling,
    /// Whether messages say that they were published to be retained; else only those say so with
    /// which it begins.
    pub retain_as_published: bool,
    /// Whether messages of quality 0 come in datagrams where there are some (DGM-22).
    pub datagrams: DatagramMode,
}

/// How messages of a subscription come over a transport that has datagrams beside its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DatagramMode {
    /// In the stream, as over any other.
    #[default]
    Stream,
    /// Those at most once in a datagram, where they fit: lost ones never come, others in any order.
    Unreliable,
    /// The same, and none comes behind a later one of its topic.
    Sequenced,
}

impl DatagramMode {
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Stream => 0,
            Self::Unreliable => 1,
            Self::Sequenced => 2,
        }
    }

    /// One that is not known here is as none.
    pub(super) const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Unreliable,
            2 => Self::Sequenced,
            _ => Self::Stream,
        }
    }
}

/// The peer asks (SPEC §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// Answer with this id.
    pub id: u64,
    /// Because of this subscription; 0 from a requester.
    pub subscription: u64,
    /// For how long an answer is of use; zero: the default of 30 seconds.
    pub timeout: Duration,
    /// To all who serve the topic.
    pub many: bool,
    /// What it is about.
    pub topic: &'b str,
    /// What is asked.
    pub payload: &'b [u8],
    /// What it says beside.
    pub properties: Properties<'b>,
}

/// The peer answers (SPEC §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'b> {
    /// Of the request.
    pub id: u64,
    /// How it went.
    pub status: Status,
    /// Others follow.
    pub more: bool,
    /// The answer, or a reason.
    pub payload: &'b [u8],
    /// What it says beside.
    pub properties: Properties<'b>,
}

/// The answer to a frame with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'b> {
    /// The frame's kind; nothing where this version does not know it.
    pub kind: Option<Kind>,
    /// Its id.
    pub id: u64,
    /// How it went.
    pub status: Status,
    /// Why, for people; often empty.
    pub reason: &'b str,
}

/// No new work, please (END-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain<'b> {
    /// The connection is closed after this time at the latest.
    pub deadline: Duration,
    /// Wait for so long before connecting again.
    pub retry_after: Duration,
    /// Where to connect instead; empty: here.
    pub endpoint: &'b str,
}

/// A task for a queue, or from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'b> {
    /// From a client: answer with this id. From a server: settle with it.
    pub id: u64,
    /// The queue.
    pub queue: &'b str,
    /// The task.
    pub payload: &'b [u8],
    /// What it says beside.
    pub properties: Properties<'b>,
}

/// The peer wants messages of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History<'b> {
    /// Answer with this id; the messages carry it too.
    pub id: u64,
    /// Of this room or topic.
    pub room: &'b str,
    /// From this offset on.
    pub from: Option<u64>,
    /// Before this offset.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<'b> {
    /// Who ended it.
    pub by: By,
    /// With which code; nothing if the transport ended.
    pub code: Option<Code>,
    /// Why, for people.
    pub reason: &'b str,
    /// Which rule was broken, if it ended because of that.
    pub fault: Option<Fault>,
    /// Both sides said CLOSE, so each knows that the other knows.
    pub clean: bool,
}

impl Closed<'_> {
    /// Whether a client may resume the session (RES-11).
    #[must_use]
    pub fn may_resume(&self) -> bool {
        self.code.is_none_or(Code::may_resume)
    }
}
