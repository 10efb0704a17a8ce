//! What plugins are asked, and what they say.

use core::ops::BitOr;
use core::time::Duration;

use crate::hub::Message;
use crate::status::Status;

/// A set of calls of a [`Plugin`](super::Plugin): those that it wants.
///
/// ```
/// use bowline_core::plugin::Interest;
/// let both = Interest::CONNECT | Interest::TIMER;
/// assert!(both.contains(Interest::TIMER) && !both.contains(Interest::MESSAGE_IN));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(u16);

impl Interest {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// [`accept`](super::Plugin::accept).
    pub const ACCEPT: Self = Self(1);
    /// [`connect`](super::Plugin::connect).
    pub const CONNECT: Self = Self(1 << 1);
    /// [`opened`](super::Plugin::opened).
    pub const OPENED: Self = Self(1 << 2);
    /// [`closed`](super::Plugin::closed).
    pub const CLOSED: Self = Self(1 << 3);
    /// [`denied`](super::Plugin::denied).
    pub const DENIED: Self = Self(1 << 4);
    /// [`asked`](super::Plugin::asked).
    pub const ASKED: Self = Self(1 << 5);
    /// [`message_in`](super::Plugin::message_in).
    pub const MESSAGE_IN: Self = Self(1 << 6);
    /// [`message_out`](super::Plugin::message_out).
    pub const MESSAGE_OUT: Self = Self(1 << 7);
    /// [`poll_timeout`](super::Plugin::poll_timeout) and
    /// [`handle_timeout`](super::Plugin::handle_timeout).
    pub const TIMER: Self = Self(1 << 8);
    /// Everything.
    pub const ALL: Self = Self((1 << Self::COUNT) - 1);

    /// How many calls there are.
    pub(super) const COUNT: usize = 9;

    /// Whether all of `other` is wanted.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The number of this one call, from 0 on.
    #[inline]
    pub(super) const fn number(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// The call with this number.
    pub(super) const fn numbered(number: usize) -> Self {
        Self(1 << number)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Pass,
    /// It goes no further, and its publisher is not told: to it, nobody has subscribed.
    Drop,
    /// It goes no further, and its publisher is told why.
    Refuse(Rejection),
    /// This goes on instead of it.
    Change(Message),
}

/// Why a plugin says no.
///
/// ```
/// use bowline_core::plugin::Rejection;
/// use bowline_core::status::Status;
/// let full = Rejection::busy("too much is under way");
/// assert_eq!((full.status, full.reason), (Status::Busy, "too much is under way"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// What it is answered with: the words of the other dialects are chosen by it.
    pub status: Status,
    /// For people.
    pub reason: &'static str,
    /// When it is worth trying again, if that is known.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    /// It is not allowed.
    #[must_use]
    pub const fn forbidden(reason: &'static str) -> Self {
        Self { status: Status::NotAuthorized, reason, retry_after: None }
    }

    /// Not now.
    #[must_use]
    pub const fn busy(reason: &'static str) -> Self {
        Self { status: Status::Busy, reason, retry_after: None }
    }

    /// A limit is reached.
    #[must_use]
    pub const fn quota(reason: &'static str) -> Self {
        Self { status: Status::Quota, reason, retry_after: None }
    }

    /// It is not what it should be.
    #[must_use]
    pub const fn invalid(reason: &'static str) -> Self {
        Self { status: Status::Invalid, reason, retry_after: None }
    }

    /// The same, to be tried again after that time.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// What a session asks for beside sending messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask<'a> {
    /// To subscribe with this filter, without `$share/GROUP/`.
    Subscribe(&'a str),
    /// To serve requests that match this filter.
    Serve(&'a str),
    /// To join this room.
    Join(&'a str),
    /// To publish to this topic: only in [`denied`](super::Plugin::denied).
    Publish(&'a str),
    /// To request on this topic: only in [`denied`](super::Plugin::denied).
    Request(&'a str),
    /// To use this queue: only in [`denied`](super::Plugin::denied).
    Queue(&'a str),
}

impl<'a> Ask<'a> {
    /// What it is about: a filter, a topic, a name.
    #[must_use]
    pub const fn subject(&self) -> &'a str {
        match *self {
            Self::Subscribe(subject)
            | Self::Serve(subject)
            | Self::Join(subject)
            | Self::Publish(subject)
            | Self::Request(subject)
            | Self::Queue(subject) => subject,
        }
    }

    /// In a word: `subscribe`, `serve`, `join`, `publish`, `request`, `queue`.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Subscribe(_) => "subscribe",
            Self::Serve(_) => "serve",
            Self::Join(_) => "join",
            Self::Publish(_) => "publish",
            Self::Request(_) => "request",
            Self::Queue(_) => "queue",
        }
    }
}
