//! What a server counts, for metrics.

use core::time::Duration;

use super::event::Dialect;
use super::{CompressionCounters, Server, TraceCounters, TunnelCounters};
use crate::histogram::{Sizes, TIMES, Times};
use crate::hub::Counters;

/// Counts since the server began, and what is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Of the hub.
    pub hub: Counters,
    /// Sessions of the hub that are the program's own.
    pub own_sessions: u64,
    /// Connections there are.
    pub connections: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Sessions opened or resumed over them.
    pub sessions_opened: u64,
    /// Sessions that no client came back to.
    pub sessions_expired: u64,
    /// Octets taken from transports.
    pub bytes_in: u64,
    /// Octets given to transports.
    pub bytes_out: u64,
    /// Packets and frames that were handled.
    pub packets_in: u64,
    /// Packets and frames that were sent.
    pub packets_out: u64,
    /// Operations that the store was given.
    pub store_issued: u64,
    /// Operations that it has committed.
    pub store_committed: u64,
    /// How often it did not commit what it was given.
    pub store_failures: u64,
    /// How long its commits took, as the adapter measured them.
    pub store_commits: Times,
    /// How long messages that had to be stored waited until they could be acknowledged.
    pub acknowledgements: Times,
    /// The sizes of published messages.
    pub message_sizes: Sizes,
    /// Round trips of this server's own pings, by what pinged.
    pub round_trips: [(Pinger, Times); Pinger::ALL.len()],
    /// Messages that had to do with traces, where anything is done about those.
    pub traces: TraceCounters,
    /// Payloads that came compressed.
    pub compression: CompressionCounters,
    /// Of tunnels.
    pub tunnels: TunnelCounters,
    /// By what is spoken.
    pub dialects: [DialectCounters; Dialect::ALL.len()],
}

/// What one dialect has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialectCounters {
    /// Which.
    pub dialect: Dialect,
    /// Connections there are on which it is spoken, over whatever layer.
    pub connections: u64,
    /// Those among them over WebSockets.
    pub over_websocket: u64,
    /// Messages published by its clients.
    pub messages_in: u64,
    /// Messages handed out to its clients.
    pub messages_out: u64,
}

/// What has pings that the server sends by itself. MQTT and PRX1 have their clients ping, typed JSON leaves it
/// to WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pinger {
    /// Our own protocol, where a client asked to hear of the server so often.
    Bowline,
    /// WebSocket, whatever it carries.
    WebSocket,
}

impl Pinger {
    /// All of them.
    pub const ALL: [Pinger; 2] = [Pinger::Bowline, Pinger::WebSocket];

    /// In short, as it stands in metrics: `bowline`, `websocket`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bowline => "bowline",
            Self::WebSocket => "websocket",
        }
    }
}

/// How long things took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    commits: Times,
    failures: u64,
    round_trips: [Times; Pinger::ALL.len()],
}

impl Default for Timings {
    fn default() -> Self {
        let none = Times::new(TIMES);
        Self { commits: none, failures: 0, round_trips: [none; Pinger::ALL.len()] }
    }
}

impl Timings {
    /// A ping of this server came back.
    pub(super) fn round_trip(&mut self, of: Pinger, took: Duration) {
        self.round_trips[of as usize].record_duration(took);
    }
}

impl Server {
    /// The store has carried out a batch of operations, and that took so long: for metrics.
    pub fn record_commit(&mut self, took: Duration) {
        self.timings.commits.record_duration(took);
    }

    /// The store did not carry out what it was given: for metrics.
    pub fn record_store_failure(&mut self) {
        self.timings.failures += 1;
    }

    /// What is counted. It looks at each connection once.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        let traffic = &self.traffic;
        let mut dialects = Dialect::ALL.map(|dialect| {
            let (messages_in, messages_out) = traffic.messages[dialect.index()];
            DialectCounters { dialect, connections: 0, over_websocket: 0, messages_in, messages_out }
        });
        for connection in self.connections.iter() {
            let Some((dialect, over_websocket)) = connection.dialect() else { continue };
            let counters = &mut dialects[dialect.index()];
            counters.connections += 1;
            counters.over_websocket += u64::from(over_websocket);
        }
        ServerCounters {
            hub: self.hub.counters(),
            own_sessions: self.locals.len() as u64,
            connections: self.connections.len() as u64,
            connections_accepted: traffic.sockets,
            sessions_opened: traffic.connections,
            sessions_expired: traffic.expired,
            bytes_in: traffic.octets_received,
            bytes_out: traffic.octets_sent,
            packets_in: traffic.packets_received,
            packets_out: traffic.packets_sent,
            store_issued: self.hub.issued(),
            store_committed: self.hub.commits(),
            store_failures: self.timings.failures,
            store_commits: self.timings.commits,
            acknowledgements: *self.hub.acknowledgement_times(),
            message_sizes: *self.hub.message_sizes(),
            round_trips: Pinger::ALL.map(|of| (of, self.timings.round_trips[of as usize])),
            traces: self.tracing.as_ref().map_or(TraceCounters::default(), |tracing| tracing.counters()),
            compression: self.inflating.counters,
            tunnels: self.relay.counters(),
            dialects,
        }
    }
}
