//! Two endpoints of datagram sessions, a path that does what the input says, and a hostile third.
//!
//! Whatever happens: nothing panics, what is read is what was written, no message comes twice, memory is bounded,
//! and no octet of the third ends a session.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::datagram::{Config, Delivery, Ecn, Ended, Endpoint, Event, Security, SessionKey};
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;

/// So many datagrams are on the way at most.
const WAY: usize = 64;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Lets the oldest datagram on the way to a side arrive.
    Arrive(bool),
    Lose(bool),
    Duplicate(bool),
    /// Puts the oldest behind the others.
    Overtake(bool),
    /// Changes an octet of the oldest: on a way without security only the check finds it. And, by two bits of
    /// `xor`, the mark in its IP header, which nothing finds.
    Corrupt {
        to_server: bool,
        at: u16,
        xor: u8,
    },
    Write {
        by_server: bool,
        octets: u16,
    },
    Read {
        by_server: bool,
        octets: u16,
    },
    Message {
        by_server: bool,
        key: Option<u8>,
        octets: u16,
    },
    Wait(u16),
    /// The client is seen at another address from now on.
    Move(u8),
    /// Octets of the third's own; `first` is what a packet could begin with.
    Hostile {
        to_server: bool,
        first: u8,
        octets: Vec<u8>,
        spoofed: bool,
    },
    /// A datagram that was on the way before, from the third.
    Replay {
        to_server: bool,
        which: u8,
    },
    Finish(bool),
}

struct Side {
    endpoint: Endpoint,
    session: Option<SessionKey>,
    /// On the way to it.
    way: VecDeque<(SocketAddr, Ecn, Vec<u8>)>,
    wrote: u64,
    read: u64,
    /// Numbers of messages.
    sent: u32,
    got: Vec<u32>,
    finished: bool,
}

impl Side {
    fn new(seed: u64, accepting: bool) -> Self {
        let mut config = Config::new(Security::Insecure);
        (config.messages, config.message_octets, config.idle) = (32, 16 << 10, Duration::from_secs(300));
        config.handshake = Duration::from_secs(300);
        Self {
            endpoint: Endpoint::new(config, Seeded::new(seed), accepting),
            session: None,
            way: VecDeque::new(),
            wrote: 0,
            read: 0,
            sent: 0,
            got: Vec::new(),
            finished: false,
        }
    }
}

struct World {
    now: Instant,
    sides: [Side; 2],
    addresses: [SocketAddr; 2],
    seen: Vec<(usize, Vec<u8>)>,
    /// A session has ended. What the other side, which does not know that yet, says from here on may begin
    /// another, of which this world keeps no account.
    over: bool,
    /// The client's session is open.
    connected: bool,
}

