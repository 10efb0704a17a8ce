//! The database's tables, and how an older one becomes today's.
//!
//! Look at them with the `sqlite3` shell: `.schema` shows them with their comments. `PRAGMA
//! application_id` tells that a database is a store of Bowline, `PRAGMA user_version` how many of the
//! [`MIGRATIONS`] it has had.

use rusqlite::Connection;

use crate::error::OpenError;
use std::path::Path;

/// `BOWL`: what `PRAGMA application_id` of a store says.
pub const APPLICATION_ID: i64 = 0x424f_574c;

/// What makes the tables: the first of an empty database, each of the others of what those before it
/// made. Only ever appended to.
pub const MIGRATIONS: &[&str] = &[V1, V2];

/// The first version.
const V1: &str = "
CREATE TABLE messages (
    -- Each message once, however many refer to it.
    message INTEGER PRIMARY KEY,
    topic ANY NOT NULL,             -- text; a blob only where it is not UTF-8
    payload BLOB NOT NULL,
    head BLOB,                      -- what its body has in front of the topic: properties and the topic's
                                    -- length; NULL where that is the length alone
    has_properties INTEGER NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    expires_at INTEGER              -- as all times: in milliseconds since 1970, UTC; NULL: never
) STRICT;

CREATE TABLE sessions (
    session INTEGER PRIMARY KEY,
    name TEXT NOT NULL,             -- what its protocol knows it by, such as MQTT's client id
    identity TEXT NOT NULL,         -- the user; '' for anonymous
    expiry INTEGER,                 -- how long it outlives a connection, in milliseconds; NULL: for ever
    ends_at INTEGER,                -- NULL while it is connected, or if it never ends
    sent INTEGER,                   -- the number of the last delivery that was sent; those up to it come
                                    -- again as repetitions
    will INTEGER,                   -- a message; NULL: none
    will_delay INTEGER              -- in milliseconds; NULL: for ever
) STRICT;

CREATE TABLE subscriptions (
    session INTEGER NOT NULL,
    sid INTEGER NOT NULL,
    filter TEXT NOT NULL,           -- with $share/GROUP/
    qos INTEGER NOT NULL,
    credit INTEGER,                 -- in octets; NULL: the session's alone
    no_local INTEGER NOT NULL,
    serves INTEGER NOT NULL,        -- 1: requests, not messages
    retain_as_published INTEGER NOT NULL,
    retain_handling INTEGER NOT NULL, -- 0: send retained messages, 1: if it is new, 2: never
    PRIMARY KEY (session, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    -- What is on its way to a session, in the order of the numbers, which begin again at 0 after 4294967294.
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    message INTEGER NOT NULL,       -- 0: none, it is released
    sid INTEGER NOT NULL,           -- because of which subscription
    others TEXT,                    -- and which others, with commas between
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,        -- 1: it says that the message was retained
    released INTEGER NOT NULL,      -- 1: received exactly once, only that this is settled remains
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE received (
    -- Ids of messages that were taken exactly once, and not released by their sender.
    session INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    message INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
    queue TEXT PRIMARY KEY,
    max_tasks INTEGER NOT NULL,
    max_bytes INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    queue TEXT NOT NULL,
    task INTEGER NOT NULL,
    message INTEGER NOT NULL,
    attempts INTEGER NOT NULL,      -- how often it was handed out in vain
    PRIMARY KEY (queue, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
    topic TEXT NOT NULL,
    offset INTEGER NOT NULL,
    message INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE history_begins (
    -- Topics whose history was trimmed.
    topic TEXT PRIMARY KEY,
    first INTEGER NOT NULL          -- the oldest offset that is kept, or the next one
) STRICT, WITHOUT ROWID;

CREATE VIEW retained_messages AS
    SELECT retained.topic, messages.payload, messages.qos, datetime(expires_at / 1000, 'unixepoch') AS expires
    FROM retained LEFT JOIN messages USING (message);

CREATE VIEW waiting AS
    SELECT sessions.name, sessions.identity, count(number) AS deliveries,
           datetime(ends_at / 1000, 'unixepoch') AS ends
    FROM sessions LEFT JOIN deliveries USING (session) GROUP BY session;
";

/// Histories have epochs, and their messages stamps.
const V2: &str = "
ALTER TABLE history RENAME COLUMN published_at TO stamp; -- in microseconds since 1970, UTC; no other has it
UPDATE history SET stamp = stamp * 1000 + offset % 1000;
ALTER TABLE history_begins ADD COLUMN epoch INTEGER; -- tells the offsets from those of an earlier history; NULL: not yet
";

/// The number of no message: that of a delivery whose message is not needed any more.
pub(crate) const NO_MESSAGE: u64 = 0;

/// Every table that refers to a message, and in which column.
pub(crate) const REFERENCES: &[(&str, &str)] = &[
    ("deliveries", "message"),
    ("history", "message"),
    ("retained", "message"),
    ("sessions", "will"),
    ("tasks", "message"),
];

/// The tables of a store, what is counted in [`Stats`](crate::Stats).
pub(crate) const TABLES: [&str; 10] = [
    "messages",
    "sessions",
    "subscriptions",
    "deliveries",
    "received",
    "retained",
    "queues",
    "tasks",
    "history",
    "history_begins",
];

/// Whether the database is a store, and of which version: 0 if it is empty.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| OpenError::sqlite(path, &error))
    };
    let (id, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if id != APPLICATION_ID && !(empty && id == 0 && version == 0) {
        let found = format!("the database of another program, application_id {id:#x}");
        return Err(OpenError::NotOurs { path: path.to_owned(), found });
    }
    let known = MIGRATIONS.len() as i64;
    if version > known {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    }
    Ok(version)
}

/// Brings a store to today's version, in one transaction.
pub(crate) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let known = MIGRATIONS.len() as i64;
    if from == known {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[usize::try_from(from).unwrap_or_default()..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()
}
