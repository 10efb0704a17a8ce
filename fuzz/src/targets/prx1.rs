//! PRX1: the codec, a server's connection and a client's against anything, and how a port tells what
//! begins.
//!
//! Checked is: what was read is written and read again as the same; octets whole and cut bring the
//! same events and the same output; all output is whole packets that a server may send, none behind
//! the last; one end, told once; no deadline that comes back.

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{RecvBuf, SendBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::prx1::{
    Answer, Client, ClientEvent, Config, Connect, Kind, Message, Packet, PacketId, Publish, Queue,
    QueueAction, QueueOptions, QueueStatus, SendError, Server, Slot, Transport,
};
use bowline_core::stack::{Detection, OPENING_MAX, detect};
use bowline_core::time::{Instant, Why};

/// What the fuzzer chooses.
#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    pieces: [u8; 3],
    /// Octets of output that may wait.
    room: u8,
    max_packet: u16,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// As they are.
    Octets(&'a [u8]),
    /// A CONNECT, and how it is answered: later, where nothing is said.
    Connect {
        user: Option<&'a str>,
        keepalive: Option<u16>,
        clean: bool,
    },
    Publish {
        topic: &'a str,
        payload: &'a [u8],
        id: u16,
        retain: bool,
    },
    Subscribe {
        filter: &'a str,
        id: u16,
        end: bool,
    },
    Queue {
        action: Option<u8>,
        id: u16,
        address: Option<&'a str>,
        payload: Option<&'a [u8]>,
    },
    Small(u8, u16),
    Wait(u16),
    Sleep,
    Eof,
    Written(u8),
    Call(Call<'a>),
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    Connack(u8, Option<&'a str>),
    Publish { topic: &'a str, payload: &'a [u8], id: u16 },
    Ack(u8, u16),
    Close,
}

/// Beyond this nobody sleeps: some thirty years.
const LATEST: Instant = Instant::from_millis(1 << 40);

/// Room for whatever the fuzzer makes of a step.
const MEMORY: usize = 1 << 16;

/// The target.
pub fn prx1(data: &[u8]) {
    codec(data);
    begins(data);
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let pieces = plan.pieces.map(|n| usize::from(n) + 1);
    assert_eq!(serve(&plan, &pieces), serve(&plan, &[usize::MAX]), "cuts make a difference");
    assert_eq!(connect(&plan, &pieces), connect(&plan, &[usize::MAX]), "cuts make a difference");
}

fn codec(data: &[u8]) {
    let Ok(Some((packet, n))) = Packet::decode(data) else { return };
    assert!(n <= data.len());
    assert!((0..n).all(|n| Packet::decode(&data[..n]) == Ok(None)), "a part is taken for a whole");
    let mut memory = vec![0; n];
    let mut out = SliceSendBuf::new(&mut memory);
    // What is written is the shortest form, so it has room where it came from.
    packet.encode(&mut out).expect("what can be read can be written");
    assert_eq!(Packet::decode(out.pending()), Ok(Some((packet, out.pending().len()))));
}

fn begins(data: &[u8]) {
    let mut decision = Detection::NeedMore;
    for n in 0..=data.len().min(2 * OPENING_MAX) {
        let now = detect(&data[..n]);
        assert!(decision == Detection::NeedMore || now == decision, "a decision changed");
        assert!(n < OPENING_MAX || now != Detection::NeedMore, "no decision");
        decision = now;
    }
}

/// The octets of a step that brings some; those that say nothing are left out.
fn octets(step: &Step<'_>) -> Vec<u8> {
    let id = |n: u16| PacketId::new(n);
    let mut memory = vec![0; MEMORY];
    let mut out = SliceSendBuf::new(&mut memory);
    let written = match *step {
        Step::Octets(octets) => return octets.to_vec(),
        Step::Connect { user, keepalive, clean } => {
            Packet::Connect(Connect { user, keepalive, clean, ..Connect::default() }).encode(&mut out)
        }
        Step::Publish { topic, payload, id: n, retain } => {
            Packet::Publish(Publish { id: id(n), retain, ..Publish::new(topic, payload) }).encode(&mut out)
        }
        Step::Subscribe { filter, id, end } => {
            // By hand: a filter need not be one.
            let first = if end { 0x92 } else { 0x72 };
            let mut packet = vec![first, (4 + filter.len()) as u8 & 0x7f];
            packet.extend(id.to_be_bytes());
            packet.extend((filter.len() as u16).to_be_bytes());
            packet.extend(filter.as_bytes());
            return packet;
        }
        Step::Queue { action, id: n, address, payload } => {
            let options = action.map(|action| {
                let all = [QueueAction::Initialize, QueueAction::Destroy, QueueAction::Drain];
                let action = all[usize::from(action) % 3];
                QueueOptions { action, id: id(n), address, return_path: None, mark: payload }
            });
            Packet::Queue(Queue { options, payload, dup: false }).encode(&mut out)
        }
        Step::Small(code, id) => {
            let id = id.to_be_bytes();
            return vec![code << 4, if code & 0x10 == 0 { 0 } else { 2 }, id[0], id[1]];
        }
        _ => return Vec::new(),
    };
    if written.is_ok() { out.pending().to_vec() } else { Vec::new() }
}

/// What came of a plan.
#[derive(Debug, Default, PartialEq)]
struct Story {
    events: Vec<String>,
    output: Vec<u8>,
}

impl Story {
    /// The transport takes so many octets.
    fn take(&mut self, out: &mut SliceSendBuf<'_>, n: usize) {
        self.output.extend_from_slice(&out.pending()[..n]);
        out.sent(n);
    }

    /// All output is whole packets of the kinds that `allowed` says, in its order.
    fn check(&self, allowed: fn(Kind) -> bool, first: Kind) {
        let (mut rest, mut count) = (&self.output[..], 0);
        while !rest.is_empty() {
            let (packet, n) = Packet::decode(rest).expect("output can be read").expect("output is whole");
            assert!(allowed(packet.kind()), "{packet:?} from this side");
            assert!((packet.kind() == first) == (count == 0), "{packet:?} as number {count}");
            let last = matches!(packet, Packet::ConnAck(c) if !c.result.is_success());
            (rest, count) = (&rest[n..], count + 1);
            assert!(!(last || packet == Packet::Disconnect) || rest.is_empty(), "output behind {packet:?}");
        }
        let closed = self.events.iter().filter(|e| e.starts_with("Closed")).count();
        assert!(closed == 1 && self.events.last().is_some_and(|e| e.starts_with("Closed")));
    }
}

fn config(plan: &Plan<'_>) -> Config {
    Config { max_packet: u32::from(plan.max_packet), ..Config::default() }
}

fn serve(plan: &Plan<'_>, pieces: &[usize]) -> Story {
    let (mut memory, mut room) = (vec![0; MEMORY], vec![0; usize::from(plan.room) + 8]);
    let (mut input, mut out) = (SliceRecvBuf::new(&mut memory), SliceSendBuf::new(&mut room));
    let (mut now, mut story) = (Instant::from_millis(1000), Story::default());
    let mut server = Server::accept(now, &config(plan));
    let mut pieces = pieces.iter().copied().cycle();
    let mut pump = |server: &mut Server, story: &mut Story, now, mut octets: &[u8]| loop {
        while let Some(event) = server.recv(now, &mut input) {
            story.events.push(format!("{event:?}"));
        }
        let n = pieces.next().unwrap_or(1).min(octets.len());
        let taken = input.push(&octets[..n]);
        octets = &octets[taken..];
        if taken == 0 {
            // The rest waits for an answer, or belongs to nobody.
            return assert!(n == 0 || input.filled().len() == input.limit());
        }
    };
    for step in plan.steps.iter().take(64) {
        match step {
            Step::Wait(ms) => now = Instant::from_millis(now.as_millis() + u64::from(*ms)),
            Step::Sleep => match server.poll_timeout() {
                Some(due) if due.at < LATEST => now = now.max(due.at),
                _ => {}
            },
            Step::Eof => server.handle_eof(now),
            Step::Written(n) => {
                let n = usize::from(*n).min(out.pending().len());
                story.take(&mut out, n);
                server.handle_written(now, n, out.pending().len());
            }
            Step::Call(call) => {
                let before = out.pending().len();
                if answer(&mut server, now, &mut out, call).is_err() {
                    assert_eq!(out.pending().len(), before, "{call:?} failed and wrote");
                }
            }
            other => pump(&mut server, &mut story, now, &octets(other)),
        }
        pump(&mut server, &mut story, now, b"");
        if server.poll_timeout().is_some_and(|d| now >= d.at) {
            story.events.extend(server.handle_timeout(now).map(|e| format!("{e:?}")));
        }
        let _ = server.poll_transmit(now, &mut out);
        if let Some(due) = server.poll_timeout().filter(|d| d.at <= now) {
            assert!(due.why == Why::Output && out.room() < 8, "{due:?} at {now:?} spins");
        }
    }
    // Everything ends, whatever came before.
    let n = out.pending().len();
    story.take(&mut out, n);
    let refused = server.connack(now, &mut out, Answer::Failed).is_ok();
    server.handle_eof(now);
    pump(&mut server, &mut story, now, b"");
    let verdict = server.poll_transmit(now, &mut out);
    assert!(matches!(verdict, Transport::Drop | Transport::Abort) || refused, "{verdict:?}");
    let n = out.pending().len();
    story.take(&mut out, n);
    let from_server =
        |kind| !matches!(kind, Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::Ping);
    story.check(from_server, Kind::ConnAck);
    story
}

fn answer(
    server: &mut Server,
    now: Instant,
    out: &mut impl SendBuf,
    call: &Call<'_>,
) -> Result<(), SendError> {
    let some_id = |n: u16| PacketId::new(n).unwrap_or(PacketId::FIRST);
    match *call {
        Call::Connack(n, session) => {
            let answers = [Answer::Failed, Answer::Refused, Answer::Error];
            let answer = answers.get(usize::from(n)).copied().unwrap_or(Answer::Accepted { session });
            server.connack(now, out, answer)
        }
        Call::Publish { topic, payload, id } => {
            let publish = Publish { id: PacketId::new(id), ..Publish::new(topic, payload) };
            server.publish(now, out, &publish)
        }
        Call::Ack(0, id) => server.puback(now, out, some_id(id)),
        Call::Ack(1, id) => server.suback(now, out, some_id(id)),
        Call::Ack(2, id) => server.unsuback(now, out, some_id(id)),
        Call::Ack(..) => server.queue_ack(now, out, QueueStatus::Ok),
        Call::Close => {
            server.close(now);
            Ok(())
        }
    }
}

/// The same octets to a client, with messages of its own in between.
fn connect(plan: &Plan<'_>, pieces: &[usize]) -> Story {
    let (mut memory, mut room, mut slots) = (vec![0; MEMORY], vec![0; MEMORY], [Slot::EMPTY; 3]);
    let (mut input, mut out) = (SliceRecvBuf::new(&mut memory), SliceSendBuf::new(&mut room));
    let (mut now, mut story) = (Instant::from_millis(1000), Story::default());
    let connect = Connect { keepalive: Some(3), ..Connect::default() };
    let client = Client::connect(now, &config(plan), &connect, &mut slots, &mut out);
    let mut client = client.expect("there is room");
    let mut pieces = pieces.iter().copied().cycle();
    let mut pump = |client: &mut Client<'_>, story: &mut Story, now, mut octets: &[u8]| loop {
        while let Some(event) = client.recv(now, &mut input) {
            if let ClientEvent::Acked(_, key) = event {
                assert!(key < 64, "a key that was never given");
            }
            story.events.push(format!("{event:?}"));
        }
        let n = pieces.next().unwrap_or(1).min(octets.len());
        let taken = input.push(&octets[..n]);
        octets = &octets[taken..];
        if taken == 0 {
            return assert_eq!(n, 0, "a full buffer, and nothing will ever come of it");
        }
    };
    for (key, step) in plan.steps.iter().take(64).enumerate() {
        match step {
            Step::Wait(ms) => now = Instant::from_millis(now.as_millis() + u64::from(*ms)),
            Step::Eof => client.handle_eof(now),
            Step::Call(Call::Publish { topic, payload, id }) => {
                let (before, message) = (out.pending().len(), Message::new(topic, payload));
                let sent = match id % 2 {
                    0 => client.publish(now, &mut out, &message).is_ok(),
                    _ => client.publish_tracked(now, &mut out, &message, key as u64).is_ok(),
                };
                assert!(sent || out.pending().len() == before, "it failed and wrote");
            }
            Step::Call(Call::Ack(_, id)) => {
                client.forget(PacketId::new(*id).unwrap_or(PacketId::FIRST)).map_or((), drop)
            }
            Step::Call(Call::Close) => client.disconnect(now),
            other => pump(&mut client, &mut story, now, &octets(other)),
        }
        pump(&mut client, &mut story, now, b"");
        if client.poll_timeout().is_some_and(|d| now >= d.at) {
            story.events.extend(client.handle_timeout(now).map(|e| format!("{e:?}")));
        }
        let _ = client.poll_transmit(now, &mut out);
        assert!(client.poll_timeout().is_none_or(|d| d.at > now), "it spins");
        let n = out.pending().len();
        story.take(&mut out, n);
    }
    client.handle_eof(now);
    pump(&mut client, &mut story, now, b"");
    let verdict = client.poll_transmit(now, &mut out);
    assert!(matches!(verdict, Transport::Drop | Transport::Abort), "{verdict:?}");
    let n = out.pending().len();
    story.take(&mut out, n);
    story.check(|kind| !matches!(kind, Kind::ConnAck | Kind::SubAck | Kind::UnsubAck), Kind::Connect);
    story
}
