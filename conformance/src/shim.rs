//! Implementations behind standard input and output, one JSON object a line.
//!
//! The runner writes `{"new": {"dialect": …, "role": …, "config": …, "entropy": …}}`, then inputs as vectors write
//! them: `{"at_ms": …}`, `{"in": "hex"}`, `{"eof": true}`, `{"call": {…}}`. Each line is answered by
//! one line: `{"out": "hex", "events": [...], "deadline": {"at_ms": …, "why": …} | null, "fin": "open"}`,
//! or `{"unsupported": "why"}`; for a service by `{"conns": {"a": {…}, "b": {…}}}`, with what each
//! connection causes. An `in` with `"more": true` is a piece: output may wait for the last.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::dialect::Dialect;
use crate::pattern::{hex, unhex};
use crate::runner::{Answer, Answers, Implementation, Input, Trouble};
use crate::vector::{Config, EntropyScript, Fin, Level, MqttConfig, Role, Vector, named};

/// How long a command may take for an answer. It only ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that implements the protocol, as an [`Implementation`]. It ends with this value.
#[derive(Debug)]
pub struct Shim {
    child: Child,
    to: ChildStdin,
    from: Receiver<std::io::Result<String>>,
}

impl Shim {
    /// Starts `command` by the shell.
    ///
    /// # Errors
    /// What the system says when it cannot be started.
    pub fn start(command: &str) -> std::io::Result<Shim> {
        let mut child =
            Command::new("sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || std::io::Error::other("the command has no standard input and output");
        let (to, out) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        let (sender, from) = channel();
        std::thread::spawn(move || BufReader::new(out).lines().try_for_each(|line| sender.send(line)));
        Ok(Shim { child, to, from })
    }

    fn ask(&mut self, line: &Value) -> Result<Answers, Trouble> {
        let broken = |what: String| Trouble::Broken(format!("the command {what}"));
        let mut text = line.to_string();
        text.push('\n');
        self.to.write_all(text.as_bytes()).map_err(|e| broken(format!("takes no input: {e}")))?;
        self.to.flush().map_err(|e| broken(format!("takes no input: {e}")))?;
        let line = match self.from.recv_timeout(PATIENCE) {
            Ok(line) => line.map_err(|e| broken(format!("writes no text: {e}")))?,
            Err(RecvTimeoutError::Timeout) => return Err(broken("does not answer".into())),
            Err(RecvTimeoutError::Disconnected) => return Err(broken("has ended".into())),
        };
        read_answer(&line).map_err(|e| match e {
            Trouble::Broken(what) => broken(format!("answers {line:?}: {what}")),
            other => other,
        })
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Implementation for Shim {
    fn start(&mut self, vector: &Vector) -> Result<(), Trouble> {
        let entropy = json!({ "wire": vector.entropy.wire, "secret": vector.entropy.secret });
        let new = json!({ "dialect": vector.dialect.name(), "role": vector.role.name(),
            "config": write_config(&vector.config), "entropy": entropy });
        self.ask(&json!({ "new": new })).map(drop)
    }

    fn input(&mut self, conn: &str, input: &Input<'_>) -> Result<Answers, Trouble> {
        let mut line = match input {
            Input::At(ms) => json!({ "at_ms": ms }),
            Input::In { octets, more: false } => json!({ "in": hex(octets) }),
            Input::In { octets, more: true } => json!({ "in": hex(octets), "more": true }),
            Input::Eof => json!({ "eof": true }),
            Input::Call { name, arguments } => json!({ "call": { *name: arguments } }),
        };
        if !conn.is_empty() {
            line["conn"] = conn.into();
        }
        self.ask(&line)
    }
}

/// Reads the answer to one line.
fn read_answer(line: &str) -> Result<Answers, Trouble> {
    let broken = |what: &str| Trouble::Broken(what.to_owned());
    let value: Value = serde_json::from_str(line).map_err(|e| Trouble::Broken(e.to_string()))?;
    if let Some(why) = value.get("unsupported") {
        return Err(Trouble::Unsupported(why.as_str().unwrap_or("no reason was given").to_owned()));
    }
    if let Some(why) = value.get("error") {
        return Err(Trouble::Broken(why.to_string()));
    }
    match value.get("conns") {
        None => Ok(Answers::from([(String::new(), one_answer(&value)?)])),
        Some(conns) => {
            let conns = conns.as_object().ok_or_else(|| broken("conns is an object"))?;
            conns.iter().map(|(conn, answer)| Ok((conn.clone(), one_answer(answer)?))).collect()
        }
    }
}

/// Reads what an answer says of one connection.
fn one_answer(value: &Value) -> Result<Answer, Trouble> {
    let broken = |what: &str| Trouble::Broken(what.to_owned());
    let out = unhex(value.get("out").and_then(Value::as_str).unwrap_or_default()).map_err(Trouble::Broken)?;
    let events = value.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    let fin = match value.get("fin").and_then(Value::as_str) {
        None | Some("open") => Fin::Open,
        Some("shut") => Fin::Shut,
        Some("drop") => Fin::Drop,
        Some(_) => return Err(broken("fin is open, shut or drop")),
    };
    let deadline = match value.get("deadline") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(d) => {
            let at = d.get("at_ms").and_then(whole).ok_or_else(|| broken("a deadline has at_ms"))?;
            Some(Some((at, d.get("why").and_then(Value::as_str).unwrap_or_default().to_owned())))
        }
    };
    Ok(Answer { out, events, deadline, fin })
}

/// Whole milliseconds, also where a language writes them with a point; parts of one count as one.
fn whole(ms: &Value) -> Option<u64> {
    ms.as_u64().or_else(|| ms.as_f64().filter(|ms| *ms >= 0.0).map(|ms| ms.ceil() as u64))
}

fn write_config(c: &Config) -> Value {
    let mut to = Map::new();
    let numbers = [
        ("max_frame", c.max_frame.map(u64::from)),
        ("in_flight", c.in_flight.map(u64::from)),
        ("credit", c.credit),
        ("keepalive_ms", c.keepalive_ms),
        ("handshake_ms", c.handshake_ms),
        ("features", c.features),
        ("success", c.success.map(u64::from)),
        ("tunnel_window", c.tunnel_window.map(u64::from)),
    ];
    to.extend(numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?.into()))));
    if c.relay {
        to.insert("relay".to_owned(), true.into());
    }
    if let Some(keys) = &c.noise {
        to.insert("noise".to_owned(), json!(keys));
    }
    if !c.users.is_empty() {
        to.insert("users".to_owned(), json!(c.users));
    }
    if !c.denied.is_empty() {
        to.insert("denied".to_owned(), json!(c.denied));
    }
    if c.mqtt != MqttConfig::default() {
        to.insert("mqtt".to_owned(), json!(c.mqtt));
    }
    to.extend(c.manual_ack.map(|on| ("manual_ack".to_owned(), on.into())));
    Value::Object(to)
}

