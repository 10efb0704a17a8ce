//! What is to happen.

use std::time::Duration;

use arbitrary::Arbitrary;
use bowline_core::buf::SliceSendBuf;
use bowline_core::retain::RetainHandling;
use bowline_core::session::{
    Auth, Code, Config, Connect, Counts, Drain, Event, Fault, Features, Forward, History, Join, Kind, Limits,
    Message, Offer, Outcome, PREFACE, Properties, Property, Request, Response, Resume, ResumeKey, SendError,
    Session, SessionId, Subscribe, Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bowline_core::varint::leb128;

#[derive(Arbitrary, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) config: Limiting,
    /// The sizes of the pieces that arrive, over and over.
    pub(crate) pieces: [u8; 3],
    small_output: bool,
    auth: u8,
    resume: Option<(u8, u8, u8)>,
    name: &'a str,
    expiry: u16,
    pub(crate) steps: Vec<Step<'a>>,
}

impl Plan<'_> {
    /// The octets that may wait to be written.
    pub(crate) fn room(&self) -> usize {
        if self.small_output { 160 } else { 32_768 }
    }
}

/// A configuration, in few octets.
#[derive(Arbitrary, Debug)]
pub(crate) struct Limiting {
    max_frame: u8,
    in_flight: u8,
    credit: u8,
    keepalive: u8,
    features: u8,
    manual: bool,
}

impl Limiting {
    pub(crate) fn config(&self) -> Config {
        let limits = Limits {
            max_frame: u32::from(self.max_frame) * 64,
            in_flight: self.in_flight.into(),
            credit: if self.credit == 255 { u64::MAX } else { u64::from(self.credit) * 16 },
            keepalive: (self.keepalive > 0).then(|| Duration::from_millis(u64::from(self.keepalive) * 50)),
        };
        let features = Features::from_bits(bits(self.features));
        Config { limits, features, manual_accept: self.manual, ..Config::default() }
    }

    /// Room for the largest frame, also of a handshake.
    pub(crate) fn memory(&self) -> usize {
        (usize::from(self.max_frame) * 64).max(8192) + 10
    }
}

pub(crate) fn connect<'a>(plan: &Plan<'a>) -> Connect<'a> {
    let auth = match plan.auth % 5 {
        0 => Auth::None,
        1 => Auth::Password { user: plan.name, password: b"secret" },
        2 => Auth::Token(b"token"),
        3 => Auth::Scram(b"n,,n=user,r=abc"),
        _ => Auth::Other(u64::from(plan.auth) << (plan.auth % 60), b"data"),
    };
    let resume = plan.resume.map(|(sent, acked, received)| Resume {
        session: SessionId([1; 16]),
        key: ResumeKey([2; 16]),
        counts: counts(sent, acked, received),
    });
    Connect { auth, resume, expiry: Duration::from_millis(plan.expiry.into()), name: plan.name }
}

