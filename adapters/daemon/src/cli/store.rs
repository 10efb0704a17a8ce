//! `bowline store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::serve::ConfigArgs;

/// `bowline store`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
All but import and check --repair only look, also while a server runs.

Examples:
  bowline store stats
  bowline store check --data /var/lib/bowline
  bowline store export backup.jsonl
  bowline store import backup.jsonl --data new-data
  sqlite3 bowline-data/bowline.db .schema          the tables, with comments")]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,

    /// The store's directory; without it, that of the configuration
    #[arg(short, long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What to do with it.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Look through all of it for damage and contradictions
    Check {
        /// Remove what refers to something that is missing; no server may run
        #[arg(long)]
        repair: bool,
    },
    /// Count what it holds
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write all of it as lines of JSON
    Export {
        /// Where to; without it, standard output
        file: Option<PathBuf>,
    },
    /// Take up what was exported, into a new store
    Import {
        /// Where from; without it, standard input
        file: Option<PathBuf>,
    },
}
