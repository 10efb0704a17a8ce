//! A server's and a client's connection: what they answer, and when.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use crate::buf::{SliceRecvBuf, SliceSendBuf};
use crate::prx1::*;
use crate::time::{Deadline, Instant, Why};

const CONNECT: &[u8] = b"\x10\x15\x00\x04PRX1\x0f\x00\x02pw\x00\x00\x00\x01\x00\x04test";

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn with_out<T>(f: impl FnOnce(&mut SliceSendBuf<'_>) -> T) -> (T, Vec<u8>) {
    let mut memory = [0; 1024];
    let mut out = SliceSendBuf::new(&mut memory);
    let result = f(&mut out);
    (result, out.pending().to_vec())
}

/// Gives a server `octets` in pieces; its events, in words. CONNECT is answered.
fn feed(server: &mut Server, now: Instant, octets: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let mut memory = [0; 1024];
    let (mut buf, mut events, mut written) = (SliceRecvBuf::new(&mut memory), Vec::new(), Vec::new());
    for part in octets.chunks(piece) {
        assert_eq!(buf.push(part), part.len());
        while let Some(event) = server.recv(now, &mut buf) {
            events.push(format!("{event:?}"));
            if matches!(event, ServerEvent::Connect(_)) {
                let answer = Answer::Accepted { session: None };
                let (result, out) = with_out(|out| server.connack(now, out, answer));
                assert_eq!(result, Ok(()));
                written.extend(out);
            }
        }
        written.extend(with_out(|out| server.poll_transmit(now, out)).1);
    }
    (events, written)
}

fn open() -> Server {
    let mut server = Server::accept(at(0), &Config::default());
    let (events, out) = feed(&mut server, at(0), CONNECT, usize::MAX);
    assert_eq!((events.len(), &out[..]), (1, &b"\x20\x01\x00"[..]));
    server
}

fn transport(server: &mut Server, now: Instant) -> Transport {
    with_out(|out| server.poll_transmit(now, out)).0
}

#[test]
fn they_are_small() {
    assert!(size_of::<Server>() <= 256, "{} octets", size_of::<Server>());
    assert!(size_of::<Client<'_>>() <= 256, "{} octets", size_of::<Client<'_>>());
}

#[test]
fn the_handshake_has_a_deadline_that_is_the_peers_alone() {
    let mut server = Server::accept(at(0), &Config::default());
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(1000), Why::Handshake)));
    // Half a CONNECT does not count.
    feed(&mut server, at(500), &CONNECT[..20], 20);
    assert_eq!(server.handle_timeout(at(999)), None);
    let end = ServerEvent::Closed(End::Fault(Fault::HandshakeTimeout));
    assert_eq!(server.handle_timeout(at(1000)), Some(end));
    assert_eq!((transport(&mut server, at(1000)), server.poll_timeout()), (Transport::Drop, None));

    // A server that takes its time to check a password is not the client's fault.
    let mut server = Server::accept(at(0), &Config::default());
    let mut memory = [0; 64];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(CONNECT);
    buf.push(b"\xc0\x00");
    assert!(matches!(server.recv(at(900), &mut buf), Some(ServerEvent::Connect(_))));
    assert_eq!((server.poll_timeout(), server.handle_timeout(at(60_000))), (None, None));
    assert_eq!(server.recv(at(60_000), &mut buf), None, "nothing is read before the answer");
    assert!(!server.is_open());
    let accepted = Answer::Accepted { session: Some("s1") };
    let (result, out) = with_out(|out| server.connack(at(60_000), out, accepted));
    assert_eq!((result, &out[..]), (Ok(()), &b"\x2c\x05\x00\x00\x02s1"[..]));
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(61_500), Why::PeerSilent)));
    assert_eq!(server.recv(at(60_000), &mut buf), None);
    assert_eq!(with_out(|out| server.poll_transmit(at(60_000), out)).1, b"\xd0\x00");
    let again = with_out(|out| server.connack(at(60_000), out, accepted));
    assert_eq!(again, (Err(SendError::State), Vec::new()));
}