fn counts(sent: u8, acked: u8, received: u8) -> Counts {
    Counts { sent: sent.max(acked).into(), acked: acked.min(sent).into(), received: received.into() }
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Step<'a> {
    /// Octets as they are.
    Raw(&'a [u8]),
    Preface,
    /// A frame of any kind, well cut.
    Frame {
        kind: u8,
        flags: u8,
        body: &'a [u8],
    },
    /// A frame whose body follows.
    Size {
        head: u8,
        size: u64,
    },
    Hello {
        limits: [u8; 3],
        features: u8,
        auth: u8,
    },
    Welcome {
        limits: [u8; 3],
        features: u8,
        received: Option<u8>,
    },
    Publish {
        reliable: bool,
        topic: u8,
        payload: &'a [u8],
    },
    Message {
        id: u8,
        reliable: bool,
        size: u8,
    },
    Ack(u8),
    Credit(u8, u16),
    Ping(u64),
    Pong(u8),
    Close(u8),
    Subscribe(u8),
    Request(u8),
    Eof,
    Wait(u16),
    Back(u16),
    /// Until the next deadline.
    Sleep,
    /// The transport takes so many octets.
    Written(u16),
    Call(Call<'a>),
}

const TOPICS: [&str; 5] = ["a", "home/kitchen/temperature", "caf\u{e9}/menu", "a//b", "$SYS/x"];

impl Step<'_> {
    /// Puts what arrives.
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        match *self {
            Step::Raw(octets) => to.extend_from_slice(octets),
            Step::Preface => to.extend_from_slice(&PREFACE),
            Step::Frame { kind, flags, body } => frame(to, kind << 2 | flags & 3, body),
            Step::Size { head, size } => {
                to.push(head);
                number(to, size);
            }
            Step::Hello { limits, features, auth } => {
                let mut body = vec![1, 1 + (auth >> 6)];
                parameters(&mut body, limits, features);
                body.extend_from_slice(&[9, 2, auth & 3, b'x']);
                frame(to, 0, &body);
            }
            Step::Welcome { limits, features, received } => {
                let mut body = vec![1];
                parameters(&mut body, limits, features);
                if let Some(received) = received {
                    body.extend_from_slice(&[7, 1, received & 0x7f]);
                }
                frame(to, 1 << 2, &body);
            }
            Step::Publish { reliable, topic, payload } => {
                let mut body = Vec::new();
                string(&mut body, TOPICS[usize::from(topic) % TOPICS.len()]);
                body.extend_from_slice(payload);
                frame(to, 10 << 2 | u8::from(reliable), &body);
            }
            Step::Message { id, reliable, size } => {
                let mut body = Vec::new();
                number(&mut body, id.into());
                string(&mut body, "a/b");
                body.resize(body.len() + usize::from(size), 7);
                frame(to, 11 << 2 | u8::from(reliable), &body);
            }
            Step::Ack(n) => numbers(to, 7, &[n.into()]),
            Step::Credit(id, limit) => numbers(to, 8, &[id.into(), limit.into()]),
            Step::Ping(token) => frame(to, 5 << 2, &token.to_be_bytes()),
            Step::Pong(token) => frame(to, 6 << 2, &u64::from(token).to_be_bytes()),
            Step::Close(code) => {
                let mut body = vec![code & 0x7f];
                string(&mut body, "bye");
                frame(to, 3 << 2, &body);
            }
            Step::Subscribe(id) => {
                let mut body = Vec::new();
                number(&mut body, id.into());
                string(&mut body, "a/+");
                frame(to, 12 << 2, &body);
            }
            Step::Request(id) => {
                let mut body = vec![id & 0x7f, 0, 0];
                string(&mut body, "a");
                frame(to, 14 << 2, &body);
            }
            Step::Eof | Step::Wait(_) | Step::Back(_) | Step::Sleep | Step::Written(_) | Step::Call(_) => {}
        }
    }
}

/// A set of features: its highest bit of eight stands for that of retained values, the ninth.
fn bits(features: u8) -> u64 {
    u64::from(features) | u64::from(features & 0x80) << 1
}

fn parameters(body: &mut Vec<u8>, [max_frame, in_flight, credit]: [u8; 3], features: u8) {
    let values = [
        (1, bits(features)),
        (2, 256 + u64::from(max_frame) * 64),
        (3, u64::from(in_flight) + 1),
        (4, u64::from(credit) * 16 + 1),
    ];
    for (id, value) in values {
        body.push(id);
        body.push(leb128::encoded_len(value) as u8);
        number(body, value);
    }
}

fn frame(to: &mut Vec<u8>, head: u8, body: &[u8]) {
    to.push(head);
    number(to, body.len() as u64);
    to.extend_from_slice(body);
}

fn numbers(to: &mut Vec<u8>, kind: u8, values: &[u64]) {
    let mut body = Vec::new();
    values.iter().for_each(|value| number(&mut body, *value));
    frame(to, kind << 2, &body);
}

