//! Messages a second over loopback, one thread and one core each side: a plain `send_to` and `recv_from` loop, and
//! datagram sessions with and without many datagrams in one call. All in one run, since only ratios say much.
//!
//! Beside the rate stands what a message costs each side of processor time, and what rate that makes where both
//! sides have a core alone: on a busy machine the one to look at.
//!
//! `cargo bench -p bowline-udp --bench messages [-- WORD...]`: lines with these words alone.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bowline_driver::core::datagram::{
    Config, Counters, Delivery, Endpoint, Event, NoiseKeys, Security, SessionKey,
};
use bowline_driver::core::secure::SecretKey;
use bowline_driver::datagram::Batch;
use bowline_driver::{OsEntropy, clock};
use bowline_udp::Socket;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

const WARM_UP: Duration = Duration::from_millis(300);
const TIME: Duration = Duration::from_millis(1500);
const SEGMENTS: usize = 64;
/// A sender that may not send has so much more waiting at most.
const AHEAD: usize = 256 << 10;

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// This thread has that core, where there is one.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(None, &cores);
}

/// The processor's time that this thread has had.
fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// What a run has measured.
#[derive(Clone, Copy)]
struct Measured {
    /// Messages that arrived, a second.
    rate: f64,
    /// Nanoseconds of the processor that a message cost its sender, and its receiver.
    cost: [f64; 2],
}

impl Measured {
    /// Messages a second where the busier side has a core alone.
    fn alone(&self) -> f64 {
        1e9 / self.cost[0].max(self.cost[1])
    }
}

/// Time and messages since a moment, on one thread.
struct Meter {
    began: Instant,
    cpu: Duration,
    messages: u64,
}

impl Meter {
    fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu(), messages: 0 }
    }

    fn rate(&self) -> f64 {
        self.messages as f64 / self.began.elapsed().as_secs_f64()
    }

    fn cost(&self) -> f64 {
        cpu().saturating_sub(self.cpu).as_nanos() as f64 / self.messages.max(1) as f64
    }
}

/// One datagram a message, one call each way for each.
fn plain(size: usize) -> Measured {
    let (from, to) = (UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap());
    let address = to.local_addr().unwrap();
    to.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let sender = std::thread::spawn(move || {
        pin(1);
        let message = vec![7; size];
        let mut meter = Meter::start();
        while !stop.load(Ordering::Relaxed) {
            meter.messages += u64::from(from.send_to(&message, address).is_ok());
        }
        meter.cost()
    });
    let mut buffer = vec![0; 1 << 16];
    let mut meter = Meter::start();
    while meter.began.elapsed() < TIME {
        for _ in 0..64 {
            meter.messages += u64::from(to.recv_from(&mut buffer).is_ok());
        }
    }
    let (rate, receiving) = (meter.rate(), meter.cost());
    over.store(true, Ordering::Relaxed);
    Measured { rate, cost: [sender.join().unwrap(), receiving] }
}

/// An endpoint on a socket, driven by its own thread.
struct Side {
    endpoint: Endpoint,
    socket: Socket,
    batch: Batch,
    out: Vec<u8>,
}

impl Side {
    fn new(config: Config, accepting: bool, offload: bool) -> Self {
        let mut socket = Socket::bind(any()).unwrap();
        if !offload {
            socket = socket.without_offload();
        }
        let endpoint = Endpoint::new(config, OsEntropy, accepting);
        Self { endpoint, socket, batch: Batch::default(), out: Vec::new() }
    }

    /// What one call of the system brings, then all that is to be sent. Says whether anything came or went.
    fn turn(&mut self) -> bool {
        let received = self.socket.try_recv(&mut self.batch).is_ok();
        let now = clock::now();
        if received {
            for (from, ecn, datagram) in self.batch.datagrams() {
                self.endpoint.handle_datagram(now, from, ecn, datagram);
            }
        }
        self.send(now) || received
    }

    fn send(&mut self, now: bowline_driver::core::time::Instant) -> bool {
        if self.endpoint.poll_timeout().is_some_and(|due| due.at <= now) {
            self.endpoint.handle_timeout(now);
        }
        let mut sent = false;
        let segments = self.socket.max_segments().min(SEGMENTS);
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut self.out, segments) {
            while self.socket.try_send(&transmit, &self.out).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
            {
                self.wait_for(PollFlags::OUT, Duration::from_millis(10));
            }
            sent = true;
        }
        sent
    }

    /// Until something comes, or is due; as every runtime does.
    fn rest(&self) {
        let (due, now) = (self.endpoint.poll_timeout(), clock::now());
        let time = due.map_or(Duration::from_millis(10), |due| due.at.saturating_since(now));
        if !time.is_zero() {
            self.wait_for(PollFlags::IN, time.min(Duration::from_millis(10)));
        }
    }

    fn wait_for(&self, what: PollFlags, time: Duration) {
        let time = time.try_into().expect("a short time");
        let _ = poll(&mut [PollFd::new(self.socket.inner(), what)], Some(&time));
    }

    fn opened(&mut self) -> SessionKey {
        loop {
            if !self.turn() {
                self.rest();
            }
            match self.endpoint.poll_event() {
                Some(Event::Connected(key) | Event::Accepted(key)) => return key,
                Some(Event::Ended(_)) => panic!("it does not open"),
                _ => {}
            }
        }
    }
}

