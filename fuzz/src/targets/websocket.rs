//! WebSocket: frames, right and wrong, decoded in pieces by ours and at once by tungstenite, which must
//! tell the same messages; and each reads what the other writes.
//!
//! What may differ, and why:
//!
//! - tungstenite takes lengths that are not minimal (RFC 6455, section 5.2);
//! - it looks at a frame when that is whole, ours at each octet as it comes (at text by section 8.1), so ours
//!   may refuse a frame that theirs still waits for;
//! - it hands out a Close frame whose code none may carry, and answers it with 1002; ours refuses it;
//! - it does not know the code 1014;
//! - sizes are counted differently (ours counts the overhead of fragments).

use std::io::{Cursor, Read, Write};

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;
use bowline_core::websocket::{
    Carries, Client, CloseCode, Config, Event, Fault, Kind, Role, Server, WebSocket,
};
use tungstenite::protocol::Role as TheirRole;

const NOW: Instant = Instant::ZERO;
/// A stream is at most about this long.
const STREAM: usize = 0x8000;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// A frame: its first octet, how its length is written, its key, its payload.
    Frame { first: u8, form: u8, key: [u8; 4], payload: &'a [u8] },
    /// A frame of so many of one octet.
    Same { first: u8, octet: u8, size: u16 },
    /// A text message in fragments of so many octets.
    Text { text: &'a str, size: u8 },
    /// A close frame.
    Close { code: u16, reason: &'a str },
    /// Octets as they are.
    Raw(&'a [u8]),
    /// Change one octet of the stream.
    Corrupt { at: u16, octet: u8 },
    /// Lose the end of the stream.
    Cut(u8),
}

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    /// The sizes of the pieces that arrive, over and over.
    pieces: [u8; 3],
    steps: Vec<Step<'a>>,
}

fn frame(first: u8, form: u8, key: [u8; 4], payload: &[u8], to: &mut Vec<u8>) {
    to.push(first);
    let n = payload.len();
    match (form % 8, n) {
        (1, _) | (_, 126..=0xffff) if n <= 0xffff => {
            to.push(0x80 | 126);
            to.extend((n as u16).to_be_bytes());
        }
        (2, _) | (_, 126..) => {
            to.push(0x80 | 127);
            to.extend((n as u64).to_be_bytes());
        }
        (3, _) => to.push(n as u8), // not masked
        _ => to.push(0x80 | n as u8),
    }
    to.extend(key);
    to.extend(payload.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key));
}

impl Plan<'_> {
    fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for step in &self.steps {
            if wire.len() > STREAM {
                break;
            }
            match step {
                Step::Frame { first, form, key, payload } => frame(*first, *form, *key, payload, &mut wire),
                Step::Same { first, octet, size } => {
                    frame(*first, 0, [*octet, 1, 2, 3], &vec![*octet; usize::from(*size)], &mut wire);
                }
                Step::Text { text, size } => {
                    for (i, part) in text.as_bytes().chunks(usize::from(*size).max(1)).enumerate() {
                        frame(u8::from(i == 0), 0, [9, 8, 7, 6], part, &mut wire);
                    }
                    frame(if text.is_empty() { 0x81 } else { 0x80 }, 0, [5; 4], b"", &mut wire);
                }
                Step::Close { code, reason } => {
                    let mut payload = code.to_be_bytes().to_vec();
                    payload.extend(reason.bytes().take(123));
                    frame(0x88, 0, [1, 2, 3, 4], &payload, &mut wire);
                }
                Step::Raw(octets) => wire.extend_from_slice(octets),
                Step::Corrupt { at, octet } => {
                    if let Some(place) = wire.get_mut(usize::from(*at)) {
                        *place = *octet;
                    }
                }
                Step::Cut(n) => wire.truncate(wire.len().saturating_sub(usize::from(*n))),
            }
        }
        wire
    }
}

/// What was decoded, and how it ended.
#[derive(Debug, Default)]
struct Told {
    messages: Vec<(Kind, Vec<u8>)>,
    /// The peer's Close frame, 1005 where it has no code.
    close: Option<(u16, String)>,
    fault: Option<Fault>,
}

fn decode<R: Role>(role: R, wire: &[u8], pieces: [u8; 3]) -> Told {
    let config = Config { max_message: 1 << 24, fragment_cost: 0, ..Config::default() };
    let mut ws = WebSocket::new(NOW, role, Carries::Messages, &config);
    let mut buf = GrowingRecvBuf::new(1 << 20);
    let mut out = SharedSendBuf::new(1 << 16);
    let (mut told, mut rest, mut turn) = (Told::default(), wire, 0);
    while !rest.is_empty() {
        let n = (usize::from(pieces[turn % 3]) * 8 + 1).min(rest.len());
        assert_eq!(buf.push(&rest[..n]), n, "what cannot be decoded is never more than a frame");
        (rest, turn) = (&rest[n..], turn + 1);
        while let Some(event) = ws.recv(NOW, &mut buf, &mut out) {
            assert!(told.close.is_none() && told.fault.is_none(), "an event behind the last");
            match event {
                Event::Message(m) => {
                    assert!(m.kind == Kind::Binary || m.text().is_some());
                    told.messages.push((m.kind, m.payload.to_vec()));
                }
                Event::Closed(c) => {
                    told.fault = c.fault;
                    told.close = c.fault.is_none().then(|| (c.code.0, c.reason.to_owned()));
                }
                other => panic!("{other:?}"),
            }
        }
        let _ = ws.poll_transmit(NOW, &mut out);
        let sent = out.slices().map(<[u8]>::len).sum();
        out.sent(sent);
    }
    told
}