fn number(to: &mut Vec<u8>, value: u64) {
    let mut memory = [0; leb128::MAX_LEN];
    to.extend_from_slice(leb128::encode(value, &mut memory));
}

fn string(to: &mut Vec<u8>, s: &str) {
    number(to, s.len() as u64);
    to.extend_from_slice(s.as_bytes());
}

/// Every call that an application has.
#[derive(Arbitrary, Debug)]
pub(crate) enum Call<'a> {
    Publish { topic: &'a str, reliable: bool, size: u16, props: Option<&'a str> },
    Message { id: u64, reliable: bool, size: u16 },
    Forward { id: u64, reliable: bool, size: u16 },
    Subscribe { id: u8, filter: &'a str, flags: u8, credit: Option<u64> },
    Unsubscribe(u64),
    Request { id: u64, topic: &'a str, many: bool, timeout: u64 },
    Respond { id: u64, status: u64, more: bool, size: u16 },
    Cancel(u64),
    Result { kind: u8, id: u64, status: u64, reason: &'a str },
    Grant(u64, u64),
    Drain { deadline: u64, retry: u64, endpoint: &'a str },
    Offer(u64, u8),
    Take(u64, u64),
    Settle(u64, bool),
    Join { id: u64, credit: Option<u64>, presence: bool },
    Leave(u64),
    Presence { id: u64, member: &'a str, gone: bool },
    History { id: u64, from: Option<u64>, limit: Option<u64> },
    Ping,
    Accept(u8),
    Hold(bool),
    Close(u8),
    Fault,
    Welcome { session: bool, expiry: u64, resumed: Option<(u8, u8)>, name: &'a str },
    Challenge(&'a [u8]),
    Authenticate(&'a [u8]),
    Refuse(u8, &'a str),
}

impl<'a> Call<'a> {
    pub(crate) fn make(
        &self,
        now: Instant,
        s: &mut Session,
        out: &mut SliceSendBuf<'_>,
    ) -> Result<(), SendError> {
        let payload = [b'x'; 8192];
        let of = |size: u16| &payload[..usize::from(size) % payload.len()];
        let mut memory = [0; 64];
        match *self {
            Call::Publish { topic, reliable, size, props } => {
                let list = [Property::ContentType(props.unwrap_or_default())];
                let properties = match props {
                    Some(_) => Properties::write(&list, &mut memory).unwrap_or_default(),
                    None => Properties::NONE,
                };
                s.publish(
                    now,
                    out,
                    &Message { topic, payload: of(size), properties, reliable, retain: size >= 0x8000 },
                )
            }
            Call::Message { id, reliable, size } => {
                s.message(now, out, id, &Message { reliable, ..Message::new("a/b", of(size)) })
            }
            Call::Forward { id, reliable, size } => {
                let body = [b"\x03a/b", of(size)].concat();
                let f = Forward {
                    subscription: id,
                    reliable,
                    retain: size >= 0x8000,
                    has_properties: false,
                    body: &body[..],
                };
                s.forward(now, out, &f)
            }
            Call::Subscribe { id, filter, flags, credit } => {
                let (reliable, serve, no_local) = (flags & 1 > 0, flags & 2 > 0, flags & 4 > 0);
                let retained = RetainHandling::from_number(u64::from(flags >> 3 & 3) % 3).unwrap_or_default();
                let retain_as_published = flags & 32 > 0;
                let id = id.into();
                s.subscribe(
                    now,
                    out,
                    &Subscribe {
                        id,
                        filter,
                        reliable,
                        credit,
                        serve,
                        no_local,
                        retained,
                        retain_as_published,
                        ..Subscribe::default()
                    },
                )
            }
            Call::Unsubscribe(id) => s.unsubscribe(now, out, id),
            Call::Cancel(id) => s.cancel(now, out, id),
            Call::Grant(id, limit) => s.grant(now, out, id, limit),
            _ => self.make_another(now, s, out, &of),
        }
    }

    fn make_another<'p>(
        &self,
        now: Instant,
        s: &mut Session,
        out: &mut SliceSendBuf<'_>,
        of: &dyn Fn(u16) -> &'p [u8],
    ) -> Result<(), SendError> {
        let properties = Properties::NONE;
        match *self {
            Call::Request { id, topic, many, timeout } => {
                let timeout = Duration::from_millis(timeout);
                let r = Request { id, subscription: id, timeout, many, topic, payload: b"?", properties };
                s.request(now, out, &r)
            }
            Call::Respond { id, status, more, size } => {
                let status = Status::from_code(status);
                s.respond(now, out, &Response { id, status, more, payload: of(size), properties })
            }
            Call::Result { kind, id, status, reason } => {
                let (kind, status) = (Kind::from_number(kind), Status::from_code(status));
                s.result(now, out, &Outcome { kind, id, status, reason })
            }
            Call::Drain { deadline, retry, endpoint } => {
                let (deadline, retry_after) = (Duration::from_millis(deadline), Duration::from_secs(retry));
                s.drain(now, out, &Drain { deadline, retry_after, endpoint })
            }
            Call::Offer(id, size) => {
                s.offer(now, out, &Offer { id, queue: "jobs", payload: of(size.into()), properties })
            }
            Call::Take(id, count) => s.take(now, out, id, "jobs", count),
            Call::Settle(id, reject) => s.settle(now, out, id, reject),
            Call::Join { id, credit, presence } => {
                let since = credit.map(|credit| (credit, id));
                let join = Join { id, room: "room", credit, presence, since, data: b"d", ..Join::default() };
                s.join(now, out, &join)
            }
            Call::Leave(id) => s.leave(now, out, id),
            Call::Presence { id, member, gone } => s.presence(now, out, id, member, b"here", gone),
            Call::History { id, from, limit } => {
                s.history(now, out, &History { id, room: "room", from, before: None, limit })
            }
            _ => self.make_session(now, s, out),
        }
    }

    fn make_session(
        &self,
        now: Instant,
        s: &mut Session,
        out: &mut SliceSendBuf<'_>,
    ) -> Result<(), SendError> {
        match *self {
            Call::Welcome { session, expiry, resumed, name } => {
                let session = session.then_some((SessionId([1; 16]), ResumeKey([2; 16])));
                let expiry = Duration::from_millis(expiry);
                let welcome = Welcome { session, expiry, name, ..Welcome::default() };
                let resumed = resumed.map(|(sent, received)| counts(sent, sent, received));
                return s.welcome(now, out, &welcome, resumed);
            }
            Call::Challenge(data) => return s.challenge(now, out, data),
            Call::Authenticate(data) => return s.authenticate(now, out, data),
            Call::Refuse(code, reason) => return s.refuse(now, out, Code::from_number(code.into()), reason),
            Call::Accept(n) => s.accept_received(now, n.into()),
            Call::Hold(hold) => s.hold_credit(hold),
            Call::Close(n) => s.close(now, Code::from_number(n.into()), REASONS[usize::from(n) % 3]),
            Call::Fault => {
                // The event belongs to the caller, who has seen it by then.
                let told = s.close_with_fault(now, Fault::AuthFailed);
                assert!(told.is_none_or(|event| matches!(event, Event::Closed(_))));
            }
            _ => s.ping(now),
        }
        Ok(())
    }
}

const REASONS: [&str; 3] = ["", "bye", LONG];
const LONG: &str = concat!(
    "a reason that is longer than the smallest frame that a peer may allow, which is 256 octets; ",
    "a reason that is longer than the smallest frame that a peer may allow, which is 256 octets; ",
    "a reason that is longer than the smallest frame that a peer may allow, which is 256 octets."
);
