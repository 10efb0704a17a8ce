//! Every framer, in every configuration, on both tiers of buffers: what was encoded is decoded
//! whatever the pieces it comes in, and no bytes at all make one panic or hold too much.

#![cfg(feature = "alloc")]

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::error::Blocked;
use bowline_core::frame::{
    DelimiterFramer, EncodeError, Fault, FixedFramer, FrameError, Framer, LengthField, LengthFramer, LineEnd,
    LineFramer,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Clone, Debug)]
enum Config {
    Fixed(usize),
    Length { field: LengthField, counts_itself: bool, max: usize },
    Delimiter(Vec<u8>, usize),
    Line(LineEnd, usize),
}

/// What to do with a framer whose type the configuration decides.
trait Visit {
    fn visit<F: Framer + Clone>(self, framer: F);
}

impl Config {
    fn visit<V: Visit>(&self, visit: V) {
        match self {
            Self::Fixed(size) => visit.visit(FixedFramer::new(*size).expect("at least 1")),
            &Self::Length { field, counts_itself, max } => {
                let framer = LengthFramer::new(field, max);
                visit.visit(if counts_itself { framer.counting_itself() } else { framer });
            }
            Self::Delimiter(delimiter, max) => {
                let framer = DelimiterFramer::new(delimiter, *max).expect("not empty");
                visit.visit(framer.into_owned());
            }
            Self::Line(end, max) => visit.visit(LineFramer::new(*end, *max)),
        }
    }

    /// The byte string that ends a frame, where one does.
    fn ending(&self) -> Option<&[u8]> {
        match self {
            Self::Delimiter(delimiter, _) => Some(delimiter),
            Self::Line(..) => Some(b"\n"),
            _ => None,
        }
    }
}

/// Few different bytes, so that delimiters, line ends, and parts of them are common.
fn byte() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![8 => select(&b"aab\r\n"[..]), 1 => Just(0u8), 1 => any::<u8>()]
}

fn config() -> impl Strategy<Value = Config> {
    let max = prop_oneof![0usize..4, 0usize..40, 120usize..300];
    let line_end = select(vec![LineEnd::Lf, LineEnd::CrLf, LineEnd::Either]);
    prop_oneof![
        1 => (1usize..20).prop_map(Config::Fixed),
        4 => (select(&LengthField::ALL[..]), any::<bool>(), max.clone())
            .prop_map(|(field, counts_itself, max)| Config::Length { field, counts_itself, max }),
        3 => (vec(byte(), 1..5), max.clone()).prop_map(|(delimiter, max)| Config::Delimiter(delimiter, max)),
        2 => (line_end, max).prop_map(|(end, max)| Config::Line(end, max)),
    ]
}

/// Payloads, many of which any framer takes.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let size = prop_oneof![0usize..5, 0usize..45, 110usize..310];
    let filled = (any::<u8>(), size.clone()).prop_map(|(byte, size)| vec![byte; size]);
    let mixed = size.prop_flat_map(|size| vec(byte(), size));
    vec(prop_oneof![filled, mixed], 0..8)
}

/// A receive buffer of either tier.
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

#[derive(Debug, PartialEq)]
struct Decoded {
    frames: Vec<Vec<u8>>,
    end: Result<(), FrameError>,
}

/// Decodes `wire`, which arrives in pieces of the given sizes, over and over.
fn decode<F: Framer>(mut framer: F, input: &mut impl Input, mut wire: &[u8], pieces: &[usize]) -> Decoded {
    let mut frames = Vec::new();
    let mut pieces = pieces.iter().copied().cycle();
    loop {
        let piece = pieces.next().expect("at least one").min(wire.len());
        let taken = input.push(&wire[..piece]);
        assert!(taken > 0 || wire.is_empty() || input.limit() == 0, "after `None` there is room");
        wire = &wire[taken..];
        loop {
            match framer.decode(input) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= framer.max_payload());
                    frames.push(frame.to_vec());
                }
                Ok(None) => break,
                Err(error) => {
                    let waiting = input.filled().to_vec();
                    assert_eq!(framer.failed(), Some(error));
                    assert_eq!(framer.decode(input), Err(error), "it stays failed");
                    assert_eq!(input.filled(), waiting, "and consumes nothing more");
                    return Decoded { frames, end: framer.finish(input) };
                }
            }
        }
        assert!(input.filled().len() < framer.max_frame());
        assert!(input.filled().len() < input.limit());
        assert_eq!(framer.failed(), None);
        if wire.is_empty() {
            return Decoded { frames, end: framer.finish(input) };
        }
    }
}

