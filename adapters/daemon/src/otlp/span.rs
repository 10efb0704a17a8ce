//! From what the server tells of a message to a span.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use bowline_core::endpoint::server::{Stage, Traced};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// So many messages at most are remembered, from being taken until they are handed out.
const REMEMBERED: usize = 4096;

/// Trace id and parent id: what a message is known by.
type Key = [u8; 24];

/// Makes spans.
#[derive(Debug)]
pub(super) struct Spans {
    /// Of 2^63 trace ids, so many are exported.
    share: u64,
    scope: InstrumentationScope,
    /// The span of taking each, and when that was.
    taken: HashMap<Key, (SpanId, SystemTime)>,
    order: VecDeque<Key>,
}

impl Spans {
    /// Of such a part of all traces that are sampled.
    pub(super) fn new(part: f64) -> Self {
        let scope = InstrumentationScope::builder("bowline").with_version(env!("CARGO_PKG_VERSION")).build();
        // Saturates.
        let share = (part * (1u64 << 63) as f64) as u64;
        Self { share, scope, taken: HashMap::new(), order: VecDeque::new() }
    }

    /// The span of what was done with a message, unless it is none of those that are wanted. All of a trace are,
    /// here and on other servers with the same part, or none.
    pub(super) fn span(&mut self, traced: &Traced, now: SystemTime) -> Option<SpanData> {
        let id = traced.context.trace_id();
        let [.., a, b, c, d, e, f, g, h] = id;
        let wanted = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.share;
        if !wanted || !traced.context.is_sampled() {
            return None;
        }
        let mut key = [0; 24];
        key.copy_from_slice(&traced.context.as_bytes()[..24]);
        let parent = SpanId::from_bytes(traced.context.parent_id());
        let span = match traced.stage {
            Stage::Received => {
                // A context that was made here has no span of its own yet: this is it.
                let (own, parent) = if traced.made { (parent, SpanId::INVALID) } else { (draw(), parent) };
                self.remember(key, own, now);
                (own, parent, now, "receive", SpanKind::Consumer)
            }
            _ => {
                let (parent, since) = self.taken.get(&key).copied().unwrap_or((parent, now));
                (draw(), parent, since, "deliver", SpanKind::Producer)
            }
        };
        let (own, parent_span_id, start_time, name, span_kind) = span;
        let flags = TraceFlags::SAMPLED;
        Some(SpanData {
            span_context: SpanContext::new(TraceId::from_bytes(id), own, flags, false, TraceState::NONE),
            parent_span_id,
            parent_span_is_remote: traced.stage == Stage::Received && !traced.made,
            span_kind,
            name: Cow::Borrowed(name),
            start_time,
            end_time: now,
            attributes: attributes(traced, name),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        })
    }

    fn remember(&mut self, key: Key, span: SpanId, at: SystemTime) {
        if self.taken.insert(key, (span, at)).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.taken.remove(&oldest);
        }
    }
}

/// A new id; never one of zeros, which is none.
fn draw() -> SpanId {
    SpanId::from_bytes((rand::random::<u64>() | 1).to_be_bytes())
}

/// By OpenTelemetry's conventions for messaging; what those have no name for is below `bowline.`.
fn attributes(traced: &Traced, name: &'static str) -> Vec<KeyValue> {
    let sort = if traced.stage == Stage::Received { "receive" } else { "send" };
    let mut attributes = vec![
        KeyValue::new("messaging.system", "bowline"),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", sort),
        KeyValue::new("messaging.destination.name", traced.topic.clone()),
        KeyValue::new("messaging.message.envelope.size", traced.size as i64),
        KeyValue::new("network.protocol.name", traced.dialect.label()),
        KeyValue::new("bowline.session.number", traced.number as i64),
    ];
    let session = traced.session.as_ref().map(crate::net::short);
    attributes.extend(session.map(|session| KeyValue::new("messaging.client.id", session)));
    attributes
}
