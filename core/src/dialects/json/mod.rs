//! Typed JSON: what pages speak, one JSON object a message (`conformance/JSON.md`).
//!
//! - [`Envelope::decode`] takes a message of a client apart, strictly, and [`Command::parse`] says
//!   what it asks for. A payload is never built up: it is handed on as the text that it is.
//! - [`Event`] is what the payload of a room's message is in every dialect, [`server`] what a server
//!   says.
//!
//! ```
//! use bowline_core::json::{Command, Envelope};
//! let text = r#"{"type": "chat.message", "room": "lobby", "id": "1", "payload": {"text": "hi", "n": 1.0}}"#;
//! let envelope = Envelope::decode(text)?;
//! let Command::Send(send) = Command::parse(&envelope)? else { panic!() };
//! assert_eq!((send.room.as_ref(), send.payload), ("lobby", r#"{"text": "hi", "n": 1.0}"#));
//!
//! let fault = Envelope::decode(r#"{"type": "chat.message", "room": 7}"#).unwrap_err();
//! assert_eq!(fault.to_string(), "at octet 33: 'room' must be a string");
//! # Ok::<(), bowline_core::json::Fault>(())
//! ```

mod code;
mod command;
mod date;
mod envelope;
mod event;
mod fault;
mod object;
pub mod server;
#[cfg(test)]
mod tests;
mod trace;
mod write;

pub use code::ErrorCode;
pub use command::{Auth, Command, Content, Credentials, Mark, Presence, Resume, Send, Since};
pub use date::Timestamp;
pub use envelope::{Batch, Envelope, Kind};
pub use event::{CONTENT_TYPE, Event, OWN_PREFIX};
pub use fault::Fault;
pub use trace::Trace;
pub use write::{Array, Object};

/// Arrays and objects within each other at most, the envelope counted (JSN-2).
pub const MAX_DEPTH: usize = 64;

/// Octets at most of a `type`, of an `id` and of a `key`.
pub const MAX_NAME: usize = 128;

/// The subprotocol of WebSocket.
pub const SUBPROTOCOL: &str = "bowline.json.v1";

/// The topics that the messages of rooms have begin with this.
pub const ROOM_PREFIX: &str = "$room/";

/// The topics that messages of the application without a room have begin with this (JSN-5).
pub const TYPE_PREFIX: &str = "$type/";
