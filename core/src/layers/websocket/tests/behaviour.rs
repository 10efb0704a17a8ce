//! What the machine does with what is right: control frames, closing, keeping alive, time.

use std::time::Duration;

use super::*;
use crate::buf::{SendBuf, SliceSendBuf};
use crate::time::{Deadline, Why};
use crate::websocket::{HEADROOM, SendError};

/// The examples of section 5.7.
#[test]
fn the_examples_of_section_5_7() {
    let mut c = client(Carries::Messages);
    c.feed(at(1), &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    c.feed(at(1), &[0x01, 0x03, 0x48, 0x65, 0x6c]);
    assert_eq!(c.told(), [text("Hello")]);
    c.feed(at(1), &[0x80, 0x02, 0x6c, 0x6f]);
    assert_eq!(c.told(), [text("Hello")]);
    for n in [256, 65_536] {
        c.feed(at(1), &plain(0x82, &std::vec![9; n]));
        assert_eq!(c.told(), [binary(&std::vec![9; n])]);
    }
    let mut s = server(Carries::Messages);
    s.feed(at(1), &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    assert_eq!(s.told(), [text("Hello")]);
    c.feed(at(1), &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    s.feed(at(1), &c.sent());
    s.feed(at(1), &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    assert_eq!((s.told(), s.sent(), c.told()), (Vec::new(), Vec::new(), Vec::new()));
}

/// Section 5.5.2, between fragments too; all answers to one read are in one output.
#[test]
fn every_ping_is_answered_while_there_is_room() {
    let mut s = server(Carries::Messages);
    let read = [
        masked(0x89, b"1"),
        masked(0x01, b"frag"),
        masked(0x89, b"2"),
        masked(0x80, b"ment"),
        masked(0x89, b""),
    ];
    s.feed(at(1), &read.concat());
    assert_eq!(s.told(), [text("fragment")]);
    assert_eq!(s.sent(), [plain(0x8a, b"1"), plain(0x8a, b"2"), plain(0x8a, b"")].concat());
    assert_eq!((s.transmit(at(1)), s.sent()), (Transport::Open, Vec::new()));
}

/// Section 5.5.3: the latest, where not all have room; nothing is queued.
#[test]
fn one_pong_is_owed() {
    let mut s = server(Carries::Messages);
    let mut memory = [0; 6];
    let mut out = SliceSendBuf::new(&mut memory);
    let pings: Vec<u8> = (0..100u32).flat_map(|n| masked(0x89, &n.to_be_bytes())).collect();
    s.input.push(&pings);
    assert_eq!(s.ws.recv(at(1), &mut s.input, &mut out), None);
    assert_eq!(out.pending(), plain(0x8a, &[0; 4]));
    assert_eq!(s.ws.poll_timeout().map(|d| d.why), Some(Why::Output));
    let _ = s.ws.poll_transmit(at(1), &mut out);
    assert_eq!(out.pending(), plain(0x8a, &[0; 4]));
    out.sent(6);
    let _ = s.ws.poll_transmit(at(1), &mut out);
    assert_eq!(out.pending(), plain(0x8a, &99u32.to_be_bytes()));
    assert_eq!(s.ws.poll_timeout().map(|d| d.why), Some(Why::Keepalive));
}

/// Sections 5.5.1 and 7.1.1: answered with the same code, behind what was sent before; the server's side
/// ends the stream first.
#[test]
fn the_peer_closes() {
    for (payload, code, reason) in
        [(&b"\x03\xe8bye"[..], 1000, "bye"), (b"\x0f\xa0", 4000, ""), (b"", 1005, "")]
    {
        let told = |by| Told::Closed {
            by,
            code: CloseCode(code),
            reason: reason.to_string(),
            clean: true,
            fault: None,
        };
        let mut s = server(Carries::Messages);
        s.ws.send_text(at(1), &mut s.out, "last").unwrap();
        s.feed(at(1), &[masked(0x82, b"data"), masked(0x88, payload), masked(0x82, b"never")].concat());
        assert_eq!(s.told(), [binary(b"data"), told(By::Remote)]);
        assert_eq!(s.ws.send_text(at(1), &mut s.out, "no"), Err(SendError::Closed));
        assert_eq!(s.transmit(at(1)), Transport::Shut);
        let echo = &payload[..payload.len().min(2)];
        assert_eq!(s.sent(), [plain(0x81, b"last"), plain(0x88, echo)].concat());
        s.ws.handle_eof(at(2));
        assert_eq!(
            (s.transmit(at(2)), s.ws.poll_timeout(), s.ws.poll_closed()),
            (Transport::Drop, None, None)
        );

        let mut c = client(Carries::Messages);
        c.feed(at(1), &plain(0x88, payload));
        assert_eq!(c.told(), [told(By::Remote)]);
        assert_eq!(c.transmit(at(1)), Transport::Open); // waits for the server, by a timer
        assert_eq!(c.ws.poll_timeout(), Some(Deadline::new(at(5001), Why::Close)));
        assert_eq!(c.ws.handle_timeout(at(5001)), None);
        assert_eq!(c.transmit(at(5001)), Transport::Drop);
    }
}

/// Section 7.1.2: what comes is dropped, until the peer's Close frame.
#[test]
fn this_side_closes() {
    let mut s = server(Carries::Messages);
    s.feed(at(1), &masked(0x01, b"half of"));
    s.ws.close(at(1), CloseCode::GOING_AWAY, "restart");
    s.ws.close(at(1), CloseCode::NORMAL, "too late");
    assert_eq!(s.transmit(at(1)), Transport::Open);
    assert_eq!(s.sent(), plain(0x88, b"\x03\xe9restart"));
    s.feed(
        at(2),
        &[masked(0x00, b"\xff"), masked(0x89, b"?"), masked(0x80, &[9; 3000]), masked(0x02, b"")].concat(),
    );
    s.feed(at(2), &masked(0x80, &[9; 3000])[..500]);
    assert_eq!((s.told(), s.sent(), s.ws.is_open()), (Vec::new(), Vec::new(), false));
    s.feed(at(2), &masked(0x80, &[9; 3000])[500..]);
    s.feed(at(3), &masked(0x88, b"\x03\xe9"));
    let told = Told::Closed {
        by: By::Local,
        code: CloseCode::GOING_AWAY,
        reason: String::new(),
        clean: true,
        fault: None,
    };
    assert_eq!((s.told(), s.transmit(at(3))), ([told].to_vec(), Transport::Shut));
    s.ws.handle_eof(at(4));
    assert_eq!((s.transmit(at(4)), s.sent()), (Transport::Drop, Vec::new()));
}

#[test]
fn a_peer_that_does_not_answer_close_has_its_time() {
    let mut s = server(Carries::Messages);
    s.ws.close(at(100), CloseCode::NORMAL, "");
    let _ = s.transmit(at(100));
    assert_eq!(s.ws.poll_timeout(), Some(Deadline::new(at(5100), Why::Close)));
    s.feed(at(4000), &masked(0x82, b"still here"));
    let event = s.ws.handle_timeout(at(5100)).map(Told::from);
    let told = Told::Closed {
        by: By::Local,
        code: CloseCode::NORMAL,
        reason: String::new(),
        clean: false,
        fault: None,
    };
    assert_eq!((event, s.transmit(at(5100))), (Some(told), Transport::Drop));
}

/// Nothing is told behind the end.
#[test]
fn a_pong_behind_the_end_is_not_told() {
    let mut s = server(Carries::Messages);
    s.ws.ping();
    let _ = s.transmit(at(1));
    let ping = s.sent();
    s.ws.close(at(2), CloseCode::NORMAL, "");
    let _ = s.transmit(at(2));
    assert!(s.ws.handle_timeout(at(9000)).is_some());
    s.feed(at(9001), &[masked(0x8a, &ping[2..]), masked(0x88, b"")].concat());
    assert_eq!((s.told(), s.ws.poll_closed()), (Vec::new(), None));
}

/// A violation while we wait for the peer's Close frame is not answered again.
#[test]
fn one_close_frame_is_sent() {
    let mut s = server(Carries::Messages);
    s.ws.close(at(1), CloseCode::NORMAL, "");
    let _ = s.transmit(at(1));
    assert_eq!(s.sent(), plain(0x88, b"\x03\xe8"));
    s.feed(at(2), &plain(0x82, b"not masked"));
    let told = Told::Closed {
        by: By::Local,
        code: CloseCode::NORMAL,
        reason: String::new(),
        clean: false,
        fault: None,
    };
    assert_eq!((s.told(), s.transmit(at(2)), s.sent()), ([told].to_vec(), Transport::Shut, Vec::new()));
}

/// Section 7.1.5: 1006 is told, and never sent.
#[test]
fn a_stream_that_ends_without_close_is_truncated() {
    let mut s = server(Carries::Messages);
    s.feed(at(1), &masked(0x82, b"half")[..7]);
    s.ws.handle_eof(at(2));
    s.turn(at(2));
    let told = Told::Closed {
        by: By::Transport,
        code: CloseCode::ABNORMAL,
        reason: String::new(),
        clean: false,
        fault: None,
    };
    assert_eq!((s.told(), s.transmit(at(2)), s.sent()), ([told].to_vec(), Transport::Drop, Vec::new()));
}

/// Section 5.5.1: a reason is cut where no character is; a code that may not be sent makes an empty frame.
#[test]
fn what_a_close_frame_says() {
    let mut s = server(Carries::Messages);
    s.ws.close(at(1), CloseCode::POLICY, &"é".repeat(100));
    let _ = s.transmit(at(1));
    let want = [&1008u16.to_be_bytes()[..], "é".repeat(61).as_bytes()].concat();
    assert_eq!(s.sent(), plain(0x88, &want));
    let mut s = server(Carries::Messages);
    s.ws.close(at(1), CloseCode::ABNORMAL, "never");
    let _ = s.transmit(at(1));
    assert_eq!(s.sent(), plain(0x88, b""));
}

/// Section 5.5.2: keeping alive, and measuring.
#[test]
fn silence_is_pinged_and_then_given_up() {
    let mut s = server(Carries::Messages);
    assert_eq!(s.ws.poll_timeout(), Some(Deadline::new(at(30_000), Why::Keepalive)));
    s.feed(at(10_000), &masked(0x82, b"speaks"));
    assert_eq!(s.ws.poll_timeout(), Some(Deadline::new(at(40_000), Why::Keepalive)));
    s.ws.send_text(at(39_000), &mut s.out, "to one who listens only").unwrap();
    s.sent();
    let _ = s.transmit(at(40_000));
    let ping = s.sent();
    assert_eq!(ping[..2], [0x89, 8]);
    s.feed(at(40_030), &masked(0x8a, &ping[2..]));
    s.feed(at(40_040), &masked(0x8a, &ping[2..])); // nobody asked
    s.feed(at(40_050), &masked(0x8a, b"nor for this"));
    assert_eq!(s.told(), [binary(b"speaks"), Told::RoundTrip(30)]);
    assert_eq!(s.ws.smoothed_rtt(), Some(Duration::from_millis(30)));
    let _ = s.transmit(at(70_050));
    assert_eq!(s.sent()[..2], [0x89, 8]);
    assert_eq!(s.ws.handle_timeout(at(85_049)), None);
    assert_eq!(s.ws.handle_timeout(at(85_050)).map(Told::from), Some(broken(Fault::PeerSilent)));
    assert_eq!(s.transmit(at(85_050)), Transport::Shut);
}

/// Nobody knows whether a peer was silent that was not read.
#[test]
fn silence_that_is_excused_does_not_count() {
    let mut s = server(Carries::Messages);
    let _ = s.transmit(at(30_000));
    s.sent();
    s.ws.excuse_silence(at(200_000));
    assert_eq!(s.ws.handle_timeout(at(200_000)), None);
    let _ = s.transmit(at(230_000));
    assert_eq!(s.ws.handle_timeout(at(244_999)), None);
    assert_eq!(s.ws.handle_timeout(at(245_000)).map(Told::from), Some(broken(Fault::PeerSilent)));
}

#[test]
fn a_ping_can_be_asked_for() {
    let config = Config { ping_interval: None, ..Config::default() };
    let mut s = End::new(Server, Carries::Messages, &config);
    assert_eq!(s.ws.poll_timeout(), None);
    s.ws.ping();
    let _ = s.transmit(at(7));
    let ping = s.sent();
    s.feed(at(9), &masked(0x8a, &ping[2..]));
    assert_eq!((s.told(), s.ws.poll_timeout()), ([Told::RoundTrip(2)].to_vec(), None));
}

/// A driver that obeys the deadlines does not spin while the transport takes nothing.
#[test]
fn a_ping_waits_behind_what_waits() {
    let mut s = server(Carries::Messages);
    s.ws.ping();
    s.ws.handle_written(at(29_000), 0, 3);
    assert_eq!(s.ws.poll_timeout(), Some(Deadline::new(at(39_000), Why::Write)));
    s.ws.handle_written(at(30_001), 3, 0);
    assert_eq!(s.ws.poll_timeout().map(|d| d.why), Some(Why::Output));
}

#[test]
fn who_reads_nothing_is_given_up() {
    let mut s = server(Carries::Messages);
    s.ws.send_text(at(1), &mut s.out, "x").unwrap();
    s.ws.handle_written(at(1), 0, 3);
    s.ws.handle_written(at(5000), 1, 2);
    s.ws.handle_written(at(6000), 0, 2);
    assert_eq!(s.ws.poll_timeout(), Some(Deadline::new(at(15_000), Why::Write)));
    assert_eq!(s.ws.handle_timeout(at(15_000)).map(Told::from), Some(broken(Fault::WriteTimeout)));
    assert_eq!((s.transmit(at(15_000)), s.ws.poll_timeout()), (Transport::Abort, None));
}

/// Section 5.4: fragments of ours, with control frames between them, and nothing else.
#[test]
fn messages_are_sent_in_fragments() {
    let (mut s, mut c) = (server(Carries::Messages), client(Carries::Messages));
    let s_out = &mut s.out;
    s.ws.send_fragment(at(1), s_out, Kind::Text, false, b"one ").unwrap();
    assert_eq!(s.ws.send_text(at(1), s_out, "no"), Err(SendError::Fragmented));
    assert_eq!(s.ws.framed(s_out).room(), 0);
    s.feed(at(1), &masked(0x89, b"?"));
    s.ws.send_fragment(at(1), &mut s.out, Kind::Text, false, b"").unwrap();
    s.ws.send_fragment(at(1), &mut s.out, Kind::Text, true, b"two").unwrap();
    s.ws.send_binary(at(1), &mut s.out, b"three").unwrap();
    let sent = s.sent();
    assert!(sent.starts_with(&plain(0x01, b"one ")));
    c.feed(at(1), &sent);
    assert_eq!(c.told(), [text("one two"), binary(b"three")]);
}

#[test]
fn what_has_no_room_is_not_sent() {
    let (mut s, mut c) = (server(Carries::Messages), client(Carries::Messages));
    let mut memory = [0; 12];
    for (room, server_fits, client_fits) in
        [(6, false, false), (7, true, false), (10, true, false), (11, true, true)]
    {
        let fits = |sent: Result<(), SendError>| match sent {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is_blocked());
                false
            }
        };
        let mut out = SliceSendBuf::new(&mut memory[..room]);
        assert_eq!(fits(s.ws.send_text(at(1), &mut out, "12345")), server_fits);
        assert_eq!(out.pending().is_empty(), !server_fits);
        let mut out = SliceSendBuf::new(&mut memory[..room]);
        assert_eq!(fits(c.ws.send_binary(at(1), &mut out, b"12345")), client_fits);
        assert_eq!(out.pending().is_empty(), !client_fits);
    }
}

/// Any method, in any state, with any buffer.
#[test]
fn another_buffer_does_no_harm() {
    for carries in [Carries::Messages, Carries::Pieces, Carries::Stream] {
        let mut s = server(carries);
        s.input.push(
            &[masked(0x02, &[1; 100]), masked(0x89, b"x"), masked(0x80, &[1; 100])[..50].to_vec()].concat(),
        );
        while s.ws.recv(at(1), &mut s.input, &mut s.out).is_some() {}
        let mut other = GrowingRecvBuf::new(10);
        assert_eq!(s.ws.decoded(&mut other).filled(), b"");
        assert_eq!(s.ws.decoded(&mut other).take(9), b"");
        assert_eq!(s.ws.recv(at(1), &mut other, &mut s.out), None);
        assert_eq!(s.ws.decoded(&mut other).limit(), 0);
    }
}

/// Many of them wait for long: what each costs is known.
#[test]
fn it_is_small() {
    assert!(size_of::<WebSocket<Server>>() <= 200, "{}", size_of::<WebSocket<Server>>());
    assert_eq!(HEADROOM, 139);
}
