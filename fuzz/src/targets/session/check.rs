//! What a session writes, checked against the specification by other code than the core's.

/// Flags that a kind may have, and its fields, at the index of its number: `8` eight octets, `b`
/// one, `v` a number, `s` a string, `t` a topic name, `?` properties where flag 2 is set, `r` the
/// rest, `p` parameters.
const KINDS: [(u8, &str); 24] = [
    (0, "bbp"),
    (0, "bp"),
    (0, "r"),
    (0, "vs"),
    (0, "vvs"),
    (0, "8"),
    (0, "8"),
    (0, "v"),
    (0, "vv"),
    (0, "bvvs"),
    (3, "?tr"),
    (3, "v?tr"),
    (0, "vsp"),
    (0, "v"),
    (3, "vvv?tr"),
    (3, "vv?r"),
    (0, "v"),
    (2, "v?tr"),
    (0, "vtv"),
    (1, "v"),
    (1, "vtp"),
    (0, "v"),
    (1, "vsr"),
    (0, "vtp"),
];

/// The largest frame before the peer has said what it takes.
const HANDSHAKE_MAX: u32 = 8192;

#[derive(Debug)]
pub(crate) struct Output {
    pending: Vec<u8>,
    preface: bool,
    frames: usize,
    closed: bool,
    /// The peer's; what was put into the buffer before may be larger.
    limit: u32,
}

impl Output {
    pub(crate) fn new(client: bool) -> Self {
        Self { pending: Vec::new(), preface: client, frames: 0, closed: false, limit: HANDSHAKE_MAX }
    }

    /// The peer has said what it takes.
    pub(crate) fn limit(&mut self, max_frame: u32) {
        self.limit = max_frame;
    }

    /// These octets were written.
    pub(crate) fn check(&mut self, octets: &[u8]) {
        self.pending.extend_from_slice(octets);
        if self.preface && self.pending.len() >= 4 {
            assert_eq!(self.pending[..4], [0xB0, 0x57, 0x4C, 0x0A]);
            self.pending.drain(..4);
            self.preface = false;
        }
        if self.preface {
            return;
        }
        while let Some(used) = self.frame() {
            self.pending.drain(..used);
        }
    }

    /// Nothing half is left.
    pub(crate) fn finish(&self) {
        assert!(self.pending.is_empty(), "the output ends within a frame: {:02x?}", self.pending);
    }

    fn frame(&mut self) -> Option<usize> {
        let (head, mut rest) = self.pending.split_first()?;
        let size = varint(&mut rest)?;
        let (kind, flags) = (usize::from(head >> 2), head & 3);
        assert!(!self.closed, "a frame of kind {kind} after CLOSE");
        let (allowed, fields) = KINDS.get(kind).unwrap_or_else(|| panic!("kind {kind}"));
        assert!(flags & !allowed == 0, "kind {kind} with flags {flags}");
        let limit = if self.frames == 0 { HANDSHAKE_MAX.max(self.limit) } else { self.limit };
        assert!(size <= u64::from(limit), "kind {kind} has {size} octets, more than {limit}");
        let body = rest.get(..size as usize)?;
        body_of(kind, flags, fields, body);
        self.closed = kind == 3;
        self.frames += 1;
        Some(self.pending.len() - (rest.len() - body.len()))
    }
}

fn body_of(kind: usize, flags: u8, fields: &str, body: &[u8]) {
    let mut rest = body;
    for field in fields.bytes() {
        let ok = match field {
            b'8' => take(&mut rest, 8).is_some(),
            b'b' => take(&mut rest, 1).is_some(),
            b'v' => varint(&mut rest).is_some(),
            b's' => string(&mut rest).is_some(),
            b't' => string(&mut rest)
                .is_some_and(|t| !t.is_empty() && t.len() <= 65_535 && !t.contains(['+', '#'])),
            b'?' if flags & 2 == 0 => true,
            b'?' => bytes(&mut rest).is_some_and(|block| !block.is_empty() && pairs(block, false)),
            b'p' => pairs(core::mem::take(&mut rest), true),
            _ => {
                rest = &[];
                true
            }
        };
        assert!(ok, "kind {kind}: the field {} is broken in {body:02x?}", field as char);
    }
    assert!(rest.is_empty(), "kind {kind}: octets are left over in {body:02x?}");
}

/// Ids in ascending order, each with a value; as properties, 6 may repeat.
fn pairs(mut rest: &[u8], once: bool) -> bool {
    let mut last = None;
    while !rest.is_empty() {
        let (Some(id), Some(_)) = (varint(&mut rest), bytes(&mut rest)) else { return false };
        if last.is_some_and(|last| id < last || (id == last && (once || id != 6))) {
            return false;
        }
        last = Some(id);
    }
    true
}

fn take<'b>(from: &mut &'b [u8], n: usize) -> Option<&'b [u8]> {
    let (taken, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(taken)
}

fn bytes<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let n = varint(from)?;
    take(from, usize::try_from(n).ok()?)
}

fn string<'b>(from: &mut &'b [u8]) -> Option<&'b str> {
    core::str::from_utf8(bytes(from)?).ok().filter(|s| !s.contains('\0'))
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (i, &octet) in from.iter().enumerate().take(9) {
        value |= u64::from(octet & 0x7f) << (7 * i);
        if octet < 0x80 {
            assert!(i == 0 || octet > 0, "a number is not in its shortest form: {from:02x?}");
            *from = &from[i + 1..];
            return Some(value);
        }
    }
    assert!(from.len() < 9, "a number has more than nine octets: {from:02x?}");
    None
}
