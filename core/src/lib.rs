//! Sessions, framing and a messaging hub as pure state machines.
//!
//! Nothing here reads a clock, a socket, an environment or a random number: time and randomness
//! are passed in, bytes are read from and written to buffers that the caller owns. The same code
//! runs in a firmware without an allocator, in an event loop of your own, on every runtime that
//! has an adapter, and in a simulator on virtual time.
//!
//! # Floors
//!
//! Each uses only those below it:
//!
//! | floor | modules |
//! |---|---|
//! | endpoints | [`endpoint`] (feature `alloc`): a server with its hub, clients that stay connected |
//! | hub | [`hub`] (feature `alloc`), with [`plugin`]: what is added to one |
//! | access | [`access`]: who may do what; [`relay`] (feature `alloc`): where tunnels may lead |
//! | stack | [`stack`]: which of the dialects a connection begins with |
//! | dialects | [`session`], our own protocol; [`mqtt`] 3.1.1 and 5.0; [`prx1`]; [`json`] (feature `alloc`) |
//! | layers | [`http`] 1.1, [`websocket`], the [`proxy`] protocol, [`datagram`] sessions (feature `alloc`), `secure` (feature `noise`), [`serial`] lines: what lies between a transport and a dialect |
//! | parts | [`frame`], [`varint`], [`topic`], [`status`], [`replay`], [`retain`], [`keepalive`], [`flow`], [`lifecycle`], [`backoff`], [`scram`], [`compression`] |
//! | ground | [`time`], [`buf`], [`entropy`], [`error`] |
//!
//! # Features
//!
//! `alloc` adds growing and shared buffers and all that needs them; `std` adds nothing but what
//! dependencies do with it; `deflate` adds WebSocket's permessage-deflate, `zstd` messages compressed by
//! Zstandard, which both need `std`, and `lz4` those by LZ4; `noise` adds the secure mode of our own protocol,
//! which needs `alloc`, and is several times as fast with `std`. Features only ever add.

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
mod dialects;
#[cfg(feature = "alloc")]
pub mod endpoint;
mod ground;
#[cfg(feature = "alloc")]
pub mod hub;
mod layers;
mod parts;
#[cfg(feature = "alloc")]
pub mod plugin;
#[cfg(feature = "alloc")]
pub mod relay;
pub mod stack;

#[cfg(feature = "alloc")]
pub use dialects::json;
pub use dialects::{mqtt, prx1, session};
pub use ground::{buf, entropy, error, time};
#[cfg(feature = "alloc")]
pub use layers::datagram;
#[cfg(feature = "noise")]
pub use layers::secure;
pub use layers::{http, proxy, serial, websocket};
pub(crate) use parts::calendar;
pub use parts::{
    backoff, compression, flow, frame, histogram, keepalive, lifecycle, replay, retain, scram, status, topic,
    trace, varint,
};
