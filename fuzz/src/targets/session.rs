//! One session against whatever arrives, and whatever its application calls: with the octets whole
//! and cut, into small buffers and large, the same events and the same output; output that follows
//! the specification; one end.

mod check;
mod plan;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{RecvBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::session::{Event, Session, Transport};
use bowline_core::time::{Instant, Why};

use check::Output;
use plan::{Plan, Step, connect};

/// The most that a session may owe at once, in octets: CLOSE with its reason, and small frames.
const OWED: usize = 700;

/// Beyond this nobody sleeps: some thirty years.
const LATEST: Instant = Instant::from_millis(1 << 40);

/// What came of a plan.
#[derive(Debug, Default, PartialEq)]
struct Story {
    events: Vec<String>,
    output: Vec<u8>,
}

/// A client against anything.
pub fn session_client(data: &[u8]) {
    run(data, true);
}

/// A server against anything.
pub fn session_server(data: &[u8]) {
    run(data, false);
}

fn run(data: &[u8], client: bool) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let whole = play(&plan, client, &[usize::MAX]);
    let pieces = plan.pieces.map(|n| usize::from(n) + 1);
    assert_eq!(play(&plan, client, &pieces), whole, "the pieces in which octets come make a difference");
}

struct Play<'m> {
    session: Session,
    now: Instant,
    input: SliceRecvBuf<'m>,
    /// What has arrived and did not fit yet.
    waiting: Vec<u8>,
    out: SliceSendBuf<'m>,
    output: Output,
    story: Story,
    over: bool,
}

fn play(plan: &Plan<'_>, client: bool, pieces: &[usize]) -> Story {
    let config = plan.config.config();
    // A peer's limit must fit the buffer, or frames are refused that another cut would have taken.
    let (mut input, mut out) = (vec![0; plan.config.memory()], vec![0; plan.room()]);
    let mut out = SliceSendBuf::new(&mut out);
    let mut now = Instant::from_millis(1000);
    let session = if client {
        match Session::connect(now, &config, &connect(plan), &mut out) {
            Ok(session) => session,
            Err(_) => {
                assert!(out.pending().is_empty());
                return Story::default();
            }
        }
    } else {
        Session::accept(now, &config)
    };
    let input = SliceRecvBuf::new(&mut input);
    let output = Output::new(client);
    let story = Story::default();
    let mut play = Play { session, now, input, waiting: Vec::new(), out, output, story, over: false };
    let mut pieces = pieces.iter().copied().cycle();
    for step in plan.steps.iter().take(64) {
        match step {
            Step::Wait(ms) => now = Instant::from_millis(now.as_millis() + u64::from(*ms)),
            Step::Back(ms) => {
                // Nothing may come of time that goes back.
                play.now = Instant::from_millis(now.as_millis().saturating_sub(u64::from(*ms)));
                play.transmit();
            }
            Step::Sleep => match play.session.poll_timeout() {
                Some(due) if due.at < LATEST => now = now.max(due.at),
                _ => {}
            },
            Step::Eof => {
                play.pump(&mut pieces);
                play.session.handle_eof(now);
            }
            Step::Written(n) => {
                let n = usize::from(*n).min(play.out.pending().len());
                play.write(n);
            }
            Step::Call(call) => play.call(call),
            other => other.put(&mut play.waiting),
        }
        play.now = now;
        play.turn(&mut pieces);
    }
    play.finish();
    play.story
}

impl Play<'_> {
    /// A call that fails leaves no trace.
    fn call(&mut self, call: &plan::Call<'_>) {
        let (before, counts) = (self.out.pending().len(), self.session.counts());
        let ended = self.session.is_ended();
        if call.make(self.now, &mut self.session, &mut self.out).is_err() {
            assert_eq!(self.out.pending().len(), before, "{call:?} failed and wrote");
            assert_eq!(self.session.counts(), counts, "{call:?} failed and counted");
        }
        if matches!(call, plan::Call::Fault) && !ended {
            self.over = true; // the call told it
        }
    }

    fn turn(&mut self, pieces: &mut impl Iterator<Item = usize>) {
        self.pump(pieces);
        if self.session.poll_timeout().is_some_and(|d| self.now >= d.at) {
            let event = self.session.handle_timeout(self.now);
            self.tell(event.as_ref());
        }
        self.pump(pieces);
        self.transmit();
        let deadline = self.session.poll_timeout();
        assert_eq!(deadline, self.session.poll_timeout(), "asking changes nothing");
        if let Some(due) = deadline
            && due.at <= self.now
        {
            assert!(due.why == Why::Output && self.room() < OWED, "{due:?} at {:?} spins", self.now);
        }
        let (counts, in_flight) = (self.session.counts(), self.session.send_in_flight());
        assert!(!self.session.is_open() || counts.sent - counts.acked <= in_flight.into(), "{counts:?}");
    }

    fn room(&self) -> usize {
        use bowline_core::buf::SendBuf;
        self.out.room()
    }

    /// All that waits goes in, in pieces.
    fn pump(&mut self, pieces: &mut impl Iterator<Item = usize>) {
        loop {
            let mut calls = 0;
            while let Some(event) = self.session.recv(self.now, &mut self.input) {
                let closed = matches!(event, Event::Closed(_));
                assert!(!self.over, "{event:?} after the end");
                self.over |= closed;
                if let Event::Hello(h) = &event {
                    self.output.limit(h.limits.max_frame);
                }
                if let Event::Welcome(w) = &event {
                    self.output.limit(w.limits.max_frame);
                }
                self.story.events.push(format!("{event:?}"));
                calls += 1;
                assert!(calls < 100_000, "it loops");
            }
            let n = pieces.next().unwrap_or(1).min(self.waiting.len());
            let taken = self.input.push(&self.waiting[..n]);
            self.waiting.drain(..taken);
            if taken == 0 {
                break;
            }
        }
        if !self.waiting.is_empty() && self.input.filled().len() == self.input.limit() {
            let decides = !self.session.is_open() && !self.session.is_ended();
            assert!(decides, "a full buffer, and nothing will ever come of it");
        }
    }

    fn tell(&mut self, event: Option<&Event<'_>>) {
        if let Some(event) = event {
            assert!(!self.over && matches!(event, Event::Closed(_)), "{event:?}");
            self.over = true;
            self.story.events.push(format!("{event:?}"));
        }
    }

    fn transmit(&mut self) {
        let transport = self.session.poll_transmit(self.now, &mut self.out);
        if transport != Transport::Open {
            assert!(self.session.is_ended());
        }
        if transport == Transport::Shut {
            assert!(self.session.poll_timeout().is_some(), "nobody would ever end it");
        }
    }

    /// The transport takes so many octets.
    fn write(&mut self, n: usize) {
        let taken = &self.out.pending()[..n];
        self.output.check(taken);
        self.story.output.extend_from_slice(taken);
        self.out.sent(n);
        self.session.handle_written(self.now, n, self.out.pending().len());
    }

    /// Everything ends, whatever came before.
    fn finish(&mut self) {
        self.write(self.out.pending().len());
        self.session.handle_eof(self.now);
        self.pump(&mut [usize::MAX].into_iter().cycle());
        self.transmit();
        self.write(self.out.pending().len());
        assert!(self.over, "the end was never told");
        assert!(self.session.is_ended());
        let transport = self.session.poll_transmit(self.now, &mut self.out);
        assert!(matches!(transport, Transport::Drop | Transport::Abort), "{transport:?}");
        assert!(self.out.pending().is_empty(), "output after the end");
        self.output.finish();
    }
}
