//! Traces of messages: made where one comes without, and told of, for logs and for those who collect spans.
//!
//! A message that comes with a trace keeps it, whatever this is set to. Nothing here is done for a message where
//! neither is wanted.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::connection::Turn;
use super::event::{Dialect, ServerEvent, SessionName};
use super::inflating::{Accepted, Inflating};
use super::{ConnectionKey, Server};
use crate::hub::{Delivery, Drained, Hub, Message, Refusal, SessionKey, Take};
use crate::time::Instant;
use crate::trace::TraceContext;

/// As much of a topic is told, in octets.
const TOPIC_MAX: usize = 256;

/// What a server does about traces.
///
/// ```
/// use bowline_core::endpoint::server::{ServerConfig, TraceConfig};
/// let mut config = ServerConfig::default();
/// assert_eq!(config.trace, TraceConfig { make: 0, report: false });
/// config.trace.make = 10_000; // of each hundred messages one
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceConfig {
    /// Of a million messages that come without a trace, so many are given a new one; 0.
    pub make: u32,
    /// Whether each message that has a trace is told of ([`ServerEvent::Traced`]) when it comes, and whenever it
    /// is handed out; not.
    pub report: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// A client published it, or asks by it.
    Received,
    /// It was handed out to a client.
    Delivered,
}

/// A message of a trace came, or was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Which.
    pub stage: Stage,
    /// Its trace.
    pub context: TraceContext,
    /// Whether this server has made that, as the message came without.
    pub made: bool,
    /// The connection; of a client that polls, the one that stands for it.
    pub connection: ConnectionKey,
    /// The session's number, as in [`SessionInfo`](crate::hub::SessionInfo).
    pub number: u64,
    /// The session's name, where it outlives its connections.
    pub session: Option<SessionName>,
    /// What is spoken.
    pub dialect: Dialect,
    /// The topic; of a long one its first 256 octets. Empty: it is a response.
    pub topic: String,
    /// Octets of the message: topic, properties and payload.
    pub size: u64,
}

/// How many messages had to do with traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceCounters {
    /// Those that came with a trace, and those that were given one.
    pub received: u64,
    /// Those that were given one.
    pub made: u64,
    /// Those that were handed out with one.
    pub delivered: u64,
}

/// What is done about traces, where anything is.
#[derive(Debug)]
pub(super) struct Tracing {
    config: TraceConfig,
    counters: TraceCounters,
    /// What was handed out in this call.
    delivered: Vec<Traced>,
}

impl Tracing {
    pub(super) fn new(config: TraceConfig) -> Option<Box<Self>> {
        let wanted = config.make > 0 || config.report;
        wanted.then(|| Box::new(Self { config, counters: TraceCounters::default(), delivered: Vec::new() }))
    }

    pub(super) const fn counters(&self) -> TraceCounters {
        self.counters
    }

    fn hand_out(&mut self, delivery: &Delivery<'_>, to: (ConnectionKey, SessionKey), dialect: Dialect) {
        let (Delivery::Message { message, .. }
        | Delivery::Request { message, .. }
        | Delivery::Response { message, .. }) = delivery
        else {
            return;
        };
        let Some(context) = message.trace().filter(TraceContext::is_valid) else { return };
        self.counters.delivered += 1;
        if self.config.report {
            self.delivered.push(told(Stage::Delivered, context, to, dialect, message));
        }
    }
}

fn told(
    stage: Stage,
    context: TraceContext,
    (connection, hub): (ConnectionKey, SessionKey),
    dialect: Dialect,
    message: &Message,
) -> Traced {
    let topic = message.topic();
    let end = (0..=TOPIC_MAX.min(topic.len())).rfind(|at| topic.is_char_boundary(*at));
    Traced {
        stage,
        context,
        made: false,
        connection,
        number: hub.number(),
        session: None,
        dialect,
        topic: topic[..end.unwrap_or(0)].into(),
        size: message.body().len() as u64,
    }
}

impl Turn<'_> {
    /// A client publishes or asks by this message: with a trace of its own, one that is made now, or none.
    #[inline]
    pub(super) fn entering(&mut self, hub: SessionKey, dialect: Dialect, message: Message) -> Message {
        if self.server.tracing.is_none() {
            return message;
        }
        self.server.trace(self.key, hub, dialect, message)
    }
}

impl Server {
    #[cold]
    fn trace(&mut self, key: ConnectionKey, hub: SessionKey, dialect: Dialect, message: Message) -> Message {
        let Some(tracing) = &mut self.tracing else { return message };
        let (mut context, mut message) = (message.trace(), message);
        let mut made = false;
        if context.is_none() && self.entropy.wire_up_to(999_999) < u64::from(tracing.config.make) {
            message = message.with_trace(&TraceContext::draw(&mut *self.entropy));
            context = message.trace();
            made = context.is_some();
        }
        let Some(context) = context.filter(TraceContext::is_valid) else { return message };
        tracing.counters.received += 1;
        tracing.counters.made += u64::from(made);
        if tracing.config.report {
            let told = told(Stage::Received, context, (key, hub), dialect, &message);
            let session = self.registry.told(hub);
            self.events.push_back(ServerEvent::Traced(Traced { made, session, ..told }));
        }
        message
    }

    /// What handing out to a session works with that takes so much compressed.
    pub(super) const fn lend(&mut self, accepted: Accepted) -> Lent<'_> {
        let Self { hub, tracing, inflating, .. } = self;
        Lent { hub, tracing, inflating, accepted }
    }

    /// So much was handed out to a client just now.
    #[inline]
    pub(super) fn delivered(&mut self, hub: SessionKey, dialect: Dialect, count: u32) {
        self.traffic.delivered(dialect, count);
        if let Some(tracing) = &mut self.tracing {
            let session = self.registry.told(hub);
            let events = tracing.delivered.drain(..).map(|told| Traced { session: session.clone(), ..told });
            self.events.extend(events.map(ServerEvent::Traced));
        }
    }
}

/// What handing out works with.
pub(super) struct Lent<'s> {
    pub(super) hub: &'s mut Hub,
    pub(super) tracing: &'s mut Option<Box<Tracing>>,
    pub(super) inflating: &'s mut Inflating,
    /// What the session takes compressed.
    pub(super) accepted: Accepted,
}

/// [`Hub::drain`], which inflates what is not to be handed on compressed, and takes note of messages with a trace
/// where that is wanted.
#[inline]
pub(super) fn drain<T: Into<Take>>(
    lent: Lent<'_>,
    now: Instant,
    to: (ConnectionKey, SessionKey),
    dialect: Dialect,
    mut take: impl FnMut(&Delivery<'_>) -> T,
) -> Result<Drained, Refusal> {
    let Lent { hub, tracing, inflating, accepted } = lent;
    let mut take = |delivery: &Delivery<'_>| inflating.hand_out(delivery, accepted, |d| take(d).into());
    match tracing {
        None => hub.drain(now, to.1, take),
        Some(tracing) => {
            let mut take = |delivery: &Delivery<'_>| {
                let taken = take(delivery);
                if taken.is_taken() {
                    tracing.hand_out(delivery, to, dialect);
                }
                taken
            };
            // One way for all dialects: who traces does not count instructions.
            hub.drain(now, to.1, &mut take as &mut dyn FnMut(&Delivery<'_>) -> Take)
        }
    }
}