/// Decodes `wire` in the given pieces on both tiers, which must agree.
fn decode_both<F: Framer + Clone>(framer: &F, limit: usize, wire: &[u8], pieces: &[usize]) -> Decoded {
    let mut memory = vec![0; limit];
    let slice = decode(framer.clone(), &mut SliceRecvBuf::new(&mut memory), wire, pieces);
    let growing = decode(framer.clone(), &mut GrowingRecvBuf::new(limit), wire, pieces);
    assert_eq!(slice, growing);
    slice
}

struct RoundTrip<'a>(&'a Config, &'a [Vec<u8>], &'a [usize]);

impl RoundTrip<'_> {
    /// Whether a refusal is deserved, by the plainest means.
    fn check_refusal<F: Framer>(&self, framer: &F, payload: &[u8], error: EncodeError) {
        let size = payload.len();
        match error {
            EncodeError::Blocked(_) => panic!("there is room"),
            EncodeError::TooLarge { max, .. } => {
                assert!(size > max && max == framer.max_payload());
            }
            EncodeError::WrongSize { expected, .. } => {
                assert!(size != expected && expected == framer.max_payload());
            }
            EncodeError::Delimiter { at } => {
                let ending = self.0.ending().expect("only these refuse by content");
                let wire = [payload, ending].concat();
                let first = wire.windows(ending.len()).position(|w| w == ending);
                let lost_return = matches!(self.0, Config::Line(LineEnd::Either, _))
                    && payload.ends_with(b"\r")
                    && at == size - 1;
                assert!(at < size && (first == Some(at) || lost_return));
            }
        }
    }

    /// Encodes by every way, which must agree, and returns the frame.
    fn encode<F: Framer>(&self, framer: &F, payload: &[u8]) -> Option<Vec<u8>> {
        let mut memory = vec![0; framer.max_frame()];
        let mut out = SliceSendBuf::new(&mut memory);
        let mut shared = SharedSendBuf::new(framer.max_frame());
        let result = framer.encode(payload, &mut out);
        assert_eq!(framer.encode_shared(&Bytes::copy_from_slice(payload), &mut shared), result);
        let frame = out.pending().to_vec();
        assert_eq!(shared.slices().collect::<Vec<_>>().concat(), frame);
        if let Err(error) = result {
            assert!(frame.is_empty());
            self.check_refusal(framer, payload, error);
            return None;
        }
        let envelope = framer.envelope(payload).expect("as before");
        assert_eq!([envelope.head(), payload, envelope.tail()].concat(), frame);

        let mut small = vec![0; frame.len() - 1];
        let mut out = SliceSendBuf::new(&mut small);
        assert_eq!(framer.encode(payload, &mut out), Err(EncodeError::Blocked(Blocked)));
        assert!(out.pending().is_empty());
        Some(frame)
    }
}

impl Visit for RoundTrip<'_> {
    fn visit<F: Framer + Clone>(self, framer: F) {
        let mut wire = Vec::new();
        let mut frames = Vec::new();
        for payload in self.1 {
            if let Some(frame) = self.encode(&framer, payload) {
                wire.extend(frame);
                frames.push(payload.clone());
            }
        }
        let limit = framer.max_frame();
        let expected = Decoded { frames, end: Ok(()) };
        assert_eq!(decode_both(&framer, limit, &wire, &[1]), expected);
        assert_eq!(decode_both(&framer, limit, &wire, self.2), expected);
        // Every cut into two of what is short enough to try them all.
        for cut in 1..wire.len().min(200) {
            let whole = limit.max(wire.len());
            assert_eq!(decode_both(&framer, whole, &wire, &[cut, usize::MAX]), expected);
        }
    }
}

struct Anything<'a>(&'a [u8], &'a [usize], usize);

