//! The server as a whole: what it is, where it listens, how its store is.

use std::path::Path;

use bowline_core::endpoint::server::Dialect;
use bowline_tokio::server::{Overview, Speaks};
use serde_json::{Value, json};

use crate::http::Listening;
use crate::http::Site;

/// `GET /api/info`
pub(super) fn info(site: &Site, server: &Overview<'_>) -> Value {
    let counters = server.counters();
    let hub = &counters.hub;
    let spoken = |dialects: &[Dialect]| -> u64 {
        counters.dialects.iter().filter(|d| dialects.contains(&d.dialect)).map(|d| d.connections).sum()
    };
    json!({
        "name": "bowline", "version": env!("CARGO_PKG_VERSION"),
        "started": humantime::format_rfc3339_seconds(site.started).to_string(),
        "uptime_s": site.started.elapsed().unwrap_or_default().as_secs(),
        "draining": !server.is_ready(),
        "sessions": hub.sessions.saturating_sub(counters.own_sessions),
        "connected": hub.attached.saturating_sub(counters.own_sessions),
        "connections": counters.connections, "subscriptions": hub.subscriptions, "rooms": hub.rooms,
        "members": hub.members, "retained": hub.retained, "queued": hub.queued, "queued_bytes": hub.queued_bytes,
        "memory_bytes": memory(),
        "counters": {
            "messages_in": hub.messages_in, "messages_out": hub.messages_out, "bytes_in": counters.bytes_in,
            "bytes_out": counters.bytes_out, "dropped": hub.dropped.total(), "requests": hub.requests,
            "connections": counters.connections_accepted,
        },
        "dialects": {
            "json": spoken(&[Dialect::Json]), "mqtt": spoken(&[Dialect::Mqtt311, Dialect::Mqtt5]),
            "bowline": spoken(&[Dialect::Bowline]), "prx1": spoken(&[Dialect::Prx1]),
        },
    })
}

/// Octets of memory that the process has, where the system tells.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `GET /api/listeners`
pub(super) fn listeners(site: &Site, server: &Overview<'_>) -> Value {
    let rows: Vec<Value> = server.look(|machine| {
        let known = site.listeners.lock().clone();
        let row = |listening: &Listening| {
            let Listening { name, address, error } = listening;
            let info = machine.listeners().find(|info| info.config.name == *name && !info.removed);
            let transport = if address.starts_with("unix:") { "unix" } else { "tcp" };
            let speaks = info.as_ref().map_or(Speaks::ALL, |info| info.config.speaks).to_string();
            json!({
                "name": name, "address": address.strip_prefix("unix:").unwrap_or(address), "transport": transport,
                "tls": false, "dialects": speaks.split(", ").collect::<Vec<_>>(),
                "connections": info.as_ref().map(|info| info.connections),
                "accepted": info.as_ref().map(|info| info.accepted),
                "refused": info.as_ref().map(|info| info.refused), "error": error,
            })
        };
        known.iter().map(row).collect()
    });
    json!({ "listeners": rows, "next": null, "total": rows.len() })
}

/// `GET /api/store`
pub(super) fn store(site: &Site, server: &Overview<'_>) -> Value {
    let counters = server.counters();
    let hub = &counters.hub;
    let pending = counters.store_issued - counters.store_committed;
    let error = site.failing.lock().clone();
    let commits = &counters.store_commits;
    let took = |percent| commits.percentile(percent).map(|nanos| nanos / 1_000);
    let Some((path, backlog)) = &site.store else {
        return json!({
            "kind": "none", "path": null, "state": "ok", "error": null, "messages": hub.messages,
            "message_bytes": hub.message_bytes, "retained": hub.retained, "history": hub.history, "queues": hub.queues,
        });
    };
    let state = match &error {
        Some(_) => "failing",
        None if pending > backlog / 2 => "slow",
        None => "ok",
    };
    let file = path.join(FILE);
    json!({
        "kind": "sqlite", "path": file, "state": state, "error": error, "bytes": size(&file),
        "wal_bytes": size(&path.join(format!("{FILE}-wal"))), "messages": hub.messages,
        "message_bytes": hub.message_bytes, "retained": hub.retained, "history": hub.history, "queues": hub.queues,
        "operations": counters.store_committed, "pending": pending, "free_bytes": free(path),
        "commits": commits.count(), "commit_us": took(50).zip(took(99)).map(|(p50, p99)| json!({ "p50": p50, "p99": p99 })),
    })
}

/// The file of the database in its directory.
const FILE: &str = bowline_sqlite::DATABASE;

/// Octets that may still be written where the database is.
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|data| data.len())
}
