//! What a store costs: rows a second in commits of one size, bare and through the store, and how long
//! loading takes. `cargo bench -p bowline-sqlite`; an argument chooses the directory, so the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use bowline_core::endpoint::server::{Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::hub::{Message, Operation, Quality};
use bowline_driver::store::Calendar;
use bowline_sqlite::{Options, Store};
use rusqlite::{Connection, params};

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(1);

/// How often: the median counts.
const ROUNDS: usize = 5;

/// The octets of a payload.
const PAYLOAD: usize = 64;

fn main() {
    let directory = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')).unwrap_or_else(|| ".".into());
    println!("{:>32} {:>12} {:>12} {:>8}", "", "bare", "store", "ratio");
    for batch in [1, 10, 100, 1000] {
        // In turns, because a disk is not the same from one second to the next.
        let rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| (bare(directory.as_ref(), batch), through(directory.as_ref(), batch)))
            .collect();
        let (bare, store) = (median(rounds.iter().map(|r| r.0)), median(rounds.iter().map(|r| r.1)));
        let ratio = store / bare;
        println!(
            "{:>32} {bare:>12.0} {store:>12.0} {ratio:>8.2}",
            format!("rows/s, {batch} messages a commit")
        );
    }
    let (all, left) = (acknowledged(directory.as_ref(), false), acknowledged(directory.as_ref(), true));
    println!(
        "messages/s of 1000 a commit, queued in one and acknowledged in the next: {all:.0}; in the same: {left:.0}"
    );
    load(directory.as_ref(), 100_000, 0);
    load(directory.as_ref(), 500_000, 500_000);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn store(at: &Path) -> Store {
    Store::open(at, &Options::default()).expect("it opens")
}

/// What a message at least once to one durable session is to the store: two rows.
fn queued(number: u64) -> [Operation; 2] {
    let content = Message::new("bench/topic/of/usual/length", &[7; PAYLOAD]).expect("a topic");
    let content = content.with_quality(Quality::AtLeastOnce);
    let message = number + 1;
    [
        Operation::MessageAdded { message, content },
        Operation::Queued {
            session: 1 + number % 50,
            number: (number / 50) as u32,
            message,
            sid: 1,
            others: Box::default(),
            quality: Quality::AtLeastOnce,
            retain: false,
        },
    ]
}

/// The same when it was acknowledged.
fn done(number: u64) -> [Operation; 2] {
    [
        Operation::Dequeued { session: 1 + number % 50, number: (number / 50) as u32 },
        Operation::MessageRemoved { message: number + 1 },
    ]
}

/// Calls `commit` with the first message's number, for a while; gives messages a second.
fn rate(batch: u64, mut commit: impl FnMut(u64)) -> f64 {
    let (began, mut next) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        commit(next);
        next += batch;
    }
    next as f64 / began.elapsed().as_secs_f64()
}

/// Rows a second of the same rows with nothing around them.
fn bare(at: &Path, batch: u64) -> f64 {
    let directory = tempfile::tempdir_in(at).expect("a directory");
    drop(store(directory.path()));
    let mut connection = Connection::open(directory.path().join(bowline_sqlite::DATABASE)).expect("it opens");
    for (name, value) in [("synchronous", 2), ("wal_autocheckpoint", 4096), ("cache_size", -32 << 10)] {
        connection.pragma_update(None, name, value).expect("it is set");
    }
    let payload = [7_u8; PAYLOAD];
    let messages = rate(batch, |first| {
        let transaction = connection.transaction().expect("it begins");
        for number in first..first + batch {
            let sql = "INSERT INTO messages VALUES (?, ?, ?, NULL, 0, 1, 0, NULL)";
            let mut statement = transaction.prepare_cached(sql).expect("it is prepared");
            let row = params![number as i64 + 1, "bench/topic/of/usual/length", payload];
            statement.execute(row).expect("it is written");
            let sql = "INSERT INTO deliveries VALUES (?, ?, ?, 1, NULL, 1, 0, 0)";
            let mut statement = transaction.prepare_cached(sql).expect("it is prepared");
            let row = params![1 + number as i64 % 50, number as i64 / 50, number as i64 + 1];
            statement.execute(row).expect("it is written");
        }
        transaction.commit().expect("it is committed");
    });
    messages * 2.0
}

