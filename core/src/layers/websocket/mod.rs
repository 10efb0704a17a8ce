//! WebSocket (RFC 6455), both sides: a layer that carries messages, or any dialect's octets.
//!
//! The opening [`handshake`] comes before it: a [`WebSocket`] begins with the first octet behind the heads.
//! A client has it done by [`Connect`].
//!
//! # How to drive a [`WebSocket`]
//!
//! As every machine here: [`recv`](WebSocket::recv) until it returns nothing, then
//! [`poll_transmit`](WebSocket::poll_transmit), then write what is in the buffer, then sleep until
//! [`poll_timeout`](WebSocket::poll_timeout), readable or writable. Any method may be called in any
//! state. Time never goes back: an earlier `now` than before counts as the same instant.
//!
//! Frames are decoded where they were received. Payloads end up side by side at the front of the buffer,
//! unmasked on the way; a frame that lies there alone does not move at all. Answers (pongs) go to the same
//! output as all else, so what one read brought is answered by one write.
//!
//! # Three ways to carry
//!
//! | [`Carries`] | what comes out | memory it takes |
//! |---|---|---|
//! | `Messages` | [`Event::Message`], whole | the message, in the receive buffer |
//! | `Pieces` | [`Event::Piece`], as it comes | none |
//! | `Stream` | [`Decoded`], a [`RecvBuf`](crate::buf::RecvBuf) for the dialect within | what the dialect leaves there |
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::entropy::Seeded;
//! use bowline_core::time::Instant;
//! use bowline_core::websocket::{Carries, Client, Config, Event, Kind, Server, WebSocket};
//!
//! let (now, config) = (Instant::from_millis(0), Config::default());
//! let mut client = WebSocket::new(now, Client::new(Seeded::new(1)), Carries::Messages, &config);
//! let mut server = WebSocket::new(now, Server, Carries::Messages, &config);
//!
//! let (mut a, mut b) = ([0; 1024], [0; 1024]);
//! let (mut to_server, mut at_server) = (SliceSendBuf::new(&mut a), SliceRecvBuf::new(&mut b));
//! client.send_text(now, &mut to_server, "hello")?;
//! at_server.push(to_server.pending()); // the network
//!
//! let mut c = [0; 1024];
//! let mut to_client = SliceSendBuf::new(&mut c);
//! let event = server.recv(now, &mut at_server, &mut to_client);
//! let Some(Event::Message(message)) = event else { panic!("{event:?}") };
//! assert_eq!((message.kind, message.payload), (Kind::Text, &b"hello"[..]));
//! server.send_text(now, &mut to_client, "you too")?;
//! assert_eq!(to_client.pending(), b"\x81\x07you too");
//! # Ok::<(), bowline_core::websocket::SendError>(())
//! ```

mod carry;
mod close;
mod code;
mod connect;
#[cfg(feature = "deflate")]
pub mod deflate;
mod event;
pub mod extensions;
mod fault;
mod frame;
pub mod handshake;
mod mask;
mod recv;
mod role;
mod send;
mod timers;
mod utf8;

#[cfg(test)]
mod tests;

pub use carry::{Decoded, Framed};
pub use code::CloseCode;
pub use connect::{Connect, OpenFault, Refused};
pub use event::{Closed, Event, Message, Piece};
pub use fault::Fault;
pub use frame::{CONTROL_MAX, HEADER_MAX, Kind, Opcode};
pub use role::{Client, Role, Server};
#[cfg(feature = "alloc")]
pub use send::Frame;
pub use send::SendError;

use core::time::Duration;

use close::{Ending, Owed};
use recv::Rx;
use send::Tx;

use crate::keepalive::Keepalive;
use crate::lifecycle::Lifecycle;
use crate::time::Instant;

/// How many octets more than what it carries a receive buffer has to hold at once: the largest control
/// frame, which may come in the middle of anything and is taken whole. An output buffer has to be able to
/// hold as much, or a pong or a Close frame would never have room.
pub const HEADROOM: usize = HEADER_MAX + CONTROL_MAX;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// A dialect's octets, in binary messages whose borders mean nothing ([MQTT-6.0.0-2]). A text message
    /// is refused ([MQTT-6.0.0-1]).
    Stream,
    /// Messages, each of which is handed out whole.
    Messages,
    /// Messages that are handed out piece by piece as they come.
    Pieces,
}

/// The settings of a connection.
///
/// ```
/// use bowline_core::websocket::Config;
/// let mut config = Config::default();
/// config.max_message = 4096;
/// config.ping_interval = None;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest message that is taken, in octets. A stream's messages have no borders and no limit.
    ///
    /// A message that is handed out whole must fit in the receive buffer besides, less [`HEADROOM`].
    pub max_message: u64,
    /// How many octets of that each frame behind a message's first costs beside its payload, so that
    /// empty fragments come to an end too.
    pub fragment_cost: u32,
    /// For how long nothing may come from the peer before it is pinged; at 1.5 times that it counts as
    /// dead. `None`: for ever.
    pub ping_interval: Option<Duration>,
    /// How long the closing handshake may take (section 7.1.1).
    pub close_timeout: Duration,
    /// For how long the peer may take no octet of what waits for it.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message: 1 << 20,
            fragment_cost: 16,
            ping_interval: Some(Duration::from_secs(30)),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// One side of a connection, behind the opening handshake. See the [module](self) for how to drive it.
///
/// `R` is the side: [`Server`] or [`Client`].
#[derive(Debug)]
pub struct WebSocket<R> {
    now: Instant,
    life: Lifecycle<Ending>,
    keepalive: Keepalive,
    /// Since when the transport takes nothing of what waits.
    stalled_since: Option<Instant>,
    rx: Rx,
    tx: Tx<R>,
    owed: Owed,
    write_timeout_ms: u32,
    /// How many pings were sent, for their tokens.
    pings: u32,
    /// The peer's Close frame has come.
    close_received: bool,
    /// The peer broke a rule: nothing more of it is looked at.
    failed: bool,
    /// The peer ended its stream.
    eof: bool,
    aborted: bool,
    /// The owner was told of the end.
    closed_told: bool,
    /// This side has ended, and still hears what comes before the peer's Close frame.
    hears: bool,
}

impl<R: Role> WebSocket<R> {
    /// A connection whose opening handshake has just ended.
    #[must_use]
    pub fn new(now: Instant, role: R, carries: Carries, config: &Config) -> Self {
        let mut life = Lifecycle::new(now, Duration::ZERO, config.close_timeout);
        life.opened();
        Self {
            now,
            life,
            keepalive: Keepalive::new(now, config.ping_interval, config.ping_interval),
            stalled_since: None,
            rx: Rx::new(carries, config),
            tx: Tx::new(role),
            owed: Owed::Nothing,
            write_timeout_ms: u32::try_from(config.write_timeout.as_millis()).unwrap_or(u32::MAX),
            pings: 0,
            close_received: false,
            failed: false,
            eof: false,
            aborted: false,
            closed_told: false,
            hears: false,
        }
    }

    /// Time only goes forward.
    #[inline]
    fn tick(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
        }
    }

    /// Whether messages may be sent: neither side has begun to close.
    #[inline]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.life.reason().is_none()
    }

    /// The smoothed round trip of the pings, in microseconds' precision; `None` before the first answer.
    #[must_use]
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        self.keepalive.smoothed_rtt()
    }

    /// Sends a ping soon, whatever the interval: [`Event::RoundTrip`] tells of its answer.
    pub fn ping(&mut self) {
        self.keepalive.request_ping();
    }
}
