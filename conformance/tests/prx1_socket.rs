//! The vectors of PRX1 that a socket can show, on a server that is just large enough for them: the
//! core's machine, a thread and a hub of its own for each connection.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant as Clock};

use bowline_conformance::carrier::Carrier;
use bowline_conformance::dialect::Dialect;
use bowline_conformance::mutate;
use bowline_conformance::runner::Outcome;
use bowline_conformance::socket;
use bowline_conformance::vector::{self, Vector};
use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::lifecycle::Transport;
use bowline_core::prx1::{
    Answer, Config, PacketId, Publish, Queue, QueueAction, QueueStatus, Server, ServerEvent,
};
use bowline_core::time::Instant;
use bowline_core::topic;

/// What a message of the hub is: topic, payload, whether it is acknowledged, whether it was kept.
type Delivery = (String, Vec<u8>, bool, bool);

/// As much of a hub as one connection needs.
#[derive(Default)]
struct Hub {
    /// Filters as the hub writes them, and whether their messages are acknowledged.
    subscriptions: BTreeMap<String, bool>,
    retained: BTreeMap<String, Vec<u8>>,
    /// Return paths, and what waits.
    queues: BTreeMap<String, (String, VecDeque<Vec<u8>>)>,
    /// The queue that was named last.
    named: Option<String>,
}

impl Hub {
    fn publish(&mut self, p: &Publish<'_>) -> Vec<Delivery> {
        if p.retain && p.payload.is_empty() {
            self.retained.remove(p.topic);
        } else if p.retain {
            self.retained.insert(p.topic.to_owned(), p.payload.to_vec());
        }
        let matching = self.subscriptions.iter().filter(|(filter, _)| topic::matches(filter, p.topic));
        matching
            .map(|(_, reliable)| (p.topic.to_owned(), p.payload.to_vec(), *reliable && p.id.is_some(), false))
            .collect()
    }

    fn subscribe(&mut self, filter: String, reliable: bool) -> Vec<Delivery> {
        let matching = self.retained.iter().filter(|(name, _)| topic::matches(&filter, name));
        let kept = matching.map(|(name, payload)| (name.clone(), payload.clone(), reliable, true)).collect();
        self.subscriptions.insert(filter, reliable);
        kept
    }

    /// What a QUEUE does, and what it hands out.
    fn order(&mut self, q: &Queue<'_>) -> Option<Vec<Delivery>> {
        let mut out = Vec::new();
        if let Some(o) = q.options {
            let address = o.address?.to_owned();
            self.named = Some(address.clone());
            match o.action {
                QueueAction::Initialize => {
                    let path = o.return_path.unwrap_or(&address).to_owned();
                    self.queues.entry(address).or_insert_with(|| (path, VecDeque::new()));
                }
                QueueAction::Destroy => drop(self.queues.remove(&address)?),
                QueueAction::Drain => {
                    let (path, waiting) = self.queues.get_mut(&address)?;
                    out.extend(waiting.drain(..).map(|payload| (path.clone(), payload, true, false)));
                }
            }
        }
        if let Some(payload) = q.payload {
            self.queues.get_mut(self.named.as_ref()?)?.1.push_back(payload.to_vec());
        }
        Some(out)
    }
}

struct Connection {
    stream: TcpStream,
    began: Clock,
    machine: Server,
    hub: Hub,
    out: SharedSendBuf,
    next_id: PacketId,
}

