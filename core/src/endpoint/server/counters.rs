//! What a server counts, for metrics.

use super::Server;
use super::event::Dialect;
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

impl Server {
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
            dialects,
        }
    }
}