#[test]
fn refusals_are_read_before_the_end() {
    for (answer, octet) in [(Answer::Failed, 1), (Answer::Refused, 3), (Answer::Error, 4)] {
        let mut server = Server::accept(at(0), &Config::default());
        let mut memory = [0; 64];
        let mut buf = SliceRecvBuf::new(&mut memory);
        buf.push(b"\x18");
        buf.push(&CONNECT[1..]);
        assert!(matches!(server.recv(at(0), &mut buf), Some(ServerEvent::Connect(c)) if c.clean));
        let (result, out) = with_out(|out| server.connack(at(5), out, answer));
        assert_eq!((result, &out[..]), (Ok(()), &[0x20, 1, octet][..]));
        let end = ServerEvent::Closed(End::Refused(ConnectResult::from_number(octet).unwrap()));
        assert_eq!(server.poll_timeout(), Some(Deadline::new(at(5), Why::Output)));
        assert_eq!(server.recv(at(5), &mut buf), Some(end));
        assert_eq!(transport(&mut server, at(5)), Transport::Shut);
        // Whatever comes now is dropped, and only the end of the stream, or time, matters.
        assert_eq!(feed(&mut server, at(6), CONNECT, 3), (Vec::new(), Vec::new()));
        assert_eq!(server.poll_timeout(), Some(Deadline::new(at(2005), Why::Close)));
        server.handle_eof(at(7));
        assert_eq!((transport(&mut server, at(7)), server.poll_timeout()), (Transport::Drop, None));
    }
}

#[test]
fn clean_start_and_the_published_success_are_said() {
    let config = Config { success: Success::Published, ..Config::default() };
    let mut server = Server::accept(at(0), &config);
    let mut clean = CONNECT.to_vec();
    clean[0] = 0x18;
    assert_eq!(feed(&mut server, at(0), &clean, 64).1, b"\x22\x01\x02");
    assert_eq!(server.keepalive(), 1);
}

#[test]
fn another_protocol_is_answered() {
    let mut server = Server::accept(at(0), &Config::default());
    let (events, out) = feed(&mut server, at(0), b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 1);
    assert_eq!((events.len(), &out[..]), (1, &b"\x20\x01\x03"[..]));
    assert_eq!(transport(&mut server, at(0)), Transport::Shut);
    // A client that stays is dropped all the same.
    assert_eq!(server.handle_timeout(at(2000)), None);
    assert_eq!(transport(&mut server, at(2000)), Transport::Abort);

    // The answer is owed until there is room, also to one that has ended its stream.
    let mut server = Server::accept(at(0), &Config::default());
    let mut memory = [0; 64];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(b"\x10\x06\x00\x04MQTT");
    let end = ServerEvent::Closed(End::Fault(Fault::BadProtocol));
    assert_eq!(server.recv(at(0), &mut buf), Some(end));
    server.handle_eof(at(0));
    let mut none = [0; 2];
    assert_eq!(server.poll_transmit(at(0), &mut SliceSendBuf::new(&mut none)), Transport::Open);
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(0), Why::Output)));
    let (transport, out) = with_out(|out| server.poll_transmit(at(0), out));
    assert_eq!((transport, &out[..]), (Transport::Drop, &b"\x20\x01\x03"[..]));
}

#[test]
fn whatever_else_is_wrong_just_closes() {
    let closes = |server: &mut Server, octets: &[u8], fault: Fault| {
        let (events, out) = feed(server, at(1), octets, 1);
        assert_eq!(events, [format!("{:?}", ServerEvent::Closed(End::Fault(fault)))]);
        assert_eq!((out, transport(server, at(1))), (Vec::new(), Transport::Drop));
        assert!(server.is_ended() && !server.is_open());
    };
    let fresh = || Server::accept(at(0), &Config::default());
    let not_first = |kind| Fault::NotFirst { kind, wanted: Kind::Connect };
    closes(&mut fresh(), b"\xc0", not_first(Kind::Ping));
    closes(&mut fresh(), b"\xb0\x09", not_first(Kind::Publish));
    closes(&mut fresh(), b"\x00", Fault::UnassignedCode(0));
    let large = Fault::TooLarge { kind: Kind::Connect, size: 65_537, limit: 1020 };
    closes(&mut fresh(), b"\x10\x81\x80\x04", large);
    closes(&mut open(), b"\x10", Fault::Unexpected { kind: Kind::Connect, context: "a second time" });
    closes(&mut open(), b"\x80", Fault::Unexpected { kind: Kind::SubAck, context: "from a client" });
    closes(&mut open(), b"\xc0\x80\x80\x80\x80", Fault::LengthTooLong(Kind::Ping));
    closes(&mut open(), b"\xf0", Fault::UnassignedCode(15));
    let error = TopicError::WildcardInName { at: 2 };
    let bad = Fault::BadTopic { kind: Kind::Publish, field: "topic", error };
    closes(&mut open(), b"\xb0\x07\x00\x03a/*\x00\x00", bad);
}

