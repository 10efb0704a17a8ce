//! The engine over a scripted transport: no socket, no runtime, a waker that counts.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bowline_driver::core::buf::{RecvBuf, SendBuf};
use bowline_driver::core::endpoint::server::{Secured, Security};
use bowline_driver::core::session::Transport as Owed;
use bowline_driver::core::time::{Deadline, Instant, Why};
use bowline_driver::{Engine, Machine, Next, Output, Timer, Transport, Turn, clock};

/// What the transport does when it is asked.
#[derive(Default)]
struct Script {
    reads: VecDeque<io::Result<Vec<u8>>>,
    /// How many octets each write takes; `None`: it would block.
    writes: VecDeque<Option<usize>>,
    written: Vec<u8>,
    shut: usize,
    secured: Option<Secured>,
}

#[derive(Clone, Default)]
struct Line(Arc<Mutex<Script>>);

impl Transport for Line {
    fn poll_read(&mut self, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(!to.is_empty());
        match self.0.lock().unwrap().reads.pop_front() {
            None => Poll::Pending,
            Some(Err(e)) => Poll::Ready(Err(e)),
            Some(Ok(octets)) => {
                to[..octets.len()].copy_from_slice(&octets);
                Poll::Ready(Ok(octets.len()))
            }
        }
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut script = self.0.lock().unwrap();
        let Some(Some(n)) = script.writes.pop_front() else { return Poll::Pending };
        let all: Vec<u8> = from.iter().flat_map(|s| s.iter().copied()).collect();
        let n = n.min(all.len());
        script.written.extend_from_slice(&all[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().shut += 1;
        Poll::Ready(Ok(()))
    }

    fn secured(&mut self) -> Option<Secured> {
        self.0.lock().unwrap().secured.take()
    }
}

/// What the machine does, and what was done to it.
struct Facts {
    /// Octets to send.
    sends: usize,
    owed: Owed,
    deadline: Option<Deadline>,
    reads: bool,
    log: Vec<String>,
}

impl Default for Facts {
    fn default() -> Self {
        Self { sends: 0, owed: Owed::Open, deadline: None, reads: true, log: Vec::new() }
    }
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Facts>>);

impl Machine for Scripted {
    fn register(&mut self, _: &Waker) {
        self.0.lock().unwrap().log.push("register".into());
    }

    fn is_woken(&self) -> bool {
        false
    }

    fn handle_secured(&mut self, _: Instant, secured: Secured) {
        self.0.lock().unwrap().log.push(format!("secured by {}", secured.by));
    }

    fn turn(&mut self, _: Instant, turn: Turn<'_>) -> Next {
        let mut facts = self.0.lock().unwrap();
        let octets = turn.input.take(usize::MAX).len();
        let line = format!("turn due={} eof={} octets={octets}", turn.due, turn.eof);
        facts.log.push(line);
        while facts.sends > 0 && turn.output.room() > 0 {
            let n = facts.sends.min(1000);
            turn.output.put(&vec![7; n]);
            facts.sends -= n;
        }
        let deadline = facts.deadline;
        if turn.due {
            facts.deadline = None;
        }
        Next { transport: facts.owed, deadline, blocked: false, reads: facts.reads, yields: false }
    }

    fn handle_written(&mut self, _: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        let mut facts = self.0.lock().unwrap();
        facts.log.push(format!("written {written} waiting {waiting}"));
        facts.deadline
    }

    fn gone(&mut self, _: Instant) {
        self.0.lock().unwrap().log.push("gone".into());
    }
}

/// Counts how often it was set; it never fires, so only the clock can say what is due.
#[derive(Clone, Default)]
struct Never(Arc<AtomicUsize>);

impl Timer for Never {
    fn reset(&mut self, _: Instant) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct World {
    line: Line,
    machine: Scripted,
    timer: Never,
    wakes: Arc<Count>,
    engine: Engine<Line, Scripted, Never>,
}

impl World {
    fn new() -> World {
        let (line, machine, timer) = (Line::default(), Scripted::default(), Never::default());
        let engine = Engine::new(line.clone(), machine.clone(), timer.clone(), 1 << 20);
        World { line, machine, timer, wakes: Arc::default(), engine }
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        Pin::new(&mut self.engine).poll(&mut Context::from_waker(&waker))
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.machine.0.lock().unwrap().log)
    }

    fn facts(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.machine.0.lock().unwrap());
    }

    fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.line.0.lock().unwrap());
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_comes_is_handed_on_and_then_it_rests() {
    let mut w = World::new();
    w.script(|s| s.reads.extend([Ok(vec![1; 10]), Ok(vec![2; 20])]));
    assert!(w.poll().is_pending());
    let want = [
        "register",
        "turn due=false eof=false octets=0",
        "turn due=false eof=false octets=10",
        "turn due=false eof=false octets=20",
    ];
    assert_eq!(w.log(), want);
    assert_eq!(w.wakes(), 0);
    assert!(w.poll().is_pending());
    assert!(w.log().is_empty(), "nothing happened, so no turn");
}

#[test]
fn due_is_what_the_clock_says() {
    let mut w = World::new();
    let past = Deadline::new(Instant::ZERO, Why::Keepalive);
    let _ = clock::now();
    w.facts(|f| f.deadline = Some(past));
    assert!(w.poll().is_pending());
    // The first turn told of it; the clock said it was due; the timer was not asked.
    let want = ["register", "turn due=false eof=false octets=0"];
    assert_eq!(w.log()[..2], want);
    assert!(w.poll().is_pending());
    assert!(w.log().contains(&"turn due=true eof=false octets=0".into()));
}

#[test]
fn the_timer_is_set_again_only_to_fire_earlier() {
    let mut w = World::new();
    let at = |secs| Some(Deadline::new(clock::now() + Duration::from_secs(secs), Why::Keepalive));
    for (secs, resets) in [(1000, 1), (2000, 1), (1500, 1), (500, 2), (600, 2)] {
        w.facts(|f| f.deadline = at(secs));
        w.script(|s| s.reads.push_back(Ok(vec![1])));
        assert!(w.poll().is_pending());
        assert_eq!(w.timer.0.load(Ordering::Relaxed), resets, "{secs}");
    }
}

#[test]
fn a_write_that_stalls_is_told_and_does_not_stop_reads() {
    let mut w = World::new();
    w.facts(|f| f.sends = 5000);
    w.script(|s| s.writes.extend([Some(2000), None]));
    assert!(w.poll().is_pending());
    let log = w.log();
    assert!(log.contains(&"written 2000 waiting 3000".into()), "{log:?}");
    w.script(|s| s.reads.push_back(Ok(vec![1])));
    assert!(w.poll().is_pending());
    let log = w.log();
    assert_eq!(log, ["turn due=false eof=false octets=1"], "no progress is told once");
    w.script(|s| s.writes.push_back(Some(9999)));
    assert!(w.poll().is_pending());
    assert_eq!(w.log(), ["written 3000 waiting 0"]);
    assert_eq!(w.line.0.lock().unwrap().written.len(), 5000);
}

#[test]
fn output_beyond_what_is_full_waits_for_room_and_not_for_time() {
    let mut w = World::new();
    let total = 3 * Output::FULL;
    w.facts(|f| {
        f.sends = total;
        f.deadline = Some(Deadline::new(Instant::ZERO, Why::Output));
    });
    assert!(w.poll().is_pending());
    assert!(w.poll().is_pending());
    let turns = w.log().iter().filter(|line| line.starts_with("turn")).count();
    assert_eq!((turns, w.wakes()), (1, 0), "it does not spin while there is no room");
    w.facts(|f| f.deadline = None);
    w.script(|s| s.writes.extend([Some(usize::MAX); 10]));
    assert!(w.poll().is_pending());
    assert_eq!(w.line.0.lock().unwrap().written.len(), total);
}

#[test]
fn a_write_of_nothing_ends_it() {
    let mut w = World::new();
    w.facts(|f| f.sends = 10);
    w.script(|s| {
        s.writes.push_back(Some(0));
        s.reads.push_back(Ok(vec![1; 3]));
    });
    assert!(w.poll().is_ready());
    // What the peer had said before is heard.
    let log = w.log();
    assert_eq!(log[log.len() - 2..], ["turn due=false eof=false octets=3", "gone"]);
}

#[test]
fn the_end_of_the_stream_is_told_behind_its_octets() {
    let mut w = World::new();
    w.facts(|f| f.owed = Owed::Shut);
    w.script(|s| s.reads.extend([Ok(vec![1]), Ok(vec![])]));
    assert!(w.poll().is_pending());
    assert_eq!(w.log().last().unwrap(), "turn due=false eof=true octets=0");
    assert_eq!(w.line.0.lock().unwrap().shut, 1);
    assert!(w.poll().is_pending());
    assert_eq!(w.line.0.lock().unwrap().shut, 1, "once");
}

#[test]
fn a_broken_line_ends_it_after_a_last_turn() {
    let mut w = World::new();
    w.script(|s| s.reads.push_back(Err(ErrorKind::ConnectionReset.into())));
    assert!(w.poll().is_ready());
    let log = w.log();
    assert_eq!(log[log.len() - 2..], ["turn due=false eof=true octets=0", "gone"]);
}

#[test]
fn dropping_waits_for_what_is_written_and_abort_does_not() {
    let mut w = World::new();
    w.facts(|f| (f.sends, f.owed) = (10, Owed::Drop));
    w.script(|s| s.writes.extend([None]));
    assert!(w.poll().is_pending());
    w.script(|s| s.writes.push_back(Some(10)));
    assert!(w.poll().is_ready());
    let mut w = World::new();
    w.facts(|f| (f.sends, f.owed) = (10, Owed::Abort));
    assert!(w.poll().is_ready());
    assert_eq!(w.log().last().unwrap(), "gone");
}

#[test]
fn a_machine_that_does_not_read_is_not_read_to() {
    let mut w = World::new();
    w.facts(|f| f.reads = false);
    w.script(|s| s.reads.push_back(Ok(vec![1])));
    assert!(w.poll().is_pending());
    assert_eq!(w.line.0.lock().unwrap().reads.len(), 1);
}

#[test]
fn a_peer_that_never_stops_does_not_keep_others_waiting() {
    let mut w = World::new();
    w.script(|s| s.reads.extend((0..100).map(|_| Ok(vec![1]))));
    assert!(w.poll().is_pending());
    assert_eq!(w.wakes(), 1, "it wakes itself to go on later");
    assert!(w.line.0.lock().unwrap().reads.len() > 50);
}

#[test]
fn what_the_transport_has_proved_is_told_once_before_the_first_octets() {
    let mut w = World::new();
    assert!(w.poll().is_pending());
    {
        let mut script = w.line.0.lock().unwrap();
        script.secured = Some(Secured::new(Security::Tls));
        script.reads.extend([Ok(vec![1; 5]), Ok(vec![1; 3])]);
    }
    assert!(w.poll().is_pending());
    let log = w.machine.0.lock().unwrap().log.clone();
    let octets = log.iter().position(|line| line.ends_with("octets=5")).unwrap();
    assert_eq!(log.iter().position(|line| line == "secured by TLS"), Some(octets - 1), "{log:?}");
    w.line.0.lock().unwrap().secured = Some(Secured::new(Security::Tls));
    w.line.0.lock().unwrap().reads.push_back(Ok(vec![1; 2]));
    assert!(w.poll().is_pending());
    let told = w.machine.0.lock().unwrap().log.iter().filter(|line| line.starts_with("secured")).count();
    assert_eq!(told, 1);
}

#[test]
fn dropping_the_task_tells_the_machine() {
    let mut w = World::new();
    assert!(w.poll().is_pending());
    let machine = w.machine.clone();
    drop(w);
    assert_eq!(machine.0.lock().unwrap().log.last().unwrap(), "gone");
}

#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Engine<std::net::TcpStream, Scripted, Never>>();
    assert!(size <= 400, "{size}");
}
