//! Runs a vector on an implementation.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::dialect::Dialect;
use crate::pattern::{self, Captures, Matched, Pattern};
use crate::vector::{DeadlineIs, Fin, Role, Step, Vector, What};
use crate::wire;

/// What an implementation is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// The time becomes this, in milliseconds; what is due happens.
    At(u64),
    /// The peer's octets arrive; with `more`, others follow at once, and output can wait for them.
    In {
        /// The octets.
        octets: &'a [u8],
        /// Whether this is only a piece.
        more: bool,
    },
    /// The peer ends its direction of the stream.
    Eof,
    /// The application calls.
    Call {
        /// What.
        name: &'a str,
        /// With which arguments.
        arguments: &'a Map<String, Value>,
    },
}

/// What an implementation answers to an input, for one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The octets it has to send.
    pub out: Vec<u8>,
    /// Its events, each an object with one member.
    pub events: Vec<Value>,
    /// When it wants to be called next, and why; nothing where it does not say.
    pub deadline: Option<Option<(u64, String)>>,
    /// What it wants of the transport.
    pub fin: Fin,
}

/// The answers, by connection (one with an empty name where there is only one).
pub type Answers = BTreeMap<String, Answer>;

/// An implementation does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not have what the vector needs.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// It has failed.
    #[error("{0}")]
    Broken(String),
}

/// Something that vectors can be run on.
pub trait Implementation {
    /// Begins anew, set up as `vector` says.
    ///
    /// # Errors
    /// [`Trouble`], where it cannot be set up like that.
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble>;

    /// Takes an input, works until nothing is left to do, and answers.
    ///
    /// # Errors
    /// [`Trouble`], where it cannot.
    fn input(&mut self, conn: &str, input: &Input<'_>) -> Result<Answers, Trouble>;
}

/// How `in` is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// Octet by octet.
    Octets,
    /// At random places that follow from this seed.
    Seeded(u64),
}

/// How a vector went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As told.
    Pass,
    /// Not as told: at which step (from 0), and what was different.
    Fail {
        /// The step; that of the input, where what it caused was not expected.
        step: usize,
        /// What was different.
        what: String,
    },
    /// The implementation does not have what the vector needs.
    Unsupported(String),
    /// Not as told, and why is [known](crate::differences).
    Explained(String),
}

/// Where a service relays to in a white box and behind a shim.
pub const ECHO: &str = "127.0.0.1:7";

/// Runs `vector` on `implementation`.
pub fn run(vector: &Vector, implementation: &mut dyn Implementation, cut: Cut) -> Outcome {
    let (dialect, fin) = (vector.dialect, BTreeMap::new());
    let captures = pattern::known(ECHO);
    let mut run = Run { implementation, dialect, captures, fin, cut };
    match run.all(vector) {
        Ok(()) => Outcome::Pass,
        Err((_, Trouble::Unsupported(why))) => Outcome::Unsupported(why),
        Err((step, Trouble::Broken(what))) => Outcome::Fail { step, what },
    }
}

/// Runs `vector` whole, octet by octet, and at `cuts` seeded cuts; the first that does not pass.
pub fn run_all_ways(vector: &Vector, implementation: &mut dyn Implementation, cuts: u64) -> (Cut, Outcome) {
    let ways = [Cut::Whole, Cut::Octets].into_iter().chain((0..cuts).map(Cut::Seeded));
    for cut in ways {
        match run(vector, implementation, cut) {
            Outcome::Pass => {}
            other => return (cut, other),
        }
    }
    (Cut::Whole, Outcome::Pass)
}

struct Run<'i> {
    implementation: &'i mut dyn Implementation,
    dialect: Dialect,
    captures: Captures,
    fin: BTreeMap<String, Fin>,
    cut: Cut,
}

