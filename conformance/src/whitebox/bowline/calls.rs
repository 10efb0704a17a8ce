//! The application's calls, made on the session machine.

use bowline_core::entropy::Scripted;
use bowline_core::retain::RetainHandling;
use bowline_core::scram::{self, ScramClient};
use bowline_core::session::{
    Auth, Code, Connect, Counts, DatagramMode, Drain, History, Join, Joined, Kind, Message, Offer, Outcome,
    Properties, Property, Request, Response, Resume, ResumeKey, SendError, Session, SessionId, Subscribe,
    Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Bowline, Output, blocked, events};
use crate::call::{self, Call};
use crate::pattern::unhex;
use crate::runner::Trouble;
use crate::wire;

/// What is wrong with a vector's arguments.
fn wrong(what: impl Into<String>) -> Trouble {
    Trouble::Broken(what.into())
}

pub(super) fn octets(text: &str) -> Result<Vec<u8>, Trouble> {
    unhex(text).map_err(wrong)
}

fn sixteen(text: Option<&String>) -> Result<Option<[u8; 16]>, Trouble> {
    let Some(text) = text else { return Ok(None) };
    octets(text)?.try_into().map(Some).map_err(|_| wrong("a session id and a key have 16 octets each"))
}

pub(super) fn status(value: &Value) -> Result<Status, Trouble> {
    let number = value.as_u64().or_else(|| wire::status_number(value.as_str()?));
    number.map(Status::from_code).ok_or_else(|| wrong(format!("{value} is no status")))
}

fn kind(name: &str) -> Result<Kind, Trouble> {
    wire::kind_number(name).and_then(Kind::from_number).ok_or_else(|| wrong(format!("{name} is no kind")))
}

fn code(name: &str) -> Result<Code, Trouble> {
    wire::code_number(name).map(Code::from_number).ok_or_else(|| wrong(format!("{name} is no close code")))
}