#[test]
fn what_a_stranger_may_send_is_limited_by_the_handshake_and_not_by_the_buffer_alone() {
    let mut memory = std::vec![0; 200_000];
    let mut buf = SliceRecvBuf::new(&mut memory);
    let mut server = Server::accept(at(0), &Config::default());
    buf.push(b"\x10\x81\x80\x04");
    let fault = Fault::TooLarge { kind: Kind::Connect, size: 65_537, limit: HANDSHAKE_MAX };
    assert_eq!(server.recv(at(0), &mut buf), Some(ServerEvent::Closed(End::Fault(fault))));

    let mut server = Server::accept(at(0), &Config { max_packet: 30, ..Config::default() });
    buf.push(CONNECT);
    assert!(matches!(server.recv(at(0), &mut buf), Some(ServerEvent::Connect(_))));
    with_out(|out| server.connack(at(0), out, Answer::Accepted { session: None })).0.unwrap();
    buf.push(b"\xb0\x1f");
    let fault = Fault::TooLarge { kind: Kind::Publish, size: 31, limit: 30 };
    assert_eq!(server.recv(at(0), &mut buf), Some(ServerEvent::Closed(End::Fault(fault))));
}

#[test]
fn keepalive_counts_packets_and_not_octets() {
    let mut server = open();
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(1500), Why::PeerSilent)));
    feed(&mut server, at(1000), b"\xc0\x00", 1);
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(2500), Why::PeerSilent)));
    feed(&mut server, at(2000), b"\xb0", 1);
    assert_eq!(server.handle_timeout(at(2499)), None);
    let end = ServerEvent::Closed(End::Fault(Fault::KeepaliveTimeout));
    assert_eq!(server.handle_timeout(at(2500)), Some(end));
    assert_eq!(transport(&mut server, at(2500)), Transport::Drop);
}

#[test]
fn no_keepalive_is_no_deadline() {
    for connect in [&b"\x10\x07\x00\x04PRX1\x00"[..], b"\x10\x09\x00\x04PRX1\x04\x00\x00"] {
        let mut server = Server::accept(at(0), &Config::default());
        feed(&mut server, at(0), connect, 1);
        assert!(server.is_open());
        assert_eq!((server.poll_timeout(), server.handle_timeout(Instant::FAR_FUTURE)), (None, None));
    }
}

#[test]
fn a_flood_of_pings_owes_one_pong() {
    let mut server = open();
    let mut memory = [0; 1024];
    let mut buf = SliceRecvBuf::new(&mut memory);
    for _ in 0..500 {
        buf.push(b"\xc0\x00");
    }
    assert_eq!(server.recv(at(1), &mut buf), None);
    let mut none = [0; 1];
    assert_eq!(server.poll_transmit(at(1), &mut SliceSendBuf::new(&mut none)), Transport::Open);
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(1), Why::Output)), "it stays owed");
    assert_eq!(with_out(|out| server.poll_transmit(at(1), out)).1, b"\xd0\x00");
    assert_eq!(with_out(|out| server.poll_transmit(at(1), out)).1, b"");
}

