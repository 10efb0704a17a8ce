//! Vectors on a server behind a socket: what the wire shows.
//!
//! Only `in`, `eof`, `out` and `fin` are looked at; events, calls and deadlines are a server's own
//! business. `at_ms` is not slept: it adds to the time that the next `out` may take. That nothing
//! more was sent is shown by a last PING, whose PONG must be all that comes. What the octets go over is
//! a [`Carrier`]'s to know.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::carrier::{Carrier, Stream};
use crate::dialect::Dialect;
use crate::mqtt;
use crate::pattern::{self, Captures, FramePattern, Matched, Pattern, Token};
use crate::runner::Outcome;
use crate::vector::{Fin, Vector, What};
use crate::wire::{self, Head};

/// How long an answer may take, beside the time that the vector gives it: much more than any
/// server that works needs, because it is only waited for where an answer does not come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `vector` against the server that `carrier` reaches.
#[must_use]
pub fn run(vector: &Vector, carrier: &Carrier) -> Outcome {
    run_patiently(vector, carrier, PATIENCE)
}

/// The same; an answer may take `patience`, or [`PATIENCE`] where it waits for time to pass.
#[must_use]
pub fn run_patiently(vector: &Vector, carrier: &Carrier, patience: Duration) -> Outcome {
    if !vector.socket {
        return Outcome::Unsupported("only a white box or a shim can show what this vector checks".into());
    }
    if let Some(why) = carrier.skips(vector) {
        return Outcome::Unsupported(why.into());
    }
    let (conns, captures) = (BTreeMap::new(), pattern::known(carrier.relays_to()));
    let mut run =
        Run { carrier, dialect: vector.dialect, conns, captures, time: 0, patience, allowance: patience };
    let outcome = run.play(vector);
    run.leave();
    match run.tidy(vector) {
        Err(what) if outcome == Outcome::Pass => Outcome::Fail { step: vector.steps.len() - 1, what },
        _ => outcome,
    }
}

/// What CONNACK begins with, in the upper half of its first octet.
const CONNACK: u8 = 2;

struct Run<'a> {
    carrier: &'a Carrier,
    dialect: Dialect,
    conns: BTreeMap<String, Conn>,
    captures: Captures,
    time: u64,
    patience: Duration,
    allowance: Duration,
}

struct Conn {
    dialect: Dialect,
    stream: Stream,
    /// Received, and not compared yet.
    bytes: Vec<u8>,
    ended: bool,
    /// The server has taken the client.
    open: bool,
    /// Nothing more is expected of it.
    over: bool,
    /// Whatever it brings before its end may come.
    anything: bool,
}

impl Run<'_> {
    fn play(&mut self, vector: &Vector) -> Outcome {
        for (step, s) in vector.steps.iter().enumerate() {
            if let Err(what) = self.step(&s.conn, &s.what) {
                return Outcome::Fail { step, what };
            }
        }
        match self.finish() {
            Ok(()) => Outcome::Pass,
            Err(what) => Outcome::Fail { step: vector.steps.len() - 1, what },
        }
    }

    /// Ends all connections, and waits until the server has: what they subscribed to must not
    /// answer the next vector.
    fn leave(&mut self) {
        let until = Instant::now() + PATIENCE;
        for conn in self.conns.values_mut() {
            conn.stream.end();
        }
        for conn in self.conns.values_mut() {
            while !conn.ended && conn.read(until).is_ok() {
                conn.bytes.clear();
            }
        }
    }

    /// Removes what a server keeps beyond connections: the next vector must not meet it.
    fn tidy(&self, vector: &Vector) -> Result<(), String> {
        let errands = if self.dialect.mqtt_version().is_some() { mqtt::errands(vector) } else { Vec::new() };
        for errand in errands {
            let mut conn = Conn::open(self.carrier, self.dialect).map_err(|e| e.to_string())?;
            for (i, packet) in errand.iter().enumerate() {
                conn.send(packet)?;
                while !conn.ended && (conn.bytes.is_empty() || i + 1 == errand.len()) {
                    conn.read(Instant::now() + PATIENCE).map_err(|e| format!("to tidy up: {e}"))?;
                }
                conn.bytes.clear();
            }
        }
        Ok(())
    }

    fn step(&mut self, name: &str, what: &What) -> Result<(), String> {
        match what {
            What::At(ms) => {
                self.allowance = self.patience.max(PATIENCE) + Duration::from_millis(ms - self.time);
                self.time = *ms;
                self.conn(name).map(drop)
            }
            What::In(pattern) => {
                let octets = pattern.octets(&self.captures)?;
                self.conn(name)?.send(&octets)
            }
            What::Eof => {
                let conn = self.conn(name)?;
                conn.over = true;
                conn.stream.end();
                Ok(())
            }
            What::Out(pattern) => {
                let until = Instant::now() + self.allowance;
                self.conn(name)?;
                let conn = self.conns.get_mut(name).ok_or("no such connection")?;
                conn.expect(pattern, &mut self.captures, until)
            }
            What::Fin(Fin::Open) => Ok(()),
            What::Fin(_) => {
                let until = Instant::now() + self.allowance;
                self.conn(name)?.expect_end(until)
            }
            What::Call(..) | What::Event(..) | What::Deadline(_) => Ok(()),
        }
    }

    /// The connection with this name; it begins when it is first named.
    fn conn(&mut self, name: &str) -> Result<&mut Conn, String> {
        if !self.conns.contains_key(name) {
            let conn = Conn::open(self.carrier, self.dialect)
                .map_err(|e| format!("cannot connect to {}: {e}", self.carrier.address()))?;
            self.conns.insert(name.to_owned(), conn);
        }
        self.conns.get_mut(name).ok_or_else(|| "no such connection".to_owned())
    }

    /// Shows that nothing more was sent on any connection that is open.
    fn finish(&mut self) -> Result<(), String> {
        for (name, conn) in &mut self.conns {
            conn.finish(self.patience)
                .map_err(|why| if name.is_empty() { why } else { format!("on {name}: {why}") })?;
        }
        Ok(())
    }
}

