//! The trace that a message belongs to (JSON.md, JSN-33).

use alloc::borrow::Cow;

use super::Object;
use crate::session::{Properties, Property};
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext, is_tracestate};

/// The members `traceparent` and `tracestate`, or the fields of HTTP of those names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace<'a> {
    /// Which trace.
    pub context: TraceContext,
    /// What vendors of tracing keep with it.
    pub state: Option<Cow<'a, str>>,
}

impl<'a> Trace<'a> {
    /// From the two texts: nothing where the first is no trace context; a state that is none is left out.
    #[must_use]
    pub fn parse(parent: &str, state: Option<Cow<'a, str>>) -> Option<Self> {
        let context = TraceContext::parse(parent).filter(TraceContext::is_valid)?;
        Some(Self { context, state: state.filter(|state| is_tracestate(state)) })
    }

    /// That of a message with these properties: its trace context, and the first user property `tracestate`.
    pub(crate) fn of(properties: Properties<'a>) -> Option<Self> {
        let mut trace = None;
        for property in properties.iter() {
            match (property, &mut trace) {
                (Property::Trace(octets), _) => {
                    let context = Some(TraceContext::from_bytes(*octets)).filter(TraceContext::is_valid)?;
                    trace = Some(Self { context, state: None });
                }
                (Property::User(TRACESTATE, text), Some(trace)) if trace.state.is_none() => {
                    trace.state = Some(Cow::Borrowed(text)).filter(|text| is_tracestate(text));
                }
                _ => {}
            }
        }
        trace
    }

    /// The properties that a message has of it.
    pub(crate) fn properties(&self) -> impl Iterator<Item = Property<'_>> + Clone {
        let state = self.state.as_deref().map(|state| Property::User(TRACESTATE, state));
        core::iter::once(Property::Trace(self.context.as_bytes())).chain(state)
    }

    pub(super) fn put(&self, object: &mut Object<'_>) {
        object.plain(TRACEPARENT, self.context).maybe_text(TRACESTATE, self.state.as_deref());
    }
}
