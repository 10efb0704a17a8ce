//! Many clients of typed JSON that wait by HTTP, in long polls or on streams of events, and one that
//! publishes now and then.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::{Common, Target};
use crate::Failure;
use crate::clock::{Clock, nanos};
use crate::cost::Meter;
use crate::stats::{Figures, Latency};

/// What a round may take at most.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// How long all are left alone between rounds, and before memory is looked at.
const REST: Duration = Duration::from_millis(200);
/// The room that all are in.
const ROOM: &str = "bench-poll";

pub(super) struct Poll {
    pub(super) clients: usize,
    /// On streams of events; else in long polls.
    pub(super) events: bool,
}

/// A client without a WebSocket, and the connection on which it waits.
struct Client {
    stream: TcpStream,
    session: String,
    secret: String,
    cursor: u64,
    received: Vec<u8>,
}

/// What an answer is, as far as it has come.
enum Came {
    /// More has to.
    Part,
    /// An answer, or an event, with the message that is waited for; the cursor behind it.
    Message(u64),
    /// One without, as after 25 s; the cursor behind it.
    Nothing(u64),
}

pub(super) fn poll(target: &Target, common: &Common, poll: &Poll) -> Result<Figures, Failure> {
    super::crowd::enough_descriptors(poll.clients)?;
    let clock = Clock::start();
    let mut meter = Meter::new(target.pid);
    // The first ones make the server load what it needs for any.
    let mut publisher = Client::begin(target.address)?;
    publisher.join()?;
    drop(Waiting::begin(target.address, &Poll { clients: 4, ..*poll })?);
    rest(REST);
    let (before, threads) = (meter.private(), meter.threads());

    let mut waiting = Waiting::begin(target.address, poll)?;
    waiting.round(clock, &mut publisher, &mut Latency::new(), &mut Latency::new())?;
    rest(REST);
    let grown = meter.private() - before;

    let (mut delivery, mut last) = (Latency::new(), Latency::new());
    let (mut rounds, mut delivered) = (0u64, 0);
    meter.begin();
    let end = clock.now() + nanos(common.duration);
    while clock.now() < end {
        delivered += waiting.round(clock, &mut publisher, &mut delivery, &mut last)?;
        rounds += 1;
        rest(REST);
    }
    let cost = meter.end();

    let mut figures = Figures::default();
    delivery.report("delivery_", &mut figures);
    last.report("to_the_last_", &mut figures);
    figures.note("rounds", rounds as f64);
    figures.note("missing", (rounds * poll.clients as u64 - delivered) as f64);
    if target.pid.is_some() {
        figures.compare("private_per_client_bytes", grown / poll.clients as f64);
        figures.note("threads_more", meter.threads() - threads);
        figures.compare("server_cpu_us_per_delivery", cost.server_seconds() * 1e6 / delivered.max(1) as f64);
        figures.note("server_rss_mib", meter.rss() / 1_048_576.0);
    }
    Ok(figures)
}

/// Nothing is sent meanwhile, so nothing comes.
fn rest(duration: Duration) {
    std::thread::sleep(duration);
}

/// All that wait.
struct Waiting {
    clients: Vec<Client>,
    epoll: rustix::fd::OwnedFd,
    events: bool,
}

impl Waiting {
    fn begin(server: SocketAddrV4, poll: &Poll) -> Result<Self, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(std::io::Error::from)?;
        let mut clients = Vec::with_capacity(poll.clients);
        for number in 0..poll.clients {
            let not_ready =
                |why: Failure| Failure::NotReady { ready: number, of: poll.clients, why: why.to_string() };
            let mut client = Client::begin(server).map_err(not_ready)?;
            client.join().map_err(not_ready)?;
            client.wait(poll.events).map_err(not_ready)?;
            client.stream.set_nonblocking(true)?;
            epoll::add(&epoll, client.stream.as_fd(), EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(std::io::Error::from)?;
            clients.push(client);
        }
        Ok(Self { clients, epoll, events: poll.events })
    }

    /// One message, and the time until each has all of it; those that poll wait again then. Says how many
    /// had it.
    fn round(
        &mut self,
        clock: Clock,
        publisher: &mut Client,
        each: &mut Latency,
        last: &mut Latency,
    ) -> Result<u64, Failure> {
        let began = clock.now();
        publisher.publish()?;
        let mut had = 0;
        let mut list = Vec::with_capacity(256);
        while had < self.clients.len() as u64 && clock.now() - began < nanos(ROUND_MAX) {
            list.clear();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut list), Some(&second))
                .map_err(std::io::Error::from)?;
            for event in &list {
                let number = event.data.u64();
                let client = &mut self.clients[number as usize];
                loop {
                    match client.read(self.events)? {
                        Came::Part => break,
                        Came::Message(cursor) => {
                            each.record(clock.now() - began);
                            had += 1;
                            client.cursor = cursor;
                        }
                        Came::Nothing(cursor) => client.cursor = cursor,
                    }
                    if !self.events {
                        client.ask_to_wait(false)?;
                    }
                }
            }
        }
        last.record(clock.now() - began);
        publisher.answer()?;
        Ok(had)
    }
}

