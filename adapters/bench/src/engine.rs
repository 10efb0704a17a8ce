//! Publishers and subscribers: a closed loop, in which each publisher has a bounded number of
//! messages under way.

use std::io;
use std::time::Duration;

use crate::Failure;
use crate::clock::{Clock, nanos};
use crate::cost::{Cost, Meter};
use crate::fleet::Fleet;
use crate::scenario::Target;
use crate::stamp::{self, Stamp};
use crate::stats::{Figures, Latency, Tracker, Verdict};
use crate::wire::{Template, Wire};

/// How long all clients together may take to be ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// What is under way for so long without any delivery is written off.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// After a window, what is under way may take so long.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// One write has at most about so many octets.
const BATCH: usize = 64 << 10;
/// How often the server's memory is looked at.
const SAMPLE_EVERY: u64 = 50_000_000;

/// Who hears whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every subscriber hears every publisher.
    All,
    /// Subscriber number i hears publisher number i.
    Pairs,
    /// Every client hears itself.
    Echo,
}

/// What a run consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// Octets of payload.
    pub(crate) payload: usize,
    /// Messages of a publisher that are not delivered to all yet, at most.
    pub(crate) backlog: usize,
    /// At least once.
    pub(crate) reliable: bool,
    /// Waits by polling without sleep.
    pub(crate) spin: bool,
}

#[derive(Debug)]
struct Publisher {
    client: usize,
    template: Template,
    /// The next sequence number, and the first that is not delivered to all.
    next: u64,
    tail: u64,
    /// How many deliveries each message under way still waits for.
    missing: Vec<u32>,
    receivers: u32,
    queued: bool,
}

impl Publisher {
    /// One of its messages was delivered.
    #[inline]
    fn delivered(&mut self, sequence: u64) {
        if sequence < self.tail {
            return;
        }
        let mask = self.missing.len() as u64 - 1;
        self.missing[(sequence & mask) as usize] -= 1;
        while self.tail < self.next && self.missing[(self.tail & mask) as usize] == 0 {
            self.tail += 1;
        }
    }
}

/// All that deliveries change.
#[derive(Debug)]
struct Flow {
    clock: Clock,
    shape: Shape,
    backlog: u64,
    reliable: bool,
    pattern: Vec<u8>,
    publishers: Vec<Publisher>,
    /// The subscriber's number of each client.
    rank: Vec<usize>,
    tracker: Tracker,
    dirty: Vec<usize>,
    latency: Latency,
    counting: bool,
    /// The time of the read that is handled.
    now: u64,
    corrupt: u64,
    published: u64,
    delivered: u64,
    moved_at: u64,
}

impl Flow {
    #[inline]
    fn message(&mut self, client: usize, payload: &[u8]) {
        let Some(stamp) = Stamp::read(payload, &self.pattern) else {
            self.corrupt += 1;
            return;
        };
        let number = stamp.publisher as usize;
        let rank = self.rank.get(client).copied().unwrap_or(usize::MAX);
        let count = self.publishers.len();
        let wanted = self.shape == Shape::All || number == rank;
        let Some(publisher) = self.publishers.get_mut(number) else {
            self.corrupt += 1;
            return;
        };
        if rank == usize::MAX || !wanted || stamp.sequence >= publisher.next {
            self.corrupt += 1;
            return;
        }
        let stream = if self.shape == Shape::All { rank * count + number } else { rank };
        if self.tracker.note(stream, stamp.sequence) == Verdict::Duplicate {
            return;
        }
        publisher.delivered(stamp.sequence);
        if !publisher.queued {
            publisher.queued = true;
            self.dirty.push(number);
        }
        self.delivered += 1;
        self.moved_at = self.now;
        if self.counting {
            self.latency.record(self.now.saturating_sub(stamp.sent));
        }
    }
}

/// What happened in a window.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) seconds: f64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) busy: f64,
    pub(crate) cost: Cost,
    pub(crate) latency: Latency,
}

impl Window {
    pub(crate) fn per_second(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }

    /// Adds its figures.
    pub(crate) fn report(&self, figures: &mut Figures) {
        figures.compare("delivered_per_s", self.per_second());
        figures.note("published_per_s", self.published as f64 / self.seconds);
        self.latency.report("", figures);
        self.cost.report(self.seconds, self.delivered, figures);
        figures.note("load_busy_pct", 100.0 * self.busy);
    }
}

