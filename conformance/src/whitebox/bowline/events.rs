//! Events as vectors write them.

use bowline_core::session::{
    Auth, By, Closed, Event, Hello, Limits, Offer, Outcome, Properties, Property, Received, Request,
    Response, Subscribe, Welcome,
};
use bowline_core::status::Status;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::pattern::hex;
use crate::wire;

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// An event as an object with one member.
pub(super) fn describe(event: &Event<'_>) -> Value {
    match event {
        Event::Hello(h) => json!({ "hello": hello(h) }),
        Event::Auth(data) => json!({ "auth": { "data": hex(data) } }),
        Event::Welcome(w) => json!({ "welcome": welcome(w) }),
        Event::Publish(m) => json!({ "publish": message(None, m) }),
        Event::Message(id, m) => json!({ "message": message(Some(*id), m) }),
        Event::Subscribe(s) => json!({ "subscribe": subscribe(s) }),
        Event::Unsubscribe(id) => json!({ "unsubscribe": { "id": id } }),
        Event::Request(r) => json!({ "request": request(r) }),
        Event::Response(r) => json!({ "response": response(r) }),
        Event::Cancel(id) => json!({ "cancel": { "id": id } }),
        Event::Result(o) => json!({ "result": outcome(o) }),
        Event::Acked(count) => json!({ "acked": { "count": count } }),
        Event::Credit(id, limit) => json!({ "credit": { "id": id, "limit": limit } }),
        Event::Pong(rtt) => json!({ "pong": { "rtt_us": rtt.as_micros() as u64 } }),
        Event::Drain(d) => json!({ "drain": {
            "deadline_ms": millis(d.deadline), "retry_after_ms": millis(d.retry_after), "endpoint": d.endpoint } }),
        Event::Offer(o) => json!({ "offer": offer(o) }),
        Event::Take { id, queue, count } => json!({ "take": { "id": id, "queue": queue, "count": count } }),
        Event::Settle { id, reject } => json!({ "settle": { "id": id, "reject": reject } }),
        Event::Join(j) => json!({ "join": {
            "id": j.id, "room": j.room, "credit": j.credit, "presence": j.presence,
            "since": j.since.map(|(epoch, offset)| json!([hex(&epoch.to_be_bytes()), offset])),
            "history": j.history, "data": hex(j.data), "count_only": j.count_only } }),
        Event::Joined(j) => json!({ "joined": {
            "id": j.id, "epoch": hex(&j.epoch.to_be_bytes()), "offset": j.offset, "count": j.count,
            "member": j.member, "recovered": j.recovered } }),
        Event::Leave(id) => json!({ "leave": { "id": id } }),
        Event::Presence { id, member, data, gone } => {
            json!({ "presence": { "id": id, "member": member, "data": hex(data), "gone": gone } })
        }
        Event::History(h) => json!({ "history": {
            "id": h.id, "room": h.room, "from": h.from, "before": h.before, "limit": h.limit } }),
        Event::Closed(c) => json!({ "closed": closed(c) }),
        other => json!({ "unknown": { "event": format!("{other:?}") } }),
    }
}

fn limits(to: &mut Map<String, Value>, limits: &Limits) {
    to.insert("max_frame".into(), limits.max_frame.into());
    to.insert("in_flight".into(), limits.in_flight.into());
    to.insert("credit".into(), limits.credit.into());
    to.insert("keepalive_ms".into(), limits.keepalive.map(millis).into());
}

fn hello(h: &Hello<'_>) -> Value {
    let mut to = Map::new();
    limits(&mut to, &h.limits);
    to.insert("features".into(), h.features.bits().into());
    to.insert("session".into(), h.resume.map(|(id, _, _)| hex(&id.0)).into());
    to.insert("key".into(), h.resume.map(|(_, key, _)| hex(&key.0)).into());
    to.insert("received".into(), h.resume.map(|(_, _, n)| n).into());
    to.insert("expiry_ms".into(), millis(h.expiry).into());
    to.insert("auth".into(), auth(&h.auth));
    to.insert("name".into(), h.name.into());
    Value::Object(to)
}

fn auth(a: &Auth<'_>) -> Value {
    match a {
        Auth::None => json!({ "method": "none" }),
        Auth::Password { user, password } => {
            json!({ "method": "password", "user": user, "password": String::from_utf8_lossy(password) })
        }
        Auth::Token(token) => json!({ "method": "token", "token": hex(token) }),
        Auth::Scram(data) => json!({ "method": "scram", "data": hex(data) }),
        Auth::Other(n, data) => json!({ "method": n, "data": hex(data) }),
        other => json!({ "method": format!("{other:?}") }),
    }
}