fn counts(c: call::Counts) -> Counts {
    Counts { sent: c.sent, acked: c.acked, received: c.received }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Bowline {
    pub(super) fn make(&mut self, now: Instant, call: &Call, output: &mut Output) -> Result<(), Trouble> {
        if let Call::Connect(c) = call {
            return self.connect(now, c, output);
        }
        if super::tunnels::call(&mut self.tunnels, call)? {
            return Ok(());
        }
        let Some(session) = self.session.as_mut() else {
            output.events.push(blocked("state"));
            return Ok(());
        };
        match call {
            Call::Ping {} => session.ping(now),
            Call::Hold { hold } => session.hold_credit(*hold),
            Call::Accept { count } => session.accept_received(now, *count),
            // The machine keeps a reason for as long as the program runs; a vector's lives as long.
            Call::Close { code: c, reason } => session.close(now, code(c)?, reason.clone().leak()),
            Call::Welcome(w) => return self.welcome(now, w, output),
            other => {
                let result = answer(session, now, output, other)?;
                output.events.extend(result.err().map(refusal));
            }
        }
        Ok(())
    }

    fn connect(&mut self, now: Instant, c: &call::Connect, output: &mut Output) -> Result<(), Trouble> {
        let memory = match &c.auth {
            Some(call::Auth::Token { token: data } | call::Auth::Scram { data: Some(data), .. }) => {
                octets(data)?
            }
            Some(call::Auth::Scram { data: None, user, password }) => {
                self.scram(user.as_deref().unwrap_or_default(), password.as_deref().unwrap_or_default())?
            }
            _ => Vec::new(),
        };
        let auth = match &c.auth {
            None | Some(call::Auth::None) => Auth::None,
            Some(call::Auth::Password { user, password }) => {
                Auth::Password { user, password: password.as_bytes() }
            }
            Some(call::Auth::Token { .. }) => Auth::Token(&memory),
            Some(call::Auth::Scram { .. }) => Auth::Scram(&memory),
        };
        let resume = match (sixteen(c.session.as_ref())?, sixteen(c.key.as_ref())?) {
            (Some(session), Some(key)) => Some(Resume {
                session: SessionId(session),
                key: ResumeKey(key),
                counts: counts(c.counts.unwrap_or_default()),
            }),
            _ => None,
        };
        let connect = Connect { auth, resume, expiry: ms(c.expiry_ms), name: &c.name };
        match Session::connect(now, &self.config, &connect, output) {
            Ok(session) => self.session = Some(session),
            Err(error) => output.events.push(refusal(error)),
        }
        Ok(())
    }

    /// Begins SCRAM; the nonce is drawn from the vector's entropy.
    fn scram(&mut self, user: &str, password: &str) -> Result<Vec<u8>, Trouble> {
        let (wire, secret) = (octets(&self.entropy.wire)?, octets(&self.entropy.secret)?);
        let mut client = ScramClient::new(user, password, &mut Scripted::new(&wire, &secret))
            .map_err(|e| wrong(e.to_string()))?;
        let mut memory = [0; scram::MAX_MESSAGE];
        let n = client.first(&mut memory).map_err(|e| wrong(e.to_string()))?;
        self.scram = Some(Box::new(client));
        Ok(memory[..n].to_vec())
    }

    fn welcome(&mut self, now: Instant, w: &call::Welcome, output: &mut Output) -> Result<(), Trouble> {
        let Some(session) = self.session.as_mut() else { return Ok(()) };
        let auth = octets(&w.auth)?;
        let named = match (sixteen(w.session.as_ref())?, sixteen(w.key.as_ref())?) {
            (Some(id), Some(key)) => Some((SessionId(id), ResumeKey(key))),
            _ => None,
        };
        let welcome = Welcome {
            session: named,
            expiry: ms(w.expiry_ms),
            auth: &auth,
            name: &w.name,
            ..Welcome::default()
        };
        let resumed = match w.counts.map(|c| counts(c).resume(self.hello_received.unwrap_or_default())) {
            None => None,
            Some(Ok(counts)) => Some(counts),
            Some(Err(fault)) => {
                output.events.extend(session.close_with_fault(now, fault).as_ref().map(events::describe));
                return Ok(());
            }
        };
        let result = session.welcome(now, output, &welcome, resumed);
        output.events.extend(result.err().map(refusal));
        Ok(())
    }
}

/// The event that says why a call did not happen.
fn refusal(error: SendError) -> Value {
    match error {
        SendError::Credit => blocked("credit"),
        SendError::InFlight => blocked("in_flight"),
        SendError::Blocked(_) => blocked("room"),
        SendError::State => blocked("state"),
        SendError::Draining => blocked("draining"),
        SendError::TooLarge { .. } => json!({ "misuse": { "what": "too_large" } }),
        SendError::Topic(_) => json!({ "misuse": { "what": "topic" } }),
        SendError::Unsupported => json!({ "misuse": { "what": "unsupported" } }),
        other => json!({ "misuse": { "what": "invalid", "text": other.to_string() } }),
    }
}

type Sent = Result<Result<(), SendError>, Trouble>;

/// The calls that answer a client, and all that send one frame.
fn answer(s: &mut Session, now: Instant, out: &mut Output, call: &Call) -> Sent {
    Ok(match call {
        Call::Challenge { data } => s.challenge(now, out, &octets(data)?),
        Call::Authenticate { data } => s.authenticate(now, out, &octets(data)?),
        Call::Refuse { code: c, reason } => s.refuse(now, out, code(c)?, reason),
        Call::Publish(m) => return with_message(m, |m| s.publish(now, out, m)),
        Call::Message(m) => return with_message(m, |message| s.message(now, out, m.id, message)),
        Call::Subscribe(c) => s.subscribe(now, out, &subscribe(c)?),
        Call::Unsubscribe { id } => s.unsubscribe(now, out, *id),
        Call::Request(r) => {
            let (payload, mut memory) = (octets(&r.payload)?, Vec::new());
            let (timeout, topic) = (ms(r.timeout_ms), r.topic.as_str());
            let (properties, payload) = (properties(&r.props, &mut memory)?, payload.as_slice());
            let (id, subscription, many) = (r.id, r.subscription, r.many);
            s.request(now, out, &Request { id, subscription, timeout, many, topic, payload, properties })
        }
        Call::Respond(r) => {
            let (payload, mut memory) = (octets(&r.payload)?, Vec::new());
            let (properties, status) = (properties(&r.props, &mut memory)?, status(&r.status)?);
            s.respond(now, out, &Response { id: r.id, status, more: r.more, payload: &payload, properties })
        }
        Call::Cancel { id } => s.cancel(now, out, *id),
        Call::Result { kind: k, id, status: st, reason } => {
            s.result(now, out, &Outcome { kind: Some(kind(k)?), id: *id, status: status(st)?, reason })
        }
        Call::Credit { id, limit } => s.grant(now, out, *id, *limit),
        Call::Drain { deadline_ms, retry_after_ms, endpoint } => s.drain(
            now,
            out,
            &Drain { deadline: ms(*deadline_ms), retry_after: ms(*retry_after_ms), endpoint },
        ),
        other => return rooms_and_queues(s, now, out, other),
    })
}

fn rooms_and_queues(s: &mut Session, now: Instant, out: &mut Output, call: &Call) -> Sent {
    Ok(match call {
        Call::Offer(o) => {
            let (payload, mut memory) = (octets(&o.payload)?, Vec::new());
            let properties = properties(&o.props, &mut memory)?;
            s.offer(now, out, &Offer { id: o.id, queue: &o.queue, payload: &payload, properties })
        }
        Call::Take { id, queue, count } => s.take(now, out, *id, queue, *count),
        Call::Settle { id, reject } => s.settle(now, out, *id, *reject),
        Call::Join { id, room, credit, presence, since, history, data, count_only } => {
            let since = since.as_ref().map(|(epoch, offset)| Ok((epoch_of(epoch)?, *offset))).transpose()?;
            let (data, room) = (octets(data)?, room.as_str());
            let (id, credit, history) = (*id, *credit, *history);
            let (presence, count_only) = (*presence, *count_only);
            s.join(now, out, &Join { id, room, credit, since, history, data: &data, presence, count_only })
        }
        Call::Joined { id, epoch, offset, count, member, recovered } => {
            let (id, epoch, offset, count) = (*id, epoch_of(epoch)?, *offset, *count);
            s.joined(now, out, &Joined { id, epoch, offset, count, member, recovered: *recovered })
        }
        Call::Leave { id } => s.leave(now, out, *id),
        Call::Presence { id, member, data, gone } => s.presence(now, out, *id, member, &octets(data)?, *gone),
        Call::History { id, room, from, before, limit } => {
            s.history(now, out, &History { id: *id, room, from: *from, before: *before, limit: *limit })
        }
        other => return Err(wrong(format!("{other:?} was not expected here"))),
    })
}

/// An epoch: eight octets.
fn epoch_of(text: &str) -> Result<u64, Trouble> {
    let octets: [u8; 8] = octets(text)?.try_into().map_err(|_| wrong("an epoch has eight octets"))?;
    Ok(u64::from_be_bytes(octets))
}

fn subscribe(c: &call::Subscribe) -> Result<Subscribe<'_>, Trouble> {
    let reliable = match c.quality {
        0 => false,
        1 => true,
        _ => return Err(wrong("quality is 0 or 1")),
    };
    let (id, credit, serve, no_local) = (c.id, c.credit, c.serve, c.no_local);
    let retained = RetainHandling::from_number(c.retained).ok_or_else(|| wrong("retained is 0, 1 or 2"))?;
    let (filter, retain_as_published) = (c.filter.as_str(), c.retain_as_published);
    let datagrams = DatagramMode::default();
    Ok(Subscribe { id, filter, reliable, credit, serve, no_local, retained, retain_as_published, datagrams })
}

