//! Lists of what there may be much of, sorted.
//!
//! Nothing is sorted as a whole, and nobody waits for it: for a page, a list's table is gone through in
//! steps, and of what is found only as many rows are kept as the page has, those that come first
//! behind the cursor. The server is held for one step, which looks at so many places as take it less than a
//! millisecond; after some steps all other tasks get their turn. What a cursor says is the place of a
//! row in the order, not in the table, so pages by name neither repeat nor leave out what stays.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bowline_core::endpoint::server::Server;
use bowline_core::hub::RoomPolicy;
use bowline_tokio::server::{Handle, HttpAnswer, HttpResponse, Overview, StatusCode};
use serde_json::{Value, json};

use super::cursor::{Place, id_of};
use super::object;
use super::query::{Query, Sort};
use super::rates::{Look as RateLook, Rates};
use crate::http::Site;
use crate::http::gate::Denied;

/// So many places are looked at while all else waits.
const STEP: usize = 256;

/// So many steps, then others get their turn.
const STEPS: usize = 16;

/// So many places for one page: what is behind them is left out.
const PLACES: usize = 1 << 20;

/// Of what waits for a room's members so much is looked at.
const WAITING: usize = 4096;

/// What is found in a table.
pub(super) struct Found<'a> {
    /// What it is known by.
    pub(super) id: u64,
    /// What it is called, and sorted by.
    pub(super) name: &'a str,
    /// What is searched.
    pub(super) texts: &'a [&'a str],
    /// How many times something was said, and for how many seconds that is counted.
    pub(super) said: Option<(u64, Option<f64>)>,
    /// How much that is by which it can be sorted.
    pub(super) weight: &'a dyn Fn(Sort) -> u64,
    pub(super) row: &'a dyn Fn() -> Value,
}

