//! Vectors are trusted only when changed ones fail: this changes whatever matters in them.

use serde_json::Value;

use crate::pattern::{FramePattern, Pattern, Token};
use crate::runner::{Cut, Implementation, Outcome, run};
use crate::vector::{DeadlineIs, Fin, Vector, What};

/// Of a long pattern, only so many octets at either end are changed: the middle repeats itself.
const EDGE: usize = 40;

/// A vector with one change, which an implementation that passes the vector must fail.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was changed, and in which step.
    pub change: String,
    /// The changed vector.
    pub vector: Vector,
}

/// What came of mutating vectors.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many mutants there were.
    pub tried: usize,
    /// Those that passed all the same: vector and change.
    pub survivors: Vec<(String, String)>,
    /// Vectors that could not be mutated, because they do not pass as they are.
    pub skipped: Vec<String>,
}

/// Tries each `stride`th mutant (1: all) of all `vectors`.
pub fn check(vectors: &[Vector], implementation: &mut dyn Implementation, stride: usize) -> Report {
    let mut report = Report::default();
    let mut count = 0_usize;
    for vector in vectors {
        if run(vector, implementation, Cut::Whole) != Outcome::Pass {
            report.skipped.push(vector.name.clone());
            continue;
        }
        for mutant in mutants(vector) {
            count += 1;
            if !count.is_multiple_of(stride.max(1)) {
                continue;
            }
            report.tried += 1;
            if run(&mutant.vector, implementation, Cut::Whole) == Outcome::Pass {
                report.survivors.push((vector.name.clone(), mutant.change));
            }
        }
    }
    report
}

/// All mutants of a vector.
#[must_use]
pub fn mutants(vector: &Vector) -> Vec<Mutant> {
    let mut all = Vec::new();
    for (at, step) in vector.steps.iter().enumerate() {
        for (what, changed) in changes(&step.what, caused(vector, at)) {
            let mut mutant = vector.clone();
            match changed {
                Some(changed) => mutant.steps[at].what = changed,
                None => drop(mutant.steps.remove(at)),
            }
            all.push(Mutant { change: format!("step {at}: {what}"), vector: mutant });
        }
    }
    all
}

/// What an input causes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caused {
    Nothing,
    /// Octets or events.
    Something,
    /// The end: a receiver may know that it has come before the input is whole.
    TheEnd,
}

fn caused(vector: &Vector, at: usize) -> Caused {
    let behind = || vector.steps[at + 1..].iter().map(|s| &s.what).take_while(|w| !w.is_input());
    if !behind().any(|w| matches!(w, What::Out(_) | What::Event(..))) {
        Caused::Nothing
    } else if behind().any(|w| matches!(w, What::Fin(_))) {
        Caused::TheEnd
    } else {
        Caused::Something
    }
}

/// What a step is changed to; nothing where it is left out.
type Change = (String, Option<What>);

fn changes(what: &What, caused: Caused) -> Vec<Change> {
    let causes = caused != Caused::Nothing;
    let without = |name: &str| (format!("without {name}"), None);
    match what {
        What::Out(pattern) => {
            let mut all = octets(pattern);
            all.push(without("out"));
            let mut longer = pattern.clone();
            longer.0.push(Token::Any);
            all.push(("one octet more".into(), Some(What::Out(longer))));
            all
        }
        What::Event(name, members) => {
            let mut all = vec![without("event")];
            all.push(("another event".into(), Some(What::Event(format!("not_{name}"), members.clone()))));
            for (member, value) in members {
                let mut changed = members.clone();
                changed.insert(member.clone(), other(value));
                all.push((format!("another {member}"), Some(What::Event(name.clone(), changed))));
            }
            all
        }
        What::Deadline(deadline) => deadlines(deadline.as_ref()),
        What::Fin(fin) => [Fin::Open, Fin::Shut, Fin::Drop]
            .into_iter()
            .filter(|f| !fin.allows(*f))
            .map(|f| (format!("fin {}", f.name()), Some(What::Fin(f))))
            .collect(),
        What::At(ms) if causes && *ms > 0 => {
            vec![without("at_ms"), ("1 ms earlier".into(), Some(What::At(ms - 1)))]
        }
        What::In(pattern) if causes => {
            let mut all = vec![without("in")];
            if caused == Caused::Something {
                let mut shorter = pattern.clone();
                shorter.0.pop();
                all.push(("one octet less comes in".into(), Some(What::In(shorter))));
            }
            all
        }
        What::Eof if causes => vec![without("eof")],
        What::Call(name, _) if causes && name != "connect" => vec![without("call")],
        _ => Vec::new(),
    }
}