/// Sends as much as it may; the cost of a message, and what was counted.
fn send_all(mut side: Side, to: SocketAddr, size: usize, stop: &AtomicBool) -> (f64, Counters) {
    pin(1);
    side.endpoint.connect(clock::now(), to).unwrap();
    let key = side.opened();
    let message = vec![7; size];
    let mut meter = Meter::start();
    while !stop.load(Ordering::Relaxed) {
        let mut busy = side.turn();
        for _ in 0..256 {
            let full = side.endpoint.stats(key).is_none_or(|stats| stats.kept > AHEAD);
            if full || side.endpoint.max_message(key) < size {
                break;
            }
            side.endpoint.send_message(key, Delivery::Unreliable, &message).expect("it fits");
            meter.messages += 1;
            busy = true;
        }
        while side.endpoint.poll_event().is_some() {}
        if !busy {
            side.rest();
        }
    }
    (meter.cost(), *side.endpoint.counters())
}

/// How many messages a second arrive in a session, and what its sender has counted.
fn session([client, server]: [Config; 2], size: usize, offload: bool) -> (Measured, Counters) {
    let mut server = Side::new(server, true, offload);
    let to = server.socket.inner().local_addr().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let sender = std::thread::spawn(move || send_all(Side::new(client, false, offload), to, size, &stop));
    let key = server.opened();
    // The path's packet size is found out first.
    let (warm, mut meter, mut message) = (Instant::now(), None::<Meter>, Vec::new());
    loop {
        if !server.turn() {
            server.rest();
        }
        while server.endpoint.poll_event().is_some() {}
        let mut count = 0;
        while server.endpoint.recv_message(key, &mut message).is_some() {
            count += u64::from(message.len() == size);
        }
        match &mut meter {
            None if warm.elapsed() > WARM_UP => meter = Some(Meter::start()),
            None => {}
            Some(meter) => {
                meter.messages += count;
                if meter.began.elapsed() > TIME {
                    break;
                }
            }
        }
    }
    let meter = meter.expect("it has begun");
    let (rate, receiving) = (meter.rate(), meter.cost());
    over.store(true, Ordering::Relaxed);
    let (sending, counters) = sender.join().unwrap();
    (Measured { rate, cost: [sending, receiving] }, counters)
}

fn configs(secured: bool, datagram: u16) -> [Config; 2] {
    let server = SecretKey::generate(&mut OsEntropy);
    let client = NoiseKeys::new().own(SecretKey::generate(&mut OsEntropy)).server(server.public());
    [client, NoiseKeys::new().own(server)].map(|keys| {
        let security = if secured { Security::Noise(Arc::new(keys)) } else { Security::Insecure };
        let mut config = Config::new(security);
        config.max_datagram = datagram;
        config.messages = 1 << 16;
        config.message_octets = 8 << 20;
        config
    })
}

fn show(what: &str, measured: &Measured, base: &Measured, more: &str) {
    let Measured { rate, cost: [sending, receiving] } = measured;
    println!(
        "{what}: {rate:.0} a second, {:.2} times; {sending:.0} and {receiving:.0} ns a message, alone {:.0} a \
         second, {:.2} times{more}",
        rate / base.rate,
        measured.alone(),
        measured.alone() / base.alone()
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    pin(0);
    for size in [64, 1200] {
        if words.iter().any(|word| word.parse().is_ok_and(|n: usize| n < 1400 && n != size)) {
            continue;
        }
        let base = plain(size);
        show(&format!("{size} octets: send_to and recv_from"), &base, &base, "");
        for (secured, datagram, offload) in [
            (true, 1452, true),
            (true, 1452, false),
            (false, 1452, true),
            (false, 1452, false),
            (true, 9000, true),
            (false, 9000, true),
        ] {
            let by = if secured { "Noise" } else { "insecure" };
            let how = if offload { "GSO and GRO" } else { "without" };
            let what = format!("{size} octets: {by}, datagrams up to {datagram}, {how}");
            if !words.iter().all(|word| what.contains(word)) {
                continue;
            }
            let (measured, counters) = session(configs(secured, datagram), size, offload);
            let lost = counters.lost as f64 * 100.0 / counters.eliciting.max(1) as f64;
            show(&what, &measured, &base, &format!("; {lost:.2} % lost"));
        }
    }
}
