//! A world of Bowline in one thread: a real server, real clients and hostile peers on virtual time,
//! with lines between them that are slow, cut, stalled and half open. Everything follows from one
//! seed, so a world that fails can be watched again.
//!
//! ```
//! use bowline_simulator::{Options, run};
//! let first = run(7, &Options { messages: 200, ..Options::default() });
//! let again = run(7, &Options { messages: 200, ..Options::default() });
//! assert_eq!(first.wrong, None);
//! assert_eq!(first.hash, again.hash, "the same world");
//! ```
//!
//! # What must be true
//!
//! While it runs, and when all troubles have ended and everything has come to rest:
//!
//! - **Nothing is lost**: a message at least once that the server accepted reaches every
//!   subscription that was confirmed before and whose session lived, but for what the hub's own
//!   counters say was dropped by policy.
//! - **Nothing comes twice** in a subscription, but from a publisher whose session was lost; a known
//!   de-duplication id goes no further; a shared group gets each message once.
//! - **Order** of each publisher is kept in each subscription.
//! - **Requests** end exactly once, with their own answer; one that was answered in time between
//!   undisturbed peers does not fail.
//! - **Nobody delays others**: between undisturbed clients a message takes a bounded virtual time,
//!   whoever is stalled, slow or hostile; and an undisturbed client keeps its connection.
//! - **Memory** is bounded: the hub's queues, each connection's buffers, each client's outbox.
//! - **Every end has a reason**, is told once, and between two who keep to the protocol is never a
//!   fault of the protocol. Hostile peers are got rid of in bounded time.
//! - **Nothing spins**: who owes output gives it; time goes on.
//! - **All comes to rest** in bounded virtual time, and when everyone has left nothing is left over.
//! - The hub's own tables agree with each other.
//!
//! The lines are streams of octets, or WebSockets, the records of Noise, or TLS on them, or sessions in datagrams that
//! are lost, doubled, delayed, damaged, and sent from another address all at once ([`Over`]): all of that holds over each,
//! but that over datagrams a message may take its time.
//!
//! # Worlds with a broker
//!
//! The same with clients of MQTT, 3.1.1 and 5.0, that keep their sessions, and a server whose store
//! outlives it ([`Kind::Broker`]): it dies between any two steps, its disk is slow, full for a while,
//! and keeps any prefix of the transactions that it was about to write. Then, for all that was
//! acknowledged (SUBACK, PUBACK, PUBCOMP):
//!
//! - **Nothing is lost**: a message with QoS 1 or 2 reaches every session that outlives connections and
//!   whose subscription was acknowledged before it was published; one member of a shared group; a
//!   consumer of its queue; the history of its topic. The session itself is there again.
//! - **With QoS 2 exactly once**, from publisher to subscriber, whichever of them dies.
//! - **Order** of each publisher is kept when its messages come first.
//! - **The last value** of a topic is what its publisher was last told to be accepted, or a later one.
//! - **At rest** nothing is left over: no delivery, no identifier, no message without a use; and a
//!   server that dies then makes no difference.
//!
//! # Worlds with a room
//!
//! Members over our own protocol, by the client of the core, and over typed JSON in a WebSocket, in a
//! room of any policy, and a server with such a store ([`Kind::Rooms`]). Then:
//!
//! - **Nothing acknowledged is lost**: it is in the room's history, as long as that is kept.
//! - **A key makes one of two**: a message is in the room as often as its sender's session was lost, or
//!   the server died, before it was acknowledged; and once more.
//! - **Nobody misses anything unsaid**: offsets follow one another, behind a death and its new epoch
//!   too, but where a member was told that it was not recovered, or how many are missed.
//! - **One place is one message**, whoever looks: numbers that a death took back are of another epoch.
//! - **At rest** everyone is at the newest message, saw what the room keeps, and sees who is there.

mod app;
mod broker;
mod client_side;
pub mod datagrams;
mod finish;
mod hostile;
mod mutant;
mod oracle;
mod pipe;
mod pipes;
mod plan;
mod rng;
mod rooms;
mod serve;
mod trace;
mod trouble;
mod world;

use std::time::Duration;

pub use mutant::Mutant;
pub use pipes::Over;
pub use plan::Scenario;

