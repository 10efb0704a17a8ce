//! The connection machines of `bowline-core` as an [`Implementation`], on virtual time.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf};
use bowline_core::time::{Deadline, Instant, Why};
use serde_json::{Map, Value, json};

use crate::dialect::Dialect;
use crate::runner::{Answer, Answers, Implementation, Input, Trouble};
use crate::vector::{Fin, Role, Vector};

mod bowline;
mod prx1;
mod secure;

pub(crate) use bowline::config;

/// What a machine has written and told, and nobody has taken yet.
#[derive(Debug, Default)]
struct Output {
    octets: Vec<u8>,
    events: Vec<Value>,
}

impl SendBuf for Output {
    fn room(&self) -> usize {
        usize::MAX - self.octets.len()
    }
    fn put(&mut self, bytes: &[u8]) {
        self.octets.extend_from_slice(bytes);
    }
}

/// A connection's machine under test and its scripted application, of one dialect and role.
///
/// A client's does nothing before the call `connect`. The methods are those of any machine of the
/// core; events are told as vectors write them.
trait Machine: std::fmt::Debug {
    /// Takes octets up to the next event, which it tells; false when it wants more.
    fn recv(&mut self, now: Instant, received: &mut GrowingRecvBuf, output: &mut Output) -> bool;

    /// The peer ended its direction of the stream.
    fn handle_eof(&mut self, now: Instant);

    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant, output: &mut Output);

    /// The application calls; what the machine does not do now is told as an event.
    fn call(
        &mut self,
        now: Instant,
        name: &str,
        arguments: &Map<String, Value>,
        output: &mut Output,
    ) -> Result<(), Trouble>;

    /// Writes what is owed, and says what becomes of the transport.
    fn poll_transmit(&mut self, now: Instant, output: &mut Output) -> Fin;

    /// When it wants to be called next.
    fn poll_timeout(&self) -> Option<Deadline>;
}

/// The machine that a vector is about, and how much it has to be able to receive at once.
fn machine(vector: &Vector) -> Result<(Box<dyn Machine>, usize), Trouble> {
    if vector.role == Role::Service {
        return Err(Trouble::Unsupported("this is one session, not a whole server".into()));
    }
    match vector.dialect {
        Dialect::Bowline => match (bowline::machine(vector), &vector.config.noise) {
            ((inner, memory), Some(keys)) => Ok((secure::machine(vector, keys, inner)?, memory.max(1 << 17))),
            (plain, None) => Ok(plain),
        },
        Dialect::Prx1 => Ok(prx1::machine(vector)),
        other => Err(Trouble::Unsupported(format!("no machine speaks {}", other.name()))),
    }
}

/// One machine and its buffers.
#[derive(Debug)]
pub struct WhiteBox {
    now: Instant,
    machine: Option<Box<dyn Machine>>,
    received: GrowingRecvBuf,
    /// Octets that the receive buffer has no room for yet.
    waiting: Vec<u8>,
    output: Output,
    fin: Fin,
}

impl Default for WhiteBox {
    fn default() -> Self {
        Self {
            now: Instant::ZERO,
            machine: None,
            received: GrowingRecvBuf::new(0),
            waiting: Vec::new(),
            output: Output::default(),
            fin: Fin::Open,
        }
    }
}

impl Implementation for WhiteBox {
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble> {
        let (machine, memory) = machine(vector)?;
        *self = Self { machine: Some(machine), received: GrowingRecvBuf::new(memory), ..Self::default() };
        Ok(())
    }

    fn input(&mut self, _conn: &str, input: &Input<'_>) -> Result<Answers, Trouble> {
        // Of a connection that was dropped nothing comes any more, but the application may still call.
        if self.fin != Fin::Drop || matches!(input, Input::Call { .. }) {
            match input {
                Input::At(ms) => self.advance(Instant::from_millis(*ms)),
                Input::In { octets, more } => {
                    self.waiting.extend_from_slice(octets);
                    self.receive();
                    if *more {
                        return Ok(Answers::new());
                    }
                }
                Input::Eof => {
                    if let Some(machine) = &mut self.machine {
                        machine.handle_eof(self.now);
                    }
                }
                Input::Call { name, arguments } => {
                    if let Some(machine) = &mut self.machine {
                        machine.call(self.now, name, arguments, &mut self.output)?;
                    }
                }
            }
            self.settle();
        }
        Ok(Answers::from([(String::new(), self.answer())]))
    }
}

impl WhiteBox {
    /// Time goes on, from deadline to deadline.
    fn advance(&mut self, to: Instant) {
        while let Some(machine) = &mut self.machine {
            let due = machine.poll_timeout().filter(|d| d.at <= to && d.why != Why::Output);
            let Some(due) = due else { break };
            self.now = self.now.max(due.at);
            let before = (self.output.events.len(), self.output.octets.len());
            machine.handle_timeout(self.now, &mut self.output);
            self.settle();
            let after = (self.output.events.len(), self.output.octets.len());
            let still = self.machine.as_ref().and_then(|m| m.poll_timeout());
            if before == after && still == Some(due) {
                break; // it wants what it already got: the vector will show it
            }
        }
        self.now = self.now.max(to);
        if let Some(machine) = &mut self.machine {
            machine.handle_timeout(self.now, &mut self.output);
        }
    }

    /// Hands over what waits, as far as the machine takes it.
    fn receive(&mut self) {
        let Some(machine) = &mut self.machine else { return };
        loop {
            let n = self.received.push(&self.waiting);
            self.waiting.drain(..n);
            let before = self.received.filled().len();
            while machine.recv(self.now, &mut self.received, &mut self.output) {}
            if self.waiting.is_empty() || self.received.filled().len() == before {
                return;
            }
        }
    }

    /// Works until nothing is left to do.
    fn settle(&mut self) {
        self.receive();
        let Some(machine) = &mut self.machine else { return };
        self.fin = machine.poll_transmit(self.now, &mut self.output);
        self.receive();
    }

    fn answer(&mut self) -> Answer {
        let machine = self.machine.as_ref().filter(|_| self.fin != Fin::Drop);
        let deadline = machine.and_then(|m| m.poll_timeout());
        Answer {
            out: std::mem::take(&mut self.output.octets),
            events: std::mem::take(&mut self.output.events),
            deadline: Some(deadline.map(|d| (d.at.as_millis(), reason(d.why).to_owned()))),
            fin: self.fin,
        }
    }
}

/// The name of a deadline's reason, as vectors write it.
fn reason(why: Why) -> &'static str {
    match why {
        Why::Output => "output",
        Why::Handshake => "handshake",
        Why::Keepalive => "keepalive",
        Why::PeerSilent => "peer_silent",
        Why::Write => "write",
        Why::Drain => "drain",
        Why::Close => "close",
        Why::Backoff => "backoff",
        Why::Request => "request",
        Why::Expiry => "expiry",
        Why::Rate => "rate",
        _ => "other",
    }
}

/// An event about a call that did not happen.
fn blocked(why: &str) -> Value {
    json!({ "blocked": { "why": why } })
}