#[test]
fn answers_say_what_they_answer() {
    let mut server = open();
    let id = PacketId::new(0x102).unwrap();
    let now = at(1);
    assert_eq!(with_out(|out| server.puback(now, out, id)).1, b"\x60\x02\x01\x02");
    assert_eq!(with_out(|out| server.suback(now, out, id)).1, b"\x80\x02\x01\x02");
    assert_eq!(with_out(|out| server.unsuback(now, out, id)).1, b"\xa0\x02\x01\x02");
    assert_eq!(with_out(|out| server.queue_ack(now, out, QueueStatus::Ok)).1, b"\x51\x00");
    let publish = Publish { id: Some(id), dup: true, ..Publish::new("a/*", b"hi") };
    assert_eq!(
        with_out(|out| server.publish(now, out, &publish)).1,
        b"\xba\x0b\x01\x02\x00\x03a/*\x00\x02hi"
    );
    #[cfg(feature = "alloc")]
    {
        let shared = bytes::Bytes::from_static(b"hi");
        let publish = Publish { payload: b"", ..publish };
        let (result, out) = with_out(|out| server.publish_shared(now, out, &publish, &shared));
        assert_eq!((result, &out[..]), (Ok(()), &b"\xba\x0b\x01\x02\x00\x03a/*\x00\x02hi"[..]));
        let long = bytes::Bytes::from(std::vec![0; STRING_MAX + 1]);
        let (result, out) = with_out(|out| server.publish_shared(now, out, &publish, &long));
        assert_eq!(result, Err(SendError::TooLong { field: "message", octets: STRING_MAX + 1 }));
        assert!(out.is_empty());
    }
    let order = Queue { options: None, payload: Some(b"x"), dup: false };
    assert_eq!(with_out(|out| server.queue(now, out, &order)).1, b"\x42\x03\x00\x01x");
    let mut none = [0; 3];
    let blocked = server.puback(now, &mut SliceSendBuf::new(&mut none), id);
    assert!(blocked.unwrap_err().is_blocked());
    server.close(now);
    assert_eq!(with_out(|out| server.puback(now, out, id)), (Err(SendError::State), Vec::new()));
    assert_eq!(server.poll_closed(), Some(ServerEvent::Closed(End::Closed)));
    assert_eq!((server.poll_closed(), transport(&mut server, now)), (None, Transport::Drop));
}

#[test]
fn what_was_sent_before_the_end_of_the_stream_counts() {
    let mut server = Server::accept(at(0), &Config::default());
    let mut memory = [0; 64];
    let mut buf = SliceRecvBuf::new(&mut memory);
    buf.push(CONNECT);
    buf.push(b"\xb0\x05\x00\x01a\x00\x00\xb0");
    assert!(matches!(server.recv(at(0), &mut buf), Some(ServerEvent::Connect(_))));
    server.handle_eof(at(1));
    assert_eq!(
        (server.recv(at(1), &mut buf), server.poll_timeout()),
        (None, None),
        "it waits for its answer"
    );
    with_out(|out| server.connack(at(2), out, Answer::Accepted { session: None })).0.unwrap();
    assert_eq!(server.poll_timeout().map(|d| d.why), Some(Why::Output));
    assert!(matches!(server.recv(at(2), &mut buf), Some(ServerEvent::Publish(p)) if p.topic == "a"));
    assert_eq!(server.recv(at(2), &mut buf), Some(ServerEvent::Closed(End::Lost)));
    assert_eq!(transport(&mut server, at(2)), Transport::Drop);

    let mut server = open();
    let (events, _) = feed(&mut server, at(1), b"\xe0\x00\xb0\x05\x00\x01a\x00\x00", 64);
    assert_eq!(events, ["Closed(Disconnected)"], "nothing counts behind DISCONNECT");
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let mut server = open();
    server.handle_written(at(1), 0, 10);
    feed(&mut server, at(900), b"\xc0\x00", 2);
    server.handle_written(at(1000), 1, 9);
    feed(&mut server, at(2000), b"\xc0\x00", 2);
    for second in 3..11 {
        feed(&mut server, at(second * 1000), b"\xc0\x00", 2);
    }
    assert_eq!(server.poll_timeout(), Some(Deadline::new(at(11_000), Why::Write)));
    let end = ServerEvent::Closed(End::Fault(Fault::WriteTimeout));
    assert_eq!(server.handle_timeout(at(11_000)), Some(end));
    assert_eq!((transport(&mut server, at(11_000)), server.poll_timeout()), (Transport::Abort, None));
}

fn begin<'s>(connect: &Connect<'_>, slots: &'s mut [Slot]) -> Client<'s> {
    let mut memory = [0; 64];
    Client::connect(at(0), &Config::default(), connect, slots, &mut SliceSendBuf::new(&mut memory)).unwrap()
}

