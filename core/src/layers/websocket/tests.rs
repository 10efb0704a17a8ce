//! The whole machine: both sides, each rule, every cut.

mod behaviour;
mod carrying;
mod pair;
mod rules;

use std::string::{String, ToString};
use std::vec::Vec;

use super::frame::Head;
use super::{Carries, Client, CloseCode, Config, Event, Fault, Kind, Role, Server, WebSocket};
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::entropy::Seeded;
use crate::lifecycle::{By, Transport};
use crate::time::Instant;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A frame as a client writes it: `first` is FIN, RSV and opcode.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Head::new(first, payload.len(), Some(KEY)).as_slice().to_vec();
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key));
    frame
}

/// A frame as a server writes it.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [Head::new(first, payload.len(), None).as_slice(), payload].concat()
}

/// An event that outlives the buffer.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Message(Kind, Vec<u8>),
    Piece(Kind, bool, bool, Vec<u8>),
    RoundTrip(u64),
    Closed { by: By, code: CloseCode, reason: String, clean: bool, fault: Option<Fault> },
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(m) => Told::Message(m.kind, m.payload.to_vec()),
            Event::Piece(p) => Told::Piece(p.kind, p.first, p.last, p.payload.to_vec()),
            Event::RoundTrip(rtt) => Told::RoundTrip(rtt.as_millis() as u64),
            Event::Closed(c) => Told::Closed {
                by: c.by,
                code: c.code,
                reason: c.reason.to_string(),
                clean: c.clean,
                fault: c.fault,
            },
        }
    }
}

fn text(text: &str) -> Told {
    Told::Message(Kind::Text, text.as_bytes().to_vec())
}

fn binary(octets: &[u8]) -> Told {
    Told::Message(Kind::Binary, octets.to_vec())
}

fn broken(fault: Fault) -> Told {
    let reason = fault.reason().to_string();
    Told::Closed { by: By::Local, code: fault.close_code(), reason, clean: false, fault: Some(fault) }
}

/// One side with its buffers.
#[derive(Debug)]
struct End<R> {
    ws: WebSocket<R>,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    /// What a stream carried.
    stream: Vec<u8>,
    told: Vec<Told>,
}

impl<R: Role> End<R> {
    fn new(role: R, carries: Carries, config: &Config) -> Self {
        Self {
            ws: WebSocket::new(at(0), role, carries, config),
            input: GrowingRecvBuf::new(1 << 20),
            out: SharedSendBuf::new(1 << 20),
            stream: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Takes in all of `octets`, however many reads that takes.
    fn feed(&mut self, now: Instant, mut octets: &[u8]) {
        loop {
            octets = &octets[self.input.push(octets)..];
            self.turn(now);
            if octets.is_empty() {
                return;
            }
        }
    }

    fn turn(&mut self, now: Instant) {
        while let Some(event) = self.ws.recv(now, &mut self.input, &mut self.out) {
            self.told.push(event.into());
        }
        self.stream.extend_from_slice(self.ws.decoded(&mut self.input).take(usize::MAX));
    }

    fn transmit(&mut self, now: Instant) -> Transport {
        self.ws.poll_transmit(now, &mut self.out)
    }

    /// What was put out since the last time.
    fn sent(&mut self) -> Vec<u8> {
        let sent = self.out.slices().collect::<Vec<_>>().concat();
        self.out.sent(sent.len());
        sent
    }

    fn told(&mut self) -> Vec<Told> {
        core::mem::take(&mut self.told)
    }
}

fn server(carries: Carries) -> End<Server> {
    End::new(Server, carries, &Config::default())
}

fn client(carries: Carries) -> End<Client<Seeded>> {
    End::new(Client::new(Seeded::new(1)), carries, &Config::default())
}
