//! Streams for dialects, pieces for whoever does not collect.

use super::*;
use crate::buf::{SendBuf, SliceRecvBuf};
use crate::websocket::HEADROOM;
use bytes::Bytes;

/// [MQTT-6.0.0-2]: borders mean nothing; the octets lie together at the front.
#[test]
fn a_stream_is_put_together() {
    let mut s = server(Carries::Stream);
    let frames = [
        masked(0x82, b"ab"),
        masked(0x02, b"c"),
        masked(0x89, b"ping"),
        masked(0x00, b""),
        masked(0x80, b"def"),
        masked(0x82, &[b'x'; 300]),
        masked(0x82, b"half a header")[..5].to_vec(),
    ];
    let frames = frames.concat();
    let want = [&b"abcdef"[..], &[b'x'; 300]].concat();
    for size in [1, 2, 3, 7, 50, 1000] {
        for part in frames.chunks(size) {
            s.input.push(part);
            assert_eq!(s.ws.recv(at(1), &mut s.input, &mut s.out), None);
        }
        assert_eq!(s.sent(), plain(0x8a, b"ping"));
        // Nothing but the stream and what is still cut is kept.
        assert_eq!(s.input.filled().len(), want.len() + 5);
        let mut inner = s.ws.decoded(&mut s.input);
        assert_eq!(inner.filled(), want);
        assert_eq!(inner.take(4), b"abcd");
        assert_eq!(inner.filled().len(), want.len() - 4);
        inner.filled_mut()[0] = b'E';
        assert_eq!(inner.take(2), b"Ef");
        inner.truncate(100);
        assert_eq!(inner.take(usize::MAX), [b'x'; 100]);
        assert_eq!(inner.take(1), b"");
        assert_eq!(s.input.filled().len(), 5);
        s.feed(at(1), &masked(0x82, b"half a header")[5..]);
        assert_eq!(core::mem::take(&mut s.stream), b"half a header");
        assert!(s.input.filled().is_empty());
    }
}

/// A packet that waits for its end keeps no more than it needs, whatever the frames are.
#[test]
fn a_stream_in_small_frames_fits_where_the_packet_fits() {
    let mut memory = [0; 1000];
    let mut buf = SliceRecvBuf::new(&mut memory);
    let mut s = server(Carries::Stream);
    let size = s.ws.decoded(&mut buf).limit();
    assert_eq!(size, 1000 - HEADROOM);
    let mut frames: Vec<u8> = (0..size).flat_map(|n| masked(0x82, &[n as u8])).collect();
    frames.extend(masked(0x89, &[1; 125]));
    let mut rest = &frames[..];
    while !rest.is_empty() {
        let n = buf.push(rest);
        assert!(n > 0);
        rest = &rest[n..];
        assert_eq!(s.ws.recv(at(1), &mut buf, &mut s.out), None);
    }
    let want: Vec<u8> = (0..size).map(|n| n as u8).collect();
    assert_eq!(s.ws.decoded(&mut buf).filled(), want);
    assert_eq!(s.sent(), plain(0x8a, &[1; 125]));
}

/// What came before a violation, or a Close frame, counts, however it was read.
#[test]
fn a_stream_ends_with_what_came_before() {
    for end in [masked(0x81, b"text"), masked(0x88, b"\x03\xe8bye")] {
        for size in [1, 4, 100] {
            let mut s = server(Carries::Stream);
            for part in [masked(0x82, b"before"), end.clone(), masked(0x82, b"behind")].concat().chunks(size)
            {
                s.input.push(part);
                while let Some(event) = s.ws.recv(at(1), &mut s.input, &mut s.out) {
                    s.told.push(event.into());
                }
            }
            assert_eq!(s.ws.decoded(&mut s.input).take(99), b"before");
            assert!(s.input.filled().is_empty());
            assert!(matches!(
                &s.told()[..],
                [Told::Closed { fault: Some(Fault::TextInStream), .. }]
                    | [Told::Closed { by: By::Remote, clean: true, .. }]
            ));
        }
    }
}