/// A stream that ends where the octets end, and takes any.
struct Octets<'a>(Cursor<&'a [u8]>, Vec<u8>);

impl Read for Octets<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(to)? {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Octets<'_> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.1.write(from)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What theirs tells, and whether it refused something.
fn their_decode(role: TheirRole, wire: &[u8]) -> (Told, bool) {
    let stream = Octets(Cursor::new(wire), Vec::new());
    let mut ws = tungstenite::WebSocket::from_raw_socket(stream, role, None);
    let mut told = Told::default();
    loop {
        match ws.read() {
            Ok(tungstenite::Message::Text(text)) => {
                told.messages.push((Kind::Text, text.as_bytes().to_vec()));
            }
            Ok(tungstenite::Message::Binary(octets)) => told.messages.push((Kind::Binary, octets.to_vec())),
            Ok(tungstenite::Message::Close(close)) => {
                let close = close.map(|c| (u16::from(c.code), c.reason.to_string()));
                told.close = Some(close.unwrap_or((1005, String::new())));
                return (told, false);
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return (told, false);
            }
            Err(_) => return (told, true),
        }
    }
}

/// Both decode the same octets, and one whose role is the other's.
fn same(wire: &[u8], ours: &Told, theirs: &Told, refused: bool) {
    match ours.fault {
        // They go on.
        Some(Fault::LengthNotMinimal { .. } | Fault::CloseCode(_) | Fault::TooBig { .. }) => {
            assert!(theirs.messages.starts_with(&ours.messages), "{wire:02x?}");
            return;
        }
        // They look at a frame once it is whole.
        Some(fault) => {
            assert!(refused || ends_within_a_frame(wire), "{fault}: they did not refuse {wire:02x?}")
        }
        None => assert!(!refused, "only they refuse {wire:02x?}"),
    }
    assert_eq!(ours.messages, theirs.messages, "{wire:02x?}");
    if ours.close.as_ref().is_some_and(|(code, _)| *code == 1014) {
        return;
    }
    if ours.fault.is_none() {
        assert_eq!(ours.close, theirs.close, "{wire:02x?}");
    }
}

/// Whether the last frame is cut.
fn ends_within_a_frame(mut wire: &[u8]) -> bool {
    while let [_, second, rest @ ..] = wire {
        let extra = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, rest)) = rest.split_at_checked(extra) else { return true };
        let length = length.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
        let length = if extra == 0 { u64::from(second & 0x7f) } else { length };
        let whole = length.saturating_add(if second & 0x80 == 0 { 0 } else { 4 });
        let Some(behind) = usize::try_from(whole).ok().and_then(|n| rest.get(n..)) else { return true };
        wire = behind;
    }
    !wire.is_empty()
}

/// What is in the plan's frames as messages: each writes them, and the other reads.
fn each_reads_the_other(plan: &Plan<'_>) {
    let mut messages = Vec::new();
    for step in &plan.steps {
        match step {
            Step::Frame { payload, .. } | Step::Raw(payload) => {
                messages.push((Kind::Binary, payload.to_vec()));
            }
            Step::Same { octet, size, .. } => {
                messages.push((Kind::Binary, vec![*octet; usize::from(*size)]));
            }
            Step::Text { text, .. } | Step::Close { reason: text, .. } => {
                messages.push((Kind::Text, text.as_bytes().to_vec()));
            }
            Step::Corrupt { .. } | Step::Cut(_) => {}
        }
    }
    let mut out = SharedSendBuf::new(usize::MAX);
    let mut client = WebSocket::new(NOW, Client::new(Seeded::new(3)), Carries::Messages, &Config::default());
    for (kind, payload) in &messages {
        client.send_shared(NOW, &mut out, *kind, &payload.clone().into()).expect("no limit");
    }
    client.close(NOW, CloseCode::NORMAL, "done");
    let _ = client.poll_transmit(NOW, &mut out);
    let (told, refused) = their_decode(TheirRole::Server, &out.slices().collect::<Vec<_>>().concat());
    assert!(!refused && told.messages == messages && told.close == Some((1000, "done".to_owned())));

    for role in [TheirRole::Client, TheirRole::Server] {
        let stream = Octets(Cursor::new(&[]), Vec::new());
        let mut theirs = tungstenite::WebSocket::from_raw_socket(stream, role, None);
        for (kind, payload) in &messages {
            let message = match kind {
                Kind::Text => {
                    let text = String::from_utf8(payload.clone()).expect("from a string");
                    tungstenite::Message::text(text)
                }
                Kind::Binary => tungstenite::Message::binary(payload.clone()),
            };
            theirs.send(message).expect("no limit");
        }
        let wire = &theirs.get_ref().1;
        let told = match role {
            TheirRole::Client => decode(Server, wire, plan.pieces),
            TheirRole::Server => decode(Client::new(Seeded::new(3)), wire, plan.pieces),
        };
        assert!(told.fault.is_none() && told.messages == messages, "{:?}", told.fault);
    }
}

/// See the [module](self).
pub fn websocket(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let wire = plan.wire();
    let ours = decode(Server, &wire, plan.pieces);
    let (theirs, refused) = their_decode(TheirRole::Server, &wire);
    same(&wire, &ours, &theirs, refused);
    each_reads_the_other(&plan);
}
