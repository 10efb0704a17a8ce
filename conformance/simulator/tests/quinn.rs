//! The same bulk over the same simulated path as quinn-proto, which is what ours is measured by.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_core::datagram::{Config, Ecn, Security};
use bowline_simulator::datagrams::{CLIENT, Flying, Link, Path, SERVER, Wire};
use quinn_proto as quinn;

/// A side of quinn's: an endpoint and its one connection.
struct Side {
    endpoint: quinn::Endpoint,
    connection: Option<(quinn::ConnectionHandle, quinn::Connection)>,
    address: SocketAddr,
}

struct World {
    base: Instant,
    now: u64,
    sides: [Side; 2],
    links: [Link; 2],
}

fn configs() -> (quinn::ServerConfig, quinn::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["simulated".into()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let server = quinn::ServerConfig::with_single_cert(vec![certificate], key.into()).expect("a server");
    let client = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).expect("a client");
    (server, client)
}

impl World {
    fn new(seed: u64, path: Path) -> Self {
        let (server, client) = configs();
        let base = Instant::now();
        let side = |server: Option<quinn::ServerConfig>, address: &str| Side {
            endpoint: quinn::Endpoint::new(
                Arc::new(quinn::EndpointConfig::default()),
                server.map(Arc::new),
                true,
                Some([seed as u8; 32]),
            ),
            connection: None,
            address: address.parse().expect("an address"),
        };
        let mut sides = [side(None, "192.0.2.1:1000"), side(Some(server), "198.51.100.1:7790")];
        let to = sides[1].address;
        sides[0].connection =
            Some(sides[0].endpoint.connect(base, client, to, "simulated").expect("it tries"));
        let links = [Link::new(path, seed ^ 0xc11e), Link::new(path, seed ^ 0x5e4e)];
        Self { base, now: 0, sides, links }
    }

    fn at(&self) -> Instant {
        self.base + Duration::from_nanos(self.now)
    }

    fn flush(&mut self) {
        let now = self.at();
        for n in 0..2 {
            let to = self.sides[1 - n].address;
            let side = &mut self.sides[n];
            let Some((handle, connection)) = &mut side.connection else { continue };
            loop {
                while let Some(event) = connection.poll_endpoint_events() {
                    if let Some(event) = side.endpoint.handle_event(*handle, event) {
                        connection.handle_event(event);
                    }
                }
                let mut buffer = Vec::new();
                let Some(transmit) = connection.poll_transmit(now, 16, &mut buffer) else { break };
                let segment = transmit.segment_size.unwrap_or(transmit.size);
                for packet in buffer[..transmit.size].chunks(segment) {
                    let flying = Flying {
                        from: side.address,
                        to,
                        ecn: transmit.ecn.map_or(Ecn::NotEct, |ecn| Ecn::from_bits(ecn as u8)),
                        octets: packet.to_vec(),
                    };
                    self.links[n].send(self.now, flying);
                }
            }
        }
    }