fn connected(slots: &mut [Slot], keepalive: u16) -> Client<'_> {
    let connect = Connect { keepalive: Some(keepalive), ..Connect::default() };
    let mut client = begin(&connect, slots);
    assert!(!client.is_open());
    let early = with_out(|out| client.publish(at(0), out, &Message::new("a", b"")));
    assert_eq!(early, (Err(SendError::State), Vec::new()));
    assert_eq!(told(&mut client, at(0), b"\x20\x01\x02"), ["Connected"]);
    assert!(client.is_open());
    client
}

/// What a client tells of `octets`: the names of its events, and what they hold beside strings.
fn told(client: &mut Client<'_>, now: Instant, octets: &[u8]) -> Vec<String> {
    let mut memory = [0; 256];
    let mut buf = SliceRecvBuf::new(&mut memory);
    let mut events = Vec::new();
    for octet in octets {
        buf.push(&[*octet]);
        while let Some(event) = client.recv(now, &mut buf) {
            events.push(match event {
                ClientEvent::Connected(_) => "Connected".into(),
                ClientEvent::Publish(p) => format!("{} {:?} {}", p.topic, p.id.map(PacketId::get), p.dup),
                ClientEvent::Acked(id, key) => format!("acked {id} {key}"),
                ClientEvent::SubAck(id) => format!("suback {id}"),
                ClientEvent::UnsubAck(id) => format!("unsuback {id}"),
                other => format!("{other:?}"),
            });
        }
    }
    events
}

#[test]
fn a_client_speaks_and_hears() {
    let mut slots = [Slot::EMPTY; 2];
    let mut client = connected(&mut slots, 0);
    let now = at(1);
    let message = Message { retain: true, ..Message::new("a/b", b"hi") };
    assert_eq!(with_out(|out| client.publish(now, out, &message)).1, b"\xb1\x09\x00\x03a/b\x00\x02hi");
    let wild = with_out(|out| client.publish(now, out, &Message::new("a/*", b"")));
    assert!(matches!(wild.0, Err(SendError::Topic(TopicError::WildcardInName { at: 2 }))));
    let (id, out) = with_out(|out| client.subscribe(now, out, "a/*", true));
    assert_eq!((id.unwrap().map(PacketId::get), &out[..]), (Some(1), &b"\x72\x07\x00\x01\x00\x03a/*"[..]));
    assert_eq!(with_out(|out| client.subscribe(now, out, "a", false)).1, b"\x70\x03\x00\x01a");
    assert_eq!(with_out(|out| client.unsubscribe(now, out, "a", true)).1, b"\x92\x05\x00\x02\x00\x01a");
    let order =
        Queue { options: Some(QueueOptions::new(QueueAction::Drain, "q")), payload: None, dup: false };
    assert_eq!(with_out(|out| client.queue(now, out, &order)).1, b"\x48\x05\x00\x42\x00\x01q");
    let heard =
        told(&mut client, now, b"\x80\x02\x00\x01\xa0\x02\x00\x02\x52\x00\xba\x07\x00\x09\x00\x01a\x00\x00");
    assert_eq!(heard, ["suback 1", "unsuback 2", "QueueAck(Error)", "a Some(9) true"]);
    let id = PacketId::new(9).unwrap();
    assert_eq!(with_out(|out| client.puback(now, out, id)).1, b"\x60\x02\x00\x09");
    assert_eq!(told(&mut client, now, b"\xc0\x00"), [""; 0]);
    assert_eq!(with_out(|out| client.poll_transmit(now, out)).1, b"\xd0\x00");
    client.disconnect(now);
    let (transport, out) = with_out(|out| client.poll_transmit(now, out));
    assert_eq!((transport, &out[..]), (Transport::Shut, &b"\xe0\x00"[..]));
    assert_eq!(client.poll_closed(), Some(ClientEvent::Closed(End::Closed)));
    client.handle_eof(now);
    assert_eq!(with_out(|out| client.poll_transmit(now, out)).0, Transport::Drop);
}

