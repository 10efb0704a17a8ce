//! Each rule that a peer can break, whole and at every cut: what is told, what the peer is told, and that
//! it can still read it.

use super::*;
use crate::websocket::{CONTROL_MAX, HEADROOM, Opcode};

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = FIN | 8;
const PING: u8 = FIN | 9;

/// Feeds a server `octets` in every way of two parts, and one by one; each time the last event has to be
/// that `fault`, and the last frame its Close.
fn refuses(carries: Carries, config: &Config, octets: &[u8], fault: Fault) {
    let whole = std::iter::once(std::vec![octets]);
    let cuts = (1..octets.len().min(64)).map(|at| std::vec![&octets[..at], &octets[at..]]);
    let ones = std::iter::once(octets.chunks(1).collect());
    for parts in whole.chain(cuts).chain(ones) {
        let mut end = End::new(Server, carries, config);
        for part in &parts {
            end.feed(at(1), part);
        }
        assert_eq!(end.told().last(), Some(&broken(fault)), "{parts:x?}");
        assert_eq!(end.transmit(at(1)), Transport::Shut, "{fault}");
        let mut close = fault.close_code().0.to_be_bytes().to_vec();
        close.extend_from_slice(fault.reason().as_bytes());
        assert!(end.sent().ends_with(&plain(CLOSE, &close)), "{fault}");
        // What comes now is read and dropped, until the end of the stream.
        end.feed(at(2), &masked(FIN | TEXT, b"more"));
        assert_eq!((end.told(), end.input.filled().len()), (Vec::new(), 0));
        end.ws.handle_eof(at(3));
        assert_eq!((end.transmit(at(3)), end.ws.poll_closed()), (Transport::Drop, None));
        assert!(end.sent().is_empty());
    }
}

fn refuses_any(octets: &[u8], fault: Fault) {
    for carries in [Carries::Messages, Carries::Pieces, Carries::Stream] {
        refuses(carries, &Config::default(), octets, fault);
    }
}

/// Section 5.2.
#[test]
fn reserved_bits_and_opcodes() {
    for bits in 1..8 {
        for opcode in [TEXT, BINARY, 8, 9, 10] {
            refuses_any(&masked(FIN | bits << 4 | opcode, b""), Fault::ReservedBits { bits });
        }
    }
    for opcode in (3..8).chain(11..16) {
        refuses_any(&masked(FIN | opcode, b"x"), Fault::ReservedOpcode(opcode));
        refuses_any(&masked(opcode, b"x"), Fault::ReservedOpcode(opcode));
    }
}

/// Section 5.1.
#[test]
fn only_clients_mask_and_all_of_them() {
    for (first, opcode) in [(FIN | BINARY, Opcode::Binary), (PING, Opcode::Ping), (CLOSE, Opcode::Close)] {
        refuses_any(&plain(first, b""), Fault::Unmasked(opcode));
        let mut end = client(Carries::Messages);
        end.feed(at(1), &masked(first, b""));
        assert_eq!(end.told(), [broken(Fault::Masked(opcode))]);
        assert_eq!(end.transmit(at(1)), Transport::Shut);
    }
}

/// Section 5.5.
#[test]
fn control_frames_are_short_and_whole() {
    for (number, opcode) in [(8, Opcode::Close), (9, Opcode::Ping), (10, Opcode::Pong)] {
        refuses_any(&masked(number, b""), Fault::FragmentedControl(opcode));
        refuses_any(&masked(FIN | number, &[b'x'; 126]), Fault::ControlTooLong(opcode));
        refuses_any(&masked(FIN | number, &[b'x'; 70_000])[..20], Fault::ControlTooLong(opcode));
    }
    let mut end = server(Carries::Messages);
    end.feed(at(1), &masked(PING, &[7; 125]));
    assert_eq!((end.told(), end.sent()), (Vec::new(), plain(FIN | 10, &[7; 125])));
}