/// Whether the specification lets a server close without sending any of this.
fn may_be_silent(pattern: &Pattern) -> bool {
    pattern.0.iter().all(|token| matches!(token, Token::Packet(packet) if packet.maybe))
}

impl Conn {
    fn open(carrier: &Carrier, dialect: Dialect) -> std::io::Result<Conn> {
        let (bytes, ended, open, over, anything) = (Vec::new(), false, false, false, false);
        Ok(Conn { dialect, stream: carrier.open(dialect)?, bytes, ended, open, over, anything })
    }

    fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        match self.stream.write(octets) {
            // The server may have closed in the midst of it, and what it said tells whether it should.
            Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(format!("the server does not read: {e}"))
            }
            _ => Ok(()),
        }
    }

    /// Reads once; false at the end of the stream.
    fn read(&mut self, until: Instant) -> Result<bool, String> {
        match self.stream.read(&mut self.bytes, until) {
            Ok(more) => self.ended = !more,
            Err(e) if e.kind() == ErrorKind::TimedOut => {
                let received = wire::describe(self.dialect, &self.bytes);
                return Err(format!("nothing more came in time; received was {received}"));
            }
            Err(e) => return Err(e.to_string()),
        }
        Ok(!self.ended)
    }

    fn expect(&mut self, pattern: &Pattern, captures: &mut Captures, until: Instant) -> Result<(), String> {
        self.anything |= pattern.0.last() == Some(&Token::Rest);
        loop {
            match pattern.matches(&self.bytes, captures) {
                Matched::All(n) => {
                    self.open |= self.is_welcome(pattern);
                    self.bytes.drain(..n);
                    return Ok(());
                }
                Matched::Not(why) => {
                    return Err(format!("{why}; received was {}", wire::describe(self.dialect, &self.bytes)));
                }
                Matched::More if self.ended && self.bytes.is_empty() && may_be_silent(pattern) => {
                    return Ok(());
                }
                Matched::More if self.ended => {
                    return Err(format!(
                        "the stream ended after {}",
                        wire::describe(self.dialect, &self.bytes)
                    ));
                }
                Matched::More => self.read(until).map(drop)?,
            }
        }
    }

    /// Whether what has come, and agrees with `pattern`, says that the server has taken the client.
    fn is_welcome(&self, pattern: &Pattern) -> bool {
        let welcome = |t: &Token| matches!(t, Token::Frame(FramePattern::Welcome(..)));
        match self.dialect {
            Dialect::Bowline => pattern.0.iter().any(welcome),
            Dialect::Http => false,
            Dialect::Websocket | Dialect::Json => self.bytes.starts_with(b"HTTP/1.1 101 "),
            Dialect::Mqtt3 | Dialect::Mqtt5 | Dialect::Prx1 => {
                self.bytes.first().is_some_and(|b| b >> 4 == CONNACK)
            }
        }
    }

    fn expect_end(&mut self, until: Instant) -> Result<(), String> {
        self.over = true;
        while !self.ended && (self.bytes.is_empty() || self.anything) {
            self.read(until).map_err(|_| "the server does not end the stream")?;
        }
        if self.bytes.is_empty() || self.anything {
            Ok(())
        } else {
            Err(format!("behind the last frame came {}", wire::describe(self.dialect, &self.bytes)))
        }
    }

    fn finish(&mut self, patience: Duration) -> Result<(), String> {
        if self.over || !self.open {
            return Ok(());
        }
        let (ping, pong) = self.dialect.sentinel();
        self.send(ping)?;
        let until = Instant::now() + patience;
        while self.dialect.is_framed() {
            if self.bytes.len() >= pong.len() {
                let found = wire::describe(self.dialect, &self.bytes);
                return if self.bytes == pong { Ok(()) } else { Err(format!("not expected: {found}")) };
            }
            if self.ended {
                return Err("the server ended the stream".into());
            }
            self.read(until).map(drop)?;
        }
        loop {
            while let Ok(Some(head)) = Head::read(&self.bytes) {
                if self.bytes.len() < head.end() {
                    break;
                }
                let frame: Vec<u8> = self.bytes.drain(..head.end()).collect();
                match (self.dialect, wire::kind_name(head.kind).as_str()) {
                    _ if frame == pong => return Ok(()),
                    // What a server may send whenever it likes.
                    (Dialect::Bowline, "ACK" | "CREDIT" | "PING" | "WINDOW") => {}
                    _ => return Err(format!("not expected: {}", wire::describe(self.dialect, &frame))),
                }
            }
            if self.ended {
                return Err("the server ended the stream".into());
            }
            self.read(until).map(drop)?;
        }
    }
}
