//! Plugins: what an operator or a program adds to a hub without changing it.
//!
//! A [`Plugin`] is asked at fixed points and answers by values: it lets pass, drops, refuses or changes a
//! message, lets a client in or not, and leaves in its [`Context`] what else is to be done. It does no I/O
//! and reads no clock; so it is deterministic, and a simulator runs it as it runs the hub.
//!
//! # What it is asked
//!
//! It says up front what it wants to be asked ([`Plugin::interest`]); for all else it costs nothing: a chain
//! of which no plugin wants to see messages costs a message one branch.
//!
//! | call | when | what it can say |
//! |---|---|---|
//! | [`accept`](Plugin::accept) | a transport was accepted, nothing was read | yes, no |
//! | [`connect`](Plugin::connect) | a client has proved who it is, and the access rules let it in | tags; yes, no |
//! | [`opened`](Plugin::opened), [`closed`](Plugin::closed) | its session is open; its connection has ended | |
//! | [`denied`](Plugin::denied) | the access rules or a plugin denied a session something | |
//! | [`asked`](Plugin::asked) | it wants to subscribe, serve, join a room | yes, no |
//! | [`message_in`](Plugin::message_in) | it publishes or requests | a [`Verdict`] |
//! | [`message_out`](Plugin::message_out) | a message is handed out to it | a [`Verdict`] |
//! | [`handle_timeout`](Plugin::handle_timeout) | the time has come that it named | |
//!
//! # Order
//!
//! Plugins are a chain, asked in the order in which they were added; each sees what those before it made of
//! a message. The first that refuses or drops ends the matter. Access rules are asked before plugins, about
//! what the client itself said: what a plugin changes is the operator's own word and is not asked about
//! again. The last word is the hub's: limits of retained messages, rooms and stores hold for what plugins
//! let through. A plugin that changes a topic cannot lead it into or out of those that begin with `$`
//! (rooms, queues, what the server says of itself): that is refused as `Invalid`.
//!
//! The sessions of the program itself, and what the server or a plugin publishes, are nobody's to judge on
//! the way in; on the way out to a client they are messages like all others.
//!
//! # Delivery
//!
//! - A message that is known by its de-duplication id, its key or MQTT's identifier was judged when it came
//!   first, and is not judged again. One that is *refused* is not remembered: it may come again. One that is
//!   *dropped* was taken, as far as its publisher knows, and is remembered as such.
//! - Who publishes learns of a refusal as of any other: by RESULT in our own protocol, `$error` in typed JSON, the
//!   reason of PUBACK or PUBREC in MQTT 5.0 (0x97, 0x99, 0x87, 0x83). MQTT 3.1.1 and PRX1 have no word for it:
//!   the message is acknowledged, and gone.
//! - On the way out a message is judged when it is handed out. What was dropped there is settled, so nothing
//!   waits for it. What a peer was handed before, over another connection, comes again though a plugin would
//!   drop it now: its number stands. Responses are not judged.
//! - What is stored is what plugins made of a message on the way in.
//!
//! # While it runs
//!
//! Plugins are added, removed, and switched on and off between two calls of the hub, so each message is judged
//! on the way in by one chain as a whole, and on the way out by the chain at that time. No connection is touched.
//!
//! A plugin that panics is a bug of the program, as anywhere else. What it leaves in its context is bounded:
//! [`Context::MAX_EFFECTS`] in one call; what is beyond is dropped and counted ([`PluginInfo::overruns`]).
//!
//! ```
//! use bowline_core::hub::{Hub, HubOptions, Message, SessionOptions};
//! use bowline_core::plugin::{Client, Context, Interest, Plugin, Placement, Rejection, Verdict};
//! use bowline_core::time::Instant;
//!
//! /// Nobody shouts.
//! struct Quiet;
//! impl Plugin for Quiet {
//!     fn interest(&self) -> Interest {
//!         Interest::MESSAGE_IN
//!     }
//!     fn message_in(&mut self, _: &mut Context<'_>, _: &Client<'_>, message: &Message) -> Verdict {
//!         match message.payload().ends_with(b"!") {
//!             true => Verdict::Refuse(Rejection::forbidden("do not shout")),
//!             false => Verdict::Pass,
//!         }
//!     }
//! }
//!
//! let now = Instant::from_millis(1);
//! let mut hub = Hub::new(HubOptions::default(), 42);
//! hub.add_plugin(now, "quiet", Box::new(Quiet), Placement::default()).unwrap();
//! let alice = hub.attach(now, &SessionOptions::default()).unwrap();
//! assert!(hub.publish(now, alice, Message::new("talk", b"hello").unwrap(), None).is_ok());
//! assert!(hub.publish(now, alice, Message::new("talk", b"HELLO!").unwrap(), None).is_err());
//! hub.enable_plugin(now, "quiet", false).unwrap();
//! assert!(hub.publish(now, alice, Message::new("talk", b"HELLO!").unwrap(), None).is_ok());
//! ```

