//! Events of PRX1 as vectors write them.

use bowline_core::prx1::{
    ClientEvent, ConnAck, Connect, End, Fault, PacketId, Publish, Queue, QueueAction, QueueStatus,
    ServerEvent, Subscribe,
};
use serde_json::{Value, json};

use crate::pattern::hex;

/// An event of a server as an object with one member.
pub(super) fn of_server(event: &ServerEvent<'_>) -> Value {
    match event {
        ServerEvent::Connect(c) => json!({ "connect": connect(c) }),
        ServerEvent::Publish(p) => json!({ "publish": publish(p) }),
        ServerEvent::Subscribe(s) => json!({ "subscribe": subscribe(s) }),
        ServerEvent::Unsubscribe(s) => json!({ "unsubscribe": subscribe(s) }),
        ServerEvent::PubAck(id) => json!({ "puback": { "id": id.get() } }),
        ServerEvent::Queue(q) => json!({ "queue": queue(q) }),
        ServerEvent::QueueAck(status) => json!({ "queue_ack": { "status": status_name(*status) } }),
        ServerEvent::Closed(end) => json!({ "closed": closed(*end) }),
        other => json!({ "unknown": { "event": format!("{other:?}") } }),
    }
}

/// An event of a client as an object with one member.
pub(super) fn of_client(event: &ClientEvent<'_>) -> Value {
    match event {
        ClientEvent::Connected(c) => json!({ "connected": connected(c) }),
        ClientEvent::Publish(p) => json!({ "publish": publish(p) }),
        ClientEvent::Acked(id, key) => json!({ "acked": { "id": id.get(), "key": key } }),
        ClientEvent::SubAck(id) => json!({ "suback": { "id": id.get() } }),
        ClientEvent::UnsubAck(id) => json!({ "unsuback": { "id": id.get() } }),
        ClientEvent::Queue(q) => json!({ "queue": queue(q) }),
        ClientEvent::QueueAck(status) => json!({ "queue_ack": { "status": status_name(*status) } }),
        ClientEvent::Pong(rtt) => json!({ "pong": { "rtt_ms": rtt.as_millis() as u64 } }),
        ClientEvent::Closed(end) => json!({ "closed": closed(*end) }),
        other => json!({ "unknown": { "event": format!("{other:?}") } }),
    }
}

fn connect(c: &Connect<'_>) -> Value {
    json!({
        "user": c.user, "password": c.password.map(String::from_utf8_lossy), "client_id": c.client_id,
        "keepalive": c.keepalive, "clean": c.clean,
    })
}

fn connected(c: &ConnAck<'_>) -> Value {
    json!({ "has_session": c.has_session, "session": c.session, "clean": c.clean })
}

fn publish(p: &Publish<'_>) -> Value {
    json!({
        "topic": p.topic, "payload": hex(p.payload), "id": p.id.map(PacketId::get), "retain": p.retain,
        "dup": p.dup,
    })
}

fn subscribe(s: &Subscribe<'_>) -> Value {
    json!({
        "filter": s.filter.as_str(), "hub": s.filter.to_string(), "id": s.id.map(PacketId::get),
        "dup": s.dup,
    })
}

fn queue(q: &Queue<'_>) -> Value {
    let options = q.options.as_ref();
    let action = options.map(|o| match o.action {
        QueueAction::Initialize => "initialize",
        QueueAction::Destroy => "destroy",
        QueueAction::Drain => "drain",
    });
    json!({
        "action": action, "id": options.and_then(|o| o.id).map(PacketId::get),
        "address": options.and_then(|o| o.address), "return_path": options.and_then(|o| o.return_path),
        "mark": options.and_then(|o| o.mark).map(hex), "payload": q.payload.map(hex), "dup": q.dup,
    })
}

const fn status_name(status: QueueStatus) -> &'static str {
    match status {
        QueueStatus::None => "none",
        QueueStatus::Ok => "ok",
        QueueStatus::Error => "error",
    }
}

fn closed(end: End) -> Value {
    match end {
        End::Disconnected => json!({ "end": "disconnected" }),
        End::Closed => json!({ "end": "closed" }),
        End::Refused(result) => json!({ "end": "refused", "result": result as u8 }),
        End::Fault(fault) => json!({ "end": "fault", "fault": fault_name(&fault) }),
        End::Lost => json!({ "end": "lost" }),
    }
}

const fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::UnassignedCode(_) => "unassigned_code",
        Fault::LengthTooLong(_) => "length_too_long",
        Fault::TooLarge { .. } => "too_large",
        Fault::Truncated { .. } => "truncated",
        Fault::LeftOver { .. } => "left_over",
        Fault::NotUtf8 { .. } => "not_utf8",
        Fault::BadValue { .. } => "bad_value",
        Fault::BadId { .. } => "bad_id",
        Fault::BadTopic { .. } => "bad_topic",
        Fault::EmptyQueue => "empty_queue",
        Fault::BadProtocol => "bad_protocol",
        Fault::NotFirst { .. } => "not_first",
        Fault::Unexpected { .. } => "unexpected",
        Fault::HandshakeTimeout => "handshake_timeout",
        Fault::KeepaliveTimeout => "keepalive_timeout",
        Fault::WriteTimeout => "write_timeout",
        _ => "unknown",
    }
}
