//! Connections that behave badly, beside a healthy client on the same thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddrV4;

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::fleet::connect;
use crate::wire::Attack;

/// Connections opened, or writes done, in one call: the healthy client waits meanwhile.
const PER_STEP: usize = 16;
/// One that is to come back, or cannot write now, waits so long.
const PAUSE: u64 = 50_000_000;
const RETRY: u64 = 1_000_000;
/// How often ended connections are looked for.
const LOOK_EVERY: u64 = 1_000_000;

/// How they behave.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What they send.
    pub(crate) attack: Attack,
    /// Octets a write.
    pub(crate) chunk: usize,
    /// Nanoseconds between two writes of a connection.
    pub(crate) every: u64,
    /// Writes in one step.
    pub(crate) per_step: usize,
    /// Octets a second of all of them together, at most.
    pub(crate) rate: u64,
    /// Come back when they were closed.
    pub(crate) reopen: bool,
    /// Drop the connection after the opening and one repetition.
    pub(crate) hang_up: bool,
}

#[derive(Debug, Default)]
struct Slot {
    fd: Option<OwnedFd>,
    opened: u64,
    /// Octets of the script that were sent.
    at: usize,
    /// The opening was sent, and is not answered yet.
    waits: bool,
}

/// A crowd of bad connections.
pub(crate) struct Attackers {
    script: Script,
    address: SocketAddrV4,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    /// Whose turn is when.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    wanted: usize,
    looked: u64,
    /// When the first step was.
    began: Option<u64>,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
    /// Connections that the server ended, how soon each, and those that could not be made.
    pub(crate) closed: u64,
    pub(crate) lifetimes: Vec<f64>,
    pub(crate) refused: u64,
    /// Connections made, and octets sent.
    pub(crate) opened: u64,
    pub(crate) octets: u64,
}

impl Attackers {
    pub(crate) fn new(address: SocketAddrV4, wanted: usize, script: Script) -> io::Result<Self> {
        Ok(Self {
            script,
            address,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: Vec::new(),
            queue: BinaryHeap::new(),
            wanted,
            looked: 0,
            began: None,
            events: Vec::with_capacity(256),
            scratch: vec![0; 64 << 10],
            closed: 0,
            lifetimes: Vec::new(),
            refused: 0,
            opened: 0,
            octets: 0,
        })
    }

    /// Whether all have been opened once.
    pub(crate) fn is_complete(&self) -> bool {
        self.slots.len() == self.wanted
    }

    /// How many are connected.
    pub(crate) fn alive(&self) -> usize {
        self.slots.iter().filter(|s| s.fd.is_some()).count()
    }

    /// A little of everything that is due.
    pub(crate) fn step(&mut self, now: u64) -> io::Result<()> {
        for _ in 0..PER_STEP {
            if self.is_complete() {
                break;
            }
            self.slots.push(Slot::default());
            self.open(now, self.slots.len() - 1)?;
        }
        let elapsed = now - *self.began.get_or_insert(now);
        let allowed = u128::from(elapsed) * u128::from(self.script.rate) / 1_000_000_000;
        for _ in 0..self.script.per_step {
            if u128::from(self.octets) > allowed {
                break;
            }
            let Some(&Reverse((due, number))) = self.queue.peek() else { break };
            if due > now {
                break;
            }
            self.queue.pop();
            if self.slots[number].fd.is_some() {
                self.write(now, number);
            } else if self.script.reopen {
                self.open(now, number)?;
            }
        }
        if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            self.look(now)?;
        }
        Ok(())
    }

    fn open(&mut self, now: u64, number: usize) -> io::Result<()> {
        let Ok(fd) = connect(self.address, number, None) else {
            self.refused += 1;
            self.later(now + PAUSE, number);
            return Ok(());
        };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(number as u64), flags)?;
        self.opened += 1;
        self.slots[number] = Slot { fd: Some(fd), opened: now, at: 0, waits: false };
        self.later(now + self.script.every.min(PAUSE), number);
        Ok(())
    }

    fn later(&mut self, due: u64, number: usize) {
        self.queue.push(Reverse((due, number)));
    }

    fn write(&mut self, now: u64, number: usize) {
        let Script { attack, chunk, every, .. } = &self.script;
        let (chunk, every) = (*chunk, *every);
        let slot = &mut self.slots[number];
        let Some(fd) = &slot.fd else { return };
        let opening = attack.opening.len();
        let (part, at_most) = if slot.at < opening {
            (&attack.opening[slot.at..], chunk)
        } else if slot.waits {
            return self.later(now + RETRY, number);
        } else {
            let from = (slot.at - opening) % attack.repeat.len();
            (&attack.repeat[from..], chunk)
        };
        match rustix::io::write(fd, &part[..part.len().min(at_most)]) {
            Ok(n) => {
                slot.waits = slot.at < opening && slot.at + n >= opening && every == 0;
                slot.at += n;
                self.octets += n as u64;
                let over = self.script.hang_up && slot.at >= opening + self.script.attack.repeat.len();
                if over {
                    slot.fd = None;
                    return self.later(now + PAUSE, number);
                }
                self.later(now + every, number);
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NOTCONN) => self.later(now + RETRY, number),
            Err(_) => self.ended(now, number),
        }
    }

    fn ended(&mut self, now: u64, number: usize) {
        let slot = &mut self.slots[number];
        if slot.fd.take().is_some() {
            self.closed += 1;
            if self.lifetimes.len() < 1 << 20 {
                self.lifetimes.push((now - slot.opened) as f64 / 1e9);
            }
            if self.script.reopen {
                self.later(now + PAUSE, number);
            }
        }
    }

    fn look(&mut self, now: u64) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&Timespec::default()),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let flags = event.flags;
            let over = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            self.heard(now, event.data.u64() as usize, flags.intersects(over))?;
        }
        self.events = events;
        Ok(())
    }

    /// A connection has something to read, or has ended.
    fn heard(&mut self, now: u64, number: usize, over: bool) -> io::Result<()> {
        let slot = &mut self.slots[number];
        let Some(fd) = &slot.fd else { return Ok(()) };
        if over {
            self.ended(now, number);
            return Ok(());
        }
        if slot.waits {
            slot.waits = false;
            let _ = rustix::io::read(fd, &mut self.scratch[..]);
        }
        // From here on nothing is read, only the end is waited for.
        if self.script.every == 0 {
            let data = epoll::EventData::new_u64(number as u64);
            epoll::modify(&self.epoll, fd, data, epoll::EventFlags::RDHUP)?;
        } else if let Ok(0) = rustix::io::read(fd, &mut self.scratch[..]) {
            self.ended(now, number);
        }
        Ok(())
    }
}
