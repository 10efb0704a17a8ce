//! The session machine of `bowline-core` as an [`Implementation`], on virtual time.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf};
use bowline_core::scram::{self, ScramClient};
use bowline_core::session::{Config, Event, Fault, Features, Session, Transport};
use bowline_core::time::{Instant, Why};
use serde_json::{Value, json};
use std::time::Duration;

use crate::call::Call;
use crate::runner::{Answer, Answers, Implementation, Input, Trouble};
use crate::vector::{EntropyScript, Fin, Role, Vector};

mod calls;
mod events;

/// What the machine has written and the peer has not been given yet.
#[derive(Debug, Default)]
struct Out(Vec<u8>);

impl SendBuf for Out {
    fn room(&self) -> usize {
        usize::MAX - self.0.len()
    }
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// One session machine and its scripted application.
#[derive(Debug)]
pub struct WhiteBox {
    config: Config,
    now: Instant,
    session: Option<Session>,
    /// A client's SCRAM, where it is not the application that does it.
    scram: Option<Box<ScramClient>>,
    entropy: EntropyScript,
    /// What the client says that it received of the session that it resumes.
    hello_received: Option<u64>,
    received: GrowingRecvBuf,
    /// Octets that the receive buffer has no room for yet.
    waiting: Vec<u8>,
    out: Out,
    events: Vec<Value>,
    fin: Fin,
}

impl Default for WhiteBox {
    fn default() -> Self {
        Self {
            config: Config::default(),
            now: Instant::ZERO,
            session: None,
            scram: None,
            entropy: EntropyScript::default(),
            hello_received: None,
            received: GrowingRecvBuf::new(0),
            waiting: Vec::new(),
            out: Out::default(),
            events: Vec::new(),
            fin: Fin::Open,
        }
    }
}

impl Implementation for WhiteBox {
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble> {
        let config = config(vector);
        let memory = (config.limits.max_frame as usize).max(8192) + 16;
        *self = Self { config, received: GrowingRecvBuf::new(memory), ..Self::default() };
        self.entropy = vector.entropy.clone();
        match vector.role {
            Role::Client => {}
            Role::Server => self.session = Some(Session::accept(self.now, &config)),
            Role::Service => {
                return Err(Trouble::Unsupported("this is one session, not a whole server".into()));
            }
        }
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
                    if let Some(session) = &mut self.session {
                        session.handle_eof(self.now);
                    }
                }
                Input::Call { name, arguments } => {
                    let call = Call::read(name, arguments).map_err(Trouble::Broken)?;
                    self.call(&call)?;
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
        while let Some(session) = &mut self.session {
            let due = session.poll_timeout().filter(|d| d.at <= to && d.why != Why::Output);
            let Some(due) = due else { break };
            self.now = self.now.max(due.at);
            let before = (self.events.len(), self.out.0.len());
            if let Some(event) = session.handle_timeout(self.now) {
                self.events.push(events::describe(&event));
            }
            self.settle();
            let after = (self.events.len(), self.out.0.len());
            let still = self.session.as_ref().and_then(Session::poll_timeout);
            if before == after && still == Some(due) {
                break; // it wants what it already got: the vector will show it
            }
        }
        self.now = self.now.max(to);
        if let Some(session) = &mut self.session
            && let Some(event) = session.handle_timeout(self.now)
        {
            self.events.push(events::describe(&event));
        }
    }

    /// Hands over what waits, as far as the session takes it.
    fn receive(&mut self) {
        let Some(session) = &mut self.session else { return };
        loop {
            let n = self.received.push(&self.waiting);
            self.waiting.drain(..n);
            let before = self.received.filled().len();
            while let Some(event) = session.recv(self.now, &mut self.received) {
                let step = match (&event, &mut self.scram) {
                    (Event::Hello(hello), _) => {
                        self.hello_received = hello.resume.map(|(_, _, received)| received);
                        Step::Tell
                    }
                    (Event::Auth(data), Some(scram)) => prove(scram, data),
                    (Event::Welcome(welcome), Some(scram)) => match scram.handle_server_final(welcome.auth) {
                        Ok(()) => Step::Tell,
                        Err(_) => Step::Fail,
                    },
                    _ => Step::Tell,
                };
                match step {
                    Step::Tell => self.events.push(events::describe(&event)),
                    // Whatever does not let it be sent shows in the vector.
                    Step::Send(data) => drop(session.authenticate(self.now, &mut self.out, &data)),
                    Step::Fail => {
                        let closed = session.close_with_fault(self.now, Fault::AuthFailed);
                        self.events.extend(closed.as_ref().map(events::describe));
                    }
                }
            }
            if self.waiting.is_empty() || self.received.filled().len() == before {
                return;
            }
        }
    }

    /// Works until nothing is left to do.
    fn settle(&mut self) {
        self.receive();
        let Some(session) = &mut self.session else { return };
        self.fin = match session.poll_transmit(self.now, &mut self.out) {
            Transport::Open => Fin::Open,
            Transport::Shut => Fin::Shut,
            Transport::Drop | Transport::Abort => Fin::Drop,
        };
        self.receive();
    }

    fn answer(&mut self) -> Answer {
        let deadline =
            self.session.as_ref().filter(|_| self.fin != Fin::Drop).and_then(Session::poll_timeout);
        Answer {
            out: std::mem::take(&mut self.out.0),
            events: std::mem::take(&mut self.events),
            deadline: Some(deadline.map(|d| (d.at.as_millis(), reason(d.why).to_owned()))),
            fin: self.fin,
        }
    }
}

/// What follows from an event.
enum Step {
    /// The application is told.
    Tell,
    /// The exchange goes on.
    Send(Vec<u8>),
    /// The server has proved nothing (AUT-3).
    Fail,
}

fn prove(scram: &mut ScramClient, data: &[u8]) -> Step {
    let mut memory = [0; scram::MAX_MESSAGE];
    match scram.handle_server_first(data, &mut memory) {
        Ok(n) => Step::Send(memory[..n].to_vec()),
        Err(_) => Step::Fail,
    }
}

pub(crate) fn config(vector: &Vector) -> Config {
    let (given, mut config) = (&vector.config, Config::default());
    let limits = &mut config.limits;
    limits.max_frame = given.max_frame.unwrap_or(limits.max_frame);
    limits.in_flight = given.in_flight.unwrap_or(limits.in_flight);
    limits.credit = given.credit.unwrap_or(limits.credit);
    limits.keepalive = given.keepalive_ms.map(Duration::from_millis);
    config.handshake_deadline = given.handshake_ms.map_or(config.handshake_deadline, Duration::from_millis);
    config.features = Features::from_bits(given.features.unwrap_or(0));
    config.manual_accept = given.manual_ack.unwrap_or(false);
    config
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
