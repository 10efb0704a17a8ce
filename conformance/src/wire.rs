//! As much of the wire format as patterns and reports need, written from the specification alone:
//! a runner that judges an implementation must not share its code.

use std::collections::BTreeMap;

use crate::dialect::Dialect;

/// The number of CLOSE.
pub(crate) const CLOSE: u8 = 3;
/// The number of WELCOME.
pub(crate) const WELCOME: u8 = 1;
/// The number of RESULT.
pub(crate) const RESULT: u8 = 9;
/// The number of REQUEST.
pub(crate) const REQUEST: u8 = 14;
/// The number of RESPONSE.
pub(crate) const RESPONSE: u8 = 15;

/// The frames' names, by number (SPEC §3).
const KINDS: [&str; 31] = [
    "HELLO",
    "WELCOME",
    "AUTH",
    "CLOSE",
    "DRAIN",
    "PING",
    "PONG",
    "ACK",
    "CREDIT",
    "RESULT",
    "PUBLISH",
    "MESSAGE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "REQUEST",
    "RESPONSE",
    "CANCEL",
    "OFFER",
    "TAKE",
    "SETTLE",
    "JOIN",
    "LEAVE",
    "PRESENCE",
    "HISTORY",
    "RETAIN",
    "RETAINED",
    "JOINED",
    "TUNNEL",
    "DATA",
    "WINDOW",
    "RESET",
];

/// The close codes' names, by number (SPEC §9).
const CODES: [&str; 28] = [
    "NORMAL",
    "GOING_AWAY",
    "BAD_PREFACE",
    "MALFORMED",
    "UNKNOWN_KIND",
    "UNEXPECTED_FRAME",
    "FRAME_TOO_LARGE",
    "RESERVED_BITS",
    "VERSION",
    "UNSUPPORTED",
    "HANDSHAKE_TIMEOUT",
    "HANDSHAKE_TOO_LARGE",
    "AUTH_METHOD",
    "AUTH_FAILED",
    "SESSION_REFUSED",
    "BAD_RESUME",
    "KEEPALIVE_TIMEOUT",
    "CREDIT_EXCEEDED",
    "IN_FLIGHT_EXCEEDED",
    "BAD_ACK",
    "BAD_LIMIT",
    "TAKEN_OVER",
    "SLOW_CONSUMER",
    "QUOTA",
    "NOT_AUTHORIZED",
    "WRITE_TIMEOUT",
    "INTERNAL",
    "INVALID_TOPIC",
];

/// The statuses' names, by number (SPEC §5.3).
const STATUSES: [&str; 14] = [
    "OK",
    "NOT_AUTHORIZED",
    "INVALID",
    "QUOTA",
    "UNSUPPORTED",
    "NOT_FOUND",
    "NO_RESPONDER",
    "TIMEOUT",
    "CANCELLED",
    "RESPONDER_GONE",
    "BUSY",
    "REJECTED",
    "DRAINING",
    "UNREACHABLE",
];

fn number(names: &[&str], name: &str) -> Option<u64> {
    match names.iter().position(|n| *n == name) {
        Some(at) => Some(at as u64),
        None => name.parse().ok(),
    }
}

/// The kind with this name.
pub(crate) fn kind_number(name: &str) -> Option<u8> {
    KINDS.iter().position(|n| *n == name).map(|n| n as u8)
}

/// The name of a kind.
pub(crate) fn kind_name(kind: u8) -> String {
    KINDS.get(usize::from(kind)).map_or_else(|| format!("kind {kind}"), |n| (*n).to_owned())
}

/// The close code with this name, or of this number.
pub(crate) fn code_number(name: &str) -> Option<u64> {
    number(&CODES, name)
}

/// The name of a close code.
pub(crate) fn code_name(code: u64) -> String {
    name_or_number(&CODES, code)
}

/// The status with this name, or of this number.
pub(crate) fn status_number(name: &str) -> Option<u64> {
    number(&STATUSES, name)
}

