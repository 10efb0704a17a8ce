//! The server's log: lines on stderr, as text or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::failure::Failure;

/// Starts the log of this process. To be called once.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter: Targets = log.level.parse().map_err(|error| Failure::new(format!("log.level: {error}")))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|error| Failure::new(format!("the log cannot be started: {error}")))
}
