//! What a connection tells its owner.

use core::time::Duration;

use super::{CloseCode, Fault, Kind};
use crate::lifecycle::By;

/// What was received, or happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'b> {
    /// A whole message ([`Carries::Messages`](super::Carries::Messages)).
    Message(Message<'b>),
    /// The next piece of a message ([`Carries::Pieces`](super::Carries::Pieces)).
    Piece(Piece<'b>),
    /// The peer answered a ping of ours, and the round trip took so long.
    RoundTrip(Duration),
    /// The connection has ended, or ends now: told once, and the last event.
    Closed(Closed<'b>),
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// Its kind.
    pub kind: Kind,
    /// Whether it is compressed, which only a connection that
    #[cfg_attr(feature = "deflate", doc = "[allows](super::WebSocket::allow_compressed) it ever sees:")]
    #[cfg_attr(not(feature = "deflate"), doc = "allows it (feature `deflate`) ever sees:")]
    /// it has to be inflated then, and nothing is known of its octets.
    pub compressed: bool,
    /// Its octets; those of a text message are UTF-8.
    pub payload: &'b [u8],
}

impl<'b> Message<'b> {
    /// A text message's text; `None` of a binary one, and of one that is compressed. It looks at each octet once more: where octets will
    /// do, take [`payload`](Message::payload), which was checked.
    #[must_use]
    pub fn text(&self) -> Option<&'b str> {
        match self.kind {
            Kind::Text if self.compressed => None,
            Kind::Text => simdutf8::basic::from_utf8(self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// A piece of a message, as it came in: its borders mean nothing, but no character of a text message
/// is cut by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'b> {
    /// The message's kind.
    pub kind: Kind,
    /// Whether it is the message's first.
    pub first: bool,
    /// Whether it is the message's last, which may be empty.
    pub last: bool,
    /// Its octets.
    pub payload: &'b [u8],
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<'b> {
    /// Who ended it.
    pub by: By,
    /// The code of the one who ended it; [`CloseCode::NO_STATUS`] where it gave none,
    /// [`CloseCode::ABNORMAL`] where the transport ended without a word.
    pub code: CloseCode,
    /// What the peer said beside the code, or, where it broke a rule, what it was told.
    pub reason: &'b str,
    /// Whether both sides have sent a Close frame (section 7.1.4), as far as is known yet.
    pub clean: bool,
    /// The rule that the peer, or time, broke.
    pub fault: Option<Fault>,
}
