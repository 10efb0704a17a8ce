//! Stores that are damaged, locked, full, somebody else's; and a process that is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::model::CALENDAR;
use bowline_core::hub::{HistoryOptions, Hub, HubOptions, Message, Operation, SessionOptions};
use bowline_core::time::Instant;
use bowline_sqlite::schema::{APPLICATION_ID, MIGRATIONS};
use bowline_sqlite::{DATABASE, Finding, OpenError, Options, Store, StoreError};
use rusqlite::Connection;

fn open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(directory, &Options::default())
}

fn refused(directory: &Path) -> String {
    open(directory).expect_err("it is refused").to_string()
}

/// `count` messages from number `first` on, each the last value of a topic of its own.
fn retained(first: u64, count: u64, payload: &[u8]) -> Vec<Operation> {
    let both = |message: u64| {
        let topic = format!("t/{message}");
        let content = Message::new(&topic, payload).expect("a topic");
        [Operation::MessageAdded { message, content }, Operation::Retained { message, topic: topic.into() }]
    };
    (first..first + count).flat_map(both).collect()
}

fn held(store: &mut Store) -> Vec<Operation> {
    let mut held = Vec::new();
    store.load(CALENDAR, |operation| held.push(operation)).expect("it loads");
    held
}

/// A database as another program leaves it.
fn database(directory: &Path, sql: &str) {
    let connection = Connection::open(directory.join(DATABASE)).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn one_server_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let path = directory.path().display();
    assert_eq!(
        refused(directory.path()),
        format!(
            "the store {path} is in use by another bowline (process {}); stop that one, or choose another \
             directory for this one",
            std::process::id()
        )
    );
    drop(first);
    open(directory.path()).expect("it is free again");
}

#[test]
fn it_can_be_looked_at_while_a_server_works() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Store::inspect(directory.path()), Err(OpenError::Missing { .. })));
    let mut store = open(directory.path()).unwrap();
    let batch = retained(1, 3, b"x");
    store.apply(CALENDAR, &batch).unwrap();
    let mut seen = Store::inspect(directory.path()).unwrap();
    assert_eq!(held(&mut seen), held(&mut store));
    assert_eq!((seen.stats().unwrap().of("retained"), seen.stats().unwrap().payloads), (3, 3));
    assert_eq!(seen.check().unwrap(), []);
    store.apply(CALENDAR, &retained(4, 1, b"x")).unwrap();
    assert_eq!(seen.stats().unwrap().of("messages"), 4);
    assert!(matches!(seen.apply(CALENDAR, &batch), Err(StoreError::ReadOnly)));
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE);
    let garbage = b"these are the minutes of the meeting, and nothing else. ".repeat(100);
    fs::write(&path, &garbage).unwrap();
    assert!(refused(directory.path()).contains("is not a store of bowline (no SQLite database)"));
    assert_eq!(fs::read(&path).unwrap(), garbage);

    fs::remove_file(&path).unwrap();
    database(directory.path(), "CREATE TABLE recipes (name TEXT); PRAGMA application_id = 7;");
    assert!(refused(directory.path()).contains("the database of another program, application_id 0x7"));
    let blocked = directory.path().join(DATABASE).join("below-a-file");
    assert!(matches!(open(&blocked), Err(OpenError::Io { .. })));
}

#[test]
fn a_newer_store_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    database(directory.path(), "PRAGMA user_version = 1000");
    let text = refused(directory.path());
    assert!(text.contains(&format!("its schema is 1000, this program knows {}", MIGRATIONS.len())), "{text}");
    assert!(matches!(Store::inspect(directory.path()), Err(OpenError::Newer { found: 1000, .. })));
}

