//! In steady state the slice tier allocates nothing: not a session that sends and receives, and not
//! a framer. A counting allocator sees it all, each thread for itself.

use std::time::Duration;

use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::frame::{
    DelimiterFramer, FixedFramer, Framer, LengthField, LengthFramer, LineEnd, LineFramer,
};
use bowline_core::session::{
    Config, Connect, Event, Forward, Limits, Message, Properties, Property, Request, Response, Session,
    Subscribe, Welcome,
};
use bowline_core::status::Status;
use bowline_core::time::Instant;

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

struct End<'m> {
    session: Session,
    input: SliceRecvBuf<'m>,
    out: SliceSendBuf<'m>,
    seen: Seen,
}

/// What one end has seen, as counts.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    publishes: u32,
    messages: u32,
    requests: u32,
    responses: u32,
    acks: u32,
    pongs: u32,
    octets: usize,
}

impl End<'_> {
    /// Handles all that waits, and answers requests.
    fn turn(&mut self, now: Instant) {
        while let Some(event) = self.session.recv(now, &mut self.input) {
            match event {
                Event::Publish(m) => {
                    self.seen.publishes += 1;
                    self.seen.octets += m.payload.len() + m.properties.iter().count();
                }
                Event::Message(_, m) => {
                    self.seen.messages += 1;
                    self.seen.octets += m.payload.len();
                }
                Event::Request(r) => {
                    self.seen.requests += 1;
                    let response = Response {
                        id: r.id,
                        status: Status::Ok,
                        more: false,
                        payload: r.payload,
                        properties: r.properties,
                    };
                    self.session.respond(now, &mut self.out, &response).expect("room and credit");
                }
                Event::Response(_) => self.seen.responses += 1,
                Event::Acked(_) => self.seen.acks += 1,
                Event::Pong(_) => self.seen.pongs += 1,
                Event::Hello(_) => {
                    self.session.welcome(now, &mut self.out, &Welcome::default(), None).expect("room");
                }
                Event::Closed(c) => panic!("{c:?}"),
                _ => {}
            }
        }
        let _ = self.session.handle_timeout(now);
        let _ = self.session.poll_transmit(now, &mut self.out);
        std::hint::black_box(self.session.poll_timeout());
    }
}

fn carry(now: Instant, from: &mut End<'_>, to: &mut End<'_>) {
    let n = to.input.push(from.out.pending());
    from.out.sent(n);
    from.session.handle_written(now, n, from.out.pending().len());
}

/// Everything a session does in steady state, both ways.
fn round<'m>(now: Instant, a: &mut End<'m>, b: &mut End<'m>) {
    let mut memory = [0; 32];
    let list = [Property::ContentType("text/plain")];
    let properties = Properties::write(&list, &mut memory).expect("room");
    let plain = Message::new("home/kitchen", &[7; 64]);
    let reliable = Message { reliable: true, properties, ..plain };
    let body = b"\x01a and a payload";
    for _ in 0..2 {
        a.session.publish(now, &mut a.out, &plain).expect("room and credit");
        a.session.publish(now, &mut a.out, &reliable).expect("room and credit");
        a.session.message(now, &mut a.out, 3, &reliable).expect("room and credit");
        let forward = Forward {
            subscription: 4,
            reliable: false,
            retain: false,
            has_properties: false,
            body: &body[..],
        };
        a.session.forward(now, &mut a.out, &forward).expect("room and credit");
        let request = Request {
            id: 9,
            subscription: 0,
            timeout: Duration::ZERO,
            many: false,
            topic: "time",
            payload: b"?",
            properties,
        };
        a.session.request(now, &mut a.out, &request).expect("room and credit");
        let subscribe =
            Subscribe { id: 5, filter: "a/+", reliable: true, credit: Some(9), ..Subscribe::default() };
        a.session.subscribe(now, &mut a.out, &subscribe).expect("room");
        a.session.grant(now, &mut a.out, 5, 99).expect("room");
        a.session.ping(now);
        for _ in 0..2 {
            a.turn(now);
            carry(now, a, b);
            b.turn(now);
            carry(now, b, a);
        }
        a.turn(now);
        std::mem::swap(a, b);
    }
}

#[test]
fn a_session_allocates_nothing() {
    // A window that must be renewed every few rounds.
    let limits = Limits {
        credit: 2048,
        keepalive: Some(Duration::from_secs(1)),
        max_frame: 1024,
        ..Limits::default()
    };
    let config = Config { limits, ..Config::default() };
    let mut memory = [[0; 2048]; 4];
    let [a, b, c, d] = &mut memory;
    let mut now = Instant::from_millis(0);
    let mut out = SliceSendBuf::new(a);
    let client = Session::connect(now, &config, &Connect::default(), &mut out).expect("room");
    let mut client = End { session: client, input: SliceRecvBuf::new(b), out, seen: Seen::default() };
    let (input, out) = (SliceRecvBuf::new(c), SliceSendBuf::new(d));
    let mut server = End { session: Session::accept(now, &config), input, out, seen: Seen::default() };

    let found = allocations(|| {
        carry(now, &mut client, &mut server);
        server.turn(now);
        carry(now, &mut server, &mut client);
        client.turn(now);
        for _ in 0..100 {
            now = now + Duration::from_millis(700);
            round(now, &mut client, &mut server);
        }
    });
    assert_eq!(found, 0);
    let seen = Seen {
        publishes: 200,
        messages: 200,
        requests: 100,
        responses: 100,
        acks: 100,
        pongs: 100,
        octets: 200 * 64 + 100 + 100 * (64 + 14),
    };
    assert_eq!((&client.seen, &server.seen), (&seen, &seen));
}

fn framer_allocates_nothing<F: Framer + Clone>(framer: &F, payload: &[u8]) {
    let mut memory = [[0; 512]; 2];
    let [a, b] = &mut memory;
    let (mut out, mut input, mut framer) = (SliceSendBuf::new(a), SliceRecvBuf::new(b), framer.clone());
    let mut frames = 0;
    let found = allocations(|| {
        for _ in 0..100 {
            framer.encode(payload, &mut out).expect("room");
            // In two pieces.
            for end in [3, usize::MAX] {
                let waiting = out.pending();
                let n = input.push(&waiting[..end.min(waiting.len())]);
                out.sent(n);
                while let Some(frame) = framer.decode(&mut input).expect("well formed") {
                    frames += usize::from(frame == payload);
                }
            }
        }
    });
    assert_eq!((found, frames), (0, 100));
}

#[test]
fn framers_allocate_nothing() {
    let payload = [b'x'; 64];
    for field in LengthField::ALL {
        framer_allocates_nothing(&LengthFramer::new(field, 200), &payload);
    }
    framer_allocates_nothing(&FixedFramer::new(64).expect("a size"), &payload);
    framer_allocates_nothing(&DelimiterFramer::new("\r\n", 200).expect("a delimiter"), &payload);
    framer_allocates_nothing(&LineFramer::new(LineEnd::Either, 200), &payload);
}
