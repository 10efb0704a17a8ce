//! Both sides against each other, and against a decoder that does everything the simple way.

use super::*;
use crate::websocket::Opcode;
use proptest::prelude::*;

/// What a client does.
#[derive(Clone, Debug)]
enum Op {
    Send(Kind, Vec<u8>),
    Fragments(Kind, Vec<Vec<u8>>),
    Ping,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..140),
        1 => proptest::collection::vec(any::<u8>(), 60_000..70_000),
    ]
}

fn text_payload() -> impl Strategy<Value = Vec<u8>> {
    "\\PC{0,150}".prop_map(String::into_bytes)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        payload().prop_map(|p| Op::Send(Kind::Binary, p)),
        text_payload().prop_map(|p| Op::Send(Kind::Text, p)),
        proptest::collection::vec(payload(), 1..4).prop_map(|p| Op::Fragments(Kind::Binary, p)),
        (text_payload(), 1..9usize).prop_map(|(p, n)| {
            let fragments = p.chunks(n).map(<[u8]>::to_vec).chain([Vec::new()]).collect();
            Op::Fragments(Kind::Text, fragments)
        }),
        Just(Op::Ping),
    ]
}

/// Sends all of it, and returns what a peer has to see.
fn play<R: Role>(end: &mut End<R>, ops: &[Op]) -> Vec<Told> {
    end.out = SharedSendBuf::new(usize::MAX);
    let mut want = Vec::new();
    for op in ops {
        match op {
            Op::Send(Kind::Text, p) => {
                end.ws.send_text(at(1), &mut end.out, std::str::from_utf8(p).unwrap()).unwrap();
                want.push(Told::Message(Kind::Text, p.clone()));
            }
            Op::Send(Kind::Binary, p) => {
                end.ws.send_shared(at(1), &mut end.out, Kind::Binary, &p.clone().into()).unwrap();
                want.push(binary(p));
            }
            Op::Fragments(kind, fragments) => {
                for (i, fragment) in fragments.iter().enumerate() {
                    let last = i + 1 == fragments.len();
                    end.ws.send_fragment(at(1), &mut end.out, *kind, last, fragment).unwrap();
                    if i % 3 == 1 {
                        end.ws.ping();
                        let _ = end.ws.poll_transmit(at(1), &mut end.out);
                    }
                }
                want.push(Told::Message(*kind, fragments.concat()));
            }
            Op::Ping => {
                end.ws.ping();
                let _ = end.ws.poll_transmit(at(1), &mut end.out);
            }
        }
    }
    want
}

fn hears<R: Role>(end: &mut End<R>, octets: &[u8], reads: &[usize], want: &[Told], carries: Carries) {
    let (mut rest, mut reads) = (octets, reads.iter().cycle());
    while !rest.is_empty() {
        let n = (*reads.next().unwrap()).min(rest.len());
        end.feed(at(2), &rest[..n]);
        rest = &rest[n..];
    }
    assert!(end.input.filled().is_empty());
    match carries {
        Carries::Messages => assert_eq!(end.told(), want),
        Carries::Stream => {
            let all = want.iter().flat_map(|told| match told {
                Told::Message(_, payload) => payload.clone(),
                other => panic!("{other:?}"),
            });
            assert!(end.stream.iter().copied().eq(all));
        }
        Carries::Pieces => {
            let mut messages: Vec<Told> = Vec::new();
            for told in end.told() {
                let Told::Piece(kind, first, _, payload) = told else { panic!("{told:?}") };
                match messages.last_mut() {
                    Some(Told::Message(of, all)) if !first => {
                        assert_eq!(*of, kind);
                        all.extend(payload);
                    }
                    _ => messages.push(Told::Message(kind, payload)),
                }
            }
            assert_eq!(messages, want);
        }
    }
}

/// A decoder by the letter of section 5, of a client's octets: all it can tell, up to the first thing
/// that is wrong, as the fault's close code.
fn reference(mut octets: &[u8]) -> (Vec<Told>, Option<CloseCode>) {
    let mut told = Vec::new();
    let mut message: Option<(Kind, Vec<u8>)> = None;
    loop {
        let frame = match frame(octets, message.is_some()) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                // What is there of the last frame counts, where it can be wrong already.
                if let Some((kind, part)) = partial(octets) {
                    let (kind, before) = message.unwrap_or((kind, Vec::new()));
                    if kind == Kind::Text && is_bad(&[before, part].concat()) {
                        return (told, Some(CloseCode::INVALID_DATA));
                    }
                }
                return (told, None);
            }
            Err(()) => return (told, Some(CloseCode::PROTOCOL)),
        };
        let (first, payload, size) = frame;
        octets = &octets[size..];
        match first & 0xf {
            8 => {
                let (code, reason) = payload.split_at(payload.len().min(2));
                let code = match code {
                    [] => 1005,
                    [a, b] => u16::from_be_bytes([*a, *b]),
                    _ => return (told, Some(CloseCode::PROTOCOL)),
                };
                if code != 1005 && !CloseCode(code).is_sendable() || payload.len() > 1 && code == 1005 {
                    return (told, Some(CloseCode::PROTOCOL));
                }
                let Ok(reason) = std::str::from_utf8(reason) else {
                    return (told, Some(CloseCode::INVALID_DATA));
                };
                let (code, reason) = (CloseCode(code), reason.to_string());
                told.push(Told::Closed { by: By::Remote, code, reason, clean: true, fault: None });
                return (told, None);
            }
            9 | 10 => {}
            opcode => {
                let kind = if opcode == 1 { Kind::Text } else { Kind::Binary };
                let (kind, mut all) = message.take().unwrap_or((kind, Vec::new()));
                all.extend(payload);
                if kind == Kind::Text && is_bad(&all) {
                    return (told, Some(CloseCode::INVALID_DATA));
                }
                if first & 0x80 == 0 {
                    message = Some((kind, all));
                } else if kind == Kind::Text && std::str::from_utf8(&all).is_err() {
                    return (told, Some(CloseCode::INVALID_DATA));
                } else {
                    told.push(Told::Message(kind, all));
                }
            }
        }
    }
}

