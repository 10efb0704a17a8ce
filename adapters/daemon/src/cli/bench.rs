//! `bowline bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ConnectArgs;
use crate::text::{parse_seconds, parse_size};

const EXAMPLES: &str = "\
Latency is from just before the call that sends to just after what comes is taken, measured in this one process.
With --rate it is counted from when a message was due, so that a server that stalls cannot hide it.

Examples:
  bowline bench fan-out --clients 100            one publisher, 100 subscribers
  bowline bench pairs --clients 50 --size 1KiB   50 publishers, each with a subscriber of its own
  bowline bench requests --clients 8 --duration 10s
  bowline bench connect --rate 100 -s bowlines://localhost --cafile ca.pem
                                                 100 handshakes a second, beside 10 clients that stay
  bowline bench pairs --rate 10000 --json        10,000 messages a second altogether";

/// What the load looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One publisher (or --publishers), and every client gets every message
    FanOut,
    /// Each client publishes to a subscriber of its own
    Pairs,
    /// Clients come, hear from the server and go (--rate of them a second), beside --clients that stay
    Connect,
    /// Each client sends requests, one after the other; responders (--responders) answer
    Requests,
}

/// `bowline bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What the load looks like
    #[arg(value_enum)]
    pub(crate) scenario: Scenario,

    /// Subscribers, pairs, requesters, or clients that stay
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clients: u32,

    /// Publishers of fan-out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) publishers: u32,

    /// Responders of requests
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) responders: u32,

    /// How long to put load on; a number alone means seconds
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, default_value = "5s")]
    pub(crate) duration: Duration,

    /// End after so many messages of each publisher or requester, or so many connections
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,

    /// Octets of a payload, at least 16
    #[arg(long, value_name = "SIZE", value_parser = payload_size, default_value = "128")]
    pub(crate) size: usize,

    /// Messages or connections a second, altogether [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,

    /// 0: at most once; 1: at least once
    #[arg(short, long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,

    /// How many messages, of 2 MiB at most, publishers may be ahead of their slowest subscriber; how many
    /// clients may be on their way in at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) window: u32,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// A payload holds the time it was sent and a number: 16 octets.
fn payload_size(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        size @ 16..=16_000_000 => Ok(usize::try_from(size).unwrap_or(usize::MAX)),
        size => Err(format!("{size} octets are not possible; use 16 to 16000000")),
    }
}
