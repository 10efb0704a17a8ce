//! Messages a second over loopback, one thread each side: a plain `send_to` and `recv_from` loop, and datagram
//! sessions with and without many datagrams in one call. All in one run, since only ratios say much.
//!
//! `cargo bench -p bowline-udp --bench messages`

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bowline_driver::core::datagram::{Config, Delivery, Endpoint, Event, NoiseKeys, Security, SessionKey};
use bowline_driver::core::secure::SecretKey;
use bowline_driver::datagram::Batch;
use bowline_driver::{OsEntropy, clock};
use bowline_udp::Socket;

const TIME: Duration = Duration::from_millis(1500);
const SEGMENTS: usize = 64;

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// One datagram a message, one call each way for each.
fn plain(size: usize) -> f64 {
    let (from, to) = (UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap());
    let address = to.local_addr().unwrap();
    to.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let sender = std::thread::spawn(move || {
        let message = vec![7; size];
        while !stop.load(Ordering::Relaxed) {
            let _ = from.send_to(&message, address);
        }
    });
    let mut buffer = vec![0; 1 << 16];
    let (start, mut count) = (Instant::now(), 0u64);
    while start.elapsed() < TIME {
        for _ in 0..64 {
            count += u64::from(to.recv_from(&mut buffer).is_ok());
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    rate
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

    fn turn(&mut self) {
        while self.socket.try_recv(&mut self.batch).is_ok() {
            let now = clock::now();
            for (from, datagram) in self.batch.datagrams() {
                self.endpoint.handle_datagram(now, from, datagram);
            }
            self.send();
        }
        self.send();
    }

    fn send(&mut self) {
        let now = clock::now();
        if self.endpoint.poll_timeout().is_some_and(|due| due.at <= now) {
            self.endpoint.handle_timeout(now);
        }
        let segments = self.socket.max_segments().min(SEGMENTS);
        while let Some(transmit) = self.endpoint.poll_transmit(now, &mut self.out, segments) {
            while self.socket.try_send(&transmit, &self.out).is_err() {
                std::thread::yield_now();
            }
        }
    }

    fn opened(&mut self) -> SessionKey {
        loop {
            self.turn();
            match self.endpoint.poll_event() {
                Some(Event::Connected(key) | Event::Accepted(key)) => return key,
                Some(Event::Ended(_)) => panic!("it does not open"),
                _ => {}
            }
        }
    }
}

/// How many messages a second arrive in a session, and how many of its datagrams were lost.
fn session([client, server]: [Config; 2], size: usize, offload: bool) -> (f64, f64) {
    let mut server = Side::new(server, true, offload);
    let to = server.socket.inner().local_addr().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let lost = Arc::new(AtomicU64::new(0));
    let (stop, losses) = (Arc::clone(&over), Arc::clone(&lost));
    let sender = std::thread::spawn(move || {
        let mut side = Side::new(client, false, offload);
        side.endpoint.connect(clock::now(), to).unwrap();
        let key = side.opened();
        let message = vec![7; size];
        while !stop.load(Ordering::Relaxed) {
            side.turn();
            for _ in 0..256 {
                let full = side.endpoint.stats(key).is_none_or(|stats| stats.kept > 512 << 10);
                if full || side.endpoint.max_message(key) < size {
                    break;
                }
                side.endpoint.send_message(key, Delivery::Unreliable, &message).expect("it fits");
            }
            while side.endpoint.poll_event().is_some() {}
        }
        let counters = side.endpoint.counters();
        losses.store(counters.lost * 10_000 / counters.eliciting.max(1), Ordering::Relaxed);
    });
    let key = server.opened();
    let mut warm = Instant::now();
    let (mut start, mut count) = (warm, 0u64);
    loop {
        server.turn();
        while server.endpoint.poll_event().is_some() {}
        while let Some((_, message)) = server.endpoint.recv_message(key) {
            count += u64::from(message.len() == size);
        }
        // The path's packet size is found out first.
        if warm == start && warm.elapsed() > Duration::from_millis(300) {
            (start, count) = (Instant::now(), 0);
            warm = Instant::now() - TIME;
        } else if warm != start && start.elapsed() > TIME {
            break;
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    (rate, lost.load(Ordering::Relaxed) as f64 / 100.0)
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

fn main() {
    for size in [64, 1200] {
        let base = plain(size);
        println!("{size} octets: send_to and recv_from {base:.0} a second");
        for (secured, datagram, offload) in [
            (true, 1452, true),
            (true, 1452, false),
            (false, 1452, true),
            (false, 1452, false),
            (true, 9000, true),
            (false, 9000, true),
        ] {
            let (rate, lost) = session(configs(secured, datagram), size, offload);
            let by = if secured { "Noise" } else { "plain" };
            let how = if offload { "GSO and GRO" } else { "without" };
            println!(
                "{size} octets: {by}, datagrams up to {datagram}, {how}: {rate:.0} a second, {:.2} times, {lost} % lost",
                rate / base
            );
        }
    }
}