impl World {
    fn new() -> Self {
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 1)), SocketAddr::from(([192, 0, 2, 2], 2))];
        let mut world = Self {
            now: Instant::ZERO,
            sides: [Side::new(1, false), Side::new(2, true)],
            addresses,
            seen: Vec::new(),
            over: false,
            connected: false,
        };
        let key = world.sides[0].endpoint.connect(world.now, addresses[1]).expect("room");
        world.sides[0].session = Some(key);
        world.settle();
        world
    }

    fn settle(&mut self) {
        let mut buffer = Vec::new();
        for n in [0, 1] {
            let from = self.addresses[n];
            let to = self.addresses[1 - n];
            for _ in 0..256 {
                let Some(transmit) = self.sides[n].endpoint.poll_transmit(self.now, &mut buffer, 4) else {
                    break;
                };
                assert!(transmit.segment > 0 && buffer.len() <= 4 * transmit.segment);
                for packet in buffer.chunks(transmit.segment) {
                    if self.seen.len() < 32 {
                        self.seen.push((1 - n, packet.to_vec()));
                    }
                    if transmit.to == to && self.sides[1 - n].way.len() < WAY {
                        self.sides[1 - n].way.push_back((from, transmit.ecn, packet.to_vec()));
                    }
                }
            }
            let side = &mut self.sides[n];
            while let Some(event) = side.endpoint.poll_event() {
                match event {
                    Event::Accepted(key) => {
                        assert!(self.over || side.session.is_none(), "one session");
                        side.session = Some(key);
                    }
                    Event::Connected(_) => self.connected = true,
                    Event::Message(key) => {
                        let mut message = Vec::new();
                        while side.endpoint.recv_message(key, &mut message).is_some() {
                            let number = u32::from_be_bytes(*message.first_chunk().expect("a number"));
                            assert!(!side.got.contains(&number), "{number} came twice");
                            side.got.push(number);
                        }
                    }
                    Event::Ended(key) => {
                        let why = side.endpoint.ended(key).expect("it has");
                        assert!(
                            matches!(why, Ended::Idle | Ended::Handshake | Ended::Forgotten),
                            "{why}: nobody ended it"
                        );
                        self.over = true;
                    }
                    _ => {}
                }
            }
            assert!(side.endpoint.sessions() <= 1);
        }
    }

    fn step(&mut self, step: Step) {
        let side = |to_server: bool| usize::from(to_server);
        match step {
            Step::Arrive(to) => {
                let to = &mut self.sides[side(to)];
                if let Some((from, ecn, octets)) = to.way.pop_front() {
                    to.endpoint.handle_datagram(self.now, from, ecn, &octets);
                }
            }
            Step::Lose(to) => drop(self.sides[side(to)].way.pop_front()),
            Step::Duplicate(to) => {
                let way = &mut self.sides[side(to)].way;
                way.extend(way.front().cloned());
            }
            Step::Overtake(to) => {
                let way = &mut self.sides[side(to)].way;
                let first = way.pop_front();
                way.extend(first);
            }
            Step::Corrupt { to_server, at, xor } => {
                let first = self.sides[side(to_server)].way.front_mut();
                // A refusal is three octets that anyone on the way can make up.
                if let Some((_, ecn, octets)) = first.filter(|(.., octets)| octets[0] < 0xc0) {
                    *ecn = Ecn::from_bits(ecn.bits() ^ (xor >> 6));
                    let at = usize::from(at) % octets.len();
                    octets[at] ^= xor & 0x3f;
                }
            }
            Step::Write { by_server, octets } => self.write(side(by_server), octets),
            Step::Read { by_server, octets } => self.read(side(by_server), octets),
            Step::Message { by_server, key, octets } => {
                let side = &mut self.sides[side(by_server)];
                if let Some(session) = side.session {
                    let mut message = side.sent.to_be_bytes().to_vec();
                    message.resize(4 + usize::from(octets) % 1400, 7);
                    let delivery = match key {
                        Some(key) => Delivery::Sequenced { key: key.into() },
                        None => Delivery::Unreliable,
                    };
                    side.sent += u32::from(side.endpoint.send_message(session, delivery, &message).is_ok());
                }
            }
            Step::Wait(ms) => {
                self.now = self.now + Duration::from_millis(u64::from(ms) % 2000);
                self.sides.iter_mut().for_each(|side| side.endpoint.handle_timeout(self.now));
            }
            // Who moves before its session is open asks for another from there.
            Step::Move(port) if self.connected => self.addresses[0].set_port(1 + u16::from(port)),
            Step::Move(_) => {}
            Step::Hostile { to_server, first, mut octets, spoofed } => {
                let to = side(to_server);
                let from =
                    if spoofed { self.addresses[1 - to] } else { SocketAddr::from(([203, 0, 113, 9], 9)) };
                octets.insert(0, [0x40, 0x41, 0xc0, 0xc1, 0xc2, 0xc3][usize::from(first) % 6]);
                // The ids of others are not known to it: what it guesses is another's.
                octets.iter_mut().skip(1).take(1).for_each(|octet| *octet |= 1);
                if octets.len() % 7 == 0 {
                    octets.resize(1200, 0);
                }
                self.sides[to].endpoint.handle_datagram(self.now, from, Ecn::Ce, &octets);
            }
            Step::Replay { to_server, which } => {
                let from = SocketAddr::from(([203, 0, 113, 9], 9));
                if let Some((to, octets)) =
                    self.seen.get(usize::from(which)).filter(|(to, _)| *to == side(to_server))
                {
                    self.sides[*to].endpoint.handle_datagram(self.now, from, Ecn::Ect0, octets);
                }
            }
            Step::Finish(by_server) => {
                let side = &mut self.sides[side(by_server)];
                if let Some(session) = side.session {
                    side.endpoint.finish(session);
                    side.finished = true;
                }
            }
        }
        self.settle();
    }

    fn write(&mut self, side: usize, octets: u16) {
        let side = &mut self.sides[side];
        let Some(session) = side.session else { return };
        let octets: Vec<u8> = (0..u64::from(octets)).map(|n| ((side.wrote + n) % 251) as u8).collect();
        if let Ok(n) = side.endpoint.write(session, &octets) {
            assert!(!side.finished || n == 0 || octets.is_empty());
            side.wrote += n as u64;
        }
    }

    fn read(&mut self, side: usize, octets: u16) {
        let wrote = self.sides[1 - side].wrote;
        let side = &mut self.sides[side];
        let Some(session) = side.session else { return };
        let mut to = vec![0; usize::from(octets)];
        if let Some(Ok(n)) = side.endpoint.read(session, &mut to) {
            for octet in &to[..n] {
                assert_eq!(u64::from(*octet), side.read % 251);
                side.read += 1;
            }
        }
        assert!(side.read <= wrote, "nothing comes that nobody wrote");
    }
}

/// See the module.
pub fn datagram(data: &[u8]) {
    let mut world = World::new();
    let mut input = Unstructured::new(data);
    for _ in 0..400 {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(step);
        if world.over {
            break;
        }
    }
}