fn is_bad(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err_and(|e| e.error_len().is_some())
}

/// The first frame: its first octet, its payload, its octets in all.
fn frame(octets: &[u8], within: bool) -> Result<Option<(u8, Vec<u8>, usize)>, ()> {
    let [first, rest @ ..] = octets else { return Ok(None) };
    let opcode = first & 0xf;
    let control = opcode >= 8;
    let bad = first & 0x70 != 0
        || !matches!(opcode, 0..=2 | 8..=10)
        || control && first & 0x80 == 0
        || !control && (opcode == 0) != within;
    let [second, rest @ ..] = rest else { return if bad { Err(()) } else { Ok(None) } };
    let short = second & 0x7f;
    if bad || second & 0x80 == 0 || control && short > 125 {
        return Err(());
    }
    let extra = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if extra == 8 && rest.first().is_some_and(|octet| *octet >= 0x80) {
        return Err(());
    }
    if rest.len() < extra {
        return Ok(None);
    }
    let length = rest[..extra].iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
    let length = if extra == 0 { u64::from(short) } else { length };
    if extra == 2 && length < 126 || extra == 8 && length < 65_536 {
        return Err(());
    }
    let Some((key, payload)) = rest[extra..].split_first_chunk::<4>() else { return Ok(None) };
    if (payload.len() as u64) < length {
        return Ok(None);
    }
    let payload =
        payload[..length as usize].iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]).collect();
    Ok(Some((*first, payload, 2 + extra + 4 + length as usize)))
}

/// What there is of the payload of a data frame that is cut.
fn partial(octets: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let [first, second, rest @ ..] = octets else { return None };
    let extra = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let (key, payload) = rest.get(extra..)?.split_first_chunk::<4>()?;
    let kind = if first & 0xf == 1 { Kind::Text } else { Kind::Binary };
    let payload = payload.iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]).collect();
    (first & 0xf < 8).then_some((kind, payload))
}

/// A frame of a client, right or nearly so.
fn wire_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        text_payload(),
        proptest::collection::vec(any::<u8>(), 120..140),
        Just(b"\x03\xe8".to_vec()),
        Just(b"\xe2\x82".to_vec()),
    ];
    let first = prop_oneof![
        8 => prop_oneof![Just(0x81u8), Just(0x82), Just(0x01), Just(0x02), Just(0), Just(0x80), Just(0x89), Just(0x8a)],
        1 => Just(0x88u8),
        1 => any::<u8>(),
    ];
    (first, payload, any::<bool>()).prop_map(|(first, payload, spoil)| {
        let mut frame = masked(first, &payload);
        if spoil && payload.len() % 16 == 1 {
            frame[1] ^= 0x80;
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any messages in any fragments, read in any pieces, both ways.
    #[test]
    fn what_one_side_sends_the_other_hears(
        ops in proptest::collection::vec(op(), 0..12),
        reads in proptest::collection::vec(prop_oneof![1..20usize, 1..5000usize, Just(1 << 17)], 1..20),
    ) {
        for carries in [Carries::Messages, Carries::Pieces] {
            let (mut c, mut s) = (client(carries), server(carries));
            let want = play(&mut c, &ops);
            hears(&mut s, &c.sent(), &reads, &want, carries);
            let want = play(&mut s, &ops);
            s.told.clear();
            let mut c = client(carries);
            hears(&mut c, &s.sent(), &reads, &want, carries);
        }
        let binary: Vec<Op> = ops.into_iter().map(|op| match op {
            Op::Send(_, p) => Op::Send(Kind::Binary, p),
            Op::Fragments(_, p) => Op::Fragments(Kind::Binary, p),
            Op::Ping => Op::Ping,
        }).collect();
        let (mut c, mut s) = (client(Carries::Stream), server(Carries::Stream));
        let want = play(&mut c, &binary);
        hears(&mut s, &c.sent(), &reads, &want, Carries::Stream);
    }

    /// The same as a decoder that is too simple to be wrong, however the octets are cut.
    #[test]
    fn it_decodes_as_section_5_says(
        frames in proptest::collection::vec(wire_frame(), 0..8),
        cut in any::<proptest::sample::Index>(),
        whole in any::<bool>(),
        reads in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let mut octets = frames.concat();
        if !whole && !octets.is_empty() {
            octets.truncate(cut.index(octets.len()));
        }
        let (want, code) = reference(&octets);
        let mut s = server(Carries::Messages);
        let (mut rest, mut reads) = (&octets[..], reads.iter().cycle());
        while !rest.is_empty() {
            let n = (*reads.next().unwrap()).min(rest.len());
            s.feed(at(1), &rest[..n]);
            rest = &rest[n..];
        }
        let mut told = s.told();
        if let Some(code) = code {
            let last = told.pop();
            prop_assert!(matches!(&last, Some(Told::Closed { code: c, fault: Some(_), .. }) if *c == code), "{:?} {:?}", last, code);
        }
        let closes = matches!(want.last(), Some(Told::Closed { .. }));
        prop_assert_eq!(s.ws.is_open(), code.is_none() && !closes);
        prop_assert_eq!(told, want);
    }
}

/// The opcodes are those of section 5.2.
#[test]
fn opcodes() {
    let numbers =
        [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    assert_eq!(numbers.map(|opcode| opcode as u8), [0, 1, 2, 8, 9, 10]);
}