#[test]
fn a_client_is_refused_or_not_answered() {
    let refused = |octets: &[u8], end: End| {
        let connect = Connect::default();
        let mut client = begin(&connect, &mut []);
        assert_eq!(told(&mut client, at(0), octets), [format!("Closed({end:?})")]);
        assert_eq!(with_out(|out| client.poll_transmit(at(0), out)), (Transport::Drop, Vec::new()));
    };
    refused(b"\x20\x01\x01", End::Refused(ConnectResult::Fail));
    refused(b"\x20\x01\x03", End::Refused(ConnectResult::Refused));
    let fault = Fault::NotFirst { kind: Kind::Publish, wanted: Kind::ConnAck };
    refused(b"\xb0", End::Fault(fault));
    refused(b"\x10", End::Fault(Fault::NotFirst { kind: Kind::Connect, wanted: Kind::ConnAck }));
    let fault = Fault::Unexpected { kind: Kind::Subscribe, context: "from a server" };
    let mut client = connected(&mut [], 0);
    assert_eq!(told(&mut client, at(0), b"\x70"), [format!("Closed({:?})", End::Fault(fault))]);

    let connect = Connect::default();
    let mut client = begin(&connect, &mut []);
    let end = ClientEvent::Closed(End::Fault(Fault::HandshakeTimeout));
    assert_eq!((client.handle_timeout(at(999)), client.handle_timeout(at(1000))), (None, Some(end)));
}

#[test]
fn a_client_pings_however_much_it_says_and_misses_the_answer() {
    let mut client = connected(&mut [], 2);
    assert_eq!(client.poll_timeout(), Some(Deadline::new(at(2000), Why::Keepalive)));
    with_out(|out| client.publish(at(1900), out, &Message::new("a", b""))).0.unwrap();
    assert_eq!(client.handle_timeout(at(2000)), None);
    assert_eq!(with_out(|out| client.poll_transmit(at(2000), out)).1, b"\xc0\x00");
    assert_eq!(told(&mut client, at(2050), b"\xd0\x00\xd0\x00"), ["Pong(50ms)"]);
    client.ping(at(2100));
    assert_eq!(client.poll_timeout(), Some(Deadline::new(at(2100), Why::Output)));
    assert_eq!(with_out(|out| client.poll_transmit(at(2100), out)).1, b"\xc0\x00");
    let end = ClientEvent::Closed(End::Fault(Fault::KeepaliveTimeout));
    assert_eq!(client.handle_timeout(at(5049)), None);
    assert_eq!(client.handle_timeout(at(5050)), Some(end), "1.5 times after the last packet");
}

#[test]
fn what_is_unacknowledged_goes_again_in_its_order_and_first() {
    let mut slots = [Slot::EMPTY; 3];
    let message = Message::new("a", b"");
    let mut client = connected(&mut slots, 0);
    let mut track = |key| with_out(|out| client.publish_tracked(at(1), out, &message, key)).0;
    assert_eq!([track(10), track(11), track(12)].map(|id| id.unwrap().get()), [1, 2, 3]);
    assert_eq!(track(13), Err(SendError::InFlight));
    assert_eq!(told(&mut client, at(1), b"\x60\x02\x00\x02\x60\x02\x00\x02\x60\x02\x00\x09"), ["acked 2 11"]);
    let last = with_out(|out| client.publish_tracked(at(1), out, &message, 14)).0;
    assert_eq!(last.unwrap().get(), 4);

    let mut client = connected(&mut slots, 0);
    let first = with_out(|out| client.publish_tracked(at(2), out, &message, 15)).0;
    assert_eq!(first, Err(SendError::ResendFirst));
    let mut again = Vec::new();
    while let Some((id, key)) = client.poll_resend() {
        let (result, out) = with_out(|out| client.resend(at(2), out, &message));
        assert_eq!((result, out[0], out[3]), (Ok(()), 0xba, id.get() as u8));
        again.push((id.get(), key));
    }
    assert_eq!(again, [(1, 10), (3, 12), (4, 14)]);
    assert_eq!(with_out(|out| client.resend(at(2), out, &message)).0, Err(SendError::State));
    assert_eq!(client.forget(PacketId::FIRST), Some(10));
    assert_eq!(client.forget(PacketId::FIRST), None);
    let next = with_out(|out| client.publish_tracked(at(2), out, &message, 16)).0;
    assert_eq!(next.unwrap().get(), 5, "ids are not used again soon");
    let mut keys = slots.map(|slot| slot.key());
    keys.sort_unstable();
    assert_eq!(keys, [Some(12), Some(14), Some(16)]);
}