/// Makes `implementation` available over `input` and `output`, until `input` ends.
///
/// # Errors
/// What the system says when it cannot read or write.
pub fn serve(
    implementation: &mut dyn Implementation,
    input: impl BufRead,
    mut output: impl Write,
) -> std::io::Result<()> {
    for line in input.lines() {
        let answer = match answer(implementation, &line?) {
            Ok(answers) => write_answers(&answers),
            Err(Trouble::Unsupported(why)) => json!({ "unsupported": why }),
            Err(Trouble::Broken(what)) => json!({ "error": what }),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

/// Only a service has connections with names.
fn write_answers(answers: &Answers) -> Value {
    match answers.get("") {
        Some(answer) => write_answer(answer),
        None if answers.is_empty() => write_answer(&Answer::default()),
        None => {
            json!({ "conns": answers.iter().map(|(c, a)| (c.clone(), write_answer(a))).collect::<Map<_, _>>() })
        }
    }
}

fn write_answer(a: &Answer) -> Value {
    let deadline = a.deadline.clone().flatten().map(|(at, why)| json!({ "at_ms": at, "why": why }));
    json!({ "out": hex(&a.out), "events": a.events, "deadline": deadline, "fin": a.fin.name() })
}

fn answer(implementation: &mut dyn Implementation, line: &str) -> Result<Answers, Trouble> {
    let broken = |what: &str| Trouble::Broken(what.to_owned());
    let mut line: Map<String, Value> =
        serde_json::from_str(line).map_err(|e| Trouble::Broken(e.to_string()))?;
    if let Some(new) = line.remove("new") {
        implementation.start(&setup(new).map_err(|e| Trouble::Broken(e.to_string()))?)?;
        return Ok(Answers::new());
    }
    let conn = line.get("conn").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(ms) = line.get("at_ms").and_then(Value::as_u64) {
        return implementation.input(&conn, &Input::At(ms));
    }
    if let Some(text) = line.get("in").and_then(Value::as_str) {
        let octets = &unhex(text).map_err(Trouble::Broken)?;
        let more = line.get("more").and_then(Value::as_bool).unwrap_or(false);
        return implementation.input(&conn, &Input::In { octets, more });
    }
    if line.get("eof").and_then(Value::as_bool) == Some(true) {
        return implementation.input(&conn, &Input::Eof);
    }
    let Some(Value::Object(call)) = line.remove("call") else {
        return Err(broken("a line is one of new, at_ms, in, eof, call"));
    };
    let (name, arguments) = &named(call).map_err(Trouble::Broken)?;
    implementation.input(&conn, &Input::Call { name, arguments })
}

/// What `new` says, as a vector without a story.
fn setup(new: Value) -> serde_json::Result<Vector> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct New {
        #[serde(default)]
        dialect: Dialect,
        role: Role,
        #[serde(default)]
        config: Config,
        #[serde(default)]
        entropy: EntropyScript,
    }
    let New { dialect, role, config, entropy } = serde_json::from_value(new)?;
    let (name, notes, rules, steps) = (String::new(), String::new(), Vec::new(), Vec::new());
    let (level, socket) = (Level::Must, false);
    Ok(Vector { name, dialect, rules, level, role, socket, config, entropy, steps, notes })
}