/// The name of a status.
pub(crate) fn status_name(status: u64) -> String {
    name_or_number(&STATUSES, status)
}

fn name_or_number(names: &[&str], n: u64) -> String {
    usize::try_from(n)
        .ok()
        .and_then(|i| names.get(i))
        .map_or_else(|| n.to_string(), |name| (*name).to_owned())
}

/// A frame's head and size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) len: usize,
    pub(crate) size: usize,
}

impl Head {
    /// Reads the front of `bytes`; nothing where more must come.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head>, String> {
        let Some((octet, rest)) = bytes.split_first() else { return Ok(None) };
        if !rest.iter().take(9).any(|b| b & 0x80 == 0) {
            return if rest.len() < 9 { Ok(None) } else { Err("the size has more than 9 octets".into()) };
        }
        let mut r = Reader(rest);
        let size = usize::try_from(r.varint()?).map_err(|_| "a frame that is too large".to_owned())?;
        let len = bytes.len() - r.0.len();
        Ok(Some(Head { kind: octet >> 2, flags: octet & 3, len, size }))
    }

    /// Where the frame ends.
    pub(crate) const fn end(&self) -> usize {
        self.len.saturating_add(self.size)
    }
}

/// Reads fields from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u8(&mut self) -> Result<u8, String> {
        let (b, rest) = self.0.split_first().ok_or("the body ends too early")?;
        self.0 = rest;
        Ok(*b)
    }

    /// A varint in its shortest form (TYP-1, TYP-2).
    pub(crate) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for at in 0..9 {
            let b = self.u8()?;
            value |= u64::from(b & 0x7f) << (7 * at);
            if b & 0x80 == 0 {
                return if b == 0 && at > 0 {
                    Err("a varint is not in its shortest form".into())
                } else {
                    Ok(value)
                };
            }
        }
        Err("a varint has more than 9 octets".into())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let n = usize::try_from(self.varint()?).map_err(|_| "a length that is too large")?;
        if n > self.0.len() {
            return Err("a field reaches beyond the body".into());
        }
        let (field, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(field)
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a string is not UTF-8".into())
    }

    /// Parameters to the end, by id.
    pub(crate) fn parameters(&mut self) -> Result<BTreeMap<u64, &'a [u8]>, String> {
        let mut all = BTreeMap::new();
        while !self.0.is_empty() {
            let id = self.varint()?;
            if all.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err("parameters are not in ascending order".into());
            }
            all.insert(id, self.bytes()?);
        }
        Ok(all)
    }
}

/// A number as a varint.
pub(crate) fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// Octets for people: whole frames of our own protocol and packets of MQTT by name, the rest in
/// hexadecimal digits.
pub(crate) fn describe(dialect: Dialect, mut bytes: &[u8]) -> String {
    if let Some(version) = dialect.mqtt_version() {
        return crate::mqtt::describe(bytes, version);
    }
    if dialect.is_web() && bytes.starts_with(b"HTTP/") {
        let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
        return format!("{} ({} octets)", String::from_utf8_lossy(line), bytes.len());
    }
    let mut parts = Vec::new();
    while dialect == Dialect::Bowline && !bytes.is_empty() && parts.len() < 8 {
        let Ok(Some(head)) = Head::read(bytes) else { break };
        let Some(body) = bytes.get(head.len..head.end()) else { break };
        let mut r = Reader(body);
        parts.push(match (head.kind, r.varint(), r.string()) {
            (CLOSE, Ok(code), Ok(reason)) => format!("CLOSE {} {reason:?}", code_name(code)),
            _ => format!("{}({})", kind_name(head.kind), short(body)),
        });
        bytes = &bytes[head.end()..];
    }
    if !bytes.is_empty() {
        parts.push(short(bytes));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" ") }
}

/// The first of them in hexadecimal digits.
pub(crate) fn short(bytes: &[u8]) -> String {
    if bytes.len() > 48 {
        format!("{}… {} octets", crate::pattern::hex(&bytes[..48]), bytes.len())
    } else {
        crate::pattern::hex(bytes)
    }
}
