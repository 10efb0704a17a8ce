//! PRX1, the wire format of protox: small packets in the manner of MQTT, with queues.
//!
//! The rules are in `conformance/PRX1.md`; a comment like "PRX-12" names one.
//!
//! - [`Packet`] reads and writes any packet.
//! - [`Server`] is one connection of a server, [`Client`] one of a client: state machines that own
//!   no memory. Their methods are of four sorts, and any may be called in any state, in any order:
//!   **in** (`recv`, `handle_timeout`, `handle_written`, `handle_eof`), **calls**, which put a whole
//!   packet into a [`SendBuf`](crate::buf::SendBuf) or say why not and change nothing, **out**
//!   (`poll_transmit`, `poll_timeout`) and **getters**. After octets, time or a call: `recv` until it
//!   returns nothing, then `poll_transmit`, then write what is in the buffer, then sleep until
//!   `poll_timeout`, readable or writable. Time never goes back: an earlier `now` than before counts
//!   as the same instant.
//! - [`Filter`] is a filter with `*`, and the same as the hub writes it.
//!
//! # Queues
//!
//! What QUEUE does to the hub's queues, once a connection is open:
//!
//! | it says | the hub | answer |
//! |---|---|---|
//! | initialize | declares the queue `address`; remembers its return path and mark | QUEUEACK ok, or error where it may not |
//! | a message | offers it to the queue: of `address`, or where there are no options, the one that this connection named last | ok once the queue has it, else error |
//! | drain | hands out what waits, in order, each as PUBLISH QoS 1 to the return path (or the address, where there is none), and keeps it until its PUBACK | ok at once; error where there is no such queue |
//! | destroy | removes the queue and what is in it | ok, or error where there is none |
//!
//! An initialize with a message does both, and is answered once. What was handed out and not
//! acknowledged when the connection ends is handed out again, in its old place. QUEUEACK says neither
//! id nor address: answers come in the order of the orders.
//!
//! ```
//! use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
//! use bowline_core::prx1::{Answer, Client, ClientEvent, Config, Connect, Message, Server, ServerEvent};
//! use bowline_core::time::Instant;
//!
//! let (now, config) = (Instant::ZERO, Config::default());
//! let (mut a, mut b) = ([0; 1024], [0; 1024]);
//! let (mut to_server, mut to_client) = (SliceSendBuf::new(&mut a), SliceSendBuf::new(&mut b));
//!
//! let connect = Connect { user: Some("ada"), password: Some(b"pw"), ..Connect::default() };
//! let mut client = Client::connect(now, &config, &connect, &mut [], &mut to_server)?;
//! let mut server = Server::accept(now, &config);
//!
//! // What the client wrote reaches the server.
//! let mut memory = [0; 1024];
//! let mut received = SliceRecvBuf::new(&mut memory);
//! received.push(to_server.pending());
//! let Some(ServerEvent::Connect(c)) = server.recv(now, &mut received) else { unreachable!() };
//! assert_eq!((c.user, c.password), (Some("ada"), Some(&b"pw"[..])));
//! server.connack(now, &mut to_client, Answer::Accepted { session: None })?;
//!
//! // And back.
//! let mut memory = [0; 1024];
//! let mut received = SliceRecvBuf::new(&mut memory);
//! received.push(to_client.pending());
//! assert!(matches!(client.recv(now, &mut received), Some(ClientEvent::Connected(_))));
//! client.publish(now, &mut to_server, &Message::new("demo/hello", b"hi"))?;
//! # Ok::<(), bowline_core::prx1::SendError>(())
//! ```

mod client;
mod codec;
mod event;
mod fault;
mod link;
mod packet;
mod server;
mod topic;
mod wire;

#[cfg(test)]
mod tests;

use core::time::Duration;

pub use client::{Client, Message, Slot};
pub use codec::SendError;
pub use event::{ClientEvent, End, ServerEvent};
pub use fault::Fault;
pub use link::CLOSE_WAIT;
pub use packet::{
    ConnAck, Connect, ConnectResult, Kind, PROTOCOL, Packet, PacketId, Publish, Queue, QueueAction,
    QueueOptions, QueueStatus, STRING_MAX, Subscribe,
};
pub use server::{Answer, Server};
pub use topic::{Filter, TopicError, validate_topic};

pub use crate::lifecycle::Transport;

/// Where PRX1 servers listen.
pub const PORT: u16 = 52_909;

/// The largest body of any packet, in octets: a QUEUE with every field as long as it can be.
pub const MAX_BODY: u32 = Kind::Queue.max_body();

/// The largest body before the connection is open, in octets: room for a token as password, and
/// little for a stranger to waste.
pub const HANDSHAKE_MAX: u32 = 65_536;

/// The settings of a connection.
///
/// ```
/// use bowline_core::prx1::{Config, Success};
/// // For clients built from the published source.
/// let config = Config { success: Success::Published, ..Config::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest body that is taken, in octets; at most [`MAX_BODY`], which is the default.
    pub max_packet: u32,
    /// How long CONNECT may take to come, and for a client its answer; 1 s.
    pub handshake_deadline: Duration,
    /// For how long the peer may take no octet of what waits for it; 10 s.
    pub write_timeout: Duration,
    /// What a server answers on success.
    pub success: Success,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_packet: MAX_BODY,
            handshake_deadline: Duration::from_secs(1),
            write_timeout: Duration::from_secs(10),
            success: Success::Documented,
        }
    }
}

/// Which result says success (PRX-13). Clients here take both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Success {
    /// 0, as the protocol's document has it.
    #[default]
    Documented,
    /// 2, as its published source has it, whose client takes nothing else.
    Published,
}

impl Success {
    /// The result on the wire.
    #[must_use]
    pub const fn result(self) -> ConnectResult {
        match self {
            Success::Documented => ConnectResult::None,
            Success::Published => ConnectResult::Ok,
        }
    }
}
