//! The tools that talk to a server.

pub(crate) mod admin;
pub(crate) mod credentials;
mod format;
pub(crate) mod mqtt;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod room;
pub(crate) mod subscribe;
mod template;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Stdout};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::net::{Client, Event, Target};
use crate::output;
use crate::text::format_duration;

/// The largest payload that is read from a file or a command: the protocol's largest frame.
const PAYLOAD_MAX: u64 = 16 << 20;

/// Connects, within `limit` if there is one, and from then on tells on stderr what becomes of the
/// connection.
async fn connect(target: &Target, limit: Option<Duration>) -> Result<(Client, JoinHandle<()>), Failure> {
    let client = tokio::select! {
        client = Client::connect(target) => client?,
        limit = after(limit) => {
            let endpoints: Vec<String> = target.endpoints.iter().map(ToString::to_string).collect();
            let (at, time) = (endpoints.join(", "), format_duration(limit));
            return Err(Failure::timeout(format!("no connection to {at} within {time}; -W gives it longer")));
        }
    };
    let mut events = client.events();
    let watch = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            tell(&event);
        }
    });
    Ok((client, watch))
}

/// Says what became of the connection.
fn tell(event: &Event) {
    match event {
        Event::Connected { resumed: true } => output::note("connected again; the session goes on"),
        Event::Connected { resumed: false } => output::warning(
            "connected again, but the server has lost the session: what it kept for this client is gone",
        ),
        Event::Disconnected { reason, retry_in: Some(wait) } => {
            output::warning(&format!(
                "the connection is lost ({reason}); next try in {}",
                format_duration(*wait)
            ));
        }
        Event::Disconnected { reason, retry_in: None } => {
            output::warning(&format!("the connection is lost ({reason})"));
        }
        Event::Draining { endpoint } if endpoint.is_empty() => output::note("the server goes away soon"),
        Event::Draining { endpoint } => {
            output::note(&format!("the server goes away soon; it names {endpoint}"));
        }
        Event::Closed { reason } => output::note(&format!("the connection has ended ({reason})")),
    }
}

/// Reads a payload from a file, or from standard input where the file is `-`.
async fn read_payload(file: &Path) -> Result<Bytes, Failure> {
    let shown = file.display();
    let failed = |error| Failure::io(format_args!("cannot read {shown}"), &error);
    let mut payload = Vec::new();
    if file.as_os_str() == "-" {
        tokio::io::stdin().take(PAYLOAD_MAX + 1).read_to_end(&mut payload).await.map_err(failed)?;
    } else {
        let file = tokio::fs::File::open(file).await.map_err(failed)?;
        file.take(PAYLOAD_MAX + 1).read_to_end(&mut payload).await.map_err(failed)?;
    }
    if payload.len() as u64 > PAYLOAD_MAX {
        return Err(Failure::new(format!("{shown} is larger than 16 MiB, the most that a message may have")));
    }
    Ok(payload.into())
}

/// Writes to standard output; false when nobody reads any more.
async fn print(out: &mut Stdout, octets: &[u8]) -> Result<bool, Failure> {
    let written = async {
        out.write_all(octets).await?;
        out.flush().await
    };
    match written.await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io("cannot write to standard output", &error)),
    }
}

/// Ends after `limit`, and gives it back; never where there is none.
async fn after(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Ends when the user interrupts.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the interrupt ends the process by itself.
        std::future::pending::<()>().await;
    }
}
