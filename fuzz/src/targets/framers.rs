//! Framers: payloads are encoded, bytes spoiled, and the lot decoded in pieces; the frames and the
//! error must be those that a decoder finds who sees everything at once and takes no short cuts.

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::frame::{
    DelimiterFramer, EncodeError, Fault, FixedFramer, FrameError, Framer, LengthField, LengthFramer, LineEnd,
    LineFramer,
};
use bowline_core::varint::VarintError;

/// Maxima and payloads are at most this, so that a run is quick.
const MOST: u16 = 0x0fff;
/// A stream is at most about this long.
const STREAM: usize = 0x8000;

#[derive(Arbitrary, Debug)]
enum Config<'a> {
    Fixed(u8),
    Length { field: u8, counts_itself: bool, max: u16 },
    Delimiter { delimiter: &'a [u8], max: u16 },
    Line { end: u8, max: u16 },
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// Encode this.
    Payload(&'a [u8]),
    /// Encode so many of one byte.
    Same { byte: u8, size: u16 },
    /// Encode something of just the right size, or one off.
    Most { byte: u8, over: bool },
    /// Bytes as they are.
    Raw(&'a [u8]),
    /// Change one byte of the stream.
    Corrupt { at: u16, byte: u8 },
    /// Lose the end of the stream.
    Cut(u8),
}

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    config: Config<'a>,
    /// By how much the receive buffer is too small for the largest frame.
    smaller: u8,
    /// The sizes of the pieces that arrive, over and over.
    pieces: [u8; 3],
    steps: Vec<Step<'a>>,
}

/// A framer's rules as the plain decoder knows them.
enum Rules<'a> {
    Fixed(usize),
    Length { field: LengthField, counts_itself: bool, max: usize },
    Delimiter(&'a [u8], usize),
    Line(LineEnd, usize),
}

#[derive(Debug, PartialEq)]
struct Decoded {
    frames: Vec<Vec<u8>>,
    end: Result<(), FrameError>,
}

/// Runs the target. Bytes that make no plan are no fault.
pub fn framers(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    match plan.config {
        Config::Fixed(size) => match FixedFramer::new(size.into()) {
            Ok(framer) => check(&framer, &Rules::Fixed(size.into()), &plan),
            Err(_) => assert_eq!(size, 0),
        },
        Config::Length { field, counts_itself, max } => {
            let field = LengthField::ALL[usize::from(field) % LengthField::ALL.len()];
            let mut framer = LengthFramer::new(field, (max & MOST).into());
            if counts_itself {
                framer = framer.counting_itself();
            }
            let max = framer.max_payload();
            check(&framer, &Rules::Length { field, counts_itself, max }, &plan);
        }
        Config::Delimiter { delimiter, max } => match DelimiterFramer::new(delimiter, (max & MOST).into()) {
            Ok(framer) => check(&framer, &Rules::Delimiter(delimiter, framer.max_payload()), &plan),
            Err(_) => assert!(delimiter.is_empty()),
        },
        Config::Line { end, max } => {
            let end = [LineEnd::Lf, LineEnd::CrLf, LineEnd::Either][usize::from(end) % 3];
            let framer = LineFramer::new(end, (max & MOST).into());
            check(&framer, &Rules::Line(end, framer.max_payload()), &plan);
        }
    }
}

fn check<F: Framer + Clone>(framer: &F, rules: &Rules<'_>, plan: &Plan<'_>) {
    let mut wire = Vec::new();
    // What must come out, while nothing has been spoiled.
    let mut expected = Some(Vec::new());
    for step in &plan.steps {
        if wire.len() > STREAM {
            break;
        }
        let payload = match *step {
            Step::Payload(payload) => payload.to_vec(),
            Step::Same { byte, size } => vec![byte; (size & MOST).into()],
            Step::Most { byte, over } => vec![byte; framer.max_payload() + usize::from(over)],
            Step::Raw(bytes) => {
                wire.extend_from_slice(bytes);
                expected = None;
                continue;
            }
            Step::Corrupt { at, byte } => {
                let len = wire.len().max(1);
                if let Some(b) = wire.get_mut(usize::from(at) % len) {
                    *b = byte;
                }
                expected = None;
                continue;
            }
            Step::Cut(n) => {
                wire.truncate(wire.len().saturating_sub(n.into()));
                expected = None;
                continue;
            }
        };
        if let Some(frame) = encode(framer, rules, &payload) {
            wire.extend(frame);
            if let Some(frames) = &mut expected {
                frames.push(payload);
            }
        }
    }
    let largest = framer.max_frame();
    for limit in [largest, largest.saturating_sub(plan.smaller.into())] {
        let found = plain_decode(rules, limit, &wire);
        if let (Some(frames), true) = (&expected, limit == largest) {
            assert_eq!((&found.frames, found.end), (frames, Ok(())));
        }
        let mut memory = vec![0; limit];
        assert_eq!(decode(framer, &mut SliceRecvBuf::new(&mut memory), plan, &wire), found);
        assert_eq!(decode(framer, &mut GrowingRecvBuf::new(limit), plan, &wire), found);
    }
}

/// Encodes into both tiers of buffers; a refusal must be deserved.
fn encode<F: Framer>(framer: &F, rules: &Rules<'_>, payload: &[u8]) -> Option<Vec<u8>> {
    let mut memory = vec![0; framer.max_frame()];
    let mut out = SliceSendBuf::new(&mut memory);
    let mut shared = SharedSendBuf::new(framer.max_frame());
    let result = framer.encode(payload, &mut out);
    assert_eq!(framer.encode(payload, &mut shared), result);
    assert_eq!(shared.slices().collect::<Vec<_>>().concat(), out.pending());
    let Err(error) = result else {
        return Some(out.pending().to_vec());
    };
    assert!(out.pending().is_empty());
    match error {
        EncodeError::Blocked(_) => panic!("the largest frame fits"),
        EncodeError::TooLarge { size, max } => {
            assert!(size == payload.len() && size > max && max == framer.max_payload());
        }
        EncodeError::WrongSize { size, expected } => {
            assert!(size == payload.len() && size != expected && expected == framer.max_payload());
        }
        EncodeError::Delimiter { at } => {
            assert!(at < payload.len());
            let end = match rules {
                Rules::Delimiter(delimiter, _) => delimiter,
                Rules::Line(LineEnd::CrLf, _) => &b"\r\n"[..],
                _ => b"\n",
            };
            let misread = plain_decode(rules, usize::MAX, &[payload, end].concat());
            assert_ne!(misread, Decoded { frames: vec![payload.to_vec()], end: Ok(()) });
        }
    }
    None
}

trait Input: RecvBuf {
    fn push(&mut self, bytes: &[u8]) -> usize;
}
impl Input for SliceRecvBuf<'_> {
    fn push(&mut self, bytes: &[u8]) -> usize {
        SliceRecvBuf::push(self, bytes)
    }
}
impl Input for GrowingRecvBuf {
    fn push(&mut self, bytes: &[u8]) -> usize {
        GrowingRecvBuf::push(self, bytes)
    }
}

