//! Many client connections on one thread.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::scenario::Target;
use crate::tls::{Line, Trust};
use crate::wire::{Allowance, Event, Wire};

/// One read takes this much at first; a frame that is larger makes it grow.
const READ_SIZE: usize = 256 << 10;
/// As far as it grows.
const READ_MAX: usize = 64 << 20;
/// What one call of the poll reports.
const EVENTS: usize = 512;
/// A session that has sent nothing for so long is made to ping: servers ask for that.
const QUIET: u64 = 10_000_000_000;
/// Connections from one address, well below the number of ephemeral ports (28,232 by default).
const PER_SOURCE: usize = 20_000;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// TCP is not connected yet.
    Connecting,
    /// The protocol's opening is not answered yet.
    Opening,
    /// Its subscriptions are not known to be in effect yet.
    Subscribing,
    /// It may send and receive.
    Ready,
    /// It is over.
    Closed,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    fd: Option<OwnedFd>,
    tls: Option<Box<Line>>,
    pub(crate) stage: Stage,
    subscriptions: Vec<(u64, String)>,
    reliable: bool,
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    watches_writing: bool,
    allowance: Allowance,
    used: u64,
    sent: u64,
    acked: u64,
    received: u64,
    last_sent: u64,
    /// Why it ended, or what the server complained about first.
    pub(crate) trouble: Option<String>,
}

impl Client {
    /// How many messages of this cost may be sent now.
    #[inline]
    pub(crate) fn may_send(&self, cost: u64, reliable: bool, wanted: u64) -> u64 {
        if self.stage != Stage::Ready || self.out_at < self.out.len() {
            return 0;
        }
        let by_credit = match self.allowance.credit.saturating_sub(self.used) {
            0 => 0,
            // The last may go over (CRE-1).
            left => left.div_ceil(cost.max(1)),
        };
        let by_flight =
            if reliable { self.allowance.in_flight.saturating_sub(self.sent - self.acked) } else { u64::MAX };
        wanted.min(by_credit).min(by_flight)
    }

    /// Queues a message; [`Fleet::flush`] sends it. Returns where it is, to be filled in.
    #[inline]
    pub(crate) fn queue(&mut self, frame: &[u8], cost: u64, reliable: bool) -> &mut [u8] {
        self.used += cost;
        self.sent += u64::from(reliable);
        let at = self.out.len();
        self.out.extend_from_slice(frame);
        &mut self.out[at..]
    }
}

/// All clients of a run, at one server.
pub(crate) struct Fleet<W> {
    wire: W,
    address: SocketAddrV4,
    trust: Option<Trust>,
    epoll: OwnedFd,
    pub(crate) clients: Vec<Client>,
    /// How many are ready, and how many have ended.
    pub(crate) ready: usize,
    pub(crate) closed: usize,
    scratch: Vec<u8>,
    events: Vec<epoll::Event>,
    swept: u64,
}

impl<W: Wire> Fleet<W> {
    pub(crate) fn new(wire: W, target: &Target) -> io::Result<Self> {
        Ok(Self {
            wire,
            address: target.address,
            trust: target.trust.clone(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: Vec::new(),
            ready: 0,
            closed: 0,
            scratch: vec![0; READ_SIZE],
            events: Vec::with_capacity(EVENTS),
            swept: 0,
        })
    }

    /// Starts a client that subscribes to these topics; returns its number.
    pub(crate) fn add(&mut self, topics: Vec<String>, reliable: bool) -> io::Result<usize> {
        self.add_with_buffer(topics, reliable, None)
    }

    /// The same, with a receive buffer of so many octets in the kernel.
    pub(crate) fn add_with_buffer(
        &mut self,
        topics: Vec<String>,
        reliable: bool,
        buffer: Option<usize>,
    ) -> io::Result<usize> {
        let number = self.clients.len();
        let fd = connect(self.address, number, buffer)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(number as u64), flags)?;
        self.clients.push(Client {
            fd: Some(fd),
            tls: self.trust.as_ref().map(Trust::connect).transpose()?,
            stage: Stage::Connecting,
            subscriptions: (1..).zip(topics).collect(),
            reliable,
            rest: Vec::new(),
            out: Vec::new(),
            out_at: 0,
            watches_writing: true,
            allowance: Allowance::UNLIMITED,
            used: 0,
            sent: 0,
            acked: 0,
            received: 0,
            last_sent: 0,
            trouble: None,
        });
        Ok(number)
    }