impl Connection {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    /// Until the machine drops it, the transport breaks, or the client goes.
    fn run(mut self) -> std::io::Result<()> {
        let mut received = GrowingRecvBuf::new(1 << 20);
        let mut memory = [0; 16_384];
        loop {
            while self.event(&mut received) {}
            let verdict = self.machine.poll_transmit(self.now(), &mut self.out);
            for slice in self.out.slices() {
                self.stream.write_all(slice)?;
            }
            self.out.sent(usize::MAX);
            match verdict {
                Transport::Open => {}
                Transport::Shut => self.stream.shutdown(Shutdown::Write)?,
                Transport::Drop | Transport::Abort => return Ok(()),
            }
            let due = self.machine.poll_timeout().map(|d| d.at.saturating_since(self.now()));
            self.stream.set_read_timeout(due.map(|d| d.max(Duration::from_millis(1))))?;
            match self.stream.read(&mut memory) {
                Ok(0) => self.machine.handle_eof(self.now()),
                Ok(n) => assert_eq!(received.push(&memory[..n]), n),
                Err(e)
                    if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    self.machine.handle_timeout(self.now());
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn event(&mut self, received: &mut GrowingRecvBuf) -> bool {
        let (now, out) = (self.now(), &mut self.out);
        let Some(event) = self.machine.recv(now, received) else { return false };
        let machine = &mut self.machine;
        let (answered, deliveries) = match event {
            ServerEvent::Connect(_) => {
                (machine.connack(now, out, Answer::Accepted { session: None }), Vec::new())
            }
            ServerEvent::Publish(p) => {
                let deliveries = self.hub.publish(&p);
                (p.id.map_or(Ok(()), |id| machine.puback(now, out, id)), deliveries)
            }
            ServerEvent::Subscribe(s) => {
                let kept = self.hub.subscribe(s.filter.to_string(), s.id.is_some());
                (s.id.map_or(Ok(()), |id| machine.suback(now, out, id)), kept)
            }
            ServerEvent::Unsubscribe(s) => {
                self.hub.subscriptions.remove(&s.filter.to_string());
                (s.id.map_or(Ok(()), |id| machine.unsuback(now, out, id)), Vec::new())
            }
            ServerEvent::Queue(q) => {
                let done = self.hub.order(&q);
                let status = if done.is_some() { QueueStatus::Ok } else { QueueStatus::Error };
                (machine.queue_ack(now, out, status), done.unwrap_or_default())
            }
            _ => (Ok(()), Vec::new()),
        };
        answered.expect("a vector's answers have room");
        for (topic, payload, reliable, retain) in deliveries {
            let id = reliable.then_some(self.next_id);
            self.next_id = self.next_id.next();
            let publish = Publish { id, retain, ..Publish::new(&topic, &payload) };
            machine.publish(now, out, &publish).expect("a vector's messages have room");
        }
        true
    }
}

/// The way to a server, which serves as long as the program runs.
fn server() -> Carrier {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let carrier = Carrier::new(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (began, config) = (Clock::now(), Config::default());
            let machine = Server::accept(Instant::ZERO, &config);
            let (hub, out) = (Hub::default(), SharedSendBuf::new(1 << 20));
            let next_id = PacketId::FIRST;
            let connection = Connection { stream, began, machine, hub, out, next_id };
            std::thread::spawn(move || connection.run());
        }
    });
    carrier
}

fn vectors() -> Vec<Vector> {
    let all = vector::builtin().unwrap().into_iter();
    all.filter(|v| v.socket && v.dialect == Dialect::Prx1).collect()
}

/// The vectors whose outcome is not what `expected` says, in a few threads, as most time they wait.
fn unexpected(vectors: Vec<(String, Vector)>, expected: fn(&Outcome) -> bool) -> Vec<String> {
    let carrier = server();
    let (queue, failed) = (std::sync::Mutex::new(vectors.into_iter()), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some((what, v)) = { queue.lock().unwrap().next() } {
                    let outcome = socket::run(&v, &carrier);
                    if !expected(&outcome) {
                        failed.lock().unwrap().push(format!("{}{what}: {outcome:?}", v.name));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn all_pass() {
    let vectors: Vec<_> = vectors().into_iter().map(|v| (String::new(), v)).collect();
    assert!(vectors.len() > 100, "{} vectors", vectors.len());
    assert_eq!(unexpected(vectors, |o| *o == Outcome::Pass), [""; 0]);
}

/// A sample; only changes of octets show on a wire, and only those after which something else comes
/// show without waiting.
#[test]
fn changed_vectors_fail() {
    let changed = |v: &Vector| mutate::mutants(v).into_iter().filter(|m| m.change.contains("octet 0:"));
    let all = vectors();
    let mutants = all.iter().flat_map(changed).map(|m| (format!(" with {}", m.change), m.vector)).step_by(3);
    let mutants: Vec<_> = mutants.collect();
    assert!(mutants.len() > 50, "{} changes", mutants.len());
    assert_eq!(unexpected(mutants, |o| matches!(o, Outcome::Fail { .. })), [""; 0]);
}