/// Section 5.2: of 126 and 65,536 on, and below 2^63.
#[test]
fn lengths_are_minimal() {
    let opcode = Opcode::Binary;
    for length in [0, 1, 125] {
        let octets = [&[FIN | BINARY, 0x80 | 126, 0, length as u8][..], &KEY].concat();
        refuses_any(&octets, Fault::LengthNotMinimal { opcode, length });
    }
    for length in [0, 125, 126, 65_535] {
        let octets = [&[FIN | BINARY, 0x80 | 127][..], &u64::to_be_bytes(length), &KEY].concat();
        refuses_any(&octets, Fault::LengthNotMinimal { opcode, length });
    }
    let top = [&[FIN | BINARY, 0x80 | 127][..], &(1u64 << 63).to_be_bytes()].concat();
    refuses_any(&top, Fault::LengthTooLong(opcode));
    refuses_any(&top[..3], Fault::LengthTooLong(opcode)); // as soon as it is seen
}

/// Section 5.4.
#[test]
fn fragments_are_in_order() {
    refuses_any(&masked(FIN | CONTINUATION, b"x"), Fault::NothingToContinue);
    refuses_any(&masked(CONTINUATION, b"x"), Fault::NothingToContinue);
    let begun = masked(BINARY, b"x");
    for (first, opcode) in [(BINARY, Opcode::Binary), (FIN | TEXT, Opcode::Text)] {
        let octets = [&begun[..], &masked(first, b"")].concat();
        refuses_any(&octets, Fault::MessageWithinMessage(opcode));
    }
    let ended = [&begun[..], &masked(FIN | CONTINUATION, b""), &masked(CONTINUATION, b"")].concat();
    refuses_any(&ended, Fault::NothingToContinue);
}

/// Section 8.1: wherever the frames and the reads are cut, and before the message has ended.
#[test]
fn text_is_utf8() {
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    for carries in [Carries::Messages, Carries::Pieces] {
        let fault = Fault::Utf8 { at: 11 };
        refuses(carries, &Config::default(), &masked(FIN | TEXT, bad), fault);
        refuses(carries, &Config::default(), &masked(FIN | TEXT, bad)[..6 + 13], fault);
        for cut in 1..bad.len() {
            let (a, b) = bad.split_at(cut);
            let octets = [masked(TEXT, a), masked(CONTINUATION, b)].concat();
            refuses(carries, &Config::default(), &octets, fault);
        }
        // A message that ends within a character.
        refuses(carries, &Config::default(), &masked(FIN | TEXT, b"a\xe2\x82"), Fault::Utf8 { at: 1 });
        let octets = [masked(TEXT, b"ab\xe2"), masked(FIN | CONTINUATION, b"")].concat();
        refuses(carries, &Config::default(), &octets, Fault::Utf8 { at: 2 });
    }
}

/// Section 10.4; and no announced length is waited for.
#[test]
fn messages_have_a_limit() {
    let config = Config { max_message: 1000, fragment_cost: 10, ..Config::default() };
    for carries in [Carries::Messages, Carries::Pieces] {
        let big = |size| Fault::TooBig { size, limit: 1000 };
        refuses(carries, &config, &masked(FIN | BINARY, &[0; 1001])[..8], big(1001));
        let huge = [&[FIN | BINARY, 0x80 | 127][..], &(u64::MAX >> 1).to_be_bytes(), &KEY].concat();
        refuses(carries, &config, &huge, big(u64::MAX >> 1));
        let begun = masked(BINARY, &[1; 990]);
        refuses(carries, &config, &[&begun[..], &masked(CONTINUATION, b"x")].concat(), big(1001));
        let fine = [&begun[..], &masked(FIN | CONTINUATION, b"")].concat();
        let mut end = End::new(Server, carries, &config);
        end.feed(at(1), &fine);
        end.feed(at(1), &masked(FIN | BINARY, &[0; 1000]));
        assert!(end.ws.is_open());
        // Empty fragments come to an end.
        let mut endless = masked(BINARY, b"");
        for _ in 0..101 {
            endless.extend(masked(CONTINUATION, b""));
        }
        refuses(carries, &config, &endless, big(1010));
    }
    // What is handed out whole has to fit in the buffer.
    let mut end = End::new(Server, Carries::Messages, &Config { max_message: u64::MAX, ..config });
    end.input = GrowingRecvBuf::new(1000);
    let limit = 1000 - HEADROOM as u64;
    end.feed(at(1), &masked(FIN | BINARY, &[1; 1000 - HEADROOM]));
    end.feed(at(1), &masked(FIN | BINARY, &[0; 1001 - HEADROOM])[..8]);
    let told = [binary(&[1; 1000 - HEADROOM]), broken(Fault::TooBig { size: limit + 1, limit })];
    assert_eq!(end.told(), told);
}