/// Publishers, subscribers, and the loop that runs them.
pub(crate) struct Engine<W> {
    pub(crate) fleet: Fleet<W>,
    pub(crate) meter: Meter,
    flow: Flow,
    plan: Plan,
    stopped: bool,
    /// How often messages were written off.
    stalls: u64,
}

impl<W: Wire> Engine<W> {
    /// Connects all clients and waits until they are ready.
    pub(crate) fn start(wire: W, target: &Target, plan: Plan) -> Result<Self, Failure> {
        let mut fleet = Fleet::new(wire, target)?;
        let echo = plan.shape == Shape::Echo;
        let subscribers = if echo { plan.publishers } else { plan.subscribers };
        let mut rank = Vec::new();
        for number in 0..subscribers {
            let topics = match plan.shape {
                Shape::All => (0..plan.publishers).map(topic).collect(),
                Shape::Pairs => vec![topic(number)],
                Shape::Echo => Vec::new(),
            };
            fleet.add(topics, plan.reliable)?;
            rank.push(number);
        }
        let pattern = stamp::pattern(plan.payload);
        let mut publishers = Vec::new();
        for number in 0..plan.publishers {
            let client = if echo { number } else { fleet.add(Vec::new(), plan.reliable)? };
            publishers.push(Publisher {
                client,
                template: wire.template(&topic(number), &pattern, plan.reliable),
                next: 0,
                tail: 0,
                missing: vec![0; plan.backlog.max(1).next_power_of_two()],
                receivers: if plan.shape == Shape::All { subscribers as u32 } else { 1 },
                queued: true,
            });
        }
        let streams = if plan.shape == Shape::All { subscribers * plan.publishers } else { subscribers };
        let flow = Flow {
            clock: Clock::start(),
            shape: plan.shape,
            backlog: plan.backlog.max(1) as u64,
            reliable: plan.reliable,
            pattern,
            dirty: (0..plan.publishers).collect(),
            publishers,
            rank,
            tracker: Tracker::new(streams),
            latency: Latency::new(),
            counting: false,
            now: 0,
            corrupt: 0,
            published: 0,
            delivered: 0,
            moved_at: 0,
        };
        let meter = Meter::new(target.pid);
        let mut engine = Engine { fleet, meter, flow, plan, stopped: true, stalls: 0 };
        engine.wait_ready()?;
        engine.stopped = false;
        Ok(engine)
    }

    /// Lets the clients come up that are not ready yet.
    pub(crate) fn wait_ready(&mut self) -> Result<(), Failure> {
        let deadline = self.flow.clock.now() + nanos(READY_MAX);
        while self.fleet.ready < self.fleet.clients.len() {
            if self.fleet.closed > 0 || self.flow.clock.now() > deadline {
                let why = self.fleet.first_trouble().unwrap_or("no answer").to_owned();
                return Err(Failure::NotReady { ready: self.fleet.ready, of: self.fleet.clients.len(), why });
            }
            self.turn(10)?;
        }
        Ok(())
    }

    pub(crate) fn clock(&self) -> Clock {
        self.flow.clock
    }

    /// One round: publish, poll, read. Returns whether anything happened.
    fn turn(&mut self, timeout_ms: u32) -> io::Result<bool> {
        let sent = !self.stopped && self.publish();
        let timeout_ms = if self.plan.spin && timeout_ms < 10 || sent { 0 } else { timeout_ms };
        self.flow.now = self.flow.clock.now();
        let flow = &mut self.flow;
        let mut first = true;
        let busy = self.fleet.turn(flow.now, timeout_ms, |client, payload| {
            if first {
                // The poll may have slept.
                flow.now = flow.clock.now();
                first = false;
            }
            flow.message(client, payload);
        })?;
        Ok(busy || sent)
    }

    /// Sends what may be sent; returns whether that was anything.
    fn publish(&mut self) -> bool {
        let flow = &mut self.flow;
        if flow.dirty.is_empty() {
            return false;
        }
        let now = flow.clock.now();
        let mut any = false;
        let mut dirty = std::mem::take(&mut flow.dirty);
        dirty.retain(|&number| {
            let publisher = &mut flow.publishers[number];
            let client = &mut self.fleet.clients[publisher.client];
            let room = flow.backlog - (publisher.next - publisher.tail);
            let template = &publisher.template;
            let batch = (BATCH / template.bytes.len()).max(1) as u64;
            let n = client.may_send(template.cost, flow.reliable, room.min(batch));
            let mask = publisher.missing.len() as u64 - 1;
            for _ in 0..n {
                let frame = client.queue(&template.bytes, template.cost, flow.reliable);
                let stamp = Stamp { sent: now, publisher: number as u32, sequence: publisher.next };
                stamp.write(&mut frame[template.payload_at..]);
                publisher.missing[(publisher.next & mask) as usize] = publisher.receivers;
                publisher.next += 1;
            }
            if n > 0 {
                any = true;
                flow.published += n;
                self.fleet.flush(now, publisher.client);
            }
            publisher.queued = n < room;
            publisher.queued
        });
        // What deliveries add meanwhile comes behind.
        dirty.append(&mut flow.dirty);
        flow.dirty = dirty;
        any
    }

