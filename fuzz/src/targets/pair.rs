//! Two sessions against each other, over connections that carry octets in pieces, stall and break:
//! every reliable message arrives exactly once and in order, each way, and neither side ever finds
//! that the other broke a rule (credit and the number in flight are among them).

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::session::{
    Closed, Config, Connect, Counts, Event, Fault, Limits, Message, Received, Request, Resume, ResumeKey,
    Session, SessionId, Welcome,
};
use bowline_core::time::Instant;

const SESSION: (SessionId, ResumeKey) = (SessionId([1; 16]), ResumeKey([2; 16]));
/// The most messages of a side, so that a run is quick.
const MESSAGES: usize = 200;

#[derive(Arbitrary, Debug)]
struct Plan {
    limits: [Announced; 2],
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
struct Announced {
    in_flight: u8,
    credit: u8,
    keepalive: u8,
    manual: bool,
    small_buffers: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    /// One of the sides has something to say.
    Reliable {
        server: bool,
        size: u8,
        as_message: bool,
    },
    Unreliable {
        server: bool,
        size: u8,
    },
    Ask {
        server: bool,
        id: u8,
    },
    /// So many octets of a side arrive.
    Carry {
        server: bool,
        octets: u8,
    },
    /// Both sides have a turn.
    Turn,
    Wait(u16),
    Ping {
        server: bool,
    },
    Hold {
        server: bool,
        hold: bool,
    },
    /// So many are accepted, where that is not done by itself.
    Accept {
        server: bool,
        count: u8,
    },
    /// The connection breaks, with all that is on it.
    Cut,
}

/// What outlives a connection, at one side.
#[derive(Default)]
struct Kept {
    counts: Counts,
    /// Every reliable message that this side was to send, in order.
    sends: Vec<Vec<u8>>,
    as_message: Vec<bool>,
    /// What arrived from the other, and what of it was accepted (the rest is forgotten with a
    /// connection).
    received: Vec<Vec<u8>>,
}

struct Side<'m> {
    session: Session,
    input: SliceRecvBuf<'m>,
    out: SliceSendBuf<'m>,
    over: bool,
}

/// Two sessions against each other. Bytes that make no plan are no fault.
pub fn session_pair(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut kept = [Kept::default(), Kept::default()];
    let mut now = Instant::from_millis(1000);
    let mut ops = plan.ops.iter().take(300);
    let mut resume = false;
    // Each turn is a connection; the last one is left in peace until all has arrived.
    for _ in 0..40 {
        let mut memory = [[[0; 1600]; 2]; 2];
        let mut link = Link::connect(&plan, &mut memory, now, &kept[0].counts, resume);
        let cut = ops.by_ref().any(|op| !link.step(op, &mut kept) || link.is_over());
        if !cut {
            link.settle(&mut kept);
        }
        (kept[0].counts, now) = (link.sides[0].session.counts(), link.now);
        resume |= link.welcomed;
        if link.greeted {
            kept[1].counts = link.sides[1].session.counts();
        }
        for side in &mut kept {
            side.received.truncate(side.counts.received as usize);
        }
        if !cut {
            break;
        }
        now = Instant::from_millis(now.as_millis() + 1);
    }
}

struct Link<'m, 'p> {
    plan: &'p Plan,
    now: Instant,
    sides: [Side<'m>; 2],
    /// The client knows the session.
    welcomed: bool,
    /// The server opened it.
    greeted: bool,
}

fn config(announced: &Announced) -> Config {
    let limits = Limits {
        max_frame: 300,
        in_flight: u16::from(announced.in_flight) + 1,
        credit: u64::from(announced.credit) * 4 + 1,
        keepalive: (announced.keepalive > 0)
            .then(|| Duration::from_millis(u64::from(announced.keepalive) * 20)),
    };
    Config { limits, manual_accept: announced.manual, ..Config::default() }
}

impl<'m, 'p> Link<'m, 'p> {
    fn connect(
        plan: &'p Plan,
        memory: &'m mut [[[u8; 1600]; 2]; 2],
        now: Instant,
        counts: &Counts,
        resume: bool,
    ) -> Self {
        let [[a, b], [c, d]] = memory;
        let room = |side: usize| if plan.limits[side].small_buffers { 320 } else { 1600 };
        let mut out = SliceSendBuf::new(&mut b[..room(0)]);
        let (session, key) = SESSION;
        let connect = Connect {
            resume: resume.then_some(Resume { session, key, counts: *counts }),
            expiry: Duration::from_secs(60),
            ..Connect::default()
        };
        let client = Session::connect(now, &config(&plan.limits[0]), &connect, &mut out).expect("room");
        let server = Session::accept(now, &config(&plan.limits[1]));
        let client = Side { session: client, input: SliceRecvBuf::new(&mut a[..room(0)]), out, over: false };
        let out = SliceSendBuf::new(&mut d[..room(1)]);
        let server = Side { session: server, input: SliceRecvBuf::new(&mut c[..room(1)]), out, over: false };
        Self { plan, now, sides: [client, server], welcomed: false, greeted: false }
    }

    fn is_over(&self) -> bool {
        self.sides.iter().any(|side| side.over)
    }

