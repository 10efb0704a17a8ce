//! The bodies of the targets.

mod framers;
mod pair;
mod session;

pub use framers::framers;
pub use pair::session_pair;
pub use session::{session_client, session_server};
