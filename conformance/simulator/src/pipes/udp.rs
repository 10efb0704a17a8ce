//! A session in datagrams, secured by Noise, on a path that is not careful with them.

use std::sync::Arc;
use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::datagram::{Config, Endpoint, Event, NoiseKeys, Security, SessionKey};
use bowline_core::entropy::Seeded;
use bowline_core::secure::SecretKey;

use super::{End, ROOM};
use crate::datagrams::{CLIENT, Path, SERVER, Wire};
use crate::pipe::Quality;
use crate::rng::Rng;

/// All of 10,000 datagrams.
const ALL: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Udp {
    wire: Wire,
    /// The client's and the server's.
    keys: [Option<SessionKey>; 2],
    /// Nothing more can be read there.
    over: [bool; 2],
    /// What this end writes is lost for good.
    dead: [bool; 2],
    /// The path when all is well.
    path: Path,
}

impl Udp {
    pub(super) fn new(quality: &Quality, now: u64, rng: &mut Rng) -> Self {
        let path = Path {
            jitter: Duration::from_nanos(quality.jitter),
            loss: rng.below(300),
            duplication: rng.below(200),
            corruption: rng.below(100),
            mtu: rng.range(1200, 1500) as usize,
            ..Path::clean(Duration::from_nanos(quality.latency))
        };
        let seed = rng.next();
        let config = |n: u64| {
            let key = SecretKey::generate(&mut Seeded::new(seed ^ n));
            Config::new(Security::Noise(Arc::new(NoiseKeys::new().own(key))))
        };
        let mut wire = Wire::new(seed, &config(1), path);
        wire.sides[SERVER].endpoint = Endpoint::new(config(2), Seeded::new(seed ^ 3), true);
        wire.now = now;
        let (at, to) = (wire.instant(), wire.sides[SERVER].address);
        let client = wire.sides[CLIENT].endpoint.connect(at, to).ok();
        wire.flush();
        Self { wire, keys: [client, None], over: [client.is_none(); 2], dead: [false; 2], path }
    }

    /// Whatever has happened by now.
    fn turn(&mut self, now: u64) {
        while self.wire.step(now) {}
        for side in [CLIENT, SERVER] {
            for event in std::mem::take(&mut self.wire.sides[side].events) {
                match event {
                    Event::Accepted(key) if side == SERVER => self.keys[SERVER] = Some(key),
                    // One that never opened has nothing to read its end from.
                    Event::Ended(key) if self.keys[side] == Some(key) && side == CLIENT => {
                        self.over[side] |= self.keys[SERVER].is_none();
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.wire.next().unwrap_or(u64::MAX)
    }

    pub(super) const fn is_over(&self, end: End) -> bool {
        self.over[end as usize]
    }

    pub(super) fn read(&mut self, end: End, now: u64, room: usize, into: &mut GrowingRecvBuf) -> usize {
        self.turn(now);
        let side = end as usize;
        let Some(key) = self.keys[side] else { return 0 };
        let mut read = 0;
        while read < room && !self.over[side] {
            let spare = into.spare(ROOM);
            let most = spare.len().min(room - read);
            if most == 0 {
                break;
            }
            match self.wire.sides[side].endpoint.read(key, &mut spare[..most]) {
                Some(Ok(n)) if n > 0 => {
                    into.commit(n);
                    read += n;
                }
                Some(_) => self.over[side] = true,
                None => break,
            }
        }
        self.wire.flush();
        read
    }

    pub(super) fn write(&mut self, end: End, now: u64, out: &mut SharedSendBuf) -> (usize, bool) {
        self.turn(now);
        let side = end as usize;
        let Some(key) = self.keys[side] else { return (0, false) };
        let mut taken = 0;
        while !out.is_empty() {
            let Some(piece) = out.slices().next() else { break };
            // Where it is over, nobody reads it.
            let n = self.wire.sides[side].endpoint.write(key, piece).unwrap_or(piece.len());
            out.sent(n);
            taken += n;
            if n == 0 {
                break;
            }
        }
        self.wire.flush();
        (taken, taken > 0)
    }

    pub(super) fn finish(&mut self, end: End, now: u64) {
        self.turn(now);
        if let Some(key) = self.keys[end as usize] {
            self.wire.sides[end as usize].endpoint.finish(key);
        }
        self.wire.flush();
    }

    pub(super) fn release(&mut self, end: End, now: u64) {
        self.turn(now);
        let at = self.wire.instant();
        if let Some(key) = self.keys[end as usize] {
            self.wire.sides[end as usize].endpoint.release(at, key);
        }
        self.wire.flush();
    }

    pub(super) fn abort(&mut self, end: End, now: u64) {
        self.turn(now);
        let at = self.wire.instant();
        if let Some(key) = self.keys[end as usize] {
            self.wire.sides[end as usize].endpoint.close(at, key, 1, "");
        }
        self.wire.flush();
    }

    pub(super) fn kill(&mut self, end: End) {
        self.dead[end as usize] = true;
        self.wire.links[end as usize].path.loss = ALL;
    }

    /// What is on its way still arrives; what is written now is lost, and said again.
    pub(super) fn stall(&mut self, end: End) {
        self.wire.links[end as usize].path.loss = ALL;
    }

    pub(super) fn slow(&mut self, per_octet: u64) {
        for link in &mut self.wire.links {
            (link.path.rate, link.path.queue) = (1_000_000_000 / per_octet.max(1), 10_000);
        }
    }

    pub(super) fn heal(&mut self) {
        for (link, dead) in self.wire.links.iter_mut().zip(self.dead) {
            link.path = Path { loss: if dead { ALL } else { self.path.loss }, ..self.path };
        }
    }

    pub(super) fn rebind(&mut self) {
        let address = &mut self.wire.sides[CLIENT].address;
        address.set_port(address.port() % 60_000 + 1);
    }
}