    fn arrive(&mut self, n: usize, flying: &Flying) {
        let now = self.at();
        let side = &mut self.sides[n];
        let mut answer = Vec::new();
        let ecn = quinn::EcnCodepoint::from_bits(flying.ecn.bits());
        let data = flying.octets.as_slice().into();
        match side.endpoint.handle(now, flying.from, None, ecn, data, &mut answer) {
            Some(quinn::DatagramEvent::ConnectionEvent(_, event)) => {
                side.connection.as_mut().expect("its own").1.handle_event(event);
            }
            Some(quinn::DatagramEvent::NewConnection(incoming)) => {
                side.connection = side.endpoint.accept(incoming, now, &mut answer, None).ok();
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.flush();
        let base = self.base;
        let timers = self.sides.iter_mut().filter_map(|side| side.connection.as_mut()?.1.poll_timeout());
        let timers = timers.map(|at| at.saturating_duration_since(base).as_nanos() as u64);
        let next = self.links.iter().filter_map(Link::next).chain(timers).min().expect("it goes on");
        self.now = self.now.max(next);
        for n in 0..2 {
            while let Some(flying) = self.links[n].arrive(self.now) {
                self.arrive(1 - n, &flying);
            }
        }
        let now = self.at();
        for side in &mut self.sides {
            if let Some((_, connection)) = &mut side.connection
                && connection.poll_timeout().is_some_and(|at| at <= now)
            {
                connection.handle_timeout(now);
            }
        }
        self.flush();
    }

    /// Octets a second.
    fn bulk(mut self, total: usize) -> f64 {
        let chunk = vec![7; 1 << 16];
        let (mut wrote, mut read) = (0, 0);
        let (mut start, mut stream) = (None, None);
        let mut incoming = VecDeque::new();
        while read < total {
            let (_, client) = self.sides[CLIENT].connection.as_mut().expect("its own");
            if stream.is_none() && !client.is_handshaking() {
                stream = client.streams().open(quinn::Dir::Uni);
                start = Some(self.now);
            }
            if let Some(id) = stream {
                while wrote < total {
                    match client.send_stream(id).write(&chunk[..chunk.len().min(total - wrote)]) {
                        Ok(n) => wrote += n,
                        Err(_) => break,
                    }
                }
            }
            while client.poll().is_some() {}
            if let Some((_, server)) = self.sides[SERVER].connection.as_mut() {
                while server.poll().is_some() {}
                incoming.extend(server.streams().accept(quinn::Dir::Uni));
                if let Some(id) = incoming.front() {
                    let mut stream = server.recv_stream(*id);
                    if let Ok(mut chunks) = stream.read(true) {
                        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                            read += chunk.bytes.len();
                        }
                        let _ = chunks.finalize();
                    }
                }
            }
            self.step();
        }
        total as f64 / ((self.now - start.expect("it began")) as f64 / 1e9)
    }
}

/// Ours, in octets a second.
fn ours(seed: u64, path: Path, total: usize) -> f64 {
    let mut wire = Wire::new(seed, &Config::new(Security::Insecure), path);
    let [client, server] = wire.connect(30_000).expect("it opens");
    let (start, until) = (wire.now, wire.now + 3_600_000_000_000);
    let (mut wrote, mut read) = (0, 0);
    let chunk = vec![7; 1 << 16];
    let mut to = vec![0; 1 << 16];
    while read < total {
        while wrote < total {
            let piece = &chunk[..chunk.len().min(total - wrote)];
            let n = wire.sides[CLIENT].endpoint.write(client, piece).expect("it is open");
            if n == 0 {
                break;
            }
            wrote += n;
        }
        while let Some(n) = wire.sides[SERVER].endpoint.read(server, &mut to) {
            read += n.expect("it is open");
        }
        wire.sides.iter_mut().for_each(|side| side.events.clear());
        assert!(wire.step(until), "it goes on: {read} of {total}");
    }
    total as f64 / ((wire.now - start) as f64 / 1e9)
}

/// The mean of `seeds` transfers each: ours and quinn's.
fn compare(name: &str, path: Path, total: usize, seeds: u64) -> f64 {
    let mean = |of: &dyn Fn(u64) -> f64| (1..=seeds).map(of).sum::<f64>() / seeds as f64;
    let (us, them) =
        (mean(&|seed| ours(seed, path, total)), mean(&|seed| World::new(seed, path).bulk(total)));
    println!("{name}: ours {:.0} kB/s, quinn-proto {:.0} kB/s, {:.2} of it", us / 1e3, them / 1e3, us / them);
    us / them
}

#[test]
fn bulk_at_one_percent_loss_and_fifty_milliseconds() {
    // Both ways to read it: 50 ms there and back, and 50 ms each way.
    for delay in [25, 50] {
        let path = Path::lossy(Duration::from_millis(delay), 100);
        let ratio = compare(&format!("1 % loss, {delay} ms each way"), path, 8 << 20, 12);
        assert!(ratio > 0.8, "{ratio}");
    }
}

#[test]
fn bulk_through_a_narrow_queue() {
    let path = Path { rate: 1 << 20, queue: 64 << 10, ..Path::clean(Duration::from_millis(20)) };
    let ratio = compare("1 MiB/s, 64 KiB queue, 20 ms each way", path, 8 << 20, 3);
    assert!(ratio > 0.8, "{ratio}");
}

/// Both hear of congestion by ECN here, and lose nothing for it.
#[test]
fn bulk_through_a_queue_that_marks() {
    let narrow = Path { rate: 1 << 20, queue: 96 << 10, ..Path::clean(Duration::from_millis(20)) };
    let path = Path { mark_above: 24 << 10, ..narrow };
    let ratio = compare("1 MiB/s, marked above 24 KiB, 20 ms each way", path, 8 << 20, 3);
    assert!(ratio > 0.8, "{ratio}");
}