fn through(at: &Path, batch: u64) -> f64 {
    let directory = tempfile::tempdir_in(at).expect("a directory");
    let mut store = store(directory.path());
    let messages = rate(batch, |first| {
        let operations: Vec<Operation> = (first..first + batch).flat_map(queued).collect();
        store.apply(Calendar::now(), &operations).expect("it is committed");
    });
    messages * 2.0
}

/// Messages a second that come and are acknowledged: in the next batch, or in the same.
fn acknowledged(at: &Path, same: bool) -> f64 {
    const BATCH: u64 = 1000;
    let directory = tempfile::tempdir_in(at).expect("a directory");
    let mut store = store(directory.path());
    rate(BATCH, |first| {
        let mut operations: Vec<Operation> = (first..first + BATCH).flat_map(queued).collect();
        let ended = if same { first } else { first.saturating_sub(BATCH) };
        if same || first > 0 {
            operations.extend((ended..ended + BATCH).flat_map(done));
        }
        store.apply(Calendar::now(), &operations).expect("it is committed");
    })
}

/// How long this thread was on a processor: what counts where others are busy too. Zero where the system
/// does not say.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

fn server() -> Server {
    let mut config = ServerConfig::default();
    config.hub.durable = true;
    Server::new(config, Box::new(Seeded::new(1)))
}

/// How long a server takes to have again what a store holds.
fn load(at: &Path, queued_messages: u64, retained: u64) {
    let directory = tempfile::tempdir_in(at).expect("a directory");
    let mut held = store(directory.path());
    let calendar = Calendar::now();
    let began = Instant::now();
    let sessions: Vec<Operation> = (1..=50)
        .map(|session| Operation::SessionCreated {
            session,
            name: format!("mqtt:client-{session}").into(),
            identity: "".into(),
            expiry: Duration::from_secs(3600),
        })
        .collect();
    held.apply(calendar, &sessions).expect("it is committed");
    for first in (0..queued_messages).step_by(10_000) {
        let batch: Vec<Operation> = (first..first + 10_000).flat_map(queued).collect();
        held.apply(calendar, &batch).expect("it is committed");
    }
    for first in (0..retained).step_by(10_000) {
        let both = |number: u64| {
            // Topics in no order, as they come.
            let topic = format!("home/{:08x}/state", (number as u32).wrapping_mul(2_654_435_761));
            let (message, content) = (queued_messages + number + 1, Message::new(&topic, &[7; PAYLOAD]));
            let content = content.expect("a topic");
            [
                Operation::MessageAdded { message, content },
                Operation::Retained { message, topic: topic.into() },
            ]
        };
        let batch: Vec<Operation> = (first..first + 10_000).flat_map(both).collect();
        held.apply(calendar, &batch).expect("it is committed");
    }
    drop(held);
    let written = began.elapsed();
    let began = Instant::now();
    let mut held = store(directory.path());
    let opened = began.elapsed();
    let (mut machine, before) = (server(), cpu());
    let mut operations = 0_u64;
    held.load(calendar, |operation| {
        machine.restore(calendar.now, operation).expect("it fits");
        operations += 1;
    })
    .expect("it loads");
    machine.restored(calendar.now);
    let loaded = began.elapsed() - opened;
    let used = cpu().saturating_sub(before);
    let size = held.stats().expect("it is counted").size >> 20;
    println!(
        "{queued_messages} queued and {retained} retained: written in {written:.1?}, {size} MiB; opened in \
         {opened:.1?}, loaded in {loaded:.2?}, {used:.2?} of that on a processor ({operations} operations)"
    );
}
