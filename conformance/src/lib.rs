//! The conformance vectors of the protocols that Bowline speaks, and the runners that try them.
//!
//! `SPEC.md` says what the protocol is; a [`vector`] tells a story that an implementation must live
//! through as told, and names the rules that it checks. The [`runner`] tells it to anything that is
//! an [`Implementation`](runner::Implementation): the connection machines of `bowline-core`, each for
//! the vectors of its [`dialect`] ([`whitebox`]), its whole server ([`service`]), or any command that speaks JSON over standard input and output ([`shim`]). The
//! [`socket`] runner tries what the wire shows on any server, over any [`carrier`]. [`mutate`] tries the vectors
//! themselves: changed ones must fail.
//!
//! ```
//! use bowline_conformance::{runner, vector, whitebox::WhiteBox};
//! let vectors = vector::builtin()?;
//! let ping = vectors.iter().find(|v| v.name == "keepalive/ping-is-answered").unwrap();
//! let outcome = runner::run(ping, &mut WhiteBox::default(), runner::Cut::Octets);
//! assert_eq!(outcome, runner::Outcome::Pass);
//! # Ok::<(), vector::LoadError>(())
//! ```

pub mod call;
pub mod carrier;
pub mod dialect;
pub mod differences;
pub mod mqtt;
pub mod mutate;
pub mod pattern;
pub mod runner;
pub mod service;
pub mod shim;
pub mod socket;
pub mod target;
pub mod vector;
pub mod web;
pub mod whitebox;
mod wire;