/// What is within is one frame for each unit that was announced, and one for each `put` else.
#[test]
fn units_become_frames() {
    let mut s = server(Carries::Stream);
    let shared = Bytes::from(std::vec![5; 70_000]);
    let room = s.out.room();
    let mut to = s.ws.framed(&mut s.out);
    assert_eq!(to.room(), room - 14);
    to.begin(10);
    to.put(b"head ");
    to.begin(3); // within a unit it means nothing
    to.put(b"body");
    to.put(b"!");
    to.put(b"alone");
    to.put(b"");
    to.begin(70_001);
    to.put(b"x");
    to.put_shared(&shared);
    to.put_shared(&shared.slice(..3));
    assert_eq!(s.out.slices().count(), 3); // by reference
    let big = [&b"x"[..], &shared].concat();
    let frames = [plain(0x82, b"head body!"), plain(0x82, b"alone"), plain(0x82, &big), plain(0x82, &[5; 3])];
    assert_eq!(s.sent(), frames.concat());

    let (mut c, mut s) = (client(Carries::Stream), server(Carries::Stream));
    let mut to = c.ws.framed(&mut c.out);
    to.begin(70_006);
    to.put(b"head ");
    to.put_shared(&shared);
    to.put(b"!");
    to.put(b"alone");
    s.feed(at(1), &c.sent());
    assert_eq!(s.stream, [&b"head "[..], &shared, b"!alone"].concat());
}

/// Section 5.5.1: no data behind a Close frame.
#[test]
fn nothing_follows_close() {
    let mut s = server(Carries::Stream);
    s.ws.close(at(1), CloseCode::NORMAL, "");
    let mut to = s.ws.framed(&mut s.out);
    assert!(to.room() > 1 << 30);
    to.begin(4);
    to.put(b"late");
    to.put_shared(&Bytes::from_static(b"later"));
    let _ = s.transmit(at(1));
    assert_eq!(s.sent(), plain(0x88, b"\x03\xe8"));
}

/// No character is cut by a piece, and nothing is collected.
#[test]
fn pieces_come_as_they_are() {
    let mut s = server(Carries::Pieces);
    let message = "aé漢😀".repeat(20);
    let frames: Vec<u8> = message
        .as_bytes()
        .chunks(7)
        .enumerate()
        .flat_map(|(i, chunk)| masked(u8::from(i == 0), chunk))
        .chain(masked(0x80, b""))
        .collect();
    for size in [1, 3, 10, 10_000] {
        for part in frames.chunks(size) {
            s.feed(at(1), part);
            assert!(s.input.filled().len() <= 8 + 3);
        }
        let told = s.told();
        let mut all = Vec::new();
        for (i, piece) in told.iter().enumerate() {
            let Told::Piece(Kind::Text, first, last, payload) = piece else { panic!("{piece:?}") };
            assert_eq!((*first, *last), (i == 0, i + 1 == told.len()));
            assert!(std::str::from_utf8(payload).is_ok());
            assert!(!payload.is_empty() || *last);
            all.extend_from_slice(payload);
        }
        assert_eq!(all, message.as_bytes());
    }
}

/// A whole MQTT conversation, both sides over frames.
#[test]
fn a_dialect_answers_while_it_reads() {
    use crate::mqtt::server::{Event, Server as Broker, Welcome};
    use crate::mqtt::{Connect, NoAliases, Outgoing, Version};

    let (mut c, mut s) = (client(Carries::Stream), server(Carries::Stream));
    let mut broker = Broker::accept(at(0), &crate::mqtt::server::Config::default());
    let mut to = c.ws.framed(&mut c.out);
    Connect::new(Version::V5, "me").encode(Version::V5, &mut to).unwrap();
    to.put(b"\xc0\0");
    let sent = c.sent();
    let mut aliases = NoAliases;
    for part in sent.chunks(3) {
        s.input.push(part);
        assert_eq!(s.ws.recv(at(1), &mut s.input, &mut s.out), None);
        let (mut inner, mut to) = s.ws.carry(&mut s.input, &mut s.out);
        while let Some(event) = broker.recv(at(1), &mut inner, &mut aliases) {
            let Event::Connect(connect) = event else { panic!("{event:?}") };
            assert_eq!(connect.client_id, "me");
            broker.connack(at(1), &mut to, &Welcome::default()).unwrap();
            broker.publish(at(1), &mut to, &Outgoing::new(b"a", &[b'x'; 200])).unwrap();
        }
        let _ = broker.poll_transmit(at(1), &mut s.ws.framed(&mut s.out));
    }
    let sent = s.sent();
    c.feed(at(1), &sent);
    assert!(c.stream.starts_with(b"\x20") && c.stream.ends_with(b"\xd0\0"));
    // Each packet is one message.
    let frames = sent.iter().filter(|octet| **octet == 0x82).count();
    assert_eq!((frames, sent.len()), (3, c.stream.len() + 2 + 4 + 2));
}
