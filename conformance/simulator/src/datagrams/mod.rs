//! Two endpoints of datagram sessions and the path between them, in one thread on virtual time.

mod link;

use std::net::SocketAddr;

use bowline_core::datagram::{Config, Endpoint, Event, SessionKey};
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;

pub use link::{Flying, Link, Marks, Path};

/// Packets that one write takes.
const SEGMENTS: usize = 16;

/// A side: its endpoint, the address that others see, and what it was told.
#[derive(Debug)]
pub struct Side {
    /// The machine.
    pub endpoint: Endpoint,
    /// Where others see it; change it, and its NAT has.
    pub address: SocketAddr,
    /// What happened and was not taken yet.
    pub events: Vec<Event>,
    /// Octets that it has sent, and received, whatever became of them.
    pub octets: [u64; 2],
}

/// A client, a server, and the path between them.
#[derive(Debug)]
pub struct Wire {
    /// In nanoseconds.
    pub now: u64,
    /// The client and the server.
    pub sides: [Side; 2],
    /// From the client, and from the server.
    pub links: [Link; 2],
    buffer: Vec<u8>,
}

/// The client's place in [`Wire::sides`].
pub const CLIENT: usize = 0;
/// The server's.
pub const SERVER: usize = 1;

impl Wire {
    /// Two endpoints with nothing between them yet.
    ///
    /// # Panics
    ///
    /// Never: the addresses are well formed.
    #[must_use]
    pub fn new(seed: u64, config: &Config, path: Path) -> Self {
        let side = |n: u64, address: &str| Side {
            endpoint: Endpoint::new(config.clone(), Seeded::new(seed ^ n), n == 1),
            address: address.parse().expect("an address"),
            events: Vec::new(),
            octets: [0; 2],
        };
        Self {
            now: 0,
            sides: [side(0, "192.0.2.1:1000"), side(1, "198.51.100.1:7790")],
            links: [Link::new(path, seed ^ 0xc11e), Link::new(path, seed ^ 0x5e4e)],
            buffer: Vec::new(),
        }
    }

    /// The time, as machines have it.
    #[must_use]
    pub const fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// Opens a session, and runs until both sides have it, for at most so long.
    pub fn connect(&mut self, patience_ms: u64) -> Option<[SessionKey; 2]> {
        let (now, to) = (self.instant(), self.sides[SERVER].address);
        let key = self.sides[CLIENT].endpoint.connect(now, to).ok()?;
        let until = self.now + patience_ms * 1_000_000;
        let mut found = [None, None];
        while found.iter().any(Option::is_none) {
            for (side, found) in self.sides.iter_mut().zip(&mut found) {
                for event in side.events.drain(..) {
                    match event {
                        Event::Connected(k) | Event::Accepted(k) => *found = Some(k),
                        Event::Ended(k) if k == key => return None,
                        _ => {}
                    }
                }
            }
            if found.iter().any(Option::is_none) && !self.step(until) {
                return None;
            }
        }
        Some([found[0]?, found[1]?])
    }

    /// Lets everything out that is to go out now.
    pub fn flush(&mut self) {
        let now = self.instant();
        for n in [CLIENT, SERVER] {
            let to = self.sides[1 - n].address;
            let side = &mut self.sides[n];
            while let Some(transmit) = side.endpoint.poll_transmit(now, &mut self.buffer, SEGMENTS) {
                for packet in self.buffer.chunks(transmit.segment) {
                    side.octets[0] += packet.len() as u64;
                    // What goes to an address that the other no longer has goes nowhere.
                    if transmit.to == to {
                        let flying =
                            Flying { from: side.address, to, ecn: transmit.ecn, octets: packet.to_vec() };
                        self.links[n].send(self.now, flying);
                    }
                }
            }
            side.events.extend(std::iter::from_fn(|| side.endpoint.poll_event()));
        }
    }

    /// When the next thing happens, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let timers =
            self.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).map(|d| d.at.as_nanos());
        self.links.iter().filter_map(Link::next).chain(timers).min()
    }

    /// Goes to the next thing that happens. Not beyond `until`: then nothing has, and it is `until`.
    pub fn step(&mut self, until: u64) -> bool {
        self.flush();
        let Some(next) = self.next().filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        let now = self.instant();
        for n in [CLIENT, SERVER] {
            while let Some(flying) = self.links[n].arrive(self.now) {
                let to = &mut self.sides[1 - n];
                to.octets[1] += flying.octets.len() as u64;
                to.endpoint.handle_datagram(now, flying.from, flying.ecn, &flying.octets);
            }
        }
        for side in &mut self.sides {
            if side.endpoint.poll_timeout().is_some_and(|d| d.at <= now) {
                side.endpoint.handle_timeout(now);
            }
        }
        self.flush();
        true
    }

    /// Runs for so long.
    pub fn run(&mut self, ms: u64) {
        let until = self.now + ms * 1_000_000;
        while self.step(until) {}
    }
}
