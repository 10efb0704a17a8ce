//! A store that is open.

use std::fs::{self, DirBuilder, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_core::hub::Operation;
use bowline_driver::store::{Calendar, Storage, StorageError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::coalesce::coalesce;
use crate::error::{OpenError, StoreError};
use crate::lock::Lock;
use crate::schema;
use crate::write::Writer;

/// The name of the database in a store's directory.
pub const DATABASE: &str = "bowline.db";

/// The size of a page of the database, in octets.
const PAGE: i64 = 4096;

/// The write-ahead log goes into the database when it has so many pages: 16 MiB, so that a page that is
/// written again and again goes there seldom, and reading the log at a start takes no time worth noting.
const CHECKPOINT: u32 = 4096;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many octets of the database are kept in memory.
    pub cache: u32,
    /// How large the database may become, in octets, its write-ahead log not counted; nothing for as large
    /// as the file system allows. What does not fit is refused as [`StoreError::Full`].
    pub max_size: Option<u64>,
    /// How long one call waits for another program that has locked the database.
    pub patience: Duration,
    /// Whether opening looks through the whole database for damage. A second or more for each million of rows.
    pub quick_check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: 32 << 20, max_size: None, patience: Duration::from_secs(1), quick_check: false }
    }
}

/// A store: a directory with a SQLite database, which nobody else writes as long as this lives.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// None if it is only looked at. Let go of after the database.
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the store in `directory`; makes both where there is none, readable for this user alone.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]: what is there is not touched unless it is a store.
    pub fn open(directory: &Path, options: &Options) -> Result<Self, OpenError> {
        make(directory)?;
        let lock = Lock::take(directory)?;
        let path = directory.join(DATABASE);
        let failed = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(options.patience).map_err(failed)?;
        let version = schema::version(&connection, &path)?;
        if connection.is_readonly("main").map_err(failed)? {
            return Err(OpenError::ReadOnly { path });
        }
        prepare(&connection, options).map_err(failed)?;
        schema::migrate(&mut connection, version).map_err(failed)?;
        // What SQLite does not do: that the files themselves are found after a loss of power.
        sync(directory).map_err(|error| OpenError::io(directory, error))?;
        let store = Self { connection, path, _lock: Some(lock) };
        if options.quick_check {
            store.quick_check()?;
        }
        Ok(store)
    }

    /// Opens the store in `directory` to look at it, also while a server works with it: what it then
    /// shows is one state of it.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn inspect(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE);
        if !path.exists() {
            return Err(OpenError::Missing { path: directory.to_owned() });
        }
        let failed = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(Options::default().patience).map_err(failed)?;
        let version = schema::version(&connection, &path)?;
        let known = schema::MIGRATIONS.len() as i64;
        if version < known {
            let detail = format!(
                "its schema is {version}, this program's {known}; start a server on it once, which brings it up to date"
            );
            return Err(OpenError::Other { path, detail });
        }
        Ok(Self { connection, path, _lock: None })
    }

    /// Where its database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Carries out a batch of operations in one transaction, without what it undoes itself
    /// ([`coalesce`]): when it returns, that is on the disk; when it fails, none of it was done.
    /// Instants are stored in calendar time.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. The same batch may be tried again.
    pub fn apply(&mut self, calendar: Calendar, batch: &[Operation]) -> Result<(), StoreError> {
        let left = coalesce(batch);
        if left.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut writer = Writer::new(&transaction, calendar);
        for operation in left {
            writer.write(operation)?;
        }
        drop(writer);
        Ok(transaction.commit()?)
    }

    fn quick_check(&self) -> Result<(), OpenError> {
        let found = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        let detail = match found {
            Ok(text) if text == "ok" => return Ok(()),
            Ok(text) => text,
            Err(error) => return Err(OpenError::sqlite(&self.path, &error)),
        };
        Err(OpenError::Corrupt { path: self.path.clone(), detail })
    }
}

impl Storage for Store {
    fn load(&mut self, calendar: Calendar, each: &mut dyn FnMut(Operation)) -> Result<(), StorageError> {
        Ok(Store::load(self, calendar, each)?)
    }

    fn apply(&mut self, calendar: Calendar, batch: &[Operation]) -> Result<(), StorageError> {
        Ok(Store::apply(self, calendar, batch)?)
    }
}

fn prepare(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    connection.pragma_update(None, "journal_size_limit", i64::from(CHECKPOINT) * PAGE * 4)?;
    connection.pragma_update(None, "cache_size", -i64::from(options.cache >> 10))?;
    // What refers to what is the hub's to keep right; `check` looks whether it did.
    connection.pragma_update(None, "foreign_keys", false)?;
    if let Some(size) = options.max_size {
        let pages = i64::try_from(size).unwrap_or(i64::MAX) / PAGE;
        connection.pragma_update(None, "max_page_count", pages.clamp(1, i64::from(u32::MAX) - 1))?;
    }
    Ok(())
}

/// Makes the directory where there is none.
fn make(directory: &Path) -> Result<(), OpenError> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| OpenError::io(directory, error))?;
    let parent = fs::canonicalize(directory).ok().and_then(|path| path.parent().map(Path::to_owned));
    parent.map_or(Ok(()), |parent| sync(&parent)).map_err(|error| OpenError::io(directory, error))
}

/// Makes the names in a directory outlive a loss of power.
fn sync(directory: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}
