//! Sessions in a `poll(2)` loop of one's own: no runtime, no threads.
//!
//! The one idea: a session never waits, so whoever waits may be a loop of yours. For each connection
//! it asks what to wait for (octets, room, a deadline), and when something happened it gives the
//! connection a turn: due timers, one read, events, what is owed, writing.
//!
//! An echo server and fifty clients share the one loop, over loopback. Each client sends a hundred
//! messages that must arrive, checks what comes back, and closes.
//!
//! `cargo run -p example-poll-loop` exits with 0 when all went well.

mod connection;

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant as Clock};

use bowline_core::session::{Code, Event, Received, Welcome};
use bowline_core::time::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use connection::{Application, Connection, Task};

const CLIENTS: usize = 50;
const MESSAGES: usize = 100;
const TOPIC: &str = "echo";
/// From so many waiting echoes on, the server grants a client no more credit.
const ENOUGH: usize = 16;

type Failure = Box<dyn Error>;

/// Sends back what it gets.
#[derive(Default)]
struct Echo {
    waiting: VecDeque<Vec<u8>>,
}

impl Application for Echo {
    fn on_event(&mut self, event: &Event<'_>, task: &mut Task<'_>) -> Result<(), Failure> {
        match event {
            Event::Hello(_) => task.welcome(&Welcome::default())?,
            Event::Publish(m) => self.waiting.push_back(m.payload.to_vec()),
            Event::Closed(c) if !c.clean => return Err(format!("a client left: {c:?}").into()),
            _ => {}
        }
        Ok(())
    }

    fn on_turn(&mut self, task: &mut Task<'_>) -> Result<(), Failure> {
        while let Some(payload) = self.waiting.front() {
            if !task.publish(TOPIC, payload)? {
                break;
            }
            self.waiting.pop_front();
        }
        task.hold_credit(self.waiting.len() >= ENOUGH);
        Ok(())
    }

    fn is_satisfied(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Sends, and checks what comes back.
struct Client {
    number: usize,
    open: bool,
    sent: usize,
    echoed: usize,
    clean: bool,
}

impl Client {
    /// Each is different, and of another size.
    fn message(&self, n: usize) -> Vec<u8> {
        let text = format!("message {n} of client {}", self.number);
        text.bytes().cycle().take(text.len() + n * 37 % 4000).collect()
    }

    fn check(&mut self, m: &Received<'_>) -> Result<(), Failure> {
        if m.topic != TOPIC || m.payload != self.message(self.echoed) {
            return Err(format!("client {}: message {} came back wrong", self.number, self.echoed).into());
        }
        self.echoed += 1;
        Ok(())
    }
}

impl Application for Client {
    fn on_event(&mut self, event: &Event<'_>, task: &mut Task<'_>) -> Result<(), Failure> {
        match event {
            Event::Welcome(_) => self.open = true,
            Event::Publish(m) => {
                self.check(m)?;
                if self.echoed == MESSAGES {
                    task.close(Code::Normal);
                }
            }
            Event::Closed(c) => self.clean = c.clean && c.code == Some(Code::Normal),
            _ => {}
        }
        Ok(())
    }

    fn on_turn(&mut self, task: &mut Task<'_>) -> Result<(), Failure> {
        while self.open && self.sent < MESSAGES && task.publish(TOPIC, &self.message(self.sent))? {
            self.sent += 1;
        }
        Ok(())
    }

    fn is_satisfied(&self) -> bool {
        self.clean && self.echoed == MESSAGES
    }
}

/// Waits until something can be done: a new connection, octets, room for octets, or time.
fn wait(listener: &TcpListener, all: &[Connection], now: Instant) -> Result<bool, Failure> {
    let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
    for connection in all {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, connection.wants_to_write());
        fds.push(PollFd::new(&connection.stream, flags));
    }
    let until = all.iter().filter_map(Connection::deadline).min();
    let timeout = until.map(|until| Timespec::try_from(until.saturating_since(now))).transpose()?;
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn main() -> Result<(), Failure> {
    let started = Clock::now();
    let clock = || Instant::from_nanos(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;

    let mut all = Vec::new();
    for number in 0..CLIENTS {
        let client = Client { number, open: false, sent: 0, echoed: 0, clean: false };
        all.push(Connection::connect(TcpStream::connect(address)?, clock(), Box::new(client))?);
    }
    let (mut served, mut done) = (0, 0);
    while served < CLIENTS || !all.is_empty() {
        if wait(&listener, &all, clock())? {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => {
                        all.push(Connection::accept(stream, clock(), Box::new(Echo::default()))?);
                        served += 1;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let now = clock();
        for connection in &mut all {
            connection.turn(now)?;
        }
        let before = all.len();
        for over in all.extract_if(.., |connection| connection.is_over()) {
            if !over.application.is_satisfied() {
                return Err("a connection ended too early".into());
            }
        }
        done += before - all.len();
        if started.elapsed() > Duration::from_secs(60) {
            return Err(format!("only {done} of {} connections ended in a minute", 2 * CLIENTS).into());
        }
    }
    println!("{CLIENTS} clients, {} messages there and back, in one loop: all well", CLIENTS * MESSAGES);
    Ok(())
}
