//! Our own protocol. The numbers are those of `conformance/SPEC.md`; this is written without the
//! core on purpose, so that load costs little and an error of the core is not measured as right.

use super::{Allowance, Attack, Event, FloodKind, Template, Wire, attack_after_opening, garbage};

const PREFACE: [u8; 4] = [0xB0, b'W', b'L', b'\n'];
const WELCOME: u8 = 1;
const CLOSE: u8 = 3;
const PING: u8 = 5;
const PONG: u8 = 6;
const ACK: u8 = 7;
const CREDIT: u8 = 8;
const RESULT: u8 = 9;
const PUBLISH: u8 = 10;
const MESSAGE: u8 = 11;
const SUBSCRIBE: u8 = 12;
/// The flags of PUBLISH and MESSAGE.
const RELIABLE: u8 = 1;
const PROPS: u8 = 2;
/// The largest number there is: credit without limit.
const UNLIMITED: u64 = (1 << 63) - 1;
/// In flight, as this side takes it: the most that can be said.
const IN_FLIGHT: u64 = 65_535;
/// No frame of ours is larger, so a server that announces more is out of step.
const FRAME_MAX: u64 = 16_777_216;

/// Our own protocol; also for servers that send each PUBLISH back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bowline;

/// Appends a number.
fn put(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_parameter(id: u64, value: u64, out: &mut Vec<u8>) {
    let mut octets = Vec::new();
    put(value, &mut octets);
    put(id, out);
    put_bytes(&octets, out);
}

fn put_frame(kind: u8, flags: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind << 2 | flags);
    put_bytes(body, out);
}

/// A cursor over a body.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for (i, octet) in self.0.iter().enumerate().take(9) {
            value |= u64::from(octet & 0x7F) << (7 * i);
            if octet & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.number()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }
}

/// The parameters of WELCOME that matter to a sender.
fn welcome(body: &[u8]) -> Option<Allowance> {
    let mut allowance = Allowance { credit: 1_048_576, in_flight: 1024 };
    let mut body = Reader(body.get(1..)?);
    while !body.0.is_empty() {
        let id = body.number()?;
        let mut value = Reader(body.bytes()?);
        match id {
            3 => allowance.in_flight = value.number()?,
            4 => allowance.credit = value.number()?,
            _ => {}
        }
    }
    Some(allowance)
}

#[inline]
fn message(kind: u8, flags: u8, body: &[u8]) -> Option<Event<'_>> {
    let mut body = Reader(body);
    if kind == MESSAGE {
        body.number()?;
    }
    if flags & PROPS != 0 {
        body.bytes()?;
    }
    body.bytes()?;
    Some(Event::Message { payload: body.0, reliable: flags & RELIABLE != 0 })
}

fn result(body: &[u8]) -> Option<Option<Event<'_>>> {
    let (&kind, rest) = body.split_first()?;
    let mut rest = Reader(rest);
    let (id, status) = (rest.number()?, rest.number()?);
    let reason = String::from_utf8_lossy(rest.bytes()?);
    Some(
        (status != 0)
            .then(|| Event::Trouble(format!("RESULT for kind {kind}, id {id}: status {status} ({reason})"))),
    )
}

/// The event in one frame; `None` is a body that cannot be read.
#[inline]
fn event(head: u8, body: &[u8]) -> Option<Option<Event<'_>>> {
    let kind = head >> 2;
    Some(Some(match kind {
        PUBLISH | MESSAGE => message(kind, head & 3, body)?,
        ACK => Event::Acked(Reader(body).number()?),
        CREDIT => {
            let mut body = Reader(body);
            if body.number()? != 0 {
                return Some(None);
            }
            Event::Credit(body.number()?)
        }
        WELCOME => Event::Opened(welcome(body)?),
        PING => Event::Ping(body.try_into().ok()?),
        PONG => Event::Pong,
        RESULT => return result(body),
        CLOSE => {
            let mut body = Reader(body);
            let code = body.number()?;
            Event::Trouble(format!("CLOSE {code}: {}", String::from_utf8_lossy(body.bytes()?)))
        }
        _ => return Some(None),
    }))
}

impl Wire for Bowline {
    fn opening(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&PREFACE);
        let mut body = vec![1, 1];
        put_parameter(3, IN_FLIGHT, &mut body);
        put_parameter(4, UNLIMITED, &mut body);
        put_frame(0, 0, &body, out);
    }

    fn subscribe(self, id: u64, topic: &str, reliable: bool, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put(id, &mut body);
        put_bytes(topic.as_bytes(), &mut body);
        if reliable {
            put_parameter(1, 1, &mut body);
        }
        put_frame(SUBSCRIBE, 0, &body, out);
    }

    fn template(self, topic: &str, payload: &[u8], reliable: bool) -> Template {
        let mut body = Vec::new();
        put_bytes(topic.as_bytes(), &mut body);
        body.extend_from_slice(payload);
        let mut bytes = Vec::new();
        put_frame(PUBLISH, u8::from(reliable) * RELIABLE, &body, &mut bytes);
        Template { payload_at: bytes.len() - payload.len(), bytes, cost: body.len() as u64 }
    }

    fn ping(self, out: &mut Vec<u8>) -> bool {
        put_frame(PING, 0, b"loadload", out);
        true
    }

    fn pong(self, token: [u8; 8], out: &mut Vec<u8>) {
        put_frame(PONG, 0, &token, out);
    }

    fn ack(self, count: u64, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put(count, &mut body);
        put_frame(ACK, 0, &body, out);
    }

    #[inline]
    fn parse(self, data: &[u8], mut on: impl FnMut(Event<'_>)) -> Result<usize, String> {
        let mut rest = data;
        while let [head, tail @ ..] = rest {
            let mut reader = Reader(tail);
            let Some(size) = reader.number() else {
                if tail.len() >= 9 {
                    return Err("a frame's size has more than 9 octets".into());
                }
                break;
            };
            if size > FRAME_MAX {
                return Err(format!("a frame of {size} octets was announced"));
            }
            let Some((body, after)) = reader.0.split_at_checked(size as usize) else { break };
            let event =
                event(*head, body).ok_or_else(|| format!("a frame of kind {} is malformed", head >> 2))?;
            if let Some(event) = event {
                on(event);
            }
            rest = after;
        }
        Ok(data.len() - rest.len())
    }

    fn slow_opening(self) -> Vec<u8> {
        let mut out = PREFACE.to_vec();
        out.push(0);
        put(8000, &mut out);
        // A parameter that receivers ignore, longer than anybody waits for.
        out.extend_from_slice(&[1, 1, 64]);
        put(7990, &mut out);
        out
    }

    fn attack(self, kind: FloodKind) -> Attack {
        let mut repeat = Vec::new();
        match kind {
            FloodKind::Garbage => return garbage(),
            FloodKind::Ping => {
                self.ping(&mut repeat);
            }
            FloodKind::Half => {
                let whole = self.template("bench/half", &[b'h'; 512], false).bytes;
                repeat.extend_from_slice(&whole[..whole.len() / 2]);
            }
            FloodKind::Length => {
                repeat.push(PUBLISH << 2);
                put(UNLIMITED, &mut repeat);
                repeat.resize(4096, b'x');
            }
        }
        attack_after_opening(self, repeat)
    }
}