/// Decodes `wire` in the plan's pieces.
fn decode<F: Framer + Clone>(
    framer: &F,
    input: &mut impl Input,
    plan: &Plan<'_>,
    mut wire: &[u8],
) -> Decoded {
    let mut framer = framer.clone();
    let mut frames = Vec::new();
    // Every piece has at least a byte; of those that are not small, some are large.
    let sizes = plan.pieces.map(|n| if n < 0xc0 { usize::from(n) + 1 } else { usize::from(n) << 5 });
    for size in sizes.into_iter().cycle() {
        let taken = input.push(&wire[..size.min(wire.len())]);
        assert!(taken > 0 || wire.is_empty() || input.limit() == 0, "no room and no error");
        wire = &wire[taken..];
        loop {
            match framer.decode(input) {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(framer.failed(), Some(error));
                    assert_eq!(framer.decode(input), Err(error));
                    return Decoded { frames, end: framer.finish(input) };
                }
            }
        }
        assert!(input.filled().len() < framer.max_frame(), "it holds too much");
        if wire.is_empty() {
            break;
        }
    }
    Decoded { frames, end: framer.finish(input) }
}

/// Decodes all of `wire`, by the definitions.
fn plain_decode(rules: &Rules<'_>, limit: usize, wire: &[u8]) -> Decoded {
    let mut frames = Vec::new();
    let mut at = 0;
    let fault = loop {
        let rest = &wire[at..];
        let view = &rest[..rest.len().min(limit)];
        match plain_frame(rules, limit, view) {
            Ok(Some((payload, whole))) => {
                frames.push(payload.to_vec());
                at += whole;
            }
            Ok(None) if view.len() == limit => {
                break Fault::BufferTooSmall { size: limit + 1, limit };
            }
            Ok(None) if rest.is_empty() => return Decoded { frames, end: Ok(()) },
            Ok(None) => break Fault::Truncated { have: rest.len() },
            Err(fault) => break fault,
        }
    };
    Decoded { frames, end: Err(FrameError { at: at as u64, fault }) }
}