/// A store of the first version: its history goes on, with stamps in place of milliseconds.
#[test]
fn an_older_store_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    database(
        directory.path(),
        &format!(
            "{}; INSERT INTO messages VALUES (1, 't', x'78', NULL, 0, 0, 0, NULL), (2, 't', x'79', NULL, 0, 0, 0, NULL);
             INSERT INTO history VALUES ('t', 7, 1, 1700000000000), ('t', 8, 2, 1700000000000);
             INSERT INTO history_begins VALUES ('t', 7), ('empty', 3);
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;",
            MIGRATIONS[0]
        ),
    );
    let older = Store::inspect(directory.path()).map(drop).unwrap_err().to_string();
    assert!(older.contains("its schema is 1, this program's 2; start a server on it once"), "{older}");
    let told = held(&mut open(directory.path()).unwrap());
    let recorded = |message, offset| Operation::Recorded {
        message,
        topic: "t".into(),
        offset,
        stamp: 1_700_000_000_000_000 + offset,
    };
    assert_eq!(told[2..4], [recorded(1, 7), recorded(2, 8)]);
    assert_eq!(told[4..], [Operation::HistoryTrimmed { topic: "empty".into(), first: 3 }], "no epoch yet");

    // The hub gives each topic one, which the store then has.
    let mut store = open(directory.path()).unwrap();
    let begins = vec![HistoryOptions::new("#")];
    let mut hub = Hub::new(HubOptions { durable: true, history: begins, ..HubOptions::default() }, 1);
    let now = Instant::from_millis(1);
    for operation in told {
        hub.restore(now, operation, &SessionOptions::default()).unwrap();
    }
    hub.restored(now);
    let named: Vec<Operation> = std::iter::from_fn(|| hub.poll_operation()).collect();
    assert!(
        matches!(&named[..], [Operation::HistoryBegan { .. }, Operation::HistoryBegan { .. }]),
        "{named:?}"
    );
    store.apply(CALENDAR, &named).unwrap();
    assert_eq!(held(&mut store).iter().filter(|o| named.contains(o)).count(), 2);
}

#[test]
fn a_torn_database_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    store.apply(CALENDAR, &retained(1, 3000, &[7; 100])).unwrap();
    drop(store);
    let path = directory.path().join(DATABASE);
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 300_000, "the log went into the database: {}", whole.len());

    // Its end is missing.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let check = Options { quick_check: true, ..Options::default() };
    let error = Store::open(directory.path(), &check).expect_err("it is damaged");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("bowline store export"), "{error}");
    // Without looking first, loading finds it, or the check that it asks for.
    if let Ok(mut store) = open(directory.path()) {
        let loaded = store.load(CALENDAR, |_| {});
        assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{loaded:?}");
        assert!(matches!(store.check(), Err(StoreError::Corrupt(_)) | Ok(_)));
    }

    // Pages in its middle were overwritten.
    let mut torn = whole;
    let middle = torn.len() / 8192 * 4096;
    torn[middle..middle + 40_960].fill(0x5a);
    fs::write(&path, &torn).unwrap();
    let mut store = open(directory.path()).expect("its beginning is whole");
    let findings = store.check().unwrap_or_else(|error| vec![Finding::Damage(error.to_string())]);
    assert!(matches!(findings[..], [Finding::Damage(_), ..]), "{findings:?}");
    assert!(matches!(store.load(CALENDAR, |_| {}), Err(StoreError::Corrupt(_))));
}

#[test]
fn a_torn_log_loses_only_what_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    store.apply(CALENDAR, &retained(1, 10, b"x")).unwrap();
    // A power cut in the middle of the next commit: a copy whose log ends early.
    let log = |at: &Path| at.join(format!("{DATABASE}-wal"));
    let before = fs::metadata(log(directory.path())).unwrap().len();
    store.apply(CALENDAR, &retained(11, 100, b"x")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join(DATABASE), copy.path().join(DATABASE)).unwrap();
    let whole = fs::read(log(directory.path())).unwrap();
    fs::write(log(copy.path()), &whole[..(before as usize + whole.len()) / 2]).unwrap();
    let mut torn = open(copy.path()).unwrap();
    assert_eq!(torn.check().unwrap(), []);
    assert_eq!(torn.stats().unwrap().of("retained"), 10, "the first commit whole, nothing of the second");
    assert_eq!(held(&mut torn).len(), 20);
}