fn with_message(m: &call::Message, send: impl FnOnce(&Message<'_>) -> Result<(), SendError>) -> Sent {
    let (payload, mut memory) = (octets(&m.payload)?, Vec::new());
    let (properties, reliable, retain) = (properties(&m.props, &mut memory)?, m.reliable, m.retain);
    Ok(send(&Message { topic: &m.topic, payload: &payload, properties, reliable, retain }))
}

/// The most that a vector's properties take, in octets.
const PROPERTIES_MAX: usize = 65_536;

/// Unknown properties stand before this one, the first known one above 63, or behind all.
const RESPONSE_TOPIC: u64 = 65;

/// Writes properties into `memory`.
fn properties<'m>(props: &call::Props, memory: &'m mut Vec<u8>) -> Result<Properties<'m>, Trouble> {
    let given = |text: &Option<String>| octets(text.as_deref().unwrap_or_default());
    let (trace, route, dedup) = (given(&props.trace)?, given(&props.route)?, given(&props.dedup)?);
    let correlation = given(&props.correlation)?;
    let unknown: Vec<_> =
        props.unknown.iter().map(|(id, v)| Ok((*id, octets(v)?))).collect::<Result<_, Trouble>>()?;
    let mut list = Vec::new();
    list.extend(props.content_type.as_deref().map(Property::ContentType));
    if props.trace.is_some() {
        let trace = trace.as_slice().try_into().map_err(|_| wrong("a trace context has 25 octets"))?;
        list.push(Property::Trace(trace));
    }
    list.extend(props.route.as_ref().map(|_| Property::Route(&route)));
    list.extend(props.expiry_ms.map(|n| Property::Expiry(ms(n))));
    list.extend(props.dedup.as_ref().map(|_| Property::Deduplication(&dedup)));
    list.extend(props.user.iter().map(|(name, value)| Property::User(name, value)));
    let (first, last): (Vec<_>, Vec<_>) = unknown.iter().partition(|(id, _)| *id < RESPONSE_TOPIC);
    list.extend(first.iter().map(|(id, value)| Property::Unknown(*id, value)));
    list.extend(props.response_topic.as_deref().map(Property::ResponseTopic));
    list.extend(props.correlation.as_ref().map(|_| Property::Correlation(&correlation)));
    list.extend(props.payload_format.map(|n| Property::PayloadFormat(n == 1)));
    list.extend(last.iter().map(|(id, value)| Property::Unknown(*id, value)));
    memory.resize(PROPERTIES_MAX, 0);
    Properties::write(&list, memory).map_err(|e| wrong(e.to_string()))
}
