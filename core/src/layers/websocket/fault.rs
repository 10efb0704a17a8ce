//! What a peer, or time, did wrong; and the one total map from there to the close code.

use super::{CloseCode, Opcode};

/// A broken rule. Each names what and where; [`Fault::close_code`] says what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Section 5.2: RSV1 to RSV3 are 0 where no extension gave them a meaning.
    #[error("a frame's reserved bits are {bits:#05b} (RSV1 to RSV3), and no extension allows that")]
    ReservedBits {
        /// RSV1, RSV2 and RSV3, from the left.
        bits: u8,
    },
    /// Section 5.2: opcodes 3 to 7 and 11 to 15.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// Section 5.1: a client masks every frame.
    #[error("{0} frame of a client is not masked")]
    Unmasked(Opcode),
    /// Section 5.1: a server masks no frame.
    #[error("{0} frame of a server is masked")]
    Masked(Opcode),
    /// Section 5.5: a control frame must not be fragmented.
    #[error("{0} frame is fragmented")]
    FragmentedControl(Opcode),
    /// Section 5.5: a control frame has at most 125 octets of payload, so its length is said in 7 bits.
    #[error("{0} frame whose length is not one of 0 to 125, said in 7 bits")]
    ControlTooLong(Opcode),
    /// Section 5.2: the length takes as few octets as it can.
    #[error("{opcode} frame says its length of {length} with more octets than that takes")]
    LengthNotMinimal {
        /// The frame.
        opcode: Opcode,
        /// Its length.
        length: u64,
    },
    /// Section 5.2: the most significant bit of a length of 64 bits is 0.
    #[error("{0} frame has a length of 2^63 octets or more")]
    LengthTooLong(Opcode),
    /// Section 5.4: nothing is there to be continued.
    #[error("continuation frame, but no message has begun")]
    NothingToContinue,
    /// Section 5.4: a message begins within another.
    #[error("{0} frame before the message under way has ended")]
    MessageWithinMessage(Opcode),
    /// Section 8.1: text that is not UTF-8.
    #[error("text message: octet {at} is not UTF-8")]
    Utf8 {
        /// Which octet of the message, from 0: where the character begins that is none.
        at: u64,
    },
    /// Section 10.4: a message that is larger, its fragments' overhead included, than is taken.
    #[error("message of {size} octets or more, its fragments' overhead included; at most {limit} are taken")]
    TooBig {
        /// What is known of its size.
        size: u64,
        /// What is taken.
        limit: u64,
    },
    /// A text message where a stream of octets is carried: those are binary messages.
    #[error("text message, where only binary ones are taken")]
    TextInStream,
    /// Section 5.5.1: a Close frame whose payload is one octet.
    #[error("close frame with a payload of 1 octet: neither empty nor a code")]
    CloseLength,
    /// Section 7.4: a code that no Close frame may carry.
    #[error("close frame with the code {0}, which none may carry")]
    CloseCode(u16),
    /// Section 5.5.1: a reason that is not UTF-8.
    #[error("close frame whose reason is not UTF-8")]
    CloseReason,
    /// RFC 7692, section 7.2.2: what a compressed message holds is no DEFLATE data.
    #[error("compressed message: not a deflate stream")]
    Deflate,
    /// A message that was compressed more than anybody's data.
    #[error("compressed message: more than {limit} times as large when inflated")]
    DeflateRatio {
        /// The most that is taken.
        limit: u32,
    },
    /// Nothing was heard from the peer, not even an answer to a ping.
    #[error("nothing was heard from the peer for 1.5 times the ping interval")]
    PeerSilent,
    /// The transport took no octet for too long.
    #[error("the peer has read nothing for too long")]
    WriteTimeout,
}

impl Fault {
    /// The code of the Close frame. Total: there is no other way from a fault to a code.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Fault::ReservedBits { .. }
            | Fault::ReservedOpcode(_)
            | Fault::Unmasked(_)
            | Fault::Masked(_)
            | Fault::FragmentedControl(_)
            | Fault::ControlTooLong(_)
            | Fault::LengthNotMinimal { .. }
            | Fault::LengthTooLong(_)
            | Fault::NothingToContinue
            | Fault::MessageWithinMessage(_)
            | Fault::CloseLength
            | Fault::CloseCode(_) => CloseCode::PROTOCOL,
            Fault::TextInStream => CloseCode::UNSUPPORTED,
            Fault::Utf8 { .. } | Fault::CloseReason | Fault::Deflate => CloseCode::INVALID_DATA,
            Fault::TooBig { .. } | Fault::DeflateRatio { .. } => CloseCode::TOO_BIG,
            Fault::PeerSilent | Fault::WriteTimeout => CloseCode::INTERNAL,
        }
    }

    /// What the Close frame says beside the code: at most 123 octets.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Fault::ReservedBits { .. } => "reserved bits are set",
            Fault::ReservedOpcode(_) => "the opcode is reserved",
            Fault::Unmasked(_) => "a client's frames must be masked",
            Fault::Masked(_) => "a server's frames must not be masked",
            Fault::FragmentedControl(_) => "a control frame must not be fragmented",
            Fault::ControlTooLong(_) => "a control frame has at most 125 octets of payload",
            Fault::LengthNotMinimal { .. } => "the payload length is not minimal",
            Fault::LengthTooLong(_) => "the payload length has its top bit set",
            Fault::NothingToContinue => "a continuation of no message",
            Fault::MessageWithinMessage(_) => "a message within a fragmented message",
            Fault::Utf8 { .. } => "a text message is not UTF-8",
            Fault::TooBig { .. } => "the message is too big",
            Fault::TextInStream => "only binary messages are taken here",
            Fault::CloseLength => "a close frame's payload is 1 octet",
            Fault::CloseCode(_) => "a close code that must not be sent",
            Fault::CloseReason => "a close reason is not UTF-8",
            Fault::Deflate => "a compressed message cannot be inflated",
            Fault::DeflateRatio { .. } => "a compressed message inflates too much",
            Fault::PeerSilent => "nothing heard from you for too long",
            Fault::WriteTimeout => "you have read nothing for too long",
        }
    }
}