    /// What is under way and does not come is given up, so that the loop goes on.
    fn write_off(&mut self, now: u64) {
        let under_way = self.flow.publishers.iter().any(|p| p.tail < p.next);
        if !under_way || now.saturating_sub(self.flow.moved_at) < nanos(LOST_AFTER) {
            return;
        }
        self.stalls += 1;
        self.flow.moved_at = now;
        for (number, publisher) in self.flow.publishers.iter_mut().enumerate() {
            publisher.tail = publisher.next;
            if !publisher.queued {
                publisher.queued = true;
                self.flow.dirty.push(number);
            }
        }
    }

    /// Runs without counting, so that all is warm.
    pub(crate) fn warm_up(&mut self, duration: Duration) -> io::Result<()> {
        self.warm_up_beside(duration, &mut |_| Ok(()))
    }

    /// The same, with something beside it once a round.
    pub(crate) fn warm_up_beside(
        &mut self,
        duration: Duration,
        beside: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        self.run(duration, beside).map(drop)
    }

    /// Publishes again, after [`drain`](Self::drain).
    pub(crate) fn resume(&mut self) {
        self.stopped = false;
    }

    /// Runs and counts. `beside` is called once a round.
    pub(crate) fn window(
        &mut self,
        duration: Duration,
        beside: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Window> {
        self.flow.latency = Latency::new();
        self.flow.counting = true;
        let (published, delivered) = (self.flow.published, self.flow.delivered);
        self.meter.begin();
        let (seconds, busy) = self.run(duration, beside)?;
        let cost = self.meter.end();
        self.flow.counting = false;
        let latency = std::mem::replace(&mut self.flow.latency, Latency::new());
        let published = self.flow.published - published;
        let delivered = self.flow.delivered - delivered;
        Ok(Window { seconds, published, delivered, busy, cost, latency })
    }

    fn run(
        &mut self,
        duration: Duration,
        beside: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<(f64, f64)> {
        let begin = self.flow.clock.now();
        let (end, mut last, mut idle, mut sampled) = (begin + nanos(duration), begin, 0, begin);
        self.flow.moved_at = begin;
        while last < end {
            let busy = self.turn(1)?;
            beside(last)?;
            let now = self.flow.clock.now();
            if !busy {
                idle += now - last;
                self.write_off(now);
            }
            if now - sampled > SAMPLE_EVERY {
                sampled = now;
                self.meter.sample();
            }
            last = now;
        }
        let spent = (last - begin) as f64;
        Ok((spent / 1e9, 1.0 - idle as f64 / spent))
    }

    /// Publishes no more, and waits for what is under way.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        self.stopped = true;
        let clock = self.flow.clock;
        let begin = clock.now();
        self.flow.moved_at = begin;
        while self.outstanding() > 0 {
            let now = clock.now();
            let quiet = now.saturating_sub(self.flow.moved_at) > 2 * nanos(LOST_AFTER);
            if quiet || now - begin > nanos(DRAIN_MAX) {
                break;
            }
            self.turn(1)?;
        }
        Ok(())
    }

    /// Deliveries that have not come.
    fn outstanding(&self) -> u64 {
        let owed: u64 = self.flow.publishers.iter().map(|p| p.next * u64::from(p.receivers)).sum();
        owed - self.flow.tracker.delivered
    }

    /// Adds what went wrong in the whole run; nothing did if all are 0.
    pub(crate) fn report_losses(&self, figures: &mut Figures) {
        figures.note("missing", self.outstanding() as f64);
        figures.note("duplicates", self.flow.tracker.duplicates as f64);
        figures.note("out_of_order", self.flow.tracker.out_of_order as f64);
        figures.note("corrupt", self.flow.corrupt as f64);
        figures.note("stalls", self.stalls as f64);
        figures.note("closed", self.fleet.closed as f64);
    }
}

/// The topic of a publisher.
fn topic(number: usize) -> String {
    format!("bench/{number}")
}
