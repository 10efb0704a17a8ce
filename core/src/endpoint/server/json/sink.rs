//! Where what a client is told goes: into a WebSocket, or into what waits for the next poll.

use alloc::boxed::Box;

use super::super::compression::{Agreed, Compressors};
use crate::buf::SendBuf;
use crate::time::Instant;
use crate::websocket::{Frame, Kind, SendError, Server as Role, WebSocket as Layer};

/// Takes messages, each whole or not at all.
pub(super) trait Sink {
    /// A message for this client alone. Says whether it was taken, or never will be.
    fn put_text(&mut self, now: Instant, text: &str) -> bool;

    /// A message that others get too, [encoded](Self::encode) once for all.
    fn put_frame(&mut self, now: Instant, frame: &Frame) -> bool;

    /// The window that messages to this client are compressed with, as a power of 2; nothing where they are
    /// not. What is encoded for one is for all where this is the same.
    fn window_bits(&self) -> Option<u8> {
        None
    }

    /// A message as this client takes it.
    fn encode(&mut self, text: &str) -> Frame {
        Frame::new(Kind::Text, text.as_bytes())
    }
}

/// A WebSocket and what it writes to.
pub(super) struct Line<'a, O> {
    pub(super) layer: &'a mut Layer<Role>,
    pub(super) out: &'a mut O,
    /// How its messages are compressed, and with what.
    pub(super) compression: Option<(&'a mut Agreed, Box<Compressors>)>,
}

impl<O: SendBuf> Sink for Line<'_, O> {
    fn put_text(&mut self, now: Instant, text: &str) -> bool {
        let Self { layer, out, compression } = self;
        !is_blocked(match compression {
            Some((agreed, with)) => agreed.send(with, now, layer, *out, text),
            None => layer.send_text(now, *out, text),
        })
    }

    fn put_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        !is_blocked(self.layer.send_frame(now, self.out, frame))
    }

    fn window_bits(&self) -> Option<u8> {
        self.compression.as_ref().map(|(agreed, _)| agreed.window_bits())
    }

    fn encode(&mut self, text: &str) -> Frame {
        match &mut self.compression {
            Some((agreed, with)) => agreed.encode(with, text),
            None => Frame::new(Kind::Text, text.as_bytes()),
        }
    }
}

fn is_blocked(sent: Result<(), SendError>) -> bool {
    sent.is_err_and(|error| error.is_blocked())
}
