//! Our own protocol's session, from either side.

use bowline_core::buf::GrowingRecvBuf;
use bowline_core::scram::{self, ScramClient};
use bowline_core::session::{Config, Event, Fault, Features, Session, Transport, Tunnels};
use bowline_core::time::{Deadline, Instant};
use serde_json::{Map, Value};
use std::time::Duration;

use super::{Machine, Output, blocked};
use crate::call::Call;
use crate::runner::Trouble;
use crate::vector::{EntropyScript, Fin, Role, Vector};

mod calls;
mod events;
mod tunnels;

/// One session machine and its scripted application.
#[derive(Debug)]
struct Bowline {
    config: Config,
    session: Option<Session>,
    /// A client's SCRAM, where it is not the application that does it.
    scram: Option<Box<ScramClient>>,
    entropy: EntropyScript,
    /// What the client says that it received of the session that it resumes.
    hello_received: Option<u64>,
    tunnels: Tunnels,
}

/// The machine that `vector` is about, and the largest frame that it takes, with its head.
pub(super) fn machine(vector: &Vector) -> (Box<dyn Machine>, usize) {
    let config = config(vector);
    let server = vector.role == Role::Server;
    let machine = Bowline {
        config,
        session: server.then(|| Session::accept(Instant::ZERO, &config)),
        scram: None,
        entropy: vector.entropy.clone(),
        hello_received: None,
        tunnels: tunnels::new(vector),
    };
    (Box::new(machine), (config.limits.max_frame as usize).max(8192) + 16)
}

impl Machine for Bowline {
    fn recv(&mut self, now: Instant, received: &mut GrowingRecvBuf, output: &mut Output) -> bool {
        let Some(session) = &mut self.session else { return false };
        let Some(event) = session.recv(now, received) else { return false };
        let step = match (&event, &mut self.scram) {
            (Event::Tunnel(frame), _) => match tunnels::receive(&mut self.tunnels, frame, output) {
                Ok(()) => return true,
                Err(fault) => Step::Fail(fault),
            },
            (Event::Result(outcome), _) => {
                tunnels::answered(&mut self.tunnels, outcome);
                Step::Tell
            }
            (Event::Hello(hello), _) => {
                self.hello_received = hello.resume.map(|(_, _, received)| received);
                Step::Tell
            }
            (Event::Auth(data), Some(scram)) => prove(scram, data),
            (Event::Welcome(welcome), Some(scram)) => match scram.handle_server_final(welcome.auth) {
                Ok(()) => Step::Tell,
                Err(_) => Step::Fail(Fault::AuthFailed),
            },
            _ => Step::Tell,
        };
        match step {
            Step::Tell => output.events.push(events::describe(&event)),
            // Whatever does not let it be sent shows in the vector.
            Step::Send(data) => drop(session.authenticate(now, output, &data)),
            Step::Fail(fault) => {
                let closed = session.close_with_fault(now, fault);
                output.events.extend(closed.as_ref().map(events::describe));
            }
        }
        true
    }

    fn handle_eof(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_eof(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        let event = self.session.as_mut().and_then(|s| s.handle_timeout(now));
        output.events.extend(event.as_ref().map(events::describe));
    }

    fn call(
        &mut self,
        now: Instant,
        name: &str,
        arguments: &Map<String, Value>,
        output: &mut Output,
    ) -> Result<(), Trouble> {
        self.make(now, &Call::read(name, arguments).map_err(Trouble::Broken)?, output)
    }

    fn poll_transmit(&mut self, now: Instant, output: &mut Output) -> Fin {
        let transport = self.session.as_mut().map(|session| {
            let transport = session.poll_transmit(now, output);
            self.tunnels.transmit(now, session, output);
            transport
        });
        match transport {
            None | Some(Transport::Open) => Fin::Open,
            Some(Transport::Shut) => Fin::Shut,
            Some(Transport::Drop | Transport::Abort) => Fin::Drop,
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.session.as_ref().and_then(Session::poll_timeout)
    }
}

/// What follows from an event.
enum Step {
    /// The application is told.
    Tell,
    /// The exchange goes on.
    Send(Vec<u8>),
    /// The peer broke a rule that the session does not see, or has proved nothing (AUT-3).
    Fail(Fault),
}

fn prove(scram: &mut ScramClient, data: &[u8]) -> Step {
    let mut memory = [0; scram::MAX_MESSAGE];
    match scram.handle_server_first(data, &mut memory) {
        Ok(n) => Step::Send(memory[..n].to_vec()),
        Err(_) => Step::Fail(Fault::AuthFailed),
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
