//! Bowline on threads: no executor, calls that block.
//!
//! Each connection has a thread that runs the same engine as on every runtime, and waits in
//! `poll(2)` for its socket, its deadline, and for other threads that have something for it. The
//! methods of [`Client`] and [`Server`] block until they are done.
//!
//! ```
//! use bowline_blocking::{Client, Server};
//! use std::time::Duration;
//!
//! let server = Server::builder()
//!     .listen("127.0.0.1:0")
//!     .serve("double/{n}", |call| call.param("n").and_then(|n| n.parse().ok()).map_or(0, |n: u32| 2 * n).to_string())
//!     .start()?;
//! let client = Client::connect(&server.addresses()[0].to_string())?;
//! assert_eq!(client.request("double/21", "")?, "42");
//!
//! let mut doors = client.subscribe("home/+")?;
//! client.publish("home/door", "open")?;
//! let message = doors.next_timeout(Duration::from_secs(5)).expect("it comes at once");
//! assert_eq!(message.payload(), b"open");
//! server.drain(Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(unix)]

mod client;
mod runtime;
mod server;
mod thread;
#[cfg(feature = "udp")]
mod udp;

pub use bowline_driver::client::{
    Builder as ClientBuilder, ClientConfig, ClientEvent, Credentials, Error, JoinOptions, Message, Presence,
    PresenceMode, Publish, PublishId, Reason, Request, Response, RoomEvent, RoomMessage, RoomPlace,
    RoomPublish, SubscribeOptions,
};
pub use bowline_driver::handler;
pub use bowline_driver::server::{ServerConfig, ServerEvent, StartError};
#[cfg(feature = "tls")]
pub use bowline_tls as tls;
pub use client::{Client, Events, Responses, Room, Subscription, Tunnel};
pub use runtime::{Incoming, Stream, Threads};
pub use server::{Builder, Server};
pub use thread::{ThreadTimer, block_on};
