//! `bowline store`, and the store of `bowline serve`.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write, stdin, stdout};
use std::path::Path;
use std::sync::OnceLock;

use bowline_driver::store::{Calendar, StoreEvent};
use bowline_sqlite::portable::PortError;
use bowline_sqlite::{Finding, OpenError, Options, Stats, StoreError};
use serde_json::json;
use tracing::{error, info};

use crate::cli::{StoreArgs, StoreCommand};
use crate::config;
use crate::failure::Failure;
use crate::http::Site;
use crate::output;

/// Opens the store of a server.
pub(crate) fn open(store: &config::Store) -> Result<bowline_sqlite::Store, Failure> {
    let max_size = store.max_size.map(|size| size.0);
    let options = Options { quick_check: store.check, max_size, ..Options::default() };
    bowline_sqlite::Store::open(&store.path, &options).map_err(|error| {
        let memory = match error {
            OpenError::ReadOnly { .. } | OpenError::InUse { .. } => "; --memory serves without a store",
            _ => "",
        };
        Failure::new(format!("{error}{memory}"))
    })
}

/// One line for what happens to the store; what it held goes to `loaded` as well.
pub(crate) fn log(event: &StoreEvent, loaded: &OnceLock<String>, site: &Site) {
    match event {
        StoreEvent::Stalled { error, .. } => site.set_failing(Some(error.to_string())),
        StoreEvent::Recovered { .. } => site.set_failing(None),
        _ => {}
    }
    match event {
        StoreEvent::Loaded { sessions, messages, took } => {
            // A second call would be another start.
            let _ = loaded.set(format!("{messages} messages and {sessions} sessions, loaded in {took:.1?}"));
            info!(sessions, messages, ?took, "store loaded");
        }
        StoreEvent::Stalled { error, waiting } => error!(
            %error,
            waiting,
            "the store takes nothing: what must be stored is refused until it does, all else goes on"
        ),
        StoreEvent::Recovered { after } => info!(?after, "the store works again"),
        StoreEvent::Lost { error, operations } => {
            error!(%error, operations, "not stored at the end; nothing of it was acknowledged");
        }
        other => info!(event = ?other, "store event"),
    }
}

/// Where a server keeps what outlives it, for people.
pub(crate) fn announcement(store: &config::Store, loaded: Option<&String>) -> String {
    match loaded {
        Some(held) => format!("stores in {}: {held}", store.path.display()),
        None => "stores nothing: what it holds ends with it".to_owned(),
    }
}

/// Runs `bowline store`.
pub(crate) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let path = match &args.data {
        Some(path) => path.clone(),
        None => config::load(args.config.config.as_deref())?.config.store.path,
    };
    match &args.command {
        StoreCommand::Check { repair } => check(&path, *repair),
        StoreCommand::Stats { json } => stats(&path, *json),
        StoreCommand::Export { file } => export(&path, file.as_deref()),
        StoreCommand::Import { file } => import(&path, file.as_deref()),
    }
}

#[allow(clippy::needless_pass_by_value)] // The shape of `map_err`.
fn failed(error: impl ToString) -> Failure {
    Failure::new(error.to_string())
}

fn inspect(path: &Path) -> Result<bowline_sqlite::Store, Failure> {
    bowline_sqlite::Store::inspect(path).map_err(failed)
}

fn check(path: &Path, repair: bool) -> Result<(), Failure> {
    if repair {
        // So that no store is made where there is none.
        drop(inspect(path)?);
        let mut store = bowline_sqlite::Store::open(path, &Options::default()).map_err(failed)?;
        let removed = store.repair().map_err(failed)?;
        output::note(&format!("{removed} rows removed that referred to something missing"));
    }
    let store = inspect(path)?;
    let findings = match store.check() {
        Ok(findings) => findings,
        Err(StoreError::Corrupt(detail)) => vec![Finding::Damage(detail)],
        Err(error) => return Err(failed(error)),
    };
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    output::data(&lines)?;
    if findings.iter().all(Finding::is_harmless) {
        return output::data(&format!("{} is whole\n", store.path().display()));
    }
    let damaged = findings.iter().any(|finding| matches!(finding, Finding::Damage(_)));
    Err(Failure::new(if damaged {
        "the store is damaged; keep a copy of its directory, and restore a backup, or save what can be read: \
         bowline store export, then import into a new directory"
    } else {
        "the store contradicts itself; keep a copy of its directory, then bowline store check --repair \
         removes the rows listed"
    }))
}

fn stats(path: &Path, json: bool) -> Result<(), Failure> {
    let store = inspect(path)?;
    let Stats { rows, payloads, size, free } = store.stats().map_err(failed)?;
    if json {
        let tables: serde_json::Map<_, _> =
            rows.iter().map(|(table, count)| ((*table).to_owned(), json!(count))).collect();
        let all = json!({
            "path": store.path(), "rows": tables, "payload_octets": payloads, "octets": size, "free_octets": free,
        });
        return output::data(&format!("{all:#}\n"));
    }
    let mut text = format!("{}\n", store.path().display());
    for (table, count) in rows {
        text.push_str(&format!("{table:<16} {count:>12}\n"));
    }
    for (what, octets) in [("payloads", payloads), ("database", size), ("free in it", free)] {
        text.push_str(&format!("{what:<16} {octets:>12} octets\n"));
    }
    output::data(&text)
}

fn export(path: &Path, file: Option<&Path>) -> Result<(), Failure> {
    let mut store = inspect(path)?;
    let written = match file {
        None => {
            let outcome = store.export(Calendar::now(), &mut BufWriter::new(stdout().lock()));
            match outcome {
                Err(PortError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                outcome => outcome.map_err(failed)?,
            }
        }
        Some(to) => {
            let failed_at = |error| Failure::io(format_args!("cannot write {}", to.display()), &error);
            // Nothing is overwritten: it may be the only good one.
            let file = File::create_new(to).map_err(failed_at)?;
            let mut out = BufWriter::new(file);
            let written = store.export(Calendar::now(), &mut out).map_err(failed)?;
            out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed_at)?;
            written
        }
    };
    output::note(&format!("{written} lines exported"));
    Ok(())
}

fn import(path: &Path, file: Option<&Path>) -> Result<(), Failure> {
    let mut from: Box<dyn std::io::BufRead> = match file {
        None => Box::new(BufReader::new(stdin())),
        Some(file) => {
            let shown = file.display();
            let open = File::open(file).map_err(|e| Failure::io(format_args!("cannot read {shown}"), &e))?;
            Box::new(BufReader::new(open))
        }
    };
    let mut store = bowline_sqlite::Store::open(path, &Options::default()).map_err(failed)?;
    let count = store.import(Calendar::now(), &mut from).map_err(failed)?;
    output::note(&format!("{count} lines imported into {}", store.path().display()));
    Ok(())
}
