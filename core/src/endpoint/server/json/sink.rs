//! Where what a client is told goes: into a WebSocket, or into what waits for the next poll.

use crate::buf::SendBuf;
use crate::time::Instant;
use crate::websocket::{Frame, SendError, Server as Role, WebSocket as Layer};

/// Takes messages, each whole or not at all.
pub(super) trait Sink {
    /// A message for this client alone. Says whether it was taken, or never will be.
    fn put_text(&mut self, now: Instant, text: &str) -> bool;

    /// A message that others get too, encoded once for all.
    fn put_frame(&mut self, now: Instant, frame: &Frame) -> bool;
}

/// A WebSocket and what it writes to.
pub(super) struct Line<'a, O> {
    pub(super) layer: &'a mut Layer<Role>,
    pub(super) out: &'a mut O,
}

impl<O: SendBuf> Sink for Line<'_, O> {
    fn put_text(&mut self, now: Instant, text: &str) -> bool {
        !is_blocked(self.layer.send_text(now, self.out, text))
    }

    fn put_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        !is_blocked(self.layer.send_frame(now, self.out, frame))
    }
}

fn is_blocked(sent: Result<(), SendError>) -> bool {
    sent.is_err_and(|error| error.is_blocked())
}