type Plain<'w> = Result<Option<(&'w [u8], usize)>, Fault>;

fn plain_frame<'w>(rules: &Rules<'_>, limit: usize, view: &'w [u8]) -> Plain<'w> {
    match *rules {
        Rules::Fixed(size) if size > limit => Err(Fault::BufferTooSmall { size, limit }),
        Rules::Fixed(size) => Ok(view.get(..size).map(|payload| (payload, size))),
        Rules::Length { field, counts_itself, max } => {
            let Some((length, header)) = plain_length(field, view)? else {
                return Ok(None);
            };
            let own = if counts_itself { header } else { 0 };
            if length < own as u64 {
                return Err(Fault::LengthTooSmall { length, header });
            }
            let size = length - own as u64;
            if size > max as u64 {
                return Err(Fault::TooLarge { size, max });
            }
            let whole = header + size as usize;
            if whole > limit {
                return Err(Fault::BufferTooSmall { size: whole, limit });
            }
            Ok(view.get(header..whole).map(|payload| (payload, whole)))
        }
        Rules::Delimiter(delimiter, max) => {
            for size in 0..=max {
                match view.get(size..size + delimiter.len()) {
                    None => return Ok(None),
                    Some(end) if end == delimiter => {
                        return Ok(Some((&view[..size], size + delimiter.len())));
                    }
                    Some(_) => {}
                }
            }
            Err(Fault::Unended { max })
        }
        Rules::Line(end, max) => plain_line(end, max, view),
    }
}

fn plain_line(end: LineEnd, max: usize, view: &[u8]) -> Plain<'_> {
    let longest = if end == LineEnd::Lf { max + 1 } else { max + 2 };
    for i in 0..longest {
        match view.get(i) {
            None => return Ok(None),
            Some(b'\n') => {
                let with_return = view[..i].last() == Some(&b'\r');
                let size = match (end, with_return) {
                    (LineEnd::CrLf, false) => return Err(Fault::BareLineFeed { offset: i }),
                    (LineEnd::CrLf | LineEnd::Either, true) => i - 1,
                    _ => i,
                };
                if size > max {
                    break;
                }
                return Ok(Some((&view[..size], i + 1)));
            }
            Some(_) => {}
        }
    }
    Err(Fault::Unended { max })
}

fn plain_length(field: LengthField, view: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    use LengthField::*;
    let (size, low_first) = match field {
        U8 => (1, false),
        U16Be => (2, false),
        U16Le => (2, true),
        U24Be => (3, false),
        U24Le => (3, true),
        U32Be => (4, false),
        U32Le => (4, true),
        U64Be => (8, false),
        U64Le => (8, true),
        Quic => match view.first() {
            None => return Ok(None),
            Some(first) => (1 << (first >> 6), false),
        },
        Leb128 => {
            let mut value = 0;
            for (i, &b) in view.iter().enumerate().take(9) {
                value += u64::from(b % 128) << (7 * i);
                match b {
                    0 if i > 0 => return Err(VarintError::NotMinimal.into()),
                    0..128 => return Ok(Some((value, i + 1))),
                    _ if i == 8 => return Err(VarintError::TooLong.into()),
                    _ => {}
                }
            }
            return Ok(None);
        }
    };
    let Some(bytes) = view.get(..size) else {
        return Ok(None);
    };
    let mut bytes = bytes.to_vec();
    if field == Quic {
        bytes[0] %= 64;
    }
    if low_first {
        bytes.reverse();
    }
    let value = bytes.iter().fold(0, |value, &b| value * 256 + u64::from(b));
    Ok(Some((value, size)))
}
