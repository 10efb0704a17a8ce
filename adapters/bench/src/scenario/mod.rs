//! What can be measured.

mod crowd;
mod harm;
mod messages;
mod poll;

use std::net::SocketAddrV4;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::Failure;
use crate::stats::Figures;
use crate::tls::Trust;
use crate::wire::{Bowline, FloodKind, Nats, Raw, Wire};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Bowline's own protocol: a hub, or for `echo` a server that sends each message back
    Bowline,
    /// The NATS text protocol
    Nats,
    /// Frames of four octets of length and a payload, sent back
    Raw,
}

/// A server to measure.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddrV4,
    /// In TLS, and whom to trust.
    pub(crate) trust: Option<Trust>,
    pub(crate) pid: Option<u32>,
}

/// What all scenarios have in common.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Common {
    /// How long is measured
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, global = true)]
    pub(crate) duration: Duration,
    /// How long it runs before that
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration, global = true)]
    pub(crate) warmup: Duration,
    /// Octets of payload, at least 20
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=8_388_608), global = true)]
    pub(crate) payload: u32,
    /// At least once, where the protocol has it
    #[arg(long, global = true)]
    pub(crate) reliable: bool,
    /// Sleep while there is nothing to do, instead of spinning
    #[arg(long, global = true)]
    pub(crate) sleep: bool,
}

/// Messages of a publisher that are not delivered to all subscribers yet.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Backlog {
    /// Messages of a publisher that are not delivered to all yet, at most
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) backlog: u32,
}

/// One thing to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Few publishers, many subscribers that hear all of them
    Fanout {
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
        #[command(flatten)]
        backlog: Backlog,
    },
    /// Each publisher to a subscriber of its own
    Pairs {
        #[arg(long, default_value_t = 50)]
        pairs: usize,
        #[command(flatten)]
        backlog: Backlog,
    },
    /// Many publishers, few subscribers that hear all of them
    Fanin {
        #[arg(long, default_value_t = 50)]
        publishers: usize,
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
        #[command(flatten)]
        backlog: Backlog,
    },
    /// One message under way: the time of one trip through the server
    Pingpong {
        #[arg(long, default_value_t = 1)]
        pairs: usize,
    },
    /// A server that sends back what it gets
    Echo {
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Messages under way on each connection
        #[arg(long, default_value_t = 32)]
        depth: u32,
    },
    /// Sessions that do nothing: how fast they come, what memory they take
    Idle {
        #[arg(long, default_value_t = 10_000)]
        sessions: usize,
        /// Each has a subscription
        #[arg(long)]
        subscribe: bool,
        /// Sessions that are opened at the same time
        #[arg(long, default_value_t = 128)]
        storm: usize,
    },
    /// Fan-out with one subscriber that never reads
    Stall {
        #[arg(long, default_value_t = 50)]
        subscribers: usize,
        #[command(flatten)]
        backlog: Backlog,
    },
    /// Clients that wait by HTTP for what one publishes: how soon they have it, what memory they take
    Poll {
        #[arg(long, default_value_t = 1000)]
        clients: usize,
        /// On streams of server-sent events, instead of in long polls
        #[arg(long)]
        events: bool,
    },
    /// Connections that send one octet a second, beside a healthy client
    Slowloris {
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// How long they are watched
        #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
        watch: Duration,
    },
    /// Connections that flood the server, beside a healthy client
    Flood {
        #[arg(long, value_enum, default_value_t = FloodKind::Ping)]
        kind: FloodKind,
        #[arg(long, default_value_t = 50)]
        connections: usize,
        /// How much they send together, in MiB a second
        #[arg(long, default_value_t = 16)]
        rate_mib: u32,
    },
}

impl Scenario {
    /// Whether it needs a server that sends everything back.
    pub(crate) fn wants_echo(&self) -> bool {
        matches!(self, Scenario::Echo { .. })
    }

    /// A line that says what is measured.
    pub(crate) fn title(&self, common: &Common) -> String {
        let payload = common.payload;
        let quality = if common.reliable { ", at least once" } else { "" };
        let what = match self {
            Scenario::Fanout { publishers, subscribers, .. } => {
                format!("fanout {publishers} → {subscribers}")
            }
            Scenario::Fanin { publishers, subscribers, .. } => format!("fanin {publishers} → {subscribers}"),
            Scenario::Pairs { pairs, .. } => format!("pairs {pairs} → {pairs}"),
            Scenario::Pingpong { pairs } => format!("pingpong, {pairs} at a time"),
            Scenario::Echo { connections, depth } => format!("echo {connections} × {depth}"),
            Scenario::Idle { sessions, .. } => return format!("idle, {sessions} sessions"),
            Scenario::Stall { subscribers, .. } => {
                format!("stall, {subscribers} subscribers and one that never reads")
            }
            Scenario::Poll { clients, events } => {
                let how = if *events { "on streams of events" } else { "in long polls" };
                return format!("poll, {clients} clients {how}");
            }
            Scenario::Slowloris { connections, .. } => format!("slowloris, {connections} connections"),
            Scenario::Flood { kind, connections, rate_mib } => {
                let kind = format!("{kind:?}").to_lowercase();
                format!("flood ({kind}), {connections} connections, {rate_mib} MiB/s")
            }
        };
        format!("{what}, {payload} B{quality}")
    }

    /// Measures it.
    pub(crate) fn run(&self, common: &Common, target: &Target) -> Result<Figures, Failure> {
        let is_fit = match target.protocol {
            Protocol::Bowline => true,
            Protocol::Nats => !self.is_http(),
            Protocol::Raw => self.fits_raw(),
        };
        if !is_fit || target.trust.is_some() && !self.fits_tls() {
            return Err(Failure::Unfit);
        }
        match target.protocol {
            Protocol::Bowline => self.run_on(Bowline, common, target),
            Protocol::Nats => self.run_on(Nats, common, target),
            Protocol::Raw => self.run_on(Raw, common, target),
        }
    }

    /// Whether it needs a server of typed JSON over HTTP.
    pub(crate) const fn is_http(&self) -> bool {
        matches!(self, Scenario::Poll { .. })
    }

    /// An echo server has no topics.
    fn fits_raw(&self) -> bool {
        matches!(self, Scenario::Echo { .. } | Scenario::Idle { subscribe: false, .. })
    }

    /// Those who attack, or wait by HTTP, do it in the clear.
    const fn fits_tls(&self) -> bool {
        !matches!(self, Scenario::Poll { .. } | Scenario::Slowloris { .. } | Scenario::Flood { .. })
    }

    fn run_on(&self, wire: impl Wire, common: &Common, target: &Target) -> Result<Figures, Failure> {
        match *self {
            Scenario::Idle { sessions, subscribe, storm } => {
                crowd::idle(wire, target, common, &crowd::Idle { sessions, subscribe, storm })
            }
            Scenario::Stall { subscribers, backlog } => {
                harm::stall(wire, target, common, subscribers, backlog.backlog as usize)
            }
            Scenario::Poll { clients, events } => poll::poll(target, common, &poll::Poll { clients, events }),
            Scenario::Slowloris { connections, watch } => {
                harm::slowloris(wire, target, common, connections, watch)
            }
            Scenario::Flood { kind, connections, rate_mib } => {
                harm::flood(wire, target, common, &harm::Flood { kind, connections, rate_mib })
            }
            _ => messages::run(wire, target, common, self),
        }
    }
}
