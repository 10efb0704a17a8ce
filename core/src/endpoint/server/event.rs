//! What a server tells of itself, for logs.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::{ConnectionKey, Peer, Refused, Traced, TunnelKey, TunnelRefusal};
use crate::access::Action;
use crate::plugin::Report;
use crate::session::{By, Code, SessionId};
use crate::trace::TraceContext;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Our own protocol.
    Bowline,
    /// MQTT 3.1.1.
    Mqtt311,
    /// MQTT 5.0.
    Mqtt5,
    /// PRX1, the wire format of protox.
    Prx1,
    /// Typed JSON.
    Json,
    /// HTTP, as long as nothing else was asked for.
    Http,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 6] =
        [Dialect::Bowline, Dialect::Mqtt311, Dialect::Mqtt5, Dialect::Prx1, Dialect::Json, Dialect::Http];

    /// Its place among [all](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// In short, as it stands in metrics: `bowline`, `mqtt311`, `mqtt5`, `prx1`, `json`, `http`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bowline => "bowline",
            Self::Mqtt311 => "mqtt311",
            Self::Mqtt5 => "mqtt5",
            Self::Prx1 => "prx1",
            Self::Json => "json",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bowline => "Bowline",
            Self::Mqtt311 => "MQTT 3.1.1",
            Self::Mqtt5 => "MQTT 5.0",
            Self::Prx1 => "PRX1",
            Self::Json => "typed JSON",
            Self::Http => "HTTP",
        })
    }
}

/// What a session that outlives its connections is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionName {
    /// By our own protocol: drawn by the server.
    Bowline(SessionId),
    /// By MQTT: the client identifier.
    Mqtt(String),
    /// By PRX1: the user.
    Prx1(String),
    /// By typed JSON: drawn by the server.
    Json(SessionId),
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bowline(id) | Self::Json(id) => id.fmt(f),
            Self::Mqtt(name) | Self::Prx1(name) => f.write_str(name),
        }
    }
}

/// What is worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A connection was not taken.
    Refused {
        /// Whose.
        peer: Peer,
        /// Why.
        reason: Refused,
    },
    /// A session is open.
    Opened {
        /// Over this connection.
        connection: ConnectionKey,
        /// Whose.
        peer: Peer,
        /// What is spoken.
        dialect: Dialect,
        /// Its name, where it outlives the connection.
        session: Option<SessionName>,
        /// Whether it goes on from an earlier connection.
        resumed: bool,
        /// Who it is; empty: anonymous.
        identity: String,
        /// What it calls itself.
        name: String,
    },
    /// A connection's session has ended, or waits for its next connection.
    Closed {
        /// The connection.
        connection: ConnectionKey,
        /// Whose.
        peer: Peer,
        /// What was spoken; nothing if that was not known yet.
        dialect: Option<Dialect>,
        /// The session's name.
        session: Option<SessionName>,
        /// Who ended it.
        by: By,
        /// With which code; in a dialect with codes of its own, the one that comes closest.
        code: Option<Code>,
        /// Why.
        reason: String,
    },
    /// Messages for a session are dropped because its queue is full, as its policy says: told once
    /// until the queue was drained.
    Overflow {
        /// The trace of the first message of those that are dropped, if it has one.
        trace: Option<TraceContext>,
        /// The connection that takes less than it is sent, if one serves the session.
        connection: Option<ConnectionKey>,
        /// The session's name, where it outlives connections.
        session: Option<SessionName>,
    },
    /// The access rules denied a session something: told the first time for each action of a connection;
    /// how often in all is counted ([`Counters::denied`](crate::hub::Counters::denied)). Who may not even
    /// connect is told by [`Closed`](Self::Closed).
    Denied {
        /// The connection, if one serves the session.
        connection: Option<ConnectionKey>,
        /// The session's name, where it outlives connections.
        session: Option<SessionName>,
        /// Who it is; empty: anonymous.
        identity: String,
        /// What it wanted.
        action: Action,
        /// The topic, filter or queue; of a long one its first 256 octets.
        subject: String,
        /// The trace of the message that it wanted to publish, if that has one.
        trace: Option<TraceContext>,
    },
    /// A message that has a trace came, or was handed out: where that is
    /// [wanted](super::TraceConfig::report).
    Traced(Traced),
    /// A plugin tells something.
    Reported {
        /// The plugin's name.
        plugin: String,
        /// What.
        report: Report,
    },
    /// A tunnel is open.
    TunnelOpened {
        /// Which.
        tunnel: TunnelKey,
        /// Whose; empty: anonymous.
        identity: String,
        /// Where to.
        target: String,
        /// How long connecting took.
        took: Duration,
    },
    /// A tunnel was refused.
    TunnelRefused {
        /// Which.
        tunnel: TunnelKey,
        /// Whose; empty: anonymous.
        identity: String,
        /// Where to, in the client's words; of long ones the beginning.
        target: String,
        /// Why.
        why: TunnelRefusal,
        /// What more is known, such as what is wrong with a certificate; may be empty.
        detail: String,
    },
    /// A tunnel that was open has ended.
    TunnelClosed {
        /// Which.
        tunnel: TunnelKey,
        /// Whose; empty: anonymous.
        identity: String,
        /// Where to.
        target: String,
        /// Octets from the client, and to it.
        octets: (u64, u64),
        /// For how long it was there.
        lasted: Duration,
    },
    /// A session that waited for its next connection was given up.
    Expired {
        /// Its name.
        session: SessionName,
    },
}
