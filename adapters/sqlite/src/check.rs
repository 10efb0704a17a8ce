//! Looks whether a store is whole, and how much it holds.

use rusqlite::Connection;

use crate::error::StoreError;
use crate::schema::{REFERENCES, TABLES};
use crate::store::Store;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The database is damaged: what SQLite says.
    Damage(String),
    /// Rows refer to something that there is not.
    Dangling {
        /// In which table they are.
        table: &'static str,
        /// What they refer to.
        to: &'static str,
        /// How many.
        rows: u64,
    },
    /// Messages that nothing refers to: they are removed at the next start.
    Orphans(u64),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damage(what) => f.write_str(what),
            Self::Dangling { table, to, rows } => {
                write!(f, "{rows} rows of {table} refer to a row of {to} that is missing")
            }
            Self::Orphans(rows) => {
                write!(f, "{rows} messages that nothing refers to; the next start removes them")
            }
        }
    }
}

impl Finding {
    /// Whether a server works with the store as it is.
    #[must_use]
    pub const fn is_harmless(&self) -> bool {
        matches!(self, Self::Orphans(_))
    }
}

/// How much a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// The octets of all messages' payloads.
    pub payloads: u64,
    /// The size of the database in octets, its write-ahead log not counted.
    pub size: u64,
    /// How much of that is free.
    pub free: u64,
}

impl Stats {
    /// The rows of a table; 0 for one that there is not.
    #[must_use]
    pub fn of(&self, table: &str) -> u64 {
        self.rows.iter().find(|(name, _)| *name == table).map_or(0, |(_, rows)| *rows)
    }
}

/// What refers to what, apart from messages: table, and the condition of a row that refers to nothing.
const OWNERS: [(&str, &str, &str); 4] = [
    ("subscriptions", "sessions", "session NOT IN (SELECT session FROM sessions)"),
    ("deliveries", "sessions", "session NOT IN (SELECT session FROM sessions)"),
    ("received", "sessions", "session NOT IN (SELECT session FROM sessions)"),
    ("tasks", "queues", "queue NOT IN (SELECT queue FROM queues)"),
];

impl Store {
    /// Looks through all of it, and gives what is wrong: at most 100 damages.
    ///
    /// # Errors
    ///
    /// It cannot even be looked at.
    pub fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            if text != "ok" {
                findings.push(Finding::Damage(text));
            }
        }
        if !findings.is_empty() {
            return Ok(findings);
        }
        for (table, to, condition) in dangling() {
            let rows = count(&self.connection, &format!("SELECT count(*) FROM {table} WHERE {condition}"))?;
            if rows > 0 {
                findings.push(Finding::Dangling { table, to, rows });
            }
        }
        let used: Vec<String> = REFERENCES
            .iter()
            .map(|(table, column)| format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL"))
            .collect();
        let sql =
            format!("SELECT count(*) FROM messages WHERE message NOT IN ({})", used.join(" UNION ALL "));
        let orphans = count(&self.connection, &sql)?;
        if orphans > 0 {
            findings.push(Finding::Orphans(orphans));
        }
        Ok(findings)
    }

    /// Removes every row that refers to something that there is not, and what refers to those; gives how
    /// many. What they were is lost.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]; nothing was removed.
    pub fn repair(&mut self) -> Result<u64, StoreError> {
        let transaction = self.connection.transaction()?;
        let mut removed = 0;
        loop {
            let mut round = 0;
            for (table, _, condition) in dangling() {
                let sql = match table {
                    // A session goes on without its will.
                    "sessions" => {
                        format!("UPDATE sessions SET will = NULL, will_delay = NULL WHERE {condition}")
                    }
                    _ => format!("DELETE FROM {table} WHERE {condition}"),
                };
                round += transaction.execute(&sql, [])? as u64;
            }
            removed += round;
            if round == 0 {
                break;
            }
        }
        transaction.commit()?;
        Ok(removed)
    }

    /// Counts what it holds: reads most of it.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let count = |sql: &str| count(&self.connection, sql);
        let mut rows = Vec::new();
        for table in TABLES {
            rows.push((table, count(&format!("SELECT count(*) FROM {table}"))?));
        }
        let page = count("PRAGMA page_size")?;
        Ok(Stats {
            rows,
            payloads: count("SELECT coalesce(sum(length(payload)), 0) FROM messages")?,
            size: count("PRAGMA page_count")? * page,
            free: count("PRAGMA freelist_count")? * page,
        })
    }

    /// Whether it holds nothing.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        for table in TABLES {
            if count(&self.connection, &format!("SELECT EXISTS (SELECT 1 FROM {table})"))? != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// All references that can dangle: the table, what it refers to, the condition of a row that does so in vain.
fn dangling() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let messages = REFERENCES.iter().map(|(table, column)| {
        let condition = format!("{column} <> 0 AND {column} NOT IN (SELECT message FROM messages)");
        (*table, "messages", condition)
    });
    messages.chain(OWNERS.map(|(table, to, condition)| (table, to, condition.to_owned())))
}

fn count(connection: &Connection, sql: &str) -> Result<u64, StoreError> {
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
}
