//! What an engine drives: a server's connection, a client, or a session of your own.

use std::task::Waker;

use bowline_core::buf::{GrowingRecvBuf, SendBuf, SharedSendBuf};
use bowline_core::datagram::Delivery;
use bowline_core::endpoint::server::Secured;
use bowline_core::session::{MAX_FRAME_CEILING, Transport};
use bowline_core::time::{Deadline, Instant};
use bytes::Bytes;

/// What a machine has to say is put here.
///
/// It is full from [`Output::FULL`] octets on, but takes a whole frame of any size when it is not:
/// so a frame always fits in the end, and little is copied before the peer takes it.
#[derive(Debug)]
pub struct Output(SharedSendBuf);

impl Output {
    /// From so many octets on nothing more is taken: about what one write moves.
    pub const FULL: usize = 64 << 10;

    pub(crate) const fn new() -> Self {
        Self(SharedSendBuf::new(Self::FULL + MAX_FRAME_CEILING as usize + 4096))
    }

    /// Whether nothing more is taken at present.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.0.len() >= Self::FULL
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn inner(&mut self) -> &mut SharedSendBuf {
        &mut self.0
    }
}

impl SendBuf for Output {
    #[inline]
    fn room(&self) -> usize {
        if self.is_full() { 0 } else { self.0.room() }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }

    #[inline]
    fn put_shared(&mut self, bytes: &Bytes) {
        self.0.put_shared(bytes);
    }
}

/// What happened since the last [`Machine::turn`].
#[derive(Debug)]
pub struct Turn<'a> {
    /// Some deadline may be due.
    pub due: bool,
    /// The peer has ended its direction; said once, behind all octets.
    pub eof: bool,
    /// What was received and is not consumed yet.
    pub input: &'a mut GrowingRecvBuf,
    /// What is to be sent.
    pub output: &'a mut Output,
}

/// What a machine wants next.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// What the transport owes once the output is written.
    pub transport: Transport,
    /// When the machine wants another turn.
    pub deadline: Option<Deadline>,
    /// It left octets in the input for lack of room in the output: nothing more is read before
    /// there is room.
    pub blocked: bool,
    /// Whether it wants to read at all at present.
    pub reads: bool,
    /// It made work for others: let them run before more is read.
    pub yields: bool,
}

/// One connection's side of a state machine, as an engine drives it. All decisions of the
/// protocol are behind this; an engine only moves octets and time.
pub trait Machine: Send + Unpin {
    /// Keeps where to wake the engine from now on, when something is to be sent that was not
    /// before.
    fn register(&mut self, waker: &Waker);

    /// Whether it was woken since the last turn, by anything but its transport and its timer.
    fn is_woken(&self) -> bool;

    /// What the transport has proved, once and before the first octets. Nobody but a server asks.
    fn handle_secured(&mut self, now: Instant, secured: Secured) {
        let _ = (now, secured);
    }

    /// Takes in what happened, in this order: time, octets, the end; then puts out what is owed.
    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next;

    /// How large a message may be that goes in a datagram beside the stream, in octets. Only told where the
    /// transport has them.
    fn set_max_datagram(&mut self, now: Instant, max: usize) {
        let _ = (now, max);
    }

    /// A message came in a datagram beside the stream.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        let _ = (now, datagram);
    }

    /// The next message to send in a datagram; asked behind each turn where the transport has them.
    fn poll_datagram(&mut self, now: Instant) -> Option<(Delivery, Vec<u8>)> {
        let _ = now;
        None
    }

    /// A write took `written` octets and left `waiting`. Returns the new deadline. Only called
    /// where something waits, or waited before.
    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline>;

    /// The transport is gone. Called once, last.
    fn gone(&mut self, now: Instant);
}
