//! Where a relay may connect to: targets as clients name them, and the list of those that are allowed.
//!
//! A relay without such a list relays nothing. What is allowed is decided twice: the text that the
//! client gave is checked before a name is resolved, and each address that the name turned out to
//! have is checked before it is connected to. So who owns a name that is allowed cannot lead the relay
//! into the networks that it stands in (DNS rebinding).

mod allow;
mod networks;
mod target;

pub use allow::{Allowed, BadPattern, TargetPattern};
pub use networks::is_public;
pub use target::{BadTarget, Host, Over, Target};