/// A million fragments of one octet each: a message of them comes to its end long before, and a stream of
/// them takes no more memory than one read.
#[test]
fn a_million_fragments() {
    const MANY: usize = 1000;
    let config = Config::default();
    let fragments = masked(CONTINUATION, b"x").repeat(MANY);
    for carries in [Carries::Messages, Carries::Pieces, Carries::Stream] {
        let mut end = server(carries);
        end.feed(at(1), &masked(BINARY, b"x"));
        let mut fed = 0;
        while fed < 1_000_000 && end.ws.is_open() {
            end.feed(at(1), &fragments);
            (end.told, fed) = (end.told.pop().into_iter().collect(), fed + MANY);
        }
        if carries == Carries::Stream {
            assert_eq!((end.stream.len(), end.told()), (1_000_001, Vec::new()));
            assert!(end.input.memory() <= 2 * fragments.len(), "{}", end.input.memory());
        } else {
            assert!(matches!(end.told()[..], [Told::Closed { code: CloseCode::TOO_BIG, .. }]));
            let each = u64::from(config.fragment_cost) + 1;
            assert!(fed as u64 <= config.max_message / each + MANY as u64, "{fed}");
        }
    }
}

/// [MQTT-6.0.0-1], and our own dialects likewise.
#[test]
fn a_stream_is_binary() {
    refuses(Carries::Stream, &Config::default(), &masked(FIN | TEXT, b"x"), Fault::TextInStream);
    refuses(Carries::Stream, &Config::default(), &masked(TEXT, b"")[..6], Fault::TextInStream);
}

/// Sections 5.5.1 and 7.4.
#[test]
fn close_frames_are_well_formed() {
    refuses_any(&masked(CLOSE, &[3]), Fault::CloseLength);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        refuses_any(&masked(CLOSE, &u16::to_be_bytes(code)), Fault::CloseCode(code));
    }
    refuses_any(&masked(CLOSE, b"\x03\xe8\xce\xba\xe1\xbd"), Fault::CloseReason);
    refuses_any(&masked(CLOSE, b"\x03\xe8\xff"), Fault::CloseReason);
}

/// Section 7.1.7: every fault has a code that may be sent, and a reason that fits beside it.
#[test]
fn every_fault_can_be_said() {
    let faults = [
        Fault::ReservedBits { bits: 1 },
        Fault::ReservedOpcode(3),
        Fault::Unmasked(Opcode::Text),
        Fault::Masked(Opcode::Text),
        Fault::FragmentedControl(Opcode::Ping),
        Fault::ControlTooLong(Opcode::Ping),
        Fault::LengthNotMinimal { opcode: Opcode::Text, length: 1 },
        Fault::LengthTooLong(Opcode::Text),
        Fault::NothingToContinue,
        Fault::MessageWithinMessage(Opcode::Text),
        Fault::Utf8 { at: 0 },
        Fault::TooBig { size: 2, limit: 1 },
        Fault::TextInStream,
        Fault::CloseLength,
        Fault::CloseCode(0),
        Fault::CloseReason,
        Fault::Deflate,
        Fault::DeflateRatio { limit: 100 },
        Fault::PeerSilent,
        Fault::WriteTimeout,
    ];
    for fault in faults {
        assert!(fault.close_code().is_sendable(), "{fault}");
        assert!(!fault.reason().is_empty() && fault.reason().len() <= CONTROL_MAX - 2, "{fault}");
        assert!(fault.to_string().len() > 10);
    }
}