fn octets(pattern: &Pattern) -> Vec<Change> {
    let tokens = &pattern.0;
    let mut all = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if i >= EDGE && i + EDGE < tokens.len() {
            continue;
        }
        for changed in token_changes(token) {
            let mut mutant = pattern.clone();
            let what = format!("octet {i}: {changed:?}");
            mutant.0[i] = changed;
            all.push((what, Some(What::Out(mutant))));
        }
    }
    all
}

fn token_changes(token: &Token) -> Vec<Token> {
    use FramePattern as F;
    match token {
        Token::Octet(b) => vec![Token::Octet(b ^ 1), Token::Octet(b ^ 0x80)],
        Token::Any | Token::Capture(..) | Token::Sized(_) | Token::Rest => Vec::new(),
        Token::Packet(packet) => packet.changes().into_iter().map(|p| Token::Packet(Box::new(p))).collect(),
        Token::AnyOrder(all) => {
            let each = (0..all.len()).flat_map(|i| token_changes(&all[i]).into_iter().map(move |t| (i, t)));
            let with = |(i, token)| {
                let mut changed = all.clone();
                changed[i] = token;
                Token::AnyOrder(changed)
            };
            each.map(with).collect()
        }
        Token::Response(response) => response.changes().into_iter().map(Token::Response).collect(),
        Token::WebSocketClose(code) => vec![Token::WebSocketClose(code ^ 1)],
        Token::Message(message) => message.changes().into_iter().map(Token::Message).collect(),
        Token::Recall(_) => vec![Token::Octet(0)],
        Token::Frame(frame) => match frame {
            F::Kind(kind) => vec![F::Kind(kind ^ 1)],
            F::Close(code) => vec![F::Close(code ^ 1), F::Kind(crate::wire::RESULT)],
            F::Result(kind, id, status) => {
                vec![
                    F::Result(kind ^ 1, *id, *status),
                    F::Result(*kind, id ^ 1, *status),
                    F::Result(*kind, *id, status ^ 1),
                ]
            }
            F::Request(name, subscription) => vec![F::Request(name.clone(), subscription ^ 1)],
            F::Response(id, status) => vec![F::Response(id ^ 1, *status), F::Response(*id, status ^ 1)],
            F::Welcome(name, received) => {
                let mut all = vec![F::Kind(crate::wire::RESULT)];
                all.extend(received.map(|r| F::Welcome(name.clone(), Some(Some(r.map_or(0, |n| n + 1))))));
                all
            }
        }
        .into_iter()
        .map(Token::Frame)
        .collect(),
    }
}

fn deadlines(deadline: Option<&DeadlineIs>) -> Vec<Change> {
    let Some(d) = deadline else {
        let some = DeadlineIs { at_ms: None, by_ms: None, why: None };
        return vec![("some deadline".into(), Some(What::Deadline(Some(some))))];
    };
    let mut all = vec![("no deadline".into(), Some(What::Deadline(None)))];
    let mut change =
        |what: &str, changed: DeadlineIs| all.push((what.into(), Some(What::Deadline(Some(changed)))));
    if let Some(ms) = d.at_ms {
        change("1 ms later", DeadlineIs { at_ms: Some(ms + 1), ..d.clone() });
        change("1 ms earlier", DeadlineIs { at_ms: Some(ms.wrapping_sub(1)), ..d.clone() });
    }
    if d.by_ms.is_some() {
        change("at once", DeadlineIs { by_ms: Some(0), ..d.clone() });
    }
    if d.why.is_some() {
        change("another reason", DeadlineIs { why: Some("none".into()), ..d.clone() });
    }
    all
}

/// A value that is not this one.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => Value::from(1),
        Value::Bool(b) => Value::from(!b),
        Value::Number(n) => n.as_u64().map_or(Value::Null, |n| Value::from(n ^ 1)),
        Value::String(s) => Value::from(format!("{s}x")),
        Value::Array(_) => Value::from("no list"),
        Value::Object(members) => {
            let mut changed = members.clone();
            match changed.iter_mut().next() {
                Some((_, first)) => *first = other(first),
                None => return Value::from("no object"),
            }
            Value::Object(changed)
        }
    }
}
