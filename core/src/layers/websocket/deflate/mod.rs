//! permessage-deflate (RFC 7692), for messages that are handed out whole.
//!
//! A connection that agreed to it ([`extensions`](super::extensions)) has a [`Deflate`] beside its
//! [`WebSocket`], which is told by [`allow_compressed`](WebSocket::allow_compressed). What comes is handed to
//! [`inflate`](Deflate::inflate); what goes is sent by [`send_deflated`](WebSocket::send_deflated).
//!
//! Compressors are large (some 300 KB each) and live in a [`Pool`], one for each thread. A connection with
//! context takeover keeps no compressor but what both sides remember: the end of what was sent and received,
//! at most a window each way. As long as it is among the last that used the pool its compressor is still
//! there as it was left; else one is lent and told what to remember. A connection without context takeover
//! keeps nothing.
//!
//! ```
//! use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::time::Instant;
//! use bowline_core::websocket::deflate::{Deflate, Pool};
//! use bowline_core::websocket::extensions::Params;
//! use bowline_core::websocket::{Carries, Client, Config, Event, Kind, Server, WebSocket};
//!
//! let (now, config, mut pool) = (Instant::ZERO, Config::default(), Pool::default());
//! let params = Params::default(); // what the opening handshake agreed to
//! let mut client = WebSocket::new(now, Client::new(Seeded::new(1)), Carries::Messages, &config);
//! let mut server = WebSocket::new(now, Server, Carries::Messages, &config);
//! let mut sends = Deflate::client(&params, &mut pool);
//! let mut receives = Deflate::server(&params, &mut pool);
//! server.allow_compressed();
//!
//! let text = "again ".repeat(1000);
//! let mut out = SharedSendBuf::new(1 << 20);
//! client.send_deflated(now, &mut out, &mut sends, &mut pool, Kind::Text, text.as_bytes())?;
//! let wire = out.slices().collect::<Vec<_>>().concat();
//! assert!(wire.len() < 100);
//!
//! let (mut buf, mut answers) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
//! buf.push(&wire);
//! let mut inflated = Vec::new(); // memory for what comes, the same for all connections
//! let Some(Event::Message(message)) = server.recv(now, &mut buf, &mut answers) else { panic!() };
//! match receives.inflate(&mut pool, message, &mut inflated) {
//!     Ok(message) => assert_eq!(message.text(), Some(&text[..])),
//!     Err(fault) => drop(server.close_with_fault(now, fault)),
//! }
//! # Ok::<(), bowline_core::websocket::SendError>(())
//! ```

mod pool;
#[cfg(test)]
mod tests;

pub use pool::{Options, Pool};

use alloc::vec::Vec;

use super::extensions::{MAX_WINDOW_BITS, MIN_WINDOW_BITS, Params};
use super::frame::{FIN, RSV1};
use super::{Fault, Frame, Kind, Message, Role, SendError, WebSocket, utf8};
use crate::buf::SendBuf;
use crate::time::Instant;
use pool::Lease;

/// What an inflated message may always have, whatever it was compressed to, in octets: far too little to do
/// harm, and more than a message that repeats the one before takes.
const RATIO_FLOOR: usize = 64 << 10;

/// One direction: what both sides remember of it.
#[derive(Debug)]
pub(super) struct Half {
    /// The window, as a power of 2.
    bits: u8,
    takeover: bool,
    /// The end of what was compressed, where contexts are taken over: at most a window and a quarter.
    history: Vec<u8>,
    /// Where in the pool the context is, if it still is.
    lease: Lease,
}

impl Half {
    fn new(bits: Option<u8>, no_takeover: bool, lease: Lease) -> Self {
        let bits = bits.unwrap_or(MAX_WINDOW_BITS).clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        Self { bits, takeover: !no_takeover, history: Vec::new(), lease }
    }

    const fn window(&self) -> usize {
        1 << self.bits
    }

    /// What the other side can be referred to.
    fn dictionary(&self) -> &[u8] {
        &self.history[self.history.len().saturating_sub(self.window())..]
    }

    /// Remembers the end of a message. A quarter of a window more than is needed is kept, so that each octet
    /// moves a few times at most.
    fn remember(&mut self, message: &[u8]) {
        if !self.takeover {
            return;
        }
        let window = self.window();
        let message = &message[message.len().saturating_sub(window)..];
        if self.history.len() + message.len() > window + window / 4 {
            let keep = window - message.len();
            self.history.drain(..self.history.len().saturating_sub(keep));
        }
        let wanted = self.history.len() + message.len();
        if wanted > self.history.capacity() {
            // By doubling, and never beyond what is ever needed.
            let capacity = wanted.next_power_of_two().min(window + window / 4);
            self.history.reserve_exact(capacity.max(wanted) - self.history.len());
        }
        self.history.extend_from_slice(message);
    }
}

/// One connection's compression, both ways. See the [module](self).
#[derive(Debug)]
pub struct Deflate {
    tx: Half,
    rx: Half,
}

impl Deflate {
    /// Of a server that agreed to `params`.
    #[must_use]
    pub fn server(params: &Params, pool: &mut Pool) -> Self {
        let server = (params.server_max_window_bits, params.server_no_context_takeover);
        let client = (params.client_max_window_bits, params.client_no_context_takeover);
        Self::new(server, client, pool)
    }

