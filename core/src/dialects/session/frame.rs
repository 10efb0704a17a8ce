//! The frame head: kinds, flags, sizes (SPEC §3).

use super::fault::Fault;
use crate::varint::leb128;

/// The four octets a client begins with (PRE-1).
pub const PREFACE: [u8; 4] = [0xB0, b'W', b'L', b'\n'];

/// The longest head and size of a frame that a sender of this crate writes.
pub(super) const HEAD_MAX: usize = 1 + 9;

/// What a frame is (SPEC §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The client's offer.
    Hello = 0,
    /// The server's answer: the session is open.
    Welcome = 1,
    /// One step of an authentication that needs several.
    Auth = 2,
    /// The last frame of a side.
    Close = 3,
    /// No new work, please.
    Drain = 4,
    /// Are you there?
    Ping = 5,
    /// Yes.
    Pong = 6,
    /// How many reliable frames have been accepted.
    Ack = 7,
    /// More may be sent.
    Credit = 8,
    /// The answer to a frame that has an id.
    Result = 9,
    /// A message to the peer.
    Publish = 10,
    /// A message because of a subscription.
    Message = 11,
    /// Asks for messages.
    Subscribe = 12,
    /// No longer.
    Unsubscribe = 13,
    /// Asks for an answer.
    Request = 14,
    /// The answer.
    Response = 15,
    /// The answer is no longer wanted.
    Cancel = 16,
    /// A task for a queue, or from one.
    Offer = 17,
    /// Asks a queue for tasks.
    Take = 18,
    /// A task is done, or given back.
    Settle = 19,
    /// Enters a room.
    Join = 20,
    /// Leaves it.
    Leave = 21,
    /// Who is in a room.
    Presence = 22,
    /// Asks for messages of the past.
    History = 23,
    /// A message to the peer, which its topic keeps.
    Retain = 24,
    /// A message because of a subscription, which its topic keeps.
    Retained = 25,
    /// A room was entered.
    Joined = 26,
    /// Asks for a tunnel to a target.
    Tunnel = 27,
    /// Octets of a tunnel.
    Data = 28,
    /// More octets of a tunnel may be sent.
    Window = 29,
    /// A tunnel is broken off.
    Reset = 30,
}

/// Every kind, at the index of its number.
const KINDS: [Kind; 31] = [
    Kind::Hello,
    Kind::Welcome,
    Kind::Auth,
    Kind::Close,
    Kind::Drain,
    Kind::Ping,
    Kind::Pong,
    Kind::Ack,
    Kind::Credit,
    Kind::Result,
    Kind::Publish,
    Kind::Message,
    Kind::Subscribe,
    Kind::Unsubscribe,
    Kind::Request,
    Kind::Response,
    Kind::Cancel,
    Kind::Offer,
    Kind::Take,
    Kind::Settle,
    Kind::Join,
    Kind::Leave,
    Kind::Presence,
    Kind::History,
    Kind::Retain,
    Kind::Retained,
    Kind::Joined,
    Kind::Tunnel,
    Kind::Data,
    Kind::Window,
    Kind::Reset,
];

/// The first kind that a receiver skips where it does not know it (FRM-1).
pub(super) const FIRST_OPTIONAL: u8 = 32;

/// A reliable frame: counted and acknowledged. On PUBLISH, MESSAGE, RETAIN and RETAINED.
pub(super) const RELIABLE: u8 = 1;
/// Properties stand before the topic or the payload.
pub(super) const PROPS: u8 = 2;
/// REQUEST goes to all who serve.
pub(super) const MANY: u8 = 1;
/// Other RESPONSEs follow.
pub(super) const MORE: u8 = 1;
/// SETTLE gives the task back.
pub(super) const REJECT: u8 = 1;
/// JOIN wants presence.
pub(super) const PRESENCE: u8 = 1;
/// JOINED: nothing was missed.
pub(super) const RECOVERED: u8 = 1;
/// PRESENCE: the member is no longer there.
pub(super) const GONE: u8 = 1;
/// DATA: nothing more comes this way.
pub(super) const END: u8 = 1;

impl Kind {
    /// The kind with this number, where this version knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Kind> {
        if (number as usize) < KINDS.len() { Some(KINDS[number as usize]) } else { None }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name as the specification writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Hello => "HELLO",
            Kind::Welcome => "WELCOME",
            Kind::Auth => "AUTH",
            Kind::Close => "CLOSE",
            Kind::Drain => "DRAIN",
            Kind::Ping => "PING",
            Kind::Pong => "PONG",
            Kind::Ack => "ACK",
            Kind::Credit => "CREDIT",
            Kind::Result => "RESULT",
            Kind::Publish => "PUBLISH",
            Kind::Message => "MESSAGE",
            Kind::Subscribe => "SUBSCRIBE",
            Kind::Unsubscribe => "UNSUBSCRIBE",
            Kind::Request => "REQUEST",
            Kind::Response => "RESPONSE",
            Kind::Cancel => "CANCEL",
            Kind::Offer => "OFFER",
            Kind::Take => "TAKE",
            Kind::Settle => "SETTLE",
            Kind::Join => "JOIN",
            Kind::Leave => "LEAVE",
            Kind::Presence => "PRESENCE",
            Kind::History => "HISTORY",
            Kind::Retain => "RETAIN",
            Kind::Retained => "RETAINED",
            Kind::Joined => "JOINED",
            Kind::Tunnel => "TUNNEL",
            Kind::Data => "DATA",
            Kind::Window => "WINDOW",
            Kind::Reset => "RESET",
        }
    }

    /// The flags that the specification gives this kind (FRM-4).
    pub(super) const fn flags(self) -> u8 {
        match self {
            Kind::Publish | Kind::Message | Kind::Retain | Kind::Retained => RELIABLE | PROPS,
            Kind::Request => MANY | PROPS,
            Kind::Response => MORE | PROPS,
            Kind::Offer => PROPS,
            Kind::Settle => REJECT,
            Kind::Join => PRESENCE,
            Kind::Presence => GONE,
            Kind::Joined => RECOVERED,
            Kind::Data => END,
            _ => 0,
        }
    }

    /// Whether its size counts as used credit (SPEC §7).
    pub(super) const fn costs_credit(self) -> bool {
        self.is_message() || matches!(self, Kind::Request | Kind::Response | Kind::Offer)
    }

    /// Whether it carries a message to a peer or to a subscription.
    pub(super) const fn is_message(self) -> bool {
        matches!(self, Kind::Publish | Kind::Message | Kind::Retain | Kind::Retained)
    }

    pub(super) const fn head(self, flags: u8) -> u8 {
        (self as u8) << 2 | flags
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A frame's head and size, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The kind's number and flags as on the wire.
    pub(super) octet: u8,
    /// Octets of head and size.
    pub(super) len: usize,
    /// Octets of the body.
    pub(super) size: u64,
}

impl Head {
    /// Reads the head at the front of `bytes`; nothing where it is not whole yet.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let [octet, rest @ ..] = bytes else { return Ok(None) };
        match leb128::decode(rest) {
            Ok(Some((size, n))) => Ok(Some(Head { octet: *octet, len: 1 + n, size })),
            Ok(None) => Ok(None),
            Err(_) => Err(Fault::BadSize),
        }
    }

    #[inline]
    pub(super) const fn number(self) -> u8 {
        self.octet >> 2
    }

    #[inline]
    pub(super) const fn flags(self) -> u8 {
        self.octet & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_numbers() {
        for n in 0..=255 {
            assert_eq!(Kind::from_number(n).map(Kind::number), (n < 31).then_some(n));
        }
    }
}
