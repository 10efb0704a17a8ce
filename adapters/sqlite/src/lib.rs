//! Keeps what outlives a Bowline server in a SQLite database: retained messages, sessions with their
//! subscriptions and what is on its way to them, queues and histories.
//!
//! A store is a directory with the database `bowline.db` in it, which the `sqlite3` shell opens, also
//! while a server runs: see [`schema`] for its tables. It does what a hub's
//! [`Operation`](bowline_core::hub::Operation)s say, a batch in one transaction that is on the disk when
//! [`Store::apply`] returns.
//!
//! ```
//! use bowline_core::hub::{Message, Operation};
//! use bowline_core::time::Instant;
//! use bowline_driver::store::Calendar;
//! use bowline_sqlite::{Options, Store};
//!
//! let directory = tempfile::tempdir().unwrap();
//! let calendar = Calendar { now: Instant::from_millis(1), unix_ms: 1_700_000_000_000 };
//! let batch = [
//!     Operation::MessageAdded { message: 1, content: Message::new("home/door", b"open").unwrap() },
//!     Operation::Retained { message: 1, topic: "home/door".into() },
//! ];
//!
//! let mut store = Store::open(directory.path(), &Options::default())?;
//! store.apply(calendar, &batch)?;
//! drop(store);
//!
//! let mut store = Store::open(directory.path(), &Options::default())?;
//! let mut held = Vec::new();
//! store.load(calendar, |operation| held.push(operation))?;
//! assert_eq!(held, batch);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
pub mod coalesce;
mod columns;
mod error;
mod load;
mod lock;
pub mod portable;
pub mod schema;
mod store;
mod write;

pub use check::{Finding, Stats};
pub use error::{OpenError, StoreError};
pub use store::{DATABASE, Options, Store};