use broker::Broker;
use rooms::Rooms;
use trace::Words;
use world::World;

/// Whose world it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Clients of our own protocol, and a server that keeps nothing.
    #[default]
    Session,
    /// Clients of MQTT, and a server with a store that outlives it.
    Broker,
    /// Members of a room over our own protocol and typed JSON, and a server with such a store.
    Rooms,
}

impl Kind {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Session => "session",
            Kind::Broker => "broker",
            Kind::Rooms => "rooms",
        }
    }
}

/// What kind of worlds to make.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whose they are.
    pub kind: Kind,
    /// What worlds of sessions are about; nothing: each seed chooses.
    pub scenario: Option<Scenario>,
    /// What the lines of a world of sessions are.
    pub over: Over,
    /// How many messages go in and out before a world comes to its end.
    pub messages: u64,
    /// A fault on purpose.
    pub mutant: Option<Mutant>,
    /// Print what happens.
    pub print: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kind: Kind::Session,
            scenario: None,
            over: Over::Plain,
            messages: 2000,
            mutant: None,
            print: false,
        }
    }
}

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was about.
    pub name: &'static str,
    /// What is wrong; nothing: it is a good world.
    pub wrong: Option<String>,
    /// The same for the same seed and options.
    pub hash: u64,
    /// Messages published and delivered, requests and responses.
    pub messages: u64,
    /// Connections made, sessions resumed, sessions lost; of rooms, how often a member was recovered
    /// and was not.
    pub connections: [u64; 3],
    /// How often the server died and began again from its store.
    pub deaths: u64,
    /// The time that passed in it.
    pub virtual_time: Duration,
    /// The last things that happened, where something is wrong.
    pub lines: Vec<String>,
}

/// Runs the world of a seed.
///
/// A world in which something is wrong is run once more, to tell what happened last.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Outcome {
    let words = if options.print { Words::Print } else { Words::None };
    let outcome = run_once(seed, options, words);
    if outcome.wrong.is_none() || options.print || options.mutant.is_some() {
        return outcome;
    }
    let mut again = run_once(seed, options, Words::Last);
    if again.hash != outcome.hash {
        again.wrong = Some(format!("not the same world when run again; first: {:?}", outcome.wrong));
    }
    again
}

fn run_once(seed: u64, options: &Options, words: Words) -> Outcome {
    match options.kind {
        Kind::Session => run_sessions(seed, options, words),
        Kind::Broker => run_broker(seed, options, words),
        Kind::Rooms => run_rooms(seed, options, words),
    }
}

fn run_broker(seed: u64, options: &Options, words: Words) -> Outcome {
    let mut world = Broker::new(seed, options.messages, options.mutant, words);
    world.run();
    Outcome {
        name: Kind::Broker.name(),
        wrong: world.wrong.take(),
        hash: world.trace.hash(),
        messages: world.messages(),
        connections: [world.tally.connections, world.tally.resumed, world.tally.lost],
        deaths: world.tally.deaths,
        virtual_time: Duration::from_nanos(world.now),
        lines: world.trace.take_lines(),
    }
}

fn run_rooms(seed: u64, options: &Options, words: Words) -> Outcome {
    let mut world = Rooms::new(seed, options.messages, options.mutant, words);
    world.run();
    Outcome {
        name: Kind::Rooms.name(),
        wrong: world.wrong.take(),
        hash: world.trace.hash(),
        messages: world.messages(),
        connections: [world.tally.connections, world.tally.recovered, world.tally.lost],
        deaths: world.tally.deaths,
        virtual_time: Duration::from_nanos(world.now),
        lines: world.trace.take_lines(),
    }
}

fn run_sessions(seed: u64, options: &Options, words: Words) -> Outcome {
    let mut world = World::new(seed, options.scenario, options.messages, options.over, words);
    world.mutant = options.mutant;
    world.run();
    Outcome {
        name: world.plan.scenario.name(),
        wrong: world.wrong.take(),
        hash: world.trace.hash(),
        messages: world.messages(),
        connections: [world.tally.connections, world.tally.resumed, world.tally.lost],
        deaths: 0,
        virtual_time: Duration::from_nanos(world.now),
        lines: world.trace.take_lines(),
    }
}