impl Run<'_> {
    fn all(&mut self, vector: &Vector) -> Result<(), (usize, Trouble)> {
        self.implementation.start(vector).map_err(|t| (0, t))?;
        let steps = &vector.steps;
        let mut at = 0;
        if vector.role == Role::Client && !begins_with_connect(steps) {
            let connect = What::Call("connect".to_owned(), Map::new());
            let answers = self.input("", &connect).map_err(|t| (0, t))?;
            at = expectations(steps, 0);
            self.compare(&steps[..at], 0, answers)?;
        }
        while let Some(step) = steps.get(at) {
            let answers = self.input(&step.conn, &step.what).map_err(|t| (at, t))?;
            let end = expectations(steps, at + 1);
            self.compare(&steps[at + 1..end], at, answers)?;
            at = end;
        }
        Ok(())
    }

    fn input(&mut self, conn: &str, what: &What) -> Result<Answers, Trouble> {
        match what {
            What::At(ms) => self.implementation.input(conn, &Input::At(*ms)),
            What::Eof => self.implementation.input(conn, &Input::Eof),
            What::Call(name, arguments) => {
                let arguments = &recalled(arguments, &self.captures);
                self.implementation.input(conn, &Input::Call { name, arguments })
            }
            What::In(pattern) => {
                let octets = pattern.octets(&self.captures).map_err(Trouble::Broken)?;
                self.pieces(conn, &octets)
            }
            expected => Err(Trouble::Broken(format!("{expected:?} is no input"))),
        }
    }

    fn pieces(&mut self, conn: &str, octets: &[u8]) -> Result<Answers, Trouble> {
        let mut all = Answers::new();
        let mut from = 0;
        for to in ends(self.cut, octets.len()) {
            let input = Input::In { octets: &octets[from..to], more: to < octets.len() };
            for (conn, answer) in self.implementation.input(conn, &input)? {
                let sum = all.entry(conn).or_default();
                sum.out.extend(answer.out);
                sum.events.extend(answer.events);
                (sum.deadline, sum.fin) = (answer.deadline, answer.fin);
            }
            from = to;
        }
        Ok(all)
    }

    /// Compares all that an input has caused with what stands behind it.
    fn compare(
        &mut self,
        expected: &[Step],
        at: usize,
        mut answers: Answers,
    ) -> Result<(), (usize, Trouble)> {
        let fail = |step: usize, what: String| Err((step, Trouble::Broken(what)));
        for (i, step) in expected.iter().enumerate() {
            let here = at + 1 + i;
            let answer = answers.entry(step.conn.clone()).or_default();
            match &step.what {
                What::Out(pattern) => {
                    let out = std::mem::take(&mut answer.out);
                    if let Err(why) = whole(self.dialect, pattern.matches(&out, &mut self.captures), &out) {
                        return fail(here, why);
                    }
                }
                What::Event(name, members) => {
                    if answer.events.is_empty() {
                        return fail(here, format!("event {name} did not come"));
                    }
                    if let Err(why) = event(name, members, &answer.events.remove(0)) {
                        return fail(here, why);
                    }
                }
                What::Deadline(wanted) => {
                    if let Err(why) = deadline(wanted.as_ref(), answer.deadline.as_ref()) {
                        return fail(here, why);
                    }
                }
                What::Fin(fin) => {
                    self.fin.insert(step.conn.clone(), *fin);
                }
                input => return fail(here, format!("{input:?} is no expectation")),
            }
        }
        for (conn, answer) in answers {
            let on = if conn.is_empty() { String::new() } else { format!(" on {conn}") };
            if !answer.out.is_empty() {
                return fail(at, format!("not expected{on}: {}", wire::describe(self.dialect, &answer.out)));
            }
            if let Some(event) = answer.events.first() {
                return fail(at, format!("not expected{on}: event {event}"));
            }
            let fin = self.fin.entry(conn).or_default();
            if !fin.allows(answer.fin) {
                return fail(at, format!("transport {} instead of {}{on}", answer.fin.name(), fin.name()));
            }
        }
        Ok(())
    }
}

fn begins_with_connect(steps: &[Step]) -> bool {
    steps
        .iter()
        .find(|s| !matches!(s.what, What::At(_)))
        .is_some_and(|s| matches!(&s.what, What::Call(name, _) if name == "connect"))
}

/// Where the expectations that begin at `from` end.
fn expectations(steps: &[Step], from: usize) -> usize {
    steps[from..].iter().position(|s| s.what.is_input()).map_or(steps.len(), |n| from + n)
}

