//! The server's log: lines on stderr, as text or as JSON, and the last of them in memory for the console.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt as lines;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::failure::Failure;

/// Lines that are kept at most, and octets of them.
const LINES: usize = 200;
const OCTETS: usize = 64 << 10;

/// So many watch it at once.
const WATCHERS: usize = 8;

/// Octets at most of what is said in one field: peers choose some of it.
const FIELD: usize = 1024;

/// Starts the log of this process. To be called once.
pub(crate) fn start(log: &Log) -> Result<Arc<Tail>, Failure> {
    let filter: Targets = log.level.parse().map_err(|error| Failure::new(format!("log.level: {error}")))?;
    let tail = Arc::new(Tail::default());
    let registry = tracing_subscriber::registry().with(filter).with(Keeper(Arc::clone(&tail)));
    let lines = lines::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|error| Failure::new(format!("the log cannot be started: {error}")))?;
    Ok(tail)
}

/// The last lines of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    octets: usize,
    /// The number of the last line: they count from 1.
    last: u64,
    /// Who is woken by the next line, by their numbers.
    watchers: BTreeMap<u64, Waker>,
    watched: u64,
}

#[derive(Debug)]
struct Line {
    level: Level,
    /// A JSON object.
    text: String,
}

impl Tail {
    /// Shows the lines behind the one with the number `after` and up to `last` that are as important as
    /// `level`, each with its number. Numbers begin anew with each start: behind one that there is not yet are all lines.
    fn read_to(&self, after: u64, last: u64, level: Level, mut each: impl FnMut(u64, &str)) {
        let ring = self.0.lock();
        let after = if after > ring.last { 0 } else { after };
        let first = ring.last - ring.lines.len() as u64 + 1;
        for (number, line) in (first..).zip(&ring.lines) {
            // A level is the greater the more it tells.
            if number > after && number <= last && line.level <= level {
                each(number, &line.text);
            }
        }
    }

    /// Begins to watch it behind the line with this number; nothing where too many do.
    pub(crate) fn watch(self: &Arc<Self>, after: u64, level: Level) -> Option<Watch> {
        let mut ring = self.0.lock();
        if ring.watchers.len() >= WATCHERS {
            return None;
        }
        ring.watched += 1;
        let number = ring.watched;
        ring.watchers.insert(number, Waker::noop().clone());
        Some(Watch { tail: Arc::clone(self), number, last: after, level })
    }

    fn push(&self, line: Line) {
        let mut ring = self.0.lock();
        ring.last += 1;
        ring.octets += line.text.len();
        ring.lines.push_back(line);
        while ring.lines.len() > LINES || ring.octets > OCTETS {
            let Some(old) = ring.lines.pop_front() else { break };
            ring.octets -= old.text.len();
        }
        let wakers: Vec<Waker> = ring.watchers.values().cloned().collect();
        drop(ring);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Somebody who watches the log.
#[derive(Debug)]
pub(crate) struct Watch {
    tail: Arc<Tail>,
    number: u64,
    last: u64,
    level: Level,
}

impl Watch {
    /// Shows the lines that came since the last call, each with its number; `waker` is woken by the next.
    pub(crate) fn read(&mut self, waker: &Waker, each: impl FnMut(u64, &str)) {
        let last = {
            let mut ring = self.tail.0.lock();
            ring.watchers.insert(self.number, waker.clone());
            ring.last
        };
        // What comes between is shown twice by nobody: it is behind `last`, and wakes.
        self.tail.read_to(self.last, last, self.level, each);
        self.last = last;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let waker = self.tail.0.lock().watchers.remove(&self.number);
        drop(waker); // Without the lock.
    }
}

/// Keeps what is logged.
struct Keeper(Arc<Tail>);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let (metadata, mut fields) = (event.metadata(), Fields::default());
        event.record(&mut fields);
        let text = json!({
            "ts": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "level": metadata.level().as_str().to_ascii_lowercase(),
            "target": metadata.target(),
            "message": fields.message,
            "fields": fields.others,
        });
        self.0.push(Line { level: *metadata.level(), text: text.to_string() });
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Short(String::new());
        // It ends where it is too long.
        let _ = write!(text, "{value:?}");
        if field.name() == "message" {
            self.message = text.0;
        } else {
            self.set(field, text.0);
        }
    }
}