#[test]
fn a_full_store_says_so_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options { max_size: Some(256 << 10), ..Options::default() };
    let mut store = Store::open(directory.path(), &small).unwrap();
    store.apply(CALENDAR, &retained(1, 10, b"x")).unwrap();
    let large = retained(11, 1000, &[1; 1000]);
    assert_eq!(store.apply(CALENDAR, &large), Err(StoreError::Full));
    assert_eq!(store.stats().unwrap().of("messages"), 10, "nothing of it was done");
    let removed =
        [Operation::RetainedRemoved { topic: "t/1".into() }, Operation::MessageRemoved { message: 1 }];
    store.apply(CALENDAR, &removed).unwrap();
    drop(store);
    open(directory.path()).unwrap().apply(CALENDAR, &large).expect("there is room");
}

#[test]
fn another_program_that_writes_is_waited_for_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let impatient = Options { patience: std::time::Duration::from_millis(20), ..Options::default() };
    let mut store = Store::open(directory.path(), &impatient).unwrap();
    let shell = Connection::open(directory.path().join(DATABASE)).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = retained(1, 1, b"x");
    assert_eq!(store.apply(CALENDAR, &batch), Err(StoreError::Locked));
    shell.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.apply(CALENDAR, &batch), Ok(()));
}

#[test]
fn what_dangles_is_found_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    store.apply(CALENDAR, &retained(1, 3, b"x")).unwrap();
    database(
        directory.path(),
        "DELETE FROM messages WHERE message = 2; INSERT INTO received VALUES (9, 1);
         INSERT INTO messages VALUES (77, 'a', x'', NULL, 0, 0, 0, NULL);",
    );
    let dangling = |table, to| Finding::Dangling { table, to, rows: 1 };
    let orphans = Finding::Orphans(1);
    assert_eq!(
        store.check().unwrap(),
        [dangling("retained", "messages"), dangling("received", "sessions"), orphans.clone()]
    );
    assert_eq!(store.repair().unwrap(), 2);
    assert_eq!(store.check().unwrap(), [orphans]);
}

/// A process that commits batch after batch, and is killed in the middle of it: this test again, as a
/// child. It prints a batch's number when it is committed.
#[test]
fn a_killed_process_loses_nothing_that_was_committed() {
    const CHILD: &str = "BOWLINE_STORE_TEST_CHILD";
    if let Some(directory) = std::env::var_os(CHILD) {
        let mut store = open(directory.as_ref()).unwrap();
        for batch in 0.. {
            store.apply(CALENDAR, &retained(batch * 10 + 1, 10, b"payload")).unwrap();
            println!("committed {}", batch + 1);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "trouble::a_killed_process_loses_nothing_that_was_committed";
    let mut last = 0;
    for round in 1..=5 {
        let _ = fs::remove_dir_all(directory.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let told = |line: &str| line.strip_prefix("committed ")?.parse::<u64>().ok();
        let mut lines = out.lines().map_while(Result::ok);
        let reached = lines.by_ref().filter_map(|line| told(&line)).find(|n| *n >= 7 * round).unwrap();
        child.kill().unwrap();
        last = lines.filter_map(|line| told(&line)).last().unwrap_or(reached);
        child.wait().unwrap();
        let mut store = open(directory.path()).expect("the lock went with its process");
        let rows = store.stats().unwrap().of("retained");
        assert!(rows >= last * 10, "{last} batches were told to be committed, {rows} rows are there");
        assert_eq!(rows % 10, 0, "batches are whole");
        assert_eq!(held(&mut store).len() as u64, 2 * rows);
        assert_eq!(store.check().unwrap(), []);
    }
    assert!(last >= 35);
}

/// `.schema` is the documentation: every table says what is in it, and the views work.
#[test]
fn the_shell_sees_topics_and_payloads() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).unwrap().apply(CALENDAR, &retained(1, 1, b"open")).unwrap();
    let shell = Connection::open(directory.path().join(DATABASE)).unwrap();
    let row: (String, String) = shell
        .query_row("SELECT topic, CAST(payload AS TEXT) FROM retained_messages", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(row, ("t/1".to_owned(), "open".to_owned()));
    let waiting: i64 = shell.query_row("SELECT count(*) FROM waiting", [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, 0);
    let mode: String = shell.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}