    /// Of a client whose server agreed to `params`.
    #[must_use]
    pub fn client(params: &Params, pool: &mut Pool) -> Self {
        let server = (params.server_max_window_bits, params.server_no_context_takeover);
        let client = (params.client_max_window_bits, params.client_no_context_takeover);
        Self::new(client, server, pool)
    }

    fn new(tx: (Option<u8>, bool), rx: (Option<u8>, bool), pool: &mut Pool) -> Self {
        Self { tx: Half::new(tx.0, tx.1, pool.lease()), rx: Half::new(rx.0, rx.1, pool.lease()) }
    }

    /// Octets of memory that this connection keeps, beside the pool.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.tx.history.capacity() + self.rx.history.capacity()
    }

    /// The message as it was before it was compressed; one that was not comes back as it is.
    ///
    /// It is inflated into `into`, from the front, whatever that has: memory that is used again for the next
    /// message of whatever connection. Its size is limited while it is inflated, by
    /// [`Options::max_message`] and [`Options::max_ratio`].
    ///
    /// # Errors
    ///
    /// What is wrong with it: hand that to [`WebSocket::close_with_fault`]. The connection's context is lost.
    pub fn inflate<'a>(
        &mut self,
        pool: &mut Pool,
        message: Message<'a>,
        into: &'a mut Vec<u8>,
    ) -> Result<Message<'a>, Fault> {
        if !message.compressed {
            return Ok(message);
        }
        let n = pool.inflate(&mut self.rx, message.payload, into)?;
        let payload = &into[..n];
        if message.kind == Kind::Text {
            match utf8::check(payload) {
                Ok(0) => {}
                Ok(tail) => return Err(Fault::Utf8 { at: (n - tail) as u64 }),
                Err(at) => return Err(Fault::Utf8 { at: at as u64 }),
            }
        }
        Ok(Message { kind: message.kind, compressed: false, payload })
    }

    /// The largest window that this side compresses with, as a power of 2: what
    /// [`Frame::deflated`] is to be made with for this connection.
    #[must_use]
    pub const fn window_bits(&self) -> u8 {
        self.tx.bits
    }
}

impl Frame {
    /// As [`Frame::new`], but compressed, once for all connections that agreed to permessage-deflate with a
    /// window of `bits` or more; as it is where it is small or would not get smaller.
    ///
    /// It refers to itself alone. A connection that takes no context over sends it by
    /// [`send_frame`](WebSocket::send_frame); any by
    /// [`send_frame_deflated`](WebSocket::send_frame_deflated).
    #[must_use]
    pub fn deflated(pool: &mut Pool, bits: u8, kind: Kind, payload: &[u8]) -> Self {
        let mut half = Half::new(Some(bits), true, pool.lease());
        if payload.len() < pool.options().threshold.max(1) {
            return Frame::new(kind, payload);
        }
        match pool.deflate(&mut half, payload) {
            Some(compressed) => Frame::of(FIN | RSV1 | kind.opcode() as u8, compressed).within(half.bits),
            None => Frame::new(kind, payload),
        }
    }
}

impl<R: Role> WebSocket<R> {
    /// The opening handshake agreed to permessage-deflate: messages may be compressed, and those that are come
    /// as they are ([`Message::compressed`]), for [`Deflate::inflate`]. Only for
    /// [`Carries::Messages`](super::Carries::Messages); else it changes nothing.
    pub fn allow_compressed(&mut self) {
        self.rx.allow_compressed();
    }

    /// Sends a message, compressed where it is large enough and gets smaller. The payload of a text message has to be
    /// UTF-8.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then, and nothing has changed. [`SendError::Blocked`] where there is
    /// no room for the message as it is and a little more.
    pub fn send_deflated(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        deflate: &mut Deflate,
        pool: &mut Pool,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        debug_assert!(kind == Kind::Binary || core::str::from_utf8(payload).is_ok());
        let first = FIN | kind.opcode() as u8;
        self.send(now, |tx| {
            if payload.len() < pool.options().threshold.max(1) {
                return tx.put(out, first, payload);
            }
            // What is compressed has to go, or both sides remember different things.
            if super::HEADER_MAX.saturating_add(payload.len()) > out.room() {
                return false;
            }
            match pool.deflate(&mut deflate.tx, payload) {
                Some(compressed) => tx.put(out, first | RSV1, compressed),
                None => tx.put(out, first, payload),
            }
        })
    }

    /// Sends a message that was [compressed before](Frame::deflated), for many. `payload` is what it was
    /// before that: where contexts are taken over, both sides remember it; and it goes as it is to who agreed
    /// to a smaller window than it was made with.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; it was not sent then.
    pub fn send_frame_deflated(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        deflate: &mut Deflate,
        frame: &Frame,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !frame.is_compressed() {
            return self.send_frame(now, out, frame);
        }
        // No reference of it goes further back than it is long.
        if deflate.tx.bits < frame.window && deflate.tx.window() < payload.len() {
            let first = FIN | frame.kind().opcode() as u8;
            return self.send(now, |tx| tx.put(out, first, payload));
        }
        self.send_frame(now, out, frame)?;
        // The peer remembers it, so do we; a compressor in the pool does not.
        deflate.tx.remember(payload);
        deflate.tx.lease.forget();
        Ok(())
    }
}