/// A text that takes no more than [`FIELD`] octets.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = FIELD - self.0.len().min(FIELD);
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tail: &Tail, after: u64, level: Level) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        tail.read_to(after, u64::MAX, level, |number, text| lines.push((number, text.to_owned())));
        lines
    }

    #[test]
    fn the_last_lines_are_kept_and_numbered() {
        let tail = Tail::default();
        assert!(read(&tail, 0, Level::TRACE).is_empty());
        for number in 1..=300 {
            let level = if number % 2 == 0 { Level::INFO } else { Level::DEBUG };
            tail.push(Line { level, text: number.to_string() });
        }
        let all = read(&tail, 0, Level::DEBUG);
        assert_eq!(
            (all.len(), all[0].clone(), all[199].clone()),
            (200, (101, "101".into()), (300, "300".into()))
        );
        assert_eq!(read(&tail, 297, Level::INFO), [(298, "298".into()), (300, "300".into())]);
        assert!(read(&tail, 300, Level::DEBUG).is_empty());
        assert_eq!(read(&tail, 301, Level::DEBUG).len(), 200, "of an earlier start");
    }

    #[test]
    fn who_watches_is_woken_and_sees_each_line_once() {
        struct Woken(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let (tail, woken) = (Arc::new(Tail::default()), Arc::new(Woken(Default::default())));
        let waker = Waker::from(Arc::clone(&woken));
        let push = |level, text: &str| tail.push(Line { level, text: text.to_owned() });
        push(Level::INFO, "before");
        let mut watch = tail.watch(0, Level::INFO).unwrap();
        let seen = |watch: &mut Watch| {
            let mut lines = Vec::new();
            watch.read(&waker, |number, text| lines.push(format!("{number} {text}")));
            lines
        };
        assert_eq!((seen(&mut watch), seen(&mut watch)), (vec!["1 before".to_owned()], vec![]));
        push(Level::DEBUG, "too much");
        push(Level::WARN, "after");
        assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 2);
        assert_eq!(seen(&mut watch), ["3 after"]);
        // There are as many as there may be, until one goes.
        let mut others: Vec<Watch> = (1..WATCHERS).map(|_| tail.watch(0, Level::INFO).unwrap()).collect();
        assert!(tail.watch(0, Level::INFO).is_none());
        others.pop();
        assert_eq!(seen(&mut tail.watch(3, Level::INFO).unwrap()), Vec::<String>::new());
        drop((watch, others));
        push(Level::INFO, "nobody");
        assert!(tail.0.lock().watchers.is_empty());
    }

    #[test]
    fn its_memory_is_bounded() {
        let tail = Tail::default();
        for _ in 0..100 {
            tail.push(Line { level: Level::INFO, text: "x".repeat(1000) });
        }
        assert_eq!(read(&tail, 0, Level::INFO).len(), OCTETS / 1000);
        let mut short = Short(String::new());
        assert!(write!(short, "{}", "é".repeat(1000)).is_err());
        assert_eq!(short.0.chars().count(), FIELD / 2 + 1);
    }

    #[test]
    fn what_is_logged_is_kept_as_json() {
        let tail = Arc::new(Tail::default());
        let registry = tracing_subscriber::registry().with(Keeper(Arc::clone(&tail)));
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(from = "10.0.0.1", count = 3, bad = %"a\"\n", "said");
        });
        let line: Value = serde_json::from_str(&read(&tail, 0, Level::WARN)[0].1).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&json!("warn"), &json!("said")));
        assert_eq!(line["fields"], json!({"from": "10.0.0.1", "count": 3, "bad": "a\"\n"}));
        assert!(
            line["ts"].as_str().unwrap().ends_with('Z') && line["target"].as_str().unwrap().contains("log")
        );
    }
}