fn welcome(w: &Welcome<'_>) -> Value {
    let mut to = Map::new();
    limits(&mut to, &w.limits);
    to.insert("features".into(), w.features.bits().into());
    to.insert("session".into(), w.session.map(|(id, _)| hex(&id.0)).into());
    to.insert("key".into(), w.session.map(|(_, key)| hex(&key.0)).into());
    to.insert("resumed".into(), w.received.is_some().into());
    to.insert("received".into(), w.received.into());
    to.insert("expiry_ms".into(), millis(w.expiry).into());
    to.insert("auth".into(), hex(w.auth).into());
    to.insert("name".into(), w.name.into());
    Value::Object(to)
}

fn message(id: Option<u64>, m: &Received<'_>) -> Value {
    let mut to = Map::new();
    if let Some(id) = id {
        to.insert("id".into(), id.into());
    }
    to.insert("topic".into(), m.topic.into());
    to.insert("payload".into(), hex(m.payload).into());
    to.insert("reliable".into(), m.reliable.into());
    to.insert("retain".into(), m.retain.into());
    to.insert("props".into(), properties(m.properties));
    Value::Object(to)
}

fn properties(all: Properties<'_>) -> Value {
    if all.is_empty() {
        return Value::Null;
    }
    let mut to = Map::new();
    let (mut user, mut unknown) = (Vec::new(), Vec::new());
    for property in all.iter() {
        match property {
            Property::ContentType(s) => to.insert("content_type".into(), s.into()),
            Property::Trace(t) => to.insert("trace".into(), hex(t).into()),
            Property::Route(b) => to.insert("route".into(), hex(b).into()),
            Property::Expiry(d) => to.insert("expiry_ms".into(), millis(d).into()),
            Property::Deduplication(b) => to.insert("dedup".into(), hex(b).into()),
            Property::ResponseTopic(topic) => to.insert("response_topic".into(), topic.into()),
            Property::Correlation(b) => to.insert("correlation".into(), hex(b).into()),
            Property::PayloadFormat(text) => to.insert("payload_format".into(), u8::from(text).into()),
            Property::User(name, value) => {
                user.push(json!([name, value]));
                None
            }
            Property::Encoding(e) => {
                let encoding = json!({"codec": e.codec.number(), "length": e.length});
                to.insert("encoding".into(), encoding)
            }
            Property::Unknown(id, b) => {
                unknown.push(json!([id, hex(b)]));
                None
            }
            other => to.insert("other".into(), format!("{other:?}").into()),
        };
    }
    for (name, list) in [("user", user), ("unknown", unknown)] {
        if !list.is_empty() {
            to.insert(name.into(), list.into());
        }
    }
    Value::Object(to)
}

fn subscribe(s: &Subscribe<'_>) -> Value {
    json!({
        "id": s.id, "filter": s.filter, "quality": u8::from(s.reliable), "credit": s.credit,
        "serve": s.serve, "no_local": s.no_local,
        "retained": s.retained.number(), "retain_as_published": s.retain_as_published,
    })
}

fn request(r: &Request<'_>) -> Value {
    json!({
        "id": r.id, "subscription": r.subscription, "timeout_ms": millis(r.timeout), "many": r.many,
        "topic": r.topic, "payload": hex(r.payload), "props": properties(r.properties),
    })
}

fn response(r: &Response<'_>) -> Value {
    json!({
        "id": r.id, "status": status(r.status), "more": r.more, "payload": hex(r.payload),
        "props": properties(r.properties),
    })
}

fn status(s: Status) -> String {
    wire::status_name(s.code())
}

fn outcome(o: &Outcome<'_>) -> Value {
    let kind = o.kind.map(|k| wire::kind_name(k.number()));
    json!({ "kind": kind, "id": o.id, "status": status(o.status), "reason": o.reason })
}

fn offer(o: &Offer<'_>) -> Value {
    json!({ "id": o.id, "queue": o.queue, "payload": hex(o.payload), "props": properties(o.properties) })
}

fn closed(c: &Closed<'_>) -> Value {
    let by = match c.by {
        By::Local => "local",
        By::Remote => "remote",
        By::Transport => "transport",
    };
    let code = c.code.map(|c| wire::code_name(u64::from(c.number())));
    json!({ "by": by, "code": code, "reason": c.reason, "clean": c.clean, "may_resume": c.may_resume() })
}
