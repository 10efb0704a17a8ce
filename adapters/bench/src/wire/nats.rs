//! The NATS client protocol, as far as load needs it: lines, and payloads behind `MSG`.

use memchr::memchr;

use super::{Attack, Event, FloodKind, Template, Wire, attack_after_opening, garbage};

/// A line longer than this is not of this protocol (INFO is the longest).
const LINE_MAX: usize = 65_536;
/// No payload is larger.
const PAYLOAD_MAX: usize = 64 << 20;

/// Core NATS: at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nats;

/// Levels are separated by dots.
fn subject(topic: &str) -> String {
    topic.replace('/', ".")
}

/// The number at the end of a line.
#[inline]
fn last_number(line: &[u8]) -> Option<usize> {
    let mut value = 0usize;
    let mut scale = 1usize;
    let mut digits = 0;
    for octet in line.iter().rev() {
        match octet {
            b'0'..=b'9' if digits < 9 => {
                value += usize::from(octet - b'0') * scale;
                scale *= 10;
                digits += 1;
            }
            b' ' if digits > 0 => return Some(value),
            _ => return None,
        }
    }
    None
}

impl Wire for Nats {
    fn opening(self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bowline-bench\",\"version\":\"1\"}\r\nPING\r\n",
        );
    }

    fn subscribe(self, id: u64, topic: &str, _reliable: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("SUB {} {id}\r\n", subject(topic)).as_bytes());
    }

    fn template(self, topic: &str, payload: &[u8], _reliable: bool) -> Template {
        let mut bytes = format!("PUB {} {}\r\n", subject(topic), payload.len()).into_bytes();
        let payload_at = bytes.len();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        Template { bytes, payload_at, cost: 0 }
    }

    fn ping(self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(b"PING\r\n");
        true
    }

    fn pong(self, _token: [u8; 8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"PONG\r\n");
    }

    fn ack(self, _count: u64, _out: &mut Vec<u8>) {}

    #[inline]
    fn parse(self, data: &[u8], mut on: impl FnMut(Event<'_>)) -> Result<usize, String> {
        let mut rest = data;
        while let Some(end) = memchr(b'\n', rest) {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let mut after = &rest[end + 1..];
            if let Some(fields) = line.strip_prefix(b"MSG ") {
                let n = last_number(fields).filter(|n| *n <= PAYLOAD_MAX);
                let n = n.ok_or_else(|| format!("not a MSG line: {}", String::from_utf8_lossy(line)))?;
                let Some((body, next)) = after.split_at_checked(n + 2) else { break };
                on(Event::Message { payload: &body[..n], reliable: false });
                after = next;
            } else {
                match line {
                    b"PING" => on(Event::Ping([0; 8])),
                    b"PONG" => on(Event::Pong),
                    b"+OK" => {}
                    _ if line.starts_with(b"INFO") => {}
                    _ => on(Event::Trouble(String::from_utf8_lossy(line).into_owned())),
                }
            }
            rest = after;
        }
        if rest.len() > LINE_MAX && memchr(b'\n', rest).is_none() {
            return Err("a line without an end".into());
        }
        Ok(data.len() - rest.len())
    }

    fn slow_opening(self) -> Vec<u8> {
        b"CONNECT {\"verbose\":false,\"name\":\"".to_vec()
    }

    fn attack(self, kind: FloodKind) -> Attack {
        let repeat = match kind {
            FloodKind::Garbage => return garbage(),
            FloodKind::Ping => b"PING\r\n".to_vec(),
            FloodKind::Half => b"PUB bench.half 512\r\nhhhhhhhh".to_vec(),
            FloodKind::Length => {
                let mut line = b"PUB bench.length 2147483647\r\n".to_vec();
                line.resize(4096, b'x');
                line
            }
        };
        attack_after_opening(self, repeat)
    }
}