mod audit;
mod boxed;
mod chain;
mod client;
mod context;
mod heartbeat;
mod intercept;
mod monitor;
mod overload;
mod rate_limit;
mod tagging;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use audit::stranger;
pub use audit::{Audit, Audited};
pub use chain::{BadPlugin, Placement, PluginInfo};
pub(crate) use chain::{Chain, Judged};
pub use client::{BadTag, Client, Scope, Tags};
pub(crate) use context::Effect;
pub use context::{Alert, Context, Record, Report};
pub use heartbeat::Heartbeat;
pub use intercept::{Change, Direction, Intercept, InterceptRule, Then};
pub use monitor::{Metric, Monitor, Threshold};
pub use overload::{Limit, Overload, OverloadConfig};
pub use rate_limit::{Excess, Limits, Per, RateLimit, RateRule};
pub use tagging::{TagRule, Tagging};
pub use verdict::{Ask, Interest, Rejection, Verdict};

use crate::hub::{Counters, Message};
use crate::time::Instant;

/// Something that is asked by the hub and its server, and answers by values. All has a default: it wants
/// nothing, lets everything pass and does nothing. See the [module](self).
pub trait Plugin: Send {
    /// What it wants to be asked; it is asked nothing else. Where that changes, it says so by
    /// [`Context::interest_changed`].
    fn interest(&self) -> Interest;

    /// Whether a connection is taken of which nothing is known but where it comes from.
    ///
    /// # Errors
    ///
    /// It is not: it is closed at once, and nothing is said to the peer.
    fn accept(&mut self, cx: &mut Context<'_>, client: &Client<'_>) -> Result<(), Rejection> {
        let _ = (cx, client);
        Ok(())
    }

    /// Whether a client may begin a session, or go on with one; and what it is tagged with until the
    /// connection ends. It goes on with one where the client has a [session](Client::session) already. The tags of
    /// plugins before are in `tags` already.
    ///
    /// # Errors
    ///
    /// It may not, and is told so.
    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        client: &Client<'_>,
        tags: &mut Tags,
    ) -> Result<(), Rejection> {
        let _ = (cx, client, tags);
        Ok(())
    }

    /// A session is open, new or `resumed`.
    fn opened(&mut self, cx: &mut Context<'_>, client: &Client<'_>, resumed: bool) {
        let _ = (cx, client, resumed);
    }

    /// A connection has ended, for this reason; also one of a client that was not let in. The session may
    /// wait for the next.
    fn closed(&mut self, cx: &mut Context<'_>, client: &Client<'_>, reason: &str) {
        let _ = (cx, client, reason);
    }

    /// A session was denied something by the access rules, or by a plugin, for this reason.
    fn denied(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>, reason: &str) {
        let _ = (cx, client, ask, reason);
    }

    /// Whether a session may subscribe, serve or join what the access rules allow it.
    ///
    /// # Errors
    ///
    /// It may not, and is told so.
    fn asked(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>) -> Result<(), Rejection> {
        let _ = (cx, client, ask);
        Ok(())
    }

    /// What becomes of a message that a session publishes, or requests by.
    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        let _ = (cx, client, message);
        Verdict::Pass
    }

    /// What becomes of a message for this receiver. It is asked again for one that the connection had no
    /// room for; so it can change nothing of itself. To refuse is to drop. A message that it does not change stays
    /// encoded once for all its receivers.
    fn message_out(&self, now: Instant, client: &Client<'_>, message: &Message) -> Verdict {
        let _ = (now, client, message);
        Verdict::Pass
    }

    /// When it wants to be called; not before the last call with [`Interest::TIMER`]. O(1).
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// That time has come; `counters` are the hub's, now. One that still wants to be called at once is
    /// called again with the hub's next turn.
    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        let _ = (cx, counters);
    }
}
