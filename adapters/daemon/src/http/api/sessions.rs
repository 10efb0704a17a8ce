//! Sessions: listed, looked at, ended.

use std::time::{Duration, UNIX_EPOCH};

use bowline_core::endpoint::server::{Carrier, ClientInfo, ConnectionInfo, Dialect, Server, SessionName};
use bowline_core::hub::{Message, Policy, Refusal};
use bowline_core::plugin::Tags;
use bowline_driver::store::Calendar;
use bowline_tokio::server::{HttpAnswer, Overview, StatusCode};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::gate::Denied;
use super::lists::{self, Found};
use super::query::{Query, Sort};
use super::{not_found, some};
use crate::http::Site;

/// Of one session, so many filters and rooms are shown.
const SHOWN: usize = 200;

/// `GET /api/sessions`
pub(super) fn list(site: &Site, query: Query, server: &Overview<'_>) -> Result<HttpAnswer, Denied> {
    let calendar = Calendar::now();
    let wanted = Wanted::of(&query);
    let table = move |server: &Server, from, most, each: &mut dyn FnMut(&Found<'_>)| {
        server.inspect_clients(from, most, |client| {
            if !wanted.covers(client) {
                return true;
            }
            let (session, connection) = (&client.session, client.connection.as_ref());
            let (id, address) = (id(client), address(client).unwrap_or_default());
            let said = connection.map(|connection| {
                let seconds = calendar.now.saturating_since(connection.since).as_secs_f64();
                let (published, handed) = connection.messages;
                (u64::from(published) + u64::from(handed), Some(seconds))
            });
            let names = [client_id(client), session.who.user, &id];
            each(&Found {
                id: session.key.number(),
                // As the console shows it.
                name: names.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
                texts: &[&id, client_id(client), session.who.user, &address],
                said: said.or(Some((0, None))),
                weight: &|_| session.queued_bytes,
                row: &|| Value::Object(row(client, &calendar)),
            });
            true
        })
    };
    lists::list("sessions", &[Sort::Rate, Sort::Queue], query, server, Some(&site.rates.sessions), table)
}

/// `GET /api/sessions/ID`
pub(super) fn one(id: &str, server: &Overview<'_>) -> Result<Value, Denied> {
    let (number, calendar) = (number(id)?, Calendar::now());
    let found = server.look(|server| {
        let client = server.inspect_client(number)?;
        let (hub, session) = (server.hub(), &client.session);
        let mut row = row(&client, &calendar);
        let filters: Vec<Value> = hub
            .inspect_subscriptions(session.key)
            .take(SHOWN)
            .map(|sub| {
                let shared = sub.group.map(|group| format!("$share/{group}/{}", sub.filter));
                let filter = shared.unwrap_or_else(|| sub.filter.into_owned());
                json!({ "filter": filter, "qos": sub.quality.number(), "serves": sub.serve })
            })
            .collect();
        let rooms: Vec<&str> = hub.joined(session.key).take(SHOWN).map(|(room, _)| room).collect();
        row.insert("filters_more".into(), session.subscriptions.saturating_sub(filters.len()).into());
        row.insert("filters".into(), filters.into());
        row.insert("room_names".into(), rooms.into());
        row.insert("expiry_s".into(), session.expiry.as_secs().into());
        row.insert("in_flight".into(), session.in_flight.into());
        row.insert("dropped".into(), session.dropped.into());
        row.insert("queue_policy".into(), policy(session.policy).into());
        row.insert("will".into(), session.will.into());
        Some(row)
    });
    found.map(Value::Object).ok_or_else(|| none(id))
}

/// `DELETE /api/sessions/ID`
pub(super) fn end(id: &str, forget: bool, server: &Overview<'_>) -> Result<(), Denied> {
    if !server.expel(number(id)?, forget) {
        return Err(none(id));
    }
    warn!(session = id, forget, "disconnected by an administrator");
    Ok(())
}

/// `POST /api/sessions/ID?tag=TAG` and, to take it away, `DELETE`.
pub(super) fn tag(id: &str, tag: Option<&str>, tagged: bool, server: &Overview<'_>) -> Result<Value, Denied> {
    let number = number(id)?;
    let tag = tag.ok_or_else(|| bad("say which tag: ?tag=TAG"))?;
    match server.change(|server, _| server.tag_client(number, tag, tagged)) {
        Ok(_) => one(id, server),
        Err(Refusal::NoSession) => Err(none(id)),
        Err(refusal) => Err(bad(&refusal.to_string())),
    }
}

