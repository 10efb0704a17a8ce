//! A WebSocket client and server, with small buffers, cuts, stalls and time between them: whatever they do,
//! messages arrive whole and in order, as long as both are open; and both come to an end.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::lifecycle::{By, Transport};
use bowline_core::time::{Instant, Why};
use bowline_core::websocket::{Carries, Client, CloseCode, Config, Event, Kind, Role, Server, WebSocket};

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    Send { text: bool, payload: &'a str },
    Large { octet: u8, size: u16 },
    Fragment { last: bool, payload: &'a [u8] },
    Unit(&'a [u8]),
    Ping,
    Close { code: u16, reason: &'a str },
    Deliver(u8),
    Wait(u16),
}

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    carries: u8,
    room: [u8; 2],
    ops: Vec<(bool, Op<'a>)>,
}

/// One side, and what the other has to see of it.
struct End<R> {
    ws: WebSocket<R>,
    carries: Carries,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    /// Messages that were sent and did not arrive yet; of a stream, its octets.
    under_way: VecDeque<(Kind, Vec<u8>)>,
    fragmented: Option<(Kind, Vec<u8>)>,
    /// What came of the message under way.
    partial: Vec<u8>,
    stream: Vec<u8>,
    closed: Option<By>,
    transport: Transport,
}

impl<R: Role> End<R> {
    fn new(role: R, carries: Carries, room: u8) -> Self {
        let config = Config { max_message: 1 << 17, fragment_cost: 0, ..Config::default() };
        Self {
            ws: WebSocket::new(Instant::ZERO, role, carries, &config),
            carries,
            input: GrowingRecvBuf::new(1 << 18),
            out: SharedSendBuf::new(64 + usize::from(room) * 1024),
            under_way: VecDeque::new(),
            fragmented: None,
            partial: Vec::new(),
            stream: Vec::new(),
            closed: None,
            transport: Transport::Open,
        }
    }

    fn act(&mut self, now: Instant, op: &Op<'_>) {
        let stream = self.carries == Carries::Stream;
        match op {
            Op::Send { text, payload } if *text && !stream => {
                if self.ws.send_text(now, &mut self.out, payload).is_ok() {
                    self.under_way.push_back((Kind::Text, payload.as_bytes().to_vec()));
                }
            }
            Op::Send { payload, .. } => self.binary(now, payload.as_bytes()),
            Op::Large { octet, size } => self.binary(now, &vec![*octet; usize::from(*size)]),
            Op::Fragment { last, payload } => {
                let room = self.fragmented.as_ref().map_or(0, |(_, all)| all.len()) + payload.len() < 1 << 16;
                if room && self.ws.send_fragment(now, &mut self.out, Kind::Binary, *last, payload).is_ok() {
                    let whole = self.fragmented.get_or_insert((Kind::Binary, Vec::new()));
                    whole.1.extend_from_slice(payload);
                    if *last {
                        self.under_way.extend(self.fragmented.take());
                    }
                }
            }
            Op::Unit(octets) => {
                let open = self.ws.is_open();
                let mut to = self.ws.framed(&mut self.out);
                if to.room() >= octets.len() && !octets.is_empty() {
                    to.begin(octets.len());
                    let (a, b) = octets.split_at(octets.len() / 2);
                    to.put(a);
                    to.put(b);
                    if open {
                        self.under_way.push_back((Kind::Binary, octets.to_vec()));
                    }
                }
            }
            Op::Ping => self.ws.ping(),
            Op::Close { code, reason } => self.ws.close(now, CloseCode(*code), reason),
            Op::Deliver(_) | Op::Wait(_) => {}
        }
    }

    fn binary(&mut self, now: Instant, payload: &[u8]) {
        if self.ws.send_binary(now, &mut self.out, payload).is_ok() {
            self.under_way.push_back((Kind::Binary, payload.to_vec()));
        }
    }

    /// Takes in `octets` of `from`.
    fn recv(&mut self, now: Instant, octets: &[u8], expect: &mut VecDeque<(Kind, Vec<u8>)>, eof: bool) {
        assert_eq!(self.input.push(octets), octets.len(), "more is kept than a message");
        while let Some(event) = self.ws.recv(now, &mut self.input, &mut self.out) {
            assert!(self.closed.is_none(), "an event behind the last");
            match event {
                Event::Message(m) => {
                    let (kind, payload) = expect.pop_front().expect("sent before");
                    assert!(m.kind == kind && m.payload == payload);
                }
                Event::Piece(p) => {
                    assert_eq!(p.first, self.partial.is_empty() && p.first);
                    self.partial.extend_from_slice(p.payload);
                    if p.last {
                        let (kind, payload) = expect.pop_front().expect("sent before");
                        assert!(p.kind == kind && std::mem::take(&mut self.partial) == payload);
                    }
                }
                Event::RoundTrip(_) => {}
                Event::Closed(c) => {
                    assert!(c.fault.is_none_or(|f| f.close_code() == CloseCode::INTERNAL), "{:?}", c.fault);
                    self.closed = Some(c.by);
                }
            }
        }
        self.stream.extend_from_slice(self.ws.decoded(&mut self.input).take(usize::MAX));
        while let Some((_, payload)) = expect.front() {
            if self.carries != Carries::Stream || self.stream.len() < payload.len() {
                break;
            }
            assert!(self.stream.drain(..payload.len()).eq(payload.iter().copied()));
            expect.pop_front();
        }
        if eof {
            self.ws.handle_eof(now);
        }
        self.tick(now);
    }

    /// Timers, and what is owed.
    fn tick(&mut self, now: Instant) {
        for event in [self.ws.handle_timeout(now), self.ws.poll_closed()].into_iter().flatten() {
            let Event::Closed(c) = event else { panic!("{event:?}") };
            assert!(self.closed.is_none(), "an event behind the last");
            self.closed = Some(c.by);
        }
        self.transport = self.ws.poll_transmit(now, &mut self.out);
        let waits = self.out.len() > 0;
        self.ws.handle_written(now, 0, self.out.len());
        // "Now" is said only where something was not done.
        assert!(waits || self.ws.poll_timeout().is_none_or(|d| d.why != Why::Output), "it would spin");
    }

    fn send(&mut self, now: Instant, n: usize) -> Vec<u8> {
        let all: Vec<u8> = self.out.slices().flatten().copied().take(n).collect();
        self.out.sent(all.len());
        self.ws.handle_written(now, all.len(), self.out.len());
        all
    }

    fn ends_stream(&self) -> bool {
        self.out.is_empty() && self.transport != Transport::Open
    }
}

fn carry<A: Role, B: Role>(now: Instant, from: &mut End<A>, to: &mut End<B>, n: usize) {
    let octets = from.send(now, n);
    let eof = from.ends_stream();
    to.recv(now, &octets, &mut from.under_way, eof);
}

/// See the [module](self).
pub fn websocket_pair(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let carries = [Carries::Messages, Carries::Pieces, Carries::Stream][usize::from(plan.carries % 3)];
    let mut client = End::new(Client::new(Seeded::new(1)), carries, plan.room[0]);
    let mut server = End::new(Server, carries, plan.room[1]);
    let mut now = Instant::ZERO;
    for (at_server, op) in &plan.ops {
        match op {
            Op::Deliver(n) => {
                let n = usize::from(*n) * 64;
                if *at_server {
                    carry(now, &mut client, &mut server, n);
                } else {
                    carry(now, &mut server, &mut client, n);
                }
            }
            Op::Wait(ms) => now = now + Duration::from_millis((*ms).into()),
            op if *at_server => server.act(now, op),
            op => client.act(now, op),
        }
        client.tick(now);
        server.tick(now);
    }
    for close in [false, true] {
        if close {
            server.ws.close(now, CloseCode::GOING_AWAY, "the end");
        }
        for _ in 0..8 {
            carry(now, &mut client, &mut server, usize::MAX);
            carry(now, &mut server, &mut client, usize::MAX);
        }
        if client.ws.is_open() && server.ws.is_open() {
            assert!(client.under_way.is_empty() && server.under_way.is_empty(), "a message was lost");
        }
    }
    // Who waits for the other does so by a timer.
    now = now + Duration::from_secs(60);
    client.tick(now);
    server.tick(now);
    assert!(client.closed.is_some() && server.closed.is_some());
    assert!(matches!(client.transport, Transport::Drop | Transport::Abort));
    assert!(matches!(server.transport, Transport::Drop | Transport::Abort));
    assert!(client.input.filled().is_empty() || client.ws.is_ended());
}
