//! `bowline serve` and `bowline check`.

use std::path::PathBuf;

use bowline_core::access::Network;
use bowline_core::relay::TargetPattern;
use clap::{Args, Subcommand};

use super::{CheckAccessArgs, CheckUsersArgs};

const SERVE_EXAMPLES: &str = "\
SIGTERM and SIGINT drain: clients are told, and have the drain deadline to finish. A second one ends at once.
SIGHUP reads users and access rules again: they count at once, and no connection is dropped.

Every setting can come from the environment: BOWLINE_SECTION__KEY, such as
  BOWLINE_LISTEN=0.0.0.0:7790,unix:/run/bowline.sock
  BOWLINE_LIMITS__CONNECTIONS=50000
The flags come before the environment, the environment before the file.

Examples:
  bowline serve                                  on 127.0.0.1:7790 and, for MQTT, 127.0.0.1:1883
  bowline serve -c /etc/bowline/bowline.toml
  bowline serve --data /var/lib/bowline          keep messages and sessions there, not in ./bowline-data
  bowline serve --listen 0.0.0.0:7790 --listen unix:/run/bowline.sock
  bowline check -c bowline.toml                  look before you start";

const CHECK_EXAMPLES: &str = "\
Prints the configuration in effect, and where each value came from; secrets are hidden.
Ends with 1 when something is wrong, naming the file, line, column and key.

Examples:
  bowline check -c bowline.toml
  bowline check -c bowline.toml access ann publish home/door
  BOWLINE_LOG__LEVEL=debug bowline check --json";

/// Which configuration.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without one, the defaults and the environment count
    #[arg(short, long, value_name = "FILE", env = "BOWLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// `bowline serve`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Listen here instead: an address with a port (0: any), or unix:PATH; may be repeated
    #[arg(short, long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,

    /// Keep what outlives the server in this directory
    #[arg(short, long, value_name = "DIR", conflicts_with = "memory")]
    pub(crate) data: Option<PathBuf>,

    /// Relay to this target, such as db.internal:5432, *.example.org:443, 10.0.0.0/8:22 or tls://db.internal:5432; may
    /// be repeated
    #[arg(long, value_name = "TARGET")]
    pub(crate) allow: Vec<TargetPattern>,

    /// Let names that are allowed lead into this network, though it is not public; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) names_reach: Vec<Network>,

    /// Trust the authorities in this file with targets over TLS, instead of those that this machine trusts
    #[arg(long, value_name = "FILE")]
    pub(crate) target_ca: Option<PathBuf>,

    /// It is a relay above all.
    #[arg(skip)]
    pub(crate) is_relay: bool,

    /// Keep nothing: retained messages, sessions and queues end with the server
    #[arg(long)]
    pub(crate) memory: bool,
}

/// `bowline check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// As JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) what: Option<CheckWhat>,
}

/// What to check instead of the configuration as a whole.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CheckWhat {
    /// Say what the access rules decide, and why
    Access(CheckAccessArgs),
    /// Check a users file
    Users(CheckUsersArgs),
}