impl Client {
    /// One with a session of its own.
    fn begin(server: SocketAddrV4) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ROUND_MAX))?;
        let mut client =
            Self { stream, session: String::new(), secret: String::new(), cursor: 0, received: Vec::new() };
        client.post("/ws/session", "")?;
        let welcome: serde_json::Value = serde_json::from_slice(&client.answer()?).map_err(strange)?;
        let text = |name: &str| welcome[name].as_str().unwrap_or_default().to_owned();
        (client.session, client.secret) = (text("session"), text("secret"));
        Ok(client)
    }

    fn join(&mut self) -> Result<(), Failure> {
        let body = serde_json::json!({"type": "$join", "id": "j", "room": ROOM, "session_id": self.session});
        self.post("/ws/send", &body.to_string())?;
        self.answer()?;
        // The answer to it is the first that it is told.
        self.ask_to_wait(false)?;
        self.answer()?;
        self.cursor = 1;
        Ok(())
    }

    /// Begins to wait, and waits until the server knows it.
    fn wait(&mut self, events: bool) -> Result<(), Failure> {
        self.ask_to_wait(events)?;
        while events && !self.received.ends_with(b":\n\n\r\n") {
            self.fill()?;
        }
        self.received.clear();
        Ok(())
    }

    fn ask_to_wait(&mut self, events: bool) -> Result<(), Failure> {
        let (session, secret, cursor) = (&self.session, &self.secret, self.cursor);
        let request = match events {
            true => format!(
                "/ws/events?session_id={session} HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {cursor}"
            ),
            false => format!("/ws/poll?session_id={session}&after={cursor} HTTP/1.1\r\nHost: localhost"),
        };
        let request = format!("GET {request}\r\nBowline-Secret: {secret}\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        let body = serde_json::json!({
            "type": "bench.tick", "room": ROOM, "payload": {"text": "twenty octets or so."}, "echo": false,
            "session_id": self.session,
        });
        self.post("/ws/send", &body.to_string())
    }

    fn post(&mut self, path: &str, body: &str) -> Result<(), Failure> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nBowline-Secret: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.secret,
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        Ok(())
    }

    /// Reads some more; says whether anything came.
    fn fill(&mut self) -> Result<bool, Failure> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(n) => {
                self.received.extend_from_slice(&part[..n]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The body of the next whole answer that is at hand, and its head.
    fn whole(&mut self) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.received[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 2") {
            return Err(strange(head.lines().next().unwrap_or_default()));
        }
        let length: usize = field(&head, "content-length").unwrap_or(0);
        if self.received.len() < end + length {
            return Ok(None);
        }
        let body = self.received[end..end + length].to_vec();
        self.received.drain(..end + length);
        Ok(Some((head, body)))
    }

    fn answer(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some((_, body)) = self.whole()? {
                return Ok(body);
            }
            self.fill()?;
        }
    }

    /// What has come for who waits.
    fn read(&mut self, events: bool) -> Result<Came, Failure> {
        loop {
            let came = if events { self.event() } else { self.polled()? };
            match came {
                Came::Part if self.fill()? => {}
                other => return Ok(other),
            }
        }
    }

    fn polled(&mut self) -> Result<Came, Failure> {
        let Some((head, body)) = self.whole()? else { return Ok(Came::Part) };
        let cursor = field(&head, "bowline-cursor").unwrap_or(self.cursor);
        let is_message = memchr::memmem::find(&body, b"bench.tick").is_some();
        Ok(if is_message { Came::Message(cursor) } else { Came::Nothing(cursor) })
    }

    /// A chunk is an event, or a comment.
    fn event(&mut self) -> Came {
        let Some(end) = memchr::memmem::find(&self.received, b"\n\n\r\n").map(|at| at + 4) else {
            return Came::Part;
        };
        let chunk: Vec<u8> = self.received.drain(..end).collect();
        if memchr::memmem::find(&chunk, b"bench.tick").is_some() {
            Came::Message(self.cursor + 1)
        } else {
            Came::Nothing(self.cursor)
        }
    }
}

fn field<T: std::str::FromStr>(head: &str, name: &str) -> Option<T> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(n, _)| *n == name)?.1.trim().parse().ok()
}

/// The server says something else than it should.
fn strange(what: impl std::fmt::Display) -> Failure {
    std::io::Error::new(ErrorKind::InvalidData, what.to_string()).into()
}
