//! Lists of what there may be much of.

use bowline_core::endpoint::server::Server;
use bowline_core::hub::RoomPolicy;
use bowline_tokio::server::Overview;
use serde_json::{Value, json};

use super::query::Query;

/// So many places are looked at while all else waits.
const STEP: usize = 256;

/// So many for one request.
const PLACES: usize = 16_384;

/// Looks at part of a table, from a place on and at most so many: shows rows until there are enough, and
/// says where to go on.
pub(super) trait Look: Fn(&Server, u64, usize, &mut dyn FnMut(Value) -> bool) -> Option<u64> {}

impl<L: Fn(&Server, u64, usize, &mut dyn FnMut(Value) -> bool) -> Option<u64>> Look for L {}

/// A list under this name.
pub(super) fn list(name: &str, query: &Query, server: &Overview<'_>, look: impl Look) -> Value {
    let mut rows = Vec::new();
    let (mut from, mut looked) = (Some(query.after), 0);
    while let Some(at) = from.filter(|_| rows.len() < query.limit && looked < PLACES) {
        from = server.look(|server| {
            look(server, at, STEP, &mut |row| {
                rows.push(row);
                rows.len() < query.limit
            })
        });
        looked += STEP;
    }
    let mut all = json!({ "next": from.map(|at| format!("{at:x}")) });
    if from.is_none() && query.after == 0 {
        all["total"] = rows.len().into();
    }
    all[name] = rows.into();
    all
}

/// Sorts the rows of a page, which has them in the order of the tables.
fn sorted(mut all: Value, name: &str, by: &str) -> Value {
    if let Some(rows) = all[name].as_array_mut() {
        rows.sort_by(|a, b| a[by].as_str().cmp(&b[by].as_str()));
    }
    all
}

/// `GET /api/rooms`
pub(super) fn rooms(query: &Query, server: &Overview<'_>) -> Value {
    let all = list("rooms", query, server, |server: &Server, from, most, each| {
        server.hub().inspect_rooms(from, most, |room| {
            if !query.finds(&[room.name]) {
                return true;
            }
            let policy = room.policy.map(|policy| match policy {
                RoomPolicy::Session => "session",
                RoomPolicy::DropOldest => "drop-oldest",
                RoomPolicy::KeepLatest => "keep-latest",
                RoomPolicy::Disconnect => "disconnect",
                RoomPolicy::SlowPublisher => "slow-publisher",
                _ => "other",
            });
            each(json!({
                "name": room.name, "members": room.members, "epoch": format!("{:x}", room.epoch), "offset": room.offset,
                "history": room.kept, "history_bytes": room.kept_bytes, "messages_in": room.offset, "policy": policy,
            }))
        })
    });
    sorted(all, "rooms", "name")
}

/// `GET /api/topics`
pub(super) fn topics(query: &Query, server: &Overview<'_>) -> Value {
    let all = list("topics", query, server, |server: &Server, from, most, each| {
        server.hub().inspect_topics(from, most, |topic| {
            if !query.finds(&[&topic.topic]) {
                return true;
            }
            each(json!({
                "topic": topic.topic, "filter": topic.is_filter, "subscribers": topic.subscribers,
                "retained": topic.retained.is_some(), "retained_bytes": topic.retained.unwrap_or(0),
                "history": topic.history, "history_bytes": topic.history_bytes,
            }))
        })
    });
    sorted(all, "topics", "topic")
}