/// `POST /api/tell?tag=TAG` or `?session=ID`: the body goes to whoever that is, as a message on `$notice/TAG`
/// or `$notice`.
pub(super) fn tell(query: &Query, body: &[u8], server: &Overview<'_>) -> Result<Value, Denied> {
    let message = |topic: &str| Message::new(topic, body).map_err(|error| bad(&error.to_string()));
    if let Some(id) = &query.session {
        let (number, message) = (number(id)?, message("$notice")?);
        return match server.change(|server, now| server.tell_client(now, number, message)) {
            Ok(told) => Ok(json!({ "sessions": 1, "told": u32::from(told) })),
            Err(Refusal::Detached) => Ok(json!({ "sessions": 0, "told": 0 })),
            Err(Refusal::NoSession) => Err(none(id)),
            Err(refusal) => Err(bad(&refusal.to_string())),
        };
    }
    let tag = query.tag.as_deref().ok_or_else(|| bad("say whom: ?tag=TAG or ?session=ID"))?;
    Tags::check(tag).map_err(|error| bad(&error.to_string()))?;
    let message = message(&format!("$notice/{tag}"))?;
    let told = server.change(|server, now| server.tell_tagged(now, tag, message));
    let told = told.map_err(|refusal| bad(&refusal.to_string()))?;
    Ok(json!({ "sessions": told.matched, "told": told.queued }))
}

fn bad(why: &str) -> Denied {
    Denied { status: StatusCode::BAD_REQUEST, why: why.to_owned() }
}

/// Which sessions are listed: those of whom all holds that was asked for.
struct Wanted {
    tag: Option<String>,
    user: Option<String>,
    dialect: Option<String>,
    listener: Option<String>,
}

impl Wanted {
    fn of(query: &Query) -> Self {
        let Query { tag, user, dialect, listener, .. } = query.clone();
        Self { tag, user, dialect, listener }
    }

    fn covers(&self, client: &ClientInfo<'_>) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        let label = client.dialect.map_or("", Dialect::label);
        let family = spoken(client).0.unwrap_or_default();
        self.tag.as_ref().is_none_or(|tag| client.tags.contains(tag))
            && is(&self.user, client.session.who.user)
            && (is(&self.dialect, label) || is(&self.dialect, family))
            && is(&self.listener, client.listener.unwrap_or_default())
    }
}

fn none(id: &str) -> Denied {
    not_found(format!("there is no session {id:?}"))
}

/// An id as it stands in a path: sixteen digits, no more and no less.
fn number(id: &str) -> Result<u64, Denied> {
    let is_id = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| u64::from_str_radix(id, 16).ok()).flatten().ok_or_else(|| none(id))
}

fn id(client: &ClientInfo<'_>) -> String {
    format!("{:016x}", client.session.key.number())
}

fn row(client: &ClientInfo<'_>, calendar: &Calendar) -> Map<String, Value> {
    let ClientInfo { session, connection, .. } = client;
    let rtt = connection.as_ref().and_then(|connection| connection.round_trip);
    let (dialect, version) = spoken(client);
    let row = json!({
        "id": id(client), "client_id": some(client_id(client)), "user": some(session.who.user), "dialect": dialect,
        "version": version, "carrier": connection.as_ref().map(carrier),
        "address": address(client), "rtt_us": rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        "connected": session.attached, "since": connection.as_ref().map(|c| since(c, calendar)),
        "subscriptions": session.subscriptions, "rooms": session.rooms, "queued": session.queued,
        "queued_bytes": session.queued_bytes, "listener": client.listener,
        "tags": client.tags.iter().collect::<Vec<_>>(),
        "messages_in": connection.map(|c| c.messages.0), "messages_out": connection.map(|c| c.messages.1),
        "bytes_in": connection.map(|c| c.octets.0), "bytes_out": connection.map(|c| c.octets.1),
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// What its client calls itself, where it does.
fn client_id<'a>(client: &'a ClientInfo<'_>) -> &'a str {
    match &client.name {
        Some(SessionName::Mqtt(client_id)) => client_id,
        _ => client.session.who.client_id,
    }
}

/// Where its client is, with the port while it is connected.
fn address(client: &ClientInfo<'_>) -> Option<String> {
    let connected = client.connection.as_ref().and_then(|connection| connection.peer.socket());
    let socket = connected.filter(|socket| socket.port() != 0).map(|socket| socket.to_string());
    socket.or_else(|| client.session.who.address.map(|address| address.to_canonical().to_string()))
}

/// The dialect, and its version where that is known.
fn spoken(client: &ClientInfo<'_>) -> (Option<&'static str>, Option<&'static str>) {
    let connected = client.connection.is_some();
    match client.dialect {
        Some(Dialect::Mqtt311) => (Some("mqtt"), Some("3.1.1")),
        Some(Dialect::Mqtt5) => (Some("mqtt"), connected.then_some("5.0")),
        dialect => (dialect.map(Dialect::label), None),
    }
}

fn carrier(connection: &ConnectionInfo) -> &'static str {
    match connection.carrier {
        Carrier::WebSocket => "websocket",
        Carrier::Events => "sse",
        Carrier::Poll => "poll",
        _ if connection.peer.address.is_none() => "unix",
        _ => "tcp",
    }
}

fn since(connection: &ConnectionInfo, calendar: &Calendar) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(calendar.unix_ms(connection.since));
    humantime::format_rfc3339_seconds(at).to_string()
}

const fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::DropOldest => "drop-oldest",
        Policy::DropNewest => "drop-newest",
        Policy::Disconnect => "disconnect",
        Policy::SlowPublisher => "slow-publisher",
        _ => "other",
    }
}
