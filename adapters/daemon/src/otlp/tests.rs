use std::time::{Duration, UNIX_EPOCH};

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{Peer, Server, ServerConfig, ServerEvent, Stage, TraceConfig, Traced};
use bowline_core::entropy::Seeded;
use bowline_core::mqtt::{Connect, Packet, Properties, Property, Publish, Version};
use bowline_core::time::Instant;
use bowline_core::trace::{TRACEPARENT, TraceContext};
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;

use super::span::Spans;

/// What a server tells of a message that one client publishes with this trace.
fn received(trace: &str) -> Traced {
    let now = Instant::from_millis(1);
    let trace_all = TraceConfig { make: 1_000_000, report: true };
    let config = ServerConfig { trace: trace_all, ..ServerConfig::default() };
    let mut server = Server::new(config, Box::new(Seeded::new(1)));
    let connection = server.accept(now, Peer::default()).unwrap();
    let (mut input, mut out) = (GrowingRecvBuf::new(4096), SharedSendBuf::new(4096));
    let mut line = SharedSendBuf::new(4096);
    let properties = [Property::User(TRACEPARENT, trace)];
    let list = if trace.is_empty() { &[][..] } else { &properties[..] };
    Connect::new(Version::V5, "me").encode(Version::V5, &mut line).unwrap();
    let publish = Publish { properties: Properties::list(list), ..Publish::new("a/b", b"hi") };
    Packet::Publish(publish).encode(Version::V5, &mut line).unwrap();
    line.slices().for_each(|piece| {
        input.push(piece);
    });
    server.recv(now, connection, &mut input, &mut out);
    let events = std::iter::from_fn(|| server.poll_event());
    let traced = events.filter_map(|event| match event {
        ServerEvent::Traced(traced) => Some(traced),
        _ => None,
    });
    traced.last().unwrap()
}

fn text(trace: u64, flags: u8) -> String {
    format!("00-0af7651916cd43dd{trace:016x}-b7ad6b7169203331-{flags:02x}")
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string())
}

#[test]
fn a_delivery_is_below_what_took_the_message() {
    let mut spans = Spans::new(1.0);
    let came = received(&text(1, 1));
    let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
    let taken = spans.span(&came, at(10)).unwrap();
    assert_eq!((&*taken.name, &taken.span_kind), ("receive", &SpanKind::Consumer));
    assert_eq!(taken.span_context.trace_id().to_bytes(), came.context.trace_id());
    assert_eq!(taken.parent_span_id.to_bytes(), came.context.parent_id());
    assert!(taken.parent_span_is_remote && taken.span_context.is_valid());
    let went = Traced { stage: Stage::Delivered, ..came };
    for n in 0..2 {
        let given = spans.span(&went, at(12 + n)).unwrap();
        assert_eq!((&*given.name, &given.span_kind), ("deliver", &SpanKind::Producer));
        assert_eq!(given.parent_span_id, taken.span_context.span_id());
        assert_eq!((given.start_time, given.end_time), (at(10), at(12 + n)));
        assert_ne!(given.span_context.span_id(), taken.span_context.span_id());
    }
    for (key, value) in [
        ("messaging.system", "bowline"),
        ("messaging.operation.name", "receive"),
        ("messaging.operation.type", "receive"),
        ("messaging.destination.name", "a/b"),
        ("network.protocol.name", "mqtt5"),
    ] {
        assert_eq!(attribute(&taken, key).as_deref(), Some(value), "{key}");
    }
    assert!(attribute(&taken, "messaging.message.envelope.size").unwrap().parse::<u64>().unwrap() > 30);
}

/// One that was taken before this began, or too long ago, is below what its producer said.
#[test]
fn a_delivery_of_what_is_not_remembered_stands_alone() {
    let mut spans = Spans::new(1.0);
    let came = received(&text(1, 1));
    spans.span(&came, UNIX_EPOCH).unwrap();
    for n in 2..=4097 {
        let context = TraceContext::parse(&text(n, 1)).unwrap();
        spans.span(&Traced { context, ..came.clone() }, UNIX_EPOCH).unwrap();
    }
    let went = Traced { stage: Stage::Delivered, ..came };
    let later = UNIX_EPOCH + Duration::from_secs(1);
    let given = spans.span(&went, later).unwrap();
    assert_eq!(given.parent_span_id.to_bytes(), went.context.parent_id());
    assert_eq!((given.start_time, given.end_time), (later, later));
}

#[test]
fn a_trace_that_was_made_here_begins_here() {
    let came = received("");
    assert!(came.made);
    let span = Spans::new(1.0).span(&came, UNIX_EPOCH).unwrap();
    assert_eq!(span.span_context.span_id().to_bytes(), came.context.parent_id());
    assert_eq!((span.parent_span_id, span.parent_span_is_remote), (SpanId::INVALID, false));
}

/// All of a trace or nothing, by its id; and never what its producer does not want recorded.
#[test]
fn a_part_is_exported() {
    let came = received(&text(1, 1));
    let exported = |part: f64, trace: u64, flags| {
        let context = TraceContext::parse(&text(trace, flags)).unwrap();
        Spans::new(part).span(&Traced { context, ..came.clone() }, UNIX_EPOCH).is_some()
    };
    assert!(exported(1.0, u64::MAX, 1) && !exported(1.0, 1, 0));
    assert!(!exported(0.0, 1, 1));
    let count = |part| (0..1000).filter(|n| exported(part, n * (u64::MAX / 1000), 1)).count();
    assert!((240..=260).contains(&count(0.25)), "{}", count(0.25));
}