    /// Waits at most `timeout_ms` (0: not at all) and handles what is there. `on` gets the number
    /// of the client and each message's payload. Returns whether anything happened.
    pub(crate) fn turn(
        &mut self,
        now: u64,
        timeout_ms: u32,
        mut on: impl FnMut(usize, &[u8]),
    ) -> io::Result<bool> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout_ms) * 1_000_000 };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let number = event.data.u64() as usize;
            let flags = event.flags;
            if flags.intersects(epoll::EventFlags::OUT) {
                self.writable(now, number);
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.read(now, number, &mut on);
            }
        }
        let busy = !events.is_empty();
        self.events = events;
        if now.saturating_sub(self.swept) > QUIET / 4 {
            self.swept = now;
            self.speak_up(now);
        }
        Ok(busy)
    }

    /// Nothing is read from this client any more, nor written to it.
    pub(crate) fn stall(&mut self, number: usize) -> io::Result<()> {
        if let Some(fd) = &self.clients[number].fd {
            epoll::delete(&self.epoll, fd)?;
        }
        Ok(())
    }

    /// Whether the server has ended the connection of a stalled client. What it sent before is
    /// read and dropped, at most `limit` octets; also returns how many those were.
    pub(crate) fn inspect_stalled(&mut self, number: usize, limit: usize) -> (bool, usize) {
        let mut taken = 0;
        let Some(fd) = &self.clients[number].fd else { return (true, 0) };
        while taken < limit {
            match rustix::io::read(fd, &mut self.scratch[..]) {
                Ok(0) => return (true, taken),
                Ok(n) => taken += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return (false, taken),
                Err(_) => return (true, taken),
            }
        }
        (false, taken)
    }

    /// Writes what is queued for a client.
    #[inline]
    pub(crate) fn flush(&mut self, now: u64, number: usize) {
        let client = &mut self.clients[number];
        let Some(fd) = &client.fd else { return };
        while client.out_at < client.out.len() {
            let rest = &client.out[client.out_at..];
            let written = match &mut client.tls {
                None => rustix::io::write(fd, rest).map_err(io::Error::from),
                Some(tls) => tls.write(fd, rest),
            };
            match written {
                Ok(n) => {
                    client.out_at += n;
                    client.last_sent = now;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return self.close(number, Some(format!("writing: {error}"))),
            }
        }
        let mut waits = client.out_at < client.out.len();
        if !waits {
            client.out.clear();
            client.out_at = 0;
        }
        if let Some(tls) = &mut client.tls {
            if let Err(error) = tls.flush(fd) {
                return self.close(number, Some(format!("writing: {error}")));
            }
            // What waits for the handshake waits for the server's part of it.
            waits = tls.wants_write();
        }
        self.watch_writing(number, waits);
    }

    fn watch_writing(&mut self, number: usize, wanted: bool) {
        let client = &mut self.clients[number];
        if client.watches_writing == wanted {
            return;
        }
        let Some(fd) = &client.fd else { return };
        let flags =
            if wanted { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(number as u64);
        client.watches_writing = wanted;
        if let Err(error) = epoll::modify(&self.epoll, fd, data, flags) {
            self.close(number, Some(format!("polling: {error}")));
        }
    }

    fn writable(&mut self, now: u64, number: usize) {
        let client = &mut self.clients[number];
        let Some(fd) = &client.fd else { return };
        if client.stage == Stage::Connecting {
            if let Ok(Err(error)) | Err(error) = net::sockopt::socket_error(fd) {
                return self.close(number, Some(format!("connecting: {error}")));
            }
            client.stage = Stage::Opening;
            self.wire.opening(&mut client.out);
            self.needs_no_opening(number);
        }
        self.flush(now, number);
    }

    /// Where nothing has to be said first, the connection is open as soon as it is there, and secured.
    fn needs_no_opening(&mut self, number: usize) {
        let client = &self.clients[number];
        let is_there = client.tls.as_ref().is_none_or(|tls| !tls.is_handshaking());
        if client.stage == Stage::Opening && client.out.is_empty() && is_there && !self.wire.opens() {
            self.opened(number, Allowance::UNLIMITED);
        }
    }

    fn read(&mut self, now: u64, number: usize, on: &mut impl FnMut(usize, &[u8])) {
        let client = &mut self.clients[number];
        let Some(fd) = &client.fd else { return };
        let held = client.rest.len();
        if held * 2 > self.scratch.len() {
            self.scratch.resize((held * 4).min(READ_MAX), 0);
        }
        self.scratch[..held].copy_from_slice(&client.rest);
        let room = &mut self.scratch[held..];
        let read = match &mut client.tls {
            None => rustix::io::read(fd, room).map_err(io::Error::from),
            Some(tls) => tls.read(fd, room),
        };
        let n = match read {
            Ok(0) => return self.close(number, None),
            Ok(n) => n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                // The handshake may have come so far that what waits can go.
                if client.tls.is_some() {
                    self.needs_no_opening(number);
                    self.flush(now, number);
                }
                return;
            }
            Err(error) => return self.close(number, Some(format!("reading: {error}"))),
        };
        let scratch = std::mem::take(&mut self.scratch);
        let outcome = self.parse(number, &scratch[..held + n], on);
        match outcome {
            Ok(taken) => {
                let rest = &mut self.clients[number].rest;
                rest.clear();
                rest.extend_from_slice(&scratch[taken..held + n]);
                if !self.clients[number].out.is_empty() {
                    self.flush(now, number);
                }
            }
            Err(error) => self.close(number, Some(error)),
        }
        self.scratch = scratch;
    }

    fn parse(
        &mut self,
        number: usize,
        data: &[u8],
        on: &mut impl FnMut(usize, &[u8]),
    ) -> Result<usize, String> {
        let wire = self.wire;
        let client = &mut self.clients[number];
        let received = client.received;
        let mut opened = None;
        let mut answered = false;
        let taken = wire.parse(data, |event| match event {
            Event::Message { payload, reliable } => {
                client.received += u64::from(reliable);
                on(number, payload);
            }
            Event::Acked(count) => client.acked = client.acked.max(count).min(client.sent),
            Event::Credit(limit) => client.allowance.credit = client.allowance.credit.max(limit),
            Event::Opened(allowance) => opened = Some(allowance),
            Event::Pong => answered = true,
            Event::Ping(token) => wire.pong(token, &mut client.out),
            Event::Trouble(text) => drop(client.trouble.get_or_insert(text)),
        })?;
        if client.received > received {
            wire.ack(client.received, &mut client.out);
        }
        match client.stage {
            // Where the opening has no answer of its own, it ends with a ping.
            Stage::Opening if opened.is_some() || answered => {
                self.opened(number, opened.unwrap_or(Allowance::UNLIMITED));
            }
            Stage::Subscribing if answered => self.is_ready(number),
            _ => {}
        }
        Ok(taken)
    }

    fn opened(&mut self, number: usize, allowance: Allowance) {
        let client = &mut self.clients[number];
        client.allowance = allowance;
        for (id, topic) in &client.subscriptions {
            self.wire.subscribe(*id, topic, client.reliable, &mut client.out);
        }
        if !client.subscriptions.is_empty() && self.wire.ping(&mut client.out) {
            client.stage = Stage::Subscribing;
        } else {
            self.is_ready(number);
        }
    }

    fn is_ready(&mut self, number: usize) {
        self.clients[number].stage = Stage::Ready;
        self.ready += 1;
    }

    /// Ends a client.
    pub(crate) fn close(&mut self, number: usize, why: Option<String>) {
        let client = &mut self.clients[number];
        if client.stage == Stage::Ready {
            self.ready -= 1;
        }
        if client.stage != Stage::Closed {
            self.closed += 1;
        }
        client.stage = Stage::Closed;
        client.fd = None;
        client.tls = None;
        client.out = Vec::new();
        client.out_at = 0;
        client.rest = Vec::new();
        client.trouble.get_or_insert_with(|| why.unwrap_or_else(|| "the server ended the connection".into()));
    }

    /// Lets the clients ping that have sent nothing for long.
    fn speak_up(&mut self, now: u64) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if client.stage == Stage::Ready
                && now.saturating_sub(client.last_sent) > QUIET
                && client.out.is_empty()
                && self.wire.ping(&mut client.out)
            {
                self.flush(now, number);
            }
        }
    }

    /// The first thing that went wrong.
    pub(crate) fn first_trouble(&self) -> Option<&str> {
        self.clients.iter().find_map(|c| c.trouble.as_deref())
    }
}

/// Begins to connect; the `number`th connection, so that not all come from one address.
pub(crate) fn connect(address: SocketAddrV4, number: usize, buffer: Option<usize>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    net::sockopt::set_tcp_nodelay(&fd, true)?;
    if let Some(octets) = buffer {
        net::sockopt::set_socket_recv_buffer_size(&fd, octets)?;
    }
    if number >= PER_SOURCE && address.ip().is_loopback() {
        let source = Ipv4Addr::new(127, 0, 0, (1 + number / PER_SOURCE).min(254) as u8);
        net::bind(&fd, &SocketAddrV4::new(source, 0))?;
    }
    match net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}