    /// Does what is to be done; false where the connection breaks.
    fn step(&mut self, op: &Op, kept: &mut [Kept; 2]) -> bool {
        let now = self.now;
        match *op {
            Op::Reliable { server, size, as_message } => {
                let kept = &mut kept[usize::from(server)];
                if kept.sends.len() < MESSAGES {
                    let n = kept.sends.len() as u8;
                    kept.sends.push(vec![n; usize::from(size)]);
                    kept.as_message.push(as_message);
                }
            }
            Op::Unreliable { server, size } => {
                let side = &mut self.sides[usize::from(server)];
                // Not now is an answer too.
                let _ =
                    side.session.publish(now, &mut side.out, &Message::new("a", &vec![0; usize::from(size)]));
            }
            Op::Ask { server, id } => {
                let side = &mut self.sides[usize::from(server)];
                let request = Request {
                    id: id.into(),
                    subscription: 0,
                    timeout: Duration::ZERO,
                    many: false,
                    topic: "a",
                    payload: b"?",
                    properties: Default::default(),
                };
                // Not now is an answer too.
                let _ = side.session.request(now, &mut side.out, &request);
            }
            Op::Carry { server, octets } => self.carry(usize::from(server), usize::from(octets)),
            Op::Turn => {}
            Op::Wait(ms) => self.now = Instant::from_millis(now.as_millis() + u64::from(ms)),
            Op::Ping { server } => self.sides[usize::from(server)].session.ping(now),
            Op::Hold { server, hold } => self.sides[usize::from(server)].session.hold_credit(hold),
            Op::Accept { server, count } => {
                self.sides[usize::from(server)].session.accept_received(now, count.into());
            }
            Op::Cut => return false,
        }
        self.turn(0, kept);
        self.turn(1, kept);
        true
    }

    /// Octets of one side reach the other.
    fn carry(&mut self, from: usize, octets: usize) {
        let [client, server] = &mut self.sides;
        let (from, to) = if from == 0 { (client, server) } else { (server, client) };
        let n = octets.min(from.out.pending().len());
        let n = to.input.push(&from.out.pending()[..n]);
        from.out.sent(n);
        from.session.handle_written(self.now, n, from.out.pending().len());
    }

    fn turn(&mut self, at: usize, kept: &mut [Kept; 2]) {
        let (now, side) = (self.now, &mut self.sides[at]);
        let [client, server] = kept;
        let (mine, theirs) = if at == 0 { (client, server) } else { (server, client) };
        if side.session.poll_timeout().is_some_and(|d| now >= d.at)
            && let Some(event) = side.session.handle_timeout(now)
        {
            side.over |= is_end(&event);
        }
        while let Some(event) = side.session.recv(now, &mut side.input) {
            match event {
                Event::Hello(hello) => {
                    // Counts that do not fit would be a lost or a doubled message.
                    let resumed =
                        hello.resume.map(|(_, _, received)| mine.counts.resume(received).expect("no gap"));
                    if resumed.is_none() {
                        mine.received.clear();
                    }
                    let welcome = Welcome {
                        session: Some(SESSION),
                        expiry: Duration::from_secs(60),
                        ..Welcome::default()
                    };
                    side.session.welcome(now, &mut side.out, &welcome, resumed).expect("room");
                    self.greeted = true;
                }
                Event::Welcome(_) => self.welcomed = true,
                Event::Publish(m) | Event::Message(_, m) => receive(mine, theirs, m),
                other => side.over |= is_end(&other),
            }
        }
        // What is to be said next is what the session's count says, also after a cut.
        while let Some(payload) = mine.sends.get(side.session.counts().sent as usize) {
            let message = Message { reliable: true, ..Message::new("a/b", payload) };
            let sent = if mine.as_message[side.session.counts().sent as usize] {
                side.session.message(now, &mut side.out, 3, &message)
            } else {
                side.session.publish(now, &mut side.out, &message)
            };
            if sent.is_err() {
                break;
            }
        }
        let _ = side.session.poll_transmit(now, &mut side.out);
    }

    /// Nothing disturbs any more, and everything arrives.
    fn settle(&mut self, kept: &mut [Kept; 2]) {
        for _ in 0..5000 {
            for at in [0, 1] {
                self.sides[at].session.hold_credit(false);
                self.sides[at].session.accept_received(self.now, u32::MAX);
                self.carry(at, 1600);
                self.turn(at, kept);
            }
            let done = |at: usize| {
                let counts = self.sides[at].session.counts();
                counts.acked == kept[at].sends.len() as u64
            };
            if self.is_over() || (done(0) && done(1) && self.welcomed) {
                break;
            }
        }
        if self.is_over() {
            return; // somebody had waited too long
        }
        let limits = &self.plan.limits;
        assert_eq!(kept[1].received, kept[0].sends, "from the client, with {limits:?}");
        assert_eq!(kept[0].received, kept[1].sends, "from the server, with {limits:?}");
    }
}

/// The next message, and no other.
fn receive(mine: &mut Kept, theirs: &Kept, message: Received<'_>) {
    if message.reliable {
        let next = mine.received.len();
        assert_eq!(theirs.sends[next], message.payload, "message {next} is another");
        mine.received.push(message.payload.to_vec());
    }
}

/// Whether the session ends; that may only be because somebody waited for too long.
fn is_end(event: &Event<'_>) -> bool {
    let Event::Closed(Closed { fault, code, .. }) = event else { return false };
    let silent = [Fault::KeepaliveTimeout, Fault::HandshakeTimeout, Fault::WriteTimeout];
    assert!(fault.is_none_or(|fault| silent.contains(&fault)), "{event:?}");
    assert!(code.is_none_or(|code| silent.iter().any(|f| f.code() == code)), "{event:?}");
    true
}