/// Goes through part of a table, from a place on and at most so many, shows what is there, and says where
/// to go on.
pub(super) trait Table:
    Fn(&Server, u64, usize, &mut dyn FnMut(&Found<'_>)) -> Option<u64> + Send + Unpin + 'static
{
}

impl<T> Table for T where
    T: Fn(&Server, u64, usize, &mut dyn FnMut(&Found<'_>)) -> Option<u64> + Send + Unpin + 'static
{
}

/// The rows of a page that is being looked for.
struct Page {
    query: Query,
    rows: BTreeMap<Place, Value>,
    matched: usize,
    /// There are more behind the last row.
    more: bool,
    rates: Option<RateLook>,
}

impl Page {
    fn take(&mut self, found: &Found<'_>) {
        let rate = found.said.zip(self.rates.as_mut());
        let rate = rate.and_then(|((count, seconds), rates)| rates.rate(found.id, count, seconds));
        if !self.query.finds(found.name, found.texts) {
            return;
        }
        self.matched += 1;
        let weight = match self.query.sort {
            Sort::Name => 0,
            Sort::Rate => (rate.unwrap_or_default() * 1000.0) as u64,
            other => (found.weight)(other),
        };
        let place = Place::new(weight, found.name, found.id);
        if self.query.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        if self.rows.len() == self.query.limit {
            self.more = true;
            if self.rows.last_key_value().is_some_and(|(last, _)| place > *last) {
                return;
            }
            self.rows.pop_last();
        }
        let mut row = (found.row)();
        if found.said.is_some() {
            row["messages_per_s"] = rate.into();
        }
        self.rows.insert(place, row);
    }

    fn answer(&mut self, name: &str, whole: bool) -> HttpResponse {
        let next = self.rows.last_key_value().filter(|_| self.more).map(|(place, _)| place.text());
        let rows: Vec<Value> = std::mem::take(&mut self.rows).into_values().collect();
        let total = whole.then_some(self.matched);
        object(StatusCode::OK, &json!({ name: rows, "next": next, "total": total }))
    }
}

/// A page that is being looked for in a table.
struct Scan<T, D> {
    name: &'static str,
    server: Handle,
    table: T,
    page: Page,
    from: Option<u64>,
    looked: usize,
    /// What is done with the rates that were counted.
    done: D,
}

impl<T: Table, D: FnMut(&mut RateLook) + Unpin> Future for Scan<T, D> {
    type Output = HttpResponse;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HttpResponse> {
        let Self { name, server, table, page, from, looked, done } = self.get_mut();
        for _ in 0..STEPS {
            let Some(at) = from.filter(|_| *looked < PLACES) else {
                if let Some(rates) = page.rates.as_mut().filter(|_| from.is_none()) {
                    done(rates);
                }
                return Poll::Ready(page.answer(name, from.is_none()));
            };
            *looked += STEP;
            *from = server
                .look(|server| table(server, at, STEP, &mut |found| page.take(found)))
                .unwrap_or_default();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A page of a list; `sorts` are those that it knows beside that by name, `rates` where what is said in its
/// rows is counted.
pub(super) fn list(
    name: &'static str,
    sorts: &[Sort],
    query: Query,
    server: &Overview<'_>,
    rates: Option<&Arc<Rates>>,
    table: impl Table,
) -> Result<HttpAnswer, Denied> {
    if query.sort != Sort::Name && !sorts.contains(&query.sort) {
        let known: Vec<&str> = sorts.iter().map(|sort| sort.text()).collect();
        let why = format!(
            "{name} are sorted by name{}{}",
            if known.is_empty() { "" } else { ", " },
            known.join(", ")
        );
        return Err(Denied { status: StatusCode::BAD_REQUEST, why });
    }
    let look = rates.map(|rates| rates.look(Instant::now()));
    let page = Page { query, rows: BTreeMap::new(), matched: 0, more: false, rates: look };
    let kept = rates.cloned();
    let done = move |look: &mut RateLook| {
        if let Some(rates) = &kept {
            rates.keep(look);
        }
    };
    let server = server.handle();
    Ok(HttpAnswer::later(Scan { name, server, table, page, from: Some(0), looked: 0, done }))
}

const fn policy(policy: RoomPolicy) -> &'static str {
    match policy {
        RoomPolicy::Session => "session",
        RoomPolicy::DropOldest => "drop-oldest",
        RoomPolicy::KeepLatest => "keep-latest",
        RoomPolicy::Disconnect => "disconnect",
        RoomPolicy::SlowPublisher => "slow-publisher",
        _ => "other",
    }
}

/// `GET /api/rooms`
pub(super) fn rooms(site: &Site, query: Query, server: &Overview<'_>) -> Result<HttpAnswer, Denied> {
    let sorts = [Sort::Rate, Sort::Queue, Sort::Members];
    let table = |server: &Server, from, most, each: &mut dyn FnMut(&Found<'_>)| {
        let hub = server.hub();
        hub.inspect_rooms(from, most, |room| {
            let queued = || hub.inspect_room_queue(room.name, WAITING);
            each(&Found {
                id: id_of(room.name),
                name: room.name,
                texts: &[room.name],
                said: Some((room.offset, None)),
                weight: &|sort| if sort == Sort::Queue { queued() } else { room.members.into() },
                row: &|| {
                    json!({
                        "name": room.name, "members": room.members, "epoch": format!("{:x}", room.epoch),
                        "offset": room.offset, "history": room.kept, "history_bytes": room.kept_bytes,
                        "messages_in": room.offset, "queued_bytes": queued(), "policy": room.policy.map(policy),
                    })
                },
            });
            true
        })
    };
    list("rooms", &sorts, query, server, Some(&site.rates.rooms), table)
}

/// `GET /api/topics`
pub(super) fn topics(query: Query, server: &Overview<'_>) -> Result<HttpAnswer, Denied> {
    let table = |server: &Server, from, most, each: &mut dyn FnMut(&Found<'_>)| {
        server.hub().inspect_topics(from, most, |topic| {
            each(&Found {
                id: id_of(&topic.topic),
                name: &topic.topic,
                texts: &[&topic.topic],
                said: None,
                weight: &|_| topic.subscribers as u64,
                row: &|| {
                    json!({
                        "topic": topic.topic, "filter": topic.is_filter, "subscribers": topic.subscribers,
                        "retained": topic.retained.is_some(), "retained_bytes": topic.retained.unwrap_or(0),
                        "history": topic.history, "history_bytes": topic.history_bytes,
                    })
                },
            });
            true
        })
    };
    list("topics", &[Sort::Members], query, server, None, table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, table: &[(&str, u64)]) -> Value {
        let mut page = Page {
            query: Query::parse(query).unwrap(),
            rows: BTreeMap::new(),
            matched: 0,
            more: false,
            rates: None,
        };
        for (name, weight) in table {
            let (texts, row) = ([*name], || json!({ "name": name }));
            page.take(&Found {
                id: id_of(name),
                name,
                texts: &texts,
                said: None,
                weight: &|_| *weight,
                row: &row,
            });
            assert!(page.rows.len() <= page.query.limit, "no more is kept than is shown");
        }
        serde_json::from_slice(&page.answer("rows", true).body).unwrap()
    }

    fn walk(query: &str, table: &[(&str, u64)]) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = page(&format!("{query}{after}"), table);
            all.extend(
                page["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { return all };
            after = format!("&after={next}");
        }
    }

    #[test]
    fn pages_of_any_size_have_all_in_order() {
        let names: Vec<String> = (0..100).map(|n| format!("room-{}", n * 37 % 100)).collect();
        let table: Vec<(&str, u64)> = names.iter().map(|name| (&**name, name.len() as u64)).collect();
        let sorted: Vec<String> = (0..100).map(|n| format!("room-{n}")).collect();
        for limit in [1, 7, 100, 101] {
            assert_eq!(walk(&format!("limit={limit}"), &table), sorted, "{limit}");
        }
        // What weighs most first, and what weighs the same by name.
        let by_weight = walk("limit=9&sort=members", &table);
        assert_eq!((&*by_weight[0], &*by_weight[89], &*by_weight[90]), ("room-10", "room-99", "room-0"));
        assert_eq!(walk("limit=3&prefix=ROOM-9&search=5", &table), ["room-95"]);
        assert_eq!(page("limit=1", &table)["total"], 100);
    }

    #[test]
    fn what_comes_and_goes_between_pages_moves_nothing_else() {
        let first = page("limit=2", &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
        let next = first["next"].as_str().unwrap();
        let second = page(&format!("limit=2&after={next}"), &[("d", 0), ("a2", 0), ("c", 0), ("a", 0)]);
        let names: Vec<_> =
            second["rows"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
        assert_eq!((names, &second["next"]), (vec!["c".into(), "d".into()], &Value::Null));
    }
}