impl Visit for Anything<'_> {
    fn visit<F: Framer + Clone>(self, framer: F) {
        let Self(wire, pieces, smaller) = self;
        for limit in [framer.max_frame(), framer.max_frame().saturating_sub(smaller)] {
            let whole = decode_both(&framer, limit, wire, &[usize::MAX]);
            assert_eq!(decode_both(&framer, limit, wire, &[1]), whole);
            assert_eq!(decode_both(&framer, limit, wire, pieces), whole);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_encoded_is_decoded_at_every_cut(
        config in config(), payloads in payloads(), pieces in vec(1usize..40, 1..6)
    ) {
        let mut payloads = payloads;
        if let Config::Fixed(size) = config {
            payloads.iter_mut().step_by(2).for_each(|payload| payload.resize(size, 7));
        }
        config.visit(RoundTrip(&config, &payloads, &pieces));
    }

    #[test]
    fn any_bytes_are_decoded_alike_at_every_cut(
        config in config(), wire in vec(byte(), 0..400), pieces in vec(1usize..40, 1..6), smaller in 0usize..50
    ) {
        config.visit(Anything(&wire, &pieces, smaller));
    }
}

fn decode_all<F: Framer + Clone>(framer: &F, wire: &[u8]) -> Decoded {
    decode_both(framer, framer.max_frame(), wire, &[usize::MAX])
}

#[test]
fn lengths_are_written_as_their_names_say() {
    use LengthField::*;
    let wire: [(LengthField, &[u8], &[u8]); 11] = [
        (U8, &[5], &[6]),
        (U16Be, &[0, 5], &[0, 7]),
        (U16Le, &[5, 0], &[7, 0]),
        (U24Be, &[0, 0, 5], &[0, 0, 8]),
        (U24Le, &[5, 0, 0], &[8, 0, 0]),
        (U32Be, &[0, 0, 0, 5], &[0, 0, 0, 9]),
        (U32Le, &[5, 0, 0, 0], &[9, 0, 0, 0]),
        (U64Be, &[0, 0, 0, 0, 0, 0, 0, 5], &[0, 0, 0, 0, 0, 0, 0, 13]),
        (U64Le, &[5, 0, 0, 0, 0, 0, 0, 0], &[13, 0, 0, 0, 0, 0, 0, 0]),
        (Quic, &[5], &[6]),
        (Leb128, &[5], &[6]),
    ];
    for (field, plain, counting) in wire {
        let framer = LengthFramer::new(field, 100);
        assert_eq!(framer.envelope(b"hello").unwrap().head(), plain, "{field:?}");
        assert_eq!(framer.counting_itself().envelope(b"hello").unwrap().head(), counting, "{field:?}");
    }
}

#[test]
fn a_length_that_counts_itself_grows_where_it_must() {
    let quic = LengthFramer::new(LengthField::Quic, 1 << 20).counting_itself();
    assert_eq!(quic.envelope(&[0; 62]).unwrap().head(), [63]);
    assert_eq!(quic.envelope(&[0; 63]).unwrap().head(), [0x40, 65]);
    assert_eq!(quic.envelope(&[0; 16_381]).unwrap().head(), [0x7f, 0xff]);
    assert_eq!(quic.envelope(&[0; 16_382]).unwrap().head(), [0x80, 0, 0x40, 2]);
    let leb = LengthFramer::new(LengthField::Leb128, 1 << 20).counting_itself();
    assert_eq!(leb.envelope(&[0; 126]).unwrap().head(), [127]);
    assert_eq!(leb.envelope(&[0; 127]).unwrap().head(), [0x81, 1]);
}

#[test]
fn the_maximum_is_what_the_field_can_say() {
    assert_eq!(LengthFramer::new(LengthField::U8, 1000).max_payload(), 255);
    assert_eq!(LengthFramer::new(LengthField::U8, 1000).counting_itself().max_payload(), 254);
    assert_eq!(LengthFramer::new(LengthField::U24Le, usize::MAX).max_payload(), 0xff_ffff);
    assert_eq!(
        LengthFramer::new(LengthField::U8, 9).envelope(&[0; 10]),
        Err(EncodeError::TooLarge { size: 10, max: 9 })
    );
}

#[test]
fn a_length_is_refused_before_its_payload_comes() {
    let framer = LengthFramer::new(LengthField::U32Be, 100);
    let found = decode_all(&framer, &[0, 0, 0, 1, 9, 0xff, 0xff, 0xff, 0xff]);
    let fault = Fault::TooLarge { size: 0xffff_ffff, max: 100 };
    assert_eq!(found, Decoded { frames: vec![vec![9]], end: Err(FrameError { at: 5, fault }) });
    assert_eq!(
        found.end.unwrap_err().to_string(),
        "frame at byte 5 of the stream: its length announces a payload of 4294967295 bytes, more than \
         the maximum of 100; decoding has ended, close the stream"
    );

    let fault = Fault::TooLarge { size: 101, max: 100 };
    assert_eq!(decode_all(&framer, &[0, 0, 0, 101]).end, Err(FrameError { at: 0, fault }));
    let small = decode_both(&framer, 63, &[0, 0, 0, 60], &[1]);
    let fault = Fault::BufferTooSmall { size: 64, limit: 63 };
    assert_eq!(small.end, Err(FrameError { at: 0, fault }));

    let counting = LengthFramer::new(LengthField::U16Le, 100).counting_itself();
    let fault = Fault::LengthTooSmall { length: 1, header: 2 };
    assert_eq!(decode_all(&counting, &[1, 0]).end, Err(FrameError { at: 0, fault }));
}

#[test]
fn a_delimiter_is_found_wherever_it_is_cut_and_missed_only_beyond_the_maximum() {
    let framer = DelimiterFramer::new("aab", 4).unwrap();
    assert_eq!(decode_all(&framer, b"aaaabxxxxaab").frames, [&b"aa"[..], b"xxxx"]);
    let fault = Fault::Unended { max: 4 };
    assert_eq!(decode_all(&framer, b"aabxxxxxaab").end, Err(FrameError { at: 3, fault }));
    let fault = Fault::Truncated { have: 2 };
    assert_eq!(decode_all(&framer, b"aabxx").end, Err(FrameError { at: 3, fault }));
}

#[test]
fn a_payload_that_would_complete_a_delimiter_is_refused() {
    let framer = DelimiterFramer::new("aa", 9).unwrap();
    assert_eq!(framer.envelope(b"xa"), Err(EncodeError::Delimiter { at: 1 }));
    assert_eq!(framer.envelope(b"xaab"), Err(EncodeError::Delimiter { at: 1 }));
    let framer = DelimiterFramer::new("aaa", 9).unwrap();
    assert_eq!(framer.envelope(b"xaa"), Err(EncodeError::Delimiter { at: 1 }));
    let framer = DelimiterFramer::new("aab", 9).unwrap();
    assert_eq!(framer.envelope(b"xaa").unwrap().tail(), b"aab");
}

#[test]
fn lines_end_as_configured() {
    let lf = LineFramer::new(LineEnd::Lf, 3);
    assert_eq!(decode_all(&lf, b"ab\r\n\nabc\n").frames, [&b"ab\r"[..], b"", b"abc"]);
    let either = LineFramer::new(LineEnd::Either, 3);
    assert_eq!(decode_all(&either, b"abc\r\n\r\nab\nc\r\r\n").frames, [&b"abc"[..], b"", b"ab", b"c\r"]);
    assert_eq!(either.envelope(b"a\r"), Err(EncodeError::Delimiter { at: 1 }));
    assert_eq!(decode_all(&either, b"abcd\n").end.unwrap_err().fault, Fault::Unended { max: 3 });
    assert_eq!(decode_all(&either, b"abcde").end.unwrap_err().fault, Fault::Unended { max: 3 });
    let crlf = LineFramer::new(LineEnd::CrLf, 3);
    let found = decode_all(&crlf, b"abc\r\n\r\na\rb\r\nab\n");
    assert_eq!(found.frames, [&b"abc"[..], b"", b"a\rb"]);
    let error = FrameError { at: 12, fault: Fault::BareLineFeed { offset: 2 } };
    assert_eq!(found.end, Err(error));
}

#[test]
fn nonsense_configurations_are_refused() {
    assert!(FixedFramer::new(0).unwrap_err().to_string().contains("at least 1 byte"));
    assert!(DelimiterFramer::new("", 9).unwrap_err().to_string().contains("at least 1 byte"));
}