/// Where the pieces of `len` octets end. Of long inputs only both ends are cut octet by octet.
fn ends(cut: Cut, len: usize) -> Vec<usize> {
    const EDGE: usize = 256;
    const STRIDE: usize = 4093;
    let mut ends: Vec<usize> = match cut {
        Cut::Whole => Vec::new(),
        Cut::Octets => {
            (1..len).filter(|n| *n <= EDGE || *n >= len - EDGE.min(len) || n % STRIDE == 0).collect()
        }
        Cut::Seeded(seed) => {
            let mut state = seed.wrapping_add(len as u64);
            let mut at = 0;
            std::iter::from_fn(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let longest = (len as u64 / 8).clamp(8, 16_384);
                at += 1 + ((state >> 33) % longest) as usize;
                (at < len).then_some(at)
            })
            .collect()
        }
    };
    ends.push(len);
    ends
}

/// Arguments with their octets written out: repetitions, and names that octets were remembered under.
fn recalled(arguments: &Map<String, Value>, captures: &Captures) -> Map<String, Value> {
    let written = |name: &String, value: &Value| {
        let text = value.as_str().filter(|_| OCTETS.contains(&name.as_str()))?;
        Some(Value::String(crate::pattern::hex(&Pattern::parse(text).ok()?.octets(captures).ok()?)))
    };
    arguments.iter().map(|(k, v)| (k.clone(), written(k, v).unwrap_or_else(|| v.clone()))).collect()
}

/// The arguments that hold octets.
const OCTETS: [&str; 7] = ["payload", "data", "session", "key", "auth", "token", "mark"];

fn whole(dialect: Dialect, matched: Matched, out: &[u8]) -> Result<(), String> {
    match matched {
        Matched::All(n) if n == out.len() => Ok(()),
        Matched::All(n) => Err(format!("octets too many: {}", wire::describe(dialect, &out[n..]))),
        Matched::More => Err(format!("octets are missing behind: {}", wire::describe(dialect, out))),
        Matched::Not(why) => Err(format!("{why}; sent was {}", wire::describe(dialect, out))),
    }
}

fn event(name: &str, members: &Map<String, Value>, found: &Value) -> Result<(), String> {
    let inside = found.get(name).and_then(Value::as_object);
    let Some(inside) = inside else { return Err(format!("event {found} instead of {name}")) };
    contains("", members, inside).map_err(|why| format!("event {name}: {why}"))
}

/// Whether all `wanted` members are in `found`. What is absent there is as its absence means: `null`,
/// false, 0 or empty.
fn contains(path: &str, wanted: &Map<String, Value>, found: &Map<String, Value>) -> Result<(), String> {
    for (key, want) in wanted {
        let have = found.get(key).unwrap_or(&Value::Null);
        match (want, have) {
            (Value::Object(w), Value::Object(h)) => contains(&format!("{path}{key}."), w, h)?,
            _ if want == have => {}
            (Value::Bool(false), Value::Null) => {}
            (Value::Number(n), Value::Null) if n.as_u64() == Some(0) => {}
            (Value::String(s), Value::Null) if s.is_empty() => {}
            _ => return Err(format!("{path}{key} is {have} instead of {want}")),
        }
    }
    Ok(())
}

fn deadline(wanted: Option<&DeadlineIs>, found: Option<&Option<(u64, String)>>) -> Result<(), String> {
    let Some(found) = found else { return Ok(()) };
    let (want, (at, why)) = match (wanted, found) {
        (None, None) => return Ok(()),
        (Some(want), Some(found)) => (want, found),
        (None, Some((at, why))) => return Err(format!("a deadline at {at} ({why}) instead of none")),
        (Some(want), None) => return Err(format!("no deadline instead of {want:?}")),
    };
    if want.at_ms.is_some_and(|ms| ms != *at) || want.by_ms.is_some_and(|ms| *at > ms) {
        return Err(format!("a deadline at {at} ({why}) instead of {want:?}"));
    }
    match &want.why {
        Some(reason) if reason != why => Err(format!("the deadline's reason is {why} instead of {reason}")),
        _ => Ok(()),
    }
}
