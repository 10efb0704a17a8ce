//! The audit log: a line of JSON for each record, in the files that the configuration names.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bowline_core::plugin::Record;
use parking_lot::Mutex;
use serde_json::json;
use tracing::{error, info, warn};

use crate::config::plugins::Plugin;
use crate::failure::Failure;

/// Lines at most that wait to be written.
const WAITING: usize = 8192;
/// Written lines are in the file after so long at the latest.
const GATHER: Duration = Duration::from_millis(200);

/// Writes records where they belong, in a thread of its own: who publishes does not wait for a disk.
#[derive(Debug)]
pub(crate) struct AuditLog {
    /// Until the end.
    lines: Mutex<Option<SyncSender<(PathBuf, String)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// By the plugin's name.
    files: Mutex<BTreeMap<String, PathBuf>>,
    lost: Mutex<u64>,
}

impl AuditLog {
    /// Opens the files; they are made for this user alone.
    pub(crate) fn open(plugins: &[Plugin]) -> Result<Self, Failure> {
        let (lines, queue) = sync_channel(WAITING);
        let lines = Mutex::new(Some(lines));
        let log = Self { lines, thread: Mutex::default(), files: Mutex::default(), lost: Mutex::default() };
        log.reload(plugins)?;
        let run = move || write(&queue);
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Failure::io("no thread for the audit log", &error))?;
        *log.thread.lock() = Some(thread);
        Ok(log)
    }

    /// Other files count from now on.
    pub(crate) fn reload(&self, plugins: &[Plugin]) -> Result<(), Failure> {
        let mut files = BTreeMap::new();
        for plugin in plugins {
            if let Some(path) = plugin.audit.as_ref().and_then(|audit| audit.file.as_ref()) {
                open(path).map_err(|error| {
                    Failure::io(format_args!("cannot write the audit log {}", path.display()), &error)
                })?;
                files.insert(plugin.name.clone(), path.clone());
            }
        }
        *self.files.lock() = files;
        Ok(())
    }

    /// Writes a record down; without a file it is a line of the server's log.
    pub(crate) fn write(&self, plugin: &str, record: &Record) {
        let Some(path) = self.files.lock().get(plugin).cloned() else {
            let (user, client, from) = (some(&record.user), some(&record.client_id), record.address);
            let (subject, reason) = (some(&record.subject), some(&record.reason));
            let from = from.map(|address| address.to_canonical().to_string());
            let Record { action, outcome, session, .. } = record;
            info!(plugin, action, outcome, session, user, client, from, subject, reason, "audit");
            return;
        };
        let sent = match &*self.lines.lock() {
            Some(lines) => lines.try_send((path, line(plugin, record))),
            None => return,
        };
        match sent {
            Ok(()) => {
                let lost = std::mem::take(&mut *self.lost.lock());
                if lost > 0 {
                    warn!(lost, "lines of the audit log were lost: its disk is too slow");
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => *self.lost.lock() += 1,
        }
    }

    /// Writes what waits, and no more.
    pub(crate) fn finish(&self) {
        drop(self.lines.lock().take());
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!("the audit log ended before its time");
        }
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// As it stands in the file: what is not known is left out.
fn line(plugin: &str, record: &Record) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let mut line = json!({
        "time": time, "plugin": plugin, "action": record.action, "outcome": record.outcome,
        "session": record.session.map(|number| format!("{number:016x}")),
        "user": some(&record.user), "client_id": some(&record.client_id),
        "address": record.address.map(|address| address.to_canonical().to_string()),
        "listener": some(&record.listener), "dialect": some(&record.dialect),
        "tags": Some(&record.tags).filter(|tags| !tags.is_empty()),
        "subject": some(&record.subject), "reason": some(&record.reason),
    });
    if let Some(fields) = line.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    format!("{line}\n")
}

/// Writes what comes, and keeps files open while it does: a file that was moved away is made anew.
fn write(queue: &Receiver<(PathBuf, String)>) {
    while let Ok(first) = queue.recv() {
        let mut open_files: BTreeMap<PathBuf, BufWriter<File>> = BTreeMap::new();
        let until = std::time::Instant::now() + GATHER;
        let mut next = Some(first);
        while let Some((path, line)) = next {
            if let Err(error) = append(&mut open_files, &path, &line) {
                error!(path = %path.display(), %error, "the audit log cannot be written");
            }
            next = queue.recv_timeout(until.saturating_duration_since(std::time::Instant::now())).ok();
        }
        for (path, file) in &mut open_files {
            if let Err(error) = file.flush() {
                error!(path = %path.display(), %error, "the audit log cannot be written");
            }
        }
    }
}

fn append(files: &mut BTreeMap<PathBuf, BufWriter<File>>, path: &PathBuf, line: &str) -> std::io::Result<()> {
    if !files.contains_key(path) {
        files.insert(path.clone(), BufWriter::new(open(path)?));
    }
    match files.get_mut(path) {
        Some(file) => file.write_all(line.as_bytes()),
        None => Ok(()),
    }
}