#[test]
fn ids_in_use_are_passed_over_when_they_come_round() {
    let mut slots = [Slot::EMPTY; 2];
    let message = Message::new("a", b"");
    let mut client = connected(&mut slots, 0);
    with_out(|out| client.publish_tracked(at(1), out, &message, 0)).0.unwrap();
    let mut last = PacketId::FIRST;
    for _ in 1..PacketId::LAST {
        let id = with_out(|out| client.subscribe(at(1), out, "a", true)).0.unwrap().unwrap();
        assert_eq!(id, last.next());
        last = id;
    }
    let id = with_out(|out| client.publish_tracked(at(1), out, &message, 1)).0.unwrap();
    assert_eq!((last.get(), id.get()), (PacketId::LAST, 2), "1 waits for its PUBACK");
}

/// Octets of a story: whole packets, and anything.
fn story() -> impl Strategy<Value = Vec<u8>> {
    let packets: &[&[u8]] = &[
        CONNECT,
        b"\xc0\x00",
        b"\xd0\x00",
        b"\xe0\x00",
        b"\xb0\x05\x00\x01a\x00\x00",
        b"\xb2\x07\x00\x05\x00\x01a\x00\x00",
        b"\x72\x07\x00\x02\x00\x03a/*",
        b"\x60\x02\x00\x01",
        b"\x42\x03\x00\x01x",
        b"\x10\x06\x00\x04MQTT",
        b"\x51\x00",
        b"\xb0",
    ];
    let packet = prop::sample::select(packets).prop_map(<[u8]>::to_vec);
    let anything = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec(prop_oneof![8 => packet, 1 => anything], 0..10)
        .prop_map(|parts| [CONNECT.to_vec()].into_iter().chain(parts).flatten().collect())
}

proptest! {
    /// However octets are cut, the events and the answers are the same, and the end comes once.
    #[test]
    fn cuts_make_no_difference(octets in story(), piece in 1..9usize, skip in any::<bool>()) {
        let octets = if skip { &octets[CONNECT.len()..] } else { &octets };
        let play = |piece: usize| {
            let mut server = Server::accept(at(0), &Config::default());
            let (mut events, mut out) = feed(&mut server, at(0), octets, piece);
            server.handle_eof(at(0));
            let (more, rest) = feed(&mut server, at(0), b"\xf0", 1);
            events.extend(more);
            out.extend(rest);
            // Pings that came together are answered together, and those before the end need not be.
            out.retain(|b| !b"\xd0\x00".contains(b));
            (events, out, transport(&mut server, at(0)))
        };
        let whole = play(usize::MAX);
        prop_assert_eq!(&play(piece), &whole);
        prop_assert_eq!(whole.0.iter().filter(|e| e.starts_with("Closed")).count(), 1);
    }

    /// Any call in any state and at any time changes nothing that it should not: it spins nowhere.
    #[test]
    fn deadlines_are_met_once(steps in prop::collection::vec((0..6u8, 0..2000u64), 0..30)) {
        let mut server = open();
        let (mut now, mut ends) = (0, 0);
        for (what, ms) in steps {
            now += ms;
            let t = at(now);
            let ended = match what {
                0 => feed(&mut server, t, b"\xc0\x00", 1).0.len(),
                1 => { server.handle_eof(t); 0 }
                2 => { server.handle_written(t, 0, 5); 0 }
                3 => { server.handle_written(t, 5, 0); 0 }
                4 => usize::from(server.handle_timeout(t).is_some()),
                _ => { server.close(t); 0 }
            };
            ends += ended + usize::from(server.poll_closed().is_some());
            let _ = transport(&mut server, t);
            let due = server.poll_timeout().filter(|d| d.at <= t && d.why != Why::Output);
            if due.is_some() {
                ends += usize::from(server.handle_timeout(t).is_some());
                prop_assert_ne!(server.poll_timeout(), due, "it got what it wanted");
            }
        }
        prop_assert!(ends <= 1);
        prop_assert!(!server.is_ended() || server.poll_timeout().is_none_or(|d| d.at <= at(now) + Duration::from_secs(10)));
    }
}
